"""Counts as bytes: what goes in comes out, added to what is there; what does not fit is refused."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim.kernels.packing import MOST_BYTES, add_counts, pack_counts

COUNTS = st.lists(st.one_of(st.just(0), st.integers(0, 200), st.integers(0, 2**32 - 1)), max_size=60)


@given(COUNTS)
def test_what_is_packed_comes_out(counts):
    counts = np.array(counts, np.uint32)
    code = pack_counts(counts)
    assert code.size <= MOST_BYTES * (counts.size + 1)
    found = np.zeros(counts.size, np.uint32)
    assert add_counts(code, found)
    np.testing.assert_array_equal(found, counts)


@given(COUNTS)
def test_codes_add_up(counts):
    counts = np.array(counts, np.int64) << 20  # beyond 32 bits
    found = counts.copy()
    assert add_counts(pack_counts(counts), found)
    np.testing.assert_array_equal(found, 2 * counts)


@pytest.mark.parametrize("n", [0, 1, 127, 128, 1 << 20])
def test_empty_bins_take_next_to_nothing(n):
    assert pack_counts(np.zeros(n, np.uint32)).size <= 4
    assert pack_counts(np.ones(n, np.uint32)).size == n


@given(COUNTS.filter(any), st.integers(-3, 3).filter(bool))
def test_a_code_of_another_length_is_refused(counts, more):
    code = pack_counts(np.array(counts, np.uint32))
    assert not add_counts(code, np.zeros(max(len(counts) + more, 0), np.uint32))


@given(st.binary(max_size=40))
def test_no_bytes_reach_beyond_the_counts(code):
    guarded = np.zeros(12, np.uint32)
    add_counts(np.frombuffer(code, np.uint8), guarded[1:-1])
    assert guarded[0] == guarded[-1] == 0
