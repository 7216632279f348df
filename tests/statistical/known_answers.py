"""Known answers of the border model: what is asked, what must come out, and the faults that must not.

An `Answer` is a scenario, a verdict on its result, and planted faults: other results that a careless implementation would give. The same
verdict passes the first (test_known_answers.py) and rejects every one of the others (test_planted_faults.py).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import verdicts
from build import PERIOD, block, kept, row, run_model, scenario
from scipy import integrate, optimize, special, stats

import sim
from sim import model as compiled

DRAWS = 65_536
MEDIAN_OF_EXPONENTIAL = float(np.log(2.0))

Tree = Any
Verdict = Callable[[Tree], None]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """ask(sampler, seed) -> scenario; verdict(tree) asserts; faults: name -> fault(sampler, seed) -> tree that the verdict must reject."""

    ask: Callable[[str, int], Any]
    verdict: Verdict
    faults: Mapping[str, Callable[[str, int], Tree]]
    samplers: tuple[str, ...] = ("sobol", "philox")


# --- what is looked at ------------------------------------------------------------------------------------------------------------


def cell(tree: Tree, group: str, quantity: str, corridor: str = "north", form: str = "all") -> np.ndarray:
    """Return the quantiles, their errors, or (mean, sd, mean_mcse) of one quantity."""
    return np.asarray(tree[group][quantity].sel(corridor=corridor, period=PERIOD, form=form))


def replicates(tree: Tree) -> int:
    """Return how many independent estimates an MCSE rests on: Sobol' replicates, or the draws of plain Monte Carlo."""
    return int(tree.attrs["replicates"]) if tree.attrs["sampler"] == "sobol" else DRAWS


def has_quantiles(tree: Tree, quantity: str, expected: Mapping[float, float], digits: float, **at: str) -> None:
    """Assert quantiles within their MCSE and the half unit of the reference's last digit."""
    which = [verdicts.REPORTED.tolist().index(p) for p in expected]
    found, error = cell(tree, "quantiles", quantity, **at)[which], cell(tree, "mcse", quantity, **at)[which]
    verdicts.assert_agrees(found, list(expected.values()), error, replicates(tree), digits, f"quantiles of {quantity}")


def has_whole_quantiles(tree: Tree, quantity: str, expected: Mapping[float, float], **at: str) -> None:
    which = [verdicts.REPORTED.tolist().index(p) for p in expected]
    verdicts.assert_whole_within_one(cell(tree, "quantiles", quantity, **at)[which], list(expected.values()), f"quantiles of {quantity}")


def has_mean(tree: Tree, quantity: str, expected: float, digits: float = 0.0, **at: str) -> None:
    mean, _, error = cell(tree, "moments", quantity, **at)
    verdicts.assert_agrees(mean, expected, error, replicates(tree), digits + 1e-12 * abs(expected), f"mean of {quantity}")


def averages_to(tree: Tree, draws: np.ndarray, expected: float, what: str, slack: float = 0.0) -> None:
    """Assert that joint draws average to `expected`, by Student t over Sobol' replicates or over 64 parts of plain Monte Carlo."""
    parts = draws.reshape(int(tree.attrs["replicates"]) if tree.attrs["sampler"] == "sobol" else 64, -1).mean(axis=1)
    error = parts.std(ddof=1) / np.sqrt(parts.size)
    verdicts.assert_agrees(parts.mean(), expected, error, parts.size, slack + 1e-12 * abs(expected), what)


def has_sd(tree: Tree, quantity: str, mean: float, sd: float, digits: float = 0.0, **at: str) -> None:
    """Assert the printed sd through the mean square of all draws, which has an error, and that print and draws agree."""
    draws = kept(tree, quantity, **at)
    averages_to(tree, (draws - mean) ** 2, sd**2, f"variance of {quantity}", 2.0 * sd * digits)
    np.testing.assert_allclose(cell(tree, "moments", quantity, **at)[1], draws.std(ddof=0), rtol=1e-4)


def follows(tree: Tree, draws: np.ndarray, cdf: verdicts.Cdf, points: np.ndarray, what: str) -> None:
    """Assert a law given by its distribution function: exact under plain Monte Carlo, at `points` over replicates under Sobol'."""
    if tree.attrs["sampler"] == "philox":
        verdicts.decide(what, verdicts.quantile_counts_p(draws, cdf, points))
    else:
        for point, p in zip(points, cdf(points), strict=True):
            # the distribution function of every draw is exact to 2e-5 in the tables of counts
            averages_to(tree, (draws <= point).astype(float), float(p), f"{what} at {point:g}", 5e-5)


def law(tree: Tree, draws: np.ndarray, frozen: Any, what: str) -> None:
    """Assert a law of scipy.stats: all verdicts under plain Monte Carlo, the reported quantiles under Sobol'."""
    if tree.attrs["sampler"] == "philox":
        verdicts.assert_follows(draws, frozen, what)
    else:
        follows(tree, draws, frozen.cdf, np.unique(frozen.ppf([0.025, 0.25, 0.5, 0.75, 0.975])), what)


# --- how faults are planted --------------------------------------------------------------------------------------------------------


def run(asked: Any) -> Tree:
    return sim.run(asked, threads=2)


def changed(tree: Tree, quantity: str, change: Callable[[np.ndarray], np.ndarray]) -> Tree:
    """Return a copy of a tree in which every draw of one quantity is changed, and so are its quantiles and moments."""
    copy = tree.copy(deep=True)
    draws = copy["draws"][quantity]
    draws[:] = change(draws.values)
    copy["quantiles"][quantity][:] = np.moveaxis(np.quantile(draws.values, verdicts.REPORTED, axis=(0, 1), method="inverted_cdf"), 0, -1)
    copy["moments"][quantity][:, :, :, 0] = draws.values.mean(axis=(0, 1))
    copy["moments"][quantity][:, :, :, 1] = draws.values.std(axis=(0, 1))
    return copy


def mutant(asked: Any, change: Callable[[compiled.Model], compiled.Model]) -> Tree:
    """Run a scenario with its compiled arrays changed."""
    return run_model(change(compiled.compile_model(asked)))


# --- one stratum -------------------------------------------------------------------------------------------------------------------

ALL = {"keep_draws": DRAWS, "draws": DRAWS}


