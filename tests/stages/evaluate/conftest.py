"""A planted data set, scorers fitted to it, and their metrics."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from stages.evaluate.data import Data
from stages.evaluate.evaluation import OVERALL, Evaluation, Slice
from towerline.artifacts.split import Interactions
from towerline.baseline_models import implicit_models as baselines
from towerline.baseline_models.ease import ItemClasses, ease
from towerline.ranking.scorers import ItemWeights
from towerline.ranking.user_items import UserItems

USERS, ITEMS, GROUPS = 40, 30, 3


def part(pairs: NDArray[np.int32], rating: NDArray[np.float32] | None = None) -> Interactions:
    return Interactions(pairs[:, 0].copy(), pairs[:, 1].copy(), rating, USERS, ITEMS)


def planted(seed: int = 0) -> tuple[Interactions, Interactions]:
    """Users of a group have the items of that group alone: two thirds of these are train, the others test."""
    draw = np.random.default_rng(seed)
    pairs = [(u, i) for u in range(1, USERS + 1) for i in range(1, ITEMS + 1) if u % GROUPS == i % GROUPS]
    order = draw.permutation(len(pairs))
    rows = np.array(pairs, np.int32)[order]
    cut = len(rows) * 2 // 3
    return part(rows[:cut]), part(rows[cut:])


def history_of(train: Interactions) -> UserItems:
    return UserItems.of_pairs(train.user_index, train.item_index, num_rows=train.num_users + 1)


def data_of(
    train: Interactions, test: Interactions, item_type: NDArray[np.str_] | None = None, repeats: bool = False
) -> Data:
    kinds = np.array(["", *["film"] * ITEMS]) if item_type is None else item_type
    return Data.of_sets(train, test, kinds, repeats)


def mean(evaluation: Evaluation, metric: str, k: int, part: Slice = OVERALL) -> float:
    return float(evaluation.values[part][metric, k].mean())


SCORERS: dict[str, Any] = {
    "item_knn": lambda history: ItemWeights(baselines.item_knn(history.matrix(ITEMS + 1), 9), history),
    "ease": lambda history: ItemWeights(ease(ItemClasses.of(history, ITEMS), 10.0), history),
    "ials": lambda history: baselines.ials(history.matrix(ITEMS + 1), 3, 5.0, 1.0, seed=0),
}
