"""The groups /conditioned/... of a result: what weighted draws say, under the labels of the ordinary groups."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr

from .records import QUANTITIES, Scenario
from .simulation import Run
from .tree import OWN_COORDINATES, Answer, Coordinate, Variable, common_groups, one_group

Stack = Callable[[Sequence[np.ndarray], Sequence[str]], np.ndarray]

_CELL = ("corridor", "period", "form")
_MOMENTS = (
    "a mean is given where the median rests on enough effective draws, and it exists without conditions: bounded weights take no mean away"
)
_ABOUT = {
    "ess": "effective number of draws: (sum of weights)^2 / sum of their squares",
    "pareto_k": "Pareto k of the weights; minus infinity where the greatest are all alike",
    "mean_weight": "mean weight of a draw, 0..1: how well inputs and conditions agree",
    "contradicted_share": "share of draws of weight 0 because more was seized inland than was missed at the border",
}


def refused(runs: Sequence[Run], name_of: Callable[[int], str]) -> dict[str, str]:
    """Return the attribute that says why nothing is conditioned, case by case where sweeps make several; none where nothing is refused."""
    texts = [(name_of(number), str(run.conditioned.get("refused", ""))) for number, run in enumerate(runs)]
    said = [f"{name}: {text}" if name else text for name, text in texts if text]
    return {"condition_refused": "\n".join(said)} if said else {}


def conditioned_groups(
    scenario: Scenario,
    runs: Sequence[Run],
    prior: np.ndarray,
    labels: Mapping[str, Coordinate],
    stack: Stack,
    sweeps: tuple[str, ...],
) -> dict[str, xr.Dataset]:
    """Return the groups by path; none where nothing is conditioned, or every case is refused. A refused case beside others is NaN.

    prior    (w..., x, q) exact quantiles of the parameters' laws
    labels   coordinates of the tree;  stack  puts the arrays of all cases into one, sweeps in front
    """
    found = [run.conditioned for run in runs]
    if not all(found) or all(each["refused"] for each in found):
        return {}

    def together(name: str, *keys: str, dimensions: Sequence[str] = ()) -> np.ndarray:
        arrays = [each[name] for each in found]
        for key in keys:
            arrays = [array[key] for array in arrays]
        return stack([np.asarray(array) for array in arrays], dimensions)

    answers = {}
    for quantity, meaning in QUANTITIES.items():
        quantiles, mcse, mean, sd, mean_mcse, undefined = (
            together(name, quantity, dimensions=_CELL) for name in ("quantiles", "mcse", "mean", "sd", "mean_mcse", "undefined_share")
        )
        answers[quantity] = Answer(
            units=meaning.units,
            long_name=meaning.long_name,
            quantiles=quantiles,
            mcse=mcse,
            mean=mean,
            sd=sd,
            mean_mcse=mean_mcse,
            undefined_share=float(np.nanmax(undefined, initial=0.0)),
        )
    none_kept = np.zeros((*prior.shape[:-2], 0, 0, prior.shape[-2]))
    groups = common_groups(answers, prior, none_kept, labels, sweeps=sweeps, dimensions=_CELL, moments_note=_MOMENTS)
    everywhere = {**labels, **OWN_COORDINATES}
    unit = "in the unit that the coordinate unit names"
    parameters = {
        "value": (together("parameters", dimensions=("parameter",)), f"quantile of the parameter under the conditions, {unit}"),
        "value_mcse": (together("parameters_mcse", dimensions=("parameter",)), f"Monte Carlo standard error of the quantile, {unit}"),
        "value_before": (prior, f"quantile of the parameter's own law, exact, {unit}"),
    }
    groups["parameters"] = _group(parameters, (*sweeps, "parameter", "quantile"), everywhere, "what the conditions teach about each input")
    if scenario.contrasts:
        ratio, error = (together("contrasts", name, dimensions=("contrast",)) for name in ("ratio", "ratio_mcse"))
        with np.errstate(divide="ignore", over="ignore"):
            tipping = 1.0 / ratio[..., ::-1]  # the kept probabilities are symmetric
        ratios = {
            "ratio": (ratio, "numerator over denominator, in every draw"),
            "ratio_mcse": (error, "Monte Carlo standard error of the quantile: numerator over denominator"),
            "tipping_factor": (tipping, "denominator over numerator: how much larger the numerator must be to draw level"),
        }
        groups["contrasts"] = _group(ratios, (*sweeps, "contrast", "quantile"), everywhere, "ratios of two results")
        undefined = together("contrasts", "undefined_share", dimensions=("contrast",))
        if np.nanmax(undefined) > 0.0:
            for name in ("ratio", "tipping_factor"):
                groups["contrasts"][name].attrs["undefined_share"] = float(np.nanmax(undefined))
        of_share = {"units": "1", "long_name": "weight of the draws in which the ratio is 0/0, which are left out, in that of all"}
        groups["contrasts"]["undefined_share"] = ((*sweeps, "contrast"), undefined, of_share)
    if scenario.claims:
        claims = {
            "probability": "probability that the claim is true",
            "probability_mcse": "Monte Carlo standard error of the probability",
            "lower_bound": "lower bound of the probability as to Monte Carlo error, one-sided 95 %",
            "upper_bound": "upper bound of the probability as to Monte Carlo error, one-sided 95 %",
        }
        said = {name: (together("claims", name, dimensions=("claim",)), text) for name, text in claims.items()}
        groups["claims"] = _group(said, (*sweeps, "claim"), everywhere, "claims about contrasts")
    weights = {name: (together(name), text) for name, text in _ABOUT.items()}
    names = ", ".join(condition.id for condition in scenario.conditions)
    whole = _group(weights, sweeps, everywhere, f"results under all conditions together: {names}")
    return {"conditioned": whole, **{f"conditioned/{name}": group for name, group in groups.items()}}


def _group(
    variables: Mapping[str, tuple[np.ndarray, str]], dimensions: tuple[str, ...], labels: Mapping[str, Coordinate], long_name: str
) -> xr.Dataset:
    found: dict[str, Variable] = {name: (dimensions, array, {"units": "1", "long_name": text}) for name, (array, text) in variables.items()}
    return one_group(found, labels, long_name)


def log_weights(runs: Sequence[Run], stack: Stack, sweeps: tuple[str, ...]) -> dict[str, Any]:
    """Return the log weight of every kept draw as a variable of /draws, where draws are conditioned and kept."""
    if not all(run.conditioned and run.kept for run in runs):
        return {}
    array = stack([run.conditioned["log_weight"] for run in runs], ("chain", "draw"))
    about = {"units": "1", "long_name": "log weight of the draw under all conditions; minus infinity where it contradicts itself"}
    return {"log_weight": ((*sweeps, "chain", "draw"), array, about)}
