"""The engine for any function of arrays: laws in, credible intervals out; nothing here knows of borders."""

from __future__ import annotations

import contextvars
import functools
import inspect
import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from scipy.sparse import csgraph

from . import distributions, elicitation, function_sensitivity
from .dependence import Component, ParameterDraw, components
from .errors import Problem, ScenarioError, SimError
from .inputs import compile_inputs
from .kernels import functions, quantiles, streams, summaries
from .kernels.inputs import Inputs, Scores, Source
from .kernels.scratch import LANE
from .limits import EIGENVALUE_ROUNDING, MAX_DRAWS, MAX_SEED, MAX_THREADS
from .records import Correlation, Parameter
from .runner import Block, Estimates, estimate, plan
from .tree import Answer, Coordinate, assemble, common_groups, exact_quantiles
from .units import closest

Array = NDArray[np.float64]

MAX_KEPT = 10_000_000
CHUNK = 8_192  # draws a call of a plain function: arrays above 128 KB are fresh pages each time, 118 ns a draw of eight outputs, not 11
RESERVED = ("quantile", "moment", "parameter", "unit", "chain", "draw", "parameter_value")  # coordinates and variables of the tree

_TRIAL_DRAWS = 64  # on which the function is tried before the run; enough to tell a whole array from one draw
_SAME = 1e-6  # relative; libm's last bits may differ between an array and half of it, another draw's number does not come that near
_SHOWN = 8  # arguments that a message describes

_Evaluate = Callable[[Array], Array]  # arguments (x, d) -> outputs (S, d)
_Loop = Callable[[Array, Array, int], None]  # the same, compiled, into an array that is there; d


