"""A law as the user writes it: natural parameters, exact functions from scipy.stats, the table for the kernels."""

from __future__ import annotations

import contextlib
import math
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import optimize, special, stats

from .errors import Problem, ScenarioError, SimError
from .kernels import quantiles
from .units import closest, parse_quantity

Array = NDArray[np.float64]

# natural parameters in the order they are written; `mixture` and `scipy` have their own
NATURAL: Mapping[str, tuple[str, ...]] = {
    "constant": ("value",),
    "uniform": ("low", "high"),
    "triangular": ("low", "mode", "high"),
    "pert": ("low", "mode", "high"),
    "beta": ("alpha", "beta"),
    "normal": ("mean", "sd"),
    "lognormal": ("median", "sd_log"),
    "gamma": ("shape", "scale"),
    "student_t": ("df", "loc", "scale"),
    "empirical": ("values", "weights"),
    "mixture": ("components", "weights"),
    "scipy": ("name", "loc", "scale"),
}
ELICITED = ("uniform", "beta", "normal", "lognormal", "gamma", "student_t")  # also take mean + sd, or interval + probability
UNITLESS = ("alpha", "beta", "sd_log", "df", "shape", "probability")  # never a string with a unit
LARGEST = 1e300
LEAST_MASS = 1e-9  # that a truncation must leave
MOST_VALUES = 10_000  # of an empirical law: each costs 80 cells of the table, 2.5 KB
DEEPEST = 8  # mixtures within mixtures

_INDEX_TAIL = 1e-10  # method.md section 6: slope of the log cdf near this quantile
_RESOLVED = 2.0**-30  # the upper tail that 1 - cdf still resolves to 1e-7
_NEAR = 1e-5  # mass beyond a cut, relative to the mass cut off, below which differences of cdfs lose digits


class LawError(ScenarioError):
    """A distribution is impossible or ill-written; paths are relative to its table."""


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


# ------------------------------------------------------------------------------------------------------------ reading


def law(spec: object, unit: str = "1") -> Law:
    """Read a distribution: a number, a string with a unit, or a mapping as in a scenario file.

    Two-parameter families take their natural parameters, or `mean` + `sd`, or `interval` + `probability` (the central interval);
    `student_t` takes `df` with `loc` + `scale`, with `mean` + `sd` (df > 2) or with `interval` + `probability`. All of these describe
    the law before truncation by `lower` and `upper`. Weights need not sum to 1.

    Returns the law with its natural parameters, in `unit`.

    Raises LawError with every problem of `spec`: unknown kinds and keys, numbers that are none, two parametrisations at once, what the
    family cannot satisfy, a truncation that leaves less than 1e-9 of the probability.

    >>> law({"kind": "normal", "interval": [2.0, 6.0], "probability": 0.9545}).parameters[0]
    ('mean', 4.0)
    """
    problems: list[Problem] = []
    found = _read(spec, unit, (), problems)
    if problems or found is None:
        raise LawError(problems)
    return found


def as_mapping(law: Law) -> dict[str, Any]:
    """Return the mapping of natural parameters that `law` reads back as the same law, bit for bit."""
    mapping: dict[str, Any] = {"kind": law.kind}
    for name, given in law.parameters:
        if name == "components":
            mapping[name] = [as_mapping(component) for component in given]
        else:
            mapping[name] = list(given) if isinstance(given, tuple) else given
    if law.lower is not None:
        mapping["lower"] = law.lower
    if law.upper is not None:
        mapping["upper"] = law.upper
    return mapping


def _nearest(word: object, known: Sequence[str]) -> str:
    """Return advice that names the known word most like `word`, or all of them where none is."""
    near = closest(str(word), known)
    return f"The nearest is '{near}'" if near else f"Use one of {', '.join(known)}" if len(known) <= 20 else ""


def _shown(given: object) -> str:
    shown = repr(given)
    return shown if len(shown) <= 60 else f"{shown[:60]}..."


