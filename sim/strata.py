"""Strata as plain arrays for the border kernel: their evidence, inputs, uniform slots, and the sums of seized loads that scales follow."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from .evidence import Row
from .inputs import constant_of
from .kernels import border
from .matching import SIZE_PARAMETER, Match, Stratum, scale_blocks
from .precursors import NOTHING, rounded
from .priors import expected_events, priors
from .records import PARAMETERS, QUANTITIES, Scenario

_FORMS = {"powder": border.POWDER, "pill": border.PILL, "unrecorded": border.UNRECORDED}
_REFS = (
    ("detection_rate", None),
    ("", None),  # the size parameter of the load law
    ("load_median", None),
    ("missed_size_ratio", None),
    ("attribution_share", None),
    ("inland_seized_ratio", None),
    ("dose", None),
    ("pill_share", None),
    ("powder_purity", "powder"),
    ("purity_mass_weighting", "powder"),
    ("pill_fentanyl", "pill"),
    ("pill_mass", "pill"),
    ("purity_cv", "powder"),
    ("purity_cv", "pill"),
)
_SLOT_NAMES = {
    border.SLOT_GAMMA: "count-gamma",
    border.SLOT_POISSON: "count-poisson",
    border.SLOT_SUM: "missed-sum",
    border.SLOT_SHARE_SEIZED: "pill-share-seized",
    border.SLOT_SHARE_MISSED: "pill-share-missed",
    border.SLOT_ATTRIBUTED_SEIZED: "attributed-seized",
    border.SLOT_ATTRIBUTED_MISSED: "attributed-missed",
    border.SLOT_POWDER_SEIZED: "powder-purity-seized",
    border.SLOT_POWDER_MISSED: "powder-purity-missed",
    border.SLOT_PILL_SEIZED: "pill-purity-seized",
    border.SLOT_PILL_MISSED: "pill-purity-missed",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Uniforms:
    """The stable names of the uniforms of a model: inputs, then compounds take Sobol' dimensions in this order, plain ones none."""

    inputs: tuple[str, ...]
    compound: tuple[str, ...]
    plain: tuple[str, ...]


