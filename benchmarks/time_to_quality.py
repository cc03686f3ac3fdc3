"""Seconds from arrays in memory to finished embeddings, and their recall@20 on the test set, against iALS.

python -m benchmarks.time_to_quality gowalla.npz --picture benchmarks/time_to_quality.png
"""

import time
from collections import defaultdict
from pathlib import Path
from typing import NamedTuple

import numpy as np

from benchmarks import recommenders
from benchmarks.common import arguments, measure, print_machine, read_data
from towerline.artifacts.split import Interactions
from towerline.ranking.scorers import Embeddings
from towerline.training.fitting import seed_everything

# Towerline: dimension and epochs; irspack: dimension and iterations.
RUNS = [
    ("Towerline", 64, 3),
    ("irspack iALS", 128, 6),
    ("Towerline", 64, 5),
    ("irspack iALS", 256, 4),
    ("Towerline", 128, 4),
    ("irspack iALS", 256, 6),
    ("Towerline", 128, 6),
    ("irspack iALS", 512, 4),
    ("Towerline", 256, 4),
    ("irspack iALS", 512, 6),
]


class Point(NamedTuple):
    seconds: float
    recall: float


def embeddings_of(side: str, dimension: int, passes: int, train: Interactions, threads: int) -> Embeddings:
    if side == "irspack iALS":
        return recommenders.irspack_ials(train, dimension, passes, threads)
    fast = {"batch_size": 512, "learning_rate": 0.5, "candidates": 4096}
    return recommenders.towerline(train, embedding_dimension=dimension, epochs=passes, threads=threads, **fast)


def draw(points: dict[str, list[Point]], path: Path) -> None:
    import matplotlib as mpl

    mpl.use("agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(7, 4))
    for side, curve in points.items():
        ordered = sorted(curve)
        axes.plot([point.seconds for point in ordered], [point.recall for point in ordered], "o-", label=side)
    axes.set(xlabel="seconds from arrays in memory to embeddings", ylabel="recall@20", xscale="log")
    axes.legend()
    axes.grid(alpha=0.3, which="both")
    figure.tight_layout()
    figure.savefig(path, dpi=110, metadata={"Software": ""})


def main() -> None:
    parser = arguments(__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3, help="how often each run is timed, in turn (default 3)")
    parser.add_argument("--picture", type=Path, help="a PNG file to draw the curves to")
    given = parser.parse_args()
    data = read_data(given.data)
    seed_everything(0, given.threads, "cpu")
    print_machine(["tensorflow", "irspack", "numpy"], given.threads)
    # Work that a process does once, such as loading libraries, is not measured.
    for side in ("Towerline", "irspack iALS"):
        embeddings_of(side, 8, 1, data.train, given.threads)
    seconds: dict[tuple[str, int, int], list[float]] = defaultdict(list)
    recall: dict[tuple[str, int, int], float] = {}
    for _ in range(given.rounds):
        for run in RUNS:
            start = time.perf_counter()
            embeddings = embeddings_of(*run, data.train, given.threads)
            seconds[run].append(time.perf_counter() - start)
            if run not in recall:
                recall[run] = measure(embeddings, data.train, data.test)[0]
    print("| side | d | passes | seconds: least, median, most | recall@20 |\n| --- | --- | --- | --- | --- |")
    points: dict[str, list[Point]] = defaultdict(list)
    for run, times in sorted(seconds.items()):
        shown = ", ".join(f"{value:.1f}" for value in (min(times), np.median(times), max(times)))
        print(f"| {run[0]} | {run[1]} | {run[2]} | {shown} | {recall[run]:.4f} |", flush=True)
        points[run[0]].append(Point(float(np.median(times)), recall[run]))
    if given.picture:
        draw(points, given.picture)


if __name__ == "__main__":
    main()
