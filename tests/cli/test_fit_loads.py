"""`sim fit-loads` and `sim import-cbp --cells`, from CBP's file to blocks that a scenario can hold."""

from __future__ import annotations

import math
import tomllib
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner, Result
from pages import hide_matplotlib

from sim.cbp import import_cbp
from sim.cli import main
from sim.evidence import check_rows, read_table

HEADER = "FY,Month (abbv),Component,Region,Land Filter,Area of Responsibility,Drug Type,Count of Event,Sum Qty (lbs)"
NORTH = "U.S. Border Patrol,Northern Border,Land Only"


def fit_loads(*arguments: object) -> Result:
    result = CliRunner().invoke(main, ["fit-loads", *map(str, arguments)], prog_name="sim")
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


@pytest.fixture
def cells(tmp_path: Path) -> Path:
    """An evidence table of 30 single events and a row of more, as import-cbp --cells writes it."""
    sizes = np.round(np.exp(2.0 * np.random.default_rng(1).standard_normal(30)), 4)
    lines = [f"2024,OCT,{NORTH},AREA {i},Fentanyl,1,{size}" for i, size in enumerate(sizes)]
    lines += [f"2024,OCT,{NORTH},BUSY,Fentanyl,12,400.5", f"2024,OCT,{NORTH},LOST,Fentanyl,1,0", f"2024,NOV,{NORTH},X,Heroin,1,1"]
    raw, table = tmp_path / "raw.csv", tmp_path / "cells.csv"
    raw.write_text("\n".join([HEADER, *lines]) + "\n")
    outcome = CliRunner().invoke(main, ["import-cbp", "--cells", str(raw), "-o", str(table)])
    assert outcome.exit_code == 0, outcome.stderr
    whole, apart = import_cbp(raw), pd.read_csv(table)
    assert len(apart) == 31
    assert (apart["n_events"] == 1).sum() == 30
    assert apart["n_events"].sum() == whole["n_events"].sum() == 43
    assert apart["amount"].sum() == pytest.approx(whole["amount"].sum())
    rows, problems = read_table(table)
    assert problems == check_rows(rows) == []
    return table


def test_a_weight_without_events_keeps_its_stratum_whole(tmp_path: Path) -> None:
    raw = tmp_path / "raw.csv"
    raw.write_text("\n".join([HEADER, f"2024,OCT,{NORTH},A,Fentanyl,1,2.5", f"2024,OCT,{NORTH},B,Fentanyl,,0.5"]) + "\n")
    frame = import_cbp(raw, cells=True)
    assert frame[["n_events", "amount"]].values.tolist() == [[1, 3.0]]


def test_blocks_go_to_standard_output_and_the_rest_elsewhere(cells: Path) -> None:
    outcome = fit_loads(cells, "--median")
    assert outcome.exit_code == 0
    size, median = tomllib.loads(outcome.stdout)["parameter"]
    assert (size["name"], size["corridor"], size["basis"]) == ("load_log_sd", "northern-between-ports", "derived")
    assert size["source"] == "cbp-nationwide-drug-seizures"
    assert 1.3 < size["distribution"]["median"] < 3.0
    assert (median["name"], median["distribution"]["median"][-3:]) == ("load_median", " kg")
    assert "30 of 43 events (69.8%)" in outcome.stderr
    assert "-fold less" in outcome.stderr
    assert "AIC lognormal" in outcome.stderr


def test_output_file_and_options(cells: Path, tmp_path: Path) -> None:
    target = tmp_path / "blocks.toml"
    outcome = fit_loads(
        cells, "-o", target, "--group", "north=northern-between-ports", "--summary", "elsewhere=147,-2.73,2.41,lb",
        "--truncation", "none", "--rounding", "0.05 g", "--no-pool",
    )  # fmt: skip
    assert (outcome.exit_code, outcome.stdout) == (0, f"{target}\n")
    first, second = tomllib.loads(target.read_text(encoding="utf-8"))["parameter"]
    assert (first["corridor"], second["corridor"]) == ("northern-between-ports", "elsewhere")
    assert second["distribution"]["median"] == pytest.approx(2.41, rel=0.01)
    assert second["distribution"]["sd_log"] == pytest.approx(1 / math.sqrt(2 * 146), rel=0.03)
    assert "no truncation" in first["note"]


