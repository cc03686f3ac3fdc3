"""Laws 1, 2 and 8 under real DVC in real git repositories: what runs again, what is restored, and the same bytes."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import termios
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import networkx as nx
import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from dvc.repo import Repo
from ruamel.yaml import YAML

from tests.conftest import (
    ENVIRONMENT,
    ROOT,
    make_small_project,
    planted_rows,
    run,
    set_params,
    stages_run,
    write_rows,
)
from tests.documents import DOCUMENTS

pytestmark = pytest.mark.pipeline

INGEST = ["ingest", "vocabulary", "split", "train", "refit", "baselines", "evaluate", "map", "report", "export"]
SPLIT = ["split", "train", "refit", "baselines", "evaluate", "map", "report", "export"]
TRAIN = ["train", "refit", "evaluate", "map", "report", "export"]
BASELINES = ["baselines", "evaluate", "report"]
EVALUATE = ["evaluate", "report"]

PIPELINE = YAML(typ="safe").load((ROOT / "dvc.yaml").read_text())

# Every leaf of params.yaml: a value to change it to, and the stages that may then have to run.
CHANGES: dict[str, tuple[Any, list[str]]] = {
    "ingest.source": ("data/raw/other.csv", INGEST),
    "ingest.items": ("data/raw/other.csv", INGEST),
    "ingest.delimiter": (";", INGEST),
    "ingest.quote": ("", INGEST),
    "ingest.encoding": ("latin-1", INGEST),
    "ingest.header": (False, INGEST),
    "ingest.columns.user_id": ("member", INGEST),
    "ingest.columns.item_id": ("item", INGEST),
    "ingest.columns.item_type": (None, INGEST),
    "ingest.columns.rating": (None, INGEST),
    "ingest.columns.timestamp": (None, INGEST),
    "ingest.columns.split": ("part", INGEST),
    "ingest.constant_item_type": ("movie", INGEST),
    "ingest.timestamp_format": ("iso8601", INGEST),
    "ingest.minimum_allowed_rating": (1, INGEST),
    "ingest.maximum_allowed_rating": (None, INGEST),
    "ingest.max_rejected_share": (0.5, INGEST),
    "ingest.minimum_rating": (6, INGEST),
    "ingest.minimum_user_interactions": (5, INGEST),
    "ingest.minimum_item_interactions": (5, INGEST),
    "split.method": ("temporal", SPLIT),
    "split.seed": (43, SPLIT),
    "split.train": (0.7, SPLIT),
    "split.validation": (0.05, SPLIT),
    "split.test": (0.05, SPLIT),
    "split.validation_share": (0.2, SPLIT),
    "train.embedding_dimension": (16, TRAIN),
    "train.loss": ("in_batch_softmax", TRAIN),
    "train.retrieval_weight": (0.5, TRAIN),
    "train.rating_weight": (0.0, TRAIN),
    "train.temperature": (0.1, TRAIN),
    "train.popularity_prior": (0.0, TRAIN),
    "train.popularity_half_life": (7.0, TRAIN),
    "train.optimizer": ("sgd", TRAIN),
    "train.learning_rate": (0.1, TRAIN),
    "train.batch_size": (64, TRAIN),
    "train.candidates": (512, TRAIN),
    "train.epochs": (4, TRAIN),
    "train.early_stopping_patience": (0, TRAIN),
    "train.seed": (43, TRAIN),
    "train.threads": (1, TRAIN),
    "refit.rows": ("train_and_validation", ["refit", "export"]),
    "baselines.random": (False, BASELINES),
    "baselines.most_popular": (False, BASELINES),
    "baselines.recent_popular": (False, BASELINES),
    "baselines.most_popular_of_type": (False, BASELINES),
    "baselines.item_knn": (False, BASELINES),
    "baselines.ease": (False, BASELINES),
    "baselines.ials": (False, BASELINES),
    "baselines.trials": (2, BASELINES),
    "baselines.memory_limit": (0.5, BASELINES),
    "baselines.seed": (43, BASELINES),
    "evaluate.cutoffs": ([5, 20], EVALUATE),
    "evaluate.candidates": (["everything"], EVALUATE),
    "evaluate.repeat_consumption": (True, EVALUATE),
    "evaluate.bootstrap_samples": (200, EVALUATE),
    "evaluate.seed": (43, EVALUATE),
    "export.csv": (True, ["export"]),
    "export.index.build": (True, ["export"]),
    "export.index.min_recall": (0.9, ["export"]),
}


def leaves(content: dict[str, Any], prefix: str = "") -> Iterator[str]:
    for name, value in content.items():
        if isinstance(value, dict):
            yield from leaves(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}"


def may_run() -> list[str]:
    """The stages of the current folder that DVC finds changed, and those that follow them in its graph."""
    with Repo() as repo:
        changed = set(repo.status())
        graph = repo.index.graph
        # DVC's edges run from a stage to what it depends on.
        following = {
            other.addressing for stage in graph if stage.addressing in changed for other in nx.ancestors(graph, stage)
        }
        assert changed <= set(INGEST)
        return [name for name in INGEST if name in changed | following]


@pytest.fixture
def project(small_project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the small project after `dvc repro`, with its cache, as the current folder, to be changed at will."""
    monkeypatch.chdir(shutil.copytree(small_project, tmp_path / "project", symlinks=True))
    return tmp_path / "project"


