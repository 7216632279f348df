"""The border kernel and the arrays it is given, against the same model written as plain loops over records."""

from __future__ import annotations

import dataclasses

import numba
import numpy as np
import oracles
import pytest
from bare import block, correlation, draws, row, scenario
from hypothesis import given
from hypothesis import strategies as st
from lanes import in_lanes
from scipy import stats

from sim.checks import check
from sim.kernels import border, gammas, lognormal_loads, quantiles, streams
from sim.kernels.inputs import Source
from sim.kernels.scratch import LANE
from sim.model import compile_model
from sim.records import QUANTITIES

COMPILED = not numba.config.DISABLE_JIT
# compiled code divides by NumPy's rules without a word; in Python NumPy warns
pytestmark = [] if COMPILED else pytest.mark.filterwarnings("ignore::RuntimeWarning")
N = 40 if COMPILED else 8
BETA = {"kind": "beta", "alpha": 4.0, "beta": 36.0}
PURITY = {"kind": "beta", "mean": 0.1136, "sd": 0.02}
SIGMA = {"kind": "uniform", "low": 0.5, "high": 1.5}
PILLS = [
    block("pill_fentanyl", {"kind": "uniform", "low": 1.0, "high": 3.0}),
    block("pill_mass", {"kind": "normal", "mean": 110.0, "sd": 3.0, "lower": 90.0, "upper": 130.0}),
]


def recorded(load_law="gamma", **changes):
    """Two corridors, two periods, powder, pills by mass and by count; detection varies by period and depends on purity."""
    rows = [
        row("east", 4, 10.0),
        row("east", 7, 30_000.0, "pill", unit="pill"),
        row("east", 2, 3.5, "pill"),
        row("west", 60, 431.0),
        row("west", 55, 512.25, period="FY2025"),
        row("east", 11, 2.0, "pill", period="FY2025"),
    ]
    blocks = [
        block("detection_rate", BETA, varies_by=("corridor", "period"), correlation=0.6),
        block("powder_purity", PURITY),
        block("powder_purity", {"kind": "beta", "mean": 0.05, "sd": 0.01}, corridor="west", period="FY2025"),
        block("purity_mass_weighting", {"kind": "lognormal", "median": 1.1, "sd_log": 0.2}),
        block("purity_cv", 0.6, form="powder"),
        block("missed_size_ratio", {"kind": "uniform", "low": 0.3, "high": 1.0}),
        block("attribution_share", {"kind": "beta", "mean": 0.8, "sd": 0.1}, corridor="east"),
        block("inland_seized_ratio", {"kind": "uniform", "low": 0.0, "high": 8.0}, period="FY2024"),
        block("dose", {"kind": "triangular", "low": 1.0, "mode": 2.0, "high": 3.0}, corridor="west"),
        *PILLS,
    ]
    if load_law == "gamma":
        blocks += [block("load_shape", {"kind": "uniform", "low": 0.3, "high": 2.0}, varies_by=("form",), correlation=0.0)]
    fields = {"load_law": load_law, "groups": (("both", ("east", "west")), ("one", ("west",))), **changes}
    return scenario(rows, blocks, correlations=(correlation(("detection_rate", "powder_purity"), 0.3),), **fields)


def unrecorded(load_law="lognormal", truncation=3.0, sigma=2.4):
    """A shared load scale over a corridor of unknown form, one without events and one of unknown count; rounded rows; a t copula."""
    rows = [
        row("east", 3, 2.0, "unrecorded", rounding=0.5),
        row("north", 0, 0.0),
        row("west", None, 40.0, n_min=5, n_max=80),
        row("south", 5, 1.0),
        row("south", 1, 0.002, "unrecorded", rounding=0.001),
    ]
    blocks = [
        block("detection_rate", {"kind": "uniform", "low": 0.05, "high": 0.6}),
        block("powder_purity", PURITY),
        block("pill_share", {"kind": "beta", "mean": 0.6, "sd": 0.2}),
        block("purity_cv", {"kind": "uniform", "low": 0.1, "high": 1.5}),
        block("load_median", {"kind": "lognormal", "median": 0.3, "sd_log": 0.5}, corridor="south"),
        *PILLS,
    ]
    if load_law == "lognormal":
        blocks += [block("load_log_sd", sigma)]
    return scenario(
        rows,
        blocks,
        load_law=load_law,
        load_truncation=truncation,
        shared_load_scale=(("east", "north", "west"), ("south",)),
        groups=(("northern", ("east", "north")), ("all", ("east", "north", "south", "west"))),
        corridors=("east", "north", "south", "west"),
        correlations=(correlation(("detection_rate", "powder_purity"), -0.5, copula="t", df=4.0),),
    )


