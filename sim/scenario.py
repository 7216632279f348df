"""Scenario files: TOML in, checked records out, and back; what the tables mean together, and every message about that.

Stages: `toml_file.py` reads -> `--set` -> `schema.py` checks each table -> the records of `records.py` -> the cross-block checks of
`model.py`. Each stage adds its problems to one list, so that a reader sees all mistakes of a file at once.
"""

from __future__ import annotations

import copy
import math
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import tomli_w

from .distributions import Law, cdf, support
from .elicitation import LawError, as_mapping, law
from .errors import EvidenceError, Problem, ScenarioError
from .evidence import FORMS, Row, check_rows, read_table, row_as_mapping, row_from_mapping
from .limits import MAX_PROBLEMS
from .matching import match, unused
from .model import check
from .model import warnings as model_warnings
from .records import DIMENSIONS, PARAMETERS, QUANTITIES, RESULT_FORMS, Correlation, Parameter, Scenario
from .schema import (
    KINDS,
    CorrelationBlock,
    EvidenceRow,
    EvidenceTable,
    GroupsTable,
    Heading,
    ModelTable,
    ParameterBlock,
    RunTable,
    ScenarioFile,
    Source,
    SourcesTable,
    json_schema,
    validated,
)
from .toml_file import KeyPath, TomlFile, check_scalars, nearest, read_toml, shown

__all__ = ["json_schema", "load_scenario", "to_toml", "with_run"]

MAX_KEPT_BYTES = 1 << 31  # of kept draws in memory
NOT_YET = ("contrast", "claim", "condition", "sweep")


# --- values given in place of the file's ----------------------------------------------------------------------------------------------


def _block_id(block: Mapping[str, Any]) -> str:
    """Return the id of a raw block, given or by default; defined for wrong blocks too, so that messages can name them."""
    if isinstance(block.get("id"), str):
        return str(block["id"])
    if "between" in block:
        between = block["between"]
        return "~".join(str(name) for name in between) if isinstance(between, list) else ""
    labels = [label for key in DIMENSIONS if key in block for label in (block[key] if isinstance(block[key], list) else [block[key]])]
    return f"{block.get('name', '')}[{','.join(map(str, labels))}]" if labels else str(block.get("name", ""))


def _settable(document: Mapping[str, Any]) -> dict[str, tuple[KeyPath, bool]]:
    """Return every `--set` path of a document with its key path, and whether it is inside a block with an id."""
    paths: dict[str, tuple[KeyPath, bool]] = {key: ((key,), False) for key in ("name", "question")}
    for table, model in (("run", RunTable), ("model", ModelTable), ("evidence", EvidenceTable)):
        if isinstance(document.get(table, {}), dict):
            paths |= {f"{table}.{key}": ((table, key), False) for key in model.model_fields if key not in ("row", "sources")}
    groups = document.get("groups")
    paths |= {f"groups.{key}": (("groups", key), False) for key in (groups if isinstance(groups, dict) else ())}
    for name, block_model in (("parameter", ParameterBlock), ("correlation", CorrelationBlock)):
        blocks = document.get(name)
        for number, block in enumerate(blocks if isinstance(blocks, list) else [], start=1):
            if not isinstance(block, dict):
                continue
            stem, base = f"{name}.{_block_id(block)}", (name, number)
            paths |= {f"{stem}.{key}": ((*base, key), True) for key in block_model.model_fields if key not in ("id", "name")}
            law_table = block.get("distribution")
            if name == "parameter" and isinstance(law_table, dict):
                kind = KINDS.get(str(law_table.get("kind")))
                keys = {*law_table, *(kind.model_fields if kind is not None else ())}
                paths |= {f"{stem}.distribution.{key}": ((*base, "distribution", key), True) for key in keys}
    return paths


