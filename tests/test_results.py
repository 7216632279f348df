"""Results: labels, identity, what is on disk, and what a damaged or unwritable folder says."""

from __future__ import annotations

import dataclasses
import errno
import hashlib
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import tomllib
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
import tomli_w
import xarray as xr

from sim import elicitation, labelled, saved
from sim.dependence import ParameterDraw
from sim.errors import ResultError
from sim.evidence import Row
from sim.labelled import run_id, to_tree
from sim.model import DIAGNOSTICS
from sim.propagation import propagate
from sim.records import QUANTITIES, RESULT_FORMS, Parameter, Scenario
from sim.results import credible_interval
from sim.runner import PROBABILITIES
from sim.saved import NoResultError, find_result, list_results, open_result, save_result
from sim.scenario import with_run
from sim.simulation import Run
from sim.tree import numbers_digest

ROOT = Path(__file__).parents[1]
CORRIDORS, PERIODS = ("east", "north", "west"), ("FY2023", "FY2024")
GROUPS = (("land", ("east", "north")), ("everything", ("east", "north", "west")))


def make_scenario(**changes: object) -> Scenario:
    """Three corridors and two periods without evidence for north in FY2024; one row there leaves its number of events open."""
    document = {
        "schema_version": 1,
        "name": "three-borders",
        "question": "How much, and how sure? Grüße",
        "run": {"draws": 1000, "seed": 2**64 - 1, "sampler": "sobol", "keep_draws": 32},
        "groups": {name: list(members) for name, members in GROUPS},
        "model": {"load_truncation": float("inf"), "event_prior": 0.5},
        "parameter": [
            {
                "id": "detection_rate",
                "name": "detection_rate",
                "distribution": {"kind": "beta", "alpha": 4.0, "beta": 36.0},
                "basis": "elicited",
                "source": "our judgement",
                "grade": "D",
            },
            {
                "id": "powder_purity",
                "name": "powder_purity",
                "distribution": {"kind": "beta", "alpha": 20.0, "beta": 160.0},
                "basis": "published",
                "source": "ndta",
            },
        ],
    }
    laws = [elicitation.law(block["distribution"], "1") for block in document["parameter"]]  # type: ignore[index]
    rows = tuple(
        Row(corridor=corridor, period=period, form="powder", n_events=n_events, amount=10.0, unit="kg")
        for corridor, period, n_events in (
            ("east", "FY2023", 3),
            ("east", "FY2023", None),
            ("east", "FY2024", 5),
            ("north", "FY2023", 0),
            ("west", "FY2023", 7),
            ("west", "FY2024", 11),
        )
    )
    scenario = Scenario(
        name="three-borders",
        question=document["question"],
        draws=1000,
        seed=2**64 - 1,
        sampler="sobol",
        keep_draws=32,
        load_law="lognormal",
        load_truncation=float("inf"),
        event_prior=0.5,
        shared_load_scale=(),
        corridors=CORRIDORS,
        periods=PERIODS,
        groups=GROUPS,
        rows=rows,
        parameters=(
            Parameter(id="detection_rate", name="detection_rate", law=laws[0], varies_by=("period",), correlation=0.8),
            Parameter(id="powder_purity", name="powder_purity", law=laws[1]),
        ),
        correlations=(),
        document=document,
    )
    return dataclasses.replace(scenario, **changes)


def make_run(scenario: Scenario, seed: int = 0, chains: int = 2, kept: int = 32) -> Run:
    """Arrays of the right shapes, with what real ones hold: NaN where there is no evidence, inf, zeros, undefined shares."""
    random = np.random.default_rng(seed)
    cells = (len(scenario.corridors) + len(scenario.groups), len(scenario.periods), len(RESULT_FORMS))

    def each(*extra: int) -> dict[str, np.ndarray]:
        arrays = {quantity: random.gamma(2.0, 5.0, (*cells, *extra)) for quantity in QUANTITIES}
        for array in arrays.values():
            array[1, 1] = np.nan  # north has no evidence in FY2024
        return arrays

    quantiles = {quantity: np.sort(array, axis=-1) for quantity, array in each(len(PROBABILITIES)).items()}
    quantiles["interdiction_rate"][0, 0, 0, -1] = np.inf
    undefined = {quantity: np.zeros(cells) for quantity in QUANTITIES}
    undefined["interdiction_rate"][1, 0] = 0.2236
    undefined["purity"][0, 1, 2] = 0.5
    return Run(
        draws_asked=scenario.draws,
        draws=1024,
        replicates=16,
        quantiles=quantiles,
        mcse=each(len(PROBABILITIES)),
        mean=each() | {"flow_pure_kg": np.full(cells, np.nan)},
        sd=each(),
        mean_mcse=each(),
        undefined_share=undefined,
        notes={"flow_pure_kg": {"detection_rate can be very near 0": {"detection_rate": 1.5}}},
        kept={quantity: random.gamma(2.0, 5.0, (chains, kept, *cells)) for quantity in QUANTITIES} if kept else {},
        kept_parameters=random.random((chains, kept, 3)),
        diagnostics={
            "prior_share": (("corridor", "period"), random.random(cells[:2])),
            "purity_cut_share": (("corridor", "period", "evidence_form"), random.random(cells)),
            "inland_cut_share": (("corridor", "period", "form"), random.random(cells)),
        },
        seconds=0.25,
    )


