"""The laws of `load_log_sd` that a shipped scenario calls derived are what the command in its comment prints."""

from __future__ import annotations

import shlex
import tomllib
from pathlib import Path

import pytest
from click.testing import CliRunner

from sim.cli import main

SCENARIOS = Path(__file__).parents[2] / "scenarios"


@pytest.fixture(scope="module")
def made() -> dict[str, object]:
    text = (SCENARIOS / "north-vs-southwest.toml").read_text(encoding="utf-8")
    [command] = [line.lstrip("# ") for line in text.splitlines() if line.startswith("#") and " sim fit-loads " in line]
    outcome = CliRunner().invoke(main, shlex.split(command)[1:])
    assert outcome.exit_code == 0, outcome.stderr
    return {block["corridor"]: block["distribution"] for block in tomllib.loads(outcome.stdout)["parameter"]}


@pytest.mark.parametrize("name", ["north-vs-southwest", "detection-grid"])
def test_the_command_makes_the_laws(name: str, made: dict[str, object]) -> None:
    blocks = tomllib.loads((SCENARIOS / f"{name}.toml").read_text(encoding="utf-8"))["parameter"]
    derived = {
        block["corridor"]: block["distribution"] for block in blocks if (block["name"], block["basis"]) == ("load_log_sd", "derived")
    }
    assert derived
    assert derived == {corridor: made[corridor.removesuffix("-ports")] for corridor in derived}
