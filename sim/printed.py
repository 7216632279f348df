"""A result as text: tables and sentences that carry no more than its numbers do. Nothing here reads or writes a file."""

from __future__ import annotations

import contextlib
import itertools
import json
import math
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from typing import TYPE_CHECKING, Any, NamedTuple

from .errors import Problem, ResultError

if TYPE_CHECKING:
    import xarray as xr

ABSENT = "–"
ALL = "all"  # cases of the sweeps, where a row reads the same in each
MOST_ROWS = 60  # of a printed table of cases
MOST_LEFT_OUT = 0.05  # of the draws, by themselves contradictory, before they are said to move results
MOST_TAUGHT = 8  # inputs that a condition moved
PROB = 0.9  # of the intervals, where none is asked for
_GROUP = " (group)"  # after its name
DROWNED = "~0"  # a number that its Monte Carlo error drowns
MOST_DIGITS = 4  # significant ones; what is known better is in the file


# ------------------------------------------------------------------------------------------------------------------ numbers


def format_number(number: float, mcse: float) -> str:
    """Write a number with no more digits than its Monte Carlo standard error carries.

    The last digit shown stands for at least one standard error, so that another seed moves it by one or two; and no more than
    four significant digits are shown however small the error. With an error of 0 (a number that is the same in every draw) all
    whole digits are shown besides; an error that is not known leaves one digit. A number that its error drowns is "~0", one that
    does not exist is a dash.

    >>> format_number(1234.567, 3.0), format_number(0.0123456, 0.0002), format_number(19.5, 0.0), format_number(3.0, 20.0)
    ('1,230', '0.012', '19.50', '~0')
    """
    if math.isnan(number):
        return ABSENT
    if math.isinf(number):
        return "inf" if number > 0 else "-inf"
    if number == 0.0:
        return "0"
    exact = Decimal(repr(float(number)))
    error = Decimal(repr(float(mcse))) if math.isfinite(mcse) else None
    place = exact.adjusted() - (MOST_DIGITS if error is not None else 1) + 1
    if error == 0:
        place = min(place, 0)
    elif error is not None:
        place = max(place, error.adjusted() + (error != Decimal(1).scaleb(error.adjusted())))
    whole = round(exact.scaleb(-place))
    if error != 0 and abs(whole) >= 10 ** (MOST_DIGITS if error is not None else 1):  # 9999.96 has become 10000: one digit too many
        place, whole = place + 1, round(exact.scaleb(-place - 1))
    if whole == 0:
        return DROWNED
    shown = Decimal(whole).scaleb(place)
    if shown.adjusted() >= 15 or shown.adjusted() < -6:
        return f"{shown:.{len(str(abs(whole))) - 1}e}"
    return f"{shown:,.{max(-place, 0)}f}"


# ------------------------------------------------------------------------------------------------------------------ tables


def is_terminal(stream: Any) -> bool:
    with contextlib.suppress(AttributeError, ValueError):
        return bool(stream.isatty())
    return False


