"""Recall@20 and NDCG@20 on the later rows of a temporal split, of the model and of baselines fitted alike.

Run it in a folder in which the stages up to split have run with split.method: temporal, for instance a clone:
dvc exp run -S split.method=temporal split && python -m benchmarks.temporal
"""

import argparse
from collections.abc import Callable

import numpy as np

from benchmarks.common import Group, print_machine
from benchmarks.recommenders import two_tower
from towerline.artifacts.names import MODEL, MOST_POPULAR, RECENT_POPULAR
from towerline.artifacts.split import TEST, TRAIN, VALIDATION, Interactions, read_interactions
from towerline.artifacts.vocabulary import read_item_types
from towerline.baseline_models.params import BaselinesParams
from towerline.baseline_models.tuning import tuned
from towerline.features.reading import read_features
from towerline.ranking.fallback import cold_user_scorer
from towerline.ranking.scorers import Scorer, by_popularity
from towerline.training.fitting import seed_everything
from towerline.training.params import TrainParams

GROUPS = ("known", "known in train", "cold")


def groups(train: Interactions, known: Interactions, test: Interactions) -> dict[str, Group]:
    """The test users with known rows, those of them with training rows, and those without known rows."""
    in_train, is_known = (
        (np.bincount(rows.user_index, minlength=known.num_users + 1) > 0)[test.user_index] for rows in (train, known)
    )
    chosen = (is_known, in_train, ~is_known)
    return {name: Group.of_rows(known, test.where(rows)) for name, rows in zip(GROUPS, chosen, strict=True)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3, help="number of seeds of the model (default 3)")
    number = parser.parse_args().seeds
    params = TrainParams.load()
    seed_everything(0, params.threads, params.device)
    print_machine(["tensorflow", "implicit", "numpy"], params.threads)
    train, validation, test = map(read_interactions, (TRAIN, VALIDATION, TEST))
    known = Interactions.joined(train, validation)
    tables = read_features(params.user_features, params.item_features)
    group_of = groups(train, known, test)

    sides: dict[str, list[Callable[[], Scorer]]] = {
        MODEL: [lambda seed=seed: two_tower(params, seed, train, validation, tables) for seed in range(number)]  # type: ignore[misc]
    }
    order = [RECENT_POPULAR, MOST_POPULAR]
    popular = by_popularity(known)
    fitted = tuned(BaselinesParams.load(), train, validation, read_item_types()).scorers
    for name in sorted(fitted, key=lambda name: (name not in order, name)):
        sides[name] = [lambda name=name: fitted[name]]  # type: ignore[misc]
    titles = [f"{name} ({len(group.users):,})" for name, group in group_of.items()]
    print(f"| model | {' | '.join(titles)} |\n| --- |{' --- |' * len(titles)}")
    for name, makers in sides.items():
        scorers = [make() for make in makers]
        cells = []
        for title, group in group_of.items():
            shown = scorers
            if title == "cold" and name != MODEL:
                shown = [cold_user_scorer(name, scorer, popular) for scorer in scorers]
            values = np.array([group.measured(scorer) for scorer in shown])
            spread = [f" ± {value:.4f}" if len(scorers) > 1 else "" for value in values.std(axis=0)]
            cells.append(" / ".join(f"{value:.4f}{of}" for value, of in zip(values.mean(axis=0), spread, strict=True)))
        print(f"| {name} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
