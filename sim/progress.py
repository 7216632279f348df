"""What a command says while it works: lines that may go unheard, bars on a terminal, how long it will take."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from typing import TextIO

import click

from . import printed

PLAIN_SECONDS = 30.0  # between two lines where no terminal is listening
Report = Callable[[int, int], None]


def tell(text: str, *, err: bool = True) -> bool:
    """Print a line that may go unheard, and return whether it was heard: where a reader has gone or a disk is full, the work goes on."""
    try:
        click.echo(text, err=err)
    except OSError:
        discard(sys.stderr if err else sys.stdout)
        return False
    return True


def discard(stream: TextIO) -> None:
    """Send what a stream still holds nowhere; else Python complains once more, and changes the exit status, when it closes it."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


class _Pace:
    """Draws, or what else is counted, per second since the first report: what an earlier run had done does not count."""

    def __init__(self, counted: str) -> None:
        self._counted = counted
        self._begin: tuple[float, int] | None = None
        self.rate = 0.0

    def hear(self, done: int) -> None:
        now = time.monotonic()
        if self._begin is None:
            self._begin = now, done
        elif now > self._begin[0]:
            self.rate = (done - self._begin[1]) / (now - self._begin[0])

    def left(self, more: int) -> str:
        """Say how long `more` will take."""
        return f"{duration(more / self.rate)} left" if self.rate > 0.0 else "time left unknown"

    def said(self, more: int) -> str:
        return f"{self.rate:,.{1 if 0.0 < self.rate < 10.0 else 0}f} {self._counted} a second, {self.left(more)}"


class Batch:
    """How far a batch is: bars on a terminal, a line now and then elsewhere, nothing when quiet.

    planned   draws by scenario, or what else is `counted`
    """

    def __init__(self, *, quiet: bool, planned: Sequence[int], counted: str = "draws") -> None:
        self.quiet = quiet
        self._counted = counted
        self._planned = list(planned)
        self._number = 0
        self._made = 0  # draws of this batch in the scenarios before
        self._here = 0
        self._pace = _Pace(counted)
        self._pace.hear(0)
        self._spoke = time.monotonic()

    def next(self) -> None:
        """Turn to the next scenario; what was not run, or failed, is no longer ahead."""
        self._made += self._here
        self._here = 0
        self._number += 1

    @contextlib.contextmanager
    def progress(self, name: str) -> Iterator[Report | None]:
        """Give the function that the run of one scenario reports to, if anybody listens."""
        if self.quiet:
            yield None
        elif printed.is_terminal(sys.stderr):
            with self._bars(name) as report:
                yield report
        else:
            yield self._lines(name)

    def _hear(self, done: int) -> int:
        """Take in how far this scenario is; return how many draws are ahead in those after it."""
        self._here = done
        self._pace.hear(self._made + done)
        return sum(self._planned[self._number + 1 :])

    def _lines(self, name: str) -> Report:
        pace = _Pace(self._counted)

        def report(done: int, total: int) -> None:
            pace.hear(done)
            ahead = self._hear(done)
            if time.monotonic() - self._spoke < PLAIN_SECONDS:
                return
            self._spoke = time.monotonic()
            text = f"{name}: {done / total:.0%} of {total:,} {self._counted}, {pace.said(total - done)}"
            if len(self._planned) > 1:
                text += f"; scenario {self._number + 1} of {len(self._planned)}, in all {self._pace.left(total - done + ahead)}"
            tell(text)

        return report

    @contextlib.contextmanager
    def _bars(self, name: str) -> Iterator[Report]:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn

        columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TextColumn("{task.fields[said]}"))
        # Standard output stays as it is: the paths of results go there, and it may be a file.
        with Progress(*columns, console=Console(stderr=True), transient=True, redirect_stdout=False) as bars:
            bar = bars.add_task(name, total=None, said="")
            several = len(self._planned) > 1
            whole = bars.add_task(f"scenario {self._number + 1} of {len(self._planned)}", total=None, said="", visible=several)
            pace = _Pace(self._counted)

            def report(done: int, total: int) -> None:
                pace.hear(done)
                ahead = self._hear(done)
                bars.update(bar, completed=done, total=total, said=pace.said(total - done))
                in_all = self._made + total + ahead
                bars.update(whole, completed=self._made + done, total=in_all, said=self._pace.said(total - done + ahead))

            yield report


def duration(seconds: float) -> str:
    """Write a time for people: two digits are plenty.

    >>> duration(0.4), duration(75.0), duration(5400.0), duration(3e5)
    ('1 s', '75 s', '90 min', '83 h')
    """
    for size, unit, most in ((1.0, "s", 120.0), (60.0, "min", 7200.0), (3600.0, "h", 3600.0 * 100)):
        if seconds < most:
            return f"{max(seconds / size, 1.0):,.0f} {unit}"
    return f"{seconds / 86400.0:,.0f} days"


def telling_of_compiling(quiet: bool) -> contextlib.AbstractContextManager[None]:
    """Say so where the kernels must be compiled first: half a minute without a sign of life would look like a hang."""
    if quiet:
        return contextlib.nullcontext()
    from .kernels.jit import cache_folder, when_compiling

    kept = "this once" if cache_folder() else "in every run, because no cache folder can be written"

    def say() -> None:
        tell(f"Compiling the kernels, {kept}: half a minute to a minute.")

    return when_compiling(say)
