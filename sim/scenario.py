"""Scenario files: TOML in, checked records out, and back; what the tables mean together, and every message about that.

Stages: `toml_file.py` reads -> `--set` and the values of sweeps -> `schema.py` checks each table -> the records of `records.py` -> the
cross-block checks of `model.py`. Each stage adds its problems to one list, so that a reader sees all mistakes of a file at once.
"""

from __future__ import annotations

import copy
import hashlib
import itertools
import math
import os
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import tomli_w
from pydantic import BaseModel

from .conditions import read_condition
from .distributions import Law, cdf, median, support
from .elicitation import LawError, as_mapping, law
from .errors import EvidenceError, Problem, ScenarioError
from .evidence import FORMS, Row, check_rows, equal_rows, odd_labels, period_start, read_table, row_as_mapping, row_from_mapping
from .limits import MAX_PROBLEMS
from .matching import Idle, idle, match, odd_tablets, place_of, say_idle
from .model import check
from .model import warnings as model_warnings
from .records import (
    DIMENSIONS,
    PARAMETERS,
    QUANTITIES,
    RESULT_FORMS,
    Claim,
    Condition,
    Contrast,
    Correlation,
    Growth,
    Parameter,
    Result,
    Scenario,
    Sensitivity,
    Sweep,
)
from .schema import (
    ClaimBlock,
    ConditionBlock,
    ContrastBlock,
    CorrelationBlock,
    EvidenceRow,
    EvidenceTable,
    GroupsTable,
    GrowthBlock,
    Heading,
    ModelTable,
    ParameterBlock,
    ResultTable,
    RunTable,
    ScenarioFile,
    SensitivityTable,
    Source,
    SourcesTable,
    as_far,
    json_schema,
    legible_groups,
    validated,
)
from .sweeps import Indices, Swept, block_id, combinations, name_cases, override, read_sweeps, said_once, touched_by, with_values
from .toml_file import KeyPath, TomlFile, check_scalars, nearest, read_toml, shown
from .units import closest

__all__ = ["json_schema", "load_scenario", "to_toml", "with_run"]

MAX_KEPT_BYTES = 1 << 31  # of kept draws, or of the results of all cases, in memory
NUMBERS_OF_A_CELL = 29  # thirteen quantiles, their errors, three moments
INFINITE: KeyPath = ("model", "load_truncation")  # the one entry that may be inf


# --- evidence and sources -------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class _InUse:
    """The evidence in use; its labels by dimension, in the order they are shown, those that a selection left out, those without a row."""

    rows: tuple[Row, ...]
    labels: Mapping[str, tuple[str, ...]]
    left_out: Mapping[str, frozenset[str]]
    without_rows: Mapping[str, frozenset[str]]

    def missing(self, label: str, known: Sequence[str], kind: str, path: KeyPath) -> Problem:
        """Return what is wrong with a label that is not in use."""
        came, allowed, advice = f"unknown {kind} {shown(label)}", f"known are {_first(known)}", nearest(label, known)
        if label in self.left_out[kind]:
            came, allowed = f"{kind} {shown(label)} is not in use", f"evidence.{kind}s leaves it out"
            advice = "Select it there, or delete it here"
        return Problem(path=path, came=came, allowed=allowed, advice=advice)


_Once = Callable[..., Any]
_Table = TypeVar("_Table", bound=BaseModel)
_Leftovers = dict[Idle, Problem | None]
"""What serves nothing, with what is wrong about it; None where that is said elsewhere. An error, but a warning after `--set`, and nothing
where another case of the sweeps needs it."""


def _first(labels: Sequence[str]) -> str:
    return ", ".join(labels[:12]) + (", ..." if len(labels) > 12 else "")


def _inside(name: str, folder: Path, path: KeyPath, problems: list[Problem]) -> Path | None:
    """Return the file that a scenario names, or None where that lies outside the scenario's folder tree, links followed."""
    try:
        if not Path(name).is_absolute() and (folder / name).resolve().is_relative_to(folder.resolve()):
            return folder / name
        came, advice = f"{shown(name)} leads outside", "Copy the file beside the scenario"
    except (OSError, RuntimeError, ValueError) as error:  # a loop of links, a name with NUL or too long
        came, advice = f"{shown(name)} cannot be followed ({type(error).__name__})", ""
    allowed = "a path is relative to the scenario file and stays inside its folder"
    problems.append(Problem(path=path, came=came, allowed=allowed, advice=advice))
    return None


def _of_a_file(name: str, path: KeyPath, problems: Sequence[Problem]) -> list[Problem]:
    """Return the problems of a file that the scenario names at `path`; one with the whole of it is said there."""
    return [
        replace(problem, file=None, path=path, came=f"{shown(name)}: {problem.came}") if problem.line is None else problem
        for problem in problems
    ]


def _read_sources(table: EvidenceTable, folder: Path, problems: list[Problem]) -> dict[str, Source]:
    """Return the sources by key, from the file that the scenario names or from the scenario itself."""
    if not isinstance(table.sources, str):
        return table.sources.root if table.sources is not None else {}
    target = _inside(table.sources, folder, ("evidence", "sources"), problems)
    if target is None:
        return {}
    try:
        file = read_toml(target, "a sources file")
    except ScenarioError as error:
        problems.extend(_of_a_file(table.sources, ("evidence", "sources"), error.problems))
        return {}
    found = check_scalars(file.document)
    sources = validated(SourcesTable, file.document, (), found)
    problems.extend(file.locate(problem) for problem in found)
    return sources.root if sources is not None else {}


def _read_rows(tables: Sequence[str] | None, raw_rows: Any, file: TomlFile, folder: Path, problems: list[Problem]) -> list[Row] | None:
    """Return the rows of all tables, then those of the scenario itself, after adding what is wrong; None where not all labels are known.

    A wrong row of the scenario whose labels can be read stands in as one of nothing, so that what names them is checked all the same.
    """
    n_before = len(problems)
    rows: list[Row] = []
    whole = tables is not None
    seen: dict[Path, str] = {}
    for number, name in enumerate(tables or (), start=1):
        path: KeyPath = ("evidence", "tables", number)
        target = _inside(name, folder, path, problems)
        if target is None:
            continue
        real = target.resolve()
        if real in seen:
            came = f"{shown(name)} is the same file as {shown(seen[real])}"
            problems.append(Problem(path=path, came=came, allowed="its rows would count twice", advice="Delete one"))
            continue
        seen[real] = name
        found, wrong = read_table(target)
        rows += found
        problems += _of_a_file(name, path, wrong)
    if not isinstance(raw_rows, list):
        problems.append(Problem(path=("evidence", "row"), came=shown(raw_rows), allowed="rows are tables", advice="Write [[evidence.row]]"))
        return None
    whole = whole and len(problems) == n_before
    for number, raw in enumerate(raw_rows, start=1):
        path = ("evidence", "row", number)
        refused: list[Problem] = []
        written = as_far(EvidenceRow, raw, path, refused)
        row, wrong = row_from_mapping(raw, path) if written is not None else (None, [])
        better = {problem.path for problem in wrong if problem.path[-1] in ("form", "unit") and isinstance(raw.get(problem.path[-1]), str)}
        refused = [problem for problem in refused if problem.path not in better]  # evidence.py knows what is meant by all, or by ton
        told = {problem.path for problem in refused}
        problems += [*refused, *(problem for problem in wrong if problem.path not in told)]
        if row is None and written is not None and written.corridor is not None and written.period is not None:
            row = Row(corridor=written.corridor, period=written.period, form="unrecorded", n_events=0, amount=0.0, unit="kg")
        whole = whole and row is not None
        rows += [replace(row, where=f"{file.name}:{file.lines.get(path, 1)}")] if row is not None else []
    if not rows and len(problems) == n_before and tables is not None:
        came, allowed = "there is no row of evidence", "a scenario needs evidence"
        problems.append(Problem(path=("evidence",), came=came, allowed=allowed, advice="Give tables, or [[evidence.row]]"))
    return rows if rows and whole else None


