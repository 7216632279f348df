"""Laws of summaries that hold for any draws: merging, cutting, ordering, scaling, monotone quantiles."""

from __future__ import annotations

import numpy as np
import strategies
import verdicts
from hypothesis import given
from hypothesis import strategies as st
from lanes import in_lanes

from sim.kernels import summaries


def counted(layout, draws, cuts=(), wide=False):
    """Return the state after `draws`, cut at `cuts` into calls of update."""
    state = summaries.new_state(layout, wide=wide)
    for part in np.split(draws, cuts):
        in_lanes(summaries.update, layout, state, 0, np.ascontiguousarray(part))
    return state


def same_bytes(a, b):
    return all(x.dtype == y.dtype and x.tobytes() == y.tobytes() for x, y in zip(a, b, strict=True))


def clone(state):
    return summaries.State(*(array.copy() for array in state))


def plan(draws, share=0.5):
    return summaries.plan_layout(draws[np.newaxis, : max(1, int(share * draws.size))])


@given(strategies.summary_draws(), st.lists(st.integers(0, 200), max_size=5), st.randoms(use_true_random=False))
def test_any_cut_and_any_order_give_the_same_bytes(draws, cuts, random):
    layout = plan(draws)
    whole = counted(layout, draws)
    assert same_bytes(whole, counted(layout, draws, sorted(cuts)))
    order = list(range(draws.size))
    random.shuffle(order)
    assert same_bytes(whole, counted(layout, draws[order]))


@given(strategies.summary_draws(), st.tuples(st.integers(0, 200), st.integers(0, 200)))
def test_merging_is_associative_commutative_and_the_same_as_counting_at_once(draws, cuts):
    layout = plan(draws)
    a, b, c = (counted(layout, part) for part in np.split(draws, sorted(cuts)))
    left = clone(a)
    summaries.merge(left, b)
    summaries.merge(left, c)
    right = clone(c)
    summaries.merge(right, b)
    summaries.merge(right, a)
    inner = clone(b)
    summaries.merge(inner, c)
    grouped = clone(a)
    summaries.merge(grouped, inner)
    assert same_bytes(left, right)
    assert same_bytes(left, grouped)
    assert same_bytes(left, counted(layout, draws))


@given(strategies.summary_draws())
def test_a_pool_takes_tasks_and_gives_their_quantiles(draws):
    layout = plan(draws)
    task = counted(layout, draws)
    pool = summaries.new_state(layout, wide=True)
    for _ in range(2):
        summaries.merge(pool, task)
    assert pool.counts.dtype == np.int64
    np.testing.assert_array_equal(summaries.draw_counts(layout, pool), 2 * summaries.draw_counts(layout, task))
    p = verdicts.REPORTED
    np.testing.assert_allclose(summaries.quantiles(layout, pool, p)[0], summaries.quantiles(layout, task, p)[0], rtol=1e-12, atol=1e-300)


@given(strategies.summary_draws(), strategies.summary_draws(), st.booleans(), st.booleans())
def test_what_a_pool_absorbs_is_merged_counted_and_cleared(before, draws, wide, quantiles):
    """Any two tasks, one after another, into a pool of either type: the bytes of merge, and an empty state, with quantiles or without."""
    layout = plan(before)
    pool, expected = (summaries.new_state(layout, wide) for _ in range(2))
    p = np.array([0.0, 0.05, 0.5, 0.95, 1.0]) if quantiles else np.empty(0)
    for part in (before, draws):
        state = counted(layout, part)
        found, n = np.empty((1, p.size)), np.empty(1, np.int64)
        summaries.merge(expected, state)
        one = clone(state)
        summaries.absorb(layout, state, pool, p, found, n)
        np.testing.assert_array_equal(found, summaries.quantiles(layout, one, p)[0])
        np.testing.assert_array_equal(n, summaries.draw_counts(layout, one)[:, 2])
        assert same_bytes(state, summaries.new_state(layout))
    assert same_bytes(pool, expected)


