"""Cost of serving: the first answer, recommendations for all users from a release, and memory besides the embeddings.

python -m benchmarks.serving exports
python -m benchmarks.serving --users 1000000 --items 40981 --dimension 64
"""

import argparse
import multiprocessing
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from benchmarks.common import print_machine
from towerline.exports import layout, manifest
from towerline.exports.manifest import Sizes
from towerline.exports.precision import Tables
from towerline.exports.writing import Content, write_content, write_seen
from towerline.ranking.embedding import PRIOR_DIMENSIONS
from towerline.ranking.user_items import UserItems

SEEN_A_USER = 50
FIRST_ANSWERS = 10


def made_up(folder: Path, num_users: int, num_items: int, dimension: int) -> None:
    """An export of random vectors, which cost as much as trained ones."""
    draw = np.random.default_rng(0)

    def unit(rows: int, last: NDArray[np.float32]) -> NDArray[np.float32]:
        vectors = draw.standard_normal((rows, dimension), np.float32)
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        return np.column_stack([vectors, last])

    prior = 0.1 * np.log(draw.zipf(1.5, num_items).clip(max=100_000)).astype(np.float32)
    embeddings = Tables(unit(num_users, np.ones(num_users, np.float32)), unit(num_items, prior))
    seen = np.sort(draw.integers(num_items, size=(num_users, SEEN_A_USER), dtype=np.int32), axis=1)
    starts = np.arange(num_users + 1, dtype=np.int64) * SEEN_A_USER
    users = pa.table({"user_id": [f"{row:08d}" for row in range(num_users)]})
    item_ids = pa.array([f"{row:08d}" for row in range(num_items)])
    items = pa.table({"item_type": pa.repeat("item", num_items), "item_id": item_ids, "title": item_ids})
    write_content(folder, Content(users, items, embeddings, {}, {}, {}), csv=False)
    write_seen(folder, UserItems(starts, seen.ravel()))
    manifest.write(folder, Sizes(num_users, num_items, dimension + PRIOR_DIMENSIONS, num_users), 0.2)


def timed(*words: str) -> tuple[float, int]:
    """Seconds and peak resident bytes of a command."""
    start = time.perf_counter()
    running = subprocess.Popen([sys.executable, "-m", "towerline", *words], stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(running.pid, 0)
    seconds = time.perf_counter() - start
    if status:
        raise SystemExit(f"serving {' '.join(words)}: expected an answer, found status {status}")
    return seconds, used.ru_maxrss * 1024


# Prints the time of opening after all imports, the private memory of the process, and the CPU time of a query.
OPEN = """
import sys, time
import numpy, pyarrow.parquet, towerline.serving
start = time.perf_counter()
recommender = towerline.open(sys.argv[1])
opened = time.perf_counter() - start
own = next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("RssAnon"))
ids = recommender.exported.user_ids
users = [ids[int(row)].as_py() for row in numpy.linspace(0, len(ids) - 1, 1000)]
recommender.recommend(users[0])
start = time.process_time()
for user in users:
    recommender.recommend(user)
print(f"{opened * 1000:.0f} ms, {own / 1000:.0f} MB; a query {time.process_time() - start:.2f} ms of CPU")
"""


def measure(exports: Path, k: int) -> None:
    users, items = (np.load(exports / f"{name}.npy", mmap_mode="r") for name in (layout.USERS, layout.ITEMS))
    from towerline import open as open_export
    from towerline.serving.releases import release

    user_id = open_export(exports).exported.user_ids[0].as_py()
    with tempfile.TemporaryDirectory() as folder:
        releases = Path(folder) / "releases"
        release(exports, releases)
        for name, place in (("an export", exports), ("a release", releases)):
            first = [timed("recommend", user_id, "--exports", str(place)) for _ in range(FIRST_ANSWERS)]
            command = [sys.executable, "-c", OPEN, str(place)]
            opened = subprocess.run(command, check=True, capture_output=True, text=True).stdout
            print(f"opening {name}: {opened}", end="")
            waited, peaks = zip(*first, strict=True)
            print(f"first answer from {name}: {min(waited):.2f}, {np.median(waited):.2f}, {max(waited):.2f} s", end=" ")
            print(f"(least, median, most), peak {np.median(peaks) / 1e6:,.0f} MB", flush=True)
        out = Path(folder) / "recommendations.parquet"
        seconds, peak = timed("recommend-all", "--k", str(k), "--out", str(out), "--exports", str(releases))
        size = out.stat().st_size
    print(f"all {len(users):,} users, {len(items):,} items, d {users.shape[1]}, k {k}: {seconds:.1f} s,", end=" ")
    print(f"{len(users) / seconds:,.0f} users a second, file of {size / 1e6:,.0f} MB,", end=" ")
    print(f"{(peak - users.nbytes - items.nbytes) / 1e6:,.0f} MB besides {(users.nbytes + items.nbytes) / 1e6:,.0f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("exports", type=Path, nargs="?", help="an export; without one, one is made up")
    parser.add_argument("--users", type=int, default=1_000_000)
    parser.add_argument("--items", type=int, default=40_981)
    parser.add_argument("--dimension", type=int, default=64)
    parser.add_argument("--k", type=int, default=100)
    given = parser.parse_args()
    print_machine(["numpy", "pyarrow"], 2)
    if given.exports is not None:
        measure(given.exports, given.k)
        return
    with tempfile.TemporaryDirectory() as folder:
        # In a separate process: the peak memory that is reported for a child begins with the memory of its parent.
        sizes = (Path(folder), given.users, given.items, given.dimension)
        maker = multiprocessing.get_context("spawn").Process(target=made_up, args=sizes)
        maker.start()
        maker.join()
        measure(Path(folder), given.k)


if __name__ == "__main__":
    main()
