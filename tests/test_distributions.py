"""Laws as users write them: every parametrisation, every message, exact functions against independent ones."""

from __future__ import annotations

import json
import math
import subprocess
import sys

import mpmath
import numpy as np
import oracles
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from strategies import laws, smooth_laws

from sim import distributions, elicitation
from sim.distributions import cdf, index_at_infinity, index_at_zero, isf, ppf, sf, support
from sim.elicitation import LawError, as_mapping, law
from sim.errors import ScenarioError

INF = math.inf
TAILS = 2.0 ** -np.arange(1.0, 54.0, 0.7)


def of(kind, **parameters):
    return {"kind": kind, **parameters}


def natural(spec, unit="1"):
    return dict(law(spec, unit).parameters)


def of_scipy(spec):
    """Return the law of scipy.stats that a law in natural parameters stands for."""
    p = {key: part for key, part in spec.items() if key not in ("kind", "name")}
    kind = spec.get("name", spec["kind"])
    width = p.get("high", 1.0) - p.get("low", 0.0)
    return {
        "uniform": lambda: stats.uniform(p["low"], width),
        "triangular": lambda: stats.triang((p["mode"] - p["low"]) / width, p["low"], width),
        "pert": lambda: stats.beta(1 + 4 * (p["mode"] - p["low"]) / width, 1 + 4 * (p["high"] - p["mode"]) / width, p["low"], width),
        "beta": lambda: stats.beta(p["alpha"], p["beta"]),
        "normal": lambda: stats.norm(p["mean"], p["sd"]),
        "lognormal": lambda: stats.lognorm(p["sd_log"], scale=p["median"]),
        "gamma": lambda: stats.gamma(p["shape"], scale=p["scale"]),
        "student_t": lambda: stats.t(p["df"], p["loc"], p["scale"]),
    }.get(kind, lambda: getattr(stats, kind)(**p))()


# reading


def test_numbers_and_quantities_are_constants():
    assert law(0.3) == law({"kind": "constant", "value": 0.3}) == law("0.3")
    assert natural("2.4 mg", "mg") == {"value": 2.4}
    assert natural({"kind": "constant", "value": "1 lb"}, "kg") == {"value": 0.45359237}
    assert natural(10**30) == {"value": 1e30}


def test_units_where_the_parameter_bears_one():
    written = law(of("normal", mean="2 g", sd="100 mg", lower="1 g", upper=3), "g")
    assert written == law(of("normal", mean=2.0, sd=0.1, lower=1.0, upper=3.0), "g")
    assert natural(of("gamma", shape=2, scale="1 kg"), "g")["scale"] == 1000
    assert natural(of("lognormal", interval=["1 g", "4 g"], probability=0.5), "kg")["median"] == pytest.approx(0.002, rel=1e-15)
    assert natural(of("empirical", values=["1 g", 2]), "g")["values"] == (1.0, 2.0)
    assert natural(of("scipy", name="weibull_min", c=2, scale="2 lb", loc="1 kg"), "kg")["scale"] == 0.90718474


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        (of("uniform", mean=1, sd=0.5), (1 - math.sqrt(0.75), 1 + math.sqrt(0.75))),
        (of("uniform", interval=[1, 2], probability=0.5), (0.5, 2.5)),
        (of("beta", mean=0.1136, sd=0.02), (0.1136 * 250.73760, 0.8864 * 250.73760)),
        (of("normal", interval=[0, 2], probability=0.95), (1.0, 0.5102134569)),
        (of("lognormal", mean=2, sd=1), (2 / math.sqrt(1.25), math.sqrt(math.log(1.25)))),
        (of("lognormal", interval=[0.1, 10], probability=0.9), (1.0, math.log(10) / 1.6448536269514722)),
        (of("gamma", mean=2, sd=1), (4.0, 0.5)),
        (of("student_t", df=4, mean=3, sd=1), (4.0, 3.0, math.sqrt(0.5))),
        (of("student_t", df=4, interval=[-1, 3], probability=0.9), (4.0, 1.0, 2 / stats.t.isf(0.05, 4))),
    ],
)
def test_other_parametrisations_become_natural_ones(spec, expected):
    assert tuple(natural(spec).values()) == pytest.approx(expected, rel=1e-6)


