"""Recall@20 and NDCG@20 on the test set of a published split, trained on the training and validation sets.

OPENBLAS_NUM_THREADS=1 python -m benchmarks.quality gowalla.npz (implicit asks for a BLAS with one thread)
"""

from collections.abc import Callable

import numpy as np

from benchmarks import recommenders
from benchmarks.common import arguments, measure, print_machine, read_data
from towerline.ranking.scorers import Embeddings
from towerline.training.fitting import seed_everything


def main() -> None:
    parser = arguments(__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3, help="how many seeds of each side (default 3)")
    parser.add_argument("--on-validation", action="store_true", help="train without validation and measure on it")
    given = parser.parse_args()
    data, threads = read_data(given.data), given.threads
    seed_everything(0, threads, "cpu")
    print_machine(["tensorflow", "irspack", "implicit", "numpy"], threads)
    train, held_out = data.train, data.test
    if given.on_validation:
        train, held_out = data.train_without_validation, data.validation
    sides: dict[str, Callable[[int], Embeddings]] = {
        "most popular": lambda seed: recommenders.popularity(train),
        "the tutorial, d 32": lambda seed: recommenders.tutorial(train, seed),
        "implicit ALS, d 64": lambda seed: recommenders.implicit_als(train, 64, 1.0, 6, threads, seed),
        "implicit ALS, d 128": lambda seed: recommenders.implicit_als(train, 128, 40.0, 6, threads, seed),
        "irspack iALS, d 64": lambda seed: recommenders.irspack_ials(train, 64, 4, threads, seed),
        "irspack iALS, d 256": lambda seed: recommenders.irspack_ials(train, 256, 6, threads, seed),
        "irspack iALS, d 512": lambda seed: recommenders.irspack_ials(train, 512, 6, threads, seed),
        "Towerline, d 64": lambda seed: recommenders.towerline(train, candidates=8192, seed=seed, threads=threads),
        "Towerline, d 256": lambda seed: recommenders.towerline(
            train,
            embedding_dimension=256,
            batch_size=256,
            learning_rate=0.4,
            candidates=8192,
            seed=seed,
            threads=threads,
        ),
    }
    if recommenders.ease_bytes(train) < 0.8 * recommenders.memory_bytes():
        sides["EASE"] = lambda seed: recommenders.ease(train, 300.0)
    else:
        print(f"EASE left out: it needs {recommenders.ease_bytes(train) / 1e9:.0f} GB of memory")
    print("| side | recall@20 | NDCG@20 |\n| --- | --- | --- |")
    for name, side in sides.items():
        measured = [measure(side(seed), train, held_out) for seed in range(given.seeds)]
        mean, spread = np.mean(measured, axis=0), np.std(measured, axis=0)
        cells = [f"{value:.4f} ± {deviation:.4f}" for value, deviation in zip(mean, spread, strict=True)]
        print(f"| {name} | {cells[0]} | {cells[1]} |", flush=True)


if __name__ == "__main__":
    main()
