"""The importer of CBP's nationwide file, on small files with the quirks of the published one and, where it is at hand, on that."""

from __future__ import annotations

import csv
import os
from collections import defaultdict
from fractions import Fraction
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sim.cbp import import_cbp
from sim.errors import EvidenceError
from sim.evidence import check_rows, read_table, write_evidence

ROOT = Path(__file__).resolve().parents[1]
SHIPPED = ROOT / "scenarios" / "evidence" / "cbp.csv"
PUBLISHED = ROOT.parent / "shared" / "cbp" / "nationwide-drugs-fy23-fy26-apr.csv"

COLUMNS = [
    "FY",
    "Month (abbv)",
    "Component",
    "Region",
    "Land Filter",
    "Area of Responsibility",
    "Drug Type",
    "Count of Event",
    "Sum Qty (lbs)",
]
OFO, USBP = "Office of Field Operations", "U.S. Border Patrol"
NORTH, SOUTH, INLAND = "Northern Border", "Southwest Border", "Coastal/Interior"
MONTHS = ["OCT", "NOV", "DEC", "JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP"]
CORRIDOR_OF = {
    (OFO, NORTH, "Land Only"): "northern-ports",
    (OFO, NORTH, "Other"): "northern-other",
    (USBP, NORTH, "Land Only"): "northern-between-ports",
    (OFO, SOUTH, "Land Only"): "southwest-ports",
    (OFO, SOUTH, "Other"): "southwest-other",
    (USBP, SOUTH, "Land Only"): "southwest-between-ports",
    (OFO, INLAND, "Other"): "coastal-interior",
    (USBP, INLAND, "Other"): "coastal-interior",
}


def cell(
    year="2023", month="OCT", component=OFO, region=NORTH, land="Land Only", area="SEATTLE", drug="Fentanyl", events="1", weight="0.5"
):
    return [year, month, component, region, land, area, drug, events, weight]


def year_of(year, months=MONTHS, drug="Marijuana"):
    """One cell of another drug for each month, so that a file covers the months."""
    return [cell(year, month, drug=drug, events="9", weight="99.5") for month in months]


@pytest.fixture
def write(tmp_path):
    """Write cells to a file as CBP does and return its path."""

    def to_file(cells, name="cbp.csv", header=COLUMNS):
        path = tmp_path / name
        with path.open("w", encoding="utf-8-sig", newline="") as stream:
            csv.writer(stream).writerows([header, *cells])
        return path

    return to_file


def refusals(*args, **kwargs):
    with pytest.raises(EvidenceError) as caught:
        import_cbp(*args, **kwargs)
    return caught.value.problems


def strata(frame):
    return {(row.corridor, row.period): (row.n_events, row.amount) for row in frame.itertuples()}


# What is read


def test_corridors_by_component_region_and_land_filter(write):
    cells = [
        cell(component=component, region=region, land=land, events=str(i + 1), weight=str(2**i))
        for i, (component, region, land) in enumerate(CORRIDOR_OF)
    ]
    frame = import_cbp(write(year_of("2023") + cells))
    expected = defaultdict(lambda: (0, 0.0))
    for i, corridor in enumerate(CORRIDOR_OF.values()):
        n_events, amount = expected[corridor, "FY2023"]
        expected[corridor, "FY2023"] = (n_events + i + 1, amount + 2**i)
    assert strata(frame) == expected
    assert list(frame.columns) == ["corridor", "period", "form", "n_events", "amount", "unit", "rounding", "source", "note"]
    assert set(frame.form) == {"unrecorded"}
    assert set(frame.unit) == {"lb"}
    assert set(frame.source) == {"cbp-nationwide-drug-seizures"}
    assert frame.attrs["reports"] == []
    assert list(frame.corridor) == sorted(frame.corridor)


def test_the_border_patrol_is_between_ports_under_any_land_filter(write):
    frame = import_cbp(write([*year_of("2023"), cell(component=USBP, land="Other"), cell(component=USBP)]))
    assert strata(frame)["northern-between-ports", "FY2023"] == (2, 1.0)


