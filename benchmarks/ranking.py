"""Exact top-100 of every user over the whole catalogue, seen items left out: users a second, and extra memory.

taskset -c 0 python -m benchmarks.ranking gowalla.npz --threads 1
"""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from benchmarks.common import arguments, print_machine, read_data
from towerline.ranking.scorers import Embeddings
from towerline.ranking.top_k import rank_items
from towerline.ranking.user_items import UserItems
from towerline.training.spectral import spectral_start

DIMENSION, K, ROWS = 64, 100, 256


def argpartition(embeddings: Embeddings, users: NDArray[np.int32], seen: UserItems) -> NDArray[np.int32]:
    """The usual program with NumPy alone, in blocks of ROWS users."""
    blocks = []
    for start in range(0, len(users), ROWS):
        scores = embeddings.scores(users[start : start + ROWS], slice(None))
        rows = seen.of_users(np.arange(start, start + len(scores), dtype=np.int32))
        scores[rows.rows(), rows.items] = -np.inf
        best = np.argpartition(-scores, K, axis=1)[:, :K]
        order = np.argsort(-np.take_along_axis(scores, best, axis=1), axis=1)
        blocks.append(np.take_along_axis(best, order, axis=1).astype(np.int32))
    return np.concatenate(blocks)


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


def extra_bytes(work: Callable[[], object]) -> int:
    """Largest growth of the process during the work, in bytes."""
    before = peak = resident_bytes()
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(work)
        while not running.done():
            peak = max(peak, resident_bytes())
            time.sleep(0.002)
        running.result()
    return peak - before


def main() -> None:
    parser = arguments(__doc__.splitlines()[0])
    given = parser.parse_args()
    train = read_data(given.data).train
    print_machine(["numpy"], given.threads)
    history = UserItems.of_interactions(train)
    embeddings = Embeddings(*spectral_start(history.matrix(train.num_items + 1), DIMENSION, seed=0))
    users = np.flatnonzero(history.counts()).astype(np.int32)
    seen = history.of_users(users)
    sides: dict[str, Callable[[], object]] = {
        "Towerline": lambda: rank_items(embeddings, users, seen, K),
        "NumPy argpartition": lambda: argpartition(embeddings, users, seen),
    }
    print("| side | users a second: least, median, most | extra MB |\n| --- | --- | --- |")
    for name, side in sides.items():
        times = []
        for _ in range(5):
            start = time.perf_counter()
            with threadpool_limits(limits=given.threads, user_api="blas"):
                side()
            times.append(len(users) / (time.perf_counter() - start))
        shown = ", ".join(f"{value:,.0f}" for value in (min(times), np.median(times), max(times)))
        print(f"| {name} | {shown} | {extra_bytes(side) / 1e6:.0f} |", flush=True)


if __name__ == "__main__":
    main()
