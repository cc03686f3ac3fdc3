"""Training and validation set -> the baselines that the model is compared with.

Recent popularity, item-kNN, EASE and iALS are fitted to the training set with several settings each, and the settings
of the best NDCG@20 on the validation set are kept; the regularization of the rating biases is chosen by RMSE. Then all
baselines are fitted to the rows of both sets with these settings, as the model is.

Reads: data/split/train.parquet, data/split/validation.parquet, data/vocabulary/items.parquet.
Writes: models/baselines/*.npz, reports/tables/baselines.csv.
Parameters: baselines.
"""

import warnings
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from implicit.utils import ParameterWarning
from threadpoolctl import threadpool_limits

from stages.baselines.candidates import (
    ease_candidates,
    ials_candidates,
    item_knn_candidates,
    recent_popular_candidates,
)
from stages.baselines.models import most_popular_of_type
from stages.baselines.params import BaselinesParams
from stages.baselines.selection import Candidate, Selection, Trial, memory_note, select, within_memory
from towerline.artifacts import names
from towerline.artifacts.baselines import BASELINES, BASELINES_TABLE
from towerline.artifacts.split import TRAIN, VALIDATION, Interactions, read_interactions
from towerline.artifacts.vocabulary import ITEM_VOCABULARY
from towerline.metrics.ratings import RatingModel, bias_trials, mean_rating, rating_biases
from towerline.metrics.validation import HeldOut
from towerline.pipeline import formats
from towerline.pipeline.terminal import progress, run
from towerline.ranking.popularity import half_lives
from towerline.ranking.scorers import Chance, Scorer, arrays_of, by_popularity
from towerline.ranking.user_items import UserItems


def fixed_baselines(params: BaselinesParams, rows: Interactions) -> dict[str, Scorer]:
    """The enabled baselines that have no settings, fitted to the rows."""
    models: dict[str, Scorer] = {}
    if params.random:
        models[names.RANDOM] = Chance(np.asarray(params.seed), np.asarray(rows.num_items + 1))
    if params.most_popular:
        models[names.MOST_POPULAR] = by_popularity(rows)
    if params.most_popular_of_type:
        type_names = pq.read_table(ITEM_VOCABULARY, columns=["item_type"])["item_type"].to_pylist()
        types, item_type = np.unique(type_names, return_inverse=True)
        if len(types) > 1:
            # The unknown item has the type of item 1.
            item_type = np.concatenate([item_type[:1], item_type])
            models[names.MOST_POPULAR_OF_TYPE] = most_popular_of_type(rows, item_type, len(types))
    return models


def candidates_of(
    params: BaselinesParams, rows: Interactions, history: UserItems, lives: list[float | None]
) -> dict[str, list[Candidate]]:
    """The candidates of each enabled baseline that has settings.

    Args:
      params: the section baselines.
      rows: the rows to fit.
      history: the items of every user in them.
      lives: half-lives of recent popularity, in days; None alone where the data has no times.
    """
    candidates = {}
    if params.recent_popular and len(lives) > 1:
        candidates[names.RECENT_POPULAR] = recent_popular_candidates(rows, lives)
    if params.item_knn:
        candidates[names.ITEM_KNN] = item_knn_candidates(rows, history)
    if params.ease:
        candidates[names.EASE] = ease_candidates(rows, history)
    if params.ials:
        candidates[names.IALS] = ials_candidates(rows, history, params.seed)
    return candidates


def allowed(name: str, candidates: list[Candidate], params: BaselinesParams) -> list[str]:
    """The settings of a baseline that are tried: the first params.trials within the memory limit.

    All half-lives of recent popularity are tried, since each of them takes no more than a count of the rows.
    """
    within = [candidate.settings for candidate in within_memory(candidates, params.memory_limit * 1e9)]
    return within if name == names.RECENT_POPULAR else within[: params.trials]


def selections(
    candidates: Mapping[str, list[Candidate]],
    max_bytes: float,
    held_out: HeldOut,
    finished: Callable[[], object],
) -> dict[str, Selection]:
    """The best settings of each baseline that has candidates, which all are within max_bytes."""
    score = held_out.ndcg if len(held_out.users) else None
    selected = {}
    for name, all_settings in candidates.items():
        selection = select(name, all_settings, score, max_bytes)
        finished()
        if selection.settings is not None:
            selected[name] = selection
    return selected


def refitted(candidates: Mapping[str, list[Candidate]], selected: Mapping[str, Selection]) -> dict[str, Scorer]:
    """The baselines with the selected settings, fitted to the rows that the candidates were made of."""
    return {
        name: next(candidate for candidate in candidates[name] if candidate.settings == selection.settings).fit()
        for name, selection in selected.items()
    }


def rating_baselines(train: Interactions, validation: Interactions) -> tuple[dict[str, RatingModel], list[Trial]]:
    """The baselines of the rating task and the trials of their settings; none if the data has no ratings."""
    if train.rating is None:
        return {}, []
    tried, best = bias_trials(train, validation)
    trials = [
        Trial(
            names.USER_ITEM_BIAS, number, f"regularization {trial.regularization:g}", "rmse", trial.rmse, trial is best
        )
        for number, trial in enumerate(tried, 1)
    ]
    rows = Interactions.joined(train, validation)
    models = {
        names.GLOBAL_MEAN: mean_rating(rows),
        names.USER_ITEM_BIAS: rating_biases(rows, best.regularization),
    }
    return models, trials


def save(models: Mapping[str, Any], trials: list[Trial]) -> None:
    """Writes models/baselines and reports/tables/baselines.csv."""
    with formats.replacing(BASELINES) as folder:
        folder.mkdir()
        for name, model in models.items():
            arrays = model.arrays() if isinstance(model, RatingModel) else arrays_of(model)
            formats.write_arrays(folder / f"{name}.npz", arrays)
    rows = [["" if value is None else value for value in trial] for trial in trials]
    formats.write_csv(BASELINES_TABLE, Trial._fields, rows)


def main() -> str:
    params = BaselinesParams.load()
    train, validation = read_interactions(TRAIN), read_interactions(VALIDATION)
    rows = Interactions.joined(train, validation)
    held_out = HeldOut(UserItems.of_interactions(train), UserItems.of_interactions(validation))
    lives, max_bytes = half_lives(train), params.memory_limit * 1e9
    # implicit warns about a conversion that it does itself.
    warnings.filterwarnings("ignore", category=ParameterWarning)
    with progress(what="baselines", unit="baseline") as bar, threadpool_limits(limits=1, user_api="blas"):
        # The fit to all rows takes the most memory.
        final = candidates_of(params, rows, UserItems.of_interactions(rows), lives)
        tried = {
            name: [candidate for candidate in of_name if candidate.settings in allowed(name, final[name], params)]
            for name, of_name in candidates_of(params, train, UserItems.of_interactions(train), lives).items()
        }
        selected = selections(tried, max_bytes, held_out, bar.update)
        scorers = fixed_baselines(params, rows) | refitted(final, selected)
    rating_models, rating_trials = rating_baselines(train, validation)
    trials = [*(trial for selection in selected.values() for trial in selection.trials), *rating_trials]
    save(scorers | rating_models, trials)
    notes = [memory_note(name, of_name, max_bytes) for name, of_name in final.items()]
    return "; ".join([", ".join([*scorers, *rating_models]), f"{len(trials)} settings tried", *filter(None, notes)])


if __name__ == "__main__":
    run("baselines", main)
