"""A checked scenario as plain arrays for the border kernel: strata, inputs, uniform slots, and which summary answers which question."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from . import distributions
from .dependence import ParameterDraw
from .errors import Problem
from .evidence import Row, period_days
from .inputs import compile_inputs, constant_of, slots_of_inputs
from .kernels import border, gammas, lognormal_loads, quantiles
from .kernels.conditions import Conditions
from .kernels.inputs import Inputs
from .matching import Match, Stratum, match, unused
from .precursors import NOTHING, compile_precursors, rounded, sums
from .records import PARAMETERS, POTENTIAL, QUANTITIES, RESULT_FORMS, Quantity, Result, Scenario

ABSENT, ZERO = -1, -2  # instead of the number of a summary

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

_NAME_ANOTHER = "Name a result that has evidence, or add a row"
_SAME_LENGTH = 0.01  # share by which two periods may differ without a warning: a leap year's day is .003, a calendar month's day .03
WITHOUT_TIME = ("purity", "interdiction_rate")  # fractions, which do not grow with the length of a period

_SIDES = ("numerator", "denominator")

LARGEST_LOG_SD = 8.0  # tables of sums of loads end here; a load-size law this wide has no use for a mean or a median

_DEFAULTS = tuple(sorted({kind.default for kind in PARAMETERS.values() if kind.default is not None}))
_LAWS = {"lognormal": border.LOGNORMAL, "gamma": border.GAMMA, "equal": border.EQUAL, "copy": border.COPY}
_FORMS = {"powder": border.POWDER, "pill": border.PILL, "unrecorded": border.UNRECORDED}
_SIZE = {"lognormal": "load_log_sd", "gamma": "load_shape"}
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
    reason             (n, p, f, q) why the index is what it is, a number into `reasons`; these name blocks, one reason for each parameter
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
    reasons: tuple[str, ...]
    prior_share: np.ndarray
    stratum_keys: tuple[tuple[str, str, str], ...]
    cells: tuple[tuple[int, int], ...]
    seized_gross_kg: Mapping[tuple[str, str, str], float]


# --- checks ----------------------------------------------------------------------------------------------------------------------


def check(scenario: Scenario) -> list[Problem]:
    """Return every problem between blocks: matching, dependence, load scales, the needs of a load law; and blocks that serve nothing."""
    matched, problems = match(scenario)
    problems += unused(scenario, matched)
    problems += _check_scales(scenario, matched)
    problems += _check_contrasts(scenario, matched)
    if scenario.load_law == "copy":
        problems += [
            Problem(
                came=f"n_events = {'blank' if row.n_events is None else row.n_events} at {row.where or 'a row'} with load_law copy",
                allowed="every row must stand for one seizure (n_events = 1) or none",
                advice="give one row for each seizure, or choose another load_law",
                path=("model", "load_law"),
            )
            for row in scenario.rows
            if row.n_events not in (0, 1) and row.form != "precursor"
        ]
    for draw in matched.parameter_draws:
        if draw.block.name == "load_log_sd" and float(distributions.isf(draw.block.law, 1e-6)) > LARGEST_LOG_SD:
            problem = Problem(
                path=(*draw.block.path, "distribution"),
                came=f"load_log_sd reaches beyond {LARGEST_LOG_SD:g}",
                allowed=f"at most {LARGEST_LOG_SD:g}: such loads would span more than 28 powers of ten",
                advice=f"add upper = {LARGEST_LOG_SD:g} or less",
            )
            if problem not in problems:
                problems.append(problem)
    return problems


def _check_scales(scenario: Scenario, matched: Match) -> list[Problem]:
    """Return a problem for every load-scale block without an event whose strata have no load_median."""
    if scenario.load_law == "copy":
        return []
    problems = []
    for members, period, strata in _scale_blocks(scenario, matched):
        if all(stratum.events_known and stratum.n_known == 0 for stratum in strata):
            lacking = [stratum for stratum in strata if ("load_median", stratum.key[2]) not in stratum.parameter_draws]
            if lacking:
                problems.append(
                    Problem(
                        path=("parameter",),
                        came=f"no event in {', '.join(members)} in {period}, so nothing says how large a missed load is",
                        allowed="a load-scale block with an event, or load_median",
                        advice=f'add a [[parameter]] block with name = "load_median" for {lacking[0].key[0]}, or share its scale with a '
                        "corridor that has events (model.shared_load_scale)",
                    )
                )
    return problems


def _check_contrasts(scenario: Scenario, matched: Match) -> list[Problem]:
    """Return a problem for every side of a contrast, result of a condition, and target, without evidence, or without such a quantity."""
    targets = scenario.sensitivity.targets if scenario.sensitivity is not None else ()
    if not (scenario.contrasts or scenario.conditions or targets):
        return []
    summary, *_ = _questions(scenario, matched)
    both, one = "both sides of a contrast must exist", "the result of a condition must exist"
    asked = [
        (contrast.path if contrast.path[:1] == ("growth",) else (*contrast.path, side), getattr(contrast, side), both)
        for contrast in scenario.contrasts
        for side in _SIDES
    ]
    asked += [((*condition.path, "result"), condition.result, one) for condition in scenario.conditions]
    asked += [(("sensitivity", "target", number), result, "a target must exist") for number, result in enumerate(targets, start=1)]
    problems = []
    for path, result, rule in asked:
        cell = _cell(scenario, result)
        if cell is not None and summary[cell] != ABSENT:
            continue
        of_precursors = result.quantity == POTENTIAL
        form = "precursors of " if of_precursors else "" if result.form == "all" else f"{result.form} of "
        came = f"there is no evidence on {form}{result.corridor} in {result.period}"
        advice = 'Name a result that has evidence, or add a row of form = "precursor"' if of_precursors else _NAME_ANOTHER
        if of_precursors and cell is not None and summary[(*cell[:2], -1, cell[3])] != ABSENT:
            came = f"{result.quantity} of {result.corridor} in {result.period} does not exist for form {result.form}"
            advice = 'Write form = "all": what could have been made has no form yet'
        elif not of_precursors and cell is not None and (summary[cell[:3]][: len(QUANTITIES)] != ABSENT).any():
            came = f"{result.quantity} of {result.corridor} in {result.period} does not exist for form {result.form}"
            advice = 'Write form = "all": a share of mass that is pills does not tell how many loads are'
        elif not of_precursors and any(row.form == "precursor" for row in _rows_of(scenario, result)):
            came += ", but on precursors"
            advice = f"Ask for {POTENTIAL}: a precursor is no drug yet, and no load"
        problems.append(Problem(path=path, came=came, allowed=f"{rule}: an absent result is unknown, not 0", advice=advice))
    return problems


def _rows_of(scenario: Scenario, result: Result) -> list[Row]:
    members = dict(scenario.places).get(result.corridor, ())
    return [row for row in scenario.rows if row.corridor in members and row.period == result.period]


def _cell(scenario: Scenario, result: Result) -> tuple[int, int, int, int] | None:
    """Return the place (n, p, f, q) of a result, or None where its corridor or period is not in use."""
    places = [name for name, _ in scenario.places]
    if result.corridor not in places or result.period not in scenario.periods or result.quantity not in scenario.quantities:
        return None
    return (
        places.index(result.corridor),
        scenario.periods.index(result.period),
        RESULT_FORMS.index(result.form),
        list(scenario.quantities).index(result.quantity),
    )


def days_ratio(numerator: Result, denominator: Result) -> float:
    """Return the length of the numerator's period over that of the denominator's; 1 for one period, NaN where a label does not tell."""
    if numerator.period == denominator.period:
        return 1.0
    days = period_days(numerator.period), period_days(denominator.period)
    return math.nan if days[0] is None or days[1] is None else days[0] / days[1]


def warnings(scenario: Scenario) -> tuple[str, ...]:
    """Return what a reader must know first: a prior that speaks for the evidence, a copula that is not independence."""
    matched, _ = match(scenario)
    texts = []
    for (name, _), shares in zip(scenario.places, _prior_shares(scenario, matched), strict=True):
        high = [f"{period} {share:.0%}" for period, share in zip(scenario.periods, shares, strict=True) if share > 0.10]
        if high:
            texts.append(f"{name}: the event prior supplies more than 10 % of the expected missed loads ({', '.join(high)})")
    for component in matched.components:
        apart = np.argwhere(np.triu(component.matrix == 0.0, 1) & (component.df > 0.0))
        if len(apart):
            a, b = (component.parameter_draws[i].id for i in apart[0])
            more = f" and {len(apart) - 1} pairs more" if len(apart) > 1 else ""
            texts.append(f"{a} and {b}{more}: a t copula of correlation 0 is not independent: extremes come together")
    summary = _questions(scenario, matched)[0] if scenario.contrasts or scenario.conditions else None
    never = {
        one: f"{one.quantity} of {one.corridor} in {one.period} is 0 in every draw"
        for one in {
            **{side: None for each in scenario.contrasts for side in (each.numerator, each.denominator)},
            **{each.result: None for each in scenario.conditions},
        }
        if summary is not None and (cell := _cell(scenario, one)) is not None and summary[cell] == ZERO
    }
    texts += [
        f'contrast "{contrast.id}": {never[side]}, so the ratio says nothing'
        for contrast in scenario.contrasts
        for side in {contrast.numerator: None, contrast.denominator: None}
        if side in never
    ]
    texts += [
        f'condition "{each.id}": {never[each.result]}, so every draw has the same weight'
        for each in scenario.conditions
        if each.result in never
    ]
    for contrast in scenario.contrasts:
        if any(contrast == growth.contrasts[1] for growth in scenario.growths):
            continue  # of the same two periods as the growth's first
        ratio = days_ratio(contrast.numerator, contrast.denominator)
        sides = [side for side in (contrast.numerator, contrast.denominator) if side.quantity not in WITHOUT_TIME]
        if not sides or abs(ratio - 1.0) <= _SAME_LENGTH:
            continue
        labels = f"{contrast.numerator.period} and {contrast.denominator.period}"
        if math.isnan(ratio):
            texts.append(f'contrast "{contrast.id}": the lengths of {labels} are not both known, so the ratio may be one of lengths')
        else:
            texts.append(f'contrast "{contrast.id}": the lengths of {labels} are as {ratio:.4g} to 1, which the ratio does not correct')
    return (*texts, *_condition_warnings(scenario, matched))


def _condition_warnings(scenario: Scenario, matched: Match) -> list[str]:
    """Return where a bound on a mass is put on less than all routes: it is met by all of them, and before attribution."""
    texts = []
    members_of = {place: set(members) for place, members in scenario.places}
    for condition in scenario.conditions:
        result = condition.result
        if result.quantity in (*WITHOUT_TIME, POTENTIAL):
            continue
        here = [stratum for stratum in matched.strata if stratum.key[1] == result.period]
        ours = {stratum.key[0] for stratum in here if stratum.key[0] in members_of[result.corridor]}
        wider = {place: members & {stratum.key[0] for stratum in here} for place, members in members_of.items()}
        widest = max(wider, key=lambda place: len(wider[place]))
        if ours < wider[widest]:
            texts.append(
                f'condition "{condition.id}": it bounds {result.corridor}, and {widest} is wider; what was consumed came by all routes'
            )
        shares = [stratum for stratum in here if stratum.key[0] in ours]
        if "_pure_" in result.quantity and _constant_everywhere(shares, "attribution_share") != 1.0:
            texts.append(f'condition "{condition.id}": attribution_share takes mass out of {result.corridor} that was consumed too')
    return texts


# --- compiling -------------------------------------------------------------------------------------------------------------------


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
    summary, multiplier, n_summaries, index = _questions(scenario, matched)
    tail_index, reason, reasons = _tail_indices(scenario, matched)
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
        prior_share=_prior_shares(scenario, matched),
        stratum_keys=tuple(stratum.key for stratum in matched.strata),
        cells=cells,
        seized_gross_kg={stratum.key: _gross_kg(stratum) for stratum in (*matched.strata, *matched.precursors)},
    )


def _inputs(matched: Match, shared: Uniforms | None) -> tuple[Inputs, tuple[str, ...], dict[float, int]]:
    """Return the inputs, parameter draws first and constants for defaults after them, their slot names, and where each constant stands."""
    laws = {draw.id: draw.block.law for draw in matched.parameter_draws}
    inputs, names = compile_inputs(laws, matched.components, _DEFAULTS, shared.inputs if shared is not None else None)
    return inputs, names, {constant: len(laws) + i for i, constant in enumerate(_DEFAULTS)}


def _scale_blocks(scenario: Scenario, matched: Match) -> list[tuple[tuple[str, ...], str, list[Stratum]]]:
    """Return (corridors, period, strata) of every load-scale block that has a stratum, by period."""
    blocks = []
    for period in scenario.periods:
        for members in scenario.shared_load_scale:
            strata = [stratum for stratum in matched.strata if stratum.key[1] == period and stratum.key[0] in members]
            if strata:
                blocks.append((members, period, strata))
    return blocks


def _strata(
    scenario: Scenario, matched: Match, constants: Mapping[float, int], input_names: tuple[str, ...], shared: Uniforms | None = None
) -> tuple[border.Strata, Uniforms, tuple[tuple[int, int], ...]]:
    """Return the kernel's strata (`index` still empty), the names of all slots, and its cells (corridor, period)."""
    number = {draw.id: i for i, draw in enumerate(matched.parameter_draws)}
    strata = matched.strata
    place = {stratum.key: j for j, stratum in enumerate(strata)}
    copy = scenario.load_law == "copy"
    n = len(strata)
    priors = _priors(scenario, strata)
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
            parameter = name or _SIZE.get(scenario.load_law, "")
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
    blocks = _scale_blocks(scenario, matched) if not copy else []
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
        prior=priors,
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
    events = round(_expected_events(stratum))
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


