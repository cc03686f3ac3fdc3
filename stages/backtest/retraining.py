"""Fits of the model and of all baselines at one cut."""

import time
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from stages.backtest.ranker import Ranker
from stages.backtest.stretches import Stretch
from towerline.artifacts.backtest import WARM_START
from towerline.artifacts.names import MODEL
from towerline.baseline_models.params import BaselinesParams
from towerline.baseline_models.tuning import tuned
from towerline.features.reading import FeatureTables
from towerline.feedback.params import Below
from towerline.feedback.strengths import liked
from towerline.ranking.fallback import cold_user_scorer
from towerline.ranking.scorers import by_popularity
from towerline.training.fitting import fit
from towerline.training.params import TrainParams
from towerline.training.recipe import Recipe
from towerline.training.search import search, ways_to_count
from towerline.training.spectral import Vectors
from towerline.training.warm_start import continued, warm_start


class WarmStart(NamedTuple):
    """What a warm start takes from an earlier fit.

    Attributes:
      recipe: that of the first fit, from which all others continue.
      vectors: unit vectors of all ids, zero where an id had no rows.
    """

    recipe: Recipe
    vectors: Vectors


class Retrained(NamedTuple):
    """The models of one cut.

    Attributes:
      rankers: name -> model or baseline; the two towers with a search and a fit from nothing, and with a warm start.
      next_start: for the next cut.
      seconds: duration of the search and the fit from nothing, and of the fit with a warm start.
    """

    rankers: dict[str, Ranker]
    next_start: WarmStart
    seconds: tuple[float, float]


def retrain(
    stretch: Stretch,
    train: TrainParams,
    baselines: BaselinesParams,
    below: Below,
    item_type: NDArray[np.str_],
    tables: FeatureTables,
    earlier: WarmStart,
) -> Retrained:
    """Fits the models to the rows before a cut, with settings chosen on its validation set.

    Args:
      stretch: the cut.
      train, baselines: the sections of params.yaml.
      below: rows with lower ratings are dislikes.
      item_type: [num_items + 1] text.
      tables: the declared features.
      earlier: from the cut before.
    """
    known = stretch.known
    begin = time.perf_counter()
    cold = fit(_found(stretch, train, below, tables), known, tables=tables)
    between = time.perf_counter()
    start = warm_start(earlier.vectors, known, earlier.recipe.seed)
    warm = fit(continued(earlier.recipe), known, start=start, tables=tables)
    seconds = between - begin, time.perf_counter() - between
    likes = liked(known, known, below)
    is_known = np.bincount(likes.user_index, minlength=known.num_users + 1) > 0
    rankers = {}
    for name, fitted in ((MODEL, cold), (WARM_START, warm)):
        embeddings = fitted.embeddings()
        rankers[name] = Ranker(embeddings, embeddings, is_known)
    popular = by_popularity(likes)
    scorers = tuned(baselines, stretch.train, stretch.validation, item_type, below=below).scorers
    for name, scorer in scorers.items():
        rankers[name] = Ranker(scorer, cold_user_scorer(name, scorer, popular), is_known)
    return Retrained(rankers, WarmStart(earlier.recipe, warm.vectors()), seconds)


def first_start(stretch: Stretch, train: TrainParams, below: Below, tables: FeatureTables) -> WarmStart:
    """The search and the fit from which the warm starts continue; arguments as in retrain()."""
    recipe = _found(stretch, train, below, tables)
    return WarmStart(recipe, fit(recipe, stretch.known, tables=tables).vectors())


def _found(stretch: Stretch, train: TrainParams, below: Below, tables: FeatureTables) -> Recipe:
    ways = ways_to_count(train, stretch.train, below)
    return search(train.given(), train, stretch.train, stretch.validation, tables=tables, ways=ways).recipe