def make_tree(scenario: Scenario | None = None, seed: int = 0, kept: int = 32) -> xr.DataTree:
    scenario = scenario or make_scenario()
    detection, purity = scenario.parameters
    strata = dict.fromkeys((row.corridor, row.period, row.form) for row in scenario.rows)
    return to_tree(
        scenario,
        make_run(scenario, seed=seed, kept=kept),
        parameter_draws=[
            *(ParameterDraw(id=f"detection_rate@{label}", block=detection, labels=(label,)) for label in PERIODS),
            ParameterDraw(id="powder_purity", block=purity),
        ],
        seized_gross_kg={stratum: 10.0 * (index + 1) for index, stratum in enumerate(strata)},
        created_at=datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
    )


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of one saved result; it takes half a second to write, so tests that only damage it take a copy."""
    return save_result(make_tree(), tmp_path_factory.mktemp("written"))


@pytest.fixture
def folder(written: Path, tmp_path: Path) -> Path:
    """A result folder of one's own, inside `tmp_path`."""
    return Path(shutil.copytree(written, tmp_path / "three-borders" / written.name))


@pytest.fixture
def quick_netcdf(written: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let save_result find the bytes of result.nc ready made."""
    content = memoryview((written / "result.nc").read_bytes())
    monkeypatch.setattr(saved, "_netcdf", lambda tree: content)


def everything_below(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


# ------------------------------------------------------------------------------------------------------------------ the tree


def test_layout() -> None:
    tree = make_tree()
    assert set(tree.children) == {"quantiles", "mcse", "moments", "parameters", "evidence", "diagnostics", "draws"}
    for group, last in (("quantiles", "quantile"), ("mcse", "quantile"), ("moments", "moment")):
        assert list(tree[group].data_vars) == list(QUANTITIES)
        for variable in tree[group].data_vars.values():
            assert variable.dims == ("corridor", "period", "form", last)
    labels = tree["quantiles"]
    assert list(labels["corridor"].values) == ["east", "north", "west", "land", "everything"]
    assert list(labels["is_group"].values) == [False, False, False, True, True]
    assert list(labels["form"].values) == ["powder", "pill", "all"]
    assert tuple(labels["quantile"].values) == PROBABILITIES
    assert list(tree["moments"]["moment"].values) == ["mean", "sd", "mean_mcse"]
    assert tree["draws"]["flow_pure_kg"].dims == ("chain", "draw", "corridor", "period", "form")
    assert tree["draws"]["parameter_value"].dims == ("chain", "draw", "parameter")
    assert "draws" not in make_tree(kept=0).children


def test_arrays_stand_under_their_own_labels() -> None:
    scenario = make_scenario()
    run, tree = make_run(scenario), make_tree(scenario)
    cell = {"corridor": "everything", "period": "FY2024", "form": "pill"}
    for quantity in QUANTITIES:
        assert tree["quantiles"][quantity].sel(cell | {"quantile": 0.5}).item() == run.quantiles[quantity][4, 1, 1, 6]
        assert tree["mcse"][quantity].sel(cell | {"quantile": 0.975}).item() == run.mcse[quantity][4, 1, 1, 10]
        np.testing.assert_equal(
            tree["moments"][quantity].sel(cell).values,
            [run.mean[quantity][4, 1, 1], run.sd[quantity][4, 1, 1], run.mean_mcse[quantity][4, 1, 1]],
        )
    assert np.isnan(tree["quantiles"]["flow_pure_kg"].sel(corridor="north", period="FY2024")).all()


def test_every_variable_has_units_and_a_long_name() -> None:
    for node in make_tree().subtree:
        for name, variable in node.variables.items():
            assert variable.attrs["long_name"], name
            if variable.dtype.kind in "biuf":
                assert variable.attrs["units"], name
        for quantity in node.data_vars.keys() & QUANTITIES.keys():
            assert node[quantity].attrs["units"] == QUANTITIES[quantity].units


def test_shares_notes_and_missing_members_are_attributes() -> None:
    tree = make_tree()
    assert tree["quantiles"]["interdiction_rate"].attrs["undefined_share"] == 0.2236
    assert tree["moments"]["purity"].attrs["undefined_share"] == 0.5
    assert "undefined_share" not in tree["quantiles"]["flow_pure_kg"].attrs
    whole = tree["diagnostics"]["undefined_share"]
    assert list(whole["quantity"].values) == ["purity", "interdiction_rate"]
    assert whole.sel(quantity="interdiction_rate", corridor="north", period="FY2023", form="pill").item() == 0.2236
    assert tree["diagnostics"]["purity_cut_share"].attrs["long_name"] == DIAGNOSTICS["purity_cut_share"].long_name
    assert list(tree["diagnostics"]["evidence_form"].values) == ["powder", "pill", "unrecorded"]
    assert "very near 0" in tree["moments"]["flow_pure_kg"].attrs["note"]
    assert "exceeds 2" in tree["moments"].attrs["note"]
    assert "note" not in tree["moments"]["purity"].attrs
    expected = {"everything": {"FY2024": ["north"]}, "land": {"FY2024": ["north"]}}
    for holder in (tree, tree["quantiles"], tree["mcse"], tree["moments"]):
        assert json.loads(holder.attrs["members_missing"]) == expected
    whole_rows = (*make_scenario().rows, dataclasses.replace(make_scenario().rows[0], corridor="north", period="FY2024"))
    assert "members_missing" not in make_tree(make_scenario(rows=whole_rows)).attrs


def test_parameters_are_exact_quantiles_of_their_laws() -> None:
    from scipy import stats

    parameters = make_tree()["parameters"]
    assert list(parameters["parameter"].values) == ["detection_rate@FY2023", "detection_rate@FY2024", "powder_purity"]
    for draw, law in (("detection_rate@FY2024", stats.beta(4, 36)), ("powder_purity", stats.beta(20, 160))):
        np.testing.assert_allclose(parameters["value"].sel(parameter=draw), law.ppf(PROBABILITIES), rtol=1e-12)
    about = [parameters[name].sel(parameter="powder_purity").item() for name in ("name", "unit", "source")]
    assert about == ["powder_purity", "1", "ndta"]
    assert parameters["basis"].sel(parameter="detection_rate@FY2023").item() == "elicited"
    assert parameters["grade"].sel(parameter="powder_purity").item() == ""


def test_evidence_is_summed_by_stratum_and_has_no_groups() -> None:
    evidence = make_tree()["evidence"]
    assert list(evidence["corridor"].values) == list(CORRIDORS)
    stratum = {"corridor": "east", "period": "FY2023", "evidence_form": "powder"}
    assert evidence["n_events"].sel(stratum).item() == 3
    assert not evidence["events_known"].sel(stratum).item()
    assert evidence["events_known"].sel(stratum | {"period": "FY2024"}).item()
    assert evidence["n_events"].sel(stratum | {"corridor": "north"}).item() == 0  # a zero is evidence
    assert np.isnan(evidence["n_events"].sel(stratum | {"corridor": "north", "period": "FY2024"}).item())
    assert np.isnan(evidence["seized_gross_kg"].sel(stratum | {"evidence_form": "pill"}).item())
    assert evidence["seized_gross_kg"].sel(stratum).item() == 10.0


def test_provenance() -> None:
    attributes = make_tree().attrs
    assert attributes["Conventions"] == "CF-1.11"
    assert (attributes["draws"], attributes["draws_asked"], attributes["sampler"]) == (1024, 1000, "sobol")
    assert int(attributes["seed"]) == 2**64 - 1
    assert attributes["created_at"] == "2026-01-02T03:04:05+00:00"
    assert attributes["draws_per_second"] == 4096.0
    assert attributes["numpy_version"] == np.__version__
    assert attributes["python_version"].split(".")[:2] == [str(part) for part in sys.version_info[:2]]
    for key in ("creation_library", "creation_library_version", "inference_library", "scipy_version", "numba_version", "xarray_version"):
        assert attributes[key]


def test_days_of_a_period_stand_beside_its_label() -> None:
    """The ratio of two periods is to be divided by the ratio of their days; a label that does not tell its length has none."""
    periods = ("FY2024", "2025-02-12/2025-03-13", "FY2026-Oct-Apr")
    rows = tuple(dataclasses.replace(make_scenario().rows[0], period=period) for period in periods)
    tree = make_tree(make_scenario(periods=periods, rows=rows))
    for group in ("quantiles", "moments", "evidence", "draws"):
        days = tree[group]["days"]
        assert days.dims == ("period",)
        np.testing.assert_equal(days.values, [366.0, 30.0, np.nan])
        assert days.attrs["units"] == "d"


def test_every_kind_of_tree_has_the_same_provenance() -> None:
    own = {"title", "name", "run_id", "scenario", "warnings", "members_missing", "function", "parameters", "correlation", "copula"}
    function = propagate(lambda x: {"y": x}, parameters={"x": {"kind": "normal", "mean": 0.0, "sd": 1.0}}, draws=16, seed=1)
    border = make_tree()
    assert set(border.attrs) - own == set(function.attrs) - own
    assert len(set(border.attrs) - own) == 21
    for key in ("layout_version", "method_version", "cpu", "numba_version", "creation_library"):
        assert border.attrs[key] == function.attrs[key]


# ------------------------------------------------------------------------------------------------------------------ identity


def test_run_id_ignores_the_order_of_keys_and_survives_toml() -> None:
    scenario = make_scenario()
    backwards = json.loads(json.dumps(scenario.document), object_pairs_hook=lambda pairs: dict(reversed(pairs)))
    reread = tomllib.loads(tomli_w.dumps(scenario.document))
    assert len(run_id(scenario)) == 12
    assert run_id(make_scenario(document=backwards)) == run_id(scenario)
    assert run_id(make_scenario(document=reread)) == run_id(scenario)


@pytest.mark.parametrize(
    ("table", "key", "changed"),
    [("run", "draws", 1001), ("run", "seed", 0), ("run", "keep_draws", 0), ("model", "event_prior", 0.5000000000000001)],
)
def test_run_id_follows_whatever_decides_the_numbers(table: str, key: str, changed: object) -> None:
    document = json.loads(json.dumps(make_scenario().document))
    document[table][key] = changed
    assert run_id(make_scenario(document=document)) != run_id(make_scenario())


def test_run_id_follows_method_and_layout(monkeypatch: pytest.MonkeyPatch) -> None:
    before = run_id(make_scenario())
    monkeypatch.setattr(labelled, "METHOD_VERSION", labelled.METHOD_VERSION + 1)
    method = run_id(make_scenario())
    monkeypatch.undo()
    monkeypatch.setattr(labelled, "LAYOUT_VERSION", labelled.LAYOUT_VERSION + 1)
    assert len({before, method, run_id(make_scenario())}) == 3


def test_run_id_is_a_constant_of_the_format() -> None:
    """Hashed here by hand: a change of this recipe orphans every folder that exists, and needs a new layout version."""
    document = {"run": {"seed": 2**64 - 1, "draws": 7}, "name": "é", "model": {"load_truncation": float("inf"), "event_prior": 0.1}}
    by_hand = (
        f'{{"layout_version":{labelled.LAYOUT_VERSION},"method_version":{labelled.METHOD_VERSION},"scenario":'
        '{"model":{"event_prior":0.1,"load_truncation":Infinity},"name":"\\u00e9","run":{"draws":7,"seed":18446744073709551615}}}'
    )
    assert run_id(make_scenario(document=document)) == hashlib.sha256(by_hand.encode()).hexdigest()[:12]


def test_digest_is_what_its_docstring_says() -> None:
    tree = xr.DataTree.from_dict(
        {
            "/": xr.Dataset({"scalar": 7}),
            "/b": xr.Dataset({"y": ("q", np.array([-0.0, -np.nan], dtype=">f4")), "text": ("q", ["u", "v"])}, coords={"q": [0.25, 0.5]}),
            "/a": xr.Dataset({"yes": (("r", "q"), [[True], [False]])}),
        }
    )
    parts = [
        (b"/a/yes", b"b1", b"2,1", b"\1\0"),
        (b"/b/q", b"f8", b"2", np.array([0.25, 0.5], dtype="<f8").tobytes()),
        (b"/b/y", b"f8", b"2", b"\0\0\0\0\0\0\0\x80" + b"\0\0\0\0\0\0\xf8\x7f"),
        (b"/scalar", b"i8", b"", b"\7\0\0\0\0\0\0\0"),
    ]
    by_hand = b"".join(b"\0".join(part) for part in parts)
    assert numbers_digest(tree) == hashlib.sha256(by_hand).hexdigest()


def test_digest_sees_one_bit_a_label_and_a_shape_but_no_text() -> None:
    tree, digest = make_tree(), make_tree().attrs["numbers_digest"]
    assert numbers_digest(tree) == digest
    tree["quantiles"]["purity"].attrs["long_name"] = "another"
    assert numbers_digest(tree) == digest

    array = tree["quantiles"]["purity"].values
    array[0, 0, 0, 0] = np.nextafter(array[0, 0, 0, 0], np.inf)
    assert numbers_digest(tree) != digest

    swapped = make_tree()
    swapped["quantiles"] = swapped["quantiles"].to_dataset().assign_coords(quantile=list(PROBABILITIES[::-1]))
    assert numbers_digest(swapped) != digest

    turned = make_tree()
    turned["evidence"] = turned["evidence"].to_dataset().transpose("evidence_form", ...)
    assert numbers_digest(turned) != digest


# ------------------------------------------------------------------------------------------------------------------ disk


def test_saved_and_opened_is_identical(tmp_path: Path) -> None:
    tree = make_tree()
    folder = save_result(tree, tmp_path / "results")
    assert folder == tmp_path / "results" / "three-borders" / tree.attrs["run_id"]
    assert everything_below(folder) == ["manifest.json", "result.nc", "scenario.toml"]
    for path in (folder, str(folder), folder / "result.nc"):
        opened = open_result(path)
        xr.testing.assert_identical(opened, tree)
        assert numbers_digest(opened) == tree.attrs["numbers_digest"] == opened.attrs["numbers_digest"]
    assert int(opened.attrs["seed"]) == 2**64 - 1
    assert tomllib.loads((folder / "scenario.toml").read_text(encoding="utf-8")) == make_scenario().document
    assert not list((tmp_path / "results").rglob(".*"))


@pytest.mark.parametrize("engine", [None, "h5netcdf", "netcdf4"])
def test_plain_xarray_opens_it(tmp_path: Path, engine: str | None) -> None:
    if engine == "netcdf4":
        pytest.importorskip("netCDF4")
    tree = make_tree()
    folder = save_result(tree, tmp_path)
    with xr.open_datatree(folder / "result.nc", engine=engine) as lazily:
        opened = lazily.load()
    xr.testing.assert_identical(opened, tree)
    assert opened["quantiles"]["is_group"].dtype == bool
    assert int(opened.attrs["seed"]) == 2**64 - 1


def test_an_opened_result_can_be_saved_elsewhere(tmp_path: Path) -> None:
    opened = open_result(save_result(make_tree(), tmp_path / "here"))
    xr.testing.assert_identical(open_result(save_result(opened, tmp_path / "there")), opened)


def test_a_scenario_longer_than_an_hdf5_header_is_kept(tmp_path: Path) -> None:
    """HDF5 refuses attributes above 64 KiB in an object's header; text must not be stored there."""
    scenario = make_scenario()
    scenario.document["question"] = "q" * 200_000
    folder = save_result(make_tree(scenario), tmp_path)
    assert open_result(folder).attrs["scenario"].count("q") > 200_000


def test_manifest(folder: Path) -> None:
    tree = make_tree()
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    for name in ("result.nc", "scenario.toml"):
        content = (folder / name).read_bytes()
        assert manifest["files"][name] == {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    assert manifest["run_id"] == tree.attrs["run_id"]
    assert manifest["numbers_digest"] == tree.attrs["numbers_digest"]
    assert manifest["seed"] == 2**64 - 1
    assert manifest["draws_per_second"] == 4096.0
    assert manifest["timings"] == {"simulate_seconds": 0.25}
    assert manifest["libraries"]["numpy"] == np.__version__
    assert manifest["cpu"]


def test_a_finished_folder_is_never_rewritten(tmp_path: Path) -> None:
    tree = make_tree()
    folder = save_result(tree, tmp_path)
    before = {path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in folder.iterdir()}
    assert save_result(tree, tmp_path) == folder
    assert {path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in folder.iterdir()} == before
    with pytest.raises(ResultError, match="with other numbers"):
        save_result(make_tree(seed=1), tmp_path)
    (folder / "scenario.toml").unlink()
    with pytest.raises(ResultError, match=r"scenario\.toml: the file is missing\. Move the folder away"):
        save_result(tree, tmp_path)
    assert not (folder / "scenario.toml").exists()


def test_only_the_unchanged_tree_of_a_run_is_saved(tmp_path: Path) -> None:
    tree = make_tree()
    tree["quantiles"]["flow_pure_kg"].values[0] = 0.0
    with pytest.raises(ResultError, match="changed after the run"):
        save_result(tree, tmp_path)
    with pytest.raises(ResultError, match="lacks the attributes"):
        save_result(xr.DataTree.from_dict({"/quantiles": xr.Dataset({"y": 1.0})}), tmp_path)
    climbing = make_tree()
    climbing.attrs["name"] = "../../elsewhere"
    with pytest.raises(ResultError, match="lacks the attributes"):
        save_result(climbing, tmp_path)
    assert everything_below(tmp_path) == []


@pytest.mark.parametrize("name", ["result.nc", "scenario.toml", "manifest.json"])
def test_missing_file_is_named(folder: Path, name: str) -> None:
    (folder / name).unlink()
    with pytest.raises(ResultError, match=f"{name}: the (file|manifest) is missing"):
        open_result(folder)


@pytest.mark.parametrize("name", ["result.nc", "scenario.toml"])
def test_damaged_file_is_named(folder: Path, name: str) -> None:
    """Every damage that a copy or a disk can do: a flipped bit in the middle, a lost tail, a longer file, an empty one."""
    whole = (folder / name).read_bytes()
    middle = len(whole) // 2
    flipped = whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :]
    for damaged in (flipped, whole[:-1], whole + b"\0", b""):
        (folder / name).write_bytes(damaged)
        with pytest.raises(ResultError, match=f"{name}: the file is damaged"):
            open_result(folder)
    (folder / name).write_bytes(whole)
    open_result(folder)


def test_all_faults_of_a_folder_come_at_once(folder: Path) -> None:
    (folder / "scenario.toml").unlink()
    (folder / "result.nc").write_bytes(b"")
    (folder / "figure.png").write_bytes(b"")
    (folder / ".DS_Store").write_bytes(b"")
    with pytest.raises(ResultError) as caught:
        open_result(folder)
    assert [str(problem.file).rsplit(os.sep)[-1] for problem in caught.value.problems] == ["result.nc", "scenario.toml", "figure.png"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda manifest: "{", "the manifest is damaged"),
        (lambda manifest: "[]", "the manifest is damaged"),
        (lambda manifest: json.dumps({key: entry for key, entry in manifest.items() if key != "files"}), "the manifest is damaged"),
        (lambda manifest: json.dumps(manifest | {"files": {}}), "it must list result.nc and scenario.toml"),
        (lambda manifest: json.dumps(manifest | {"files": manifest["files"] | {"../x": {"bytes": 0, "sha256": ""}}}), "it must list"),
        (lambda manifest: json.dumps({"layout_version": 99}), "layout version 99; this version of borderflow-sim reads layouts up to 1"),
        (lambda manifest: json.dumps(manifest | {"run_id": "0" * 12}), "run_id is '000000000000' here"),
        (lambda manifest: json.dumps(manifest | {"numbers_digest": "0"}), "numbers_digest is '0' here"),
    ],
)
def test_damaged_manifest_is_named(folder: Path, change: object, message: str) -> None:
    manifest = folder / "manifest.json"
    manifest.write_text(change(json.loads(manifest.read_text(encoding="utf-8"))), encoding="utf-8")  # type: ignore[operator]
    with pytest.raises(ResultError, match=message) as caught:
        open_result(folder)
    assert "manifest.json" in str(caught.value)