def one(sampler: str, seed: int, n: int = 4, model: Mapping[str, Any] | None = None, rows: Any = None, **parameters: Any) -> Any:
    """One stratum of n events and n kg of pure powder, detection .1, equal loads, unless said."""
    given = {"detection_rate": 0.1, "powder_purity": 1.0, **parameters}
    return scenario(
        rows or [row(n_events=n, amount=float(n))],
        {name: value for name, value in given.items() if value is not None},
        run={**ALL, "seed": seed, "sampler": sampler},
        model={"load_law": "equal", **(model or {})},
    )


def _negative_binomial(n: int, d: float, prior: float = 0.5) -> Any:
    return stats.nbinom(n + prior, d)


def _missed_at_known_rate(tree: Tree) -> None:
    draws = kept(tree, "n_missed")
    has_whole_quantiles(tree, "n_missed", {0.025: 15 - 4, 0.5: 41 - 4, 0.975: 92 - 4})
    has_mean(tree, "n_missed", 40.5)
    has_sd(tree, "n_missed", 40.5, np.sqrt(405.0))
    law(tree, draws, _negative_binomial(4, 0.1), "missed loads")


def beta_negative_binomial(k: np.ndarray, size: float, alpha: float, beta: float) -> np.ndarray:
    """P(K <= k), by Gauss-Legendre in the quantile function of d: scipy's `betanbinom` is NaN for sizes that are not whole."""
    nodes, weights = np.polynomial.legendre.leggauss(400)
    d = stats.beta.ppf(0.5 * (nodes + 1.0), alpha, beta)
    return (0.5 * weights[:, None] * stats.nbinom.cdf(k[None, :], size, d[:, None])).sum(axis=0)


def _missed_at_uncertain_rate(tree: Tree) -> None:
    if tree.attrs["sampler"] == "sobol":  # the last quantile of 65,536 independent draws is known to +- 2 loads
        has_whole_quantiles(tree, "n_missed", {0.025: 8, 0.5: 40, 0.975: 181})
    points = np.array([2.0, 8.0, 20.0, 40.0, 80.0, 120.0, 180.0, 400.0])
    follows(tree, kept(tree, "n_missed"), lambda k: beta_negative_binomial(k, 4.5, 4.0, 36.0), points, "missed loads")
    has_mean(tree, "n_missed", 54.0)
    assert np.isnan(cell(tree, "moments", "n_missed")[1]), "with index 4 at zero an sd of missed loads has no Monte Carlo error"
    assert "detection_rate can be very near 0 (detection_rate: tail index 4)" in tree["moments"]["n_missed"].attrs["note"]


def _beta_negative_binomial_moments(tree: Tree) -> None:
    n, a, alpha, beta = 4, 0.5, 12.0, 108.0
    mean = (n + a) * beta / (alpha - 1)
    variance = (n + a) * beta * (alpha + n + a - 1) * (alpha + beta - 1) / ((alpha - 2) * (alpha - 1) ** 2)
    has_mean(tree, "n_missed", mean)
    has_sd(tree, "n_missed", mean, np.sqrt(variance))


def _nothing_seized(d: float, none: float, mean: float, q95: float) -> Verdict:
    def verdict(tree: Tree) -> None:
        law(tree, kept(tree, "n_missed"), stats.nbinom(0.5, d), "missed loads after no event")
        averages_to(tree, (kept(tree, "missed_gross_kg") == 0.0).astype(float), none, "P(nothing missed)", 5e-5)
        has_mean(tree, "n_missed", mean)
        has_whole_quantiles(tree, "n_missed", {0.95: q95})
        quantiles = cell(tree, "quantiles", "missed_gross_kg")
        assert (quantiles[none - 0.01 > verdicts.REPORTED] == 0.0).all(), "a quantile that is 0 must be 0"
        assert (cell(tree, "quantiles", "seized_gross_kg") == 0.0).all()
        assert np.isnan(cell(tree, "quantiles", "purity")).all(), "the purity of nothing is undefined"

    return verdict


def _nothing(d: float, prior: float = 0.5) -> Callable[[str, int], Any]:
    return lambda sampler, seed: one(
        sampler, seed, 0, {"load_law": "gamma", "event_prior": prior}, detection_rate=d, load_shape=1.0, load_median=1.0
    )


def ratio_of_gamma_sums(x: np.ndarray, n: int, d: float, kappa: float) -> np.ndarray:
    """P(M <= x T) = sum over k of NegBin(k; n + 1/2, d) I_{x/(1+x)}(kappa k, kappa n), the term of k = 0 being 1."""
    k = np.arange(1, int(stats.nbinom.isf(1e-14, n + 0.5, d)) + 2)[:, None]
    below = special.betainc(kappa * k, kappa * n, (x / (1.0 + x))[None, :])
    return np.where(x >= 0.0, d ** (n + 0.5) + (stats.nbinom.pmf(k, n + 0.5, d) * below).sum(axis=0), 0.0)


def _gamma(n: int, d: float, kappa: float) -> Callable[[str, int], Any]:
    return lambda sampler, seed: one(sampler, seed, n, {"load_law": "gamma"}, detection_rate=d, load_shape=kappa)


def _gamma_law(n: int, d: float, kappa: float) -> Verdict:
    def verdict(tree: Tree) -> None:
        ratio = kept(tree, "missed_gross_kg") / n
        points = np.quantile(ratio, [0.025, 0.1, 0.25, 0.5, 0.75, 0.9, 0.975])
        points = np.round(points, 2) + 0.005  # fixed numbers, so that they do not chase the draws
        follows(tree, ratio, lambda x: ratio_of_gamma_sums(x, n, d, kappa), np.unique(points), f"M/T of gamma loads ({n}, {d}, {kappa})")

    return verdict


def _gamma_eleven(tree: Tree) -> None:
    expected = {0.025: 3.73287, 0.05: 4.36274, 0.5: 9.37377, 0.95: 19.61836, 0.975: 22.64887}
    has_quantiles(tree, "missed_gross_kg", {p: 11 * x for p, x in expected.items()}, 11 * 2e-3)
    has_mean(tree, "missed_gross_kg", 11 * 10.35, 11 * 5e-4)
    has_sd(tree, "missed_gross_kg", 11 * 10.35, 11 * 4.95505, 11 * 2e-4)
    _gamma_law(11, 0.1, 1.0)(tree)