def test_every_leaf_of_params_is_in_the_table() -> None:
    assert list(CHANGES) == list(leaves(YAML(typ="safe").load((ROOT / "params.yaml").read_text())))


def test_a_changed_parameter_concerns_its_stage_and_those_after_it(project: Path) -> None:
    (project / "data/raw/other.csv").write_text("user_id,item_id,item_type\n")
    original = (project / "params.yaml").read_text()
    assert may_run() == []
    for name, (value, expected) in CHANGES.items():
        set_params(project, {name: value})
        assert may_run() == expected, name
        (project / "params.yaml").write_text(original)
    assert may_run() == []


def test_comments_order_and_spelling_run_nothing(project: Path) -> None:
    path = project / "params.yaml"
    content = YAML(typ="safe").load(path.read_text())
    reordered = {name: dict(reversed(section.items())) for name, section in reversed(content.items())}
    with path.open("w") as file:
        YAML(typ="safe").dump(reordered, file)
    text = path.read_text()
    assert "learning_rate: 0.3" in text
    path.write_text("# A comment.\n" + text.replace("learning_rate: 0.3", "learning_rate: 3.0e-1"))
    assert may_run() == []
    assert stages_run(run(project, "dvc", "repro").stdout) == []


def test_a_changed_or_a_new_module_runs_the_stages_that_list_it(project: Path) -> None:
    comment = "\n# A comment.\n"
    for module, expected in {
        "stages/split/__main__.py": ["split"],
        "towerline/baseline_models/ease.py": ["baselines"],
        "stages/evaluate/exposure.py": ["evaluate"],
        "stages/export/servable.py": ["export"],
        "towerline/tables/engine.py": ["ingest", "vocabulary", "split", "export"],
        "towerline/artifacts/baselines.py": ["baselines", "evaluate", "report"],
        "stages/evaluate/new_metric.py": ["evaluate"],
        "stages/rules.py": [],
        "towerline/serving/new.py": [],
        "stages/evaluate/.metrics.py.swp": [],
    }.items():
        with (project / module).open("a") as file:
            file.write(comment)
        # What follows does not run: the outputs of these stages are the same bytes.
        assert stages_run(run(project, "dvc", "repro").stdout) == expected, module


def test_another_dimension_runs_train_evaluate_export_and_back_is_restored(project: Path) -> None:
    before = (project / "dvc.lock").read_bytes()
    set_params(project, {"train.embedding_dimension": 12})
    assert stages_run(run(project, "dvc", "repro").stdout) == TRAIN
    differences = run(project, "dvc", "metrics", "diff").stdout
    assert " ndcg@10 " in differences
    assert "most_popular" not in differences
    assert "embedding_dimension" in run(project, "dvc", "params", "diff").stdout
    set_params(project, {"train.embedding_dimension": 8})
    back = run(project, "dvc", "repro").stdout
    assert stages_run(back) == []
    assert back.count("is cached - skipping run") == len(TRAIN)
    assert (project / "dvc.lock").read_bytes() == before


def test_two_clones_with_other_surroundings_give_the_same_lock(small_project: Path, tmp_path: Path) -> None:
    """Another path, hash seed, time zone, locale, and one core instead of all."""
    other = tmp_path / "somewhere else/ünder" / "project"
    other.mkdir(parents=True)
    make_small_project(other)
    surroundings: dict[str, Any] = {
        "PYTHONHASHSEED": "7",
        "TZ": "Pacific/Kiritimati",
        "LANG": "tr_TR.UTF-8",
        "LC_ALL": "C",
    }
    single: dict[str, Any] = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    run(other, "taskset", "-c", "0", "dvc", "repro", **surroundings, **single)
    assert (other / "dvc.lock").read_bytes() == (small_project / "dvc.lock").read_bytes()
    assert stages_run(run(other, "dvc", "repro", "--force").stdout) == INGEST
    assert (other / "dvc.lock").read_bytes() == (small_project / "dvc.lock").read_bytes()


