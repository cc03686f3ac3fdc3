"""Recall@20 and NDCG@20 of new items, known items and new users: the model with features, without, and peers.

A second table has the leads of the model in NDCG@20, with intervals over the users.

Run it in a folder in which the stages up to split have run with split.method cold_items, cold_users or temporal, for
instance a clone: dvc exp run -S split.method=cold_items split && python -m benchmarks.cold_start
"""

import argparse
import itertools
from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from benchmarks.common import Group, print_machine
from benchmarks.recommenders import two_tower, without_features
from towerline.artifacts.names import MODEL
from towerline.artifacts.split import TEST, TRAIN, VALIDATION, Interactions, read_interactions
from towerline.features.encoder import Columns, encoded, of_ids
from towerline.features.encodings import Encoding, Values
from towerline.features.learning import learned_encodings
from towerline.features.reading import NO_FEATURES, FeatureTables, read_features
from towerline.metrics.uncertainty import bootstrap_interval
from towerline.metrics.validation import HeldOut
from towerline.ranking.scorers import Chance, Embeddings, Scorer, by_popularity
from towerline.ranking.user_items import UserItems
from towerline.training.fitting import seed_everything
from towerline.training.params import TrainParams

# Settings that LightFM tries: dimension, epochs, and the L2 penalty of all features.
LIGHTFM = ((32, 64, 128), (3, 10, 30), (0.0, 1e-5))
LIGHTFM_THREADS = 2
SAMPLES = 2000

# Group -> [users, 2] recall@20 and NDCG@20.
ByGroup = dict[str, NDArray[np.float64]]


def groups(known: Interactions, held_out: Interactions) -> dict[str, Group]:
    """The groups that have users.

    Args:
      known: the rows that a model is fitted to.
      held_out: the rows that it is measured on.
    """
    known_user = np.bincount(known.user_index, minlength=known.num_users + 1) > 0
    known_item = np.bincount(known.item_index, minlength=known.num_items + 1) > 0
    of_known_user = known_user[held_out.user_index]
    of_known_item = known_item[held_out.item_index]
    new = np.flatnonzero(~known_item)[1:].astype(np.int32)
    chosen: dict[str, tuple[NDArray[np.bool_], NDArray[np.int32] | None]] = {
        "new items, all ranked": (of_known_user & ~of_known_item, None),
        "new items among themselves": (of_known_user & ~of_known_item, new),
        "known items": (of_known_user & of_known_item, None),
        "known users, all items": (of_known_user, None),
        "new users": (~of_known_user, None),
    }
    found = {
        name: Group.of_rows(known, held_out.where(rows), candidates) for name, (rows, candidates) in chosen.items()
    }
    return {name: group for name, group in found.items() if len(group.users)}


def encodings_of(params: TrainParams, tables: FeatureTables, rows: Interactions) -> list[Encoding]:
    """The encodings of the item features, as the model learns them."""
    return list(learned_encodings(params.item_features, of_ids(tables.items, np.unique(rows.item_index))))


def by_feature(rows: Interactions, encoding: Encoding, columns: Columns, own: bool) -> Embeddings:
    """The mean number of rows of the known items with the same value, over an item's values.

    Args:
      rows: known rows.
      encoding: of the feature.
      columns: texts of all items.
      own: true if a known item is ranked by its own number of rows.
    """
    counts = np.bincount(rows.item_index, minlength=rows.num_items + 1).astype(np.float64)
    known = counts > 0
    has = encoded([encoding], columns, rows.num_items + 1)
    has.data[:] = 1
    means = (has[known].T @ counts[known]) / np.maximum(has[known].sum(axis=0), 1)
    scores = (has @ means) / np.maximum(has.sum(axis=1), 1)
    if own:
        scores[known] = counts[known]
    return Embeddings(np.ones((rows.num_users + 1, 1), np.float32), scores[:, None].astype(np.float32))


def lightfm(
    rows: Interactions, params: TrainParams, tables: FeatureTables, settings: tuple[int, int, float], seed: int
) -> Embeddings:
    """LightFM (Kula 2015) with the WARP loss, ids and the same features, as embeddings with its biases."""
    from lightfm import LightFM

    dimension, epochs, penalty = settings
    features = []
    for declared, columns, index, number in (
        (params.user_features, tables.users, rows.user_index, rows.num_users),
        (params.item_features, tables.items, rows.item_index, rows.num_items),
    ):
        encodings = learned_encodings(declared, of_ids(columns, np.unique(index)))
        ids = sparse.eye_array(number + 1, format="csr")
        both = sparse.csr_matrix(sparse.hstack([ids, encoded(encodings, columns, number + 1)]), dtype=np.float32)
        # LightFM reads 32-bit indices alone.
        both.indices, both.indptr = both.indices.astype(np.int32), both.indptr.astype(np.int32)
        features.append(both)
    ones = np.ones(len(rows.user_index), np.float32)
    shape = rows.num_users + 1, rows.num_items + 1
    pairs = sparse.coo_matrix((ones, (rows.user_index.copy(), rows.item_index.copy())), shape=shape)
    model = LightFM(dimension, loss="warp", item_alpha=penalty, user_alpha=penalty, random_state=seed)
    model.fit(pairs, *features, epochs=epochs, num_threads=LIGHTFM_THREADS)
    user_bias, users = model.get_user_representations(features[0])
    item_bias, items = model.get_item_representations(features[1])
    return Embeddings(
        np.concatenate([users, user_bias[:, None], np.ones((len(users), 1))], axis=1).astype(np.float32),
        np.concatenate([items, np.ones((len(items), 1)), item_bias[:, None]], axis=1).astype(np.float32),
    )


