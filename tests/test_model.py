"""From records to arrays: which block serves which stratum, what depends on what, what is refused, and where a mean exists."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
import verdicts
from bare import block, correlation, draws, row, scenario
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from sim import dependence, simulation
from sim.checks import check, warnings
from sim.matching import match, unused
from sim.model import compile_model
from sim.questions import ABSENT, ZERO
from sim.records import PARAMETERS, QUANTITIES, RESULT_FORMS
from sim.tails import said

BETA = {"kind": "beta", "alpha": 4.0, "beta": 36.0}
UNIFORM = {"kind": "uniform", "low": 0.05, "high": 0.6}
PURITY = {"kind": "beta", "mean": 0.1136, "sd": 0.02}
Q = {name: i for i, name in enumerate(QUANTITIES)}
F = {name: i for i, name in enumerate(RESULT_FORMS)}


def parameters(*blocks, load_law="gamma", **others):
    """Return blocks with whatever powder needs beside them."""
    names = {one.name for one in blocks}
    needed = {"detection_rate": 0.1, "powder_purity": 0.1} | ({"load_shape": 1.0} if load_law == "gamma" else {}) | others
    return [*blocks, *(block(name, law) for name, law in needed.items() if name not in names)]


def corridors(*names, n_events=4, amount=10.0):
    return [row(name, n_events, amount) for name in names]


def only(problems):
    """Return the text of the one problem."""
    assert len(problems) == 1, [str(problem) for problem in problems]
    return str(problems[0])


def nearest_value(text):
    return float(text.split("nearest feasible value is")[1].split(",")[0].strip(" ."))


def serving(one, name, key, form=None):
    """Return the id of the draw that serves a parameter in a stratum."""
    stratum = next(stratum for stratum in match(one)[0].strata if stratum.key == key)
    return stratum.parameter_draws[name, form or key[2]].id


# which block serves


def test_the_block_with_most_selectors_wins_whatever_its_lists():
    blocks = parameters(
        block("detection_rate", 0.1),
        block("detection_rate", 0.2, corridor=("east", "west")),
        block("detection_rate", 0.3, corridor="east", period="FY2025"),
        block("detection_rate", 0.4, corridor="east", period="FY2025", form="pill"),
        pill_fentanyl=2.0,
        pill_mass=110.0,
    )
    rows = [row(*place) for place in (("east",), ("west",), ("north",))]
    rows += [row("east", period="FY2025"), row("east", form="pill", period="FY2025")]
    one = scenario(rows, blocks)
    assert check(one) == []
    assert serving(one, "detection_rate", ("north", "FY2024", "powder")) == "detection_rate"
    assert serving(one, "detection_rate", ("west", "FY2024", "powder")) == "detection_rate[east,west]"
    assert serving(one, "detection_rate", ("east", "FY2024", "powder")) == "detection_rate[east,west]"
    assert serving(one, "detection_rate", ("east", "FY2025", "powder")) == "detection_rate[east,FY2025]"
    assert serving(one, "detection_rate", ("east", "FY2025", "pill")) == "detection_rate[east,FY2025,pill]"
    found = draws(one, 2)
    assert [found[f"detection_rate{which}"][0] for which in ("", "[east,west]", "[east,FY2025]", "[east,FY2025,pill]")] == [
        0.1,
        0.2,
        0.3,
        0.4,
    ]


def test_a_tie_names_both_blocks_once():
    blocks = parameters(block("detection_rate", 0.1, corridor="east"), block("detection_rate", 0.2, period="FY2024", path=("parameter", 1)))
    problems = match(scenario(corridors("east"), blocks))[1]
    text = only(problems)
    assert '"detection_rate[east]" and "detection_rate[FY2024]" both match east, FY2024, powder with 1 selectors' in text
    assert text.startswith("parameter[1]: ")


def test_a_parameter_that_nothing_gives_is_missed_once_with_its_place():
    text = only(match(scenario(corridors("east", "west"), [block("powder_purity", 0.1), block("load_shape", 1.0)]))[1])
    assert "no detection_rate serves east, FY2024, powder and 1 more" in text
    assert PARAMETERS["detection_rate"].meaning in text


@pytest.mark.parametrize(
    ("form", "expected"),
    [
        ("powder", {"detection_rate", "powder_purity"}),
        ("pill", {"detection_rate", "pill_fentanyl", "pill_mass"}),
        ("unrecorded", {"detection_rate", "powder_purity", "pill_fentanyl", "pill_mass", "pill_share"}),
    ],
)
@pytest.mark.parametrize(
    ("load_law", "size"), [("lognormal", {"load_log_sd"}), ("gamma", {"load_shape"}), ("equal", set()), ("copy", set())]
)
def test_each_form_and_load_law_requires_its_parameters(form, expected, load_law, size):
    problems = match(scenario([row("east", 1, 1.0, form)], [], load_law=load_law))[1]
    assert {problem.came.split()[1] for problem in problems} == expected | size


def test_purity_is_looked_up_with_the_form_of_the_result_and_the_rest_with_that_of_the_evidence():
    blocks = [
        block("detection_rate", 0.1, form="unrecorded"),
        block("powder_purity", 0.1, form="powder"),
        block("purity_cv", 0.5, form="powder"),
        block("purity_cv", 0.25, form="pill"),
        block("pill_fentanyl", 2.0, form="pill"),
        block("pill_mass", 110.0),
        block("pill_share", 0.4, form="unrecorded"),
        block("load_shape", 1.0),
    ]
    one = scenario([row("east", form="unrecorded")], blocks)
    assert check(one) == []
    key = ("east", "FY2024", "unrecorded")
    assert serving(one, "purity_cv", key, "powder") == "purity_cv[powder]"
    assert serving(one, "purity_cv", key, "pill") == "purity_cv[pill]"
    assert serving(one, "detection_rate", key) == "detection_rate[unrecorded]"
    wrong = dataclasses.replace(one, parameters=(*blocks[:1], block("powder_purity", 0.1, form="unrecorded"), *blocks[2:]))
    assert "no powder_purity serves east, FY2024, powder" in " ".join(map(str, check(wrong)))


def test_one_draw_for_each_label_of_what_a_block_varies_by():
    blocks = parameters(
        block("detection_rate", BETA, varies_by=("corridor", "period"), correlation=0.5),
        block("powder_purity", PURITY, varies_by=("period",), correlation=0.0),
        block("load_shape", UNIFORM),
    )
    rows = [*corridors("east", "west"), row("east", period="FY2025")]
    model = compile_model(scenario(rows, blocks))
    assert [draw.id for draw in model.parameter_draws] == [
        "detection_rate@east,FY2024",
        "detection_rate@east,FY2025",
        "detection_rate@west,FY2024",
        "load_shape",
        "powder_purity@FY2024",
        "powder_purity@FY2025",
    ]
    assert model.slot_names[:6] == tuple(draw.id for draw in model.parameter_draws)
    compound, plain = list(model.slot_names[6 : model.n_point_slots]), list(model.slot_names[model.n_point_slots :])
    assert compound == sorted(compound)
    assert plain == sorted(plain)
    assert len(set(model.slot_names)) == len(model.slot_names)
    found = draws(scenario(rows, blocks), 64)
    assert not np.array_equal(found["powder_purity@FY2024"], found["powder_purity@FY2025"])


# what serves nothing


def test_blocks_and_labels_that_serve_nothing():
    blocks = parameters(
        block("detection_rate", 0.2, corridor=("east", "west"), path=("parameter", 0)),
        block("detection_rate", 0.1, path=("parameter", 1)),
        block("powder_purity", 0.1, corridor="east", period=("FY2024", "FY2025")),
        block("dose", 2.0, form="pill"),
        block("load_log_sd", 1.0),
        powder_purity=0.2,
    )
    rows = [*corridors("east"), row("west", period="FY2025")]
    one = scenario(rows, [*blocks, block("powder_purity", 0.05)])
    matched, _ = match(one)
    texts = [str(problem) for problem in unused(one, matched)]
    assert len(texts) == 3, texts  # load_log_sd belongs to another load law
    assert texts[0].startswith('parameter[1]: parameter "detection_rate" is not used')
    assert '"powder_purity[east,FY2024,FY2025]" serves nothing for period FY2025' in texts[1]
    assert '"dose[pill]" is not used' in texts[2]
    assert len(check(one)) == 3


def test_a_used_scenario_has_no_unused_block():
    one = scenario(corridors("east"), parameters())
    assert unused(one, match(one)[0]) == []


# what a load law needs


def test_a_scale_without_an_event_needs_a_median():
    rows = [row("north", 0, 0.0), row("east", 4, 10.0)]
    text = only(check(scenario(rows, parameters())))
    assert "no event in north in FY2024" in text
    assert "load_median" in text
    assert check(scenario(rows, parameters(block("load_median", 0.5, corridor="north")))) == []
    assert check(scenario(rows, parameters(), shared_load_scale=(("east", "north"),))) == []
    assert check(scenario([row("north", None, 3.0)], parameters())) == []  # a blank count is at least one event


def test_copies_need_single_seizures():
    rows = [row("east", 1, 2.0), row("east", 3, 2.0, where="evidence/x.csv:7"), row("east", None, 2.0), row("east", 0, 0.0, "pill")]
    texts = [str(p) for p in check(scenario(rows, parameters(load_law="copy", pill_fentanyl=2.0, pill_mass=110.0), load_law="copy"))]
    assert len(texts) == 2
    assert "n_events = 3" in texts[0]
    assert "evidence/x.csv:7" in texts[0]
    assert "blank" in texts[1]


@pytest.mark.parametrize(
    ("law", "fits"),
    [
        (7.9, True),
        (8.1, False),
        ({"kind": "lognormal", "median": 3.0, "sd_log": 0.5}, False),
        ({"kind": "normal", "mean": 2.0, "sd": 0.3, "lower": 0.0}, True),
    ],
)
def test_load_sizes_that_span_more_than_the_tables(law, fits):
    blocks = parameters(block("load_log_sd", law, path=("parameter", 3)), load_law="lognormal")
    problems = check(scenario(corridors("east"), blocks, load_law="lognormal"))
    if fits:
        assert problems == []
    else:
        assert only(problems).startswith("parameter[3].distribution: load_log_sd reaches beyond 8")


# the prior


def test_prior_shares_are_a_over_n_plus_a_weighted_by_what_is_missed():
    rows = [row("east", 4, 10.0), row("west", 0, 0.0), row("west", 19, 3.0, "pill")]
    blocks = parameters(
        block("detection_rate", 0.1),
        block("detection_rate", 0.5, corridor="west"),
        block("load_median", 0.5),
        pill_fentanyl=2.0,
        pill_mass=110.0,
    )
    one = scenario(rows, blocks, groups=(("both", ("east", "west")),))
    shares = compile_model(one).prior_share[:, 0]
    np.testing.assert_allclose(shares, [0.5 / 4.5, 0.5 / 19.5, (0.5 * 9.0 + 0.5 * 1.0) / (4.5 * 9.0 + 19.5 * 1.0)], rtol=1e-9)
    np.testing.assert_array_equal(compile_model(one).strata.prior, [0.5, 0.25, 0.25])  # over the strata of a corridor and period
    warned = warnings(one)
    assert len(warned) == 1
    assert warned[0].startswith("east: the event prior supplies more than 10 %")
    assert "11%" in warned[0]
    assert warnings(scenario([row("east", 40, 10.0)], parameters())) == ()


# what depends on what


def component_of(one):
    matched, problems = match(one)
    assert problems == []
    (component,) = matched.components
    return [draw.id for draw in component.parameter_draws], component.matrix, component.df


def two_varying(p, q, **link):
    blocks = parameters(
        block("detection_rate", BETA, varies_by=("corridor",), correlation=p),
        block("powder_purity", PURITY, varies_by=("corridor",), correlation=q),
    )
    return scenario(corridors("east", "west"), blocks, correlations=(correlation(("detection_rate", "powder_purity"), **link),))


def test_two_blocks_that_vary_alike():
    """r for equal labels, r sqrt(p q) for unequal ones, p and q within."""
    ids, matrix, df = component_of(two_varying(0.64, 0.25, value=0.5))
    assert ids == ["detection_rate@east", "detection_rate@west", "powder_purity@east", "powder_purity@west"]
    np.testing.assert_allclose(matrix, [[1, 0.64, 0.5, 0.2], [0.64, 1, 0.2, 0.5], [0.5, 0.2, 1, 0.25], [0.2, 0.5, 0.25, 1]])
    assert df == 0.0
    assert component_of(two_varying(0.64, 0.25, value=0.5, copula="t", df=4.0))[2] == 4.0


def test_a_block_that_does_not_vary_meets_every_draw():
    blocks = parameters(block("detection_rate", BETA, varies_by=("corridor",), correlation=0.5), block("powder_purity", PURITY))
    one = scenario(corridors("east", "west"), blocks, correlations=(correlation(("powder_purity", "detection_rate"), 0.3),))
    _, matrix, _ = component_of(one)
    np.testing.assert_allclose(matrix, [[1, 0.5, 0.3], [0.5, 1, 0.3], [0.3, 0.3, 1]])


def test_single_draws_and_a_matrix():
    blocks = parameters(block("detection_rate", BETA, varies_by=("corridor",), correlation=0.0), block("powder_purity", PURITY))
    link = correlation(
        ("detection_rate@west", "powder_purity", "detection_rate@east"), matrix=((1.0, 0.6, 0.1), (0.6, 1.0, -0.2), (0.1, -0.2, 1.0))
    )
    ids, matrix, _ = component_of(scenario(corridors("east", "west"), blocks, correlations=(link,)))
    assert ids == ["detection_rate@east", "detection_rate@west", "powder_purity"]
    np.testing.assert_allclose(matrix, [[1, 0.1, -0.2], [0.1, 1, 0.6], [-0.2, 0.6, 1]])


def test_what_is_linked_through_others_is_one_component_and_nothing_else():
    blocks = parameters(
        block("detection_rate", BETA),
        block("powder_purity", PURITY),
        block("dose", UNIFORM),
        block("missed_size_ratio", UNIFORM, varies_by=("corridor",), correlation=0.0),
        block("attribution_share", UNIFORM),
    )
    links = (
        correlation(("dose", "detection_rate"), 0.5, id="a"),
        correlation(("powder_purity", "detection_rate"), 0.4, id="b"),
    )
    ids, matrix, _ = component_of(scenario(corridors("east", "west"), blocks, correlations=links))
    assert ids == ["detection_rate", "dose", "powder_purity"]
    np.testing.assert_allclose(matrix, [[1, 0.5, 0.4], [0.5, 1, 0], [0.4, 0, 1]])


@pytest.mark.parametrize("k", [2, 3, 5, 7])
def test_an_exchangeable_correlation_has_a_lower_bound(k):
    names = [f"corridor-{i}" for i in range(k)]
    bound = -1.0 / (k - 1)
    for r, fits in ((bound, True), (bound - 0.01, False)):
        blocks = parameters(block("detection_rate", BETA, varies_by=("corridor",), correlation=r, path=("parameter", 0)))
        problems = check(scenario(corridors(*names), blocks))
        if fits:
            assert problems == []
            continue
        text = only(problems)
        assert text.startswith("parameter[0].correlation: ")
        assert f"smallest eigenvalue {1.0 + (k - 1) * r:.4g}" in text
        assert f"at least -1/{k - 1}" in text
        nearest = nearest_value(text)
        assert nearest == pytest.approx(bound, abs=1e-3)
        blocks[0] = dataclasses.replace(blocks[0], correlation=nearest)
        assert check(scenario(corridors(*names), blocks)) == []


def test_a_contradiction_states_the_smallest_eigenvalue_and_the_nearest_value():
    """Three independent draws cannot all have .9 with a fourth: 1 - .9 sqrt(3) = -.5588; at most 1 / sqrt(3) = .57735."""
    blocks = parameters(block("detection_rate", BETA, varies_by=("corridor",), correlation=0.0), block("powder_purity", PURITY))
    link = correlation(("detection_rate", "powder_purity"), 0.9, path=("correlation", 0))
    one = scenario(corridors("a", "b", "c"), blocks, correlations=(link,))
    text = only(check(one))
    assert text.startswith("correlation[0]: ")
    assert "smallest eigenvalue -0.5588" in text
    nearest = nearest_value(text)
    assert nearest == pytest.approx(1.0 / math.sqrt(3.0), abs=2e-4)
    feasible = dataclasses.replace(one, correlations=(dataclasses.replace(link, value=nearest),))
    assert check(feasible) == []


@pytest.mark.parametrize(
    ("links", "said"),
    [
        ([{"copula": "t", "df": 4.0}, {}], "with different copulas"),
        ([{"copula": "t", "df": 4.0}, {"copula": "t", "df": 5.0}], "with different copulas"),
        ([{"copula": "t", "df": 4.0}, {"copula": "t", "df": 4.0}], None),
        ([{}, {}], None),
    ],
)
def test_a_component_has_one_copula(links, said):
    blocks = parameters(block("detection_rate", BETA), block("powder_purity", PURITY), block("dose", UNIFORM))
    pairs = (("detection_rate", "powder_purity"), ("powder_purity", "dose"))
    correlations = tuple(correlation(pair, 0.3, id=f"rho-{i}", **link) for i, (pair, link) in enumerate(zip(pairs, links, strict=True)))
    problems = check(scenario(corridors("east"), blocks, correlations=correlations))
    if said is None:
        assert problems == []
    else:
        text = only(problems)
        assert said in text
        assert '"rho-0"' in text
        assert '"rho-1"' in text


def test_a_t_copula_beside_a_gaussian_one_is_no_mixture():
    blocks = parameters(block("detection_rate", BETA), block("powder_purity", PURITY), block("dose", UNIFORM), block("load_shape", UNIFORM))
    links = (
        correlation(("detection_rate", "powder_purity"), 0.3, id="a", copula="t", df=4.0),
        correlation(("dose", "load_shape"), 0.3, id="b"),
    )
    one = scenario(corridors("east"), blocks, correlations=links)
    assert check(one) == []
    model = compile_model(one)
    np.testing.assert_array_equal(np.sort(model.inputs.df), [0.0, 4.0])
    assert "chi-square:detection_rate" in model.slot_names


@pytest.mark.parametrize(
    ("between", "said"),
    [
        (("detection_rate", "powder_puritty"), '"powder_puritty" is not a parameter of this scenario'),
        (("detection_rate@north", "powder_purity"), '"detection_rate@north" is not a parameter of this scenario'),
        (("detection_rate", "detection_rate"), "named twice"),
        (("detection_rate@east", "missed_size_ratio"), "a single draw of a block that varies and the other a whole block"),
        (("detection_rate", "missed_size_ratio"), "varies by period"),
    ],
)
def test_names_that_cannot_be_correlated(between, said):
    blocks = parameters(
        block("detection_rate", BETA, varies_by=("corridor",), correlation=0.5),
        block("missed_size_ratio", UNIFORM, varies_by=("period",), correlation=0.5),
        block("powder_purity", PURITY),
    )
    rows = [*corridors("east", "west"), row("east", period="FY2025")]
    text = only(check(scenario(rows, blocks, correlations=(correlation(between, 0.2, path=("correlation", 0)),))))
    assert said in text
    assert text.startswith("correlation[0].between: ")
    if "puritty" in said:
        assert '"powder_purity"' in text.split(".")[-2]


def test_a_correlation_given_twice():
    blocks = parameters(block("detection_rate", BETA), block("powder_purity", PURITY))
    pair = ("detection_rate", "powder_purity")
    links = (correlation(pair, 0.2, id="first"), correlation(pair[::-1], 0.3, id="second"))
    assert 'in correlation "first"' in only(check(scenario(corridors("east"), blocks, correlations=links)))


def test_a_correlation_with_a_block_that_nothing_uses_is_not_dangling():
    blocks = parameters(block("detection_rate", BETA), block("load_log_sd", UNIFORM))
    one = scenario(corridors("east"), blocks, correlations=(correlation(("detection_rate", "load_log_sd"), 0.5),))
    assert check(one) == []
    assert match(one)[0].components == ()


def test_a_constant_drops_out_of_its_component():
    blocks = parameters(block("detection_rate", BETA), block("powder_purity", 0.1), block("dose", UNIFORM))
    links = (correlation(("detection_rate", "powder_purity"), 0.8, id="a"), correlation(("detection_rate", "dose"), 0.5, id="b"))
    one = scenario(corridors("east"), blocks, correlations=links)
    assert check(one) == []
    assert compile_model(one).inputs.member.size == 2
    assert (draws(one, 8)["powder_purity"] == 0.1).all()


def test_zero_correlation_under_a_t_copula_is_not_independence():
    blocks = parameters(block("detection_rate", BETA), block("powder_purity", PURITY))
    one = scenario(
        [row("east", 40, 10.0)], blocks, correlations=(correlation(("detection_rate", "powder_purity"), 0.0, copula="t", df=4.0),)
    )
    assert "not independent" in only(warnings(one))
    assert len(match(one)[0].components) == 1
    gaussian = dataclasses.replace(one, correlations=(dataclasses.replace(one.correlations[0], copula="gaussian", df=None),))
    assert warnings(gaussian) == ()


@given(st.integers(1, 6), st.integers(1, 6), st.integers(0, 2**32 - 1))
def test_the_factor_gives_back_its_matrix_whatever_its_rank(n, rank, seed):
    rng = np.random.default_rng(seed)
    spread = rng.normal(size=(n, rank))
    matrix = spread @ spread.T
    matrix /= np.sqrt(np.outer(np.diag(matrix), np.diag(matrix)))
    lower = np.zeros((n, n))
    lower[np.tril_indices(n)] = dependence.factor(matrix)
    np.testing.assert_allclose(lower @ lower.T, matrix, atol=1e-4)  # a pivot below 1e-9 is taken for 0


@pytest.mark.parametrize(("copula", "df", "kendall"), [("gaussian", None, 1.0 / 3.0), ("t", 4.0, 1.0 / 3.0)])
def test_joint_draws_have_their_correlation_and_their_own_laws(copula, df, kendall):
    """Kendall's tau is (2 / pi) asin r for both; the scores' correlation is r; each input keeps its law. Wrong correlations are seen."""
    blocks = parameters(block("detection_rate", BETA), block("powder_purity", PURITY))
    one = scenario(corridors("east"), blocks, correlations=(correlation(("detection_rate", "powder_purity"), 0.5, copula=copula, df=df),))
    n = 1 << 15
    found = draws(one, n)
    a, b = found["detection_rate"], found["powder_purity"]
    verdicts.assert_follows(a, stats.beta(4.0, 36.0), "detection_rate in a component")
    # pairs of draws that share none are independent: concordance is binomial with p = (1 + tau) / 2
    concordant = int((((a[::2] - a[1::2]) * (b[::2] - b[1::2])) > 0.0).sum())
    law = stats.binom(n // 2, 0.5 * (1.0 + kendall))
    verdicts.decide(f"{copula} concordance", min(1.0, 2.0 * min(law.cdf(concordant), law.sf(concordant - 1))))
    for wrong in (0.4, 0.6):
        other = stats.binom(n // 2, 0.5 * (1.0 + 2.0 / np.pi * np.arcsin(wrong)))
        assert min(other.cdf(concordant), other.sf(concordant - 1)) < verdicts.LEVEL
    # joint extremes: upper tail dependence tells t from Gaussian
    both = int(((a > np.quantile(a, 0.99)) & (b > np.quantile(b, 0.99))).sum())
    share = {"gaussian": 0.129, "t": 0.30}[copula]  # P(both | one) at .99: by quadrature of the two copulas
    assert abs(both / (0.01 * n) - share) < 0.1


def test_full_correlation_is_one_shared_draw():
    blocks = parameters(block("detection_rate", BETA, varies_by=("corridor",), correlation=1.0))
    found = draws(scenario(corridors("east", "west"), blocks), 256)
    np.testing.assert_allclose(found["detection_rate@east"], found["detection_rate@west"], rtol=1e-12)


# what is answered, and by what


def test_questions_that_follow_from_others_are_not_asked_twice():
    rows = [row("east", 4, 10.0), row("west", 4, 10.0, "unrecorded"), row("north", 4, 10.0, period="FY2025")]
    blocks = parameters(block("inland_seized_ratio", 0.2, corridor="west"), pill_fentanyl=2.0, pill_mass=110.0, pill_share=0.5)
    groups = (("some", ("east", "north")), ("all", ("east", "west", "north")))
    one = scenario(rows, blocks, groups=groups, corridors=("east", "west", "north"))
    model = compile_model(one)
    at = model.summary
    east, west, north, some, everything = range(5)
    powder, pill, total = (F[form] for form in RESULT_FORMS)
    np.testing.assert_array_equal(at[east, 0, total], at[east, 0, powder])  # one form answers for all
    assert (at[east, 0, pill] == ABSENT).all()
    assert (at[east, 1] == ABSENT).all()
    assert (at[north, 0] == ABSENT).all()
    assert at[east, 0, powder, Q["unattributed_pure_kg"]] == ZERO
    assert at[east, 0, powder, Q["inland_pure_kg"]] == ZERO
    assert at[east, 0, powder, Q["delivered_pure_kg"]] == at[east, 0, powder, Q["missed_pure_kg"]]
    assert at[west, 0, powder, Q["delivered_pure_kg"]] != at[west, 0, powder, Q["missed_pure_kg"]]
    assert (at[west, 0, [powder, pill], Q["n_missed"]] == ABSENT).all()  # a mass share does not identify a count
    assert at[west, 0, total, Q["n_missed"]] >= 0
    np.testing.assert_array_equal(at[some, 0], at[east, 0])  # a group of one
    np.testing.assert_array_equal(at[some, 1], at[north, 1])
    assert at[everything, 0, total, Q["flow_pure_kg"]] not in (at[east, 0, total, Q["flow_pure_kg"]], at[west, 0, total, Q["flow_pure_kg"]])
    assert at[east, 0, powder, Q["flow_doses"]] == at[east, 0, powder, Q["flow_pure_kg"]]
    assert model.factor[east, 0, powder, Q["flow_doses"]] == 1e6 / 2.0
    assert at.max() == model.n_summaries - 1
    kept = model.strata.index[model.strata.index >= 0]
    np.testing.assert_array_equal(np.sort(kept), np.arange(model.n_summaries))


def test_seized_mass_as_in_the_table():
    rows = [row("east", 4, 10.0), row("east", 2, 5.0), row("east", 3, 20_000.0, "pill", unit="pill"), row("east", 1, 0.5, "pill")]
    blocks = parameters(
        block("pill_mass", {"kind": "lognormal", "median": 110.0, "sd_log": 0.1}), block("attribution_share", 0.5), pill_fentanyl=2.0
    )
    found = compile_model(scenario(rows, blocks)).seized_gross_kg
    assert found["east", "FY2024", "powder"] == 15.0
    assert found["east", "FY2024", "pill"] == pytest.approx(20_000 * 110e-6 + 0.5, rel=1e-12)


# means that do not exist


def index_of(quantity, *blocks, n_events=11, form="powder", load_law="equal", truncation=3.0, result_form=None):
    rows = [row("east", n_events, 10.0, form), row("west", 5, 1.0)]
    blocks = parameters(*blocks, block("detection_rate", 0.2, corridor="west"), load_law=load_law)
    if form != "powder":
        blocks += [block(name, law) for name, law in (("pill_fentanyl", 2.0), ("pill_mass", 110.0)) if name not in {b.name for b in blocks}]
    one = scenario(rows, blocks, load_law=load_law, load_truncation=truncation, groups=(("both", ("east", "west")),))
    model = compile_model(one)
    f = F[result_form or "all"]
    assert (model.tail_index[2, 0, f] <= np.minimum(model.tail_index[0, 0, f], model.tail_index[1, 0, f])).all()  # groups inherit
    return model.tail_index[0, 0, f, Q[quantity]], said([model.reasons[model.reason[0, 0, f, Q[quantity]]]])


@pytest.mark.parametrize(
    ("law", "alpha"),
    [
        (BETA, 4.0),
        ({"kind": "beta", "alpha": 1.5, "beta": 3.0}, 1.5),
        ({"kind": "uniform", "low": 0.0, "high": 0.2}, 1.0),
        ({"kind": "uniform", "low": 0.02, "high": 0.2}, np.inf),
        ({"kind": "normal", "mean": 0.1, "sd": 0.05, "lower": 0.0, "upper": 1.0}, 1.0),
        ({"kind": "triangular", "low": 0.0, "mode": 0.1, "high": 0.3}, 2.0),
        ({"kind": "lognormal", "median": 0.1, "sd_log": 0.7, "upper": 1.0}, np.inf),
        (0.1, np.inf),
    ],
)
def test_the_index_of_the_detection_rate_is_that_of_what_is_missed(law, alpha):
    block_here = block("detection_rate", law)
    for quantity in ("missed_gross_kg", "missed_pure_kg", "flow_gross_kg", "flow_pure_kg", "delivered_pure_kg", "n_missed", "flow_doses"):
        found, why = index_of(quantity, block_here)
        assert found == pytest.approx(alpha, rel=0.02), quantity
        assert ("detection_rate" in why) == np.isfinite(alpha)
    for quantity in ("seized_gross_kg", "seized_pure_kg", "purity", "interdiction_rate"):
        assert index_of(quantity, block_here)[0] == np.inf, quantity


@pytest.mark.parametrize(
    ("value", "copula", "df", "index"),
    [(-0.98, "gaussian", 0, 2.2 / 1.98), (-0.5, "gaussian", 0, 2.2 / 1.5), (0.5, "gaussian", 0, 2.2), (0.5, "t", 4, 1.1)],
)
def test_heavy_ends_that_come_together_make_a_heavier_tail(value, copula, df, index):
    """A low rate of detection and a high ratio of sizes; for t, in either direction."""
    heavy = [
        block("detection_rate", {"kind": "beta", "alpha": 2.2, "beta": 20.0}),
        block("missed_size_ratio", {"kind": "student_t", "df": 2.2, "loc": 1.0, "scale": 0.3, "lower": 0.0}),
    ]
    linked = correlation(("detection_rate", "missed_size_ratio"), value, copula=copula, **({"df": df} if df else {}))
    one = scenario([row("east", 20, 1.0)], parameters(*heavy, load_law="equal"), load_law="equal", correlations=(linked,))
    model = compile_model(one)
    at = (0, 0, F["all"])
    assert model.tail_index[(*at, Q["missed_gross_kg"])] == pytest.approx(index, rel=0.01)
    assert model.tail_index[(*at, Q["n_missed"])] == pytest.approx(2.2, rel=0.01)
    assert ("together" in model.reasons[model.reason[(*at, Q["missed_gross_kg"])]][0]) == (index < 2.2)


@pytest.mark.parametrize(
    ("shape", "n_events", "index"), [(1.0, 11, 11.0), (0.3, 5, 1.5), ({"kind": "uniform", "low": 0.5, "high": 2.0}, 4, 2.0)]
)
def test_the_index_of_gamma_loads_is_shape_times_events(shape, n_events, index):
    found, why = index_of("missed_gross_kg", block("load_shape", shape), n_events=n_events, load_law="gamma")
    assert found == pytest.approx(index)
    assert "load_shape" in why
    assert index_of("n_missed", block("load_shape", shape), n_events=n_events, load_law="gamma")[0] == np.inf
    given_median = index_of("missed_gross_kg", block("load_shape", shape), block("load_median", 1.0), n_events=n_events, load_law="gamma")
    assert given_median[0] == np.inf  # the scale is given, nothing is divided by a sum of loads


def test_the_events_of_a_shared_scale_count_together():
    rows = [row("east", 2, 10.0), row("west", 3, 1.0), row("north", None, 1.0, n_min=4)]
    names = ("east", "west", "north")
    one = scenario(rows, parameters(block("load_shape", 0.5)), shared_load_scale=(names,))
    assert (compile_model(one).tail_index[:, 0, F["all"], Q["missed_gross_kg"]] == 0.5 * (2 + 3 + 4)).all()


@pytest.mark.parametrize(
    ("law", "truncation", "index"),
    [
        ({"kind": "lognormal", "median": 1.0, "sd_log": 0.1}, np.inf, 0.0),
        ({"kind": "lognormal", "median": 1.0, "sd_log": 0.1}, 3.0, np.inf),
        ({"kind": "lognormal", "median": 1.0, "sd_log": 0.1, "upper": 1.5}, np.inf, np.inf),
        ({"kind": "uniform", "low": 1.0, "high": 1.2}, np.inf, np.inf),
    ],
)
@pytest.mark.parametrize("median", [False, True])
def test_an_unbounded_log_sd_has_no_mean_when_loads_are_untruncated(law, truncation, index, median):
    blocks = [block("load_log_sd", law), *([block("load_median", 0.5)] if median else [])]
    found, why = index_of("flow_gross_kg", *blocks, load_law="lognormal", truncation=truncation)
    assert found == index
    assert ("load_log_sd" in why) == (index == 0.0)
    assert index_of("n_missed", *blocks, load_law="lognormal", truncation=truncation)[0] == np.inf


def test_denominators_and_factors():
    mass = block("pill_mass", {"kind": "normal", "mean": 110.0, "sd": 20.0, "lower": 0.0})
    assert index_of("seized_pure_kg", mass, form="pill")[0] == 1.0
    assert index_of("seized_gross_kg", mass, form="pill")[0] == np.inf
    dose = block("dose", {"kind": "uniform", "low": 0.0, "high": 4.0})
    assert index_of("flow_doses", dose)[0] == 1.0
    assert index_of("flow_pure_kg", dose)[0] == np.inf
    heavy = block("missed_size_ratio", {"kind": "student_t", "df": 2.5, "loc": 1.0, "scale": 0.1, "lower": 0.01})
    assert index_of("missed_gross_kg", heavy)[0] == pytest.approx(2.5, rel=0.02)
    assert index_of("n_missed", heavy)[0] == np.inf


@pytest.mark.parametrize(
    ("alpha", "mean", "sd"), [(1.5, False, False), (2.0, False, False), (3.0, True, False), (4.0, True, False), (5.0, True, True)]
)
def test_a_mean_is_printed_where_it_has_an_error_and_an_sd_likewise(alpha, mean, sd):
    """Index above 2 for a mean, above 4 for an sd: at or below, NaN with a note that names the cause."""
    blocks = parameters(block("detection_rate", {"kind": "beta", "alpha": alpha, "beta": 20.0}), load_law="equal")
    run = simulation.simulate(
        compile_model(scenario(corridors("east"), blocks, load_law="equal", sampler="sobol", draws=1 << 12)), threads=1
    )
    for quantity in ("missed_gross_kg", "n_missed", "flow_pure_kg"):
        assert np.isfinite(run.mean[quantity][0, 0, F["all"]]) == mean
        assert np.isfinite(run.mean_mcse[quantity][0, 0, F["all"]]) == mean
        assert np.isfinite(run.sd[quantity][0, 0, F["all"]]) == sd
        assert (
            f"detection_rate can be very near 0 (detection_rate: tail index {alpha:g})" in said(run.notes.get(quantity, {}).items())
        ) == (not sd)
        assert np.isfinite(run.quantiles[quantity][0, 0, F["all"]]).all()
    assert np.isfinite(run.sd["interdiction_rate"][0, 0, F["all"]])
    assert "interdiction_rate" not in run.notes


def test_reasons_name_blocks_and_each_index_once():
    """One reason for a parameter, however many draws, blocks and periods: lowest index first, blocks of one law together."""
    near = [("east", 1.5), ("west", 1.2), ("north", 1.5), ("south", 3.0), ("sea", 7.0)]
    blocks = [
        block("detection_rate", {"kind": "beta", "alpha": a, "beta": 9.0}, corridor=c, varies_by=("period",), correlation=0.5)
        for c, a in near
    ]
    rows = [row(corridor, 3, 1.0, period=period) for corridor, _ in near for period in ("FY2023", "FY2024")]
    dose = block("dose", {"kind": "uniform", "low": 0.0, "high": 4.0})
    model = compile_model(scenario(rows, [*parameters(*blocks, load_law="equal"), dose], load_law="equal"))
    lowest = "detection_rate[west]: tail index 1.2; detection_rate[east] and 1 more: tail index 1.5; detection_rate[south]: tail index 3"
    assert [said([reason]) for reason in model.reasons[1:]] == [
        f"detection_rate can be very near 0 ({lowest}; ...)",
        "dose can be very near 0 (dose: tail index 1)",
    ]


def test_a_mean_that_exists_is_right():
    """K with d ~ Beta(5, 36): E K = (n + a) beta / (alpha - 1) = 40.5 for n = 4, a = 1/2; method.md section 2."""
    blocks = parameters(block("detection_rate", {"kind": "beta", "alpha": 5.0, "beta": 36.0}), load_law="equal")
    run = simulation.simulate(
        compile_model(scenario(corridors("east"), blocks, load_law="equal", sampler="sobol", draws=1 << 18)), threads=2
    )
    place = (0, 0, F["all"])
    verdicts.assert_agrees(run.mean["n_missed"][place], 40.5, run.mean_mcse["n_missed"][place], run.replicates, what="E K")


def test_the_error_of_a_whole_quantile_is_half_at_least_where_replicates_disagree():
    one = scenario([row("east", 3, 1.0)], parameters(block("detection_rate", BETA), load_law="equal"), load_law="equal", sampler="sobol")
    run = simulation.simulate(compile_model(dataclasses.replace(one, draws=4096)))
    error = run.mcse["n_missed"][0, 0, F["all"]]
    assert (np.unique(run.quantiles["n_missed"][0, 0, F["all"]]) % 1.0 == 0.0).all()
    assert (error > 0.0).any()
    assert (error[error > 0.0] >= 0.5).all()


# which score comes first


@pytest.mark.parametrize("load_law", ["gamma", "lognormal", "equal"])
def test_the_scores_of_a_stratum_are_turned_and_nothing_else(load_law):
    """z - v (v' z) with v' v = 2 is orthogonal: independent normal scores stay so. Columns that are not in use stay out of it."""
    size = {"gamma": ("load_shape", UNIFORM), "lognormal": ("load_log_sd", UNIFORM)}.get(load_law)
    blocks = parameters(
        block("attribution_share", 0.4), block("pill_share", 0.3), block("purity_cv", 0.5), block("pill_fentanyl", 2.0),
        block("pill_mass", 110.0), *([block(*size)] if size else []),
    )  # fmt: skip
    rows = [row("east", form="unrecorded"), row("west", n_events=900), row("north", n_events=0, amount=0.0)]
    median = [block("load_median", 1.0)]
    model = compile_model(scenario(rows, [*blocks, *median], load_law=load_law, sampler="sobol"))
    for v, slot in zip(model.strata.reflection, model.strata.slot, strict=True):
        matrix = np.eye(v.size) - np.outer(v, v)
        np.testing.assert_allclose(matrix @ matrix.T, np.eye(v.size), atol=1e-12)
        assert not v[slot < 0].any()
    assert np.abs(model.strata.reflection).max() > 0.1