def propagate(
    function: Callable[..., Any],
    *,
    parameters: Mapping[str, object],
    correlation: Mapping[tuple[str, str], float] | None = None,
    draws: int = 1_000_000,
    seed: int,
    sampler: Literal["sobol", "philox"] = "sobol",
    outputs: Sequence[str] | None = None,
    keep_draws: int = 0,
    threads: int | None = None,
    copula: Literal["gaussian", "t"] = "gaussian",
    df: float | None = None,
    sensitivity: Literal["raw", "log"] | None = None,
) -> xr.DataTree:
    """Propagate uncertain parameters through a function of your own.

    function      called with one float64 array of draws for each parameter: by keyword where its signature bears their names, else (only
                  positional parameters, or no signature) in the order of `parameters`. It returns a dict of arrays, one number for
                  each draw (integers and booleans too), or single numbers that hold for every draw. Instead a Numba-compiled function,
                  which takes one number for each parameter and returns a number or a tuple; it is fused into one compiled loop.
                  With divisions that loop is up to five times as fast under njit(error_model="numpy"), which gives inf or NaN where
                  Python raises ZeroDivisionError.
    parameters    name -> number, or distribution as in a scenario file (without units)
    correlation   (name, name) -> correlation of the normal (t) scores; pairs that are not named have 0. Parameters linked directly or
                  through others share one copula; one that is constant drops out
    draws         asked; rounded up to 16 to 31 replicates of 2^m Sobol' points, or to whole blocks of 2^16 under "philox"
    seed          0 to 2^64 - 1; the same seed gives the same numbers for every number of threads and every order of parameters
    outputs       names of what a Numba-compiled function returns
    keep_draws    joint draws to keep in /draws
    copula, df    "gaussian", or "t" with its degrees of freedom
    sensitivity   which parameters each output hangs on: of the variance of the output ("raw") or of its log ("log")

    The function must be pure, and must treat draws one by one: number i of an output depends on number i of the arrays and on nothing
    else. It is tried on 64 draws first, which shows whether it does. It gets blocks of at most 8,192 draws, in several threads at once;
    NumPy releases Python's lock where a compiled function always does. `np.errstate` of the caller holds inside it.
    NaN marks a draw in which an output is undefined: counted, left out, its share in the attribute `undefined_share`; an output
    may be infinite, and then has no mean. Nothing is known of the function, so nothing says whether a mean exists for its law.

    Returns a tree: /quantiles (each output, by `quantile`), /mcse (their Monte Carlo standard errors), /moments (by `moment` = mean, sd,
    mean_mcse), /parameters (`value`: exact quantiles of each law) and, where asked for, /draws (by `chain`, `draw`) and /sensitivity
    (`first_order` by `parameter` and `target`, `shapley` by `input_group` and `target`, their errors).
    Raises ScenarioError, with every problem at once, for parameters, correlations, names or options that cannot be; SimError where the
    function fails (the cause is chained), or returns what is not one real number a draw, or is not a function of each draw alone.

    >>> tree = propagate(
    ...     lambda mass, purity: {"pure": mass * purity},
    ...     parameters={
    ...         "mass": {"kind": "lognormal", "median": 20.0, "sd_log": 0.5},
    ...         "purity": {"kind": "beta", "mean": 0.11, "sd": 0.02},
    ...     },
    ...     correlation={("mass", "purity"): -0.3},
    ...     draws=65_536, seed=1,
    ... )
    >>> [f"{x:.2f}" for x in tree["quantiles"]["pure"].sel(quantile=[0.05, 0.5, 0.95]).values]
    ['0.99', '2.16', '4.75']
    """
    problems: list[Problem] = []
    laws = _read_laws(parameters, problems)
    _check_options(draws, seed, sampler, keep_draws, threads, copula, df, problems)
    if sensitivity not in (None, "raw", "log"):
        problems.append(Problem(path=("sensitivity",), came=f"{_brief(sensitivity)} came", allowed='it is "raw" or "log"'))
    scalar = _takes_scalars(function, outputs)
    given = list(parameters) if isinstance(parameters, Mapping) else []
    by_name = bool(given) and callable(function) and _by_name(function, given, problems)
    if not callable(function):
        problems.append(Problem(path=("function",), came=f"{function!r} cannot be called", advice="give a function of the parameters"))
    else:
        _check_outputs(outputs, scalar, problems)
    linked = _read_correlation(correlation, laws, given, copula, df, problems)
    if problems:
        raise ScenarioError(problems)

    inputs, slot_names = compile_inputs(laws, linked)
    called = _Called(function=function, name=_name_of(function), parameters=tuple(laws), by_name=by_name)
    tables = Scores(score=quantiles.normal_score_table(), tail=quantiles.normal_tail_table())
    trial = np.empty((len(laws), _TRIAL_DRAWS))
    functions.draw_arguments(inputs, tables, _philox(seed, slot_names), 0, trial)
    loop = None
    if scalar:
        names, evaluate, loop = _compiled(called, trial, tuple(outputs or ()))
    else:
        names, evaluate = _plain(called, trial)
    _check_pure(called, evaluate, trial, names)

    engine = _FunctionEngine(called, inputs, tables, slot_names, len(names), evaluate, loop)
    estimates = estimate(engine, plan(int(draws), int(seed), sampler), keep=int(keep_draws), threads=threads)
    asked: dict[str, xr.Dataset] = {}
    if sensitivity is not None:

        def with_inputs(other: Inputs) -> _FunctionEngine:
            return _FunctionEngine(called, other, tables, slot_names, len(names), evaluate, loop)

        asked = {"sensitivity": function_sensitivity.group(with_inputs, inputs, laws, names, linked, estimates.plan, sensitivity, threads)}
    return _tree(called, laws, names, estimates, asked, {} if correlation is None else correlation, copula, df)


# ------------------------------------------------------------------------------------------------------------------ what came


