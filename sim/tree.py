"""What every tree of results has in common, whatever was computed: groups with their coordinates, provenance, the digest of the numbers."""

from __future__ import annotations

import contextlib
import hashlib
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache, lru_cache
from importlib import metadata
from typing import Any

import numpy as np
import xarray as xr

from . import distributions
from .runner import METHOD_VERSION, PROBABILITIES, Plan

LIBRARY = "borderflow-sim"
LAYOUT_VERSION = 1
"""Version of the layout of a result: the files of its folder, the groups of its tree, their variables, dimensions and attributes."""

Coordinate = tuple[str, Any, Mapping[str, str]]  # dimension, labels, attributes
Variable = tuple[tuple[str, ...], Any, Mapping[str, Any]]  # dimensions, array, attributes

OWN_COORDINATES: Mapping[str, Coordinate] = {
    "quantile": ("quantile", np.array(PROBABILITIES), {"units": "1", "long_name": "probability of the quantile"}),
    "moment": (
        "moment",
        ["mean", "sd", "mean_mcse"],
        {"long_name": "mean, standard deviation, Monte Carlo standard error of the mean"},
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """One result in numbers. w = sweeps, ... = its own dimensions, q = PROBABILITIES, h = chains, k = kept draws a chain.

    quantiles, mcse        (w..., ..., q)
    mean, sd, mean_mcse    (w..., ...), NaN where there is none, and then `note` says why
    kept                   (w..., h, k, ...), None where no draws were kept
    undefined_share        largest share of the draws of a cell that are undefined, 0..1
    """

    units: str
    long_name: str
    quantiles: np.ndarray
    mcse: np.ndarray
    mean: np.ndarray
    sd: np.ndarray
    mean_mcse: np.ndarray
    kept: np.ndarray | None = None
    undefined_share: float = 0.0
    note: str = ""


def one_group(
    variables: Mapping[str, Variable],
    labels: Mapping[str, Coordinate],
    long_name: str,
    attributes: Mapping[str, Any] | None = None,
) -> xr.Dataset:
    """Return one group with exactly those coordinates whose dimensions it uses."""
    used = {dimension for dimensions, _, _ in variables.values() for dimension in dimensions}
    coordinates = {name: coordinate for name, coordinate in labels.items() if coordinate[0] in used}
    return xr.Dataset(dict(variables), coords=coordinates, attrs={"long_name": long_name, **(attributes or {})})


def exact_quantiles(laws: Sequence[distributions.Law]) -> np.ndarray:
    """Return the quantiles of laws, (x, q)."""
    return np.array([_exact_quantiles(law) for law in laws]).reshape(len(laws), len(PROBABILITIES))


@lru_cache(maxsize=512)
def _exact_quantiles(law: distributions.Law) -> np.ndarray:
    return distributions.ppf(law, PROBABILITIES)


def common_groups(
    answers: Mapping[str, Answer],
    exact: np.ndarray,
    kept_parameters: np.ndarray,
    labels: Mapping[str, Coordinate],
    *,
    sweeps: tuple[str, ...] = (),
    dimensions: tuple[str, ...] = (),
    moments_note: str,
    attributes: Mapping[str, Any] | None = None,
) -> dict[str, xr.Dataset]:
    """Return the groups /quantiles, /mcse, /moments, /parameters and, where draws were kept, /draws.

    answers          by name, each over `sweeps` and `dimensions`
    exact            (w..., x, q) quantiles of the parameters' laws
    kept_parameters  (w..., h, k, x)
    labels           coordinates of `sweeps`, of `dimensions` and of `parameter`, among these `unit`
    moments_note     when a mean or sd is given at all
    attributes       of the groups /quantiles, /mcse and /moments
    """
    quantiles: dict[str, Variable] = {}
    mcse: dict[str, Variable] = {}
    moments: dict[str, Variable] = {}
    draws: dict[str, Variable] = {}
    for name, answer in answers.items():
        common = {"units": answer.units, "long_name": answer.long_name}
        flagged = common | ({"undefined_share": answer.undefined_share} if answer.undefined_share > 0.0 else {})
        quantiles[name] = ((*sweeps, *dimensions, "quantile"), answer.quantiles, flagged)
        of_error = {"long_name": f"Monte Carlo standard error of the quantile: {answer.long_name}"}
        mcse[name] = ((*sweeps, *dimensions, "quantile"), answer.mcse, common | of_error)
        three = np.stack([answer.mean, answer.sd, answer.mean_mcse], axis=-1)
        moments[name] = ((*sweeps, *dimensions, "moment"), three, flagged | ({"note": answer.note} if answer.note else {}))
        draws[name] = ((*sweeps, "chain", "draw", *dimensions), answer.kept, common)
    # A number and its unit in two places: the ratio of a quantity to its unit is dimensionless, which is what CF asks of mixed units.
    in_units = {"units": "1", "long_name": "quantile of the parameter's own law, in the unit that the coordinate unit names"}
    everywhere, noted = {**labels, **OWN_COORDINATES}, {"note": moments_note, **(attributes or {})}
    groups = {
        "quantiles": one_group(quantiles, everywhere, "quantiles over all draws", attributes),
        "mcse": one_group(mcse, everywhere, "Monte Carlo standard errors of the quantiles, binning error included", attributes),
        "moments": one_group(moments, everywhere, "mean, standard deviation and Monte Carlo standard error of the mean", noted),
        "parameters": one_group(
            {"value": ((*sweeps, "parameter", "quantile"), exact, in_units)},
            everywhere,
            "inputs: exact quantiles of their laws, not sampled",
        ),
    }
    chains, kept = kept_parameters.shape[-3:-1]
    if kept:
        in_units = {"units": "1", "long_name": "the parameter in the unit that the coordinate unit names"}
        draws["parameter_value"] = ((*sweeps, "chain", "draw", "parameter"), kept_parameters, in_units)
        places: dict[str, Coordinate] = {
            "chain": ("chain", np.arange(chains), {"units": "1", "long_name": "replicate"}),
            "draw": ("draw", np.arange(kept), {"units": "1", "long_name": "point of the replicate"}),
        }
        groups["draws"] = one_group(draws, {**labels, **places}, "kept draws: the same joint ones for every variable")
    return groups


def assemble(
    groups: Mapping[str, xr.Dataset],
    plan: Plan,
    seconds: float,
    attributes: Mapping[str, Any],
    created_at: datetime | None = None,
    draws_made: int | None = None,
) -> xr.DataTree:
    """Return the tree of some groups; its attributes are `attributes` (a `title` among them), the digest and the provenance of the numbers.

    seconds       that the draws took
    created_at    moment of creation; now where it is not given
    draws_made    by all cases together; those of the plan where it is not given
    """
    tree = xr.DataTree.from_dict({"/": xr.Dataset(), **groups})
    tree.attrs = {
        "Conventions": "CF-1.11",
        **attributes,
        "numbers_digest": numbers_digest(tree),
        "seed": np.uint64(plan.seed),  # a plain attribute integer is signed, and seeds reach 2^64 - 1
        "draws": plan.draws,
        "draws_asked": plan.draws_asked,
        "replicates": plan.replicates,
        "sampler": plan.sampler,
        "created_at": (created_at or datetime.now(UTC)).astimezone(UTC).isoformat(timespec="seconds"),
        "creation_library": LIBRARY,
        "creation_library_version": _version(LIBRARY),
        "inference_library": LIBRARY,
        "method_version": METHOD_VERSION,
        "layout_version": LAYOUT_VERSION,
        **{f"{library}_version": _version(library) for library in ("numpy", "scipy", "numba", "xarray")},
        "python_version": platform.python_version(),
        "cpu": _cpu_model(),
        "seconds": seconds,
        "draws_per_second": (plan.draws if draws_made is None else draws_made) / seconds,
    }
    return tree


def numbers_digest(tree: xr.DataTree) -> str:
    """Hash every number of a tree: the SHA-256, in hex, that says what "the same bits" means.

    The numeric variables of all groups, coordinates included (a swapped label changes what a number means), in ascending order of
    their full path, code point by code point. Each contributes in turn

        its path, as "/quantiles/flow_pure_kg", in UTF-8, and a zero byte
        its type, "b1" for booleans, "i8", "u8" or "f8", and a zero byte
        its shape, as "7,5,3,13" (empty for a scalar), and a zero byte
        its elements in C order: booleans as one byte, everything else widened to 64 bits, little-endian

    where every NaN is the quiet NaN of positive sign, because processors disagree about the sign of 0/0. Text, attributes,
    compression and the order of groups do not enter, so the digest of an opened file equals its attribute `numbers_digest`.
    """
    numeric = {
        f"{node.path.rstrip('/')}/{name}": variable
        for node in tree.subtree
        for name, variable in node.to_dataset(inherit=False).variables.items()
        if variable.dtype.kind in "biuf"
    }
    digest = hashlib.sha256()
    for path, variable in sorted(numeric.items()):
        elements = np.asarray(variable.values)
        code = {"b": "b1", "i": "i8", "u": "u8", "f": "f8"}[elements.dtype.kind]
        if code == "f8":
            elements = np.where(np.isnan(elements), np.nan, elements)
        shape = ",".join(str(size) for size in elements.shape)
        digest.update(f"{path}\0{code}\0{shape}\0".encode())
        digest.update(elements.astype("?" if code == "b1" else f"<{code}").tobytes(order="C"))
    return digest.hexdigest()


@cache
def _version(library: str) -> str:
    try:
        return metadata.version(library)
    except metadata.PackageNotFoundError:  # a source tree that was never installed
        return "unknown"


@cache
def _cpu_model() -> str:
    """Return the processor's name as the system gives it; platform.processor() is empty or only an architecture on most Linux systems."""
    with contextlib.suppress(OSError), open("/proc/cpuinfo", encoding="utf-8", errors="replace") as lines:
        for line in lines:
            key, _, text = line.partition(":")
            if key.strip() == "model name":
                return text.strip()
    return platform.processor() or platform.machine()