def copies():
    rows = [
        *(row("east", 1, amount) for amount in (0.2, 1.5, 9.0)),
        row("east", 0, 0.0, "pill"),
        row("west", 1, 5.0, "unrecorded", rounding=1.0),
        row("west", 1, 7.0, "unrecorded"),
        row("west", 1, 900.0, "pill", unit="pill"),
    ]
    blocks = [
        block("detection_rate", BETA, varies_by=("corridor",), correlation=0.5),
        block("powder_purity", PURITY),
        block("pill_share", 0.25),
        block("purity_cv", 0.4),
        block("missed_size_ratio", 0.5, corridor="east"),
        block("attribution_share", 0.7, corridor="west"),
        *PILLS,
    ]
    return scenario(rows, blocks, load_law="copy", groups=(("both", ("east", "west")),))


SCENARIOS = {
    "gamma loads, forms recorded": recorded,
    "equal loads, forms recorded": lambda: recorded("equal", event_prior=1.0),
    "gamma loads, one scale": lambda: recorded(shared_load_scale=(("east", "west"),)),
    "equal loads, forms unrecorded": lambda: unrecorded("equal"),
    "copies": copies,
    "lognormal loads": unrecorded,
}
if COMPILED:  # one table of sums is enough where it is built in Python
    SCENARIOS |= {"untruncated loads": lambda: unrecorded(truncation=np.inf), "uncertain sigma": lambda: unrecorded(sigma=SIGMA)}


def difference(found, expected):
    """Return the largest relative difference over all quantities and draws; inf where NaN or inf are not in the same places."""
    worst = 0.0
    for name in QUANTITIES:
        a, b = found[name], expected[name]
        same = (a == b) | (np.isnan(a) & np.isnan(b))
        with np.errstate(invalid="ignore"):
            off = np.where(same, 0.0, np.abs(a - b) / np.maximum(np.abs(b), 1e-300))
        worst = max(worst, float(np.where(np.isnan(off), np.inf, off).max()))
    return worst


@pytest.mark.parametrize("case", SCENARIOS)
def test_every_quantity_of_every_draw_as_by_plain_loops(case):
    one = SCENARIOS[case]()
    assert check(one) == []
    found, expected = draws(one, N), oracles.border_block(one, N)
    assert difference(found, expected) < 1e-9
    for draw_id, x in oracles.draw_inputs(one, N).items():
        np.testing.assert_allclose(found[draw_id], x, rtol=1e-9, err_msg=draw_id)


def _swapped(table, a, b):
    """Return the table with two columns exchanged."""
    other = table.copy()
    other[:, [a, b]] = table[:, [b, a]]
    return other


MUTANTS = {
    "prior not divided over the strata": lambda s: s._replace(prior=np.full_like(s.prior, 0.5)),
    "one uniform for the gamma and the sum": lambda s: s._replace(slot=_swapped(s.slot, border.SLOT_GAMMA, border.SLOT_SUM)),
    "ratio of sizes forgotten": lambda s: s._replace(ref=_swapped(s.ref, border.MISSED_SIZE_RATIO, border.MASS_WEIGHTING)),
    "seized and missed share one purity": lambda s: s._replace(slot=_swapped(s.slot, border.SLOT_POWDER_SEIZED, border.SLOT_POWDER_MISSED)),
    "a scale of its own for the group": lambda s: s._replace(member=~s.member),
    "one event less": lambda s: s._replace(n_events=np.maximum(s.n_events - 1.0, 1.0)),
    "dose taken for purity": lambda s: s._replace(ref=_swapped(s.ref, border.DOSE, border.POWDER_PURITY)),
    "counted pills lost": lambda s: s._replace(tablets=0.0 * s.tablets),
    "inland ratio of another corridor": lambda s: s._replace(ref=_swapped(s.ref, border.INLAND_RATIO, border.MISSED_SIZE_RATIO)),
}


@pytest.mark.parametrize("mutant", MUTANTS)
def test_the_comparison_sees_wrong_arrays(mutant):
    one = recorded()
    model = compile_model(one)
    wrong = dataclasses.replace(model, strata=MUTANTS[mutant](model.strata))
    assert difference(draws(one, 8, model=wrong), oracles.border_block(one, 8)) > 1e-6


def test_the_comparison_sees_a_wrong_factor_of_the_correlation():
    one = recorded()
    model = compile_model(one)
    wrong = dataclasses.replace(model, inputs=model.inputs._replace(factor=model.inputs.factor * np.float64(1.0 + 1e-6)))
    assert difference(draws(one, 8, model=wrong), oracles.border_block(one, 8)) > 1e-9


PRECURSOR_MUTANTS = {
    "rounding certain": lambda p: p._replace(half_slot=np.full_like(p.half_slot, -1)),
    "rounding to one side": lambda p: p._replace(amount=p.amount + p.half),
    "another input for the yield": lambda p: p._replace(conversion=p.conversion[::-1].copy()),
    "a term twice": lambda p: p._replace(start=np.maximum(p.start - 1, 0)),
}


