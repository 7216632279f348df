"""Finished cases of a sweep on disk, so that an interrupted one goes on: many cases to a file, because a case may take milliseconds.

What takes long within a case is in the case's own partials; these are deleted once the case is here.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from .errors import ResultError
from .files import write_whole
from .partials import remove, unwritable
from .runner import METHOD_VERSION, kernels_digest
from .simulation import Run

EVERY_SECONDS = 20.0  # between two files: what a crash may cost. One takes about 50 ms

_FORMAT = 2
_MAGIC = b"borderflow cases\n"
_SUFFIX = ".cases"


class Finished:
    """The finished cases of one run in a folder. `identity` names the run; what is not whole or of another run is deleted and made again.

    case_folder   where the partials of a case are, by its number
    """

    def __init__(self, folder: Path, identity: str, case_folder: Callable[[int], Path]) -> None:
        self._folder = folder
        self._belongs = hashlib.sha256(f"{_FORMAT} {METHOD_VERSION} {kernels_digest()} {identity}".encode()).hexdigest()
        self._case_folder = case_folder
        self._waiting: dict[int, Run] = {}
        self._written = time.monotonic()
        self.damaged = 0  # files that were deleted because they were not whole or not of this run

    def read(self) -> dict[int, Run]:
        """Return the cases that an earlier run finished, by number.

        Raises ResultError where the folder is there and cannot be read.
        """
        found: dict[int, Run] = {}
        try:
            files = sorted(entry for entry in self._folder.iterdir() if entry.suffix == _SUFFIX and not entry.name.startswith("."))
        except FileNotFoundError:
            return found
        except OSError as error:
            raise ResultError(f"{self._folder}: finished cases cannot be read: {error.strerror or error}") from error
        for file in files:
            try:
                found |= _unpack(file.read_bytes(), self._belongs)
            except (OSError, ValueError, KeyError, TypeError, IndexError, RecursionError):
                self.damaged += 1
                with contextlib.suppress(OSError):
                    file.unlink()
        return found

    def keep(self, number: int, run: Run) -> None:
        """Take in a case; write all that wait once the last file is EVERY_SECONDS old."""
        self._waiting[number] = run
        if time.monotonic() - self._written >= EVERY_SECONDS:
            self.flush()

    def flush(self) -> None:
        """Write what waits. Raises ResultError where it cannot be written."""
        if not self._waiting:
            return
        packed = _pack(self._waiting, self._belongs)
        try:
            write_whole(self._folder, f"{min(self._waiting):06d}-{max(self._waiting):06d}{_SUFFIX}", packed)
        except OSError as error:
            with contextlib.suppress(OSError):
                self._folder.rmdir()  # refused where there is anything in it
            raise ResultError([unwritable(self._folder, error, len(packed))]) from error
        for number in self._waiting:
            remove(self._case_folder(number))
        self._waiting = {}
        self._written = time.monotonic()


def _pack(runs: Mapping[int, Run], belongs: str) -> bytes:
    """Return cases as bytes: a magic line, the SHA-256 of the rest, a header in JSON, then all arrays."""
    arrays: list[np.ndarray] = []

    def taken(item: Any) -> Any:
        """Return what JSON holds of a field; arrays are replaced by their types and shapes, in the order in which they stand."""
        if isinstance(item, np.ndarray):
            arrays.append(np.ascontiguousarray(item))
            return {"array": [item.dtype.str, list(item.shape)]}
        if isinstance(item, Mapping):
            return {"map": [[key, taken(inner)] for key, inner in item.items()]}
        if isinstance(item, tuple):
            return {"tuple": [taken(inner) for inner in item]}
        return item

    names = [field.name for field in dataclasses.fields(Run)]
    cases = [[number, {name: taken(getattr(run, name)) for name in names}] for number, run in runs.items()]
    header = json.dumps({"belongs": belongs, "cases": cases}).encode()
    body = b"".join([len(header).to_bytes(8, "little"), header, *(array.tobytes() for array in arrays)])
    return _MAGIC + hashlib.sha256(body).digest() + body


def _unpack(packed: bytes, belongs: str) -> dict[int, Run]:
    """Return the cases that bytes stand for. Raises ValueError, or another error of what it reads, where they are not whole or foreign."""
    start = len(_MAGIC) + 32
    body = packed[start:]
    if not packed.startswith(_MAGIC) or hashlib.sha256(body).digest() != packed[len(_MAGIC) : start]:
        raise ValueError("not whole")
    length = int.from_bytes(body[:8], "little")
    header = json.loads(body[8 : 8 + length])
    if header["belongs"] != belongs:
        raise ValueError("of another run")
    at = 8 + length

    def given(item: Any) -> Any:
        nonlocal at
        match item:
            case {"array": [kind, shape]}:
                size = int(np.prod(shape)) * np.dtype(kind).itemsize
                array = np.frombuffer(body[at : at + size], np.dtype(kind)).reshape(shape).copy()
                at += size
                return array
            case {"map": pairs}:
                return {key: given(inner) for key, inner in pairs}
            case {"tuple": inners}:
                return tuple(given(inner) for inner in inners)
        return item

    return {int(number): Run(**{name: given(item) for name, item in fields.items()}) for number, fields in header["cases"]}
