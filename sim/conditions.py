"""Conditions: evidence about results, which reweights draws; when the weights carry an answer, and what they say.

Weighted draws are further summaries beside the ordinary ones, so blocks, partials, engines and merging need to know nothing of them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Protocol

import numpy as np
from scipy import special

from .kernels import summaries
from .kernels.conditions import summarise_stored, weigh, whole_weights
from .kernels.libm import exp, log
from .kernels.scratch import LANE
from .model import Model

MOST_BITS = 40  # of a weight: an error of 2^-41 is far below any that shows
LEAST_EFFECTIVE = 40.0  # effective draws below a quantile, and above it
PRINTED = 0.05  # an end of the printed interval: what must hold, or everything is refused
ROUNDING = 1e-3  # most that rounded weights may move a probability by
_TAIL = 8192  # weights of the tail that k is fitted to; more say no more
_STORED = 2**21  # doubles that are stored at a time: 16 MB
_BOUND = 0.95  # each of a claim's two bounds

Answers = Callable[..., Mapping[str, np.ndarray]]


# --- drawing --------------------------------------------------------------------------------------------------------------------------


class _Plain(Protocol):
    slot_names: tuple[str, ...]
    n_point_slots: int
    n_summaries: int
    n_inputs: int
    n_counters: int
    origin_zero: bool

    def store_into(self, block: Any, stored: np.ndarray, stored_inputs: np.ndarray) -> np.ndarray: ...


def bits_of(draws: int) -> int:
    """Return the bits of a weight: as many as leave room for the sum over all draws in 62, at most MOST_BITS.

    >>> bits_of(10**6), bits_of(10**13)
    (40, 18)
    """
    return min(MOST_BITS, 62 - draws.bit_length())


class Conditioned:
    """The border model with every summary a second time, weighted; an `Engine` around the plain one.

    S plain summaries come first, with the bits that they have without conditions; then log weights, weights, S weighted summaries, and one
    of each parameter draw, weighted. Counts of weighted draws are sums of integers, so they take 64 bits (`wide`).

    draws   most that will be made: they decide the bits of a weight
    """

    wide = True

    def __init__(self, plain: _Plain, model: Model, draws: int) -> None:
        self._plain = plain
        self._model = model
        self.bits = bits_of(draws)
        self.slot_names = plain.slot_names
        self.n_point_slots = plain.n_point_slots
        self.origin_zero = plain.origin_zero
        self.n_inputs = plain.n_inputs
        self.n_parameters = len(model.parameter_draws)
        self.n_summaries = 2 * plain.n_summaries + 2 + self.n_parameters
        self._n_claims = model.contrasts.claim_contrast.size
        self.n_counters = plain.n_counters + 2 * self._n_claims + 2

    def summarise(self, block: Any, layout: summaries.Layout, state: summaries.State, sums: np.ndarray) -> np.ndarray:
        """Draw one block; counters are the plain engine's, weights for and against each claim, contradictions, undefined results."""
        model, plain = self._model, self._plain
        lane = min(block.points, LANE)
        step = lane  # lanes drawn at a time; all are powers of two, but for philox, whose blocks hold 2^16
        while 2 * step * plain.n_summaries <= _STORED and block.points % (2 * step) == 0:
            step *= 2
        stored, inputs = np.empty((plain.n_summaries, step)), np.empty((plain.n_inputs, step))
        counters = np.zeros(self.n_counters, np.int64)
        for done in range(0, block.points, step):
            counters[: plain.n_counters] += plain.store_into(block._replace(first=block.first + done, points=step), stored, inputs)
            summarise_stored(
                model.conditions, model.tables.tail, self.bits, model.contrasts, self.n_parameters, stored, inputs, lane, done // lane,
                layout, state, sums, counters[plain.n_counters :],
            )  # fmt: skip
        return counters

    def store(self, block: Any) -> tuple[np.ndarray, np.ndarray]:
        """Return the draws of all summaries; what is to be weighted stands twice, because it takes the same bins."""
        model, n = self._model, self._plain.n_summaries
        stored, inputs = np.empty((self.n_summaries, block.points)), np.empty((self.n_inputs, block.points))
        self._plain.store_into(block, stored[:n], inputs)
        border_weights(model, stored[:n], inputs, stored[n], stored[n + 1], self.bits)
        stored[n + 2 : 2 * n + 2] = stored[:n]
        stored[2 * n + 2 :] = inputs[: self.n_parameters]
        return stored, inputs

    def ordinary(self, estimates: Any) -> Any:
        """Return the estimates as they are without conditions."""
        n = self._plain.n_summaries
        by_summary = ("quantiles", "mcse", "mean", "sd", "mean_mcse", "n")
        return replace(
            estimates,
            **{name: getattr(estimates, name)[:n] for name in by_summary},
            counters=estimates.counters[:, : self._plain.n_counters],
            kept=estimates.kept[..., :n],
        )

    def judged(
        self, estimates: Any, probabilities: Sequence[float], answers: Answers, mean_exists: Mapping[str, np.ndarray]
    ) -> dict[str, Any]:
        """Return what the weighted draws say, in the names of `simulation.Run`, with

        ess, pareto_k, mean_weight     floats;  refused  why nothing of the rest is there, or ""
        contradicted_share             of draws whose inland seizures exceeded what was missed
        parameters, parameters_mcse    (x, q) quantiles of each parameter draw;  log_weight (h, k) of kept draws

        A quantile that fewer than LEAST_EFFECTIVE effective draws lie below, or above, is NaN, and so is one without an error.

        answers       spreads (S, ...) over the cells of each quantity, as in `simulation.simulate`
        mean_exists   quantity -> whether a mean, and an sd, exists without conditions (cells, 2)

        Errors: under sobol over replicates. Under philox the variance of a weighted share F is at most F (1 - F) max w / sum w, because
        w^2 <= w max w: order statistics of as many draws as a rejection sampler would have kept.

        Source: method.md section 7, Conditions.
        """
        n, plan = self._plain.n_summaries, estimates.plan
        weights, after, inputs = n + 1, slice(n + 2, 2 * n + 2), slice(2 * n + 2, None)
        mean, sd = float(estimates.mean[weights]), float(estimates.sd[weights])
        greatest = float(estimates.state.extremes[weights, 1])
        square = sd * sd * (plan.draws - 1) / plan.draws + mean * mean
        ess = plan.draws * mean * mean / square if square > 0.0 else 0.0
        accepted = plan.draws * mean / greatest if greatest > 0.0 else 0.0
        shape = tail_shape(estimates.layout, estimates.state, n, plan.draws)
        counters = estimates.counters[:, self._plain.n_counters :]
        found: dict[str, Any] = {
            "ess": ess,
            "pareto_k": shape,
            "mean_weight": mean,
            "contradicted_share": float(counters[:, -2].sum() / plan.draws),
            "refused": why_refused(plan.draws, ess, shape, mean, self.bits),
            "log_weight": estimates.kept[..., n],
        }
        p = np.array(probabilities)
        held = ess * np.minimum(p, 1.0 - p) >= LEAST_EFFECTIVE
        if found["refused"]:
            held[:] = False
        if plan.replicates > 1:
            mcse, mean_mcse = estimates.mcse, estimates.mean_mcse
        else:
            mcse = np.hypot(_rejection_error(estimates.layout, estimates.state, p, accepted), _binning(estimates, p))
            mean_mcse = estimates.sd / math.sqrt(max(accepted, 1.0))
        held = held & ~np.isnan(mcse)
        quantiles, mcse = np.where(held, estimates.quantiles, np.nan), np.where(held, mcse, np.nan)
        settled = held[:, p == 0.5][:, 0] if (p == 0.5).any() else held.all(axis=1)
        moments = {}
        for name, index in (("mean", 0), ("sd", 1), ("mean_mcse", 0)):
            numbers = mean_mcse if name == "mean_mcse" else getattr(estimates, name)
            spread = answers(np.where(settled, numbers, np.nan)[after])
            moments[name] = {quantity: np.where(mean_exists[quantity][..., index], spread[quantity], np.nan) for quantity in spread}
        draws = estimates.n[after]
        with np.errstate(invalid="ignore", divide="ignore"):
            undefined = draws[:, 0] / draws.sum(axis=1)
        ratios = slice(n + 2 + self._model.contrasts.row.size, 2 * n + 2)
        first = self._model.contrasts.row.size
        found |= {
            "quantiles": answers(quantiles[after]),
            "mcse": answers(mcse[after]),
            **moments,
            "undefined_share": answers(undefined, scales=False),
            "contrasts": {"ratio": quantiles[ratios], "ratio_mcse": mcse[ratios], "undefined_share": undefined[first:]},
            "claims": judged_claims(counters[:, : 2 * self._n_claims], ess, accepted, bool(found["refused"])),
            "parameters": quantiles[inputs],
            "parameters_mcse": mcse[inputs],
        }
        return found


