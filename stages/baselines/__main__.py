"""Training and validation set -> the baselines that the model is compared with.

Item-kNN, EASE and iALS are fitted to the training set with several settings each, and the best NDCG@20 on the
validation set is kept; the biases of the rating baseline are chosen by RMSE.

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

from stages.baselines.candidates import ease_candidates, ials_candidates, item_knn_candidates
from stages.baselines.models import most_popular_of_type
from stages.baselines.params import BaselinesParams
from stages.baselines.selection import Candidate, Selection, Trial, memory_note, select, within_memory
from towerline.artifacts.baselines import BASELINES, BASELINES_TABLE
from towerline.artifacts.split import TRAIN, VALIDATION, Interactions, read_interactions
from towerline.artifacts.vocabulary import ITEM_VOCABULARY
from towerline.metrics.ratings import RatingModel, bias_trials, mean_rating
from towerline.metrics.validation import HeldOut
from towerline.pipeline import formats
from towerline.pipeline.terminal import progress, run
from towerline.ranking.scorers import Chance, Scorer, arrays_of, most_popular
from towerline.ranking.user_items import UserItems


def fixed_baselines(params: BaselinesParams, train: Interactions) -> dict[str, Scorer]:
    """The enabled baselines that have no settings."""
    models: dict[str, Scorer] = {}
    if params.random:
        models["random"] = Chance(np.asarray(params.seed), np.asarray(train.num_items + 1))
    if params.most_popular:
        models["most_popular"] = most_popular(train.item_index, train.num_users, train.num_items)
    if params.most_popular_of_type:
        names = pq.read_table(ITEM_VOCABULARY, columns=["item_type"])["item_type"].to_pylist()
        types, item_type = np.unique(names, return_inverse=True)
        if len(types) > 1:
            # The unknown item has the type of item 1.
            item_type = np.concatenate([item_type[:1], item_type])
            models["most_popular_of_type"] = most_popular_of_type(train, item_type, len(types))
    return models


def candidates_of(params: BaselinesParams, train: Interactions, history: UserItems) -> dict[str, list[Candidate]]:
    """The candidates of each enabled baseline that has settings."""
    candidates = {}
    if params.item_knn:
        candidates["item_knn"] = item_knn_candidates(train, history)
    if params.ease:
        candidates["ease"] = ease_candidates(train, history)
    if params.ials:
        candidates["ials"] = ials_candidates(train, history, params.seed)
    return candidates


def selections(
    candidates: Mapping[str, list[Candidate]],
    params: BaselinesParams,
    held_out: HeldOut,
    finished: Callable[[], object],
) -> dict[str, Selection]:
    """The best model of each baseline that has a candidate within params.memory_limit."""
    max_bytes = params.memory_limit * 1e9
    score = held_out.ndcg if len(held_out.users) else None
    selected = {}
    for name, all_settings in candidates.items():
        selection = select(name, within_memory(all_settings, max_bytes)[: params.trials], score, max_bytes)
        finished()
        if selection.model is not None:
            selected[name] = selection
    return selected


def rating_baselines(train: Interactions, validation: Interactions) -> dict[str, Selection]:
    """The baselines of the rating task, none if the data has no ratings."""
    if train.rating is None:
        return {}
    tried, best = bias_trials(train, validation)
    trials = [
        Trial("user_item_bias", number, f"regularization {trial.regularization:g}", "rmse", trial.rmse, trial is best)
        for number, trial in enumerate(tried, 1)
    ]
    return {"global_mean": Selection(mean_rating(train), []), "user_item_bias": Selection(best.model, trials)}


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
    history, relevant = (
        UserItems.of_pairs(rows.user_index, rows.item_index, num_rows=rows.num_users + 1)
        for rows in (train, validation)
    )
    # implicit warns about a conversion that it does itself.
    warnings.filterwarnings("ignore", category=ParameterWarning)
    with progress(what="baselines", unit="baseline") as bar, threadpool_limits(limits=1, user_api="blas"):
        candidates = candidates_of(params, train, history)
        selected = selections(candidates, params, HeldOut(history, relevant), bar.update)
    selected |= rating_baselines(train, validation)
    models = fixed_baselines(params, train) | {name: selection.model for name, selection in selected.items()}
    trials = [trial for selection in selected.values() for trial in selection.trials]
    save(models, trials)
    notes = [memory_note(name, tried, params.memory_limit * 1e9) for name, tried in candidates.items()]
    return "; ".join([", ".join(models), f"{len(trials)} settings tried", *filter(None, notes)])


if __name__ == "__main__":
    run("baselines", main)
