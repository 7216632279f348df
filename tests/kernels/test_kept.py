"""Tables kept on disk: the same bits with and without, whatever becomes of the file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from sim.kernels import kept, lognormal_loads

TABLE = np.random.default_rng(1).standard_normal((5, 7))


class Builder:
    def __init__(self, table: np.ndarray = TABLE) -> None:
        self.table, self.times = table, 0

    def __call__(self) -> np.ndarray:
        self.times += 1
        return self.table


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(kept, "cache_folder", lambda: str(tmp_path))
    return tmp_path


def built_anew(name: str = "t") -> bool:
    builder = Builder()
    assert kept.kept(name, builder).tobytes() == TABLE.tobytes()
    return builder.times == 1


def test_a_table_is_built_once(folder):
    assert built_anew()
    assert not built_anew()
    assert built_anew("another name")
    assert sorted(path.name for path in folder.iterdir()) == ["another name.table", "t.table"]


@pytest.mark.parametrize(
    "spoil",
    [
        lambda file: file.write_bytes(b""),
        lambda file: file.write_bytes(file.read_bytes()[:-1]),
        lambda file: file.write_bytes(file.read_bytes()[:40]),
        lambda file: file.write_bytes(file.read_bytes()[:-3] + b"\xff" + file.read_bytes()[-2:]),
        lambda file: file.write_bytes(b"\x00" * 32 + file.read_bytes()[32:]),
    ],
    ids=["empty", "cut by a byte", "cut in its header", "one byte changed", "another hash"],
)
def test_a_damaged_file_is_built_anew(folder, spoil):
    built_anew()
    spoil(folder / "t.table")
    assert built_anew()
    assert not built_anew()


def test_a_table_of_another_scipy_is_built_anew(folder, monkeypatch):
    built_anew()
    monkeypatch.setattr("scipy.__version__", "0.0")
    assert built_anew()


def test_nothing_is_said_where_nothing_can_be_written(folder, monkeypatch, capfd):
    (folder / "t.table").mkdir()
    assert built_anew()
    assert built_anew()
    assert [path.name for path in folder.iterdir()] == ["t.table"]
    monkeypatch.setattr(kept, "cache_folder", lambda: str(folder / "absent"))
    assert built_anew()
    monkeypatch.setattr(kept, "cache_folder", lambda: None)
    assert built_anew()
    assert capfd.readouterr() == ("", "")


def test_sums_of_loads_are_the_same_read_and_built(folder, monkeypatch):
    def built() -> bytes:
        lognormal_loads.load_sums.cache_clear()
        sums = lognormal_loads.load_sums(0.5, 0.6, 3.0)
        return b"".join(np.asarray(part).tobytes() for part in sums)

    first = built()
    assert len(list(folder.iterdir())) == 4
    assert built() == first
    for file in folder.iterdir():
        file.unlink()
    monkeypatch.setattr(lognormal_loads, "kept", lambda name, build: build())
    assert built() == first
    lognormal_loads.load_sums.cache_clear()