def compile_strata(
    scenario: Scenario, matched: Match, constants: Mapping[float, int], input_names: tuple[str, ...], shared: Uniforms | None = None
) -> tuple[border.Strata, Uniforms, tuple[tuple[int, int], ...]]:
    """Return the kernel's strata (`index` still empty), the names of all slots, and its cells (corridor, period)."""
    strata, copy = matched.strata, scenario.load_law == "copy"
    ref = _refs(scenario, matched, constants)
    evidence = _evidence(strata, copy)
    blocks = [] if copy else scale_blocks(scenario, matched)
    seized = _seized_sums(strata, ref, [here for _, _, here in blocks])
    wanted = {(j, column): _slot_name(stratum, column) for j, stratum in enumerate(strata) for column in _slots_in_use(scenario, stratum)}
    names = shared or _uniforms(input_names, matched, wanted, (*evidence.names, *seized.names))
    numbers = {name: len(names.inputs) + i for i, name in enumerate((*names.compound, *names.plain))}
    slot, reflection = np.full((len(strata), border.N_SLOTS), -1), np.zeros((len(strata), border.N_SLOTS))
    if scenario.sampler == "sobol" and not copy:  # plain streams have no direction, and none of them may hang on what else is uncertain
        cells_of = [stratum.key[:2] for stratum in strata]
        for j, stratum in enumerate(strata):
            # what any case of a sweep draws turns the scores of all of them, or they would lose their common random numbers
            slot[j] = [numbers.get(_slot_name(stratum, column), -1) for column in range(border.N_SLOTS)]
            reflection[j] = _reflection(_gradient(stratum, cells_of.count(stratum.key[:2])), slot[j] >= 0)
    else:
        for place, name in wanted.items():
            slot[place] = numbers[name]

    corridors, periods = list(scenario.corridors), list(scenario.periods)
    cells = tuple(dict.fromkeys((corridors.index(stratum.key[0]), periods.index(stratum.key[1])) for stratum in strata))
    in_cell = [cells.index((corridors.index(stratum.key[0]), periods.index(stratum.key[1]))) for stratum in strata]
    edges = np.arange(len(periods) + 1)
    compiled = border.Strata(
        form=np.array([_FORMS[stratum.key[2]] for stratum in strata], dtype=np.int64),
        prior=priors(scenario, strata),
        n_events=np.array([float(stratum.n_known) for stratum in strata], dtype=np.float64),
        mass_kg=evidence.mass_kg,
        tablets=evidence.tablets,
        ref=ref,
        slot=slot,
        reflection=reflection,
        unknown_start=np.array(evidence.unknown_start),
        unknown_slot=np.array([numbers[each.slot] for each in evidence.unknown], dtype=np.int64),
        unknown_low=np.array([each.log_low for each in evidence.unknown]),
        unknown_span=np.array([each.log_span for each in evidence.unknown]),
        row_start=np.array(evidence.row_start),
        row_amount=np.array([row.amount for row, _, _ in evidence.drawn]),
        row_half=np.array([row.rounding for row, _, _ in evidence.drawn]),
        row_is_pill=np.array([row.unit == "pill" for row, _, _ in evidence.drawn], dtype=np.bool_),
        row_half_slot=np.array([numbers[half] if half else -1 for _, half, _ in evidence.drawn], dtype=np.int64),
        row_copy_slot=np.array([numbers[copies] if copies else -1 for _, _, copies in evidence.drawn], dtype=np.int64),
        block=seized.block_of,
        term_start=np.array(seized.term_start),
        term_slot=np.array([numbers[name] for name in seized.names], dtype=np.int64),
        term_size=np.array(seized.term_size, dtype=np.int64),
        term_member_start=np.array(seized.member_start),
        term_member=np.array(seized.member, dtype=np.int64),
        period_strata=np.searchsorted([periods.index(stratum.key[1]) for stratum in strata], edges),
        period_cells=np.searchsorted([period for _, period in cells], edges),
        period_blocks=np.searchsorted([periods.index(period) for _, period, _ in blocks], edges),
        cell_corridor=np.array([corridor for corridor, _ in cells], dtype=np.int64),
        cell_start=np.searchsorted(in_cell, np.arange(len(cells) + 1)),
        member=np.array([[c in members for c in corridors] for _, members in scenario.groups], dtype=np.bool_).reshape(-1, len(corridors)),
        index=np.zeros((0, 0, 3, len(QUANTITIES)), np.int64),
        precursors=NOTHING,
    )
    return compiled, names, cells


def _refs(scenario: Scenario, matched: Match, constants: Mapping[float, int]) -> np.ndarray:
    """Return (strata, N_REFS) which input is which parameter of a stratum, -1 where it has none."""
    number = {draw.id: i for i, draw in enumerate(matched.parameter_draws)}
    ref = np.full((len(matched.strata), border.N_REFS), -1)
    for j, stratum in enumerate(matched.strata):
        for column, (name, lookup_form) in enumerate(_REFS):
            parameter = name or SIZE_PARAMETER.get(scenario.load_law, "")
            draw = stratum.parameter_draws.get((parameter, lookup_form or stratum.key[2]))
            if draw is not None:
                ref[j, column] = number[draw.id]
            elif parameter and (default := PARAMETERS[parameter].default) is not None:
                ref[j, column] = constants[default]
    return ref


class _Unknown(NamedTuple):
    """A count that no row gives: log-uniform."""

    slot: str
    log_low: float
    log_span: float


class _Evidence(NamedTuple):
    """What the rows of the strata say, stratum after stratum.

    drawn     (row, slot of its rounding or "", slot of its copies or ""), of rows whose amount is not the same in every draw;
    mass_kg, tablets   (n,) of all others
    """

    unknown: list[_Unknown]
    unknown_start: list[int]
    drawn: list[tuple[Row, str, str]]
    row_start: list[int]
    mass_kg: np.ndarray
    tablets: np.ndarray

    @property
    def names(self) -> list[str]:
        return [*(each.slot for each in self.unknown), *(name for _, *both in self.drawn for name in both if name)]


