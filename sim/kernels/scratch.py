"""Lanes: at most 1,024 draws at a time, and room for them on the stack.

What a kernel needs between its arguments and its results lives as long as the call. Numba takes it from the heap, 80 ns an array, and
counts references to it; here it is a row of the function's frame, which costs nothing.
"""

from __future__ import annotations

import numpy as np
from llvmlite import ir
from numba import config, types
from numba.extending import intrinsic
from numba.np.arrayobj import make_array, populate_array

LANE = 1024
PADDING = 8  # draws between the rows of lane arrays: rows at a multiple of 4 KB share their lines of the first-level cache
_MOST = LANE + PADDING


def scratch(kind, n):
    """Return an array (n,) of any content, which lives until the function returns; n <= LANE."""
    return np.empty(n, kind)


def scratches(count, n):
    """Return `count` arrays (n,) of float64 as `scratch` does, a constant number of them."""
    return tuple(np.empty(n) for _ in range(count))


def _on_stack(context, builder, kind, n):
    """A row of the frame as an array without an owner; allocated on entry, or a loop would take a new one each time."""
    made = make_array(kind)(context, builder)
    element = context.get_data_type(kind.dtype)
    with builder.goto_entry_block():
        row = builder.alloca(ir.ArrayType(element, _MOST))
        row.align = 64
    size = context.get_constant(types.intp, context.get_abi_sizeof(element))
    populate_array(made, builder.bitcast(row, element.as_pointer()), [n], [size], size, None)
    return made._getvalue()


def _too_long(context, builder, n):
    with builder.if_then(builder.icmp_unsigned(">", n, ir.Constant(n.type, LANE)), likely=False):
        context.call_conv.return_user_exc(builder, ValueError, ("a lane holds 1,024 draws",))


@intrinsic
def _scratch(typing_context, kind, n):
    made = types.Array(kind.dtype, 1, "C")

    def generate(context, builder, signature, arguments):
        _too_long(context, builder, arguments[1])
        return _on_stack(context, builder, made, arguments[1])

    return made(kind, types.intp), generate


@intrinsic(prefer_literal=True)
def _scratches(typing_context, count, n):
    made = types.Array(types.float64, 1, "C")

    def generate(context, builder, signature, arguments):
        _too_long(context, builder, arguments[1])
        rows = [_on_stack(context, builder, made, arguments[1]) for _ in range(count.literal_value)]
        return context.make_tuple(builder, signature.return_type, rows)

    return types.UniTuple(made, count.literal_value)(count, types.intp), generate


if not config.DISABLE_JIT:
    scratch, scratches = _scratch, _scratches