def _select(rows: Sequence[Row], selected: Mapping[str, Sequence[str] | None], problems: list[Problem]) -> tuple[_InUse | None, _Leftovers]:
    """Return the evidence of the `selected` corridors and periods (None: all), None where that is wrong; and labels without any."""
    n_before = len(problems)
    known = {kind: tuple(dict.fromkeys(getattr(row, kind) for row in rows)) for kind in selected}
    chosen = {kind: tuple(labels) if labels is not None else known[kind] for kind, labels in selected.items()}
    places: dict[tuple[str, str], KeyPath] = {}
    for kind, labels in selected.items():
        places |= {(kind, label): ("evidence", f"{kind}s", number) for number, label in enumerate(labels or (), start=1)}
    for (kind, label), path in places.items():
        if label not in known[kind]:
            came, allowed = f"no row of evidence has the {kind} {shown(label)}", f"the {kind}s are {_first(known[kind])}"
            problems.append(Problem(path=path, came=came, allowed=allowed, advice=nearest(label, known[kind])))
    if len(problems) > n_before:
        return None, {}
    kept = [row for row in rows if all(getattr(row, kind) in labels for kind, labels in chosen.items())]
    problems += check_rows(kept)
    without_rows = {kind: frozenset(labels) - {getattr(row, kind) for row in kept} for kind, labels in chosen.items()}
    leftovers: _Leftovers = {}
    for kind, labels in chosen.items():
        for label in (label for label in labels if label in without_rows[kind]):
            came, allowed = f"no row is left for the {kind} {shown(label)}", "a selected label needs evidence"
            path = places.get((kind, label), ("evidence",))
            advice = "Delete it, or select its rows too"
            leftovers[("evidence", f"{kind}s"), label] = Problem(path=path, came=came, allowed=allowed, advice=advice)
    if not kept:
        problems += [problem for problem in leftovers.values() if problem is not None]
    if len(problems) > n_before:
        return None, {}
    left_out = {kind: frozenset(known[kind]) - set(chosen[kind]) for kind in chosen}
    return _InUse(rows=tuple(kept), labels=chosen, left_out=left_out, without_rows=without_rows), leftovers


# --- from tables to records -----------------------------------------------------------------------------------------------------------


def _check_corridors(groups: Mapping[str, list[str]], shared: Sequence[list[str]], in_use: _InUse, problems: list[Problem]) -> _Leftovers:
    """Add what is wrong with the corridors that `[groups]` and `shared_load_scale` name, and return those that are not in use."""
    leftovers: _Leftovers = {}
    corridors = in_use.labels["corridor"]
    for group in groups:
        if group in corridors or group in in_use.left_out["corridor"]:
            came = f"the group {shown(group)} bears the name of a corridor"
            allowed = "groups and corridors share one list of labels in results"
            problems.append(Problem(path=("groups", group), came=came, allowed=allowed, advice="Rename the group"))
    lists: list[tuple[KeyPath, list[str], str]] = [
        *((("groups", group), members, "groups may overlap but not nest") for group, members in groups.items()),
        *((("model", "shared_load_scale", n), members, "a list holds corridors") for n, members in enumerate(shared, start=1)),
    ]
    owner: dict[str, KeyPath] = {}
    for base, members, rule in lists:
        for number, member in enumerate(members, start=1):
            path = (*base, number)
            if member in groups and member not in corridors:
                advice = f"List its members: {', '.join(groups[member])}"
                problems.append(Problem(path=path, came=f"{shown(member)} is a group", allowed=rule, advice=advice))
            elif member in in_use.left_out["corridor"]:
                leftovers[base, member] = in_use.missing(member, corridors, "corridor", path)
            elif member in in_use.without_rows["corridor"]:
                leftovers[base, member] = None
            elif member not in corridors:
                problems.append(in_use.missing(member, corridors, "corridor", path))
            elif base[0] == "model" and owner.setdefault(member, base) != base:
                came, allowed = f"{shown(member)} stands in list {owner[member][-1]} too", "a corridor has one load scale"
                problems.append(Problem(path=path, came=came, allowed=allowed, advice="Delete it from one list"))
    return leftovers


def _law(block: ParameterBlock, raw: Mapping[str, Any], path: KeyPath, problems: list[Problem]) -> Law | None:
    """Return the law of a block, within its parameter's domain, or None after adding what is wrong.

    A misspelt name is taken for the one that its message names, so that what is wrong with its law is said at once.
    """
    name = block.name if block.name is not None else closest(str(raw.get("name")), PARAMETERS)
    if name is None or block.distribution is None:
        return None
    entry = PARAMETERS[name]
    try:
        found = law(raw["distribution"], entry.unit)
    except LawError as error:
        problems.extend(
            replace(problem, path=path + tuple(part + 1 if isinstance(part, int) else part for part in problem.path))
            for problem in error.problems
        )
        return None
    low, high = support(found)
    touches = entry.open_low and low == entry.low and float(cdf(found, entry.low)) > 0  # a bound that is excluded may be touched, not hit
    if low >= entry.low and high <= entry.high and not touches:
        return found
    domain = f"{'(' if entry.open_low else '['}{entry.low:g}, {entry.high:g}{']' if math.isfinite(entry.high) else ')'}"
    unit = "" if entry.unit == "1" else f" {entry.unit}"
    if low == high:
        came, advice = f"{low:g}{unit} is outside the domain", "Give a number inside it"
    else:
        bounds = [f"lower = {entry.low:g}"] * (low < entry.low) + [f"upper = {entry.high:g}"] * (high > entry.high)
        came = f"the law reaches from {low:g} to {high:g}{unit}, beyond the domain"
        advice = f"Truncate it with {' and '.join(bounds)}, or choose another law" if bounds else f"Give {entry.low:g} no probability"
    middle = median(found)
    if entry.high == 1 < middle < 100:  # a law that was meant in percent would not be mended by a truncation
        advice = f"A fraction is 0..1: {middle:.4g} % is {middle / 100:.4g}"
    problems.append(Problem(path=path, came=came, allowed=f"{name} lies in {domain}{unit}", advice=advice))
    return None


