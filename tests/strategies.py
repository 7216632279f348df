"""What Hypothesis draws: built so that every example is valid, not filtered; the edges always within reach."""

from __future__ import annotations

import dataclasses

import bare
import numpy as np
from hypothesis import strategies as st


def seeds():
    """Seeds of a run: any 64-bit integer; 0 and the largest are likely."""
    return st.one_of(st.sampled_from([0, 1, 2**32 - 1, 2**32, 2**64 - 1]), st.integers(0, 2**64 - 1))


SUMMARY_KINDS = ("normal", "lognormal", "narrow", "whole", "lattice", "atom", "constant", "negative")


@st.composite
def summary_draws(draw, max_size=200, specials=True, kinds=SUMMARY_KINDS):
    """Draws of one quantity: continuous, lattice, whole, narrow about a large number, with atoms; at times NaN, infinities, zeros."""
    n = draw(st.integers(1, max_size))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    kind = draw(st.sampled_from(kinds))
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


SMALLEST_TAIL = 2.0**-54
FOLDED_EDGES = [s * t for t in (SMALLEST_TAIL, 0.5, float(np.nextafter(0.5, 0.0)), 0.25, 2.0**-30, 5e-324, 1e-300) for s in (1.0, -1.0)]


def folded_uniforms():
    """One folded uniform: t = u in the lower half, u - 1 in the upper; both ends, cell borders, and every size of tail alike."""
    tail = st.one_of(st.floats(SMALLEST_TAIL, 0.5), st.floats(1.0, 54.0).map(lambda k: 2.0**-k), st.integers(1, 54).map(lambda k: 2.0**-k))
    return st.one_of(st.sampled_from(FOLDED_EDGES), st.builds(lambda t, s: s * t, tail, st.sampled_from([1.0, -1.0])))


def _sizes(low, high):
    """Positive numbers, each order of magnitude alike."""
    return st.floats(np.log(low), np.log(high)).map(lambda x: float(np.exp(x)))


@st.composite
def _ordered(draw, n, low=-100.0, high=100.0):
    """n rising numbers, at least a millionth of the range apart."""
    start = draw(st.floats(low, high / 2))
    return [start, *(start + float(x) for x in np.cumsum([draw(_sizes(1e-4, high)) for _ in range(n - 1)]))]


def _family(kind, **parameters):
    return st.fixed_dictionaries({"kind": st.just(kind), **parameters})


@st.composite
def _low_mode_high(draw, kind):
    low, high = draw(_ordered(2))
    share = draw(st.sampled_from([0.0, 0.01, 0.3, 0.5, 1.0]))
    return {"kind": kind, "low": low, "mode": low + share * (high - low) if share < 1 else high, "high": high}


def smooth_laws():
    """Mappings of laws without atoms, in natural parameters, their shapes from extreme to extreme."""
    return st.one_of(
        _ordered(2).map(lambda ends: {"kind": "uniform", "low": ends[0], "high": ends[1]}),
        _low_mode_high("triangular"),
        _low_mode_high("pert"),
        _family("beta", alpha=_sizes(0.02, 1e4), beta=_sizes(0.02, 1e4)),
        _family("normal", mean=st.floats(-100, 100), sd=_sizes(1e-3, 1e3)),
        _family("lognormal", median=_sizes(1e-3, 1e3), sd_log=_sizes(1e-3, 4)),
        _family("gamma", shape=_sizes(0.05, 1e4), scale=_sizes(1e-3, 1e3)),
        _family("student_t", df=_sizes(1, 1e3), loc=st.floats(-100, 100), scale=_sizes(1e-3, 1e3)),
        _family("scipy", name=st.just("weibull_min"), c=_sizes(0.3, 10), scale=_sizes(1e-3, 1e3)),
        _family("scipy", name=st.just("pareto"), b=_sizes(0.5, 10)),
    )


def atomic_laws():
    """Mappings of constants and step functions; repeated values, zero weights."""
    weights = st.lists(st.sampled_from([0.0, 0.5, 1.0, 3.0]), min_size=0, max_size=8).map(lambda w: [*w, 1.0])
    values = st.sampled_from([-3.0, 0.0, 0.1, 1.0, 2.5, 7.0])
    steps = weights.flatmap(
        lambda w: _family("empirical", values=st.lists(values, min_size=len(w), max_size=len(w)), weights=st.just(w)),
    )
    return st.one_of(_family("constant", value=st.floats(-1e6, 1e6)), steps)


