"""Evidence tables: every mistake is named with its line, every amount arrives in kilograms, what is written is read back equal."""

from __future__ import annotations

import csv
import doctest
import io
import math
import os
import subprocess
import sys
import tomllib
from dataclasses import replace

import pytest
import tomli_w
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sim import csv_file, evidence
from sim.evidence import COLUMNS, FORMS, Row, check_rows, equal_rows, odd_labels, period_days, read_table, row_as_mapping, row_from_mapping
from sim.units import MASS_UNITS, to_kg

HEADER = "corridor,period,form,n_events,amount,unit,rounding,n_min,n_max,source,note"
GOOD = "north,FY2024,unrecorded,82,43.039,lb,,,,cbp,as weighed"

printable = st.characters(codec="utf-8", exclude_categories=("C", "Z"), include_characters=" ")
labels = st.text(printable.filter(lambda c: c not in ",[]@|"), min_size=1, max_size=12).map(str.strip).filter(bool)
free_texts = st.text(st.one_of(printable, st.sampled_from(",\"\n'#=")), max_size=20).map(str.strip)


@st.composite
def rows(draw):
    """A valid row; masses are already in kg."""
    form = draw(st.sampled_from(FORMS))
    n_events = draw(st.one_of(st.none(), st.integers(0, 2**53)))
    unit = draw(st.sampled_from(("kg", "pill"))) if form == "pill" else "kg"
    amount = 0.0 if n_events == 0 else draw(st.floats(0, 1e12) if unit == "kg" else st.integers(0, 10**12).map(float))
    n_min = draw(st.integers(1, 1000)) if n_events is None else 1
    return Row(
        corridor=draw(labels),
        period=draw(st.one_of(labels.filter(lambda label: "/" not in label), st.sampled_from(("FY2024", "2025-02-12/2025-03-13")))),
        form=form,
        n_events=n_events,
        amount=amount,
        unit=unit,
        rounding=draw(st.floats(0, 1)) * amount,
        n_min=n_min,
        n_max=draw(st.integers(n_min, 10_000)) if n_events is None else 300,
        source=draw(free_texts),
        note=draw(free_texts),
    )


def table(*lines, header=HEADER):
    return "\n".join([header, *lines]) + "\n"


@pytest.fixture
def read(tmp_path, monkeypatch):
    """Write a text or bytes to a file and read it as a table called t.csv."""
    monkeypatch.chdir(tmp_path)

    def write_and_read(content):
        (tmp_path / "t.csv").write_bytes(content if isinstance(content, bytes) else content.encode())
        return read_table("t.csv")

    return write_and_read


# What is read


def test_reads_a_row_in_kilograms(read):
    found, problems = read(table(GOOD))
    assert problems == []
    (row,) = found
    assert row == Row(
        corridor="north",
        period="FY2024",
        form="unrecorded",
        n_events=82,
        amount=to_kg(43.039, "lb"),
        unit="kg",
        source="cbp",
        note="as weighed",
    )
    assert row.where == "t.csv:2"


def test_blank_count_rounding_and_bounds(read):
    (row,), problems = read(table("a,CY2024,powder,,2,lb,0.5,,,,"))
    assert problems == []
    assert (row.n_events, row.n_min, row.n_max) == (None, 1, 300)
    assert row.rounding == 0.226796185
    (row,), problems = read(table("a,CY2024,pill,,4000,pill,500,2,40,,"))
    assert problems == []
    assert (row.unit, row.amount, row.rounding, row.n_min, row.n_max) == ("pill", 4000.0, 500.0, 2, 40)


@pytest.mark.parametrize("zero", ["0", "0.0", "-0", "0e999999999"])
@pytest.mark.parametrize("unit", ["kg", "pill"])
def test_a_zero_is_evidence(read, zero, unit):
    (row,), problems = read(table(f"a,CY2024,pill,{zero},{zero},{unit},,,,,"))
    assert problems == []
    assert (row.n_events, row.amount) == (0, 0.0)
    assert math.copysign(1, row.amount) == 1  # a negative zero would write other bits for the same evidence


@pytest.mark.parametrize(
    "content",
    [
        b"\xef\xbb\xbf" + table(GOOD).encode(),
        table(GOOD).replace("\n", "\r\n"),
        table(GOOD).replace("\n", "\r"),
        table("", GOOD, "", ",,,,,,,,,,", ""),
        table(GOOD.replace(",", " , ")),
        table(GOOD.replace("82", "82.0")),
        table(GOOD.replace("as weighed", '"as weighed"')),
        table(GOOD).rstrip("\n"),
    ],
    ids=["byte order mark", "CRLF", "CR", "blank lines", "blanks", "82.0", "quotes", "no last newline"],
)
def test_harmless_differences_of_layout(read, content):
    plain, _ = read(table(GOOD))
    assert read(content) == (plain, [])


