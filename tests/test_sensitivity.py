"""Which input an answer hangs on: known indices, their bias and errors, dependence, and that nothing else moves."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import verdicts
import xarray as xr
from build import block, row, scenario
from cli.wrong_files import SCENARIO, VALID, WrongFiles
from numpy.random import default_rng
from scipy import stats

import sim
from sim import cli, engines, indices, printed, runner, sensitivity, simulation
from sim.errors import ScenarioError
from sim.model import compile_model
from sim.scenario import json_schema
from sim.tree import LAYOUT_VERSION

REPLICATES, POINTS = 16, 4_096
ANGLE = {"kind": "uniform", "low": -math.pi, "high": math.pi}
NORMAL = {"kind": "normal", "mean": 0.0, "sd": 1.0}


def lognormal(sd_log: float) -> dict[str, Any]:
    return {"kind": "lognormal", "median": 1.0, "sd_log": sd_log}


def ishigami(x1, x2, x3):
    return {"y": np.sin(x1) + 7.0 * np.sin(x2) ** 2 + 0.1 * x3**4 * np.sin(x1)}


def product(x1, x2, x3):
    return {"y": x1 * x2 * x3}


def indices_of(function, parameters, scale="raw", draws=2**17, seed=1, **options):
    return sim.propagate(function, parameters=parameters, sensitivity=scale, draws=draws, seed=seed, **options)["sensitivity"].to_dataset()


def known_p(group, name, known, target="y"):
    """Return the p-value of indices whose true values are known; what bins lose is .001 of each, at most."""
    found, error = (group[each].sel(target=target).to_numpy() for each in (name, f"{name}_mcse"))
    return verdicts.agreement_p(found, known, error, REPLICATES, slack=0.001 * np.abs(known) + 1e-9)


def equal_p(found, error, other, of_other):
    """Return the p-value of two estimates of one number."""
    return verdicts.agreement_p(float(found), float(other), math.hypot(float(error), float(of_other)), REPLICATES, slack=1e-3)


KNOWN = {
    "ishigami": (ishigami, dict.fromkeys(("x1", "x2", "x3"), ANGLE), "raw", [0.31390519, 0.44241114, 0.0]),
    "product": (product, {"x1": lognormal(0.5), "x2": lognormal(0.3), "x3": lognormal(0.2)}, "raw", [0.614395, 0.203715, 0.088281]),
    "log": (product, {"x1": lognormal(0.5), "x2": lognormal(0.3), "x3": lognormal(0.2)}, "log", [0.657895, 0.236842, 0.105263]),
}


@pytest.mark.parametrize("sampler", ["sobol", "philox"])
@pytest.mark.parametrize("name", KNOWN)
def test_known_first_order_indices(name, sampler, statistics_seed):
    function, parameters, scale, known = KNOWN[name]
    group = indices_of(function, parameters, scale, sampler=sampler, seed=statistics_seed)
    verdicts.decide(f"first order, {name}", known_p(group, "first_order", known))
    assert (group["first_order_mcse"] < 0.02).all()
    assert float(group["shapley"].sum()) == pytest.approx(1.0, abs=1e-9)
    if name == "log":  # a sum: what a parameter does alone is all it does
        verdicts.decide("Shapley effects of a sum", known_p(group, "shapley", known))


def test_known_first_order_indices_reject_a_wrong_scale(statistics_seed):
    function, parameters, _, known = KNOWN["log"]
    wrong = indices_of(function, parameters, "raw", seed=statistics_seed)
    assert known_p(wrong, "first_order", known) < verdicts.LEVEL
    other = indices_of(function, parameters | {"x1": lognormal(0.4)}, "log", seed=statistics_seed)  # raw effects are near those of the log
    assert known_p(other, "shapley", known) < verdicts.LEVEL


def pair(**options):
    parameters = {"x1": NORMAL, "x2": NORMAL | {"sd": 2.0}, "x3": NORMAL}
    return indices_of(lambda x1, x2, x3: {"y": x1 + x2}, parameters, **options)


def test_a_correlated_pair_has_known_indices_and_shapley_effects(statistics_seed):
    group = pair(correlation={("x1", "x2"): 0.9}, seed=statistics_seed)
    first, effects = np.array([7.84 / 8.6, 8.41 / 8.6, 0.0]), np.array([0.46686, 0.53314, 0.0])  # first: (Cov(Y, X) / sd X)^2 / Var Y
    verdicts.decide("first order of a pair", known_p(group, "first_order", first))
    verdicts.decide("Shapley effects of a pair", known_p(group, "shapley", effects))
    independent = pair(seed=statistics_seed)  # what it would be if the dependence were forgotten
    assert known_p(independent, "first_order", first) < verdicts.LEVEL
    assert known_p(independent, "shapley", effects) < verdicts.LEVEL


def test_parameters_of_a_t_component_are_one_group():
    group = pair(correlation={("x1", "x2"): 0.5}, copula="t", df=4.0, draws=2**14)
    assert group["input_group"].values.tolist() == ["x3", "x1 + x2"]
    np.testing.assert_allclose(group["shapley"].sel(target="y"), [0.0, 1.0], atol=1e-9)


def test_indices_agree_with_salib(statistics_seed):
    salib = pytest.importorskip("SALib.analyze.sobol")
    sampled = pytest.importorskip("SALib.sample.sobol")
    problem = {"num_vars": 3, "names": ["x1", "x2", "x3"], "bounds": [[-math.pi, math.pi]] * 3}
    draws = sampled.sample(problem, 2**13, calc_second_order=False, seed=statistics_seed)
    found = salib.analyze(problem, ishigami(*draws.T)["y"], calc_second_order=False, seed=statistics_seed)
    group = indices_of(ishigami, KNOWN["ishigami"][1], seed=statistics_seed)
    np.testing.assert_allclose(group["first_order"].sel(target="y"), found["S1"], atol=0.03)


def test_more_than_eight_parameters_have_no_shapley_effects():
    group = indices_of(lambda *x: {"y": sum(x)}, {f"x{k}": NORMAL for k in range(9)}, draws=2**12)
    assert "shapley" not in group
    assert "9 groups" in group.attrs["note"]


def test_a_target_without_an_index_says_why():
    group = indices_of(
        lambda x: {"zero": np.maximum(x, 0.0), "same": 3.0, "endless": np.where(x > 0.0, x, np.inf)}, {"x": NORMAL}, "log", draws=2**12
    )
    assert np.isnan(group["first_order"]).all()
    assert np.isnan(group["shapley"]).all()
    note = group["first_order"].attrs["note"]
    assert "zero: it is 0 in some draws" in note
    assert "same: it is the same in every draw" in note
    assert "endless: it is infinite" in note


def test_a_constant_is_one_whatever_the_last_digit_does():
    """x (1 / x) is 1 but for rounding: its variance is noise, of which no input has a share."""
    group = indices_of(lambda x: {"one": np.exp(x) * np.exp(-x) * 0.1 / 0.3, "small": 1.0 + 1e-9 * x}, {"x": NORMAL}, "log", draws=2**12)
    assert np.isnan(group["first_order"].sel(target="one")).all()
    assert np.isnan(group["shapley"].sel(target="one")).all()
    assert "one: it is the same in every draw, but for rounding" in group["first_order"].attrs["note"]
    assert float(group["shapley"].sel(target="small").sum()) == pytest.approx(1.0)


# --- estimators, on draws of NumPy ------------------------------------------------------------------------------------------------------


def in_bins(x, y, n_bins):
    edges = stats.norm.ppf(indices.bin_edges(n_bins, x.size))
    place = indices.sort_into_bins(np.broadcast_to(edges, (len(x), n_bins - 1)), x)
    return indices.binned(place, np.ascontiguousarray(y[:, None]), n_bins)


def test_an_input_that_does_nothing_has_an_index_of_0_and_a_plug_in_does_not(statistics_seed):
    draws = default_rng(statistics_seed)
    found, plug_in = [], []
    for _ in range(40):
        x, y = draws.standard_normal((2, REPLICATES, 256))
        counts, sums = in_bins(x, y, 64)
        found.append(indices.first_order(counts, sums, (y**2).mean(axis=1)[:, None]))
        total, n = sums.sum(axis=0)[0], counts.sum(axis=0)[0]
        plug_in.append(float((total**2 / np.maximum(n, 1)).sum() / y.size))
    value = np.array([float(each[0][0]) for each in found])
    error = np.array([float(each[1][0]) for each in found])

    def zero_p(numbers):
        return verdicts.agreement_p(np.mean(numbers), 0.0, np.std(numbers, ddof=1) / math.sqrt(len(numbers)), len(numbers))

    verdicts.decide("an index of 0", zero_p(value))
    assert zero_p(np.array(plug_in)) < verdicts.LEVEL  # (B - 1)/N = .015
    assert 0.7 < error.mean() / value.std() < 3.0  # sqrt(2) too large at 0


@pytest.mark.parametrize("ratio", [0.5, 1.0, 3.0])
def test_evppi_of_the_sign_of_a_sum_is_known(ratio, statistics_seed):
    x, other = default_rng(statistics_seed).standard_normal((2, REPLICATES, POINTS))
    value, error = indices.evppi(*in_bins(x, (ratio * x + other > 0.0).astype(float), 64))
    known = math.atan(ratio) / math.pi
    verdicts.decide("EVPPI of a sign", verdicts.agreement_p(value, known, error, REPLICATES, slack=0.002))
    of_other, its_error = indices.evppi(*in_bins(other, (ratio * x + other > 0.0).astype(float), 64))  # a fault: another input
    assert ratio == 1.0 or verdicts.agreement_p(of_other, known, its_error, REPLICATES, slack=0.002) < verdicts.LEVEL


def test_evppi_judged_where_it_was_chosen_is_too_high(statistics_seed):
    draws = default_rng(statistics_seed)
    honest, plug_in = [], []
    for _ in range(20):
        x = draws.standard_normal((REPLICATES, 256))
        counts, sums = in_bins(x, (draws.random(x.shape) < 0.5).astype(float), 64)
        honest.append(float(indices.evppi(counts, sums)[0][0]))
        hits, n = sums.sum(axis=0)[0], counts.sum(axis=0)[0]
        plug_in.append(float(np.maximum(hits, n - hits).sum() / n.sum() - max(hits.sum(), n.sum() - hits.sum()) / n.sum()))

    def zero_p(numbers):
        return verdicts.agreement_p(np.mean(numbers), 0.0, np.std(numbers, ddof=1) / math.sqrt(len(numbers)), len(numbers))

    verdicts.decide("an EVPPI of 0", zero_p(honest))
    assert zero_p(plug_in) < verdicts.LEVEL  # about .4 sqrt(B / N)


def test_products_are_means_over_all_pairs_of_answers():
    answers = default_rng(1).standard_normal((8, 2, 5))
    found = indices.products(answers)
    for shared in range(8):
        pairs = [answers[u] * answers[u ^ (7 - shared)] for u in range(8)]
        np.testing.assert_allclose(found[shared], np.mean(pairs, axis=(0, 2)), atol=1e-12)


# --- the border model -------------------------------------------------------------------------------------------------------------------


def side(corridor: str) -> dict[str, str]:
    return {"quantity": "flow_pure_kg", "corridor": corridor, "period": "FY2024", "form": "all"}


SOUTH = "flow_pure_kg south FY2024 all"


def asked(table: dict[str, Any] | None, **tables: Any) -> Any:
    parameters = [
        block("detection_rate", {"kind": "beta", "mean": 0.1, "sd": 0.03}, varies_by=["corridor"], correlation=0.5),
        block("powder_purity", {"kind": "beta", "mean": 0.1, "sd": 0.03}),
        block("load_shape", 1.0),
        block("dose", {"kind": "uniform", "low": 1.0, "high": 3.0}),
    ]
    tables = {
        "contrast": [{"id": "ratio", "numerator": side("north"), "denominator": side("south")}],
        "claim": [{"id": "claim", "text": "It is so", "contrast": "ratio", "above": 0.05}],
        **({} if table is None else {"sensitivity": table}),
        **tables,
    }
    run = {"draws": 16_384, **tables.pop("run", {})}
    return scenario([row(n_events=4), row("south", n_events=40, amount=90.0)], parameters, run=run, model={"load_law": "gamma"}, **tables)


@pytest.fixture(scope="module")
def whole() -> Any:
    return sim.run(asked({"shapley": True}))


def test_a_scenario_that_does_not_ask_has_the_numbers_it_had(whole):
    plain = sim.run(asked(None))
    assert "sensitivity" not in plain.children
    for name in plain.children:
        assert plain[name].to_dataset().drop_attrs().identical(whole[name].to_dataset().drop_attrs())


def test_shared_inputs_cancel_and_idle_ones_do_nothing(whole):
    group = whole["sensitivity"].to_dataset()
    value, error = group["first_order"], group["first_order_mcse"]
    idle = [("ratio", "powder_purity"), ("ratio", "dose"), (SOUTH, "dose")]
    found, errors = ([float(each.sel(target=target, parameter=name)) for target, name in idle] for each in (value, error))
    verdicts.decide("inputs that cancel, or do nothing", verdicts.agreement_p(found, 0.0, errors, REPLICATES))
    acts = float(value.sel(target=SOUTH, parameter="powder_purity")), float(error.sel(target=SOUTH, parameter="powder_purity"))
    assert verdicts.agreement_p(acts[0], 0.0, acts[1], REPLICATES) < verdicts.LEVEL
    assert value.sel(target=SOUTH, parameter="powder_purity") > 0.2
    assert float(value.sel(target="ratio", parameter="load_shape")) == 0.0
    assert {"detection", "purity", "counts", "sizes", "rest"} == set(group["input_group"].values)
    np.testing.assert_allclose(group["shapley"].sum("input_group"), 1.0)
    assert float(group["shapley"].sel(target="ratio", input_group="purity")) == 0.0
    evppi = group[["evppi", "evppi_mcse"]].sel(parameter="dose")
    verdicts.decide("EVPPI of an idle input", verdicts.agreement_p(evppi["evppi"], 0.0, evppi["evppi_mcse"], REPLICATES, slack=1e-9))


def purity_p(case):
    """Return the p-value of purity's Shapley effect on the log flow being its first-order index: log flow is log purity and the rest."""
    model = compile_model(case)
    found = sensitivity.of_run(model, runner.plan(case.draws, case.seed, case.sampler), case.sensitivity)
    target, parameter = found["targets"].index(SOUTH), [draw.id for draw in model.parameter_draws].index("powder_purity")
    group = found["input_groups"].index("purity")
    numbers = [found[f"first_order{end}"][parameter, target] for end in ("", "_mcse")]
    return equal_p(*numbers, *(found[f"shapley{end}"][group, target] for end in ("", "_mcse")))


