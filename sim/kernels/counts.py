"""How many loads were missed: Poisson, negative binomial and geometric counts from normal scores or folded uniforms."""

from __future__ import annotations

import numpy as np

from .arithmetic import exp, log
from .gammas import log_gamma_ratio, log_gamma_ratios, log_gamma_ratios_of_one_shape
from .jit import borrowing, inlined
from .quantiles import normal_tail
from .scratch import scratch

_POISSON_SEARCH = 16.0


@inlined
def _poisson_by_expansion(mean, z):
    """Return Giles' expansion, for a mean of 16 or more."""
    root = np.sqrt(mean)
    x = mean + root * z + (1.0 / 3.0 + z * z / 6.0) - z * (1.0 / 36.0 + z * z / 72.0) / root
    x += (-8.0 / 405.0 + z * z * (7.0 / 810.0 + z * z / 270.0)) / mean
    return np.floor(max(x, 0.0))


@inlined
def poisson(mean, t, z):
    """Return the Poisson quantile at folded uniform t, whose normal score is z.

    Below a mean of 16 an exact search from 0; above it Giles' expansion of the continuous quantile, floor of
    m + sqrt(m) z + (1/3 + z^2/6) + m^-1/2 (-z/36 - z^3/72) + m^-1 (-8/405 + 7 z^2/810 + z^4/270): within 1.3e-5 in probability
    at 16, 2e-6 from 31 on.
    mean >= 0; NaN gives NaN.

    Source: Giles 2016, ACM TOMS 42(1), Algorithm 955, equation 6.
    """
    if mean < _POISSON_SEARCH:
        u = t if t > 0.0 else 1.0 + t
        p = exp(-mean)
        total = p
        k = 0.0
        while total < u and p > 1e-17:
            k += 1.0
            p *= mean / k
            total += p
        return k
    return _poisson_by_expansion(mean, z)


@inlined
def missed_loads(table, shape, detection_rate, z_gamma, t_poisson, z_poisson):
    """Draw the number of loads that were missed, given those that were detected.

    G ~ Gamma(n + a),  K ~ Poisson(G (1 - d) / d)          so K | n, d ~ NegBin(n + a, d)

    shape           n + a >= 0; 0 gives K = 0
    detection_rate  d in (0, 1]

    Source: method.md section 2; the tests compare with the negative binomial of scipy.
    """
    if shape <= 0.0 or detection_rate >= 1.0:
        return 0.0
    g = shape * exp(log_gamma_ratio(table, shape, z_gamma))
    return poisson(g * (1.0 - detection_rate) / detection_rate, t_poisson, z_poisson)


@borrowing
def draw_missed_loads(table, tail, shape, known, detection_rate, z_gamma, z_poisson, out):
    """Write `missed_loads` of every draw: arrays (d,), `out` in place; `known`: `shape` is the same in every draw; `tail`: normal tails."""
    n = out.size
    mean = scratch(np.float64, n)
    if known and shape[0] <= 0.0:
        out[:] = 0.0
        return
    if known:
        log_gamma_ratios_of_one_shape(table, shape[0], z_gamma, mean)
    else:
        log_gamma_ratios(table, shape, z_gamma, mean)
    for i in range(n):
        mean[i] = shape[i] * exp(mean[i]) * (1.0 - detection_rate[i]) / detection_rate[i]
    for i in range(n):
        out[i] = _poisson_by_expansion(mean[i], z_poisson[i])
    for i in range(n):
        if mean[i] < _POISSON_SEARCH:
            out[i] = poisson(mean[i], normal_tail(tail, z_poisson[i]), z_poisson[i])
    for i in range(n):
        out[i] = out[i] if shape[i] > 0.0 else 0.0


@inlined
def geometric_failures(detection_rate, t):
    """Return the number of failures before the first success at folded uniform t: 0, 1, 2, ... with mean (1 - d) / d.

    P(K >= k) = (1 - d)^k, so K = floor(log(1 - u) / log(1 - d)).
    """
    if detection_rate >= 1.0:
        return 0.0
    upper = -t if t < 0.0 else 1.0 - t
    rest = 1.0 - detection_rate
    # log1p(-d): the quotient undoes the rounding of 1 - d
    log_rest = -detection_rate if rest == 1.0 else log(rest) * (detection_rate / (1.0 - rest))
    return np.floor(log(upper) / log_rest)
