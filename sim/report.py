"""A result as one HTML file that needs nothing else: no script, nothing from a network, every text of a user escaped."""

from __future__ import annotations

import base64
import html
import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from . import plots, printed
from .errors import SimError

if TYPE_CHECKING:
    import xarray as xr

SUFFIXES = (".html", ".htm")
MOST_ROWS = 1_000  # of a table; MOST_SENTENCES of those that stand for the answer
MOST_SENTENCES = 24
MOST_CELLS = 30_000  # whose quantiles are written out: a case of the shipped scenario has 150 for each quantity
_AT = (0.05, 0.25, 0.5, 0.75, 0.95)
_SHORT = 24  # characters of a label that stays on one line; what is longer in a cell of text is given room

_STYLE = """
:root { color-scheme: light dark; }
body { font: 1rem/1.5 system-ui, sans-serif; max-width: 78rem; margin: 0 auto; padding: 1rem; }
p, li, dl, img { max-width: min(62rem, 100%); }
h1 { font-size: 1.6rem; line-height: 1.25; } h2 { margin-top: 2.2rem; border-bottom: 1px solid; }
figure { margin: 1rem 0; } img { height: auto; background: #fff; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-size: .9rem; margin: .8rem 0; }
caption { text-align: left; font-weight: bold; padding: .3rem 0; }
th, td { padding: .15rem .6rem; text-align: left; vertical-align: top; border-bottom: 1px solid #8886; }
tbody th { font-weight: normal; } .unbroken { white-space: nowrap; } .prose { min-width: 11rem; }
td.number, th.number { text-align: right; white-space: nowrap; font-variant-numeric: tabular-nums; }
pre { white-space: pre-wrap; overflow-wrap: anywhere; font-size: .8rem; } dt { font-weight: bold; } dd { overflow-wrap: anywhere; }
.lines { white-space: pre-wrap; } footer { margin-top: 2rem; font-size: .9rem; }
@media print { body { max-width: none; font-size: 10pt; } thead { display: table-header-group; } tr, figure, li { break-inside: avoid; }
  img { max-height: 21cm; } h2, caption { break-after: avoid; } .wide { overflow: visible; }
  table { font-size: 8pt; } th, td { padding: .1rem .4rem; } .prose { min-width: 8rem; } }
"""


# ------------------------------------------------------------------------------------------------------------------ markup


class Markup(str):
    """HTML that is safe as it stands; any other text is escaped where it enters an element."""

    __slots__ = ()


def tag(name: str, /, *inside: str, **attributes: str) -> Markup:
    """Return an element; what is inside is escaped unless it is Markup. A trailing underscore of an attribute's name is dropped.

    >>> tag("td", "a < b & c", class_="number")
    '<td class="number">a &lt; b &amp; c</td>'
    """
    said = "".join(f' {key.rstrip("_").replace("_", "-")}="{html.escape(text)}"' for key, text in attributes.items())
    if name in ("meta", "img"):
        return Markup(f"<{name}{said}>")
    return Markup(f"<{name}{said}>{''.join(_escaped(each) for each in inside)}</{name}>")


def _escaped(text: str) -> str:
    """Return text as HTML, the same text, in which a number stays with its unit and a name may break before what it covers, and within.

    >>> _escaped("x[FY2021,FY2022]: 5 % < 3")
    'x<wbr>[FY2021,<wbr>FY2022]: <span class="unbroken">5 %</span> &lt; 3'
    """
    if isinstance(text, Markup):
        return text
    kept = re.sub(r"\d (?:%|kg\b)", r'<span class="unbroken">\g<0></span>', html.escape(text))
    return re.sub(r"(?<=\w)(?=\[)|(?<=,)(?=\w)(?!\d{3})", "<wbr>", kept)


def _heading(text: str) -> str:
    """Return the heading of a column on one line.

    >>> _heading("inter-\\ndicted, %"), _heading("flow\\npure, kg")
    ('interdicted, %', 'flow pure, kg')
    """
    return re.sub(r"-\n", "", text).replace("\n", " ")


