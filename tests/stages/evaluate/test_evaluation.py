"""Baselines, exposure and uncertainty against slow programs, closed forms and SciPy; invariances of the metrics."""

import itertools
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats

from stages.evaluate.data import Data
from stages.evaluate.evaluation import OVERALL, Evaluation, Slice, activity_groups, evaluated
from stages.evaluate.exposure import exposure, gini, popularity_groups
from stages.evaluate.summary import Summary
from stages.evaluate.tables import Tables
from tests.conftest import dataset
from towerline.artifacts.evaluate import (
    ALL,
    COLD_USERS,
    EVERYTHING,
    ITEM_TYPE,
    WITHIN_TYPE,
    CountRow,
    DifferenceRow,
    ExposureRow,
    MetricRow,
    RatingRow,
    TutorialRow,
)
from towerline.artifacts.evaluate import (
    ITEMS as TEST_ITEMS,
)
from towerline.artifacts.names import MODEL, main_cutoff
from towerline.artifacts.split import Interactions
from towerline.baseline_models import implicit_models as baselines
from towerline.baseline_models.ease import ItemClasses, ease
from towerline.metrics import uncertainty
from towerline.metrics.ranking import rank_metrics
from towerline.metrics.ratings import mean_rating, rating_biases
from towerline.metrics.uncertainty import bootstrap_interval, holm, paired_p_values
from towerline.ranking import blocks
from towerline.ranking.scorers import Chance, Embeddings, ItemWeights, Scorer, arrays_of, by_popularity, scorer_of
from towerline.ranking.top_k import rank_items
from towerline.ranking.user_items import UserItems

USERS, ITEMS, GROUPS = 40, 30, 3


def part(pairs: NDArray[np.int32], rating: NDArray[np.float32] | None = None) -> Interactions:
    return Interactions(pairs[:, 0].copy(), pairs[:, 1].copy(), rating, USERS, ITEMS)


def planted(seed: int = 0) -> tuple[Interactions, Interactions]:
    """Users of a group have the items of that group alone: two thirds of these are train, the others test."""
    draw = np.random.default_rng(seed)
    pairs = [(u, i) for u in range(1, USERS + 1) for i in range(1, ITEMS + 1) if u % GROUPS == i % GROUPS]
    order = draw.permutation(len(pairs))
    rows = np.array(pairs, np.int32)[order]
    cut = len(rows) * 2 // 3
    return part(rows[:cut]), part(rows[cut:])


def history_of(train: Interactions) -> UserItems:
    return UserItems.of_pairs(train.user_index, train.item_index, num_rows=train.num_users + 1)


def data_of(
    train: Interactions, test: Interactions, item_type: NDArray[np.str_] | None = None, repeats: bool = False
) -> Data:
    kinds = np.array(["", *["film"] * ITEMS]) if item_type is None else item_type
    return Data.of_sets(train, test, kinds, repeats)


def mean(evaluation: Evaluation, metric: str, k: int, part: Slice = OVERALL) -> float:
    return float(evaluation.values[part][metric, k].mean())


SCORERS: dict[str, Any] = {
    "item_knn": lambda history: ItemWeights(baselines.item_knn(history, ITEMS, 9), history),
    "ease": lambda history: ItemWeights(ease(ItemClasses.of(history, ITEMS), 10.0), history),
    "ials": lambda history: baselines.ials(history, ITEMS, 3, 5.0, 1.0, seed=0),
}


@pytest.mark.parametrize("name", SCORERS)
def test_personal_baselines_find_the_planted_groups(name: str) -> None:
    train, test = planted()
    scorer = SCORERS[name](history_of(train))
    # A group has 10 items: what is not train is test, and all of it is among the first 10.
    assert mean(evaluated(scorer, data_of(train, test), [10], False), "recall", 10) == 1.0


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


def test_chance_is_uniform_and_does_not_depend_on_other_queries() -> None:
    chance = Chance(np.asarray(7), np.asarray(2001))
    users = np.arange(1, 301, dtype=np.int32)
    scores = chance.scores(users, slice(None))
    assert stats.kstest(scores.ravel() / 2**24, "uniform").pvalue > 0.01
    assert abs(np.corrcoef(scores[:100], scores[100:200])[:100, 100:]).max() < 0.15
    few = np.array([3, 5, 1999], np.int32)
    assert (chance.scores(users[7:9], few) == scores[7:9][:, few]).all()