def _read(spec: object, unit: str, path: tuple[str | int, ...], problems: list[Problem]) -> Law | None:
    if not isinstance(spec, Mapping):
        number = _number(spec, unit, path, problems)
        return None if number is None else Law(kind="constant", parameters=(("value", number),))
    if path.count("components") > DEEPEST:
        problems.append(Problem(path=path, came="mixtures lie within mixtures", allowed=f"at most {DEEPEST} deep"))
        return None
    kind = spec.get("kind")
    if not isinstance(kind, str) or kind not in NATURAL:
        came = "a distribution has no kind" if kind is None else f"{_shown(kind)} is no kind of distribution"
        problems.append(Problem(path=(*path, "kind"), came=came, advice=_nearest(kind, tuple(NATURAL))))
        return None

    before = len(problems)
    bounds = {key: _number(spec[key], unit, (*path, key), problems) for key in ("lower", "upper") if key in spec}
    reader = {"empirical": _read_empirical, "mixture": _read_mixture, "scipy": _read_scipy}.get(kind, _read_family)
    parameters = reader(kind, spec, unit, path, problems)
    if parameters is None or len(problems) > before:
        return None
    found = Law(kind=kind, parameters=parameters, lower=bounds.get("lower"), upper=bounds.get("upper"))
    problem = _impossible(found)
    if problem is not None:
        problems.append(problem.at(prefix=path))
        return None
    return found


def _number(given: object, unit: str | None, path: tuple[str | int, ...], problems: list[Problem]) -> float | None:
    """Return a finite float, or None after adding a problem; `unit` None refuses strings."""
    key = next((part for part in reversed(path) if isinstance(part, str)), "")
    if isinstance(given, str) and unit is not None:
        try:
            number = float(parse_quantity(given, unit))
        except SimError as error:
            problems.extend(problem.at(prefix=path) for problem in error.problems)
            return None
    elif isinstance(given, bool | np.bool_) or not isinstance(given, int | float | np.integer | np.floating):
        came = f"{_shown(given)} is not a number"
        allowed = f"{key} bears no unit" if isinstance(given, str) else ""
        problems.append(
            Problem(path=path, came=came, allowed=allowed, advice="Give a number" if unit is None else "Give a number or a quantity")
        )
        return None
    else:
        number = math.inf if isinstance(given, int) and abs(given) > LARGEST else float(given)
    if not abs(number) <= LARGEST:
        came = "an integer of that size" if isinstance(given, int) else _shown(given)
        problems.append(Problem(path=path, came=f"{came} is out of range", allowed="numbers are finite, at most 1e300 in size"))
        return None
    return number


def _numbers(
    spec: Mapping[str, Any], key: str, unit: str | None, path: tuple[str | int, ...], problems: list[Problem], length: int | None = None
) -> tuple[float, ...] | None:
    """Return the list of numbers under `key`, or None after adding a problem."""
    given = spec.get(key)
    if not isinstance(given, list | tuple | np.ndarray) or len(given) == 0 or (length is not None and len(given) != length):
        wanted = "a list of numbers" if length is None else f"a list of {length} numbers"
        came = f"{key} is missing" if key not in spec else f"{key} = {_shown(given)}"
        problems.append(Problem(path=(*path, key), came=came, allowed=f"{key} is {wanted}"))
        return None
    read = [_number(number, unit, (*path, key, i), problems) for i, number in enumerate(given)]
    return None if any(number is None for number in read) else tuple(number for number in read if number is not None)


def _weights(
    spec: Mapping[str, Any], length: int, of: str, path: tuple[str | int, ...], problems: list[Problem]
) -> tuple[float, ...] | None:
    weights = _numbers(spec, "weights", None, path, problems)
    if weights is None:
        return None
    if len(weights) != length:
        problems.append(
            Problem(path=(*path, "weights"), came=f"{len(weights)} weights for {length} {of}", allowed="there is one weight for each")
        )
        return None
    for i, weight in enumerate(weights):
        if weight < 0:
            problems.append(Problem(path=(*path, "weights", i), came=f"a weight of {weight:g}", allowed="weights are at least 0"))
    if not any(weight > 0 for weight in weights):
        problems.append(Problem(path=(*path, "weights"), came="no weight is above 0", allowed="at least one is"))
    if not math.isfinite(math.fsum(weights)):
        problems.append(Problem(path=(*path, "weights"), came="the weights have no finite sum", advice="Scale them down"))
    return weights