@pytest.mark.parametrize(
    ("arguments", "fragment"),
    [
        (["--group", "north"], "NAME=A,B"),
        (["--group", "a=x", "--group", "a=y"], "NAME=A,B"),
        (["--summary", "north=1,2"], "NAME=N,MEAN,SD,UNIT"),
        (["--summary", "north=9,0,1,stone"], "not a mass"),
        (["--truncation", "-1"], "neither a number above 0 nor none"),
        (["--rounding", "0.001"], "not a mass such as"),
        (["absent.csv"], "absent.csv"),
        ([], "neither a table nor a summary"),
        (["--summary", "north=9,0,0,kg"], "an sd of them from 0.05 to 8"),
        (["--summary", "north=9,0,1e9,kg"], "an sd of them from 0.05 to 8"),
        (["--summary", "north=1e12,0,1,kg"], "a whole n from 3 to 100,000"),
        (["--summary", "north=nan,0,1,kg"], "a whole n from 3 to 100,000"),
    ],
)
def test_what_is_wrong_is_told(arguments: list[str], fragment: str) -> None:
    outcome = fit_loads(*arguments)
    assert (outcome.exit_code, outcome.stdout) == (2, "")
    assert fragment in outcome.stderr


def test_a_table_of_sums_is_refused(cells: Path) -> None:
    sums = cells.with_name("sums.csv")
    frame = pd.read_csv(cells)
    frame[frame["n_events"] > 1].to_csv(sums, index=False)
    outcome = fit_loads(sums)
    assert (outcome.exit_code, outcome.stdout) == (2, "")
    assert "sim import-cbp --cells" in outcome.stderr
    assert fit_loads(cells, "-o", cells).exit_code == 2


def test_blocks_replace_no_file_and_are_no_picture(cells: Path, tmp_path: Path) -> None:
    scenario = tmp_path / "scenario.toml"
    scenario.write_text("mine")
    refused = fit_loads(cells, "-o", scenario)
    assert (refused.exit_code, refused.stdout) == (2, "")
    assert "is there already, and blocks are not added to it; name a new file" in refused.stderr
    assert scenario.read_text() == "mine"
    for option, name, allowed in (("-o", "x.png", ".toml"), ("-o", "x.csv", ".toml"), ("--plot", "x.toml", ".png, .svg, .pdf")):
        refused = fit_loads(cells, option, tmp_path / name)
        assert (refused.exit_code, f"must end in {allowed}" in refused.stderr) == (2, True)
        assert not (tmp_path / name).exists()


def test_the_picture(cells: Path, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="the extra plot")
    target = tmp_path / "sizes.png"
    assert fit_loads(cells, "--plot", target).exit_code == 0
    assert target.read_bytes().startswith(b"\x89PNG")
    refused = fit_loads(cells, "--plot", tmp_path / "sizes.unknown")
    assert (refused.exit_code, ".png, .svg, .pdf" in refused.stderr) == (2, True)
    refused = fit_loads("--summary", "north=9,0,1,kg", "--plot", target)
    assert (refused.exit_code, "five rows" in refused.stderr) == (2, True)


def test_without_matplotlib(cells: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hide_matplotlib(monkeypatch)
    outcome = fit_loads(cells, "--plot", tmp_path / "sizes.png")
    assert (outcome.exit_code, outcome.stdout) == (1, "")
    assert "borderflow-sim[plot]" in outcome.stderr
    assert list(tmp_path.glob("*.png")) == []
