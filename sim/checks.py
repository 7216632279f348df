"""What is wrong, and what is odd, with a scenario as a whole: blocks, evidence and questions held against each other."""

from __future__ import annotations

import math

import numpy as np

from . import distributions
from .errors import Problem
from .evidence import Row, period_days
from .kernels.lognormal_loads import LARGEST_SIGMA
from .matching import Match, match, odd_tablets, scale_blocks, unused
from .priors import prior_shares
from .questions import ABSENT, ZERO, cell_of, constant_everywhere, questions
from .records import FRACTIONS, POTENTIAL, QUANTITIES, Result, Scenario

_NAME_ANOTHER = "Name a result that has evidence, or add a row"
_SAME_LENGTH = 0.01  # share by which two periods may differ without a warning: a leap year's day is .003, a calendar month's day .03
_SIDES = ("numerator", "denominator")


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
        if draw.block.name == "load_log_sd" and float(distributions.isf(draw.block.law, 1e-6)) > LARGEST_SIGMA:
            problem = Problem(
                path=(*draw.block.path, "distribution"),
                came=f"load_log_sd reaches beyond {LARGEST_SIGMA:g}",
                allowed=f"at most {LARGEST_SIGMA:g}: such loads would span more than 28 powers of ten",
                advice=f"add upper = {LARGEST_SIGMA:g} or less",
            )
            if problem not in problems:
                problems.append(problem)
    return problems


def _check_scales(scenario: Scenario, matched: Match) -> list[Problem]:
    """Return a problem for every load-scale block without an event whose strata have no load_median."""
    if scenario.load_law == "copy":
        return []
    problems = []
    for members, period, strata in scale_blocks(scenario, matched):
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
    summary, *_ = questions(scenario, matched)
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
        cell = cell_of(scenario, result)
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


def days_ratio(numerator: Result, denominator: Result) -> float:
    """Return the length of the numerator's period over that of the denominator's; 1 for one period, NaN where a label does not tell."""
    if numerator.period == denominator.period:
        return 1.0
    days = period_days(numerator.period), period_days(denominator.period)
    return math.nan if days[0] is None or days[1] is None else days[0] / days[1]


def warnings(scenario: Scenario) -> tuple[str, ...]:
    """Return what a reader must know first: a prior that speaks for the evidence, a copula that is not independence, odd tablets."""
    matched, _ = match(scenario)
    texts = []
    for (name, _), shares in zip(scenario.places, prior_shares(scenario, matched), strict=True):
        high = [f"{period} {share:.0%}" for period, share in zip(scenario.periods, shares, strict=True) if share > 0.10]
        if high:
            texts.append(f"{name}: the event prior supplies more than 10 % of the expected missed loads ({', '.join(high)})")
    for component in matched.components:
        apart = np.argwhere(np.triu(component.matrix == 0.0, 1) & (component.df > 0.0))
        if len(apart):
            a, b = (component.parameter_draws[i].id for i in apart[0])
            more = f" and {len(apart) - 1} pairs more" if len(apart) > 1 else ""
            texts.append(f"{a} and {b}{more}: a t copula of correlation 0 is not independent: extremes come together")
    summary = questions(scenario, matched)[0] if scenario.contrasts or scenario.conditions else None
    never = {
        one: f"{one.quantity} of {one.corridor} in {one.period} is 0 in every draw"
        for one in {
            **{side: None for each in scenario.contrasts for side in (each.numerator, each.denominator)},
            **{each.result: None for each in scenario.conditions},
        }
        if summary is not None and (cell := cell_of(scenario, one)) is not None and summary[cell] == ZERO
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
        sides = [side for side in (contrast.numerator, contrast.denominator) if side.quantity not in FRACTIONS]
        if not sides or abs(ratio - 1.0) <= _SAME_LENGTH:
            continue
        labels = f"{contrast.numerator.period} and {contrast.denominator.period}"
        if math.isnan(ratio):
            texts.append(f'contrast "{contrast.id}": the lengths of {labels} are not both known, so the ratio may be one of lengths')
        else:
            texts.append(f'contrast "{contrast.id}": the lengths of {labels} are as {ratio:.4g} to 1, which the ratio does not correct')
    return (*texts, *_condition_warnings(scenario, matched), *odd_tablets(matched))


def _condition_warnings(scenario: Scenario, matched: Match) -> list[str]:
    """Return where a bound on a mass is put on less than all routes: it is met by all of them, and before attribution."""
    texts = []
    members_of = {place: set(members) for place, members in scenario.places}
    for condition in scenario.conditions:
        result = condition.result
        if result.quantity in (*FRACTIONS, POTENTIAL):
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
        if "_pure_" in result.quantity and constant_everywhere(shares, "attribution_share") != 1.0:
            texts.append(f'condition "{condition.id}": attribution_share takes mass out of {result.corridor} that was consumed too')
    return texts
