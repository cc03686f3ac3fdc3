"""The memory of a training, and what is free of it."""

from pathlib import Path

import pytest

from tests.towerline.training.conftest import params
from towerline.artifacts.split import Sizes
from towerline.pipeline.errors import StageError
from towerline.training import memory
from towerline.training.place import Place


def test_memory_is_linear_in_ids_and_rows_and_follows_dimension_and_optimizer() -> None:
    plain = params(embedding_dimension=64, rating_weight=0.0)
    # The figures of a run whose rows took more than now: 0.205 GB of tables, 2.2 million rows, 2.6 GB at the peak.
    assert memory.training_bytes(plain, 400_000, 400_000, 2_200_000) == pytest.approx(2.6e9, rel=0.12)
    none = memory.training_bytes(plain, 0, 0, 0)
    of_ids, of_rows = memory.training_bytes(plain, 300, 700, 0) - none, memory.training_bytes(plain, 0, 0, 10) - none
    assert memory.training_bytes(plain, 3_000, 7_000, 100) == pytest.approx(none + 10 * of_ids + 10 * of_rows)
    double = params(embedding_dimension=128, rating_weight=0.0)
    assert memory.training_bytes(double, 300, 700, 0) - none == pytest.approx(2 * of_ids)
    by_optimizer = [
        memory.training_bytes(params(optimizer=name, rating_weight=weight), 1_000_000, 0, 0)
        for name, weight in (("sgd", 0.0), ("adagrad", 0.0), ("adam", 0.0), ("adam", 0.1))
    ]
    assert by_optimizer == sorted(set(by_optimizer))


def test_what_does_not_fit_is_refused_in_one_line_and_what_is_large_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "free_bytes", lambda: 3e9)
    settings = params(embedding_dimension=64, rating_weight=0.0)
    assert memory.check_memory(settings, 1_000, 1_000, 10_000) is None
    said = memory.check_memory(settings, 400_000, 400_000, 2_200_000)
    expected = "400,000 users and 400,000 items of 64 dimensions with adagrad and 2,200,000 rows"
    assert said == f"{expected} take about 2.3 GB of memory"
    monkeypatch.setattr(memory, "free_bytes", lambda: 2e9)
    with pytest.raises(StageError) as error:
        memory.check_memory(settings, 400_000, 400_000, 2_200_000)
    assert str(error.value).startswith(
        f"train.embedding_dimension: expected at least 2.3 GB of free memory for {expected}, found 2.0; lower it"
    )


def test_a_worker_that_follows_needs_memory_for_all_embeddings_and_its_own_rows(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(memory, "free_bytes", lambda: 3e9)
    settings, sizes = params(embedding_dimension=64, rating_weight=0.0), Sizes(400_000, 400_000, 20_000_000)
    leads = memory.plan(settings, sizes, Place(0, ("a:1", "b:2")))
    assert leads.folder == Path("models")
    follows = memory.plan(settings, sizes, Place(1, ("a:1", "b:2")))
    assert follows.folder is None
    assert follows.line is not None
    assert "and 10,000,000 rows take about" in follows.line
    with pytest.raises(StageError, match="expected at least"):
        memory.plan(settings, Sizes(1_000_000, 400_000, 1), Place(1, ("a:1", "b:2")))