@pytest.mark.parametrize("sampler", ["sobol", "philox"])
def test_purity_alone_does_the_same_by_both_ways(sampler, statistics_seed):
    verdicts.decide("purity, both ways", purity_p(asked({"shapley": True}, run={"seed": statistics_seed, "sampler": sampler})))


@pytest.mark.parametrize("fault", ["another group", "one uniform more"])
def test_wrong_uniforms_of_a_group_are_rejected(fault, monkeypatch, statistics_seed):
    right = sensitivity.input_groups

    def wrong(model):
        groups = right(model)
        if fault == "another group":
            groups["purity"], groups["counts"] = groups["counts"], groups["purity"]  # detection has the same effect
        else:
            moved = [i for i, name in enumerate(model.slot_names) if groups["detection"][i] and "south" in name]
            assert moved
            groups["purity"][moved], groups["detection"][moved] = True, False
        return groups

    monkeypatch.setattr(sensitivity, "input_groups", wrong)
    assert purity_p(asked({"shapley": True}, run={"seed": statistics_seed})) < verdicts.LEVEL


def test_the_first_points_are_the_draws_of_the_run():
    case = asked({})
    model = compile_model(case)
    plan = runner.plan(case.draws, case.seed, case.sampler)
    engine = simulation.BorderEngine(model)
    source = sensitivity._Draws(engine, plan).of(3)
    again = runner._Sources(engine, plan).of(3)
    for stored, expected in zip(*(engine.store(runner.Block(each, 0, 64)) for each in (source, again)), strict=True):
        np.testing.assert_array_equal(stored, expected)


