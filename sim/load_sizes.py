"""Sizes of loads from rows of a single event: a law for `load_log_sd` and `load_median`, and a check of the size law.

The size of one load is x = s exp(sigma e), e standard normal truncated above at c = `load_truncation` (method.md section 2); what is
fitted is sigma, the standard deviation of log x before truncation, and the median of x. Nothing here runs a simulation.
"""

from __future__ import annotations

import json
import math
import os
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from . import pictures
from .errors import EvidenceError, Problem
from .evidence import Row, read_table, row_from_mapping
from .kernels.libm import exp, log
from .units import closest, to_kg

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr
    from matplotlib.figure import Figure

Floats = NDArray[np.float64]

SIGMA_RANGE = 0.05, 8.0  # of the prior, flat in log sigma; the model takes no load_log_sd beyond 8
PROBS = (0.025, 0.05, 0.25, 0.5, 0.75, 0.95, 0.975)
LAWS = ("lognormal", "gamma", "weibull", "log-t")
_LOG_SIGMA = np.linspace(math.log(SIGMA_RANGE[0]), math.log(SIGMA_RANGE[1]), 1201)  # step .0042: the sd of log sigma at 28,000 rows
_COARSE = 24
_LOG_CENTRE = np.linspace(math.log(0.2), math.log(5.0), 65)  # of the corridors' sigmas
_SPREAD = np.linspace(0.0125, 1.5, 60)  # their sd on the log scale, prior half-normal with scale 0.5
_SPREAD_SCALE = 0.5
_EXACT = 1e-6  # a half-width below this part of the amount is no censoring
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(48)
_MOST_ROWS = 100_000  # of a summary: beyond, its spread is known better than the grid of log sigma is fine
_SPREADS = f"{SIGMA_RANGE[0]:g} to {SIGMA_RANGE[1]:g}"
_UNITS = ("lb", "g")  # in which amounts may have been weighed
_CAVEAT = "cells of a single event are those of quiet sectors and months"


@dataclass(slots=True, kw_only=True)
class _Sizes:
    """The single events of one corridor, or of one group: log sizes (ln kg), and how finely they were written.

    `low` and `high` (n,) bound what the size may have been, `log_size` (n,) is what was written. A summary has none of them, only
    `n`, `mean` and `sd`. `n_events` and `mass_kg` are over all rows with a known count of events.
    """

    corridors: tuple[str, ...]
    n: int = 0
    mean: float = math.nan
    sd: float = math.nan
    log_size: Floats = field(default_factory=lambda: np.empty(0))
    low: Floats = field(default_factory=lambda: np.empty(0))
    high: Floats = field(default_factory=lambda: np.empty(0))
    periods: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()
    n_unweighed: int = 0
    n_events: int = 0
    mass_kg: float = 0.0

    @property
    def from_summary(self) -> bool:
        return self.n > self.log_size.size


# ------------------------------------------------------------------------------------------------------------------- the estimate


