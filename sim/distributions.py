"""One probability law in natural parameters: its exact functions, from SciPy, and its table for the kernels.

The families in common use call scipy.special as scipy.stats does, to the same bits: importing scipy.stats takes .55 s, twice what a whole
scenario takes to compile, and waits for a law that needs it.
"""

from __future__ import annotations

import contextlib
import math
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from .kernels import quantiles
from .kernels.libm import exp, log

Array = NDArray[np.float64]

_INDEX_TAIL = 1e-10  # method.md section 6: slope of the log cdf near this quantile
_RESOLVED = 2.0**-30  # the upper tail that 1 - cdf still resolves to 1e-7
_NEAR = 1e-5  # mass beyond a cut, relative to the mass cut off, below which differences of cdfs lose digits


@dataclass(frozen=True, slots=True, kw_only=True)
class Law:
    """One probability law in the unit of its parameter; hashable, equal by value.

    `parameters` are the natural parameters by name; the components of a `mixture` are laws themselves, a `scipy` law has its
    `name` first. Weights are kept as given and normalised in use. `lower` and `upper` truncate (renormalise), they never clip; None is
    no bound.
    """

    kind: str
    parameters: tuple[tuple[str, Any], ...]
    lower: float | None = None
    upper: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Exact:
    """Exact functions of one law over 1-d arrays. ppf and isf take tail probabilities in 0..1, ends included.

    `atoms` are the values of positive probability; `pdf` is the density of the rest, unused where there are atoms.
    """

    low: float
    high: float
    cdf: Callable[[Array], Array]
    sf: Callable[[Array], Array]
    ppf: Callable[[Array], Array]
    isf: Callable[[Array], Array]
    pdf: Callable[[Array], Array]
    atoms: Array


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Silence scipy's warnings on infinities and slow integrals; what they yield is checked."""
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        yield


_NO_ATOMS: Array = np.empty(0)
_GAUSS_NODES, _GAUSS_WEIGHTS = (0.5 * (1.0 + special.roots_legendre(8)[0]), 0.5 * special.roots_legendre(8)[1])


def _bounds(law: Law) -> tuple[float, float]:
    return -math.inf if law.lower is None else law.lower, math.inf if law.upper is None else law.upper


@lru_cache(maxsize=512)
def _exact(law: Law) -> _Exact:
    """Return the exact functions of a law, truncation included."""
    p = dict(law.parameters)
    lower, upper = _bounds(law)
    if law.kind in ("constant", "empirical"):
        values = np.array([p["value"]] if law.kind == "constant" else p["values"])
        weights = np.ones(1) if law.kind == "constant" else np.array(p["weights"])
        inside = (values >= lower) & (values <= upper) & (weights > 0)
        return _steps(values[inside], weights[inside])
    if law.kind == "mixture":
        parts = _parts(law)
        return _mixed([_exact(part) for part, _ in parts], np.array([weight for _, weight in parts]))
    whole = _whole(law)
    return whole if lower <= whole.low and upper >= whole.high else _cut(whole, lower, upper)


def _parts(law: Law) -> list[tuple[Law, float]]:
    """Return the components of a mixture with their probabilities. A truncated mixture is the mixture of its truncated components."""
    p = dict(law.parameters)
    lower, upper = _bounds(law)
    parts = []
    for component, weight in zip(p["components"], p["weights"], strict=True):
        mass = weight * (_mass(_exact(component), lower, upper) if weight > 0 else 0.0)
        if mass > 0:
            low, high = _bounds(component)
            low, high = max(low, lower), min(high, upper)
            cut = replace(component, lower=None if low == -math.inf else low, upper=None if high == math.inf else high)
            parts.append((cut, mass))
    total = math.fsum(mass for _, mass in parts)
    return [(part, mass / total) for part, mass in parts if mass > 1e-17 * total]


