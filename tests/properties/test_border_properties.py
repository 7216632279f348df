"""What holds in every draw of the border model whatever the scenario: conservation, monotony, invariance to order, unit and scale."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import strategies
from bare import block, draws, row, scenario
from hypothesis import given
from hypothesis import strategies as st

from sim.checks import check
from sim.evidence import row_from_mapping
from sim.model import compile_model
from sim.records import QUANTITIES

POINTS = 64
MASSES = [name for name in QUANTITIES if name not in ("purity", "interdiction_rate")]
SUMS = [name for name in MASSES if name != "delivered_pure_kg"]  # a difference, whose rounding is that of what it is made of
POWDER, PILL, ALL = range(3)
NORTH = {"detection_rate": 0.1, "powder_purity": 0.1, "load_shape": 1.0}


def changed(one, **fields):
    return dataclasses.replace(one, **fields)


def assert_same(found, expected, rtol=0.0, names=(*QUANTITIES,)):
    """Assert equal quantities; with rtol = 0 to the last bit."""
    for name in names:
        np.testing.assert_allclose(found[name], expected[name], rtol=rtol, atol=0.0, err_msg=name)


def close(a, b):
    with np.errstate(invalid="ignore"):
        return ((np.abs(a - b) <= 1e-12 * np.abs(b)) | (a == b) | (np.isnan(a) & np.isnan(b))).all()


def conservation(one, found):
    """Return the names of the laws of conservation that some draw breaks."""
    broken = []
    for what in ("gross", "pure"):
        if not close(found[f"seized_{what}_kg"] + found[f"missed_{what}_kg"], found[f"flow_{what}_kg"]):
            broken.append(f"seized + missed = flow, {what}")
    if not close(found["delivered_pure_kg"] + found["inland_pure_kg"], found["missed_pure_kg"]):
        broken.append("delivered + inland = missed")
    for name in SUMS:
        parts = np.stack([found[name][..., POWDER], found[name][..., PILL]])
        some = ~np.isnan(parts).all(axis=0)
        if name == "n_missed":
            some &= ~(np.isnan(parts).any(axis=0) & ~np.isnan(found[name][..., ALL]))
        if not close(np.nansum(parts, axis=0)[some], found[name][..., ALL][some]):
            broken.append(f"all = powder + pill, {name}")
    for g, (group, members) in enumerate(one.groups, start=len(one.corridors)):
        inside = [one.corridors.index(member) for member in members]
        for name in SUMS:
            parts = found[name][:, inside]
            present = ~np.isnan(parts).all(axis=1)
            if name == "n_missed":  # an unrecorded member leaves the group's forms unknown
                present &= ~np.isnan(found[name][:, g])
            if not close(np.nansum(parts, axis=1)[present], found[name][:, g][present]):
                broken.append(f"{group} = its corridors, {name}")
    with np.errstate(invalid="ignore", divide="ignore"):
        if not close(found["seized_pure_kg"] / found["flow_pure_kg"], found["interdiction_rate"]):
            broken.append("interdiction rate")
        if not close(found["seized_pure_kg"] / found["seized_gross_kg"], found["purity"]):
            broken.append("purity")
    for name in QUANTITIES:
        if (found[name] < 0.0).any():
            broken.append(f"{name} is negative")
    for pure, gross in (("seized_pure_kg", "seized_gross_kg"), ("missed_pure_kg", "missed_gross_kg"), ("inland_pure_kg", "missed_pure_kg")):
        if (found[pure] > found[gross] * (1.0 + 1e-12)).any():
            broken.append(f"{pure} exceeds {gross}")
    return broken


@given(strategies.border_scenarios())
def test_seized_and_missed_are_the_flow_in_every_draw(one):
    assert check(one) == []
    assert conservation(one, draws(one, POINTS)) == []


@pytest.mark.parametrize(
    ("quantity", "fault"),
    [
        ("flow_pure_kg", lambda x: x * (1.0 + 1e-9)),
        ("missed_gross_kg", lambda x: x[::-1]),
        ("n_missed", lambda x: np.where(np.arange(x.shape[1])[:, None, None] == x.shape[1] - 1, x + 1.0, x)),
        ("seized_pure_kg", lambda x: np.where(np.arange(3) == ALL, np.quantile(x, 0.5, axis=0), x)),
        ("interdiction_rate", lambda x: 1.0 - x),
        ("inland_pure_kg", lambda x: x + 1e-3),
    ],
)
def test_conservation_sees_a_fault(quantity, fault):
    one = strategies.fixed_border_scenario()
    found = draws(one, POINTS)
    assert conservation(one, found) == []
    assert conservation(one, found | {quantity: fault(found[quantity])}) != []


def misses_more(low, high):
    """Return whether the draws at a low detection rate never miss less than those at a high one.

    A Poisson at a mean of 16 passes from an exact search to an expansion that may be one load off; masses are compared elsewhere.
    """
    more = low["n_missed"] >= high["n_missed"]
    masses = ("missed_gross_kg", "missed_pure_kg", "flow_gross_kg")
    return (np.nan_to_num(low["n_missed"]) >= np.nan_to_num(high["n_missed"]) - 1.0).all() and all(
        (low[name][more] >= high[name][more] * (1.0 - 1e-9)).all() for name in masses
    )


def with_detection(one, detection_rate):
    others = tuple(parameter for parameter in one.parameters if parameter.name != "detection_rate")
    return changed(one, parameters=(*others, block("detection_rate", detection_rate)))


@given(strategies.border_scenarios(certain=True), st.floats(0.02, 0.9), st.floats(0.1, 0.99))
def test_a_lower_detection_rate_never_lowers_what_is_missed(one, detection_rate, ratio):
    """With the same uniforms, form and border of every load known: numbers, and with them masses, rise as detection falls."""
    high, low = (draws(with_detection(one, d), POINTS) for d in (detection_rate, detection_rate * ratio))
    assert misses_more(low, high)


def test_monotony_takes_common_random_numbers():
    one = scenario([row("north", 11, 3.0)], NORTH)
    high, low = draws(with_detection(one, 0.1), POINTS), draws(with_detection(one, 0.09), POINTS)
    assert misses_more(low, high)
    assert not misses_more(high, low)
    assert not misses_more(draws(changed(with_detection(one, 0.09), seed=44), POINTS), high)


@given(strategies.border_scenarios())
def test_certain_detection_misses_nothing(one):
    found = draws(with_detection(one, 1.0), POINTS)
    for name in ("missed_gross_kg", "missed_pure_kg", "n_missed", "delivered_pure_kg", "inland_pure_kg"):
        assert not np.nan_to_num(found[name]).any()
    seized = found["seized_pure_kg"] > 0.0
    np.testing.assert_array_equal(found["interdiction_rate"][seized], 1.0)


# what may not matter


@given(st.integers(1, 50), st.floats(0.01, 1e5), st.sampled_from([("lb", 0.45359237), ("g", 1e-3), ("t", 1e3), ("oz", 0.028349523125)]))
def test_the_unit_of_a_row_does_not_matter(n_events, amount, unit):
    name, kg = unit
    keys = {"corridor": "north", "period": "FY2024", "form": "powder", "n_events": n_events}
    (in_unit, _), (in_kg, _) = (
        row_from_mapping({**keys, "amount": a, "rounding": a / 8.0, "unit": u}) for a, u in ((amount, name), (amount * kg, "kg"))
    )
    assert_same(draws(scenario([in_unit], NORTH), POINTS), draws(scenario([in_kg], NORTH), POINTS), rtol=1e-12)


@given(strategies.border_scenarios(median=False), st.sampled_from([2.0, 0.25, 1024.0]))
def test_masses_scale_with_the_amounts(one, factor):
    """Every row times a power of two: seized masses are multiplied to the last bit, missed ones to the rounding of a log and an exp."""
    rows = tuple(dataclasses.replace(r, amount=r.amount * factor, rounding=r.rounding * factor) for r in one.rows)
    before, after = draws(one, POINTS), draws(changed(one, rows=rows), POINTS)
    for name in MASSES:
        expected = before[name] if name == "n_missed" else factor * before[name]
        np.testing.assert_allclose(after[name], expected, rtol=0.0 if name in ("n_missed", "seized_gross_kg") else 1e-12, err_msg=name)
    assert_same(after, before, 1e-12, ("purity", "interdiction_rate"))


@given(strategies.border_scenarios(known=True), st.data())
def test_rows_of_one_stratum_add_up_before_inference(one, data):
    """A row cut in two, events and (binary) amount, is the same evidence."""
    rows = []
    for r in one.rows:
        share = data.draw(st.integers(0, r.n_events))
        rows += [dataclasses.replace(r, n_events=share, amount=r.amount / 4.0), dataclasses.replace(r, n_events=r.n_events - share)]
        rows[-1] = dataclasses.replace(rows[-1], amount=r.amount * 0.75)
    assert_same(draws(changed(one, rows=tuple(rows)), POINTS), draws(one, POINTS))


@given(strategies.border_scenarios(), st.randoms(use_true_random=False), st.sampled_from(["sobol", "philox"]))
def test_no_order_matters(one, random, sampler):
    """Corridors, periods, rows, parameters and groups in any order: the same numbers, group sums to the rounding of a sum."""
    one = changed(one, sampler=sampler)

    def shuffled(items):
        return tuple(random.sample(items, len(items)))

    other = changed(
        one,
        corridors=shuffled(one.corridors),
        periods=shuffled(one.periods),
        rows=shuffled(one.rows),
        parameters=shuffled(one.parameters),
        shared_load_scale=tuple(shuffled(members) for members in shuffled(one.shared_load_scale)),
        groups=tuple((name, shuffled(members)) for name, members in one.groups),
    )
    found, expected = draws(other, POINTS), draws(one, POINTS)
    names = [*one.corridors, *(name for name, _ in one.groups)]
    order = [[*other.corridors, *(name for name, _ in other.groups)].index(name) for name in names]
    periods = [other.periods.index(period) for period in one.periods]
    assert_same({name: found[name][:, order][:, :, periods] for name in QUANTITIES}, expected, rtol=1e-12)


@given(strategies.border_scenarios())
def test_under_philox_another_corridor_or_parameter_changes_no_draw(one):
    """Streams belong to names: a corridor before all others, with parameters of its own, moves nothing else.

    (Its detection rate is its own too: a draw more in a correlated component changes that component.)
    """
    rows = (row("a-new-corridor", 5, 3.0), *one.rows)
    uniform = {"kind": "uniform", "low": 0.1, "high": 0.3}
    parameters = (*(block(name, uniform, corridor="a-new-corridor") for name in ("dose", "detection_rate")), *one.parameters)
    if not any(parameter.name == "powder_purity" for parameter in one.parameters):
        parameters = (block("powder_purity", 0.1), *parameters)
    scales = (("a-new-corridor",), *one.shared_load_scale)
    more = changed(one, rows=rows, parameters=parameters, corridors=("a-new-corridor", *one.corridors), shared_load_scale=scales)
    if "FY2024" not in one.periods:
        more = changed(more, periods=(*one.periods, "FY2024"))
    found, expected = draws(more, POINTS), draws(one, POINTS)
    for name in QUANTITIES:
        np.testing.assert_array_equal(found[name][:, 1:, : len(one.periods)], expected[name], err_msg=name)


def test_order_matters_to_a_stream_keyed_by_its_number():
    """The planted fault of the two tests above: the same uniforms handed out in order of appearance."""
    rows = [row("east", 4, 10.0), row("west", 7, 3.0)]
    one = scenario(rows, NORTH)
    model = compile_model(one)
    numbered = dataclasses.replace(model, slot_names=tuple(f"{i}" for i in range(len(model.slot_names))))
    fewer = scenario(rows[1:], NORTH)
    smaller = compile_model(fewer)
    fewer_numbered = dataclasses.replace(smaller, slot_names=tuple(f"{i}" for i in range(len(smaller.slot_names))))
    west = draws(one, POINTS, model=numbered)["missed_gross_kg"][:, 1]
    assert not np.array_equal(west, draws(fewer, POINTS, model=fewer_numbered)["missed_gross_kg"][:, 0])
    np.testing.assert_array_equal(draws(one, POINTS)["missed_gross_kg"][:, 1], draws(fewer, POINTS)["missed_gross_kg"][:, 0])


# zero and unknown counts


def test_a_zero_is_evidence():
    """No event: nothing seized, but something missed by the prior; with event_prior = 0 nothing at all."""
    rows = [row("north", 0, 0.0)]
    parameters = {**NORTH, "load_median": 0.5}
    found = draws(scenario(rows, parameters), 4096)
    assert not np.nan_to_num(found["seized_gross_kg"]).any()
    assert np.isnan(found["purity"]).all()
    missed = found["n_missed"] > 0
    # P(K = 0 | n = 0, a = 1/2, d = .1) = .1^(1/2), 4096 draws: method.md section 8
    assert abs(1.0 - missed[..., ALL].mean() - 0.31623) < 6.2 * np.sqrt(0.31623 * 0.68377 / 4096)
    np.testing.assert_array_equal(found["interdiction_rate"][missed], 0.0)
    assert np.isnan(found["interdiction_rate"][~missed & ~np.isnan(found["n_missed"])]).all()
    certain = draws(scenario(rows, parameters, event_prior=0.0), POINTS)
    assert not np.nan_to_num(certain["flow_gross_kg"]).any()


@given(st.integers(1, 400), st.floats(0.1, 100.0))
def test_an_unknown_count_between_equal_bounds_is_known(n_events, amount):
    known = scenario([row("north", n_events, amount)], NORTH)
    unknown = scenario([row("north", None, amount, n_min=n_events, n_max=n_events)], NORTH)
    assert_same(draws(unknown, POINTS), draws(known, POINTS))


def test_an_unknown_count_is_log_uniform():
    """With d known and equal loads, M / T = K / n: the count itself is seen where detection is certain of half the loads."""
    unknown = scenario([row("north", None, 1.0, n_min=1, n_max=300)], {**NORTH, "detection_rate": 0.5}, load_law="equal")
    found = draws(unknown, 8192)
    with np.errstate(divide="ignore", invalid="ignore"):
        n = found["n_missed"][:, 0, 0, ALL] / found["missed_gross_kg"][:, 0, 0, ALL]  # T / n is the size of a load
    n = n[np.isfinite(n)]
    np.testing.assert_allclose(n, np.round(n), rtol=1e-9)
    assert n.min() >= 1.0 - 1e-9
    assert n.max() <= 300.0 * (1.0 + 1e-9)
    # P(n >= k) = log(301 / k) / log(301); small counts miss nothing more often and are left out of n, so only the upper part is compared
    share = (np.round(found["n_missed"][:, 0, 0, ALL] / np.maximum(found["missed_gross_kg"][:, 0, 0, ALL], 1e-9)) >= 30).mean()
    exact = np.log(301.0 / 30.0) / np.log(301.0)
    assert abs(share - exact) < 6.2 * np.sqrt(exact * (1.0 - exact) / 8192)


def test_absent_evidence_is_no_zero():
    """A corridor without a row in a period is NaN there and left out of its group."""
    one = scenario([row("east", 4, 10.0), row("west", 3, 1.0, period="FY2025")], NORTH, groups=(("both", ("east", "west")),))
    found = draws(one, POINTS)
    assert np.isnan(found["flow_gross_kg"][:, 0, 1]).all()
    np.testing.assert_array_equal(found["flow_gross_kg"][:, 2, 0], found["flow_gross_kg"][:, 0, 0])
    assert np.isnan(found["flow_gross_kg"][:, 0, 0, PILL]).all()
