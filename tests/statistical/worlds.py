"""Made-up worlds in which the model is right, and how often its intervals hold the truth.

A stratum of a world has a seized rate mu, fixed, and a detection rate d drawn from its prior. Loads come at rate mu / d, so that
n ~ Poisson(mu) are seized and K ~ Poisson(mu (1 - d) / d) missed, independently. Every load has its own size, form, purity and border.
The missed masses that the model reports scale with the seized mass of the load-scale block and depend on a world by its counts alone, so
one run answers for all worlds that share their counts: a period for each vector of counts, of 1 kg.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from build import block, row, scenario
from scipy import special

import sim

Draw = Callable[[np.random.Generator], float]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """What is true, and known to the analyst as laws only. Purity and form concern pure mass; the rest both.

    mu            seized rate of every stratum
    detection_rate, log_sd, purity     drawn anew in every world; the first in every stratum too unless `one_rate`
    truncation    upper bound of a load in sds of its log;  purity_cv   spread of purity between loads (Beta)
    pill_share    chance that a load is pills, of purity `pill_purity`;  attribution   chance that a load crossed here
    """

    mu: Sequence[float]
    detection_rate: Draw
    log_sd: Draw
    purity: Draw = lambda rng: 0.1
    one_rate: bool = False
    truncation: float = 3.0
    purity_cv: float = 0.0
    pill_share: float = 0.0
    pill_purity: float = 0.02
    attribution: float = 1.0


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Observed:
    """w = worlds, j = strata: counts (w, j), seized mass of all strata (w,), and the truth about what was missed, (w,)."""

    n_events: np.ndarray
    seized_kg: np.ndarray
    missed_gross_kg: np.ndarray
    missed_pure_kg: np.ndarray


def _loads(world: World, rng: np.random.Generator, n: int, sigma: float, purity: float) -> tuple[float, float, float]:
    """Return gross mass as weighed, gross mass and pure mass that crossed here, of n loads."""
    size = np.exp(sigma * special.ndtri(rng.random(n) * special.ndtr(world.truncation)))
    mean = np.where(rng.random(n) < world.pill_share, world.pill_purity, purity)
    if world.purity_cv > 0.0:
        concentration = (1.0 - mean) / (mean * world.purity_cv**2) - 1.0
        mean = rng.beta(mean * concentration, (1.0 - mean) * concentration)
    here = size * (rng.random(n) < world.attribution)
    return float(size.sum()), float(here.sum()), float((here * mean).sum())


def live(world: World, rng: np.random.Generator, n_worlds: int) -> Observed:
    """Let worlds happen until `n_worlds` of them have seen an event: without one there is no evidence to analyse."""
    counts, seized, gross, pure = [], [], [], []
    mu = np.asarray(world.mu, np.float64)
    while len(counts) < n_worlds:
        n = rng.poisson(mu)
        if n.sum() == 0:
            continue
        one = world.detection_rate(rng)
        d = np.array([one if world.one_rate else world.detection_rate(rng) for _ in mu])
        sigma, purity = world.log_sd(rng), world.purity(rng)
        caught = _loads(world, rng, int(n.sum()), sigma, purity)
        passed = _loads(world, rng, int(rng.poisson(mu * (1.0 - d) / d).sum()), sigma, purity)
        counts.append(n)
        seized.append(caught[0])
        gross.append(passed[1])
        pure.append(passed[2])
    return Observed(n_events=np.array(counts), seized_kg=np.array(seized), missed_gross_kg=np.array(gross), missed_pure_kg=np.array(pure))


BATCH = 25  # periods a run: more of them cost memory for summaries, not time


def intervals(
    n_events: np.ndarray,
    parameters: Mapping[str, Any],
    quantity: str,
    *,
    form: str = "powder",
    varies_by: Mapping[str, Sequence[str]] | None = None,
    model: Mapping[str, Any] | None = None,
    shared: bool = True,
    probabilities: Sequence[float] = (0.05, 0.95),
    draws: int = 16_384,
    seed: int = 1,
) -> np.ndarray:
    """Return central intervals (w, 2) of a missed mass of all strata together, per kg seized of them all.

    n_events (w, j); parameters: name -> law, drawn independently by the dimensions in `varies_by`; shared: whether strata share a scale
    """
    order = np.sort(n_events, axis=1)[:, ::-1]  # strata are alike, so their order tells nothing
    distinct, which = np.unique(order, axis=0, return_inverse=True)
    names = [f"stratum-{j}" for j in range(n_events.shape[1])]
    answers = np.empty((len(distinct), 2))
    for first in range(0, len(distinct), BATCH):
        vectors = distinct[first : first + BATCH]
        rows = [
            row(name, int(n), float(n / vector.sum()), form, period=f"world-{w}")
            for w, vector in enumerate(vectors)
            for name, n in zip(names, vector, strict=True)
            if shared or n > 0
        ]
        blocks = [
            block(name, law, **({"varies_by": list(by), "correlation": 0.0} if (by := (varies_by or {}).get(name)) else {}))
            for name, law in parameters.items()
        ]
        asked = scenario(
            rows,
            blocks,
            run={"draws": draws, "seed": seed},
            model={**({"shared_load_scale": [names]} if shared and len(names) > 1 else {}), **(model or {})},
            **({"groups": {"total": names}} if len(names) > 1 else {}),
        )
        tree = sim.run(asked, threads=2)
        at = {"corridor": "total" if len(names) > 1 else names[0], "form": "all"}
        found = tree["quantiles"][quantity].sel(**at).sel(quantile=list(probabilities))
        answers[first : first + len(vectors)] = found.sel(period=[f"world-{w}" for w in range(len(vectors))]).values
    return answers[which.reshape(-1)]


def hits(truth: np.ndarray, bounds: np.ndarray) -> int:
    """Return how many truths lie in their interval, ends included."""
    return int(((bounds[:, 0] <= truth) & (truth <= bounds[:, 1])).sum())
