"""The shape of the house: which way imports point, what `import sim` loads, what the package declares, what no committed file says."""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
import sys
import sysconfig
import tomllib
from importlib import metadata
from pathlib import Path

import pytest

import sim

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
HEAVY = {
    "numba",
    "llvmlite",
    "xarray",
    "pint",
    "scipy",
    "pandas",
    "matplotlib",
    "click",
    "rich",
    "pydantic",
    "h5netcdf",
    "h5py",
    "numpy",
    "distributed",
}
THROUGH_ANOTHER = {"h5netcdf": "xarray's engine for NetCDF-4", "h5py": "what h5netcdf reads and writes with"}
SLOW_TO_LOAD = {"scipy.stats", "scipy.sparse.csgraph", "matplotlib"}  # .1 to .6 s each, which no run of the shipped scenario needs


def imported_by(*paths: Path) -> dict[str, set[str]]:
    """Return the top-level modules that Python files import, at any depth of the code, with the files that import each."""
    found: dict[str, set[str]] = {}
    for path in paths:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module] if isinstance(node, ast.ImportFrom) and node.module and not node.level else []
            for name in names:
                found.setdefault(name.partition(".")[0], set()).add(path.name)
    return found


def declared(*groups: list[str]) -> set[str]:
    """Return the normalised names of requirement strings."""
    return {
        re.split(r"[^A-Za-z0-9._-]", line, maxsplit=1)[0].lower().replace("_", "-").replace(".", "-") for group in groups for line in group
    }


def distributions_of(modules: set[str]) -> dict[str, set[str]]:
    """Return the distributions that provide each module which neither Python nor this repository provides."""
    provided = metadata.packages_distributions()
    ours = {"sim", "benches"} | {path.stem for path in (ROOT / "tests").rglob("*") if path.is_dir() or path.suffix == ".py"}
    third = {module for module in modules if module not in sys.stdlib_module_names and module not in ours}
    return {module: {name.lower().replace("_", "-").replace(".", "-") for name in provided.get(module, [module])} for module in third}


def lint_imports(folder: Path) -> subprocess.CompletedProcess[str]:
    """Check the import contracts of the package `sim` inside `folder`, by the command a contributor would use."""
    command = [str(Path(sysconfig.get_path("scripts")) / "lint-imports"), "--no-cache", "--config", str(ROOT / "pyproject.toml")]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120, check=False)


# ------------------------------------------------------------------------------------------------------------------ imports


def test_every_arrow_points_down() -> None:
    outcome = lint_imports(ROOT)
    assert outcome.returncode == 0, outcome.stdout


@pytest.mark.parametrize(
    ("path", "line"),
    [("kernels/arithmetic.py", "from .. import results"), ("errors.py", "from . import runner"), ("model.py", "from . import cli")],
)
def test_an_arrow_that_points_up_is_caught(tmp_path: Path, path: str, line: str) -> None:
    shutil.copytree(ROOT / "sim", tmp_path / "sim", ignore=shutil.ignore_patterns("__pycache__"))
    with open(tmp_path / "sim" / path, "a", encoding="utf-8") as file:
        file.write(f"\n{line}\n")
    outcome = lint_imports(tmp_path)
    assert outcome.returncode != 0
    assert "is not allowed to import" in outcome.stdout, outcome.stdout


def test_the_ground_floor_stands_on_numpy_scipy_and_numba_alone() -> None:
    imported = imported_by(*(ROOT / "sim" / "kernels").rglob("*.py"))
    allowed = sys.stdlib_module_names | {"numpy", "scipy", "numba"}
    # two files write machine code of their own, in the terms of Numba's compiler: rows transposed in registers, arrays on the stack
    assert {name: files for name, files in imported.items() if name not in allowed} == {"llvmlite": {"cubics.py", "scratch.py"}}


VARY = "exp exp2 expm1 log log2 log10 log1p power float_power cbrt sin cos tan arctan2 sinh cosh tanh geomspace logspace dot tensordot"


def test_no_number_rests_on_what_numpy_computes_otherwise_on_another_processor() -> None:
    """`kernels/libm.py` says why; pictures may."""
    called = {
        f"{path.name}:{node.lineno} {ast.unparse(node)}"
        for path in (ROOT / "sim").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute) and ast.unparse(node) in {*(f"np.{name}" for name in VARY.split()), "special.logsumexp"}
    }
    assert {each for each in called if not each.startswith(("plots.py", "report.py"))} == set()


def loaded_by(code: str) -> set[str]:
    """Return the names of all modules that a fresh interpreter has loaded after `code`."""
    command = [sys.executable, "-P", "-c", f"import sys; sys.path.insert(0, {str(ROOT)!r})\n{code}\nprint(*sys.modules)"]
    return set(subprocess.run(command, capture_output=True, text=True, timeout=600, check=True).stdout.split())


