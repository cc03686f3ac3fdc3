"""Made-up vectors of items and queries, like trained ones."""

import numpy as np
from numpy.typing import NDArray

from benchmarks.index.sides import Floats

QUERIES = 1000


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
