"""Poisson, negative binomial and geometric counts against SciPy and the exact laws."""

from __future__ import annotations

import numba
import numpy as np
import oracles
import pytest
import strategies
import verdicts
from hypothesis import given
from hypothesis import strategies as st
from lanes import apply, fold, folded_draws, score
from scipy import stats

from sim.kernels import counts, gammas

COMPILED = not numba.config.DISABLE_JIT
# compiled code divides by NumPy's rules without a word; in Python NumPy warns
pytestmark = [] if COMPILED else pytest.mark.filterwarnings("ignore::RuntimeWarning")
N = 1 << 18 if COMPILED else 1 << 11
GAMMA = gammas.gamma_table()


# the kernels are scalar and inlined by their callers; each gets the loop it is called from


@numba.njit
def poissons(mean, t, z, out):
    for i in range(t.size):
        out[i] = counts.poisson(mean, t[i], z[i])


@numba.njit
def missed(table, shape, detection_rate, z_gamma, t_poisson, z_poisson, out):
    for i in range(out.size):
        out[i] = counts.missed_loads(table, shape, detection_rate, z_gamma[i], t_poisson[i], z_poisson[i])


@numba.njit
def failures(detection_rate, t, out):
    for i in range(t.size):
        out[i] = counts.geometric_failures(detection_rate, t[i])


