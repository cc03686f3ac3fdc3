"""Training and validation set -> the two towers, their embedding tables, and the rating head.

Reads: data/split/train.parquet, data/split/validation.parquet.
Writes: models/two_tower/*, reports/training.csv.
Parameters: train.
"""

from typing import TYPE_CHECKING

import numpy as np

from stages.train.params import TrainParams
from towerline.artifacts.split import TRAIN, VALIDATION, Interactions, read_interactions
from towerline.artifacts.train import (
    ITEM_EMBEDDINGS,
    MODEL,
    RATING_HEAD,
    TOWER_WEIGHTS,
    TRAINING_REPORT,
    USER_EMBEDDINGS,
)
from towerline.pipeline import formats
from towerline.pipeline.errors import StageError
from towerline.pipeline.terminal import progress, run

if TYPE_CHECKING:
    from stages.train.fitting import Epoch, Fitted


def check_data(params: TrainParams, train: Interactions, validation: Interactions) -> None:
    """Raises StageError if the parameters need ratings or validation rows that the data does not have."""
    if params.rating_weight and train.rating is None:
        raise StageError(
            f"train.rating_weight: expected 0 since {TRAIN} has no ratings, found {params.rating_weight:g}; "
            "set it to 0, or name the ratings' column in ingest.columns.rating"
        )
    if not len(np.intersect1d(train.user_index, validation.user_index)):
        try:
            if len(validation.user_index):
                params.check_without_validation(
                    f"no user of {VALIDATION} has rows in {TRAIN}",
                    "set split.method to random or leave_last_out",
                )
            params.check_without_validation(f"{VALIDATION} has no rows")
        except ValueError as error:
            raise StageError(str(error)) from None


def save(fitted: "Fitted", dimension: int) -> None:
    """Writes models/two_tower and reports/training.csv."""
    towers = fitted.towers
    users, items = towers.query.all_embeddings(), towers.candidate.all_embeddings()
    formats.write_array(USER_EMBEDDINGS, users)
    formats.write_array(ITEM_EMBEDDINGS, items)
    rating_model = fitted.rating_model
    formats.write_arrays(RATING_HEAD, rating_model._asdict() if rating_model is not None else {})
    with formats.replacing(TOWER_WEIGHTS) as unfinished:
        towers.save_weights(unfinished)
    model = {
        "num_users": len(users) - 1,
        "num_items": len(items) - 1,
        "dimension": dimension,
        "temperature": fitted.epochs[fitted.best_epoch - 1].temperature,
    }
    formats.write_json(MODEL, model)
    rows = [["" if value is None else value for value in epoch] for epoch in fitted.epochs]
    header = fitted.epochs[0]._fields
    formats.write_csv(TRAINING_REPORT, header, rows, formats.PUBLIC_DECIMALS)


def described(epoch: "Epoch") -> str:
    """The losses and validation metrics of an epoch in one short line."""
    values = {
        "retrieval loss": epoch.retrieval_loss,
        "rating loss": epoch.rating_loss,
        "NDCG@20": epoch.validation_ndcg,
        "RMSE": epoch.validation_rmse,
    }
    return ", ".join(f"{name} {value:.4f}" for name, value in values.items() if value is not None)


def main() -> str:
    params = TrainParams.load()
    train, validation = read_interactions(TRAIN), read_interactions(VALIDATION)
    check_data(params, train, validation)
    # TensorFlow takes seconds to import; errors in parameters and data are reported before.
    from stages.train.fitting import fit, seed_everything
    from towerline.towers import tf

    seed_everything(params.seed, params.threads)
    with progress(what="training", unit="epoch", total=params.epochs) as bar:

        def show(epoch: "Epoch") -> None:
            bar.set_postfix_str(described(epoch), refresh=False)
            bar.update()

        try:
            fitted = fit(params, train, validation, show)
        except (MemoryError, tf.errors.ResourceExhaustedError):
            raise StageError(
                f"train.embedding_dimension: expected a model that fits into memory, found {params.embedding_dimension}"
                f" dimensions of {train.num_users:,} users and {train.num_items:,} items; lower it, or train.batch_size"
            ) from None
    save(fitted, params.embedding_dimension)
    best = fitted.epochs[fitted.best_epoch - 1]
    return f"{len(fitted.epochs)} epochs, kept epoch {fitted.best_epoch}: {described(best)}"


if __name__ == "__main__":
    run("train", main)
