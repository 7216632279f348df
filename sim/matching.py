"""Which parameter block serves which stratum: the lookup, the draws that follow from it, and what is wrong with it."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass

from .dependence import Component, ParameterDraw, components
from .distributions import median
from .errors import Problem
from .evidence import Row
from .records import DIMENSIONS, PARAMETERS, Parameter, Scenario

StratumKey = tuple[str, str, str]
TABLET_MG = {"pill_mass": (10.0, 5000.0), "pill_fentanyl": (0.01, 50.0)}
"""Medians outside these are warned about: a seized tablet weighs about 110 mg and holds about 2; a slip in the unit is a factor of 1000."""


SIZE_PARAMETER = {"lognormal": "load_log_sd", "gamma": "load_shape"}  # of each law of loads


@dataclass(frozen=True, slots=True, kw_only=True)
class Stratum:
    """One (corridor, period, form) of the evidence: its rows and, by (parameter name, lookup form), the parameter draw that serves it.

    A parameter that no block serves, and that has a default, is absent from `parameter_draws`.
    """

    key: StratumKey
    rows: tuple[Row, ...]
    parameter_draws: dict[tuple[str, str], ParameterDraw]

    @property
    def n_known(self) -> int:
        return sum(row.n_events or 0 for row in self.rows)

    @property
    def events_known(self) -> bool:
        return all(row.n_events is not None for row in self.rows)

    @property
    def tablets(self) -> bool:
        return any(row.unit == "pill" for row in self.rows)


@dataclass(frozen=True, slots=True, kw_only=True)
class Match:
    """Strata by period, corridor and form in the order of the scenario, precursors apart; draws by id; components of dependent draws.

    `tied` names the parameters for which two blocks tie somewhere: which of them serve is not known.
    """

    strata: tuple[Stratum, ...]
    precursors: tuple[Stratum, ...]
    parameter_draws: tuple[ParameterDraw, ...]
    components: tuple[Component, ...]
    tied: frozenset[str] = frozenset()


def lookups(form: str, tablets: bool, load_law: str) -> Iterator[tuple[str, str, bool]]:
    """Yield (parameter, form to look it up with, whether it must be there) for a stratum of the evidence."""
    if form == "precursor":
        yield "precursor_yield", form, True
        return
    powder = form in ("powder", "unrecorded")
    pill = form in ("pill", "unrecorded")
    yield "detection_rate", form, True
    if powder:
        yield "powder_purity", "powder", True
        yield "purity_mass_weighting", "powder", False
        yield "purity_cv", "powder", False
    if pill:
        yield "pill_fentanyl", "pill", True
        yield "pill_mass", "pill", True
        yield "purity_cv", "pill", False
    if form == "unrecorded":
        yield "pill_share", form, True
    if load_law == "lognormal":
        yield "load_log_sd", form, True
    if load_law == "gamma":
        yield "load_shape", form, True
    if load_law != "copy":
        yield "load_median", form, False
    for name in ("missed_size_ratio", "attribution_share", "inland_seized_ratio", "dose"):
        yield name, form, False


def _serves(block: Parameter, key: StratumKey) -> bool:
    selectors = (block.corridor, block.period, block.form)
    return all(labels is None or label in labels for labels, label in zip(selectors, key, strict=True))


def _n_selectors(block: Parameter) -> int:
    return sum(labels is not None for labels in (block.corridor, block.period, block.form))


def match(scenario: Scenario) -> tuple[Match, list[Problem]]:
    """Match every stratum with its blocks and every block with its draws; return the match and all problems.

    The block with the most selector keys wins; two such blocks are an error that names both, and a required parameter without a block
    is one. Purity parameters are looked up with the form of the result, all others with the form of the evidence.

    Source: interface.md section 3, Matching.
    """
    problems: list[Problem] = []
    rows: dict[StratumKey, list[Row]] = {}
    for row in scenario.rows:
        rows.setdefault((row.corridor, row.period, row.form), []).append(row)
    order = {label: i for labels in (scenario.corridors, scenario.periods) for i, label in enumerate(labels)}
    keys = sorted(rows, key=lambda key: (order[key[1]], order[key[0]], key[2]))
    by_name: dict[str, list[Parameter]] = {}
    for block in scenario.parameters:
        by_name.setdefault(block.name, []).append(block)

    draws: dict[str, ParameterDraw] = {}
    strata = []
    tied: set[tuple[str, str]] = set()
    missing: dict[tuple[str, str], list[StratumKey]] = {}
    for corridor, period, form in keys:
        here = rows[corridor, period, form]
        served: dict[tuple[str, str], ParameterDraw] = {}
        for name, lookup_form, required in lookups(form, any(row.unit == "pill" for row in here), scenario.load_law):
            key = (corridor, period, lookup_form)
            candidates = [block for block in by_name.get(name, []) if _serves(block, key)]
            if not candidates:
                if required:
                    missing.setdefault((name, lookup_form), []).append((corridor, period, form))
                continue
            most = max(map(_n_selectors, candidates))
            best = [block for block in candidates if _n_selectors(block) == most]
            if len(best) > 1:
                if (best[0].id, best[1].id) not in tied:
                    tied.add((best[0].id, best[1].id))
                    problems.append(
                        Problem(
                            path=best[1].path,
                            came=f'"{best[0].id}" and "{best[1].id}" both match {corridor}, {period}, {lookup_form} with {most} selectors',
                            allowed="the block with the most selectors wins, so there must be one",
                            advice="add a selector to one of them, or narrow its labels",
                        )
                    )
                continue
            block = best[0]
            labels = tuple(key[DIMENSIONS.index(dimension)] for dimension in block.varies_by)
            name_of_draw = f"{block.id}@{','.join(labels)}" if labels else block.id
            served[name, lookup_form] = draws.setdefault(name_of_draw, ParameterDraw(id=name_of_draw, block=block, labels=labels))
        strata.append(Stratum(key=(corridor, period, form), rows=tuple(here), parameter_draws=served))

    for (name, form), places in missing.items():
        corridor, period, _ = places[0]
        more = f" and {len(places) - 1} more" if len(places) > 1 else ""
        problems.append(
            Problem(
                path=("parameter",),
                came=f"no {name} serves {corridor}, {period}, {form}{more}",
                allowed=f"{name} ({PARAMETERS[name].meaning}) is required there",
                advice=f'add a [[parameter]] block with name = "{name}", or widen the selectors of one',
            )
        )
    ordered = [draws[name] for name in sorted(draws)]
    linked, wrong = components(ordered, scenario.parameters, scenario.correlations)
    matched = Match(
        strata=tuple(stratum for stratum in strata if stratum.key[2] != "precursor"),
        precursors=tuple(stratum for stratum in strata if stratum.key[2] == "precursor"),
        parameter_draws=tuple(ordered),
        components=tuple(linked),
        tied=frozenset(block.name for block in scenario.parameters if any(block.id in pair for pair in tied)),
    )
    return matched, problems + wrong


Idle = tuple[tuple[str | int, ...], str | None]  # where, and the label there; None: all that stands there


def place_of(block_id: str, *key: str) -> tuple[str, ...]:
    """Return where a block stands by its id, or one of its keys."""
    return ("parameter", block_id, *key)


def idle(scenario: Scenario, matched: Match) -> tuple[dict[Idle, None], set[Idle]]:
    """Return the blocks, and the labels of their selectors, that serve nothing; and those that are not judged.

    A block that serves nothing comes with all its labels. Not judged are the parameters of another load law, and those with a tie.
    """
    found: dict[Idle, None] = {}
    not_judged: set[Idle] = set()
    reached: dict[str, set[StratumKey]] = {}
    for stratum in (*matched.strata, *matched.precursors):
        for (_, form), draw in stratum.parameter_draws.items():
            reached.setdefault(draw.block.id, set()).add((stratum.key[0], stratum.key[1], form))
    for block in scenario.parameters:
        kind = PARAMETERS[block.name]
        places = reached.get(block.id, set())
        serves_nothing: list[Idle] = [] if places else [(place_of(block.id), None)]
        for i, dimension in enumerate(DIMENSIONS):
            served = {place[i] for place in places}
            serves_nothing += [(place_of(block.id, dimension), label) for label in getattr(block, dimension) or () if label not in served]
        of_another_law = kind.load_law is not None and kind.load_law != scenario.load_law
        if of_another_law or block.name in matched.tied or (block.name == "load_median" and scenario.load_law == "copy"):
            not_judged.update(serves_nothing)
        else:
            found |= dict.fromkeys(serves_nothing)
    return found, not_judged


def say_idle(blocks: Iterable[Parameter], found: Collection[Idle]) -> list[Problem]:
    """Return a problem for every block that serves nothing, and for every other selector with labels that serve nothing."""
    problems = []
    for block in blocks:
        if (place_of(block.id), None) in found:
            problems.append(
                Problem(
                    path=block.path,
                    came=f'parameter "{block.id}" is not used: no stratum of the evidence takes {block.name} from it',
                    advice="remove it, or check its selectors: a block with more selectors may win everywhere",
                )
            )
            continue
        for dimension in DIMENSIONS:
            labels = [label for label in getattr(block, dimension) or () if (place_of(block.id, dimension), label) in found]
            if labels:
                problems.append(
                    Problem(
                        path=(*block.path, dimension),
                        came=f'parameter "{block.id}" serves nothing for {dimension} {", ".join(labels)}',
                        advice="remove the label, or check the evidence and the blocks that win there",
                    )
                )
    return problems


def unused(scenario: Scenario, matched: Match) -> list[Problem]:
    """Return a problem for every block that serves nothing, and for every selector label by which a block serves nothing.

    The parameters of another load law are not judged, nor those with a tie.
    """
    return say_idle(scenario.parameters, idle(scenario, matched)[0])


def odd_tablets(matched: Match) -> list[str]:
    """Return a warning for each block in use whose median tablet is none that is seized, and for each two by which one is all fentanyl.

    Such a purity is cut at 1 (method.md section 3): legal, and most often a number that was read in another unit than meant.
    """
    unit = PARAMETERS["pill_mass"].unit  # that of pill_fentanyl too
    texts = []
    for block in dict.fromkeys(draw.block for draw in matched.parameter_draws):
        low, high = TABLET_MG.get(block.name, (-math.inf, math.inf))
        if not low <= median(block.law) <= high:
            texts.append(
                f'parameter "{block.id}": a median of {median(block.law):g} {unit} is outside {low:g} to {high:g} {unit}; '
                f"a number without a unit is read in {unit}"
            )
    served = [stratum.parameter_draws for stratum in matched.strata]
    of_tablets = ("pill_fentanyl", "pill"), ("pill_mass", "pill")
    for fentanyl, mass in dict.fromkeys(tuple(here[key].block for key in of_tablets) for here in served if here.keys() >= {*of_tablets}):
        if median(fentanyl.law) > median(mass.law):
            whole, held = (f"{median(block.law):g} {unit}" for block in (mass, fentanyl))
            texts.append(
                f'parameters "{fentanyl.id}" and "{mass.id}": a tablet of {whole} would hold {held} of fentanyl, so that its purity '
                "is cut at 1; write both with their units"
            )
    return texts


def scale_blocks(scenario: Scenario, matched: Match) -> list[tuple[tuple[str, ...], str, list[Stratum]]]:
    """Return (corridors, period, strata) of every load-scale block that has a stratum, by period."""
    blocks = []
    for period in scenario.periods:
        for members in scenario.shared_load_scale:
            strata = [stratum for stratum in matched.strata if stratum.key[1] == period and stratum.key[0] in members]
            if strata:
                blocks.append((members, period, strata))
    return blocks
