"""The engine: no plan of work changes a bit, a seed is a run, kept draws are the run's own, and a run that is stopped leaves nothing."""

from __future__ import annotations

import dataclasses
import hashlib
import threading
import time

import numpy as np
import pytest
import strategies
from bare import block, draws, row, scenario
from estimates import REPORTED, border_engine
from hypothesis import given, settings
from hypothesis import strategies as st

from sim import runner, simulation
from sim.errors import SimError
from sim.model import compile_model
from sim.records import QUANTITIES

PLANS = {
    "sobol": runner.Plan(sampler="sobol", seed=43, draws_asked=1 << 16, replicates=16, points=1 << 12),
    "philox": runner.Plan(sampler="philox", seed=43, draws_asked=1 << 17, replicates=1, points=3 << 15),
}


@pytest.fixture(scope="module")
def engine():
    return border_engine()


def digest(estimates):
    """Return a hash of the bytes of everything that is reported."""
    total = hashlib.sha256()
    for name in REPORTED:
        total.update(np.ascontiguousarray(getattr(estimates, name)).tobytes())
    return total.hexdigest()


@pytest.fixture(scope="module")
def reference(engine):
    return {sampler: digest(runner.estimate(engine, plan, threads=1)) for sampler, plan in PLANS.items()}


# any plan of work, the same bytes


def arranged(engine, plan, *, threads=1, block_size=runner.BLOCK, blocks_a_task=16, quick=0.0, order=None):
    """Return the digest of a run whose blocks have another size, and whose tasks come in another order."""
    tasks = runner.Plan.tasks
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(runner, "BLOCK", block_size)
        patch.setattr(runner, "_BLOCKS_A_TASK", blocks_a_task)
        patch.setattr(runner, "_FIRST_CALL", block_size)
        patch.setattr(runner, "_QUICK", quick)
        if order is not None:
            patch.setattr(runner.Plan, "tasks", lambda self, done=0: order(tasks(self, done)))
        return digest(runner.estimate(engine, plan, threads=threads))


@pytest.mark.parametrize("sampler", PLANS)
@pytest.mark.parametrize("threads", [2, 5])
def test_threads_change_no_byte(engine, reference, sampler, threads):
    assert arranged(engine, PLANS[sampler], threads=threads, block_size=1 << 14, blocks_a_task=1) == reference[sampler]


@given(
    st.sampled_from(sorted(PLANS)),
    st.integers(10, 17),
    st.sampled_from([1, 2, 16]),
    st.sampled_from([0.0, np.inf]),
    st.sampled_from([1, 3]),
    st.randoms(use_true_random=False),
)
@settings(max_examples=12)
def test_blocks_tasks_and_their_order_change_no_byte(engine, reference, sampler, log2_block, blocks_a_task, quick, threads, random):
    """Blocks of one lane (2^10 draws) to 2^17, tasks of 1 to 16 of them, one a call or ever more, in any order, in one thread or three."""

    def order(tasks):
        return random.sample(tasks, len(tasks))

    arrangement = {"block_size": 1 << log2_block, "blocks_a_task": blocks_a_task, "quick": quick}
    assert arranged(engine, PLANS[sampler], threads=threads, order=order, **arrangement) == reference[sampler]


class ByArrival:
    """An engine with a planted fault: every block's sums carry when it came, a 2^-40th part."""

    def __init__(self, engine):
        self._engine = engine
        self._arrivals = 0

    def __getattr__(self, name):
        return getattr(self._engine, name)

    def summarise(self, block, layout, state, sums):
        counters = self._engine.summarise(block, layout, state, sums)
        self._arrivals += 1
        sums *= 1.0 + 2.0**-40 * self._arrivals
        return counters


def test_the_digest_sees_an_engine_that_depends_on_the_order(engine):
    plan = PLANS["philox"]
    forth, back = (
        arranged(ByArrival(engine), plan, block_size=1 << 14, blocks_a_task=1, order=order) for order in (list, lambda tasks: tasks[::-1])
    )
    assert forth != back


def test_a_tree_of_sums_sees_a_wrong_place(engine, reference, monkeypatch):
    """Sums joined in order of arrival instead of by lane number differ in their last bits."""
    monkeypatch.setattr(runner.summaries, "merge_node", lambda sums, level, index, node: sums.__setitem__((0, len(sums)), node))
    monkeypatch.setattr(runner.summaries, "finish_tree", lambda sums: np.cumsum(list(sums.values()), axis=0)[-1])
    found = arranged(engine, PLANS["philox"], block_size=1 << 12, blocks_a_task=1, order=lambda tasks: tasks[::-1])
    assert found != reference["philox"]


