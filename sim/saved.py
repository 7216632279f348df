"""Results on disk: a folder written whole or not at all, never rewritten, and verified before it is read."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import re
import secrets
import shutil
import time
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import xarray as xr

from .errors import Problem, ResultError
from .files import MANIFEST_FILE, RESULT_FILE, SCENARIO_FILE
from .tree import LAYOUT_VERSION, LIBRARY, numbers_digest

_COMPRESS_ABOVE = 1024  # elements; below it the index of the chunks is larger than what compression saves
_STALE_SECONDS = 24 * 3600.0
_AGAIN = "Move the folder away and run the scenario again: the same scenario gives the same numbers"
_NAME = re.compile(r"[a-z0-9-]{1,60}")
_RUN_ID = re.compile(r"[0-9a-f]{12}")
_PARTIAL = re.compile(r"\.partial-[0-9a-f]{12}")
_BEGINNING = re.compile(r"[0-9a-f]{4,12}")  # of a run id
_MOST_SHOWN = 8


class NoResultError(ResultError):
    """There is no result where one was named."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ResultRecord:
    """One result folder as `sim list` shows it; `state` is "damaged" where a file does not match the manifest, and `damage` says how.

    "partial" is what an interrupted run left to go on from; its folder is hidden, and it was created when it was last written to. What a
    damaged manifest, or the folder of a partial result, does not tell is empty (text) or None (numbers).
    """

    folder: Path
    name: str
    run_id: str
    question: str
    created_at: str
    draws: int | None
    state: Literal["done", "partial", "damaged"]
    damage: str = ""


def _error(came: str, *, at: Path | None = None, allowed: str = "", advice: str = "") -> ResultError:
    return ResultError([Problem(file=None if at is None else str(at), came=came, allowed=allowed, advice=advice)])


def save_result(tree: xr.DataTree, folder: str | os.PathLike[str] = "results") -> Path:
    """Write a result to `<folder>/<name>/<run_id>/`, whole or not at all.

    The files are written and flushed to disk in a hidden folder beside the final one, which then gets its name in one step; so a
    folder that bears a run id is finished, after a crash, a full disk or Ctrl-C as well. A finished folder is never rewritten: where
    the same run stands already and is sound, its path is returned. Two processes may save the same run at once; the first to finish
    provides the folder. What killed processes left behind is removed by the next save of the same run, once it is a day old.

    Returns the path of the result folder.
    Raises ResultError where `tree` is not the unchanged tree of a run, where the folder cannot be written, and where a folder of this
    run exists that is damaged or holds other numbers.
    """
    name, identity, scenario_text = (str(tree.attrs.get(key, "")) for key in ("name", "run_id", "scenario"))
    if not (_NAME.fullmatch(name) and _RUN_ID.fullmatch(identity) and scenario_text):
        raise _error("the tree lacks the attributes name, run_id and scenario of a run", advice="Write other trees with tree.to_netcdf")
    if tree.attrs.get("numbers_digest") != numbers_digest(tree):
        raise _error(
            f"the numbers of run {identity} were changed after the run",
            allowed="a result folder holds what the run computed",
            advice="Write your own numbers with tree.to_netcdf",
        )
    final = Path(folder) / name / identity
    contents: dict[str, bytes | memoryview] = {}
    try:
        if final.exists():
            return _same_run(final, tree)
        contents = {RESULT_FILE: _netcdf(tree), SCENARIO_FILE: scenario_text.encode()}
        contents[MANIFEST_FILE] = _manifest(tree, contents)
        _remove_stale(final)
        with _hidden_folder(final) as hidden:
            for file_name, content in contents.items():
                with open(hidden / file_name, "xb") as file:
                    file.write(content)
                    file.flush()
                    os.fsync(file.fileno())
            _flush_folder(hidden)
            os.rename(hidden, final)
        _flush_folder(final.parent)
    except OSError as error:
        if error.errno in (errno.ENOTEMPTY, errno.EEXIST) and final.is_dir():  # another process was first
            return _same_run(final, tree)
        raise ResultError([_unwritable(final, error, sum(len(content) for content in contents.values()))]) from error
    return final


