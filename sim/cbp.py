"""CBP's published "Nationwide Drug Seizures" to evidence: one row a cell of month, component, region, land filter, area and drug."""

from __future__ import annotations

import math
import os
import re
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from .csv_file import CellError, more_below, read_count, read_quantity, read_records, read_text, shown, ungrouped, wrong_field_count
from .errors import EvidenceError, Problem
from .evidence import COLUMNS
from .limits import MAX_PROBLEMS
from .units import closest

if TYPE_CHECKING:
    import pandas as pd

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


def import_cbp(
    paths: str | os.PathLike[str] | Iterable[str | os.PathLike[str]], drug: str = "Fentanyl", cells: bool = False
) -> pd.DataFrame:
    """Read CBP's "Nationwide Drug Seizures" (one file, or several of different months) and sum one drug to evidence.

    Returns the columns of an evidence table (interface.md section 2, without `n_min` and `n_max`), one row a corridor and
    period, sorted. `n_events` sums CBP's counts of events, `amount` is pounds as weighed, the form is unrecorded.
    `attrs["reports"]` lists, as sentences, what a reader should know.

    Corridors: Field Operations with Land Only is `northern-ports` or `southwest-ports`, with Other `-other`; the Border Patrol is
    `-between-ports`; Coastal/Interior is one corridor. A period is `FY2025` where all its months are in the files (for any
    drug), else it names those that are: `FY2026-Oct-Apr`, with a gap `FY2026-Oct-Dec+Feb-Apr`. A corridor that stands in the
    files for any drug but has no cell of this one in a period becomes a row of no events: that is evidence. Events without a
    weight count as events, a weight without events is added; both are reported, as is a cell that stands twice.
    With `cells`, a weighed cell of one event is a row of its own, above the row that sums the rest of its stratum (left out where
    nothing is left): the same evidence, from which `fit_load_sizes` reads the sizes of loads.

    Raises EvidenceError, with the problems of all files: a file that is not CBP's (its AMO file is another base), a missing
    column, an unknown region, component, land filter, year, month or drug, a count or weight of this drug that is negative or
    no number, a weight in a stratum without any event, and months that two files share.
    """
    import pandas as pd

    files = [paths] if isinstance(paths, str | os.PathLike) else list(paths)
    problems: list[Problem] = [] if files else [Problem(came="no file was given", advice="Give one or more CSV files of CBP")]
    read: list[_Cell] = []
    for n_file, path in enumerate(files):
        found, wrong = _read_cbp(path, n_file)
        read += found
        problems += wrong
    drugs = sorted({cell.drug for cell in read})
    chosen = next((name for name in drugs if _folded(name) == _folded(drug)), None)
    if chosen is None and not problems:
        near = closest(drug, drugs)
        advice = f"The nearest is {near}" if near else "Choose one of them"
        problems.append(Problem(came=f"no row has the drug {shown(drug)}", allowed=f"the drugs are {', '.join(drugs)}", advice=advice))
    problems += _shared_months(read)

    reports: list[str] = []
    months: dict[int, set[int]] = defaultdict(set)
    for cell in read:
        months[cell.year].add(cell.month)
    for year in sorted(months):
        if len(months[year]) < 12:
            reports.append(
                f"{len(months[year])} of 12 months of FY{year} are in the files: its period is {_fiscal_label(year, months[year])}."
            )
    corridors = {cell.corridor for cell in read}
    strata: dict[tuple[str, str], list[_Cell]] = {
        (corridor, _fiscal_label(year, months[year])): [] for corridor in sorted(corridors) for year in sorted(months)
    }
    for cell in read:
        if cell.drug == chosen:
            strata[cell.corridor, _fiscal_label(cell.year, months[cell.year])].append(cell)

    rows = []
    for (corridor, period), members in strata.items():
        stratum = f"{corridor} {period}"
        if cells:
            apart = [cell for cell in members if _is_one_event(cell)]
            rest = [cell for cell in members if not _is_one_event(cell)]
            if rest and not any(_counted(cell) for cell in rest):  # a weight without events needs the events of the others
                apart, rest = [], members
            for cell in apart:
                n_events, amount, _ = _sum_cells(stratum, [cell], reports, problems)
                note = f"one cell; {cell.component}, {cell.area}, {_MONTHS[cell.month]}; place of seizure, not origin"
                rows.append((corridor, period, "unrecorded", n_events, amount, "lb", 0.0, _CBP_SOURCE, note))
            if apart and not rest:
                continue
            members = rest
        n_events, amount, note = _sum_cells(stratum, members, reports, problems)
        rows.append((corridor, period, "unrecorded", n_events, amount, "lb", 0.0, _CBP_SOURCE, note))
    if problems:
        raise EvidenceError(problems)
    frame = pd.DataFrame(rows, columns=list(_IMPORTED_COLUMNS))
    frame.attrs["reports"] = reports
    return frame


