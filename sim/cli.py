"""The command line: parse, call, print. Results go to standard output, everything else to standard error."""

from __future__ import annotations

import contextlib
import json
import math
import os
import shlex
import sys
import tempfile
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from . import printed
from .errors import EvidenceError, Problem, ResultError, ScenarioError, SimError
from .limits import MAX_DRAWS, MAX_SEED, MAX_THREADS
from .progress import Batch, discard, duration, tell, telling_of_compiling

if TYPE_CHECKING:
    import xarray as xr

    from .records import Scenario

DONE, RUN_FAILED, WRONG_INPUT, INTERRUPTED = 0, 1, 2, 130


def _whole_number(low: int, high: int) -> Callable[[click.Context, click.Parameter, str | None], int | None]:
    """Return a reader of whole numbers, written as 1000000, 1_000_000 or 1e6."""

    def read(context: click.Context, parameter: click.Parameter, text: str | None) -> int | None:
        if text is None:
            return None
        try:
            number = Decimal(text.strip())
            if low <= number <= high and number == number.to_integral_value():
                return int(number)
        except InvalidOperation:  # not a number; or NaN, which compares with nothing
            pass
        raise click.BadParameter(f"{text!r} is not a whole number from {low} to {high}.", context, parameter)

    return read


def _parse_set(context: click.Context, parameter: click.Parameter, settings: tuple[str, ...]) -> dict[str, Any]:
    """Read each PATH=VALUE: the value in TOML, or a bare word, which is a string."""
    overrides: dict[str, Any] = {}
    for setting in settings:
        path, equals, text = setting.partition("=")
        path, text = path.strip(), text.strip()
        if not (path and equals and text):
            raise click.BadParameter(f"{setting!r} is not PATH=VALUE, as in run.seed=7.", context, parameter)
        if path in overrides:
            raise click.BadParameter(f"{path} is set twice.", context, parameter)
        try:
            table = tomllib.loads(f"it = {text}")
        except (tomllib.TOMLDecodeError, RecursionError, ValueError):
            table = {}
        if set(table) == {"it"} and "\n" not in text:
            overrides[path] = table["it"]
        elif not set(text) & set(" \t\n\"'[]{}=,#"):
            overrides[path] = text
        else:
            raise click.BadParameter(f"{text!r} is neither a TOML value nor a bare word; quote strings as '\"a b\"'.", context, parameter)
    return overrides


# ------------------------------------------------------------------------------------------------------------------ commands


class _Commands(click.Group):
    """A group whose commands end in an exit status, never in a traceback, for whatever a user can cause."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            super().invoke(ctx)
            if sys.stdout is not None:
                sys.stdout.flush()
        except KeyboardInterrupt:
            tell("Interrupted; nothing was left half-written.")
            ctx.exit(INTERRUPTED)
        except SimError as error:
            tell(str(error))
            ctx.exit(WRONG_INPUT if isinstance(error, ScenarioError | EvidenceError) else RUN_FAILED)
        except MemoryError:
            tell("There is not enough memory. Lower keep_draws, or run on a larger machine.")
            ctx.exit(RUN_FAILED)
        except BrokenPipeError:  # the reader of a pipe has seen enough
            discard(sys.stdout)
            ctx.exit(DONE)
        except OSError as error:  # a full disk behind standard output, above all: whoever opens a file says more
            discard(sys.stdout)
            tell(f"{error.filename or 'What was to be printed'} cannot be written: {error.strerror or error}.")
            ctx.exit(RUN_FAILED)


def _show_version(context: click.Context, parameter: click.Parameter, wanted: bool) -> None:
    if wanted:
        import sim

        click.echo(f"sim {sim.__version__}")
        context.exit()


@click.group(
    cls=_Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Exit status: 0 done; 1 a run failed; 2 the command line or a scenario is wrong; 130 interrupted.",
)
@click.option("--version", is_flag=True, expose_value=False, is_eager=True, callback=_show_version, help="Show the version and exit.")
def main() -> None:
    """From seizures to the flow across a border, with credible intervals.

    A scenario file says what was seized and what is uncertain. A run draws every uncertain input a million times and writes
    what follows, with its margins, to a result folder.
    """


_SET = click.option(
    "--set",
    "overrides",
    multiple=True,
    metavar="PATH=VALUE",
    callback=_parse_set,
    help="Change one entry of the scenario, as in model.load_law=gamma. May be given again.",
)


def _parse_folder(context: click.Context, parameter: click.Parameter, text: str) -> Path:
    """Read the name of a folder; ~ is one's own, also where the shell leaves it as it is, as in --results=~/runs."""
    if not text:
        raise click.BadParameter("the name is empty; write . for this folder.", context, parameter)
    return Path(os.path.expanduser(text))