@given(smooth_laws(), st.floats(0.01, 0.999))
def test_moments_and_intervals_lead_back(spec, probability):
    first = law(spec)
    if spec["kind"] not in ("uniform", "beta", "normal", "lognormal", "gamma", "student_t"):
        return
    df = {"df": spec["df"]} if spec["kind"] == "student_t" else {}
    interval = ppf(first, [(1 - probability) / 2, (1 + probability) / 2])
    lowest, highest = support(first)
    if lowest < interval[0] and interval[1] < highest and interval[0] > 1e-290 * (spec["kind"] in ("beta", "gamma", "lognormal")):
        again = law({"kind": spec["kind"], "interval": list(interval), "probability": probability} | df)
        spread = max(abs(interval[0]), abs(interval[1])) / (interval[1] - interval[0])
        np.testing.assert_allclose(
            cdf(again, interval), [(1 - probability) / 2, (1 + probability) / 2], rtol=0, atol=1e-10 + 1e-14 * spread
        )
    mean, sd = float(of_scipy(spec).mean()), float(of_scipy(spec).std())
    if df.get("df", 3) > 2.01 and sd < INF:
        again = of_scipy(as_mapping(law({"kind": spec["kind"], "mean": mean, "sd": sd} | df)))
        assert (float(again.mean()), float(again.std())) == pytest.approx((mean, sd), rel=1e-9)


@pytest.mark.parametrize("kind", ["beta", "gamma"])
@pytest.mark.parametrize("probability", [0.5, 0.9, 0.99, 0.9999])
@pytest.mark.parametrize(
    "interval", [(0.03, 0.25), (0.001, 0.999), (1e-6, 1e-3), (0.9, 0.99999), (0.1, 0.1001), (1e-9, 0.5), (0.5, 0.500001), (0.01, 1 - 1e-9)]
)
def test_elicited_quantiles_are_matched(kind, interval, probability):
    elicited = law(of(kind, interval=list(interval), probability=probability))
    tail = (1 - probability) / 2
    rounding = 1e-15 * interval[1] / (interval[1] - interval[0])
    assert abs(float(cdf(elicited, interval[0])) - tail) <= 1e-10 + rounding
    assert abs(float(sf(elicited, interval[1])) - tail) <= 1e-10 + rounding


def test_an_elicited_beta_agrees_with_mpmath():
    parameters = natural(of("beta", interval=[0.03, 0.25], probability=0.9))
    with mpmath.workdps(30):
        for x, p in ((0.03, 0.05), (0.25, 0.95)):
            assert float(mpmath.betainc(parameters["alpha"], parameters["beta"], 0, x, regularized=True)) == pytest.approx(p, abs=1e-10)


@given(laws())
def test_a_law_written_out_reads_back_as_itself(spec):
    first = law(spec)
    written = as_mapping(first)
    again = law(json.loads(json.dumps(written)))
    assert again == first
    assert hash(again) == hash(first)
    assert as_mapping(again) == written