def test_a_path_that_is_no_result_says_what_is(tmp_path: Path, folder: Path) -> None:
    with pytest.raises(ResultError, match="there is no such folder; a result is a folder with"):
        open_result(tmp_path / "nothing")
    (tmp_path / "file").write_text("")
    with pytest.raises(ResultError, match="this is a file"):
        open_result(tmp_path / "file")
    for above in (folder.parent, folder.parent.parent):
        with pytest.raises(NoResultError, match=f"this is a folder of results; .* Name one of those inside: {folder}"):
            open_result(above)
    for n in range(4):
        (folder.parent / f"00000000000{n}").mkdir()
    with pytest.raises(NoResultError, match=r"000000000002 \(5 in all\)"):
        open_result(folder.parent)
    (tmp_path / "left" / ".partial-0123456789ab").mkdir(parents=True)
    for unfinished in (tmp_path / "left", tmp_path / "left" / ".partial-0123456789ab"):
        with pytest.raises(NoResultError, match=r"interrupted here and left no result yet; .* Give the same sim run again; it goes on"):
            open_result(unfinished)
    (tmp_path / "empty").mkdir()
    with pytest.raises(NoResultError, match="this is no result"):
        open_result(tmp_path / "empty")
    (folder / "manifest.json").unlink()
    with pytest.raises(ResultError, match=r"the manifest is missing; .* Move the folder away") as damaged:
        open_result(folder)
    assert not isinstance(damaged.value, NoResultError)


