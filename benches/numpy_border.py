"""The border model as a careful user of NumPy would write it: whole arrays, NumPy's own samplers, np.quantile; nothing of the kernels.

Its draws follow the same laws (method.md), so that its answers are those of `sim.run` within Monte Carlo error, which a test holds. What
the shipped scenario does not need (blank counts, rounded amounts, counted pills, `load_median`, t copulas, the laws `equal` and `copy`) is
refused. Inverse CDFs of correlated inputs are looked up by np.interp, because scipy.stats takes a microsecond for one Beta quantile.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from scipy import special

from sim import distributions
from sim.kernels.jit import kernel
from sim.kernels.lognormal_loads import LoadSums, effective_loads
from sim.matching import Match, Stratum, match
from sim.model import Model
from sim.records import PARAMETERS, QUANTITIES, Scenario
from sim.runner import PROBABILITIES

Array = NDArray[np.float64]
Amount = Array | float  # one number for each draw, or one for all

POWDER, PILL = 0, 1
COMPONENTS = ("seized_gross", "seized_pure", "missed_gross", "missed_pure", "inland", "unattributed", "doses", "n_missed")
_SCORES = np.linspace(-8.0, 8.0, 8193)
_LEAST_SHAPE = 1e-12  # of a Beta: 0 would be refused by NumPy, and a share this certain is 0 or 1 anyway
_LOADS_AT_ONCE = 2**18  # of a brute-force sum: 2 MB an array


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """What is made once, before any draw.

    index (c + g, p, 3, 13)   number of the summary of each result, -1 where none is kept, as in the kernel
    knots                     quantiles of each law at `_SCORES`;  constants: the others
    factors                   (parameter draws, Cholesky factor of their correlation), also of single ones
    sums                      the table of effective numbers of loads
    """

    scenario: Scenario
    matched: Match
    index: NDArray[np.int64]
    knots: dict[str, Array]
    constants: dict[str, float]
    factors: tuple[tuple[tuple[str, ...], Array], ...]
    sums: LoadSums


def prepare(model: Model) -> Reference:
    """Return the reference for a compiled scenario; from the model it takes which results are asked for, and the table of n_eff."""
    scenario = model.scenario
    matched, _ = match(scenario)
    refused = [
        what
        for what, found in (
            ("blank counts", any(row.n_events is None for row in scenario.rows)),
            ("rounded amounts", any(row.rounding > 0.0 for row in scenario.rows)),
            ("counted pills", any(row.unit == "pill" for row in scenario.rows)),
            ("load_median", any(block.name == "load_median" for block in scenario.parameters)),
            ("t copulas", any(component.df > 0.0 for component in matched.components)),
            (f"load_law {scenario.load_law}", scenario.load_law not in ("gamma", "lognormal")),
        )
        if found
    ]
    if refused:
        raise ValueError(f"the NumPy reference does not know {', '.join(refused)}")
    knots, constants = {}, {}
    lower = special.ndtr(-np.abs(_SCORES))
    for draw in matched.parameter_draws:
        low, high = distributions.support(draw.block.law)
        if low == high:
            constants[draw.id] = low
        else:
            law = draw.block.law
            knots[draw.id] = np.where(_SCORES < 0.0, distributions.ppf(law, lower), distributions.isf(law, lower))
    linked = []
    for component in matched.components:
        names = tuple(draw.id for draw in component.parameter_draws)
        live = [i for i, name in enumerate(names) if name in knots]
        linked.append((tuple(names[i] for i in live), np.linalg.cholesky(component.matrix[np.ix_(live, live)])))
    alone = knots.keys() - {name for names, _ in linked for name in names}
    linked += [((name,), np.eye(1)) for name in sorted(alone)]
    return Reference(
        scenario=scenario,
        matched=matched,
        index=model.strata.index,
        knots=knots,
        constants=constants,
        factors=tuple(linked),
        sums=model.tables.sums,
    )


def summarised(reference: Reference, draws: int, seed: int) -> tuple[Array, Array]:
    """Return the quantiles (S, 13) at the probabilities of every run, and mean and sd (S, 2), of every result that a run keeps."""
    n_summaries = int(reference.index.max()) + 1
    quantiles, moments = np.empty((n_summaries, len(PROBABILITIES))), np.empty((n_summaries, 2))
    for s, drawn in results(reference, draws, np.random.default_rng(seed)):
        mean = drawn.mean()
        if np.isnan(mean):  # draws of 0/0, of which there is no purity
            drawn = drawn[~np.isnan(drawn)]
            mean = drawn.mean()
        quantiles[s] = np.quantile(drawn, PROBABILITIES)
        moments[s] = mean, drawn.std()
    return quantiles, moments


def drawn_only(reference: Reference, draws: int, seed: int) -> None:
    """Draw every result and let it go: the cost of sampling without summaries."""
    for _ in results(reference, draws, np.random.default_rng(seed)):
        pass


def results(reference: Reference, n: int, rng: Generator) -> Iterator[tuple[int, Array]]:
    """Yield (number of the summary, its n draws) for every result that a run keeps, period by period.

    Source: method.md sections 2 to 5.
    """
    scenario = reference.scenario
    x = _inputs(reference, n, rng)
    corridors = [name for name, members in scenario.places if members == (name,)]
    for p, period in enumerate(scenario.periods):
        here = [stratum for stratum in reference.matched.strata if stratum.key[1] == period]
        scale = _load_scales(reference, here, x, n, rng)
        parts = {}
        for corridor in corridors:
            own = [stratum for stratum in here if stratum.key[0] == corridor]
            if own:
                parts[corridor] = _corridor(reference, own, x, scale[corridor], n, rng)
        for place, (name, members) in enumerate(scenario.places):
            present = [parts[member] for member in members if member in parts]
            if not present or reference.index[place, p].max() < 0:
                continue
            total = parts[name] if name in parts else sum(present[1:], start=present[0])
            for form, part in enumerate((total[POWDER], total[PILL], total.sum(axis=0))):
                component = dict(zip(COMPONENTS, part, strict=True))
                for q, quantity in enumerate(QUANTITIES):
                    s = int(reference.index[place, p, form, q])
                    if s >= 0:
                        with np.errstate(invalid="ignore"):
                            drawn = _quantity(quantity, component)
                        yield s, drawn


def _inputs(reference: Reference, n: int, rng: Generator) -> dict[str, Amount]:
    """Return every parameter draw by id: normal scores, correlated by a Cholesky factor, through the law's quantiles."""
    x: dict[str, Amount] = dict(reference.constants)
    for names, factor in reference.factors:
        for name, scores in zip(names, factor @ rng.standard_normal((len(names), n)), strict=True):
            x[name] = np.interp(scores, _SCORES, reference.knots[name])
    return x


