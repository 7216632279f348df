"""The tables of a scenario file as pydantic models: what each key may hold, the JSON Schema, and messages about what does not fit.

One table at a time; what tables mean together is `scenario.py`'s. Whatever pydantic finds comes out as a `Problem`.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Mapping, Sequence
from datetime import date
from typing import Annotated, Any, Literal, TypeVar, get_args

import pydantic
from pydantic import AfterValidator, BaseModel, ConfigDict, Discriminator, Field, PlainValidator, Tag, WithJsonSchema
from pydantic.fields import FieldInfo

from .errors import Problem
from .evidence import Form
from .limits import MAX_DRAWS, MAX_LABEL, MAX_SEED
from .records import ALL_QUANTITIES, PARAMETERS
from .toml_file import KeyPath, nearest, shown


def _wrong(came: str, allowed: str, advice: str = "") -> ValueError:
    """Return what a validator raises; pydantic hands it through to `_problem`, which takes the three parts out again."""
    return ValueError(came, allowed, advice)


def _number_or_quantity(raw: Any) -> Any:
    if isinstance(raw, bool) or not isinstance(raw, int | float | str):
        raise _wrong(shown(raw), 'it must be a number, or a text with a unit such as "2.4 mg"')
    return raw


def _printable(text: str) -> None:
    if not text.isprintable():
        raise _wrong(f"{text!a} holds a line break or another character that cannot be seen", "names stand in tables", "Delete it")


def _label(text: str) -> str:
    _printable(text)
    if text != text.strip() or re.search(r"[,\[\]@|]", text):
        raise _wrong(shown(text), "a label has no blank at either end and none of , [ ] @ |, because labels stand in ids", "Rename it")
    return text


def _id(text: str) -> str:
    _printable(text)
    if text != text.strip() or "@" in text:
        raise _wrong(shown(text), "an id has no blank at either end and no @, which marks the draws of a varying block", "Rename it")
    return text


def _is_number(raw: Any) -> bool:
    return isinstance(raw, int | float) and not isinstance(raw, bool)


def _unique(labels: list[str]) -> list[str]:
    if len(set(labels)) < len(labels):
        raise _wrong("the same name stands twice in the list", "each may stand once", "Delete one")
    return labels


def _labels(raw: Any) -> tuple[str, ...]:
    labels = [raw] if isinstance(raw, str) else raw
    if not isinstance(labels, list) or not labels or not all(isinstance(label, str) and label for label in labels):
        given = raw if isinstance(raw, list) else [raw]
        quoted = ", ".join(json.dumps(str(label), ensure_ascii=False) for label in given)
        advice = f"Write {quoted if given is not raw else f'[{quoted}]'}" if any(map(_is_number, given)) and len(quoted) < 200 else ""
        raise _wrong(shown(raw), "a selector is a label or a list of labels", advice or "Leave the key out to match any label")
    return tuple(_unique(labels))


def _parameter_name(name: str) -> str:
    if name not in PARAMETERS:
        raise _wrong(f"{shown(name)} is not a parameter", f"the parameters are {', '.join(PARAMETERS)}", nearest(name, PARAMETERS))
    return name


def _quantity_name(name: str) -> str:
    if name not in ALL_QUANTITIES:
        raise _wrong(f"{shown(name)} is not a quantity", f"the quantities are {', '.join(ALL_QUANTITIES)}", nearest(name, ALL_QUANTITIES))
    return name


def _iso_date(raw: Any) -> str:
    if isinstance(raw, date):
        return raw.isoformat()
    if not isinstance(raw, str):
        raise _wrong(shown(raw), 'a date is a TOML date or a text such as "2025-12"')
    return raw


Number = Annotated[
    Any,
    PlainValidator(_number_or_quantity),
    WithJsonSchema({"anyOf": [{"type": "number"}, {"type": "string", "pattern": "^\\s*[+-]?[0-9.]"}]}),
]
Label = Annotated[str, Field(min_length=1, max_length=MAX_LABEL), AfterValidator(_label)]
Id = Annotated[str, Field(min_length=1, max_length=4000), AfterValidator(_id)]
Labels = Annotated[
    Any,
    PlainValidator(_labels),
    WithJsonSchema(
        {"anyOf": [{"type": "string", "minLength": 1}, {"type": "array", "minItems": 1, "uniqueItems": True, "items": {"type": "string"}}]}
    ),
]
LabelList = Annotated[list[Label], Field(min_length=1, json_schema_extra={"uniqueItems": True}), AfterValidator(_unique)]
Text = Annotated[str, Field(min_length=1, max_length=4000)]
IsoDate = Annotated[Any, PlainValidator(_iso_date), WithJsonSchema({"type": "string"})]
Score = Annotated[float, Field(allow_inf_nan=False, ge=-1, le=1)]  # a correlation of normal (t) scores
Pair = Annotated[list[Number], Field(min_length=2, max_length=2)]
Finite = Annotated[float, Field(allow_inf_nan=False)]
Weights = Annotated[list[Annotated[float, Field(ge=0)]], Field(min_length=1)]


class _Table(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


class _Truncated(_Table):
    lower: Number | None = Field(None, description="truncate below this bound and renormalise")
    upper: Number | None = Field(None, description="truncate above this bound and renormalise")


def _one_of(first: str, second: str) -> ConfigDict:
    """Say in the JSON Schema what `elicitation.law` enforces: exactly one way to give a two-parameter law, and that one whole."""
    pairs = dict.fromkeys([(first, second), ("mean", "sd"), ("interval", "probability")])
    together: dict[str, Any] = {one: [other] for pair in pairs for one, other in (pair, pair[::-1])}
    return ConfigDict(json_schema_extra={"oneOf": [{"required": list(pair)} for pair in pairs], "dependentRequired": together})


class _TwoParameters(_Truncated):
    mean: Number | None = Field(None, description="mean before truncation; with `sd`")
    sd: Number | None = Field(None, description="standard deviation before truncation; with `mean`")
    interval: Pair | None = Field(None, description="central interval before truncation; with `probability`")
    probability: Annotated[float, Field(gt=0, lt=1)] | None = Field(None, description="probability of `interval`, with equal tails")


class Constant(_Truncated):
    """One number, known."""

    kind: Literal["constant"]
    value: Number = Field(description="the number")


class Uniform(_TwoParameters):
    """Any number from `low` to `high` alike."""

    model_config = _one_of("low", "high")
    kind: Literal["uniform"]
    low: Number | None = Field(None, description="smallest; with `high`")
    high: Number | None = Field(None, description="largest; with `low`")


class _Peaked(_Truncated):
    low: Number = Field(description="smallest")
    mode: Number = Field(description="most probable")
    high: Number = Field(description="largest")


class Triangular(_Peaked):
    """A triangle over `low` to `high` with its peak at `mode`."""

    kind: Literal["triangular"]


class Pert(_Peaked):
    """A smooth hump over `low` to `high` with its peak at `mode` (beta-PERT)."""

    kind: Literal["pert"]


class Beta(_TwoParameters):
    """A fraction between 0 and 1."""

    model_config = _one_of("alpha", "beta")
    kind: Literal["beta"]
    alpha: Number | None = Field(None, description="first shape, > 0; with `beta`")
    beta: Number | None = Field(None, description="second shape, > 0; with `alpha`")


class Normal(_TwoParameters):
    """A normal law; `mean` and `sd` are its natural parameters."""

    model_config = _one_of("mean", "sd")
    kind: Literal["normal"]


class Lognormal(_TwoParameters):
    """A positive number whose logarithm is normal."""

    model_config = _one_of("median", "sd_log")
    kind: Literal["lognormal"]
    median: Number | None = Field(None, description="median before truncation; with `sd_log`")
    sd_log: Number | None = Field(None, description="standard deviation of the natural logarithm; with `median`")


class Gamma(_TwoParameters):
    """A positive number."""

    model_config = _one_of("shape", "scale")
    kind: Literal["gamma"]
    shape: Number | None = Field(None, description="shape, > 0; with `scale`")
    scale: Number | None = Field(None, description="scale, > 0; with `shape`")


class StudentT(_TwoParameters):
    """A law with heavier tails than the normal."""

    model_config = _one_of("loc", "scale")
    kind: Literal["student_t"]
    df: float = Field(gt=0, description="degrees of freedom, > 0; with `mean` and `sd`, > 2")
    loc: Number | None = Field(None, description="centre; with `scale`")
    scale: Number | None = Field(None, description="scale, > 0; with `loc`")


class Empirical(_Truncated):
    """The values themselves, each with its weight: a step function."""

    kind: Literal["empirical"]
    values: Annotated[list[Number], Field(min_length=1)] = Field(description="the values")
    weights: Weights | None = Field(None, description="one weight per value; equal if omitted")


class Mixture(_Truncated):
    """One of several laws, chosen with the probabilities `weights`."""

    kind: Literal["mixture"]
    components: Annotated[list[Distribution], Field(min_length=1)] = Field(description="the laws")
    weights: Weights = Field(description="one weight per law")


class Scipy(_Truncated):
    """Any continuous law of scipy.stats, with its shape parameters as further keys."""

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, Number]
    kind: Literal["scipy"]
    name: str = Field(description="name in scipy.stats, such as weibull_min")
    loc: Number | None = Field(None, description="location; 0 if omitted")
    scale: Number | None = Field(None, description="scale; 1 if omitted")


def _table_or(other: str) -> Discriminator:
    """Return what tells a table from the `other` thing that may stand in its place."""
    return Discriminator(lambda raw: "table" if isinstance(raw, dict | BaseModel) else other)


Kinds = Constant | Uniform | Triangular | Pert | Beta | Normal | Lognormal | Gamma | StudentT | Empirical | Mixture | Scipy
Distribution = Annotated[
    Annotated[Number, Tag("number")] | Annotated[Annotated[Kinds, Field(discriminator="kind")], Tag("table")],
    _table_or("number"),
]
Mixture.model_rebuild()
KINDS: dict[str, type[_Table]] = {get_args(model.model_fields["kind"].annotation)[0]: model for model in get_args(Kinds)}


class RunTable(_Table):
    """`[run]`: how much to compute, and from which seed."""

    draws: int = Field(1_000_000, ge=1, le=MAX_DRAWS, description="draws asked for; what is used is rounded up")
    seed: int = Field(ge=0, le=MAX_SEED, description="the same seed gives the same numbers; 0 is a seed like any other")
    sampler: Literal["sobol", "philox"] = Field("sobol", description="sobol: randomised Sobol' points; philox: plain Monte Carlo")
    keep_draws: int = Field(0, ge=0, le=1_000_000, description="joint draws to keep in the result, at most `draws`")
    tolerance: Annotated[float, Field(gt=0, lt=1)] | None = Field(
        None, description="draw on, beyond `draws`, until the standard error of each quantile printed is below this share of it"
    )


class Source(_Table):
    """One entry of the sources file: where a figure can be looked up."""

    title: Text = Field(description="what it is called")
    author: Text | None = Field(None, description="who wrote it")
    publisher: Text | None = Field(None, description="who issued it")
    date: IsoDate | None = Field(None, description="when it was issued")
    accessed: IsoDate | None = Field(None, description="when it was read")
    url: Text | None = Field(None, description="where it stands")
    doi: Text | None = Field(None, description="digital object identifier")
    note: Text | None = Field(None, description="what was taken from it, how sure it is, what to beware of")


class EvidenceRow(_Table):
    """`[[evidence.row]]`: one row of an evidence table, with its columns as keys."""

    corridor: Label = Field(description="route class")
    period: Label = Field(description='"FY2024", "CY2024", two ISO dates with a slash, or any other label')
    form: Form = Field(description="what was seized")
    n_events: int | None = Field(None, ge=0, description="number of seizures; omitted if unknown")
    amount: Finite = Field(ge=0, description="seized quantity")
    unit: Literal["kg", "g", "mg", "lb", "oz", "t", "pill"] = Field(description="unit of `amount`; pill (a count) only with form pill")
    rounding: Finite | None = Field(None, ge=0, description="half-width of rounding in the same unit, at most `amount`")
    n_min: int | None = Field(None, ge=1, description="smallest count where `n_events` is omitted; 1 if omitted")
    n_max: int | None = Field(None, ge=1, description="largest count where `n_events` is omitted; 300 if omitted")
    source: Text | None = Field(None, description="key into the sources, or free text")
    note: Text | None = Field(None, description="free text")


class SourcesTable(pydantic.RootModel[dict[Annotated[str, Field(pattern="^[a-z0-9-]{1,80}$")], Source]]):
    """The sources by key: the whole of a sources file, or `[evidence.sources]`."""

    model_config = ConfigDict(strict=True, frozen=True)


class EvidenceTable(_Table):
    """`[evidence]`: what was seized."""

    tables: Annotated[list[Text], Field(min_length=1)] | None = Field(None, description="CSV files, relative to the scenario file")
    sources: Annotated[Annotated[Text, Tag("text")] | Annotated[SourcesTable, Tag("table")], _table_or("text")] | None = Field(
        None, description="a TOML file of sources, relative to the scenario file; or the sources themselves, by key"
    )
    corridors: LabelList | None = Field(None, description="corridors to use, in this order; all if omitted")
    periods: LabelList | None = Field(None, description="periods to use, in this order; all if omitted")
    row: list[EvidenceRow] = Field(default_factory=list, description="rows, instead of or beside tables")


class ModelTable(_Table):
    """`[model]`: how loads are modelled."""

    load_law: Literal["lognormal", "gamma", "equal", "copy"] = Field("lognormal", description="law of the sizes of loads")
    load_truncation: float = Field(3.0, gt=0, description="upper bound of a lognormal load in standard deviations of its log; inf for none")
    event_prior: Finite = Field(0.5, ge=0, le=1000, description="prior of the rate of seizures: 0.5 Jeffreys, 0 scale-invariant, 1 flat")
    shared_load_scale: list[LabelList] = Field(
        default_factory=list,
        description="lists of corridors whose loads have one typical size within a period; each corridor alone if omitted",
    )


class ParameterBlock(_Table):
    """`[[parameter]]`: what is assumed about one input, and where it holds."""

    model_config = ConfigDict(json_schema_extra={"dependentRequired": {"varies_by": ["correlation"], "correlation": ["varies_by"]}})

    id: Id | None = Field(None, description="unique; defaults to name, or name[labels] with the labels of all selectors")
    name: Annotated[str, AfterValidator(_parameter_name), Field(json_schema_extra={"enum": list(PARAMETERS)})] = Field(
        description="which input"
    )
    corridor: Labels | None = Field(None, description="corridors or groups where it holds; any if omitted")
    period: Labels | None = Field(None, description="periods where it holds; any if omitted")
    form: Labels | None = Field(None, description="forms where it holds; any if omitted")
    distribution: Distribution = Field(description="a law, or a number that is known")
    varies_by: Annotated[
        list[Literal["corridor", "period", "form"]], AfterValidator(_unique), Field(min_length=1, json_schema_extra={"uniqueItems": True})
    ] = Field(default_factory=list, description="one draw per label of these dimensions; omitted: one draw for all that the block covers")
    correlation: Score | None = Field(
        None, description="required with varies_by: correlation of those draws; 0 independent, 1 one shared draw"
    )
    basis: Literal["published", "derived", "elicited"] = Field(description="read in print, computed from print, or judged")
    source: Text = Field(description="key into the sources, or free text")
    grade: Literal["A", "B", "C", "D", "M"] | None = Field(
        None, description="how sure: A primary, B secondary, C weak, D derived, M memory"
    )
    note: Text | None = Field(None, description="why this law; stays in the resolved scenario")


class CorrelationBlock(_Table):
    """`[[correlation]]`: inputs that tend to be high together."""

    model_config = ConfigDict(
        json_schema_extra={
            "oneOf": [{"required": ["value"]}, {"required": ["matrix"]}],
            "if": {"required": ["copula"], "properties": {"copula": {"const": "t"}}},
            "then": {"required": ["df"]},
            "else": {"not": {"required": ["df"]}},
        }
    )
    id: Text | None = Field(None, description="unique; defaults to the names in `between` joined by ~")
    between: Annotated[list[Text], AfterValidator(_unique), Field(min_length=2, json_schema_extra={"uniqueItems": True})] = Field(
        description="parameter blocks by id, or single draws as id@label"
    )
    value: Score | None = Field(None, description="one correlation for every pair")
    matrix: list[list[Score]] | None = Field(None, description="correlations of single draws, in order")
    copula: Literal["gaussian", "t"] = Field("gaussian", description="t: extremes come together too")
    df: Annotated[Finite, Field(ge=1, le=1e6)] | None = Field(None, description="degrees of freedom, required with copula t")
    note: Text | None = Field(None, description="why; stays in the resolved scenario")


class ResultTable(_Table):
    """One result, named by its labels."""

    quantity: Annotated[str, AfterValidator(_quantity_name), Field(json_schema_extra={"enum": list(ALL_QUANTITIES)})] = Field(
        description="which quantity"
    )
    corridor: Label = Field(description="a corridor or a group")
    period: Label = Field(description="a period in use")
    form: Literal["powder", "pill", "all"] = Field(description="powder, pill, or all")


class ContrastBlock(_Table):
    """`[[contrast]]`: the ratio of two results, in every draw."""

    id: Id = Field(description="unique; names the ratio in results and in claims")
    numerator: ResultTable = Field(description="what is divided")
    denominator: ResultTable = Field(description="what it is divided by")
    note: Text | None = Field(None, description="why; stays in the resolved scenario")


class GrowthBlock(_Table):
    """`[[growth]]`: how the flow of one place changed between two periods, in every draw, and how much of that is number, how much size."""

    id: Id = Field(description="unique; names the ratio of the flows in results and in claims")
    corridor: Label = Field(description="a corridor or a group")
    periods: Annotated[list[Label], Field(min_length=2, max_length=2), AfterValidator(_unique)] = Field(
        description="the earlier period, then the later one"
    )
    quantity: Literal["flow_pure_kg", "flow_gross_kg"] = Field("flow_pure_kg", description="which flow")
    form: Literal["powder", "pill", "all"] = Field("all", description="powder, pill, or all")
    quoted: Label | None = Field(None, description="a corridor whose rows in both periods hold the figures as quoted, with their rounding")
    note: Text | None = Field(None, description="why; stays in the resolved scenario")


class ClaimBlock(_Table):
    """`[[claim]]`: a statement about a contrast, whose probability is asked for."""

    model_config = ConfigDict(
        json_schema_extra={"oneOf": [{"required": ["above"]}, {"required": ["below"]}, {"required": ["between"]}]},
    )
    id: Id = Field(description="unique; names the claim in results")
    text: Text = Field(description="what is claimed, as a sentence")
    contrast: Text = Field(description="the contrast, the growth, or its ID.seized, that it is about, by id")
    above: Finite | None = Field(None, description="true where the ratio is greater than this")
    below: Finite | None = Field(None, description="true where the ratio is less than this")
    between: Annotated[list[Finite], Field(min_length=2, max_length=2)] | None = Field(
        None, description="true where the ratio lies between these two, both included"
    )
    note: Text | None = Field(None, description="who said so, why; stays in the resolved scenario")


class ConditionBlock(_Table):
    """`[[condition]]`: evidence about a result, which reweights the draws: Phi((log limit - log result) / log_sd) for an upper bound."""

    model_config = ConfigDict(json_schema_extra={"anyOf": [{"required": ["soft_upper"]}, {"required": ["soft_lower"]}]})
    id: Id = Field(description="unique; names the condition")
    result: ResultTable = Field(description="what is known about")
    soft_upper: Number | None = Field(None, description='the result is hardly above this; in its unit, or a text with one, as "10 t"')
    soft_lower: Number | None = Field(None, description="the result is hardly below this")
    log_sd: Annotated[Finite, Field(gt=0, le=100)] = Field(description="how soft: standard deviation of the log of the bound")
    source: Text | None = Field(None, description="key of a source, of no parameter's law, or free text")
    note: Text | None = Field(None, description="why; stays in the resolved scenario")


class SensitivityTable(_Table):
    """`[sensitivity]`: which inputs the contrasts, the claims and some results hang on; asked for by this table, even an empty one."""

    scale: Literal["log", "raw"] = Field("log", description="of whose variance an index is a share: of the log of a target, or of itself")
    shapley: bool = Field(False, description="Shapley effects of groups of inputs too, from about as many draws again")
    target: list[ResultTable] | None = Field(
        None, description="results, besides all contrasts; if omitted, flow_pure_kg of every group, or corridor where there is no group"
    )
    note: Text | None = Field(None, description="why; stays in the resolved scenario")


def _swept(raw: Any) -> list[Any]:
    if not isinstance(raw, list) or not raw:
        raise _wrong(shown(raw), "values is a list of at least one value", "Write values = [0.0, 0.5]")
    return raw


class SweepBlock(_Table):
    """`[[sweep]]`: values of one entry of the scenario; every combination of all sweeps is run."""

    dim: Annotated[str, Field(pattern="^[A-Za-z][A-Za-z0-9_]{0,59}$")] = Field(
        description="name of the dimension in the result; no name of the layout"
    )
    path: Text = Field(description='what is varied: a path as in --set, "parameter.ID.correlation" or "model.load_law"')
    values: Annotated[Any, PlainValidator(_swept), WithJsonSchema({"type": "array", "minItems": 1, "uniqueItems": True})] = Field(
        description="what is put there, one after another"
    )
    labels: Annotated[list[Text], Field(min_length=1, json_schema_extra={"uniqueItems": True}), AfterValidator(_unique)] | None = Field(
        None, description="one label for each value; required where values are tables or lists"
    )


class Heading(_Table):
    """The keys above the first table."""

    schema_version: Literal[1] = Field(description="version of this format")
    name: str = Field(pattern="^[a-z0-9-]{1,60}$", description="names the results folder")
    question: str = Field("", max_length=4000, description="what the scenario is to answer")


class GroupsTable(pydantic.RootModel[dict[Label, LabelList]]):
    """`[groups]`: named sums of corridors; they may overlap, may not nest, and may not bear a corridor's name."""

    model_config = ConfigDict(strict=True, frozen=True)