# what is wrong with a law: (spec, unit, path of the problem, words of the message)
WRONG = [
    (True, "1", (), "not a number"),
    (float("nan"), "1", (), "out of range"),
    (float("inf"), "1", (), "out of range"),
    (10**400, "1", (), "out of range"),
    (None, "1", (), "not a number"),
    ([1, 2], "1", (), "not a number"),
    ("2.4 mg", "1", (), "mg"),
    ("2.4 furlongs", "kg", (), "furlongs"),
    ({}, "1", ("kind",), "no kind"),
    (of(3), "1", ("kind",), "no kind"),
    (of("gaussian", mean=0), "1", ("kind",), "Use one of constant"),
    (of("log-normal", median=1), "1", ("kind",), "nearest is 'lognormal'"),
    (of("normal", mean=1, std=2), "1", ("std",), "nearest is 'sd'"),
    (of("normal", mean=1), "1", ("sd",), "missing"),
    (of("normal", mean=1, sd=True), "1", ("sd",), "not a number"),
    (of("normal", mean=1, sd=0), "1", ("sd",), "kind = 'constant'"),
    (of("normal", mean=1, sd=-1), "1", ("sd",), "above 0"),
    (of("normal", mean="1 kg", sd=1), "1", ("mean",), "kg"),
    (of("normal"), "1", (), "no parameters"),
    (of("normal", mean=1, sd=1, interval=[0, 1], probability=0.9), "1", (), "two parametrisations"),
    (of("beta", alpha=1, beta=2, mean=0.5), "1", (), "two parametrisations"),
    (of("beta", alpha="1 kg", beta=2), "1", ("alpha",), "alpha bears no unit"),
    (of("beta", alpha=0, beta=2), "1", ("alpha",), "above 0"),
    (of("beta", mean=0.12, sd=0.5), "1", ("sd",), "below 0.325"),
    (of("beta", mean=1.2, sd=0.5), "1", ("mean",), "between 0 and 1"),
    (of("beta", interval=[0.25, 0.03], probability=0.9), "1", ("interval",), "Exchange"),
    (of("beta", interval=[0.0, 0.3], probability=0.9), "1", ("interval",), "support"),
    (of("beta", interval=[0.1, 1.3], probability=0.9), "1", ("interval",), "between 0 and 1"),
    (of("beta", interval=[0.1, 0.3], probability=90), "1", ("probability",), "Write 0.9"),
    (of("beta", interval=[0.1, 0.3], probability=1), "1", ("probability",), "between 0 and 1"),
    (of("beta", interval=[0.1, 0.3], probability="90 %"), "1", ("probability",), "not a number"),
    (of("beta", interval=[0.1], probability=0.9), "1", ("interval",), "a list of 2 numbers"),
    (of("beta", interval=0.1, probability=0.9), "1", ("interval",), "a list of 2 numbers"),
    (of("beta", interval=[0.1, "x"], probability=0.9), "1", ("interval", 1), ""),
    (of("beta", interval=[1e-300, 2e-300], probability=0.1), "1", ("interval",), "no beta was found"),
    (of("gamma", interval=[-1, 3], probability=0.9), "1", ("interval",), "support"),
    (of("gamma", mean=-2, sd=1), "1", ("mean",), "above 0"),
    (of("lognormal", mean=0, sd=1), "1", ("mean",), "above 0"),
    (of("lognormal", median=-1, sd_log=1), "1", ("median",), "above 0"),
    (of("uniform", low=1, high=1), "1", ("high",), "kind = 'constant'"),
    (of("uniform", low=2, high=1), "1", ("high",), "Exchange"),
    (of("triangular", low=0, mode=3, high=1), "1", ("mode",), "between low = 0 and high = 1"),
    (of("pert", low=0, mode=-1, high=1), "1", ("mode",), "between low = 0 and high = 1"),
    (of("pert", low=0, mode=1), "1", ("high",), "missing"),
    (of("pert", mean=0), "1", ("mean",), "no key of a pert"),
    (of("student_t", df=2, mean=0, sd=1), "1", ("df",), "above 2"),
    (of("student_t", df=-2, interval=[0, 1], probability=0.5), "1", ("df",), "above 0"),
    (of("student_t", loc=0, scale=1), "1", ("df",), "missing"),
    (of("student_t", df=3, loc=0, scale=-1), "1", ("scale",), "above 0"),
    (of("normal", mean=0, sd=1, lower=2, upper=1), "1", ("upper",), "Exchange"),
    (of("normal", mean=0, sd=1, lower=1, upper=1), "1", ("upper",), "above lower"),
    (of("normal", mean=0, sd=1, lower=7), "1", ("lower",), "99 % of the law before truncation lies in -2.576 to 2.576"),
    (of("beta", alpha=2, beta=2, upper=0), "1", ("upper",), "at least 1e-09"),
    (of("constant", value=3, upper=2), "1", ("upper",), "at least 1e-09"),
    (of("empirical", values=[1, 2], lower=3), "1", ("lower",), "at least 1e-09"),
    (of("empirical", values=[]), "1", ("values",), "a list of numbers"),
    (of("empirical", values=[1, 2], weights=[1]), "1", ("weights",), "1 weights for 2 values"),
    (of("empirical", values=[1, 2], weights=[1, -1]), "1", ("weights", 1), "at least 0"),
    (of("empirical", values=[1, 2], weights=[0, 0]), "1", ("weights",), "no weight is above 0"),
    (of("empirical", values=[1, 2], weights=[1e300] * 2, lower=False), "1", ("lower",), "not a number"),
    (of("empirical", values=[0.0] * 10_001), "1", ("values",), "at most 10000"),
    (of("mixture", components=[], weights=[]), "1", ("components",), "a list of distributions"),
    (of("mixture", components=[1, 2]), "1", ("weights",), "missing"),
    (of("mixture", components=[1, of("beta", mean=2, sd=1)], weights=[1, 1]), "1", ("components", 1, "mean"), "between 0 and 1"),
    (of("scipy"), "1", ("name",), "missing"),
    (of("scipy", name="poisson", mu=3), "1", ("name",), "discrete"),
    (of("scipy", name="weibul_min", c=3), "1", ("name",), "nearest is 'weibull_min'"),
    (of("scipy", name="linregress"), "1", ("name",), "no law of scipy.stats"),
    (of("scipy", name="weibull_min"), "1", ("c",), "c is missing"),
    (of("scipy", name="weibull_min", c=-1), "1", (), "does not exist for c = -1"),
    (of("scipy", name="norm", scale=0), "1", ("scale",), "above 0"),
    (of("scipy", name="norm", sd=1), "1", ("sd",), "no key of a scipy"),
]


