"""Scenario files: TOML in, validated records out, and every message about one; pydantic and tree-sitter stay inside this file.

Stages: guards on the file -> tomllib -> `--set` -> the tables as pydantic models (also the JSON Schema) -> the records of `records.py` ->
the cross-block checks of `model.py`. Each stage adds its problems to one list, so that a reader sees all mistakes of a file at once.
Key paths count from 1, as a reader counts blocks: `parameter[2]` is the second `[[parameter]]`.
"""

from __future__ import annotations

import copy
import json
import math
import os
import re
import stat
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import pydantic
import tomli_w
import tree_sitter
import tree_sitter_toml
from pydantic import AfterValidator, BaseModel, ConfigDict, Discriminator, Field, PlainValidator, Tag, WithJsonSchema
from pydantic_core import ErrorDetails, PydanticCustomError

from .distributions import Law, LawError, as_mapping, cdf, law, support
from .errors import EvidenceError, Problem, ScenarioError
from .evidence import Row, check_rows, read_table, row_as_mapping, row_from_mapping
from .matching import match, unused
from .model import check
from .model import warnings as model_warnings
from .records import DIMENSIONS, PARAMETERS, QUANTITIES, RESULT_FORMS, Correlation, Parameter, Scenario
from .units import closest

MAX_BYTES = 1 << 20  # of a scenario or a sources file; the shipped scenario has 20 KB
MAX_DEPTH = 32  # of tables, arrays and dotted keys; the grammar needs 6
MAX_NUMBER = 1e300  # leaves room for a unit and a sum before a float overflows
MAX_DRAWS = 10**13
MAX_PROBLEMS = 200  # that a message shows; a person stops reading earlier
MAX_KEPT_BYTES = 1 << 31  # of kept draws in memory
NOT_YET = ("contrast", "claim", "condition", "sweep")

KeyPath = tuple[str | int, ...]

# --- 1. The tables of the file -----------------------------------------------------------------------------------------------------


def _wrong(came: str, allowed: str = "", advice: str = "") -> PydanticCustomError:
    return PydanticCustomError("problem", "{came}", {"came": came, "allowed": allowed, "advice": advice})


def _number_or_quantity(raw: Any) -> Any:
    if isinstance(raw, bool) or not isinstance(raw, int | float | str):
        raise _wrong(_shown(raw), 'it must be a number, or a text with a unit such as "2.4 mg"')
    return raw


def _label(text: str) -> str:
    if text != text.strip() or re.search(r"[,\[\]@|]", text):
        raise _wrong(_shown(text), "a label has no blank at either end and none of , [ ] @ |, because labels stand in ids", "Rename it")
    return text


def _id(text: str) -> str:
    if text != text.strip() or "@" in text:
        raise _wrong(_shown(text), "an id has no blank at either end and no @, which marks the draws of a varying block", "Rename it")
    return text


def _labels(raw: Any) -> tuple[str, ...]:
    labels = [raw] if isinstance(raw, str) else raw
    if not isinstance(labels, list) or not labels or not all(isinstance(label, str) and label for label in labels):
        raise _wrong(_shown(raw), "a selector is a label or a list of labels", "Leave the key out to match any label")
    if len(set(labels)) < len(labels):
        raise _wrong("the same label stands twice in the list", "each label may stand once", "Delete one")
    return tuple(labels)


def _unique(labels: list[str]) -> list[str]:
    if len(set(labels)) < len(labels):
        raise _wrong("the same name stands twice in the list", "each may stand once", "Delete one")
    return labels


def _parameter_name(name: str) -> str:
    if name not in PARAMETERS:
        raise _wrong(f"{_shown(name)} is not a parameter", f"the parameters are {', '.join(PARAMETERS)}", _nearest(name, PARAMETERS))
    return name


def _iso_date(raw: Any) -> str:
    if isinstance(raw, date):
        return raw.isoformat()
    if not isinstance(raw, str):
        raise _wrong(_shown(raw), 'a date is a TOML date or a text such as "2025-12"')
    return raw


Number = Annotated[
    Any,
    PlainValidator(_number_or_quantity),
    WithJsonSchema({"anyOf": [{"type": "number"}, {"type": "string", "pattern": "^\\s*[+-]?[0-9.]"}]}),
]
Label = Annotated[str, Field(min_length=1, max_length=200), AfterValidator(_label)]
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
Pair = Annotated[list[Number], Field(min_length=2, max_length=2)]
Finite = Annotated[float, Field(allow_inf_nan=False)]
Weights = Annotated[list[Annotated[float, Field(ge=0)]], Field(min_length=1)]


