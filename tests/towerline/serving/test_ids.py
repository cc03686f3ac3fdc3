"""Ids in any iterable, unknown ids, and arguments of another kind."""

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import towerline
from tests.towerline.serving.conftest import K, Slow, pairs
from towerline.serving import releases
from towerline.serving.ids import Item, Items, Users


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
    # A denied item that is not in the export has no effect.
    assert recommender.recommend("u3", deny=[("film", "none")]) == recommender.recommend("u3")


BATCHES: list[Callable[[towerline.Recommender, Any], Any]] = [
    lambda recommender, ids: recommender.recommend_batch((user for user, _, _ in ids), K),
    lambda recommender, ids: recommender.recommend_batch(dict.fromkeys(user for user, _, _ in ids), K, unknown="skip"),
    lambda recommender, ids: recommender.similar_users_batch((user for user, _, _ in ids), K),
    lambda recommender, ids: recommender.similar_items_batch(((kind, item_id) for _, kind, item_id in ids), K),
    lambda recommender, ids: recommender.recommend_for_history_batch(
        (iter([(kind, item_id)]) for _, kind, item_id in ids), K
    ),
    lambda recommender, ids: recommender.recommend_for_history(((kind, item_id) for _, kind, item_id in ids), K),
    lambda recommender, ids: recommender.score_batch((user for user, _, _ in ids), {ids[0][1:]}).tolist(),
    lambda recommender, ids: recommender.recommend("u3", K, allow=(item_id[1:] for item_id in ids), deny={ids[0][1:]}),
    lambda recommender, ids: recommender.unknown_users(f"{user}?" for user, _, _ in ids),
    lambda recommender, ids: recommender.unknown_items((kind, f"{item_id}?") for _, kind, item_id in ids),
]

LISTS: list[Callable[[towerline.Recommender, Any], Any]] = [
    lambda recommender, ids: recommender.recommend_batch([user for user, _, _ in ids], K),
    lambda recommender, ids: recommender.recommend_batch([user for user, _, _ in ids], K),
    lambda recommender, ids: recommender.similar_users_batch([user for user, _, _ in ids], K),
    lambda recommender, ids: recommender.similar_items_batch([(kind, item_id) for _, kind, item_id in ids], K),
    lambda recommender, ids: recommender.recommend_for_history_batch(
        [[(kind, item_id)] for _, kind, item_id in ids], K
    ),
    lambda recommender, ids: recommender.recommend_for_history([(kind, item_id) for _, kind, item_id in ids], K),
    lambda recommender, ids: recommender.score_batch([user for user, _, _ in ids], [ids[0][1:]]).tolist(),
    lambda recommender, ids: recommender.recommend("u3", K, allow=[item_id[1:] for item_id in ids], deny=[ids[0][1:]]),
    lambda recommender, ids: [f"{user}?" for user, _, _ in ids],
    lambda recommender, ids: [(kind, f"{item_id}?") for _, kind, item_id in ids],
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
    act, message = WRONG[wrong]
    with pytest.raises(towerline.ServingError, match=message) as caught:
        act(recommender, tmp_path)
    assert "\n" not in str(caught.value)


def test_an_unknown_id_can_be_copied_to_another_process() -> None:
    error = towerline.UnknownIdError("an item", ("film", "3"), [("film", "33"), ("book", "3")])
    again = copy.copy(error)
    assert str(again) == "expected an item, found 'film' '3'; closest known: film 33, book 3"
    assert (again.unknown, again.closest) == (("film", "3"), [("film", "33"), ("book", "3")])


def test_unknown_users_get_the_order_of_the_prior_only_where_that_is_asked_for(
    recommender: towerline.Recommender, slow: Slow
) -> None:
    films = {item: vector[-1] for item, vector in slow.items.items() if item[0] == "film" and item[1] != "0000012"}
    known, unknown = recommender.recommend_batch(
        ["u3", "nobody"], K, item_type="film", deny=[("film", "0000012")], unknown="popular"
    )
    assert pairs(unknown) == slow.ordered(films, K)
    assert {row.source for row in unknown} == {"popularity"}
    assert known == recommender.recommend("u3", K, item_type="film", deny=[("film", "0000012")])
    assert {row.source for row in known} == {"model"}


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
        scores = values(users, [two[0], none, two[1]], unknown="skip")
        assert (scores[::2, ::2] == values(["u3", "0042"], two)).all()
        assert np.isnan(scores).sum() == 5
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
    rows = {key: row for row, key in enumerate(known)}
    wanted = [*known, other]
    assert Users(pa.array(known)).find(wanted).tolist() == [rows.get(key, -1) for key in wanted]
    both = sorted((kind, key) for kind in known[:3] for key in known)
    items = Items(*(pa.array(list(column)) for column in zip(*both, strict=True)))
    assert items.rows([Item(*key) for key in both]).tolist() == list(range(len(both)))
    assert items.types() == known[:3]
    for kind in known[:3]:
        assert [both[row] for row in items.of_type(kind)] == [pair for pair in both if pair[0] == kind]
