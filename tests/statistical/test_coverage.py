"""Nominal 90 % intervals of what was missed hold the truth in .87 to .93 of worlds in which the model is right; with a fault they do not.

Two statements, which differ. *Frequentist*: at a fixed seized rate mu, d drawn from its prior, worlds without any event set aside. This is
not exact under the improper prior of mu, hence the band. *Exact*: given n, the improper prior is as good as mu ~ Gamma(n + 1/2, 1), proper,
and the scale of loads drops out of M / T; worlds that are drawn so must be covered at the nominal rate, within the error of the tables and
of the intervals' own draws.
"""

from __future__ import annotations

import numpy as np
import pytest
import verdicts
from scipy import special, stats
from worlds import World, hits, intervals, live

LOW, HIGH = 0.87, 0.93
BETA_RATE = {"kind": "beta", "alpha": 6.0, "beta": 40.0}
FIXED = {"detection_rate": 0.1, "powder_purity": 0.1, "load_log_sd": 1.5}
ALIKE = {"detection_rate": 0.5, "powder_purity": 0.1, "load_log_sd": 0.5}  # counts and sizes tell much, so that the rest decides


def _beta_rate(rng: np.random.Generator) -> float:
    return float(rng.beta(6.0, 40.0))


def _wide_rate(rng: np.random.Generator) -> float:
    return float(rng.beta(2.0, 10.0))


def _tenth(rng: np.random.Generator) -> float:
    return 0.1


def _one_and_a_half(rng: np.random.Generator) -> float:
    return 1.5


def _half(rng: np.random.Generator) -> float:
    return 0.5


def _narrow(rng: np.random.Generator) -> float:
    return 0.5


PURITY = {"kind": "beta", "mean": 0.12, "sd": 0.03}


def _purity(rng: np.random.Generator) -> float:
    concentration = 0.12 * 0.88 / 0.03**2 - 1.0
    return float(rng.beta(0.12 * concentration, 0.88 * concentration))


def single(mu: float, **features: object) -> World:
    return World(mu=[mu], detection_rate=_tenth, log_sd=_one_and_a_half, **features)  # type: ignore[arg-type]


CASES = {
    "few, d known": (single(3.0), FIXED, {}, "missed_gross_kg"),
    "twelve, d known": (single(12.0), FIXED, {}, "missed_gross_kg"),
    "many, d known": (single(100.0), FIXED, {}, "missed_gross_kg"),
    "d and sigma uncertain": (
        World(mu=[5.0], detection_rate=_beta_rate, log_sd=lambda rng: float(rng.uniform(1.0, 2.4))),
        {"detection_rate": BETA_RATE, "powder_purity": 0.1, "load_log_sd": {"kind": "uniform", "low": 1.0, "high": 2.4}},
        {},
        "missed_gross_kg",
    ),
    "many, d uncertain": (
        World(mu=[100.0], detection_rate=_beta_rate, log_sd=_one_and_a_half),
        FIXED | {"detection_rate": BETA_RATE},
        {},
        "missed_gross_kg",
    ),
    "pure, purity spread": (
        World(mu=[6.0], detection_rate=_half, log_sd=_narrow, purity_cv=2.0),
        ALIKE | {"purity_cv": 2.0},
        {},
        "missed_pure_kg",
    ),
    "pure, purity uncertain and spread": (
        World(mu=[60.0], detection_rate=_half, log_sd=_narrow, purity=_purity, purity_cv=0.7),
        ALIKE | {"powder_purity": PURITY, "purity_cv": 0.7},
        {},
        "missed_pure_kg",
    ),
    "pure, form unrecorded": (
        World(mu=[6.0], detection_rate=_half, log_sd=_narrow, purity=lambda rng: 0.4, pill_share=0.75, pill_purity=0.02),
        ALIKE | {"powder_purity": 0.4, "pill_share": 0.75, "pill_fentanyl": 2.0, "pill_mass": 100.0},
        {"form": "unrecorded"},
        "missed_pure_kg",
    ),
    "attributed": (
        World(mu=[8.0], detection_rate=_half, log_sd=_narrow, attribution=0.5),
        ALIKE | {"attribution_share": 0.5},
        {},
        "missed_gross_kg",
    ),
    "total of three strata": (
        World(mu=[3.0, 3.0, 3.0], detection_rate=_beta_rate, log_sd=lambda rng: 2.4),
        FIXED | {"detection_rate": BETA_RATE, "load_log_sd": 2.4},
        {"varies_by": {"detection_rate": ["corridor"]}},
        "missed_gross_kg",
    ),
    "total of three strata, one d": (
        World(mu=[3.0, 3.0, 3.0], detection_rate=_wide_rate, log_sd=_narrow, one_rate=True),
        ALIKE | {"detection_rate": {"kind": "beta", "alpha": 2.0, "beta": 10.0}},
        {},
        "missed_gross_kg",
    ),
}


