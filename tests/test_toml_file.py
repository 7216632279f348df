"""Reading TOML of strangers apart from any scenario: what a caller may allow, what happens beside the file."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Any

import pytest

from sim.errors import Problem, ScenarioError
from sim.toml_file import MAX_DEPTH, check_scalars, read_toml


def test_only_the_key_that_may_be_infinite_is_and_only_upwards() -> None:
    key = ("a", "b")
    assert check_scalars({"a": {"b": math.inf}}, infinite=key) == []
    for document in ({"a": {"b": -math.inf}}, {"a": {"b": math.nan}}, {"a": {"c": math.inf}}):
        (problem,) = check_scalars(document, infinite=key)
        assert problem.allowed == "a number must be finite; only a.b may be inf"
    assert [problem.allowed for problem in check_scalars({"a": {"b": math.inf}})] == ["a number must be finite"]


def test_numbers_and_texts_are_checked_wherever_they_stand() -> None:
    document = {"a": [1, [-(10**301)]], "b\x07": {"c": "d\x1f", "e": True, "f": "tab\tand line\n"}, "g": 1e300}
    assert [problem.path for problem in check_scalars(document)] == [("a", 2, 1), ("b\x07",), ("b\x07", "c")]


def test_depth_that_a_caller_put_in_is_found() -> None:
    nested: Any = 1
    for _ in range(MAX_DEPTH):
        nested = {"x": nested}
    assert check_scalars(nested) == []
    assert {problem.came for problem in check_scalars([nested])} == {"this is nested too deeply"}


def test_a_missing_file_in_a_folder_that_may_not_be_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "sources.toml").touch()
    with pytest.raises(ScenarioError, match=r'there is no such file; a list must exist\. The nearest is "sources.toml"'):
        read_toml(tmp_path / "source.toml", "a list")

    def refuse(*_: object) -> Any:
        raise PermissionError

    monkeypatch.setattr(os, "listdir", refuse)
    with pytest.raises(ScenarioError, match=r"there is no such file; a list must exist\. Check the path"):
        read_toml(tmp_path / "source.toml", "a list")


def test_a_problem_below_what_the_file_says_has_the_line_of_the_table_that_lacks_it(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text("x = 1\n\n[[y]]\nz = { w = 1 }\n", encoding="utf-8")
    file = read_toml(tmp_path / "a.toml", "a list")
    lines = {path: file.locate(Problem(path=path, came="")).line for path in ((), ("v",), ("y", 1, "u"), ("y", 1, "z", "t", 3), ("y", 2))}
    assert lines == {(): 1, ("v",): 1, ("y", 1, "u"): 3, ("y", 1, "z", "t", 3): 4, ("y", 2): 3}
