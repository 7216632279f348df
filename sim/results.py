"""Every case of a scenario run, finished ones taken up again; credible intervals."""

from __future__ import annotations

import contextlib
import functools
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import TypeVar, overload

import numpy as np
import xarray as xr

from . import sensitivity
from .ahead import start as compile_ahead
from .dependence import ParameterDraw
from .engines import Executor
from .errors import Problem, ResultError, SimError
from .files import SCENARIO_FILE
from .finished import Finished
from .growth import in_draws
from .labelled import Outcome, case_name, run_id, tree_of
from .model import Model, compile_model, labels_of, shared_uniforms, uniforms
from .partials import beside
from .records import Scenario
from .runner import Plan, plan
from .simulation import Run, simulate

__all__ = ["credible_interval", "estimated_seconds", "partials_folder", "planned_draws", "run", "run_id"]

_PILOT_DRAWS = (2**14, 2**16)

_Labelled = TypeVar("_Labelled", xr.Dataset, xr.DataArray)


def partials_folder(folder: str | os.PathLike[str], scenario: Scenario) -> Path:
    """Return where what is done of a run is kept until it is finished: hidden, beside the folder of its result."""
    return beside(Path(folder) / scenario.name / run_id(scenario))


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
                    named = [replace(problem, came=f"{case_name(scenario, number)}: {problem.came}") for problem in error.problems]
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
