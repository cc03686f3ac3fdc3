"""Model, baselines and test part -> metrics with their intervals, differences and plots.

The whole catalogue is ranked for every user with test items, the user's train and validation items left out; equal
scores are ordered by index. Averages are over users. Users without training rows are cold: reported apart.

Reads: models/two_tower/{user,item}_embeddings.npy, rating_head.npz, models/baselines/*.npz, data/split/*.parquet,
  data/vocabulary/items.parquet.
Writes: reports/metrics.json, reports/plots/*.csv, reports/tables/{metrics,differences,exposure,ratings}.csv.
Parameters: evaluate.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from stages.evaluate.evaluation import ALL, COLD_USERS, EVERYTHING, WITHIN_TYPE, Data, Evaluation, Slice, evaluated
from stages.evaluate.exposure import Exposure, exposure
from stages.evaluate.params import EvaluateParams
from stages.evaluate.uncertainty import bootstrap_interval, holm, paired_p_values
from towerline.artifacts.baselines import BASELINES
from towerline.artifacts.evaluate import (
    DIFFERENCES_TABLE,
    EXPOSURE_TABLE,
    METRICS,
    METRICS_BY_CUTOFF,
    METRICS_BY_ITEM_TYPE,
    METRICS_TABLE,
    RATINGS_TABLE,
)
from towerline.artifacts.split import TEST, TRAIN, VALIDATION, Interactions, read_interactions
from towerline.artifacts.train import ITEM_EMBEDDINGS, RATING_HEAD, USER_EMBEDDINGS, read_embeddings
from towerline.artifacts.vocabulary import ITEM_VOCABULARY
from towerline.metrics.ranking import hits
from towerline.metrics.ratings import RatingModel, mean_absolute_error, root_mean_squared_error
from towerline.pipeline import formats
from towerline.pipeline.errors import StageError
from towerline.pipeline.terminal import progress, run
from towerline.ranking.scorers import Embeddings, Scorer, scorer_of
from towerline.ranking.top_k import rank_items
from towerline.ranking.user_items import UserItems

MODEL_NAME = "two_tower"
# The tutorial's FactorizedTopK, whose name and cutoff we keep so that figures can be compared.
TUTORIAL_METRIC = "top_100_categorical_accuracy"
TUTORIAL_CUTOFF = 100
# What is printed, and where there is no cutoff of this size, the first.
PRINTED_CUTOFF = 20
PLOTTED = ("recall", "precision", "ndcg", "mrr", "map", "hit_rate")
# Baselines of the rating task, which rank nothing.
RATING_BASELINES = ("global_mean", "user_item_bias")

METRICS_HEADER = ["model", "candidates", "group", "metric", "k", "users", "mean", "low", "high"]
DIFFERENCES_HEADER = [
    "baseline",
    "metric",
    "k",
    "users",
    "difference",
    "low",
    "high",
    "p_value",
    "p_adjusted",
]

Row = list[str | int | float]


def read_data(repeats: bool) -> Data:
    """The split and the items' types; a StageError where no test user has training rows."""
    train, validation, test = map(read_interactions, (TRAIN, VALIDATION, TEST))
    types = pq.read_table(ITEM_VOCABULARY, columns=["item_type"])["item_type"].to_pylist()
    data = Data.of_parts(train, validation, test, np.array(["", *types]), repeats)
    if not len(data.warm.users):
        raise StageError(f"{TEST}: expected users that {TRAIN} knows too, found none")
    return data


class Models(NamedTuple):
    """All that is measured, the model first.

    Attributes:
      embeddings: the model's.
      scorers: name -> what ranks, the model's embeddings among them.
      ratings: name -> what predicts ratings.
    """

    embeddings: Embeddings
    scorers: dict[str, Scorer]
    ratings: dict[str, RatingModel]

    @classmethod
    def read(cls, train: Interactions) -> "Models":
        embeddings = Embeddings(
            read_embeddings(USER_EMBEDDINGS, train.num_users),
            read_embeddings(ITEM_EMBEDDINGS, train.num_items),
        )
        history = UserItems.of_pairs(train.user_index, train.item_index, train.num_users)
        scorers: dict[str, Scorer] = {MODEL_NAME: embeddings}
        rating_head = formats.read_arrays(RATING_HEAD)
        ratings = {MODEL_NAME: RatingModel(**rating_head)} if rating_head else {}
        for path in sorted(BASELINES.iterdir()):
            arrays = formats.read_arrays(path)
            if path.stem in RATING_BASELINES:
                ratings[path.stem] = RatingModel(**arrays)
            else:
                scorers[path.stem] = scorer_of(arrays, history)
        return cls(embeddings, scorers, ratings)


