"""Laws of the house: what holds for every file and every registered part, whoever wrote it."""

from __future__ import annotations

import dataclasses
import inspect
import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
import yaml

import autophage
from autophage import registry
from autophage.errors import MissingExtra

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "src" / "autophage"
ROOMS = ("src", "tests", "benchmarks", "docs", ".ci", ".github")
ENTRIES = [(slot, kind) for slot, known in registry.PARTS.items() for kind in known]
FORBIDDEN = {"torchvision", "timm", "torch-fidelity", "azula", "torchcfm", "nflows", "mauve-text"}


def texts() -> dict[str, str]:
    """Every text file of the project by its path: what git would track, where git can be asked."""
    asked = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    if asked.returncode == 0:
        paths = [ROOT / name for name in asked.stdout.split("\0") if name]
    else:
        paths = [p for p in ROOT.iterdir() if p.is_file()]
        paths += [p for room in ROOMS for p in (ROOT / room).rglob("*") if "__pycache__" not in p.parts]
    found = {}
    for path in paths:
        if path.is_file():
            try:
                found[path.relative_to(ROOT).as_posix()] = path.read_text(encoding="utf-8")
            except UnicodeDecodeError:
                continue
    return found


def python(snippet: str) -> subprocess.CompletedProcess[str]:
    """A snippet in an interpreter of its own, where the package is found as it is here."""
    environment = os.environ | {"PYTHONPATH": str(SOURCE.parent)}
    return subprocess.run(
        [sys.executable, "-c", snippet], capture_output=True, text=True, timeout=120, env=environment
    )


# The shape of the source


def test_no_source_file_is_over_600_lines():
    lengths = {p.relative_to(ROOT).as_posix(): len(p.read_text().splitlines()) for p in SOURCE.rglob("*.py")}
    assert lengths
    assert {name: n for name, n in lengths.items() if n > 600} == {}


def test_no_module_is_named_after_nothing():
    empty = re.compile(r"(^|_)(manager|helper|util|misc|common)s?($|_)")
    bad = [p for p in SOURCE.rglob("*") if empty.search(p.stem) and p.suffix in ("", ".py")]
    assert bad == []


def test_every_module_says_what_it_is():
    silent = [
        p.relative_to(ROOT).as_posix()
        for p in SOURCE.rglob("*.py")
        if p.read_text().strip() and not re.match(r'(#!.*\n)?r?"""\S', p.read_text())
    ]
    assert silent == []


def test_no_path_of_a_machine_and_no_signature_of_a_tool():
    # The patterns are joined from halves, so that this file holds none of them.
    patterns = ["/work" + "/", "/root" + "/", r"/home/\w+" + "/", r"/Users/\w+" + "/", r"\.\./" + "shared"]
    patterns += ["co-authored" + "-by", "generated" + r" (with|by) \[?\w+ (code|ai|agent)"]
    wanted = re.compile("|".join(patterns), re.IGNORECASE)
    bad = {}
    for name, text in texts().items():
        hits = {m.group(0) for m in wanted.finditer(text)}
        if name == ".ci/run":
            hits.discard("../" + "shared")
        if hits:
            bad[name] = hits
    assert bad == {}


# Parts


@pytest.mark.parametrize(("slot", "kind"), ENTRIES, ids=lambda name: name)
def test_a_registered_part_resolves_and_explains_itself(slot, kind):
    path, line = registry.PARTS[slot][kind]
    assert re.fullmatch(r"autophage(\.\w+)+:\w+", path)
    assert line and line == line.strip() and not line.endswith(".") and "\n" not in line
    try:
        part = registry.find(slot, kind)
    except MissingExtra as missing:
        name = getattr(missing.__cause__, "name", "") or ""
        assert name.partition(".")[0] not in ("", "autophage")
        pytest.skip(str(missing))
    own = part.__dict__.get("__doc__") if inspect.isclass(part) else part.__doc__
    # dataclass writes a signature where there is no docstring
    assert own and not own.startswith(f"{part.__name__}("), f"{path} has no docstring"
    if inspect.isclass(part):
        assert dataclasses.is_dataclass(part) and part.__dataclass_params__.frozen, (
            f"{path} is not a frozen dataclass"
        )


def test_every_key_of_every_part_is_described_in_the_schema():
    from autophage import schema

    definitions = schema.json_schema()["$defs"]
    silent = [
        f"{name}.{key}"
        for name, body in definitions.items()
        if "." in name
        for key, value in body.get("properties", {}).items()
        if key != "kind" and not value.get("description")
    ]
    assert silent == []


def test_a_slot_that_is_asked_for_the_unknown_names_the_nearest():
    with pytest.raises(autophage.SpecError, match="'accumulate'"):
        registry.find("workflow", "acumulate")