def _check_keys(spec: Mapping[str, Any], known: Sequence[str], path: tuple[str | int, ...], problems: list[Problem]) -> None:
    known = (*known, "lower", "upper")
    for key in spec:
        if key != "kind" and key not in known:
            came = f"{key!r} is no key of a {spec['kind']} distribution"
            problems.append(Problem(path=(*path, str(key)), came=came, advice=_nearest(key, known)))


def _read_family(
    kind: str, spec: Mapping[str, Any], unit: str, path: tuple[str | int, ...], problems: list[Problem]
) -> tuple[tuple[str, Any], ...] | None:
    """Read a law of NATURAL parameters in any of its parametrisations."""
    shared = ("df",) if kind == "student_t" else ()
    forms = [tuple(key for key in NATURAL[kind] if key not in shared)]
    if kind in ELICITED:
        forms += [form for form in (("mean", "sd"), ("interval", "probability")) if form not in forms]
    before = len(problems)
    _check_keys(spec, (*shared, *(key for form in forms for key in form)), path, problems)
    misspelt = len(problems) > before  # then what is missing is there under another name

    choices = " or ".join(" + ".join((*shared, *form)) for form in forms)
    touched = [form for form in forms if any(key in spec for key in form)]
    if not touched and misspelt:
        return None
    if len(touched) != 1:
        came = "no parameters" if not touched else "two parametrisations at once: " + ", ".join(k for f in touched for k in f if k in spec)
        problems.append(Problem(path=path, came=came, allowed=f"a {kind} distribution takes {choices}"))
        return None
    form = touched[0]
    numbers: dict[str, float] = {}
    interval: tuple[float, ...] | None = None
    for key in (*shared, *form):
        if key not in spec:
            if not misspelt:
                problems.append(Problem(path=(*path, key), came=f"{key} is missing", allowed=f"a {kind} distribution takes {choices}"))
        elif key == "interval":
            interval = _numbers(spec, key, unit, path, problems, length=2)
        else:
            number = _number(spec[key], None if key in UNITLESS else unit, (*path, key), problems)
            if number is not None:
                numbers[key] = number
    if len(problems) > before:
        return None

    found: list[Problem] = []
    if interval is not None:
        natural = _from_interval(kind, interval[0], interval[1], numbers, found)
    elif form == ("mean", "sd"):
        natural = _from_moments(kind, numbers["mean"], numbers["sd"], numbers, found)
    else:
        natural = tuple(numbers[key] for key in NATURAL[kind])
    if not found and natural is not None:
        _check_natural(kind, dict(zip(NATURAL[kind], natural, strict=True)), found)
    problems.extend(problem.at(prefix=path) for problem in found)
    if found or natural is None:
        return None
    return tuple(zip(NATURAL[kind], natural, strict=True))


def _check_natural(kind: str, p: Mapping[str, float], problems: list[Problem]) -> None:
    """Check natural parameters against the domain of their family."""
    for key in ("alpha", "beta", "sd", "median", "sd_log", "shape", "scale", "df"):
        if key in p and not 0 < p[key] <= LARGEST:
            advice = "For a value without uncertainty use kind = 'constant'" if p[key] == 0 and key in ("sd", "sd_log", "scale") else ""
            problems.append(Problem(path=(key,), came=f"{key} = {p[key]:g}", allowed=f"{key} of a {kind} must be above 0", advice=advice))
    if "high" in p and not p["low"] < p["high"]:
        same = p["low"] == p["high"]
        advice = "For a value without uncertainty use kind = 'constant'" if same else "Exchange them"
        came = f"low = {p['low']:g} and high = {p['high']:g}"
        problems.append(Problem(path=("high",), came=came, allowed="high must be above low", advice=advice))
    elif "mode" in p and not p["low"] <= p["mode"] <= p["high"]:
        came = f"mode = {p['mode']:g}"
        problems.append(Problem(path=("mode",), came=came, allowed=f"it must lie between low = {p['low']:g} and high = {p['high']:g}"))


