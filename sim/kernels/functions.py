"""One block of any function: its arguments drawn, its outputs summarised; what lies between them is the caller's.

Letters: x = inputs, S = outputs, d = draws of one block.
"""

from __future__ import annotations

from collections.abc import Callable

import numba
import numpy as np

from .inputs import Inputs, Scores, Source, draw_inputs, largest_component
from .jit import kernel
from .scratch import LANE, PADDING
from .summaries import Layout, State, lane_sums, update

LOOP = numba.types.void(numba.float64[:, ::1], numba.float64[:, ::1], numba.int64)
"""Signature of a compiled function's loop: arguments (x, at least d), outputs (S, at least d) in place, d."""


@kernel
def draw_arguments(inputs: Inputs, tables: Scores, source: Source, first: int, x: np.ndarray) -> None:
    """Write every input of points first .. first + d - 1 to x (x, d), lane by lane.

    A lane is drawn in scratch and copied, so that the block's rows are whole arrays for the function and the scratch of a component
    stays in a first-level cache.
    """
    n_draws = x.shape[1]
    lane_size = min(LANE, n_draws)
    lane = np.empty((x.shape[0], lane_size + PADDING))
    score = np.empty((largest_component(inputs), lane_size + PADDING))
    for start in range(0, n_draws, lane_size):
        n = min(lane_size, n_draws - start)
        draw_inputs(inputs, tables, source, first + start, n, score, lane)
        for p in range(x.shape[0]):
            for i in range(n):
                x[p, start + i] = lane[p, i]


@kernel
def summarise_outputs(outputs: np.ndarray, layout: Layout, state: State, sums: np.ndarray) -> None:
    """Add every output of one block to its summary.

    outputs (S, d)       NaN is counted apart
    sums (S, lanes, 2)   sums of v - centre and of its square, written
    """
    lane_size = min(LANE, outputs.shape[1])
    for s in range(outputs.shape[0]):
        for lane in range(sums.shape[1]):
            draws = outputs[s, lane * lane_size : (lane + 1) * lane_size]
            update(layout, state, s, draws)
            sums[s, lane, 0], sums[s, lane, 1] = lane_sums(draws, layout.centre[s])


@kernel
def whole_block(
    loop: Callable[[np.ndarray, np.ndarray, int], None],
    inputs: Inputs,
    tables: Scores,
    source: Source,
    first: int,
    n_draws: int,
    layout: Layout,
    state: State,
    sums: np.ndarray,
) -> None:
    """Draw the arguments of points first .. first + d - 1, call `loop` and summarise its outputs, lane by lane.

    loop                 of the signature LOOP; see `whole_block_of`
    n_draws              d, a power of two, or a multiple of LANE
    sums (S, lanes, 2)   as `summarise_outputs`

    The numbers are those of `draw_arguments` and `summarise_outputs`, but nothing of a lane leaves the second-level cache: ten arguments
    and eight outputs in 19 ns a draw, where whole blocks take 27.
    """
    lane_size = min(LANE, n_draws)
    x = np.empty((inputs.slot.size, lane_size + PADDING))
    outputs = np.empty((sums.shape[0], lane_size + PADDING))
    score = np.empty((largest_component(inputs), lane_size + PADDING))
    for lane in range(sums.shape[1]):
        draw_inputs(inputs, tables, source, first + lane * lane_size, lane_size, score, x)
        loop(x, outputs, lane_size)
        for s in range(sums.shape[0]):
            draws = outputs[s, :lane_size]
            update(layout, state, s, draws)
            sums[s, lane, 0], sums[s, lane, 1] = lane_sums(draws, layout.centre[s])


def whole_block_of(
    inputs: Inputs, tables: Scores, source: Source, first: int, n_draws: int, layout: Layout, state: State, sums: np.ndarray
) -> Callable[..., None]:
    """Return `whole_block` as machine code for arguments of these types, and any loop that was compiled with the signature `LOOP`.

    The loop comes as a pointer, so that `whole_block` is compiled once for all functions and kept: two seconds for each otherwise.
    """
    if not hasattr(whole_block, "compile"):  # Numba's JIT is off
        return whole_block
    arguments = (inputs, tables, source, first, n_draws, layout, state, sums)
    arrays = (*inputs, *tables, *source, *layout, *state, sums)
    key = tuple((a.dtype.char, a.ndim, a.flags.c_contiguous) for a in arrays if isinstance(a, np.ndarray))
    if key not in _MACHINE_CODE:
        signature = numba.types.void(numba.types.FunctionType(LOOP), *map(numba.typeof, arguments))
        _MACHINE_CODE[key] = whole_block.compile(signature)
    return _MACHINE_CODE[key]


_MACHINE_CODE: dict[tuple[tuple[str, int, bool], ...], Callable[..., None]] = {}  # Numba takes a millisecond to tell the same types again
