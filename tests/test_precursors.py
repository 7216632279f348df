"""Precursors: mass x yield in every draw, beside seizures and in none of their sums; a seizure that is no sample of a flow."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import oracles
import pytest
import strategies
import xarray as xr
from bare import draws, row, scenario
from build import PERIOD, kept
from build import block as written
from build import row as line
from build import scenario as file_of
from cli.wrong_files import SCENARIO, VALID, WrongFiles
from hypothesis import given
from scipy import stats

import sim
from sim import conditions, printed
from sim.checks import check
from sim.errors import ScenarioError
from sim.evidence import row_from_mapping
from sim.records import LAYOUT_NAMES, QUANTITIES

POINTS = 64
ALL = 2
YIELD = {"kind": "lognormal", "median": 1.2, "sd_log": 0.3}
BORDER = {"detection_rate": {"kind": "beta", "mean": 0.1, "sd": 0.03}, "powder_purity": {"kind": "beta", "mean": 0.1, "sd": 0.03}}
LAB = [line("lab", 1, 54.0), line("lab", 2, 160.0, "precursor", rounding=10.0), line("store", None, 50.0, "precursor")]


def asked(rows: Any = None, **tables: Any) -> Any:
    parameters = [
        *(written(name, law) for name, law in BORDER.items()),
        written("detection_rate", 1.0, corridor="lab"),
        written("load_shape", 1.0),
        written("precursor_yield", YIELD, varies_by=["corridor"], correlation=0.5),
    ]
    groups = tables.pop("groups", {"laboratories": ["lab", "store"]})
    run = {"draws": 16_384, **tables.pop("run", {})}
    return file_of(rows or [line(), *LAB], parameters, model={"load_law": "gamma"}, groups=groups, run=run, **tables)


def side(quantity: str, corridor: str, form: str = "all") -> dict[str, str]:
    return {"quantity": quantity, "corridor": corridor, "period": PERIOD, "form": form}


CONTRASTS = [
    {"id": "possible", "numerator": side("potential_pure_kg", "laboratories"), "denominator": side("seized_pure_kg", "north")},
    {"id": "stock", "numerator": side("seized_gross_kg", "lab"), "denominator": side("seized_gross_kg", "north")},
]


@pytest.fixture(scope="module")
def tree() -> Any:
    claims = [{"id": "more", "text": "More", "contrast": "possible", "above": 600.0}]
    return sim.run(asked(contrast=CONTRASTS, claim=claims, run={"keep_draws": 16_384}), threads=2)


# --- in every draw ----------------------------------------------------------------------------------------------------------------


@given(strategies.precursor_scenarios())
def test_every_draw_as_by_plain_loops(scenarios: Any) -> None:
    _, more = scenarios
    assert check(more) == []
    found = draws(more, POINTS)["potential_pure_kg"]
    np.testing.assert_allclose(found[..., ALL], oracles.summarise_precursors(more, POINTS), rtol=1e-9)
    assert np.isnan(found[..., :ALL]).all()


@given(strategies.precursor_scenarios())
def test_precursors_are_in_no_other_quantity(scenarios: Any) -> None:
    """With the same streams every bit of seizures and flows is that of the scenario without precursors."""
    one, more = scenarios
    found, expected = draws(more, POINTS), draws(one, POINTS)
    for name in QUANTITIES:
        np.testing.assert_array_equal(found[name][:, : len(one.corridors)], expected[name][:, : len(one.corridors)], err_msg=name)
        first = len(more.corridors)
        np.testing.assert_array_equal(
            found[name][:, first : first + len(one.groups)], expected[name][:, len(one.corridors) :], err_msg=name
        )


@given(strategies.precursor_scenarios())
def test_twice_the_mass_is_twice_the_potential_in_any_order_of_rows(scenarios: Any) -> None:
    _, more = scenarios
    twice = tuple(
        dataclasses.replace(one, amount=2.0 * one.amount, rounding=2.0 * one.rounding) if one.form == "precursor" else one
        for one in reversed(more.rows)
    )
    found, expected = (draws(one, POINTS)["potential_pure_kg"] for one in (dataclasses.replace(more, rows=twice), more))
    np.testing.assert_allclose(found, 2.0 * expected, rtol=1e-12)


# --- in results -------------------------------------------------------------------------------------------------------------------


def test_what_is_absent_is_not_there(tree: Any) -> None:
    potential = tree["quantiles"]["potential_pure_kg"]
    assert np.isnan(potential.sel(form=["powder", "pill"])).all()
    assert np.isnan(potential.sel(corridor="north", form="all")).all()
    assert np.isfinite(potential.sel(corridor=["lab", "store", "laboratories"], form="all")).all()
    for quantity in QUANTITIES:
        assert np.isnan(tree["quantiles"][quantity].sel(corridor="store")).all(), quantity
    evidence = tree["evidence"].to_dataset().sel(period=PERIOD)
    assert evidence["evidence_form"].values.tolist() == ["powder", "pill", "unrecorded", "precursor"]
    assert float(evidence["seized_gross_kg"].sel(corridor="lab", evidence_form="precursor")) == 160.0
    assert int(evidence["n_events"].sel(corridor="lab", evidence_form="precursor")) == 2
    assert not bool(evidence["events_known"].sel(corridor="store", evidence_form="precursor"))
    assert tree.attrs["members_missing"] == '{"laboratories": {"FY2024": ["store"]}}'  # of drug, of which it has none


def test_groups_add_up_and_yields_go_together(tree: Any) -> None:
    lab, store, both = (kept(tree, "potential_pure_kg", corridor) for corridor in ("lab", "store", "laboratories"))
    np.testing.assert_allclose(both, lab + store, rtol=1e-14)
    made = (np.log(store / 50.0), np.log(np.asarray(tree["draws"]["parameter_value"].sel(parameter="precursor_yield@lab"))).reshape(-1))
    assert np.corrcoef(made)[0, 1] == pytest.approx(0.5, abs=0.03)


def test_units_names_and_moments(tree: Any) -> None:
    variable = tree["quantiles"]["potential_pure_kg"]
    assert variable.attrs["units"] == "kg"
    assert "no seizure or flow" in variable.attrs["long_name"]
    assert "potential_pure_kg" in LAYOUT_NAMES
    parameters = tree["parameters"].to_dataset()
    assert parameters["unit"].sel(parameter="precursor_yield@lab").item() == "kg/kg"
    mean = tree["moments"]["potential_pure_kg"].sel(corridor="store", period=PERIOD, form="all").values
    assert mean[0] == pytest.approx(50.0 * 1.2 * np.exp(0.045), abs=6.0 * mean[2])


def test_a_contrast_of_a_potential_with_a_seizure(tree: Any) -> None:
    ratio = kept(tree, "potential_pure_kg", "laboratories") / kept(tree, "seized_pure_kg")
    p = np.asarray(tree["contrasts"]["quantile"])
    found = tree["contrasts"]["ratio"]
    np.testing.assert_allclose(found.sel(contrast="possible"), np.quantile(ratio, p, method="inverted_cdf"), rtol=3e-3)
    assert (np.asarray(found.sel(contrast="stock")) == 54.0 / 4.0).all()
    assert int(tree["claims"]["hits"][0]) == (ratio > 600.0).sum()


@pytest.mark.parametrize("stored", [0, 2**30])
def test_a_condition_moves_none_of_the_unweighted_results(tree: Any, stored: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many lanes are drawn at a time before they are weighed; what was allocated for them must be written whole."""
    monkeypatch.setattr(conditions, "_STORED", stored)
    bound = {"id": "bound", "result": side("potential_pure_kg", "laboratories"), "soft_upper": "200 kg", "log_sd": 0.5}
    weighted = sim.run(asked(contrast=CONTRASTS, condition=[bound], run={"draws": 65_536, "sampler": "philox"}), threads=2)
    plain = sim.run(asked(contrast=CONTRASTS, run={"draws": 65_536, "sampler": "philox"}), threads=2)
    for group in ("quantiles", "moments", "mcse", "contrasts"):
        xr.testing.assert_identical(weighted[group].to_dataset(), plain[group].to_dataset())
    draws = sim.run(asked(run={"draws": 65_536, "keep_draws": 65_536, "sampler": "philox"}), threads=2)
    made = kept(draws, "potential_pure_kg", "laboratories")
    weights = stats.norm.cdf(np.log(200.0 / made) / 0.5)
    assert float(weighted["conditioned"]["mean_weight"]) == pytest.approx(weights.mean(), rel=1e-9)


