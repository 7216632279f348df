"""Nominal 90 % intervals of a ratio hold the truth in .87 to .93 of worlds in which the model is right; with a fault they do not.

A world has two corridors, seen at rates 6 and 10, each with a load scale of its own. Detection is drawn from its prior, once for both or
once for each. A ratio of missed masses scales with the ratio of seized masses, so one run answers for all worlds with the same counts.
"""

from __future__ import annotations

import numpy as np
import pytest
import verdicts
from build import block, row, scenario
from scipy import special

import sim

LOW, HIGH = 0.87, 0.93
N_WORLDS = 1_700
RATES = np.array([6.0, 10.0])
SIGMA = 0.5  # sizes tell much, so that counts and detection decide
DETECTION = {"kind": "beta", "alpha": 2.0, "beta": 10.0}
BATCH = 25


def lived(rng: np.random.Generator, one_rate: bool) -> tuple[np.ndarray, np.ndarray]:
    """Return counts (w, 2) and the ratio of missed masses over that of seized ones (w,), of worlds that saw an event in both corridors."""
    counts, ratios = [], []
    while len(counts) < N_WORLDS:
        n = rng.poisson(RATES)
        if n.min() == 0:
            continue
        d = np.full(2, rng.beta(2.0, 10.0)) if one_rate else rng.beta(2.0, 10.0, 2)
        k = rng.poisson(RATES * (1.0 - d) / d)
        mass = [np.exp(SIGMA * special.ndtri(rng.random(m) * special.ndtr(3.0))).sum() for m in (*n, *k)]
        with np.errstate(divide="ignore", invalid="ignore"):
            ratios.append(np.float64(mass[2]) / np.float64(mass[3]) / (mass[0] / mass[1]))
        counts.append(n)
    return np.array(counts), np.array(ratios)


def believed(counts: np.ndarray, one_rate: bool, apart: bool = False) -> np.ndarray:
    """Return the 90 % intervals (w, 2) of the ratio, per ratio of seized masses; `apart` divides the ends of two intervals."""
    distinct, which = np.unique(counts, axis=0, return_inverse=True)
    found = np.empty((len(distinct), 2))
    varying = {} if one_rate else {"varies_by": ["corridor"], "correlation": 0.0}
    for first in range(0, len(distinct), BATCH):
        vectors = distinct[first : first + BATCH]
        rows = [
            row(name, int(n), 1.0, period=f"world-{w}")
            for w, vector in enumerate(vectors)
            for name, n in zip(("north", "south"), vector, strict=True)
        ]
        contrasts = []
        for w in range(len(vectors)):
            sides = [
                {"quantity": "missed_gross_kg", "corridor": name, "period": f"world-{w}", "form": "all"} for name in ("north", "south")
            ]
            contrasts.append({"id": f"world-{w}", "numerator": sides[0], "denominator": sides[1]})
        blocks = [block("detection_rate", DETECTION, **varying), block("powder_purity", 0.1), block("load_log_sd", SIGMA)]
        tree = sim.run(scenario(rows, blocks, run={"draws": 16_384}, contrast=contrasts), threads=2)
        bounds = tree["contrasts"]["ratio"].sel(quantile=[0.05, 0.95]).values
        if apart:
            missed = tree["quantiles"]["missed_gross_kg"].sel(form="all", quantile=[0.05, 0.95])
            bounds = missed.sel(corridor="north").values / missed.sel(corridor="south").values[:, ::-1]
        found[first : first + len(vectors)] = bounds
    return found[which.reshape(-1)]


def decide(one_rate: bool, thinks_one_rate: bool, seed: int, apart: bool = False) -> None:
    counts, truth = lived(np.random.default_rng(seed), one_rate)
    bounds = believed(counts, thinks_one_rate, apart)
    inside = int(((bounds[:, 0] <= truth) & (truth <= bounds[:, 1])).sum())
    verdicts.assert_covers(inside, N_WORLDS, LOW, HIGH, 0.08, "a ratio")


@pytest.mark.parametrize("one_rate", [True, False])
def test_intervals_of_a_ratio_cover(one_rate: bool, statistics_seed: int) -> None:
    decide(one_rate, one_rate, statistics_seed)


@pytest.mark.parametrize(
    ("one_rate", "thinks", "apart"),
    [(True, False, False), (False, True, False), (True, True, True)],
    ids=["one rate taken for two", "two rates taken for one", "a ratio of intervals"],
)
def test_a_fault_is_not_covered(one_rate: bool, thinks: bool, apart: bool, statistics_seed: int) -> None:
    with pytest.raises(AssertionError, match="below"):
        decide(one_rate, thinks, statistics_seed, apart)
