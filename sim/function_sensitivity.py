"""Which parameters the outputs of any function hang on: what `propagate` adds to `sensitivity.py`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import xarray as xr

from . import distributions
from .dependence import Component, factor
from .indices import Array
from .kernels.inputs import Inputs
from .runner import Engine, Plan
from .sensitivity import MOST_GROUPS, find, variables
from .tree import Coordinate, one_group


def group(
    engine_of: Callable[[Inputs], Engine],
    inputs: Inputs,
    laws: Mapping[str, distributions.Law],
    outputs: Sequence[str],
    components: Sequence[Component],
    run_plan: Plan,
    scale: str,
    threads: int | None,
) -> xr.Dataset:
    """Return the group /sensitivity of a function's outputs.

    engine_of   the engine that draws its arguments from some inputs, `inputs` those of the run

    Shapley effects are given where there are at most eight groups of inputs. Every parameter is one of its own, one in a Gaussian
    component too: the others of the component are redrawn from their law given it. Those of a t component are one group, whose mixing
    chi-square hangs on all of them; and so are those of a Gaussian component where that is what makes eight.
    """
    groups = _groups(inputs, list(laws), split=True)
    if len(groups) > MOST_GROUPS:
        groups = _groups(inputs, list(laws), split=False)
    alone = {name: members for name, members in groups.items() if len(members) == 1}
    split = any(inputs.component[members[0]] >= 0 for members in alone.values())
    enough = 0 < len(groups) <= MOST_GROUPS
    matrices = {frozenset(draw.id for draw in one.parameter_draws): one for one in components}
    names = list(laws)

    def given(subset: int) -> Engine:
        """Return the engine that draws the members of each Gaussian component outside of the subset from their law given those inside."""
        inside = {p for k, members in enumerate(groups.values()) if subset >> k & 1 for p in members}
        member, factors = inputs.member.copy(), inputs.factor.copy()
        for k in range(inputs.df.size):
            if inputs.df[k] > 0.0:
                continue
            here = slice(inputs.member_start[k], inputs.member_start[k + 1])
            of_component = inputs.member[here]
            whole = next(one for key, one in matrices.items() if {names[p] for p in of_component} <= key)
            place = {draw.id: i for i, draw in enumerate(whole.parameter_draws)}
            order = sorted(of_component.tolist(), key=lambda p: (p not in inside, p))
            rows = factor(whole.matrix[np.ix_(*2 * ([place[names[p]] for p in order],))])
            member[here] = order
            factors[inputs.factor_start[k] : inputs.factor_start[k] + rows.size] = rows
        return engine_of(inputs._replace(member=member, factor=factors))

    def slots(members: Sequence[int], n_slots: int) -> np.ndarray:
        mine = np.zeros(n_slots, bool)
        mine[[inputs.slot[p] for p in members]] = True
        for k in {int(inputs.component[p]) for p in members if inputs.component[p] >= 0}:
            if inputs.chi_slot[k] >= 0:
                mine[inputs.chi_slot[k]] = True
        return mine

    engine = engine_of(inputs)
    found = find(
        engine,
        run_plan,
        list(laws.values()),
        _as_targets,
        scale=scale,
        groups=[slots(members, len(engine.slot_names)) for members in groups.values()] if enough else (),
        rerun=given if split else engine,
        threads=threads,
    )
    each = {
        "first_order": found.first_order[0],
        "first_order_mcse": found.first_order[1],
        "evppi": found.evppi[0],
        "evppi_mcse": found.evppi[1],
        "shapley": found.shapley[0] if enough else np.zeros((0, len(outputs))),
        "shapley_mcse": found.shapley[1] if enough else np.zeros((0, len(outputs))),
        "notes": {name: note for name, note in zip(outputs, found.notes, strict=True) if note},
    }
    labels: dict[str, Coordinate] = {
        "parameter": ("parameter", names, {"long_name": "name of the parameter"}),
        "target": ("target", list(outputs), {"long_name": "name of the output"}),
        "input_group": ("input_group", list(groups), {"long_name": "parameters, those of a t component together"}),
    }
    made = variables((), lambda arrays, _: arrays[0], [each], scale)
    lacking = f"no Shapley effects: there are {len(groups)} groups of parameters, and 1 to {MOST_GROUPS} are needed"
    return one_group(made, labels, "which parameters the outputs hang on", {} if enough else {"note": lacking})


def _as_targets(stored: Array) -> tuple[Array, Array]:
    return stored, np.zeros((0, stored.shape[1]))


def _groups(inputs: Inputs, names: Sequence[str], *, split: bool) -> dict[str, list[int]]:
    """Return the uncertain parameters of every group by its name; `split` takes the members of Gaussian components apart."""
    groups: dict[str, list[int]] = {}
    together: dict[int, list[int]] = {}
    for p, name in enumerate(names):
        if inputs.slot[p] < 0:
            continue
        k = int(inputs.component[p])
        if k < 0 or (split and inputs.df[k] == 0.0):
            groups[name] = [p]
        else:
            together.setdefault(k, []).append(p)
    return groups | {" + ".join(names[p] for p in members): members for members in together.values()}