def tutorial_accuracy(embeddings: Embeddings, users: NDArray[np.int32], relevant: UserItems) -> float:
    """Share of test rows whose item is among the first 100 of the whole catalogue, seen items included.

    What the tutorial reports as factorized_top_k/top_100_categorical_accuracy, but for ties, which it counts as hits.
    """
    ranked = rank_items(embeddings, users, UserItems.none(len(users)), TUTORIAL_CUTOFF)
    return float(hits(ranked, relevant).sum() / len(relevant.items))


def rating_errors(
    ratings: dict[str, RatingModel], embeddings: Embeddings, test: Interactions
) -> dict[str, tuple[float, float]]:
    """Model -> RMSE and MAE over all test rows, in the unit of the ratings."""
    if not ratings:
        return {}
    if test.rating is None:
        raise StageError(f"{TEST}: expected ratings since models predict them, found none; repro train")
    found = {}
    for name, model in ratings.items():
        predicted = model.predict(test.user_index, test.item_index, *embeddings)
        found[name] = root_mean_squared_error(predicted, test.rating), mean_absolute_error(predicted, test.rating)
    return found


def exposures(shown: NDArray[np.int32], data: Data, cutoffs: list[int]) -> dict[int, Exposure]:
    """Cutoff -> what is shown up to it."""
    counts, num_users = data.item_counts(), len(np.unique(data.train.user_index))
    return {k: exposure(shown[:, :k], counts, num_users) for k in cutoffs}


def metric_rows(name: str, evaluation: Evaluation, params: EvaluateParams) -> Iterator[Row]:
    """Rows of reports/tables/metrics.csv: a model's means and their intervals, slice by slice."""
    for part, values in evaluation.values.items():
        columns = np.stack(list(values.values()), axis=1)
        interval = bootstrap_interval(columns, params.bootstrap_samples, params.seed)
        for number, key in enumerate(values):
            metric, k = key.split("@")
            ends = float(interval.low[number]), float(interval.high[number])
            yield [name, *part, metric, int(k), len(columns), float(columns[:, number].mean()), *ends]


def difference_rows(evaluations: dict[str, Evaluation], params: EvaluateParams) -> list[Row]:
    """Rows of reports/tables/differences.csv: the model less each baseline, p corrected over the whole table."""
    whole = Slice(EVERYTHING, ALL)
    model = evaluations[MODEL_NAME].values[whole]
    rows: list[Row] = []
    p_values: list[float] = []
    for name, evaluation in evaluations.items():
        if name == MODEL_NAME:
            continue
        columns = np.stack([model[key] - value for key, value in evaluation.values[whole].items()], axis=1)
        interval = bootstrap_interval(columns, params.bootstrap_samples, params.seed)
        p_values += paired_p_values(columns).tolist()
        for number, key in enumerate(model):
            metric, k = key.split("@")
            ends = float(interval.low[number]), float(interval.high[number])
            rows.append([name, metric, int(k), len(columns), float(columns[:, number].mean()), *ends])
    adjusted = holm(np.array(p_values))
    return [[*row, p_value, float(p)] for row, p_value, p in zip(rows, p_values, adjusted, strict=True)]


def means(evaluation: Evaluation, candidates: str, group: str) -> dict[str, float]:
    values = evaluation.values.get(Slice(candidates, group), {})
    return {name: float(value.mean()) for name, value in values.items()}


def summary(evaluation: Evaluation, exposed: dict[int, Exposure], types: list[str]) -> dict[str, Any]:
    """A model's part of reports/metrics.json: means over the warm users, exposure, and by item type and cold users."""
    found: dict[str, Any] = means(evaluation, EVERYTHING, ALL)
    for k, one in exposed.items():
        found |= {f"{name}@{k}": getattr(one, name) for name in ("coverage", "gini", "mean_popularity", "novelty")}
    for name, candidates in (("by_item_type", EVERYTHING), ("within_item_type", WITHIN_TYPE)):
        of_types = {kind: means(evaluation, candidates, f"item_type={kind}") for kind in types}
        if of_types := {kind: values for kind, values in of_types.items() if values}:
            found[name] = of_types
    if cold := means(evaluation, EVERYTHING, COLD_USERS):
        found[COLD_USERS] = cold
    return found


