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

from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np

from . import arithmetic
from .jit import borrowing, inlined, kernel
from .scratch import scratch, scratches

BINS_PER_OCTAVE = 128
PILOT_DRAWS = 4096  # enough: the least of 4,096 lies below the .005 quantile but for 1 pilot in 10^9

CONTINUOUS = 0
ATOMS = 1
WHOLE = 2

_CELL_SHIFT = 45  # 52 mantissa bits less the 7 that number the bins of an octave
_MAGNITUDE = np.int64(0x7FFFFFFFFFFFFFFF)
_INFINITE = np.int64(0x7FF0000000000000)
_LAST_CELL = (0x7FF << 7) - 1
_MAX_OCTAVES = 1024
_OCTAVES_FROM_ZERO = 64
_OCTAVES_FROM_MEDIAN = 40
_MOST_BINS = 500 * BINS_PER_OCTAVE  # with `origin_zero`: a place has 16 bits where it waits to be counted
_LEAST = np.int64(-0x8000000000000000)
ACCUMULATORS = 64
_FIRST_BIN = 2  # in a segment, after NaN and -inf
_AT_A_TIME = 64  # summaries planned together: 2 MB of pilot draws


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

    counts       (B,)    uint32 for less than 2^32 draws, else int64
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


class Waiting(NamedTuple):
    """Lanes whose places are known and that wait to be counted, one summary after another. w = lanes, a = summaries that keep atoms.

    place  (w, S, d)  uint16, place in the segment: enough for the 500 octaves of `origin_zero`
    row    (S,)       int64, row of `draws` of the summaries that keep atoms, -1 for the others
    draws  (w, a, d)  float64
    """

    place: np.ndarray
    row: np.ndarray
    draws: np.ndarray


def plan_layout(pilot: np.ndarray, origin_zero: bool = False) -> Layout:
    """Choose bins from the first draws, `pilot` (S, n) float64, which may hold NaN, infinities and constants.

    *Origin*: 0, or the median of the draws that are not 0 where all but their outer 1 % lie within half its size (100000.001 +- 0.05);
    always 0 with `origin_zero`. Zero stays exact either way: it is the origin, or alone and far from the rest.
    *Signed*: if the origin is not 0 or any draw is negative; an unsigned summary counts what is below its origin in the origin's bin,
    which is less than one draw in the pilot's number.
    *Window*: from an octave below the .001 quantile of |v'|, in a signed summary not above 2^-14 of the median of |v'|, to four octaves
    above the greatest; at most 1,024 octaves. With `origin_zero` 64, because what a U-shaped share leaves of a load would take four
    times the bins; or to below the .016 quantile, but not 40 octaves below the median, where heavy tails put these farther from the
    greatest (20 powers of ten between printed quantiles), 500 at most. What falls outside is counted in the edge bin, whose outer edge is
    the origin or the extreme.
    *Mode*: WHOLE if the pilot holds at least two numbers, all of them whole and below 2^53; ATOMS if any number but the origin came twice.
    """
    # Few summaries at a time and two threads: fresh pages of memory cost more than the sorting of what is in them.
    chunks = [pilot[first : first + _AT_A_TIME] for first in range(0, max(len(pilot), 1), _AT_A_TIME)]
    if len(chunks) == 1:  # a small case, of which a sweep has thousands: starting a thread takes longer than the work
        found = [_plan_some(chunks[0], origin_zero)]
    else:
        with ThreadPoolExecutor() as pool:
            found = list(pool.map(lambda chunk: _plan_some(chunk, origin_zero), chunks))
    origin, centre, lowest, bins, signed, mode = (np.concatenate(parts) for parts in zip(*(columns for columns, _ in found), strict=True))
    zero = _FIRST_BIN + np.where(signed, bins, 0)
    segment = zero + bins + 2
    offset = np.concatenate(([0], np.cumsum(segment)))
    detail = np.concatenate(([0], np.cumsum(np.where(mode == CONTINUOUS, 0, segment))))
    layout = Layout(origin, centre, lowest, bins, zero, offset, detail, mode, np.full(detail[-1], np.nan))
    ties = [again for _, ties in found for again in ties]
    for j, (numbers, times) in zip(np.flatnonzero(mode), ties, strict=True):
        place = np.empty(numbers.size, np.int64)
        locate(layout, j, numbers, place)
        order = np.argsort(times, kind="stable")  # the last one written is the most frequent
        keep = order[times[order] > 1]
        layout.atom[detail[j] + place[keep]] = numbers[keep]
    return layout