def _parameter(
    block: ParameterBlock,
    raw: Mapping[str, Any],
    path: KeyPath,
    its_law: Law | None,
    groups: Mapping[str, list[str]],
    in_use: _InUse | None,
    problems: list[Problem],
) -> tuple[Parameter | None, _Leftovers]:
    """Return the record of one block, if `its_law` could be read, and the labels that only a selection makes unknown.

    In a selector of corridors a group stands for its members, each once. `in_use` None is evidence that could not be read: then only
    forms are checked.
    """
    n_before, name = len(problems), block_id(raw)
    leftovers: _Leftovers = {}
    selectors: dict[str, tuple[str, ...] | None] = {}
    forms = PARAMETERS[block.name].forms if block.name is not None else FORMS
    for kind in DIMENSIONS:
        labels = getattr(block, kind)
        left_out = in_use.left_out[kind] if in_use is not None and kind != "form" else frozenset()
        known = forms if kind == "form" else in_use.labels[kind] if in_use is not None else None
        known = (*known, *groups) if known is not None and kind == "corridor" else known
        for number, label in enumerate(labels or (), start=1):
            members = groups.get(label, [label]) if kind == "corridor" else [label]
            leftovers |= {(place_of(name, kind), member): None for member in members if member in left_out}
            if known is None or label in known:
                continue
            place = (*path, kind, number) if isinstance(raw[kind], list) else (*path, kind)
            if kind == "form":
                came, allowed = f"{raw.get('name')} has no form {shown(label)}", f"it is looked up by {', '.join(forms)}"
                problems.append(Problem(path=place, came=came, allowed=allowed, advice=nearest(label, forms)))
            elif in_use is not None and label in left_out:
                leftovers[place_of(name, kind), label] = in_use.missing(label, known, kind, place)
            elif in_use is not None:
                problems.append(in_use.missing(label, known, kind, place))
        expanded = (member for label in labels or () for member in (groups.get(label, [label]) if kind == "corridor" else [label]))
        selectors[kind] = tuple(dict.fromkeys(expanded)) if labels is not None else None
    if block.varies_by and "correlation" not in raw:
        allowed, advice = "a block with varies_by says how alike its draws are", "Add correlation = 0.8; 0 is independent"
        problems.append(Problem(path=path, came="correlation is missing", allowed=allowed, advice=advice))
    if block.correlation is not None and "varies_by" not in raw:
        came, allowed = "there is nothing to correlate", "correlation needs varies_by: a block without it is one draw"
        problems.append(Problem(path=(*path, "correlation"), came=came, allowed=allowed, advice='Add varies_by = ["period"]'))
    if its_law is None or block.name is None or block.varies_by is None or len(problems) > n_before:
        return None, leftovers
    varies_by = tuple(kind for kind in DIMENSIONS if kind in block.varies_by)
    parameter = Parameter(id=name, name=block.name, law=its_law, varies_by=varies_by, correlation=block.correlation, path=path, **selectors)
    return parameter, leftovers


def _correlation(block: CorrelationBlock, raw: Mapping[str, Any], path: KeyPath, problems: list[Problem]) -> Correlation | None:
    """Return the record of one block, or None after adding what is wrong with it alone."""
    n_before, n = len(problems), len(block.between or ())
    if ("value" in raw) == ("matrix" in raw):
        came = "both value and matrix are given" if "value" in raw else "neither value nor matrix is given"
        advice = "value suits two blocks, matrix single draws"
        problems.append(Problem(path=path, came=came, allowed="exactly one of them is needed", advice=advice))
    if block.copula == "t" and "df" not in raw:
        problems.append(Problem(path=path, came="df is missing", allowed="a t copula has degrees of freedom >= 1", advice="Add df = 4"))
    if block.copula == "gaussian" and block.df is not None:
        came, allowed = "a gaussian copula has no df", "only copula t has one"
        problems.append(Problem(path=(*path, "df"), came=came, allowed=allowed, advice="Delete df"))
    if block.matrix is not None and block.between is not None:
        came = ""
        if len(block.matrix) != n or any(len(row) != n for row in block.matrix):
            came, advice = f"a matrix of {len(block.matrix)} rows for {n} names in between", f"Give {n} rows of {n} numbers"
        elif any(block.matrix[i][i] != 1 for i in range(n)):
            came, advice = "a diagonal that is not 1", "A draw has correlation 1 with itself"
        elif wrong := [(i, j) for i in range(n) for j in range(i) if block.matrix[i][j] != block.matrix[j][i]]:
            (i, j) = wrong[0]
            came = f"row {i + 1} column {j + 1} is {block.matrix[i][j]:g}, row {j + 1} column {i + 1} is {block.matrix[j][i]:g}"
            advice = "Make them equal"
        if came:
            allowed = "a correlation matrix is square and symmetric with 1 on its diagonal"
            problems.append(Problem(path=(*path, "matrix"), came=came, allowed=allowed, advice=advice))
    if len(problems) > n_before or block.between is None:
        return None
    matrix = tuple(map(tuple, block.matrix)) if block.matrix is not None else None
    return Correlation(
        id=block_id(raw), between=tuple(block.between), value=block.value, matrix=matrix, copula=block.copula, df=block.df, path=path
    )


def _stand_in(block: ParameterBlock) -> Law | None:
    """Return a law within the domain of a block whose own was refused: which blocks match, and what goes together, hangs on no law."""
    if block.name is None:
        return None
    entry = PARAMETERS[block.name]
    return Law(kind="constant", parameters=(("value", entry.high if math.isfinite(entry.high) else entry.low + 1.0),))


def _ids_in_doubt(found: Sequence[Problem]) -> bool:
    """Return whether something wrong with the parameters leaves in doubt what they are called and where they hold."""
    doubtful = {"id", "name", *DIMENSIONS}
    return any(problem.path[:1] == ("parameter",) and (len(problem.path) < 3 or problem.path[2] in doubtful) for problem in found)


def _unknown_names(document: Mapping[str, Any], found: Sequence[Problem]) -> list[Problem]:
    """Return a problem for each name in a correlation that no parameter block bears, where all ids can be trusted.

    Where nothing else is wrong, `dependence.py` says so, and more: it knows the single draws.
    """
    kinds = [raw if isinstance(raw := document.get(kind, []), list) else [] for kind in ("parameter", "correlation")]
    parameters, correlations = ([raw if isinstance(raw, dict) else {} for raw in blocks] for blocks in kinds)
    if _ids_in_doubt(found):
        return []
    ids = [block_id(raw) for raw in parameters]
    problems = []
    for number, raw in enumerate(correlations, start=1):
        between = raw.get("between")
        for name in between if isinstance(between, list) else ():
            if isinstance(name, str) and name.partition("@")[0] not in ids:
                path = ("correlation", number, "between")
                came, allowed = (
                    f'"{name}" is not a parameter of this scenario',
                    "the ids of parameter blocks, or of single draws as id@label",
                )
                problems.append(Problem(path=path, came=came, allowed=allowed, advice=nearest(name, ids)))
    return problems


def _contrast(
    block: ContrastBlock, path: KeyPath, groups: Mapping[str, list[str]], in_use: _InUse | None, problems: list[Problem]
) -> Contrast | None:
    """Return the record of one block, or None after adding each label that is not in use; whether there is evidence is not asked here."""
    given = {side: getattr(block, side) for side in ("numerator", "denominator") if getattr(block, side) is not None}
    unknown = [_unknown_labels(result, (*path, side), groups, in_use, problems) for side, result in given.items()]
    if any(unknown) or len(given) < 2:
        return None
    return Contrast(id=block.id, path=path, **{side: Result(**result.model_dump()) for side, result in given.items()})


