"""What is compiled without counting references must have none to count."""

from __future__ import annotations

import ast
from pathlib import Path

import sim.kernels

RETURN_NUMBERS = {"_extremes", "_places_within", "_score_of_tail", "_sort_betas", "lane_sums", "weighted_lane_sums"}


def borrowing_kernels() -> dict[str, ast.FunctionDef]:
    """Return the functions that are decorated so, by name."""
    trees = [ast.parse(path.read_text(encoding="utf-8")) for path in sorted(Path(sim.kernels.__file__).parent.glob("*.py"))]
    functions = [node for tree in trees for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
    return {each.name: each for each in functions if "borrowing" in map(ast.unparse, each.decorator_list)}


def test_a_borrowing_kernel_returns_nothing_or_numbers() -> None:
    """An array that it returned would be freed while it is in use, for nobody counted it; one that it makes is refused by Numba.

    Whoever adds a name above has looked that it returns numbers.
    """
    found = borrowing_kernels()
    assert len(found) > 20
    returning = {name for name, each in found.items() for node in ast.walk(each) if isinstance(node, ast.Return) and node.value is not None}
    assert returning == RETURN_NUMBERS
