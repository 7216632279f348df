"""Which input an answer hangs on: known indices, their bias and errors, dependence, and that nothing else moves."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from build import block, row, scenario
from cli.wrong_files import SCENARIO, VALID, WrongFiles
from numpy.random import default_rng
from scipy import stats

import sim
from sim import cli, indices, results, runner, sensitivity
from sim.errors import ScenarioError
from sim.model import compile_model
from sim.scenario import json_schema

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


def off(group, name, known):
    """Return how many errors each index is off its known value; what bins lose (.001 of it, at most) is none."""
    found, error = (group[each].sel(target="y").to_numpy() for each in (name, f"{name}_mcse"))
    return np.abs(found - known) / (error + 0.001 * np.abs(known) + 1e-12)


KNOWN = {
    "ishigami": (ishigami, dict.fromkeys(("x1", "x2", "x3"), ANGLE), "raw", [0.31390519, 0.44241114, 0.0]),
    "product": (product, {"x1": lognormal(0.5), "x2": lognormal(0.3), "x3": lognormal(0.2)}, "raw", [0.614395, 0.203715, 0.088281]),
    "log": (product, {"x1": lognormal(0.5), "x2": lognormal(0.3), "x3": lognormal(0.2)}, "log", [0.657895, 0.236842, 0.105263]),
}
TOO_FAR = 11.6  # errors, with 15 degrees of freedom: the level of one verdict, see verdicts.py


@pytest.mark.parametrize("sampler", ["sobol", "philox"])
@pytest.mark.parametrize("name", KNOWN)
def test_known_first_order_indices(name, sampler, statistics_seed):
    function, parameters, scale, known = KNOWN[name]
    group = indices_of(function, parameters, scale, sampler=sampler, seed=statistics_seed)
    assert (off(group, "first_order", known) < TOO_FAR).all()
    assert (group["first_order_mcse"] < 0.02).all()
    assert float(group["shapley"].sum()) == pytest.approx(1.0, abs=1e-9)
    if name == "log":  # a sum: what a parameter does alone is all it does
        assert (off(group, "shapley", known) < TOO_FAR).all()


def test_known_first_order_indices_reject_a_wrong_scale(statistics_seed):
    function, parameters, _, known = KNOWN["log"]
    assert (off(indices_of(function, parameters, "raw", seed=statistics_seed), "first_order", known) > TOO_FAR).any()


def pair(**options):
    parameters = {"x1": NORMAL, "x2": NORMAL | {"sd": 2.0}, "x3": NORMAL}
    return indices_of(lambda x1, x2, x3: {"y": x1 + x2}, parameters, **options)


def test_a_correlated_pair_has_known_indices_and_shapley_effects(statistics_seed):
    group = pair(correlation={("x1", "x2"): 0.9}, seed=statistics_seed)
    assert (off(group, "first_order", [7.84 / 8.6, 8.41 / 8.6, 0.0]) < TOO_FAR).all()  # (Cov(Y, X) / sd X)^2 / Var Y
    assert (off(group, "shapley", [0.46686, 0.53314, 0.0]) < TOO_FAR).all()
    independent = pair(seed=statistics_seed)  # what it would be if the dependence were forgotten
    assert (off(independent, "shapley", [0.46686, 0.53314, 0.0]) > TOO_FAR).any()


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

    def errors_off_0(numbers):
        return abs(np.mean(numbers)) / (np.std(numbers, ddof=1) / math.sqrt(len(numbers)))

    assert errors_off_0(value) < 8.0
    assert errors_off_0(np.array(plug_in)) > 8.0  # (B - 1)/N = .015
    assert 0.7 < error.mean() / value.std() < 3.0  # sqrt(2) too large at 0


@pytest.mark.parametrize("ratio", [0.5, 1.0, 3.0])
def test_evppi_of_the_sign_of_a_sum_is_known(ratio, statistics_seed):
    x, other = default_rng(statistics_seed).standard_normal((2, REPLICATES, POINTS))
    value, error = indices.evppi(*in_bins(x, (ratio * x + other > 0.0).astype(float), 64))
    assert abs(value[0] - math.atan(ratio) / math.pi) < TOO_FAR * error[0] + 0.002


def test_evppi_judged_where_it_was_chosen_is_too_high(statistics_seed):
    draws = default_rng(statistics_seed)
    honest, plug_in = [], []
    for _ in range(20):
        x = draws.standard_normal((REPLICATES, 256))
        counts, sums = in_bins(x, (draws.random(x.shape) < 0.5).astype(float), 64)
        honest.append(float(indices.evppi(counts, sums)[0][0]))
        hits, n = sums.sum(axis=0)[0], counts.sum(axis=0)[0]
        plug_in.append(float(np.maximum(hits, n - hits).sum() / n.sum() - max(hits.sum(), n.sum() - hits.sum()) / n.sum()))
    spread = np.std(honest, ddof=1) / math.sqrt(len(honest))
    assert abs(np.mean(honest)) < 8.0 * spread
    assert np.mean(plug_in) > 8.0 * spread  # about .4 sqrt(B / N)


def test_products_are_means_over_all_pairs_of_answers():
    answers = default_rng(1).standard_normal((8, 2, 5))
    found = indices.products(answers)
    for shared in range(8):
        pairs = [answers[u] * answers[u ^ (7 - shared)] for u in range(8)]
        np.testing.assert_allclose(found[shared], np.mean(pairs, axis=(0, 2)), atol=1e-12)


# --- the border model -------------------------------------------------------------------------------------------------------------------


def side(corridor: str) -> dict[str, str]:
    return {"quantity": "flow_pure_kg", "corridor": corridor, "period": "FY2024", "form": "all"}


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
    for target, inputs in {"ratio": ("powder_purity", "dose"), "flow_pure_kg south FY2024 all": ("dose",)}.items():
        for name in inputs:
            assert abs(value.sel(target=target, parameter=name)) < TOO_FAR * error.sel(target=target, parameter=name)
    assert value.sel(target="flow_pure_kg south FY2024 all", parameter="powder_purity") > 0.2
    assert float(value.sel(target="ratio", parameter="load_shape")) == 0.0
    assert {"detection", "purity", "counts", "sizes", "rest"} == set(group["input_group"].values)
    np.testing.assert_allclose(group["shapley"].sum("input_group"), 1.0)
    assert float(group["shapley"].sel(target="ratio", input_group="purity")) == 0.0
    assert (abs(group["evppi"].sel(parameter="dose")) < TOO_FAR * group["evppi_mcse"].sel(parameter="dose") + 1e-9).all()


def test_purity_alone_does_the_same_by_both_ways(whole):
    group = whole["sensitivity"].to_dataset().sel(target="flow_pure_kg south FY2024 all")  # log flow is a sum: log purity and the rest
    first, effect = group["first_order"].sel(parameter="powder_purity"), group["shapley"].sel(input_group="purity")
    errors = math.hypot(
        float(group["first_order_mcse"].sel(parameter="powder_purity")), float(group["shapley_mcse"].sel(input_group="purity"))
    )
    assert abs(float(first - effect)) < TOO_FAR * errors + 0.005


def test_the_first_points_are_the_draws_of_the_run():
    case = asked({})
    model = compile_model(case)
    plan = runner.plan(case.draws, case.seed, case.sampler)
    engine = runner.BorderEngine(model)
    source = sensitivity._Draws(engine, plan).of(3)
    again = runner._Sources(engine, plan).of(3)
    for stored, expected in zip(*(engine.store(runner.Block(each, 0, 64)) for each in (source, again)), strict=True):
        np.testing.assert_array_equal(stored, expected)


def test_threads_and_what_is_resumed_change_no_bit(whole, tmp_path):
    case = asked({"shapley": True})
    assert sim.run(case, threads=1).attrs["numbers_digest"] == whole.attrs["numbers_digest"]

    class Stopped(Exception): ...

    def stop(done: int, total: int) -> None:
        if done > total // 2:
            raise Stopped

    with pytest.raises(Stopped):
        sim.run(case, threads=1, progress=stop, partials=tmp_path / "partials")
    again = sim.run(case, partials=tmp_path / "partials")
    assert again.attrs["numbers_digest"] == whole.attrs["numbers_digest"]
    folder = sim.save_result(again, tmp_path)
    assert sim.open_result(folder).attrs["numbers_digest"] == whole.attrs["numbers_digest"]
    assert sim.load_scenario(folder / "scenario.toml").document == case.document


def test_cases_of_a_sweep_have_indices_of_their_own():
    path = "parameter.powder_purity.distribution.sd"
    tree = sim.run(asked({}, sweep=[{"dim": "spread", "path": path, "values": [0.01, 0.03]}]))
    value = tree["sensitivity"]["first_order"].sel(target="flow_pure_kg south FY2024 all", parameter="powder_purity")
    assert value.dims == ("spread",)
    assert value[0] < value[1]


def test_a_raw_scale_is_refused_where_the_variance_would_not_settle():
    detection = {"kind": "uniform", "low": 0.0, "high": 0.5}
    parameters = {"detection_rate": detection, "powder_purity": 0.1, "load_shape": 1.0}
    tree = sim.run(scenario([row()], parameters, run={"draws": 4096}, model={"load_law": "gamma"}, sensitivity={"scale": "raw"}))
    value = tree["sensitivity"]["first_order"]
    assert np.isnan(value).all()
    assert "would not settle" in value.attrs["note"]


def test_correlated_groups_of_inputs_are_one():
    link = [{"between": ["detection_rate", "powder_purity"], "value": 0.5}]
    tree = sim.run(asked({"shapley": True}, correlation=link))
    assert "detection + purity" in tree["sensitivity"]["input_group"].values


def test_show_names_what_an_answer_hangs_on(whole):
    text = " ".join(cli._summary(whole, prob=0.9, terminal=False).split())
    assert "ratio: shares of the variance of its log, single inputs (first order): detection_rate@" in text
    assert "groups of inputs (Shapley effects)" in text
    assert "claim: know" in text


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
    assert results.LAYOUT_VERSION == 1