def fit_load_sizes(
    evidence: str | os.PathLike[str] | Iterable[str | os.PathLike[str]] | pd.DataFrame | None = None,
    *,
    groups: Mapping[str, Sequence[str]] | None = None,
    summaries: Mapping[str, tuple[float, float, float]] | None = None,
    truncation: float = 3.0,
    rounding: float | None = None,
    pool: bool = True,
    seed: int = 0,
    n_envelope: int = 199,
) -> xr.Dataset:
    """Fit the law of load sizes to the rows of a single event, corridor by corridor.

    `evidence` is a path, several, or a DataFrame with the columns of an evidence table; counted tablets and precursors are left out.
    `groups` takes corridors together that share one typical size (as `shared_load_scale` does).
    `summaries` adds corridors of which only a published summary is known: (n, mean, sd) of the log of sizes in kg.
    `truncation` is the scenario's `load_truncation`, `math.inf` for none.
    `rounding` is the half-width (kg) of amounts whose row states none; by default it is read from the digits they are written with.

    The model: log x ~ N(mu_g, sigma_g) truncated above at mu_g + c sigma_g, an amount with half-width h counts as the interval amount ± h;
    mu_g flat, as the model's prior of a block's scale is; log sigma_g ~ N(lambda, omega), lambda flat, omega half-normal with scale
    0.5, so that corridors lend each other their spread; without `pool`, or with one corridor, log sigma flat. Sums over grids, no chains.
    Without rounding, truncation and pooling (n - 1) sd^2 / sigma^2 is chi-square with n - 1 degrees of freedom.

    Returns a Dataset over `corridor`, `prob`, `law`, `rank` and `sigma`: quantiles of the posterior, the lognormal law that stands for it
    (`load_log_sd_*`, `load_median_*`), the rows' figures, log-likelihood and AIC of the size laws, and quantile-quantile points with a
    pointwise 95 % envelope of `n_envelope` simulations of the fitted law (0: no check of the laws, NaN).
    `attrs["reports"]` lists what a reader must know, as sentences.

    Raises EvidenceError with every problem: a table that is wrong, one without rows of a single event, corridors with fewer than three
    of them where nothing is pooled, a group or summary that names what is not there.
    """
    import xarray as xr
    from scipy import stats

    problems: list[Problem] = []
    rows = _rows(evidence, problems)
    summaries, groups = dict(summaries or {}), dict(groups or {})
    _check(rows, groups, summaries, truncation, rounding, evidence is not None, problems)
    if problems:
        raise EvidenceError(problems)
    sizes = _grouped(rows, groups, rounding)
    for name, (n, mean, sd) in summaries.items():
        sizes[name] = _of_summary(name, n, mean, sd, truncation)
    _check_sizes(sizes, pool, problems)
    if problems:
        raise EvidenceError(problems)
    names = list(sizes)

    fits = [_marginal(one, truncation) for one in sizes.values()]
    pool = pool and len(names) > 1
    weights, other = _pooled([fit.log_evidence for fit in fits]) if pool else ([_normalised(fit.log_evidence) for fit in fits], None)
    shift = 0.0 if math.isinf(truncation) else float(stats.norm.ppf(stats.norm.cdf(truncation) / 2))

    n_rank = max(one.log_size.size for one in sizes.values())
    out: dict[str, Any] = {}

    def put(name: str, dims: tuple[str, ...], numbers: Any, units: str, text: str) -> None:
        out[name] = (dims, np.asarray(numbers), {"units": units, "long_name": text})

    sigma = exp(_LOG_SIGMA)
    by = ("corridor",)
    spread = [_quantiles(_LOG_SIGMA, weight, PROBS) for weight in weights]
    put("log_sd", ("corridor", "prob"), exp(spread), "1", "posterior quantile of sigma, before truncation")
    laws = [_law(_LOG_SIGMA, weight) for weight in weights]
    put("load_log_sd_median", by, [law[0] for law in laws], "1", "median of the law for load_log_sd")
    put("load_log_sd_sd_log", by, [law[1] for law in laws], "1", "its sd on the log scale")
    put("load_log_sd_lower", by, [law[2] for law in laws], "1", "its lower bound, the posterior's .0005 quantile")
    put("load_log_sd_upper", by, [law[3] for law in laws], "1", "its upper bound, the posterior's .9995 quantile")
    medians = [_median(fit, weight, sigma, shift) for fit, weight in zip(fits, weights, strict=True)]
    put("median_kg", ("corridor", "prob"), exp([_quantiles(*each, PROBS) for each in medians]), "kg", "posterior quantile of load_median")
    laws = [_law(*each) for each in medians]
    put("load_median_median", by, [law[0] for law in laws], "kg", "median of the law for load_median")
    put("load_median_sd_log", by, [law[1] for law in laws], "1", "its sd on the log scale")
    put("density", ("corridor", "sigma"), np.array(weights) / np.gradient(sigma), "1", "posterior density of sigma")
    if other is not None:
        quantiles = exp(_quantiles(_LOG_SIGMA, other, PROBS))
        put("log_sd_elsewhere", ("prob",), quantiles, "1", "the same for a corridor without rows, from the others")

    put("n_rows", by, [one.n for one in sizes.values()], "1", "rows of a single event that were used")
    put("n_unweighed", by, [one.n_unweighed for one in sizes.values()], "1", "rows of a single event without a weight, left out")
    put("n_events", by, [one.n_events for one in sizes.values()], "1", "events of all rows")
    single = [math.nan if one.from_summary else float(exp(one.log_size).mean()) for one in sizes.values()]
    put("single_mean_kg", by, single, "kg", "mean amount of the rows used")
    every = [one.mass_kg / one.n_events if one.n_events else math.nan for one in sizes.values()]
    put("all_mean_kg", by, every, "kg", "mean amount of all events")
    put("sample_log_mean", by, [one.mean for one in sizes.values()], "ln kg", "mean of the logs of the amounts")
    put("sample_log_sd", by, [one.sd for one in sizes.values()], "1", "sd of the logs of the amounts")
    put("sample_log_sd_within", by, [_within_periods(one) for one in sizes.values()], "1", "the same about the mean of each period")
    n_censored = [int((one.high - one.low > 2 * _EXACT).sum()) for one in sizes.values()]
    put("n_rounded", by, n_censored, "1", "rows whose rounding counts")

    checks = [_check_laws(one, truncation, n_rank, n_envelope, np.random.default_rng([seed, i])) for i, one in enumerate(sizes.values())]
    put("log_likelihood", ("corridor", "law"), [check["log_likelihood"] for check in checks], "1", "greatest log-likelihood")
    put("aic", ("corridor", "law"), [check["aic"] for check in checks], "1", "Akaike's criterion, the less the better")
    put("qq_observed_kg", ("corridor", "rank"), [check["observed"] for check in checks], "kg", "amounts, sorted")
    for key, text in (("fitted", "quantile of the fitted law"), ("low", "envelope, .025"), ("high", "envelope, .975")):
        put(f"qq_{key}_kg", ("corridor", "law", "rank"), [check[key] for check in checks], "kg", text)

    coords = {"corridor": names, "prob": list(PROBS), "law": list(LAWS), "rank": np.arange(1, n_rank + 1), "sigma": sigma}
    data = xr.Dataset(out, coords)
    data.attrs = {
        "truncation": truncation,
        "pooled": int(pool),
        "members": [json.dumps(one.corridors) for one in sizes.values()],
        "sources": [", ".join(one.sources) for one in sizes.values()],
    }
    data.attrs["reports"] = _reports(data, sizes)
    return data


@dataclass(slots=True, kw_only=True)
class _Marginal:
    """The likelihood of one corridor on the grid: `log_evidence` (s,) of sigma, and per sigma the nodes and weights of mu (s, m)."""

    log_evidence: Floats
    mu: Floats
    weight: Floats