SPREAD = {"dim": "spread", "path": "parameter.powder_purity.distribution.sd", "values": [0.01, 0.03]}


@pytest.fixture(scope="module")
def swept() -> Any:
    return sim.run(asked({"shapley": True}, sweep=[SPREAD], run={"draws": 4_096}), threads=2)


class Stopped(Exception): ...


@pytest.mark.parametrize("sweep", [False, True])
def test_threads_and_what_is_resumed_change_no_bit(sweep, whole, swept, tmp_path):
    case = asked({"shapley": True}, sweep=[SPREAD], run={"draws": 4_096}) if sweep else asked({"shapley": True})
    digest = (swept if sweep else whole).attrs["numbers_digest"]
    assert sim.run(case, threads=1).attrs["numbers_digest"] == digest
    assert sim.run(case, threads=2).attrs["numbers_digest"] == digest
    seen = []

    def stop(done: int, total: int) -> None:
        seen.append(done)
        if done > (1.5 if sweep else 0.5) * case.draws and len(seen) > 3:
            raise Stopped

    with pytest.raises(Stopped):
        sim.run(case, threads=1, progress=stop, partials=tmp_path / "partials")
    again = sim.run(case, partials=tmp_path / "partials")
    assert again.attrs["numbers_digest"] == digest
    folder = sim.save_result(again, tmp_path)
    assert sim.open_result(folder).attrs["numbers_digest"] == digest
    assert sim.load_scenario(folder / "scenario.toml").document == case.document


