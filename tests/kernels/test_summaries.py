"""Summaries: quantiles to 1e-4 and better, atoms exact, sums whose bits do not depend on how the draws were cut."""

from __future__ import annotations

import math

import numba
import numpy as np
import oracles
import pytest
import verdicts
from lanes import in_lanes
from scipy import stats

from sim.kernels import summaries

COMPILED = not numba.config.DISABLE_JIT
N = 300_000 if COMPILED else 8_192
LANE = 1_024
P = verdicts.REPORTED


def summarise(draws, **plan):
    """Return (layout, state) of one summary over all `draws`, planned on the first of them."""
    layout = summaries.plan_layout(draws[np.newaxis, : summaries.PILOT_DRAWS], **plan)
    state = summaries.new_state(layout)
    for start in range(0, draws.size, LANE):
        summaries.update(layout, state, 0, draws[start : start + LANE])
    return layout, state


def stratified(law, n=N):
    """Return n draws at the mid-points of n equal shares of a law, shuffled: their quantiles are the law's own, to 1/n."""
    draws = law.ppf((np.arange(n) + 0.5) / n)
    np.random.default_rng(7).shuffle(draws)
    return draws


def mixture(n, share, atom, law, seed=11):
    rng = np.random.default_rng(seed)
    draws = law.rvs(n, random_state=rng)
    draws[: round(share * n)] = atom
    rng.shuffle(draws)
    return draws


# Quantiles of continuous laws

LAWS = {
    "normal at 10": stats.norm(10.0, 1.0),
    "normal at 30": stats.norm(30.0, 1.0),
    "normal at -5": stats.norm(-5.0, 1.0),
    "narrow": stats.norm(100000.001, 0.05),
    "lognormal .01": stats.lognorm(0.01),
    "lognormal .1": stats.lognorm(0.1),
    "lognormal 1": stats.lognorm(1.0),
    "lognormal 2.4": stats.lognorm(2.4),
    "lognormal 4": stats.lognorm(4.0),
    "exponential": stats.expon(),
    "gamma .5": stats.gamma(0.5),
    "gamma 50": stats.gamma(50.0),
    "gamma 1000": stats.gamma(1000.0),
    "beta 4 36": stats.beta(4.0, 36.0),
    "beta .5 .5": stats.beta(0.5, 0.5),
    "beta 36 .4": stats.beta(36.0, 0.4),
    "beta 1 .3": stats.beta(1.0, 0.3),
    "uniform": stats.uniform(),
    "uniform at 1000": stats.uniform(1000.0, 0.5),
    "triangular": stats.triang(0.3),
}


@pytest.mark.parametrize("name", LAWS)
def test_binning_adds_less_than_1e_4(name):
    law = LAWS[name]
    layout, state = summarise(stratified(law))
    found, error = summaries.quantiles(layout, state, P, 0)
    exact = law.ppf(P)
    # a hundredth of the sampling error is what the draws' own places in a bin of a dozen leave open
    sampling = summaries.order_statistic_error(layout, state, P)[0]
    assert (np.abs(found - exact) <= 1e-4 * np.abs(exact) + (0.01 if COMPILED else 0.1) * sampling).all()
    assert (error <= 1e-4 * np.abs(exact)).all() or not COMPILED, "the estimate of the binning error is off"


@pytest.mark.parametrize(
    "law", [stats.norm(), stats.t(2.0), stats.cauchy(), stats.gamma(0.1), stats.beta(0.05, 3.0)], ids=lambda law: law.dist.name
)
def test_binning_is_small_against_the_sampling_error_where_quantiles_cross_zero_or_bins_hold_few(law):
    # relative error means nothing at 0; where a bin holds a handful of draws the draws themselves are coarser than 1e-4
    layout, state = summarise(stratified(law))
    found, _ = summaries.quantiles(layout, state, P, 0)
    sampling = summaries.order_statistic_error(layout, state, P)[0]
    assert (np.abs(found - law.ppf(P)) < (0.02 if COMPILED else 0.1) * sampling).all()


def test_numpys_rule_differs_by_less_than_a_draw():
    draws = np.random.default_rng(3).lognormal(0.0, 1.0, N)
    layout, state = summarise(draws)
    found, _ = summaries.quantiles(layout, state, P, 0)
    sampling = summaries.order_statistic_error(layout, state, P)[0]
    assert (np.abs(found - np.quantile(draws, P)) < 0.5 * sampling).all()


