"""Every kind of wrong file gives a message worth reading: where, what came, what is allowed, what to do."""

from __future__ import annotations

from pathlib import Path

import pytest
from cli.wrong_files import CASES, SCENARIO, VALID, WrongFiles

from sim.errors import EvidenceError, ScenarioError
from sim.scenario import load_scenario


def test_the_table_is_large_and_its_names_are_unique() -> None:
    assert len(CASES) >= 40
    assert len({case.name for case in CASES}) == len(CASES)


def test_the_files_that_the_cases_change_are_right(tmp_path: Path) -> None:
    path = WrongFiles(name="valid", files=VALID, fragments=()).write(tmp_path)
    assert load_scenario(path).warnings == ()


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_wrong_files_are_refused_with_their_place_and_a_way_out(case: WrongFiles, tmp_path: Path) -> None:
    path = case.write(tmp_path)
    with pytest.raises((ScenarioError, EvidenceError)) as refused:
        load_scenario(path)
    text = str(refused.value)
    for fragment in case.fragments:
        assert fragment in text, text
    assert case.n_problems in (len(refused.value.problems), None), text
    for problem in refused.value.problems:
        assert problem.file is not None, text
        assert problem.allowed or problem.advice, text
        assert str(problem).count("\n") == 0, text
        assert len(str(problem)) < 700, text


SOURCED = 'basis = "elicited"\nsource = "cbp"\n'
ROW = '[[evidence.row]]\ncorridor = "sea"\nperiod = "FY2024"\nform = "powder"\nn_events = 1\namount = 1\nunit = "kg"\n'
BOTH = '{ quantity = "flow_pure_kg", corridor = "east", period = "FY2024", form = "all" }'

# What a table refuses and what only its neighbours tell: (what is put in, where, what the one message must say).
TOGETHER = {
    "parameter": (
        (
            '[[parameter]]\nname = "powder_purty"\ncorridor = "eats"\nperiod = "FY2042"\nvaries_by = ["year"]\n'
            'distribution = { kind = "beta", mean = 0.12, sd = 0.5 }\nbasis = "a hunch"\nsource = "cbp"\n'
        ),
        (
            '"powder_purty" is not a parameter',
            'unknown corridor "eats"',
            'unknown period "FY2042"',
            "varies_by",
            "sd = 0.5 is impossible",
            "a hunch",
        ),
    ),
    "parameter without correlation": (
        '[[parameter]]\nname = "dose"\nform = "powdr"\nvaries_by = ["period"]\ndistribution = "2 s"\nsource = "cbp"\n',
        ("basis is missing", "correlation is missing", 'dose has no form "powdr"', "is a time"),
    ),
    "correlation": (
        '[[correlation]]\nid = "more"\nbetween = ["powder_purity", "pill_fentanil"]\nmatrix = [[1, 0.3]]\ndf = 4\nvlaue = 0.3\n',
        ("unknown key vlaue", "a matrix of 1 rows", "has no df", '"pill_fentanil" is not a parameter', 'The nearest is "pill_fentanyl"'),
    ),
    "contrast": (
        (
            '[[contrast]]\nid = "ratio"\nnumerator = { quantity = "flow_pur_kg", corridor = "eats", period = "FY2024", form = "all" }\n'
            'denominator = { quantity = "flow_pure_kg", corridor = "west", period = "FY2042", form = "al" }\n'
        ),
        ('"flow_pur_kg" is not a quantity', 'unknown corridor "eats"', 'unknown period "FY2042"', 'form = "al"'),
    ),
    "claim": (
        (
            f'[[contrast]]\nid = "ratio"\nnumerator = {BOTH}\ndenominator = {BOTH}\n'
            '[[claim]]\nid = "claim"\ncontrast = "ration"\nbetween = [2, 1]\nabove = 1.0\n'
        ),
        ("text is missing", 'unknown contrast "ration"', "between = [2, 1]", "both above and between are given"),
    ),
    "condition": (
        (
            '[[condition]]\nid = "bound"\nresult = { quantity = "deliverd_pure_kg", corridor = "eats", period = "FY2024", form = "all" }\n'
            'soft_upper = "10 km"\nsoft_lower = -1\nlog_sd = 0\n'
        ),
        (
            '"deliverd_pure_kg" is not a quantity',
            'unknown corridor "eats"',
            "'10 km' is a length",
            "soft_lower = -1",
            "log_sd = 0",
        ),
    ),
    "sweep": (
        (
            '[[sweep]]\ndim = "corridor"\npath = "model.load_lw"\nvalues = []\n'
            '[[sweep]]\ndim = "rho"\npath = "correlation.border.value"\nvalues = [0.0, 0.5]\nlables = ["a", "b"]\n'
        ),
        (
            "the layout of results has a name like this",
            'no path "model.load_lw"',
            "at least one value",
            "lables",
            "correlation.border.value",
        ),
    ),
    "evidence row": (
        '[[parameter]]\nname = "dose"\ncorridor = "eats"\ndistribution = 2\n' + SOURCED,
        ('amount = "1"', "0.5 around an amount", "unknown key events", 'unknown corridor "eats"'),
    ),
    "run": ("", ("seed is missing", "9,000 draws to keep of 4,096")),
    "model": ("", ("load_law", 'unknown corridor "wst"')),
    "groups": ("", ("at least 1 entry", 'unknown corridor "wst"')),
}
ELSEWHERE = {
    "evidence row": (
        '"west"]\n\n',
        '"west", "sea"]\n'
        + ROW.replace("amount = 1\n", 'amount = "1"\nevents = 3\n')
        + ROW.replace("amount = 1\n", "amount = 0.25\nrounding = 0.5\n")
        + "\n",
    ),
    "run": ("draws = 4096\nseed = 43", "draws = 4096\nkeep_draws = 9000"),
    "model": ('[["east", "west"]]', '[["east", "wst"]]\nload_law = "log-normal"'),
    "groups": ("[groups]\n", '[groups]\nnone = []\nboth = ["east", "wst"]\n'),
}


