"""The pipeline as a whole, under real DVC: the same bytes (law 2), other forms of data, experiments and plots."""

import json
import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from ruamel.yaml import YAML

from tests.conftest import ROOT, STAGES, make_small_project, planted_rows, run, set_params, stages_run, write_rows
from tests.documents import DOCUMENTS

pytestmark = pytest.mark.pipeline


@pytest.mark.slow
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
    assert stages_run(run(other, "dvc", "repro", "--force").stdout) == STAGES
    assert (other / "dvc.lock").read_bytes() == (small_project / "dvc.lock").read_bytes()


def test_the_original_form_works_by_editing_params_alone(project: Path) -> None:
    kinds = {"book": "1", "film": "3"}
    rows = [[user, item, kinds[kind]] for user, item, kind, *_ in planted_rows()]
    write_rows(project / "data/raw/mine.csv", rows, ["user_id", "item_id", "item_type"])
    changes: dict[str, Any] = {
        "ingest.source": "data/raw/mine.csv",
        "ingest.columns.rating": None,
        "ingest.columns.timestamp": None,
        "train.rating_weight": 0.0,
        # The items file has none of these items, and so no features.
        "train.item_features": {},
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
    set_params(project, {"ingest.items": None, "ingest.users": None, "train.item_features": {}})
    assert stages_run(run(project, "dvc", "repro", "vocabulary").stdout) == STAGES[:2]
    items = pq.read_table(project / "data/vocabulary/items.parquet")
    assert items.column_names == ["index", "item_type", "item_id", "title", "features"]
    assert items["title"].null_count == len(items) > 0
    deps = [entry["path"] for entry in YAML(typ="safe").load(project / "dvc.lock")["stages"]["ingest"]["deps"]]
    assert deps[:3] == ["None", "None", "data/raw/preferences.csv"]
    assert (project / "None").read_bytes() == (ROOT / "None").read_bytes()
    # A file of titles that nobody names is no dependency.
    (project / "data/raw/items.csv").unlink()
    assert stages_run(run(project, "dvc", "repro", "vocabulary").stdout) == []
    run(project, "git", "checkout", "-q", "params.yaml", "data/raw/items.csv")
    assert stages_run(run(project, "dvc", "repro", "vocabulary").stdout) == STAGES[:2]
    assert pq.read_table(project / "data/vocabulary/items.parquet")["title"].null_count < len(items)
    # DVC merges a mapping that is set on its command line, so that {} would leave the features as they are.
    gone = [option for name in ("genres", "title", "year") for option in ("-S", f"~train.item_features.{name}")]
    run(project, "dvc", "exp", "run", "-S", "ingest.items=null", *gone, "vocabulary")
    assert pq.read_table(project / "data/vocabulary/items.parquet").equals(items)


def test_one_table_can_be_source_items_and_users(tmp_path: Path) -> None:
    """DVC has the same dependency several times."""
    project = make_small_project(tmp_path)
    source = "data/raw/one.csv"
    rows = [[*row, f"Title {row[1]}", str(20 + len(row[0]))] for row in planted_rows()]
    write_rows(project / source, rows, ["user_id", "item_id", "item_type", "rating", "timestamp", "title", "age"])
    features = {"train.item_features": {"title": {"kind": "text"}}}
    set_params(project, {"ingest.source": source, "ingest.items": source, "ingest.users": None, **features})
    assert stages_run(run(project, "dvc", "repro", "vocabulary").stdout) == STAGES[:2]
    assert stages_run(run(project, "dvc", "repro", "vocabulary").stdout) == []
    assert pq.read_table(project / "data/vocabulary/items.parquet")["title"].null_count == 0
    run(project, "git", "add", "-A")
    run(project, "dvc", "exp", "run", "-S", f"ingest.users={source}", "vocabulary")
    deps = [entry["path"] for entry in YAML(typ="safe").load(project / "dvc.lock")["stages"]["ingest"]["deps"]]
    assert deps[:3] == [source] * 3
    (ages, *_), *_ = pq.read_table(project / "data/vocabulary/users.parquet")["features"].to_pylist()
    assert ages == ("age", "22")


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


def plots_page(project: Path, command: str) -> str:
    """The page of `dvc plots show` or `dvc plots diff`."""
    drawn = run(project, "dvc", "plots", command).stdout.strip()
    return Path(drawn.removeprefix("file://")).read_text()


def test_plots_are_drawn_and_compared(project: Path) -> None:
    set_params(project, {"evaluate.cutoffs": [5, 10, 20]})
    run(project, "dvc", "repro")
    page = plots_page(project, "diff")
    titles = re.findall(r'"title": {"text": "([^"]*)"', page)
    plots = YAML(typ="safe").load((project / "dvc.yaml").read_text())["plots"]
    assert titles == [entry["title"] for plot in plots for entry in plot.values()], "each curve once"


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
    # 5 KB are enough for the popularity of 60 items, and not for EASE.
    set_params(project, {f"baselines.{name}": False for name in names - kept} | {"baselines.memory_limit": 5e-6})
    printed = run(project, "dvc", "repro").stdout
    assert re.search(r"left out for baselines\.memory_limit: .*\bease \(\S+ GB\)", printed)
    metrics = json.loads((project / "reports/metrics.json").read_text())
    assert names & set(metrics) == {"most_popular"}
    assert "could not find" not in plots_page(project, "show"), "curves of the models that there are"