@st.composite
def laws(draw):
    """Mappings of any law: smooth, atomic, mixed, and cut where at least a thousandth remains."""
    from sim import distributions, elicitation

    spec = draw(st.one_of(smooth_laws(), atomic_laws(), mixtures()))
    if draw(st.booleans()):
        law = elicitation.law(spec)
        p = draw(st.sampled_from([(0.0, 0.5), (1e-6, 1.0), (0.3, 0.9), (0.99, 1.0), (0.001, 0.002)]))
        lower, upper = (float(x) for x in distributions.ppf(law, p))
        if lower < upper:  # else the cut would fall within one atom
            spec |= {key: x for key, x in (("lower", lower), ("upper", upper)) if np.isfinite(x)}
    return spec


def mixtures():
    """Mappings of two or three laws of any place and width, gaps between them and atoms in them."""
    return st.integers(2, 3).flatmap(
        lambda n: _family(
            "mixture",
            components=st.lists(st.one_of(smooth_laws(), atomic_laws()), min_size=n, max_size=n),
            weights=st.lists(st.sampled_from([1.0, 0.1, 5.0]), min_size=n, max_size=n),
        )
    )


PERIODS = ("FY2024", "FY2025")
FORMS = ("powder", "pill", "unrecorded")


@st.composite
def border_scenarios(draw, known=False, certain=False, median=True):
    """Small scenarios of the border model in bare records: one to three corridors, one or two periods, any forms.

    known     every number of events is known and no amount is rounded
    certain   forms and borders of loads are known and purity has no spread, so that what is missed is monotone in detection
    median    load_median may be given; it is, wherever a load-scale block could be without an event
    """
    law = draw(st.sampled_from(["gamma", "equal", "lognormal"]))
    corridors = ("east", "north", "west")[: draw(st.integers(1, 3))]
    periods = PERIODS[: draw(st.integers(1, 2))]
    shared = draw(st.booleans())
    given_median = median and draw(st.booleans())
    rows = []
    for period in periods:
        for i, corridor in enumerate(corridors):
            # the first corridor has events in every period; without a shared scale or a median all have
            forms = draw(st.lists(st.sampled_from(FORMS[:2] if certain else FORMS), min_size=1 if i == 0 else 0, max_size=2, unique=True))
            for k, form in enumerate(forms):
                may_be_empty = (i > 0 and shared) or k > 0 or given_median
                counts = [1, 3, 17, 400] + [0] * may_be_empty + [None] * (not known)
                n_events = draw(st.sampled_from(counts))
                amount = 0.0 if n_events == 0 else draw(st.sampled_from([0.25, 1.5, 40.0, 9000.0]))
                tablets = form == "pill" and draw(st.booleans())
                rounding = 0.0 if known else amount * draw(st.sampled_from([0.0, 0.25]))
                scale = 1000.0 if tablets else 1.0
                unit = "pill" if tablets else "kg"
                rows.append(bare.row(corridor, n_events, amount * scale, form, period=period, unit=unit, rounding=rounding * scale))
    present = tuple(corridor for corridor in corridors if any(one.corridor == corridor for one in rows))
    purity = {"kind": "beta", "mean": 0.1136, "sd": 0.02}
    blocks = [
        bare.block(
            "detection_rate",
            {"kind": "beta", "alpha": 4.0, "beta": 36.0},
            varies_by=draw(st.sampled_from([(), ("period",), ("corridor", "period")])),
            correlation=draw(st.sampled_from([0.0, 0.5, 1.0])),
        ),
        bare.block("powder_purity", purity),
        bare.block("pill_fentanyl", {"kind": "uniform", "low": 1.0, "high": 3.0}),
        bare.block("pill_mass", 110.0),
        bare.block("missed_size_ratio", draw(st.sampled_from([1.0, {"kind": "uniform", "low": 0.5, "high": 1.0}]))),
        bare.block("inland_seized_ratio", draw(st.sampled_from([0.0, {"kind": "uniform", "low": 0.0, "high": 20.0}]))),
        bare.block("dose", draw(st.sampled_from([2.0, {"kind": "uniform", "low": 1.0, "high": 3.0}]))),
    ]
    if not certain:
        blocks += [
            bare.block("pill_share", draw(st.sampled_from([0.0, 0.4, 1.0]))),
            bare.block("purity_cv", draw(st.sampled_from([0.0, 0.5, 3.0]))),
            bare.block("attribution_share", draw(st.sampled_from([0.0, 0.7, 1.0, purity]))),
        ]
    if given_median:
        blocks += [bare.block("load_median", 0.5)]
    blocks += {"gamma": [bare.block("load_shape", 0.8)], "lognormal": [bare.block("load_log_sd", 1.5)], "equal": []}[law]
    forms = {one.form for one in rows}
    needed = {"powder_purity": {"powder", "unrecorded"}, "pill_share": {"unrecorded"}}
    needed |= {name: {"pill", "unrecorded"} for name in ("pill_fentanyl", "pill_mass")}
    return bare.scenario(
        rows,
        [block for block in blocks if forms & needed.get(block.name, forms)],
        load_law=law,
        event_prior=draw(st.sampled_from([0.5, 1.0])),
        corridors=present,
        shared_load_scale=(present,) if shared else tuple((corridor,) for corridor in present),
        groups=(("all", present),) if len(present) > 1 else (),
        seed=draw(seeds()),
    )


