"""Sweeps: a case is the scenario that `--set` makes, all cases draw the same numbers, and the result is labelled."""

from __future__ import annotations

import dataclasses
import itertools
import math
import tomllib
from pathlib import Path
from typing import Any

import build
import jsonschema
import numpy as np
import pytest
import tomli_w
import xarray as xr
from cli.wrong_files import SCENARIO, VALID, WrongFiles
from hypothesis import given
from hypothesis import strategies as st

import sim
from sim import finished, partials, results
from sim import scenario as edge
from sim.errors import Problem, ScenarioError, SimError
from sim.model import compile_model, shared_uniforms, uniforms
from sim.records import LAYOUT_NAMES, Scenario, Sweep
from sim.sweeps import Swept, name_cases, said_once

WEST = "parameter.detection_rate[west].distribution"
NUMBERS = ("quantiles", "mcse", "moments", "parameters", "evidence", "diagnostics")


def sweep(dim: str, path: str, values: list[Any], labels: list[str] | None = None) -> dict[str, Any]:
    return {"dim": dim, "path": path, "values": values, **({} if labels is None else {"labels": labels})}


def write(folder: Path, *sweeps: dict[str, Any], change: tuple[str, str] = ("", ""), extra: str = "") -> Path:
    """Write the valid scenario of the wrong files, `change` made in its text, with some sweeps, and return its path."""
    assert change[0] in SCENARIO
    text = SCENARIO.replace(*change, 1) + extra + tomli_w.dumps({"sweep": list(sweeps)} if sweeps else {})
    return WrongFiles(name="valid", files=VALID | {"scenario.toml": text}, fragments=()).write(folder)


def load(folder: Path, *sweeps: dict[str, Any], **keys: Any) -> Scenario:
    overrides = keys.pop("overrides", None)
    return edge.load_scenario(write(folder, *sweeps, **keys), overrides=overrides)


def reloaded(scenario: Scenario, folder: Path) -> Scenario:
    path = folder / "resolved.toml"
    path.write_text(edge.to_toml(scenario), encoding="utf-8")
    return edge.load_scenario(path)


def differing(alone: xr.DataTree, whole: xr.DataTree, at: dict[str, Any]) -> list[str]:
    """Return the variables of a run alone that differ in any bit from the case `at` of the sweeps."""
    found = []
    for group in NUMBERS:
        for name, variable in alone[group].data_vars.items():
            mine = whole[group][name].sel(at)
            own = [dimension for dimension in variable.dims if dimension in ("corridor", "period", "parameter", "uniform", "quantity")]
            mine = mine.sel({dimension: variable[dimension].values for dimension in own}).transpose(*variable.dims)
            if not np.array_equal(variable.values, mine.values, equal_nan=variable.dtype.kind == "f"):
                found.append(f"{group}/{name}")
    return found


def each_case(scenario: Scenario) -> Any:
    """Yield (labels, `--set`) of every case."""
    for numbers in itertools.product(*(range(len(one.values)) for one in scenario.sweeps)):
        pairs = list(zip(scenario.sweeps, numbers, strict=True))
        yield {one.dim: one.labels[i] for one, i in pairs}, {one.path: one.values[i] for one, i in pairs}


# --- a case is what --set makes -------------------------------------------------------------------------------------------------------

SAME_NEEDS = (
    sweep("mean", f"{WEST}.mean", [0.1, 0.2]),
    sweep("rho", "correlation.borders.value", [-0.25, 0, 0.5]),
    sweep("prior", "model.event_prior", [0.5, 1.0]),
)
OTHER_NEEDS = (
    sweep("law", "model.load_law", ["lognormal", "equal"]),
    sweep("years", "evidence.periods", [["FY2023"], ["FY2024", "FY2023"]], ["one", "both"]),
    sweep("powder", "parameter.powder_purity.distribution", [0.1, {"kind": "uniform", "low": 0.1, "high": 0.2}], ["known", "unknown"]),
)


