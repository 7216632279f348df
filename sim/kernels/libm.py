"""exp and log of arrays, the same bits on every processor.

NumPy has one for every family of processors, and they differ in the last bit: between AVX-512 and AVX2 so did the tables of 20 of
30 lognormal laws, and with them every draw. SciPy's are the C library's, one number at a time (3 ns instead of .6), as are
its special functions, on which the tables rest anyway.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import special


def exp(x: Any) -> Any:
    """Return e^x of a number or an array, as `np.exp` does."""
    return special.inv_boxcox(x, 0.0)


def log(x: Any) -> Any:
    """Return ln x of a number or an array, as `np.log` does: -inf for 0, NaN below."""
    return special.xlogy(1.0, x)


def rounded(table: np.ndarray) -> np.ndarray:
    """Return `table` on a grid of 2^-40: what a different C library changes in the last bits of an entry is gone."""
    return np.round(table * 2.0**40) * 2.0**-40
