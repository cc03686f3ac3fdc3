"""Recall@20 and NDCG@20 of fits from nothing and of warm starts, on the test set of the present split.

An earlier model is fitted to the training set, and continued on the training and validation set, in one night or in
several, each of which brings an equal part of the validation rows. After dvc repro: python -m benchmarks.warm_start
"""

import argparse
import time

import numpy as np

from benchmarks.common import measure, print_machine
from towerline.artifacts.split import TEST, TRAIN, VALIDATION, Interactions, read_interactions
from towerline.artifacts.train import TWO_TOWER
from towerline.features.reading import read_features
from towerline.pipeline import formats
from towerline.training.fitting import Fitted, fit, seed_everything
from towerline.training.recipe import Recipe
from towerline.training.warm_start import continued, warm_start

# Epochs, and the divisor of the learning rate.
TRIALS = ((1, 1), (1, 3), (1, 10), (2, 1), (2, 3), (2, 10), (3, 3))


def measured(fitted: Fitted, known: Interactions, test: Interactions) -> str:
    """Two cells: mean recall and NDCG over the test users, without their known items."""
    return " | ".join(f"{value:.4f}" for value in measure(fitted.embeddings(), known, test))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--nights", type=int, default=1, help="number of warm starts, one after the other (default 1)")
    nights = parser.parse_args().nights
    recipe = Recipe(**formats.read_json(TWO_TOWER.model)["recipe"])
    seed_everything(recipe.seed, recipe.threads, recipe.device)
    print_machine(["tensorflow", "numpy"], recipe.threads)
    tables = read_features(recipe.user_features, recipe.item_features)
    train, validation, test = map(read_interactions, (TRAIN, VALIDATION, TEST))
    night = np.random.default_rng(0).integers(nights, size=len(validation.user_index))
    known = [Interactions.joined(train, validation.where(night <= last)) for last in range(nights)]
    print("| fit | recall@20 | NDCG@20 | seconds a night |\n| --- | --- | --- | --- |")
    earlier = fit(recipe, train, tables=tables)
    print(f"| the earlier model | {measured(earlier, known[-1], test)} | |", flush=True)
    begin = time.perf_counter()
    cold = fit(recipe, known[-1], tables=tables)
    seconds = time.perf_counter() - begin
    print(f"| from nothing, {len(recipe.temperatures)} epochs | {measured(cold, known[-1], test)} | {seconds:.1f} |")
    for epochs, divisor in TRIALS:
        warm, begin = earlier, time.perf_counter()
        for rows in known:
            start = warm_start(warm.vectors(), rows, recipe.seed)
            warm = fit(continued(recipe, epochs, divisor), rows, start=start, tables=tables)
        seconds = (time.perf_counter() - begin) / nights
        name = f"warm start, {epochs} epochs, learning rate / {divisor}"
        print(f"| {name} | {measured(warm, known[-1], test)} | {seconds:.1f} |", flush=True)


if __name__ == "__main__":
    main()