_SCENARIOS = click.argument("scenarios", metavar="SCENARIO...", nargs=-1, required=True, type=click.Path(path_type=Path))


@main.command()
@_SCENARIOS
@click.option(
    "--draws", callback=_whole_number(1, MAX_DRAWS), metavar="N", help="Draws to make, instead of the scenario's own; rounded up."
)
@click.option("--seed", callback=_whole_number(0, MAX_SEED), metavar="S", help="Seed, instead of the scenario's own.")
@_SET
@click.option(
    "--results",
    "folder",
    default="results",
    show_default=True,
    metavar="DIR",
    callback=_parse_folder,
    help="Folder for results.",
)
@click.option(
    "--threads",
    type=click.IntRange(1, MAX_THREADS),
    metavar="N",
    help="Threads to use, or with --engine dask worker processes to start; one a processor if omitted. Changes no number.",
)
@click.option(
    "--tolerance",
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    metavar="REL",
    help="Draw until quantiles are known to this share of themselves.",
)
@click.option("--dry-run", is_flag=True, help="Say what would be run and how long it would take, and write nothing.")
@click.option(
    "--engine", type=click.Choice(["local", "dask"]), default="local", show_default=True, help="What computes. Changes no number."
)
@click.option("--scheduler", metavar="ADDRESS", help="Dask scheduler, as tcp://host:8786; a cluster of processes here if omitted.")
@click.option("--quiet", "-q", is_flag=True, help="Print nothing but errors and the paths of results.")
def run(
    scenarios: tuple[Path, ...],
    draws: int | None,
    seed: int | None,
    overrides: dict[str, Any],
    folder: Path,
    threads: int | None,
    tolerance: float | None,
    dry_run: bool,
    engine: str,
    scheduler: str | None,
    quiet: bool,
) -> None:
    """Run scenarios and write their results.

    All scenarios are checked before the first is run. The path of each result folder is printed on a line of its own; a run that is
    there already is not made again, one that was interrupted goes on, and one that fails does not stop the others.
    """
    asked = {"run.draws": draws, "run.seed": seed, "run.tolerance": tolerance}
    twice = [f"--{path.removeprefix('run.')}" for path, number in asked.items() if number is not None and path in overrides]
    if twice:
        raise click.UsageError(f"{twice[0]} and --set set the same entry; keep one of them.")
    if scheduler is not None and engine != "dask":
        raise click.UsageError("--scheduler is the address of a Dask scheduler; add --engine dask.")
    if scheduler is not None and threads is not None:
        raise click.UsageError("--threads has no effect with --scheduler: that cluster has the workers it has. Leave --threads out.")
    checked = _load_all(scenarios, overrides | {path: number for path, number in asked.items() if number is not None})
    _check_folders(folder / name for name in dict.fromkeys(scenario.name for _, scenario in checked))
    if dry_run:
        for _, scenario in checked:
            _dry_run(scenario, folder, threads, quiet)
        return

    from . import results

    failed: list[str] = []
    unheard = 0
    bug: Exception | None = None
    batch = Batch(quiet=quiet, planned=[results.planned_draws(scenario) for _, scenario in checked])
    with _executor(engine, scheduler, threads) as options:
        for path, scenario in checked:
            try:
                final, tree, note = _run_one(scenario, folder, batch, threads, options)
                if unheard or not tell(str(final), err=False):  # once it failed, nothing on standard output is heard
                    unheard += 1
                if not quiet:
                    tell(f"{printed.summary(tree, prob=0.9, terminal=printed.is_terminal(sys.stderr))}\n\n{note or printed.pace(tree)}")
            except (SimError, OSError, MemoryError) as error:
                failed.append(str(path))  # copies of a scenario share its name
                tell(f"{path} failed: {'there is not enough memory' if isinstance(error, MemoryError) else error}")
            except Exception as error:  # ours to mend; in a batch the others come first
                failed.append(str(path))
                bug = bug or error
                tell(f"{path} failed: {type(error).__name__}: {error}")
            batch.next()
    if unheard:
        tell(
            f"Standard output was closed or full before the path of {unheard} of {len(checked)} results was printed; "
            f"sim list {folder} shows them."
        )
    if failed and len(checked) > 1:
        tell(f"{len(failed)} of {len(checked)} scenarios failed: {', '.join(failed)}")
    if bug is not None:
        raise bug
    if failed or unheard:
        click.get_current_context().exit(RUN_FAILED)


