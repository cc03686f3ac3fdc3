"""Embeddings and test part -> ranking and rating metrics of the model and of most-popular, and their plots.

The whole catalogue is ranked for every user with test items, the user's train and validation items left out; equal
scores are ordered by index. Averages are over users. Users without training rows are cold: reported apart.

Reads: models/two_tower/{user,item}_embeddings.npy, rating_head.npz, data/split/*.parquet,
  data/vocabulary/items.parquet.
Writes: reports/metrics.json, reports/plots/*.csv.
Parameters: evaluate.
"""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from stages import artifacts
from stages.artifacts import Part
from stages.params import EvaluateParams
from stages.ranking.baselines import most_popular
from stages.ranking.metrics import hits, rank_metrics
from stages.ranking.ratings import RatingModel, mean_absolute_error, root_mean_squared_error
from stages.ranking.top_k import rank_items
from stages.ranking.user_items import UserItems
from stages.terminal import StageError, progress, run

MODEL_NAME = "two_tower"
BASELINE_NAME = "most_popular"
# The tutorial's FactorizedTopK, whose name and cutoff we keep so that figures can be compared.
TUTORIAL_METRIC = "top_100_categorical_accuracy"
TUTORIAL_CUTOFF = 100

# What the metrics of a model hold beside numbers.
NESTED = ("by_item_type", "cold_users")

Embeddings = tuple[NDArray[np.float32], NDArray[np.float32]]


class Queries(NamedTuple):
    """The users of one group with their test items, and the items that each has seen.

    Attributes:
      users: [queries] int32 user indices.
      relevant: their test items, by query.
      seen: their train and validation items, by query.
    """

    users: NDArray[np.int32]
    relevant: UserItems
    seen: UserItems

    def of_type(self, of_item: NDArray[np.bool_]) -> "Queries":
        """The queries with held-out items for which of_item is true, and only these items."""
        rows = self.relevant.rows()
        keep = of_item[self.relevant.items]
        relevant = UserItems.of_pairs(rows[keep].astype(np.int32), self.relevant.items[keep], len(self.users) - 1)
        chosen = np.flatnonzero(relevant.counts() > 0).astype(np.int32)
        return Queries(self.users[chosen], relevant.of_users(chosen), self.seen.of_users(chosen))


def read_embeddings(path: Path, num_ids: int) -> NDArray[np.float32]:
    """Embeddings of a vocabulary of num_ids ids; a StageError where they are of another or not finite."""
    embeddings: NDArray[np.float32] = np.load(path, allow_pickle=False)
    if len(embeddings) != num_ids + 1:
        raise StageError(f"{path}: expected {num_ids + 1} rows for the split's {num_ids} ids, found {len(embeddings)}")
    broken = int((~np.isfinite(embeddings).all(axis=1)).sum())
    if broken:
        raise StageError(f"{path}: expected finite embeddings, found NaN or infinity in {broken} rows")
    return embeddings


class Data(NamedTuple):
    """What the models are measured on.

    Attributes:
      train, test: parts of the split.
      warm, cold: the users with test items, those with and those without training rows.
      item_type: [num_items + 1] text; the unknown item's is empty.
    """

    train: Part
    test: Part
    warm: Queries
    cold: Queries
    item_type: NDArray[np.str_]

    @classmethod
    def read(cls) -> "Data":
        """Reads the split and the items' types; a StageError where no test user has training rows."""
        train, validation, test = map(artifacts.read_part, (artifacts.TRAIN, artifacts.VALIDATION, artifacts.TEST))
        relevant = UserItems.of_pairs(test.user_index, test.item_index, test.num_users)
        seen = UserItems.of_pairs(
            np.concatenate([train.user_index, validation.user_index]),
            np.concatenate([train.item_index, validation.item_index]),
            train.num_users,
        )
        trained = np.bincount(train.user_index, minlength=train.num_users + 1) > 0
        wanted = relevant.counts() > 0
        groups = (np.flatnonzero(wanted & known).astype(np.int32) for known in (trained, ~trained))
        warm, cold = (Queries(users, relevant.of_users(users), seen.of_users(users)) for users in groups)
        if not len(warm.users):
            raise StageError(f"{artifacts.TEST}: expected users that {artifacts.TRAIN} knows too, found none")
        types = pq.read_table(artifacts.ITEM_VOCABULARY, columns=["item_type"])["item_type"].to_pylist()
        return cls(train, test, warm, cold, np.array(["", *types]))

    def counts(self) -> dict[str, int]:
        trained_items = np.bincount(self.train.item_index, minlength=self.train.num_items + 1) > 0
        return {
            "users_ranked": len(self.warm.users),
            "cold_users": len(self.cold.users),
            "users_without_test_items": self.train.num_users - len(self.warm.users) - len(self.cold.users),
            "test_rows": len(self.test.user_index),
            "test_rows_of_items_without_training_rows": int((~trained_items[self.test.item_index]).sum()),
        }


def means(values: dict[str, NDArray[np.float64]]) -> dict[str, float]:
    return {name: float(value.mean()) for name, value in values.items()}