@pytest.mark.parametrize("sampler", ["sobol", "philox"])
def test_whole_runs_agree_between_threads(sampler):
    one = dataclasses.replace(strategies.fixed_border_scenario(), sampler=sampler, draws=1 << 15, keep_draws=40)
    few, many = (simulation.simulate(compile_model(one), threads=threads) for threads in (1, 5))
    for name in QUANTITIES:
        for part in ("quantiles", "mcse", "mean", "sd", "mean_mcse", "undefined_share", "kept"):
            assert getattr(few, part)[name].tobytes() == getattr(many, part)[name].tobytes(), (part, name)
    assert few.kept_parameters.tobytes() == many.kept_parameters.tobytes()
    assert few.notes == many.notes


# seeds


@given(strategies.seeds(), strategies.seeds(), st.sampled_from(["sobol", "philox"]))
@settings(max_examples=8)
def test_a_seed_is_a_run(engine, seed, other, sampler):
    """The same seed the same bits, another seed other bits; 0 is a seed like any other."""
    plan = runner.Plan(sampler=sampler, seed=seed, draws_asked=1 << 14, replicates=16 if sampler == "sobol" else 1, points=1 << 10)
    first = digest(runner.estimate(engine, plan, threads=1))
    assert digest(runner.estimate(engine, plan, threads=2)) == first
    if other != seed:
        assert digest(runner.estimate(engine, dataclasses.replace(plan, seed=other), threads=1)) != first


# kept draws