def _table(caption: str, header: Sequence[str], rows: Sequence[Sequence[str]], n_labels: int, numbers: bool = True) -> Markup:
    """Return a table; the first `n_labels` cells of a row are its heading, the others are set right where they are numbers."""
    kind = {"class_": "number"} if numbers else {}
    top = [tag("th", _heading(text), scope="col", **(kind if k >= n_labels else {})) for k, text in enumerate(header)]
    body = [
        tag(
            "tr",
            *(
                tag("th", text, scope="row", **_room(text)) if k < n_labels else tag("td", text, **kind or _room(text))
                for k, text in enumerate(row)
            ),
        )
        for row in rows
    ]
    whole = tag("table", tag("caption", caption), tag("thead", tag("tr", *top)), tag("tbody", *(Markup(f"\n{row}") for row in body)))
    return tag("div", whole, class_="wide", tabindex="0", role="region", aria_label=caption)


def _room(text: str) -> dict[str, str]:
    """Return the class of a cell of text: else a table squeezes prose to a word a line before it scrolls, and breaks names at hyphens."""
    return {"class_": "unbroken" if len(text) <= _SHORT else "prose"}


def _list(texts: Iterable[str]) -> Markup:
    return tag("ul", *(tag("li", text) for text in texts))


def _section(title: str, *parts: str) -> list[Markup]:
    """Return a section under a heading, or nothing where it has no content."""
    inside = [Markup(part) if isinstance(part, Markup) else tag("p", part) for part in parts if part]
    return [tag("section", tag("h2", title), *inside)] if inside else []


def _parts(parts: Sequence[printed.Part], caption: str) -> list[Markup]:
    """Return the tables and paragraphs of a section of `printed`."""
    found = []
    for part in parts:
        if isinstance(part, printed.Table):
            found.append(_table(caption, part.header, part.rows, part.n_labels))
        else:
            found.append(tag("p", part, **({"class_": "lines"} if "\n" in part else {})))
    return found


# ------------------------------------------------------------------------------------------------------------------ what is said


def _error(mcse: float) -> str:
    """Write a Monte Carlo standard error, of which one digit counts."""
    return "unknown" if not np.isfinite(mcse) else printed.format_number(mcse, 0.1 * mcse)


def sentences(tree: xr.DataTree) -> list[str]:
    """Return the answer in sentences to quote: claims, contrasts, and the flow of each group and of each corridor that is in none.

    Where there are conditions, the same under these beneath.
    """
    said = [str(part) for part in printed.claims(tree, MOST_SENTENCES)]
    for group in _given(tree):
        said += [*(_of_claims(tree) if group else []), *_of_contrasts(tree, group), *_of_flows(tree, group)]
    return [text.replace("\n", " ") for text in said]


def _given(tree: xr.DataTree) -> list[str]:
    return ["", "conditioned/"] if "conditioned" in tree.children else [""]


def _of_claims(tree: xr.DataTree) -> list[str]:
    """Return the claims under the conditions."""
    if "claims" not in tree.children:
        return []
    told = zip(printed.cases(tree, "claims", "claim"), printed.claimed(tree), printed.probabilities(tree, "conditioned/"), strict=True)
    rows = [
        (*labels, f'{name}: "{text.rstrip(".")}" {"is" if each.p == each.p else "has"} {each.word}: {each.digits}.')
        for (*labels, name), text, each in told
    ]
    return _in_cases(tree, rows, "claims", "conditioned/")


def _of_contrasts(tree: xr.DataTree, group: str) -> list[str]:
    if "contrasts" not in tree.children:
        return []
    found = tree[f"{group}contrasts"].to_dataset()
    sides = printed.sides(tree)
    errors = found["ratio_mcse"].sel(quantile=0.5).to_numpy().ravel().tolist()
    texts = printed.intervals(found["ratio"], found["ratio_mcse"], printed.PROB)
    rows = []
    for (*labels, name), text, error in zip(printed.cases(tree, f"{group}contrasts", "contrast"), texts, errors, strict=True):
        what = f"{name} ({sides[name]})" if name in sides else name
        if text[0] == printed.ABSENT:
            rows.append((*labels, f"{what}: {'no answer' if group else '0/0 in every draw'}."))
        else:
            rows.append((*labels, f"{what}: a median ratio of {text[0]} ({_margin(text[1], error)})."))
    return _in_cases(tree, rows, "contrasts", group)


