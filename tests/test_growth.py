"""Growth over two periods: what is counted, quoted and drawn; sums that must hold, and faults that break them."""

from __future__ import annotations

import dataclasses
import datetime
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import verdicts
from build import PERIOD, block, kept, row, scenario
from cli.wrong_files import GROWTH, SCENARIO, TABLE, VALID, WrongFiles
from scipy import stats

import sim
from sim import growth, printed, results
from sim.errors import ScenarioError
from sim.evidence import period_start
from sim.records import LAYOUT_NAMES

DRAWS = 32_768
LAW = {"kind": "beta", "mean": 0.1, "sd": 0.03}
FILE = [row(n_events=32, amount=2.478, unit="lb", period="FY2023"), row(n_events=82, amount=43.039, unit="lb")]
QUOTED = [row("quoted", None, 2, unit="lb", rounding=0.5, period="FY2023"), row("quoted", None, 43, unit="lb", rounding=0.5)]


def over_two_years(name: str = "growth", **keys: Any) -> dict[str, Any]:
    return {"id": name, "corridor": "north", "periods": ["FY2023", PERIOD], **keys}


def asked(*growths: dict[str, Any], rows: Any = None, law: str = "gamma", **tables: Any) -> Any:
    parameters = tables.pop("parameters", {"detection_rate": LAW, "powder_purity": LAW, "load_shape": 1.0})
    run = {"draws": DRAWS, **tables.pop("run", {})}
    return scenario(rows or [*FILE, *QUOTED], parameters, run=run, model={"load_law": law}, growth=list(growths), **tables)


@pytest.fixture(scope="module")
def whole() -> Any:
    """All draws kept; they are the ones that the decomposition looks at, 2,048 of each of 16 replicates."""
    more = {"id": "over-2000", "text": "Over 2,000 per cent", "contrast": "growth", "above": 21.0}
    return sim.run(asked(over_two_years(quoted="quoted"), claim=[more], run={"keep_draws": DRAWS}), threads=2)


def of(tree: Any, name: str) -> Any:
    return tree["growth"].to_dataset().sel(growth="growth")[name]


# --- numbers ----------------------------------------------------------------------------------------------------------------------


def test_the_headline_and_the_file(whole: Any) -> None:
    """(43 - 2) / 2 = 2,050 %, which the rounding makes 1,600 to 2,800 %, against 1,637 % in the file."""
    np.testing.assert_allclose(of(whole, "quoted_ratio"), [42.5 / 2.5, 43.0 / 2.0, 43.5 / 1.5], rtol=1e-12)
    np.testing.assert_allclose(of(whole, "seized_gross_kg"), [2.478 * 0.45359237, 43.039 * 0.45359237], rtol=1e-12)
    text = printed.summary(whole, 0.9, terminal=False)
    assert "1.124 to 19.52 kg in the file, +1,637 %" in text
    assert "0.9072 to 19.5 kg, +2,050 %; the rounding allows +1,600 % to +2,800 %" in text
    assert "seizures: 32 to 82; ratio of their rates 2.554" in text


def test_the_rate_of_seizures_follows_its_f_law() -> None:
    found, increase = growth.seized_rate_ratio((2, 0.5), (11, 0.5))
    np.testing.assert_allclose(found[[2, 6, 10]], [1.44496, 5.13180, 28.92975], atol=5e-6)
    assert increase == pytest.approx(0.995302, abs=5e-7)
    assert np.isnan(growth.seized_rate_ratio((0, 0.0), (11, 0.5))[0]).all()


@pytest.mark.parametrize(("shares", "right"), [((0.5, 0.5), True), ((0.0, 0.0), False), ((1.0, 1.0), False)])
def test_the_rate_of_seizures_against_draws(shares: tuple[float, float], right: bool, statistics_seed: int) -> None:
    """mu | n ~ Gamma(n + a): another prior is told."""
    rng = np.random.default_rng(statistics_seed)
    n = 200_000
    ratio = rng.gamma(11.5, size=n) / rng.gamma(2.5, size=n)
    found, increase = growth.seized_rate_ratio((2, shares[0]), (11, shares[1]))
    below = stats.binom.cdf((ratio <= found[6]).sum(), n, 0.5), stats.binom.cdf((ratio > 1.0).sum(), n, increase)
    p = min(1.0, 4.0 * min(*below, *(1.0 - each for each in below)))
    if right:
        verdicts.decide("rates of seizures", p)
    else:
        with pytest.raises(AssertionError, match="below"):
            verdicts.decide("rates of seizures", p)


