"""Quality of ranked lists against held-out items, one number a query; the caller averages over queries.

All functions take the matrix that hits() returns and count nothing twice. A query has at least one held-out item.
"""

import numpy as np
from numpy.typing import NDArray

from towerline.ranking.user_items import UserItems

# The name of a metric and its cutoff k, and the values of the queries.
Metric = tuple[str, int]
Values = dict[Metric, NDArray[np.float64]]


def hits(ranked: NDArray[np.int32], relevant: UserItems) -> NDArray[np.bool_]:
    """Marks the ranked items that are held-out items of their query.

    Args:
      ranked: [num_queries, num_ranked] item indices, best first, no item twice in a row, 0 for no item.
      relevant: row r holds the held-out items of query r, all above 0; none of the rows is empty.

    Returns:
      [num_queries, num_ranked] bool.

    Raises:
      ValueError: the numbers of rows differ, or a query has no held-out item.
    """
    counts = relevant.counts()
    if len(counts) != len(ranked):
        raise ValueError(f"expected one row of held-out items a query, found {len(counts)} for {len(ranked)}")
    if (counts == 0).any():
        raise ValueError(f"expected held-out items for every query, found none for {(counts == 0).sum()} queries")
    width = int(max(ranked.max(initial=0), relevant.items.max(initial=0))) + 1
    wanted = relevant.rows() * width + relevant.items
    shown = np.arange(len(ranked))[:, None] * width + ranked
    position = np.minimum(np.searchsorted(wanted, shown), len(wanted) - 1)
    hit: NDArray[np.bool_] = wanted[position] == shown
    return hit


def recall_at_k(hit: NDArray[np.bool_], num_relevant: NDArray[np.int64], k: int) -> NDArray[np.float64]:
    """Share of each query's held-out items found among its first k candidates.

    recall@k = |top k and held out| / |held out|. The denominator is the number of held-out items, not min(k, that
    number), so a query with more than k of them cannot reach 1.

    Args:
      hit: [num_queries, num_ranked] from hits(); num_ranked >= k.
      num_relevant: [num_queries] number of held-out items, at least 1 each.
      k: cutoff, at least 1.

    Returns:
      [num_queries] in [0, 1].
    """
    recall: NDArray[np.float64] = _first(hit, k).sum(axis=1) / num_relevant
    return recall


def precision_at_k(hit: NDArray[np.bool_], k: int) -> NDArray[np.float64]:
    """Share of each query's first k candidates that are held out.

    precision@k = |top k and held out| / k, also where fewer than k candidates are left to show.

    Args and returns as recall_at_k().
    """
    precision: NDArray[np.float64] = _first(hit, k).sum(axis=1) / k
    return precision


def average_precision_at_k(hit: NDArray[np.bool_], num_relevant: NDArray[np.int64], k: int) -> NDArray[np.float64]:
    """Mean, over a query's held-out items, of the precision at each one's rank, 0 beyond rank k.

    ap@k = sum over hits of (hits up to and at its rank / its rank) / |held out|; its mean over queries is map@k, as
    trec_eval's map_cut has it (Buckley and Voorhees 2005). The denominator is not cut to k.

    Args and returns as recall_at_k().
    """
    first = _first(hit, k)
    at_hits = np.where(first, np.cumsum(first, axis=1) / np.arange(1, k + 1), 0)
    average_precision: NDArray[np.float64] = at_hits.sum(axis=1) / num_relevant
    return average_precision


def ndcg_at_k(hit: NDArray[np.bool_], num_relevant: NDArray[np.int64], k: int) -> NDArray[np.float64]:
    """Normalised discounted cumulative gain of each query's first k candidates (Järvelin and Kekäläinen 2002).

    ndcg@k = sum over hits of 1 / log2(rank + 1), ranks from 1, divided by the same sum for an ideal ranking, whose
    first min(k, |held out|) candidates are all hits. Relevance is binary.

    Args and returns as recall_at_k().
    """
    discounts = 1 / np.log2(np.arange(2, k + 2))
    ideal = np.cumsum(discounts)[np.minimum(num_relevant, k) - 1]
    # Summed in the order of the ideal's sum, so that an ideal ranking has exactly 1.
    gain = np.cumsum(np.where(_first(hit, k), discounts, 0), axis=1)[:, -1]
    ndcg: NDArray[np.float64] = gain / ideal
    return ndcg


def reciprocal_rank_at_k(hit: NDArray[np.bool_], k: int) -> NDArray[np.float64]:
    """1 / rank of each query's first hit, ranks from 1, or 0 where the first k candidates hold none (Voorhees 1999).

    Its mean over queries is the mean reciprocal rank, mrr@k.

    Args and returns as recall_at_k().
    """
    first = _first(hit, k)
    reciprocal_rank: NDArray[np.float64] = first.any(axis=1) / (first.argmax(axis=1) + 1)
    return reciprocal_rank


def hit_rate_at_k(hit: NDArray[np.bool_], k: int) -> NDArray[np.float64]:
    """1 where any of a query's first k candidates is held out, else 0.

    Args and returns as recall_at_k().
    """
    return np.asarray(_first(hit, k).any(axis=1), np.float64)


def _first(hit: NDArray[np.bool_], k: int) -> NDArray[np.bool_]:
    if not 1 <= k <= hit.shape[1]:
        raise ValueError(f"expected a cutoff k from 1 to the {hit.shape[1]} ranked candidates, found {k}")
    return hit[:, :k]


def rank_metrics(ranked: NDArray[np.int32], relevant: UserItems, cutoffs: list[int]) -> Values:
    """All metrics of each query at every cutoff in turn.

    Args:
      ranked, relevant: as in hits().
      cutoffs: each from 1 to num_ranked.

    Returns:
      (metric, k), such as ("recall", 20) -> [num_queries] float64.
    """
    hit, num_relevant = hits(ranked, relevant), relevant.counts()
    values: Values = {}
    for k in cutoffs:
        values["recall", k] = recall_at_k(hit, num_relevant, k)
        values["precision", k] = precision_at_k(hit, k)
        values["ndcg", k] = ndcg_at_k(hit, num_relevant, k)
        values["mrr", k] = reciprocal_rank_at_k(hit, k)
        values["map", k] = average_precision_at_k(hit, num_relevant, k)
        values["hit_rate", k] = hit_rate_at_k(hit, k)
    return values
