"""Answers of the export, in Python and on the command line: those of a slow search in float64, for every id."""

import copy
import doctest
import importlib
import json
import os
import pty
import subprocess
import sys
import termios
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

import towerline
from tests.conftest import ENVIRONMENT, ROOT, STRANGE, commit_all, copy_project, run, set_params
from towerline.artifacts.train import ITEM_EMBEDDINGS, RATING_HEAD, USER_EMBEDDINGS
from towerline.exports import manifest
from towerline.metrics.ratings import RatingModel
from towerline.pipeline import formats
from towerline.ranking.user_items import UserItems
from towerline.serving import releases
from towerline.serving.bulk import write_recommendations
from towerline.serving.fold_in import STEP, folded_in
from towerline.serving.ids import Item, Items, Users
from towerline.serving.ranking import Candidates, best_items

K = 7
QUERIES = "towerline.serving.postgres.queries"


@pytest.fixture(scope="module")
def exports(small_project: Path) -> Path:
    return small_project / "exports"


@pytest.fixture(scope="module")
def recommender(exports: Path) -> towerline.Recommender:
    return towerline.open(exports)


class Slow(NamedTuple):
    """The export as plain Python, and its questions answered one pair at a time."""

    users: dict[str, np.ndarray]
    items: dict[tuple[str, str], np.ndarray]
    seen: dict[str, set[tuple[str, str]]]

    @classmethod
    def of(cls, project: Path) -> "Slow":
        users = pq.read_table(project / "exports/user_embeddings.parquet").to_pylist()
        items = pq.read_table(project / "exports/item_embeddings.parquet").to_pylist()
        rows = pd.read_csv(project / "data/raw/preferences.csv", dtype=str, keep_default_na=False)
        seen: dict[str, set[tuple[str, str]]] = {}
        for user, kind, item in zip(rows.user_id, rows.item_type, rows.item_id, strict=True):
            seen.setdefault(user, set()).add((kind, item))
        return cls(
            {row["user_id"]: np.array(row["embedding"], np.float64) for row in users},
            {(row["item_type"], row["item_id"]): np.array(row["embedding"], np.float64) for row in items},
            seen,
        )

    def ordered(self, scores: dict[Any, float], k: int) -> list[tuple[Any, float]]:
        """Best first, equal float32 scores in the byte order of the ids."""
        rounded = {one: float(np.float32(score)) for one, score in scores.items()}
        return sorted(rounded.items(), key=lambda pair: (-pair[1], pair[0]))[:k]

    def recommended(self, query: np.ndarray, k: int, shown: Iterable[tuple[str, str]]) -> list[tuple[Any, float]]:
        return self.ordered({item: float(np.sum(query * self.items[item])) for item in shown}, k)


@pytest.fixture(scope="module")
def slow(small_project: Path) -> Slow:
    return Slow.of(small_project)


def pairs(answer: list[Any]) -> list[tuple[Any, float]]:
    return [((one.item_type, one.item_id), one.score) for one in answer]


def test_recommendations_are_those_of_a_slow_search_for_every_user(
    recommender: towerline.Recommender, slow: Slow
) -> None:
    allowed = [item for item in slow.items if item[1] > "0000010"]
    denied = [("film", "0000011"), ("book", "0000002"), ("film", STRANGE["0000027"])]
    users = list(slow.users)
    assert set(STRANGE.values()) & set(users)
    assert len(users) == 60
    cases: list[tuple[dict[str, Any], Any]] = [
        ({}, lambda item, seen: item not in seen),
        ({"exclude_seen": False}, lambda item, seen: True),
        ({"item_type": "film"}, lambda item, seen: item not in seen and item[0] == "film"),
        ({"deny": denied}, lambda item, seen: item not in seen and item not in denied),
        ({"allow": allowed, "exclude_seen": False}, lambda item, seen: item in allowed),
        (
            {"allow": [("film", "0000011")], "item_type": "book"},
            lambda item, seen: False,
        ),
        (
            {"allow": allowed, "deny": denied, "item_type": "book"},
            lambda item, seen: item in allowed and item not in denied and item[0] == "book" and item not in seen,
        ),
    ]
    for filters, shown in cases:
        batch = recommender.recommend_batch(users, K, **filters)
        for user, answer in zip(users, batch, strict=True):
            expected = slow.recommended(
                slow.users[user], K, [item for item in slow.items if shown(item, slow.seen[user])]
            )
            assert pairs(answer) == expected
            assert pairs(recommender.recommend(user, K, **filters)) == expected
    assert {len(answer) for answer in recommender.recommend_batch(users, 1000)} == {
        60 - len(slow.seen[user]) for user in users
    }