def _marginal(sizes: _Sizes, truncation: float) -> _Marginal:
    """Integrate the likelihood over mu, flat, for each sigma of the grid.

    L(mu, sigma) = prod_i [Phi(min(b_i, c)) - Phi(a_i)] / Phi(c),  a, b = (ln(amount -+ h) - mu) / sigma;  a density where h is nothing

    The likelihood is log-concave in mu: its mode and curvature place 48 Gauss-Legendre nodes over ± 9 of its standard deviations, cut
    where the largest load would lie beyond the truncation. A coarse pass finds which sigmas count (within e^-30 of the best).
    """
    log_evidence = np.full(_LOG_SIGMA.size, -math.inf)
    mu = np.full((_LOG_SIGMA.size, _NODES.size), sizes.mean)
    weight = np.zeros_like(mu)
    if sizes.from_summary:
        truncation = math.inf  # its moments were corrected; its largest load is not known
    log_likelihood = _log_likelihood(sizes, truncation)
    for i in range(0, _LOG_SIGMA.size, _COARSE):
        log_evidence[i], mu[i], weight[i] = _over_mu(log_likelihood, sizes, math.exp(_LOG_SIGMA[i]), truncation)
    counts = np.flatnonzero(log_evidence > log_evidence.max() - 30.0)
    for i in range(max(0, counts[0] - _COARSE + 1), min(_LOG_SIGMA.size, counts[-1] + _COARSE)):
        if i % _COARSE:
            log_evidence[i], mu[i], weight[i] = _over_mu(log_likelihood, sizes, math.exp(_LOG_SIGMA[i]), truncation)
    return _Marginal(log_evidence=log_evidence, mu=mu, weight=weight)


def _log_likelihood(sizes: _Sizes, truncation: float) -> Callable[[Floats, float], Floats]:
    """Return log L as a function of mu (m,) and sigma. Exact amounts enter by their count, mean and sum of squares."""
    from scipy.special import log_ndtr, ndtr

    if sizes.from_summary:
        n, mean, squares, largest = sizes.n, sizes.mean, (sizes.n - 1) * sizes.sd**2, -math.inf
        low = high = np.empty((0, 1))
    else:
        exact = sizes.high - sizes.low <= 2 * _EXACT
        known = sizes.log_size[exact]
        n, mean = known.size, float(known.mean()) if known.size else 0.0
        squares, largest = float(((known - mean) ** 2).sum()), float(known.max()) if known.size else -math.inf
        low, high = sizes.low[~exact, None], sizes.high[~exact, None]
    n_all = n + low.shape[0]

    def log_likelihood(mu: Floats, sigma: float) -> Floats:
        total = -n * math.log(sigma) - (squares + n * (mean - mu) ** 2) / (2 * sigma**2) - n_all * float(log_ndtr(truncation))
        total = np.where(largest > mu + truncation * sigma, -math.inf, total) if math.isfinite(largest) else total
        if low.size:
            total = total + _log_interval((low - mu) / sigma, np.minimum((high - mu) / sigma, truncation), ndtr).sum(axis=0)
        return np.asarray(total)

    return log_likelihood


def _log_interval(a: Floats, b: Floats, cdf: Callable[[Floats], Floats]) -> Floats:
    """Return log(Phi(b) - Phi(a)), by the tail on its own side; -inf where b <= a or the tail underflows."""
    upper = a > 0
    mass = np.where(upper, cdf(-a) - cdf(-b), cdf(b) - cdf(a))
    with np.errstate(divide="ignore"):
        return np.asarray(log(np.maximum(mass, 0.0)))


def _over_mu(
    log_likelihood: Callable[[Floats, float], Floats], sizes: _Sizes, sigma: float, truncation: float
) -> tuple[float, Floats, Floats]:
    """Return log of the integral over mu, its nodes and their normalised weights."""
    from scipy import optimize

    step = sigma / math.sqrt(sizes.n)
    if sizes.from_summary:
        mode, bound = sizes.mean, -math.inf
    else:
        bound = float(sizes.low.max()) - truncation * sigma  # below, the largest load would be impossible
        finite = sizes.low[np.isfinite(sizes.low)]
        bottom = max(bound, float(finite.min() if finite.size else sizes.log_size.min()) - 3 * sigma)
        top = max(float(sizes.high.max()), bottom) + sigma * min(truncation, 3.0)
        found = optimize.minimize_scalar(
            lambda mu: -max(float(log_likelihood(np.array([mu]), sigma)[0]), -1e300),
            bounds=(bottom, top),
            method="bounded",
            options={"xatol": 0.3 * step},
        )
        mode = float(found.x)
    below, at, above = log_likelihood(np.array([mode - step, mode, mode + step]), sigma)
    curvature = (2 * at - below - above) / step**2 if np.isfinite([below, at, above]).all() else math.nan
    se = max(step, 1 / math.sqrt(curvature)) if math.isfinite(curvature) and curvature > 0 else step
    left, right = max(bound, mode - 9 * se), mode + 9 * se
    mu = (left + right) / 2 + (right - left) / 2 * _NODES
    logs = log_likelihood(mu, sigma) + log(_WEIGHTS * (right - left) / 2)
    top_log = float(logs.max())
    if not math.isfinite(top_log):
        return -math.inf, mu, np.zeros_like(mu)
    weight = exp(logs - top_log)
    return top_log + math.log(weight.sum()), mu, weight / weight.sum()