@pytest.mark.parametrize(("spec", "unit", "path", "words"), WRONG)
def test_what_is_wrong_is_said_where_it_is(spec, unit, path, words):
    with pytest.raises(LawError) as caught:
        law(spec, unit)
    assert isinstance(caught.value, ScenarioError)
    assert len(caught.value.problems) == 1
    (problem,) = caught.value.problems
    assert problem.path == path
    assert words in str(problem)


def test_all_problems_come_at_once():
    components = [of("normal", mean=1, sd=-1), of("bta"), of("beta", mean=0.5, low=1), of("beta", mean=0.5, sd=3)]
    spec = of("mixture", components=components, weights=[1, -1, 1, 1], upper=None)
    with pytest.raises(LawError) as caught:
        law(spec)
    paths = [problem.path for problem in caught.value.problems]
    expected = [
        ("components", 0, "sd"),
        ("components", 1, "kind"),
        ("components", 2, "low"),
        ("components", 3, "sd"),
        ("upper",),
        ("weights", 1),
    ]
    assert sorted(paths, key=str) == sorted(expected, key=str)


def test_mixtures_nest_only_so_deep():
    spec = 0.5
    for _ in range(elicitation.DEEPEST + 1):
        spec = of("mixture", components=[spec], weights=[1])
    assert law(spec["components"][0])
    for _ in range(500):
        spec = of("mixture", components=[spec], weights=[1])
    with pytest.raises(LawError, match="at most"):
        law(spec)


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["mean", "sd", "low", "values", "weights", "name"]), inner),
    max_leaves=6,
)
keys = sorted({key for names in elicitation.NATURAL.values() for key in names} | {"interval", "probability", "lower", "upper", "mode"})


@given(
    st.one_of(
        anything,
        st.builds(
            lambda kind, rest: rest | {"kind": kind},
            st.sampled_from([*elicitation.NATURAL]),
            st.dictionaries(st.sampled_from(keys), anything),
        ),
    )
)
def test_nothing_but_a_law_or_its_error_comes_back(spec):
    problems = ()
    try:
        found = law(spec)
    except LawError as error:
        problems = error.problems
    assert all(problem.came for problem in problems)
    assert bool(problems) or np.isfinite(ppf(found, 0.5))


# exact functions


