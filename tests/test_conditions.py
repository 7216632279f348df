"""Conditions: what weighted draws say, when they are refused, and that nothing else moves."""

from __future__ import annotations

import pickle
import re
import tomllib
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
from arviz_stats.base import array_stats
from build import PERIOD, kept, row, scenario
from cli.wrong_files import CONDITION, SCENARIO, VALID, WrongFiles
from scipy import special, stats

import sim
from sim import conditions, finished, printed, results, runner, simulation
from sim.model import compile_model
from sim.scenario import json_schema, to_toml
from sim.tree import numbers_digest

DRAWS = 32_768
PURITY = {"kind": "beta", "mean": 0.1, "sd": 0.03}
DETECTION = {"kind": "beta", "mean": 0.1, "sd": 0.03}
CONTRAST = {
    "id": "north-to-south",
    "numerator": {"quantity": "flow_pure_kg", "corridor": "north", "period": PERIOD, "form": "all"},
    "denominator": {"quantity": "flow_pure_kg", "corridor": "south", "period": PERIOD, "form": "all"},
}
CLAIM = {"id": "below", "text": "The north is below a twentieth", "contrast": "north-to-south", "below": 0.05}


def condition(upper: Any = "60 kg", corridor: str = "both", quantity: str = "flow_pure_kg", **keys: Any) -> dict[str, Any]:
    result = {"quantity": quantity, "corridor": corridor, "period": PERIOD, "form": "all"}
    bound = {} if upper is None else {"soft_upper": upper}
    return {"id": "bound", "result": result, "log_sd": 0.35, **bound, **keys}


def asked(*bounds: dict[str, Any], parameters: Any = None, rows: Any = None, run: Any = None, **tables: Any) -> Any:
    rows = rows or [row(n_events=4), row("south", n_events=40, amount=90.0)]
    parameters = parameters or {"detection_rate": DETECTION, "powder_purity": PURITY, "load_shape": 1.0}
    tables = {"groups": {"both": ["north", "south"]}, "model": {"load_law": "gamma"}, "contrast": [CONTRAST], "claim": [CLAIM], **tables}
    return scenario(rows, parameters, run={"draws": DRAWS, **(run or {})}, **({"condition": list(bounds)} if bounds else {}), **tables)


@pytest.fixture(scope="module")
def whole() -> Any:
    """All draws kept."""
    return sim.run(asked(condition(), run={"keep_draws": DRAWS}), threads=2)


def weights_of(tree: Any) -> np.ndarray:
    return np.exp(np.asarray(tree["draws"]["log_weight"]).reshape(-1))


def weighted_quantiles(draws: np.ndarray, weights: np.ndarray, p: np.ndarray) -> np.ndarray:
    order = np.argsort(draws)
    return np.asarray(draws[order][np.searchsorted(np.cumsum(weights[order]) / weights.sum(), p)])


# --- what is computed -------------------------------------------------------------------------------------------------------------


def test_results_are_those_of_importance_sampling_from_the_kept_draws(whole: Any) -> None:
    p = np.asarray(whole["conditioned/quantiles"]["quantile"])
    weights = stats.norm.cdf(np.log(60.0 / kept(whole, "flow_pure_kg", "both")) / 0.35)
    np.testing.assert_allclose(weights_of(whole), weights, rtol=1e-8)
    for quantity in ("flow_pure_kg", "interdiction_rate", "seized_pure_kg", "missed_gross_kg"):
        for corridor in ("north", "south", "both"):
            found = np.asarray(whole["conditioned/quantiles"][quantity].sel(corridor=corridor, period=PERIOD, form="all"))
            expected = weighted_quantiles(kept(whole, quantity, corridor), weights, p)
            np.testing.assert_allclose(found[2:-2], expected[2:-2], rtol=3e-3, err_msg=quantity)
    flow, ratio = kept(whole, "flow_pure_kg", "both"), kept(whole, "flow_pure_kg") / kept(whole, "flow_pure_kg", "south")
    mean = whole["conditioned/moments"]["flow_pure_kg"].sel(corridor="both", period=PERIOD, form="all", moment="mean")
    assert float(mean) == pytest.approx(np.average(flow, weights=weights), rel=1e-9)
    found = np.asarray(whole["conditioned/contrasts"]["ratio"][0])
    np.testing.assert_allclose(found[2:-2], weighted_quantiles(ratio, weights, p)[2:-2], rtol=3e-3)
    claims = whole["conditioned/claims"].to_dataset()
    assert claims["text"].values.tolist() == [CLAIM["text"]]
    assert float(whole["conditioned/contrasts"]["undefined_share"][0]) == 0.0
    assert float(claims["probability"][0]) == pytest.approx(np.average(ratio < 0.05, weights=weights), rel=1e-9)
    assert claims["lower_bound"] < claims["probability"] < claims["upper_bound"]
    assert float(whole["conditioned"]["ess"]) == pytest.approx(weights.sum() ** 2 / (weights**2).sum(), rel=1e-9)
    assert float(whole["conditioned"]["mean_weight"]) == pytest.approx(weights.mean(), rel=1e-9)
    assert "condition_refused" not in whole.attrs


