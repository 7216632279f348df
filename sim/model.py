"""A checked scenario as plain arrays for the border kernel: strata, inputs, uniform slots, and which summary answers which question."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from . import distributions
from .dependence import ParameterDraw
from .evidence import Row
from .inputs import compile_inputs, constant_of, slots_of_inputs
from .kernels import border, gammas, lognormal_loads, quantiles
from .kernels.conditions import Conditions
from .kernels.inputs import Inputs
from .matching import SIZE_PARAMETER, Match, Stratum, match, scale_blocks
from .precursors import NOTHING, compile_precursors, rounded, sums
from .priors import expected_events, prior_shares, priors
from .questions import ZERO, questions
from .records import PARAMETERS, QUANTITIES, RESULT_FORMS, Quantity, Scenario
from .tails import Reason, tail_indices

DIAGNOSTICS: Mapping[str, Quantity] = {
    "prior_share": Quantity(units="1", long_name="share of the expected missed loads that the event prior supplies"),
    "purity_cut_share": Quantity(units="1", long_name="share of draws in which a mean purity was cut at 1"),
    "sd_limited_share": Quantity(
        units="1", long_name="share of draws in which the spread of an average purity was limited to what a Beta allows"
    ),
    "inland_cut_share": Quantity(
        units="1", long_name="share of draws in which inland seizures were cut at what was missed: a conflict in the inputs"
    ),
}

_DEFAULTS = tuple(sorted({kind.default for kind in PARAMETERS.values() if kind.default is not None}))
_LAWS = {"lognormal": border.LOGNORMAL, "gamma": border.GAMMA, "equal": border.EQUAL, "copy": border.COPY}
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
class Model:
    """What the runner needs, and what labels need to know of it.

    n = corridors then groups, p = periods, f = powder, pill, all, q = quantities in the order of `Scenario.quantities`

    slot_names         (s,) stable name of every uniform slot: inputs by name, then what takes Sobol' dimensions by name, then the rest
    n_point_slots      how many of them, from the first, take Sobol' dimensions: inputs, sums of seized loads, one of each stratum
    parameter_draws    in order of id; they are the first inputs
    summary            (n, p, f, q) summary that answers, ABSENT, or ZERO
    factor             (n, p, f, q) what to multiply it by (a constant dose, 1 elsewhere)
    contrasts          ratios of two results, whose summaries come after all others, and claims about them
    conditions         soft bounds on results, by summary
    n_summaries        summaries in play, ratios among them
    tail_index         (n, p, f, q) alpha with P(Y > y) ~ y^-alpha: a mean exists above 1, it has an error above 2; an sd 2 and 4
    reason             (n, p, f, q) why the index is what it is, a number into `reasons`, of which 0 is none
    prior_share        (n, p)
    cells              (corridor, period) of each row of the kernel's inland counters
    seized_gross_kg    (corridor, period, form) -> kg as in the table, counted pills at the median pill mass
    """

    scenario: Scenario
    law: int
    strata: border.Strata
    inputs: Inputs
    tables: border.Tables
    slot_names: tuple[str, ...]
    n_point_slots: int
    parameter_draws: tuple[ParameterDraw, ...]
    summary: np.ndarray
    factor: np.ndarray
    contrasts: border.Contrasts
    conditions: Conditions
    n_summaries: int
    tail_index: np.ndarray
    reason: np.ndarray
    reasons: tuple[Reason, ...]
    prior_share: np.ndarray
    stratum_keys: tuple[tuple[str, str, str], ...]
    cells: tuple[tuple[int, int], ...]
    seized_gross_kg: Mapping[tuple[str, str, str], float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Uniforms:
    """The stable names of the uniforms of a model: inputs, then compounds take Sobol' dimensions in this order, plain ones none."""

    inputs: tuple[str, ...]
    compound: tuple[str, ...]
    plain: tuple[str, ...]


def uniforms(scenario: Scenario) -> Uniforms:
    """Return the uniforms that a scenario needs; quick (0.5 ms for one corridor), because no table is made."""
    matched, _ = match(scenario)
    needed = slots_of_inputs({draw.id: draw.block.law for draw in matched.parameter_draws}, matched.components)
    return _strata(scenario, matched, dict.fromkeys(_DEFAULTS, 0), needed)[1]


