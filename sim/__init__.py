"""Credible intervals for cross-border drug flows, from seizure tables and stated uncertainties.

The public names, found on first use: importing `sim` loads neither Numba nor xarray.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .cbp import import_cbp
    from .collection import open_results
    from .errors import EvidenceError, ResultError, ScenarioError, SimError
    from .load_sizes import fit_load_sizes
    from .maps import tipping
    from .propagation import propagate
    from .results import credible_interval, run
    from .saved import open_result, save_result
    from .scenario import load_scenario

    __version__: str

_HOME = {
    "EvidenceError": "errors",
    "ResultError": "errors",
    "ScenarioError": "errors",
    "SimError": "errors",
    "credible_interval": "results",
    "fit_load_sizes": "load_sizes",
    "import_cbp": "cbp",
    "load_scenario": "scenario",
    "open_result": "saved",
    "open_results": "collection",
    "propagate": "propagation",
    "run": "results",
    "save_result": "saved",
    "tipping": "maps",
}

__all__ = [
    "EvidenceError",
    "ResultError",
    "ScenarioError",
    "SimError",
    "__version__",
    "credible_interval",
    "fit_load_sizes",
    "import_cbp",
    "load_scenario",
    "open_result",
    "open_results",
    "propagate",
    "run",
    "save_result",
    "tipping",
]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        found = getattr(import_module(f".{_HOME[name]}", __name__), name)
    elif name == "__version__":
        from importlib.metadata import PackageNotFoundError, version

        try:
            found = version("borderflow-sim")
        except PackageNotFoundError:  # a source tree that was never installed
            found = "unknown"
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted(__all__)
