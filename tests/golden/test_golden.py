"""One small run of every shipped scenario against what it gave before.

A change that moves a number on purpose rebuilds the file in a commit of its own, raises `METHOD_VERSION` and says so in `CHANGELOG.md`:

    .venv/bin/python tests/golden/test_golden.py
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import sim

ROOT = Path(__file__).parents[2]
SCENARIOS = sorted(ROOT.glob("scenarios/*.toml"))
SCENARIOS.remove(ROOT / "scenarios" / "sources.toml")
DRAWS = 16_384
QUANTITIES = ("seized_gross_kg", "seized_pure_kg", "flow_pure_kg", "delivered_pure_kg", "interdiction_rate", "n_missed")


def numbers(path: Path) -> dict[str, dict[str, list[float]]]:
    """Return the 5, 50 and 95 % quantiles by quantity and by corridor and period, both forms together, case after case."""
    quantiles = sim.run(sim.load_scenario(path), draws=DRAWS)["quantiles"].dataset.sel(form="all", quantile=[0.05, 0.5, 0.95])
    return {
        name: {
            f"{corridor}, {period}": quantiles[name].sel(corridor=corridor, period=period).values.ravel().tolist()
            for corridor in quantiles["corridor"].values
            for period in quantiles["period"].values
            if quantiles[name].sel(corridor=corridor, period=period).notnull().any()  # else there is no evidence
        }
        for name in QUANTITIES
    }


def golden(path: Path) -> Path:
    return Path(__file__).with_name(f"{path.stem}.json")


@pytest.mark.parametrize("path", SCENARIOS, ids=lambda path: path.stem)
def test_the_numbers_are_those_of_before(path):
    """To 1e-5: a table entry that another libm rounds apart may move one draw across the edge of a bin."""
    found, before = numbers(path), json.loads(golden(path).read_text())
    assert found.keys() == before.keys()
    for name, places in before.items():
        assert found[name].keys() == places.keys()
        for place, expected in places.items():
            assert found[name][place] == pytest.approx(expected, rel=1e-5, nan_ok=True), (name, place)


if __name__ == "__main__":
    for scenario in SCENARIOS:
        golden(scenario).write_text(json.dumps(numbers(scenario), indent=1) + "\n")
        print(golden(scenario).relative_to(ROOT))
