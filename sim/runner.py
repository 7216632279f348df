"""Plans blocks of draws, runs them in threads and merges their summaries in an order that cannot matter."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

import numpy as np

from .errors import Problem, SimError
from .evidence import FORMS
from .kernels import border, streams, summaries
from .model import ABSENT, ZERO, Model
from .records import QUANTITIES, RESULT_FORMS

METHOD_VERSION = 2  # of the numbers: raised by every change that moves a result at the same scenario and seed
PROBABILITIES = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.975, 0.99, 0.995)
BLOCK = 2**16
_BLOCKS_A_TASK = 16  # so that a task's counts fit 32 bits many times over and its result is worth the merging

Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Which draws are made: `replicates` of `points` each. Draw i is point i div R of replicate i mod R; plain Philox has one replicate."""

    sampler: str
    seed: int
    draws_asked: int
    replicates: int
    points: int

    @property
    def draws(self) -> int:
        return self.replicates * self.points

    def tasks(self) -> list[tuple[int, int, int]]:
        """Return (replicate, first point, points) of every task, replicate by replicate; every first is a multiple of the points."""
        size = min(self.points, BLOCK * _BLOCKS_A_TASK)
        return [(r, first, min(size, self.points - first)) for r in range(self.replicates) for first in range(0, self.points, size)]