@pytest.mark.filterwarnings("ignore::DeprecationWarning:distributed")
@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_a_cluster_changes_no_bit(whole, swept):
    pytest.importorskip("distributed")
    with engines.dask(workers=2) as executor:
        for tree, tables in ((whole, {}), (swept, {"sweep": [SPREAD], "run": {"draws": 4_096}})):
            found = sim.run(asked({"shapley": True}, **tables), executor=executor)
            assert found.attrs["numbers_digest"] == tree.attrs["numbers_digest"]


def test_another_group_of_uniforms_changes_the_digest(whole, monkeypatch):
    """What the digest is compared by covers the indices."""
    monkeypatch.setattr(sensitivity, "POINTS", 512)
    assert sim.run(asked({"shapley": True})).attrs["numbers_digest"] != whole.attrs["numbers_digest"]


def test_progress_counts_what_is_redrawn():
    seen = []
    case = asked({"shapley": True}, run={"draws": 4_096})
    sim.run(case, progress=lambda done, total: seen.append((done, total)))
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)
    assert seen[-1][0] == seen[-1][1] > 2 * case.draws
    assert "the draws of [sensitivity]" in cli._pilot_of(case)  # what a plan leaves out
    assert "the draws of [sensitivity]" not in cli._pilot_of(asked(None))


