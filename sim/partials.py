"""Partial summaries: what some tasks of one replicate returned, as bytes that prove what they are, and the folder that keeps them.

A partial belongs to one case of one scenario and says so; whatever is not whole, not of this case or not of this version of the kernels
is deleted and computed again. Nothing here knows what was summarised.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import shutil
import threading
import time
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from .errors import Problem, ResultError
from .files import write_whole
from .kernels import packing, summaries

FORMAT = 1
SHARE = 0.05  # most of the working time that may go into keeping partials; at 10^7 draws of the shipped scenario it takes 0.3 %

_MAGIC = b"borderflow partial\n"
_HASH = hashlib.sha256().digest_size
_SUFFIX = ".part"

Task = tuple[int, int, int]
"""(replicate, first point, points)."""


@dataclass(slots=True, kw_only=True)
class Part:
    """What some tasks of one replicate returned.

    covers    (first point, points) of each task
    state     its draws, counted
    sums      nodes of the tree of lane sums, (S, 2) each
    counters  the engine's, added up
    seconds   that computing it took, of one thread
    packed    the same as bytes, where it came so
    """

    replicate: int
    covers: list[tuple[int, int]]
    state: summaries.State
    counters: np.ndarray
    sums: summaries.Pending = field(default_factory=dict)
    seconds: float = 0.0
    packed: bytes | None = None

    @property
    def points(self) -> int:
        return sum(points for _, points in self.covers)


class Unusable(Exception):
    """Bytes that are no partial of this case; the text says why."""


def join(part: Part, other: Part) -> None:
    """Add `other`, of the same replicate, to `part` in place; exact, so that neither order nor grouping matters."""
    part.covers = part.covers + other.covers
    summaries.merge(part.state, other.state)
    part.counters = part.counters + other.counters
    for (level, index), sums in other.sums.items():
        summaries.merge_node(part.sums, level, index, sums)
    part.seconds += other.seconds
    part.packed = None


# --- bytes ----------------------------------------------------------------------------------------------------------------------------


def pack(part: Part, belongs: str) -> bytes:
    """Return a part as bytes: a magic line, the SHA-256 of the rest, a header in JSON, then its arrays.

    Counts are coded (a bin that is empty takes next to nothing), the least and greatest of bins that have any stand as they are.
    Of the shipped scenario: 4 MB at 4,096 draws, 13 MB at 131,072, in 20 and 35 ms, where the counts alone are 28 MB.
    """
    state = part.state
    met = state.bin_low <= state.bin_high
    nodes = sorted(part.sums)
    arrays = [
        packing.pack_counts(state.counts),
        packing.pack_counts(state.atom_counts),
        packing.pack_counts(met.astype(np.uint32)),
        state.bin_low[met],
        state.bin_high[met],
        state.extremes,
        np.stack([part.sums[node] for node in nodes]) if nodes else np.zeros(0),
        part.counters,
    ]
    header = {
        "format": FORMAT,
        "belongs": belongs,
        "replicate": part.replicate,
        "covers": part.covers,
        "nodes": nodes,
        "seconds": part.seconds,
        "bytes": [array.nbytes for array in arrays],
    }
    text = json.dumps(header).encode()
    body = b"".join(
        [len(text).to_bytes(8, "little"), text, *(np.ascontiguousarray(array).data.cast("B") for array in arrays if array.size)]
    )
    return _MAGIC + hashlib.sha256(body).digest() + body


def unpack(packed: bytes, belongs: str, blank: Callable[[], summaries.State], n_counters: int) -> Part:
    """Return the part that bytes stand for, or raise Unusable; `blank` gives an empty state to fill."""
    start = len(_MAGIC) + _HASH
    if not packed.startswith(_MAGIC) or len(packed) < start + 8:
        raise Unusable("it is no partial")
    body = memoryview(packed)[start:]
    if hashlib.sha256(body).digest() != packed[len(_MAGIC) : start]:
        raise Unusable("its SHA-256 is not the one it names")
    length = int.from_bytes(body[:8], "little")
    header = json.loads(bytes(body[8 : 8 + length]))
    if header["format"] != FORMAT or header["belongs"] != belongs:
        raise Unusable("it belongs to another case, or to other kernels")
    arrays = []
    at = 8 + length
    for size in header["bytes"]:
        arrays.append(np.frombuffer(body[at : at + size], np.uint8))
        at += size
    counts, atom_counts, mask, low, high, extremes, sums, counters = arrays
    state = blank()
    met = np.zeros(state.bin_low.size, np.uint32)
    coded = ((counts, state.counts), (atom_counts, state.atom_counts), (mask, met))
    if not all(packing.add_counts(code, into) for code, into in coded):
        raise Unusable("its counts do not fit")
    state.bin_low[met > 0] = low.view(np.float64)
    state.bin_high[met > 0] = high.view(np.float64)
    state.extremes[:] = extremes.view(np.float64).reshape(state.extremes.shape)
    nodes = [(int(level), int(index)) for level, index in header["nodes"]]
    return Part(
        replicate=int(header["replicate"]),
        covers=[(int(first), int(points)) for first, points in header["covers"]],
        state=state,
        counters=counters.view(np.int64)[:n_counters].copy(),
        sums=dict(zip(nodes, sums.view(np.float64).reshape(len(nodes), -1, 2).copy(), strict=True)) if nodes else {},
        seconds=float(header["seconds"]),
        packed=packed,
    )


# --- the folder -----------------------------------------------------------------------------------------------------------------------


def beside(final: Path) -> Path:
    """Return where the partials of a result are kept: a hidden folder beside the result's own, which bears its run id."""
    return final.parent / f".partial-{final.name}"


