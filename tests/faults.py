"""Kill, starve and damage runs, and see that they always go on to the same numbers: `python tests/faults.py --help`.

A child process is forked for every run, so that nothing is compiled or loaded twice, and dies by SIGKILL: at a random instant, or at a
chosen step of a chosen write, flush or rename. After each death the folder must hold no result, or a sound one with all its variables and
the numbers of a run that was never disturbed; and the next run must end with these. The last line of output is a report in JSON.
"""

from __future__ import annotations

import argparse
import builtins
import contextlib
import errno
import io
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import build
import numpy as np

from sim import partials, results, runner, saved, simulation
from sim.errors import ResultError

DRAWS = 1 << 16
POINTS_A_TASK = 1 << 10  # so that there are 64 tasks


def made_up(seed: int = 1, **run: Any) -> Any:
    """Return a small scenario: one stratum, four inputs."""
    rows = [build.row(n_events=11, amount=40.0), build.row("south", n_events=60, amount=900.0)]
    detection = {"kind": "beta", "interval": [0.03, 0.25], "probability": 0.9}
    inputs = {"detection_rate": detection, "powder_purity": {"kind": "beta", "mean": 0.1, "sd": 0.02}, "load_shape": 1.0}
    return build.scenario(rows, inputs, run={"draws": DRAWS, "seed": seed, **run}, model={"load_law": "gamma"})


def whole_run(scenario: Any, folder: Path, threads: int) -> Path:
    """Do what the command line does: run from what is kept, save, remove what was kept."""
    final = folder / scenario.name / results.run_id(scenario)
    kept = partials.beside(final)
    tree = results.run(scenario, threads=threads, partials=kept)
    final = saved.save_result(tree, folder)
    partials.remove(kept)
    return final


# --- faults ---------------------------------------------------------------------------------------------------------------------------


class Steps:
    """Counts what touches the disk, and lets something happen at the n-th step: before it, in the middle of it, or after it."""

    def __init__(self, at: int, where: str, happen: Callable[[], None]) -> None:
        self._left, self._where, self._happen = at, where, happen
        self.names: list[str] = []

    def take(self, name: str, step: Callable[[], Any], half: Callable[[], Any] | None = None) -> Any:
        self.names.append(name)
        self._left -= 1
        if self._left == 0 and self._where == "before":
            self._happen()
        if self._left == 0 and self._where == "inside":
            if half is not None:
                half()
            self._happen()
        done = step()
        if self._left == 0 and self._where == "after":
            self._happen()
        return done