def _of(stratum: Stratum, x: dict[str, Amount], name: str, form: str | None = None) -> Amount:
    """Return the draws of the parameter that serves a stratum, or its default."""
    draw = stratum.parameter_draws.get((name, form or stratum.key[2]))
    if draw is not None:
        return x[draw.id]
    default = PARAMETERS[name].default
    assert default is not None
    return default


def _load_size(reference: Reference, stratum: Stratum, x: dict[str, Amount]) -> Amount:
    return _of(stratum, x, "load_shape" if reference.scenario.load_law == "gamma" else "load_log_sd")


def _load_scales(reference: Reference, strata: list[Stratum], x: dict[str, Amount], n: int, rng: Generator) -> dict[str, Array]:
    """Return s = T_B / Z by corridor: corridors of one block share one draw, loads of unlike laws add up in Z."""
    found: dict[str, Array] = {}
    for members in reference.scenario.shared_load_scale:
        block = [stratum for stratum in strata if stratum.key[0] in members]
        if not block:
            continue
        size = "load_shape" if reference.scenario.load_law == "gamma" else "load_log_sd"
        events: dict[str, int] = {}
        sizes = {}
        for stratum in block:
            draw = stratum.parameter_draws[size, stratum.key[2]]
            events[draw.id] = events.get(draw.id, 0) + stratum.n_known
            sizes[draw.id] = x[draw.id]
        z = np.zeros(n)
        for name, number in events.items():
            z += _sum_of_loads(reference, np.full(n, float(number)), sizes[name], rng)
        mass = sum(row.amount for stratum in block for row in stratum.rows)
        found |= dict.fromkeys(members, mass / z)
    return found


def _sum_of_loads(reference: Reference, k: Array, size: Amount, rng: Generator) -> Array:
    """Return the sum of k standardised loads in every draw: one gamma variate, or every lognormal load drawn and added up."""
    if reference.scenario.load_law == "gamma":
        return rng.standard_gamma(size * k)
    truncation = reference.scenario.load_truncation
    sigma = np.broadcast_to(size, k.shape)
    total = np.zeros(k.size)
    some = np.flatnonzero(k)
    counts = k[some].astype(np.int64)
    ends = np.cumsum(counts)
    cuts = np.searchsorted(ends, np.arange(_LOADS_AT_ONCE, ends[-1] if ends.size else 0, _LOADS_AT_ONCE))
    for chunk in np.split(np.arange(some.size), np.unique(cuts)):
        if chunk.size == 0:
            continue
        each = counts[chunk]
        score = rng.standard_normal(each.sum())
        while (beyond := np.flatnonzero(score > truncation)).size:
            score[beyond] = rng.standard_normal(beyond.size)
        score *= np.repeat(sigma[some[chunk]], each)
        np.exp(score, out=score)
        total[some[chunk]] = np.add.reduceat(score, np.cumsum(each) - each)
    return total