def _from_moments(kind: str, mean: float, sd: float, given: Mapping[str, float], problems: list[Problem]) -> tuple[float, ...] | None:
    """Return the natural parameters of the law with that mean and sd."""
    if not sd > 0:
        advice = "For a value without uncertainty use kind = 'constant'" if sd == 0 else ""
        problems.append(Problem(path=("sd",), came=f"sd = {sd:g}", allowed="sd must be above 0", advice=advice))
        return None
    if kind == "normal":
        return mean, sd
    if kind == "uniform":
        return mean - math.sqrt(3.0) * sd, mean + math.sqrt(3.0) * sd
    if kind == "student_t":
        df = given["df"]
        if not df > 2:
            came = f"df = {df:g} with mean and sd"
            problems.append(
                Problem(path=("df",), came=came, allowed="a student_t has an sd only for df above 2", advice="Give loc and scale")
            )
            return None
        return df, mean, sd * math.sqrt((df - 2.0) / df)
    if kind == "beta":
        if not 0 < mean < 1:
            problems.append(Problem(path=("mean",), came=f"mean = {mean:g}", allowed="the mean of a beta lies between 0 and 1"))
            return None
        limit = math.sqrt(mean * (1.0 - mean))
        size = (mean / sd) * ((1.0 - mean) / sd) - 1.0
        if not size > 0:
            came = f"sd = {sd:g} is impossible for a beta with mean {mean:g}"
            problems.append(
                Problem(path=("sd",), came=came, allowed=f"it must be below {limit:.4g}", advice="Lower sd or give an interval")
            )
            return None
        return mean * size, (1.0 - mean) * size
    if not mean > 0:
        problems.append(Problem(path=("mean",), came=f"mean = {mean:g}", allowed=f"the mean of a {kind} is above 0"))
        return None
    cv = sd / mean
    if kind == "lognormal":
        return mean / math.hypot(1.0, cv), math.sqrt(math.log1p(cv * cv) if cv < 1e150 else 2.0 * math.log(cv))
    return (mean / sd) ** 2, sd * cv


def _from_interval(kind: str, low: float, high: float, given: Mapping[str, float], problems: list[Problem]) -> tuple[float, ...] | None:
    """Return the natural parameters of the law whose central interval of that probability is low..high."""
    probability = given["probability"]
    if not 0 < probability < 1:
        advice = f"Write {probability / 100:g}" if 1 < probability < 100 else ""
        came = f"probability = {probability:g}"
        problems.append(Problem(path=("probability",), came=came, allowed="it lies between 0 and 1, both excluded", advice=advice))
    if not low < high:
        advice = "Exchange them" if low > high else "For a value without uncertainty use kind = 'constant'"
        came = f"the interval runs from {low:g} to {high:g}"
        problems.append(Problem(path=("interval",), came=came, allowed="its first number is below its second", advice=advice))
    bottom, top = {"beta": (0.0, 1.0), "gamma": (0.0, math.inf), "lognormal": (0.0, math.inf)}.get(kind, (-math.inf, math.inf))
    if low < high and not (bottom < low and high < top):
        came = f"the interval {low:g} to {high:g} leaves the support of a {kind}"
        allowed = f"both ends lie between {bottom:g} and {top:g}, ends excluded"
        problems.append(Problem(path=("interval",), came=came, allowed=allowed))
    if problems:
        return None
    tail = 0.5 * (1.0 - probability)
    if kind == "uniform":
        width = high / probability - low / probability
        return low - tail * width, high + tail * width
    if kind == "student_t":
        scale = 0.5 * (high - low) / -float(special.stdtrit(given["df"], tail)) if given["df"] > 0 else 1.0
        return given["df"], low + 0.5 * (high - low), scale
    z = -float(special.ndtri(tail))
    if kind == "normal":
        return low + 0.5 * (high - low), 0.5 * (high - low) / z
    if kind == "lognormal":
        return math.sqrt(low) * math.sqrt(high), 0.5 * (math.log(high) - math.log(low)) / z
    solve = _beta_from_interval if kind == "beta" else _gamma_from_interval
    solution = None
    with np.errstate(all="ignore"), contextlib.suppress(ValueError, RuntimeError, OverflowError, ZeroDivisionError):
        solution = solve(low, high, tail)  # where scipy's functions end, brentq or math.log raises
    if solution is None:
        came = f"no {kind} was found with {probability:g} of its probability in {low:g} to {high:g}"
        advice = "Give natural parameters, mean + sd, or a less extreme interval"
        problems.append(Problem(path=("interval",), came=came, allowed="both quantiles must be matched to 1e-10", advice=advice))
    return solution


