"""Beta quantiles of any shapes against SciPy."""

from __future__ import annotations

import math

import numba
import numpy as np
import pytest
import verdicts
from hypothesis import given
from hypothesis import strategies as st
from lanes import apply, fold, score
from scipy import special, stats
from scipy.stats import qmc

from sim.kernels import betas, gammas, quantiles

COMPILED = not numba.config.DISABLE_JIT
# compiled code divides by NumPy's rules without a word; in Python NumPy warns
pytestmark = [] if COMPILED else pytest.mark.filterwarnings("ignore::RuntimeWarning")
N = 1 << 18 if COMPILED else 1 << 11
GAMMA = gammas.gamma_table()


# the kernels are scalar and inlined by their callers; each gets the loop it is called from


@numba.njit
def one_by_one(table, mean, concentration, t, z, out):
    for i in range(out.size):
        out[i] = betas.beta(table, mean, concentration, t[i], z[i])


def beta_draws(mean, concentration, n):
    points = qmc.Sobol(1, seed=np.random.default_rng(7)).random(n)[:, 0]
    t = fold(np.clip(points, 2.0**-54, 1.0 - 2.0**-53))
    return apply(one_by_one, GAMMA, mean, concentration, t, score(t), size=n)


@pytest.mark.parametrize(
    ("mean", "concentration"),
    [(0.1136, 30.0), (0.0194, 400.0), (0.5, 2.0), (0.6, 1.73 - 1.0), (0.6, 0.05), (0.9, 4.0), (0.3, 0.002), (0.02, 1e6), (0.5, 1e9)],
)
def test_beta_has_its_moments_and_quantiles(mean, concentration):
    draws = beta_draws(mean, concentration, N)
    loose = 1.0 if COMPILED else 10.0  # two thousand points integrate to 1e-2
    assert draws.mean() == pytest.approx(mean, rel=1e-3 * loose)
    assert draws.std() == pytest.approx(np.sqrt(mean * (1.0 - mean) / (concentration + 1.0)), rel=1e-3 * loose)
    law = stats.beta(mean * concentration, (1.0 - mean) * concentration)
    for p, found in zip(verdicts.REPORTED, np.quantile(draws, verdicts.REPORTED), strict=True):
        # within 1 % of the quantile or, where a U-shaped law crosses many decades between two draws, 1e-3 in probability
        close = abs(found / law.ppf(p) - 1.0) < 0.01 * loose
        between = law.cdf(found * 0.999) - 1e-3 * loose <= p <= law.cdf(found * 1.001) + 1e-3 * loose
        assert close or between or law.sf(min(found + 1e-12, 1.0)) < 1.0 - p + 1e-3 * loose


def test_beta_of_no_concentration_is_all_or_nothing():
    draws = beta_draws(0.3, 0.0, N)
    assert set(np.unique(draws)) == {0.0, 1.0}
    assert draws.mean() == pytest.approx(0.3, abs=2.0 / N + 1e-3)
    np.testing.assert_array_equal(beta_draws(0.0, 3.0, 64), 0.0)
    np.testing.assert_array_equal(beta_draws(1.0, 3.0, 64), 1.0)


def shapes(n):
    """Return n pairs (mean, concentration) of every way to draw a Beta, and some at its borders."""
    rng = np.random.default_rng(11)
    a, b = np.exp(rng.uniform(np.log(1e-3), np.log(1e3), (2, n)))
    mean, concentration = a / (a + b), a + b
    edges = [(0.5, 16.0), (0.5, 15.999), (0.9, 80.0), (0.5, 2.5), (0.5, 2.499), (0.2, 1.41 / 0.8), (0.01, 1e15), (0.5, 1e-9), (0.3, 0.0)]
    mean[: len(edges)], concentration[: len(edges)] = np.transpose(edges)
    return mean, concentration


@pytest.mark.parametrize(("mean", "concentration"), [(1e-3, 1.3), (1e-5, 1.3), (1e-5, 10.0), (1e-7, 50.0), (1e-12, 3.0), (0.1, 1.6)])
def test_beta_has_the_moments_of_its_law_however_small_its_mean(mean, concentration):
    """By the trapezoid in z. A share next to 0 has its whole mean in one draw of millions, where an error of 1e-4 in probability is all."""
    z = np.linspace(-8.2, 8.2, 200_001 if COMPILED else 2_049)
    weight = np.exp(-0.5 * z * z) / np.exp(-0.5 * z * z).sum()
    x = apply(one_by_one, GAMMA, mean, concentration, fold(special.ndtr(z)), z, size=z.size)
    assert not np.isnan(x).any()
    if COMPILED:
        found = weight @ x
        assert found == pytest.approx(mean, rel=2e-3)
        assert math.sqrt(weight @ x**2 - found**2) == pytest.approx(math.sqrt(mean * (1.0 - mean) / (concentration + 1.0)), rel=2e-3)


def test_beta_in_probability():
    """F(x(u)) = u within 7e-4 in every law; where x is within a few bits of 0 or 1, up to the mass there."""
    z = np.linspace(-6.0, 6.0, 97 if COMPILED else 13)
    t = fold(special.ndtr(z))
    u = special.ndtr(z)
    for mean, concentration in zip(*shapes(600 if COMPILED else 60), strict=True):
        x = apply(one_by_one, GAMMA, mean, concentration, t, z, size=z.size)
        law = stats.beta(mean * max(concentration, 1e-9), (1.0 - mean) * max(concentration, 1e-9))
        below = np.where(x < 1e-303, 0.0, law.cdf(x * (1.0 - 1e-12)))
        above = np.where(x > 1.0 - 1e-12, 1.0, law.cdf(np.maximum(x, 1e-303) * (1.0 + 1e-12)))
        assert (below - 7e-4 < u).all(), (mean, concentration)
        assert (u < above + 7e-4).all(), (mean, concentration)


def test_betas_of_a_lane_are_those_one_by_one():
    n = 1_000 if COMPILED else 60
    mean, concentration = shapes(n)
    mean[-2:] = 0.0, 1.0
    z = np.random.default_rng(12).normal(size=n)
    tail = quantiles.normal_tail_table()
    found = apply(betas.draw_betas, GAMMA, tail, mean, concentration, z, size=n)
    one = [
        apply(one_by_one, GAMMA, m, c, np.array([quantiles.normal_tail(tail, s)]), np.array([s]), size=1)[0]
        for m, c, s in zip(mean, concentration, z, strict=True)
    ]
    np.testing.assert_allclose(found, one, rtol=1e-12, atol=0.0)


@given(st.floats(1e-9, 1.0 - 1e-9), st.floats(0.0, 1e12), st.floats(2.0**-54, 0.5), st.booleans())
def test_beta_stays_within_its_support(mean, concentration, tail, upper):
    t = np.array([-tail if upper else tail])
    draw = apply(one_by_one, GAMMA, mean, concentration, t, score(t), size=1)[0]
    assert 0.0 <= draw <= 1.0


@given(st.floats(1e-6, 1.0 - 1e-6), st.floats(0.0, 1e9))
def test_beta_grows_with_its_uniform(mean, concentration):
    """It is a quantile, up to rounding."""
    z = np.linspace(-8.0, 8.0, 65)
    draws = apply(one_by_one, GAMMA, mean, concentration, fold(special.ndtr(z)), z, size=z.size)
    assert (np.diff(draws) >= -1e-9).all()
