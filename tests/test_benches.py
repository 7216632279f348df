"""The benches: their bodies run, once and small; the NumPy reference gives the engine's answers; a ratio is judged as its row says."""

from __future__ import annotations

import doctest
import importlib
import json
from dataclasses import asdict, replace

import numpy as np
import pytest
import verdicts
from scipy import special

import sim
from benches import bench_memory, bench_propagate, numpy_border, scenarios
from benches.__main__ import BENCHES, main
from benches.measuring import Contender, Effort, seconds_per_draw
from benches.targets import COMPARISONS, Comparison, judge
from sim.model import compile_model
from sim.records import QUANTITIES

TINY = Effort(rounds=1, divide=512)


@pytest.mark.parametrize("name", BENCHES)
def test_every_bench_measures_what_its_rows_divide(name, monkeypatch):
    monkeypatch.setitem(bench_memory.SCENARIOS, "shipped", "one_stratum({draws}, 3, 'gamma')")  # the other takes a process seconds
    measures = BENCHES[name](TINY)
    rows = [comparison for comparison in COMPARISONS if comparison.bench == name]
    assert rows
    for row in rows:
        for amount in (row.over, row.under):
            assert amount in measures, (row.what, amount)
            assert isinstance(measures[amount], str) or np.all(measures[amount] > 0.0) or "says so" in amount


def reference_p(scenario, engine_scenario, draws):
    """Return the p-value that draws of the NumPy reference follow the law whose quantiles a run gives.

    The number of the reference's draws below a quantile of the run is binomial. The run's own error is allowed for by four of its MCSE, and
    by half a bin: 1/256 of a number, for laws that pile up at an end within one bin, as seized mass does at the whole of it. Below a
    microgram (1e-9) numbers are what rounding leaves of shares of 0.
    """
    model = compile_model(scenario)
    tree = sim.run(engine_scenario, draws=65_536)
    probability = tree["quantiles"]["quantile"].values
    spread = np.sqrt(probability * (1.0 - probability) / draws)
    worst = 0.0
    seen = 0
    for s, drawn in numpy_border.results(numpy_border.prepare(model), draws, np.random.default_rng(7)):
        place, period, form, q = np.argwhere(model.strata.index == s)[0]
        name = list(QUANTITIES)[q]
        quantiles = tree["quantiles"][name].values[place, period, form]
        drawn = np.sort(drawn[~np.isnan(drawn)])
        slack = 4.0 * tree["mcse"][name].values[place, period, form] + np.abs(quantiles) / 256.0 + 1e-9
        below = np.searchsorted(drawn, quantiles - slack, side="left") / drawn.size
        until = np.searchsorted(drawn, quantiles + slack, side="right") / drawn.size
        outside = np.maximum(np.maximum(below - probability, probability - until), 0.0)
        worst = max(worst, float((outside / spread).max()))
        seen += 1
    assert seen == model.n_summaries
    return min(1.0, 2.0 * seen * probability.size * float(special.ndtr(-worst)))


@pytest.mark.parametrize("load_law", ["gamma", "lognormal"])
def test_the_numpy_reference_gives_the_answers_of_a_run(load_law):
    if load_law == "gamma":
        scenario, draws = scenarios.shipped(65_536, "gamma"), 2**14
    else:  # every load is drawn, so one stratum group and fewer draws
        scenario, draws = scenarios.southwest_fy2024(65_536), 2**12
    verdicts.decide(f"NumPy against a run with {load_law} loads", reference_p(scenario, scenario, draws))


def test_the_comparison_of_answers_would_see_a_wrong_reference():
    right = scenarios.one_stratum(65_536, 30, "gamma")
    wrong = replace(right, event_prior=2.0)  # five per cent more missed loads
    assert reference_p(right, right, 2**14) >= verdicts.LEVEL
    assert reference_p(wrong, right, 2**15) < verdicts.LEVEL


def test_the_numpy_reference_refuses_what_it_does_not_know():
    with pytest.raises(ValueError, match="load_law equal"):
        numpy_border.prepare(compile_model(replace(scenarios.one_stratum(1024, 3), load_law="equal")))


def test_summaries_of_the_reference_leave_out_undefined_draws():
    model = compile_model(scenarios.shipped(1024, "gamma"))
    quantiles, moments = numpy_border.summarised(numpy_border.prepare(model), 1024, 1)
    assert quantiles.shape == (model.n_summaries, 13)
    assert np.isfinite(quantiles).all()
    assert np.isfinite(moments).all()
    assert (np.diff(quantiles) >= 0.0).all()


