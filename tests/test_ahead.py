"""The helper that compiles half of the kernels compiles what the border kernel then asks for, and nothing else."""

from __future__ import annotations

import inspect
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import build
import pytest
from numba import typeof

from sim import ahead
from sim.model import compile_model

ROOT = Path(__file__).parents[1]
SCENARIO = build.scenario(
    [build.row()], {"detection_rate": 0.1, "powder_purity": 0.1, "load_log_sd": {"kind": "uniform", "low": 1.0, "high": 2.0}}
)


def test_every_kernel_is_named_with_as_many_types_as_it_takes():
    """Its types are held by the nightly test below; this one sees at once where an argument was added."""
    for kernel, signature in ahead.parts(ahead.prototype(SCENARIO)):
        assert len(inspect.signature(getattr(kernel, "py_func", kernel)).parameters) == len(signature)


@pytest.mark.parametrize("load_law", ["lognormal", "gamma", "equal", "copy"])
def test_the_prototype_has_the_types_of_the_scenario(load_law):
    model, prototype = compile_model(replace(SCENARIO, load_law=load_law)), ahead.prototype(SCENARIO)
    for name in ("strata", "tables", "contrasts"):
        assert typeof(getattr(prototype, name)) == typeof(getattr(model, name))


@pytest.mark.nightly
@pytest.mark.skipif((os.cpu_count() or 1) < 2, reason="one processor has no use for a helper")
def test_nothing_is_compiled_twice_or_in_vain(tmp_path):
    """In an empty cache the first run leaves one compiled kernel of each: what the border kernel asked for."""
    scenario = ROOT / "scenarios" / "north-vs-southwest.toml"
    command = [sys.executable, "-m", "sim", "run", str(scenario), "--draws", "65536", "--results", str(tmp_path / "results")]
    subprocess.run(command, check=True, capture_output=True, cwd=ROOT, env={**os.environ, "XDG_CACHE_HOME": str(tmp_path)})
    in_border = ("compose", "draw_missed", "summarise", "compare")
    in_summaries = ("absorb", "_quantiles", "locate", "_draw_counts")
    for kernel in (*(f"border.{name}" for name in in_border), *(f"summaries.{name}" for name in in_summaries), "packing._encode"):
        assert len(list(tmp_path.rglob(f"{kernel}-*.nbc"))) == 1
    assert not list(tmp_path.rglob(ahead._FLAG))
