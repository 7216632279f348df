"""Laws of load sizes from rows of a single event: known answers, a slow twin, coverage with planted faults, and what is refused."""

from __future__ import annotations

import math
import tomllib

import numpy as np
import pandas as pd
import pytest
import verdicts
from scipy import stats

import sim
from sim.elicitation import law
from sim.errors import EvidenceError
from sim.load_sizes import _log_likelihood, _Sizes, as_toml, fit_load_sizes

LB = 0.45359237


def table(sizes, corridor="north", unit="kg", rounding=0.0, period="FY2024", **more):
    """An evidence table of single events."""
    sizes = np.asarray(sizes, float)
    rows = {
        "corridor": corridor,
        "period": period,
        "form": "unrecorded",
        "n_events": 1,
        "amount": sizes,
        "unit": unit,
        "rounding": rounding,
    }
    return pd.DataFrame(rows | {"source": "key"} | more)


def fit(frame, **options):
    return fit_load_sizes(frame, **{"n_envelope": 0, "rounding": 0.0} | options)


def simulated(rng, n, sigma, median=1.0, truncation=math.inf):
    """Sizes by inversion of the truncated law."""
    return median * np.exp(sigma * stats.norm.ppf(rng.random(n) * stats.norm.cdf(truncation)))


def problem_of(*arguments, **options):
    with pytest.raises(EvidenceError) as caught:
        fit_load_sizes(*arguments, **options)
    return "\n".join(str(problem) for problem in caught.value.problems)


# ------------------------------------------------------------------------------------------------------------------ known answers


@pytest.mark.parametrize("n", [3, 10, 200])
def test_normal_theory(n):
    """Exact, untruncated, alone: (n - 1) sd^2 / sigma^2 is chi-square, (mu - mean) sqrt n / sd is t; both with n - 1 degrees."""
    sizes = simulated(np.random.default_rng(n), n, 1.0, 0.3)
    sd, mean = np.log(sizes).std(ddof=1), np.log(sizes).mean()
    found = fit(table(sizes), truncation=math.inf)
    probs = found["prob"].values
    freedom = n - 1
    below_8 = stats.chi2.sf(freedom * sd**2 / 64.0, freedom)  # the prior ends at 8
    expected = sd * np.sqrt(freedom / stats.chi2.isf(probs * below_8, freedom))
    np.testing.assert_allclose(found["log_sd"].values[0], expected, rtol=0.005)
    if n > 5:
        scale = sd / math.sqrt(n)
        np.testing.assert_allclose(np.log(found["median_kg"].values[0]), mean + scale * stats.t.ppf(probs, n - 1), atol=0.03 * scale)


def test_a_summary_is_the_rows_it_sums_up():
    sizes = simulated(np.random.default_rng(5), 60, 2.0)
    whole = fit(table(sizes), truncation=math.inf)
    short = fit_load_sizes(summaries={"north": (60, np.log(sizes).mean(), np.log(sizes).std(ddof=1))}, truncation=math.inf)
    for name in ("log_sd", "median_kg"):
        np.testing.assert_allclose(short[name], whole[name], rtol=1e-4)


def test_a_summary_is_corrected_for_truncation():
    """At c = 1 the log has sd 0.6298 sigma and mean mu - 0.2876 sigma."""
    cut = stats.truncnorm(-np.inf, 1.0)
    found = fit_load_sizes(summaries={"north": (100_000, float(cut.mean()) * 2.0, float(cut.std()) * 2.0)}, truncation=1.0)
    assert float(found["log_sd"].sel(prob=0.5)[0]) == pytest.approx(2.0, rel=2e-3)
    middle = 2.0 * float(cut.median())
    assert math.log(float(found["median_kg"].sel(prob=0.5)[0])) == pytest.approx(middle, abs=0.01)