def _normalised(log_weight: Floats) -> Floats:
    weight = exp(log_weight - log_weight.max())
    return np.asarray(weight / weight.sum())


def _pooled(log_evidence: Sequence[Floats]) -> tuple[list[Floats], Floats]:
    """Marginalise lambda and omega: the posterior of log sigma of each corridor (s,), and of a corridor without rows.

    p(sigma_g) ~ L_g(sigma_g) sum_h p(h) N(log sigma_g; h) prod_{k != g} I_k(h),   I_k(h) = sum_sigma L_k(sigma) N(log sigma; h)
    """
    centre, spread = (each.ravel() for each in np.meshgrid(_LOG_CENTRE, _SPREAD, indexing="ij"))
    prior = exp(-((_LOG_SIGMA[None, :] - centre[:, None]) ** 2) / (2 * spread[:, None] ** 2))
    prior /= prior.sum(axis=1, keepdims=True)  # (h, s)
    likelihood = np.array([_normalised(each) for each in log_evidence])  # (g, s)
    with np.errstate(divide="ignore"):
        log_hyper = log(np.maximum(prior @ likelihood.T, 1e-300))  # (h, g)
    start = -(spread**2) / (2 * _SPREAD_SCALE**2)
    together = start + log_hyper.sum(axis=1)
    posteriors = []
    for g, one in enumerate(likelihood):
        rest = _normalised(together - log_hyper[:, g])
        weight = one * (rest @ prior)
        posteriors.append(weight / weight.sum())
    return posteriors, np.asarray(_normalised(together) @ prior)


def _quantiles(points: Floats, weight: Floats, probs: Sequence[float]) -> Floats:
    """Quantiles of a law on a grid; a point's mass is spread over its cell, so that half lies below it."""
    return np.asarray(np.interp(probs, np.cumsum(weight) - weight / 2, points))


def _law(logs: Floats, weight: Floats) -> tuple[float, float, float, float]:
    """Return median, sd of the log, and the .0005 and .9995 quantiles of the lognormal law's stand-in for a posterior of a log."""
    mean = float(weight @ logs)
    sd = math.sqrt(float(weight @ (logs - mean) ** 2))
    middle, lower, upper = exp(_quantiles(logs, weight, (0.5, 0.0005, 0.9995)))
    return float(middle), sd, float(lower), float(upper)


def _median(fit: _Marginal, weight: Floats, sigma: Floats, shift: float) -> tuple[Floats, Floats]:
    """Return a grid of the log of the truncated law's median, mu + sigma Phi^-1(Phi(c) / 2), and its posterior.

    A mixture over sigma of normals with the mean and sd of mu given sigma: exact but for rounding and truncation.
    """
    from scipy.special import ndtr

    counts = np.flatnonzero(weight > 1e-9 * weight.max())
    mu, share = fit.mu[counts], fit.weight[counts]
    mean = (mu * share).sum(axis=1)
    sd = np.sqrt((share * (mu - mean[:, None]) ** 2).sum(axis=1))
    mean = mean + shift * sigma[counts]
    edges = np.linspace((mean - 6 * sd).min(), (mean + 6 * sd).max(), 4001)
    cdf = sum(w * ndtr((edges - m) / s) for w, m, s in zip(weight[counts], mean, sd, strict=True))
    mass = np.diff(cdf)
    return (edges[1:] + edges[:-1]) / 2, mass / mass.sum()


# ------------------------------------------------------------------------------------------------------------------------ the rows


def _rows(evidence: Any, problems: list[Problem]) -> list[Row]:
    if evidence is None:
        return []
    rows: list[Row] = []
    if hasattr(evidence, "to_dict"):
        for i, record in enumerate(evidence.to_dict("records")):
            cells = {str(key): "" if cell is None or cell != cell else cell for key, cell in record.items()}
            row, wrong = row_from_mapping(cells, ("row", i))
            rows += [row] if row else []
            problems += wrong
        return rows
    seen: set[str] = set()
    for path in [evidence] if isinstance(evidence, str | os.PathLike) else evidence:
        if (real := os.path.realpath(path)) in seen:
            came, allowed = "this table is given twice", "its rows would count twice"
            problems.append(Problem(came=came, allowed=allowed, advice="Delete one", file=os.fspath(path)))
            continue
        seen.add(real)
        found, wrong = read_table(path)
        rows += found
        problems += wrong
    return rows


def _is_drug(row: Row) -> bool:
    """Whether a row is weighed drug: counted tablets have no mass, precursors are other loads."""
    return row.unit == "kg" and row.form != "precursor"


