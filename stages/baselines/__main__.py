"""Train part -> the baselines that the model is compared with, their few settings chosen on the validation part.

Each of item-kNN, EASE and iALS tries the same number of settings, and keeps the one with the best NDCG@20 on the
validation part, as it was fitted on the train part; user and item biases of ratings go by RMSE.

Reads: data/split/train.parquet, data/split/validation.parquet, data/vocabulary/items.parquet.
Writes: models/baselines/*.npz, reports/tables/baselines.csv.
Parameters: baselines.
"""

import os
import warnings
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple, TypeVar

import numpy as np
import pyarrow.parquet as pq
from implicit.utils import ParameterWarning
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from stages.baselines import models as baselines
from stages.baselines.params import BaselinesParams
from towerline.artifacts.baselines import BASELINES, BASELINES_TABLE
from towerline.artifacts.split import TRAIN, VALIDATION, Interactions, read_interactions
from towerline.artifacts.vocabulary import ITEM_VOCABULARY
from towerline.metrics.ratings import RatingModel, bias_trials, mean_rating
from towerline.metrics.validation import HeldOut
from towerline.pipeline import formats
from towerline.pipeline.terminal import progress, run
from towerline.ranking.scorers import Chance, ItemWeights, Scorer, arrays_of, most_popular
from towerline.ranking.user_items import UserItems

Model = TypeVar("Model")
Settings = Mapping[str, float]

# From those that were best on the validation parts of MovieLens, MovieTweetings, Douban and Gowalla; the first ones
# first, since only so many are tried.
ITEM_KNN: list[Settings] = [{"neighbours": neighbours} for neighbours in (100, 1000, 20, 300, 50, 500)]
EASE: list[Settings] = [{"regularization": regularization} for regularization in (200, 1000, 50, 500, 100, 2000)]
IALS: list[Settings] = [
    {"dimension": dimension, "alpha": alpha, "regularization": regularization}
    for dimension, alpha, regularization in (
        (64, 5, 40),
        (128, 20, 160),
        (128, 20, 40),
        (64, 1, 10),
        (128, 5, 40),
        (128, 80, 40),
    )
]

TABLE_HEADER = ["baseline", "trial", "settings", "metric", "validation", "chosen"]


class Trial(NamedTuple):
    """A line of reports/tables/baselines.csv; None where there is no validation part."""

    baseline: str
    trial: int
    settings: str
    metric: str
    validation: float | None
    chosen: bool


class Chosen(NamedTuple):
    """The best of a baseline's trials, and all of them."""

    model: Any
    trials: list[Trial]


def choose(
    name: str,
    settings: list[Settings],
    fit: Callable[[Settings], Model],
    score: Callable[[Model], float] | None,
    workers: int,
) -> Chosen:
    """Fits and scores each of the settings, and keeps the best; of equal ones the first.

    Args:
      name: of the baseline.
      settings: what is tried; the first alone where there is no score.
      fit: makes the model.
      score: NDCG@20 on the validation part; None where there is no validation part.
      workers: how many are fitted side by side.
    """
    tried = settings if score is not None else settings[:1]
    scores: list[float] = []
    best: Model | None = None

    def attempt(one: Settings) -> tuple[Model, float]:
        model = fit(one)
        return model, score(model) if score is not None else 0.0

    with ThreadPoolExecutor(workers) as pool:
        # In groups, so that no more models than workers and the best are held.
        for start in range(0, len(tried), workers):
            for model, found in pool.map(attempt, tried[start : start + workers]):
                if best is None or found > max(scores):
                    best = model
                scores.append(found)
    shown = [", ".join(f"{key} {value:g}" for key, value in one.items()) for one in tried]
    chosen = int(np.argmax(scores))
    trials = [
        Trial(name, number + 1, text, "ndcg@20", None if score is None else found, number == chosen)
        for number, (text, found) in enumerate(zip(shown, scores, strict=True))
    ]
    return Chosen(best, trials)