def test_the_slope_within_a_bin_is_worth_having():
    # a normal law of 10 % sd has seven bins a sd: the same counts with a constant density in each bin miss 1e-4, four times over
    law = stats.norm(10.0, 1.0)
    layout, state = summarise(stratified(law))
    found, _ = summaries.quantiles(layout, state, P, 0)
    edges = 8.0 + np.arange(129) / 16.0  # the bins of the octave that holds nearly all
    constant = np.interp(P, law.cdf(edges), edges)
    exact = law.ppf(P)
    assert np.abs(found / exact - 1.0).max() < 0.25 * np.abs(constant / exact - 1.0).max()


# Atoms, whole numbers and other numbers that must come back as they went in

EXACT = {
    "constant": lambda rng, n: np.full(n, 4.25),
    "zeros": lambda rng, n: np.zeros(n),
    "minus zero": lambda rng, n: np.where(rng.random(n) < 0.5, -0.0, 1.5),
    "lattice": lambda rng, n: rng.integers(-30, 50, n) / 7.0,
    "Poisson 5": lambda rng, n: rng.poisson(5.0, n).astype(float),
    "Poisson 300": lambda rng, n: rng.poisson(300.0, n).astype(float),
    "whole, both signs": lambda rng, n: rng.integers(-500, 500, n).astype(float),
    "two numbers of one bin": lambda rng, n: np.where(rng.random(n) < 0.9, 300.0, 301.0),
    "zero and one": lambda rng, n: (rng.random(n) < 0.03).astype(float),
    "infinite": lambda rng, n: np.where(rng.random(n) < 0.6, np.inf, -np.inf),
    "one subnormal": lambda rng, n: np.where(rng.random(n) < 0.6, 5e-324, 0.0),
    "largest": lambda rng, n: np.where(rng.random(n) < 0.6, np.finfo(float).max, -np.finfo(float).max),
}


@pytest.mark.parametrize("name", EXACT)
@pytest.mark.parametrize("origin_zero", [False, True])
def test_atoms_come_back_exact(name, origin_zero):
    draws = EXACT[name](np.random.default_rng(5), 200_000 if COMPILED else 5_000)
    layout, state = summarise(draws, origin_zero=origin_zero)
    found, error = summaries.quantiles(layout, state, P, 0)
    np.testing.assert_array_equal(found, oracles.summary_quantiles(draws, P)[0])
    if layout.mode[0] != summaries.WHOLE:
        np.testing.assert_array_equal(error, 0.0)


@pytest.mark.parametrize(
    ("share", "atom", "law"),
    [
        (0.3, 0.0, stats.lognorm(1.0)),
        (0.3, 3.0, stats.uniform(0.0, 10.0)),
        (0.3, 0.1, stats.lognorm(1.0, scale=0.13)),
        (0.3, -3.3, stats.norm(0.0, 3.0)),
        (0.8, 5.0, stats.norm(6.0, 0.5)),
        (0.1, 0.0, stats.norm(1e5, 0.05)),
        (0.02, 1.0, stats.beta(4.0, 36.0)),
    ],
)
def test_atoms_among_continuous_draws(share, atom, law):
    n = N
    layout, state = summarise(mixture(n, share, atom, law))
    below = float(law.cdf(atom)) * (1.0 - share)
    inside = below + share * np.array([0.05, 0.5, 0.95])
    found, error = summaries.quantiles(layout, state, inside, 0)
    np.testing.assert_array_equal(found, atom)
    np.testing.assert_array_equal(error, 0.0)
    p = P[(below - 0.01 > P) | (below + share + 0.01 < P)]
    found, _ = summaries.quantiles(layout, state, p, 0)
    exact = law.ppf(np.where(p < below, p, p - share) / (1.0 - share))
    # N independent draws: 6.5 standard errors by the exact density
    se = np.sqrt(p * (1.0 - p) / n) / ((1.0 - share) * law.pdf(exact))
    assert (np.abs(found - exact) < 6.5 * se + 1e-4 * np.abs(exact)).all()


