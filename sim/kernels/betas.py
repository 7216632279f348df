"""Quantiles of Beta laws of any shapes, each from one uniform (docs/notes/016-betas.md)."""

from __future__ import annotations

from math import sqrt

import numpy as np

from .arithmetic import exp, log
from .gammas import log_gamma_ratio, log_gamma_ratios
from .jit import borrowing, inlined
from .quantiles import normal_tails
from .scratch import scratch, scratches

_BY_CUMULANTS = 8.0  # from this lesser shape on
_BY_GAMMA = 1.41  # from this greater shape on, where the lesser one is small; else by its power laws (no share of whole loads has it)


@inlined
def _beta_by_cumulants(a, b, z):
    """Return the Beta(a, b) quantile at normal score z for a, b >= 8, by Cornish and Fisher's expansion of its log odds.

    The log odds are log G_a - log G_b; their cumulants are differences (odd) and sums (even) of polygamma functions, here by their series:
    w = z + g (z^2 - 1) / 6 + h (z^3 - 3 z) / 24 - g^2 (2 z^3 - 5 z) / 36, g the skewness and h the excess of the log odds.
    Within 6e-4 in probability, the most at (8, 100).
    """
    q = 1.0 / (a * b)  # p, q, d: sum, product and difference of 1 / a and 1 / b; polygamma functions are polynomials in them
    p = (a + b) * q
    d = (a - b) * q
    squares = p * p - 2.0 * q
    cubes = p * (squares - q)
    shift = d * (0.5 + p * (1.0 / 12.0))
    variance = p + 0.5 * squares + cubes * (1.0 / 6.0)
    third = d * (p + squares + q + 0.5 * p * squares)
    fourth = 2.0 * cubes + 3.0 * (squares * squares - 2.0 * q * q) + 2.0 * (cubes * squares - p * q * q)
    sd = sqrt(variance)
    precision = 1.0 / variance
    g = third * precision * (precision * sd)
    h = fourth * precision * precision
    square = z * z
    w = z + g * (square - 1.0) * (1.0 / 6.0) + z * (h * (square - 3.0) * (1.0 / 24.0) - g * g * (2.0 * square - 5.0) * (1.0 / 36.0))
    return a / (a + b * exp(-(shift + sd * w)))


@inlined
def _beta_by_gamma(a, b, g):
    """Return y = -log(1 - X) for X the quantile of Beta(a, b), a <= b, 1.41 <= b, where Gamma(a) has the quantile g.

    The density of y is exp(-N y) (2 sinh(y / 2))^(a - 1) with N = b + (a - 1) / 2, that of g / N times a series in y^2, of which the first
    two terms move the quantile by A = e (a - 1) s / 24 and P = A e q / s. As A / (1 - P / A) they hold into the tails. Within 4e-4 in
    probability, the most at b = 1.41, where mean and sd are .2 % too great; 4e-5 from b = 2 on.

    Source: Wise 1950, Biometrika 37:208, for A; P by the same means, docs/notes/016-betas.md.
    """
    inverse = 1.0 / (b + 0.5 * (a - 1.0))
    e = inverse * inverse
    s = a + 1.0 + g
    square = a * a
    q = (a + 1.0) * (23.0 * square - 47.0) * (1.0 / 240.0)
    q += g * ((11.0 * square - 19.0) * (1.0 / 80.0) + g * ((9.0 * a - 13.0) * (1.0 / 120.0) - g * (1.0 / 120.0)))
    return g * inverse * (1.0 + e * (a - 1.0) * (1.0 / 24.0) * s * s / (s - e * q))


@inlined
def _beta_of_tail(y, upper):
    """Return X = 1 - exp(-y), y >= 0, or where `upper` 1 - X; both keep their digits."""
    rest = exp(-y)
    x = y * (1.0 - y * (0.5 - y * (1.0 / 6.0))) if y < 1e-3 else 1.0 - rest
    return rest if upper else x


@inlined
def _beta_by_powers(mean, concentration, t):
    """Return the quantile of Beta(mean c, (1 - mean) c), both shapes below 1.41, at folded uniform t.

    P(X < x) = (1 - mean) x^a (1 + a (1 - b) x / (a + 1) + ...) / R,  R = Gamma(1 + a) Gamma(1 + b) / Gamma(1 + a + b)

    on the side where the uniform is below 1 - mean, mirrored on the other: x is taken from its leading power xi and a series of xi / x to
    the third order, which ends there where b = 1 and where a, b -> 0. R is fitted. Within 4e-4 in probability; without concentration 1
    with probability `mean` and else 0.

    Source: docs/notes/016-betas.md.
    """
    below = t if t > 0.0 else 1.0 + t
    above = -t if t < 0.0 else 1.0 - t
    lower = below < 1.0 - mean
    a = max(mean * concentration, 1e-300)
    b = max(concentration - mean * concentration, 1e-300)
    total, product = a + b, a * b
    fit = 0.6113 + total * (0.4238 - 0.0347 * total) + product * (0.6633 - 0.0166 * total + 0.0501 * product)
    r = 1.0 - product / fit
    own, other = (a, b) if lower else (b, a)
    part = below / (1.0 - mean) if lower else above / mean
    power = log(part * r) / own
    xi = exp(power) if power > -700.0 else 0.0
    first = (1.0 - other) / (1.0 + own)
    second = first * total / (2.0 * (2.0 + own))
    onward = 2.0 * (2.0 + own) * (own + 2.0 * other - 1.0) / (3.0 * (1.0 + own) * (3.0 + own))
    x = xi / (1.0 + xi * (first + xi * second / (1.0 - onward * xi)))
    return x if lower else 1.0 - x