def test_similar_items_are_the_nearest_by_cosine_and_those_of_users_are_weighted_by_evidence(
    recommender: towerline.Recommender, slow: Slow
) -> None:
    counts = {user: len(items) for user, items in slow.seen.items()}
    assert len(set(counts.values())) > 5, "the evidence must differ for this test to mean anything"

    def of_users(one: str, other: str) -> float:
        weights = [counts[user] / (counts[user] + 5) for user in (one, other)]
        return float(slow.users[one][:-1] @ slow.users[other][:-1]) * weights[0] * weights[1]

    def of_items(one: tuple[str, str], other: tuple[str, str]) -> float:
        return float(slow.items[one][:-1] @ slow.items[other][:-1])

    cases: list[tuple[list[Any], Callable[[Any, Any], float], list[list[Any]]]] = [
        (list(slow.users), of_users, [*recommender.similar_users_batch(slow.users, K)]),
        (list(slow.items), of_items, [*recommender.similar_items_batch(slow.items, K)]),
    ]
    for ids, similarity, answers in cases:
        for one, answer in zip(ids, answers, strict=True):
            values = {other: similarity(one, other) for other in ids if other != one}
            expected = slow.ordered({other: value for other, value in values.items() if value > 0}, K)
            assert [row[0] if len(row) == 2 else row[:2] for row in answer] == [other for other, _ in expected]
            np.testing.assert_allclose([row[-1] for row in answer], [value for _, value in expected], rtol=1e-6)
    assert recommender.similar_users("0042", K) == recommender.similar_users_batch(["u3", "0042"], K)[1]
    assert (
        recommender.similar_items("film", "0000003", 2) == recommender.similar_items_batch([("film", "0000003")], 2)[0]
    )


def test_scores_and_ratings_are_those_of_the_trained_arrays(
    recommender: towerline.Recommender, slow: Slow, small_project: Path
) -> None:
    users, items = list(slow.users), list(slow.items)
    expected = np.array([[np.sum(slow.users[user] * slow.items[item]) for item in items] for user in users])
    assert (recommender.score_batch(users, items) == expected.astype(np.float32)).all()
    assert (recommender.score(users[3], items[5:9]) == expected[3, 5:9].astype(np.float32)).all()
    model = RatingModel(**formats.read_arrays(small_project / RATING_HEAD))
    vectors = [np.load(small_project / path) for path in (USER_EMBEDDINGS, ITEM_EMBEDDINGS)]
    user, item = (index.ravel() for index in np.meshgrid(np.arange(1, 61), np.arange(1, 61), indexing="ij"))
    ratings = model.predict(user.astype(np.int32), item.astype(np.int32), *vectors).reshape(60, 60)
    assert np.ptp(ratings) > 1
    np.testing.assert_allclose(recommender.predict_rating_batch(users, items), ratings, rtol=1e-6)
    np.testing.assert_allclose(recommender.predict_rating(users[3], items[5:9]), ratings[3, 5:9], rtol=1e-6)
    without = towerline.Recommender(recommender.exported._replace(ratings=None))
    with pytest.raises(towerline.ServingError, match=r"expected a model with the rating task.*rating_weight"):
        without.predict_rating(users[0], items[:1])


def test_unknown_ids_are_named_with_the_closest_known_ones(recommender: towerline.Recommender) -> None:
    with pytest.raises(
        towerline.UnknownIdError, match="the id of a user in the export, found 'u333'; closest known: u33, "
    ) as error:
        recommender.recommend("u333")
    assert error.value.closest[0] == "u33"
    for ask in (recommender.similar_users, recommender.recommend):
        with pytest.raises(LookupError):
            ask("")
    with pytest.raises(towerline.UnknownIdError, match="'film' '00003'; closest known: film 0000003"):
        recommender.similar_items("film", "00003")
    with pytest.raises(
        towerline.UnknownIdError, match=r"'record' '0000003'; closest known: book 0000003, film 0000003$"
    ):
        recommender.score("u3", [("record", "0000003")])
    with pytest.raises(towerline.UnknownIdError, match=r"'record'; closest known: book, film$"):
        recommender.recommend("u3", item_type="record")
    with pytest.raises(towerline.ServingError, match="k: expected a whole number of at least 1, found 0"):
        recommender.recommend("u3", 0)
    number: Any = 42
    for wrong in (lambda: recommender.recommend(number), lambda: recommender.score("u3", [("film", number)])):
        with pytest.raises(towerline.ServingError, match="expected ids that are text, found 42, of type int"):
            wrong()
    for items in (("film", "0000003"), ["film"]):
        with pytest.raises(towerline.ServingError, match=r"expected items as \(type, id\), found 'film'"):
            recommender.score("u3", items)  # type: ignore[arg-type]
    no_items: list[Any] = [[5], [("film", "1", "2")], 5, "film"]
    for wrong_items in no_items:
        with pytest.raises(towerline.ServingError, match=r"expected (a list of )?items as \(type, id\), found "):
            recommender.score("u3", wrong_items)
    for users in ("u3", 3):
        with pytest.raises(towerline.ServingError, match=f"expected a list of user ids, found {users!r}"):
            recommender.recommend_batch(users)  # type: ignore[arg-type]
    # What is not there cannot be shown anyway.
    assert recommender.recommend("u3", deny=[("film", "none")]) == recommender.recommend("u3")


