"""The README's commands, in its order, over the default data; what it prints of them is what they print."""

import json
import re
import sys
from pathlib import Path

import pandas as pd
import pytest

from tests.conftest import ROOT, commit_all, copy_project, run

README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language: str, after: str = "") -> list[str]:
    """The fenced blocks of a language behind a text of the README."""
    return re.findall(rf"^```{language}\n(.*?)^```$", README[README.index(after) :], re.DOTALL | re.MULTILINE)


def comparable(text: str, figures: bool) -> str:
    """The text without what differs between two runs: names of experiments, and, on request, figures."""
    text = re.sub(r"'\w+-\w+'", "'name'", re.sub(r"\b[0-9a-f]{7} \[\w+-\w+\] *", "name ", text))
    text = re.sub(r" +", " ", re.sub(r"-{3,}", "---", re.sub(r" +$", "", text, flags=re.MULTILINE)))
    return text if figures else re.sub(r"-?\d[\d.,]*", "#", text)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The committed project in a repository of its own, after the README's first line."""
    folder = copy_project(tmp_path_factory.mktemp("readme"))
    commit_all(folder)
    install, repro = blocks("bash", "<!-- pipeline -->")[0].split(" -r requirements.txt && ")
    assert install == "python3 -m venv .venv && . .venv/bin/activate && pip install -q --require-hashes"
    (folder / "printed.txt").write_text(run(folder, "bash", "-ec", repro).stdout, encoding="utf-8")
    return folder


def same_bytes(folder: Path) -> bool:
    """Whether the machine rounds as the one that recorded dvc.lock; fails where the result is another."""
    return "byte for byte" in run(folder, sys.executable, ".ci/verify").stdout


def check_printed(shown: str, printed: str, figures: bool) -> None:
    printed = comparable(printed, figures)
    for passage in comparable(shown, figures).split("...\n"):
        assert passage in printed


def test_the_first_line_gives_the_committed_result(project: Path) -> None:
    figures = same_bytes(project)
    check_printed(blocks("text", "<!-- pipeline -->")[0], (project / "printed.txt").read_text(), figures)
    metrics = json.loads((project / "reports/metrics.json").read_text())
    model, popular = metrics["two_tower"], metrics["most_popular"]
    for name in ("recall@20", "ndcg@20"):
        assert model[name] > 1.15 * popular[name]
    table = pd.read_csv(project / "reports/tables/metrics.csv")
    chosen = table[(table.candidates == "everything") & (table.group == "all") & (table.k == 20)]
    for name in ("two_tower", "ease", "ials", "item_knn", "most_popular"):
        rows = [chosen[(chosen.model == name) & (chosen.metric == metric)].iloc[0] for metric in ("recall", "ndcg")]
        cells = [f"{row['mean']:.4f} ({row.low:.4f} to {row.high:.4f})" for row in rows]
        assert comparable(f"| {name} | {cells[0]} | {cells[1]} |", figures) in comparable(README, figures)


def test_the_embeddings_are_used_as_shown(project: Path) -> None:
    done = run(project, sys.executable, "-c", blocks("python", "<!-- use -->")[0])
    check_printed(blocks("text", "<!-- use -->")[0], done.stdout, figures=same_bytes(project))


def test_one_change_is_run_and_compared_as_shown(project: Path) -> None:
    figures = same_bytes(project)
    section = "## Change one thing"
    for command, shown in zip(blocks("bash", section)[:3], blocks("text", section)[:3], strict=True):
        check_printed(shown, run(project, "bash", "-ec", command).stdout, figures)
    refused = blocks("text", section)[3].splitlines()
    for change, line in zip(("train.temperature=warm", "+train.temprature=0.1"), refused, strict=True):
        run(project, "git", "checkout", "-q", ".")
        done = run(project, "dvc", "exp", "run", "-S", change, check=False)
        assert line in done.stderr.splitlines()
    run(project, "git", "checkout", "-q", ".")
    misspelt = run(project, "dvc", "exp", "run", "-S", "train.temprature=0.1", check=False)
    assert "Key 'temprature' is not in struct" in misspelt.stderr


def test_the_notebooks_settings_give_what_the_table_says(project: Path) -> None:
    run(project, "git", "checkout", "-q", ".")
    run(project, "bash", "-ec", blocks("bash", "<!-- notebook -->")[0])
    metrics = json.loads((project / "reports/metrics.json").read_text())
    run(project, "git", "checkout", "-q", ".")
    model, popular = metrics["two_tower"], metrics["most_popular"]
    line = next(line for line in README.splitlines() if line.startswith("| the notebook's settings"))
    shown = [float(cell) for cell in re.findall(r"\| (\d\.\d+)", line)]
    assert shown == pytest.approx([model["recall@20"], popular["recall@20"], model["rating_rmse"]], abs=0.005)
