"""A result as one page of intervals: what is drawn, where, and the file it goes to. No display, and matplotlib is loaded when it draws."""

from __future__ import annotations

import itertools
import math
import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from . import pictures, printed

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_CASES = 8  # that a cell shows; the eye tells no more colours apart
MOST_LINES = 70  # on the page: 50 lines fill 13 inches, which A4 shrinks by a fifth
MOST_ANSWERS = 16  # lines of contrasts, and of claims
MOST_EXPLAINED = 8  # of these, beyond which what stands beneath their names would crowd them
MOST_NOTES = 9
LOG_SPAN = 20.0  # greatest over least, above which an axis is logarithmic

# Okabe and Ito's colours, without those too light for print; markers tell the quantities apart, and order tells the cases
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#7A2A55", "#555555")
_BEFORE, _PLAIN, _FAINT = "#8a8a8a", "#1a1a1a", "#6a6a6a"
_AT = (0.05, 0.25, 0.5, 0.75, 0.95)
_PITCH, _TALL, _GAP = 0.165, 0.19, 0.07  # inches: a line among cases, a line by itself, between headings
_WIDE, _NARROW = 2.7, 1.55  # inches: the panels
_COLUMN = "median (90 % interval)"


# ------------------------------------------------------------------------------------------------------------------ what is drawn


