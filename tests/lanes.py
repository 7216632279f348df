"""Kernels take one lane of draws; tests look at many."""

from __future__ import annotations

import numpy as np
from scipy import special

from sim.kernels import streams
from sim.kernels.scratch import LANE


def in_lanes(kernel, *arguments):
    """Call `kernel` lane by lane: of every array (d,) as long as the last argument, which is written, it gets its part."""
    n = arguments[-1].size
    for start in range(0, n, LANE):
        kernel(*(a[start : start + LANE] if isinstance(a, np.ndarray) and a.shape == (n,) else a for a in arguments))


def philox_draws(seed, stream, first, n):
    """Return the folded uniforms of draws first .. first + n - 1 of one stream."""
    out = np.empty(n)
    for start in range(0, n, LANE):
        streams.fill_philox(np.uint64(seed), np.uint64(stream), first + start, out[start : start + LANE])
    return out


def apply(kernel, *arguments, size):
    """Return what `kernel` writes to its last argument, (size,), lane by lane."""
    out = np.empty(size)
    in_lanes(kernel, *arguments, out)
    return out


def fold(u):
    """Return the folded uniforms of uniforms: u below 1/2, u - 1 above."""
    return np.where(u < 0.5, u, u - 1.0)


def score(t):
    """Return the normal scores of folded uniforms."""
    return np.where(t > 0.0, special.ndtri(np.abs(t)), -special.ndtri(np.abs(t)))


def folded_draws(rng, n):
    """Return n folded uniforms of NumPy's `rng`."""
    return fold(rng.random(n) * (1.0 - 2.0**-40) + 2.0**-41)
