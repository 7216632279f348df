"""Every kind of wrong file gives a message worth reading: where, what came, what is allowed, what to do."""

from __future__ import annotations

from pathlib import Path

import pytest
from cli.wrong_files import CASES, VALID, WrongFiles

from sim.errors import EvidenceError, ScenarioError
from sim.scenario import load_scenario


def test_the_table_is_large_and_its_names_are_unique() -> None:
    assert len(CASES) >= 40
    assert len({case.name for case in CASES}) == len(CASES)


def test_the_files_that_the_cases_change_are_right(tmp_path: Path) -> None:
    path = WrongFiles(name="valid", files=VALID, fragments=()).write(tmp_path)
    assert load_scenario(path).warnings == ()


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_wrong_files_are_refused_with_their_place_and_a_way_out(case: WrongFiles, tmp_path: Path) -> None:
    path = case.write(tmp_path)
    with pytest.raises((ScenarioError, EvidenceError)) as refused:
        load_scenario(path)
    text = str(refused.value)
    for fragment in case.fragments:
        assert fragment in text, text
    assert case.n_problems in (len(refused.value.problems), None), text
    for problem in refused.value.problems:
        assert problem.file is not None, text
        assert problem.allowed or problem.advice, text
        assert str(problem).count("\n") == 0, text
        assert len(str(problem)) < 700, text
