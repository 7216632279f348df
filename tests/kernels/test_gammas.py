"""Gamma quantiles of any shape against SciPy and mpmath."""

from __future__ import annotations

import numba
import numpy as np
import oracles
import pytest
from hypothesis import given
from hypothesis import strategies as st
from lanes import apply
from scipy import special

from sim.kernels import gammas

COMPILED = not numba.config.DISABLE_JIT
# compiled code divides by NumPy's rules without a word; in Python NumPy warns
pytestmark = [] if COMPILED else pytest.mark.filterwarnings("ignore::RuntimeWarning")
GAMMA = gammas.gamma_table()


# the kernels are scalar and inlined by their callers; each gets the loop it is called from


@numba.njit
def log_gamma_ratios(table, shape, z, out):
    for i in range(z.size):
        out[i] = gammas.log_gamma_ratio(table, shape, z[i])


def test_log_gamma_ratio_in_probability_over_twelve_decades_of_shape():
    z = np.linspace(-8.2, 8.2, 331 if COMPILED else 83)
    worst = {"body": 0.0, "beyond": 0.0, "tail": 0.0}
    for shape in 10.0 ** np.linspace(-4.0, 8.0, 61 if COMPILED else 25):
        lower, upper = oracles.gamma_tails(shape, apply(log_gamma_ratios, GAMMA, shape, z, size=z.size) + np.log(shape))
        error = np.abs(np.where(z < 0.0, lower - special.ndtr(z), upper - special.ndtr(-z)))
        where = "body" if shape >= 2.0**-12 else "beyond"
        worst[where] = max(worst[where], float(error.max()))
        worst["tail"] = max(worst["tail"], float((error / special.ndtr(-np.abs(z))).max())) if shape >= 2.0**-12 else worst["tail"]
    assert worst["body"] < 2e-6  # as its docstring says
    assert worst["beyond"] < 2e-4
    assert worst["tail"] < 1e-3  # relative to the tail itself, out to one draw in 10^16


@given(st.floats(1e-12, 1e14), st.floats(-8.5, 8.5), st.floats(1e-3, 1.0))
def test_log_gamma_ratio_rises_with_the_score(shape, z, step):
    low, high = apply(log_gamma_ratios, GAMMA, shape, np.array([z, z + step]), size=2)
    assert low < high or z + step > 8.5


@pytest.mark.parametrize("seam", [2.0**-12, 2.0**30])
def test_log_gamma_ratio_has_no_step_where_the_table_ends(seam):
    z = np.linspace(-4.0, 4.0, 41)
    inside, outside = (apply(log_gamma_ratios, GAMMA, seam * factor, z, size=z.size) for factor in (1.0 + 1e-9, 1.0 - 1e-9))
    np.testing.assert_allclose(inside, outside, rtol=1e-6, atol=1e-9)
