"""Write docs/claims-2024.md: the answers of scenarios/claims-2024.toml in words, with every figure taken from a run.

    .venv/bin/python -m tests.golden.claims

The words stand in docs/claims-2024.in.md, with fields such as {{ratio: CONTRAST | CASE}} where the figures go; a case is a label of the
sweep and is left out where the sweep moves nothing. What an answer hangs on is in the group /sensitivity; the Shapley effects of groups of
inputs come from a second, smaller run of one case.
"""

from __future__ import annotations

import functools
import math
import re
import tomllib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import xarray as xr

import sim
from sim.printed import claim_in_words, format_number

ROOT = Path(__file__).parents[2]
SCENARIO = ROOT / "scenarios" / "claims-2024.toml"
WORDS = ROOT / "docs" / "claims-2024.in.md"
DOCUMENT = ROOT / "docs" / "claims-2024.md"
SWEEP = "northern_powder"
HANGING_CASE = "5 to 50 %"
GROUPED_DRAWS = 65_536
INDICES = {"first_order": ("parameter", "target"), "evppi": ("parameter", "claim"), "shapley": ("input_group", "target")}
FIELD = re.compile(r"\{\{(\w+)(?:: (.*?))?\}\}")
CLAIM_NUMBERS = ("probability", "probability_mcse", "lower_bound", "upper_bound", "hits", "n_draws")


def cases(tree: xr.DataTree) -> list[str]:
    return [str(label) for label in tree["contrasts"][SWEEP].values]


def figure(tree: xr.DataTree, kind: str, which: str) -> tuple[float, float]:
    """Return one figure and its Monte Carlo standard error.

    ratio, low, high: the median and the ends of the 90 % interval of a contrast; times, timeslow, timeshigh: 1 / these; percent: its
    increase; probability: of a claim, in percent; median, lower, upper: of a cell, named "quantity, corridor, period"; first_order, evppi
    and shapley: of an answer and an input, named "answer > input", in percent and always of one case.
    """
    name, _, case = which.partition(" | ")
    at = {SWEEP: case or cases(tree)[0]}
    if kind == "probability":
        chosen = tree["claims"].to_dataset().sel(claim=name, **at)
        return 100.0 * float(chosen["probability"]), 100.0 * float(chosen["probability_mcse"])
    if kind in INDICES:
        inputs, of = INDICES[kind]
        name, _, label = name.partition(" > ")
        group = (grouped() if kind == "shapley" else tree)["sensitivity"].to_dataset()
        at = {SWEEP: HANGING_CASE} if SWEEP in group[kind].dims else {}
        chosen = group.sel({of: name, inputs: label, **at})
        return 100.0 * float(chosen[kind]), 100.0 * float(chosen[f"{kind}_mcse"])
    ends = {"low": 0.05, "timeslow": 0.05, "lower": 0.05, "high": 0.95, "timeshigh": 0.95, "upper": 0.95}
    quantile = ends.get(kind, 0.5)
    if kind in ("median", "lower", "upper"):
        quantity, corridor, period = name.split(", ")
        cell = {"corridor": corridor, "period": period, "form": "all", "quantile": quantile, **at}
        number, mcse = (float(tree[group][quantity].sel(cell)) for group in ("quantiles", "mcse"))
        return number, mcse
    chosen = tree["contrasts"].to_dataset().sel(contrast=name, quantile=quantile, **at)
    ratio, mcse = float(chosen["ratio"]), float(chosen["ratio_mcse"])
    if kind.startswith("times"):
        return 1.0 / ratio, mcse / ratio**2
    return (100.0 * (ratio - 1.0), 100.0 * mcse) if kind == "percent" else (ratio, mcse)


def written(number: float, mcse: float) -> str:
    """Write a figure as `sim show` does, but with at most three digits: the document is to be quoted."""
    if number == 0.0 or not math.isfinite(number):
        return format_number(number, mcse)
    third = 10.0 ** (math.floor(math.log10(abs(number))) - 2)
    return format_number(number, max(mcse, third / 2.0, 1e-9))


