"""Contrasts and claims: ratios in every draw, probabilities with honest errors, and that nothing else moves."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
from build import PERIOD, block, kept, row, scenario
from cli.wrong_files import CONTRAST, SCENARIO, TABLE, VALID, WrongFiles
from hypothesis import given
from hypothesis import strategies as st

import sim
from sim import finished, printed, results, runner, simulation
from sim.errors import ScenarioError
from sim.model import compile_model
from sim.records import LAYOUT_NAMES, Claim, Result
from sim.scenario import json_schema

DRAWS = 32_768
PURITY = {"kind": "beta", "mean": 0.1, "sd": 0.03}
DETECTION = {"kind": "beta", "mean": 0.1, "sd": 0.03}


def side(quantity: str = "flow_pure_kg", corridor: str = "north", period: str = PERIOD, form: str = "all") -> dict[str, str]:
    return {"quantity": quantity, "corridor": corridor, "period": period, "form": form}


def contrast(numerator: dict[str, str], denominator: dict[str, str], name: str = "ratio") -> dict[str, Any]:
    return {"id": name, "numerator": numerator, "denominator": denominator}


def claim(name: str = "claim", of: str = "ratio", **keys: Any) -> dict[str, Any]:
    return {"id": name, "text": f"The text of {name}", "contrast": of, **keys}


def asked(*contrasts: dict[str, Any], claims: Any = (), rows: Any = None, **tables: Any) -> Any:
    rows = rows or [row(n_events=4), row("south", n_events=40, amount=90.0), row(n_events=9, amount=12.0, period="FY2023")]
    run = {"draws": DRAWS, **tables.pop("run", {})}
    parameters = tables.pop("parameters", {"detection_rate": DETECTION, "powder_purity": PURITY, "load_shape": 1.0})
    found = {"contrast": list(contrasts), "claim": list(claims)}
    return scenario(rows, parameters, run=run, model={"load_law": "gamma"}, **{key: each for key, each in found.items() if each}, **tables)


NORTH_TO_SOUTH = contrast(side(), side(corridor="south"))


@pytest.fixture(scope="module")
def whole() -> Any:
    """All draws kept, with claims of every kind; `never` and `always` cannot fail."""
    claims = [
        claim("above", above=0.05),
        claim("below", below=0.05),
        claim("between", between=[0.02, 0.05]),
        claim("never", "interdicted", below=0.5),
        claim("always", "interdicted", above=0.5),
    ]
    interdicted = contrast(side("flow_gross_kg"), side("seized_gross_kg"), "interdicted")
    return sim.run(asked(NORTH_TO_SOUTH, interdicted, claims=claims, run={"keep_draws": DRAWS}), threads=2)


def at(tree: Any, name: str, which: str = "ratio") -> np.ndarray:
    return np.asarray(tree["contrasts"][name].sel(contrast=which))


# --- ratios -----------------------------------------------------------------------------------------------------------------------


def test_a_ratio_is_that_of_each_draw(whole: Any) -> None:
    ratios = kept(whole, "flow_pure_kg") / kept(whole, "flow_pure_kg", "south")
    p = np.asarray(whole["contrasts"]["quantile"])
    np.testing.assert_allclose(at(whole, "ratio"), np.quantile(ratios, p, method="inverted_cdf"), rtol=2e-3)
    apart = np.asarray(whole["quantiles"]["flow_pure_kg"].sel(period=PERIOD, form="all"))
    assert abs(apart[0, 1] / apart[1, 1] / at(whole, "ratio")[1] - 1.0) > 0.1  # a ratio of quantiles would be told


def test_the_tipping_factor_has_the_quantiles_of_the_inverse(whole: Any) -> None:
    inverse = kept(whole, "flow_pure_kg", "south") / kept(whole, "flow_pure_kg")
    p = np.asarray(whole["contrasts"]["quantile"])
    np.testing.assert_allclose(at(whole, "tipping_factor"), np.quantile(inverse, p, method="inverted_cdf"), rtol=2e-3)
    np.testing.assert_array_equal(at(whole, "tipping_factor"), 1.0 / at(whole, "ratio")[::-1])


def test_a_result_over_itself_is_one_to_the_bit() -> None:
    itself = [contrast(side(quantity), side(quantity), quantity) for quantity in ("flow_pure_kg", "flow_doses", "interdiction_rate")]
    tree = sim.run(asked(*itself), threads=2)
    assert (np.asarray(tree["contrasts"]["ratio"]) == 1.0).all()
    assert (np.asarray(tree["contrasts"]["ratio_mcse"]) == 0.0).all()


@pytest.mark.parametrize(("shared", "spread"), [(True, False), (False, True)])
def test_a_shared_input_cancels(shared: bool, spread: bool) -> None:
    """Of purity, the only thing uncertain in seized pure mass; drawn twice it does not cancel."""
    varying = {} if shared else {"varies_by": ["period"], "correlation": 0.0}
    blocks = [block("detection_rate", DETECTION), block("powder_purity", PURITY, **varying), block("load_shape", 1.0)]
    tree = sim.run(asked(contrast(side("seized_pure_kg"), side("seized_pure_kg", period="FY2023")), parameters=blocks), threads=2)
    off = np.abs(at(tree, "ratio") / (4.0 / 12.0) - 1.0)
    assert (off.max() > 0.1) if spread else (off.max() < 1e-12)


def test_across_quantities_groups_and_forms() -> None:
    """Doses per kg are 10^6 / dose; a group is more than its member; what is 0 everywhere is a number too."""
    tree = sim.run(
        asked(
            contrast(side("flow_doses", "both"), side("flow_pure_kg", "both"), "doses"),
            contrast(side(form="powder"), side(), "form"),
            contrast(side("inland_pure_kg"), side(), "zero"),
            contrast(side(), side("inland_pure_kg"), "infinite"),
            contrast(side("inland_pure_kg"), side("inland_pure_kg"), "undefined"),
            groups={"both": ["north", "south"]},
            claims=[claim("of-nothing", "undefined", above=1.0), claim("of-infinity", "infinite", above=1.0)],
        ),
        threads=2,
    )
    np.testing.assert_allclose(at(tree, "ratio", "doses"), 5e5, rtol=1e-12)
    assert (at(tree, "ratio", "form") == 1.0).all()
    assert (at(tree, "ratio", "zero") == 0.0).all()
    assert (at(tree, "tipping_factor", "zero") == np.inf).all()
    assert (at(tree, "ratio", "infinite") == np.inf).all()
    assert (at(tree, "tipping_factor", "infinite") == 0.0).all()
    assert np.isnan(at(tree, "ratio", "undefined")).all()
    assert tree["contrasts"]["ratio"].attrs["undefined_share"] == 1.0
    claims = tree["claims"].to_dataset()
    nothing, infinity = claims.sel(claim="of-nothing"), claims.sel(claim="of-infinity")
    assert np.isnan(nothing["probability"])
    assert (float(nothing["lower_bound"]), float(nothing["upper_bound"]), int(nothing["n_draws"])) == (0.0, 1.0, 0)
    assert float(infinity["probability"]) == 1.0


def test_nothing_else_moves() -> None:
    plain = sim.run(asked(), threads=2)
    more = sim.run(asked(NORTH_TO_SOUTH, claims=[claim(above=0.05)]), threads=2)
    assert "contrasts" not in plain.children
    assert "claims" not in plain.children
    for group in ("quantiles", "mcse", "moments", "parameters", "evidence", "diagnostics"):
        assert plain[group].to_dataset().identical(more[group].to_dataset()), group


# --- claims -----------------------------------------------------------------------------------------------------------------------


def test_hits_are_those_of_the_draws_and_the_error_that_of_replicates(whole: Any) -> None:
    ratios = kept(whole, "flow_pure_kg") / kept(whole, "flow_pure_kg", "south")
    claims = whole["claims"].to_dataset()
    hits = {"above": ratios > 0.05, "below": ratios < 0.05, "between": (ratios >= 0.02) & (ratios <= 0.05)}
    for name, true in hits.items():
        here = claims.sel(claim=name)
        assert int(here["hits"]) == true.sum()
        assert int(here["n_draws"]) == DRAWS
        assert float(here["probability"]) == true.mean()
        by_replicate = true.reshape(int(whole.attrs["replicates"]), -1).mean(axis=1)
        error = by_replicate.std(ddof=1) / np.sqrt(by_replicate.size)
        assert float(here["probability_mcse"]) == pytest.approx(error, rel=1e-9)
        assert error < 0.9 * np.sqrt(true.mean() * (1.0 - true.mean()) / DRAWS)  # that of plain draws would be told
        assert not bool(here["rerun"])


def test_a_claim_that_no_draw_hits_is_counted_again_and_bounded(whole: Any) -> None:
    claims = whole["claims"].to_dataset()
    never, always = claims.sel(claim="never"), claims.sel(claim="always")
    n = int(never["n_draws"])
    assert n == runner.plan(DRAWS, 1, "philox").draws
    assert bool(never["rerun"])
    assert bool(always["rerun"])
    assert (int(never["hits"]), int(always["hits"])) == (0, n)
    assert float(never["upper_bound"]) * n == pytest.approx(3.00, abs=0.005)
    assert float(never["lower_bound"]) == 0.0
    assert (1.0 - float(always["lower_bound"])) * n == pytest.approx(3.00, abs=0.005)
    said = {str(text).split(":")[0]: str(text) for text in printed.claims(whole, 99)}
    assert said["never"].endswith(" %, counted anew in plain Monte Carlo draws.")
    assert {name for name, text in said.items() if "anew" in text} == {str(c) for c in claims["claim"].values[claims["rerun"].values]}
    assert float(always["upper_bound"]) == 1.0
    assert float(never["probability_mcse"]) == pytest.approx(1.0 / n, rel=0.01)


@pytest.mark.parametrize(("hits", "times_n"), [(0, 3.00), (1, 4.74), (2, 6.30)])
def test_bounds_of_few_hits(hits: int, times_n: float) -> None:
    n = 1_000_000
    found = simulation.judge(np.array([[[hits, n - hits], [n - hits, hits]]]), "philox")
    assert found["upper_bound"][0] * n == pytest.approx(times_n, abs=0.006)
    assert (1.0 - found["lower_bound"][1]) * n == pytest.approx(times_n, abs=0.006)
    assert found["probability"][0] == hits / n


def test_plain_monte_carlo_is_not_run_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    plans = []
    plain = simulation.estimate
    monkeypatch.setattr(simulation, "estimate", lambda engine, plan, **keys: plans.append(plan.sampler) or plain(engine, plan, **keys))
    never = contrast(side("flow_gross_kg"), side("seized_gross_kg"))
    tree = sim.run(asked(never, claims=[claim(below=0.5)], run={"sampler": "philox"}), threads=2)
    assert plans == ["philox"]
    assert int(tree["claims"]["hits"][0]) == 0
    assert not bool(tree["claims"]["rerun"][0])
    sim.run(asked(never, claims=[claim(below=0.5)]), threads=2)
    assert plans == ["philox", "sobol", "philox"]
    sim.run(asked(NORTH_TO_SOUTH, claims=[claim(above=0.05)]), threads=2)
    assert plans == ["philox", "sobol", "philox", "sobol"]


def test_arithmetic_is_not_counted_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """A claim about what the table says alone has the numbers of a second run, which it does not take."""
    plans = []
    plain = simulation.estimate
    monkeypatch.setattr(simulation, "estimate", lambda engine, plan, **keys: plans.append(plan.sampler) or plain(engine, plan, **keys))
    seized = contrast(side("seized_gross_kg"), side("seized_gross_kg", "south"), "seized")
    claims = [claim("true", "seized", below=0.05), claim("false", "seized", above=0.05)]
    without = sim.run(asked(seized, claims=claims), threads=2)["claims"].to_dataset()
    assert plans == ["sobol"]
    monkeypatch.setattr(simulation, "_same_in_every_draw", lambda model, claims: np.zeros(2, np.bool_))
    counted = sim.run(asked(seized, claims=claims), threads=2)["claims"].to_dataset()
    assert plans == ["sobol", "sobol", "philox"]
    assert counted.identical(without)
    assert without["hits"].values.tolist() == [without["n_draws"].values[0], 0]


def test_what_only_looks_like_arithmetic_is_counted_again(monkeypatch: pytest.MonkeyPatch) -> None:
    plans = []
    plain = simulation.estimate
    monkeypatch.setattr(simulation, "estimate", lambda engine, plan, **keys: plans.append(plan.sampler) or plain(engine, plan, **keys))
    seized = contrast(side("seized_gross_kg"), side("seized_gross_kg", "south"), "seized")
    rounded = [row(n_events=4, rounding=0.5), row("south", n_events=40, amount=90.0)]
    share = {"attribution_share": {"kind": "uniform", "low": 0.5, "high": 1.0}}
    parameters = {"detection_rate": DETECTION, "powder_purity": PURITY, "load_shape": 1.0}
    for tables in ({"rows": rounded}, {"parameters": parameters | share}):
        plans.clear()
        sim.run(asked(seized, claims=[claim("true", "seized", below=0.5)], **tables), threads=2)
        assert plans == ["sobol", "philox"]


@given(st.floats(-1e9, 1e9), st.floats(-1e9, 1e9))
def test_above_below_and_between_cover_every_number_once(x: float, ratio: float) -> None:
    claims = [Claim(id="c", text="", contrast="r", **keys) for keys in ({"above": x}, {"below": x}, {"between": (x, x)})]
    assert sum(low <= ratio <= high for low, high in (each.bounds for each in claims)) == 1
    assert [low <= x <= high for low, high in (each.bounds for each in claims)] == [False, False, True]


def test_parts_carry_the_hits() -> None:
    """What travels as bytes, and is taken up after an interruption, is what one thread counts."""
    engine = simulation.BorderEngine(compile_model(asked(NORTH_TO_SOUTH, claims=[claim(above=0.05)])))
    plan = runner.plan(DRAWS, 1, "sobol")

    class Packing:
        def run(self, work: Any, tasks: Any, receive: Any, report: Any) -> None:
            for task in reversed(tasks):
                receive(work.unpack(work.pack(work.compute([task], lambda: True, lambda points: None))))

    plainly, packed = runner.estimate(engine, plan, threads=1), runner.estimate(engine, plan, executor=Packing())
    assert plainly.counters.shape == (plan.replicates, engine.n_counters)
    assert plainly.counters[:, -2].min() > 0
    assert packed.counters.tobytes() == plainly.counters.tobytes()
    assert packed.quantiles.tobytes() == plainly.quantiles.tobytes()


def test_an_interrupted_run_with_a_second_count_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sim.partials.SHARE", float("inf"))
    one = asked(contrast(side("flow_gross_kg"), side("seized_gross_kg")), claims=[claim(below=0.5)])
    whole = results.run(one, threads=2)
    first = results.run(one, threads=2, partials=tmp_path / "kept")
    assert any((tmp_path / "kept" / simulation.RERUN_FOLDER).iterdir())
    again = results.run(one, threads=2, partials=tmp_path / "kept")
    assert whole.attrs["numbers_digest"] == first.attrs["numbers_digest"] == again.attrs["numbers_digest"]


def test_a_finished_case_is_kept_with_its_claims() -> None:
    run = simulation.simulate(compile_model(asked(NORTH_TO_SOUTH, claims=[claim(above=0.05)], run={"draws": 4096})), threads=1)
    again = finished._unpack(finished._pack({3: run}, "this"), "this")[3]
    for name in ("contrasts", "claims"):
        mine, kept_ones = getattr(run, name), getattr(again, name)
        assert mine.keys() == kept_ones.keys()
        assert all(np.array_equal(mine[key], kept_ones[key]) and mine[key].dtype == kept_ones[key].dtype for key in mine)


# --- files ------------------------------------------------------------------------------------------------------------------------


def written(folder: Path, change: tuple[str, str] = ("", ""), table: str = TABLE, extra: str = "") -> Path:
    assert change[0] in CONTRAST
    files = VALID | {"scenario.toml": SCENARIO + CONTRAST.replace(*change) + extra, "table.csv": table}
    return WrongFiles(name="valid", files=files, fragments=()).write(folder)


def test_a_contrast_needs_evidence_on_both_sides(tmp_path: Path) -> None:
    table = "".join(line for line in TABLE.splitlines(keepends=True) if not line.startswith("east,FY2024"))
    with pytest.raises(ScenarioError, match=r"ratio: there is no evidence on east in FY2024; .*an absent result is unknown, not 0"):
        sim.load_scenario(written(tmp_path, table=table))


def test_the_resolved_scenario_gives_the_same_run(tmp_path: Path) -> None:
    one = sim.load_scenario(written(tmp_path))
    assert one.contrasts[0].denominator == Result(quantity="flow_pure_kg", corridor="all-borders", period="FY2024", form="all")
    (tmp_path / "again.toml").write_text(sim.scenario.to_toml(one), encoding="utf-8")
    again = sim.load_scenario(tmp_path / "again.toml")
    assert again.document == one.document
    assert results.run_id(again) == results.run_id(one)
    assert results.run_id(sim.load_scenario(written(tmp_path, ("above = 1.0", "above = 1.5")))) != results.run_id(one)


@pytest.mark.parametrize(
    ("period", "other", "quantity", "said"),
    [
        ("FY2023", "2024-01-01/2024-10-31", "flow_pure_kg", "are as 0.8356 to 1"),
        ("FY2023", "FY2024", "flow_pure_kg", ""),  # a leap day is not worth a line
        ("2023-10-01/2024-09-25", "FY2023", "flow_pure_kg", "are as 1.01"),
        ("CY2023", "FY2023", "flow_pure_kg", ""),
        ("FY2023", "FY2024", "interdiction_rate", ""),
        ("FY2023", "winter", "flow_pure_kg", "are not both known"),
    ],
)
def test_periods_of_different_or_unknown_length_warn(period: str, other: str, quantity: str, said: str) -> None:
    rows = [row(period=period), row(period=other)]
    warned = [
        text for text in asked(contrast(side(quantity, period=other), side(quantity, period=period)), rows=rows).warnings if "ratio" in text
    ]
    assert (said in warned[0]) if said else not warned


def test_the_ratio_of_days_stands_beside(tmp_path: Path) -> None:
    rows = [row(period=period) for period in ("FY2023", "FY2024", "winter")]
    several = [contrast(side(period=period), side(period="FY2023"), period) for period in ("FY2023", "FY2024", "winter")]
    tree = sim.run(asked(*several, rows=rows, run={"draws": 4096}), threads=2)
    np.testing.assert_array_equal(tree["contrasts"]["days_ratio"], [1.0, 366 / 365, np.nan])


def test_contrasts_and_claims_are_swept(tmp_path: Path) -> None:
    sweeps = (
        '[[sweep]]\ndim = "of"\npath = "contrast.ratio.numerator.corridor"\nvalues = ["east", "west"]\n'
        '[[sweep]]\ndim = "more_than"\npath = "claim.claim.above"\nvalues = [0.0, 0.5]\n'
    )
    whole = sim.run(sim.load_scenario(written(tmp_path, extra=sweeps)), draws=4096, threads=2)
    assert whole["contrasts"]["ratio"].dims == ("of", "more_than", "contrast", "quantile")
    assert whole["claims"]["probability"].dims == ("of", "more_than", "claim")
    alone = sim.run(sim.load_scenario(written(tmp_path), overrides={"contrast.ratio.numerator.corridor": "west"}), draws=4096, threads=2)
    np.testing.assert_array_equal(whole["contrasts"]["ratio"].sel(of="west", more_than=0.5), alone["contrasts"]["ratio"])
    assert (np.asarray(whole["claims"]["probability"].sel(more_than=0.0)) == 1.0).all()
    with pytest.raises(ScenarioError, match='unknown corridor "north"'):
        sim.load_scenario(written(tmp_path), overrides={"contrast.ratio.numerator.corridor": "north"})


@pytest.mark.parametrize(
    ("keys", "fits"), [({"above": 1}, True), ({"between": [1, 2]}, True), ({}, False), ({"above": 1, "below": 2}, False)]
)
def test_the_json_schema_says_the_same(tmp_path: Path, keys: dict[str, Any], fits: bool) -> None:
    document = tomllib.loads(written(tmp_path).read_text())
    del document["claim"][0]["above"]
    document["claim"][0] |= keys
    assert jsonschema.Draft202012Validator(json_schema()).is_valid(document) == fits


def test_every_name_is_kept_from_sweeps(whole: Any) -> None:
    for group in ("contrasts", "claims"):
        assert set(whole[group].data_vars) | set(whole[group].coords) <= LAYOUT_NAMES
        for name, variable in whole[group].data_vars.items():
            assert {"units", "long_name"} <= variable.attrs.keys(), name


def test_saved_and_opened(whole: Any, tmp_path: Path) -> None:
    opened = sim.open_result(sim.save_result(whole, tmp_path))
    assert opened["claims"].to_dataset().identical(whole["claims"].to_dataset())
    assert opened["contrasts"].to_dataset().identical(whole["contrasts"].to_dataset())


# --- in print ---------------------------------------------------------------------------------------------------------------------


def test_show_prints_ratios_and_claims(whole: Any) -> None:
    text = printed.summary(whole, 0.9, terminal=False)
    assert "tipping" in text
    assert any(line.split()[:1] == ["interdicted"] for line in text.splitlines())
    assert '"The text of never" is exceptionally unlikely under these inputs: in none of 65,536 draws,' in text
    assert '"The text of above"' in text


@pytest.mark.parametrize(
    ("lower", "upper", "word"),
    [
        (0.995, 0.996, "virtually certain"),
        (0.985, 0.995, "very likely"),
        (0.88, 0.995, "likely"),
        (0.30, 0.70, "about as likely as not"),
        (0.05, 0.95, "about as likely as not"),
        (0.08, 0.2, "unlikely"),
        (0.0, 0.005, "exceptionally unlikely"),
    ],
)
def test_a_word_says_no_more_than_both_bounds_allow(lower: float, upper: float, word: str) -> None:
    said = printed.claim_in_words("It is so.", 0.5 * (lower + upper), 0.3 * (upper - lower), lower, upper, 500, 1000)
    assert said.startswith(f'"It is so" is {word} under')


def test_an_undefined_share_is_told() -> None:
    rows = [row(n_events=0, amount=0.0), row("south", n_events=4)]
    blocks = [*(block(name, law) for name, law in (("detection_rate", 0.5), ("powder_purity", 0.5))), block("load_median", 1.0)]
    one = scenario(rows, blocks, model={"load_law": "equal"}, run={"draws": 4096}, contrast=[contrast(side(), side())])
    text = printed.summary(sim.run(one, threads=1), 0.9, terminal=False)
    assert "A ratio of a contrast is 0/0 in up to 7" in text  # P(nothing missed) = .5^.5


def test_a_share_of_all_draws_is_100_percent() -> None:
    assert [printed._percent(share) for share in (1.0, 0.9951, 0.5, 1e-9)] == ["100 %", "100 %", "50 %", "0.1 %"]


def test_few_hits_are_told_with_their_bounds() -> None:
    assert "in 3 of 1,000 draws, probability 0.081 to 0.78 %" in printed.claim_in_words("So", 0.003, 0.002, 0.000818, 0.00774, 3, 1000)
    assert "no probability" in printed.claim_in_words("So", np.nan, np.nan, 0.0, 1.0, 0, 0)


def test_a_run_without_draws_of_some_replicate_has_no_error() -> None:
    found = simulation.judge(np.array([[[60, 40]], [[0, 0]]]), "sobol")
    assert np.isnan(found["probability_mcse"][0])
    assert (found["lower_bound"][0], found["upper_bound"][0]) == (0.0, 1.0)


# --- tolerance --------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("watches", [True, False])
def test_a_tolerance_is_about_contrasts_too(watches: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """The ratio of two purities drawn apart is less well known than either; a run that watches the table alone stops too early."""
    if not watches:
        plain = simulation._watched
        monkeypatch.setattr(simulation, "_watched", lambda model: plain(model)[plain(model) < model.contrasts.row.size])
    varying = {"varies_by": ["period"], "correlation": 0.0}
    blocks = [block("detection_rate", 0.5), block("powder_purity", PURITY, **varying), block("load_shape", 1.0)]
    pure = contrast(side("seized_pure_kg"), side("seized_pure_kg", period="FY2023"))
    run = {"tolerance": 0.0004, "draws": 32_768}
    tree = sim.run(asked(pure, rows=[row(n_events=4000), row(n_events=9000, period="FY2023")], parameters=blocks, run=run), threads=2)
    shown = tree["contrasts"].to_dataset().sel(quantile=[0.05, 0.5, 0.95])
    scale = np.maximum(shown["ratio"], shown["ratio"].sel(quantile=0.5))
    met = bool((shown["ratio_mcse"] <= 0.0004 * scale).all())
    assert met == watches
    assert tree.attrs["tolerance_met"] == "yes"
    assert f"The tolerance asked, {tree.attrs['tolerance']:g}, was met: " in printed.summary(tree, 0.9, terminal=False)
