"""Partials: the same bits after any interruption; what is damaged, foreign or stale is never used; the folder and its refusals."""

from __future__ import annotations

import dataclasses
import errno
import itertools
import json
import os
import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from estimates import bits, border_engine, make_tasks_small
from hypothesis import given, settings
from hypothesis import strategies as st

from sim import partials, runner, saved
from sim.errors import ResultError

PLANS = {
    "sobol": runner.Plan(sampler="sobol", seed=43, draws_asked=1 << 15, replicates=16, points=1 << 11),
    "philox": runner.Plan(sampler="philox", seed=43, draws_asked=1 << 15, replicates=1, points=3 << 13),
}


@pytest.fixture(scope="module")
def engine():
    return border_engine()


@pytest.fixture(autouse=True)
def _small_tasks(monkeypatch):
    make_tasks_small(monkeypatch)


@pytest.fixture(scope="module")
def reference(engine):
    return {sampler: bits(runner.estimate(engine, plan, threads=1)) for sampler, plan in PLANS.items()}


def estimated(engine, plan, folder, **keys):
    return runner.estimate(engine, plan, threads=1, folder=folder, identity="this", **keys)


class Interrupted(Exception):
    pass


class Until:
    """An executor that computes some of the tasks, in an order of its own, several to a part, and then breaks off."""

    def __init__(self, n, most=1, chance=None, breaks=True):
        self.n, self.most, self.chance, self.breaks = n, most, chance or random.Random(0), breaks

    def run(self, work, tasks, receive, report):
        tasks = self.chance.sample(tasks, len(tasks))[: self.n]
        by_replicate = {}
        for task in tasks:
            by_replicate.setdefault(task[0], []).append(task)
        for mine in by_replicate.values():
            for some in itertools.batched(mine, self.most) if sys.version_info >= (3, 12) else _batched(mine, self.most):
                receive(work.compute(list(some), lambda: True, lambda points: None))
        if self.breaks:
            raise Interrupted


def _batched(items, n):
    return [items[start : start + n] for start in range(0, len(items), n)]


# resume


