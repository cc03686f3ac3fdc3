"""Training and validation set -> the two towers, their embedding tables, and the rating head.

The settings are found by a training on the training set that is measured on the validation set. Then the model is
fitted again, from the start, to the rows of both with these settings: the latest rows are those of the validation set.

Reads: data/split/train.parquet, data/split/validation.parquet, data/vocabulary/*.parquet.
Writes: models/two_tower/*, reports/training.csv, reports/tables/{features,feedback}.csv.
Parameters: train, dislikes.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from towerline.artifacts.names import MAIN_CUTOFF
from towerline.artifacts.split import TRAIN, VALIDATION, Interactions, read_joined, read_sizes
from towerline.artifacts.train import (
    FEATURES_TABLE,
    FEEDBACK_TABLE,
    TOWER_WEIGHTS,
    TRAINING_REPORT,
    TWO_TOWER,
    FeatureRow,
    FeedbackRow,
)
from towerline.artifacts.vocabulary import read_item_types
from towerline.features.reading import read_features
from towerline.feedback.params import DislikesParams, shown
from towerline.feedback.strengths import TREATMENTS, Feedback, has_dislikes, liked_by_known_users, with_strengths
from towerline.metrics.validation import ranked_candidates
from towerline.pipeline import formats
from towerline.pipeline.errors import StageError
from towerline.pipeline.terminal import progress, run, say
from towerline.training.memory import plan
from towerline.training.params import TrainParams
from towerline.training.place import place
from towerline.training.recipe import Prior, Recipe

if TYPE_CHECKING:
    from towerline.training.fitting import Epoch, Fitted
    from towerline.training.search import FeedbackTrial


def check_data(params: TrainParams, train: Interactions, validation: Interactions, relevant: Interactions) -> None:
    """Raises StageError if the parameters need ratings or validation rows that the data does not have.

    Args:
      params: the parameters.
      train, validation: the sets.
      relevant: the rows of the validation set that are no dislikes.
    """
    if params.rating_weight and train.rating is None:
        raise StageError(
            f"train.rating_weight: expected 0 since {TRAIN} has no ratings, found {params.rating_weight:g}; "
            "set it to 0, or name the ratings' column in ingest.columns.rating"
        )
    if params.popularity_half_life is not None and train.timestamp is None:
        raise StageError(params.without_times(f"{TRAIN} has no times"))
    if not has_validation(train, relevant):
        try:
            if has_validation(train, validation):
                params.check_without_validation(
                    f"no user of {TRAIN} has rows in {VALIDATION} that are no dislikes",
                    "set dislikes.below to another value or to null",
                )
            if len(validation.user_index):
                params.check_without_validation(
                    f"no user of {VALIDATION} has rows in {TRAIN}",
                    "set split.method to random or leave_last_out",
                )
            params.check_without_validation(f"{VALIDATION} has no rows")
        except ValueError as error:
            raise StageError(str(error)) from None


def has_validation(train: Interactions, validation: Interactions) -> bool:
    """True if a user of the validation set has rows in the training set."""
    return bool(np.isin(validation.users(), train.users()).any())


def save(
    fitted: "Fitted",
    recipe: Recipe,
    num_rows: int,
    epochs: "list[Epoch]",
    features: Sequence[FeatureRow],
    trials: "Sequence[FeedbackTrial]",
) -> None:
    """Writes models/two_tower, reports/training.csv, reports/tables/features.csv and reports/tables/feedback.csv.

    Args:
      fitted: the model.
      recipe: that it was fitted with.
      num_rows: number of rows that it was fitted to.
      epochs: those of the search, or of the fit without a search.
      features: how much each feature explains.
      trials: the ways of counting the rows that were tried.
    """
    fitted.write(TWO_TOWER, recipe, num_rows)
    with formats.replacing(TOWER_WEIGHTS) as unfinished:
        fitted.towers.save_weights(unfinished)
    formats.write_csv(TRAINING_REPORT, epochs[0]._fields, epochs, formats.PUBLIC_DECIMALS)
    formats.write_csv(FEATURES_TABLE, FeatureRow._fields, features, formats.PUBLIC_DECIMALS)
    rows = [
        FeedbackRow(way.dislikes, way.weight_exponent, MAIN_CUTOFF, ndcg, way == recipe.feedback)
        for way, ndcg in trials
    ]
    formats.write_csv(FEEDBACK_TABLE, FeedbackRow._fields, rows, formats.PUBLIC_DECIMALS)


def described(epoch: "Epoch") -> str:
    """The losses and validation metrics of an epoch in one short line."""
    values = {
        "retrieval loss": epoch.retrieval_loss,
        "rating loss": epoch.rating_loss,
        "NDCG@20": epoch.validation_ndcg,
        "RMSE": epoch.validation_rmse,
    }
    return ", ".join(f"{name} {value:.4f}" for name, value in values.items() if value is not None)


def described_prior(prior: Prior) -> str:
    """The popularity prior in one short line."""
    days = "" if prior.half_life is None else f" with a half-life of {prior.half_life:.3g} days"
    return f"popularity{days} weighs {prior.weight:.3g}, long-term popularity {prior.long_term_weight:.3g}"


def described_feedback(feedback: Feedback) -> str:
    """How the rows count, in one short line."""
    texts = [f"dislikes {TREATMENTS[feedback.dislikes]}"] if feedback.below is not None else []
    if feedback.weight_exponent:
        texts.append(f"rows count by their weight to the power of {feedback.weight_exponent:g}")
    return ", ".join(texts or ["all rows count alike"])


def main() -> str:
    params, below = TrainParams.load(), DislikesParams.load().below
    sizes, here = read_sizes([TRAIN, VALIDATION]), place(params.strategy)
    folder, line = plan(params, sizes, here)
    if line is not None:
        say("train", line)
    if here.worker:
        from towerline.training.running import followed

        return followed("train", params, [TRAIN, VALIDATION])
    rows, cut = read_joined([TRAIN, VALIDATION], folder), formats.num_rows(TRAIN)
    train, validation = rows.part(0, cut), rows.part(cut, sizes.num_rows)
    relevant = liked_by_known_users(validation, train, below)
    check_data(params, train, validation, relevant)
    candidates = ranked_candidates(relevant, read_item_types())
    tables = read_features(params.user_features, params.item_features)
    # TensorFlow takes seconds to import; errors in parameters and data are reported before.
    from towerline.towers import tf
    from towerline.training.fitting import Run, fit
    from towerline.training.new_ids import feature_rows
    from towerline.training.running import led
    from towerline.training.search import FeedbackTrial, recipe_of, search, ways_to_count

    ways = ways_to_count(params, train, below)

    def lead(where: Run) -> str:
        with progress(what="training", unit="epoch", total=(len(ways) + 1) * params.epochs) as bar:

            def show(epoch: "Epoch") -> None:
                bar.set_postfix_str(described(epoch), refresh=False)
                bar.update()

            if has_validation(train, relevant):
                recipe, epochs, trials = search(
                    params.given(), params, train, validation, show, candidates, tables, ways, where
                )
                fitted = fit(recipe, rows, show, tables=tables, run=where)
            else:
                recipe = recipe_of(params.given(), params, ways[0])
                trials = [FeedbackTrial(ways[0], None)] if len(ways) > 1 else []
                fitted = fit(recipe, rows, show, tables=tables, run=where)
                epochs = fitted.epochs
        counted = with_strengths(rows, recipe.feedback).counted()
        features = feature_rows(recipe, tables, fitted.vectors(), counted, fitted.new_users, fitted.new_items)
        save(fitted, recipe, len(rows.user_index), epochs, features, trials)
        best = epochs[len(recipe.temperatures) - 1]
        summary = f"{len(epochs)} epochs, kept epoch {best.epoch}: {described(best)}; {described_prior(recipe.prior)}"
        return f"{summary}; {described_feedback(recipe.feedback)}" if trials else summary

    try:
        summary = led("train", params, [params.model_dump(mode="json"), below, train, validation, candidates], lead)
    except (MemoryError, tf.errors.ResourceExhaustedError):
        raise StageError(
            f"train.embedding_dimension: expected a model that fits into memory, found {params.embedding_dimension} "
            f"dimensions of {train.num_users:,} users and {train.num_items:,} items; lower it, or train.batch_size"
        ) from None
    warnings = list(tables.warnings)
    if below is not None and not has_dislikes(train, below):
        warnings.append(f"no rating of {TRAIN} is below dislikes.below ({shown(below)})")
    return "; warning: ".join([summary, *warnings])


if __name__ == "__main__":
    run("train", main)
