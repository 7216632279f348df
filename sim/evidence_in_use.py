"""The evidence of a scenario: its sources, the rows that it names or holds, and those that its selection leaves in use."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from .errors import Problem, ScenarioError
from .evidence import Row, check_rows, read_table, row_from_mapping
from .matching import Idle
from .schema import EvidenceRow, EvidenceTable, Source, SourcesTable, as_far, validated
from .toml_file import KeyPath, TomlFile, check_scalars, nearest, read_toml, shown


@dataclass(frozen=True, slots=True, kw_only=True)
class InUse:
    """The evidence in use; its labels by dimension, in the order they are shown, those that a selection left out, those without a row."""

    rows: tuple[Row, ...]
    labels: Mapping[str, tuple[str, ...]]
    left_out: Mapping[str, frozenset[str]]
    without_rows: Mapping[str, frozenset[str]]

    def missing(self, label: str, known: Sequence[str], kind: str, path: KeyPath) -> Problem:
        """Return what is wrong with a label that is not in use."""
        came, allowed, advice = f"unknown {kind} {shown(label)}", f"known are {first_of(known)}", nearest(label, known)
        if label in self.left_out[kind]:
            came, allowed = f"{kind} {shown(label)} is not in use", f"evidence.{kind}s leaves it out"
            advice = "Select it there, or delete it here"
        return Problem(path=path, came=came, allowed=allowed, advice=advice)


Leftovers = dict[Idle, Problem | None]
"""What serves nothing, with what is wrong about it; None where that is said elsewhere. An error, but a warning after `--set`, and nothing
where another case of the sweeps needs it."""


def first_of(labels: Sequence[str]) -> str:
    """Return the first twelve of the labels, as text."""
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


def read_sources(table: EvidenceTable, folder: Path, problems: list[Problem]) -> dict[str, Source]:
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


def read_rows(tables: Sequence[str] | None, raw_rows: Any, file: TomlFile, folder: Path, problems: list[Problem]) -> list[Row] | None:
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


def select(rows: Sequence[Row], selected: Mapping[str, Sequence[str] | None], problems: list[Problem]) -> tuple[InUse | None, Leftovers]:
    """Return the evidence of the `selected` corridors and periods (None: all), None where that is wrong; and labels without any."""
    n_before = len(problems)
    known = {kind: tuple(dict.fromkeys(getattr(row, kind) for row in rows)) for kind in selected}
    chosen = {kind: tuple(labels) if labels is not None else known[kind] for kind, labels in selected.items()}
    places: dict[tuple[str, str], KeyPath] = {}
    for kind, labels in selected.items():
        places |= {(kind, label): ("evidence", f"{kind}s", number) for number, label in enumerate(labels or (), start=1)}
    for (kind, label), path in places.items():
        if label not in known[kind]:
            came, allowed = f"no row of evidence has the {kind} {shown(label)}", f"the {kind}s are {first_of(known[kind])}"
            problems.append(Problem(path=path, came=came, allowed=allowed, advice=nearest(label, known[kind])))
    if len(problems) > n_before:
        return None, {}
    kept = [row for row in rows if all(getattr(row, kind) in labels for kind, labels in chosen.items())]
    problems += check_rows(kept)
    without_rows = {kind: frozenset(labels) - {getattr(row, kind) for row in kept} for kind, labels in chosen.items()}
    leftovers: Leftovers = {}
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
    return InUse(rows=tuple(kept), labels=chosen, left_out=left_out, without_rows=without_rows), leftovers
