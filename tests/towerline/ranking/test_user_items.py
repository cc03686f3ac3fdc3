"""The items of users from pairs in any order, computed in small blocks."""

import numpy as np
import pytest

from towerline.artifacts.split import Interactions
from towerline.pipeline import row_arrays
from towerline.ranking.user_items import UserItems, in_order, interaction_matrix, pair_order

USERS, ITEMS = 40, 30


@pytest.mark.parametrize("order", ["sorted", "two sorted parts", "none"])
@pytest.mark.parametrize("block_rows", [7, 1 << 18])
def test_pairs_in_any_order_are_those_of_a_sort(order: str, block_rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(row_arrays, "BLOCK_ROWS", block_rows)
    draw = np.random.default_rng(0)
    pairs = np.argwhere(draw.random((USERS, ITEMS)) < 0.3).astype(np.int32) + 1
    if order != "sorted":
        second = draw.random(len(pairs)) < 0.2
        pairs = np.concatenate([pairs[~second], pairs[second]])
    if order == "none":
        pairs = draw.permutation(pairs)
    rows = Interactions(pairs[:, 0].copy(), pairs[:, 1].copy(), None, USERS + 2, ITEMS + 1)
    rows = rows._replace(strength=draw.random(len(pairs)).astype(np.float32))
    assert rows.strength is not None
    sorting = np.lexsort((rows.item_index, rows.user_index))
    found = pair_order(rows)
    assert (found is None) == (order == "sorted")
    np.testing.assert_array_equal(in_order(np.arange(len(pairs)), found), sorting)
    seen = UserItems.of_interactions(rows)
    np.testing.assert_array_equal(seen.items, rows.item_index[sorting])
    np.testing.assert_array_equal(seen.rows(), rows.user_index[sorting])
    assert len(seen.starts) == USERS + 4
    expected = np.zeros((USERS + 3, ITEMS + 2), np.float32)
    expected[rows.user_index, rows.item_index] = rows.strength
    np.testing.assert_array_equal(interaction_matrix(rows).toarray(), expected)
    # A repeated pair counts once.
    twice = UserItems.of_pairs(np.repeat(pairs[:, 0], 2), np.repeat(pairs[:, 1], 2), num_rows=USERS + 3)
    np.testing.assert_array_equal(twice.items, seen.items)
    np.testing.assert_array_equal(twice.starts, seen.starts)
