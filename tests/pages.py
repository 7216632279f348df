"""Small results for the tests of pictures and reports: names that would break markup, places without evidence, a seizure of nothing."""

from __future__ import annotations

import builtins
from typing import Any

import pytest
from build import PERIOD, block, row, scenario

import sim

LAW = {"kind": "beta", "mean": 0.1, "sd": 0.03}
NASTY = '<b>&"$x^2'  # markup for HTML, and mathematics for matplotlib that would not end
QUESTION = f"How much, <script>alert(1)</script> {NASTY}, crossed?"


def side(quantity: str = "flow_pure_kg", corridor: str = "both", period: str = PERIOD) -> dict[str, str]:
    return {"quantity": quantity, "corridor": corridor, "period": period, "form": "all"}


CONTRASTS = [
    {"id": "year", "numerator": side(), "denominator": side(period="FY2023")},
    {"id": "nothing", "numerator": side(), "denominator": side(corridor="zero")},
]
CLAIMS = [
    {"id": "more", "text": f"More {NASTY} flowed", "contrast": "year", "above": 2.0},
    {"id": "never", "text": "A million times more", "contrast": "year", "above": 1e6},
]
ROWS = [
    row(NASTY, n_events=40, amount=90.0, period="FY2023", source="key"),
    row(NASTY, n_events=40, amount=90.0),
    row("small", n_events=4, amount=0.02),
    row("zero", n_events=0, amount=0.0),
]
SOURCES = {
    "key": {"title": "A table & more", "url": "https://example.org/a?b=1&c=2"},
    "made": {"title": "Not a link", "url": "javascript:alert(1)"},
}


def small(*rows: dict[str, Any], parameters: Any = (), **tables: Any) -> Any:
    """Run 4,096 draws of a scenario with groups, contrasts and claims; `tables` stand beside these or in their place."""
    blocks = [
        block("detection_rate", LAW, varies_by=["period"], correlation=0.5, source="made", grade="D"),
        block("powder_purity", LAW, note=f"a note {NASTY}"),
        block("load_shape", 1.0),
        block("load_median", {"kind": "lognormal", "interval": [0.001, 0.1], "probability": 0.9}, corridor="zero"),
        *parameters,
    ]
    asked: dict[str, Any] = {"groups": {"both": [NASTY, "small"]}, "contrast": CONTRASTS, "claim": CLAIMS, "question": QUESTION, **tables}
    asked["run"] = {"draws": 4096, **asked.get("run", {})}
    return sim.run(scenario([*ROWS, *rows], blocks, model={"load_law": "gamma"}, **asked), threads=2)


def condition(upper: str) -> dict[str, Any]:
    return {"id": "bound", "result": side(), "soft_upper": upper, "log_sd": 0.35, "source": "another"}


def sweep(n: int) -> dict[str, Any]:
    """Vary the mean purity, in n steps."""
    values = [round(0.05 + 0.9 * k / n, 6) for k in range(n)]
    return {"dim": "pure", "path": "parameter.powder_purity.distribution.mean", "values": values}


def hide_matplotlib(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make every import of matplotlib fail, as where the extra `plot` is not installed."""
    real = builtins.__import__

    def absent(name: str, *arguments: Any, **more: Any) -> Any:
        if name.startswith("matplotlib"):
            raise ImportError(f"No module named {name!r}")
        return real(name, *arguments, **more)

    monkeypatch.setattr(builtins, "__import__", absent)
