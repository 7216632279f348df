"""A checked scenario as plain arrays for the border kernel: strata, inputs, uniform slots, and which summary answers which question."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from . import distributions
from .dependence import ParameterDraw
from .inputs import compile_inputs, slots_of_inputs
from .kernels import border, gammas, lognormal_loads, quantiles
from .kernels.conditions import Conditions
from .kernels.inputs import Inputs
from .matching import Match, Stratum, match
from .precursors import compile_precursors, sums
from .priors import prior_shares
from .questions import ZERO, questions
from .records import PARAMETERS, QUANTITIES, RESULT_FORMS, Quantity, Scenario
from .strata import Uniforms, compile_strata
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


def uniforms(scenario: Scenario) -> Uniforms:
    """Return the uniforms that a scenario needs; quick (0.5 ms for one corridor), because no table is made."""
    matched, _ = match(scenario)
    needed = slots_of_inputs({draw.id: draw.block.law for draw in matched.parameter_draws}, matched.components)
    return compile_strata(scenario, matched, dict.fromkeys(_DEFAULTS, 0), needed)[1]


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
    strata, names, cells = compile_strata(scenario, matched, constants, input_names, shared)
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