@contextlib.contextmanager
def _executor(engine: str, scheduler: str | None, threads: int | None) -> Iterator[dict[str, Any]]:
    """Give what `results.run` needs to know of where tasks are computed; an engine is open as long as the batch."""
    if engine == "local":
        yield {}
        return
    from . import engines

    with engines.dask(scheduler, threads) as executor:
        yield {"executor": executor}


def _run_one(
    scenario: Scenario, folder: Path, batch: Batch, threads: int | None, options: Mapping[str, Any]
) -> tuple[Path, xr.DataTree, str]:
    """Return the folder of a scenario's result, the result, and what to say if it was there before."""
    from . import partials, results, saved

    final = folder / scenario.name / results.run_id(scenario)
    if final.exists():
        return final, saved.open_result(final), "This run was made before; its result is sound."
    unfinished = results.partials_folder(folder, scenario)

    def went_on(resumed: int, draws: int, damaged: int) -> None:
        if not batch.quiet:
            tell(_of_before(scenario.name, resumed, draws, damaged))

    with batch.progress(scenario.name) as progress, telling_of_compiling(batch.quiet):
        tree = results.run(scenario, threads=threads, progress=progress, partials=unfinished, went_on=went_on, **options)
    final = saved.save_result(tree, folder)
    partials.remove(unfinished)
    return final, tree, ""


def _of_before(name: str, resumed: int, draws: int, damaged: int) -> str:
    """Say what an earlier run, that was interrupted, had left.

    >>> _of_before("grid", 524_288, 1_015_808, 1)
    'grid went on from 524,288 of 1,015,808 draws that an earlier run had made; 1 damaged part of it was computed anew.'
    """
    text = f"{name} went on from {resumed:,} of {draws:,} draws that an earlier run had made"
    if damaged:
        text += f"; {damaged:,} damaged {'part of it was' if damaged == 1 else 'parts of it were'} computed anew"
    return f"{text}."


@main.command()
@_SCENARIOS
def validate(scenarios: tuple[Path, ...]) -> None:
    """Check scenarios without running them.

    Reads each scenario with its evidence and sources and reports every mistake at once, with its place and a way out.
    """
    checked = _load_all(scenarios, {})
    for path, scenario in checked:
        _print_warnings(scenario, f"{path}: " if len(checked) > 1 else "")
        strata = len({(row.corridor, row.period, row.form) for row in scenario.rows})
        draws = sorted({case.draws for case in scenario.runs})
        asked = f"{draws[0]:,}{f' to {draws[-1]:,}' if len(draws) > 1 else ''} draws asked"
        text = f"{path}: valid; {strata} strata, {len(scenario.parameters)} parameter blocks, {asked}"
        click.echo(text + (f" in each of {len(scenario.cases):,} cases" if scenario.cases else ""))


@main.command()
@click.argument("result", type=click.Path(path_type=Path))
@click.option("--quantity", metavar="Q", help="Show one quantity for every form, as flow_gross_kg; a summary of several if omitted.")
@click.option(
    "--prob",
    type=float,
    default=0.9,
    show_default=True,
    metavar="P",
    help="Probability of the interval: 0.5, 0.8, 0.9, 0.95, 0.98 or 0.99.",
)
def show(result: Path, quantity: str | None, prob: float) -> None:
    """Show a result as a table.

    RESULT is a result folder, or a run_id in ./results, its first 4 digits or more, or a name with one result there.
    Each cell is a median with its credible interval, to the digits that the Monte Carlo error allows.
    """
    from .results import credible_interval
    from .units import closest

    tree = _opened(result)
    known = [str(name) for name in tree["quantiles"].data_vars]
    if quantity is not None and quantity not in known:
        near = closest(quantity, known)
        raise click.BadParameter(
            f"{quantity!r} is not a quantity.{f' Did you mean {near}?' if near else ''} There are {', '.join(known)}.",
            param_hint="--quantity",
        )
    try:
        credible_interval(tree["quantiles"], prob=prob)
    except ResultError as error:
        raise click.BadParameter(str(error), param_hint="--prob") from error
    terminal = printed.is_terminal(sys.stdout)
    click.echo(
        printed.summary(tree, prob, terminal=terminal)
        if quantity is None
        else printed.table_of_forms(tree, quantity, prob, terminal=terminal)
    )


