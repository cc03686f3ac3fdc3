"""The examples in docstrings run, in whichever module they are."""

import doctest
import importlib
from pathlib import Path

import pytest

import towerline
from tests.conftest import ROOT


def examples(path: Path) -> int:
    """Number of examples in a module that can run everywhere."""
    lines = [line for line in path.read_text(encoding="utf-8").splitlines() if line.lstrip().startswith(">>> ")]
    return sum("doctest: +SKIP" not in line for line in lines)


MODULES = {
    path.relative_to(ROOT).as_posix().removesuffix(".py").removesuffix("/__init__").replace("/", "."): examples(path)
    for folder in ("stages", "towerline")
    for path in sorted((ROOT / folder).rglob("*.py"))
    if examples(path)
}


@pytest.mark.parametrize("module", MODULES)
def test_the_examples_of_a_module_run(small_project: Path, monkeypatch: pytest.MonkeyPatch, module: str) -> None:
    monkeypatch.chdir(small_project)
    names = {"towerline": towerline, "recommender": towerline.open("exports")}
    result = doctest.testmod(importlib.import_module(module), extraglobs=names)
    assert result.failed == 0
    assert result.attempted == MODULES[module]