class _Watched(io.FileIO):
    """A file whose writes are steps; half of one is on the disk when the process dies inside it."""

    steps: Steps

    def write(self, content: Any) -> int:
        view = memoryview(content).cast("B")
        plain = super().write

        def whole() -> int:
            done = 0
            while done < view.nbytes:
                done += plain(view[done:])
            return done

        return int(self.steps.take("write", whole, lambda: plain(view[: view.nbytes // 2])))


@contextlib.contextmanager
def watched(steps: Steps) -> Iterator[None]:
    """Turn every write to a new file, flush and rename of this process into a step."""
    before = {name: getattr(os, name) for name in ("fsync", "rename", "replace")}
    plain_open = builtins.open

    def opened(file: Any, mode: str = "r", *rest: Any, **named: Any) -> Any:
        if mode != "xb":
            return plain_open(file, mode, *rest, **named)
        stream = _Watched(file, "xb")
        stream.steps = steps
        return stream

    builtins.open = opened  # type: ignore[assignment]
    for name, function in before.items():
        setattr(os, name, lambda *given, _name=name, _function=function: steps.take(_name, lambda: _function(*given)))
    try:
        yield
    finally:
        builtins.open = plain_open
        for name, function in before.items():
            setattr(os, name, function)


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(60)


def refuse() -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def in_child(work: Callable[[], None], kill_after: float | None = None) -> int:
    """Run work in a forked process and return its exit status, negative where a signal ended it; kill it after some seconds."""
    sys.stdout.flush()
    child = os.fork()
    if child == 0:
        try:
            work()
        except ResultError as error:
            os.write(2, f"{error}\n".encode())
            os._exit(1)
        except BaseException as error:  # a traceback would be a fault of its own
            os.write(2, f"unexpected {error!r}\n".encode())
            os._exit(70)
        os._exit(0)
    if kill_after is not None:
        time.sleep(kill_after)
        os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status)


# --- what must hold -------------------------------------------------------------------------------------------------------------------


class Judge:
    """Knows the numbers of a run that nothing disturbed, and holds every folder against them."""

    def __init__(self, scenario: Any, threads: int) -> None:
        self.scenario, self.threads = scenario, threads
        self.faults: list[str] = []
        self.n_checked = 0
        tree = results.run(scenario, threads=1)
        with tempfile.TemporaryDirectory() as folder:  # once all that children do, so that none has to load or compile for it
            for _ in range(2):
                simulation.simulate(results.compile_model(scenario), threads=1, partials=Path(folder) / "kept")
            saved.open_result(saved.save_result(tree, folder))
        self.digest = tree.attrs["numbers_digest"]
        self.variables = {node.path: set(node.data_vars) for node in tree.subtree}

    def check(self, folder: Path, what: str, finished: bool = False) -> None:
        """Hold what a folder shows to the outside against what it may show."""
        self.n_checked += 1
        final = folder / self.scenario.name / results.run_id(self.scenario)
        if not final.exists():
            if finished:
                self.faults.append(f"{what}: there is no result")
            return
        try:
            tree = saved.open_result(final)
        except ResultError as error:
            self.faults.append(f"{what}: a result that does not open: {error}")
            return
        if tree.attrs["numbers_digest"] != self.digest or saved.numbers_digest(tree) != self.digest:
            self.faults.append(f"{what}: other numbers")
        if {node.path: set(node.data_vars) for node in tree.subtree} != self.variables:
            self.faults.append(f"{what}: a result that lacks variables")
        if finished and [entry for entry in final.parent.iterdir() if entry.name.startswith(".partial-")]:
            self.faults.append(f"{what}: partials were left behind")

    def finish(self, folder: Path, what: str) -> None:
        """Run undisturbed to the end, and judge that."""
        status = in_child(lambda: self.run(folder))
        if status != 0:
            self.faults.append(f"{what}: the run that should go on ended with {status}")
        self.check(folder, what, finished=True)

    def run(self, folder: Path) -> None:
        whole_run(self.scenario, folder, self.threads)


# --- the trials -----------------------------------------------------------------------------------------------------------------------


def kills_at_random(judge: Judge, root: Path, n: int, chance: random.Random) -> int:
    """Kill n runs at random instants, several times in a row, and finish each in the end; return how many runs that took."""
    begin = time.perf_counter()
    judge.finish(root / "undisturbed", "a run that nothing disturbs")
    longest = time.perf_counter() - begin
    died = tried = 0
    folder = root / "random"
    while died < n:
        tried += 1
        status = in_child(lambda: judge.run(folder), kill_after=chance.uniform(0.0, longest))
        died += status == -signal.SIGKILL
        judge.check(folder, f"killed at random, {tried}")
        if status == 0 or chance.random() < 0.3:
            judge.finish(folder, f"after a random instant, {tried}")
            shutil.rmtree(folder)
        longest *= 1.05 if status else 0.9  # until about one run in three is done before it is killed
    judge.finish(folder, "after the last random instant")
    return tried


def kills_at_steps(judge: Judge, root: Path, most: int, chance: random.Random) -> list[str]:
    """Kill a run before, inside and after its writes, flushes and renames; of more than `most` a random choice. Return the steps met."""
    names: list[str] = []
    read, write = os.pipe()

    def counted() -> None:
        steps = Steps(0, "never", die)
        with watched(steps):
            judge.run(root / "counted")
        os.write(write, json.dumps(steps.names).encode())

    judge.threads, threads = 1, judge.threads  # one thread, so that the n-th step is the same in every run
    if in_child(counted) == 0:
        names = json.loads(os.read(read, 1 << 16))
    os.close(read)
    os.close(write)
    chosen = [(at, where) for at in range(1, len(names) + 1) for where in ("before", "inside", "after")]
    if len(chosen) > most:  # half of them among the last ten steps, which write the result
        late = chance.sample(chosen[-30:], min(most // 2, 30))
        chosen = chance.sample(chosen[:-30], most - len(late)) + late
    met = []
    for at, where in chosen:
        folder = root / f"step-{at}-{where}"
        what = f"killed {where} step {at} ({names[at - 1]})"

        def killed(folder: Path = folder, at: int = at, where: str = where) -> None:
            with watched(Steps(at, where, die)):
                judge.run(folder)

        status = in_child(killed)
        if status != -signal.SIGKILL:
            judge.faults.append(f"{what}: it ended with {status}")
        judge.check(folder, what)
        judge.finish(folder, what)
        shutil.rmtree(folder)
        met.append(f"{where} {names[at - 1]}")
    judge.threads = threads
    return met


def full_disks(judge: Judge, root: Path, n: int, chance: random.Random) -> int:
    """Let a write, flush or rename be refused for want of space: a run ends with status 1, and goes on when there is room again."""
    for number in range(n):
        folder, at = root / f"full-{number}", chance.randint(1, 40)

        def starved(folder: Path = folder, at: int = at) -> None:
            with watched(Steps(at, "before", refuse)):
                judge.run(folder)

        status = in_child(starved)
        if status != 1:
            judge.faults.append(f"refused at step {at}: it ended with {status}")
        judge.check(folder, f"refused at step {at}")
        judge.finish(folder, f"after step {at} was refused")
        shutil.rmtree(folder)
    return n


def miscount(content: bytearray, chance: random.Random) -> None:
    """Add a few draws to some bins of a packed part; everything in it still fits together, but for its SHA-256."""
    start = len(partials._MAGIC) + partials._HASH
    length = int.from_bytes(content[start : start + 8], "little")
    first = start + 8 + length
    n = json.loads(content[start + 8 : first])["bytes"][0]
    alone = [at for at in range(first + 1, first + n) if content[at] < 100 and not content[at] % 2 and content[at - 1] < 128]
    for at in chance.sample(alone, len(alone) // 10):
        content[at] += 2 * chance.randint(1, 10)


def damages(judge: Judge, root: Path, n: int, chance: random.Random) -> int:
    """Cut, flip, empty and swap what killed runs left; return how many partials were damaged."""
    spoilt = 0
    other = Judge(made_up(seed=2), judge.threads)
    for number in range(n):
        folder = root / f"damage-{number}"
        final = folder / judge.scenario.name / results.run_id(judge.scenario)
        simulation.simulate(results.compile_model(judge.scenario), threads=2, partials=partials.beside(final))
        foreign = root / "foreign"
        simulation.simulate(results.compile_model(other.scenario), threads=2, partials=foreign)
        files = sorted(partials.beside(final).glob("*.part"))
        for file in chance.sample(files, len(files) // 2):
            content = bytearray(file.read_bytes())
            match chance.choice(["cut", "flip", "fitting", "empty", "foreign", "header"]):
                case "cut":
                    content = content[: chance.randrange(len(content))]
                case "flip":
                    content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
                case "fitting":  # counts that are as good as any, but not those that were written
                    miscount(content, chance)
                case "empty":
                    content = bytearray()
                case "foreign":
                    content = bytearray(chance.choice(sorted(foreign.glob("*.part"))).read_bytes())
                case "header":
                    content = content.replace(b'"covers": [[', b'"covers": [[1', 1)
            file.write_bytes(content)
            spoilt += 1
        judge.finish(folder, f"after damage {number}")
        shutil.rmtree(folder)
    return spoilt


def pairs(judge: Judge, root: Path, n: int, chance: random.Random) -> int:
    """Let two processes run one scenario at once, one of them killed in half of the trials."""
    for number in range(n):
        folder = root / f"pair-{number}"
        children = []
        for _ in range(2):
            child = os.fork()
            if child == 0:
                try:
                    judge.run(folder)
                except BaseException as error:
                    os.write(2, f"one of two: {error!r}\n".encode())
                    os._exit(70)
                os._exit(0)
            children.append(child)
        if number % 2:
            time.sleep(chance.uniform(0.0, 0.5))
            os.kill(children[0], signal.SIGKILL)
        statuses = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
        if any(status not in ((0, -signal.SIGKILL) if number % 2 else (0,)) for status in statuses):
            judge.faults.append(f"two processes at once ended with {statuses}")
        judge.finish(folder, f"after two at once, {number}")
        shutil.rmtree(folder)
    return n


# --- planted faults, which must be found ----------------------------------------------------------------------------------------------


def plant(fault: str) -> None:
    """Break one promise, so that a test of this script can see it noticed."""
    if fault == "unverified":  # partials are used whatever they say of themselves

        class Trusting:
            digest_size = 32

            def __init__(self, content: Any = b"") -> None:
                pass

            def digest(self) -> bytes:
                return b"\0" * 32

            def hexdigest(self) -> str:
                return "0" * 64

        stub = type("hashlib", (), {"sha256": Trusting})
        partials.hashlib = stub  # type: ignore[attr-defined, assignment]
        runner._Work.belongs = "0" * 64  # type: ignore[assignment]
    elif fault == "in place":  # a result is written where it will stand

        @contextlib.contextmanager
        def final_folder(final: Path) -> Iterator[Path]:
            final.mkdir(parents=True, exist_ok=True)
            yield final

        saved._hidden_folder = final_folder
    elif fault == "counted twice":  # what partials hold is computed and added again
        plain = partials.Store.read

        def twice(self: Any, tasks: Any, blank: Any, n_counters: int) -> Any:
            for part in plain(self, tasks, blank, n_counters):
                part.state.counts[:] *= np.uint32(2)
                yield part

        partials.Store.read = twice  # type: ignore[method-assign]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=200, help="random instants at which a run is killed")
    parser.add_argument("--steps", type=int, default=10_000, help="steps inside which a run is killed, at the most; all by default")
    parser.add_argument("--full", type=int, default=20, help="steps that are refused for want of space")
    parser.add_argument("--damages", type=int, default=10, help="runs of which half the partials are damaged")
    parser.add_argument("--pairs", type=int, default=10, help="times that two processes run at once")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--plant", choices=("unverified", "in place", "counted twice"), help="a fault that must be found")
    asked = parser.parse_args()
    chance = random.Random(asked.seed)
    runner.BLOCK, runner._BLOCKS_A_TASK, partials.SHARE = POINTS_A_TASK, 1, float("inf")
    judge = Judge(made_up(), asked.threads)
    if asked.plant:
        plant(asked.plant)
    begin = time.perf_counter()
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        tried = kills_at_random(judge, root, asked.kills, chance) if asked.kills else 0
        met = kills_at_steps(judge, root, asked.steps, chance) if asked.steps else []
        refused = full_disks(judge, root, asked.full, chance)
        spoilt = damages(judge, root, asked.damages, chance)
        paired = pairs(judge, root, asked.pairs, chance)
    report = {
        "killed at random": asked.kills,
        "of": tried,
        "killed at steps": {step: met.count(step) for step in sorted(set(met))},
        "refused": refused,
        "partials damaged": spoilt,
        "pairs": paired,
        "folders checked": judge.n_checked,
        "seconds": round(time.perf_counter() - begin, 1),
        "faults": judge.faults,
    }
    print(json.dumps(report))
    sys.exit(1 if judge.faults else 0)


if __name__ == "__main__":
    main()
