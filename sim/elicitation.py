"""Laws as users write them: a number, a quantity or a table of any parametrisation, read into a law of natural parameters."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, cast

import numpy as np
from scipy import special

from .distributions import Law, mass, ppf
from .errors import Problem, ScenarioError, SimError
from .units import closest, parse_quantity

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


class LawError(ScenarioError):
    """A distribution is impossible or ill-written; paths are relative to its table."""


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


def parametrisations(kind: str) -> list[tuple[str, ...]]:
    """Return the ways to give a law of NATURAL parameters, each as its keys; `df` of a student_t goes with all of them.

    >>> parametrisations("beta")
    [('alpha', 'beta'), ('mean', 'sd'), ('interval', 'probability')]
    """
    forms = [tuple(key for key in NATURAL[kind] if (kind, key) != ("student_t", "df"))]
    if kind in ELICITED:
        forms += [form for form in (("mean", "sd"), ("interval", "probability")) if form not in forms]
    return forms


def _read_family(
    kind: str, spec: Mapping[str, Any], unit: str, path: tuple[str | int, ...], problems: list[Problem]
) -> tuple[tuple[str, Any], ...] | None:
    """Read a law of NATURAL parameters in any of its parametrisations."""
    shared = ("df",) if kind == "student_t" else ()
    forms = parametrisations(kind)
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
            advice = f"{mean:g} % is {mean / 100:g}" if 1 < mean < 100 else ""
            problems.append(
                Problem(path=("mean",), came=f"mean = {mean:g}", allowed="the mean of a beta lies between 0 and 1", advice=advice)
            )
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
        in_percent = top == 1.0 and low > 0 and 1 < high < 100
        advice = f"{low:g} % is {low / 100:g}: write [{low / 100:g}, {high / 100:g}]" if in_percent else ""
        problems.append(Problem(path=("interval",), came=came, allowed=allowed, advice=advice))
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
    from scipy import optimize  # .1 s, for intervals of two families alone

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
    from scipy import stats

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
    lower, upper = -math.inf if law.lower is None else law.lower, math.inf if law.upper is None else law.upper
    if not lower < upper:
        came = f"lower = {lower:g} and upper = {upper:g}"
        return Problem(path=("upper",), came=came, allowed="upper must be above lower", advice="Exchange them" if lower > upper else "")
    whole = replace(law, lower=None, upper=None)
    left = mass(whole, lower, upper)
    if left >= LEAST_MASS:
        return None
    low, high = (float(x) for x in ppf(whole, [0.005, 0.995]))
    bounds = " and ".join(f"{key} = {bound:g}" for key, bound in (("lower", law.lower), ("upper", law.upper)) if bound is not None)
    return Problem(
        path=("lower" if law.lower is not None else "upper",),
        came=f"{bounds} leave a probability of {max(left, 0.0):.2g}",
        allowed=f"at least {LEAST_MASS:g} must remain",
        advice=f"99 % of the law before truncation lies in {low:.4g} to {high:.4g}",
    )
