"""The command line: streams, exit statuses, what is written and what is not, and digits that the Monte Carlo error carries."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import math
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import numba
import numpy as np
import pytest
import xarray as xr
from cli.wrong_files import CASES, CONTRAST, VALID, WrongFiles
from click.testing import CliRunner, Result
from hypothesis import given
from hypothesis import strategies as st
from test_results import make_run

from sim import cbp, finished, printed, progress, results
from sim.cli import main
from sim.errors import SimError
from sim.labelled import to_tree
from sim.matching import match
from sim.printed import format_number
from sim.records import Scenario
from sim.saved import open_result, save_result
from sim.scenario import load_scenario
from sim.simulation import Run

ROOT = Path(__file__).parents[2]


def sim(*arguments: object) -> Result:
    """Run a command in this process. An exception that is not an exit is a failure of the test, as it would be a traceback."""
    result = CliRunner().invoke(main, [str(argument) for argument in arguments], prog_name="sim")
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def spawn(*arguments: object, code: str | None = None, **kwargs: object) -> subprocess.Popen[str]:
    """Start `python -m sim`, or `code`, in a process of its own."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join((str(ROOT), str(ROOT / "tests")))}
    command = [sys.executable, *(["-m", "sim"] if code is None else ["-c", code]), *(str(argument) for argument in arguments)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | kwargs
    return subprocess.Popen(command, env=environment, text=True, **pipes)  # type: ignore[call-overload,no-any-return]


def synthetic(scenario: Scenario, run: Run | None = None) -> xr.DataTree:
    """A tree with the labels of the scenario and made-up numbers."""
    strata = {(row.corridor, row.period, row.form): 1.5 for row in scenario.rows}
    run = run or make_run(scenario, kept=0)
    return to_tree(scenario, run, parameter_draws=match(scenario)[0].parameter_draws, seized_gross_kg=strata)


@pytest.fixture
def scenario(tmp_path: Path) -> Path:
    folder = tmp_path / "input"
    folder.mkdir()
    return WrongFiles(name="valid", files=VALID, fragments=()).write(folder)


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> list[Scenario]:
    """Put made-up numbers in the place of the engine; the list grows with each scenario that is run."""
    ran: list[Scenario] = []

    def run(scenario: Scenario, **_: object) -> xr.DataTree:
        ran.append(scenario)
        return synthetic(scenario)

    monkeypatch.setattr(results, "run", run)
    return ran


@pytest.fixture
def made(scenario: Path, tmp_path: Path, engine: list[Scenario]) -> Path:
    """A result folder."""
    outcome = sim("run", scenario, "--results", tmp_path / "results", "--quiet")
    assert outcome.exit_code == 0, outcome.stderr
    return Path(outcome.stdout.strip())


def everything_below(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


# ------------------------------------------------------------------------------------------------------------------ numbers


@pytest.mark.parametrize(
    ("number", "mcse", "shown"),
    [
        (1234.567, 3.0, "1,230"),
        (1234.567, 1.0, "1,235"),
        (1234.567, 1.0001, "1,230"),
        (1234.567, 0.001, "1,235"),
        (0.0123456, 0.0002, "0.012"),
        (0.0123456, 0.001, "0.012"),
        (0.0123456, 1e-9, "0.01235"),
        (21148.0, 0.0, "21,148"),
        (19.5226, 0.0, "19.52"),
        (0.0, 0.0, "0"),
        (0.0, 0.5, "0"),
        (3.0, 20.0, "~0"),
        (-3.0, 20.0, "~0"),
        (7.0, 10.0, "10"),
        (9.9996, 0.0001, "10.00"),
        (99.96, 0.1, "100.0"),
        (-41.26, 0.1, "-41.3"),
        (34.7, math.nan, "30"),
        (96.0, math.inf, "100"),
        (math.nan, 0.1, "–"),
        (math.nan, math.nan, "–"),
        (math.inf, math.nan, "inf"),
        (-math.inf, 0.0, "-inf"),
        (1.23456e18, 1e15, "1.235e+18"),
        (1.23456e-9, 1e-13, "1.235e-9"),
        (5e-324, 0.0, "5.000e-324"),
    ],
)
def test_format_number(number: float, mcse: float, shown: str) -> None:
    assert format_number(number, mcse) == shown


finite = st.floats(min_value=-1e14, max_value=1e14).filter(lambda number: number == 0 or abs(number) > 1e-5)


@given(number=finite, mcse=st.floats(min_value=1e-12, max_value=1e12))
def test_no_more_digits_than_the_error_carries(number: float, mcse: float) -> None:
    """What is shown is a multiple of the smallest power of ten that is no less than the error, of at most four digits, and the nearest."""
    exact, unit = Decimal(repr(number)), Decimal("1e-12")
    while unit < Decimal(repr(mcse)):
        unit *= 10
    shown = format_number(number, mcse).replace(",", "")
    read = Decimal(0) if shown == "~0" else Decimal(shown)
    assert read % unit == 0
    assert len(str(read).replace(".", "").lstrip("-0").rstrip("0")) <= 4
    assert abs(read - exact) <= max(unit, abs(exact) / 1000) / 2
    assert (shown == "~0") == (read == 0 != number)


# ------------------------------------------------------------------------------------------------------------------ run


def test_run_prints_the_folder_and_nothing_else_on_standard_output(scenario: Path, tmp_path: Path, engine: list[Scenario]) -> None:
    outcome = sim("run", scenario, "--results", tmp_path / "results")
    (ran,) = engine
    folder = tmp_path / "results" / "two-borders" / results.run_id(ran)
    assert (outcome.exit_code, outcome.stdout) == (0, f"{folder}\n")
    assert open_result(folder).attrs["run_id"] == folder.name
    for words in ("gross, kg", "pure, kg", "90 %", "dicted, %", "all-borders (group)", "draws in 0.2 s"):
        assert words in outcome.stderr
    no_mean = (
        "No mean is given for flow quantities, because it would not settle: detection_rate can be very near 0 "
        "(detection_rate: tail index 1.5). Quantiles are sound."
    )
    for caveat in ("Judged, not measured: detection_rate", "none above 3 standard deviations", "0/0 in up to 50 %", no_mean):
        assert caveat in " ".join(outcome.stderr.split())


def test_a_finished_run_is_not_made_again(scenario: Path, tmp_path: Path, engine: list[Scenario], made: Path) -> None:
    again = sim("run", scenario, "--results", tmp_path / "results")
    assert len(engine) == 1
    assert again.stdout == f"{made}\n"
    assert "made before" in again.stderr
    (made / "result.nc").write_bytes(b"")
    damaged = sim("run", scenario, "--results", tmp_path / "results")
    assert (damaged.exit_code, damaged.stdout) == (1, "")
    assert "result.nc: the file is damaged" in damaged.stderr


def test_quiet(scenario: Path, tmp_path: Path, engine: list[Scenario]) -> None:
    outcome = sim("run", scenario, "--results", tmp_path / "results", "--quiet")
    assert outcome.stderr == ""
    assert len(outcome.stdout.splitlines()) == 1


def test_draws_seed_and_set_reach_the_scenario_and_its_identity(scenario: Path, tmp_path: Path, engine: list[Scenario]) -> None:
    common = ("run", scenario, "--results", tmp_path / "results", "-q")
    folders = {
        sim(*common, *extra).stdout
        for extra in (
            (),
            ("--draws", "1e4"),
            ("--draws", "20_000", "--seed", 2**64 - 1),
            ("--seed", "0"),
            ("--set", "run.sampler=philox"),
            ("--set", "model.event_prior = 1.0", "--set", "model.load_truncation=inf"),
        )
    }
    assert len(folders) == 6
    assert [(ran.draws, ran.seed) for ran in engine[:4]] == [(4096, 43), (10_000, 43), (20_000, 2**64 - 1), (4096, 0)]
    assert engine[4].sampler == "philox"
    assert (engine[5].event_prior, engine[5].load_truncation) == (1.0, math.inf)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--draws", "0"), "'0' is not a whole number from 1"),
        (("--draws", "1.5"), "'1.5' is not a whole number"),
        (("--draws", "nan"), "'nan' is not a whole number"),
        (("--draws", "many"), "'many' is not a whole number"),
        (("--draws", "1e999999999"), "is not a whole number"),
        (("--seed", "-1"), "'-1' is not a whole number from 0"),
        (("--seed", str(2**64)), "is not a whole number from 0"),
        (("--threads", "0"), "0 is not in the range"),
        (("--set", "run.seed"), "is not PATH=VALUE"),
        (("--set", "run.seed="), "is not PATH=VALUE"),
        (("--set", "=1"), "is not PATH=VALUE"),
        (("--set", "run.seed=1", "--set", "run.seed=2"), "set twice"),
        (("--set", "run.seed=1", "--seed", "2"), "--seed and --set set the same entry"),
        (("--set", "run.seed='x"), "neither a TOML value nor a bare word"),
        (("--set", "name=two words"), "neither a TOML value nor a bare word"),
        (("--set", "name=1\nit2 = 3"), "neither a TOML value nor a bare word"),
        (("--set", "modle.load_law=gamma"), "there is no such path"),
        (("--set", "model.load_law=gama"), "gama"),
        (("--frobnicate",), "No such option"),
    ],
)
def test_a_wrong_command_line_writes_nothing(
    scenario: Path, tmp_path: Path, engine: list[Scenario], arguments: tuple[str, ...], message: str
) -> None:
    outcome = sim("run", scenario, "--results", tmp_path / "results", *arguments)
    assert (outcome.exit_code, outcome.stdout) == (2, "")
    assert message in outcome.stderr
    assert engine == []
    assert not (tmp_path / "results").exists()


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_wrong_files_end_with_status_2_and_nothing_on_disk(case: WrongFiles, tmp_path: Path, engine: list[Scenario]) -> None:
    folder = tmp_path / "input"
    folder.mkdir()
    path = case.write(folder)
    before = everything_below(tmp_path)
    for command in (("run", path, "--results", tmp_path / "results"), ("validate", path)):
        outcome = sim(*command)
        assert (outcome.exit_code, outcome.stdout) == (2, "")
        for fragment in case.fragments:
            assert fragment in outcome.stderr
        assert "Traceback" not in outcome.stderr
        assert outcome.stderr.endswith("nothing was run.\n")
    assert everything_below(tmp_path) == before
    assert engine == []