def test_import_sim_is_light() -> None:
    assert loaded_by("import sim; dir(sim); sim.SimError") & HEAVY == set()
    assert HEAVY & loaded_by("import sim; sim.open_result") >= {"xarray", "numpy"}  # the check can fail


def test_help_loads_no_engine() -> None:
    """`sim --help` and a slip on the command line answer at once."""
    assert loaded_by("import sim.cli") & (HEAVY - {"click"}) == set()


def test_a_run_loads_nothing_slow(tmp_path: Path) -> None:
    """The whole of a second `sim run`, from the file to the summary: one import within a function is enough to lose it.

    The first one makes tables that are kept, with more of scipy.
    """
    arguments = ["run", str(ROOT / "scenarios" / "north-vs-southwest.toml"), "--draws", "4096", "--results", str(tmp_path)]
    _, loaded = (loaded_by(f"import sim.cli; sim.cli.main({arguments!r}, standalone_mode=False)") for _ in range(2))
    assert loaded & SLOW_TO_LOAD == set()
    assert loaded >= {"sim.results", "h5netcdf"}  # it did run


def test_public_names() -> None:
    assert dir(sim) == sorted(sim.__all__)
    for name in sim.__all__:
        assert getattr(sim, name) is not None
    assert issubclass(sim.ScenarioError, sim.SimError)
    assert issubclass(sim.EvidenceError, sim.SimError)
    assert issubclass(sim.ResultError, sim.SimError)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = sim.nothing
    assert sim.__version__ in (PROJECT["project"]["version"], "unknown")


# ------------------------------------------------------------------------------------------------------------------ packaging


def test_the_package_declares_what_it_imports_and_imports_what_it_declares() -> None:
    required = declared(PROJECT["project"]["dependencies"])
    imported = imported_by(*(ROOT / "sim").rglob("*.py"))
    providers = distributions_of(set(imported))
    undeclared = {module: names for module, names in providers.items() if not names & required}
    extras = {"dask": {"cluster.py"}, "plot": {"load_sizes.py", "pictures.py", "plots.py"}}  # the only modules that need an extra
    for module, names in undeclared.items():
        extra = next((extra for extra in extras if names & declared(PROJECT["project"]["optional-dependencies"][extra])), None)
        assert extra is not None, module
        assert imported[module] <= extras[extra]
    providers = {module: names for module, names in providers.items() if module not in undeclared}
    used = set().union(*providers.values()) | set(THROUGH_ANOTHER)
    assert required - used == set()


def test_the_tests_declare_what_they_import() -> None:
    required = declared(PROJECT["project"]["dependencies"], PROJECT["project"]["optional-dependencies"]["test"])
    imported = imported_by(*(ROOT / "tests").rglob("*.py"), *(ROOT / "benches").rglob("*.py"))
    undeclared = {module: names for module, names in distributions_of(set(imported)).items() if not names & required}
    assert undeclared == {}


def test_the_engine_of_netcdf_is_declared() -> None:
    """h5netcdf installs without h5py, and then neither reads nor writes."""
    assert set(THROUGH_ANOTHER) <= declared(PROJECT["project"]["dependencies"])


# ------------------------------------------------------------------------------------------------------------------ words

# Put together here so that this file does not contain what it looks for.
FORBIDDEN = {
    "a package index": re.compile(
        "|".join(re.escape(name) for name in ("py" + "pi.org", "python" + "hosted.org", "conda" + ".org", "ana" + "conda.com")),
        re.IGNORECASE,
    ),
    "a path of one machine": re.compile(r"(?<![\w.:/-])/(?:" + "|".join(("ho" + "me", "Us" + "ers", "ro" + "ot", "wo" + "rk")) + r")/\w"),
}


def committed_files() -> list[Path]:
    """Return what git tracks; everything but build folders where there is no git, as in a source distribution."""
    listing = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False)
    if listing.returncode == 0 and listing.stdout:
        return [ROOT / name for name in listing.stdout.split("\0") if name and (ROOT / name).is_file()]
    return [path for path in ROOT.rglob("*") if path.is_file() and not any(part.startswith((".", "__")) for part in path.parts)]


@pytest.mark.parametrize("what", FORBIDDEN)
def test_no_committed_file_names(what: str) -> None:
    found = {}
    for path in committed_files():
        for number, line in enumerate(path.read_bytes().decode("utf-8", errors="replace").splitlines(), 1):
            if FORBIDDEN[what].search(line):
                found[f"{path.relative_to(ROOT)}:{number}"] = line.strip()[:100]
    assert found == {}


def test_the_search_for_words_can_find_them() -> None:
    assert FORBIDDEN["a package index"].search("--index-url https://" + "py" + "pi.org/simple")
    assert FORBIDDEN["a path of one machine"].search("open('/ho" + "me/me/x')")
    assert not FORBIDDEN["a path of one machine"].search("https://www.example.gov/ho" + "me/x")
    assert len(committed_files()) > 20
