"""Tail indices: which means exist, and which have an error (docs/notes/002-means.md)."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Mapping

import numpy as np

from . import distributions
from .matching import SIZE_PARAMETER, Match, scale_blocks
from .records import FRACTIONS, POTENTIAL, RESULT_FORMS, Scenario

Reason = tuple[str, Mapping[str, float]]
"""What keeps a mean from existing, and the tail index by place: block, or corridors and period."""


def tail_indices(scenario: Scenario, matched: Match) -> tuple[np.ndarray, np.ndarray, tuple[Reason, ...]]:
    """Return the tail index of every result (n, p, f, q), the number of the reason for it, and the reasons.

    alpha = the least of: index at 0 of detection_rate; kappa n_B for gamma loads; index at 0 of a denominator (pill_mass, dose); index at
    infinity of a factor (missed_size_ratio, load_median, precursor_yield, ...); 0 for untruncated lognormal loads with an unbounded
    load_log_sd; what of these depends on each other, together (`_together`).

    Source: method.md section 6, Means.
    """
    names = list(scenario.quantities)
    shape = (len(scenario.places), len(scenario.periods), len(RESULT_FORMS), len(names))
    index = np.full(shape, np.inf)
    reason = np.zeros(shape, np.int64)
    found: dict[str, dict[str, float]] = {}  # what is wrong -> where -> index
    scales = _scale_indices(scenario, matched)
    for stratum in (*matched.strata, *matched.precursors):
        form = stratum.key[2]
        denominators = [("missed", "detection_rate", form), ("pure", "pill_mass", "pill"), ("doses", "dose", form)]
        factors = [("mass", name, form) for name in ("missed_size_ratio", "load_median")] + [("inland", "inland_seized_ratio", form)]
        factors += [("gross", "pill_mass", "pill")] if stratum.tablets else []
        factors += [("potential", "precursor_yield", form)]
        # which quantities, index, what is wrong, where
        causes: list[tuple[tuple[str, ...], float, str, str]] = [(("mass",), *scale) for scale in scales.get(stratum.key, ())]
        ends: dict[str, tuple[str, float, float, str, str]] = {}  # draw -> which, index, +1 for its upper end, what, where
        for pairs, index_of, upper, end in (
            (denominators, distributions.index_at_zero, -1.0, "near 0"),
            (factors, distributions.index_at_infinity, 1.0, "large"),
        ):
            for of_what, name, lookup_form in pairs:
                draw = stratum.parameter_draws.get((name, lookup_form))
                if draw is not None:
                    ends[draw.id] = of_what, index_of(draw.block.law), upper, f"{name} can be very {end}", draw.block.id
                    causes.append(((of_what,), index_of(draw.block.law), f"{name} can be very {end}", draw.block.id))
        causes += _together(ends, matched)
        p = scenario.periods.index(stratum.key[1])
        for which, alpha, what, where in causes:
            if not alpha < math.inf:
                continue
            found.setdefault(what, {})[where] = alpha
            number = 1 + list(found).index(what)
            for k, name in enumerate(names):
                if not all(_concerns(each, name) for each in which):
                    continue
                for g, (_, members) in enumerate(scenario.places):
                    if stratum.key[0] not in members:
                        continue
                    for f, result_form in enumerate(RESULT_FORMS):
                        touches = result_form == "all" or form in ("unrecorded", result_form)
                        if touches and alpha < index[g, p, f, k]:
                            index[g, p, f, k] = alpha
                            reason[g, p, f, k] = number
    return index, reason, (("", {}), *found.items())


def _together(ends: Mapping[str, tuple[str, float, float, str, str]], matched: Match) -> list[tuple[tuple[str, ...], float, str, str]]:
    """Return as causes what of the heavy ends of one stratum depends on each other: their product is heavier than any of them.

    ends   draw -> which quantities, alpha, +1 for an upper end or -1 for a lower one, what is wrong, where

    A score z stands for a log of z^2 / (2 alpha). Under a Gaussian copula z' R^-1 z / 2 is least where their sum is 1 at the inverse of
    the greatest eigenvalue of R_ij / sqrt(alpha_i alpha_j), R >= 0 in the direction of the ends: alpha / (1 + r) for two alike. A t copula
    has extremes that come together: 1 / sum(1 / alpha).
    """
    causes = []
    for component in matched.components:
        found = [i for i, draw in enumerate(component.parameter_draws) if draw.id in ends and ends[draw.id][1] < math.inf]
        for size in range(2, len(found) + 1):
            for some in itertools.combinations(found, size):
                these = [ends[component.parameter_draws[i].id] for i in some]
                alpha, sign = (np.array([each[k] for each in these]) for k in (1, 2))
                r = component.matrix[np.ix_(some, some)] * np.outer(sign, sign)
                with np.errstate(divide="ignore"):
                    pairs = np.ones_like(r) if component.df else np.maximum(r, 0.0)
                    heaviest = float(np.linalg.eigvalsh(pairs / np.sqrt(np.outer(alpha, alpha)))[-1]) if alpha.all() else math.inf
                if 1.0 / heaviest < alpha.min() * (1.0 - 1e-9):
                    what = " and ".join(each[3] for each in these) + " together"
                    causes.append((tuple(each[0] for each in these), 1.0 / heaviest, what, ", ".join(each[4] for each in these)))
    return causes


def said(reasons: Iterable[Reason]) -> str:
    """Say what keeps a mean or an sd from existing, each cause with its three lowest tail indices and one place of each.

    A cause that several cases of a sweep have is said once, with the lowest index that a place has in any of them.

    >>> said([("d can be near 0", {"d[east]": 1.5, "d[west]": 3.0}), ("d can be near 0", {"d[east]": 1.2, "d[west]": 3.0})])
    'd can be near 0 (d[east], in the worst case: tail index 1.2; d[west]: tail index 3)'
    """
    found: dict[str, dict[str, set[float]]] = {}
    for what, by_place in reasons:
        places = found.setdefault(what, {})
        for place, alpha in by_place.items():
            places.setdefault(place, set()).add(alpha)
    return "; ".join(
        f"{what} ({_indices({(place if len(each) == 1 else f'{place}, in the worst case'): min(each) for place, each in places.items()})})"
        for what, places in sorted(found.items())
    )


def _indices(by_place: Mapping[str, float]) -> str:
    """Return the three lowest of the tail indices, each with one place that has it: draws of one law have one index."""
    places: dict[str, list[str]] = {}
    for place, alpha in sorted(by_place.items(), key=lambda item: item[::-1]):
        places.setdefault(f"{alpha:.3g}", []).append(place)
    shown = [f"{here[0]}{f' and {len(here) - 1} more' if len(here) > 1 else ''}: tail index {alpha}" for alpha, here in places.items()]
    return "; ".join([*shown[:3], *(["..."] if len(shown) > 3 else [])])


def _concerns(which: str, quantity: str) -> bool:
    """Return whether a cause reaches a quantity: `missed` counts, `mass` sizes of missed loads, `pure`, `gross`, `inland`, `doses`."""
    if quantity == POTENTIAL or which == "potential":
        return quantity == POTENTIAL and which == "potential"
    if quantity in FRACTIONS:
        return False
    missed = quantity not in ("seized_gross_kg", "seized_pure_kg", "inland_pure_kg")
    return {
        "missed": missed,
        "mass": missed and quantity != "n_missed",
        "pure": "_pure_" in quantity or quantity == "flow_doses",
        "gross": quantity != "n_missed",
        "inland": quantity == "inland_pure_kg",
        "doses": quantity == "flow_doses",
    }[which]


def _scale_indices(scenario: Scenario, matched: Match) -> dict[tuple[str, str, str], list[tuple[float, str, str]]]:
    """Return (index, what is wrong, where) by stratum: kappa n_B of s = T_B / Z for gamma loads, 0 where untruncated loads lack a bound."""
    found: dict[tuple[str, str, str], list[tuple[float, str, str]]] = {}
    for members, period, strata in scale_blocks(scenario, matched):
        causes: list[tuple[float, str, str]] = []
        shape_index = 0.0
        for stratum in strata:
            draw = stratum.parameter_draws.get((SIZE_PARAMETER.get(scenario.load_law, ""), stratum.key[2]))
            if draw is None:
                continue
            if scenario.load_law == "gamma":
                least = math.fsum(row.n_events if row.n_events is not None else row.n_min for row in stratum.rows)
                shape_index += least * distributions.support(draw.block.law)[0]
            elif scenario.load_truncation == math.inf and distributions.is_unbounded(draw.block.law):
                causes.append((0.0, "loads are not truncated and load_log_sd has no upper bound", draw.block.id))
        for stratum in strata:
            found[stratum.key] = list(causes)
            if scenario.load_law == "gamma" and ("load_median", stratum.key[2]) not in stratum.parameter_draws:
                what = "the size of loads rests on few seizures of widely varying size (load_shape x n_events is small)"
                found[stratum.key].append((shape_index, what, f"{', '.join(members)} in {period}"))
    return found
