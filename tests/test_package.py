"""The wheel: its files, and its use in an environment that holds its core dependencies and nothing else."""

import subprocess
import sys
import venv
import zipfile
from email.parser import Parser
from importlib.metadata import distribution
from pathlib import Path
from typing import NamedTuple

import pytest
from packaging.requirements import Requirement

import towerline
from tests.conftest import ROOT, copy_project, run


class Environment(NamedTuple):
    """Programs of a virtual environment, and an empty folder to run them in."""

    programs: Path
    folder: Path

    def run(self, program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        return run(self.folder, str(self.programs / program), *arguments)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    # In a copy: setuptools leaves a folder build/.
    source = copy_project(folder / "source")
    pip = [sys.executable, "-m", "pip"]
    run(folder, *pip, "wheel", str(source), "--no-deps", "--no-build-isolation", "--quiet", "--wheel-dir", str(folder))
    return next(folder.glob("*.whl"))


def names_in(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return {name for name in archive.namelist() if ".dist-info/" not in name}


def needed(requirements: list[str], extra: str = "") -> set[str]:
    """Names of the distributions that the requirements name, and of those that these need."""
    names: set[str] = set()
    for requirement in map(Requirement, requirements):
        if requirement.marker is None or requirement.marker.evaluate({"extra": extra}):
            names.add(requirement.name)
            for wanted in ["", *requirement.extras]:
                names |= needed(distribution(requirement.name).requires or [], wanted)
    return names


@pytest.fixture(scope="module")
def environment(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """A virtual environment with the wheel and links to the installed core dependencies, as pip would choose them."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder / "venv", with_pip=False)
    programs = folder / "venv/bin"
    run(folder, sys.executable, "-m", "pip", "--python", str(programs / "python"), "install", "--no-deps", str(wheel))
    (packages,) = folder.glob("venv/lib/python*/site-packages")
    with zipfile.ZipFile(wheel) as archive:
        (metadata,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        requirements = Parser().parsestr(archive.read(metadata).decode()).get_all("Requires-Dist", [])
    for name in needed(requirements):
        installed = distribution(name)
        for top in {path.parts[0] for path in installed.files or [] if path.parts[0] not in ("..", "__pycache__")}:
            (packages / top).symlink_to(str(installed.locate_file(top)))
    (folder / "elsewhere").mkdir()
    return Environment(programs, folder / "elsewhere")


def test_the_wheel_holds_the_package_and_what_is_no_module_of_it(wheel: Path) -> None:
    names = names_in(wheel)
    tracked = run(ROOT, "git", "ls-files", "--cached", "--others", "--exclude-standard", "towerline").stdout.split()
    assert names == set(tracked)
    assert {"towerline/py.typed"} < names


def test_an_application_needs_the_core_dependencies_alone(environment: Environment, small_project: Path) -> None:
    exports = str(small_project / "exports")
    code = f"""
import importlib.util, towerline
import towerline.serving.postgres.publishing
assert not any(map(importlib.util.find_spec, ["stages", "tests", "tensorflow", "dvc", "pandas", "ibis", "duckdb"]))
recommender = towerline.open({exports!r})
print(recommender.recommend("u3", 1)[0].item_id)
try:
    recommender.recommend("u3000")
except towerline.UnknownIdError as error:
    print(error.closest[0])
"""
    best, closest = environment.run("python", "-c", code).stdout.split()
    assert best in environment.run("towerline", "recommend", "u3", "--k", "1", "--exports", exports).stdout
    assert closest.startswith("u3")
    assert environment.run("towerline", "--version").stdout == f"towerline {towerline.__version__}\n"
