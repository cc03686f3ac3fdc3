"""Cuts, means over stretches, ages and refusals of the backtest, against slow twins and known answers."""

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats

from stages.backtest.params import BacktestParams
from stages.backtest.ranker import Ranker
from stages.backtest.results import (
    Measured,
    StretchUsers,
    measured,
    retraining_rows,
    shares,
    stretch_rows,
    summary_rows,
)
from stages.backtest.stretches import Stretch, day, stretches_of
from towerline.artifacts.backtest import COLD, KNOWN, RETRAINING_TABLE, STRETCHES_TABLE, SUMMARY_TABLE, WARM_START
from towerline.artifacts.names import MODEL
from towerline.artifacts.split import Interactions
from towerline.pipeline.errors import StageError
from towerline.ranking.popularity import SECONDS_PER_DAY
from towerline.ranking.scorers import Embeddings, by_popularity
from towerline.ranking.user_items import UserItems

USERS, ITEMS = 6, 8


def params(cuts: int, days: float) -> BacktestParams:
    return BacktestParams(cuts=cuts, days=days, bootstrap_samples=500, seed=1)


def rows_at(times: NDArray[np.int64], users: NDArray[np.int32] | None = None) -> Interactions:
    number = np.arange(len(times), dtype=np.int32)
    users = number % USERS + 1 if users is None else users
    return Interactions(users, number % ITEMS + 1, None, USERS, ITEMS, times)


def times_of(rows: Interactions) -> NDArray[np.int64]:
    assert rows.timestamp is not None
    return rows.timestamp


@given(st.integers(1, 4), st.integers(1, 5), st.integers(0, 2**32 - 1))
def test_every_row_after_the_first_cut_is_tested_once_by_models_of_earlier_rows(
    cuts: int, days: int, seed: int
) -> None:
    draw = np.random.default_rng(seed)
    # Each user has a row each day, so that no stretch is without users.
    days_of_rows = np.repeat(np.arange((cuts + 4) * days), USERS)
    times = days_of_rows * SECONDS_PER_DAY + draw.integers(0, SECONDS_PER_DAY, len(days_of_rows))
    rows = rows_at(times)
    stretches = stretches_of(rows, params(cuts, float(days)), None)
    assert len(stretches) == cuts + 1
    length = days * SECONDS_PER_DAY
    for stretch in stretches:
        # A row at the time of the cut is known.
        assert len(stretch.known.user_index) == (times <= stretch.since).sum()
        expected = times[(stretch.since - length < times) & (times <= stretch.since)]
        np.testing.assert_array_equal(times_of(stretch.validation), expected)
    tested = np.concatenate([times_of(stretch.test) for stretch in stretches[1:]])
    np.testing.assert_array_equal(np.sort(tested), np.sort(times[times > stretches[1].since]))


def test_stretches_that_the_data_does_not_have_are_refused() -> None:
    times = np.repeat(np.arange(10), USERS) * SECONDS_PER_DAY
    for cuts, days in ((8, 1.0), (8, 100_000.0), (1000, 100_000.0)):
        with pytest.raises(
            StageError, match=rf"over more than {cuts} \+ 2 stretches of {days:g} days, found rows from 1970"
        ):
            stretches_of(rows_at(times), params(cuts, days), None)
    assert len(stretches_of(rows_at(times), params(6, 1.0), None)) == 7
    # Nobody has rows on both sides of the last cut.
    users = np.where(np.arange(len(times)) < len(times) - USERS, 1, 2).astype(np.int32)
    with pytest.raises(StageError, match="test set of each cut, found none at 1970-01-09 00:00; raise"):
        stretches_of(rows_at(times, users), params(1, 1.0), None)


def test_a_time_is_shown_to_the_minute() -> None:
    assert day(int(datetime(2013, 8, 30, 12, 5, 59, tzinfo=UTC).timestamp())) == "2013-08-30 12:05"


def result(stretch: int, model: str, age: int, values: dict[int, float], cold: tuple[int, ...] = ()) -> Measured:
    """The metrics of the users of a stretch; recall is half of NDCG."""
    users = np.array(sorted(values), np.int32)
    ndcg = np.array([values[user] for user in users.tolist()])
    known = ~np.isin(users, cold)
    return Measured(stretch, stretch * SECONDS_PER_DAY, model, age, users, known, ndcg / 2, ndcg)


