"""exp and log by arithmetic alone, so that no libm changes a bit of a result; and the plainest loop."""

from __future__ import annotations

import numpy as np

from .jit import inlined

_LOG2E = 1.4426950408889634
_LN2_HIGH = 6.93147180369123816490e-01  # ln 2 to 33 bits: k * high is exact for |k| < 2^20
_LN2_LOW = 1.90821492927058770002e-10


@inlined
def exp(x):
    """Return e^x to 2 ulp for -708 <= x <= 709, and the value at the nearer end beyond; NaN stays.

    x = k ln 2 + r with |r| <= (ln 2) / 2;  e^x = 2^k sum_i r^i / i!  (Taylor to r^13: remainder below 2^-56)
    """
    if x != x:
        return x
    x = min(max(x, -708.0), 709.0)
    k = np.floor(x * _LOG2E + 0.5)
    r = (x - k * _LN2_HIGH) - k * _LN2_LOW
    p = 1.0 / 6227020800.0
    p = p * r + 1.0 / 479001600.0
    p = p * r + 1.0 / 39916800.0
    p = p * r + 1.0 / 3628800.0
    p = p * r + 1.0 / 362880.0
    p = p * r + 1.0 / 40320.0
    p = p * r + 1.0 / 5040.0
    p = p * r + 1.0 / 720.0
    p = p * r + 1.0 / 120.0
    p = p * r + 1.0 / 24.0
    p = p * r + 1.0 / 6.0
    p = p * r + 0.5
    p = p * r + 1.0
    p = p * r + 1.0
    return p * np.int64((np.int64(k) + 1023) << 52).view(np.float64)


@inlined
def log(x):
    """Return ln x to 2 ulp for a normal float64 > 0; -745 for 0 and subnormals, which no kernel tells apart; NaN stays.

    x = 2^k m with m in [sqrt(1/2), sqrt 2);  s = (m - 1) / (m + 1);  ln m = 2 atanh s = 2 (s + s^3/3 + ... + s^19/19)
    """
    if not x >= 2.2250738585072014e-308:
        return x if x != x else -745.0
    bits = np.float64(x).view(np.int64)
    k = (bits >> 52) - 1023
    m = np.int64((bits & 0x000FFFFFFFFFFFFF) | 0x3FF0000000000000).view(np.float64)
    if m > 1.4142135623730951:
        m *= 0.5
        k += 1
    s = (m - 1.0) / (m + 1.0)
    z = s * s
    p = 1.0 / 21.0
    p = p * z + 1.0 / 19.0
    p = p * z + 1.0 / 17.0
    p = p * z + 1.0 / 15.0
    p = p * z + 1.0 / 13.0
    p = p * z + 1.0 / 11.0
    p = p * z + 1.0 / 9.0
    p = p * z + 1.0 / 7.0
    p = p * z + 1.0 / 5.0
    p = p * z + 1.0 / 3.0
    return k * _LN2_HIGH + (2.0 * s + (2.0 * s * z * p + k * _LN2_LOW))


@inlined
def copy(values, out):
    """Write values (d or more,) to out (d,).

    Numba's `out[:] = values` compiles the text of an error, two seconds in a process and half a one wherever it stands.
    """
    for i in range(out.size):
        out[i] = values[i]
