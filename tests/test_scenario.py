"""The scenario file: what a right one becomes, that it comes back from disk the same, its lines, its guards, its schema."""

from __future__ import annotations

import math
import os
import time
import tomllib
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import tomli_w
from cli.wrong_files import CASES, SCENARIO, TABLE, VALID, WrongFiles
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from sim import scenario as edge
from sim import toml_file
from sim.errors import EvidenceError, ScenarioError, SimError
from sim.records import PARAMETERS

SHIPPED = Path(__file__).parents[1] / "scenarios" / "north-vs-southwest.toml"


@pytest.fixture
def valid(tmp_path: Path) -> Path:
    return WrongFiles(name="valid", files=VALID, fragments=()).write(tmp_path)


@pytest.fixture(scope="module")
def shipped() -> Any:
    return edge.load_scenario(SHIPPED)


def reloaded(scenario: Any, folder: Path) -> Any:
    path = folder / "resolved.toml"
    path.write_text(edge.to_toml(scenario), encoding="utf-8")
    return edge.load_scenario(path)


# --- the shipped scenario -------------------------------------------------------------------------------------------------------------


def test_the_shipped_scenario_is_what_issue_2_asks_for(shipped: Any) -> None:
    groups = dict(shipped.groups)
    assert len(shipped.corridors) == 7
    assert shipped.periods == ("FY2021", "FY2022", "FY2023", "FY2024", "FY2025")
    assert len(shipped.rows) == 35
    assert set(groups["all-borders"]) == set(shipped.corridors)
    assert set(groups["northern"]) | set(groups["southwest"]) | {"coastal-interior"} == set(shipped.corridors)
    assert shipped.shared_load_scale == (groups["northern"], groups["southwest"], ("coastal-interior",))
    assert (shipped.draws, shipped.seed, shipped.sampler, shipped.load_law) == (1_000_000, 43, "sobol", "lognormal")


def test_every_shipped_parameter_says_where_it_comes_from_and_elicited_ones_say_so(shipped: Any) -> None:
    sources = shipped.document["evidence"]["sources"]
    for block in shipped.document["parameter"]:
        assert block["grade"] in "ABCDM", block["id"]
        if block["basis"] == "elicited":
            assert "judg" in block.get("note", "") + block["source"] or "nothing is published" in block["source"], block["id"]
            assert block["grade"] in "CD", block["id"]
        else:
            assert block["source"] in sources, block["id"]


# --- dump then load is identity -------------------------------------------------------------------------------------------------------


def test_the_resolved_shipped_scenario_is_a_fixed_point(shipped: Any, tmp_path: Path) -> None:
    again = reloaded(shipped, tmp_path)
    assert again.document == shipped.document
    assert edge.to_toml(again) == edge.to_toml(shipped)
    assert [block.law for block in again.parameters] == [block.law for block in shipped.parameters]
    assert again.rows == shipped.rows


_label = st.text(st.characters(exclude_characters=",[]@|", exclude_categories=["C", "Z"]), min_size=1, max_size=8)
_fraction = st.floats(0.001, 0.999)


@st.composite
def _laws(draw: st.DrawFn) -> Any:
    """Laws within (0, 1), as they may be written."""
    low, high = sorted(draw(st.lists(_fraction, min_size=2, max_size=2, unique=True)))
    mean = draw(st.floats(0.05, 0.95))
    simple = [
        draw(_fraction),
        {"kind": "uniform", "low": low, "high": high},
        {"kind": "triangular", "low": low, "mode": (low + high) / 2, "high": high},
        {"kind": "beta", "mean": mean, "sd": 0.4 * mean * (1 - mean)},
        {"kind": "beta", "interval": [0.02, 0.4], "probability": draw(st.floats(0.5, 0.99))},
        {"kind": "normal", "mean": mean, "sd": 0.3, "lower": 0.001, "upper": 1},
        {"kind": "empirical", "values": [low, high], "weights": [1.0, draw(_fraction)]},
        {"kind": "scipy", "name": "weibull_min", "c": 1 + mean, "scale": mean, "lower": 1e-9, "upper": 1.0},
    ]
    chosen = draw(st.sampled_from(simple))
    if draw(st.booleans()):
        return chosen
    return {"kind": "mixture", "components": [chosen, draw(st.sampled_from(simple[1:]))], "weights": [draw(_fraction), 0.5]}


