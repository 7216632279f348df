"""Slow twins of the kernels, same names and arguments, in SciPy, mpmath and plain loops."""

from __future__ import annotations

import dataclasses
import itertools
import math
from fractions import Fraction

import lanes
import mpmath
import numpy as np
from scipy import integrate, optimize, special, stats

from sim import distributions, elicitation
from sim.kernels import betas, counts, gammas, lognormal_loads, quantiles, streams, summaries
from sim.model import compile_model
from sim.records import PARAMETERS, QUANTITIES

# streams


def philox(c0, c1, c2, c3, k0, k1):
    """Philox4x32-10 on whole numbers of any size, written with divmod instead of shifts."""
    word = 2**32
    for _ in range(10):
        high0, low0 = divmod(0xD2511F53 * c0, word)
        high1, low1 = divmod(0xCD9E8D57 * c2, word)
        c0, c1, c2, c3 = high1 ^ c1 ^ k0, low1, high0 ^ c3 ^ k1, low0
        k0, k1 = (k0 + 0x9E3779B9) % word, (k1 + 0xBB67AE85) % word
    return c0, c1, c2, c3


def philox_word(seed, stream, index):
    """Return the 64-bit word of one draw index."""
    word = 2**32
    block = index // 2
    four = philox(block % word, block // word, stream % word, stream // word, seed % word, seed // word)
    low, high = four[2:] if index % 2 else four[:2]
    return high * word + low


def philox_integer(seed, stream, index):
    """Return the 53-bit integer of one draw index."""
    return philox_word(seed, stream, index) // 2**11


def scramble_columns(seed, replicate, dimension):
    """Return the columns of the lower-triangular matrix of one Sobol' dimension as 53-bit integers, the first row on top."""
    columns = []
    for i in range(53):
        word = philox_word(seed, 0, 2**63 + (replicate * 2**16 + dimension) * 64 + i) // 2**11
        leading = 2 ** (52 - i)
        columns.append(leading + word % leading)
    return columns


def sobol_integers(directions, shift, first, n):
    """Return points first .. first + n - 1 of one Sobol' dimension as 53-bit integers, each from its own Gray code."""
    points = []
    for index in range(first, first + n):
        point = int(shift)
        for j, bit in enumerate(reversed(f"{index ^ (index // 2):b}")):
            point ^= int(directions[j]) if bit == "1" else 0
        points.append(point)
    return np.array(points, np.uint64)


# summaries


def summary_quantiles(draws, probabilities):
    """Return the inverse CDF of the draws that are not NaN, and the same with half a draw's interpolation (Hazen) for continuous laws."""
    known = draws[~np.isnan(draws)]
    with np.errstate(invalid="ignore"):
        return np.quantile(known, probabilities, method="inverted_cdf"), np.quantile(known, probabilities, method="hazen")


# quantiles


def evaluate(coefficients, child, support_low, support_high, first_cell, t):
    """Look a folded uniform up in a table with exact fractions and cell bounds found by counting, not cut from the bits of a float."""
    tail = max(Fraction(abs(float(t))), Fraction(1, 2**54))
    octave = 0
    while tail >= Fraction(2, 2**54) * 2**octave and octave < 52:
        octave += 1
    s = min((tail * 2**54 / 2**octave - 1) * 16, Fraction(16) - Fraction(1, 2**48))
    cell = first_cell + (53 * 16 if t < 0 else 0) + octave * 16 + int(s)
    s -= int(s)
    while child[cell] >= 0:
        cell, s = first_cell + child[cell] + int(s * 16), s * 16 - int(s * 16)
    x = sum(Fraction(float(c)) * s**power for power, c in enumerate(coefficients[cell]))
    return min(max(float(x), support_low), support_high)


def normal_score(t):
    """Return the normal score of a folded uniform to 30 digits."""
    with mpmath.workdps(40):
        z = mpmath.sqrt(2) * mpmath.erfinv(1 - 2 * mpmath.mpf(abs(t))) if abs(t) > 1e-3 else _deep_score(abs(t))
        return float(-z if t > 0 else z)


def _deep_score(tail):
    guess = mpmath.sqrt(-2 * mpmath.log(tail)) - 1
    return mpmath.findroot(lambda z: mpmath.log(mpmath.erfc(z / mpmath.sqrt(2)) / 2) - mpmath.log(tail), guess)


def t_tail(df, x):
    """Return P(T > |x|) of Student t; df None is the normal."""
    with mpmath.workdps(80):
        x = abs(mpmath.mpf(float(x)))
        if df is None:
            return float(mpmath.erfc(x / mpmath.sqrt(2)) / 2)
        half = mpmath.mpf(df) / 2
        return float(mpmath.betainc(half, mpmath.mpf(1) / 2, 0, df / (df + x * x), regularized=True) / 2)


def truncated_normal_quantile(mean, sd, lower, upper, t):
    """Return the quantile of a folded uniform of a normal law cut to lower..upper, by bisection in 60 digits."""
    with mpmath.workdps(60):

        def below(x):
            return mpmath.ncdf((mpmath.mpf(x) - mean) / sd) if mpmath.isfinite(x) else mpmath.mpf(x > 0)

        bottom, top = below(lower), below(upper)
        wanted = bottom + (top - bottom) * (mpmath.mpf(t) if t > 0 else 1 + mpmath.mpf(t))
        low, high = (
            mpmath.mpf(max(lower, mean - 40 * sd) if mpmath.isfinite(lower) else mean - 40 * sd),
            mpmath.mpf(min(upper, mean + 40 * sd) if mpmath.isfinite(upper) else mean + 40 * sd),
        )
        for _ in range(150):
            middle = (low + high) / 2
            low, high = (middle, high) if below(middle) < wanted else (low, middle)
        return float(high)


# counts: where a kernel takes tables of sums of loads, its twin takes the truncation they were built for


def gamma_tails(shape, log_g):
    """Return P(G <= g) and P(G > g) for Gamma(shape), g given by its log.

    Below e^-700 the leading term g^a / Gamma(a + 1) serves. From shape 10^4 on Temme's uniform expansion to its first term, 1e-8 of either
    tail: SciPy's functions lose their tails there beyond 4.5 standard deviations (shape 10^8, 4.625 below: 58 % off).
    """
    if shape < 1e4:
        leading = np.exp(np.minimum(shape * log_g - special.gammaln(shape + 1.0), 0.0))
        g = np.exp(np.maximum(log_g, -700.0))
        lower = np.where(log_g < -700.0, leading, special.gammainc(shape, g))
        return lower, np.where(log_g < -700.0, 1.0 - leading, special.gammaincc(shape, g))
    tails = np.empty((2, log_g.size))
    with mpmath.workdps(40):
        for i, log_x in enumerate(log_g):
            log_ratio = mpmath.mpf(float(log_x)) - mpmath.log(shape)
            mu = mpmath.expm1(log_ratio)
            eta = mpmath.sign(mu) * mpmath.sqrt(2 * (mu - log_ratio))
            first = 1 / mu - 1 / eta if mu else -mpmath.mpf(1) / 3
            correction = mpmath.exp(-shape * eta**2 / 2) / mpmath.sqrt(2 * mpmath.pi * shape) * first
            z = eta * mpmath.sqrt(mpmath.mpf(shape))
            tails[:, i] = mpmath.ncdf(z) - correction, mpmath.ncdf(-z) + correction
    return tails


def poisson(mean, t, z):
    """Return the Poisson quantile at folded uniform t; its score z is not needed."""
    return np.where(t > 0.0, stats.poisson.ppf(np.abs(t), mean), stats.poisson.isf(np.abs(t), mean))


def geometric_failures(detection_rate, t):
    """Return the failures before the first success at folded uniform t."""
    if detection_rate == 1.0:
        return np.zeros_like(t)
    return np.where(t > 0.0, stats.nbinom.ppf(np.abs(t), 1.0, detection_rate), stats.nbinom.isf(np.abs(t), 1.0, detection_rate))


def truncated_score(truncation, z):
    """Return the score of a normal truncated above, by its definition in 40 digits: Phi(e) = Phi(z) Phi(truncation)."""
    if truncation == np.inf:
        return float(z)
    with mpmath.workdps(40):
        target = mpmath.ncdf(z) * mpmath.ncdf(truncation)
        start = float(min(z, truncation - 1e-3))
        return float(mpmath.findroot(lambda e: mpmath.log(mpmath.ncdf(e) / target), (start - 0.1, start), tol=1e-25))


def log_sum_of_loads(truncation, sigma, k, z):
    """Return log S_k at score z: k = 1 by definition, k = 2 by quadrature, above by the Cornish-Fisher expansion to k^-1 (k large)."""
    if k == 1:
        return sigma * truncated_score(truncation, z)
    if k == 2:
        reach = special.ndtr(truncation)
        tail = special.ndtr(-abs(z))

        def side(e):
            """P(load <= exp(sigma e)) for z <= 0, P(load > exp(sigma e)) above, neither by a difference from 1."""
            if z <= 0:
                return special.ndtr(min(e, truncation)) / reach
            return 0.0 if e >= truncation else (special.ndtr(-e) - special.ndtr(-truncation)) / reach

        def tail_of_sum(log_s):
            """2 E[F(s - x); x <= s / 2] - F(s / 2)^2, or 2 E[S(s - x); x <= s / 2] + S(s / 2)^2."""
            s, end = np.exp(log_s), min((log_s - np.log(2.0)) / sigma, truncation)

            def other(e):
                return np.exp(-0.5 * e * e) * side(np.log(s - np.exp(sigma * e)) / sigma)

            corner = np.log(max(s - np.exp(sigma * min(truncation, 38.0)), 1e-300)) / sigma
            edges = [-12.0, *sorted(c for c in (corner, end - 0.5, end - 2.0) if -12.0 < c < end), end]
            pieces = [integrate.fixed_quad(np.vectorize(other), low, high, n=60)[0] for low, high in itertools.pairwise(edges)]
            return 2.0 * math.fsum(pieces) / (np.sqrt(2.0 * np.pi) * reach) + (1.0 if z > 0 else -1.0) * side(end) ** 2

        # the greater of the two loads is at most the sum, and at least half of it
        share = np.sqrt(tail) if z <= 0 else -np.expm1(0.5 * np.log1p(-tail))
        greater = sigma * truncated_score(truncation, float(special.ndtri(share) if z <= 0 else -special.ndtri(share)))
        return optimize.brentq(lambda log_s: np.log(tail_of_sum(log_s) / tail), greater + 1e-12, greater + np.log(2.0) - 1e-12, xtol=1e-10)
    raw = [np.exp(0.5 * (r * sigma) ** 2 + special.log_ndtr(truncation - r * sigma) - special.log_ndtr(truncation)) for r in range(5)]
    variance = raw[2] - raw[1] ** 2
    skew = (raw[3] - 3 * raw[1] * raw[2] + 2 * raw[1] ** 3) / variance**1.5
    kurtosis = (raw[4] - 4 * raw[1] * raw[3] + 6 * raw[1] ** 2 * raw[2] - 3 * raw[1] ** 4) / variance**2 - 3.0
    w = z + (z**2 - 1) * skew / (6 * np.sqrt(k)) + (z**3 - 3 * z) * kurtosis / (24 * k) - (2 * z**3 - 5 * z) * skew**2 / (36 * k)
    return np.log(k * raw[1] + w * np.sqrt(k * variance))


def loads(truncation, sigma, shape, rng):
    """Return simulated standardised loads exp(sigma e), e standard normal truncated above."""
    return np.exp(sigma * special.ndtri(rng.random(shape) * special.ndtr(truncation)))


def effective_loads(truncation, sigma, k, nodes=200):
    """Return 1 / E[sum z^2 / (sum z)^2] of k = 2 loads by a product rule: z1^2 + z2^2 = (z1 + z2)^2 - 2 z1 z2."""
    assert k == 2
    x, weight = np.polynomial.legendre.leggauss(nodes)
    top = min(truncation, 9.0)
    e = 0.5 * (top + 9.0) * (x + 1.0) - 9.0
    weight = weight * np.exp(-0.5 * e * e)
    weight /= weight.sum()
    half = 0.5 * sigma * (e[:, None] - e[None, :])
    return 1.0 / (1.0 - 0.5 * weight @ np.cosh(np.minimum(np.abs(half), 300.0)) ** -2.0 @ weight)


# the border model, draw by draw and stratum by stratum, from the records of a scenario under "philox"


def _folded(scenario, name, n):
    return lanes.philox_draws(scenario.seed, streams.stream_id(name), 0, n)


def _inverse(law, t):
    table = distributions.inverse_table(law)
    return np.array([quantiles.evaluate(table.coefficients, table.child, table.support_low[0], table.support_high[0], 0, v) for v in t])


def serving_block(scenario, name, key):
    """Return (block, draw id) that serve a parameter in a stratum, (None, "") where none does."""
    best, most = None, -1
    for block in scenario.parameters:
        selectors = (block.corridor, block.period, block.form)
        given = [(labels, label) for labels, label in zip(selectors, key, strict=True) if labels is not None]
        if block.name == name and all(label in labels for labels, label in given) and len(given) > most:
            best, most = block, len(given)
    if best is None:
        return None, ""
    labels = [key[("corridor", "period", "form").index(d)] for d in best.varies_by]
    return best, best.id + ("@" + ",".join(labels) if labels else "")


def draw_inputs(scenario, n):
    """Return draw id -> (n,): every parameter draw that a stratum needs, with its correlations."""
    wanted = {}
    for one in scenario.rows:
        for name in PARAMETERS:
            if PARAMETERS[name].of_precursor != (one.form == "precursor"):
                continue
            forms = ("powder", "pill") if PARAMETERS[name].by_result_form and one.form == "unrecorded" else (one.form,)
            for form in forms:
                block, draw_id = serving_block(scenario, name, (one.corridor, one.period, form))
                if block is not None:
                    wanted[draw_id] = block
    ids = sorted(wanted)
    certain = {i for i in ids if distributions.support(wanted[i].law)[0] == distributions.support(wanted[i].law)[1]}
    matrix = np.eye(len(ids))
    for a, first in enumerate(ids):
        for b, second in enumerate(ids):
            if a == b or first in certain or second in certain:
                continue
            p, q = wanted[first], wanted[second]
            if p is q:
                matrix[a, b] = p.correlation
            for link in scenario.correlations:
                if {p.id, q.id} == set(link.between):
                    same = not p.varies_by or not q.varies_by or first.split("@")[1] == second.split("@")[1]
                    matrix[a, b] = link.value * (1.0 if same else math.sqrt(p.correlation * q.correlation))
    x = {}
    uniforms = {i: _folded(scenario, i, n) for i in ids}
    linked = [a for a in range(len(ids)) if np.count_nonzero(matrix[a]) > 1]
    scores = np.linalg.cholesky(matrix) @ np.array(
        [[quantiles.normal_score(quantiles.normal_score_table(), t) for t in uniforms[i]] for i in ids]
    )
    df = next((link.df for link in scenario.correlations if link.copula == "t"), None)
    for a, name in enumerate(ids):
        t = uniforms[name]
        if a in linked and df is None:
            t = [quantiles.normal_tail(quantiles.normal_tail_table(), z) for z in scores[a]]
        elif a in linked:
            chi_square = elicitation.law({"kind": "gamma", "shape": df / 2.0, "scale": 2.0})
            chi = _inverse(chi_square, _folded(scenario, f"chi-square:{ids[linked[0]]}", n))
            t = [quantiles.t_tail(quantiles.t_tail_table(df), df, z * math.sqrt(df / c)) for z, c in zip(scores[a], chi, strict=True)]
        x[name] = np.full(n, distributions.support(wanted[name].law)[0]) if name in certain else _inverse(wanted[name].law, t)
    return x


def summarise_precursors(scenario, n):
    """Return (n, corridors then groups, periods): kg of precursor x yield of draws 0 .. n - 1, NaN where there is no precursor."""
    inputs = draw_inputs(dataclasses.replace(scenario, rows=tuple(one for one in scenario.rows if one.form == "precursor")), n)
    places = [*((name, (name,)) for name in scenario.corridors), *scenario.groups]
    made = np.full((n, len(places), len(scenario.periods)), np.nan)
    for c, (_, members) in enumerate(places):
        for p, period in enumerate(scenario.periods):
            keys = [(member, period, "precursor") for member in members]
            rows = {key: [one for one in scenario.rows if (one.corridor, one.period, one.form) == key] for key in keys}
            if any(rows.values()):
                made[:, c, p] = 0.0
            for key, here in rows.items():
                rounded = sorted((one for one in here if one.rounding), key=lambda one: (one.amount, one.rounding))
                uniforms = [_folded(scenario, f"{'|'.join(key)}|rounding-{r}", n) % 1.0 for r in range(len(rounded))]
                for i in range(n if here else 0):
                    kg = sum(one.amount for one in here if not one.rounding)
                    kg += sum(one.amount + (2.0 * u[i] - 1.0) * one.rounding for one, u in zip(rounded, uniforms, strict=True))
                    made[i, c, p] += kg * inputs[serving_block(scenario, "precursor_yield", key)[1]][i]
    return made


def border_block(scenario, n):
    """Return quantity -> (n, corridors then groups, periods, forms) of draws 0 .. n - 1, NaN where there is no evidence.

    Scalars of the kernels for gammas, Betas, counts, loads and quantiles are taken from there, their own tests say how good they are;
    everything between them is written again, from method.md, without an array of the compiled model but `reflection`: which of all
    rotations of a stratum's scores is taken is free, that it is one has a test of its own.
    """
    compiled = compile_model(scenario)
    reflections = dict(zip(compiled.stratum_keys, compiled.strata.reflection, strict=True))
    columns = (
        "count-gamma", "count-poisson", "missed-sum", "pill-share-seized", "pill-share-missed", "attributed-seized", "attributed-missed",
        "powder-purity-seized", "powder-purity-missed", "pill-purity-seized", "pill-purity-missed",
    )  # fmt: skip
    gamma = gammas.gamma_table()
    inputs = draw_inputs(scenario, n)
    keys = sorted({(one.corridor, one.period, one.form) for one in scenario.rows})
    rows = {key: sorted_rows([one for one in scenario.rows if (one.corridor, one.period, one.form) == key]) for key in keys}
    uniforms = {}

    def t(name, i):
        if name not in uniforms:
            uniforms[name] = _folded(scenario, name, n)
        return float(uniforms[name][i])

    def score(name, i):
        return quantiles.normal_score(quantiles.normal_score_table(), t(name, i))

    def u(name, i):
        return t(name, i) % 1.0

    def draw_of(name, key, i, form=None):
        block, draw_id = serving_block(scenario, name, (*key[:2], form or key[2]))
        return PARAMETERS[name].default if block is None else float(inputs[draw_id][i])

    sigma_laws = [block.law for block in scenario.parameters if block.name == "load_log_sd"]
    sums = None
    if scenario.load_law == "lognormal":
        low = min(float(distributions.ppf(law, np.array([1e-9]))[0]) for law in sigma_laws)
        high = max(float(distributions.isf(law, np.array([1e-9]))[0]) for law in sigma_laws)
        sums = lognormal_loads.load_sums(low, high, scenario.load_truncation)

    def log_sum(size, k, z):
        if scenario.load_law == "lognormal":
            return lognormal_loads.log_sum_of_loads(sums, size, float(k), z)
        if scenario.load_law == "gamma":
            return math.log(size * k) + gammas.log_gamma_ratio(gamma, size * k, z)
        return math.log(k)

    def n_eff(size, k):
        if k == 0 or scenario.load_law == "equal":
            return max(k, 1.0)
        if scenario.load_law == "gamma":
            return max((size * k + 1.0) / (size + 1.0), 1.0)
        return lognormal_loads.effective_loads(sums, size, float(k))

    def log_median(size):
        if scenario.load_law == "lognormal":
            return size * float(lognormal_loads.truncated_scores(np.zeros(1), scenario.load_truncation)[0])
        return math.log(size) + gammas.log_gamma_ratio(gamma, size, 0.0) if scenario.load_law == "gamma" else 0.0

    def turned(label, what, i):
        """Return the score of one uniform of a stratum, reflected together with the others that it uses."""
        v = reflections[tuple(label.split("|"))]
        plain = [score(f"{label}|{column}", i) if v[k] != 0.0 else 0.0 for k, column in enumerate(columns)]
        return score(f"{label}|{what}", i) - v[columns.index(what)] * float(v @ plain)

    def tail(z):
        return quantiles.normal_tail(quantiles.normal_tail_table(), z)

    def realised(mean, m, label, what, i):
        """A share that is random around its mean because it is made of m loads of one kind each: variance mean (1 - mean) / m."""
        z = turned(label, what, i)
        return mean if mean in (0.0, 1.0) else betas.beta(gamma, mean, m - 1.0, tail(z), z)

    def average(mean, cv, m, label, what, i):
        if cv == 0.0 or mean in (0.0, 1.0):
            return mean
        concentration = mean * (1.0 - mean) / (mean * cv / math.sqrt(m)) ** 2 - 1.0
        z = turned(label, what, i)
        return betas.beta(gamma, mean, max(concentration, 0.0), tail(z), z)

    size_name = {"lognormal": "load_log_sd", "gamma": "load_shape"}.get(scenario.load_law)
    names = [*scenario.corridors, *(name for name, _ in scenario.groups)]
    found = {name: np.full((n, len(names), len(scenario.periods), 3), np.nan) for name in QUANTITIES}
    for i in range(n):
        loads, size = {}, {}  # stratum -> [(amount in kg, events)] of its rows in this draw
        for key in keys:
            size[key] = draw_of(size_name, key, i) if size_name else None
            loads[key] = []
            for r, one in enumerate(rows[key]):
                label = "|".join(key)
                events, amount = one.n_events, one.amount
                if events is None:
                    events = math.floor(math.exp(math.log(one.n_min) + u(f"{label}|events-{r}", i) * math.log((one.n_max + 1) / one.n_min)))
                if one.rounding:
                    amount += (2.0 * u(f"{label}|rounding-{r}", i) - 1.0) * one.rounding
                if one.unit == "pill":
                    amount *= draw_of("pill_mass", key, i, "pill") / 1e6
                loads[key].append((amount, events))
        for p, period in enumerate(scenario.periods):
            log_scale = {}
            for members in scenario.shared_load_scale:
                inside = [key for key in keys if key[1] == period and key[0] in members]
                if scenario.load_law == "copy" or not inside:
                    continue
                together = {}  # one sum of loads for each draw of the size parameter
                for key in inside:
                    together.setdefault(serving_block(scenario, size_name, key)[1] if size_name else "", []).append(key)
                z_total = 0.0
                for same in together.values():
                    events = sum(e for key in same for _, e in loads[key])
                    if events:
                        z_total += math.exp(log_sum(size[same[0]], events, score("|".join(min(same)) + "|seized-sum", i)))
                amount = math.fsum(a for key in inside for a, _ in loads[key])
                for key in inside:
                    log_scale[key] = math.log(amount / z_total) if z_total else math.nan
            parts = {name: {} for name in names}  # name -> (form, component) -> sum
            for corridor in scenario.corridors:
                mine = parts[corridor]
                here = [key for key in keys if key[:2] == (corridor, period)]
                for key in here:
                    label = "|".join(key)
                    d, ratio = draw_of("detection_rate", key, i), draw_of("missed_size_ratio", key, i)
                    seized, n_events = math.fsum(a for a, _ in loads[key]), sum(e for _, e in loads[key])
                    if scenario.load_law == "copy":
                        copies = [
                            (a, counts.geometric_failures(d, t(f"{label}|copies-{r}", i))) for r, (a, e) in enumerate(loads[key]) if e == 1
                        ]
                        k = sum(c for _, c in copies)
                        mass = ratio * sum(a * c for a, c in copies)
                        squares = sum(a * a for a, _ in copies)
                        m_seized = sum(a for a, _ in copies) ** 2 / squares if squares else 1.0
                        m_missed = sum(a * c for a, c in copies) ** 2 / sum(a * a * c for a, c in copies) if k else 1.0
                    else:
                        shape = n_events + scenario.event_prior / len(here)
                        z = turned(label, "count-poisson", i)
                        k = counts.missed_loads(gamma, shape, d, turned(label, "count-gamma", i), tail(z), z)
                        median = draw_of("load_median", key, i)
                        scale = log_scale[key] if median is None else math.log(median) - log_median(size[key])
                        z = turned(label, "missed-sum", i) if scenario.load_law != "equal" else 0.0
                        mass = ratio * math.exp(scale + log_sum(size[key], k, z)) if k else 0.0
                        m_seized, m_missed = n_eff(size[key], n_events), n_eff(size[key], k)
                    share = draw_of("attribution_share", key, i)
                    kept = (
                        realised(share, m_seized, label, "attributed-seized", i),
                        realised(share, m_missed, label, "attributed-missed", i),
                    )
                    mine[key[2], "n_missed"] = mine.get((key[2], "n_missed"), 0.0) + kept[1] * k
                    for form in ("powder", "pill"):
                        if key[2] not in ("unrecorded", form):
                            continue
                        s = draw_of("pill_share", key, i) if key[2] == "unrecorded" else float(form == "pill")
                        of_form = s if form == "pill" else 1.0 - s
                        for side, gross, m, here_share in (("seized", seized, m_seized, kept[0]), ("missed", mass, m_missed, kept[1])):
                            pills = realised(s, m, label, f"pill-share-{side}", i)
                            gross *= pills if form == "pill" else 1.0 - pills
                            if form == "powder":
                                mean = draw_of("powder_purity", key, i, form) * draw_of("purity_mass_weighting", key, i, form)
                            else:
                                mean = draw_of("pill_fentanyl", key, i, form) / draw_of("pill_mass", key, i, form)
                            cv = draw_of("purity_cv", key, i, form)
                            effective = max(1.0, of_form * m)
                            pure = gross * average(min(mean, 1.0), cv, effective, label, f"{form}-purity-{side}", i)
                            for component, amount in (
                                (f"{side}_gross", here_share * gross),
                                (f"{side}_pure", here_share * pure),
                                ("unattributed", (1.0 - here_share) * pure),
                                ("inland", draw_of("inland_seized_ratio", key, i) * here_share * pure if side == "seized" else 0.0),
                                ("doses", here_share * pure * 1e6 / draw_of("dose", key, i)),
                            ):
                                mine[form, component] = mine.get((form, component), 0.0) + amount
                for form in ("powder", "pill"):
                    if (form, "inland") in mine:
                        mine[form, "inland"] = min(mine[form, "inland"], mine[form, "missed_pure"])
            for group, members in scenario.groups:
                for corridor in members:
                    for place, amount in parts.get(corridor, {}).items():
                        parts[group][place] = parts[group].get(place, 0.0) + amount
            for c, name in enumerate(names):
                for f, form in enumerate(("powder", "pill", "all")):
                    total = {}
                    for (part, component), amount in parts[name].items():
                        if form == "all" or part == form:
                            total[component] = total.get(component, 0.0) + amount
                    if "seized_gross" not in total:
                        continue
                    answers = {f"{what}_kg": total[what] for what in ("seized_gross", "seized_pure", "missed_gross", "missed_pure")}
                    answers["flow_gross_kg"] = total["seized_gross"] + total["missed_gross"]
                    answers["flow_pure_kg"] = total["seized_pure"] + total["missed_pure"]
                    answers["inland_pure_kg"] = total["inland"]
                    answers["delivered_pure_kg"] = total["missed_pure"] - total["inland"]
                    answers["unattributed_pure_kg"] = total["unattributed"]
                    answers["purity"] = total["seized_pure"] / total["seized_gross"] if total["seized_gross"] else math.nan
                    flow = answers["flow_pure_kg"]
                    answers["interdiction_rate"] = total["seized_pure"] / flow if flow else math.nan
                    unrecorded = ("unrecorded", "n_missed") in parts[name]
                    answers["n_missed"] = math.nan if unrecorded and form != "all" else total["n_missed"]
                    answers["flow_doses"] = total["doses"]
                    for quantity, amount in answers.items():
                        found[quantity][i, c, p, f] = amount
    return found


def sorted_rows(rows):
    """Return the rows of one stratum in the order in which their streams are numbered."""
    return rows


# conditions


def log_normal_cdf(tail_table, z):
    """Return log Phi(z) by scipy; no table is looked at."""
    return float(special.log_ndtr(z))


def weigh(conditions, tail_table, draws, inputs, log_weight, counters):
    """The log weights of a lane, a draw and a condition at a time."""
    for i in range(log_weight.size):
        logs = []
        undefined = False
        for c, row in enumerate(conditions.row):
            result = draws[row, i] * conditions.factor[c] if row >= 0 else 0.0
            undefined |= math.isnan(result) or result < 0.0
            for bound, sign in ((conditions.log_upper[c], 1.0), (conditions.log_lower[c], -1.0)):
                if math.isinf(bound) or undefined:
                    continue
                distance = -math.inf if result == 0.0 else math.inf if math.isinf(result) else math.log(result)
                logs.append(log_normal_cdf(None, sign * (bound - distance) / conditions.log_sd[c]))
        cut = False
        for k in range(conditions.inland.size):
            ratios = conditions.ratio[conditions.ratio_start[k] : conditions.ratio_start[k + 1]]
            seized = draws[conditions.seized[k], i] > 0.0 and any(inputs[e, i] > 0.0 for e in ratios)
            cut |= bool(seized and draws[conditions.inland[k], i] == draws[conditions.missed[k], i])
        counters += [cut, undefined]
        log_weight[i] = -math.inf if cut or undefined else math.fsum(logs) if all(map(math.isfinite, logs)) else -math.inf


def update_weighted(layout, state, j, draws, whole):
    """Count a draw as often as its weight says, by the update for draws that count once; weights must be small."""
    lanes.in_lanes(summaries.update, layout, state, j, np.repeat(draws, whole))


def weighted_lane_sums(draws, whole, centre):
    """Return the two weighted sums, exactly rounded."""
    finite = [(int(w), v - centre) for v, w in zip(draws.tolist(), whole.tolist(), strict=True) if w > 0 and abs(v - centre) < math.inf]
    return math.fsum(w * v for w, v in finite), math.fsum(w * v * v for w, v in finite)


# bins


def place_in_bins(edges, draws, place):
    place[:] = np.searchsorted(edges, draws, side="right")


def add_to_bins(place, targets, counts, sums):
    for t, draws in enumerate(targets):
        for b in range(counts.shape[1]):
            there = draws[(place == b) & ~np.isnan(draws)]
            counts[t, b] += there.size
            sums[t, b] += math.fsum(there)
