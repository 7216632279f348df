"""Which input a result hangs on, from draws alone: first-order indices, Shapley effects, the value of perfect information on one input.

Arrays in, arrays out. R = batches of draws that are independent of each other (replicates), t = targets, m = claims, b = bins, d = draws,
g = groups of inputs. A subset of groups is an integer: group k is in it where bit k is set.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import special

from .kernels import bins

Array = NDArray[np.float64]
Estimate = tuple[Array, Array]
"""What is estimated and its Monte Carlo standard error, of one shape."""

BINS = 256  # of an input; with equal probabilities instead, the last bins lose .006 of a lognormal of log-sd .5, .05 of one of 1
CLAIM_BINS = 64  # a decision is made in each, on half the draws: 1,000 of them or so


def bin_edges(n_bins: int, n_draws: int) -> tuple[float, ...]:
    """Return the probabilities (b - 1,) at which an input is cut: equal steps of its normal score, about 16 draws beyond the last.

    Bins of equal probability are too wide where a law has a tail.
    """
    reach = -special.ndtri(min(16.0 / n_draws, 0.1))
    return tuple(special.ndtr(np.linspace(-reach, reach, n_bins - 1)).tolist())


def sort_into_bins(edges: Array, draws: Array) -> NDArray[np.uint16]:
    """Return the bin of every draw of every input, (x, d); edges (x, b - 1) as `bins.place_in_bins` needs them."""
    place = np.empty(draws.shape, np.uint16)
    for row, of_input, at in zip(edges, draws, place, strict=True):
        bins.place_in_bins(row, of_input, at)
    return place


def binned(place: NDArray[np.uint16], targets: Array, n_bins: int) -> tuple[NDArray[np.int64], Array]:
    """Return how many draws fell into each bin of one input, and the sums of each target there, (R, t, b) both.

    place (R, d)    targets (R, t, d), NaN where undefined
    """
    counts = np.zeros((*targets.shape[:2], n_bins), np.int64)
    sums = np.zeros(counts.shape)
    for batch in range(len(targets)):
        bins.add_to_bins(place[batch], targets[batch], counts[batch], sums[batch])
    return counts, sums


def jackknifed(without: Array) -> Array:
    """Return the standard error over batches of what (R, ...) holds with one batch left out.

    For an index of 0 it is sqrt(2) too large: pairs of batches then tell all there is to tell.
    """
    n = len(without)
    error: Array = np.sqrt((n - 1) / n * np.sum((without - without.mean(axis=0)) ** 2, axis=0))
    return error


def _pairs(total: Array, squares: Array, n: Any) -> Array:
    """Return the mean of a product of two different batches, from the sum of n batches and the sum of their squares; 0 where n < 2."""
    paired: Array = np.where(n > 1, (total**2 - squares) / np.maximum(n * (n - 1), 1), 0.0)
    return paired


def first_order(counts: NDArray[np.int64], sums: Array, mean_square: Array) -> Estimate:
    """Return Var(E[Y | X]) / Var(Y) of every target, (t,), for one input X that was cut into bins.

    Var(E[Y | X]) = sum_b p_b E[Y | b]^2 - E[Y]^2, every square the mean product of two different batches: its expectation is that of the
    square without the noise of either, which a plug-in has too much of, (B - 1)/N of Var(Y) with independent draws and less, by as much as
    nobody knows, with Sobol' points. Nothing is assumed of other inputs, so it is right under dependence.

    counts, sums (R, t, b)    as `binned`; the target centred, or its digits go
    mean_square (R, t)        of the target

    Source: method.md section 7; the correction replaces Plischke, Borgonovo & Smith 2013 (10.1016/j.ejor.2012.11.047), section 2.
    """
    met = counts > 0
    means = np.divide(sums, counts, out=np.zeros_like(sums), where=met)
    weight = counts.sum(axis=0) / np.maximum(counts.sum(axis=(0, 2)), 1)[:, None]
    whole = sums.sum(axis=2) / np.maximum(counts.sum(axis=2), 1)
    n = len(counts)
    inside_bins, in_all = (means, means**2, met), (whole, whole**2, mean_square)
    # Sums over batches are made once, not for every batch left out: that was a fifth of the time of all indices.
    sums_inside, sums_in_all = ([each.sum(axis=0) for each in of] for of in (inside_bins, in_all))

    def index(left_out: int | None) -> Array:
        def kept(sums_of: list[Any], each: tuple[Any, ...]) -> list[Any]:
            return sums_of if left_out is None else [total - one[left_out] for total, one in zip(sums_of, each, strict=True)]

        total, squares, batches = kept(sums_inside, inside_bins)
        inside = (weight * _pairs(total, squares, batches)).sum(axis=1)
        total, squares, mean = kept(sums_in_all, in_all)
        n_left = n - (left_out is not None)
        squared = _pairs(total, squares, n_left)
        with np.errstate(invalid="ignore", divide="ignore"):
            found: Array = (inside - squared) / (mean / n_left - squared)
        return found

    return index(None), jackknifed(np.stack([index(batch) for batch in range(n)]))


def evppi(counts: NDArray[np.int64], sums: Array) -> Estimate:
    """Return by how much perfect information on one input raises the chance to be right on each claim, (m,).

    E max(P(A | X), 1 - P(A | X)) - max(P(A), 1 - P(A))

    What to say is chosen, bin by bin and without X, on every second batch and judged on the others, then the other way round: judged on
    the draws it was chosen on it would be too high, by about .4 sqrt(B / N).

    counts, sums (R, m, b)    as `binned`, the target 1 where the claim is true, 0 where not, NaN where undefined

    Source: Strong, Oakley & Brennan 2014; method.md section 7.
    """
    n = len(counts)
    n_draws, hits = counts.sum(axis=2), sums.sum(axis=2)
    gain = np.empty(hits.shape)
    for half in range(2):
        chosen, judged = slice(half, n, 2), slice(1 - half, n, 2)
        says = hits[chosen].sum(axis=0) * 2.0 > n_draws[chosen].sum(axis=0)
        there = counts[chosen].sum(axis=0)
        says_there = np.where(there > 0, sums[chosen].sum(axis=0) * 2.0 > there, says[:, None])
        right = np.where(says_there, sums[judged], counts[judged] - sums[judged]).sum(axis=2)
        right_before = np.where(says, hits[judged], n_draws[judged] - hits[judged])
        with np.errstate(invalid="ignore", divide="ignore"):
            gain[judged] = (right - right_before) / n_draws[judged]
    return gain.mean(axis=0), gain.std(axis=0, ddof=1) / np.sqrt(n)


def products(answers: Array) -> Array:
    """Return the mean product of two answers that share a subset of groups and no other input, (2^g, t), for every subset.

    answers (2^g, t, d)    number u: with the groups in u from one set of draws, the others from another

    Answers u and w share what u XOR w leaves out; the mean over all such pairs is an autocorrelation over XOR, so two Walsh-Hadamard
    transforms do it, and each of the 2^g answers serves every subset.
    """
    n = len(answers)
    spectrum = _walsh(answers)
    differing = _walsh((spectrum**2).mean(axis=2)) / n**2
    shared: Array = differing[::-1]  # the subset that is shared is the complement of the one that differs
    return shared


def _walsh(array: Array) -> Array:
    """Return the Walsh-Hadamard transform along the first axis, of a length 2^g."""
    out = array.copy()
    size = 1
    while size < len(out):
        halves = out.reshape(-1, 2, size, *out.shape[1:])
        out = np.stack([halves[:, 0] + halves[:, 1], halves[:, 0] - halves[:, 1]], axis=1).reshape(out.shape)
        size *= 2
    return out


def shapley(shared: Array) -> Estimate:
    """Return the Shapley effect of every group on every target, (g, t): its share of Var(Y); they add up to 1.

    With v(u) = Var(E[Y | X_u]), the effect of j is the mean over all orders of v(u and j) - v(u), u what comes before j; over v(all).

    shared (R, 2^g, t)    E[Y Y'] of two answers that share the groups of a subset alone; that of the empty one is the square of the mean

    Source: Owen 2014; Song, Nelson & Staum 2016.
    """
    n = len(shared)
    totals = shared.sum(axis=0)
    return _shapley(totals), jackknifed(np.stack([_shapley(totals - shared[batch]) for batch in range(n)]))


def _shapley(values: Array) -> Array:
    subsets = np.arange(len(values))
    g = len(values).bit_length() - 1
    size = np.bitwise_count(subsets).astype(np.int64)
    weight = np.array([1.0 / (g * math.comb(g - 1, k)) for k in range(g)])
    effects = []
    for j in range(g):
        without = subsets[(subsets >> j) & 1 == 0]
        effects.append((weight[size[without], np.newaxis] * (values[without | (1 << j)] - values[without])).sum(axis=0))
    with np.errstate(invalid="ignore", divide="ignore"):
        found: Array = np.array(effects).reshape(g, values.shape[1]) / (values[-1] - values[0])
    return found