@st.composite
def documents(draw: st.DrawFn) -> dict[str, Any]:
    """Valid scenarios without files: built, so that none has to be thrown away."""
    corridors = draw(st.lists(_label, min_size=1, max_size=3, unique_by=str.strip))
    periods = draw(st.lists(_label, min_size=1, max_size=2, unique_by=str.strip))
    form = draw(st.sampled_from(["powder", "pill", "unrecorded"]))
    rows = [
        {
            "corridor": corridor,
            "period": period,
            "form": form,
            "amount": draw(st.floats(1e-3, 1e6)),
            "unit": draw(st.sampled_from(["kg", "lb", "oz"])),
        }
        | draw(st.sampled_from([{"n_events": 3}, {}, {"n_min": 2, "n_max": 9}]))
        for corridor in corridors
        for period in periods
    ]
    parameters = [
        {"name": name, "distribution": draw(_laws()), "basis": "elicited", "source": draw(_label)}
        for name in ("detection_rate", "powder_purity", "pill_share", "load_log_sd", "dose")
    ]
    parameters += [{"name": name, "distribution": "2 mg", "basis": "published", "source": "x"} for name in ("pill_fentanyl", "pill_mass")]
    needed = {"powder": {"powder_purity"}, "pill": {"pill_fentanyl", "pill_mass"}}.get(
        form, {"powder_purity", "pill_fentanyl", "pill_mass", "pill_share"}
    )
    parameters = [block for block in parameters if block["name"] in needed | {"detection_rate", "load_log_sd", "dose"}]
    parameters[0] |= draw(st.sampled_from([{}, {"varies_by": ["period", "corridor"], "correlation": 0.25}, {"corridor": corridors}]))
    return {
        "schema_version": 1,
        "name": "drawn",
        "run": {"seed": draw(st.integers(0, 2**64 - 1)), "draws": draw(st.integers(1, 10**13))},
        "evidence": {"row": rows},
        "model": {"load_truncation": draw(st.sampled_from([3.0, math.inf, 0.1])), "event_prior": draw(st.floats(0, 2))},
        "parameter": parameters,
    }


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], deadline=None)
@given(document=documents())
def test_dump_then_load_is_identity(document: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "scenario.toml"
    path.write_text(tomli_w.dumps(document), encoding="utf-8")
    first = edge.load_scenario(path)
    second = reloaded(first, tmp_path)
    assert second.document == first.document
    assert edge.to_toml(second) == edge.to_toml(first)
    assert [block.law for block in second.parameters] == [block.law for block in first.parameters]
    jsonschema.Draft202012Validator(edge.json_schema()).validate(first.document)


def test_the_resolved_scenario_stands_alone(valid: Path, tmp_path: Path) -> None:
    scenario = edge.load_scenario(valid)
    for name in ("table.csv", "sources.toml"):
        (tmp_path / name).unlink()
    again = reloaded(scenario, tmp_path)
    assert again.document == scenario.document
    assert again.document["evidence"]["sources"] == {"cbp": {"title": "Seizures by place", "date": "2025-12-03"}}
    assert again.document["model"]["load_truncation"] == 3.0  # a default, made explicit


# --- what the keys mean ---------------------------------------------------------------------------------------------------------------


def changed(valid: Path, old: str, new: str) -> Any:
    assert old in SCENARIO
    valid.write_text(SCENARIO.replace(old, new, 1), encoding="utf-8")
    return edge.load_scenario(valid)


def test_a_group_in_a_selector_means_its_members_and_keeps_its_name_in_the_id(valid: Path) -> None:
    scenario = changed(valid, 'name = "pill_share"\n', 'name = "pill_share"\ncorridor = "all-borders"\n')
    block = next(block for block in scenario.parameters if block.name == "pill_share")
    assert (block.id, block.corridor) == ("pill_share[all-borders]", ("east", "west"))


def test_default_ids_take_all_labels_in_the_order_corridor_period_form(valid: Path) -> None:
    new = 'name = "powder_purity"\nform = "powder"\nperiod = ["FY2024", "FY2023"]\ncorridor = ["west", "east"]\n'
    scenario = changed(valid, 'name = "powder_purity"\n', new)
    assert "powder_purity[west,east,FY2024,FY2023,powder]" in {block.id for block in scenario.parameters}


def test_labels_come_in_the_order_of_the_selection_or_of_the_evidence(valid: Path) -> None:
    assert edge.load_scenario(valid).corridors == ("east", "west")
    assert changed(valid, 'corridors = ["east", "west"]', 'corridors = ["west", "east"]').corridors == ("west", "east")
    assert changed(valid, 'corridors = ["east", "west"]\n', "").periods == ("FY2023", "FY2024")


def test_a_bound_that_is_excluded_may_be_touched_but_not_hit(valid: Path) -> None:
    law = '{ kind = "beta", interval = [0.01, 0.20], probability = 0.90 }'
    changed(valid, law, "{ kind = 'uniform', low = 0, high = 1 }")
    with pytest.raises(ScenarioError, match="Give 0 no probability"):
        changed(valid, law, "{ kind = 'empirical', values = [0, 1] }")


def test_rows_stand_beside_tables(valid: Path) -> None:
    row = '[[evidence.row]]\ncorridor = "east"\nperiod = "FY2024"\nform = "unrecorded"\nn_events = 1\namount = 2\nunit = "kg"\n\n[groups]'
    scenario = changed(valid, "[groups]", row)
    assert [row.amount for row in scenario.rows if row.corridor == "east"][-1] == 2.0
    assert scenario.rows[-1].where.endswith("scenario.toml:14")


def test_a_source_that_is_nearly_a_key_is_a_warning(valid: Path) -> None:
    scenario = changed(valid, 'source = "cbp"', 'source = "cpb"')
    assert len(scenario.warnings) == 1
    assert 'scenario.toml:28: parameter[1].source: the source "cpb" is no key' in scenario.warnings[0]
    assert 'The nearest is "cbp"' in scenario.warnings[0]


def test_with_run_changes_the_run_alone_and_checks_it(valid: Path) -> None:
    scenario = edge.load_scenario(valid)
    other = edge.with_run(scenario, draws=10, seed=0)
    assert (other.draws, other.seed, other.document["run"]["seed"]) == (10, 0, 0)
    assert scenario.document["run"]["seed"] == 43
    assert other.document | {"run": None} == scenario.document | {"run": None}
    for wrong in ({"draws": 0}, {"draws": True}, {"seed": -1}, {"seed": 2**64}):
        with pytest.raises(ScenarioError, match=f"run.{next(iter(wrong))}"):
            edge.with_run(scenario, **wrong)
    with pytest.raises(ScenarioError, match=r"run\.keep_draws: 20 draws to keep of 10"):
        edge.with_run(edge.load_scenario(valid, overrides={"run.keep_draws": 20}), draws=10)


def test_kept_draws_are_bounded_by_memory() -> None:
    with pytest.raises(ScenarioError, match="2 GiB hold 137,659 draws of this scenario"):
        edge.load_scenario(SHIPPED, overrides={"run.keep_draws": 1_000_000})
    assert edge.load_scenario(SHIPPED, overrides={"run.keep_draws": 137_659}).keep_draws == 137_659


# --- all problems at once, in order, with lines ---------------------------------------------------------------------------------------


def test_all_problems_of_all_stages_come_at_once_in_the_order_of_the_file(valid: Path, tmp_path: Path) -> None:
    text = SCENARIO.replace("draws = 4096", "draws = true").replace('name = "powder_purity"', 'name = "powder_prity"')
    valid.write_text(text.replace("sd = 0.05", "sd = 0.5").replace('"east", "west"]\n\n[model]', '"eats"]\n\n[model]'), encoding="utf-8")
    (tmp_path / "table.csv").write_text(TABLE.replace(",lb,0.5,", ",stone,0.5,"), encoding="utf-8")
    with pytest.raises(ScenarioError) as refused:
        edge.load_scenario(valid)
    assert [(Path(problem.file or "").name, problem.line) for problem in refused.value.problems] == [
        ("scenario.toml", 6),
        ("scenario.toml", 33),
        ("scenario.toml", 41),
        ("table.csv", 3),
    ]


def test_wrong_tables_alone_are_an_evidence_error(valid: Path, tmp_path: Path) -> None:
    (tmp_path / "table.csv").write_text(TABLE.replace(",lb,0.5,", ",stone,0.5,"), encoding="utf-8")
    with pytest.raises(EvidenceError):
        edge.load_scenario(valid)


LINES = """\
a = 1
b.c."d.e" = 2
f = [
  1, # one
  { g = 3, 'h'.i = [4,
    5] },
]
[j]
"k l" = 6
[[m]]
n = 7
[[m.o]]
p = '''
8'''
[[m]]
[m.q]
r = 9
[[m.o]]
"\\u0073" = 10
[t.u]
v = 11
"""


def test_lines_of_every_way_to_write_a_key() -> None:
    lines = toml_file.line_numbers(LINES)
    assert lines == {
        (): 1,
        ("a",): 1,
        ("b",): 2,
        ("b", "c"): 2,
        ("b", "c", "d.e"): 2,
        ("f",): 3,
        ("f", 1): 4,
        ("f", 2): 5,
        ("f", 2, "g"): 5,
        ("f", 2, "h"): 5,
        ("f", 2, "h", "i"): 5,
        ("f", 2, "h", "i", 1): 5,
        ("f", 2, "h", "i", 2): 6,
        ("j",): 8,
        ("j", "k l"): 9,
        ("m",): 10,
        ("m", 1): 10,
        ("m", 1, "n"): 11,
        ("m", 1, "o"): 12,
        ("m", 1, "o", 1): 12,
        ("m", 1, "o", 1, "p"): 13,
        ("m", 2): 15,
        ("m", 2, "q"): 16,
        ("m", 2, "q", "r"): 17,
        ("m", 2, "o"): 18,
        ("m", 2, "o", 1): 18,
        ("m", 2, "o", 1, "s"): 19,
        ("t",): 20,
        ("t", "u"): 20,
        ("t", "u", "v"): 21,
    }


@pytest.mark.parametrize("text", [SCENARIO, SHIPPED.read_text(encoding="utf-8"), LINES], ids=["small", "shipped", "odd"])
def test_every_key_that_tomllib_reads_has_a_line(text: str) -> None:
    lines = toml_file.line_numbers(text)

    def paths(node: Any, path: tuple[Any, ...] = ()) -> Any:
        yield path
        pairs = node.items() if isinstance(node, dict) else enumerate(node, start=1) if isinstance(node, list) else ()
        for key, inner in pairs:
            yield from paths(inner, (*path, key))

    assert set(paths(tomllib.loads(text))) == set(lines)


# --- --set ----------------------------------------------------------------------------------------------------------------------------


def test_overrides_are_as_if_they_stood_in_the_file(valid: Path) -> None:
    given = {
        "run.draws": 10,
        "model.load_law": "equal",
        "parameter.detection_rate[east].correlation": 0.5,
        "parameter.detection_rate[west].distribution.mean": 0.2,
        "parameter.powder_purity.distribution": {"kind": "uniform", "low": 0.1, "high": 0.2},
        "parameter.powder_purity.distribution.high": 0.3,
        "correlation.borders.value": -0.25,
        "groups.all-borders": ["west", "east"],
    }
    scenario = edge.load_scenario(valid, overrides=given)
    text = (
        SCENARIO.replace("4096", "10")
        .replace("[model]", '[model]\nload_law = "equal"')
        .replace("correlation = 0.8", "correlation = 0.5", 1)
    )
    text = text.replace("mean = 0.12", "mean = 0.2").replace("distribution = 0.1136", 'distribution = {kind="uniform", low=0.1, high=0.3}')
    valid.write_text(
        text.replace("value = 0.3", "value = -0.25").replace('all-borders = ["east", "west"]', 'all-borders = ["west", "east"]')
    )
    assert scenario.document == edge.load_scenario(valid).document


def test_ids_with_dots_and_commas_can_be_set(valid: Path) -> None:
    old, new = 'name = "pill_share"\n', 'name = "pill_share"\nid = "share.of,pills"\n'
    changed(valid, old, new)
    scenario = edge.load_scenario(valid, overrides={"parameter.share.of,pills.distribution.low": 0.1})
    assert next(block.law for block in scenario.parameters if block.id == "share.of,pills").parameters[0] == ("low", 0.1)


def test_a_block_keeps_its_id_when_its_selectors_are_set(valid: Path) -> None:
    changed(valid, 'name = "pill_share"\n', 'name = "pill_share"\nperiod = ["FY2023", "FY2024"]\n')
    path = "parameter.pill_share[FY2023,FY2024]"
    scenario = edge.load_scenario(
        valid,
        overrides={
            f"{path}.period": "FY2024",
            f"{path}.corridor": "east",
            "evidence.periods": ["FY2024"],
            "evidence.corridors": ["east"],
            "groups.all-borders": ["east"],
            "model.shared_load_scale": [],
        },
    )
    assert "pill_share[FY2023,FY2024]" in {block.id for block in scenario.parameters}


@pytest.mark.parametrize(
    ("path", "nearest"),
    [
        ("run.draw", "run.draws"),
        ("model.load_lw", "model.load_law"),
        ("parameter.detection_rate[eas].correlation", "parameter.detection_rate[east].correlation"),
        ("parameter.detection_rate[west].distribution.men", "parameter.detection_rate[west].distribution.mean"),
        ("correlation.border.value", "correlation.borders.value"),
        ("powder_purity", "parameter.powder_purity.distribution"),
        ("powder_purty", "parameter.powder_purity.distribution"),
        ("parameter.powder_purity", "parameter.powder_purity.distribution"),
        ("detection_rate[wets]", "parameter.detection_rate[west].distribution"),
        ("draws", "run.draws"),
    ],
)
def test_a_path_that_does_not_exist_is_an_error_with_the_nearest(valid: Path, path: str, nearest: str) -> None:
    with pytest.raises(ScenarioError) as refused:
        edge.load_scenario(valid, overrides={path: 1})
    assert f"--set {path}: there is no such path" in str(refused.value)
    assert f'The nearest is "{nearest}"' in str(refused.value)


def test_a_second_way_to_give_a_law_is_refused_at_what_puts_it_there(valid: Path) -> None:
    path = "parameter.detection_rate[east].distribution"
    with pytest.raises(ScenarioError) as refused:
        edge.load_scenario(valid, overrides={f"{path}.mean": 0.2, f"{path}.lower": 0.01, f"{path}.probability": 0.8})
    assert str(refused.value) == (
        f"--set {path}.mean: mean beside interval, probability, which stand there, gives the law twice; a law is given in one way. "
        f"Set the whole of {path}, as {{ kind = ... }}."
    )
    valid.write_text(SCENARIO + f'\n[[sweep]]\ndim = "mean"\npath = "{path}.mean"\nvalues = [0.1, 0.2]\n', encoding="utf-8")
    with pytest.raises(ScenarioError, match=r"sweep\[1\]\.path: mean beside interval, probability, which stand there") as refused:
        edge.load_scenario(valid)
    assert len(refused.value.problems) == 1
    # what stands there may be changed, and a file that gives a law twice itself is told so
    west = path.replace("east", "west")
    edge.load_scenario(WrongFiles(name="valid", files=VALID, fragments=()).write(valid.parent), overrides={f"{west}.mean": 0.2})
    valid.write_text(SCENARIO.replace("sd = 0.05", "sd = 0.05, alpha = 2"), encoding="utf-8")
    with pytest.raises(ScenarioError, match=r"scenario\.toml:33: .*two parametrisations at once"):
        edge.load_scenario(valid, overrides={f"{west}.mean": 0.2})


def test_set_asks_for_sensitivity_where_the_file_does_not(valid: Path) -> None:
    assert edge.load_scenario(valid).sensitivity is None
    for path, put in (("sensitivity.scale", "raw"), ("sensitivity.shapley", True), ("sensitivity", {"shapley": True})):
        found = edge.load_scenario(valid, overrides={path: put}).sensitivity
        assert found is not None
        assert (found.scale, found.shapley) == (("raw", False) if put == "raw" else ("log", True))
    with pytest.raises(ScenarioError, match=r"--set sensitivity: sensitivity: sensitivity = 3 stands where a table is needed"):
        edge.load_scenario(valid, overrides={"sensitivity": 3})
    with pytest.raises(ScenarioError, match=r'--set sensitivity.scale: .*scale = "ln"'):
        edge.load_scenario(valid, overrides={"sensitivity.scale": "ln"})


@pytest.mark.parametrize("kind", ["contrast", "claim", "condition", "growth"])
def test_set_into_a_table_that_the_file_lacks_says_so(valid: Path, kind: str) -> None:
    with pytest.raises(ScenarioError) as refused:
        edge.load_scenario(valid, overrides={f"{kind}.one.note": "why"})
    assert f"The file has no [[{kind}]]; write one there, with an id" in str(refused.value)


def test_what_set_puts_in_wrong_is_found_at_set_not_at_a_line(valid: Path) -> None:
    with pytest.raises(ScenarioError) as refused:
        edge.load_scenario(valid, overrides={"run.draws": "many", "parameter.detection_rate[west].distribution.sd": 0.5})
    assert [problem.file for problem in refused.value.problems] == [
        "--set parameter.detection_rate[west].distribution.sd",
        "--set run.draws",
    ]


def test_what_set_leaves_unused_is_a_warning_and_is_left_out(valid: Path, tmp_path: Path) -> None:
    given = {"evidence.corridors": ["west"], "groups.all-borders": ["west"], "model.shared_load_scale": [["west"]]}
    scenario = edge.load_scenario(valid, overrides=given)
    assert {block.id for block in scenario.parameters} == {
        "detection_rate[west]", "powder_purity", "pill_fentanyl", "pill_mass", "pill_share", "load_log_sd",
    }  # fmt: skip
    assert scenario.correlations == ()
    assert any('corridor "east" is not in use' in warning for warning in scenario.warnings)
    assert any("detection_rate[east] is not used" in warning for warning in scenario.warnings)
    again = reloaded(scenario, tmp_path)
    assert again.document == scenario.document


def test_a_label_that_set_leaves_unused_is_narrowed_away(valid: Path, tmp_path: Path) -> None:
    changed(valid, 'name = "pill_share"\n', 'name = "pill_share"\nperiod = ["FY2023", "FY2024"]\n')
    scenario = edge.load_scenario(valid, overrides={"evidence.periods": ["FY2024"]})
    assert next(block for block in scenario.parameters if block.name == "pill_share").period == ("FY2024",)
    assert reloaded(scenario, tmp_path).document == scenario.document


# --- guards ---------------------------------------------------------------------------------------------------------------------------


def test_a_byte_order_mark_and_carriage_returns_are_fine(valid: Path) -> None:
    before = edge.load_scenario(valid).document
    valid.write_bytes(b"\xef\xbb\xbf" + SCENARIO.replace("\n", "\r\n").encode())
    assert edge.load_scenario(valid).document == before


def test_a_pipe_is_not_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "scenario.toml")
    with pytest.raises(ScenarioError, match="not a regular file"):
        edge.load_scenario(tmp_path / "scenario.toml")