def open_result(path: str | os.PathLike[str]) -> xr.DataTree:
    """Verify a result folder against its manifest and read it into memory.

    `path` is the folder, or `result.nc` inside it. No file stays open. Files whose names begin with a dot are ignored.

    Raises NoResultError where there is no result, and ResultError where the manifest is missing or cannot be read, where a file is
    missing, damaged or not listed (the message names it), and where the layout is newer than this version of the library.
    """
    folder = Path(path)
    if folder.name == RESULT_FILE and not folder.is_dir():
        folder = folder.parent
    return open_verified(folder, None)


def open_verified(folder: Path, chunks: Mapping[str, int] | None) -> xr.DataTree:
    """Verify a result folder; read it into memory, or with `chunks` leave the file open, its arrays to be read by Dask."""
    manifest = _verified(folder)
    file = folder / RESULT_FILE
    try:
        if chunks is None:
            with xr.open_datatree(file, engine="h5netcdf") as lazily:
                tree = lazily.load()
        else:
            tree = xr.open_datatree(file, engine="h5netcdf", chunks=chunks)
    except (OSError, ValueError, KeyError) as error:
        raise _error(f"the file cannot be read: {error}", at=file) from error
    for key in ("run_id", "numbers_digest"):
        if tree.attrs.get(key) != manifest.get(key):
            raise _error(
                f"{key} is {manifest.get(key)!r} here and {tree.attrs.get(key)!r} in {RESULT_FILE}",
                at=folder / MANIFEST_FILE,
                allowed="the two describe one run",
                advice=_AGAIN,
            )
    return tree


def list_results(folder: str | os.PathLike[str] = "results") -> list[ResultRecord]:
    """Return a record of every result in a results folder, by name and then by time of creation; each is verified in full.

    `folder` may also be that of one name, or of one result. A folder counts as a result where it bears a run id, and as damaged where that
    or its name is not the manifest's; as partial where it is what an interrupted run left and there is no result beside it; others are
    passed over. An absent folder holds none.
    Raises ResultError where `folder` is a file or cannot be read.
    """
    root = Path(folder)
    try:
        entries = _folders(root) if root.exists() else []
    except OSError as error:
        raise _error(f"the folder cannot be read: {_reason(error)}", at=root) from error
    found = [entry for entry in entries if _RUN_ID.fullmatch(entry.name)]
    unfinished = [entry for entry in entries if _PARTIAL.fullmatch(entry.name)]
    records = [_partial_record(entry) for entry in unfinished if entry.with_name(entry.name.removeprefix(".partial-")) not in found]
    for entry in found:
        damage = ""
        name = entry.absolute().parent.name
        try:
            manifest = _verified(entry)
            for key, here in (("run_id", entry.name), ("name", name)):
                if manifest.get(key) != here:
                    came, advice = (
                        f"the folder is that of {here}, and the manifest that of {manifest.get(key)}",
                        "Give the folder its name back",
                    )
                    raise _error(came, at=entry, allowed="a result stands at <name>/<run_id>", advice=advice)
        except ResultError as error:
            damage = str(error)
            try:
                manifest = _read_manifest(entry)
            except ResultError:
                manifest = {}
        draws = manifest.get("draws")
        records.append(
            ResultRecord(
                folder=entry,
                name=name,
                run_id=entry.name,
                question=str(manifest.get("question", "")),
                created_at=str(manifest.get("created_at", "")),
                draws=draws if isinstance(draws, int) else None,
                state="damaged" if damage else "done",
                damage=damage,
            )
        )
    return sorted(records, key=lambda record: (record.name, record.created_at, record.run_id))