def covered(case, n_worlds, seed, **faults):
    """Return (hits, worlds) of one case; `faults` replace what the analyst believes."""
    world, parameters, settings, quantity = CASES[case]
    seen = live(world, np.random.default_rng(seed), n_worlds)
    believed = {k: v for k, v in (parameters | faults.pop("parameters", {})).items() if v is not None}
    bounds = intervals(seen.n_events, believed, quantity, **(settings | faults)) * seen.seized_kg[:, None]
    return hits(getattr(seen, quantity), bounds), n_worlds


@pytest.mark.parametrize("case", CASES)
def test_intervals_cover(case, statistics_seed):
    found, n = covered(case, 1_700, statistics_seed)
    verdicts.assert_covers(found, n, LOW, HIGH, 0.08, case)


@pytest.mark.nightly
@pytest.mark.parametrize("case", CASES)
def test_intervals_cover_closely(case, statistics_seed):
    found, n = covered(case, 10_500, statistics_seed)
    verdicts.assert_covers(found, n, LOW, HIGH, 0.03, case)


@pytest.mark.nightly
def test_a_total_of_twelve_strata_of_five_events(statistics_seed):
    seen = live(World(mu=[5.0] * 12, detection_rate=_tenth, log_sd=lambda rng: 2.4), np.random.default_rng(statistics_seed), 1_700)
    bounds = intervals(seen.n_events, FIXED | {"load_log_sd": 2.4}, "missed_gross_kg") * seen.seized_kg[:, None]
    verdicts.assert_covers(hits(seen.missed_gross_kg, bounds), 1_700, LOW, HIGH, 0.08, "twelve strata")


FAULTS = {
    "equal loads where they are lognormal": ("twelve, d known", {"parameters": {"load_log_sd": None}, "model": {"load_law": "equal"}}),
    "loads half as wide": ("many, d known", {"parameters": {"load_log_sd": 0.5}}),
    "d taken as known at its mean": ("many, d uncertain", {"parameters": {"detection_rate": 6.0 / 46.0}}),
    "one purity for all loads": ("pure, purity spread", {"parameters": {"purity_cv": None}}),
    "mean purity taken as known": ("pure, purity uncertain and spread", {"parameters": {"powder_purity": 0.12}}),
    "no composition noise": (
        "pure, form unrecorded",
        {"form": "powder", "parameters": {"powder_purity": 0.115, "pill_share": None, "pill_fentanyl": None, "pill_mass": None}},
    ),
    "attribution ignored": ("attributed", {"parameters": {"attribution_share": None}}),
    "a scale for each stratum": ("total of three strata", {"shared": False}),
    "independent d where it is one": ("total of three strata, one d", {"varies_by": {"detection_rate": ["corridor"]}}),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_not_covered(fault, statistics_seed):
    case, wrong = FAULTS[fault]
    found, n = covered(case, 1_700, statistics_seed, **wrong)
    with pytest.raises(AssertionError, match="below"):
        verdicts.assert_covers(found, n, LOW, HIGH, 0.08, fault)


def test_dividing_by_d_is_not_covered(statistics_seed):
    seen = live(CASES["d and sigma uncertain"][0], np.random.default_rng(statistics_seed), 1_700)
    d = stats.beta.ppf([0.95, 0.05], 6.0, 40.0)
    with pytest.raises(AssertionError, match="below"):
        verdicts.assert_covers(hits(seen.missed_gross_kg, seen.seized_kg[:, None] * (1.0 / d - 1.0)), 1_700, LOW, HIGH, 0.08, "T / d")


@pytest.mark.parametrize(("n", "sigma"), [(1, 1.0), (5, 2.4), (30, 2.4)])
def test_calibration_given_the_count_is_exact(n, sigma, statistics_seed):
    n_worlds = 40_000 if n < 30 else 20_000
    rng = np.random.default_rng(statistics_seed)
    d = rng.beta(6.0, 40.0, n_worlds)
    k = rng.poisson(rng.gamma(n + 0.5, 1.0, n_worlds) * (1.0 - d) / d)
    top = special.ndtr(3.0)
    seized = np.exp(sigma * special.ndtri(rng.random((n_worlds, n)) * top)).sum(axis=1)
    sizes = np.exp(sigma * special.ndtri(rng.random(int(k.sum())) * top))
    missed = np.bincount(np.repeat(np.arange(n_worlds), k), sizes, n_worlds)
    parameters = {"detection_rate": BETA_RATE, "powder_purity": 0.1, "load_log_sd": sigma}
    for ends in ((0.05, 0.95), (0.25, 0.5), (0.005, 0.1), (0.75, 0.995)):
        bound = intervals(np.array([[n]]), parameters, "missed_gross_kg", probabilities=ends, draws=65_536)
        inside = hits(missed, bound * seized[:, None])
        exact = ends[1] - ends[0]
        verdicts.decide(f"worlds between {ends} given n = {n}", verdicts.coverage_p(inside, n_worlds, exact - 0.003, exact + 0.003))