def _beta_from_interval(low: float, high: float, tail: float) -> tuple[float, float] | None:
    """Solve I_low(alpha, beta) = tail = 1 - I_high(alpha, beta).

    For each alpha one beta holds the upper quantile at `high`; along that curve the mass below `low` falls as alpha rises. So two nested
    bracketed roots, in logs, find the only solution from any start. Returns None where either quantile misses `tail` by more than 1e-10
    and what the rounding of the interval's own ends is worth.
    """

    def log_beta(log_alpha: float) -> float:
        alpha = math.exp(log_alpha)
        return _bracketed_root(lambda y: float(special.betaincc(alpha, math.exp(y), high)) - tail, log_alpha)

    log_alpha = _bracketed_root(lambda x: float(special.betainc(math.exp(x), math.exp(log_beta(x)), low)) - tail, 0.0)
    alpha, beta = math.exp(log_alpha), math.exp(log_beta(log_alpha))
    off = max(abs(float(special.betainc(alpha, beta, low)) - tail), abs(float(special.betaincc(alpha, beta, high)) - tail))
    return (alpha, beta) if off <= _matched(low, high) else None


def _gamma_from_interval(low: float, high: float, tail: float) -> tuple[float, float] | None:
    """Solve for the shape by the ratio of the two quantiles, which falls as the shape rises; the scale follows."""
    wanted = math.log(high) - math.log(low)

    def excess(log_shape: float) -> float:
        shape = math.exp(log_shape)
        bottom, top = float(special.gammaincinv(shape, tail)), float(special.gammainccinv(shape, tail))
        return (math.log(top / bottom) if bottom > 0 and top / bottom < math.inf else 1e4) - wanted

    shape = math.exp(_bracketed_root(excess, 0.0))
    scale = high / float(special.gammainccinv(shape, tail))
    off = max(abs(float(special.gammainc(shape, low / scale)) - tail), abs(float(special.gammaincc(shape, high / scale)) - tail))
    return (shape, scale) if off <= _matched(low, high) else None


def _matched(low: float, high: float) -> float:
    """Return the error in probability at which a quantile counts as matched."""
    return 1e-10 + 1e-15 * high / (high - low)


def _bracketed_root(falling: Callable[[float], float], start: float) -> float:
    """Return the root of a function that falls over the reals, or the end of -60..60 nearest to it."""
    low = high = start
    step = 1.0
    while falling(low) < 0 and low > -60:
        low, step = max(low - step, -60.0), 2.0 * step
    step = 1.0
    while falling(high) > 0 and high < 60:
        high, step = min(high + step, 60.0), 2.0 * step
    if low == high:
        return low
    if not falling(low) >= 0:
        return low
    if not falling(high) <= 0:
        return high
    return float(optimize.brentq(falling, low, high, xtol=1e-15, rtol=1e-15, maxiter=500))


def _read_empirical(
    kind: str, spec: Mapping[str, Any], unit: str, path: tuple[str | int, ...], problems: list[Problem]
) -> tuple[tuple[str, Any], ...] | None:
    _check_keys(spec, NATURAL[kind], path, problems)
    values = _numbers(spec, "values", unit, path, problems)
    if values is None:
        return None
    if len(values) > MOST_VALUES:
        came, advice = f"{len(values)} values", "Bin them and give the weights of the bins"
        problems.append(Problem(path=(*path, "values"), came=came, allowed=f"at most {MOST_VALUES}", advice=advice))
        return None
    weights = _weights(spec, len(values), "values", path, problems) if "weights" in spec else (1.0,) * len(values)
    return None if weights is None else (("values", values), ("weights", weights))