def test_pareto_k_is_that_of_arviz(whole: Any) -> None:
    logs = np.log(weights_of(whole))
    assert float(whole["conditioned"]["pareto_k"]) == pytest.approx(array_stats.psislw(-logs)[1], abs=0.02)
    for k in (0.2, 0.6, 0.9):
        heavy = np.sort(stats.genpareto(k).rvs(500, random_state=np.random.default_rng(1)))
        assert conditions.pareto_shape(heavy) == pytest.approx(array_stats._gpdfit(heavy)[0], rel=1e-9)


def test_errors_are_those_over_replicates(whole: Any) -> None:
    flow, weights = kept(whole, "flow_pure_kg", "both"), weights_of(whole)
    by_replicate = zip(np.split(flow, int(whole.attrs["replicates"])), np.split(weights, int(whole.attrs["replicates"])), strict=True)
    medians = np.array([weighted_quantiles(*each, np.array([0.5]))[0] for each in by_replicate])
    found = float(whole["conditioned/mcse"]["flow_pure_kg"].sel(corridor="both", period=PERIOD, form="all", quantile=0.5))
    assert found == pytest.approx(medians.std(ddof=1) / np.sqrt(medians.size), rel=0.05)


@pytest.mark.nightly
def test_errors_of_plain_draws_hold_and_are_not_wild() -> None:
    """Forty seeds: the spread of a quantile is within its error, an upper bound: .77, .75, .28 of it, least where weights are small."""
    at = {"corridor": "both", "period": PERIOD, "form": "all", "quantile": [0.05, 0.5, 0.95]}
    trees = [sim.run(asked(condition(), run={"sampler": "philox", "seed": seed}), threads=2) for seed in range(40)]
    found = np.array([np.asarray(tree["conditioned/quantiles"]["flow_pure_kg"].sel(at)) for tree in trees])
    said = np.array([np.asarray(tree["conditioned/mcse"]["flow_pure_kg"].sel(at)) for tree in trees]).mean(axis=0)
    ratio = found.std(axis=0, ddof=1) / said
    assert (ratio < 1.6).all(), ratio  # 40 seeds: a ratio of 1 exceeds 1.6 once in a million
    assert (ratio > 0.15).all(), ratio
    assert (ratio[:2] > 0.4).all(), ratio


def test_parameters_learn_and_the_prior_stands_beside(whole: Any) -> None:
    group = whole["conditioned/parameters"].to_dataset()
    np.testing.assert_array_equal(group["value_before"], whole["parameters"]["value"])
    draws = np.asarray(whole["draws"]["parameter_value"].sel(parameter="detection_rate")).reshape(-1)
    p = np.asarray(group["quantile"])
    found = np.asarray(group["value"].sel(parameter="detection_rate"))
    np.testing.assert_allclose(found[2:-2], weighted_quantiles(draws, weights_of(whole), p)[2:-2], rtol=3e-3)
    assert found[6] > 1.1 * float(group["value_before"].sel(parameter="detection_rate", quantile=0.5))


def test_nothing_else_moves() -> None:
    plain, more = sim.run(asked(), threads=2), sim.run(asked(condition()), threads=2)
    assert "conditioned" not in plain.children
    for group in ("quantiles", "mcse", "moments", "parameters", "evidence", "diagnostics", "contrasts", "claims"):
        assert plain[group].to_dataset().identical(more[group].to_dataset()), group


