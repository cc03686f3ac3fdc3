"""Baselines as evaluate reads them: what they find, and the same scores after a round trip through their arrays."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from stages.evaluate.data import Data
from stages.evaluate.evaluation import evaluated
from tests.conftest import dataset
from tests.stages.evaluate.conftest import ITEMS, SCORERS, USERS, data_of, history_of, mean, planted
from towerline.artifacts.split import Interactions
from towerline.metrics.ranking import rank_metrics
from towerline.metrics.ratings import mean_rating, rating_biases
from towerline.ranking.scorers import Chance, Scorer, arrays_of, by_popularity, scorer_of
from towerline.ranking.top_k import rank_items


@pytest.mark.parametrize("name", SCORERS)
def test_personal_baselines_find_the_planted_groups(name: str) -> None:
    train, test = planted()
    scorer = SCORERS[name](history_of(train))
    # A group has 10 items: what is not train is test, and all of it is among the first 10.
    assert mean(evaluated(scorer, data_of(train, test), [10], False), "recall", 10) == 1.0


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
    assert mean_rating(train).predict(train.user_index, train.item_index) == pytest.approx(rating.mean())


@pytest.mark.parametrize("name", [*SCORERS, "chance"])
def test_a_scorer_is_the_same_after_a_round_trip_through_its_arrays(name: str) -> None:
    train, _ = planted()
    history = history_of(train)
    scorer: Scorer = SCORERS[name](history) if name in SCORERS else Chance(np.asarray(1), np.asarray(ITEMS + 1))
    again = scorer_of(arrays_of(scorer), history)
    users = np.arange(USERS + 1, dtype=np.int32)
    for columns in (slice(None), np.array([0, 4, 9], np.int32)):
        assert (again.scores(users, columns) == scorer.scores(users, columns)).all()


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


def test_arrays_of_no_scorer_are_refused() -> None:
    history = history_of(planted()[0])
    for arrays in ({}, mean_rating(planted()[0]._replace(rating=np.ones(1, np.float32))).arrays()):
        with pytest.raises(ValueError, match="expected arrays of a scorer, found the kind"):
            scorer_of(arrays, history)