@pytest.mark.parametrize("sampler", ["sobol", "philox"])
def test_kept_draws_are_the_first_draws_of_the_run(sampler):
    one = dataclasses.replace(strategies.fixed_border_scenario(), sampler=sampler, draws=4096, keep_draws=100)
    model = compile_model(one)
    run = simulation.simulate(model, threads=1)
    replicates = 16 if sampler == "sobol" else 1
    points = -(-100 // replicates)
    for replicate in range(replicates):
        own = draws(one, points, replicate=replicate)
        for name in QUANTITIES:
            np.testing.assert_array_equal(run.kept[name][replicate], own[name], err_msg=name)
        for i, draw in enumerate(model.parameter_draws):
            np.testing.assert_array_equal(run.kept_parameters[replicate, :, i], own[draw.id], err_msg=draw.id)
    assert run.kept["flow_pure_kg"].shape[:2] == (replicates, points)
    more = simulation.simulate(compile_model(dataclasses.replace(one, keep_draws=200)), threads=1)
    np.testing.assert_array_equal(more.kept["flow_pure_kg"][:, :points], run.kept["flow_pure_kg"])
    np.testing.assert_array_equal(more.quantiles["flow_pure_kg"], run.quantiles["flow_pure_kg"])  # keeping changes no result


def test_summaries_are_those_of_the_draws():
    """All draws kept: quantiles within a bin (1/128 of an octave) and a rank, means and sds to rounding, shares of 0/0 exactly."""
    rows = [row("east", 4, 10.0), row("east", 9, 2.0, "pill"), row("west", 0, 0.0)]
    blocks = {"detection_rate": {"kind": "uniform", "low": 0.05, "high": 0.6}, "powder_purity": 0.1, "load_shape": 1.0, "load_median": 0.5}
    one = scenario(rows, {**blocks, "pill_fentanyl": 2.0, "pill_mass": 110.0}, sampler="sobol", draws=1 << 14, keep_draws=1 << 14)
    run = simulation.simulate(compile_model(one), threads=1)
    assert run.draws == run.kept["purity"].shape[0] * run.kept["purity"].shape[1]
    for name in QUANTITIES:
        kept = run.kept[name].reshape(run.draws, *run.kept[name].shape[2:])
        for place in np.ndindex(kept.shape[1:]):
            x = np.sort(kept[(slice(None), *place)])
            share = np.isnan(x).mean()
            undefined = run.undefined_share[name][place]
            assert share == undefined or (share == 1.0 and np.isnan(undefined)), name
            x = x[~np.isnan(x)]
            if x.size == 0:
                assert np.isnan(run.quantiles[name][place]).all()
                continue
            rank = np.array(runner.PROBABILITIES) * x.size
            low = x[np.maximum(np.floor(rank).astype(int) - 2, 0)]
            high = x[np.minimum(np.ceil(rank).astype(int) + 1, x.size - 1)]
            found = run.quantiles[name][place]
            assert (found >= low * (1.0 - 1.0 / 128.0)).all(), (name, place)
            assert (found <= high * (1.0 + 1.0 / 128.0)).all(), (name, place)
            if name == "n_missed":
                np.testing.assert_array_equal(found, np.floor(found))
            for moment, exact in ((run.mean, x.mean()), (run.sd, x.std(ddof=1))):
                if not np.isnan(moment[name][place]):
                    assert moment[name][place] == pytest.approx(exact, rel=1e-9, abs=1e-12), (name, place)
    assert np.isfinite(run.mean["flow_gross_kg"][0, 0, 0]) or run.notes["flow_gross_kg"]


# stopping


class Stopping:
    """An engine that fails in its third block of the run, or is slow."""

    def __init__(self, engine, error=None):
        self._engine = engine
        self._error = error
        self.blocks = 0

    def __getattr__(self, name):
        return getattr(self._engine, name)

    def summarise(self, block, layout, state, sums):
        self.blocks += 1
        if self._error is not None and self.blocks == 3:
            raise self._error
        time.sleep(0.05)
        return self._engine.summarise(block, layout, state, sums)


LONG = runner.Plan(sampler="philox", seed=1, draws_asked=1, replicates=1, points=1 << 17)


@pytest.fixture
def _small_tasks(monkeypatch):
    monkeypatch.setattr(runner, "BLOCK", 1 << 10)
    monkeypatch.setattr(runner, "_BLOCKS_A_TASK", 4)


@pytest.mark.usefixtures("_small_tasks")
@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("error", [RuntimeError("a worker died"), MemoryError(), KeyboardInterrupt()])
def test_an_error_in_a_worker_stops_the_run(engine, threads, error):
    before = threading.active_count()
    broken = Stopping(engine, error)
    with pytest.raises(type(error)) as raised:
        runner.estimate(broken, LONG, threads=threads)
    assert raised.value is error
    assert threading.active_count() == before
    assert broken.blocks < 128 // 4  # the others ended after their block


@pytest.mark.usefixtures("_small_tasks")
def test_ctrl_c_stops_between_blocks_and_leaves_no_thread(engine):
    before = threading.active_count()
    slow = Stopping(engine)
    seen = []

    def progress(done, total):
        seen.append((done, total))
        if done > 0:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        runner.estimate(slow, LONG, threads=2, progress=progress)
    assert threading.active_count() == before
    assert slow.blocks < 64
    assert all(total == LONG.draws for _, total in seen)


def test_progress_rises_to_the_end(engine):
    seen = []
    runner.estimate(engine, PLANS["philox"], threads=2, progress=lambda done, total: seen.append((done, total)))
    assert seen == sorted(seen)
    assert seen[-1] == (PLANS["philox"].draws,) * 2


# numbers that are none


def test_numbers_that_are_none_are_refused_by_name():
    purities = [block("powder_purity", 0.1, corridor=corridor) for corridor in ("east", "west")]
    one = scenario([row("east", 4, 10.0), row("west", 7, 3.0)], [block("detection_rate", 0.1), block("load_shape", 1.0), *purities])
    model = compile_model(dataclasses.replace(one, draws=1024))
    constant = model.inputs.constant.copy()
    constant[[draw.id for draw in model.parameter_draws].index("powder_purity[east]")] = np.nan
    with pytest.raises(SimError) as refused:
        simulation.simulate(dataclasses.replace(model, inputs=model.inputs._replace(constant=constant)), threads=1)
    text = str(refused.value)
    assert "seized_pure_kg of east, FY2024" in text
    assert "flow_pure_kg of east, FY2024" in text
    assert "gross" not in text
    assert "west" not in text
    assert f"{runner.plan(1024, 43, 'philox').draws} draws" in text


def test_undefined_ratios_are_no_error():
    one = scenario([row("east", 0, 0.0)], {"detection_rate": 0.5, "powder_purity": 0.1, "load_shape": 1.0, "load_median": 1.0})
    run = simulation.simulate(compile_model(one), threads=1)
    assert run.undefined_share["purity"][0, 0, 0] == 1.0
    assert 0.6 < run.undefined_share["interdiction_rate"][0, 0, 0] < 0.8  # nothing missed: .5^(1/2)
