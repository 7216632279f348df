"""Growth of one place over two periods: what was counted, what was quoted, and how much of it is number of loads, how much their size."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np
import xarray as xr
from scipy import special

from .kernels import summaries
from .kernels.libm import exp, log
from .model import Model
from .questions import ABSENT, ZERO
from .records import Growth, Result, Scenario
from .runner import PROBABILITIES, Plan, batches
from .simulation import BorderEngine, Run
from .tree import OWN_COORDINATES, Coordinate, Variable, one_group

ENDS, PARTS, READINGS = ("earlier", "later"), ("total", "loads", "mean_load"), ("lower", "quoted", "upper")
_POINTS = 4096  # of a replicate: 65,536 draws or more in all, the first ones of the run

Case = tuple[Scenario, Run, Mapping[tuple[str, str, str], float]]  # with the seized gross kg by stratum
_Stack = Callable[[Sequence[np.ndarray], Sequence[str]], np.ndarray]
_Words = Callable[[Sequence[np.ndarray]], tuple[tuple[str, ...], np.ndarray]]


# --- in every draw --------------------------------------------------------------------------------------------------------------------


def in_draws(model: Model, run: Run) -> dict[str, np.ndarray]:
    """Split the growth of each flow into numbers and mean sizes of loads, in the first draws of the run; {} where none is asked for.

    log(F2 / F1) = log(N2 / N1) + log(m2 / m1),   F = flow_gross_kg, N = events + n_missed, m = F / N

    g = growths, q = PROBABILITIES. Returns
    loads_ratio, mean_load_ratio    (g, q) quantiles of N2 / N1 and m2 / m1, each with `_mcse` over replicates
    flow_log_growth                 (g, 3) means of the three logs, by PARTS: the first is the sum of the others; with `_mcse`
    undefined_loads_share           (g,)   draws in which there is no load in one period: left out

    missed_log_growth               (g, 3) the same of what was missed, which exists where a count is unknown too

    NaN where no number of loads is known: an unknown count, loads of which some crossed elsewhere, one form of unrecorded strata.
    """
    scenario = model.scenario
    if not scenario.growths:
        return {}
    points = run.draws // run.replicates
    plan = Plan(sampler=scenario.sampler, seed=scenario.seed, draws_asked=run.draws_asked, replicates=run.replicates, points=points)
    both = np.array([[_logs(model, growth, drawn) for growth in scenario.growths] for drawn in batches(BorderEngine(model), plan, _POINTS)])
    undefined = ~np.isfinite(both).all(axis=3)  # both (b, g, 2, 3, d) of b batches: flow, missed
    both = np.where(undefined[:, :, :, np.newaxis], np.nan, both)
    logs, of_missed = both[:, :, 0], both[:, :, 1]
    found = {"undefined_loads_share": undefined[:, :, 0].mean(axis=(0, 2))}
    by_batch = np.array([_quantiles(batch) for batch in logs])
    pooled = _quantiles(np.concatenate(list(logs), axis=-1))
    means = np.array([_means(batch) for batch in logs])
    for k, part in enumerate(PARTS[1:], start=1):
        ratio = exp(pooled[:, k])
        found[f"{part}_ratio"] = ratio
        found[f"{part}_ratio_mcse"] = ratio * summaries.replicate_error(by_batch[:, :, k])
    found["flow_log_growth"] = _means(np.concatenate(list(logs), axis=-1))
    found["flow_log_growth_mcse"] = summaries.replicate_error(means)
    found["missed_log_growth"] = _means(np.concatenate(list(of_missed), axis=-1))
    found["missed_log_growth_mcse"] = summaries.replicate_error(np.array([_means(batch) for batch in of_missed]))
    return found


def _logs(model: Model, growth: Growth, drawn: np.ndarray) -> np.ndarray:
    """Return the logs of the ratios of masses, of loads and of mean loads, in the flow and in what was missed, (2, 3, d).

    drawn (S, d)   draws of all summaries
    """
    flows, loads, missed, n_missed = [], [], [], []
    for period in growth.periods:
        here = Result(quantity="unattributed_pure_kg", corridor=growth.corridor, period=period, form=growth.form)

        def of(quantity: str, here: Result = here) -> np.ndarray:
            cell = model.scenario.cell(replace(here, quantity=quantity))
            number = int(model.summary[cell])
            if number in (ZERO, ABSENT):
                return np.full(drawn.shape[1], 0.0 if number == ZERO else np.nan)
            found: np.ndarray = drawn[number] * model.factor[cell]
            return found

        attributed = model.summary[model.scenario.cell(here)] != ZERO
        events = math.nan if attributed else events_of(model.scenario, growth, period)[0]
        flows.append(of("flow_gross_kg"))
        missed.append(of("missed_gross_kg"))
        n_missed.append(of("n_missed"))
        loads.append(events + n_missed[-1])
    with np.errstate(divide="ignore", invalid="ignore"):
        pairs = [(log(mass[1] / mass[0]), log(n[1] / n[0])) for mass, n in ((flows, loads), (missed, n_missed))]
        return np.array([[total, number, total - number] for total, number in pairs])


def _quantiles(logs: np.ndarray) -> np.ndarray:
    """Return the quantiles over the last axis of the draws that are not NaN, (..., q); a draw is NaN in all parts or in none."""
    found = np.full((*logs.shape[:-1], len(PROBABILITIES)), np.nan)
    for place in np.ndindex(logs.shape[:-1]):
        defined = logs[place][~np.isnan(logs[place])]
        if defined.size:
            found[place] = np.quantile(defined, PROBABILITIES, method="inverted_cdf")
    return found


def _means(logs: np.ndarray) -> np.ndarray:
    defined = ~np.isnan(logs)
    with np.errstate(invalid="ignore"):
        means: np.ndarray = np.where(defined, logs, 0.0).sum(axis=-1) / defined.sum(axis=-1)
    return means


# --- in the evidence ------------------------------------------------------------------------------------------------------------------


def events_of(scenario: Scenario, growth: Growth, period: str) -> tuple[float, float]:
    """Return the events of one period and their prior's share a, or NaN where a count, or the form of a stratum, is not known.

    The prior is spread over the strata of one corridor and period, so a group of k corridors has k a; copied loads have no prior.
    """
    corridors = dict(scenario.places)[growth.corridor]
    events, prior = 0.0, 0.0
    for corridor in corridors:
        rows = [row for row in scenario.rows if row.corridor == corridor and row.period == period]
        forms = {row.form for row in rows}
        chosen = [row for row in rows if growth.form in ("all", row.form)]
        if any(row.n_events is None for row in chosen) or (growth.form != "all" and "unrecorded" in forms):
            return math.nan, math.nan
        events += sum(row.n_events or 0 for row in chosen)
        if chosen and scenario.load_law != "copy":
            prior += scenario.event_prior * len({row.form for row in chosen}) / len(forms)
    return events, prior


def seized_rate_ratio(before: tuple[float, float], after: tuple[float, float]) -> tuple[np.ndarray, float]:
    """Return the quantiles of the ratio of two rates of seizures, and the probability that it exceeds 1; (events, prior) each.

    mu | n ~ Gamma(n + a), so mu2 / mu1 ~ (n2 + a2) / (n1 + a1) F(2 (n2 + a2), 2 (n1 + a1)). The rate of loads is mu / d: it did not rise
    where the detection rate rose by this ratio at least, whatever the detection rate is.

    Source: method.md section 7.

    >>> quantiles, increase = seized_rate_ratio((2, 0.5), (11, 0.5))
    >>> quantiles[[2, 6, 10]].round(5).tolist(), round(increase, 6)
    ([1.44496, 5.1318, 28.92975], 0.995302)
    """
    one, two = sum(before), sum(after)
    if not (one > 0.0 and two > 0.0):
        return np.full(len(PROBABILITIES), np.nan), math.nan
    p = np.array(PROBABILITIES)  # X = G2 / (G1 + G2) ~ Beta(two, one); scipy.stats has F itself, and takes .6 s to import
    return special.betaincinv(two, one, p) / special.betaincinv(one, two, 1.0 - p), float(special.betaincc(two, one, 0.5))


def quoted_ratio(scenario: Scenario, growth: Growth) -> np.ndarray:
    """Return the later amount over the earlier one as quoted: the least, the stated and the greatest ratio that the rounding allows.

    2 to 43, each rounded to the whole: (43 - .5) / (2 + .5), 43 / 2, (43 + .5) / (2 - .5).
    """
    if growth.quoted is None:
        return np.full(3, np.nan)
    ends = [[row for row in scenario.rows if row.corridor == growth.quoted and row.period == period] for period in growth.periods]
    (before, off_before), (after, off_after) = (
        (math.fsum(row.amount for row in rows), math.fsum(row.rounding or 0.0 for row in rows)) for rows in ends
    )
    with np.errstate(divide="ignore", invalid="ignore"):
        above = np.array([after - off_after, after, after + off_after])
        ratio: np.ndarray = above / np.array([before + off_before, before, before - off_before])
    return ratio


def _quoted(scenario: Scenario, growth: Growth) -> str:
    """Return the figures as quoted, in the unit in which evidence is kept: "0.9072 to 19.5 kg"."""
    if growth.quoted is None:
        return ""
    rows = [row for row in scenario.rows if row.corridor == growth.quoted]
    amounts = (f"{math.fsum(row.amount for row in rows if row.period == period):.4g}" for period in growth.periods)
    return f"{' to '.join(amounts)} {next(row.unit for row in rows if row.period in growth.periods)}"


def _in_evidence(case: Case) -> dict[str, np.ndarray]:
    """Return what follows from the evidence alone, growth by growth."""
    scenario, _, seized_kg = case
    places = dict(scenario.places)
    rates, increases, gross, counts, decomposed = [], [], [], [], []
    for growth in scenario.growths:
        events = [events_of(scenario, growth, period) for period in growth.periods]
        quantiles, increase = seized_rate_ratio(events[0], events[1])
        kg = [
            math.fsum(
                kg
                for (corridor, at, form), kg in seized_kg.items()
                if at == period and corridor in places[growth.corridor] and growth.form in ("all", form)
            )
            for period in growth.periods
        ]
        if growth.form != "all" and any(form == "unrecorded" and corridor in places[growth.corridor] for corridor, _, form in seized_kg):
            kg = [math.nan, math.nan]
        with np.errstate(divide="ignore", invalid="ignore"):
            total, loads = (log(np.float64(after) / np.float64(before)) for before, after in (kg, (events[0][0], events[1][0])))
            logs = np.array([total, loads, total - loads])
        rates.append(quantiles)
        increases.append(increase)
        gross.append(kg)
        counts.append([n for n, _ in events])
        decomposed.append(np.where(np.isfinite(logs), logs, np.nan))
    return {
        "n_events": np.array(counts),
        "seized_gross_kg": np.array(gross),
        "seized_rate_ratio": np.array(rates),
        "seized_rate_increase": np.array(increases),
        "seized_log_growth": np.array(decomposed),
        "quoted_ratio": np.array([quoted_ratio(scenario, growth) for growth in scenario.growths]),
    }


# --- in results -----------------------------------------------------------------------------------------------------------------------

_ABOUT: Mapping[str, tuple[tuple[str, ...], str, str]] = {
    "n_events": (("end",), "1", "seizures; NaN where a count is not known"),
    "seized_gross_kg": (("end",), "kg", "seized gross mass, as in the table"),
    "seized_rate_ratio": (
        ("quantile",),
        "1",
        "later rate of seizures over the earlier: how much detection per load must have risen for the number of loads not to have risen",
    ),
    "seized_rate_increase": ((), "1", "probability that the rate of seizures rose"),
    "detection_tipping_ratio": (
        ("quantile",),
        "1",
        "later seized mass over the earlier: how much the interdicted share must have risen for the flow not to have risen",
    ),
    "detection_tipping_ratio_mcse": (("quantile",), "1", "Monte Carlo standard error of the quantile of detection_tipping_ratio"),
    "loads_ratio": (("quantile",), "1", "later number of loads over the earlier, seized and missed"),
    "loads_ratio_mcse": (("quantile",), "1", "Monte Carlo standard error of the quantile of loads_ratio"),
    "mean_load_ratio": (("quantile",), "1", "later mean gross mass of a load over the earlier, seized and missed"),
    "mean_load_ratio_mcse": (("quantile",), "1", "Monte Carlo standard error of the quantile of mean_load_ratio"),
    "seized_log_growth": (("part",), "1", "log of the ratio of gross seized, of seizures, and of their mean mass"),
    "flow_log_growth": (("part",), "1", "mean log of the ratio of gross flows, of loads, and of their mean mass"),
    "flow_log_growth_mcse": (("part",), "1", "Monte Carlo standard error of flow_log_growth"),
    "missed_log_growth": (("part",), "1", "mean log of the ratio of gross missed, of missed loads, and of their mean mass"),
    "missed_log_growth_mcse": (("part",), "1", "Monte Carlo standard error of missed_log_growth"),
    "undefined_loads_share": (
        (),
        "1",
        "share of draws without a load in one period, left out where loads are counted",
    ),
    "quoted_ratio": (("reading",), "1", "later figure over the earlier as quoted, with the ends that its rounding allows"),
}


def growth_group(
    cases: Sequence[Case], stack: _Stack, words: _Words, sweeps: tuple[str, ...], labels: Mapping[str, Coordinate]
) -> dict[str, xr.Dataset]:
    """Return the group /growth of all cases, where there is a growth.

    stack   puts the arrays of all cases together, sweeps in front;  words  their texts, sweeps in front where they differ
    """
    first = cases[0][0]
    if not first.growths:
        return {}
    found: list[dict[str, np.ndarray]] = []
    for case in cases:
        scenario, run, _ = case
        numbers = [contrast.id for contrast in scenario.contrasts]
        seized = [numbers.index(growth.contrasts[1].id) for growth in scenario.growths]
        tipping = {
            name: run.contrasts[of][seized]
            for name, of in (("detection_tipping_ratio", "ratio"), ("detection_tipping_ratio_mcse", "ratio_mcse"))
        }
        found.append({**_in_evidence(case), **tipping, **run.growth})
    variables: dict[str, Variable] = {
        name: (
            (*sweeps, "growth", *dimensions),
            stack([each[name] for each in found], ("growth",)),
            {"units": units, "long_name": long_name},
        )
        for name, (dimensions, units, long_name) in _ABOUT.items()
        if name in found[0]
    }
    texts = [np.array([_quoted(scenario, growth) for growth in scenario.growths], dtype=str) for scenario, _, _ in cases]
    variables["quoted"] = (*words(texts), {"units": "1", "long_name": "the figures as quoted"})
    own: dict[str, Coordinate] = {
        **labels,
        "quantile": OWN_COORDINATES["quantile"],
        "growth": ("growth", [growth.id for growth in first.growths], {"long_name": "id of the growth"}),
        "end": ("end", list(ENDS), {"long_name": "period"}),
        "part": ("part", list(PARTS), {"long_name": "number of loads, their mean mass, and both together"}),
        "reading": ("reading", list(READINGS), {"long_name": "ends of what the rounding allows, and the figures as they stand"}),
    }
    return {"growth": one_group(variables, own, "growth of flows between two periods; the ratio is in /contrasts, a decrease in /claims")}


def in_words(here: xr.Dataset, prob: float, number: Callable[[float, float], str]) -> list[str]:
    """Return what is said of one growth in one case, beside the ratio of its flows, by lines; `number(x, mcse)` writes a number."""
    return [*_counted(here, prob, number), *_parts(here), *_tipping(here, prob, number)]


def _counted(here: xr.Dataset, prob: float, number: Callable[[float, float], str]) -> list[str]:
    """Return what the file says, what was quoted, and what the counts say of the rate of seizures."""
    (before, after), (n_before, n_after) = here["seized_gross_kg"].values, here["n_events"].values
    change = _percent_change(after / before) if before > 0.0 else "from nothing" if before == 0.0 else "as the form was not recorded"
    lines = [f"seized gross: {number(before, 0.0)} to {number(after, 0.0)} kg in the file, {change}"]
    if (text := str(here["quoted"].item())) != "":
        lower, stated, upper = here["quoted_ratio"].values
        lines.append(
            f"as quoted: {text}, {_percent_change(stated)}; the rounding allows {_percent_change(lower)} to {_percent_change(upper)}"
        )
    if math.isnan(n_before + n_after):
        return [*lines, "seizures: their number is not known in both periods"]
    low, middle, high = _three(here["seized_rate_ratio"], prob)
    increase = _sure(float(here["seized_rate_increase"]))
    rates = f"{number(middle, 0.0)} ({number(low, 0.0)} to {number(high, 0.0)})"
    said = f"seizures: {n_before:,.0f} to {n_after:,.0f}; ratio of their rates {rates}, an increase with probability {increase}"
    return [*lines, said]


def _parts(here: xr.Dataset) -> list[str]:
    """Return how much of the growth is number of loads and how much their size."""
    lines = []
    known = not here["flow_log_growth"].isnull().any()
    of_flow = ("flow_log_growth", "of the gross flow") if known else ("missed_log_growth", "of what was missed, gross")
    for name, what in (("seized_log_growth", "of what was seized"), of_flow):
        total, loads, size = here[name].values
        if math.isnan(total + loads + size):
            continue
        factors = " x ".join(f"{math.exp(part):.3g}" for part in (loads, size))
        shares = f"; {100.0 * loads / total:.0f} % of it number of loads, on the log scale" if loads * size > 0.0 else ""
        lines.append(f"growth {what}: {math.exp(total):.3g} = {factors} (number of loads x mean load){shares}")
    return lines


def _tipping(here: xr.Dataset, prob: float, number: Callable[[float, float], str]) -> list[str]:
    """Return by what factor detection must have changed for the flow not to have changed as what was seized did."""

    def said(what: str, share: str, of: str, errors: Sequence[float]) -> str:
        low, middle, high = _three(here[of], prob)
        texts = [number(*pair) for pair in zip((low, middle, high), errors, strict=True)]
        how = ("fall", "fell to at most") if middle < 1.0 else ("rise", "rose to at least")
        return f"{what} did not {how[0]} if {share} {how[1]} {texts[1]} ({texts[0]} to {texts[2]}) times what it was"

    lines = [said("the flow", "the interdicted share", "detection_tipping_ratio", _three(here["detection_tipping_ratio_mcse"], prob))]
    if not math.isnan(float(here["seized_rate_increase"])):
        lines.append(said("the number of loads", "detection per load", "seized_rate_ratio", (0.0, 0.0, 0.0)))
    return lines


def _three(variable: xr.DataArray, prob: float) -> tuple[float, float, float]:
    """Return the lower end of the interval, the median and the upper end."""
    at = (0.5 - 0.5 * prob, 0.5, 0.5 + 0.5 * prob)
    return tuple(float(variable.sel(quantile=p, method="nearest")) for p in at)  # type: ignore[return-value]


def _percent_change(ratio: float) -> str:
    """Write a ratio as a change.

    >>> _percent_change(21.5), _percent_change(0.25), _percent_change(math.inf)
    ('+2,050 %', '-75 %', 'without bound')
    """
    return f"{100.0 * (ratio - 1.0):+,.0f} %" if math.isfinite(ratio) else "without bound"


def _sure(p: float) -> str:
    """Write a probability that is known exactly, never as 0 or 1.

    >>> _sure(0.995302), _sure(0.9999997), _sure(0.0)
    ('99.53 %', 'above 99.99 %', 'below 0.01 %')
    """
    return "above 99.99 %" if p > 0.9999 else "below 0.01 %" if p < 0.0001 else f"{100.0 * p:.4g} %"