def test_detection_of_one_is_a_seizure_that_is_no_sample(tree: Any) -> None:
    here = tree["draws"].to_dataset().sel(corridor="lab", period=PERIOD, form="all")
    for name in ("n_missed", "missed_gross_kg", "missed_pure_kg", "delivered_pure_kg"):
        assert not np.asarray(here[name]).any()
    np.testing.assert_array_equal(here["flow_pure_kg"], here["seized_pure_kg"])
    assert (np.asarray(here["interdiction_rate"]) == 1.0).all()
    assert not any(parameter.startswith("detection_rate[lab]@") for parameter in tree["parameters"]["parameter"].values)
    assert np.isnan(tree["diagnostics"]["prior_share"].sel(corridor="lab")).all()


def test_a_scenario_without_precursors_has_neither_variable_nor_label() -> None:
    plain = sim.run(file_of([line()], {**BORDER, "load_shape": 1.0}, model={"load_law": "gamma"}, run={"draws": 4096}), threads=1)
    assert list(plain["quantiles"].data_vars) == list(QUANTITIES)
    assert plain["evidence"]["evidence_form"].values.tolist() == ["powder", "pill", "unrecorded"]
    assert "precursor" not in printed.summary(plain, 0.9, terminal=False)


def test_a_place_of_precursors_alone_is_no_target_unasked() -> None:
    """An empty table names flows; a laboratory has none, and the file that asks for nothing special must be right."""
    one = asked(sensitivity={}, groups={"stores": ["store"], "both": ["north", "lab"]})
    assert {target.corridor for target in one.sensitivity.targets} == {"both"}
    bound = {"id": "bound", "result": side("potential_pure_kg", "store"), "soft_upper": "1 t", "log_sd": 0.5}
    assert not any("consumed" in text for text in asked(condition=[bound]).warnings)
    wrong = {"id": "wrong", "numerator": side("flow_pure_kg", "store"), "denominator": side("flow_pure_kg", "north")}
    with pytest.raises(ScenarioError, match=r"no evidence on store in .*, but on precursors.* Ask for potential_pure_kg"):
        asked(contrast=[wrong])


