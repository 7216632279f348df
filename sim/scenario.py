"""Scenario files: TOML in, checked records out, and back; what the tables mean together, and every message about that.

Stages: `toml_file.py` reads -> `--set` and the values of sweeps -> `schema.py` checks each table -> the records of `records.py` -> the
cross-block checks of `checks.py`. Each stage adds its problems to one list, so that a reader sees all mistakes of a file at once.
"""

from __future__ import annotations

import copy
import hashlib
import itertools
import math
import os
import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import tomli_w
from pydantic import BaseModel

from . import checks
from .blocks import (
    add_unknown_labels,
    check_corridors,
    read_claim,
    read_condition,
    read_contrast,
    read_correlation,
    read_growth,
    read_law,
    read_parameter,
    read_sensitivity,
    stand_in,
)
from .elicitation import as_mapping
from .errors import EvidenceError, Problem, ScenarioError
from .evidence import Row, equal_rows, odd_labels, row_as_mapping
from .evidence_in_use import InUse, Leftovers, read_rows, read_sources, select
from .limits import MAX_PROBLEMS
from .matching import Idle, idle, match, place_of, say_idle
from .records import (
    DIMENSIONS,
    QUANTITIES,
    RESULT_FORMS,
    Claim,
    Condition,
    Contrast,
    Growth,
    Parameter,
    Scenario,
    Sweep,
)
from .schema import (
    ClaimBlock,
    ConditionBlock,
    ContrastBlock,
    CorrelationBlock,
    EvidenceTable,
    GroupsTable,
    GrowthBlock,
    Heading,
    ModelTable,
    ParameterBlock,
    RunTable,
    ScenarioFile,
    SensitivityTable,
    Source,
    as_far,
    json_schema,
    legible_groups,
    validated,
)
from .sweeps import Indices, Swept, block_id, combinations, name_cases, override, read_sweeps, said_once, touched_by, with_values
from .toml_file import KeyPath, TomlFile, check_scalars, nearest, read_toml, shown

__all__ = ["json_schema", "load_scenario", "to_toml", "with_run"]

MAX_KEPT_BYTES = 1 << 31  # of kept draws, or of the results of all cases, in memory
NUMBERS_OF_A_CELL = 29  # thirteen quantiles, their errors, three moments
INFINITE: KeyPath = ("model", "load_truncation")  # the one entry that may be inf


_SELECTION: list[KeyPath] = [("evidence", "corridors"), ("evidence", "periods")]

_Once = Callable[..., Any]
_ReadBlocks = Callable[[str, type[BaseModel]], Iterator[tuple[KeyPath, Any, Any]]]
_Table = TypeVar("_Table", bound=BaseModel)


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
    leftovers: Leftovers
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
            found += [problem for problem in not_in_use or checks.check(case) if problem.path not in told]
            continue
        drafts.append(draft)
        narrow[indices] = case
        idle_in += [nothing] if nothing is not None else []
        found += not_in_use or checks.check(case)
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
    described: dict[KeyPath, Any] = {}

    def table(model: type[_Table], name: str) -> _Table | None:
        found: _Table | None = once(name, [(name,)], partial(as_far, model, document.get(name, {}), (name,)))
        return found

    def blocks(kind: str, model: type[BaseModel]) -> Iterator[tuple[KeyPath, Any, Any]]:
        """Yield path, raw table and checked block of every block of one kind that can be read at all."""
        for path, raw in _blocks(document, kind, problems):
            described[path] = block = once(path, [path], partial(as_far, model, raw, path))
            if block is not None:
                yield path, raw, block

    heading = once("", [], partial(validated, Heading, {key: document[key] for key in Heading.model_fields if key in document}, ()))
    run, model = table(RunTable, "run"), table(ModelTable, "model")
    raw_groups = document.get("groups", {})
    groups_table = once("groups", [("groups",)], partial(validated, GroupsTable, raw_groups, ("groups",)))
    evidence = _evidence(document.get("evidence", {}), file, folder, once)
    in_use, leftovers = evidence.in_use, dict(evidence.leftovers)
    groups = groups_table.root if groups_table is not None else legible_groups(raw_groups)
    shared = (model.shared_load_scale if model is not None else None) or []
    if in_use is not None:
        leftovers |= once("corridors", [*_SELECTION, ("model",)], partial(check_corridors, groups, shared, in_use))

    parameters: list[Parameter] = []
    resting: dict[str, str] = {}
    for path, raw, block in blocks("parameter", ParameterBlock):
        base = (*path, "distribution")
        its_law = once(base, [base], partial(read_law, block, raw, base))
        parameter, left_out = once(
            (path, "in use"), [path, *_SELECTION], partial(read_parameter, block, raw, path, its_law or stand_in(block), groups, in_use)
        )
        parameters += [parameter] if parameter is not None else []
        leftovers |= left_out
        resting[block.source] = block_id(raw)
    correlations = [read_correlation(link, raw, path, problems) for path, raw, link in blocks("correlation", CorrelationBlock)]
    questions = _questions(document, blocks, groups, in_use, resting, problems)
    sensitivity = None
    if "sensitivity" in document:
        described[("sensitivity",)] = asked = table(SensitivityTable, "sensitivity")
        sensitivity = read_sensitivity(asked, groups, in_use, problems) if asked is not None and in_use is not None else None
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
        correlations=tuple(each for each in correlations if each is not None and each.path not in refused),
        contrasts=tuple(each for each in questions.contrasts if each.path not in refused),
        claims=tuple(questions.claims),
        growths=tuple(questions.growths),
        conditions=tuple(each for each in questions.conditions if each.path not in refused),
        sensitivity=sensitivity if not any(path[:1] == ("sensitivity",) for path in refused) else None,
        document={},
    )
    problems += _check_run(run, len(scenario.places), len(periods)) if whole else []
    return _Draft(
        scenario=scenario, described=described, sources=evidence.sources, leftovers=leftovers, all_rows=evidence.rows, whole=whole
    )


