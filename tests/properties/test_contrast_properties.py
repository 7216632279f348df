"""Contrasts of any two results that exist: in every draw the ratio of what stands in the results, counted as claims say."""

from __future__ import annotations

import bare
import numpy as np
import strategies
from hypothesis import given

from sim.kernels import summaries
from sim.model import compile_model
from sim.records import QUANTITIES, RESULT_FORMS
from sim.runner import Block, _Sources, plan
from sim.simulation import BorderEngine

POINTS = 1024


@given(strategies.compared_scenarios())
def test_every_ratio_is_that_of_its_two_results_and_every_claim_is_counted(scenario):
    model = compile_model(scenario)
    engine, one = BorderEngine(model), plan(scenario.draws, scenario.seed, scenario.sampler)
    block = Block(_Sources(engine, one).of(0), 0, POINTS)
    stored, _ = engine.store(block)
    found = bare.draws(scenario, POINTS, model=model)
    places = [name for name, _ in scenario.places]

    def of(result):
        cell = places.index(result.corridor), scenario.periods.index(result.period), RESULT_FORMS.index(result.form)
        return found[result.quantity][(slice(None), *cell)]

    layout = summaries.plan_layout(stored, True)
    counters = engine.summarise(block, layout, summaries.new_state(layout), np.empty((model.n_summaries, 1, 2)))
    hits = counters[-2 * len(scenario.claims) :].reshape(-1, 2)
    assert set(QUANTITIES) <= found.keys()
    for k, (contrast, claim) in enumerate(zip(scenario.contrasts, scenario.claims, strict=True)):
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            expected = of(contrast.numerator) / of(contrast.denominator)
        ratio = stored[model.contrasts.row.size + k]
        np.testing.assert_array_equal(np.isnan(ratio), np.isnan(expected))
        np.testing.assert_allclose(ratio, expected, rtol=1e-13)
        low, high = claim.bounds
        defined = ratio[~np.isnan(ratio)]
        true = int(((defined >= low) & (defined <= high)).sum())
        assert hits[k].tolist() == [true, defined.size - true]