@given(laws(), st.floats(1e-12, 1 - 1e-12))
def test_quantiles_and_probabilities_are_inverse(spec, p):
    of_spec = law(spec)
    low, high = support(of_spec)
    tails = np.array([p, *TAILS[TAILS > 1e-12]])
    for quantile, probability, upward in ((ppf, cdf, 1.0), (isf, sf, -1.0)):
        x = quantile(of_spec, tails)
        assert ((x >= low) & (x <= high)).all()
        slack = np.maximum(1e-12 * np.abs(x), 1e-290)
        assert (probability(of_spec, x + upward * slack) >= tails * (1 - 1e-9)).all()
        assert (probability(of_spec, x - upward * slack) <= tails * (1 + 1e-9) + 1e-300).all()
        width = float(ppf(of_spec, 0.75) - ppf(of_spec, 0.25))
        rounding = 1e-15 * float(np.abs(ppf(of_spec, 0.5))) / width if width > 0 else 0.0
        np.testing.assert_allclose(cdf(of_spec, x) + sf(of_spec, x), 1.0, rtol=0, atol=1e-12 + rounding)


def test_the_ends_of_probability():
    normal, beta = law(of("normal", mean=0, sd=1)), law(of("beta", alpha=2, beta=3, lower=0.1, upper=0.4))
    np.testing.assert_array_equal(ppf(normal, [0.0, 1.0]), [-INF, INF])
    np.testing.assert_array_equal(isf(beta, [0.0, 1.0]), [0.4, 0.1])
    assert np.isnan(ppf(beta, [-0.1, 1.1, np.nan])).all()
    np.testing.assert_array_equal(cdf(beta, [[-1.0, 0.1], [0.4, 2.0]]), [[0.0, 0.0], [1.0, 1.0]])
    assert cdf(beta, 0.2).shape == ()


@pytest.mark.parametrize(("lower", "upper"), [(0.0, INF), (5.0, INF), (-INF, -4.5), (-7.0, -4.5), (0.0, 1.0), (-1.0, 1e-3), (0.9, 1.1)])
def test_a_cut_normal_agrees_with_mpmath_in_both_tails(lower, upper):
    cut = law(of("normal", mean=1, sd=1) | {key: x for key, x in (("lower", lower), ("upper", upper)) if np.isfinite(x)})
    for t in (0.5, 1e-3, 1e-6, 1e-9, 1e-13, 2.0**-54, -0.3, -1e-6, -1e-12, -(2.0**-54)):
        x = float(ppf(cut, t) if t > 0 else isf(cut, -t))
        exact = oracles.truncated_normal_quantile(1, 1, lower, upper, t)
        assert x == pytest.approx(exact, rel=1e-9, abs=1e-300), t


@pytest.mark.parametrize("df", [1, 2, 4, 30])
def test_student_t_cut_at_its_median_agrees_with_mpmath(df):
    cut = law(of("student_t", df=df, loc=0, scale=1, lower=0))
    for p in (1e-12, 1e-7, 4e-6, 6e-6, 1e-3, 0.3):
        with mpmath.workdps(40):
            x = mpmath.mpf(float(ppf(cut, p)))
            below = mpmath.betainc(0.5, mpmath.mpf(df) / 2, 0, x * x / (df + x * x), regularized=True)
        assert float(below) == pytest.approx(p, rel=1e-9)
        assert float(cdf(cut, float(x))) == pytest.approx(p, rel=1e-9)


def test_the_lower_tail_of_a_law_cut_at_zero_keeps_its_digits():
    cut = law(of("student_t", df=3, loc=2, scale=1, lower=0))
    x = ppf(cut, 2.0 ** -np.arange(20.0, 54.0))
    np.testing.assert_allclose(x[:-1] / x[1:], 2.0, rtol=1e-5)
    np.testing.assert_allclose(cdf(cut, x), 2.0 ** -np.arange(20.0, 54.0), rtol=1e-10)