def _check(
    rows: Sequence[Row],
    groups: Mapping[str, Sequence[str]],
    summaries: Mapping[str, tuple[float, float, float]],
    truncation: float,
    rounding: float | None,
    has_table: bool,
    problems: list[Problem],
) -> None:
    if not truncation > 0:
        problems.append(Problem(path=("truncation",), came=f"{truncation:g}", allowed="it must be above 0", advice="Give load_truncation"))
    if rounding is not None and not (math.isfinite(rounding) and rounding >= 0):
        problems.append(Problem(path=("rounding",), came=f"{rounding:g}", allowed="it must be 0 or more, in kg"))
    if problems:
        return
    if not has_table and not summaries:
        problems.append(Problem(came="there is neither a table nor a summary", advice="Give an evidence table or --summary"))
    known = sorted({row.corridor for row in rows})
    taken: dict[str, str] = {}
    for group, members in groups.items():
        for corridor in members:
            if corridor not in known:
                near = closest(corridor, known)
                advice = f"The nearest is {near}" if near else ""
                allowed = f"the table's corridors are {', '.join(known)}"
                problems.append(Problem(path=("group", group), came=f"no corridor {corridor}", allowed=allowed, advice=advice))
            elif corridor in taken:
                came = f"{corridor} is in {taken[corridor]} already"
                problems.append(Problem(path=("group", group), came=came, allowed="a corridor is in one group", advice="Delete one"))
            taken.setdefault(corridor, group)
        if group in known and group not in members:
            problems.append(Problem(path=("group", group), came="it is the name of a corridor", advice="Name it otherwise"))
    for name, (n, mean, sd) in summaries.items():
        if name in groups or name in known:
            problems.append(Problem(path=("summary", name), came="the table has it too", advice="Give rows or a summary, not both"))
        if not (3 <= n <= _MOST_ROWS and float(n).is_integer() and math.isfinite(mean) and SIGMA_RANGE[0] <= sd <= SIGMA_RANGE[1]):
            allowed = f"it needs a whole n from 3 to {_MOST_ROWS:,}, a finite mean of the logs and an sd of them from {_SPREADS}"
            problems.append(Problem(path=("summary", name), came=f"n = {n:g}, mean = {mean:g}, sd = {sd:g}", allowed=allowed))
    if has_table and not problems and not any(row.n_events == 1 and row.amount > 0 and _is_drug(row) for row in rows):
        counts = Counter("unknown" if row.n_events is None else "more" if row.n_events > 1 else "none" for row in rows if row.n_events != 1)
        came = f"of {len(rows)} rows none has n_events = 1 and a weight ({counts['more']} sum several events)"
        advice = "For CBP's file: sim import-cbp --cells keeps the cells of one event apart; or give --summary"
        file = rows[0].where.rsplit(":", 1)[0] if rows and ":" in rows[0].where else None
        problems.append(Problem(came=came, allowed="sizes of loads are read from rows of a single event", advice=advice, file=file))


def _grouped(rows: Sequence[Row], groups: Mapping[str, Sequence[str]], rounding: float | None) -> dict[str, _Sizes]:
    """Return the sizes of each group, then of each corridor that is in none, in sorted order; those without single events have n = 0."""
    weighed = [row for row in rows if _is_drug(row)]
    group_of = {corridor: group for group, members in groups.items() for corridor in members}
    members: dict[str, list[str]] = {group: list(corridors) for group, corridors in groups.items()}
    for corridor in sorted({row.corridor for row in weighed} - set(group_of)):
        members[corridor] = [corridor]
    usable = [row for row in weighed if row.n_events == 1 and row.amount > 0]
    widths = dict(zip(map(id, usable), _half_widths(usable, rounding), strict=True))
    sizes: dict[str, _Sizes] = {}
    for name, corridors in members.items():
        mine = [row for row in weighed if row.corridor in corridors]
        single = [row for row in mine if row.n_events == 1]
        used = [row for row in single if row.amount > 0]
        counted = [row for row in mine if row.n_events is not None]
        amount = np.array([row.amount for row in used])
        width = np.array([widths[id(row)] for row in used])
        logs = log(amount)
        with np.errstate(divide="ignore"):
            low, high = log(np.maximum(amount - width, 0.0)), log(amount + width)
        sizes[name] = _Sizes(
            corridors=tuple(corridors),
            n=len(used),
            mean=float(logs.mean()) if used else math.nan,
            sd=float(logs.std(ddof=1)) if len(used) > 1 else math.nan,
            log_size=logs,
            low=low,
            high=high,
            periods=tuple(row.period for row in used),
            sources=tuple(sorted({row.source for row in used if row.source})),
            n_unweighed=len(single) - len(used),
            n_events=sum(row.n_events or 0 for row in counted),
            mass_kg=math.fsum(row.amount for row in counted),
        )
    return sizes


def _half_widths(rows: Sequence[Row], rounding: float | None) -> list[float]:
    """Return the half-width (kg) of each amount: the row's own, else `rounding`, else half of the last digit it is written with.

    An amount is taken to be weighed in the unit, lb or g, in which it is written with fewer digits: 0.000440924524 lb is 0.2 g. Whole
    numbers may have lost their zeros, so no amount counts as coarser than the median row of its unit (0.0001 lb and 0.1 g in CBP's file).
    """
    if rounding is not None:
        return [row.rounding or rounding for row in rows]
    written = [min((*_digits(row.amount / to_kg(1.0, unit)), unit) for unit in _UNITS) for row in rows]
    decimals = [(n, unit) for _, n, unit in written]
    usual = {unit: float(np.median(found)) for unit in _UNITS if (found := [n for n, of in decimals if of == unit])}
    return [
        row.rounding or min(0.5 * 10.0 ** -max(n, usual[unit]) * to_kg(1.0, unit), row.amount)
        for row, (n, unit) in zip(rows, decimals, strict=True)
    ]


