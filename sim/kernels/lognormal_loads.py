"""Sums of k lognormal loads, and how many equal loads they are worth, out of tables over k, the sd of the log and the normal score."""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from math import sqrt
from typing import NamedTuple

import numpy as np
from scipy import special

from . import libm
from .arithmetic import copy, exp, log
from .cubics import SCORE_LIMIT, cubic_cells, cubic_weights, cubics, patch, patches, score_cell, score_grid
from .jit import borrowing, inlined, kernel
from .kept import kept
from .scratch import scratch, scratches

LARGEST_SIGMA = 8.0  # tables end here: loads of one log-sd more would span more than 28 powers of ten
_SCORES = 69  # a quarter apart
_SIGMA_STEP = 0.125
_EXACT_K = 16  # sums of 1..16 loads stand for themselves; beyond, 8 nodes an octave (16, 18, 20, ... 30, 32, 36, ...)
_OCTAVES = 16  # to 2^20 loads; beyond, the log of the mean load shrinks as 1 / sqrt(k)
_N_NODES = _EXACT_K + 8 * _OCTAVES
_MAX_K = float(_EXACT_K << _OCTAVES)
_CELLS = 512  # of the guides of `_score_of`
_QUADRATURE = 24


@inlined
def _score_of(y_table, guide, y):
    """Return the normal score at which the tabulated log quantile function takes the value y, -+ 8.5 at and beyond its ends.

    guide[i] is the node of z below the i-th of 512 equal steps of y: it spares the bisection, half of the time of the table.
    """
    n = y_table.size
    if y <= y_table[0]:
        return -SCORE_LIMIT
    if y >= y_table[n - 1]:
        return SCORE_LIMIT
    low = guide[int((y - y_table[0]) * (_CELLS / (y_table[n - 1] - y_table[0])))]
    while y_table[low + 1] <= y:
        low += 1
    i = min(max(low, 1), n - 3)
    x = (y - y_table[low]) / (y_table[low + 1] - y_table[low]) + (low - i)
    for _ in range(2):
        w0, w1, w2, w3 = cubic_weights(x)
        value = w0 * y_table[i - 1] + w1 * y_table[i] + w2 * y_table[i + 1] + w3 * y_table[i + 2]
        d0 = -(3.0 * x * x - 6.0 * x + 2.0) / 6.0
        d1 = (3.0 * x * x - 4.0 * x - 1.0) / 2.0
        d2 = -(3.0 * x * x - 2.0 * x - 2.0) / 2.0
        d3 = (3.0 * x * x - 1.0) / 6.0
        slope = d0 * y_table[i - 1] + d1 * y_table[i] + d2 * y_table[i + 1] + d3 * y_table[i + 2]
        if slope > 0.0:
            x -= (value - y) / slope
        x = min(max(x, float(low - i)), low - i + 1.0)
    return (i + x) * ((2.0 * SCORE_LIMIT) / (n - 1.0)) - SCORE_LIMIT


@kernel
def _quantile_at(y_table, z):
    """Return the tabulated log quantile at score z, by the cubic through four nodes."""
    i, x = score_cell(z, y_table.size)
    w0, w1, w2, w3 = cubic_weights(x)
    return w0 * y_table[i - 1] + w1 * y_table[i] + w2 * y_table[i + 1] + w3 * y_table[i + 2]


@inlined
def _lower_tail(log_tail, z):
    """Return Phi(z) for |z| <= 8.5 from log Phi tabulated at steps of 1/8, by the cubic through four of them."""
    i, x = score_cell(z, log_tail.size)
    w0, w1, w2, w3 = cubic_weights(x)
    return exp(w0 * log_tail[i - 1] + w1 * log_tail[i] + w2 * log_tail[i + 1] + w3 * log_tail[i + 2])