def _whole(law: Law) -> _Exact:
    """Return the exact functions of a continuous law before truncation."""
    p = dict(law.parameters)
    if law.kind in ("uniform", "triangular"):
        return _piecewise(p["low"], p["high"], p.get("mode"))
    if law.kind == "pert":
        return _beta(*_pert_shapes(p), p["low"], p["high"] - p["low"])
    if law.kind == "beta":
        return _beta(p["alpha"], p["beta"], 0.0, 1.0)
    if law.kind == "normal":
        return _normal(p["mean"], p["sd"])
    if law.kind == "lognormal":
        return _lognormal(p["median"], p["sd_log"])
    if law.kind == "gamma":
        return _gamma(p["shape"], p["scale"])
    if law.kind == "student_t":
        return _student(p["df"], p["loc"], p["scale"])
    from scipy import stats

    return _from_scipy(getattr(stats, p.pop("name"))(**p))


def _normal(mean: float, sd: float) -> _Exact:
    return _Exact(
        low=-math.inf,
        high=math.inf,
        cdf=lambda x: special.ndtr((x - mean) / sd),
        sf=lambda x: special.ndtr(-((x - mean) / sd)),
        ppf=lambda p: special.ndtri(p) * sd + mean,
        isf=lambda q: -special.ndtri(q) * sd + mean,
        pdf=lambda x: np.asarray(exp(-(((x - mean) / sd) ** 2) / 2.0) / math.sqrt(2.0 * math.pi) / sd),
        atoms=_NO_ATOMS,
    )


def _lognormal(median: float, sd_log: float) -> _Exact:
    def score(x: Array) -> Array:
        return np.asarray(log(np.maximum(x / median, 0.0)) / sd_log)

    def pdf(x: Array) -> Array:
        y: Array = np.maximum(x / median, 0.0)
        log_density = -(log(y) ** 2) / (2.0 * sd_log**2) - log(sd_log * y * np.sqrt(2.0 * np.pi))
        return np.asarray(exp(np.where(y > 0.0, log_density, -np.inf)) / median)

    return _Exact(
        low=0.0,
        high=math.inf,
        cdf=lambda x: special.ndtr(score(x)),
        sf=lambda x: special.ndtr(-score(x)),
        ppf=lambda p: np.asarray(exp(sd_log * special.ndtri(p)) * median),
        isf=lambda q: np.asarray(exp(sd_log * -special.ndtri(q)) * median),
        pdf=pdf,
        atoms=_NO_ATOMS,
    )


def _gamma(shape: float, scale: float) -> _Exact:
    def pdf(x: Array) -> Array:
        y: Array = np.maximum(x / scale, 0.0)
        return np.where(x < 0.0, 0.0, exp(special.xlogy(shape - 1.0, y) - y - special.gammaln(shape)) / scale)

    return _Exact(
        low=0.0,
        high=math.inf,
        cdf=lambda x: np.asarray(special.gammainc(shape, np.maximum(x / scale, 0.0)), dtype=np.float64),
        sf=lambda x: np.asarray(special.gammaincc(shape, np.maximum(x / scale, 0.0)), dtype=np.float64),
        ppf=lambda p: np.asarray(special.gammaincinv(shape, p) * scale, dtype=np.float64),
        isf=lambda q: np.asarray(special.gammainccinv(shape, q) * scale, dtype=np.float64),
        pdf=pdf,
        atoms=_NO_ATOMS,
    )


def _beta(alpha: float, beta: float, low: float, width: float) -> _Exact:
    """Return the functions of a beta law on low .. low + width."""

    def place(x: Array) -> Array:
        return np.clip((x - low) / width, 0.0, 1.0)

    def pdf(x: Array) -> Array:
        from scipy import stats  # for a cut beta alone

        return np.asarray(stats.beta.pdf(x, alpha, beta, low, width))

    return _Exact(
        low=low,
        high=width + low,
        cdf=lambda x: np.asarray(special.betainc(alpha, beta, place(x)), dtype=np.float64),
        sf=lambda x: np.asarray(special.betaincc(alpha, beta, place(x)), dtype=np.float64),
        ppf=lambda p: np.asarray(special.betaincinv(alpha, beta, p) * width + low, dtype=np.float64),
        isf=lambda q: np.asarray(special.betainccinv(alpha, beta, q) * width + low, dtype=np.float64),
        pdf=pdf,
        atoms=_NO_ATOMS,
    )