def test_number_and_size_of_loads_are_those_of_the_draws(whole: Any) -> None:
    flow, missed = ([kept(whole, quantity, period=period) for period in ("FY2023", PERIOD)] for quantity in ("flow_gross_kg", "n_missed"))
    loads = (82 + missed[1]) / (32 + missed[0])
    size = flow[1] / flow[0] / loads
    p = np.asarray(whole["growth"]["quantile"])
    np.testing.assert_allclose(of(whole, "loads_ratio"), np.quantile(loads, p, method="inverted_cdf"), rtol=1e-12)
    np.testing.assert_allclose(of(whole, "mean_load_ratio"), np.quantile(size, p, method="inverted_cdf"), rtol=1e-9)
    by_replicate = np.log(loads).reshape(int(whole.attrs["replicates"]), -1).mean(axis=1)
    error = by_replicate.std(ddof=1) / np.sqrt(by_replicate.size)
    assert float(of(whole, "flow_log_growth_mcse").sel(part="loads")) == pytest.approx(error, rel=1e-9)
    assert float(of(whole, "undefined_loads_share")) == 0.0
    parts = of(whole, "missed_log_growth").sel(part=["loads", "mean_load"]).values
    mass = kept(whole, "missed_gross_kg") / kept(whole, "missed_gross_kg", period="FY2023")
    number = missed[1] / missed[0]
    np.testing.assert_allclose(parts, [np.log(number).mean(), np.log(mass / number).mean()], rtol=1e-9)


def test_the_parts_add_up(whole: Any) -> None:
    for name, total in (("seized_log_growth", np.log(43.039 / 2.478)), ("flow_log_growth", None), ("missed_log_growth", None)):
        parts = of(whole, name).values
        assert parts[0] == pytest.approx(parts[1] + parts[2], abs=1e-12)
        assert total is None or parts[0] == pytest.approx(total, abs=1e-12)
    assert float(of(whole, "seized_log_growth").sel(part="loads")) == pytest.approx(np.log(82 / 32), abs=1e-12)


def test_the_flow_does_not_rise_where_detection_rose_by_the_tipping_ratio(whole: Any) -> None:
    """Flow is seized over interdicted share in every draw, so the two ratios part the draws alike."""
    rate = [kept(whole, "interdiction_rate", period=period) for period in ("FY2023", PERIOD)]
    flow = [kept(whole, "flow_pure_kg", period=period) for period in ("FY2023", PERIOD)]
    tipping = float(of(whole, "detection_tipping_ratio").sel(quantile=0.5))
    assert tipping == pytest.approx(43.039 / 2.478, rel=1e-3)  # one purity for both years: it cancels
    clear = np.abs(np.log(rate[1] / rate[0] / tipping)) > 1e-3
    np.testing.assert_array_equal((flow[1] <= flow[0])[clear], (rate[1] / rate[0] >= tipping)[clear])


def test_a_growth_is_a_contrast_and_a_claim(whole: Any) -> None:
    keys = ("quantity", "corridor", "period", "form")
    plainly = asked(
        contrast=[{"id": "g", **{side: dict(zip(keys, ("flow_pure_kg", "north", period, "all"), strict=True))
                  for side, period in (("numerator", PERIOD), ("denominator", "FY2023"))}}],
        claim=[{"id": "fell", "text": "It fell", "contrast": "g", "below": 1.0}],
        run={"keep_draws": DRAWS},
    )  # fmt: skip
    tree = sim.run(plainly, threads=2)
    assert "growth" not in tree.children
    np.testing.assert_array_equal(whole["contrasts"]["ratio"].sel(contrast="growth"), tree["contrasts"]["ratio"].sel(contrast="g"))
    mine, theirs = whole["claims"].to_dataset().sel(claim="growth.decrease"), tree["claims"].to_dataset().sel(claim="fell")
    assert all(mine[name].item() == theirs[name].item() for name in ("probability", "probability_mcse", "lower_bound", "upper_bound"))
    assert 0.0 < float(whole["claims"]["probability"].sel(claim="over-2000")) < 1.0
    for group in ("quantiles", "mcse", "moments", "parameters", "evidence", "diagnostics", "draws"):
        assert tree[group].to_dataset().identical(whole[group].to_dataset()), group


