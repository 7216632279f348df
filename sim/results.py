"""Edge out: every case of a scenario run, and the runs with labels, units and provenance as one tree."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar, overload

import numpy as np
import xarray as xr

from . import sensitivity
from .ahead import start as compile_ahead
from .checks import days_ratio
from .conditioned import conditioned_groups, log_weights, refused
from .dependence import ParameterDraw
from .engines import Executor
from .errors import Problem, ResultError, SimError
from .evidence import period_days
from .files import SCENARIO_FILE
from .finished import Finished
from .growth import growth_group, in_draws
from .model import DIAGNOSTICS, Model, compile_model, labels_of, shared_uniforms, uniforms
from .partials import beside
from .records import PARAMETERS, RESULT_FORMS, Scenario
from .runner import METHOD_VERSION, MOST_STAGES_MORE, Plan, plan
from .simulation import Run, simulate
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


# ------------------------------------------------------------------------------------------------------------------ identity


def run_id(scenario: Scenario) -> str:
    """Name a run by what decides its numbers and its layout: 12 hex digits of a SHA-256.

    Hashed is the JSON (sorted keys, no spaces, ASCII, floats in Python's shortest form that reads back to the same double) of the
    resolved scenario with draws, seed and kept draws inside, the version of the numerical method and the version of the layout.
    The order of keys, the folder, the machine, the number of threads and the release of this library do not enter.
    """
    identity = {"layout_version": LAYOUT_VERSION, "method_version": METHOD_VERSION, "scenario": scenario.document}
    return hashlib.sha256(json.dumps(identity, sort_keys=True, separators=(",", ":")).encode("ascii")).hexdigest()[:12]


def partials_folder(folder: str | os.PathLike[str], scenario: Scenario) -> Path:
    """Return where what is done of a run is kept until it is finished: hidden, beside the folder of its result."""
    return beside(Path(folder) / scenario.name / run_id(scenario))


# ------------------------------------------------------------------------------------------------------------------ run to tree


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


def run(
    scenario: Scenario,
    draws: int | None = None,
    seed: int | None = None,
    threads: int | None = None,
    progress: Callable[[int, int], None] | None = None,
    partials: Path | None = None,
    executor: Executor | None = None,
    went_on: Callable[[int, int, int], None] | None = None,
) -> xr.DataTree:
    """Run a scenario, all cases of its sweeps, and return its credible intervals, in memory.

    `draws` and `seed` stand in for the scenario's own and become part of the run's identity. `threads` (default: all processors)
    changes no bit. `progress(done, total)` is called from the main thread as blocks of draws finish. `partials` is a folder in which
    what is finished is kept until the caller removes it; a run that was killed goes on from there, to the same bits. `executor`, from
    `sim.engines`, runs the tasks elsewhere than in threads of this process. `went_on(draws taken over, draws in all, damaged files)` is
    called at the end where an earlier run had left something in `partials`.

    Returns a tree of the groups /quantiles, /mcse, /moments, /parameters, /evidence, /diagnostics and, where the scenario asks for them,
    /contrasts, /claims, /growth, /draws and /conditioned; the dimensions of sweeps stand in front of all others.
    Raises ScenarioError where `draws` or `seed` is out of range, SimError where the inputs yield a number that is not one.

    >>> tree = run(load_scenario("scenarios/north-vs-southwest.toml"), draws=65_536)              # doctest: +SKIP
    >>> tree["quantiles"]["flow_pure_kg"].sel(corridor="northern", period="FY2024", form="all")   # doctest: +SKIP
    """
    from .scenario import with_run  # the reader of files, with pydantic; opening a result does without

    asked = with_run(scenario, draws=draws, seed=seed)
    compile_ahead(asked)
    report = progress if partials is None else _leaving_word(asked, partials, progress)
    outcomes = list(_outcomes(asked, threads, report, partials, executor))
    resumed, damaged = sum(each.resumed for each in outcomes), sum(each.damaged for each in outcomes)
    if went_on is not None and resumed + damaged > 0:
        went_on(resumed, sum(_draws_made(each.run) for each in outcomes), damaged)
    return tree_of(asked, outcomes)


def _draws_made(run: Run) -> int:
    """Return the draws of a case, those of a second count of its claims too."""
    again = bool(run.claims) and bool(run.claims["rerun"].any())
    return run.draws + (plan(run.draws, 0, "philox").draws if again else 0)


def _leaving_word(scenario: Scenario, partials: Path, progress: Callable[[int, int], None] | None) -> Callable[[int, int], None]:
    """Return the progress; it also puts the scenario beside its first partial, so that `sim list` can say what was interrupted."""
    from .scenario import to_toml

    written = False

    def report(done: int, total: int) -> None:
        nonlocal written
        if not written and partials.is_dir():
            written = True
            with contextlib.suppress(OSError):  # a full disk shows where it matters
                (partials / SCENARIO_FILE).write_text(to_toml(scenario), encoding="utf-8")
        if progress is not None:
            progress(done, total)

    return report


def _outcomes(
    scenario: Scenario, threads: int | None, progress: Callable[[int, int], None] | None, partials: Path | None, executor: Executor | None
) -> Iterator[Outcome]:
    """Run every case, one after another; the next is compiled meanwhile."""
    cases = scenario.runs
    planned = [plan(case.draws, case.seed, case.sampler, case.tolerance).draws for case in cases]
    before, ahead = 0, sum(planned)  # draws of the cases before, and of this and those to come
    store = None
    done: dict[int, Run] = {}
    if partials is not None and scenario.cases:
        store = Finished(partials, run_id(scenario), functools.partial(_case_folder, partials))
        done = store.read()
    shared = shared_uniforms(map(uniforms, scenario.cases)) if scenario.cases else None
    to_do = iter([number for number in range(len(cases)) if number not in done])
    with ThreadPoolExecutor(max_workers=1) as pool, _flushed(store):

        def compile_next() -> Future[Model] | None:
            number = next(to_do, None)
            return None if number is None else pool.submit(compile_model, cases[number], shared)

        following = compile_next()
        for number, case in enumerate(cases):
            ahead -= planned[number]
            first = before
            about: tuple[Sequence[ParameterDraw], Mapping[tuple[str, str, str], float]] | None = None
            damaged = store.damaged if store is not None and number == 0 else 0
            if number in done:
                outcome = done.pop(number)
                resumed = _draws_made(outcome)
            else:
                assert following is not None
                model = following.result()
                following = compile_next()
                told: list[int] = []
                report = None if progress is None else _after(_remembered(progress, told), before, ahead)
                folder = _case_folder(partials, number) if partials is not None and scenario.cases else partials
                try:
                    outcome = simulate(model, threads=threads, progress=report, partials=folder, executor=executor)
                except SimError as error:
                    if not scenario.cases:
                        raise
                    named = [replace(problem, came=f"{_name(scenario, number)}: {problem.came}") for problem in error.problems]
                    raise type(error)(named) from error
                outcome = replace(outcome, growth=in_draws(model, outcome))
                if case.sensitivity is not None:
                    outcome = _with_sensitivity(model, outcome, threads, report)
                about = model.parameter_draws, model.seized_gross_kg
                resumed, damaged = outcome.resumed, damaged + outcome.damaged
                if store is not None:
                    store.keep(number, outcome)
                before = max([before, *told])  # second counts of claims and what sensitivity redraws were not planned
            before = max(before, first + _draws_made(outcome))
            parameter_draws, seized_gross_kg = about or labels_of(case)
            yield Outcome(
                scenario=case,
                run=outcome,
                parameter_draws=parameter_draws,
                seized_gross_kg=seized_gross_kg,
                resumed=resumed,
                damaged=damaged,
            )


def _with_sensitivity(model: Model, run: Run, threads: int | None, progress: Callable[[int, int], None] | None) -> Run:
    """Return a run with the indices that its scenario asks for; what they redraw is told as further draws."""
    case = model.scenario
    points = run.draws // run.replicates
    made = Plan(sampler=case.sampler, seed=case.seed, draws_asked=run.draws_asked, replicates=run.replicates, points=points)
    assert case.sensitivity is not None
    more = None if progress is None else _after(progress, _draws_made(run), 0)
    return replace(run, sensitivity=sensitivity.of_run(model, made, case.sensitivity, threads, more))


def _case_folder(partials: Path, number: int) -> Path:
    return partials / f"case-{number:06d}"


@contextlib.contextmanager
def _flushed(store: Finished | None) -> Iterator[None]:
    """Write what is finished where a run is stopped; what stopped it is what is told."""
    try:
        yield
    except BaseException:
        if store is not None:
            with contextlib.suppress(ResultError):
                store.flush()
        raise


def _after(progress: Callable[[int, int], None], before: int, rest: int) -> Callable[[int, int], None]:
    """Return the progress of one case, told as that of all of them: `before` draws are made, `rest` follow it."""
    return lambda done, total: progress(before + done, before + total + rest)


def _remembered(progress: Callable[[int, int], None], told: list[int]) -> Callable[[int, int], None]:
    """Return the progress; it also leaves in `told` how many draws it last spoke of."""

    def report(done: int, total: int) -> None:
        told[:] = [done]
        progress(done, total)

    return report


def _name(scenario: Scenario, number: int) -> str:
    """Name a case by its labels."""
    if not scenario.sweeps:
        return ""
    indices = np.unravel_index(number, [len(sweep.labels) for sweep in scenario.sweeps])
    return ", ".join(f"{sweep.dim} = {sweep.labels[index]}" for sweep, index in zip(scenario.sweeps, indices, strict=True))


def planned_draws(scenario: Scenario) -> int:
    """Return how many draws all cases of a scenario will use; with a tolerance, before it asks for more."""
    return sum(map(_planned, scenario.runs))


def _planned(case: Scenario) -> int:
    return plan(case.draws, case.seed, case.sampler, case.tolerance).draws


def estimated_seconds(scenario: Scenario, threads: int | None = None) -> float:
    """Return how long a scenario will take in threads of this machine, from a pilot of the first case of each law of loads.

    Two runs of different length tell what a draw takes from what a case takes; a shorter one before them loads the engine. Nothing is
    written. A second count of claims that few draws hit is not foreseen, nor what sensitivity redraws.
    """
    alike: dict[str, list[Scenario]] = {}
    for case in scenario.runs:
        alike.setdefault(case.load_law, []).append(case)
    shared = shared_uniforms(map(uniforms, scenario.cases)) if scenario.cases else None
    few, many = _PILOT_DRAWS
    total = 0.0
    for cases in alike.values():
        seconds = {}
        for draws in (few, *_PILOT_DRAWS):
            case = replace(cases[0], draws=draws, keep_draws=0, tolerance=None, claims=())  # few draws, few hits: a second run
            begin = time.perf_counter()
            simulate(compile_model(case, shared), threads=threads)
            seconds[draws] = time.perf_counter() - begin
        each = max(seconds[many] - seconds[few], 0.0) / (many - few)
        total += max(seconds[few] - few * each, 0.0) * len(cases) + each * sum(map(_planned, cases))
    return total


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
            note="; ".join(dict.fromkeys(run.notes[quantity] for run in runs if quantity in run.notes)),
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
        **refused(runs, functools.partial(_name, scenario)),
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


# ------------------------------------------------------------------------------------------------------------------ intervals


@overload
def credible_interval(result: _Labelled, prob: float = 0.9) -> _Labelled: ...
@overload
def credible_interval(result: xr.DataTree, prob: float = 0.9) -> xr.Dataset: ...
def credible_interval(result: xr.Dataset | xr.DataArray | xr.DataTree, prob: float = 0.9) -> xr.Dataset | xr.DataArray:
    """Read equal-tailed credible intervals off the quantiles.

    `result` is a group (`tree["quantiles"]`), a dataset or a variable with the dimension `quantile`; what lacks it is passed on unchanged.

    Returns the same variables with the dimension `ci_bound` = lower, upper in the place of `quantile`, with their attributes and
    `ci_kind` = "eti" and `ci_prob` besides. Nothing is interpolated: the bounds are quantiles that the run estimated, and the same
    call on /mcse gives their standard errors.
    Raises ResultError where there is no dimension `quantile`, or where the two quantiles that `prob` needs are not among those kept.
    """
    labelled = result.to_dataset() if isinstance(result, xr.DataTree) else result
    if "quantile" not in labelled.coords:
        advice = 'Pass tree["quantiles"]' if isinstance(result, xr.DataTree) else "Pass a variable of /quantiles, /mcse or /parameters"
        raise ResultError([Problem(came="there is no coordinate quantile to read an interval from", advice=advice)])
    kept = np.atleast_1d(labelled["quantile"].values)
    pairs = {
        round(float(kept[upper] - kept[lower]), 9): (lower, upper)
        for lower in range(kept.size)
        for upper in range(lower + 1, kept.size)
        if abs(kept[lower] + kept[upper] - 1.0) < 1e-9
    }
    match = next((pair for allowed, pair in pairs.items() if abs(allowed - prob) < 1e-9), None)
    if match is None:
        meant = prob / 100 if prob > 1 else prob  # 90 is a percentage
        nearest = min(pairs, key=lambda allowed: abs(allowed - meant)) if pairs and np.isfinite(prob) else None
        allowed = f"the quantiles kept allow {', '.join(f'{each:g}' for each in sorted(pairs)) or 'no central interval'}"
        exact = nearest is not None and abs(nearest - meant) < 1e-9
        advice = "" if nearest is None else f"Write {nearest:g}" if exact else f"The nearest is {nearest:g}"
        raise ResultError([Problem(came=f"prob = {prob!r} came", allowed=allowed, advice=advice)])
    interval = labelled.isel(quantile=list(match)).drop_vars("quantile").rename(quantile="ci_bound")
    interval = interval.assign_coords(ci_bound=("ci_bound", ["lower", "upper"], {"long_name": "bound of the credible interval"}))
    kind = {"ci_kind": "eti", "ci_prob": float(prob)}
    if isinstance(interval, xr.Dataset):
        for name, variable in interval.data_vars.items():
            if "ci_bound" in variable.dims:
                interval[name].attrs.update(kind)
    return interval.assign_attrs(kind)