def tuned(
    make: Callable[[Interactions, int], Scorer], trials: int, sets: tuple[Interactions, Interactions, Interactions]
) -> ByGroup:
    """The metrics of a peer in each group, with the setting of the best NDCG on the validation set.

    It is that of all rows of known users, new items and known ones, as the search of the model measures it.

    Args:
      make: fits the setting of a number to rows.
      trials: number of settings.
      sets: training, validation and test set.
    """
    train, validation, test = sets
    known = Interactions.joined(train, validation)
    held_out = HeldOut(UserItems.of_interactions(train), UserItems.of_interactions(validation))
    values = [held_out.ndcg(make(train, trial)) for trial in range(trials)] if trials > 1 else [0.0]
    scorer = make(known, int(np.argmax(values)))
    return {name: group.values(scorer) for name, group in groups(known, test).items()}


def by_seed(
    params: TrainParams, tables: FeatureTables, sets: tuple[Interactions, Interactions, Interactions]
) -> Callable[[int], ByGroup]:
    """The metrics of the model in each group, by seed."""
    train, validation, test = sets
    known = Interactions.joined(train, validation)

    def measured(seed: int) -> ByGroup:
        embeddings = two_tower(params, seed, train, validation, tables)
        return {name: group.values(embeddings) for name, group in groups(known, test).items()}

    return measured


def peers(
    params: TrainParams, tables: FeatureTables, sets: tuple[Interactions, Interactions, Interactions]
) -> Mapping[str, Callable[[int], ByGroup]]:
    """Name -> metrics of a peer by seed."""
    settings = list(itertools.product(*LIGHTFM))
    sides: dict[str, Callable[[int], ByGroup]] = {
        "LightFM, the same features": lambda seed: tuned(
            lambda rows, trial: lightfm(rows, params, tables, settings[trial], seed), len(settings), sets
        )
    }
    for encoding in encodings_of(params, tables, sets[0]):
        if isinstance(encoding, Values):
            sides[f"popularity by {encoding.column}"] = lambda seed, encoding=encoding: tuned(  # type: ignore[misc]
                lambda rows, trial: by_feature(rows, encoding, tables.items, own=trial == 0), 2, sets
            )
    sides["most popular"] = lambda seed: tuned(lambda rows, trial: by_popularity(rows), 1, sets)
    sides["random"] = lambda seed: tuned(
        lambda rows, trial: Chance(np.array(seed), np.array(rows.num_items + 1)), 1, sets
    )
    return sides


def cell(values: NDArray[np.float64]) -> str:
    """Mean and standard deviation over seeds of [seeds, users, 2] recall@20 and NDCG@20."""
    of_seeds = values.mean(axis=1)
    figures = zip(of_seeds.mean(axis=0), of_seeds.std(axis=0), strict=True)
    return " / ".join(f"{mean:.4f} ± {spread:.4f}" for mean, spread in figures)


def lead(differences: NDArray[np.float64]) -> str:
    """Mean over users of [users] differences, with its 95 % interval."""
    (low,), (high,) = bootstrap_interval(differences[:, None], SAMPLES, seed=0)
    return f"{differences.mean():+.4f} ({low:+.4f} to {high:+.4f})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3, help="number of seeds of each side (default 3)")
    number = parser.parse_args().seeds
    params = TrainParams.load()
    seed_everything(0, params.threads, params.device)
    print_machine(["tensorflow", "lightfm-next", "numpy"], params.threads)
    tables = read_features(params.user_features, params.item_features)
    train, validation, test = map(read_interactions, (TRAIN, VALIDATION, TEST))
    sets = train, validation, test
    without = without_features(params)
    found = groups(Interactions.joined(train, validation), test)
    print(f"| model | {' | '.join(f'{name} ({len(group.users):,})' for name, group in found.items())} |")
    print(f"| --- |{' --- |' * len(found)}")
    sides = {
        MODEL: by_seed(params, tables, sets),
        f"{MODEL} without features": by_seed(without, NO_FEATURES, sets),
        **peers(params, tables, sets),
    }
    ndcg: dict[str, Mapping[str, NDArray[np.float64]]] = {}
    for name, side in sides.items():
        runs = [side(seed) for seed in range(number)]
        values = {group: np.array([of_run[group] for of_run in runs]) for group in found}
        print(f"| {name} | {' | '.join(map(cell, values.values()))} |", flush=True)
        ndcg[name] = {group: of_group[:, :, 1].mean(axis=0) for group, of_group in values.items()}
    print(f"\n| lead over | {' | '.join(found)} |\n| --- |{' --- |' * len(found)}")
    for name in list(sides)[1:]:
        print(f"| {name} | {' | '.join(lead(ndcg[MODEL][group] - ndcg[name][group]) for group in found)} |")


if __name__ == "__main__":
    main()
