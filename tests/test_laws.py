"""Laws 1 and 3 of docs/design.md: a stage reads, imports and writes exactly what dvc.yaml lists for it.

TensorFlow is imported in one folder, and only the stages that use it pay for it.
"""

import ast
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from ruamel.yaml import YAML

from tests.conftest import ROOT, STAGES, run
from tests.documents import blocks

PIPELINES = [YAML(typ="safe").load((ROOT / path).read_text())["stages"] for path in ("dvc.yaml", "backtest/dvc.yaml")]
ENTRIES: dict[str, Any] = PIPELINES[0] | PIPELINES[1]
NAMES = [*STAGES, "backtest"]
SOURCES = {
    "${ingest.source}${nothing}": "data/raw/preferences.csv",
    "${ingest.items}${nothing}": "data/raw/items.csv",
    "${ingest.users}${nothing}": "data/raw/users.csv",
    "${refit.warm_start}${nothing}": "None",
}


def first_party_imports(path: Path) -> set[Path]:
    """The modules of stages and towerline that a module imports, and the packages that contain them."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return {module for name in names if name.split(".")[0] in ("stages", "towerline") for module in modules_of(name)}


def modules_of(name: str) -> set[Path]:
    """The files of a dotted name, those of its packages included."""
    parts = name.split(".")
    paths = [ROOT.joinpath(*parts[:length]) for length in range(1, len(parts) + 1)]
    return {file for path in paths for file in (path.with_suffix(".py"), path / "__init__.py") if file.is_file()}


def reached(stage: str) -> set[str]:
    """The modules that a stage imports, at its start or later; what a type checker alone imports is among them."""
    start = ROOT / "stages" / stage / "__main__.py"
    todo, seen = [start], {start} | modules_of(f"stages.{stage}")
    todo += seen - {start}
    while todo:
        path = todo.pop()
        # The package offers an application all of serving, by names that no stage asks for.
        new = first_party_imports(path) - seen if path != ROOT / "towerline/__init__.py" else set()
        seen |= new
        todo += new
    return {path.relative_to(ROOT).as_posix() for path in seen}


def is_code(name: str) -> bool:
    return name.split("/")[0] in ("stages", "towerline")


def code_of(stage: str) -> list[str]:
    """The folders and files of code that dvc.yaml lists for a stage."""
    return [name for name in listed(stage, "deps") if is_code(name)]


def within(name: str, entry: str) -> bool:
    return name == entry or name.startswith(f"{entry}/")


def listed(stage: str, kind: str) -> list[str]:
    """Names of a stage's deps, params, outs, metrics or plots, as the small project has them."""
    entries = ENTRIES[stage].get(kind, [])
    names = [next(iter(entry)) if isinstance(entry, dict) else entry for entry in entries]
    return [SOURCES.get(name, name) for name in names]


def test_the_stages_are_those_of_the_design_each_with_a_description() -> None:
    assert [list(pipeline) for pipeline in PIPELINES] == [STAGES, ["backtest"]]
    assert all(entry["desc"] and entry["cmd"] == f"python -m stages.{stage}" for stage, entry in ENTRIES.items())


@pytest.mark.parametrize("stage", NAMES)
def test_code_dependencies_hold_all_that_the_stage_imports_and_no_more(stage: str) -> None:
    modules, code = reached(stage), code_of(stage)
    assert {name for name in modules if not any(within(name, entry) for entry in code)} == set(), "not listed"
    assert {entry for entry in code if not any(within(name, entry) for name in modules)} == set(), "not reached"
    assert all(name.split("/")[1] in (stage, "__init__.py") for name in modules if name.startswith("stages/"))


def folder_of(path: Path) -> str:
    """The folder of a module below stages/ or towerline/; empty for modules that are in none."""
    parts = path.relative_to(ROOT).parts
    return parts[1] if len(parts) > 2 else ""


def test_the_diagram_of_imports_is_that_of_the_modules() -> None:
    imports: dict[str, set[str]] = {}
    for room in ("stages", "towerline"):
        for path in (ROOT / room).rglob("*.py"):
            imports.setdefault(folder_of(path), set()).update(map(folder_of, first_party_imports(path)))
    found = {name: used - {name, "", "pipeline"} for name, used in imports.items() if name}
    assert all("artifacts" in found[stage] for stage in NAMES)
    for stage in NAMES:
        found[stage].discard("artifacts")
    drawn = blocks("mermaid", "<!-- imports -->")[0].splitlines()[1:]
    pairs = [line.split(" --> ") for line in drawn]
    assert {name.strip(): set(used.split(" & ")) for name, used in pairs} == {
        name: used for name, used in found.items() if used
    }


def test_every_module_of_a_stage_is_reached_by_it() -> None:
    modules = {path.relative_to(ROOT).as_posix() for path in (ROOT / "stages").rglob("*.py")}
    assert modules - set().union(*map(reached, NAMES)) == {"stages/rules.py"}