def test_a_result_is_found_by_what_it_is_called(tmp_path: Path) -> None:
    for place in (
        "north/0123456789ab",
        "north/0123ffffffff",
        "sea/aaaa00000000",
        "face/bbbb00000000",
        "cold/face00000000",
        "land/.partial-cccc00000000",
    ):
        (tmp_path / place).mkdir(parents=True)
    for called, place in (
        ("0123456789ab", "north/0123456789ab"),
        ("01234", "north/0123456789ab"),
        ("sea", "sea/aaaa00000000"),
        ("bbbb", "face/bbbb00000000"),
        (tmp_path / "north", "north"),
    ):
        assert find_result(called, tmp_path) == tmp_path / place
    for called, said in (
        ("north", "2 results are called so; one must be meant. Name one of them: .*north/0123456789ab, .*north/0123ffffffff"),
        ("0123", "2 results are called so"),
        ("face", "2 results are called so"),
        ("cccc", "interrupted here"),
        ("land", "interrupted here"),
        ("012", "no result in .* is called so; .* To see what there is: sim list"),
        ("x" * 5000, "there is no such folder"),
        ("nul\0", "there is no such folder"),
    ):
        with pytest.raises(NoResultError, match=said):
            find_result(called, tmp_path)
    with pytest.raises(NoResultError, match="there is no such folder"):
        find_result("sea", tmp_path / "absent")
    with pytest.raises(ResultError, match="too long"):
        open_result("x" * 5000)