def test_years_as_numbers_and_to_date_and_months_in_any_case(write):
    cells = [
        *year_of("2025"),
        *year_of("2026 (FYTD)", MONTHS[:7]),
        cell("2025", "sep", events="2", weight="1"),
        cell("2026 (FYTD)", "Oct", events="3", weight="2"),
        cell("2026", "october", area="BLAINE", events="4", weight="4"),
        cell("FY2026", "Apr", events="5", weight="8"),
    ]
    frame = import_cbp([write(cells)])
    assert strata(frame) == {("northern-ports", "FY2025"): (2, 1.0), ("northern-ports", "FY2026-Oct-Apr"): (12, 14.0)}
    assert frame.attrs["reports"] == ["7 of 12 months of FY2026 are in the files: its period is FY2026-Oct-Apr."]


@pytest.mark.parametrize(
    ("months", "period"),
    [
        (MONTHS, "FY2025"),
        (MONTHS[:1], "FY2025-Oct"),
        (MONTHS[:11], "FY2025-Oct-Aug"),
        (MONTHS[3:], "FY2025-Jan-Sep"),
        (MONTHS[:3] + MONTHS[4:7], "FY2025-Oct-Dec+Feb-Apr"),
        ([MONTHS[0], MONTHS[11]], "FY2025-Oct+Sep"),
    ],
)
def test_a_period_is_named_after_the_months_present_for_any_drug(write, months, period):
    frame = import_cbp(write([*year_of("2025", months), cell("2025", months[0])]))
    assert set(frame.period) == {period}
    assert len(frame.attrs["reports"]) == (period != "FY2025")


def test_months_of_one_year_may_come_in_two_files(write):
    first = write([*year_of("2025", MONTHS[:6]), cell("2025", "OCT")], "a.csv")
    second = write([*year_of("2025", MONTHS[6:]), cell("2025", "SEP")], "b.csv")
    assert strata(import_cbp([first, second])) == {("northern-ports", "FY2025"): (2, 1.0)}


def test_events_without_a_weight_count_and_are_reported(write):
    path = write([*year_of("2023"), cell(events="2", weight="", area="BLAINE"), cell(events="3", weight="0.0", area="SPOKANE"), cell()])
    frame = import_cbp(path)
    assert strata(frame) == {("northern-ports", "FY2023"): (6, 0.5)}
    (report,) = frame.attrs["reports"]
    assert report == f"northern-ports FY2023: events without a weight: 5 ({path}:14, 15); they count as events."
    assert "events without a weight: 5" in frame.note[0]


def test_a_weight_without_events_is_added_and_reported(write):
    path = write([*year_of("2023"), cell(events="", weight="2", area="BLAINE"), cell(events="0", weight="1", area="SPOKANE"), cell()])
    frame = import_cbp(path)
    assert strata(frame) == {("northern-ports", "FY2023"): (1, 3.5)}
    (report,) = frame.attrs["reports"]
    assert f"({path}:14, 15)" in report


def test_a_stratum_with_weight_and_no_event_is_refused(write):
    (problem,) = refusals(write([*year_of("2023"), cell(events="", weight="2")]))
    assert "northern-ports FY2023 has 2 lb and no event" in str(problem)
    assert "cbp.csv:14" in str(problem)


def test_a_stratum_with_events_and_no_weight_is_written_and_reported(write, tmp_path):
    frame = import_cbp(write([*year_of("2023"), cell(weight="")]))
    assert "no weight at all" in frame.attrs["reports"][1]
    write_evidence(frame, tmp_path / "out.csv")
    rows, problems = read_table(tmp_path / "out.csv")
    assert problems == []
    assert len(check_rows(rows)) == 1


def test_a_corridor_without_this_drug_is_a_zero(write, tmp_path):
    cells = [*year_of("2023"), *year_of("2024"), cell("2023"), cell("2023", region=INLAND, land="Other", drug="Khat (Catha Edulis)")]
    frame = import_cbp(write(cells))
    assert strata(frame) == {
        ("coastal-interior", "FY2023"): (0, 0.0),
        ("coastal-interior", "FY2024"): (0, 0.0),
        ("northern-ports", "FY2023"): (1, 0.5),
        ("northern-ports", "FY2024"): (0, 0.0),
    }
    assert len(frame.attrs["reports"]) == 3
    write_evidence(frame, tmp_path / "out.csv")
    rows, problems = read_table(tmp_path / "out.csv")
    assert problems == []
    assert check_rows(rows) == []


