"""Warm starts: vectors kept, completed and continued."""

import numpy as np
import pytest

from tests.conftest import ROOT
from towerline.artifacts.split import Interactions
from towerline.metrics.validation import HeldOut
from towerline.ranking.embedding import directions
from towerline.ranking.user_items import UserItems
from towerline.towers import tf
from towerline.training.fitting import Fitted, fit
from towerline.training.params import TrainParams
from towerline.training.search import recipe_of
from towerline.training.spectral import Vectors
from towerline.training.warm_start import continued, warm_start

USERS = ITEMS = 60
GROUPS = 4


@pytest.fixture(scope="module", autouse=True)
def _deterministic() -> None:
    tf.config.experimental.enable_op_determinism()


def of_pairs(pairs: list[tuple[int, int]]) -> Interactions:
    rows = np.array(pairs, np.int32).reshape(-1, 2)
    return Interactions(rows[:, 0].copy(), rows[:, 1].copy(), None, USERS, ITEMS)


def test_vectors_are_kept_and_new_ids_have_those_of_what_they_have() -> None:
    unit = np.eye(3, dtype=np.float32)
    users, items = np.zeros((USERS + 1, 3), np.float32), np.zeros((ITEMS + 1, 3), np.float32)
    users[1], users[2], items[1] = unit[0], unit[1], unit[2]
    # User 3 and the items 2 and 3 are new; user 4 and item 4 know nobody.
    rows = of_pairs([(1, 1), (1, 2), (2, 2), (2, 3), (3, 1), (3, 2), (4, 4)])
    start = warm_start(Vectors(users, items), rows, seed=0)
    np.testing.assert_array_equal(start.users[1:3], users[1:3])
    np.testing.assert_array_equal(start.items[1], items[1])
    np.testing.assert_allclose(start.items[2], [0.5**0.5, 0.5**0.5, 0], rtol=1e-6)
    np.testing.assert_allclose(start.items[3], unit[1])
    expected = unit[2] + start.items[2]
    np.testing.assert_allclose(start.users[3], expected / np.linalg.norm(expected), rtol=1e-6)
    np.testing.assert_allclose(np.linalg.norm([start.users[4], start.items[4]], axis=1), 1, rtol=1e-6)
    assert start.users[4].all()
    again = warm_start(Vectors(users, items), rows, seed=0)
    np.testing.assert_array_equal(again.users, start.users)
    assert (warm_start(Vectors(users, items), rows, seed=1).users[4] != start.users[4]).all()


def planted(seed: int) -> tuple[Interactions, Interactions, Interactions]:
    """Rows within groups: those of an earlier night, all of the next night, and held-out ones."""
    draw = np.random.default_rng(seed)
    pairs = [(u, i) for u in range(1, USERS + 1) for i in range(1, ITEMS + 1) if u % GROUPS == i % GROUPS]
    pairs = [pairs[row] for row in draw.permutation(len(pairs))]
    later = pairs[: len(pairs) // 2]
    # The last users and items appear in the second night alone; user 1 is gone in it.
    earlier = [(u, i) for u, i in later if u <= USERS - 4 and i <= ITEMS - 4]
    return of_pairs(earlier), of_pairs([(u, i) for u, i in later if u > 1]), of_pairs(pairs[len(pairs) // 2 :])


def ndcg(fitted: Fitted, known: Interactions, test: Interactions) -> float:
    held_out = HeldOut(UserItems.of_interactions(known), UserItems.of_interactions(test))
    return held_out.ndcg(fitted.embeddings())


def test_a_warm_start_is_as_good_as_a_cold_one_in_a_third_of_its_epochs() -> None:
    defaults = TrainParams.load(ROOT / "params.yaml").model_dump()
    changes = {"embedding_dimension": 8, "batch_size": 16, "epochs": 6, "rating_weight": 0.0, "item_features": {}}
    params = TrainParams(**(defaults | changes | {"temperature": 0.2, "popularity_prior": 0.1}))
    recipe = recipe_of(params.given(), params)
    shorter = continued(recipe)
    assert (shorter.epochs, shorter.temperatures) == (2, [0.2, 0.2])
    assert shorter.learning_rate == pytest.approx(0.1)
    assert len(continued(shorter).temperatures) == 1
    earlier, later, test = planted(0)
    tf.keras.utils.set_random_seed(0)
    first, cold = fit(recipe, earlier), fit(recipe, later)
    vectors = first.vectors()
    warm = fit(shorter, later, start=warm_start(vectors, later, seed=0))
    assert ndcg(cold, later, test) > 0.9
    assert ndcg(warm, later, test) > 0.99 * ndcg(cold, later, test)
    # Without the earlier vectors these epochs do not suffice, and nobody is left who has no rows.
    nothing = Vectors(np.zeros_like(vectors.users), np.zeros_like(vectors.items))
    assert ndcg(fit(shorter, later, start=warm_start(nothing, later, seed=0)), later, test) < 0.9 * ndcg(
        warm, later, test
    )
    assert not directions(warm.towers.query.all_embeddings())[1].any()
