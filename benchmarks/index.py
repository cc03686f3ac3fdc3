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
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from benchmarks.common import print_machine
from towerline.index.approximate import build, load, recall
from towerline.ranking.top_k import top_k

Floats = NDArray[np.float32]
K, QUERIES, SINGLE_QUERIES = 100, 1000, 300
REPEAT_ITEMS = 50_000
LIBRARIES = ("faiss-cpu", "hnswlib", "usearch", "scann", "numpy")
EXACT_ROWS = 32
COLUMNS = (
    *("side", "effort", f"recall@{K}", "queries/s", "ms a query"),
    *("build s", "peak MB", "file MB", "load ms", "same bytes"),
)


class Space(NamedTuple):
    """Vectors that have the same order of inner products, or of distances, as those given.

    Attributes:
      weight: of the last dimension of the items, after its mean is subtracted; the queries have the inverse. 0 leaves
        the dimension as it is.
      euclidean: one more dimension makes the largest inner product the least distance (Bachrach et al. 2014).
    """

    weight: float = 0
    euclidean: bool = False

    def items(self, items: Floats) -> Floats:
        if self.weight:
            last = (items[:, -1] - items[:, -1].mean()) * np.float32(self.weight)
            items = np.column_stack([items[:, :-1], last])
        if self.euclidean:
            squares = np.einsum("ij,ij->i", items, items)
            items = np.column_stack([items, np.sqrt(squares.max() - squares)])
        return items

    def queries(self, queries: Floats) -> Floats:
        if self.weight:
            queries = np.column_stack([queries[:, :-1], queries[:, -1] / np.float32(self.weight)])
        if self.euclidean:
            queries = np.column_stack([queries, np.zeros(len(queries), np.float32)])
        return queries


class Side(Protocol):
    """One library's index with its settings."""

    def build(self, items: Floats) -> None: ...

    def save(self, path: Path) -> None: ...

    def load(self, path: Path, items: Floats) -> None: ...

    def search(self, queries: Floats, k: int, effort: int) -> NDArray[Any]: ...


class Hnswlib:
    """Malkov and Yashunin 2016, by its authors; plain inner product, or reduced to Euclidean distance."""

    def __init__(self, connectivity: int, build_effort: int, space: Space) -> None:
        self.settings = {"M": connectivity, "ef_construction": build_effort, "random_seed": 1}
        self.space = space

    def _empty(self, dimension: int) -> Any:
        return import_module("hnswlib").Index("l2" if self.space.euclidean else "ip", dimension + self.space.euclidean)

    def build(self, items: Floats) -> None:
        self.index = self._empty(items.shape[1])
        self.index.init_index(len(items), **self.settings)
        vectors = self.space.items(items)
        self.index.add_items(vectors, num_threads=1)

    def save(self, path: Path) -> None:
        self.index.save_index(str(path))

    def load(self, path: Path, items: Floats) -> None:
        self.index = self._empty(items.shape[1])
        self.index.load_index(str(path))
        self.index.set_num_threads(1)

    def search(self, queries: Floats, k: int, effort: int) -> NDArray[Any]:
        self.index.set_ef(max(effort, k))
        asked = self.space.queries(queries)
        return np.asarray(self.index.knn_query(asked, k, num_threads=1)[0])


class Usearch:
    """HNSW, its vectors held as float32 or less; the file can be mapped."""

    def __init__(self, connectivity: int, build_effort: int, space: Space, dtype: str = "f32") -> None:
        self.connectivity, self.build_effort, self.space, self.dtype = connectivity, build_effort, space, dtype

    def build(self, items: Floats) -> None:
        self.index = import_module("usearch.index").Index(
            ndim=items.shape[1] + self.space.euclidean,
            metric="l2sq" if self.space.euclidean else "ip",
            dtype=self.dtype,
            connectivity=self.connectivity,
            expansion_add=self.build_effort,
        )
        vectors = self.space.items(items)
        self.index.add(np.arange(len(items)), vectors, threads=1)

    def save(self, path: Path) -> None:
        self.index.save(str(path))

    def load(self, path: Path, items: Floats) -> None:
        self.index = import_module("usearch.index").Index.restore(str(path), view=True)

    def search(self, queries: Floats, k: int, effort: int) -> NDArray[Any]:
        self.index.expansion_search = max(effort, k)
        asked = self.space.queries(queries)
        rows = self.index.search(asked, k, threads=1).keys
        return np.asarray(rows).reshape(len(queries), k)


