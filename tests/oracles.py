"""Slow twins of the kernels, same names and arguments, in SciPy, mpmath and plain loops."""

from __future__ import annotations

from fractions import Fraction

import mpmath
import numpy as np

# streams


def philox(c0, c1, c2, c3, k0, k1):
    """Philox4x32-10 on whole numbers of any size, written with divmod instead of shifts."""
    word = 2**32
    for _ in range(10):
        high0, low0 = divmod(0xD2511F53 * c0, word)
        high1, low1 = divmod(0xCD9E8D57 * c2, word)
        c0, c1, c2, c3 = high1 ^ c1 ^ k0, low1, high0 ^ c3 ^ k1, low0
        k0, k1 = (k0 + 0x9E3779B9) % word, (k1 + 0xBB67AE85) % word
    return c0, c1, c2, c3


def philox_word(seed, stream, index):
    """Return the 64-bit word of one draw index."""
    word = 2**32
    block = index // 2
    four = philox(block % word, block // word, stream % word, stream // word, seed % word, seed // word)
    low, high = four[2:] if index % 2 else four[:2]
    return high * word + low


def philox_integer(seed, stream, index):
    """Return the 53-bit integer of one draw index."""
    return philox_word(seed, stream, index) // 2**11


def scramble_columns(seed, replicate, dimension):
    """Return the columns of the lower-triangular matrix of one Sobol' dimension as 53-bit integers, the first row on top."""
    columns = []
    for i in range(53):
        word = philox_word(seed, 0, 2**63 + (replicate * 2**16 + dimension) * 64 + i) // 2**11
        leading = 2 ** (52 - i)
        columns.append(leading + word % leading)
    return columns


def sobol_integers(directions, shift, first, n):
    """Return points first .. first + n - 1 of one Sobol' dimension as 53-bit integers, each from its own Gray code."""
    points = []
    for index in range(first, first + n):
        point = int(shift)
        for j, bit in enumerate(reversed(f"{index ^ (index // 2):b}")):
            point ^= int(directions[j]) if bit == "1" else 0
        points.append(point)
    return np.array(points, np.uint64)


# summaries


def summary_quantiles(draws, probabilities):
    """Return the inverse CDF of the draws that are not NaN, and the same with half a draw's interpolation (Hazen) for continuous laws."""
    known = draws[~np.isnan(draws)]
    with np.errstate(invalid="ignore"):
        return np.quantile(known, probabilities, method="inverted_cdf"), np.quantile(known, probabilities, method="hazen")


# quantiles


def evaluate(coefficients, child, support_low, support_high, first_cell, t):
    """Look a folded uniform up in a table with exact fractions and cell bounds found by counting, not cut from the bits of a float."""
    tail = max(Fraction(abs(float(t))), Fraction(1, 2**54))
    octave = 0
    while tail >= Fraction(2, 2**54) * 2**octave and octave < 52:
        octave += 1
    s = min((tail * 2**54 / 2**octave - 1) * 16, Fraction(16) - Fraction(1, 2**48))
    cell = first_cell + (53 * 16 if t < 0 else 0) + octave * 16 + int(s)
    s -= int(s)
    while child[cell] >= 0:
        cell, s = first_cell + child[cell] + int(s * 16), s * 16 - int(s * 16)
    x = sum(Fraction(float(c)) * s**power for power, c in enumerate(coefficients[cell]))
    return min(max(float(x), support_low), support_high)


def normal_score(t):
    """Return the normal score of a folded uniform to 30 digits."""
    with mpmath.workdps(40):
        z = mpmath.sqrt(2) * mpmath.erfinv(1 - 2 * mpmath.mpf(abs(t))) if abs(t) > 1e-3 else _deep_score(abs(t))
        return float(-z if t > 0 else z)


def _deep_score(tail):
    guess = mpmath.sqrt(-2 * mpmath.log(tail)) - 1
    return mpmath.findroot(lambda z: mpmath.log(mpmath.erfc(z / mpmath.sqrt(2)) / 2) - mpmath.log(tail), guess)


def t_tail(df, x):
    """Return P(T > |x|) of Student t; df None is the normal."""
    with mpmath.workdps(80):
        x = abs(mpmath.mpf(float(x)))
        if df is None:
            return float(mpmath.erfc(x / mpmath.sqrt(2)) / 2)
        half = mpmath.mpf(df) / 2
        return float(mpmath.betainc(half, mpmath.mpf(1) / 2, 0, df / (df + x * x), regularized=True) / 2)


def truncated_normal_quantile(mean, sd, lower, upper, t):
    """Return the quantile of a folded uniform of a normal law cut to lower..upper, by bisection in 60 digits."""
    with mpmath.workdps(60):

        def below(x):
            return mpmath.ncdf((mpmath.mpf(x) - mean) / sd) if mpmath.isfinite(x) else mpmath.mpf(x > 0)

        bottom, top = below(lower), below(upper)
        wanted = bottom + (top - bottom) * (mpmath.mpf(t) if t > 0 else 1 + mpmath.mpf(t))
        low, high = (
            mpmath.mpf(max(lower, mean - 40 * sd) if mpmath.isfinite(lower) else mean - 40 * sd),
            mpmath.mpf(min(upper, mean + 40 * sd) if mpmath.isfinite(upper) else mean + 40 * sd),
        )
        for _ in range(150):
            middle = (low + high) / 2
            low, high = (middle, high) if below(middle) < wanted else (low, middle)
        return float(high)
