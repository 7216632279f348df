"""A law as the user writes it: natural parameters, exact functions from scipy.stats, the table for the kernels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Law:
    """One probability law in the unit of its parameter; hashable, equal by value.

    `parameters` are the natural parameters by name; the components of a `mixture` are laws themselves, a `scipy` law has its
    `name` first. `lower` and `upper` truncate (renormalise), they never clip; None is no bound.
    """

    kind: str
    parameters: tuple[tuple[str, Any], ...]
    lower: float | None = None
    upper: float | None = None