@pytest.mark.parametrize("sampler", ["sobol", "philox"])
def test_a_bound_far_above_everything_changes_nothing(sampler: str) -> None:
    tree = sim.run(asked(condition("1e9 kg"), run={"sampler": sampler}), threads=2)
    after = tree["conditioned"]
    assert float(after["ess"]) == pytest.approx(float(tree.attrs["draws"]), rel=1e-12)
    assert float(after["pareto_k"]) == -np.inf
    for name, variable in tree["quantiles"].data_vars.items():
        np.testing.assert_allclose(after["quantiles"][name], variable, rtol=1e-9, err_msg=str(name))
        np.testing.assert_allclose(after["mcse"][name], tree["mcse"][name], rtol=1e-6, atol=1e-12, err_msg=str(name))
    np.testing.assert_allclose(after["contrasts"]["ratio"], tree["contrasts"]["ratio"], rtol=1e-9)
    assert float(after["claims"]["probability"][0]) == float(tree["claims"]["probability"][0])


def test_several_conditions_multiply_and_a_lower_bound_turns_the_sign() -> None:
    one = condition("80 kg") | {"id": "upper"}
    two = condition(None, soft_lower="0.2 lb", corridor="north", quantity="seized_pure_kg") | {"id": "lower", "log_sd": 0.5}
    tree = sim.run(asked(one, two, run={"keep_draws": DRAWS}), threads=2)
    low = 0.2 * 0.45359237
    logs = special.log_ndtr(np.log(80.0 / kept(tree, "flow_pure_kg", "both")) / 0.35)
    logs += special.log_ndtr(np.log(kept(tree, "seized_pure_kg") / low) / 0.5)
    np.testing.assert_allclose(np.asarray(tree["draws"]["log_weight"]).reshape(-1), logs, rtol=1e-8, atol=1e-8)


INLAND = {
    "detection_rate": 0.6,
    "powder_purity": PURITY,
    "load_shape": 1.0,
    "inland_seized_ratio": {"kind": "uniform", "low": 0.2, "high": 1.0},
}


def test_draws_that_contradict_themselves_count_for_nothing() -> None:
    tree = sim.run(asked(condition("1e9 kg", quantity="delivered_pure_kg"), parameters=INLAND, run={"keep_draws": DRAWS}), threads=2)
    cut = np.zeros(DRAWS, np.bool_)
    for corridor in ("north", "south"):
        seized, missed = kept(tree, "seized_pure_kg", corridor), kept(tree, "missed_pure_kg", corridor)
        ratio = np.asarray(tree["draws"]["parameter_value"].sel(parameter="inland_seized_ratio")).reshape(-1)
        cut |= ratio * seized > missed
    assert 0.2 < cut.mean() < 0.95
    np.testing.assert_array_equal(weights_of(tree), np.where(cut, 0.0, 1.0))
    assert float(tree["conditioned"]["contradicted_share"]) == cut.mean()
    least = kept(tree, "delivered_pure_kg", "both")[~cut].min()
    assert float(tree["conditioned/quantiles"]["delivered_pure_kg"].min()) >= 0.99 * min(least, kept(tree, "delivered_pure_kg")[~cut].min())


def test_a_corridor_outside_the_condition_contradicts_nothing() -> None:
    tree = sim.run(asked(condition("1e9 kg", "south", "delivered_pure_kg"), parameters=INLAND, run={"keep_draws": 1024}), threads=2)
    assert float(tree["conditioned"]["contradicted_share"]) == float(
        tree["diagnostics"]["inland_cut_share"].sel(corridor="south", period=PERIOD, form="powder")
    )


# --- the same bits ----------------------------------------------------------------------------------------------------------------


class Packing:
    """Tasks in reverse, each part through bytes, the work through pickle: what Dask and partials do."""

    def run(self, work: Any, tasks: Any, receive: Any, report: Any) -> None:
        work = pickle.loads(pickle.dumps(work))
        for task in reversed(tasks):
            receive(work.unpack(work.pack(work.compute([task], lambda: True, lambda points: None))))


@pytest.mark.parametrize("sampler", ["sobol", "philox"])
def test_threads_order_and_packing_change_no_bit(sampler: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner, "_BLOCKS_A_TASK", 1)
    one = asked(condition(), run={"sampler": sampler, "draws": 150_000 if sampler == "philox" else DRAWS})
    digests = {results.run(one, threads=threads).attrs["numbers_digest"] for threads in (1, 2)}
    digests.add(results.run(one, executor=Packing()).attrs["numbers_digest"])
    monkeypatch.setattr(conditions, "_STORED", 1)  # a lane at a time
    digests.add(results.run(one, threads=2).attrs["numbers_digest"])
    assert len(digests) == 1