@given(strategies.summary_draws())
def test_every_draw_is_counted_once(draws):
    layout = plan(draws)
    state = counted(layout, draws)
    kinds = [np.isnan(draws), draws == -np.inf, np.isfinite(draws), draws == np.inf]
    assert summaries.draw_counts(layout, state)[0].tolist() == [int(kind.sum()) for kind in kinds]
    assert int(state.counts.astype(np.int64).sum()) == draws.size


@given(strategies.summary_draws(), st.lists(st.floats(0.0, 1.0), min_size=2, max_size=20))
def test_quantiles_rise_with_the_probability_within_the_draws(draws, probabilities):
    layout = plan(draws)
    found, error = summaries.quantiles(layout, counted(layout, draws), np.sort(probabilities), 0)
    known = draws[~np.isnan(draws)]
    if known.size == 0:
        assert np.isnan(found).all()
        return
    assert (found[1:] >= found[:-1]).all()
    assert (found >= known.min()).all()
    assert (found <= known.max()).all()
    assert (error >= 0.0).all()


@given(strategies.summary_draws(specials=False), st.integers(0, 199))
def test_a_quantile_lies_in_the_bin_of_its_draw(draws, i):
    i %= draws.size
    layout = plan(draws, share=1.0)
    found, _ = summaries.quantiles(layout, counted(layout, draws), np.array([(i + 0.5) / draws.size]), 0)
    exact = np.sort(draws)[i]
    # a bin is at most 1/128 of its distance from the origin; below the window of a signed summary, 2^-13 of the spread
    shifted = np.abs(draws - layout.origin[0])
    room = 2.0**-7 * np.abs(exact - layout.origin[0]) + 2.0**-13 * np.median(shifted[shifted > 0.0]) if shifted.any() else 0.0
    assert abs(found[0] - exact) <= room * (1.0 + 1e-9)


FRACTIONAL = tuple(kind for kind in strategies.SUMMARY_KINDS if kind != "whole")


@given(strategies.summary_draws(kinds=FRACTIONAL), st.integers(-60, 60))
def test_powers_of_two_scale_the_quantiles_exactly(draws, k):
    layout = plan(draws)
    scaled = plan(draws * 2.0**k)
    # a pilot that is whole by chance may not be whole after scaling; everything else about the plans is the same
    layout.mode[layout.mode == summaries.WHOLE] = summaries.ATOMS
    scaled.mode[scaled.mode == summaries.WHOLE] = summaries.ATOMS
    state, scaled_state = counted(layout, draws), counted(scaled, draws * 2.0**k)
    np.testing.assert_array_equal(state.counts, scaled_state.counts)
    found = summaries.quantiles(layout, state, verdicts.REPORTED)
    other = summaries.quantiles(scaled, scaled_state, verdicts.REPORTED)
    for a, b in zip(found, other, strict=True):
        np.testing.assert_array_equal(a * 2.0**k, b)


@given(strategies.summary_draws(specials=False, kinds=("normal",)))
def test_mirrored_draws_have_mirrored_quantiles(draws):
    layout = summaries.plan_layout(np.concatenate([draws, -draws])[np.newaxis], origin_zero=True)
    p = (np.arange(draws.size) + 0.37) / draws.size
    found, _ = summaries.quantiles(layout, counted(layout, draws), p, 0)
    other, _ = summaries.quantiles(layout, counted(layout, -draws), 1.0 - p, 0)
    np.testing.assert_allclose(found, -other, rtol=1e-9, atol=1e-12)


@given(strategies.summary_draws(specials=False), st.integers(1, 12))
def test_sums_are_the_same_bits_for_any_block_of_lanes(draws, log_lanes):
    lane = 4
    lanes = np.array([summaries.lane_sums(part, 0.3) for part in np.split(draws, range(lane, draws.size, lane))])
    block = 1 << (log_lanes % 5)
    whole = summaries.tree_sum(lanes)
    pending: summaries.Pending = {}
    for i in reversed(range(len(lanes) // block)):
        summaries.merge_node(pending, block.bit_length() - 1, i, summaries.tree_sum(lanes[i * block : (i + 1) * block]))
    for i in range(len(lanes) - len(lanes) % block, len(lanes)):
        summaries.merge_node(pending, 0, i, lanes[i])
    assert summaries.finish_tree(pending).tobytes() == whole.tobytes()
