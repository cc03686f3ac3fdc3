"""Tests of the embeddings of ids without rows: planted taste, whose only signal is a feature."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from tests.towerline.training.conftest import params
from towerline.artifacts.split import Interactions
from towerline.features.reading import NO_FEATURES, FeatureTables
from towerline.metrics.ranking import rank_metrics
from towerline.ranking.embedding import directions, prior_terms
from towerline.ranking.top_k import rank_items
from towerline.ranking.user_items import UserItems
from towerline.training.fitting import Fitted, fit
from towerline.training.new_ids import new_item_factor
from towerline.training.search import recipe_of

USERS, ITEMS, GENRES = 80, 120, 4
COLD_ITEMS = range(97, ITEMS + 1)
COLD_USERS = range(65, USERS + 1)
GENRE = {"genre": {"kind": "categorical"}}
NUMBER = {"number": {"kind": "number", "buckets": None}}


def genre(index: int) -> str:
    return f"genre {index % GENRES}"


def planted() -> tuple[Interactions, Interactions]:
    """Users choose items of their genre; the rows of the last users and items are held out."""
    draw = np.random.default_rng(0)
    pairs = [
        (user, item)
        for user in range(1, USERS + 1)
        for item in range(1, ITEMS + 1)
        if user % GENRES == item % GENRES and draw.random() < 0.7
    ]
    user, item = np.array([pairs[row] for row in draw.permutation(len(pairs))], np.int32).T
    rows = Interactions(user.copy(), item.copy(), None, USERS, ITEMS)
    cold = np.isin(user, COLD_USERS) | np.isin(item, COLD_ITEMS)
    return rows.where(~cold), rows.where(cold)


def fitted(items: Mapping[str, Any], users: Mapping[str, Any]) -> Fitted:
    settings = params(item_features=items, user_features=users, epochs=3)
    draw = np.random.default_rng(1)
    numbers = [None, *(f"{value:.3f}" for value in draw.standard_normal(max(USERS, ITEMS)))]
    tables = FeatureTables(
        {"genre": [None, *map(genre, range(1, USERS + 1))], "number": numbers[: USERS + 1]},
        {"genre": [None, *map(genre, range(1, ITEMS + 1))], "number": numbers[: ITEMS + 1]},
    )
    return fit(recipe_of(settings.given(), settings), planted()[0], tables=tables)


def recall_of_cold(model: Fitted, kind: str) -> float:
    """Recall@30 of the held-out rows of known users and new items, or of new users and known items."""
    train, test = planted()
    cold_user, cold_item = np.isin(test.user_index, COLD_USERS), np.isin(test.item_index, COLD_ITEMS)
    rows = test.where(cold_item & ~cold_user if kind == "items" else cold_user & ~cold_item)
    relevant = UserItems.of_interactions(rows)
    users = np.flatnonzero(relevant.counts()).astype(np.int32)
    seen = UserItems.of_interactions(train).of_users(users)
    ranked = rank_items(model.embeddings(), users, seen, 30)
    return float(rank_metrics(ranked, relevant.of_users(users), [30])["recall", 30].mean())


def test_new_items_and_users_are_ranked_by_a_feature_that_is_their_only_signal() -> None:
    without, with_features = fitted({}, {}), fitted(GENRE, GENRE)
    for kind in ("items", "users"):
        assert recall_of_cold(with_features, kind) > 0.9, kind
        assert recall_of_cold(without, kind) < 0.4, kind


def test_features_change_no_bit_of_ids_with_rows() -> None:
    without, with_features = (fitted(*features).embeddings() for features in (({}, {}), (GENRE, GENRE)))
    for side, cold in (("users", COLD_USERS), ("items", COLD_ITEMS)):
        before, after = getattr(without, side), getattr(with_features, side)
        known = np.setdiff1d(np.arange(len(before)), cold)
        assert before[known].tobytes() == after[known].tobytes(), side
        assert not directions(before)[list(cold)].any()
        lengths = np.linalg.norm(directions(after)[list(cold)], axis=1)
        assert ((lengths > 0.3) & (lengths < 1.00001)).all(), side
        if side == "items":
            np.testing.assert_allclose(lengths, 1, rtol=1e-6)


def test_a_useless_feature_changes_no_ranking_beyond_noise() -> None:
    alone, with_noise = fitted(GENRE, GENRE), fitted(GENRE | NUMBER, GENRE | NUMBER)
    for kind in ("items", "users"):
        assert recall_of_cold(with_noise, kind) == pytest.approx(recall_of_cold(alone, kind), abs=0.01)


def test_terms_of_the_prior_are_those_of_the_expected_popularity() -> None:
    model = fitted(GENRE, GENRE)
    embeddings = model.embeddings()
    train, _ = planted()
    known = np.unique(train.item_index)
    of_known = prior_terms(embeddings.items)[known]
    of_new = prior_terms(embeddings.items)[list(COLD_ITEMS)]
    assert (of_new[:, 1] > of_known[:, 1].min()).all()
    assert (of_new[:, 1] <= of_known[:, 1].max()).all()
    # A new user's: no evidence, and the weight 1 of recent popularity.
    np.testing.assert_array_equal(prior_terms(embeddings.users)[list(COLD_USERS)], [[0, 1]] * len(COLD_USERS))


@pytest.mark.parametrize("rows_of_new", [0, 20, 80])
def test_new_items_are_expected_to_have_as_many_rows_as_in_the_validation_set(rows_of_new: int) -> None:
    """Known items have 10 training rows each, and 2 validation rows; the 10 new items are like them."""
    users = np.arange(1, 41, dtype=np.int32)

    def rows(items: list[int], of_each: int) -> Interactions:
        item = np.repeat(np.array(items, np.int32), of_each)
        return Interactions(np.resize(users, len(item)), item, None, 40, 50)

    known, new = list(range(1, 41)), list(range(41, 51))
    validation = Interactions.joined(rows(known, 2), rows(new, rows_of_new // 10))
    tables = FeatureTables({}, {"genre": [None, *["any"] * 50]})
    features = params(item_features=GENRE).item_features
    factor = new_item_factor(features, tables, rows(known, 10), validation, 1)
    # 10 rows of training are 2 of validation, so that 20 rows are expected of 10 new items.
    assert factor == pytest.approx((rows_of_new + 0.5) / 20.5, rel=1e-3)
    assert new_item_factor({}, tables, rows(known, 10), validation, 1) == 1


def test_the_factor_multiplies_the_expected_rows() -> None:
    settings = params(item_features=GENRE, epochs=1)
    tables = FeatureTables({}, {"genre": [None, *map(genre, range(1, ITEMS + 1))]})
    recipe = recipe_of(settings.given(), settings)
    once, fourfold = (
        fit(recipe.model_copy(update={"new_item_factor": factor}), planted()[0], tables=tables) for factor in (0.1, 0.4)
    )
    before, after = (
        np.expm1(prior_terms(model.embeddings().items)[list(COLD_ITEMS), 1] / recipe.prior.weight)
        for model in (once, fourfold)
    )
    np.testing.assert_allclose(after, 4 * before, rtol=1e-3)


def test_the_same_bytes_twice() -> None:
    first, second = (fitted(GENRE | NUMBER, GENRE) for _ in range(2))
    assert first.new_items is not None
    assert second.new_items is not None
    for name, array in first.new_items.encoder.arrays().items():
        assert array.tobytes() == second.new_items.encoder.arrays()[name].tobytes(), name


def test_without_declared_features_there_is_no_encoder() -> None:
    model = fit(recipe_of(params().given(), params()), planted()[0], tables=NO_FEATURES)
    assert model.new_users is None
    assert model.new_items is None
