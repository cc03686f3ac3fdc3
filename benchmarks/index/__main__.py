"""Approximate inner product search by several libraries: recall, build, memory, file, speed, repeatability.

taskset -c 0 python -m benchmarks.index --count 1000000
taskset -c 0 python -m benchmarks.index --items items.npy --queries queries.npy

Every library and setting is built in one process and searched in another, with one thread. The libraries:
`pip install faiss-cpu hnswlib usearch scann`.
"""

import argparse
import filecmp
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from benchmarks.common import print_machine
from benchmarks.index.candidates import candidates
from benchmarks.index.made_up import made_up
from benchmarks.index.measuring import SINGLE_QUERIES, build_alone, exact, search_alone, speed
from benchmarks.index.sides import Floats, K

REPEAT_ITEMS = 50_000
LIBRARIES = ("faiss-cpu", "hnswlib", "usearch", "scann", "numpy")
COLUMNS = (
    *("side", "effort", f"recall@{K}", "queries/s", "ms a query"),
    *("build s", "peak MB", "file MB", "load ms", "same bytes"),
)


def in_process(step: str, name: str, folder: Path, path: Path) -> Any:
    """Result of a step for a candidate, run in a fresh process with one thread."""
    command = [sys.executable, "-m", "benchmarks.index", "--step", step, "--name", name, "--folder", str(folder)]
    threads = dict.fromkeys(["OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"], "1")
    done = subprocess.run(
        [*command, "--path", str(path)], env=os.environ | threads, stdout=subprocess.PIPE, text=True, check=True
    )
    return json.loads(done.stdout.splitlines()[-1])


def same_bytes(name: str, folder: Path) -> bool:
    """Returns True if two processes build the same file of the first REPEAT_ITEMS items."""
    first, second = folder / "first", folder / "second"
    for path in (first, second):
        # ScaNN writes its path into its file.
        in_process("build", name, folder, folder / "index")
        (folder / "index").rename(path)
    if first.is_file():
        return filecmp.cmp(first, second, shallow=False)
    names = sorted(path.name for path in first.iterdir())
    return filecmp.cmpfiles(first, second, names, shallow=False)[0] == names


def print_rows(name: str, folder: Path) -> None:
    path = folder / "index"
    built = in_process("build", name, folder, path)
    result = in_process("search", name, folder, path)
    with tempfile.TemporaryDirectory() as few:
        np.save(Path(few) / "items.npy", np.load(folder / "items.npy", mmap_mode="r")[:REPEAT_ITEMS])
        same = "yes" if same_bytes(name, Path(few)) else "no"
    cost = f"{built['seconds']:.0f} | {built['peak'] / 1e6:,.0f} | {built['size'] / 1e6:,.0f}"
    for row in result["efforts"]:
        speeds = f"{row['recall']:.3f} | {row['batch']:,.0f} | {row['single']:.2f}"
        print(f"| {name} | {row['effort']} | {speeds} | {cost} | {1000 * result['load']:,.0f} | {same} |", flush=True)
    shutil.rmtree(path) if path.is_dir() else path.unlink()


def print_table(folder: Path, items: Floats, queries: Floats, chosen: str) -> None:
    np.save(folder / "items.npy", items)
    np.save(folder / "queries.npy", queries)
    with threadpool_limits(limits=1):
        np.save(folder / "exact.npy", exact(items, queries, K))
        timed = speed(lambda asked: exact(items, asked, K), queries)
    print(f"| {' | '.join(COLUMNS)} |")
    print(f"|{' --- |' * len(COLUMNS)}")
    print(f"| exact | | 1 | {timed['batch']:,.0f} | {timed['single']:.2f} | | | | | |", flush=True)
    for name in candidates(len(items)):
        if re.search(chosen, name):
            print_rows(name, folder)


def step(name: str, folder: Path, path: Path, what: str) -> dict[str, Any]:
    """Runs the step that in_process() asks for."""
    count = len(np.load(folder / "items.npy", mmap_mode="r"))
    make, efforts = candidates(count)[name]
    return build_alone(make(), folder, path) if what == "build" else search_alone(make(), folder, path, efforts)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=1_000_000, help="made-up items (default 1,000,000)")
    parser.add_argument("--items", type=Path, help="a .npy file, [items, d] float32, instead of made-up ones")
    parser.add_argument("--queries", type=Path, help=f"a .npy file, [{SINGLE_QUERIES} or more, d] float32")
    parser.add_argument("--name", default="", help="only the sides whose name matches this expression")
    for inner in ("--step", "--folder", "--path"):
        parser.add_argument(inner, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.step:
        print(json.dumps(step(given.name, Path(given.folder), Path(given.path), given.step)))
        return
    items, queries = (np.load(given.items), np.load(given.queries)) if given.items else made_up(given.count, seed=0)
    print_machine(LIBRARIES, 1)
    with tempfile.TemporaryDirectory() as folder:
        print_table(Path(folder), items, queries, given.name)


if __name__ == "__main__":
    main()
