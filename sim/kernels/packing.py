"""Counts as bytes: most bins of a summary are empty and most others hold a few draws."""

from __future__ import annotations

import numpy as np

from .jit import inlined, kernel

MOST_BYTES = 10  # of one code: 64 bits, seven a byte


@kernel
def _encode(counts, out):
    """Write the code of `counts` (n,), integers below 2^63, to out (MOST_BYTES (n + 1),) uint8 and return its length.

    A code is 2 c for a count c > 0 and 2 r + 1 for r zeros in a row, seven bits a byte, the lowest first, the top bit set on all bytes
    but the last: a count below 64 takes one byte, and so does a gap. 1.0 ns a bin.
    """
    at = 0
    gap = np.uint64(0)
    for i in range(counts.size + 1):
        count = np.uint64(counts[i]) if i < counts.size else np.uint64(0)
        if i < counts.size and count == 0:
            gap += np.uint64(1)
            continue
        if gap > 0:
            at = _write(np.uint64(2) * gap + np.uint64(1), out, at)
            gap = np.uint64(0)
        if count > 0:
            at = _write(np.uint64(2) * count, out, at)
    return at


@inlined
def _write(code, out, at):
    """Write one code from out[at] on and return where the next one begins."""
    while code >= 128:
        out[at] = np.uint8(code & np.uint64(127) | np.uint64(128))
        code >>= np.uint64(7)
        at += 1
    out[at] = np.uint8(code)
    return at + 1


@kernel
def add_counts(code, counts):
    """Add the counts that `code` (bytes,) uint8 stands for to counts (n,); return whether it stood for exactly n of them.

    Where it did not, `counts` is spoilt.
    """
    at = 0
    i = 0
    while at < code.size:
        number = np.uint64(0)
        shift = np.uint64(0)
        while True:
            if at == code.size or shift > 63:
                return False
            byte = np.uint64(code[at])
            at += 1
            number |= (byte & np.uint64(127)) << shift
            shift += np.uint64(7)
            if byte < 128:
                break
        half = np.int64(number >> np.uint64(1))
        if number & np.uint64(1):
            if half > counts.size - i:
                return False
            i += half
        else:
            if i == counts.size:
                return False
            counts[i] += half
            i += 1
    return i == counts.size


def pack_counts(counts: np.ndarray) -> np.ndarray:
    """Return the code of `counts` (n,), integers below 2^63, as uint8. Pages of the buffer that are never written are never there."""
    out = np.empty(MOST_BYTES * (counts.size + 1), np.uint8)
    return out[: _encode(counts, out)].copy()