def test_a_file_that_may_not_be_read(valid: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> Any:
        raise PermissionError

    monkeypatch.setattr("builtins.open", refuse)  # a superuser may read anything, so its mode would not do
    with pytest.raises(ScenarioError, match="may not be read"):
        edge.load_scenario(valid)


def test_a_loop_of_links_and_a_name_that_no_file_can_have(valid: Path, tmp_path: Path) -> None:
    (tmp_path / "loop.csv").symlink_to("loop.csv")
    for name in ("loop.csv", "a" * 300 + ".csv"):
        with pytest.raises(SimError):
            changed(valid, '"table.csv"', f'"{name}"')
    with pytest.raises(ScenarioError, match=r"cannot be read|no such file"):
        edge.load_scenario("no\0such.toml")


def test_links_inside_the_folder_are_followed(valid: Path, tmp_path: Path) -> None:
    (tmp_path / "evidence").mkdir()
    (tmp_path / "table.csv").rename(tmp_path / "evidence" / "real.csv")
    (tmp_path / "table.csv").symlink_to("evidence/real.csv")
    assert len(edge.load_scenario(valid).rows) == 4


@pytest.mark.parametrize(
    "text",
    [
        "x = " + "[" * 500_000,
        "x = " + "{a=" * 300_000,
        ".".join("a" * 400_000) + " = 1",
        "[" + ".".join("a" * 400_000) + "]",
        "\n".join(f"a{i} = {i}" for i in range(60_000)),
        "\n".join("[[a]]" for _ in range(150_000)),
        "x = [" + "1," * 500_000 + "]",
        'x = "' * 200_000,
        "'''" * 300_000,
        '"""' + "\\" * 900_000,
        f"x = 0x{'f' * 900_000}",
        "[parameter]\n" * 2,
        "parameter = [1, [], {}]",
        "parameter = 3\nevidence = 3\ngroups = 3\nmodel = []\nrun = 1979-05-27",
        "[evidence]\nrow = [3]\nsources = 3\ntables = {}",
        "[[parameter]]\ncorridor = [{}]\nname = []\ndistribution = []\nid = {}",
        "[[correlation]]\nbetween = [[], {}]\nmatrix = [[1], 2]",
    ],
    ids=lambda text: f"{text[:24]!r}",
)
def test_hostile_files_do_not_hang(text: str, tmp_path: Path) -> None:
    path = tmp_path / "scenario.toml"
    path.write_text(text, encoding="utf-8")
    begin = time.perf_counter()
    with pytest.raises(ScenarioError):
        edge.load_scenario(path)
    assert time.perf_counter() - begin < 60


_odd = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(["2 mg", "east", "../x", "beta", "1e999 kg", "powder", "FY2024"]),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["kind", "mean", "values", "name", "x"]), inner, max_size=3)
    ),
    max_leaves=5,
)


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], deadline=None)
@given(which=st.integers(0, 10_000), odd=_odd)
@example(which=3, odd={"kind": {"kind": []}})
def test_whatever_stands_in_the_place_of_a_key_only_our_errors_come_out(which: int, odd: Any, valid: Path) -> None:
    document = tomllib.loads(SCENARIO)
    places: list[tuple[Any, Any]] = []

    def collect(node: Any) -> None:
        for key in list(node) if isinstance(node, dict) else range(len(node)):
            places.append((node, key))
            if isinstance(node[key], dict | list):
                collect(node[key])

    collect(document)
    table, key = places[which % len(places)]
    if odd is None:
        del table[key]
    else:
        table[key] = odd
    try:
        text = tomli_w.dumps(document)
        tomllib.loads(text)
    except (TypeError, ValueError, AttributeError):  # what TOML cannot hold (null in a list, lone surrogates) is no file
        return
    valid.write_text(text, encoding="utf-8")
    try:
        edge.load_scenario(valid)
    except SimError as refused:
        assert all(problem.file is not None for problem in refused.problems)  # noqa: PT017