@pytest.mark.parametrize("kind", TOGETHER)
def test_one_round_tells_all_that_is_wrong_with_a_block(kind: str, tmp_path: Path) -> None:
    """Each in a file of its own and all in one: what a table refuses hides nothing of what else is wrong."""
    block, expected = TOGETHER[kind]
    text = SCENARIO.replace(*ELSEWHERE.get(kind, ("", "")), 1) + "\n" + block
    path = WrongFiles(name=kind, files=VALID | {"scenario.toml": text}, fragments=()).write(tmp_path)
    with pytest.raises(ScenarioError) as refused:
        load_scenario(path)
    said = [str(problem) for problem in refused.value.problems]
    for fragment in expected:
        assert sum(fragment in line for line in said) == 1, (fragment, said)
    assert len(said) == len(expected) - (kind == "correlation"), said  # one of them is said of two


def test_everything_wrong_with_a_file_is_told_in_one_round(tmp_path: Path) -> None:
    text = SCENARIO
    for old, new in ELSEWHERE.values():
        assert old in text
        text = text.replace(old, new, 1)
    text += "\n" + "\n".join(block.replace('"ratio"', f'"ratio-{n}"') for n, (block, _) in enumerate(TOGETHER.values()))
    path = WrongFiles(name="all", files=VALID | {"scenario.toml": text}, fragments=()).write(tmp_path)
    with pytest.raises(ScenarioError) as refused:
        load_scenario(path)
    said = str(refused.value)
    unsure = {"pill_fentanil", 'The nearest is "pill_fentanyl"', '"pill_fentanil" is not a parameter'}  # ids of other blocks are in doubt
    for _, expected in TOGETHER.values():
        assert [fragment for fragment in expected if fragment not in said and fragment not in unsure] == [], said


def test_what_a_table_refuses_does_not_hide_what_blocks_mean_together(tmp_path: Path) -> None:
    text = SCENARIO.replace('name = "two-borders"', 'name = "Two borders"').replace("seed = 43", "").replace('"elicited"', '"guess"', 1)
    text = text.replace("sd = 0.05", "sd = 0.5").replace('distribution = "105 mg"\n', "").replace("value = 0.3", "value = 3")
    text = text.replace('corridor = ["west"]\n', 'corridor = ["west"]\nid = "detection_rate[west]"\nperiod = "FY2023"\n')
    text += '\n[[parameter]]\nname = "pill_share"\nform = "pill"\ndistribution = 0.5\n' + SOURCED
    both = '{ quantity = "n_missed", corridor = "east", period = "FY2024", form = "pill" }'
    text += f'\n[[contrast]]\nid = "ratio"\nnumerator = {BOTH}\ndenominator = {both}\n'
    path = WrongFiles(name="all", files=VALID | {"scenario.toml": text}, fragments=()).write(tmp_path)
    with pytest.raises(ScenarioError) as refused:
        load_scenario(path)
    said = [str(problem) for problem in refused.value.problems]
    expected = (
        'name = "Two borders"',
        "seed is missing",
        'basis = "guess"',
        "sd = 0.5 is impossible",
        "distribution is missing",
        "value = 3",
        "no detection_rate serves west, FY2024",
        '"pill_share[pill]" is not used',
        "n_missed of east in FY2024 does not exist for form pill",
    )
    for fragment in expected:
        assert sum(fragment in line for line in said) == 1, (fragment, said)
    assert len(said) == len(expected), said