@pytest.mark.parametrize(
    ("sampler", "sweeps"), [("sobol", SAME_NEEDS), ("philox", OTHER_NEEDS)], ids=["the same uniforms", "other uniforms under Philox"]
)
def test_a_case_has_the_bits_of_the_same_scenario_run_alone(sampler: str, sweeps: Any, tmp_path: Path) -> None:
    path = write(tmp_path, *sweeps, change=("draws = 4096", f'draws = 4096\nsampler = "{sampler}"'))
    scenario = edge.load_scenario(path)
    whole = results.run(scenario, threads=1)
    n_cases = 0
    for labels, overrides in each_case(scenario):
        alone = edge.load_scenario(path, overrides=overrides)
        assert alone.cases == ()
        assert differing(results.run(alone, threads=1), whole, labels) == []
        n_cases += 1
    assert n_cases == len(scenario.cases) > 7
    assert differing(results.run(alone, seed=44, threads=1), whole, labels) != []  # the comparison can fail


def test_cases_with_other_needs_draw_the_same_numbers_under_one_map_of_dimensions(tmp_path: Path) -> None:
    scenario = load(tmp_path, *OTHER_NEEDS, change=("seed = 43", "seed = 43\nkeep_draws = 64"))
    needs = [uniforms(case) for case in scenario.cases]
    assert len(set(needs)) == 8  # nothing is shared for want of a difference
    shared = shared_uniforms(needs)
    for case, own in zip(scenario.cases, needs, strict=True):
        names = compile_model(case, shared).slot_names
        assert names == (*shared.inputs, *shared.compound, *shared.plain)
        assert {*own.inputs, *own.compound, *own.plain} <= set(names)
    assert shared_uniforms([needs[0]]) == needs[0]
    tree = results.run(scenario, threads=1)
    dimension = tree["diagnostics"]["sobol_dimension"]
    assert (dimension == dimension.isel(law=0, years=0, powder=0)).all()
    drawn = tree["draws"]["parameter_value"]
    inputs = [name for name in drawn["parameter"].values if not name.startswith(("powder_purity", "load_log_sd"))]
    drawn = drawn.sel(parameter=[name for name in inputs if "FY2024" not in name])
    assert drawn.isel(draw=0).std("chain").min() >= 0.0
    np.testing.assert_array_equal(drawn, drawn.isel(law=0, years=0, powder=0).broadcast_like(drawn).transpose(*drawn.dims))
    apart = compile_model(scenario.cases[-1]).slot_names
    assert apart != compile_model(scenario.cases[0]).slot_names  # what sharing prevents


# --- labels ---------------------------------------------------------------------------------------------------------------------------


UNCERTAIN = {
    "detection_rate": {"kind": "beta", "mean": 0.2, "sd": 0.05},
    "powder_purity": 0.1,
    "pill_mass": 110.0,
    "pill_fentanyl": 2.0,
    "pill_share": {"kind": "beta", "mean": 0.4, "sd": 0.1},
    "load_log_sd": 1.5,
    "purity_cv": 0.3,
}


