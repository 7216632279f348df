"""Weights and weighted summaries against plain loops, and what holds for any draws."""

from __future__ import annotations

import numba
import numpy as np
import oracles
import pytest
import strategies
from hypothesis import given
from hypothesis import strategies as st

from sim.kernels import conditions, quantiles, summaries

COMPILED = not numba.config.DISABLE_JIT
pytestmark = [] if COMPILED else pytest.mark.filterwarnings("ignore::RuntimeWarning")
TAIL = quantiles.normal_tail_table()
MASSES = st.one_of(st.sampled_from([0.0, 1e-300, 1.0, 1e300, np.inf, np.nan]), st.floats(1e-3, 1e6))
weights = st.integers(0, 5)


@pytest.mark.parametrize("z", [-1e8, -40.0, -9.0, -8.0000001, -8.0, -7.9, -1.0, -1e-9, 0.0, 0.5, 3.0, 8.0, 40.0, np.inf])
def test_the_log_of_the_normal_distribution_function(z):
    assert conditions.log_normal_cdf(TAIL, z) == pytest.approx(oracles.log_normal_cdf(TAIL, z), rel=1e-9, abs=3e-9)


def test_what_is_no_score():
    assert np.isnan(conditions.log_normal_cdf(TAIL, np.nan))
    assert conditions.log_normal_cdf(TAIL, -np.inf) == -np.inf


def bounds(upper, lower, log_sd=0.35, inland=False):
    """Return an upper bound on summary 0, a lower one on twice summary 1 and, with `inland`, cells 2, 3, 4 with input 0 as their ratio."""
    cell = [[2], [3], [4]] if inland else [[], [], []]
    return conditions.Conditions(
        np.array([0, 1]),
        np.array([1.0, 2.0]),
        np.array([-np.inf, np.log(lower)]),
        np.array([np.log(upper), np.inf]),
        np.array([log_sd, 2 * log_sd]),
        *(np.array(each, np.int64) for each in cell),
        np.array([0, 1] if inland else [0]),
        np.array([0] if inland else [], np.int64),
    )


@given(st.lists(st.tuples(MASSES, MASSES, *[st.sampled_from([0.0, 1.0, 2.0])] * 4), min_size=1, max_size=20), st.floats(0.01, 3.0))
def test_weights_are_those_of_plain_loops(rows, log_sd):
    draws, inputs = np.array(rows).T[:5].copy(), np.array(rows).T[5:].copy()
    found, expected = np.empty(len(rows)), np.empty(len(rows))
    counted, also = np.zeros(2, np.int64), np.zeros(2, np.int64)
    asked = bounds(10.0, 3.0, log_sd, inland=True)
    conditions.weigh(asked, TAIL, draws, inputs, found, counted)
    oracles.weigh(asked, TAIL, draws, inputs, expected, also)
    np.testing.assert_allclose(found, expected, rtol=2e-9, atol=1e-8)
    np.testing.assert_array_equal(counted, also)


def weighed(*results, upper=10.0):
    draws = np.array([results, [100.0] * len(results)])
    log_weight = np.empty(len(results))
    conditions.weigh(bounds(upper, 1e-9), TAIL, draws, np.empty((0, len(results))), log_weight, np.zeros(2, np.int64))
    return log_weight


def test_nothing_is_below_any_upper_bound_and_what_is_undefined_counts_for_nothing():
    assert weighed(0.0, np.nan, np.inf).tolist() == [pytest.approx(0.0, abs=1e-12), -np.inf, -np.inf]
    assert weighed(10.0)[0] == pytest.approx(np.log(0.5))


@given(st.floats(1e-6, 1e6), st.floats(1.0, 10.0), st.floats(1.0, 10.0))
def test_a_weight_falls_with_the_result_and_rises_with_the_bound(result, more, higher):
    here, above = weighed(result, result * more)
    assert above <= here + 1e-12
    assert weighed(result, upper=10.0 * higher)[0] >= here - 1e-12