def test_progress_never_steps_back_between_cases_that_draw_more_than_was_planned():
    seen = []
    side_by_side = {"id": "missed", "numerator": side("north"), "denominator": side("north") | {"quantity": "seized_pure_kg"}}
    claims = [{"id": "never", "text": "Less crossed than was seized", "contrast": "missed", "below": 0.5}]
    case = asked({}, contrast=[side_by_side], claim=claims, sweep=[SPREAD], run={"draws": 4_096})
    tree = sim.run(case, progress=lambda done, total: seen.append((done, total)))
    assert tree["claims"]["rerun"].all()
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)
    assert all(done <= total for done, total in seen)
    assert seen[-1][0] == seen[-1][1]


def test_cases_of_a_sweep_have_indices_of_their_own(swept):
    value = swept["sensitivity"]["first_order"].sel(target=SOUTH, parameter="powder_purity")
    assert value.dims == ("spread",)
    assert value[0] < value[1]
    text = " ".join(printed.summary(swept, prob=0.9, terminal=False).split())
    assert f"{SOUTH}; spread = 0.01: shares of the variance of its log, groups of inputs (Shapley effects): detection" in text
    assert f"{SOUTH}; spread = 0.03: " in text


def test_a_raw_scale_is_refused_where_the_variance_would_not_settle():
    detection = {"kind": "uniform", "low": 0.0, "high": 0.5}
    parameters = {"detection_rate": detection, "powder_purity": 0.1, "load_shape": 1.0}
    tree = sim.run(scenario([row()], parameters, run={"draws": 4096}, model={"load_law": "gamma"}, sensitivity={"scale": "raw"}))
    value = tree["sensitivity"]["first_order"]
    assert np.isnan(value).all()
    assert "would not settle" in value.attrs["note"]


