"""`sim.propagate`: published answers, the same bits however it is run, and what a function may not do."""

from __future__ import annotations

import math

import numba
import numpy as np
import pytest
import verdicts
import xarray as xr
from scipy import integrate, optimize, stats

import sim
from sim.propagation import CHUNK
from sim.runner import BLOCK

DRAWS = 2**18
SAMPLERS = ("sobol", "philox")
STANDARD = {"kind": "normal", "mean": 0.0, "sd": 1.0}
BOUNDS = [0.025, 0.975]


def total(**x):
    return {"y": sum(x.values())}


def draws_of(tree):
    """Return what the verdicts divide by: replicates, or draws where each is one."""
    return tree.attrs["replicates"] if tree.attrs["sampler"] == "sobol" else tree.attrs["draws"]


def assert_quantiles(tree, reference, slack=0.0, name="y"):
    """Assert that quantiles (probability -> number) agree with a reference."""
    at = list(reference)
    found, mcse = (tree[group][name].sel(quantile=at).values for group in ("quantiles", "mcse"))
    verdicts.assert_agrees(found, list(reference.values()), mcse, draws_of(tree), slack, f"quantiles of {tree.attrs['title']}")


def assert_moments(tree, mean, sd, kurtosis, slack=(0.0, 0.0), name="y"):
    """Assert that mean and sd agree with a reference; an sd has no MCSE of its own and gets that of plain Monte Carlo."""
    found = tree["moments"][name]
    verdicts.assert_agrees(found.sel(moment="mean"), mean, found.sel(moment="mean_mcse"), draws_of(tree), slack[0], "mean")
    error = sd * math.sqrt((kurtosis - 1.0) / (4.0 * tree.attrs["draws"]))
    verdicts.assert_agrees(found.sel(moment="sd"), sd, error, tree.attrs["draws"], slack[1], "sd")


# ------------------------------------------------------------------------------------------------------------------ known answers


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_four_normal_terms(sampler):
    """JCGM 101:2008, 9.2.2."""
    tree = sim.propagate(total, parameters=dict.fromkeys("abcd", STANDARD), draws=DRAWS, seed=1, sampler=sampler)
    assert_quantiles(tree, dict(zip(BOUNDS, (-3.919928, 3.919928), strict=True)), slack=5e-7)
    assert_moments(tree, 0.0, 2.0, kurtosis=3.0)


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_four_rectangular_terms(sampler):
    """JCGM 101:2008, 9.2.3."""
    half = math.sqrt(3.0)
    rectangular = {"kind": "uniform", "low": -half, "high": half}
    tree = sim.propagate(total, parameters=dict.fromkeys("abcd", rectangular), draws=DRAWS, seed=2, sampler=sampler)
    end = 2.0 * half * (2.0 - 0.6**0.25)
    assert end == pytest.approx(3.879407, abs=1e-6)
    assert_quantiles(tree, dict(zip(BOUNDS, (-end, end), strict=True)))
    assert_moments(tree, 0.0, 2.0, kurtosis=3.0)


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_mass_calibration(sampler):
    """JCGM 101:2008, 9.3: the deviation of a conventional mass from nominal, mg."""
    tree = sim.propagate(
        lambda m, e, ra, rw, rr: {"y": (m + e) * (1.0 + (ra - 1.2) * (1.0 / rw - 1.0 / rr)) - 100_000.0},
        parameters={
            "m": {"kind": "normal", "mean": 100_000.0, "sd": 0.050},
            "e": {"kind": "normal", "mean": 1.234, "sd": 0.020},
            "ra": {"kind": "uniform", "low": 1.10, "high": 1.30},
            "rw": {"kind": "uniform", "low": 7000.0, "high": 9000.0},
            "rr": {"kind": "uniform", "low": 7950.0, "high": 8050.0},
        },
        draws=DRAWS, seed=3, sampler=sampler,
    )  # fmt: skip
    assert_quantiles(tree, dict(zip(BOUNDS, (1.08443, 1.38361), strict=True)), slack=5e-6)
    assert_moments(tree, 1.234, 0.0754797, kurtosis=3.0, slack=(5e-4, 5e-8))


def squares(x1, x2):
    return {"y": x1**2 + x2**2}


