"""Laws 1 and 3: what dvc.yaml lists is what a stage reaches, no more and no less; TensorFlow stays in its room."""

import ast
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from tests.conftest import ROOT, run

STAGES: dict[str, Any] = YAML(typ="safe").load((ROOT / "dvc.yaml").read_text())["stages"]
NAMES = ["ingest", "vocabulary", "split", "train", "baselines", "evaluate", "report", "export"]
SOURCES = {"${ingest.source}${nothing}": "data/raw/preferences.csv", "${ingest.items}${nothing}": "data/raw/items.csv"}


def first_party_imports(path: Path) -> set[Path]:
    """The modules of ours that a module imports, packages on the way included."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    found: set[Path] = set()
    for name in names:
        if name.split(".")[0] != "stages":
            continue
        parts = name.split(".")
        for length in range(1, len(parts) + 1):
            module = ROOT.joinpath(*parts[:length])
            found |= {one for one in (module.with_suffix(".py"), module / "__init__.py") if one.is_file()}
    return found


def reached(path: Path) -> set[str]:
    todo, seen = [path], {path, ROOT / "stages/__init__.py"}
    while todo:
        new = first_party_imports(todo.pop()) - seen
        seen |= new
        todo += new
    return {one.relative_to(ROOT).as_posix() for one in seen}


def listed(stage: str, kind: str) -> list[str]:
    """Names of a stage's deps, params, outs, metrics or plots, as the small project has them."""
    entries = STAGES[stage].get(kind, [])
    names = [next(iter(entry)) if isinstance(entry, dict) else entry for entry in entries]
    return [SOURCES.get(name, name) for name in names]


def test_the_stages_are_those_of_the_design_each_with_a_description() -> None:
    assert list(STAGES) == NAMES
    assert all(entry["desc"] and entry["cmd"] == f"python -m stages.{stage}" for stage, entry in STAGES.items())


@pytest.mark.parametrize("stage", NAMES)
def test_code_dependencies_are_the_modules_that_the_stage_imports(stage: str) -> None:
    code = {name for name in listed(stage, "deps") if name.endswith(".py")}
    assert code == reached(ROOT / f"stages/{stage}.py")


def test_every_module_is_reached_by_a_stage() -> None:
    modules = {path.relative_to(ROOT).as_posix() for path in (ROOT / "stages").rglob("*.py")}
    assert modules == set().union(*(reached(ROOT / f"stages/{stage}.py") for stage in NAMES))


def test_tensorflow_is_imported_under_its_room_only() -> None:
    found = {
        path.relative_to(ROOT).parts[1]
        for path in (ROOT / "stages").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in [getattr(node, "module", None), *(alias.name for alias in node.names)]
        if name and name.split(".")[0] in ("tensorflow", "tensorflow_recommenders", "tf_keras", "keras")
    }
    assert found == {"model"}


# train imports it once its settings and its data are known to fit.
@pytest.mark.parametrize("stage", ["ingest", "vocabulary", "split", "train", "baselines", "evaluate", "report"])
def test_light_stages_do_not_pay_for_tensorflow(stage: str) -> None:
    code = f"import stages.{stage}, sys; print('tensorflow' in sys.modules, 'ibis' in sys.modules)"
    heavy_ibis = str(stage not in ("train", "baselines", "evaluate", "report"))
    assert run(ROOT, sys.executable, "-c", code).stdout.split() == ["False", heavy_ibis]


def sandbox(project: Path, stage: str, into: Path, without: str | None = None) -> Path:
    """A folder with nothing but what dvc.yaml lists for a stage, and only its sections of params.yaml."""
    for name in listed(stage, "deps"):
        if name != without:
            (into / name).parent.mkdir(parents=True, exist_ok=True)
            copy = shutil.copytree if (project / name).is_dir() else shutil.copy2
            copy(project / name, into / name)
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


DATA_DEPENDENCIES = [
    (stage, name)
    for stage in NAMES
    for name in [*listed(stage, "deps"), *(["params.yaml"] if listed(stage, "params") else [])]
    if not name.endswith(".py")
]


def test_data_dependencies_were_found() -> None:
    assert len(DATA_DEPENDENCIES) == 2 + 1 + 2 + 3 + 1 + 2 + 1 + 3 + 1 + 8 + 1 + 19 + 8 + 1


@pytest.mark.parametrize(("stage", "missing"), DATA_DEPENDENCIES)
def test_a_stage_reads_every_file_that_it_lists(stage: str, missing: str, small_project: Path, tmp_path: Path) -> None:
    folder = sandbox(small_project, stage, tmp_path, without=missing)
    if missing == "params.yaml":
        (folder / missing).unlink()
    done = run_stage(folder, stage)
    assert done.returncode == 1
    assert Path(missing).name in done.stderr