# What importing costs, and what it must not need

HEAVY = ("torch", "sklearn", "matplotlib", "polars", "zuko", "scipy.stats")


def test_importing_the_package_is_light():
    done = python(
        f"import sys, autophage; print([m for m in {(*HEAVY, 'pydantic', 'scipy')} if m in sys.modules])"
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[]"


def test_the_help_of_the_command_line_is_light():
    done = python(
        "import sys\n"
        "from autophage.cli import main\n"
        "sys.argv = ['autophage', '--help']\n"
        "try:\n    main()\n"
        "except SystemExit as end:\n    assert not end.code, end.code\n"
        f"print('loaded:', [m for m in {HEAVY} if m in sys.modules])"
    )
    assert done.returncode == 0, done.stderr
    assert "run" in done.stdout and "predict" in done.stdout
    assert done.stdout.strip().splitlines()[-1] == "loaded: []"


def test_learners_data_and_metrics_import_without_polars_and_pydantic():
    done = python(
        "import importlib, pkgutil, sys\n"
        "for name in ('polars', 'pydantic'):\n    sys.modules[name] = None\n"
        "count = 0\n"
        "for room in ('data', 'learners', 'metrics'):\n"
        "    package = importlib.import_module('autophage.' + room)\n"
        "    for module in pkgutil.walk_packages(package.__path__, package.__name__ + '.'):\n"
        "        importlib.import_module(module.name)\n"
        "        count += 1\n"
        "print(count)"
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) >= 10


# Dependencies and versions


def project() -> dict:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def normal(requirement: str) -> str:
    return re.sub(r"[-_.]+", "-", re.split(r"[\s\[<>=!~;@]", requirement.strip(), maxsplit=1)[0]).lower()


def pins() -> dict[str, str]:
    lines = [
        line
        for line in (ROOT / "constraints.txt").read_text().splitlines()
        if line and not line.startswith("#")
    ]
    return {normal(line): line for line in lines}


def test_what_must_not_be_used_is_not_asked_for():
    extras = project()["optional-dependencies"].values()
    asked = {normal(r) for r in [*project()["dependencies"], *(r for extra in extras for r in extra)]}
    assert (asked | set(pins())) & FORBIDDEN == set()
    assert not [name for name in pins() if name.startswith("nvidia")]


def test_what_must_not_be_used_is_not_imported():
    modules = "|".join(sorted(name.replace("-", "_").removesuffix("_text") for name in FORBIDDEN))
    wanted = re.compile(rf"^\s*(?:import|from)\s+(?:{modules})\b", re.MULTILINE)
    assert [name for name, text in texts().items() if name.endswith(".py") and wanted.search(text)] == []


def test_every_dependency_of_a_run_and_of_the_tests_is_pinned():
    needed = {normal(r) for r in project()["dependencies"] + project()["optional-dependencies"]["dev"]}
    assert needed - set(pins()) == set()
    loose = [line for line in pins().values() if not re.fullmatch(r"[\w.-]+==[\w.]+", line)]
    assert loose == []


def test_one_version_everywhere():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    newest = re.search(r"^## \[?(\d[\w.]*)", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert newest is not None
    assert {
        "package": autophage.__version__,
        "pyproject": project()["version"],
        "citation": str(citation["version"]),
        "changelog": newest.group(1),
    } == dict.fromkeys(("package", "pyproject", "citation", "changelog"), autophage.__version__)
    assert citation["license"] == project()["license"] == "Apache-2.0"


# The wheel


@pytest.mark.slow
def test_the_wheel_holds_the_package_data_and_runs_from_elsewhere(tmp_path):
    tree = (
        tmp_path / "tree"
    )  # setuptools writes into the tree it builds from, and packs what an older build left
    names = [
        n
        for n in texts()
        if n.startswith("src/autophage/") or n in ("pyproject.toml", "README.md", "LICENSE")
    ]
    for name in names:
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, tree / name)
    built = subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(tmp_path), str(tree)],
        capture_output=True,
        text=True,
    )
    assert built.returncode == 0, built.stderr
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        packed = set(archive.namelist())
        archive.extractall(tmp_path / "site")
    source = {name.removeprefix("src/") for name in names if name.startswith("src/")}
    assert source - packed == set()
    assert any(name.endswith("licenses/LICENSE") for name in packed)
    done = subprocess.run(
        [sys.executable, "-c", "import autophage; print(autophage.__file__); import autophage.cli"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(tmp_path / "site")},
    )
    assert done.returncode == 0, done.stderr
    assert Path(done.stdout.strip()).is_relative_to(tmp_path / "site")