def border_weights(model: Model, stored: np.ndarray, inputs: np.ndarray, log_weight: np.ndarray, weight: np.ndarray, bits: int) -> None:
    """Write the log weights and the weights (d,) of stored draws (S, d) with their inputs (x, d)."""
    weigh(model.conditions, model.tables.tail, stored, inputs, log_weight, np.zeros(2, np.int64))
    whole_weights(log_weight, bits, weight, np.empty(weight.size, np.int64))


# --- judging --------------------------------------------------------------------------------------------------------------------------


def why_refused(draws: int, ess: float, shape: float, mean: float, bits: int) -> str:
    """Return why weights carry no answer, as a sentence that says what to do, or ""."""
    if mean <= 0.0 or 2.0 ** -(bits + 1) > ROUNDING * mean:
        return (
            f"the mean weight is {mean:.2g}: hardly a draw agrees with the conditions. Inputs and conditions contradict each other; "
            "look at both before anything else"
        )
    limit = min(1.0 - 1.0 / math.log10(max(draws, 11)), 0.7)
    if shape > limit:
        return (
            f"Pareto k of the weights is {shape:.2f}, above {limit:.2f}: a few draws carry the answer. Draw more, or give inputs "
            "that reach where the conditions lead"
        )
    if PRINTED * ess < LEAST_EFFECTIVE:
        return (
            f"{draws:,} draws are worth {ess:.3g} under the conditions, fewer than {LEAST_EFFECTIVE / PRINTED:.0f}: the printed interval "
            "does not hold. Draw more, or look whether inputs and conditions contradict each other"
        )
    return ""


