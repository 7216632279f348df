"""The only place where randomness is born: (seed, stream, draw index) -> bits; scrambled Sobol' points by index.

Every uniform is *folded*: a float t with 0 < t <= 1/2 stands for u = t, one with -1/2 <= t < 0 for u = 1 + t, so that both tails keep
their digits. A 53-bit integer i stands for u = (i + 1/2) 2^-53 and is folded as an integer: t = (2 i + 1) 2^-54 for i < 2^52, minus 1
above; no t is ever 0 or +-1/2, and no bit is rounded away.
"""

from __future__ import annotations

import hashlib

import numpy as np

from .jit import borrowing, inlined, kernel
from .kept import kept
from .scratch import scratches

BITS = 53  # of every uniform; also the number of direction integers of a Sobol' dimension
MAX_DIMENSIONS = 21_201  # of Joe and Kuo's table in SciPy
MIN_REPLICATES = 16
MAX_REPLICATES = 31

_MASK32 = np.uint64(0xFFFFFFFF)
_SHIFT32 = np.uint64(32)
_MULTIPLIER0 = np.uint64(0xD2511F53)
_MULTIPLIER1 = np.uint64(0xCD9E8D57)
_WEYL0 = np.uint64(0x9E3779B9)
_WEYL1 = np.uint64(0xBB67AE85)
_ZERO = np.uint64(0)
_ONE = np.uint64(1)
_UNUSED = np.uint64(64 - BITS)
_SCRAMBLES = np.uint64(1 << 63)  # draw indices stay below 2^63; the words above belong to the scrambles of the Sobol' points
_HALF_STEP = 2.0**-54
_LEAST_MADE = 256  # dimensions: 0.1 MB


@inlined
def philox(c0, c1, c2, c3, k0, k1):
    """Return the four 32-bit words of Philox4x32-10 for counter (c0, c1, c2, c3) and key (k0, k1).

    All are uint64 that hold 32 bits: a product of two is exact in 64 bits, sums are masked, so nothing ever overflows.

    Source: Salmon, Moraes, Dror & Shaw 2011, Parallel random numbers: as easy as 1, 2, 3; constants of Random123.
    """
    for _ in range(10):
        left = c0 * _MULTIPLIER0
        right = c2 * _MULTIPLIER1
        c0 = (right >> _SHIFT32) ^ c1 ^ k0
        c1 = right & _MASK32
        c2 = (left >> _SHIFT32) ^ c3 ^ k1
        c3 = left & _MASK32
        k0 = (k0 + _WEYL0) & _MASK32
        k1 = (k1 + _WEYL1) & _MASK32
    return c0, c1, c2, c3


def stream_id(name: str) -> np.uint64:
    """Return the 64-bit id of the stream called `name`: eight bytes of BLAKE2b, little-endian, the same everywhere."""
    return np.uint64(int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest(), "little"))


@inlined
def words(seed, stream, block):
    """Return the two 64-bit words of one Philox block: key = seed, counter = (block, stream), low halves first.

    Draw i of a stream is word i % 2 of block i // 2: a pure function of (seed, stream, i) at half the cost of a block a draw.
    """
    w0, w1, w2, w3 = philox(block & _MASK32, block >> _SHIFT32, stream & _MASK32, stream >> _SHIFT32, seed & _MASK32, seed >> _SHIFT32)
    return (w1 << _SHIFT32) | w0, (w3 << _SHIFT32) | w2


@inlined
def folded(word):
    """Return the folded uniform of the top 53 bits of a 64-bit word: the arithmetic shift folds, the set bit is the + 1/2."""
    return np.float64((np.uint64(word).view(np.int64) >> 10) | 1) * _HALF_STEP


@borrowing
def fill_philox(seed, stream, first, out):
    """Write the folded uniforms of draws first, first + 1, ... of one stream.

    seed, stream   uint64
    first          draw index >= 0; every index below 2^63
    out            (d,)  folded uniforms, written in place

    A block gives two uniforms, written apart and then zipped (1.1 ns): writing pairs at once is not vectorised (5 ns).
    """
    seed = np.uint64(seed)
    stream = np.uint64(stream)
    n = out.size
    head = min(first % 2, n)
    pairs = (n - head) // 2
    block = np.uint64((first + head) >> 1)
    even, odd = scratches(2, pairs)
    for k in range(pairs):
        word0, word1 = words(seed, stream, block + np.uint64(k))
        even[k] = folded(word0)
        odd[k] = folded(word1)
    for k in range(pairs):
        out[head + 2 * k] = even[k]
        out[head + 2 * k + 1] = odd[k]
    if head:
        out[0] = folded(words(seed, stream, np.uint64(first >> 1))[1])
    if head + 2 * pairs < n:
        out[n - 1] = folded(words(seed, stream, block + np.uint64(pairs))[0])