def labels_of(scenario: Scenario) -> tuple[tuple[ParameterDraw, ...], dict[tuple[str, str, str], float]]:
    """Return the parameter draws and the seized gross kg of a scenario, as `compile_model` does, without a table."""
    matched, _ = match(scenario)
    return matched.parameter_draws, {stratum.key: _gross_kg(stratum) for stratum in (*matched.strata, *matched.precursors)}


def shared_uniforms(each: Iterable[Uniforms]) -> Uniforms:
    """Return what several models need together: with one map to dimensions all draw the same numbers under the same names."""
    inputs, compound, plain = set[str](), set[str](), set[str]()
    for one in dict.fromkeys(each):
        inputs.update(one.inputs)
        compound.update(one.compound)
        plain.update(one.plain)
    return Uniforms(inputs=tuple(sorted(inputs)), compound=tuple(sorted(compound)), plain=tuple(sorted(plain)))


def compile_model(scenario: Scenario, shared: Uniforms | None = None) -> Model:
    """Return the arrays of a scenario that `check` has passed; `shared` are the uniforms of which it is to use its own.

    Source: method.md sections 2 to 6; the arrays are described in kernels/border.py.
    """
    matched, _ = match(scenario)
    inputs, input_names, constants = _inputs(matched, shared)
    strata, names, cells = _strata(scenario, matched, constants, input_names, shared)
    summary, multiplier, n_summaries, index = questions(scenario, matched)
    tail_index, reason, reasons = tail_indices(scenario, matched)
    gamma = gammas.gamma_table()
    _, made_of = sums(scenario, matched)
    slots = {name: slot for slot, name in enumerate((*names.inputs, *names.compound, *names.plain))}
    numbers = {draw.id: number for number, draw in enumerate(matched.parameter_draws)}
    return Model(
        scenario=scenario,
        law=_LAWS[scenario.load_law],
        strata=strata._replace(index=index, precursors=compile_precursors(made_of, n_summaries - len(made_of), slots, numbers)),
        inputs=inputs,
        tables=border.Tables(
            gamma=gamma, score=quantiles.normal_score_table(), tail=quantiles.normal_tail_table(), sums=_load_sums(scenario, matched)
        ),
        slot_names=(*names.inputs, *names.compound, *names.plain),
        n_point_slots=len(names.inputs) + len(names.compound),
        parameter_draws=matched.parameter_draws,
        summary=summary,
        factor=multiplier,
        contrasts=_contrasts(scenario, summary, multiplier, n_summaries),
        conditions=_conditions(scenario, matched, summary, multiplier),
        n_summaries=n_summaries + len(scenario.contrasts),
        tail_index=tail_index,
        reason=reason,
        reasons=reasons,
        prior_share=prior_shares(scenario, matched),
        stratum_keys=tuple(stratum.key for stratum in matched.strata),
        cells=cells,
        seized_gross_kg={stratum.key: _gross_kg(stratum) for stratum in (*matched.strata, *matched.precursors)},
    )


def _inputs(matched: Match, shared: Uniforms | None) -> tuple[Inputs, tuple[str, ...], dict[float, int]]:
    """Return the inputs, parameter draws first and constants for defaults after them, their slot names, and where each constant stands."""
    laws = {draw.id: draw.block.law for draw in matched.parameter_draws}
    inputs, names = compile_inputs(laws, matched.components, _DEFAULTS, shared.inputs if shared is not None else None)
    return inputs, names, {constant: len(laws) + i for i, constant in enumerate(_DEFAULTS)}