def _read_laws(parameters: object, problems: list[Problem]) -> dict[str, distributions.Law]:
    """Return the laws that can be read, by name."""
    if not isinstance(parameters, Mapping) or not parameters:
        came = "there is no parameter" if isinstance(parameters, Mapping) else f"{_brief(parameters)} came"
        problems.append(Problem(path=("parameters",), came=came, allowed="parameters maps names to numbers or distributions"))
        return {}
    laws = {}
    for name, spec in parameters.items():
        if not isinstance(name, str) or not name.isidentifier():
            problems.append(Problem(path=("parameters",), came=f"{name!r} is no name", allowed="names are those of Python variables"))
            continue
        try:
            laws[name] = elicitation.law(spec)
        except elicitation.LawError as error:
            problems += [problem.at(prefix=("parameters", name)) for problem in error.problems]
    return laws


def _check_options(
    draws: object, seed: object, sampler: object, keep_draws: object, threads: object, copula: object, df: object, problems: list[Problem]
) -> None:
    """Add a problem for every option that is out of range; NumPy's integers are integers, booleans are not."""

    def whole(name: str, given: object, low: int, high: int) -> None:
        if isinstance(given, bool) or not isinstance(given, int | np.integer) or not low <= int(given) <= high:
            top = "2^64 - 1" if high == MAX_SEED else f"{high:,}"
            problems.append(Problem(path=(name,), came=f"{_brief(given)} came", allowed=f"{name} is an integer from {low} to {top}"))

    whole("draws", draws, 1, MAX_DRAWS)
    whole("seed", seed, 0, MAX_SEED)
    whole("keep_draws", keep_draws, 0, MAX_KEPT)
    if threads is not None:
        whole("threads", threads, 1, MAX_THREADS)
    if sampler not in ("sobol", "philox"):
        problems.append(Problem(path=("sampler",), came=f"{_brief(sampler)} came", allowed='it is "sobol" or "philox"'))
    if copula not in ("gaussian", "t"):
        problems.append(Problem(path=("copula",), came=f"{_brief(copula)} came", allowed='it is "gaussian" or "t"'))
    elif copula == "gaussian" and df is not None:
        problems.append(Problem(path=("df",), came="a gaussian copula has no df", allowed='only copula "t" has one', advice="leave df out"))
    elif copula == "t" and not (_is_number(df) and 1.0 <= float(cast(float, df)) <= 1e6):
        came = "df is missing" if df is None else f"{_brief(df)} came"
        problems.append(Problem(path=("df",), came=came, allowed="a t copula has degrees of freedom from 1 to 1e6", advice="give df = 4"))


def _is_number(given: object) -> bool:
    return isinstance(given, int | float | np.integer | np.floating) and not isinstance(given, bool)