@pytest.mark.parametrize("sampler", ["sobol", "philox"])
@pytest.mark.parametrize(
    ("path", "values", "quantity"),
    [
        ("parameter.purity_cv.distribution", [0, 0.5, 0.6], "missed_gross_kg"),
        ("parameter.pill_share.distribution", [0, 0.5, 1], "missed_gross_kg"),
        ("model.load_law", ["lognormal", "equal"], "n_missed"),
        ("parameter.attribution_share.distribution", [0.9, 1], "n_missed"),  # rises, as the next
        ("model.event_prior", [0.5, 2.0], "n_missed"),
    ],
)
def test_cases_share_random_numbers_whatever_is_certain_in_some(sampler: str, path: str, values: list[Any], quantity: str) -> None:
    """What a swept value does not enter is the same in every draw, though some cases need fewer uniforms; what it raises rises in all."""
    rows = [build.row(n_events=5, amount=10.0), build.row(n_events=2, amount=3.0, form="unrecorded")]
    swept = [sweep("how", path, values, [str(i) for i in range(len(values))])]
    inputs = UNCERTAIN | ({"attribution_share": 0.9} if "attribution" in path else {})
    tree = sim.run(build.scenario(rows, inputs, sweep=swept, run={"draws": 1024, "keep_draws": 256, "sampler": sampler}), threads=1)
    draws = tree["draws"][quantity].sel(corridor="north", period=build.PERIOD, form="all")
    step = draws.diff("how")
    if len(set(map(str, values))) == 2 and path != "model.load_law":
        assert (step >= 0.0).all()
        assert (step > 0.0).mean() > 0.2
    else:
        assert (abs(step) <= 1e-14 * draws.max()).all()  # parts by form add up to rounding


def test_under_philox_what_is_added_changes_no_other_stream() -> None:
    """method.md, section 6: a draw is a pure function of seed, stable name and index, whatever else is uncertain."""
    rows = [build.row(n_events=5, amount=10.0), build.row(n_events=2, amount=3.0, form="unrecorded")]
    certain = {name: law for name, law in UNCERTAIN.items() if name != "purity_cv"}
    run = {"draws": 1024, "keep_draws": 256, "sampler": "philox"}
    before = sim.run(build.scenario(rows, certain, run=run), threads=1)
    for added in ({"purity_cv": 0.3}, {"dose": 2.0}, {"missed_size_ratio": {"kind": "lognormal", "median": 1.0, "sd_log": 0.2}}):
        after = sim.run(build.scenario(rows, certain | added, run=run), threads=1)
        np.testing.assert_array_equal(build.kept(after, "n_missed"), build.kept(before, "n_missed"))


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory) -> tuple[Scenario, xr.DataTree]:
    sweeps = (
        sweep("rho", "correlation.borders.value", [0, 0.5]),
        sweep("where", "evidence.corridors", [["west"], ["west", "east"], ["east"]], ["west", "both", "east"]),
        sweep("years", "evidence.periods", [["FY2024"], ["FY2023", "FY2024"]], ["one", "two"]),
    )
    scenario = load(tmp_path_factory.mktemp("swept"), *sweeps, change=("seed = 43", "seed = 43\nkeep_draws = 16"))
    return scenario, results.run(edge.with_run(scenario, draws=256), threads=1)


def test_sweeps_stand_in_front_of_every_variable(swept: tuple[Scenario, xr.DataTree]) -> None:
    scenario, tree = swept
    assert len(scenario.cases) == 12
    for node in tree.subtree:
        for name, variable in node.data_vars.items():
            assert variable.dims[:3] == ("rho", "where", "years"), (node.path, name)
            assert variable.attrs["long_name"], name
            assert variable.dtype.kind == "U" or variable.attrs["units"], name
    rho = tree["quantiles"]["rho"]
    assert (rho.values.tolist(), rho.dtype.kind, rho.attrs["units"]) == ([0.0, 0.5], "f", "1")
    assert "correlation.borders.value" in rho.attrs["long_name"]
    assert tree["quantiles"]["where"].values.tolist() == ["west", "both", "east"]
    assert tree.attrs["cases"] == 12
    assert (tree["diagnostics"]["draws_used"] == 256).all()


