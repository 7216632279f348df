"""Correlated inputs: from blocks that vary and `[[correlation]]` blocks to components with one matrix, checked, and its factor."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from .errors import Problem
from .limits import EIGENVALUE_ROUNDING
from .records import Correlation, Parameter
from .units import closest


@dataclass(frozen=True, slots=True, kw_only=True)
class ParameterDraw:
    """One scalar input: the draw of a block at one label of each dimension it varies by; `id` is its stable name."""

    id: str
    block: Parameter
    labels: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Component:
    """Draws that depend on each other: R is the correlation of their normal (t) scores. df = 0 for a Gaussian copula."""

    parameter_draws: tuple[ParameterDraw, ...]
    matrix: np.ndarray
    df: float


def components(
    parameter_draws: Sequence[ParameterDraw], blocks: Sequence[Parameter], correlations: Sequence[Correlation]
) -> tuple[list[Component], list[Problem]]:
    """Return the components of more than one draw, each with its draws in order of id, and every problem found.

    parameter_draws  all in use;  blocks  all of the file: a correlation may name one that nothing uses, which is not dangling

    A block that varies correlates its own draws by `correlation`. A `value` r between two blocks that vary by the same dimensions, with
    inner correlations p and q, is r for equal labels and r sqrt(p q) for unequal ones; with one side that does not vary it is r with
    every draw. Blocks linked directly or through others form one component with one copula.

    Source: interface.md section 3; method.md section 5.
    """
    by_id = {draw.id: draw for draw in parameter_draws}
    by_block: dict[str, list[ParameterDraw]] = {}
    for draw in parameter_draws:
        by_block.setdefault(draw.block.id, []).append(draw)
    known = {block.id for block in blocks} | by_id.keys()
    problems: list[Problem] = []
    pairs: dict[frozenset[str], tuple[float, Correlation | None]] = {}
    links: list[tuple[str, str, Correlation | None]] = []

    for family in by_block.values():
        inner = family[0].block.correlation
        for i, first in enumerate(family):
            for second in family[:i]:
                pairs[frozenset((first.id, second.id))] = (inner or 0.0, None)
                if inner:
                    links.append((first.id, second.id, None))

    for correlation in correlations:
        missing = [name for name in correlation.between if name not in known]
        for name in missing:
            near = closest(name, sorted(known))
            problems.append(
                Problem(
                    path=(*correlation.path, "between"),
                    came=f'"{name}" is not a parameter of this scenario',
                    allowed="the ids of parameter blocks, or of single draws as id@label",
                    advice=f'the nearest is "{near}"' if near else "",
                )
            )
        if missing:
            continue
        for i, left in enumerate(correlation.between):
            for j, right in enumerate(correlation.between[:i]):
                r = correlation.value if correlation.matrix is None else correlation.matrix[i][j]
                assert r is not None
                crossed = _crossed(left, right, r, by_id, by_block)
                if isinstance(crossed, str):
                    problems.append(
                        Problem(
                            path=(*correlation.path, "between"),
                            came=crossed,
                            allowed="a value between blocks that vary by the same dimensions, or where one of the two does not vary",
                            advice="list single draws (id@label) in `between` and give a `matrix`",
                        )
                    )
                    continue
                for a, b, strength in crossed:
                    key = frozenset((a, b))
                    before = pairs.get(key)
                    if before is not None and before[1] is not None and before[1] is not correlation:
                        problems.append(
                            Problem(
                                path=correlation.path,
                                came=f'the correlation of "{a}" and "{b}" is given here and in correlation "{before[1].id}"',
                                advice="keep one of the two",
                            )
                        )
                    pairs[key] = (strength, correlation)
                    links.append((a, b, correlation))
    if problems:
        return [], problems
    found = []
    for members in _linked(sorted(by_id), [(a, b) for a, b, _ in links]):
        involved = sorted({c.id: c for a, _, c in links if a in members and c is not None}.values(), key=lambda c: c.id)
        copulas = {(c.copula, c.df or 0.0) for c in involved}
        if len(copulas) > 1:
            problems.append(
                Problem(
                    path=involved[-1].path,
                    came="the correlations " + ", ".join(f'"{c.id}"' for c in involved) + " link the same draws with different copulas",
                    allowed="one copula, with one df, in everything that is linked directly or through others",
                    advice="give them the same copula",
                )
            )
            continue
        order = {name: i for i, name in enumerate(members)}
        matrix = np.eye(len(members))
        for key, (strength, _) in pairs.items():
            a, b = key
            if a in order and b in order:
                matrix[order[a], order[b]] = matrix[order[b], order[a]] = strength
        draws_here = tuple(by_id[name] for name in members)
        problems += _definite(draws_here, matrix, pairs, order, involved)
        found.append(Component(parameter_draws=draws_here, matrix=matrix, df=next(iter(copulas))[1] if copulas else 0.0))
    return found, problems


def _crossed(
    left: str, right: str, r: float, by_id: Mapping[str, ParameterDraw], by_block: Mapping[str, list[ParameterDraw]]
) -> list[tuple[str, str, float]] | str:
    """Return (draw, draw, correlation) for a value r between two names, or what is wrong with it."""
    many_left, many_right = by_block.get(left, []), by_block.get(right, [])
    varies_left = bool(many_left) and bool(many_left[0].block.varies_by)
    varies_right = bool(many_right) and bool(many_right[0].block.varies_by)
    one_left = [by_id[left]] if left in by_id else many_left
    one_right = [by_id[right]] if right in by_id else many_right
    if left == right:
        return f'"{left}" is named twice'
    if varies_left and varies_right:
        p, q = many_left[0].block, many_right[0].block
        if p.varies_by != q.varies_by:
            return f'"{left}" varies by {", ".join(p.varies_by)} and "{right}" by {", ".join(q.varies_by)}'
        product = (p.correlation or 0.0) * (q.correlation or 0.0)
        if product < 0.0:
            return f'the inner correlations of "{left}" and "{right}" have opposite signs'
        return [(a.id, b.id, r if a.labels == b.labels else r * math.sqrt(product)) for a in many_left for b in many_right]
    if (varies_left and right in by_id and by_id[right].labels) or (varies_right and left in by_id and by_id[left].labels):
        return f'one of "{left}" and "{right}" is a single draw of a block that varies and the other a whole block'
    return [(a.id, b.id, r) for a in one_left for b in one_right]


def _linked(names: Sequence[str], links: Sequence[tuple[str, str]]) -> list[list[str]]:
    """Return the sets of names that links connect, of two or more, each sorted, in order of their first name."""
    root = {name: name for name in names}

    def find(name: str) -> str:
        while root[name] != name:
            root[name] = root[root[name]]
            name = root[name]
        return name

    for a, b in links:
        low, high = sorted((find(a), find(b)))
        root[high] = low
    sets: dict[str, list[str]] = {}
    for name in names:
        sets.setdefault(find(name), []).append(name)
    return [members for members in sets.values() if len(members) > 1]


def _definite(
    draws: Sequence[ParameterDraw],
    matrix: np.ndarray,
    pairs: Mapping[frozenset[str], tuple[float, Correlation | None]],
    order: Mapping[str, int],
    involved: Sequence[Correlation],
) -> list[Problem]:
    """Return what keeps a component's matrix from being a correlation matrix, with the nearest value that would do."""
    smallest = float(np.linalg.eigvalsh(matrix)[0])
    if smallest >= -EIGENVALUE_ROUNDING:
        return []
    for block in {draw.block.id: draw.block for draw in draws}.values():
        k = sum(draw.block.id == block.id for draw in draws)
        if k > 1 and block.correlation is not None and block.correlation < -1.0 / (k - 1) - EIGENVALUE_ROUNDING:
            return [
                Problem(
                    path=(*block.path, "correlation"),
                    came=f"correlation = {block.correlation:g} of {k} draws is impossible: smallest eigenvalue {smallest:.4g}",
                    allowed=f"an exchangeable correlation of {k} draws is at least -1/{k - 1}",
                    advice=f"the nearest feasible value is {_inward(-1.0 / (k - 1), 0.0):.4g}",
                )
            ]
    if not involved:
        return [Problem(came=f"the correlations of {draws[0].id} are not positive semidefinite (smallest eigenvalue {smallest:.4g})")]
    last = involved[-1]

    def lowest(scale: float) -> float:
        """Return the smallest eigenvalue with the last correlation `scale` times as strong: a concave function of it."""
        scaled = matrix.copy()
        for key, (strength, correlation) in pairs.items():
            a, b = key
            if correlation is last and a in order and b in order:
                scaled[order[a], order[b]] = scaled[order[b], order[a]] = scale * strength
        return float(np.linalg.eigvalsh(scaled)[0])

    widest = 1.0 / abs(last.value) if last.value else 1.0
    from scipy import optimize  # .1 s, for the message of a matrix that is none

    best = float(optimize.minimize_scalar(lambda scale: -lowest(scale), bounds=(-widest, widest), method="bounded").x)
    if lowest(best) < -EIGENVALUE_ROUNDING:
        advice = "lower the correlations it is linked to first: with them no value of this one is feasible"
    else:
        scale = _nearest(lambda s: lowest(s) >= -EIGENVALUE_ROUNDING, best, 1.0)
        if last.value is None:
            advice = f"the nearest feasible matrix is {_inward(scale, best):.4g} times as strong off its diagonal"
        else:
            advice = f"the nearest feasible value is {_inward(scale * last.value, best * last.value):.4g}"
    return [
        Problem(
            path=last.path,
            came=f"with the correlations it is linked to, it is impossible: smallest eigenvalue {smallest:.4g}",
            allowed="correlations that some joint law can have",
            advice=advice,
        )
    ]


