"""Paths into a raw scenario, what `--set` puts there, and the cases that sweeps make of it; what a document means is not known here."""

from __future__ import annotations

import copy
import itertools
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from pydantic import BaseModel

from .elicitation import NATURAL, parametrisations
from .errors import Problem
from .limits import MAX_CASES
from .records import DIMENSIONS, LAYOUT_NAMES, Sweep
from .schema import (
    KINDS,
    ClaimBlock,
    ConditionBlock,
    ContrastBlock,
    CorrelationBlock,
    EvidenceTable,
    GrowthBlock,
    ModelTable,
    ParameterBlock,
    ResultTable,
    RunTable,
    SensitivityTable,
    SweepBlock,
    as_far,
)
from .toml_file import KeyPath, shown
from .units import closest

BLOCKS: Mapping[str, type[BaseModel]] = {
    "parameter": ParameterBlock,
    "correlation": CorrelationBlock,
    "contrast": ContrastBlock,
    "claim": ClaimBlock,
    "condition": ConditionBlock,
    "growth": GrowthBlock,
}
TABLES: Mapping[str, type[BaseModel]] = {
    "run": RunTable,
    "model": ModelTable,
    "evidence": EvidenceTable,
    "sensitivity": SensitivityTable,
}

# What `--set` may change and a sweep may not: names and words, which move no number, and what decides which labels there are at all.
_NOT_SWEPT = {"name", "question", "run.keep_draws", "evidence.tables"}
_WORDS = {"basis", "source", "grade", "note", "text"}
_PATHS = "a path is table.key, or parameter.ID.key with the id of a block; correlation, contrast, claim, growth and condition likewise"

Indices = tuple[int, ...]  # of the values of one case, a number for each sweep


@dataclass(frozen=True, slots=True, kw_only=True)
class Swept:
    """A sweep with the place it varies, and the number of its block in the file."""

    sweep: Sweep
    keys: KeyPath
    number: int


def block_id(block: Mapping[str, Any]) -> str:
    """Return the id of a raw block, given or by default; defined for wrong blocks too, so that messages can name them."""
    if isinstance(block.get("id"), str):
        return str(block["id"])
    if "between" in block:
        between = block["between"]
        return "~".join(str(name) for name in between) if isinstance(between, list) else ""
    labels = [label for key in DIMENSIONS if key in block for label in (block[key] if isinstance(block[key], list) else [block[key]])]
    return f"{block.get('name', '')}[{','.join(map(str, labels))}]" if labels else str(block.get("name", ""))


def settable(document: Mapping[str, Any]) -> dict[str, KeyPath]:
    """Return every `--set` path of a document with its key path."""
    paths: dict[str, KeyPath] = {key: (key,) for key in ("name", "question", "sensitivity")}
    for table, model in TABLES.items():
        if isinstance(document.get(table, {}), dict):
            paths |= {f"{table}.{key}": (table, key) for key in model.model_fields if key not in ("row", "sources")}
    groups = document.get("groups")
    paths |= {f"groups.{key}": ("groups", key) for key in (groups if isinstance(groups, dict) else ())}
    for name, model in BLOCKS.items():
        blocks = document.get(name)
        for number, block in enumerate(blocks if isinstance(blocks, list) else [], start=1):
            if not isinstance(block, dict):
                continue
            stem, base = f"{name}.{block_id(block)}", (name, number)
            paths |= {f"{stem}.{key}": (*base, key) for key in model.model_fields if key not in ("id", "name")}
            law_table = block.get("distribution")
            if name == "parameter" and isinstance(law_table, dict):
                kind = KINDS.get(str(law_table.get("kind")))
                keys = {*law_table, *(kind.model_fields if kind is not None else ())}
                paths |= {f"{stem}.distribution.{key}": (*base, "distribution", key) for key in keys}
            for side in {"contrast": ("numerator", "denominator"), "condition": ("result",)}.get(name, ()):
                if isinstance(block.get(side), dict):
                    paths |= {f"{stem}.{side}.{key}": (*base, side, key) for key in ResultTable.model_fields}
    return paths


def _swept_paths(document: Mapping[str, Any]) -> dict[str, KeyPath]:
    """Return the paths that a sweep may name."""
    return {
        name: keys
        for name, keys in settable(document).items()
        if name not in _NOT_SWEPT and keys[0] not in ("groups", "sensitivity") and not (keys[0] in BLOCKS and keys[-1] in _WORDS)
    }