def _override(document: dict[str, Any], overrides: Mapping[str, Any], problems: list[Problem]) -> dict[KeyPath, str]:
    """Put the values of `--set` into `document`, in order, and return which key paths they replaced.

    A block keeps the id that it had before, so that `parameter.detection_rate[FY2024].period` does not rename what others refer to.
    """
    replaced: dict[KeyPath, str] = {}
    for name, given in overrides.items():
        paths = _settable(document)
        if name not in paths:
            allowed = "a path is table.key, or parameter.ID.key and correlation.ID.key with the id of a block"
            problems.append(Problem(file=f"--set {name}", came="there is no such path", allowed=allowed, advice=nearest(name, paths)))
            continue
        path, in_block = paths[name]
        table: Any = document
        for depth, part in enumerate(path[:-1]):
            table = table.setdefault(part, {}) if isinstance(part, str) else table[part - 1]
            if in_block and depth == 1:
                table.setdefault("id", _block_id(table))
        table[path[-1]] = copy.deepcopy(given)
        replaced[path] = name
    return replaced


# --- evidence and sources -------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class _InUse:
    """The evidence in use; its labels by dimension, in the order they are shown, and those that a selection left out."""

    rows: tuple[Row, ...]
    labels: Mapping[str, tuple[str, ...]]
    left_out: Mapping[str, frozenset[str]]

    def missing(self, label: str, known: Sequence[str], kind: str, path: KeyPath) -> Problem:
        """Return what is wrong with a label that is not in use."""
        came, allowed, advice = f"unknown {kind} {shown(label)}", f"known are {_first(known)}", nearest(label, known)
        if label in self.left_out[kind]:
            came, allowed = f"{kind} {shown(label)} is not in use", f"evidence.{kind}s leaves it out"
            advice = "Select it there, or delete it here"
        return Problem(path=path, came=came, allowed=allowed, advice=advice)


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
        problems.extend(error.problems)
        return {}
    found = check_scalars(file.document)
    sources = validated(SourcesTable, file.document, (), found)
    problems.extend(file.locate(problem) for problem in found)
    return sources.root if sources is not None else {}


def _read_rows(tables: Sequence[str], raw_rows: Any, file: TomlFile, folder: Path, problems: list[Problem]) -> list[Row] | None:
    """Return the rows of all tables, then those of the scenario itself, or None after adding what is wrong."""
    n_before = len(problems)
    rows: list[Row] = []
    seen: dict[Path, str] = {}
    for number, name in enumerate(tables, start=1):
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
        problems += wrong
    if not isinstance(raw_rows, list):
        problems.append(Problem(path=("evidence", "row"), came=shown(raw_rows), allowed="rows are tables", advice="Write [[evidence.row]]"))
        return None
    for number, raw in enumerate(raw_rows, start=1):
        path = ("evidence", "row", number)
        if validated(EvidenceRow, raw, path, problems) is not None:
            row, wrong = row_from_mapping(raw, path)
            problems += wrong
            rows += [replace(row, where=f"{file.name}:{file.lines.get(path, 1)}")] if row is not None else []
    if not rows and len(problems) == n_before:
        came, allowed = "there is no row of evidence", "a scenario needs evidence"
        problems.append(Problem(path=("evidence",), came=came, allowed=allowed, advice="Give tables, or [[evidence.row]]"))
    return rows if len(problems) == n_before else None


def _select(rows: Sequence[Row], selected: Mapping[str, Sequence[str] | None], problems: list[Problem]) -> _InUse | None:
    """Return the evidence that has a `selected` corridor and period (None: all), or None after adding what is wrong."""
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
        return None
    kept = [row for row in rows if all(getattr(row, kind) in labels for kind, labels in chosen.items())]
    problems += check_rows(kept)
    for kind, labels in chosen.items():
        for label in sorted(set(labels) - {getattr(row, kind) for row in kept}, key=labels.index):
            came, allowed = f"no row is left for the {kind} {shown(label)}", "a selected label needs evidence"
            path = places.get((kind, label), ("evidence",))
            problems.append(Problem(path=path, came=came, allowed=allowed, advice="Delete it, or select its rows too"))
    if len(problems) > n_before:
        return None
    left_out = {kind: frozenset(known[kind]) - set(chosen[kind]) for kind in chosen}
    return _InUse(rows=tuple(kept), labels=chosen, left_out=left_out)


# --- from tables to records -----------------------------------------------------------------------------------------------------------


