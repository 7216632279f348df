"""Tasks on the workers of a Dask cluster: sent in a bounded window, merged on the workers as a tree, back as a few megabytes.

Imported only where Dask is asked for.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import os
import re
import secrets
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import distributed
from distributed.comm.core import CommClosedError

from .engines import Work, bunches
from .errors import Problem, SimError
from .partials import Part, Task, Unusable

FAN_IN = 8  # parts that a worker merges at once
MOST_TASKS = 256  # that one part may stand for when it comes back
_TASKS_A_THREAD = 3  # under way: one at work, two waiting, so that no worker waits for the scheduler
_CONNECT_SECONDS = 15
_ADDRESS = re.compile(r"(tcp|tls|ucx|wss?)://[^\s/]+:\d+")


class _Carrier(distributed.WorkerPlugin):
    """Brings the work to every worker once: to those that join later too, and to those that take the place of lost ones.

    Scattered data would be gone with the worker that holds it; what a plugin carries, the scheduler keeps.
    """

    def __init__(self, work: Work) -> None:
        self.work = work

    def setup(self, worker: Any) -> None:
        pass


def _work(name: str) -> Work:
    carrier: Any = distributed.get_worker().plugins[name]
    work: Work = carrier.work
    return work


def _compute(name: str, task: Task) -> bytes:
    work = _work(name)
    part = work.compute([task], lambda: True, lambda points: None)
    assert part is not None
    return work.pack(part)


def _merge(name: str, *packed: bytes) -> bytes:
    work = _work(name)
    part = work.unpack(packed[0])
    for other in packed[1:]:
        work.join(part, work.unpack(other))
    return work.pack(part)


class Cluster:
    """An executor of Dask workers. A lost worker's tasks, and what it held of others, are computed again by the rest."""

    def __init__(self, client: distributed.Client) -> None:
        self.client = client

    def run(self, work: Work, tasks: Sequence[Task], receive: Callable[[Part], None], report: Callable[[int], None]) -> None:
        name = f"borderflow-{secrets.token_hex(8)}"
        with _told(), self._carried(work, name):
            n_threads = max(1, sum(self.client.nthreads().values()))
            waiting = iter(bunches(tasks, min(MOST_TASKS, max(1, len(tasks) // (4 * n_threads)))))
            under_way: dict[Any, int] = {}
            coming = distributed.as_completed(loop=self.client.loop)
            points = 0
            try:
                while True:
                    threads = max(1, sum(self.client.nthreads().values()))  # workers come and go
                    while sum(under_way.values()) < _TASKS_A_THREAD * threads and (bunch := next(waiting, None)) is not None:
                        future = self._submit(name, bunch)
                        under_way[future.key] = len(bunch)
                        coming.add(future)
                    if not under_way:
                        break
                    future = next(coming)
                    part = work.unpack(future.result())
                    del under_way[future.key]
                    points += part.points
                    receive(part)
                    report(points)
            except BaseException:
                with contextlib.suppress(Exception):
                    self.client.cancel(list(coming.futures), force=True)
                raise

    def _submit(self, name: str, bunch: Sequence[Task]) -> Any:
        """Send the tasks of a bunch and the tree that merges what they return; return the future of its top."""
        submit = functools.partial(self.client.submit, pure=False)
        level = [submit(_compute, name, task, key=f"{name}-task-{task[0]}-{task[1]}") for task in bunch]
        height = 0
        while len(level) > 1:
            height += 1
            groups = [level[start : start + FAN_IN] for start in range(0, len(level), FAN_IN)]
            stem = f"{name}-merge-{bunch[0][0]}-{bunch[0][1]}-{height}"
            level = [
                submit(_merge, name, *group, key=f"{stem}-{number}", priority=1) if len(group) > 1 else group[0]
                for number, group in enumerate(groups)
            ]
        return level[0]

    @contextlib.contextmanager
    def _carried(self, work: Work, name: str) -> Iterator[None]:
        self.client.register_plugin(_Carrier(work), name=name)
        try:
            yield
        finally:
            with contextlib.suppress(Exception):
                self.client.unregister_worker_plugin(name)


@contextlib.contextmanager
def _told() -> Iterator[None]:
    """Say in one sentence what a cluster can do wrong; errors of the tasks themselves pass unchanged."""
    try:
        yield
    except distributed.KilledWorker as error:
        came = "a task was on several workers when each of them died"
        advice = "give workers more memory, see docs/cluster.md, and run again: it goes on from what is kept"
        raise SimError([Problem(came=came, advice=advice)]) from error
    except Unusable as error:
        came = f"a worker returned what cannot be used: {error}"
        allowed, advice = "workers and this process run the same version of borderflow-sim", "install one version everywhere"
        raise SimError([Problem(came=came, allowed=allowed, advice=advice)]) from error
    except ModuleNotFoundError as error:
        advice = "install borderflow-sim in the environment of the workers"
        raise SimError([Problem(came=f"a worker cannot import {error.name}", advice=advice)]) from error
    except (distributed.CancelledError, CommClosedError, distributed.TimeoutError) as error:
        came = "the connection to the scheduler was lost"
        raise SimError([Problem(came=came, advice="start it again and run again: it goes on from what is kept")]) from error


@contextlib.contextmanager
def opened(scheduler: str | None, workers: int | None) -> Iterator[Cluster]:
    """Connect to a scheduler, or start one with worker processes on this machine; see `engines.dask`."""
    if scheduler is not None and not _ADDRESS.fullmatch(scheduler):
        came, allowed = f"{scheduler!r} is no address of a scheduler", "it is a protocol, a host and a port"
        raise SimError([Problem(came=came, allowed=allowed, advice="Write tcp://host:8786, as `dask scheduler` prints it")])
    with contextlib.ExitStack() as stack:
        try:
            address: Any = scheduler
            if scheduler is None:
                logging.getLogger("distributed").setLevel(logging.CRITICAL)
                address = stack.enter_context(
                    distributed.LocalCluster(
                        n_workers=workers or os.cpu_count() or 1,
                        threads_per_worker=1,
                        processes=True,
                        dashboard_address=None,
                        # it serves pages all the same, and would complain of a second cluster on its port
                        scheduler_kwargs={"dashboard_address": "127.0.0.1:0"},
                        silence_logs=logging.CRITICAL,
                    )
                )
            client = stack.enter_context(distributed.Client(address, timeout=_CONNECT_SECONDS, set_as_default=False))
        except (OSError, ValueError) as error:
            where = f"no Dask scheduler answers at {scheduler}" if scheduler else "no local Dask cluster could be started"
            advice = "start one with `dask scheduler`, or leave --scheduler out" if scheduler else "use --engine local"
            raise SimError([Problem(came=f"{where}: {error}", advice=advice)]) from error
        yield Cluster(client)
