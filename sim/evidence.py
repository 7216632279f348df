"""Evidence tables: rows as written to checked rows in kilograms, lengths of periods, and the import of CBP's published file."""

from __future__ import annotations

import calendar
import csv
import datetime
import io
import math
import os
import re
import stat
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Literal, get_args

from .errors import EvidenceError, Problem
from .limits import MAX_LABEL, MAX_PROBLEMS
from .units import MASS_UNITS, UnitError, closest, to_kg

if TYPE_CHECKING:
    import pandas as pd

Form = Literal["powder", "pill", "unrecorded"]
FORMS: tuple[Form, ...] = get_args(Form)
COLUMNS = ("corridor", "period", "form", "n_events", "amount", "unit", "rounding", "n_min", "n_max", "source", "note")
_REQUIRED = COLUMNS[:6]
_N_MIN, _N_MAX = 1, 300

_LARGEST_FILE = 64 * 2**20
_MOST_ROWS = 1_000_000
_LARGEST_COUNT = 2**53  # above it a float no longer holds every whole number
_LARGEST_AMOUNT = 1e15
_LONGEST_NUMBER = 64
_NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_GROUPED = re.compile(r"[+-]?[0-9]{1,3}(?:,[0-9]{3})+(?:\.[0-9]*)?")
_TWO_DATES = re.compile(r"([0-9]+-[0-9]+-[0-9]+)/([0-9]+-[0-9]+-[0-9]+)")
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


class _Wrong(Exception):
    """A cell cannot be read: what came, what is allowed, what to do. Becomes a Problem where the place is known."""

    def __init__(self, came: str, allowed: str = "", advice: str = "") -> None:
        super().__init__(came)
        self.came, self.allowed, self.advice = came, allowed, advice

    def at(self, column: str) -> Problem:
        return Problem(path=(column,), came=self.came, allowed=self.allowed, advice=self.advice)


def _shown(raw: object) -> str:
    text = repr(raw)
    return text if len(text) <= 60 else f"{text[:60]}..."


def _number(raw: object) -> float:
    """Return a finite float from a number or its text. A bool is no number."""
    allowed = "it must be a number"
    if isinstance(raw, str):
        if not _NUMBER.fullmatch(raw) or len(raw) > _LONGEST_NUMBER:
            advice = "Write digits, with a point for decimals"
            if _GROUPED.fullmatch(raw):
                advice = f"Write {raw.replace(',', '')}"
            elif re.fullmatch(r"[0-9.]+ *[a-z]+", raw):
                advice = "The unit has a column of its own, unit"
            raise _Wrong(f"{_shown(raw)} is not a number", allowed, advice)
        number = float(raw)
        if number == 0 and re.match(r"[^eE]*[1-9]", raw):
            raise _Wrong(f"{raw} is too small for a number", allowed, "Check its exponent")
    elif isinstance(raw, bool) or not isinstance(raw, int | float):
        raise _Wrong(f"{_shown(raw)} is not a number", allowed, "Write digits, without quotes")
    else:
        try:
            number = float(raw)
        except OverflowError:
            number = math.inf
    if not math.isfinite(number):
        raise _Wrong(f"{_shown(raw)} is not finite", allowed, "Check its exponent; leave an unknown n_events blank")
    return number


def _count(raw: object, least: int) -> int | None:
    """Return a whole number from `least` to 2^53, or None for a blank."""
    if raw == "":
        return None
    allowed = f"it must be a whole number from {least} to 2^53" + (", or blank where it is unknown" if least == 0 else "")
    number = _number(raw)
    # The float is within range before its text is read exactly: Fraction("1e999999999") would take minutes.
    if not least <= number <= _LARGEST_COUNT:
        raise _Wrong(f"{_shown(raw)} is out of range", allowed, "Check the column; amounts belong in amount")
    exact = Fraction(str(raw)) if number else Fraction(0)
    if exact.denominator != 1 or exact > _LARGEST_COUNT:
        raise _Wrong(f"{_shown(raw)} is not a whole number", allowed, "Check the column; amounts belong in amount")
    return int(exact)