def plan(draws_asked: int, seed: int, sampler: str) -> Plan:
    """Return the plan of a run: 2^m points in 16 to 31 scrambled replicates under "sobol", whole blocks of 2^16 draws under "philox".

    >>> plan(1_000_000, 43, "sobol").draws, plan(1_000_000, 43, "philox").draws
    (1015808, 1048576)
    """
    if sampler == "sobol":
        replicates, m = streams.replicate_plan(draws_asked)
        return Plan(sampler=sampler, seed=seed, draws_asked=draws_asked, replicates=replicates, points=2**m)
    return Plan(sampler=sampler, seed=seed, draws_asked=draws_asked, replicates=1, points=-(-draws_asked // BLOCK) * BLOCK)


def sobol_dimensions(run_plan: Plan, n_slots: int, n_point_slots: int) -> np.ndarray:
    """Return the Sobol' dimension of every uniform slot, -1 for what is drawn from its Philox stream: all slots from `n_point_slots` on."""
    slots = np.arange(n_slots)
    return np.where((slots < min(n_point_slots, streams.MAX_DIMENSIONS)) & (run_plan.sampler == "sobol"), slots, -1)


class Block(NamedTuple):
    """Points first .. first + points - 1 of the replicate that `source` draws."""

    source: border.Source
    first: int
    points: int


class Engine(Protocol):
    """What can be run: a number of summaries, and two functions of one block of points.

    summarise(block, layout, state, sums)  adds the block's draws to `state`, writes lane sums to `sums` (S, lanes, 2) and returns its
                                           counters (integers, to be added up)
    store(block)                           returns the draws themselves: (S, points) and the inputs behind them, (x, points)
    """

    slot_names: tuple[str, ...]
    n_point_slots: int
    n_summaries: int
    n_inputs: int
    n_counters: int
    origin_zero: bool

    def summarise(self, block: Block, layout: summaries.Layout, state: summaries.State, sums: np.ndarray) -> np.ndarray: ...

    def store(self, block: Block) -> tuple[np.ndarray, np.ndarray]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimates:
    """Merged summaries. S = summaries, q = PROBABILITIES, x = inputs, h = chains, k = kept draws a chain.

    quantiles, mcse (S, q);  mean, sd, mean_mcse (S,);  n (S, 4) draws that were NaN, -inf, finite, +inf
    counters  as the engine's;  kept (h, k, S), kept_inputs (h, k, x);  seconds  for the draws, without the pilot
    """

    plan: Plan
    quantiles: np.ndarray
    mcse: np.ndarray
    mean: np.ndarray
    sd: np.ndarray
    mean_mcse: np.ndarray
    n: np.ndarray
    counters: np.ndarray
    kept: np.ndarray
    kept_inputs: np.ndarray
    seconds: float


class _Sources:
    """The uniforms of each replicate, made when it is first asked for."""

    def __init__(self, engine: Engine, run_plan: Plan) -> None:
        self._plan = run_plan
        self._dimension = sobol_dimensions(run_plan, len(engine.slot_names), engine.n_point_slots)
        self._stream = np.array([streams.stream_id(name) for name in engine.slot_names], dtype=np.uint64)
        self._directions = streams.sobol_directions(int(np.count_nonzero(self._dimension >= 0)))
        self._seed = np.uint64(run_plan.seed)

    def of(self, replicate: int) -> border.Source:
        directions, shift = streams.sobol_scrambles(self._seed, replicate, self._directions)
        return border.Source(
            seed=self._seed,
            replicate=replicate,
            directions=directions,
            shift=shift,
            dimension=self._dimension,
            stream=self._stream,
        )


@dataclass(slots=True)
class _Merged:
    """What has come in of one replicate, or of all of them."""

    state: summaries.State
    counters: np.ndarray
    sums: summaries.Pending = field(default_factory=dict)
    points: int = 0


def estimate(engine: Engine, run_plan: Plan, *, keep: int = 0, threads: int | None = None, progress: Progress | None = None) -> Estimates:
    """Run every task of a plan and merge what comes back; the thread count and the order of blocks change no bit.

    keep       joint draws to keep, rounded up to a whole number of points
    threads    default: all processors
    progress   called from this thread with (points done, points in all) as blocks finish

    KeyboardInterrupt stops between blocks and is passed on.
    """
    sources = _Sources(engine, run_plan)
    layout = summaries.plan_layout(_pilot(engine, run_plan, sources), engine.origin_zero)
    begin = time.perf_counter()  # after the pilot, which compiles what was never compiled
    probabilities = np.array(PROBABILITIES)
    total = _Merged(summaries.new_state(layout, pooled=True), np.zeros(engine.n_counters, np.int64))
    replicate_quantiles = np.empty((run_plan.replicates, engine.n_summaries, probabilities.size))
    replicate_sums = np.empty((run_plan.replicates, engine.n_summaries, 2))
    replicate_n = np.empty((run_plan.replicates, engine.n_summaries), np.int64)
    n_threads = threads or os.cpu_count() or 1
    stop = threading.Event()
    done = _Count()
    open_replicates: dict[int, _Merged] = {}
    spare: list[summaries.State] = []
    lock = threading.Lock()

    def run_task(task: tuple[int, int, int]) -> None:
        replicate, first, points = task
        with lock:
            state = spare.pop() if spare else summaries.new_state(layout)
        part = _run_blocks(engine, sources.of(replicate), first, points, layout, state, stop, done)
        if stop.is_set():
            return
        with lock:
            mine = open_replicates.get(replicate)
            if mine is None:
                open_replicates[replicate] = mine = part
            else:
                summaries.merge(mine.state, part.state)
                summaries.clear(part.state)
                spare.append(part.state)
                mine.counters += part.counters
                for (level, index), sums in part.sums.items():
                    summaries.merge_node(mine.sums, level, index, sums)
                mine.points += part.points
            if mine.points < run_plan.points:
                return
            del open_replicates[replicate]
        if run_plan.replicates > 1:
            replicate_quantiles[replicate] = summaries.quantiles(layout, mine.state, probabilities)[0]
        replicate_n[replicate] = summaries.draw_counts(layout, mine.state)[:, 2]
        replicate_sums[replicate] = summaries.finish_tree(mine.sums)
        with lock:
            summaries.merge(total.state, mine.state)
            total.counters += mine.counters
        summaries.clear(mine.state)
        spare.append(mine.state)

    _in_threads(run_task, run_plan.tasks(), n_threads, stop, done, run_plan.draws, progress)

    found, binning = summaries.quantiles(layout, total.state, probabilities)
    n = summaries.draw_counts(layout, total.state)
    mean, sd = summaries.moments(n[:, 2], summaries.tree_sum(replicate_sums), layout.centre)
    if run_plan.replicates > 1:
        sampling = summaries.replicate_error(replicate_quantiles)
        with np.errstate(invalid="ignore", over="ignore"):
            mean_mcse = summaries.replicate_error(summaries.moments(replicate_n, replicate_sums, layout.centre)[0])
    else:
        sampling = summaries.order_statistic_error(layout, total.state, probabilities)
        with np.errstate(invalid="ignore", divide="ignore"):
            mean_mcse = sd / np.sqrt(n[:, 2])
    infinite = (n[:, 1] > 0) | (n[:, 3] > 0) | ~np.isfinite(mean)
    kept, kept_inputs = _first_points(engine, run_plan, sources, -(-keep // run_plan.replicates))
    return Estimates(
        plan=run_plan,
        quantiles=found,
        mcse=np.hypot(sampling, binning),
        mean=np.where(infinite, np.nan, mean),
        sd=np.where(infinite, np.nan, sd),
        mean_mcse=np.where(infinite, np.nan, mean_mcse),
        n=n,
        counters=total.counters,
        kept=kept,
        kept_inputs=kept_inputs,
        seconds=time.perf_counter() - begin,
    )


class _Count:
    """Points done, added up by workers and read by the main thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.points = 0

    def add(self, points: int) -> None:
        with self._lock:
            self.points += points


def _run_blocks(
    engine: Engine,
    source: border.Source,
    first: int,
    points: int,
    layout: summaries.Layout,
    state: summaries.State,
    stop: threading.Event,
    done: _Count,
) -> _Merged:
    """Run one task, block by block, into an empty state."""
    part = _Merged(state, np.zeros(engine.n_counters, np.int64))
    for start in range(first, first + points, BLOCK):
        if stop.is_set():
            break
        size = min(BLOCK, first + points - start)
        lane = min(size, border.LANE)
        sums = np.empty((engine.n_summaries, size // lane, 2))
        part.counters += engine.summarise(Block(source, start, size), layout, part.state, sums)
        level = (size // lane).bit_length() - 1
        summaries.merge_node(part.sums, level, (start // lane) >> level, summaries.tree_sum(np.moveaxis(sums, 1, 0)))
        part.points += size
        done.add(size)
    return part


def _in_threads(
    run_task: Callable[[tuple[int, int, int]], None],
    tasks: list[tuple[int, int, int]],
    n_threads: int,
    stop: threading.Event,
    done: _Count,
    total: int,
    progress: Progress | None,
) -> None:
    """Run tasks in threads, reporting ten times a second; an error or Ctrl-C stops all of them after their block and is raised here."""
    waiting = iter(tasks)
    lock = threading.Lock()

    def run_tasks() -> None:
        while not stop.is_set():
            with lock:
                task = next(waiting, None)
            if task is None:
                return
            run_task(task)

    n_threads = min(n_threads, len(tasks))
    with ThreadPoolExecutor(max_workers=n_threads) as pool:
        try:
            running = {pool.submit(run_tasks) for _ in range(n_threads)}  # a future for each task would take a tenth of a millisecond
            while running:
                finished, running = wait(running, timeout=0.1, return_when=FIRST_COMPLETED)
                for future in finished:
                    future.result()
                if progress is not None:
                    progress(done.points, total)
        except BaseException:
            stop.set()
            raise


def _first_points(engine: Engine, run_plan: Plan, sources: _Sources, points: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the first points of every replicate, (h, k, S), and their inputs, (h, k, x)."""
    points = min(points, run_plan.points)
    kept = np.empty((run_plan.replicates, points, engine.n_summaries))
    kept_inputs = np.empty((run_plan.replicates, points, engine.n_inputs))
    for replicate in range(run_plan.replicates if points else 0):
        stored, stored_inputs = engine.store(Block(sources.of(replicate), 0, points))
        kept[replicate] = stored.T
        kept_inputs[replicate] = stored_inputs.T
    return kept, kept_inputs


def _pilot(engine: Engine, run_plan: Plan, sources: _Sources) -> np.ndarray:
    """Return the first draws of the run, (S, 4096 or all): always the same ones, so that the bins are."""
    points = -(-summaries.PILOT_DRAWS // run_plan.replicates)
    kept, _ = _first_points(engine, run_plan, sources, points)
    return np.ascontiguousarray(kept.reshape(-1, engine.n_summaries).T)


# --- the border model ------------------------------------------------------------------------------------------------------------


class BorderEngine:
    """The border model as an `Engine`."""

    origin_zero = True

    def __init__(self, model: Model) -> None:
        self._model = model
        self.slot_names = model.slot_names
        self.n_point_slots = model.n_point_slots
        self.n_summaries = model.n_summaries
        self.n_inputs = model.inputs.slot.size
        self._n_strata = len(model.stratum_keys)
        self._n_cells = len(model.cells)
        self.n_counters = 2 * self._n_strata + 2 * self._n_cells

    def summarise(self, block: Block, layout: summaries.Layout, state: summaries.State, sums: np.ndarray) -> np.ndarray:
        """Draw one block; counters are (purity cut, sd limited) by stratum, then inland cut by cell and form."""
        return self._draw(block, layout, state, sums, np.empty((self.n_summaries, 0)), np.empty((self.n_inputs, 0)))

    def store(self, block: Block) -> tuple[np.ndarray, np.ndarray]:
        layout = summaries.plan_layout(np.zeros((0, 1)), True)
        stored, stored_inputs = np.empty((self.n_summaries, block.points)), np.empty((self.n_inputs, block.points))
        self._draw(block, layout, summaries.new_state(layout), np.empty((self.n_summaries, 0, 2)), stored, stored_inputs)
        return stored, stored_inputs

    def _draw(
        self,
        block: Block,
        layout: summaries.Layout,
        state: summaries.State,
        sums: np.ndarray,
        stored: np.ndarray,
        stored_inputs: np.ndarray,
    ) -> np.ndarray:
        """Call the kernel: with a `stored` (S, k) of k > 0 it stores the first k points there and touches no summary."""
        counters = np.zeros((self._n_strata, 2), np.int64)
        inland = np.zeros((self._n_cells, 2), np.int64)
        model = self._model
        border.border_block(
            model.strata, model.inputs, model.tables, model.law, *block, layout, state, sums, counters, inland, stored, stored_inputs
        )
        return np.concatenate([counters.reshape(-1), inland.reshape(-1)])


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """What a run of the border model leaves, before labels.

    c = corridors then groups, p = periods, f = powder, pill, all, q = PROBABILITIES, h = chains (replicates), k = kept draws a chain,
    x = parameter draws

    quantiles, mcse               quantity -> (c, p, f, q)
    mean, sd, mean_mcse           quantity -> (c, p, f), NaN where it does not exist or its error would not
    undefined_share               quantity -> (c, p, f), share of draws that are 0/0
    notes                         quantity -> why some means or sds are NaN; absent where none is
    kept                          quantity -> (h, k, c, p, f); empty where none were asked for
    kept_parameters               (h, k, x)
    diagnostics                   name -> (dims, array), see model.DIAGNOSTICS
    uniforms                      name of each uniform -> its Sobol' dimension, -1 where it comes from the Philox stream of that name
    """

    draws_asked: int
    draws: int
    replicates: int
    quantiles: Mapping[str, np.ndarray]
    mcse: Mapping[str, np.ndarray]
    mean: Mapping[str, np.ndarray]
    sd: Mapping[str, np.ndarray]
    mean_mcse: Mapping[str, np.ndarray]
    undefined_share: Mapping[str, np.ndarray]
    notes: Mapping[str, str]
    kept: Mapping[str, np.ndarray]
    kept_parameters: np.ndarray
    diagnostics: Mapping[str, tuple[tuple[str, ...], np.ndarray]]
    uniforms: Mapping[str, int] = field(default_factory=dict)
    seconds: float


def simulate(model: Model, *, threads: int | None = None, progress: Progress | None = None) -> Run:
    """Run the border model of a scenario.

    Raises SimError where an input yields a number that is not one, naming the result it reached.
    """
    scenario = model.scenario
    engine = BorderEngine(model)
    run_plan = plan(scenario.draws, scenario.seed, scenario.sampler)
    estimates = estimate(engine, run_plan, keep=scenario.keep_draws, threads=threads, progress=progress)
    _refuse_nan(model, estimates)

    def answers(by_summary: np.ndarray, scales: bool = True) -> dict[str, np.ndarray]:
        """Spread (..., S first) over (n, p, f) for every quantity: scaled, 0 where nothing can happen, NaN where nothing is known."""
        rest = (np.newaxis,) * (by_summary.ndim - 1)
        with np.errstate(over="ignore"):
            picked = by_summary[np.maximum(model.summary, 0)] * (model.factor[(..., *rest)] if scales else 1.0)
        picked[model.summary == ZERO] = 0.0
        picked[model.summary == ABSENT] = np.nan
        return {name: picked[:, :, :, k] for k, name in enumerate(QUANTITIES)}

    mean, sd, mean_mcse = answers(estimates.mean), answers(estimates.sd), answers(estimates.mean_mcse)
    notes = {}
    for k, name in enumerate(QUANTITIES):
        index = model.tail_index[..., k]
        mean[name][index <= 2.0] = np.nan
        mean_mcse[name][index <= 2.0] = np.nan
        sd[name][index <= 4.0] = np.nan
        causes = sorted({model.reasons[i] for i in np.unique(model.reason[..., k][(index <= 4.0) & (model.summary[..., k] >= 0)])})
        if causes:
            notes[name] = "; ".join(causes)
    with np.errstate(invalid="ignore", divide="ignore"):
        undefined = answers(estimates.n[:, 0] / estimates.n.sum(axis=1), scales=False)
    return Run(
        draws_asked=run_plan.draws_asked,
        draws=run_plan.draws,
        replicates=run_plan.replicates,
        quantiles=answers(estimates.quantiles),
        mcse=answers(estimates.mcse),
        mean=mean,
        sd=sd,
        mean_mcse=mean_mcse,
        undefined_share=undefined,
        notes=notes,
        kept={name: np.moveaxis(array, (-2, -1), (0, 1)) for name, array in answers(np.moveaxis(estimates.kept, -1, 0)).items()}
        if scenario.keep_draws
        else {},
        kept_parameters=estimates.kept_inputs[:, :, : len(model.parameter_draws)],
        diagnostics=_diagnostics(model, estimates),
        uniforms=dict(zip(model.slot_names, sobol_dimensions(run_plan, len(model.slot_names), model.n_point_slots).tolist(), strict=True)),
        seconds=estimates.seconds,
    )


def _refuse_nan(model: Model, estimates: Estimates) -> None:
    """Raise where a quantity that is always defined was NaN in some draw."""
    names = list(QUANTITIES)
    places = [name for name, _ in model.scenario.places]
    problems = []
    for c, p, f, k in np.argwhere(model.strata.index >= 0):
        n_nan = estimates.n[model.strata.index[c, p, f, k], 0]
        if n_nan and names[k] not in ("purity", "interdiction_rate"):
            where = f"{names[k]} of {places[c]}, {model.scenario.periods[p]}, {RESULT_FORMS[f]}"
            problems.append(Problem(came=f"{where} is not a number in {n_nan} draws", advice="narrow the laws of its parameters"))
    if problems:
        raise SimError(problems)


def _diagnostics(model: Model, estimates: Estimates) -> dict[str, tuple[tuple[str, ...], np.ndarray]]:
    """Return the shares of draws in which something was cut or limited; NaN where it could not happen."""
    scenario = model.scenario
    n = len(scenario.places)
    n_strata = len(model.stratum_keys)
    share = estimates.counters / estimates.plan.draws
    by_stratum = share[: 2 * n_strata].reshape(-1, 2)
    by_cell = share[2 * n_strata :].reshape(-1, 2)
    stratum_shares = np.full((2, n, len(scenario.periods), len(FORMS)), np.nan)
    for (corridor, period, form), shares in zip(model.stratum_keys, by_stratum, strict=True):
        place = scenario.corridors.index(corridor), scenario.periods.index(period), FORMS.index(form)
        stratum_shares[(slice(None), *place)] = shares
    inland = np.full((n, len(scenario.periods), len(RESULT_FORMS)), np.nan)
    for (corridor_number, period_number), shares in zip(model.cells, by_cell, strict=True):
        inland[corridor_number, period_number, :2] = shares
    return {
        "prior_share": (("corridor", "period"), model.prior_share),
        "purity_cut_share": (("corridor", "period", "evidence_form"), stratum_shares[0]),
        "sd_limited_share": (("corridor", "period", "evidence_form"), stratum_shares[1]),
        "inland_cut_share": (("corridor", "period", "form"), inland),
    }
