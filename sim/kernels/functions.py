"""One block of any function: its arguments drawn, its outputs summarised; what lies between them is the caller's.

Letters: x = inputs, S = outputs, d = draws of one block.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from .border import LANE, Inputs, Source, draw_inputs
from .jit import kernel
from .summaries import Layout, State, lane_sums, update


class Scores(NamedTuple):
    """The tables that `draw_inputs` reads: normal scores and the normal tail, of quantiles.py."""

    score: np.ndarray
    tail: np.ndarray


@kernel
def draw_arguments(inputs: Inputs, tables: Scores, source: Source, first: int, x: np.ndarray) -> None:
    """Write every input of points first .. first + d - 1 to x (x, d), lane by lane.

    A lane is drawn in scratch and copied, so that the block's rows are whole arrays for the function and the scratch of a component
    stays in a first-level cache.
    """
    n_draws = x.shape[1]
    largest = 1
    for k in range(inputs.df.size):
        largest = max(largest, inputs.member_start[k + 1] - inputs.member_start[k])
    lane_size = min(LANE, n_draws)
    lane = np.empty((x.shape[0], lane_size))
    score = np.empty((largest, lane_size))
    uniform = np.empty(lane_size)
    scale = np.empty(lane_size)
    for start in range(0, n_draws, lane_size):
        n = min(lane_size, n_draws - start)
        draw_inputs(inputs, tables, source, first + start, uniform[:n], score, scale[:n], lane)
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