# ------------------------------------------------------------------------------------------------------------------ failing to write

CHILD = f"""
import sys
sys.path[:0] = [{str(ROOT / "tests")!r}]
from test_results import make_tree
from sim.model import DIAGNOSTICS
from sim.propagation import propagate
from sim.saved import save_result
from sim.errors import ResultError
"""


def child(code: str, *arguments: str) -> subprocess.Popen[str]:
    """Start a fresh interpreter that has `make_tree` and `save_result`."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    command = [sys.executable, "-P", "-c", CHILD + code, *arguments]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, env=environment, stdin=pipe, stdout=pipe, stderr=pipe, text=True)


@pytest.mark.skipif(os.name != "posix", reason="limits on the size of files are a POSIX feature")
def test_a_full_disk_leaves_nothing(tmp_path: Path) -> None:
    """A limit on file sizes stops the write half-way, in the kernel, as a full disk does."""
    code = """
import resource, signal
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
try:
    save_result(make_tree(), sys.argv[1])
except ResultError as error:
    print(error)
"""
    with child(code, str(tmp_path / "results")) as process:
        out, err = process.communicate(timeout=120)
    assert "the result cannot be written: File too large; nothing was left behind." in out, err
    assert everything_below(tmp_path) == []


@pytest.mark.usefixtures("quick_netcdf")
@pytest.mark.parametrize(
    ("number", "advice"),
    [(errno.ENOSPC, "Free .* MB"), (errno.EROFS, "that you may write to"), (errno.EACCES, "that you may write to"), (errno.EIO, "")],
)
@pytest.mark.parametrize("where", ["mkdir", "fsync", "rename"])
def test_any_refusal_of_the_system_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, advice: str, where: str
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, where, refuse)
    with pytest.raises(ResultError, match=f"cannot be written: {os.strerror(number)}.*{advice}"):
        save_result(make_tree(), tmp_path / "results")
    monkeypatch.undo()
    assert everything_below(tmp_path) == []
    save_result(make_tree(), tmp_path / "results")


@pytest.mark.usefixtures("quick_netcdf")
@pytest.mark.parametrize("interrupted", ["fsync", "rename"])
def test_ctrl_c_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, interrupted: str) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    (tmp_path / "three-borders").mkdir()
    monkeypatch.setattr(os, interrupted, interrupt)
    with pytest.raises(KeyboardInterrupt):
        save_result(make_tree(), tmp_path)
    assert everything_below(tmp_path) == ["three-borders"]  # a folder that was there before stays


@pytest.mark.usefixtures("quick_netcdf")
def test_a_file_in_the_way_is_said(tmp_path: Path) -> None:
    (tmp_path / "results").write_text("")
    with pytest.raises(ResultError, match="A file stands where a folder is needed"):
        save_result(make_tree(), tmp_path / "results")
    with pytest.raises(ResultError, match="A file stands where a folder is needed"):
        save_result(make_tree(), tmp_path / "results" / "deeper")
    with pytest.raises(ResultError, match="too long"):
        save_result(make_tree(), "x" * 5000)


def test_a_killed_save_leaves_no_result(tmp_path: Path) -> None:
    """SIGKILL between files and rename: no folder bears the run id; what is left is passed over, and goes once it is a day old."""
    code = "import os, signal\nos.rename = lambda *_: os.kill(os.getpid(), signal.SIGKILL)\nsave_result(make_tree(), sys.argv[1])"
    with child(code, str(tmp_path)) as process:
        process.communicate(timeout=120)
    assert process.returncode == -signal.SIGKILL
    (left,) = (tmp_path / "three-borders").iterdir()
    assert left.name.endswith(".partial")
    assert list_results(tmp_path) == []
    save_result(make_tree(), tmp_path)
    assert left.exists()  # it could be a live one

    other = make_tree(with_run(make_scenario(), seed=7))
    os.utime(left, (0, 0))
    save_result(other, tmp_path)
    assert left.exists()  # it belongs to another run
    shutil.rmtree(tmp_path / "three-borders" / make_tree().attrs["run_id"])
    save_result(make_tree(), tmp_path)
    assert not left.exists()


def test_two_processes_may_save_one_run_at_once(tmp_path: Path) -> None:
    """Four children save together, from the same starting shot; each gets the one folder, and it is whole."""
    code = "tree = make_tree()\nprint('ready', flush=True)\nsys.stdin.readline()\nfor _ in range(5): print(save_result(tree, sys.argv[1]))"
    children = [child(code, str(tmp_path)) for _ in range(4)]
    for process in children:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    said = [process.communicate("go\n", timeout=120) for process in children]
    assert [process.returncode for process in children] == [0] * 4, said
    (folder,) = {line for out, _ in said for line in out.split()}
    assert [path.name for path in (tmp_path / "three-borders").iterdir()] == [Path(folder).name]
    open_result(folder)


@pytest.mark.usefixtures("quick_netcdf")
def test_losing_the_race_returns_the_winner(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The other process finishes between our look and our rename."""
    tree, rename = make_tree(), os.rename

    def late(source: Path, target: Path) -> None:
        monkeypatch.setattr(os, "rename", rename)
        save_result(tree, tmp_path)
        rename(source, target)

    monkeypatch.setattr(os, "rename", late)
    folder = save_result(tree, tmp_path)
    open_result(folder)
    assert everything_below(tmp_path / "three-borders") == [folder.name, *(f"{folder.name}/{name}" for name in everything_below(folder))]