# --- the JSON Schema ------------------------------------------------------------------------------------------------------------------

SCHEMA = jsonschema.Draft202012Validator(edge.json_schema())
SCHEMA_REFUSES = {
    "an unknown table",
    "another schema version",
    "a name that cannot name a folder",
    "no name",
    "no seed",
    "a negative seed",
    "a seed beyond 64 bits",
    "true for a number",
    "a text for a number",
    "no draws",
    "too many draws",
    "an unknown key",
    "a table that is none",
    "an empty group",
    "an unknown load law",
    "a truncation at 0",
    "a slip in a name",
    "a blank after a word",
    "no source",
    "an unknown grade",
    "varies_by an unknown dimension",
    "a correlation above 1",
    "no distribution",
    "an unknown kind",
    "no kind",
    "an unknown key of a law",
    "two parametrisations",
    "half a parametrisation",
    "an interval of one",
    "true for a law",
    "neither value nor matrix",
    "t without df",
    "df without t",
    "a row with a text for a count",
    "a row with an unknown key",
    "a sweep without values",
    "a sweep of one value",
    "a sweep without a path",
    "a dimension that is no name",
    "a label twice",
    "an unknown key of a sweep",
    "one sweep table",
    "varies_by without correlation",
    "correlation without varies_by",
}


