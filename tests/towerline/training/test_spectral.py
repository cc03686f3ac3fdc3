"""The spectral start of the towers."""

import numpy as np

from tests.towerline.training.conftest import ITEMS, USERS, planted_parts
from towerline.ranking.user_items import interaction_matrix
from towerline.training.spectral import spectral_start


def test_the_spectral_start_is_the_truncated_svd() -> None:
    train, _ = planted_parts()
    matrix = interaction_matrix(train)
    users, items = spectral_start(matrix, 4, seed=0)
    dense = np.zeros((USERS + 1, ITEMS + 1))
    dense[train.user_index, train.item_index] = 1
    scale = [np.maximum(dense.sum(axis=axis), 1) ** -0.5 for axis in (1, 0)]
    left, strength, right = np.linalg.svd(scale[0][:, None] * dense * scale[1])
    for start, side in ((users, left[:, :4]), (items, right[:4].T)):
        expected = side * strength[:4]
        expected /= np.maximum(np.linalg.norm(expected, axis=1, keepdims=True), 1e-12)
        np.testing.assert_allclose((start @ start.T)[1:, 1:], (expected @ expected.T)[1:, 1:], atol=0.02)
    wide, _ = spectral_start(matrix, 100, seed=0)
    assert wide.shape == (USERS + 1, 100)
    assert np.isfinite(wide).all()
