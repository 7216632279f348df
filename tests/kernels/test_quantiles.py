"""Tables of inverse CDFs against the laws they stand for: both tails, edges, jumps, cuts; scores and tails for copulas."""

from __future__ import annotations

import math

import numba
import numpy as np
import oracles
import pytest
from hypothesis import given
from hypothesis import strategies as st
from lanes import in_lanes
from scipy import stats
from strategies import FOLDED_EDGES, folded_uniforms, laws, smooth_laws

from sim import distributions, elicitation
from sim.kernels import quantiles
from sim.kernels.jit import kernel

N = 300 if numba.config.DISABLE_JIT else 20_000  # draws of a law, each side
TOLERANCE = 1e-6


def folded(n, seed=43):
    """Uniforms of both sides: n spread evenly over u, n over the logarithm of the tail, and the edges."""
    rng = np.random.default_rng(seed)
    tail = np.concatenate([rng.uniform(0.0, 0.5, n), 2.0 ** -rng.uniform(1.0, 54.0, n)])
    return np.concatenate([tail, -tail, FOLDED_EDGES])


def looked_up(table, t, law=0):
    x = np.empty_like(t)
    low, high, first = table.support_low[law], table.support_high[law], table.first_cell[law]
    in_lanes(quantiles.evaluate_many, table.coefficients, table.child, low, high, first, t, x)
    return x


def miss(law, t, x):
    """Return how far u lies outside F(x-) .. F(x), as a share of the tail min(u, 1 - u), at worst over the draws.

    x is known to 2^-42 of itself, which is all of the tail where the support ends at a number other than 0; that much is forgiven.
    """
    tail = np.clip(np.abs(t), quantiles.SMALLEST_TAIL, 0.5)
    slack = np.maximum(2.0**-42 * np.abs(x), 1e-290)
    at = [np.where(t > 0, distributions.cdf(law, y), distributions.sf(law, y)) for y in (x - slack, x + slack)]
    outside = np.maximum(np.maximum(np.minimum(*at) - tail, tail - np.maximum(*at)), 0.0)
    return float((outside / tail).max())


def rises(t, x, rounding=2.0**-50):
    """Return whether x never falls by more than its rounding as u rises."""
    order = np.lexsort((t, t < 0))
    steps = np.diff(x[order])
    return bool((steps >= -rounding * np.abs(x[order][1:])).all())


def of(kind, **parameters):
    return {"kind": kind, **parameters}


NORMALS = of("mixture", components=[of("normal", mean=0, sd=1), of("normal", mean=50, sd=1)], weights=[0.3, 0.7])
GAPS = of("mixture", components=[of("uniform", low=0, high=1), of("uniform", low=2, high=3), 2.5], weights=[1, 1, 1])
LAWS = {
    "uniform": of("uniform", low=5, high=6),
    "uniform to 0": of("uniform", low=-1, high=0),
    "triangular": of("triangular", low=0, mode=0.3, high=1),
    "triangular from its mode": of("triangular", low=0, mode=0, high=1),
    "triangular to its mode": of("triangular", low=-3, mode=0, high=0),
    "pert": of("pert", low=0, mode=2, high=10),
    "beta": of("beta", interval=[0.03, 0.25], probability=0.9),
    "U-shaped": of("beta", alpha=0.3, beta=0.3),
    "nearly 0 or 1": of("beta", alpha=0.02, beta=5),
    "narrow beta": of("beta", alpha=3e4, beta=7e4),
    "normal": of("normal", mean=0, sd=1),
    "far from 0": of("normal", mean=1e5, sd=0.05),
    "cut at 0": of("normal", mean=1, sd=1, lower=0),
    "cut from above at 0": of("normal", mean=-1, sd=1, upper=0),
    "cut in the upper tail": of("normal", mean=0, sd=1, lower=5),
    "cut on both sides": of("normal", mean=0, sd=1, lower=-8, upper=-5.5),
    "lognormal": of("lognormal", median=1, sd_log=4),
    "cut lognormal": of("lognormal", median=1, sd_log=1, lower=0.01, upper=40),
    "gamma": of("gamma", shape=3, scale=2),
    "steep gamma": of("gamma", shape=0.05, scale=2),
    "cut gamma": of("gamma", mean=2, sd=1, upper=2.5),
    "cauchy": of("student_t", df=1, loc=0, scale=1),
    "t2": of("student_t", df=2, loc=3, scale=1),
    "cut t2": of("student_t", df=2, loc=3, scale=1, lower=0),
    "steps": of("empirical", values=[3, 1, 2, 2], weights=[1, 2, 3, 4]),
    "many steps": of("empirical", values=list(range(100, 250))),
    "constant": 0.1,
    "two normals": NORMALS,
    "gaps and an atom": GAPS,
    "cut mixture": NORMALS | {"lower": 0.0, "upper": 50.0},
    "levy": of("scipy", name="levy"),
    "pareto": of("scipy", name="pareto", b=1.5),
    "weibull": of("scipy", name="weibull_min", c=0.5, scale=3),
    "moyal": of("scipy", name="moyal"),
    "skewed t": of("scipy", name="jf_skew_t", a=3, b=5),
}
UNRESOLVED = {  # scipy's far tails are differences from 1
    "rice": of("scipy", name="rice", b=2.0),
    "trapezoid": of("scipy", name="trapezoid", c=0.2, d=0.6),
    "foldnorm": of("scipy", name="foldnorm", c=1.0),
    "vonmises": of("scipy", name="vonmises", kappa=2.0),
}