@pytest.mark.parametrize(("truncation", "half"), [(3.0, 0.0), (1.2, 0.0), (3.0, 0.5), (1.2, 0.5), (math.inf, 0.5)])
def test_slow_twin(truncation, half):
    """The posterior by plain sums over a rectangle of (mu, log sigma), row by row."""
    sizes = simulated(np.random.default_rng(17), 12, 0.8, 6.0, truncation)
    if half:
        sizes = np.maximum(np.round(sizes), 1.0)
    found = fit(table(sizes, rounding=half), truncation=truncation)
    mu = np.linspace(-4.0, 8.0, 1501)[:, None]
    log_sigma = np.linspace(math.log(0.05), math.log(8.0), 800)[None, :]
    sigma = np.exp(log_sigma)
    total = np.zeros((mu.size, sigma.size))
    whole = stats.norm.cdf(truncation)
    for size in sizes:
        with np.errstate(divide="ignore"):
            if half:
                a, b = (np.log(size - half) - mu) / sigma, np.minimum((np.log(size + half) - mu) / sigma, truncation)
                total += np.log(np.maximum(stats.norm.cdf(b) - stats.norm.cdf(a), 0.0) / whole)
            else:
                z = (np.log(size) - mu) / sigma
                total += np.where(z <= truncation, stats.norm.logpdf(z) - log_sigma - np.log(whole), -np.inf)
    weight = np.exp(total - total.max()).sum(axis=0)
    weight /= weight.sum()
    expected = np.exp(np.interp(found["prob"].values, np.cumsum(weight) - weight / 2, log_sigma[0]))
    np.testing.assert_allclose(found["log_sd"].values[0], expected, rtol=0.01)


def test_units_do_not_matter():
    sizes = simulated(np.random.default_rng(8), 30, 1.5)
    kg, lb = fit(table(sizes)), fit(table(sizes / LB, unit="lb"))
    np.testing.assert_allclose(kg["log_sd"], lb["log_sd"], rtol=1e-6)
    np.testing.assert_allclose(kg["median_kg"], lb["median_kg"], rtol=1e-6)


def test_the_likelihood_of_a_narrow_interval_is_a_density():
    sizes = np.log([0.5, 1.0, 4.0])
    exact = _Sizes(corridors=("a",), n=3, mean=float(sizes.mean()), sd=1.0, log_size=sizes, low=sizes, high=sizes)
    near = _Sizes(corridors=("a",), n=3, mean=exact.mean, sd=1.0, log_size=sizes, low=sizes - 1e-5, high=sizes + 1e-5)
    mu = np.linspace(0.0, 1.0, 5)
    difference = _log_likelihood(near, 3.0)(mu, 0.7) - _log_likelihood(exact, 3.0)(mu, 0.7)
    np.testing.assert_allclose(difference, 3 * (math.log(2e-5) - math.log(2 * math.pi) / 2), atol=1e-6)


# ------------------------------------------------------------------------------------------------------------------ pooling


def test_corridors_lend_each_other_their_spread():
    rng = np.random.default_rng(3)
    many = [table(simulated(rng, 100, sigma), name) for name, sigma in (("a", 1.9), ("b", 2.0), ("c", 2.1))]
    few = table(np.exp([-0.1, 0.0, 0.1]), "d")  # sd 0.1 of three
    together = pd.concat([*many, few])
    pooled, alone = fit(together), fit(together, pool=False)
    middle = {
        name: (float(pooled["log_sd"].sel(corridor=name, prob=0.5)), float(alone["log_sd"].sel(corridor=name, prob=0.5))) for name in "abcd"
    }
    assert middle["d"][0] > 1.2 * middle["d"][1]
    for name in "abc":
        assert middle[name][0] == pytest.approx(middle[name][1], rel=0.05)
    elsewhere = pooled["log_sd_elsewhere"]
    assert float(elsewhere.sel(prob=0.025)) < min(pair[0] for pair in middle.values()) + 0.1
    assert "log_sd_elsewhere" not in alone
    shuffled = fit(together.sample(frac=1.0, random_state=1))
    np.testing.assert_allclose(shuffled["log_sd"], pooled["log_sd"], rtol=1e-9)