def test_a_ratio_on_the_raw_scale_needs_a_denominator_that_stays_away_from_0():
    """All numerators have bounded laws; what is missed is 0 where nothing was, and a pure mass may be small."""
    names = {"flow_gross_kg": True, "seized_gross_kg": True, "flow_pure_kg": False, "missed_gross_kg": False, "interdiction_rate": False}
    contrasts = [
        {"id": name, "numerator": side("north") | {"quantity": "flow_gross_kg"}, "denominator": side("south") | {"quantity": name}}
        for name in names
    ]
    parameters = {"detection_rate": {"kind": "uniform", "low": 0.1, "high": 0.5}, "powder_purity": 0.1}
    rows = [row(n_events=40), row("south", n_events=40, amount=90.0)]
    parameters["load_log_sd"] = 0.5
    tree = sim.run(scenario(rows, parameters, run={"draws": 4096}, contrast=contrasts, sensitivity={"scale": "raw"}))
    value = tree["sensitivity"]["first_order"].sel(parameter="detection_rate")
    for name, defined in names.items():
        assert np.isfinite(value.sel(target=name)).all() == defined, name
        assert (f"{name}: its variance might not settle (nothing keeps its denominator from 0)" in value.attrs["note"]) != defined


def test_effects_that_meet_what_has_no_value_are_none_and_say_so():
    group = indices_of(lambda x, z: {"y": np.where(x > 3.0, np.nan, x + z), "sound": x + z}, {"x": NORMAL, "z": NORMAL}, draws=2**14)
    assert np.isnan(group["shapley"].sel(target="y")).all()
    assert np.isfinite(group["shapley"].sel(target="sound")).all()
    assert np.isfinite(group["first_order"]).all()  # of the draws in which it is defined
    assert group["shapley"].attrs["note"].startswith("y: no Shapley effects, because it is undefined")


# --- beside other tables --------------------------------------------------------------------------------------------------------------


def lab(table: dict[str, Any] | None, **tables: Any) -> Any:
    """Two corridors, and in one of them precursors, whose yield has no correlation with anything."""
    rows = [row(n_events=4), row("south", n_events=40, amount=90.0), row("south", 2, 160.0, "precursor", rounding=40.0)]
    parameters = {
        "detection_rate": {"kind": "beta", "mean": 0.1, "sd": 0.03},
        "powder_purity": {"kind": "beta", "mean": 0.1, "sd": 0.03},
        "load_shape": 1.0,
        "precursor_yield": {"kind": "lognormal", "median": 1.2, "sd_log": 0.3},
    }
    tables = {**({} if table is None else {"sensitivity": table}), **tables}
    run = {"draws": 16_384, **tables.pop("run", {})}
    return scenario(rows, parameters, run=run, model={"load_law": "gamma"}, **tables)