@given(st.lists(st.floats(-900.0, 0.0), min_size=1, max_size=20), st.integers(18, 40))
def test_whole_weights_are_the_nearest(logs, bits):
    weight, whole = np.empty(len(logs)), np.empty(len(logs), np.int64)
    conditions.whole_weights(np.array(logs), bits, weight, whole)
    exact = np.exp(np.array(logs))
    np.testing.assert_allclose(weight, np.where(np.array(logs) > -700.0, exact, 0.0), rtol=1e-12)
    assert np.abs(whole - np.ldexp(weight, bits)).max() <= 0.5


def states(draws, whole, layout):
    mine, plain = summaries.new_state(layout, wide=True), summaries.new_state(layout, wide=True)
    conditions.update_weighted(layout, mine, 0, draws, whole)
    oracles.update_weighted(layout, plain, 0, draws, whole)
    return mine, plain


@given(strategies.summary_draws(), st.data())
def test_a_weighted_draw_counts_as_often_as_its_weight_says(draws, data):
    whole = np.array(data.draw(st.lists(weights, min_size=draws.size, max_size=draws.size)), np.int64)
    layout = summaries.plan_layout(draws[np.newaxis])
    mine, plain = states(draws, whole, layout)
    for a, b in zip(mine, plain, strict=True):
        np.testing.assert_array_equal(a, b)
    with np.errstate(all="ignore"):
        found, expected = (conditions.weighted_lane_sums(draws, whole, 0.5), None)
    if np.abs(draws[np.isfinite(draws)]).max(initial=0.0) < 1e100:
        expected = oracles.weighted_lane_sums(draws, whole, 0.5)
        scale = np.abs(np.where(np.isfinite(draws), draws, 0.0)) + 0.5
        np.testing.assert_allclose(found[0], expected[0], atol=1e-12 * float((whole * scale).sum()) + 1e-300)
        np.testing.assert_allclose(found[1], expected[1], atol=1e-12 * float((whole * scale * scale).sum()) + 1e-300)


@given(strategies.summary_draws(), st.data())
def test_counting_both_at_once_is_counting_one_after_the_other(draws, data):
    layout = summaries.plan_layout(np.stack([draws, draws]))
    first, second = (summaries.new_state(layout, wide=True) for _ in range(2))
    for part in np.array_split(draws, 3):
        whole = np.array(data.draw(st.lists(weights, min_size=part.size, max_size=part.size)), np.int64)
        part = np.ascontiguousarray(part)
        conditions.update_both(layout, first, 0, 1, part, whole)
        summaries.update(layout, second, 0, part)
        conditions.update_weighted(layout, second, 1, part, whole)
    assert all(a.tobytes() == b.tobytes() for a, b in zip(first, second, strict=True))


@given(strategies.summary_draws(), st.data())
def test_weights_of_one_are_the_plain_update_and_any_order_gives_the_same_bytes(draws, data):
    layout = summaries.plan_layout(draws[np.newaxis])
    mine, plain = states(draws, np.ones(draws.size, np.int64), layout)
    assert all(a.tobytes() == b.tobytes() for a, b in zip(mine, plain, strict=True))
    assert conditions.weighted_lane_sums(draws, np.ones(draws.size, np.int64), 0.5) == pytest.approx(
        summaries.lane_sums(draws, 0.5), rel=0, abs=0, nan_ok=True
    )
    whole = np.array(data.draw(st.lists(st.integers(0, 2**40), min_size=draws.size, max_size=draws.size)), np.int64)
    order = np.array(data.draw(st.permutations(range(draws.size))), np.intp)
    first, second, again = (summaries.new_state(layout, wide=True) for _ in range(3))
    conditions.update_weighted(layout, first, 0, draws, whole)
    half = draws.size // 2
    conditions.update_weighted(layout, second, 0, draws[order][:half].copy(), whole[order][:half].copy())
    conditions.update_weighted(layout, again, 0, draws[order][half:].copy(), whole[order][half:].copy())
    summaries.merge(again, second)
    assert all(a.tobytes() == b.tobytes() for a, b in zip(first, again, strict=True))
