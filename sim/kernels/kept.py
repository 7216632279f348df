"""Tables that depend on constants alone, kept on disk beside the compiled kernels: with the files or without, the same bits."""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import scipy

from .jit import cache_folder

_SEAL = hashlib.sha256().digest_size


def kept(name: str, build: Callable[[], np.ndarray]) -> np.ndarray:
    """Return the table `build()`, read from the file called `name` where that holds it, else built and written there.

    name   says all that the table depends on, besides the sources of the kernels, which the name of the folder stands for

    A file is a hash of all that follows and of the versions of NumPy and SciPy, then the table as .npy. Where the hash does not fit
    (a damaged file, another SciPy) or nothing can be read or written, the table is built, without a word.
    """
    folder = cache_folder()
    if folder is None:
        return build()
    file = Path(folder) / f"{name}.table"
    with contextlib.suppress(OSError, ValueError):
        found = file.read_bytes()
        content = found[_SEAL:]
        if found[:_SEAL] == _seal(content):
            return np.asarray(np.load(io.BytesIO(content), allow_pickle=False))
    table = build()
    stream = io.BytesIO()
    np.save(stream, table, allow_pickle=False)
    content = stream.getvalue()
    partial = file.with_name(f".{name}-{os.getpid()}-{threading.get_ident()}")
    with contextlib.suppress(OSError):
        try:
            partial.write_bytes(_seal(content) + content)
            os.replace(partial, file)
        finally:
            partial.unlink(missing_ok=True)
    return table


def _seal(content: bytes) -> bytes:
    return hashlib.sha256(f"{np.__version__} {scipy.__version__} ".encode() + content).digest()
