"""Quantiles of gamma laws of any shape at normal scores, out of one table."""

from __future__ import annotations

from functools import cache
from math import sqrt

import numpy as np
from scipy import special

from . import libm
from .arithmetic import exp, log
from .cubics import SCORE_LIMIT, cubic_cells, cubics, patch, patches, score_cell, score_grid
from .jit import borrowing, inlined
from .kept import kept
from .scratch import scratch

_EXPONENT = -12  # of the least shape tabulated
_OCTAVES = 42
_SCORES = 137  # an eighth apart
_LOW = 2.0**_EXPONENT
_LOG_LOW = 0.6931471805599453 * _EXPONENT
_HIGH = 2.0 ** (_EXPONENT + _OCTAVES)
_EULER = 0.5772156649015329
_TINY_FROM = 2.75  # normal score; below it Gamma(2^-12) is less than 1e-5


@cache
def gamma_table() -> np.ndarray:
    """Return sqrt(shape) log(G / shape) for G the quantile of Gamma(shape) at score z, (673, 137): 16 shapes an octave, z step 1/8.

    Shapes 2^-12 .. 2^30. Where G underflows its leading term serves: P(G < x) = x^a / Gamma(a + 1) as x -> 0. Built in .25 s, kept.
    """
    return kept("gamma", _gamma_table)


def _gamma_table() -> np.ndarray:
    node = np.arange(16 * _OCTAVES + 1)
    shape = np.ldexp(1.0 + (node % 16) / 16.0, _EXPONENT + node // 16)[:, None]
    z = score_grid(_SCORES)[None, :]
    lead = (special.log_ndtr(z) + special.gammaln(shape + 1.0)) / shape
    quantile = np.where(z < 0, special.gammaincinv(shape, special.ndtr(z)), special.gammainccinv(shape, special.ndtr(-z)))
    with np.errstate(divide="ignore"):
        ratio = np.where(lead < -60.0, lead, libm.log(quantile)) - libm.log(shape)
    # SciPy's inverse leaves its expansion beyond 4.5 sd and is off there by a third of the tail at shapes of 1e6; from 1e4 on the expansion
    # of log G in its cumulants is right to 1e-9.
    sd = np.sqrt(special.polygamma(1, shape))
    g = special.polygamma(2, shape) / (sd * sd**2)
    h = special.polygamma(3, shape) / (sd**2 * sd**2)
    w = z + g * (z**2 - 1.0) / 6.0 + z * (h * (z**2 - 3.0) / 24.0 - g**2 * (2.0 * z**2 - 5.0) / 36.0)
    by_cumulants = special.digamma(shape) - libm.log(shape) + sd * w
    return libm.rounded(np.sqrt(shape) * np.where(shape > 1e4, by_cumulants, ratio))


@borrowing
def _score_of_tail(z, log_factor):
    """Return the normal score whose upper tail is e^log_factor >= 1 times that of z >= 2.75, at least 2.75, and log of the tail of z.

    By Newton's rule on the log of the tail; phi(z) / tail = z + 1/(z + 2/(z + 3/(z + ...))).

    Source: Abramowitz & Stegun 26.2.14.
    """
    log_tail = 0.0
    goal = 0.0
    at = z
    for step in range(12):
        hazard = at
        for k in range(30, 0, -1):
            hazard = at + k / hazard
        here = -0.5 * at * at - 0.9189385332046727 - log(hazard)
        if step == 0:
            log_tail = here
            goal = here + log_factor
        move = (here - goal) / hazard
        at = max(at + move, _TINY_FROM)
        if abs(move) < 1e-11:
            break
    return at, log_tail


@inlined
def _shape_cell(shape):
    """Return (first of the four rows that a cubic at `shape` takes, place beyond the second of them).

    Nodes lie at 2^e (1 + i/16): exponent and leading mantissa bits of the shape are the place, no logarithm. The four nodes of a cubic
    never straddle an octave, where the spacing doubles.
    """
    bits = np.float64(min(max(shape, _LOW), _HIGH * (1.0 - 2.0**-52))).view(np.int64)
    octave = (bits >> 52) - (1023 + _EXPONENT)
    x = np.float64(bits & 0x000FFFFFFFFFFFFF) * 2.0**-48
    i = min(max(np.int64(x), 1), 14)
    return 16 * octave + i - 1, x - i


@inlined
def log_gamma_ratio(table, shape, z):
    """Return log(G / shape), G the quantile of Gamma(shape, 1) at normal score z.

    shape > 0, any; table = gamma_table(). Within 2e-6 in probability for shapes 2^-12 .. 2^30. Below, P(G > x) is proportional
    to the shape where G is not next to nothing, and a log G = log u + log Gamma(a + 1) where it is; above, the log scales as 1 / sqrt(a).

    Source: cubic interpolation of scipy.special.gammaincinv and gammainccinv.
    """
    at = z
    tail = 0.0
    if shape < _LOW and z > _TINY_FROM:
        at, log_tail = _score_of_tail(z, log(_LOW) - log(shape))
        tail = exp(log_tail)
    row, between = _shape_cell(shape)
    j, y = score_cell(at, _SCORES)
    total = patch(table.reshape(-1), row * _SCORES + j - 1, _SCORES, between, y)
    if shape < _LOW:
        small = max(shape, 1e-300)
        log_g = total / sqrt(_LOW) + _LOG_LOW
        if at > _TINY_FROM:
            return log_g - log(small)
        if tail > 0.0:
            return -(tail + 0.5 * tail * tail) / small - _EULER - log(small)
        return (log_g * _LOW + _EULER * (_LOW - small)) / small - log(small)
    return total / sqrt(shape)


@borrowing
def log_gamma_ratios(table, shape, z, out):
    """Write `log_gamma_ratio` of every draw: all arrays (d,), `out` in place."""
    n = out.size
    first = scratch(np.uint64, n)
    between = scratch(np.float64, n)
    tiny = False
    for i in range(n):
        row, between[i] = _shape_cell(shape[i])
        first[i] = np.uint64(row * _SCORES)
    for i in range(n):
        j, out[i] = score_cell(z[i], _SCORES)
        first[i] += np.uint64(j - 1)
    patches(table.reshape(-1), first, _SCORES, between, out)
    for i in range(n):
        out[i] /= np.sqrt(shape[i])
    for i in range(n):
        tiny |= shape[i] < _LOW
    if tiny:
        for i in range(n):
            if shape[i] < _LOW:
                out[i] = log_gamma_ratio(table, shape[i], z[i])


@borrowing
def log_gamma_ratios_of_one_shape(table, shape, z, out):
    """Write `log_gamma_ratio` of one shape for every score, (d,), in place: the cubics of its 137 scores first, then one for each draw."""
    row = scratch(np.float64, _SCORES)
    for j in range(_SCORES):
        row[j] = log_gamma_ratio(table, shape, j / 8.0 - SCORE_LIMIT)
    cells = scratch(np.float64, 4 * _SCORES).reshape((_SCORES, 4))
    cubic_cells(row, cells)
    cell = scratch(np.uint64, out.size)
    for i in range(out.size):
        cell[i], out[i] = score_cell(z[i], _SCORES)
    cubics(cells, cell, out)
