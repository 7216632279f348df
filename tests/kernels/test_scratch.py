"""Scratch of a lane: arrays of the right kind that share nothing, and an end where a lane ends."""

from __future__ import annotations

import numba
import numpy as np
import pytest

from sim.kernels.jit import borrowing
from sim.kernels.scratch import LANE, scratch, scratches

COMPILED = not numba.config.DISABLE_JIT


@borrowing
def rows_apart(a, out):
    """Write to out (5, d) what five scratch arrays hold after all were filled, a twice."""
    n = a.size
    x, y, z = scratches(3, n)
    whole, flag = scratch(np.uint64, n), scratch(np.bool_, n)
    for i in range(n):
        x[i] = a[i]
        y[i] = 2.0 * a[i]
        z[i] = -a[i]
        whole[i] = np.uint64(2**63 + i)
        flag[i] = i % 3 == 0
    for i in range(n):
        out[0, i], out[1, i], out[2, i], out[3, i], out[4, i] = x[i], y[i], z[i], whole[i] - np.uint64(2**63), flag[i]


@borrowing
def called_again(a, times, out):
    for _ in range(times):
        rows_apart(a, out)


@pytest.mark.parametrize("n", [0, 1, 7, LANE - 1, LANE])
def test_rows_are_apart(n):
    a = np.arange(float(n))
    out = np.full((5, n), np.nan)
    rows_apart(a, out)
    np.testing.assert_array_equal(out, [a, 2.0 * a, -a, a, np.arange(n) % 3 == 0])


def test_room_is_taken_once_and_given_back():
    """Ten thousand calls would take 300 MB of a stack of eight."""
    a, out = np.arange(float(LANE)), np.empty((5, LANE))
    called_again(a, 10_000 if COMPILED else 2, out)
    np.testing.assert_array_equal(out[0], a)


@pytest.mark.skipif(not COMPILED, reason="Python takes what it needs")
def test_more_than_a_lane_is_refused():
    with pytest.raises(ValueError, match=r"1,024 draws"):
        rows_apart(np.zeros(LANE + 1), np.zeros((5, LANE + 1)))
