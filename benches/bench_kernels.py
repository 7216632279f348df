"""One variate at a time: any law through its table against a bare uniform of NumPy, and counts and sums against NumPy's samplers."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
from numpy.random import Generator, Philox

from sim import elicitation
from sim.inputs import compile_inputs
from sim.kernels import counts, functions, gammas, lognormal_loads, quantiles, streams
from sim.kernels.arithmetic import exp
from sim.kernels.inputs import Scores
from sim.kernels.jit import kernel
from sim.kernels.lognormal_loads import LoadSums
from sim.kernels.scratch import LANE

from .measuring import Array, Contender, Effort, Measures, seconds_per_draw
from .scenarios import source

LAWS: dict[str, dict[str, object]] = {
    "uniform": {"kind": "uniform", "low": 1.0, "high": 2.0},
    "triangular": {"kind": "triangular", "low": 0.0, "mode": 1.0, "high": 3.0},
    "pert": {"kind": "pert", "low": 1.8, "mode": 2.7, "high": 3.4},
    "beta": {"kind": "beta", "interval": [0.03, 0.25], "probability": 0.9},
    "U-shaped beta": {"kind": "beta", "alpha": 0.3, "beta": 0.2},
    "normal": {"kind": "normal", "mean": 2.4, "sd": 0.2},
    "truncated normal": {"kind": "normal", "mean": 2.41, "sd": 0.2, "lower": 1.6, "upper": 3.2},
    "lognormal": {"kind": "lognormal", "median": 1.0, "sd_log": 0.5},
    "gamma": {"kind": "gamma", "shape": 2.5, "scale": 3.0},
    "Student t": {"kind": "student_t", "df": 3.0, "loc": 0.0, "scale": 1.0},
    "empirical": {"kind": "empirical", "values": [1.0, 2.0, 3.0, 5.0, 8.0]},
    "Weibull": {"kind": "scipy", "name": "weibull_min", "c": 1.5, "loc": 0.0, "scale": 2.0},
}
DETECTION_RATE = 0.1
N_EVENTS = 100.0
LOG_SD = 2.4
N_LOADS = 100


@kernel
def gamma_variates(table: Array, score_table: Array, shape: Array, u: Array, z: Array, out: Array) -> None:
    """Write gamma variates; shape (d,), u and z (2, d) folded uniforms and their scores."""
    quantiles.normal_scores(score_table, u[0], z[0])
    gammas.log_gamma_ratios(table, shape, z[0], out)
    for i in range(out.size):
        out[i] = shape[i] * exp(out[i])


@kernel
def missed_counts(table: Array, tail_table: Array, score_table: Array, shape: Array, rate: Array, u: Array, z: Array, out: Array) -> None:
    """Write numbers of missed loads, negative binomial."""
    for k in range(2):
        quantiles.normal_scores(score_table, u[k], z[k])
    counts.draw_missed_loads(table, tail_table, shape, False, rate, z[0], z[1], out)


@kernel
def sums_of_loads(sums: LoadSums, score_table: Array, sigma: Array, k: Array, u: Array, z: Array, out: Array) -> None:
    """Write log sums of k lognormal loads."""
    quantiles.normal_scores(score_table, u[0], z[0])
    lognormal_loads.draw_sums_of_loads(sums, sigma, k, False, z[0], out)
    lognormal_loads.draw_effective_loads(sums, sigma, k, False, z[1])


@kernel
def fill_lane(seed: np.uint64, first: int, u: Array) -> None:
    for row in range(u.shape[0]):
        streams.fill_philox(seed, np.uint64(row), first, u[row])


def contenders(effort: Effort) -> dict[str, Contender]:
    """Return the contenders, all on one thread: "<law>, philox", "<law>, sobol", and the samplers of counts and sums."""
    n = effort.draws(2**18)
    rng = Generator(Philox(43))
    buffer = np.empty(n)
    lanes = n // LANE
    found = {"uniform of NumPy's Philox": Contender(lambda: rng.random(out=buffer), n)}
    tables = Scores(score=quantiles.normal_score_table(), tail=quantiles.normal_tail_table())
    for name, spec in LAWS.items():
        inputs, slot_names = compile_inputs({"x": elicitation.law(spec)})
        for sampler in ("philox", "sobol"):
            uniforms, out = source(slot_names, sampler), np.empty((1, n))
            found[f"{name}, {sampler}"] = Contender(partial(functions.draw_arguments, inputs, tables, uniforms, 0, out), n)

    u, z, drawn = np.empty((2, LANE)), np.empty((2, LANE)), np.empty(LANE)
    rate, sigma, shape = np.full(LANE, DETECTION_RATE), np.full(LANE, LOG_SD), np.full(LANE, 0.7)
    events, loads = np.full(LANE, N_EVENTS + 0.5), np.full(LANE, float(N_LOADS))
    gamma, score, sums = gammas.gamma_table(), tables.score, lognormal_loads.load_sums(LOG_SD, LOG_SD, 3.0)

    def in_lanes(one: Callable[[], None]) -> Contender:
        def all_lanes() -> None:
            for lane in range(lanes):
                fill_lane(np.uint64(43), lane * LANE, u)
                one()

        return Contender(all_lanes, n)

    few = max(lanes // 16, 1)  # brute force takes a hundred lognormal variates a draw

    def added_up() -> None:
        for _ in range(few):
            rng.lognormal(0.0, LOG_SD, (LANE, N_LOADS)).sum(axis=1)

    found |= {
        "gamma variate": in_lanes(lambda: gamma_variates(gamma, score, shape, u, z, drawn)),
        "count": in_lanes(lambda: missed_counts(gamma, tables.tail, score, events, rate, u, z, drawn)),
        "sum of loads": in_lanes(lambda: sums_of_loads(sums, score, sigma, loads, u, z, drawn)),
        "NumPy gamma": Contender(lambda: [rng.standard_gamma(0.7, LANE) for _ in range(lanes)], n),
        "NumPy count": Contender(lambda: [rng.negative_binomial(N_EVENTS + 0.5, DETECTION_RATE, LANE) for _ in range(lanes)], n),
        "NumPy sum of loads": Contender(added_up, few * LANE),
    }
    return found


def measure(effort: Effort) -> Measures:
    """Return seconds a variate of every contender."""
    return seconds_per_draw(contenders(effort), effort.rounds)
