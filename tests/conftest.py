"""Settings of every test: Hypothesis profiles, the seed of the statistical tests, the nightly mark, the false-alarm budget."""

from __future__ import annotations

import datetime
import hashlib
import os
import secrets

import hypothesis
import pytest
import verdicts

FIXED_SEED = 20_240_613
SEED = pytest.StashKey[int]()

for name, settings in {
    "dev": hypothesis.settings(max_examples=25, derandomize=True),
    "ci": hypothesis.settings(max_examples=100, derandomize=True, print_blob=True),
    "nightly": hypothesis.settings(max_examples=2_000, print_blob=True),
}.items():
    hypothesis.settings.register_profile(name, settings, deadline=None)  # the first example of a kernel compiles it
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "dev"))


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--nightly", action="store_true", help="also run the tests marked nightly")
    parser.addoption("--nightly-sample", type=int, default=0, metavar="N", help="also run N of them, other ones every day")
    parser.addoption(
        "--statistics-seed", default=str(FIXED_SEED), help="seed of the statistical tests: an integer, or `random` for a new one"
    )


def pytest_configure(config: pytest.Config) -> None:
    # a worker of pytest-xdist takes the seed that the controller chose
    from_controller = getattr(config, "workerinput", {}).get("statistics_seed")
    asked = config.getoption("--statistics-seed")
    config.stash[SEED] = from_controller if from_controller is not None else secrets.randbits(63) if asked == "random" else int(asked)


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: object) -> None:
    node.workerinput["statistics_seed"] = node.config.stash[SEED]  # type: ignore[attr-defined]


def pytest_report_header(config: pytest.Config) -> str:
    profile = os.environ.get("HYPOTHESIS_PROFILE", "dev")
    return f"--statistics-seed={config.stash[SEED]}  HYPOTHESIS_PROFILE={profile}  false alarms: {verdicts.FALSE_ALARM_BUDGET:g} a session"


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("--nightly"):
        return
    slow = [item for item in items if item.get_closest_marker("nightly")]
    today = datetime.date.today().isoformat()
    slow.sort(key=lambda item: hashlib.sha256(f"{today} {item.nodeid}".encode()).digest())
    for item in slow[config.getoption("--nightly-sample") :]:
        item.add_marker(pytest.mark.skip(reason="nightly work; --nightly runs it"))


def pytest_sessionfinish(session: pytest.Session) -> None:
    if verdicts.given > verdicts.DECLARED_VERDICTS:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if verdicts.given > verdicts.DECLARED_VERDICTS:
        terminalreporter.write_line(
            f"{verdicts.given} verdicts, {verdicts.DECLARED_VERDICTS} declared: raise verdicts.DECLARED_VERDICTS", red=True
        )


@pytest.fixture
def statistics_seed(request: pytest.FixtureRequest) -> int:
    """The seed of this session's statistical tests, printed in the header."""
    return request.config.stash[SEED]