@pytest.mark.parametrize("law", [stats.nbinom(4.5, 0.01), stats.nbinom(0.5, 0.002), stats.poisson(5_000.0)], ids=["4.5", ".5", "Poisson"])
@pytest.mark.parametrize("origin_zero", [False, True])
def test_whole_numbers_that_share_bins_stay_within_one(law, origin_zero):
    number = np.arange(law.ppf(1.0 - 0.5 / N) + 1.0)
    draws = number[np.searchsorted(law.cdf(number), (np.arange(N) + 0.5) / N)]
    np.random.default_rng(7).shuffle(draws)
    layout, state = summarise(draws, origin_zero=origin_zero)
    assert layout.mode[0] == summaries.WHOLE
    found, _ = summaries.quantiles(layout, state, P, 0)
    if COMPILED:
        verdicts.assert_whole_within_one(found, law.ppf(P))
    else:  # a few draws in a bin
        np.testing.assert_array_equal(found, np.floor(found))
        np.testing.assert_allclose(found, law.ppf(P), rtol=5e-3, atol=1.0)


def test_every_whole_number_of_a_lattice_is_found():
    # bins of up to sixteen numbers, each number twice, some of them atoms: the 2 i + 1st draw is the number i
    numbers = np.arange(4096.0)
    draws = np.random.default_rng(21).permutation(np.repeat(numbers, 2))
    layout, state = summarise(draws)
    found, _ = summaries.quantiles(layout, state, (numbers + 0.5) / 4096.0, 0)
    np.testing.assert_array_equal(found, numbers)


def test_a_probability_that_binary_rounds_up_is_still_the_same_draw():
    draws = np.arange(1.0, 101.0)
    layout, state = summarise(draws)
    p = np.arange(1, 100) / 100.0
    assert ((p * 100.0) != np.arange(1, 100)).any(), "no probability here is rounded"
    np.testing.assert_array_equal(summaries.quantiles(layout, state, p, 0)[0], np.arange(1.0, 100.0))


def test_the_sign_of_zero_does_not_depend_on_the_order():
    layout = summaries.plan_layout(np.tile([1000.0, 1000.25], 50)[np.newaxis])
    bits = []
    for zeros in ([0.0, -0.0], [-0.0, 0.0]):
        state = summaries.new_state(layout)
        for v in zeros:
            summaries.update(layout, state, 0, np.array([v]))
        bits.append([array.tobytes() for array in state])
        assert not np.signbit(summaries.quantiles(layout, state, P, 0)[0]).any()
    assert bits[0] == bits[1]


def test_whole_numbers_from_zero_to_1e9():
    draws = np.floor(10.0 ** (9.0 * (np.random.default_rng(8).permutation(N) + 0.5) / N))
    layout, state = summarise(draws)
    found, _ = summaries.quantiles(layout, state, P, 0)
    exact, _ = oracles.summary_quantiles(draws, P)
    assert (np.abs(found - exact) <= np.maximum(1.0, (3e-4 if COMPILED else 3e-2) * exact)).all()


def test_seldom_numbers_of_a_tied_pilot():
    # 5,000 equally likely numbers: the pilot saw many once or never, the bins keep them all the same
    rng = np.random.default_rng(9)
    numbers = np.sort(rng.lognormal(0.0, 1.0, 300))
    draws = rng.choice(numbers, 100_000 if COMPILED else 5_000)
    layout, state = summarise(draws)
    found, _ = summaries.quantiles(layout, state, P, 0)
    exact, _ = oracles.summary_quantiles(draws, P)
    np.testing.assert_allclose(found, exact, rtol=2.0**-7)
    assert (found == exact).sum() >= 9


def test_infinities_and_nan():
    rng = np.random.default_rng(10)
    u = rng.random(20_000 if COMPILED else 4_000)
    draws = np.where(u < 0.02, np.inf, np.where(u < 0.05, -np.inf, np.where(u < 0.2, np.nan, rng.normal(1.0, 1.0, u.size))))
    layout, state = summarise(draws)
    kinds = [np.isnan(draws).sum(), (draws == -np.inf).sum(), np.isfinite(draws).sum(), (draws == np.inf).sum()]
    np.testing.assert_array_equal(summaries.draw_counts(layout, state), [kinds])
    found, _ = summaries.quantiles(layout, state, P, 0)
    exact, _ = oracles.summary_quantiles(draws, P)
    np.testing.assert_array_equal(np.isinf(found), np.isinf(exact))
    inner = np.isfinite(exact)
    sampling = summaries.order_statistic_error(layout, state, P)[0]
    assert np.isnan(sampling).sum() == 0
    assert (sampling[(P > 0.3) & (P < 0.9)] < 0.1).all()
    np.testing.assert_allclose(found[inner], exact[inner], atol=0.2)
    assert (np.abs(state.extremes[0]) < np.inf).all()