def _opened(result: Path) -> xr.DataTree:
    """Read the result that the command line names; where there is none, end with status 2."""
    from .saved import NoResultError, find_result, open_result

    try:
        return open_result(find_result(result))
    except NoResultError as error:
        raise click.BadParameter(str(error), param_hint="RESULT") from error


def _make_page(
    result: Path, output: Path | None, suffixes: Sequence[str], make: Callable[[xr.DataTree, Path], tuple[bytes, list[str]]]
) -> None:
    """Make one file of a result: where it was told to, or under the scenario's name in this folder, where nothing is replaced unasked."""
    from . import files

    if output is not None:
        _check_output(output, [], suffixes)  # before the work
    tree = _opened(result)
    target = output or Path(Path(str(tree.attrs["name"])).name + suffixes[0])
    _check_output(target, [], suffixes)
    if output is None and os.path.lexists(target):
        raise click.BadParameter(f"{target} is there already; name it, to replace it, or another file.", param_hint="--output")
    content, notes = make(tree, target)
    for note in notes:
        tell(note)
    files.write(target, content)
    click.echo(str(target))


@main.command()
@click.argument("result", type=click.Path(path_type=Path))
@click.option(
    "--output", "-o", metavar="FILE", type=click.Path(path_type=Path), help="PNG, SVG or PDF; the scenario's name and .png if omitted."
)
def plot(result: Path, output: Path | None) -> None:
    """Draw a result on one page.

    RESULT is a result folder, or a run_id in ./results, its first 4 digits or more, or a name with one result there.
    Drawn are flows and what was seized with their intervals, the interdiction rate, contrasts and claims.
    Needs the extra plot: pip install 'borderflow-sim[plot]'.
    """
    from . import pictures, plots

    _make_page(result, output, pictures.SUFFIXES, lambda tree, target: plots.encoded(tree, target.suffix))


@main.command()
@click.argument("result", type=click.Path(path_type=Path))
@click.option(
    "--output", "-o", metavar="FILE", type=click.Path(path_type=Path), help="HTML file; the scenario's name and .html if omitted."
)
def report(result: Path, output: Path | None) -> None:
    """Write a result as one HTML file.

    RESULT is a result folder, or a run_id in ./results, its first 4 digits or more, or a name with one result there.
    The answer in sentences, every number with its interval and error, the inputs with their sources, and where it comes from; the file
    needs no network. With the extra plot it holds the picture that sim plot draws.
    """
    from . import report

    def make(tree: xr.DataTree, target: Path) -> tuple[bytes, list[str]]:
        page, notes = report.page(tree)
        return page.encode("utf-8"), notes

    _make_page(result, output, report.SUFFIXES, make)


@main.command(name="list")
@click.argument("given", metavar="[DIR]", required=False, type=click.Path(path_type=Path, exists=True, file_okay=False))
def list_(given: Path | None) -> None:
    """List the results in a folder.

    DIR is the folder of results, "results" if omitted, or in it that of one name or of one result. Every file is compared with its
    manifest. "partial" is what an interrupted run left; the same sim run goes on from there.
    """
    from .saved import list_results

    folder = given or Path("results")
    records = list_results(folder)
    if not records:
        click.echo(f"There are no results in {folder.resolve()}.", err=True)
        return
    rows = [
        (
            record.name,
            record.run_id,
            record.created_at,
            f"{record.draws:,}" if record.draws is not None else printed.ABSENT,
            record.state,
            record.question,
        )
        for record in records
    ]
    header = ("name", "run", "created", "draws", "state", "question")
    click.echo(printed.render(header, rows, numbers=[3], terminal=printed.is_terminal(sys.stdout)))
    for record in records:
        if record.damage:
            click.echo(record.damage, err=True)


@main.command(name="import-cbp")
@click.argument("files", metavar="CSV...", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--output", "-o", required=True, metavar="FILE", type=click.Path(path_type=Path), help="Evidence table to write, a .csv file."
)
@click.option("--drug", default="Fentanyl", show_default=True, help="Drug to import, by CBP's name.")
@click.option("--cells", is_flag=True, help="Keep each cell of a single event as a row, for sim fit-loads.")
def import_cbp(files: tuple[Path, ...], output: Path, drug: str, cells: bool) -> None:
    """Turn CBP's published seizures into an evidence table.

    CSV is one or more files of the data set Nationwide Drug Seizures, for different months.
    """
    from . import cbp, evidence

    _check_output(output, files, (".csv",))
    table = cbp.import_cbp(files, drug=drug, cells=cells)
    evidence.write_evidence(table, output)
    for report in table.attrs["reports"]:
        click.echo(report, err=True)
    click.echo(f"{len(table)} rows of evidence on {drug}", err=True)
    click.echo(str(output))