def test_what_is_not_known_is_not_said() -> None:
    """Neither an unknown count nor loads of which some crossed elsewhere have a number of loads."""
    grown = sim.run(asked(over_two_years(corridor="quoted")), threads=2)
    for name in ("loads_ratio", "mean_load_ratio", "flow_log_growth", "seized_rate_ratio", "seized_rate_increase", "quoted_ratio"):
        assert np.isnan(of(grown, name)).all(), name
    assert np.isfinite(of(grown, "missed_log_growth")).all()
    assert "growth of what was missed" in printed.summary(grown, 0.9, terminal=False)
    assert "their number is not known" in printed.summary(grown, 0.9, terminal=False)
    parameters = {"detection_rate": LAW, "powder_purity": LAW, "load_shape": 1.0, "attribution_share": 0.5}
    elsewhere = sim.run(asked(over_two_years(), rows=FILE, parameters=parameters), threads=2)
    assert np.isnan(of(elsewhere, "loads_ratio")).all()
    assert np.isfinite(of(elsewhere, "seized_rate_ratio")).all()


def test_the_prior_of_a_group_is_that_of_its_corridors() -> None:
    rows = [*FILE, row("south", 5, 3.0, period="FY2023"), row("south", 9, 4.0), row("south", 2, 1.0, "pill")]
    blocks = [block("detection_rate", LAW), block("powder_purity", LAW), block("load_shape", 1.0)]
    blocks += [block("pill_fentanyl", 2.0), block("pill_mass", 100.0)]
    one = asked(over_two_years(corridor="both"), rows=rows, parameters=blocks, groups={"both": ["north", "south"]})
    assert growth.events_of(one, one.growths[0], "FY2023") == (37, 1.0)
    assert growth.events_of(one, one.growths[0], PERIOD) == (93, 1.0)
    powder = dataclasses.replace(one.growths[0], form="powder")
    assert growth.events_of(one, powder, PERIOD) == (91, 0.75)


@pytest.mark.parametrize("sampler", ["sobol", "philox"])
def test_under_both_samplers(sampler: str) -> None:
    tree = sim.run(asked(over_two_years(), rows=FILE, run={"sampler": sampler}), threads=2)
    assert (np.asarray(of(tree, "loads_ratio_mcse")) > 0.0).all()
    middle, error = (float(of(tree, name).sel(quantile=0.5)) for name in ("loads_ratio", "loads_ratio_mcse"))
    assert middle == pytest.approx(2.55, abs=0.05 + 6.0 * error)
    assert 0.0 < error < 0.05


# --- files and labels -------------------------------------------------------------------------------------------------------------


def written(folder: Path, change: tuple[str, str] = ("", ""), extra: str = "") -> Path:
    files = VALID | {"scenario.toml": SCENARIO + GROWTH.replace(*change) + extra, "table.csv": TABLE}
    return WrongFiles(name="valid", files=files, fragments=()).write(folder)


def test_the_resolved_scenario_gives_the_same_run(tmp_path: Path) -> None:
    one = sim.load_scenario(written(tmp_path))
    assert "contrast" not in one.document
    assert "claim" not in one.document
    (tmp_path / "again.toml").write_text(sim.scenario.to_toml(one), encoding="utf-8")
    again = sim.load_scenario(tmp_path / "again.toml")
    assert (again.document, again.growths, results.run_id(again)) == (one.document, one.growths, results.run_id(one))