def _keep_id(document: Mapping[str, Any], keys: KeyPath) -> None:
    """Write down the id of the block that a path leads into: changing its selectors is not to rename what others refer to."""
    match keys:
        case (str(kind), int(number), *_):
            block = document[kind][number - 1]
            block.setdefault("id", block_id(block))


def _not_there(document: Mapping[str, Any], name: str) -> str:
    """Say what to do about a path into groups or blocks of which the file has none; "" where it has some, or none can be meant."""
    kind = name.partition(".")[0]
    if (kind not in BLOCKS and kind != "groups") or document.get(kind):
        return ""
    return f"The file has no [{kind}]; write it there" if kind == "groups" else f"The file has no [[{kind}]]; write one there, with an id"


def _nearest_path(name: str, paths: Mapping[str, KeyPath]) -> str:
    """Return advice that names the path most like `name`, which may lack the table in front, or what of a parameter is meant."""
    short = {path.partition(".")[2]: path for path, keys in paths.items() if keys[0] in TABLES}
    for path in (path for path, keys in paths.items() if keys[0] == "parameter" and keys[2:] == ("distribution",)):
        stem = path.removesuffix(".distribution")
        short |= {stem: path, stem.partition(".")[2]: path}
    near = closest(name, [*paths, *short])
    return f"The nearest is {json.dumps(short.get(near, near), ensure_ascii=False)}" if near is not None else ""


def _second_form(document: Mapping[str, Any], keys: KeyPath) -> str:
    """Return the keys of a law that contradict one put at `keys`: those of another parametrisation; "" where there are none.

    The law would be given twice, and no path deletes a key.
    """
    match keys:
        case ("parameter", int(number), "distribution", str(key)):
            table = document["parameter"][number - 1]["distribution"]
            forms = parametrisations(table["kind"]) if table.get("kind") in NATURAL else []
            mine, others = ([other for form in forms if (key in form) == own for other in form if other in table] for own in (True, False))
            if others and not mine and any(key in form for form in forms):
                return ", ".join(others)
    return ""


def _given_twice(path: str, others: str) -> tuple[str, str, str]:
    law, _, key = path.rpartition(".")
    came = f"{key} beside {others}, which stand there, gives the law twice"
    return came, "a law is given in one way", f"Set the whole of {law}, as {{ kind = ... }}"


def override(document: dict[str, Any], overrides: Mapping[str, Any], problems: list[Problem]) -> dict[KeyPath, str]:
    """Put the values of `--set` into `document`, in order, and return which key paths they replaced."""
    replaced: dict[KeyPath, str] = {}
    for name, given in overrides.items():
        paths = settable(document)
        if name not in paths:
            advice = _not_there(document, name) or _nearest_path(name, paths)
            problems.append(Problem(file=f"--set {name}", came="there is no such path", allowed=_PATHS, advice=advice))
            continue
        keys = paths[name]
        if others := _second_form(document, keys):
            came, allowed, advice = _given_twice(name, others)
            problems.append(Problem(file=f"--set {name}", came=came, allowed=allowed, advice=advice))
            continue
        _keep_id(document, keys)
        table: Any = document
        for part in keys[:-1]:
            table = table.setdefault(part, {}) if isinstance(part, str) else table[part - 1]
        table[keys[-1]] = copy.deepcopy(given)
        replaced[keys] = name
    return replaced


# --- reading sweeps -------------------------------------------------------------------------------------------------------------------


