"""Positions of items on a plane by t-SNE (van der Maaten and Hinton, 2008)."""

import numpy as np
from numpy.typing import NDArray
from sklearn.manifold import TSNE
from threadpoolctl import threadpool_limits

SEED = 0
# t-SNE uses three times as many neighbours as its perplexity.
PERPLEXITY = 30
# Minimum number of different vectors for a map.
MINIMUM_ITEMS = 5


def tsne(vectors: NDArray[np.float32]) -> NDArray[np.float64]:
    """Positions by t-SNE, initialised by PCA, in one thread, so that sums have the same order on every machine.

    Args:
      vectors: [items, d].

    Returns:
      [items, 2] positions rounded to two digits; [0, 2] where there are fewer than MINIMUM_ITEMS different vectors.
    """
    if len(np.unique(vectors, axis=0)) < MINIMUM_ITEMS:
        return np.zeros((0, 2))
    perplexity = min(PERPLEXITY, (len(vectors) - 1) / 3)
    with threadpool_limits(limits=1):
        embed = TSNE(perplexity=perplexity, init="pca", random_state=SEED)
        positions: NDArray[np.float64] = embed.fit_transform(vectors.astype(np.float64)).astype(np.float64)
    # Adding 0.0 turns -0.0 into 0.0.
    return np.round(positions, 2) + 0.0