def _brief(given: object) -> str:
    text = repr(given)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _read_correlation(
    correlation: object,
    laws: Mapping[str, distributions.Law],
    names: Sequence[object],
    copula: Literal["gaussian", "t"],
    df: float | None,
    problems: list[Problem],
) -> list[Component]:
    """Return the components of correlated parameters; `names` are all that came, also those whose laws could not be read."""
    if correlation is None or (isinstance(correlation, Mapping) and not correlation):
        if copula == "t":
            problems.append(
                Problem(path=("correlation",), came='copula "t" links no parameters', advice="name pairs in correlation, 0 included")
            )
        return []
    if not isinstance(correlation, Mapping):
        problems.append(
            Problem(path=("correlation",), came=f"{_brief(correlation)} came", allowed='it is a mapping such as {("x1", "x2"): 0.9}')
        )
        return []
    sound: dict[tuple[str, str], float] = {}
    before = len(problems)
    for pair, r in correlation.items():
        path = ("correlation", ", ".join(map(str, pair)) if isinstance(pair, tuple) else _brief(pair))
        if not isinstance(pair, tuple) or len(pair) != 2:
            problems.append(Problem(path=path, came="the key is not a pair", allowed='it is a tuple of two names, such as ("x1", "x2")'))
            continue
        unknown = [name for name in pair if name not in names]
        for name in unknown:
            near = closest(name, [known for known in names if isinstance(known, str)]) if isinstance(name, str) else None
            advice = f"the nearest is {near}" if near else ""
            allowed = f"the parameters are {', '.join(map(str, names[:20]))}"
            problems.append(Problem(path=path, came=f"{_brief(name)} is no parameter", allowed=allowed, advice=advice))
        if pair[0] == pair[1]:
            problems.append(Problem(path=path, came="a parameter is paired with itself", allowed="a pair is two parameters"))
        elif pair[::-1] in sound:
            came = f"this pair is given twice, as {sound[pair[::-1]]:g} and as {_brief(r)}"
            problems.append(Problem(path=path, came=came, allowed="the order of a pair does not matter", advice="keep one of the two"))
        elif not _is_number(r) or not -1.0 <= r <= 1.0:
            problems.append(Problem(path=path, came=f"a correlation of {_brief(r)}", allowed="it is a number from -1 to 1"))
        elif not unknown:
            sound[pair] = float(r)
    if len(problems) > before or any(name not in laws for pair in sound for name in pair) or copula not in ("gaussian", "t"):
        return []
    problems += _contradictions(sound)
    if len(problems) > before:
        return []
    blocks = [Parameter(id=name, name=name, law=law) for name, law in laws.items()]
    links = [
        Correlation(id=", ".join(pair), between=pair, value=r, copula=copula, df=df, path=("correlation", ", ".join(pair)))
        for pair, r in sound.items()
    ]
    found, _ = components([ParameterDraw(id=block.id, block=block) for block in blocks], blocks, links)
    return found


def _contradictions(pairs: Mapping[tuple[str, str], float]) -> list[Problem]:
    """Return a problem for every set of linked parameters whose correlations no joint law can have.

    The eigenvalues of I + s (R - I) are 1 + s (lambda - 1), so the largest feasible s is 1 / (1 - the smallest lambda).
    """
    names = sorted({name for pair in pairs for name in pair})
    matrix = np.eye(len(names))
    for (a, b), r in pairs.items():
        matrix[names.index(a), names.index(b)] = matrix[names.index(b), names.index(a)] = r
    n_sets, label = csgraph.connected_components(matrix)
    found = []
    for k in range(n_sets):
        members = np.flatnonzero(label == k)
        smallest = float(np.linalg.eigvalsh(matrix[np.ix_(members, members)])[0])
        if smallest < -EIGENVALUE_ROUNDING:
            scale = math.floor(1e4 / (1.0 - smallest)) / 1e4
            found.append(
                Problem(
                    path=("correlation",),
                    came=f"the correlations of {', '.join(names[i] for i in members)} contradict each other: their matrix is not positive "
                    f"semidefinite, its smallest eigenvalue is {smallest:.4g}",
                    allowed="correlations that some joint law can have",
                    advice=f"the nearest feasible ones in their proportion are {scale:.4g} times these",
                )
            )
    return found


def _takes_scalars(function: object, outputs: object) -> bool:
    """Return whether a function is Numba-compiled; with Numba's JIT off, compiled functions are plain and only `outputs` tells them."""
    kind = type(function)
    if kind.__name__ == "CPUDispatcher" and kind.__module__.startswith("numba."):
        return True
    import numba

    return outputs is not None and bool(getattr(numba.config, "DISABLE_JIT", 0))


def _check_outputs(outputs: object, scalar: bool, problems: list[Problem]) -> None:
    """Add a problem where `outputs` does not fit the kind of function, and one for every name in it that cannot be."""
    if not scalar:
        if outputs is not None:
            problems.append(
                Problem(
                    path=("outputs",),
                    came="the function is not Numba-compiled",
                    allowed="a plain function names its outputs in the dict that it returns",
                    advice="leave outputs out, or compile the function with numba.njit",
                )
            )
        return
    if not isinstance(outputs, list | tuple) or not outputs:
        came = "outputs is missing" if outputs is None else f"{_brief(outputs)} came"
        allowed = "a Numba-compiled function returns numbers without names"
        problems.append(Problem(path=("outputs",), came=came, allowed=allowed, advice='give a list of names, such as outputs=["y"]'))
        return
    problems += [problem.at(prefix=("outputs",)) for problem in _name_problems(outputs)]
    for name in sorted({str(name) for name in outputs if outputs.count(name) > 1}):
        problems.append(Problem(path=("outputs",), came=f"{name!r} comes twice", allowed="every output has its own name"))


