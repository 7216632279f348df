"""Mergeable integer summaries of draws, and the sums that go with them; nothing here knows what is being summarised.

A *summary* is a log-linear histogram of v' = v - origin: an exact bin for v' = 0 and 128 bins an octave of |v'|, cut straight from the
float's bits (exponent and seven leading bits of the mantissa). Its counts lie in one segment of a flat array, in ascending order of v:

    NaN | -inf | bins below the origin, if signed | the origin | bins above it | +inf

Where the pilot saw equal numbers twice (atoms, lattices, whole numbers) a bin also names one number, its *atom*, the one most frequent in
the pilot, and keeps how often it came and the least and greatest of all others in the bin. So a bin with one or two distinct numbers is
exact, and so is its atom among continuous draws. Everything is an integer, a minimum or a maximum: merging is exact in any order.

Sums for mean and sd are floats: per lane of draws, and then a fixed binary tree over lane numbers.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from .jit import inlined, kernel

BINS_PER_OCTAVE = 128
PILOT_DRAWS = 4096  # enough: the least of 4,096 lies below the .005 quantile but for 1 pilot in 10^9

CONTINUOUS = 0
ATOMS = 1
WHOLE = 2

_CELL_SHIFT = 45  # 52 mantissa bits less the 7 that number the bins of an octave
_MAGNITUDE = np.int64(0x7FFFFFFFFFFFFFFF)
_INFINITE = np.int64(0x7FF0000000000000)
_LAST_CELL = (0x7FF << 7) - 1
_MAX_CELLS = 1024 * BINS_PER_OCTAVE
_LEAST = np.int64(-0x8000000000000000)
_FIRST_BIN = 2  # in a segment, after NaN and -inf


class Layout(NamedTuple):
    """Where each summary's bins lie. S = summaries, E = bins of the summaries that keep atoms.

    origin    (S,)  float64
    centre    (S,)  float64, what lane_sums subtracts: the pilot's median, so that sums lose no digits
    lowest    (S,)  int64, number of the lowest cell above the origin: exponent and seven bits of |v'| as one integer
    bins      (S,)  int64, bins on one side of the origin
    zero      (S,)  int64, place of the origin's bin within the segment: _FIRST_BIN, or bins + _FIRST_BIN if signed
    offset    (S + 1,)  int64, start of the segment in the flat counts; the last entry is their length
    detail    (S + 1,)  int64, start of the segment in `atom` and the like; empty for continuous summaries
    mode      (S,)  int64, CONTINUOUS, ATOMS or WHOLE
    atom      (E,)  float64, the number each bin counts apart; NaN for none
    """

    origin: np.ndarray
    centre: np.ndarray
    lowest: np.ndarray
    bins: np.ndarray
    zero: np.ndarray
    offset: np.ndarray
    detail: np.ndarray
    mode: np.ndarray
    atom: np.ndarray


class State(NamedTuple):
    """What was counted. S = summaries, B = all bins, E = bins of the summaries that keep atoms.

    counts       (B,)    uint32 in a task (at most 2^32 draws), int64 in a pool of tasks
    atom_counts  (E,)    draws equal to the bin's atom, same type
    bin_low      (E,)    float64, least of the others in the bin; +inf for none
    bin_high     (E,)    float64, greatest of them; -inf for none
    extremes     (S, 2)  float64, least and greatest finite draw; +inf, -inf for none
    """

    counts: np.ndarray
    atom_counts: np.ndarray
    bin_low: np.ndarray
    bin_high: np.ndarray
    extremes: np.ndarray


def plan_layout(pilot: np.ndarray, origin_zero: bool = False) -> Layout:
    """Choose bins from the first draws, `pilot` (S, n) float64, which may hold NaN, infinities and constants.

    *Origin*: 0, or the median where all but the outer 1 % of the pilot lies within half the median's size (100000.001 +- 0.05);
    always 0 with `origin_zero`. Zero keeps its digits either way: where the origin is not 0, zero is far from every draw.
    *Signed*: if the origin is not 0 or any draw is negative; an unsigned summary counts what is below its origin in the origin's bin,
    which is less than one draw in the pilot's number.
    *Window*: from an octave below the .001 quantile of |v'|, in a signed summary not above 2^-14 of the median of |v'|, to four octaves above the greatest;
    at most 1,024 octaves. What falls outside is counted in the edge bin, whose outer edge is the origin or the extreme.
    *Mode*: WHOLE if the pilot holds at least two numbers, all of them whole; ATOMS if any number but the origin came twice.
    """
    n_summaries = pilot.shape[0]
    origin = np.zeros(n_summaries)
    centre = np.zeros(n_summaries)
    lowest = np.zeros(n_summaries, np.int64)
    bins = np.zeros(n_summaries, np.int64)
    zero = np.zeros(n_summaries, np.int64)
    mode = np.zeros(n_summaries, np.int64)
    sizes = np.zeros(n_summaries, np.int64)
    ties: list[tuple[np.ndarray, np.ndarray]] = []
    ordered = np.sort(np.where(np.isfinite(pilot), pilot, np.inf) + 0.0, axis=1)
    n_finite = np.searchsorted
    for j in range(n_summaries):
        draws = ordered[j, : np.count_nonzero(np.isfinite(ordered[j]))]
        n = draws.size
        median = draws[n // 2] if n else 0.0
        centre[j] = median
        if n and not origin_zero and abs(draws[n - 1 - n // 200] / 2 - draws[n // 200] / 2) < abs(median) / 4:
            origin[j] = median
        shifted = draws - origin[j]
        size = np.sort(np.abs(shifted[shifted != 0.0]))
        signed = origin[j] != 0.0 or (n > 0 and draws[0] < 0.0)
        if size.size:
            least = size[size.size // 1000] / 2
            if signed:
                least = min(least, size[size.size // 2] * 2.0**-14)
            top = min(_cell(size[-1]) + 5 * BINS_PER_OCTAVE, _LAST_CELL + 1) // BINS_PER_OCTAVE * BINS_PER_OCTAVE
            bottom = max(_cell(least) // BINS_PER_OCTAVE * BINS_PER_OCTAVE, top - _MAX_CELLS)
            lowest[j], bins[j] = bottom, top - bottom
        else:
            lowest[j], bins[j] = _cell(1.0), BINS_PER_OCTAVE
        zero[j] = _FIRST_BIN + (bins[j] if signed else 0)
        sizes[j] = zero[j] + bins[j] + 2
        again = np.flatnonzero(draws[1:] == draws[:-1])
        if n and draws[0] != draws[-1] and np.array_equal(draws, np.floor(draws)):
            mode[j] = WHOLE
        elif np.any(draws[again] != origin[j]):
            mode[j] = ATOMS
        if mode[j] != CONTINUOUS:
            ties.append(np.unique(draws, return_counts=True))
    offset = np.concatenate(([0], np.cumsum(sizes)))
    detail = np.concatenate(([0], np.cumsum(np.where(mode == CONTINUOUS, 0, sizes))))
    layout = Layout(origin, centre, lowest, bins, zero, offset, detail, mode, np.full(detail[-1], np.nan))
    for j, (numbers, times) in zip(np.flatnonzero(mode), ties, strict=True):
        place = np.empty(numbers.size, np.int64)
        locate(layout, j, numbers, place)
        order = np.argsort(times, kind="stable")  # the last one written is the most frequent
        keep = order[times[order] > 1]
        layout.atom[detail[j] + place[keep]] = numbers[keep]
    return layout


def _cell(size: float) -> int:
    return int(np.float64(size).view(np.int64)) >> _CELL_SHIFT


def new_state(layout: Layout, pooled: bool = False) -> State:
    """Return an empty state: uint32 counts for one task, int64 for a pool of tasks."""
    whole = np.int64 if pooled else np.uint32
    extremes = np.empty((layout.origin.size, 2))
    extremes[:] = np.inf, -np.inf
    return State(
        np.zeros(layout.offset[-1], whole),
        np.zeros(layout.detail[-1], whole),
        np.full(layout.detail[-1], np.inf),
        np.full(layout.detail[-1], -np.inf),
        extremes,
    )


@inlined
def _place(v, origin, lowest, bins, zero):
    """Return the place of one number within its summary's segment; by selection only, so that a loop over it vectorises."""
    shifted = np.float64(v - origin).view(np.int64)
    size = shifted & _MAGNITUDE
    step = min(max((size >> _CELL_SHIFT) - lowest, 0), bins - 1) + 1
    step = 0 if size == 0 else step
    place = max(zero - step if shifted < 0 else zero + step, _FIRST_BIN)
    bits = np.float64(v).view(np.int64)
    size = bits & _MAGNITUDE
    beyond = 0 if size > _INFINITE else (1 if bits < 0 else zero + bins + 1)
    return place if size < _INFINITE else beyond


