"""Verdicts pass right samplers at their stated rate and reject the mutants they exist for."""

from __future__ import annotations

import numpy as np
import pytest
import verdicts
from scipy import stats

N = 20_000
NORMAL = stats.norm(3.0, 2.0)
POISSON = stats.poisson(2.3)


def rejected(p: float) -> bool:
    return not p >= verdicts.LEVEL


@pytest.fixture
def rng(statistics_seed: int) -> np.random.Generator:
    return np.random.default_rng(statistics_seed)


def p99_clipped(x: np.ndarray) -> np.ndarray:
    return np.minimum(x, NORMAL.ppf(0.99))


@pytest.mark.parametrize(
    "mutate",
    [
        p99_clipped,
        lambda x: 3.0 + 1.05 * (x - 3.0),
        lambda x: 3.0 + 0.95 * (x - 3.0),
        lambda x: x + 0.2,
        lambda x: np.where(x > NORMAL.ppf(0.995), NORMAL.ppf(0.98), x),
        lambda x: np.where(np.arange(x.size) == 7, np.nan, x),
    ],
    ids=["clipped at p99", "sd 5 % too large", "sd 5 % too small", "mean a tenth of an sd off", "lost tail", "one NaN"],
)
def test_mutants_of_a_continuous_law_are_rejected(mutate, rng):
    draws = rng.normal(3.0, 2.0, N)
    assert not rejected(verdicts.law_p(draws, NORMAL))
    assert rejected(verdicts.law_p(mutate(draws), NORMAL))


def test_kolmogorov_smirnov_alone_would_miss_a_clipped_tail_and_counts_do_not(rng):
    draws = p99_clipped(rng.normal(3.0, 2.0, N))
    assert not rejected(verdicts.kolmogorov_smirnov_p(draws, NORMAL.cdf))
    assert rejected(verdicts.quantile_counts_p(draws, NORMAL.cdf, NORMAL.ppf(verdicts.REPORTED)))


@pytest.mark.parametrize(
    "mutate",
    [
        lambda k: k + 1.0,
        lambda k: np.maximum(k - 1.0, 0.0),
        lambda k: np.minimum(k, POISSON.ppf(0.99)),
        lambda k: np.where(k == 0.0, 1.0, k),
    ],
    ids=["one too many", "one too few", "clipped at p99", "no zero"],
)
def test_mutants_of_a_discrete_law_are_rejected(mutate, rng):
    draws = rng.poisson(2.3, N).astype(float)
    assert not rejected(verdicts.law_p(draws, POISSON))
    assert rejected(verdicts.law_p(mutate(draws), POISSON))


@pytest.mark.parametrize("law", [stats.norm(), stats.gamma(2.0), stats.beta(0.4, 3.0), stats.poisson(0.3), stats.nbinom(4.5, 0.1)])
def test_p_values_of_right_samplers_are_no_smaller_than_they_say(law, rng):
    # p-values are conservative: P(p <= x) <= x, tested at x = 1/20 by the exact binomial count over 400 samples
    p = np.array([verdicts.law_p(np.asarray(law.rvs(1_000, random_state=rng), float), law) for _ in range(400)])
    false_alarms = int((p <= 0.05).sum())
    verdicts.decide("false alarms of law_p", float(stats.binom.sf(false_alarms - 1, 400, 0.05)))
    assert p.max() > 0.2, "a verdict that is never content, or a p-value that is constant"


def test_agreement_follows_student_t_not_the_normal(rng):
    replicates = rng.normal(5.0, 1.0, (20_000, 16))
    mcse = replicates.std(axis=1, ddof=1) / 4.0
    p = np.array([verdicts.agreement_p(m, 5.0, e, 16) for m, e in zip(replicates.mean(axis=1), mcse, strict=True)])
    verdicts.assert_follows(p, stats.uniform(), "p-values over 16 replicates")
    beyond_four = 2.0 * stats.t.sf(4.0, 15)
    assert beyond_four == pytest.approx(0.0012, abs=5e-5)


def test_agreement_rejects_a_bias_and_respects_slack():
    assert rejected(verdicts.agreement_p(5.1, 5.0, 0.005, 16))
    assert not rejected(verdicts.agreement_p(5.1, 5.0, 0.005, 16, slack=0.1))
    assert not rejected(verdicts.agreement_p([1.0, 2.0], [1.0, 2.0], [0.0, 0.1], 16))
    assert rejected(verdicts.agreement_p([1.0, 2.0], [1.0, 2.5], [0.1, 0.0], 16))
    assert rejected(verdicts.agreement_p(np.nan, 5.0, 0.1, 16))
    assert rejected(verdicts.agreement_p(5.0, 5.0, np.nan, 16))


def test_many_comparisons_are_one_verdict(rng):
    # 1,000 right estimates at once: the smallest of their p-values is about 1e-3, the verdict's is not
    replicates = rng.normal(0.0, 1.0, (16, 1_000))
    p = verdicts.agreement_p(replicates.mean(axis=0), 0.0, replicates.std(axis=0, ddof=1) / 4.0, 16)
    assert p > 1e-3


def test_coverage_below_or_above_the_band_is_rejected(rng):
    n = verdicts.worlds_needed(0.87, 0.93, 0.05)
    for truth in (0.87, 0.9, 0.93):
        assert not rejected(verdicts.coverage_p(int(rng.binomial(n, truth)), n, 0.87, 0.93))
    for truth in (0.81, 0.985):
        assert rejected(verdicts.coverage_p(int(rng.binomial(n, truth)), n, 0.87, 0.93))


def test_coverage_over_too_few_worlds_is_no_verdict():
    with pytest.raises(AssertionError, match="cannot tell"):
        verdicts.assert_covers(90, 100, 0.87, 0.93, margin=0.05)
    with pytest.raises(AssertionError, match="below"):
        verdicts.assert_covers(3_000, 4_000, 0.87, 0.93, margin=0.05)


@pytest.mark.parametrize(("found", "message"), [([3.0, 5.5], "not whole"), ([3.0, 7.0], "against"), ([np.nan, 5.0], "not whole")])
def test_whole_numbers_must_be_whole_and_within_one(found, message):
    verdicts.assert_whole_within_one([4.0, 5.0], [3.0, 5.4])
    with pytest.raises(AssertionError, match=message):
        verdicts.assert_whole_within_one(found, [3.0, 5.0])


def test_a_verdict_of_nan_fails_and_is_counted():
    before = verdicts.given
    with pytest.raises(AssertionError, match="p = nan"):
        verdicts.decide("nothing", float("nan"))
    assert verdicts.given == before + 1
