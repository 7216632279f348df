"""Pictures: what is in the result is on the page, what is not is not, and every number beside a mark is the one that is printed."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from build import block, row
from hypothesis import given
from hypothesis import strategies as st
from pages import CLAIMS, LAW, NASTY, QUESTION, condition, small, sweep

import sim
from sim import plots, printed
from sim.errors import ResultError

pytest.importorskip("matplotlib", reason="the extra plot")

KG = ("flow_pure_kg", "seized_pure_kg", "seized_gross_kg")
PRECURSORS = [row("lab", 2, 160.0, "precursor"), row("store", None, 50.0, "precursor")]


@pytest.fixture(scope="module")
def plain() -> Any:
    return small()


@pytest.fixture(scope="module")
def full() -> Any:
    """Precursors and a condition besides."""
    return small(*PRECURSORS, parameters=[block("precursor_yield", LAW | {"mean": 0.5})], condition=[condition("50 kg")])


def drawn(figure: Any, name: str) -> dict[str, np.ndarray]:
    """Return where the medians of one quantity stand, by case."""
    lines = [line for axes in figure.axes for line in axes.lines if str(line.get_gid()).startswith(f"{name}/")]
    return {line.get_gid().split("/")[1]: np.asarray(line.get_xdata(), dtype=float) for line in lines}


def texts(figure: Any) -> list[str]:
    return [text.get_text() for text in figure.texts]


def medians(tree: Any, name: str, group: str = "quantiles") -> np.ndarray:
    found = tree[group].to_dataset()[name].sel(quantile=0.5)
    scale = 100.0 if name in ("purity", "interdiction_rate") else 1.0
    return scale * np.asarray(found.sel(form="all") if "form" in found.dims else found).ravel()


# ------------------------------------------------------------------------------------------------------------------ what is drawn


@pytest.mark.parametrize("name", [*KG, "interdiction_rate"])
def test_every_median_is_drawn_and_no_other_mark(plain: Any, name: str) -> None:
    figure = plots.figure(plain)
    (marks,) = drawn(figure, name).values()
    known = medians(plain, name)
    known = known[~np.isnan(known)]
    assert np.isfinite(marks).all()
    assert marks.size == known.size < plain["quantiles"]["flow_pure_kg"].sel(quantile=0.5, form="all").size
    for value in known[known > 0.0]:
        assert np.isclose(marks, value, rtol=1e-12).any()
    log = next(axes for axes in figure.axes for line in axes.lines if str(line.get_gid()).startswith(name)).get_xscale() == "log"
    assert (marks[marks < known[known > 0.0].min() * 0.999] > 0.0).all() or not log  # 0 has its own place on a log axis


def test_contrasts_claims_and_precursors(full: Any) -> None:
    figure = plots.figure(full)
    for name, group in (("ratio", "contrasts"), ("ratio", "conditioned/contrasts"), ("potential_pure_kg", "quantiles")):
        marks = np.concatenate(list(drawn(figure, name).values()))
        for value in medians(full, name, group)[~np.isnan(medians(full, name, group))]:
            assert np.isclose(marks, value, rtol=1e-12).any()
    likely = np.concatenate(list(drawn(figure, "probability").values()))
    for p in full["claims"]["probability"].values:
        assert np.isclose(likely, 100.0 * p).any()
    for text in (claim["text"] for claim in CLAIMS):
        assert text in texts(figure)
    marked = [axes.get_xlabel() for axes in figure.axes if any(list(line.get_xdata()) == [1.0, 1.0] for line in axes.lines)]
    assert marked == ["ratio (log scale)"]
    assert "∞" in [tick.get_text() for axes in figure.axes for tick in axes.get_xticklabels()]  # a ratio over nothing


def test_the_numbers_beside_the_marks_are_those_that_are_printed(full: Any) -> None:
    shown = texts(plots.figure(full))
    for tree in (full, full["conditioned"]):
        for name in ("flow_pure_kg", "interdiction_rate"):
            for median, interval in printed.cells(tree, name, "all", 0.9):
                assert median == printed.ABSENT or f"{median} ({interval})" in shown


def test_what_has_no_evidence_is_said_and_not_drawn(plain: Any) -> None:
    absent = np.isnan(medians(plain, "flow_pure_kg")).sum()
    assert texts(plots.figure(plain)).count("no evidence") == absent > 0


def test_names_are_text_and_the_run_is_named(plain: Any) -> None:
    shown = texts(plots.figure(plain))
    assert " ".join(shown[0].split()) == QUESTION
    assert NASTY in shown
    foot = shown[-1]
    assert f"Run {plain.attrs['run_id']}" in foot
    assert "4,096 draws" in foot
    assert "90 % credible interval" in " ".join(foot.split())
    assert "Judged, not measured: detection_rate" in foot


def test_each_case_of_a_sweep_has_its_marks() -> None:
    tree = small(sweep=[sweep(3)])
    figure = plots.figure(tree)
    by_case = drawn(figure, "flow_pure_kg")
    assert set(by_case) >= {"0", "1", "2"}
    marks = np.concatenate(list(by_case.values()))
    for value in medians(tree, "flow_pure_kg"):
        assert math.isnan(value) or value == 0.0 or np.isclose(marks, value, rtol=0.02).any()


def test_many_cases_are_cut_with_a_sentence() -> None:
    tree = small(sweep=[sweep(40)], run={"draws": 256})
    figure = plots.figure(tree)
    assert sum(marks.size for marks in drawn(figure, "flow_pure_kg").values()) <= plots.MOST_LINES
    foot = " ".join(texts(figure)[-1].split())
    assert "Drawn are 8 of 40 cases" in foot
    assert figure.get_figheight() < 25.0


def test_cases_that_are_drawn_are_every_combination_and_both_before_and_after() -> None:
    levels = {"dim": "level", "path": "run.seed", "values": [1, 2, 3, 4]}
    tree = small(sweep=[sweep(3), levels], condition=[condition("50 kg")])
    cases, notes = plots._series(tree)
    assert notes == ["Drawn are 4 of 12 cases; sim show and sim report tell the others."]
    assert {case.place for case in cases} == {(0, 0), (0, 3), (2, 0), (2, 3)}
    assert [case.group for case in cases] == ["", "conditioned/"] * 4
    lines = [plots._Line(heading="x", values={}, texts=[], case=k) for k in range(8)]
    for room in range(2, 8):
        found, said = plots._fitting("Flows", lambda chosen: [lines[k] for k in chosen], cases, room)
        kept = [cases[line.case or 0] for line in found]
        assert len(kept) == (4 if room >= 4 else 2)
        assert [case.group for case in kept] == ["", "conditioned/"] * (len(kept) // 2)
        assert said == [f"Flows: there is room for {len(kept) // 2} of these 4 cases; sim show and sim report tell the others."]


def test_the_groups_stand_for_their_corridors_where_lines_are_many() -> None:
    corridors = [f"c{k}" for k in range(80)]
    more = [row(corridor, n_events=9, amount=5.0) for corridor in corridors]
    tree = small(*more, groups={"both": [NASTY, "small"], "all": corridors}, run={"draws": 256})
    shown = texts(plots.figure(tree))
    assert "all (group)" in shown
    assert "c7" not in shown
    foot = " ".join(shown[-1].split())
    assert "corridors and periods have no evidence, and no line" in foot
    assert "the groups stand for their corridors, 83 lines" in foot


def test_a_condition_that_is_refused_is_said() -> None:
    tree = small(condition=[condition("1 g")])
    assert "Conditions were refused" in texts(plots.figure(tree))[-1]


def test_the_text_for_those_who_do_not_see_it(full: Any) -> None:
    said = plots.alt_text(full)
    for part in (NASTY, "zero", "store", "year", CLAIMS[1]["text"], "given the conditions"):
        assert part in said


def test_not_the_result_of_a_scenario() -> None:
    tree = sim.propagate(lambda x: {"y": x}, parameters={"x": {"kind": "normal", "mean": 0.0, "sd": 1.0}}, draws=256, seed=1)
    with pytest.raises(ResultError, match="no flows of a scenario"):
        plots.figure(tree)


# ------------------------------------------------------------------------------------------------------------------ axes


PANEL = plots._Panel(names=["flow_pure_kg"], unit="kg")
numbers = st.lists(st.one_of(st.just(0.0), st.just(math.inf), st.just(math.nan), st.floats(1e-30, 1e30)), min_size=1, max_size=12)


@given(numbers)
def test_an_axis_keeps_order_and_loses_nothing(values: list[float]) -> None:
    array = np.array(values)
    scale = plots._Scale.of([array], PANEL)
    placed = scale.at(array)
    low, high = scale.ends()
    assert (np.isnan(placed) == np.isnan(array)).all()
    known = placed[~np.isnan(placed)]
    assert ((low <= known) & (known <= high)).all()
    order = np.argsort(array[~np.isnan(array)], kind="stable")
    assert (np.diff(known[order]) >= 0.0).all()
    if scale.log and (array == 0.0).any():
        assert placed[array == 0.0].max() < scale.low
    assert all(low <= x <= high for x, _ in scale.ticks(6))


@pytest.mark.parametrize(
    ("values", "log", "said"),
    [
        ([1.0, 15.0], False, ""),
        ([1.0, 30.0], True, ""),
        ([0.0, 1.0, 30.0], True, "0"),
        ([1e-12, 1.0, 30.0], True, "<1e-6"),
        ([-1.0, 1.0, 30.0], False, ""),
        ([0.0], False, ""),
        ([], False, ""),
    ],
)
def test_a_log_axis_where_the_span_asks_for_it(values: list[float], log: bool, said: str) -> None:
    scale = plots._Scale.of([np.array(values)], PANEL)
    assert (scale.log, scale.said_least if not math.isnan(scale.least) else "") == (log, said)


# ------------------------------------------------------------------------------------------------------------------ files


@pytest.mark.parametrize(("kind", "begins"), [("png", b"\x89PNG"), ("svg", b"<?xml"), ("pdf", b"%PDF")])
def test_the_same_result_is_the_same_bytes(plain: Any, kind: str, begins: bytes) -> None:
    first, notes = plots.encoded(plain, f".{kind}")
    assert first.startswith(begins)
    assert notes == []
    assert plots.encoded(plain, f".{kind}") == (first, [])


def test_what_a_user_set_is_left_alone(plain: Any) -> None:
    matplotlib = pytest.importorskip("matplotlib")
    with matplotlib.rc_context({"font.size": 31.0, "text.usetex": True}):
        before = dict(matplotlib.rcParams)
        plots.encoded(plain, ".svg")
        assert dict(matplotlib.rcParams) == before


def test_signs_that_the_font_lacks_are_said() -> None:
    _, notes = plots.encoded(small(question="多少?", run={"draws": 256}), ".png")
    assert notes == ["The font of the picture lacks some signs of the labels; they stand as boxes."]


def test_what_a_sweep_changes_about_a_contrast_is_not_said_of_the_first_case() -> None:
    swept = {"dim": "where", "path": "contrast.year.numerator.corridor", "values": ["both", "small"]}
    tree = small(sweep=[swept], run={"draws": 256})
    assert printed.sides(tree) == {"year": "as the sweep where says", "nothing": "flow_pure_kg FY2024: both / zero"}
    assert "as the sweep where says" in texts(plots.figure(tree))