@kernel
def _tail_of_sum(ya, guide_a, yb, guide_b, s, share, upper, log_tail, nodes, weights):
    """Return P(A + B > s) or P(A + B <= s), A and B given by their log quantile functions.

    The plane is split at B = c s and A = (1 - c) s, c = `share`, so that both integrands are smooth and neither tail cancels:

    P(A + B <= s) = E[F_A(s - B); B <= c s] + E[F_B(s - A) - F_B(c s); A <= (1 - c) s]
    P(A + B >  s) = E[S_A(s - B); B <= c s] + E[S_B(s - A); A <= (1 - c) s] + S_A((1 - c) s) S_B(c s)
    """
    log_s = log(s)
    y_b = log_s + log(share)
    y_a = log_s + log(1.0 - share)
    z_b = _score_of(yb, guide_b, y_b)
    z_a = _score_of(ya, guide_a, y_a)
    f_b = _lower_tail(log_tail, z_b)
    total = _lower_tail(log_tail, -z_b) * _lower_tail(log_tail, -z_a) if upper else 0.0
    for half in range(2):
        outer = yb if half == 0 else ya
        inner = ya if half == 0 else yb
        guide = guide_a if half == 0 else guide_b
        end = z_b if half == 0 else z_a
        offset = f_b if half == 1 and not upper else 0.0
        # Where the rest of s exceeds the greatest inner sum, its distribution function is 1: a corner that no panel may straddle.
        start = -SCORE_LIMIT
        excess = s - exp(inner[inner.size - 1])
        if excess > 0.0:
            start = min(_score_of(outer, guide_b if half == 0 else guide_a, log(excess)), end)
            if not upper:
                total += (1.0 - offset) * _lower_tail(log_tail, start)
        middle = max(end - 3.0, start)  # the integrand of a deep tail rises steeply towards the end
        for panel in range(2):
            left = start if panel == 0 else middle
            width = 0.5 * ((middle if panel == 0 else end) - left)
            if width <= 0.0:
                continue
            part = 0.0
            for i in range(nodes.size):
                v = left + width * (1.0 + nodes[i])
                z = _score_of(inner, guide, log(max(s - exp(_quantile_at(outer, v)), 1e-300)))
                part += weights[i] * exp(-0.5 * v * v) * (_lower_tail(log_tail, -z if upper else z) - offset)
            total += part * width * 0.3989422804014327
    return total


@kernel
def _add_loads(ya, guide_a, yb, guide_b, share, guess, scores, targets, log_tail, nodes, weights, out):
    """Write the log quantile function of A + B at every score of the grid, by bracketed secant steps on log s, from the median outwards.

    The first point is `guess` as corrected at the scores before, the first slope that of `guess`: two evaluations do for most scores. The
    bracket is what keeps order where a truncated law has plateaus (the greatest load alone, two of them, ...).
    """
    n = scores.size
    centre = n // 2
    least = log(exp(ya[0]) + exp(yb[0]))
    greatest = log(exp(ya[n - 1]) + exp(yb[n - 1]))
    for order in range(n):
        j = centre + order if order < n - centre else n - 1 - order
        back = -1 if j > centre else 1
        upper = scores[j] > 0.0
        low = least if j <= centre else out[j - 1]
        high = greatest if j >= centre else out[j + 1]
        y = guess[j]
        if abs(j - centre) > 1:
            y += 2.0 * (out[j + back] - guess[j + back]) - (out[j + 2 * back] - guess[j + 2 * back])
        elif j != centre:
            y += out[j + back] - guess[j + back]
        gap = guess[j + back] - guess[j]
        slope = (targets[j + back] - targets[j]) / (gap if gap != 0.0 else 1e-6)
        before = np.inf
        g_before = 0.0
        for _ in range(60):
            if not low < y < high:
                y = 0.5 * (low + high)
            g = log(max(_tail_of_sum(ya, guide_a, yb, guide_b, exp(y), share, upper, log_tail, nodes, weights), 1e-300)) - targets[j]
            if (g > 0.0) == upper:
                low = y
            else:
                high = y
            if before < np.inf and g != g_before:
                slope = (g - g_before) / (y - before)
            before, g_before = y, g
            step = -g / slope
            y += step
            if (abs(step) < 1e-4 and low < y < high) or high - low < 1e-9:
                break
        out[j] = min(max(y, low), high)