# ------------------------------------------------------------------------------------------------------------------ list


def test_list_results(tmp_path: Path) -> None:
    assert list_results(tmp_path / "absent") == []
    done = save_result(make_tree(), tmp_path)
    damaged = save_result(make_tree(with_run(make_scenario(), seed=1)), tmp_path)
    lost = save_result(make_tree(with_run(make_scenario(), seed=2)), tmp_path)
    (damaged / "result.nc").write_bytes(b"")
    (lost / "manifest.json").write_text("{")
    (tmp_path / "README.md").write_text("")
    (tmp_path / "three-borders" / "notes").mkdir()
    records = {record.folder: record for record in list_results(tmp_path)}
    assert set(records) == {done, damaged, lost}
    assert records[done].state == "done"
    assert records[done].question == make_scenario().question
    assert (records[done].name, records[done].run_id, records[done].draws) == ("three-borders", done.name, 1024)
    assert records[damaged].state == records[lost].state == "damaged"
    assert "result.nc" in records[damaged].damage
    assert records[damaged].draws == 1024
    assert records[lost].draws is None
    with pytest.raises(ResultError, match="cannot be read"):
        list_results(tmp_path / "README.md")


# ------------------------------------------------------------------------------------------------------------------ intervals


@pytest.mark.parametrize(("prob", "lower", "upper"), [(0.5, 5, 7), (0.8, 4, 8), (0.9, 3, 9), (0.95, 2, 10), (0.98, 1, 11), (0.99, 0, 12)])
def test_credible_interval_is_a_pair_of_quantiles(prob: float, lower: int, upper: int) -> None:
    tree = make_tree()
    interval = credible_interval(tree["quantiles"], prob=prob)
    assert isinstance(interval, xr.Dataset)
    for quantity in QUANTITIES:
        source = tree["quantiles"][quantity]
        assert interval[quantity].dims == ("corridor", "period", "form", "ci_bound")
        np.testing.assert_equal(interval[quantity].sel(ci_bound="lower").values, source.values[..., lower])
        np.testing.assert_equal(interval[quantity].sel(ci_bound="upper").values, source.values[..., upper])
        assert interval[quantity].attrs == source.attrs | {"ci_kind": "eti", "ci_prob": prob}
    assert interval.attrs["ci_kind"] == "eti"
    assert "quantile" not in interval.coords
    assert "ci_kind" not in tree["quantiles"].attrs
    assert "ci_kind" not in tree["quantiles"]["purity"].attrs


