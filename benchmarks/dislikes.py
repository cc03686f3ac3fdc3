"""Recall and NDCG of liked test items, and recall of disliked ones, by what is done with the dislikes of training.

python -m benchmarks.dislikes ml-100k.inter --below 3
"""

import argparse
from pathlib import Path

import numpy as np

from benchmarks.common import CUTOFF, Group, only, print_machine
from benchmarks.ratings import Split, read, split
from benchmarks.recommenders import without_features
from towerline.artifacts.names import EASE, IALS, MOST_POPULAR
from towerline.artifacts.split import Interactions
from towerline.baseline_models.params import BaselinesParams
from towerline.baseline_models.tuning import tuned
from towerline.feedback.params import USER_MEAN, Below
from towerline.feedback.strengths import Feedback, choices, disliked
from towerline.ranking.scorers import Scorer
from towerline.training.fitting import fit, seed_everything
from towerline.training.params import TrainParams
from towerline.training.search import search

PEERS = (MOST_POPULAR, EASE, IALS)
CHOSEN = "chosen on the validation set"


def two_tower(sets: Split, params: TrainParams, ways: list[Feedback]) -> Scorer:
    """The two towers as the stage train fits them, with the best of some ways of counting the rows."""
    recipe = search(params.given(), params, sets.train, sets.validation, ways=ways).recipe
    if len(ways) > 1:
        print(f"seed {params.seed}: {recipe.feedback.dislikes}", flush=True)
    return fit(recipe, Interactions.joined(sets.train, sets.validation)).embeddings()


def peers(sets: Split, params: BaselinesParams, below: Below) -> dict[str, Scorer]:
    """The baselines, each with its dislikes counted or left out as the validation set says."""
    item_type = np.full(sets.train.num_items + 1, "film")
    return tuned(only(params, PEERS), sets.train, sets.validation, item_type, below=below).scorers


def metrics(sets: Split, scorer: Scorer, below: Below) -> list[float]:
    """Recall and NDCG of likes, and recall of dislikes, of the test set."""
    known = Interactions.joined(sets.train, sets.validation)
    is_dislike = disliked(sets.test, known, below)
    has_rows = np.isin(sets.test.user_index, known.user_index)
    likes, dislikes = (
        Group.of_rows(known, sets.test.where(has_rows & chosen)).measured(scorer)
        for chosen in (~is_dislike, is_dislike)
    )
    return [*likes, dislikes[0]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, help="a text file: user, item, rating and time, between tabs, commas or ::")
    parser.add_argument("--below", required=True, help="a rating, or user_mean")
    parser.add_argument("--seeds", type=int, default=3, help="number of seeds of split and model (default 3)")
    given = parser.parse_args()
    below: Below = USER_MEAN if given.below == USER_MEAN else float(given.below)
    params, baselines = without_features(TrainParams.load()), BaselinesParams.load()
    params = params.model_copy(update={"rating_weight": 0.0})
    seed_everything(0, params.threads, params.device)
    print_machine(["tensorflow", "numpy", "implicit"], params.threads)
    rows = read(given.data)
    found: dict[str, list[list[float]]] = {}
    for seed in range(given.seeds):
        sets, settings = split(rows, seed), params.model_copy(update={"seed": seed})
        ways = choices(sets.train, below, negatives=True)
        tried = {f"two_tower, {way.dislikes}": [way] for way in ways} | {f"two_tower, {CHOSEN}": ways}
        for name, of_side in tried.items():
            found.setdefault(name, []).append(metrics(sets, two_tower(sets, settings, of_side), below))
        for name, scorer in peers(sets, baselines, below).items():
            found.setdefault(name, []).append(metrics(sets, scorer, below))
    share = disliked(rows, rows, below).mean()
    print(f"ratings below {given.below} are dislikes: {share:.1%} of the rows")
    print(f"| model | recall@{CUTOFF} of likes | NDCG@{CUTOFF} of likes | recall@{CUTOFF} of dislikes |")
    print("| --- | --- | --- | --- |")
    for name, values in found.items():
        means, spreads = np.mean(values, axis=0), np.std(values, axis=0)
        cells = [f"{mean:.4f} ± {spread:.4f}" for mean, spread in zip(means, spreads, strict=True)]
        print(f"| {name} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
