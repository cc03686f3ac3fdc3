"""Paths, readers and writers of trained models: embeddings, rating head, weights of the towers, recipe."""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from towerline.pipeline import formats
from towerline.pipeline.errors import StageError


class ModelFiles(NamedTuple):
    """Paths of a trained model.

    Attributes:
      user_embeddings, item_embeddings: [num_ids + 1, d + PRIOR_DIMENSIONS] float32.
      rating_head: arrays of the rating model; none without the rating task.
      user_encoder, item_encoder: arrays of towerline.features.encoder.Encoder; none without declared features.
      model: sizes and recipe as JSON.
    """

    user_embeddings: Path
    item_embeddings: Path
    rating_head: Path
    user_encoder: Path
    item_encoder: Path
    model: Path

    @classmethod
    def within(cls, folder: Path) -> "ModelFiles":
        names = (
            "user_embeddings.npy",
            "item_embeddings.npy",
            "rating_head.npz",
            "user_encoder.npz",
            "item_encoder.npz",
            "model.json",
        )
        return cls(*(folder / name for name in names))

    def write(
        self,
        user_embeddings: NDArray[np.float32],
        item_embeddings: NDArray[np.float32],
        rating_head: dict[str, NDArray[Any]],
        user_encoder: dict[str, NDArray[Any]],
        item_encoder: dict[str, NDArray[Any]],
        recipe: dict[str, Any],
        rows: int,
    ) -> None:
        """Writes the files.

        Args:
          user_embeddings, item_embeddings: [num_ids + 1, d + PRIOR_DIMENSIONS] float32.
          rating_head, user_encoder, item_encoder: name -> array.
          recipe: the recipe of the fit.
          rows: number of rows of the fit.
        """
        formats.write_array(self.user_embeddings, user_embeddings)
        formats.write_array(self.item_embeddings, item_embeddings)
        formats.write_arrays(self.rating_head, rating_head)
        formats.write_arrays(self.user_encoder, user_encoder)
        formats.write_arrays(self.item_encoder, item_encoder)
        sizes = {"num_users": len(user_embeddings) - 1, "num_items": len(item_embeddings) - 1, "rows": rows}
        formats.write_json(self.model, {**sizes, "recipe": recipe})


# The folder of models, checkpoints, and of the rows of a training that do not fit into memory.
MODELS = Path("models")
# The model that evaluate measures, fitted to the training and validation set, and the one that export ships.
TWO_TOWER = ModelFiles.within(Path("models/two_tower"))
FINAL = ModelFiles.within(Path("models/final"))
TOWER_WEIGHTS = Path("models/two_tower/towers.weights.h5")
TRAINING_REPORT = Path("reports/training.csv")
FEATURES_TABLE = Path("reports/tables/features.csv")
FEEDBACK_TABLE = Path("reports/tables/feedback.csv")
# The column of the FeatureRow of all features together.
ALL_FEATURES = ""


class FeatureRow(NamedTuple):
    """How much features explain of users or items that the regressions on them have not seen.

    The explained share of vectors is that of their variance (R squared), that of numbers of rows is that of their
    Poisson deviance. A share of 0 is as good as the mean, and one below 0 is worse.

    Attributes:
      ids: users or items.
      column: the feature that is left out; ALL_FEATURES where none is.
      known: share of the known ids that have a value of the feature, or of any, 0 to 1.
      vectors, counts: explained shares without the feature; counts is None for users.
    """

    ids: str
    column: str
    known: float
    vectors: float
    counts: float | None


class FeedbackRow(NamedTuple):
    """A way of counting the rows that the search of the model tried.

    Attributes:
      dislikes: counted, left_out or negatives.
      weight_exponent: power of the rows' weights.
      k: cutoff of the NDCG.
      ndcg: on the validation set, whose dislikes are not relevant; None without a validation set.
      chosen: true for the one that the model is fitted with.
    """

    dislikes: str
    weight_exponent: float
    k: int
    ndcg: float | None
    chosen: bool


def read_embeddings(path: Path, num_ids: int) -> NDArray[np.float32]:
    """The [num_ids + 1, d + PRIOR_DIMENSIONS] embeddings of a vocabulary, read-only and mapped from their file.

    Raises:
      StageError: the number of rows differs from the vocabulary, or values are not finite.
    """
    embeddings: NDArray[np.float32] = np.asarray(np.load(path, mmap_mode="r", allow_pickle=False))
    if len(embeddings) != num_ids + 1:
        raise StageError(f"{path}: expected {num_ids + 1} rows for {num_ids} ids, found {len(embeddings)}; repro train")
    broken = int((~np.isfinite(embeddings).all(axis=1)).sum())
    if broken:
        raise StageError(f"{path}: expected finite embeddings, found NaN or infinity in {broken} rows")
    return embeddings
