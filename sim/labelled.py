"""Edge out: the runs of all cases with labels, units and provenance as one tree."""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar

import numpy as np
import xarray as xr

from . import sensitivity
from .checks import days_ratio
from .conditioned import conditioned_groups, log_weights, refused
from .dependence import ParameterDraw
from .evidence import period_days
from .growth import growth_group
from .model import DIAGNOSTICS
from .records import PARAMETERS, RESULT_FORMS, Scenario
from .runner import METHOD_VERSION, MOST_STAGES_MORE, Plan
from .simulation import Run
from .sweeps import named
from .tails import said
from .tree import (
    LAYOUT_VERSION,
    OWN_COORDINATES,
    Answer,
    Coordinate,
    Variable,
    assemble,
    common_groups,
    exact_quantiles,
    one_group,
)

_PILOT_DRAWS = (2**14, 2**16)
_MEANS_RULE = "a mean is given where the tail index exceeds 2 and an sd where it exceeds 4, so that each has a Monte Carlo error"

_Labelled = TypeVar("_Labelled", xr.Dataset, xr.DataArray)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """One case that was run, and what labels need to know of its model.

    parameter_draws   in the order of the last axis of `run.kept_parameters`
    seized_gross_kg   kg by (corridor, period, form of the evidence): as in the table, counted pills at the median pill mass
    resumed, damaged  draws that an earlier run had made; files it left that had to be deleted
    """

    scenario: Scenario
    run: Run
    parameter_draws: Sequence[ParameterDraw]
    seized_gross_kg: Mapping[tuple[str, str, str], float]
    resumed: int = 0
    damaged: int = 0


def run_id(scenario: Scenario) -> str:
    """Name a run by what decides its numbers and its layout: 12 hex digits of a SHA-256.

    Hashed is the JSON (sorted keys, no spaces, ASCII, floats in Python's shortest form that reads back to the same double) of the
    resolved scenario with draws, seed and kept draws inside, the version of the numerical method and the version of the layout.
    The order of keys, the folder, the machine, the number of threads and the release of this library do not enter.
    """
    identity = {"layout_version": LAYOUT_VERSION, "method_version": METHOD_VERSION, "scenario": scenario.document}
    return hashlib.sha256(json.dumps(identity, sort_keys=True, separators=(",", ":")).encode("ascii")).hexdigest()[:12]


def to_tree(
    scenario: Scenario,
    run: Run,
    *,
    parameter_draws: Sequence[ParameterDraw],
    seized_gross_kg: Mapping[tuple[str, str, str], float],
    created_at: datetime | None = None,
) -> xr.DataTree:
    """Put labels, units and provenance on the arrays of a scenario without sweeps; see `tree_of` and `Outcome`."""
    outcome = Outcome(scenario=scenario, run=run, parameter_draws=parameter_draws, seized_gross_kg=seized_gross_kg)
    return tree_of(scenario, [outcome], created_at)