def _priors(scenario: Scenario, strata: Iterable[Stratum]) -> np.ndarray:
    """Return each stratum's share of the event prior: a over the number of strata of its corridor and period; copies have none."""
    if scenario.load_law == "copy":
        return np.zeros(len(list(strata)))
    cells = [stratum.key[:2] for stratum in strata]
    return np.array([scenario.event_prior / cells.count(cell) for cell in cells], dtype=np.float64)


def _expected_events(stratum: Stratum) -> float:
    """Return the events of a stratum, a blank count at its log-uniform mean."""
    return math.fsum(
        row.n_events if row.n_events is not None else (row.n_max + 1 - row.n_min) / math.log((row.n_max + 1) / row.n_min) - 0.5
        for row in stratum.rows
    )


def _prior_shares(scenario: Scenario, matched: Match) -> np.ndarray:
    """Return a / (n + a) of the expected missed loads, (n, p), NaN where nothing is expected.

    A stratum weighs (n + a) (1 - d) / d at the median of d, whose mean need not exist.
    """
    priors = _priors(scenario, matched.strata)
    shares = np.full((len(scenario.places), len(scenario.periods)), np.nan)
    for g, (_, members) in enumerate(scenario.places):
        for p, period in enumerate(scenario.periods):
            ours = expected = 0.0
            for a, stratum in zip(priors, matched.strata, strict=True):
                draw = stratum.parameter_draws.get(("detection_rate", stratum.key[2]))
                if stratum.key[1] != period or stratum.key[0] not in members or draw is None:
                    continue
                d = distributions.median(draw.block.law)
                ours += a * (1.0 - d) / d
                expected += (_expected_events(stratum) + a) * (1.0 - d) / d
            if expected > 0.0:
                shares[g, p] = ours / expected
    return shares


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
    return lognormal_loads.load_sums(min(max(low, 0.0), LARGEST_LOG_SD), min(high, LARGEST_LOG_SD), scenario.load_truncation)