def sum_of_squares_quantile(p, r, mean=0.010, sd=0.005):
    """Return a quantile of X1^2 + X2^2, normal with one sd, means `mean` and 0, correlation r, by quadrature over X2."""
    angle, weight = np.polynomial.legendre.leggauss(400)
    angle, weight = angle * np.pi / 2.0, weight * np.pi / 2.0

    def cdf(q):
        x2 = math.sqrt(q) * np.sin(angle)
        half = math.sqrt(q) * np.cos(angle)
        x1 = stats.norm(mean + r * x2, sd * math.sqrt(1.0 - r * r))
        return float(weight @ (stats.norm(0.0, sd).pdf(x2) * half * (x1.cdf(half) - x1.cdf(-half))))

    return optimize.brentq(lambda q: cdf(q) - p, 1e-8, 4e-3, xtol=1e-16, rtol=1e-12)


@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize("r", [0.0, 0.9])
def test_microwave_power_meter(r, sampler):
    """JCGM 101:2008, 9.4, with and without correlation; the quadrature knows nothing of tables, copulas or draws."""
    tree = sim.propagate(
        squares,
        parameters={"x1": {"kind": "normal", "mean": 0.010, "sd": 0.005}, "x2": {"kind": "normal", "mean": 0.0, "sd": 0.005}},
        correlation={("x1", "x2"): r} if r else None,
        draws=DRAWS, seed=4, sampler=sampler,
    )  # fmt: skip
    assert_quantiles(tree, {p: sum_of_squares_quantile(p, r) for p in (0.025, 0.5, 0.975)})
    sd = math.sqrt(4.0 * 0.005**4 * (1.0 + r * r) + 4.0 * 0.010**2 * 0.005**2)
    assert r or sd == pytest.approx(111.803e-6, abs=5e-10)
    assert_moments(tree, 150e-6, sd, kurtosis=9.0)


def test_ishigami():
    angle = {"kind": "uniform", "low": -math.pi, "high": math.pi}
    tree = sim.propagate(
        lambda x1, x2, x3: {"y": np.sin(x1) + 7.0 * np.sin(x2) ** 2 + 0.1 * x3**4 * np.sin(x1)},
        parameters={"x1": angle, "x2": angle, "x3": angle}, draws=DRAWS, seed=5,
    )  # fmt: skip
    assert_moments(tree, 3.5, math.sqrt(13.844587940719254), kurtosis=3.6)


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_product_of_lognormals(sampler):
    sds = {"a": 0.5, "b": 0.3, "c": 0.2}
    tree = sim.propagate(
        lambda a, b, c: {"y": a * b * c},
        parameters={name: {"kind": "lognormal", "median": 1.0, "sd_log": sd} for name, sd in sds.items()},
        draws=DRAWS, seed=6, sampler=sampler,
    )  # fmt: skip
    variance = sum(sd**2 for sd in sds.values())
    law = stats.lognorm(math.sqrt(variance))
    assert_quantiles(tree, {p: float(law.ppf(p)) for p in (0.005, 0.05, 0.5, 0.95, 0.995)})
    assert_moments(tree, math.exp(variance / 2.0), float(law.std()), kurtosis=float(law.stats("k")) + 3.0)


@pytest.mark.parametrize("r", [0.9, -0.5, 1.0])
def test_a_correlated_pair(r):
    tree = sim.propagate(total, parameters={"a": STANDARD, "b": {**STANDARD, "sd": 2.0}}, correlation={("b", "a"): r}, draws=DRAWS, seed=7)
    assert_moments(tree, 0.0, math.sqrt(5.0 + 4.0 * r), kurtosis=3.0)


def joint_tail(p, r, df):
    """Return P(both T > t) of a bivariate t, t its upper p quantile: T2 given T1 = x is a t of df + 1 about r x."""
    t = stats.t.isf(p, df)

    def density(x):
        scale = math.sqrt((df + x * x) * (1.0 - r * r) / (df + 1.0))
        return stats.t.pdf(x, df) * stats.t.sf((t - r * x) / scale, df + 1.0)

    return integrate.quad(lambda v: density(t / v) * t / v**2, 0.0, 1.0)[0]


