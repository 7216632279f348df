"""`propagate` with ten inputs and eight outputs, against the same question put to NumPy and to the libraries a user would pick."""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable
from functools import partial
from typing import Any

import numba
import numpy as np

import sim
from sim.runner import PROBABILITIES

from .measuring import Contender, Effort, Measures, seconds_per_draw

SEED = 43
OUTPUTS = ("missed", "flow", "flow_pure", "missed_pure", "delivered", "interdiction_rate", "next_year", "turnover")
PARAMETERS: dict[str, dict[str, Any]] = {
    "seized": {"kind": "lognormal", "median": 100.0, "sd_log": 0.5},
    "rate": {"kind": "beta", "alpha": 4.0, "beta": 36.0},
    "purity": {"kind": "beta", "alpha": 20.0, "beta": 160.0},
    "share": {"kind": "beta", "alpha": 8.0, "beta": 6.0},
    "tablet_mg": {"kind": "uniform", "low": 98.0, "high": 110.0},
    "active_mg": {"kind": "normal", "mean": 2.0, "sd": 0.2},
    "size_ratio": {"kind": "lognormal", "median": 0.8, "sd_log": 0.25},
    "inland": {"kind": "uniform", "low": 0.3, "high": 0.75},
    "growth": {"kind": "normal", "mean": 0.05, "sd": 0.1},
    "price": {"kind": "gamma", "shape": 4.0, "scale": 5.0},
}


def flows(
    seized: Any, rate: Any, purity: Any, share: Any, tablet_mg: Any, active_mg: Any, size_ratio: Any, inland: Any, growth: Any, price: Any
) -> tuple[Any, ...]:
    """Return the eight outputs; arithmetic alone, so that numbers, arrays and every peer's own variables may come in."""
    missed = size_ratio * seized * (1.0 - rate) / rate
    flow = seized + missed
    mean_purity = share * active_mg / tablet_mg + (1.0 - share) * purity
    flow_pure = flow * mean_purity
    missed_pure = missed * mean_purity
    delivered = missed_pure - inland * seized * mean_purity
    return missed, flow, flow_pure, missed_pure, delivered, seized / flow, flow_pure * (1.0 + growth), delivered * price


def plain(**x: Any) -> dict[str, Any]:
    return dict(zip(OUTPUTS, flows(**x), strict=True))


def contenders(effort: Effort) -> tuple[dict[str, Contender], Measures]:
    """Return ("compiled, 1 thread", "plain, 2 threads", "NumPy" and every peer that is there, why the others are not)."""
    n = effort.draws(2**22)  # what a call pays once, 15 ms, is half of its time at a million draws
    compiled = numba.njit(flows, error_model="numpy")  # a checked division would keep the loop scalar: 9 ns a draw, not 2
    ours = partial(sim.propagate, parameters=PARAMETERS, draws=n, seed=SEED)
    found = {
        "compiled, 1 thread": Contender(partial(ours, compiled, outputs=OUTPUTS, threads=1), n),
        "compiled, 2 threads": Contender(partial(ours, compiled, outputs=OUTPUTS, threads=2), n),
        "plain, 1 thread": Contender(partial(ours, plain, threads=1), n),
        "plain, 2 threads": Contender(partial(ours, plain, threads=2), n),
    }
    absent: Measures = {}
    for name, (answer, full) in PEERS.items():
        draws = effort.draws(full, least=512)
        try:
            answer(512)  # once, small: whether it is installed and runs with the versions that are pinned here
        except ImportError as error:
            absent[name] = f"not installed ({error.name})"
        except Exception as error:  # a peer's own failure is a result too
            absent[name] = f"does not run: {type(error).__name__}: {error}"
        else:
            found[name] = Contender(partial(answer, draws), draws)
    return found, absent


def measure(effort: Effort) -> Measures:
    """Return seconds a draw of every contender, or why a peer is not there."""
    found, absent = contenders(effort)
    return {**seconds_per_draw(found, effort.rounds), **absent}


# ------------------------------------------------------------------------------------------------------------------ the peers
# Each returns the quantiles of every output, (8, 13), from n draws, by the fastest way that it offers.


def numpy_quantiles(n: int) -> Any:
    rng = np.random.default_rng(SEED)
    x = (
        rng.lognormal(math.log(100.0), 0.5, n), rng.beta(4.0, 36.0, n), rng.beta(20.0, 160.0, n), rng.beta(8.0, 6.0, n),
        rng.uniform(98.0, 110.0, n), rng.normal(2.0, 0.2, n), rng.lognormal(math.log(0.8), 0.25, n), rng.uniform(0.3, 0.75, n),
        rng.normal(0.05, 0.1, n), rng.gamma(4.0, 5.0, n),
    )  # fmt: skip
    return [np.quantile(y, PROBABILITIES) for y in flows(*x)]