def _plan_some(pilot: np.ndarray, origin_zero: bool) -> tuple[tuple[np.ndarray, ...], list[tuple[np.ndarray, np.ndarray]]]:
    """Return (origin, centre, lowest, bins, signed, mode), each (S,), and (numbers, times) of each summary that is not CONTINUOUS."""
    n_summaries = len(pilot)
    ordered = np.where(np.isfinite(pilot), pilot, np.inf)
    ordered += 0.0  # -0.0 becomes 0.0
    ordered.sort(axis=1)
    n = np.count_nonzero(ordered < np.inf, axis=1)
    n_negative = np.count_nonzero(ordered < 0.0, axis=1)
    n_zero = np.count_nonzero(ordered == 0.0, axis=1)
    m = n - n_zero

    def pick(rising: np.ndarray, index: np.ndarray) -> np.ndarray:
        """Return element `index` (s,) of each row of `rising` (s, n); what lies beyond the ends is never used."""
        return rising[np.arange(len(rising)), np.clip(index, 0, rising.shape[1] - 1)]

    def nonzero(index: np.ndarray) -> np.ndarray:
        return pick(ordered, np.where(index < n_negative, index, index + n_zero))

    least, greatest = pick(ordered, 0 * n), pick(ordered, n - 1)
    centre = np.where(n > 0, pick(ordered, n // 2), 0.0)
    origin = np.zeros(n_summaries)
    if not origin_zero:
        with np.errstate(invalid="ignore"):  # inf - inf where there is no draw
            narrow = nonzero(m - 1 - m // 200) / 2 - nonzero(m // 200) / 2 < np.abs(nonzero(m // 2)) / 4
        origin = np.where((m > 0) & narrow, nonzero(m // 2), 0.0)
    signed = (origin != 0.0) | (n_negative > 0)

    # The sizes |v'| in ascending order: the draws after the zeros where none is negative and the origin is 0, else sorted again.
    n_sizes = m.copy()
    unlike = np.flatnonzero(signed)
    sizes = np.abs(ordered[unlike] - origin[unlike, None])
    sizes[sizes == 0.0] = np.inf
    sizes.sort(axis=1)
    n_sizes[unlike] = np.count_nonzero(sizes < np.inf, axis=1)

    def size(index: np.ndarray) -> np.ndarray:
        """Return the index-th size, or what stands for it where every draw is the origin."""
        found = nonzero(index)
        found[unlike] = pick(sizes, index[unlike])
        return np.where(n_sizes > 0, found, np.where(origin != 0.0, np.abs(origin), 1.0))

    inner = size(n_sizes // 1000) / 2
    inner = np.where(signed, np.minimum(inner, size(n_sizes // 2) * 2.0**-14), inner)
    top = np.minimum(_cells(size(n_sizes - 1)) + 5 * BINS_PER_OCTAVE, _LAST_CELL + 1) // BINS_PER_OCTAVE * BINS_PER_OCTAVE
    least_cell = top - _MAX_OCTAVES * BINS_PER_OCTAVE
    if origin_zero:
        matter = np.maximum(_cells(size(n_sizes // 64) / 2), _cells(size(n_sizes // 2)) - _OCTAVES_FROM_MEDIAN * BINS_PER_OCTAVE)
        least_cell = np.maximum(np.minimum(top - _OCTAVES_FROM_ZERO * BINS_PER_OCTAVE, matter), top - _MOST_BINS)
    bottom = np.maximum(_cells(inner), least_cell) // BINS_PER_OCTAVE * BINS_PER_OCTAVE
    alone = n_sizes == 0
    lowest = np.where(alone, _cells(size(n_sizes)) // BINS_PER_OCTAVE * BINS_PER_OCTAVE, bottom)
    bins = np.where(alone, BINS_PER_OCTAVE, top - bottom)

    whole = (n > 0) & (least != greatest) & (np.maximum(-least, greatest) < 2.0**53)
    whole[whole] = np.all(ordered[whole] == np.floor(ordered[whole]), axis=1)
    again = ordered[:, 1:]
    twice = ((again == ordered[:, :-1]) & (again < np.inf) & (again != origin[:, None])).any(axis=1)
    mode = np.where(whole, WHOLE, np.where(twice, ATOMS, CONTINUOUS))
    ties = [np.unique(ordered[j, : n[j]], return_counts=True) for j in np.flatnonzero(mode)]
    return (origin, centre, lowest, bins, signed, mode), ties


def _cells(size: np.ndarray) -> np.ndarray:
    return size.view(np.int64) >> _CELL_SHIFT


def new_state(layout: Layout, wide: bool = False) -> State:
    """Return an empty state: uint32 counts for less than 2^32 draws, or int64."""
    whole = np.int64 if wide else np.uint32
    n_bins, n_detail = layout.offset[-1], layout.detail[-1]
    state = State(
        np.empty(n_bins, whole), np.empty(n_detail, whole), np.empty(n_detail), np.empty(n_detail), np.empty((layout.origin.size, 2))
    )
    clear(state)
    return state


def clear(state: State) -> None:
    """Empty a state in place, to be used again: fresh pages of memory cost more than the counting of a short task."""
    state.counts[:] = 0
    state.atom_counts[:] = 0
    state.bin_low[:] = np.inf
    state.bin_high[:] = -np.inf
    state.extremes[:] = np.inf, -np.inf


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
        out[i] = _place(draws[i], layout.origin[j], layout.lowest[j], layout.bins[j], layout.zero[j])


@borrowing
def _extremes(draws):
    """Return the least and greatest finite draw as ordered integers (greatest < least for none).

    A call of its own, and integers: LLVM vectorises neither a minimum of floats nor this loop once it is inlined (0.2 ns a draw, else 1).
    """
    least = _MAGNITUDE
    greatest = _LEAST
    for i in range(draws.size):
        bits = np.float64(draws[i] + 0.0).view(np.int64)
        finite = (bits & _MAGNITUDE) < _INFINITE
        key = bits ^ ((bits >> 63) & _MAGNITUDE)
        least = min(least, key if finite else _MAGNITUDE)
        greatest = max(greatest, key if finite else _LEAST)
    return least, greatest


@borrowing
def _places_within(draws, least, greatest, lowest, bins, zero, place):
    """Write the place of every draw to `place` (d,) for a summary of origin 0; return whether all lie in [least, greatest].

    With least >= 0 no sign, NaN or infinity can matter then, and a place takes a third of the operations: 0.2 ns a draw, where `_place`
    and `_extremes` take 0.5 together. If not all lie there, `place` holds nothing of use.
    """
    outside = 0
    for i in range(draws.size):
        v = draws[i]
        outside |= 0 if least <= v and v <= greatest else 1
        step = min(max((np.float64(v).view(np.int64) >> _CELL_SHIFT) - lowest, 0), bins - 1) + 1
        place[i] = np.uint32(zero + (0 if v == 0.0 else step))
    return outside == 0


@borrowing
def place_lane(layout, state, j, draws, place):
    """Write the place in summary j of each of `draws` (d,) to `place` (d,), unsigned, and note the extremes; nothing is counted yet.

    0.3 ns a draw once the extremes rest, 0.6 where they move or draws are negative.
    """
    origin = layout.origin[j]
    lowest = layout.lowest[j]
    bins = layout.bins[j]
    zero = layout.zero[j]
    extremes = state.extremes
    plain = origin == 0.0 and 0.0 <= extremes[j, 0] <= extremes[j, 1]
    if plain and _places_within(draws, extremes[j, 0], extremes[j, 1], lowest, bins, zero, place):
        return
    for i in range(draws.size):
        place[i] = np.uint32(_place(draws[i], origin, lowest, bins, zero))
    least, greatest = _extremes(draws)
    if least <= greatest:
        extremes[j, 0] = min(extremes[j, 0], np.int64(least ^ ((least >> 63) & _MAGNITUDE)).view(np.float64))
        extremes[j, 1] = max(extremes[j, 1], np.int64(greatest ^ ((greatest >> 63) & _MAGNITUDE)).view(np.float64))


@borrowing
def wait(layout, state, j, draws, lane, waiting):
    """Let one lane of draws (d,) of summary j wait as lane `lane` of `waiting`, and note the extremes."""
    n = draws.size
    place_lane(layout, state, j, draws, waiting.place[lane, j, :n])
    row = waiting.row[j]
    if row >= 0:
        arithmetic.copy(draws, waiting.draws[lane, row, :n])


@borrowing
def count_waiting(layout, state, waiting, lanes):
    """Count the first `lanes` lanes that wait in all summaries.

    The bins of many summaries are in no cache: the first touch of 1,024 draws costs 82 lines, 2.4 ns a draw, and three times as many
    where atoms are kept. So a summary takes one lane after another.
    """
    counts = state.counts
    for j in range(waiting.row.size):
        start = np.uint64(layout.offset[j])
        for lane in range(lanes):
            place = waiting.place[lane, j]
            for i in range(place.size):
                counts[start + np.uint64(place[i])] += 1
        row = waiting.row[j]
        if row >= 0:
            for lane in range(lanes):
                _count_apart(layout, state, j, waiting.place[lane, j], waiting.draws[lane, row])


@borrowing
def _count_apart(layout, state, j, place, draws):
    """Count the draws (d,) that are their bin's atom, and note the least and greatest of the others; place (d,) within the segment."""
    start = np.uint64(layout.detail[j])
    atom = layout.atom
    atom_counts = state.atom_counts
    low = state.bin_low
    high = state.bin_high
    for i in range(draws.size):
        v = draws[i] + 0.0  # -0.0 becomes 0.0: which of them came first must not show
        k = start + np.uint64(place[i])
        if v == atom[k]:
            atom_counts[k] += 1
        else:
            if v < low[k]:
                low[k] = v
            if v > high[k]:
                high[k] = v


@borrowing
def update(layout, state, j, draws):
    """Count `draws` (d,) float64 in summary j, d <= LANE; NaN and infinities are counted apart.

    One summary takes a whole lane at a time, so that its bins stay in the first-level cache: 0.7 ns a draw once the extremes rest, 1.0
    where they move or draws are negative, 0.8 more with atoms.
    """
    place = scratch(np.uint32, draws.size)
    place_lane(layout, state, j, draws, place)
    start = np.uint64(layout.offset[j])
    counts = state.counts
    for i in range(draws.size):
        counts[start + place[i]] += 1
    if layout.mode[j] != CONTINUOUS:
        _count_apart(layout, state, j, place, draws)


def merge(state: State, other: State) -> None:
    """Add `other` to `state` in place; exact, so that neither order nor grouping matters. `other` may be of either type of counts."""
    np.add(state.counts, other.counts, out=state.counts, casting="same_kind")
    np.add(state.atom_counts, other.atom_counts, out=state.atom_counts, casting="same_kind")
    np.minimum(state.bin_low, other.bin_low, out=state.bin_low)
    np.maximum(state.bin_high, other.bin_high, out=state.bin_high)
    np.minimum(state.extremes[:, 0], other.extremes[:, 0], out=state.extremes[:, 0])
    np.maximum(state.extremes[:, 1], other.extremes[:, 1], out=state.extremes[:, 1])


@kernel
def absorb(layout, state, pool, probabilities, found, n):
    """Add `state` to `pool` and empty it; also write its quantiles `found` (S, q) and finite draws n (S,), in one pass over the bins.

    The same as `quantiles`, `draw_counts`, `merge` and `clear` one after another, each of which waits for the same 28 MB of memory.
    """
    cumulative = np.empty(_longest(layout, 0, n.size), np.int64)
    error = np.empty(probabilities.size)
    for j in range(n.size):
        first, last = layout.offset[j], layout.offset[j + 1]
        n[j] = 0
        for k in range(first + _FIRST_BIN, last - 1):
            n[j] += np.int64(state.counts[k])
        if probabilities.size > 0:
            _quantiles_of(layout, state, j, cumulative, probabilities, found[j], error)
        for k in range(first, last):
            pool.counts[k] += state.counts[k]
            state.counts[k] = 0
        for k in range(layout.detail[j], layout.detail[j + 1]):
            pool.atom_counts[k] += state.atom_counts[k]
            pool.bin_low[k] = min(pool.bin_low[k], state.bin_low[k])
            pool.bin_high[k] = max(pool.bin_high[k], state.bin_high[k])
            state.atom_counts[k] = 0
            state.bin_low[k] = np.inf
            state.bin_high[k] = -np.inf
        pool.extremes[j, 0] = min(pool.extremes[j, 0], state.extremes[j, 0])
        pool.extremes[j, 1] = max(pool.extremes[j, 1], state.extremes[j, 1])
        state.extremes[j, 0] = np.inf
        state.extremes[j, 1] = -np.inf


def draw_counts(layout: Layout, state: State) -> np.ndarray:
    """Return how many draws were NaN, -inf, finite and +inf: (S, 4) int64."""
    n = np.empty((layout.origin.size, 4), np.int64)
    _draw_counts(layout, state, n)
    return n


@kernel
def _draw_counts(layout, state, n):
    for j in range(n.shape[0]):
        counts = state.counts[layout.offset[j] : layout.offset[j + 1]]
        total = np.int64(0)
        for i in range(2, counts.size - 1):
            total += np.int64(counts[i])
        n[j, 0], n[j, 1], n[j, 2], n[j, 3] = counts[0], counts[1], total, counts[counts.size - 1]


@inlined
def _edges(layout, state, j, place):
    """Return the least and the greatest number that a bin can have counted; upside down where the bin lies beyond the extremes."""
    step = place - layout.zero[j]
    origin = layout.origin[j]
    if step == 0:
        return origin, origin
    k = abs(step) - 1
    cell = layout.lowest[j] + k
    inner = 0.0 if k == 0 else np.int64(cell << _CELL_SHIFT).view(np.float64)
    outer = np.inf if k == layout.bins[j] - 1 else np.int64((cell + 1) << _CELL_SHIFT).view(np.float64)
    low = origin + inner if step > 0 else origin - outer
    high = origin + outer if step > 0 else origin - inner
    return max(low, state.extremes[j, 0]), min(high, state.extremes[j, 1])


@inlined
def _density(layout, state, j, place):
    """Return (middle, density) of a bin, its atom left out; (0, -1) for what is no bin or has no width."""
    if place == layout.zero[j] or place < _FIRST_BIN or place > layout.zero[j] + layout.bins[j]:
        return 0.0, -1.0
    low, high = _edges(layout, state, j, place)
    width = high - low
    count = np.float64(state.counts[layout.offset[j] + place])
    if layout.mode[j] != CONTINUOUS:
        apart = state.atom_counts[layout.detail[j] + place]
        count -= apart
        if layout.mode[j] == WHOLE and apart > 0:
            width -= 1.0
    if not width > 0.0:
        return 0.0, -1.0
    return low + 0.5 * (high - low), count / width


@inlined
def _shape(layout, state, j, place):
    """Return (edge, b, roughness) of the density across a bin, y from 0 to 1, as its neighbours suggest it.

    edge 0        density 1 + b (2 y - 1), |b| <= 1: the slope between the two neighbours, but at most twice that to either, 0 at a peak
    edge -1, +1   the least (greatest) draw is in the bin: the law may end here in a pole or a zero, as a beta does. F = y^b from that edge,
                  b from the counts of this bin and the next
    roughness     the sum of the two relative steps to the neighbours
    """
    zero = layout.zero[j]
    middle, density = _density(layout, state, j, place)
    if not density > 0.0:
        return 0, 0.0, 0.0
    low, high = _edges(layout, state, j, place)
    left_middle, left = _density(layout, state, j, place - 2 if place - 1 == zero else place - 1)
    right_middle, right = _density(layout, state, j, place + 2 if place + 1 == zero else place + 1)
    roughness = (abs(right - density if right >= 0.0 else 0.0) + abs(density - left if left >= 0.0 else 0.0)) / density
    if left < 0.0 and right < 0.0:
        return 0, 0.0, 0.0
    if left < 0.0 or right < 0.0:
        width = high - low
        beside = 2.0 * abs((right_middle if left < 0.0 else left_middle) - middle) - width
        mass = density * width
        mass_beside = (right if left < 0.0 else left) * beside
        if not mass_beside > 0.0 or layout.mode[j] == WHOLE:
            return 0, 0.0, roughness
        power = arithmetic.log(mass / (mass + mass_beside)) / arithmetic.log(width / (width + beside))
        return (-1 if left < 0.0 else 1), min(max(power, 0.03125), 32.0), roughness
    rise_left = (density - left) / (middle - left_middle)
    rise_right = (right - density) / (right_middle - middle)
    if rise_left * rise_right <= 0.0:
        return 0, 0.0, roughness
    rise = abs((right - left) / (right_middle - left_middle))
    rise = min(rise, 2.0 * abs(rise_left), 2.0 * abs(rise_right))
    tilt = min(0.5 * rise * (high - low) / density, 1.0)
    return 0, (tilt if rise_left > 0.0 else -tilt), roughness


@inlined
def _share(y, edge, b):
    """Return the share of a bin's draws below y."""
    if edge == 0:
        return (1.0 - b) * y + b * y * y
    y = y if edge < 0 else 1.0 - y
    part = arithmetic.exp(b * arithmetic.log(y)) if y > 0.0 else 0.0
    return part if edge < 0 else 1.0 - part


@inlined
def _unshare(share, edge, b):
    """Return the y below which lies this share of a bin's draws."""
    if edge == 0:
        root = np.sqrt((1.0 - b) * (1.0 - b) + 4.0 * b * share)
        return min(2.0 * share / (1.0 - b + root), 1.0) if share > 0.0 else 0.0
    part = share if edge < 0 else 1.0 - share
    y = min(arithmetic.exp(arithmetic.log(part) / b), 1.0) if part > 0.0 else 0.0
    return y if edge < 0 else 1.0 - y


@inlined
def _inside(layout, state, j, place, rank):
    """Return (number, binning error) at `rank` of the draws of one bin, 0 < rank <= their count."""
    if place == layout.zero[j]:
        return layout.origin[j], 0.0
    low, high = _edges(layout, state, j, place)
    others = np.float64(state.counts[layout.offset[j] + place])
    apart = 0.0
    atom = 0.0
    if layout.mode[j] != CONTINUOUS:
        k = layout.detail[j] + place
        apart = np.float64(state.atom_counts[k])
        atom = layout.atom[k]
        low = state.bin_low[k]
        high = state.bin_high[k]
        others -= apart
        if others == 0.0:
            return atom, 0.0
    straddled = apart > 0.0 and low < atom and atom < high
    length = max(high - low, 0.0)
    whole = layout.mode[j] == WHOLE
    if whole:  # each number is a cell of width 1, and the atom's is cut out
        length += 0.0 if straddled else 1.0
    edge, b, roughness = _shape(layout, state, j, place)
    above = False
    if apart > 0.0:
        y = min((atom - low) / length, 1.0) if straddled else (1.0 if atom > low else 0.0)
        below = others * _share(y, edge, b)
        above = rank > below
        if above:
            rank -= apart
            if rank <= below:
                return atom, 0.0
    y = _unshare(min(rank / others, 1.0), edge, b)
    error = min(roughness / 125.0, 0.5) * length
    if whole:
        number = np.ceil(low - 1.0 + y * length + (1.0 if above and straddled else 0.0))
        error = 0.0 if high - low <= 1.0 else error
    else:
        number = low + y * length
        step = abs(place - layout.zero[j])
        error = 0.5 * length if step == 1 or step == layout.bins[j] else error
    return min(max(number, low), max(high, low)), error


@inlined
def _longest(layout, first, last):
    """Return the length of the longest segment of summaries first .. last - 1."""
    longest = np.int64(0)
    for j in range(first, last):
        longest = max(longest, layout.offset[j + 1] - layout.offset[j])
    return longest


@kernel
def _quantiles_of(layout, state, j, scratch, probabilities, out, error):
    """Write the quantiles of summary j and their binning errors: probabilities, out, error (q,); scratch as long as its segment."""
    counts = state.counts[layout.offset[j] + 1 : layout.offset[j + 1]]
    cumulative = scratch[: counts.size]
    total = np.int64(0)
    for i in range(counts.size):
        total += np.int64(counts[i])
        cumulative[i] = total
    for i in range(probabilities.size):
        if total == 0:
            out[i] = np.nan
            error[i] = np.nan
            continue
        rank = min(max(probabilities[i], 0.0), 1.0) * total
        nearest = np.floor(rank + 0.5)
        if abs(rank - nearest) <= 1e-15 * rank:
            rank = nearest  # .95 of 20 is 19 draws, whatever .95 is in binary
        rank = max(rank, 1e-9)
        at = np.searchsorted(cumulative, rank)
        if at == 0 or at == cumulative.size - 1:
            out[i] = -np.inf if at == 0 else np.inf
            error[i] = 0.0
        else:
            out[i], error[i] = _inside(layout, state, j, at + 1, rank - cumulative[at - 1])


@kernel
def _quantiles(layout, state, first, probabilities, out, error):
    scratch = np.empty(_longest(layout, first, first + probabilities.shape[0]), np.int64)
    for row in range(probabilities.shape[0]):
        _quantiles_of(layout, state, first + row, scratch, probabilities[row], out[row], error[row])


def quantiles(layout: Layout, state: State, probabilities: np.ndarray, j: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Return the quantiles and their binning errors, both (S, q), or (q,) of summary `j` alone.

    probabilities   (q,), or (S, q) with a row for each summary; in [0, 1]

    The quantile at p is the least x of which p N of the N draws that are not NaN are at most x (the inverse CDF): exact for atoms; within
    a bin of continuous draws x follows a density that is linear between the bins beside it, so that N F(x) = p N. For continuous draws this
    differs from NumPy's `linear` rule, (N - 1) p, by less than one draw. In WHOLE mode the result is a whole number. The result may be
    infinite, and is NaN where no draw remains.

    With c the count in a bin of width w, c- and c+ beside it, a constant density would err by up to w/16 |c+ - c-|/c; the linear one by
    w/125 |c+ - 2 c + c-|/c in a smooth law. Returned is w/125 (|c+ - c| + |c - c-|)/c, at most w/2; w/2 in the edge bins of the window; 0
    for atoms.
    """
    first, last = (0, layout.origin.size) if j is None else (j, j + 1)
    asked = np.ascontiguousarray(np.broadcast_to(np.asarray(probabilities, np.float64), (last - first, np.shape(probabilities)[-1])))
    found = np.empty(asked.shape)
    error = np.empty(asked.shape)
    _quantiles(layout, state, first, asked, found, error)
    return (found, error) if j is None else (found[0], error[0])


def order_statistic_error(layout: Layout, state: State, probabilities: np.ndarray) -> np.ndarray:
    """Return the standard error (S, q) of each quantile of N independent draws, from the draws themselves.

    F(x_(k)) ~ Beta(k, N + 1 - k) has mean p and sd s = sqrt(p (1 - p) / (N + 2)) about k = p N: half the distance between the quantiles at
    p - s and p + s. 0 where both are the same atom or infinity, inf where only one is infinite, NaN where no draw remains.
    """
    p = np.asarray(probabilities, np.float64)
    n = draw_counts(layout, state)[:, 1:].sum(axis=1)[:, np.newaxis]
    spread = np.sqrt(p * (1.0 - p) / (n + 2.0))
    lower, _ = quantiles(layout, state, np.maximum(p - spread, 0.0))
    upper, _ = quantiles(layout, state, np.minimum(p + spread, 1.0))
    with np.errstate(invalid="ignore"):
        return np.where(lower == upper, 0.0, 0.5 * upper - 0.5 * lower)


def replicate_error(replicates: np.ndarray) -> np.ndarray:
    """Return the standard error sd / sqrt(R) of the mean of R replicates, (R, ...) -> (...).

    0 where all are equal, infinite or not; NaN where one is NaN; inf where only some are infinite.
    """
    n = replicates.shape[0]
    with np.errstate(invalid="ignore", over="ignore"):
        deviation = replicates - tree_sum(replicates) / n
        error = np.sqrt(tree_sum(deviation * deviation) / ((n - 1) * n))
    error = np.where(np.isinf(replicates).any(axis=0), np.inf, error)
    error = np.where((replicates == replicates[0]).all(axis=0), 0.0, error)
    return np.where(np.isnan(replicates).any(axis=0), np.nan, error)


@borrowing
def lane_sums(draws, centre):
    """Return (s1, s2), the sums of v - centre and of its square over the finite draws of one lane (d,).

    Draw i goes to accumulator i mod 64, in order of i; then the upper half of the accumulators is added to the lower, six times. A fixed
    order that vectorises: 0.3 ns a draw; with eight accumulators 1.0.
    """
    n = draws.size
    sums, squares = scratches(2, ACCUMULATORS)
    for k in range(ACCUMULATORS):
        sums[k] = 0.0
        squares[k] = 0.0
    for start in range(0, n, ACCUMULATORS):
        row = draws[start : min(start + ACCUMULATORS, n)]
        for k in range(row.size):
            v = row[k] - centre
            v = v if abs(v) < np.inf else 0.0
            sums[k] += v
            squares[k] += v * v
    half = ACCUMULATORS // 2
    while half > 0:
        for k in range(half):
            sums[k] += sums[k + half]
            squares[k] += squares[k + half]
        half //= 2
    return sums[0], squares[0]


def tree_sum(terms: np.ndarray) -> np.ndarray:
    """Return the sum over axis 0 along the binary tree of neighbours; a length that is no power of two is filled up with zeros."""
    with np.errstate(over="ignore", invalid="ignore"):  # as in _plus, but entered once
        while terms.shape[0] > 1:
            paired = terms[0:-1:2] + terms[1::2]
            terms = np.concatenate((paired, terms[-1:])) if terms.shape[0] % 2 else paired
    return terms[0]


def _plus(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return a + b; sums of masses beyond the range of a float become inf in silence, and then no mean."""
    with np.errstate(over="ignore", invalid="ignore"):
        return a + b


Pending = dict[tuple[int, int], np.ndarray]


def merge_node(pending: Pending, level: int, index: int, sums: np.ndarray) -> None:
    """Add the node (level, index), the sum of lanes index 2^level .. (index + 1) 2^level - 1, to those that wait for their sibling.

    Two siblings become their parent as soon as both are there, and which came first cannot be seen in their sum: any order will do.
    """
    while (sibling := pending.pop((level, index ^ 1), None)) is not None:
        sums = _plus(sibling, sums)
        level, index = level + 1, index >> 1
    pending[level, index] = sums


def finish_tree(pending: Pending) -> np.ndarray:
    """Return the sum of all nodes: what tree_sum gives for all lanes at once, whatever nodes they came in.

    After lanes 0 .. L - 1 the nodes are the binary digits of L; they are added from the last, the least, to the first.
    """
    (_, total), *rest = sorted(pending.items())
    for _, sums in rest:
        total = _plus(sums, total)
    return total


def moments(n: np.ndarray, sums: np.ndarray, centre: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return (mean, sd) of n finite draws from their sums (..., 2) about `centre`; NaN below one draw, resp. two."""
    n = np.asarray(n, np.float64)
    with np.errstate(invalid="ignore", divide="ignore"):
        shift = sums[..., 0] / n
        variance = (sums[..., 1] - shift * sums[..., 0]) / (n - 1.0)
        mean = np.where(n > 0, centre + shift, np.nan)
        sd = np.where(n > 1, np.sqrt(np.maximum(variance, 0.0)), np.nan)
    return mean, sd