def _quoted(tree: xr.DataTree) -> str:
    """Return what belongs to every sentence that is quoted."""
    basis = tree["parameters"].to_dataset()["basis"].to_series()
    judged = ", of which some are judged, not measured" if (basis == "elicited").any() else ""
    return f"Quote a number with its interval and the run, {tree.attrs['run_id']}. All of this holds if the inputs' laws do{judged}."


def _margin(interval: str, mcse: float, unit: str = "") -> str:
    error = f"computing alone, its Monte Carlo standard error, moves the median by {_error(mcse)}{unit}"
    return f"{100 * printed.PROB:g} % credible interval {interval}{unit}; {error}"


def _of_flows(tree: xr.DataTree, group: str) -> list[str]:
    given = printed.subtree(tree, group)
    quantities = ("flow_pure_kg", "seized_pure_kg", "interdiction_rate")
    flow, seized, rate = (printed.cells(given, quantity, "all", printed.PROB) for quantity in quantities)
    errors = given["mcse"].to_dataset()["flow_pure_kg"].sel(form="all", quantile=0.5).to_numpy().ravel().tolist()
    inside = printed.members(tree)
    rows = []
    for k, (*labels, corridor, period) in enumerate(printed.places(tree)):
        if flow[k][0] == printed.ABSENT or corridor in inside:
            continue
        told = f"{corridor}, {period}: a median flow of {flow[k][0]} kg of pure drug ({_margin(flow[k][1], errors[k], ' kg')}). "
        told += f"Seized: {seized[k][0]} kg ({seized[k][1]} kg)."
        share = "" if rate[k][0] == printed.ABSENT else f" Interdiction rate, with a median of its own: {rate[k][0]} % ({rate[k][1]} %)."
        rows.append((*labels, told + share))
    return _in_cases(tree, rows, "flows", group)


def _in_cases(tree: xr.DataTree, rows: Sequence[tuple[str, ...]], what: str, group: str) -> list[str]:
    """Return sentences with the case that each is of; those that read the same in every case stand once, and at most MOST_SENTENCES."""
    swept = printed.sweeps_of(tree)
    said = []
    for *labels, text in printed.alike(tree, rows):
        at = ", ".join(f"{sweep} = {label}" for sweep, label in zip(swept, labels, strict=True) if label != printed.ALL)
        said.append(": ".join(filter(None, ("Given the conditions" if group else "", at, text))))
    if len(said) > MOST_SENTENCES:
        said[MOST_SENTENCES:] = [f"These are the first {MOST_SENTENCES} of {len(said):,} {what}; the tables have the others."]
    return said


def _claims(tree: xr.DataTree) -> list[Markup]:
    """Return the numbers of the claims, before and after conditions."""
    if "claims" not in tree.children:
        return []
    found = []
    for path, caption in (("claims", "Claims in numbers"), ("conditioned/claims", "Claims under the conditions")):
        parent = path.rpartition("/")[0]
        if parent and (parent not in tree.children or "claims" not in tree[parent].children):
            continue
        rows = []
        for place, each in zip(printed.cases(tree, path, "claim"), printed.probabilities(tree, path.removesuffix("claims")), strict=True):
            if each.p != each.p:
                rows.append((*place, *[printed.ABSENT] * 5))
                continue
            bounds = [printed.bound_in_percent(bound, up=up) for bound, up in ((each.lower, False), (each.upper, True))]
            rows.append((*place, each.word, each.digits.replace("probability ", ""), _error(100.0 * each.mcse), *bounds))
        bounds_of = ("standard error, points", "lower bound, %", "upper bound, %")
        header = [*printed.sweeps_of(tree), "claim", "in a word", "probability", *bounds_of]
        rows = printed.alike(tree, rows)
        found += [_table(caption, header, rows[:MOST_ROWS], len(printed.sweeps_of(tree)) + 1), *_more(rows, MOST_ROWS)]
    return found


def _more(rows: Sequence[Any], most: int) -> list[Markup]:
    return [tag("p", f"The first {most:,} of {len(rows):,} rows; the others are in the result.")] if len(rows) > most else []