def _even_odds(n: int) -> Verdict:
    """P(M < T | K = n) = 1/2 for every size law: both sums are of n loads."""

    def verdict(tree: Tree) -> None:
        missed, seized = kept(tree, "missed_gross_kg"), kept(tree, "seized_gross_kg")
        alike = kept(tree, "n_missed") == n
        below = int((missed[alike] < seized[alike]).sum())
        verdicts.decide("P(M < T | K = n)", float(stats.binomtest(below, int(alike.sum()), 0.5).pvalue))

    return verdict


def _two_forms(sampler: str, seed: int, shared: bool = True) -> Any:
    """Five events of 5 kg and six of 6 kg in two corridors of one group; the prior 1/4 each is that of two strata of one corridor."""
    return scenario(
        [row("north", 5, 5.0), row("south", 6, 6.0)],
        {"detection_rate": 0.1, "powder_purity": 1.0, "load_shape": 1.0},
        run={**ALL, "seed": seed, "sampler": sampler},
        model={"load_law": "gamma", "event_prior": 0.25} | ({"shared_load_scale": [["north", "south"]]} if shared else {}),
        groups={"both": ["north", "south"]},
    )


def _average_purity_law(tree: Tree) -> None:
    mean, sd = 0.2, 0.0632456
    concentration = mean * (1.0 - mean) / (0.01 / 2.5) - 1.0
    law(tree, kept(tree, "purity"), stats.beta(mean * concentration, (1.0 - mean) * concentration), "purity averaged over 2.5 loads")
    has_mean(tree, "purity", mean)
    has_sd(tree, "purity", mean, sd, 5e-8)


def _realised_form(tree: Tree) -> None:
    law(tree, kept(tree, "seized_gross_kg", form="pill") / 4.0, stats.beta(0.6 * 1.5, 0.4 * 1.5), "realised pill share")
    has_mean(tree, "purity", 0.05708)
    has_sd(tree, "purity", 0.05708, 0.0291868, 5e-8)


def _unrecorded(sampler: str, seed: int, **laws: Any) -> Any:
    return scenario(
        [row(n_events=4, amount=4.0, form="unrecorded")],
        {"detection_rate": 0.1, "powder_purity": 0.1136, "pill_fentanyl": 1.94, "pill_mass": 100.0, "pill_share": 0.6, "load_shape": 1.0}
        | laws,
        run={**ALL, "seed": seed, "sampler": sampler},
        model={"load_law": "gamma"},
    )


def _mixed_powder(sampler: str, seed: int) -> Any:
    """The form-share question without composition noise: one powder of the average purity, all draws the same."""
    asked = _unrecorded(sampler, seed)
    return mutant(asked, lambda model: dataclasses.replace(model, law=compiled.border.EQUAL))


def _expected_inverse(tree: Tree) -> None:
    inverse = np.log(10.0) / 0.18
    assert abs(inverse - 12.79) < 0.005
    has_mean(tree, "n_missed", 4.5 * (inverse - 1.0))


def _known_scale(tree: Tree) -> None:
    has_quantiles(tree, "missed_gross_kg", {0.025: 14.596, 0.5: 60.88, 0.975: 152.355}, 0.01)
    has_mean(tree, "missed_gross_kg", 66.773211, 0.01)
    has_sd(tree, "missed_gross_kg", 66.773211, 35.917551, 0.01)


def _lognormal(sampler: str, seed: int, n: int = 4, truncation: float = np.inf, sigma: float = 1.0, **parameters: Any) -> Any:
    return one(sampler, seed, n, {"load_law": "lognormal", "load_truncation": truncation}, load_log_sd=sigma, **parameters)


COPIED = (0.5, 1.0, 4.0, 10.0)


def _copies(sampler: str, seed: int, d: float = 0.1) -> Any:
    return one(sampler, seed, model={"load_law": "copy"}, rows=[row(n_events=1, amount=x) for x in COPIED], detection_rate=d)


def _horvitz_thompson(tree: Tree) -> None:
    sizes, d = np.array(COPIED), 0.1
    mean, variance = sizes.sum() * (1 - d) / d, (sizes**2).sum() * (1 - d) / d**2
    has_mean(tree, "missed_gross_kg", mean)
    has_sd(tree, "missed_gross_kg", mean, np.sqrt(variance))
    law(tree, kept(tree, "n_missed"), stats.nbinom(4, d), "failures before four detections")


# --- evidence ----------------------------------------------------------------------------------------------------------------------


def _unknown_count(tree: Tree) -> None:
    low, high, d = 2, 40, 0.2
    n = np.arange(low, high + 1)
    weight = np.log1p(1.0 / n) / np.log((high + 1) / low)

    def cdf(k: np.ndarray) -> np.ndarray:
        return (weight[:, None] * stats.nbinom.cdf(k[None, :], n[:, None] + 0.5, d)).sum(axis=0)

    follows(tree, kept(tree, "n_missed"), cdf, np.array([0.0, 3.0, 10.0, 20.0, 40.0, 80.0, 120.0, 180.0]), "missed loads of a blank count")
    assert not bool(tree["evidence"]["events_known"].sel(corridor="north", period=PERIOD, evidence_form="powder"))


def _blank(sampler: str, seed: int, low: int = 2, high: int = 40) -> Any:
    return one(sampler, seed, rows=[row(n_events=None, amount=3.0, n_min=low, n_max=high)], detection_rate=0.2)


POUND = 0.45359237


def _rounded(sampler: str, seed: int, half: float = 0.5) -> Any:
    rows = [row(n_events=1, amount=2.0, unit="lb", rounding=half), row(n_events=2, amount=3.0, unit="lb", rounding=3.0)]
    return one(sampler, seed, rows=rows)


def _rounding(tree: Tree) -> None:
    """U(1.5, 2.5) lb and U(0, 6) lb, independent: a trapezium."""
    pounds = kept(tree, "seized_gross_kg") / POUND
    law(tree, pounds, stats.trapezoid(1.0 / 7.0, 6.0 / 7.0, loc=1.5, scale=7.0), "sum of two rounded amounts")
    mean = cell(tree, "moments", "missed_gross_kg")[0] / POUND
    averages_to(
        tree, kept(tree, "missed_gross_kg") / pounds / POUND, mean / 5.0, "missed mass does not ask how its scale was rounded", 0.05 * mean
    )


def _precursors(sampler: str, seed: int, amount: float = 160.0, rounding: float = 80.0, sd_log: float = 0.2, **keys: Any) -> Any:
    """A laboratory beside a border: 40 kg of one precursor for certain and a rounded amount, one yield."""
    rows = [row(), row("lab", None, amount, "precursor", rounding=rounding), row("lab", 1, 40.0, "precursor")]
    return one(sampler, seed, rows=rows, precursor_yield={"kind": "lognormal", "median": 1.2, "sd_log": sd_log}, **keys)


