"""Draws in bins of an input, against NumPy's searchsorted and plain sums."""

from __future__ import annotations

import numpy as np
import oracles
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from sim.kernels import bins

numbers = st.floats(-1e3, 1e3, width=32)
or_nan = st.one_of(numbers, st.just(np.nan))
many_edges = st.integers(1, 6).flatmap(lambda k: arrays.arrays(np.float64, 2**k - 1, elements=numbers))


@given(many_edges, arrays.arrays(np.float64, 33, elements=numbers))
def test_a_bin_is_what_searchsorted_says(edges, draws):
    edges = np.sort(np.round(edges))  # equal edges too
    draws = np.concatenate([draws, edges, np.nextafter(edges, -np.inf)])
    found, expected = np.empty(draws.size, np.uint16), np.empty(draws.size, np.uint16)
    bins.place_in_bins(edges, draws, found)
    oracles.place_in_bins(edges, draws, expected)
    np.testing.assert_array_equal(found, expected)


@given(arrays.arrays(np.uint16, 40, elements=st.integers(0, 7)), arrays.arrays(np.float64, (2, 40), elements=or_nan))
def test_counts_and_sums_are_those_of_each_bin(place, targets):
    found, expected = ((np.zeros((2, 8), np.int64), np.zeros((2, 8))) for _ in range(2))
    bins.add_to_bins(place, targets, *found)
    oracles.add_to_bins(place, targets, *expected)
    np.testing.assert_array_equal(found[0], expected[0])
    np.testing.assert_allclose(found[1], expected[1], rtol=1e-12, atol=1e-9)