def _nearest(feasible: Callable[[float], bool], inside: float, outside: float) -> float:
    """Return the last feasible point on the way from `inside` to `outside`, by bisection."""
    for _ in range(60):
        middle = 0.5 * (inside + outside)
        inside, outside = (middle, outside) if feasible(middle) else (inside, middle)
    return inside


def _inward(number: float, centre: float) -> float:
    """Round to four decimals towards `centre`, so that what is printed is feasible."""
    rounded = math.floor(number * 1e4) if number > centre else math.ceil(number * 1e4)
    return rounded / 1e4


def factor(matrix: np.ndarray) -> np.ndarray:
    """Return the lower-triangular L with L L' = R, by rows one after another, for a positive semidefinite R.

    Written out here because LAPACK's last bits differ between processors; a pivot below 1e-9 is zero, and so is what hangs on it.
    """
    n = matrix.shape[0]
    lower = np.zeros((n, n))
    for j in range(n):
        pivot = float(matrix[j, j]) - math.fsum(float(lower[j, k]) ** 2 for k in range(j))
        lower[j, j] = math.sqrt(pivot) if pivot > EIGENVALUE_ROUNDING else 0.0
        for i in range(j + 1, n):
            rest = float(matrix[i, j]) - math.fsum(float(lower[i, k]) * float(lower[j, k]) for k in range(j))
            lower[i, j] = rest / lower[j, j] if lower[j, j] > 0.0 else 0.0
    return np.concatenate([lower[i, : i + 1] for i in range(n)])
