"""Recall@20 and NDCG@20 on the later rows of a temporal split, of the model and of baselines fitted alike.

Run it in a folder in which the stages up to split have run with split.method: temporal, for instance a clone:
dvc exp run -S split.method=temporal split && python -m benchmarks.temporal
"""

import argparse
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from benchmarks.common import print_machine
from towerline.artifacts.names import MAIN_CUTOFF, MODEL, MOST_POPULAR, RECENT_POPULAR
from towerline.artifacts.split import TEST, TRAIN, VALIDATION, Interactions, read_interactions
from towerline.artifacts.vocabulary import read_item_types
from towerline.baseline_models.params import BaselinesParams
from towerline.baseline_models.tuning import tuned
from towerline.metrics.ranking import rank_metrics
from towerline.ranking.fallback import cold_user_scorer
from towerline.ranking.scorers import Embeddings, Scorer, by_popularity
from towerline.ranking.top_k import rank_items
from towerline.ranking.user_items import UserItems
from towerline.training.fitting import fit, seed_everything
from towerline.training.params import TrainParams
from towerline.training.search import search

GROUPS = ("known", "known in train", "cold")


def groups(train: Interactions, known: Interactions, test: Interactions) -> dict[str, NDArray[np.int32]]:
    """The test users with known rows, those of them with training rows, and those without known rows."""
    tested, in_train, is_known = (
        np.bincount(rows.user_index, minlength=known.num_users + 1) > 0 for rows in (test, train, known)
    )
    chosen = (tested & is_known, tested & in_train, tested & ~is_known)
    return {name: np.flatnonzero(users).astype(np.int32) for name, users in zip(GROUPS, chosen, strict=True)}


def measured(scorer: Scorer, users: NDArray[np.int32], known: Interactions, test: Interactions) -> tuple[float, float]:
    """Mean recall and NDCG over the users, the whole catalogue ranked, known items of a user left out."""
    relevant, seen = UserItems.of_interactions(test).of_users(users), UserItems.of_interactions(known).of_users(users)
    values = rank_metrics(rank_items(scorer, users, seen, MAIN_CUTOFF), relevant, [MAIN_CUTOFF])
    return float(values["recall", MAIN_CUTOFF].mean()), float(values["ndcg", MAIN_CUTOFF].mean())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3, help="number of seeds of the model (default 3)")
    number = parser.parse_args().seeds
    params = TrainParams.load()
    seed_everything(0, params.threads)
    print_machine(["tensorflow", "implicit", "numpy"], params.threads)
    train, validation, test = map(read_interactions, (TRAIN, VALIDATION, TEST))
    known = Interactions.joined(train, validation)
    users_of = groups(train, known, test)

    def two_tower(seed: int) -> Embeddings:
        settings = params.model_copy(update={"seed": seed, "rating_weight": 0.0})
        recipe = search(settings.given(), settings, train, validation).recipe
        print(f"seed {seed}: {recipe.prior}, {len(recipe.temperatures)} epochs", flush=True)
        return fit(recipe, known).embeddings()

    sides: dict[str, list[Callable[[], Scorer]]] = {
        MODEL: [lambda seed=seed: two_tower(seed) for seed in range(number)]  # type: ignore[misc]
    }
    order = [RECENT_POPULAR, MOST_POPULAR]
    popular = by_popularity(known)
    fitted = tuned(BaselinesParams.load(), train, validation, read_item_types()).scorers
    for name in sorted(fitted, key=lambda name: (name not in order, name)):
        sides[name] = [lambda name=name: fitted[name]]  # type: ignore[misc]
    titles = [f"{name} ({len(users):,})" for name, users in users_of.items()]
    print(f"| model | {' | '.join(titles)} |\n| --- |{' --- |' * len(titles)}")
    for name, makers in sides.items():
        scorers = [make() for make in makers]
        cells = []
        for group, users in users_of.items():
            shown = scorers
            if group == "cold" and name != MODEL:
                shown = [cold_user_scorer(name, scorer, popular) for scorer in scorers]
            values = np.array([measured(scorer, users, known, test) for scorer in shown])
            spread = [f" ± {value:.4f}" if len(scorers) > 1 else "" for value in values.std(axis=0)]
            cells.append(" / ".join(f"{value:.4f}{of}" for value, of in zip(values.mean(axis=0), spread, strict=True)))
        print(f"| {name} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