class Faiss:
    """An index by the name that faiss' factory gives it; plain inner product, or reduced to Euclidean distance.

    A name that ends in RFlat asks the quantised lists for four times k and scores those again.
    """

    def __init__(self, name: str, space: Space, build_effort: int = 40) -> None:
        self.name, self.space, self.build_effort = name, space, build_effort

    def build(self, items: Floats) -> None:
        faiss = import_module("faiss")
        faiss.omp_set_num_threads(1)
        vectors = self.space.items(items)
        metric = faiss.METRIC_L2 if self.space.euclidean else faiss.METRIC_INNER_PRODUCT
        self.index = faiss.index_factory(vectors.shape[1], self.name, metric)
        if self.name.startswith("HNSW"):
            self.index.hnsw.efConstruction = self.build_effort
        self.index.train(vectors)
        self.index.add(vectors)

    def save(self, path: Path) -> None:
        faiss = import_module("faiss")
        faiss.write_index(self.index, str(path))

    def load(self, path: Path, items: Floats) -> None:
        faiss = import_module("faiss")
        faiss.omp_set_num_threads(1)
        self.index = faiss.read_index(str(path), faiss.IO_FLAG_MMAP_IFC)

    def search(self, queries: Floats, k: int, effort: int) -> NDArray[Any]:
        faiss = import_module("faiss")
        if self.name.startswith("HNSW"):
            parameters = faiss.SearchParametersHNSW(efSearch=max(effort, k))
        elif self.name.endswith("RFlat"):
            lists = faiss.SearchParametersIVF(nprobe=effort)
            parameters = faiss.IndexRefineSearchParameters(k_factor=4, base_index_params=lists)
        else:
            parameters = faiss.SearchParametersIVF(nprobe=effort)
        asked = self.space.queries(queries)
        return np.asarray(self.index.search(asked, k, params=parameters)[1])


