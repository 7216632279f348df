"""Weights of draws under soft bounds, as integers, and the summaries of weighted draws.

A weight is Phi((log L - log Q) / log_sd) for an upper bound L on a result Q, one factor for each bound. It is counted as the integer
nearest to 2^bits times it, so that histograms of weighted draws stay sums of integers, which merge exactly in any order.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from .arithmetic import exp, log
from .jit import borrowing, kernel
from .quantiles import normal_tail
from .scratch import scratch, scratches
from .summaries import CONTINUOUS, lane_sums, locate, place_lane, update

_LEAST_LOG = -700.0  # a weight below e^-700 is 0
_TABLE_END = 8.0  # the table of the normal tail ends a little above
_FRACTION_TERMS = 24  # of Mills' ratio; beyond 8 they leave 1e-15
_LOG_ROOT_TWO_PI = 0.9189385332046728


class Conditions(NamedTuple):
    """Soft bounds on results, and where draws contradict themselves. c = conditions, i = cells with inland seizures.

    row (c,)                          summary of the result, -1 where it is 0 in every draw
    factor (c,)                       what a draw of it is multiplied by
    log_lower, log_upper (c,)         logs of the bounds, -inf and +inf where there is none
    log_sd (c,)                       spread of a bound on the log scale, > 0
    inland, missed, seized (i,)       summaries of one corridor, period and form
    ratio_start (i + 1,), ratio       inputs that are `inland_seized_ratio` there
    """

    row: np.ndarray
    factor: np.ndarray
    log_lower: np.ndarray
    log_upper: np.ndarray
    log_sd: np.ndarray
    inland: np.ndarray
    missed: np.ndarray
    seized: np.ndarray
    ratio_start: np.ndarray
    ratio: np.ndarray


@kernel
def log_normal_cdf(tail_table, z):
    """Return log Phi(z): from the table of the normal tail to -8, below it by Mills' ratio as a continued fraction.

    Phi(-x) = phi(x) / (x + 1 / (x + 2 / (x + 3 / ...)))

    tail_table  from `normal_tail_table()`;  NaN and -inf stay

    Source: Abramowitz & Stegun 26.2.14. Relative error of Phi <= 2e-9.
    """
    if z != z or z == -np.inf:
        return z
    if z < -_TABLE_END:
        fraction = -z
        for k in range(_FRACTION_TERMS, 0, -1):
            fraction = -z + k / fraction
        return -0.5 * z * z - _LOG_ROOT_TWO_PI - log(fraction)
    u = normal_tail(tail_table, z)
    return log(1.0 + u) if u < 0.0 else log(u)


@borrowing
def weigh(conditions, tail_table, draws, inputs, log_weight, counters):
    """Write the log weight of every draw of a lane: the sum over all bounds of log Phi.

    upper  log Phi((log L - log Q) / log_sd), 0 where Q = 0;  lower  log Phi((log Q - log L) / log_sd), -inf where Q = 0
    -inf where inland seizures of a cell that Q sums were cut at what was missed (the draw contradicts itself), and where Q is undefined

    draws (S, d), inputs (x, d)   of one lane;  log_weight (d,)  written
    counters (2,)                 draws that contradict themselves, draws whose result is undefined, added to

    A cut shows as inland = missed where anything was seized and the ratio is not 0.

    Source: method.md section 7, Conditions.
    """
    n = log_weight.size
    for i in range(n):
        total = 0.0
        undefined = False
        for c in range(conditions.row.size):
            result = draws[conditions.row[c], i] * conditions.factor[c] if conditions.row[c] >= 0 else 0.0
            if result != result or result < 0.0:
                undefined = True
            log_result = -np.inf if result == 0.0 else (np.inf if result == np.inf else log(result))
            if conditions.log_upper[c] < np.inf:
                total += 0.0 if result == 0.0 else log_normal_cdf(tail_table, (conditions.log_upper[c] - log_result) / conditions.log_sd[c])
            if conditions.log_lower[c] > -np.inf:
                total += log_normal_cdf(tail_table, (log_result - conditions.log_lower[c]) / conditions.log_sd[c])
        contradicted = False
        for k in range(conditions.inland.size):
            if draws[conditions.inland[k], i] == draws[conditions.missed[k], i] and draws[conditions.seized[k], i] > 0.0:
                for e in range(conditions.ratio_start[k], conditions.ratio_start[k + 1]):
                    contradicted |= inputs[conditions.ratio[e], i] > 0.0
        counters[0] += contradicted
        counters[1] += undefined
        log_weight[i] = -np.inf if undefined or contradicted else total


@borrowing
def whole_weights(log_weight, bits, weight, whole):
    """Write the weights (d,), exp of their logs, and the integers (d,) int64 nearest to 2^bits times them."""
    scale = np.float64(np.int64(1) << bits)
    for i in range(log_weight.size):
        weight[i] = exp(log_weight[i]) if log_weight[i] > _LEAST_LOG else 0.0
        whole[i] = np.int64(np.floor(weight[i] * scale + 0.5))


@borrowing
def update_weighted(layout, state, j, draws, whole):
    """Count every draw (d,) in summary j `whole` (d,) times; what is counted 0 times leaves no trace.

    As `summaries.update`, of which it is the same with whole = 1; `state` has int64 counts.
    """
    n = draws.size
    place = scratch(np.uint32, n)
    locate(layout, j, draws, place)
    start = np.uint64(layout.offset[j])
    least = state.extremes[j, 0]
    greatest = state.extremes[j, 1]
    for i in range(n):
        state.counts[start + place[i]] += whole[i]
        v = draws[i] + 0.0
        if whole[i] > 0 and abs(v) < np.inf:
            least = min(least, v)
            greatest = max(greatest, v)
    state.extremes[j, 0] = least
    state.extremes[j, 1] = greatest
    if layout.mode[j] != CONTINUOUS:
        start = np.uint64(layout.detail[j])
        for i in range(n):
            v = draws[i] + 0.0
            k = start + place[i]
            if whole[i] == 0:
                continue
            if v == layout.atom[k]:
                state.atom_counts[k] += whole[i]
            else:
                if v < state.bin_low[k]:
                    state.bin_low[k] = v
                if v > state.bin_high[k]:
                    state.bin_high[k] = v


@borrowing
def update_both(layout, state, j, k, draws, whole):
    """Count every draw (d,) in summary j once and in summary k, of the same bins, `whole` (d,) times.

    The same bytes as `update` and `update_weighted`, with places looked up once.
    """
    if layout.mode[j] != CONTINUOUS:
        update(layout, state, j, draws)
        update_weighted(layout, state, k, draws, whole)
        return
    place = scratch(np.uint32, draws.size)
    place_lane(layout, state, j, draws, place)
    counts = state.counts
    start = np.uint64(layout.offset[j])
    for i in range(draws.size):
        counts[start + place[i]] += 1
    start = np.uint64(layout.offset[k])
    for i in range(draws.size):
        counts[start + place[i]] += whole[i]
    if state.extremes[k, 0] <= state.extremes[j, 0] and state.extremes[k, 1] >= state.extremes[j, 1]:
        return  # weighted draws reach as far as all draws do
    for i in range(draws.size):
        v = draws[i] + 0.0
        if whole[i] > 0 and abs(v) < np.inf:
            state.extremes[k, 0] = min(state.extremes[k, 0], v)
            state.extremes[k, 1] = max(state.extremes[k, 1], v)


@borrowing
def weighted_lane_sums(draws, whole, centre):
    """Return the sums of whole (v - centre) and whole (v - centre)^2 over the finite draws of a lane (d,).

    In the order of `summaries.lane_sums`, of which it is the same with whole = 1.
    """
    n = draws.size
    once, squared = scratches(2, n)
    for i in range(n):
        v = draws[i] - centre
        v = v if abs(v) < np.inf else 0.0
        once[i] = whole[i] * v
        squared[i] = once[i] * v
    first, _ = lane_sums(once, 0.0)
    second, _ = lane_sums(squared, 0.0)
    return first, second


@kernel
def summarise_stored(
    conditions, tail_table, bits, contrasts, n_parameters, stored, inputs, lane_size, first_lane, layout, state, sums, counters
):
    """Add stored draws to all summaries, as they are and weighted.

    Summaries 0 .. S - 1 take the draws as they are, S the log weights, S + 1 the weights, S + 2 .. 2 S + 1 the draws again, weighted, and
    the rest the first `n_parameters` inputs, weighted.

    stored (S, d), inputs (x, d)   draws of whole lanes
    first_lane                     number of the first within the block;  sums (S', lanes, 2)  written
    counters (2 m + 2,)            weights for and against each claim, then what `weigh` counts, added to
    """
    n = stored.shape[0]
    log_weight, weight = scratches(2, lane_size)
    whole = scratch(np.int64, lane_size)
    n_claims = contrasts.claim_contrast.size
    for k in range(stored.shape[1] // lane_size):
        first, last, lane = k * lane_size, (k + 1) * lane_size, first_lane + k
        weigh(conditions, tail_table, stored[:, first:last], inputs[:, first:last], log_weight, counters[2 * n_claims :])
        whole_weights(log_weight, bits, weight, whole)
        for s in range(n):
            draws = stored[s, first:last]
            t = n + 2 + s
            update_both(layout, state, s, t, draws, whole)
            sums[s, lane, 0], sums[s, lane, 1] = lane_sums(draws, layout.centre[s])
            sums[t, lane, 0], sums[t, lane, 1] = weighted_lane_sums(draws, whole, layout.centre[t])
        update(layout, state, n, log_weight)
        sums[n, lane, 0], sums[n, lane, 1] = lane_sums(log_weight, layout.centre[n])
        update(layout, state, n + 1, weight)
        sums[n + 1, lane, 0], sums[n + 1, lane, 1] = lane_sums(weight, layout.centre[n + 1])
        for p in range(n_parameters):
            t = 2 * n + 2 + p
            draws = inputs[p, first:last]
            update_weighted(layout, state, t, draws, whole)
            sums[t, lane, 0], sums[t, lane, 1] = weighted_lane_sums(draws, whole, layout.centre[t])
        for m in range(n_claims):
            ratio = stored[contrasts.row.size + contrasts.claim_contrast[m], first:last]
            low, high = contrasts.claim_low[m], contrasts.claim_high[m]
            for i in range(lane_size):
                if low <= ratio[i] <= high:
                    counters[2 * m] += whole[i]
                elif ratio[i] == ratio[i]:
                    counters[2 * m + 1] += whole[i]
