"""Wrong scenario and evidence files, one kind a row: the files, and what the message must say.

Each case is the valid scenario below with one thing changed, so that whatever is wrong is wrong for that reason alone. In a changed text
the mark § stands on the line that the message must name.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

TABLE = """\
corridor,period,form,n_events,amount,unit,rounding,source,note
east,FY2023,unrecorded,12,30.5,lb,,cbp,
east,FY2024,unrecorded,7,21,lb,0.5,cbp,
west,FY2023,unrecorded,240,1002,lb,,cbp,
west,FY2024,unrecorded,310,1300,lb,,cbp,
"""

SOURCES = """\
[cbp]
title = "Seizures by place"
date = 2025-12-03
"""

SCENARIO = """\
schema_version = 1
name = "two-borders"
question = "How much?"

[run]
draws = 4096
seed = 43

[evidence]
tables = ["table.csv"]
sources = "sources.toml"
corridors = ["east", "west"]

[groups]
all-borders = ["east", "west"]

[model]
event_prior = 0.5
shared_load_scale = [["east", "west"]]

[[parameter]]
name = "detection_rate"
corridor = "east"
distribution = { kind = "beta", interval = [0.01, 0.20], probability = 0.90 }
varies_by = ["period"]
correlation = 0.8
basis = "elicited"
source = "cbp"

[[parameter]]
name = "detection_rate"
corridor = ["west"]
distribution = { kind = "beta", mean = 0.12, sd = 0.05 }
varies_by = ["period"]
correlation = 0.8
basis = "elicited"
source = "a guess"
grade = "D"

[[parameter]]
name = "powder_purity"
distribution = 0.1136
basis = "published"
source = "cbp"

[[parameter]]
name = "pill_fentanyl"
distribution = { kind = "lognormal", mean = "1.94 mg", sd = "0.2 mg" }
basis = "published"
source = "cbp"

[[parameter]]
name = "pill_mass"
distribution = "105 mg"
basis = "published"
source = "cbp"

[[parameter]]
name = "pill_share"
distribution = { kind = "uniform", low = 0.3, high = 0.7 }
basis = "elicited"
source = "cbp"

[[parameter]]
name = "load_log_sd"
distribution = { kind = "normal", mean = 2.4, sd = 0.2, lower = 1.5 }
basis = "derived"
source = "cbp"

[[correlation]]
id = "borders"
between = ["detection_rate[east]", "detection_rate[west]"]
value = 0.3
"""

CONTRAST = """\
[[contrast]]
id = "ratio"
numerator = { quantity = "flow_pure_kg", corridor = "east", period = "FY2024", form = "all" }
denominator = { quantity = "flow_pure_kg", corridor = "all-borders", period = "FY2024", form = "all" }

[[claim]]
id = "claim"
text = "More"
contrast = "ratio"
above = 1.0

"""


CONDITION = """\
[[condition]]
id = "bound"
result = { quantity = "delivered_pure_kg", corridor = "all-borders", period = "FY2024", form = "all" }
soft_upper = "10 t"
log_sd = 0.35
source = "another survey"

"""


GROWTH = """\
[[growth]]
id = "growth"
corridor = "all-borders"
periods = ["FY2023", "FY2024"]
quoted = "east"