def remove(folder: Path) -> None:
    """Delete the partials of a case, or of all cases of a run; what another process puts there meanwhile is its own to remove."""
    shutil.rmtree(folder, ignore_errors=True)


class Store:
    """The partials of one case in a folder: one file a part, written under a hidden name, flushed and renamed.

    Several processes may use one folder at once: names hold a hash of the content, so that two either differ or are the same file, and
    neither waits for the other. A folder that was removed meanwhile is made again.
    """

    def __init__(self, folder: Path, belongs: str) -> None:
        self._folder = folder
        self._belongs = belongs
        self._lock = threading.Lock()
        self._worked = 0.0
        self._spent = 0.0
        self._cost = 0.05  # seconds that the last one took; a guess before the first
        self.damaged = 0

    def read(self, tasks: Collection[Task], blank: Callable[[], summaries.State], n_counters: int) -> Iterator[Part]:
        """Yield the parts that cover some of `tasks`, none twice; delete and count what is damaged, foreign or stale.

        Raises ResultError where the folder is there and cannot be read.
        """
        open_tasks = set(tasks)
        try:
            names = sorted(name for name in os.listdir(self._folder) if name.endswith(_SUFFIX) and not name.startswith("."))
        except FileNotFoundError:
            return
        except OSError as error:
            raise ResultError([_unreadable(self._folder, error)]) from error
        for name in names:
            file = self._folder / name
            try:
                part = unpack(file.read_bytes(), self._belongs, blank, n_counters)
            except FileNotFoundError:  # another process has finished
                continue
            except OSError as error:
                raise ResultError([_unreadable(file, error)]) from error
            except (Unusable, ValueError, KeyError, TypeError, IndexError, AttributeError, RecursionError):
                self.damaged += 1
                with contextlib.suppress(OSError):
                    file.unlink()
                continue
            covered = [(part.replicate, first, points) for first, points in part.covers]
            if len(set(covered)) == len(covered) and open_tasks.issuperset(covered):
                open_tasks.difference_update(covered)
                yield part

    def keep(self, part: Part) -> None:
        """Write a part, unless that would take more than SHARE of the time worked: what was quick is quickly done again.

        Raises ResultError where it cannot be written.
        """
        with self._lock:
            self._worked += part.seconds
            expected = self._cost
            if self._spent + expected > SHARE * self._worked:
                return
            self._spent += expected
        begin = time.perf_counter()
        packed = part.packed or pack(part, self._belongs)
        digest = packed[len(_MAGIC) : len(_MAGIC) + 6].hex()
        name = f"{part.replicate:05d}-{min(first for first, _ in part.covers):015d}-{digest}{_SUFFIX}"
        try:
            write_whole(self._folder, name, packed)
        except OSError as error:
            with contextlib.suppress(OSError):
                self._folder.rmdir()  # refused where there is anything in it
            raise ResultError([unwritable(self._folder, error, len(packed))]) from error
        cost = time.perf_counter() - begin
        with self._lock:
            self._spent += cost - expected
            self._cost = cost


def _reason(error: OSError) -> str:
    return error.strerror or str(error)


def _unreadable(path: Path, error: OSError) -> Problem:
    came = f"partial summaries cannot be read: {_reason(error)}"
    return Problem(file=str(path), came=came, allowed="they are what an earlier run left", advice="Make them readable, or delete them")


def unwritable(folder: Path, error: OSError, size: int) -> Problem:
    full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
    first = f"Free {max(size / 1e6, 0.1):.1f} MB or more" if full else "Make the folder writable"
    came = f"a partial summary cannot be written: {_reason(error)}"
    return Problem(
        file=str(folder), came=came, allowed="what was written before is kept", advice=f"{first} and run again: it goes on from there"
    )