def _check_corridors(groups: Mapping[str, list[str]], shared: Sequence[list[str]], in_use: _InUse) -> list[Problem]:
    """Return what is wrong with the corridors that `[groups]` and `shared_load_scale` name."""
    problems = []
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
            elif member not in corridors:
                problems.append(in_use.missing(member, corridors, "corridor", path))
            elif base[0] == "model" and owner.setdefault(member, base) != base:
                came, allowed = f"{shown(member)} stands in list {owner[member][-1]} too", "a corridor has one load scale"
                problems.append(Problem(path=path, came=came, allowed=allowed, advice="Delete it from one list"))
    return problems


def _law(name: str, raw: Any, path: KeyPath, problems: list[Problem]) -> Law | None:
    """Return the law of a parameter, within the parameter's domain, or None after adding what is wrong."""
    entry = PARAMETERS[name]
    try:
        found = law(raw, entry.unit)
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
    problems.append(Problem(path=path, came=came, allowed=f"{name} lies in {domain}{unit}", advice=advice))
    return None


def _parameter(
    block: ParameterBlock,
    raw: Mapping[str, Any],
    path: KeyPath,
    groups: Mapping[str, list[str]],
    in_use: _InUse | None,
    problems: list[Problem],
) -> tuple[Parameter | None, list[Problem]]:
    """Return the record of one block, and the labels that only a selection makes unknown (an error, but a warning after `--set`).

    In a selector of corridors a group stands for its members, each once. `in_use` None is evidence that could not be read: then only
    forms are checked.
    """
    n_before = len(problems)
    left_out: list[Problem] = []
    selectors: dict[str, tuple[str, ...] | None] = {}
    forms = FORMS[:2] if PARAMETERS[block.name].by_result_form else FORMS
    for kind in DIMENSIONS:
        labels = getattr(block, kind)
        idle = in_use.left_out[kind] if in_use is not None and kind != "form" else frozenset()
        known = forms if kind == "form" else in_use.labels[kind] if in_use is not None else None
        known = (*known, *groups) if known is not None and kind == "corridor" else known
        for number, label in enumerate(labels or (), start=1):
            if known is None or label in known:
                continue
            place = (*path, kind, number) if isinstance(raw[kind], list) else (*path, kind)
            if kind == "form":
                came, allowed = f"{block.name} has no form {shown(label)}", f"it is looked up by {', '.join(forms)}"
                problems.append(Problem(path=place, came=came, allowed=allowed, advice=nearest(label, forms)))
            elif in_use is not None:
                (left_out if label in idle else problems).append(in_use.missing(label, known, kind, place))
        members = (member for label in labels or () for member in (groups.get(label, [label]) if kind == "corridor" else [label]))
        selectors[kind] = tuple(dict.fromkeys(member for member in members if member not in idle)) if labels is not None else None
    if block.varies_by and block.correlation is None:
        allowed, advice = "a block with varies_by says how alike its draws are", "Add correlation = 0.8; 0 is independent"
        problems.append(Problem(path=path, came="correlation is missing", allowed=allowed, advice=advice))
    if block.correlation is not None and not block.varies_by:
        came, allowed = "there is nothing to correlate", "correlation needs varies_by: a block without it is one draw"
        problems.append(Problem(path=(*path, "correlation"), came=came, allowed=allowed, advice='Add varies_by = ["period"]'))
    found = _law(block.name, raw["distribution"], (*path, "distribution"), problems)
    if found is None or len(problems) > n_before:
        return None, left_out
    varies_by = tuple(kind for kind in DIMENSIONS if kind in block.varies_by)
    parameter = Parameter(
        id=_block_id(raw), name=block.name, law=found, varies_by=varies_by, correlation=block.correlation, path=path, **selectors
    )
    return parameter, left_out


