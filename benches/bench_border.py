"""Whole runs of the border model, against NumPy and against themselves with other loads, counts and threads."""

from __future__ import annotations

from typing import Any

import numpy as np

from sim.kernels import summaries
from sim.model import Model, compile_model
from sim.runner import BLOCK, Block
from sim.simulation import BorderEngine, simulate

from . import numpy_border
from .measuring import Contender, Effort, Measures, seconds_per_draw
from .scenarios import one_stratum, shipped, source, southwest_fy2024

SEED = 43


def contenders(effort: Effort) -> dict[str, Contender]:
    """Return "gamma, 1 thread", "NumPy, gamma", ...; models, tables and the reference's knots are made before."""
    n = effort.draws(2**20)  # what the scenario asks for
    whole = {law: compile_model(shipped(n, law)) for law in ("gamma", "lognormal")}
    strata = {count: compile_model(one_stratum(effort.draws(2**21), count)) for count in (10, 3000)}
    southwest = compile_model(southwest_fy2024(effort.draws(2**18)))
    many = compile_model(southwest_fy2024(effort.draws(10_000_000)))
    reference = numpy_border.prepare(whole["gamma"])
    brute = numpy_border.prepare(southwest)
    n_numpy = effort.draws(2**16)  # where np.quantile costs least: arrays still fit a second-level cache
    n_brute = effort.draws(2**12, least=64)
    return {
        "gamma, 1 thread": _run(whole["gamma"], 1),
        "gamma, 2 threads": _run(whole["gamma"], 2),
        "lognormal, 1 thread": _run(whole["lognormal"], 1),
        "gamma, 1 thread, no summaries": _drawn_only(whole["gamma"], min(n, BLOCK)),
        "NumPy, gamma": Contender(lambda: numpy_border.summarised(reference, n_numpy, SEED), n_numpy),
        "NumPy, gamma, no summaries": Contender(lambda: numpy_border.drawn_only(reference, n_numpy, SEED), n_numpy),
        "n = 10": _run(strata[10], 1),
        "n = 3,000": _run(strata[3000], 1),
        "10^7 draws, 1 thread": _run(many, 1),
        "10^7 draws, 2 threads": _run(many, 2),
        "southwest FY2024": _run(southwest, 1),
        "NumPy, southwest FY2024": Contender(lambda: numpy_border.summarised(brute, n_brute, SEED), n_brute),
    }


def measure(effort: Effort) -> Measures:
    """Return seconds a draw of every contender."""
    return seconds_per_draw(contenders(effort), effort.rounds)


def _run(model: Model, threads: int) -> Contender:
    """A whole run as `sim.run` makes it, with the errors of its results, but without labels."""
    asked: Any = model.scenario.draws
    return Contender(lambda: simulate(model, threads=threads), asked)


def _drawn_only(model: Model, n: int) -> Contender:
    """The draws of every result without summaries: the kernel is told to store the first point of each, and does no more than that."""
    engine = BorderEngine(model)
    uniforms = source(model.slot_names, model.scenario.sampler, n_point_slots=model.n_point_slots)
    layout = summaries.plan_layout(np.zeros((0, 1)), True)
    state = summaries.new_state(layout)
    stored, inputs, none = np.empty((engine.n_summaries, 1)), np.empty((engine.n_inputs, 1)), np.empty((engine.n_summaries, 0, 2))
    return Contender(lambda: engine._draw(Block(uniforms, 0, n), layout, state, none, stored, inputs), n)
