"""Times contenders in turn, reads the peak memory of a child, and says on what machine; knows nothing of what they do."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Measures = dict[str, Array | str]  # name -> amounts, or why there are none

ROOT = Path(__file__).parents[1]
PACKAGES = (
    "borderflow-sim", "numpy", "scipy", "numba", "llvmlite", "xarray", "squigglepy", "openturns", "chaospy", "mcerp", "monaco",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Effort:
    """How much is measured. `divide` makes every number of draws smaller; `long` adds what takes more than ten minutes."""

    rounds: int = 10
    divide: int = 1
    long: bool = False

    def draws(self, full: int, least: int = 1024) -> int:
        return max(full // self.divide, min(full, least))


class Contender(NamedTuple):
    """Something to time, and how many draws one call makes."""

    call: Callable[[], object]
    draws: int = 1


def seconds_per_draw(contenders: Mapping[str, Contender], rounds: int) -> Measures:
    """Return the seconds a draw of every contender in every round, name -> (rounds,).

    All of them run once in every round, in an order that turns by one from round to round, so that what slows the machine slows all and
    none is always first. Each is called once before, untimed: compiling and the first touch of memory are not measured. A single round is
    a trial, which is not worth that.
    """
    names = list(contenders)
    found = {name: np.empty(rounds) for name in names}
    if rounds > 1:
        for name in names:
            contenders[name].call()
    for i in range(rounds):
        for k in range(len(names)):
            name = names[(i + k) % len(names)]
            begin = time.perf_counter()
            contenders[name].call()
            found[name][i] = (time.perf_counter() - begin) / contenders[name].draws
    return dict(found)


def run_child(arguments: Sequence[str], **environment: str) -> str:
    """Run this Python with arguments, from the root of the project, and return what it wrote to both streams."""
    settings = {**os.environ, "PYTHONPATH": str(ROOT), **environment}
    done = subprocess.run([sys.executable, *arguments], cwd=ROOT, env=settings, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(arguments)} ended with {done.returncode}: {done.stderr[-2000:]}")
    return done.stdout + done.stderr


def peak_bytes(program: str) -> float:
    """Run a program in a child and return the most memory that it ever held.

    Read inside the child: what the parent sees of a child can be the parent's own size at the time of the fork.
    """
    if sys.platform == "linux":
        ask = "print(next(l for l in open('/proc/self/status') if l.startswith('VmHWM')).split()[1] + '000')"
    else:
        ask = "import resource; print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
    return float(run_child(["-c", f"{program}\n{ask}"]).split()[-1])


def circumstances() -> dict[str, Any]:
    """Return versions, processor and load: what the amounts, though not the ratios, depend on."""
    versions = {}
    for name in PACKAGES:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            versions[name] = "not installed"
    cpu = platform.processor()
    if Path("/proc/cpuinfo").exists():
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        cpu = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), cpu)
    return {
        "python": platform.python_version(),
        "versions": versions,
        "cpu": cpu,
        "processors": os.cpu_count(),
        "system": f"{platform.system()} {platform.machine()}",
        "load_average": load_average(),
    }


def load_average() -> float | None:
    """Return the processes that wanted to run, averaged over the last minute; None where the system does not say."""
    return os.getloadavg()[0] if hasattr(os, "getloadavg") else None