def test_a_corridor_of_one_row_takes_the_others_spread():
    rng = np.random.default_rng(4)
    frames = [table(simulated(rng, 50, 2.0), name) for name in "ab"]
    found = fit(pd.concat([*frames, table([1.0], "c")]))
    assert 1.2 < float(found["log_sd"].sel(corridor="c", prob=0.5)) < 3.0


def test_groups_are_one_corridor():
    sizes = simulated(np.random.default_rng(6), 40, 1.0)
    parts = pd.concat([table(sizes[:20], "a"), table(sizes[20:], "b")])
    found = fit(parts, groups={"both": ["a", "b"]})
    np.testing.assert_allclose(found["log_sd"], fit(table(sizes, "both"))["log_sd"], rtol=1e-9)
    (first,) = tomllib.loads(as_toml(found))["parameter"]
    assert first["corridor"] == ["a", "b"]


# ------------------------------------------------------------------------------------------------------------------ coverage

N_WORLDS = 64  # enough to reject a coverage .5 outside the band
WORLDS = {
    # n, sigma, median, truncation, round to whole units
    "rounded": (60, 0.15, 3.0, math.inf, True),
    "truncated": (60, 1.0, 1.0, 0.8, False),
    "both": (60, 0.4, 8.0, 1.0, True),
}
FAULTS = {"rounded": {"rounding": 0.0}, "truncated": {"truncation": math.inf}, "both": {"truncation": math.inf}}


def hits(world, n_worlds, seed, **fault):
    n, sigma, median, truncation, rounded = WORLDS[world]
    rng = np.random.default_rng([seed, sorted(WORLDS).index(world)])
    found = 0
    for _ in range(n_worlds):
        sizes = simulated(rng, n, sigma, median, truncation)
        options = {"truncation": truncation, "rounding": 0.5 if rounded else 0.0} | fault
        low, high = fit(table(np.maximum(np.round(sizes), 1.0) if rounded else sizes), **options)["log_sd"].values[0][[1, 5]]
        found += low <= sigma <= high
    return found


@pytest.mark.parametrize("world", ["rounded", "truncated"])
def test_coverage_of_the_90_percent_interval(world, statistics_seed):
    verdicts.assert_covers(hits(world, N_WORLDS, statistics_seed), N_WORLDS, 0.86, 0.94, 0.5)


@pytest.mark.nightly
@pytest.mark.parametrize("world", WORLDS)
def test_coverage_of_the_90_percent_interval_in_many_worlds(world, statistics_seed):
    verdicts.assert_covers(hits(world, 600, statistics_seed + 1), 600, 0.88, 0.92, 0.15)


@pytest.mark.parametrize("world", ["rounded", "truncated", pytest.param("both", marks=pytest.mark.nightly)])
def test_planted_fault_ignoring_rounding_or_truncation_is_rejected(world, statistics_seed):
    with pytest.raises(AssertionError, match="against"):
        verdicts.assert_covers(hits(world, N_WORLDS, statistics_seed, **FAULTS[world]), N_WORLDS, 0.86, 0.94, 0.5)


@pytest.mark.nightly
def test_coverage_of_pooled_corridors(statistics_seed):
    """Corridors whose log sigma is N(log 2, 0.3), eight rows each; the interval of one of them, an average over worlds."""
    rng, n_worlds, found = np.random.default_rng([statistics_seed, 9]), 400, 0
    for _ in range(n_worlds):
        sigmas = 2.0 * np.exp(0.3 * rng.standard_normal(4))
        frame = pd.concat([table(simulated(rng, 8, sigma), name) for sigma, name in zip(sigmas, "abcd", strict=True)])
        low, high = fit(frame, truncation=math.inf)["log_sd"].sel(corridor="a").values[[1, 5]]
        found += low <= sigmas[0] <= high
    verdicts.assert_covers(found, n_worlds, 0.85, 0.95, 0.2)


# ------------------------------------------------------------------------------------------------------------------ digits and rounding