def _potential(tree: Tree) -> None:
    """(40 + U(80, 240)) kg x LN(log 1.2, .2): the rounding averages over a rule of 400 points, and so does the mean, exactly."""
    x, weight = np.polynomial.legendre.leggauss(400)
    kg = 200.0 + 80.0 * x

    def cdf(points: np.ndarray) -> np.ndarray:
        return stats.lognorm(0.2, scale=1.2).cdf(np.asarray(points)[..., None] / kg) @ weight / 2.0

    made = kept(tree, "potential_pure_kg", "lab")
    follows(tree, made, cdf, np.array([150.0, 200.0, 240.0, 280.0, 350.0]), "potential of a rounded precursor")
    has_mean(tree, "potential_pure_kg", 200.0 * 1.2 * np.exp(0.02), corridor="lab")


def _counted(sampler: str, seed: int, **laws: Any) -> Any:
    given = {
        "detection_rate": 0.1, "pill_fentanyl": {"kind": "lognormal", "median": 2.0, "sd_log": 0.3},
        "pill_mass": {"kind": "uniform", "low": 80.0, "high": 120.0},
    } | laws  # fmt: skip
    return scenario(
        [row(n_events=3, amount=50_000, unit="pill", form="pill")],
        given,
        run={**ALL, "seed": seed, "sampler": sampler},
        model={"load_law": "equal"},
    )


def _counted_pills(tree: Tree) -> None:
    """Pure mass of counted pills is count x fentanyl per pill: it does not depend on what a pill weighs; gross mass is count x weight."""
    pure, gross = kept(tree, "seized_pure_kg"), kept(tree, "seized_gross_kg")
    law(tree, pure * 1e6 / 50_000, stats.lognorm(0.3, scale=2.0), "fentanyl per counted pill")
    law(tree, gross * 1e6 / 50_000, stats.uniform(80.0, 40.0), "mass of a counted pill")
    averages_to(
        tree, (pure - pure.mean()) * (gross - gross.mean()) / (pure.std() * gross.std()), 0.0, "correlation of pure and gross", 1e-3
    )


def _weighed(tree: Tree) -> Tree:
    """Pure mass as purity at the median weight times gross mass: the count counts twice."""
    return changed(tree, "seized_pure_kg", lambda x: x * tree["draws"]["seized_gross_kg"].values / (50_000 * 100.0 / 1e6))


# --- attribution, inland, identities -----------------------------------------------------------------------------------------------


def _attributed(sampler: str, seed: int, law_of_loads: str = "gamma") -> Any:
    given = {"detection_rate": 0.1, "powder_purity": 0.5, "attribution_share": 0.65, "load_shape": 1.0}
    if law_of_loads != "gamma":
        del given["load_shape"]
    return scenario([row()], given, run={**ALL, "seed": seed, "sampler": sampler}, model={"load_law": law_of_loads})


def _attribution(tree: Tree) -> None:
    """A realised share of 4 exponential loads, n_eff = 2.5; what it takes away is neither seized nor missed here."""
    law(tree, kept(tree, "seized_gross_kg") / 4.0, stats.beta(0.65 * 1.5, 0.35 * 1.5), "realised attribution share")
    expected = 4.0 * 4.5 * 9.0 / 3.0  # T E[K] / (n - 1): the mean of 1 / Z_4
    averages_to(tree, kept(tree, "missed_gross_kg"), 0.65 * expected, "missed mass that crossed here", 1e-4 * expected)
    averages_to(
        tree, kept(tree, "flow_pure_kg") + kept(tree, "unattributed_pure_kg"), 0.5 * (4.0 + expected), "attributed and not", 1e-4 * expected
    )
    averages_to(tree, kept(tree, "n_missed"), 0.65 * 40.5, "missed loads that crossed here", 5e-3)


RATIO, RICH_DOSE = 3.0, 2.5


def _everything(sampler: str, seed: int) -> Any:
    """Every feature at once: a shared load scale, three forms of evidence, blank counts, rounding, counted pills, attribution, inland."""
    blocks = [
        block("detection_rate", {"kind": "beta", "alpha": 6.0, "beta": 12.0}, varies_by=["corridor"], correlation=0.5),
        block("powder_purity", {"kind": "beta", "mean": 0.12, "sd": 0.02}),
        block("pill_fentanyl", {"kind": "lognormal", "median": 2.0, "sd_log": 0.2}),
        block("pill_mass", {"kind": "normal", "mean": 105.0, "sd": 5.0, "lower": 80.0}),
        block("pill_share", {"kind": "beta", "mean": 0.5, "sd": 0.1}),
        block("purity_cv", 0.6),
        block("load_log_sd", {"kind": "uniform", "low": 1.5, "high": 2.5}),
        block("missed_size_ratio", {"kind": "uniform", "low": 0.5, "high": 1.0}),
        block("attribution_share", {"kind": "beta", "mean": 0.7, "sd": 0.1}, corridor="south"),
        block("inland_seized_ratio", RATIO),
        block("dose", RICH_DOSE),
    ]
    rows = [
        row("north", 3, 4.0, "powder", rounding=0.5), row("north", 2, 12_000, "pill", unit="pill"), row("north", 5, 6.0, "unrecorded"),
        row("south", None, 40.0, "unrecorded", n_min=3, n_max=30), row("south", 0, 0.0, "powder"),
    ]  # fmt: skip
    return scenario(
        rows,
        blocks,
        run={**ALL, "seed": seed, "sampler": sampler},
        groups={"land": ["north", "south"]},
        model={"shared_load_scale": [["north", "south"]]},
    )


