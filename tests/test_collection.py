"""Many results as one: labels, laziness, what is refused."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path
from typing import Any

import build
import numpy as np
import pytest
import xarray as xr
from test_results import make_scenario, make_tree
from test_sweeps import load, sweep

import sim
from sim import collection, labelled, results, runner, tree
from sim.errors import ResultError


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """A swept result of two corridors in two periods, run for real, and two made-up ones of three corridors that bear one name."""
    folder = tmp_path_factory.mktemp("results")
    sweeps = (sweep("rho", "correlation.borders.value", [0.0, 0.5]), sweep("law", "model.load_law", ["lognormal", "equal"]))
    swept = results.run(load(tmp_path_factory.mktemp("input"), *sweeps), draws=64, threads=1)
    plain = make_scenario()
    other = dataclasses.replace(plain, document=plain.document | {"run": {"draws": 1000, "seed": 3, "sampler": "sobol"}}, seed=3)
    return [sim.save_result(one, folder) for one in (swept, make_tree(plain), make_tree(other, seed=1, kept=0))]


def test_results_stand_along_scenario_under_the_union_of_their_labels(folders: list[Path]) -> None:
    opened = sim.open_results(str(folders[0].parents[1] / "**/"))
    alone = {folder.name: sim.open_result(folder) for folder in folders}
    labels = [f"three-borders/{folder.name}" for folder in sorted(folders[1:])]
    assert opened["scenario"].values.tolist() == [*labels, "two-borders"]
    assert sorted(opened["run_id"].values) == sorted(alone)
    assert opened["seed"].dtype == np.uint64
    assert [name for name, each in opened.data_vars.items() if "units" in each.attrs] == ["draws_used", "seed", "method_version"]
    flow = opened["quantiles"]["flow_pure_kg"]
    assert flow.dims == ("scenario", "rho", "law", "corridor", "period", "form", "quantile")
    assert flow.attrs["units"] == "kg"
    assert opened["quantiles"]["corridor"].values.tolist() == ["east", "north", "west", "land", "everything", "all-borders"]
    assert opened["quantiles"]["is_group"].values.tolist() == [False, False, False, True, True, True]
    for label, run in zip(opened["scenario"].values, opened["run_id"].values, strict=True):
        for group in ("quantiles", "mcse", "moments", "parameters"):
            for name, variable in alone[str(run)][group].data_vars.items():
                mine = opened[group][name].sel(scenario=label).sel({d: variable[d].values for d in variable.dims})
                spread = [d for d in mine.dims if d not in variable.dims]
                for place in (dict.fromkeys(spread, 0), dict.fromkeys(spread, -1)):
                    np.testing.assert_array_equal(mine.isel(place).transpose(*variable.dims).values, variable.values)
    assert flow.sel(scenario="two-borders", corridor=["north", "land"]).isnull().all()
    assert flow.sel(scenario=labels, corridor="all-borders").isnull().all()
    basis = opened["parameters"]["basis"].sel(parameter="detection_rate[east]@FY2023")
    assert set(np.atleast_1d(basis.values).tolist()) <= {"elicited", ""}


def test_groups_that_some_results_lack(folders: list[Path]) -> None:
    opened = sim.open_results(folders)
    without = f"three-borders/{folders[2].name}"
    assert opened["draws"]["flow_pure_kg"].sel(scenario=without).isnull().all()
    assert opened["draws"]["flow_pure_kg"].sel(scenario=f"three-borders/{folders[1].name}", corridor="east").notnull().all()


def test_nothing_is_read_before_it_is_asked_for_where_dask_is_there(folders: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(collection.util, "find_spec", lambda name: None)
    eager = sim.open_results(folders)
    assert isinstance(eager["quantiles"]["purity"].variable._data, np.ndarray)
    monkeypatch.undo()
    pytest.importorskip("dask")
    lazy = sim.open_results(folders)
    assert all(hasattr(variable.data, "dask") for node in lazy.subtree if node.path != "/" for variable in node.data_vars.values())
    for path in ("quantiles", "evidence", "diagnostics"):
        xr.testing.assert_identical(lazy[path].to_dataset().load(), eager[path].to_dataset())


def test_one_result_opens_too_and_a_label_is_its_name(folders: list[Path]) -> None:
    opened = sim.open_results(folders[0])
    assert opened["scenario"].values.tolist() == ["two-borders"]
    assert opened["quantiles"]["purity"].dims[:3] == ("scenario", "rho", "law")


def test_what_is_damaged_is_named_and_nothing_is_opened(folders: list[Path], tmp_path: Path) -> None:
    for folder in folders:
        shutil.copytree(folder, tmp_path / folder.parent.name / folder.name)
    for folder in folders[1:]:
        (tmp_path / folder.parent.name / folder.name / "result.nc").write_bytes(b"")
    with pytest.raises(ResultError) as refused:
        sim.open_results(tmp_path / "**")
    assert len(refused.value.problems) == 2
    with pytest.raises(ResultError, match=r'no result matches .*Write "results/'):
        sim.open_results(str(tmp_path / "nowhere" / "**/"))


def test_versions_of_the_method_are_not_mixed_unasked(folders: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(folders[0], tmp_path / folders[0].parent.name / folders[0].name)
    monkeypatch.setattr(labelled, "METHOD_VERSION", runner.METHOD_VERSION + 1)
    monkeypatch.setattr(tree, "METHOD_VERSION", runner.METHOD_VERSION + 1)
    sim.save_result(make_tree(kept=0), tmp_path)
    with pytest.raises(ResultError, match=r"method version \d+: 1, as .*; method version \d+: 1, as .*mix_methods=True"):
        sim.open_results(tmp_path / "**")
    versions = sim.open_results(tmp_path / "**", mix_methods=True)["method_version"].values.tolist()
    assert versions == [runner.METHOD_VERSION + 1, runner.METHOD_VERSION]


def test_texts_and_numbers_along_one_dimension_are_refused(folders: list[Path], tmp_path: Path) -> None:
    names: dict[str, Any] = sweep("rho", "correlation.borders.value", [0.0, 0.5], ["none", "some"])
    sim.save_result(results.run(load(tmp_path, names), draws=64, threads=1), tmp_path / "results")
    with pytest.raises(ResultError, match=r"the dimension rho has texts in .* and numbers in"):
        sim.open_results([folders[0], tmp_path / "results" / "**"])


def test_manifests_of_swept_results_are_whole(folders: list[Path]) -> None:
    manifest = json.loads((folders[0] / "manifest.json").read_text())
    assert manifest["draws"] == 64
    assert sim.open_result(folders[0]).attrs["cases"] == 4


def test_indices_of_different_scales_say_so(tmp_path: Path) -> None:
    saved = []
    for name, scale in (("one", "log"), ("two", "raw")):
        parameters = {"detection_rate": {"kind": "beta", "mean": 0.1, "sd": 0.03}, "powder_purity": 0.1, "load_shape": 1.0}
        tables = {"name": name, "model": {"load_law": "gamma"}, "sensitivity": {"scale": scale}, "run": {"draws": 1024}}
        saved.append(sim.save_result(sim.run(build.scenario([build.row()], parameters, **tables), threads=1), tmp_path))
    together, alone = (sim.open_results(each)["sensitivity"]["first_order"] for each in (saved, saved[:1]))
    assert together["scenario"].values.tolist() == ["one", "two"]
    assert together.attrs["scale"] == "by scenario: log, raw"
    assert alone.attrs["scale"] == "log"