def _strata(
    scenario: Scenario, matched: Match, constants: Mapping[float, int], input_names: tuple[str, ...], shared: Uniforms | None = None
) -> tuple[border.Strata, Uniforms, tuple[tuple[int, int], ...]]:
    """Return the kernel's strata (`index` still empty), the names of all slots, and its cells (corridor, period)."""
    number = {draw.id: i for i, draw in enumerate(matched.parameter_draws)}
    strata = matched.strata
    place = {stratum.key: j for j, stratum in enumerate(strata)}
    copy = scenario.load_law == "copy"
    n = len(strata)
    prior = priors(scenario, strata)
    ref = np.full((n, border.N_REFS), -1)
    wanted: dict[str, tuple[int, int]] = {}  # slot name -> stratum and column that its number goes to
    plain: list[str] = []  # those that keep to their Philox streams
    slot = np.full((n, border.N_SLOTS), -1)
    reflection = np.zeros((n, border.N_SLOTS))
    unknown: list[tuple[str, float, float]] = []
    rows: list[tuple[float, float, bool, str, str]] = []
    unknown_start, row_start = [0], [0]
    mass_kg, tablets = np.zeros(n), np.zeros(n)
    for j, stratum in enumerate(strata):
        form = stratum.key[2]
        label = "|".join(stratum.key)
        for column, (name, lookup_form) in enumerate(_REFS):
            parameter = name or SIZE_PARAMETER.get(scenario.load_law, "")
            draw = stratum.parameter_draws.get((parameter, lookup_form or form))
            if draw is not None:
                ref[j, column] = number[draw.id]
            elif parameter and (default := PARAMETERS[parameter].default) is not None:
                ref[j, column] = constants[default]
        for column in _slots_in_use(scenario, stratum):
            name = f"{label}|{_SLOT_NAMES[column]}"
            wanted[name] = j, column
            if column != border.SLOT_GAMMA:
                plain.append(name)
        # Rows are numbered by what they say: their order in a file names no stream.
        for i, row in enumerate(sorted(stratum.rows, key=_row_order)):
            if row.n_events is None:
                span = math.log((row.n_max + 1) / row.n_min)
                unknown.append((f"{label}|events-{i}", math.log(row.n_min), span))
            events = row.n_events if row.n_events is not None else 1
            if row.rounding > 0.0 or (copy and events > 0):
                half = f"{label}|rounding-{i}" if row.rounding > 0.0 else ""
                rows.append((row.amount, row.rounding, row.unit == "pill", half, f"{label}|copies-{i}" if copy else ""))
            elif row.unit == "pill":
                tablets[j] += row.amount
            else:
                mass_kg[j] += row.amount
        unknown_start.append(len(unknown))
        row_start.append(len(rows))

    block_of = np.zeros(n, np.int64)
    term_start, term_names, term_size, member_start, member = [0], [], [], [0], []
    period_blocks = [0]
    blocks = scale_blocks(scenario, matched) if not copy else []
    for period in scenario.periods:
        for b, (_, _, here) in enumerate(blocks):
            if here[0].key[1] != period:
                continue
            sizes: dict[int, list[int]] = {}
            for stratum in here:
                block_of[place[stratum.key]] = b
                sizes.setdefault(int(ref[place[stratum.key], border.LOAD_SIZE]), []).append(place[stratum.key])
            for size, inside in sorted(sizes.items()):
                term_names.append(min("|".join(strata[j].key) for j in inside) + "|seized-sum")
                term_size.append(size)
                member += inside
                member_start.append(len(member))
            term_start.append(len(term_names))
        period_blocks.append(len(term_start) - 1)

    # Pairs of late Sobol' dimensions are worse than random at 2^13 points: with every uniform among them the 5 % quantile of northern-other
    # in FY2024 had nine times the error of plain draws. The first score of a stratum is the direction that matters; the others are plain.
    compound = {*wanted, *(name for name, _, _ in unknown), *term_names, *(name for row in rows for name in row[3:] if name)}
    compound.update(name for stratum in matched.precursors for name, _ in rounded(stratum))
    names = shared or Uniforms(inputs=input_names, compound=tuple(sorted(compound - set(plain))), plain=tuple(sorted(plain)))
    numbers = {name: len(names.inputs) + i for i, name in enumerate((*names.compound, *names.plain))}
    for name, (j, column) in wanted.items():
        slot[j, column] = numbers[name]
    if scenario.sampler == "sobol" and not copy:  # plain streams have no direction, and none of them may hang on what else is uncertain
        cells_of = [stratum.key[:2] for stratum in strata]
        for j, stratum in enumerate(strata):
            # what any case of a sweep draws turns the scores of all of them, or they would lose their common random numbers
            slot[j] = [numbers.get(f"{'|'.join(stratum.key)}|{_SLOT_NAMES[column]}", -1) for column in range(border.N_SLOTS)]
            reflection[j] = _reflection(_gradient(stratum, cells_of.count(stratum.key[:2])), slot[j] >= 0)

    corridors, periods = list(scenario.corridors), list(scenario.periods)
    cells: list[tuple[int, int]] = []
    cell_start = []
    for j, stratum in enumerate(strata):
        cell = (corridors.index(stratum.key[0]), periods.index(stratum.key[1]))
        if not cells or cells[-1] != cell:
            cells.append(cell)
            cell_start.append(j)
    periods_of_strata = [periods.index(stratum.key[1]) for stratum in strata]
    edges = np.arange(len(periods) + 1)
    compiled = border.Strata(
        form=np.array([_FORMS[stratum.key[2]] for stratum in strata], dtype=np.int64),
        prior=prior,
        n_events=np.array([float(stratum.n_known) for stratum in strata], dtype=np.float64),
        mass_kg=mass_kg,
        tablets=tablets,
        ref=ref,
        slot=slot,
        reflection=reflection,
        unknown_start=np.array(unknown_start),
        unknown_slot=np.array([numbers[name] for name, _, _ in unknown], dtype=np.int64),
        unknown_low=np.array([low for _, low, _ in unknown]),
        unknown_span=np.array([span for _, _, span in unknown]),
        row_start=np.array(row_start),
        row_amount=np.array([row[0] for row in rows]),
        row_half=np.array([row[1] for row in rows]),
        row_is_pill=np.array([row[2] for row in rows], dtype=np.bool_),
        row_half_slot=np.array([numbers[row[3]] if row[3] else -1 for row in rows], dtype=np.int64),
        row_copy_slot=np.array([numbers[row[4]] if row[4] else -1 for row in rows], dtype=np.int64),
        block=block_of,
        term_start=np.array(term_start),
        term_slot=np.array([numbers[name] for name in term_names], dtype=np.int64),
        term_size=np.array(term_size, dtype=np.int64),
        term_member_start=np.array(member_start),
        term_member=np.array(member, dtype=np.int64),
        period_strata=np.searchsorted(periods_of_strata, edges),
        period_cells=np.searchsorted([period for _, period in cells], edges),
        period_blocks=np.array(period_blocks),
        cell_corridor=np.array([corridor for corridor, _ in cells], dtype=np.int64),
        cell_start=np.array([*cell_start, n]),
        member=np.array([[c in members for c in corridors] for _, members in scenario.groups], dtype=np.bool_).reshape(-1, len(corridors)),
        index=np.zeros((0, 0, 3, len(QUANTITIES)), np.int64),
        precursors=NOTHING,
    )
    return compiled, names, tuple(cells)