def _identities(tree: Tree) -> None:
    """What must hold in every kept draw, to rounding."""

    def same(left: np.ndarray, right: np.ndarray, what: str) -> None:
        np.testing.assert_allclose(left, right, rtol=1e-12, atol=1e-12 * float(np.max(np.abs(right))), err_msg=what)

    for corridor in ("north", "south", "land"):
        for form in ("powder", "pill", "all"):
            drawn = {q: kept(tree, q, corridor, form=form) for q in compiled.QUANTITIES}
            for mass in ("gross", "pure"):
                same(drawn[f"flow_{mass}_kg"], drawn[f"seized_{mass}_kg"] + drawn[f"missed_{mass}_kg"], "seized + missed = flow")
                assert (drawn[f"seized_{mass}_kg"] >= drawn[f"seized_{mass}_kg"] * 0.0).all()
            assert (drawn["missed_pure_kg"] <= drawn["missed_gross_kg"] * (1.0 + 1e-12)).all(), "more pure than gross"
            same(drawn["delivered_pure_kg"], drawn["missed_pure_kg"] - drawn["inland_pure_kg"], "delivered = missed - inland")
            same(drawn["flow_doses"], drawn["flow_pure_kg"] * 1e6 / RICH_DOSE, "doses")
            some = drawn["seized_gross_kg"] > 0.0
            same(drawn["purity"][some], drawn["seized_pure_kg"][some] / drawn["seized_gross_kg"][some], "purity")
            some = drawn["flow_pure_kg"] > 0.0
            same(drawn["interdiction_rate"][some], drawn["seized_pure_kg"][some] / drawn["flow_pure_kg"][some], "interdiction rate")
            if corridor != "land" and form != "all":
                limit = np.minimum(RATIO * drawn["seized_pure_kg"], drawn["missed_pure_kg"])
                same(drawn["inland_pure_kg"], limit, "inland = min(ratio x seized, missed) by corridor and form")
                cut = float(np.mean(RATIO * drawn["seized_pure_kg"] > drawn["missed_pure_kg"]))
                printed = float(tree["diagnostics"]["inland_cut_share"].sel(corridor=corridor, period=PERIOD, form=form))
                assert 0.0 < cut < 1.0
                assert abs(printed - cut) <= 2.0 / DRAWS, "share of draws with inland seizures cut"
    for quantity in compiled.QUANTITIES:
        if quantity in ("purity", "interdiction_rate", "n_missed"):
            continue
        for corridor in ("north", "south", "land"):
            both = kept(tree, quantity, corridor, form="powder") + kept(tree, quantity, corridor, form="pill")
            same(kept(tree, quantity, corridor), both, f"all = powder + pill of {quantity}")
        for form in ("powder", "pill", "all"):
            members = kept(tree, quantity, "north", form=form) + kept(tree, quantity, "south", form=form)
            same(kept(tree, quantity, "land", form=form), members, f"a group is the sum of its members, {quantity}")
    same(kept(tree, "n_missed", "land"), kept(tree, "n_missed", "north") + kept(tree, "n_missed", "south"), "missed loads of a group")
    assert np.isnan(kept(tree, "n_missed", "north", form="pill")).all(), "a mass share does not identify a count"
    # and the printed quantiles are those of the draws
    for quantity in ("flow_pure_kg", "missed_gross_kg", "interdiction_rate"):
        found = cell(tree, "quantiles", quantity, "land")
        np.testing.assert_allclose(found, np.quantile(kept(tree, quantity, "land"), verdicts.REPORTED, method="inverted_cdf"), rtol=6e-3)


def _sum_of_quantiles(tree: Tree) -> Tree:
    """A group whose draws are the members' sorted, then added: what adding quantiles amounts to."""
    copy = tree.copy(deep=True)
    for quantity in ("flow_pure_kg", "missed_gross_kg"):
        draws = copy["draws"][quantity]
        total = sum(np.sort(draws.sel(corridor=c).values.reshape(DRAWS, 1, 3), axis=0) for c in ("north", "south"))
        draws.loc[{"corridor": "land"}] = total.reshape(*draws.shape[:2], 1, 3)
    return copy


# --- dependence --------------------------------------------------------------------------------------------------------------------


def _pair(sampler: str, seed: int, correlation: Mapping[str, Any] | None, inner: float | None = None) -> Any:
    """Two detection rates, lognormal of log-sd .7 about .01 so that the bound of 1 is out of reach."""
    rate = {"kind": "lognormal", "median": 0.01, "sd_log": 0.7, "upper": 1.0}
    blocks = (
        [block("detection_rate", rate, id="both", varies_by=["corridor"], correlation=inner)]
        if inner is not None
        else [block("detection_rate", rate, id="one", corridor="north"), block("detection_rate", rate, id="two", corridor="south")]
    )
    return scenario(
        [row("north"), row("south")],
        [*blocks, block("powder_purity", 1.0)],
        run={**ALL, "seed": seed, "sampler": sampler},
        model={"load_law": "equal"},
        **({"correlation": [{"id": "rho", "between": ["one", "two"], **correlation}]} if correlation else {}),
    )


def _scores(tree: Tree) -> tuple[np.ndarray, np.ndarray]:
    """Return the uniforms of the two detection rates."""
    draws = tree["draws"]["parameter_value"]
    names = [name for name in draws.parameter.values.tolist() if name != "powder_purity"]
    x, y = (np.asarray(draws.sel(parameter=name)).reshape(-1) for name in names)
    return stats.norm.cdf(np.log(x / 0.01) / 0.7), stats.norm.cdf(np.log(y / 0.01) / 0.7)


def joint_tail_of_t(u: float, r: float, df: float) -> float:
    """P(U > u, V > u) under a t copula: given T1 = x, T2 is r x + sqrt((df + x^2)(1 - r^2)/(df + 1)) times a t of df + 1."""
    edge = stats.t.ppf(u, df)

    def given(p: float) -> float:
        x = stats.t.isf(p, df)
        return float(stats.t.sf((edge - r * x) / np.sqrt((df + x * x) * (1 - r * r) / (df + 1)), df + 1))

    return float(integrate.quad(given, 0.0, 1.0 - u, epsabs=0.0, epsrel=1e-10)[0])


def _kendall(tree: Tree, u: np.ndarray, v: np.ndarray, expected: float) -> None:
    """Assert Kendall's tau, by Student t over replicates or parts, each over its first 2,048 draws (all pairs of more would take long)."""
    rows = int(tree.attrs["replicates"]) if tree.attrs["sampler"] == "sobol" else 64
    taus = np.array(
        [stats.kendalltau(a, b).statistic for a, b in zip(u.reshape(rows, -1)[:, :2048], v.reshape(rows, -1)[:, :2048], strict=True)]
    )
    verdicts.assert_agrees(taus.mean(), expected, taus.std(ddof=1) / np.sqrt(rows), rows, 1e-4, "Kendall's tau")