def test_extremes_of_a_t_copula_come_together():
    n, p = 200_000, 0.01
    assert joint_tail(1e-8, 0.5, 4.0) / 1e-8 == pytest.approx(0.2531700, abs=2e-4)  # the limit that is tabulated
    tree = sim.propagate(
        total, parameters={"a": STANDARD, "b": STANDARD}, correlation={("a", "b"): 0.5}, copula="t", df=4.0,
        draws=n, seed=8, sampler="philox", keep_draws=n,
    )  # fmt: skip
    kept = tree["draws"]["parameter_value"].values.reshape(-1, 2)
    assert len(kept) == n
    hits = int((kept > stats.norm.isf(p)).all(axis=1).sum())
    expected = joint_tail(p, 0.5, 4.0)
    verdicts.decide("joint upper tail", verdicts.coverage_p(hits, n, expected, expected))
    for column in kept.T:
        verdicts.assert_follows(column, stats.norm())


def test_digits_next_to_a_large_number_are_kept():
    tree = sim.propagate(lambda x: {"y": x}, parameters={"x": {"kind": "normal", "mean": 100_000.001, "sd": 0.05}}, draws=DRAWS, seed=9)
    law = stats.norm(100_000.001, 0.05)
    assert_quantiles(tree, {p: float(law.ppf(p)) for p in (0.005, 0.025, 0.5, 0.975, 0.995)}, slack=1e-10)
    assert float(tree["mcse"]["y"].max()) < 1e-4  # of which bins about 0, 512 wide there, would make 256
    assert_moments(tree, 100_000.001, 0.05, kurtosis=3.0, slack=(1e-10, 1e-10))


# ------------------------------------------------------------------------------------------------------------------ what may come out


def test_undefined_draws_are_counted_and_left_out():
    def function(x):
        return {"half": np.where(x > 0.0, x, np.nan), "never": np.full_like(x, np.nan), "always": x}

    tree = sim.propagate(function, parameters={"x": STANDARD}, draws=DRAWS, seed=10)
    found = tree["quantiles"]
    assert found["half"].attrs["undefined_share"] == pytest.approx(0.5, abs=1e-3)
    assert found["never"].attrs["undefined_share"] == 1.0
    assert "undefined_share" not in found["always"].attrs
    assert found["never"].isnull().all()
    assert_quantiles(tree, {p: float(stats.halfnorm.ppf(p)) for p in (0.025, 0.5, 0.975)}, name="half")
    assert_moments(tree, math.sqrt(2.0 / math.pi), math.sqrt(1.0 - 2.0 / math.pi), kurtosis=3.9, name="half")


def test_infinite_draws():
    tree = sim.propagate(
        lambda x: {"y": np.where(x > 1.0, np.inf, np.where(x < -2.0, -np.inf, x))}, parameters={"x": STANDARD}, draws=DRAWS, seed=11
    )
    assert tree["quantiles"]["y"].sel(quantile=[0.01, 0.9]).values.tolist() == [-np.inf, np.inf]
    assert_quantiles(tree, {0.5: 0.0})
    assert tree["moments"]["y"].isnull().all()
    assert "infinite" in tree["moments"]["y"].attrs["note"]
    assert "undefined_share" not in tree["quantiles"]["y"].attrs


def test_integers_booleans_and_single_numbers():
    tree = sim.propagate(
        lambda x: {"whole": np.floor(4.0 * x).astype(int), "truth": x < 0.25, "single": 3, "zero_d": np.float32(0.5)},
        parameters={"x": {"kind": "uniform", "low": 0.0, "high": 1.0}}, draws=DRAWS, seed=12,
    )  # fmt: skip
    assert tree["quantiles"]["whole"].sel(quantile=[0.1, 0.9]).values.tolist() == [0.0, 3.0]
    assert float(tree["moments"]["truth"].sel(moment="mean")) == pytest.approx(0.25, abs=1e-4)
    assert (tree["quantiles"]["single"] == 3.0).all()
    assert (tree["mcse"]["single"] == 0.0).all()
    assert tree["moments"]["zero_d"].values.tolist() == [0.5, 0.0, 0.0]