POTENTIAL = side("south") | {"quantity": "potential_pure_kg"}


@pytest.mark.parametrize("quantities", [["flow_pure_kg"], ["potential_pure_kg"], ["n_missed", "potential_pure_kg", "interdiction_rate"]])
def test_a_model_of_fewer_answers_draws_them_to_the_same_bits(quantities):
    """Precursors, whose sums have numbers behind all others, are asked for or not."""
    case = lab(None, contrast=[{"id": "ratio", "numerator": side("north"), "denominator": side("south")}])
    model = compile_model(case)
    cells = [(1, 0, 2, list(case.quantities).index(name)) for name in quantities]
    summary = np.array([model.summary[cell] for cell in cells])
    small, number = sensitivity.only(model, summary)
    stored, found = (
        engine.store(runner.Block(runner._Sources(engine, runner.plan(4_096, 1, "sobol")).of(3), 0, 64))[0]
        for engine in (simulation.BorderEngine(model), simulation.BorderEngine(small))
    )
    assert len(found) == small.n_summaries == 3 + len(quantities) - ("flow_pure_kg" in quantities)
    np.testing.assert_array_equal(found[number[summary]], stored[summary])
    np.testing.assert_array_equal(found[-1], stored[-1])  # the contrast


def test_what_precursors_could_have_made_hangs_on_yield_and_rounding(statistics_seed):
    table = {"shapley": True, "target": [POTENTIAL, side("south")]}
    group = sim.run(lab(table, run={"seed": statistics_seed}))["sensitivity"].to_dataset()
    amount = np.linspace(120.0, 200.0, 100_001)
    known = 0.3**2 / (0.3**2 + np.log(amount).var())  # on the log: yield and amount are a sum
    target = "potential_pure_kg south FY2024 all"
    first, error = (float(group[name].sel(target=target, parameter="precursor_yield")) for name in ("first_order", "first_order_mcse"))
    verdicts.decide("yield alone", verdicts.agreement_p(first, known, error, REPLICATES, slack=0.002))
    assert verdicts.agreement_p(first, 1.0, error, REPLICATES, slack=0.002) < verdicts.LEVEL  # if rounding were not drawn
    effects = group["shapley"].sel(target=target)
    assert float(effects.sel(input_group="rest")) == pytest.approx(1.0, abs=1e-9)
    assert float(group["shapley"].sel(target=SOUTH, input_group="rest")) == 0.0


def test_indices_beside_conditions_and_growth():
    """Indices are of the draws before any condition, and say so; the ratio of a growth is a target as every contrast is."""
    bound = {"id": "bound", "result": side("south"), "soft_upper": "2 t", "log_sd": 0.5}
    rows = [row(n_events=4, period="FY2023"), row(n_events=40)]
    parameters = {"detection_rate": {"kind": "beta", "mean": 0.1, "sd": 0.03}, "powder_purity": 0.1, "load_shape": 1.0}
    growing = {"id": "growth", "corridor": "north", "periods": ["FY2023", "FY2024"]}
    tree = sim.run(scenario(rows, parameters, run={"draws": 4096}, model={"load_law": "gamma"}, growth=[growing], sensitivity={}))
    assert "growth" in tree["sensitivity"]["target"].values
    assert "note" not in tree["sensitivity"].attrs
    plain, conditioned = sim.run(lab({})), sim.run(lab({}, condition=[bound]))
    assert plain["sensitivity"].to_dataset().drop_attrs().identical(conditioned["sensitivity"].to_dataset().drop_attrs())
    assert conditioned["sensitivity"].attrs["note"] == "conditions do not weight these numbers"
    text = " ".join(printed.summary(conditioned, prob=0.9, terminal=False).split())
    assert "Before any condition, flow_pure_kg north FY2024 all: shares" in text


