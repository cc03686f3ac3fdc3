"""The metrics of a scorer: closed forms, groups of users and items, and what no metric may depend on."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from stages.evaluate import data as reading
from stages.evaluate.data import Data, Sample
from stages.evaluate.evaluation import OVERALL, Slice, activity_groups, evaluated
from stages.evaluate.exposure import exposure
from tests.stages.evaluate.conftest import ITEMS, SCORERS, USERS, data_of, history_of, mean, part, planted
from towerline.artifacts.evaluate import ALL, COLD_USERS, DISLIKED, EVERYTHING, ITEM_TYPE, NEW_ITEMS, WITHIN_TYPE
from towerline.artifacts.evaluate import ITEMS as TEST_ITEMS
from towerline.artifacts.split import TEST, TRAIN, VALIDATION, Interactions
from towerline.pipeline.errors import StageError
from towerline.ranking import blocks
from towerline.ranking.scorers import Chance, Embeddings, ItemWeights, by_popularity


def test_a_random_order_has_the_recall_that_counting_gives() -> None:
    """Of the items that are left k are shown, so a share k / left of the held-out ones: known without a draw."""
    train, test = planted()
    data = data_of(train, test)
    left = ITEMS - data.warm.activity
    for k in (1, 5, 10):
        draws = [
            mean(evaluated(Chance(np.asarray(seed), np.asarray(ITEMS + 1)), data, [k], False), "recall", k)
            for seed in range(200)
        ]
        error = np.std(draws) / len(draws) ** 0.5
        assert np.mean(draws) == pytest.approx((k / left).mean(), abs=4 * error)


def relabelled(rows: Interactions, user: NDArray[np.int32], item: NDArray[np.int32]) -> Interactions:
    return rows._replace(user_index=user[rows.user_index], item_index=item[rows.item_index])


@given(st.integers(0, 10**6))
def test_order_of_users_labels_of_items_and_size_of_blocks_change_no_metric(seed: int) -> None:
    draw = np.random.default_rng(seed)
    train, test = planted(seed)
    scorer = Embeddings(
        draw.normal(size=(USERS + 1, 4)).astype(np.float32), draw.normal(size=(ITEMS + 1, 4)).astype(np.float32)
    )
    kinds = np.array(["", *draw.choice(["book", "film"], ITEMS)])
    before = evaluated(scorer, data_of(train, test, kinds), [3, 10], True)
    user, item = (np.concatenate([[0], draw.permutation(size) + 1]).astype(np.int32) for size in (USERS, ITEMS))
    moved = Embeddings(np.empty_like(scorer.users), np.empty_like(scorer.items))
    moved.users[user], moved.items[item] = scorer.users, scorer.items
    moved_kinds = np.empty_like(kinds)
    moved_kinds[item] = kinds
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(blocks, "BLOCK_SCORES", 100)
        data = data_of(relabelled(train, user, item), relabelled(test, user, item), moved_kinds)
        after = evaluated(moved, data, [3, 10], True)
    # Popularity groups break ties by index, so they are not among what has to stay.
    slices = [group for group in before.values if group.by != TEST_ITEMS]
    assert {Slice(WITHIN_TYPE, ITEM_TYPE, "book"), OVERALL} < set(slices)
    for group in slices:
        for metric, values in before.values[group].items():
            np.testing.assert_allclose(np.sort(values), np.sort(after.values[group][metric]), atol=1e-12)


def test_test_items_that_were_seen_are_never_found_unless_repeats_are_wanted() -> None:
    train, test = planted()
    scorer = SCORERS["ease"](history_of(train))
    both = Interactions(
        np.concatenate([train.user_index, test.user_index]),
        np.concatenate([train.item_index, test.item_index]),
        None,
        USERS,
        ITEMS,
    )
    assert mean(evaluated(scorer, data_of(both, test), [10], False), "recall", 10) == 0.0
    assert mean(evaluated(scorer, data_of(both, test, repeats=True), [10], False), "recall", 10) > 0.9


def test_an_item_nobody_wants_moves_nothing_but_coverage() -> None:
    train, test = planted()
    scorer = SCORERS["ials"](history_of(train))
    counts = np.bincount(train.item_index, minlength=ITEMS + 1)
    larger = [rows._replace(num_items=ITEMS + 1) for rows in (train, test)]
    unwanted = Embeddings(scorer.users, np.vstack([scorer.items, np.zeros((1, 3), np.float32)]))
    unwanted.items[-1] = -100 * scorer.users.mean(axis=0)
    before = evaluated(scorer, data_of(train, test), [5], False)
    after = evaluated(unwanted, data_of(larger[0], larger[1], np.array(["", *["film"] * (ITEMS + 1)])), [5], False)
    assert (before.shown == after.shown).all()
    for metric, values in before.values[OVERALL].items():
        assert (values == after.values[OVERALL][metric]).all()
    first, second = (exposure(before.shown, of_items, USERS) for of_items in (counts, np.append(counts, 0)))
    assert second.coverage == pytest.approx(first.coverage * ITEMS / (ITEMS + 1))
    assert second.novelty == first.novelty


def test_within_a_type_the_other_types_are_not_ranked() -> None:
    train = part(np.array([[1, 1], [2, 2], [3, 11]], np.int32))
    test = part(np.array([[1, 3], [2, 4], [3, 12]], np.int32))
    kinds = np.array(["", *["book"] * 10, *["film"] * (ITEMS - 10)])
    # Every film before every book, among which items come in the order of their indices.
    items = np.where(kinds == "film", 100, -np.arange(ITEMS + 1)).astype(np.float32)
    scorer = Embeddings(np.ones((USERS + 1, 1), np.float32), items[:, None])
    evaluation = evaluated(scorer, data_of(train, test, kinds), [2, 3], True)
    assert mean(evaluation, "recall", 3, Slice(EVERYTHING, ITEM_TYPE, "book")) == 0.0
    # User 1 is shown 2 and 3, user 2 is shown 1 and 3: what they had is left out.
    assert mean(evaluation, "recall", 2, Slice(WITHIN_TYPE, ITEM_TYPE, "book")) == 0.5
    assert mean(evaluation, "recall", 3, Slice(WITHIN_TYPE, ITEM_TYPE, "book")) == 1.0


def test_new_items_are_ranked_alone_for_known_users() -> None:
    train = part(np.array([[1, 1], [2, 2], [3, 3]], np.int32))
    # All items from 4 on are new. User 2 has no new test item, and user 4 is cold.
    test = part(np.array([[1, 5], [1, 2], [2, 1], [3, 6], [3, 5], [4, 5]], np.int32))
    items = -np.arange(ITEMS + 1, dtype=np.float32)[:, None]
    # Known items come before new ones, and of these 4 is the first.
    scorer = Embeddings(np.ones((USERS + 1, 1), np.float32), items)
    evaluation = evaluated(scorer, data_of(train, test), [2, 3], False)
    alone = evaluation.values[Slice(NEW_ITEMS, ALL)]
    # Both are shown 4, 5 and 6.
    assert alone["recall", 2].tolist() == [1.0, 0.5]
    assert alone["recall", 3].tolist() == [1.0, 1.0]
    assert alone["mrr", 3].tolist() == [0.5, 0.5]
    assert mean(evaluation, "recall", 2, Slice(EVERYTHING, TEST_ITEMS, "cold")) == 0.0
    # Every item has a known row: nobody has a new one.
    everything = part(np.array([[1, item] for item in range(1, ITEMS + 1)], np.int32))
    assert Slice(NEW_ITEMS, ALL) not in evaluated(scorer, data_of(everything, train), [2], False).values


def test_cold_users_and_cold_items_are_reported_apart() -> None:
    train = part(np.array([[1, 1], [1, 2], [2, 2], [3, 3]], np.int32))
    test = part(np.array([[1, 3], [2, 4], [4, 2], [2, 1]], np.int32))
    data = data_of(train, test)
    popular = by_popularity(train)
    evaluation = evaluated(popular, data, [2], False)
    assert dict(data.counts()) == {
        "users_ranked": 2,
        "cold_users": 1,
        "users_with_dislikes_alone": 0,
        "users_not_drawn": 0,
        "users_without_test_items": USERS - 3,
        "test_rows": 4,
        "disliked_test_rows": 0,
        "test_rows_of_items_without_known_rows": 1,
    }
    assert mean(evaluation, "recall", 2, part=Slice(EVERYTHING, COLD_USERS)) == 1.0
    # Without a score for the cold user, who is shown the items by index, 2 is held out at rank 2.
    nothing = ItemWeights(np.zeros((ITEMS + 1, ITEMS + 1), np.float32), history_of(train))
    alone, with_popular = (evaluated(nothing, data, [1], False, cold_scorer=cold) for cold in (None, popular))
    assert mean(alone, "recall", 1, part=Slice(EVERYTHING, COLD_USERS)) == 0.0
    assert mean(with_popular, "recall", 1, part=Slice(EVERYTHING, COLD_USERS)) == 1.0
    assert evaluation.values[Slice(EVERYTHING, TEST_ITEMS, "cold")] == {("recall", 2): np.array([0.0])}


@given(st.lists(st.integers(1, 30), min_size=1, max_size=60))
def test_activity_groups_part_the_users_in_order(activity: list[int]) -> None:
    values = np.array(activity)
    groups = list(activity_groups(values).values())
    assert sorted(np.concatenate(groups).tolist()) == list(range(len(values)))
    assert len(groups) <= 4
    for first, second in itertools.pairwise(groups):
        assert values[first].max() < values[second].min()


def test_dislikes_are_not_relevant_and_their_recall_is_measured_apart() -> None:
    def part_of(*rows: tuple[int, int, float]) -> Interactions:
        user, item, rating = map(np.array, zip(*rows, strict=True))
        return Interactions(user.astype(np.int32), item.astype(np.int32), rating.astype(np.float32), 5, 6)

    known = part_of((1, 1, 8), (2, 1, 8), (3, 1, 8), (5, 1, 1))
    # In the test set, users 3 and 4 have dislikes alone; user 4 is unknown, and of user 5 only a dislike is known.
    test = part_of((1, 2, 9), (1, 3, 2), (1, 4, 2), (2, 2, 9), (3, 3, 1), (4, 2, 2), (5, 2, 9))
    order = Embeddings(np.ones((6, 1), np.float32), np.array([[0], [9], [3], [8], [7], [6], [5]], np.float32))
    data = Data.of_sets(known, test, np.array(["", *["film"] * 6]), False, below=5.0)
    evaluation = evaluated(order, data, [2, 5], False)
    assert data.warm.users.tolist() == [1, 2]
    assert data.cold.users.tolist() == [5]
    assert evaluation.values[OVERALL]["recall", 2].tolist() == [0, 0]
    assert evaluation.values[OVERALL]["recall", 5].tolist() == [1, 1]
    shown = evaluation.values[Slice(EVERYTHING, DISLIKED)]
    assert shown["recall", 2].tolist() == [1, 1], "items 3 and 4 come first for users 1 and 3"
    assert {metric for metric, _ in shown} == {"recall"}
    counts = {row.name: row.number for row in data.counts()}
    assert (counts["disliked_test_rows"], counts["users_with_dislikes_alone"]) == (4, 2)
    assert Slice(EVERYTHING, DISLIKED) not in evaluated(order, data_of(known, test), [2], False).values


def test_a_sample_of_the_users_has_their_metrics_and_says_who_is_not_in_it() -> None:
    train, test = planted()
    scorer = SCORERS["ials"](history_of(train))
    kinds = np.array(["", *["film"] * ITEMS])
    everybody = data_of(train, test)
    values = evaluated(scorer, everybody, [5], False).values[OVERALL]["recall", 5]
    means = []
    for seed in range(100):
        data = Data.of_sets(train, test, kinds, False, sample=Sample(10, seed))
        assert len(data.warm.users) + len(data.cold.users) == data.drawn == 10
        counts = {row.name: row.number for row in data.counts()}
        assert counts["users_not_drawn"] == everybody.tested - 10
        of_sample = evaluated(scorer, data, [5], False).values[OVERALL]["recall", 5]
        np.testing.assert_array_equal(of_sample, values[np.isin(everybody.warm.users, data.warm.users)])
        means.append(of_sample.mean())
    assert len(set(means)) > 1
    assert np.mean(means) == pytest.approx(values.mean(), abs=4 * np.std(means) / 10)
    again = Data.of_sets(train, test, kinds, False, sample=Sample(10**6, 3))
    assert again.warm.users.tolist() == everybody.warm.users.tolist()


def test_a_sample_of_cold_users_alone_is_an_error_of_its_parameter(monkeypatch: pytest.MonkeyPatch) -> None:
    known, test = (
        part(np.array(pairs, np.int32))
        for pairs in ([(1, 1), (1, 2), (2, 3)], [(1, 3), (3, 1), (4, 1), (5, 2), (6, 2), (7, 3)])
    )
    sets = {TRAIN: known, VALIDATION: known.part(0, 0), TEST: test}
    monkeypatch.setattr(reading, "read_interactions", sets.__getitem__)
    monkeypatch.setattr(reading, "read_item_types", lambda: np.array(["", *["film"] * ITEMS]))
    kinds = [Sample(1, seed).drawn(np.unique(test.user_index)).tolist() == [1] for seed in range(50)]
    assert reading.read_data(False, None, Sample(1, kinds.index(True))).warm.users.tolist() == [1]
    message = "^evaluate.users: expected that some of the 1 users that are drawn have known rows, found none; "
    with pytest.raises(StageError, match=message):
        reading.read_data(False, None, Sample(1, kinds.index(False)))