def _unknown_labels(
    result: ResultTable, path: KeyPath, groups: Mapping[str, list[str]], in_use: _InUse | None, problems: list[Problem]
) -> bool:
    """Add each label of a result that is not in use, and return whether there is one."""
    n_before = len(problems)
    for kind in ("corridor", "period"):
        known = (*in_use.labels[kind], *(groups if kind == "corridor" else ())) if in_use is not None else ()
        label = getattr(result, kind)
        if in_use is not None and label is not None and label not in known:
            problems.append(in_use.missing(label, known, kind, (*path, kind)))
    return len(problems) > n_before


def _growth(
    block: GrowthBlock,
    path: KeyPath,
    groups: Mapping[str, list[str]],
    in_use: _InUse | None,
    taken: Mapping[str, Collection[Any]],
    problems: list[Problem],
) -> Growth | None:
    """Return the record of one block, or None after adding what is wrong; `taken` are the ids of contrasts and of claims."""
    n_before = len(problems)
    if in_use is not None:
        for key, known in (("corridor", (*in_use.labels["corridor"], *groups)), ("quoted", in_use.labels["corridor"])):
            label = getattr(block, key)
            if label is not None and label not in known:
                problems.append(in_use.missing(label, known, "corridor", (*path, key)))
        for number, period in enumerate(block.periods or (), start=1):
            if period not in in_use.labels["period"]:
                problems.append(in_use.missing(period, in_use.labels["period"], "period", (*path, "periods", number)))
    starts = [start for period in block.periods or () if (start := period_start(period)) is not None]
    if len(starts) == 2 and starts[0] > starts[1]:
        came, allowed = f"{block.periods[0]} begins after {block.periods[1]}", "the earlier period comes first"
        problems.append(Problem(path=(*path, "periods"), came=came, allowed=allowed, advice="Swap them"))
    if in_use is None or None in (block.id, block.corridor, block.periods, block.quantity, block.form):  # refused, and told of
        return None
    before, after = block.periods
    growth = Growth(path=path, periods=(before, after), **block.model_dump(exclude={"periods", "note"}))
    for kind, made in (("contrast", [each.id for each in growth.contrasts]), ("claim", [growth.decrease.id])):
        for name in made:
            if name in taken[kind]:
                came, allowed = f"the id {shown(name)} is that of a {kind} too", f"a growth makes this {kind} itself"
                problems.append(Problem(path=(*path, "id"), came=came, allowed=allowed, advice="Rename one of them"))
    if len(problems) == n_before and growth.quoted is not None:
        rows = [row for row in in_use.rows if row.corridor == growth.quoted and row.period in growth.periods]
        units, lacking = sorted({row.unit for row in rows}), set(growth.periods) - {row.period for row in rows}
        if lacking or len(units) > 1:
            came = f"the rows of {growth.quoted} are in {' and '.join(units)}"
            came = f"{growth.quoted} has no row in {min(lacking)}" if lacking else came
            allowed, advice = "quoted figures stand in both periods, in one unit", "Add a row, or write both in one unit"
            problems.append(Problem(path=(*path, "quoted"), came=came, allowed=allowed, advice=advice))
    return growth if len(problems) == n_before else None


def _claim(block: ClaimBlock, raw: Mapping[str, Any], path: KeyPath, known: Sequence[str], problems: list[Problem]) -> Claim | None:
    """Return the record of one block, or None after adding what is wrong; `known` are the ids of contrasts, of wrong ones too."""
    n_before = len(problems)
    given = [key for key in ("above", "below", "between") if key in raw]
    if len(given) != 1:
        came = f"both {' and '.join(given)} are given" if given else "none of above, below and between is given"
        came = came.replace("both", "all of", 1) if len(given) == 3 else came
        advice = "Delete all but one, or write two claims" if given else "Add above = 1.0"
        problems.append(Problem(path=path, came=came, allowed="exactly one of them is needed", advice=advice))
    if block.between is not None and not block.between[0] < block.between[1]:
        came, allowed = f"between = [{block.between[0]:g}, {block.between[1]:g}]", "the first number is less than the second"
        problems.append(Problem(path=(*path, "between"), came=came, allowed=allowed, advice="Swap them, or give two different ones"))
    if block.contrast is not None and block.contrast not in known:
        allowed = f"known are {_first(known)}" if known else "a claim is about a contrast, and there is none"
        advice = nearest(block.contrast, known) or ("" if known else "Add a [[contrast]]")
        problems.append(Problem(path=(*path, "contrast"), came=f"unknown contrast {shown(block.contrast)}", allowed=allowed, advice=advice))
    if len(problems) > n_before:
        return None
    between = (block.between[0], block.between[1]) if block.between is not None else None
    return Claim(id=block.id, text=block.text, contrast=block.contrast, above=block.above, below=block.below, between=between, path=path)


def _sensitivity(table: SensitivityTable, groups: Mapping[str, list[str]], in_use: _InUse, problems: list[Problem]) -> Sensitivity | None:
    """Return the record of the table, or None after adding each label that is not in use; whether there is evidence is not asked here."""
    n_before = len(problems)
    if table.target is None:
        places, periods = groups or in_use.labels["corridor"], in_use.labels["period"]
        drug = [row for row in in_use.rows if row.form != "precursor"]
        here = {(corridor, row.period) for row in drug for corridor in places if row.corridor in groups.get(corridor, [corridor])}
        targets = [
            Result(quantity="flow_pure_kg", corridor=corridor, period=period, form="all")
            for corridor in places
            for period in periods
            if (corridor, period) in here
        ]
        return Sensitivity(scale=table.scale, shapley=table.shapley, targets=tuple(targets))
    named: dict[Result, int] = {}
    for number, one in enumerate(table.target, start=1):
        for kind in ("corridor", "period"):
            known = (*in_use.labels[kind], *(groups if kind == "corridor" else ()))
            if getattr(one, kind) not in known:
                problems.append(in_use.missing(getattr(one, kind), known, kind, ("sensitivity", "target", number, kind)))
        result = Result(**one.model_dump())
        if named.setdefault(result, number) < number:
            came = f"this is target {named[result]} too"
            problems.append(Problem(path=("sensitivity", "target", number), came=came, allowed="targets differ", advice="Delete one"))
    return None if len(problems) > n_before else Sensitivity(scale=table.scale, shapley=table.shapley, targets=tuple(named))


def _blocks(document: Mapping[str, Any], kind: str, problems: list[Problem]) -> list[tuple[KeyPath, Any]]:
    """Return the raw blocks of one kind with their key paths, after adding a problem for each id that stands twice."""
    blocks = document.get(kind, [])
    if not isinstance(blocks, list):
        problems.append(Problem(path=(kind,), came=f"one [{kind}] table", allowed=f"{kind} blocks are a list", advice=f"Write [[{kind}]]"))
        return []
    first: dict[str, int] = {}
    for number, raw in enumerate(blocks, start=1):
        name = block_id(raw) if isinstance(raw, dict) else ""
        if name and first.setdefault(name, number) < number:
            came, advice = f"the id {shown(name)} is that of {kind}[{first[name]}] too", "Give one of them another id, or delete it"
            problems.append(Problem(path=(kind, number), came=came, allowed="ids are unique", advice=advice))
    return [((kind, number), raw) for number, raw in enumerate(blocks, start=1)]


