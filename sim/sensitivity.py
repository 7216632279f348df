"""Which input each answer hangs on: indices from the draws of a run, Shapley effects from reruns that redraw some of its uniforms.

Nothing is added to what a block of draws does: the first points of every replicate are drawn again, to the same bits, by whoever asked
for the run. So no number depends on threads, engines or what was resumed.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, TypeVar

import numpy as np
import xarray as xr

from . import distributions, indices
from .indices import Array
from .kernels import streams
from .kernels.inputs import Source
from .kernels.libm import log
from .model import Model
from .precursors import renumbered
from .questions import ZERO
from .records import Result, Sensitivity
from .runner import Block, Engine, Plan, Progress, sobol_dimensions
from .simulation import BorderEngine
from .tails import said
from .tree import Variable

POINTS = 4_096  # of a replicate that indices are computed from, 65,536 to 131,072 draws in all: an error of .001 or so
BATCHES = 16  # that plain draws are cut into; replicates of a rerun
MOST_GROUPS = 8  # of inputs: 2^8 reruns
_LEAST_POINTS, _MOST_ANSWERS = 64, 2**17  # points of a replicate of a rerun; answers of all its subsets, held at once: 1 MB a target
_ROUNDING = 1e-13  # of a target: 450 units of the last digit, which sums and ratios of inputs that cancel stay within
_REST = "rest"
_WAYS = (("shapley", "input_group", "target"), ("first_order", "parameter", "target"), ("evppi", "parameter", "claim"))
_NO_EFFECTS = "no Shapley effects, because it is undefined, infinite or without a log in some of the draws that they redraw"
_ON_THE_LOG = 'scale = "log" does without'

INPUT_GROUPS: Mapping[str, tuple[str, ...]] = {
    "detection": ("detection_rate",),
    "purity": ("powder_purity", "pill_fentanyl", "pill_mass", "purity_mass_weighting"),
    "form": ("pill_share", "pill-share-seized", "pill-share-missed"),
    "counts": ("count-gamma", "count-poisson", "events", "copies"),
    "sizes": ("load_log_sd", "load_shape", "load_median", "missed_size_ratio", "missed-sum", "seized-sum"),
    "purity spread": (
        "purity_cv",
        "powder-purity-seized",
        "powder-purity-missed",
        "pill-purity-seized",
        "pill-purity-missed",
    ),
}
"""Groups of inputs: what they hold, parameters by name and other uniforms by the last part of theirs. Whatever is not here is "rest"."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What the draws say. x = inputs, t = targets, m = claims, g = groups of inputs.

    first_order (x, t), evppi (x, m), shapley (g, t), each with its error; no group where Shapley effects were not asked for
    notes    (t,) why a target has no index, "" where it has
    """

    first_order: indices.Estimate
    evppi: indices.Estimate
    shapley: indices.Estimate
    notes: tuple[str, ...]


_T = TypeVar("_T")

Answers = Callable[[Array], tuple[Array, Array]]
"""From what an engine stored, (S, d), to targets (t, d) and claims (m, d): 1 true, 0 false, NaN undefined."""


def find(
    engine: Engine,
    run_plan: Plan,
    laws: Sequence[distributions.Law],
    answers: Answers,
    *,
    scale: str,
    groups: Sequence[np.ndarray] = (),
    rerun: Callable[[int], Engine] | Engine | None = None,
    refused: Mapping[int, str] | None = None,
    threads: int | None = None,
    progress: Progress | None = None,
) -> Found:
    """Compute indices from the first points of a run.

    laws       of the inputs: the first rows of what `engine.store` returns
    scale      "log" or "raw": of the targets
    groups     (s,) boolean each: the uniform slots of a group of inputs that depends on no other. None: no Shapley effects
    rerun      the engine for those; default `engine`. Or a function of a subset of groups: the engine whose other groups, redrawn, come
               from their law given those of the subset
    refused    targets that have no index, with the reason
    threads    default: all processors
    progress   called from this thread with (draws redrawn, such draws in all)
    """
    draws = _Draws(engine, run_plan)
    per_batch = min(POINTS, run_plan.points) if run_plan.replicates > 1 else max(min(POINTS, run_plan.points // BATCHES), 1)
    n_bins = min(indices.BINS, 1 << max(per_batch.bit_length() - 2, 1))
    probabilities = indices.bin_edges(n_bins, per_batch * max(run_plan.replicates, BATCHES))
    edges = np.array([_edges(law, probabilities) for law in laws]).reshape(len(laws), n_bins - 1)
    sources = range(run_plan.replicates)
    points = per_batch if run_plan.replicates > 1 else per_batch * BATCHES

    again = _rerun_points(run_plan, len(groups)) if groups else 0
    n_again = max(run_plan.replicates, BATCHES)
    total = run_plan.replicates * points + (again * n_again << len(groups))

    def counted(done: int, each: int, results: Iterator[_T]) -> list[_T]:
        """Collect results, one a replicate, and report `each` draws for every one beyond `done`."""
        collected = []
        for result in results:
            collected.append(result)
            if progress is not None:
                progress(done + each * len(collected), total)
        return collected

    def first(replicate: int) -> tuple[np.ndarray, Array, Array]:
        stored, inputs = engine.store(Block(draws.of(replicate), 0, points))
        return indices.sort_into_bins(edges, inputs[: len(laws)]), *answers(stored)

    with ThreadPoolExecutor(threads or os.cpu_count()) as pool:
        come = counted(0, points, pool.map(first, sources))
        place, targets, claims = (_batches([each[k] for each in come], len(come) > 1) for k in range(3))
        notes = _unfit(targets, scale, refused or {})
        bad = np.array([bool(note) for note in notes], dtype=bool)
        targets[:, bad] = np.nan
        if scale == "log":
            targets[:] = log(targets)
        good = ~np.isnan(targets)
        centre = np.sum(targets, axis=(0, 2), where=good) / np.maximum(good.sum(axis=(0, 2)), 1)
        targets -= centre[:, None]
        mean_square = np.sum(targets**2, axis=2, where=good) / np.maximum(good.sum(axis=2), 1)
        found = list(pool.map(lambda p: indices.first_order(*indices.binned(place[:, p], targets, n_bins), mean_square), range(len(laws))))
        coarse = max(n_bins // indices.CLAIM_BINS, 1)
        claimed = list(
            pool.map(lambda p: indices.evppi(*indices.binned(place[:, p] // coarse, claims, n_bins // coarse)), range(len(laws)))
        )
        answered = np.zeros((2, 1, bad.size))
        if groups:
            redo = _reruns(rerun or engine, run_plan, groups, answers, scale, centre, bad, again)
            answered = np.stack(counted(run_plan.replicates * points, again << len(groups), pool.map(redo, range(n_again))))
    effects = indices.shapley(answered)
    lost = ~bad & ~np.isfinite(effects[0]).all(axis=0) & bool(groups)
    notes = tuple(_NO_EFFECTS if gone else note for note, gone in zip(notes, lost, strict=True))
    return Found(
        first_order=_stacked(found, bad.size, bad),
        evppi=_stacked(claimed, claims.shape[1], np.zeros(claims.shape[1], bool)),
        shapley=_stacked([(value, error) for value, error in zip(*effects, strict=True)], bad.size, bad),
        notes=notes,
    )


@lru_cache(maxsize=512)
def _edges(law: distributions.Law, probabilities: tuple[float, ...]) -> Array:
    return distributions.ppf(law, probabilities)


def _stacked(estimates: Sequence[indices.Estimate], n: int, bad: np.ndarray) -> indices.Estimate:
    """Return estimates (n,) each as two arrays (x, n); NaN for targets without an index."""
    value, error = (np.array([each[k] for each in estimates]).reshape(len(estimates), n) for k in range(2))
    return np.where(bad, np.nan, value), np.where(bad, np.nan, error)


def _batches(each: Sequence[np.ndarray], replicates: bool) -> np.ndarray:
    """Return draws (n, d) of every replicate as (R, n, d); those of the one replicate of plain draws in BATCHES parts."""
    if replicates:
        return np.stack(each)
    parts = min(BATCHES, each[0].shape[1])
    return np.ascontiguousarray(np.moveaxis(each[0].reshape(len(each[0]), parts, each[0].shape[1] // parts), 1, 0))


def _unfit(targets: Array, scale: str, refused: Mapping[int, str]) -> tuple[str, ...]:
    """Return for every target (R, t, d) why it has no index, or ""."""
    notes = []
    for t in range(targets.shape[1]):
        draws = targets[:, t]
        note = refused.get(t, "")
        if not note and np.isinf(draws).any():
            note = "it is infinite in some draws"
        elif not note and np.isnan(draws).all():
            note = "it is undefined in every draw"
        elif not note and np.nanmax(draws) - np.nanmin(draws) <= _ROUNDING * np.nanmax(np.abs(draws)):
            note = "it is the same in every draw" + ("" if np.nanmin(draws) == np.nanmax(draws) else ", but for rounding")
        elif not note and scale == "log" and np.nanmin(draws) <= 0.0:
            note = "it is 0 in some draws, and has no log there"
        notes.append(note)
    return tuple(notes)


class _Draws:
    """The uniforms of a run, to the bit, and beside them others for what is redrawn: Sobol' dimensions and streams of their own."""

    def __init__(self, engine: Engine, run_plan: Plan) -> None:
        self._seed = np.uint64(run_plan.seed)
        self._dimension = sobol_dimensions(run_plan, len(engine.slot_names), engine.n_point_slots)
        self._n = int(np.count_nonzero(self._dimension >= 0))
        own, other = ([streams.stream_id(f"{name}{suffix}") for name in engine.slot_names] for suffix in ("", "|redrawn"))
        self._own, self._other = np.array(own, dtype=np.uint64), np.array(other, dtype=np.uint64)
        doubled = 2 * self._n if 2 * self._n <= streams.MAX_DIMENSIONS else self._n
        self._directions = streams.sobol_directions(doubled)
        self._redrawn = np.where((self._dimension >= 0) & (doubled > self._n), self._dimension + self._n, -1)

    def of(self, replicate: int, redrawn: np.ndarray | None = None) -> Source:
        """Return the uniforms of a replicate, the slots `redrawn` (s,) from elsewhere."""
        directions, shift = streams.sobol_scrambles(self._seed, replicate, self._directions)
        other = np.zeros(self._own.size, bool) if redrawn is None else redrawn
        return Source(
            seed=self._seed,
            replicate=replicate,
            directions=directions,
            shift=shift,
            dimension=np.where(other, self._redrawn, self._dimension),
            stream=np.where(other, self._other, self._own),
        )