# --- which summary answers which question ----------------------------------------------------------------------------------------


def _questions(scenario: Scenario, matched: Match) -> tuple[np.ndarray, np.ndarray, int, np.ndarray]:
    """Return (summary, factor, number of summaries, the kernel's index), the first two (n, p, f, q).

    Only what does not follow from another summary is kept: a corridor or group of one form answers for `all`, a group of one member
    for itself, doses follow from the pure flow where the dose is one constant, `delivered` is `missed` and `inland` is 0 without inland
    seizures, `unattributed` is 0 where everything is attributed. What precursors could have made comes last, for `all`.
    """
    q = {name: i for i, name in enumerate(QUANTITIES)}
    shape = (len(scenario.places), len(scenario.periods), len(RESULT_FORMS))
    summary = np.full((*shape, len(scenario.quantities)), ABSENT)
    multiplier = np.ones((*shape, len(scenario.quantities)))
    index = np.full((*shape, len(q)), -1)
    number = 0
    for p, period in enumerate(scenario.periods):
        here = [stratum for stratum in matched.strata if stratum.key[1] == period]
        for g, (_, members) in enumerate(scenario.places):
            inside = [stratum for stratum in here if stratum.key[0] in members]
            if not inside:
                continue
            present = sorted({stratum.key[0] for stratum in inside})
            if g >= len(scenario.corridors) and len(present) == 1:
                single = scenario.corridors.index(present[0])
                summary[g, p], multiplier[g, p] = summary[single, p], multiplier[single, p]
                continue
            unrecorded = any(stratum.key[2] == "unrecorded" for stratum in inside)
            forms = [f for f in ("powder", "pill") if unrecorded or any(stratum.key[2] == f for stratum in inside)]
            for f, form in enumerate(RESULT_FORMS):
                if form == "all" and len(forms) == 1:
                    only = RESULT_FORMS.index(forms[0])
                    summary[g, p, f], multiplier[g, p, f] = summary[g, p, only], multiplier[g, p, only]
                    continue
                if form != "all" and form not in forms:
                    continue
                contributing = [s for s in inside if form in ("all", s.key[2]) or s.key[2] == "unrecorded"]
                inland = _constant_everywhere(contributing, "inland_seized_ratio") != 0.0
                attributed = _constant_everywhere(contributing, "attribution_share") != 1.0
                dose = _constant_everywhere(contributing, "dose")
                for name, k in q.items():
                    if name == "n_missed" and unrecorded and form != "all":
                        continue
                    if (name == "inland_pure_kg" and not inland) or (name == "unattributed_pure_kg" and not attributed):
                        summary[g, p, f, k] = ZERO
                    elif name == "delivered_pure_kg" and not inland:
                        summary[g, p, f, k] = summary[g, p, f, q["missed_pure_kg"]]
                    elif name == "flow_doses" and dose is not None:
                        summary[g, p, f, k] = summary[g, p, f, q["flow_pure_kg"]]
                        multiplier[g, p, f, k] = 1e6 / dose
                    else:
                        summary[g, p, f, k] = index[g, p, f, k] = number
                        number += 1
    potential, made_of = sums(scenario, matched)
    for (g, p), k in potential.items():
        summary[g, p, RESULT_FORMS.index("all"), -1] = number + k
    return summary, multiplier, number + len(made_of), index


