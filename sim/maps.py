"""Tipping maps: where in the plane of two inputs a claim turns likely. Runs cases of a sweep on common random numbers; reads no result."""

from __future__ import annotations

import math
import re
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import tomli_w
import xarray as xr
from scipy import optimize, special

from .distributions import ppf
from .errors import Problem, ScenarioError
from .model import compile_model, shared_uniforms, uniforms
from .records import LAYOUT_NAMES, PARAMETERS, Parameter, Scenario
from .scenario import load_scenario, with_run
from .simulation import simulate
from .sweeps import settable
from .toml_file import nearest, shown

LEVELS = (0.05, 0.5, 0.95)
_DRAWS = 65_536
_TAIL = 0.005  # a parameter is varied between its own quantiles here and at 1 - here
_NOISE = 4.0  # standard errors by which neighbours may stand in the wrong order and the row still count as monotone

Progress = Callable[[int, int], None]


def tipping(
    scenario: Scenario,
    claim: str,
    over: Sequence[str],
    *,
    values: Mapping[str, Sequence[float]] | None = None,
    points: int = 9,
    refinements: int = 2,
    draws: int | None = None,
    threads: int | None = None,
    progress: Progress | None = None,
) -> xr.Dataset:
    """Return the probability of a claim over a grid of two inputs, and along the second the value at which the claim tips.

    over          two paths as in `--set`: parameter.ID, which pins that parameter at a number in place of its law, or a path to a number
    values        path -> numbers of the grid; where none are given, `points` from the .5 % to the 99.5 % quantile of the parameter's law
                  (equal ratios where it spans a factor of 10 or more, else equal steps), or from 0 to 1 for a correlation
    refinements   times that the second input is halved between the neighbours of probability .5, unless its values are given
    draws         of each case, by default those of the scenario but at most 65,536
    progress      called with (cases done, cases known so far)

    Every case has the same points under the same names, so that neighbours differ by what the inputs do and not by chance. Conditions do
    not weight a map: where the scenario has some, the attribute `note` says so.

    Returns a dataset over the two inputs, whose dimensions bear their names: `probability`, `probability_mcse`, `lower_bound`,
    `upper_bound`; and `tipping_value` (first input, level) with `tipping_value_mcse`: the second input at which the probability is .05,
    .5, .95, by monotone interpolation on the normal-score scale; NaN where the row does not reach the level or is not `monotone`.

    Raises ScenarioError for a claim or path that does not exist, a value outside an input's domain, or a scenario that is swept itself.
    """
    axes = _checked(scenario, claim, over, values or {}, points)
    asked = with_run(scenario, draws=min(scenario.draws, _DRAWS) if draws is None else draws)
    known: dict[tuple[float, float], tuple[float, ...]] = {}
    first, second = over
    rows, columns = axes
    given = second in (values or {})
    for stage in range(1 if given else refinements + 1):
        new = [column for column in columns if (rows[0], column) not in known]
        if not new:
            break
        total = len(known) + len(rows) * len(new)
        cases = _cases(asked, claim, over, (rows, new))
        shared = shared_uniforms(map(uniforms, cases))
        for number, case in enumerate(cases):
            place = rows[number // len(new)], new[number % len(new)]
            found = simulate(compile_model(case, shared), threads=threads).claims
            known[place] = tuple(float(found[name][0]) for name in _ABOUT)
            if progress is not None:
                progress(len(known), total)
        if stage < refinements and not given:
            columns = _refined(columns, np.array([[known[row, column][0] for column in columns] for row in rows]))
    grids = np.array([[known[row, column] for column in columns] for row in rows])
    return _dataset(asked, claim, (first, second), (rows, columns), grids)


# --- the grid -------------------------------------------------------------------------------------------------------------------------


def _checked(
    scenario: Scenario, claim: str, over: Sequence[str], values: Mapping[str, Sequence[float]], points: int
) -> tuple[list[float], list[float]]:
    """Return the numbers along both inputs, in ascending order. Raises ScenarioError with all that is wrong."""
    problems = []
    ids = [each.id for each in scenario.claims]
    if claim not in ids:
        allowed = f"the claims are {', '.join(ids)}" if ids else "the scenario has none"
        problems.append(Problem(came=f"unknown claim {shown(claim)}", allowed=allowed, advice=nearest(claim, ids)))
    for sweep in scenario.sweeps:
        came, allowed = f"the scenario sweeps {sweep.dim}", "a tipping map varies its own two inputs"
        problems.append(Problem(came=came, allowed=allowed, advice=f"Fix it with --set {sweep.path}=..."))
    if len(over) != 2 or len({_path(scenario, path) for path in over}) != 2:
        problems.append(Problem(came=f"over = {list(over)}", allowed="a map has two different inputs", advice="Name two paths"))
    paths = (path for path in settable(scenario.document) if not path.startswith(("condition.", "sensitivity", "growth.")))
    known = [*paths, *(f"parameter.{block.id}" for block in scenario.parameters)]
    axes = []
    for path in over:
        place = Problem(file=f"--over {path}", came="there is no such path", allowed="a path is parameter.ID, or as in --set")
        if path not in known:
            problems.append(replace(place, advice=nearest(path, known)))
            continue
        axis = [float(each) for each in values[path]] if path in values else _chosen(scenario, path, points)
        if len(set(axis)) < 2 or not all(map(math.isfinite, axis)):
            came = f"values {axis}" if path in values else "there is no range to choose values from"
            problems.append(replace(place, came=came, allowed="an input takes two different numbers or more", advice="Give its values"))
        axes.append(sorted(set(axis)))
    if problems:
        raise ScenarioError(problems)
    return axes[0], axes[1]


def _path(scenario: Scenario, path: str) -> str:
    """Return the path of a sweep: a parameter alone stands for its law."""
    return f"{path.removesuffix('.distribution')}.distribution" if _block(scenario, path) is not None else path


def _block(scenario: Scenario, path: str) -> Parameter | None:
    return next((block for block in scenario.parameters if path in (f"parameter.{block.id}", f"parameter.{block.id}.distribution")), None)


def _chosen(scenario: Scenario, path: str, points: int) -> list[float]:
    """Return numbers over the range of an input; none where it has none of its own."""
    block = _block(scenario, path)
    if block is None:
        return np.linspace(0.0, 1.0, points).tolist() if path.endswith((".correlation", ".value")) else []
    low, high = (float(x) for x in ppf(block.law, (_TAIL, 1.0 - _TAIL)))
    if not low < high:
        return []
    if 0.0 < 10.0 * low <= high:
        return [math.exp(each) for each in np.linspace(math.log(low), math.log(high), points)]
    return [float(each) for each in np.linspace(low, high, points)]


def _refined(columns: list[float], p: np.ndarray) -> list[float]:
    """Return the columns and the middles between neighbours where some row passes .5; p (rows, columns)."""
    crossed = ((p[:, :-1] < 0.5) != (p[:, 1:] < 0.5)).any(axis=0)
    low, high = np.array(columns[:-1])[crossed], np.array(columns[1:])[crossed]
    middle = np.where((low > 0.0) & (high > 2.0 * low), np.sqrt(np.abs(low * high)), 0.5 * (low + high))
    return sorted({*columns, *middle.tolist()})


def _cases(scenario: Scenario, claim: str, over: Sequence[str], axes: tuple[list[float], list[float]]) -> list[Scenario]:
    """Return the cases of a grid, the second input fastest, each with the one claim that is asked about."""
    names = [f"input_{number}" for number in (1, 2)]
    sweeps = [{"dim": name, "path": _path(scenario, path), "values": axis} for name, path, axis in zip(names, over, axes, strict=True)]
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "scenario.toml"
        file.write_text(tomli_w.dumps(scenario.document | {"sweep": sweeps}), encoding="utf-8")
        try:
            cases = load_scenario(file).cases
        except ScenarioError as error:
            raise ScenarioError([_over(problem, over) for problem in error.problems]) from error
    about = next(each for each in scenario.claims if each.id == claim)
    kept: dict[str, Any] = {"keep_draws": 0, "tolerance": None, "growths": (), "conditions": ()}
    return [
        replace(
            case,
            contrasts=tuple(each for each in case.contrasts if each.id == about.contrast),
            claims=tuple(each for each in case.claims if each.id == claim),
            **kept,
        )
        for case in cases
    ]


def _over(problem: Problem, over: Sequence[str]) -> Problem:
    """Return a problem of the file that was made, as one of what was asked."""
    match problem.path:
        case ("sweep", int(number), *_):
            came = re.sub(r"^input_\d = [^:]*: ", "", problem.came)  # the case
            return replace(problem, file=f"--over {over[number - 1]}", line=None, path=(), came=came)
    return problem


# --- the map --------------------------------------------------------------------------------------------------------------------------

_ABOUT = {
    "probability": "share of the draws with a defined ratio in which the claim is true",
    "probability_mcse": "Monte Carlo standard error of the probability",
    "lower_bound": "lower bound of the probability as to Monte Carlo error, one-sided 95 %",
    "upper_bound": "upper bound of the probability as to Monte Carlo error, one-sided 95 %",
}


def tipping_values(x: np.ndarray, p: np.ndarray, mcse: np.ndarray) -> tuple[np.ndarray, np.ndarray, bool]:
    """Return where a row of probabilities passes LEVELS, with standard errors, and whether it is monotone within its noise.

    The row is made monotone by isotonic regression, then interpolated between the two neighbours of a level on the scale of normal scores,
    on which the probability of a claim about a product is nearly straight. An error is that of the probability over the slope.

    x (c,) ascending;  p, mcse (c,)

    >>> x = np.linspace(-3.0, 3.0, 13)
    >>> tipping_values(x, special.ndtr(2.0 * (x - 0.1)), np.zeros(13))[0].round(9).tolist()
    [-0.722426813, 0.1, 0.922426813]
    """
    rising = bool(p[-1] >= p[0])
    sign = 1.0 if rising else -1.0
    found, errors = np.full(len(LEVELS), np.nan), np.full(len(LEVELS), np.nan)
    if np.isnan(p).any():
        return found, errors, False
    back = -sign * np.diff(p)
    monotone = bool((back <= _NOISE * np.hypot(mcse[1:], mcse[:-1])).all())
    if not monotone:
        return found, errors, False
    smooth = optimize.isotonic_regression(p, increasing=rising).x
    least = 1e-7  # scores end at 5.2: a probability of 0 is not known to be one
    scores = special.ndtri(np.clip(smooth, least, 1.0 - least))
    for k, level in enumerate(LEVELS):
        goal = special.ndtri(level)
        passed = np.flatnonzero((sign * scores[:-1] < sign * goal) & (sign * scores[1:] >= sign * goal))
        if passed.size:
            i = passed[0]
            share = (goal - scores[i]) / (scores[i + 1] - scores[i])
            found[k] = x[i] + share * (x[i + 1] - x[i])
            slope = abs((scores[i + 1] - scores[i]) / (x[i + 1] - x[i])) * math.exp(-0.5 * goal * goal) / math.sqrt(2.0 * math.pi)
            errors[k] = math.hypot((1.0 - share) * mcse[i], share * mcse[i + 1]) / slope
    return found, errors, True


def _dataset(scenario: Scenario, claim: str, over: tuple[str, str], axes: tuple[list[float], list[float]], grids: np.ndarray) -> xr.Dataset:
    """Return the map; grids (rows, columns, 4) in the order of _ABOUT."""
    dims = _dimensions(over)
    units = [PARAMETERS[block.name].unit if (block := _block(scenario, path)) is not None else "1" for path in over]
    found = [tipping_values(np.array(axes[1]), row[:, 0], row[:, 1]) for row in grids]
    said = f"{over[1]} at which the probability is the level"
    level = (dims[0], "level")
    variables: dict[str, Any] = {
        name: (dims, grids[..., k], {"units": "1", "long_name": text}) for k, (name, text) in enumerate(_ABOUT.items())
    }
    variables["tipping_value"] = (level, np.array([row[0] for row in found]), {"units": units[1], "long_name": said})
    of_error = {"units": units[1], "long_name": f"Monte Carlo standard error: {said}"}
    variables["tipping_value_mcse"] = (level, np.array([row[1] for row in found]), of_error)
    of_row = {"units": "1", "long_name": "whether the probability rises or falls all along the second input, within its error"}
    variables["monotone"] = ((dims[0],), np.array([row[2] for row in found]), of_row)
    coordinates: dict[str, Any] = {
        dim: (dim, axis, {"units": unit, "long_name": path}) for dim, axis, unit, path in zip(dims, axes, units, over, strict=True)
    }
    coordinates["level"] = ("level", list(LEVELS), {"units": "1", "long_name": "probability of the claim"})
    text = next(each.text for each in scenario.claims if each.id == claim)
    attributes: dict[str, Any] = {"Conventions": "CF-1.11", "title": text, "claim": claim, "name": scenario.name}
    attributes |= {"draws": scenario.draws, "seed": str(scenario.seed)}  # a seed may need 64 bits without a sign
    if scenario.conditions:
        attributes["note"] = "conditions do not weight these numbers"
    return xr.Dataset(variables, coords=coordinates, attrs=attributes)


def _dimensions(over: tuple[str, str]) -> tuple[str, str]:
    """Return names for the two inputs, from their paths.

    >>> _dimensions(("parameter.detection_rate[southwest-ports]", "parameter.dose"))
    ('detection_rate_southwest_ports', 'dose')
    """
    names = []
    for number, path in enumerate(over, start=1):
        name = re.sub(r"[^A-Za-z0-9]+", "_", path.split(".", 1)[-1]).strip("_")[:50]
        name = f"swept_{name}" if name in LAYOUT_NAMES | {"level", "monotone"} or not name[:1].isalpha() else name
        names.append(f"{name}_{number}" if name in names else name)
    return names[0], names[1]