def test_lines_are_those_of_the_file_also_after_a_note_of_several_lines(read):
    found, problems = read(table(GOOD.replace("as weighed", '"one\ntwo\nthree"'), GOOD))
    assert problems == []
    assert [row.where for row in found] == ["t.csv:2", "t.csv:5"]
    _, problems = read(table(GOOD.replace("as weighed", '"one\ntwo\nthree"'), GOOD.replace("82", "x")))
    assert [problem.line for problem in problems] == [5]


# What is refused

WRONG_ROWS = {
    "a count that is not whole": ("a,FY2024,powder,1.5,1,kg,,,,,", "n_events", "whole number"),
    "a count with a point between thousands": ("a,FY2024,powder,1.000,1,kg,,,,,", "n_events", "Write 1000 or 1."),
    "a count with points between thousands": ("a,FY2024,powder,1.234.567,1,kg,,,,,", "n_events", "Write 1234567."),
    "tablets with a point between thousands": ("a,FY2024,pill,1,20.000,pill,,,,,", "amount", "Write 20000 or 20."),
    "some tablets with a point between thousands": ("a,FY2024,pill,1,20.500,pill,,,,,", "amount", "Write 20500."),
    "a negative count": ("a,FY2024,powder,-1,1,kg,,,,,", "n_events", "out of range"),
    "a count that is a word": ("a,FY2024,powder,some,1,kg,,,,,", "n_events", "'some' is not a number"),
    "a count beyond 2^53": ("a,FY2024,powder,9007199254740993,1,kg,,,,,", "n_events", "2^53"),
    "a count far beyond": ("a,FY2024,powder,1e999999999,1,kg,,,,,", "n_events", "not finite"),
    "a count that underflows": ("a,FY2024,powder,1e-999999999,1,kg,,,,,", "n_events", "too small"),
    "an unknown count as nan": ("a,FY2024,powder,nan,1,kg,,,,,", "n_events", "not a number"),
    "a blank amount": ("a,FY2024,powder,1,,kg,,,,,", "amount", "not a number"),
    "a negative amount": ("a,FY2024,powder,1,-1,kg,,,,,", "amount", "out of range"),
    "nan": ("a,FY2024,powder,1,nan,kg,,,,,", "amount", "not a number"),
    "inf": ("a,FY2024,powder,1,inf,kg,,,,,", "amount", "not a number"),
    "1e400": ("a,FY2024,powder,1,1e400,kg,,,,,", "amount", "not finite"),
    "an amount beyond any": ("a,FY2024,powder,1,1e300,kg,,,,,", "amount", "1e+15"),
    "an amount that vanishes in kg": ("a,FY2024,powder,1,1e-323,mg,,,,,", "amount", "range of numbers in kg"),
    "a number with commas": ('a,FY2024,powder,1,"1,234.5",kg,,,,,', "amount", "Write 1234.5"),
    "an amount with its unit": ("a,FY2024,powder,1,43 lb,kg,,,,,", "amount", "column of its own"),
    "digits of another script": ("a,FY2024,powder,1,٣,kg,,,,,", "amount", "not a number"),
    "an underscore": ("a,FY2024,powder,1,1_000,kg,,,,,", "amount", "not a number"),
    "an endless number": ("a,FY2024,powder,1," + "9" * 5000 + ",kg,,,,,", "amount", "not a number"),
    "an unknown unit": ("a,FY2024,powder,1,1,lbs,,,,,", "unit", "The nearest is lb"),
    "a blank unit": ("a,FY2024,powder,1,1,,,,,,", "unit", "blank"),
    "pills of powder": ("a,FY2024,powder,1,1,pill,,,,,", "unit", "form pill"),
    "an unknown form": ("a,FY2024,pils,1,1,kg,,,,,", "form", "The nearest is pill"),
    "a form of results": ("a,FY2024,all,1,1,kg,,,,,", "form", "form of results: write unrecorded"),
    "rounding above amount": ("a,FY2024,powder,1,1,kg,2,,,,", "rounding", "at most amount"),
    "negative rounding": ("a,FY2024,powder,1,1,kg,-1,,,,", "rounding", "out of range"),
    "an amount in no events": ("a,FY2024,powder,0,1,kg,,,,,", "amount", "n_events = 0 needs amount = 0"),
    "n_min above n_max": ("a,FY2024,powder,,1,kg,,9,5,,", "n_min", "above n_max = 5"),
    "n_min above the default of n_max": ("a,FY2024,powder,,1,kg,,900,,,", "n_min", "300 (its default)"),
    "n_min of 0": ("a,FY2024,powder,,1,kg,,0,5,,", "n_min", "from 1"),
    "n_min beside a count": ("a,FY2024,powder,3,1,kg,,1,,,", "n_min", "blank n_events only"),
    "n_max beside a count": ("a,FY2024,powder,3,1,kg,,,9,,", "n_max", "blank n_events only"),
    "a blank corridor": (",FY2024,powder,1,1,kg,,,,,", "corridor", "blank"),
    "a blank period": ("a, ,powder,1,1,kg,,,,,", "period", "blank"),
    "a comma in a corridor": ('"a,b",FY2024,powder,1,1,kg,,,,,', "corridor", "','"),
    "a bracket in a corridor": ("a[b,FY2024,powder,1,1,kg,,,,,", "corridor", "'['"),
    "an at sign in a period": ("a,FY@24,powder,1,1,kg,,,,,", "period", "'@'"),
    "a bar in a period": ("a,FY|24,powder,1,1,kg,,,,,", "period", "'|'"),
    "a control character": ("a\x07b,FY2024,powder,1,1,kg,,,,,", "corridor", "control"),
    "an invisible character": ("a\u200bb,FY2024,powder,1,1,kg,,,,,", "corridor", "u200b"),
    "a line break in a label": ('"a\nb",FY2024,powder,1,1,kg,,,,,', "corridor", "control"),
    "a control character in a note": ("a,FY2024,powder,1,1,kg,,,,,x\x1by", "note", "x1b"),
    "an endless label": ("a" * 300 + ",FY2024,powder,1,1,kg,,,,,", "corridor", "at most 200"),
    "a month 13": ("a,2025-13-01/2026-01-01,powder,1,1,kg,,,,,", "period", "month must be in 1..12"),
    "a 30 February": ("a,2025-01-01/2025-02-30,powder,1,1,kg,,,,,", "period", "not two dates"),
    "dates of one digit": ("a,2025-1-1/2025-2-3,powder,1,1,kg,,,,,", "period", "YYYY-MM-DD"),
    "dates in the wrong order": ("a,2025-03-01/2025-02-01,powder,1,1,kg,,,,,", "period", "Write 2025-02-01/2025-03-01"),
}


