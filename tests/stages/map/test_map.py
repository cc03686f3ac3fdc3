"""The map of items: the choice of items, and t-SNE of few or equal vectors."""

import numpy as np

from stages.map.__main__ import popular_items
from stages.map.tsne import tsne
from towerline.artifacts.split import Interactions


def test_a_map_needs_different_items() -> None:
    assert tsne(np.ones((50, 3), np.float32)).shape == (0, 2)
    positions = tsne(np.eye(6, dtype=np.float32))
    assert positions.shape == (6, 2)
    assert np.isfinite(positions).all()


def test_items_are_ordered_by_training_rows_and_untrained_ones_left_out() -> None:
    items = np.array([3, 3, 2, 1, 1, 4, 4, 4], np.int32)
    train = Interactions(np.ones(8, np.int32), items, None, 1, 4)
    vectors = np.array([[0], [1], [1], [1], [0]], np.float32)
    assert popular_items(train, vectors).tolist() == [1, 3, 2]
