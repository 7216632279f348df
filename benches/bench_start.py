"""From the command to the prompt: a run of 65,536 draws with compiled code in the cache, and the first one ever, which compiles."""

from __future__ import annotations

import tempfile
import time

import numpy as np

from .measuring import Contender, Effort, Measures, run_child, seconds_per_draw
from .scenarios import SHIPPED

LARGEST_DIVISION = 16  # beyond it only the bodies are of interest, and compiling would take longer than all the rest


def measure(effort: Effort) -> Measures:
    """Return seconds: "sim run, warm", "imports", "first sim run"; and whether the first said on the terminal that it compiles (0, 1)."""
    draws = effort.draws(65_536)
    contenders = {
        "sim run, warm": Contender(lambda: _sim_run(draws)),
        "imports": Contender(lambda: run_child(["-c", "import numba, scipy.stats, xarray"])),
    }
    found = seconds_per_draw(contenders, effort.rounds)
    found |= {"40 seconds": np.array([40.0]), "yes": np.ones(1)}
    if effort.divide > LARGEST_DIVISION:
        return {**found, "first sim run": "only at full size", "first sim run says so": "only at full size"}
    with tempfile.TemporaryDirectory() as empty:
        begin = time.perf_counter()
        said = _sim_run(draws, XDG_CACHE_HOME=empty)
        found["first sim run"] = np.array([time.perf_counter() - begin])
        found["first sim run says so"] = np.array([float("compil" in said.lower())])
    return found


def _sim_run(draws: int, **environment: str) -> str:
    with tempfile.TemporaryDirectory() as results:
        return run_child(["-m", "sim", "run", str(SHIPPED), "--draws", str(draws), "--results", results], **environment)
