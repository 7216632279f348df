"""How kernels are compiled and where the compiled code is kept."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import numba
from numba import config
from numba.core import event

F = TypeVar("F", bound=Callable[..., Any])


@cache
def cache_folder() -> str | None:
    """Return the folder for compiled code and tables, or None where none can be written, and where nothing is compiled.

    Its name holds a hash of the kernels' sources, Numba's version and the CPU: Numba looks only at the file of the function itself,
    so an edited callee in another file would otherwise go unnoticed.
    """
    if config.DISABLE_JIT:
        return None
    digest = hashlib.sha256(f"{numba.__version__} {config.CPU_NAME} {os.uname().machine}".encode())
    for source in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(source.name.encode() + source.read_bytes())
    try:
        base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
        folder = base / "borderflow-sim" / f"kernels-{digest.hexdigest()[:16]}"
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / f".write-{os.getpid()}"
        probe.touch()
        probe.unlink()
    except (OSError, RuntimeError):  # Path.home() raises the latter where nothing says what it is
        return None
    return str(folder)


def kernel(function: F) -> F:
    """Compile `function` without the GIL, with NumPy's rules for division, fastmath off."""
    return _compiled(function, counting=True)


def borrowing(function: F) -> F:
    """Compile as `kernel` a function that makes no array and returns none: of those it is given no references are counted.

    Numba counts them wherever an array is passed on, 5 ns each: .04 to .06 of the time of a run.
    """
    return _compiled(function, counting=False)


def _compiled(function: F, *, counting: bool) -> F:
    """The cache folder is a setting of the whole process in Numba; it is set only while this function is decorated."""
    folder = cache_folder()
    before = config.CACHE_DIR
    config.CACHE_DIR = folder or before
    try:
        compiled: F = numba.njit(function, nogil=True, error_model="numpy", cache=folder is not None, no_cfunc_wrapper=True, _nrt=counting)
    finally:
        config.CACHE_DIR = before
    return compiled


def inlined(function: F) -> F:
    """Compile a small scalar function that its callers inline at the level of LLVM."""
    compiled: F = numba.njit(function, nogil=True, error_model="numpy", forceinline=True, no_cfunc_wrapper=True, _nrt=False)
    return compiled


@contextmanager
def when_compiling(tell: Callable[[], None]) -> Iterator[None]:
    """Call `tell`, once, if within the block a kernel of ours is compiled because none is kept."""

    class Listener(event.Listener):
        told = False

        def on_start(self, compiling: event.Event) -> None:
            if not self.told and compiling.data["dispatcher"].py_func.__module__.startswith(__package__):
                self.told = True
                tell()

        def on_end(self, compiling: event.Event) -> None:
            pass

    with event.install_listener("numba:compile", Listener()):
        yield
