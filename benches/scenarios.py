"""The scenarios that the benches run, each loaded from a file as a user's is."""

from __future__ import annotations

import tempfile
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import tomli_w

import sim
from sim.kernels import streams
from sim.kernels.inputs import Source
from sim.records import Scenario
from sim.scenario import to_toml

from .measuring import ROOT

SHIPPED = ROOT / "scenarios" / "north-vs-southwest.toml"
SOUTHWEST = ("southwest-ports", "southwest-between-ports", "southwest-other")


def shipped(draws: int, load_law: str = "lognormal") -> Scenario:
    """Return the shipped scenario; with gamma loads of shape 0.2 to 0.6, that is of cv 1.3 to 2.2."""
    return _load(_with_load_law(_resolved(), load_law), draws)


def southwest_fy2024(draws: int, load_law: str = "lognormal") -> Scenario:
    """Return the part of the shipped scenario that concerns the southwest in FY2024: three strata, 863 events, one load scale."""
    document = _with_load_law(_resolved(), load_law)
    document["evidence"] |= {"corridors": list(SOUTHWEST), "periods": ["FY2024"]}
    document["groups"] = {"southwest": list(SOUTHWEST)}
    document["model"]["shared_load_scale"] = [list(SOUTHWEST)]
    return _load(document, draws)


def one_stratum(draws: int, n_events: int, load_law: str = "lognormal") -> Scenario:
    """Return one corridor, period and form with so many events."""
    laws = {
        "detection_rate": {"kind": "beta", "interval": [0.03, 0.25], "probability": 0.9},
        "powder_purity": {"kind": "beta", "mean": 0.11, "sd": 0.02},
        "purity_cv": {"kind": "uniform", "low": 0.5, "high": 1.3},
        "load_log_sd" if load_law == "lognormal" else "load_shape": {"kind": "uniform", "low": 1.8, "high": 3.0},
    }
    row = {"corridor": "here", "period": "FY2024", "form": "powder", "n_events": n_events, "amount": 100.0, "unit": "kg", "source": "-"}
    document = {
        "schema_version": 1,
        "name": "one-stratum",
        "question": "What does one stratum cost?",
        "run": {"seed": 43},
        "model": {"load_law": load_law},
        "evidence": {"row": [row]},
        "parameter": [{"name": name, "distribution": law, "basis": "elicited", "source": "made up"} for name, law in laws.items()],
    }
    return _load(document, draws)


def source(slot_names: tuple[str, ...], sampler: str, seed: int = 43, n_point_slots: int = streams.MAX_DIMENSIONS) -> Source:
    """Return the uniforms of one replicate, for kernels that are called without the runner."""
    n_dimensions = min(len(slot_names), n_point_slots, streams.MAX_DIMENSIONS) if sampler == "sobol" else 0
    directions, shift = streams.sobol_scrambles(np.uint64(seed), 0, streams.sobol_directions(n_dimensions))
    return Source(
        seed=np.uint64(seed),
        replicate=0,
        directions=directions,
        shift=shift,
        dimension=np.where(np.arange(len(slot_names)) < n_dimensions, np.arange(len(slot_names)), -1),
        stream=np.array([streams.stream_id(name) for name in slot_names], dtype=np.uint64),
    )


def _resolved() -> dict[str, Any]:
    return tomllib.loads(to_toml(sim.load_scenario(SHIPPED)))


def _with_load_law(document: dict[str, Any], load_law: str) -> dict[str, Any]:
    document["model"]["load_law"] = load_law
    if load_law == "gamma":
        law = {"kind": "uniform", "low": 0.2, "high": 0.6}
        document["parameter"].append({"name": "load_shape", "distribution": law, "basis": "elicited", "source": "made up"})
    return document


def _load(document: dict[str, Any], draws: int) -> Scenario:
    """Load a document from a file; blocks and labels that serve nothing in it are left out, as after `--set`."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "scenario.toml"
        path.write_text(tomli_w.dumps(document), encoding="utf-8")
        return sim.load_scenario(path, overrides={"run.draws": draws})
