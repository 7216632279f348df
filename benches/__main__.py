"""`python -m benches`: measure, judge, write `results.json` and `RESULTS.md`, and the README's rows of them."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from . import bench_accuracy, bench_border, bench_kernels, bench_memory, bench_propagate, bench_start
from .measuring import Effort, Measures, circumstances, load_average
from .targets import Comparison, Verdict, verdicts

BENCHES: Mapping[str, Callable[[Effort], Measures]] = {
    "border": bench_border.measure,
    "propagate": bench_propagate.measure,
    "kernels": bench_kernels.measure,
    "accuracy": bench_accuracy.measure,
    "memory": bench_memory.measure,
    "start": bench_start.measure,
}
_HERE = Path(__file__).parent
_README = _HERE.parent / "README.md"
QUIET = 3.0  # load average above which another's work is in the ratios
_QUICK = Effort(rounds=3, divide=16)
_BUSY = f", above {QUIET:g}: other work was on the machine, and what follows is a rough look only."
_HOW = (
    "Contenders run in turn; a ratio is the median of those of each round, its spread their 10 and 90 % points (accuracy: over places and "
    "periods; rows of the worst: least and greatest). Times mean nothing on another machine and stand in `results.json` only."
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benches asked for; exit status 1 where a target is missed."""
    parser = argparse.ArgumentParser(prog="python -m benches", description=__doc__)
    parser.add_argument("--only", action="append", choices=BENCHES, help="one bench; may be repeated")
    parser.add_argument("--rounds", type=int, help="times that every contender runs (default 10)")
    parser.add_argument("--quick", action="store_true", help="a sixteenth of the draws, three rounds: a look, not a result")
    parser.add_argument("--long", action="store_true", help="also memory of the shipped scenario at 10^8 draws")
    parser.add_argument(
        "--output",
        type=Path,
        help="folder of results.json and RESULTS.md (default: benches/, and README.md too); what is not measured keeps its last rows",
    )
    asked = parser.parse_args(arguments)
    effort = Effort(
        rounds=asked.rounds or (_QUICK.rounds if asked.quick else Effort().rounds),
        divide=_QUICK.divide if asked.quick else 1,
        long=asked.long,
    )
    folder = asked.output or (None if asked.quick else _HERE)
    report: dict[str, Any] = {**circumstances(), "made_at": {}, "effort": {}, "load_averages": {}, "amounts": {}}
    if folder is not None and (folder / "results.json").is_file():
        before = json.loads((folder / "results.json").read_text(encoding="utf-8"))
        report |= {key: before[key] for key in ("made_at", "effort", "load_averages", "amounts")}
    for name in asked.only or BENCHES:
        begin = time.perf_counter()
        measures = BENCHES[name](effort)
        report["made_at"][name] = datetime.now(UTC).isoformat(timespec="minutes")
        report["effort"][name] = asdict(effort)
        report["load_averages"][name] = load_average()
        report["amounts"][name] = {key: amount if isinstance(amount, str) else amount.tolist() for key, amount in measures.items()}
        print(f"\n{name}: {time.perf_counter() - begin:.0f} s\n\n{table(verdicts(name, measures))}", flush=True)
    rows: list[Verdict] = []
    for name in filter(report["amounts"].__contains__, BENCHES):
        amounts = report["amounts"][name].items()
        rows += verdicts(name, {key: amount if isinstance(amount, str) else np.array(amount) for key, amount in amounts})
    report["ratios"] = [asdict(row) for row in rows]
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "results.json").write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
        (folder / "RESULTS.md").write_text(markdown(report, rows), encoding="utf-8")
        print(f"\n{folder / 'RESULTS.md'}")
    if folder == _HERE:
        _README.write_text(renewed(_README.read_text(encoding="utf-8"), rows), encoding="utf-8")
    return int(any(row.met is False for row in rows))


