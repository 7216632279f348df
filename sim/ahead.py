"""Compiles half of the border kernel in a second process while the first compiles the other.

Numba compiles one function at a time in a process, but finds what another process has just put into the cache folder. Only speed hangs on
this module: what is named wrongly here, or was not ready in time, is compiled where it is called.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numba
import numpy as np
from numba import int64

from .kernels import border, packing, summaries
from .kernels.inputs import Source
from .kernels.jit import cache_folder
from .model import Model, compile_model
from .records import Scenario

typeof: Callable[[object], Any] = numba.typeof

_FLAG = "compiling-ahead"  # in the cache folder: one helper is enough, whoever begins
_LONGEST = 600.0  # seconds; a helper takes 30


def start(scenario: Scenario) -> None:
    """Start the helper, where the border kernel was never compiled and a second processor is there; it ends by itself."""
    folder = cache_folder()
    if folder is None or (os.cpu_count() or 1) < 2 or any(Path(folder).rglob("border.border_block-*.nbi")):
        return
    flag = Path(folder) / _FLAG
    with contextlib.suppress(OSError):
        if flag.exists() and time.time() - flag.stat().st_mtime > _LONGEST:
            flag.unlink()  # of a helper that was killed
        flag.touch(exist_ok=False)
        helper = subprocess.Popen(
            [sys.executable, "-m", __name__], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        threading.Thread(target=helper.communicate, args=(pickle.dumps(scenario.runs[0]),), daemon=True).start()


def prototype(scenario: Scenario) -> Model:
    """Return a model whose arrays are of the types of this scenario's: all loads are equal, which needs no table of sums."""
    return compile_model(replace(scenario, load_law="equal"))


def parts(model: Model) -> list[tuple[Any, tuple[Any, ...]]]:
    """Return (kernel, types of its arguments) of what is to be compiled ahead, the longest first."""
    column, rows, cube, numbers, whole = (typeof(np.empty(shape, dtype)) for shape, dtype in _ARRAYS)
    source = typeof(Source(np.uint64(0), 0, *(np.empty(shape, dtype) for shape, dtype in _SOURCE)))
    layout = summaries.plan_layout(np.zeros((0, 1)), True)
    first = (typeof(model.strata), typeof(model.tables))
    state = typeof(summaries.new_state(layout))
    waiting = typeof(summaries.Waiting(np.empty((1, 1, 1), np.uint16), np.empty(1, np.int64), np.empty((1, 1, 1))))
    counted = (typeof(layout), state, cube, rows, waiting)
    return [
        (border.compose, (*first, rows, int64, rows, *(column,) * 5, cube, whole)),
        (border.draw_missed, (*first, int64, source, rows, int64, int64, column, column, rows, *(column,) * 4)),
        (border.summarise, (whole, cube, rows, int64, int64, int64, *counted, typeof(model.contrasts.row), rows)),
        (border.compare, (typeof(model.contrasts), rows, int64, int64, int64, *counted, whole)),
        (summaries.absorb, (typeof(layout), state, state, column, rows, numbers)),
        (summaries._quantiles, (typeof(layout), state, int64, rows, rows, rows)),
        (summaries.locate, (typeof(layout), int64, column, numbers)),
        (summaries._draw_counts, (typeof(layout), state, whole)),
        (packing._encode, (typeof(np.empty(1, np.uint32)), typeof(np.empty(1, np.uint8)))),
    ]


_ARRAYS = (((1,), np.float64), ((1, 1), np.float64), ((1, 1, 1), np.float64), ((1,), np.int64), ((1, 1), np.int64))
_SOURCE = (((1, 53), np.uint64), ((1,), np.uint64), ((1,), np.int64), ((1,), np.uint64))


def main() -> None:
    """Compile into the cache folder what a run of the scenario on standard input will call."""
    try:
        for kernel, signature in parts(prototype(pickle.load(sys.stdin.buffer))):
            kernel.compile(signature)
    finally:
        with contextlib.suppress(OSError):
            (Path(cache_folder() or ".") / _FLAG).unlink()


if __name__ == "__main__":
    main()