def tail_shape(layout: summaries.Layout, state: summaries.State, j: int, draws: int) -> float:
    """Return Pareto k of the weights whose logs summary j holds, -inf where the greatest are all alike.

    The tail is the greatest min(0.2 S, 3 sqrt(S)) of S weights, read off the histogram (bins of 1/128 of an octave of log w), thinned
    to `_TAIL` where there are more.

    Source: Vehtari, Simpson, Gelman, Yao & Gabry 2024, JMLR 25(72).
    """
    size = math.ceil(min(0.2 * draws, 3.0 * math.sqrt(draws)))
    if size < 5:
        return math.inf
    rank = (np.arange(min(size, _TAIL)) + 0.5) / min(size, _TAIL) * size
    p = np.concatenate(([draws - size], draws - size + rank)) / draws
    logs, _ = summaries.quantiles(layout, state, p, j)
    if not np.isfinite(logs[-1]):
        return math.inf
    weights = exp(logs - logs[-1])
    above = weights[1:] - weights[0]
    return pareto_shape(above[above > 0.0]) if above[-1] > 1e-12 else -math.inf


def pareto_shape(exceedances: np.ndarray) -> float:
    """Return k of the generalised Pareto law of ascending exceedances (n,), all > 0, shrunk towards 0.5 as by ten more of them.

    Source: Zhang & Stephens 2009, Technometrics 51:316; Vehtari et al. 2024, appendix G.
    """
    n = exceedances.size
    if n < 5:
        return math.inf
    m = 30 + int(math.sqrt(n))
    b = (1.0 - np.sqrt(m / (np.arange(1, m + 1) - 0.5))) / (3.0 * exceedances[int(n / 4 + 0.5) - 1]) + 1.0 / exceedances[-1]
    k = np.array([np.mean(special.log1p(-each * exceedances)) for each in b])
    likelihood = n * (log(-b / k) - k - 1.0)
    weight = exp(likelihood - likelihood.max())
    shape = float(np.mean(special.log1p(-float(np.sum(b * weight) / np.sum(weight)) * exceedances)))
    return (n * shape + 5.0) / (n + 10.0)