@pytest.mark.parametrize("case", WRONG_ROWS)
def test_a_wrong_cell_is_named(read, case):
    line, column, words = WRONG_ROWS[case]
    found, problems = read(table(GOOD, line))
    assert found == []
    (problem,) = problems
    assert (problem.file, problem.line, problem.path) == ("t.csv", 3, (column,))
    assert words in str(problem)
    assert problem.allowed
    assert problem.advice
    assert len(str(problem)) < 500


def test_all_problems_come_at_once(read):
    lines = [line for line, _, _ in WRONG_ROWS.values() if "\n" not in line]
    _, problems = read(table(*lines))
    assert [problem.line for problem in problems] == list(range(2, len(lines) + 2))
    _, problems = read(table("a|b,FY2024,all,-1,nan,lbs,-5,0,0,,"))
    assert [problem.path[0] for problem in problems] == ["corridor", "form", "n_events", "amount", "unit", "rounding", "n_min", "n_max"]


@pytest.mark.parametrize(
    ("header", "words"),
    [
        (HEADER.replace("amount", "amuont"), ["unknown column 'amuont'", "The nearest is amount"]),
        (HEADER.replace("corridor,", ""), ["column corridor is missing"]),
        (HEADER.replace("note", "amount"), ["'amount' stands twice"]),
        (HEADER.replace("note", ""), ["the header has 1 empty column;"]),
        (HEADER + ",,", ["the header has 2 empty columns;"]),
        (HEADER.replace("form", "FORM"), ["unknown column 'FORM'", "The nearest is form"]),
        (HEADER.replace("form", "zzz").replace("unit", "qqq"), ["'zzz'", "'qqq'", "form is missing", "unit is missing"]),
    ],
)
def test_a_wrong_header_is_named(read, header, words):
    found, problems = read(table(GOOD, header=header))
    assert found == []
    for word in words:
        assert any(word in str(problem) and (problem.file, problem.line) == ("t.csv", 1) for problem in problems)