def test_correlated_groups_of_inputs_are_one():
    link = [{"between": ["detection_rate", "powder_purity"], "value": 0.5}]
    tree = sim.run(asked({"shapley": True}, correlation=link))
    assert "detection + purity" in tree["sensitivity"]["input_group"].values


def test_show_names_what_an_answer_hangs_on(whole):
    text = " ".join(printed.summary(whole, prob=0.9, terminal=False).split())
    assert "ratio: shares of the variance of its log, single inputs (first order): detection_rate@" in text
    assert "groups of inputs (Shapley effects)" in text
    assert "claim: know" in text


def test_show_leaves_out_what_its_error_drowns_and_no_error_of_nothing():
    value = xr.DataArray([[0.031], [0.9]], dims=("parameter", "target"), coords={"parameter": ["faint", "strong"], "target": ["t"]})
    group = xr.Dataset({"first_order": value.assign_attrs(scale="log"), "first_order_mcse": value.copy(data=[[0.01003], [1e-16]])})
    assert sensitivity.in_words(group, (), printed.format_number) == [
        ((), "t", "shares of the variance of its log, single inputs (first order): strong 0.9000.")
    ]
    assert sensitivity.why_none(group) == []
    group["first_order"].attrs["note"] = "u: it is the same in every draw"
    assert sensitivity.why_none(group) == ["No shares of the variance: u: it is the same in every draw."]


def test_show_says_how_shares_of_correlated_inputs_are_read(whole):
    reading = "Correlated inputs each count what they tell of one another"
    assert reading in printed.summary(whole, prob=0.9, terminal=False)
    assert reading not in printed.summary(sim.run(lab({})), prob=0.9, terminal=False)


def test_show_says_once_what_no_case_moves():
    tree = sim.run(asked({}, sweep=[{"dim": "dose", "path": "parameter.dose.distribution", "values": [1.5, 2.0]}]))
    sentences = [str(part) for part in printed.sections(tree, 0.9, 99)["sensitivity"]]
    assert len([text for text in sentences if "first order" in text]) == tree["sensitivity"].sizes["target"]
    assert not any("dose = " in text for text in sentences)


# --- wrong files ------------------------------------------------------------------------------------------------------------------------

TARGET = '{ quantity = "flow_pure_kg", corridor = "west", period = "FY2024", form = "all" }'


def one_target(target: str) -> str:
    return f"[sensitivity]\ntarget = [{target}]\n"


WRONG = {
    "an unknown key": ("[sensitivity]\nbins = 3\n", "unknown key bins", "sensitivity"),
    "an unknown scale": ('[sensitivity]\nscale = "ln"\n', 'scale = "ln"', "sensitivity.scale"),
    "an unknown corridor": (one_target(TARGET.replace("west", "wast")), 'unknown corridor "wast"', "sensitivity.target[1].corridor"),
    "a target twice": (one_target(f"{TARGET}, {TARGET}"), "this is target 1 too", "sensitivity.target[2]"),
    "a number that does not exist": (
        one_target(TARGET.replace("flow_pure_kg", "n_missed").replace('"all"', '"pill"')),
        "does not exist for form pill",
        "sensitivity.target[1]",
    ),
    "a list": ("[[sensitivity]]\n", "stands where a table is needed", "sensitivity"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_table_is_told(name, tmp_path):
    text, came, where = WRONG[name]
    path = WrongFiles(name=name, files=VALID | {"scenario.toml": SCENARIO + "\n" + text}, fragments=()).write(tmp_path)
    with pytest.raises(ScenarioError) as error:
        sim.load_scenario(path)
    assert came in str(error.value)
    assert where in str(error.value)


def test_the_schema_knows_the_table():
    assert set(json_schema()["$defs"]["SensitivityTable"]["properties"]) == {"scale", "shapley", "target", "note"}
    assert LAYOUT_VERSION == 1
