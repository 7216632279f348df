"""Files that a command writes: whole or not at all, and never where they would do harm."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from sim.errors import EvidenceError, ResultError
from sim.files import TargetError, check_target, write


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_a_file_is_written_whole_or_not_at_all(step: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "map.nc"
    write(target, b"before")

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, step, full)
    with pytest.raises(ResultError, match="cannot be written: No space left on device; nothing was left behind"):
        write(target, b"after")
    monkeypatch.undo()
    assert target.read_bytes() == b"before"
    assert os.listdir(tmp_path) == ["map.nc"]


def test_a_link_stays_and_what_it_leads_to_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "real")
    write(tmp_path / "link", memoryview(b"content"))
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real").read_bytes() == b"content"


@pytest.mark.parametrize(
    ("name", "said"), [("none/x", "its folder does not exist"), (".", "it is there and is not a file"), ("a\0b", "null")]
)
def test_what_can_take_no_file_is_named(name: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(EvidenceError, match=said):
        write(f"{tmp_path}/{name}", b"", EvidenceError)
    assert os.listdir(tmp_path) == []


def test_targets_that_would_do_harm_are_refused(tmp_path: Path) -> None:
    read, folder = tmp_path / "read.csv", tmp_path / "result"
    read.touch()
    folder.mkdir()
    for name in ("result.nc", "manifest.json"):
        (folder / name).touch()
    (tmp_path / "same.csv").symlink_to(read)
    for path, sources, suffixes, said in (
        (tmp_path / "same.csv", [read], (), "it is the file to read"),
        (read, [folder / "result.nc", read], (), "it is one of the files to read"),
        (folder / "deeper" / "x.png", [], (), "inside the folder of a result"),
        (tmp_path / "x.jpg", [], (".png",), "the name ends in '.jpg'; it must end in .png"),
        (tmp_path / "x", [], (".png",), "the name has no ending"),
        (read, [read], (".png",), "it is the file to read"),  # says more than the ending
        (tmp_path, [], (), "this is a folder"),
        (tmp_path / "none" / "x", [], (), "its folder does not exist"),
    ):
        with pytest.raises(TargetError, match=said):
            check_target(path, sources, suffixes)
    check_target(tmp_path / "new.PNG", [read], (".png",))
