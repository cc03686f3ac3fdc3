"""Names of the model and of the baselines in files and tables, and the cutoff of the main metrics."""

from collections.abc import Sequence

MODEL = "two_tower"

RANDOM = "random"
MOST_POPULAR = "most_popular"
RECENT_POPULAR = "recent_popular"
MOST_POPULAR_OF_TYPE = "most_popular_of_type"
ITEM_KNN = "item_knn"
EASE = "ease"
IALS = "ials"
# Baselines of the rating task.
GLOBAL_MEAN = "global_mean"
USER_ITEM_BIAS = "user_item_bias"

# The k of recall@k, NDCG@k and coverage@k where a single k is shown.
MAIN_CUTOFF = 20


def main_cutoff(cutoffs: Sequence[int]) -> int:
    """The largest cutoff that is not above MAIN_CUTOFF, or the smallest where all are above it.

    Args:
      cutoffs: at least one, each at least 1.
    """
    return max((k for k in cutoffs if k <= MAIN_CUTOFF), default=min(cutoffs))
