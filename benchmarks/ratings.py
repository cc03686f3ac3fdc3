"""RMSE of predicted ratings, recall@20 and NDCG@20 over train.rating_weight, on random splits into 80, 10 and 10 %.

python -m benchmarks.ratings ml-100k.inter
"""

import argparse
import re
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np

from benchmarks.common import measure, print_machine
from benchmarks.recommenders import without_features
from towerline.artifacts.split import Interactions
from towerline.metrics.ratings import RatingModel, bias_trials, rating_biases, root_mean_squared_error
from towerline.training.fitting import fit, seed_everything
from towerline.training.params import TrainParams
from towerline.training.search import search

WEIGHTS = (0.0, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0)
SEPARATOR = re.compile(r"\t|::|,")


class Split(NamedTuple):
    train: Interactions
    validation: Interactions
    test: Interactions


class Measured(NamedTuple):
    """The errors of the biases and of the model on the test set, its metrics, and the seconds of the fit."""

    biases: float
    rmse: float
    recall: float
    ndcg: float
    seconds: float


def read(path: Path) -> Interactions:
    """Reads user, item, rating and time of each line; of several lines of a user and an item the latest counts."""
    cells = [SEPARATOR.split(line.rstrip("\n"))[:4] for line in path.read_text(encoding="utf-8").splitlines()]
    if not cells[0][2].replace(".", "").isdigit():
        del cells[0]
    latest = {(user, item): (rating, when) for user, item, rating, when in sorted(cells, key=lambda row: float(row[3]))}
    (users, user), (items, item) = (np.unique(ids, return_inverse=True) for ids in zip(*latest, strict=True))
    rating, when = np.array(list(latest.values()), np.float64).T
    numbers = rating.astype(np.float32), len(users), len(items), when.astype(np.int64)
    return Interactions((user + 1).astype(np.int32), (item + 1).astype(np.int32), *numbers)


def split(rows: Interactions, seed: int) -> Split:
    share = np.random.default_rng(seed).permutation(len(rows.user_index)) / len(rows.user_index)
    return Split(rows.where(share < 0.8), rows.where((share >= 0.8) & (share < 0.9)), rows.where(share >= 0.9))


def measured(sets: Split, params: TrainParams) -> Measured:
    """Settings are chosen on the validation set; the fits are to the training and validation set."""
    known, test = Interactions.joined(sets.train, sets.validation), sets.test
    recipe = search(params.given(), params, sets.train, sets.validation).recipe
    start = time.perf_counter()
    fitted = fit(recipe, known)
    seconds = time.perf_counter() - start
    biases = rating_biases(known, bias_trials(sets.train, sets.validation)[1].regularization)

    def error(model: RatingModel) -> float:
        return root_mean_squared_error(model.predict(test.user_index, test.item_index), np.asarray(test.rating))

    metrics = measure(fitted.embeddings(), known, test)
    return Measured(error(biases), error(fitted.rating_model or biases), *metrics, seconds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, help="a text file: user, item, rating and time, between tabs, commas or ::")
    parser.add_argument("--seeds", type=int, default=3, help="number of seeds of split and model (default 3)")
    parser.add_argument("--weights", type=float, nargs="+", default=WEIGHTS, help="values of train.rating_weight")
    given = parser.parse_args()
    params = without_features(TrainParams.load())
    seed_everything(0, params.threads, params.device)
    print_machine(["tensorflow", "numpy"], params.threads)
    rows = read(given.data)
    print("| rating_weight | RMSE | below the biases | recall@20 | NDCG@20 | seconds of a fit |")
    print("| --- | --- | --- | --- | --- | --- |")
    for weight in given.weights:
        values = np.array(
            [
                measured(split(rows, seed), params.model_copy(update={"seed": seed, "rating_weight": weight}))
                for seed in range(given.seeds)
            ]
        )
        biases, rmse, recall, ndcg, seconds = values.T
        below = 100 * (1 - rmse / biases)
        cells = [f"{of.mean():.4f} ± {of.std():.4f}" for of in (rmse, recall, ndcg)]
        cells.insert(1, f"{below.mean():.2f} ± {below.std():.2f} %")
        print(f"| {weight:g} | {' | '.join(cells)} | {seconds.mean():.1f} |", flush=True)


if __name__ == "__main__":
    main()
