"""Streams: published known answers, SciPy's Sobol' points bit for bit, and draws that depend on nothing but their name and index."""

from __future__ import annotations

import math
from fractions import Fraction

import numba
import numpy as np
import oracles
import pytest
import strategies
import verdicts
from hypothesis import given
from hypothesis import strategies as st
from lanes import philox_draws
from scipy import stats
from scipy.stats import qmc

from sim.kernels import streams

COMPILED = not numba.config.DISABLE_JIT
N = 1 << 16 if COMPILED else 1 << 9
SEED = np.uint64(43)
STREAM = streams.stream_id("detection_rate[southwest-ports]")


def sobol_points(directions, shift, first, n):
    out = np.empty(n)
    streams.fill_sobol(directions, shift, first, out)
    return out


def integers(folded):
    """Return the 53-bit integers that folded uniforms stand for."""
    return np.where(folded > 0.0, folded * 2.0**53 - 0.5, folded * 2.0**53 - 0.5 + 2.0**53).astype(np.uint64)


# Philox


@pytest.mark.parametrize(
    ("word", "answer"),
    [(0, (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)), (0xFFFFFFFF, (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD))],
)
def test_philox_known_answers(word, answer):
    assert tuple(int(w) for w in streams.philox(*[np.uint64(word)] * 6)) == answer


@given(st.lists(st.integers(0, 2**32 - 1), min_size=6, max_size=6))
def test_philox_against_whole_numbers_of_any_size(words):
    assert tuple(int(w) for w in streams.philox(*map(np.uint64, words))) == oracles.philox(*words)


@given(strategies.seeds(), st.integers(0, 2**64 - 1), st.integers(0, 2**62))
def test_philox_draws_are_the_top_53_bits_of_their_own_word(seed, stream, first):
    draws = philox_draws(seed, stream, first, 5)
    for j, t in enumerate(draws):
        u = Fraction(float(t)) % 1  # a folded uniform is u, or u - 1, exactly
        assert u == Fraction(2 * oracles.philox_integer(seed, stream, first + j) + 1, 2**54)


@given(strategies.seeds(), st.integers(0, 1 << 62), st.integers(0, 60), st.integers(0, 60))
def test_philox_draws_depend_on_the_index_alone(seed, first, skipped, n):
    whole = philox_draws(seed, STREAM, first, skipped + n)
    np.testing.assert_array_equal(philox_draws(seed, STREAM, first + skipped, n), whole[skipped:])


def test_streams_seeds_and_neighbouring_draws_are_unrelated():
    a = philox_draws(SEED, STREAM, 0, N)
    others = [
        philox_draws(SEED, streams.stream_id("detection_rate[northern-ports]"), 0, N),
        philox_draws(SEED + np.uint64(1), STREAM, 0, N),
        philox_draws(SEED, STREAM, N, N),
        np.roll(a, 1),
    ]
    for b in others:
        # under independence the correlation of n uniforms has sd 1 / sqrt(n)
        verdicts.decide("correlation of streams", 2.0 * stats.norm.sf(abs(np.corrcoef(a % 1.0, b % 1.0)[0, 1]) * math.sqrt(N)))


def test_philox_draws_are_uniform(statistics_seed):
    draws = philox_draws(statistics_seed, STREAM, 0, N)
    verdicts.assert_follows(draws % 1.0, stats.uniform(), "philox")
    verdicts.assert_follows((draws % 1.0 * 2.0**20) % 1.0, stats.uniform(), "bits of philox from the 21st")


def test_no_uniform_is_zero_or_one():
    word = np.array([0, 2**64 - 1, 2**63 - 1, 2**63], dtype=np.uint64)
    np.testing.assert_array_equal([streams.folded(w) for w in word], [2.0**-54, -(2.0**-54), 0.5 - 2.0**-54, -0.5 + 2.0**-54])


def test_stream_ids_are_stable_and_distinct():
    assert np.uint64(0xFFF9C21A8B7C9D9D) == STREAM  # a change moves every number of every run
    names = [f"load_log_sd@FY{year},{k}" for year in range(2019, 2027) for k in range(500)]
    assert len({int(streams.stream_id(name)) for name in names}) == len(names)


# Sobol'


def scipy_integers(d, n, seed):
    """Return SciPy's own scrambled directions, shift and points (n, d) as integers of 53 bits."""
    engine = qmc.Sobol(d, scramble=True, bits=53, rng=np.random.default_rng(seed))
    directions, shift = engine._sv.copy(), engine._shift.copy()
    return directions, shift, (engine.random(n) * 2.0**53).astype(np.uint64)


def test_directions_give_scipys_unscrambled_points():
    d, n = 40, 256
    points = qmc.Sobol(d, scramble=False, bits=53).random(n)
    directions = streams.sobol_directions(d)
    assert directions.shape == (d, streams.BITS)
    for k in range(d):
        np.testing.assert_array_equal(integers(sobol_points(directions[k], np.uint64(0), 0, n)), (points[:, k] * 2.0**53).astype(np.uint64))


def test_points_are_scipys_for_the_same_scrambling():
    directions, shift, points = scipy_integers(7, N, seed=5)
    for k in range(7):
        np.testing.assert_array_equal(integers(sobol_points(directions[k], shift[k], 0, N)), points[:, k])