def _evidence(strata: Sequence[Stratum], copy: bool) -> _Evidence:
    found = _Evidence([], [0], [], [0], np.zeros(len(strata)), np.zeros(len(strata)))
    for j, stratum in enumerate(strata):
        label = "|".join(stratum.key)
        # Rows are numbered by what they say: their order in a file names no stream.
        for i, row in enumerate(sorted(stratum.rows, key=_row_order)):
            if row.n_events is None:
                found.unknown.append(_Unknown(f"{label}|events-{i}", math.log(row.n_min), math.log((row.n_max + 1) / row.n_min)))
            if row.rounding > 0.0 or (copy and row.n_events != 0):
                half = f"{label}|rounding-{i}" if row.rounding > 0.0 else ""
                found.drawn.append((row, half, f"{label}|copies-{i}" if copy else ""))
            elif row.unit == "pill":
                found.tablets[j] += row.amount
            else:
                found.mass_kg[j] += row.amount
        found.unknown_start.append(len(found.unknown))
        found.row_start.append(len(found.drawn))
    return found


def _row_order(row: Row) -> tuple[object, ...]:
    return (row.unit, row.amount, row.rounding, -1 if row.n_events is None else row.n_events, row.n_min, row.n_max)


class _SeizedSums(NamedTuple):
    """The sums of seized loads that the scale of a block follows: a term for each law of sizes in it, and the strata that are its members.

    block_of   (n,) block of each stratum;  names   slot of each term;  starts are offsets, one longer than what they part
    """

    block_of: np.ndarray
    names: list[str]
    term_start: list[int]
    term_size: list[int]
    member_start: list[int]
    member: list[int]


def _seized_sums(strata: Sequence[Stratum], ref: np.ndarray, blocks: Iterable[Sequence[Stratum]]) -> _SeizedSums:
    place = {stratum.key: j for j, stratum in enumerate(strata)}
    found = _SeizedSums(np.zeros(len(strata), np.int64), [], [0], [], [0], [])
    for b, here in enumerate(blocks):
        sizes: dict[int, list[int]] = {}
        for stratum in here:
            j = place[stratum.key]
            found.block_of[j] = b
            sizes.setdefault(int(ref[j, border.LOAD_SIZE]), []).append(j)
        for size, inside in sorted(sizes.items()):
            found.names.append(min("|".join(strata[j].key) for j in inside) + "|seized-sum")
            found.term_size.append(size)
            found.member.extend(inside)
            found.member_start.append(len(found.member))
        found.term_start.append(len(found.names))
    return found


# --- uniforms ---------------------------------------------------------------------------------------------------------


def _slot_name(stratum: Stratum, column: int) -> str:
    return f"{'|'.join(stratum.key)}|{_SLOT_NAMES[column]}"


def _uniforms(inputs: tuple[str, ...], matched: Match, wanted: Mapping[tuple[int, int], str], others: Sequence[str]) -> Uniforms:
    """Return the uniforms that are needed: `wanted` by strata, slot by slot, and `others` that take Sobol' dimensions.

    Pairs of late Sobol' dimensions are worse than random at 2^13 points: with every uniform among them the 5 % quantile of northern-other
    in FY2024 had nine times the error of plain draws. The first score of a stratum is the direction that matters; the others are plain.
    """
    plain = {name for (_, column), name in wanted.items() if column != border.SLOT_GAMMA}
    compound = {*wanted.values(), *others, *(name for stratum in matched.precursors for name, _ in rounded(stratum))}
    return Uniforms(inputs=inputs, compound=tuple(sorted(compound - plain)), plain=tuple(sorted(plain)))


