"""Runs the border model: draws of a compiled scenario in, quantiles, contrasts, claims and what a reader must know of them out."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from scipy import special

from . import engines
from .conditions import Conditioned
from .errors import Problem, SimError
from .kernels import border, summaries
from .limits import MAX_DRAWS
from .model import Model
from .questions import ABSENT, ZERO
from .records import FRACTIONS, POTENTIAL, QUANTITIES, RESULT_FORMS, SUMMARY_QUANTITIES, Result
from .runner import (
    MOST_STAGES_MORE,
    PROBABILITIES,
    Block,
    Estimates,
    Plan,
    Progress,
    Tolerance,
    estimate,
    no_summaries,
    plan,
    sobol_dimensions,
)

FEW_HITS = 50  # or misses, of a claim: below that it is counted again with plain Monte Carlo, whose hits are binomial
RERUN_FOLDER = "plain"  # inside the folder of partials
_BOUND = 0.95  # each of a claim's two bounds holds with this probability

_Answers = dict[str, np.ndarray]  # (n, p, f) by quantity


class BorderEngine:
    """The border model as an `Engine`."""

    origin_zero = True
    wide = False

    def __init__(self, model: Model) -> None:
        self._model = model
        self.slot_names = model.slot_names
        self.n_point_slots = model.n_point_slots
        self.n_summaries = model.n_summaries
        self.n_inputs = model.inputs.slot.size
        self._n_strata = len(model.stratum_keys)
        self._n_cells = len(model.cells)
        self._n_claims = model.contrasts.claim_contrast.size
        self.n_counters = 2 * self._n_strata + 2 * self._n_cells + 2 * self._n_claims

    def summarise(self, block: Block, layout: summaries.Layout, state: summaries.State, sums: np.ndarray) -> np.ndarray:
        """Draw one block; counters are (purity cut, sd limited) by stratum, inland cut by cell and form, (hits, misses) by claim."""
        return self._draw(block, layout, state, sums, np.empty((self.n_summaries, 0)), np.empty((self.n_inputs, 0)))

    def store(self, block: Block) -> tuple[np.ndarray, np.ndarray]:
        stored, stored_inputs = np.empty((self.n_summaries, block.points)), np.empty((self.n_inputs, block.points))
        self.store_into(block, stored, stored_inputs)
        return stored, stored_inputs

    def store_into(self, block: Block, stored: np.ndarray, stored_inputs: np.ndarray) -> np.ndarray:
        """Write the draws of one block to `stored` (S, points) and their inputs to `stored_inputs` (x, points); return the counters."""
        return self._draw(block, *no_summaries(), np.empty((self.n_summaries, 0, 2)), stored, stored_inputs)

    def _draw(
        self,
        block: Block,
        layout: summaries.Layout,
        state: summaries.State,
        sums: np.ndarray,
        stored: np.ndarray,
        stored_inputs: np.ndarray,
    ) -> np.ndarray:
        """Call the kernel: with a `stored` (S, k) of k > 0 it stores the first k points there and touches no summary."""
        counters = np.zeros((self._n_strata, 2), np.int64)
        inland = np.zeros((self._n_cells, 2), np.int64)
        claims = np.zeros((self._n_claims, 2), np.int64)
        model = self._model
        border.border_block(
            model.strata, model.inputs, model.tables, model.contrasts, model.law, *block, layout, state, sums, counters, inland, claims,
            stored, stored_inputs,
        )  # fmt: skip
        return np.concatenate([counters.reshape(-1), inland.reshape(-1), claims.reshape(-1)])


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """What a run of the border model leaves, before labels.

    c = corridors then groups, p = periods, f = powder, pill, all, q = PROBABILITIES, h = chains (replicates), k = kept draws a chain,
    x = parameter draws

    quantiles, mcse               quantity -> (c, p, f, q)
    mean, sd, mean_mcse           quantity -> (c, p, f), NaN where it does not exist or its error would not
    undefined_share               quantity -> (c, p, f), share of draws that are 0/0
    notes                         quantity -> why some means or sds are NaN -> place -> tail index; absent where none is
    kept                          quantity -> (h, k, c, p, f); empty where none were asked for
    kept_parameters               (h, k, x)
    diagnostics                   name -> (dims, array), see model.DIAGNOSTICS
    contrasts                     ratio, ratio_mcse (k, q) and undefined_share (k,); k = contrasts
    claims                        what `judge` returns, (m,) each; m = claims
    conditioned                   what `Conditioned.judged` returns; empty where nothing is conditioned
    growth                        what `growth.in_draws` returns; added by its caller
    sensitivity                   what `sensitivity.of_run` returns; empty where it is not asked for
    uniforms                      name of each uniform -> its Sobol' dimension, -1 where it comes from the Philox stream of that name
    tolerance_reached             largest standard error of a quantile that a tolerance is about, relative; None where none was asked for
    resumed, damaged              draws that were there from an earlier run; partials that had to be deleted
    """

    draws_asked: int
    draws: int
    replicates: int
    quantiles: Mapping[str, np.ndarray]
    mcse: Mapping[str, np.ndarray]
    mean: Mapping[str, np.ndarray]
    sd: Mapping[str, np.ndarray]
    mean_mcse: Mapping[str, np.ndarray]
    undefined_share: Mapping[str, np.ndarray]
    notes: Mapping[str, Mapping[str, Mapping[str, float]]]
    kept: Mapping[str, np.ndarray]
    kept_parameters: np.ndarray
    diagnostics: Mapping[str, tuple[tuple[str, ...], np.ndarray]]
    contrasts: Mapping[str, np.ndarray] = field(default_factory=dict)
    claims: Mapping[str, np.ndarray] = field(default_factory=dict)
    conditioned: Mapping[str, Any] = field(default_factory=dict)
    growth: Mapping[str, np.ndarray] = field(default_factory=dict)
    sensitivity: Mapping[str, Any] = field(default_factory=dict)
    uniforms: Mapping[str, int] = field(default_factory=dict)
    seconds: float
    tolerance_reached: float | None = None
    resumed: int = 0
    damaged: int = 0


def simulate(
    model: Model,
    *,
    threads: int | None = None,
    progress: Progress | None = None,
    partials: Path | None = None,
    executor: engines.Executor | None = None,
) -> Run:
    """Run the border model of a scenario.

    threads    of the executor that stands in where none is given: this process, by default all processors
    progress   called from this thread with (draws done, draws in all)
    partials   folder of this case's partial summaries: those that an earlier run left are used, new ones kept; the caller removes it when
               the result is safe. None keeps nothing
    executor   what runs tasks, from `engines`

    Raises SimError where an input yields a number that is not one, naming the result it reached; ResultError where a partial cannot be
    written, with what was finished kept.
    """
    scenario = model.scenario
    engine = BorderEngine(model)
    identity = json.dumps(scenario.document, sort_keys=True)
    first = plan(scenario.draws, scenario.seed, scenario.sampler, scenario.tolerance)
    most = first.draws if scenario.tolerance is None else min(first.draws * MOST_STAGES_MORE, max(MAX_DRAWS, first.draws))
    weighted = Conditioned(engine, model, most) if scenario.conditions else None
    everything = estimates = estimate(
        weighted or engine,
        first,
        keep=scenario.keep_draws,
        threads=threads,
        progress=progress,
        folder=partials,
        identity=identity,
        executor=executor,
        tolerance=None if scenario.tolerance is None else Tolerance(relative=scenario.tolerance, watched=_watched(model)),
    )
    estimates = estimates if weighted is None else weighted.ordinary(estimates)
    run_plan = estimates.plan
    _refuse_nan(model, estimates)

    def plainly(plain: Plan) -> Estimates:
        return estimate(
            engine,
            plain,
            threads=threads,
            progress=None if progress is None else _going_on(progress, run_plan.draws),
            folder=None if partials is None else partials / RERUN_FOLDER,
            identity=identity,
            executor=executor,
        )

    claims, again = _judged(model, estimates, plainly)

    def answers(by_summary: np.ndarray, scales: bool = True) -> dict[str, np.ndarray]:
        """Spread (..., S first) over (n, p, f) for every quantity: scaled, 0 where nothing can happen, NaN where nothing is known."""
        rest = (np.newaxis,) * (by_summary.ndim - 1)
        with np.errstate(over="ignore"):
            picked = by_summary[np.maximum(model.summary, 0)] * (model.factor[(..., *rest)] if scales else 1.0)
        picked[model.summary == ZERO] = 0.0
        picked[model.summary == ABSENT] = np.nan
        return {name: picked[:, :, :, k] for k, name in enumerate(scenario.quantities)}

    with np.errstate(invalid="ignore", divide="ignore"):
        undefined = answers(estimates.n[:, 0] / estimates.n.sum(axis=1), scales=False)
    return Run(
        draws_asked=run_plan.draws_asked,
        draws=run_plan.draws,
        replicates=run_plan.replicates,
        quantiles=answers(estimates.quantiles),
        mcse=answers(estimates.mcse),
        **_moments(model, *(answers(each) for each in (estimates.mean, estimates.sd, estimates.mean_mcse))),
        undefined_share=undefined,
        notes=_notes(model),
        kept={name: np.moveaxis(array, (-2, -1), (0, 1)) for name, array in answers(np.moveaxis(estimates.kept, -1, 0)).items()}
        if scenario.keep_draws
        else {},
        kept_parameters=estimates.kept_inputs[:, :, : len(model.parameter_draws)],
        diagnostics=_diagnostics(model, estimates),
        contrasts=_contrasts(model, estimates),
        claims=claims,
        conditioned={} if weighted is None else weighted.judged(everything, PROBABILITIES, answers, _moments_exist(model)),
        uniforms=dict(zip(model.slot_names, sobol_dimensions(run_plan, len(model.slot_names), model.n_point_slots).tolist(), strict=True)),
        seconds=estimates.seconds,
        tolerance_reached=estimates.tolerance_reached,
        resumed=estimates.resumed + (again.resumed if again is not None else 0),
        damaged=estimates.damaged + (again.damaged if again is not None else 0),
    )


def _moments(model: Model, mean: _Answers, sd: _Answers, mean_mcse: _Answers) -> dict[str, _Answers]:
    """Return the moments with NaN where they do not exist, or where an error of them does not."""
    for k, name in enumerate(model.scenario.quantities):
        index = model.tail_index[..., k]
        mean[name][index <= 2.0] = np.nan
        mean_mcse[name][index <= 2.0] = np.nan
        sd[name][index <= 4.0] = np.nan
    return {"mean": mean, "sd": sd, "mean_mcse": mean_mcse}


def _notes(model: Model) -> dict[str, Mapping[str, Mapping[str, float]]]:
    """Return, by quantity, why moments do not exist."""
    notes: dict[str, Mapping[str, Mapping[str, float]]] = {}
    for k, name in enumerate(model.scenario.quantities):
        causes = np.unique(model.reason[..., k][(model.tail_index[..., k] <= 4.0) & (model.summary[..., k] >= 0)])
        if causes.size:
            notes[name] = dict(model.reasons[i] for i in causes)
    return notes


def _judged(model: Model, estimates: Estimates, plainly: Callable[[Plan], Estimates]) -> tuple[dict[str, np.ndarray], Estimates | None]:
    """Return what the claims come to, and the plain draws in which those were counted again that few Sobol' points hit, if any were.

    Scrambled points carry no bound on what they never met.
    """
    run_plan = estimates.plan
    claims = judge(_claim_counters(model, estimates), run_plan.sampler)
    few = (np.minimum(claims["hits"], claims["n_draws"] - claims["hits"]) < FEW_HITS) & (claims["n_draws"] > 0)
    if run_plan.sampler != "sobol" or not few.any():
        return claims, None
    plain, again = plan(run_plan.draws, model.scenario.seed, "philox"), None
    if (few & ~_same_in_every_draw(model, claims)).any():
        again = plainly(plain)
        counted = _claim_counters(model, again)
    else:  # what another run would count is known without it
        true = claims["hits"] > 0
        counted = plain.draws * np.stack([true, ~true], axis=-1)[np.newaxis].astype(np.int64)
    anew = judge(counted, "philox")
    return {name: np.where(few, anew[name], numbers) for name, numbers in claims.items()} | {"rerun": few}, again


def _same_in_every_draw(model: Model, claims: Mapping[str, np.ndarray]) -> np.ndarray:
    """Return which claims (m,) are arithmetic: true, or false, in all draws of the run, about what was seized gross on both sides.

    That is the table's own weight where its rows are in kg, without rounding, and all of it crossed where it is filed. Other results may
    be constants too; of them it is not shown, and a count decides.
    """
    scenario = model.scenario
    places = dict(scenario.places)

    def given(one: Result) -> bool:
        rows = [row for row in scenario.rows if row.corridor in places[one.corridor] and row.period == one.period]
        return (
            (one.quantity, one.form) == ("seized_gross_kg", "all")
            and bool(model.summary[scenario.cell(replace(one, quantity="unattributed_pure_kg"))] == ZERO)
            and all(row.unit == "kg" and not row.rounding for row in rows)
        )

    about = {contrast.id: given(contrast.numerator) and given(contrast.denominator) for contrast in scenario.contrasts}
    alike = (claims["hits"] == 0) | (claims["hits"] == claims["n_draws"])
    same: np.ndarray = alike & np.array([about[claim.contrast] for claim in scenario.claims], dtype=np.bool_)
    return same


def _moments_exist(model: Model) -> dict[str, np.ndarray]:
    """Return quantity -> (c, p, f, 2): whether a mean, and an sd, exists with an error; bounded weights take neither away."""
    index = model.tail_index
    return {name: np.stack([index[..., k] > 2.0, index[..., k] > 4.0], axis=-1) for k, name in enumerate(model.scenario.quantities)}


def _going_on(progress: Progress, before: int) -> Progress:
    return lambda done, total: progress(before + done, before + total)


def judge(counters: np.ndarray, sampler: str) -> dict[str, np.ndarray]:
    """Return what hits and misses say of each claim: p = hits / (hits + misses), its error and bounds, one-sided 95 % each.

    sobol     error over replicates, bounds p -+ t_{.95, R - 1} error within 0..1
    philox    error the sd of Beta(h + 1, m + 1), not 0 where h is; bounds of Clopper and Pearson, below 3.00/N where h is 0

    counters (R, m, 2) hits and misses by replicate. Where nothing is defined p is NaN and the bounds are 0 and 1.

    Source: Clopper & Pearson 1934; method.md section 7.
    """
    hits, misses = np.moveaxis(counters.sum(axis=0), -1, 0)
    n = hits + misses
    with np.errstate(invalid="ignore", divide="ignore"):
        p = hits / n
        if sampler == "sobol":
            error = summaries.replicate_error(counters[..., 0] / counters.sum(axis=2))
            reach = special.stdtrit(counters.shape[0] - 1, _BOUND) * error
            lower, upper = np.maximum(p - reach, 0.0), np.minimum(p + reach, 1.0)
        else:
            error = np.sqrt((hits + 1.0) * (misses + 1.0) / ((n + 2.0) ** 2 * (n + 3.0)))
            lower = np.where(hits > 0, special.betaincinv(np.maximum(hits, 1), misses + 1, 1.0 - _BOUND), 0.0)
            upper = np.where(misses > 0, special.betaincinv(hits + 1, np.maximum(misses, 1), _BOUND), 1.0)
    return {
        "probability": p,
        "probability_mcse": np.where(n > 0, error, np.nan),
        "lower_bound": np.where(np.isnan(lower), 0.0, lower),
        "upper_bound": np.where(np.isnan(upper), 1.0, upper),
        "hits": hits,
        "n_draws": n,
        "rerun": np.zeros(hits.shape, np.bool_),
    }


def _claim_counters(model: Model, estimates: Estimates) -> np.ndarray:
    """Return hits and misses, (R, m, 2)."""
    n_claims = model.contrasts.claim_contrast.size
    replicates, n_counters = estimates.counters.shape
    return estimates.counters[:, n_counters - 2 * n_claims :].reshape(replicates, n_claims, 2)


def _contrasts(model: Model, estimates: Estimates) -> dict[str, np.ndarray]:
    first = model.contrasts.row.size
    n = estimates.n[first:]
    return {
        "ratio": estimates.quantiles[first:],
        "ratio_mcse": estimates.mcse[first:],
        "undefined_share": n[:, 0] / n.sum(axis=1),
    }


def _watched(model: Model) -> np.ndarray:
    """Return which summaries the printed tables show, contrasts among them: those that a tolerance is about."""
    names = list(model.scenario.quantities)
    printed = [names.index(name) for name in (*SUMMARY_QUANTITIES, POTENTIAL) if name in names]
    shown = model.summary[:, :, RESULT_FORMS.index("all")][..., printed]
    return np.append(np.unique(shown[shown >= 0]), np.arange(model.contrasts.row.size, model.n_summaries))


def _refuse_nan(model: Model, estimates: Estimates) -> None:
    """Raise where a quantity that is always defined was NaN in some draw."""
    names = list(QUANTITIES)
    places = [name for name, _ in model.scenario.places]
    problems = []
    for c, p, f, k in np.argwhere(model.strata.index >= 0):
        n_nan = estimates.n[model.strata.index[c, p, f, k], 0]
        if n_nan and names[k] not in FRACTIONS:
            where = f"{names[k]} of {places[c]}, {model.scenario.periods[p]}, {RESULT_FORMS[f]}"
            problems.append(Problem(came=f"{where} is not a number in {n_nan} draws", advice="narrow the laws of its parameters"))
    if problems:
        raise SimError(problems)


def _diagnostics(model: Model, estimates: Estimates) -> dict[str, tuple[tuple[str, ...], np.ndarray]]:
    """Return the shares of draws in which something was cut or limited; NaN where it could not happen."""
    scenario = model.scenario
    n = len(scenario.places)
    n_strata = len(model.stratum_keys)
    share = estimates.counters.sum(axis=0) / estimates.plan.draws
    by_stratum = share[: 2 * n_strata].reshape(-1, 2)
    by_cell = share[2 * n_strata : 2 * (n_strata + len(model.cells))].reshape(-1, 2)
    stratum_shares = np.full((2, n, len(scenario.periods), len(scenario.evidence_forms)), np.nan)
    for (corridor, period, form), shares in zip(model.stratum_keys, by_stratum, strict=True):
        place = scenario.corridors.index(corridor), scenario.periods.index(period), scenario.evidence_forms.index(form)
        stratum_shares[(slice(None), *place)] = shares
    inland = np.full((n, len(scenario.periods), len(RESULT_FORMS)), np.nan)
    for (corridor_number, period_number), shares in zip(model.cells, by_cell, strict=True):
        inland[corridor_number, period_number, :2] = shares
    return {
        "prior_share": (("corridor", "period"), model.prior_share),
        "purity_cut_share": (("corridor", "period", "evidence_form"), stratum_shares[0]),
        "sd_limited_share": (("corridor", "period", "evidence_form"), stratum_shares[1]),
        "inland_cut_share": (("corridor", "period", "form"), inland),
    }