@pytest.mark.parametrize("mutant", PRECURSOR_MUTANTS)
def test_potentials_as_by_plain_loops_and_wrong_arrays_seen(mutant):
    rows = [row("east"), row("east", 1, 9.0, "precursor", rounding=3.0), row("west", None, 4.0, "precursor")]
    blocks = {"detection_rate": 0.1, "powder_purity": 0.1, "load_shape": 1.0}
    yields = [
        block("precursor_yield", {"kind": "lognormal", "median": 1.2, "sd_log": 0.3}, corridor="east"),
        block("precursor_yield", 0.76, corridor="west"),
    ]
    one = scenario(rows, [*(block(name, law) for name, law in blocks.items()), *yields], groups=(("both", ("east", "west")),))
    model = compile_model(one)
    expected = oracles.summarise_precursors(one, 8)
    np.testing.assert_allclose(draws(one, 8)["potential_pure_kg"][..., 2], expected, rtol=1e-9)
    wrong = dataclasses.replace(model, strata=model.strata._replace(precursors=PRECURSOR_MUTANTS[mutant](model.strata.precursors)))
    assert not np.allclose(draws(one, 8, model=wrong)["potential_pure_kg"][..., 2], expected, rtol=1e-6, equal_nan=True)


def test_a_range_of_points_in_parts_is_the_same_range():
    """Lanes and blocks are no part of the numbers: 2,500 points at once and the first 100 of them alone."""
    one = recorded()
    n = 2_500 if COMPILED else 40
    many, few = draws(one, n), draws(one, n // 25)
    for name in QUANTITIES:
        np.testing.assert_array_equal(many[name][: n // 25], few[name])


# the average purity of many seizures


def averages(mean, cv, loads, n):
    directions, shift = streams.sobol_scrambles(np.uint64(8), 0, streams.sobol_directions(2))
    source = Source(np.uint64(8), 0, directions, shift, np.arange(2), np.zeros(2, np.uint64))
    tables = border.Tables(
        gammas.gamma_table(), quantiles.normal_score_table(), quantiles.normal_tail_table(), lognormal_loads.load_sums(0.0, 0.0, np.inf)
    )
    z, out, limited = np.empty(n), np.empty(n), np.zeros(n, np.bool_)
    for start in range(0, n, LANE):
        part = z[start : start + LANE]
        border.draw_scores(source, tables, 0, start, part)
    mean, cv, loads = (np.full(n, number) for number in (mean, cv, loads))
    in_lanes(border.draw_average_purity, tables, 0, z, mean, cv, np.ones(n), loads, limited, out)
    return out, limited


@pytest.mark.parametrize(
    ("mean", "cv", "loads"), [(0.2, 0.5, 2.5), (0.1136, 0.6, 1.0), (0.0194, 0.3, 30.0), (0.5, 0.9, 1.0), (0.6, 0.2, 4e4)]
)
def test_average_purity_spreads_as_one_over_the_root_of_the_loads(mean, cv, loads):
    """Method.md section 8: mean .2, cv .5 over 2.5 effective loads has an sd of .0632456."""
    n = 1 << 18 if COMPILED else 1 << 11
    loose = 1.0 if COMPILED else 10.0
    found, limited = averages(mean, cv, loads, n)
    sd = mean * cv / np.sqrt(loads)
    assert not limited.any()
    assert found.mean() == pytest.approx(mean, rel=1e-3 * loose)
    assert found.std() == pytest.approx(sd, rel=1e-3 * loose)
    concentration = mean * (1.0 - mean) / sd**2 - 1.0
    law = stats.beta(mean * concentration, (1.0 - mean) * concentration)
    p = np.array([0.025, 0.05, 0.5, 0.95, 0.975])
    quantiles = np.quantile(found, p)
    # 1 % of the quantile, or 1e-3 in probability where a U-shaped law crosses decades within that
    assert (np.isclose(quantiles, law.ppf(p), rtol=0.01 * loose) | np.isclose(law.cdf(quantiles), p, rtol=0.0, atol=1e-3 * loose)).all()


def test_a_spread_that_no_beta_has_is_limited_and_said():
    found, limited = averages(0.5, 2.0, 1.0, 1 << 10)
    assert limited.all()
    assert set(np.unique(found)) == {0.0, 1.0}
    assert found.mean() == pytest.approx(0.5, abs=0.01)


@given(st.floats(0.0, 1.0), st.floats(0.0, 5.0), st.floats(1.0, 1e6))
def test_average_purity_is_a_fraction(mean, cv, loads):
    found, _ = averages(mean, cv, loads, 8)
    assert ((found >= 0.0) & (found <= 1.0)).all()
    if cv == 0.0 or mean in (0.0, 1.0):
        assert (found == mean).all()