def _correlation(block: CorrelationBlock, raw: Mapping[str, Any], path: KeyPath, problems: list[Problem]) -> Correlation | None:
    """Return the record of one block, or None after adding what is wrong with it alone."""
    n_before, n = len(problems), len(block.between)
    if (block.value is None) == (block.matrix is None):
        came = "neither value nor matrix is given" if block.value is None else "both value and matrix are given"
        advice = "value suits two blocks, matrix single draws"
        problems.append(Problem(path=path, came=came, allowed="exactly one of them is needed", advice=advice))
    if block.copula == "t" and block.df is None:
        problems.append(Problem(path=path, came="df is missing", allowed="a t copula has degrees of freedom >= 1", advice="Add df = 4"))
    if block.copula == "gaussian" and block.df is not None:
        came, allowed = "a gaussian copula has no df", "only copula t has one"
        problems.append(Problem(path=(*path, "df"), came=came, allowed=allowed, advice="Delete df"))
    if block.matrix is not None:
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
    if len(problems) > n_before:
        return None
    matrix = tuple(map(tuple, block.matrix)) if block.matrix is not None else None
    return Correlation(
        id=_block_id(raw), between=tuple(block.between), value=block.value, matrix=matrix, copula=block.copula, df=block.df, path=path
    )


def _blocks(document: Mapping[str, Any], kind: str, problems: list[Problem]) -> list[tuple[KeyPath, Any]]:
    """Return the raw blocks of one kind with their key paths, after adding a problem for each id that stands twice."""
    blocks = document.get(kind, [])
    if not isinstance(blocks, list):
        problems.append(Problem(path=(kind,), came=f"one [{kind}] table", allowed=f"{kind} blocks are a list", advice=f"Write [[{kind}]]"))
        return []
    first: dict[str, int] = {}
    for number, raw in enumerate(blocks, start=1):
        name = _block_id(raw) if isinstance(raw, dict) else ""
        if name and first.setdefault(name, number) < number:
            came, advice = f"the id {shown(name)} is that of {kind}[{first[name]}] too", "Give one of them another id, or delete it"
            problems.append(Problem(path=(kind, number), came=came, allowed="ids are unique", advice=advice))
    return [((kind, number), raw) for number, raw in enumerate(blocks, start=1)]


# --- the scenario and its resolved document -------------------------------------------------------------------------------------------


def load_scenario(path: str | os.PathLike[str], *, overrides: Mapping[str, Any] | None = None) -> Scenario:
    """Read and check a scenario file with its evidence tables and sources.

    `overrides` maps `--set` paths to values: `run.draws`, `model.load_law`, `parameter.ID.correlation`, `parameter.ID.distribution.mean`,
    `correlation.ID.value`. They are applied in order, as if they stood in the file; what they leave unused is a warning, not an error.

    Raises ScenarioError, or EvidenceError if nothing but evidence tables is wrong, with every problem that was found; a file that cannot
    be read or is not TOML comes alone.

    >>> load_scenario("scenarios/north-vs-southwest.toml", overrides={"run.draws": 4096}).draws
    4096
    """
    file = read_toml(path, "a scenario")
    problems: list[Problem] = []
    replaced = _override(file.document, overrides or {}, problems)
    scenario = _scenario(file, Path(path).parent, bool(overrides), problems)

    def locate(problem: Problem) -> Problem:
        match problem.path:
            case ("parameter" | "correlation" as kind, int(number), *_) if problem.file is None:
                block = file.document[kind][number - 1]
                name = _block_id(block) if isinstance(block, dict) else ""
                problem = problem if name in problem.came else replace(problem, came=f"{name}: {problem.came}")
        for depth in range(len(problem.path), 0, -1):
            if problem.file is None and problem.path[:depth] in replaced:
                return problem.at(file=f"--set {replaced[problem.path[:depth]]}")
        return file.locate(problem)

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