def write_plots(found: dict[str, dict[str, Any]], cutoffs: list[int]) -> None:
    """One row a cutoff (and item type), one column a model and metric, which is what DVC draws as lines and bars."""
    columns = [(model, name) for model in found for name in PLOTTED]
    header = [f"{model}_{name}" for model, name in columns]
    by_cutoff = [[k, *(found[model][f"{name}@{k}"] for model, name in columns)] for k in cutoffs]
    formats.write_csv(METRICS_BY_CUTOFF, ["k", *header], by_cutoff, formats.PUBLIC_DECIMALS)
    types = {model: {"all types": values, **values.get("by_item_type", {})} for model, values in found.items()}
    by_type = [
        [f"{kind}@{k}", *(types[model][kind][f"{name}@{k}"] for model, name in columns)]
        for kind in types[MODEL_NAME]
        for k in cutoffs
    ]
    formats.write_csv(METRICS_BY_ITEM_TYPE, ["item_type", *header], by_type, formats.PUBLIC_DECIMALS)


def write_tables(
    evaluations: dict[str, Evaluation],
    exposed: dict[str, dict[int, Exposure]],
    errors: dict[str, tuple[float, float]],
    data: Data,
    params: EvaluateParams,
) -> None:
    """The files of reports/tables that are evaluate's."""
    rows = [row for name, evaluation in evaluations.items() for row in metric_rows(name, evaluation, params)]
    formats.write_csv(METRICS_TABLE, METRICS_HEADER, rows)
    formats.write_csv(DIFFERENCES_TABLE, DIFFERENCES_HEADER, difference_rows(evaluations, params))
    shown: list[Row] = [[name, k, *one] for name, by_cutoff in exposed.items() for k, one in by_cutoff.items()]
    taken = exposure(data.warm.relevant.items, data.item_counts(), len(np.unique(data.train.user_index)))
    formats.write_csv(EXPOSURE_TABLE, ["model", "k", *Exposure._fields], [*shown, ["consumed", "", *taken]])
    formats.write_csv(RATINGS_TABLE, ["model", "rmse", "mae"], [[name, *error] for name, error in errors.items()])


def as_table(found: dict[str, dict[str, Any]], cutoffs: list[int]) -> str:
    """The main metrics as text, one line a model."""
    k = PRINTED_CUTOFF if PRINTED_CUTOFF in cutoffs else cutoffs[0]
    names = [f"recall@{k}", f"ndcg@{k}", f"hit_rate@{k}", f"coverage@{k}", "rating_rmse"]
    lines = [f"{'':<22}" + "".join(f"{name:>14}" for name in names)]
    for model, values in found.items():
        cells = [f"{values[name]:.4f}" if name in values else "" for name in names]
        lines.append((f"{model:<22}" + "".join(f"{cell:>14}" for cell in cells)).rstrip())
    return "\n".join(lines)


def main() -> str:
    params = EvaluateParams.load()
    cutoffs = sorted(set(params.cutoffs))
    data = read_data(params.repeat_consumption)
    models = Models.read(data.train)
    evaluations: dict[str, Evaluation] = {}
    exposed: dict[str, dict[int, Exposure]] = {}
    found: dict[str, dict[str, Any]] = {}
    for name, scorer in models.scorers.items():
        with progress(what=f"ranking by {name}", unit="user", total=len(data.warm.users), scale=True) as bar:
            evaluations[name] = evaluated(scorer, data, cutoffs, WITHIN_TYPE in params.candidates, bar.update)
        exposed[name] = exposures(evaluations[name].shown, data, cutoffs)
        found[name] = summary(evaluations[name], exposed[name], data.types())
    found[MODEL_NAME][TUTORIAL_METRIC] = tutorial_accuracy(models.embeddings, data.warm.users, data.warm.relevant)
    write_plots(found, cutoffs)
    errors = rating_errors(models.ratings, models.embeddings, data.test)
    for name, (rmse, mae) in errors.items():
        found.setdefault(name, {}).update({"rating_rmse": rmse, "rating_mae": mae})
    write_tables(evaluations, exposed, errors, data, params)
    counts = data.counts()
    formats.write_json(METRICS, {**found, "counts": counts}, formats.PUBLIC_DECIMALS)
    return f"{counts['users_ranked']:,} users ranked, {counts['cold_users']:,} cold\n{as_table(found, cutoffs)}"


if __name__ == "__main__":
    run("evaluate", main)