def render(header: Sequence[str], rows: Sequence[Sequence[str]], *, numbers: Sequence[int] = (), terminal: bool) -> str:
    """Return a table as text, never folded: a number cut in two is worse than a line that the terminal wraps. `numbers` are set right."""
    import io

    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, show_header=any(header), padding=(0, 1, 0, 0))
    for index, name in enumerate(header):
        table.add_column(name, justify="right" if index in numbers else "left", no_wrap=True, vertical="bottom")
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))  # labels are text, whatever brackets they hold
    written = io.StringIO()
    Console(file=written, force_terminal=terminal, width=10_000, highlight=False).print(table)
    return "\n".join(line.rstrip() for line in written.getvalue().splitlines() if line.strip())


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A table of texts, however it is shown. The first `n_labels` columns name a row, the others are numbers.

    A heading may have several lines; a word that is parted between two ends in a hyphen.
    """

    header: Sequence[str]
    rows: Sequence[tuple[str, ...]]
    n_labels: int


def scale_of(quantity: str) -> float:
    """Return what a quantity is multiplied by in print, and in print alone: fractions are shown in percent."""
    from .records import FRACTIONS

    return 100.0 if quantity in FRACTIONS else 1.0


def unit_of(quantity: str, units: str) -> str:
    """Return the unit that a quantity of these `units` has in print."""
    return "%" if scale_of(quantity) == 100.0 else units


Part = Table | str  # of a section: a table or a paragraph; a paragraph may have several lines


def cells(tree: xr.DataTree, quantity: str, form: str, prob: float) -> list[tuple[str, str]]:
    """Return (median, interval) as text for every case, corridor and period, in their order; fractions in percent."""
    chosen, errors = (tree[group].to_dataset()[quantity].sel(form=form) for group in ("quantiles", "mcse"))
    return intervals(chosen, errors, prob, scale_of(quantity))


def intervals(quantiles: xr.DataArray, errors: xr.DataArray, prob: float, scale: float = 1.0) -> list[tuple[str, str]]:
    """Return (median, interval) as text along the dimensions before `quantile`, in their order; `errors` are the MCSE of the quantiles."""
    from .results import credible_interval

    middle = [scale * each.sel(quantile=0.5).to_numpy().ravel() for each in (quantiles, errors)]
    bounds = [scale * credible_interval(each, prob=prob).to_numpy().reshape(-1, 2) for each in (quantiles, errors)]
    texts = []
    for median, error, interval, mcse in zip(*middle, *bounds, strict=True):
        lower, upper = (format_number(*pair) for pair in zip(interval, mcse, strict=True))
        texts.append((format_number(median, error), ABSENT if lower == upper == ABSENT else f"{lower} to {upper}"))
    return texts


def sweeps_of(tree: xr.DataTree) -> list[str]:
    """Return the dimensions of sweeps: those before the corridors."""
    dimensions = [str(dimension) for dimension in tree["quantiles"].to_dataset()["flow_pure_kg"].dims]
    return dimensions[: dimensions.index("corridor")]


def places(tree: xr.DataTree) -> list[tuple[str, ...]]:
    """Return (labels of sweeps, corridor, period) of every row of a table, in the order of `cells`; groups are marked."""
    labels = tree["quantiles"].coords
    marked = zip(labels["corridor"].to_series(), labels["is_group"].to_series(), strict=True)
    corridors = [f"{corridor}{_GROUP}" if is_group else str(corridor) for corridor, is_group in marked]
    swept = [[label_of(label) for label in labels[dimension].to_series()] for dimension in sweeps_of(tree)]
    return list(itertools.product(*swept, corridors, map(str, labels["period"].to_series())))


def check(tree: xr.DataTree) -> None:
    """Raise ResultError where a tree is not the result of a scenario."""
    if "quantiles" not in tree.children or "flow_pure_kg" not in tree["quantiles"].data_vars or "scenario" not in tree.attrs:
        allowed = "a picture and a report are made of the result of one scenario, as sim.run and sim.open_result give it"
        raise ResultError([Problem(came="this tree has no flows of a scenario", allowed=allowed)])


def subtree(tree: xr.DataTree, group: str) -> Any:
    """Return the tree, or that under the conditions."""
    return tree[group.rstrip("/")] if group else tree


def members(tree: xr.DataTree) -> set[str]:
    """Return the corridors that some group holds."""
    return {member for group in tomllib.loads(str(tree.attrs["scenario"]))["groups"].values() for member in group}


def label_of(label: object) -> str:
    return f"{label:.6g}" if isinstance(label, float) else str(label)


def alike(tree: xr.DataTree, rows: Sequence[tuple[str, ...]]) -> list[tuple[str, ...]]:
    """Return rows (labels of sweeps, ...), once where they read the same whatever a sweep says, which is then ALL; these in all first.

    A sweep moves few of the answers.
    """
    labels = [[label_of(label) for label in tree["quantiles"][sweep].to_series()] for sweep in sweeps_of(tree)]
    n = len(labels)
    places: dict[tuple[str, ...], set[tuple[str, ...]]] = {}
    for row in rows:
        places.setdefault(row[n:], set()).add(row[:n])

    def idle(k: int, where: set[tuple[str, ...]]) -> bool:
        return len(labels[k]) > 1 and all((*at[:k], label, *at[k + 1 :]) in where for at in where for label in labels[k])

    folded = {said: [idle(k, where) for k in range(n)] for said, where in places.items()}
    once = dict.fromkeys((*(ALL if free else label for free, label in zip(folded[row[n:]], row, strict=False)), *row[n:]) for row in rows)
    return sorted(once, key=lambda row: n > 0 and set(row[:n]) != {ALL})


def _together(tree: xr.DataTree, rows: Sequence[tuple[str, ...]]) -> list[tuple[str, ...]]:
    """Return rows (labels of sweeps, id, ...) with the cases of one id together, once where they are alike."""
    n_sweeps = len(sweeps_of(tree))
    order = list(dict.fromkeys(row[n_sweeps] for row in rows))
    return sorted(alike(tree, rows), key=lambda row: order.index(row[n_sweeps]))


def _first(table: Table, most: int, what: str = "rows") -> list[Part]:
    """Return a table of at most `most` rows, with a sentence where there are more."""
    if len(table.rows) <= most:
        return [table]
    cut = Table(header=table.header, rows=table.rows[:most], n_labels=table.n_labels)
    return [cut, f"The first {most} of {len(table.rows):,} {what}; the others are in the result."]


def _some_rows(tree: xr.DataTree, header: Sequence[str], rows: Sequence[tuple[str, ...]], most: int) -> list[Part]:
    """Return a table without the rows that have no evidence, of at most `most` rows where cases make it longer: then groups come first.

    The labels and columns before the numbers are set left.
    """
    n_sweeps = len(sweeps_of(tree))
    told = [row for row in alike(tree, rows) if set(row[n_sweeps + 2 :]) != {ABSENT}]
    if not n_sweeps:
        most = len(told)
    if len(told) > most:
        told.sort(key=lambda row: not row[n_sweeps].endswith(_GROUP))
    return _first(Table(header=header, rows=told, n_labels=n_sweeps + 2), most)


def summary(tree: xr.DataTree, prob: float, *, terminal: bool) -> str:
    """Return what was seized and what flowed, by corridor and period, and beneath it what the evidence cannot tell."""
    shown = [f"{tree.attrs['name']}: {tree.attrs['title']}"]
    for name, parts in sections(tree, prob, MOST_ROWS).items():
        shown += [as_text(part, terminal) if name not in _FOLDED or isinstance(part, Table) else _paragraph(part) for part in parts]
    return _with_provenance(tree, shown)


def _with_provenance(tree: xr.DataTree, shown: Sequence[str]) -> str:
    """Return what is shown as one text, with what to quote beside a number of it: the run that made it."""
    about = tree.attrs
    version = f"{about['creation_library']} {about['creation_library_version']}"
    made = f"Run {about['run_id']} of {about['name']}: {int(about['draws']):,} draws, seed {about['seed']}, {version}."
    if about.get("tolerance_met") == "yes":
        made += f" The tolerance asked, {about['tolerance']:g}, was met: {about['tolerance_reached']:.2g} was reached."
    drowned = f" {DROWNED} is nearer to 0 than its Monte Carlo error." if any(DROWNED in text for text in shown) else ""
    return "\n\n".join([*shown, f"{made} A number by itself is a median.{drowned}"])


def as_text(part: Part, terminal: bool) -> str:
    if isinstance(part, str):
        return part
    return render(part.header, part.rows, numbers=range(part.n_labels, len(part.header)), terminal=terminal)


_FOLDED = ("claims", "refused", "sensitivity", "caveats")  # sections whose paragraphs are sentences; the others have lines of their own


def sections(tree: xr.DataTree, prob: float, most: int) -> dict[str, list[Part]]:
    """Return all that is said of a result, by section, an empty list where there is nothing to say.

    prob   probability of the intervals;  most  rows, or sentences, that a section has where it is longer
    """
    return {
        "flow": _flow(tree, prob, most),
        "precursors": _potentials(tree, prob, most),
        "contrasts": _contrasts(tree, prob, most),
        "growth": _growth(tree, prob, most),
        "claims": claims(tree, most),
        "refused": [f"Conditions refused: {reason}." for reason in str(tree.attrs.get("condition_refused", "")).splitlines()],
        "conditions": _conditioned(tree, prob, most),
        "sensitivity": _hanging(tree, most),
        "caveats": caveats(tree),
    }


def _flow(tree: xr.DataTree, prob: float, most: int) -> list[Part]:
    gross, pure, flow, rate = (
        cells(tree, quantity, "all", prob) for quantity in ("seized_gross_kg", "seized_pure_kg", "flow_pure_kg", "interdiction_rate")
    )
    interval = f"{100 * prob:g} %\ninterval"
    swept = sweeps_of(tree)
    numbers = ("seized\ngross, kg", "seized\npure, kg", "flow\npure, kg", interval, "inter-\ndicted, %", interval)
    header = (*swept, "corridor", "period", *numbers)
    rows = [(*place, gross[row][0], pure[row][0], *flow[row], *rate[row]) for row, place in enumerate(places(tree))]
    return _some_rows(tree, header, rows, most)


def _potentials(tree: xr.DataTree, prob: float, most: int) -> list[Part]:
    """Return the table of what seized precursors could have made, where there are any."""
    if "potential_pure_kg" not in tree["quantiles"].data_vars:
        return []
    said = zip(places(tree), cells(tree, "potential_pure_kg", "all", prob), strict=True)
    rows = [(*place, *cell) for place, cell in said if cell[0] != ABSENT]
    swept = sweeps_of(tree)
    header = (*swept, "corridor", "period", "potential of\nprecursors\npure, kg", f"{100 * prob:g} %\ninterval")
    return _some_rows(tree, header, rows, most)


def cases(tree: xr.DataTree, group: str, ids: str) -> list[tuple[str, ...]]:
    """Return (labels of sweeps, id) of every contrast or claim, case after case."""
    labels = tree[group].coords
    swept = [[label_of(label) for label in labels[dimension].to_series()] for dimension in sweeps_of(tree)]
    return list(itertools.product(*swept, map(str, labels[ids].to_series())))


def _contrasts(tree: xr.DataTree, prob: float, most: int) -> list[Part]:
    """Return the table of contrasts, where there are any: median and interval of each ratio, and of its tipping factor the median."""
    if "contrasts" not in tree.children:
        return []
    group = tree["contrasts"].to_dataset()
    ratio, error = group["ratio"], group["ratio_mcse"]
    texts = intervals(ratio, error, prob)
    medians = (each.sel(quantile=0.5).to_numpy().ravel() for each in (ratio, error, group["tipping_factor"]))
    rows = []
    for place, text, median, mcse, tipping in zip(cases(tree, "contrasts", "contrast"), texts, *medians, strict=True):
        relative = mcse / median if 0.0 < median < math.inf else 0.0
        level = format_number(tipping, tipping * relative if math.isfinite(tipping) else 0.0)
        rows.append((*place, *text, level))
    header = (*sweeps_of(tree), "contrast", "ratio", f"{100 * prob:g} %\ninterval", "tipping\nfactor")
    n_sweeps = len(sweeps_of(tree))
    rows = _together(tree, rows)
    said = sides(tree)
    shown = dict.fromkeys(row[n_sweeps] for row in rows[:most])
    ratios_of = "\n".join(f"{name}: {said[name]}" for name in shown if name in said)
    return [*_first(Table(header=header, rows=rows, n_labels=n_sweeps + 1), most), *([ratios_of] if ratios_of else [])]


def sides(tree: xr.DataTree) -> dict[str, str]:
    """Say of each contrast, those of growths among them, what is divided by what, or which sweep changes that."""
    document = tomllib.loads(str(tree.attrs["scenario"]))
    said = {f"contrast.{block['id']}": {str(block["id"]): in_words(block)} for block in document.get("contrast", [])}
    for block in document.get("growth", []):
        earlier, later = ({"corridor": block["corridor"], "period": period, "form": block["form"]} for period in block["periods"])
        of = {str(block["id"]): block["quantity"], f"{block['id']}.seized": block["quantity"].replace("flow", "seized")}
        quantities = {name: {"quantity": quantity} for name, quantity in of.items()}
        said[f"growth.{block['id']}"] = {
            name: in_words({"numerator": each | later, "denominator": each | earlier}) for name, each in quantities.items()
        }
    found = {}
    for path, texts in said.items():
        swept = [sweep["dim"] for sweep in document.get("sweep", []) if str(sweep["path"]).startswith(f"{path}.")]
        found.update({name: _as_swept(*swept) if swept else text for name, text in texts.items()})
    return found


def _as_swept(*dims: str) -> str:
    return f"as the sweep{'s' * (len(dims) > 1)} {' and '.join(dims)} say{'s' * (len(dims) == 1)}"


def in_words(contrast: Mapping[str, Any]) -> str:
    """Say what a contrast of a scenario divides by what; what both sides share is said once.

    >>> side = {"quantity": "flow_pure_kg", "corridor": "north", "period": "FY2024", "form": "all"}
    >>> in_words({"numerator": side, "denominator": side | {"corridor": "south"}})
    'flow_pure_kg FY2024: north / south'
    """
    above, below = contrast["numerator"], contrast["denominator"]
    keys = ("quantity", "corridor", "period", "form")
    shared = [str(above[key]) for key in keys if above[key] == below[key] and above[key] != "all"]
    sides = [" ".join(str(side[key]) for key in keys if above[key] != below[key]) for side in (above, below)]
    return f"{' '.join(shared)}: {' / '.join(sides)}" if shared else " / ".join(sides)


def _growth(tree: xr.DataTree, prob: float, most: int) -> list[Part]:
    """Return a paragraph for each growth: the ratio of its flows, and what `growth.in_words` says of it."""
    if "growth" not in tree.children:
        return []
    from .growth import in_words

    group, ratio = tree["growth"].to_dataset(), tree["contrasts"].to_dataset()
    ratios = dict(zip(cases(tree, "contrasts", "contrast"), intervals(ratio["ratio"], ratio["ratio_mcse"], prob), strict=True))
    of_what = sides(tree)
    dimensions = (*sweeps_of(tree), "growth")
    every = itertools.product(*(range(group.sizes[dimension]) for dimension in dimensions))
    rows = []
    for place, at in zip(cases(tree, "growth", "growth"), every, strict=True):
        here = group.isel(dict(zip(dimensions, at, strict=True)))
        median, interval = ratios[place]
        flows = f"ratio of the flows ({of_what[place[-1]]}): {median} ({interval})"
        rows.append((*place, "\n".join(f"  {line}" for line in (flows, *in_words(here, prob, format_number)))))
    said = [f"Growth {which}:\n{text}" for which, text in _by_id(tree, rows)]
    return [*said[:most], *([f"The first {most} of {len(said):,} growths; the others are in the result."] if len(said) > most else [])]


def _by_id(tree: xr.DataTree, rows: Sequence[tuple[str, ...]]) -> list[tuple[str, str]]:
    """Return (id and case, text) of rows (labels of sweeps, id, text)."""
    said = []
    for *labels, name, text in _together(tree, rows):
        case = [f"{sweep} = {label}" for sweep, label in zip(sweeps_of(tree), labels, strict=True) if label != ALL]
        said.append(("; ".join([name, *case]), text))
    return said


def claims(tree: xr.DataTree, most: int) -> list[Part]:
    """Return a sentence for each claim, each as a paragraph: id, case, what is claimed, and how probable it is, in words and in digits."""
    if "claims" not in tree.children:
        return []
    group = tree["claims"].to_dataset()
    names = ("rerun", "probability", "probability_mcse", "lower_bound", "upper_bound", "hits", "n_draws")
    numbers = [group[name].to_numpy().ravel().tolist() for name in names]
    rows = []
    for (*labels, name), text, again, *given in zip(cases(tree, "claims", "claim"), claimed(tree), *numbers, strict=True):
        said = claim_in_words(text, *given)
        rows.append((*labels, name, f"{said.removesuffix('.')}, counted anew in plain Monte Carlo draws." if again else said))
    sentences: list[Part] = [f"{which}: {said}" for which, said in _by_id(tree, rows)]
    if len(sentences) > most:
        sentences[most:] = [f"The first {most} of {len(sentences):,} claims; the others are in the result."]
    return sentences


def claimed(tree: xr.DataTree) -> list[str]:
    """Return what is claimed, in the order of `cases`."""
    group = tree["claims"].to_dataset()
    texts = group["text"].broadcast_like(group["probability"]).transpose(*group["probability"].dims)
    return [str(text) for text in texts.to_numpy().ravel()]


def _hanging(tree: xr.DataTree, most: int) -> list[Part]:
    """Return a sentence for each answer that says which inputs it hangs on, where that was asked for, and how these are to be read."""
    from .sensitivity import in_words, why_none

    if "sensitivity" not in tree.children:
        return []
    group = tree["sensitivity"].to_dataset()
    labels = [[label_of(label) for label in group[dimension].to_series()] for dimension in sweeps_of(tree)]
    rows = [
        (*(of_sweep[i] for of_sweep, i in zip(labels, place, strict=True)), name, said)
        for place, name, said in in_words(group, sweeps_of(tree), format_number)
    ]
    sentences: list[Part] = [f"{which}: {said}" for which, said in _by_id(tree, rows)]
    if sentences and "note" in group.attrs:
        sentences[0] = f"Before any condition, {sentences[0]}"
    if len(sentences) > most:
        sentences[most:] = [f"The first {most} of {len(sentences):,} sentences on inputs; the others are in the result."]
    document = tomllib.loads(str(tree.attrs["scenario"]))
    if sentences and (document.get("correlation") or any(block.get("correlation") for block in document.get("parameter", []))):
        sentences.append(
            "Correlated inputs each count what they tell of one another: first-order shares may add up to more than 1, "
            "and an input may be named that has no part of its own in the answer."
        )
    if any(" rest " in str(sentence) for sentence in sentences):
        sentences.append('"rest" is every input and draw that no other group holds, such as attribution and what is seized inland.')
    return [*sentences, *why_none(group)]


# Words for probabilities, from the least likely up: each holds where both bounds lie within its range.
LIKELIHOODS = (
    (0.01, "exceptionally unlikely"),
    (0.10, "very unlikely"),
    (1 / 3, "unlikely"),
    (2 / 3, "about as likely as not"),
    (0.90, "likely"),
    (0.99, "very likely"),
    (1.00, "virtually certain"),
)


def claim_in_words(text: str, p: float, mcse: float, lower: float, upper: float, hits: int, n_draws: int) -> str:
    """Return a claim as a sentence, with its probability in a word that both bounds allow and in digits that the error allows.

    >>> claim_in_words("The flow rose", 0.99530, 0.00002, 0.99526, 0.99534, 995_300, 1_000_000)
    '"The flow rose" is virtually certain under these inputs: probability 99.53 %.'
    >>> claim_in_words("The flow fell", 0.0, 1e-6, 0.0, 2.9957e-6, 0, 1_000_000)
    '"The flow fell" is exceptionally unlikely under these inputs: in none of 1,000,000 draws, probability below 0.00030 %.'
    """
    text = text.rstrip(".")
    if n_draws == 0:
        return f'"{text}" has no probability: its ratio is 0/0 in every draw.'
    return f'"{text}" is {likelihood(lower, upper)} under these inputs: {probability(p, mcse, lower, upper, hits, n_draws)}.'


def likelihood(lower: float, upper: float) -> str:
    """Return the word for a probability between two bounds.

    Where the bounds lie in different ranges the word is that of the range nearer to an even chance, which says less. Words as the IPCC
    uses them (Mastrandrea et al. 2010).

    >>> likelihood(0.95, 0.97), likelihood(0.6, 0.7)
    ('very likely', 'about as likely as not')
    """
    least, greatest = (next(i for i, (most, _) in enumerate(LIKELIHOODS) if bound <= most) for bound in (lower, upper))
    return LIKELIHOODS[min(max(len(LIKELIHOODS) // 2, least), greatest)][1]


def probability(p: float, mcse: float, lower: float, upper: float, hits: int, n_draws: int) -> str:
    """Write a probability in digits that its error allows, by its bounds where few draws speak for it or against it."""
    if hits == 0:
        return f"in none of {n_draws:,} draws, probability below {bound_in_percent(upper, up=True)} %"
    if hits == n_draws:
        return f"in all of {n_draws:,} draws, probability above {bound_in_percent(lower, up=False)} %"
    if min(hits, n_draws - hits) < 50:
        low, high = bound_in_percent(lower, up=False), bound_in_percent(upper, up=True)
        return f"in {hits:,} of {n_draws:,} draws, probability {low} to {high} %"
    return f"probability {format_number(100.0 * p, 100.0 * mcse)} %"


def weighted_probability(p: float, mcse: float, lower: float, upper: float) -> str:
    """Write a probability under conditions, where draws have weights and are not counted; by its bounds where it would round to 0 or 100 %.

    >>> weighted_probability(0.2, 0.01, 0.18, 0.22), weighted_probability(0.000392, 0.000115, 0.00023, 0.00063)
    ('probability 20 %', 'probability 0.023 to 0.063 %')
    """
    if min(p, 1.0 - p) > 3.0 * mcse > 0.0 and (shown := format_number(100.0 * p, 100.0 * mcse)) != DROWNED and float(shown) < 100.0:
        return f"probability {shown} %"
    return f"probability {bound_in_percent(lower, up=False)} to {bound_in_percent(upper, up=True)} %"


class Probability(NamedTuple):
    """The probability of one claim in one case, and how it is told; NaN and without a number in words where there is none."""

    p: float
    mcse: float
    lower: float
    upper: float
    word: str
    digits: str


def probabilities(tree: xr.DataTree, group: str) -> list[Probability]:
    """Return how probable the claims are, in the order of `cases`, before the conditions (group "") or after ("conditioned/")."""
    dataset = tree[f"{group}claims"].to_dataset()
    names = ("probability", "probability_mcse", "lower_bound", "upper_bound", *(() if group else ("hits", "n_draws")))
    found = []
    for p, mcse, lower, upper, *counts in zip(*(dataset[name].to_numpy().ravel().tolist() for name in names), strict=True):
        if math.isnan(p):
            word, digits = "no answer", "0/0 in every draw" if not group else "the conditions are refused"
        else:
            word = likelihood(lower, upper)
            digits = probability(p, mcse, lower, upper, *counts) if counts else weighted_probability(p, mcse, lower, upper)
        found.append(Probability(p, mcse, lower, upper, word, digits))
    return found


def bound_in_percent(p: float, *, up: bool) -> str:
    """Write a bound to two digits of its distance from the nearer end, rounded away from what it bounds.

    >>> bound_in_percent(2.9957e-6, up=True), bound_in_percent(1 - 2.9957e-6, up=False)
    ('0.00030', '99.99970')
    """
    percent = Decimal(repr(p)) * 100
    near = min(percent, 100 - percent)
    place = Decimal(1).scaleb(near.adjusted() - 1) if near > 0 else Decimal(1)
    rounding = ROUND_CEILING if up else ROUND_FLOOR
    return f"{percent.quantize(place, rounding=rounding):f}"


def _conditioned(tree: xr.DataTree, prob: float, most: int) -> list[Part]:
    """Return what the conditions say, the results before and after side by side, and what they teach."""
    if "conditioned" not in tree.children:
        return []
    after: Any = tree["conditioned"]
    answered = after["quantiles"]["flow_pure_kg"].notnull().any(("corridor", "period", "form", "quantile"))  # in the other cases refused
    worth = [f"{n:,.0f}" for n in sorted(n for n in after["ess"].where(answered).to_numpy().ravel().tolist() if n == n)]
    cut = float(after["contradicted_share"].max())
    said = [_given(tree)]
    if cut > 0.0:
        left_out = f"Draws in which more was seized inland than was missed there, up to {_percent(cut)},"
        said.append(f"{left_out} contradict themselves and are left out.")
    if cut > MOST_LEFT_OUT:
        said.append("Part of what follows is due to that, and not to the bound.")
    said.append(f"Under that, {int(tree.attrs['draws']):,} draws are worth {' to '.join(dict.fromkeys((worth[0], worth[-1])))}.")
    columns = [cells(each, quantity, "all", prob) for quantity in ("flow_pure_kg", "interdiction_rate") for each in (tree, after)]
    swept, interval = sweeps_of(tree), f"{100 * prob:g} %\ninterval"
    headings = ("flow pure,\nkg, before", "after", "interdicted,\n%, before", "after")
    header = [*swept, "corridor", "period", *(text for heading in headings for text in (heading, interval))]
    rows = [(*place, *(text for column in columns for text in column[row])) for row, place in enumerate(places(tree))]
    tables = [*_some_rows(tree, header, rows, most), *_answers(tree, prob, most), *_taught(tree, prob)]
    return ["\n".join(said), *tables]


def _given(tree: xr.DataTree) -> str:
    """Say what each condition bounds, one a line."""
    document = tomllib.loads(str(tree.attrs["scenario"]))
    swept_by = {sweep["path"]: sweep["dim"] for sweep in document.get("sweep", [])}
    lines = []
    for condition in document["condition"]:
        path = f"condition.{condition['id']}"
        result = dict(condition["result"])
        for key in result:
            if dim := swept_by.get(f"{path}.result.{key}", swept_by.get(f"{path}.result")):
                result[key] = f"({_as_swept(dim)})"
        form = "" if result["form"] == "all" else f", {result['form']},"
        bounds = []
        for key, words in (("soft_upper", "hardly above"), ("soft_lower", "hardly below")):
            if key in condition:
                dim = swept_by.get(f"{path}.{key}")
                bounds.append(f"{words} {f'what the sweep {dim} says' if dim else _bound(condition[key], result['quantity'])}")
        of = f"{result['quantity']} of {result['corridor']} in {result['period']}{form}"
        lines.append(f"Given {condition['id']}: {of} is {' and '.join(bounds)}.")
    return "\n".join(lines)


def _answers(tree: xr.DataTree, prob: float, most: int) -> list[Part]:
    """Return a table of contrasts and one of claims, before and after the conditions, where there are any."""
    found = []
    swept, interval = sweeps_of(tree), f"{100 * prob:g} %\ninterval"
    if "contrasts" in tree.children:
        groups = [tree[path].to_dataset() for path in ("contrasts", "conditioned/contrasts")]
        columns = [intervals(group["ratio"], group["ratio_mcse"], prob) for group in groups]
        contrasts = [(*place, *before, *after) for place, before, after in zip(cases(tree, "contrasts", "contrast"), *columns, strict=True)]
        found.append(((*swept, "contrast", "ratio,\nbefore", interval, "after", interval), contrasts))
    if "claims" in tree.children:
        told = [
            [f"{each.word}: {each.digits.removeprefix('probability ')}" for each in probabilities(tree, group)]
            for group in ("", "conditioned/")
        ]
        claimed = [(*place, *both) for place, *both in zip(cases(tree, "claims", "claim"), *told, strict=True)]
        found.append(((*swept, "claim", "before", "after"), claimed))
    parts: list[Part] = []
    for header, rows in found:
        parts += _first(Table(header=header, rows=_together(tree, rows), n_labels=len(swept) + 1), most)
    return parts


def _bound(bound: object, quantity: str) -> str:
    return bound if isinstance(bound, str) else f"{bound:,.6g}{' kg' if quantity.endswith('_kg') else ''}"


def _taught(tree: xr.DataTree, prob: float) -> list[Part]:
    """Return a table of the inputs whose median, or an end of whose interval, moved most, by probability of their own laws.

    An upper bound on a flow leaves the median of detection where it is and moves its lower end. Below 2 % nothing is told from nothing.
    """
    import numpy as np

    from .results import credible_interval

    group = tree["conditioned/parameters"].to_dataset()
    p = group["quantile"].to_numpy()
    prior, value, error = (group[name].to_numpy().reshape(-1, p.size) for name in ("value_before", "value", "value_mcse"))
    middle = int(np.argmin(np.abs(p - 0.5)))
    at = [int(np.argmin(np.abs(p - each))) for each in (0.5 - prob / 2, 0.5, 0.5 + prob / 2)]
    moves = np.stack([np.abs(np.interp(after[at], before, p) - p[at]) for before, after in zip(prior, value, strict=True)])
    shift = np.where(prior[:, 0] < prior[:, -1], np.nan_to_num(moves).max(axis=1), 0.0)
    moved = [int(k) for k in np.argsort(shift, kind="stable")[::-1] if shift[k] > 0.02]
    if not moved:
        return ["They teach next to nothing about the inputs: no median, and no end of an interval, moved by more than 2 % of its own law."]
    names = cases(tree, "conditioned/parameters", "parameter")
    before, after, errors = (
        credible_interval(group[name], prob=prob).to_numpy().reshape(-1, 2) for name in ("value_before", "value", "value_mcse")
    )
    rows = []
    for k in moved:
        interval = " to ".join(format_number(*pair) for pair in zip(after[k], errors[k], strict=True))
        at_first = (f"{prior[k, middle]:.3g}", " to ".join(f"{bound:.3g}" for bound in before[k]))
        rows.append((*names[k], *at_first, format_number(value[k, middle], error[k, middle]), interval))
    interval = f"{100 * prob:g} %\ninterval"
    header = (*sweeps_of(tree), "what it teaches about", "before", interval, "after", interval)
    return _first(Table(header=header, rows=rows, n_labels=len(sweeps_of(tree)) + 1), MOST_TAUGHT, "inputs that moved")


def table_of_forms(tree: xr.DataTree, quantity: str, prob: float, *, terminal: bool) -> str:
    """Return the medians and intervals of one quantity, by corridor, period and form; where there are conditions, before and after them."""
    variable = tree["quantiles"].to_dataset()[quantity]
    forms = [str(form) for form in variable["form"].to_series()]
    header = [*sweeps_of(tree), "corridor", "period", *(text for form in forms for text in (form, f"{100 * prob:g} % interval"))]
    unit = unit_of(quantity, variable.attrs["units"])
    shown = [f"{quantity}: {variable.attrs['long_name']}" + (f", {unit}" if unit != "1" else "")]
    weighted = "conditioned" in tree.children and quantity in tree["conditioned/quantiles"].data_vars
    given = ["", "conditioned/"] if weighted else [""]
    for group in given:
        columns = [cells(subtree(tree, group), quantity, form, prob) for form in forms]
        rows = [(*place, *(text for column in columns for text in column[row])) for row, place in enumerate(places(tree))]
        shown += [_given(tree)] if group else ["Before any condition:"] * (len(given) > 1)
        shown += [as_text(part, terminal) for part in _some_rows(tree, header, rows, MOST_ROWS)]
    return _with_provenance(tree, [*shown, *(_paragraph(str(text)) for text in caveats(tree))])


def caveats(tree: xr.DataTree) -> list[Part]:
    """Return what a reader must know before believing the table, each as a paragraph: judgements, assumptions, cuts, what is missing."""
    texts: list[Part] = []
    if tree.attrs.get("tolerance_met") == "no":
        why = tree.attrs.get("tolerance_note", "more draws are needed")
        texts.append(
            f"The tolerance asked, {tree.attrs['tolerance']:g}, was not met: {why}; {tree.attrs['tolerance_reached']:.2g} was reached."
        )
    texts += _attributed(tree)
    blocks = tree["parameters"].to_dataset()[["name", "basis"]].to_dataframe()
    judged = dict.fromkeys(blocks["name"][blocks["basis"] == "elicited"])
    if judged:
        texts.append(f"Judged, not measured: {', '.join(judged)}. The intervals are no better than these judgements.")
    document = tomllib.loads(str(tree.attrs["scenario"]))
    texts.append(f"The law of the sizes of loads is assumed: {load_law(document['model'], document.get('sweep', []))}.")
    texts += [f"Note: {warning}." for warning in together(str(tree.attrs.get("warnings", "")).splitlines())]
    for name, share in tree["diagnostics"].data_vars.items():
        if str(name).endswith(("_cut_share", "_limited_share")) and share.max() > 0:
            labels = [str(label) for label in share.stack(cell=share.dims).idxmax("cell").item()]
            what, colon, judgement = str(share.attrs["long_name"]).removeprefix("share of draws in which ").partition(":")
            texts.append(
                f"{what[:1].upper()}{what[1:]} in up to {_percent(float(share.max()))} of draws ({', '.join(labels)}){colon}{judgement}."
            )
    for quantity, variable in tree["quantiles"].data_vars.items():
        if "undefined_share" in variable.attrs:
            texts.append(
                f"{quantity} is 0/0 in up to {_percent(variable.attrs['undefined_share'])} of the draws of a cell; these are left out."
            )
    undefined = float(tree["contrasts"]["ratio"].attrs.get("undefined_share", 0.0)) if "contrasts" in tree.children else 0.0
    if undefined > 0.0:
        texts.append(f"A ratio of a contrast is 0/0 in up to {_percent(undefined)} of draws; these are left out.")
    texts += _without_moments(tree)
    missing = json.loads(str(tree.attrs.get("members_missing", "{}")))
    what = "of the drug " if "potential_pure_kg" in tree["quantiles"].data_vars else ""
    for group, periods in missing.items():
        summed = {period: members for period, members in periods.items() if len(members) < len(document["groups"][group])}
        if summed:  # a group that lacks all of its members in a period has no sum there
            lacks = "; ".join(f"{', '.join(members)} in {period}" for period, members in summed.items())
            texts.append(f"{group} is summed without {lacks}: there is no evidence {what}there.")
    return texts


def _attributed(tree: xr.DataTree) -> list[str]:
    """Return how much of what is filed under a corridor counts as seized there, where most of it does not, if any loses a hundredth."""
    filed = tree["evidence"].to_dataset()["seized_gross_kg"].transpose(*sweeps_of(tree), "corridor", "period", "evidence_form")
    filed = filed.isel(evidence_form=filed["evidence_form"] != "precursor").sum("evidence_form")
    counted = tree["quantiles"].to_dataset()["seized_gross_kg"].sel(form="all", quantile=0.5, drop=True)
    left = (counted.sel(corridor=filed["corridor"]) / filed).where(filed > 0.0)
    if not (left < 0.99).any():
        return []
    at = left.argmin(...)
    corridor, period = (str(left[name][at[name]].item()) for name in ("corridor", "period"))
    errors = tree["mcse"].to_dataset()["seized_gross_kg"].sel(form="all", quantile=0.5, corridor=filed["corridor"], drop=True)
    part = format_number(float(filed[at] * left[at]), float(errors[at]))
    example = f"of {float(filed[at]):,.4g} kg filed under {corridor} in {period}, {part} kg at the median"
    return [f"Seized is the part of what the table holds that is judged to have crossed there (attribution_share): {example}."]


def _paragraph(text: str) -> str:
    """Fold a sentence for the terminal; a number keeps its percent sign."""
    import textwrap

    bound = text.replace(" %", "\u00a0%")
    return textwrap.fill(bound, 100, subsequent_indent="  ", break_on_hyphens=False, break_long_words=False).replace("\u00a0%", " %")


def together(warnings: Sequence[str]) -> list[str]:
    """Say once what several contrasts are warned of in the same words.

    >>> together(['contrast "a": short', 'b', 'contrast "c": short'])
    ['contrasts "a", "c": short', 'b']
    """
    said: dict[str, list[str]] = {}
    for warning in warnings:
        who, _, what = warning.removeprefix("contrast ").partition('": ') if warning.startswith("contrast ") else ("", "", warning)
        said.setdefault(what, []).append(f'{who}"')
    together = []
    for what, names in said.items():
        who = f"contrast{'s' if len(names) > 1 else ''} {', '.join(names)}: " if names[0] != '"' else ""
        together.append(f"{who}{what}")
    return together


def _without_moments(tree: xr.DataTree) -> list[str]:
    """Return a sentence for each reason why a mean, or at least a standard deviation, is not given."""
    by_reason: dict[tuple[str, str], dict[str, bool]] = {}  # (what is lacking, why) -> kind of quantity -> whether everywhere
    for name, variable in tree["moments"].data_vars.items():
        if "note" in variable.attrs:
            known = tree["quantiles"][str(name)].sel(quantile=0.5).notnull()
            lacking = {moment: (variable.sel(moment=moment).isnull() & known) for moment in ("mean", "sd")}
            moment = "mean" if lacking["mean"].any() else "sd"
            kinds = by_reason.setdefault(("mean" if moment == "mean" else "standard deviation", str(variable.attrs["note"])), {})
            kind = str(name).removeprefix("n_").partition("_")[0]
            kinds[kind] = kinds.get(kind, True) and bool((lacking[moment] == known).all())
    texts = []
    for (moment, reason), kinds in by_reason.items():
        *rest, last = kinds
        which = f"{', '.join(rest)} and {last}" if rest else last
        where = "" if all(kinds.values()) else " in some rows"
        texts.append(f"No {moment} is given for {which} quantities{where}, because it would not settle: {reason}. Quantiles are sound.")
    return texts


def load_law(model: Mapping[str, Any], sweeps: Sequence[Mapping[str, Any]] = ()) -> str:
    """Say which law of the sizes of loads a scenario assumes: `model` is its table, or the same keys."""
    varied = {sweep["path"]: _as_swept(sweep["dim"]) for sweep in sweeps}
    law, truncation = varied.get("model.load_law", model["load_law"]), model["load_truncation"]
    if law != "lognormal":
        return str(law)
    if "model.load_truncation" in varied:
        return f"lognormal, truncated {varied['model.load_truncation']}"
    bound = "no load is too large" if math.isinf(truncation) else f"none above {truncation:g} standard deviations of the log"
    return f"lognormal, {bound}"


def _percent(share: float) -> str:
    return "0.1 %" if share < 0.001 else "100 %" if share > 0.995 else f"{100 * share:.2g} %"  # said after "up to"


def pace(tree: xr.DataTree) -> str:
    seconds = float(tree.attrs["seconds"])
    draws = round(seconds * float(tree.attrs["draws_per_second"]))
    return f"{draws:,} draws in {seconds:.1f} s, {draws / seconds:,.0f} a second."