def test_rounding_is_read_from_the_digits():
    """0.000440924524 lb is 0.2 g: weighed in grams; 0.0309 lb in pounds. A whole gram has lost its zero."""
    grams = np.array([0.2, 1.0, 12.3, 4.1]) * 0.001 / LB
    pounds = np.array([0.0309, 0.0042, 1.5, 30.8001])
    frame = pd.concat([table(np.round(grams, 12), unit="lb"), table(pounds, unit="lb")])
    found = fit(frame, rounding=None)
    assert int(found["n_rounded"][0]) == 8
    tenth, fourth = 0.5e-4, 0.5e-4 * LB
    from sim.load_sizes import _half_widths, _rows

    widths = _half_widths(_rows(frame, []), None)
    np.testing.assert_allclose(widths, [tenth] * 4 + [fourth] * 4, rtol=1e-9)
    assert _half_widths(_rows(frame, []), 0.003) == [0.003] * 8


def test_the_rows_own_rounding_wins():
    sizes = [2.0, 3.0, 3.0, 4.0, 2.0, 5.0]
    own, given = fit(table(sizes, rounding=0.5), rounding=0.0), fit(table(sizes), rounding=0.5)
    np.testing.assert_array_equal(own["log_sd"], given["log_sd"])
    assert float(own["log_sd"].sel(prob=0.5)[0]) < float(fit(table(sizes))["log_sd"].sel(prob=0.5)[0])


# ------------------------------------------------------------------------------------------------------------------ laws


@pytest.mark.parametrize("name", ["lognormal", "gamma", "weibull", "log-t"])
def test_the_law_that_made_the_sizes_is_found(name):
    rng = np.random.default_rng(12)
    n = 600
    sizes = {
        "lognormal": lambda: simulated(rng, n, 2.0, 1.0, 3.0),
        "gamma": lambda: rng.gamma(0.5, 2.0, n),
        "weibull": lambda: 2.0 * rng.weibull(0.4, n),
        "log-t": lambda: np.exp(0.3 * rng.standard_t(2.0, n)),
    }[name]()
    found = fit_load_sizes(table(sizes), rounding=0.0)
    aic = found["aic"].isel(corridor=0).to_series()
    assert aic[name] <= aic.min() + 1.0, aic
    assert aic.drop([name, *(["log-t"] if name == "lognormal" else [])]).min() > aic[name] + 5, aic
    outside = (found["qq_observed_kg"] < found["qq_low_kg"]) | (found["qq_observed_kg"] > found["qq_high_kg"])
    assert float(outside.sel(law=name).mean()) < 0.2
    told = any("fits better than lognormal" in report for report in found.attrs["reports"])
    assert told == (name != "lognormal")


def test_likelihoods_of_the_laws_against_scipy():
    """Rounding of 0.5 %: the log-likelihood of each law is the density's, times the widths of the intervals."""
    sizes = simulated(np.random.default_rng(2), 80, 1.0)
    half = 0.005
    frame = table(sizes, rounding=half * sizes)
    found = fit_load_sizes(frame, truncation=math.inf)
    widths = np.log(2 * half * sizes).sum()
    expected = stats.norm.logpdf(np.log(sizes), np.log(sizes).mean(), np.log(sizes).std()).sum() - np.log(sizes).sum() + widths
    assert float(found["log_likelihood"].sel(law="lognormal")[0]) == pytest.approx(expected, abs=0.01)
    shape, _, scale = stats.gamma.fit(sizes, floc=0)
    gamma = stats.gamma.logpdf(sizes, shape, scale=scale).sum() + widths
    assert float(found["log_likelihood"].sel(law="gamma")[0]) == pytest.approx(gamma, abs=0.01)


# ------------------------------------------------------------------------------------------------------------------ what is told


