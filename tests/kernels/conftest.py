"""Without the JIT a full table of sums of loads takes a minute to build; a small one, to 2^7 loads with 12 nodes, takes seconds."""

from __future__ import annotations

from collections.abc import Iterator

import numba
import pytest

from sim.kernels import lognormal_loads


@pytest.fixture(scope="session", autouse=True)
def small_tables_without_the_jit() -> Iterator[None]:
    """Every line of the code stays in play; compiled code would not see the change."""
    if not numba.config.DISABLE_JIT:
        yield
        return
    octaves = 3
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lognormal_loads, "_OCTAVES", octaves)
        patch.setattr(lognormal_loads, "_N_NODES", 16 + 8 * octaves)
        patch.setattr(lognormal_loads, "_MAX_K", float(16 << octaves))
        patch.setattr(lognormal_loads, "_QUADRATURE", 12)
        lognormal_loads.load_sums.cache_clear()
        yield
        lognormal_loads.load_sums.cache_clear()