class Parts(NamedTuple):
    """What baselines are fitted to and chosen on.

    Attributes:
      train, validation: parts of the split.
      history: the items of every user in the train part.
      held_out: the validation part's users and items.
      item_type: [num_items + 1] number of each item's type; the unknown item has that of item 1.
      num_types: how many there are.
    """

    train: Interactions
    validation: Interactions
    history: UserItems
    held_out: HeldOut
    item_type: NDArray[np.int64]
    num_types: int

    @classmethod
    def read(cls) -> "Parts":
        train, validation = map(read_interactions, (TRAIN, VALIDATION))
        history = UserItems.of_pairs(train.user_index, train.item_index, num_rows=train.num_users + 1)
        names = pq.read_table(ITEM_VOCABULARY, columns=["item_type"])["item_type"].to_pylist()
        types, number = np.unique(names, return_inverse=True)
        item_type = np.concatenate([number[:1], number])
        return cls(train, validation, history, HeldOut(history, validation), item_type, len(types))

    def choose(
        self, name: str, settings: list[Settings], fit: Callable[[Settings], Scorer], workers: int | None = None
    ) -> Chosen:
        """What is best on the validation part."""
        score = self.held_out.ndcg if len(self.held_out.users) else None
        return choose(name, settings, fit, score, workers or os.cpu_count() or 1)


def simple_ones(params: BaselinesParams, parts: Parts) -> dict[str, Scorer]:
    """The baselines without settings that are switched on."""
    train = parts.train
    found: dict[str, Scorer] = {}
    if params.random:
        found["random"] = Chance(np.asarray(params.seed), np.asarray(train.num_items + 1))
    if params.most_popular:
        found["most_popular"] = most_popular(train.item_index, train.num_users, train.num_items)
    if params.most_popular_of_type and parts.num_types > 1:
        found["most_popular_of_type"] = baselines.most_popular_of_type(train, parts.item_type, parts.num_types)
    return found


def chosen_ones(params: BaselinesParams, parts: Parts, done: Callable[[], object]) -> dict[str, Chosen]:
    """The baselines with settings that are switched on, EASE only where its matrix fits params.memory_limit."""
    history, num_items = parts.history, parts.train.num_items
    found: dict[str, Chosen] = {}
    if params.item_knn:

        def item_knn(one: Settings) -> Scorer:
            return ItemWeights(baselines.item_knn(history, num_items, int(one["neighbours"])), history)

        found["item_knn"] = parts.choose("item_knn", ITEM_KNN[: params.trials], item_knn)
        done()
    if params.ease and (at_once := int(params.memory_limit * 1e9 // ease_bytes(num_items))):

        def ease(one: Settings) -> Scorer:
            return ItemWeights(baselines.ease(history, num_items, one["regularization"]), history)

        workers = min(at_once, os.cpu_count() or 1)
        found["ease"] = parts.choose("ease", EASE[: params.trials], ease, workers)
        done()
    if params.ials:

        def ials(one: Settings) -> Scorer:
            dimension = int(one["dimension"])
            return baselines.ials(history, num_items, dimension, one["alpha"], one["regularization"], params.seed)

        found["ials"] = parts.choose("ials", IALS[: params.trials], ials)
        done()
    return found


def ease_bytes(num_items: int) -> int:
    """The size of EASE's matrix."""
    return 4 * (num_items + 1) ** 2


def rating_ones(parts: Parts) -> dict[str, Chosen]:
    """The baselines of the rating task, none where there are no ratings."""
    if parts.train.rating is None:
        return {}
    tried, best = bias_trials(parts.train, parts.validation)
    trials = [
        Trial("user_item_bias", number + 1, f"regularization {one.regularization:g}", "rmse", one.rmse, one is best)
        for number, one in enumerate(tried)
    ]
    return {"global_mean": Chosen(mean_rating(parts.train), []), "user_item_bias": Chosen(best.model, trials)}


def save(models: Mapping[str, Any], trials: list[Trial]) -> None:
    with formats.replacing(BASELINES) as folder:
        folder.mkdir()
        for name, model in models.items():
            arrays = model.arrays() if isinstance(model, RatingModel) else arrays_of(model)
            formats.write_arrays(folder / f"{name}.npz", arrays)
    rows = [["" if value is None else value for value in trial] for trial in trials]
    formats.write_csv(BASELINES_TABLE, TABLE_HEADER, rows)


def main() -> str:
    params = BaselinesParams.load()
    parts = Parts.read()
    # Of a matrix that it transposes itself.
    warnings.filterwarnings("ignore", category=ParameterWarning)
    with progress(what="baselines", unit="baseline") as bar, threadpool_limits(limits=1, user_api="blas"):
        chosen = chosen_ones(params, parts, bar.update) | rating_ones(parts)
    models = simple_ones(params, parts) | {name: one.model for name, one in chosen.items()}
    trials = [trial for one in chosen.values() for trial in one.trials]
    save(models, trials)
    left_out = (
        ""
        if not params.ease or "ease" in models
        else f"; EASE would take {ease_bytes(parts.train.num_items) / 1e9:.1f} GB"
    )
    return f"{', '.join(models)}; {len(trials)} settings tried{left_out}"


if __name__ == "__main__":
    run("baselines", main)
