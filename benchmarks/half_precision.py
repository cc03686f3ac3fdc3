"""What float16 embeddings cost: recall on the test set, changed lists, bytes, and seconds of serving.

Run it in a folder in which the pipeline has run, with export.dtype float32, for instance a clone:
dvc repro && python -m benchmarks.half_precision
"""

import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

import towerline
from benchmarks.common import CUTOFF, Group, print_machine
from towerline.artifacts.split import TEST, TRAIN, VALIDATION, Interactions, read_interactions
from towerline.artifacts.train import TWO_TOWER, read_embeddings
from towerline.exports import layout
from towerline.exports.layout import EXPORTS
from towerline.metrics.uncertainty import bootstrap_interval
from towerline.ranking.embedding import directions, prior_terms
from towerline.ranking.scorers import Embeddings
from towerline.serving import releases
from towerline.serving.extension import write_export

SAMPLES, SEED = 1000, 0
LISTS = (20, 100)
USERS_TIMED = 1000


def print_quality() -> None:
    """Recall and NDCG of the measured model over the test users, and their difference with rounded embeddings."""
    train, validation, test = map(read_interactions, (TRAIN, VALIDATION, TEST))
    exact = Embeddings(
        read_embeddings(TWO_TOWER.user_embeddings, test.num_users),
        read_embeddings(TWO_TOWER.item_embeddings, test.num_items),
    )
    rounded = Embeddings(*(table.astype(np.float16).astype(np.float32) for table in exact))
    group = Group.of_rows(Interactions.joined(train, validation), test)
    of_exact, of_rounded = group.values(exact), group.values(rounded)
    interval = bootstrap_interval(of_rounded - of_exact, SAMPLES, SEED)
    print(f"| {len(group.users):,} test users | float32 | float16 | difference |\n| --- | --- | --- | --- |")
    for column, metric in enumerate((f"recall@{CUTOFF}", f"NDCG@{CUTOFF}")):
        means = of_exact[:, column].mean(), of_rounded[:, column].mean()
        ends = f"{interval.low[column]:+.6f} to {interval.high[column]:+.6f}"
        print(f"| {metric} | {means[0]:.5f} | {means[1]:.5f} | {means[1] - means[0]:+.6f} ({ends}) |")
    for name, part in (("cosines' vectors", directions), ("terms of the prior", prior_terms)):
        largest = max(float(np.abs(part(table)).max()) for table in exact)
        error = max(float(np.abs(part(one) - part(other)).max()) for one, other in zip(exact, rounded, strict=True))
        print(f"{name}: at most {largest:.3f}, rounded by at most {error:.6f}")


def lists(recommender: towerline.Recommender, k: int) -> list[set[Any]]:
    """The first k items of each user."""
    users = recommender.exported.user_ids.to_pylist()
    return [{(item.item_type, item.item_id) for item in best} for best in recommender.recommend_batch(users, k)]


def print_overlap(exact: towerline.Recommender, rounded: towerline.Recommender) -> None:
    """The share of the first items of all users that both exports recommend."""
    for k in LISTS:
        pairs = zip(lists(exact, k), lists(rounded, k), strict=True)
        shares = np.array([len(one & other) / max(1, len(one)) for one, other in pairs])
        whole = (shares == 1).mean()
        print(f"first {k} items of {len(shares):,} users: {shares.mean():.5f} the same, {whole:.4f} whole lists")


def seconds(act: Callable[[], object]) -> float:
    start = time.process_time()
    act()
    return time.process_time() - start


def print_serving(name: str, folder: Path) -> towerline.Recommender:
    """Bytes of the embeddings' files, and CPU seconds of 1,000 users: single, at once, and similar users."""
    recommender = towerline.open(folder)
    tables = [folder / recommender.version / name for name in (layout.USERS, layout.ITEMS)]
    sizes = [sum(table.with_suffix(suffix).stat().st_size for table in tables) for suffix in (".npy", ".parquet")]
    ids = recommender.exported.user_ids
    users = [ids[int(row)].as_py() for row in np.linspace(0, len(ids) - 1, USERS_TIMED)]
    recommender.recommend(users[0])
    acts: Sequence[Callable[[], object]] = (
        lambda: [recommender.recommend(user) for user in users],
        lambda: recommender.recommend_batch(users, 100),
        lambda: recommender.similar_users_batch(users),
    )
    cells = [*(f"{size / 1e6:.1f}" for size in sizes), *(f"{seconds(act):.2f}" for act in acts)]
    print(f"| {name} | {' | '.join(cells)} |", flush=True)
    return recommender


def main() -> None:
    print_machine(["numpy"], 2)
    print_quality()
    exported = towerline.open(EXPORTS).exported
    tables = {name: getattr(exported, name).astype(np.float16) for name in ("user_embeddings", "item_embeddings")}
    print("| embeddings | .npy, MB | .parquet, MB | one by one, s | k 100 at once, s | similar users, s |")
    print("| --- | --- | --- | --- | --- | --- |")
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        write_export(place / "rounded", exported._replace(**tables))
        releases.release(EXPORTS, place / "float32")
        releases.release(place / "rounded", place / "float16")
        exact, rounded = (print_serving(name, place / name) for name in ("float32", "float16"))
        print_overlap(exact, rounded)


if __name__ == "__main__":
    main()
