"""Many results as one: opened lazily, verified, along `scenario` and the dimensions of their sweeps; nothing is computed here."""

from __future__ import annotations

import glob
import os
from collections.abc import Mapping, Sequence
from importlib import util
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from .errors import Problem, ResultError
from .files import MANIFEST_FILE
from .saved import open_verified

Pattern = str | os.PathLike[str]

# What stands along `scenario`: attributes of the root of each result, and what they are called.
_ABOUT = {
    "name": ("name", "name of the scenario"),
    "run_id": ("run_id", "identity of the run"),
    "question": ("title", "what the scenario is to answer"),
    "created_at": ("created_at", "moment of creation"),
    "draws_used": ("draws", "draws, of the first case where cases differ"),
    "seed": ("seed", "seed"),
    "numbers_digest": ("numbers_digest", "SHA-256 of the numbers"),
    "method_version": ("method_version", "version of the numerical method"),
}


def open_results(folders: Pattern | Sequence[Pattern], *, mix_methods: bool = False) -> xr.DataTree:
    """Open results as one tree along `scenario` and the dimensions of their sweeps.

    `folders` is a pattern such as "results/**/", a result folder, or several of these; what matches and is no result is passed over. Each
    file is verified against its manifest. Where Dask is installed nothing is read before it is asked for, else all is read at once.

    A label of `scenario` is the scenario's name, or name/run_id where several results bear that name. Labels of all dimensions are those
    of all results together, NaN where a result has none; along a sweep that a result does not have it is the same everywhere. On the root
    stand name, run_id, question, created_at, draws_used, seed, numbers_digest and method_version by scenario.

    Raises ResultError where nothing matches, where any result is damaged (all are named), where the versions of the numerical method
    differ, unless `mix_methods`, and where one dimension has numbers here and texts there.

    >>> open_results("results/**/")["quantiles"]["flow_pure_kg"].sel(quantile=0.5)   # doctest: +SKIP
    """
    found = _result_folders([folders] if isinstance(folders, str | os.PathLike) else folders)
    chunks: dict[str, int] | None = {} if util.find_spec("dask") is not None else None
    trees: dict[Path, xr.DataTree] = {}
    problems: list[Problem] = []
    for folder in found:
        try:
            trees[folder] = open_verified(folder, chunks)
        except ResultError as error:
            problems += error.problems
    if problems:
        raise ResultError(problems)
    _check_methods(trees, mix_methods)
    opened = list(trees.values())
    names = [str(tree.attrs["name"]) for tree in opened]
    labels = [name if names.count(name) == 1 else f"{name}/{tree.attrs['run_id']}" for name, tree in zip(names, opened, strict=True)]
    along = xr.DataArray(np.array(labels), dims="scenario", attrs={"long_name": "scenario; with its run where several bear the name"})
    about = {
        name: (
            "scenario",
            np.array([tree.attrs[key] for tree in opened]),
            {"long_name": text, **({"units": "1"} if name in _NUMBERS else {})},
        )
        for name, (key, text) in _ABOUT.items()
    }
    root = xr.Dataset(about, coords={"scenario": along}, attrs={"Conventions": "CF-1.11", "title": f"{len(opened)} results"})
    paths = dict.fromkeys(node.path for tree in opened for node in tree.subtree if node.path != "/" and node.data_vars)
    groups = {path: _together([_group(tree, path) for tree in opened], along, list(trees)) for path in paths}
    return xr.DataTree.from_dict({"/": root, **groups})


_NUMBERS = ("draws_used", "seed", "method_version")


def _result_folders(patterns: Sequence[Pattern]) -> list[Path]:
    """Return the result folders that match, each once, by name and run."""
    matches = [Path(match) for pattern in patterns for match in glob.glob(os.fspath(pattern), recursive=True)]
    found = sorted({match for match in matches if (match / MANIFEST_FILE).is_file()}, key=lambda folder: folder.parts)
    if not found:
        shown = ", ".join(str(os.fspath(pattern)) for pattern in patterns)
        allowed, advice = f"a result is a folder with {MANIFEST_FILE} inside", 'Write "results/**/" for all below a folder'
        raise ResultError([Problem(came=f"no result matches {shown or 'nothing'}", allowed=allowed, advice=advice)])
    return found


def _check_methods(trees: Mapping[Path, xr.DataTree], mix_methods: bool) -> None:
    versions: dict[int, list[Path]] = {}
    for folder, tree in trees.items():
        versions.setdefault(int(tree.attrs["method_version"]), []).append(folder)
    if len(versions) > 1 and not mix_methods:
        came = "; ".join(f"method version {version}: {len(here)}, as {here[0]}" for version, here in sorted(versions.items()))
        allowed = "numbers of different methods are not compared unasked"
        raise ResultError([Problem(came=came, allowed=allowed, advice="Open those of one version, or pass mix_methods=True")])


def _group(tree: xr.DataTree, path: str) -> xr.Dataset | None:
    return tree[path].to_dataset() if path.lstrip("/") in {node.path.lstrip("/") for node in tree.subtree} else None