def test_an_interrupted_run_goes_on_to_the_same_bits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sim.partials.SHARE", float("inf"))
    one = asked(condition())
    alone = results.run(one, threads=2)

    def stop(done: int, total: int) -> None:
        if done > total / 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        results.run(one, threads=1, partials=tmp_path, progress=stop)
    engine = simulation.BorderEngine(compile_model(one))
    n_parts = sum(1 for _ in tmp_path.glob("*.part"))
    again = results.run(one, threads=2, partials=tmp_path)
    assert n_parts > 0
    assert again.attrs["numbers_digest"] == alone.attrs["numbers_digest"]
    assert engine.n_summaries * 2 < conditions.Conditioned(engine, compile_model(one), DRAWS).n_summaries


def test_a_tolerance_goes_on_with_the_same_weights() -> None:
    tree = sim.run(asked(condition(), run={"draws": 16_384, "tolerance": 0.002}), threads=2)
    assert tree.attrs["draws"] > 40_000
    assert 0.3 < float(tree["conditioned"]["ess"]) / tree.attrs["draws"] < 0.6


def test_bits_of_a_weight_leave_room_for_the_sum() -> None:
    for draws in (1, 2**20, 2**22, 10**9, 10**13):
        bits = conditions.bits_of(draws)
        assert draws * 2**bits < 2**62
        assert bits == 40 or draws * 2 ** (bits + 1) >= 2**61


def test_a_finished_case_is_kept_with_its_conditions(whole: Any) -> None:
    run = simulation.simulate(compile_model(asked(condition(), run={"draws": 4096})), threads=1)
    again = finished._unpack(finished._pack({3: run}, "this"), "this")[3]
    np.testing.assert_equal(dict(again.conditioned), dict(run.conditioned))


def test_the_file_opens_with_the_same_numbers(whole: Any, tmp_path: Path) -> None:
    tree = sim.open_result(sim.save_result(whole, tmp_path))
    assert numbers_digest(tree) == whole.attrs["numbers_digest"]
    after = tree["conditioned/quantiles"]["flow_pure_kg"].sel(corridor="both", period=PERIOD, form="all", quantile=0.5)
    assert float(after) == float(
        whole["conditioned/quantiles"]["flow_pure_kg"].sel(corridor="both", period=PERIOD, form="all", quantile=0.5)
    )
    interval = sim.credible_interval(tree["conditioned/quantiles"], prob=0.9)
    assert interval["flow_pure_kg"].sizes["ci_bound"] == 2
    for node in tree["conditioned"].subtree:
        for variable in node.data_vars.values():
            assert variable.attrs["units"]
            assert variable.attrs["long_name"]


# --- refusals ---------------------------------------------------------------------------------------------------------------------


def test_a_collapse_is_refused_with_the_reason() -> None:
    """The prior median is ten times the bound: k alone would not tell."""
    plain = sim.run(asked(), threads=2)
    median = float(plain["quantiles"]["flow_pure_kg"].sel(corridor="both", period=PERIOD, form="all", quantile=0.5))
    tree = sim.run(asked(condition(median / 10.0)), threads=2)
    assert "conditioned" not in tree.children
    assert tree.attrs["condition_refused"]
    law = {"kind": "lognormal", "median": 0.1, "sd_log": 1.0, "upper": 1.0}
    wide = {"detection_rate": law, "powder_purity": PURITY, "load_shape": 1.0}
    tree = sim.run(asked(condition(median / 10.0), parameters=wide), threads=2)
    after = tree["conditioned"]
    ess, p = float(after["ess"]), np.asarray(after["quantiles"]["quantile"])
    assert float(after["pareto_k"]) < 0.0
    assert ess / DRAWS < 0.05
    printed = ~np.isnan(np.asarray(after["quantiles"]["flow_pure_kg"].sel(corridor="both", period=PERIOD, form="all")))
    np.testing.assert_array_equal(printed, ess * np.minimum(p, 1.0 - p) >= 40.0)
    assert printed.any()
    assert not printed.all()
    np.testing.assert_array_equal(printed, ~np.isnan(np.asarray(after["parameters"]["value"].sel(parameter="powder_purity"))))
    tree = sim.run(asked(condition(None, soft_lower="1000 kg")), threads=2)
    assert "Pareto k of the weights is 1." in tree.attrs["condition_refused"]
    assert "conditioned" not in tree.children