def claim(tree: xr.DataTree, name: str, case: str) -> tuple[str, str]:
    """Return the word and the digits of a claim's probability, as `sim show` has them."""
    chosen = tree["claims"].to_dataset().sel(claim=name, **{SWEEP: case})
    said = claim_in_words("x", *(chosen[each].item() for each in CLAIM_NUMBERS))
    word, digits = re.fullmatch(r'"x" is (.*) under these inputs: (.*)\.', said).groups()  # type: ignore[union-attr]
    return word, digits


def alone(tree: xr.DataTree, group: str, dimension: str, name: str) -> bool:
    """Return whether the sweep leaves a contrast or a claim as it is, so that one case speaks for all."""
    chosen = tree[group].to_dataset().sel({dimension: name}).drop_vars("text", errors="ignore")
    return all(bool((each == each.isel({SWEEP: 0})).all()) for each in chosen.data_vars.values())


def table(header: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    marks = [
        "---" if name in ("", "contrast", "claim", "in words", "single inputs", "groups of inputs", "worth knowing") else "---:"
        for name in header
    ]
    return "\n".join("| " + " | ".join(row) + " |" for row in (header, marks, *rows))


def rows(tree: xr.DataTree, group: str, dimension: str, prefixes: str) -> Iterator[tuple[str, str, str]]:
    """Give (id, case, label) of the contrasts or claims named by a list of ids, parted by semicolons."""
    for name in prefixes.split("; "):
        shown = cases(tree)[:1] if alone(tree, group, dimension, name) else cases(tree)
        for case in shown:
            yield name, case, name if len(shown) == 1 else f"{name}: {case}"


def ratios(tree: xr.DataTree, names: str) -> str:
    """Return the table of some contrasts: median, 90 % interval, tipping factor."""
    found = []
    for name, case, label in rows(tree, "contrasts", "contrast", names):
        kinds = [written(*figure(tree, kind, f"{name} | {case}")) for kind in ("ratio", "low", "high", "times")]
        found.append((label, kinds[0], f"{kinds[1]} to {kinds[2]}", kinds[3]))
    return table(("contrast", "ratio", "90 % interval", "tipping factor"), found)


def threshold(tree: xr.DataTree, name: str) -> tuple[str, float, float]:
    """Return the contrast that a claim is about and the bounds within which it holds."""
    (asked,) = (each for each in tomllib.loads(str(tree.attrs["scenario"]))["claim"] if each["id"] == name)
    low, high = asked.get("between", (asked.get("above", -math.inf), asked.get("below", math.inf)))
    return asked["contrast"], low, high


def arithmetic(tree: xr.DataTree, contrast: str) -> bool:
    """Return whether a contrast is one of gross weights seized, in which there is nothing but rounding."""
    asked = [each for each in tomllib.loads(str(tree.attrs["scenario"]))["contrast"] if each["id"] == contrast]
    return all(each[side]["quantity"] == "seized_gross_kg" for each in asked for side in ("numerator", "denominator")) and bool(asked)


def claims(tree: xr.DataTree, names: str) -> str:
    """Return the table of some claims: probability, its word, and the factor that would bring the median to the claim's edge."""
    found = []
    for name, case, label in rows(tree, "claims", "claim", names):
        contrast, low, high = threshold(tree, name)
        median, mcse = figure(tree, "ratio", f"{contrast} | {case}")
        edge = low if median < low else high if median > high else min((low, high), key=lambda x: abs(math.log(max(x, 1e-300) / median)))
        word, digits = claim(tree, name, case)
        found.append(
            (
                label,
                "arithmetic" if arithmetic(tree, contrast) else word,
                digits.removeprefix("probability "),
                written(edge / median, edge * mcse / median**2),
            )
        )
    return table(("claim", "in words", "probability", "to the edge"), found)


# --- what an answer hangs on -------------------------------------------------------------------------------------------------------


def strongest(tree: xr.DataTree, index: str, inputs: str, of: str, name: str) -> list[tuple[str, float, float]]:
    """Return the (input, index, error) that one answer hangs on most, in percent; none that is not three errors and 1 % above 0.

    Of an input that differs by place or year the strongest one speaks for all.
    """
    group = tree["sensitivity"].to_dataset()
    at = {SWEEP: HANGING_CASE} if SWEEP in group[index].dims else {}
    chosen = group[[index, f"{index}_mcse"]].sel({of: name, **at})
    best: dict[str, tuple[str, float, float]] = {}
    for label, share, error in zip(
        chosen[inputs].values, 100.0 * chosen[index].values, 100.0 * chosen[f"{index}_mcse"].values, strict=True
    ):
        block = str(label).partition("@")[0]
        if share > max(3.0 * error, 1.0) and share > best.get(block, ("", 0.0, 0.0))[1]:
            best[block] = str(label), float(share), float(error)
    return sorted(best.values(), key=lambda found: -found[1])[:3]


def percent(share: float, error: float) -> str:
    return f"{share:.{int(error < 0.5)}f}"


def listed(found: list[tuple[str, float, float]]) -> str:
    return "; ".join(f"{label} {percent(share, error)} ({error:.1f})" for label, share, error in found) or "none above 1 %"


@functools.cache
def grouped() -> xr.DataTree:
    """Return the run with Shapley effects of groups of inputs, with one law for the purity of northern powder."""
    scenario = sim.load_scenario(SCENARIO)
    (sweep,) = scenario.sweeps
    law = next(law for law, label in zip(sweep.values, sweep.labels, strict=True) if label == HANGING_CASE)
    one = sim.load_scenario(SCENARIO, overrides={sweep.path: law})
    assert one.sensitivity is not None
    return sim.run(replace(one, sensitivity=replace(one.sensitivity, shapley=True)), draws=GROUPED_DRAWS)


def hangs(tree: xr.DataTree, names: str) -> str:
    """Return, for each contrast, the single inputs and the groups of inputs that most of its variance is due to."""
    found = [
        (
            name,
            listed(strongest(tree, "first_order", "parameter", "target", name)),
            listed(strongest(grouped(), "shapley", "input_group", "target", name)),
        )
        for name in names.split("; ")
    ]
    return table(("contrast", "single inputs", "groups of inputs"), found)


def worth(tree: xr.DataTree, names: str) -> str:
    """Return, for each claim, the single inputs whose exact value would most help to be right about it."""
    return table(
        ("claim", "worth knowing"), [(name, listed(strongest(tree, "evppi", "parameter", "claim", name))) for name in names.split("; ")]
    )


def unmoved(tree: xr.DataTree, names: str) -> str:
    """Return the clause that no single input would help with any of some claims; fails where one would."""
    found = {name: listed(helps) for name in names.split("; ") if (helps := strongest(tree, "evppi", "parameter", "claim", name))}
    assert not found, f"the page says that no single input would help with {found}"
    return "no single input, known exactly, would raise the chance of being right by a full point"


def value(tree: xr.DataTree, kind: str, which: str) -> str:
    if kind in ("ratios", "claims"):
        return {"ratios": ratios, "claims": claims}[kind](tree, which)
    if kind in ("hangs", "worth", "unmoved"):
        return {"hangs": hangs, "worth": worth, "unmoved": unmoved}[kind](tree, which)
    if kind in ("run_id", "draws"):
        return f"{tree.attrs[kind]:,}" if kind == "draws" else str(tree.attrs[kind])
    if kind in ("word", "digits"):
        name, _, case = which.partition(" | ")
        return claim(tree, name, case or cases(tree)[0])[kind == "digits"]
    number, error = figure(tree, kind, which)
    return percent(number, error) if kind in INDICES else written(number, error)


def write(tree: xr.DataTree) -> str:
    """Return the document with the figures of a run."""
    text = FIELD.sub(lambda field: value(tree, field[1], field[2] or ""), WORDS.read_text(encoding="utf-8"))
    return text.replace("<!-- words -->", "<!-- written by python -m tests.golden.claims from claims-2024.in.md; edit that -->")


if __name__ == "__main__":
    DOCUMENT.write_text(write(sim.run(sim.load_scenario(SCENARIO))), encoding="utf-8")
    print(DOCUMENT.relative_to(ROOT))
