"""Blocks of any function: arguments are the same points however they are cut, outputs reach their summaries."""

from __future__ import annotations

import itertools

import numba
import numpy as np
import pytest
from lanes import in_lanes
from scipy import stats

from sim import distributions, elicitation
from sim.dependence import Component, ParameterDraw
from sim.inputs import compile_inputs
from sim.kernels import functions, quantiles, streams, summaries
from sim.kernels.inputs import Scores, Source, fill
from sim.kernels.scratch import LANE
from sim.records import Parameter

COMPILED = not numba.config.DISABLE_JIT
N = 3 * LANE + 17 if COMPILED else LANE + 17
SEED = 77

LAWS = {
    "b": elicitation.law({"kind": "gamma", "shape": 2.0, "scale": 3.0}),
    "a": elicitation.law({"kind": "normal", "mean": 5.0, "sd": 2.0}),
    "fixed": elicitation.law(2.5),
    "c": elicitation.law({"kind": "uniform", "low": -1.0, "high": 1.0}),
}
R = np.array([[1.0, 0.7, 0.2], [0.7, 1.0, 0.0], [0.2, 0.0, 1.0]])
TABLES = Scores(score=quantiles.normal_score_table(), tail=quantiles.normal_tail_table())


def inputs_of(df):
    """Return inputs with a component of a, b and a constant, and the names of their slots."""
    draws = tuple(ParameterDraw(id=name, block=Parameter(id=name, name=name, law=LAWS[name])) for name in ("a", "b", "fixed"))
    return compile_inputs(LAWS, [Component(parameter_draws=draws, matrix=R, df=df)], constants=[0.0, 1.0])


def source_of(names, sobol):
    directions = streams.sobol_directions(len(names) if sobol else 0)
    directions, shift = streams.sobol_scrambles(np.uint64(SEED), 3, directions)
    stream = np.array([streams.stream_id(name) for name in names], np.uint64)
    dimension = np.arange(len(names)) if sobol else np.full(len(names), -1)
    return Source(seed=np.uint64(SEED), replicate=3, directions=directions, shift=shift, dimension=dimension, stream=stream)


def arguments(inputs, source, first, n):
    x = np.empty((inputs.slot.size, n))
    functions.draw_arguments(inputs, TABLES, source, first, x)
    return x


def uniforms(source, slot, n):
    """Return the lower tail probabilities of one slot's first points."""
    folded = np.empty(n)
    for start in range(0, n, LANE):
        fill(source, slot, start, folded[start : start + LANE])
    return np.where(folded > 0.0, folded, 1.0 + folded)


@pytest.mark.parametrize("sobol", [True, False])
@pytest.mark.parametrize("df", [0.0, 4.0])
def test_arguments_are_the_inverse_cdf_of_their_slots(sobol, df):
    """The twin is SciPy: scores, Cholesky factor, chi-square, distribution functions."""
    inputs, names = inputs_of(df)
    assert names == (("a", "b", "c", "chi-square:a") if df else ("a", "b", "c"))
    source = source_of(names, sobol)
    x = arguments(inputs, source, 0, N)
    u = {name: uniforms(source, slot, N) for slot, name in enumerate(names)}
    z = np.linalg.cholesky(R[:2, :2]) @ stats.norm.ppf([u["a"], u["b"]])
    joint = stats.t.cdf(z * np.sqrt(df / stats.chi2.ppf(u["chi-square:a"], df)), df) if df else stats.norm.cdf(z)
    expected = {"a": joint[0], "b": joint[1], "c": u["c"]}
    for row, name in zip(x, LAWS, strict=False):
        if name == "fixed":
            assert (row == 2.5).all()
        else:
            np.testing.assert_allclose(distributions.cdf(LAWS[name], row), expected[name], rtol=3e-6)
    assert (x[4:] == [[0.0], [1.0]]).all()


@pytest.mark.parametrize("sobol", [True, False])
@pytest.mark.parametrize("df", [0.0, 4.0])
def test_a_block_may_be_cut_anywhere(sobol, df):
    inputs, names = inputs_of(df)
    source = source_of(names, sobol)
    whole = arguments(inputs, source, 0, N)
    for cuts in ([0, LANE, N], [0, 1, 2, 100, N]):
        parts = [arguments(inputs, source, start, stop - start) for start, stop in itertools.pairwise(cuts)]
        np.testing.assert_array_equal(np.concatenate(parts, axis=1), whole)


@pytest.mark.parametrize("n", [1, 64, 4 * LANE if COMPILED else LANE])
def test_outputs_reach_their_own_summaries(n):
    outputs = np.stack([np.linspace(-3.0, 5.0, n), np.where(np.arange(n) % 3 == 0, np.nan, 7.0)])
    layout = summaries.plan_layout(outputs)
    state, alone = summaries.new_state(layout), summaries.new_state(layout)
    lane = min(n, LANE)
    sums = np.full((2, n // lane, 2), np.nan)
    functions.summarise_outputs(outputs, layout, state, sums)
    for s in range(2):
        in_lanes(summaries.update, layout, alone, s, outputs[s])
        for k in range(n // lane):
            part = outputs[s, k * lane : (k + 1) * lane]
            assert tuple(sums[s, k]) == summaries.lane_sums(part, layout.centre[s])
    for found, expected in zip(state, alone, strict=True):
        np.testing.assert_array_equal(found, expected)


def loop(x, out, n):
    for i in range(n):
        out[0, i] = x[0, i] * x[1, i] + x[3, i]
        out[1, i] = np.nan if x[0, i] > 9.0 else -x[3, i]


def failing(x, out, n):
    if x[0, 0] > 0.0:
        raise ValueError("this one")


@pytest.mark.parametrize("df", [0.0, 3.0])
@pytest.mark.parametrize("n", [1, 64, 4 * LANE if COMPILED else LANE])
def test_a_block_in_one_loop_is_its_steps(df, n):
    inputs, names = inputs_of(df)
    source = source_of(names, True)
    x = arguments(inputs, source, 2 * n, n)
    outputs = np.empty((2, n))
    loop(x, outputs, n)
    layout = summaries.plan_layout(outputs)
    states = [summaries.new_state(layout) for _ in range(2)]
    sums = np.full((2, 2, max(n // LANE, 1), 2), np.nan)
    functions.summarise_outputs(outputs, layout, states[0], sums[0])
    block = functions.whole_block_of(inputs, TABLES, source, 2 * n, n, layout, states[1], sums[1])
    block(numba.njit(functions.LOOP)(loop), inputs, TABLES, source, 2 * n, n, layout, states[1], sums[1])
    for found, expected in zip(states[1], states[0], strict=True):
        np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(sums[1], sums[0])
    with pytest.raises(ValueError, match="this one"):
        block(numba.njit(functions.LOOP)(failing), inputs, TABLES, source, 2 * n, n, layout, states[1], sums[1])