def squigglepy_quantiles(n: int) -> Any:
    sq: Any = importlib.import_module("squigglepy")
    sq.set_seed(SEED)
    laws = (
        sq.LognormalDistribution(norm_mean=math.log(100.0), norm_sd=0.5),
        sq.beta(4.0, 36.0), sq.beta(20.0, 160.0), sq.beta(8.0, 6.0), sq.uniform(98.0, 110.0), sq.norm(mean=2.0, sd=0.2),
        sq.LognormalDistribution(norm_mean=math.log(0.8), norm_sd=0.25), sq.uniform(0.3, 0.75), sq.norm(mean=0.05, sd=0.1),
        sq.gamma(4.0, 5.0),
    )  # fmt: skip
    return [np.quantile(y, PROBABILITIES) for y in flows(*(law @ n for law in laws))]


def openturns_quantiles(n: int) -> Any:
    ot: Any = importlib.import_module("openturns")
    ot.RandomGenerator.SetSeed(SEED)
    laws = [
        ot.LogNormal(math.log(100.0), 0.5), ot.Beta(4.0, 36.0, 0.0, 1.0), ot.Beta(20.0, 160.0, 0.0, 1.0), ot.Beta(8.0, 6.0, 0.0, 1.0),
        ot.Uniform(98.0, 110.0), ot.Normal(2.0, 0.2), ot.LogNormal(math.log(0.8), 0.25), ot.Uniform(0.3, 0.75), ot.Normal(0.05, 0.1),
        ot.Gamma(4.0, 0.2),
    ]  # fmt: skip
    x = np.asarray(ot.JointDistribution(laws).getSample(n)).T
    # Its own function and quantiles, PythonFunction and computeQuantilePerComponent, take four times as long as NumPy's.
    return [np.quantile(y, PROBABILITIES) for y in flows(*x)]


def chaospy_quantiles(n: int) -> Any:
    cp: Any = importlib.import_module("chaospy")
    law = cp.J(
        cp.LogNormal(math.log(100.0), 0.5), cp.Beta(4.0, 36.0), cp.Beta(20.0, 160.0), cp.Beta(8.0, 6.0), cp.Uniform(98.0, 110.0),
        cp.Normal(2.0, 0.2), cp.LogNormal(math.log(0.8), 0.25), cp.Uniform(0.3, 0.75), cp.Normal(0.05, 0.1), cp.Gamma(4.0, 5.0),
    )  # fmt: skip
    return [np.quantile(y, PROBABILITIES) for y in flows(*law.sample(n, seed=SEED))]


def mcerp_quantiles(n: int) -> Any:
    mc: Any = importlib.import_module("mcerp")
    stats: Any = importlib.import_module("scipy.stats")
    np.random.seed(SEED)  # noqa: NPY002  its Latin hypercubes come from NumPy's global state
    before, mc.npts = mc.npts, n
    try:
        x = [
            mc.uv(stats.lognorm(0.5, scale=100.0)), mc.Beta(4.0, 36.0), mc.Beta(20.0, 160.0), mc.Beta(8.0, 6.0), mc.U(98.0, 110.0),
            mc.N(2.0, 0.2), mc.uv(stats.lognorm(0.25, scale=0.8)), mc.U(0.3, 0.75), mc.N(0.05, 0.1), mc.uv(stats.gamma(4.0, scale=5.0)),
        ]  # fmt: skip
        return [y.percentile(list(PROBABILITIES)) for y in flows(*x)]
    finally:
        mc.npts = before


def monaco_quantiles(n: int) -> Any:
    mo: Any = importlib.import_module("monaco")
    stats: Any = importlib.import_module("scipy.stats")
    steps = {
        "preprocess": lambda case: tuple(case.invals[name].val for name in PARAMETERS),
        "run": lambda *x: flows(*x),
        "postprocess": lambda case, *y: [case.addOutVal(name, one) for name, one in zip(OUTPUTS, y, strict=True)],
    }
    run = mo.Sim("flows", n, steps, samplemethod="random", seed=SEED, singlethreaded=True, verbose=False)
    for name, law, keys in (
        ("seized", stats.lognorm, {"s": 0.5, "scale": 100.0}), ("rate", stats.beta, {"a": 4.0, "b": 36.0}),
        ("purity", stats.beta, {"a": 20.0, "b": 160.0}), ("share", stats.beta, {"a": 8.0, "b": 6.0}),
        ("tablet_mg", stats.uniform, {"loc": 98.0, "scale": 12.0}), ("active_mg", stats.norm, {"loc": 2.0, "scale": 0.2}),
        ("size_ratio", stats.lognorm, {"s": 0.25, "scale": 0.8}), ("inland", stats.uniform, {"loc": 0.3, "scale": 0.45}),
        ("growth", stats.norm, {"loc": 0.05, "scale": 0.1}), ("price", stats.gamma, {"a": 4.0, "scale": 5.0}),
    ):  # fmt: skip
        run.addInVar(name, law, keys)
    run.runSim()
    return [np.quantile(run.outvars[name].nums, PROBABILITIES) for name in OUTPUTS]


PEERS: dict[str, tuple[Callable[[int], Any], int]] = {  # and the draws of one call, fewer where a draw takes longer
    "NumPy": (numpy_quantiles, 1_000_000),
    "squigglepy": (squigglepy_quantiles, 1_000_000),
    "OpenTURNS": (openturns_quantiles, 1_000_000),
    "chaospy": (chaospy_quantiles, 200_000),
    "mcerp": (mcerp_quantiles, 50_000),
    "monaco": (monaco_quantiles, 4_096),
}