def test_means_are_those_of_the_stretches_means() -> None:
    draw = np.random.default_rng(3)
    results = [
        result(number, model, 0, {user: draw.random() for user in users}, cold=(5,))
        for model in (MODEL, "ease", "ials")
        for number, users in ((1, (1, 2, 5)), (2, (2, 3, 4, 5)), (3, (1, 4)))
    ]
    rows = summary_rows(results, 500, seed=1)
    assert [row.users for row in rows] == [KNOWN] * 3 + [COLD] * 3
    for row in rows:
        of_model = [one.of_group(row.users) for one in results if one.model == row.model]
        of_model = [one for one in of_model if len(one.users)]
        assert row.ndcg == pytest.approx(np.mean([one.ndcg.mean() for one in of_model]))
        assert row.recall == pytest.approx(row.ndcg / 2)
        assert row.number == len({user for one in of_model for user in one.users.tolist()})
    known = rows[:3]
    assert known[0].model == MODEL
    assert known[1].ndcg >= known[2].ndcg
    assert known[0].lead is None
    assert known[1].lead == pytest.approx(known[0].ndcg - known[1].ndcg)
    lead, low, high = known[1][-5:-2]
    assert low <= lead <= high  # type: ignore[operator]
    table = stretch_rows(results)
    assert [(row.stretch, row.since, row.model, row.users, row.number) for row in table[:3]] == [
        (1, "1970-01-02 00:00", MODEL, KNOWN, 2),
        (1, "1970-01-02 00:00", MODEL, COLD, 1),
        (2, "1970-01-03 00:00", MODEL, KNOWN, 3),
    ]


def test_a_user_of_several_stretches_is_one_draw_of_the_paired_test() -> None:
    """With equal numbers of users a stretch, the test is that of the users' sums of differences."""
    draw = np.random.default_rng(4)
    values = {model: draw.random((2, 5)) for model in (MODEL, "ease")}
    results = [
        result(number + 1, model, 0, dict(enumerate(of_model[number].tolist(), 1)))
        for model, of_model in values.items()
        for number in range(2)
    ]
    row = summary_rows(results, 500, seed=1)[1]
    expected = stats.ttest_rel(values[MODEL].sum(axis=0), values["ease"].sum(axis=0)).pvalue
    assert row.p_value == pytest.approx(expected)
    # The users' shares are a sample whose mean is that of the stretches.
    sample = shares([one for one in results if one.model == MODEL])
    np.testing.assert_allclose(sample.ndcg, values[MODEL].mean(axis=0))


def test_ages_are_compared_on_the_stretches_that_all_of_them_have() -> None:
    results = [
        result(number, MODEL, age, {1: 0.5 - age / 10 + number, 2: 0.5 - age / 10 + number})
        for number in (1, 2, 3)
        for age in (0, 1, 2)
        if age < number
    ]
    rows = retraining_rows(results, 100, seed=1)
    assert [(row.age, row.stretches) for row in rows] == [(0, 1), (1, 1), (2, 1)]
    assert [row.ndcg for row in rows] == pytest.approx([3.5, 3.4, 3.3])
    assert [row.loss for row in rows] == pytest.approx([0, 0.1, 0.2])


def test_users_are_ranked_by_what_the_model_knew_and_not_shown_what_they_know() -> None:
    # Item 1 is the most popular; user 1 knew it before the cut. User 2 was unknown to the model.
    known = Interactions(np.array([1, 3, 3], np.int32), np.array([1, 1, 2], np.int32), None, USERS, ITEMS)
    test = Interactions(np.array([1, 2, 4], np.int32), np.array([2, 3, 1], np.int32), None, USERS, ITEMS)
    empty = known.where(np.zeros(3, bool))
    stretch = Stretch(0, known, empty, test)
    of_users = np.zeros((USERS + 1, ITEMS + 1), np.float32)
    of_users[1, 2] = of_users[2, 3] = 1
    taste = Embeddings(of_users, np.eye(ITEMS + 1, dtype=np.float32))
    is_known = np.bincount(known.user_index, minlength=USERS + 1) > 0
    seen = measured(StretchUsers.of(1, stretch, None), "taste", 0, Ranker(taste, by_popularity(known), is_known))
    assert seen.users.tolist() == [1, 2, 4]
    assert seen.known.tolist() == [True, False, False]
    # User 1 is shown item 2 first; users 2 and 4 are shown items 1, 2, 3 and so on.
    assert seen.ndcg.tolist() == pytest.approx([1, 1 / np.log2(4), 1])
    ranked = Ranker(taste, by_popularity(known), is_known).ranked(
        np.array([1], np.int32), UserItems.of_interactions(known).of_users(np.array([1], np.int32)), 3
    )
    assert ranked.tolist() == [[2, 3, 4]]


def test_the_tables_of_the_stage_agree_with_each_other(small_project: Path) -> None:
    stretches, summary, retraining = (
        pd.read_csv(small_project / path) for path in (STRETCHES_TABLE, SUMMARY_TABLE, RETRAINING_TABLE)
    )
    fresh = stretches[(stretches["age"] == 0) & (stretches["users"] == KNOWN)]
    assert sorted(fresh["stretch"].unique()) == [1, 2]
    means = fresh.groupby("model")["ndcg"].mean()
    of_known = summary[summary["users"] == KNOWN].set_index("model")
    np.testing.assert_allclose(of_known["ndcg"], means[of_known.index], atol=2e-4)
    # The planted groups are found by the towers and not by popularity, with a warm start too.
    assert of_known.index[0] == MODEL
    assert of_known["lead_low"]["most_popular"] > 0
    assert of_known["ndcg"][WARM_START] > of_known["ndcg"]["most_popular"]
    assert set(retraining["age"]) == {0, 1}
    assert (retraining.loc[retraining["age"] == 0, "loss"] == 0).all()