@dataclass(frozen=True, slots=True, kw_only=True)
class _Line:
    """One line of a block. `values` are quantiles at _AT by name, NaN where none is; `case` is None where all cases read the same."""

    heading: str
    about: str = ""
    label: str = ""
    case: int | None = None
    values: Mapping[str, np.ndarray]
    texts: Sequence[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Panel:
    """One axis: which of the values it shows, in which unit, and a value that is marked.

    decades   of a log axis at most: what is smaller stands at its left end, with its number beside it
    """

    names: Sequence[str]
    unit: str
    decades: float = 8.0
    mark: float | None = None
    bounds: tuple[float, float] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Block:
    title: str
    panels: Sequence[_Panel]
    lines: Sequence[_Line]
    notes: Sequence[str] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Case:
    """One set of numbers that lines show: a case of the sweeps, before or after the conditions."""

    label: str
    number: int
    place: tuple[int, ...]  # of its label in each sweep
    group: str  # "" or "conditioned/"


def _series(tree: xr.DataTree) -> tuple[list[_Case], list[str]]:
    """Return cases of the sweeps, at most MOST_CASES, where there are conditions each before and after them; and a word on the others."""
    swept = printed.sweeps_of(tree)
    coords = tree["quantiles"].coords
    shape = [coords[dimension].size for dimension in swept]
    both = [("", "before the conditions"), ("conditioned/", "given the conditions")] if "conditioned" in tree.children else [("", "")]
    chosen = next(grid for grid in _grids(shape) if len(grid) <= MOST_CASES // len(both))
    found = []
    for place in chosen:
        name = ", ".join(f"{sweep} = {printed.label_of(coords[sweep].values.tolist()[i])}" for sweep, i in zip(swept, place, strict=True))
        number = sum(i * math.prod(shape[k + 1 :]) for k, i in enumerate(place))
        for group, text in both:
            found.append(_Case(label=", ".join(filter(None, (name, text))), number=number, place=place, group=group))
    if len(chosen) == math.prod(shape):
        return found, []
    return found, [f"Drawn are {len(chosen)} of {math.prod(shape):,} cases; sim show and sim report tell the others."]


def _grids(shape: Sequence[int]) -> Iterator[list[tuple[int, ...]]]:
    """Yield the places of all cases, then of ever fewer, down to the first: always every combination of some labels of each sweep.

    So each case that is drawn differs from another in one thing. Of the longest sweep one label more is left out each time, of labels
    those that are left are evenly spread, the first and the last among them.

    >>> list(_grids([2, 2])), list(_grids([]))
    ([[(0, 0), (0, 1), (1, 0), (1, 1)], [(0, 0), (0, 1)], [(0, 0)]], [[()]])
    """
    kept = list(shape)
    while True:
        yield list(itertools.product(*(_spread(n, most) for n, most in zip(shape, kept, strict=True))))
        if max(kept, default=1) == 1:
            return
        kept[kept.index(max(kept))] -= 1


def _spread(n: int, most: int) -> list[int]:
    """Return at most `most` of n numbers, evenly spread, the first and the last among them.

    >>> _spread(3, 8), _spread(21, 5), _spread(6, 1)
    ([0, 1, 2], [0, 5, 10, 15, 20], [0])
    """
    return np.unique(np.linspace(0, n - 1, min(n, most)).round().astype(int)).tolist()  # type: ignore[no-any-return]


def _fitting(what: str, build: Callable[[list[int]], list[_Line]], cases: Sequence[_Case], most: int) -> tuple[list[_Line], list[str]]:
    """Return the lines of as many cases as fit, each before and after the conditions, and sentences on what does not."""
    of_sweep = [sorted({case.place[k] for case in cases}) for k in range(len(cases[0].place))]
    lines: list[_Line] = []
    chosen: list[int] = []
    for grid in _grids([len(places) for places in of_sweep]):
        kept = {tuple(places[i] for places, i in zip(of_sweep, place, strict=True)) for place in grid}
        chosen = [k for k, case in enumerate(cases) if case.place in kept]
        lines = build(chosen)
        if len(lines) <= most:
            break
    notes = []
    if len(chosen) < len(cases) and any(line.case is not None for line in lines):
        n, of = (len({case.number for case in some}) for some in ([cases[k] for k in chosen], cases))
        notes.append(f"{what}: there is room for {n} of these {of} cases; sim show and sim report tell the others.")
    if len(lines) > most:
        notes.append(f"{what}: the first {most} of {len(lines):,} lines.")
    return lines[:most], notes


def _quantiles(tree: xr.DataTree, path: str, name: str, *own: str) -> np.ndarray:
    """Return quantiles at _AT of every case, (cases, own..., 5)."""
    array = tree[path].to_dataset()[name].sel(quantile=list(_AT))
    if "form" in array.dims:
        array = array.sel(form="all")
    array = array.transpose(*printed.sweeps_of(tree), *own, "quantile")
    return np.asarray(array.to_numpy(), dtype=float).reshape(-1, *array.shape[-len(own) - 1 :])


def _each(
    tree: xr.DataTree, cases: Sequence[_Case], quantities: Sequence[str], said: Sequence[str]
) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Return quantiles by name, (cases, corridors, periods, 5), and texts (cases, corridors, periods, said); fractions in percent."""
    values, texts = {}, []
    groups = dict.fromkeys(case.group for case in cases)
    for name in quantities:
        of = {group: printed.scale_of(name) * _quantiles(tree, f"{group}quantiles", name, "corridor", "period") for group in groups}
        values[name] = np.stack([of[case.group][case.number] for case in cases])
    shape = values[quantities[0]].shape[1:3]
    for name in said:
        by_group = {group: printed.cells(printed.subtree(tree, group), name, "all", printed.PROB) for group in groups}
        written = {
            group: np.array([_told(*cell, "refused" if group else "no evidence") for cell in cells], dtype=object).reshape(-1, *shape)
            for group, cells in by_group.items()
        }
        texts.append(np.stack([written[case.group][case.number] for case in cases]))
    return values, np.stack(texts, axis=-1)


def _told(median: str, interval: str, absent: str) -> str:
    return absent if median == printed.ABSENT else f"{median} ({interval})"


def _of_places(
    tree: xr.DataTree,
    cases: Sequence[_Case],
    values: Mapping[str, np.ndarray],
    texts: np.ndarray,
    what: str,
    most: int,
    *,
    everywhere: bool,
) -> tuple[list[_Line], list[str]]:
    """Return the lines of corridors and periods, as many as fit, and sentences on those that are left out.

    First go those without evidence, then corridors that a group holds, then cases. `texts` are (cases, corridors, periods, told);
    `everywhere` asks for a line where there is no evidence too.
    """
    coords = tree["quantiles"].coords
    labels = [place[-2:] for place in printed.places(tree)]
    grouped = coords["is_group"].values
    n_periods = coords["period"].size
    present = ~np.isnan(next(iter(values.values()))[..., 2]).all(axis=0)

    def lines(cells: Sequence[tuple[int, int]], chosen: Sequence[int]) -> list[_Line]:
        found = []
        for c, p in cells:
            corridor, period = labels[c * n_periods + p]
            # as in the tables, what reads the same everywhere stands once
            same = not present[c, p] or len({tuple(texts[i, c, p]) for i in chosen}) == 1
            for i in chosen[:1] if same else chosen:
                found.append(
                    _Line(
                        heading=corridor,
                        label=period,
                        case=None if same and len(chosen) > 1 else i,
                        values={name: array[i, c, p] for name, array in values.items()},
                        texts=list(texts[i, c, p]) if present[c, p] else [texts[i, c, p, 0]],
                    )
                )
        return found

    everyone = list(range(len(cases)))
    cells = [(c, p) for c in range(grouped.size) for p in range(n_periods) if everywhere or present[c, p]]
    notes: list[str] = []
    if len(lines(cells, everyone)) > most and len(cells) > present.sum():
        cells = [cell for cell in cells if present[cell]]
        notes.append(f"{what}: {present.size - len(cells):,} of {present.size:,} corridors and periods have no evidence, and no line.")
    if len(lines(cells, everyone)) > most and grouped.any():
        inside = printed.members(tree)
        kept = [(c, p) for c, p in cells if str(coords["corridor"].values[c]) not in inside]
        notes.append(f"{what}: the groups stand for their corridors, {len(cells) - len(kept):,} lines.")
        cells = kept
    found, more = _fitting(what, lambda chosen: lines(cells, chosen), cases, most)
    return found, notes + more


def _flows(tree: xr.DataTree, cases: Sequence[_Case], most: int) -> _Block:
    kg, share = ("flow_pure_kg", "seized_pure_kg", "seized_gross_kg"), "interdiction_rate"
    values, texts = _each(tree, cases, [*kg, share], ["flow_pure_kg", share, "seized_pure_kg", "seized_gross_kg"])
    lines, notes = _of_places(tree, cases, values, texts, "Flows", most, everywhere=True)
    panels = [
        _Panel(names=kg, unit="flow and seized, kg"),
        _Panel(names=[share], unit="interdicted, % of flow", decades=4.0, bounds=(0.0, 100.0)),
    ]
    return _Block(title="What crossed, as pure drug, against what was seized", panels=panels, lines=lines, notes=notes)


def _potentials(tree: xr.DataTree, cases: Sequence[_Case]) -> list[_Block]:
    name = "potential_pure_kg"
    if name not in tree["quantiles"].data_vars:
        return []
    before = [replace(case, group="") for case in cases]  # conditions say nothing of precursors
    values, texts = _each(tree, before, [name], [name])
    lines, notes = _of_places(tree, before, values, texts, "Precursors", MOST_ANSWERS, everywhere=False)
    panel = _Panel(names=[name], unit="drug that could have been made, pure, kg")
    title = "What seized precursors could have made: part of no seizure and no flow"
    return [_Block(title=title, panels=[panel], lines=lines, notes=notes)]


def _names(tree: xr.DataTree, group: str, ids: str) -> list[str]:
    return [str(name) for name in tree[group].to_dataset()[ids].to_series()]


def _of_answers(
    name: str, headings: np.ndarray, abouts: Sequence[str], values: np.ndarray, texts: np.ndarray, chosen: Sequence[int]
) -> list[_Line]:
    """Return the lines of contrasts or claims; headings and texts (cases, answers), values (cases, answers, 5)."""
    lines = []
    for k, about in enumerate(abouts):
        same = len({(str(headings[i, k]), str(texts[i, k])) for i in chosen}) == 1
        for i in chosen[:1] if same else chosen:
            case = None if same and len(chosen) > 1 else i
            lines.append(_Line(heading=str(headings[i, k]), about=about, case=case, values={name: values[i, k]}, texts=[str(texts[i, k])]))
    return lines


def _contrasts(tree: xr.DataTree, cases: Sequence[_Case]) -> list[_Block]:
    if "contrasts" not in tree.children:
        return []
    groups = dict.fromkeys(case.group for case in cases)
    of = {group: _quantiles(tree, f"{group}contrasts", "ratio", "contrast") for group in groups}
    told = {}
    for group in groups:
        dataset = tree[f"{group}contrasts"].to_dataset()
        absent = "refused" if group else "0/0"
        texts = [_told(*text, absent) for text in printed.intervals(dataset["ratio"], dataset["ratio_mcse"], printed.PROB)]
        told[group] = np.array(texts, dtype=object).reshape(of[group].shape[:2])
    names = _names(tree, "contrasts", "contrast")
    of_what = printed.sides(tree)
    values, written = (np.stack([each[case.group][case.number] for case in cases]) for each in (of, told))
    abouts = [of_what.get(name, "") for name in names]
    build = partial(_of_answers, "ratio", np.tile(np.array(names, dtype=object), (len(cases), 1)), abouts, values, written)
    lines, notes = _fitting("Contrasts", build, cases, MOST_ANSWERS)
    panel = _Panel(names=["ratio"], unit="ratio", mark=1.0)
    return [_Block(title="Contrasts: the ratio of two results, in every draw", panels=[panel], lines=lines, notes=notes)]


def _claims(tree: xr.DataTree, cases: Sequence[_Case]) -> list[_Block]:
    if "claims" not in tree.children:
        return []
    names = _names(tree, "claims", "claim")
    every = np.array(printed.claimed(tree), dtype=object).reshape(-1, len(names))
    texts = np.stack([every[case.number] for case in cases])
    told = {group: printed.probabilities(tree, group) for group in dict.fromkeys(case.group for case in cases)}
    chosen = [told[case.group][case.number * len(names) :][: len(names)] for case in cases]
    values = np.array([[(one.lower, one.p, one.p, one.p, one.upper) for one in each] for each in chosen])
    values[np.isnan(values[..., 2])] = np.nan
    written = np.array([[f"{one.word}: {one.digits}" for one in each] for each in chosen], dtype=object)
    build = partial(_of_answers, "probability", texts, names, 100.0 * values, written)
    lines, notes = _fitting("Claims", build, cases, MOST_ANSWERS)
    panel = _Panel(names=["probability"], unit="probability, %", bounds=(0.0, 100.0))
    return [_Block(title="Claims: how probable, under these inputs", panels=[panel], lines=lines, notes=notes)]


def _blocks(tree: xr.DataTree) -> tuple[list[_Block], list[_Case], list[str]]:
    """Return all that is on the page, from the top, with all cases and sentences on what is left out."""
    cases, notes = _series(tree)
    others = [*_potentials(tree, cases), *_contrasts(tree, cases), *_claims(tree, cases)]
    blocks = [_flows(tree, cases, MOST_LINES - sum(len(block.lines) for block in others)), *others]
    return [block for block in blocks if block.lines], cases, notes + [note for block in blocks for note in block.notes]


def alt_text(tree: xr.DataTree) -> str:
    """Say what the picture shows, for those who do not see it: what is drawn of how many things, and where the numbers are."""
    blocks, cases, _ = _blocks(tree)
    parts = []
    for block in blocks:
        headings = list(dict.fromkeys(line.heading for line in block.lines))
        some = "; ".join(headings[:12]) + (f"; and {len(headings) - 12} more" if len(headings) > 12 else "")
        parts.append(f"{block.title}, for {some}.")
    drawn = sorted({line.case for block in blocks for line in block.lines if line.case is not None})
    shown = f" Cases: {'; '.join(cases[i].label for i in drawn)}." if len(cases) > 1 else ""
    return f"Medians with 50 % and 90 % credible intervals. {' '.join(parts)}{shown} Every number drawn is in the tables."


# ------------------------------------------------------------------------------------------------------------------ axes


@dataclass(frozen=True, slots=True, kw_only=True)
class _Scale:
    """An axis: where a value stands on it. `least` and `greatest` are where what is off its ends stands, NaN where nothing is.

    On a log axis what is 0, or smaller than `low`, stands at `least`, left of a break; so nothing is dropped, and 0 is no small number.
    """

    log: bool
    low: float
    high: float
    least: float
    greatest: float
    said_least: str

    @staticmethod
    def of(drawn: Sequence[np.ndarray], panel: _Panel) -> _Scale:
        every = np.concatenate([*drawn, [] if panel.mark is None else [panel.mark]]) if drawn else np.zeros(0)
        known = every[np.isfinite(every)]
        positive = known[known > 0.0]
        log = positive.size > 0 and known.min() >= 0.0 and positive.max() > LOG_SPAN * positive.min() and panel.names[0] != "probability"
        infinite = bool(np.isinf(every).any())
        if not log:
            low, high = (float(known.min(initial=0.0)), float(known.max(initial=0.0))) if panel.bounds is None else panel.bounds
            if panel.bounds is not None and panel.names[0] != "probability":
                high = min(high, float(known.max(initial=0.0)) * 1.05)
            high = high if high > low else low + 1.0
            beyond = high + 0.12 * (high - low)
            return _Scale(log=False, low=low, high=high, least=math.nan, greatest=beyond if infinite else math.nan, said_least="")
        high = float(positive.max())
        floor = high * 10.0**-panel.decades
        low = float(positive.min()) if positive.min() >= floor else 10.0 ** math.ceil(math.log10(floor))
        small = known[known < low]
        step = (0.1 if panel.decades > 4.0 else 0.16) * math.log10(high / low)
        return _Scale(
            log=True,
            low=low,
            high=high,
            least=low * 10.0**-step if small.size else math.nan,
            greatest=high * 10.0**step if infinite else math.nan,
            said_least="0" if not small.any() else f"<{_written(low)}",
        )

    def at(self, values: np.ndarray) -> np.ndarray:
        """Return where values stand; NaN stays NaN."""
        placed = np.where(np.isposinf(values), self.greatest, values)
        return np.where(placed < self.low, self.least, placed) if self.log else placed

    def ends(self) -> tuple[float, float]:
        least = self.low if math.isnan(self.least) else self.least
        greatest = self.high if math.isnan(self.greatest) else self.greatest
        if self.log:
            margin = 10.0 ** (0.04 * math.log10(greatest / least))
            return least / margin, greatest * margin
        margin = 0.03 * (greatest - least)
        return least - margin, greatest + margin

    def ticks(self, most: int) -> list[tuple[float, str]]:
        """Return at most about `most` ticks with their labels."""
        if self.log:
            found = _log_ticks(self.low, self.high, most)
        else:
            from matplotlib.ticker import MaxNLocator

            values = MaxNLocator(nbins=most, steps=[1, 2, 2.5, 5, 10]).tick_values(self.low, self.high)
            inside = [float(value) for value in values if self.low - 1e-12 <= value <= self.high * (1.0 + 1e-12) + 1e-300]
            found = [(value, _written(value)) for value in inside]
        off = [(self.least, self.said_least), (self.greatest, "∞")]
        ends = [tick for tick in off if not math.isnan(tick[0])]
        return ends + [tick for tick in found if all(self._apart(tick[0], end, 0.75 / most) for end, _ in ends)]

    def _apart(self, x: float, end: float, share: float) -> bool:
        """Return whether so large a share of the axis lies between two labels."""
        low, high = self.ends()
        return abs(math.log(x / end) / math.log(high / low) if self.log else (x - end) / (high - low)) > share


def _log_ticks(low: float, high: float, most: int) -> list[tuple[float, str]]:
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    for digits in ((1, 2, 5), (1, 3), (1,)):
        values = [digit * 10.0**k for k in range(first, last + 1) for digit in digits]
        inside = [value for value in values if low * 0.999 <= value <= high * 1.001]
        if len(inside) <= most:
            break
    step = -(-len(inside) // most)
    return [(value, _written(value)) for value in inside[::-1][::step][::-1]]


def _written(value: float) -> str:
    """Write a number of an axis.

    >>> _written(0.05), _written(20_000.0), _written(1e-9)
    ('0.05', '20,000', '1e-9')
    """
    if value == 0.0 or 1e-4 <= abs(value) < 1e7:
        return f"{value:,.6g}" if abs(value) < 1e4 else f"{value:,.0f}"
    mantissa, _, exponent = f"{value:.2g}".partition("e")
    return f"{mantissa}e{int(exponent)}"


# ------------------------------------------------------------------------------------------------------------------ drawing


def figure(tree: xr.DataTree) -> Figure:
    """Draw a result on one page: flows against what was seized, the interdiction rate, precursors, contrasts and claims.

    Medians, 50 % and 90 % credible intervals, one line for a corridor and period; a cell that reads the same in every case of the sweeps
    has one line, the others one for each case, in the order of the legend. Where no evidence is, there is no mark. Numbers at the lines
    are those that `sim show` prints.

    Raises ResultError where `tree` is not the result of a scenario, SimError where matplotlib (the extra `plot`) is missing.

    >>> figure(open_result("results/north-vs-southwest/0f5eac8526b1")).savefig("page.pdf")   # doctest: +SKIP
    """
    printed.check(tree)
    with pictures.style():
        return _drawn(tree)


class _Measure:
    """Widths of texts in inches."""

    def __init__(self) -> None:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure

        self._renderer = FigureCanvasAgg(Figure(dpi=72)).get_renderer()  # type: ignore[no-untyped-call]

    def __call__(self, texts: Sequence[str], size: float) -> float:
        from matplotlib.font_manager import FontProperties

        font = FontProperties(size=size)
        widths = [self._renderer.get_text_width_height_descent(text, font, False)[0] for each in texts for text in each.split("\n")]
        return max(widths, default=0.0) / 72.0


def _wrapped(text: str, width: int, most: int) -> str:
    """Fold a label; what does not fit ends in an ellipsis."""
    return "\n".join(textwrap.wrap(text, width, max_lines=most, placeholder=" …")) or " "


@dataclass(frozen=True, slots=True, kw_only=True)
class _Placed:
    """A block with the height of each of its lines, in inches from its first; `headings` are (top, bottom, text, about)."""

    block: _Block
    y: Sequence[float]
    height: float
    headings: Sequence[tuple[float, float, str, str]]


def _placed(block: _Block) -> _Placed:
    two = len(block.panels) == 2
    y, headings = [], []
    top = 0.5 * _GAP
    lines = list(block.lines)
    start = 0
    while start < len(lines):
        end = start
        while end < len(lines) and (lines[end].heading, lines[end].about) == (lines[start].heading, lines[start].about):
            end += 1
        heading = _wrapped(lines[start].heading, 30 if two else 56, 4)
        about = _wrapped(lines[start].about, 64, 2) if lines[start].about and len(lines) <= MOST_EXPLAINED else ""
        at = top
        for k in range(start, end):
            several = sum(line.label == lines[k].label for line in lines[start:end]) > 1
            pitch = _PITCH if several else _TALL
            last_of_label = k + 1 == end or lines[k + 1].label != lines[k].label
            y.append(at + 0.5 * pitch)
            at += pitch + (0.04 if several and last_of_label and k + 1 < end else 0.0)
        needed = 0.135 * (heading.count("\n") + 1) + (0.115 * (about.count("\n") + 1) if about else 0.0) + 0.04
        spare = max(needed - (at - top), 0.0)
        if end == start + 1:
            y[-1] += 0.5 * spare
        at += spare
        headings.append((top, at, heading, about))
        top = at + _GAP
        start = end
    return _Placed(block=block, y=y, height=top - 0.5 * _GAP, headings=headings)


def _drawn(tree: xr.DataTree) -> Figure:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    blocks, cases, notes = _blocks(tree)
    placed = [_placed(block) for block in blocks]
    measure = _Measure()
    two = [each for each in placed if len(each.block.panels) == 2]
    names = measure([text for each in two for _, _, text, _ in each.headings], 8)
    periods = measure([line.label for block in blocks for line in block.lines], 7.5)
    alone = [(text, about) for each in placed if each not in two for _, _, text, about in each.headings]
    wide = max(names + periods + 0.22, measure([text for text, _ in alone], 8), measure([about for _, about in alone], 6.8))
    spaced = [measure([line.texts[k] for each in two for line in each.block.lines if len(line.texts) > k], 7.5) for k in (0, 1)]
    spaced = [max(each, measure([_COLUMN], 6.8)) for each in spaced]
    left = 0.25
    panel = left + wide + 0.15
    second = panel + _WIDE + 0.1 + spaced[0] + 0.2
    longest = measure([line.texts[0] for each in placed if each not in two for line in each.block.lines], 7.5)
    width = max(second + _NARROW + 0.1 + spaced[1] + 0.2, panel + _WIDE + 0.1 + longest + 0.2)
    chars = int(width / 0.058)
    title = textwrap.wrap(str(tree.attrs["title"]), int(width / 0.105), max_lines=5, placeholder=" …")
    foot = _foot(tree, notes, chars)
    shown = {line.case for block in blocks for line in block.lines}
    legend = [(case.label, _case_colour(i, cases)) for i, case in enumerate(cases) if i in shown and len(cases) > 1]
    if legend and None in shown:
        legend.append((f"the same in {'both' if len(cases) == 2 else 'every case'}; others from top to bottom as listed here", _PLAIN))
    head = 0.3 + 0.21 * len(title) + 0.19 + 0.142 * len(legend) + 0.08
    height = head + sum(each.height + 0.85 for each in placed) + 0.125 * len(foot) + 0.35
    page = Figure(figsize=(width, height), dpi=pictures.DPI, facecolor="white")
    FigureCanvasAgg(page)

    def write(x: float, y: float, text: str, **how: Any) -> None:
        page.text(x / width, 1.0 - y / height, text, **{"fontsize": 8, "color": _PLAIN, "va": "center", **how})

    write(left, 0.22, "\n".join(title), fontsize=12, fontweight="bold", va="top", linespacing=1.25)
    _legend(page, legend, blocks[0], left / width, 1.0 - (0.3 + 0.21 * len(title)) / height)
    top = head
    for each in placed:
        block = each.block
        write(left, top + 0.12, block.title, fontsize=9, fontweight="bold")
        top += 0.28
        for number, (a, _, heading, about) in enumerate(each.headings):
            if number:
                edge = 1.0 - (top + a - 0.5 * _GAP) / height
                page.add_artist(_rule(left / width, 1.0 - left / width, edge))
            n = heading.count("\n") + 1
            at = top + a + 0.04
            write(left, at, heading, va="top", linespacing=1.15)
            if about:
                write(left, at + 0.132 * n + 0.02, about, va="top", fontsize=6.8, color=_FAINT, linespacing=1.1)
        said = ("", "")
        for line, y in zip(block.lines, each.y, strict=True):
            if line.label and said != (line.heading, line.label):
                write(panel - 0.12, top + y, line.label, fontsize=7.5, ha="right")
            said = line.heading, line.label
            absent = np.isnan(next(iter(line.values.values()))[2])
            write(panel + _WIDE + 0.1, top + y, line.texts[0], fontsize=7.5, color=_FAINT if absent else _PLAIN)
            if len(block.panels) == 2 and len(line.texts) > 1:
                write(second + _NARROW + 0.1, top + y, line.texts[1], fontsize=7.5)
        for number, one in enumerate(block.panels):
            x, w = (panel, _WIDE) if number == 0 else (second, _NARROW)
            axes = page.add_axes((x / width, 1.0 - (top + each.height) / height, w / width, each.height / height))
            _draw_panel(axes, one, block, each, cases, 6 if number == 0 else 4)
        if block is blocks[0]:
            write(panel + _WIDE + 0.1, top - 0.06, _COLUMN, fontsize=6.8, color=_FAINT)
            if len(block.panels) == 2:
                write(second + _NARROW + 0.1, top - 0.06, _COLUMN, fontsize=6.8, color=_FAINT)
        top += each.height + 0.57
    write(left, top, "\n".join(foot), fontsize=7, va="top", color="#333333", linespacing=1.25)
    return page


def _rule(x: float, x_end: float, y: float) -> Any:
    from matplotlib.lines import Line2D

    return Line2D([x, x_end], [y, y], color="0.85", linewidth=0.5)


def _colour(line: _Line, cases: Sequence[_Case]) -> str:
    if len(cases) == 1:
        return _COLOURS[0]
    if line.case is None:
        return _PLAIN
    return _case_colour(line.case, cases)


def _case_colour(case: int, cases: Sequence[_Case]) -> str:
    if len(cases) == 2 and cases[1].group:
        return (_BEFORE, _COLOURS[0])[case]
    return _COLOURS[case]


_MARKERS = {"seized_pure_kg": "D", "seized_gross_kg": "s"}
_SAID = {
    "flow_pure_kg": "flow, pure: median, 50 % and 90 % credible interval",
    "seized_pure_kg": "seized, pure: median and 90 %",
    "seized_gross_kg": "seized, gross: median",
}


def _draw_panel(axes: Axes, panel: _Panel, block: _Block, placed: _Placed, cases: Sequence[_Case], n_ticks: int) -> None:
    """Draw one panel; y is inches from the top of the block."""
    lines = block.lines
    shown = {"seized_gross_kg": [2]}
    drawn = [line.values[name][shown.get(name, list(range(len(_AT))))] for line in lines for name in panel.names]
    scale = _Scale.of(drawn, panel)
    axes.set_ylim(placed.height, 0.0)
    if scale.log:
        axes.set_xscale("log")
    axes.set_xlim(*scale.ends())
    ticks = scale.ticks(n_ticks)
    axes.set_xticks([x for x, _ in ticks], [text for _, text in ticks], fontsize=7)
    axes.set_xticks([], minor=True)
    axes.set_yticks([])
    axes.set_xlabel(panel.unit + (" (log scale)" if scale.log else ""), fontsize=7.5, labelpad=2)
    axes.grid(axis="x", color="0.9", linewidth=0.5)
    axes.set_axisbelow(True)
    axes.tick_params(length=2, width=0.5, pad=2)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    if scale.log and not math.isnan(scale.least):
        axes.axvline(math.sqrt(scale.least * scale.low), color="0.6", linewidth=0.7, linestyle=(0, (2, 2)))
    if panel.mark is not None:
        axes.axvline(panel.mark, color="0.25", linewidth=0.9)
    for edge in [a - 0.5 * _GAP for a, _, _, _ in placed.headings[1:]]:
        axes.axhline(edge, color="0.85", linewidth=0.5, clip_on=False)
    for case in dict.fromkeys(line.case for line in lines):
        mine = [(line, y) for line, y in zip(lines, placed.y, strict=True) if line.case == case]
        for name in panel.names:
            rows = np.array([line.values[name] for line, _ in mine])
            beneath = {"seized_pure_kg": 0.042, "seized_gross_kg": 0.042}.get(name, -0.035 if len(panel.names) > 1 else 0.0)
            y = np.array([y for _, y in mine]) + beneath
            colour = _colour(mine[0][0], cases)
            if len(cases) == 1 and name in _MARKERS:
                colour = _COLOURS[1] if name == "seized_pure_kg" else "#333333"
            known = ~np.isnan(rows[:, 2])
            x = scale.at(rows[known])
            y = y[known]
            about = f"{name}/{'all' if case is None else case}"
            if name != "seized_gross_kg":
                axes.hlines(y, x[:, 0], x[:, 4], colors=colour, linewidth=0.9, gid=f"{about}/90")
            if name not in _MARKERS and name != "probability":
                axes.hlines(y, x[:, 1], x[:, 3], colors=colour, linewidth=2.8, gid=f"{about}/50")
            hollow = name == "seized_gross_kg"
            axes.plot(
                x[:, 2],
                y,
                linestyle="",
                marker=_MARKERS.get(name, "o"),
                markersize={"seized_pure_kg": 2.6, "seized_gross_kg": 3.2}.get(name, 4.2),
                markerfacecolor="white" if hollow or name not in _MARKERS else colour,
                markeredgecolor=colour,
                markeredgewidth=0.9,
                clip_on=False,
                zorder=3,
                gid=f"{about}/median",
            )


def _legend(page: Figure, cases: Sequence[tuple[str, str]], block: _Block, x: float, y: float) -> None:
    """Put what the marks mean, and which colour is which case, beneath the title."""
    from matplotlib.lines import Line2D

    handles = []
    for name in block.panels[0].names:
        colour = {"flow_pure_kg": _COLOURS[0], "seized_pure_kg": _COLOURS[1]}.get(name, "#333333") if not cases else _PLAIN
        line = {"flow_pure_kg": 1.6, "seized_pure_kg": 0.9}.get(name, 0.0)
        face = colour if name == "seized_pure_kg" else "white"
        mark: dict[str, Any] = {"marker": _MARKERS.get(name, "o"), "markersize": 4.0, "markerfacecolor": face, "markeredgecolor": colour}
        handles.append(Line2D([], [], color=colour, linewidth=line, label=_SAID[name], **mark))
    how: dict[str, Any] = {"loc": "upper left", "frameon": False, "fontsize": 7.5, "borderpad": 0.0, "borderaxespad": 0.0}
    page.legend(handles=handles, bbox_to_anchor=(x, y), ncols=3, columnspacing=1.4, handlelength=2.2, **how)
    if cases:
        lines = [Line2D([], [], color=colour, linewidth=2.2, label=label) for label, colour in cases]
        step = 0.19 / page.get_figheight()
        page.legend(handles=lines, bbox_to_anchor=(x, y - step), ncols=1, labelspacing=0.25, handlelength=2.2, **how)


def _foot(tree: xr.DataTree, notes: Sequence[str], chars: int) -> list[str]:
    """Return the lines beneath the picture: which run, what an interval is, what is not drawn, what the evidence cannot tell."""
    about = tree.attrs
    whole = (
        f"Run {about['run_id']} of {about['name']}: {int(about['draws']):,} draws{' in each case' if 'cases' in about else ''}, seed "
        f"{int(about['seed'])}, {about['creation_library']} {about['creation_library_version']}. A 90 % credible interval holds the "
        f"truth with probability 0.9 if the laws of the inputs are right. A line without a mark has no evidence."
    )
    said = [whole, *notes, *(str(text) for text in printed.caveats(tree))]
    if "condition_refused" in about:
        said.insert(1, "Conditions were refused, where that is written; sim report says why.")
    lines: list[str] = []
    for number, text in enumerate(said):
        folded = textwrap.wrap(text, chars)
        if number >= MOST_NOTES or len(lines) + len(folded) > 2 * MOST_NOTES:
            lines.append(f"More notes, {len(said) - number}: in sim show and sim report.")
            break
        lines += folded
    return lines


# ------------------------------------------------------------------------------------------------------------------ files


def encoded(tree: xr.DataTree, suffix: str) -> tuple[bytes, list[str]]:
    """Return the picture as the bytes of a file of this suffix (`pictures.SUFFIXES`), and what is to be said of it.

    Raises as `figure`.
    """
    printed.check(tree)
    return pictures.encoded(lambda: _drawn(tree), suffix, str(tree.attrs["title"]))