def test_a_cell_that_stands_twice_is_added_and_reported(write):
    frame = import_cbp(write([*year_of("2023"), cell(), cell(area="BLAINE"), cell()]))
    assert strata(frame) == {("northern-ports", "FY2023"): (3, 1.5)}
    (report,) = frame.attrs["reports"]
    assert "cbp.csv:16 repeats the cell of line 14" in report


def test_other_drugs_by_name(write):
    path = write([*year_of("2023", drug="Other Drugs**"), cell(drug="Khat (Catha Edulis)", weight="48.5")])
    assert strata(import_cbp(path, "khat  (catha edulis)")) == {("northern-ports", "FY2023"): (1, 48.5)}
    assert strata(import_cbp(path, drug="Other drugs"))["northern-ports", "FY2023"] == (108, 12 * 99.5)


def test_numbers_of_drugs_that_are_not_asked_for_are_not_judged(write):
    path = write([*year_of("2023"), cell(), cell(drug="Heroin", weight="n/a", area="BLAINE")])
    assert strata(import_cbp(path)) == {("northern-ports", "FY2023"): (1, 0.5)}
    (problem,) = refusals(path, "Heroin")
    assert (problem.line, problem.path) == (15, ("Sum Qty (lbs)",))


def test_numbers_with_grouped_thousands_and_exponents(write):
    frame = import_cbp(write([*year_of("2023"), cell(events="1,234", weight="12,345.5"), cell(weight="4.5e-05", area="BLAINE")]))
    assert strata(frame) == {("northern-ports", "FY2023"): (1235, 12345.500045)}


def test_a_file_of_earlier_years_and_many_cells_are_summed_exactly(write):
    """FY2019 to FY2022 as CBP lays them out; the sums are those of exact arithmetic, rounded once."""
    cells, exact, counts = [], defaultdict(Fraction), defaultdict(int)
    for i, ((component, region, land), corridor) in enumerate(CORRIDOR_OF.items()):
        for year in ("2019", "2020", "2021", "2022"):
            for j, month in enumerate(MONTHS):
                weight = f"{(7 * i + 3 * j + int(year)) / 997 * 10 ** (j % 7 - 3):.12f}"
                cells.append(cell(year, month, component, region, land, f"AREA {i}", events=str(i + j), weight=weight if i + j else ""))
                exact[corridor, f"FY{year}"] += Fraction(float(weight)) if i + j else 0
                counts[corridor, f"FY{year}"] += i + j
    frame = import_cbp(write(cells))
    assert len(frame) == 7 * 4
    assert strata(frame) == {stratum: (counts[stratum], float(exact[stratum])) for stratum in exact}


@given(order=st.permutations(range(len(COLUMNS) + 2)), seed=st.randoms(use_true_random=False))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25)
def test_order_of_columns_and_rows_and_further_columns_do_not_matter(write, order, seed):
    cells = year_of("2023") + [
        cell(component=component, region=region, land=land, weight=str(1 / (i + 3)), area=f"A{k}")
        for k in range(3)
        for i, (component, region, land) in enumerate(CORRIDOR_OF)
    ]
    plain = import_cbp(write(cells))
    wide = [[*row, "x", ""] for row in cells]
    shuffled = [[row[i] for i in order] for row in seed.sample(wide, len(wide))]
    header = [[*COLUMNS, "Notes", ""][i] for i in order]
    pd.testing.assert_frame_equal(import_cbp(write(shuffled, "shuffled.csv", header)), plain)


# What is refused


@pytest.mark.parametrize("missing", COLUMNS)
def test_a_missing_column_is_named(write, missing):
    at = COLUMNS.index(missing)
    path = write([row[:at] + row[at + 1 :] for row in [*year_of("2023"), cell()]], header=COLUMNS[:at] + COLUMNS[at + 1 :])
    (problem,) = refusals(path)
    assert (problem.file, problem.line) == (os.fspath(path), 1)
    assert f"the column {missing} is missing" in problem.came
    assert problem.advice