def test_the_schema_is_a_schema_and_accepts_what_is_right(shipped: Any) -> None:
    jsonschema.Draft202012Validator.check_schema(edge.json_schema())
    SCHEMA.validate(tomllib.loads(SCENARIO))
    SCHEMA.validate(tomllib.loads(SHIPPED.read_text(encoding="utf-8")))
    SCHEMA.validate(shipped.document)


def test_the_schema_refuses_what_a_schema_can_see() -> None:
    refused = set()
    for case in CASES:
        text = case.files.get("scenario.toml")
        try:
            document = tomllib.loads(text) if isinstance(text, str) and len(text) < 10_000 else None
        except (ValueError, RecursionError):
            continue
        if document is not None and not SCHEMA.is_valid(document):
            refused.add(case.name)
    assert refused >= SCHEMA_REFUSES, SCHEMA_REFUSES - refused


def test_the_schema_describes_every_key_and_knows_every_parameter() -> None:
    schema = edge.json_schema()
    for name, table in schema["$defs"].items():
        for key, entry in table.get("properties", {}).items():
            assert "description" in entry or key == "kind", (name, key)
    assert schema["$defs"]["ParameterBlock"]["properties"]["name"]["enum"] == list(PARAMETERS)
    assert "null" not in str(schema)


# --- warnings about inputs ------------------------------------------------------------------------------------------------------------


