"""Eight look-ups at a time give the bits of one at a time."""

from __future__ import annotations

import numba
import numpy as np
import pytest

from sim.kernels import cubics


@pytest.mark.parametrize("n", [0, 1, 7, 8, 9, 64, 1_003])
def test_a_lane_has_the_bits_of_one_draw_at_a_time(n):
    rng = np.random.default_rng(n)
    table = rng.normal(size=(50, 4)) * 10.0 ** rng.integers(-9, 9, size=(50, 1))
    cells = rng.integers(0, 50, n).astype(np.uint64)
    s = rng.uniform(size=n)
    c = table[cells]
    expected = ((c[:, 3] * s + c[:, 2]) * s + c[:, 1]) * s + c[:, 0]
    beside = np.full(n + 2, 7.0)
    beside[1:-1] = s
    cubics.cubics(table, cells, beside[1:-1])
    np.testing.assert_array_equal(beside, np.concatenate([[7.0], expected, [7.0]]))


@pytest.mark.skipif(bool(numba.config.DISABLE_JIT), reason="nothing is compiled")
def test_an_array_with_gaps_is_refused():
    with pytest.raises(numba.TypingError):
        cubics.cubics(np.zeros((1, 4)), np.zeros(16, np.uint64), np.zeros((16, 2))[:, 0])
