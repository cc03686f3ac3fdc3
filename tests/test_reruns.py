"""Law 1 under real DVC in real git repositories: what a change runs again, and what is restored."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import networkx as nx
import pytest
from dvc.repo import Repo
from ruamel.yaml import YAML

from tests.conftest import ROOT, STAGES, run, set_params, stages_run

pytestmark = pytest.mark.pipeline

# The stages that may run again after a change, those of both pipelines.
ALL = [*STAGES, "backtest"]
INGEST = ALL
SPLIT = ["split", "train", "refit", "baselines", "evaluate", "transfer", "map", "report", "export"]
TRAIN = ["train", "refit", "evaluate", "transfer", "map", "report", "export", "backtest"]
BASELINES = ["baselines", "evaluate", "report", "backtest"]
DISLIKES = ["train", "refit", "baselines", "evaluate", "transfer", "map", "report", "export", "backtest"]
EVALUATE = ["evaluate", "report"]

# Every leaf of params.yaml: a value to change it to, and the stages that may then have to run.
CHANGES: dict[str, tuple[Any, list[str]]] = {
    "ingest.source": ("data/raw/other.csv", INGEST),
    "ingest.items": ("data/raw/other.csv", INGEST),
    "ingest.users": ("data/raw/other.csv", INGEST),
    "ingest.delimiter": (";", INGEST),
    "ingest.quote": ("", INGEST),
    "ingest.encoding": ("latin-1", INGEST),
    "ingest.header": (False, INGEST),
    "ingest.columns.user_id": ("member", INGEST),
    "ingest.columns.item_id": ("item", INGEST),
    "ingest.columns.item_type": (None, INGEST),
    "ingest.columns.rating": (None, INGEST),
    "ingest.columns.timestamp": (None, INGEST),
    "ingest.columns.weight": ("plays", INGEST),
    "ingest.columns.split": ("part", INGEST),
    "ingest.constant_item_type": ("movie", INGEST),
    "ingest.timestamp_format": ("iso8601", INGEST),
    "ingest.weights": ({"view": 1}, INGEST),
    "ingest.minimum_allowed_rating": (1, INGEST),
    "ingest.maximum_allowed_rating": (None, INGEST),
    "ingest.max_rejected_share": (0.5, INGEST),
    "ingest.minimum_rating": (6, INGEST),
    "ingest.minimum_user_interactions": (5, INGEST),
    "ingest.minimum_item_interactions": (5, INGEST),
    "split.method": ("temporal", SPLIT),
    "split.cold_type": ("book", SPLIT),
    "split.seed": (43, SPLIT),
    "split.train": (0.7, SPLIT),
    "split.validation": (0.05, SPLIT),
    "split.test": (0.05, SPLIT),
    "split.validation_share": (0.2, SPLIT),
    "dislikes.below": (6.0, DISLIKES),
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
    "train.device": ("cpu", TRAIN),
    "train.strategy": ("multi_worker", TRAIN),
    "train.item_features.genres.kind": ("text", TRAIN),
    "train.item_features.genres.separator": (";", TRAIN),
    "train.item_features.title.kind": ("categorical", TRAIN),
    "train.item_features.year.kind": ("text", TRAIN),
    "refit.rows": ("train_and_validation", ["refit", "export"]),
    "refit.warm_start": ("data/last", ["refit", "export"]),
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
    "evaluate.users": (1000, EVALUATE),
    "evaluate.bootstrap_samples": (200, EVALUATE),
    "evaluate.seed": (43, EVALUATE),
    "transfer.max_types": (0, ["transfer", "report"]),
    "export.csv": (True, ["export"]),
    "export.dtype": ("float16", ["export"]),
    "export.index.build": (True, ["export"]),
    "export.index.min_recall": (0.9, ["export"]),
    "engine.master": ("local[2]", ALL),
    "engine.memory_limit": (2.0, ALL),
    "engine.spill_folder": ("data/spill", ALL),
    "backtest.cuts": (3, ["backtest"]),
    "backtest.days": (0.05, ["backtest"]),
    "backtest.bootstrap_samples": (200, ["backtest"]),
    "backtest.seed": (43, ["backtest"]),
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
        names = {address.rpartition(":")[2] for address in changed | following}
        assert names <= set(ALL)
        return [name for name in ALL if name in names]


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
    of_default = [name for name in TRAIN if name in STAGES]
    set_params(project, {"train.embedding_dimension": 12})
    assert stages_run(run(project, "dvc", "repro").stdout) == of_default
    differences = run(project, "dvc", "metrics", "diff").stdout
    assert " ndcg@10 " in differences
    assert "most_popular" not in differences
    assert "embedding_dimension" in run(project, "dvc", "params", "diff").stdout
    set_params(project, {"train.embedding_dimension": 8})
    back = run(project, "dvc", "repro").stdout
    assert stages_run(back) == []
    assert back.count("is cached - skipping run") == len(of_default)
    assert (project / "dvc.lock").read_bytes() == before