def test_a_mixture_with_gaps_and_atoms():
    mixed = law(of("mixture", components=[of("uniform", low=0, high=1), of("uniform", low=2, high=3), 2.5], weights=[2, 1, 1]))
    np.testing.assert_allclose(
        ppf(mixed, [0.25, 0.5, 0.5 + 1e-9, 0.6, 0.625, 0.7, 0.875, 0.9]), [0.5, 1, 2, 2.4, 2.5, 2.5, 2.5, 2.6], rtol=1e-8
    )
    np.testing.assert_allclose(isf(mixed, [0.1, 0.125, 0.3, 0.375]), [2.6, 2.5, 2.5, 2.5], rtol=1e-12)
    assert float(cdf(mixed, 2.5)) == 0.875
    assert float(sf(mixed, np.nextafter(2.5, 0))) == pytest.approx(0.375)


def test_a_cut_mixture_is_the_mixture_of_its_cut_components():
    cut = law(
        of("mixture", components=[of("normal", mean=0, sd=1), 5.0, of("uniform", low=-3, high=-1)], weights=[2, 1, 1], lower=0, upper=5)
    )
    assert support(cut) == (0.0, 5.0)
    assert float(sf(cut, 4.9)) == pytest.approx(0.5, abs=1e-6)
    assert float(ppf(cut, 2e-12)) == pytest.approx(2e-12 * math.sqrt(math.pi / 2) * 2, rel=1e-6)


def test_a_step_function_takes_the_smallest_value_that_suffices():
    steps = law(of("empirical", values=[3, 1, 2, 2], weights=[1, 2, 3, 4]))
    np.testing.assert_array_equal(ppf(steps, [1e-300, 0.2, 0.2000001, 0.9, 0.9000001]), [1, 1, 2, 2, 3])
    np.testing.assert_array_equal(isf(steps, [1e-300, 0.0999999, 0.1, 0.8, 0.7999999]), [3, 3, 2, 1, 2])
    np.testing.assert_allclose(cdf(steps, [0, 1, 1.5, 2, 3, 4]), [0, 0.2, 0.2, 0.9, 1, 1])
    cut = law(of("empirical", values=[3, 1, 2, 2], weights=[1, 2, 3, 4], upper=2.5))
    assert support(cut) == (1.0, 2.0)
    assert float(cdf(cut, 1)) == pytest.approx(2 / 9)


def test_pert_is_the_beta_of_its_three_numbers():
    np.testing.assert_allclose(ppf(law(of("pert", low=2, mode=3, high=6)), TAILS), stats.beta(2, 4, 2, 4).ppf(TAILS), rtol=1e-14)


@given(smooth_laws())
def test_laws_are_those_of_scipy(spec):
    frozen = of_scipy(spec)
    levels = np.array([1e-3, 0.05, 0.3, 0.5, 0.8, 0.99])
    np.testing.assert_allclose(ppf(law(spec), levels), frozen.ppf(levels), rtol=1e-9, atol=1e-300)
    np.testing.assert_allclose(isf(law(spec), levels), frozen.isf(levels), rtol=1e-9, atol=1e-300)


# tails


