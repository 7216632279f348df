"""The helper that compiles half of the kernels compiles what the border kernel then asks for, and nothing else."""

from __future__ import annotations

import inspect
import os
import subprocess
import sys
from pathlib import Path

import build
import pytest

from sim.kernels import ahead, border, summaries
from sim.model import compile_model

ROOT = Path(__file__).parents[2]


def test_every_kernel_is_named_with_as_many_types_as_it_takes():
    """Its types are held by the nightly test below; this one sees at once where an argument was added."""
    model = compile_model(build.scenario([build.row()], {"detection_rate": 0.1, "powder_purity": 0.1, "load_log_sd": 1.0}))
    for module, kernel, signature in ahead.parts(model.strata, model.tables, model.contrasts):
        found = getattr({"border": border, "summaries": summaries}[module], kernel)
        assert len(inspect.signature(getattr(found, "py_func", found)).parameters) == len(signature)


@pytest.mark.nightly
@pytest.mark.skipif((os.cpu_count() or 1) < 2, reason="one processor has no use for a helper")
def test_nothing_is_compiled_twice_or_in_vain(tmp_path):
    """In an empty cache the first run leaves one compiled `compose` and one `draw_missed`: what the border kernel asked for."""
    scenario = ROOT / "scenarios" / "north-vs-southwest.toml"
    command = [sys.executable, "-m", "sim", "run", str(scenario), "--draws", "1024", "--results", str(tmp_path / "results")]
    subprocess.run(command, check=True, capture_output=True, cwd=ROOT, env={**os.environ, "XDG_CACHE_HOME": str(tmp_path)})
    in_border = ("compose", "draw_missed", "summarise", "compare")
    in_summaries = ("absorb", "_quantiles", "_draw_counts")
    for kernel in (*(f"border.{name}" for name in in_border), *(f"summaries.{name}" for name in in_summaries)):
        assert len(list(tmp_path.rglob(f"{kernel}-*.nbc"))) == 1
    assert not list(tmp_path.rglob(ahead._FLAG))