def _quantity(raw: object) -> float:
    number = _number(raw)
    if not 0 <= number <= _LARGEST_AMOUNT:
        raise _Wrong(f"{_shown(raw)} is out of range", f"it must be from 0 to {_LARGEST_AMOUNT:g}", "Check the sign and the unit")
    return number + 0.0  # -0.0 becomes 0.0


def _text(raw: object) -> str:
    """Return free text, which may run over several lines."""
    if not isinstance(raw, str):
        raise _Wrong(f"{_shown(raw)} is not a text", "it must be a text", f'Write "{raw}"' if isinstance(raw, int | float) else "")
    for character in raw:
        if unicodedata.category(character) in ("Cc", "Cs") and character not in "\t\r\n":
            raise _Wrong(f"the character {character!a} in {_shown(raw[:40])}", "control characters are not allowed", "Delete it")
    return raw


def _label(raw: object) -> str:
    """Return a label. Labels stand in ids such as `detection_rate[a,b]` and `detection_rate@a,b`, so `, [ ] @ |` are refused."""
    label = _text(raw)
    if label == "":
        raise _Wrong("it is blank", "a label is needed", "Write the label")
    if len(label) > MAX_LABEL:
        raise _Wrong(f"a label of {len(label)} characters", f"a label has at most {MAX_LABEL}", "Shorten it")
    for character in label:
        if character in ",[]@|" or not character.isprintable():
            raise _Wrong(
                f"the character {character!a} in the label {_shown(label)}",
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
            raise _Wrong(f"{label!r} is not two dates: {wrong}", allowed, "Correct the date") from None
        if last < first:
            raise _Wrong(f"{label!r} ends before it begins", allowed, f"Write {last}/{first}")
    return label


def _form(raw: object) -> str:
    form = _label(raw)
    if form not in FORMS:
        near = closest(form, FORMS)
        advice = f"The nearest is {near}" if near else "Write unrecorded where the form is not known"
        if form == "all":
            advice = "all is a form of results: write unrecorded, or one row for powder and one for pill"
        raise _Wrong(f"{form!r} is not a form of evidence", f"it must be one of {', '.join(FORMS)}", advice)
    return form


def _unit(raw: object) -> str:
    unit = _text(raw)
    choices = (*MASS_UNITS, "pill")
    if unit not in choices:
        came = f"{_shown(unit)} is not a unit of evidence" if unit else "it is blank"
        near = closest(unit, choices)
        raise _Wrong(came, f"it must be one of {', '.join(choices)}", f"The nearest is {near}" if near else "Write the unit of amount")
    return unit


_READERS: Mapping[str, Callable[[object], Any]] = {
    "corridor": _label,
    "period": _period,
    "form": _form,
    "n_events": lambda raw: _count(raw, 0),
    "amount": _quantity,
    "unit": _unit,
    "rounding": lambda raw: 0.0 if raw == "" else _quantity(raw),
    "n_min": lambda raw: _count(raw, 1),
    "n_max": lambda raw: _count(raw, 1),
    "source": _text,
    "note": _text,
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
        except _Wrong as refused:
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
        records = _records(path, name)
        line, header = next(records)
        problems = [problem.at(name, line) for problem in _header_problems(header)]
        n_rows = 0
        for line, cells in records:
            n_rows += 1
            if len(problems) >= MAX_PROBLEMS:
                problems.append(_more_below(name, line))
                break
            if len(cells) != len(header):
                problems.append(_field_count(cells, header).at(name, line))
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
    for i, column in enumerate(header):
        if column in header[:i]:
            problems.append(Problem(came=f"the column {_shown(column)} stands twice", allowed=allowed, advice="Delete one"))
        elif column not in COLUMNS:
            near = closest(column, [known for known in COLUMNS if known not in header])
            advice = f"The nearest is {near}" if near else "Delete it"
            problems.append(Problem(came=f"unknown column {_shown(column)}", allowed=allowed, advice=advice))
    problems += [
        Problem(came=f"the column {column} is missing", allowed=allowed, advice="Add it") for column in _REQUIRED if column not in header
    ]
    return problems


def _field_count(cells: Sequence[str], header: Sequence[str]) -> Problem:
    return Problem(
        came=f"{len(cells)} fields", allowed=f"the header has {len(header)}", advice="Put a text that holds a comma in double quotes"
    )


def _more_below(name: str, line: int) -> Problem:
    return Problem(came="there may be more problems below", advice="Correct those above first", file=name, line=line)


def _records(path: str | os.PathLike[str], name: str) -> Iterator[tuple[int, list[str]]]:
    """Yield (line of its first character, stripped cells) for each line of a CSV file that is not blank, the header first.

    Raises EvidenceError, one problem with file and line, for a file that cannot be read, is too large, is not UTF-8 text, has
    no header, or breaks the rules of CSV.
    """

    def refuse(came: str, allowed: str = "", advice: str = "", line: int | None = None) -> EvidenceError:
        return EvidenceError([Problem(came=came, allowed=allowed, advice=advice, file=name, line=line)])

    try:
        status = os.stat(path)
        if not stat.S_ISREG(status.st_mode):
            raise refuse("it is not a file", "a CSV file is needed", "Check the path")
        if status.st_size > _LARGEST_FILE:
            raise refuse(f"{status.st_size / 2**20:.0f} MiB", "a table has at most 64 MiB", "Split it")
        with open(path, "rb") as stream:
            raw = stream.read(_LARGEST_FILE + 1)
    except FileNotFoundError:
        raise refuse("there is no such file", advice="Check the path") from None
    except (OSError, ValueError) as wrong:
        raise refuse(
            f"it cannot be read: {getattr(wrong, 'strerror', None) or wrong}", advice="Check the path and its permissions"
        ) from None
    advice = "Save it as CSV (UTF-8)"
    if raw.startswith((b"PK\x03\x04", b"\xd0\xcf\x11\xe0")):
        raise refuse("it is a spreadsheet or an archive", "a CSV file is needed", advice)
    if raw.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise refuse("it is UTF-16 text", "UTF-8 is needed", advice)
    if (at := raw.find(b"\0")) >= 0:
        raise refuse("a NUL byte: this is not a text file", "a CSV file is needed", advice, raw.count(b"\n", 0, at) + 1)
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as wrong:
        line = wrong.object.count(b"\n", 0, wrong.start) + 1
        raise refuse(f"the byte 0x{wrong.object[wrong.start]:02x} is not UTF-8", "UTF-8 is needed", advice, line) from None

    reader = csv.reader(io.StringIO(text, newline=""), strict=True, skipinitialspace=True)
    n_records, line = 0, 1
    try:
        for cells in reader:
            stripped = [cell.strip() for cell in cells]
            if any(stripped):
                if n_records == 0 and len(stripped) == 1 and (separator := re.search("[;\t]", stripped[0])):
                    raise refuse(f"the fields are separated by {separator[0]!r}", "a comma is needed", advice, line)
                if n_records > _MOST_ROWS:
                    raise refuse(f"more than {_MOST_ROWS:,} rows", "a table has at most that many", "Split it", line)
                n_records += 1
                yield line, stripped
            line = reader.line_num + 1
    except csv.Error as wrong:
        raise refuse(f"it is not CSV: {wrong}", "a quoted text ends with a double quote", "Look for a stray one", line) from None
    if n_records == 0:
        raise refuse("it is empty", "a header and rows are needed", "Check the path")


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
            place = re.fullmatch(r"(.+):([0-9]+)", eventful[0].where, re.DOTALL)
            problems.append(
                Problem(
                    came=f"{events} events with a total amount of 0 in {', '.join(stratum)}",
                    allowed="the weights of a stratum with events must be known",
                    advice="Give an amount, or leave the stratum out",
                    file=place[1] if place else eventful[0].where or None,
                    line=int(place[2]) if place else None,
                )
            )
    return problems


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


def _date(text: str) -> datetime.date:
    if not re.fullmatch("[0-9]{4}-[0-9]{2}-[0-9]{2}", text):
        raise ValueError(f"{text} is not YYYY-MM-DD")
    return datetime.date.fromisoformat(text)


# CBP's "Nationwide Drug Seizures": one row a cell of month, component, region, land filter, area and drug.

_CBP_SOURCE = "cbp-nationwide-drug-seizures"
_CBP_COLUMNS = {
    "year": "FY",
    "month": "Month (abbv)",
    "component": "Component",
    "region": "Region",
    "land": "Land Filter",
    "area": "Area of Responsibility",
    "drug": "Drug Type",
    "events": "Count of Event",
    "weight": "Sum Qty (lbs)",
}
_OFO, _USBP = "Office of Field Operations", "U.S. Border Patrol"
_CBP_REGIONS = {"Northern Border": "northern", "Southwest Border": "southwest", "Coastal/Interior": "coastal-interior"}
_CBP_YEAR = re.compile(r"(?:fy ?)?((?:19|20)[0-9]{2})(?: \(fytd\))?")
_AMO_ADVICE = "CBP's Air and Marine Operations file is another base, never to be added to this one: give the file Nationwide Drug Seizures"
_MONTHS = ("October", "November", "December", "January", "February", "March", "April", "May", "June", "July", "August", "September")
_IMPORTED_COLUMNS = tuple(column for column in COLUMNS if column not in ("n_min", "n_max"))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Cell:
    """One row of CBP's file. `month` counts from October = 0, `n_file` tells files apart, `events` and `weight` are still text."""

    n_file: int
    file: str
    line: int
    year: int
    month: int
    component: str
    region: str
    land: str
    area: str
    drug: str
    events: str
    weight: str

    @property
    def corridor(self) -> str:
        side = _CBP_REGIONS[self.region]
        if self.region == "Coastal/Interior":
            return side
        if self.component == _USBP:
            return f"{side}-between-ports"
        return f"{side}-ports" if self.land == "Land Only" else f"{side}-other"


def import_cbp(paths: str | os.PathLike[str] | Iterable[str | os.PathLike[str]], drug: str = "Fentanyl") -> pd.DataFrame:
    """Read CBP's "Nationwide Drug Seizures" (one file, or several of different months) and sum one drug to evidence.

    Returns the columns of an evidence table (interface.md section 2, without `n_min` and `n_max`), one row a corridor and
    period, sorted. `n_events` sums CBP's counts of events, `amount` is pounds as weighed, the form is unrecorded.
    `attrs["reports"]` lists, as sentences, what a reader should know.

    Corridors: Field Operations with Land Only is `northern-ports` or `southwest-ports`, with Other `-other`; the Border Patrol is
    `-between-ports`; Coastal/Interior is one corridor. A period is `FY2025` where all its months are in the files (for any
    drug), else it names those that are: `FY2026-Oct-Apr`, with a gap `FY2026-Oct-Dec+Feb-Apr`. A corridor that stands in the
    files for any drug but has no cell of this one in a period becomes a row of no events: that is evidence. Events without a
    weight count as events, a weight without events is added; both are reported, as is a cell that stands twice.

    Raises EvidenceError, with the problems of all files: a file that is not CBP's (its AMO file is another base), a missing
    column, an unknown region, component, land filter, year, month or drug, a count or weight of this drug that is negative or
    no number, a weight in a stratum without any event, and months that two files share.
    """
    import pandas as pd

    files = [paths] if isinstance(paths, str | os.PathLike) else list(paths)
    problems: list[Problem] = [] if files else [Problem(came="no file was given", advice="Give one or more CSV files of CBP")]
    cells: list[_Cell] = []
    for n_file, path in enumerate(files):
        found, wrong = _read_cbp(path, n_file)
        cells += found
        problems += wrong
    drugs = sorted({cell.drug for cell in cells})
    chosen = next((name for name in drugs if _folded(name) == _folded(drug)), None)
    if chosen is None and not problems:
        near = closest(drug, drugs)
        advice = f"The nearest is {near}" if near else "Choose one of them"
        problems.append(Problem(came=f"no row has the drug {_shown(drug)}", allowed=f"the drugs are {', '.join(drugs)}", advice=advice))
    problems += _shared_months(cells)

    reports: list[str] = []
    months: dict[int, set[int]] = defaultdict(set)
    for cell in cells:
        months[cell.year].add(cell.month)
    for year in sorted(months):
        if len(months[year]) < 12:
            reports.append(
                f"{len(months[year])} of 12 months of FY{year} are in the files: its period is {_fiscal_label(year, months[year])}."
            )
    corridors = {cell.corridor for cell in cells}
    strata: dict[tuple[str, str], list[_Cell]] = {
        (corridor, _fiscal_label(year, months[year])): [] for corridor in sorted(corridors) for year in sorted(months)
    }
    for cell in cells:
        if cell.drug == chosen:
            strata[cell.corridor, _fiscal_label(cell.year, months[cell.year])].append(cell)

    rows = []
    for (corridor, period), members in strata.items():
        n_events, amount, note = _sum_cells(f"{corridor} {period}", members, reports, problems)
        rows.append((corridor, period, "unrecorded", n_events, amount, "lb", 0.0, _CBP_SOURCE, note))
    if problems:
        raise EvidenceError(problems)
    frame = pd.DataFrame(rows, columns=list(_IMPORTED_COLUMNS))
    frame.attrs["reports"] = reports
    return frame


def write_evidence(frame: pd.DataFrame, path: str | os.PathLike[str]) -> None:
    """Write an evidence table as CSV, whole or not at all. Numbers keep every digit that a float needs.

    Raises EvidenceError where the file cannot be written; what stood there before is then untouched.
    """
    name = os.fspath(path)
    try:
        target = os.path.realpath(name)
        partial = os.path.join(os.path.dirname(target), f".{os.path.basename(target)}.{os.getpid()}.part")
        if os.path.exists(target) and not os.path.isfile(target):
            raise IsADirectoryError(0, "it is there and is not a file")
        try:
            with open(partial, "w", encoding="utf-8", newline="") as stream:
                frame.to_csv(stream, index=False, lineterminator="\n")
                stream.flush()
                os.fsync(stream.fileno())
            os.replace(partial, target)
        finally:
            if os.path.exists(partial):
                os.remove(partial)
    except (OSError, ValueError) as wrong:
        came = f"it cannot be written: {getattr(wrong, 'strerror', None) or wrong}"
        raise EvidenceError([Problem(came=came, advice="Check the folder, its permissions and its free space", file=name)]) from None


def _folded(text: str) -> str:
    return " ".join(text.split()).casefold().rstrip("*")


def _choice(raw: str, choices: Collection[str], what: str) -> str:
    """Return the choice that is `raw` but for case and blanks."""
    for choice in choices:
        if _folded(choice) == _folded(raw):
            return choice
    near = closest(raw, choices)
    advice = f"The nearest is {near}" if near else "Correct the file, or report that CBP changed its layout"
    if _folded(raw).startswith("air and marine"):
        advice = _AMO_ADVICE
    raise _Wrong(f"{_shown(raw)} is not a {what}", f"it must be one of {', '.join(choices)}", advice)


def _fiscal_year(raw: str) -> int:
    if match := _CBP_YEAR.fullmatch(_folded(raw)):
        return int(match[1])
    raise _Wrong(f"{_shown(raw)} is not a fiscal year", "it is written 2025 or 2026 (FYTD)", "Look for a second header in the file")


def _month(raw: str) -> int:
    short = raw.rstrip(".").casefold()
    for i, month in enumerate(_MONTHS):
        if len(short) >= 3 and month.casefold().startswith(short):
            return i
    raise _Wrong(f"{_shown(raw)} is not a month", "it is written OCT or October", "Correct the file")


def _drug(raw: str) -> str:
    if not _text(raw):
        raise _Wrong("it is blank", "the name of a drug is needed", "Correct the file")
    return raw


_CBP_READERS: Mapping[str, Callable[[str], Any]] = {
    "year": _fiscal_year,
    "month": _month,
    "component": lambda raw: _choice(raw, (_OFO, _USBP), "component"),
    "region": lambda raw: _choice(raw, _CBP_REGIONS, "region"),
    "land": lambda raw: _choice(raw, ("Land Only", "Other"), "land filter"),
    "drug": _drug,
}


def _cbp_positions(header: Sequence[str]) -> dict[str, int]:
    """Return where each column stands, or raise _Wrong about all that are missing or stand twice. Further columns do no harm."""
    folded = [_folded(column) for column in header]
    known = {name: _folded(column) for name, column in _CBP_COLUMNS.items()}
    missing = [_CBP_COLUMNS[name] for name, column in known.items() if column not in folded]
    twice = [_CBP_COLUMNS[name] for name, column in known.items() if folded.count(column) > 1]
    allowed = f"CBP's file Nationwide Drug Seizures has {', '.join(_CBP_COLUMNS.values())}"
    if twice:
        raise _Wrong(f"the column {', '.join(twice)} stands twice", allowed, "Delete one")
    if len(missing) == len(known):
        raise _Wrong("it has none of the columns of CBP's file", allowed, "Check the path")
    if missing:
        others = [column for column in header if _folded(column) not in known.values()]
        near = [f"{column} may be what is called {found} here" for column in missing if (found := closest(column, others))]
        advice = "; ".join(near) or "Download the file again"
        if not near and {"Component", "Land Filter"} & set(missing):
            advice = _AMO_ADVICE
        raise _Wrong(f"the column {', '.join(missing)} is missing", allowed, advice)
    return {name: folded.index(column) for name, column in known.items()}


def _read_cbp(path: str | os.PathLike[str], n_file: int) -> tuple[list[_Cell], list[Problem]]:
    """Read every row of one file. A label that is unknown is one problem, at its first row, however many rows bear it."""
    name = os.fspath(path)
    cells: list[_Cell] = []
    problems: list[Problem] = []
    seen: set[tuple[str, str]] = set()
    try:
        records = _records(path, name)
        line, header = next(records)
        try:
            position = _cbp_positions(header)
        except _Wrong as refused:
            return [], [replace(refused.at(""), path=(), file=name, line=line)]
        for line, record in records:
            if len(problems) >= MAX_PROBLEMS:
                problems.append(_more_below(name, line))
                break
            if len(record) != len(header):
                problems.append(_field_count(record, header).at(name, line))
                continue
            texts = {column: record[i] for column, i in position.items()}
            labels: dict[str, Any] = {}
            for column, read in _CBP_READERS.items():
                try:
                    labels[column] = read(texts[column])
                except _Wrong as refused:
                    if (column, texts[column]) not in seen:
                        seen.add((column, texts[column]))
                        problems.append(refused.at(_CBP_COLUMNS[column]).at(name, line))
            if len(labels) == len(_CBP_READERS):
                cells.append(_Cell(n_file=n_file, file=name, line=line, **(texts | labels)))
        if not cells and not problems:
            problems.append(Problem(came="the file has a header and no rows", advice="Download it again", file=name))
    except EvidenceError as refused:
        problems += refused.problems
    return cells, problems


def _shared_months(cells: Iterable[_Cell]) -> list[Problem]:
    """Return a problem for each file that holds months of an earlier file; `cells` come in the order of files."""
    first: dict[tuple[int, int], _Cell] = {}
    shared: dict[tuple[int, int], list[_Cell]] = defaultdict(list)
    for cell in cells:
        earlier = first.setdefault((cell.year, cell.month), cell)
        if earlier.n_file != cell.n_file:
            shared[earlier.n_file, cell.n_file].append(cell)
    problems = []
    for members in shared.values():
        years = sorted({cell.year for cell in members})
        labels = [_fiscal_label(year, {cell.month for cell in members if cell.year == year}) for year in years]
        earlier = first[members[0].year, members[0].month]
        problems.append(
            Problem(
                came=f"it overlaps with {earlier.file} in {', '.join(labels)}",
                allowed="no month may be in two files",
                advice="Keep the newer file, or delete the shared months from one",
                file=members[0].file,
                line=members[0].line,
            )
        )
    return problems


def _fiscal_label(year: int, months: Collection[int]) -> str:
    """Return `FY2025` for all twelve months, else the year and its runs of months, `FY2025-Oct-Dec+Feb`."""
    if len(months) == 12:
        return f"FY{year}"
    starts = [month for month in sorted(months) if month - 1 not in months]
    ends = [month for month in sorted(months) if month + 1 not in months]
    runs = (_MONTHS[a][:3] + (f"-{_MONTHS[b][:3]}" if b > a else "") for a, b in zip(starts, ends, strict=True))
    return f"FY{year}-{'+'.join(runs)}"


def _sum_cells(stratum: str, cells: Sequence[_Cell], reports: list[str], problems: list[Problem]) -> tuple[int, float, str]:
    """Return (events, pounds, note) of one stratum. What is odd but usable is added to `reports`, what is wrong to `problems`."""
    n_events = n_unweighed = 0
    weights: list[float] = []
    unweighed: list[_Cell] = []
    uncounted: list[_Cell] = []
    first: dict[tuple[object, ...], _Cell] = {}
    for cell in cells:
        column = "events"
        try:
            events = _count(_ungrouped(cell.events), 0)
            column = "weight"
            weight = _quantity(_ungrouped(cell.weight)) if cell.weight else 0.0
        except _Wrong as refused:
            problems.append(refused.at(_CBP_COLUMNS[column]).at(cell.file, cell.line))
            continue
        n_events += events or 0
        weights.append(weight)
        if events and not weight:
            unweighed.append(cell)
            n_unweighed += events
        if events is None or (weight and not events):
            uncounted.append(cell)
        same = first.setdefault((cell.n_file, cell.year, cell.month, cell.component, cell.land, cell.area), cell)
        if same is not cell:
            reports.append(f"{stratum}: {_places([cell])} repeats the cell of line {same.line}; both are added.")
    amount = math.fsum(weights)

    note = f"sum of {len(cells)} cells; OFO + USBP; place of seizure, not origin" if cells else "no cell of this drug in this period"
    if not cells:
        reports.append(f"{stratum}: {note}; written as 0 events.")
    if unweighed:
        note += f"; events without a weight: {n_unweighed}"
        reports.append(f"{stratum}: events without a weight: {n_unweighed} ({_places(unweighed)}); they count as events.")
    if uncounted:
        note += f"; cells without a count of events: {len(uncounted)}"
        reports.append(
            f"{stratum}: cells without a count of events: {len(uncounted)} ({_places(uncounted)}); what weight they have is added."
        )
    if n_events and not amount:
        reports.append(f"{stratum}: {n_events} events and no weight at all; a scenario that uses this stratum is refused.")
    if amount and not n_events and len(weights) == len(cells):
        came = f"{stratum} has {amount:g} lb and no event ({_places(uncounted)})"
        problems.append(Problem(came=came, allowed="a weight needs an event", advice="Fill in Count of Event, or delete the row"))
    return n_events, amount, note


def _ungrouped(text: str) -> str:
    return text.replace(",", "") if _GROUPED.fullmatch(text) else text


def _places(cells: Sequence[_Cell]) -> str:
    lines: dict[str, list[str]] = defaultdict(list)
    for cell in cells:
        lines[cell.file].append(str(cell.line))
    return "; ".join(f"{file}:{', '.join(numbers)}" for file, numbers in lines.items())