def test_a_misspelt_column_is_recognised(write):
    (problem,) = refusals(write([cell()], header=[column.replace("Land Filter", "LandFilter") for column in COLUMNS]))
    assert "Land Filter may be what is called LandFilter here" in problem.advice


def test_the_file_of_air_and_marine_operations_is_another_base(write):
    header = ["FY", "Month (abbv)", "Region", "Branch", "Drug Type", "Count of Event", "Sum Qty (lbs)"]
    (problem,) = refusals(write([["2024", "OCT", NORTH, "BELLINGHAM AIR BRANCH", "Fentanyl", "1", "1200"]], header=header))
    assert "another base" in problem.advice
    (problem,) = refusals(write([*year_of("2023"), cell(), cell(component="Air and Marine Operations")]))
    assert problem.line == 15
    assert "another base" in problem.advice


@pytest.mark.parametrize(
    ("change", "column", "words"),
    [
        ({"region": "Eastern Border"}, "Region", "one of Northern Border, Southwest Border, Coastal/Interior"),
        ({"region": "Northen Border"}, "Region", "The nearest is Northern Border"),
        ({"region": ""}, "Region", "''"),
        ({"component": "Coast Guard"}, "Component", "one of Office of Field Operations, U.S. Border Patrol"),
        ({"land": "Sea"}, "Land Filter", "one of Land Only, Other"),
        ({"year": "23"}, "FY", "not a fiscal year"),
        ({"year": "FY"}, "FY", "second header"),
        ({"year": "2026 (preliminary)"}, "FY", "2026 (FYTD)"),
        ({"month": "13"}, "Month (abbv)", "not a month"),
        ({"month": "MA"}, "Month (abbv)", "not a month"),
        ({"month": ""}, "Month (abbv)", "not a month"),
        ({"drug": ""}, "Drug Type", "blank"),
        ({"events": "-1"}, "Count of Event", "out of range"),
        ({"events": "1.5"}, "Count of Event", "whole number"),
        ({"events": "one"}, "Count of Event", "not a number"),
        ({"events": "nan"}, "Count of Event", "not a number"),
        ({"weight": "-0.5"}, "Sum Qty (lbs)", "out of range"),
        ({"weight": "n/a"}, "Sum Qty (lbs)", "not a number"),
        ({"weight": "inf"}, "Sum Qty (lbs)", "not a number"),
        ({"weight": "1e999"}, "Sum Qty (lbs)", "not finite"),
        ({"weight": "1,23"}, "Sum Qty (lbs)", "not a number"),
    ],
)
def test_a_wrong_cell_is_named_with_file_and_line(write, change, column, words):
    path = write([*year_of("2023"), cell(), cell(**change)])
    (problem,) = refusals(path)
    assert (problem.file, problem.line, problem.path) == (os.fspath(path), 15, (column,))
    assert words in str(problem)


def test_an_unknown_label_is_one_problem_however_many_rows_bear_it(write):
    (problem,) = refusals(write([*year_of("2023"), cell(), *[cell(region="Moon")] * 50]))
    assert problem.line == 15


def test_all_problems_of_all_files_come_at_once(write):
    first = write([*year_of("2023"), cell(weight="x"), cell(events="y"), cell(region="Moon")], "a.csv")
    second = write([*year_of("2023"), cell(component="Navy"), ["too", "short"]], "b.csv")
    problems = refusals([first, second, "absent.csv"])
    found = {(Path(problem.file).name, problem.line) for problem in problems}
    assert found == {("a.csv", 16), ("b.csv", 14), ("b.csv", 15), ("absent.csv", None), ("b.csv", 2), ("a.csv", 14), ("a.csv", 15)}


def test_months_that_two_files_share(write):
    first = write([*year_of("2024"), *year_of("2025", MONTHS[:7]), cell("2024")], "first.csv")
    second = write([*year_of("2025", MONTHS[5:9]), cell("2025", "MAY")], "second.csv")
    (problem,) = refusals([first, second])
    assert (problem.file, problem.line) == (os.fspath(second), 2)
    assert f"overlaps with {first} in FY2025-Mar-Apr" in problem.came
    (problem,) = refusals([first, first])
    assert f"overlaps with {first} in FY2024, FY2025-Oct-Apr" in problem.came