def test_the_original_form_works_by_editing_params_alone(project: Path) -> None:
    kinds = {"book": "1", "film": "3"}
    rows = [[user, item, kinds[kind]] for user, item, kind, *_ in planted_rows()]
    write_rows(project / "data/raw/mine.csv", rows, ["user_id", "item_id", "item_type"])
    changes = {
        "ingest.source": "data/raw/mine.csv",
        "ingest.columns.rating": None,
        "ingest.columns.timestamp": None,
        "train.rating_weight": 0.0,
    }
    set_params(project, changes | {"train.rating_weight": 0.3})
    failed = run(project, "dvc", "repro", check=False)
    assert failed.returncode != 0
    expected = "train.rating_weight: expected 0 where ingest.columns.rating is null, found 0.3; set it to 0"
    assert f"ingest: params.yaml: {expected}" in failed.stderr
    set_params(project, changes)
    run(project, "dvc", "repro")
    metrics = json.loads((project / "reports/metrics.json").read_text())
    assert "rmse" not in metrics
    table = pd.read_csv(project / "reports/tables/metrics.csv")
    assert set(table.value[table.by == "item_type"].astype(str)) == {"1", "3"}


def test_experiments_run_and_show_and_wrong_names_are_refused(project: Path) -> None:
    run(project, "dvc", "exp", "run", "-S", "train.temperature=0.1", "-n", "colder")
    shown = run(project, "dvc", "exp", "show", "--csv", "--no-pager").stdout
    assert "colder" in shown
    assert ",ndcg@10," in shown
    misspelt = run(project, "dvc", "exp", "run", "-S", "train.temprature=0.1", check=False)
    assert misspelt.returncode != 0
    assert "temprature" in misspelt.stderr
    ill_typed = run(project, "dvc", "exp", "run", "-S", "train.temperature=warm", check=False)
    assert ill_typed.returncode != 0
    assert "train: params.yaml: train.temperature: expected a number, found 'warm'" in ill_typed.stderr


def test_without_a_file_of_titles_no_item_has_one(tmp_path: Path) -> None:
    """`ingest.items: null` in params.yaml, back to the file, and null again on DVC's command line."""
    project = make_small_project(tmp_path)
    set_params(project, {"ingest.items": None})
    assert stages_run(run(project, "dvc", "repro", "vocabulary").stdout) == INGEST[:2]
    items = pq.read_table(project / "data/vocabulary/items.parquet")
    assert items.column_names == ["index", "item_type", "item_id", "title", "features"]
    assert items["title"].null_count == len(items) > 0
    deps = [entry["path"] for entry in YAML(typ="safe").load(project / "dvc.lock")["stages"]["ingest"]["deps"]]
    assert deps[:2] == ["None", "data/raw/preferences.csv"]
    assert (project / "None").read_bytes() == (ROOT / "None").read_bytes()
    # A file of titles that nobody names is no dependency.
    (project / "data/raw/items.csv").unlink()
    assert stages_run(run(project, "dvc", "repro", "vocabulary").stdout) == []
    run(project, "git", "checkout", "-q", "params.yaml", "data/raw/items.csv")
    assert stages_run(run(project, "dvc", "repro", "vocabulary").stdout) == INGEST[:2]
    assert pq.read_table(project / "data/vocabulary/items.parquet")["title"].null_count < len(items)
    run(project, "dvc", "exp", "run", "-S", "ingest.items=null", "vocabulary")
    assert pq.read_table(project / "data/vocabulary/items.parquet").equals(items)


def test_a_source_that_is_null_is_refused_in_one_line(tmp_path: Path) -> None:
    project = make_small_project(tmp_path)
    failed = run(project, "dvc", "exp", "run", "-S", "ingest.source=null", "ingest", check=False)
    assert failed.returncode != 0
    lines = [line for line in failed.stderr.splitlines() if line.startswith("ingest: ")]
    assert lines == ["ingest: params.yaml: ingest.source: expected text, found null"]
    assert "unexpected error" not in failed.stderr