def _partial_record(folder: Path) -> ResultRecord:
    """Return what is known of an unfinished run: what its folder says of the scenario, and when something was last put there."""
    question, draws, written = "", None, 0.0
    with contextlib.suppress(OSError):
        written = max(entry.stat().st_mtime for entry in (folder, *folder.iterdir()))
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError, RecursionError):
        document = tomllib.loads((folder / SCENARIO_FILE).read_text(encoding="utf-8"))
        question, draws = str(document["question"]), int(document["run"]["draws"])
    return ResultRecord(
        folder=folder,
        name=folder.absolute().parent.name,
        run_id=folder.name.removeprefix(".partial-"),
        question=question,
        created_at=datetime.fromtimestamp(written, UTC).isoformat(timespec="seconds"),
        draws=draws,
        state="partial",
    )


def _netcdf(tree: xr.DataTree) -> memoryview:
    """Return the tree as the bytes of a NetCDF-4 file.

    Built in memory and written by save_result itself: HDF5 meets a full disk inside its own cache, where it can neither be caught in
    one place nor be flushed with fsync.
    """
    encoding = {
        node.path: {
            name: {"zlib": True, "complevel": 4, "shuffle": True} if variable.size > _COMPRESS_ABOVE and variable.dtype.kind == "f" else {}
            for name, variable in node.data_vars.items()
        }
        for node in tree.subtree
    }
    plain = tree.map_over_datasets(xr.Dataset.drop_encoding)
    written = plain.to_netcdf(engine="h5netcdf", encoding=encoding)
    assert isinstance(written, memoryview)
    return written


def _manifest(tree: xr.DataTree, contents: Mapping[str, bytes | memoryview]) -> bytes:
    attributes = tree.attrs
    manifest = {
        **{key: str(attributes[key]) for key in ("name", "run_id", "numbers_digest", "sampler", "created_at", "cpu")},
        "question": str(attributes["title"]),
        **{key: int(attributes[key]) for key in ("layout_version", "method_version", "seed", "draws", "draws_asked", "replicates")},
        "draws_per_second": float(attributes["draws_per_second"]),
        "timings": {"simulate_seconds": float(attributes["seconds"])},
        "libraries": {
            str(attributes["creation_library"]): str(attributes["creation_library_version"]),
            **{library: str(attributes[f"{library}_version"]) for library in ("numpy", "scipy", "numba", "xarray", "python")},
        },
        "files": {name: {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()} for name, content in contents.items()},
    }
    return (json.dumps(manifest, indent=2, ensure_ascii=False) + "\n").encode()


def _read_manifest(folder: Path) -> dict[str, Any]:
    """Read a manifest as far as it can be trusted: an object with a layout version that is not newer than ours and a table of files."""
    file = folder / MANIFEST_FILE
    try:
        if not folder.is_dir():
            raise _no_result("this is a file" if folder.exists() else "there is no such folder", folder)
        manifest = json.loads(file.read_bytes())
        layout = int(manifest["layout_version"])
        if layout > LAYOUT_VERSION:
            raise _error(
                f"the result has layout version {layout}",
                at=file,
                allowed=f"this version of {LIBRARY} reads layouts up to {LAYOUT_VERSION}",
                advice=f"Update {LIBRARY}",
            )
        listed = {str(name): (int(entry["bytes"]), str(entry["sha256"])) for name, entry in manifest["files"].items()}
    except FileNotFoundError as error:
        raise _without_manifest(folder) from error
    except OSError as error:
        raise _error(f"the manifest cannot be read: {_reason(error)}", at=file) from error
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise _error("the manifest is damaged", at=file, allowed="it must be the JSON that was written", advice=_AGAIN) from error
    return {**manifest, "files": listed}


def _no_result(came: str, at: Path, allowed: str = "", advice: str = "To see what there is: sim list") -> NoResultError:
    allowed = allowed or f"a result is a folder with {RESULT_FILE} and {MANIFEST_FILE} inside"
    return NoResultError([Problem(file=str(at), came=came, allowed=allowed, advice=advice)])