def test_biases_solve_the_normal_equations() -> None:
    train, _ = planted(3)
    rating = np.random.default_rng(3).normal(5, 2, len(train.user_index)).astype(np.float32)
    train = train._replace(rating=rating)
    rows = np.arange(len(rating))
    design = np.zeros((len(rating), USERS + ITEMS + 2))
    design[rows, train.user_index] = 1
    design[rows, USERS + 1 + train.item_index] = 1
    rest = rating - rating.mean(dtype=np.float64)
    expected = np.linalg.solve(design.T @ design + 2.0 * np.eye(design.shape[1]), design.T @ rest)
    model = rating_biases(train, 2.0)
    np.testing.assert_allclose(np.concatenate([model.user_bias, model.item_bias]), expected, atol=1e-4)
    assert mean_rating(train).by_biases(train.user_index, train.item_index) == pytest.approx(rating.mean())


@pytest.mark.parametrize("name", [*SCORERS, "chance"])
def test_a_scorer_is_the_same_after_a_round_trip_through_its_arrays(name: str) -> None:
    train, _ = planted()
    history = history_of(train)
    scorer: Scorer = SCORERS[name](history) if name in SCORERS else Chance(np.asarray(1), np.asarray(ITEMS + 1))
    again = scorer_of(arrays_of(scorer), history)
    users = np.arange(USERS + 1, dtype=np.int32)
    for columns in (slice(None), np.array([0, 4, 9], np.int32)):
        assert (again.scores(users, columns) == scorer.scores(users, columns)).all()


# What no metric may depend on.


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
    train = part(np.array([[1, 1], [2, 2]], np.int32))
    test = part(np.array([[1, 3], [2, 4]], np.int32))
    kinds = np.array(["", *["book"] * 10, *["film"] * (ITEMS - 10)])
    # Every film before every book, among which items come in the order of their indices.
    items = np.where(kinds == "film", 100, -np.arange(ITEMS + 1)).astype(np.float32)
    scorer = Embeddings(np.ones((USERS + 1, 1), np.float32), items[:, None])
    evaluation = evaluated(scorer, data_of(train, test, kinds), [2, 3], True)
    assert mean(evaluation, "recall", 3, Slice(EVERYTHING, ITEM_TYPE, "book")) == 0.0
    # User 1 is shown 2 and 3, user 2 is shown 1 and 3: what they had is left out.
    assert mean(evaluation, "recall", 2, Slice(WITHIN_TYPE, ITEM_TYPE, "book")) == 0.5
    assert mean(evaluation, "recall", 3, Slice(WITHIN_TYPE, ITEM_TYPE, "book")) == 1.0


def test_cold_users_and_cold_items_are_reported_apart() -> None:
    train = part(np.array([[1, 1], [1, 2], [2, 2], [3, 3]], np.int32))
    test = part(np.array([[1, 3], [2, 4], [4, 2], [2, 1]], np.int32))
    data = data_of(train, test)
    popular = by_popularity(train)
    evaluation = evaluated(popular, data, [2], False)
    assert dict(data.counts()) == {
        "users_ranked": 2,
        "cold_users": 1,
        "users_without_test_items": USERS - 3,
        "test_rows": 4,
        "test_rows_of_items_without_known_rows": 1,
    }
    assert mean(evaluation, "recall", 2, part=Slice(EVERYTHING, COLD_USERS)) == 1.0
    # Without a score for the cold user, who is shown the items by index, 2 is held out at rank 2.
    nothing = ItemWeights(np.zeros((ITEMS + 1, ITEMS + 1), np.float32), history_of(train))
    alone, with_popular = (evaluated(nothing, data, [1], False, cold_scorer=cold) for cold in (None, popular))
    assert mean(alone, "recall", 1, part=Slice(EVERYTHING, COLD_USERS)) == 0.0
    assert mean(with_popular, "recall", 1, part=Slice(EVERYTHING, COLD_USERS)) == 1.0
    assert evaluation.values[Slice(EVERYTHING, TEST_ITEMS, "cold")] == {("recall", 2): np.array([0.0])}


# Exposure and uncertainty.


def test_exposure_by_hand() -> None:
    # Items 1 to 4 with 4, 2, 1 and no training rows; two users are shown 1 and 2, and 1 and none.
    counts = np.array([0, 4, 2, 1, 0])
    measured = exposure(np.array([[1, 2], [1, 0]], np.int32), counts, 4)
    assert measured.coverage == 2 / 4
    assert measured.mean_popularity == pytest.approx((4 + 4 + 2) / 3)
    assert measured.novelty == pytest.approx((0 + 0 + 1) / 3)
    # A third of 7 rows ends within item 1, the second third within item 2.
    assert popularity_groups(counts)[1:].tolist() == [0, 1, 2, 2]
    assert (measured.head, measured.middle, measured.tail) == pytest.approx((2 / 3, 1 / 3, 0))


