"""Draws sorted into bins of one input at a time: how many fell there, and the sum of every target.

Letters: t = targets, b = bins, d = draws.
"""

from __future__ import annotations

from .jit import kernel


@kernel
def place_in_bins(edges, draws, place):
    """Write the bin of every draw of one input: how many of the edges are <= it.

    edges (b - 1,)   increasing, equal ones too (an atom); their number a power of two minus 1, so that each step of the search halves it
    draws (d,)       place (d,) uint16, written

    Source: numpy.searchsorted(edges, draws, side="right"), which the tests use as oracle.
    """
    place[:] = 0
    step = (edges.size + 1) // 2
    while step > 0:
        for i in range(draws.size):
            if edges[place[i] + step - 1] <= draws[i]:
                place[i] += step
        step //= 2


@kernel
def add_to_bins(place, targets, counts, sums):
    """Add draws to the bins of one input.

    place (d,)       bin of every draw
    targets (t, d)   NaN where undefined: left out
    counts (t, b)    draws with a defined target, added to
    sums (t, b)      sums of the target, added to, draw after draw
    """
    for t in range(targets.shape[0]):
        for i in range(place.size):
            value = targets[t, i]
            if value == value:
                counts[t, place[i]] += 1
                sums[t, place[i]] += value