def test_a_header_in_capitals_is_named_once_for_each_column(read):
    _, problems = read(table(GOOD, header=HEADER.title()))
    near = [problem.advice for problem in problems if problem.line == 1]
    assert near == [f"The nearest is {column}" for column in HEADER.split(",")]


def test_a_title_above_the_header_is_all_that_is_said(read):
    for title in ("Seizures of 2024\n", "Seizures,by,place\n\nin 2024\n"):
        line = title.count("\n") + 1
        assert list(map(str, read(title + table(GOOD, GOOD))[1])) == [
            f"t.csv:1: line {line} holds the columns; the header must be line 1. Delete what stands above it."
        ]


def test_cells_below_a_wrong_header_are_checked_too(read):
    _, problems = read(table(GOOD.replace("82", "-82"), header=HEADER.replace("amount", "amuont")))
    assert [problem.line for problem in problems] == [1, 2]


@pytest.mark.parametrize(
    ("content", "words", "line"),
    [
        ("", "it is empty", None),
        (" \n\n", "it is empty", None),
        (b'\xef\xbb\xbf,,\n""\n', "it is empty", None),
        (HEADER, "no rows", None),
        (table(GOOD + ",more"), "12 fields; the header has 11", 2),
        (table("a,b"), "2 fields", 2),
        (table(GOOD).replace(",", ";"), "separated by ';'", 1),
        (table(GOOD).replace(",", "\t"), "separated by '\\t'", 1),
        (table(GOOD.replace("as weighed", '"as weighed')), "not CSV", 2),
        (table(GOOD.replace("as weighed", '"as" weighed')), "not CSV", 2),
        (table(GOOD.replace("as weighed", '"' + "x" * 200_000 + '"')), "not CSV", 2),
        (table(GOOD, GOOD).encode() + b"caf\xe9", "byte 0xe9 is not UTF-8", 4),
        (table(GOOD).encode("utf-16"), "UTF-16", None),
        (table(GOOD, GOOD).replace("weighed", "wei\0ghed"), "NUL", 2),
        (b"PK\x03\x04" + bytes(100), "spreadsheet", None),
        (b"\x7fELF\0\0\0", "NUL", 1),
        ("just a sentence", "unknown column 'just a sentence'", 1),
    ],
)
def test_what_is_not_a_table(read, content, words, line):
    found, problems = read(content)
    assert found == []
    assert any(words in str(problem) and (problem.file, problem.line) == ("t.csv", line) for problem in problems), problems


def test_paths_that_are_no_readable_file(tmp_path):
    os.mkfifo(tmp_path / "pipe")  # must not wait for a writer
    for path in (tmp_path / "absent.csv", tmp_path, tmp_path / "pipe", "a\0b", "x" * 5000, "/dev/zero"):
        found, problems = read_table(path)
        assert found == []
        assert len(problems) == 1
        assert problems[0].file == os.fspath(path)


def test_guards_against_size(tmp_path, read, monkeypatch):
    large = tmp_path / "large.csv"
    with large.open("wb") as stream:
        stream.truncate(65 * 2**20)  # sparse
    assert "65 MiB" in str(read_table(large)[1][0])
    monkeypatch.setattr(csv_file, "_MOST_ROWS", 3)
    assert read(table(*[GOOD] * 3))[1] == []
    (problem,) = read(table(*[GOOD] * 4))[1]
    assert "more than 3 rows" in str(problem)


def test_reading_stops_after_200_problems(read):
    _, problems = read(table(*["a,FY2024,powder,x,1,kg,,,,,"] * 1000))
    assert len(problems) == 201
    assert "more problems below" in str(problems[-1])


@given(st.one_of(st.binary(max_size=200), st.text(max_size=200).map(lambda text: (HEADER + "\n" + text).encode("utf-8", "surrogatepass"))))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_bytes_end_in_rows_or_problems(read, content):
    found, problems = read(content)
    assert bool(found) != bool(problems)


# Rows in a scenario


def test_a_mapping_takes_numbers_and_texts():
    written = {"corridor": "a", "period": "FY2024", "form": "powder", "n_events": 3, "amount": 2.0, "unit": "lb"}
    row, problems = row_from_mapping(written, ("evidence", "row", 4))
    assert problems == []
    assert row.where == "evidence.row[4]"
    assert row_from_mapping({**written, "n_events": "3", "amount": "2"}) == (row, [])
    assert row_from_mapping({**written, "n_events": 3.0, "amount": 2}) == (row, [])
    unknown, problems = row_from_mapping({key: written[key] for key in written if key != "n_events"})
    assert problems == []
    assert (unknown.n_events, unknown.n_min, unknown.n_max) == (None, 1, 300)