def _pert_shapes(p: Mapping[str, float]) -> tuple[float, float]:
    width = p["high"] - p["low"]
    return 1.0 + 4.0 * (p["mode"] - p["low"]) / width, 1.0 + 4.0 * (p["high"] - p["mode"]) / width


def _piecewise(low: float, high: float, mode: float | None) -> _Exact:
    """Return the functions of a uniform law (`mode` None) or of a triangular one; scipy's lose the digits of a tail next to the mode."""
    width = high - low

    def rising(left: float, top: float) -> tuple[Callable[[Array], Array], Callable[[Array], Array]]:
        """Return cdf and ppf of the distance from one end, for a mode at distance `left` from it and `top` from the other."""
        at_mode = left / width

        def cdf(x: Array) -> Array:
            x = np.clip(x, 0.0, width)
            y = np.maximum(x - left, 0.0) / top if top > 0 else np.zeros_like(x)
            up = np.minimum(x, left) ** 2 / (left * width) if left > 0 else np.zeros_like(x)
            return np.asarray(up + (top / width) * y * (2.0 - y))

        def ppf(p: Array) -> Array:
            r = np.clip((p - at_mode) * (width / top), 0.0, 1.0) if top > 0 else np.zeros_like(p)
            return np.asarray(
                np.where(p <= at_mode, np.sqrt(np.minimum(p, at_mode) * width * left), left + top * r / (1.0 + np.sqrt(1.0 - r)))
            )

        return cdf, ppf

    if mode is None:
        cdf: Callable[[Array], Array] = lambda x: np.clip(x / width, 0.0, 1.0)  # noqa: E731
        ppf: Callable[[Array], Array] = lambda p: p * width  # noqa: E731
        sf, isf, height = cdf, ppf, np.ones(3) / width
    else:
        (cdf, ppf), (sf, isf) = rising(mode - low, high - mode), rising(high - mode, mode - low)
        height = np.array([float(mode == low), 1.0, float(mode == high)]) * 2.0 / width
    corners = np.array([low, 0.5 * (low + high) if mode is None else mode, high])
    return _Exact(
        low=low,
        high=high,
        cdf=lambda x: cdf(x - low),
        sf=lambda x: sf(high - x),
        ppf=lambda p: np.minimum(low + ppf(p), high),
        isf=lambda q: np.maximum(high - isf(q), low),
        pdf=lambda x: np.interp(x, corners, height, left=0.0, right=0.0),
        atoms=_NO_ATOMS,
    )


def _student(df: float, loc: float, scale: float) -> _Exact:
    """Return the functions of Student t. Near its median scipy's cdf (df = 1) and ppf (df = 4) are off by up to 5e-9, which a cut there
    would make the whole of a tail; the incomplete beta function of the central mass, and one step of Newton's rule, are not."""
    at_mode = math.exp(math.lgamma(0.5 * df + 0.5) - math.lgamma(0.5 * df)) / math.sqrt(math.pi * df)

    def pdf(y: Array) -> Array:
        return np.asarray(at_mode * exp(-0.5 * (df + 1.0) * special.log1p(y * y / df)))

    def central(y: Array) -> Array:
        return np.asarray(0.5 * special.betainc(0.5, 0.5 * df, y * y / (df + y * y)))

    def tail(z: Array) -> Array:
        y: Array = np.abs(z)
        nearer = np.where(y < 1.0, 0.5 - central(y), special.stdtr(df, -y))
        return np.where(z < 0, 1.0 - nearer, nearer)

    def score(p: Array) -> Array:
        nearer = np.minimum(p, 1.0 - p)
        y: Array = -np.asarray(special.stdtrit(df, nearer), dtype=np.float64)
        near = nearer > 0.25
        y[near] = np.abs(y[near] - (central(y[near]) - (0.5 - nearer[near])) / pdf(y[near]))
        return np.where(p <= 0.5, y, -y)

    return _Exact(
        low=-math.inf,
        high=math.inf,
        cdf=lambda x: tail((loc - x) / scale),
        sf=lambda x: tail((x - loc) / scale),
        ppf=lambda p: loc - scale * score(p),
        isf=lambda q: loc + scale * score(q),
        pdf=lambda x: pdf((x - loc) / scale) / scale,
        atoms=_NO_ATOMS,
    )