def _parse_over(context: click.Context, parameter: click.Parameter, given: tuple[str, ...]) -> dict[str, list[float] | None]:
    """Read each PATH or PATH=[numbers]."""
    over: dict[str, list[float] | None] = {}
    for text in given:
        path, equals, listed = (part.strip() for part in text.partition("="))
        try:
            numbers = tomllib.loads(f"it = {listed}")["it"] if equals else None
            over[path] = None if numbers is None else [float(each) for each in numbers]
        except (tomllib.TOMLDecodeError, RecursionError, ValueError, TypeError):
            raise click.BadParameter(f"{text!r} is not PATH=[numbers], as in parameter.dose=[1, 2, 3].", context, parameter) from None
    if len(over) != 2:
        raise click.BadParameter("a map has two different inputs; give the option twice.", context, parameter)
    return over


@main.command()
@click.argument("scenario", type=click.Path(path_type=Path))
@click.argument("claim")
@click.option("--over", multiple=True, metavar="PATH[=LIST]", callback=_parse_over, help="Input to vary, as parameter.ID; given twice.")
@click.option("--output", "-o", required=True, metavar="FILE", type=click.Path(path_type=Path), help="NetCDF file to write, as map.nc.")
@_SET
@click.option("--points", type=click.IntRange(2, 200), default=9, show_default=True, metavar="N", help="Values of an input without a list.")
@click.option("--draws", callback=_whole_number(1, MAX_DRAWS), metavar="N", help="Draws of each case, at most 65,536 if omitted.")
@click.option("--threads", type=click.IntRange(1, MAX_THREADS), metavar="N", help="Threads to use; all processors if omitted.")
def tipping(
    scenario: Path,
    claim: str,
    over: dict[str, list[float] | None],
    output: Path,
    overrides: dict[str, Any],
    points: int,
    draws: int | None,
    threads: int | None,
) -> None:
    """Map where a claim turns likely, over two inputs of a scenario.

    CLAIM is the id of a claim. Printed is, for each value of the first input, the value of the second at which the claim has probability
    .05, .5 and .95; a dash where it has it nowhere on the map, or where the probability turns round along the row. Conditions do not weight
    a map.
    """
    import sim

    from . import files

    values = {path: numbers for path, numbers in over.items() if numbers is not None}
    _check_output(output, [scenario, *_read_by(scenario, overrides)], (".nc",))
    [(_, checked)] = _load_all((scenario,), overrides)
    batch = Batch(quiet=False, planned=[0], counted="cases")
    with batch.progress(claim) as progress, telling_of_compiling(False):
        found = sim.tipping(checked, claim, list(over), values=values, points=points, draws=draws, threads=threads, progress=progress)
    files.write(output, found.to_netcdf(engine="h5netcdf"))
    first = found["tipping_value"].dims[0]
    pairs = [zip(*rows, strict=True) for rows in zip(found["tipping_value"].values, found["tipping_value_mcse"].values, strict=True)]
    rows = [
        (printed.label_of(x), *(printed.format_number(*pair) for pair in row))
        for x, row in zip(found[first].values.tolist(), pairs, strict=True)
    ]
    header = (str(first), *(f"P = {level:g}" for level in found["level"].values))
    second = found["probability"].dims[1]
    click.echo(f"{found.attrs['title']}\n\n{second} at which the probability is P:\n", err=True)
    click.echo(printed.render(header, rows, numbers=range(4), terminal=printed.is_terminal(sys.stderr)), err=True)
    p = found["probability"]
    defined = bool(p.notnull().all())
    range_ = (
        f"the probability is from {float(p.min()):.3g} to {float(p.max()):.3g}" if defined else "some cases have none: their ratio is 0/0"
    )
    click.echo(f"\nOn the whole map {range_}.", err=True)
    for dimension in p.dims:  # the draws are common, so what has no part in the claim changes no bit
        if defined and bool((p == p.isel({dimension: 0})).all()):
            click.echo(f"{p[dimension].attrs['long_name']} does not move it: the claim does not hang on that input.", err=True)
    turning = [
        printed.label_of(x) for x, straight in zip(found[first].values.tolist(), found["monotone"].values, strict=True) if not straight
    ]
    if turning and defined:
        click.echo(f"It turns round along the rows of {', '.join(turning)}, which have no value therefore.", err=True)
    if "note" in found.attrs:
        click.echo(f"Note: {found.attrs['note']}.", err=True)
    click.echo(str(output))


