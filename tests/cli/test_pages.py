"""`sim plot` and `sim report`: where the file goes, what is not replaced, and what is said where there is none."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from pages import hide_matplotlib, small

from sim import files
from sim.cli import main
from sim.saved import open_result, save_result

PAGES = [("plot", ".png", b"\x89PNG"), ("report", ".html", b"<!DOCTYPE html>")]
DRAWS = {"draws": 256}


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_result(small(run=DRAWS), tmp_path_factory.mktemp("results"))


@pytest.fixture(autouse=True)
def in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("matplotlib", reason="the extra plot")
    monkeypatch.chdir(tmp_path)


def sim(*arguments: object) -> Result:
    done = CliRunner().invoke(main, [str(argument) for argument in arguments], prog_name="sim")
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done


def here() -> list[str]:
    return sorted(os.listdir())


@pytest.mark.parametrize(("command", "suffix", "begins"), PAGES)
def test_under_the_name_of_the_scenario_where_nothing_is_replaced_unasked(command: str, suffix: str, begins: bytes, result: Path) -> None:
    name = f"made-up{suffix}"
    first = sim(command, result)
    assert (first.exit_code, first.stdout, first.stderr) == (0, f"{name}\n", "")
    assert Path(name).read_bytes().startswith(begins)
    assert here() == [name]
    Path(name).write_text("mine")
    again = sim(command, result)
    assert (again.exit_code, again.stdout) == (2, "")
    assert f"{name} is there already" in again.stderr
    assert Path(name).read_text() == "mine"
    assert sim(command, result, "-o", name).exit_code == 0
    assert Path(name).read_bytes().startswith(begins)
    assert here() == [name]


@pytest.mark.parametrize(
    ("command", "name", "begins"), [("plot", "x.SVG", b"<?xml"), ("plot", "x.pdf", b"%PDF"), ("report", "x.HTM", b"<!DOCTYPE")]
)
def test_the_name_says_which_kind(command: str, name: str, begins: bytes, result: Path) -> None:
    assert sim(command, result / "result.nc", "-o", name).exit_code == 0
    assert Path(name).read_bytes().startswith(begins)


@pytest.mark.parametrize("command", ["plot", "report"])
@pytest.mark.parametrize(("name", "said"), [("x.jpeg", "ends in '.jpeg'"), ("x", "has no ending"), ("scenario.toml", "must end in")])
def test_another_kind_is_refused_before_any_work(command: str, name: str, said: str) -> None:
    done = sim(command, "absent", "-o", name)
    assert (done.exit_code, done.stdout) == (2, "")
    assert said in done.stderr
    assert here() == []


@pytest.mark.parametrize(("command", "suffix", "begins"), PAGES)
def test_a_result_stays_as_it_is(command: str, suffix: str, begins: bytes, result: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("link").symlink_to(result)
    for target in (result / f"x{suffix}", result / "deeper" / f"x{suffix}", Path("link") / f"x{suffix}"):
        done = sim(command, result, "-o", target)
        assert (done.exit_code, done.stdout) == (2, "")
        assert "inside the folder of a result" in done.stderr
    monkeypatch.chdir(result)
    assert sim(command, ".").exit_code == 2
    open_result(result)  # which counts the files


@pytest.mark.parametrize("command", ["plot", "report"])
def test_no_result_or_a_damaged_one(command: str, tmp_path: Path) -> None:
    absent = sim(command, "absent")
    assert (absent.exit_code, absent.stdout) == (2, "")
    assert "there is no such folder" in absent.stderr
    damaged = save_result(small(run=DRAWS), tmp_path / "results")
    whole = (damaged / "result.nc").read_bytes()
    (damaged / "result.nc").write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    done = sim(command, damaged)
    assert (done.exit_code, done.stdout) == (1, "")
    assert "the file is damaged" in done.stderr
    assert here() == ["results"]


@pytest.mark.parametrize(("command", "suffix", "begins"), PAGES)
def test_a_file_that_cannot_be_written(command: str, suffix: str, begins: bytes, result: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Path(f"folder{suffix}").mkdir()
    Path(f"kept{suffix}").write_text("mine")
    for target, said in ((f"folder{suffix}", "this is a folder"), (f"none/x{suffix}", "its folder does not exist")):
        done = sim(command, result, "-o", target)
        assert (done.exit_code, done.stdout) == (2, "")
        assert said in done.stderr

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    done = sim(command, result, "-o", f"kept{suffix}")
    assert (done.exit_code, done.stdout) == (1, "")
    assert "it cannot be written: No space left on device; nothing was left behind" in done.stderr
    assert Path(f"kept{suffix}").read_text() == "mine"
    assert here() == [f"folder{suffix}", f"kept{suffix}"]


def test_without_matplotlib(result: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hide_matplotlib(monkeypatch)
    drawn = sim("plot", result)
    assert (drawn.exit_code, drawn.stdout) == (1, "")
    assert "borderflow-sim[plot]" in drawn.stderr
    assert here() == []
    told = sim("report", result)
    assert (told.exit_code, told.stdout) == (0, "made-up.html\n")
    assert "The report has no picture" in told.stderr


def test_what_the_picture_lacks_is_said(tmp_path: Path) -> None:
    folder = save_result(small(question="多少?", run=DRAWS), tmp_path / "results")
    done = sim("plot", folder)
    assert (done.exit_code, done.stdout) == (0, "made-up.png\n")
    assert "they stand as boxes" in done.stderr


def test_a_link_is_followed_and_kept(result: Path) -> None:
    Path("link.png").symlink_to("target.png")
    files.write(Path("link.png"), b"new")
    assert Path("link.png").is_symlink()
    assert Path("target.png").read_bytes() == b"new"
