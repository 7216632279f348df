"""What README.md shows is what its commands print."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from sim.cli import main

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()


@pytest.mark.nightly
def test_the_table_is_what_the_first_command_prints(tmp_path):
    """A million draws of the shipped scenario: the rows of the table, its run_id, and the ratio quoted beneath."""
    table = README.split("```text\n")[1].split("```")[0]
    asked = re.search(r"\.venv/bin/sim (run .*)\n", README)
    assert asked is not None
    arguments = asked[1].replace("scenarios/", f"{ROOT}/scenarios/").split()
    done = CliRunner(env={"COLUMNS": "160"}).invoke(main, [*arguments, "--results", str(tmp_path), "--quiet"])
    folder = Path(done.stdout.strip().splitlines()[-1])
    assert f"`run_id` {folder.name}" in README
    shown = CliRunner(env={"COLUMNS": "160"}).invoke(main, ["show", str(folder)])
    printed = [line.split() for line in shown.stdout.splitlines()]
    for line in table.splitlines():
        assert line.split() in printed


def test_the_commands_are_one_line_each():
    commands = README.split("## Two commands")[1].split("## A result")[0].split("```sh\n")[1:]
    assert [len(command.split("```")[0].strip().splitlines()) for command in commands] == [1, 1]
    assert commands[1].split("```")[0].strip() in (ROOT / ".ci" / "run").read_text()


def test_the_rows_on_speed_are_those_of_the_benches():
    rows = [line for line in README.split("## Speed")[1].split("## More")[0].splitlines() if line.startswith("| ")]
    measured = (ROOT / "benches" / "RESULTS.md").read_text().splitlines()
    assert len(rows) > 20
    assert [row for row in rows if row not in measured] == []