@pytest.mark.parametrize("name", LAWS)
def test_a_table_holds_its_law_in_both_tails(name):
    law = elicitation.law(LAWS[name])
    t = folded(N)
    x = looked_up(distributions.inverse_table(law), t)
    assert miss(law, t, x) < TOLERANCE
    assert rises(t, x)
    low, high = distributions.support(law)
    assert np.isfinite(x).all()
    assert low <= x.min()
    assert x.max() <= high


@pytest.mark.parametrize("name", UNRESOLVED)
def test_a_tail_that_scipy_does_not_resolve_is_held(name):
    law = elicitation.law(UNRESOLVED[name])
    t = folded(min(N, 2_000))
    table = distributions.inverse_table(law)
    x = looked_up(table, t)
    resolved = np.abs(t) > 2.0**-29
    assert miss(law, t[resolved], x[resolved]) < TOLERANCE
    rest = np.where(t > 0, distributions.cdf(law, x), distributions.sf(law, x))[~resolved]
    assert rest.max() < 2.0**-28
    assert rises(t, x)
    assert np.isfinite(x).all()
    assert len(table.child) < 6_000  # noise is not split without end


def test_smooth_laws_are_a_tenth_of_the_tolerance():
    t = folded(N)
    for name in ("normal", "beta", "gamma", "two normals"):
        law = elicitation.law(LAWS[name])
        x = looked_up(distributions.inverse_table(law), t)
        p = np.where(t > 0, distributions.cdf(law, x), distributions.sf(law, x))
        edges = np.abs(t) < quantiles.SMALLEST_TAIL
        assert np.abs(p / np.abs(t) - 1.0)[~edges].max() < (1e-7 if name != "two normals" else TOLERANCE)


@given(st.data())
def test_any_law(data):
    law = elicitation.law(data.draw(laws()))
    table = distributions.inverse_table(law)
    t = np.array(data.draw(st.lists(folded_uniforms(), min_size=1, max_size=40)))
    x = looked_up(table, t)
    assert miss(law, t, x) < TOLERANCE
    assert rises(t, x, rounding=2.0**-43)
    low, high = distributions.support(law)
    assert ((x >= low) & (x <= high) & np.isfinite(x)).all()


@given(st.data())
def test_steps_are_exact_to_the_bit(data):
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    values = rng.lognormal(0.0, 3.0, data.draw(st.integers(1, 30)))
    law = elicitation.law({"kind": "empirical", "values": list(values)})
    x = looked_up(distributions.inverse_table(law), folded(100, seed=data.draw(st.integers(0, 99))))
    assert np.isin(x, values).all()


def test_a_gap_is_never_bridged():
    law = elicitation.law(GAPS)
    x = looked_up(distributions.inverse_table(law), folded(N))
    assert not ((x > 1.0) & (x < 2.0)).any()
    near = 1.0 / 3.0 + np.linspace(-1e-7, 1e-7, 400)
    x = looked_up(distributions.inverse_table(law), near)
    assert not ((x > 1.0) & (x < 2.0)).any()
    assert (x <= 1.0).any()
    assert (x >= 2.0).any()


@pytest.mark.parametrize("name", ["beta", "cut at 0", "steps", "gaps and an atom", "steep gamma"])
def test_evaluate_is_its_slow_twin(name):
    table = distributions.inverse_table(elicitation.law(LAWS[name]))
    t = folded(40)
    slow = [oracles.evaluate(table.coefficients, table.child, table.support_low[0], table.support_high[0], 0, u) for u in t]
    np.testing.assert_allclose(looked_up(table, t), slow, rtol=1e-14, atol=1e-300)


def test_packed_tables_are_the_tables():
    tables = [distributions.inverse_table(elicitation.law(LAWS[name])) for name in ("steps", "normal", "cut at 0", "steep gamma")]
    packed = quantiles.pack(tables)
    t = folded(100)
    for i, table in enumerate(tables):
        np.testing.assert_array_equal(looked_up(packed, t, law=i), looked_up(table, t))
    assert len(quantiles.pack([]).child) == 0