# --- the scenario and its resolved document -------------------------------------------------------------------------------------------


def load_scenario(path: str | os.PathLike[str], *, overrides: Mapping[str, Any] | None = None) -> Scenario:
    """Read and check a scenario file with its evidence tables and sources, in every case of its sweeps.

    `overrides` maps `--set` paths to values: `run.draws`, `model.load_law`, `parameter.ID.correlation`, `parameter.ID.distribution.mean`,
    `correlation.ID.value`. They are applied in order, as if they stood in the file; what they leave unused is a warning, not an error. A
    sweep of a path that is set here comes to an end.

    Raises ScenarioError, or EvidenceError if nothing but evidence tables is wrong, with every problem that was found; a file that cannot
    be read or is not TOML comes alone.

    >>> load_scenario("scenarios/north-vs-southwest.toml", overrides={"run.draws": 4096}).draws
    4096
    """
    file = read_toml(path, "a scenario")
    problems: list[Problem] = []
    replaced = override(file.document, overrides or {}, problems)

    def locate(problem: Problem) -> Problem:
        match problem.path:
            case ("parameter" | "correlation" | "contrast" | "claim" | "growth" | "condition" as kind, int(number), *_) if (
                problem.file is None
            ):
                block = file.document[kind][number - 1]
                name = block_id(block) if isinstance(block, dict) else ""
                problem = problem if name in problem.came or not name.isprintable() else replace(problem, came=f"{name}: {problem.came}")
        for depth in range(len(problem.path), 0, -1):
            if problem.file is None and problem.path[:depth] in replaced:
                return problem.at(file=f"--set {replaced[problem.path[:depth]]}")
        return file.locate(problem)

    scenario = _scenario(file, Path(path).parent, replaced, bool(overrides), problems)
    if problems or scenario is None:
        located = [locate(problem) for problem in problems[:MAX_PROBLEMS]]
        if len(problems) > MAX_PROBLEMS:
            came = f"{len(problems) - MAX_PROBLEMS:,} more problems are not shown"
            located.append(Problem(file=file.name, came=came, advice="Correct these first"))
        tables_only = all(problem.file is not None and problem.file.endswith(".csv") for problem in located)
        raise (EvidenceError if tables_only else ScenarioError)(
            sorted(dict.fromkeys(located), key=lambda p: (p.file != file.name, p.file, p.line or 0))
        )
    return scenario


@dataclass(frozen=True, slots=True, kw_only=True)
class _Draft:
    """One case as its tables say it, with what serves nothing still in it; the tables behind its blocks, and every row of the evidence.

    One that is not `whole` has stand-ins for what was refused: it is good for finding what else is wrong, and for nothing else.
    """

    scenario: Scenario
    described: Mapping[KeyPath, Any]
    sources: Mapping[str, Source]
    leftovers: _Leftovers
    all_rows: Sequence[Row]
    whole: bool


def _scenario(file: TomlFile, folder: Path, replaced: Mapping[KeyPath, str], overridden: bool, problems: list[Problem]) -> Scenario | None:
    """Return the scenario of a parsed file with all its cases, or None after adding every problem that could be found."""
    document = file.document
    problems += _check_scalars(document)
    unreadable = {problem.path for problem in problems}  # what is found there later only follows from it
    later, notes = _check_keys(document), list[Problem]()
    n_before = len(later)
    swept = read_sweeps(document, replaced, later, notes)
    whole_sweeps = len(later) == n_before  # else a case that is missing may be what a block serves
    relaxed = overridden or bool(swept)

    touched = touched_by(swept)
    made: dict[Any, tuple[Any, tuple[Problem, ...]]] = {}
    drafts: list[_Draft] = []
    narrow: dict[Indices, Scenario] = {}
    wrong: dict[Indices, list[Problem]] = {}
    idle_in: list[_Idle] = []
    for indices in combinations(swept):
        found = wrong[indices] = []
        draft = _draft(with_values(document, swept, indices), file, folder, _once(made, touched, indices, found), found)
        if draft is None:
            continue
        case, nothing = draft.scenario, _idle(draft) if relaxed else None
        if nothing is not None:
            case = _narrowed(case, nothing.keys)
        not_in_use = [] if relaxed else [problem for problem in draft.leftovers.values() if problem is not None]
        case = _with_scales(case)
        if not draft.whole:
            told = {problem.path for problem in found}
            found += [problem for problem in not_in_use or check(case) if problem.path not in told]
            continue
        drafts.append(draft)
        narrow[indices] = case
        idle_in += [nothing] if nothing is not None else []
        found += not_in_use or check(case)
    later += said_once(wrong, swept)
    everywhere = _idle_everywhere(idle_in)
    left_over = _say_leftovers(drafts, idle_in, everywhere)
    later += left_over if whole_sweeps and not overridden and len(drafts) == len(wrong) else []
    problems += [problem for problem in later if not any(problem.path[:depth] in unreadable for depth in range(1, len(problem.path) + 1))]
    if problems or not drafts:
        return None

    first, cases = drafts[0], tuple(narrow.values())
    whole = cases[0]
    if swept:
        used = {id(row) for case in cases for row in case.rows}
        whole = replace(_with_scales(_narrowed(first.scenario, everywhere)), rows=tuple(row for row in first.all_rows if id(row) in used))
    problems += _check_size(cases)
    if problems:
        return None
    document = _document(whole, first, swept, with_values(document, swept, (0,) * len(swept)))
    # A label that a selection leaves out is the slip that hides rows; a copy of loads takes a row for each seizure, and many are alike.
    notes += [*odd_labels(first.all_rows), *(equal_rows(whole.rows) if whole.load_law != "copy" else ())]
    notes += [*left_over, *_source_notes(whole, first.described, first.sources)]
    sweeps = tuple(each.sweep for each in swept)
    warnings = (*(str(file.locate(note)) for note in notes), *_warnings(narrow, swept))
    return replace(
        whole,
        document=document,
        warnings=warnings,
        sweeps=sweeps,
        cases=_named_cases(cases, document, sweeps),
    )


def _named_cases(cases: Sequence[Scenario], document: Mapping[str, Any], sweeps: Sequence[Sweep]) -> tuple[Scenario, ...]:
    """Return the cases, each with a short document that says which case of which scenario it is; none where nothing is swept."""
    if not sweeps:
        return ()
    whole = hashlib.sha256(tomli_w.dumps(document).encode()).hexdigest()
    labels = itertools.product(*(sweep.labels for sweep in sweeps))
    dims = [sweep.dim for sweep in sweeps]
    return tuple(
        replace(case, document={"of": whole, "case": dict(zip(dims, here, strict=True))}) for case, here in zip(cases, labels, strict=True)
    )


def _once(
    made: dict[Any, tuple[Any, tuple[Problem, ...]]],
    touched: Callable[[KeyPath], tuple[int, ...]],
    indices: Indices,
    problems: list[Problem],
) -> _Once:
    """Return `once(what, paths, make)` for one case: what `make(problems)` gives, made once for all cases that agree at `paths`."""

    def once(what: Any, paths: Sequence[KeyPath], make: Callable[[list[Problem]], Any]) -> Any:
        key = (what, tuple(indices[k] for path in paths for k in touched(path)))
        if key not in made:
            found: list[Problem] = []
            made[key] = make(found), tuple(found)
        result, noted = made[key]
        problems.extend(noted)
        return result

    return once


