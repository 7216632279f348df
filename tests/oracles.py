"""Slow twins of the kernels, same names and arguments, in SciPy, mpmath and plain loops."""

from __future__ import annotations

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
