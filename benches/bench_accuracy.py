"""How much further a draw goes as a Sobol' point: Monte Carlo errors of quantiles of the pure flow, against plain Philox draws."""

from __future__ import annotations

import numpy as np

from sim.model import compile_model
from sim.records import QUANTITIES, RESULT_FORMS
from sim.runner import PROBABILITIES, Plan, estimate
from sim.simulation import BorderEngine

from .measuring import Array, Effort, Measures
from .scenarios import SOUTHWEST, shipped

SEEDS = (43, 44, 45, 46, 47, 48)
REPLICATES = 16  # of each seed, so 96 scramblings
PERCENTS = (5, 50, 95)
PLACES = {
    "southwest strata and totals": (*SOUTHWEST, "southwest", "all-borders"),
    "northern strata": ("northern-ports", "northern-between-ports", "northern-other"),
}


def measure(effort: Effort) -> Measures:
    """Return Monte Carlo standard errors at 2^20 draws, "sobol, northern strata, 5 %" and so on: one for each place and period.

    Both samplers run in 16 replicates of 2^16 points for each of six seeds, and their errors come from the spread of the replicates (90
    degrees of freedom, so each is known to 8 %), with the error of the bins, as every run reports them.
    """
    scenario = shipped(effort.draws(2**20))
    model = compile_model(scenario)
    engine = BorderEngine(model)
    places = [name for name, _ in scenario.places]
    flow = model.summary[:, :, RESULT_FORMS.index("all"), list(QUANTITIES).index("flow_pure_kg")]
    found: Measures = {}
    for sampler in ("sobol", "philox"):
        squares = [_mcse(engine, sampler, seed, effort.draws(2**16, least=256)) ** 2 for seed in SEEDS]
        mcse = np.sqrt(np.mean(squares, axis=0))
        for label, names in PLACES.items():
            summary = flow[[places.index(name) for name in names]].ravel()
            for percent in PERCENTS:
                found[f"{sampler}, {label}, {percent} %"] = mcse[summary, PROBABILITIES.index(percent / 100)]
    return found


def _mcse(engine: BorderEngine, sampler: str, seed: int, points: int) -> Array:
    """Return the standard error of every quantile of a run of 16 replicates, (S, 13)."""
    run_plan = Plan(sampler=sampler, seed=seed, draws_asked=REPLICATES * points, replicates=REPLICATES, points=points)
    return estimate(engine, run_plan).mcse