def _check_keys(document: Mapping[str, Any]) -> list[Problem]:
    problems = []
    known = list(ScenarioFile.model_fields)
    for key in document:
        if key not in known:
            came, allowed = f"unknown key {shown(key)}", f"known are {', '.join(known)}"
            problems.append(Problem(path=(key,), came=came, allowed=allowed, advice=nearest(key, known)))
    return problems


def _check_scalars(document: Mapping[str, Any]) -> list[Problem]:
    """Return what no computation survives, a swept value judged by where it is to stand."""
    blocks = document.get("sweep")
    if not isinstance(blocks, list):
        return check_scalars(document, infinite=INFINITE)
    problems = check_scalars({key: item for key, item in document.items() if key != "sweep"}, infinite=INFINITE)
    for number, block in enumerate(blocks, start=1):
        free = isinstance(block, dict) and block.get("path") == ".".join(map(str, INFINITE))
        values = block.get("values") if isinstance(block, dict) else None
        for position, value in enumerate(values if isinstance(values, list) else [], start=1):
            if not (free and value == math.inf):
                problems += check_scalars(value, ("sweep", number, "values", position), INFINITE)
        rest = {key: item for key, item in block.items() if key != "values"} if isinstance(block, dict) else block
        problems += check_scalars(rest, ("sweep", number))
    return problems


def _draft(document: Mapping[str, Any], file: TomlFile, folder: Path, once: _Once, problems: list[Problem]) -> _Draft | None:
    """Return one case as its tables say it, or None after adding every problem that could be found; `once` adds those of what it makes."""
    n_before = len(problems)

    def table(model: type[_Table], name: str) -> _Table | None:
        found: _Table | None = once(name, [(name,)], lambda found: as_far(model, document.get(name, {}), (name,), found))
        return found

    heading = once(
        "", [], lambda found: validated(Heading, {key: document[key] for key in Heading.model_fields if key in document}, (), found)
    )
    run, model = table(RunTable, "run"), table(ModelTable, "model")
    raw_groups = document.get("groups", {})
    groups_table = once("groups", [("groups",)], lambda found: validated(GroupsTable, raw_groups, ("groups",), found))
    raw_evidence = document.get("evidence", {})
    tables = {key: item for key, item in raw_evidence.items() if key != "row"} if isinstance(raw_evidence, dict) else raw_evidence
    evidence = once("evidence", [("evidence",)], lambda found: as_far(EvidenceTable, tables, ("evidence",), found))
    selection: list[KeyPath] = [("evidence", "corridors"), ("evidence", "periods")]
    sources: Mapping[str, Source] = {}
    rows: list[Row] | None = None
    in_use: _InUse | None = None
    leftovers: _Leftovers = {}
    if evidence is not None:
        sources = once("sources", [], lambda found: _read_sources(evidence, folder, found))
        listed = evidence.tables or [] if "tables" not in tables or evidence.tables is not None else None
        rows = once("rows", [], lambda found: _read_rows(listed, raw_evidence.get("row", []), file, folder, found))
    if evidence is not None and rows is not None:
        labels = {"corridor": evidence.corridors, "period": evidence.periods}
        in_use, without_rows = once("selection", selection, lambda found: _select(rows, labels, found))
        leftovers |= without_rows
    groups = groups_table.root if groups_table is not None else legible_groups(raw_groups)
    shared = (model.shared_load_scale if model is not None else None) or []
    if in_use is not None:
        used = in_use
        leftovers |= once("corridors", [*selection, ("model",)], lambda found: _check_corridors(groups, shared, used, found))

    described: dict[KeyPath, Any] = {}
    parameters: list[Parameter] = []
    correlations: list[Correlation] = []
    for path, raw in _blocks(document, "parameter", problems):
        described[path] = block = once(path, [path], lambda found, raw=raw, path=path: as_far(ParameterBlock, raw, path, found))
        if block is not None:
            base = (*path, "distribution")
            its_law = once(base, [base], lambda found, block=block, raw=raw, base=base: _law(block, raw, base, found))
            parameter, left_out = once(
                (path, "in use"),
                [path, *selection],
                lambda found, block=block, raw=raw, path=path, its_law=its_law: _parameter(
                    block, raw, path, its_law or _stand_in(block), groups, in_use, found
                ),
            )
            parameters += [parameter] if parameter is not None else []
            leftovers |= left_out
    for path, raw in _blocks(document, "correlation", problems):
        described[path] = link = once(path, [path], lambda found, raw=raw, path=path: as_far(CorrelationBlock, raw, path, found))
        correlation = _correlation(link, raw, path, problems) if link is not None else None
        correlations += [correlation] if correlation is not None else []
    contrasts: list[Contrast] = []
    claims: list[Claim] = []
    blocks = _blocks(document, "contrast", problems)
    names = [raw["id"] for _, raw in blocks if isinstance(raw, dict) and isinstance(raw.get("id"), str)]
    for path, raw in blocks:
        described[path] = side = once(path, [path], lambda found, raw=raw, path=path: as_far(ContrastBlock, raw, path, found))
        contrast = _contrast(side, path, groups, in_use, problems) if side is not None else None
        contrasts += [contrast] if contrast is not None else []
    growths: list[Growth] = []
    taken: dict[str, list[Any]] = {}
    for kind in ("contrast", "claim"):
        raws = document.get(kind, [])
        taken[kind] = [raw.get("id") for raw in raws if isinstance(raw, dict)] if isinstance(raws, list) else []
    for path, raw in _blocks(document, "growth", problems):
        described[path] = over = once(path, [path], lambda found, raw=raw, path=path: as_far(GrowthBlock, raw, path, found))
        others = [growth for growth in growths if over is not None and growth.id != over.id]
        made = {"contrast": [each.id for other in others for each in other.contrasts], "claim": [other.decrease.id for other in others]}
        both = {kind: [*ids, *made[kind]] for kind, ids in taken.items()}
        growth = _growth(over, path, groups, in_use, both, problems) if over is not None else None
        growths += [growth] if growth is not None else []
        if isinstance(raw, dict) and isinstance(raw.get("id"), str):
            names += [raw["id"], f"{raw['id']}.seized"]
    contrasts += [contrast for growth in growths for contrast in growth.contrasts]
    for path, raw in _blocks(document, "claim", problems):
        described[path] = said = once(path, [path], lambda found, raw=raw, path=path: as_far(ClaimBlock, raw, path, found))
        claim = _claim(said, raw, path, names, problems) if said is not None else None
        claims += [claim] if claim is not None else []
    conditions: list[Condition] = []
    resting = {
        block.source: block_id(raw) for path, raw in _blocks(document, "parameter", []) if (block := described.get(path)) is not None
    }
    for path, raw in _blocks(document, "condition", problems):
        described[path] = bound = once(path, [path], lambda found, raw=raw, path=path: as_far(ConditionBlock, raw, path, found))
        if bound is not None:
            unknown = bound.result is not None and _unknown_labels(bound.result, (*path, "result"), groups, in_use, problems)
            condition = read_condition(bound, raw, path, resting, problems)
            conditions += [condition] if condition is not None and not unknown else []
    sensitivity = None
    if "sensitivity" in document:
        described[("sensitivity",)] = asked = table(SensitivityTable, "sensitivity")
        sensitivity = _sensitivity(asked, groups, in_use, problems) if asked is not None and in_use is not None else None
    found = problems[n_before:]
    whole = not found and heading is not None
    if not whole:
        problems += _unknown_names(document, found)
        if run is not None and run.draws is not None and run.keep_draws is not None:
            problems += _check_run(run, 1, 1)
        # Without every label and every block in its place, what blocks mean together would be found wrong where it is not.
        doubtful = [problem.path for problem in found if problem.path[1:2] != ("sources",)]
        elsewhere = any(path[:1] in (("groups",), ("model",), ("evidence",)) or path[2:3] == ("correlation",) for path in doubtful)
        if elsewhere or _ids_in_doubt(found) or len(parameters) < len(document.get("parameter", [])):
            return None
    if run is None or model is None or in_use is None:
        return None
    refused = {problem.path[:2] for problem in found}

    corridors, periods = in_use.labels["corridor"], in_use.labels["period"]
    scenario = Scenario(
        **(heading.model_dump(include={"name", "question"}) if heading is not None else {"name": "", "question": ""}),
        **run.model_dump(),
        **model.model_dump(exclude={"shared_load_scale"}),
        shared_load_scale=tuple(map(tuple, shared)),
        corridors=corridors,
        periods=periods,
        groups=tuple((group, tuple(members)) for group, members in groups.items()),
        rows=in_use.rows,
        parameters=tuple(parameters),
        correlations=tuple(each for each in correlations if each.path not in refused),
        contrasts=tuple(each for each in contrasts if each.path not in refused),
        claims=(*claims, *(growth.decrease for growth in growths)),
        growths=tuple(growths),
        conditions=tuple(each for each in conditions if each.path not in refused),
        sensitivity=sensitivity if not any(path[:1] == ("sensitivity",) for path in refused) else None,
        document={},
    )
    problems += _check_run(run, len(scenario.places), len(periods)) if whole else []
    return _Draft(scenario=scenario, described=described, sources=sources, leftovers=leftovers, all_rows=rows or (), whole=whole)