def test_constants_alone():
    tree = sim.propagate(lambda a, b: {"y": a / b}, parameters={"a": 1.0, "b": "8"}, correlation={("a", "b"): 0.5}, draws=1, seed=0)
    assert (tree["quantiles"]["y"] == 0.125).all()
    assert (tree.attrs["draws"], tree.attrs["draws_asked"]) == (16, 1)


# ------------------------------------------------------------------------------------------------------------------ the tree


def test_the_tree(tmp_path):
    tree = sim.propagate(squares, parameters={"x2": {**STANDARD, "upper": 1.0}, "x1": 2.0}, draws=1_000, seed=2**64 - 1, keep_draws=100)
    assert set(tree.children) == {"quantiles", "mcse", "moments", "parameters", "draws"}
    assert tree["quantiles"]["y"].dims == tree["mcse"]["y"].dims == ("quantile",)
    assert tree["moments"]["moment"].values.tolist() == ["mean", "sd", "mean_mcse"]
    exact = tree["parameters"]["value"]
    assert exact.dims == ("parameter", "quantile")
    assert (exact.sel(parameter="x1") == 2.0).all()
    assert float(exact.sel(parameter="x2", quantile=0.5)) == pytest.approx(stats.norm.ppf(0.5 * stats.norm.cdf(1.0)))
    draws = tree["draws"]
    assert draws["y"].shape == (16, 7)
    given = draws["parameter_value"]
    np.testing.assert_array_equal(draws["y"], given.sel(parameter="x1") ** 2 + given.sel(parameter="x2") ** 2)
    for group in tree.children.values():
        for variable in group.data_vars.values():
            assert {"units", "long_name"} <= set(variable.attrs)
    assert tree.attrs["function"] == f"{__name__}.squares"
    assert tree.attrs["seed"] == 2**64 - 1
    assert {"draws", "draws_asked", "sampler", "created_at", "creation_library", "numpy_version", "python_version"} <= set(tree.attrs)

    interval = sim.credible_interval(tree["quantiles"], 0.95)
    assert interval["y"].values.tolist() == tree["quantiles"]["y"].sel(quantile=BOUNDS).values.tolist()
    assert "draws" not in sim.propagate(squares, parameters={"x1": 1.0, "x2": STANDARD}, draws=16, seed=0).children

    tree.to_netcdf(tmp_path / "y.nc", engine="h5netcdf")
    with xr.open_datatree(tmp_path / "y.nc", engine="h5netcdf") as opened:
        from sim.tree import numbers_digest

        assert numbers_digest(opened) == tree.attrs["numbers_digest"]
        assert opened.attrs["seed"] == tree.attrs["seed"]


# ------------------------------------------------------------------------------------------------------------------ the same bits

SKEWED = {
    "x1": {"kind": "gamma", "shape": 2.0, "scale": 3.0},
    "x2": {"kind": "triangular", "low": 0.0, "mode": 1.0, "high": 3.0},
    "x3": STANDARD,
}
LINKS = {("x1", "x2"): 0.6, ("x3", "x1"): -0.4}


def arithmetic(x1, x2, x3):
    return {"a": x1 * x2 - x3, "b": x1 / x2}


def arithmetic_of_one(x1, x2, x3):
    return x1 * x2 - x3, x1 / x2


def digest(function=arithmetic, parameters=SKEWED, draws=4 * BLOCK, seed=20, **options):
    return sim.propagate(function, parameters=parameters, draws=draws, seed=seed, **options).attrs["numbers_digest"]


@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize(("copula", "df"), [("gaussian", None), ("t", 3.0)])
def test_threads_and_compilation_change_no_bit(sampler, copula, df):
    options = {"correlation": LINKS, "copula": copula, "df": df, "sampler": sampler}
    alone = digest(threads=1, **options)
    assert digest(threads=2, **options) == alone
    assert digest(threads=5, **options) == alone
    assert digest(numba.njit(arithmetic_of_one), outputs=["a", "b"], threads=2, **options) == alone
    assert digest(seed=21, **options) != alone
    assert digest(sampler=sampler) != alone