def _slots_in_use(scenario: Scenario, stratum: Stratum) -> list[int]:
    """Return the uniform slots a stratum needs: none for what is certain (a share of 0 or 1, no spread of purity)."""
    form = stratum.key[2]

    def certain(name: str, lookup_form: str, values: tuple[float, ...]) -> bool:
        draw = stratum.parameter_draws.get((name, lookup_form))
        return (PARAMETERS[name].default if draw is None else constant_of(draw.block.law)) in values

    used = [] if scenario.load_law == "copy" else [border.SLOT_GAMMA, border.SLOT_POISSON]
    used += [border.SLOT_SUM] if scenario.load_law in ("lognormal", "gamma") else []
    if form == "unrecorded" and not certain("pill_share", form, (0.0, 1.0)):
        used += [border.SLOT_SHARE_SEIZED, border.SLOT_SHARE_MISSED]
    if not certain("attribution_share", form, (0.0, 1.0)):
        used += [border.SLOT_ATTRIBUTED_SEIZED, border.SLOT_ATTRIBUTED_MISSED]
    if form != "pill" and not certain("purity_cv", "powder", (0.0,)):
        used += [border.SLOT_POWDER_SEIZED, border.SLOT_POWDER_MISSED]
    if form != "powder" and not certain("purity_cv", "pill", (0.0,)):
        used += [border.SLOT_PILL_SEIZED, border.SLOT_PILL_MISSED]
    return used


def _reflection(gradient: np.ndarray, used: np.ndarray) -> np.ndarray:
    """Return v with v' v = 2 such that z - v (v' z) turns the first axis into the gradient (s,); 0 where there is nothing to turn.

    The gradient is rounded to 2^-10 of its length, so that no libm moves a draw.
    """
    length = math.sqrt(math.fsum(float(g) ** 2 for g in gradient[used]))
    if not 0.0 < length < math.inf:
        return np.zeros(used.size)
    rounded = np.where(used, np.round(1024.0 * gradient / length), 0.0)
    unit = rounded / math.sqrt(math.fsum(float(g) ** 2 for g in rounded))
    v = np.zeros(used.size)
    v[border.SLOT_GAMMA] = 1.0
    v -= unit
    size = math.fsum(float(a) ** 2 for a in v)
    return v * math.sqrt(2.0 / size) if size > 1e-6 else np.zeros(used.size)


def _gradient(stratum: Stratum, forms: int) -> np.ndarray:
    """Return d log(pure flow) / d score of every slot of a stratum, one of `forms` in its cell, roughly; any direction is right.

    All but the evidence is nominal (one load in ten is detected, half of the mass is pills, sizes of cv 2.2, a prior of half an event),
    because what a sweep changes must not turn the scores: its cases would lose their common random numbers. With w = .9 the share of the
    flow that is missed: gamma w / sqrt(n + a), Poisson w / sqrt(K), sum w sqrt(1 / K_eff - 1 / K), and for the Betas of either side their
    relative sd times the share of the pure flow that they move.
    """
    events = round(expected_events(stratum))
    prior = 0.5 / forms
    n = max(events, 1.0)
    k = 9.0 * (events + prior) + 1.0
    missed = 0.9
    shape = 0.2
    effective = [max((shape * loads + 1.0) / (shape + 1.0), 1.0) for loads in (n, k)]
    gradient = np.zeros(border.N_SLOTS)
    gradient[border.SLOT_GAMMA] = missed / math.sqrt(max(events + prior, 0.5))
    gradient[border.SLOT_POISSON] = missed / math.sqrt(k)
    gradient[border.SLOT_SUM] = missed * math.sqrt(max(1.0 / effective[1] - 1.0 / k, 0.0))
    of_powder = {"powder": 1.0, "pill": 0.0, "unrecorded": 0.8}[stratum.key[2]]  # of the pure mass
    for side, (share, loads) in enumerate(((1.0 - missed, effective[0]), (missed, effective[1]))):
        gradient[border.SLOT_ATTRIBUTED_SEIZED + side] = share / math.sqrt(loads)
        gradient[border.SLOT_SHARE_SEIZED + side] = -0.6 * share / math.sqrt(loads)
        gradient[border.SLOT_POWDER_SEIZED + side] = of_powder * share / math.sqrt(loads)
        gradient[border.SLOT_PILL_SEIZED + side] = (1.0 - of_powder) * 0.3 * share / math.sqrt(loads)
    return gradient
