"""Tipping maps: known answers, common random numbers, refinement, and what is refused."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import verdicts
import xarray as xr
from build import PERIOD, block, row, scenario
from click.testing import CliRunner
from scipy import special, stats

import sim
from sim import cli, maps, progress
from sim.errors import ScenarioError

EARLIER, LATER = "parameter.detection_rate[FY2023]", f"parameter.detection_rate[{PERIOD}]"
LEVELS = np.array([0.05, 0.5, 0.95])


def two_years(prior: float = 0.5, **tables: Any) -> Any:
    """2 events and then 11; all but one load in 10^5 or so are missed, so that missed loads are as the rates of seizures over d."""
    sides = [{"quantity": "n_missed", "corridor": "north", "period": period, "form": "all"} for period in (PERIOD, "FY2023")]
    law = {"kind": "uniform", "low": 1e-6, "high": 1e-4}
    blocks = [block("detection_rate", law, period="FY2023"), block("detection_rate", law, period=PERIOD), block("powder_purity", 1.0)]
    return scenario(
        [row(n_events=2, amount=2.0, period="FY2023"), row(n_events=11, amount=11.0)],
        blocks,
        run={"draws": 32_768, "seed": 3},
        model={"load_law": "equal", "event_prior": prior},
        contrast=[{"id": "growth", "numerator": sides[0], "denominator": sides[1]}],
        claim=[{"id": "increase", "text": "It increased", "contrast": "growth", "above": 1.0}],
        **tables,
    )


GRID = {EARLIER: [1e-6, 2e-6], LATER: np.geomspace(1e-6, 1e-4, 25).tolist()}


def rates_p(prior: float) -> float:
    """P(mu2 / d2 > mu1 / d1) is .05, .5, .95 where d2 / d1 is the .95, .5, .05 quantile of the F law of mu2 / mu1."""
    found = sim.tipping(two_years(prior), "increase", [EARLIER, LATER], values=GRID, threads=2)
    ratio = 11.5 / 2.5 * stats.f.ppf(1.0 - LEVELS, 23.0, 5.0)
    expected = np.outer(GRID[EARLIER], ratio)
    # 25 columns over two decades: interpolation is off by .3 % at most, as columns 10 times as close show
    value, error = found["tipping_value"].values, found["tipping_value_mcse"].values
    return verdicts.agreement_p(value, expected, error, 16, 0.004 * expected)


def test_the_detection_rates_that_undo_an_increase_are_the_ratio_of_the_rates() -> None:
    verdicts.decide("tipping ratio of detection rates", rates_p(0.5))


def test_another_prior_is_told() -> None:
    with pytest.raises(AssertionError, match="below"):
        verdicts.decide("tipping ratio of detection rates", rates_p(1.5))


def test_a_line_on_the_scale_of_scores_is_met_whichever_way_it_runs() -> None:
    x = np.linspace(-3.0, 3.0, 9)
    for slope in (2.0, -2.0):
        found, errors, monotone = maps.tipping_values(x, special.ndtr(slope * (x - 0.1)), np.full(9, 1e-4))
        np.testing.assert_allclose(found, 0.1 + special.ndtri(LEVELS) / slope, rtol=1e-9)
        assert monotone
        density = np.exp(-0.5 * special.ndtri(LEVELS) ** 2) / np.sqrt(2.0 * np.pi)
        assert (errors <= 1e-4 / (2.0 * density) * 1.0001).all()
        assert (errors >= 1e-4 / (2.0 * density) / 1.5).all()


def test_a_row_that_turns_round_has_no_tipping_value() -> None:
    x, p = np.linspace(0.0, 1.0, 5), np.array([0.1, 0.6, 0.2, 0.7, 0.9])
    found, _, monotone = maps.tipping_values(x, p, np.full(5, 0.01))
    assert np.isnan(found).all()
    assert not monotone
    assert maps.tipping_values(x, p, np.full(5, 0.2))[2]
    assert not maps.tipping_values(x, np.full(5, np.nan), np.full(5, np.nan))[2]


def test_neighbours_share_their_draws_and_columns_halve_where_it_tips() -> None:
    found = sim.tipping(two_years(), "increase", [EARLIER, LATER], points=4, refinements=2, draws=4096, threads=2)
    first, second = found["probability"].dims
    assert (first, second) == ("detection_rate_FY2023", "detection_rate_FY2024")
    assert found.sizes[first] == 4 < found.sizes[second]
    rows = found["probability"].values
    assert (np.diff(rows, axis=1) <= 0.0).all()  # to the last hit: without common random numbers some would go the other way
    assert (np.diff(rows, axis=0) >= 0.0).all()
    column = found[second].values
    for row_ in rows:
        at = np.flatnonzero((row_[:-1] >= 0.5) & (row_[1:] < 0.5))
        assert all(column[i + 1] / column[i] < 1.5 for i in at)  # steps of 4.05, halved twice
    assert found[second].attrs["long_name"] == LATER
    assert all({"units", "long_name"} <= variable.attrs.keys() for variable in found.data_vars.values())


def test_one_cell_is_the_run_with_both_inputs_set() -> None:
    values = {EARLIER: [1e-6, 3e-6], LATER: [5e-6, 2e-5]}
    found = sim.tipping(two_years(), "increase", [EARLIER, LATER], values=values, draws=4096, threads=2)
    sweeps = [{"dim": f"d{k}", "path": f"{path}.distribution", "values": numbers} for k, (path, numbers) in enumerate(values.items())]
    swept = sim.run(two_years(sweep=sweeps), draws=4096, threads=2)
    for name in ("probability", "probability_mcse", "lower_bound", "upper_bound"):
        np.testing.assert_array_equal(found[name].values, swept["claims"][name].values[..., 0])


@pytest.mark.parametrize(
    ("claim", "over", "values", "said"),
    [
        ("increse", [EARLIER, LATER], {}, 'unknown claim "increse"; the claims are increase'),
        ("increase", [EARLIER, EARLIER], {}, "a map has two different inputs"),
        ("increase", [EARLIER, f"{EARLIER}.distribution"], {}, "a map has two different inputs"),
        ("increase", [EARLIER, "parameter.detection_rates"], {}, "--over parameter.detection_rates: there is no such path"),
        ("increase", [EARLIER, "parameter.powder_purity"], {}, "there is no range to choose values from"),
        ("increase", [EARLIER, "model.event_prior"], {}, "Give its values"),
        ("increase", [EARLIER, LATER], {LATER: [0.5, 2.0]}, "2 is outside the domain; detection_rate lies in (0, 1]"),
    ],
)
def test_what_is_refused(claim: str, over: list[str], values: dict[str, list[float]], said: str) -> None:
    with pytest.raises(ScenarioError) as refused:
        sim.tipping(two_years(), claim, over, values=values)
    assert said in str(refused.value)
    assert "input_" not in str(refused.value)


def test_a_scenario_that_is_swept_is_refused() -> None:
    sweep = [{"dim": "prior", "path": "model.event_prior", "values": [0.5, 1.0]}]
    with pytest.raises(ScenarioError, match="the scenario sweeps prior"):
        sim.tipping(two_years(sweep=sweep), "increase", [EARLIER, LATER])


def test_conditions_do_not_weight_a_map_and_it_says_so() -> None:
    bound = {"id": "bound", "log_sd": 0.5, "soft_upper": "1 kg"}
    result = {"quantity": "flow_pure_kg", "corridor": "north", "period": "FY2024", "form": "all"}
    values = {EARLIER: [1e-6, 3e-6], LATER: [5e-6, 2e-5]}
    found, plain = (
        sim.tipping(each, "increase", [EARLIER, LATER], values=values, draws=4096, threads=2)
        for each in (two_years(condition=[bound | {"result": result}]), two_years())
    )
    assert found.drop_attrs().identical(plain.drop_attrs())
    assert found.attrs.pop("note") == "conditions do not weight these numbers"
    assert found.attrs == plain.attrs
    with pytest.raises(ScenarioError, match=r"--over condition\.bound\.soft_upper: there is no such path"):
        sim.tipping(two_years(condition=[bound | {"result": result}]), "increase", [EARLIER, "condition.bound.soft_upper"])


def test_the_command_writes_a_map(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "PLAIN_SECONDS", 0.0)
    file, out = tmp_path / "scenario.toml", tmp_path / "map.nc"
    file.write_text(sim.scenario.to_toml(two_years()), encoding="utf-8")
    options = ["--over", f"{EARLIER}=[1e-6, 2e-6]", "--over", LATER, "-o", str(out), "--points", "3", "--draws", "4096"]
    ran = CliRunner().invoke(cli.main, ["tipping", str(file), "increase", *options])
    assert ran.exit_code == 0, ran.output
    assert ran.stdout == f"{out}\n"
    assert "P = 0.5" in ran.stderr
    assert re.search(r"increase: 50% of 6 cases, [\d,.]+ cases a second, \d+ s left", ran.stderr)
    with xr.open_dataset(out) as written:
        assert written["tipping_value"].shape == (2, 3)
    for wrong, said in ((options[:2], "two different inputs"), (["--over", "a=b", *options[2:]], "is not PATH=[numbers]")):
        refused = CliRunner().invoke(cli.main, ["tipping", str(file), "increase", *wrong, "-o", str(out)])
        assert refused.exit_code == 2
        assert said in refused.stderr
    for target, said in ((file, "it is the file to read"), (tmp_path, "is a folder"), (tmp_path / "no" / "map.nc", "does not exist")):
        refused = CliRunner().invoke(cli.main, ["tipping", str(file), "increase", *options[:4], "-o", str(target)])
        assert refused.exit_code == 2
        assert said in refused.stderr
    assert sim.load_scenario(file).claims


def test_the_command_fixes_what_is_swept_by_set(tmp_path: Path) -> None:
    """The message on a swept scenario names --set, so the command has it."""
    file, out = tmp_path / "scenario.toml", tmp_path / "map.nc"
    sweep = [
        {"dim": "prior", "path": "model.event_prior", "values": [0.5, 1.0]},
        {"dim": "seed", "path": "run.seed", "values": [1, 2]},
    ]
    file.write_text(sim.scenario.to_toml(two_years(sweep=sweep)), encoding="utf-8")
    options = ["--over", f"{EARLIER}=[1e-6, 1e-5]", "--over", f"{LATER}=[1e-6, 1e-5]", "-o", str(out), "--draws", "1024"]
    refused = CliRunner().invoke(cli.main, ["tipping", str(file), "increase", *options])
    assert refused.exit_code == 2
    assert "Fix it with --set model.event_prior=..." in refused.stderr
    assert "Fix it with --set run.seed=..." in refused.stderr
    fixed = ["--set", "model.event_prior=1.0", "--set", "run.seed=1"]
    ran = CliRunner().invoke(cli.main, ["tipping", str(file), "increase", *options, *fixed])
    assert ran.exit_code == 0, ran.output
    assert "On the whole map the probability is from" in ran.stderr
    assert "does not hang on" not in ran.stderr
    idle = ["--over", f"{EARLIER}=[1e-6, 1e-5]", "--over", "parameter.powder_purity=[0.1, 0.2]", *options[4:], *fixed]
    ran = CliRunner().invoke(cli.main, ["tipping", str(file), "increase", *idle])
    assert ran.exit_code == 0, ran.output
    assert "parameter.powder_purity does not move it: the claim does not hang on that input." in ran.stderr
    assert ran.stderr.count("does not move it") == 1
    assert list(tmp_path.glob(".*")) == []