@st.composite
def precursor_scenarios(draw):
    """(one, more): a small scenario of the border model, and the same with precursors in some of its corridors, or in a corridor more."""
    one = draw(border_scenarios())
    places = [(corridor, period) for corridor in (*one.corridors, "laboratory") for period in one.periods]
    rows = []
    for corridor, period in draw(st.lists(st.sampled_from(places), min_size=1, max_size=4)):
        amount = draw(st.sampled_from([0.0, 0.25, 50.0, 1133.0]))
        n_events = 0 if amount == 0.0 else draw(st.sampled_from([1, 3, None]))
        rounding = amount * draw(st.sampled_from([0.0, 0.25, 1.0]))
        rows.append(bare.row(corridor, n_events, amount, "precursor", period=period, rounding=rounding))
    law = draw(st.sampled_from([0.76, {"kind": "lognormal", "median": 1.2, "sd_log": 0.5}, {"kind": "uniform", "low": 0.0, "high": 2.0}]))
    varies = draw(st.sampled_from([(), ("corridor",), ("corridor", "period")]))
    laboratory = ("laboratory",) * any(row.corridor == "laboratory" for row in rows)
    more = dataclasses.replace(
        one,
        rows=(*one.rows, *rows),
        parameters=(*one.parameters, bare.block("precursor_yield", law, varies_by=varies, correlation=draw(st.sampled_from([0.0, 0.9])))),
        corridors=(*one.corridors, *laboratory),
        shared_load_scale=(*one.shared_load_scale, *((name,) for name in laboratory)),
        groups=(*one.groups, ("everything", (*one.corridors, *laboratory))),
    )
    return one, more


def fixed_border_scenario():
    """One scenario with every part of the model in it."""
    rows = [
        bare.row("east", 4, 10.0),
        bare.row("east", 9, 2.0, "pill"),
        bare.row("west", 7, 3.0),
        bare.row("west", 2, 1.0, "unrecorded"),
    ]
    blocks = {
        "detection_rate": {"kind": "beta", "alpha": 4.0, "beta": 36.0},
        "powder_purity": {"kind": "beta", "mean": 0.1136, "sd": 0.02},
        "purity_cv": 0.5,
        "pill_fentanyl": 2.0,
        "pill_mass": 110.0,
        "pill_share": 0.4,
        "load_shape": 0.8,
        "attribution_share": 0.7,
        "inland_seized_ratio": {"kind": "uniform", "low": 0.0, "high": 20.0},
    }
    return bare.scenario(rows, blocks, groups=(("both", ("east", "west")),))


@st.composite
def compared_scenarios(draw):
    """Scenarios as above with one to three contrasts of any results that exist, each with a claim."""
    from sim.model import compile_model
    from sim.questions import ABSENT
    from sim.records import QUANTITIES, RESULT_FORMS, Claim, Contrast, Result

    base = draw(border_scenarios())
    summary = compile_model(base).summary
    names, places = list(QUANTITIES), [name for name, _ in base.places]
    there = [tuple(map(int, cell)) for cell in np.argwhere(summary != ABSENT)]
    pairs = draw(st.lists(st.tuples(st.sampled_from(there), st.sampled_from(there)), min_size=1, max_size=3))

    def side(cell):
        c, p, f, q = cell
        return Result(quantity=names[q], corridor=places[c], period=base.periods[p], form=RESULT_FORMS[f])

    contrasts = [Contrast(id=f"c{k}", numerator=side(one), denominator=side(other)) for k, (one, other) in enumerate(pairs)]
    bounds = st.sampled_from([{"above": 1.0}, {"below": 1.0}, {"below": 0.0}, {"between": (0.5, 2.0)}, {"above": 1e-9}])
    claims = [Claim(id=f"claim of {one.id}", text="so", contrast=one.id, **draw(bounds)) for one in contrasts]
    return dataclasses.replace(base, contrasts=tuple(contrasts), claims=tuple(claims))