def _together(datasets: Sequence[xr.Dataset | None], along: xr.DataArray, folders: Sequence[Path]) -> xr.Dataset:
    """Return one group of all results along `scenario`: outer in every label, NaN where a result has none of it."""
    present = [dataset for dataset in datasets if dataset is not None]
    labels = _labels(datasets, folders)
    order = _order(present)
    aligned = [_aligned(dataset, labels) if dataset is not None else None for dataset in datasets]
    templates = {str(name): variable for dataset in aligned if dataset is not None for name, variable in dataset.data_vars.items()}
    whole = []
    for dataset in aligned:
        filled = xr.Dataset(attrs=present[0].attrs) if dataset is None else dataset
        absent = {
            name: xr.full_like(variable, _nothing(variable), dtype=_wide(variable))
            for name, variable in templates.items()
            if name not in filled
        }
        filled = filled.assign(absent)
        lacking = {name: labels[name] for name in labels if name not in filled.dims}
        filled = filled.expand_dims(lacking) if lacking else filled
        whole.append(filled)
    joined = xr.concat(
        whole, dim=along, data_vars="all", coords="minimal", compat="override", join="override", combine_attrs="drop_conflicts"
    )
    joined = joined.assign_coords(_other_coordinates(datasets, labels))
    for name, variable in templates.items():
        joined[name].attrs.update({key: text for key, text in variable.attrs.items() if key in ("units", "long_name")})
        scales = [dataset[name].attrs.get("scale", "none") if dataset is not None and name in dataset else "none" for dataset in datasets]
        if "scale" in variable.attrs and "scale" not in joined[name].attrs:  # indices of unlike things must not stand side by side untold
            joined[name].attrs["scale"] = f"by scenario: {', '.join(scales)}"
        own = [dimension for dimension in order if dimension in joined[name].dims]
        joined[name] = joined[name].transpose("scenario", *own)
    for dimension in labels:
        source = next(dataset for dataset in present if dimension in dataset.coords)
        joined[dimension].attrs.update(source[dimension].attrs)
    return joined


def _order(datasets: Sequence[xr.Dataset]) -> list[str]:
    """Return all dimensions: those that not all results have, the sweeps, in front."""
    seen = dict.fromkeys(str(dimension) for dataset in datasets for variable in dataset.data_vars.values() for dimension in variable.dims)
    everywhere = [dimension for dimension in seen if all(dimension in dataset.dims for dataset in datasets)]
    first = next(iter(datasets[0].data_vars.values())).dims
    swept = [dimension for dimension in seen if dimension not in everywhere]
    shared = sorted(everywhere, key=lambda dimension: list(first).index(dimension) if dimension in first else len(first))
    return [*swept, *shared]


def _labels(datasets: Sequence[xr.Dataset | None], folders: Sequence[Path]) -> dict[str, np.ndarray]:
    """Return the labels of every dimension in all results together, in the order in which they first come."""
    kinds: dict[str, dict[bool, Path]] = {}
    union: dict[str, dict[Any, None]] = {}
    for dataset, folder in zip(datasets, folders, strict=True):
        for dimension in dataset.dims if dataset is not None else ():
            assert dataset is not None
            own = dataset.indexes[dimension].tolist()
            union.setdefault(str(dimension), {}).update(dict.fromkeys(own))
            kinds.setdefault(str(dimension), {}).setdefault(all(isinstance(label, str) for label in own), folder)
    for dimension, sides in kinds.items():
        if len(sides) > 1:
            came = f"the dimension {dimension} has texts in {sides[True]} and numbers in {sides[False]}"
            raise ResultError([Problem(came=came, allowed="one dimension has labels of one kind", advice="Open them apart, or rename one")])
    groups = {
        label for dataset in datasets if dataset is not None and "is_group" in dataset.coords for label in _groups(dataset)
    }  # after all corridors, as in each result
    ordered = {
        dimension: sorted(labels, key=lambda label: dimension == "corridor" and label in groups) for dimension, labels in union.items()
    }
    return {dimension: np.array(labels) for dimension, labels in ordered.items()}


def _groups(dataset: xr.Dataset) -> list[str]:
    return list(map(str, dataset["corridor"].values[dataset["is_group"].values]))


def _aligned(dataset: xr.Dataset, labels: Mapping[str, np.ndarray]) -> xr.Dataset:
    """Return the variables of one result under the labels of all, without the coordinates that are no index."""
    bare = dataset.drop_vars([name for name in dataset.coords if name not in dataset.dims])
    wanted = {dimension: labels[str(dimension)] for dimension in bare.dims}
    if all(np.array_equal(bare[dimension].values, wanted[dimension]) for dimension in wanted):
        return bare
    return bare.reindex(wanted, fill_value={str(name): _nothing(variable) for name, variable in bare.data_vars.items()})


def _nothing(variable: xr.DataArray) -> Any:
    """Return what stands where a result has no number."""
    return {"b": False, "U": "", "O": ""}.get(variable.dtype.kind, np.nan)


def _wide(variable: xr.DataArray) -> Any:
    return np.float64 if variable.dtype.kind in "iu" else variable.dtype


def _other_coordinates(datasets: Sequence[xr.Dataset | None], labels: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """Return the coordinates that are no index, by label; by scenario too where results differ about a label."""
    found: dict[str, Any] = {}
    names = dict.fromkeys(str(name) for dataset in datasets if dataset is not None for name in dataset.coords if name not in dataset.dims)
    for name in names:
        holders = [dataset[name] if dataset is not None and name in dataset.coords else None for dataset in datasets]
        template = next(holder for holder in holders if holder is not None)
        (dimension,) = (str(dimension) for dimension in template.dims)
        nothing, dtype = _nothing(template), _wide(template) if template.dtype.kind in "iu" else None
        said = [
            dict(zip(holder[dimension].values.tolist(), holder.values.tolist(), strict=True)) if holder is not None else {}
            for holder in holders
        ]
        at = labels[dimension].tolist()
        first = {label: value for each in reversed(said) for label, value in each.items()}
        if all(_same(value, first[label]) for each in said for label, value in each.items()):
            found[name] = (dimension, np.array([first.get(label, nothing) for label in at], dtype=dtype), template.attrs)
        else:
            rows = [[each.get(label, nothing) for label in at] for each in said]
            found[name] = (("scenario", dimension), np.array(rows, dtype=dtype), template.attrs)
    return found


def _same(a: Any, b: Any) -> bool:
    return bool(a == b or (a != a and b != b))