def test_the_order_of_parameters_changes_no_output():
    shuffled = {name: SKEWED[name] for name in ("x3", "x1", "x2")}
    first, second = (
        sim.propagate(arithmetic, parameters=laws, correlation=links, draws=10_000, seed=22)["quantiles"].to_dataset()
        for laws, links in ((SKEWED, LINKS), (shuffled, {("x1", "x3"): -0.4, ("x2", "x1"): 0.6}))
    )
    xr.testing.assert_identical(first, second)


def test_under_philox_a_new_parameter_changes_no_other_stream():
    first, second = (
        sim.propagate(function, parameters=laws, draws=10_000, seed=23, sampler="philox")["quantiles"]["y"]
        for function, laws in (
            (lambda b: {"y": b}, {"b": STANDARD}),
            (lambda a, b: {"y": b}, {"a": STANDARD, "b": STANDARD}),
        )
    )
    np.testing.assert_array_equal(first, second)


def test_a_function_may_use_up_its_arrays():
    def greedy(x1, x2, x3):
        x1 *= x2
        x1 -= x3
        return {"a": x1}

    kept, spoilt = (
        sim.propagate(function, parameters=SKEWED, draws=5_000, seed=24, keep_draws=50)
        for function in (lambda x1, x2, x3: {"a": x1 * x2 - x3}, greedy)
    )
    assert kept.attrs["numbers_digest"] == spoilt.attrs["numbers_digest"]


def test_blocks_are_no_larger_than_promised():
    sizes = set()

    def function(x):
        sizes.add(x.size)
        return {"y": x}

    tree = sim.propagate(function, parameters={"x": STANDARD}, draws=3 * BLOCK, seed=25, sampler="philox", keep_draws=BLOCK + 7, threads=1)
    assert max(sizes) == CHUNK
    kept = tree["draws"]["y"].values.ravel()
    assert kept.size == BLOCK + 7
    assert np.unique(kept).size == kept.size


# ------------------------------------------------------------------------------------------------------------------ ways to call


def positional(first, second, /):
    return {"y": first - second}


@pytest.mark.parametrize(
    "function",
    [
        lambda x1, x2: {"y": x1 - x2},
        lambda x2, x1: {"y": x1 - x2},  # by name, not by place
        lambda *, x2, x1, extra=0.0: {"y": x1 - x2 + extra},
        lambda **x: {"y": x["x1"] - x["x2"]},
        lambda *x: {"y": x[0] - x[1]},
        positional,
        numba.njit(lambda x1, x2: x1 - x2),
        numba.njit(lambda x2, x1: x1 - x2),
        numba.njit(lambda x1, x2, extra=0.0: (x1 - x2 + extra,)),
        numba.njit(lambda *x: x[0] - x[1]),
    ],
)
def test_arguments_by_name_or_by_place(function):
    compiled = type(function).__name__ == "CPUDispatcher"
    tree = sim.propagate(
        function, parameters={"x1": STANDARD, "x2": 5.0}, draws=1_000, seed=30, keep_draws=16, outputs=["y"] if compiled else None
    )
    x = tree["draws"]["parameter_value"]
    np.testing.assert_array_equal(tree["draws"]["y"], x.sel(parameter="x1") - 5.0)


def test_errstate_of_the_caller_holds_in_every_thread():
    """Warnings are errors in this session, so the first 0/0 in a thread with other settings would end the run."""

    def ratio(x):
        return {"y": np.floor(x) / np.floor(x)}

    with np.errstate(invalid="ignore"):
        tree = sim.propagate(ratio, parameters={"x": STANDARD}, draws=DRAWS, seed=31, threads=2)
    assert tree["quantiles"]["y"].attrs["undefined_share"] == pytest.approx(stats.norm.cdf(1.0) - 0.5, abs=1e-3)
    with pytest.raises(sim.SimError, match="raised RuntimeWarning"):
        sim.propagate(ratio, parameters={"x": STANDARD}, draws=DRAWS, seed=31, threads=2)


# ------------------------------------------------------------------------------------------------------------------ errors


def one(x):
    return {"y": x}


def two(x1, x2):
    return {"y": x1 + x2}


PAIR = {"x1": STANDARD, "x2": STANDARD}
SINGLE = {"x": STANDARD}