def _row_order(row: Row) -> tuple[object, ...]:
    return (row.unit, row.amount, row.rounding, -1 if row.n_events is None else row.n_events, row.n_min, row.n_max)


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


def _gross_kg(stratum: Stratum) -> float:
    """Return the seized gross mass of a stratum as in the table, counted pills at the median of pill_mass."""
    kg = math.fsum(row.amount for row in stratum.rows if row.unit == "kg")
    tablets = math.fsum(row.amount for row in stratum.rows if row.unit == "pill")
    if tablets:
        kg += tablets * distributions.median(stratum.parameter_draws["pill_mass", "pill"].block.law) / 1e6
    return kg


def _load_sums(scenario: Scenario, matched: Match) -> lognormal_loads.LoadSums:
    """Return the tables of sums over the range that load_log_sd can take; a token one for other laws."""
    laws = [draw.block.law for draw in matched.parameter_draws if draw.block.name == "load_log_sd"]
    if scenario.load_law != "lognormal" or not laws:
        return lognormal_loads.load_sums(0.0, 0.0, np.inf)
    low = min(float(distributions.ppf(law, 1e-9)) for law in laws)
    high = max(float(distributions.isf(law, 1e-9)) for law in laws)
    most = lognormal_loads.LARGEST_SIGMA
    return lognormal_loads.load_sums(min(max(low, 0.0), most), min(high, most), scenario.load_truncation)


