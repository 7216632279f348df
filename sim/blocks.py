"""One table or block of a scenario file to its record, and every message about it alone."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

from .distributions import Law, cdf, median, support
from .elicitation import LawError, law
from .errors import Problem
from .evidence import FORMS, period_start
from .evidence_in_use import InUse, Leftovers, first_of
from .matching import place_of
from .records import (
    ALL_QUANTITIES,
    DIMENSIONS,
    FRACTIONS,
    PARAMETERS,
    Claim,
    Condition,
    Contrast,
    Correlation,
    Growth,
    Parameter,
    Result,
    Sensitivity,
)
from .schema import (
    ClaimBlock,
    ConditionBlock,
    ContrastBlock,
    CorrelationBlock,
    GrowthBlock,
    ParameterBlock,
    ResultTable,
    SensitivityTable,
)
from .sweeps import block_id
from .toml_file import KeyPath, nearest, shown
from .units import UnitError, closest, parse_quantity


def check_corridors(groups: Mapping[str, list[str]], shared: Sequence[list[str]], in_use: InUse, problems: list[Problem]) -> Leftovers:
    """Add what is wrong with the corridors that `[groups]` and `shared_load_scale` name, and return those that are not in use."""
    leftovers: Leftovers = {}
    corridors = in_use.labels["corridor"]
    for group in groups:
        if group in corridors or group in in_use.left_out["corridor"]:
            came = f"the group {shown(group)} bears the name of a corridor"
            allowed = "groups and corridors share one list of labels in results"
            problems.append(Problem(path=("groups", group), came=came, allowed=allowed, advice="Rename the group"))
    lists: list[tuple[KeyPath, list[str], str]] = [
        *((("groups", group), members, "groups may overlap but not nest") for group, members in groups.items()),
        *((("model", "shared_load_scale", n), members, "a list holds corridors") for n, members in enumerate(shared, start=1)),
    ]
    owner: dict[str, KeyPath] = {}
    for base, members, rule in lists:
        for number, member in enumerate(members, start=1):
            path = (*base, number)
            if member in groups and member not in corridors:
                advice = f"List its members: {', '.join(groups[member])}"
                problems.append(Problem(path=path, came=f"{shown(member)} is a group", allowed=rule, advice=advice))
            elif member in in_use.left_out["corridor"]:
                leftovers[base, member] = in_use.missing(member, corridors, "corridor", path)
            elif member in in_use.without_rows["corridor"]:
                leftovers[base, member] = None
            elif member not in corridors:
                problems.append(in_use.missing(member, corridors, "corridor", path))
            elif base[0] == "model" and owner.setdefault(member, base) != base:
                came, allowed = f"{shown(member)} stands in list {owner[member][-1]} too", "a corridor has one load scale"
                problems.append(Problem(path=path, came=came, allowed=allowed, advice="Delete it from one list"))
    return leftovers


def read_law(block: ParameterBlock, raw: Mapping[str, Any], path: KeyPath, problems: list[Problem]) -> Law | None:
    """Return the law of a block, within its parameter's domain, or None after adding what is wrong.

    A misspelt name is taken for the one that its message names, so that what is wrong with its law is said at once.
    """
    name = block.name if block.name is not None else closest(str(raw.get("name")), PARAMETERS)
    if name is None or block.distribution is None:
        return None
    entry = PARAMETERS[name]
    try:
        found = law(raw["distribution"], entry.unit)
    except LawError as error:
        problems.extend(
            replace(problem, path=path + tuple(part + 1 if isinstance(part, int) else part for part in problem.path))
            for problem in error.problems
        )
        return None
    low, high = support(found)
    touches = entry.open_low and low == entry.low and float(cdf(found, entry.low)) > 0  # a bound that is excluded may be touched, not hit
    if low >= entry.low and high <= entry.high and not touches:
        return found
    domain = f"{'(' if entry.open_low else '['}{entry.low:g}, {entry.high:g}{']' if math.isfinite(entry.high) else ')'}"
    unit = "" if entry.unit == "1" else f" {entry.unit}"
    if low == high:
        came, advice = f"{low:g}{unit} is outside the domain", "Give a number inside it"
    else:
        bounds = [f"lower = {entry.low:g}"] * (low < entry.low) + [f"upper = {entry.high:g}"] * (high > entry.high)
        came = f"the law reaches from {low:g} to {high:g}{unit}, beyond the domain"
        advice = f"Truncate it with {' and '.join(bounds)}, or choose another law" if bounds else f"Give {entry.low:g} no probability"
    middle = median(found)
    if entry.high == 1 < middle < 100:  # a law that was meant in percent would not be mended by a truncation
        advice = f"A fraction is 0..1: {middle:.4g} % is {middle / 100:.4g}"
    problems.append(Problem(path=path, came=came, allowed=f"{name} lies in {domain}{unit}", advice=advice))
    return None


def read_parameter(
    block: ParameterBlock,
    raw: Mapping[str, Any],
    path: KeyPath,
    its_law: Law | None,
    groups: Mapping[str, list[str]],
    in_use: InUse | None,
    problems: list[Problem],
) -> tuple[Parameter | None, Leftovers]:
    """Return the record of one block, if `its_law` could be read, and the labels that only a selection makes unknown.

    In a selector of corridors a group stands for its members, each once. `in_use` None is evidence that could not be read: then only
    forms are checked.
    """
    n_before, name = len(problems), block_id(raw)
    leftovers: Leftovers = {}
    selectors: dict[str, tuple[str, ...] | None] = {}
    forms = PARAMETERS[block.name].forms if block.name is not None else FORMS
    for kind in DIMENSIONS:
        labels = getattr(block, kind)
        left_out = in_use.left_out[kind] if in_use is not None and kind != "form" else frozenset()
        known = forms if kind == "form" else in_use.labels[kind] if in_use is not None else None
        known = (*known, *groups) if known is not None and kind == "corridor" else known
        for number, label in enumerate(labels or (), start=1):
            members = groups.get(label, [label]) if kind == "corridor" else [label]
            leftovers |= {(place_of(name, kind), member): None for member in members if member in left_out}
            if known is None or label in known:
                continue
            place = (*path, kind, number) if isinstance(raw[kind], list) else (*path, kind)
            if kind == "form":
                came, allowed = f"{raw.get('name')} has no form {shown(label)}", f"it is looked up by {', '.join(forms)}"
                problems.append(Problem(path=place, came=came, allowed=allowed, advice=nearest(label, forms)))
            elif in_use is not None and label in left_out:
                leftovers[place_of(name, kind), label] = in_use.missing(label, known, kind, place)
            elif in_use is not None:
                problems.append(in_use.missing(label, known, kind, place))
        expanded = (member for label in labels or () for member in (groups.get(label, [label]) if kind == "corridor" else [label]))
        selectors[kind] = tuple(dict.fromkeys(expanded)) if labels is not None else None
    if block.varies_by and "correlation" not in raw:
        allowed, advice = "a block with varies_by says how alike its draws are", "Add correlation = 0.8; 0 is independent"
        problems.append(Problem(path=path, came="correlation is missing", allowed=allowed, advice=advice))
    if block.correlation is not None and "varies_by" not in raw:
        came, allowed = "there is nothing to correlate", "correlation needs varies_by: a block without it is one draw"
        problems.append(Problem(path=(*path, "correlation"), came=came, allowed=allowed, advice='Add varies_by = ["period"]'))
    if its_law is None or block.name is None or block.varies_by is None or len(problems) > n_before:
        return None, leftovers
    varies_by = tuple(kind for kind in DIMENSIONS if kind in block.varies_by)
    parameter = Parameter(id=name, name=block.name, law=its_law, varies_by=varies_by, correlation=block.correlation, path=path, **selectors)
    return parameter, leftovers


def read_correlation(block: CorrelationBlock, raw: Mapping[str, Any], path: KeyPath, problems: list[Problem]) -> Correlation | None:
    """Return the record of one block, or None after adding what is wrong with it alone."""
    n_before, n = len(problems), len(block.between or ())
    if ("value" in raw) == ("matrix" in raw):
        came = "both value and matrix are given" if "value" in raw else "neither value nor matrix is given"
        advice = "value suits two blocks, matrix single draws"
        problems.append(Problem(path=path, came=came, allowed="exactly one of them is needed", advice=advice))
    if block.copula == "t" and "df" not in raw:
        problems.append(Problem(path=path, came="df is missing", allowed="a t copula has degrees of freedom >= 1", advice="Add df = 4"))
    if block.copula == "gaussian" and block.df is not None:
        came, allowed = "a gaussian copula has no df", "only copula t has one"
        problems.append(Problem(path=(*path, "df"), came=came, allowed=allowed, advice="Delete df"))
    if block.matrix is not None and block.between is not None:
        came = ""
        if len(block.matrix) != n or any(len(row) != n for row in block.matrix):
            came, advice = f"a matrix of {len(block.matrix)} rows for {n} names in between", f"Give {n} rows of {n} numbers"
        elif any(block.matrix[i][i] != 1 for i in range(n)):
            came, advice = "a diagonal that is not 1", "A draw has correlation 1 with itself"
        elif wrong := [(i, j) for i in range(n) for j in range(i) if block.matrix[i][j] != block.matrix[j][i]]:
            (i, j) = wrong[0]
            came = f"row {i + 1} column {j + 1} is {block.matrix[i][j]:g}, row {j + 1} column {i + 1} is {block.matrix[j][i]:g}"
            advice = "Make them equal"
        if came:
            allowed = "a correlation matrix is square and symmetric with 1 on its diagonal"
            problems.append(Problem(path=(*path, "matrix"), came=came, allowed=allowed, advice=advice))
    if len(problems) > n_before or block.between is None:
        return None
    matrix = tuple(map(tuple, block.matrix)) if block.matrix is not None else None
    return Correlation(
        id=block_id(raw), between=tuple(block.between), value=block.value, matrix=matrix, copula=block.copula, df=block.df, path=path
    )


def stand_in(block: ParameterBlock) -> Law | None:
    """Return a law within the domain of a block whose own was refused: which blocks match, and what goes together, hangs on no law."""
    if block.name is None:
        return None
    entry = PARAMETERS[block.name]
    return Law(kind="constant", parameters=(("value", entry.high if math.isfinite(entry.high) else entry.low + 1.0),))


def read_contrast(
    block: ContrastBlock, path: KeyPath, groups: Mapping[str, list[str]], in_use: InUse | None, problems: list[Problem]
) -> Contrast | None:
    """Return the record of one block, or None after adding each label that is not in use; whether there is evidence is not asked here."""
    given = {side: getattr(block, side) for side in ("numerator", "denominator") if getattr(block, side) is not None}
    unknown = [add_unknown_labels(result, (*path, side), groups, in_use, problems) for side, result in given.items()]
    if any(unknown) or len(given) < 2:
        return None
    return Contrast(id=block.id, path=path, **{side: Result(**result.model_dump()) for side, result in given.items()})


def add_unknown_labels(
    result: ResultTable, path: KeyPath, groups: Mapping[str, list[str]], in_use: InUse | None, problems: list[Problem]
) -> bool:
    """Add each label of a result that is not in use, and return whether there is one."""
    n_before = len(problems)
    for kind in ("corridor", "period"):
        known = (*in_use.labels[kind], *(groups if kind == "corridor" else ())) if in_use is not None else ()
        label = getattr(result, kind)
        if in_use is not None and label is not None and label not in known:
            problems.append(in_use.missing(label, known, kind, (*path, kind)))
    return len(problems) > n_before


def read_growth(
    block: GrowthBlock,
    path: KeyPath,
    groups: Mapping[str, list[str]],
    in_use: InUse | None,
    taken: Mapping[str, Collection[Any]],
    problems: list[Problem],
) -> Growth | None:
    """Return the record of one block, or None after adding what is wrong; `taken` are the ids of contrasts and of claims."""
    n_before = len(problems)
    if in_use is not None:
        for key, known in (("corridor", (*in_use.labels["corridor"], *groups)), ("quoted", in_use.labels["corridor"])):
            label = getattr(block, key)
            if label is not None and label not in known:
                problems.append(in_use.missing(label, known, "corridor", (*path, key)))
        for number, period in enumerate(block.periods or (), start=1):
            if period not in in_use.labels["period"]:
                problems.append(in_use.missing(period, in_use.labels["period"], "period", (*path, "periods", number)))
    starts = [start for period in block.periods or () if (start := period_start(period)) is not None]
    if len(starts) == 2 and starts[0] > starts[1]:
        came, allowed = f"{block.periods[0]} begins after {block.periods[1]}", "the earlier period comes first"
        problems.append(Problem(path=(*path, "periods"), came=came, allowed=allowed, advice="Swap them"))
    if in_use is None or None in (block.id, block.corridor, block.periods, block.quantity, block.form):  # refused, and told of
        return None
    before, after = block.periods
    growth = Growth(path=path, periods=(before, after), **block.model_dump(exclude={"periods", "note"}))
    for kind, made in (("contrast", [each.id for each in growth.contrasts]), ("claim", [growth.decrease.id])):
        for name in made:
            if name in taken[kind]:
                came, allowed = f"the id {shown(name)} is that of a {kind} too", f"a growth makes this {kind} itself"
                problems.append(Problem(path=(*path, "id"), came=came, allowed=allowed, advice="Rename one of them"))
    if len(problems) == n_before and growth.quoted is not None:
        rows = [row for row in in_use.rows if row.corridor == growth.quoted and row.period in growth.periods]
        units, lacking = sorted({row.unit for row in rows}), set(growth.periods) - {row.period for row in rows}
        if lacking or len(units) > 1:
            came = f"the rows of {growth.quoted} are in {' and '.join(units)}"
            came = f"{growth.quoted} has no row in {min(lacking)}" if lacking else came
            allowed, advice = "quoted figures stand in both periods, in one unit", "Add a row, or write both in one unit"
            problems.append(Problem(path=(*path, "quoted"), came=came, allowed=allowed, advice=advice))
    return growth if len(problems) == n_before else None


def read_claim(block: ClaimBlock, raw: Mapping[str, Any], path: KeyPath, known: Sequence[str], problems: list[Problem]) -> Claim | None:
    """Return the record of one block, or None after adding what is wrong; `known` are the ids of contrasts, of wrong ones too."""
    n_before = len(problems)
    given = [key for key in ("above", "below", "between") if key in raw]
    if len(given) != 1:
        came = f"both {' and '.join(given)} are given" if given else "none of above, below and between is given"
        came = came.replace("both", "all of", 1) if len(given) == 3 else came
        advice = "Delete all but one, or write two claims" if given else "Add above = 1.0"
        problems.append(Problem(path=path, came=came, allowed="exactly one of them is needed", advice=advice))
    if block.between is not None and not block.between[0] < block.between[1]:
        came, allowed = f"between = [{block.between[0]:g}, {block.between[1]:g}]", "the first number is less than the second"
        problems.append(Problem(path=(*path, "between"), came=came, allowed=allowed, advice="Swap them, or give two different ones"))
    if block.contrast is not None and block.contrast not in known:
        allowed = f"known are {first_of(known)}" if known else "a claim is about a contrast, and there is none"
        advice = nearest(block.contrast, known) or ("" if known else "Add a [[contrast]]")
        problems.append(Problem(path=(*path, "contrast"), came=f"unknown contrast {shown(block.contrast)}", allowed=allowed, advice=advice))
    if len(problems) > n_before:
        return None
    between = (block.between[0], block.between[1]) if block.between is not None else None
    return Claim(id=block.id, text=block.text, contrast=block.contrast, above=block.above, below=block.below, between=between, path=path)


def read_sensitivity(
    table: SensitivityTable, groups: Mapping[str, list[str]], in_use: InUse, problems: list[Problem]
) -> Sensitivity | None:
    """Return the record of the table, or None after adding each label that is not in use; whether there is evidence is not asked here."""
    n_before = len(problems)
    if table.target is None:
        places, periods = groups or in_use.labels["corridor"], in_use.labels["period"]
        drug = [row for row in in_use.rows if row.form != "precursor"]
        here = {(corridor, row.period) for row in drug for corridor in places if row.corridor in groups.get(corridor, [corridor])}
        targets = [
            Result(quantity="flow_pure_kg", corridor=corridor, period=period, form="all")
            for corridor in places
            for period in periods
            if (corridor, period) in here
        ]
        return Sensitivity(scale=table.scale, shapley=table.shapley, targets=tuple(targets))
    named: dict[Result, int] = {}
    for number, one in enumerate(table.target, start=1):
        for kind in ("corridor", "period"):
            known = (*in_use.labels[kind], *(groups if kind == "corridor" else ()))
            if getattr(one, kind) not in known:
                problems.append(in_use.missing(getattr(one, kind), known, kind, ("sensitivity", "target", number, kind)))
        result = Result(**one.model_dump())
        if named.setdefault(result, number) < number:
            came = f"this is target {named[result]} too"
            problems.append(Problem(path=("sensitivity", "target", number), came=came, allowed="targets differ", advice="Delete one"))
    return None if len(problems) > n_before else Sensitivity(scale=table.scale, shapley=table.shapley, targets=tuple(named))


def read_condition(block: ConditionBlock, raw: Any, path: KeyPath, taken: Mapping[str, str], problems: list[Problem]) -> Condition | None:
    """Return the record of one block, its bounds in the unit of its result, or None after adding what is wrong.

    raw     what stands in the file: a misspelt quantity is taken for the one that its message names, so that its bounds are checked
    taken   source -> id of a parameter whose law rests on it
    """
    n_before = len(problems)
    said = raw.get("result")
    name = closest(str(said.get("quantity")), ALL_QUANTITIES) if isinstance(said, dict) else None
    quantity = ALL_QUANTITIES.get(name or "")
    bounds: dict[str, float] = {}
    for key in ("soft_upper", "soft_lower"):
        written = getattr(block, key)
        if written is None or quantity is None:
            continue
        try:
            bounds[key] = parse_quantity(written, quantity.units) if isinstance(written, str) else float(written)
        except UnitError as error:
            problems += [replace(problem, path=(*path, key)) for problem in error.problems]
            continue
        if not 0.0 < bounds[key] < math.inf:
            came, allowed = f"{key} = {shown(written)}", "a bound is a positive number: its log is compared"
            problems.append(Problem(path=(*path, key), came=came, allowed=allowed, advice="Raise it" if bounds[key] <= 0 else "Lower it"))
        elif name in FRACTIONS and bounds[key] > 1.0:
            came, allowed = f"{key} = {shown(written)}", f"{name} is a fraction, 0..1"
            advice = f"Write {bounds[key] / 100.0:g}" if bounds[key] <= 100.0 else "Lower it"
            problems.append(Problem(path=(*path, key), came=came, allowed=allowed, advice=advice))
    if block.soft_upper is None and block.soft_lower is None:
        allowed, advice = "a condition has at least one of them", 'Add soft_upper = "10 t"'
        problems.append(Problem(path=path, came="neither soft_upper nor soft_lower is given", allowed=allowed, advice=advice))
    if len(bounds) == 2 and not bounds["soft_lower"] < bounds["soft_upper"]:
        came = f"soft_lower = {shown(block.soft_lower)} is not below soft_upper = {shown(block.soft_upper)}"
        problems.append(Problem(path=(*path, "soft_lower"), came=came, allowed="the lower bound is the lesser", advice="Swap them"))
    if block.source is not None and block.source in taken:
        came = f"source = {shown(block.source)} is that of parameter {shown(taken[block.source])} too"
        allowed = "what a law was derived from cannot condition it again: it would count twice"
        advice = "Give the parameter a law that does not rest on it, or delete the condition"
        problems.append(Problem(path=(*path, "source"), came=came, allowed=allowed, advice=advice))
    if len(problems) > n_before or quantity is None or block.result is None:
        return None
    return Condition(id=block.id, result=Result(**block.result.model_dump()), log_sd=block.log_sd, source=block.source, path=path, **bounds)
