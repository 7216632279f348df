"""Files that a command writes: refused before the work where nothing can go, then written whole or not at all."""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Iterable, Sequence
from pathlib import Path

from .errors import Problem, ResultError, SimError

RESULT_FILE, SCENARIO_FILE, MANIFEST_FILE = "result.nc", "scenario.toml", "manifest.json"  # of a result's folder

_ATTEMPTS = 8


class TargetError(ResultError):
    """A file may not be written where it was named."""


def check_target(path: Path, sources: Iterable[Path] = (), suffixes: Sequence[str] = ()) -> None:
    """Raise TargetError where a file may not go: over what is read, inside a result's folder, on or beneath what is no folder.

    suffixes   endings that its name may have; any, where none is given
    """
    read = list(sources)
    if path.exists() and any(source.exists() and path.samefile(source) for source in read):
        came = "it is the file to read" if len(read) == 1 else "it is one of the files to read"
        raise TargetError([Problem(file=str(path), came=came, advice="Name another file")])
    if any((parent / MANIFEST_FILE).exists() and (parent / RESULT_FILE).exists() for parent in path.absolute().resolve().parents):
        came, allowed = "this is inside the folder of a result", "a finished folder stays as it is"
        raise TargetError([Problem(file=str(path), came=came, allowed=allowed, advice="Name a file elsewhere")])
    if path.is_dir() or not path.absolute().parent.is_dir():
        came = "this is a folder" if path.is_dir() else "its folder does not exist"
        raise TargetError([Problem(file=str(path), came=came, advice="Name another file")])
    if suffixes and path.suffix.lower() not in suffixes:
        came = f"the name ends in {path.suffix!r}" if path.suffix else "the name has no ending"
        raise TargetError([Problem(file=str(path), came=came, allowed=f"it must end in {', '.join(suffixes)}")])


def write(path: str | os.PathLike[str], content: bytes | memoryview, error: type[SimError] = ResultError) -> None:
    """Write a file whole or not at all; what stood there is replaced, and through a link what it leads to.

    Raises `error` where it cannot be written, or what stands there is no file.
    """
    try:
        target = Path(os.path.realpath(path))
        if target.exists() and not target.is_file():
            raise OSError("it is there and is not a file")
        if not target.parent.is_dir():
            raise OSError("its folder does not exist")
        write_whole(target.parent, target.name, content)
    except (OSError, ValueError) as wrong:
        came, allowed = f"it cannot be written: {getattr(wrong, 'strerror', None) or wrong}", "nothing was left behind"
        advice = "Name another file, or check the folder, its permissions and its free space"
        raise error([Problem(file=os.fspath(path), came=came, allowed=allowed, advice=advice)]) from wrong


def write_whole(folder: Path, name: str, content: bytes | memoryview) -> None:
    """Write a file under a hidden name, flush it and give it its own; a folder that is not there, or not any more, is made."""
    for attempt in range(1, _ATTEMPTS + 1):
        hidden = folder / f".{secrets.token_hex(8)}.tmp"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with open(hidden, "xb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            os.replace(hidden, folder / name)
            return
        except FileNotFoundError:  # another process finished this case and removed the folder
            if attempt == _ATTEMPTS:
                raise
        except BaseException:
            with contextlib.suppress(OSError):
                hidden.unlink()
            raise