def _contrasts(scenario: Scenario, summary: np.ndarray, factor: np.ndarray, n_questions: int) -> border.Contrasts:
    """Return the kernel's contrasts and claims; what is 0 in every draw reads a row of zeros, after all others."""
    cells = [[_cell(scenario, side) for side in (contrast.numerator, contrast.denominator)] for contrast in scenario.contrasts]
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
    cells = [_cell(scenario, condition.result) for condition in scenario.conditions]
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


def _constant_everywhere(strata: Iterable[Stratum], name: str) -> float | None:
    """Return the one constant that a parameter (not of purity) has in all strata, or None."""
    found = set()
    for stratum in strata:
        draw = stratum.parameter_draws.get((name, stratum.key[2]))
        found.add(PARAMETERS[name].default if draw is None else constant_of(draw.block.law))
    return found.pop() if len(found) == 1 else None


# --- means that do not exist -----------------------------------------------------------------------------------------------------


def _tail_indices(scenario: Scenario, matched: Match) -> tuple[np.ndarray, np.ndarray, tuple[str, ...]]:
    """Return the tail index of every result (n, p, f, q), the number of the reason for it, and the reasons.

    alpha = the least of: index at 0 of detection_rate; kappa n_B for gamma loads; index at 0 of a denominator (pill_mass, dose); index at
    infinity of a factor (missed_size_ratio, load_median, precursor_yield, ...); 0 for untruncated lognormal loads with an unbounded
    load_log_sd; what of these depends on each other, together (`_together`).

    Source: method.md section 6, Means.
    """
    names = list(scenario.quantities)
    shape = (len(scenario.places), len(scenario.periods), len(RESULT_FORMS), len(names))
    index = np.full(shape, np.inf)
    reason = np.zeros(shape, np.int64)
    found: dict[str, dict[str, float]] = {}  # what is wrong -> where -> index
    scales = _scale_indices(scenario, matched)
    for stratum in (*matched.strata, *matched.precursors):
        form = stratum.key[2]
        denominators = [("missed", "detection_rate", form), ("pure", "pill_mass", "pill"), ("doses", "dose", form)]
        factors = [("mass", name, form) for name in ("missed_size_ratio", "load_median")] + [("inland", "inland_seized_ratio", form)]
        factors += [("gross", "pill_mass", "pill")] if stratum.tablets else []
        factors += [("potential", "precursor_yield", form)]
        # which quantities, index, what is wrong, where
        causes: list[tuple[tuple[str, ...], float, str, str]] = [(("mass",), *scale) for scale in scales.get(stratum.key, ())]
        ends: dict[str, tuple[str, float, float, str, str]] = {}  # draw -> which, index, +1 for its upper end, what, where
        for pairs, index_of, upper, end in (
            (denominators, distributions.index_at_zero, -1.0, "near 0"),
            (factors, distributions.index_at_infinity, 1.0, "large"),
        ):
            for of_what, name, lookup_form in pairs:
                draw = stratum.parameter_draws.get((name, lookup_form))
                if draw is not None:
                    ends[draw.id] = of_what, index_of(draw.block.law), upper, f"{name} can be very {end}", draw.block.id
                    causes.append(((of_what,), index_of(draw.block.law), f"{name} can be very {end}", draw.block.id))
        causes += _together(ends, matched)
        p = scenario.periods.index(stratum.key[1])
        for which, alpha, what, where in causes:
            if not alpha < math.inf:
                continue
            found.setdefault(what, {})[where] = alpha
            number = 1 + list(found).index(what)
            for k, name in enumerate(names):
                if not all(_concerns(each, name) for each in which):
                    continue
                for g, (_, members) in enumerate(scenario.places):
                    if stratum.key[0] not in members:
                        continue
                    for f, result_form in enumerate(RESULT_FORMS):
                        touches = result_form == "all" or form in ("unrecorded", result_form)
                        if touches and alpha < index[g, p, f, k]:
                            index[g, p, f, k] = alpha
                            reason[g, p, f, k] = number
    return index, reason, ("", *(f"{what} ({_indices(by_place)})" for what, by_place in found.items()))