def _check_output(output: Path, sources: Sequence[Path], suffixes: Sequence[str] = (), option: str = "--output") -> None:
    """Refuse a file that cannot be written before what goes there is computed."""
    from . import files

    try:
        files.check_target(output, sources, suffixes)
    except files.TargetError as error:
        raise click.BadParameter(str(error), param_hint=option) from error


def _parse_groups(context: click.Context, parameter: click.Parameter, texts: tuple[str, ...]) -> dict[str, list[str]]:
    """Read each NAME=WORD,WORD."""
    named: dict[str, list[str]] = {}
    for text in texts:
        name, equals, words = text.partition("=")
        parts = [word.strip() for word in words.split(",")]
        if not (equals and name.strip() and all(parts)) or name.strip() in named:
            raise click.BadParameter(f"{text!r} is not {parameter.metavar}, with a name of its own.", context, parameter)
        named[name.strip()] = parts
    return named


def _parse_mass(context: click.Context, parameter: click.Parameter, text: str | None) -> float | None:
    """Read a mass with its unit, as 0.05 g, in kg."""
    from .units import UnitError, to_kg

    try:
        number, unit = (text or "0 kg").split()
        return None if text is None else to_kg(float(number), unit)
    except (ValueError, UnitError):
        raise click.BadParameter(f"{text!r} is not a mass such as 0.05 g.", context, parameter) from None


def _parse_summaries(context: click.Context, parameter: click.Parameter, texts: tuple[str, ...]) -> dict[str, tuple[float, float, float]]:
    """Read each NAME=N,MEAN,SD,UNIT of logs of sizes in that unit; return the mean for kg."""
    summaries = {}
    for name, parts in _parse_groups(context, parameter, texts).items():
        try:
            n, mean, sd, unit = parts
            one = _parse_mass(context, parameter, f"1 {unit}") or math.nan
            summaries[name] = float(n), float(mean) + math.log(one), float(sd)
        except ValueError:
            raise click.BadParameter(f"{name}={','.join(parts)} is not {parameter.metavar}.", context, parameter) from None
    return summaries


def _parse_truncation(context: click.Context, parameter: click.Parameter, text: str) -> float:
    try:
        truncation = math.inf if text == "none" else float(text)
    except ValueError:
        truncation = math.nan
    if not truncation > 0:
        raise click.BadParameter(f"{text!r} is neither a number above 0 nor none.", context, parameter)
    return truncation


@main.command(name="fit-loads")
@click.argument("evidence", metavar="[EVIDENCE]...", nargs=-1, type=click.Path(path_type=Path))
@click.option("--group", "groups", multiple=True, callback=_parse_groups, metavar="NAME=A,B", help="Corridors whose loads share a size.")
@click.option(
    "--summary",
    "summaries",
    multiple=True,
    callback=_parse_summaries,
    metavar="NAME=N,MEAN,SD,UNIT",
    help="Moments of log sizes.",
)
@click.option("--truncation", default="3", show_default=True, callback=_parse_truncation, help="The scenario's load_truncation, or none.")
@click.option("--rounding", callback=_parse_mass, metavar="MASS", help="Half-width of amounts that state none; else by digits.")
@click.option("--no-pool", is_flag=True, help="Each corridor by itself.")
@click.option("--median", is_flag=True, help="Give load_median too.")
@click.option(
    "--output",
    "-o",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="New TOML file for the blocks, to paste from; else standard output.",
)
@click.option("--plot", "picture", metavar="FILE", type=click.Path(path_type=Path), help="PNG, SVG or PDF: the check of the size law.")
def fit_loads(
    evidence: tuple[Path, ...],
    groups: dict[str, list[str]],
    summaries: dict[str, tuple[float, float, float]],
    truncation: float,
    rounding: float | None,
    no_pool: bool,
    median: bool,
    output: Path | None,
    picture: Path | None,
) -> None:
    """Fit load_log_sd to the rows of a single event.

    EVIDENCE is an evidence table with rows of n_events = 1, as sim import-cbp --cells writes them. Prints [[parameter]] blocks.
    """
    from . import files, load_sizes, pictures

    if output is not None:
        _check_output(output, evidence, (".toml",))
        if os.path.lexists(output):  # above all the scenario that the blocks are meant for
            raise click.BadParameter(f"{output} is there already, and blocks are not added to it; name a new file.", param_hint="--output")
    if picture is not None:
        _check_output(picture, evidence, pictures.SUFFIXES, option="--plot")
    data = load_sizes.fit_load_sizes(
        evidence or None, groups=groups, summaries=summaries, truncation=truncation, rounding=rounding, pool=not no_pool
    )
    header, rows = load_sizes.as_rows(data)
    click.echo(printed.render(header, rows, numbers=range(1, len(header)), terminal=printed.is_terminal(sys.stderr)), err=True)
    for report in data.attrs["reports"]:
        click.echo(report, err=True)
    if picture:
        drawn, notes = load_sizes.picture(data, picture.suffix)
        for note in notes:
            tell(note)
        files.write(picture, drawn)
    command = shlex.join(["sim", *sys.argv[1:]]) if sys.argv[1:2] == ["fit-loads"] else "sim fit-loads"
    text = load_sizes.as_toml(data, median=median, command=command)
    if output:
        files.write(output, text.encode("utf-8"))
    click.echo(str(output) if output else text, nl=output is not None)