def _digits(amount: float) -> tuple[int, int]:
    """Return the significant digits and the decimals of an amount, read to eight digits: CBP's lb for 0.2 g agree with 0.2 g to nine.

    >>> _digits(0.2000000001), _digits(12.35), _digits(30.0)
    ((1, 1), (4, 2), (1, 0))
    """
    number = Decimal(f"{amount:.8g}").normalize().as_tuple()
    return len(number.digits), max(0, -int(number.exponent))


def _of_summary(name: str, n: float, mean: float, sd: float, truncation: float) -> _Sizes:
    """Return a published summary as sizes, its moments those before truncation.

    e truncated above at c has mean -m and variance 1 - c m - m^2, m = phi(c) / Phi(c).
    """
    from scipy import stats

    m = 0.0 if math.isinf(truncation) else float(stats.norm.pdf(truncation) / stats.norm.cdf(truncation))
    sigma = sd / math.sqrt(1 - (truncation * m if m else 0.0) - m**2)
    return _Sizes(corridors=(name,), n=int(n), mean=mean + m * sigma, sd=sigma)


def _check_sizes(sizes: dict[str, _Sizes], pool: bool, problems: list[Problem]) -> None:
    """Drop corridors without single events (the report names them), and refuse what cannot be fitted."""
    enough = any(one.n >= 3 for one in sizes.values())
    for name, one in list(sizes.items()):
        if one.n == 0:
            del sizes[name]
        elif one.n < 3 and not (pool and enough):
            advice = "Take it with others by --group, or pool"
            problems.append(Problem(path=(name,), came=f"{one.n} rows of a single event", allowed="3 or more are needed", advice=advice))
        elif not one.from_summary and (not np.isfinite(one.low).any() or (one.n >= 3 and float(np.ptp(one.log_size)) == 0.0)):
            came = "all its amounts are the same, or smaller than their rounding"
            problems.append(Problem(path=(name,), came=came, allowed="a spread needs sizes that differ", advice="Leave the corridor out"))
        elif not one.from_summary and one.n >= 2 and one.sd > SIGMA_RANGE[1]:
            came = f"the logs of its amounts have an sd of {one.sd:.3g}"
            advice = "Look for a slip in a unit, or leave the corridor out"
            problems.append(Problem(path=(name,), came=came, allowed=f"sizes of loads spread by {_SPREADS}", advice=advice))


def _within_periods(sizes: _Sizes) -> float:
    """Return the sd of the log about the mean of each period: what a block of one period sees."""
    if sizes.from_summary:
        return math.nan
    periods, index = np.unique(np.array(sizes.periods), return_inverse=True)
    if sizes.n <= periods.size:
        return math.nan
    means = np.bincount(index, sizes.log_size) / np.bincount(index)
    return math.sqrt(float(((sizes.log_size - means[index]) ** 2).sum()) / (sizes.n - periods.size))


# ---------------------------------------------------------------------------------------------------------- the check of the law


def _check_laws(sizes: _Sizes, truncation: float, n_rank: int, n_envelope: int, rng: np.random.Generator) -> dict[str, Floats]:
    """Fit each size law by maximum likelihood with interval censoring, and simulate its quantile-quantile envelope.

    The envelope is of the fitted law itself, not refitted to each simulation, so it is somewhat wide. All NaN for fewer than five rows.
    """
    n = sizes.log_size.size
    nan = np.full((len(LAWS), n_rank), math.nan)
    check: dict[str, Floats] = {
        "log_likelihood": np.full(len(LAWS), math.nan),
        "aic": np.full(len(LAWS), math.nan),
        "observed": np.full(n_rank, math.nan),
    }
    check |= {key: nan.copy() for key in ("fitted", "low", "high")}
    if n < 5 or not n_envelope:
        return check
    check["observed"][:n] = np.sort(exp(sizes.log_size))
    low = np.minimum(sizes.low, sizes.log_size - _EXACT)
    high = np.maximum(sizes.high, sizes.log_size + _EXACT)
    uniforms: Floats = np.sort(rng.random((n_envelope, n)), axis=1)
    envelope = np.quantile(uniforms, (0.025, 0.975), axis=0)  # ppf is monotone: quantiles of sorted uniforms are quantiles of the points
    for i, law in enumerate(LAWS):
        parameters, best = _fit_law(law, sizes, low, high, truncation)
        check["log_likelihood"][i], check["aic"][i] = best, 2 * len(parameters) - 2 * best
        ppf = _law_functions(law, parameters, truncation)[1]
        for key, u in (("fitted", (np.arange(n) + 0.5) / n), ("low", envelope[0]), ("high", envelope[1])):
            check[key][i, :n] = exp(ppf(u))
    return check


def _fit_law(law: str, sizes: _Sizes, low: Floats, high: Floats, truncation: float) -> tuple[Floats, float]:
    from scipy import optimize

    m, s = sizes.mean, sizes.sd
    wide = max(s, (float(sizes.log_size.max()) - m) / truncation * 1.05)  # so that the largest load is possible at the start
    start = {
        "lognormal": [m, math.log(wide)],
        "gamma": [math.log(min(10.0, 1.6 / s**2 + 0.1)), math.log(float(exp(sizes.log_size).mean())) + 0.5],
        "weibull": [math.log(1.28 / s), m + 0.45 * s],  # ln x is Gumbel with sd pi / sqrt 6 / shape
        "log-t": [m, math.log(s), math.log(8.0)],
    }[law]

    def cost(parameters: Floats) -> float:
        if np.abs(parameters).max() > 40:
            return 1e12
        cumulative, _ = _law_functions(law, parameters, truncation)
        below_low, above_low = cumulative(low)
        below_high, above_high = cumulative(high)
        with np.errstate(divide="ignore"):
            logs = log(np.maximum(np.where(below_high < 0.5, below_high - below_low, above_low - above_high), 0.0))
        total = float(logs.sum())
        return -total if math.isfinite(total) else 1e12

    found = optimize.minimize(cost, np.array(start), method="Nelder-Mead", options={"maxiter": 2000, "xatol": 1e-5, "fatol": 1e-7})
    return np.asarray(found.x), -float(found.fun)