"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """A symbolic link to `target`, in place of a file."""

    target: str


@dataclass(frozen=True, slots=True, kw_only=True)
class WrongFiles:
    """One kind of wrong file. `files` maps names to contents (None: a folder); `scenario.toml` is the one to load.

    `fragments` must all stand in the message, which must hold `n_problems` problems (None: one mistake rightly seen from two sides).
    """

    name: str
    files: Mapping[str, str | bytes | Link | None]
    fragments: tuple[str, ...]
    n_problems: int | None = 1

    def write(self, folder: Path) -> Path:
        """Write the files into `folder` and return the path of the scenario."""
        for name, content in self.files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            if content is None:
                path.mkdir()
            elif isinstance(content, Link):
                os.symlink(content.target, path)
            else:
                path.write_bytes(content.encode() if isinstance(content, str) else content)
        return folder / "scenario.toml"


VALID: dict[str, str | bytes | Link | None] = {"scenario.toml": SCENARIO, "table.csv": TABLE, "sources.toml": SOURCES}


def wrong(name: str, old: str, new: str, *fragments: str, file: str = "scenario.toml", n_problems: int | None = 1) -> WrongFiles:
    """Return the valid files with the first `old` of one file replaced by `new`; the line of its mark § joins the fragments."""
    text = VALID[file]
    assert isinstance(text, str), file
    assert old in text, (name, old)
    changed = text.replace(old, new, 1)
    if "§" in changed:
        line = changed[: changed.index("§")].count("\n") + 1
        fragments = (f"{file}:{line}: ", *fragments)
        changed = changed.replace("§", "")
    return WrongFiles(name=name, files=VALID | {file: changed}, fragments=fragments, n_problems=n_problems)


def instead(name: str, content: str | bytes | Link | None, *fragments: str, file: str = "scenario.toml") -> WrongFiles:
    """Return the valid files with the whole of one file replaced."""
    return WrongFiles(name=name, files=VALID | {file: content}, fragments=(file, *fragments))


def without(name: str, file: str, *fragments: str) -> WrongFiles:
    """Return the valid files without one of them."""
    return WrongFiles(name=name, files={key: content for key, content in VALID.items() if key != file}, fragments=fragments)


_EAST = '{ kind = "beta", interval = [0.01, 0.20], probability = 0.90 }'
_SECOND = 'corridor = ["west"]\n'

CASES: tuple[WrongFiles, ...] = (
    # the file
    without("no such scenario", "scenario.toml", "scenario.toml: there is no such file"),
    instead("a folder", None, "this is a folder, not a scenario", "Give the file inside it"),
    instead("too large", "#" * (1 << 20) + "\n", "larger than 1,048,576 bytes"),
    instead("not UTF-8", SCENARIO.encode().replace(b"How", b"\xe9"), ":3: byte", "is not UTF-8", "Save the file as UTF-8"),
    instead("a NUL byte", SCENARIO.replace("How", "\x00"), ":3: ", "this is not TOML 1.0"),
    instead("nested brackets", f"x = {'[' * 100_000}", ":1: ", "nested too deeply", "at most 32 levels"),
    instead("nested keys", f"{'.'.join('a' * 100_000)} = 1", ":1: ", "nested too deeply"),
    instead("a number of 5000 digits", f"\n\nx = {'9' * 5000}", ":3: a number is too long", "4300"),
    instead("an unclosed text", SCENARIO + 'x = """', "this is not TOML 1.0"),
    wrong("a syntax error", "draws = 4096", "§draws 4096", "this is not TOML 1.0", "Correct this line first"),
    wrong("a key twice", "seed = 43", "seed = 43\n§seed = 44", "Cannot overwrite a value"),
    instead("UTF-16", SCENARIO.encode("utf-16"), "this file is UTF-16 text", "Save the file as UTF-8"),
    wrong("a table twice", "[groups]", "§[run]\ndraws = 1\n\n[groups]", "[run] is declared twice at column"),
    wrong("a table in a table twice", "[groups]", "[a.'b c']\n§[a.'b c']\n\n[groups]", "[a.b c] is declared twice"),
    # the heading and [run]
    wrong("an unknown table", "[groups]", "§[gruops]", 'unknown key "gruops"', 'The nearest is "groups"'),
    wrong("another schema version", "schema_version = 1", "§schema_version = 2", "schema_version = 2; it must be 1"),
    wrong("a name that cannot name a folder", '"two-borders"', '§"Two Borders!"', "a-z, 0-9 and -", 'Write "two-borders"'),
    wrong("no name", 'name = "two-borders"\n', "", "scenario.toml:1: name: name is missing", "Add name"),
    wrong("no seed", "[run]\ndraws = 4096\nseed = 43", "§[run]\ndraws = 4096", "run.seed: seed is missing"),
    wrong("a negative seed", "seed = 43", "§seed = -1", "run.seed: seed = -1; it must be >= 0"),
    wrong("a seed beyond 64 bits", "seed = 43", "§seed = 18446744073709551616", "it must be <= 18446744073709551615"),
    wrong("true for a number", "draws = 4096", "§draws = true", "draws = true; it must be an integer"),
    wrong("a text for a number", "draws = 4096", '§draws = "4096"', 'draws = "4096"; it must be an integer', "without quotes"),
    wrong("draws with an exponent", "draws = 4096", "§draws = 1e6", "it must be an integer", "Write 1_000_000."),
    wrong("no draws", "draws = 4096", "§draws = 0", "draws = 0; it must be >= 1"),
    wrong("too many draws", "draws = 4096", "§draws = 10_000_000_000_001", "it must be <= 10,000,000,000,000"),
    wrong("more kept than drawn", "seed = 43", "seed = 43\n§keep_draws = 5000", "5,000 draws to keep of 4,096"),
    wrong("an unknown key", "draws = 4096", "§drawz = 4096", "unknown key drawz", 'The nearest is "draws"'),
    wrong("a table that is none", "[run]\ndraws = 4096\nseed = 43", "§run = 3", "run = 3 stands where a table is needed"),
    wrong("a control character", '"How much?"', '§"How \\u0007 much?"', "holds a control character"),
    # [evidence], [groups], [model]
    wrong("no evidence", 'tables = ["table.csv"]\n', "", "there is no row of evidence"),
    wrong("a path to the parent", '"table.csv"', '§"../table.csv"', 'evidence.tables[1]: "../table.csv" leads outside'),
    wrong("an absolute path", '"sources.toml"', '§"/etc/hostname"', "leads outside", "stays inside its folder"),
    WrongFiles(
        name="a link to the outside",
        files=VALID | {"table.csv": Link(target="/etc/hostname")},
        fragments=("scenario.toml:10: ", "leads outside"),
    ),
    without("no such table", "table.csv", 'scenario.toml:10: evidence.tables[1]: "table.csv": there is no such file. Check the path'),
    without("no such sources file", "sources.toml", 'scenario.toml:11: evidence.sources: "sources.toml": there is no such file'),
    wrong("a slip in a table", '["table.csv"]', '["tabel.csv"]', ':10: evidence.tables[1]: "tabel.csv": there', "nearest is 'table.csv'"),
    instead("a table in UTF-16", TABLE.encode("utf-16"), 'evidence.tables[1]: "table.csv": it is UTF-16 text', file="table.csv"),
    wrong("the same table twice", '["table.csv"]', '§["table.csv", "./table.csv"]', "is the same file as", "count twice"),
    wrong("a corridor without evidence", '["east", "west"]\n\n', '["east", §"wets"]\n\n', "wets"),
    wrong("a period without evidence", '"west"]\n\n', '"west"]\n§periods = ["FY2025"]\n\n', 'the period "FY2025"', "The nearest is"),
    wrong("a group that nests", "[groups]\n", '[groups]\n§both = ["all-borders"]\n', '"all-borders" is a group', "not nest"),
    wrong("a group named as a corridor", "[groups]\n", '[groups]\n§east = ["west"]\n', "bears the name of a corridor"),
    wrong("an empty group", "[groups]\n", "[groups]\n§none = []\n", "at least 1 entry"),
    wrong("a group with an unknown member", '= ["east", "west"]\n\n[model]', '= [§"eats"]\n\n[model]', 'unknown corridor "eats"', '"east"'),
    wrong(
        "a group whose member is not selected",
        'corridors = ["east", "west"]\n\n[groups]\n',
        'corridors = ["east", "west"]\nperiods = ["FY2024"]\n[[evidence.row]]\ncorridor = "sea"\nperiod = "FY2024"\nform = "powder"\n'
        'n_events = 1\namount = 1\nunit = "kg"\n\n[groups]\n§wide = ["sea"]\n',
        'corridor "sea" is not in use',
        "evidence.corridors leaves it out",
    ),
    wrong("a scale shared twice", '[["east", "west"]]', '[["east", "west"], [§"east"]]', "stands in list 1 too", "one load scale"),
    wrong("a scale of a group", '[["east", "west"]]', '[[§"all-borders"]]', "is a group", "east, west"),
    wrong("an unknown load law", "[model]\n", '[model]\n§load_law = "log-normal"\n', "lognormal"),
    wrong("infinity", "event_prior = 0.5", "§event_prior = inf", "only model.load_truncation may be inf"),
    wrong("a truncation at 0", "[model]\n", "[model]\n§load_truncation = 0\n", "load_truncation = 0; it must be > 0"),
    # [[parameter]]: a journalist's slips
    wrong(
        "a slip in a name", 'name = "detection_rate"', '§name = "detection_rte"', "is not a parameter", 'The nearest is "detection_rate"'
    ),
    wrong("a slip in a corridor", 'corridor = "east"', '§corridor = "eastt"', 'unknown corridor "eastt"', 'The nearest is "east"'),
    wrong("a slip in a period", _SECOND, _SECOND + '§period = "FY 2024"\n', 'unknown period "FY 2024"', 'The nearest is "FY2024"'),
    wrong("a blank after a word", 'basis = "published"', '§basis = "published "', 'basis = "published "', 'The nearest is "published"'),
    wrong("no source", 'basis = "elicited"\nsource = "cbp"', 'basis = "elicited"', "source is missing", "detection_rate[east]"),
    wrong("an unknown grade", 'grade = "D"', '§grade = "E"', 'grade = "E"; it must be "A" or "B" or "C" or "D" or "M"'),
    wrong("a word near none", 'basis = "published"', '§basis = "guess"', 'basis = "guess"; it must be "published"', "Write one of these."),
    wrong("one parameter table", "[[parameter]]", "[parameter]", "this is not TOML 1.0"),
    wrong("two blocks of one id", 'corridor = ["west"]', 'corridor = "east"', "parameter[2]: ", "is that of parameter[1] too"),
    wrong("varies_by without correlation", "correlation = 0.8\n", "", "parameter[1]: detection_rate[east]: correlation is missing"),
    wrong("correlation without varies_by", 'varies_by = ["period"]\n', "", "nothing to correlate"),
    wrong("varies_by an unknown dimension", 'varies_by = ["period"]', '§varies_by = ["year"]', '"corridor" or "period" or "form"'),
    wrong("a correlation above 1", "correlation = 0.8", "§correlation = 1.5", "correlation = 1.5; it must be <= 1"),
    wrong("a form it has not", 'name = "powder_purity"\n', 'name = "powder_purity"\n§form = "unrecorded"\n', "powder_purity has no form"),
    # distributions
    wrong("no distribution", f"distribution = {_EAST}\n", "", "distribution is missing"),
    wrong("an unknown kind", 'kind = "beta"', '§kind = "betta"', 'kind = "betta"', 'The nearest is "beta"'),
    wrong("no kind", 'kind = "beta", mean', "§mean", "kind is missing", "Add kind"),
    wrong("an unknown key of a law", "low = 0.3", "§lo = 0.3", "unknown key lo", 'The nearest is "low"'),
    wrong("an impossible sd", "sd = 0.05", "§sd = 0.5", "parameter[2].distribution", "sd = 0.5 is impossible for a beta with mean 0.12"),
    wrong("two parametrisations", "sd = 0.05", "§sd = 0.05, alpha = 2", "two parametrisations at once"),
    wrong("half a parametrisation", ", sd = 0.05", "", "parameter[2].distribution", "sd is missing"),
    wrong("an interval turned round", "[0.01, 0.20]", "§[0.20, 0.01]", "parameter[1].distribution", "interval"),
    wrong("an interval in percent", "[0.01, 0.20]", "§[3, 25]", "leaves the support of a beta", "3 % is 0.03: write [0.03, 0.25]"),
    wrong("a mean in percent", "mean = 0.12, sd", "§mean = 12, sd", "mean = 12", "12 % is 0.12"),
    wrong(
        "another law in percent",
        _EAST,
        '§{ kind = "lognormal", interval = [3, 25], probability = 0.9 }',
        "A fraction is 0..1: 8.66 % is 0.0866",
    ),
    wrong("a probability in percent", "probability = 0.90", "§probability = 90", "probability = 90; it must be < 1", "Write 0.9"),
    wrong("a probability with a sign", "probability = 0.90", '§probability = "90 %"', "it must be a number", "write 0.9"),
    wrong("a selector without quotes", _SECOND, _SECOND + "§period = 2023\n", "a label or a list of labels", 'Write "2023"'),
    wrong("selectors without quotes", _SECOND, _SECOND + "§period = [2023, 2024]\n", 'Write ["2023", "2024"]'),
    wrong("a period without quotes", '"west"]\n\n', '"west"]\n§periods = [2023]\n\n', "it must be a text", 'Write "2023"'),
    wrong("an interval of one", "[0.01, 0.20]", "§[0.01]", "interval = a list of 1; it must have at least 2 entries"),
    wrong("a unit that does not fit", '"105 mg"', '§"105 s"', "'105 s' is a time"),
    wrong("a unit where none fits", "distribution = 0.1136", '§distribution = "11.36 %"', "A fraction is 0..1: write 0.1136"),
    wrong("true for a law", "distribution = 0.1136", "§distribution = true", "true; it must be a number"),
    wrong("nan", "distribution = 0.1136", "§distribution = nan", "nan; a number must be finite"),
    wrong("a number out of range", "mean = 2.4", "§mean = 1e301", "1e+301; a number lies within ±1e+300"),
    wrong(
        "a purity above 1", "distribution = 0.1136", "§distribution = 11.36", "11.36 is outside the domain", "[0, 1]", "11.36 % is 0.1136"
    ),
    wrong("a detection rate of 0", _EAST, "§0", "0 is outside the domain", "detection_rate lies in (0, 1]"),
    wrong("a law beyond the domain", ", lower = 1.5", "§", "the law reaches from -inf", "Truncate it with lower = 0"),
    wrong("a step at 0", _EAST, '§{ kind = "empirical", values = [0, 0.1] }', "(0, 1]", "Give 0 no probability"),
    # [[correlation]] and blocks together
    wrong("neither value nor matrix", "value = 0.3\n", "", "neither value nor matrix is given"),
    wrong("t without df", "value = 0.3", 'value = 0.3\ncopula = "t"', "df is missing", "Add df = 4"),
    wrong("df without t", "value = 0.3", "value = 0.3\n§df = 4", "a gaussian copula has no df"),
    wrong("a matrix that is not square", "value = 0.3", "§matrix = [[1, 0.3]]", "a matrix of 1 rows for 2 names"),
    wrong("a matrix that is not symmetric", "value = 0.3", "§matrix = [[1, 0.3], [0.2, 1]]", "row 2 column 1 is 0.2"),
    wrong("a slip in a reference", '"detection_rate[west]"]', '§"detection_rate[wst]"]', "detection_rate[wst]", "detection_rate[west]"),
    wrong("an impossible correlation", "correlation = 0.8", "correlation = -1.0\n", "borders"),
    wrong(
        "two blocks equally specific",
        'corridor = "east"\n',
        'corridor = ["east", "west"]\nid = "detection_rate[east]"\n',
        "parameter[2]: ",
        '"detection_rate[east]" and "detection_rate[west]" both match west',
    ),
    wrong(
        "a required parameter missing",
        _SECOND,
        'corridor = ["west"]\nperiod = "FY2023"\nid = "detection_rate[west]"\n',
        "no detection_rate serves west, FY2024",
    ),
    wrong(
        "an unused parameter",
        "[[correlation]]",
        '§[[parameter]]\nname = "pill_share"\nform = "pill"\ndistribution = 0.5\nbasis = "elicited"\nsource = "cbp"\n\n[[correlation]]',
        "pill_share[pill]",
        "not used",
    ),
    # [[sweep]]
    *(
        wrong(name, "[groups]\n", f"[[sweep]]\n{lines}\n\n[groups]\n", *fragments)
        for name, lines, *fragments in (
            (
                "a sweep of nothing",
                'dim = "rho"\n§path = "correlation.border.value"\nvalues = [0]',
                "there is no path",
                '"correlation.borders.value"',
            ),
            ("a sweep of a label", 'dim = "q"\n§path = "question"\nvalues = ["a"]', '"question" cannot be swept', "with --set"),
            ("a sweep without values", 'dim = "rho"\npath = "correlation.borders.value"\n§values = []', "at least one value"),
            (
                "a sweep of one value",
                'dim = "rho"\npath = "correlation.borders.value"\n§values = 0.5',
                "at least one value",
                "values = [0.0, 0.5]",
            ),
            ("a sweep without a path", 'dim = "rho"\nvalues = [0]', "scenario.toml:14: ", "path is missing"),
            ("a value twice", 'dim = "rho"\npath = "correlation.borders.value"\nvalues = [0, 0.5, §0.0]', "0.0 stands in place 1 too"),
            ("a dimension of the layout", '§dim = "period"\npath = "run.seed"\nvalues = [1]', "the layout of results has a name like this"),
            ("a dimension that is no name", '§dim = "my rho"\npath = "run.seed"\nvalues = [1]', "a letter and up to 59", 'Write "my_rho"'),
            (
                "tables without labels",
                'dim = "law"\npath = "parameter.pill_share.distribution"\nvalues = [{ kind = "constant", value = 0.5 }]',
                "labels is missing",
                "Add labels",
            ),
            (
                "too few labels",
                'dim = "s"\npath = "run.seed"\nvalues = [1, 2]\n§labels = ["one"]',
                "1 labels for 2 values",
                "each value has one",
            ),
            ("a label twice", 'dim = "s"\npath = "run.seed"\nvalues = [1, 2]\n§labels = ["a", "a"]', "stands twice"),
            (
                "a value wrong in one case",
                'dim = "rho"\npath = "correlation.borders.value"\nvalues = [0, §2]',
                "rho = 2: value = 2; it must be <= 1",
            ),
            (
                "a value that contradicts in one case",
                'dim = "alike"\npath = "parameter.detection_rate[east].correlation"\nvalues = [0.5, -1.0]',
                "alike = -1.0: ",
                "borders",
            ),
            ("an infinite value", 'dim = "a"\npath = "model.event_prior"\nvalues = [0.5, §inf]', "only model.load_truncation may be inf"),
            ("an unknown key of a sweep", 'dim = "s"\npath = "run.seed"\nvalues = [1]\n§label = ["a"]', "unknown key label", '"labels"'),
        )
    ),
    wrong(
        "a dimension twice",
        "[groups]\n",
        '[[sweep]]\ndim = "s"\npath = "run.seed"\nvalues = [1]\n[[sweep]]\n§dim = "s"\npath = "run.draws"\nvalues = [1]\n[groups]\n',
        "is that of sweep[1] too",
    ),
    wrong(
        "an entry swept twice",
        "[groups]\n",
        '[[sweep]]\ndim = "m"\npath = "parameter.detection_rate[west].distribution.mean"\nvalues = [0.1]\n[[sweep]]\ndim = "law"\n'
        '§path = "parameter.detection_rate[west].distribution"\nvalues = [0.1]\n[groups]\n',
        "varies what sweep[1] varies",
    ),
    # contrasts and claims
    *(
        wrong(name, "[groups]\n", CONTRAST.replace(*change, 1) + "[groups]\n", *fragments)
        for name, change, *fragments in (
            ("an unknown quantity", ('{ quantity = "flow_pure_kg"', '{ §quantity = "flow_kg"'), "is not a quantity", '"flow_'),
            ("an unknown corridor of a result", ('corridor = "east"', 'corridor = "eats"'), 'ratio: unknown corridor "eats"', '"east"'),
            ("an unknown period of a result", ('"FY2024"', '"FY2042"'), 'unknown period "FY2042"', "contrast[1].numerator.period", '"FY20'),
            ("a form of evidence in a result", ('form = "all"', 'form = "unrecorded"'), 'must be "powder" or "pill" or "all"'),
            ("a result without a form", (', form = "all"', ""), "form is missing", "contrast[1].numerator.form"),
            ("a result with an unknown key", ("form =", "note = 1, form ="), "unknown key note", "quantity, corridor, period, form"),
            ("a result that is no table", ("numerator = {", 'numerator = "flow" #'), "numerator", "it must be a table"),
            (
                "a number of loads of one form",
                (
                    '"flow_pure_kg", corridor = "east", period = "FY2024", form = "all"',
                    '"n_missed", corridor = "east", period = "FY2024", form = "pill"',
                ),
                "ratio: n_missed of east in FY2024 does not exist for form pill",
                "contrast[1].numerator",
            ),
            ("a claim about an unknown contrast", ('contrast = "ratio"', '§contrast = "ration"'), 'unknown contrast "ration"', '"ratio"'),
            ("a claim without a threshold", ("above = 1.0", ""), "none of above, below and between is given", "Add above = 1.0"),
            ("a claim with two thresholds", ("above = 1.0", "above = 1.0\nbelow = 2"), "both above and below are given"),
            ("a claim between numbers out of order", ("above = 1.0", "§between = [2, 1]"), "between = [2, 1]", "Swap them"),
            ("a claim between one number", ("above = 1.0", "§between = [2]"), "between", "at least 2 entries"),
            ("a claim above no number", ("above = 1.0", '§above = "one"'), "above", "it must be a number"),
            ("a claim without a text", ('text = "More"\n', ""), "text is missing"),
        )
    ),
    wrong(
        "one contrast table",
        "[groups]\n",
        CONTRAST.replace("[[contrast]]", "§[contrast]") + "[groups]\n",
        "Write [[contrast]]",
        n_problems=2,
    ),
    # conditions
    *(
        wrong(name, "[groups]\n", CONDITION.replace(*change, 1) + "[groups]\n", *fragments)
        for name, change, *fragments in (
            (
                "a condition on an unknown quantity",
                ('{ quantity = "del', '{ §quantity = "deel'),
                "is not a quantity",
                '"delivered_pure_kg"',
            ),
            (
                "a condition on an unknown group",
                ('corridor = "all-borders"', 'corridor = "all-border"'),
                'unknown corridor "all-border"',
                '"all-borders"',
            ),
            (
                "a condition on a fraction in percent",
                (
                    '"delivered_pure_kg", corridor = "all-borders", period = "FY2024", form = "all" }\nsoft_upper = "10 t"',
                    '"interdiction_rate", corridor = "all-borders", period = "FY2024", form = "all" }\nsoft_upper = 30',
                ),
                "soft_upper = 30; interdiction_rate is a fraction, 0..1",
                "Write 0.3",
            ),
            ("a condition without a name", ('id = "bound"', 'id = ""'), "it must have at least 1 character. Add what is missing."),
            ("a condition on an unknown period", ('"FY2024"', '"FY2042"'), 'bound: unknown period "FY2042"', "condition[1].result.period"),
            ("a condition on a form of evidence", ('form = "all"', 'form = "unrecorded"'), 'must be "powder" or "pill" or "all"'),
            ("a condition without a bound", ('soft_upper = "10 t"\n', ""), "neither soft_upper nor soft_lower", 'Add soft_upper = "10 t"'),
            ("a bound in another unit", ('"10 t"', '§"10 km"'), "condition[1].soft_upper", "length", "it must be a mass"),
            ("a bound in tons", ('"10 t"', '§"10 ton"'), "condition[1].soft_upper", "Write t for a tonne"),
            ("a bound of nothing", ('"10 t"', "§0"), "soft_upper = 0", "a bound is a positive number"),
            ("bounds out of order", ("log_sd", '§soft_lower = "11 t"\nlog_sd'), 'soft_lower = "11 t" is not below', "Swap them"),
            ("a hard bound", ("log_sd = 0.35", "§log_sd = 0"), "log_sd = 0; it must be > 0"),
            ("a condition without a spread", ("log_sd = 0.35\n", ""), "log_sd is missing"),
            ("a condition with an unknown key", ("log_sd", "§soft_uper = 1\nlog_sd"), "unknown key soft_uper", '"soft_upper"'),
            (
                "a source that counts twice",
                ('source = "another survey"', '§source = "cbp"'),
                'source = "cbp" is that of parameter "',
                "it would count twice",
            ),
            (
                "a condition on a number of loads of one form",
                (
                    '"delivered_pure_kg", corridor = "all-borders", period = "FY2024", form = "all" }\nsoft_upper = "10 t"',
                    '"n_missed", corridor = "all-borders", period = "FY2024", form = "pill" }\nsoft_upper = 10',
                ),
                "bound: n_missed of all-borders in FY2024 does not exist for form pill",
                "condition[1].result",
            ),
        )
    ),
    wrong("one condition table", "[groups]\n", CONDITION.replace("[[condition]]", "§[condition]") + "[groups]\n", "Write [[condition]]"),
    *(
        wrong(name, "[groups]\n", CONTRAST + GROWTH.replace(*change, 1) + "[groups]\n", *fragments)
        for name, change, *fragments in (
            ("a growth of an unknown corridor", ('"all-borders"', '§"all-border"'), 'growth: unknown corridor "all-border"', "all-borders"),
            ("a growth over one period", (', "FY2024"]', "]"), "growth[1].periods", "at least 2 entries"),
            ("a growth from a period to itself", ('"FY2023", "FY2024"', '"FY2024", "FY2024"'), "stands twice", "growth[1].periods"),
            ("a growth to an unknown period", ('"FY2024"', '"FY2042"'), 'unknown period "FY2042"', "growth[1].periods[2]", '"FY20'),
            ("a growth with an unknown key", ("quoted", "§quotes"), "unknown key quotes", 'The nearest is "quoted"'),
            ("a growth of loads", ('quoted = "east"', '§quantity = "n_missed"'), 'must be "flow_pure_kg" or "flow_gross_kg"'),
            ("a growth named as a contrast", ('"growth"', '"ratio"'), 'the id "ratio" is that of a contrast too', "Rename one"),
            (
                "two growths that make one contrast",
                ("[[growth]]", '[[growth]]\nid = "growth.seized"\ncorridor = "all-borders"\nperiods = ["FY2023", "FY2024"]\n\n[[growth]]'),
                'growth.seized" is that of a contrast too',
            ),
            ("a growth from the later period", ('"FY2023", "FY2024"', '"FY2024", "FY2023"'), "FY2024 begins after FY2023", "Swap them"),
            ("a growth whose name is two lines", ('id = "growth"', 'id = "gro\\nwth"'), "holds a line break", "growth[1].id"),
            ("a group as quoted", ('"east"', '§"all-borders"'), 'growth: unknown corridor "all-borders"'),
        )
    ),
    wrong(
        "a growth over one period of an unknown corridor",
        "[groups]\n",
        GROWTH.replace("all-borders", "all-border").replace(', "FY2024"]', "]") + "[groups]\n",
        "at least 2 entries",
        'unknown corridor "all-border"',
        n_problems=2,
    ),
    wrong(
        "quoted figures of one period",
        "[groups]\n",
        GROWTH.replace('"FY2023", "FY2024"', '"FY2023", "CY2023"') + "[groups]\n",
        "growth",
        n_problems=None,
    ),
    wrong("one sweep table", "[groups]\n", '[sweep]\ndim = "s"\n[groups]\n', "Write [[sweep]]"),
    # evidence tables
    instead("an empty table", "", "is empty", file="table.csv"),
    instead("a table without rows", TABLE.splitlines()[0] + "\n", "no rows", file="table.csv"),
    wrong("a column missing", ",unit,", ",units,", "table.csv:1: ", "unknown column 'units'", "nearest is unit", file="table.csv"),
    wrong("an unknown unit", "30.5,lb", "§30.5,lbs", "unit: ", "lb", file="table.csv"),
    wrong("a text for an amount", "30.5,lb", "§about 30,lb", "amount", "is not a number", file="table.csv"),
    wrong("half an event", ",12,", "§,12.5,", "n_events", "is not a whole number", file="table.csv"),
    wrong("a negative amount", "30.5,lb", "§-30.5,lb", "out of range", "Check the sign", file="table.csv"),
    wrong("an amount without events", ",12,", "§,0,", "n_events = 0 needs amount = 0", file="table.csv"),
    wrong("events without an amount", "12,30.5", "§12,0", "12 events with a total amount of 0", file="table.csv"),
    wrong("a form of results", "unrecorded,12", "§all,12", "is a form of results", file="table.csv"),
    wrong("rounding above the amount", "21,lb,0.5", "§21,lb,22", "it must be at most amount", file="table.csv"),
    wrong("a field too many", "30.5,lb,,cbp,", "§30.5,lb,,cbp,one, two", "10 fields", "double quotes", file="table.csv"),
    # evidence rows and sources inside TOML
    wrong(
        "a row with a text for a count",
        '"west"]\n\n',
        '"west"]\n[[evidence.row]]\ncorridor = "east"\nperiod = "FY2024"\nform = "powder"\n§n_events = "3"\namount = 1\nunit = "kg"\n\n',
        'n_events = "3"; it must be an integer',
    ),
    wrong(
        "a row with an unknown key",
        '"west"]\n\n',
        '"west"]\n[[evidence.row]]\ncorridor = "east"\nperiod = "FY2024"\nform = "powder"\n§events = 3\namount = 1\nunit = "kg"\n\n',
        "unknown key events",
        'The nearest is "n_events"',
    ),
    *(
        wrong(
            name,
            '"west"]\n\n',
            f'"west"]\n[[evidence.row]]\ncorridor = "east"\nperiod = "FY2024"\nn_events = 3\namount = 1\n{lines}\n\n',
            *fragments,
        )
        for name, lines, *fragments in (
            ("a row of a form of results", '§form = "all"\nunit = "kg"', "is a form of results: write unrecorded"),
            ("a row without a form", 'unit = "kg"', "form is missing", "Add form"),
            ("a row in tons", 'form = "powder"\n§unit = "ton"', "Write t for a tonne of 1000 kg"),
            ("a row in gallons", 'form = "powder"\n§unit = "gallon"', "Write the unit of amount"),
        )
    ),
    wrong("a source without a title", "[cbp]\ntitle", "§[cbp]\nnote", "cbp.title: title is missing", file="sources.toml"),
    wrong(
        "a source with an unknown key", "date = 2025", "§dated = 2025", "unknown key dated", 'The nearest is "date"', file="sources.toml"
    ),
)