def _gaussian_copula(tree: Tree) -> None:
    u, v = _scores(tree)
    _kendall(tree, u, v, 1.0 / 3.0)
    spearman = 6.0 / np.pi * np.arcsin(0.25)
    averages_to(tree, 12.0 * (u - 0.5) * (v - 0.5), spearman, "Spearman's rho", 1e-4)
    both = float(stats.multivariate_normal.cdf([-stats.norm.ppf(0.99)] * 2, cov=[[1.0, 0.5], [0.5, 1.0]]))
    averages_to(tree, ((u > 0.99) & (v > 0.99)).astype(float), both, "both above .99", 1e-5)


def _t_copula(tree: Tree) -> None:
    u, v = _scores(tree)
    _kendall(tree, u, v, 1.0 / 3.0)
    assert abs(joint_tail_of_t(1.0 - 1e-9, 0.5, 4.0) / 1e-9 - 0.2531700) < 1e-4
    for end in (0.95, 0.99):
        both = joint_tail_of_t(end, 0.5, 4.0)
        averages_to(tree, ((u > end) & (v > end)).astype(float), both, f"both above {end}", 1e-5)
        averages_to(tree, ((u < 1 - end) & (v < 1 - end)).astype(float), both, f"both below {1 - end:.2f}", 1e-5)
    law(tree, u, stats.uniform(), "margin of a t copula")


FACTORS = {0.0: 6.96, 0.5: 3.94, 0.8: 2.38, 0.95: 1.54}


def _ratio_factor(r: float) -> Verdict:
    def verdict(tree: Tree) -> None:
        u, v = _scores(tree)
        log_ratio = 0.7 * (stats.norm.ppf(u) - stats.norm.ppf(v))
        sd = 0.7 * np.sqrt(2.0 * (1.0 - r))
        assert abs(np.exp(1.959964 * sd) - FACTORS[r]) < 0.005
        law(tree, log_ratio, stats.norm(0.0, sd), "log ratio of two detection rates")

    return verdict


# --- contrasts and claims ----------------------------------------------------------------------------------------------------------


def two_years(sampler: str, seed: int, prior: float = 0.5) -> Any:
    """2 and then 11 events, all but one load in 10^6 missed: missed loads are then as the rates of seizures, which are gamma."""
    sides = [{"quantity": "n_missed", "corridor": "north", "period": period, "form": "all"} for period in (PERIOD, "FY2023")]
    return scenario(
        [row(n_events=2, amount=2.0, period="FY2023"), row(n_events=11, amount=11.0)],
        {"detection_rate": 1e-6, "powder_purity": 1.0},
        run={"draws": DRAWS, "seed": seed, "sampler": sampler},
        model={"load_law": "equal", "event_prior": prior},
        contrast=[{"id": "growth", "numerator": sides[0], "denominator": sides[1]}],
        claim=[{"id": "increase", "text": "It increased", "contrast": "growth", "above": 1.0}],
    )


def _seized_rate_ratio(tree: Tree) -> None:
    """((n2 + a) / (n1 + a)) F(2 (n2 + a), 2 (n1 + a)); method.md section 8."""
    expected = {0.025: 1.44496, 0.5: 5.13180, 0.975: 28.92975}
    np.testing.assert_allclose(11.5 / 2.5 * stats.f.ppf(list(expected), 23.0, 5.0), list(expected.values()), atol=5e-6)
    group = tree["contrasts"].to_dataset().sel(contrast="growth", quantile=list(expected))
    n = replicates(tree)
    verdicts.assert_agrees(group["ratio"].values, list(expected.values()), group["ratio_mcse"].values, n, 1e-5, "ratio of rates")
    claim = tree["claims"].to_dataset().sel(claim="increase")
    verdicts.assert_agrees(float(claim["probability"]), 0.995302, float(claim["probability_mcse"]), n, 5e-5, "P(increase)")


def _of_quantiles(sampler: str, seed: int) -> Tree:
    tree = run(two_years(sampler, seed)).copy(deep=True)
    of = tree["quantiles"]["n_missed"].sel(corridor="north", form="all")
    tree["contrasts"]["ratio"][0] = of.sel(period=PERIOD).values / of.sel(period="FY2023").values
    return tree


def _swapped(model: compiled.Model) -> compiled.Model:
    given = model.contrasts
    return dataclasses.replace(model, contrasts=given._replace(numerator=given.denominator, denominator=given.numerator))


def _hits_of_the_rest(model: compiled.Model) -> compiled.Model:
    given = model.contrasts
    return dataclasses.replace(model, contrasts=given._replace(claim_low=-given.claim_high, claim_high=given.claim_low))


# --- the table ---------------------------------------------------------------------------------------------------------------------


def after(ask: Callable[[str, int], Any], quantity: str, change: Callable[[np.ndarray], np.ndarray]) -> Callable[[str, int], Tree]:
    return lambda sampler, seed: changed(run(ask(sampler, seed)), quantity, change)


def instead(ask: Callable[..., Any], *args: Any, **keys: Any) -> Callable[[str, int], Tree]:
    return lambda sampler, seed: run(ask(sampler, seed, *args, **keys))


def _no_limit(model: compiled.Model) -> compiled.Model:
    return dataclasses.replace(model, tail_index=np.full_like(model.tail_index, np.inf))


BETA_RATE = {"kind": "beta", "alpha": 4.0, "beta": 36.0}

# --- a condition ----------------------------------------------------------------------------------------------------------------------

BOUND = {"m": float(np.log(2.0)), "sd": 0.5, "log_bound": float(np.log(1.5)), "log_sd": 0.4}


def bounded(sampler: str, seed: int) -> Any:
    """100 kg at a lognormal purity of median 2 %, held to be hardly more than 1.5 kg of pure drug."""
    laws = {"detection_rate": 0.5, "powder_purity": {"kind": "lognormal", "median": 0.02, "sd_log": BOUND["sd"], "upper": 1.0}}
    result = {"quantity": "seized_pure_kg", "corridor": "north", "period": PERIOD, "form": "all"}
    bound = {"id": "bound", "result": result, "soft_upper": "1.5 kg", "log_sd": BOUND["log_sd"]}
    run = {"draws": DRAWS, "seed": seed, "sampler": sampler}
    return scenario([row(n_events=10, amount=100.0)], laws, run=run, model={"load_law": "equal"}, condition=[bound])