def _counted(cell: _Cell) -> int:
    """Return the events of a cell, 0 where they are blank or wrong (which `_sum_cells` reports)."""
    try:
        return read_count(ungrouped(cell.events), 0) or 0
    except CellError:
        return 0


def _is_one_event(cell: _Cell) -> bool:
    try:
        return _counted(cell) == 1 and read_quantity(ungrouped(cell.weight)) > 0 if cell.weight else False
    except CellError:
        return False


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
    raise CellError(f"{shown(raw)} is not a {what}", f"it must be one of {', '.join(choices)}", advice)


def _fiscal_year(raw: str) -> int:
    if match := _CBP_YEAR.fullmatch(_folded(raw)):
        return int(match[1])
    raise CellError(f"{shown(raw)} is not a fiscal year", "it is written 2025 or 2026 (FYTD)", "Look for a second header in the file")


def _month(raw: str) -> int:
    short = raw.rstrip(".").casefold()
    for i, month in enumerate(_MONTHS):
        if len(short) >= 3 and month.casefold().startswith(short):
            return i
    raise CellError(f"{shown(raw)} is not a month", "it is written OCT or October", "Correct the file")


def _drug(raw: str) -> str:
    if not read_text(raw):
        raise CellError("it is blank", "the name of a drug is needed", "Correct the file")
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
    """Return where each column stands, or raise CellError about all that are missing or stand twice. Further columns do no harm."""
    folded = [_folded(column) for column in header]
    known = {name: _folded(column) for name, column in _CBP_COLUMNS.items()}
    missing = [_CBP_COLUMNS[name] for name, column in known.items() if column not in folded]
    twice = [_CBP_COLUMNS[name] for name, column in known.items() if folded.count(column) > 1]
    allowed = f"CBP's file Nationwide Drug Seizures has {', '.join(_CBP_COLUMNS.values())}"
    if twice:
        raise CellError(f"the column {', '.join(twice)} stands twice", allowed, "Delete one")
    if len(missing) == len(known):
        raise CellError("it has none of the columns of CBP's file", allowed, "Check the path")
    if missing:
        others = [column for column in header if _folded(column) not in known.values()]
        near = [f"{column} may be what is called {found} here" for column in missing if (found := closest(column, others))]
        advice = "; ".join(near) or "Download the file again"
        if not near and {"Component", "Land Filter"} & set(missing):
            advice = _AMO_ADVICE
        raise CellError(f"the column {', '.join(missing)} is missing", allowed, advice)
    return {name: folded.index(column) for name, column in known.items()}


def _read_cbp(path: str | os.PathLike[str], n_file: int) -> tuple[list[_Cell], list[Problem]]:
    """Read every row of one file. A label that is unknown is one problem, at its first row, however many rows bear it."""
    name = os.fspath(path)
    cells: list[_Cell] = []
    problems: list[Problem] = []
    seen: set[tuple[str, str]] = set()
    try:
        records = read_records(path, name)
        line, header = next(records)
        try:
            position = _cbp_positions(header)
        except CellError as refused:
            return [], [replace(refused.at(""), path=(), file=name, line=line)]
        for line, record in records:
            if len(problems) >= MAX_PROBLEMS:
                problems.append(more_below(name, line))
                break
            if len(record) != len(header):
                problems.append(wrong_field_count(record, header).at(name, line))
                continue
            texts = {column: record[i] for column, i in position.items()}
            labels: dict[str, Any] = {}
            for column, read in _CBP_READERS.items():
                try:
                    labels[column] = read(texts[column])
                except CellError as refused:
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
            events = read_count(ungrouped(cell.events), 0)
            column = "weight"
            weight = read_quantity(ungrouped(cell.weight)) if cell.weight else 0.0
        except CellError as refused:
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


def _places(cells: Sequence[_Cell]) -> str:
    lines: dict[str, list[str]] = defaultdict(list)
    for cell in cells:
        lines[cell.file].append(str(cell.line))
    return "; ".join(f"{file}:{', '.join(numbers)}" for file, numbers in lines.items())