@given(st.lists(st.integers(0, 20), min_size=1, max_size=30))
def test_gini_is_half_the_mean_difference_over_the_mean(times: list[int]) -> None:
    values = np.array(times)
    differences = np.abs(values[:, None] - values).mean()
    expected = differences / (2 * values.mean()) if values.any() else 0.0
    assert gini(values) == pytest.approx(expected, abs=1e-12)


def test_the_interval_is_that_of_scipys_bootstrap_and_covers_as_often_as_it_says() -> None:
    draw = np.random.default_rng(0)
    values = draw.exponential(size=(400, 2))
    interval = bootstrap_interval(values, 4000, seed=1)
    expected = stats.bootstrap((values[:, 0],), np.mean, n_resamples=4000, method="percentile", rng=draw)
    assert (interval.low[0], interval.high[0]) == pytest.approx(tuple(expected.confidence_interval), abs=0.01)
    covered = [
        bool(sample.low[0] <= 1 <= sample.high[0])
        for sample in (bootstrap_interval(draw.exponential(size=(200, 1)), 300, seed) for seed in range(300))
    ]
    assert 0.9 < np.mean(covered) < 0.98


def test_columns_keep_their_resamples_whatever_the_other_columns_are(monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.random.default_rng(0).random((50, 7))
    whole = bootstrap_interval(values, 200, seed=3)
    # Blocks of 4 resamples, and of 2 columns.
    monkeypatch.setattr(uncertainty, "BLOCK_WEIGHTS", 4 * 50)
    monkeypatch.setattr(uncertainty, "BLOCK_MEANS", 2 * 200)
    np.testing.assert_allclose(bootstrap_interval(values, 200, seed=3), whole, rtol=1e-12)
    np.testing.assert_allclose(bootstrap_interval(values[:, 4:5], 200, seed=3).low, whole.low[4], rtol=1e-12)


def test_p_values_are_scipys_paired_t_test() -> None:
    draw = np.random.default_rng(0)
    first, second = draw.random((50, 3)), draw.random((50, 3)) + np.array([0, 0.1, 0.3])
    expected = stats.ttest_rel(first, second).pvalue
    np.testing.assert_allclose(paired_p_values(first - second), expected, rtol=1e-12)
    assert paired_p_values(np.zeros((5, 1))).tolist() == [1.0]
    assert paired_p_values(np.ones((5, 1))).tolist() == [0.0]
    assert paired_p_values(np.ones((1, 1))).tolist() == [1.0]


def test_holm_by_hand() -> None:
    # 3 * .01, 2 * .02, and .022 no smaller than the one before it.
    assert holm(np.array([0.022, 0.01, 0.02])).tolist() == pytest.approx([0.04, 0.03, 0.04])


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holm_rejects_what_the_step_down_procedure_rejects(p_values: list[float]) -> None:
    adjusted = holm(np.array(p_values))
    for level in (0.01, 0.05, 0.3):
        rejected = [False] * len(p_values)
        for number, row in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
            # A product, as in the code under test, so that rounding decides no case.
            if p_values[row] * (len(p_values) - number) > level:
                break
            rejected[row] = True
        assert (adjusted <= level).tolist() == rejected


@given(st.lists(st.integers(1, 30), min_size=1, max_size=60))
def test_activity_groups_part_the_users_in_order(activity: list[int]) -> None:
    values = np.array(activity)
    groups = list(activity_groups(values).values())
    assert sorted(np.concatenate(groups).tolist()) == list(range(len(values)))
    assert len(groups) <= 4
    for first, second in itertools.pairwise(groups):
        assert values[first].max() < values[second].min()


def test_popularity_on_movielens_is_what_ten_lines_of_pandas_find() -> None:
    rows = pd.read_csv(dataset("ml-100k/ml-100k.inter"), sep="\t").sample(frac=1, random_state=1)
    user, item = (pd.factorize(rows[name])[0].astype(np.int32) + 1 for name in ("user_id:token", "item_id:token"))
    sizes = int(user.max()), int(item.max())
    train, test = (Interactions(user[cut], item[cut], None, *sizes) for cut in (slice(80_000), slice(80_000, None)))
    kinds = np.array(["", *["film"] * sizes[1]])
    data = Data.of_sets(train, test, kinds, repeats=False)
    popular = by_popularity(train)
    ranked = rank_items(popular, data.warm.users, data.warm.excluded, 20)
    recall = rank_metrics(ranked, data.warm.relevant, [20])["recall", 20].mean()

    frame = pd.DataFrame({"user": user, "item": item})
    learnt, held_out = frame[:80_000], frame[80_000:]
    counts = (
        learnt.item.value_counts().rename("count").reset_index().sort_values(["count", "item"], ascending=[False, True])
    )
    seen = learnt.groupby("user").item.agg(set)
    recalls = [
        len(set(counts.item[~counts.item.isin(seen[person])][:20]) & set(wanted)) / len(wanted)
        for person, wanted in held_out.groupby("user").item
        if person in seen.index
    ]
    assert recall == pytest.approx(np.mean(recalls), abs=1e-12)


# The main figures.


def test_the_main_cutoff_is_the_largest_up_to_20_or_else_the_smallest() -> None:
    assert [main_cutoff(cutoffs) for cutoffs in ([5, 10, 20, 50], [50, 10, 5], [100, 50])] == [20, 10, 50]


def tables_of(means: dict[str, float], rmse: dict[str, float]) -> Tables:
    """Tables of the two cutoffs 10 and 100 with these means of all metrics, and the differences from the first."""
    first, *others = means
    cutoffs = (10, 100)
    return Tables(
        [
            MetricRow(name, EVERYTHING, by, "", metric, k, 9, mean + (k > 10) + (by != ALL), 0.0, 1.0)
            for name, mean in means.items()
            for by in (ALL, COLD_USERS)
            for metric in ("recall", "ndcg", "mrr")
            for k in cutoffs
        ],
        [
            DifferenceRow(name, metric, k, 9, means[first] - means[name], -0.5, 0.5, 0.25, 1.0)
            for name in others
            for metric in ("recall", "ndcg", "mrr")
            for k in cutoffs
        ],
        [ExposureRow(name, k, mean / 2, *[0.0] * 6) for name, mean in means.items() for k in cutoffs],
        [RatingRow(name, error, 0.0) for name, error in rmse.items()],
        [CountRow("users_ranked", 9), CountRow("cold_users", 1), CountRow("test_rows", 99)],
        TutorialRow(first, "top_100_categorical_accuracy", 99, 0.5),
    )


def test_the_summary_has_the_lead_on_the_best_baseline_and_few_numbers() -> None:
    # Numbers that floats hold exactly.
    means = {MODEL: 0.5, "random": 0.0, "ease": 0.375, "ials": 0.25}
    summary = Summary.of(tables_of(means, {MODEL: 1.5, "global_mean": 2.0, "user_item_bias": 1.75}))
    assert summary.metrics() == {
        "recall@10": 0.5,
        "ndcg@10": 0.5,
        "coverage@10": 0.25,
        "rmse": 1.5,
        "lead": {"ndcg@10": 0.125, "p": 1.0},
        "random": {"recall@10": 0.0, "ndcg@10": 0.0, "coverage@10": 0.0},
        "ease": {"recall@10": 0.375, "ndcg@10": 0.375, "coverage@10": 0.1875},
        "ials": {"recall@10": 0.25, "ndcg@10": 0.25, "coverage@10": 0.125},
        "user_item_bias": {"rmse": 1.75},
        "counts": {"users_ranked": 9, "cold_users": 1},
    }
    text = summary.text(later=False).splitlines()
    assert text[0] == "9 users ranked, 1 cold"
    assert text[1].split() == ["recall@10", "NDCG@10", "coverage@10", "RMSE"]
    assert text[2].split() == [MODEL, "0.5000", "0.5000", "0.2500", "1.5000"]
    assert text[-2].startswith("lead over ease, the best baseline: NDCG@10 +0.1250 (95 % interval -0.5000 to +0.5000")
    assert text[-1].startswith("caution: ")
    assert summary.text(later=True).splitlines() == text[:-1]


def test_the_summary_of_a_model_without_baselines_and_ratings_has_no_lead() -> None:
    summary = Summary.of(tables_of({MODEL: 0.4}, {}))
    assert set(summary.metrics()) == {"recall@10", "ndcg@10", "coverage@10", "counts"}
    assert "lead" not in summary.text(later=True)


def test_arrays_of_no_scorer_are_refused() -> None:
    history = history_of(planted()[0])
    for arrays in ({}, mean_rating(planted()[0]._replace(rating=np.ones(1, np.float32))).arrays()):
        with pytest.raises(ValueError, match="expected arrays of a scorer, found the kind"):
            scorer_of(arrays, history)
