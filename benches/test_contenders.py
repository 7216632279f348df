"""Every contender as a benchmark of pytest-benchmark: `pytest benches --benchmark-only --benchmark-group-by=group`."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import pytest

from . import bench_border, bench_kernels, bench_propagate
from .measuring import Contender, Effort

EFFORT = Effort(divide=4)
NAMES: dict[str, Callable[[Effort], dict[str, Contender]]] = {
    "kernels": bench_kernels.contenders,
    "border": bench_border.contenders,
    "propagate": lambda effort: bench_propagate.contenders(effort)[0],
}


@cache
def _contenders(bench: str) -> dict[str, Contender]:
    return NAMES[bench](EFFORT)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    pairs = [(bench, name) for bench in NAMES for name in _contenders(bench)]
    metafunc.parametrize(("bench", "name"), pairs, ids=[f"{bench}-{name}" for bench, name in pairs])


def test_contender(bench: str, name: str, benchmark: Any) -> None:
    contender = _contenders(bench)[name]
    benchmark.group = bench
    benchmark.extra_info["draws"] = contender.draws
    benchmark.pedantic(contender.call, rounds=10, warmup_rounds=1)
