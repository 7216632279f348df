"""Scalar inputs of any model, lane by lane: their uniforms, their laws and what makes them depend on each other.

Letters: x = inputs, k = components of correlated inputs, s = uniform slots, d = draws of one lane.
"""

from __future__ import annotations

from math import sqrt
from typing import NamedTuple

import numpy as np

from .jit import borrowing, inlined
from .quantiles import evaluate_many, normal_scores, normal_tails, t_tails
from .scratch import scratches
from .streams import fill_philox, fill_sobol

_REPLICATE_SHIFT = 56  # a replicate's points are neighbours in a Philox stream, so that a block of it serves two of them


class Source(NamedTuple):
    """Where the uniforms of one replicate come from.

    seed, replicate               point i of replicate r is draw r 2^56 + i of a Philox stream
    directions, shift             (s', 53), (s',) uint64: scrambled Sobol' directions of this replicate; s' = 0 under plain Philox
    dimension, stream             (s,): Sobol' dimension of every slot, -1 where it is drawn from its Philox stream
    """

    seed: np.uint64
    replicate: int
    directions: np.ndarray
    shift: np.ndarray
    dimension: np.ndarray
    stream: np.ndarray


class Inputs(NamedTuple):
    """Every scalar input of the model as x = F^-1(u).

    slot (x,)                slot of its uniform, -1 for a constant
    constant (x,)            its value then
    coefficients, child      inverse-CDF tables of all laws, packed
    low, high, first (x,)    support and first cell of each input's table
    component (x,)           -1 where independent
    member_start (k + 1,), member   inputs of each correlated component, in order
    factor_start (k,), factor       its lower-triangular factor, rows one after another
    df (k,)                  0 for a Gaussian component, else degrees of freedom of its t copula
    chi_slot, chi_low, chi_high, chi_first (k,)   slot and table of its chi-square
    t_tables (k, 288, 4)     tables of the t distribution function, unused for Gaussian components
    """

    slot: np.ndarray
    constant: np.ndarray
    coefficients: np.ndarray
    child: np.ndarray
    low: np.ndarray
    high: np.ndarray
    first: np.ndarray
    component: np.ndarray
    member_start: np.ndarray
    member: np.ndarray
    factor_start: np.ndarray
    factor: np.ndarray
    df: np.ndarray
    chi_slot: np.ndarray
    chi_low: np.ndarray
    chi_high: np.ndarray
    chi_first: np.ndarray
    t_tables: np.ndarray


class Scores(NamedTuple):
    """The tables that `draw_inputs` reads, of quantiles.py: normal scores and the normal tail."""

    score: np.ndarray
    tail: np.ndarray


@borrowing
def fill(source, slot, first, out):
    """Write the folded uniforms of points first .. first + d - 1 of one slot."""
    dimension = source.dimension[slot]
    if dimension >= 0:
        fill_sobol(source.directions[dimension], source.shift[dimension], first, out)
    else:
        fill_philox(source.seed, source.stream[slot], (source.replicate << _REPLICATE_SHIFT) + first, out)


@inlined
def largest_component(inputs):
    """Return how many inputs the greatest component has, 1 where there is none."""
    largest = 1
    for k in range(inputs.df.size):
        largest = max(largest, inputs.member_start[k + 1] - inputs.member_start[k])
    return largest


@borrowing
def draw_inputs(inputs, tables, source, first, n, score, x):
    """Write every input of one lane.

    x = F^-1(u);  in a component u = Phi(z) or T_df(z sqrt(df / chi2)), z = L e with e independent normal scores and L L' = R

    first, n       index of the lane's first point, and how many it has
    score (k, d)   scratch, k = the greatest component
    x (x, d)       written in place

    Source: method.md section 5.
    """
    uniform, scale = scratches(2, n)
    for p in range(inputs.slot.size):
        if inputs.slot[p] < 0:
            x[p, :n] = inputs.constant[p]
        elif inputs.component[p] < 0:
            fill(source, inputs.slot[p], first, uniform)
            evaluate_many(inputs.coefficients, inputs.child, inputs.low[p], inputs.high[p], inputs.first[p], uniform, x[p, :n])
    for k in range(inputs.df.size):
        start = inputs.member_start[k]
        size = inputs.member_start[k + 1] - start
        for m in range(size):
            fill(source, inputs.slot[inputs.member[start + m]], first, uniform)
            normal_scores(tables.score, uniform, score[m, :n])
        df = inputs.df[k]
        if df > 0.0:
            fill(source, inputs.chi_slot[k], first, uniform)
            evaluate_many(inputs.coefficients, inputs.child, inputs.chi_low[k], inputs.chi_high[k], inputs.chi_first[k], uniform, scale)
            for i in range(n):
                scale[i] = sqrt(df / scale[i])
        for m in range(size - 1, -1, -1):  # from the last: row m needs the scores of the rows before it as they were
            row = inputs.factor_start[k] + m * (m + 1) // 2
            dependent = score[m]
            weight = inputs.factor[row + m]
            for i in range(n):
                dependent[i] *= weight
            for e in range(m):
                other = score[e]
                weight = inputs.factor[row + e]
                if weight != 0.0:
                    for i in range(n):
                        dependent[i] += weight * other[i]
        for m in range(size):
            p = inputs.member[start + m]
            dependent = score[m, :n]
            if df > 0.0:
                for i in range(n):
                    dependent[i] *= scale[i]
                t_tails(inputs.t_tables[k], df, dependent, uniform)
            else:
                normal_tails(tables.tail, dependent, uniform)
            evaluate_many(inputs.coefficients, inputs.child, inputs.low[p], inputs.high[p], inputs.first[p], uniform, x[p, :n])