def test_an_unknown_drug(write):
    path = write([*year_of("2023"), cell()])
    (problem,) = refusals(path, "Fentanil")
    assert "the drugs are Fentanyl, Marijuana" in problem.allowed
    assert problem.advice == "The nearest is Fentanyl"
    (problem,) = refusals(path, "zzz")
    assert problem.allowed


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "empty"),
        (b"PK\x03\x04\0\0", "spreadsheet"),
        (b"\0\1\2", "NUL"),
        (b"a,b\n1,2\n", "none of the columns"),
        (b"<html>\n", "none of the columns"),
    ],
)
def test_what_is_not_cbps_file(tmp_path, content, words):
    path = tmp_path / "x.csv"
    path.write_bytes(content)
    (problem,) = refusals([path])
    assert words in str(problem)
    assert problem.file == os.fspath(path)


def test_no_file_and_no_rows(write):
    assert "no file was given" in str(refusals([])[0])
    assert "no rows" in str(refusals(write([]))[0])


# Writing


def test_written_and_read_again_it_is_the_same(write, tmp_path):
    frame = import_cbp(write([*year_of("2023"), cell(weight="0.1"), cell(weight="0.2", area="B"), cell(component=USBP, weight="1e-05")]))
    out = tmp_path / "out.csv"
    write_evidence(frame, out)
    with out.open(encoding="utf-8", newline="") as stream:
        written = list(csv.DictReader(stream))
    assert [
        {**row, "n_events": int(row["n_events"]), "amount": float(row["amount"]), "rounding": float(row["rounding"])} for row in written
    ] == (frame.to_dict("records"))
    before = out.read_bytes()
    write_evidence(frame, out)
    assert out.read_bytes() == before
    rows, problems = read_table(out)
    assert problems == []
    assert [row.corridor for row in rows] == list(frame.corridor)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cbp.csv", "out.csv"]


def test_a_failed_write_leaves_what_was_there(write, tmp_path, monkeypatch):
    frame = import_cbp(write([*year_of("2023"), cell()]))
    out = tmp_path / "out.csv"
    out.write_text("before")

    def full_disk(*_args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("sim.evidence.os.fsync", full_disk)
    with pytest.raises(EvidenceError, match="No space left"):
        write_evidence(frame, out)
    assert out.read_text() == "before"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cbp.csv", "out.csv"]


def test_places_that_cannot_be_written(write, tmp_path):
    frame = import_cbp(write([*year_of("2023"), cell()]))
    for path in (tmp_path, tmp_path / "absent" / "out.csv", "/dev/null", "a\0b", tmp_path / "cbp.csv" / "x"):
        with pytest.raises(EvidenceError) as caught:
            write_evidence(frame, path)
        assert caught.value.problems[0].file == os.fspath(path)
    assert not Path("/dev/null").is_file()


# The table that ships


def test_the_shipped_table_is_sound():
    rows, problems = read_table(SHIPPED)
    assert problems == []
    assert check_rows(rows) == []
    assert len(rows) == 7 * 8
    assert {row.source for row in rows} == {"cbp-nationwide-drug-seizures"}
    # CBP's totals of FY2023 to FY2025 as other readers of the file give them, in lb.
    for period, pounds in {"FY2023": 27_022.86, "FY2024": 21_889.21, "FY2025": 12_027.28}.items():
        assert sum(row.amount for row in rows if row.period == period) / 0.45359237 == pytest.approx(pounds, abs=0.01)


@pytest.mark.skipif(not PUBLISHED.exists(), reason="needs the published file beside the repository; it is too large to ship")
def test_the_published_file_gives_the_shipped_rows():
    frame = import_cbp([PUBLISHED])
    with SHIPPED.open(encoding="utf-8") as stream:
        shipped = {(row["corridor"], row["period"]): (int(row["n_events"]), row["amount"]) for row in csv.DictReader(stream)}
    expected = {stratum: numbers for stratum, numbers in shipped.items() if stratum[1] >= "FY2023"}
    assert {stratum: (n_events, f"{amount:.4f}") for stratum, (n_events, amount) in strata(frame).items()} == expected
    assert len(expected) == 28
    assert sum("without a weight" in report for report in frame.attrs["reports"]) == 3