@pytest.mark.parametrize(
    ("draws", "ess", "shape", "mean", "said"),
    [
        (10**6, 1e5, 0.69, 0.1, ""),
        (10**6, 1e5, 0.71, 0.1, "Pareto k of the weights is 0.71, above 0.70"),
        (1000, 900.0, 0.68, 0.1, "above 0.67"),
        (1000, 900.0, -np.inf, 0.1, ""),
        (10**6, 799.0, -0.35, 1e-4, "1,000,000 draws are worth 799"),
        (10**6, 800.0, -0.35, 1e-4, ""),
        (10**6, 1e5, 0.1, 0.0, "the mean weight is 0: hardly a draw agrees"),
        (10**6, 1e5, 0.1, 1e-10, "the mean weight is 1e-10"),
    ],
)
def test_why_conditions_are_refused(draws: int, ess: float, shape: float, mean: float, said: str) -> None:
    found = conditions.why_refused(draws, ess, shape, mean, conditions.bits_of(draws))
    assert (said in found) if said else found == ""


# --- sweeps -----------------------------------------------------------------------------------------------------------------------


def test_a_sweep_of_the_bound_is_its_cases_and_a_refused_one_is_nan(tmp_path: Path) -> None:
    sweep = [{"dim": "bound", "path": "condition.bound.soft_upper", "values": ["60 kg", "200 lb", "1 g"]}]
    tree = sim.run(asked(condition(), sweep=sweep), threads=2)
    assert tree.attrs["condition_refused"].startswith("bound = 1 g: ")
    assert "\n" not in tree.attrs["condition_refused"]
    for label in ("60 kg", "200 lb"):
        alone = sim.run(asked(condition(label)), threads=2)
        for group in ("quantiles", "mcse", "moments", "parameters", "contrasts", "claims"):
            for name, variable in alone[f"conditioned/{group}"].data_vars.items():
                mine = tree[f"conditioned/{group}"][name]
                np.testing.assert_array_equal(mine.sel(bound=label) if "bound" in mine.dims else mine, variable, err_msg=f"{group} {name}")
        assert float(tree["conditioned"]["ess"].sel(bound=label)) == float(alone["conditioned"]["ess"])
    assert np.isnan(tree["conditioned/quantiles"]["flow_pure_kg"].sel(bound="1 g")).all()
    assert numbers_digest(sim.open_result(sim.save_result(tree, tmp_path))) == tree.attrs["numbers_digest"]
    log_sd = [{"dim": "soft", "path": "condition.bound.log_sd", "values": [0.1, 0.5]}]
    ess = sim.run(asked(condition("30 kg"), sweep=log_sd, run={"draws": 8192}), threads=2)["conditioned"]["ess"]
    assert float(ess[0]) < float(ess[1])


# --- files and print --------------------------------------------------------------------------------------------------------------


def written(folder: Path, change: tuple[str, str] = ("", "")) -> Path:
    assert change[0] in CONDITION
    text = SCENARIO.replace("[groups]\n", CONDITION.replace(*change) + "[groups]\n", 1)
    return WrongFiles(name="valid", files=VALID | {"scenario.toml": text}, fragments=()).write(folder)


def test_the_resolved_scenario_gives_the_same_run(tmp_path: Path) -> None:
    one = sim.load_scenario(written(tmp_path))
    assert one.warnings == ()
    assert one.conditions[0].soft_upper == 10_000.0
    (tmp_path / "again.toml").write_text(to_toml(one), encoding="utf-8")
    again = sim.load_scenario(tmp_path / "again.toml")
    assert again.document == one.document
    assert results.run_id(again) == results.run_id(one)
    assert results.run_id(sim.load_scenario(written(tmp_path, ("10 t", "11 t")))) != results.run_id(one)
    with open(written(tmp_path), "rb") as file:
        jsonschema.validate(tomllib.load(file), json_schema())


def test_a_narrow_bound_and_attribution_warn() -> None:
    narrow = asked(condition(corridor="north"), run={"draws": 1024}).warnings
    assert any("it bounds north, and both is wider" in text for text in narrow)
    blocks = {"detection_rate": DETECTION, "powder_purity": PURITY, "load_shape": 1.0, "attribution_share": 0.5}
    attributed = asked(condition(), parameters=blocks, run={"draws": 1024}).warnings
    assert any("attribution_share takes mass out of both" in text for text in attributed)
    assert not any("condition" in text for text in asked(condition(), run={"draws": 1024}).warnings)