BATCHES: list[Callable[[towerline.Recommender, Any], Any]] = [
    lambda recommender, ids: recommender.recommend_batch((user for user, _, _ in ids), K),
    lambda recommender, ids: recommender.recommend_batch(dict.fromkeys(user for user, _, _ in ids), K, unknown="skip"),
    lambda recommender, ids: recommender.similar_users_batch((user for user, _, _ in ids), K),
    lambda recommender, ids: recommender.similar_items_batch(((kind, one) for _, kind, one in ids), K),
    lambda recommender, ids: recommender.recommend_for_history_batch((iter([(kind, one)]) for _, kind, one in ids), K),
    lambda recommender, ids: recommender.recommend_for_history(((kind, one) for _, kind, one in ids), K),
    lambda recommender, ids: recommender.score_batch((user for user, _, _ in ids), {ids[0][1:]}).tolist(),
    lambda recommender, ids: recommender.recommend("u3", K, allow=(one[1:] for one in ids), deny={ids[0][1:]}),
    lambda recommender, ids: recommender.unknown_users(f"{user}?" for user, _, _ in ids),
    lambda recommender, ids: recommender.unknown_items((kind, f"{one}?") for _, kind, one in ids),
]
LISTS: list[Callable[[towerline.Recommender, Any], Any]] = [
    lambda recommender, ids: recommender.recommend_batch([user for user, _, _ in ids], K),
    lambda recommender, ids: recommender.recommend_batch([user for user, _, _ in ids], K),
    lambda recommender, ids: recommender.similar_users_batch([user for user, _, _ in ids], K),
    lambda recommender, ids: recommender.similar_items_batch([(kind, one) for _, kind, one in ids], K),
    lambda recommender, ids: recommender.recommend_for_history_batch([[(kind, one)] for _, kind, one in ids], K),
    lambda recommender, ids: recommender.recommend_for_history([(kind, one) for _, kind, one in ids], K),
    lambda recommender, ids: recommender.score_batch([user for user, _, _ in ids], [ids[0][1:]]).tolist(),
    lambda recommender, ids: recommender.recommend("u3", K, allow=[one[1:] for one in ids], deny=[ids[0][1:]]),
    lambda recommender, ids: [f"{user}?" for user, _, _ in ids],
    lambda recommender, ids: [(kind, f"{one}?") for _, kind, one in ids],
]


@pytest.mark.parametrize(("batch", "lists"), list(zip(BATCHES, LISTS, strict=True)))
def test_ids_may_come_in_anything_that_yields_them(
    recommender: towerline.Recommender, batch: Callable[..., Any], lists: Callable[..., Any]
) -> None:
    ids = [("u3", "film", "0000003"), ("0042", "book", "0000002"), ("u5", "film", "0000011")]
    assert batch(recommender, ids) == lists(recommender, ids)


