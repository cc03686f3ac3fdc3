"""An export of float16 answers as the same rounded numbers in float32 do, and nearly as the numbers before."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from numpy.typing import NDArray

import towerline
from tests.towerline.serving.conftest import ITEMS, USERS, K, ask, make_export
from towerline.exports import layout, precision
from towerline.features.encoder import Encoder
from towerline.features.encodings import Values
from towerline.index.approximate import build
from towerline.ranking.embedding import PRIOR_DIMENSIONS
from towerline.ranking.user_items import UserItems
from towerline.serving import releases
from towerline.serving.bulk import write_recommendations
from towerline.serving.comparison import compare
from towerline.serving.extension import write_export, write_extended
from towerline.serving.ids import Item
from towerline.serving.ranking import Candidates, best_items
from towerline.serving.rows import Row

NEW_ITEMS: list[Row] = [{"item_type": "film", "item_id": "0007 b", "title": "New", "kind": "a"}]
NEW_USERS: list[Row] = [{"user_id": "u007 b", "kind": "b"}]


def encoder(dimension: int) -> Encoder:
    draw, terms = np.random.default_rng(1), np.zeros(PRIOR_DIMENSIONS)
    encodings = [Values("kind", missing=True, separator=None, values=["a", "b"])]
    vectors = draw.normal(size=(4, dimension)) / 4
    return Encoder(encodings, np.array(False), vectors, np.zeros((4, PRIOR_DIMENSIONS)), terms, terms, terms + 1)


def in_type(recommender: towerline.Recommender, dtype: str, **changes: Any) -> towerline.Recommender:
    exported = recommender.exported
    tables = {name: getattr(exported, name).astype(dtype) for name in ("user_embeddings", "item_embeddings")}
    return towerline.Recommender(exported._replace(**tables, **changes))


@pytest.fixture(scope="module")
def before(tmp_path_factory: pytest.TempPathFactory) -> towerline.Recommender:
    """A float32 export with encoders."""
    exported = towerline.open(make_export(tmp_path_factory.mktemp("before") / "exports", 1)).exported
    of_both = encoder(exported.item_embeddings.shape[1] - PRIOR_DIMENSIONS)
    return towerline.Recommender(exported._replace(user_encoder=of_both, item_encoder=of_both))


@pytest.fixture(scope="module")
def halves(before: towerline.Recommender, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same export as float16."""
    folder = tmp_path_factory.mktemp("halves") / "exports"
    write_export(folder, in_type(before, "float16").exported)
    return folder


def answers(recommender: towerline.Recommender) -> list[Any]:
    """Answers of every kind for all ids, with their scores."""
    exported = recommender.exported
    users = exported.user_ids.to_pylist()
    items = list(zip(exported.item_types.to_pylist(), exported.item_ids.to_pylist(), strict=True))
    return [
        recommender.recommend_batch(users, K),
        recommender.recommend_batch(users, K, exclude_seen=False, deny=items[:9]),
        recommender.recommend_batch(users, K, allow=items[::3]),
        recommender.recommend("nobody", K, unknown="popular"),
        recommender.similar_users_batch(users, K),
        recommender.similar_items_batch(items, K),
        recommender.score_batch(users, items).tolist(),
    ]