def _under_the_bound(tree: Tree) -> None:
    """log Q is normal times Phi((log L - log Q) / s): extended skew-normal, of mean weight Phi((log L - m) / sqrt(sd^2 + s^2))."""
    m, sd, log_bound, log_sd = BOUND["m"], BOUND["sd"], BOUND["log_bound"], BOUND["log_sd"]
    whole = float(special.ndtr((log_bound - m) / np.hypot(sd, log_sd)))

    def density(y: float, power: int = 1) -> float:
        return float(stats.norm.pdf(y, m, sd) * special.ndtr((log_bound - y) / log_sd) ** power)

    def cdf(y: float) -> float:
        return float(integrate.quad(density, m - 9.0 * sd, y, epsabs=1e-13, limit=200)[0]) / whole

    p = [0.005, 0.05, 0.25, 0.5, 0.75, 0.95, 0.995]
    expected = np.exp([optimize.brentq(lambda y, q=q: cdf(y) - q, m - 8.0 * sd, m + 8.0 * sd, xtol=1e-12) for q in p])
    at = {"corridor": "north", "period": PERIOD, "form": "all", "quantile": p}
    found, error = (np.asarray(tree[f"conditioned/{group}"]["seized_pure_kg"].sel(at)) for group in ("quantiles", "mcse"))
    verdicts.assert_agrees(found, expected, error, replicates(tree), 1e-4 * expected, "quantiles under a bound")
    learnt = [
        np.asarray(tree["conditioned/parameters"][name].sel(parameter="powder_purity", quantile=p)) for name in ("value", "value_mcse")
    ]
    verdicts.assert_agrees(learnt[0], expected / 100.0, learnt[1], replicates(tree), 1e-6 * expected, "purity under a bound")
    square = integrate.quad(lambda y: density(y, 2), m - 9.0 * sd, m + 9.0 * sd)[0]
    assert abs(float(tree["conditioned"]["mean_weight"]) - whole) < 0.012
    assert abs(float(tree["conditioned"]["ess"]) / int(tree.attrs["draws"]) - whole**2 / square) < 0.015


def _with_bound(**change: Callable[[Any], Any]) -> Callable[[str, int], Tree]:
    """Return a fault: arrays of the compiled condition changed."""

    def faulty(sampler: str, seed: int) -> Tree:
        def changed_bound(model: compiled.Model) -> compiled.Model:
            arrays = {name: each(model.conditions) for name, each in change.items()}
            return dataclasses.replace(model, conditions=model.conditions._replace(**arrays))

        return mutant(bounded(sampler, seed), changed_bound)

    return faulty


def _as_before(sampler: str, seed: int) -> Tree:
    tree = run(bounded(sampler, seed)).copy(deep=True)
    tree["conditioned/quantiles"]["seized_pure_kg"][:] = tree["quantiles"]["seized_pure_kg"].values
    return tree


