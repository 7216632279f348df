"""A TOML file from a stranger: read with guards, every key with its line; nothing here knows what the keys mean.

Key paths count from 1, as a reader counts: `("block", 2, "key")` is in the second `[[block]]`.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import re
import stat
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import tree_sitter
import tree_sitter_toml

from .errors import Problem, ScenarioError
from .units import closest

MAX_BYTES = 1 << 20  # the shipped scenario has 20 KB
MAX_DEPTH = 32  # of tables, arrays and dotted keys; a scenario needs 6
MAX_NUMBER = 1e300  # leaves room for a unit and a sum before a float overflows

KeyPath = tuple[str | int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class TomlFile:
    """A TOML file that has been read: its name as the user gave it, what it holds, where its keys stand."""

    name: str
    document: dict[str, Any]
    lines: Mapping[KeyPath, int]

    def locate(self, problem: Problem) -> Problem:
        """Return the problem with file and line; what is missing is looked for at the table that lacks it."""
        if problem.file is not None:
            return problem
        path = problem.path
        while path not in self.lines:
            path = path[:-1]
        return problem.at(file=self.name, line=self.lines[path])


_TOKEN = re.compile(
    r'''"""(?:[^\\]|\\.)*?"""|\'\'\'.*?\'\'\'|"(?:[^"\\\n]|\\.)*"|'[^'\n]*'|\#[^\n]*|[A-Za-z0-9_+-]+|[ \t]+|.|\n''', re.DOTALL
)


def _too_deep(text: str) -> int | None:
    """Return the first line where brackets, or the parts of a dotted key, exceed MAX_DEPTH; tomllib recurses into the ones and is
    quadratic in the others (a key of 100,000 parts would take it an hour)."""
    depth, n_dots, line = 0, 0, 1
    for found in _TOKEN.finditer(text):
        token = found[0]
        if token in ("[", "{"):
            depth += 1
        elif token in ("]", "}"):
            depth -= 1
        n_dots = n_dots + 1 if token == "." else 0 if token in ("=", ",", "\n", "[", "]", "{", "}") else n_dots
        if max(depth, n_dots) > MAX_DEPTH:
            return line
        line += token.count("\n")
    return None


def read_toml(path: str | os.PathLike[str], what: str) -> TomlFile:
    """Read a TOML file of at most MAX_BYTES; nothing in it may crash, hang or fill the memory. `what` it is ("a scenario") is for messages.

    Raises ScenarioError, with one problem, for a path that is no readable file and for content that is not TOML 1.0 in UTF-8, nests
    deeper than MAX_DEPTH or holds a number of more than 4300 digits.
    """
    name = os.fspath(path)

    def refuse(came: str, allowed: str = "", advice: str = "", line: int | None = None) -> ScenarioError:
        return ScenarioError([Problem(file=name, line=line, came=came, allowed=allowed, advice=advice)])

    try:
        status = os.stat(path)
        if stat.S_ISDIR(status.st_mode):
            raise refuse(f"this is a folder, not {what}", f"{what} is a TOML file", "Give the file inside it")
        if not stat.S_ISREG(status.st_mode):
            raise refuse("this is not a regular file", f"{what} is a TOML file", "Save it as a file first")
        with open(path, "rb") as stream:
            content = stream.read(MAX_BYTES + 1)
    except FileNotFoundError:
        siblings: list[str] = []
        with contextlib.suppress(OSError):  # the folder may be missing too, or closed to reading
            siblings = os.listdir(Path(path).parent)
        raise refuse("there is no such file", f"{what} must exist", nearest(Path(path).name, siblings) or "Check the path") from None
    except PermissionError:
        raise refuse("this file may not be read", f"{what} must be readable", "Change its permissions") from None
    except (OSError, ValueError) as error:
        raise refuse(f"this file cannot be read ({error})", f"{what} is a TOML file", "Check the path") from None
    if len(content) > MAX_BYTES:
        raise refuse(f"this file is larger than {MAX_BYTES:,} bytes", f"{what} has at most {MAX_BYTES:,} bytes", "Shorten it")
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise refuse("this file is UTF-16 text", "TOML is UTF-8", "Save the file as UTF-8")
    try:
        text = content.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise refuse(f"byte {error.start + 1} is not UTF-8", "TOML is UTF-8", "Save the file as UTF-8", line) from None
    deep = _too_deep(text)
    if deep is not None:
        raise refuse("tables, lists or dotted keys are nested too deeply", f"at most {MAX_DEPTH} levels", "Flatten them", deep)
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        found = re.search(r" ?\(at (?:line (\d+), column (\d+)|end of document)\)", str(error))
        came, at_line, at_column = (str(error)[: found.start()], found[1], found[2]) if found is not None else (str(error), None, None)
        if twice := re.fullmatch(r"Cannot declare \((.+?),?\) twice", came):
            keys = re.findall(r"'([^']*)'", twice[1])
            came = f"[{'.'.join(keys)}] is declared twice"
        came += f" at column {at_column}" if at_column else " at the end of the file"
        line = int(at_line) if at_line else text.count("\n") + 1
        raise refuse(came, "this is not TOML 1.0", "Correct this line first; other errors follow then", line) from None
    except (RecursionError, ValueError):  # an integer of more than 4300 digits is a ValueError of int()
        digits = re.search(r"[0-9_]{4000,}", text)
        at = text.count("\n", 0, digits.start()) + 1 if digits is not None else None
        raise refuse("a number is too long", "a number has at most 4300 digits", "Shorten it", at) from None
    return TomlFile(name=name, document=document, lines=line_numbers(text))


def check_scalars(node: Any, path: KeyPath = (), infinite: KeyPath | None = None) -> list[Problem]:
    """Return a problem for every number that no computation survives and every control character, at `path` or below it.

    `infinite` is the one key that may be inf. Depth is checked again, because a caller may have put its own tables into the document.
    """
    if len(path) > MAX_DEPTH:
        return [Problem(path=path[:3], came="this is nested too deeply", allowed=f"at most {MAX_DEPTH} levels", advice="Flatten it")]
    if isinstance(node, dict | list):
        items = node.items() if isinstance(node, dict) else enumerate(node, start=1)
        return [problem for part, item in items for each in (part, item) for problem in check_scalars(each, (*path, part), infinite)]
    if isinstance(node, float) and not math.isfinite(node) and not (node > 0 and path == infinite):
        allowed = "a number must be finite" + (f"; only {'.'.join(map(str, infinite))} may be inf" if infinite else "")
        return [Problem(path=path, came=shown(node), allowed=allowed, advice="Give a finite number")]
    if isinstance(node, int | float) and MAX_NUMBER < abs(node) < math.inf:
        return [Problem(path=path, came=shown(node), allowed=f"a number lies within ±{MAX_NUMBER:g}", advice="Check its exponent")]
    if isinstance(node, str) and re.search(r"[\x00-\x08\x0b-\x1f\x7f]", node):
        return [Problem(path=path, came="a text holds a control character", allowed="texts are printable", advice="Delete it")]
    return []


def line_numbers(text: str) -> dict[KeyPath, int]:
    """Return the line of every table header, key and array element of a TOML document by key path; numbers count from 1."""
    lines: dict[KeyPath, int] = {(): 1}
    n_elements: dict[KeyPath, int] = {}

    def keys(node: tree_sitter.Node) -> list[str]:
        if node.type == "dotted_key":
            return [key for child in node.named_children for key in keys(child)]
        written = (node.text or b"").decode()
        return [next(iter(tomllib.loads(f"{written} = 0"))) if node.type == "quoted_key" else written]

    def inside(names: Sequence[str], base: KeyPath = ()) -> KeyPath:
        """Return the path of a header's table: a list of tables means its last element."""
        for name in names:
            base = (*base, name)
            base = (*base, n_elements[base]) if base in n_elements else base
        return base

    def note(path: KeyPath, node: tree_sitter.Node) -> None:
        for depth in range(1, len(path) + 1):
            lines.setdefault(path[:depth], node.start_point[0] + 1)

    def walk(node: tree_sitter.Node, path: KeyPath) -> None:
        for pair in (child for child in node.named_children if child.type == "pair"):
            key, *rest = (child for child in pair.named_children if child.type != "comment")
            inner = (*path, *keys(key))
            note(inner, key)
            descend(rest[-1] if rest else key, inner)

    def descend(node: tree_sitter.Node, path: KeyPath) -> None:
        if node.type == "inline_table":
            walk(node, path)
        elif node.type == "array":
            for number, element in enumerate((child for child in node.named_children if child.type != "comment"), start=1):
                note((*path, number), element)
                descend(element, (*path, number))

    root = tree_sitter.Parser(tree_sitter.Language(tree_sitter_toml.language())).parse(text.encode()).root_node
    walk(root, ())
    for node in root.named_children:
        if node.type not in ("table", "table_array_element") or not node.named_children:
            continue
        names = keys(node.named_children[0])
        if node.type == "table":
            path = inside(names)
        else:
            path = (*inside(names[:-1]), names[-1])
            n_elements[path] = n_elements.get(path, 0) + 1
            path = (*path, n_elements[path])
        note(path, node)
        walk(node, path)
    return lines


def shown(raw: Any) -> str:
    """Return a short form of anything that TOML can hold, as it would be written there."""
    match raw:
        case bool():
            return "true" if raw else "false"
        case int() if raw.bit_length() > 100:  # repr refuses integers of more than 4300 digits
            return f"an integer of {raw.bit_length()} bits"
        case int() | float():
            return repr(raw)
        case str():
            return json.dumps(raw if len(raw) <= 60 else raw[:57] + "...", ensure_ascii=False)
        case dict():
            return "a table"
        case list() | tuple():
            return f"a list of {len(raw)}"
        case date():
            return f"the date {raw.isoformat()}"
        case _:
            return str(raw)[:60]


def nearest(word: str, options: Iterable[str]) -> str:
    """Return advice that names the option most like `word`, or "" where none is."""
    near = closest(word, options)
    return f"The nearest is {json.dumps(near, ensure_ascii=False)}" if near is not None else ""