def _name_problems(names: Sequence[object]) -> list[Problem]:
    """Return a problem for every name that no variable of the tree can bear."""
    found = []
    for name in names:
        if not isinstance(name, str) or not name.strip() or "/" in name:
            found.append(Problem(came=f"{name!r} is no name of an output", allowed="it is text without '/'"))
        elif name in RESERVED:
            found.append(Problem(came=f"{name!r} is no name of an output", allowed=f"{', '.join(RESERVED)} name parts of the result"))
    return found


def _name_of(function: Callable[..., Any]) -> str:
    inner = function.func if isinstance(function, functools.partial) else function
    name = getattr(inner, "__qualname__", None) or type(inner).__qualname__
    module = getattr(inner, "__module__", None) or type(inner).__module__
    return f"{module}.{name}"


def _by_name(function: Callable[..., Any], names: Sequence[Any], problems: list[Problem]) -> bool:
    """Return whether the function takes its arguments by name; add a problem where it takes them in neither way."""
    try:
        signature = inspect.signature(getattr(function, "py_func", function))
    except (TypeError, ValueError):  # compiled in C, without a signature
        return False
    path = ("function",)
    try:
        signature.bind(**{str(name): None for name in names})
    except TypeError:
        pass
    else:
        return True
    named = [p for p in signature.parameters.values() if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
    if not any(p.default is p.empty for p in named):
        try:
            signature.bind(*names)
        except TypeError as error:
            came = f"{_name_of(function)}{signature} cannot take {len(names)} arguments: {error}"
            problems.append(Problem(path=path, came=came, allowed="it takes one array for each parameter"))
        return False
    takes = [p.name for p in named]
    missing = [p.name for p in named if p.default is p.empty and p.name not in names]
    extra = [str(name) for name in names if name not in takes]
    lacks = f"takes {', '.join(missing)}, which parameters lacks" if missing else ""
    refuses = f"does not take {', '.join(extra)}" if extra else ""
    near = closest(extra[0], missing) if extra else None
    problems.append(
        Problem(
            path=path,
            came=f"{_name_of(function)}{signature} {', and '.join(part for part in (lacks, refuses) if part)}",
            allowed="the names of a function's parameters are those in parameters",
            advice=f"the nearest to {extra[0]} is {near}" if near else "",
        )
    )
    return False


# ------------------------------------------------------------------------------------------------------------------ calling it


@dataclass(frozen=True, slots=True, kw_only=True)
class _Called:
    """A function, its name in messages, and how it takes its arguments."""

    function: Callable[..., Any]
    name: str
    parameters: tuple[str, ...]
    by_name: bool

    def error(self, came: str, allowed: str = "", advice: str = "") -> SimError:
        return SimError([Problem(path=("function",), came=f"{self.name} {came}", allowed=allowed, advice=advice)])

    def failed(self, error: Exception, x: Array) -> SimError:
        """Say which arrays the function got when it raised."""
        shown = [f"{name} from {row.min():.6g} to {row.max():.6g}" for name, row in zip(self.parameters, x[:_SHOWN], strict=False)]
        more = [f"{len(x) - _SHOWN} more"] if len(x) > _SHOWN else []
        text = str(error).strip().splitlines()
        return self.error(
            f"raised {type(error).__name__}{': ' + text[0] if text else ''}",
            allowed=f"it was given {x.shape[1]} draw{'s' if x.shape[1] != 1 else ''} of {', '.join(shown + more)}",
            advice="the cause stands above this error",
        )


def _plain(called: _Called, trial: Array) -> tuple[tuple[str, ...], _Evaluate]:
    """Return the names of a plain function's outputs and how to evaluate it."""
    # NumPy keeps errstate in the context; a context can be entered by one thread at a time, so each call enters a copy.
    context = contextvars.copy_context()

    def answer(x: Array) -> dict[Any, Any]:
        arguments = list(x.copy())
        try:
            if called.by_name:
                returned = context.copy().run(functools.partial(called.function, **dict(zip(called.parameters, arguments, strict=True))))
            else:
                returned = context.copy().run(called.function, *arguments)
        except Exception as error:
            raise called.failed(error, x) from error
        if not isinstance(returned, Mapping):
            advice = 'return {"y": y}' if not isinstance(returned, tuple) else "give each array a name"
            raise called.error(f"returned {_kind(returned)}", allowed="it must return a dict of arrays", advice=advice)
        return dict(returned)

    first = answer(trial)
    if not first:
        raise called.error("returned an empty dict", allowed="it must return at least one output")
    unfit = _name_problems(list(first))
    if unfit:
        raise SimError([problem.at(prefix=("function",)) for problem in unfit])
    names = tuple(first)

    def evaluate(x: Array) -> Array:
        returned = answer(x)
        if set(returned) != set(names):
            came = f"returned the outputs {', '.join(map(str, returned))} after {', '.join(names)}"
            raise called.error(came, allowed="the outputs are the same for every block of draws")
        out = np.empty((len(names), x.shape[1]))
        for row, name in zip(out, names, strict=True):
            row[:] = _numbers_of(called, name, returned[name], x.shape[1])
        return out

    return names, evaluate


def _numbers_of(called: _Called, name: str, returned: object, n: int) -> NDArray[Any]:
    """Return an output as an array of real numbers, one for each draw or one for all."""
    allowed = f"an output is an array of {n} real numbers, one for each draw, or one number for all"
    try:
        numbers = np.asarray(returned)
    except Exception as error:
        raise called.error(f"returned {_kind(returned)} as {name!r}", allowed=allowed) from error
    if isinstance(returned, np.ma.MaskedArray):
        raise called.error(f"returned a masked array as {name!r}", allowed=allowed, advice="use NaN where it is undefined: y.filled(nan)")
    if numbers.dtype.kind not in "biuf":
        came = f"returned {_kind(returned)} of dtype {numbers.dtype} as {name!r}"
        raise called.error(came, allowed=allowed, advice="return real and imaginary part apart" if numbers.dtype.kind == "c" else "")
    if numbers.shape not in ((), (n,)):
        raise called.error(f"returned an array of shape {numbers.shape} as {name!r}", allowed=allowed)
    return numbers


def _kind(returned: object) -> str:
    name = type(returned).__name__
    return "None" if returned is None else f"an {name}" if name[0] in "aeioAEIO" else f"a {name}"


def _compiled(called: _Called, trial: Array, outputs: tuple[str, ...]) -> tuple[tuple[str, ...], _Evaluate, _Loop]:
    """Return the outputs' names, how to evaluate a Numba-compiled function, and its loop, compiled here and now."""
    one = [float(number) for number in trial[:, 0]]
    try:
        if called.by_name:
            returned = called.function(**dict(zip(called.parameters, one, strict=True)))
        else:
            returned = called.function(*one)
    except Exception as error:
        raise called.failed(error, trial[:, :1]) from error
    numbers = returned if isinstance(returned, tuple) else (returned,)
    for number in numbers:
        if not isinstance(number, bool | int | float | np.bool_ | np.integer | np.floating):
            raise called.error(f"returned {_kind(number)}", allowed="a Numba-compiled function returns a real number or a tuple of them")
    if len(numbers) != len(outputs):
        raise called.error(
            f"returned {len(numbers)} number{'s' if len(numbers) != 1 else ''}",
            allowed=f"outputs names {len(outputs)}: {', '.join(outputs)}",
            advice="give one name for each number",
        )
    arguments = tuple(called.parameters) if called.by_name else (None,) * len(called.parameters)
    loop = _fused(called.function, arguments, len(outputs) if isinstance(returned, tuple) else 0)

    def evaluate(x: Array) -> Array:
        out = np.empty((len(outputs), x.shape[1]))
        try:
            loop(x, out, x.shape[1])
        except Exception as error:
            raise called.failed(error, x) from error
        return out

    return outputs, evaluate, loop


@functools.lru_cache(maxsize=64)
def _fused(function: Callable[..., Any], arguments: tuple[str | None, ...], n_outputs: int) -> _Loop:
    """Return a compiled loop that calls a compiled function for every draw; kept, because compiling takes a tenth of a second.

    arguments   the name of each argument, None where it is passed by position
    n_outputs   length of the tuple that is returned, 0 for a single number

    Numba passes no argument list of variable length, so the call is written out: only names from the function's own signature, and
    integers, enter the text.
    """
    import numba

    call = ", ".join(f"x[{p}, i]" if name is None else f"{name}=x[{p}, i]" for p, name in enumerate(arguments))
    stores = [f"        out[{k}, i] = y[{k}]" for k in range(n_outputs)] or ["        out[0, i] = y"]
    text = "\n".join(["def loop(x, out, n):", "    for i in range(n):", f"        y = function({call})", *stores])
    scope: dict[str, Any] = {"function": function}
    exec(text, scope)
    compiled: _Loop = numba.njit(functions.LOOP, nogil=True, error_model="numpy")(scope["loop"])
    return compiled


def _check_pure(called: _Called, evaluate: _Evaluate, trial: Array, names: Sequence[str]) -> None:
    """Raise where the middle half of the trial draws gives other outputs than among all of them: noise, a mean, a running sum."""
    middle = slice(_TRIAL_DRAWS // 4, 3 * _TRIAL_DRAWS // 4)
    among_all = evaluate(trial)[:, middle]
    alone = evaluate(np.ascontiguousarray(trial[:, middle]))
    for name, first, second in zip(names, among_all, alone, strict=True):
        size = np.max(np.abs(first[np.isfinite(first)]), initial=0.0)
        if not np.allclose(first, second, rtol=_SAME, atol=_SAME * size * 1e-3, equal_nan=True):
            raise called.error(
                f"gave other numbers for {name!r} when the same draws came again in a shorter array",
                allowed="an output depends on the parameters of its own draw, and on nothing else",
                advice="make random numbers parameters, and compute nothing over all draws",
            )


def _philox(seed: int, slot_names: Sequence[str]) -> Source:
    """Return plain draws of every slot, to try a function on before it is known what a run would need."""
    directions, shift = np.zeros((0, 53), np.uint64), np.zeros(0, np.uint64)
    return Source(
        seed=np.uint64(seed),
        replicate=0,
        directions=directions,
        shift=shift,
        dimension=np.full(len(slot_names), -1),
        stream=np.array([streams.stream_id(name) for name in slot_names], dtype=np.uint64),
    )


class _FunctionEngine:
    """A function as an `Engine` of the runner."""

    wide = False
    origin_zero = False  # 100000.001 +- 0.05 keeps its digits
    n_counters = 0

    def __init__(
        self,
        called: _Called,
        inputs: Inputs,
        tables: Scores,
        slot_names: tuple[str, ...],
        n_outputs: int,
        evaluate: _Evaluate,
        loop: _Loop | None,
    ) -> None:
        self._called = called
        self._inputs = inputs
        self._tables = tables
        self._evaluate = evaluate
        self._loop = loop
        self._whole_block: Callable[..., None] | None = None
        self.slot_names = slot_names
        self.n_point_slots = len(slot_names)
        self.n_summaries = n_outputs
        self.n_inputs = inputs.slot.size

    def summarise(self, block: Block, layout: summaries.Layout, state: summaries.State, sums: Array) -> NDArray[np.int64]:
        """Draw the parameters of one block, call the function, and summarise what it returns."""
        if self._loop is not None:
            arguments = (self._inputs, self._tables, *block, layout, state, sums)
            if self._whole_block is None:
                self._whole_block = functions.whole_block_of(*arguments)
            try:
                self._whole_block(self._loop, *arguments)
            except Exception as error:
                raise self._called.failed(error, self._arguments(block)) from error
        else:
            for start, chunk in _chunks(block):
                lanes = slice(start // LANE, (start + chunk.points) // LANE or 1)
                functions.summarise_outputs(self._evaluate(self._arguments(chunk)), layout, state, sums[:, lanes])
        return np.zeros(0, np.int64)

    def store(self, block: Block) -> tuple[Array, Array]:
        """Return the outputs and the parameters; the function gets no more draws at once than in a run."""
        outputs, arguments = np.empty((self.n_summaries, block.points)), np.empty((self.n_inputs, block.points))
        for start, chunk in _chunks(block):
            part = slice(start, start + chunk.points)
            arguments[:, part] = x = self._arguments(chunk)
            outputs[:, part] = self._evaluate(x)
        return outputs, arguments

    def _arguments(self, block: Block) -> Array:
        x = np.empty((self.n_inputs, block.points))
        functions.draw_arguments(self._inputs, self._tables, block.source, block.first, x)
        return x


def _chunks(block: Block) -> Iterator[tuple[int, Block]]:
    """Cut a block into what a function is given at once; yield the place of each part within the block, and the part."""
    for start in range(0, block.points, CHUNK):
        yield start, Block(block.source, block.first + start, min(CHUNK, block.points - start))


# ------------------------------------------------------------------------------------------------------------------ the tree


def _tree(
    called: _Called,
    laws: Mapping[str, distributions.Law],
    names: Sequence[str],
    estimates: Estimates,
    more: Mapping[str, xr.Dataset],
    correlation: Mapping[tuple[str, str], float],
    copula: str,
    df: float | None,
) -> xr.DataTree:
    """Put labels and provenance on merged summaries."""
    answers = {}
    for s, name in enumerate(names):
        n_nan, n_below, _, n_above = (int(n) for n in estimates.n[s])
        infinite = (n_below + n_above) / estimates.plan.draws
        answers[name] = Answer(
            units="1",
            long_name=f"output {name}",
            quantiles=estimates.quantiles[s],
            mcse=estimates.mcse[s],
            mean=estimates.mean[s],
            sd=estimates.sd[s],
            mean_mcse=estimates.mean_mcse[s],
            kept=estimates.kept[:, :, s],
            undefined_share=n_nan / estimates.plan.draws,
            note=f"mean and sd do not exist: {infinite:.3g} of the draws are infinite" if infinite else "",
        )
    labels: dict[str, Coordinate] = {
        "parameter": ("parameter", list(laws), {"long_name": "name of the parameter"}),
        "unit": ("parameter", ["1"] * len(laws), {"long_name": "unit of the parameter"}),
    }
    groups = common_groups(
        answers,
        exact_quantiles(list(laws.values())),
        estimates.kept_inputs,
        labels,
        moments_note="nothing is known of the function, so nothing says whether a mean or sd exists; quantiles always do",
    )
    attributes = {
        "title": f"{', '.join(names)} of {called.name}",
        "function": called.name,
        "parameters": json.dumps({name: elicitation.as_mapping(law) for name, law in laws.items()}),
        "correlation": json.dumps([[*pair, float(r)] for pair, r in correlation.items()]),
        "copula": copula if df is None else f"{copula}, df = {df:g}",
    }
    return assemble({**groups, **more}, estimates.plan, estimates.seconds, attributes)
