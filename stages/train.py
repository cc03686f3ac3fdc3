"""Train and validation part -> the two towers, their embedding tables, and the rating head.

Reads: data/split/train.parquet, data/split/validation.parquet.
Writes: models/two_tower/*, reports/training.csv.
Parameters: train.
"""

from stages import artifacts
from stages.model.fitting import Epoch, Fitted, fit, seed_everything
from stages.params import TrainParams
from stages.terminal import StageError, progress, run


def check_data(params: TrainParams, train: artifacts.Part, validation: artifacts.Part) -> None:
    """Raises StageError where the settings ask for what the data does not have."""
    if params.rating_weight and train.rating is None:
        raise StageError(
            f"train.rating_weight: expected 0 since {artifacts.TRAIN} has no ratings, found {params.rating_weight:g}; "
            "set it to 0, or name the ratings' column in ingest.columns.rating"
        )
    if len(validation.user_index):
        return
    if params.early_stopping_patience:
        raise StageError(
            f"train.early_stopping_patience: expected 0 since {artifacts.VALIDATION} has no rows, found "
            f"{params.early_stopping_patience}; set it to 0, or split.validation above 0"
        )
    for name, value in (("temperature", params.temperature), ("popularity_prior", params.popularity_prior)):
        if value is None and params.retrieval_weight:
            raise StageError(
                f"train.{name}: expected a number since {artifacts.VALIDATION} has no rows to find it on, found null; "
                "set it, or split.validation above 0"
            )


def save(fitted: Fitted, dimension: int) -> None:
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
    artifacts.write_csv(artifacts.TRAINING_REPORT, Epoch._fields, rows, artifacts.PUBLIC_DECIMALS)


def described(epoch: Epoch) -> str:
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
    seed_everything(params.seed, params.threads)
    with progress(what="training", unit="epoch", total=params.epochs) as bar:

        def show(epoch: Epoch) -> None:
            bar.set_postfix_str(described(epoch), refresh=False)
            bar.update()

        fitted = fit(params, train, validation, show)
    save(fitted, params.embedding_dimension)
    best = fitted.epochs[fitted.best_epoch - 1]
    return f"{len(fitted.epochs)} epochs, kept epoch {fitted.best_epoch}: {described(best)}"


if __name__ == "__main__":
    run("train", main)