class Scann:
    """Tree, anisotropic hashes and reordering (Guo et al. 2020)."""

    def __init__(self, leaves: int, space: Space) -> None:
        self.leaves, self.space = leaves, space

    def build(self, items: Floats) -> None:
        builder = (
            import_module("scann")
            .scann_ops_pybind.builder(self.space.items(items), K, "dot_product")
            .set_n_training_threads(1)
        )
        builder = builder.tree(self.leaves, self.leaves // 20, training_sample_size=min(len(items), 250_000))
        self.index = builder.score_ah(2, anisotropic_quantization_threshold=0.2).reorder(4 * K).build()

    def save(self, path: Path) -> None:
        path.mkdir()
        self.index.serialize(str(path))

    def load(self, path: Path, items: Floats) -> None:
        self.index = import_module("scann").scann_ops_pybind.load_searcher(str(path))

    def search(self, queries: Floats, k: int, effort: int) -> NDArray[Any]:
        rows, _ = self.index.search_batched(
            self.space.queries(queries), final_num_neighbors=k, pre_reorder_num_neighbors=4 * k, leaves_to_search=effort
        )
        return np.asarray(rows).astype(np.int64)


class Towerline:
    """Towerline's index: lists by k-means in whole numbers, the last dimension weighted; searched by faiss."""

    def build(self, items: Floats) -> None:
        self.index = build(items)

    def save(self, path: Path) -> None:
        self.index.save(path)

    def load(self, path: Path, items: Floats) -> None:
        import_module("faiss").omp_set_num_threads(1)
        self.index = load(path, *items.shape)

    def search(self, queries: Floats, k: int, effort: int) -> NDArray[Any]:
        return self.index.search(queries, k, effort)


class Candidate(NamedTuple):
    """A library with its settings, and the efforts at which it is searched."""

    make: Callable[[], Side]
    efforts: Sequence[int]


def candidates(count: int) -> Mapping[str, Candidate]:
    """Name -> candidate, with lists after the number of items."""
    lists = int(2 * count**0.5)
    probes = [lists // 128 + 1, lists // 64 + 1, lists // 32 + 1, lists // 16 + 1]
    graph = [100, 200, 400, 800]
    spaces = {
        "": Space(),
        ", reduced": Space(euclidean=True),
        ", centred": Space(weight=1),
        ", centred and reduced": Space(weight=1, euclidean=True),
        ", weighted": Space(weight=4),
    }
    quantised = f"IVF{lists},PQ33x4fs,RFlat"
    programs = {"Towerline": Candidate(Towerline, probes)}
    for suffix, space in spaces.items():
        programs |= {
            f"ScaNN{suffix}": Candidate(partial(Scann, lists, space), probes),
            f"hnswlib{suffix}": Candidate(partial(Hnswlib, 16, 100, space), graph),
            f"usearch{suffix}": Candidate(partial(Usearch, 16, 100, space), graph),
            f"usearch bf16{suffix}": Candidate(partial(Usearch, 16, 100, space, "bf16"), graph),
            f"faiss HNSW{suffix}": Candidate(partial(Faiss, "HNSW16", space, 100), graph),
            f"faiss IVF{suffix}": Candidate(partial(Faiss, f"IVF{lists},Flat", space), probes),
            f"faiss IVF SQ8{suffix}": Candidate(partial(Faiss, f"IVF{lists},SQ8", space), probes),
        }
    programs["faiss IVF PQ, reduced"] = Candidate(partial(Faiss, quantised, spaces[", reduced"]), probes)
    return programs


def made_up(count: int, seed: int) -> tuple[Floats, Floats]:
    """Vectors like trained ones: clusters of decaying spectrum, popularity by Zipf's law as the last dimension.

    Args:
      count: number of items; one in fifty has no vector, as items without training rows.
      seed: of everything random.

    Returns:
      Items [count, 65] and queries [QUERIES, 65] float32; a query is near the mean of items of one or two clusters, its
      last dimension is 1.
    """
    random = np.random.default_rng(seed)
    spectrum = (np.arange(1, 65, dtype=np.float32) ** -0.4)[None]
    spectrum /= np.linalg.norm(spectrum)
    centres = random.standard_normal((max(20, count // 300), 64), np.float32) * spectrum
    cluster = random.integers(len(centres), size=count)
    vectors = _unit(centres[cluster] + 0.6 * random.standard_normal((count, 64), np.float32) * spectrum)
    vectors[random.random(count) < 0.02] = 0
    counts = 1 + (count / (1 + random.permutation(count))) ** 0.9
    prior = np.log(counts, dtype=np.float32) * np.float32(0.8 / np.log(counts.max()))
    items = np.column_stack([vectors, prior.astype(np.float32)])
    liked = _liked(random, cluster, counts)
    tastes = _unit(vectors[liked].mean(axis=1) + 0.3 * random.standard_normal((QUERIES, 64), np.float32) * spectrum)
    return items, np.column_stack([tastes, np.ones(QUERIES, np.float32)])


def _liked(random: np.random.Generator, cluster: NDArray[np.int64], counts: NDArray[np.float64]) -> NDArray[np.int64]:
    """[QUERIES, 6] items of a popular item's cluster and of another one's, three each."""
    by_cluster = np.argsort(cluster, kind="stable")
    first = np.searchsorted(cluster[by_cluster], np.arange(cluster.max() + 2))
    seeds = random.choice(len(cluster), (QUERIES, 2, 1), p=counts / counts.sum())
    of_seed = cluster[seeds]
    size = first[of_seed + 1] - first[of_seed]
    chosen = first[of_seed] + (random.random((QUERIES, 2, 3)) * size).astype(np.int64)
    return by_cluster[chosen].reshape(QUERIES, 6)


def _unit(vectors: Floats) -> Floats:
    scaled: Floats = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return scaled


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
    print(
        "| side | effort | recall@100 | queries/s | ms a query | build s | peak MB | file MB | load ms | same bytes |"
    )
    print(f"|{' --- |' * 10}")
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