def test_both_ends_and_the_middle():
    table = distributions.inverse_table(elicitation.law(LAWS["normal"]))
    x = looked_up(table, np.array([2.0**-54, 5e-324, 0.0, -(2.0**-54), -5e-324, 0.5, -0.5]))
    end = stats.norm.isf(2.0**-54)
    np.testing.assert_allclose(x, [-end, -end, -end, end, end, 0.0, 0.0], rtol=1e-9, atol=1e-12)


def test_entries_keep_44_bits():
    """A change of the last digits of the exact quantiles reaches few entries, and those by one part in 2^44."""

    def table(noise):
        return quantiles.build(lambda p: stats.norm.ppf(p) * (1 + noise), lambda q: stats.norm.isf(q) * (1 + noise), -np.inf, np.inf)

    quiet, loud = table(0.0).coefficients, table(2.0**-52).coefficients
    assert (quiet[:, 0] != loud[:, 0]).mean() < 0.02
    np.testing.assert_allclose(quiet[:, 0], loud[:, 0], rtol=2.0**-43)
    assert (quiet[:, 0] != table(2.0**-43).coefficients[:, 0]).mean() > 0.5


def test_what_scipy_cannot_say_is_held_at_the_last_finite_value():
    def ppf(p):
        return np.where(p < 1e-6, np.where(p < 1e-9, np.nan, -np.inf), np.log(np.maximum(p, 1e-300)))

    table = quantiles.build(ppf, lambda q: -ppf(q), -np.inf, np.inf)
    t = folded(min(N, 2_000))
    x = looked_up(table, t)
    assert np.isfinite(x).all()
    assert rises(t, x)
    held = np.abs(t) < 1e-6
    np.testing.assert_allclose(np.abs(x[held]), -math.log(1e-6), rtol=1e-2)
    np.testing.assert_allclose(np.abs(x[~held]), -np.log(np.abs(t[~held])), rtol=1e-6)


# planted faults: a table that is wrong in one way turns the verdicts above red


def faulty_table(law, ppf, isf):
    return quantiles.build(ppf, isf, *distributions.support(law))


@pytest.mark.parametrize("name", ["cut at 0", "cut on both sides", "cut lognormal", "cut gamma"])
def test_clipping_instead_of_truncating_is_seen(name):
    law = elicitation.law(LAWS[name])
    whole = elicitation.law({key: part for key, part in LAWS[name].items() if key not in ("lower", "upper")})
    low, high = distributions.support(law)
    clipped = faulty_table(
        law, lambda p: np.clip(distributions.ppf(whole, p), low, high), lambda q: np.clip(distributions.isf(whole, q), low, high)
    )
    t = folded(100)
    assert miss(law, t, looked_up(clipped, t)) > 1e-3


@pytest.mark.parametrize("at", [1e-2, 1e-4, 1e-9])
def test_a_clipped_tail_is_seen(at):
    law = elicitation.law(LAWS["lognormal"])
    clipped = faulty_table(law, lambda p: distributions.ppf(law, p), lambda q: distributions.isf(law, np.maximum(q, at)))
    t = folded(100)
    assert miss(law, t, looked_up(clipped, t)) > 0.1


def test_a_wrong_spread_a_dent_and_a_fall_are_seen():
    law = elicitation.law(LAWS["normal"])
    table = distributions.inverse_table(law)
    t = folded(N)
    assert miss(law, t, looked_up(table, t) * (1 + 1e-5)) > TOLERANCE
    dented = table._replace(coefficients=table.coefficients.copy())
    cell = quantiles.CELLS - 3  # near the median, where a fall shows: 5/6 of a step down
    dented.coefficients[cell, 0] -= 0.9 * dented.coefficients[cell, 1]
    x = looked_up(dented, t)
    assert miss(law, t, x) > TOLERANCE
    assert not rises(t, x)


def test_a_bridged_gap_is_seen():
    """Without the splits a cell of the table runs straight across the gap."""
    law = elicitation.law(GAPS)
    table = distributions.inverse_table(law)
    bridged = table._replace(child=np.full_like(table.child, -1))
    t = folded(N)
    x = looked_up(bridged, t)
    assert ((x > 1.0) & (x < 2.0)).any()
    assert miss(law, t, x) > TOLERANCE


# scores and tails for copulas


@kernel
def scores(table, t, out):
    for i in range(t.shape[0]):
        out[i] = quantiles.normal_score(table, t[i])


@kernel
def normal_tails(table, z, out):
    for i in range(z.shape[0]):
        out[i] = quantiles.normal_tail(table, z[i])


@kernel
def t_tails(table, df, x, out):
    for i in range(x.shape[0]):
        out[i] = quantiles.t_tail(table, df, x[i])


