"""What Hypothesis draws: built so that every example is valid, not filtered; the edges always within reach."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st


def seeds():
    """Seeds of a run: any 64-bit integer; 0 and the largest are likely."""
    return st.one_of(st.sampled_from([0, 1, 2**32 - 1, 2**32, 2**64 - 1]), st.integers(0, 2**64 - 1))


@st.composite
def summary_draws(draw, max_size=200, specials=True):
    """Draws of one quantity: continuous, lattice, whole, narrow about a large number, with atoms; at times NaN, infinities, zeros."""
    n = draw(st.integers(1, max_size))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    kind = draw(st.sampled_from(["normal", "lognormal", "narrow", "whole", "lattice", "atom", "constant", "negative"]))
    x = {
        "normal": lambda: rng.normal(0.0, 1.0, n),
        "lognormal": lambda: rng.lognormal(3.0, 2.4, n),
        "narrow": lambda: rng.normal(100000.001, 0.05, n),
        "whole": lambda: rng.negative_binomial(2.5, 0.01, n).astype(float),
        "lattice": lambda: rng.integers(-20, 20, n) / 7.0,
        "atom": lambda: np.where(rng.random(n) < 0.4, 3.3, rng.gamma(2.0, 2.0, n)),
        "constant": lambda: np.full(n, rng.normal()),
        "negative": lambda: -rng.lognormal(0.0, 1.0, n),
    }[kind]()
    if specials:
        odd = np.array([np.nan, np.inf, -np.inf, 0.0, -0.0])
        x = np.where(rng.random(n) < draw(st.sampled_from([0.0, 0.1, 0.5])), rng.choice(odd, n), x)
    return x
