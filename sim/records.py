"""What a scenario says, as bare frozen records, and the registries of what may be named in it and what comes out of it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from .distributions import Law
from .evidence import DRUG_FORMS, Form, Row

RESULT_FORMS = ("powder", "pill", "all")
DIMENSIONS = ("corridor", "period", "form")


@dataclass(frozen=True, slots=True, kw_only=True)
class ParameterKind:
    """One name that a `[[parameter]]` block may bear. The domain is low..high; `open_low` excludes the lower bound."""

    unit: str
    low: float
    high: float
    open_low: bool
    default: float | None
    meaning: str
    load_law: str | None = None  # the only load law that uses it
    by_result_form: bool = False  # looked up with powder / pill, not with the form of the evidence
    of_precursor: bool = False  # of a seized precursor, and of nothing else

    @property
    def forms(self) -> tuple[Form, ...]:
        """The forms that it is looked up with."""
        return ("precursor",) if self.of_precursor else DRUG_FORMS[:2] if self.by_result_form else DRUG_FORMS


_INF = math.inf
PARAMETERS: Mapping[str, ParameterKind] = {
    "detection_rate": ParameterKind(unit="1", low=0, high=1, open_low=True, default=None, meaning="probability that a load is detected"),
    "powder_purity": ParameterKind(
        unit="1", low=0, high=1, open_low=False, default=None, meaning="fentanyl mass fraction of powder", by_result_form=True
    ),
    "pill_fentanyl": ParameterKind(
        unit="mg", low=0, high=_INF, open_low=False, default=None, meaning="fentanyl per tablet", by_result_form=True
    ),
    "pill_mass": ParameterKind(unit="mg", low=0, high=_INF, open_low=True, default=None, meaning="mass of one tablet", by_result_form=True),
    "pill_share": ParameterKind(
        unit="1", low=0, high=1, open_low=False, default=None, meaning="share of the gross mass of an unrecorded stratum that is pills"
    ),
    "purity_cv": ParameterKind(
        unit="1",
        low=0,
        high=_INF,
        open_low=False,
        default=0.0,
        meaning="spread of purity between seizures (sd / mean)",
        by_result_form=True,
    ),
    "purity_mass_weighting": ParameterKind(
        unit="1", low=0, high=_INF, open_low=True, default=1.0, meaning="mass-weighted / count-weighted mean purity", by_result_form=True
    ),
    "load_log_sd": ParameterKind(
        unit="1",
        low=0,
        high=_INF,
        open_low=False,
        default=None,
        meaning="sd of the log of the size of a load, before truncation",
        load_law="lognormal",
    ),
    "load_shape": ParameterKind(
        unit="1", low=0, high=_INF, open_low=True, default=None, meaning="shape of gamma loads; cv^2 = 1 / shape", load_law="gamma"
    ),
    "load_median": ParameterKind(unit="kg", low=0, high=_INF, open_low=True, default=None, meaning="median load"),
    "missed_size_ratio": ParameterKind(
        unit="1", low=0, high=_INF, open_low=True, default=1.0, meaning="typical missed load / typical seized load"
    ),
    "attribution_share": ParameterKind(
        unit="1", low=0, high=1, open_low=False, default=1.0, meaning="share of the loads that crossed the border they are filed under"
    ),
    "inland_seized_ratio": ParameterKind(
        unit="1", low=0, high=_INF, open_low=False, default=0.0, meaning="pure mass seized inland by others per unit seized at the border"
    ),
    "dose": ParameterKind(unit="mg", low=0, high=_INF, open_low=True, default=2.0, meaning="mass of pure drug in one dose-equivalent"),
    "precursor_yield": ParameterKind(
        unit="kg/kg",
        low=0,
        high=_INF,
        open_low=False,
        default=None,
        meaning="fentanyl base that can be made of one kg of precursor as weighed",
        of_precursor=True,
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Quantity:
    """One result: its CF units and long name."""

    units: str
    long_name: str


QUANTITIES: Mapping[str, Quantity] = {
    "seized_gross_kg": Quantity(units="kg", long_name="seized mass as weighed, of what is judged to have crossed there"),
    "seized_pure_kg": Quantity(units="kg", long_name="seized fentanyl base equivalent"),
    "missed_gross_kg": Quantity(units="kg", long_name="missed mass as it would be weighed"),
    "missed_pure_kg": Quantity(units="kg", long_name="missed fentanyl base equivalent"),
    "flow_gross_kg": Quantity(units="kg", long_name="seized and missed mass as weighed"),
    "flow_pure_kg": Quantity(units="kg", long_name="seized and missed fentanyl base equivalent"),
    "inland_pure_kg": Quantity(units="kg", long_name="missed at the border and seized inland by others, fentanyl base equivalent"),
    "delivered_pure_kg": Quantity(units="kg", long_name="missed at the border and not seized inland, fentanyl base equivalent"),
    "unattributed_pure_kg": Quantity(
        units="kg", long_name="seized and missed fentanyl base equivalent that did not cross the border it is filed under"
    ),
    "purity": Quantity(units="1", long_name="seized pure mass / seized gross mass"),
    "interdiction_rate": Quantity(units="1", long_name="seized pure mass / flow of pure mass"),
    "n_missed": Quantity(units="1", long_name="number of loads that were missed"),
    "flow_doses": Quantity(units="1", long_name="flow of pure mass in dose-equivalents"),
}

POTENTIAL = "potential_pure_kg"
PRECURSOR_QUANTITIES: Mapping[str, Quantity] = {
    POTENTIAL: Quantity(
        units="kg", long_name="fentanyl base equivalent that seized precursors could have made; part of no seizure or flow"
    ),
}
"""Quantities of results with precursors in their evidence, and of no others; for all forms together."""

ALL_QUANTITIES: Mapping[str, Quantity] = {**QUANTITIES, **PRECURSOR_QUANTITIES}

FRACTIONS = ("purity", "interdiction_rate")  # bounded, 0/0 where nothing flows, and no longer in a longer period
SUMMARY_QUANTITIES = ("seized_gross_kg", "seized_pure_kg", "flow_pure_kg", "interdiction_rate")
"""What the printed table shows, for all forms together, and a tolerance is about."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """One `[[parameter]]` block. Selectors are None where any label matches; groups are already expanded to their members."""

    id: str
    name: str
    corridor: tuple[str, ...] | None = None
    period: tuple[str, ...] | None = None
    form: tuple[str, ...] | None = None
    law: Law
    varies_by: tuple[str, ...] = ()
    correlation: float | None = None
    path: tuple[str | int, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Correlation:
    """One `[[correlation]]` block; exactly one of `value` and `matrix` is given. `df` is for copula "t" only."""

    id: str
    between: tuple[str, ...]
    value: float | None = None
    matrix: tuple[tuple[float, ...], ...] | None = None
    copula: Literal["gaussian", "t"] = "gaussian"
    df: float | None = None
    path: tuple[str | int, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """One number by its labels; `corridor` may be a group."""

    quantity: str
    corridor: str
    period: str
    form: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Contrast:
    """One `[[contrast]]` block: numerator / denominator in every draw."""

    id: str
    numerator: Result
    denominator: Result
    path: tuple[str | int, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Growth:
    """One `[[growth]]` block: one place over two periods. `quoted` is the corridor whose rows are the figures that went round."""

    id: str
    corridor: str
    periods: tuple[str, str]
    form: str
    quantity: str
    quoted: str | None = None
    path: tuple[str | int, ...] = ()

    @property
    def contrasts(self) -> tuple[Contrast, Contrast]:
        """The ratio of the flows, which bears the growth's own id, and that of what was seized."""
        seized = self.quantity.replace("flow", "seized")
        return self._contrast(self.id, self.quantity), self._contrast(f"{self.id}.seized", seized)

    def _contrast(self, name: str, quantity: str) -> Contrast:
        before, after = (Result(quantity=quantity, corridor=self.corridor, period=period, form=self.form) for period in self.periods)
        return Contrast(id=name, numerator=after, denominator=before, path=self.path)

    @property
    def decrease(self) -> Claim:
        of_form = "" if self.form == "all" else f" ({self.form})"
        text = f"{self.quantity} of {self.corridor}{of_form} fell from {self.periods[0]} to {self.periods[1]}"
        return Claim(id=f"{self.id}.decrease", text=text, contrast=self.id, below=1.0, path=self.path)


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """One `[[claim]]` block: the ratio `contrast` is above a number, below one, or between two; exactly one of these is given."""

    id: str
    text: str
    contrast: str
    above: float | None = None
    below: float | None = None
    between: tuple[float, float] | None = None
    path: tuple[str | int, ...] = ()

    @property
    def bounds(self) -> tuple[float, float]:
        """The least and the greatest ratio for which it is true: above and below leave their number out, between takes both in.

        >>> Claim(id="c", text="", contrast="r", between=(0.5, 2.0)).bounds
        (0.5, 2.0)
        """
        if self.between is not None:
            return self.between
        if self.above is not None:
            return math.nextafter(self.above, math.inf), math.inf
        return -math.inf, math.nextafter(math.inf if self.below is None else self.below, -math.inf)


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """One `[[condition]]` block: soft bounds on a result, in its own unit, at least one; `source` is the key of what says so."""

    id: str
    result: Result
    log_sd: float
    soft_upper: float | None = None
    soft_lower: float | None = None
    source: str | None = None
    path: tuple[str | int, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Sensitivity:
    """`[sensitivity]`: the indices asked for. `targets` are results; every contrast is a target too."""

    scale: Literal["log", "raw"] = "log"
    shapley: bool = False
    targets: tuple[Result, ...] = ()


_LAYOUT = """
corridor is_group period days form quantile moment parameter name unit basis source grade evidence_form quantity uniform chain draw
contrast claim growth end part reading input_group target ci_bound scenario case
ratio ratio_mcse tipping_factor days_ratio probability probability_mcse lower_bound upper_bound hits n_draws rerun text
seized_rate_ratio seized_rate_increase detection_tipping_ratio detection_tipping_ratio_mcse loads_ratio loads_ratio_mcse mean_load_ratio
mean_load_ratio_mcse seized_log_growth flow_log_growth flow_log_growth_mcse undefined_loads_share quoted quoted_ratio
missed_log_growth missed_log_growth_mcse
value parameter_value n_events events_known first_order first_order_mcse shapley shapley_mcse evppi evppi_mcse
ess pareto_k mean_weight contradicted_share value_mcse value_before log_weight
draws_used prior_share purity_cut_share sd_limited_share inland_cut_share undefined_share sobol_dimension
quantiles mcse moments contrasts claims parameters evidence sensitivity conditioned draws diagnostics
"""  # dimensions and what stands on them; variables; groups
LAYOUT_NAMES = frozenset(_LAYOUT.split()) | frozenset(ALL_QUANTITIES)
"""What a dimension of a sweep may not be called."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sweep:
    """One `[[sweep]]` block: `labels` stand on the dimension `dim` of results, `values` are put at `path`, one for each label.

    Labels are all numbers or all texts.
    """

    dim: str
    path: str
    values: tuple[Any, ...] = field(hash=False)
    labels: tuple[int | float | str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """A scenario file that has been read and checked.

    `corridors` and `periods` are the labels in use, in the order they are shown; `rows` are the evidence rows selected by them;
    `groups` are (name, members) in order. `document` is the resolved, self-contained TOML document that `scenario.toml` holds.

    `cases` are the scenarios that the sweeps make, all combinations with the last sweep fastest; their `document` only names them. Without
    sweeps there are none. What the whole says where its cases differ is what the first of them says.
    """

    name: str
    question: str
    draws: int
    seed: int
    sampler: Literal["sobol", "philox"]
    keep_draws: int
    tolerance: float | None = None
    load_law: Literal["lognormal", "gamma", "equal", "copy"]
    load_truncation: float
    event_prior: float
    shared_load_scale: tuple[tuple[str, ...], ...]
    corridors: tuple[str, ...]
    periods: tuple[str, ...]
    groups: tuple[tuple[str, tuple[str, ...]], ...]
    rows: tuple[Row, ...]
    parameters: tuple[Parameter, ...]
    correlations: tuple[Correlation, ...]
    contrasts: tuple[Contrast, ...] = ()
    claims: tuple[Claim, ...] = ()
    conditions: tuple[Condition, ...] = ()
    growths: tuple[Growth, ...] = ()
    sensitivity: Sensitivity | None = None
    document: dict[str, Any] = field(hash=False)
    warnings: tuple[str, ...] = ()
    sweeps: tuple[Sweep, ...] = ()
    cases: tuple[Scenario, ...] = ()

    @property
    def runs(self) -> tuple[Scenario, ...]:
        """What is run: every case, or the scenario itself."""
        return self.cases or (self,)

    @property
    def has_precursors(self) -> bool:
        """Whether there is a precursor in the evidence, of any case where there are cases."""
        return any(row.form == "precursor" for row in self.rows)

    @property
    def quantities(self) -> Mapping[str, Quantity]:
        """What the results are, in their order."""
        return ALL_QUANTITIES if self.has_precursors else QUANTITIES

    @property
    def evidence_forms(self) -> tuple[Form, ...]:
        """The forms along the dimension `evidence_form` of results."""
        return (*DRUG_FORMS, "precursor") if self.has_precursors else DRUG_FORMS

    @property
    def places(self) -> tuple[tuple[str, tuple[str, ...]], ...]:
        """(label, its corridors) along the dimension `corridor` of results: every corridor, then every group."""
        return tuple((corridor, (corridor,)) for corridor in self.corridors) + self.groups

    def cell(self, result: Result) -> tuple[int, int, int, int]:
        """Return where a result stands along corridor, period, form and quantity; ValueError where its labels are not in use."""
        return (
            [label for label, _ in self.places].index(result.corridor),
            self.periods.index(result.period),
            RESULT_FORMS.index(result.form),
            list(self.quantities).index(result.quantity),
        )