def test_credible_interval_of_one_variable_and_of_what_has_no_quantiles() -> None:
    tree = make_tree()
    one = tree["quantiles"]["purity"].sel(corridor="east", period="FY2024", form="all")
    interval = credible_interval(one, prob=1 - 0.1)
    assert interval.dims == ("ci_bound",)
    assert interval.attrs["units"] == "1"
    np.testing.assert_equal(interval.values, one.sel(quantile=[0.05, 0.95]).values)
    beside = tree["quantiles"].to_dataset().assign(constant=1.0)
    assert credible_interval(beside)["constant"].attrs == {}
    with pytest.raises(ResultError, match="no coordinate quantile"):
        credible_interval(tree["moments"])
    with pytest.raises(ResultError, match=r'Pass tree\["quantiles"\]'):
        credible_interval(tree)


@pytest.mark.parametrize(
    ("prob", "advice"),
    [
        (0.94, "The nearest is 0.95."),
        (90, "Write 0.9."),
        (99.0, "Write 0.99."),
        (94, "The nearest is 0.95."),
        (1.0, "The nearest is 0.99."),
        (1e9, "The nearest is 0.99."),
        (0.0, "The nearest is 0.5."),
        (-1.0, "The nearest is 0.5."),
        (float("nan"), "0.99."),
        (float("inf"), "0.99."),
    ],
)
def test_other_probabilities_are_refused(prob: float, advice: str) -> None:
    with pytest.raises(ResultError, match=r"allow 0\.5, 0\.8, 0\.9, 0\.95, 0\.98, 0\.99\.") as caught:
        credible_interval(make_tree()["quantiles"], prob=prob)
    assert str(caught.value).endswith(f" {advice}")


def test_no_file_stays_open(tmp_path: Path, folder: Path) -> None:
    opened = open_result(folder)
    (folder / "result.nc").write_bytes(b"gone")
    assert float(opened["quantiles"]["purity"].sum()) > 0
    descriptors = Path("/proc/self/fd")
    if descriptors.exists():
        assert not [link for link in descriptors.iterdir() if str(tmp_path) in (os.readlink(link) if link.is_symlink() else "")]


def test_file_is_compressed_netcdf4_with_plain_strings(folder: Path) -> None:
    import h5py

    with h5py.File(io.BytesIO((folder / "result.nc").read_bytes())) as file:
        assert file["quantiles/flow_pure_kg"].dtype == np.dtype("<f8")
        assert file["draws/flow_pure_kg"].compression == "gzip"
        assert h5py.check_string_dtype(file["quantiles/corridor"].dtype).length is None
        assert file.attrs["seed"].dtype == np.uint64
