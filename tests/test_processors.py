"""The same bits on other processors: NumPy without what it has for the newer ones, Numba compiling for an old one."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import sim
from sim import conditions, distributions, elicitation
from sim.kernels import gammas, lognormal_loads, quantiles

ROOT = Path(__file__).resolve().parents[1]
RNG = np.random.default_rng(2024)
LOGNORMALS = [
    {"kind": "lognormal", "median": median, "sd_log": sd}
    for median, sd in zip(RNG.uniform(0.1, 9, 12), RNG.uniform(0.05, 3, 12), strict=True)
]
LAWS = [
    *LOGNORMALS,
    {"kind": "normal", "mean": 1.3, "sd": 0.7, "lower": -0.5},
    {"kind": "lognormal", "interval": [0.02, 0.3], "probability": 0.9, "upper": 1.0},
    {"kind": "gamma", "shape": 0.7, "scale": 2.0, "lower": 1e-9},
    {"kind": "beta", "interval": [0.02, 0.3], "probability": 0.9, "upper": 0.5},
    {"kind": "pert", "low": 0.1, "mode": 0.3, "high": 0.9},
    {"kind": "student_t", "df": 4, "loc": 0.1, "scale": 0.3, "lower": 0.0},
    {"kind": "mixture", "components": [{"kind": "normal", "mean": 0.0, "sd": 1.0}, LOGNORMALS[0]], "weights": [0.3, 0.7]},
]  # fmt: skip


def digests() -> dict[str, str]:
    """Return hashes of what is computed outside of compiled kernels; "NumPy" is what no number may rest on."""
    numbers = np.geomspace(1e-3, 1e3, 10_000)
    made = {
        "NumPy": [np.exp(-numbers), np.log(numbers)],
        "gamma": [gammas._gamma_table()],
        "t tail": [quantiles.t_tail_table(df) for df in (3.0, 4.0, 7.5)],
        "scores": [quantiles.normal_score_table(), quantiles.normal_tail_table()],
        "sums of loads": [*lognormal_loads.load_sums(1.9, 2.1, 3.0)[:3], *lognormal_loads.load_sums(2.47, 2.47, np.inf)[:3]],
        "pareto": [np.array(conditions.pareto_shape(np.sort(np.linspace(1.0, 9.0, 500) ** 2)))],
        **{str(law): list(distributions.inverse_table(elicitation.law(law))) for law in LAWS},
    }
    return {
        name: hashlib.sha256(b"".join(np.ascontiguousarray(each).tobytes() for each in arrays)).hexdigest() for name, arrays in made.items()
    }


def elsewhere(code: str, folder: Path, **settings: str) -> str:
    """Return what `code` prints in a process whose NumPy knows no more than its baseline and that finds nothing kept."""
    features = np.show_config(mode="dicts")["SIMD Extensions"]["found"]  # type: ignore[index]
    environment = os.environ | {
        "NPY_DISABLE_CPU_FEATURES": " ".join(features),
        "OPENBLAS_CORETYPE": "Nehalem",
        "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests")]),
        "XDG_CACHE_HOME": str(folder),
    }
    command = [sys.executable, "-W", "ignore", "-c", code]
    return subprocess.run(command, env=environment | settings, capture_output=True, text=True, check=True, timeout=900).stdout


def test_tables_are_the_same_bits_on_other_processors(tmp_path: Path) -> None:
    here = digests()
    there = json.loads(elsewhere("import json, test_processors; print(json.dumps(test_processors.digests()))", tmp_path))
    if here.pop("NumPy") == there.pop("NumPy"):
        pytest.skip("NumPy has one exp and log for this processor and for older ones")
    assert there == here


SHORT = """
import sim
print(sim.run(sim.load_scenario("scenarios/consumption-2021.toml"), draws=16_384, threads=1).attrs["numbers_digest"])
"""


@pytest.mark.nightly
@pytest.mark.skipif(platform.machine() != "x86_64", reason="the older processor is an x86-64")
def test_a_run_is_the_same_bits_on_an_older_processor(tmp_path: Path) -> None:
    here = sim.run(sim.load_scenario(ROOT / "scenarios" / "consumption-2021.toml"), draws=16_384)
    assert (
        elsewhere(f"import os; os.chdir({str(ROOT)!r})" + SHORT, tmp_path, NUMBA_CPU_NAME="nehalem").strip() == here.attrs["numbers_digest"]
    )
