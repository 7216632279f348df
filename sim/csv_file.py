"""CSV files with guards against what is no table, and their cells as texts and numbers; knows no column."""

from __future__ import annotations

import contextlib
import csv
import io
import math
import os
import re
import stat
import unicodedata
from collections.abc import Iterator, Sequence
from fractions import Fraction

from .errors import EvidenceError, Problem
from .units import closest

_LARGEST_FILE = 64 * 2**20
_MOST_ROWS = 1_000_000
_LARGEST_COUNT = 2**53  # above it a float no longer holds every whole number
_LARGEST_AMOUNT = 1e15
_LONGEST_NUMBER = 64
_OTHER_COLUMN = "Check the column; amounts belong in amount"
_NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_POINTS = re.compile(r"[1-9][0-9]{0,2}(?:\.[0-9]{3})+")  # 20.000 is twenty thousand in half of Europe
_GROUPED = re.compile(r"[+-]?[0-9]{1,3}(?:,[0-9]{3})+(?:\.[0-9]*)?")


class CellError(Exception):
    """A cell cannot be read: what came, what is allowed, what to do. Becomes a Problem where the place is known."""

    def __init__(self, came: str, allowed: str = "", advice: str = "") -> None:
        super().__init__(came)
        self.came, self.allowed, self.advice = came, allowed, advice

    def at(self, column: str) -> Problem:
        return Problem(path=(column,), came=self.came, allowed=self.allowed, advice=self.advice)


def shown(raw: object) -> str:
    """Return a cell as a message shows it, at most 60 characters and the dots."""
    text = repr(raw)
    return text if len(text) <= 60 else f"{text[:60]}..."


def read_number(raw: object) -> float:
    """Return a finite float from a number or its text. A bool is no number."""
    allowed = "it must be a number"
    if isinstance(raw, str):
        if not _NUMBER.fullmatch(raw) or len(raw) > _LONGEST_NUMBER:
            advice = "Write digits, with a point for decimals"
            if _GROUPED.fullmatch(raw):
                advice = f"Write {raw.replace(',', '')}"
            elif _POINTS.fullmatch(raw):
                advice = f"Write {raw.replace('.', '')}"
            elif re.fullmatch(r"[0-9.]+ *[a-z]+", raw):
                advice = "The unit has a column of its own, unit"
            raise CellError(f"{shown(raw)} is not a number", allowed, advice)
        number = float(raw)
        if number == 0 and re.match(r"[^eE]*[1-9]", raw):
            raise CellError(f"{raw} is too small for a number", allowed, "Check its exponent")
    elif isinstance(raw, bool) or not isinstance(raw, int | float):
        raise CellError(f"{shown(raw)} is not a number", allowed, "Write digits, without quotes")
    else:
        try:
            number = float(raw)
        except OverflowError:
            number = math.inf
    if not math.isfinite(number):
        raise CellError(f"{shown(raw)} is not finite", allowed, "Check its exponent; leave an unknown n_events blank")
    return number


def ungrouped(text: str) -> str:
    """Return a number without the commas that group its digits; any other text as it is."""
    return text.replace(",", "") if _GROUPED.fullmatch(text) else text


def check_points(raw: object, number: float, allowed: str) -> None:
    """Raise CellError where a count `raw`, read as `number`, may have been meant as another one: 20.000 is 20 or 20000."""
    if isinstance(raw, str) and _POINTS.fullmatch(raw):
        other = f" or {number:.0f}" if number.is_integer() else ""
        raise CellError(f"{shown(raw)} may be two numbers", f"{allowed}, without a point", f"Write {raw.replace('.', '')}{other}")


def read_count(raw: object, least: int) -> int | None:
    """Return a whole number from `least` to 2^53, or None for a blank."""
    if raw == "":
        return None
    allowed = f"it must be a whole number from {least} to 2^53" + (", or blank where it is unknown" if least == 0 else "")
    number = read_number(raw)
    # The float is within range before its text is read exactly: Fraction("1e999999999") would take minutes.
    if not least <= number <= _LARGEST_COUNT:
        raise CellError(f"{shown(raw)} is out of range", allowed, _OTHER_COLUMN)
    check_points(raw, number, allowed)
    exact = Fraction(str(raw)) if number else Fraction(0)
    if exact.denominator != 1 or exact > _LARGEST_COUNT:
        raise CellError(f"{shown(raw)} is not a whole number", allowed, _OTHER_COLUMN)
    return int(exact)


def read_quantity(raw: object) -> float:
    """Return a finite float from 0 to 1e15."""
    number = read_number(raw)
    if not 0 <= number <= _LARGEST_AMOUNT:
        raise CellError(f"{shown(raw)} is out of range", f"it must be from 0 to {_LARGEST_AMOUNT:g}", "Check the sign and the unit")
    return number + 0.0  # -0.0 becomes 0.0


def read_text(raw: object) -> str:
    """Return free text, which may run over several lines."""
    if not isinstance(raw, str):
        raise CellError(f"{shown(raw)} is not a text", "it must be a text", f'Write "{raw}"' if isinstance(raw, int | float) else "")
    for character in raw:
        if unicodedata.category(character) in ("Cc", "Cs") and character not in "\t\r\n":
            raise CellError(f"the character {character!a} in {shown(raw[:40])}", "control characters are not allowed", "Delete it")
    return raw


def wrong_field_count(cells: Sequence[str], header: Sequence[str]) -> Problem:
    return Problem(
        came=f"{len(cells)} fields", allowed=f"the header has {len(header)}", advice="Put a text that holds a comma in double quotes"
    )


def more_below(name: str, line: int) -> Problem:
    return Problem(came="there may be more problems below", advice="Correct those above first", file=name, line=line)


def read_records(path: str | os.PathLike[str], name: str) -> Iterator[tuple[int, list[str]]]:
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
        siblings: list[str] = []
        with contextlib.suppress(OSError):  # the folder may be missing too, or closed to reading
            siblings = os.listdir(os.path.dirname(path) or ".")
        near = closest(os.path.basename(name), siblings)
        raise refuse("there is no such file", advice=f"The nearest is {shown(near)}" if near else "Check the path") from None
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
