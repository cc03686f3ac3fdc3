"""The libraries, each with one way to build, save, load and search an index."""

from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from towerline.index.approximate import build, load

Floats = NDArray[np.float32]
# The number of items that a query asks for.
K = 100


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