def test_the_bias_is_told_with_its_direction():
    single = table(simulated(np.random.default_rng(1), 20, 1.0))
    for amount, way in ((1000.0, "less"), (0.001, "more")):
        rest = single.iloc[:1].assign(n_events=80, amount=amount)
        reports = fit(pd.concat([single, rest])).attrs["reports"]
        assert any("20 of 100 events (20.0%)" in report and f"-fold {way}" in report for report in reports), reports
    assert any("The table holds no other rows" in report for report in fit(single).attrs["reports"])
    unweighed = pd.concat([single, single.iloc[:2].assign(amount=0.0)])
    assert any("2 rows of one event without a weight" in report for report in fit(unweighed).attrs["reports"])


def test_the_blocks_are_a_scenarios(tmp_path):
    frame = pd.concat([table(simulated(np.random.default_rng(1), 40, 2.0), name) for name in ("a b", 'c"d')])
    found = fit(frame)
    blocks = tomllib.loads(as_toml(found, median=True))["parameter"]
    assert [(block["name"], block["corridor"]) for block in blocks] == [
        (name, corridor) for corridor in ("a b", 'c"d') for name in ("load_log_sd", "load_median")
    ]
    for block in blocks:
        assert block["basis"] == "derived"
        assert block["source"] == "key"
        law(block["distribution"], "kg" if block["name"] == "load_median" else "1")
    found_law = blocks[0]["distribution"]
    assert found_law["lower"] < found_law["median"] < found_law["upper"] <= 8
    quantiles = found["log_sd"].sel(corridor="a b")
    stand_in = found_law["median"] * np.exp(found_law["sd_log"] * stats.norm.ppf(found["prob"]))
    np.testing.assert_allclose(stand_in, quantiles, rtol=0.06)


# ------------------------------------------------------------------------------------------------------------------ what is refused


def test_wrong_evidence(tmp_path):
    sums = table([5.0, 7.0]).assign(n_events=[4, 9])
    assert "of 2 rows none has n_events = 1" in problem_of(sums)
    assert "--cells" in problem_of(sums)
    path = tmp_path / "sums.csv"
    sums.to_csv(path, index=False)
    assert str(path) in problem_of(path)
    assert "absent.csv" in problem_of(tmp_path / "absent.csv")
    assert "3 or more are needed" in problem_of(table([1.0, 2.0]))
    assert "are the same" in problem_of(table([2.0, 2.0, 2.0]))
    assert "neither a table nor a summary" in problem_of()
    pills = table([100.0, 200.0, 300.0], unit="pill").assign(form="pill")
    assert "none has n_events = 1 and a weight" in problem_of(pills)
    assert "none has n_events = 1 and a weight" in problem_of(table([1.0, 2.0, 3.0]).assign(form="precursor"))
    assert "unknown key" in problem_of(table([1.0]).assign(wrong=1))
    assert "an sd of 31.9; sizes of loads spread by 0.05 to 8" in problem_of(table([1.0, 1e-15, 1e10, 1e-15, 1e15]))
    table([1.0, 2.0, 3.0]).to_csv(path, index=False)
    assert "this table is given twice; its rows would count twice" in problem_of([path, path.parent / "." / path.name])


def test_a_spread_at_the_end_of_the_grid_is_told():
    close, wide = (fit_load_sizes(table(sizes), rounding=0.0, n_envelope=0) for sizes in ([1.0, 1.01, 1.02, 1.03], [1.0, 2.0, 4.0, 8.0]))
    assert any("may be below 0.05" in report for report in close.attrs["reports"])
    assert not any("may be below" in report for report in wide.attrs["reports"])


def test_wrong_options():
    frame = table([1.0, 2.0, 4.0], "north")
    assert "The nearest is north" in problem_of(frame, groups={"g": ["norht"]})
    assert "is in g already" in problem_of(frame, groups={"g": ["north"], "h": ["north"]})
    assert "truncation: 0" in problem_of(frame, truncation=0.0)
    assert "rounding: -1" in problem_of(frame, rounding=-1.0)
    assert "the table has it too" in problem_of(frame, summaries={"north": (9, 0.0, 1.0)})
    assert "sd = 0" in problem_of(summaries={"north": (9, 0.0, 0.0)})


def test_public_name():
    assert sim.fit_load_sizes is fit_load_sizes