def truncated_scores(z: np.ndarray, truncation: float) -> np.ndarray:
    """Return the score e of a standard normal truncated above at `truncation` (inf for none) where the plain one has score z."""
    if truncation == np.inf:
        return z
    # Phi(e) = Phi(z) Phi(t); from the upper side where that is the small one: 1 - Phi(e) = 1 - Phi(z) + Phi(z) (1 - Phi(t)).
    lower = special.ndtri_exp(special.log_ndtr(z) + special.log_ndtr(truncation))
    upper = -special.ndtri(special.ndtr(-z) + special.ndtr(z) * special.ndtr(-truncation))
    return np.where(z < 0, lower, upper)


def log_mean_load(sigma: np.ndarray, truncation: float) -> np.ndarray:
    """Return the log of the mean of z = exp(sigma e), e standard normal truncated above at `truncation`."""
    if truncation == np.inf:
        return 0.5 * sigma**2
    return 0.5 * sigma**2 + special.log_ndtr(truncation - sigma) - special.log_ndtr(truncation)


def node_counts() -> np.ndarray:
    """Return the numbers of loads at the nodes of the tables of sums: 1 .. 16, then 8 an octave to 2^20."""
    octave = np.arange(_OCTAVES)[:, None]
    beyond = ((8 + np.arange(1, 9))[None, :] * 2 ** (octave + 1)).reshape(-1)
    return np.concatenate([np.arange(1, _EXACT_K + 1), beyond])


