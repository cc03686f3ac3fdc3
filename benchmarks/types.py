"""Recall and NDCG within each item type: the model with the rows of the other types and without them, and peers.

Run it in a folder in which the stages up to split have run on data with several item types, with split.method cold_type
or random, for instance a clone: dvc repro split && python -m benchmarks.types
"""

import argparse
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from benchmarks.common import Group, only, print_machine
from benchmarks.recommenders import without_features
from towerline.artifacts.names import IALS, ITEM_KNN, MODEL, MOST_POPULAR
from towerline.artifacts.split import TEST, TRAIN, VALIDATION, Interactions, read_interactions
from towerline.artifacts.vocabulary import read_item_types
from towerline.baseline_models.params import BaselinesParams
from towerline.baseline_models.tuning import tuned
from towerline.metrics.ranking import rank_metrics
from towerline.metrics.uncertainty import bootstrap_interval
from towerline.metrics.validation import ranked_candidates
from towerline.ranking.scorers import Scorer
from towerline.ranking.top_k import rank_items
from towerline.training.fitting import fit, seed_everything
from towerline.training.params import TrainParams
from towerline.training.search import search

METRICS = [(name, k) for name in ("recall", "ndcg") for k in (10, 20)]
WITHOUT = f"{MODEL} without the other types"
PEERS = (MOST_POPULAR, ITEM_KNN, IALS)
SAMPLES = 1000
OTHERS_ALONE = "of other types alone"


class Sets(NamedTuple):
    """Training and validation set, and the type of each item."""

    train: Interactions
    validation: Interactions
    item_type: NDArray[np.str_]

    def known(self) -> Interactions:
        """The rows of both sets."""
        return Interactions.joined(self.train, self.validation)

    def of_type(self, kind: str) -> "Sets":
        """The rows of one type alone."""
        chosen = self.item_type == kind
        train, validation = (rows.where(chosen[rows.item_index]) for rows in (self.train, self.validation))
        return Sets(train, validation, self.item_type)


def groups(sets: Sets, test: Interactions, kind: str) -> dict[str, Group]:
    """The users of the test rows of a type, by the types of their known rows; the items of the type are ranked."""
    known, of_type = sets.known(), sets.item_type == kind
    has, has_others = (
        np.bincount(known.user_index[chosen], minlength=known.num_users + 1) > 0
        for chosen in (of_type[known.item_index], ~of_type[known.item_index])
    )
    tested = test.where(of_type[test.item_index])
    candidates = np.flatnonzero(of_type).astype(np.int32)
    users = {
        "of the type and of others": has & has_others,
        "of the type alone": has & ~has_others,
        OTHERS_ALONE: ~has & has_others,
    }
    found = {
        name: Group.of_rows(known, tested.where(chosen[tested.user_index]), candidates)
        for name, chosen in users.items()
    }
    return {name: group for name, group in found.items() if len(group.users)}


def models(params: TrainParams, sets: Sets, seeds: int) -> list[Scorer]:
    """The two towers by the recipe that a search with the first seed finds, one for each seed."""
    candidates = ranked_candidates(sets.validation, sets.item_type)
    recipe = search(params.given(), params, sets.train, sets.validation, candidates=candidates).recipe
    print(f"{recipe.prior}, {len(recipe.temperatures)} epochs", flush=True)
    return [fit(recipe.model_copy(update={"seed": seed}), sets.known()).embeddings() for seed in range(seeds)]


def peers(params: BaselinesParams, sets: Sets, seeds: int) -> dict[str, list[Scorer]]:
    """Name -> the baselines on the rows of all types, one for each seed that changes them."""
    found: dict[str, list[Scorer]] = {}
    for seed in range(seeds):
        settings = only(params, (IALS,) if seed else PEERS).model_copy(update={"seed": seed})
        result = tuned(settings, sets.train, sets.validation, sets.item_type)
        for name, scorer in result.scorers.items():
            found.setdefault(name, []).append(scorer)
        for note in result.notes:
            print(note)
    return found


def values(scorer: Scorer, group: Group) -> NDArray[np.float64]:
    """[users, metrics] of METRICS."""
    ranked = rank_items(scorer, group.users, group.seen, max(k for _, k in METRICS), group.candidates)
    found = rank_metrics(ranked, group.relevant, sorted({k for _, k in METRICS}))
    return np.stack([found[metric] for metric in METRICS], axis=1)


def print_group(sides: Mapping[str, list[NDArray[np.float64]]]) -> None:
    """A table of the means with the spread over the seeds, and the help of the other types.

    Args:
      sides: name -> [users, metrics] of each seed.
    """
    print(f"| | {' | '.join(f'{name}@{k}' for name, k in METRICS)} |\n| --- |{' --- |' * len(METRICS)}")
    for name, runs in sides.items():
        means = np.array([of_run.mean(axis=0) for of_run in runs])
        figures = zip(means.mean(axis=0), means.std(axis=0), strict=True)
        print(f"| {name} | {' | '.join(f'{mean:.4f} ± {spread:.4f}' for mean, spread in figures)} |")
    for other in (WITHOUT, *PEERS):
        if other in sides:
            differences = np.mean(sides[MODEL], axis=0) - np.mean(sides[other], axis=0)
            interval = bootstrap_interval(differences, SAMPLES, 0)
            ends = zip(METRICS, differences.mean(axis=0), *interval, strict=True)
            texts = [f"{name}@{k} {mean:+.4f} ({low:+.4f} to {high:+.4f})" for (name, k), mean, low, high in ends]
            print(f"{MODEL} minus {other}: {', '.join(texts)}")
    print(flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3, help="number of seeds of the model and of iALS (default 3)")
    number = parser.parse_args().seeds
    params = without_features(TrainParams.load()).model_copy(update={"rating_weight": 0.0, "seed": 0})
    seed_everything(0, params.threads, params.device)
    print_machine(["tensorflow", "implicit", "numpy"], params.threads)
    sets = Sets(read_interactions(TRAIN), read_interactions(VALIDATION), read_item_types())
    test = read_interactions(TEST)
    scorers = {MODEL: models(params, sets, number), **peers(BaselinesParams.load(), sets, number)}
    for kind in np.unique(sets.item_type[test.item_index]):
        found = groups(sets, test, str(kind))
        # Without their rows in other types, users who have no others are shown the most popular items.
        has_own = set(found) != {OTHERS_ALONE}
        without = {WITHOUT: models(params, sets.of_type(str(kind)), number)} if has_own else {}
        for name, group in found.items():
            print(f"items of type {kind}, {len(group.users):,} users with known rows {name}")
            print_group({side: [values(one, group) for one in fits] for side, fits in (scorers | without).items()})


if __name__ == "__main__":
    main()