def tree_of(scenario: Scenario, outcomes: Sequence[Outcome], created_at: datetime | None = None) -> xr.DataTree:
    """Put labels, units and provenance on the arrays of all cases, in their order.

    Returns a tree in which every group carries its own coordinates and every variable `units` and `long_name`. On `period` stands
    `days`, the length of each period, NaN where its label does not tell: what a ratio of two periods is to be divided by. Labels are
    those of all cases together; where a case lacks one there is NaN (false, and -1 for a Sobol' dimension). What the root says of the run
    where cases differ is said of the first; the dimension of the sweep, and `draws_used`, say how they differ.
    """
    from .scenario import to_toml  # as in run

    cases = [outcome.scenario for outcome in outcomes]
    runs = [outcome.run for outcome in outcomes]
    table = _Table.of(scenario, outcomes)
    missing = _missing_members(cases)
    labelled = {"members_missing": json.dumps(missing, sort_keys=True)} if missing else {}
    quantities = scenario.quantities
    worst = {q: max(float(np.nanmax(_of(run.undefined_share, q), initial=0.0)) for run in runs) for q in quantities}
    cell = ("corridor", "period", "form")
    answers = {
        quantity: Answer(
            units=meaning.units,
            long_name=meaning.long_name,
            quantiles=table.stack([_of(run.quantiles, quantity) for run in runs], cell),
            mcse=table.stack([_of(run.mcse, quantity) for run in runs], cell),
            mean=table.stack([_of(run.mean, quantity) for run in runs], cell),
            sd=table.stack([_of(run.sd, quantity) for run in runs], cell),
            mean_mcse=table.stack([_of(run.mean_mcse, quantity) for run in runs], cell),
            kept=table.stack([_of(run.kept, quantity) for run in runs], ("chain", "draw", *cell))
            if all(run.kept for run in runs)
            else None,
            undefined_share=worst[quantity],
            note=said(reason for run in runs for reason in run.notes.get(quantity, {}).items()),
        )
        for quantity, meaning in quantities.items()
    }
    labels = {**_coordinates(scenario, table), **_about_parameters(scenario, outcomes, table)}
    exact = table.stack([exact_quantiles([draw.block.law for draw in each.parameter_draws]) for each in outcomes], ("parameter",))
    groups = {
        **common_groups(
            answers,
            exact,
            table.stack([run.kept_parameters for run in runs], ("chain", "draw", "parameter")),
            labels,
            sweeps=table.sweeps,
            dimensions=cell,
            moments_note=_MEANS_RULE,
            attributes=labelled,
        ),
        "evidence": _evidence(outcomes, table, labels),
        **_contrasts_and_claims(scenario, outcomes, table, labels),
        **growth_group(
            [(each.scenario, each.run, each.seized_gross_kg) for each in outcomes],
            table.stack,
            functools.partial(_words, table, "growth"),
            table.sweeps,
            labels,
        ),
        **_sensitivity(scenario, runs, table, labels),
        "diagnostics": _diagnostics(runs, [quantity for quantity, share in worst.items() if share > 0.0], table, labels),
        **conditioned_groups(scenario, runs, exact, {**labels, **_about_questions(table)}, table.stack, table.sweeps),
    }
    for group, name in (("claims", "text"), ("contrasts", "days_ratio")):  # what no condition changes, beside what it does
        if f"conditioned/{group}" in groups:
            groups[f"conditioned/{group}"][name] = groups[group][name]
    for group in ("quantiles", "mcse", "moments"):
        if f"conditioned/{group}" in groups:
            groups[f"conditioned/{group}"].attrs.update(labelled)
    if "draws" in groups:
        groups["draws"] = groups["draws"].assign(log_weights(runs, table.stack, table.sweeps))
    attributes = {
        "title": scenario.question,
        "name": scenario.name,
        "run_id": run_id(scenario),
        "scenario": to_toml(scenario),
        **({"cases": len(cases)} if scenario.sweeps else {}),
        **({"warnings": "\n".join(scenario.warnings)} if scenario.warnings else {}),
        **_about_tolerance(cases, runs),
        **refused(runs, functools.partial(case_name, scenario)),
        **labelled,
    }
    case, run = cases[0], runs[0]
    points = run.draws // run.replicates
    made = Plan(sampler=case.sampler, seed=case.seed, draws_asked=run.draws_asked, replicates=run.replicates, points=points)
    seconds, draws_made = sum(run.seconds for run in runs), sum(run.draws for run in runs)
    return assemble(groups, made, seconds, attributes, created_at, draws_made)


def _of(arrays: Mapping[str, np.ndarray], quantity: str) -> np.ndarray:
    """Return the array of a quantity; NaN where a case has none of it, because it has no precursors."""
    return arrays[quantity] if quantity in arrays else np.full_like(arrays["flow_pure_kg"], np.nan)