def _law_functions(
    law: str, parameters: Floats, truncation: float
) -> tuple[Callable[[Floats], tuple[Floats, Floats]], Callable[[Floats], Floats]]:
    """Return (log size -> cdf and its complement) and (u -> log size)."""
    from scipy import special, stats

    if law == "lognormal":
        centre, sd, whole = parameters[0], math.exp(parameters[1]), float(special.ndtr(truncation))

        def cumulative(y: Floats) -> tuple[Floats, Floats]:
            z = np.minimum((y - centre) / sd, truncation)
            return special.ndtr(z) / whole, (special.ndtr(-z) - special.ndtr(-truncation)) / whole

        return cumulative, lambda u: centre + sd * special.ndtri(u * whole)
    if law == "log-t":
        frozen = stats.t(math.exp(min(parameters[2], 12.0)), parameters[0], math.exp(parameters[1]))
        return (lambda y: (frozen.cdf(y), frozen.sf(y))), frozen.ppf
    if law == "weibull":
        frozen = stats.gumbel_l(parameters[1], math.exp(-parameters[0]))
        return (lambda y: (frozen.cdf(y), frozen.sf(y))), frozen.ppf
    shape, log_scale = math.exp(parameters[0]), parameters[1]

    def of_gamma(y: Floats) -> tuple[Floats, Floats]:
        x = exp(np.minimum(y - log_scale, 700.0))
        return special.gammainc(shape, x), special.gammaincc(shape, x)

    return of_gamma, lambda u: log(np.maximum(special.gammaincinv(shape, u), 1e-300)) + log_scale


# ------------------------------------------------------------------------------------------------------------------------- reports


def _reports(data: xr.Dataset, sizes: Mapping[str, _Sizes]) -> list[str]:
    """Say, with figures, which way single-event rows err, what was left out, and where another size law fits better."""
    reports = []
    for name, one in sizes.items():
        at = data.sel(corridor=name)
        if one.from_summary:
            reports.append(f"{name}: from a summary of {one.n} rows; rounding, size law and bias cannot be seen ({_CAVEAT}).")
            continue
        single, every = float(at["single_mean_kg"]), float(at["all_mean_kg"])
        text = f"{name}: {one.n} of {one.n_events:,} events ({one.n / one.n_events:.1%}) are rows of one event and used; {_CAVEAT}."
        if one.n_events > one.n:
            way = "less" if single < every else "more"
            factor = max(single / every, every / single)
            text += (
                f" Their mean is {single:.3g} kg against {every:.3g} kg over all events of the table, {factor:.2g}-fold {way}:"
                " sizes, and above all load_median, lean that way"
            )
            text += ", and sectors that differ widen load_log_sd." if len(one.periods) > 1 else "."
        else:
            text += " The table holds no other rows, so the bias cannot be seen in it."
        reports.append(text)
        if float(at["log_sd"].sel(prob=0.025)) < 1.05 * SIGMA_RANGE[0]:
            reports.append(f"{name}: load_log_sd may be below {SIGMA_RANGE[0]:g}, the least that is looked at; its law ends there.")
        if one.n_unweighed:
            reports.append(f"{name}: {one.n_unweighed} rows of one event without a weight were left out.")
        aic = at["aic"].values
        best = int(np.nanargmin(aic)) if np.isfinite(aic).any() else 0
        if aic[0] - aic[best] > 2:
            reports.append(
                f"{name}: {LAWS[best]} fits better than lognormal, AIC lower by {aic[0] - aic[best]:.1f}; look at the picture (--plot)."
            )
        if one.n >= 5:
            outside = (at["qq_observed_kg"] < at["qq_low_kg"]) | (at["qq_observed_kg"] > at["qq_high_kg"])
            share = float(outside.sel(law="lognormal").values[: one.n].mean())
            if share > 0.2:
                reports.append(f"{name}: {share:.0%} of the sizes lie outside the 95 % envelope of the fitted lognormal law.")
    return reports