def test_all_scenarios_are_checked_before_the_first_is_run(scenario: Path, tmp_path: Path, engine: list[Scenario]) -> None:
    outcome = sim("run", scenario, tmp_path / "absent.toml", tmp_path / "input" / "sources.toml", "--results", tmp_path / "results")
    assert (outcome.exit_code, outcome.stdout) == (2, "")
    assert "absent.toml" in outcome.stderr
    assert "sources.toml" in outcome.stderr
    assert engine == []


def test_one_failed_run_does_not_stop_the_others(scenario: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = scenario.parent / "other.toml"
    other.write_text(scenario.read_text(encoding="utf-8").replace("two-borders", "other-borders"), encoding="utf-8")

    def run(scenario: Scenario, **_: object) -> xr.DataTree:
        if scenario.name == "two-borders":
            raise SimError("flow_pure_kg of east is not a number in 3 draws")
        return synthetic(scenario)

    monkeypatch.setattr(results, "run", run)
    outcome = sim("run", scenario, other, "--results", tmp_path / "results")
    assert outcome.exit_code == 1
    assert f"{scenario} failed: flow_pure_kg of east is not a number" in outcome.stderr
    assert "other-borders" in outcome.stdout
    assert len(outcome.stdout.splitlines()) == 1


@pytest.mark.parametrize(("fault", "status"), [(KeyboardInterrupt, 130), (MemoryError, 1)])
def test_interruption_and_lack_of_memory(
    scenario: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: type[BaseException], status: int
) -> None:
    def run(scenario: Scenario, **_: object) -> xr.DataTree:
        raise fault

    monkeypatch.setattr(results, "run", run)
    outcome = sim("run", scenario, "--results", tmp_path / "results")
    assert (outcome.exit_code, outcome.stdout) == (status, "")
    assert outcome.stderr.strip()
    assert not (tmp_path / "results").exists()


def test_a_results_folder_that_is_a_file_is_refused_before_the_run(scenario: Path, tmp_path: Path, engine: list[Scenario]) -> None:
    (tmp_path / "file").write_text("")
    for folder in (tmp_path / "file", tmp_path / "file" / "deeper"):
        outcome = sim("run", scenario, "--results", folder)
        assert outcome.exit_code == 2
        assert "is a file" in outcome.stderr
    assert sim("run", scenario, "--results", "x" * 5000).exit_code == 2
    assert engine == []


def test_a_full_disk_ends_with_status_1_and_leaves_nothing(
    scenario: Path, tmp_path: Path, engine: list[Scenario], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    outcome = sim("run", scenario, "--results", tmp_path / "results")
    assert (outcome.exit_code, outcome.stdout) == (1, "")
    assert "No space left on device; nothing was left behind. Free" in outcome.stderr
    assert not (tmp_path / "results").exists()


def test_dry_run_shows_the_plan_and_writes_nothing(scenario: Path, tmp_path: Path, engine: list[Scenario]) -> None:
    outcome = sim("run", scenario, "--results", tmp_path / "results", "--draws", "5000", "--dry-run")
    assert outcome.exit_code == 0
    plan = " ".join(outcome.stderr.split())
    for words in ("two-borders", "5,000 asked, 5,120 used: 20 x 256 (sobol)", "east, west", "strata with evidence 4", "seed 43"):
        assert words in plan
    assert engine == []
    assert not (tmp_path / "results").exists()
    sim("run", scenario, "--results", tmp_path / "results", "--draws", "5000", "-q")
    assert outcome.stdout == sim("run", scenario, "--results", tmp_path / "results", "--draws", "5000", "--dry-run", "-q").stdout
    assert Path(outcome.stdout.strip()).is_dir()


SWEEP = """
[[sweep]]
dim = "rho"
path = "correlation.borders.value"
values = [0.0, 0.5]
[[sweep]]
dim = "prior"
path = "model.event_prior"
values = [0.5, 1.0]
"""


@pytest.mark.parametrize("swept", [False, True])
def test_what_an_earlier_run_left_is_told(scenario: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, swept: bool) -> None:
    monkeypatch.setattr("sim.partials.SHARE", float("inf"))
    monkeypatch.setattr(finished, "EVERY_SECONDS", 0.0)
    if swept:
        scenario.write_text(scenario.read_text(encoding="utf-8") + SWEEP, encoding="utf-8")
    one = load_scenario(scenario, overrides={"run.draws": 4096})
    unfinished = results.partials_folder(tmp_path / "results", one)
    run = ("run", scenario, "--results", tmp_path / "results", "--draws", "4096", "--threads", "1")

    def left() -> Path:
        results.run(one, threads=1, partials=unfinished)
        return min(path for path in unfinished.rglob("*") if path.suffix in (".part", ".cases"))

    left()
    whole = 4 * 4096 if swept else 4096
    assert f"went on from {whole:,} of {whole:,} draws that an earlier run had made.\n" in sim(*run).stderr
    assert "went on" not in sim(*run).stderr  # it is done, and nothing is left
    shutil.rmtree(tmp_path / "results")
    file = left()
    file.write_bytes(file.read_bytes()[:-1])
    again = sim(*run)
    assert re.search(
        r"went on from [\d,]+ of [\d,]+ draws that an earlier run had made; 1 damaged part of it was computed anew", again.stderr
    )
    assert f"from {whole:,} of" not in again.stderr
    shutil.rmtree(tmp_path / "results")
    left()
    assert sim(*run, "--quiet").stderr == ""
    shutil.rmtree(tmp_path / "results")
    assert "went on" not in sim(*run).stderr


def test_dry_run_says_what_its_estimate_rests_on(scenario: Path, tmp_path: Path) -> None:
    """One pilot for each law of loads, and in words what no pilot foresees."""
    laws = '[[sweep]]\ndim = "loads"\npath = "model.load_law"\nvalues = ["lognormal", "equal"]\n'
    scenario.write_text(scenario.read_text(encoding="utf-8") + CONTRAST + laws, encoding="utf-8")
    common = ("run", scenario, "--results", tmp_path / "results", "--draws", "64", "--threads", "1", "--dry-run")
    plan = " ".join(sim(*common).stderr.split())
    assert "by a pilot here of the first case of each law of loads (lognormal, equal)" in plan
    assert "without a second count of claims that few draws hit" in plan
    one_law = " ".join(sim(*common, "--set", "model.load_law=equal", "--tolerance", "0.1").stderr.split())
    assert "by a pilot here, without what a tolerance adds and a second count of claims" in one_law


SAME_AND_MOVED = "".join(
    f"""
[[contrast]]
id = "{name}"
numerator = {{ quantity = "{name}_gross_kg", corridor = "west", period = "FY2024", form = "all" }}
denominator = {{ quantity = "{name}_gross_kg", corridor = "west", period = "FY2023", form = "all" }}

[[claim]]
id = "{name} rose"
text = "The {name} rose"
contrast = "{name}"
above = 1
"""
    for name in ("seized", "flow")
)


def test_dry_run_of_sweeps_counts_cases_and_blocks_and_estimates_the_time(scenario: Path, tmp_path: Path) -> None:
    scenario.write_text(scenario.read_text(encoding="utf-8") + SWEEP, encoding="utf-8")
    common = ("run", scenario, "--results", tmp_path / "results", "--draws", "1024", "--threads", "1")
    before = everything_below(tmp_path)
    outcome = sim(*common, "--dry-run")
    plan = " ".join(outcome.stderr.split())
    assert "rho: 0.0, 0.5 (correlation.borders.value)" in plan
    for words in ("cases 4;", "in all 4,096 draws in 64 blocks", "done nothing", "by a pilot here of the first case; others may differ"):
        assert words in plan
    assert re.search(r"time about \d+ (s|min)", plan)
    assert everything_below(tmp_path) == before
    made = sim(*common)
    assert (made.exit_code, made.stdout) == (0, outcome.stdout)
    lines = [line.split()[:5] for line in made.stderr.splitlines()]
    assert ["0.5", "1", "all-borders", "(group)", "FY2024"] in lines
    assert "4,096 draws in" in made.stderr
    assert "done all" in " ".join(sim(*common, "--dry-run").stderr.split())
    shown = sim("show", made.stdout.strip(), "--quantity", "n_missed")
    assert shown.stdout.splitlines()[2].split()[:4] == ["rho", "prior", "corridor", "period"]
    assert "64 draws asked in each of 4 cases" in sim("validate", scenario).stdout.replace("4,096", "64")


def test_a_long_table_of_cases_is_cut(scenario: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(printed, "MOST_ROWS", 5)
    scenario.write_text(scenario.read_text(encoding="utf-8") + SWEEP, encoding="utf-8")
    outcome = sim("run", scenario, "--results", tmp_path / "results", "--draws", "1024", "--threads", "1")
    assert re.search(r"The first 5 of \d\d rows", outcome.stderr)
    table = [line for line in outcome.stderr.splitlines() if " FY2023 " in line or " FY2024 " in line][:5]
    assert len(table) == 5
    assert all("(group)" in line for line in table)  # the sums of corridors come first


def test_what_no_case_moves_is_shown_once(scenario: Path, tmp_path: Path) -> None:
    text = scenario.read_text(encoding="utf-8") + SAME_AND_MOVED
    scenario.write_text(text + '[[sweep]]\ndim = "prior"\npath = "model.event_prior"\nvalues = [0.5, 100.0]\n', encoding="utf-8")
    made = sim("run", scenario, "--results", tmp_path / "results", "--draws", "4096", "--threads", "1")
    assert made.exit_code == 0, made.stderr
    rows = [line.split()[:2] for line in made.stderr.splitlines()]
    cases = [row for row in rows if row[0:1] in (["all"], ["0.5"], ["100"]) and row[1:] in (["seized"], ["flow"])]
    assert cases == [["all", "seized"], ["0.5", "flow"], ["100", "flow"]]
    said = " ".join(made.stderr.split())
    assert said.count('"The seized rose"') == said.count('"The flow rose"') / 2 == 1
    assert 'flow rose; prior = 100: "The flow rose"' in said
    assert "the lengths of" not in said  # a leap day


def test_a_number_keeps_its_percent_sign() -> None:
    folded = printed._paragraph(f"{'x' * 60} {'y' * 34} 12.5 % z")
    assert folded.splitlines() == [f"{'x' * 60} {'y' * 34}", "  12.5 % z"]


def test_set_fixes_a_sweep_and_says_so(scenario: Path, tmp_path: Path, engine: list[Scenario]) -> None:
    scenario.write_text(scenario.read_text(encoding="utf-8") + SWEEP, encoding="utf-8")
    outcome = sim("run", scenario, "--results", tmp_path, "--set", "correlation.borders.value=0.1", "--set", "model.event_prior=1.0")
    assert engine[0].cases == ()
    assert "--set fixes model.event_prior, so it is not swept" in outcome.stderr


def test_sources_between_scenarios_are_passed_over(scenario: Path, tmp_path: Path, engine: list[Scenario]) -> None:
    outcome = sim("run", *sorted(scenario.parent.glob("*.toml")), "--results", tmp_path / "results", "-q")
    assert (outcome.exit_code, len(outcome.stdout.splitlines())) == (0, 1)
    assert "sources.toml holds the sources of other scenarios here; passed over" in outcome.stderr
    assert sim("run", scenario.parent / "sources.toml").exit_code == 2


def test_a_batch_goes_on_reports_at_the_end_and_does_nothing_twice(scenario: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = ("first-borders", "broken-borders", "full-borders", "odd-borders", "last-borders")
    for name in names:
        text = scenario.read_text(encoding="utf-8").replace("two-borders", name)
        scenario.with_name(f"{name}.toml").write_text(text, encoding="utf-8")
    faults = {"broken-borders": SimError("not a number"), "full-borders": MemoryError(), "odd-borders": ZeroDivisionError("a bug")}
    ran: list[str] = []

    def run(scenario: Scenario, **_: object) -> xr.DataTree:
        ran.append(scenario.name)
        if scenario.name in faults:
            raise faults[scenario.name]
        return synthetic(scenario)

    monkeypatch.setattr(results, "run", run)
    command = ["run", *(str(scenario.with_name(f"{name}.toml")) for name in names), "--results", str(tmp_path / "results")]
    first = CliRunner().invoke(main, command, prog_name="sim")
    assert isinstance(first.exception, ZeroDivisionError)  # ours to mend, and seen; after the others
    assert ran == list(names)
    assert [Path(line).parent.name for line in first.stdout.splitlines()] == ["first-borders", "last-borders"]
    broken = ", ".join(str(scenario.with_name(f"{name}-borders.toml")) for name in ("broken", "full", "odd"))
    assert f"3 of 5 scenarios failed: {broken}" in first.stderr.splitlines()
    assert "full-borders.toml failed: there is not enough memory" in first.stderr
    faults.clear()
    second = sim(*command)
    assert (second.exit_code, ran[5:]) == (0, ["broken-borders", "full-borders", "odd-borders"])
    assert len(second.stdout.splitlines()) == 5


def test_copies_that_share_a_name_fail_by_their_files(scenario: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    copy = scenario.with_name("copy.toml")
    copy.write_text(scenario.read_text(encoding="utf-8").replace("seed = 43", "seed = 44"), encoding="utf-8")

    def run(scenario: Scenario, **_: object) -> xr.DataTree:
        raise SimError("not a number")

    monkeypatch.setattr(results, "run", run)
    said = sim("run", scenario, copy, "--results", tmp_path / "results").stderr.splitlines()
    assert said[-3:] == [
        f"{scenario} failed: not a number.",
        f"{copy} failed: not a number.",
        f"2 of 2 scenarios failed: {scenario}, {copy}",
    ]


def test_a_scenario_that_is_given_twice_has_two_lines(scenario: Path, tmp_path: Path, engine: list[Scenario]) -> None:
    for command in (("run", scenario, scenario, "-q"), ("run", scenario, scenario, "-q", "--dry-run")):
        first, second = sim(*command, "--results", tmp_path / "results").stdout.splitlines()
        assert first == second
    assert len(engine) == 1
    assert len(sim("validate", scenario, scenario).stdout.splitlines()) == 2


def test_tolerance_and_engine_are_checked(scenario: Path, tmp_path: Path, engine: list[Scenario]) -> None:
    common = ("run", scenario, "--results", tmp_path / "results")
    assert "add --engine dask" in sim(*common, "--scheduler", "tcp://127.0.0.1:1").stderr
    both = sim(*common, "--engine", "dask", "--scheduler", "tcp://127.0.0.1:1", "--threads", "2")
    assert (both.exit_code, "--threads has no effect with --scheduler" in both.stderr) == (2, True)
    assert "worker processes to start" in " ".join(sim("run", "--help").stdout.split())
    assert sim(*common, "--tolerance", "0").exit_code == 2
    assert sim(*common, "--engine", "spark").exit_code == 2
    assert engine == []


# ------------------------------------------------------------------------------------------------------------------ progress


def talkative(scenario: Scenario, progress: Callable[[int, int], None] | None = None, **_: object) -> xr.DataTree:
    """Stand in for the engine: report a run of 1,000 draws, from 200 that an earlier run had made."""
    for done in (200, 600, 1000):
        time.sleep(0.02)
        if progress is not None:
            progress(done, 1000)
    return synthetic(scenario)


def test_lines_come_slowly_where_no_terminal_is_listening(scenario: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(results, "run", talkative)
    other = scenario.with_name("other.toml")
    other.write_text(scenario.read_text(encoding="utf-8").replace("two-borders", "other-borders"), encoding="utf-8")
    assert "% of 1,000" not in sim("run", scenario, "--results", tmp_path / "a").stderr  # it takes less than half a minute
    monkeypatch.setattr(progress, "PLAIN_SECONDS", 0.0)
    assert sim("run", scenario, "--results", tmp_path / "b", "--quiet").stderr == ""
    said = sim("run", scenario, other, "--results", tmp_path / "c").stderr
    lines = [line for line in said.splitlines() if "% of 1,000" in line]
    assert lines[0] == "two-borders: 20% of 1,000 draws, 0 draws a second, time left unknown; scenario 1 of 2, in all 1 s left"
    assert re.fullmatch(r"other-borders: 60% of 1,000 draws, [\d,]+ draws a second, 1 s left; scenario 2 of 2, in all 1 s left", lines[4])


@pytest.mark.skipif(os.name != "posix", reason="pseudo-terminals")
def test_a_terminal_shows_one_bar_for_the_scenario_and_one_for_the_batch(scenario: Path, tmp_path: Path) -> None:
    import pty

    other = scenario.with_name("other.toml")
    other.write_text(scenario.read_text(encoding="utf-8").replace("two-borders", "other-borders"), encoding="utf-8")
    code = "from cli.test_cli import talkative\nfrom sim import cli, results\nresults.run = talkative\ncli.main(prog_name='sim')"
    ours, theirs = pty.openpty()
    with spawn("run", scenario, other, "--results", tmp_path / "results", code=code, stderr=theirs) as process:
        os.close(theirs)
        seen = b""
        with contextlib.suppress(OSError):  # how a terminal says that nobody writes to it any more
            while part := os.read(ours, 65536):
                seen += part
        out, _ = process.communicate(timeout=120)
    os.close(ours)
    text = seen.decode()
    assert process.returncode == 0, text
    for words in ("two-borders", "other-borders", "scenario 2 of 2", "draws a second", "left"):
        assert words in text
    assert [Path(line).parent.name for line in out.splitlines()] == ["two-borders", "other-borders"]


@pytest.mark.parametrize(("seconds", "said"), [(0.2, "1 s"), (119, "119 s"), (121, "2 min"), (7300, "2 h"), (864_000, "10 days")])
def test_durations_are_for_people(seconds: float, said: str) -> None:
    assert progress.duration(seconds) == said


# ------------------------------------------------------------------------------------------------------------------ the others


def test_validate(scenario: Path) -> None:
    outcome = sim("validate", scenario)
    assert outcome.exit_code == 0
    assert outcome.stdout.startswith(f"{scenario}: valid; 4 strata")


def test_notes_on_several_scenarios_name_theirs(scenario: Path) -> None:
    doubtful = scenario.with_name("doubtful.toml")
    doubtful.write_text(scenario.read_text(encoding="utf-8").replace("event_prior = 0.5", "event_prior = 1000.0"), encoding="utf-8")
    alone, both = sim("validate", doubtful).stderr.splitlines(), sim("validate", scenario, doubtful).stderr.splitlines()
    assert alone
    assert all(line.startswith("Note: ") for line in alone)
    assert both == [f"{doubtful}: {line}" for line in alone]


def test_validate_of_cases_with_draws_of_their_own(scenario: Path) -> None:
    swept = '[[sweep]]\ndim = "n"\npath = "run.draws"\nvalues = [4096, 1024, 2048]\n'
    scenario.write_text(scenario.read_text(encoding="utf-8") + swept, encoding="utf-8")
    assert sim("validate", scenario).stdout.endswith(" 1,024 to 4,096 draws asked in each of 3 cases\n")


def test_show(made: Path) -> None:
    tree = open_result(made)
    outcome = sim("show", made)
    assert (outcome.exit_code, outcome.stderr) == (0, "")
    assert outcome.stdout.startswith("two-borders: How much?")
    cell = {"corridor": "west", "period": "FY2023", "form": "all"}
    median, error = (float(tree[group]["flow_pure_kg"].sel(cell | {"quantile": 0.5})) for group in ("quantiles", "mcse"))
    (line,) = (line for line in outcome.stdout.splitlines() if line.split()[:2] == ["west", "FY2023"])
    assert format_number(median, error) in line.split()
    assert np.isnan(tree["quantiles"]["flow_pure_kg"].sel(cell | {"period": "FY2024", "quantile": 0.5}))
    assert not any(line.split()[:2] == ["west", "FY2024"] for line in outcome.stdout.splitlines())  # no evidence, no row


def test_what_counts_as_seized_has_the_digits_of_its_error() -> None:
    tree = results.run(load_scenario("scenarios/north-vs-southwest.toml", overrides={"run.draws": 4096}))
    (said,) = printed._attributed(tree)
    place = re.search(r"filed under (\S+) in (\S+), (\S+) kg at the median", said)
    assert place is not None
    cell = {"corridor": place[1], "period": place[2], "form": "all", "quantile": 0.5}
    assert place[3] == format_number(*(float(tree[group]["seized_gross_kg"].sel(cell)) for group in ("quantiles", "mcse")))


def test_show_explains_a_number_that_its_error_drowns_where_there_is_one(scenario: Path, tmp_path: Path) -> None:
    loaded = load_scenario(scenario)
    clear, unclear = make_run(loaded, kept=0), make_run(loaded, kept=0)
    for errors in clear.mcse.values():
        errors[:] = 0.0
    unclear.mcse["flow_pure_kg"][:] = 1e9
    for name, made in (("clear", clear), ("unclear", unclear)):
        shown = sim("show", save_result(synthetic(loaded, made), tmp_path / name)).stdout
        assert ("~0 is nearer to 0 than its Monte Carlo error" in shown) == (made is unclear)


def test_show_says_once_what_has_no_mean_or_no_sd_and_why(scenario: Path, tmp_path: Path) -> None:
    loaded = load_scenario(scenario)
    run = make_run(loaded, kept=0)
    near, large = "detection_rate can be very near 0 (detection_rate: tail index 1.5)", "dose can be very near 0 (dose: tail index 3)"
    for quantity in ("missed_gross_kg", "missed_pure_kg", "n_missed"):
        run.mean[quantity][0, 0, 2] = np.nan
    run.sd["flow_doses"][:] = np.nan
    of_detection = {"detection_rate can be very near 0": {"detection_rate": 1.5}}
    notes = {"missed_gross_kg": of_detection, "missed_pure_kg": of_detection, "n_missed": of_detection}
    notes["flow_doses"] = {"dose can be very near 0": {"dose": 3.0}}
    shown = sim("show", save_result(synthetic(loaded, dataclasses.replace(run, notes=notes)), tmp_path)).stdout
    text = " ".join(shown.split())
    assert text.count("Quantiles are sound") == 2
    assert f"No mean is given for missed quantities in some rows, because it would not settle: {near}. Quantiles are sound." in text
    assert f"No standard deviation is given for flow quantities, because it would not settle: {large}. Quantiles are sound." in text


def test_show_one_quantity(made: Path) -> None:
    outcome = sim("show", made, "--quantity", "interdiction_rate", "--prob", "0.5")
    assert outcome.exit_code == 0
    assert outcome.stdout.startswith("interdiction_rate: seized pure mass / flow of pure mass, %")
    for words in ("powder", "pill", "all", "50 % interval"):
        assert words in outcome.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--quantity", "flow_pure"), "Did you mean flow_pure_kg?"),
        (("--prob", "0.94"), "The nearest is 0.95"),
        (("--prob", "90"), "Write 0.9."),
        (("--prob", "nan"), "allow 0.5"),
    ],
)
def test_show_with_a_wrong_option(made: Path, arguments: tuple[str, str], message: str) -> None:
    outcome = sim("show", made, *arguments)
    assert (outcome.exit_code, outcome.stdout) == (2, "")
    assert message in " ".join(outcome.stderr.split())


def test_show_of_a_damaged_result_and_of_what_is_none(made: Path, tmp_path: Path) -> None:
    """A damaged result is a failure; a path without one is a slip on the command line."""
    for path, message in (
        (tmp_path / "nothing", "there is no such folder"),
        (
            made.parent,
            f"this is a folder of results; a result is a folder with result.nc and manifest.json inside. Name one of those inside: {made}",
        ),
        (made.parent.parent, str(made)),
        (made / "scenario.toml", "this is a file"),
        (tmp_path, "this is no result"),
    ):
        outcome = sim("show", path)
        assert (outcome.exit_code, outcome.stdout) == (2, "")
        assert message in outcome.stderr
        assert "sim list" in outcome.stderr or "Name one" in outcome.stderr
    (made / "scenario.toml").write_text("", encoding="utf-8")
    outcome = sim("show", made)
    assert (outcome.exit_code, outcome.stdout) == (1, "")
    assert "scenario.toml: the file is damaged" in outcome.stderr


def test_show_by_run_id_and_by_name(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = sim("show", made).stdout
    monkeypatch.chdir(tmp_path)
    for called in (made.name, made.name[:4], "two-borders", made / "result.nc"):
        assert sim("show", called).stdout == whole
    (made.parent / "0123456789ab").mkdir()
    refused = sim("show", "two-borders")
    assert refused.exit_code == 2
    assert f"results/two-borders/{made.name}" in refused.stderr


def test_list(made: Path, tmp_path: Path) -> None:
    broken = shutil.copytree(made, made.parent / "0123456789ab")
    (broken / "result.nc").unlink()
    outcome = sim("list", tmp_path / "results")
    assert outcome.exit_code == 0
    lines = {line.split()[1]: line for line in outcome.stdout.splitlines() if line.split()[:1] == ["two-borders"]}
    assert "done" in lines[made.name]
    assert "How much?" in lines[made.name]
    assert "damaged" in lines["0123456789ab"]
    assert "result.nc: the file is missing" in outcome.stderr


def test_list_of_what_is_named(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder of results, of one name, or of one result, as a path and from inside; no folder is a slip, and none by default is not."""
    for folder in (made, made.parent, made.parent.parent):
        assert made.name in sim("list", folder).stdout
        monkeypatch.chdir(folder)
        (line,) = (line.split() for line in sim("list", ".").stdout.splitlines() if made.name in line)
        assert (line[0], line[4]) == ("two-borders", "done")
    monkeypatch.chdir(made.parent)
    assert made.name in sim("list", "..").stdout
    assert made.name in sim("list", made.name).stdout
    for none in ("nope", made / "result.nc"):
        outcome = sim("list", none)
        assert (outcome.exit_code, outcome.stdout) == (2, "")
        assert str(none) in outcome.stderr
    empty = tmp_path / "empty"
    empty.mkdir()
    monkeypatch.chdir(empty)
    for folder in ((), (".",)):
        outcome = sim("list", *folder)
        assert outcome.exit_code == 0
        assert outcome.stderr.rstrip("\n").endswith("results." if not folder else "empty.")


def test_list_says_where_a_folder_bears_the_name_of_another_run(made: Path) -> None:
    moved = made.rename(made.parent / "0123456789ab")
    outcome = sim("list", made.parent.parent)
    assert "damaged" in outcome.stdout
    assert f"the folder is that of 0123456789ab, and the manifest that of {made.name}" in outcome.stderr
    moved.rename(made)
    made.parent.rename(made.parent.with_name("sea-borders"))
    assert "the folder is that of sea-borders, and the manifest that of two-borders" in sim("list", made.parent.parent).stderr


def test_list_shows_what_an_interrupted_run_left(made: Path, scenario: Path, tmp_path: Path) -> None:
    """Partials beside a finished result are of no interest; those of another run are, with what its scenario says."""
    (made.parent / f".partial-{made.name}").mkdir()
    left = made.parent / ".partial-0123456789ab"
    left.mkdir()
    loaded = load_scenario(scenario, overrides={"run.draws": 777})
    tell = results._leaving_word(loaded, left, None)
    tell(1, 777)
    lines = [line for line in sim("list", tmp_path / "results").stdout.splitlines() if "two-borders" in line]
    assert len(lines) == 2
    (line,) = (line for line in lines if "partial" in line)
    assert all(word in line.split() for word in ("0123456789ab", "777", "much?"))
    (left / "scenario.toml").write_text("broken = ", encoding="utf-8")
    assert "–" in next(line for line in sim("list", tmp_path / "results").stdout.splitlines() if "partial" in line)


def test_schema() -> None:
    outcome = sim("schema")
    assert outcome.exit_code == 0
    assert json.loads(outcome.stdout)["$schema"].startswith("https://json-schema.org/")


def test_compiling_is_told_of_once_and_never_under_quiet(scenario: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def run(asked: Scenario, **options: object) -> xr.DataTree:
        for module in modules:

            def kernel(x: float) -> float:
                return x + 1.0

            kernel.__module__ = module
            numba.njit(kernel)(1.0)
        return synthetic(asked)

    monkeypatch.setattr(results, "run", run)
    modules = ["sim.kernels.border", "sim.kernels.counts"]
    assert sim("run", scenario, "--results", tmp_path / "a").stderr.count("Compiling the kernels, this once") == 1
    assert sim("run", scenario, "--results", tmp_path / "b", "--quiet").stderr == ""
    modules = ["somebody.elses"]
    assert "ompiling" not in sim("run", scenario, "--results", tmp_path / "c").stderr


def test_import_cbp(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import pandas as pd

    table = pd.DataFrame({"corridor": ["north"], "amount": [1.5]})
    table.attrs["reports"] = ["Two events have no weight."]
    asked: list[object] = []
    monkeypatch.setattr(cbp, "import_cbp", lambda files, drug, cells: asked.append((files, drug)) or table)
    source, target = tmp_path / "raw.csv", tmp_path / "evidence.csv"
    source.write_text("")
    outcome = sim("import-cbp", source, "-o", target, "--drug", "Heroin")
    assert (outcome.exit_code, outcome.stdout) == (0, f"{target}\n")
    assert asked == [((source,), "Heroin")]
    assert "Two events have no weight." in outcome.stderr
    assert target.read_text(encoding="utf-8") == "corridor,amount\nnorth,1.5\n"
    refused = sim("import-cbp", source, "-o", source)
    assert refused.exit_code == 2
    assert "it is the file to read" in refused.stderr
    for name in ("scenario.toml", "map.nc", "evidence"):
        refused = sim("import-cbp", source, "-o", tmp_path / name)
        assert (refused.exit_code, "must end in .csv" in refused.stderr) == (2, True)
        assert not (tmp_path / name).exists()


def test_a_map_replaces_nothing_that_its_scenario_reads(scenario: Path) -> None:
    """Neither by its ending nor, where a table has that ending, by what it is."""
    folder = scenario.parent
    table = next(folder.rglob("*.csv"))
    name = table.relative_to(folder).as_posix()
    table.rename(folder / "table.nc")
    scenario.write_text(scenario.read_text(encoding="utf-8").replace(name, "table.nc"), encoding="utf-8")
    (folder / "other.toml").write_text("mine")
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    over = ("--over", "parameter.a", "--over", "parameter.b")
    for target, said in (
        ("table.nc", "it is one of the files to read"),
        ("sources.toml", "it is one of the files to read"),
        ("scenario.toml", "it is one of the files to read"),
        ("other.toml", "it must end in .nc"),
        ("map.csv", "it must end in .nc"),
    ):
        refused = sim("tipping", scenario, "claim", *over, "-o", folder / target)
        assert (refused.exit_code, refused.stdout) == (2, "")
        assert said in " ".join(refused.stderr.split())
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


def test_import_cbp_of_a_wrong_file(tmp_path: Path) -> None:
    outcome = sim("import-cbp", tmp_path / "absent.csv", "-o", tmp_path / "evidence.csv")
    assert (outcome.exit_code, outcome.stdout) == (2, "")
    assert "absent.csv" in outcome.stderr
    assert everything_below(tmp_path) == []
    assert sim("import-cbp", "x.csv").exit_code == 2


@pytest.mark.parametrize("command", ["run", "validate", "show", "list", "import-cbp", "fit-loads", "schema"])
def test_help(command: str) -> None:
    assert f"  {command} " in sim("--help").stdout
    outcome = sim(command, "--help")
    assert outcome.exit_code == 0
    assert outcome.stdout.startswith(f"Usage: sim {command}")


def test_version_and_no_command() -> None:
    assert sim("--version").stdout.startswith("sim ")
    assert sim().exit_code == 2
    assert sim("frobnicate").exit_code == 2


# ------------------------------------------------------------------------------------------------------------------ real processes


def test_a_closed_pipe_is_quiet(made: Path) -> None:
    with spawn("show", made) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()  # as `| head -0` does
        err = process.stderr.read()
        process.stdout = None
        process.wait(timeout=120)
    assert (process.returncode, err) == (0, "")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
def test_a_full_disk_behind_standard_output_is_an_error_without_a_traceback(made: Path, scenario: Path, tmp_path: Path) -> None:
    for arguments in (("schema",), ("show", made)):
        with open("/dev/full", "w") as full, spawn(*arguments, stdout=full) as process:
            _, err = process.communicate(timeout=120)
        assert (process.returncode, err) == (1, "What was to be printed cannot be written: No space left on device.\n")
    again = ("run", scenario, "--results", tmp_path / "results", "-q")
    with open("/dev/full", "w") as full, spawn(*again, stdout=full) as process:
        _, err = process.communicate(timeout=120)
    assert (process.returncode, err.count("\n")) == (1, 1)
    assert err.startswith("Standard output was closed or full before the path of 1 of 1 results was printed; sim list")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
def test_a_log_on_a_full_disk_stops_no_batch_and_hides_no_path(made: Path, scenario: Path, tmp_path: Path) -> None:
    other = scenario.with_name("other.toml")
    other.write_text(scenario.read_text(encoding="utf-8").replace("two-borders", "other-borders"), encoding="utf-8")
    code = """
from cli.test_cli import synthetic
from sim import cli, results
results.run = lambda scenario, **_: synthetic(scenario)
cli.main(prog_name="sim")
"""
    with open("/dev/full", "w") as full:
        for options in ((), ("--quiet",)):
            command = ("run", scenario, other, "--results", tmp_path / "results", *options)
            with spawn(*command, code=code, stderr=full) as process:
                out, _ = process.communicate(timeout=120)
            assert process.returncode == 0
            assert [Path(line).parent.name for line in out.splitlines()] == ["two-borders", "other-borders"]


def test_a_summary_that_fails_hides_no_path_and_stops_no_batch(
    scenario: Path, tmp_path: Path, engine: list[Scenario], monkeypatch: pytest.MonkeyPatch
) -> None:
    def summary(*_: object, **__: object) -> str:
        raise SimError("no digits")

    monkeypatch.setattr(printed, "summary", summary)
    outcome = sim("run", scenario, "--results", tmp_path / "results")
    assert (outcome.exit_code, len(outcome.stdout.splitlines())) == (1, 1)
    assert "failed: no digits" in outcome.stderr


def test_a_reader_that_goes_away_stops_no_run_and_hides_no_failure(scenario: Path, tmp_path: Path) -> None:
    """`sim run ... 2>&1 | head -1` over three scenarios, of which the second fails: the third is run, and the status is 1."""
    names = ("first-borders", "broken-borders", "third-borders")
    for name in names:
        text = scenario.read_text(encoding="utf-8").replace("two-borders", name)
        scenario.with_name(f"{name}.toml").write_text(text, encoding="utf-8")
    code = """
import sys
from cli.test_cli import synthetic
from sim import cli, errors, results
def run(scenario, **_):
    sys.stdin.readline()  # until the reader has gone
    if scenario.name == "broken-borders":
        raise errors.SimError("flow_pure_kg is not a number")
    return synthetic(scenario)
results.run = run
cli.main(prog_name="sim")
"""
    paths = [scenario.with_name(f"{name}.toml") for name in names]
    pipes = {"stdin": subprocess.PIPE, "stderr": subprocess.STDOUT}
    with spawn("run", *paths, "--results", tmp_path / "results", code=code, **pipes) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdout.close()
        process.stdin.write("go\n" * 3)
        process.stdin.close()
        process.wait(timeout=120)
        process.stdin = process.stdout = None
    assert process.returncode == 1
    assert sorted(folder.name for folder in (tmp_path / "results").iterdir()) == ["first-borders", "third-borders"]


def test_a_path_that_nobody_reads_is_an_error_of_one_line(scenario: Path, tmp_path: Path) -> None:
    code = """
import sys
from cli.test_cli import synthetic
from sim import cli, results
def run(scenario, **_):
    sys.stdin.readline()  # until the reader has gone
    return synthetic(scenario)
results.run = run
cli.main(prog_name="sim")
"""
    with spawn("run", scenario, "--results", tmp_path / "results", "--quiet", code=code, stdin=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        process.stdin.write("go\n")
        process.stdin.close()
        err = process.stderr.read()
        process.wait(timeout=120)
        process.stdin = process.stdout = None
    assert process.returncode == 1
    assert err.startswith("Standard output was closed or full before the path of 1 of 1 results was printed")
    assert err.count("\n") == 1
    assert len(list((tmp_path / "results").iterdir())) == 1


@pytest.mark.skipif(os.name != "posix", reason="signals")
def test_ctrl_c_ends_with_status_130(scenario: Path, tmp_path: Path) -> None:
    """A real SIGINT in the middle of a run, here one that would take for ever."""
    code = """
import signal, sys, time
from sim import cli, results
signal.signal(signal.SIGINT, signal.default_int_handler)  # what a shell starts in the background ignores it
def run(*_, **__):
    print("running", file=sys.stderr, flush=True)
    time.sleep(600)
results.run = run
cli.main(prog_name="sim")
"""
    with spawn("run", scenario, "--results", tmp_path / "results", code=code) as process:
        assert process.stderr is not None
        assert process.stderr.readline() == "running\n"
        time.sleep(0.2)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=120)
    assert (process.returncode, out) == (130, "")
    assert err == "Interrupted; nothing was left half-written.\n"
    assert not (tmp_path / "results").exists()


def test_a_scenario_runs_from_the_shell_and_its_scenario_toml_gives_the_same_run(scenario: Path, tmp_path: Path) -> None:
    """The whole way, with the engine: status, streams, and the identity of what was written."""
    with spawn("run", scenario, "--results", tmp_path / "results", "--draws", "64", "--threads", "1") as process:
        out, err = process.communicate(timeout=600)
    assert process.returncode == 0, err
    folder = Path(out.strip())
    tree = open_result(folder)
    assert tree.attrs["draws_asked"] == 64
    assert float(tree["quantiles"]["flow_pure_kg"].sel(corridor="west", period="FY2023", form="all", quantile=0.5)) > 0
    assert results.run_id(load_scenario(folder / "scenario.toml")) == folder.name
    assert "~" not in out
    with pytest.raises(FileExistsError):
        (tmp_path / "results").mkdir()
    assert save_result(tree, tmp_path / "results") == folder


def test_a_folder_without_permission_fails_the_run_and_a_file_is_a_slip(
    scenario: Path, tmp_path: Path, engine: list[Scenario], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Tried is the folder of each name, where it stands already, or else what it would stand in."""
    results_folder = tmp_path / "results"
    closed = {tmp_path}
    make = tempfile.TemporaryFile

    def try_it(*, dir: Path) -> object:
        if dir in closed:  # root may write anywhere
            raise PermissionError(13, "Permission denied")
        return make(dir=dir)

    monkeypatch.setattr(tempfile, "TemporaryFile", try_it)
    refused = sim("run", scenario, "--results", tmp_path / "locked")
    assert refused.exit_code == 1
    assert "may not be written: Permission denied. Give another folder by --results" in refused.stderr
    assert not (tmp_path / "locked").exists()
    (results_folder / "two-borders").mkdir(parents=True)
    closed = {results_folder / "two-borders"}
    assert sim("run", scenario, "--results", results_folder).exit_code == 1
    closed = {results_folder}  # nothing is made in it
    assert sim("run", scenario, "--results", results_folder, "--dry-run").exit_code == 0
    assert everything_below(results_folder) == ["two-borders"]
    (results_folder / "two-borders").rmdir()
    (results_folder / "two-borders").touch()
    (tmp_path / "file").touch()
    for folder in (results_folder, tmp_path / "file"):
        refused = sim("run", scenario, "--results", folder)
        assert (refused.exit_code, "is a file" in refused.stderr) == (2, True)
    assert engine == []


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="no folder that even root cannot write to")
def test_writing_is_tried_not_asked(scenario: Path, engine: list[Scenario]) -> None:
    refused = sim("run", scenario, "--results", "/proc/self/results")
    assert (refused.exit_code, "may not be written" in refused.stderr) == (1, True)
    assert engine == []


def test_the_folder_of_results_has_a_name_and_may_be_at_home(
    scenario: Path, tmp_path: Path, engine: list[Scenario], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    assert sim("run", scenario, "--results=~/runs", "-q").stdout.startswith(str(tmp_path / "runs" / "two-borders"))
    refused = sim("run", scenario, "--results", "")
    assert (refused.exit_code, "the name is empty" in refused.stderr) == (2, True)