def test_nothing_but_nan_gives_nan():
    layout, state = summarise(np.full(2_000, np.nan))
    found, error = summaries.quantiles(layout, state, P, 0)
    assert np.isnan(found).all()
    assert np.isnan(error).all()
    assert np.isnan(summaries.order_statistic_error(layout, state, P)).all()
    assert np.isnan(summaries.moments(np.array(0), np.zeros(2), np.array(0.0))).all()


def test_draws_outside_the_pilots_window_are_counted_in_its_edge_bins():
    rng = np.random.default_rng(12)
    pilot = rng.lognormal(0.0, 0.5, summaries.PILOT_DRAWS)
    layout = summaries.plan_layout(pilot[np.newaxis])
    state = summaries.new_state(layout)
    strays = np.array([1e-300, 1e300, -1.0, 5e-324, -0.0])
    with np.errstate(over="ignore"):
        in_lanes(summaries.update, layout, state, 0, np.concatenate([pilot, strays]))
    assert state.counts.sum() == pilot.size + strays.size
    np.testing.assert_array_equal(state.extremes[0], [-1.0, 1e300])
    found, _ = summaries.quantiles(layout, state, P, 0)
    np.testing.assert_allclose(found, np.quantile(pilot, P), rtol=0.05)


@pytest.mark.parametrize("odd", [[], [0.0], [-0.0], [np.nan], [np.inf], [-np.inf], [-1e-300], [5e-324], [1e300], [0.0, 7.0, -3.0, np.nan]])
@pytest.mark.parametrize("origin_zero", [True, False])
def test_the_short_way_of_a_lane_within_the_extremes_is_the_long_way(odd, origin_zero):
    # lane by lane most draws lie within what has been seen; all in one call none do at first, and nothing is known of the extremes
    draws = np.random.default_rng(5).lognormal(0.0, 1.0, 6 * LANE)
    if odd:
        draws[4 * LANE : 5 * LANE : 7] = np.resize(odd, draws[4 * LANE : 5 * LANE : 7].size)
    draws[LANE : 2 * LANE : 50] = 0.0
    layout = summaries.plan_layout(draws[np.newaxis, :LANE], origin_zero)
    place = np.empty(draws.size, np.int64)
    summaries.locate(layout, 0, draws, place)
    state, finite = summaries.new_state(layout), draws[np.isfinite(draws)]
    for start in range(0, draws.size, LANE):
        summaries.update(layout, state, 0, draws[start : start + LANE])
    np.testing.assert_array_equal(state.counts, np.bincount(place, minlength=state.counts.size))
    np.testing.assert_array_equal(state.extremes[0], [finite.min(), finite.max()])


@pytest.mark.parametrize("decades", [2.0, 6.0, 12.0, 16.0])
def test_heavy_tails_keep_their_quantiles(decades):
    """A flow whose quarter and whose greatest draw lie 20 and more powers of ten apart, as with gamma loads of shape .01."""
    exponent = 3.0 + decades * np.abs(np.random.default_rng(3).normal(size=N))
    draws = 10.0 ** np.minimum(exponent, 300.0)
    layout, state = summarise(draws, origin_zero=True)
    found, _ = summaries.quantiles(layout, state, P, 0)
    inner = (P >= 0.025) & (P <= 0.975)
    np.testing.assert_allclose(found[inner], np.quantile(draws, P[inner], method="inverted_cdf"), rtol=2.0**-7)
    assert layout.bins[0] <= 2**16 - 4


