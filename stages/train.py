"""Train and validation part -> the two towers, their embedding tables, and the rating head.

Reads: data/split/train.parquet, data/split/validation.parquet.
Writes: models/two_tower/*, reports/training.csv.
Parameters: train.
"""

from typing import TYPE_CHECKING

import numpy as np

from stages import artifacts
from stages.params import TrainParams
from stages.terminal import StageError, progress, run

if TYPE_CHECKING:
    from stages.model.fitting import Epoch, Fitted


def check_data(params: TrainParams, train: artifacts.Part, validation: artifacts.Part) -> None:
    """Raises StageError where the settings ask for what the data does not have."""
    if params.rating_weight and train.rating is None:
        raise StageError(
            f"train.rating_weight: expected 0 since {artifacts.TRAIN} has no ratings, found {params.rating_weight:g}; "
            "set it to 0, or name the ratings' column in ingest.columns.rating"
        )
    if not len(np.intersect1d(train.user_index, validation.user_index)):
        try:
            if len(validation.user_index):
                params.check_without_validation(
                    f"no user of {artifacts.VALIDATION} has rows in {artifacts.TRAIN}",
                    "set split.method to random or leave_last_out",
                )
            params.check_without_validation(f"{artifacts.VALIDATION} has no rows")
        except ValueError as error:
            raise StageError(str(error)) from None


def save(fitted: "Fitted", dimension: int) -> None:
    towers = fitted.towers
    users, items = towers.query.all_embeddings(), towers.candidate.all_embeddings()
    artifacts.write_array(artifacts.USER_EMBEDDINGS, users)
    artifacts.write_array(artifacts.ITEM_EMBEDDINGS, items)
    rating_model = fitted.rating_model
    artifacts.write_arrays(artifacts.RATING_HEAD, rating_model._asdict() if rating_model is not None else {})
    with artifacts.replacing(artifacts.TOWER_WEIGHTS) as unfinished:
        towers.save_weights(unfinished)
    model = {
        "num_users": len(users) - 1,
        "num_items": len(items) - 1,
        "dimension": dimension,
        "temperature": fitted.epochs[fitted.best_epoch - 1].temperature,
    }
    artifacts.write_json(artifacts.MODEL, model)
    rows = [["" if value is None else value for value in epoch] for epoch in fitted.epochs]
    header = fitted.epochs[0]._fields
    artifacts.write_csv(artifacts.TRAINING_REPORT, header, rows, artifacts.PUBLIC_DECIMALS)


def described(epoch: "Epoch") -> str:
    """The losses and the validation metrics of an epoch, those that it has, in one short line."""
    values = {
        "retrieval loss": epoch.retrieval_loss,
        "rating loss": epoch.rating_loss,
        "NDCG@20": epoch.validation_ndcg,
        "RMSE": epoch.validation_rmse,
    }
    return ", ".join(f"{name} {value:.4f}" for name, value in values.items() if value is not None)


def main() -> str:
    params = TrainParams.load()
    train, validation = artifacts.read_part(artifacts.TRAIN), artifacts.read_part(artifacts.VALIDATION)
    check_data(params, train, validation)
    # TensorFlow takes seconds to import: what the settings and the data do not allow is said before.
    from stages.model import tf
    from stages.model.fitting import fit, seed_everything

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
