"""Compiles half of the border kernel in a second process while the first compiles the other: 57 s of processor time, 36 s by the clock.

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
from pathlib import Path
from typing import Any

import numpy as np
from numba import int64, typeof

from . import border, summaries
from .jit import cache_folder

_FLAG = "compiling-ahead"  # in the cache folder: one helper is enough, whoever begins


def start(strata: border.Strata, tables: border.Tables, contrasts: border.Contrasts) -> None:
    """Start the helper, where the border kernel was never compiled and a second processor is there; it ends by itself."""
    folder = cache_folder()
    if folder is None or (os.cpu_count() or 1) < 2 or any(Path(folder).rglob("border.border_block-*.nbi")):
        return
    with contextlib.suppress(OSError):
        (Path(folder) / _FLAG).touch(exist_ok=False)
        helper = subprocess.Popen(
            [sys.executable, "-m", __name__], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        threading.Thread(target=helper.communicate, args=(pickle.dumps(parts(strata, tables, contrasts)),), daemon=True).start()


def parts(strata: border.Strata, tables: border.Tables, contrasts: border.Contrasts) -> list[tuple[str, str, tuple[Any, ...]]]:
    """Return (module, kernel, types of its arguments) of what is to be compiled ahead: what `border_block` reaches last comes first."""
    column, rows, cube, whole = (typeof(np.empty(shape, dtype)) for shape, dtype in _ARRAYS)
    source = typeof(border.Source(np.uint64(0), 0, *(np.empty(shape, dtype) for shape, dtype in _SOURCE)))
    layout = summaries.plan_layout(np.zeros((0, 1)), True)
    first = (typeof(strata), typeof(tables))
    state = typeof(summaries.new_state(layout))
    waiting = typeof(summaries.Waiting(np.empty((1, 1, 1), np.uint16), np.empty(1, np.int64), np.empty((1, 1, 1))))
    counted = (typeof(layout), state, cube, rows, waiting)
    found: list[tuple[str, str, tuple[Any, ...]]] = [
        ("border", "compose", (*first, source, rows, int64, int64, rows, *(column,) * 5, cube, whole)),
        ("border", "draw_missed", (*first, int64, source, rows, int64, int64, column, column, rows, *(column,) * 4)),
        ("border", "summarise", (whole, cube, rows, column, int64, int64, *counted, typeof(contrasts.row), rows)),
        ("border", "compare", (typeof(contrasts), rows, column, int64, int64, *counted, whole)),
    ]
    found += [
        ("summaries", "absorb", (typeof(layout), state, state, column, rows, typeof(np.empty(1, np.int64)))),
        ("summaries", "_quantiles", (typeof(layout), state, int64, rows, rows, rows)),
        ("summaries", "_draw_counts", (typeof(layout), state, whole)),
    ]
    return found


_ARRAYS = (((1,), np.float64), ((1, 1), np.float64), ((1, 1, 1), np.float64), ((1, 1), np.int64))
_SOURCE = (((1, 53), np.uint64), ((1,), np.uint64), ((1,), np.int64), ((1,), np.uint64))


def main() -> None:
    """Compile what the parent names on standard input, into the cache folder."""
    modules = {"border": border, "summaries": summaries}
    for module, kernel, signature in pickle.load(sys.stdin.buffer):
        getattr(modules[module], kernel).compile(signature)
    with contextlib.suppress(OSError):
        (Path(cache_folder() or ".") / _FLAG).unlink()


if __name__ == "__main__":
    main()
