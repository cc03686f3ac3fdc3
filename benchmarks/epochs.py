"""Seconds of an epoch, and memory, of the training on made-up rows, on one worker or several of this machine.

python -m benchmarks.epochs --rows 1_000_000 [--users N] [--items N] [--dimension 128] [--batch-size N] [--workers 1]
                            [--threads 2] [--files]
"""

import argparse
import json
import multiprocessing
import os
import re
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa

from benchmarks.common import print_machine
from benchmarks.generated import ROWS_A_USER, ROWS_AN_ITEM, skewed
from towerline.artifacts.split import read_joined
from towerline.pipeline import formats
from towerline.training.memory import training_bytes
from towerline.training.params import TrainParams

# The first epoch contains the compilation of the step.
EPOCHS = 3


def write_split(path: Path, rows: int, num_users: int, num_items: int) -> None:
    """Writes a training set of made-up pairs in the order of split, no pair twice."""
    draw = np.random.default_rng(1)
    keys = np.unique(skewed(draw, rows, num_users) * num_items + skewed(draw, rows, num_items))
    user, item = np.divmod(keys, num_items)
    table = pa.table({"user_index": pa.array(user + 1, pa.int32()), "item_index": pa.array(item + 1, pa.int32())})
    sizes = {"num_users": num_users, "num_items": num_items}
    formats.write_parquet(path, table.schema, table.to_batches(), sizes)


def start_followers(options: argparse.Namespace, path: Path) -> list["subprocess.Popen[bytes]"]:
    """Starts the other workers, and makes this process the first one."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(options.workers)]
        addresses = [f"127.0.0.1:{one.getsockname()[1]}" for one in sockets]
    configs = [
        json.dumps({"cluster": {"worker": addresses}, "task": {"type": "worker", "index": index}})
        for index in range(options.workers)
    ]
    os.environ["TF_CONFIG"] = configs[0]
    command = [sys.executable, "-m", "benchmarks.epochs", *sys.argv[1:], "--follow", str(path)]
    return [subprocess.Popen(command, env=os.environ | {"TF_CONFIG": config}) for config in configs[1:]]


def gigabytes(name: str) -> float:
    """A number of /proc/self/status, such as VmHWM, the peak of the memory, or RssAnon, what is not of files now."""
    (kilobytes,) = re.findall(rf"^{name}:\s+(\d+) kB", Path("/proc/self/status").read_text(), re.M)
    return 1024 * int(kilobytes) / 1e9


@contextmanager
def sampled(name: str) -> Iterator[list[float]]:
    """Yields a list whose last number is the largest of gigabytes() during the block."""
    found, done = [0.0], threading.Event()

    def sample() -> None:
        while not done.wait(0.01):
            found.append(max(found[-1], gigabytes(name)))

    thread = threading.Thread(target=sample)
    thread.start()
    try:
        yield found
    finally:
        done.set()
        thread.join()


def lead(settings: TrainParams, path: Path, folder: Path | None) -> None:
    """Trains some epochs and prints what they take.

    Args:
      settings: the settings.
      path: the training set.
      folder: where files have the rows; None for memory.
    """
    from towerline.training.fitting import Run, Training
    from towerline.training.workers import Workers

    workers = Workers.of_strategy(settings.strategy)
    start = time.perf_counter()
    rows = read_joined([path], folder)
    print(f"reading: {time.perf_counter() - start:.1f} s")
    start = time.perf_counter()
    training = Training(settings, rows, None, run=Run(workers, None))
    print(
        f"{rows.num_users:,} users, {rows.num_items:,} items, {len(rows.user_index):,} rows, {workers.number} workers"
    )
    print(f"batches of {training.batches.batch_size} users")
    print(f"initial vectors: {time.perf_counter() - start:.1f} s", flush=True)
    for number in range(1, EPOCHS + 1):
        start = time.perf_counter()
        training.steps.epoch(0.15)
        print(f"epoch {number}: {time.perf_counter() - start:.1f} s", flush=True)
    training.steps.end()
    workers.dismiss()
    stated = training_bytes(settings, rows.num_users, rows.num_items, len(rows.user_index), folder is not None) / 1e9
    peak = gigabytes("VmHWM")
    print(f"peak memory: {peak:.2f} GB without validation and checkpoints; stated with them: {stated:.2f} GB")


def follow(settings: TrainParams, path: Path) -> None:
    """Takes part in the training."""
    from towerline.training import steps
    from towerline.training.shards import read_shard
    from towerline.training.workers import Workers

    workers = Workers.of_strategy(settings.strategy)
    steps.follow(workers, partial(read_shard, [path], workers=workers))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, required=True)
    parser.add_argument("--users", type=int, help=f"number of users (default rows / {ROWS_A_USER})")
    parser.add_argument("--items", type=int, help=f"number of items (default rows / {ROWS_AN_ITEM})")
    parser.add_argument("--files", action="store_true", help="rows in files, whatever memory is free")
    parser.add_argument("--dimension", type=int, default=128)
    parser.add_argument("--batch-size", type=int, help="users of a step, of all workers (default as in params.yaml)")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--threads", type=int, default=2, help="of each worker (default 2)")
    parser.add_argument("--follow", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    strategy = "single" if options.workers == 1 else "multi_worker"
    changes = {
        "embedding_dimension": options.dimension,
        "batch_size": options.batch_size,
        "threads": options.threads,
        "strategy": strategy,
        "rating_weight": 0.0,
        "item_features": {},
        "epochs": EPOCHS,
    }
    settings = TrainParams(**(TrainParams.load().model_dump() | changes))
    from towerline.training.fitting import seed_everything

    seed_everything(settings.seed, settings.threads, settings.device)
    if options.follow is not None:
        follow(settings, options.follow)
        return
    print_machine(["tensorflow", "numpy"], options.threads)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "train.parquet"
        sizes = options.users or options.rows // ROWS_A_USER, options.items or options.rows // ROWS_AN_ITEM
        # In a process of its own, so that the peak is that of the training.
        making = multiprocessing.get_context("spawn").Process(target=write_split, args=(path, options.rows, *sizes))
        making.start()
        making.join()
        followers = start_followers(options, path) if options.workers > 1 else []
        with sampled("RssAnon") as anonymous:
            lead(settings, path, Path(folder) if options.files else None)
        print(f"peak of the memory that is not of files: {anonymous[-1]:.2f} GB")
        for follower in followers:
            follower.wait()


if __name__ == "__main__":
    main()