def applied(function, *arguments):
    out = np.empty_like(arguments[-1])
    in_lanes(function, *arguments, out)
    return out


def test_normal_scores():
    t = folded(N)
    t = t[np.abs(t) >= quantiles.SMALLEST_TAIL]
    z = applied(scores, quantiles.normal_score_table(), t)
    assert np.abs(z + np.sign(t) * stats.norm.isf(np.abs(t))).max() < 1e-9
    np.testing.assert_array_equal(z, -applied(scores, quantiles.normal_score_table(), -t))
    some = t[:: len(t) // 40]
    np.testing.assert_allclose(z[:: len(t) // 40], [oracles.normal_score(u) for u in some], atol=1e-9)


def test_normal_tails():
    rng = np.random.default_rng(43)
    z = np.concatenate([rng.uniform(-8.29, 8.29, N), rng.normal(size=N), [0.0, -0.0, 1e-300, -1e-300, 1e-9]])
    t = applied(normal_tails, quantiles.normal_tail_table(), z)
    np.testing.assert_allclose(np.abs(t), stats.norm.sf(np.abs(z)), rtol=1e-9)
    assert ((t < 0) == (z > 0)).all()
    np.testing.assert_allclose(np.abs(t[:50]), [oracles.t_tail(None, x) for x in z[:50]], rtol=1e-9)
    far = applied(normal_tails, quantiles.normal_tail_table(), np.array([9.0, 40.0, 1e300, np.inf, -np.inf]))
    np.testing.assert_array_equal(far, quantiles.SMALLEST_TAIL * np.array([-1.0, -1.0, -1.0, -1.0, 1.0]))


@given(folded_uniforms())
def test_a_score_leads_back_to_its_uniform(u):
    t = np.array([math.copysign(min(max(abs(u), quantiles.SMALLEST_TAIL), 0.5), u)])
    back = applied(normal_tails, quantiles.normal_tail_table(), applied(scores, quantiles.normal_score_table(), t))
    assert abs(abs(back[0]) / abs(t[0]) - 1) < 1e-8  # 8.3 errors of a score of 1e-9


@pytest.mark.parametrize("df", [1, 1.5, 2, 3, 4, 10, 100, 1e4, 1e6])
def test_t_tails(df):
    rng = np.random.default_rng(43)
    deep = np.abs(stats.t.ppf(2.0 ** -rng.uniform(1.0, 53.9, 40), df))
    x = np.concatenate([deep, 10.0 ** rng.uniform(-18, 0, 20), [0.0]])
    t = applied(t_tails, quantiles.t_tail_table(float(df)), float(df), x)
    exact = np.array([oracles.t_tail(df, y) for y in x])
    np.testing.assert_allclose(np.abs(t), np.maximum(exact, quantiles.SMALLEST_TAIL), rtol=1e-9)
    np.testing.assert_array_equal(np.abs(t), np.abs(applied(t_tails, quantiles.t_tail_table(float(df)), float(df), -x)))
    assert ((t < 0) == (x > 0)).all()
    far = applied(t_tails, quantiles.t_tail_table(float(df)), float(df), np.array([1e300, np.inf]))
    np.testing.assert_array_equal(far, [-quantiles.SMALLEST_TAIL] * 2)


def test_a_whole_lane_has_the_bits_of_one_draw_at_a_time():
    t = np.concatenate([folded(N // 4), np.linspace(-9.0, 9.0, 37)])  # also what is out of range
    for name in ("many steps", "gamma"):
        table = distributions.inverse_table(elicitation.law(LAWS[name]))
        low, high, first = table.support_low[0], table.support_high[0], table.first_cell[0]
        one = [quantiles.evaluate(table.coefficients, table.child, low, high, first, v) for v in t]
        np.testing.assert_array_equal(looked_up(table, t), one)
    z = np.concatenate([applied(scores, quantiles.normal_score_table(), t), [0.0, -0.0, 40.0, -1e300, np.inf, -np.inf]])
    np.testing.assert_array_equal(applied(quantiles.normal_scores, quantiles.normal_score_table(), t), z[: t.size])
    for many, one, table in (
        (quantiles.normal_tails, normal_tails, [quantiles.normal_tail_table()]),
        (quantiles.t_tails, t_tails, [quantiles.t_tail_table(3.0), 3.0]),
    ):
        before = z.copy()
        np.testing.assert_array_equal(applied(many, *table, z), applied(one, *table, z))
        np.testing.assert_array_equal(z, before)


@given(smooth_laws())
def test_tables_are_small_and_do_not_depend_on_a_cache(spec):
    law = elicitation.law(spec)
    first = distributions.inverse_table(law)
    second = distributions.inverse_table.__wrapped__(law)
    assert first.coefficients.tobytes() == second.coefficients.tobytes()
    assert len(first.child) < 40_000