@pytest.mark.parametrize(
    ("function", "asked", "says"),
    [
        (one, {"parameters": {}}, ["parameters: there is no parameter", "names to numbers or distributions"]),
        (one, {"parameters": [STANDARD]}, ["parameters: [{'kind'", "names to numbers"]),
        (one, {"parameters": {"x": {"kind": "nrmal"}}}, ["parameters.x.kind: 'nrmal'", "nearest is 'normal'"]),
        (one, {"parameters": {"x": {"kind": "beta", "mean": 0.12, "sd": 0.5}}}, ["parameters.x.sd: sd = 0.5 is impossible", "below 0.325"]),
        (one, {"parameters": {"x": True}}, ["parameters.x: True is not a number"]),
        (one, {"parameters": {"x": "2 kg"}}, ["parameters.x: '2 kg' has a unit"]),
        (lambda *x: {"y": x[0]}, {"parameters": {"a b": 1.0}}, ["'a b' is no name"]),
        (lambda *x: {"y": x[0]}, {"parameters": {3: 1.0}}, ["3 is no name"]),
        (one, {"draws": 0}, ["draws: 0 came", "from 1 to"]),
        (one, {"draws": 1.5}, ["draws: 1.5 came"]),
        (one, {"seed": -1}, ["seed: -1 came", "from 0 to 2^64 - 1"]),
        (one, {"seed": 2**64}, ["seed: 18446744073709551616 came"]),
        (one, {"seed": None}, ["seed: None came"]),
        (one, {"seed": True}, ["seed: True came"]),
        (one, {"keep_draws": -1}, ["keep_draws: -1 came"]),
        (one, {"threads": 0}, ["threads: 0 came", "from 1"]),
        (one, {"sampler": "mc"}, ["sampler: 'mc' came", '"sobol" or "philox"']),
        (one, {"copula": "clayton"}, ["copula: 'clayton' came", '"gaussian" or "t"']),
        (one, {"df": 4}, ["df: a gaussian copula has no df"]),
        (one, {"copula": "t", "df": 4}, ["correlation: copula \"t\" links no parameters"]),
        (two, {"parameters": PAIR, "correlation": {("x1", "x2"): 0.0}, "copula": "t"}, ["df: df is missing", "Give df = 4"]),
        (two, {"parameters": PAIR, "correlation": {("x1", "x2"): 0.0}, "copula": "t", "df": 0.5}, ["df: 0.5 came", "from 1 to 1e6"]),
        (two, {"parameters": PAIR, "correlation": {("x1", "x21"): 0.1}}, ["x21: 'x21' is no parameter", "nearest is x2"]),
        (two, {"parameters": PAIR, "correlation": {("x1", "x1"): 0.1}}, ["paired with itself"]),
        (two, {"parameters": PAIR, "correlation": {("x1", "x2"): 0.1, ("x2", "x1"): 0.1}}, ["x2, x1: this pair is given twice"]),
        (two, {"parameters": PAIR, "correlation": {("x1", "x2"): 1.01}}, ["a correlation of 1.01", "from -1 to 1"]),
        (two, {"parameters": PAIR, "correlation": {("x1", "x2"): math.nan}}, ["a correlation of nan"]),
        (two, {"parameters": PAIR, "correlation": {("x1", "x2"): True}}, ["a correlation of True"]),
        (two, {"parameters": PAIR, "correlation": {"x1x2": 0.5}}, ["the key is not a pair"]),
        (two, {"parameters": PAIR, "correlation": [0.5]}, ["correlation: [0.5] came", 'such as {("x1", "x2"): 0.9}']),
        (3, {}, ["function: 3 cannot be called"]),
        (two, {"parameters": {"x1": STANDARD, "x21": 1}}, ["takes x2, which parameters lacks, and does not take x21", "to x21 is x2"]),
        (two, {"parameters": {"x1": STANDARD}}, ["two(x1, x2) takes x2, which parameters lacks"]),
        (two, {"parameters": {**PAIR, "rate": 1.0}}, ["two(x1, x2) does not take rate"]),
        (positional, {"parameters": SINGLE}, ["cannot take 1 arguments"]),
        (one, {"outputs": ["y"]}, ["outputs: the function is not Numba-compiled", "leave outputs out"]),
    ],
)  # fmt: skip
def test_what_cannot_be_asked(function, asked, says):
    with pytest.raises(sim.ScenarioError) as raised:
        sim.propagate(function, **{"parameters": SINGLE, "draws": 16, "seed": 0} | asked)
    assert len(raised.value.problems) == 1, str(raised.value)
    for fragment in says:
        assert fragment.lower() in str(raised.value).lower()


