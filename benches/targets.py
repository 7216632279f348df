"""What is compared: the one table that says which measured amount is divided by which other, and what the ratio must be."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from .bench_accuracy import PERCENTS, PLACES
from .bench_kernels import LAWS
from .measuring import Array, Measures

_MARGIN = 1e-9  # a ratio that is the target to the last bit but one meets it


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """One row: `over` / `under`, two amounts of one bench. Neither bound: shown, not judged.

    worst   judge every single ratio, as "never worse than" asks; else their median
    """

    bench: str
    what: str
    over: str
    under: str
    at_least: float | None = None
    at_most: float | None = None
    worst: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """A row with its ratios: their median, 10 and 90 % points, and whether the target is met; or why there are none."""

    comparison: Comparison
    ratio: float | None = None
    low: float | None = None
    high: float | None = None
    met: bool | None = None
    why: str = ""


def judge(comparison: Comparison, measures: Mapping[str, Array | str]) -> Verdict:
    """Divide round by round (stratum by stratum); amounts that were not paired are divided by the median of the other."""
    over, under = measures[comparison.over], measures[comparison.under]
    for amounts in (over, under):
        if isinstance(amounts, str):
            return Verdict(comparison=comparison, why=amounts)
    assert not isinstance(over, str)
    assert not isinstance(under, str)
    ratios = over / (under if over.shape == under.shape else np.median(under))
    low, middle, high = (float(q) for q in np.quantile(ratios, [0.1, 0.5, 0.9]))
    met = None
    if comparison.at_least is not None:
        met = bool((float(ratios.min()) if comparison.worst else middle) >= comparison.at_least * (1.0 - _MARGIN))
    elif comparison.at_most is not None:
        met = bool((float(ratios.max()) if comparison.worst else middle) <= comparison.at_most * (1.0 + _MARGIN))
    if comparison.worst:
        low, high = float(ratios.min()), float(ratios.max())
    return Verdict(comparison=comparison, ratio=middle, low=low, high=high, met=met)


def verdicts(bench: str, measures: Measures) -> list[Verdict]:
    """Return the row of every comparison of one bench."""
    return [judge(comparison, measures) for comparison in COMPARISONS if comparison.bench == bench]


def _faster(bench: str, what: str, slow: str, fast: str, at_least: float | None) -> Comparison:
    return Comparison(bench=bench, what=what, over=slow, under=fast, at_least=at_least)


def _dearer(bench: str, what: str, dear: str, cheap: str, at_most: float | None, worst: bool = False) -> Comparison:
    return Comparison(bench=bench, what=what, over=dear, under=cheap, at_most=at_most, worst=worst)


COMPARISONS: tuple[Comparison, ...] = (
    _faster("border", "NumPy / gamma loads, 2 threads", "NumPy, gamma", "gamma, 2 threads", 40.0),
    _faster("border", "NumPy / gamma loads, 1 thread", "NumPy, gamma", "gamma, 1 thread", 22.0),
    _faster("border", "the same without summaries, 1 thread", "NumPy, gamma, no summaries", "gamma, 1 thread, no summaries", 5.0),
    _faster("border", "NumPy, every load drawn / southwest FY2024, 1 thread", "NumPy, southwest FY2024", "southwest FY2024", 1000.0),
    _dearer("border", "lognormal loads / gamma loads", "lognormal, 1 thread", "gamma, 1 thread", 1.2),
    _dearer("border", "one stratum of 3,000 events / of 10", "n = 3,000", "n = 10", 1.1),
    _dearer("border", "summaries and sampling / sampling", "gamma, 1 thread", "gamma, 1 thread, no summaries", None),
    _faster("border", "one thread / two, 2^20 draws", "gamma, 1 thread", "gamma, 2 threads", None),
    _faster("border", "one thread / two, 10^7 draws of southwest FY2024", "10^7 draws, 1 thread", "10^7 draws, 2 threads", 1.75),
    *(
        _faster("propagate", f"{peer} / compiled function, 2 threads", peer, "compiled, 2 threads", target)
        for peer, target in (
            ("NumPy", 18.0), ("squigglepy", 18.0), ("OpenTURNS", 60.0), ("chaospy", 200.0), ("mcerp", 500.0), ("monaco", 3000.0),
        )
    ),
    _faster("propagate", "NumPy / plain function, 2 threads", "NumPy", "plain, 2 threads", 10.0),
    _faster("propagate", "NumPy / compiled function, 1 thread", "NumPy", "compiled, 1 thread", None),
    _faster("propagate", "NumPy / plain function, 1 thread", "NumPy", "plain, 1 thread", None),
    *(
        _dearer("kernels", f"{law} from {sampler} / uniform of NumPy's Philox", f"{law}, {sampler}", "uniform of NumPy's Philox", target)
        for sampler, target in (("philox", 1.2), ("sobol", 1.2))
        for law in LAWS
    ),
    _faster("kernels", "NumPy / gamma variate, shape 0.7", "NumPy gamma", "gamma variate", None),
    _faster("kernels", "NumPy / negative binomial count, 100.5 and 0.1", "NumPy count", "count", None),
    _faster("kernels", "NumPy / sum of 100 lognormal loads", "NumPy sum of loads", "sum of loads", None),
    *(
        _dearer(
            "accuracy", f"MCSE of {place} at {percent} %, Sobol' / Philox", f"sobol, {place}, {percent} %", f"philox, {place}, {percent} %",
            0.5 if place == "northern strata" else 0.2 if percent == 50 else 0.25,
        )
        for place in PLACES
        for percent in PERCENTS
    ),
    *(
        _dearer(
            "accuracy", f"the worst of {place} at {percent} %", f"sobol, {place}, {percent} %", f"philox, {place}, {percent} %", 1.0, True
        )
        for place in PLACES
        for percent in PERCENTS
    ),
    *(
        _dearer("memory", f"peak of {name}, 10^{more} draws / 10^6", f"{name}, 10^{more} draws", f"{name}, 10^6 draws", 1.1)
        for name in ("small", "shipped")
        for more in (7, 8)
    ),
    _dearer("start", "sim run of 65,536 draws / importing numba, scipy.stats, xarray", "sim run, warm", "imports", 2.0),
    _dearer("start", "the first sim run ever, which compiles / 40 s", "first sim run", "40 seconds", 1.0),
    _faster("start", "the first sim run ever says that it compiles (1) or not (0)", "first sim run says so", "yes", 1.0),
)  # fmt: skip
