"""Training examples a second over dimension and batch size, and of the matrix products alone (the floor).

python -m benchmarks.throughput gowalla.npz
"""

import time
from typing import Any

from benchmarks import recommenders
from benchmarks.common import arguments, print_machine, read_data
from benchmarks.recommenders import TOWERLINE
from towerline.artifacts.split import Interactions
from towerline.towers import tf
from towerline.training.fitting import Training, seed_everything
from towerline.training.params import TrainParams

DIMENSIONS = (32, 64, 128, 256)
BATCH_SIZES = (128, 512)
TUTORIAL_STEPS = 3


def towerline(train: Interactions, dimension: int, batch_size: int, threads: int) -> float:
    """Training rows a second, over one epoch after a warm-up."""
    changes = {"embedding_dimension": dimension, "batch_size": batch_size, "threads": threads}
    training = Training(TrainParams(**(TOWERLINE | changes)), train, None)
    batches = list(training.batches.epoch(training.steps.random))
    training.steps.step(batches[0])
    start = time.perf_counter()
    for batch in batches:
        training.steps.step(batch)
    return len(train.user_index) / (time.perf_counter() - start)


def floor(train: Interactions, dimension: int, batch_size: int) -> float:
    """Rows a second if a step were its three matrix products alone."""
    users, items = tf.random.normal([batch_size, dimension]), tf.random.normal([TOWERLINE["candidates"], dimension])

    @tf.function
    def products() -> Any:
        logits = tf.matmul(users, items, transpose_b=True)
        return tf.reduce_sum(tf.matmul(logits, items)) + tf.reduce_sum(tf.matmul(logits, users, transpose_a=True))

    products()
    repeats = 50
    start = time.perf_counter()
    for _ in range(repeats):
        products()
    steps = train.num_users / batch_size
    return len(train.user_index) / ((time.perf_counter() - start) / repeats * steps)


def tutorial(train: Interactions, with_metric: bool) -> float:
    """Rows a second of the tutorial's recipe in training."""
    model = recommenders.tutorial_model(train, with_metric)
    rows = recommenders.TUTORIAL_BATCH * (1 if with_metric else TUTORIAL_STEPS)
    pairs = (train.user_index[:rows], train.item_index[:rows])
    data = tf.data.Dataset.from_tensor_slices(pairs).batch(recommenders.TUTORIAL_BATCH).cache()
    # The first step builds the graph.
    model.fit(data.take(1), epochs=1, verbose=0)
    start = time.perf_counter()
    model.fit(data, epochs=1, verbose=0)
    return rows / (time.perf_counter() - start)


def main() -> None:
    parser = arguments(__doc__.splitlines()[0])
    given = parser.parse_args()
    train = read_data(given.data).train
    seed_everything(0, given.threads, "cpu")
    print_machine(["tensorflow", "tensorflow-recommenders"], given.threads)
    print("| side | d | batch | examples a second | floor |\n| --- | --- | --- | --- | --- |")
    for dimension in DIMENSIONS:
        for batch_size in BATCH_SIZES:
            speed = towerline(train, dimension, batch_size, given.threads)
            most = floor(train, dimension, batch_size)
            print(f"| Towerline | {dimension} | {batch_size} users | {speed:,.0f} | {most:,.0f} |", flush=True)
    print(f"| the tutorial, no metric | 32 | 8192 rows | {tutorial(train, with_metric=False):,.0f} | |", flush=True)
    print(f"| the tutorial | 32 | 8192 rows | {tutorial(train, with_metric=True):,.0f} | |", flush=True)


if __name__ == "__main__":
    main()