# --- what serves nothing --------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class _Idle:
    """What serves nothing in one case: what its tables say (`leftovers`), what matching finds (`unserved`), and what it does not judge."""

    leftovers: _Leftovers
    unserved: Mapping[Idle, None]
    not_judged: Collection[Idle]

    @property
    def keys(self) -> set[Idle]:
        return self.leftovers.keys() | self.unserved.keys()


def _idle(draft: _Draft) -> _Idle:
    """Return what serves nothing in a case: labels that are not in use, blocks and labels that win nowhere, and references to them."""
    scenario = draft.scenario
    matched, _ = match(scenario)
    unserved, not_judged = idle(scenario, matched)
    left = {block.id for block in scenario.parameters if (place_of(block.id), None) not in unserved}
    gone = {block.id for block in scenario.parameters} - left
    left |= {draw.id for draw in matched.parameter_draws}
    leftovers = dict(draft.leftovers)
    for link in scenario.correlations:
        for name in link.between:
            # A draw of a block that stands but has lost its label goes too; a name that never was an id stays, and is an error.
            if name in gone or ("@" in name and name not in left and name.partition("@")[0] in left | gone):
                problem = Problem(path=(*link.path, "between"), came=f"{name} is not used", advice="The correlation is left out")
                leftovers[(*link.path, "between"), name] = problem
    return _Idle(leftovers=leftovers, unserved=unserved, not_judged=not_judged)


def _narrowed(scenario: Scenario, keys: Collection[Idle]) -> Scenario:
    """Return the scenario without some of its blocks, labels and references.

    What serves nothing is an error in a file, but `--set` and sweeps may leave some behind; a resolved scenario that kept it could not be
    read again.
    """

    def kept(path: KeyPath, labels: Sequence[str]) -> tuple[str, ...]:
        return tuple(label for label in labels if (path, label) not in keys)

    parameters = []
    for block in (block for block in scenario.parameters if (place_of(block.id), None) not in keys):
        selectors = {kind: getattr(block, kind) for kind in DIMENSIONS}
        narrower: dict[str, Any] = {
            kind: kept(place_of(block.id, kind), labels) for kind, labels in selectors.items() if labels is not None
        }
        parameters.append(block if all(selectors[kind] == labels for kind, labels in narrower.items()) else replace(block, **narrower))
    correlations = []
    for link in scenario.correlations:
        stay = [i for i, name in enumerate(link.between) if ((*link.path, "between"), name) not in keys]
        if len(stay) < len(link.between):
            matrix = None if link.matrix is None else tuple(tuple(link.matrix[i][j] for j in stay) for i in stay)
            link = replace(link, between=tuple(link.between[i] for i in stay), matrix=matrix)
        if len(link.between) > 1:
            correlations.append(link)
    corridors = kept(("evidence", "corridors"), scenario.corridors)
    groups = ((group, kept(("groups", group), members)) for group, members in scenario.groups)
    shared = (kept(("model", "shared_load_scale", n), members) for n, members in enumerate(scenario.shared_load_scale, start=1))
    return replace(
        scenario,
        corridors=corridors,
        periods=kept(("evidence", "periods"), scenario.periods),
        groups=tuple((group, members) for group, members in groups if members),
        shared_load_scale=tuple(members for members in shared if members),
        parameters=tuple(parameters),
        correlations=tuple(correlations),
    )


def _with_scales(scenario: Scenario) -> Scenario:
    """Return the scenario with a load scale for every corridor."""
    shared = scenario.shared_load_scale
    alone = tuple((corridor,) for corridor in scenario.corridors if not any(corridor in members for members in shared))
    return replace(scenario, shared_load_scale=(*shared, *alone))


def _idle_everywhere(idle_in: Sequence[_Idle]) -> dict[Idle, None]:
    """Return what serves nothing in any case that judges it, if one does."""
    some = dict.fromkeys(key for here in idle_in for key in (*here.leftovers, *here.unserved))
    return {key: None for key in some if all(key in here.leftovers or key in here.unserved or key in here.not_judged for here in idle_in)}


def _say_leftovers(drafts: Sequence[_Draft], idle_in: Sequence[_Idle], everywhere: Collection[Idle]) -> list[Problem]:
    """Return what is wrong with what serves nothing in any case."""
    known: _Leftovers = {key: problem for here in idle_in for key, problem in here.leftovers.items() if key in everywhere}
    others = {key for key in everywhere if key not in known}
    said = [problem for problem in known.values() if problem is not None]
    return list(dict.fromkeys([*said, *(each for draft in drafts for each in say_idle(draft.scenario.parameters, others) if others)]))


def _check_run(run: RunTable, n_corridors: int, n_periods: int) -> list[Problem]:
    """Return what is wrong with `keep_draws`: more than is drawn, or than memory holds. `n_corridors` counts groups too."""
    path, problems = ("run", "keep_draws"), []
    if run.keep_draws > run.draws:
        came, allowed = f"{run.keep_draws:,} draws to keep of {run.draws:,}", "keep_draws is at most draws"
        problems.append(Problem(path=path, came=came, allowed=allowed, advice="Lower it"))
    most = MAX_KEPT_BYTES // (8 * n_corridors * n_periods * len(RESULT_FORMS) * len(QUANTITIES))
    if run.keep_draws > most:
        came, allowed = f"{run.keep_draws:,} kept draws", f"{MAX_KEPT_BYTES >> 30} GiB hold {most:,} draws of this scenario"
        problems.append(Problem(path=path, came=came, allowed=allowed, advice=f"Keep at most {most:,}"))
    return problems