class _Evidence(NamedTuple):
    """What `[evidence]` says: sources, every row, the rows that are selected, and what a selection finds no row for."""

    sources: Mapping[str, Source]
    rows: Sequence[Row]
    in_use: InUse | None
    leftovers: Leftovers


def _evidence(raw: Any, file: TomlFile, folder: Path, once: _Once) -> _Evidence:
    tables = {key: item for key, item in raw.items() if key != "row"} if isinstance(raw, dict) else raw
    evidence = once("evidence", [("evidence",)], partial(as_far, EvidenceTable, tables, ("evidence",)))
    if evidence is None:
        return _Evidence({}, (), None, {})
    sources = once("sources", [], partial(read_sources, evidence, folder))
    listed = evidence.tables or [] if "tables" not in tables or evidence.tables is not None else None
    rows = once("rows", [], partial(read_rows, listed, raw.get("row", []), file, folder))
    if rows is None:
        return _Evidence(sources, (), None, {})
    labels = {"corridor": evidence.corridors, "period": evidence.periods}
    in_use, leftovers = once("selection", _SELECTION, partial(select, rows, labels))
    return _Evidence(sources, rows, in_use, leftovers)


class _Questions(NamedTuple):
    contrasts: list[Contrast]
    claims: list[Claim]
    growths: list[Growth]
    conditions: list[Condition]


def _questions(
    document: Mapping[str, Any],
    blocks: _ReadBlocks,
    groups: Mapping[str, list[str]],
    in_use: InUse | None,
    resting: Mapping[str, str],
    problems: list[Problem],
) -> _Questions:
    """Return what is asked, without what cannot be read; a growth makes two contrasts and a claim.

    resting   source -> id of a block of parameters that rests on it
    """
    contrasts = [read_contrast(block, path, groups, in_use, problems) for path, _, block in blocks("contrast", ContrastBlock)]
    growths: list[Growth] = []
    for path, _, block in blocks("growth", GrowthBlock):
        others = [growth for growth in growths if growth.id != block.id]
        taken = {
            "contrast": [*_ids(document, "contrast"), *(each.id for other in others for each in other.contrasts)],
            "claim": [*_ids(document, "claim"), *(other.decrease.id for other in others)],
        }
        growth = read_growth(block, path, groups, in_use, taken, problems)
        growths += [growth] if growth is not None else []
    known = [*_ids(document, "contrast"), *(name for id_ in _ids(document, "growth") for name in (id_, f"{id_}.seized"))]
    claims = [read_claim(block, raw, path, known, problems) for path, raw, block in blocks("claim", ClaimBlock)]
    conditions = []
    for path, raw, block in blocks("condition", ConditionBlock):
        unknown = block.result is not None and add_unknown_labels(block.result, (*path, "result"), groups, in_use, problems)
        condition = read_condition(block, raw, path, resting, problems)
        conditions += [condition] if not unknown else []
    return _Questions(
        contrasts=[*(each for each in contrasts if each is not None), *(each for growth in growths for each in growth.contrasts)],
        claims=[*(each for each in claims if each is not None), *(growth.decrease for growth in growths)],
        growths=growths,
        conditions=[each for each in conditions if each is not None],
    )


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


def _ids(document: Mapping[str, Any], kind: str) -> list[str]:
    """Return the ids that blocks of one kind give, those of wrong blocks too."""
    blocks = document.get(kind, [])
    raws = [raw for raw in blocks if isinstance(raw, dict)] if isinstance(blocks, list) else []
    return [raw["id"] for raw in raws if isinstance(raw.get("id"), str)]


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


# --- what serves nothing --------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class _Idle:
    """What serves nothing in one case: what its tables say (`leftovers`), what matching finds (`unserved`), and what it does not judge."""

    leftovers: Leftovers
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
    known: Leftovers = {key: problem for here in idle_in for key, problem in here.leftovers.items() if key in everywhere}
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
        for text in checks.warnings(case):
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
