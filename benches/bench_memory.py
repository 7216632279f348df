"""The most memory that a run ever holds, by the number of draws: each in a process of its own."""

from __future__ import annotations

import numpy as np

from .measuring import Effort, Measures, peak_bytes

SCENARIOS = {"small": "one_stratum({draws}, 100, 'gamma')", "shipped": "shipped({draws})"}
SLOW = ("shipped, 10^8 draws",)


def measure(effort: Effort) -> Measures:
    """Return bytes: "small, 10^6 draws" to "shipped, 10^8 draws", three runs each but for the longest."""
    found: Measures = {}
    for name, expression in SCENARIOS.items():
        for exponent in (6, 7, 8):
            label = f"{name}, 10^{exponent} draws"
            if label in SLOW and not effort.long:
                found[label] = "only with --long"
                continue
            call = expression.format(draws=effort.draws(10**exponent))
            program = f"import sim\nfrom benches import scenarios\nsim.run(scenarios.{call}, threads=2)"
            repeats = min(effort.rounds, 3) if exponent == 6 else 1
            found[label] = np.array([peak_bytes(program) for _ in range(repeats)])
    return found