def _read_mixture(
    kind: str, spec: Mapping[str, Any], unit: str, path: tuple[str | int, ...], problems: list[Problem]
) -> tuple[tuple[str, Any], ...] | None:
    _check_keys(spec, NATURAL[kind], path, problems)
    components = spec.get("components")
    if not isinstance(components, list | tuple) or not components:
        came = "components is missing" if "components" not in spec else f"components = {_shown(components)}"
        problems.append(Problem(path=(*path, "components"), came=came, allowed="components is a list of distributions"))
        return None
    laws = [_read(component, unit, (*path, "components", i), problems) for i, component in enumerate(components)]
    weights = _weights(spec, len(laws), "components", path, problems)
    if weights is None or any(component is None for component in laws):
        return None
    return ("components", tuple(laws)), ("weights", weights)


def _read_scipy(
    kind: str, spec: Mapping[str, Any], unit: str, path: tuple[str | int, ...], problems: list[Problem]
) -> tuple[tuple[str, Any], ...] | None:
    name = spec.get("name")
    family = getattr(stats, name, None) if isinstance(name, str) else None
    if not isinstance(family, stats.rv_continuous):
        names = [word for word in dir(stats) if isinstance(getattr(stats, word), stats.rv_continuous)]
        if name is None:
            came = "name is missing"
        else:
            came = f"{_shown(name)} is discrete" if isinstance(family, stats.rv_discrete) else f"{_shown(name)} is no law of scipy.stats"
        advice = "" if name is None or isinstance(family, stats.rv_discrete) else _nearest(name, names)
        problems.append(Problem(path=(*path, "name"), came=came, allowed="name is a continuous law of scipy.stats", advice=advice))
        return None
    shapes = tuple(shape.strip() for shape in family.shapes.split(",")) if family.shapes else ()
    _check_keys(spec, ("name", *shapes, "loc", "scale"), path, problems)
    before = len(problems)
    numbers: dict[str, float | None] = {}
    for shape in shapes:
        if shape not in spec:
            problems.append(Problem(path=(*path, shape), came=f"{shape} is missing", allowed=f"{name} has the shapes {', '.join(shapes)}"))
        else:
            numbers[shape] = _number(spec[shape], None, (*path, shape), problems)
    for key, default in (("loc", 0.0), ("scale", 1.0)):
        numbers[key] = _number(spec.get(key, default), unit, (*path, key), problems)
    scale = numbers["scale"]
    if scale is not None and not scale > 0:
        problems.append(Problem(path=(*path, "scale"), came=f"scale = {scale:g}", allowed="scale must be above 0"))
    if len(problems) > before:
        return None
    with np.errstate(all="ignore"):
        possible = bool(np.isfinite(cast(Any, family).ppf(0.5, **numbers)))
    if not possible:
        given = ", ".join(f"{shape} = {numbers[shape]:g}" for shape in shapes)
        problems.append(
            Problem(path=path, came=f"{name} does not exist for {given}", advice=f"See scipy.stats.{name} for the range of its shapes")
        )
        return None
    return ("name", name), *numbers.items()


def _impossible(law: Law) -> Problem | None:
    """Return what is wrong with the truncation of `law`, if anything."""
    if law.lower is None and law.upper is None:
        return None
    lower, upper = _bounds(law)
    if not lower < upper:
        came = f"lower = {lower:g} and upper = {upper:g}"
        return Problem(path=("upper",), came=came, allowed="upper must be above lower", advice="Exchange them" if lower > upper else "")
    whole = replace(law, lower=None, upper=None)
    with _quiet():
        mass = _mass(_exact(whole), lower, upper)
    if mass >= LEAST_MASS:
        return None
    low, high = (float(x) for x in ppf(whole, [0.005, 0.995]))
    bounds = " and ".join(f"{key} = {bound:g}" for key, bound in (("lower", law.lower), ("upper", law.upper)) if bound is not None)
    return Problem(
        path=("lower" if law.lower is not None else "upper",),
        came=f"{bounds} leave a probability of {max(mass, 0.0):.2g}",
        allowed=f"at least {LEAST_MASS:g} must remain",
        advice=f"99 % of the law before truncation lies in {low:.4g} to {high:.4g}",
    )


