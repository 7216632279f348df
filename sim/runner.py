"""Plans blocks of draws, runs them in threads and merges their summaries in a fixed order."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

PROBABILITIES = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.975, 0.99, 0.995)


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """What a run of the border model leaves, before labels.

    c = corridors then groups, p = periods, f = powder, pill, all, q = PROBABILITIES, h = chains (replicates), k = kept draws a chain, x = parameter draws

    quantiles, mcse               quantity -> (c, p, f, q)
    mean, sd, mean_mcse           quantity -> (c, p, f), NaN where it does not exist
    undefined_share               quantity -> (c, p, f), share of draws that are 0/0
    notes                         quantity -> why some means or sds are NaN; absent where none is
    kept                          quantity -> (h, k, c, p, f); empty where none were asked for
    kept_parameters               (h, k, x)
    diagnostics                   name -> (dims, array), see model.DIAGNOSTICS
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
    notes: Mapping[str, str]
    kept: Mapping[str, np.ndarray]
    kept_parameters: np.ndarray
    diagnostics: Mapping[str, tuple[tuple[str, ...], np.ndarray]]
    seconds: float