def _scenario(file: TomlFile, folder: Path, overridden: bool, problems: list[Problem]) -> Scenario | None:
    """Return the scenario of a parsed file, or None after adding every problem that could be found."""
    document = file.document
    problems += check_scalars(document, infinite=("model", "load_truncation"))
    unreadable = {problem.path for problem in problems}  # what is found there later only follows from it
    later: list[Problem] = []
    known = list(ScenarioFile.model_fields)
    for key in document:
        if key in NOT_YET:
            came = f"{key} blocks are not supported by this version"
            allowed = "it reads run, evidence, groups, model, parameter and correlation"
            later.append(Problem(path=(key,), came=came, allowed=allowed, advice="Delete them"))
        elif key not in known:
            came, allowed = f"unknown key {shown(key)}", f"known are {', '.join(known)}"
            later.append(Problem(path=(key,), came=came, allowed=allowed, advice=nearest(key, known)))
    heading = validated(Heading, {key: document[key] for key in Heading.model_fields if key in document}, (), later)
    run = validated(RunTable, document.get("run", {}), ("run",), later)
    model = validated(ModelTable, document.get("model", {}), ("model",), later)
    groups_table = validated(GroupsTable, document.get("groups", {}), ("groups",), later)
    raw_evidence = document.get("evidence", {})
    tables = {key: item for key, item in raw_evidence.items() if key != "row"} if isinstance(raw_evidence, dict) else raw_evidence
    evidence = validated(EvidenceTable, tables, ("evidence",), later)
    sources: Mapping[str, Source] = {}
    in_use: _InUse | None = None
    if evidence is not None:
        sources = _read_sources(evidence, folder, later)
        rows = _read_rows(evidence.tables or [], raw_evidence.get("row", []), file, folder, later)
        in_use = _select(rows, {"corridor": evidence.corridors, "period": evidence.periods}, later) if rows is not None else None
    groups = groups_table.root if groups_table is not None else {}
    if in_use is not None:
        later += _check_corridors(groups, model.shared_load_scale if model is not None else [], in_use)

    described: dict[KeyPath, Any] = {}
    parameters: list[Parameter] = []
    correlations: list[Correlation] = []
    not_selected: list[Problem] = []
    for path, raw in _blocks(document, "parameter", later):
        described[path] = block = validated(ParameterBlock, raw, path, later)
        if block is not None:
            parameter, left_out = _parameter(block, raw, path, groups, in_use, later)
            parameters += [parameter] if parameter is not None else []
            not_selected += left_out
    for path, raw in _blocks(document, "correlation", later):
        described[path] = link = validated(CorrelationBlock, raw, path, later)
        correlation = _correlation(link, raw, path, later) if link is not None else None
        correlations += [correlation] if correlation is not None else []
    notes = not_selected if overridden else []
    later += [] if overridden else not_selected
    problems += [problem for problem in later if not any(problem.path[:depth] in unreadable for depth in range(1, len(problem.path) + 1))]
    if problems or heading is None or run is None or model is None or in_use is None:
        return None

    corridors, periods = in_use.labels["corridor"], in_use.labels["period"]
    scales = [tuple(members) for members in model.shared_load_scale]
    scales += [(corridor,) for corridor in corridors if not any(corridor in members for members in scales)]
    problems += _check_run(run, len(corridors) + len(groups), len(periods))
    scenario = Scenario(
        **heading.model_dump(include={"name", "question"}),
        **run.model_dump(),
        **model.model_dump(exclude={"shared_load_scale"}),
        shared_load_scale=tuple(scales),
        corridors=corridors,
        periods=periods,
        groups=tuple((group, tuple(members)) for group, members in groups.items()),
        rows=in_use.rows,
        parameters=tuple(parameters),
        correlations=tuple(correlations),
        document={},
    )
    if overridden:
        scenario = _without_idle(scenario, notes)
    problems += check(scenario)
    if problems:
        return None
    notes += _source_notes(scenario, described, sources)
    document = _document(scenario, described, sources)
    return replace(scenario, document=document, warnings=(*(str(file.locate(note)) for note in notes), *model_warnings(scenario)))