# --------------------------------------------------------------------------------------------------- exact functions


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
    if law.kind in ("uniform", "triangular"):
        whole = _piecewise(p["low"], p["high"], p.get("mode"))
    elif law.kind == "student_t":
        whole = _student(p["df"], p["loc"], p["scale"])
    else:
        whole = _from_scipy(_frozen(law))
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


def _frozen(law: Law) -> Any:
    """Return the law of scipy.stats before truncation."""
    p = dict(law.parameters)
    if law.kind == "uniform":
        return stats.uniform(p["low"], p["high"] - p["low"])
    if law.kind == "triangular":
        width = p["high"] - p["low"]
        return stats.triang((p["mode"] - p["low"]) / width, p["low"], width)
    if law.kind == "pert":
        alpha, beta = _pert_shapes(p)
        return stats.beta(alpha, beta, p["low"], p["high"] - p["low"])
    if law.kind == "beta":
        return stats.beta(p["alpha"], p["beta"])
    if law.kind == "normal":
        return stats.norm(p["mean"], p["sd"])
    if law.kind == "lognormal":
        return stats.lognorm(p["sd_log"], scale=p["median"])
    if law.kind == "gamma":
        return stats.gamma(p["shape"], scale=p["scale"])
    if law.kind == "student_t":
        return stats.t(p["df"], p["loc"], p["scale"])
    name = p.pop("name")
    return getattr(stats, name)(**p)


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
    frozen = stats.t(df, loc, scale)

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
        y[near] = np.abs(y[near] - (central(y[near]) - (0.5 - nearer[near])) / (scale * frozen.pdf(loc + scale * y[near])))
        return np.where(p <= 0.5, y, -y)

    return _Exact(
        low=-math.inf,
        high=math.inf,
        cdf=lambda x: tail((loc - x) / scale),
        sf=lambda x: tail((x - loc) / scale),
        ppf=lambda p: loc - scale * score(p),
        isf=lambda q: loc + scale * score(q),
        pdf=frozen.pdf,
        atoms=_NO_ATOMS,
    )


def _from_scipy(frozen: Any) -> _Exact:
    """Wrap a frozen law; where scipy has no inverse of its own it is solved for, where it has no upper tail that tail ends at 2^-30."""
    low, high = (float(end) for end in frozen.support())
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
    tails = 2.0 ** -np.arange(1.0, 55.0, 0.25)
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
    steps = 2.0 ** np.arange(-6.0, 1020.0, 0.5)
    points = [np.array([median])]
    for sign, end, reach, tail in ((-1.0, low, median - quartile, frozen.cdf), (1.0, high, upper_quartile - median, frozen.sf)):
        if np.isfinite(end):
            points.append(end + (median - end) * 2.0 ** -np.arange(0.5, 200.0, 0.5))
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
        return np.asarray(distance * (whole.pdf(end + sign * distance[:, None] * _GAUSS_NODES) @ _GAUSS_WEIGHTS))

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


def cdf(law: Law, x: ArrayLike) -> Array:
    """Return P(X <= x)."""
    return _over(law, "cdf", x)


def sf(law: Law, x: ArrayLike) -> Array:
    """Return P(X > x); small ones keep their digits."""
    return _over(law, "sf", x)


def ppf(law: Law, p: ArrayLike) -> Array:
    """Return the smallest x with P(X <= x) >= p; an end of the support at 0 and 1, NaN outside."""
    return _quantile(law, "ppf", p, *support(law))


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
    return float(abs(np.log(tails[1] / tails[0]) / np.log(x[1] / x[0])))


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
        bottom, top = (float(end) for end in _frozen(law).support())
        if bottom < 0 < top:
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