@pytest.mark.parametrize("name", bench_propagate.PEERS)
def test_every_peer_answers_the_same_question(name):
    """To 15 % at the 5, 50 and 95 % quantiles of 4,096 draws: a law given in another parametrisation is further off."""
    if name != "NumPy":
        pytest.importorskip(name.lower())
    tree = sim.propagate(bench_propagate.plain, parameters=bench_propagate.PARAMETERS, draws=65_536, seed=1)
    expected = np.stack([tree["quantiles"][output].values for output in bench_propagate.OUTPUTS])
    found = np.array(bench_propagate.PEERS[name][0](4096))
    assert found[:, [3, 6, 9]] == pytest.approx(expected[:, [3, 6, 9]], rel=0.15)


def test_a_peer_that_is_not_there_or_fails_is_named_as_such(monkeypatch):
    def missing(n):
        importlib.import_module("no_such_peer")

    def broken(n):
        raise AttributeError("np.float")

    monkeypatch.setattr(bench_propagate, "PEERS", {"NumPy": (missing, 1024), "mcerp": (broken, 1024)})
    measures = bench_propagate.measure(TINY)
    assert measures["NumPy"] == "not installed (no_such_peer)"
    assert measures["mcerp"] == "does not run: AttributeError: np.float"


def test_contenders_run_in_turn_and_each_in_every_round():
    calls = []
    contenders = {name: Contender(lambda name=name: calls.append(name), 10) for name in "abc"}
    seconds = seconds_per_draw(contenders, 3)
    assert "".join(calls) == "abc" + "abc" + "bca" + "cab"  # once untimed, then every round begins with another
    assert all(seconds[name].shape == (3,) and (seconds[name] > 0.0).all() for name in "abc")


@pytest.mark.parametrize(
    ("bounds", "met"),
    [
        ({"at_least": 2.0}, True),
        ({"at_least": 2.1}, False),
        ({"at_most": 2.0}, True),
        ({"at_most": 1.9}, False),
        ({"at_most": 2.0, "worst": True}, False),
        ({"at_most": 4.0, "worst": True}, True),
        ({"at_least": 2.0, "worst": True}, False),
        ({}, None),
    ],
)
def test_a_ratio_is_judged_by_its_median_or_its_worst(bounds, met):
    over, under = np.array([1.0, 4.0, 12.0]), np.array([1.0, 2.0, 3.0])
    verdict = judge(Comparison(bench="b", what="w", over="over", under="under", **bounds), {"over": over, "under": under})
    assert (verdict.ratio, verdict.met) == (2.0, met)


def test_what_was_not_measured_is_neither_met_nor_missed():
    row = Comparison(bench="b", what="w", over="over", under="under", at_least=1.0)
    verdict = judge(row, {"over": "not installed (mcerp)", "under": np.ones(3)})
    assert (verdict.met, verdict.ratio, verdict.why) == (None, None, "not installed (mcerp)")


def test_one_command_writes_the_amounts_and_the_table(tmp_path, capsys):
    status = main(["--only", "kernels", "--rounds", "1", "--quick", "--output", str(tmp_path)])
    report = json.loads((tmp_path / "results.json").read_text())
    page = (tmp_path / "RESULTS.md").read_text()
    rows = [row for row in report["ratios"] if row["comparison"]["bench"] == "kernels"]
    missed = [row["comparison"]["what"] for row in rows if row["met"] is False]
    assert status == int(bool(missed))
    assert report["versions"]["numpy"] == np.__version__
    assert report["cpu"]
    assert "not a result" in page
    assert all(f"- {what}:" in page for what in missed)
    assert page.count("**no**") == len(missed)
    shown = capsys.readouterr().out
    assert all(f"| {row['comparison']['what']} |" in page and f"| {row['comparison']['what']} |" in shown for row in rows)


def test_a_bench_that_is_not_asked_for_keeps_its_last_rows(tmp_path):
    memory = {"small, 10^7 draws": [3.0], "small, 10^6 draws": [2.0]}
    absent = dict.fromkeys(("small, 10^8 draws", "shipped, 10^6 draws", "shipped, 10^7 draws", "shipped, 10^8 draws"), "not asked for")
    last = {"made_at": "2026-01-01T00:00+00:00", "effort": asdict(Effort()), "load_averages": 1.0, "amounts": {**memory, **absent}}
    (tmp_path / "results.json").write_text(json.dumps({key: {"memory": each} for key, each in last.items()}))
    main(["--only", "kernels", "--rounds", "1", "--quick", "--output", str(tmp_path)])
    assert json.loads((tmp_path / "results.json").read_text())["amounts"]["memory"] == last["amounts"]
    page = (tmp_path / "RESULTS.md").read_text()
    assert page.index("## kernels") < page.index("## memory")
    assert "| peak of small, 10^7 draws / 10^6 | 1.5 |" in page


def test_the_table_is_written_as_its_example_shows():
    result = doctest.testmod(importlib.import_module("benches.__main__"))
    assert result.attempted > 0
    assert result.failed == 0