def read_sweeps(document: dict[str, Any], replaced: Mapping[KeyPath, str], problems: list[Problem], notes: list[Problem]) -> list[Swept]:
    """Return the sweeps of a document into which `--set` has put what is `replaced`; those that are wrong add to `problems` instead.

    A path that `--set` fixes is not swept, which is noted.
    """
    blocks = document.get("sweep", [])
    if not isinstance(blocks, list):
        problems.append(Problem(path=("sweep",), came="one [sweep] table", allowed="sweeps are a list", advice="Write [[sweep]]"))
        return []
    found: list[Swept] = []
    first_of: dict[str, int] = {}
    for number, raw in enumerate(blocks, start=1):
        n_before = len(problems)
        block = as_far(SweepBlock, raw, ("sweep", number), problems)
        if block is None:
            continue
        if block.dim in LAYOUT_NAMES:
            came, allowed = f"dim = {shown(block.dim)}", "the layout of results has a name like this"
            problems.append(Problem(path=("sweep", number, "dim"), came=came, allowed=allowed, advice=f'Write dim = "swept_{block.dim}"'))
        if block.dim is not None and first_of.setdefault(block.dim, number) != number:
            came, allowed = f"dim = {shown(block.dim)} is that of sweep[{first_of[block.dim]}] too", "each sweep has a dimension of its own"
            problems.append(Problem(path=("sweep", number, "dim"), came=came, allowed=allowed, advice="Rename one"))
        keys = _keys(document, block.path, number, found, replaced, problems, notes) if block.path is not None else None
        labels = _labels(block, number, problems) if block.values is not None and ("labels" in raw) == (block.labels is not None) else None
        if len(problems) == n_before and keys is not None and labels is not None:
            sweep = Sweep(dim=block.dim, path=block.path, values=tuple(block.values), labels=labels)
            found.append(Swept(sweep=sweep, keys=keys, number=number))
    n_cases = math.prod(len(each.sweep.values) for each in found)
    if n_cases > MAX_CASES:
        came, allowed = f"the sweeps make {n_cases:,} cases", f"a scenario has at most {MAX_CASES:,}"
        problems.append(Problem(path=("sweep",), came=came, allowed=allowed, advice="Give fewer values, or split the scenario"))
        return []
    for each in found:
        _keep_id(document, each.keys)
    return found


def _keys(
    document: Mapping[str, Any],
    path: str,
    number: int,
    before: Sequence[Swept],
    replaced: Mapping[KeyPath, str],
    problems: list[Problem],
    notes: list[Problem],
) -> KeyPath | None:
    """Return the key path that a sweep varies, or None where it is wrong, or fixed by `--set`."""
    here = ("sweep", number, "path")
    paths = _swept_paths(document)
    if path not in paths:
        if path in settable(document):
            came, allowed = f"{shown(path)} cannot be swept", "a sweep varies what numbers follow from, and no names"
            problems.append(Problem(path=here, came=came, allowed=allowed, advice="Run it once for each value with --set"))
        else:
            advice = _not_there(document, path) or _nearest_path(path, paths)
            problems.append(Problem(path=here, came=f"there is no path {shown(path)}", allowed=_PATHS, advice=advice))
        return None
    keys = paths[path]
    for other in before:
        if _inside(keys, other.keys) or _inside(other.keys, keys):
            came = f"{shown(path)} varies what sweep[{other.number}] varies by {shown(other.sweep.path)}"
            problems.append(Problem(path=here, came=came, allowed="an entry is swept once", advice="Delete one, or sweep a list of tables"))
            return None
    if keys in replaced:
        notes.append(Problem(path=here, came=f"--set fixes {path}, so it is not swept", advice="The result has no such dimension"))
        return None
    if others := _second_form(document, keys):
        came, allowed, advice = _given_twice(path, others)
        problems.append(Problem(path=here, came=came, allowed=allowed, advice=advice))
        return None
    for deeper, name in replaced.items():
        if _inside(deeper, keys):
            came, allowed = f"sweep[{number}] replaces this by what it puts at {path}", "a value that is set must count"
            problems.append(Problem(file=f"--set {name}", came=came, allowed=allowed, advice=f"Set {path} as a whole"))
            return None
    return keys


def _inside(path: KeyPath, table: KeyPath) -> bool:
    return path[: len(table)] == table