def _from_scipy(frozen: Any) -> _Exact:
    """Wrap a frozen law; where scipy has no inverse of its own it is solved for, where it has no upper tail that tail ends at 2^-30."""
    low, high = (float(end) for end in frozen.support())
    from scipy import stats

    family = type(frozen.dist)
    own_sf, own_ppf, own_isf = (getattr(family, name) is not getattr(stats.rv_continuous, name) for name in ("_sf", "_ppf", "_isf"))
    ppf, isf = frozen.ppf, frozen.isf
    if not own_ppf or (own_sf and not own_isf):
        solved_ppf, solved_isf = _inverse(frozen.cdf, frozen.sf, _outward_grid(frozen, low, high))
        ppf, isf = (ppf if own_ppf else solved_ppf), (isf if own_isf else solved_isf)
    if not own_sf and not own_isf:
        resolved = isf
        isf = lambda q: resolved(np.maximum(q, _RESOLVED))  # noqa: E731
    return _Exact(low=low, high=high, cdf=frozen.cdf, sf=frozen.sf, ppf=ppf, isf=isf, pdf=frozen.pdf, atoms=_NO_ATOMS)


def _steps(values: Array, weights: Array) -> _Exact:
    """Return the functions of a step function: the quantile is the smallest value whose cumulative probability is at least p."""
    values, places = np.unique(values, return_inverse=True)
    weights = np.bincount(places, weights).astype(np.float64)
    total = math.fsum(weights)
    below = np.append(np.cumsum(weights)[:-1] / total, 1.0)
    above = np.append(np.cumsum(weights[:0:-1])[::-1] / total, 0.0)
    last = len(values) - 1

    def at(levels: Array, outside: float, x: Array) -> Array:
        index = np.searchsorted(values, x, side="right") - 1
        return np.where(np.isnan(x), np.nan, np.where(index < 0, outside, levels[np.maximum(index, 0)]))

    return _Exact(
        low=float(values[0]),
        high=float(values[-1]),
        cdf=lambda x: at(below, 0.0, x),
        sf=lambda x: at(above, 1.0, x),
        ppf=lambda p: values[np.minimum(np.searchsorted(below, p, side="left"), last)],
        isf=lambda q: values[np.minimum(np.searchsorted(-above, -q, side="left"), last)],
        pdf=np.zeros_like,
        atoms=values,
    )


def _mixed(parts: Sequence[_Exact], weights: Array) -> _Exact:
    """Return the functions of a mixture; quantiles are solved for between those of the components."""

    def total(method: str) -> Callable[[Array], Array]:
        functions = [getattr(part, method) for part in parts]
        return lambda x: np.asarray(sum(weight * function(x) for weight, function in zip(weights, functions, strict=True)))

    cdf, sf = total("cdf"), total("sf")
    if len(parts) == 1:
        return parts[0]
    tails = special.exp2(-np.arange(1.0, 55.0, 0.25))
    atoms = np.unique(np.concatenate([part.atoms for part in parts]))
    ends = np.array([end for part in parts for end in (part.low, part.high)])
    grid = np.concatenate(
        [part.ppf(tails) for part in parts] + [part.isf(tails) for part in parts] + [atoms, np.nextafter(atoms, -np.inf), ends]
    )
    ppf, isf = _inverse(cdf, sf, np.unique(grid[np.isfinite(grid)]))
    return _Exact(low=float(ends.min()), high=float(ends.max()), cdf=cdf, sf=sf, ppf=ppf, isf=isf, pdf=total("pdf"), atoms=atoms)


def _outward_grid(frozen: Any, low: float, high: float) -> Array:
    """Return points from the median outward, in steps that double, to where each tail falls below 2^-54, and toward finite ends."""
    quartile, median, upper_quartile = (float(x) for x in frozen.ppf([0.25, 0.5, 0.75]))
    steps = special.exp2(np.arange(-6.0, 1020.0, 0.5))
    points = [np.array([median])]
    for sign, end, reach, tail in ((-1.0, low, median - quartile, frozen.cdf), (1.0, high, upper_quartile - median, frozen.sf)):
        if np.isfinite(end):
            points.append(end + (median - end) * special.exp2(-np.arange(0.5, 200.0, 0.5)))
            points.append(np.array([end]))
        else:
            for first in range(0, len(steps), 32):
                outward = median + sign * reach * steps[first : first + 32]
                points.append(outward)
                if not tail(outward[-1]) > quantiles.SMALLEST_TAIL:
                    break
    grid = np.concatenate(points)
    return np.unique(grid[np.isfinite(grid)])


