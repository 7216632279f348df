"""Cubics out of a table, a lane of draws at a time.

LLVM leaves a loop of look-ups scalar, because it cannot rule out that a store hits the table, and then four loads of coefficients a draw
are what it waits for. Here eight rows are loaded whole and transposed in registers: 0.6 ns a draw instead of 1.0 to 1.7.
"""

from __future__ import annotations

import numpy as np
from llvmlite import ir
from numba import config, types
from numba.extending import intrinsic

from .jit import borrowing, inlined

SCORE_LIMIT = 8.5  # where tables over normal scores end; scores beyond do not occur: a 53-bit uniform ends at |z| = 8.29
_ROWS = 8  # a register of AVX-512; elsewhere LLVM takes two or four
_FIRST_HALVES = [[k, k + 8, k + 2, k + 10, k + 4, k + 12, k + 6, k + 14] for k in (0, 1)]  # columns k and k + 2 of rows a and b
_PAIRS = [[0, 1, 8, 9, 4, 5, 12, 13], [2, 3, 10, 11, 6, 7, 14, 15]]  # column k, and column k + 2, of rows a, b, c, d


def _eight(table, cells, i, s):
    """Replace s[i : i + 8] by the values of the cubics table[cells[i : i + 8]] there."""
    for k in range(i, i + _ROWS):
        c = table[cells[k]]
        s[k] = ((c[3] * s[k] + c[2]) * s[k] + c[1]) * s[k] + c[0]


def _eight_in_registers(typing_context, table, cells, i, s):
    """Do what `_eight` does. Rows 0 to 3 stand in the lower half of a register each, rows 4 to 7 in the upper."""
    if any(array.layout != "C" for array in (table, cells, s)):
        return None
    signature = types.void(table, cells, types.uint64, s)

    def generate(context, builder, signature, arguments):
        table, cells, s = (
            context.make_array(kind)(context, builder, argument).data
            for kind, argument in zip(signature.args, arguments, strict=True)
            if isinstance(kind, types.Array)
        )
        first = arguments[2]
        integer, number = ir.IntType(64), ir.DoubleType()
        row, register = ir.VectorType(number, 4), ir.VectorType(number, _ROWS)

        def shuffled(a, b, order):
            return builder.shuffle_vector(a, b, ir.Constant(ir.VectorType(ir.IntType(32), len(order)), order))

        def row_of(k):
            cell = builder.load(builder.gep(cells, [builder.add(first, ir.Constant(integer, k))]))
            at = builder.gep(table, [builder.mul(cell, ir.Constant(integer, 4))])
            return builder.load(builder.bitcast(at, row.as_pointer()), align=8)

        a, b, c, d = (shuffled(row_of(k), row_of(k + 4), list(range(8))) for k in range(4))
        (c0, c2), (c1, c3) = (
            [shuffled(shuffled(a, b, halves), shuffled(c, d, halves), pairs) for pairs in _PAIRS] for halves in _FIRST_HALVES
        )
        here = builder.bitcast(builder.gep(s, [first]), register.as_pointer())
        x = builder.load(here, align=8)
        value = c3
        for coefficient in (c2, c1, c0):
            value = builder.fadd(builder.fmul(value, x), coefficient)
        builder.store(value, here, align=8)
        return context.get_dummy_value()

    return signature, generate


if not config.DISABLE_JIT:
    _eight = intrinsic(_eight_in_registers)


@borrowing
def cubics(table, cells, s):
    """Replace s (d,) by ((c3 s + c2) s + c1) s + c0 with c = table[cells]; no fused multiply-add, so that every machine gives these bits.

    table  (cells, 4);  cells (d,) uint64, not checked
    """
    n = s.shape[0]
    whole = n - n % _ROWS
    for i in range(0, whole, _ROWS):
        _eight(table, cells, np.uint64(i), s)
    for i in range(whole, n):
        c = table[cells[i]]
        s[i] = ((c[3] * s[i] + c[2]) * s[i] + c[1]) * s[i] + c[0]


@borrowing
def cubic_cells(nodes, cells):
    """Write the cubic through nodes j - 1 .. j + 2 to cells[j], j = 1 .. k - 3, by its place between nodes j and j + 1: (k,), (k, 4)."""
    for j in range(1, nodes.size - 2):
        a, b, c, d = nodes[j - 1], nodes[j], nodes[j + 1], nodes[j + 2]
        cells[j, 0] = b
        cells[j, 1] = c - a * (1.0 / 3.0) - b * 0.5 - d * (1.0 / 6.0)
        cells[j, 2] = 0.5 * (a + c) - b
        cells[j, 3] = (d - a) * (1.0 / 6.0) + 0.5 * (b - c)


# --- over normal scores ----------------------------------------------------------------------------------------------------------


def score_grid(n: int) -> np.ndarray:
    """Return `n` normal scores, evenly from -8.5 to 8.5."""
    return np.linspace(-SCORE_LIMIT, SCORE_LIMIT, n)


@inlined
def score_cell(z, n):
    """Return (cell, place in it) of score z in `score_grid(n)`: the node below z of which there is one more below and two above."""
    x = (min(max(z, -SCORE_LIMIT), SCORE_LIMIT) + SCORE_LIMIT) * ((n - 1.0) / (2.0 * SCORE_LIMIT))
    cell = min(max(np.int64(x), 1), n - 3)
    return cell, x - cell


# --- in two coordinates, from the nodes themselves -------------------------------------------------------------------------------


