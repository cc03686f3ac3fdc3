"""Batches of users: every row once, and candidates as often as their weight says."""

import numpy as np
import pytest

from tests.towerline.training.conftest import planted_parts
from towerline.training.batches import UserBatches, batch_size, inclusion_probabilities
from towerline.training.history import History


def test_candidates_come_up_as_often_as_their_weight_says() -> None:
    counts = np.array([0.0, 1, 1, 0, 1000, 50, 50, 3, 8, 20])
    probability = inclusion_probabilities(counts, 5)
    assert probability[counts == 0].sum() == 0
    assert probability.sum() == pytest.approx(5)
    assert probability.max() == 1
    below = (probability < 1) & (counts > 0)
    ratio = probability[below] / counts[below] ** 0.4
    np.testing.assert_allclose(ratio, ratio[0])
    assert (inclusion_probabilities(counts, 100)[counts > 0] == 1).all()


@pytest.mark.parametrize(
    ("number", "size"), [(1, 128), (127_999, 128), (128_000, 256), (255_999, 256), (256_000, 512), (10**9, 512)]
)
def test_a_batch_grows_with_the_users_as_long_as_an_epoch_has_500(number: int, size: int) -> None:
    assert batch_size(number) == size
    assert size == 128 or number / size >= 500


def test_user_batches_hold_every_row_once_and_name_every_index_once() -> None:
    train, _ = planted_parts()
    assert train.rating is not None
    batches = UserBatches(History(train), train.rating, 7, 10)
    seen = set()
    drawn = []
    for batch in batches.epoch(np.random.default_rng(0)):
        assert len(np.unique(batch.items)) == len(batch.items)
        drawn.append(len(batch.log_weight))
        pairs = zip(batch.users[batch.pair_user], batch.items[batch.pair_item], batch.rating, strict=True)
        seen |= set(pairs)
        hidden = {(int(user), int(item)) for user, item in batch.masked}
        own = zip(batch.pair_user.tolist(), batch.pair_item.tolist(), strict=True)
        assert hidden == {pair for pair in own if pair[1] < len(batch.log_weight)}
    assert seen == set(zip(train.user_index, train.item_index, train.rating, strict=True))
    assert len(drawn) == len(batches) == 9
    assert 5 < np.mean(drawn) < 15
