"""Which summary answers which question, for as few summaries as there can be."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from .inputs import constant_of
from .matching import Match, Stratum
from .precursors import sums
from .records import PARAMETERS, QUANTITIES, RESULT_FORMS, Result, Scenario

ABSENT, ZERO = -1, -2  # instead of the number of a summary


def questions(scenario: Scenario, matched: Match) -> tuple[np.ndarray, np.ndarray, int, np.ndarray]:
    """Return (summary, factor, number of summaries, the kernel's index), the first two (n, p, f, q).

    Only what does not follow from another summary is kept: a corridor or group of one form answers for `all`, a group of one member
    for itself, doses follow from the pure flow where the dose is one constant, `delivered` is `missed` and `inland` is 0 without inland
    seizures, `unattributed` is 0 where everything is attributed. What precursors could have made comes last, for `all`.
    """
    q = {name: i for i, name in enumerate(QUANTITIES)}
    shape = (len(scenario.places), len(scenario.periods), len(RESULT_FORMS))
    summary = np.full((*shape, len(scenario.quantities)), ABSENT)
    multiplier = np.ones((*shape, len(scenario.quantities)))
    index = np.full((*shape, len(q)), -1)
    number = 0
    for p, period in enumerate(scenario.periods):
        here = [stratum for stratum in matched.strata if stratum.key[1] == period]
        for g, (_, members) in enumerate(scenario.places):
            inside = [stratum for stratum in here if stratum.key[0] in members]
            if not inside:
                continue
            present = sorted({stratum.key[0] for stratum in inside})
            if g >= len(scenario.corridors) and len(present) == 1:
                single = scenario.corridors.index(present[0])
                summary[g, p], multiplier[g, p] = summary[single, p], multiplier[single, p]
                continue
            unrecorded = any(stratum.key[2] == "unrecorded" for stratum in inside)
            forms = [f for f in ("powder", "pill") if unrecorded or any(stratum.key[2] == f for stratum in inside)]
            for f, form in enumerate(RESULT_FORMS):
                if form == "all" and len(forms) == 1:
                    only = RESULT_FORMS.index(forms[0])
                    summary[g, p, f], multiplier[g, p, f] = summary[g, p, only], multiplier[g, p, only]
                    continue
                if form != "all" and form not in forms:
                    continue
                contributing = [s for s in inside if form in ("all", s.key[2]) or s.key[2] == "unrecorded"]
                inland = constant_everywhere(contributing, "inland_seized_ratio") != 0.0
                attributed = constant_everywhere(contributing, "attribution_share") != 1.0
                dose = constant_everywhere(contributing, "dose")
                for name, k in q.items():
                    if name == "n_missed" and unrecorded and form != "all":
                        continue
                    if (name == "inland_pure_kg" and not inland) or (name == "unattributed_pure_kg" and not attributed):
                        summary[g, p, f, k] = ZERO
                    elif name == "delivered_pure_kg" and not inland:
                        summary[g, p, f, k] = summary[g, p, f, q["missed_pure_kg"]]
                    elif name == "flow_doses" and dose is not None:
                        summary[g, p, f, k] = summary[g, p, f, q["flow_pure_kg"]]
                        multiplier[g, p, f, k] = 1e6 / dose
                    else:
                        summary[g, p, f, k] = index[g, p, f, k] = number
                        number += 1
    potential, made_of = sums(scenario, matched)
    for (g, p), k in potential.items():
        summary[g, p, RESULT_FORMS.index("all"), -1] = number + k
    return summary, multiplier, number + len(made_of), index


def constant_everywhere(strata: Iterable[Stratum], name: str) -> float | None:
    """Return the one constant that a parameter (not of purity) has in all strata, or None."""
    found = set()
    for stratum in strata:
        draw = stratum.parameter_draws.get((name, stratum.key[2]))
        found.add(PARAMETERS[name].default if draw is None else constant_of(draw.block.law))
    return found.pop() if len(found) == 1 else None


def cell_of(scenario: Scenario, result: Result) -> tuple[int, int, int, int] | None:
    """Return `scenario.cell(result)`, or None where its corridor, period or quantity is not in use."""
    try:
        return scenario.cell(result)
    except ValueError:
        return None
