"""Scenarios for tests, written as files and read through `sim.load_scenario`, so that tests enter by the public door."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tomli_w

import sim

PERIOD = "FY2024"


def row(corridor: str = "north", n_events: int | None = 4, amount: float = 4.0, form: str = "powder", **keys: Any) -> dict[str, Any]:
    """Return one `[[evidence.row]]`: kg, powder, FY2024 unless said; `n_events = None` leaves the count blank."""
    known = {} if n_events is None else {"n_events": n_events}
    return {"corridor": corridor, "period": PERIOD, "form": form, "amount": amount, "unit": "kg", "source": "made up", **known, **keys}


def block(name: str, distribution: Any, **keys: Any) -> dict[str, Any]:
    """Return one `[[parameter]]` block; `keys` are its selectors, `varies_by`, `correlation`, `id`."""
    law = distribution if isinstance(distribution, Mapping) else {"kind": "constant", "value": distribution}
    return {"name": name, "distribution": law, "basis": "elicited", "source": "made up", **keys}


def scenario(rows: Iterable[Mapping[str, Any]], parameters: Mapping[str, Any] | Iterable[Mapping[str, Any]], **tables: Any) -> Any:
    """Write a scenario file, load it and return it.

    rows          from `row`
    parameters    name -> number or distribution for blocks without selectors, or blocks from `block`
    tables        further keys of the file: `run` and `model` are laid over the defaults below, `groups`, `correlation` stand as given
    """
    blocks = [block(name, law) for name, law in parameters.items()] if isinstance(parameters, Mapping) else list(parameters)
    document = {
        "schema_version": 1,
        "name": "made-up",
        "question": "Does the model know the answer?",
        **tables,
        "run": {"draws": 65_536, "seed": 1, "sampler": "sobol", **tables.get("run", {})},
        "model": {"load_law": "lognormal", **tables.get("model", {})},
        "evidence": {"row": [dict(one) for one in rows]},
        "parameter": [dict(one) for one in blocks],
    }
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "scenario.toml"
        path.write_text(tomli_w.dumps(document), encoding="utf-8")
        return sim.load_scenario(path)


def kept(tree: Any, quantity: str, corridor: str = "north", period: str = PERIOD, form: str = "all") -> np.ndarray:
    """Return the kept draws of one quantity, or of one parameter draw (`corridor` and the rest unused), replicate after replicate."""
    draws = tree["draws"][quantity]
    return np.asarray(draws.sel(corridor=corridor, period=period, form=form)).reshape(-1)


def run_model(model: Any) -> Any:
    """Run a compiled model, whose arrays a test may have changed, and label the result."""
    from sim.labelled import to_tree
    from sim.simulation import simulate

    return to_tree(model.scenario, simulate(model), parameter_draws=model.parameter_draws, seized_gross_kg=model.seized_gross_kg)
