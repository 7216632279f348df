"""Every error a user can cause, in one shape; nothing here knows what is being read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One mistake, in four parts: where, what came, what is allowed, what to do.

    `path` is the key path inside the file (`("parameter", 2, "distribution", "sd")`), `file` and `line` are filled in by
    whoever knows them. `came`, `allowed` and `advice` are clauses without a full stop; `allowed` and `advice` may be empty.
    """

    path: tuple[str | int, ...] = ()
    came: str
    allowed: str = ""
    advice: str = ""
    file: str | None = None
    line: int | None = None

    def at(self, file: str | None = None, line: int | None = None, prefix: tuple[str | int, ...] = ()) -> Problem:
        """Return the same problem with its place filled in; what is known already is kept."""
        return replace(
            self,
            path=prefix + self.path,
            file=self.file if self.file is not None else file,
            line=self.line if self.line is not None else line,
        )

    def __str__(self) -> str:
        place = self.file or ""
        if self.line is not None:
            place += f":{self.line}"
        key = ""
        for part in self.path:
            key += f"[{part}]" if isinstance(part, int) else (f".{part}" if key else part)
        where = ": ".join(part for part in (place, key) if part)
        sentence = "; ".join(part for part in (self.came, self.allowed) if part)
        text = f"{where}: {sentence}." if where else f"{sentence}."
        return f"{text} {self.advice[0].upper()}{self.advice[1:]}." if self.advice else text


class SimError(Exception):
    """Base of every error a user can cause. `problems` holds them all; `str()` prints one a line."""

    def __init__(self, problems: str | Sequence[Problem]) -> None:
        self.problems: tuple[Problem, ...] = (Problem(came=problems),) if isinstance(problems, str) else tuple(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))


class ScenarioError(SimError):
    """A scenario file, or a value given in its place, is wrong."""


class EvidenceError(SimError):
    """An evidence table or a CBP file is wrong."""


class ResultError(SimError):
    """A result folder is missing, damaged or cannot be written."""