def test_tensorflow_is_imported_in_one_place_and_used_by_five_stages_only() -> None:
    importing = {
        path.relative_to(ROOT).as_posix()
        for room in ("stages", "towerline")
        for path in (ROOT / room).rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in [getattr(node, "module", None), *(alias.name for alias in node.names)]
        if name and name.split(".")[0] in ("tensorflow", "tensorflow_recommenders", "tf_keras", "keras")
    }
    assert importing == {"towerline/towers/__init__.py"}
    using = {stage for stage in NAMES if "towerline/towers/__init__.py" in reached(stage)}
    assert using == {"train", "refit", "transfer", "export", "backtest"}


def sandbox(project: Path, stage: str, into: Path) -> Path:
    """A folder with nothing but what dvc.yaml lists for a stage, and only its sections of params.yaml."""
    for name in listed(stage, "deps"):
        (into / name).parent.mkdir(parents=True, exist_ok=True)
        if (project / name).is_dir():
            shutil.copytree(project / name, into / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy2(project / name, into / name)
    everything = YAML(typ="safe").load((project / "params.yaml").read_text())
    sections = {name: everything[name] for name in listed(stage, "params")}
    if sections:
        with (into / "params.yaml").open("w") as file:
            YAML(typ="safe").dump(sections, file)
    return into


def files_of(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def run_stage(folder: Path, stage: str) -> subprocess.CompletedProcess[str]:
    return run(folder, sys.executable, "-m", f"stages.{stage}", check=False, PYTHONDONTWRITEBYTECODE="1")


@pytest.mark.parametrize("stage", NAMES)
def test_a_stage_needs_no_more_than_it_lists_and_writes_all_it_lists(
    stage: str, small_project: Path, tmp_path: Path
) -> None:
    folder = sandbox(small_project, stage, tmp_path)
    before = files_of(folder)
    done = run_stage(folder, stage)
    assert done.returncode == 0, done.stderr
    assert done.stderr == "", "a stage is quiet where there is no terminal"
    after = files_of(folder)
    assert before.items() <= after.items(), "a stage must not change its inputs"
    outputs = [*listed(stage, "outs"), *listed(stage, "metrics"), *listed(stage, "plots")]
    written = set(after) - set(before)
    assert all(any(name == out or name.startswith(f"{out}/") for out in outputs) for name in written)
    assert all(any(name == out or name.startswith(f"{out}/") for name in written) for out in outputs)
    assert all(after[name] == (small_project / name).read_bytes() for name in written)


def data_of(stage: str) -> list[str]:
    """The files and folders of data that dvc.yaml lists for a stage, and params.yaml if it has parameters."""
    names = [*listed(stage, "deps"), *(["params.yaml"] if listed(stage, "params") else [])]
    # The file None stands for a path that params.yaml does not name.
    return [name for name in names if not is_code(name) and name != "None"]


def test_data_dependencies_are_raw_files_outputs_of_stages_and_settings() -> None:
    outputs = {name for stage in NAMES for kind in ("outs", "metrics", "plots") for name in listed(stage, kind)}
    for stage in NAMES:
        assert data_of(stage)
        assert set(data_of(stage)) <= outputs | set(SOURCES.values()) | {"params.yaml"}


# Imports a stage once, says which heavy packages this has imported, and runs the stage in a child process without each
# of its files in turn.
PROBE = """
import importlib, json, os, sys
from pathlib import Path

stage, names = sys.argv[1], json.loads(sys.argv[2])
module = importlib.import_module(f"stages.{stage}.__main__")
heavy = [package for package in ("tensorflow", "ibis") if package in sys.modules]
refusals = {}
for name in names:
    Path(name).rename("away")
    read, write = os.pipe()
    if (child := os.fork()) == 0:
        os.dup2(write, 2)
        try:
            module.run(stage, module.main)
        except SystemExit as end:
            os._exit(end.code)
        os._exit(0)
    os.close(write)
    with os.fdopen(read) as errors:
        text = errors.read()
    refusals[name] = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), text
    Path("away").rename(name)
print(json.dumps([heavy, refusals]))
"""


class Probed(NamedTuple):
    """A stage, the heavy packages that its import imports, and its exit code and message without each of its files."""

    stage: str
    heavy: list[str]
    refusals: dict[str, tuple[int, str]]


@pytest.fixture(scope="module", params=NAMES)
def probed(request: pytest.FixtureRequest, small_project: Path, tmp_path_factory: pytest.TempPathFactory) -> Probed:
    stage = request.param
    folder = sandbox(small_project, stage, tmp_path_factory.mktemp("sandbox"))
    names = json.dumps(data_of(stage))
    done = run(folder, sys.executable, "-c", PROBE, stage, names, PYTHONDONTWRITEBYTECODE="1")
    return Probed(stage, *json.loads(done.stdout.splitlines()[-1]))


def test_only_export_pays_for_tensorflow_at_its_start_and_few_stages_for_ibis(probed: Probed) -> None:
    """Law 3. train imports TensorFlow once its settings and its data are known to fit."""
    assert ("tensorflow" in probed.heavy) == (probed.stage == "export")
    assert ("ibis" in probed.heavy) == (probed.stage in ("ingest", "vocabulary", "split", "export", "backtest"))


def test_a_stage_reads_every_file_that_it_lists(probed: Probed) -> None:
    """Laws 1 and 10: without any of its files it ends with one line that names the file."""
    assert list(probed.refusals) == data_of(probed.stage)
    for name, (code, message) in probed.refusals.items():
        assert code == 1
        assert Path(name).name in message