@inlined
def beta(table, mean, concentration, t, z):
    """Return the quantile of Beta(mean * c, (1 - mean) * c), c = concentration, at folded uniform t, whose normal score is z.

    mean            in [0, 1]; 0 and 1 return themselves
    concentration   >= 0; at 0 the limit, 1 with probability `mean` and else 0

    By cumulants where both shapes reach 8, by one gamma quantile where one of them reaches 1.41, by the powers of a U-shaped law else:
    within 6e-4 in probability.
    """
    if mean <= 0.0:
        return 0.0
    if mean >= 1.0:
        return 1.0
    a = mean * concentration
    b = concentration - a
    if min(a, b) >= _BY_CUMULANTS:
        return _beta_by_cumulants(a, b, z)
    if max(a, b) >= _BY_GAMMA:
        upper = mean > 0.5
        shape = min(a, b)
        g = shape * exp(log_gamma_ratio(table, shape, -z if upper else z))
        return _beta_of_tail(_beta_by_gamma(shape, max(a, b), g), upper)
    return _beta_by_powers(mean, concentration, t)


@borrowing
def _sort_betas(mean, concentration, way, by_gamma, by_powers):
    """Write to by_gamma and by_powers (d,) int64 the draws whose `beta` is taken that way, and return how many there are of each.

    way (d,) uint8 scratch: comparing apart from sorting vectorises, 1.1 ns a draw instead of 1.5
    """
    for i in range(mean.size):
        a = mean[i] * concentration[i]
        b = concentration[i] - a
        small = not min(a, b) >= _BY_CUMULANTS
        way[i] = np.uint8(small) + np.uint8(small & (not max(a, b) >= _BY_GAMMA))
    m = 0
    k = 0
    for i in range(mean.size):
        by_gamma[m] = i
        by_powers[k] = i
        m += way[i] == 1
        k += way[i] == 2
    return m, k


@borrowing
def _draw_betas_by_gamma(table, mean, concentration, z, which, out):
    """Write `beta` of the draws `which` (m,), by a gamma quantile, and leave the others."""
    m = which.size
    share, shape, other, score, g = scratches(5, m)
    for k in range(m):
        share[k] = mean[which[k]]
        other[k] = concentration[which[k]]
        score[k] = z[which[k]]
    for k in range(m):
        a = share[k] * other[k]
        b = other[k] - a
        shape[k] = min(a, b)
        other[k] = max(a, b)
        score[k] = -score[k] if share[k] > 0.5 else score[k]
    log_gamma_ratios(table, shape, score, g)
    for k in range(m):
        g[k] = _beta_by_gamma(shape[k], other[k], shape[k] * exp(g[k]))
    for k in range(m):
        g[k] = _beta_of_tail(g[k], share[k] > 0.5)
    for k in range(m):
        out[which[k]] = g[k]


@borrowing
def _draw_betas_by_powers(tail, mean, concentration, z, which, out):
    """Write `beta` of the draws `which` (m,), by powers, and leave the others; tail = normal_tail_table()."""
    m = which.size
    share, c, score, t = scratches(4, m)
    for k in range(m):
        share[k] = mean[which[k]]
        c[k] = concentration[which[k]]
        score[k] = z[which[k]]
    normal_tails(tail, score, t)
    for k in range(m):
        t[k] = _beta_by_powers(share[k], c[k], t[k])
    for k in range(m):
        out[which[k]] = t[k]


@borrowing
def draw_betas(table, tail, mean, concentration, z, out):
    """Write `beta` of every draw: mean, concentration, z (d,), `out` (d,) in place; tail = normal_tail_table()."""
    n = out.size
    by_gamma, by_powers = scratch(np.int64, n), scratch(np.int64, n)
    m, k = _sort_betas(mean, concentration, scratch(np.uint8, n), by_gamma, by_powers)
    if m + k < n:
        for i in range(n):
            a = mean[i] * concentration[i]
            out[i] = _beta_by_cumulants(a, concentration[i] - a, z[i])
    if m > 0:
        _draw_betas_by_gamma(table, mean, concentration, z, by_gamma[:m], out)
    if k > 0:
        _draw_betas_by_powers(tail, mean, concentration, z, by_powers[:k], out)