def test_every_answer_is_that_of_the_rounded_numbers(
    before: towerline.Recommender, halves: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(precision, "BLOCK_VALUES", 1000)
    releases.release(halves, tmp_path / "releases")
    for place in (halves, tmp_path / "releases"):
        recommender = towerline.open(place)
        exported = recommender.exported
        assert exported.user_embeddings.dtype == exported.item_embeddings.dtype == np.float16
        twin = in_type(recommender, "float32")
        assert answers(recommender) == answers(twin)
        histories = [[("film", f"{item:04d}") for item in range(user, ITEMS, 50)] for user in range(USERS)]
        folded, expected = (of.recommend_for_history_batch(histories, K) for of in (recommender, twin))
        for one, other in zip(folded, expected, strict=True):
            assert [item.item_id for item in one] == [item.item_id for item in other]
            np.testing.assert_allclose([item.score for item in one], [item.score for item in other], rtol=1e-6)
        write_recommendations(recommender, tmp_path / "all.parquet", K, None, True, lambda users: None)
        in_file = pq.read_table(tmp_path / "all.parquet")["score"].to_pylist()
        lists = twin.recommend_batch(exported.user_ids.to_pylist(), K)
        assert in_file == [item.score for answer in lists for item in answer]
        overview = compare(before, recommender).overview
        assert (overview.overlap or 0) > 0.99
        assert abs(overview.drift or 0) < 1e-6


def test_the_recall_of_planted_items_hardly_changes() -> None:
    """Users and items lie around 50 centres, so closely that a user's items are not all found."""
    draw = np.random.default_rng(3)
    centres = draw.normal(size=(50, 32))
    group_of = [draw.integers(0, 50, count) for count in (500, 1000)]
    users, items = (
        (centres[groups] + 1.5 * draw.normal(size=(len(groups), 32))).astype(np.float32) for groups in group_of
    )
    users, items = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True) for vectors in (users, items))
    relevant = group_of[0][:, None] == group_of[1]

    def recall(dtype: str) -> float:
        candidates = Candidates(items.astype(dtype), np.arange(1000, dtype=np.int32))
        queries = precision.as_float32(users.astype(dtype))
        rows = best_items(queries, candidates, UserItems.none(500), 20).rows
        return float((np.take_along_axis(relevant, rows, axis=1).sum(axis=1) / relevant.sum(axis=1)).mean())

    assert 0.2 < recall("float32") < 0.9
    assert abs(recall("float16") - recall("float32")) < 0.002


def test_the_table_is_never_converted_as_a_whole(halves: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recommender = towerline.open(halves)
    monkeypatch.setattr(precision, "BLOCK_VALUES", 1000)
    converted: list[int] = []
    original = precision.as_float32

    def recorded(values: precision.Table) -> NDArray[np.float32]:
        converted.append(values.size)
        return original(values)

    monkeypatch.setattr(precision, "as_float32", recorded)
    answers(recommender)
    assert max(converted) <= 1000


def test_the_index_of_float16_finds_what_that_of_float32_finds(halves: Path, tmp_path: Path) -> None:
    exported = towerline.open(halves).exported
    write_export(tmp_path / "indexed", exported._replace(item_index=build(exported.item_embeddings)))
    indexed = towerline.open(tmp_path / "indexed")
    twin = in_type(indexed, "float32", item_index=build(exported.item_embeddings.astype(np.float32)))
    users = exported.user_ids.to_pylist()
    assert indexed.recommend_batch(users, K) == twin.recommend_batch(users, K)
    assert twin.exported.item_index is not None
    twin.exported.item_index.save(tmp_path / "float32")
    assert (tmp_path / "indexed" / layout.INDEX).stat().st_size < 0.7 * (tmp_path / "float32").stat().st_size


def test_new_ids_are_rounded_and_an_extended_export_is_of_the_same_type(halves: Path, tmp_path: Path) -> None:
    write_extended(halves, tmp_path / "extended", NEW_ITEMS, NEW_USERS)
    extended = towerline.open(tmp_path / "extended")
    added = towerline.open(halves).with_items(NEW_ITEMS).with_users(NEW_USERS)
    assert "is whole" in releases.verify(tmp_path / "extended")[0]
    assert answers(extended) == answers(added)
    assert extended.exported.item_embeddings.dtype == np.float16
    vector = towerline.open(halves).encode_items(NEW_ITEMS)[0]
    assert vector.dtype == np.float32
    row = extended.items.find([Item("film", "0007 b")])[0]
    assert (extended.exported.item_embeddings[row] == vector.astype(np.float16)).all()
    assert ask(tmp_path / "extended", "similar-items", "film", "0007 b", "--k", "2").stdout.count("\n") == 4


def test_tables_of_two_types_are_refused(before: towerline.Recommender, tmp_path: Path) -> None:
    exported = before.exported
    items = exported.item_embeddings.astype(np.float16)
    write_export(tmp_path / "mixed", exported._replace(item_embeddings=items))
    with pytest.raises(towerline.ServingError, match="an array of 2 axes of float16, expected 2 of float32"):
        towerline.open(tmp_path / "mixed")
