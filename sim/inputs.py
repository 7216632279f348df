"""Uncertain scalars as plain arrays for the kernels: one table for each law, one uniform slot for each name, correlated ones together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from . import distributions, elicitation
from .dependence import Component, factor
from .kernels import quantiles
from .kernels.inputs import Inputs


def constant_of(law: distributions.Law) -> float | None:
    """Return the one number that a law can yield, or None where there are more."""
    low, high = distributions.support(law)
    return low if low == high else None


def _live(laws: Mapping[str, distributions.Law], components: Sequence[Component]) -> list[tuple[Component, list[int]]]:
    """Return every component with the places of its uncertain draws within it, of two or more."""
    found = []
    for component in components:
        kept = [k for k, draw in enumerate(component.parameter_draws) if constant_of(laws[draw.id]) is None]
        if len(kept) > 1:
            found.append((component, kept))
    return found


def _chi_square(component: Component) -> str:
    return f"chi-square:{component.parameter_draws[0].id}" if component.df > 0.0 else ""


def slots_of_inputs(laws: Mapping[str, distributions.Law], components: Sequence[Component] = ()) -> tuple[str, ...]:
    """Return the stable names of the uniform slots that inputs need, in the order in which they take Sobol' dimensions.

    A slot bears the name of its input, `chi-square:<first name>` for the chi-square of a t component, and slots are in order of their
    names, so that the order of `laws` changes no number.
    """
    uncertain = [name for name, law in laws.items() if constant_of(law) is None]
    return tuple(sorted([*uncertain, *filter(None, (_chi_square(component) for component, _ in _live(laws, components)))]))


def compile_inputs(
    laws: Mapping[str, distributions.Law],
    components: Sequence[Component] = (),
    constants: Sequence[float] = (),
    slot_names: Sequence[str] | None = None,
) -> tuple[Inputs, tuple[str, ...]]:
    """Return the inputs of a kernel and the names of their uniform slots.

    laws         by name; they are the first inputs, in this order
    components   of names among them; a name whose law yields one number alone drops out of its component
    constants    further inputs, after the laws
    slot_names   of which the slots are a part; default: `slots_of_inputs`
    """
    names = list(laws)
    number = {name: i for i, name in enumerate(names)}
    n = len(names)
    constant = np.full(n + len(constants), np.nan)
    constant[n:] = constants
    for i, name in enumerate(names):
        only = constant_of(laws[name])
        constant[i] = np.nan if only is None else only
    tables = [distributions.inverse_table(law) for law in laws.values()]

    live = _live(laws, components)
    chi_names = [_chi_square(component) for component, _ in live]
    slots = tuple(slots_of_inputs(laws, components) if slot_names is None else slot_names)
    slot_of = {name: slot for slot, name in enumerate(slots)}

    component_of = np.full(constant.size, -1)
    members: list[int] = []
    member_start, factor_start = [0], [0]
    factors: list[np.ndarray] = []
    chi_table = []
    for k, (component, kept) in enumerate(live):
        here = [number[component.parameter_draws[place].id] for place in kept]
        component_of[here] = k
        members += here
        member_start.append(len(members))
        rows = factor(component.matrix[np.ix_(kept, kept)])
        factors.append(rows)
        factor_start.append(factor_start[-1] + rows.size)
        chi_table.append(len(tables))
        chi_law = {"kind": "gamma", "shape": max(component.df, 1.0) / 2.0, "scale": 2.0}
        tables.append(distributions.inverse_table(elicitation.law(chi_law)))

    packed = quantiles.pack(tables)
    pad = np.zeros(len(constants))
    t_tables = [quantiles.t_tail_table(c.df) if c.df > 0.0 else quantiles.normal_tail_table() for c, _ in live]
    inputs = Inputs(
        slot=np.array([*(slot_of[name] if np.isnan(constant[number[name]]) else -1 for name in names), *(-1 for _ in constants)]),
        constant=constant,
        coefficients=packed.coefficients,
        child=packed.child,
        low=np.concatenate([packed.support_low[:n], pad]),
        high=np.concatenate([packed.support_high[:n], pad]),
        first=np.concatenate([packed.first_cell[:n], pad.astype(np.int64)]),
        component=component_of,
        member_start=np.array(member_start),
        member=np.array(members, dtype=np.int64),
        factor_start=np.array(factor_start[:-1], dtype=np.int64),
        factor=np.concatenate([*factors, np.zeros(0)]),
        df=np.array([component.df for component, _ in live], dtype=np.float64),
        chi_slot=np.array([slot_of.get(name, -1) for name in chi_names], dtype=np.int64),
        chi_low=packed.support_low[chi_table],
        chi_high=packed.support_high[chi_table],
        chi_first=packed.first_cell[chi_table],
        t_tables=np.stack(t_tables) if t_tables else np.zeros((0, 1, 4)),
    )
    return inputs, slots