def as_toml(data: xr.Dataset, *, median: bool = False, command: str = "sim fit-loads") -> str:
    """Return `[[parameter]]` blocks for load_log_sd, and for load_median where asked, ready to paste into a scenario.

    The law is a lognormal with the posterior's median and sd of the log, cut at its .0005 and .9995 quantiles: without an upper bound
    means would not exist (method.md section 6).
    """
    blocks = [f"# {command}"]
    cut = "no truncation" if math.isinf(data.attrs["truncation"]) else f"load_truncation = {data.attrs['truncation']:g}"
    for i, name in enumerate(data["corridor"].values):
        at = data.isel(corridor=i)
        corridors = json.loads(data.attrs["members"][i])
        shown = json.dumps(corridors if len(corridors) > 1 else corridors[0], ensure_ascii=False)
        source = data.attrs["sources"][i] or f"rows of a single event, {name}"
        events = f" of {int(at['n_events']):,}" if int(at["n_events"]) else ""
        note = f"{int(at['n_rows'])}{events} events, rows of one event alone, at {cut}; {_CAVEAT}"
        laws = [("load_log_sd", at["load_log_sd_median"], at["load_log_sd_sd_log"], "")]
        if median:
            laws.append(("load_median", at["load_median_median"], at["load_median_sd_log"], " kg"))
        for parameter, middle, sd_log, unit in laws:
            number = f"{float(middle):.4g}"
            text = f'"{number}{unit}"' if unit else number
            bounds = ""
            if parameter == "load_log_sd":
                lower, upper = float(at["load_log_sd_lower"]), float(at["load_log_sd_upper"])
                bounds = f", lower = {lower:.3g}, upper = {min(upper, SIGMA_RANGE[1]):.3g}"
            blocks.append(
                "\n".join(
                    (
                        "",
                        "[[parameter]]",
                        f'name = "{parameter}"',
                        f"corridor = {shown}",
                        f'distribution = {{ kind = "lognormal", median = {text}, sd_log = {float(sd_log):.3g}{bounds} }}',
                        'basis = "derived"',
                        f"source = {json.dumps(source, ensure_ascii=False)}",
                        f"note = {json.dumps(note, ensure_ascii=False)}",
                    )
                )
            )
    return "\n".join(blocks) + "\n"


def as_rows(data: xr.Dataset) -> tuple[list[str], list[list[str]]]:
    """Return the header and rows of the printed table."""
    header = ["corridor", "rows", "of events", "sd of logs", "in a period", "load_log_sd (95 %)", "median, kg (95 %)"]
    header += [f"AIC {law}" if law == "lognormal" else law for law in LAWS]

    def interval(quantiles: xr.DataArray) -> str:
        low, middle, high = (float(quantiles.sel(prob=p)) for p in (0.025, 0.5, 0.975))
        return f"{middle:.3g} ({low:.3g} to {high:.3g})"

    def number(x: float, text: str = ".1f") -> str:
        return "–" if math.isnan(x) else f"{x:{text}}"

    rows = []
    for name in data["corridor"].values:
        at = data.sel(corridor=name)
        aic = at["aic"].values
        rows.append(
            [
                str(name),
                f"{int(at['n_rows']):,}",
                f"{int(at['n_events']):,}" if int(at["n_events"]) else "–",
                number(float(at["sample_log_sd"]), ".2f"),
                number(float(at["sample_log_sd_within"]), ".2f"),
                interval(at["log_sd"]),
                interval(at["median_kg"]),
                number(aic[0]),
                *(number(x, "+.1f") for x in aic[1:] - aic[0]),
            ]
        )
    if "log_sd_elsewhere" in data:
        rows.append(["(one without rows)", *["–"] * 4, interval(data["log_sd_elsewhere"]), *["–"] * (1 + len(LAWS))])
    return header, rows


def picture(data: xr.Dataset, suffix: str) -> tuple[bytes, list[str]]:
    """Return quantile-quantile points of each corridor (down) against each size law (across), on log axes, with the 95 % envelope.

    As the bytes of a file of this suffix (`pictures.SUFFIXES`), and what is to be said of it. Raises EvidenceError where no corridor has
    rows to draw, SimError where matplotlib (the extra `plot`) is missing.
    """
    names = [name for name in data["corridor"].values if np.isfinite(data["aic"].sel(corridor=name)).any()]
    if not names:
        problem = Problem(
            path=("plot",), came="no corridor has five rows or more", allowed="a picture needs sizes", advice="Leave --plot out"
        )
        raise EvidenceError([problem])
    return pictures.encoded(lambda: _drawn(data, names), suffix, "Sizes of loads")


def _drawn(data: xr.Dataset, names: Sequence[str]) -> Figure:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(3.1 * len(LAWS), 3.1 * len(names)), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(len(names), len(LAWS), squeeze=False, sharey="row")
    for row, name in zip(axes, names, strict=True):
        at = data.sel(corridor=name)
        n = int(at["n_rows"])
        observed = at["qq_observed_kg"].values[:n]
        for axis, law in zip(row, LAWS, strict=True):
            fitted, low, high = (at[f"qq_{key}_kg"].sel(law=law).values[:n] for key in ("fitted", "low", "high"))
            axis.fill_between(fitted, low, high, color="0.85", linewidth=0)
            axis.plot(fitted, fitted, color="0.4", linewidth=0.8)
            axis.plot(fitted, observed, ".", markersize=3, color="tab:blue")
            axis.set_xscale("log")
            axis.set_yscale("log")
            margin = 3.0
            axis.set_ylim(observed[0] / margin, observed[-1] * margin)
            axis.set_xlim(max(fitted[0], observed[0] / 1e3) / margin, min(fitted[-1], observed[-1] * 1e3) * margin)
            difference = float(at["aic"].sel(law=law) - at["aic"].sel(law="lognormal"))
            axis.set_title(f"{name}: {law}" + ("" if law == "lognormal" else f", AIC {difference:+.1f}"), fontsize=9)
            axis.set_xlabel("fitted, kg", fontsize=8)
            axis.tick_params(labelsize=7)
        row[0].set_ylabel(f"seized, kg (n = {n})", fontsize=8)
    return figure