@pytest.mark.parametrize(
    ("change", "column", "words"),
    [
        ({"n_events": True}, "n_events", "True is not a number"),
        ({"amount": False}, "amount", "not a number"),
        ({"amount": [1]}, "amount", "not a number"),
        ({"amount": math.nan}, "amount", "not finite"),
        ({"amount": -math.inf}, "amount", "not finite"),
        ({"amount": 10**400}, "amount", "not finite"),
        ({"n_events": 2**53 + 1}, "n_events", "2^53"),
        ({"n_events": 1.5}, "n_events", "whole"),
        ({"period": 2024}, "period", 'Write "2024"'),
        ({"corridor": {}}, "corridor", "not a text"),
        ({"unit": 3}, "unit", "not a text"),
        ({"note": 3}, "note", "not a text"),
        ({"note": "a\0"}, "note", "x00"),
        ({"n_event": 3}, "n_event", "The nearest is n_events"),
    ],
)
def test_a_wrong_key_of_a_mapping_is_named(change, column, words):
    written = {"corridor": "a", "period": "FY2024", "form": "powder", "n_events": 3, "amount": 2, "unit": "lb"}
    row, problems = row_from_mapping(written | change, ("evidence", "row", 0))
    assert row is None
    assert problems[0].path == ("evidence", "row", 0, column)
    assert words in str(problems[0])
    assert len(problems) == 1


def test_what_a_mapping_lacks_is_named():
    row, problems = row_from_mapping({})
    assert row is None
    assert [problem.path[0] for problem in problems] == ["corridor", "period", "form", "amount", "unit"]


# Properties


@given(rows())
def test_dump_then_load_is_identity(row):
    assert row_from_mapping(row_as_mapping(row)) == (row, [])
    again, problems = row_from_mapping(tomllib.loads(tomli_w.dumps(row_as_mapping(row))))
    assert problems == []
    assert (again.amount.hex(), again.rounding.hex()) == (row.amount.hex(), row.rounding.hex())
    assert again == row


@given(st.lists(rows(), min_size=1, max_size=6), st.permutations(COLUMNS), st.randoms(use_true_random=False))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_order_of_rows_and_columns_does_not_matter(read, written, columns, random):
    shuffled = random.sample(written, len(written))
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, columns, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(row_as_mapping(row) for row in shuffled)
    assert read(text.getvalue()) == (shuffled, [])


@given(st.floats(1e-6, 1e6), st.integers(1, 1000))
def test_the_unit_of_an_amount_does_not_matter(kilograms, n_events):
    for unit in MASS_UNITS:
        amount = kilograms / to_kg(1.0, unit)
        row, problems = row_from_mapping(
            {"corridor": "a", "period": "b", "form": "powder", "n_events": n_events, "amount": amount, "unit": unit, "rounding": amount / 3}
        )
        assert problems == []
        assert row.unit == "kg"
        assert row.amount == pytest.approx(kilograms, rel=1e-12)
        assert row.rounding == pytest.approx(kilograms / 3, rel=1e-12)


@given(rows(), rows())
def test_where_is_no_part_of_a_row(a, b):
    assert replace(a, where="x:1") == a
    assert (a == b) == (row_as_mapping(a) == row_as_mapping(b))


# Strata


def row(**changes):
    return Row(
        **{"corridor": "a", "period": "b", "form": "powder", "n_events": 1, "amount": 1.0, "unit": "kg", "where": "t.csv:7"} | changes
    )


def test_a_stratum_with_events_needs_an_amount():
    (problem,) = check_rows([row(amount=0.0, where="t.csv:5"), row(amount=0.0, n_events=3), row(form="pill")])
    assert (problem.file, problem.line) == ("t.csv", 5)
    assert "4 events with a total amount of 0 in a, b, powder" in str(problem)
    (problem,) = check_rows([row(amount=0.0, n_events=0), row(amount=0.0, n_events=None, where="evidence.row[2]")])
    assert "unknown number" in str(problem)
    assert str(problem).startswith("evidence.row[2]: ")


def test_strata_that_are_fine():
    assert check_rows([]) == []
    assert check_rows([row(amount=0.0), row()]) == []
    assert check_rows([row(amount=0.0, n_events=0), row(amount=0.0, n_events=0)]) == []
    assert check_rows([row(amount=0.0, form="pill"), row(amount=9.0, form="pill", unit="pill")]) == []