def _together(ends: Mapping[str, tuple[str, float, float, str, str]], matched: Match) -> list[tuple[tuple[str, ...], float, str, str]]:
    """Return as causes what of the heavy ends of one stratum depends on each other: their product is heavier than any of them.

    ends   draw -> which quantities, alpha, +1 for an upper end or -1 for a lower one, what is wrong, where

    A score z stands for a log of z^2 / (2 alpha). Under a Gaussian copula z' R^-1 z / 2 is least where their sum is 1 at the inverse of
    the greatest eigenvalue of R_ij / sqrt(alpha_i alpha_j), R >= 0 in the direction of the ends: alpha / (1 + r) for two alike. A t copula
    has extremes that come together: 1 / sum(1 / alpha).
    """
    causes = []
    for component in matched.components:
        found = [i for i, draw in enumerate(component.parameter_draws) if draw.id in ends and ends[draw.id][1] < math.inf]
        for size in range(2, len(found) + 1):
            for some in itertools.combinations(found, size):
                these = [ends[component.parameter_draws[i].id] for i in some]
                alpha, sign = (np.array([each[k] for each in these]) for k in (1, 2))
                r = component.matrix[np.ix_(some, some)] * np.outer(sign, sign)
                with np.errstate(divide="ignore"):
                    pairs = np.ones_like(r) if component.df else np.maximum(r, 0.0)
                    heaviest = float(np.linalg.eigvalsh(pairs / np.sqrt(np.outer(alpha, alpha)))[-1]) if alpha.all() else math.inf
                if 1.0 / heaviest < alpha.min() * (1.0 - 1e-9):
                    what = " and ".join(each[3] for each in these) + " together"
                    causes.append((tuple(each[0] for each in these), 1.0 / heaviest, what, ", ".join(each[4] for each in these)))
    return causes