def test_what_a_case_lacks_is_nan_under_the_union_of_labels(swept: tuple[Scenario, xr.DataTree]) -> None:
    scenario, tree = swept
    flow = tree["quantiles"]["flow_pure_kg"].sel(form="all", quantile=0.5)
    assert flow["corridor"].values.tolist() == ["west", "east", "all-borders"]
    assert tree["quantiles"]["is_group"].values.tolist() == [False, False, True]
    assert flow["period"].values.tolist() == ["FY2024", "FY2023"]
    assert flow.sel(where="west", corridor="east").isnull().all()
    assert flow.sel(where="east", corridor="west").isnull().all()
    assert flow.sel(years="one", period="FY2023").isnull().all()
    assert flow.sel(where="both", years="two").notnull().all()
    np.testing.assert_array_equal(flow.sel(where="west", corridor="all-borders"), flow.sel(where="west", corridor="west"))
    evidence = tree["evidence"]
    assert evidence["corridor"].values.tolist() == ["west", "east"]
    assert evidence["n_events"].sel(
        where="both", years="two", corridor="east", period="FY2023", evidence_form="unrecorded"
    ).values.tolist() == [12, 12]
    assert evidence["n_events"].sel(where="west", corridor="east").isnull().all()
    assert not evidence["events_known"].sel(where="west", corridor="east").any()
    value = tree["parameters"]["value"].sel(quantile=0.5)
    assert value.sel(where="west", parameter="detection_rate[east]@FY2024").isnull().all()
    assert value.sel(years="one", parameter="detection_rate[east]@FY2023").isnull().all()
    assert value.sel(where="east", years="one", parameter="detection_rate[east]@FY2024").notnull().all()
    assert tree["draws"]["flow_pure_kg"].sel(where="east", corridor="west").isnull().all()
    assert tree.attrs["warnings"] if scenario.warnings else "warnings" not in tree.attrs


def test_no_name_of_the_layout_is_free(swept: tuple[Scenario, xr.DataTree]) -> None:
    scenario, tree = swept
    own = {one.dim for one in scenario.sweeps}
    for node in tree.subtree:
        assert {str(name) for name in node.variables} - own <= LAYOUT_NAMES
        assert {str(name) for name in node.dims} - own <= LAYOUT_NAMES
    assert set(tree.children) <= LAYOUT_NAMES


def test_the_root_says_of_the_run_what_the_first_case_was(tmp_path: Path) -> None:
    scenario = load(tmp_path, sweep("n", "run.draws", [4096, 100]), sweep("dice", "run.seed", [7, 2**64 - 1]))
    told: list[tuple[int, int]] = []
    tree = results.run(scenario, threads=1, progress=lambda done, total: told.append((done, total)))
    assert (tree.attrs["draws"], int(tree.attrs["seed"])) == (4096, 7)
    assert tree["diagnostics"]["draws_used"].values.tolist() == [[4096, 4096], [100, 100]]
    assert tree["quantiles"]["dice"].values.tolist() == [7, 2**64 - 1]
    assert {total for _, total in told} == {results.planned_draws(scenario)} == {2 * 4096 + 2 * 100}
    assert [done for done, _ in told] == sorted(done for done, _ in told)
    assert told[-1][0] == told[-1][1]


def test_a_case_that_fails_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scenario = load(tmp_path, sweep("mean", f"{WEST}.mean", [0.1, 0.2]), sweep("law", "model.load_law", ["lognormal", "equal"]))
    real = results.simulate

    def fail(model: Any, **options: Any) -> Any:
        if model.scenario.document["case"] == {"mean": 0.2, "law": "lognormal"}:
            raise SimError([Problem(came="flow_pure_kg is not a number")])
        return real(model, **options)

    monkeypatch.setattr(results, "simulate", fail)
    with pytest.raises(SimError, match=r"^mean = 0\.2, law = lognormal: flow_pure_kg is not a number\.$"):
        results.run(edge.with_run(scenario, draws=16), threads=1)