def _without_idle(scenario: Scenario, notes: list[Problem]) -> Scenario:
    """Return the scenario without the blocks, labels and references that serve nothing, after noting them.

    They are errors in a file, but `--set` may leave some behind; a resolved scenario that kept them could not be read again.
    """
    matched, _ = match(scenario)
    found = unused(scenario, matched)
    idle = {problem.path for problem in found}
    reached: dict[KeyPath, list[tuple[str, str, str]]] = {}
    for stratum in matched.strata:
        for (_, form), draw in stratum.parameter_draws.items():
            reached.setdefault(draw.block.path, []).append((*stratum.key[:2], form))
    parameters = []
    for block in (block for block in scenario.parameters if block.path not in idle):
        for i, kind in enumerate(DIMENSIONS):
            if (*block.path, kind) in idle:
                served = {labels[i] for labels in reached[block.path]}
                block = replace(block, **{kind: tuple(label for label in getattr(block, kind) if label in served)})  # type: ignore[arg-type]
        parameters.append(block)
    left = {block.id for block in parameters} | {draw.id for draw in matched.parameter_draws}
    gone = {block.id for block in scenario.parameters} - left
    correlations = []
    for link in scenario.correlations:
        # A draw of a block that stands but has lost its label goes too; a name that never was an id stays, and is an error.
        lost = [name in gone or ("@" in name and name not in left and name.partition("@")[0] in left | gone) for name in link.between]
        if any(lost):
            kept = [i for i in range(len(lost)) if not lost[i]]
            names = ", ".join(name for name, is_lost in zip(link.between, lost, strict=True) if is_lost)
            found.append(Problem(path=(*link.path, "between"), came=f"{names} is not used", advice="The correlation is left out"))
            matrix = None if link.matrix is None else tuple(tuple(link.matrix[i][j] for j in kept) for i in kept)
            link = replace(link, between=tuple(link.between[i] for i in kept), matrix=matrix)
        if len(link.between) > 1:
            correlations.append(link)
    notes += found
    return replace(scenario, parameters=tuple(parameters), correlations=tuple(correlations))


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


def _source_notes(scenario: Scenario, described: Mapping[KeyPath, Any], sources: Mapping[str, Source]) -> list[Problem]:
    """Return a note for each source that looks like a key and is close to one, but is none: a slip in a key is silent otherwise."""
    named = [(described[block.path].source, Problem(path=(*block.path, "source"), came="")) for block in scenario.parameters]
    for row in {row.source: row for row in reversed(scenario.rows)}.values():
        name, _, line = row.where.rpartition(":")
        named.append((row.source, Problem(file=name, line=int(line), path=("source",), came="")))
    notes = []
    for name, place in named:
        if name not in sources and re.fullmatch(r"[a-z0-9-]+", name) and (advice := nearest(name, sources)):
            came, allowed = f"the source {shown(name)} is no key of the sources", "free text is allowed, but this looks like a key"
            notes.append(replace(place, came=came, allowed=allowed, advice=advice))
    return notes


def _document(scenario: Scenario, described: Mapping[KeyPath, Any], sources: Mapping[str, Source]) -> dict[str, Any]:
    """Return the resolved scenario: nothing implied, nothing outside; reading it gives the same document again.

    Laws stand in natural parameters, so that a later version whose elicitation differs in the last digit still reads the same numbers.
    """
    parameters = []
    for block in scenario.parameters:
        selectors = {kind: list(labels) for kind in DIMENSIONS if (labels := getattr(block, kind)) is not None}
        varying = {"varies_by": list(block.varies_by), "correlation": block.correlation} if block.varies_by else {}
        rest = described[block.path].model_dump(include={"basis", "source", "grade", "note"}, exclude_none=True)
        parameters.append({"id": block.id, "name": block.name, **selectors, "distribution": as_mapping(block.law), **varying, **rest})
    correlations = []
    for link in scenario.correlations:
        given = {"value": link.value, "matrix": link.matrix and [list(row) for row in link.matrix], "copula": link.copula, "df": link.df}
        given["note"] = described[link.path].note
        correlations.append({"id": link.id, "between": list(link.between)} | {key: item for key, item in given.items() if item is not None})
    used = {described[block.path].source for block in scenario.parameters} | {row.source for row in scenario.rows}
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
    }


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
    problems: list[Problem] = []
    run = validated(RunTable, scenario.document["run"] | given, ("run",), problems)
    if run is not None:
        problems += _check_run(run, len(scenario.places), len(scenario.periods))
    if run is None or problems:
        raise ScenarioError(problems)
    return replace(scenario, **given, document=scenario.document | {"run": run.model_dump(exclude_none=True)})  # type: ignore[arg-type]