@pytest.mark.parametrize("sampler", PLANS)
@given(st.integers(0, 40), st.sampled_from([1, 2, 5]), st.randoms(use_true_random=False))
@settings(max_examples=10)
def test_a_run_that_broke_off_anywhere_ends_with_the_same_bytes(engine, reference, tmp_path_factory, sampler, n, most, chance):
    folder = tmp_path_factory.mktemp("resume") / "kept"
    plan = PLANS[sampler]
    for _ in range(2):
        with pytest.raises(Interrupted):
            estimated(engine, plan, folder, executor=Until(n // 2, most, chance))
    found = estimated(engine, plan, folder)
    assert bits(found) == reference[sampler]
    n_done = min(2 * (n // 2), len(plan.tasks()))
    assert found.resumed == n_done * 1024
    assert found.damaged == 0


def test_all_that_is_kept_is_used(engine, reference, tmp_path):
    estimated(engine, PLANS["sobol"], tmp_path)
    seen = []
    again = estimated(engine, PLANS["sobol"], tmp_path, executor=Until(0), progress=lambda done, total: seen.append((done, total)))
    assert bits(again) == reference["sobol"]
    assert seen == [(PLANS["sobol"].draws,) * 2]


def test_counts_beyond_32_bits(engine, reference, tmp_path, monkeypatch):
    """A replicate of more than 2^32 points is counted in 64 bits; here every one is."""
    monkeypatch.setattr(runner, "_MOST_UINT32", 1)
    assert bits(estimated(engine, PLANS["philox"], tmp_path)) == reference["philox"]
    plan = dataclasses.replace(PLANS["philox"], points=1 << 32)
    work = runner._Work(engine, plan, runner.summaries.plan_layout(np.zeros((engine.n_summaries, 1)), True), "")
    monkeypatch.setattr(runner, "_MOST_UINT32", 1 << 32)
    collected = runner._Collected(work, plan, engine, work.layout, {}, False)
    for first in range(2):
        part = partials.Part(replicate=0, covers=[(first, 1)], state=work.blank(), counters=np.zeros(engine.n_counters, np.int64))
        part.state.counts[:] = 2**32 - 1
        collected.receive(part)
    assert (collected._open[0].state.counts == 2 * (2**32 - 1)).all()


def test_replicates_that_fit_32_bits_and_their_sum_that_does_not(engine):
    plan = dataclasses.replace(PLANS["sobol"], points=2**32 // PLANS["sobol"].replicates)
    work = runner._Work(engine, plan, runner.summaries.plan_layout(np.zeros((engine.n_summaries, 1)), True), "")
    collected = runner._Collected(work, plan, engine, work.layout, {}, False)
    for replicate in range(plan.replicates):
        part = partials.Part(
            replicate=replicate, covers=[(0, plan.points)], state=work.blank(), counters=np.zeros(engine.n_counters, np.int64)
        )
        part.sums[0, 0] = np.zeros((engine.n_summaries, 2))
        part.state.counts[:] = plan.points
        collected.receive(part)
    assert (collected.state.counts == 2**32).all()


# bytes


def one_part(engine, plan=PLANS["philox"], tasks=((0, 0, 1024), (0, 4096, 1024)), identity="this"):
    sources = runner._Sources(engine, plan)
    layout = runner.summaries.plan_layout(runner._pilot(engine, plan, sources), engine.origin_zero)
    work = runner._Work(engine, plan, layout, identity)
    return work, work.compute(list(tasks), lambda: True, lambda points: None)


def test_packed_and_unpacked_is_identical(engine):
    work, part = one_part(engine)
    found = work.unpack(work.pack(part))
    assert (found.replicate, found.covers, found.seconds) == (part.replicate, part.covers, part.seconds)
    for name, array in part.state._asdict().items():
        assert getattr(found.state, name).tobytes() == array.tobytes(), name
    assert found.counters.tobytes() == part.counters.tobytes()
    assert {node: sums.tobytes() for node, sums in found.sums.items()} == {node: sums.tobytes() for node, sums in part.sums.items()}
    assert work.pack(found) == work.pack(part)


def test_a_part_is_small(engine):
    work, part = one_part(engine)
    dense = sum(array.nbytes for array in part.state)
    assert len(work.pack(part)) < dense / 5


def test_every_bit_counts(engine):
    work, part = one_part(engine)
    packed = work.pack(part)
    chance = random.Random(1)
    for at in [*range(80), *chance.sample(range(80, len(packed)), 200)]:
        spoilt = bytearray(packed)
        spoilt[at] ^= 1 << chance.randrange(8)
        with pytest.raises(partials.Unusable):
            work.unpack(bytes(spoilt))
    for length in [0, 1, 20, 51, 60, len(packed) // 2, len(packed) - 1]:
        with pytest.raises(partials.Unusable):
            work.unpack(packed[:length])
    with pytest.raises(partials.Unusable):
        work.unpack(packed + b"\0")


def test_another_scenario_seed_sampler_or_version_does_not_belong(engine, monkeypatch):
    work, part = one_part(engine)
    packed = work.pack(part)
    others = [
        one_part(engine, identity="that")[0],
        one_part(engine, plan=dataclasses.replace(PLANS["philox"], seed=44))[0],
        one_part(engine, plan=PLANS["sobol"])[0],
        runner._Work(engine, PLANS["philox"], work.layout._replace(centre=work.layout.centre + 1.0), "this"),
    ]
    for name, changed in (("METHOD_VERSION", runner.METHOD_VERSION + 1), ("kernels_digest", lambda: "of other kernels")):
        with monkeypatch.context() as patch:
            patch.setattr(runner, name, changed)
            others.append(one_part(engine)[0])
            assert others[-1].belongs  # taken now
    for other in others:
        with pytest.raises(partials.Unusable, match="another case"):
            other.unpack(packed)
    assert one_part(engine)[0].unpack(packed).points == 2048


# the folder


def test_what_is_damaged_is_deleted_and_counted(engine, reference, tmp_path):
    plan = PLANS["sobol"]
    estimated(engine, plan, tmp_path)
    foreign = tmp_path / "foreign"
    runner.estimate(engine, plan, threads=1, folder=foreign, identity="that")
    files = sorted(tmp_path.glob("*.part"))
    assert len(files) == len(plan.tasks())
    files[0].write_bytes(b"")
    files[1].write_bytes(files[1].read_bytes()[:-1])
    files[2].write_bytes(sorted(foreign.glob("*.part"))[2].read_bytes())
    files[3].rename(tmp_path / f".{files[3].name}")  # never finished
    found = estimated(engine, plan, tmp_path)
    assert bits(found) == reference["sobol"]
    assert found.damaged == 3
    assert found.resumed == plan.draws - 4 * 1024
    assert estimated(engine, plan, tmp_path, executor=Until(0)).damaged == 0


def test_parts_that_overlap_are_used_once(engine, reference, tmp_path):
    """Two processes at once may each have kept some of the same tasks, in other bunches."""
    plan = PLANS["philox"]
    for most in (1, 3, 4):
        with pytest.raises(Interrupted):
            runner.estimate(engine, plan, folder=tmp_path / str(most), identity="this", executor=Until(20, most))
    for number, file in enumerate(sorted(tmp_path.glob("*/*.part"))):
        file.rename(tmp_path / f"{number:03d}.part")
    found = estimated(engine, plan, tmp_path)
    assert bits(found) == reference["philox"]
    assert found.resumed > 0


def test_quick_work_is_not_kept(engine, tmp_path, monkeypatch):
    monkeypatch.setattr(partials, "SHARE", 0.05)
    store = partials.Store(tmp_path / "kept", "x" * 64)
    _, part = one_part(engine)
    part.seconds = 0.5
    store.keep(part)
    assert not (tmp_path / "kept").exists()
    part.seconds = 10.0
    store.keep(part)
    assert len(list((tmp_path / "kept").iterdir())) == 1


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EACCES, errno.EIO])
@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_a_refusal_is_one_line_and_leaves_what_was_kept(engine, reference, tmp_path, monkeypatch, number, step):
    folder = tmp_path / "kept"
    times = itertools.count()
    plain = getattr(os, step)

    def refuse(*given):
        if next(times) == 5:
            raise OSError(number, os.strerror(number))
        return plain(*given)

    with monkeypatch.context() as patch:
        patch.setattr(os, step, refuse)
        with pytest.raises(ResultError) as refused:
            estimated(engine, PLANS["sobol"], folder)
    assert len(str(refused.value).splitlines()) == 1
    assert os.strerror(number) in str(refused.value)
    assert "again: it goes on from there" in str(refused.value)
    assert len(list(folder.glob("*.part"))) == 5
    assert not list(folder.glob(".*"))
    found = estimated(engine, PLANS["sobol"], folder)
    assert found.resumed == 5 * 1024
    assert bits(found) == reference["sobol"]


def test_a_folder_that_is_a_file_is_said(engine, tmp_path):
    (tmp_path / "kept").write_text("not a folder")
    with pytest.raises(ResultError, match="cannot be read"):
        estimated(engine, PLANS["sobol"], tmp_path / "kept")


def test_a_folder_that_is_removed_meanwhile_is_made_again(engine, reference, tmp_path):
    folder = tmp_path / "name" / ".partial-0123456789ab"
    found = estimated(engine, PLANS["philox"], folder, progress=lambda done, total: partials.remove(folder))
    assert bits(found) == reference["philox"]
    partials.remove(folder)
    assert not folder.exists()
    partials.remove(folder)


def test_a_folder_without_partials_is_listed(tmp_path):
    """A kill between the making of the folder and the first part leaves such a one."""
    (tmp_path / "name" / ".partial-0123456789ab").mkdir(parents=True)
    [record] = saved.list_results(tmp_path)
    assert (record.name, record.run_id, record.draws) == ("name", "0123456789ab", None)


def test_partials_stand_beside_the_result():
    assert partials.beside(Path("results/a/0123456789ab")) == Path("results/a/.partial-0123456789ab")


# kills


def faults(*arguments):
    """Return the report of tests/faults.py, run in a process of its own, because it forks."""
    command = [sys.executable, str(Path(__file__).parent / "faults.py"), *arguments]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, [str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH")]))}
    done = subprocess.run(command, capture_output=True, text=True, timeout=3000, check=False, env=environment)
    assert done.stdout, done.stderr
    assert "unexpected" not in done.stderr, done.stderr
    report = json.loads(done.stdout.splitlines()[-1])
    assert done.returncode == bool(report["faults"])
    return report


def test_killed_anywhere_a_run_goes_on_to_the_same_numbers():
    report = faults("--kills", "4", "--steps", "6", "--full", "1", "--damages", "1", "--pairs", "1")
    assert report["faults"] == []
    assert sum(report["killed at steps"].values()) == 6
    assert report["partials damaged"] > 0


@pytest.mark.nightly
def test_killed_at_200_instants_and_inside_every_step():
    report = faults("--seed", str(random.SystemRandom().randrange(10**6)))
    assert report["faults"] == []
    assert report["killed at random"] == 200
    met = report["killed at steps"]
    assert all(any(f"{where} {step}" in met for step in ("write", "fsync", "rename", "replace")) for where in ("before", "inside", "after"))


@pytest.mark.parametrize(
    ("plant", "trials", "complaint"),
    [
        ("unverified", ("--kills", "0", "--steps", "0", "--full", "0", "--damages", "1", "--pairs", "0"), "other numbers"),
        ("in place", ("--kills", "0", "--steps", "6", "--full", "0", "--damages", "0", "--pairs", "0"), "a result that does not open"),
        ("counted twice", ("--kills", "0", "--steps", "0", "--full", "0", "--damages", "1", "--pairs", "0"), "other numbers"),
    ],
)
def test_a_planted_fault_is_found(plant, trials, complaint):
    assert any(complaint in fault for fault in faults("--plant", plant, *trials)["faults"])
