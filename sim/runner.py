"""Plans blocks of draws, has them computed and merges their summaries in an order that cannot matter."""

from __future__ import annotations

import functools
import hashlib
import json
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np

from . import engines, partials
from .kernels import streams, summaries
from .kernels.inputs import Source
from .kernels.scratch import LANE
from .limits import MAX_DRAWS
from .partials import Part, Task

METHOD_VERSION = 4  # of the numbers: raised by every change that moves a result at the same scenario and seed
PROBABILITIES = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.975, 0.99, 0.995)
BLOCK = 2**16
_BLOCKS_A_TASK = 16  # so that a task's counts fit 32 bits many times over and its result is worth the merging
_FIRST_CALL = 2**12  # points of the first call of an engine, between two of which Ctrl-C is heard: a slow function takes a second for them
_QUICK = 0.5  # seconds of a call below which the next takes twice the points: a border then takes 2^16, a compiled function a whole task
_MOST_UINT32 = 2**32  # points from which on counts take 64 bits

TOLERANCE_REPLICATES = 32  # batches that a tolerance is judged by
TOLERANCE_QUANTILES = (0.05, 0.5, 0.95)
MOST_STAGES_MORE = 1024  # times the draws of the first stage, which is where a tolerance that cannot be reached stops
_STUDENT = 2.0395134463964077  # its .975 quantile at 31 degrees of freedom
_MISSES_AT = 2.0  # tolerances: what 95 % of errors stay below where the standard error is one tolerance

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

    def tasks(self, done: int = 0) -> list[Task]:
        """Return (replicate, first point, points) of every task from point `done` on, replicate by replicate.

        `done` is 0 or the points of an earlier plan. Every first is a multiple of the points, so that lane sums find their place.
        """
        ranges = []
        first = done
        while first < self.points:
            size = min(BLOCK * _BLOCKS_A_TASK, self.points - first, first & -first if first else self.points)
            ranges.append((first, size))
            first += size
        return [(r, first, size) for r in range(self.replicates) for first, size in ranges]