def test_lanes_that_wait_are_counted_as_if_at_once():
    rng = np.random.default_rng(6)
    draws = np.stack([rng.lognormal(0.0, 4.0, 3 * LANE), rng.poisson(3.0, 3 * LANE), np.zeros(3 * LANE), rng.normal(size=3 * LANE)])
    draws[0, ::17] = np.nan
    layout = summaries.plan_layout(draws[:, :LANE], True)
    assert layout.mode[1] == summaries.WHOLE
    assert (np.diff(layout.offset) <= 2**16).all()
    waited, alone = summaries.new_state(layout), summaries.new_state(layout)
    row = np.where(layout.mode[:4] == summaries.CONTINUOUS, -1, np.cumsum(layout.mode[:4] != summaries.CONTINUOUS) - 1)
    waiting = summaries.Waiting(np.empty((4, 4, LANE), np.uint16), row, np.empty((4, row.max() + 1, LANE)))
    for lane in range(3):
        for j in range(4):
            here = draws[j, lane * LANE : (lane + 1) * LANE]
            summaries.update(layout, alone, j, here)
            summaries.wait(layout, waited, j, here, lane, waiting)
    summaries.count_waiting(layout, waited, waiting, 3)
    for found, expected in zip(waited, alone, strict=True):
        np.testing.assert_array_equal(found, expected)


def test_one_summary_does_not_write_into_its_neighbours():
    rng = np.random.default_rng(13)
    pilots = np.stack([rng.normal(0.0, 1.0, 500), rng.poisson(3.0, 500).astype(float), rng.lognormal(0.0, 1.0, 500)])
    layout = summaries.plan_layout(pilots)
    wild = np.array([np.nan, np.inf, -np.inf, 0.0, -0.0, 1e308, -1e308, 5e-324, -5e-324, 1.0, -1.0])
    for j in range(3):
        state = summaries.new_state(layout)
        with np.errstate(over="ignore"):
            summaries.update(layout, state, j, wild)
        per_summary = summaries.draw_counts(layout, state).sum(axis=1)
        np.testing.assert_array_equal(per_summary, np.where(np.arange(3) == j, wild.size, 0))
        assert summaries.draw_counts(layout, state)[j].tolist() == [1, 1, 8, 1]


def test_many_summaries_at_once_are_the_same_as_one_by_one():
    rng = np.random.default_rng(14)
    draws = np.stack([rng.normal(0.0, 1.0, 2_000), rng.poisson(3.0, 2_000).astype(float), rng.normal(1e5, 0.05, 2_000)])
    layout = summaries.plan_layout(draws)
    state = summaries.new_state(layout)
    for j in range(3):
        in_lanes(summaries.update, layout, state, j, draws[j])
    together, error = summaries.quantiles(layout, state, P)
    for j in range(3):
        alone, alone_error = summaries.quantiles(*summarise(draws[j]), P, 0)
        np.testing.assert_array_equal(together[j], alone)
        np.testing.assert_array_equal(error[j], alone_error)
        np.testing.assert_array_equal(summaries.quantiles(layout, state, P, j)[0], alone)


def test_origins_and_modes():
    rng = np.random.default_rng(15)
    pilots = {
        "narrow": rng.normal(100000.001, 0.05, 1000),
        "wide": rng.lognormal(0.0, 1.0, 1000),
        "signed": rng.normal(0.0, 1.0, 1000),
        "whole": rng.poisson(4.0, 1000).astype(float),
        "atoms": np.where(rng.random(1000) < 0.5, 0.3, rng.random(1000)),
        "zeros and continuous": np.where(rng.random(1000) < 0.5, 0.0, rng.random(1000)),
        "beyond 2^53": np.floor(1e300 * rng.random(1000)),
    }
    layout = summaries.plan_layout(np.stack(list(pilots.values())))
    assert dict(zip(pilots, layout.mode.tolist(), strict=True)) == {
        "narrow": summaries.CONTINUOUS,
        "wide": summaries.CONTINUOUS,
        "signed": summaries.CONTINUOUS,
        "whole": summaries.WHOLE,
        "atoms": summaries.ATOMS,
        "zeros and continuous": summaries.CONTINUOUS,
        "beyond 2^53": summaries.CONTINUOUS,
    }
    assert layout.origin[0] == pytest.approx(100000.001, abs=0.05)
    np.testing.assert_array_equal(layout.origin[1:], 0.0)
    np.testing.assert_array_equal(layout.zero == 2, [False, True, False, True, True, True, True])
    assert (layout.bins <= 1024 * summaries.BINS_PER_OCTAVE).all()
    np.testing.assert_array_equal(summaries.plan_layout(np.stack(list(pilots.values())), origin_zero=True).origin, 0.0)


# Standard errors


