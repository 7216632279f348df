"""The report: one file that needs nothing, markup that is whole, every text of a user as text, every number as it is printed."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from importlib import util
from typing import Any

import numpy as np
import pytest
import xarray as xr
from build import block, row
from hypothesis import given
from hypothesis import strategies as st
from pages import CLAIMS, LAW, NASTY, QUESTION, SOURCES, condition, hide_matplotlib, small, sweep

import sim
from sim import printed, report
from sim.errors import ResultError

VOID = {"meta", "img", "wbr"}
KNOWN = VOID | {
    *("html", "head", "title", "style", "body", "main", "section", "h1", "h2", "p", "a", "pre", "div", "ul", "li", "dl", "dt", "dd"),
    *("table", "caption", "thead", "tbody", "tr", "th", "td", "figure", "figcaption", "details", "summary", "span"),
}
GROWTH = {"id": "growth", "corridor": NASTY, "periods": ["FY2023", "FY2024"]}


class Reader(HTMLParser):
    """Reads a page strictly: every element is known and closed in its turn."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag in KNOWN, tag
        assert not any(name.startswith("on") for name, _ in attrs)
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open, tag
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] != "style":
            self.text.append(data)

    def of(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


def read(page: str) -> Reader:
    reader = Reader()
    reader.feed(page)
    reader.close()
    assert reader.open == []
    return reader


def text_of(page: str) -> str:
    return " ".join("".join(read(page).text).split())


@pytest.fixture(scope="module")
def full() -> Any:
    more = [row("lab", 2, 160.0, "precursor"), row("store", None, 50.0, "precursor")]
    made = {"parameters": [block("precursor_yield", LAW | {"mean": 0.5})], "growth": [GROWTH], "sensitivity": {}}
    return small(*more, condition=[condition("100 kg")], **made)


@pytest.fixture(scope="module")
def page(full: Any) -> str:
    return report.page(full)[0]


# ------------------------------------------------------------------------------------------------------------------ markup


@pytest.mark.parametrize("wrong", ["<p>", "</p>", "<p><b></p>", "<script></script>", '<p onclick="x">', "<p><ul></p></ul>"])
def test_a_page_that_is_not_whole_is_caught(wrong: str) -> None:
    with pytest.raises(AssertionError):
        read(wrong)


@given(st.text(), st.text())
def test_any_text_comes_back(text: str, name: str) -> None:
    reader = read(report.tag("p", text, report.tag("a", text, title=name)))
    assert "".join(reader.text) == 2 * text
    assert reader.of("a") == [{"title": name}]


def test_a_title_holds_no_elements() -> None:
    """A browser shows them as they stand there; this question has a name in brackets and a number with its unit."""
    page = report.page(small(question="Is x[a,b] above 5 kg?"))[0]
    [title] = re.findall(r"<title>(.*?)</title>", page)
    assert title.endswith(": Is x[a,b] above 5 kg?")
    assert "x<wbr>[a,<wbr>b]" in page


def test_the_page_is_whole_and_needs_nothing(page: str) -> None:
    reader = read(page)
    assert page.startswith('<!DOCTYPE html>\n<html lang="en">')
    loads = [value for _, attributes in reader.elements for key, value in attributes.items() if key in ("src", "srcset", "data", "action")]
    assert all(str(load).startswith("data:image/png;base64,") for load in loads)
    assert not re.search(r"@import|url\(", page)
    policies = [meta["content"] for meta in reader.of("meta") if "http-equiv" in meta]
    assert policies == ["default-src 'none'; img-src data:; style-src 'unsafe-inline'"]
    assert {"h1", "table", "details"} <= {name for name, _ in reader.elements}


def test_what_a_user_wrote_is_text(page: str) -> None:
    assert "<script" not in page
    assert "<b>" not in page
    text = text_of(page)
    for said in (QUESTION, NASTY, f"a note {NASTY}", CLAIMS[0]["text"]):
        assert " ".join(said.split()) in text


def test_only_addresses_of_the_web_are_links() -> None:
    reader = read("".join(report._sources(small_with(SOURCES))))
    assert [link["href"] for link in reader.of("a")] == [SOURCES["key"]["url"]]
    assert "javascript:alert(1)" in "".join(reader.text)


def small_with(sources: dict[str, Any]) -> Any:
    import tomli_w
    import xarray as xr

    return xr.DataTree(xr.Dataset(attrs={"scenario": tomli_w.dumps({"evidence": {"sources": sources}})}))


def test_tables_can_be_read_aloud(page: str) -> None:
    reader = read(page)
    assert {heading["scope"] for heading in reader.of("th")} == {"col", "row"}
    assert len(reader.of("caption")) == len(reader.of("table")) > 10
    assert len(reader.of("h1")) == 1


# ------------------------------------------------------------------------------------------------------------------ what is said


def test_claims_and_numbers_as_they_are_printed(full: Any, page: str) -> None:
    text = text_of(page)
    words = {data.strip("(,;) %kg") for cell in read(page).text for data in cell.split()}
    for sentence in printed.claims(full, 100):
        assert " ".join(str(sentence).split()) in text
    for tree in (full, full["conditioned"]):
        for quantity in ("flow_pure_kg", "interdiction_rate"):
            for median, interval in printed.cells(tree, quantity, "all", 0.9):
                assert median == printed.ABSENT or {median, *interval.split(" to ")} <= words
    error = float(full["mcse"]["flow_pure_kg"].sel(corridor="both", period="FY2024", form="all", quantile=0.5))
    assert f"its Monte Carlo standard error, moves the median by {error:.1g} kg" in text
    for part in printed.sections(full, 0.9, 100)["caveats"]:
        assert " ".join(str(part).split()) in text


def test_every_quantile_table_holds_the_numbers_of_the_result(full: Any) -> None:
    reader = read("".join(report._quantiles(full)))
    text = "".join(reader.text)
    assert len(reader.of("details")) == len(full["quantiles"].data_vars)
    for name in full["quantiles"].data_vars:
        scale = 100.0 if name in ("purity", "interdiction_rate") else 1.0
        values, errors = (scale * full[group][name].sel(quantile=[0.25, 0.75]).values.ravel() for group in ("quantiles", "mcse"))
        for value, error in zip(values, errors, strict=True):
            assert np.isnan(value) or printed.format_number(float(value), float(error)) in text


def test_every_section_that_the_result_has(full: Any, page: str) -> None:
    headings = re.findall(r"<h2>(.*?)</h2>", page)
    assert headings == [
        "The answer", "The picture", "How to read it", "What crossed, against what was seized", "Precursors", "Contrasts", "Growth",
        "Claims",
        "Conditions", "What the answers hang on", "What to know before believing it", "Quantiles of every quantity", "Inputs", "Evidence",
        "Where it comes from",
    ]  # fmt: skip
    text = text_of(page)
    for said in (full.attrs["run_id"], full.attrs["numbers_digest"], "elicited", "made up", "Pareto k", "effective sample size"):
        assert said in text
    assert "Given the conditions: both (group), FY2024: a median flow of" in text
    plain = re.findall(r"<h2>(.*?)</h2>", report.page(small(run={"draws": 256}))[0])
    assert set(headings) - set(plain) == {"Precursors", "Growth", "Conditions", "What the answers hang on"}


def test_a_refused_condition_gives_its_reason() -> None:
    tree = small(condition=[condition("1 g")])
    text = text_of(report.page(tree)[0])
    assert text.count(f"Conditions refused: {tree.attrs['condition_refused']}") == 2
    assert "Given the conditions" not in text


def test_cases_of_a_sweep_and_too_many_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    tree = small(sweep=[sweep(12)], run={"draws": 256})
    text = text_of(report.page(tree)[0])
    assert "In 12 cases, over pure (parameter.powder_purity.distribution.mean, in its own unit)." in text
    assert "pure = 0.05: both (group), FY2024: a median flow of" in text
    assert f"These are the first {report.MOST_SENTENCES} of" in text
    monkeypatch.setattr(report, "MOST_ROWS", 5)
    monkeypatch.setattr(report, "MOST_CELLS", 1)
    text = text_of(report.page(tree)[0])
    assert "The first 5 of" in text
    assert "Only the first cases are written out" in text


def test_the_same_result_is_the_same_page(full: Any, page: str) -> None:
    assert report.page(full)[0] == page


def test_the_picture_has_a_text(page: str) -> None:
    pytest.importorskip("matplotlib", reason="the extra plot")
    (image,) = read(page).of("img")
    assert "credible intervals" in str(image["alt"])
    assert NASTY in str(image["alt"])


def test_without_matplotlib_the_page_has_all_but_the_picture(full: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    hide_matplotlib(monkeypatch)
    page, (said,) = report.page(full)
    assert "borderflow-sim[plot]" in said
    assert read(page).of("img") == []
    assert " ".join(said.split()) in text_of(page)


def test_not_the_result_of_a_scenario() -> None:
    tree = sim.propagate(lambda x: {"y": x}, parameters={"x": {"kind": "normal", "mean": 0.0, "sd": 1.0}}, draws=256, seed=1)
    with pytest.raises(ResultError, match="no flows of a scenario"):
        report.page(tree)


def test_the_page_is_made_without_a_template_engine() -> None:
    """Nothing but the plain install is asked for."""
    assert util.find_spec("sim.report") is not None
    source = str(util.find_spec("sim.report").loader.get_source("sim.report"))  # type: ignore[union-attr]
    assert "jinja" not in source


def test_what_a_sweep_does_not_move_stands_once() -> None:
    flow = xr.DataArray(
        np.zeros((2, 2, 1, 1)), dims=("law", "bound", "corridor", "period"), coords={"law": ["a", "b"], "bound": [0.5, 2.0]}
    )
    tree = xr.DataTree.from_dict({"quantiles": xr.Dataset({"flow_pure_kg": flow})})
    cases = [(law, bound) for law in ("a", "b") for bound in ("0.5", "2")]
    texts = {"north": "1111", "south": "1122", "east": "1212", "west": "1112", "gone": "12"}
    rows = [(*case, name, text[k]) for k, case in enumerate(cases) for name, text in texts.items() if k < len(text)]
    told = printed.alike(tree, rows)
    assert told[0] == ("all", "all", "north", "1")
    assert {row for row in told if row[2] == "south"} == {("a", "all", "south", "1"), ("b", "all", "south", "2")}
    assert {row for row in told if row[2] == "east"} == {("all", "0.5", "east", "1"), ("all", "2", "east", "2")}
    assert [row for row in told if row[2] == "west"] == [row for row in rows if row[2] == "west"]
    assert [row for row in told if row[2] == "gone"] == [row for row in rows if row[2] == "gone"]