@pytest.mark.parametrize(
    ("spec", "at_zero", "at_infinity"),
    [
        (0.5, INF, INF),
        (0, 0.0, INF),
        (of("empirical", values=[0, 1], weights=[1, 1]), 0.0, INF),
        (of("empirical", values=[0, 1], weights=[0, 1]), INF, INF),
        (of("beta", alpha=2.5, beta=10), 2.5, INF),
        (of("beta", alpha=2.5, beta=10, lower=0, upper=0.9), 2.5, INF),
        (of("beta", alpha=2.5, beta=10, lower=1e-3), INF, INF),
        (of("uniform", low=0, high=1), 1.0, INF),
        (of("uniform", low=0.1, high=1), INF, INF),
        (of("normal", mean=1, sd=1, lower=0), 1.0, INF),
        (of("normal", mean=1, sd=1), 1.0, INF),
        (of("student_t", df=3, loc=1, scale=1, lower=0), 1.0, 3.0),
        (of("student_t", df=3, loc=1, scale=1, upper=9), 1.0, INF),
        (of("triangular", low=0, mode=0.2, high=1), 2.0, INF),
        (of("triangular", low=0, mode=0, high=1), 1.0, INF),
        (of("triangular", low=-1, mode=0, high=1, lower=0), 1.0, INF),
        (of("pert", low=0, mode=0.25, high=1), 2.0, INF),
        (of("gamma", shape=0.7, scale=3), 0.7, INF),
        (of("gamma", shape=0.7, scale=3, lower=0.1), INF, INF),
        (of("lognormal", median=1, sd_log=3), INF, INF),
        (of("mixture", components=[of("beta", alpha=3, beta=2), of("gamma", shape=1.5, scale=1), 0], weights=[1, 1, 0]), 1.5, INF),
        (of("mixture", components=[1, of("student_t", df=2.5, loc=0, scale=1)], weights=[1, 1], lower=0.5), INF, 2.5),
        (of("scipy", name="weibull_min", c=1.7), pytest.approx(1.7, rel=1e-6), pytest.approx(17.0, rel=0.4)),
        (of("scipy", name="pareto", b=1.5), INF, pytest.approx(1.5, rel=1e-6)),
        (of("scipy", name="fisk", c=2.2), pytest.approx(2.2, rel=1e-6), pytest.approx(2.2, rel=1e-6)),
    ],
)
def test_indices_of_the_tails(spec, at_zero, at_infinity):
    assert index_at_zero(law(spec)) == at_zero
    if spec != of("scipy", name="weibull_min", c=1.7):
        assert index_at_infinity(law(spec)) == at_infinity
    else:
        assert index_at_infinity(law(spec)) > 10  # a light tail


@given(smooth_laws())
def test_the_index_at_zero_is_the_slope_of_the_log_cdf(spec):
    of_spec = law(spec)
    if support(of_spec)[0] == 0 and spec["kind"] not in ("lognormal", "scipy"):
        p = np.array([1e-10, 1e-11])
        x = ppf(of_spec, p)
        if x[1] > 1e-290 and index_at_zero(of_spec) < 3:  # a steep power shows only deeper
            assert float(np.log(10) / np.log(x[0] / x[1])) == pytest.approx(index_at_zero(of_spec), rel=0.2)


def test_unbounded_laws():
    assert distributions.is_unbounded(law(of("normal", mean=0, sd=1)))
    assert not distributions.is_unbounded(law(of("normal", mean=0, sd=1, upper=3)))
    assert not distributions.is_unbounded(law(of("beta", alpha=1, beta=1)))


def test_the_mass_of_a_truncation_is_renormalised_not_clipped():
    """A law that clips has an atom at its bound; the verdict sees it."""
    cut, whole = law(of("normal", mean=1, sd=1, lower=0)), law(of("normal", mean=1, sd=1))
    assert float(cdf(cut, 1e-9)) < 1e-8
    assert float(cdf(cut, 1.0)) == pytest.approx((0.5 - stats.norm.cdf(-1)) / stats.norm.sf(-1), rel=1e-12)
    clipped = np.maximum(ppf(whole, TAILS), 0.0)
    assert not np.allclose(clipped, ppf(cut, TAILS), rtol=1e-3)


def test_reading_a_law_loads_no_unit_library():
    code = "import sys; from sim.elicitation import law; law(0.5); sys.exit('pint' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_common_laws_load_neither_scipys_laws_nor_its_solvers():
    code = (
        "import sys; from sim import distributions as d; from sim.elicitation import law; "
        "specs = [dict(kind='normal', mean=1, sd=1, lower=0), dict(kind='lognormal', median=1, sd_log=1), "
        "dict(kind='gamma', shape=2, scale=1), dict(kind='beta', alpha=2, beta=3), "
        "dict(kind='pert', low=0, mode=1, high=3), dict(kind='uniform', low=0, high=1), 2.0]; "
        "[(d.inverse_table(law(s)), d.index_at_zero(law(s)), d.index_at_infinity(law(s))) for s in specs]; "
        "assert not {'scipy.stats', 'scipy.optimize', 'scipy.interpolate'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)