def table(rows: Sequence[Verdict]) -> str:
    """Return rows as a Markdown table.

    >>> comparison = Comparison(bench="start", what="a / b", over="a", under="b", at_most=2.0)
    >>> print(table([Verdict(comparison=comparison, ratio=1.5, low=1.44, high=1.61, met=True)]))
    | what | ratio | spread | target | met |
    | --- | ---: | --- | --- | --- |
    | a / b | 1.5 | 1.44 to 1.61 | at most 2 | yes |
    """
    lines = ["| what | ratio | spread | target | met |", "| --- | ---: | --- | --- | --- |"]
    for row in rows:
        if row.ratio is None or row.low is None or row.high is None:
            ratio, spread, met = "", row.why, "not measured"
        else:
            ratio, spread = _short(row.ratio), f"{_short(row.low)} to {_short(row.high)}"
            met = "" if row.met is None else "yes" if row.met else "**no**"
        lines.append(f"| {row.comparison.what} | {ratio} | {spread} | {_target(row.comparison)} | {met} |")
    return "\n".join(lines)


def renewed(page: str, rows: Sequence[Verdict]) -> str:
    """Return a page with the rows that it shows of `table` as they are now; all else of it stays.

    >>> row = Verdict(comparison=Comparison(bench="start", what="a / b", over="a", under="b"), ratio=1.5, low=1.44, high=1.61, met=None)
    >>> print(renewed("Words.\\n| a / b | 3 | 2 to 4 |  |  |\\n| c / d | 7 | 7 to 7 |  |  |", [row]))
    Words.
    | a / b | 1.5 | 1.44 to 1.61 |  |  |
    | c / d | 7 | 7 to 7 |  |  |
    """
    now = {line.split(" | ")[0]: line for line in table(rows).splitlines()[2:]}
    return "\n".join(now.get(line.split(" | ")[0], line) for line in page.split("\n"))


def markdown(report: Mapping[str, Any], rows: Sequence[Verdict]) -> str:
    """Return the page: on what machine, what is met and what is not, and the ratios of each bench."""
    judged = [row for row in rows if row.met is not None]
    missed = [row for row in judged if not row.met]
    without = [row for row in rows if row.ratio is None]
    versions = ", ".join(f"{name} {version}" for name, version in report["versions"].items())
    loads = [load for load in report["load_averages"].values() if load is not None]
    busy = max(loads, default=0.0)
    parts = [
        "# Ratios\n",
        f"Written by `python -m benches`; do not edit. {_HOW}\n",
        f"{report['cpu']}, {report['processors']} processors, {report['system']}; Python {report['python']}; {versions}.\n",
        f"Load average from {min(loads, default=0.0):.1f} to {busy:.1f}{_BUSY if busy > QUIET else '.'}\n",
        f"**{len(judged) - len(missed)} of {len(judged)} targets are met.** Not measured: {len(without)}.\n",
    ]
    if any(effort["divide"] > 1 for effort in report["effort"].values()):
        parts.insert(2, f"A quick look at 1/{_QUICK.divide} of the draws: not a result.\n")
    if missed:
        parts += ["Missed:\n", *(f"- {row.comparison.what}: {_shown(row)}, target {_target(row.comparison)}" for row in missed), ""]
    for name in dict.fromkeys(row.comparison.bench for row in rows):
        parts += [
            f"## {name}\n",
            f"Measured at {report['made_at'][name]} in {report['effort'][name]['rounds']} rounds.\n",
            table([row for row in rows if row.comparison.bench == name]) + "\n",
        ]
    return "\n".join(parts)


def _shown(row: Verdict) -> str:
    if row.ratio is None or row.low is None or row.high is None:
        return row.why
    return _short(row.ratio if not row.comparison.worst else row.high if row.comparison.at_most is not None else row.low)


def _target(comparison: Comparison) -> str:
    if comparison.at_least is not None:
        return f"at least {_short(comparison.at_least)}"
    return "" if comparison.at_most is None else f"at most {_short(comparison.at_most)}"


def _short(number: float) -> str:
    """Return three figures: no ratio here is known to more."""
    return f"{number:,.0f}" if number >= 99.95 else f"{number:.3g}"


if __name__ == "__main__":
    sys.exit(main())