def test_what_is_0_in_every_draw_says_nothing_and_warns() -> None:
    inland = CONTRAST["numerator"] | {"quantity": "inland_pure_kg"}
    nothing = {"id": "nothing", "numerator": CONTRAST["numerator"], "denominator": inland}
    warned = asked(condition(quantity="inland_pure_kg"), contrast=[CONTRAST, nothing], run={"draws": 1024}).warnings
    assert 'contrast "nothing": inland_pure_kg of north in FY2024 is 0 in every draw, so the ratio says nothing' in warned
    assert 'condition "bound": inland_pure_kg of both in FY2024 is 0 in every draw, so every draw has the same weight' in warned
    assert sum("in every draw" in text for text in warned) == 2


def test_show_prints_before_and_after_side_by_side(whole: Any) -> None:
    text = printed.summary(whole, 0.9, terminal=False)
    assert "Given bound: flow_pure_kg of both in FY2024 is hardly above 60 kg." in text
    assert "draws are worth" in text
    line = next(line for line in text.split("Given bound")[1].splitlines() if "both (group)" in line)
    middle = [
        float(whole[group]["flow_pure_kg"].sel(corridor="both", period=PERIOD, form="all", quantile=0.5))
        for group in ("quantiles", "conditioned/quantiles")
    ]
    shown = line.split()
    assert float(shown[3]) == pytest.approx(middle[0], rel=0.02)
    assert float(shown[7]) == pytest.approx(middle[1], rel=0.02)
    assert next(line for line in text.splitlines() if line.strip().startswith("detection_rate"))


def test_show_prints_contrasts_claims_and_a_quantity_before_and_after(whole: Any) -> None:
    text = printed.summary(whole, 0.9, terminal=False).split("Given bound")[1]
    for name, ids, value in (("contrasts", "contrast", "ratio"), ("claims", "claim", "probability")):
        for label in whole[name][ids].to_series():
            line = next(line for line in text.splitlines() if line.split()[:1] == [label])
            for group in (name, f"conditioned/{name}"):
                found = whole[group][value].sel({ids: label})
                number = 100.0 * float(found) if name == "claims" else float(found.sel(quantile=0.5))
                assert any(float(word) == pytest.approx(number, rel=0.05) for word in re.findall(r"[0-9.]+", line)), (line, number)
    before, after = printed.table_of_forms(whole, "flow_pure_kg", 0.9, terminal=False).split("Given bound")
    assert "Before any condition:" in before
    rows = [[line for line in half.splitlines() if "both (group)" in line] for half in (before, after)]
    assert len(rows[0]) == len(rows[1]) == 1
    assert rows[0] != rows[1]


def test_show_says_what_a_sweep_says_of_a_condition() -> None:
    sweeps = [
        {"dim": "most_kg", "path": "condition.bound.soft_upper", "values": [60.0, 80.0]},
        {"dim": "where", "path": "condition.bound.result.corridor", "values": ["both", "south"]},
    ]
    text = printed.summary(sim.run(asked(condition(), sweep=sweeps, run={"draws": 2048}), threads=2), 0.9, terminal=False)
    assert "Given bound: flow_pure_kg of (as the sweep where says) in FY2024 is hardly above what the sweep most_kg says." in text
    assert "60 kg." not in text


def test_show_says_that_contradictions_are_left_out_and_what_a_bound_teaches(monkeypatch) -> None:
    tree = sim.run(sim.load_scenario("scenarios/consumption-2021.toml", overrides={"run.draws": 65_536}), threads=2)
    text = printed.summary(tree, 0.9, terminal=False)
    assert float(tree["conditioned"]["contradicted_share"]) > 0.0
    assert "contradict themselves and are left out." in text
    assert "is due to that" not in text
    first = text[text.index("what it teaches about") :].splitlines()[2]
    assert first.split()[0] == "detection_rate@southwest-ports"  # its lower end, which the bound on all routes moves most
    assert f"The first {printed.MOST_TAUGHT} of " in text
    monkeypatch.setattr(printed, "MOST_LEFT_OUT", 0.001)
    assert "Part of what follows is due to that, and not to the bound." in printed.summary(tree, 0.9, terminal=False)


def test_show_says_why_conditions_were_refused() -> None:
    text = printed.summary(sim.run(asked(condition("1 g"), run={"draws": 4096}), threads=2), 0.9, terminal=False)
    assert "Conditions refused: the mean weight is" in text
    assert "Given bound" not in text
    nothing = printed.summary(sim.run(asked(condition("1e9 kg"), run={"draws": 4096}), threads=2), 0.9, terminal=False)
    assert "They teach next to nothing about the inputs" in nothing
