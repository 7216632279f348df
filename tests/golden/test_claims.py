"""docs/claims-2024.md says what scenarios/claims-2024.toml gives: every figure in it, within its Monte Carlo error."""

from __future__ import annotations

import functools
import re
import tomllib

import pytest
import verdicts
import xarray as xr
from golden import claims

import sim

DRAWS = 16_384
REPLICATES = 16
RARE = 0.1  # percent: what few draws or none hit in a long run, in a short one
TABLES = ("ratios", "claims", "hangs", "worth")
OTHERS = ("word", "digits", "unmoved", "shapley", "run_id", "draws")  # of which Shapley effects are nightly's


@functools.cache
def short() -> xr.DataTree:
    return sim.run(sim.load_scenario(claims.SCENARIO), draws=DRAWS)


def printed(text: str) -> tuple[float, float]:
    """Return a number as printed and one unit of its last digit.

    >>> printed("1,640"), printed("0.017")
    ((1640.0, 10.0), (0.017, 0.001))
    """
    digits = text.replace(",", "")
    whole, _, decimals = digits.partition(".")
    zeros = 0 if decimals else len(whole) - len(whole.rstrip("0"))
    return float(digits), 10.0 ** (-len(decimals) if decimals else zeros)


def fields(document: str) -> list[tuple[str, str, str]]:
    """Return (kind, which, what the document has there) for every field of the words; fails where the words differ."""
    words = claims.WORDS.read_text(encoding="utf-8")
    parts = claims.FIELD.split(words.removeprefix("<!-- words -->"))
    pattern = "(.*?)".join(re.escape(text) for text in parts[::3])
    found = re.fullmatch(pattern, document.partition("-->")[2], re.DOTALL)
    assert found is not None, "the words are not those of claims-2024.in.md; run python -m tests.golden.claims"
    return list(zip(parts[1::3], parts[2::3], found.groups(), strict=True))


def figures(document: str) -> list[tuple[str, str, str]]:
    """Return (kind, which, number as printed) for every figure, those in tables included."""
    tree, found = short(), []
    for kind, which, text in fields(document):
        cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines()[2:]] if kind in TABLES else []
        if kind == "ratios":
            for (name, case, label), (first, ratio, interval, tipping) in zip(rows(tree, which, kind), cells, strict=True):
                assert first == label
                numbers = (ratio, *interval.split(" to "), tipping)
                found += [
                    (each, f"{name} | {case}", number) for each, number in zip(("ratio", "low", "high", "times"), numbers, strict=True)
                ]
        elif kind == "claims":
            for (name, case, label), (first, _, digits, _) in zip(rows(tree, which, kind), cells, strict=True):
                assert first == label
                found.append(
                    ("probability" if re.fullmatch(r"[\d.]+ %", digits) else "rare", f"{name} | {case}", digits.removesuffix(" %"))
                )
        elif kind in ("hangs", "worth"):
            index = {"hangs": "first_order", "worth": "evppi"}[kind]
            found += [
                (index, f"{answer} > {label}", number)
                for answer, listed, *_ in cells
                for label, number in re.findall(r"([^;\s][^;]*?) ([\d.]+) \([^)]*\)", listed)
            ]
        elif kind not in OTHERS:
            found.append((kind, which, text))
    return found


def rows(tree: xr.DataTree, which: str, kind: str) -> list[tuple[str, str, str]]:
    group, dimension = {"ratios": ("contrasts", "contrast"), "claims": ("claims", "claim")}[kind]
    return list(claims.rows(tree, group, dimension, which))


def check(document: str) -> None:
    """Assert that every figure of a document is what a short run gives, within the error of that run and a unit of the last digit."""
    tree = short()
    found, references, errors, units = [], [], [], []
    for kind, which, text in figures(document):
        if kind == "rare":
            assert claims.figure(tree, "probability", which)[0] < RARE, which
            continue
        number, mcse = claims.figure(tree, kind, which)
        reference, unit = printed(text)
        found.append(number)
        references.append(reference)
        errors.append(mcse)
        units.append(unit)
    assert len(found) > 200
    verdicts.assert_agrees(found, references, errors, REPLICATES, units, "docs/claims-2024.md")


def test_the_document_says_what_the_scenario_gives() -> None:
    check(claims.DOCUMENT.read_text(encoding="utf-8"))


@pytest.mark.parametrize("kind", ["ratio", "times", "probability"])
def test_a_wrong_figure_is_found(kind: str) -> None:
    document = claims.DOCUMENT.read_text(encoding="utf-8")
    where = {"ratio": "gross | 0.00204", "times": "CBP seized 491", "probability": "arithmetic | 54.8"}[kind]
    assert where in document
    wrong = where.replace("204", "304").replace("491", "419").replace("54", "45")
    with pytest.raises(AssertionError, match=r"docs/claims-2024\.md"):
        check(document.replace(where, wrong))


def test_changed_words_are_found() -> None:
    document = claims.DOCUMENT.read_text(encoding="utf-8")
    with pytest.raises(AssertionError, match="python -m"):
        fields(document.replace("does not turn it", "turns it"))


def test_the_words_of_a_claim_are_those_of_its_probability() -> None:
    """Where the bounds of both runs lie within one word; the short run may be less sure of a word at the edge of two."""
    document = claims.DOCUMENT.read_text(encoding="utf-8")
    said = [(which, text) for kind, which, text in fields(document) if kind == "word"]
    assert len(said) > 8
    for which, text in said:
        name, _, case = which.partition(" | ")
        chosen = short()["claims"].to_dataset().sel(claim=name, **{claims.SWEEP: case or claims.cases(short())[0]})
        bounds = [float(chosen[each]) for each in ("lower_bound", "upper_bound")]
        ranges = [next(word for most, word in sim.printed.LIKELIHOODS if bound <= most) for bound in bounds]
        assert text in ranges, which


def test_the_scenario_is_valid_and_grades_each_source() -> None:
    scenario = sim.load_scenario(claims.SCENARIO)
    assert {claim.contrast for claim in scenario.claims} <= {contrast.id for contrast in scenario.contrasts}
    blocks = tomllib.loads(claims.SCENARIO.read_text(encoding="utf-8"))["parameter"]
    assert [block.get("id", block["name"]) for block in blocks if "grade" not in block and block["source"] != "definition"] == []


@pytest.mark.nightly
def test_the_document_is_what_its_command_writes() -> None:
    assert claims.write(sim.run(sim.load_scenario(claims.SCENARIO))) == claims.DOCUMENT.read_text(encoding="utf-8")