def test_all_problems_at_once():
    with pytest.raises(sim.ScenarioError) as raised:
        sim.propagate(
            two,
            parameters={"x1": {"kind": "nrmal"}, "x3": STANDARD},
            correlation={("x1", "x9"): 2.0, ("x3", "x1"): 0.5, ("x1", "x3"): 0.5},
            draws=0, seed=-1, sampler="mc", keep_draws=-1, threads=0, copula="t", outputs=["y"],
        )  # fmt: skip
    paths = [".".join(map(str, problem.path)) for problem in raised.value.problems]
    assert paths == [
        "parameters.x1.kind", "draws", "seed", "keep_draws", "threads", "sampler", "df", "function", "outputs",
        "correlation.x1, x9", "correlation.x1, x9", "correlation.x1, x3",
    ]  # fmt: skip


def test_correlations_that_contradict_each_other():
    laws = dict.fromkeys("abcdef", STANDARD)
    links = {("a", "b"): 0.9, ("b", "c"): 0.9, ("c", "a"): -0.9, ("d", "e"): 0.6, ("e", "f"): 0.6}
    with pytest.raises(sim.ScenarioError, match=r"a, b, c contradict each other.*smallest eigenvalue is -0\.8") as raised:
        sim.propagate(total, parameters=laws, correlation=links, draws=16, seed=0)
    (problem,) = raised.value.problems
    assert problem.advice.endswith("0.5555 times these")
    feasible = {pair: 0.5555 * r for pair, r in links.items() if set(pair) <= set("abc")}
    sim.propagate(total, parameters=laws, correlation=feasible, draws=16, seed=0)


@pytest.mark.parametrize(
    ("returned", "says"),
    [
        (None, ["returned None", "must return a dict", 'return {"y": y}']),
        (1.0, ["returned a float", "must return a dict"]),
        ((1.0, 2.0), ["returned a tuple", "give each array a name"]),
        ({}, ["returned an empty dict"]),
        ({"y": None}, ["returned None of dtype object as 'y'"]),
        ({"y": 1j}, ["returned a complex", "real and imaginary part"]),
        ({"y": "text"}, ["returned a str", "real numbers"]),
        ({"y": np.zeros(3)}, ["returned an array of shape (3,) as 'y'", "one for each draw"]),
        ({"y": np.zeros((64, 1))}, ["returned an array of shape (64, 1)"]),
        ({"y": [[1.0], [1.0, 2.0]]}, ["returned a list as 'y'"]),
        ({"y": np.ma.masked_array(np.zeros(64), np.ones(64, bool))}, ["returned a masked array as 'y'", "NaN"]),
        ({"a/b": 1.0}, ["'a/b' is no name of an output"]),
        *(
            ({name: 1.0}, [f"{name!r} is no name of an output", "parts of the result"])
            for name in ("quantile", "moment", "parameter", "unit", "chain", "draw", "parameter_value")
        ),
        ({1: 1.0}, ["1 is no name of an output"]),
    ],
)  # fmt: skip
def test_what_a_function_cannot_return(returned, says):
    with pytest.raises(sim.SimError) as raised:
        sim.propagate(lambda x: returned, parameters=SINGLE, draws=16, seed=0)
    for fragment in ["function: ", *says]:
        assert fragment.lower() in str(raised.value).lower()


NOISE = np.random.default_rng(1)


def test_outputs_that_change_between_blocks():
    n_calls = 0

    def moody(x):
        nonlocal n_calls
        n_calls += 1
        return {"y": x} if n_calls < 6 else {"z": x}

    with pytest.raises(sim.SimError, match="returned the outputs z after y"):
        sim.propagate(moody, parameters=SINGLE, draws=4_096, seed=0)


