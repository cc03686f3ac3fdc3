"""The stage refit with a warm start: from an export's vectors, in the order of vocabularies that have changed since."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import towerline
from stages.refit import __main__ as stage
from stages.refit.earlier import Keys
from tests.conftest import run, set_params
from towerline.artifacts.train import FINAL, TWO_TOWER
from towerline.artifacts.vocabulary import ITEM_VOCABULARY, USER_VOCABULARY
from towerline.pipeline.errors import StageError
from towerline.ranking.embedding import directions
from towerline.serving.extension import write_export
from towerline.training import fitting

DIMENSION = 8
EXPORTS = Path("exports")


def test_vectors_follow_their_ids_through_a_changed_vocabulary(project: Path) -> None:
    """A user and an item are new, and others are gone; the ids of the tests hold quotes, tabs and emoji."""
    users, items = pq.read_table(USER_VOCABULARY), pq.read_table(ITEM_VOCABULARY)
    old_users, old_items = (np.load(EXPORTS / f"{name}_embeddings.npy") for name in ("user", "item"))
    # An item of the other type has the id of an item that stays.
    renamed = {**items.slice(3, 1).to_pydict(), "item_type": ["new type"]}
    changed_items = pa.concat_tables([items.slice(2), pa.table(renamed, items.schema)])
    changed_users = pa.concat_tables(
        [pa.table({"index": [1], "user_id": ["a0"], "features": [None]}, users.schema), users]
    )
    pq.write_table(changed_users, USER_VOCABULARY)
    pq.write_table(changed_items, ITEM_VOCABULARY)
    vectors = Keys().vectors(EXPORTS, DIMENSION)
    nothing = np.zeros((1, DIMENSION), np.float32)
    # The unknown user, the new one, and the others in their order.
    np.testing.assert_array_equal(vectors.users, np.concatenate([nothing, nothing, directions(old_users)]))
    np.testing.assert_array_equal(vectors.items, np.concatenate([nothing, directions(old_items)[2:], nothing]))
    assert set(np.linalg.norm(vectors.items, axis=1).round(5)) == {0, 1}


def test_the_vectors_of_a_float16_export_are_its_rounded_numbers(project: Path) -> None:
    exported = towerline.open(EXPORTS).exported
    tables = {name: getattr(exported, name).astype(np.float16) for name in ("user_embeddings", "item_embeddings")}
    write_export(Path("halves"), exported._replace(**tables))
    vectors = Keys().vectors(Path("halves"), DIMENSION)
    for found, name in zip(vectors, tables, strict=True):
        assert found.dtype == np.float32
        np.testing.assert_array_equal(found[1:], directions(tables[name]))


def test_a_folder_that_cannot_be_continued_is_refused(project: Path, tmp_path: Path) -> None:
    keys = Keys()
    with pytest.raises(
        StageError, match=r"refit.warm_start: exports: expected an export of 9 dimensions, .* found 8; copy an export"
    ):
        keys.vectors(EXPORTS, 9)
    with pytest.raises(StageError, match=r"expected what the stage export writes, found no manifest.json"):
        keys.vectors(tmp_path, DIMENSION)
    keys.items = pa.table({"item_type": ["film"], "item_id": ["of another shop"]})
    with pytest.raises(StageError, match="expected vectors of some of the 1 items, found none; copy an export again"):
        keys.vectors(EXPORTS, DIMENSION)
    damaged = shutil.copytree(EXPORTS, tmp_path / "damaged")
    content = bytearray((damaged / "item_embeddings.parquet").read_bytes())
    content[100] ^= 1
    (damaged / "item_embeddings.parquet").chmod(0o644)
    (damaged / "item_embeddings.parquet").write_bytes(content)
    with pytest.raises(StageError, match="expected content of the digest"):
        keys.vectors(damaged, DIMENSION)


def test_the_fit_starts_from_the_vectors_of_the_export(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(EXPORTS, "data/last_export")
    set_params(project, {"refit.warm_start": "data/last_export"})
    starts: list[Any] = []
    original = fitting.fit

    def recorded(*args: Any) -> fitting.Fitted:
        starts.append(args[3])
        return original(*args)

    monkeypatch.setattr(fitting, "fit", recorded)
    monkeypatch.setattr(fitting, "seed_everything", lambda *args: None)
    stage.main()
    vectors = Keys().vectors(EXPORTS, DIMENSION)
    np.testing.assert_array_equal(starts[0].users[1:], vectors.users[1:])
    np.testing.assert_array_equal(starts[0].items[1:], vectors.items[1:])


@pytest.mark.slow
def test_a_warm_start_is_a_dependency_and_trains_a_third_of_the_epochs(project: Path) -> None:
    shutil.copytree(EXPORTS, "data/last_export")
    cold = np.load(FINAL.item_embeddings)
    set_params(project, {"refit.warm_start": "data/last_export"})
    printed = run(project, "dvc", "repro", "export").stdout
    assert ", from data/last_export, which has vectors for 60 of 60 users and 60 of 60 items" in printed
    recipe = json.loads(FINAL.model.read_text())["recipe"]
    found = json.loads(TWO_TOWER.model.read_text())["recipe"]
    assert len(recipe["temperatures"]) == max(1, len(found["temperatures"]) // 3)
    warm = np.load(FINAL.item_embeddings)
    cosine = (directions(warm) * directions(cold)).sum(axis=1)[1:]
    assert 0.5 < np.median(cosine) < 1
    lock = (project / "dvc.lock").read_text()
    assert lock.count("path: data/last_export") == 1
    again = run(project, "dvc", "repro", "--force", "--single-item", "refit").stdout
    assert "from data/last_export" in again
    assert (np.load(FINAL.item_embeddings) == warm).all()
    assert (project / "dvc.lock").read_text() == lock
    # What is exported under the folder is part of the digest.
    shutil.rmtree("data/last_export/retrieval")
    assert "refit" in run(project, "dvc", "status", "refit").stdout
