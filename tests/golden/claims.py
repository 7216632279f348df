"""Write docs/claims-2024.md: the answers of scenarios/claims-2024.toml in words, with every figure taken from a run.

    .venv/bin/python -m tests.golden.claims

The words stand in docs/claims-2024.in.md, with fields such as {{ratio: CONTRAST | CASE}} where the figures go; a case is a label of the
sweep and is left out where the sweep moves nothing. What an answer hangs on is found by pinning one input at a time at its 5 and 95 %
quantiles, which takes some minutes.
"""

from __future__ import annotations

import functools
import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import xarray as xr

import sim
from sim.cli import claim_in_words, format_number

ROOT = Path(__file__).parents[2]
SCENARIO = ROOT / "scenarios" / "claims-2024.toml"
WORDS = ROOT / "docs" / "claims-2024.in.md"
DOCUMENT = ROOT / "docs" / "claims-2024.md"
SWEEP = "northern_powder"
PINNED_DRAWS = 16_384
PINNED_CASE = "5 to 50 %"
FIELD = re.compile(r"\{\{(\w+)(?:: (.*?))?\}\}")
CLAIM_NUMBERS = ("probability", "probability_mcse", "lower_bound", "upper_bound", "hits", "n_draws")


def cases(tree: xr.DataTree) -> list[str]:
    return [str(label) for label in tree["contrasts"][SWEEP].values]


def figure(tree: xr.DataTree, kind: str, which: str) -> tuple[float, float]:
    """Return one figure and its Monte Carlo standard error.

    ratio, low, high: the median and the ends of the 90 % interval of a contrast; times, timeslow, timeshigh: 1 / these; percent: its
    increase; probability: of a claim, in percent; median, lower, upper: of a cell, named "quantity, corridor, period".
    """
    name, _, case = which.partition(" | ")
    at = {SWEEP: case or cases(tree)[0]}
    if kind == "probability":
        chosen = tree["claims"].to_dataset().sel(claim=name, **at)
        return 100.0 * float(chosen["probability"]), 100.0 * float(chosen["probability_mcse"])
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
    marks = ["---" if name in ("", "contrast", "claim", "in words", "input", "answer") else "---:" for name in header]
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
    import tomllib

    (asked,) = (each for each in tomllib.loads(str(tree.attrs["scenario"]))["claim"] if each["id"] == name)
    low, high = asked.get("between", (asked.get("above", -math.inf), asked.get("below", math.inf)))
    return asked["contrast"], low, high


def claims(tree: xr.DataTree, names: str) -> str:
    """Return the table of some claims: probability, its word, and the factor that would bring the median to the claim's edge."""
    found = []
    for name, case, label in rows(tree, "claims", "claim", names):
        contrast, low, high = threshold(tree, name)
        median, mcse = figure(tree, "ratio", f"{contrast} | {case}")
        edge = low if median < low else high if median > high else min((low, high), key=lambda x: abs(math.log(max(x, 1e-300) / median)))
        word, digits = claim(tree, name, case)
        found.append((f"{label}", word, digits.removeprefix("probability "), written(edge / median, edge * mcse / median**2)))
    return table(("claim", "in words", "probability", "to the edge"), found)


# --- what an answer hangs on -------------------------------------------------------------------------------------------------------


@functools.cache
def pinned(draws: int = PINNED_DRAWS) -> dict[str, tuple[xr.DataTree, ...]]:
    """Return input -> results with that input at its 5 and 95 % quantile, all else free; "all" has every input at its median."""
    scenario = sim.load_scenario(SCENARIO)
    law = next(value for value, label in zip(scenario.sweeps[0].values, scenario.sweeps[0].labels, strict=True) if label == PINNED_CASE)
    fixed = {scenario.sweeps[0].path: law}

    def run(changes: dict[str, Any]) -> xr.DataTree:
        return sim.run(sim.load_scenario(SCENARIO, overrides=fixed | changes), draws=draws)

    free = run({})
    laws = free["parameters"].to_dataset()["value"]
    blocks: dict[str, tuple[float, float, float]] = {}
    for draw in laws["parameter"].values:
        low, middle, high = (float(laws.sel(parameter=draw, quantile=q)) for q in (0.05, 0.5, 0.95))
        if low < high:
            blocks[str(draw).partition("@")[0]] = low, middle, high
    units = {str(draw).partition("@")[0]: str(unit) for draw, unit in zip(laws["parameter"].values, laws["unit"].values, strict=True)}

    def law_of(block: str, number: float) -> Any:
        return {"kind": "constant", "value": number if units[block] == "1" else f"{number!r} {units[block]}"}

    found = {"": (free,)}
    for block, (low, _, high) in blocks.items():
        found[block] = tuple(run({f"parameter.{block}.distribution": law_of(block, number)}) for number in (low, high))
    found["correlation of detection_rate[northern] by year"] = tuple(
        run({"parameter.detection_rate[northern].correlation": number, "correlation.borders.value": 0.0}) for number in (0.0, 0.99)
    )
    found["attribution_share[northern]"] = tuple(run({"parameter.attribution_share[northern].distribution": number}) for number in (0.3, 1))
    everything = {f"parameter.{block}.distribution": law_of(block, middle) for block, (_, middle, _) in blocks.items()}
    found["all"] = (run(everything),)
    return found


def hangs(names: str) -> str:
    """Return, for each contrast, the two inputs that move its median most, and what is left when every input is at its median."""
    runs = pinned()
    found = []
    for name in names.split("; "):
        medians = {
            block: [float(tree["contrasts"]["ratio"].sel(contrast=name, quantile=0.5)) for tree in trees]
            for block, trees in runs.items()
            if len(trees) == 2
        }
        swings = sorted(medians, key=lambda block: -abs(math.log(medians[block][1] / medians[block][0])))
        errors = float(runs[""][0]["contrasts"]["ratio_mcse"].sel(contrast=name, quantile=0.5))
        text = []
        for block in swings[:2]:
            first, second = medians[block]
            if abs(first - second) > 6.0 * errors:
                text.append(f"{block} ({written(first, errors)} to {written(second, errors)})")
        left = runs["all"][0]["contrasts"].to_dataset().sel(contrast=name, quantile=[0.05, 0.95])
        low, high = (written(float(r), float(e)) for r, e in zip(left["ratio"], left["ratio_mcse"], strict=True))
        found.append((name, "; ".join(text) or "no input", f"{low} to {high}"))
    return table(("contrast", "input", "all at their medians"), found)


def value(tree: xr.DataTree, kind: str, which: str) -> str:
    if kind in ("ratios", "claims"):
        return {"ratios": ratios, "claims": claims}[kind](tree, which)
    if kind == "hangs":
        return hangs(which)
    if kind in ("run_id", "draws"):
        return f"{tree.attrs[kind]:,}" if kind == "draws" else str(tree.attrs[kind])
    if kind in ("word", "digits"):
        name, _, case = which.partition(" | ")
        return claim(tree, name, case or cases(tree)[0])[kind == "digits"]
    return written(*figure(tree, kind, which))


def write(tree: xr.DataTree) -> str:
    """Return the document with the figures of a run."""
    text = FIELD.sub(lambda field: value(tree, field[1], field[2] or ""), WORDS.read_text(encoding="utf-8"))
    return text.replace("<!-- words -->", "<!-- written by python -m tests.golden.claims from claims-2024.in.md; edit that -->")


if __name__ == "__main__":
    DOCUMENT.write_text(write(sim.run(sim.load_scenario(SCENARIO))), encoding="utf-8")
    print(DOCUMENT.relative_to(ROOT))
