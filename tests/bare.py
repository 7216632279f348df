"""Scenarios as bare records, without a file, and the joint draws of one; for tests of matching, compilation and the border kernel."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from sim import elicitation
from sim.evidence import Row
from sim.kernels import streams
from sim.kernels.inputs import Source
from sim.model import Model, compile_model
from sim.questions import ABSENT, ZERO
from sim.records import DIMENSIONS, PARAMETERS, Correlation, Parameter, Scenario
from sim.runner import Block
from sim.simulation import BorderEngine


def row(corridor: str = "east", n_events: int | None = 4, amount: float = 10.0, form: Any = "powder", **keys: Any) -> Row:
    """Return one row of evidence: kg, FY2024 unless said."""
    return Row(**{"corridor": corridor, "period": "FY2024", "form": form, "n_events": n_events, "amount": amount, "unit": "kg", **keys})


def block(name: str, distribution: Any, **keys: Any) -> Parameter:
    """Return one parameter block; a number is a constant, a selector may be one label, the id follows from the selectors."""
    selectors = {d: (keys.pop(d),) if isinstance(keys.get(d), str) else keys.pop(d, None) for d in DIMENSIONS}
    labels = [label for d in DIMENSIONS for label in selectors[d] or ()]
    law = elicitation.law(distribution, PARAMETERS[name].unit)
    return Parameter(**{"id": f"{name}[{','.join(labels)}]" if labels else name, "name": name, "law": law, **selectors, **keys})


def scenario(rows: Iterable[Row], parameters: Mapping[str, Any] | Iterable[Parameter], **changes: Any) -> Scenario:
    """Return a scenario of gamma loads whose corridors and periods are those of its rows; `changes` are fields of the record."""
    rows = tuple(rows)
    blocks = [block(name, law) for name, law in parameters.items()] if isinstance(parameters, Mapping) else list(parameters)
    corridors = changes.get("corridors") or tuple(dict.fromkeys(one.corridor for one in rows))
    fields: dict[str, Any] = {
        "name": "bare", "question": "?", "draws": 1024, "seed": 43, "sampler": "philox", "keep_draws": 0, "load_law": "gamma",
        "load_truncation": 3.0, "event_prior": 0.5, "shared_load_scale": tuple((corridor,) for corridor in corridors),
        "corridors": corridors, "periods": tuple(dict.fromkeys(one.period for one in rows)), "groups": (), "rows": rows,
        "parameters": tuple(blocks), "correlations": (), "document": {},
    }  # fmt: skip
    return Scenario(**{**fields, **changes})


def correlation(between: tuple[str, ...], value: float | None = None, **keys: Any) -> Correlation:
    return Correlation(**{"id": "rho", "between": between, "value": value, **keys})


def draws(scenario: Scenario, points: int = 256, *, replicate: int = 0, model: Model | None = None) -> dict[str, np.ndarray]:
    """Return points 0 .. points - 1 of one replicate: quantity -> (points, corridors then groups, periods, forms), input id -> (points,).

    `model` stands in for the compiled scenario where a test has changed its arrays.
    """
    model = compile_model(scenario) if model is None else model
    engine = BorderEngine(model)
    n_slots = len(model.slot_names)
    sobol = scenario.sampler == "sobol"
    n_dimensions = min(model.n_point_slots, streams.MAX_DIMENSIONS) if sobol else 0
    seed = np.uint64(scenario.seed)
    directions, shift = streams.sobol_scrambles(seed, replicate, streams.sobol_directions(n_dimensions))
    source = Source(
        seed=seed,
        replicate=replicate,
        directions=directions,
        shift=shift,
        dimension=np.where(np.arange(n_slots) < n_dimensions, np.arange(n_slots), -1),
        stream=np.array([streams.stream_id(name) for name in model.slot_names], dtype=np.uint64),
    )
    stored, inputs = engine.store(Block(source, 0, points))
    found = {draw.id: inputs[i] for i, draw in enumerate(model.parameter_draws)}
    for q, name in enumerate(scenario.quantities):
        answers = stored[np.maximum(model.summary[..., q], 0)] * model.factor[..., q, np.newaxis]
        answers[model.summary[..., q] == ZERO] = 0.0
        answers[model.summary[..., q] == ABSENT] = np.nan
        found[name] = np.moveaxis(answers, -1, 0)
    return found