def _quantiles(tree: xr.DataTree) -> list[Markup]:
    """Return a table of quantiles by corridor, period and form for each quantity, folded away."""
    swept = printed.sweeps_of(tree)
    found = []
    for name, variable in tree["quantiles"].to_dataset().data_vars.items():
        quantity = str(name)
        scale, unit = printed.scale_of(quantity), printed.unit_of(quantity, str(variable.attrs["units"]))
        order = (*swept, "corridor", "period", "form", "quantile")
        chosen = [tree[group].to_dataset()[quantity].sel(quantile=list(_AT)).transpose(*order) for group in ("quantiles", "mcse")]
        places = printed.places(tree)
        forms = [str(form) for form in variable["form"].to_series()]
        arrays = [scale * np.asarray(each.to_numpy(), dtype=float).reshape(len(places), len(forms), len(_AT)) for each in chosen]
        per_case = max(arrays[0][..., 0].size // max(len({place[: len(swept)] for place in places}), 1), 1)
        n_cases = max(MOST_CELLS // per_case, 1)
        rows = []
        for place, values, errors in list(zip(places, *arrays, strict=True))[: n_cases * per_case // len(forms)]:
            for form, five, of_five in zip(forms, values, errors, strict=True):
                if not np.isnan(five[2]):
                    numbers = [printed.format_number(*pair) for pair in zip(five.tolist(), of_five.tolist(), strict=True)]
                    rows.append((*place, form, *numbers, _error(of_five[2])))
        if not rows:
            continue
        told = printed.alike(tree, rows)
        header = (*swept, "corridor", "period", "form", *(f"{100 * p:g} %" for p in _AT), "standard error of the median")
        title = f"{quantity}: {variable.attrs['long_name']}"
        table = _table(f"Quantiles of {quantity}" + (f", {unit}" if unit != "1" else ""), header, told[:MOST_ROWS], len(swept) + 3)
        cut = len(places) * len(forms) > n_cases * per_case
        more = [tag("p", "Only the first cases are written out; the others are in the result.")] if cut else []
        found.append(tag("details", tag("summary", title), table, *_more(told, MOST_ROWS), *more))
    return found


def _inputs(tree: xr.DataTree) -> list[Markup]:
    """Return the inputs: what each block covers, its median and interval in each case, and where it is from."""
    document = tomllib.loads(str(tree.attrs["scenario"]))
    group = tree["parameters"].to_dataset()
    swept = printed.sweeps_of(tree)
    ids = [str(name) for name in group["parameter"].to_series()]
    units = dict(zip(ids, map(str, group["unit"].to_series()), strict=True))
    first = {name.partition("@")[0]: name for name in reversed(ids)}  # draws of a block have one law
    array = group["value"].sel(quantile=[0.05, 0.5, 0.95]).transpose(*swept, "parameter", "quantile")
    value = np.asarray(array.to_numpy(), dtype=float).reshape(-1, len(ids), 3)
    labels = printed.cases(tree, "parameters", "parameter")
    rows = []
    for number in range(len(value)):
        for block in document["parameter"]:
            if block["id"] not in first:
                continue
            k = ids.index(first[block["id"]])
            low, median, high = (f"{x:.4g}" if x == x else printed.ABSENT for x in value[number, k])
            varies = f"; one draw for each {' and '.join(block['varies_by'])}" if block.get("varies_by") else ""
            covers = "; ".join(f"{key} {', '.join(block[key])}" for key in ("corridor", "period", "form") if key in block) or "everywhere"
            about = (units[ids[k]], covers + varies, str(block["basis"]), str(block.get("grade", "")), str(block["source"]))
            what = (*labels[number * len(ids)][:-1], str(block["id"]))
            interval = printed.ABSENT if low == high == printed.ABSENT else f"{low} to {high}"  # a case that does without this input
            rows.append((*what, median, interval, *about, str(block.get("note", ""))))
    rows = printed.alike(tree, rows)
    header = (*swept, "input", "median", "90 % interval", "unit", "covers", "basis", "grade", "source", "note")
    return [_table("Inputs, by their own laws", header, rows[:MOST_ROWS], len(swept) + 1, numbers=False), *_more(rows, MOST_ROWS)]


def _evidence(tree: xr.DataTree) -> list[Markup]:
    evidence = tomllib.loads(str(tree.attrs["scenario"]))["evidence"]
    keys = ["corridor", "period", "form", "n_events", "amount", "unit", "rounding", "n_min", "n_max", "source", "note"]
    used = [key for key in keys if any(key in row for row in evidence["row"])]
    rows = [[_cell(row.get(key, "")) for key in used] for row in evidence["row"]]
    return [_table("Rows of evidence, as they enter", used, rows[:MOST_ROWS], 3, numbers=False), *_more(rows, MOST_ROWS)]


def _cell(entry: object) -> str:
    return f"{entry:,.6g}" if isinstance(entry, float) else f"{entry:,}" if isinstance(entry, int) else str(entry)


def _sources(tree: xr.DataTree) -> list[Markup]:
    """Return the sources by key; an address is a link only where it is one of the web."""
    sources: Mapping[str, Any] = tomllib.loads(str(tree.attrs["scenario"]))["evidence"].get("sources", {})
    entries: list[Markup] = []
    for key, source in sources.items():
        parts: list[str] = []
        for name, text in source.items():
            url = str(text)
            link = tag("a", url, href=url, rel="noreferrer") if name == "url" and re.match(r"https?://", url) else url
            parts += [" · "] * bool(parts) + [link]
        entries += [tag("dt", key), tag("dd", *parts)]
    return [tag("dl", *entries)] if entries else []


def _diagnostics(tree: xr.DataTree) -> list[Markup]:
    """Return what the run says about itself, in words."""
    about = tree.attrs
    texts = [str(text) for text in printed.caveats(tree)]
    if about.get("tolerance_met") == "yes":
        texts.append(f"The tolerance asked, {about['tolerance']:g}, was met; {about['tolerance_reached']:.2g} was reached.")
    if "conditioned" in tree.children:
        after: Any = tree["conditioned"].to_dataset()
        k = [float(x) for x in after["pareto_k"].to_numpy().ravel() if x == x]
        ess = [float(x) for x in after["ess"].to_numpy().ravel() if x == x]
        if k:
            worst = "minus infinity, the greatest weights are all alike" if max(k) == -np.inf else f"{max(k):.2f}"
            worth = f"Under the conditions the draws are worth at least {min(ess):,.0f} (effective sample size)"
            limit = "conditions are refused above 0.7, or less where draws are few, because weights carry no answer there"
            texts.append(f"{worth}, and Pareto k of their weights is at most {worst}; {limit}.")
    if "draws_used" in tree["diagnostics"].data_vars:
        used = tree["diagnostics"]["draws_used"].to_numpy()
        texts.append(f"Cases were drawn {int(used.min()):,} to {int(used.max()):,} times each.")
    return [_list(texts)]


_HOW_TO_READ = (
    "Flow is what was seized and what was missed together, in every draw. Pure is the drug itself in it; gross is the mixture as weighed.",
    "A number by itself is a median: if the inputs' laws are right, the truth is as likely above as below.",
    "A 90 % credible interval holds the truth with probability 0.9 if the inputs' laws are right, and misses it as often on each side.",
    "A number carries no more digits than its Monte Carlo standard error allows: another seed would move its last digit by one or two.",
    f"{printed.DROWNED} is a number nearer to 0 than its Monte Carlo standard error.",
    "The interdiction rate is seized pure mass over flow of pure mass. It is not the chance that a load is detected, which is an input.",
    f"Words for probabilities: {', '.join(f'up to {100 * most:.0f} % {word}' for most, word in printed.LIKELIHOODS)}.",
    "A dash, or a line without a mark in the picture, is a place without evidence. It is not zero.",
    "Intervals of sums and ratios are those of sums and ratios made in every draw: do not add or divide the ends of others.",
)


# ------------------------------------------------------------------------------------------------------------------ the page


def page(tree: xr.DataTree) -> tuple[str, list[str]]:
    """Return a result as an HTML page, and what is to be said of it, such as that it has no picture.

    Raises ResultError where `tree` is not the result of a scenario.
    """
    printed.check(tree)
    about = tree.attrs
    picture, notes = _picture(tree)
    told = printed.sections(tree, printed.PROB, MOST_ROWS)
    swept = [f"{sweep} ({tree['quantiles'][sweep].attrs['long_name']})" for sweep in printed.sweeps_of(tree)]
    cases = f" In {int(about['cases']):,} cases, over {', '.join(swept)}." if swept else ""
    refused = [str(text) for text in told["refused"]]
    body = [
        tag("h1", str(about["title"])),
        tag("p", f"Run {about['run_id']} of the scenario {about['name']}, {int(about['draws']):,} draws, {about['created_at']}.{cases}"),
        *_section("The answer", _list(sentences(tree)), *refused, tag("p", _quoted(tree))),
        *_section("The picture", *picture),
        *_section("How to read it", _list(_HOW_TO_READ)),
        *_section("What crossed, against what was seized", *_parts(told["flow"], "Seized and flow, by corridor and period")),
        *_section("Precursors", *_parts(told["precursors"], "What seized precursors could have made, part of no seizure and no flow")),
        *_section("Contrasts", *_parts(told["contrasts"], "Ratios of two results, in every draw")),
        *_section("Growth", *_parts(told["growth"], "Growth")),
        *_section("Claims", *([_list(map(str, told["claims"]))] if len(told["claims"]) > MOST_SENTENCES else []), *_claims(tree)),
        *_section("Conditions", *refused, *_parts(told["conditions"], "Before and under the conditions")),
        *_section("What the answers hang on", *([_list(map(str, told["sensitivity"]))] if told["sensitivity"] else [])),
        *_section("What to know before believing it", *_diagnostics(tree)),
        *_section("Quantiles of every quantity", *_quantiles(tree)),
        *_section("Inputs", *_inputs(tree)),
        *_section("Evidence", *_evidence(tree)),
        *_section("Sources", *_sources(tree)),
        *_section("Where it comes from", *_provenance(tree)),
    ]
    head = [
        tag("meta", charset="utf-8"),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        Markup("<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; img-src data:; style-src 'unsafe-inline'\">"),
        tag("title", Markup(html.escape(f"{about['name']} {about['run_id']}: {about['title']}"))),  # a browser reads no elements here
        tag("style", Markup(_STYLE)),
    ]
    parts = [tag("head", *(Markup(f"\n{each}") for each in head)), tag("body", tag("main", *(Markup(f"\n{each}") for each in body)))]
    return f"<!DOCTYPE html>\n{tag('html', *parts, lang='en')}\n", notes


def _picture(tree: xr.DataTree) -> tuple[list[Markup], list[str]]:
    """Return the picture, or a sentence where matplotlib is missing: the page has every number without it."""
    try:
        drawn, notes = plots.encoded(tree, ".png")
    except SimError as error:
        said = f"The report has no picture: {error.problems[0].came}. {error.problems[0].advice}."
        return [tag("p", said)], [said]
    source = f"data:image/png;base64,{base64.b64encode(drawn).decode('ascii')}"
    image = tag("img", src=source, alt=plots.alt_text(tree))
    caption = "Medians with 50 % (thick) and 90 % (thin) credible intervals. Each number drawn is in the tables below."
    return [tag("figure", image, tag("figcaption", caption))], notes


def _provenance(tree: xr.DataTree) -> list[Markup]:
    about = tree.attrs
    entries = {
        "run": about["run_id"],
        "scenario": about["name"],
        "created": about["created_at"],
        "draws": f"{int(about['draws']):,} ({int(about['draws_asked']):,} asked), {about['sampler']}, replicates: {about['replicates']}",
        "seed": str(int(about["seed"])),
        "digest of the numbers": about["numbers_digest"],
        "version": f"{about['creation_library']} {about['creation_library_version']}, method {about['method_version']}, layout "
        f"{about['layout_version']}",
        "libraries": ", ".join(f"{name} {about[f'{name}_version']}" for name in ("python", "numpy", "scipy", "numba", "xarray")),
        "processor": about["cpu"],
    }
    told = tag("dl", *(each for key, text in entries.items() for each in (tag("dt", key), tag("dd", str(text)))))
    again = "The scenario beneath is whole: saved to a file and run with the same version, it gives the same run and the same numbers."
    scenario = tag("details", tag("summary", "The scenario"), tag("pre", str(about["scenario"])))
    return [told, tag("p", again), scenario]