def sobol_directions(n_dims: int) -> np.ndarray:
    """Return the unscrambled direction integers (n_dims, 53) uint64 of Joe & Kuo 2008; column 0 is the leading one, 2^52.

    Made for a power of two of dimensions and kept: importing scipy.stats takes .55 s.
    """
    made = min(max(1 << (n_dims - 1).bit_length(), _LEAST_MADE), max(MAX_DIMENSIONS, n_dims))
    return kept(f"directions-{made}", lambda: _directions(made))[:n_dims].copy() if n_dims else np.zeros((0, BITS), np.uint64)


def _directions(n_dims: int) -> np.ndarray:
    """SciPy gives them in no public way at full length; its private array is touched here and nowhere else."""
    from scipy.stats import qmc

    return np.array(qmc.Sobol(n_dims, scramble=False, bits=BITS)._sv, dtype=np.uint64)


@kernel
def sobol_scrambles(seed, replicate, directions):
    """Return (scrambled directions (s, 53), shifts (s,)), both uint64, of one randomisation of `directions` (s, 53).

    v' = L v over GF(2), L lower triangular with unit diagonal and random bits below it; points are then XORed with a random shift.
    Written by columns: bit i of v (from the top) adds column i of L, whose own leading bit is i and whose lower bits are random.

    s = dimensions. The 54 words of dimension d in replicate r are draws ((r 2^16 + d) 64 + 2^63 ...) of stream 0 of `seed`: a dimension's
    scramble depends on nothing else, so adding dimensions changes none.

    Source: Matousek 1998, J. Complexity 14:527; the randomisation of scipy.stats.qmc.Sobol, with bits of our own.
    """
    n_dims = directions.shape[0]
    scrambled = np.empty((n_dims, BITS), np.uint64)
    shift = np.empty(n_dims, np.uint64)
    column = np.empty(BITS + 1, np.uint64)
    seed = np.uint64(seed)
    for d in range(n_dims):
        block = (_SCRAMBLES | np.uint64((replicate << 22) + (d << 6))) >> _ONE
        for i in range(0, BITS + 1, 2):
            even, odd = words(seed, _ZERO, block + np.uint64(i >> 1))
            column[i] = even >> _UNUSED
            column[i + 1] = odd >> _UNUSED
        shift[d] = column[BITS]
        for i in range(BITS):
            leading = _ONE << np.uint64(BITS - 1 - i)
            column[i] = (column[i] & (leading - _ONE)) | leading
        for j in range(BITS):
            v = directions[d, j]
            total = _ZERO
            for i in range(BITS):
                if (v >> np.uint64(BITS - 1 - i)) & _ONE:
                    total ^= column[i]
            scrambled[d, j] = total
    return scrambled, shift


@borrowing
def fill_sobol(directions, shift, first, out):
    """Write the folded uniforms of points first .. first + d - 1 of one Sobol' dimension, in Gray-code order, by index.

    x_i = shift XOR (v_j over the set bits j of i XOR (i >> 1))

    directions   (53,)  uint64, scrambled
    shift        uint64, 53 bits
    first        index of the first point, >= 0
    out          (d,)   folded uniforms, written in place

    The Gray code is linear over XOR: in a range of 2^k points that starts at a multiple of 2^k, point 2^b + i is point i XOR one constant,
    so a range is doubled b times from its first point. Any range is cut into such ranges; a lane of 1,024 is one. 0.15 ns a point there.

    Source: Antonov & Saleev 1979; the order and the bits of scipy.stats.qmc.Sobol.
    """
    n = out.size
    x = out.view(np.uint64)
    done = 0
    while done < n:
        index = first + done
        size = 1
        while done + 2 * size <= n and index % (2 * size) == 0:
            size *= 2
        point = shift
        gray = index ^ (index >> 1)
        j = 0
        while gray:
            if gray & 1:
                point ^= directions[j]
            gray >>= 1
            j += 1
        x[done] = point
        half = 1
        previous = _ZERO
        j = 0
        while half < size:
            jump = directions[j] ^ previous
            previous = directions[j]
            lower = x[done : done + half]
            upper = x[done + half : done + 2 * half]
            for i in range(half):
                upper[i] = lower[i] ^ jump
            half *= 2
            j += 1
        done += size
    for i in range(n):
        out[i] = folded(x[i] << _UNUSED)


def replicate_plan(draws_asked: int) -> tuple[int, int]:
    """Return (R, m): R scrambled replicates of 2^m points, 16 <= R < 32, with the smallest R 2^m that is at least `draws_asked`.

    >>> replicate_plan(1_000_000)
    (31, 15)
    """
    m = 0
    while -(-draws_asked >> m) > MAX_REPLICATES:
        m += 1
    return max(MIN_REPLICATES, -(-draws_asked >> m)), m