def _indices(by_place: Mapping[str, float]) -> str:
    """Return the three lowest of the tail indices, each with one place that has it: draws of one law have one index."""
    places: dict[str, list[str]] = {}
    for place, alpha in sorted(by_place.items(), key=lambda item: item[::-1]):
        places.setdefault(f"{alpha:.3g}", []).append(place)
    shown = [f"{here[0]}{f' and {len(here) - 1} more' if len(here) > 1 else ''}: tail index {alpha}" for alpha, here in places.items()]
    return "; ".join([*shown[:3], *(["..."] if len(shown) > 3 else [])])


def _concerns(which: str, quantity: str) -> bool:
    """Return whether a cause reaches a quantity: `missed` counts, `mass` sizes of missed loads, `pure`, `gross`, `inland`, `doses`."""
    if quantity == POTENTIAL or which == "potential":
        return quantity == POTENTIAL and which == "potential"
    if quantity in ("purity", "interdiction_rate"):
        return False
    missed = quantity not in ("seized_gross_kg", "seized_pure_kg", "inland_pure_kg")
    return {
        "missed": missed,
        "mass": missed and quantity != "n_missed",
        "pure": "_pure_" in quantity or quantity == "flow_doses",
        "gross": quantity != "n_missed",
        "inland": quantity == "inland_pure_kg",
        "doses": quantity == "flow_doses",
    }[which]


