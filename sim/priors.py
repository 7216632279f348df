"""The event prior: how it is shared out over strata, and how much of the answer it supplies."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np

from . import distributions
from .matching import Match, Stratum
from .records import Scenario


def priors(scenario: Scenario, strata: Iterable[Stratum]) -> np.ndarray:
    """Return each stratum's share of the event prior: a over the number of strata of its corridor and period; copies have none."""
    if scenario.load_law == "copy":
        return np.zeros(len(list(strata)))
    cells = [stratum.key[:2] for stratum in strata]
    return np.array([scenario.event_prior / cells.count(cell) for cell in cells], dtype=np.float64)


def expected_events(stratum: Stratum) -> float:
    """Return the events of a stratum, a blank count at its log-uniform mean."""
    return math.fsum(
        row.n_events if row.n_events is not None else (row.n_max + 1 - row.n_min) / math.log((row.n_max + 1) / row.n_min) - 0.5
        for row in stratum.rows
    )


def prior_shares(scenario: Scenario, matched: Match) -> np.ndarray:
    """Return a / (n + a) of the expected missed loads, (n, p), NaN where nothing is expected.

    A stratum weighs (n + a) (1 - d) / d at the median of d, whose mean need not exist.
    """
    a_of = priors(scenario, matched.strata)
    shares = np.full((len(scenario.places), len(scenario.periods)), np.nan)
    for g, (_, members) in enumerate(scenario.places):
        for p, period in enumerate(scenario.periods):
            ours = expected = 0.0
            for a, stratum in zip(a_of, matched.strata, strict=True):
                draw = stratum.parameter_draws.get(("detection_rate", stratum.key[2]))
                if stratum.key[1] != period or stratum.key[0] not in members or draw is None:
                    continue
                d = distributions.median(draw.block.law)
                ours += a * (1.0 - d) / d
                expected += (expected_events(stratum) + a) * (1.0 - d) / d
            if expected > 0.0:
                shares[g, p] = ours / expected
    return shares