def plan(draws_asked: int, seed: int, sampler: str, tolerance: float | None = None) -> Plan:
    """Return the plan of a run: 2^m points in 16 to 31 scrambled replicates under "sobol", whole blocks of 2^16 draws under "philox".

    With a tolerance it is the plan of the first stage: 32 replicates, of at least one lane, under "sobol".

    >>> plan(1_000_000, 43, "sobol").draws, plan(1_000_000, 43, "philox").draws, plan(1_000_000, 43, "sobol", 0.01).draws
    (1015808, 1048576, 1048576)
    """
    if sampler == "sobol":
        replicates, m = streams.replicate_plan(draws_asked)
        if tolerance is not None:
            replicates = TOLERANCE_REPLICATES
            m = max((-(-draws_asked // replicates) - 1).bit_length(), LANE.bit_length() - 1)
        return Plan(sampler=sampler, seed=seed, draws_asked=draws_asked, replicates=replicates, points=2**m)
    return Plan(sampler=sampler, seed=seed, draws_asked=draws_asked, replicates=1, points=-(-draws_asked // BLOCK) * BLOCK)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tolerance:
    """What a run goes on for: the quantiles .05 .5 .95 of the summaries `watched` (w,), each to `relative` of it or of the median."""

    relative: float
    watched: np.ndarray


def points_needed(
    points: int,
    most: int,
    quantiles: np.ndarray,
    sampling: np.ndarray,
    mcse: np.ndarray,
    relative: float,
    *,
    first_stage: bool,
    doubling: bool,
) -> int:
    """Return how many points a replicate needs by the two-stage rule; `points` where these are enough, or `most` allows no more.

    After the first stage, of n points with standard errors s, Stein's rule asks for N = n max(1, (t s / (2 tolerance))^2), t of R - 1
    degrees of freedom: whatever s happened to be, a quantile is then within two tolerances with probability .95, as it is where the
    standard error is known to be one tolerance. From there on N doubles until the standard error that is reported, binning included, is
    within the tolerance too: that depends on the spread alone, and more draws miss less.

    quantiles, sampling, mcse   (w, 3), the median in the middle; what is NaN or infinite asks for nothing
    relative                    tolerance as a share of the larger of a quantile and its median
    doubling                    N is a power of two; else whole blocks

    Source: Stein 1945; Wuebbeler, Harris, Cox & Elster 2010; method.md section 6.
    """
    ratio, allowed = _missed(quantiles, mcse, relative)
    if first_stage:
        with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
            factor = np.where(sampling > 0.0, sampling / allowed * (_STUDENT / _MISSES_AT), 0.0) ** 2
        worst = float(np.max(factor, where=np.isfinite(quantiles) & ~np.isnan(factor), initial=1.0))
        needed = points * min(worst, most / points)
    else:
        needed = float(points)
    if needed <= points and ratio > 1.0:
        needed = 2.0 * points
    if doubling:
        n = points
        while n < needed:
            n *= 2
    else:
        n = -int(-needed // BLOCK) * BLOCK
    return min(n, most)


def _missed(quantiles: np.ndarray, mcse: np.ndarray, relative: float) -> tuple[float, np.ndarray]:
    """Return the largest standard error in tolerances, and the tolerances (w, 3); 0 of 0 is no error."""
    allowed = relative * np.maximum(np.abs(quantiles), np.abs(quantiles[:, 1:2]))
    with np.errstate(invalid="ignore", divide="ignore"):
        ratio = np.where(mcse == 0.0, 0.0, mcse / allowed)
    return float(np.max(ratio, where=np.isfinite(quantiles) & ~np.isnan(ratio), initial=0.0)), allowed


def sobol_dimensions(run_plan: Plan, n_slots: int, n_point_slots: int) -> np.ndarray:
    """Return the Sobol' dimension of every uniform slot, -1 for what is drawn from its Philox stream: all slots from `n_point_slots` on."""
    slots = np.arange(n_slots)
    return np.where((slots < min(n_point_slots, streams.MAX_DIMENSIONS)) & (run_plan.sampler == "sobol"), slots, -1)


class Block(NamedTuple):
    """Points first .. first + points - 1 of the replicate that `source` draws."""

    source: Source
    first: int
    points: int


class Engine(Protocol):
    """What can be run: a number of summaries, and two functions of one block of points.

    summarise(block, layout, state, sums)  adds the block's draws to `state`, writes lane sums to `sums` (S, lanes, 2) and returns its
                                           counters (integers, to be added up)
    store(block)                           returns the draws themselves: (S, points) and the inputs behind them, (x, points)
    wide                                   counts take 64 bits, because a draw may count many times
    """

    slot_names: tuple[str, ...]
    n_point_slots: int
    n_summaries: int
    n_inputs: int
    n_counters: int
    origin_zero: bool
    wide: bool

    def summarise(self, block: Block, layout: summaries.Layout, state: summaries.State, sums: np.ndarray) -> np.ndarray: ...

    def store(self, block: Block) -> tuple[np.ndarray, np.ndarray]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimates:
    """Merged summaries. S = summaries, q = PROBABILITIES, x = inputs, h = chains, k = kept draws a chain.

    quantiles, mcse (S, q);  mean, sd, mean_mcse (S,);  n (S, 4) draws that were NaN, -inf, finite, +inf
    counters  (replicates, n_counters) as the engine's;  kept (h, k, S), kept_inputs (h, k, x);  seconds  for the draws, without the pilot
    tolerance_reached  largest relative standard error among what a tolerance watched;  resumed  draws that partials held
    damaged   partials that were deleted, because they were not whole or not of this run
    layout, state   the bins, and what was counted in all replicates together
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
    tolerance_reached: float | None = None
    resumed: int = 0
    damaged: int = 0
    layout: summaries.Layout
    state: summaries.State


class _Sources:
    """The uniforms of each replicate, made when it is first asked for."""

    def __init__(self, engine: Engine, run_plan: Plan) -> None:
        self._plan = run_plan
        self._dimension = sobol_dimensions(run_plan, len(engine.slot_names), engine.n_point_slots)
        self._stream = np.array([streams.stream_id(name) for name in engine.slot_names], dtype=np.uint64)
        self._directions = _directions(int(np.count_nonzero(self._dimension >= 0)))
        self._seed = np.uint64(run_plan.seed)

    def identity(self) -> str:
        """Return what names the uniforms: the same text, the same draws at the same point of the same replicate."""
        slots = [(int(dimension), int(stream)) for dimension, stream in zip(self._dimension, self._stream, strict=True)]
        return json.dumps([self._plan.sampler, self._plan.seed, self._plan.replicates, slots])

    def of(self, replicate: int) -> Source:
        directions, shift = streams.sobol_scrambles(self._seed, replicate, self._directions)
        return Source(
            seed=self._seed,
            replicate=replicate,
            directions=directions,
            shift=shift,
            dimension=self._dimension,
            stream=self._stream,
        )


class _Work:
    """The pure function that an executor maps over tasks: draws of some points of one replicate in, their summaries out."""

    def __init__(self, engine: Engine, run_plan: Plan, layout: summaries.Layout, identity: str) -> None:
        self._engine = engine
        self._sources = _Sources(engine, run_plan)
        self.layout = layout
        self._identity = identity
        self.__setstate__({})

    def __getstate__(self) -> dict[str, Any]:
        return {key: held for key, held in self.__dict__.items() if key not in ("_spare", "_lock", "_most", "belongs")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._spare: list[summaries.State] = []
        self._lock = threading.Lock()
        self._most = _FIRST_CALL  # points of a call

    @functools.cached_property
    def belongs(self) -> str:
        """A hash of all that a part depends on but its task; made where it is computed, so that other kernels there show."""
        digest = hashlib.sha256(f"{METHOD_VERSION} {kernels_digest()} {self._sources.identity()} {self._identity}".encode())
        for array in self.layout:
            digest.update(array.tobytes())
        return digest.hexdigest()

    def compute(self, tasks: Sequence[Task], going_on: Callable[[], bool], count: Callable[[int], None]) -> Part | None:
        begin = time.perf_counter()
        replicate = tasks[0][0]
        source = self._sources.of(replicate)
        part = Part(replicate=replicate, covers=[], state=self.blank(), counters=np.zeros(self._engine.n_counters, np.int64))
        for _, first, points in tasks:
            start = first
            while start < first + points:
                if not going_on():
                    return None
                most = self._most
                size = 1 << (min(most, first + points - start).bit_length() - 1)
                size = min(size, start & -start) if start else size  # where a node of the tree of sums may begin
                lane = min(size, LANE)
                sums = np.empty((self._engine.n_summaries, size // lane, 2))
                called = time.perf_counter()
                part.counters += self._engine.summarise(Block(source, start, size), self.layout, part.state, sums)
                if size == most and time.perf_counter() - called < _QUICK:
                    self._most = 2 * most  # two threads may both say so
                level = (size // lane).bit_length() - 1
                summaries.merge_node(part.sums, level, (start // lane) >> level, summaries.tree_sum(np.moveaxis(sums, 1, 0)))
                count(size)
                start += size
            part.covers.append((first, points))
        part.seconds = time.perf_counter() - begin
        return part

    def join(self, part: Part, other: Part) -> None:
        partials.join(part, other)
        summaries.clear(other.state)
        self.reuse(other.state)

    def pack(self, part: Part) -> bytes:
        return partials.pack(part, self.belongs)

    def unpack(self, packed: bytes) -> Part:
        return partials.unpack(packed, self.belongs, self.blank, self._engine.n_counters)

    def blank(self) -> summaries.State:
        with self._lock:
            return self._spare.pop() if self._spare else summaries.new_state(self.layout, wide=self._engine.wide)

    def reuse(self, state: summaries.State) -> None:
        """Take back an empty state; one of another type of counts is let go."""
        if state.counts.dtype == (np.int64 if self._engine.wide else np.uint32):
            with self._lock:
                self._spare.append(state)


@functools.cache
def kernels_digest() -> str:
    """Hash the sources of the kernels: what an older release left, or a worker with another one returns, does not belong."""
    digest = hashlib.sha256()
    for source in sorted((Path(__file__).parent / "kernels").glob("*.py")):
        digest.update(source.name.encode() + source.read_bytes())
    return digest.hexdigest()


class _Collected:
    """What has come in: every replicate until its last point is there, then what is left of it, and the sum of all."""

    def __init__(self, work: _Work, run_plan: Plan, engine: Engine, layout: summaries.Layout, before: dict[int, bytes], keep: bool) -> None:
        shape = (run_plan.replicates, engine.n_summaries)
        self.state = summaries.new_state(layout, wide=engine.wide or run_plan.draws >= _MOST_UINT32)
        self.counters = np.zeros((run_plan.replicates, engine.n_counters), np.int64)
        self._probabilities = np.array(PROBABILITIES if run_plan.replicates > 1 else ())
        self.quantiles = np.empty((*shape, self._probabilities.size))
        self.sums = np.empty((*shape, 2))
        self.n = np.empty(shape, np.int64)
        self.packed: dict[int, bytes] = {}
        self._work = work
        self._plan = run_plan
        self._layout = layout
        self._before = before
        self._keep = keep
        self._open: dict[int, Part] = {}
        self._lock = threading.Lock()

    def receive(self, part: Part) -> None:
        """Merge a part; with the last of a replicate, take its quantiles and, with `keep`, a packed copy to go on from."""
        r = part.replicate
        with self._lock:
            mine = self._open.get(r)
            if mine is None:
                self._open[r] = mine = self._opened(part)
            else:
                self._work.join(mine, part)
            if mine.points < self._plan.points:
                return
            del self._open[r]
        self.sums[r] = summaries.finish_tree(dict(mine.sums))
        self.counters[r] = mine.counters
        if self._keep:
            self.packed[r] = self._work.pack(mine)
        with self._lock:
            summaries.absorb(self._layout, mine.state, self.state, self._probabilities, self.quantiles[r], self.n[r])
        self._work.reuse(mine.state)

    def _opened(self, part: Part) -> Part:
        """Return the first part of a replicate, with what an earlier plan left of it, and room for as many draws as are coming."""
        if part.replicate in self._before:
            self._work.join(part, self._work.unpack(self._before[part.replicate]))
        if self._plan.points >= _MOST_UINT32:
            wide = summaries.new_state(self._layout, wide=True)
            summaries.merge(wide, part.state)
            summaries.clear(part.state)
            self._work.reuse(part.state)
            part.state = wide
        return part


def estimate(
    engine: Engine,
    run_plan: Plan,
    *,
    keep: int = 0,
    threads: int | None = None,
    progress: Progress | None = None,
    folder: Path | None = None,
    identity: str = "",
    executor: engines.Executor | None = None,
    tolerance: Tolerance | None = None,
) -> Estimates:
    """Run every task of a plan and merge what comes back; no number depends on where and in what order tasks are computed.

    keep       joint draws to keep, rounded up to a whole number of points
    threads    default: all processors; for the executor that stands in where none is given
    progress   called from this thread with (points done, points in all) as blocks finish
    folder     where partial summaries are kept and, if they are of this very run, taken from; None keeps nothing
    identity   of what the engine computes; partials of another are not used
    executor   default: threads of this process
    tolerance  go on beyond the plan until the standard errors are within it, to MOST_STAGES_MORE times the plan at the most

    KeyboardInterrupt stops between blocks and is passed on. Raises ResultError where a partial cannot be written.
    """
    sources = _Sources(engine, run_plan)
    layout = summaries.plan_layout(_pilot(engine, run_plan, sources), engine.origin_zero)
    begin = time.perf_counter()  # after the pilot, which compiles what was never compiled
    work = _Work(engine, run_plan, layout, identity)
    store = partials.Store(folder, work.belongs) if folder is not None else None
    most = min(run_plan.points * MOST_STAGES_MORE, max(MAX_DRAWS // run_plan.replicates, run_plan.points))
    probabilities = np.array(PROBABILITIES)
    watched_quantiles = np.searchsorted(probabilities, TOLERANCE_QUANTILES)
    done, n_taken, before = 0, 0, dict[int, bytes]()
    while True:
        total, taken = _run_plan(
            engine, run_plan, done, before, work, store, executor or engines.local(threads), progress, packed=tolerance is not None
        )
        n_taken += taken
        found, binning = summaries.quantiles(layout, total.state, probabilities)
        if run_plan.replicates > 1:
            sampling = summaries.replicate_error(total.quantiles)
            # A quantile of whole numbers is one of two where replicates disagree: their mean is four times surer than it in places.
            coarse = (layout.mode == summaries.WHOLE)[:, np.newaxis] & (sampling > 0.0)
            sampling = np.where(coarse, np.maximum(sampling, 0.5), sampling)
        else:
            sampling = summaries.order_statistic_error(layout, total.state, probabilities)
        mcse = np.hypot(sampling, binning)
        if tolerance is None:
            break
        watched = np.ix_(tolerance.watched, watched_quantiles)
        points = points_needed(
            run_plan.points,
            most,
            found[watched],
            sampling[watched],
            mcse[watched],
            tolerance.relative,
            first_stage=done == 0,
            doubling=run_plan.sampler == "sobol",
        )
        if points == run_plan.points:
            break
        done, before = run_plan.points, total.packed
        run_plan = replace(run_plan, points=points)

    n = summaries.draw_counts(layout, total.state)
    mean, sd = summaries.moments(n[:, 2], summaries.tree_sum(total.sums), layout.centre)
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        if run_plan.replicates > 1:
            mean_mcse = summaries.replicate_error(summaries.moments(total.n, total.sums, layout.centre)[0])
        else:
            mean_mcse = sd / np.sqrt(n[:, 2])
    infinite = (n[:, 1] > 0) | (n[:, 3] > 0) | ~np.isfinite(mean)
    kept, kept_inputs = _first_points(engine, run_plan, sources, -(-keep // run_plan.replicates))
    return Estimates(
        plan=run_plan,
        quantiles=found,
        mcse=mcse,
        mean=np.where(infinite, np.nan, mean),
        sd=np.where(infinite, np.nan, sd),
        mean_mcse=np.where(infinite, np.nan, mean_mcse),
        n=n,
        counters=total.counters,
        kept=kept,
        kept_inputs=kept_inputs,
        seconds=time.perf_counter() - begin,
        tolerance_reached=None if tolerance is None else tolerance.relative * _missed(found[watched], mcse[watched], tolerance.relative)[0],
        resumed=n_taken,
        damaged=store.damaged if store is not None else 0,
        layout=layout,
        state=total.state,
    )


def _run_plan(
    engine: Engine,
    run_plan: Plan,
    done: int,
    before: dict[int, bytes],
    work: _Work,
    store: partials.Store | None,
    executor: engines.Executor,
    progress: Progress | None,
    packed: bool,
) -> tuple[_Collected, int]:
    """Collect the plan's points from `done` on, from partials where they are, upon the replicates `before`; also return the draws taken."""
    total = _Collected(work, run_plan, engine, work.layout, before, packed)
    tasks = run_plan.tasks(done)
    taken: set[Task] = set()
    for part in store.read(tasks, work.blank, engine.n_counters) if store is not None else ():
        taken.update((part.replicate, *task) for task in part.covers)
        total.receive(part)
    n_taken = sum(points for _, _, points in taken)
    here_before = n_taken + run_plan.replicates * done

    def receive(part: Part) -> None:
        if store is not None:
            store.keep(part)
        total.receive(part)

    def report(points: int) -> None:
        if progress is not None:
            progress(here_before + points, run_plan.draws)

    report(0)
    tasks = [task for task in tasks if task not in taken]
    if tasks:
        executor.run(work, tasks, receive, report)
    return total, n_taken


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


def batches(engine: Engine, run_plan: Plan, points: int) -> Iterator[np.ndarray]:
    """Yield draws of a run, (S, points at most): the first points of every replicate, or 16 parts of the one of plain draws.

    An engine stores from the first point on only, so plain draws are stored at once: 16,384 of 1,670 summaries take 220 MB.
    """
    sources = _Sources(engine, run_plan)
    parts = 1 if run_plan.replicates > 1 else 16
    points = min(points if parts == 1 else 4 * points, run_plan.points)
    for replicate in range(run_plan.replicates):
        stored = engine.store(Block(sources.of(replicate), 0, points))[0]
        yield from np.split(stored, parts, axis=1)


def _pilot(engine: Engine, run_plan: Plan, sources: _Sources) -> np.ndarray:
    """Return the first draws of the run, (S, 4096 or all): always the same ones, so that the bins are."""
    points = min(-(-summaries.PILOT_DRAWS // run_plan.replicates), run_plan.points)
    pilot = np.empty((engine.n_summaries, run_plan.replicates, points))
    for replicate in range(run_plan.replicates):
        pilot[:, replicate] = engine.store(Block(sources.of(replicate), 0, points))[0]
    return pilot.reshape(engine.n_summaries, -1)


@functools.cache
def no_summaries() -> tuple[summaries.Layout, summaries.State]:
    """Return what a kernel that only stores draws is given to summarise; made once: it took half of the pilot of a small case."""
    layout = summaries.plan_layout(np.zeros((0, 1)), True)
    return layout, summaries.new_state(layout)


@functools.lru_cache(maxsize=8)
def _directions(n_dimensions: int) -> np.ndarray:
    """Return the direction numbers of Sobol' points; the same for all cases of a sweep, and 0.5 ms to make."""
    return streams.sobol_directions(n_dimensions)