@main.command()
def schema() -> None:
    """Print the JSON Schema of the scenario file.

    Editors use it to complete and check a scenario while it is written.
    """
    from .scenario import json_schema

    click.echo(json.dumps(json_schema(), indent=2))


# ------------------------------------------------------------------------------------------------------------------ before a run


def _load_all(paths: Sequence[Path], overrides: Mapping[str, Any]) -> list[tuple[Path, Scenario]]:
    """Read every scenario once, and return it as often as it is given; where any is wrong, print all mistakes and end with status 2.

    A sources file that stands between scenarios, as `scenarios/*.toml` gives it, is passed over.
    """
    from .scenario import load_scenario

    scenarios: dict[Path, Scenario] = {}
    problems = 0
    for path in dict.fromkeys(paths):
        try:
            scenarios[path] = load_scenario(path, overrides=overrides)
        except (ScenarioError, EvidenceError) as error:
            if _is_source_of(path, paths):
                tell(f"{path} holds the sources of other scenarios here; passed over.")
                continue
            problems += len(error.problems)
            tell(str(error))
    if problems:
        tell(f"{problems} {'problem' if problems == 1 else 'problems'}; nothing was run.")
        click.get_current_context().exit(WRONG_INPUT)
    return [(path, scenarios[path]) for path in paths if path in scenarios]


def _evidence_of(scenario: Path) -> dict[str, Any]:
    """Return the table [evidence] of a scenario as it is written; empty where it cannot be read, which is told elsewhere."""
    from .toml_file import read_toml  # with guards: these files may be hostile

    with contextlib.suppress(SimError, OSError, ValueError, KeyError, TypeError):
        return dict(read_toml(scenario, "a scenario").document["evidence"])
    return {}


def _is_source_of(path: Path, others: Sequence[Path]) -> bool:
    """Return whether another file of the command names this one as its sources."""
    sources = [file for other in others if other != path for file in _named(other, [_evidence_of(other).get("sources")])]
    return os.path.exists(path) and any(path.samefile(file) for file in sources)


def _read_by(scenario: Path, overrides: Mapping[str, Any]) -> list[Path]:
    """Return the evidence tables and the sources file that a scenario names."""
    evidence = _evidence_of(scenario) | {path.removeprefix("evidence."): given for path, given in overrides.items()}
    tables = evidence.get("tables")
    return _named(scenario, [evidence.get("sources"), *(tables if isinstance(tables, list) else [])])


def _named(scenario: Path, names: Sequence[object]) -> list[Path]:
    """Return the files that bear these names beside a scenario; other names are passed over."""
    return [scenario.parent / name for name in names if isinstance(name, str) and os.path.isfile(scenario.parent / name)]


def _check_folders(folders: Iterable[Path]) -> None:
    """Refuse folders that cannot be made or written before an hour of work is spent on what goes there.

    A file in the place of one is a slip on the command line (2); one that may not be written is a run that fails (1). What the permissions
    say is not all: a file system may be read-only or full, so a file without a name is made where the system has such.
    """
    for folder in folders:
        try:
            standing = next(parent for parent in (folder, *folder.absolute().parents) if parent.exists())
            if not standing.is_dir():
                raise click.BadParameter(f"{standing} is a file, not a folder.", param_hint="--results")
        except (OSError, ValueError) as error:
            raise click.BadParameter(f"{folder} cannot be used: {getattr(error, 'strerror', error)}.", param_hint="--results") from error
        try:
            with tempfile.TemporaryFile(dir=standing):
                pass
        except OSError as error:
            came, advice = f"{standing} may not be written: {error.strerror or error}", "give another folder by --results"
            raise ResultError([Problem(came=came, advice=advice)]) from error