def _inverse(
    cdf: Callable[[Array], Array], sf: Callable[[Array], Array], grid: Array
) -> tuple[Callable[[Array], Array], Callable[[Array], Array]]:
    """Return ppf and isf of a law by solving for the smallest x with F(x) >= p (S(x) <= q), bracketed by neighbours in `grid`.

    `grid` rises and holds every jump together with the float below it, so that a jump is found without a search.
    """
    below = np.maximum.accumulate(cdf(grid))
    above = np.minimum.accumulate(sf(grid))

    def lower(p: Array) -> Array:
        return _solve(lambda x: cdf(x), p, below, grid)

    def upper(q: Array) -> Array:
        return _solve(lambda x: -sf(x), -q, -above, grid)

    def ppf(p: Array) -> Array:
        p = np.asarray(p, dtype=np.float64)
        x = np.empty_like(p)
        x[p <= 0.5], x[p > 0.5] = lower(p[p <= 0.5]), upper(1.0 - p[p > 0.5])
        return x

    def isf(q: Array) -> Array:
        q = np.asarray(q, dtype=np.float64)
        x = np.empty_like(q)
        x[q <= 0.5], x[q > 0.5] = upper(q[q <= 0.5]), lower(1.0 - q[q > 0.5])
        return x

    return ppf, isf


def _solve(rising: Callable[[Array], Array], level: Array, at_grid: Array, grid: Array) -> Array:
    """Return the smallest x with rising(x) >= level: to 1e-13 of the level.

    False position with halved weights (Illinois), every sixth step a bisection: about six evaluations a point where `rising` is smooth;
    the few points at a kink or a flat stretch take more.
    """
    right = np.clip(np.searchsorted(at_grid, level, side="left"), 1, len(grid) - 1)
    low, high = grid[right - 1].copy(), grid[right].copy()
    miss_low, miss_high = at_grid[right - 1] - level, at_grid[right] - level
    high = np.where(miss_low >= 0, low, high)  # below the grid
    active = np.flatnonzero((np.nextafter(low, np.inf) < high) & (miss_high > 0) & (miss_low < 0))
    kept = np.zeros(len(level), np.int8)
    for step in range(400):
        if len(active) == 0:
            break
        a, b, miss_a, miss_b = low[active], high[active], miss_low[active], miss_high[active]
        x = 0.5 * a + 0.5 * b
        if step % 6 != 5:
            guess = b - (b - a) * (miss_b / (miss_b - miss_a))
            x = np.where((guess > a) & (guess < b), guess, x)
        miss = rising(x) - level[active]
        enough = miss >= 0
        done = np.abs(miss) <= 1e-13 * np.abs(level[active])
        repeated = kept[active] == np.where(enough, 1, -1)
        kept[active] = np.where(enough, 1, -1)
        low[active] = np.where(enough, a, x)
        high[active] = np.where(enough | done, x, b)
        miss_low[active] = np.where(enough, np.where(repeated, 0.5 * miss_a, miss_a), miss)
        miss_high[active] = np.where(enough, miss, np.where(repeated, 0.5 * miss_b, miss_b))
        active = active[~done & (np.nextafter(low[active], np.inf) < high[active])]
    return high


def _mass(exact: _Exact, lower: float, upper: float) -> float:
    """Return P(lower <= X <= upper) from the tails that keep its digits."""
    below = np.array([np.nextafter(lower, -np.inf) if np.isfinite(lower) else lower])
    top = np.array([upper])
    if exact.cdf(below)[0] > 0.5:
        return float(exact.sf(below)[0] - exact.sf(top)[0])
    return float(exact.cdf(top)[0] - exact.cdf(below)[0])


