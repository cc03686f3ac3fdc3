"""The model and the baselines, their rankings and their predictions of ratings."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from stages.evaluate.data import Data
from stages.evaluate.evaluation import Evaluation, evaluated
from towerline.artifacts.baselines import BASELINES
from towerline.artifacts.evaluate import RatingRow, TutorialRow
from towerline.artifacts.names import MODEL
from towerline.artifacts.split import TEST, Interactions
from towerline.artifacts.train import TWO_TOWER, read_embeddings
from towerline.feedback.params import Below
from towerline.feedback.strengths import liked
from towerline.metrics.ranking import hits
from towerline.metrics.ratings import RatingModel, mean_absolute_error, root_mean_squared_error
from towerline.pipeline import formats
from towerline.pipeline.errors import StageError
from towerline.pipeline.terminal import progress
from towerline.ranking.fallback import cold_user_scorer
from towerline.ranking.scorers import KIND, Embeddings, Kind, Scorer, by_popularity, scorer_of
from towerline.ranking.top_k import rank_items
from towerline.ranking.user_items import UserItems

# Name and cutoff of FactorizedTopK in the tutorial of TensorFlow Recommenders, for comparison.
TUTORIAL_METRIC = "top_100_categorical_accuracy"
TUTORIAL_CUTOFF = 100


class Ranker(NamedTuple):
    """The scorer of a model or baseline, and the scorer for users without known rows."""

    scorer: Scorer
    cold_scorer: Scorer


class Models(NamedTuple):
    """The model and the baselines, the model first.

    Attributes:
      embeddings: embeddings of the model.
      rankers: name -> ranker of the model or of a baseline.
      ratings: name -> rating model, of the model or of a baseline.
    """

    embeddings: Embeddings
    rankers: dict[str, Ranker]
    ratings: dict[str, RatingModel]

    @classmethod
    def read(cls, known: Interactions, below: Below) -> "Models":
        """Reads the model and the baselines.

        The model scores users without known rows by its popularity prior, a baseline by its cold_user_scorer().

        Args:
          known: the rows that the models were fitted to, those of the training and validation set.
          below: rows with lower ratings are dislikes.

        Raises:
          StageError: a file does not hold the arrays of a scorer or rating model.
        """
        embeddings = Embeddings(
            read_embeddings(TWO_TOWER.user_embeddings, known.num_users),
            read_embeddings(TWO_TOWER.item_embeddings, known.num_items),
        )
        rating_head = formats.read_arrays(TWO_TOWER.rating_head)
        rankers = {MODEL: Ranker(embeddings, embeddings)}
        ratings = {MODEL: RatingModel(**rating_head)} if rating_head else {}
        likes = liked(known, known, below)
        history, popular = UserItems.of_interactions(likes), by_popularity(likes)
        for path in sorted(BASELINES.iterdir()):
            arrays = formats.read_arrays(path)
            if arrays.get(KIND) == Kind.RATING_MODEL:
                ratings[path.stem] = RatingModel.of_arrays(arrays)
                continue
            try:
                scorer = scorer_of(arrays, history)
            except ValueError as error:
                raise StageError(f"{path}: {error}; repro baselines") from None
            rankers[path.stem] = Ranker(scorer, cold_user_scorer(path.stem, scorer, popular))
        return cls(embeddings, rankers, ratings)

    def evaluations(self, data: Data, cutoffs: list[int], within_type: bool) -> dict[str, Evaluation]:
        """Name -> metrics of the rankings, with a progress bar for each on a terminal; arguments as of evaluated()."""
        evaluations = {}
        for name, (scorer, cold_scorer) in self.rankers.items():
            with progress(what=f"ranking by {name}", unit="user", total=len(data.warm.users), scale=True) as bar:
                evaluations[name] = evaluated(scorer, data, cutoffs, within_type, bar.update, cold_scorer)
        return evaluations

    def rating_rows(self, test: Interactions) -> list[RatingRow]:
        """The errors of all models of ratings over the test set.

        Raises:
          StageError: the test set has no ratings.
        """
        if self.ratings and test.rating is None:
            raise StageError(f"{TEST}: expected ratings since models predict them, found none; repro train")
        rows = []
        for name, model in self.ratings.items():
            rating: NDArray[np.float32] = np.asarray(test.rating, np.float32)
            predicted = model.predict(test.user_index, test.item_index)
            errors = root_mean_squared_error(predicted, rating), mean_absolute_error(predicted, rating)
            rows.append(RatingRow(name, *errors))
        return rows

    def tutorial_row(self, data: Data) -> TutorialRow:
        """The model's accuracy over the warm users' test rows."""
        users, relevant = data.warm.users, data.warm.relevant
        accuracy = tutorial_accuracy(self.embeddings, users, relevant)
        return TutorialRow(MODEL, TUTORIAL_METRIC, len(relevant.items), accuracy)


def tutorial_accuracy(embeddings: Embeddings, users: NDArray[np.int32], relevant: UserItems) -> float:
    """Share of test rows whose item is among the first 100 of the whole catalogue, seen items included.

    The tutorial reports it as factorized_top_k/top_100_categorical_accuracy. It counts ties as hits; here they are
    ordered by index.
    """
    ranked = rank_items(embeddings, users, UserItems.none(len(users)), TUTORIAL_CUTOFF)
    return float(hits(ranked, relevant).sum() / len(relevant.items))