def test_tablets_that_nobody_seizes_are_warned_about_with_the_unit_they_were_read_in(valid: Path) -> None:
    def warned(**given: Any) -> tuple[str, ...]:
        return tuple(edge.load_scenario(valid, overrides={f"parameter.{name}.distribution": law for name, law in given.items()}).warnings)

    for fentanyl, mass in ((0.01, 10), (50, 5000), ("2 mg", "0.11 g")):
        assert warned(pill_fentanyl=fentanyl, pill_mass=mass) == ()
    assert warned(pill_fentanyl=0.001) == (
        'parameter "pill_fentanyl": a median of 0.001 mg is outside 0.01 to 50 mg; a number without a unit is read in mg',
    )
    assert warned(pill_mass="105 g") == (
        'parameter "pill_mass": a median of 105000 mg is outside 10 to 5000 mg; a number without a unit is read in mg',
    )
    assert len(warned(pill_fentanyl=60, pill_mass=9000)) == 2


def test_tablets_are_compared_where_both_blocks_serve(valid: Path) -> None:
    """A block for light tablets of one period is above nothing where another block serves."""
    light = '[[parameter]]\nname = "pill_mass"\nperiod = "FY2023"\ndistribution = "20 mg"\nbasis = "elicited"\nsource = "cbp"\n'
    light += light.replace("pill_mass", "pill_fentanyl").replace("20 mg", "2 mg")
    valid.write_text(SCENARIO.replace('mean = "1.94 mg"', 'mean = "30 mg"') + light, encoding="utf-8")
    assert edge.load_scenario(valid).warnings == ()
    valid.write_text(SCENARIO + light.replace("2 mg", "30 mg"), encoding="utf-8")
    (said,) = edge.load_scenario(valid).warnings
    assert said.startswith(
        'parameters "pill_fentanyl[FY2023]" and "pill_mass[FY2023]": a tablet of 20 mg would hold 30 mg of fentanyl, so that'
    )


def test_slips_in_the_evidence_are_warned_about_in_labels_that_are_left_out_too(valid: Path) -> None:
    again = TABLE.splitlines()[1]
    (valid.parent / "table.csv").write_text(f"{TABLE}{again}\n{again.replace('east', 'East')}\n", encoding="utf-8")
    warned = edge.load_scenario(valid).warnings
    assert [text.partition("table.csv:")[2].partition(";")[0] for text in warned] == [
        "7: corridor: 'East' beside 'east'",
        f"6: this row is equal to {valid.parent / 'table.csv'}:2 in every cell",
    ]
