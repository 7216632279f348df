"""Engines: real schedulers and real worker processes, lost ones included, change no bit; what a cluster can do wrong is one line."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import build
import pytest
import strategies
from build import PERIOD
from estimates import bits, border_engine, make_tasks_small
from hypothesis import given
from hypothesis import strategies as st

import sim
from sim import engines, runner, simulation
from sim.errors import SimError
from sim.model import compile_model
from sim.records import Claim, Contrast, Result

distributed = pytest.importorskip("distributed")
cluster = pytest.importorskip("sim.cluster")

ROOT = Path(__file__).parents[1]
PLAN = runner.Plan(sampler="sobol", seed=43, draws_asked=1 << 17, replicates=16, points=1 << 13)

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning:distributed"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),  # sockets of processes that were killed
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.fixture(scope="module")
def engine():
    return border_engine()


@pytest.fixture(autouse=True)
def _small_tasks(monkeypatch):
    make_tasks_small(monkeypatch)


@pytest.fixture(scope="module")
def reference(engine):
    return bits(runner.estimate(engine, PLAN, threads=1))


@pytest.fixture(scope="module")
def workers():
    """Two worker processes of this machine, each under a nanny that replaces it when it dies."""
    with engines.dask(workers=2) as executor:
        yield executor


# bunches


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 1 << 20), st.just(1024)), max_size=40).map(sorted), st.integers(1, 9))
def test_bunches_hold_every_task_once_and_one_replicate_each(tasks, most):
    found = engines.bunches(tasks, most)
    assert [task for bunch in found for task in bunch] == tasks
    assert all(0 < len(bunch) <= most and len({task[0] for task in bunch}) == 1 for bunch in found)
    assert len(found) <= len(tasks) / most + 4


def test_many_tasks_make_few_parts(engine, monkeypatch):
    monkeypatch.setattr(engines, "MOST_PARTS", 8)
    parts = []
    work = runner._Work(engine, PLAN, runner.summaries.plan_layout(runner._pilot(engine, PLAN, runner._Sources(engine, PLAN)), True), "")
    engines.local(2).run(work, PLAN.tasks(), parts.append, lambda points: None)
    assert len(parts) == 16  # eight, but for the bounds between replicates
    assert sorted((part.replicate, *task) for part in parts for task in part.covers) == PLAN.tasks()


# a local cluster


def test_a_cluster_gives_the_same_bytes(engine, reference, workers):
    seen = []
    found = runner.estimate(engine, PLAN, executor=workers, progress=lambda done, total: seen.append((done, total)))
    assert bits(found) == reference
    assert seen[-1] == (PLAN.draws, PLAN.draws)
    assert seen == sorted(seen)


def test_a_worker_that_is_killed_changes_no_byte(engine, reference, workers):
    """SIGKILL in mid-run: what it was computing, and what it held, is computed again."""
    victims = workers.client.run(os.getpid)
    killed = []

    def progress(done, total):
        if done >= total // 4 and not killed:
            killed.append(next(iter(victims.values())))
            os.kill(killed[0], signal.SIGKILL)

    assert bits(runner.estimate(engine, PLAN, executor=workers, progress=progress)) == reference
    assert killed
    with pytest.raises(ProcessLookupError):
        os.kill(killed[0], 0)


def test_what_one_engine_left_another_takes_up(engine, reference, workers, tmp_path):
    class Enough(Exception):
        pass

    def progress(done, total):
        if done >= total // 2:
            raise Enough

    with pytest.raises(Enough):
        runner.estimate(engine, PLAN, executor=workers, progress=progress, folder=tmp_path)
    found = runner.estimate(engine, PLAN, threads=2, folder=tmp_path)
    assert found.resumed >= PLAN.draws // 2
    assert bits(found) == reference
    assert bits(runner.estimate(engine, PLAN, executor=workers, folder=tmp_path)) == reference


def test_parts_are_merged_on_the_workers(engine, workers, monkeypatch):
    """64 tasks on two threads come back as 16 parts; with bunches of four, each through one merge."""
    monkeypatch.setattr(runner, "BLOCK", 1 << 11)
    received = []
    plain = runner._Collected.receive
    monkeypatch.setattr(runner._Collected, "receive", lambda self, part: (received.append(len(part.covers)), plain(self, part)))
    runner.estimate(engine, PLAN, executor=workers)
    assert received == [4] * 16
    monkeypatch.setattr(cluster, "FAN_IN", 2)  # a tree of two levels
    runner.estimate(engine, PLAN, executor=workers)
    assert received == [4] * 32


class Failing:
    """An engine whose blocks fail on the workers."""

    def __init__(self, engine, error):
        self.engine, self.error = engine, error

    def __getattr__(self, name):
        if name.startswith("__") or name == "engine":
            raise AttributeError(name)
        return getattr(self.engine, name)

    def summarise(self, block, layout, state, sums):
        raise self.error


@pytest.mark.parametrize("error", [SimError("the input is wrong"), MemoryError("too many draws")])
def test_an_error_on_a_worker_is_raised_here(engine, workers, error):
    with pytest.raises(type(error), match=str(error)):
        runner.estimate(Failing(engine, error), PLAN, executor=workers)


def test_a_worker_with_other_kernels_is_refused(engine, workers, monkeypatch):
    monkeypatch.setattr(runner, "kernels_digest", lambda: "of another release")
    with pytest.raises(SimError, match="the same version of borderflow-sim"):
        runner.estimate(engine, PLAN, executor=workers)


# a scheduler of its own


@contextlib.contextmanager
def process(*command):
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT), str(ROOT / "tests"), os.environ.get("PYTHONPATH")]))}
    started = subprocess.Popen(
        [sys.executable, "-m", *command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment
    )
    try:
        yield started
    finally:
        started.kill()
        started.wait()
        started.stdout.close()


def test_a_running_cluster_that_loses_a_worker(engine, reference, tmp_path):
    """A scheduler and two workers as three processes, started as on a cluster; one worker dies and is not replaced."""
    with contextlib.ExitStack() as stack:
        options = ("--host", "127.0.0.1", "--port", "0", "--no-dashboard")
        scheduler = stack.enter_context(process("distributed.cli.dask_scheduler", *options))
        address = next(found[0] for line in scheduler.stdout if (found := re.search(r"tcp://[\d.]+:\d+", line)))
        worker = (
            "distributed.cli.dask_worker",
            address,
            "--nthreads",
            "1",
            "--no-nanny",
            "--no-dashboard",
            "--local-directory",
            str(tmp_path),
        )
        doomed, _ = stack.enter_context(process(*worker)), stack.enter_context(process(*worker))
        with engines.dask(address) as executor:
            executor.client.wait_for_workers(2, timeout=60)

            def progress(done, total):
                if done >= total // 4 and doomed.poll() is None:
                    doomed.send_signal(signal.SIGKILL)
                    doomed.wait()

            assert bits(runner.estimate(engine, PLAN, executor=executor, progress=progress)) == reference
            assert doomed.returncode == -signal.SIGKILL


def test_two_clusters_on_one_machine_do_not_complain_of_each_other():
    with engines.dask(workers=1), engines.dask(workers=1):  # a warning of a port in use would be an error here
        pass


def test_no_scheduler_at_the_address(monkeypatch):
    monkeypatch.setattr(cluster, "_CONNECT_SECONDS", 0.5)
    begin = time.monotonic()
    with pytest.raises(SimError) as refused, engines.dask("tcp://127.0.0.1:1"):
        pass
    assert len(str(refused.value).splitlines()) == 1
    assert "no Dask scheduler answers at tcp://127.0.0.1:1" in str(refused.value)
    assert time.monotonic() - begin < 30.0


@pytest.mark.parametrize("address", ["nonsense", "tcp://", "tcp://here", "http://127.0.0.1:8786", ""])
def test_no_address(address):
    with pytest.raises(SimError, match="is no address of a scheduler") as refused, engines.dask(address):
        pass
    assert len(str(refused.value).splitlines()) == 1


@pytest.mark.parametrize("missing", ["distributed", "dask"])
def test_without_the_extra_it_says_what_to_install(monkeypatch, missing):
    monkeypatch.delitem(sys.modules, "sim.cluster")
    if missing == "dask":
        for name in [name for name in sys.modules if name.partition(".")[0] == "distributed"]:
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(SimError, match=re.escape("borderflow-sim[dask]")), engines.dask():
        pass


@pytest.mark.nightly
def test_the_shipped_scenario_on_a_cluster_that_loses_workers():
    import sim

    scenario = sim.load_scenario(ROOT / "scenarios" / "north-vs-southwest.toml", overrides={"run.draws": 1 << 18})
    alone = sim.run(scenario)
    with engines.dask(workers=2) as executor:
        done = []

        def progress(points, total):
            if points >= total * (1 + len(done)) // 4 and len(done) < 2:
                done.append(points)
                os.kill(next(iter(executor.client.run(os.getpid).values())), signal.SIGKILL)

        together = sim.run(scenario, executor=executor, progress=progress)
    assert len(done) == 2
    assert together.attrs["numbers_digest"] == alone.attrs["numbers_digest"]


def test_a_condition_weighs_alike_on_workers(workers):
    """Weights travel as sums of integers: a cluster gives the digest of threads, sensitivity and a sweep of the bound beside it too."""
    flow = {"quantity": "flow_pure_kg", "corridor": "north", "period": PERIOD, "form": "all"}
    bound = {"id": "bound", "result": flow, "soft_upper": "6 kg", "log_sd": 0.5}
    parameters = {"detection_rate": {"kind": "beta", "mean": 0.1, "sd": 0.03}, "powder_purity": 0.1, "load_shape": 1.0}
    swept = [{"dim": "bound_kg", "path": "condition.bound.soft_upper", "values": [6.0, 3.0]}]
    for tables in ({}, {"sweep": swept}):
        tables = {"model": {"load_law": "gamma"}, "condition": [bound], "sensitivity": {}, "run": {"draws": 8_192}, **tables}
        asked = build.scenario([build.row()], parameters, **tables)
        here, there = (sim.run(asked, threads=1, executor=executor) for executor in (None, workers))
        assert "conditioned" in there.children
        assert there.attrs["numbers_digest"] == here.attrs["numbers_digest"]


def test_claims_are_counted_alike_by_workers(workers):
    """Hits travel with the parts, and the second count of a claim that few draws hit goes the same way."""
    side = {"corridor": "east", "period": "FY2024", "form": "all"}
    ratio = Contrast(id="r", numerator=Result(quantity="flow_gross_kg", **side), denominator=Result(quantity="seized_gross_kg", **side))
    claims = (Claim(id="often", text="", contrast="r", above=9.0), Claim(id="never", text="", contrast="r", below=0.5))
    scenario = dataclasses.replace(strategies.fixed_border_scenario(), contrasts=(ratio,), claims=claims, sampler="sobol", draws=32_768)
    here, there = (simulation.simulate(compile_model(scenario), threads=1, executor=executor) for executor in (None, workers))
    assert here.claims["rerun"].tolist() == [False, True]
    assert here.claims["hits"][0] > 50
    for name in ("contrasts", "claims", "quantiles"):
        mine, theirs = getattr(here, name), getattr(there, name)
        assert all(mine[key].tobytes() == theirs[key].tobytes() for key in mine), name