def ranking_metrics(name: str, embeddings: Embeddings, data: Data, cutoffs: list[int]) -> dict[str, Any]:
    """Means over the warm users at every cutoff; beside them by_item_type, of several types, and cold_users, if any."""
    users, items = embeddings
    queries, cold = data.warm, data.cold
    with progress(what=f"ranking by {name}", unit="user", total=len(queries.users), scale=True) as bar:
        ranked = rank_items(users[queries.users], items, queries.seen, max(cutoffs), bar.update)
    found: dict[str, Any] = means(rank_metrics(ranked, queries.relevant, cutoffs))
    found[TUTORIAL_METRIC] = tutorial_accuracy(embeddings, queries)
    if len(types := np.unique(data.item_type[1:])) > 1:
        found["by_item_type"] = {}
        for kind in types:
            of_type = queries.of_type(data.item_type == kind)
            if len(of_type.users):
                ranked_of_type = ranked[np.isin(queries.users, of_type.users)]
                found["by_item_type"][str(kind)] = means(rank_metrics(ranked_of_type, of_type.relevant, cutoffs))
    if len(cold.users):
        ranked = rank_items(users[cold.users], items, cold.seen, max(cutoffs))
        found["cold_users"] = means(rank_metrics(ranked, cold.relevant, cutoffs))
    return found


def tutorial_accuracy(embeddings: Embeddings, queries: Queries) -> float:
    """Share of test rows whose item is among the first 100 of the whole catalogue, seen items included.

    What the tutorial reports as factorized_top_k/top_100_categorical_accuracy, but for ties, which it counts as hits.
    """
    users, items = embeddings
    ranked = rank_items(users[queries.users], items, UserItems.none(len(queries.users)), TUTORIAL_CUTOFF)
    return float(hits(ranked, queries.relevant).sum() / len(queries.relevant.items))


def rating_metrics(rating_model: RatingModel, embeddings: Embeddings, test: Part) -> dict[str, float]:
    """RMSE and MAE over all test rows, in the unit of the ratings."""
    if test.rating is None:
        raise StageError(f"{artifacts.TEST}: expected ratings since the model predicts them, found none; repro train")
    predicted = rating_model.predict(test.user_index, test.item_index, *embeddings)
    return {
        "rating_rmse": root_mean_squared_error(predicted, test.rating),
        "rating_mae": mean_absolute_error(predicted, test.rating),
    }


def write_plots(found: dict[str, dict[str, Any]], cutoffs: list[int]) -> None:
    """One row a cutoff (and item type), one column a model and metric, which is what DVC draws as lines and bars."""
    columns = [(model, name) for model in found for name in ("recall", "ndcg", "mrr", "hit_rate")]
    header = [f"{model}_{name}" for model, name in columns]
    by_cutoff = [[k, *(found[model][f"{name}@{k}"] for model, name in columns)] for k in cutoffs]
    artifacts.write_csv(artifacts.METRICS_BY_CUTOFF, ["k", *header], by_cutoff)
    types = {model: {"all types": values, **values.get("by_item_type", {})} for model, values in found.items()}
    by_type = [
        [f"{kind}@{k}", *(types[model][kind][f"{name}@{k}"] for model, name in columns)]
        for kind in types[MODEL_NAME]
        for k in cutoffs
    ]
    artifacts.write_csv(artifacts.METRICS_BY_ITEM_TYPE, ["item_type", *header], by_type)


def as_table(found: dict[str, dict[str, Any]]) -> str:
    """The metrics as text, one line each and one column a model."""
    names = list(dict.fromkeys(name for values in found.values() for name in values if name not in NESTED))
    lines = [f"{'':<30}" + "".join(f"{model:>16}" for model in found)]
    for name in names:
        cells = [f"{values[name]:.4f}" if name in values else "" for values in found.values()]
        lines.append(f"{name:<30}" + "".join(f"{cell:>16}" for cell in cells))
    return "\n".join(line.rstrip() for line in lines)


def main() -> str:
    params = EvaluateParams.load()
    data = Data.read()
    embeddings = (
        read_embeddings(artifacts.USER_EMBEDDINGS, data.train.num_users),
        read_embeddings(artifacts.ITEM_EMBEDDINGS, data.train.num_items),
    )
    popular = most_popular(data.train.item_index, data.train.num_users, data.train.num_items)
    models = {MODEL_NAME: embeddings, BASELINE_NAME: popular}
    found = {name: ranking_metrics(name, model, data, params.cutoffs) for name, model in models.items()}
    rating_head = artifacts.read_arrays(artifacts.RATING_HEAD)
    if rating_head:
        found[MODEL_NAME] |= rating_metrics(RatingModel(**rating_head), embeddings, data.test)
    counts = data.counts()
    write_plots(found, sorted(params.cutoffs))
    artifacts.write_json(artifacts.METRICS, {**found, "counts": counts})
    return f"{counts['users_ranked']:,} users ranked, {counts['cold_users']:,} cold\n{as_table(found)}"


if __name__ == "__main__":
    run("evaluate", main)