@pytest.mark.parametrize("mean", [0.0, 1e-9, 0.3, 2.3, 9.0, 15.999])
def test_poisson_is_exact_below_the_search_limit(mean):
    t = np.concatenate([folded_draws(np.random.default_rng(3), N // 8), [2.0**-54, 2.0**-30, -(2.0**-30), -(2.0**-44)]])
    np.testing.assert_array_equal(apply(poissons, mean, t, score(t), size=t.size), oracles.poisson(mean, t, score(t)))


@pytest.mark.parametrize("mean", [0.0, 1e-9, 0.3, 2.3, 15.999])
def test_the_outermost_uniforms_give_no_absurd_count(mean):
    """At u = 1 - 2^-54 the sum of probabilities may stop short of u: the count must stay one that has a chance of 2^-58 or more."""
    t = np.array([-(2.0**-40), -(2.0**-50), -(2.0**-53), -(2.0**-54)])
    k = apply(poissons, mean, t, score(t), size=t.size)
    assert (np.diff(k) >= 0.0).all()
    assert (stats.poisson.sf(k - 1.0, mean) > 2.0**-58).all()


@pytest.mark.parametrize("mean", [16.0, 16.5, 31.0, 200.0, 1e4, 1e7])
def test_poisson_in_probability_above_it(mean):
    rng = np.random.default_rng(4)
    t = np.concatenate([folded_draws(rng, N // 8), fold(10.0 ** rng.uniform(-12.0, -1.0, 500)), -(10.0 ** rng.uniform(-12.0, -1.0, 500))])
    k = apply(poissons, mean, t, score(t), size=t.size)
    # the step of the distribution function that k stands for holds u, to the error that is allowed
    lower = np.where(t > 0.0, stats.poisson.cdf(k - 1.0, mean) - t, -t - stats.poisson.sf(k - 1.0, mean))
    upper = np.where(t > 0.0, t - stats.poisson.cdf(k, mean), stats.poisson.sf(k, mean) + t)
    assert max(lower.max(), upper.max()) < (2e-5 if mean < 32.0 else 2e-6)  # 1.2e-5 at 16


@given(st.floats(0.0, 1e9), st.floats(1e-9, 1.0), st.floats(2.0**-50, 0.5), st.booleans())
def test_poisson_rises_with_its_mean_and_its_uniform(mean, growth, tail, upper):
    t = -tail if upper else tail
    z = float(score(np.array(t)))
    fewer, more = (apply(poissons, m, np.array([t]), np.array([z]), size=1)[0] for m in (mean, mean * (1.0 + growth)))
    # where the search hands over to the expansion, at a mean of 16, the two may differ by the one load that their errors allow
    assert fewer <= more + (1.0 if mean < 16.0 <= mean * (1.0 + growth) else 0.0)
    assert fewer >= 0.0
    assert fewer == np.floor(fewer)


def test_poisson_of_no_number_is_none():
    assert np.isnan(apply(poissons, np.nan, np.array([0.3]), np.array([-0.5]), size=1)[0])


def missed_draws(rng, n_events, prior, detection_rate, n):
    t = [folded_draws(rng, n) for _ in range(2)]
    return apply(missed, GAMMA, n_events + prior, detection_rate, score(t[0]), t[1], score(t[1]), size=n)


@pytest.mark.parametrize(
    ("n_events", "detection_rate"), [(0, 0.05), (0, 0.9), (4, 0.1), (11, 0.5), (67, 0.02), (615, 0.1), (3000, 0.01), (1, 1e-4)]
)
def test_missed_loads_are_negative_binomial(n_events, detection_rate, statistics_seed):
    rng = np.random.default_rng([statistics_seed, n_events])
    draws = missed_draws(rng, n_events, 0.5, detection_rate, N)
    verdicts.assert_follows(draws, stats.nbinom(n_events + 0.5, detection_rate), f"missed loads of {n_events} events")


def test_missed_loads_at_four_events_and_a_tenth(statistics_seed):
    """Method.md section 8: mean 40.5, variance 405; N = n + K at .025 / .5 / .975 = 15 / 41 / 92."""
    draws = missed_draws(np.random.default_rng(statistics_seed), 4, 0.5, 0.1, N)
    verdicts.assert_agrees(draws.mean(), 40.5, np.sqrt(405.0 / N), N, what="mean of K")
    if COMPILED:  # two thousand draws do not pin a quantile to one load
        verdicts.assert_whole_within_one(4.0 + np.quantile(draws, [0.025, 0.5, 0.975], method="inverted_cdf"), [15.0, 41.0, 92.0])


@pytest.mark.parametrize("wrong", ["prior on the flow", "prior of one", "Poisson only", "geometric from 1"])
def test_wrong_counts_are_rejected(wrong, statistics_seed):
    """What a careless implementation does turns the verdict of the two tests above red."""
    n = 1 << 15  # also without the JIT: nothing is compiled here
    rng = np.random.default_rng(statistics_seed)
    draws = {
        "prior on the flow": lambda: rng.negative_binomial(4.0, 0.1, n),
        "prior of one": lambda: rng.negative_binomial(5.0, 0.1, n),
        "Poisson only": lambda: rng.poisson(4.5 * 9.0, n),
        "geometric from 1": lambda: rng.negative_binomial(4.5, 0.1, n) + 4,
    }[wrong]()
    assert verdicts.law_p(draws.astype(float), stats.nbinom(4.5, 0.1)) < verdicts.LEVEL


@given(st.integers(0, 5000), st.floats(1e-6, 1.0), st.floats(0.0, 1.0), st.tuples(*[st.floats(2.0**-50, 1.0 - 2.0**-50)] * 2))
def test_missed_loads_fall_as_detection_rises(n_events, detection_rate, share, u):
    t = fold(np.array(u))
    z = score(t)
    lower = detection_rate * (1.0 - 0.5 * share)
    few, many = (apply(missed, GAMMA, n_events + 0.5, d, z[:1], t[1:], z[1:], size=1)[0] for d in (detection_rate, lower))
    assert few <= many + 1.0  # the hand-over of the Poisson at a mean of 16
    assert few >= 0.0


def test_missed_loads_without_a_doubt():
    t = folded_draws(np.random.default_rng(5), 100)
    z = score(t)
    assert not apply(missed, GAMMA, 0.0, 0.1, z, t, z, size=100).any()  # event_prior = 0 and no event
    assert not apply(missed, GAMMA, 67.5, 1.0, z, t, z, size=100).any()  # everything is detected


@pytest.mark.parametrize("detection_rate", [1e-3, 0.1, 0.5, 0.97, 1.0])
def test_geometric_failures_count_from_nought(detection_rate):
    t = np.concatenate([folded_draws(np.random.default_rng(6), N // 8), [1e-9, -1e-9]])
    np.testing.assert_array_equal(apply(failures, detection_rate, t, size=t.size), oracles.geometric_failures(detection_rate, t))


@pytest.mark.parametrize("detection_rate", [1e-9, 1e-17])
def test_geometric_failures_at_a_vanishing_detection_rate(detection_rate):
    t = np.array([0.1, -0.4, -0.1, -1e-6])
    exact = -np.log(np.where(t > 0, 1.0 - t, -t)) / detection_rate  # log1p(-d) = -d
    np.testing.assert_allclose(apply(failures, detection_rate, t, size=t.size), exact, rtol=1e-8)


@given(strategies.seeds())
def test_nothing_depends_on_what_was_asked_before(seed):
    """Scalars in, a scalar out: any order of calls gives the same bits."""
    rng = np.random.default_rng(seed)
    t = folded_draws(rng, 32)
    order = rng.permutation(32)
    k = apply(missed, GAMMA, 7.5, 0.2, score(t), t[::-1].copy(), score(t)[::-1].copy(), size=32)
    shuffled = apply(missed, GAMMA, 7.5, 0.2, score(t)[order], t[::-1][order], score(t)[::-1][order], size=32)
    np.testing.assert_array_equal(k[order], shuffled)