def test_order_statistic_error_is_the_spread_of_quantiles_over_repeats(statistics_seed):
    rng = np.random.default_rng(statistics_seed)
    repeats, n = 800, 4_096 if COMPILED else 256
    law = stats.lognorm(1.0)
    p = np.array([0.05, 0.5, 0.95])
    draws = law.rvs((repeats, n), random_state=rng)
    layout = summaries.plan_layout(draws)
    state = summaries.new_state(layout)
    for j in range(repeats):
        in_lanes(summaries.update, layout, state, j, draws[j])
    z = (summaries.quantiles(layout, state, p)[0] - law.ppf(p)) / summaries.order_statistic_error(layout, state, p)
    # the error is itself estimated from a few hundred draws about the quantile, so z is a little wider than normal
    inside = (np.abs(z) < stats.norm.isf(0.05)).sum(axis=0)
    for hits in inside:
        verdicts.decide(f"{hits} of {repeats} quantiles within 1.645 MCSE", verdicts.coverage_p(int(hits), repeats, 0.86, 0.93))


def test_replicate_error():
    rng = np.random.default_rng(16)
    x = rng.normal(3.0, 1.0, (31, 2, 3))
    np.testing.assert_allclose(summaries.replicate_error(x), x.std(axis=0, ddof=1) / math.sqrt(31), rtol=1e-13)
    odd = np.ones((16, 4))
    odd[:, 1] = np.inf
    odd[3, 2] = np.inf
    odd[3, 3] = np.nan
    np.testing.assert_array_equal(summaries.replicate_error(odd), [0.0, 0.0, np.inf, np.nan])


# Sums


def test_lane_sums_are_right_and_skip_what_is_not_finite():
    rng = np.random.default_rng(17)
    draws = rng.normal(100000.0, 0.05, 1_003)
    draws[[5, 70, 1_002]] = np.nan, np.inf, -np.inf
    finite = draws[np.isfinite(draws)] - 1e5
    s1, s2 = summaries.lane_sums(draws, 1e5)
    assert s1 == pytest.approx(math.fsum(finite), rel=1e-12)
    assert s2 == pytest.approx(math.fsum(finite**2), rel=1e-13)
    mean, sd = summaries.moments(np.array(finite.size), np.array([s1, s2]), np.array(1e5))
    assert mean == pytest.approx(1e5 + finite.mean(), rel=1e-15)
    assert sd == pytest.approx(finite.std(ddof=1), rel=1e-12)


def test_lane_sums_add_in_the_order_they_promise():
    draws = np.random.default_rng(18).lognormal(0.0, 3.0, 999)
    accumulators = np.zeros(64)
    for i, v in enumerate(draws):
        accumulators[i % 64] += v - 0.7
    while accumulators.size > 1:
        half = accumulators.size // 2
        accumulators = accumulators[:half] + accumulators[half:]
    assert summaries.lane_sums(draws, 0.7)[0] == accumulators[0]


def test_sums_of_any_power_of_two_block_are_the_same_bits():
    lanes = np.random.default_rng(19).lognormal(0.0, 5.0, (64, 3))
    whole = summaries.tree_sum(lanes)
    for block in (1, 2, 4, 8, 16, 32):
        np.testing.assert_array_equal(
            summaries.tree_sum(np.stack([summaries.tree_sum(part) for part in lanes.reshape(-1, block, 3)])), whole
        )
    assert (whole != lanes[np.random.default_rng(2).permutation(64)].sum(axis=0)).any(), "these terms cannot tell one order from another"


@pytest.mark.parametrize("n_lanes", [1, 2, 3, 31, 32, 45, 64])
def test_nodes_may_arrive_in_any_order(n_lanes):
    rng = np.random.default_rng(20)
    lanes = rng.lognormal(0.0, 5.0, (n_lanes, 2))
    # blocks of four lanes where they are whole, single lanes at the end
    nodes = [(2, i, summaries.tree_sum(lanes[4 * i : 4 * i + 4])) for i in range(n_lanes // 4)]
    nodes += [(0, i, lanes[i]) for i in range(n_lanes - n_lanes % 4, n_lanes)]
    for _ in range(5):
        pending: summaries.Pending = {}
        for k in rng.permutation(len(nodes)):
            summaries.merge_node(pending, *nodes[k])
        assert len(pending) == n_lanes.bit_count()
        np.testing.assert_array_equal(summaries.finish_tree(pending), summaries.tree_sum(lanes))