# --- ratios, claims and bounds ----------------------------------------------------------------------------------------


def _contrasts(scenario: Scenario, summary: np.ndarray, factor: np.ndarray, n_questions: int) -> border.Contrasts:
    """Return the kernel's contrasts and claims; what is 0 in every draw reads a row of zeros, after all others."""
    cells = [[scenario.cell(side) for side in (contrast.numerator, contrast.denominator)] for contrast in scenario.contrasts]
    wanted = sorted({int(summary[cell]) for sides in cells for cell in sides if summary[cell] != ZERO})
    row = np.full(n_questions, -1)
    row[wanted] = np.arange(len(wanted))
    rows = np.array([[len(wanted) if summary[cell] == ZERO else row[summary[cell]] for cell in sides] for sides in cells])
    factors = np.array([[factor[cell] for cell in sides] for sides in cells], dtype=np.float64)
    numbers = {contrast.id: k for k, contrast in enumerate(scenario.contrasts)}
    bounds = np.array([claim.bounds for claim in scenario.claims], dtype=np.float64).reshape(-1, 2)
    rows, factors = rows.reshape(-1, 2).astype(np.int64), factors.reshape(-1, 2)
    return border.Contrasts(
        row=row,
        numerator=rows[:, 0].copy(),
        denominator=rows[:, 1].copy(),
        numerator_factor=factors[:, 0].copy(),
        denominator_factor=factors[:, 1].copy(),
        claim_contrast=np.array([numbers[claim.contrast] for claim in scenario.claims], dtype=np.int64),
        claim_low=bounds[:, 0].copy(),
        claim_high=bounds[:, 1].copy(),
    )


def _conditions(scenario: Scenario, matched: Match, summary: np.ndarray, factor: np.ndarray) -> Conditions:
    """Return the kernel's soft bounds, and the cells they sum over whose inland seizures may exceed what was missed."""
    cells = [scenario.cell(condition.result) for condition in scenario.conditions]
    logs = np.empty((len(cells), 2))
    for k, condition in enumerate(scenario.conditions):
        logs[k, 0] = -math.inf if condition.soft_lower is None else math.log(condition.soft_lower)
        logs[k, 1] = math.inf if condition.soft_upper is None else math.log(condition.soft_upper)
    draw_numbers = {draw.id: number for number, draw in enumerate(matched.parameter_draws)}
    members_of = dict(scenario.places)
    summed = {(corridor, one.result.period, one.result.form) for one in scenario.conditions for corridor in members_of[one.result.corridor]}
    inland, ratios = [], []
    for c, corridor in enumerate(scenario.corridors):
        for p, period in enumerate(scenario.periods):
            for f, form in enumerate(RESULT_FORMS[:2]):
                if not summed & {(corridor, period, form), (corridor, period, "all")}:
                    continue
                strata = [s for s in matched.strata if s.key[:2] == (corridor, period) and s.key[2] in (form, "unrecorded")]
                draws = [draw for s in strata if (draw := s.parameter_draws.get(("inland_seized_ratio", s.key[2]))) is not None]
                here = summary[c, p, f, [list(QUANTITIES).index(name) for name in ("inland_pure_kg", "missed_pure_kg", "seized_pure_kg")]]
                if draws and (here >= 0).all():
                    inland.append(here)
                    ratios.append(sorted({draw_numbers[draw.id] for draw in draws}))
    found = np.array(inland, dtype=np.int64).reshape(-1, 3)
    return Conditions(
        row=np.array([max(int(summary[cell]), -1) for cell in cells], dtype=np.int64),
        factor=np.array([factor[cell] for cell in cells], dtype=np.float64),
        log_lower=logs[:, 0].copy(),
        log_upper=logs[:, 1].copy(),
        log_sd=np.array([condition.log_sd for condition in scenario.conditions], dtype=np.float64),
        inland=found[:, 0].copy(),
        missed=found[:, 1].copy(),
        seized=found[:, 2].copy(),
        ratio_start=np.concatenate(([0], np.cumsum([len(each) for each in ratios]))).astype(np.int64),
        ratio=np.array([number for each in ratios for number in each], dtype=np.int64),
    )