def _rejection_error(layout: summaries.Layout, state: summaries.State, p: np.ndarray, accepted: float) -> np.ndarray:
    """Return half the distance between the quantiles one standard error of a share of `accepted` draws below and above (S, q)."""
    spread = np.sqrt(p * (1.0 - p) / (accepted + 2.0))
    lower, _ = summaries.quantiles(layout, state, np.maximum(p - spread, 0.0))
    upper, _ = summaries.quantiles(layout, state, np.minimum(p + spread, 1.0))
    with np.errstate(invalid="ignore"):
        return np.where(lower == upper, 0.0, 0.5 * upper - 0.5 * lower)


def _binning(estimates: Any, p: np.ndarray) -> np.ndarray:
    return summaries.quantiles(estimates.layout, estimates.state, p)[1]


def judged_claims(counters: np.ndarray, ess: float, accepted: float, refused: bool) -> dict[str, np.ndarray]:
    """Return probability, error and one-sided 95 % bounds of each claim under the conditions, (m,) each.

    sobol     error over replicates, bounds by Student t
    philox, and where fewer than LEAST_EFFECTIVE effective draws are for or against: of a binomial of `accepted` draws

    counters  (R, 2 m) weights for and against, by replicate
    """
    by_replicate = counters.reshape(counters.shape[0], -1, 2).astype(np.float64)
    pooled = by_replicate.sum(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        p = pooled[:, 0] / pooled.sum(axis=1)
        hits, misses = accepted * p, accepted * (1.0 - p)
        error = np.sqrt((hits + 1.0) * (misses + 1.0) / ((accepted + 2.0) ** 2 * (accepted + 3.0)))
        lower = np.where(hits > 0.0, special.betaincinv(np.maximum(hits, 1e-9), misses + 1.0, 1.0 - _BOUND), 0.0)
        upper = np.where(misses > 0.0, special.betaincinv(hits + 1.0, np.maximum(misses, 1e-9), _BOUND), 1.0)
        if counters.shape[0] > 1:
            over_replicates = summaries.replicate_error(by_replicate[..., 0] / by_replicate.sum(axis=2))
            many = (ess * np.minimum(p, 1.0 - p) >= LEAST_EFFECTIVE) & ~np.isnan(over_replicates)
            reach = special.stdtrit(counters.shape[0] - 1, _BOUND) * over_replicates
            error = np.where(many, over_replicates, error)
            lower = np.where(many, np.maximum(p - reach, 0.0), lower)
            upper = np.where(many, np.minimum(p + reach, 1.0), upper)
    known = ~np.isnan(p) & (not refused)
    return {
        "probability": np.where(known, p, np.nan),
        "probability_mcse": np.where(known, error, np.nan),
        "lower_bound": np.where(known, lower, 0.0),
        "upper_bound": np.where(known, upper, 1.0),
    }
