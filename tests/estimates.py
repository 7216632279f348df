"""What the tests of running a plan share: an engine to run, what is reported as bytes, and tasks small enough that there are many."""

from __future__ import annotations

import strategies

from sim import partials, runner, simulation
from sim.model import compile_model

REPORTED = ("quantiles", "mcse", "mean", "sd", "mean_mcse", "n", "counters")


def border_engine():
    return simulation.BorderEngine(compile_model(strategies.fixed_border_scenario()))


def bits(estimates):
    """Return name -> the bytes of everything that is reported."""
    return {name: getattr(estimates, name).tobytes() for name in REPORTED}


def make_tasks_small(monkeypatch):
    """One block of 1,024 points is a task, and all of them are worth keeping."""
    monkeypatch.setattr(runner, "BLOCK", 1 << 10)
    monkeypatch.setattr(runner, "_BLOCKS_A_TASK", 1)
    monkeypatch.setattr(partials, "SHARE", float("inf"))
