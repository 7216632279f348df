"""Evidence tables: rows as written to checked rows in kilograms, lengths of periods, and the file they are written to."""

from __future__ import annotations

import calendar
import contextlib
import datetime
import os
import re
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, get_args

from .csv_file import CellError, check_points, more_below, read_count, read_quantity, read_records, read_text, shown, wrong_field_count
from .errors import EvidenceError, Problem
from .files import write
from .limits import MAX_LABEL, MAX_PROBLEMS
from .units import MASS_UNITS, UnitError, closest, to_kg

if TYPE_CHECKING:
    import pandas as pd

Form = Literal["powder", "pill", "unrecorded", "precursor"]
FORMS: tuple[Form, ...] = get_args(Form)
DRUG_FORMS: tuple[Form, ...] = FORMS[:3]  # a precursor is no drug yet: it has a potential, and is in no sum of what was seized
COLUMNS = ("corridor", "period", "form", "n_events", "amount", "unit", "rounding", "n_min", "n_max", "source", "note")
_REQUIRED = COLUMNS[:6]
_N_MIN, _N_MAX = 1, 300

_TWO_DATES = re.compile(r"([0-9]+-[0-9]+-[0-9]+)/([0-9]+-[0-9]+-[0-9]+)")
_ANY_DATES = re.compile(r"([0-9]+)[-./]([0-9]+)[-./]([0-9]+)(?: *[^0-9A-Za-z] *| +to +)([0-9]+)[-./]([0-9]+)[-./]([0-9]+)")
_YEAR = re.compile(r"(?:FY|CY)([0-9]{4})")


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One checked row of evidence. `amount` and `rounding` are in `unit`: kg, or a count of tablets.

    `n_events` is None where the count is unknown; only then do `n_min` and `n_max` matter. `where` says where the row was
    written ("evidence/cbp.csv:31") and is no part of its identity.
    """

    corridor: str
    period: str
    form: Form
    n_events: int | None
    amount: float
    unit: Literal["kg", "pill"]
    rounding: float = 0.0
    n_min: int = _N_MIN
    n_max: int = _N_MAX
    source: str = ""
    note: str = ""
    where: str = field(default="", compare=False)


def _label(raw: object) -> str:
    """Return a label. Labels stand in ids such as `detection_rate[a,b]` and `detection_rate@a,b`, so `, [ ] @ |` are refused."""
    label = read_text(raw)
    if label == "":
        raise CellError("it is blank", "a label is needed", "Write the label")
    if len(label) > MAX_LABEL:
        raise CellError(f"a label of {len(label)} characters", f"a label has at most {MAX_LABEL}", "Shorten it")
    for character in label:
        if character in ",[]@|" or not character.isprintable():
            raise CellError(
                f"the character {character!a} in the label {shown(label)}",
                "a label has none of , [ ] @ | and no control characters, because labels stand in ids such as detection_rate[a,b]",
                "Rename it",
            )
    return label


def _period(raw: object) -> str:
    label = _label(raw)
    if dates := _TWO_DATES.fullmatch(label):
        allowed = "two dates are a period as YYYY-MM-DD/YYYY-MM-DD, both days included"
        try:
            first, last = (_date(date) for date in dates.groups())
        except ValueError as wrong:
            raise CellError(f"{label!r} is not two dates: {wrong}", allowed, "Correct the date") from None
        if last < first:
            raise CellError(f"{label!r} ends before it begins", allowed, f"Write {last}/{first}")
    return label


def _form(raw: object) -> str:
    form = _label(raw)
    if form not in FORMS:
        near = closest(form, FORMS)
        advice = f"The nearest is {near}" if near else "Write unrecorded where the form is not known"
        if form == "all":
            advice = "all is a form of results: write unrecorded, or one row for powder and one for pill"
        raise CellError(f"{form!r} is not a form of evidence", f"it must be one of {', '.join(FORMS)}", advice)
    return form


def _unit(raw: object) -> str:
    unit = read_text(raw)
    choices = (*MASS_UNITS, "pill")
    if unit not in choices:
        came = f"{shown(unit)} is not a unit of evidence" if unit else "it is blank"
        near = closest(unit, choices)
        advice = f"The nearest is {near}" if near else "Write the unit of amount"
        if unit.casefold() in ("ton", "tons"):
            advice = "Write t for a tonne of 1000 kg, or give the amount in lb"
        raise CellError(came, f"it must be one of {', '.join(choices)}", advice)
    return unit


_READERS: Mapping[str, Callable[[object], Any]] = {
    "corridor": _label,
    "period": _period,
    "form": _form,
    "n_events": lambda raw: read_count(raw, 0),
    "amount": read_quantity,
    "unit": _unit,
    "rounding": lambda raw: 0.0 if raw == "" else read_quantity(raw),
    "n_min": lambda raw: read_count(raw, 1),
    "n_max": lambda raw: read_count(raw, 1),
    "source": read_text,
    "note": read_text,
}


def _read_cells(cells: Mapping[str, object]) -> tuple[dict[str, Any], list[Problem]]:
    """Read the cells that are there, and check them against each other as far as they can be read.

    Returns the arguments of a Row, complete only where all required cells were given and no problem was found.
    """
    problems: list[Problem] = []
    fields: dict[str, Any] = {}

    def wrong(column: str, came: str, allowed: str, advice: str) -> None:
        problems.append(Problem(path=(column,), came=came, allowed=allowed, advice=advice))

    for column, raw in cells.items():
        blank = raw is None or (isinstance(raw, str) and raw.strip() == "")
        try:
            fields[column] = _READERS[column]("" if blank else raw.strip() if isinstance(raw, str) else raw)
        except CellError as refused:
            problems.append(refused.at(column))

    amount, unit, form = fields.get("amount"), fields.get("unit"), fields.get("form")
    n_events = fields.get("n_events")
    if unit == "pill" and form is not None and form != "pill":
        wrong(
            "unit",
            came=f"pill with the form {form}",
            allowed="a count of tablets has the form pill",
            advice="Set form to pill, or give a mass",
        )
    if unit == "pill" and amount is not None:
        try:
            written = cells["amount"]
            text = written.strip() if isinstance(written, str) else written
            check_points(text, amount, "tablets are counted")
        except CellError as refused:
            problems.append(refused.at("amount"))
    if n_events == 0 and amount:
        wrong(
            "amount",
            came=f"{amount:g} in 0 events",
            allowed="n_events = 0 needs amount = 0",
            advice="Leave n_events blank if it is unknown",
        )
    if amount is not None and fields.get("rounding", 0) > amount:
        came = f"{fields['rounding']:g} around an amount of {amount:g}"
        wrong("rounding", came=came, allowed="it must be at most amount", advice="Give the half-width of rounding, in the unit of amount")
    n_min, n_max = fields.pop("n_min", None), fields.pop("n_max", None)
    if "n_events" in fields:
        for column, bound in (("n_min", n_min), ("n_max", n_max)):
            if bound is not None and n_events is not None:
                advice = f"Leave {column} blank, or n_events if it is unknown"
                wrong(column, came=f"{bound} beside n_events = {n_events}", allowed="it is for a blank n_events only", advice=advice)
    fields["n_min"], fields["n_max"] = _N_MIN if n_min is None else n_min, _N_MAX if n_max is None else n_max
    if fields["n_min"] > fields["n_max"]:
        default = " (its default)" if n_max is None else ""
        came = f"{fields['n_min']} is above n_max = {fields['n_max']}{default}"
        wrong("n_min", came=came, allowed="n_min must be at most n_max", advice="Raise n_max or lower n_min")
    if unit in MASS_UNITS:
        fields["unit"] = "kg"
        for column in ("amount", "rounding"):
            if column in fields:
                try:
                    fields[column] = to_kg(fields[column], unit)
                except UnitError as refused:
                    problems.extend(problem.at(prefix=(column,)) for problem in refused.problems)
    return fields, problems


def row_from_mapping(mapping: Mapping[str, object], path: tuple[str | int, ...] = ()) -> tuple[Row | None, list[Problem]]:
    """Read one row from a mapping with the CSV's columns as keys and numbers or texts in them.

    An omitted key is a blank. Blanks around texts are dropped. Returns the row, or None and every problem, with `path` before
    the name of the column.
    """
    problems = []
    for key in mapping:
        if key not in COLUMNS:
            near = closest(str(key), COLUMNS)
            advice = f"The nearest is {near}" if near else "Delete it"
            problems.append(Problem(path=(str(key),), came="unknown key", allowed=f"a row has {', '.join(COLUMNS)}", advice=advice))
    fields, wrong = _read_cells({column: mapping.get(column, "") for column in COLUMNS})
    problems = [problem.at(prefix=path) for problem in (*problems, *wrong)]
    where = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path).removeprefix(".")
    return (None if problems else Row(**fields, where=where)), problems


def row_as_mapping(row: Row) -> dict[str, str | int | float]:
    """Return the mapping that `row_from_mapping` reads as an equal row, bit for bit; blanks and defaults are left out."""
    mapping: dict[str, str | int | float] = {"corridor": row.corridor, "period": row.period, "form": row.form}
    if row.n_events is not None:
        mapping["n_events"] = row.n_events
    mapping |= {"amount": row.amount, "unit": row.unit}
    if row.rounding:
        mapping["rounding"] = row.rounding
    if row.n_events is None:
        mapping |= {"n_min": row.n_min, "n_max": row.n_max}
    return mapping | {column: text for column, text in (("source", row.source), ("note", row.note)) if text}


def read_table(path: str | os.PathLike[str]) -> tuple[list[Row], list[Problem]]:
    """Read an evidence table (CSV, UTF-8, a byte order mark is fine); return its rows, or no row and every problem.

    Columns may come in any order; blanks around cells are dropped, and empty lines skipped. Problems carry line numbers and
    the path as it stands; after 200 of them reading stops. A file that cannot be read as CSV, or is
    larger than 64 MiB or 1,000,000 rows, has that as its last problem.
    """
    name = os.fspath(path)
    rows: list[Row] = []
    problems: list[Problem] = []
    try:
        records = read_records(path, name)
        line, header = next(records)
        problems = [problem.at(name, line) for problem in _header_problems(header)]
        n_rows = 0
        for line, cells in records:
            n_rows += 1
            if problems and set(_REQUIRED) <= set(cells):
                came = f"line {line} holds the columns"
                return [], [
                    Problem(file=name, line=1, came=came, allowed="the header must be line 1", advice="Delete what stands above it")
                ]
            if len(problems) >= MAX_PROBLEMS:
                problems.append(more_below(name, line))
                break
            if len(cells) != len(header):
                problems.append(wrong_field_count(cells, header).at(name, line))
                continue
            fields, wrong = _read_cells({column: cell for column, cell in zip(header, cells, strict=True) if column in COLUMNS})
            problems += [problem.at(name, line) for problem in wrong]
            if not problems:
                rows.append(Row(**fields, where=f"{name}:{line}"))
        if n_rows == 0:
            problems.append(Problem(came="the table has a header and no rows", advice="Add a row for each stratum", file=name))
    except EvidenceError as refused:
        problems += refused.problems
    return ([] if problems else rows), problems


def _header_problems(header: Sequence[str]) -> list[Problem]:
    allowed = f"the columns are {', '.join(COLUMNS)}"
    problems = []
    meant = set()
    if n_blank := header.count(""):
        came = f"the header has {n_blank} empty column{'s' if n_blank > 1 else ''}"
        problems.append(Problem(came=came, allowed=allowed, advice="Delete the commas that make them, here and below"))
    for i, column in enumerate(header):
        if column and column in header[:i]:
            problems.append(Problem(came=f"the column {shown(column)} stands twice", allowed=allowed, advice="Delete one"))
        elif column and column not in COLUMNS:
            near = closest(column, [known for known in COLUMNS if known not in header])
            meant.add(near)
            advice = f"The nearest is {near}" if near else "Delete it"
            problems.append(Problem(came=f"unknown column {shown(column)}", allowed=allowed, advice=advice))
    problems += [
        Problem(came=f"the column {column} is missing", allowed=allowed, advice="Add it")
        for column in _REQUIRED
        if column not in header and column not in meant
    ]
    return problems


def check_rows(rows: Iterable[Row]) -> list[Problem]:
    """Return a problem for each stratum that has events (or an unknown count of them) and no amount at all."""
    strata: dict[tuple[str, str, str], list[Row]] = defaultdict(list)
    for row in rows:
        strata[row.corridor, row.period, row.form].append(row)
    problems = []
    for stratum, members in strata.items():
        eventful = [row for row in members if row.n_events != 0]
        if eventful and not any(row.amount > 0 for row in members):
            counts = [row.n_events for row in eventful]
            events = "an unknown number of" if None in counts else str(sum(n for n in counts if n is not None))
            problems.append(
                _at_row(
                    eventful[0],
                    came=f"{events} events with a total amount of 0 in {', '.join(stratum)}",
                    allowed="the weights of a stratum with events must be known",
                    advice="Give an amount, or leave the stratum out",
                )
            )
    return problems


def odd_labels(rows: Iterable[Row]) -> list[Problem]:
    """Return a note for labels that differ in case, blanks or dashes only, and for periods that look like dates and are none."""
    first: dict[tuple[str, str], Row] = {}
    for row in rows:
        first.setdefault(("corridor", row.corridor), row)
        first.setdefault(("period", row.period), row)
    notes = []
    alike: dict[tuple[str, str], str] = {}
    for (kind, label), row in first.items():
        other = alike.setdefault((kind, _folded(label)), label)
        if other != label:
            came = f"{shown(label)} beside {shown(other)}"
            allowed = f"each {kind} has one label, so these are two"
            notes.append(_at_row(row, path=(kind,), came=came, allowed=allowed, advice="Write both alike if one is meant"))
        if kind == "period" and (dates := _as_dates(label)):
            came, allowed = f"{shown(label)} looks like dates", "only two ISO dates tell how long a period is"
            notes.append(_at_row(row, path=(kind,), came=came, allowed=allowed, advice=f"Write {' or '.join(dates)}"))
    return notes


def equal_rows(rows: Iterable[Row]) -> list[Problem]:
    """Return one note about rows that are equal in every cell, if there are any: they may be one row that was pasted twice."""
    seen: dict[Row, Row] = {}
    twice = [(row, seen[row]) for row in rows if seen.setdefault(row, row) is not row]
    if not twice:
        return []
    row, before = twice[0]
    came = f"this row is equal to {before.where} in every cell" + (f", one of {len(twice)} such rows" if len(twice) > 1 else "")
    return [_at_row(row, came=came, allowed="both count", advice="Delete one, or tell them apart by a note")]


def _folded(label: str) -> str:
    plain = unicodedata.normalize("NFKC", label).casefold()
    return "".join("-" if unicodedata.category(mark) == "Pd" or mark == "\u2212" else mark for mark in plain if not mark.isspace())


def _as_dates(label: str) -> list[str]:
    """Return the periods that a label may mean which is two dates, but not two ISO dates and a slash."""
    dates = _ANY_DATES.fullmatch(label)
    if dates is None or _TWO_DATES.fullmatch(label):
        return []
    parts = [int(part) for part in dates.groups()]
    found = []
    for order in ((0, 1, 2), (2, 1, 0), (2, 0, 1)):  # year first, day first, month first
        with contextlib.suppress(ValueError, OverflowError):
            first, last = (datetime.date(*(date[i] for i in order)) for date in (parts[:3], parts[3:]))
            found += [f"{first}/{last}"] if first.year >= 1900 and first <= last else []
    return list(dict.fromkeys(found))


def _at_row(row: Row, **parts: Any) -> Problem:
    """Return a problem at the place where a row was written, as far as it is known."""
    place = re.fullmatch(r"(.+):([0-9]+)", row.where, re.DOTALL)
    return Problem(**parts, file=place[1] if place else row.where or None, line=int(place[2]) if place else None)


def period_days(label: str) -> int | None:
    """Return the length of a period in days, or None where the label does not tell it.

    FY2024 is 1 October 2023 to 30 September 2024 and CY2024 the calendar year: both hold the 29 February of 2024. Two ISO dates
    include both days. Any suffix makes the length unknown.

    >>> period_days("FY2024"), period_days("CY2023"), period_days("2025-02-12/2025-03-13"), period_days("FY2026-Oct-Apr")
    (366, 365, 30, None)
    """
    if year := _YEAR.fullmatch(label):
        return 366 if calendar.isleap(int(year[1])) else 365
    if dates := _TWO_DATES.fullmatch(label):
        try:
            first, last = (_date(date) for date in dates.groups())
        except ValueError:
            return None
        return (last - first).days + 1 if first <= last else None
    return None


def period_start(label: str) -> datetime.date | None:
    """Return the first day of a period, or None where the label does not tell it.

    >>> str(period_start("FY2024")), str(period_start("2025-02-12/2025-03-13")), period_start("FY2026-Oct-Apr")
    ('2023-10-01', '2025-02-12', None)
    """
    if _YEAR.fullmatch(label) and int(label[2:]) > 1:
        return datetime.date(int(label[2:]), 1, 1) if label.startswith("CY") else datetime.date(int(label[2:]) - 1, 10, 1)
    if period_days(label) is not None and (dates := _TWO_DATES.fullmatch(label)):
        return _date(dates[1])
    return None


def _date(text: str) -> datetime.date:
    if not re.fullmatch("[0-9]{4}-[0-9]{2}-[0-9]{2}", text):
        raise ValueError(f"{text} is not YYYY-MM-DD")
    return datetime.date.fromisoformat(text)


def write_evidence(frame: pd.DataFrame, path: str | os.PathLike[str]) -> None:
    """Write an evidence table as CSV, whole or not at all. Numbers keep every digit that a float needs.

    Raises EvidenceError where the file cannot be written; what stood there before is then untouched.
    """
    write(path, frame.to_csv(index=False, lineterminator="\n").encode("utf-8"), EvidenceError)