def test_growths_are_swept_and_saved(tmp_path: Path) -> None:
    sweep = '[[sweep]]\ndim = "of"\npath = "growth.growth.corridor"\nvalues = ["east", "all-borders"]\n'
    tree = sim.run(sim.load_scenario(written(tmp_path, extra=sweep)), draws=4096, threads=2)
    assert tree["growth"]["loads_ratio"].dims == ("of", "growth", "quantile")
    alone = sim.run(sim.load_scenario(written(tmp_path)), draws=4096, threads=2)
    np.testing.assert_array_equal(tree["growth"]["seized_rate_ratio"].sel(of="all-borders"), alone["growth"]["seized_rate_ratio"])
    assert "Growth growth; of = east:" in printed.summary(tree, 0.9, terminal=False)
    opened = sim.open_result(sim.save_result(tree, tmp_path / "results"))
    assert opened["growth"].to_dataset().identical(tree["growth"].to_dataset())


def test_a_fall_is_told_as_a_fall() -> None:
    later, earlier = FILE[0] | {"period": PERIOD}, FILE[1] | {"period": "FY2023"}
    tree = sim.run(asked(over_two_years(), rows=[later, earlier], run={"draws": 4096}), threads=2)
    (said,) = (str(part) for part in printed.sections(tree, 0.9, 60)["growth"])
    assert "the flow did not fall if the interdicted share fell to at most " in said
    assert "the number of loads did not fall if detection per load fell to at most " in said
    assert " rose" not in said.replace("an increase", "")
    median = float(tree["contrasts"]["ratio"].sel(contrast="growth", quantile=0.5))
    assert f"ratio of the flows (flow_pure_kg north: {PERIOD} / FY2023): {median:.2g}"[:-1] in said


def test_words_are_those_of_the_case_where_the_place_is_swept(tmp_path: Path) -> None:
    sweeps = [
        {"dim": "place", "path": "growth.growth.corridor", "values": ["north", "quoted"]},
        {"dim": "prior", "path": "model.event_prior", "values": [0.5, 1.0]},
    ]
    tree = sim.run(asked(over_two_years(quoted="quoted", form="powder"), sweep=sweeps, run={"draws": 1024}), threads=2)
    opened = sim.open_result(sim.save_result(tree, tmp_path / "results"))
    text = opened["claims"]["text"]
    assert text.dims == ("place", "prior", "claim")
    assert str(text.sel(place="quoted", prior=1.0).item()) == "flow_pure_kg of quoted (powder) fell from FY2023 to FY2024"
    said = " ".join(printed.summary(opened, 0.9, terminal=False).split())
    for place in ("north", "quoted"):
        assert re.search(rf'growth.decrease; place = {place}(; prior = 0.5)?: "flow_pure_kg of {place} \(powder\) fell', said)
    one = sim.run(asked(over_two_years(), sweep=sweeps[1:], run={"draws": 1024}), threads=2)
    assert one["claims"]["text"].dims == ("claim",)


def test_every_name_is_kept_from_sweeps(whole: Any) -> None:
    assert set(whole["growth"].data_vars) | set(whole["growth"].coords) | {"growth"} <= LAYOUT_NAMES
    for name, variable in whole["growth"].data_vars.items():
        assert {"units", "long_name"} <= variable.attrs.keys(), name


def test_evidence_is_needed_in_both_periods() -> None:
    rows = [*FILE, row("south", 5, 3.0)]
    with pytest.raises(ScenarioError, match="growth: there is no evidence on south in FY2023") as refused:
        asked(over_two_years(corridor="south"), rows=rows)
    assert len(refused.value.problems) == 1
    with pytest.raises(ScenarioError, match="quoted has no row in FY2023"):
        asked(over_two_years(quoted="quoted"), rows=[*FILE, QUOTED[1]])


def test_a_claim_may_be_about_what_was_seized() -> None:
    more = {"id": "seized-tenfold", "text": "Seizures rose tenfold", "contrast": "growth.seized", "above": 10.0}
    tree = sim.run(asked(over_two_years(), claim=[more], run={"draws": 4096}), threads=1)
    assert float(tree["claims"]["probability"].sel(claim="seized-tenfold")) == 1.0


@pytest.mark.parametrize(
    ("label", "start"),
    [("FY2024", "2023-10-01"), ("CY2024", "2024-01-01"), ("2025-02-12/2025-03-13", "2025-02-12"), ("FY0001", None), ("spring", None)],
)
def test_when_a_period_begins(label: str, start: str | None) -> None:
    assert period_start(label) == (None if start is None else datetime.date.fromisoformat(start))
