"""Paths and readers of the trained model: embeddings, rating head and weights of the towers."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from towerline.pipeline.errors import StageError

USER_EMBEDDINGS = Path("models/two_tower/user_embeddings.npy")
ITEM_EMBEDDINGS = Path("models/two_tower/item_embeddings.npy")
RATING_HEAD = Path("models/two_tower/rating_head.npz")
TOWER_WEIGHTS = Path("models/two_tower/towers.weights.h5")
MODEL = Path("models/two_tower/model.json")
TRAINING_REPORT = Path("reports/training.csv")


def read_embeddings(path: Path, num_ids: int) -> NDArray[np.float32]:
    """The [num_ids + 1, d] embeddings of a vocabulary.

    Raises:
      StageError: the number of rows differs from the vocabulary, or values are not finite.
    """
    embeddings: NDArray[np.float32] = np.load(path, allow_pickle=False)
    if len(embeddings) != num_ids + 1:
        raise StageError(f"{path}: expected {num_ids + 1} rows for {num_ids} ids, found {len(embeddings)}; repro train")
    broken = int((~np.isfinite(embeddings).all(axis=1)).sum())
    if broken:
        raise StageError(f"{path}: expected finite embeddings, found NaN or infinity in {broken} rows")
    return embeddings