class _Table(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


class _Truncated(_Table):
    lower: Number | None = Field(None, description="truncate below this bound and renormalise")
    upper: Number | None = Field(None, description="truncate above this bound and renormalise")


def _one_of(first: str, second: str) -> ConfigDict:
    """Say in the JSON Schema what `distributions.law` enforces: exactly one way to give a two-parameter law, and that one whole."""
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


class Triangular(_Truncated):
    """A triangle over `low` to `high` with its peak at `mode`."""

    kind: Literal["triangular"]
    low: Number = Field(description="smallest")
    mode: Number = Field(description="most probable")
    high: Number = Field(description="largest")


class Pert(_Truncated):
    """A smooth hump over `low` to `high` with its peak at `mode` (beta-PERT)."""

    kind: Literal["pert"]
    low: Number = Field(description="smallest")
    mode: Number = Field(description="most probable")
    high: Number = Field(description="largest")


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


def _distribution_tag(raw: Any) -> str:
    return "table" if isinstance(raw, dict | BaseModel) else "number"


Kinds = Constant | Uniform | Triangular | Pert | Beta | Normal | Lognormal | Gamma | StudentT | Empirical | Mixture | Scipy
Distribution = Annotated[
    Annotated[Number, Tag("number")] | Annotated[Annotated[Kinds, Field(discriminator="kind")], Tag("table")],
    Discriminator(_distribution_tag),
]
Mixture.model_rebuild()
KINDS: dict[str, type[_Table]] = {
    model.model_fields["kind"].annotation.__args__[0]: model  # type: ignore[union-attr]
    for model in (Constant, Uniform, Triangular, Pert, Beta, Normal, Lognormal, Gamma, StudentT, Empirical, Mixture, Scipy)
}


class RunTable(_Table):
    """`[run]`: how much to compute, and from which seed."""

    draws: int = Field(1_000_000, ge=1, le=MAX_DRAWS, description="draws asked for; what is used is rounded up")
    seed: int = Field(ge=0, le=2**64 - 1, description="the same seed gives the same numbers; 0 is a seed like any other")
    sampler: Literal["sobol", "philox"] = Field("sobol", description="sobol: randomised Sobol' points; philox: plain Monte Carlo")
    keep_draws: int = Field(0, ge=0, le=1_000_000, description="joint draws to keep in the result, at most `draws`")


class Source(_Table):
    """One entry of the sources file: where a figure can be looked up."""

    title: Text = Field(description="what it is called")
    author: Text | None = Field(None, description="who wrote it")
    publisher: Text | None = Field(None, description="who issued it")
    date: Annotated[Any, PlainValidator(_iso_date), WithJsonSchema({"type": "string"})] | None = Field(
        None, description="when it was issued"
    )
    accessed: Annotated[Any, PlainValidator(_iso_date), WithJsonSchema({"type": "string"})] | None = Field(
        None, description="when it was read"
    )
    url: Text | None = Field(None, description="where it stands")
    doi: Text | None = Field(None, description="digital object identifier")
    note: Text | None = Field(None, description="what was taken from it, how sure it is, what to beware of")


class EvidenceRow(_Table):
    """`[[evidence.row]]`: one row of an evidence table, with its columns as keys."""

    corridor: Label = Field(description="route class")
    period: Label = Field(description='"FY2024", "CY2024", two ISO dates with a slash, or any other label')
    form: Literal["powder", "pill", "unrecorded"] = Field(description="what was seized")
    n_events: int | None = Field(None, ge=0, description="number of seizures; omitted if unknown")
    amount: Finite = Field(ge=0, description="seized quantity")
    unit: Literal["kg", "g", "mg", "lb", "oz", "t", "pill"] = Field(description="unit of `amount`; pill (a count) only with form pill")
    rounding: Finite | None = Field(None, ge=0, description="half-width of rounding in the same unit, at most `amount`")
    n_min: int | None = Field(None, ge=1, description="smallest count where `n_events` is omitted; 1 if omitted")
    n_max: int | None = Field(None, ge=1, description="largest count where `n_events` is omitted; 300 if omitted")
    source: Text | None = Field(None, description="key into the sources, or free text")
    note: Text | None = Field(None, description="free text")


SourceKey = Annotated[str, Field(pattern="^[a-z0-9-]{1,80}$")]


class EvidenceTable(_Table):
    """`[evidence]`: what was seized."""

    tables: Annotated[list[Text], Field(min_length=1)] | None = Field(None, description="CSV files, relative to the scenario file")
    sources: (
        Annotated[
            Annotated[Text, Tag("path")] | Annotated[dict[SourceKey, Source], Tag("inline")],
            Discriminator(lambda raw: "inline" if isinstance(raw, dict) else "path"),
        ]
        | None
    ) = Field(None, description="a TOML file of sources, relative to the scenario file; or the sources themselves, by key")
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
    correlation: Annotated[Finite, Field(ge=-1, le=1)] | None = Field(
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
    value: Annotated[Finite, Field(ge=-1, le=1)] | None = Field(None, description="one correlation for every pair")
    matrix: list[list[Annotated[Finite, Field(ge=-1, le=1)]]] | None = Field(None, description="correlations of single draws, in order")
    copula: Literal["gaussian", "t"] = Field("gaussian", description="t: extremes come together too")
    df: Annotated[Finite, Field(ge=1, le=1e6)] | None = Field(None, description="degrees of freedom, required with copula t")
    note: Text | None = Field(None, description="why; stays in the resolved scenario")


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


def _validated(model: type[_Model], raw: Any, path: KeyPath, problems: list[Problem]) -> _Model | None:
    """Return `raw` as a model, or None after adding what is wrong with it."""
    if not isinstance(raw, dict):
        problems.append(
            Problem(
                path=path, came=f"{path[-1]} = {_shown(raw)} stands where a table is needed", advice=f"Write [{path[0]}] above its keys"
            )
        )
        return None
    try:
        return model.model_validate(raw)
    except pydantic.ValidationError as error:
        problems.extend(_problem(details, model, raw, path) for details in error.errors(include_url=False))
        return None


def _problem(details: ErrorDetails, model: type[BaseModel], raw: dict[str, Any], prefix: KeyPath) -> Problem:
    """Return pydantic's finding in four parts; its tags are taken out of the path, which counts from 1."""
    kind, context = details["type"], details.get("ctx", {})
    path: list[str | int] = []
    table: Any = raw
    parent: Any = raw
    for part in details["loc"]:
        inside = (isinstance(table, dict) and part in table) or (isinstance(table, list) and isinstance(part, int))
        if inside:
            path.append(part + 1 if isinstance(part, int) else part)
            parent, table = table, table[part]
        elif kind == "missing" and part == details["loc"][-1]:
            path.append(part)
    key = next((part for part in reversed(path) if isinstance(part, str)), "")
    came, allowed, advice = f"{key} = {_shown(details['input'])}" if path and path[-1] == key else _shown(details["input"]), "", ""
    match kind:
        case "problem":
            came, allowed, advice = (str(context[part]) for part in ("came", "allowed", "advice"))
        case "missing":
            came, allowed, advice = f"{key} is missing", _described(model, path), f"Add {key}"
        case "extra_forbidden":
            known = _known_keys(model, path, parent)
            came, allowed, advice = f"unknown key {key}", f"the keys here are {', '.join(known)}", _nearest(str(key), known)
        case "literal_error":
            options = re.findall(r"'([^']*)'", str(context["expected"])) or [str(context["expected"])]
            allowed = (
                f"it must be {' or '.join(_shown(option) if details['loc'][-1] != 'schema_version' else option for option in options)}"
            )
            advice = (_nearest(details["input"], options) if isinstance(details["input"], str) else "") or f"Write {options[0]}"
        case "union_tag_invalid":
            came, allowed = f"kind = {_shown(table.get('kind'))}", f"the kinds are {', '.join(KINDS)}"
            advice = _nearest(str(table.get("kind")), KINDS)
            path.append("kind")
        case "union_tag_not_found":
            came, allowed, advice = "kind is missing", f"the kinds are {', '.join(KINDS)}", 'Add kind = "beta", or write a bare number'
        case "string_pattern_mismatch":
            named = "[key]" in details["loc"]
            allowed = f"{'a key' if named else 'it'} must be 1 to {80 if named else 60} of the characters a-z, 0-9 and -"
            advice = f"Write {_slug(str(details['input']))}"
        case "greater_than" | "greater_than_equal" | "less_than" | "less_than_equal":
            sign = {"greater_than": ">", "greater_than_equal": ">=", "less_than": "<", "less_than_equal": "<="}[kind]
            bound = next(iter(context.values()))
            shown = f"{bound:g}" if isinstance(bound, float) else f"{bound}" if key == "seed" else f"{bound:,}"
            allowed = f"it must be {sign} {shown}"
            advice = f"{'Raise' if sign[0] == '>' else 'Lower'} it"
        case "int_type" | "int_from_float":
            allowed, advice = "it must be an integer", "Write digits only, without quotes and without a decimal point"
        case "float_type" | "finite_number":
            allowed, advice = "it must be a number", "Write digits, without quotes"
        case "string_type":
            allowed, advice = "it must be a text", f'Write {key} = "..."'
        case "list_type":
            allowed, advice = "it must be a list", f"Write {key} = [...]"
        case "dict_type" | "model_type" | "model_attributes_type":
            allowed, advice = "it must be a table", "Write its keys in a [table] or in braces"
        case "too_short" | "too_long" | "string_too_short" | "string_too_long":
            bound = context.get("min_length", context.get("max_length"))
            what = "characters" if kind.startswith("string") else "entries"
            allowed = f"it must have {'at least' if 'short' in kind else 'at most'} {bound} {what}"
            advice = "Add what is missing, or leave the key out" if "short" in kind else "Shorten it"
        case _:
            allowed = details["msg"]
    return Problem(path=prefix + tuple(path), came=came, allowed=allowed, advice=advice)


def _known_keys(model: type[BaseModel], path: Sequence[str | int], parent: Any) -> list[str]:
    """Return the keys of the table that `path` ends in."""
    if "distribution" in path and isinstance(parent, dict) and parent.get("kind") in KINDS:
        model = KINDS[parent["kind"]]
    elif model is EvidenceTable and path[0] == "row":
        model = EvidenceRow
    elif model is EvidenceTable and path[0] == "sources":
        model = Source
    return list(model.model_fields)


def _described(model: type[BaseModel], path: Sequence[str | int]) -> str:
    entry = model.model_fields.get(str(path[-1])) if len(path) == 1 else None
    return f"it is required: {entry.description}" if entry is not None and entry.description else "it is required"


def _shown(raw: Any) -> str:
    """Return a short form of anything that TOML can hold, as it would be written there."""
    match raw:
        case bool():
            return "true" if raw else "false"
        case int() if raw.bit_length() > 100:  # repr refuses integers of more than 4300 digits
            return f"an integer of {raw.bit_length()} bits"
        case int() | float():
            return repr(raw)
        case str():
            return json.dumps(raw if len(raw) <= 60 else raw[:57] + "...", ensure_ascii=False)
        case dict():
            return "a table"
        case list() | tuple():
            return f"a list of {len(raw)}"
        case date():
            return f"the date {raw.isoformat()}"
        case _:
            return str(raw)[:60]


def _slug(text: str) -> str:
    return json.dumps(re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:60] or "my-scenario")


def _nearest(word: str, options: Iterable[str]) -> str:
    near = closest(word, options)
    return f"The nearest is {json.dumps(near, ensure_ascii=False)}" if near is not None else ""


# --- 2. Lines -----------------------------------------------------------------------------------------------------------------------


def _line_numbers(text: bytes) -> dict[KeyPath, int]:
    """Return the line of every table header, key and array element of a TOML document by key path; numbers count from 1."""
    lines: dict[KeyPath, int] = {(): 1}
    n_elements: dict[KeyPath, int] = {}

    def keys(node: tree_sitter.Node) -> list[str]:
        if node.type == "dotted_key":
            return [key for child in node.named_children for key in keys(child)]
        written = (node.text or b"").decode()
        return [next(iter(tomllib.loads(f"{written} = 0"))) if node.type == "quoted_key" else written]

    def inside(names: Sequence[str], base: KeyPath = ()) -> KeyPath:
        """Return the path of a header's table: a list of tables means its last element."""
        for name in names:
            base = (*base, name)
            base = (*base, n_elements[base]) if base in n_elements else base
        return base

    def note(path: KeyPath, node: tree_sitter.Node) -> None:
        for depth in range(1, len(path) + 1):
            lines.setdefault(path[:depth], node.start_point[0] + 1)

    def walk(node: tree_sitter.Node, path: KeyPath) -> None:
        for pair in (child for child in node.named_children if child.type == "pair"):
            key, *rest = (child for child in pair.named_children if child.type != "comment")
            inner = (*path, *keys(key))
            note(inner, key)
            descend(rest[-1] if rest else key, inner)

    def descend(node: tree_sitter.Node, path: KeyPath) -> None:
        if node.type == "inline_table":
            walk(node, path)
        elif node.type == "array":
            for number, element in enumerate((child for child in node.named_children if child.type != "comment"), start=1):
                note((*path, number), element)
                descend(element, (*path, number))

    root = tree_sitter.Parser(tree_sitter.Language(tree_sitter_toml.language())).parse(text).root_node
    walk(root, ())
    for node in root.named_children:
        if node.type not in ("table", "table_array_element") or not node.named_children:
            continue
        names = keys(node.named_children[0])
        if node.type == "table":
            path = inside(names)
        else:
            path = (*inside(names[:-1]), names[-1])
            n_elements[path] = n_elements.get(path, 0) + 1
            path = (*path, n_elements[path])
        note(path, node)
        walk(node, path)
    return lines


@dataclass(frozen=True, slots=True, kw_only=True)
class _TomlFile:
    """A TOML file that has been read: its name as the user gave it, what it holds, where its keys stand."""

    name: str
    document: dict[str, Any]
    lines: Mapping[KeyPath, int]

    def locate(self, problem: Problem) -> Problem:
        """Return the problem with file and line; what is missing is looked for at the table that lacks it."""
        problem = replace(problem, advice=problem.advice[:1].upper() + problem.advice[1:])
        if problem.file is not None:
            return problem
        path = problem.path
        while path not in self.lines:
            path = path[:-1]
        return problem.at(file=self.name, line=self.lines[path])


# --- 3. Reading, with guards --------------------------------------------------------------------------------------------------------

_TOKEN = re.compile(
    r'''"""(?:[^\\]|\\.)*?"""|\'\'\'.*?\'\'\'|"(?:[^"\\\n]|\\.)*"|'[^'\n]*'|\#[^\n]*|[A-Za-z0-9_+-]+|[ \t]+|.|\n''', re.DOTALL
)


def _too_deep(text: str) -> int | None:
    """Return the first line where brackets, or the parts of a dotted key, exceed MAX_DEPTH; tomllib recurses into the ones and is
    quadratic in the others (a key of 100,000 parts would take it an hour)."""
    depth, n_dots, line = 0, 0, 1
    for found in _TOKEN.finditer(text):
        token = found[0]
        if token in ("[", "{"):
            depth += 1
        elif token in ("]", "}"):
            depth -= 1
        n_dots = n_dots + 1 if token == "." else 0 if token in ("=", ",", "\n", "[", "]", "{", "}") else n_dots
        if max(depth, n_dots) > MAX_DEPTH:
            return line
        line += token.count("\n")
    return None


def _read_toml(path: Path, name: str, what: str) -> _TomlFile:
    """Read a TOML file of at most MAX_BYTES, or raise ScenarioError: nothing in a file may crash, hang or fill the memory."""

    def refuse(came: str, allowed: str = "", advice: str = "", line: int | None = None) -> ScenarioError:
        return ScenarioError([Problem(file=name, line=line, came=came, allowed=allowed, advice=advice)])

    try:
        status = os.stat(path)
        if stat.S_ISDIR(status.st_mode):
            raise refuse(f"this is a folder, not {what}", f"{what} is a TOML file", "Give the file inside it")
        if not stat.S_ISREG(status.st_mode):
            raise refuse("this is not a regular file", f"{what} is a TOML file", "Save it as a file first")
        with open(path, "rb") as stream:
            content = stream.read(MAX_BYTES + 1)
    except FileNotFoundError:
        siblings = [entry.name for entry in path.parent.iterdir()] if path.parent.is_dir() else []
        raise refuse("there is no such file", f"{what} must exist", _nearest(path.name, siblings) or "Check the path") from None
    except PermissionError:
        raise refuse("this file may not be read", f"{what} must be readable", "Change its permissions") from None
    except (OSError, ValueError) as error:
        raise refuse(f"this file cannot be read ({error})", f"{what} is a TOML file", "Check the path") from None
    if len(content) > MAX_BYTES:
        raise refuse(
            f"this file is larger than {MAX_BYTES:,} bytes", f"{what} has at most {MAX_BYTES:,} bytes", "Move evidence into a table"
        )
    try:
        text = content.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise refuse(f"byte {error.start + 1} is not UTF-8", "TOML is UTF-8", "Save the file as UTF-8", line) from None
    deep = _too_deep(text)
    if deep is not None:
        raise refuse("tables, lists or dotted keys are nested too deeply", f"at most {MAX_DEPTH} levels", "Flatten them", deep)
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        found = re.search(r" ?\(at (?:line (\d+), column (\d+)|end of document)\)", str(error))
        line = int(found[1]) if found is not None and found[1] else text.count("\n") + 1
        column = f" at column {found[2]}" if found is not None and found[2] else " at the end of the file"
        what_came = str(error)[: found.start()] if found is not None else str(error)
        raise refuse(f"{what_came}{column}", "this is not TOML 1.0", "Correct this line first; other errors follow then", line) from None
    except (RecursionError, ValueError):  # an integer of more than 4300 digits is a ValueError of int()
        digits = re.search(r"[0-9_]{4000,}", text)
        at = text.count("\n", 0, digits.start()) + 1 if digits is not None else None
        raise refuse("a number is too long", "a number has at most 4300 digits", "Shorten it", at) from None
    return _TomlFile(name=name, document=document, lines=_line_numbers(text.encode()))


def _check_scalars(node: Any, path: KeyPath, problems: list[Problem]) -> None:
    """Refuse numbers that no computation survives, and control characters, anywhere in the file."""
    if len(path) > MAX_DEPTH:
        problems.append(
            Problem(path=path[:3], came="this is nested too deeply", allowed=f"at most {MAX_DEPTH} levels", advice="Flatten it")
        )
    elif isinstance(node, dict):
        for key, item in node.items():
            _check_scalars(key, (*path, key), problems)
            _check_scalars(item, (*path, key), problems)
    elif isinstance(node, list):
        for number, item in enumerate(node, start=1):
            _check_scalars(item, (*path, number), problems)
    elif isinstance(node, float) and not math.isfinite(node):
        if path != ("model", "load_truncation") or not node > 0:
            allowed = "a number must be finite; only model.load_truncation may be inf"
            problems.append(Problem(path=path, came=_shown(node), allowed=allowed, advice="Give a finite number"))
    elif isinstance(node, int | float) and abs(node) > MAX_NUMBER:
        problems.append(Problem(path=path, came=_shown(node), allowed=f"a number lies within ±{MAX_NUMBER:g}", advice="Check its exponent"))
    elif isinstance(node, str) and re.search(r"[\x00-\x08\x0b-\x1f\x7f]", node):
        problems.append(Problem(path=path, came="a text holds a control character", allowed="texts are printable", advice="Delete it"))


def _inside(name: str, folder: Path, path: KeyPath, problems: list[Problem]) -> Path | None:
    """Return the file that a scenario names, or None where that lies outside the scenario's folder tree, links followed."""
    allowed = "a path is relative to the scenario file and stays inside its folder"
    try:
        if not Path(name).is_absolute():
            target = (folder / name).resolve()
            if target.is_relative_to(folder.resolve()):
                return folder / name
    except (OSError, RuntimeError, ValueError) as error:  # a loop of links, a name with NUL or too long
        problems.append(Problem(path=path, came=f"{_shown(name)} cannot be followed ({type(error).__name__})", allowed=allowed))
        return None
    problems.append(Problem(path=path, came=f"{_shown(name)} leads outside", allowed=allowed, advice="Copy the file beside the scenario"))
    return None


# --- 4. Values given in place of the file's ------------------------------------------------------------------------------------------


def _block_id(block: Mapping[str, Any]) -> str:
    """Return the id of a raw block, given or by default; defined for wrong blocks too, so that messages can name them."""
    if isinstance(block.get("id"), str):
        return str(block["id"])
    if "between" in block:
        between = block["between"]
        return "~".join(str(name) for name in between) if isinstance(between, list) else ""
    labels = [label for key in DIMENSIONS if key in block for label in (block[key] if isinstance(block[key], list) else [block[key]])]
    return f"{block.get('name', '')}[{','.join(map(str, labels))}]" if labels else str(block.get("name", ""))


def _settable(document: Mapping[str, Any]) -> dict[str, tuple[KeyPath, bool]]:
    """Return every `--set` path of a document with its key path, and whether it is inside a block with an id."""
    paths: dict[str, tuple[KeyPath, bool]] = {key: ((key,), False) for key in ("name", "question")}
    for table, model in (("run", RunTable), ("model", ModelTable), ("evidence", EvidenceTable)):
        if isinstance(document.get(table, {}), dict):
            paths |= {f"{table}.{key}": ((table, key), False) for key in model.model_fields if key not in ("row", "sources")}
    groups = document.get("groups")
    paths |= {f"groups.{key}": (("groups", key), False) for key in (groups if isinstance(groups, dict) else ())}
    for name, block_model in (("parameter", ParameterBlock), ("correlation", CorrelationBlock)):
        blocks = document.get(name)
        for number, block in enumerate(blocks if isinstance(blocks, list) else [], start=1):
            if not isinstance(block, dict):
                continue
            stem, base = f"{name}.{_block_id(block)}", (name, number)
            paths |= {f"{stem}.{key}": ((*base, key), True) for key in block_model.model_fields if key not in ("id", "name")}
            law_table = block.get("distribution")
            if name == "parameter" and isinstance(law_table, dict):
                kind = KINDS.get(str(law_table.get("kind")))
                keys = {*law_table, *(kind.model_fields if kind is not None else ())}
                paths |= {f"{stem}.distribution.{key}": ((*base, "distribution", key), True) for key in keys}
    return paths


def _override(document: dict[str, Any], overrides: Mapping[str, Any], problems: list[Problem]) -> dict[KeyPath, str]:
    """Put the values of `--set` into `document`, in order, and return which key paths they replaced.

    A block keeps the id that it had before, so that `parameter.detection_rate[FY2024].period` does not rename what others refer to.
    """
    replaced: dict[KeyPath, str] = {}
    for name, given in overrides.items():
        paths = _settable(document)
        if name not in paths:
            allowed = "a path is table.key, or parameter.ID.key and correlation.ID.key with the id of a block"
            problems.append(Problem(file=f"--set {name}", came="there is no such path", allowed=allowed, advice=_nearest(name, paths)))
            continue
        path, in_block = paths[name]
        table: Any = document
        for depth, part in enumerate(path[:-1]):
            table = table.setdefault(part, {}) if isinstance(part, str) else table[part - 1]
            if in_block and depth == 1:
                table.setdefault("id", _block_id(table))
        table[path[-1]] = copy.deepcopy(given)
        replaced[path] = name
    return replaced


# --- 5. From tables to records --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class _InUse:
    """The labels of the evidence: those in use, in the order they are shown, and those that a selection left out."""

    rows: tuple[Row, ...]
    corridors: tuple[str, ...]
    periods: tuple[str, ...]
    left_out: frozenset[str]

    def missing(self, label: str, known: Iterable[str], kind: str, path: KeyPath) -> Problem:
        """Say what is wrong with a label that is not in use."""
        if label in self.left_out:
            allowed = f"evidence.{kind}s leaves it out"
            return Problem(
                path=path, came=f"{kind} {_shown(label)} is not in use", allowed=allowed, advice="Select it there, or delete it here"
            )
        known = list(known)
        shown = ", ".join(known[:12]) + (", ..." if len(known) > 12 else "")
        return Problem(path=path, came=f"unknown {kind} {_shown(label)}", allowed=f"known are {shown}", advice=_nearest(label, known))


def _read_sources(table: EvidenceTable, folder: Path, problems: list[Problem]) -> dict[str, Source]:
    """Return the sources by key, from the file that the scenario names or from the scenario itself."""
    if not isinstance(table.sources, str):
        return dict(table.sources or {})
    target = _inside(table.sources, folder, ("evidence", "sources"), problems)
    if target is None:
        return {}
    try:
        file = _read_toml(target, str(target), "a sources file")
    except ScenarioError as error:
        problems.extend(error.problems)
        return {}
    found: list[Problem] = []
    _check_scalars(file.document, (), found)
    sources: dict[str, Source] = {}
    for key, raw in file.document.items():
        if re.fullmatch(r"[a-z0-9-]{1,80}", key) is None:
            allowed = "a key must be 1 to 80 of the characters a-z, 0-9 and -"
            found.append(Problem(path=(key,), came=f"the key {_shown(key)}", allowed=allowed, advice=f"Write [{json.loads(_slug(key))}]"))
        source = _validated(Source, raw, (key,), found)
        if source is not None:
            sources[key] = source
    problems.extend(file.locate(problem) for problem in found)
    return sources


def _read_evidence(table: EvidenceTable, raw_rows: Any, file: _TomlFile, folder: Path, problems: list[Problem]) -> _InUse | None:
    """Return the selected rows of all tables and of the scenario itself, or None where they cannot be known."""
    n_before = len(problems)
    rows: list[Row] = []
    seen: dict[Path, str] = {}
    for number, name in enumerate(table.tables or [], start=1):
        path: KeyPath = ("evidence", "tables", number)
        target = _inside(name, folder, path, problems)
        if target is None:
            continue
        if target.resolve() in seen:
            came = f"{_shown(name)} is the same file as {_shown(seen[target.resolve()])}"
            problems.append(Problem(path=path, came=came, allowed="its rows would count twice", advice="Delete one"))
            continue
        seen[target.resolve()] = name
        found, wrong = read_table(target)
        rows.extend(found)
        problems.extend(wrong)
    if not isinstance(raw_rows, list):
        problems.append(
            Problem(path=("evidence", "row"), came=f"{_shown(raw_rows)}", allowed="rows are tables", advice="Write [[evidence.row]]")
        )
        return None
    for number, raw in enumerate(raw_rows, start=1):
        path = ("evidence", "row", number)
        if _validated(EvidenceRow, raw, path, problems) is not None:
            row, wrong = row_from_mapping(raw, path)
            problems.extend(wrong)
            rows.extend([replace(row, where=f"{file.name}:{file.lines.get(path, 1)}")] if row is not None else [])
    if len(problems) > n_before:
        return None
    if not rows:
        allowed = "a scenario needs evidence"
        problems.append(
            Problem(path=("evidence",), came="there is no row of evidence", allowed=allowed, advice="Give tables, or [[evidence.row]]")
        )
        return None
    chosen: dict[str, tuple[str, ...]] = {}
    left_out: set[str] = set()
    for kind, selection in (("corridor", table.corridors), ("period", table.periods)):
        known = dict.fromkeys(getattr(row, kind) for row in rows)
        for number, label in enumerate(selection or [], start=1):
            if label not in known:
                came, near = f"no row of evidence has the {kind} {_shown(label)}", _nearest(label, known)
                allowed = f"the {kind}s are {', '.join(list(known)[:12])}{', ...' if len(known) > 12 else ''}"
                problems.append(Problem(path=("evidence", f"{kind}s", number), came=came, allowed=allowed, advice=near))
        chosen[kind] = tuple(selection or known)
        left_out |= set(known) - set(chosen[kind])
    if len(problems) > n_before:
        return None
    rows = [row for row in rows if row.corridor in chosen["corridor"] and row.period in chosen["period"]]
    problems.extend(check_rows(rows))
    used = {kind: tuple(label for label in chosen[kind] if any(getattr(row, kind) == label for row in rows)) for kind in chosen}
    for kind in chosen:
        for label in (label for label in chosen[kind] if label not in used[kind]):
            came = f"no row is left for the {kind} {_shown(label)}"
            path = ("evidence", f"{kind}s", chosen[kind].index(label) + 1) if getattr(table, f"{kind}s") else ("evidence",)
            problems.append(
                Problem(path=path, came=came, allowed="a selected label needs evidence", advice="Delete it, or select its rows too")
            )
    if len(problems) > n_before:
        return None
    return _InUse(rows=tuple(rows), corridors=used["corridor"], periods=used["period"], left_out=frozenset(left_out))


def _check_corridors(groups: Mapping[str, list[str]], shared: Sequence[list[str]], in_use: _InUse, problems: list[Problem]) -> None:
    """Check what `[groups]` and `shared_load_scale` say of corridors."""
    for group, members in groups.items():
        if group in in_use.corridors or group in in_use.left_out:
            came, allowed = (
                f"the group {_shown(group)} bears the name of a corridor",
                "groups and corridors share one list of labels in results",
            )
            problems.append(Problem(path=("groups", group), came=came, allowed=allowed, advice="Rename the group"))
        for number, member in enumerate(members, start=1):
            place: KeyPath = ("groups", group, number)
            if member in groups and member not in in_use.corridors:
                came, allowed = f"{_shown(member)} is a group", "groups may overlap but not nest"
                problems.append(Problem(path=place, came=came, allowed=allowed, advice=f"List its members: {', '.join(groups[member])}"))
            elif member not in in_use.corridors:
                problems.append(in_use.missing(member, in_use.corridors, "corridor", place))
    owner: dict[str, int] = {}
    for n_list, members in enumerate(shared, start=1):
        for number, member in enumerate(members, start=1):
            path: KeyPath = ("model", "shared_load_scale", n_list, number)
            if member in groups and member not in in_use.corridors:
                came, allowed = f"{_shown(member)} is a group", "a list holds corridors"
                problems.append(Problem(path=path, came=came, allowed=allowed, advice=f"List its members: {', '.join(groups[member])}"))
            elif member not in in_use.corridors:
                problems.append(in_use.missing(member, in_use.corridors, "corridor", path))
            elif member in owner:
                came, allowed = f"{_shown(member)} stands in list {owner[member]} too", "a corridor has one load scale"
                problems.append(Problem(path=path, came=came, allowed=allowed, advice="Delete it from one list"))
            owner.setdefault(member, n_list)


def _selector(labels: Any, kind: str, groups: Mapping[str, list[str]], in_use: _InUse | None) -> tuple[str, ...] | None:
    """Return the labels with groups replaced by their members, each once, without those that a selection leaves out."""
    if labels is None:
        return None
    members = (member for label in labels for member in (groups.get(label, [label]) if kind == "corridor" else [label]))
    return tuple(dict.fromkeys(member for member in members if in_use is None or member not in in_use.left_out))


def _from_one(path: KeyPath) -> KeyPath:
    return tuple(part + 1 if isinstance(part, int) else part for part in path)


def _law(name: str, raw: Any, path: KeyPath, problems: list[Problem]) -> Law | None:
    """Return the law of a parameter, within the parameter's domain, or None after adding what is wrong."""
    entry = PARAMETERS[name]
    try:
        found = law(raw, entry.unit)
    except LawError as error:
        problems.extend(replace(problem, path=path + _from_one(problem.path)) for problem in error.problems)
        return None
    low, high = support(found)
    touches = entry.open_low and low == entry.low and float(cdf(found, entry.low)) > 0  # a bound that is excluded may be touched, not hit
    if low >= entry.low and high <= entry.high and not touches:
        return found
    domain = f"{'(' if entry.open_low else '['}{entry.low:g}, {entry.high:g}{']' if math.isfinite(entry.high) else ')'}"
    unit = "" if entry.unit == "1" else f" {entry.unit}"
    if low == high:
        came, advice = f"{low:g}{unit} is outside the domain", "Give a number inside it"
    else:
        bounds = [f"lower = {entry.low:g}"] * (low < entry.low) + [f"upper = {entry.high:g}"] * (high > entry.high)
        came = f"the law reaches from {low:g} to {high:g}{unit}, beyond the domain"
        advice = f"Truncate it with {' and '.join(bounds)}, or choose another law" if bounds else f"Give {entry.low:g} no probability"
    problems.append(Problem(path=path, came=came, allowed=f"{name} lies in {domain}{unit}", advice=advice))
    return None


def _parameter(
    block: ParameterBlock,
    raw: Mapping[str, Any],
    path: KeyPath,
    groups: Mapping[str, list[str]],
    in_use: _InUse | None,
    problems: list[Problem],
) -> tuple[Parameter | None, list[Problem]]:
    """Return the record of one block, and the labels that only a selection makes unknown (an error, but a warning after `--set`)."""
    n_before = len(problems)
    left_out: list[Problem] = []
    forms = ("powder", "pill") if PARAMETERS[block.name].by_result_form else ("powder", "pill", "unrecorded")
    for kind in DIMENSIONS:
        known = {
            "corridor": (*in_use.corridors, *groups) if in_use is not None else None,
            "period": in_use.periods if in_use is not None else None,
            "form": forms,
        }[kind]
        labels = getattr(block, kind)
        for number, label in enumerate(labels or [], start=1):
            if known is None or label in known:
                continue
            place = (*path, kind, number) if isinstance(raw[kind], list) else (*path, kind)
            if kind == "form":
                came = f"{block.name} has no form {_shown(label)}"
                problems.append(
                    Problem(path=place, came=came, allowed=f"it is looked up by {', '.join(forms)}", advice=_nearest(label, forms))
                )
            elif in_use is not None:
                (left_out if label in in_use.left_out else problems).append(in_use.missing(label, known, kind, place))
    if block.varies_by and block.correlation is None:
        allowed = "a block with varies_by says how alike its draws are"
        problems.append(
            Problem(path=path, came="correlation is missing", allowed=allowed, advice="Add correlation = 0.8; 0 is independent")
        )
    if block.correlation is not None and not block.varies_by:
        allowed = "correlation needs varies_by: a block without it is one draw"
        problems.append(
            Problem(path=(*path, "correlation"), came="there is nothing to correlate", allowed=allowed, advice='Add varies_by = ["period"]')
        )
    found = _law(block.name, raw["distribution"], (*path, "distribution"), problems)
    if found is None or len(problems) > n_before:
        return None, left_out
    selectors = {kind: _selector(getattr(block, kind), kind, groups, in_use) for kind in DIMENSIONS}
    varies_by = tuple(kind for kind in DIMENSIONS if kind in block.varies_by)
    parameter = Parameter(
        id=_block_id(raw), name=block.name, law=found, varies_by=varies_by, correlation=block.correlation, path=path, **selectors
    )
    return parameter, left_out


def _correlation(block: CorrelationBlock, raw: Mapping[str, Any], path: KeyPath, problems: list[Problem]) -> Correlation | None:
    n_before, n = len(problems), len(block.between)
    if (block.value is None) == (block.matrix is None):
        came = "neither value nor matrix is given" if block.value is None else "both value and matrix are given"
        problems.append(
            Problem(path=path, came=came, allowed="exactly one of them is needed", advice="value suits two blocks, matrix single draws")
        )
    if block.copula == "t" and block.df is None:
        problems.append(Problem(path=path, came="df is missing", allowed="a t copula has degrees of freedom >= 1", advice="Add df = 4"))
    if block.copula == "gaussian" and block.df is not None:
        problems.append(
            Problem(path=(*path, "df"), came="a gaussian copula has no df", allowed="only copula t has one", advice="Delete df")
        )
    if block.matrix is not None:
        came = ""
        if len(block.matrix) != n or any(len(row) != n for row in block.matrix):
            came, advice = f"a matrix of {len(block.matrix)} rows for {n} names in between", f"Give {n} rows of {n} numbers"
        elif any(block.matrix[i][i] != 1 for i in range(n)):
            came, advice = "a diagonal that is not 1", "A draw has correlation 1 with itself"
        elif wrong := [(i, j) for i in range(n) for j in range(i) if block.matrix[i][j] != block.matrix[j][i]]:
            (i, j) = wrong[0]
            came = f"row {i + 1} column {j + 1} is {block.matrix[i][j]:g}, row {j + 1} column {i + 1} is {block.matrix[j][i]:g}"
            advice = "Make them equal"
        if came:
            allowed = "a correlation matrix is square and symmetric with 1 on its diagonal"
            problems.append(Problem(path=(*path, "matrix"), came=came, allowed=allowed, advice=advice))
    if len(problems) > n_before:
        return None
    matrix = tuple(map(tuple, block.matrix)) if block.matrix is not None else None
    return Correlation(
        id=_block_id(raw), between=tuple(block.between), value=block.value, matrix=matrix, copula=block.copula, df=block.df, path=path
    )


def _check_ids(blocks: Sequence[Any], kind: str, problems: list[Problem]) -> None:
    first: dict[str, int] = {}
    for number, raw in enumerate(blocks, start=1):
        name = _block_id(raw) if isinstance(raw, dict) else ""
        if name in first and name:
            came = f"the id {_shown(name)} is that of {kind}[{first[name]}] too"
            problems.append(
                Problem(path=(kind, number), came=came, allowed="ids are unique", advice="Give one of them another id, or delete it")
            )
        first.setdefault(name, number)


# --- 6. The scenario and its resolved document ------------------------------------------------------------------------------------------


def load_scenario(path: str | os.PathLike[str], *, overrides: Mapping[str, Any] | None = None) -> Scenario:
    """Read and check a scenario file with its evidence tables and sources.

    `overrides` maps `--set` paths to values: `run.draws`, `model.load_law`, `parameter.ID.correlation`, `parameter.ID.distribution.mean`,
    `correlation.ID.value`. They are applied in order, as if they stood in the file; what they leave unused is a warning, not an error.

    Raises ScenarioError, or EvidenceError if nothing but evidence tables is wrong, with every problem that was found; a file that cannot
    be read or is not TOML comes alone.

    >>> load_scenario("scenarios/north-vs-southwest.toml", overrides={"run.draws": 4096}).draws
    4096
    """
    file = _read_toml(Path(path), os.fspath(path), "a scenario")
    problems: list[Problem] = []
    replaced = _override(file.document, overrides or {}, problems)
    scenario = _scenario(file, Path(path).parent, bool(overrides), problems)

    def locate(problem: Problem) -> Problem:
        if problem.file is None and len(problem.path) > 1 and problem.path[0] in ("parameter", "correlation"):
            block = file.document[str(problem.path[0])]
            name = (
                _block_id(block[int(problem.path[1]) - 1])
                if isinstance(block, list) and isinstance(block[int(problem.path[1]) - 1], dict)
                else ""
            )
            if name and name not in problem.came:
                problem = replace(problem, came=f"{name}: {problem.came}")
        for depth in range(len(problem.path), 0, -1):
            if problem.file is None and problem.path[:depth] in replaced:
                return problem.at(file=f"--set {replaced[problem.path[:depth]]}")
        return file.locate(problem)

    if problems or scenario is None:
        located = [locate(problem) for problem in problems[:MAX_PROBLEMS]]
        if len(problems) > MAX_PROBLEMS:
            came = f"{len(problems) - MAX_PROBLEMS:,} more problems are not shown"
            located.append(Problem(file=file.name, came=came, advice="Correct these first"))
        tables_only = all(problem.file is not None and problem.file.endswith(".csv") for problem in located)
        raise (EvidenceError if tables_only else ScenarioError)(
            sorted(dict.fromkeys(located), key=lambda p: (p.file != file.name, p.file, p.line or 0))
        )
    return scenario


def _scenario(file: _TomlFile, folder: Path, overridden: bool, problems: list[Problem]) -> Scenario | None:
    """Return the scenario of a parsed file, or None after adding every problem that could be found."""
    document = file.document
    _check_scalars(document, (), problems)
    unreadable = {problem.path for problem in problems}
    later: list[Problem] = []
    for key in document:
        if key in NOT_YET:
            came = f"{key} blocks are not supported by this version"
            later.append(
                Problem(
                    path=(key,), came=came, allowed="it reads run, evidence, groups, model, parameter and correlation", advice="Delete them"
                )
            )
        elif key not in ScenarioFile.model_fields:
            known = list(ScenarioFile.model_fields)
            later.append(
                Problem(
                    path=(key,), came=f"unknown key {_shown(key)}", allowed=f"known are {', '.join(known)}", advice=_nearest(key, known)
                )
            )
    heading = _validated(Heading, {key: document[key] for key in Heading.model_fields if key in document}, (), later)
    run = _validated(RunTable, document.get("run", {}), ("run",), later)
    model = _validated(ModelTable, document.get("model", {}), ("model",), later)
    groups_table = _validated(GroupsTable, document.get("groups", {}), ("groups",), later)
    raw_evidence = document.get("evidence", {})
    sources: dict[str, Source] = {}
    in_use: _InUse | None = None
    if isinstance(raw_evidence, dict):
        raw_evidence = dict(raw_evidence)
        raw_rows = raw_evidence.pop("row", [])
    evidence = _validated(EvidenceTable, raw_evidence, ("evidence",), later)
    if evidence is not None:
        sources = _read_sources(evidence, folder, later)
        in_use = _read_evidence(evidence, raw_rows, file, folder, later)
    groups = groups_table.root if groups_table is not None else {}
    if in_use is not None:
        _check_corridors(groups, model.shared_load_scale if model is not None else [], in_use, later)

    blocks: dict[str, list[Any]] = {}
    parameters: list[tuple[Parameter, ParameterBlock]] = []
    correlations: list[tuple[Correlation, CorrelationBlock]] = []
    not_selected: list[Problem] = []
    for kind in ("parameter", "correlation"):
        blocks[kind] = document.get(kind, [])
        if not isinstance(blocks[kind], list):
            later.append(Problem(path=(kind,), came=f"one [{kind}] table", allowed=f"{kind} blocks are a list", advice=f"Write [[{kind}]]"))
            blocks[kind] = []
        _check_ids(blocks[kind], kind, later)
    for number, raw in enumerate(blocks["parameter"], start=1):
        block = _validated(ParameterBlock, raw, ("parameter", number), later)
        if block is not None:
            parameter, left_out = _parameter(block, raw, ("parameter", number), groups, in_use, later)
            not_selected += left_out
            parameters.extend([(parameter, block)] if parameter is not None else [])
    for number, raw in enumerate(blocks["correlation"], start=1):
        link = _validated(CorrelationBlock, raw, ("correlation", number), later)
        if link is not None:
            correlation = _correlation(link, raw, ("correlation", number), later)
            correlations.extend([(correlation, link)] if correlation is not None else [])
    notes = not_selected if overridden else []
    later += [] if overridden else not_selected
    problems += [problem for problem in later if not any(problem.path[:depth] in unreadable for depth in range(1, len(problem.path) + 1))]
    if problems or heading is None or run is None or model is None or in_use is None:
        return None

    scales = [tuple(members) for members in model.shared_load_scale]
    scales += [(corridor,) for corridor in in_use.corridors if not any(corridor in members for members in scales)]
    _check_run(run, len(in_use.corridors) + len(groups), len(in_use.periods), problems)
    scenario = Scenario(
        **heading.model_dump(include={"name", "question"}),
        **run.model_dump(),
        **model.model_dump(exclude={"shared_load_scale"}),
        shared_load_scale=tuple(scales),
        corridors=in_use.corridors,
        periods=in_use.periods,
        groups=tuple((group, tuple(members)) for group, members in groups.items()),
        rows=in_use.rows,
        parameters=tuple(parameter for parameter, _ in parameters),
        correlations=tuple(correlation for correlation, _ in correlations),
        document={},
    )
    if overridden:
        scenario = _without_idle(scenario, notes)
    problems += check(scenario)
    if problems:
        return None
    described: dict[KeyPath, Any] = {parameter.path: block for parameter, block in parameters}
    described |= {correlation.path: link for correlation, link in correlations}
    notes += _source_notes(scenario, described, sources)
    document = _document(scenario, described, sources)
    return replace(scenario, document=document, warnings=(*(str(file.locate(note)) for note in notes), *model_warnings(scenario)))


def _without_idle(scenario: Scenario, notes: list[Problem]) -> Scenario:
    """Return the scenario without the blocks, labels and references that serve nothing, after noting them.

    They are errors in a file, but `--set` may leave some behind; a resolved scenario that kept them could not be read again.
    """
    matched, _ = match(scenario)
    found = unused(scenario, matched)
    idle = {problem.path for problem in found}
    reached: dict[KeyPath, list[tuple[str, str, str]]] = {}
    for stratum in matched.strata:
        for (_, form), draw in stratum.draws.items():
            reached.setdefault(draw.block.path, []).append((*stratum.key[:2], form))
    parameters = []
    for block in (block for block in scenario.parameters if block.path not in idle):
        for i, kind in enumerate(DIMENSIONS):
            if (*block.path, kind) in idle:
                served = {labels[i] for labels in reached[block.path]}
                block = replace(block, **{kind: tuple(label for label in getattr(block, kind) if label in served)})  # type: ignore[arg-type]
        parameters.append(block)
    left = {block.id for block in parameters} | {draw.id for draw in matched.draws}
    gone = {block.id for block in scenario.parameters} - left
    correlations = []
    for link in scenario.correlations:
        # A draw of a block that stands but has lost its label goes too; a name that never was an id stays, and is an error.
        lost = [name in gone or ("@" in name and name not in left and name.partition("@")[0] in left | gone) for name in link.between]
        if any(lost):
            kept = [i for i in range(len(lost)) if not lost[i]]
            names = ", ".join(name for name, is_lost in zip(link.between, lost, strict=True) if is_lost)
            found.append(Problem(path=(*link.path, "between"), came=f"{names} is not used", advice="The correlation is left out"))
            matrix = None if link.matrix is None else tuple(tuple(link.matrix[i][j] for j in kept) for i in kept)
            link = replace(link, between=tuple(link.between[i] for i in kept), matrix=matrix)
        if len(link.between) > 1:
            correlations.append(link)
    notes += found
    return replace(scenario, parameters=tuple(parameters), correlations=tuple(correlations))


def _check_run(run: RunTable, n_corridors: int, n_periods: int, problems: list[Problem]) -> None:
    if run.keep_draws > run.draws:
        came, allowed = f"{run.keep_draws:,} draws to keep of {run.draws:,}", "keep_draws is at most draws"
        problems.append(Problem(path=("run", "keep_draws"), came=came, allowed=allowed, advice="Lower it"))
    most = MAX_KEPT_BYTES // (8 * n_corridors * n_periods * len(RESULT_FORMS) * len(QUANTITIES))
    if run.keep_draws > most:
        came, allowed = f"{run.keep_draws:,} kept draws", f"{MAX_KEPT_BYTES >> 30} GiB hold {most:,} draws of this scenario"
        problems.append(Problem(path=("run", "keep_draws"), came=came, allowed=allowed, advice=f"Keep at most {most:,}"))


def _source_notes(scenario: Scenario, described: Mapping[KeyPath, Any], sources: Mapping[str, Source]) -> list[Problem]:
    """Return a note for each source that looks like a key and is close to one, but is none: a slip in a key is silent otherwise."""
    named = [(described[block.path].source, Problem(path=(*block.path, "source"), came="")) for block in scenario.parameters]
    for row in {row.source: row for row in reversed(scenario.rows)}.values():
        name, _, line = row.where.rpartition(":")
        named.append((row.source, Problem(file=name, line=int(line), path=("source",), came="")))
    notes = []
    for name, place in named:
        if name not in sources and re.fullmatch(r"[a-z0-9-]+", name) and closest(name, sources) is not None:
            came, allowed = f"the source {_shown(name)} is no key of the sources", "free text is allowed, but this looks like a key"
            notes.append(replace(place, came=came, allowed=allowed, advice=_nearest(name, sources)))
    return notes


def _document(scenario: Scenario, described: Mapping[KeyPath, Any], sources: Mapping[str, Source]) -> dict[str, Any]:
    """Return the resolved scenario: nothing implied, nothing outside; reading it gives the same document again.

    Laws stand in natural parameters, so that a later version whose elicitation differs in the last digit still reads the same numbers.
    """
    parameters = []
    for block in scenario.parameters:
        selectors = {kind: list(labels) for kind in DIMENSIONS if (labels := getattr(block, kind)) is not None}
        varying = {"varies_by": list(block.varies_by), "correlation": block.correlation} if block.varies_by else {}
        rest = described[block.path].model_dump(include={"basis", "source", "grade", "note"}, exclude_none=True)
        parameters.append({"id": block.id, "name": block.name, **selectors, "distribution": as_mapping(block.law), **varying, **rest})
    correlations = []
    for link in scenario.correlations:
        given = {"value": link.value, "matrix": link.matrix and [list(row) for row in link.matrix], "copula": link.copula, "df": link.df}
        given["note"] = described[link.path].note
        correlations.append({"id": link.id, "between": list(link.between)} | {key: item for key, item in given.items() if item is not None})
    used = {described[block.path].source for block in scenario.parameters} | {row.source for row in scenario.rows}
    return {
        "schema_version": 1,
        "name": scenario.name,
        "question": scenario.question,
        "run": {"draws": scenario.draws, "seed": scenario.seed, "sampler": scenario.sampler, "keep_draws": scenario.keep_draws},
        "evidence": {
            "corridors": list(scenario.corridors),
            "periods": list(scenario.periods),
            "row": [row_as_mapping(row) for row in scenario.rows],
            "sources": {key: source.model_dump(exclude_none=True) for key, source in sources.items() if key in used},
        },
        "groups": {group: list(members) for group, members in scenario.groups},
        "model": {
            "load_law": scenario.load_law,
            "load_truncation": scenario.load_truncation,
            "event_prior": scenario.event_prior,
            "shared_load_scale": [list(members) for members in scenario.shared_load_scale],
        },
        "parameter": parameters,
        "correlation": correlations,
    }


def to_toml(scenario: Scenario) -> str:
    """Return the resolved scenario as TOML: what `scenario.toml` of a result holds.

    Loading it gives an equal `document`, floats bit for bit.
    """
    return tomli_w.dumps(scenario.document)


def with_run(scenario: Scenario, *, draws: int | None = None, seed: int | None = None, keep_draws: int | None = None) -> Scenario:
    """Return the scenario with other values in `[run]`; None keeps what stands there.

    Raises ScenarioError for a value that the file could not hold either.
    """
    given = {key: number for key, number in (("draws", draws), ("seed", seed), ("keep_draws", keep_draws)) if number is not None}
    problems: list[Problem] = []
    run = _validated(RunTable, scenario.document["run"] | given, ("run",), problems)
    if run is not None:
        _check_run(run, len(scenario.corridors) + len(scenario.groups), len(scenario.periods), problems)
    if run is None or problems:
        raise ScenarioError(problems)
    return replace(scenario, **given, document=scenario.document | {"run": run.model_dump()})  # type: ignore[arg-type]
