"""What a baseline shows to users without known rows."""

from towerline.artifacts.names import RECENT_POPULAR
from towerline.ranking.scorers import Chance, Scorer


def cold_user_scorer(name: str, scorer: Scorer, popular: Scorer) -> Scorer:
    """The scorer of a baseline for users without known rows.

    A baseline by similarity has no score for them and shows them the most popular items, as an application would.
    Baselines that rank alike for all users need no known rows.

    Args:
      name: of the baseline.
      scorer: the baseline.
      popular: by_popularity() of the rows that it was fitted to.
    """
    return scorer if isinstance(scorer, Chance) or name == RECENT_POPULAR else popular