def test_precursors_alone_are_a_scenario() -> None:
    one = file_of(LAB[1:], {"precursor_yield": YIELD}, run={"draws": 4096, "tolerance": 0.02})
    tree = sim.run(one, threads=1)
    assert tree.attrs["tolerance_met"] == "yes"
    assert tree.attrs["tolerance_reached"] > 0.0
    assert np.isnan(tree["quantiles"]["flow_pure_kg"]).all()
    assert "potential of" in printed.summary(tree, 0.9, terminal=False)


def test_where_only_some_cases_have_precursors() -> None:
    rows = [line(), line(period="FY2023"), line("north", 1, 50.0, "precursor")]
    sweep = [{"dim": "years", "path": "evidence.periods", "values": [["FY2023"], ["FY2024"]], "labels": ["before", "after"]}]
    tree = sim.run(asked(rows=[*rows, line("lab", 1, 54.0), line("lab", 1, 54.0, period="FY2023")], groups={}, sweep=sweep), threads=1)
    potential = tree["quantiles"]["potential_pure_kg"].sel(corridor="north", form="all", quantile=0.5)
    assert np.isnan(potential.sel(years="before")).all()
    assert np.isfinite(potential.sel(years="after", period=PERIOD))
    assert np.isnan(tree["evidence"]["seized_gross_kg"].sel(years="before", evidence_form="precursor")).all()
    assert tree["diagnostics"]["purity_cut_share"].sizes["evidence_form"] == 4


def test_a_yield_without_a_mean_has_none() -> None:
    law = {"kind": "student_t", "df": 1.5, "loc": 1.0, "scale": 0.1, "lower": 0.0}
    tree = sim.run(file_of(LAB[2:], {"precursor_yield": law}, run={"draws": 4096}), threads=1)
    assert np.isnan(tree["moments"]["potential_pure_kg"]).all()
    assert "precursor_yield can be very large" in tree["moments"]["potential_pure_kg"].attrs["note"]


def test_copies_ask_nothing_of_precursors() -> None:
    blocks = {"detection_rate": 0.1, "powder_purity": 0.1, "precursor_yield": 1.0}
    one = scenario([row(n_events=1), row(n_events=7, amount=3.0, form="precursor")], blocks, load_law="copy")
    assert check(one) == []
    assert (draws(one, 8)["potential_pure_kg"][..., ALL] == 3.0).all()


def test_show_prints_potentials_apart(tree: Any, tmp_path: Path) -> None:
    text = printed.summary(tree, 0.9, terminal=False)
    assert "potential of" in text
    assert "no evidence of the drug there" in " ".join(text.split())
    opened = sim.open_result(sim.save_result(tree, tmp_path))
    assert opened["quantiles"].to_dataset().identical(tree["quantiles"].to_dataset())
    assert "kg" in printed.table_of_forms(opened, "potential_pure_kg", 0.9, terminal=False)


# --- wrong files ------------------------------------------------------------------------------------------------------------------

ROW = """
[[evidence.row]]
corridor = "lab"
period = "FY2024"
form = "precursor"
n_events = 1
amount = 50
unit = "kg"
"""
BLOCK = """
[[parameter]]
name = "precursor_yield"
distribution = { kind = "lognormal", interval = [0.7, 1.9], probability = 0.9 }
basis = "derived"
source = "cbp"
"""