@pytest.mark.parametrize(
    ("label", "days"),
    [
        ("FY2024", 366),
        ("FY2023", 365),
        ("FY2025", 365),
        ("CY2024", 366),
        ("CY2023", 365),
        ("CY2100", 365),
        ("CY2000", 366),
        ("2025-02-12/2025-03-13", 30),
        ("2025-02-12/2025-02-12", 1),
        ("2023-10-01/2024-09-30", 366),
        ("FY2026-Oct-Apr", None),
        ("CY2024-Jan-Oct", None),
        ("FY20244", None),
        ("FY24", None),
        ("fy2024", None),
        ("FY٢٠٢٤", None),
        ("2024", None),
        ("2024-10-25", None),
        ("2025-13-01/2025-14-01", None),
        ("2025-03-01/2025-02-01", None),
        ("2025-02-12/2025-03-13-part", None),
        ("summer", None),
        ("", None),
    ],
)
def test_period_days(label, days):
    assert period_days(label) == days


def test_reading_a_table_loads_neither_pandas_nor_numba(tmp_path):
    (tmp_path / "t.csv").write_text(table(GOOD))
    code = (
        f"import sys; from sim.evidence import read_table; assert len(read_table({str(tmp_path / 't.csv')!r})[0]) == 1; "
        "assert not {'pandas', 'numba', 'xarray'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


def test_examples_in_docstrings():
    tried = doctest.testmod(evidence)
    assert tried.attempted > 0
    assert tried.failed == 0


# What is right but odd


@pytest.mark.parametrize(
    ("labels", "told"),
    [
        (("FY2023", "FY2024", "FY2023-Oct-Apr"), []),
        (("FY2023", "fy2023", "FY 2023"), ["'fy2023' beside 'FY2023'", "'FY 2023' beside 'FY2023'"]),
        (("Oct-Apr", "Oct\u2013Apr", "Oct\u2212Apr"), ["'Oct\u2013Apr' beside 'Oct-Apr'", "'Oct\u2212Apr' beside 'Oct-Apr'"]),
        (("2022-10-01/2023-09-30", "1999", "10/12"), []),
        (("01/10/2022-30/09/2023",), ["looks like dates", "Write 2022-10-01/2023-09-30."]),
        (("2022/10/01-2023/09/30",), ["looks like dates", "Write 2022-10-01/2023-09-30."]),
        (("10/01/2022 to 09/30/2023",), ["looks like dates", "Write 2022-10-01/2023-09-30."]),
        (("2022-10-01 / 2023-09-30",), ["looks like dates", "Write 2022-10-01/2023-09-30."]),
        (("1.2.2023 \u2013 3.4.2023",), ["looks like dates", "Write 2023-02-01/2023-04-03 or 2023-01-02/2023-03-04."]),
        (("40/10/2022-50/09/2023",), []),
    ],
)
def test_odd_periods_are_noted_at_their_first_row(read, labels, told):
    found, problems = read(table(*(f"a,{label},powder,1,{n},kg,,,,," for n, label in enumerate((*labels, *labels), start=1))))
    assert problems == []
    notes = [str(note) for note in odd_labels(found)]
    for words in told:
        assert any(words in note for note in notes), notes
    assert len(notes) == len([words for words in told if "Write" not in words])
    assert all(f"t.csv:{labels.index(note.split(chr(39))[1]) + 2}: period: " in note for note in notes)


def test_corridors_that_differ_in_case_are_noted(read):
    found, _ = read(table("Port-A,FY2024,powder,1,1,kg,,,,,", "port-a,FY2024,powder,1,1,kg,,,,,"))
    (note,) = odd_labels(found)
    assert str(note).startswith("t.csv:3: corridor: 'port-a' beside 'Port-A'; each corridor has one label")


def test_equal_rows_are_noted_once(read):
    found, _ = read(table(GOOD, "a,FY2024,pill,1,1,kg,,,,,", GOOD, GOOD.replace("as weighed", "another")))
    assert list(map(str, equal_rows(found))) == [
        "t.csv:4: this row is equal to t.csv:2 in every cell; both count. Delete one, or tell them apart by a note."
    ]
    again, _ = read(table(GOOD, GOOD, GOOD))
    assert "in every cell, one of 2 such rows; both count" in str(equal_rows(again)[0])
    assert equal_rows(found[:2]) == []
