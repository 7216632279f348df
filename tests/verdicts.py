"""The only place that turns samples into pass or fail.

The whole suite may raise a false alarm with probability 1e-6. That budget is divided by the declared number of verdicts, and a verdict that
looks at several things divides its part again, so no caller chooses a multiplier. `conftest.py` fails a session that gives more than were
declared. Every function named `*_p` returns a p-value, valid (not below the true one) under the law it is asked about; the others assert.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

FALSE_ALARM_BUDGET = 1e-6
DECLARED_VERDICTS = 2_000
LEVEL = FALSE_ALARM_BUDGET / DECLARED_VERDICTS  # 5e-10: about 6.2 standard errors of a normal, 11.6 of a t with 15 degrees of freedom
REPORTED = np.array([0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.975, 0.99, 0.995])

given = 0  # verdicts given in this session

Cdf = Callable[[NDArray[np.float64]], NDArray[np.float64]]


def decide(what: str, p: float) -> None:
    """Fail if `p` is below the level of one verdict; NaN fails."""
    global given
    given += 1
    assert p >= LEVEL, f"{what}: p = {p:.3g}, below {LEVEL:.3g}"


def _two_sided_binomial(hits: NDArray[np.int64] | int, n: int, probability: NDArray[np.float64] | float) -> NDArray[np.float64]:
    below = stats.binom.cdf(hits, n, probability)
    above = stats.binom.sf(np.asarray(hits, np.int64) - 1, n, probability)
    return np.minimum(1.0, 2.0 * np.minimum(below, above))


def quantile_counts_p(draws: NDArray[np.float64], cdf: Cdf, points: NDArray[np.float64]) -> float:
    """Exact: the number of draws <= x is Binomial(n, F(x)), at every one of `points`; whole numbers need no special care."""
    hits = np.searchsorted(np.sort(draws), points, side="right")
    return float(min(1.0, points.size * _two_sided_binomial(hits, draws.size, cdf(points)).min()))


def kolmogorov_smirnov_p(draws: NDArray[np.float64], cdf: Cdf, cdf_left: Cdf | None = None) -> float:
    """Exact for continuous laws, conservative for others, which give P(X < x) as `cdf_left`."""
    x = np.sort(draws)
    n = x.size
    after = np.searchsorted(x, x, side="right") / n
    before = np.searchsorted(x, x, side="left") / n
    distance = max(float((after - cdf(x)).max()), float(((cdf_left or cdf)(x) - before).max()))
    return float(stats.kstwo.sf(distance, n))


def moments_p(draws: NDArray[np.float64], mean: float, sd: float, excess_kurtosis: float) -> float:
    """z tests of the mean and of the mean square about the known mean.

    Only as exact as the central limit theorem: for laws whose excess kurtosis is well below n / 1000.
    """
    n = draws.size
    z_mean = (draws.mean() - mean) / sd * np.sqrt(n)
    z_square = (((draws - mean) ** 2).mean() / sd**2 - 1.0) * np.sqrt(n / (excess_kurtosis + 2.0))
    return float(min(1.0, 4.0 * stats.norm.sf(max(abs(z_mean), abs(z_square)))))


def law_p(draws: NDArray[np.float64], law: Any) -> float:
    """All three against a frozen law of scipy.stats: counts at the reported quantiles, Kolmogorov-Smirnov, moments where they are fit."""
    discrete = isinstance(law.dist, stats.rv_discrete)
    points = np.unique(np.asarray(law.ppf(REPORTED), np.float64))
    parts = [
        quantile_counts_p(draws, law.cdf, points),
        kolmogorov_smirnov_p(draws, law.cdf, (lambda x: law.cdf(np.ceil(x) - 1.0)) if discrete else None),
    ]
    mean, variance, kurtosis = (float(moment) for moment in law.stats(moments="mvk"))
    if np.isfinite(variance) and np.isfinite(kurtosis) and kurtosis < draws.size / 1000:
        parts.append(moments_p(draws, mean, float(np.sqrt(variance)), kurtosis))
    return min(1.0, len(parts) * min(parts)) if np.isfinite(draws).all() else 0.0


def assert_follows(draws: ArrayLike, law: Any, what: str = "draws") -> None:
    """Assert that independent draws follow a frozen law of scipy.stats."""
    decide(f"{what} against {law.dist.name}{law.args}{law.kwds}", law_p(np.ravel(np.asarray(draws, np.float64)), law))


def agreement_p(found: ArrayLike, reference: ArrayLike, mcse: ArrayLike, replicates: int, slack: ArrayLike = 0.0) -> float:
    """Student t over replicates: (found - reference) / mcse has replicates - 1 degrees of freedom, beyond a known error of `slack`.

    Where mcse is 0, found must lie within slack of the reference. Arrays are one verdict.
    """
    distance = np.abs(np.asarray(found, np.float64) - np.asarray(reference, np.float64)) - np.asarray(slack, np.float64)
    off, error = np.broadcast_arrays(np.maximum(distance, 0.0), np.asarray(mcse, np.float64))
    if not (np.isfinite(off).all() and np.isfinite(error).all()):
        return 0.0
    t = np.where(off == 0.0, 0.0, off / np.where(error > 0.0, error, 1.0) + np.where(error > 0.0, 0.0, np.inf))
    return float(min(1.0, off.size * 2.0 * stats.t.sf(t, replicates - 1).min()))


def assert_agrees(
    found: ArrayLike, reference: ArrayLike, mcse: ArrayLike, replicates: int, slack: ArrayLike = 0.0, what: str = "estimate"
) -> None:
    """Assert that estimates with standard errors over replicates agree with their references."""
    decide(f"{what}: {found!r} +- {mcse!r} against {reference!r}", agreement_p(found, reference, mcse, replicates, slack))


def assert_whole_within_one(found: ArrayLike, reference: ArrayLike, what: str = "whole numbers") -> None:
    """Assert that quantiles of counts are whole numbers within one of their references."""
    numbers = np.asarray(found, np.float64)
    assert np.array_equal(numbers, np.floor(numbers)), f"{what}: {found!r} are not whole"
    assert (np.abs(numbers - np.asarray(reference, np.float64)) <= 1.0).all(), f"{what}: {found!r} against {reference!r}"


def coverage_p(hits: int, n: int, low: float, high: float) -> float:
    """Largest p-value of `hits` in n over all coverages from `low` to `high`."""
    return min(1.0, float(_two_sided_binomial(hits, n, min(max(hits / n, low), high))))


def worlds_needed(low: float, high: float, margin: float, power: float = 0.99) -> int:
    """Return a number of worlds at which a coverage `margin` outside the band is rejected with at least `power`."""
    n = 64
    while True:
        refused_below = stats.binom.ppf(LEVEL / 2.0, n, low) - 1
        refused_above = stats.binom.isf(LEVEL / 2.0, n, high) + 1
        if stats.binom.cdf(refused_below, n, low - margin) >= power and (
            high + margin >= 1.0 or stats.binom.sf(refused_above - 1, n, high + margin) >= power
        ):
            return n
        n += n // 16


def assert_covers(hits: int, n: int, low: float, high: float, margin: float, what: str = "coverage") -> None:
    """Assert that the true coverage may lie in [low, high], with worlds enough to reject one that is `margin` outside."""
    needed = worlds_needed(low, high, margin)
    assert n >= needed, f"{what}: {n} worlds cannot tell a coverage {margin} outside the band; it takes {needed}"
    decide(f"{what}: {hits} of {n} = {hits / n:.3f} against [{low}, {high}]", coverage_p(hits, n, low, high))