@kernel
def locate(layout, j, draws, out):
    """Write the place within the segment of summary j of each of `draws` (d,) to out (d,) int64."""
    for i in range(draws.size):
        out[i] = _place(draws[i] + 0.0, layout.origin[j], layout.lowest[j], layout.bins[j], layout.zero[j])


@inlined
def update(layout, state, j, draws):
    """Count `draws` (d,) float64 in summary j; NaN and infinities are counted apart.

    One summary takes a whole lane at a time, so that its bins stay in the first-level cache: .8 ns a draw for continuous summaries, 2 ns with atoms.
    """
    n = draws.size
    origin = layout.origin[j]
    lowest = layout.lowest[j]
    bins = layout.bins[j]
    zero = layout.zero[j]
    start = np.uint64(layout.offset[j])
    place = np.empty(n, np.uint64)
    for i in range(n):
        place[i] = np.uint64(_place(draws[i] + 0.0, origin, lowest, bins, zero))  # -0.0 becomes 0.0: one number, one set of bits
    least = _MAGNITUDE
    greatest = _LEAST
    for i in range(n):  # on its own: together with the loop above it is not vectorised, 4 ns a draw
        bits = np.float64(draws[i] + 0.0).view(np.int64)
        finite = (bits & _MAGNITUDE) < _INFINITE
        key = bits ^ ((bits >> 63) & _MAGNITUDE)  # orders floats as integers, whose min and max vectorise
        least = min(least, key if finite else _MAGNITUDE)
        greatest = max(greatest, key if finite else _LEAST)
    counts = state.counts
    for i in range(n):
        counts[start + place[i]] += 1
    if least <= greatest:
        extremes = state.extremes
        extremes[j, 0] = min(extremes[j, 0], np.int64(least ^ ((least >> 63) & _MAGNITUDE)).view(np.float64))
        extremes[j, 1] = max(extremes[j, 1], np.int64(greatest ^ ((greatest >> 63) & _MAGNITUDE)).view(np.float64))
    if layout.mode[j] != CONTINUOUS:
        start = np.uint64(layout.detail[j])
        atom = layout.atom
        atom_counts = state.atom_counts
        low = state.bin_low
        high = state.bin_high
        for i in range(n):
            v = draws[i] + 0.0
            k = start + place[i]
            if v == atom[k]:
                atom_counts[k] += 1
            else:
                if v < low[k]:
                    low[k] = v
                if v > high[k]:
                    high[k] = v
