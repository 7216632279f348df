"""exp and log against 40 digits of mpmath, at the ends of their ranges, and in order."""

from __future__ import annotations

import mpmath
import numba
import numpy as np
import pytest

from sim.kernels.arithmetic import exp, log

N = 20_000 if not numba.config.DISABLE_JIT else 500
TINY = np.finfo(float).tiny
LARGEST = np.finfo(float).max


@numba.njit
def exp_of(x, out):
    for i in range(x.size):
        out[i] = exp(x[i])


@numba.njit
def log_of(x, out):
    for i in range(x.size):
        out[i] = log(x[i])


def apply(function, x):
    out = np.empty(x.size)
    function(x, out)
    return out


def ulps(found, exact, x):
    """Return the largest error in units of the last place of the exact number."""
    worst = 0.0
    with mpmath.workdps(40):
        for a, b in zip(found, x, strict=True):
            reference = exact(mpmath.mpf(float(b)))
            worst = max(worst, float(abs(mpmath.mpf(float(a)) - reference)) / float(np.spacing(abs(float(reference)))))
    return worst


def test_exp_to_two_ulp():
    rng = np.random.default_rng(1)
    x = np.concatenate(
        [rng.uniform(-708.0, 709.0, N), rng.normal(0.0, 1.0, N), rng.normal(0.0, 1e-9, 200), [0.0, -0.0, 1.0, -708.0, 709.0]]
    )
    assert ulps(apply(exp_of, x), mpmath.exp, x) < 2.0


def test_log_to_two_ulp():
    rng = np.random.default_rng(2)
    x = np.concatenate(
        [10.0 ** rng.uniform(-307.0, 308.0, N), rng.lognormal(0.0, 0.3, N), 1.0 + rng.normal(0.0, 1e-9, 200), [TINY, LARGEST, 0.5, 2.0]]
    )
    assert ulps(apply(log_of, x), mpmath.log, x) < 2.0


def test_exact_points():
    assert apply(exp_of, np.array([0.0]))[0] == 1.0
    assert apply(log_of, np.array([1.0]))[0] == 0.0
    np.testing.assert_array_equal(apply(log_of, np.array([0.0, 5e-324])), -745.0)


def test_exp_is_clamped_not_infinite():
    low, high, below, above = apply(exp_of, np.array([-708.0, 709.0, -1e300, 1e300]))
    assert 0.0 < below == low
    assert np.isfinite(above)
    assert above == high


@pytest.mark.parametrize(("function", "low", "high"), [(exp_of, -30.0, 30.0), (log_of, 1e-3, 1e3)])
def test_monotone_over_coarse_steps(function, low, high):
    x = np.linspace(low, high, N)  # steps far above 2 ulp
    assert (np.diff(apply(function, x)) > 0.0).all()


@pytest.mark.parametrize("function", [exp_of, log_of])
def test_monotone_across_the_seams_of_the_reduction(function):
    # where k changes, (k + 1/2) ln 2 for exp and sqrt(1/2) 2^k for log, two polynomials meet: neighbours 8 ulp apart keep their order
    k = np.arange(-40, 41)
    seam = (k + 0.5) * np.log(2.0) if function is exp_of else np.sqrt(0.5) * 2.0**k
    steps = np.arange(-10, 11) * 8.0
    x = seam[:, np.newaxis] + steps * np.spacing(np.abs(seam))[:, np.newaxis]
    y = apply(function, x.ravel()).reshape(x.shape)
    assert (np.diff(y, axis=1) >= -2.0 * np.spacing(np.abs(y[:, 1:]))).all()


def test_exp_and_log_undo_each_other():
    x = np.linspace(-700.0, 700.0, N)
    np.testing.assert_allclose(apply(log_of, apply(exp_of, x)), x, rtol=1e-15, atol=5e-16)
