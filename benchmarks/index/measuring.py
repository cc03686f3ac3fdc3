"""What a side costs and finds: seconds, memory, file, recall and speed; and exact search to compare with."""

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.index.sides import Floats, K, Side
from towerline.index.approximate import recall
from towerline.ranking.top_k import top_k

# Queries that come one by one.
SINGLE_QUERIES = 300
EXACT_ROWS = 32


def exact(items: Floats, queries: Floats, k: int) -> NDArray[np.int32]:
    """Exact search in blocks of queries."""
    blocks = [queries[start : start + EXACT_ROWS] @ items.T for start in range(0, len(queries), EXACT_ROWS)]
    return np.concatenate([top_k(scores, k) for scores in blocks])


def memory(entry: str) -> int:
    """Bytes of this process by /proc/self/status: VmRSS now, VmHWM at most."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(entry))


def speed(search: Callable[[Floats], object], queries: Floats) -> dict[str, float]:
    """Queries a second in one batch, and the median milliseconds of queries that come one by one."""
    start = time.perf_counter()
    search(queries)
    batch = len(queries) / (time.perf_counter() - start)
    singles = []
    for row in range(SINGLE_QUERIES):
        start = time.perf_counter()
        search(queries[row : row + 1])
        singles.append(time.perf_counter() - start)
    return {"batch": batch, "single": 1000 * float(np.median(singles))}


def build_alone(side: Side, folder: Path, path: Path) -> dict[str, float]:
    items = np.load(folder / "items.npy")
    before = memory("VmRSS")
    start = time.perf_counter()
    side.build(items)
    seconds = time.perf_counter() - start
    peak = memory("VmHWM") - before
    side.save(path)
    files = [path] if path.is_file() else list(path.iterdir())
    return {"seconds": seconds, "peak": peak, "size": sum(file.stat().st_size for file in files)}


def search_alone(side: Side, folder: Path, path: Path, efforts: Sequence[int]) -> dict[str, Any]:
    items = np.load(folder / "items.npy", mmap_mode="r")
    queries, truth = np.load(folder / "queries.npy"), np.load(folder / "exact.npy")
    start = time.perf_counter()
    side.load(path, items)
    side.search(queries[:1], K, efforts[0])
    result: dict[str, Any] = {"load": time.perf_counter() - start, "efforts": []}
    for effort in efforts:
        rows = side.search(queries, K, effort)
        timed = speed(lambda asked, effort=effort: side.search(asked, K, effort), queries)  # type: ignore[misc]
        result["efforts"].append({"effort": effort, "recall": recall(rows, truth), **timed})
    return result