def _without_manifest(folder: Path) -> ResultError:
    """Say what a folder without a manifest is: a damaged result, one of results, what an interrupted run left, or something else."""
    if _RUN_ID.fullmatch(Path(os.path.abspath(folder)).name) or (folder / RESULT_FILE).exists():
        return _error("the manifest is missing", at=folder / MANIFEST_FILE, allowed="every finished result has one", advice=_AGAIN)
    try:
        inside = _folders(folder)
    except OSError as error:
        return _error(f"the folder cannot be read: {_reason(error)}", at=folder)
    done = [entry for entry in inside if not _PARTIAL.fullmatch(entry.name)]
    if done:
        return _no_result("this is a folder of results", folder, advice=f"Name one of those inside: {_some(done, 3)}")
    if inside:
        return _unfinished(folder)
    return _no_result("this is no result", folder)


def _unfinished(at: Path) -> NoResultError:
    return _no_result("a run was interrupted here and left no result yet", at, advice="Give the same sim run again; it goes on from there")


def _some(folders: Sequence[Path], most: int) -> str:
    return ", ".join(map(str, folders[:most])) + (f" ({len(folders)} in all)" if len(folders) > most else "")


def _folders(root: Path) -> list[Path]:
    """Return the folders that bear a run id, finished or not: those in `root`, or where it holds names those in these, or `root` itself."""

    def bears(folder: Path) -> bool:
        return bool(_RUN_ID.fullmatch(folder.name) or _PARTIAL.fullmatch(folder.name)) and folder.is_dir()

    if root.name in ("", ".."):
        root = Path(os.path.abspath(root))  # "." bears no name
    found: list[Path] = []
    for child in sorted(root.iterdir()):
        below = sorted(filter(bears, child.iterdir())) if _NAME.fullmatch(child.name) and child.is_dir() else []
        found += below or filter(bears, [child])  # a scenario may be called like a run id
    return found or list(filter(bears, [root]))


def find_result(path: str | os.PathLike[str], folder: str | os.PathLike[str] = "results") -> Path:
    """Return the result that is meant: `path`, or where nothing is there the one in `folder` that is called so.

    A result is called by its run_id, the first 4 digits of it or more, or its name.
    Raises NoResultError where none is called so, or several.
    """
    if os.path.exists(path):
        return Path(path)
    root, called = Path(folder), os.fspath(path)
    try:
        inside = _folders(root) if root.is_dir() else []
    except OSError as error:
        raise _error(f"the folder cannot be read: {_reason(error)}", at=root) from error
    ids = _BEGINNING.fullmatch(called) is not None
    meant = [entry for entry in inside if called == entry.parent.name or (ids and entry.name.removeprefix(".partial-").startswith(called))]
    done = [entry for entry in meant if not _PARTIAL.fullmatch(entry.name)]
    if len(done) == 1:
        return done[0]
    if done:
        came = f"{len(done)} results are called so"
        raise _no_result(came, Path(path), "one must be meant", f"Name one of them: {_some(done, _MOST_SHOWN)}")
    if meant:
        raise _unfinished(meant[0])
    came = f"there is no such folder, and no result in {root} is called so"
    allowed = f"a result is a folder with {RESULT_FILE} inside, a run_id or its first 4 digits or more, or a name with one result"
    raise _no_result(came, Path(path), allowed)


