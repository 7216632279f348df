"""Uniforms to values by tabulated inverse CDFs, one evaluator for every law; scores and tails of the normal and Student t for copulas.

A uniform is *folded* into one float64 t: t = u for 0 < t <= 1/2 (lower half), t = u - 1 for -1/2 <= t < 0 (upper half), so |t| is the
probability of the nearer tail and both tails keep their digits. The smallest |t| is 2^-54.

A table has two sides x 53 octaves of |t| x 16 cells, found from the exponent and the four leading mantissa bits of t; the other 48 bits
are the local coordinate s in [0, 1). A cell holds a cubic in s, or points to 16 cells of its own. Tables are bare arrays, so that many
laws lie one after another in one array; they are arguments of the kernels, never globals, which Numba would freeze into its cache.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import NamedTuple

import numpy as np
from scipy import special

from . import libm
from .arithmetic import exp, log
from .cubics import cubics
from .jit import borrowing, inlined
from .scratch import scratch

OCTAVES = 53  # |t| from 2^-54 to 1/2
SPLIT = 16  # cells of an octave, and of a cell that is split
CELLS = OCTAVES * SPLIT  # of one side
UNSPLIT = -2
DEPTH = 5  # a jump is known to 16^-6 = 6e-8 of its tail probability
TOLERANCE = 5e-7  # of |F(x(u)) - u| / min(u, 1 - u), measured at three points of every cell
BITS = 44  # kept of a table's entries
SPLITS = 1024  # cells split at most on one depth, and two more for every jump; those of the largest error in probability come first
SMALLEST_TAIL = 2.0**-54

_SMALLEST_BITS = np.int64((1023 - 54) << 52)
_LARGEST_BITS = np.int64((1022 << 52) - 1)  # the largest float below 1/2
_MAGNITUDE = np.int64(0x7FFFFFFFFFFFFFFF)
_FIRST = np.int64((1023 - 54) << 4)
_LOCAL = np.int64((1 << 48) - 1)
_LOCAL_WIDTH = 2.0**-48
_SCORE_CELLS = 64  # of an octave: 7e-11, where 32 leave 1.2e-9; the six octaves that hold 98 % of the draws are 12 KB
_FIRST_SCORE = np.int64((1023 - 54) << 6)
_LOCAL_SCORE = np.int64((1 << 46) - 1)
_LOCAL_SCORE_WIDTH = 2.0**-46
_TAIL_CELLS_PER_UNIT = 32.0
_TAIL_END = 9.0  # beyond it the tail is below 2^-54 for the normal and for Student t of any df >= 1/2
_NODES = np.arange(6 * SPLIT + 1) / (6 * SPLIT)  # six steps a cell: nodes at every second, checks between them
_WINDOWS = 6 * np.arange(SPLIT)[:, None] + np.arange(7)


class Table(NamedTuple):
    """Tabulated inverse CDFs of l laws, of which law i begins at cell `first_cell[i]`.

    coefficients  (cells, 4)  x = c0 + c1 s + c2 s^2 + c3 s^3
    child         (cells,)    int32, first of the 16 cells inside this one, counted from the law's first cell; -1 where there are none,
                              and UNSPLIT at the first cell of a law without any
    support_low, support_high (l,)  bounds of x, may be infinite; x itself never is
    first_cell    (l,)        int64
    """

    coefficients: np.ndarray
    child: np.ndarray
    support_low: np.ndarray
    support_high: np.ndarray
    first_cell: np.ndarray


def pack(tables: Sequence[Table]) -> Table:
    """Lay tables one after another; law numbers run on."""
    starts = np.cumsum([0] + [len(table.child) for table in tables])
    return Table(
        coefficients=np.concatenate([np.empty((0, 4))] + [table.coefficients for table in tables]),
        child=np.concatenate([np.empty(0, np.int32)] + [table.child for table in tables]),
        support_low=np.concatenate([np.empty(0)] + [table.support_low for table in tables]),
        support_high=np.concatenate([np.empty(0)] + [table.support_high for table in tables]),
        first_cell=np.concatenate(
            [np.empty(0, np.int64)] + [table.first_cell + start for table, start in zip(tables, starts, strict=False)]
        ),
    )


@inlined
def evaluate(coefficients, child, support_low, support_high, first_cell, t):
    """Return x = F^-1(u) of the law whose table begins at `first_cell`.

    t   folded uniform, not NaN; |t| is brought into [2^-54, 1/2)
    x   inside [support_low, support_high], finite; non-decreasing in u up to 2^-50 |x|, beside an atom 2^-43 |x|

    One or two cache lines for smooth laws, two for each further depth; see `build` for the accuracy.
    """
    bits = np.float64(t).view(np.int64)
    magnitude = min(max(bits & _MAGNITUDE, _SMALLEST_BITS), _LARGEST_BITS)
    cell = first_cell + (magnitude >> 48) - _FIRST
    if bits < 0:
        cell += CELLS
    s = (magnitude & _LOCAL) * _LOCAL_WIDTH
    inner = child[cell]
    while inner >= 0:
        s *= SPLIT
        step = np.int64(s)
        s -= step
        cell = first_cell + inner + step
        inner = child[cell]
    c = coefficients[cell]
    x = ((c[3] * s + c[2]) * s + c[1]) * s + c[0]
    return min(max(x, support_low), support_high)


@borrowing
def evaluate_many(coefficients, child, support_low, support_high, first_cell, t, out):
    """Write F^-1(u) of one law, the same bits as `evaluate`; d = draws.

    support_low, support_high, first_cell  of that law, scalars
    t    (d,)  folded uniforms
    out  (d,)  x, written in place; it may not be t

    Cells and local coordinates first, which vectorises, then the cubics: 0.85 ns a draw, where one loop takes 3.0; 0.5 more where some
    cells of the law are split.
    """
    n = t.shape[0]
    cells = scratch(np.uint64, n)
    outermost = first_cell - _FIRST
    for i in range(n):
        bits = np.float64(t[i]).view(np.int64)
        magnitude = min(max(bits & _MAGNITUDE, _SMALLEST_BITS), _LARGEST_BITS)
        cells[i] = np.uint64(outermost + (magnitude >> 48) + (CELLS if bits < 0 else 0))
        out[i] = np.float64(magnitude & _LOCAL) * _LOCAL_WIDTH
    if child[first_cell] != UNSPLIT:
        for i in range(n):
            inner = child[cells[i]]
            while inner >= 0:
                s = out[i] * SPLIT
                step = np.int64(s)
                out[i] = s - step
                cells[i] = np.uint64(first_cell + inner + step)
                inner = child[cells[i]]
    cubics(coefficients, cells, out)
    for i in range(n):
        out[i] = min(max(out[i], support_low), support_high)


def build(
    ppf: Callable[[np.ndarray], np.ndarray],
    isf: Callable[[np.ndarray], np.ndarray],
    support_low: float,
    support_high: float,
    atoms: Sequence[float] | np.ndarray = (),
) -> Table:
    """Tabulate one law from its exact quantiles.

    ppf, isf   quantile of a lower and of an upper tail probability, vectorised; both see only 2^-54 ... 1/2
    atoms      values that have a probability of their own; they stay exact to the bit, and each needs a split on every depth

    A cell is the cubic through four exact quantiles, or a straight line, or a constant where the law has one value. It is split while
    its error at three points between exceeds TOLERANCE of the tail probability and the rounding of x, or while the cubic falls anywhere.
    A cell of the last depth, 6e-8 of its tail wide, is the constant in its middle: a jump is never bridged.
    Where the quantiles themselves are uncertain nothing is gained by a split: not beyond the octave of `_noise_begins`, and not where
    half of the cells in a cell are wrong again. From the point where ppf or isf ceases to be finite, the last finite value holds; where
    they fall, the value nearer the median holds.

    Smooth laws need no split: the error of the cubic at u, relative to u, is |f''''| h^4 / (1944 f' u) with h = u / 16: 5e-8 for the
    normal, 2e-7 for a Cauchy, 5e-7 for a tail of index 1/2. Entries other than atoms keep BITS significant bits (more where the law
    is narrow for its place), so that a last digit of libm seldom reaches them: of entries that differ by one ulp about one in 250 rounds
    apart. Neighbouring cells share their rounded ends, so that rounding makes no steps.
    """
    median, spread = _place_and_spread(ppf, isf)
    bits = min(BITS + max(0, int(np.frexp(abs(median) / spread)[1])), 53) if spread > 0 else 53
    rounding = 2.0 ** (1 - bits)

    def quantile(side, tail):
        """The upper side is mirrored, so that x rises with the tail probability on both."""
        y = np.empty_like(tail)
        y[side == 0] = ppf(tail[side == 0])
        y[side == 1] = -isf(tail[side == 1])
        return y

    exact = np.concatenate([atoms, np.negative(atoms)])
    n_jumps = len(atoms)
    noise = np.zeros(2) if n_jumps else _noise_begins(quantile, bits, rounding)
    side = np.repeat([0, 1], OCTAVES)
    low = np.tile(np.ldexp(1.0, np.arange(-54, -1)), 2)
    width = low / SPLIT
    coefficients, child, cells = [], [], 0
    for depth in range(DEPTH + 1):
        # (parents, 97) quantiles; rows of depth 0 are octaves and join
        tail = low[:, None] + (width * SPLIT)[:, None] * _NODES
        y = quantile(side, tail)
        if depth == 0:
            floor = np.repeat([_last_finite(y[:OCTAVES]), _last_finite(y[OCTAVES:])], OCTAVES)
            ceiling = np.full(2 * OCTAVES, np.inf)
        y = np.clip(np.where(np.isfinite(y), y, floor[:, None]), floor[:, None], ceiling[:, None])
        rows = (2, -1) if depth == 0 else (len(y), -1)
        y = np.minimum.accumulate(y.reshape(rows)[:, ::-1], axis=1)[:, ::-1].reshape(y.shape)

        y = y[:, _WINDOWS].reshape(-1, 7)
        side = np.repeat(side, SPLIT)
        low = (low[:, None] + width[:, None] * np.arange(SPLIT)).ravel()
        width = np.repeat(width, SPLIT)
        rounded = _round_to(y, bits) if n_jumps == 0 else np.where(np.isin(y, exact), y, _round_to(y, bits))
        c, error = _fit(y, rounded, low / width, rounding)
        inner = np.full(len(c), -1, np.int32)
        wrong = np.flatnonzero(error > 0)
        if depth == DEPTH:
            c[wrong] = rounded[wrong, 3:4] * [1.0, 0.0, 0.0, 0.0]
        else:
            vain = np.bincount(wrong // SPLIT, minlength=len(c) // SPLIT) >= SPLIT // 2 if depth and not n_jumps else np.zeros(len(c), bool)
            wrong = wrong[(low[wrong] >= 2.0 * noise[side[wrong]]) & ~vain[wrong // SPLIT]]
            if len(wrong) > SPLITS + 2 * n_jumps:
                order = np.argsort(-(error * width)[wrong], kind="stable")
                left = wrong[order[SPLITS + 2 * n_jumps :]]
                if n_jumps:
                    c[left] = rounded[left, 3:4] * [1.0, 0.0, 0.0, 0.0]
                wrong = np.sort(wrong[order[: SPLITS + 2 * n_jumps]])
            inner[wrong] = cells + len(c) + SPLIT * np.arange(len(wrong))
        c[side == 1] *= -1.0
        coefficients.append(c)
        child.append(inner)
        cells += len(c)
        if depth == DEPTH or len(wrong) == 0:
            break
        side, low, width = side[wrong], low[wrong], width[wrong] / SPLIT
        floor, ceiling = y[wrong, 0], y[wrong, 6]
    if len(child) == 1:
        child[0][0] = UNSPLIT
    return Table(
        coefficients=np.concatenate(coefficients) + 0.0,
        child=np.concatenate(child),
        support_low=np.array([support_low], dtype=np.float64),
        support_high=np.array([support_high], dtype=np.float64),
        first_cell=np.zeros(1, np.int64),
    )


def _noise_begins(quantile, bits, rounding):
    """Return for each side the octave from which outward the quantiles are too uncertain to fit, 0 where there is none.

    It is the one where two windows of 2^-12 of an octave, in which any law without jumps is a cubic, both miss TOLERANCE. So it is with
    a cdf that is a difference of two numbers near 1.
    """
    low = np.ldexp(1.0, np.arange(-54, -1))
    start = (low[:, None] * [1.37, 1.71]).ravel()
    width = np.repeat(low, 2) * 2.0**-12
    begins = []
    for side in range(2):
        y = quantile(np.full(len(start), side), start[:, None] + width[:, None] * np.arange(7) / 6.0)
        y = np.minimum.accumulate(np.where(np.isfinite(y), y, 0.0)[:, ::-1], axis=1)[:, ::-1]
        _, error = _fit(y, _round_to(y, bits), start / width, rounding)
        noisy = np.flatnonzero((error > 0).reshape(-1, 2).all(axis=1))
        begins.append(low[noisy[-1]] if len(noisy) else 0.0)
    return np.array(begins)


def _place_and_spread(ppf, isf) -> tuple[float, float]:
    """Return the median and the distance of the quartiles; a spread of 0 stands for a law of one value."""
    quartiles = np.array([ppf(np.array([0.25]))[0], ppf(np.array([0.5]))[0], isf(np.array([0.25]))[0]])
    if not np.isfinite(quartiles).all():
        return 0.0, 1.0
    return float(quartiles[1]), float(quartiles[2] - quartiles[0])


def _last_finite(y) -> float:
    """Return the outermost y before the first that is not finite, counted from the median; y (octaves, nodes) by rising tail."""
    flat = y.ravel()
    broken = np.flatnonzero(~np.isfinite(flat))
    return float(flat[min(broken[-1] + 1, len(flat) - 1)]) if len(broken) else -np.inf


def _round_to(x, bits):
    """Round to `bits` significant binary digits; non-decreasing, 0 stays."""
    if bits >= 53:
        return x
    mantissa, exponent = np.frexp(x)
    return np.ldexp(np.rint(np.ldexp(mantissa, bits)), exponent - bits)


def _cubic(f0, f1, f2, f3):
    """Return (c, 4) coefficients of the cubics through f at 0, 1/3, 2/3, 1, with c0 = f0 and c0 + c1 + c2 + c3 = f3."""
    second = (f2 - f1) - (f1 - f0)
    third = ((f3 - f2) - (f2 - f1)) - second
    c3 = 4.5 * third
    c2 = 4.5 * (second - third)
    return np.stack([f0, (f3 - f0) - c2 - c3, c2, c3], axis=-1)


def _fit(y, rounded, start, rounding):
    """Fit each cell; c = cells.

    y, rounded  (c, 7)  exact quantiles at s = 0, 1/6 ... 1, non-decreasing, and what may stand in the table
    start       (c,)    tail probability where the cell begins, in widths of the cell
    rounding            of x, relative
    returns (c, 4) coefficients and (c,) the error in widths of the cell: 0 where the fit is good enough, else positive
    """
    line = np.zeros((len(y), 4))
    line[:, 0] = rounded[:, 0]
    line[:, 1] = rounded[:, 6] - rounded[:, 0]
    cubic = _cubic(*rounded[:, ::2].T)
    c1, c2, c3 = cubic[:, 1], cubic[:, 2], cubic[:, 3]
    with np.errstate(divide="ignore", invalid="ignore"):
        vertex = -c2 / (3.0 * c3)
        dip = np.where((c3 > 0) & (vertex > 0) & (vertex < 1), c1 + c2 * vertex, 0.0)
    rises = (c1 >= 0) & (c1 + 2.0 * c2 + 3.0 * c3 >= 0) & (dip >= 0)

    s = np.arange(1, 6) / 6.0
    exact = y[:, 1:6]
    step = y[:, 2:] - y[:, :-2]  # over a third of the cell
    allowed = TOLERANCE * (start[:, None] + s)

    def errors(c):
        x = ((c[:, 3:4] * s + c[:, 2:3]) * s + c[:, 1:2]) * s + c[:, 0:1]
        off = np.abs(x - exact)
        off[off <= rounding * np.maximum(np.abs(exact), 2.0**-1000)] = 0.0
        with np.errstate(divide="ignore", invalid="ignore"):
            in_tail = np.where(off == 0, 0.0, off / (3.0 * step))
        return np.where(in_tail <= allowed, 0.0, np.minimum(in_tail, 1.0)).max(axis=1)

    of_cubic = np.where(rises, errors(cubic), 1.0)
    of_line = np.where(of_cubic > 0, errors(line), 1.0)
    c = np.where((of_cubic == 0)[:, None], cubic, line)
    constant = y[:, 0] == y[:, 6]
    c[constant] = rounded[constant, :1] * [1.0, 0.0, 0.0, 0.0]
    return c, np.where(constant, 0.0, np.minimum(of_cubic, of_line))


@cache
def normal_score_table() -> np.ndarray:
    """Return (53 * 64, 4) cubics of the lower normal quantile, 64 cells an octave of |t|; see `normal_score`."""
    octave = np.repeat(np.ldexp(1.0, np.arange(-54, -1)), _SCORE_CELLS)
    start = octave * np.tile(1.0 + np.arange(_SCORE_CELLS) / _SCORE_CELLS, OCTAVES)
    width = octave / _SCORE_CELLS
    z = _round_to(special.ndtri(start[:, None] + width[:, None] * np.array([0.0, 1.0, 2.0, 3.0]) / 3.0), 48)
    z[-1, 3] = 0.0
    return _cubic(*z.T)


@inlined
def normal_score(score_table, t):
    """Return z = Phi^-1(u) of a folded uniform: |error| <= 1e-9, antisymmetric in t, within +-8.3.

    score_table  from `normal_score_table()`
    """
    bits = np.float64(t).view(np.int64)
    magnitude = min(max(bits & _MAGNITUDE, _SMALLEST_BITS), _LARGEST_BITS)
    c = score_table[(magnitude >> 46) - _FIRST_SCORE]
    s = (magnitude & _LOCAL_SCORE) * _LOCAL_SCORE_WIDTH
    z = ((c[3] * s + c[2]) * s + c[1]) * s + c[0]
    return -z if bits < 0 else z


@borrowing
def normal_scores(score_table, t, out):
    """Write the normal scores of folded uniforms `t` (d,) to `out` (d,), the same bits as `normal_score`; `out` may not be t.

    0.8 ns a draw, where one loop takes 2.5.
    """
    n = t.shape[0]
    cells = scratch(np.uint64, n)
    for i in range(n):
        magnitude = min(max(np.float64(t[i]).view(np.int64) & _MAGNITUDE, _SMALLEST_BITS), _LARGEST_BITS)
        cells[i] = np.uint64((magnitude >> 46) - _FIRST_SCORE)
        out[i] = np.float64(magnitude & _LOCAL_SCORE) * _LOCAL_SCORE_WIDTH
    cubics(score_table, cells, out)
    for i in range(n):
        out[i] = -out[i] if t[i] < 0.0 else out[i]


def _tail_table(log_tail: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """Return cubics of a log tail probability in cells of 1/32 of its argument w, 0 <= w < 9."""
    start = np.arange(int(_TAIL_END * _TAIL_CELLS_PER_UNIT)) / _TAIL_CELLS_PER_UNIT
    w = start[:, None] + np.array([0.0, 1.0, 2.0, 3.0]) / (3.0 * _TAIL_CELLS_PER_UNIT)
    return _cubic(*_round_to(log_tail(w), 48).T)


@cache
def normal_tail_table() -> np.ndarray:
    """Return (288, 4) cubics of log Phi(-w); see `normal_tail`."""
    return _tail_table(lambda w: special.log_ndtr(-w))


@cache
def t_tail_table(df: float) -> np.ndarray:
    """Return (288, 4) cubics of the log tail probability of Student t in w = sqrt(df log1p(x^2 / df)); see `t_tail`.

    df  degrees of freedom, 1 to 1e6
    """
    return _tail_table(lambda w: libm.log(special.stdtr(df, -np.sqrt(df * special.expm1(w * w / df)))))


@inlined
def _tail(tail_table, w):
    """Return the tail probability at w >= 0, from 2^-54 to 1/2."""
    w = min(w, _TAIL_END - 1e-9) * _TAIL_CELLS_PER_UNIT
    cell = np.int64(w)
    s = w - cell
    c = tail_table[cell]
    return min(max(exp(((c[3] * s + c[2]) * s + c[1]) * s + c[0]), SMALLEST_TAIL), 0.5)


@borrowing
def _tails(tail_table, w, out):
    """Write `_tail` of every w >= 0 (d,) to out (d,), which may not be w."""
    n = w.shape[0]
    cells = scratch(np.uint64, n)
    for i in range(n):
        v = min(w[i], _TAIL_END - 1e-9) * _TAIL_CELLS_PER_UNIT
        cell = np.int64(v)
        cells[i] = np.uint64(cell)
        out[i] = v - cell
    cubics(tail_table, cells, out)
    for i in range(n):
        out[i] = min(max(exp(out[i]), SMALLEST_TAIL), 0.5)


@inlined
def normal_tail(tail_table, z):
    """Return the folded uniform of a normal score: relative error of the tail <= 1e-9 to |z| = 8.29, 2^-54 beyond.

    tail_table  from `normal_tail_table()`
    """
    tail = _tail(tail_table, abs(z))
    return -tail if z > 0 else tail


@borrowing
def normal_tails(tail_table, z, out):
    """Write the folded uniforms of normal scores `z` (d,) to `out` (d,), the same bits as `normal_tail`; `out` may not be z."""
    n = z.shape[0]
    w = scratch(np.float64, n)
    for i in range(n):
        w[i] = abs(z[i])
    _tails(tail_table, w, out)
    for i in range(n):
        out[i] = -out[i] if z[i] > 0.0 else out[i]


@inlined
def _score_of_t(df, x):
    """Return sqrt(df log(1 + x^2 / df))."""
    x = min(max(x, -1e150), 1e150)
    y = x * x / df
    one = 1.0 + y
    if one > 1.0:
        y *= log(one) / (one - 1.0)  # log1p; the quotient undoes the rounding of 1 + y
    return np.sqrt(df * y)


@inlined
def t_tail(tail_table, df, x):
    """Return the folded uniform of a Student t score: relative error of the tail <= 1e-9 for df of 1 to 1e6, 2^-54 beyond.

    w = sqrt(df log(1 + x^2 / df)) is close to the normal score of x for every df, so one table of 9 KB covers any x

    tail_table, df  from `t_tail_table(df)`
    """
    tail = _tail(tail_table, _score_of_t(df, x))
    return -tail if x > 0 else tail


@borrowing
def t_tails(tail_table, df, x, out):
    """Write the folded uniforms of Student t scores `x` (d,) to `out` (d,), the same bits as `t_tail`; `out` may not be x."""
    n = x.shape[0]
    w = scratch(np.float64, n)
    for i in range(n):
        w[i] = _score_of_t(df, x[i])
    _tails(tail_table, w, out)
    for i in range(n):
        out[i] = -out[i] if x[i] > 0.0 else out[i]