def _scale_indices(scenario: Scenario, matched: Match) -> dict[tuple[str, str, str], list[tuple[float, str, str]]]:
    """Return (index, what is wrong, where) by stratum: kappa n_B of s = T_B / Z for gamma loads, 0 where untruncated loads lack a bound."""
    found: dict[tuple[str, str, str], list[tuple[float, str, str]]] = {}
    for members, period, strata in _scale_blocks(scenario, matched):
        causes: list[tuple[float, str, str]] = []
        shape_index = 0.0
        for stratum in strata:
            draw = stratum.parameter_draws.get((_SIZE.get(scenario.load_law, ""), stratum.key[2]))
            if draw is None:
                continue
            if scenario.load_law == "gamma":
                least = math.fsum(row.n_events if row.n_events is not None else row.n_min for row in stratum.rows)
                shape_index += least * distributions.support(draw.block.law)[0]
            elif scenario.load_truncation == math.inf and distributions.is_unbounded(draw.block.law):
                causes.append((0.0, "loads are not truncated and load_log_sd has no upper bound", draw.block.id))
        for stratum in strata:
            found[stratum.key] = list(causes)
            if scenario.load_law == "gamma" and ("load_median", stratum.key[2]) not in stratum.parameter_draws:
                what = "the size of loads rests on few seizures of widely varying size (load_shape x n_events is small)"
                found[stratum.key].append((shape_index, what, f"{', '.join(members)} in {period}"))
    return found