def _labels(block: SweepBlock, number: int, problems: list[Problem]) -> tuple[int | float | str, ...] | None:
    """Return the labels of a sweep: those given, or the values themselves, all numbers or all texts; None after adding what is wrong."""
    here: KeyPath = ("sweep", number, "labels")
    values = block.values
    if block.labels is not None:
        if len(block.labels) == len(values):
            return tuple(block.labels)
        came, allowed = f"{len(block.labels)} labels for {len(values)} values", "each value has one label"
        problems.append(Problem(path=here, came=came, allowed=allowed, advice="Add or delete some"))
        return None
    if any(isinstance(value, dict | list) for value in values):
        came, allowed = "labels is missing", "tables and lists do not name themselves"
        problems.append(Problem(path=("sweep", number), came=came, allowed=allowed, advice='Add labels = ["low", "high"]'))
        return None
    labels: tuple[int | float | str, ...]
    if all(isinstance(value, int | float) and not isinstance(value, bool) for value in values):
        whole = all(isinstance(value, int) and -(2**53) < value < 2**64 for value in values)  # 64 bits hold them; beyond that, nearly
        labels = tuple(values) if whole else tuple(float(min(max(value, -math.inf), math.inf)) for value in values)
    else:
        labels = tuple(value if isinstance(value, str) else shown(value) for value in values)
    seen: dict[int | float | str, int] = {}
    for position, label in enumerate(labels, start=1):
        if seen.setdefault(label, position) != position:
            came, allowed = f"{shown(label)} stands in place {seen[label]} too", "each value stands once"
            problems.append(Problem(path=("sweep", number, "values", position), came=came, allowed=allowed, advice="Delete one"))
    return labels


# --- cases ----------------------------------------------------------------------------------------------------------------------------


def combinations(swept: Sequence[Swept]) -> list[Indices]:
    """Return the case numbers by sweep, the last sweep fastest; one case, (), where nothing is swept."""
    return list(itertools.product(*(range(len(each.sweep.values)) for each in swept)))


def with_values(document: dict[str, Any], swept: Sequence[Swept], indices: Indices) -> dict[str, Any]:
    """Return the document of one case; what no path leads through is shared with `document`, which stays as it is."""
    changed = dict(document)
    for each, index in zip(swept, indices, strict=True):
        table: Any = changed
        for part in each.keys[:-1]:
            place = part if isinstance(part, str) else part - 1
            inner = copy.copy(table.get(place, {}) if isinstance(part, str) else table[place])
            table[place] = inner
            table = inner
        table[each.keys[-1]] = each.sweep.values[index]
    return changed


def touched_by(swept: Sequence[Swept]) -> Callable[[KeyPath], tuple[int, ...]]:
    """Return a function of a key path: the numbers of the sweeps that change what stands there, or below."""
    known: dict[KeyPath, tuple[int, ...]] = {}

    def touched(path: KeyPath) -> tuple[int, ...]:
        if path not in known:
            known[path] = tuple(k for k, each in enumerate(swept) if _inside(each.keys, path) or _inside(path, each.keys))
        return known[path]

    return touched


def name_cases(swept: Sequence[Sweep], cases: Sequence[Indices]) -> str:
    """Say which cases are meant, by as few labels as do: "" for all of them, `rho = 0.95` for all with that label."""
    apart = [dict.fromkeys(indices[k] for indices in cases) for k in range(len(swept))]
    if math.prod(map(len, apart)) != len(cases):
        return f"{named(swept, cases[0])} and {len(cases) - 1} more"
    parts = []
    for sweep, numbers in zip(swept, apart, strict=True):
        if len(numbers) < len(sweep.values):
            labels = [str(sweep.labels[number]) for number in numbers]
            shortened = labels if len(labels) <= 3 else [*labels[:2], f"{len(labels) - 2} more"]
            parts.append(f"{sweep.dim} = {' or '.join(shortened)}")
    return ", ".join(parts)


def named(swept: Sequence[Sweep], indices: Indices) -> str:
    """Name one case by all of its labels."""
    return ", ".join(f"{sweep.dim} = {sweep.labels[index]}" for sweep, index in zip(swept, indices, strict=True))


def said_once(found: Mapping[Indices, Sequence[Problem]], swept: Sequence[Swept]) -> list[Problem]:
    """Return the problems of all cases, each once: naming its cases, at the value of the sweep that brings it about where that is known."""
    cases_of: dict[Problem, list[Indices]] = {}
    for indices, problems in found.items():
        for problem in dict.fromkeys(problems):
            cases_of.setdefault(problem, []).append(indices)
    sweeps = [each.sweep for each in swept]
    said = []
    for problem, cases in cases_of.items():
        name = name_cases(sweeps, cases)
        came = f"{name}: {problem.came}" if name else problem.came
        path = problem.path
        for k, each in enumerate(swept):
            if problem.file is None and _inside(problem.path, each.keys):
                path = ("sweep", each.number, "values", cases[0][k] + 1)
        said.append(replace(problem, came=came, path=path))
    return said