def _effective_loads(reference: Reference, k: Array, size: Amount) -> Array:
    """Return n_eff = 1 / E[sum z^2 / (sum z)^2] of k loads, at least one; for lognormal loads from the table of the kernels."""
    k = np.maximum(k, 1.0)
    if reference.scenario.load_law == "gamma":
        return np.maximum((size * k + 1.0) / (size + 1.0), 1.0)
    return _tabulated_effective_loads(reference.sums, np.broadcast_to(size, k.shape), k)


@kernel
def _tabulated_effective_loads(sums: LoadSums, sigma: Array, k: Array) -> Array:
    out = np.empty(k.size)
    for i in range(k.size):
        out[i] = effective_loads(sums, sigma[i], k[i])
    return out


def _beta(rng: Generator, mean: Amount, concentration: Array) -> Array:
    """Return Beta draws by mean and concentration; at a concentration of 0 they are 1 with probability `mean` and else 0."""
    concentration = np.maximum(concentration, 1e-3)
    return rng.beta(np.maximum(mean * concentration, _LEAST_SHAPE), np.maximum((1.0 - mean) * concentration, _LEAST_SHAPE))


def _corridor(reference: Reference, strata: list[Stratum], x: dict[str, Amount], scale: Array, n: int, rng: Generator) -> Array:
    """Return the components of one corridor in one period by form, (2, 8, n); the number of loads, which has no form, with the first."""
    total = np.zeros((2, len(COMPONENTS), n))
    prior = reference.scenario.event_prior / len(strata)
    for stratum in strata:
        form = stratum.key[2]
        events = float(stratum.n_known)
        detection_rate = _of(stratum, x, "detection_rate")
        size = _load_size(reference, stratum, x)
        missed = rng.poisson(rng.standard_gamma(events + prior, n) * ((1.0 - detection_rate) / detection_rate)).astype(np.float64)
        missed_gross = _of(stratum, x, "missed_size_ratio") * scale * _sum_of_loads(reference, missed, size, rng)
        gross = (sum(row.amount for row in stratum.rows), missed_gross)
        loads = (_effective_loads(reference, np.full(n, events), size), _effective_loads(reference, missed, size))
        attribution = _of(stratum, x, "attribution_share")
        certain = isinstance(attribution, float) and attribution in (0.0, 1.0)
        here: list[Amount] = [attribution if certain else _beta(rng, attribution, m - 1.0) for m in loads]
        share = _of(stratum, x, "pill_share") if form == "unrecorded" else float(form == "pill")
        pills: list[Amount] = [share if form != "unrecorded" else _beta(rng, share, m - 1.0) for m in loads]
        total[PILL if form == "pill" else POWDER, 7] += here[1] * missed
        for f, name in ((POWDER, "powder"), (PILL, "pill")):
            if form not in (name, "unrecorded"):
                continue
            if f == POWDER:
                mean = _of(stratum, x, "powder_purity", name) * _of(stratum, x, "purity_mass_weighting", name)
            else:
                mean = _of(stratum, x, "pill_fentanyl", name) / _of(stratum, x, "pill_mass", name)
            mean = np.minimum(mean, 1.0)
            cv = _of(stratum, x, "purity_cv", name)
            of_form = share if f == PILL else 1.0 - share
            pure_here, pure_elsewhere = [], np.zeros(n)
            for side in range(2):
                mass = gross[side] * (pills[side] if f == PILL else 1.0 - pills[side])
                purity: Amount = mean
                if not (isinstance(cv, float) and cv == 0.0):
                    concentration = (1.0 - mean) * np.maximum(of_form * loads[side], 1.0) / (mean * cv**2) - 1.0
                    purity = _beta(rng, mean, np.clip(concentration, 0.0, 1e15))
                pure = mass * purity
                ours = here[side] * pure
                total[f, 2 * side] += here[side] * mass
                total[f, 2 * side + 1] += ours
                pure_here.append(ours)
                pure_elsewhere += pure - ours
            total[f, 4] += _of(stratum, x, "inland_seized_ratio") * pure_here[0]
            total[f, 5] += pure_elsewhere
            total[f, 6] += (pure_here[0] + pure_here[1]) * 1e6 / _of(stratum, x, "dose")
    np.minimum(total[:, 4], total[:, 3], out=total[:, 4])
    return total


def _quantity(name: str, part: dict[str, Array]) -> Array:
    """Return a result from the components that add up."""
    match name:
        case "flow_gross_kg":
            return part["seized_gross"] + part["missed_gross"]
        case "flow_pure_kg":
            return part["seized_pure"] + part["missed_pure"]
        case "delivered_pure_kg":
            return part["missed_pure"] - part["inland"]
        case "purity":
            return part["seized_pure"] / part["seized_gross"]
        case "interdiction_rate":
            return part["seized_pure"] / (part["seized_pure"] + part["missed_pure"])
        case "flow_doses":
            return part["doses"]
        case "inland_pure_kg" | "unattributed_pure_kg":
            return part[name.split("_")[0]]
        case "n_missed":
            return part["n_missed"]
    return part[name.removesuffix("_kg")]