def test_an_empty_source_ends_in_the_documented_error(tmp_path: Path) -> None:
    project = make_small_project(tmp_path)
    set_params(project, {"ingest.source": ""})
    sentence = '(`ingest.source: ""`) ends in DVC\'s own `unexpected error`'
    assert sentence in " ".join(DOCUMENTS.split())
    assert "unexpected error" in run(project, "dvc", "repro", check=False).stderr


def test_plots_are_drawn_and_compared(project: Path) -> None:
    set_params(project, {"evaluate.cutoffs": [5, 10, 20]})
    run(project, "dvc", "repro")
    drawn = run(project, "dvc", "plots", "diff").stdout.strip()
    page = Path(drawn.removeprefix("file://")).read_text()
    titles = re.findall(r'"title": {"text": "([^"]*)"', page)
    plots = YAML(typ="safe").load((project / "dvc.yaml").read_text())["plots"]
    assert titles == [entry["title"] for plot in plots for entry in plot.values()], "each curve once"


def test_a_killed_stage_leaves_nothing_that_passes_for_whole(project: Path) -> None:
    """Exported files are swapped in whole: a stage that fails half-way leaves the old ones."""
    code = (
        "from stages.export import __main__ as stage\n"
        "from stages.export.servable import Retrieval\n"
        "def broken(*_): raise KeyboardInterrupt\n"
        "Retrieval.save = broken\n"
        "from towerline.pipeline.terminal import run\n"
        "run('export', stage.main)\n"
    )
    before = {path: path.read_bytes() for path in (project / "exports").rglob("*") if path.is_file()}
    done = run(project, sys.executable, "-c", code, check=False)
    assert (done.returncode, done.stderr) == (130, "export: interrupted\n")
    assert {path: path.read_bytes() for path in (project / "exports").rglob("*") if path.is_file()} == before
    assert not list(project.glob(".unfinished.*"))


def test_an_interrupted_training_leaves_the_old_model_whole(project: Path) -> None:
    set_params(project, {"train.epochs": 100_000, "train.early_stopping_patience": 0})
    before = {path: path.read_bytes() for path in (project / "models").rglob("*") if path.is_file()}
    # Progress is shown on a terminal alone: its first epochs, of a search and a fit, say that training is under way.
    screen, terminal = os.openpty()
    termios.tcsetwinsize(terminal, (24, 120))
    command = [sys.executable, "-m", "stages.train"]
    with subprocess.Popen(command, cwd=project, env=ENVIRONMENT, stderr=terminal, stdout=subprocess.DEVNULL) as process:
        shown = ""
        while not re.search(r" [1-9]\d*/200000 ", shown):
            shown += os.read(screen, 4096).decode()
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 130
    shown += os.read(screen, 65536).decode()
    os.close(terminal)
    os.close(screen)
    assert shown.splitlines()[-1] == "train: interrupted"
    assert {path: path.read_bytes() for path in (project / "models").rglob("*") if path.is_file()} == before


def test_embeddings_that_are_not_finite_stop_the_evaluation_with_file_and_rows(project: Path) -> None:
    path = project / "models/two_tower/item_embeddings.npy"
    embeddings = np.load(path)
    embeddings[3, 1], embeddings[5] = np.nan, np.inf
    path.unlink()
    np.save(path, embeddings)
    done = run(project, sys.executable, "-m", "stages.evaluate", check=False)
    expected = "expected finite embeddings, found NaN or infinity in 2 rows"
    assert (done.returncode, done.stderr) == (1, f"evaluate: models/two_tower/item_embeddings.npy: {expected}\n")


def test_baselines_that_are_switched_off_or_too_large_are_not_in_the_result(project: Path) -> None:
    names = {"random", "most_popular", "most_popular_of_type", "item_knn", "ease", "ials"}
    metrics = json.loads((project / "reports/metrics.json").read_text())
    assert names < set(metrics)
    table = pd.read_csv(project / "reports/tables/metrics.csv")
    assert set(table[table.candidates == "within_type"].value) == {"book", "film"}
    kept = {"most_popular", "ease"}
    set_params(project, {f"baselines.{name}": False for name in names - kept} | {"baselines.memory_limit": 1e-6})
    assert "ease would take" in run(project, "dvc", "repro").stdout
    metrics = json.loads((project / "reports/metrics.json").read_text())
    assert names & set(metrics) == {"most_popular"}