def _beyond(whole: _Exact, end: float, sign: float) -> tuple[Callable[[Array], Array], Callable[[Array], Array]]:
    """Return the mass of a continuous law between a bound and x, and the x that has a given mass; sign is +1 above the bound, -1 below.

    Very near a bound inside the support the difference F(x) - F(end) has no digits left; there the mass is the integral of the density
    over [end, x], by eight Gauss points, and its inverse Newton's rule.
    """
    at = np.array([end])
    this, that, here, there = (whole.cdf, whole.sf, whole.ppf, whole.isf) if sign > 0 else (whole.sf, whole.cdf, whole.isf, whole.ppf)
    cut_off, remaining, density = float(this(at)[0]), float(that(at)[0]), float(whole.pdf(at)[0])
    fine = _NEAR * min(cut_off, remaining) if cut_off > 0 and 0 < density < math.inf else 0.0

    def near(distance: Array) -> Array:
        return np.asarray(distance * (whole.pdf(end + sign * distance[:, None] * _GAUSS_NODES) * _GAUSS_WEIGHTS).sum(axis=1))

    def mass(x: Array) -> Array:
        m = this(x) - cut_off if cut_off <= 0.5 else remaining - that(x)
        small = m < fine
        m[small] = near(np.maximum(sign * (x[small] - end), 0.0))
        return m

    def reach(m: Array) -> Array:
        x = here(np.minimum(cut_off + m, 1.0)) if cut_off <= 0.5 else there(np.maximum(remaining - m, 0.0))
        small = m < fine
        distance = m[small] / density
        for _ in range(4):
            distance = np.maximum(distance - (near(distance) - m[small]) / whole.pdf(end + sign * distance), 0.0)
        x[small] = end + sign * distance
        return x

    return mass, reach


def _cut(whole: _Exact, lower: float, upper: float) -> _Exact:
    """Return the functions of a continuous law between two bounds; each tail is measured from its own bound."""
    a, b = max(lower, whole.low), min(upper, whole.high)
    total = _mass(whole, a, b)
    mass_above_a, reach_above_a = _beyond(whole, a, +1.0)
    mass_below_b, reach_below_b = _beyond(whole, b, -1.0)

    def probability(mass: Callable[[Array], Array], x: Array) -> Array:
        return np.clip(mass(np.clip(x, a, b)) / total, 0.0, 1.0)

    def quantile(tail: Array, near_side: Callable[[Array], Array], far_side: Callable[[Array], Array]) -> Array:
        tail = np.asarray(tail, dtype=np.float64)
        near = tail <= 0.5
        x = np.empty_like(tail)
        x[near], x[~near] = near_side(tail[near] * total), far_side((1.0 - tail[~near]) * total)
        return np.clip(x, a, b)

    return _Exact(
        low=a,
        high=b,
        cdf=lambda x: np.where(x >= b, 1.0, probability(mass_above_a, x)),
        sf=lambda x: np.where(x <= a, 1.0, probability(mass_below_b, x)),
        ppf=lambda p: quantile(p, reach_above_a, reach_below_b),
        isf=lambda q: quantile(q, reach_below_b, reach_above_a),
        pdf=lambda x: np.where((x < a) | (x > b), 0.0, whole.pdf(x) / total),
        atoms=_NO_ATOMS,
    )


def _over(law: Law, method: str, x: ArrayLike) -> Array:
    """Apply an exact function of a law to an array of any shape."""
    array = np.asarray(x, dtype=np.float64)
    with _quiet():
        return np.asarray(getattr(_exact(law), method)(array.ravel()), dtype=np.float64).reshape(array.shape)


def support(law: Law) -> tuple[float, float]:
    """Return the least and the largest possible x; infinite where there is none."""
    with _quiet():
        exact = _exact(law)
    return exact.low, exact.high


def mass(law: Law, lower: float, upper: float) -> float:
    """Return P(lower <= X <= upper), from the tails that keep its digits."""
    with _quiet():
        return _mass(_exact(law), lower, upper)


def cdf(law: Law, x: ArrayLike) -> Array:
    """Return P(X <= x)."""
    return _over(law, "cdf", x)


def sf(law: Law, x: ArrayLike) -> Array:
    """Return P(X > x); small ones keep their digits."""
    return _over(law, "sf", x)