def _about_tolerance(cases: Sequence[Scenario], runs: Sequence[Run]) -> dict[str, Any]:
    """Return what was asked, the worst of what was reached, and whether that is enough; how many draws it took stands in `draws`."""
    judged = [
        (case.tolerance, run.tolerance_reached)
        for case, run in zip(cases, runs, strict=True)
        if case.tolerance is not None and run.tolerance_reached is not None
    ]
    if not judged:
        return {}
    met = all(reached <= asked for asked, reached in judged)
    note = "" if met else f"the bound on draws, {MOST_STAGES_MORE} times the first stage, came before the tolerance: ask for more draws"
    return {
        "tolerance": judged[0][0],
        "tolerance_reached": max(reached for _, reached in judged),
        "tolerance_met": "yes" if met else "no",
        **({"tolerance_note": note} if note else {}),
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class _Table:
    """The labels of all cases together, and where those of each case stand among them.

    shape    lengths of the sweeps;  sweeps  their dimensions
    labels   dimension -> labels of all cases;  at  dimension -> for each case the places of its own labels, or None where all are its own
    """

    shape: tuple[int, ...]
    sweeps: tuple[str, ...]
    groups: tuple[str, ...]
    labels: Mapping[str, list[Any]]
    at: Mapping[str, list[np.ndarray] | None]

    @staticmethod
    def of(scenario: Scenario, outcomes: Sequence[Outcome]) -> _Table:
        cases = [outcome.scenario for outcome in outcomes]
        groups = tuple(_union([[group for group, _ in case.groups] for case in cases]))
        kept = [outcome.run.kept_parameters.shape[:2] for outcome in outcomes]
        own: dict[str, list[Sequence[Any]]] = {
            "corridor": [[place for place, _ in case.places] for case in cases],
            "only corridors": [case.corridors for case in cases],
            "period": [case.periods for case in cases],
            "parameter": [[draw.id for draw in outcome.parameter_draws] for outcome in outcomes],
            "uniform": [list(outcome.run.uniforms) for outcome in outcomes],
            "evidence_form": [case.evidence_forms for case in cases],
            "contrast": [[contrast.id for contrast in case.contrasts] for case in cases],
            "claim": [[claim.id for claim in case.claims] for case in cases],
            "growth": [[growth.id for growth in case.growths] for case in cases],
            **{kind: [outcome.run.sensitivity.get(f"{kind}s", ()) for outcome in outcomes] for kind in ("target", "input_group")},
            "chain": [range(chains) for chains, _ in kept],
            "draw": [range(draws) for _, draws in kept],
        }
        labels = {dimension: _union(each) for dimension, each in own.items()}
        labels["corridor"] = [*labels["only corridors"], *groups]
        labels["parameter"].sort()
        at: dict[str, list[np.ndarray] | None] = {}
        for dimension, each in own.items():
            place = {label: i for i, label in enumerate(labels[dimension])}
            same = all(list(mine) == labels[dimension] for mine in each)
            at[dimension] = None if same else [np.array([place[label] for label in mine], dtype=np.intp) for mine in each]
        shape = tuple(len(sweep.labels) for sweep in scenario.sweeps)
        return _Table(shape=shape, sweeps=tuple(sweep.dim for sweep in scenario.sweeps), groups=groups, labels=labels, at=at)

    def stack(self, arrays: Sequence[np.ndarray], dimensions: Sequence[str], fill: float = np.nan) -> np.ndarray:
        """Return the arrays of all cases as one, sweeps in front; `dimensions` are those of the first axes, whose labels may differ."""
        rest = arrays[0].shape[len(dimensions) :]
        if all(self.at.get(dimension) is None for dimension in dimensions):
            return np.stack(arrays).reshape((*self.shape, *arrays[0].shape))
        sizes = [len(self.labels[d]) if d in self.labels else n for d, n in zip(dimensions, arrays[0].shape, strict=False)]
        whole = np.full((len(arrays), *sizes, *rest), fill, dtype=arrays[0].dtype)
        for i, array in enumerate(arrays):
            places = [at[i] if (at := self.at.get(d)) is not None else np.arange(n) for d, n in zip(dimensions, array.shape, strict=False)]
            whole[i][np.ix_(*places)] = array
        return whole.reshape(*self.shape, *sizes, *rest)


def _union(each: Sequence[Sequence[Any]]) -> list[Any]:
    """Return the labels of all cases, in the order in which they first come."""
    return list(dict.fromkeys(label for labels in dict.fromkeys(map(tuple, each)) for label in labels))


def _coordinates(scenario: Scenario, table: _Table) -> dict[str, Coordinate]:
    """Return every coordinate of the layout but those of `parameter`, as (dimension, labels, attributes)."""
    places, periods = table.labels["corridor"], table.labels["period"]
    days = [period_days(period) for period in periods]
    swept: dict[str, Coordinate] = {}
    for sweep in scenario.sweeps:
        is_number = all(not isinstance(label, str) for label in sweep.labels)
        about = {"units": "1", "long_name": f"{sweep.path}, in its own unit"} if is_number else {"long_name": sweep.path}
        whole = [label for label in sweep.labels if isinstance(label, int)]
        wide = len(whole) == len(sweep.labels) and max(whole) > np.iinfo(np.int64).max
        swept[sweep.dim] = (sweep.dim, np.array(sweep.labels, dtype=np.uint64 if wide else None), about)
    return {
        **swept,
        "corridor": ("corridor", places, {"long_name": "corridors, then groups"}),
        "is_group": (
            "corridor",
            np.arange(len(places)) >= len(places) - len(table.groups),
            {"units": "1", "long_name": "whether the label is a group, the sum of its corridors in every draw"},
        ),
        "period": ("period", periods, {"long_name": "period of the seizures"}),
        "days": (
            "period",
            np.array([np.nan if n is None else n for n in days], dtype=np.float64),
            {"units": "d", "long_name": "length of the period; NaN where its label does not tell"},
        ),
        "form": ("form", list(RESULT_FORMS), {"long_name": "form of the drug; all is powder and pill together"}),
        "evidence_form": ("evidence_form", table.labels["evidence_form"], {"long_name": "form of the drug as the evidence records it"}),
    }


def _missing_members(cases: Sequence[Scenario]) -> dict[str, dict[str, list[str]]]:
    """Return group -> period -> the members without evidence of the drug there in some case; what lacks none is left out."""
    missing: dict[str, dict[str, list[str]]] = {}
    for rows, groups, periods in dict.fromkeys((case.rows, case.groups, case.periods) for case in cases):
        present = {(row.corridor, row.period) for row in rows if row.form != "precursor"}
        for group, members in groups:
            for period in periods:
                absent = [corridor for corridor in members if (corridor, period) not in present]
                if absent:
                    known = missing.setdefault(group, {}).setdefault(period, [])
                    known += [corridor for corridor in absent if corridor not in known]
    return missing


def _about_parameters(scenario: Scenario, outcomes: Sequence[Outcome], table: _Table) -> dict[str, Coordinate]:
    """Return the coordinates of `parameter`: the id of each draw, and what the scenario says about its block."""
    by_id = {block["id"]: block for block in scenario.document["parameter"]}
    blocks = {draw.id: draw.block for outcome in outcomes for draw in outcome.parameter_draws}
    ids = table.labels["parameter"]
    written = [by_id.get(blocks[name].id, {}) for name in ids]
    about = {
        "parameter": (ids, "id of the parameter draw"),
        "name": ([blocks[name].name for name in ids], "name of the parameter"),
        "unit": ([PARAMETERS[blocks[name].name].unit for name in ids], "unit of the parameter"),
        "basis": ([str(block.get("basis", "default")) for block in written], "published, derived or elicited"),
        "source": ([str(block.get("source", "")) for block in written], "key into the sources of the scenario, or free text"),
        "grade": ([str(block.get("grade", "")) for block in written], "grade of the evidence: A, B, C, D or M; empty where none is given"),
    }
    return {name: ("parameter", np.array(column, dtype=str), {"long_name": text}) for name, (column, text) in about.items()}


def _evidence(outcomes: Sequence[Outcome], table: _Table, labels: Mapping[str, Coordinate]) -> xr.Dataset:
    """The evidence table, summed by stratum; corridors only, because a group has no rows of its own and a sum must not count twice."""
    per_case = [_evidence_of(outcome) for outcome in outcomes]
    n_events, gross = (table.stack([arrays[i] for arrays in per_case], ("only corridors", "period", "evidence_form")) for i in (0, 1))
    known = table.stack([arrays[2] for arrays in per_case], ("only corridors", "period", "evidence_form"), fill=False)
    dimensions = (*table.sweeps, "corridor", "period", "evidence_form")
    corridors = table.labels["only corridors"]
    own: dict[str, Coordinate] = {
        **{name: labels[name] for name in (*table.sweeps, "period", "days", "evidence_form")},
        "corridor": ("corridor", corridors, {"long_name": "corridors; groups have no evidence of their own"}),
    }
    variables = {
        "n_events": (dimensions, n_events, {"units": "1", "long_name": "seizure events; the known part where events_known is false"}),
        "seized_gross_kg": (
            dimensions,
            gross,
            {"units": "kg", "long_name": "seized mass as in the table, counted pills at the median pill mass, nothing attributed"},
        ),
        "events_known": (
            dimensions,
            known,
            {"units": "1", "long_name": "whether there is evidence and every row gives its number of events"},
        ),
    }
    return one_group(variables, own, "evidence by stratum; NaN where the table has none")


def _about_questions(table: _Table) -> dict[str, Coordinate]:
    """Return the coordinates of contrasts and claims."""
    return {
        "contrast": ("contrast", table.labels["contrast"], {"long_name": "id of the contrast"}),
        "claim": ("claim", table.labels["claim"], {"long_name": "id of the claim"}),
    }


def _contrasts_and_claims(
    scenario: Scenario, outcomes: Sequence[Outcome], table: _Table, labels: Mapping[str, Coordinate]
) -> dict[str, xr.Dataset]:
    """Return the groups /contrasts and /claims, each where the scenario has some."""
    runs = [outcome.run for outcome in outcomes]
    own: dict[str, Coordinate] = {**labels, "quantile": OWN_COORDINATES["quantile"], **_about_questions(table)}
    groups = {}
    if scenario.contrasts:
        ratio, error = (table.stack([run.contrasts[name] for run in runs], ("contrast",)) for name in ("ratio", "ratio_mcse"))
        days = [np.array([days_ratio(one.numerator, one.denominator) for one in outcome.scenario.contrasts]) for outcome in outcomes]
        undefined = table.stack([run.contrasts["undefined_share"] for run in runs], ("contrast",))
        share = {"undefined_share": float(np.nanmax(undefined))} if np.nanmax(undefined) > 0.0 else {}
        with np.errstate(divide="ignore", over="ignore"):
            tipping = 1.0 / ratio[..., ::-1]  # the kept probabilities are symmetric
        dimensions = (*table.sweeps, "contrast", "quantile")
        about = {
            "ratio": "numerator over denominator, in every draw",
            "ratio_mcse": "Monte Carlo standard error of the quantile: numerator over denominator",
            "tipping_factor": "denominator over numerator, in every draw: how much larger the numerator must be to draw level",
        }
        variables: dict[str, Variable] = {
            name: (dimensions, array, {"units": "1", "long_name": about[name], **(share if name != "ratio_mcse" else {})})
            for name, array in (("ratio", ratio), ("ratio_mcse", error), ("tipping_factor", tipping))
        }
        of_days = {"units": "1", "long_name": "length of the numerator's period over the denominator's; NaN where a label does not tell"}
        of_share = {"units": "1", "long_name": "share of the draws in which the ratio is 0/0, which are left out"}
        variables["undefined_share"] = ((*table.sweeps, "contrast"), undefined, of_share)
        variables["days_ratio"] = ((*table.sweeps, "contrast"), table.stack(days, ("contrast",)), of_days)
        groups["contrasts"] = one_group(variables, own, "ratios of two results")
    if scenario.claims:
        about = {
            "probability": "share of the draws with a defined ratio in which the claim is true",
            "probability_mcse": "Monte Carlo standard error of the probability",
            "lower_bound": "lower bound of the probability as to Monte Carlo error, one-sided 95 %",
            "upper_bound": "upper bound of the probability as to Monte Carlo error, one-sided 95 %",
            "hits": "draws in which the claim is true",
            "n_draws": "draws with a defined ratio, those in which it is not true too",
            "rerun": "whether it was counted again with plain Monte Carlo, because few Sobol' points hit, or few missed",
        }
        variables = {
            name: (
                (*table.sweeps, "claim"),
                table.stack([run.claims[name] for run in runs], ("claim",)),
                {"units": "1", "long_name": text},
            )
            for name, text in about.items()
        }
        texts = [np.array([claim.text for claim in outcome.scenario.claims], dtype=str) for outcome in outcomes]
        variables["text"] = (*_words(table, "claim", texts), {"units": "1", "long_name": "what is claimed"})
        groups["claims"] = one_group(variables, own, "claims about contrasts")
    return groups


def _words(table: _Table, dimension: str, texts: Sequence[np.ndarray]) -> tuple[tuple[str, ...], np.ndarray]:
    """Return texts along a dimension, with the sweeps in front where they differ between cases: that of a growth whose place is swept."""
    if all(np.array_equal(each, texts[0]) for each in texts):
        return (dimension,), texts[0]
    return (*table.sweeps, dimension), table.stack(texts, (dimension,))


def _sensitivity(scenario: Scenario, runs: Sequence[Run], table: _Table, labels: Mapping[str, Coordinate]) -> dict[str, xr.Dataset]:
    """Return the group /sensitivity where the scenario has its table."""
    if scenario.sensitivity is None:
        return {}
    found = sensitivity.variables(table.sweeps, table.stack, [run.sensitivity for run in runs], scenario.sensitivity.scale)
    own: dict[str, Coordinate] = {
        **labels,
        "target": ("target", table.labels["target"], {"long_name": "contrast by its id, or quantity, corridor, period and form"}),
        "input_group": ("input_group", table.labels["input_group"], {"long_name": "inputs that are independent of all others"}),
        "claim": ("claim", table.labels["claim"], {"long_name": "id of the claim"}),
    }
    about = {"note": "conditions do not weight these numbers"} if scenario.conditions else {}
    return {"sensitivity": one_group(found, own, "which inputs the answers hang on", about)}


def _evidence_of(outcome: Outcome) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the numbers of events, the gross kg and whether events are known in one case, (corridor, period, form of the evidence)."""
    scenario = outcome.scenario
    forms = list(scenario.evidence_forms)
    shape = (len(scenario.corridors), len(scenario.periods), len(forms))
    n_events, gross, known = np.full(shape, np.nan), np.full(shape, np.nan), np.zeros(shape, dtype=bool)
    for stratum in dict.fromkeys((row.corridor, row.period, row.form) for row in scenario.rows):
        cell = scenario.corridors.index(stratum[0]), scenario.periods.index(stratum[1]), forms.index(stratum[2])
        counts = [row.n_events for row in scenario.rows if (row.corridor, row.period, row.form) == stratum]
        if counts != [None] * len(counts):  # all blank is unknown, which a 0 is not
            n_events[cell] = sum(count for count in counts if count is not None)
        known[cell] = None not in counts
        gross[cell] = outcome.seized_gross_kg[stratum]
    return n_events, gross, known


def _diagnostics(runs: Sequence[Run], undefined: Sequence[str], table: _Table, labels: Mapping[str, Coordinate]) -> xr.Dataset:
    """What the run says about itself: shares of draws cut, limited or undefined."""
    variables: dict[str, Variable] = {
        name: (
            (*table.sweeps, *dimensions),
            table.stack([run.diagnostics[name][1] for run in runs], dimensions),
            {"units": DIAGNOSTICS[name].units, "long_name": DIAGNOSTICS[name].long_name},
        )
        for name, (dimensions, _) in runs[0].diagnostics.items()
    }
    own = dict(labels)
    if undefined:
        shares = [table.stack([run.undefined_share[quantity] for run in runs], ("corridor", "period", "form")) for quantity in undefined]
        variables["undefined_share"] = (
            (*table.sweeps, "quantity", "corridor", "period", "form"),
            np.stack(shares, axis=len(table.sweeps)),
            {"units": "1", "long_name": "share of draws in which the quantity is 0/0 and left out"},
        )
        own["quantity"] = ("quantity", undefined, {"long_name": "quantities that are undefined in some draw"})
    if table.labels["uniform"]:
        variables["sobol_dimension"] = (
            (*table.sweeps, "uniform"),
            table.stack([np.array(list(run.uniforms.values())) for run in runs], ("uniform",), fill=-1),
            {"units": "1", "long_name": "dimension of the Sobol' points that the uniform takes; -1: its own Philox stream"},
        )
        own["uniform"] = ("uniform", table.labels["uniform"], {"long_name": "stable names of the uniforms: inputs, then strata"})
    if table.sweeps:
        used = table.stack([np.array(run.draws) for run in runs], ())
        variables["draws_used"] = (table.sweeps, used, {"units": "1", "long_name": "draws of the case"})
    return one_group(variables, own, "what the run says about itself")


def case_name(scenario: Scenario, number: int) -> str:
    """Name a case by its labels."""
    if not scenario.sweeps:
        return ""
    indices = np.unravel_index(number, [len(sweep.labels) for sweep in scenario.sweeps])
    return named(scenario.sweeps, tuple(map(int, indices)))