# --- going on -------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", ["none", "a bit", "half a file", "another run"])
def test_an_interrupted_sweep_goes_on_to_the_same_bits(fault: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Interrupted in its sixth case of eight; what was finished is taken up unless it is damaged or of another run."""
    monkeypatch.setattr(finished, "EVERY_SECONDS", 0.0)
    scenario = edge.with_run(load(tmp_path, *OTHER_NEEDS, overrides={"run.keep_draws": 8}), draws=64)
    expected = results.run(scenario, threads=1).attrs["numbers_digest"]
    real, ran = results.simulate, list[Any]()

    def simulate(model: Any, **options: Any) -> Any:
        ran.append(model.scenario.document["case"])
        if len(ran) == 6:
            raise KeyboardInterrupt
        return real(model, **options)

    monkeypatch.setattr(results, "simulate", simulate)
    folder = tmp_path / "partials"
    with pytest.raises(KeyboardInterrupt):
        results.run(scenario, threads=1, partials=folder)
    files = sorted(folder.glob("*.cases"))
    assert len(files) == 5
    kept = files[2].read_bytes()
    if fault == "a bit":
        files[2].write_bytes(kept[:-9] + bytes([kept[-9] ^ 1]) + kept[-8:])
    elif fault == "half a file":
        files[2].write_bytes(kept[: len(kept) // 2])
    elif fault == "another run":
        files[2].write_bytes(finished._pack({2: finished._unpack(kept, belongs(scenario))[2]}, "another"))
    tree = results.run(scenario, threads=1, partials=folder)
    assert tree.attrs["numbers_digest"] == expected
    assert len(ran) == 6 + 3 + (fault != "none")
    assert results.run(scenario, threads=1, partials=folder).attrs["numbers_digest"] == expected
    assert len(ran) == 9 + (fault != "none")  # now all were there


def belongs(scenario: Scenario) -> str:
    return finished.Finished(Path(), results.run_id(scenario), Path)._belongs


def test_what_is_finished_is_not_kept_a_second_time_as_partials(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(partials, "SHARE", 1e9)
    scenario = edge.with_run(load(tmp_path, SAME_NEEDS[0]), draws=64)
    store = tmp_path / "partials"
    seen: list[list[str]] = []
    monkeypatch.setattr(finished, "EVERY_SECONDS", 1e9)
    results.run(scenario, threads=1, partials=store, progress=lambda done, total: seen.append(sorted(p.name for p in store.glob("*"))))
    assert (store / "case-000000").is_dir()  # interrupted now, the first case would be taken from its own partials
    monkeypatch.setattr(finished, "EVERY_SECONDS", 0.0)
    results.run(scenario, threads=1, partials=store)
    assert sorted(path.name for path in store.iterdir() if path.suffix == ".cases") == ["000000-000000.cases", "000001-000001.cases"]
    assert not list(store.glob("case-*"))


# --- the resolved scenario and its identity -------------------------------------------------------------------------------------------

MANY = (
    sweep("mean", f"{WEST}.mean", [0.1, 0.2]),
    sweep("east", "parameter.detection_rate[east].distribution", [0.1, {"kind": "beta", "mean": 0.1, "sd": 0.01}], ["known", "unknown"]),
    sweep("years", "evidence.periods", [["FY2024"], ["FY2023"]], ["late", "early"]),
    sweep("top", "model.load_truncation", [3, math.inf]),
    sweep("when", "parameter.pill_share.period", ["FY2023", ["FY2023", "FY2024"]], ["one", "two"]),
)


def test_the_resolved_scenario_gives_the_same_cases_and_the_same_run_id(tmp_path: Path) -> None:
    sweeps = [*MANY[:4]]
    scenario = load(tmp_path, *sweeps)
    again = reloaded(scenario, tmp_path)
    assert again.document == scenario.document
    assert results.run_id(again) == results.run_id(scenario)
    assert again.sweeps == scenario.sweeps
    for mine, theirs in zip(scenario.cases, again.cases, strict=True):
        blank: dict[str, Any] = {"document": {}, "rows": ()}
        assert dataclasses.replace(mine, **blank) == dataclasses.replace(theirs, **blank)
        assert [dataclasses.replace(row, where="") for row in mine.rows] == [dataclasses.replace(row, where="") for row in theirs.rows]
    west = next(block for block in scenario.document["parameter"] if block["id"] == "detection_rate[west]")
    assert west["distribution"] == {"kind": "beta", "mean": 0.1, "sd": 0.05}
    assert {row["period"] for row in scenario.document["evidence"]["row"]} == {"FY2023", "FY2024"}
    jsonschema.Draft202012Validator(edge.json_schema()).validate(scenario.document)


def test_a_run_id_covers_the_sweeps(tmp_path: Path) -> None:
    one = sweep("rho", "correlation.borders.value", [0.0, 0.5])
    other = sweep("prior", "model.event_prior", [0.5, 1.0])
    variants = [
        (),
        (one,),
        (one | {"dim": "r"},),
        (one | {"values": [0.0, 0.25]},),
        (one | {"values": [0.5, 0.0]},),
        (one | {"labels": ["no", "yes"]},),
        (one, other),
        (other, one),
    ]
    assert len({results.run_id(load(tmp_path, *variant)) for variant in variants}) == len(variants)


def test_with_run_reaches_every_case_and_leaves_a_swept_entry_alone(tmp_path: Path) -> None:
    scenario = load(tmp_path, sweep("dice", "run.seed", [1, 2]))
    other = edge.with_run(scenario, draws=10)
    assert [(case.draws, case.seed) for case in other.cases] == [(10, 1), (10, 2)]
    assert results.run_id(other) != results.run_id(scenario)
    with pytest.raises(ScenarioError, match=r"run\.seed: seed is swept by dice"):
        edge.with_run(scenario, seed=3)


# --- unused is judged over all cases --------------------------------------------------------------------------------------------------

GAMMA = '\n[[parameter]]\nname = "load_shape"\n{}distribution = 0.8\nbasis = "elicited"\nsource = "cbp"\n\n'


def test_what_one_case_needs_is_used(tmp_path: Path) -> None:
    laws = sweep("law", "model.load_law", ["lognormal", "gamma"])
    scenario = load(tmp_path, laws, extra=GAMMA.format(""))
    assert [len(case.parameters) for case in scenario.cases] == [8, 8]  # the parameters of another load law are not judged
    only = GAMMA.format('form = "pill"\n') + GAMMA.format("")
    with pytest.raises(ScenarioError) as refused:
        load(tmp_path, laws, extra=only)
    assert [problem.came for problem in refused.value.problems] == [
        'parameter "load_shape[pill]" is not used: no stratum of the evidence takes load_shape from it'
    ]


def test_labels_and_references_that_no_case_needs_are_errors(tmp_path: Path) -> None:
    years = sweep("years", "evidence.periods", [["FY2023"], ["FY2024"]], ["early", "late"])
    half = sweep("years", "evidence.periods", [["FY2024"]], ["late"])
    narrow = ('name = "pill_share"\n', 'name = "pill_share"\nperiod = ["FY2023", "FY2024"]\n')
    scenario = load(tmp_path, years, change=narrow)
    assert [next(b.period for b in case.parameters if b.name == "pill_share") for case in scenario.cases] == [("FY2023",), ("FY2024",)]
    with pytest.raises(
        ScenarioError, match=r'scenario.toml:\d+: parameter\[6\]\.period\[1\]: pill_share\[FY2023,FY2024\]: period "FY2023" is not'
    ):
        load(tmp_path, half, change=narrow)
    draws = ["detection_rate[east]@FY2023", "detection_rate[west]@FY2023"]
    link = f'\n[[correlation]]\nid = "one year"\nbetween = {draws}\nmatrix = [[1, 0.3], [0.3, 1]]\n\n'.replace("'", '"')
    apart = ('id = "borders"\nbetween = ["detection_rate[east]", "detection_rate[west]"]\nvalue = 0.3\n', "")
    broken = SCENARIO.replace("[[correlation]]\n" + apart[0], "")
    assert len(broken) < len(SCENARIO)
    for sweeps, n_links in (((years,), [1, 0]), ((half,), None)):
        path = write(tmp_path, *sweeps)
        path.write_text(broken + link + tomli_w.dumps({"sweep": list(sweeps)}), encoding="utf-8")
        if n_links is None:
            with pytest.raises(ScenarioError, match=r"detection_rate\[east\]@FY2023 is not used"):
                edge.load_scenario(path)
        else:
            assert [len(case.correlations) for case in edge.load_scenario(path).cases] == n_links


def test_after_set_what_no_case_needs_is_a_warning_and_is_left_out(tmp_path: Path) -> None:
    scenario = load(tmp_path, sweep("prior", "model.event_prior", [0.5, 1]), overrides={"evidence.corridors": ["west"]})
    assert any('corridor "east" is not in use' in warning for warning in scenario.warnings)
    assert "detection_rate[east]" not in {block["id"] for block in scenario.document["parameter"]}
    assert scenario.document["groups"] == {"all-borders": ["west"]}
    again = reloaded(scenario, tmp_path)
    assert again.document == scenario.document
    assert not any("use" in warning for warning in again.warnings)


# --- --set and sweeps -----------------------------------------------------------------------------------------------------------------


def test_set_fixes_a_swept_path(tmp_path: Path) -> None:
    scenario = load(tmp_path, *SAME_NEEDS, overrides={"correlation.borders.value": 0.1})
    assert [one.dim for one in scenario.sweeps] == ["mean", "prior"]
    assert {link.value for case in scenario.cases for link in case.correlations} == {0.1}
    assert any("--set fixes correlation.borders.value, so it is not swept" in warning for warning in scenario.warnings)
    assert [one["dim"] for one in scenario.document["sweep"]] == ["mean", "prior"]


def test_set_below_what_a_sweep_replaces_is_an_error(tmp_path: Path) -> None:
    whole = sweep("law", WEST, [0.1, 0.2])
    with pytest.raises(ScenarioError, match=r"--set parameter.detection_rate\[west\].distribution.mean: sweep\[1\] replaces this"):
        load(tmp_path, whole, overrides={f"{WEST}.mean": 0.2})


# --- what is wrong in some cases ------------------------------------------------------------------------------------------------------


def wrong_in(tmp_path: Path, *sweeps: dict[str, Any], **keys: Any) -> list[str]:
    with pytest.raises(ScenarioError) as refused:
        load(tmp_path, *sweeps, **keys)
    return [str(problem).removeprefix(f"{tmp_path}/") for problem in refused.value.problems]


def test_all_problems_of_all_cases_come_at_once_each_with_its_cases(tmp_path: Path) -> None:
    found = wrong_in(
        tmp_path,
        sweep("rho", "correlation.borders.value", [0.0, 1.5, 0.3]),
        sweep("sd", f"{WEST}.sd", [0.05, 0.5]),
        sweep("alike", "parameter.detection_rate[east].correlation", [0.8, -1.0]),
    )
    assert len(found) == 3
    assert "sweep[1].values[2]: rho = 1.5: value = 1.5; it must be <= 1." in found[1]
    assert "sd = 0.5: " in found[2]
    assert "sweep[2].values[2]: sd = 0.5: " in found[2]
    assert "is impossible for a beta with mean 0.12" in found[2]
    assert "alike = -1" in found[0]
    assert "correlation[1]" in found[0]


def test_a_problem_of_every_case_is_told_once_and_names_none(tmp_path: Path) -> None:
    (found,) = wrong_in(tmp_path, SAME_NEEDS[0], SAME_NEEDS[1], change=('name = "pill_mass"', 'name = "pill_mas"'))
    assert found.startswith('scenario.toml:53: parameter[5].name: "pill_mas" is not a parameter; ')


def test_a_value_that_only_truncation_may_have(tmp_path: Path) -> None:
    assert load(tmp_path, sweep("top", "model.load_truncation", [3, math.inf])).cases[1].load_truncation == math.inf
    (found,) = wrong_in(tmp_path, sweep("prior", "model.event_prior", [0.5, math.inf]))
    assert "sweep[1].values[2]: inf; a number must be finite; only model.load_truncation may be inf" in found


def test_more_cases_than_memory_or_patience_holds(tmp_path: Path) -> None:
    many = [float(x) for x in np.linspace(0.0, 0.5, 400)]
    (found,) = wrong_in(tmp_path, sweep("a", f"{WEST}.mean", many), sweep("b", "model.event_prior", many))
    assert "the sweeps make 160,000 cases; a scenario has at most 100,000" in found
    kept = ("seed = 43", "seed = 43\nkeep_draws = 4096")
    (found,) = wrong_in(tmp_path, sweep("a", f"{WEST}.mean", [0.1 + x / 4 for x in many]), change=kept)
    assert "400 cases with 4,096 kept draws each; 2 GiB hold 278 cases of this scenario" in found


def three(*n_values: int) -> list[Sweep]:
    return [Sweep(dim=f"d{i}", path="", values=tuple(range(n)), labels=tuple(range(n))) for i, n in enumerate(n_values)]


@pytest.mark.parametrize(
    ("cases", "name"),
    [
        (list(itertools.product(range(2), range(5))), ""),
        ([(0, k) for k in range(5)], "d0 = 0"),
        ([(k, 3) for k in range(2)], "d1 = 3"),
        ([(1, 4)], "d0 = 1, d1 = 4"),
        ([(1, 2), (1, 4)], "d0 = 1, d1 = 2 or 4"),
        ([(1, k) for k in range(4)], "d0 = 1, d1 = 0 or 1 or 2 more"),
        ([(0, 1), (1, 2)], "d0 = 0, d1 = 1 and 1 more"),
    ],
)
def test_cases_are_named_by_as_few_labels_as_do(cases: list[tuple[int, ...]], name: str) -> None:
    assert name_cases(three(2, 5), cases) == name


@given(st.sets(st.tuples(st.integers(0, 1), st.integers(0, 2)), min_size=1))
def test_every_problem_is_said_once_whatever_cases_have_it(cases: set[tuple[int, int]]) -> None:
    swept = [Swept(sweep=one, keys=("model", one.dim), number=i) for i, one in enumerate(three(2, 3), start=1)]
    here, there = Problem(path=("model", "d1"), came="no"), Problem(path=("run",), came="no")
    found = {numbers: [here, there, here] if numbers in cases else [] for numbers in itertools.product(range(2), range(3))}
    said = said_once(found, swept)
    assert len(said) == 2
    assert said[0].path == ("sweep", 2, "values", min(cases)[1] + 1)
    assert said[1].path == ("run",)
    assert (said[0].came == "no") == (len(cases) == 6)


# --- values and labels ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "values", "labels"),
    [
        ("run.seed", [3, 1, 2], (3, 1, 2)),
        ("model.event_prior", [0, 0.5], (0.0, 0.5)),
        ("model.load_law", ["equal", "lognormal"], ("equal", "lognormal")),
        ("parameter.pill_mass.distribution", ["105 mg", 110], ("105 mg", "110")),
    ],
)
def test_scalars_label_themselves(tmp_path: Path, path: str, values: list[Any], labels: tuple[Any, ...]) -> None:
    (one,) = load(tmp_path, sweep("x", path, values)).sweeps
    assert (one.labels, list(map(type, one.labels))) == (labels, list(map(type, labels)))
    assert one.values == tuple(values)


def test_the_schema_knows_sweeps(tmp_path: Path) -> None:
    schema = jsonschema.Draft202012Validator(edge.json_schema())
    good = tomllib.loads(write(tmp_path, *OTHER_NEEDS).read_text(encoding="utf-8"))
    schema.validate(good)
    for wrong in ({"dim": "not a name"}, {"values": []}, {"path": 3}, {"labels": ["a", "a"]}, {"extra": 1}):
        assert not schema.is_valid(good | {"sweep": [good["sweep"][0] | wrong]})