def ppf(law: Law, p: ArrayLike) -> Array:
    """Return the smallest x with P(X <= x) >= p; an end of the support at 0 and 1, NaN outside."""
    return _quantile(law, "ppf", p, *support(law))


@lru_cache(maxsize=512)
def median(law: Law) -> float:
    """Return the median: ppf(law, 0.5), found once."""
    return float(ppf(law, 0.5))


def isf(law: Law, q: ArrayLike) -> Array:
    """Return the smallest x with P(X > x) <= q; an end of the support at 0 and 1, NaN outside. Small q keep their digits."""
    return _quantile(law, "isf", q, *support(law)[::-1])


def _quantile(law: Law, method: str, tail: ArrayLike, at_zero: float, at_one: float) -> Array:
    tail = np.asarray(tail, dtype=np.float64)
    inside = (tail > 0) & (tail < 1)
    x = np.where(tail == 0, at_zero, np.where(tail == 1, at_one, np.nan))
    x[inside] = _over(law, method, tail[inside])
    return x


def _slope(tails: Array, x: Array) -> float:
    """Return |d log tail / d log x| between two points; inf where x does not move or is not a number."""
    if not (np.isfinite(x).all() and (x > 0).all()) or x[0] == x[1]:
        return math.inf
    return float(abs(log(tails[1] / tails[0]) / log(x[1] / x[0])))


def index_at_zero(law: Law) -> float:
    """Return alpha of P(|X| < x) ~ x^alpha as x falls to 0; inf where no x is near 0, 0 where X = 0 has a probability.

    A mean of 1/X exists only for alpha above 1, its MCSE only above 2. Source: method.md section 6, "Means".
    """
    p = dict(law.parameters)
    with _quiet():
        if law.kind == "mixture":
            return min(index_at_zero(part) for part, _ in _parts(law))
        exact = _exact(law)
        if len(exact.atoms):
            return 0.0 if (exact.atoms == 0).any() else math.inf
        if exact.low > 0 or exact.high < 0 or law.kind == "lognormal":
            return math.inf
        whole = _whole(law)
        if whole.low < 0 < whole.high:
            return 1.0  # it has a density at 0, cut there or not
        at_bottom = exact.low == 0
        if law.kind == "uniform":
            return 1.0
        if law.kind == "triangular":
            return 1.0 if p["mode"] == 0 else 2.0
        if law.kind == "pert":
            return _pert_shapes(p)[0 if at_bottom else 1]
        if law.kind == "beta":
            return float(p["alpha"])
        if law.kind == "gamma":
            return float(p["shape"])
        tails = np.array([_INDEX_TAIL, 0.1 * _INDEX_TAIL])
        x = np.abs(exact.ppf(tails) if at_bottom else exact.isf(tails))
        return 0.0 if (x == 0).any() else _slope(tails, x)


def index_at_infinity(law: Law) -> float:
    """Return beta of P(X > x) ~ x^-beta as x grows; inf for bounded laws and light tails, the lognormal's too.

    A mean exists only for beta above 1, an sd only above 2. For laws of scipy it is the slope of the log tail at 1e-10, which is large
    but finite where the tail is light.
    """
    with _quiet():
        if law.kind == "mixture":
            return min(index_at_infinity(part) for part, _ in _parts(law))
        exact = _exact(law)
        if exact.high < math.inf or law.kind not in ("student_t", "scipy"):
            return math.inf
        if law.kind == "student_t":
            return float(dict(law.parameters)["df"])
        tails = np.array([_INDEX_TAIL, 0.1 * _INDEX_TAIL])
        return _slope(tails, np.abs(exact.isf(tails)))


def is_unbounded(law: Law) -> bool:
    """Return whether X can be arbitrarily large."""
    return support(law)[1] == math.inf


@lru_cache(maxsize=512)
def inverse_table(law: Law) -> quantiles.Table:
    """Return the table of the inverse CDF that the kernels evaluate; see `kernels.quantiles.build` for its accuracy."""
    with _quiet():
        exact = _exact(law)
        return quantiles.build(exact.ppf, exact.isf, exact.low, exact.high, exact.atoms)