@inlined
def cubic_weights(x):
    """Return the four weights of the cubic through nodes -1, 0, 1, 2 at x in [0, 1)."""
    a = x + 1.0
    b = x - 1.0
    c = x - 2.0
    return -x * b * c * (1.0 / 6.0), a * b * c * 0.5, -a * x * c * 0.5, a * x * b * (1.0 / 6.0)


@inlined
def patch(nodes, first, stride, x, y):
    """Return the cubic in x and y through the 4 x 4 entries nodes[first + r stride + c]; rows by x, columns by y."""
    a0, a1, a2, a3 = cubic_weights(x)
    b0, b1, b2, b3 = cubic_weights(y)
    k0 = np.uint64(first)  # unsigned, or every index is tested for being negative
    k1 = k0 + np.uint64(stride)
    k2 = k1 + np.uint64(stride)
    k3 = k2 + np.uint64(stride)
    one, two, three = np.uint64(1), np.uint64(2), np.uint64(3)
    c0 = a0 * nodes[k0] + a1 * nodes[k1] + a2 * nodes[k2] + a3 * nodes[k3]
    c1 = a0 * nodes[k0 + one] + a1 * nodes[k1 + one] + a2 * nodes[k2 + one] + a3 * nodes[k3 + one]
    c2 = a0 * nodes[k0 + two] + a1 * nodes[k1 + two] + a2 * nodes[k2 + two] + a3 * nodes[k3 + two]
    c3 = a0 * nodes[k0 + three] + a1 * nodes[k1 + three] + a2 * nodes[k2 + three] + a3 * nodes[k3 + three]
    return b0 * c0 + b1 * c1 + b2 * c2 + b3 * c3


def _eight_patches(nodes, firsts, stride, i, x, y):
    """Replace y[i : i + 8] by the values of the patches at firsts[i : i + 8] there."""
    for k in range(i, i + _ROWS):
        y[k] = patch(nodes, firsts[k], stride, x[k], y[k])


def _eight_patches_in_registers(typing_context, nodes, firsts, stride, i, x, y):
    """Do what `_eight_patches` does, operation by operation: the four rows of eight patches one after another, each transposed."""
    if any(array.layout != "C" for array in (nodes, firsts, x, y)):
        return None
    signature = types.void(nodes, firsts, types.uint64, types.uint64, x, y)

    def generate(context, builder, signature, arguments):
        nodes, firsts, x, y = (
            context.make_array(kind)(context, builder, argument).data
            for kind, argument in zip(signature.args, arguments, strict=True)
            if isinstance(kind, types.Array)
        )
        stride, start = arguments[2:4]
        integer, number = ir.IntType(64), ir.DoubleType()
        row, register = ir.VectorType(number, 4), ir.VectorType(number, _ROWS)

        def shuffled(a, b, order):
            return builder.shuffle_vector(a, b, ir.Constant(ir.VectorType(ir.IntType(32), len(order)), order))

        def all_of(value):
            return ir.Constant(register, [value] * _ROWS)

        def product(*factors):
            total = factors[0]
            for factor in factors[1:]:
                total = builder.fmul(total, factor)
            return total

        def weights(v):
            a, b, c = builder.fadd(v, all_of(1.0)), builder.fsub(v, all_of(1.0)), builder.fsub(v, all_of(2.0))
            sixth, half = all_of(1.0 / 6.0), all_of(0.5)
            return (
                product(builder.fneg(v), b, c, sixth),
                product(a, b, c, half),
                product(builder.fneg(a), v, c, half),
                product(a, v, b, sixth),
            )

        def weighted(w, values):
            total = builder.fmul(w[0], values[0])
            for one, value in zip(w[1:], values[1:], strict=True):
                total = builder.fadd(total, builder.fmul(one, value))
            return total

        def loaded(array):
            return builder.load(builder.bitcast(builder.gep(array, [start]), register.as_pointer()), align=8)

        at = [builder.load(builder.gep(firsts, [builder.add(start, ir.Constant(integer, k))])) for k in range(_ROWS)]
        rows = []
        for _ in range(4):
            lines = [builder.load(builder.bitcast(builder.gep(nodes, [k]), row.as_pointer()), align=8) for k in at]
            a, b, c, d = (shuffled(lines[k], lines[k + 4], list(range(8))) for k in range(4))
            (c0, c2), (c1, c3) = (
                [shuffled(shuffled(a, b, halves), shuffled(c, d, halves), pairs) for pairs in _PAIRS] for halves in _FIRST_HALVES
            )
            rows.append((c0, c1, c2, c3))
            at = [builder.add(k, stride) for k in at]
        across = weights(loaded(x))
        columns = [weighted(across, [rows[r][c] for r in range(4)]) for c in range(4)]
        builder.store(weighted(weights(loaded(y)), columns), builder.bitcast(builder.gep(y, [start]), register.as_pointer()), align=8)
        return context.get_dummy_value()

    return signature, generate


if not config.DISABLE_JIT:
    _eight_patches = intrinsic(_eight_patches_in_registers)


@borrowing
def patches(nodes, firsts, stride, x, y):
    """Replace y (d,) by `patch(nodes, firsts, stride, x, y)`: the same bits, at a quarter of the time.

    nodes (k,);  firsts (d,) uint64, not checked;  x, y (d,) in [0, 1), or beyond in the outermost cells
    """
    n = y.shape[0]
    whole = n - n % _ROWS
    for i in range(0, whole, _ROWS):
        _eight_patches(nodes, firsts, np.uint64(stride), np.uint64(i), x, y)
    for i in range(whole, n):
        y[i] = patch(nodes, firsts[i], stride, x[i], y[i])