WRONG: dict[str, tuple[Callable[[towerline.Recommender, Any], object], str]] = {
    "k=True": (lambda recommender, folder: recommender.recommend("u3", True), "k: expected a whole number"),
    "k=2.0": (lambda recommender, folder: recommender.recommend("u3", 2.0), "k: expected a whole number"),  # type: ignore[arg-type]
    "type": (
        lambda recommender, folder: recommender.recommend("u3", item_type=5),  # type: ignore[arg-type]
        "expected ids that are text, found 5",
    ),
    "histories": (
        lambda recommender, folder: recommender.recommend_for_history_batch(5),  # type: ignore[arg-type]
        "expected a list of histories, found 5",
    ),
    "bytes": (lambda recommender, folder: recommender.recommend_batch(b"u3"), "expected ids that are text"),  # type: ignore[arg-type]
    "keep=2.5": (
        lambda recommender, folder: releases.release(folder, folder / "new", keep=2.5),  # type: ignore[arg-type]
        "keep: expected a whole",
    ),
    "keep=True": (
        lambda recommender, folder: releases.release(folder, folder / "new", keep=True),
        "keep: expected a whole",
    ),
    "open(None)": (lambda recommender, folder: towerline.open(None), "expected the path of a folder, found None"),  # type: ignore[arg-type]
    "release(3)": (lambda recommender, folder: releases.release(3, folder), "expected the path of a folder, found 3"),  # type: ignore[arg-type]
    "listed(None)": (lambda recommender, folder: releases.listed(None), "expected the path of a folder"),  # type: ignore[arg-type]
    "open(file)": (
        lambda recommender, folder: towerline.open(folder / "file"),
        "expected what the stage export writes",
    ),
    "to a file": (
        lambda recommender, folder: releases.release(str(recommender.folder), folder / "file"),
        "file: expected to read or write",
    ),
    "listed(file)": (lambda recommender, folder: releases.listed(folder / "file"), "expected a folder of releases"),
    "unreadable": (lambda recommender, folder: towerline.open(folder), "live.json: expected to read the pointer"),
    "rollback": (lambda recommender, folder: releases.rollback(folder), "live.json: expected to read the pointer"),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_arguments_of_another_kind_are_one_line(
    recommender: towerline.Recommender, exports: Path, tmp_path: Path, wrong: str
) -> None:
    (tmp_path / "live.json").mkdir()
    (tmp_path / "file").touch()
    act, said = WRONG[wrong]
    with pytest.raises(towerline.ServingError, match=said) as caught:
        act(recommender, tmp_path)
    assert "\n" not in str(caught.value)


def test_an_unknown_id_can_be_told_by_another_process() -> None:
    error = towerline.UnknownIdError("an item", ("film", "3"), [("film", "33"), ("book", "3")])
    again = copy.copy(error)
    assert str(again) == "expected an item, found 'film' '3'; closest known: film 33, book 3"
    assert (again.unknown, again.closest) == (("film", "3"), [("film", "33"), ("book", "3")])


def test_unknown_users_get_what_most_users_have_only_where_that_is_asked_for(
    recommender: towerline.Recommender, slow: Slow
) -> None:
    counts = {item: float(sum(item in seen for seen in slow.seen.values())) for item in slow.items}
    films = {item: count for item, count in counts.items() if item[0] == "film" and item != ("film", "0000012")}
    known, unknown = recommender.recommend_batch(
        ["u3", "nobody"], K, item_type="film", deny=[("film", "0000012")], unknown="popular"
    )
    assert pairs(unknown) == slow.ordered(films, K)
    assert {one.source for one in unknown} == {"popularity"}
    assert known == recommender.recommend("u3", K, item_type="film", deny=[("film", "0000012")])
    assert {one.source for one in known} == {"model"}


def test_an_unknown_id_of_a_batch_may_be_skipped_and_the_others_are_answered(
    recommender: towerline.Recommender, slow: Slow
) -> None:
    users = ["u3", "nobody", "0042"]
    none, two = ("film", "none"), [("film", "0000003"), ("book", "0000002")]
    for ask in (recommender.recommend_batch, recommender.similar_users_batch):
        assert ask(users, K, unknown="skip") == [*ask(["u3"], K), [], *ask(["0042"], K)]
        assert ask(["nobody"], K, unknown="skip") == [[]]
    near = recommender.similar_items_batch([none, *two], K, unknown="skip")
    assert near == [[], *recommender.similar_items_batch(two, K)]
    for values in (recommender.score_batch, recommender.predict_rating_batch):
        found = values(users, [two[0], none, two[1]], unknown="skip")
        assert (found[::2, ::2] == values(["u3", "0042"], two)).all()
        assert np.isnan(found).sum() == 5
    assert recommender.unknown_users(users) == ["nobody"]
    assert recommender.unknown_items([none, *two]) == [none]
    with pytest.raises(towerline.ServingError, match="unknown: expected 'error' or 'skip', found 'popular'"):
        recommender.similar_users("u3", unknown="popular")  # type: ignore[arg-type]


def test_unknown_items_of_a_history_are_left_out_and_a_history_without_others_is_unknown(
    recommender: towerline.Recommender,
) -> None:
    none, two = ("film", "none"), [("film", "0000003"), ("book", "0000002")]
    ask = recommender.recommend_for_history_batch
    expected = recommender.recommend_for_history(two, K)
    assert recommender.recommend_for_history([two[0], none, two[1]], K) == expected
    with pytest.raises(towerline.UnknownIdError, match="expected an item in the export, found 'film' 'none'"):
        ask([two, [none, none]], K)
    assert ask([two, [none, none]], K, unknown="skip") == [expected, []]
    popular = recommender.recommend("nobody", K, unknown="popular")
    assert ask([[none], two], K, unknown="popular") == [popular, expected]
    assert ask([[], [none]], K, unknown="skip") == [recommender.recommend_for_history([], K), []]


@given(st.sets(st.text(max_size=4), min_size=1, max_size=20), st.text(max_size=4))
def test_ids_are_found_as_a_dictionary_finds_them(ids: set[str], other: str) -> None:
    import pyarrow as pa

    known = sorted(ids)
    rows = {one: row for row, one in enumerate(known)}
    wanted = [*known, other]
    assert Users(pa.array(known)).find(wanted).tolist() == [rows.get(one, -1) for one in wanted]
    both = sorted((kind, one) for kind in known[:3] for one in known)
    items = Items(*(pa.array(list(column)) for column in zip(*both, strict=True)))
    assert items.rows([Item(*one) for one in both]).tolist() == list(range(len(both)))
    assert items.types() == known[:3]
    for kind in known[:3]:
        assert [both[row] for row in items.of_type(kind)] == [pair for pair in both if pair[0] == kind]


def test_equal_scores_go_by_row_however_many_are_asked_at_once() -> None:
    """Groups of permutations of the same numbers: equal sums, which float32 tells apart by the order of additions."""
    draw = np.random.default_rng(0)
    numbers = np.abs(draw.normal(size=48))
    groups = [[draw.permutation(numbers) * (1 + place / 100) for _ in range(12)] for place in range(100)]
    vectors = np.concatenate(groups).astype(np.float32)[draw.permutation(1200)]
    queries = np.ones((40, 48), np.float32)
    assert len(np.unique(vectors @ queries[0])) > 150, (
        "float32 must tell equal sums apart for this test to mean anything"
    )
    candidates = Candidates(vectors, np.arange(1200, dtype=np.int32))
    exact = vectors.astype(np.float64).sum(axis=1).astype(np.float32)
    expected = np.lexsort((np.arange(1200), -exact))[:20]
    for number in (1, 3, 40):
        found = best_items(queries[:number], candidates, UserItems.none(number), 20)
        assert (found.rows == expected).all()
        assert (found.scores == exact[expected]).all()


@pytest.mark.parametrize("apart", [1e-8, 0.0])
def test_the_best_of_many_near_ties_are_found_exactly(apart: float) -> None:
    """More near-ties than are asked for beside the best: float32 alone cannot tell which of them come first."""
    draw = np.random.default_rng(2)
    base = draw.normal(size=64)
    near = base / np.linalg.norm(base) + apart * draw.normal(size=(150, 64))
    others = draw.normal(size=(3000, 64)) / 20
    vectors = np.concatenate([near, others]).astype(np.float32)[draw.permutation(3150)]
    queries = draw.normal(size=(60, 64)).astype(np.float32)
    queries[queries @ base < 0] *= -1
    exact = (queries.astype(np.float64) @ vectors.astype(np.float64).T).astype(np.float32)
    candidates = Candidates(vectors, np.arange(3150, dtype=np.int32))
    for number in (1, 60):
        found = best_items(queries[:number], candidates, UserItems.none(number), 10)
        for row in range(number):
            expected = np.lexsort((np.arange(3150), -exact[row]))[:10]
            assert found.rows[row].tolist() == expected.tolist()
            assert found.scores[row].tolist() == exact[row, expected].tolist()


def test_a_folded_in_vector_is_a_step_up_the_likelihood_of_the_history() -> None:
    draw = np.random.default_rng(1)
    items = draw.normal(size=(30, 5))
    items /= np.linalg.norm(items, axis=1, keepdims=True)
    items[29] = 0
    prior = draw.normal(size=30) / 5
    exported = np.column_stack([items, prior]).astype(np.float32)
    history = UserItems.of_pairs(np.array([0, 0, 2, 3], np.int32), np.array([4, 9, 11, 29], np.int32), num_rows=4)
    found = folded_in(history, exported, temperature=0.3)
    assert found.dtype == np.float32
    for row, own in enumerate([[4, 9], [], [11], [29]]):
        if own in ([], [29]):
            assert found[row].tolist() == [0, 0, 0, 0, 0, 1]
            continue
        mean = items[own].mean(axis=0)
        others = [item for item in range(30) if item not in own]
        direction = mean / np.linalg.norm(mean)
        chance = {item: np.exp((direction @ items[item] + prior[item]) / 0.3) for item in others}
        expected = sum(chance[item] * items[item] for item in others) / sum(chance.values())
        vector = mean - STEP * expected
        np.testing.assert_allclose(found[row], [*vector / np.linalg.norm(vector), 1], rtol=2e-5, atol=1e-6)


def test_a_history_is_answered_like_a_user_and_better_than_popularity(
    recommender: towerline.Recommender, slow: Slow
) -> None:
    """The planted users like the items of their group: most of a history's, and hardly any of what is popular."""
    users = list(slow.users)
    shown = recommender.recommend_for_history_batch(
        [sorted(slow.seen[user])[::2] for user in users], 5, exclude_seen=True
    )
    popular = recommender.recommend_batch(["nobody"], 5, unknown="popular")[0]
    hits = [
        sum((one.item_type, one.item_id) in slow.seen[user] for one in found)
        for user, found in zip(users, shown, strict=True)
    ]
    by_chance = [sum((one.item_type, one.item_id) in slow.seen[user] for one in popular) for user in users]
    assert np.mean(hits) > 2 * np.mean(by_chance)
    for user, found in zip(users, shown, strict=True):
        assert not {(one.item_type, one.item_id) for one in found} & set(sorted(slow.seen[user])[::2])
    history = sorted(slow.seen["u3"])
    assert recommender.recommend_for_history(history[::-1] + history, 5) == recommender.recommend_for_history(
        history, 5
    )
    # Nothing known: the prior alone.
    empty = recommender.recommend_for_history([], K)
    assert pairs(empty) == slow.ordered({item: vector[-1] for item, vector in slow.items.items()}, K)


def test_the_export_is_checked_when_it_is_opened(exports: Path, tmp_path: Path) -> None:
    with pytest.raises(towerline.ServingError, match=r"nowhere: expected what the stage export writes.*dvc repro"):
        towerline.open(tmp_path / "nowhere")
    run(tmp_path, "cp", "-rL", str(exports), "copy")
    for path in sorted(path for path in exports.rglob("*") if path.is_file()):
        name = path.relative_to(exports).as_posix()
        for content in (b"", path.read_bytes()[: path.stat().st_size // 2], b"[]"):
            (tmp_path / "copy" / name).write_bytes(content)
            with pytest.raises(towerline.ServingError, match="expected ") as caught:
                towerline.open(tmp_path / "copy")
            assert name in str(caught.value)
            assert "\n" not in str(caught.value)
        run(tmp_path, "cp", "-L", str(path), f"copy/{name}")
    towerline.open(tmp_path / "copy")
    # Files that are of one manifest, and yet of no export.
    np.save(tmp_path / "copy/item_embeddings.npy", np.zeros((3, 9), np.float32))
    (tmp_path / "copy/manifest.json").unlink()
    manifest.write(tmp_path / "copy", 60, 60, 9, 0.1)
    with pytest.raises(towerline.ServingError, match=r"60 items in the manifest, \(60, 3, 60\) in the files"):
        towerline.open(tmp_path / "copy")


def ask(exports: Path, *words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    command, *rest = words
    return run(ROOT, sys.executable, "-m", "towerline", command, "--exports", str(exports), *rest, check=check)


def test_programs_get_one_json_object_a_question(exports: Path, recommender: towerline.Recommender) -> None:
    lines = ask(exports, "recommend", "u3", STRANGE["u7"], "--k", "3", "--type", "film", "--json").stdout.splitlines()
    for line, user in zip(lines, ("u3", STRANGE["u7"]), strict=True):
        expected = [one._asdict() for one in recommender.recommend(user, 3, item_type="film")]
        assert json.loads(line) == {"user_id": user, "answer": expected}
    history = [STRANGE["0000026"], "0000003"]
    words = ["book", history[0], "film", history[1]]
    found = json.loads(ask(exports, "history", *words, "--k", "2", "--include-seen", "--json").stdout)
    items = [("book", history[0]), ("film", history[1])]
    assert found["history"] == [list(item) for item in items]
    assert found["answer"] == [one._asdict() for one in recommender.recommend_for_history(items, 2, exclude_seen=False)]
    near = json.loads(ask(exports, "similar-items", "film", "0000003", "--k", "2", "--json").stdout)
    assert near["answer"] == [one._asdict() for one in recommender.similar_items("film", "0000003", 2)]
    alike = json.loads(ask(exports, "similar-users", "0042", "--k", "2", "--json").stdout)
    assert alike["answer"] == [one._asdict() for one in recommender.similar_users("0042", 2)]


def test_people_get_a_table_that_no_id_or_title_can_break(exports: Path, recommender: towerline.Recommender) -> None:
    found = ask(exports, "similar-items", "book", "0000002", "--k", "60").stdout
    assert "\x1b" not in found, "no colours where there is no terminal, none from a title"
    assert "Tabs\\tand \\x1b[31mcolours" in found
    near = recommender.similar_items("book", "0000002", 60)
    lines = found.splitlines()
    assert lines[0] == "type book, id 0000002"
    assert lines[1].split() == ["type", "id", "title", "cosine"]
    assert len(lines) == 2 + len(near)
    plain = {one.item_id: number for number, one in enumerate(near, start=2) if one.item_id.isdigit()}
    assert len(plain) > 10
    for item_id, number in plain.items():
        assert lines[number].split()[1] == item_id
        assert lines[number].endswith(f"{near[number - 2].cosine:.4f}")
    leader, follower = pty.openpty()
    termios.tcsetwinsize(follower, (30, 60))
    subprocess.run(
        [sys.executable, "-m", "towerline", "recommend", "u3", "--k", "5", "--exports", str(exports)],
        cwd=ROOT,
        env=ENVIRONMENT | {"TERM": "xterm"},
        stdout=follower,
        check=True,
    )
    os.close(follower)
    shown = os.read(leader, 100_000).decode()
    os.close(leader)
    assert "\x1b[1m" in shown
    assert all(one.item_id[:20] in shown for one in recommender.recommend("u3", 5))


def test_exit_codes_tell_what_went_wrong(exports: Path, tmp_path: Path) -> None:
    for words, code, line in [
        (["recommend", "nobody at all"], 3, "towerline recommend: expected the id of a user in the export, found"),
        (
            ["similar-items", "film", "0"],
            3,
            "towerline similar-items: expected an item in the export, found 'film' '0'",
        ),
        (["recommend-all", "--out", str(tmp_path)], 1, "expected a regular file or a new name, found a folder"),
        (["history", "film"], 2, "towerline history: expected pairs of a type and an id, found 1 words"),
    ]:
        done = ask(exports, *words, check=False)
        assert done.returncode == code
        assert line in done.stderr
        assert len(done.stderr.splitlines()) == 1
    done = ask(tmp_path, "recommend", "u3", check=False)
    assert (done.returncode, len(done.stderr.splitlines())) == (1, 1)
    assert ask(exports, "recommend", "u3", "--k", "0", check=False).returncode == 2
    for form in ("--json", ""):
        command = f"{sys.executable} -m towerline similar-users {' '.join(['u3'] * 2000)} {form} --exports {exports}"
        piped = run(ROOT, "bash", "-c", f"set -o pipefail; {command} | head -c 10", check=False)
        assert (piped.returncode, piped.stderr) == (141, "")


@pytest.mark.parametrize(
    ("module", "fewest"),
    [("towerline", 3), ("towerline.serving", 5), ("towerline.serving.recommender", 14), (QUERIES, 1)],
)
def test_the_examples_in_the_docstrings_run(
    small_project: Path, recommender: towerline.Recommender, monkeypatch: pytest.MonkeyPatch, module: str, fewest: int
) -> None:
    monkeypatch.chdir(small_project)
    names = {"towerline": towerline, "recommender": recommender}
    failed, attempted = doctest.testmod(importlib.import_module(module), extraglobs=names)
    assert not failed
    assert attempted >= fewest


def test_answers_need_neither_tensorflow_nor_dvc_nor_pandas(exports: Path) -> None:
    code = f"""
import sys
heavy = "tensorflow tf_keras tensorflow_recommenders dvc pandas ibis duckdb sklearn implicit rapidfuzz psycopg"
sys.modules |= dict.fromkeys(heavy.split())
import towerline
print(towerline.open({str(exports)!r}).recommend("u3", 1)[0].item_id)
"""
    assert run(ROOT, sys.executable, "-c", code).stdout


def test_all_users_go_into_one_file_and_an_interrupted_one_leaves_none(
    exports: Path, recommender: towerline.Recommender, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = ask(exports, "recommend-all", "--k", "5", "--type", "book", "--out", str(tmp_path / "all.parquet"))
    table = pq.read_table(tmp_path / "all.parquet")
    assert table.schema.names == ["user_id", "rank", "item_type", "item_id", "score"]
    assert done.stdout == f"{tmp_path / 'all.parquet'}: {len(table):,} rows for 60 users\n"
    users = recommender.exported.user_ids.to_pylist()
    expected = [
        {"user_id": user, "rank": rank, "item_type": one.item_type, "item_id": one.item_id, "score": one.score}
        for user, answer in zip(users, recommender.recommend_batch(users, 5, item_type="book"), strict=True)
        for rank, one in enumerate(answer, start=1)
    ]
    assert table.to_pylist() == expected
    from towerline.serving import bulk

    monkeypatch.setattr(bulk, "BLOCK_ROWS", 35)
    seen: list[int] = []
    rows = bulk.write_recommendations(recommender, tmp_path / "blocks.parquet", 5, "book", True, seen.append)
    assert (rows, seen) == (len(expected), [7] * 8 + [4])
    assert pq.read_table(tmp_path / "blocks.parquet").to_pylist() == expected

    def stop(users: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        bulk.write_recommendations(recommender, tmp_path / "stopped.parquet", 5, None, True, stop)
    assert {path.name for path in tmp_path.iterdir()} == {"all.parquet", "blocks.parquet"}


def test_all_users_go_through_a_link_and_over_no_pipe_device_or_folder(exports: Path, tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link.parquet").symlink_to("real/all.parquet")
    ask(exports, "recommend-all", "--k", "2", "--out", str(tmp_path / "link.parquet"))
    assert (tmp_path / "link.parquet").is_symlink()
    assert len(pq.read_table(tmp_path / "real/all.parquet")) == 120
    assert [path.name for path in (tmp_path / "real").iterdir()] == ["all.parquet"]
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "to_null").symlink_to(os.devnull)
    (tmp_path / "round").symlink_to("round")
    for name, said in [
        ("pipe", "expected a regular file or a new name, found a pipe; "),
        ("to_null", "expected a regular file or a new name, found a device; "),
        ("real", "expected a regular file or a new name, found a folder; "),
        ("none/all.parquet", "expected an existing folder to write to, found none; "),
        ("link.parquet/all.parquet", "expected an existing folder to write to, found none; "),
        ("round", "Too many levels of symbolic links"),
    ]:
        done = ask(exports, "recommend-all", "--out", str(tmp_path / name), check=False)
        assert done.returncode == 1
        assert said in done.stderr
        assert len(done.stderr.splitlines()) == 1
    assert (tmp_path / "pipe").is_fifo()
    assert Path(os.devnull).is_char_device()
    assert not (tmp_path / "none").exists()


def test_two_that_write_one_file_do_not_meet_and_leftovers_of_the_dead_go(
    recommender: towerline.Recommender, tmp_path: Path
) -> None:
    out = tmp_path / "all.parquet"
    leftover = tmp_path / f".unfinished.all.parquet.{'0' * 16}"
    others = {".unfinished.all.parquet", ".unfinished.all.parquet.mine", f".unfinished.other.{'0' * 16}"}
    for name in (leftover.name, *others):
        (tmp_path / name).touch()
    (tmp_path / f".unfinished.all.parquet.{'1' * 16}").mkdir()

    def another(users: int) -> None:
        inner.append(write_recommendations(recommender, out, 5, None, True, lambda users: None))
        assert len(pq.read_table(out)) == inner[0]
        assert not leftover.exists()

    inner: list[int] = []
    assert write_recommendations(recommender, out, 2, None, True, another) == len(pq.read_table(out)) == 120
    assert inner == [300]
    assert {path.name for path in tmp_path.iterdir() if path.is_file()} == {"all.parquet", *others}
    (tmp_path / "plain").touch()
    assert out.stat().st_mode == (tmp_path / "plain").stat().st_mode


@pytest.mark.parametrize("name", ["copy/seen_items.npy", "copy/new.parquet", "to/seen_items.npy", "cache", "into"])
def test_nothing_is_written_into_the_export_that_is_read(exports: Path, tmp_path: Path, name: str) -> None:
    run(tmp_path, "cp", "-rL", str(exports), "copy")
    (tmp_path / "to").symlink_to("copy")
    (tmp_path / "into").symlink_to("copy/seen_starts.npy")
    (tmp_path / "copy/user_embeddings.npy").rename(tmp_path / "cache")
    (tmp_path / "copy/user_embeddings.npy").symlink_to("../cache")
    done = ask(tmp_path / "copy", "recommend-all", "--out", str(tmp_path / name), check=False)
    assert done.returncode == 1
    assert "expected a file outside of " in done.stderr
    assert len(done.stderr.splitlines()) == 1
    with pytest.raises(towerline.ServingError, match="expected a file outside of "):
        write_recommendations(towerline.open(tmp_path / "copy"), tmp_path / name, 5, None, True, lambda users: None)


def test_a_closed_output_is_one_line(exports: Path) -> None:
    command = f"{sys.executable} -m towerline recommend u3 --exports {exports} >&-"
    done = run(ROOT, "bash", "-c", command, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("towerline recommend: expected an open standard output, found a closed one; ")
    assert len(done.stderr.splitlines()) == 1


def test_a_closed_standard_error_changes_no_answer(exports: Path, tmp_path: Path) -> None:
    def closed(words: str) -> tuple[int, str]:
        done = run(ROOT, "bash", "-c", f"{sys.executable} -m towerline {words} 2>&-", check=False)
        return done.returncode, done.stdout

    out, place = tmp_path / "all.parquet", tmp_path / "releases"
    code, told = closed(f"recommend-all --k 2 --out {out} --exports {exports}")
    assert (code, told, len(pq.read_table(out))) == (0, f"{out}: 120 rows for 60 users\n", 120)
    code, told = closed(f"release {exports} --to {place}")
    assert (code, told) == (0, f"{towerline.open(place).version} is live with 60 users and 60 items\n")
    assert closed(f"recommend nobody --exports {exports}") == (3, "")


# Sends Ctrl-C to a process that is about to import something heavy, in the place of that module.
INTERRUPT = """
import os, signal, time
os.kill(os.getpid(), signal.SIGINT)
time.sleep(60)
"""


@pytest.mark.parametrize(
    ("module", "heavy", "line"),
    [("towerline", "numpy", "towerline: interrupted"), ("stages.train", "numpy", "train: interrupted")],
)
def test_ctrl_c_while_modules_are_imported_is_one_line(tmp_path: Path, module: str, heavy: str, line: str) -> None:
    (tmp_path / f"{heavy}.py").write_text(INTERRUPT)
    words = [] if module == "stages.train" else ["recommend", "u3"]
    done = run(ROOT, sys.executable, "-m", module, *words, check=False, PYTHONPATH=str(tmp_path))
    assert (done.returncode, done.stderr.splitlines()) == (130, [line])


# Sends Ctrl-C to a process whose work is done, while Python ends it.
LATE = """
import atexit, os, runpy, signal, sys
atexit.register(lambda: os.kill(os.getpid(), signal.SIGINT))
sys.argv = ["-m", *sys.argv[1:]]
runpy.run_module("towerline", run_name="__main__", alter_sys=True)
"""


def test_ctrl_c_behind_the_answer_changes_nothing(exports: Path) -> None:
    words = ["recommend", "u3", "--k", "1", "--json", "--exports", str(exports)]
    done = run(ROOT, sys.executable, "-c", LATE, *words, check=False)
    assert (done.returncode, done.stderr, len(done.stdout.splitlines())) == (0, "", 1)


@pytest.mark.slow
def test_folding_in_beats_most_popular_for_users_whom_training_never_saw(tmp_path: Path) -> None:
    """MovieTweetings without every tenth user, of whom a random half of what they saw is the history."""
    project = copy_project(tmp_path)
    rows = pd.read_csv(project / "data/raw/preferences.csv.gz", dtype=str, keep_default_na=False)
    held_out = set(sorted(rows.user_id.unique())[::10])
    away = rows.user_id.isin(held_out)
    rows[~away].to_csv(project / "data/raw/others.csv", index=False)
    set_params(project, {"ingest.source": "data/raw/others.csv"})
    commit_all(project)
    run(project, "dvc", "repro", "export")
    recommender = towerline.open(project / "exports")
    known = set(
        zip(recommender.exported.item_types.to_pylist(), recommender.exported.item_ids.to_pylist(), strict=True)
    )
    histories, relevant = [], []
    draw = np.random.default_rng(0)
    for _, of_user in rows[away].sample(frac=1, random_state=draw).groupby("user_id"):
        items = [item for item in zip(of_user.item_type, of_user.item_id, strict=True) if item in known]
        if len(items) >= 4:
            histories.append(items[: len(items) // 2])
            relevant.append(set(items[len(items) // 2 :]))
    assert len(histories) > 500

    def recall(answers: list[list[towerline.Recommendation]]) -> float:
        shares = [
            len({(one.item_type, one.item_id) for one in answer} & items) / len(items)
            for answer, items in zip(answers, relevant, strict=True)
        ]
        return float(np.mean(shares))

    popular = [recommender.recommend("nobody", 20, deny=history, unknown="popular") for history in histories]
    folded = recommender.recommend_for_history_batch(histories, 20)
    assert recall(folded) > 1.1 * recall(popular)