@pytest.mark.parametrize(
    "function",
    [
        lambda x: {"y": x - x.mean()},
        lambda x: {"y": np.sort(x)},
        lambda x: {"y": np.cumsum(x)},
        lambda x: {"y": x + 1e-3 * NOISE.normal(size=x.size)},
        lambda x: {"y": x + np.arange(x.size)},
        lambda x: {"y": x + np.arange(x.size)[::-1]},
    ],
)
def test_a_function_that_is_not_one_of_each_draw_alone(function):
    with pytest.raises(sim.SimError, match=r"gave other numbers for 'y'.*its own draw"):
        sim.propagate(function, parameters=SINGLE, draws=16, seed=0)


def test_an_error_inside_the_function_is_named_and_chained():
    def picky(mass, rate):
        if mass.max() > 9.0:
            raise ValueError("too heavy\nby far")
        return {"y": mass * rate}

    with pytest.raises(sim.SimError) as raised:
        sim.propagate(picky, parameters={"mass": {"kind": "uniform", "low": 0.0, "high": 10.0}, "rate": 2.0}, draws=65_536, seed=0)
    assert isinstance(raised.value.__cause__, ValueError)
    text = str(raised.value)
    assert "picky raised ValueError: too heavy; it was given 64 draws of mass from 0." in text
    assert "rate from 2 to 2" in text
    assert "by far" not in text


def test_control_c_is_not_taken_for_an_error_of_the_function():
    def interrupted(x):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        sim.propagate(interrupted, parameters=SINGLE, draws=16, seed=0)


# ------------------------------------------------------------------------------------------------------------------ compiled functions


@pytest.mark.parametrize(
    ("outputs", "says"),
    [
        (None, ["outputs: outputs is missing", 'outputs=["y"]']),
        ([], ["outputs: [] came"]),
        ("ab", ["outputs: 'ab' came"]),
        (["a", "a"], ["outputs: 'a' comes twice"]),
        (["a", "moment"], ["outputs: 'moment' is no name"]),
        (["a"], ["returned 2 numbers", "outputs names 1: a"]),
        (["a", "b", "c"], ["returned 2 numbers", "outputs names 3: a, b, c"]),
    ],
)
def test_outputs_of_a_compiled_function(outputs, says):
    with pytest.raises(sim.SimError) as raised:
        sim.propagate(numba.njit(arithmetic_of_one), parameters=SKEWED, draws=16, seed=0, outputs=outputs)
    assert len(raised.value.problems) == 1
    for fragment in says:
        assert fragment in str(raised.value)


@pytest.mark.parametrize(
    ("function", "says"),
    [
        (lambda x: x + 1j, "returned a complex"),
        (lambda x: (x, "text"), "returned a str"),
        (lambda x: np.array([x]), "returned a ndarray"),
        (lambda x: x + "text", "raised TypingError"),
        (lambda x: x + np.random.normal(), "gave other numbers for 'y'"),  # noqa: NPY002
    ],
)
def test_what_a_compiled_function_cannot_return(function, says):
    outputs = ["y", "z"] if says == "returned a str" else ["y"]
    with pytest.raises(sim.SimError, match=says):
        sim.propagate(numba.njit(function), parameters=SINGLE, draws=16, seed=0, outputs=outputs)


def test_an_error_inside_a_compiled_function():
    def picky(x):
        if x > 3.5:
            raise ValueError("too large")
        return x

    with pytest.raises(sim.SimError, match=r"picky raised ValueError: too large; it was given \d+ draws of x from") as raised:
        sim.propagate(numba.njit(picky), parameters=SINGLE, draws=100_000, seed=0, outputs=["y"])
    assert isinstance(raised.value.__cause__, ValueError)


def test_a_compiled_function_may_return_integers_and_booleans():
    tree = sim.propagate(
        numba.njit(lambda x: (int(x), x > 0.0, 3)),
        parameters={"x": {**STANDARD, "mean": 1.0}},
        draws=DRAWS,
        seed=40,
        outputs=["a", "b", "c"],
    )
    assert float(tree["moments"]["b"].sel(moment="mean")) == pytest.approx(stats.norm.cdf(1.0), abs=1e-4)
    assert tree["quantiles"]["a"].sel(quantile=[0.005, 0.995]).values.tolist() == [-1.0, 3.0]
    assert (tree["quantiles"]["c"] == 3.0).all()