def _verified(folder: Path) -> dict[str, Any]:
    """Return the manifest of a folder whose files are those listed, with their sizes and hashes; raise with all faults otherwise."""
    manifest = _read_manifest(folder)
    listed: dict[str, tuple[int, str]] = manifest["files"]
    problems = []

    def fault(file: Path, came: str, allowed: str = "", advice: str = _AGAIN) -> None:
        problems.append(Problem(file=str(file), came=came, allowed=allowed, advice=advice))

    if set(listed) != {RESULT_FILE, SCENARIO_FILE}:
        fault(folder / MANIFEST_FILE, "the manifest is damaged", f"it must list {RESULT_FILE} and {SCENARIO_FILE}")
    for name in (RESULT_FILE, SCENARIO_FILE):
        file = folder / name
        size, expected = listed.get(name, (None, None))
        try:
            found_size = file.stat().st_size
            with open(file, "rb") as stream:
                found = hashlib.file_digest(stream, "sha256").hexdigest()
        except FileNotFoundError:
            fault(file, "the file is missing")
        except OSError as error:
            fault(file, f"the file cannot be read: {_reason(error)}", advice="")
        else:
            if size is not None and found_size != size:
                fault(file, f"the file is damaged: it has {found_size} bytes", f"the manifest says {size}")
            elif expected is not None and found != expected:
                fault(file, "the file is damaged: its SHA-256 is not the one in the manifest")
    for entry in sorted(folder.iterdir()):
        if entry.name not in (RESULT_FILE, SCENARIO_FILE, MANIFEST_FILE) and not entry.name.startswith("."):
            fault(entry, "this is not part of the result", "a finished folder stays as it is", "Move it elsewhere")
    if problems:
        raise ResultError(problems)
    return manifest


def _same_run(final: Path, tree: xr.DataTree) -> Path:
    """Return the folder of a run that is there already, where it is sound and holds the same numbers."""
    manifest = _verified(final)
    if manifest.get("numbers_digest") != tree.attrs["numbers_digest"]:
        raise _error(
            f"run {tree.attrs['run_id']} stands here with other numbers",
            at=final,
            allowed="one run has one set of numbers, so library versions or the processor differ",
            advice=f"Compare libraries and cpu in {MANIFEST_FILE}, or save to another folder",
        )
    return final


@contextlib.contextmanager
def _hidden_folder(final: Path) -> Iterator[Path]:
    """Make a hidden folder beside the final one; remove it, and the parents made for it, unless it was renamed away."""
    made: list[Path] = []
    try:
        for attempt in range(8):  # another process whose save failed may remove a parent between our two steps
            hidden = final.parent / f".{final.name}-{secrets.token_hex(4)}.partial"
            try:
                _make_parents(final.parent, made)
                hidden.mkdir()
                break
            except FileNotFoundError:
                if attempt == 7:
                    raise
        made.append(hidden)
        yield hidden
    finally:
        for folder in reversed(made):
            if folder.name.endswith(".partial"):
                shutil.rmtree(folder, ignore_errors=True)
            else:
                with contextlib.suppress(OSError):
                    folder.rmdir()  # refused where anything stands in it, which is what is wanted


def _make_parents(folder: Path, made: list[Path]) -> None:
    """Make a folder and its parents, noting at the end of `made` those that were not there."""
    if not folder.parent.exists():
        _make_parents(folder.parent, made)
    with contextlib.suppress(FileExistsError):
        folder.mkdir()
        made.append(folder)


def _remove_stale(final: Path) -> None:
    """Remove what killed processes left of this run, once it is a day old: no live save takes that long."""
    for hidden in final.parent.glob(f".{final.name}-*.partial"):
        with contextlib.suppress(OSError):
            if time.time() - hidden.stat().st_mtime > _STALE_SECONDS:
                shutil.rmtree(hidden, ignore_errors=True)


def _flush_folder(folder: Path) -> None:
    """Flush a folder's entries to disk where the system can; the files inside are flushed already, so a refusal is no failure."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _reason(error: OSError) -> str:
    return error.strerror or str(error)


def _unwritable(final: Path, error: OSError, size: int) -> Problem:
    advice = {
        errno.ENOSPC: f"Free {size / 1e6:.1f} MB or name another folder",
        errno.EDQUOT: f"Free {size / 1e6:.1f} MB of your quota or name another folder",
        errno.ENOTDIR: "A file stands where a folder is needed; name another folder",
        errno.EEXIST: "A file stands where a folder is needed; name another folder",
        errno.EFBIG: f"The limit on the size of files is below {size / 1e6:.1f} MB; raise it or name another folder",
    }.get(error.errno or 0, "Name a folder that you may write to")
    return Problem(
        file=str(final), came=f"the result cannot be written: {_reason(error)}", allowed="nothing was left behind", advice=advice
    )