ANSWERS: dict[str, Answer] = {
    "a soft bound on a lognormal result": Answer(
        ask=bounded,
        verdict=_under_the_bound,
        faults={
            "no weights": _as_before,
            "a hard bound": _with_bound(log_sd=lambda bound: 0.05 * bound.log_sd),
            "a variance for a standard deviation": _with_bound(log_sd=lambda bound: bound.log_sd**2),
            "a bound in pounds": _with_bound(log_upper=lambda bound: bound.log_upper + np.log(0.45359237)),
            "above for below": _with_bound(
                log_lower=lambda bound: bound.log_upper, log_upper=lambda bound: np.full_like(bound.log_upper, np.inf)
            ),
            "a bound 2 % off": _with_bound(log_upper=lambda bound: bound.log_upper + 0.02),
        },
    ),
    "ratio of two years": Answer(
        ask=two_years,
        verdict=_seized_rate_ratio,
        faults={
            "a ratio of quantiles": _of_quantiles,
            "numerator and denominator swapped": lambda sampler, seed: mutant(two_years(sampler, seed), _swapped),
            "misses for hits": lambda sampler, seed: mutant(two_years(sampler, seed), _hits_of_the_rest),
            "flat prior": instead(two_years, prior=1.0),
        },
    ),
    "missed loads, rate known": Answer(
        ask=one,
        verdict=_missed_at_known_rate,
        faults={
            "geometric counted from 1": after(one, "n_missed", lambda k: k + 4.0),
            "one load too many": after(one, "n_missed", lambda k: k + 1.0),
            "flat prior": instead(one, model={"event_prior": 1.0}),
            "no prior": instead(one, model={"event_prior": 0.0}),
            "clipped at 99 %": after(one, "n_missed", lambda k: np.minimum(k, 100.0)),
        },
    ),
    "missed loads, rate uncertain": Answer(
        ask=lambda sampler, seed: one(sampler, seed, detection_rate=BETA_RATE),
        verdict=_missed_at_uncertain_rate,
        faults={
            "prior on the loads sent instead of the rate seized": instead(one, detection_rate={**BETA_RATE, "alpha": 3.5}),
            "1 / E[d] for E[1/d]": instead(one, detection_rate=0.1),
            "an sd that has no error": lambda sampler, seed: mutant(one(sampler, seed, detection_rate=BETA_RATE), _no_limit),
        },
    ),
    "moments of the beta-negative-binomial": Answer(
        ask=lambda sampler, seed: one(sampler, seed, detection_rate={"kind": "beta", "alpha": 12.0, "beta": 108.0}),
        verdict=_beta_negative_binomial_moments,
        faults={"prior on the loads sent": instead(one, detection_rate={"kind": "beta", "alpha": 11.5, "beta": 108.0})},
    ),
    "nothing seized, d = .05": Answer(
        ask=_nothing(0.05),
        verdict=_nothing_seized(0.05, 0.2236, 9.5, 37),
        faults={
            "zero missed with certainty": lambda sampler, seed: run(_nothing(0.05, 0.0)(sampler, seed)),
            "flat prior": lambda sampler, seed: run(_nothing(0.05, 1.0)(sampler, seed)),
        },
    ),
    "nothing seized, d = .10": Answer(
        ask=_nothing(0.1),
        verdict=_nothing_seized(0.1, 0.3162, 4.5, 18),
        faults={"flat prior": lambda s, seed: run(_nothing(0.1, 1.0)(s, seed))},
    ),
    "gamma loads": Answer(
        ask=_gamma(11, 0.1, 1.0),
        verdict=_gamma_eleven,
        faults={
            "equal loads": instead(one, 11),
            "scale known": instead(one, 11, {"load_law": "gamma"}, load_shape=1.0, load_median=MEDIAN_OF_EXPONENTIAL),
            "T / d": lambda sampler, seed: changed(run(_gamma(11, 0.1, 1.0)(sampler, seed)), "missed_gross_kg", lambda m: m + 11.0),
        },
    ),
    **{
        f"gamma loads {case}": Answer(
            ask=_gamma(*case),
            verdict=_gamma_law(*case),
            faults={"equal loads": instead(one, case[0], detection_rate=case[1])},
            samplers=("philox",),
        )
        for case in ((1, 0.5, 2.0), (3, 0.3, 0.5), (67, 0.05, 4.0), (40, 0.9, 0.2))
    },
    **{
        f"even odds, {name}": Answer(
            ask=ask,
            verdict=_even_odds(n),
            faults={"missed loads half the size": after(ask, "missed_gross_kg", lambda m: 0.5 * m)},
            samplers=("philox",),
        )
        for name, n, ask in (
            ("lognormal 1", 1, lambda sampler, seed: _lognormal(sampler, seed, 1, detection_rate=0.5)),
            ("lognormal 2.4 cut at 3", 5, lambda sampler, seed: _lognormal(sampler, seed, 5, 3.0, 2.4, detection_rate=0.5)),
            ("gamma", 2, _gamma(2, 0.5, 0.7)),
        )
    },
    "merging": Answer(
        ask=_two_forms,
        verdict=lambda tree: has_mean(tree, "missed_gross_kg", 113.85, corridor="both"),
        faults={"a scale for each stratum": instead(_two_forms, shared=False)},
    ),
    "not merging": Answer(
        ask=lambda sampler, seed: _two_forms(sampler, seed, shared=False),
        verdict=lambda tree: has_mean(tree, "missed_gross_kg", 126.5625, corridor="both"),
        faults={"one scale": instead(_two_forms)},
    ),
    "average purity": Answer(
        ask=lambda sampler, seed: one(sampler, seed, 4, {"load_law": "gamma"}, load_shape=1.0, powder_purity=0.2, purity_cv=0.5),
        verdict=_average_purity_law,
        faults={
            "averaged over n": instead(one, 4, powder_purity=0.2, purity_cv=0.5),
            "one purity for the corridor": instead(one, 1, powder_purity=0.2, purity_cv=0.5),
            "Kish": lambda sampler, seed: run(one(sampler, seed, 2, powder_purity=0.2, purity_cv=0.5)),  # 4 / (1 + 1)
        },
    ),
    "realised form": Answer(
        ask=_unrecorded,
        verdict=_realised_form,
        faults={"composition noise over n loads": _mixed_powder, "another share": instead(_unrecorded, pill_share=0.55)},
    ),
    "E[1/d]": Answer(
        ask=lambda sampler, seed: one(sampler, seed, detection_rate={"kind": "uniform", "low": 0.02, "high": 0.2}),
        verdict=_expected_inverse,
        faults={"1 / E[d]": instead(one, detection_rate=0.11)},
    ),
    "lognormal loads of known scale": Answer(
        ask=lambda sampler, seed: _lognormal(sampler, seed, load_median=1.0),
        verdict=_known_scale,
        faults={
            "scale from the seizures": instead(_lognormal),
            "truncated": instead(_lognormal, truncation=2.0, load_median=1.0),
            "mean for median": instead(_lognormal, load_median=float(np.exp(-0.5))),
        },
    ),
    "copies": Answer(
        ask=_copies,
        verdict=_horvitz_thompson,
        faults={
            "geometric counted from 1": lambda sampler, seed: changed(
                run(_copies(sampler, seed)), "missed_gross_kg", lambda m: m + sum(COPIED)
            ),
            "another rate": instead(_copies, d=0.102),
        },
    ),
    "blank count": Answer(
        ask=_blank,
        verdict=_unknown_count,
        faults={
            "one event": instead(_blank, 1, 1),
            "the middle of the range": instead(_blank, 21, 21),
            "the last count left out": instead(_blank, 2, 39),
        },
    ),
    "rounding": Answer(ask=_rounded, verdict=_rounding, faults={"exact": instead(_rounded, half=0.001)}),
    "precursor potential": Answer(
        ask=_precursors,
        verdict=_potential,
        faults={
            "rounding dropped": instead(_precursors, rounding=0.0),
            "a row left out": instead(_precursors, amount=120.0),
            "a yield of half the spread": instead(_precursors, sd_log=0.1),
            "mean for median": after(_precursors, "potential_pure_kg", lambda kg: kg * np.exp(0.02)),
        },
    ),
    "counted pills": Answer(
        ask=_counted,
        verdict=_counted_pills,
        faults={
            "pure mass through the median weight": lambda sampler, seed: _weighed(run(_counted(sampler, seed))),
            "a count taken for a weight": instead(_counted, pill_mass=100.0),
        },
    ),
    "attribution": Answer(
        ask=_attributed, verdict=_attribution, faults={"the share of n equal loads": instead(_attributed, law_of_loads="equal")}
    ),
    "identities": Answer(
        ask=_everything,
        verdict=_identities,
        faults={
            "flow without the seized": after(_everything, "flow_pure_kg", lambda x: x * (1.0 + 1e-9)),
            "quantiles added": lambda sampler, seed: _sum_of_quantiles(run(_everything(sampler, seed))),
        },
    ),
    "Gaussian copula": Answer(
        ask=lambda sampler, seed: _pair(sampler, seed, {"value": 0.5}),
        verdict=_gaussian_copula,
        faults={
            "independent": instead(_pair, None),
            "t": instead(_pair, {"value": 0.5, "copula": "t", "df": 4}),
            "correlation of the uniforms": instead(_pair, {"value": 2.0 * np.sin(np.pi / 12.0)}),
        },
    ),
    "t copula": Answer(
        ask=lambda sampler, seed: _pair(sampler, seed, {"value": 0.5, "copula": "t", "df": 4}),
        verdict=_t_copula,
        faults={"Gaussian": instead(_pair, {"value": 0.5})},
    ),
    **{
        f"ratio at correlation {r}": Answer(
            ask=lambda sampler, seed, r=r: _pair(sampler, seed, None, inner=r),
            verdict=_ratio_factor(r),
            faults={
                "one shared draw": instead(_pair, None, inner=0.999),
                "half the correlation": instead(_pair, None, inner=r / 2 if r else 0.1),
            },
        )
        for r in FACTORS
    },
}
