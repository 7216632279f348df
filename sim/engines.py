"""Where tasks are computed: in threads of this process, or by the workers of a Dask cluster. No number depends on it.

An executor maps work over tasks: it computes every task once, in any order and any grouping within a replicate, and hands on each part
that comes back. Nothing here knows what is computed.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from typing import TYPE_CHECKING, Protocol

from .errors import Problem, SimError
from .partials import Part, Task

if TYPE_CHECKING:
    from .cluster import Cluster

MOST_PARTS = 4096  # that a run is cut into at the least; more tasks than that are computed several at a time, so that partials stay few


class Work(Protocol):
    """A pure function of tasks, and what can be done with the parts it returns."""

    def compute(self, tasks: Sequence[Task], going_on: Callable[[], bool], count: Callable[[int], None]) -> Part | None:
        """Return the part of some tasks of one replicate, or None once `going_on` is false; `count` hears of points as they are done."""

    def join(self, part: Part, other: Part) -> None: ...

    def pack(self, part: Part) -> bytes: ...

    def unpack(self, packed: bytes) -> Part: ...


class Executor(Protocol):
    def run(self, work: Work, tasks: Sequence[Task], receive: Callable[[Part], None], report: Callable[[int], None]) -> None:
        """Compute `tasks`, handing each part to `receive` as it comes, from any thread, and the points done so far to `report`, from this.

        An error, in a task or in what was called, stops all of them and is raised here; so does Ctrl-C.
        """


def bunches(tasks: Sequence[Task], most: int) -> list[list[Task]]:
    """Cut tasks into bunches of at most `most` of one replicate, in order."""
    found: list[list[Task]] = []
    for task in tasks:
        if found and len(found[-1]) < most and found[-1][-1][0] == task[0]:
            found[-1].append(task)
        else:
            found.append([task])
    return found


class _Threads:
    def __init__(self, threads: int) -> None:
        self._threads = threads

    def run(self, work: Work, tasks: Sequence[Task], receive: Callable[[Part], None], report: Callable[[int], None]) -> None:
        stop = threading.Event()
        done = _Count()

        waiting = iter(bunches(tasks, -(-len(tasks) // MOST_PARTS)))
        lock = threading.Lock()

        def run_bunches() -> None:
            while not stop.is_set():
                with lock:
                    bunch = next(waiting, None)
                if bunch is None:
                    return
                part = work.compute(bunch, lambda: not stop.is_set(), done.add)
                if part is not None and not stop.is_set():
                    receive(part)

        n_threads = max(1, min(self._threads, len(tasks)))
        with ThreadPoolExecutor(max_workers=n_threads) as pool:
            try:
                running = {pool.submit(run_bunches) for _ in range(n_threads)}  # a future for each bunch would take .1 ms
                while running:
                    finished, running = wait(running, timeout=0.1, return_when=FIRST_COMPLETED)
                    for future in finished:
                        future.result()
                    report(done.points)
            except BaseException:
                stop.set()
                raise


class _Count:
    """Points done, added up by workers and read by the main thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.points = 0

    def add(self, points: int) -> None:
        with self._lock:
            self.points += points


def local(threads: int | None = None) -> Executor:
    """Return an executor of threads in this process, by default as many as there are processors; an error stops them after their block."""
    return _Threads(threads or os.cpu_count() or 1)


@contextlib.contextmanager
def dask(scheduler: str | None = None, workers: int | None = None) -> Iterator[Cluster]:
    """Open an executor of Dask workers, and close it.

    scheduler   address of a running scheduler, as tcp://host:8786; without it, worker processes are started on this machine
    workers     how many processes then; default: one a processor. A running cluster has the workers it has

    Raises SimError where Dask is not installed, where no scheduler answers, and where the workers do not have this library.
    """
    try:
        from .cluster import opened
    except ImportError as error:
        missing = (error.name or "").partition(".")[0]
        if missing not in ("dask", "distributed"):
            raise
        problem = Problem(
            came=f"the engine dask needs {missing}, which is not installed",
            advice="pip install 'borderflow-sim[dask]', or leave --engine out",
        )
        raise SimError([problem]) from error
    with opened(scheduler, workers) as cluster:
        yield cluster