def _check_size(cases: Sequence[Scenario]) -> list[Problem]:
    """Return what is wrong with the number of cases: more results, or kept draws, than memory holds."""
    if len(cases) == 1:
        return []
    places = {place for case in cases for place in case.places}
    periods = {period for case in cases for period in case.periods}
    each = 8 * len(places) * len(periods) * len(RESULT_FORMS) * len(QUANTITIES) * (NUMBERS_OF_A_CELL + cases[0].keep_draws)
    if len(cases) * each <= MAX_KEPT_BYTES:
        return []
    came = f"{len(cases):,} cases with {cases[0].keep_draws:,} kept draws each"
    allowed = f"{MAX_KEPT_BYTES >> 30} GiB hold {MAX_KEPT_BYTES // each:,} cases of this scenario"
    return [Problem(path=("sweep",), came=came, allowed=allowed, advice="Give fewer values, corridors or periods, or keep fewer draws")]


def _warnings(narrow: Mapping[Indices, Scenario], swept: Sequence[Swept]) -> list[str]:
    """Return the warnings of all cases, each once."""
    warned: dict[str, list[Indices]] = {}
    for indices, case in narrow.items():
        for text in (*model_warnings(case), *odd_tablets(match(case)[0])):
            warned.setdefault(text, []).append(indices)
    sweeps = [each.sweep for each in swept]
    return [f"{name}: {text}" if (name := name_cases(sweeps, where)) else text for text, where in warned.items()]


def _source_notes(scenario: Scenario, described: Mapping[KeyPath, Any], sources: Mapping[str, Source]) -> list[Problem]:
    """Return a note for each source that looks like a key and is close to one, but is none: a slip in a key is silent otherwise."""
    paths = [block.path for block in scenario.parameters] + [each.path for each in scenario.conditions if each.source is not None]
    named = [(described[path].source, Problem(path=(*path, "source"), came="")) for path in paths]
    for row in {row.source: row for row in reversed(scenario.rows)}.values():
        name, _, line = row.where.rpartition(":")
        named.append((row.source, Problem(file=name, line=int(line), path=("source",), came="")))
    notes = []
    for name, place in named:
        if name not in sources and re.fullmatch(r"[a-z0-9-]+", name) and (advice := nearest(name, sources)):
            came, allowed = f"the source {shown(name)} is no key of the sources", "free text is allowed, but this looks like a key"
            notes.append(replace(place, came=came, allowed=allowed, advice=advice))
    return notes


def _document(scenario: Scenario, draft: _Draft, swept: Sequence[Swept], raw: Mapping[str, Any]) -> dict[str, Any]:
    """Return the resolved scenario: nothing implied, nothing outside; reading it gives the same document again.

    Laws stand in natural parameters, so that a later version whose elicitation differs in the last digit still reads the same numbers;
    but what a sweep reaches into stands as in the `raw` document of the first case.
    """
    described, sources = draft.described, draft.sources
    parameters = []
    reached = {each.keys[:3] for each in swept if each.keys[0] == "parameter" and each.keys[2] == "distribution" and len(each.keys) > 3}
    for block in scenario.parameters:
        selectors = {kind: list(labels) for kind in DIMENSIONS if (labels := getattr(block, kind)) is not None}
        varying = {"varies_by": list(block.varies_by), "correlation": block.correlation} if block.varies_by else {}
        rest = described[block.path].model_dump(include={"basis", "source", "grade", "note"}, exclude_none=True)
        written = raw["parameter"][int(block.path[1]) - 1]["distribution"] if (*block.path, "distribution") in reached else None
        distribution = as_mapping(block.law) if written is None else copy.deepcopy(written)
        parameters.append({"id": block.id, "name": block.name, **selectors, "distribution": distribution, **varying, **rest})
    correlations = []
    for link in scenario.correlations:
        given = {"value": link.value, "matrix": link.matrix and [list(row) for row in link.matrix], "copula": link.copula, "df": link.df}
        given["note"] = described[link.path].note
        correlations.append({"id": link.id, "between": list(link.between)} | {key: item for key, item in given.items() if item is not None})
    answers: dict[str, Any] = {
        kind: [described[path].model_dump(exclude_none=True) for path in paths]
        for kind, blocks in (
            ("contrast", scenario.contrasts),
            ("claim", scenario.claims),
            ("growth", scenario.growths),
            ("condition", scenario.conditions),
        )
        if (paths := [block.path for block in blocks if block.path[0] == kind])
    }
    if scenario.sensitivity is not None:
        answers["sensitivity"] = described[("sensitivity",)].model_dump(exclude_none=True)
    used = {described[block.path].source for block in scenario.parameters} | {row.source for row in scenario.rows}
    used |= {condition.source for condition in scenario.conditions if condition.source is not None}
    return {
        "schema_version": 1,
        "name": scenario.name,
        "question": scenario.question,
        "run": {key: given for key in RunTable.model_fields if (given := getattr(scenario, key)) is not None},
        "evidence": {
            "corridors": list(scenario.corridors),
            "periods": list(scenario.periods),
            "row": [row_as_mapping(row) for row in scenario.rows],
            "sources": {key: source.model_dump(exclude_none=True) for key, source in sources.items() if key in used},
        },
        "groups": {group: list(members) for group, members in scenario.groups},
        "model": {key: getattr(scenario, key) for key in ModelTable.model_fields}
        | {"shared_load_scale": [list(members) for members in scenario.shared_load_scale]},
        "parameter": parameters,
        "correlation": correlations,
        **answers,
    } | ({"sweep": [copy.deepcopy(raw["sweep"][each.number - 1]) for each in swept]} if swept else {})


def to_toml(scenario: Scenario) -> str:
    """Return the resolved scenario as TOML: what `scenario.toml` of a result holds.

    Loading it gives an equal `document`, floats bit for bit.
    """
    return tomli_w.dumps(scenario.document)


def with_run(scenario: Scenario, *, draws: int | None = None, seed: int | None = None) -> Scenario:
    """Return the scenario with another number of draws or another seed; None keeps what stands there.

    Raises ScenarioError for a value that the file could not hold either.
    """
    given = {key: number for key, number in (("draws", draws), ("seed", seed)) if number is not None}
    problems = [
        Problem(path=("run", key), came=f"{key} is swept by {sweep.dim}", advice="Leave it out, or fix it with --set")
        for sweep in scenario.sweeps
        for key in given
        if sweep.path == f"run.{key}"
    ]
    run = validated(RunTable, scenario.document["run"] | given, ("run",), problems)
    if run is not None:
        problems += _check_run(run, len(scenario.places), len(scenario.periods))
    if run is None or problems:
        raise ScenarioError(problems)
    document = scenario.document | {"run": run.model_dump(exclude_none=True)}
    cases = [replace(case, **given) for case in scenario.cases]  # type: ignore[arg-type]
    return replace(scenario, **given, document=document, cases=_named_cases(cases, document, scenario.sweeps))  # type: ignore[arg-type]
