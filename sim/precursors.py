"""Seized precursors as plain arrays for the border kernel: which sums of amount x yield there are, and what each adds up."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from .evidence import Row
from .kernels import border
from .matching import Match, Stratum, StratumKey
from .records import Scenario

NOTHING = border.Precursors(
    summary=np.zeros(0, np.int64),
    start=np.zeros(1, np.int64),
    amount=np.zeros(0),
    half=np.zeros(0),
    half_slot=np.zeros(0, np.int64),
    conversion=np.zeros(0, np.int64),
)


def sums(scenario: Scenario, matched: Match) -> tuple[dict[tuple[int, int], int], list[tuple[Stratum, ...]]]:
    """Return the number of the sum at each (place, period) that has precursors, and the strata of every sum; equal ones are one."""
    number: dict[tuple[StratumKey, ...], int] = {}
    found: dict[tuple[int, int], int] = {}
    strata: list[tuple[Stratum, ...]] = []
    for p, period in enumerate(scenario.periods):
        for g, (_, members) in enumerate(scenario.places):
            inside = tuple(stratum for stratum in matched.precursors if stratum.key[1] == period and stratum.key[0] in members)
            if not inside:
                continue
            found[g, p] = number.setdefault(tuple(stratum.key for stratum in inside), len(number))
            if found[g, p] == len(strata):
                strata.append(inside)
    return found, strata


def rounded(stratum: Stratum) -> list[tuple[str, Row]]:
    """Return the rows whose amount is uncertain, each with the stable name of its uniform; their order in a file names none."""
    rows = sorted((row for row in stratum.rows if row.rounding > 0.0), key=lambda row: (row.amount, row.rounding))
    return [(f"{'|'.join(stratum.key)}|rounding-{i}", row) for i, row in enumerate(rows)]


def compile_precursors(
    strata: Sequence[tuple[Stratum, ...]], first: int, slot: Mapping[str, int], number: Mapping[str, int]
) -> border.Precursors:
    """Return the kernel's sums, whose summaries are `first` and those after it.

    strata   of every sum, as `sums` gives them
    slot     of every uniform by name
    number   of every parameter draw by id, among the inputs
    """
    terms: list[tuple[float, float, int, int]] = []
    start = [0]
    for together in strata:
        for stratum in together:
            conversion = number[stratum.parameter_draws["precursor_yield", "precursor"].id]
            known = math.fsum(row.amount for row in stratum.rows if not row.rounding > 0.0)
            terms.append((known, 0.0, -1, conversion))
            terms += [(row.amount, row.rounding, slot[name], conversion) for name, row in rounded(stratum)]
        start.append(len(terms))
    return border.Precursors(
        summary=first + np.arange(len(strata)),
        start=np.array(start),
        amount=np.array([term[0] for term in terms], dtype=np.float64),
        half=np.array([term[1] for term in terms], dtype=np.float64),
        half_slot=np.array([term[2] for term in terms], dtype=np.int64),
        conversion=np.array([term[3] for term in terms], dtype=np.int64),
    )


def renumbered(precursors: border.Precursors, number: np.ndarray) -> border.Precursors:
    """Return the sums whose summaries have a new number (S,), those with -1 left out."""
    kept = np.flatnonzero(number[precursors.summary] >= 0)
    terms = [np.arange(precursors.start[k], precursors.start[k + 1]) for k in kept]
    chosen = np.concatenate([np.zeros(0, np.int64), *terms])
    return border.Precursors(
        summary=number[precursors.summary[kept]],
        start=np.concatenate(([0], np.cumsum([len(each) for each in terms]))).astype(np.int64),
        amount=precursors.amount[chosen],
        half=precursors.half[chosen],
        half_slot=precursors.half_slot[chosen],
        conversion=precursors.conversion[chosen],
    )