def _rerun_points(run_plan: Plan, n_groups: int) -> int:
    """Return the points of a replicate of a rerun: all subsets together make about as many draws as the run has."""
    room = max(run_plan.draws // (max(run_plan.replicates, BATCHES) << n_groups), 1)
    return min(max(1 << (room.bit_length() - 1), _LEAST_POINTS), _MOST_ANSWERS >> n_groups)


def _reruns(
    rerun: Callable[[int], Engine] | Engine,
    run_plan: Plan,
    groups: Sequence[np.ndarray],
    answers: Answers,
    scale: str,
    centre: Array,
    bad: np.ndarray,
    points: int,
) -> Callable[[int], Array]:
    """Return a function of a replicate that gives the mean products of answers that share a subset of groups, (2^g, t).

    bad (t,)   targets without an index: a constant stands in for them, whose effects are 0/0
    A target that is undefined, infinite or without a log in one of these draws has NaN.
    """
    subsets = range(1 << len(groups))
    draws = _Draws(rerun(0) if callable(rerun) else rerun, run_plan)

    def answer(engine: Engine, source: Source) -> Array:
        targets = np.where(bad[:, None], 1.0, answers(engine.store(Block(source, 0, points))[0])[0])
        targets = np.where(np.isinf(targets) | ((targets <= 0.0) & (scale == "log")), np.nan, targets)
        centred: Array = (log(targets) if scale == "log" else targets) - centre[:, None]
        return centred

    def one(replicate: int) -> Array:
        kept = draws.of(replicate)
        redrawn = []
        for subset in subsets:
            others = np.ones(kept.stream.size, bool)
            for k, slots in enumerate(groups):
                if subset >> k & 1:
                    others &= ~slots
            redrawn.append(draws.of(replicate, others))
        if not callable(rerun):
            return indices.products(np.stack([answer(rerun, source) for source in redrawn]))
        pairs = ((answer(rerun(subset), kept), answer(rerun(subset), redrawn[subset])) for subset in subsets)
        return np.stack([(first * second).mean(axis=1) for first, second in pairs])

    return one


# --- the border model -----------------------------------------------------------------------------------------------------------------


def target_names(model: Model, asked: Sensitivity) -> tuple[str, ...]:
    """Return the labels of targets: ids of contrasts, then results as "quantity corridor period form"."""
    results = (f"{one.quantity} {one.corridor} {one.period} {one.form}" for one in asked.targets)
    return (*(contrast.id for contrast in model.scenario.contrasts), *results)


def of_run(
    model: Model, run_plan: Plan, asked: Sensitivity, threads: int | None = None, progress: Progress | None = None
) -> dict[str, Any]:
    """Return the indices of a run of the border model: arrays, and the labels `targets` and `input_groups` and `notes` of their axes.

    A target on the raw scale whose variance has no error (tail index 4 or less) is refused, and a contrast whose denominator may be near 0.

    Source: method.md section 7.
    """
    scenario = model.scenario
    cells = [scenario.cell(one) for one in asked.targets]
    summary = np.array([model.summary[cell] for cell in cells], dtype=np.int64)
    small, number = only(model, summary)
    n_needed, n_contrasts = small.contrasts.row.size, len(scenario.contrasts)
    # The scores of a stratum are reflected so that the first one counts most; unreflected ones have the same law, and a slot each.
    unreflected = replace(small, strata=small.strata._replace(reflection=np.zeros_like(small.strata.reflection)))
    rows = np.concatenate([n_needed + np.arange(n_contrasts), np.where(summary >= 0, number[np.maximum(summary, 0)], -1)]).astype(int)
    contrasts = model.contrasts

    def answers(stored: Array) -> tuple[Array, Array]:
        targets = np.where(rows[:, None] >= 0, stored[rows], 0.0)
        ratio = stored[n_needed + contrasts.claim_contrast]
        true = (contrasts.claim_low[:, None] <= ratio) & (ratio <= contrasts.claim_high[:, None])
        return targets, np.where(np.isnan(ratio), np.nan, true)

    refused = {}
    if asked.scale == "raw":
        numerators = [scenario.cell(contrast.numerator) for contrast in scenario.contrasts]
        for t, cell in enumerate([*numerators, *cells]):
            if model.tail_index[cell] <= 4.0:
                refused[t] = f"its variance would not settle ({said([model.reasons[model.reason[cell]]])}); {_ON_THE_LOG}"
            elif t < n_contrasts and not _bounded_below(model, scenario.contrasts[t].denominator):
                refused[t] = f"its variance might not settle (nothing keeps its denominator from 0); {_ON_THE_LOG}"
    groups = input_groups(model) if asked.shapley else {}
    found = find(
        BorderEngine(small),
        run_plan,
        [draw.block.law for draw in model.parameter_draws],
        answers,
        scale=asked.scale,
        groups=list(groups.values()),
        rerun=BorderEngine(unreflected),
        refused=refused,
        threads=threads,
        progress=progress,
    )
    given = {"first_order": found.first_order, "evppi": found.evppi, "shapley": found.shapley}
    names = target_names(model, asked)
    return {
        **{name: value for name, (value, _) in given.items()},
        **{f"{name}_mcse": error for name, (_, error) in given.items()},
        "targets": names,
        "input_groups": tuple(groups),
        "notes": {name: note for name, note in zip(names, found.notes, strict=True) if note},
    }


def only(model: Model, summary: np.ndarray) -> tuple[Model, np.ndarray]:
    """Return the model that answers contrasts and these summaries alone, to the same bits, and the new number of each summary, or -1."""
    needed = np.union1d(summary[summary >= 0], np.flatnonzero(model.contrasts.row >= 0))
    number = np.full(model.contrasts.row.size, -1)
    number[needed] = np.arange(needed.size)
    index = model.strata.index
    strata = model.strata._replace(
        index=np.where(index >= 0, number[np.maximum(index, 0)], -1), precursors=renumbered(model.strata.precursors, number)
    )
    contrasts = model.contrasts._replace(row=model.contrasts.row[needed])
    return replace(model, strata=strata, contrasts=contrasts, n_summaries=needed.size + len(model.scenario.contrasts)), number


def _bounded_below(model: Model, one: Result) -> bool:
    """Return whether a result cannot come near 0: a gross mass that holds seized kg whose place is known. Of others it is not shown."""
    scenario = model.scenario
    members = dict(scenario.places)[one.corridor]
    place = scenario.cell(replace(one, quantity="unattributed_pure_kg"))
    rows = [
        row
        for row in scenario.rows
        if row.corridor in members and row.period == one.period and row.unit == "kg" and one.form in ("all", row.form)
        if row.form != "precursor"
    ]
    least = sum(row.amount - (row.rounding or 0.0) for row in rows)
    return one.quantity in ("seized_gross_kg", "flow_gross_kg") and bool(model.summary[place] == ZERO) and least > 0.0


def input_groups(model: Model) -> dict[str, np.ndarray]:
    """Return the uniform slots (s,) of every group of inputs that has some; groups that a correlation links are one, "a + b"."""
    group_of = {member: group for group, members in INPUT_GROUPS.items() for member in members}
    of_slot = [group_of.get(name.rpartition("|")[2].rstrip("0123456789").rstrip("-"), _REST) for name in model.slot_names]
    inputs = model.inputs
    linked: list[set[str]] = []
    for p, draw in enumerate(model.parameter_draws):
        if inputs.slot[p] >= 0:
            of_slot[inputs.slot[p]] = group_of.get(draw.block.name, _REST)
    for k, chi_slot in enumerate(inputs.chi_slot):
        members = inputs.member[inputs.member_start[k] : inputs.member_start[k + 1]]
        linked.append({of_slot[inputs.slot[p]] for p in members})
        if chi_slot >= 0:
            of_slot[chi_slot] = of_slot[inputs.slot[members[0]]]
    used = _used(model)
    names = [name for name in (*INPUT_GROUPS, _REST) if any(of_slot[slot] == name for slot in used)]
    joined = np.eye(len(names), dtype=bool)
    for together in linked:
        places = [names.index(name) for name in together]
        joined[np.ix_(places, places)] = True
    from scipy.sparse import csgraph  # .1 s, which other runs do without

    n_groups, label = csgraph.connected_components(joined)
    groups = {}
    for k in range(n_groups):
        members_of = [name for name, at in zip(names, label, strict=True) if at == k]
        groups[" + ".join(members_of)] = np.array([name in members_of for name in of_slot])
    return groups


def _used(model: Model) -> set[int]:
    """Return the slots that this model reads; the cases of a sweep share the names of all."""
    strata, inputs = model.strata, model.inputs
    arrays = (
        inputs.slot, inputs.chi_slot, strata.slot, strata.unknown_slot, strata.row_half_slot, strata.row_copy_slot, strata.term_slot,
        strata.precursors.half_slot,
    )  # fmt: skip
    return {int(slot) for array in arrays for slot in array.ravel() if slot >= 0}


def variables(
    sweeps: tuple[str, ...], stack: Callable[[Sequence[Array], Sequence[str]], Array], each: Sequence[Mapping[str, Any]], scale: str
) -> dict[str, Variable]:
    """Return the variables of the group /sensitivity from those of every case; `stack` puts cases together."""
    about = {
        "first_order": (("parameter", "target"), "share of the variance that knowing the parameter alone would take away"),
        "evppi": (("parameter", "claim"), "by how much knowing the parameter would raise the chance to be right on the claim"),
        "shapley": (("input_group", "target"), "Shapley effect: share of the variance that is due to a group of inputs"),
    }
    notes = dict(pair for one in each for pair in one["notes"].items())
    of_notes = {"note": "; ".join(f"{target}: {note}" for target, note in notes.items())} if notes else {}
    found: dict[str, Variable] = {}
    for name, (dimensions, text) in about.items():
        if all(one[name].size == 0 for one in each):
            continue
        attributes = {"units": "1"} if name == "evppi" else {"units": "1", "scale": scale, **of_notes}
        of_error = {"units": "1", "long_name": f"Monte Carlo standard error: {text}"}
        found[name] = ((*sweeps, *dimensions), stack([one[name] for one in each], dimensions), {**attributes, "long_name": text})
        found[f"{name}_mcse"] = ((*sweeps, *dimensions), stack([one[f"{name}_mcse"] for one in each], dimensions), of_error)
    return found


def in_words(group: xr.Dataset, sweeps: Sequence[str], number: Callable[[float, float], str]) -> list[tuple[tuple[int, ...], str, str]]:
    """Return what is said of each contrast, result and claim, in each case: (place in the sweeps, its name, a sentence).

    group     /sensitivity of a result;  sweeps  its first dimensions
    number    writes a number with no more digits than its error carries

    Named are the three inputs it hangs on most, each with its error; an index that is not three errors above 0 is not.
    """
    told = []
    for name, inputs, of in (way for way in _WAYS if way[0] in group):
        value = group[name].transpose(*sweeps, of, inputs)
        error = group[f"{name}_mcse"].transpose(*sweeps, of, inputs)
        labels = group[inputs].to_numpy().tolist()
        for place in np.ndindex(*value.shape[:-1]):
            here, errors = value.to_numpy()[place], error.to_numpy()[place]
            order = [k for k in np.argsort(-np.nan_to_num(here), kind="stable") if here[k] > 3.0 * errors[k]][:3]
            written = [(labels[k], number(here[k], errors[k]), errors[k]) for k in order]
            named = [f"{label} {x}" + (f" (error {e:.1g})" if e > _ROUNDING else "") for label, x, e in written if not x.startswith("~")]
            if name == "evppi":
                said = f"knowing one input exactly would raise the chance to be right by: {'; '.join(named)}."
                said = said if named else "knowing no single input would change what to say of it."
            else:
                of_what = "groups of inputs (Shapley effects)" if name == "shapley" else "single inputs (first order)"
                scale = "of its log" if group[name].attrs["scale"] == "log" else "of it"
                said = f"shares of the variance {scale}, {of_what}: {'; '.join(named)}."
            if named or (name == "evppi" and not np.isnan(here).all()):
                told.append((place[:-1], str(group[of].to_numpy()[place[-1]]), said))
    return told


def why_none(group: xr.Dataset) -> list[str]:
    """Return a sentence on each target without shares of its variance, and why it has none."""
    noted = dict.fromkeys(group[name].attrs["note"] for name, _, _ in _WAYS if name in group and "note" in group[name].attrs)
    return [f"No shares of the variance: {note}." for note in noted]