def _dry_run(scenario: Scenario, folder: Path, threads: int | None, quiet: bool) -> None:
    """Print the plan of a scenario, and where its result would stand."""
    from . import results

    final = folder / scenario.name / results.run_id(scenario)
    if not quiet:
        _print_plan(scenario, final, results.partials_folder(folder, scenario), threads)
    click.echo(str(final))


def _print_plan(scenario: Scenario, final: Path, unfinished: Path, threads: int | None) -> None:
    from .matching import match
    from .results import estimated_seconds, planned_draws
    from .runner import BLOCK, plan

    matched, _ = match(scenario.runs[0])
    planned = [plan(case.draws, case.seed, case.sampler, case.tolerance) for case in scenario.runs]
    blocks = sum(one.replicates * -(-one.points // BLOCK) for one in planned)
    first = planned[0]
    done, what = _done(final, unfinished)
    rows = [
        ("scenario", scenario.name),
        ("question", scenario.question),
        *(("sweep", f"{sweep.dim}: {_some(sweep.labels)} ({sweep.path})") for sweep in scenario.sweeps),
        *([("cases", f"{len(scenario.cases):,}; below, the first")] if scenario.cases else []),
        ("corridors", ", ".join(scenario.runs[0].corridors)),
        ("groups", ", ".join(name for name, _ in scenario.runs[0].groups) or "none"),
        ("periods", ", ".join(scenario.runs[0].periods)),
        ("strata with evidence", str(len(matched.strata) + len(matched.precursors))),
        ("parameter draws", f"{len(matched.parameter_draws)} from {len(scenario.parameters)} blocks"),
        ("size of loads", printed.load_law(scenario.document["model"], scenario.document.get("sweep", []))),
        ("draws", f"{scenario.draws:,} asked, {first.draws:,} used: {first.replicates} x {first.points:,} ({scenario.sampler})"),
        *([("tolerance", f"{scenario.tolerance:g}: more draws where it takes them")] if scenario.tolerance is not None else []),
        ("draws kept", f"{scenario.keep_draws:,}"),
        ("seed", str(scenario.seed)),
        ("in all", f"{planned_draws(scenario):,} draws in {blocks:,} blocks"),
        ("done", what),
        ("time", "none" if done else f"about {duration(estimated_seconds(scenario, threads))}, {_pilot_of(scenario)}"),
        ("result", f"{final}{' (made before)' if done else ''}"),
    ]
    click.echo(printed.render(("", ""), rows, terminal=printed.is_terminal(sys.stderr)), err=True)
    _print_warnings(scenario)


def _pilot_of(scenario: Scenario) -> str:
    """Say what the estimate of a plan rests on, and what it leaves out."""
    laws = dict.fromkeys(case.load_law for case in scenario.runs)
    text = "by a pilot here"
    if len(scenario.cases) > 1:
        text += f" of the first case of each law of loads ({', '.join(laws)})" if len(laws) > 1 else " of the first case; others may differ"
    left_out = ["what a tolerance adds"] * any(case.tolerance is not None for case in scenario.runs)
    left_out += ["a second count of claims that few draws hit"] * any(bool(case.claims) for case in scenario.runs)
    left_out += ["the draws of [sensitivity]"] * (scenario.sensitivity is not None)
    return f"{text}, without {' and '.join(left_out)}" if left_out else text


def _done(final: Path, unfinished: Path) -> tuple[bool, str]:
    """Return whether a result is there and sound, and in words what is there."""
    from .saved import open_result

    if final.exists():
        try:
            open_result(final)
        except ResultError as error:
            return False, f"a damaged result is in the way: {error.problems[0].came}"
        return True, "all"
    kept = [file for file in unfinished.rglob("*") if file.is_file() and not file.name.startswith(".")] if unfinished.exists() else []
    size = sum(file.stat().st_size for file in kept)
    what = f"{len(kept)} file{'s' * (len(kept) > 1)} of {size / 1e6:.1f} MB"
    return False, f"partly: {what}, from which it goes on" if kept else "nothing"


def _some(labels: Sequence[object]) -> str:
    shown = [str(label) for label in labels]
    return ", ".join(shown if len(shown) <= 8 else [*shown[:4], f"... ({len(shown)} in all)", shown[-1]])


def _print_warnings(scenario: Scenario, where: str = "") -> None:
    for warning in printed.together(scenario.warnings):
        tell(f"{where}Note: {warning}")
