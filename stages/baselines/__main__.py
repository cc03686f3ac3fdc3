"""Training and validation set -> the baselines that the model is compared with.

Recent popularity, item-kNN, EASE and iALS are fitted to the training set with several settings each, and the settings
of the best NDCG@20 on the validation set are kept; the regularization of the rating biases is chosen by RMSE. Then all
baselines are fitted to the rows of both sets with these settings, as the model is. Settings that take more memory than
baselines.memory_limit are left out, and the table names them.

Reads: data/split/train.parquet, data/split/validation.parquet, data/vocabulary/items.parquet.
Writes: models/baselines/*.npz, reports/tables/baselines.csv.
Parameters: baselines, dislikes.
"""

from collections.abc import Mapping
from typing import Any

from towerline.artifacts import names
from towerline.artifacts.baselines import BASELINES, BASELINES_TABLE, TrialRow, trial_row
from towerline.artifacts.split import TRAIN, VALIDATION, Interactions, read_interactions
from towerline.artifacts.vocabulary import read_item_types
from towerline.baseline_models.params import BaselinesParams
from towerline.baseline_models.tuning import tuned
from towerline.feedback.params import DislikesParams
from towerline.metrics.ratings import RatingModel, bias_trials, mean_rating, rating_biases
from towerline.pipeline import formats
from towerline.pipeline.terminal import progress, run
from towerline.ranking.scorers import arrays_of


def rating_baselines(train: Interactions, validation: Interactions) -> tuple[dict[str, RatingModel], list[TrialRow]]:
    """The baselines of the rating task and the trials of their settings; none if the data has no ratings."""
    if train.rating is None:
        return {}, []
    tried, best = bias_trials(train, validation)
    trials = [
        trial_row(
            names.USER_ITEM_BIAS,
            number,
            {"regularization": trial.regularization},
            "rmse",
            None,
            trial.rmse,
            trial is best,
        )
        for number, trial in enumerate(tried, 1)
    ]
    rows = Interactions.joined(train, validation)
    models = {
        names.GLOBAL_MEAN: mean_rating(rows),
        names.USER_ITEM_BIAS: rating_biases(rows, best.regularization),
    }
    return models, trials


def save(models: Mapping[str, Any], trials: list[TrialRow]) -> None:
    """Writes models/baselines and reports/tables/baselines.csv."""
    with formats.replacing(BASELINES) as folder:
        folder.mkdir()
        for name, model in models.items():
            arrays = model.arrays() if isinstance(model, RatingModel) else arrays_of(model)
            formats.write_arrays(folder / f"{name}.npz", arrays)
    formats.write_csv(BASELINES_TABLE, TrialRow._fields, trials)


def main() -> str:
    params, below = BaselinesParams.load(), DislikesParams.load().below
    train, validation, item_type = read_interactions(TRAIN), read_interactions(VALIDATION), read_item_types()
    with progress(what="baselines", unit="baseline") as bar:
        baselines = tuned(params, train, validation, item_type, bar.update, below)
    rating_models, rating_trials = rating_baselines(train, validation)
    trials = [*baselines.trials, *rating_trials]
    save(baselines.scorers | rating_models, trials)
    num_tried = sum(trial.left_out_gb is None for trial in trials)
    texts = [", ".join([*baselines.scorers, *rating_models]), f"{num_tried} settings tried"]
    if baselines.notes:
        texts.append(f"left out for baselines.memory_limit: {', '.join(baselines.notes)}")
    return "; ".join(texts)


if __name__ == "__main__":
    run("baselines", main)