class ScenarioFile(Heading):
    """A scenario of borderflow-sim: what was seized, what is assumed, and how much to compute."""

    run: RunTable
    evidence: EvidenceTable
    groups: GroupsTable = Field(default_factory=lambda: GroupsTable({}), description="named sums of corridors")
    model: ModelTable = Field(default_factory=lambda: ModelTable.model_validate({}), description="how loads are modelled")
    parameter: list[ParameterBlock] = Field(default_factory=list, description="what is assumed")
    correlation: list[CorrelationBlock] = Field(default_factory=list, description="what is assumed to go together")
    contrast: list[ContrastBlock] = Field(default_factory=list, description="what is compared")
    claim: list[ClaimBlock] = Field(default_factory=list, description="what is claimed")
    condition: list[ConditionBlock] = Field(default_factory=list, description="what else is known of results")
    growth: list[GrowthBlock] = Field(default_factory=list, description="what is compared over two periods")
    sensitivity: SensitivityTable | None = Field(None, description="which inputs the answers hang on")
    sweep: list[SweepBlock] = Field(default_factory=list, description="what is varied")


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema (Draft 2020-12) of the scenario file, made from the models that read it.

    A key that TOML leaves out is absent, so no key is ever null.
    """
    schema = ScenarioFile.model_json_schema()
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **_without_null(schema)}


def _without_null(node: Any) -> Any:
    """Drop the `null` that pydantic gives an optional key, and the default that says so."""
    if isinstance(node, list):
        return [_without_null(item) for item in node]
    if not isinstance(node, dict):
        return node
    if "anyOf" in node and {"type": "null"} in node["anyOf"]:
        options = [option for option in node["anyOf"] if option != {"type": "null"}]
        rest = {key: item for key, item in node.items() if key != "anyOf" and not (key == "default" and item is None)}
        return _without_null({**options[0], **rest} if len(options) == 1 else {"anyOf": options, **rest})
    return {key: _without_null(item) for key, item in node.items() if not (key == "default" and item is None)}


_Model = TypeVar("_Model", bound=BaseModel)


def validated(model: type[_Model], raw: Any, path: KeyPath, problems: list[Problem]) -> _Model | None:
    """Return `raw` as a model, or None after adding what is wrong with it."""
    if not isinstance(raw, dict):
        came = f"{path[-1]} = {shown(raw)} stands where a table is needed"
        problems.append(Problem(path=path, came=came, advice=f"Write [{path[0]}] above its keys"))
        return None
    try:
        return model.model_validate(raw)
    except pydantic.ValidationError as error:
        problems.extend(_problem(details, model, raw, path) for details in error.errors(include_url=False))
        return None


def as_far(model: type[_Model], raw: Any, path: KeyPath, problems: list[Problem]) -> _Model | None:
    """Return `raw` as a model; or, after adding what is wrong, with None for each key that cannot be read, so that the others are checked.

    None where there is no table at all. What was refused is good for finding further problems, and for nothing else.
    """
    whole = validated(model, raw, path, problems)
    return whole if whole is not None or not isinstance(raw, dict) else _legible(model, raw)


def _legible(model: type[_Model], raw: Mapping[str, Any]) -> _Model:
    """Return what each key of a table says by itself: None for what is missing or refused, the default for what may be left out."""
    read: dict[str, Any] = {}
    for key, field in model.model_fields.items():
        table = field.annotation
        if key not in raw:
            read[key] = None if field.is_required() else field.get_default(call_default_factory=True)
        elif isinstance(table, type) and issubclass(table, BaseModel) and isinstance(raw[key], dict):
            read[key] = _legible(table, raw[key])
        else:
            try:
                read[key] = _reader_of(model, key).validate_python(raw[key], strict=True)
            except pydantic.ValidationError:
                read[key] = None
    return model.model_construct(**read)


@functools.cache
def _reader_of(model: type[BaseModel], key: str) -> pydantic.TypeAdapter[Any]:
    field = model.model_fields[key]
    annotation: Any = Annotated[(field.annotation, *field.metadata)] if field.metadata else field.annotation
    return pydantic.TypeAdapter(annotation)


def legible_groups(raw: Any) -> dict[str, list[str]]:
    """Return the groups of a refused table, those that cannot be read without members: their names are known all the same."""
    groups = {}
    for name, members in raw.items() if isinstance(raw, dict) else ():
        try:
            groups[str(name)] = GroupsTable.model_validate({name: members}).root[name]
        except pydantic.ValidationError:
            groups[str(name)] = []
    return groups


def _problem(details: Mapping[str, Any], model: type[BaseModel], raw: dict[str, Any], prefix: KeyPath) -> Problem:
    """Return pydantic's finding in four parts; its tags are taken out of the path, which counts from 1."""
    kind, context, given = details["type"], details.get("ctx", {}), details["input"]
    path: list[str | int] = []
    here: Any = raw  # what stands at the path
    table: Any = raw  # what holds or lacks the last key of the path
    for part in details["loc"]:
        if (isinstance(here, dict) and part in here) or (isinstance(here, list) and isinstance(part, int)):
            path.append(part + 1 if isinstance(part, int) else part)
            table, here = here, here[part]
        elif kind == "missing" and part == details["loc"][-1]:
            path.append(part)
            table = here
    key = next((part for part in reversed(path) if isinstance(part, str)), "")
    came, allowed, advice = f"{key} = {shown(given)}" if path and path[-1] == key else shown(given), "", ""
    fields = _fields(model, path, table)
    match kind:
        case "value_error":
            came, allowed, advice = context["error"].args
        case "missing":
            allowed = f"it is required: {fields[key].description}" if key in fields and fields[key].description else "it is required"
            came, advice = f"{key} is missing", f"Add {key}"
        case "extra_forbidden":
            came, allowed, advice = f"unknown key {key}", f"the keys here are {', '.join(fields)}", nearest(key, fields)
        case "literal_error":
            texts = re.findall(r"'([^']*)'", context["expected"])
            allowed = f"it must be {' or '.join(map(shown, texts)) or context['expected']}"
            # No word is advised that is not near: following it would falsify a number or where it comes from.
            alone = f"Write {texts[0] if texts else context['expected']}" if len(texts) < 2 else "Write one of these"
            advice = (nearest(given, texts) if isinstance(given, str) else "") or alone
        case "union_tag_invalid":
            came, allowed = f"kind = {shown(here.get('kind'))}", f"the kinds are {', '.join(KINDS)}"
            advice = nearest(str(here.get("kind")), KINDS)
            path.append("kind")
        case "union_tag_not_found":
            came, allowed, advice = "kind is missing", f"the kinds are {', '.join(KINDS)}", 'Add kind = "beta", or write a bare number'
        case "string_pattern_mismatch":
            if key == "dim":
                allowed = "it must be a letter and up to 59 letters, digits and _"
                advice = f"Write {json.dumps(re.sub('[^A-Za-z0-9]+', '_', str(given)).strip('_0123456789')[:60] or 'my_dim')}"
            else:
                what, most = ("a key", 80) if "[key]" in details["loc"] else ("it", 60)
                allowed = f"{what} must be 1 to {most} of the characters a-z, 0-9 and -"
                advice = f"Write {json.dumps(re.sub('[^a-z0-9]+', '-', str(given).lower()).strip('-')[:most] or 'my-name')}"
        case "greater_than" | "greater_than_equal" | "less_than" | "less_than_equal":
            sign = {"greater_than": ">", "greater_than_equal": ">=", "less_than": "<", "less_than_equal": "<="}[kind]
            bound = next(iter(context.values()))
            allowed = f"it must be {sign} {bound:{'g' if isinstance(bound, float) else '' if key == 'seed' else ','}}"
            advice = f"{'Raise' if sign[0] == '>' else 'Lower'} it"
            if key == "probability" and 1 < given < 100:
                advice = f"Write {given / 100:g}"
        case "int_type" | "int_from_float":
            allowed, advice = "it must be an integer", "Write digits only, without quotes and without a decimal point"
            if isinstance(given, float) and given.is_integer() and abs(given) < 2**63:
                advice = f"Write {int(given):_}"
        case "float_type" | "finite_number":
            allowed, advice = "it must be a number", "Write digits, without quotes"
            if isinstance(given, str) and (percent := re.fullmatch(r"\s*([0-9]{1,3}(?:\.[0-9]+)?)\s*%\s*", given)):
                advice = f"A fraction is 0..1: write {float(percent[1]) / 100:g}"
        case "string_type":
            allowed, advice = "it must be a text", f'Write {key} = "..."'
            if isinstance(given, int) and not isinstance(given, bool) and len(shown(given)) < 30:
                advice = f'Write "{given}"'
        case "list_type":
            allowed, advice = "it must be a list", f"Write {key} = [...]"
        case "dict_type" | "model_type" | "model_attributes_type":
            allowed, advice = "it must be a table", "Write its keys in a [table] or in braces"
        case "too_short" | "too_long" | "string_too_short" | "string_too_long":
            bound = context.get("min_length", context.get("max_length"))
            what = "characters" if kind.startswith("string") else "entries"
            what = what if bound != 1 else {"characters": "character", "entries": "entry"}[what]
            allowed = f"it must have {'at least' if 'short' in kind else 'at most'} {bound} {what}"
            needed = key in fields and fields[key].is_required()
            advice = ("Add what is missing" + (", or leave the key out" if not needed else "")) if "short" in kind else "Shorten it"
        case _:
            allowed = details["msg"]
    return Problem(path=prefix + tuple(path), came=came, allowed=allowed, advice=advice)


def _fields(model: type[BaseModel], path: Sequence[str | int], table: Any) -> dict[str, FieldInfo]:
    """Return the keys that `table`, which holds the last key of `path`, may have."""
    if "distribution" in path[:-1]:
        model = KINDS.get(str(table.get("kind")) if isinstance(table, dict) else "", model)
    elif model is SourcesTable or (model is EvidenceTable and len(path) > 1):
        model = Source
    elif model in (ContrastBlock, ConditionBlock, SensitivityTable) and len(path) > 1:
        model = ResultTable
    return model.model_fields