def lab_file(folder: Path, row: str = ROW, block: str = BLOCK, extra: str = "") -> Path:
    text = SCENARIO.replace('corridors = ["east", "west"]\n', f'corridors = ["east", "west", "lab"]\n{row}', 1) + block + extra
    return WrongFiles(name="lab", files=VALID | {"scenario.toml": text}, fragments=()).write(folder)


def test_the_files_that_are_changed_are_right(tmp_path: Path) -> None:
    one = sim.load_scenario(lab_file(tmp_path))
    assert one.warnings == ()
    (tmp_path / "again.toml").write_text(sim.scenario.to_toml(one), encoding="utf-8")
    assert sim.load_scenario(tmp_path / "again.toml").document == one.document


CONTRAST = """
[[contrast]]
id = "ratio"
numerator = {{ quantity = "{0}", corridor = "{1}", period = "FY2024", form = "{2}" }}
denominator = {{ quantity = "seized_pure_kg", corridor = "east", period = "FY2024", form = "all" }}
"""


@pytest.mark.parametrize(
    ("row", "block", "extra", "said"),
    [
        (ROW.replace('"kg"', '"pill"'), BLOCK, "", "pill with the form precursor"),
        (ROW.replace("50", '"160 L"'), BLOCK, "", "amount"),
        (ROW.replace('"kg"', '"L"'), BLOCK, "", "unit: .L. is not a unit of evidence"),
        (ROW.replace('"precursor"', '"precursors"'), BLOCK, "", ".precursors. is not a form of evidence; .*The nearest is precursor"),
        (ROW + "rounding = 60\n", BLOCK, "", "must be at most amount"),
        (ROW, "", "", "no precursor_yield serves lab, FY2024, precursor"),
        (ROW, BLOCK.replace("[0.7, 1.9]", '["70 %", 1.9]'), "", r"'70 %' is a percentage; .*Write 0.7"),
        (ROW, BLOCK.replace("[0.7, 1.9]", '["0.7 kg", 1.9]'), "", r"no ratio of masses; .*\"760 g/kg\".*Write \"0.7 kg/kg\""),
        (ROW, BLOCK.replace('{ kind = "lognormal", interval = [0.7, 1.9], probability = 0.9 }', "-1"), "", r"lies in \[0, inf\) kg/kg"),
        (ROW, BLOCK + 'form = "powder"\n', "", "precursor_yield has no form .*powder.*looked up by precursor"),
        ("", BLOCK, "", "not used|lab"),
        (ROW, BLOCK, CONTRAST.format("potential_pure_kg", "lab", "powder"), 'does not exist for form powder; .*Write form = "all"'),
        (ROW, BLOCK, CONTRAST.format("potential_pure_kg", "west", "all"), "no evidence on precursors of west in FY2024"),
        (ROW, BLOCK, CONTRAST.format("seized_pure_kg", "lab", "all"), "no evidence on lab in FY2024"),
        (ROW, BLOCK, CONTRAST.format("potential_kg", "lab", "all"), 'The nearest is "potential_pure_kg"'),
    ],
)
def test_wrong_files(tmp_path: Path, row: str, block: str, extra: str, said: str) -> None:
    with pytest.raises(ScenarioError, match=said):
        sim.load_scenario(lab_file(tmp_path, row, block, extra))


def test_a_detection_rate_of_a_precursor_is_no_form_of_it(tmp_path: Path) -> None:
    extra = '\n[[parameter]]\nname = "detection_rate"\nform = "precursor"\ndistribution = 1\nbasis = "derived"\nsource = "cbp"\n'
    with pytest.raises(ScenarioError, match="detection_rate has no form"):
        sim.load_scenario(lab_file(tmp_path, extra=extra))


def test_a_contrast_on_precursors_where_no_scenario_has_any(tmp_path: Path) -> None:
    text = SCENARIO + CONTRAST.format("potential_pure_kg", "east", "all")
    path = WrongFiles(name="none", files=VALID | {"scenario.toml": text}, fragments=()).write(tmp_path)
    with pytest.raises(ScenarioError, match="no evidence on precursors of east in FY2024"):
        sim.load_scenario(path)


@pytest.mark.parametrize(("text", "expected"), [("0.76 kg/kg", 0.76), ("760 g/kg", 0.76), ("2 lb/oz", 32.0), ("0.76", 0.76)])
def test_a_yield_may_bear_its_unit(text: str, expected: float) -> None:
    assert sim.units.parse_quantity(text, "kg/kg") == pytest.approx(expected, rel=1e-15)


def test_a_row_of_precursor_is_read_and_written() -> None:
    keys = {"corridor": "lab", "period": PERIOD, "form": "precursor", "amount": 110.0, "unit": "lb", "rounding": 5.0}
    read, problems = row_from_mapping(keys)
    assert problems == []
    assert read is not None
    assert read.n_events is None
    assert read.amount == pytest.approx(49.895, abs=1e-3)