def _sums_of_one_sigma(sigma: float, truncation: float) -> np.ndarray:
    """Return D(k, z) = log(S_k / (k mu)) at one sigma > 0, (144, 69): S_k is the quantile of the sum of k loads at score z.

    S_k = S_i + S_(k-i) by Gauss-Legendre in z for k = 1 .. 16 and two nodes an octave beyond (24, 32, 48, ...); the nodes between
    by a spline in log k, which moves D by less than 2e-5 where measured, in a third of the time.
    """
    from scipy import interpolate  # .2 s, where no table is kept

    counts = node_counts()
    z = score_grid(_SCORES)
    targets = special.log_ndtr(-np.abs(z))
    nodes, weights = np.polynomial.legendre.leggauss(_QUADRATURE)
    log_mean = float(log_mean_load(np.float64(sigma), truncation))
    direct = [int(k) for k in counts if k <= _EXACT_K or k & (k - 1) == 0 or (k % 3 == 0 and (k // 3) & (k // 3 - 1) == 0)]
    y = {1: sigma * truncated_scores(z, truncation)}
    log_tail = special.log_ndtr(score_grid(2 * _SCORES - 1))
    guides = {}
    for k in direct[1:]:
        half = max(j for j in y if 2 * j <= k and k - j in y)
        rest = k - half
        for j in {half, rest} - guides.keys():
            steps = np.linspace(y[j][0], y[j][-1], _CELLS + 1)
            guides[j] = np.clip(np.searchsorted(y[j], steps, side="right") - 1, 0, z.size - 2)
        # the mean grows with k, the spread of the log shrinks with 1 / sqrt(k)
        guess = math.log(k) + log_mean + (y[rest] - math.log(rest) - log_mean) * np.sqrt(rest / k)
        y[k] = np.empty(z.size)
        _add_loads(y[rest], guides[rest], y[half], guides[half], half / k, guess, z, targets, log_tail, nodes, weights, y[k])
    log_ratio = np.stack([y[k] - math.log(k) for k in direct]) - log_mean
    smooth = interpolate.CubicSpline(libm.log(direct[_EXACT_K // 2 :]), log_ratio[_EXACT_K // 2 :])
    return np.concatenate([log_ratio[:_EXACT_K], smooth(libm.log(counts[_EXACT_K:]))])


def _effective_loads_of_one_sigma(sigma: float, truncation: float) -> np.ndarray:
    """Return n_eff = 1 / E[sum z^2 / (sum z)^2] at the nodes of k for one sigma, (144,).

    1 / S^2 = int t exp(-t S) dt, so 1 / n_eff = k int t E[z^2 exp(-t z)] E[exp(-t z)]^(k-1) dt, by the trapezoid in log t.
    """
    counts = node_counts()
    nodes, weights = np.polynomial.legendre.leggauss(240)
    top = min(truncation, SCORE_LIMIT + sigma)
    e = 0.5 * (top + SCORE_LIMIT) * (nodes + 1.0) - SCORE_LIMIT
    density = weights * libm.exp(-0.5 * e**2)
    # z^2 moves the weight up by 2 sigma: a second rule centred there would be needed without the exponent of -t z, which bounds it
    density /= density.sum()
    y = sigma * e
    log_t = np.arange(-sigma * top - 40.0, sigma * SCORE_LIMIT + 8.0, 0.05)
    tz = libm.exp(log_t[:, None] + y[None, :])
    decay = libm.exp(-tz) * density
    log_phi = libm.log(np.maximum(decay.sum(axis=1), 1e-300))
    square = (decay * tz**2).sum(axis=1)  # t^2 E[z^2 exp(-t z)]
    inverse = counts * (libm.exp(np.minimum((counts[:, None] - 1) * log_phi[None, :], 0.0)) * square[None, :]).sum(axis=1) * 0.05
    inverse[0] = 1.0
    return np.clip(1.0 / inverse, 1.0, counts)


class LoadSums(NamedTuple):
    """Tables of sums of k truncated lognormal loads over (k, sigma, z), for sigmas low, low + step, ...

    g = sigma nodes (1 where sigma is one constant, else at least 4), k = 144 nodes of node_counts(), z = 69 scores
    log_sum    (k, g, z)  log(S_k / k)
    effective  (k, g, 4)  n_eff, cubics between sigma nodes; where there is one node, that number
    mean       (g, 4)     log mu, the same
    low, step             sigma of the first node and the distance of nodes (step 0: one node)
    score_median          score e of the median of a truncated standard normal
    """

    log_sum: np.ndarray
    effective: np.ndarray
    mean: np.ndarray
    low: float
    step: float
    score_median: float


@lru_cache(maxsize=8)
def load_sums(low: float, high: float, truncation: float) -> LoadSums:
    """Return the tables for sigmas from `low` to `high` (0 <= low <= high <= 8), loads truncated above at `truncation` sds of their log."""
    if low == high:
        sigmas, step = np.array([low]), 0.0
    else:
        first = max(int(low / _SIGMA_STEP) - 1, 0)
        last = max(int(np.ceil(high / _SIGMA_STEP)) + 1, first + 3)
        sigmas, step = _SIGMA_STEP * np.arange(first, last + 1), _SIGMA_STEP
    counts = node_counts()

    def built(sigma: float) -> np.ndarray:
        if sigma == 0.0:
            return np.column_stack([np.zeros((counts.size, _SCORES)), counts])
        return np.column_stack([_sums_of_one_sigma(sigma, truncation), _effective_loads_of_one_sigma(sigma, truncation)])

    def one(sigma: float) -> np.ndarray:
        """Return the sums and, as the last column, the effective loads. Those of the grid are kept; of other sigmas there is no end."""
        return kept(f"sums-{sigma}-{truncation}", lambda: built(sigma)) if step > 0.0 else built(sigma)

    with ThreadPoolExecutor() as pool:
        tables = libm.rounded(np.stack(list(pool.map(one, sigmas.tolist())), axis=1))
    mean = libm.rounded(log_mean_load(sigmas, truncation))
    return LoadSums(
        log_sum=np.ascontiguousarray(tables[..., :-1] + mean[:, None]),
        effective=np.stack([_by_sigma(row.copy()) for row in tables[..., -1]]),
        mean=_by_sigma(mean),
        low=float(sigmas[0]),
        step=step,
        score_median=float(libm.rounded(truncated_scores(np.zeros(1), truncation))[0]),
    )


def _by_sigma(values: np.ndarray) -> np.ndarray:
    """Return the cubics between the sigma nodes of `values` (g,), (g, 4)."""
    cells = np.zeros((values.size, 4))
    if values.size == 1:
        cells[0, 0] = values[0]
    else:
        cubic_cells(values, cells)
    return cells


@inlined
def _node_below(k):
    """Return (node, weight of the next node on 1/sqrt(k), weight on k) for 1 <= k < 2^20 loads.

    A node is 2^e m / 8 with m = 8 .. 15; (1 - sqrt(node / k)) / (1 - sqrt(m / (m + 1))) is the weight, and the divisor is multiplied out.
    """
    bits = np.float64(min(max(k, 1.0), _MAX_K - 1.0)).view(np.int64)
    below = np.int64(bits & ~0x0001FFFFFFFFFFFF).view(np.float64)
    eighth = (bits >> 49) & 7
    m = 8.0 + eighth
    weight = (1.0 - np.sqrt(below / k)) * (m + 1.0 + np.sqrt(m * (m + 1.0)))
    linear = np.float64(bits & 0x0001FFFFFFFFFFFF) * 2.0**-49
    exact = k <= _EXACT_K
    node = max(np.int64(k), 1) - 1 if exact else _EXACT_K - 1 + 8 * ((bits >> 52) - 1027) + eighth
    return node, (0.0 if exact else weight), (0.0 if exact else linear)


@inlined
def _node_of(k):
    """Return (node, weight of the next node on 1/sqrt(k), weight on k, shrinkage) for k >= 1 loads."""
    if k >= _MAX_K:
        return _N_NODES - 2, 1.0, 1.0, k / _MAX_K
    node, weight, linear = _node_below(k)
    return node, weight, linear, 1.0


@inlined
def _sigma_cell(sums, sigma):
    """Return the node below sigma, of which there are two more on either side, and the place beyond it; 0 and 0 where there is one node."""
    nodes = sums.mean.shape[0]
    if nodes == 1:
        return 0, 0.0
    x = min(max((sigma - sums.low) / sums.step, 0.0), nodes - 1.0)
    cell = min(max(np.int64(x), 1), nodes - 3)
    return cell, x - cell


@inlined
def _cubic(c, x):
    """Return the cubic c (4,) at x."""
    return ((c[3] * x + c[2]) * x + c[1]) * x + c[0]


@inlined
def log_sum_of_loads(sums, sigma, k, z):
    """Return log S_k, S_k the quantile at normal score z of the sum of k >= 1 loads exp(sigma e), e standard normal truncated above.

    Within 1 % of brute force for the quantiles of M / T at .025 .. .975, n in 1 .. 3,000, d in .01 .. .9, sigma in .2 .. 4.

    Source: method.md section 2; tables by convolution.
    """
    node, weight, _, shrink = _node_of(k)
    cell, across = _sigma_cell(sums, sigma)
    _, n_sigmas, n_scores = sums.log_sum.shape
    j, y = score_cell(z, n_scores)
    stride = n_scores if n_sigmas > 1 else 0
    first = (node * n_sigmas + max(cell - 1, 0)) * n_scores + j - 1
    table = sums.log_sum.reshape(-1)
    here = patch(table, first, stride, across, y)
    beyond = patch(table, first + n_sigmas * n_scores, stride, across, y)
    total = (1.0 - weight) * here + weight * beyond
    if shrink != 1.0:
        mean = _cubic(sums.mean[cell], across)
        total = mean + (total - mean) / sqrt(shrink)
    return total + log(k)


@inlined
def effective_loads(sums, sigma, k):
    """Return n_eff = 1 / E[sum z^2 / (sum z)^2] of k >= 1 lognormal loads, in 1 .. k.

    Source: method.md section 3.
    """
    node, _, linear, shrink = _node_of(k)
    cell, across = _sigma_cell(sums, sigma)
    here = _cubic(sums.effective[node, cell], across)
    here += linear * (_cubic(sums.effective[node + 1, cell], across) - here)
    return min(max(here * shrink, 1.0), k)


@borrowing
def _sigma_cells(sums, sigma, cell, across):
    """Write `_sigma_cell` of every draw: sigma (d,);  cell (d,) int64, across (d,) in place."""
    for i in range(sigma.size):
        cell[i], across[i] = _sigma_cell(sums, sigma[i])


@kernel
def draw_sums_of_loads(sums, sigma, k, known, z, out):
    """Write `log_sum_of_loads` at (sigma, k, z) of every draw: all arrays (d,), `out` in place; `known`: k is the same in every draw."""
    n = k.size
    _, n_sigmas, n_scores = sums.log_sum.shape
    stride = n_scores if n_sigmas > 1 else 0  # one sigma is four times itself, with weights 0, 1, 0, 0
    table = sums.log_sum.reshape(-1)
    size = n_sigmas * n_scores  # of the tables of one number of loads
    across, weight, beyond = scratches(3, n)
    cell, first = scratch(np.int64, n), scratch(np.uint64, n)
    _sigma_cells(sums, sigma, cell, across)
    for i in range(n):
        j, out[i] = score_cell(z[i], n_scores)
        first[i] = np.uint64((cell[i] if stride == 0 else cell[i] - 1) * n_scores + j - 1)
    if known:
        node, part, _, _ = _node_of(k[0])
        row = np.empty(size)
        for c in range(size):
            row[c] = (1.0 - part) * table[node * size + c] + part * table[(node + 1) * size + c]
        patches(row, first, stride, across, out)
    else:
        for i in range(n):
            cell[i], weight[i], _ = _node_below(k[i])
        for i in range(n):
            first[i] += np.uint64(cell[i] * size)
        copy(out, beyond)
        patches(table, first, stride, across, out)
        for i in range(n):
            first[i] += np.uint64(size)
        patches(table, first, stride, across, beyond)
        for i in range(n):
            out[i] = (1.0 - weight[i]) * out[i] + weight[i] * beyond[i]
    for i in range(n):
        out[i] += log(k[i])
    for i in range(n):
        if k[i] >= _MAX_K:
            out[i] = log_sum_of_loads(sums, sigma[i], k[i], z[i])


@kernel
def draw_effective_loads(sums, sigma, k, known, out):
    """Write `effective_loads` at (sigma, k) of every draw: all arrays (d,), `out` in place; `known`: k is the same in every draw."""
    n = k.size
    n_sigmas = sums.mean.shape[0]
    cell, across, first = scratch(np.int64, n), scratch(np.float64, n), scratch(np.uint64, n)
    _sigma_cells(sums, sigma, cell, across)
    if known:
        node, _, linear, shrink = _node_of(k[0])
        row = np.empty((n_sigmas, 4))
        for g in range(n_sigmas):
            for c in range(4):
                here = sums.effective[node, g, c]
                row[g, c] = (here + linear * (sums.effective[node + 1, g, c] - here)) * shrink
        for i in range(n):
            first[i] = np.uint64(cell[i])
        copy(across, out)
        cubics(row, first, out)
        for i in range(n):
            out[i] = min(max(out[i], 1.0), k[i])
        return
    linear_of, beyond = scratches(2, n)
    for i in range(n):
        node, _, linear_of[i] = _node_below(k[i])
        first[i] = np.uint64(node * n_sigmas + cell[i])
    numbers = sums.effective.reshape((-1, 4))
    copy(across, out)
    copy(across, beyond)
    cubics(numbers, first, out)
    cubics(numbers[n_sigmas:], first, beyond)
    for i in range(n):
        out[i] = min(max(out[i] + linear_of[i] * (beyond[i] - out[i]), 1.0), k[i])
    for i in range(n):
        if k[i] >= _MAX_K:
            out[i] = effective_loads(sums, sigma[i], k[i])