@given(st.integers(0, 3000), st.integers(0, 3000))
def test_any_range_of_points_is_the_same_points(first, n):
    n = n if COMPILED else n % 80
    directions, shift = streams.sobol_scrambles(SEED, 3, streams.sobol_directions(3)[2:])
    np.testing.assert_array_equal(
        integers(sobol_points(directions[0], shift[0], first, n)), oracles.sobol_integers(directions[0], shift[0], first, n)
    )


def test_ranges_far_out():
    directions, shift = streams.sobol_scrambles(SEED, 0, streams.sobol_directions(2))
    for first in (2**40 - 3, 2**40, 2**52):
        np.testing.assert_array_equal(
            integers(sobol_points(directions[1], shift[1], first, 9)), oracles.sobol_integers(directions[1], shift[1], first, 9)
        )


def test_scramble_is_lower_triangular_with_unit_diagonal():
    # in the first dimension direction j is the single bit j from the top, so its scramble is column j of the matrix itself
    directions = streams.sobol_directions(1)
    np.testing.assert_array_equal(directions[0], [1 << (52 - j) for j in range(53)])
    scrambled, shift = streams.sobol_scrambles(SEED, 0, directions)
    assert [int(v).bit_length() for v in scrambled[0]] == [53 - j for j in range(53)]
    assert int(shift[0]).bit_length() <= 53


def test_scramble_is_the_matrix_product_over_gf2():
    directions = streams.sobol_directions(4)
    scrambled, _ = streams.sobol_scrambles(SEED, 7, directions)
    for d in range(4):
        columns = oracles.scramble_columns(int(SEED), 7, d)
        for j in range(53):
            product = 0
            for i in range(53):
                if int(directions[d, j]) >> (52 - i) & 1:
                    product ^= columns[i]
            assert product == int(scrambled[d, j])


def test_scrambles_depend_on_seed_replicate_and_dimension_alone():
    directions = streams.sobol_directions(5)
    scrambled, shift = streams.sobol_scrambles(SEED, 2, directions)
    fewer, fewer_shift = streams.sobol_scrambles(SEED, 2, directions[:3])
    np.testing.assert_array_equal(scrambled[:3], fewer)
    np.testing.assert_array_equal(shift[:3], fewer_shift)
    for seed, replicate in ((SEED, 3), (SEED + np.uint64(1), 2)):
        other, other_shift = streams.sobol_scrambles(seed, replicate, directions)
        assert (other_shift != shift).all()
        assert (other[:, :40] != scrambled[:, :40]).any(axis=1).all()


def test_scramble_bits_are_fair():
    replicates = 31 if COMPILED else 4
    directions = streams.sobol_directions(20)[:1].repeat(20, axis=0)
    ones = np.zeros(53, int)
    below = 0
    for replicate in range(replicates):
        scrambled, shift = streams.sobol_scrambles(SEED, replicate, directions)
        ones += sum((shift >> np.uint64(b)).astype(int).__and__(1).sum() * np.eye(53, dtype=int)[b] for b in range(53))
        below += sum(int(v).bit_count() - 1 for v in scrambled.ravel())
    n = 20 * replicates
    verdicts.decide("bits of shifts", float(min(1.0, 53 * stats.binomtest(int(ones[np.abs(ones - n / 2).argmax()]), n).pvalue)))
    verdicts.decide("bits of matrices", float(stats.binomtest(below, n * 53 * 52 // 2).pvalue))


def test_a_scrambled_net_has_one_point_in_every_interval():
    directions, shift = streams.sobol_scrambles(SEED, 1, streams.sobol_directions(6))
    for d in range(6):
        points = integers(sobol_points(directions[d], shift[d], 0, 256))
        np.testing.assert_array_equal(np.sort(points >> np.uint64(45)), np.arange(256))


def test_replicates_integrate_without_bias(statistics_seed):
    # E u v = 1/4 by the mean over 31 replicates of 256 points
    directions = streams.sobol_directions(2)
    found = []
    for replicate in range(31):
        scrambled, shift = streams.sobol_scrambles(np.uint64(statistics_seed), replicate, directions)
        u, v = (sobol_points(scrambled[d], shift[d], 0, 256) % 1.0 for d in range(2))
        found.append((u * v).mean())
    verdicts.assert_agrees(np.mean(found), 0.25, np.std(found, ddof=1) / math.sqrt(31), 31, what="E u v by scrambled points")


def test_no_dimension_and_too_many():
    assert streams.MAX_DIMENSIONS == qmc.Sobol.MAXDIM
    assert streams.sobol_directions(0).shape == (0, 53)
    with pytest.raises(ValueError, match="21201"):
        streams.sobol_directions(streams.MAX_DIMENSIONS + 1)


# Plans


@pytest.mark.parametrize(
    ("asked", "plan"),
    [(1, (16, 0)), (16, (16, 0)), (31, (31, 0)), (32, (16, 1)), (33, (17, 1)), (1_000_000, (31, 15)), (1 << 20, (16, 16))],
)
def test_replicate_plans(asked, plan):
    assert streams.replicate_plan(asked) == plan


@given(st.integers(1, 10**13))
def test_replicate_plan_is_the_smallest_that_suffices(asked):
    r, m = streams.replicate_plan(asked)
    assert 16 <= r < 32
    assert r << m >= asked
    assert r << m == min(q << k for k in range(45) for q in range(16, 32) if q << k >= asked)
