"""Search of a recipe on the validation set: temperatures, epochs, prior, histories, strengths of rows, biases."""

import gc
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel

from towerline.artifacts.split import Interactions
from towerline.features.reading import NO_FEATURES, FeatureTables
from towerline.feedback.params import Below
from towerline.feedback.strengths import PLAIN, Feedback, choices, liked, liked_by_known_users, with_strengths
from towerline.metrics.ratings import BIAS_REGULARIZATIONS, bias_trials
from towerline.metrics.validation import HeldOut
from towerline.ranking.popularity import log_popularity
from towerline.training.calibration import Calibration
from towerline.training.fitting import Epoch, Run, State, Training
from towerline.training.new_ids import new_item_factor
from towerline.training.prior import (
    FACTORS,
    WEIGHTS,
    best_half_life,
    best_prior,
    close_half_lives,
    ndcg_of_priors,
)
from towerline.training.recipe import Given, Hyperparameters, Prior, Recipe
from towerline.training.validation import Validation

# Start of the calibration, and the temperature of the first epoch if none is given.
FIRST_GUESS = Calibration(temperature=0.15, prior=0.6)
# The training temperature is this factor times the calibrated one. The best training temperatures, found by search on
# ml-100k, MovieTweetings, Douban, Amazon and Gowalla, are from 0.1 to 0.25 and close to it.
TRAINING_TEMPERATURE_FACTOR = 1.5
TEMPERATURE_RANGE = (0.05, 0.5)
# A relative difference in NDCG that is not worth a less simple setting.
SMALL_SHARE = 0.01


class FeedbackTrial(NamedTuple):
    """A way of counting the rows, and the mean NDCG@20 of the model that was trained with it; None if not measured."""

    feedback: Feedback
    ndcg: float | None


class Found(NamedTuple):
    """The result of a search.

    Attributes:
      recipe: its number of temperatures is that of the best epoch.
      epochs: all epochs of the training with the feedback of the recipe.
      trials: the ways of counting the rows that were tried; none where there was nothing to choose.
    """

    recipe: Recipe
    epochs: list[Epoch]
    trials: list[FeedbackTrial]


def recipe_of(given: Given, settings: Hyperparameters, feedback: Feedback = PLAIN) -> Recipe:
    """The recipe without a validation set: temperature and prior are given, and all epochs are trained.

    Args:
      given: with temperature and popularity_prior, if there is a retrieval task.
      settings: the hyperparameters.
      feedback: how the rows count.
    """
    temperature = given.temperature or FIRST_GUESS.temperature
    weight = FIRST_GUESS.prior if given.popularity_prior is None else given.popularity_prior
    prior = Prior(weight=weight * temperature, half_life=given.half_life, long_term_weight=0.0)
    return _recipe(settings, [temperature] * settings.epochs, prior, None, 1.0, feedback, BIAS_REGULARIZATIONS[0])


def search(
    given: Given,
    settings: Hyperparameters,
    train: Interactions,
    validation: Interactions,
    on_epoch: Callable[[Epoch], object] = lambda epoch: None,
    candidates: NDArray[np.int32] | None = None,
    tables: FeatureTables = NO_FEATURES,
    ways: Sequence[Feedback] = (PLAIN,),
    run: Run | None = None,
) -> Found:
    """Trains on the training set, measures on the validation set, and returns the best settings.

    The best epoch is the one of the highest NDCG@20 if the retrieval task is trained, of the lowest RMSE if only the
    rating task is; without early stopping (patience 0) it is the last one. The prior is chosen with the vectors of the
    best epoch. With several ways of counting the rows, a model is trained for each of them, and the simplest() is kept.
    Dislikes in the validation set are not relevant.

    Args:
      given: the settings that are fixed.
      settings: the hyperparameters.
      train: the training set; with ratings if the rating task has a weight.
      validation: the validation set, with at least one row of a user of the training set that is no dislike.
      on_epoch: called after each epoch.
      candidates: the items that are ranked on the validation set, from ranked_candidates(); None for all.
      tables: the columns of the features that the settings declare.
      ways: the ways of counting the rows, from ways_to_count(); all have the same threshold of dislikes.
      run: where it runs; None for this process alone, without checkpoints.

    Raises:
      StageError: a loss is not finite.
    """
    found, values = [], []
    for number, feedback in enumerate(ways):
        one = _Search(given, settings, train, validation, candidates, tables, feedback, run, f"search-{number}")
        found.append(one.run(on_epoch))
        if len(ways) > 1:
            values.append(one.ndcg())
        # Its compiled steps refer back to it, and would keep its tables until Python looks for such circles.
        del one
        gc.collect()
    if len(ways) == 1:
        return found[0]
    trials = [FeedbackTrial(way, float(of_way.mean())) for way, of_way in zip(ways, values, strict=True)]
    return found[simplest(np.stack(values))]._replace(trials=trials)


def ways_to_count(settings: Hyperparameters, train: Interactions, below: Below) -> list[Feedback]:
    """The ways of counting the rows that a search tries; one for the rating task alone, which uses all ratings."""
    if not settings.retrieval_weight:
        return [PLAIN.model_copy(update={"below": below})]
    return choices(train, below, negatives=settings.loss == "grouped_softmax")


class _Progress(BaseModel):
    """What a search has found after some epochs, as JSON can express it.

    Attributes:
      temperature: of the next epoch.
      epochs: the epochs.
      temperatures: of the epochs.
      best: number of the best epoch; 0 before the first.
      weight, best_weight: of popularity in the last and in the best epoch.
      history_half_life: that the first epoch has chosen.
      calibration: temperature and prior of the last one.
    """

    temperature: float
    epochs: list[Epoch] = []
    temperatures: list[float] = []
    best: int = 0
    weight: float | None = None
    best_weight: float | None = None
    history_half_life: float | None = None
    calibration: Calibration = FIRST_GUESS


class _Search:
    def __init__(
        self,
        given: Given,
        settings: Hyperparameters,
        train: Interactions,
        validation: Interactions,
        candidates: NDArray[np.int32] | None,
        tables: FeatureTables,
        feedback: Feedback,
        run: Run | None,
        name: str,
    ) -> None:
        self.given = given
        self.settings = settings
        self.feedback = feedback
        self.train = train = with_strengths(train, feedback)
        likes = liked(validation, train, feedback.below)
        self.factor = new_item_factor(settings.item_features, tables, train.counted(), likes, settings.seed)
        relevant = liked_by_known_users(validation, train, feedback.below)
        trial = bias_trials(train, validation)[1] if settings.rating_weight else None
        self.bias_regularization = None if trial is None else trial.regularization
        negatives = feedback.dislikes == "negatives"
        biases = None if trial is None else trial.model
        self.training = Training(settings, train, biases, negatives=negatives, run=run, name=name)
        num_logits = self.training.batches.num_logits
        self.validation = Validation(self.training.seen, validation, relevant, num_logits, candidates)
        self.half_life = given.half_life or best_half_life(train, self.validation.prior_users)
        self.popularity = log_popularity(train, self.half_life)
        temperature = FIRST_GUESS.temperature if given.temperature is None else given.temperature
        self.progress = _Progress(temperature=temperature)
        self.best_state: State | None = None
        self.best: tuple[State, float | None, Prior] | None = None
        if self.training.saved is not None:
            self.progress = _Progress(**self.training.saved)
            self.best_state = self._saved_best_state()

    def run(self, on_epoch: Callable[[Epoch], object]) -> Found:
        progress = self.progress
        for epoch in progress.epochs:
            on_epoch(epoch)
        while not self._is_over():
            number = len(progress.epochs) + 1
            epoch, state = self._epoch(number)
            if (
                not self.given.patience
                or not progress.best
                or _score(epoch) > _score(progress.epochs[progress.best - 1])
            ):
                progress.best, progress.best_weight, self.best_state = number, progress.weight, state
            progress.epochs.append(epoch)
            self._save()
            on_epoch(epoch)
        self.training.steps.end()
        assert self.best_state is not None
        temperatures = progress.temperatures[: progress.best]
        half_life = self._history_half_life(self.best_state, self.validation.prior_users, progress.best_weight)
        prior = self._prior(self.best_state, half_life, temperatures[-1])
        settings = self.settings.model_copy(update={"batch_size": self.training.batches.batch_size})
        recipe = _recipe(settings, temperatures, prior, half_life, self.factor, self.feedback, self.bias_regularization)
        self.best = self.best_state, half_life, prior
        return Found(recipe, progress.epochs, [])

    def _is_over(self) -> bool:
        number, patience = len(self.progress.epochs), self.given.patience
        return number == self.settings.epochs or bool(patience and number and number - self.progress.best >= patience)

    def _save(self) -> None:
        """Keeps what run() continues with; the best state is that of the towers, unless an earlier epoch has it."""
        assert self.best_state is not None
        is_last = self.progress.best == len(self.progress.epochs)
        self.training.save(self.progress.model_dump(), {} if is_last else self.best_state._asdict())

    def _saved_best_state(self) -> State:
        if self.progress.best == len(self.progress.epochs):
            return self.training.state()
        return State(**self.training.saved_arrays)

    def _epoch(self, number: int) -> tuple[Epoch, State]:
        self.progress.temperatures.append(self.progress.temperature)
        epoch = self.training.epoch(number, self.progress.temperature)
        state = self.training.state()
        rmse = ndcg = None
        rating_model = self.training.rating_model()
        if rating_model is not None:
            rmse = self.validation.rmse(rating_model)
        if epoch.retrieval_loss is not None:
            ndcg = self._ndcg(state)
        self._calibrate(state)
        return epoch._replace(validation_ndcg=ndcg, validation_rmse=rmse), state

    def _ndcg(self, state: State) -> float:
        """NDCG@20 with the best of WEIGHTS of popularity in the first epoch, then of weights close to the last.

        The first epoch chooses the half-life of the histories, too.
        """
        users = self.validation.ranked
        if self.given.popularity_prior is not None:
            weights = [self.given.popularity_prior * self.progress.temperature]
        elif self.progress.weight is None:
            weights = list(WEIGHTS)
        else:
            weights = [self.progress.weight * factor for factor in FACTORS]
        priors = [Prior(weight=weight, half_life=self.half_life, long_term_weight=0.0) for weight in weights]

        def values() -> NDArray[np.float64]:
            vectors = self.training.user_vectors(state, self.progress.history_half_life, users.users)
            means: NDArray[np.float64] = ndcg_of_priors(priors, self.train, users, vectors, state.items).mean(axis=1)
            return means

        first = self.progress.weight is None
        of_weights = values()
        self.progress.weight = weights[int(np.argmax(of_weights))]
        if first:
            self.progress.history_half_life = self._history_half_life(state, users, self.progress.weight)
            if self.progress.history_half_life is not None:
                of_weights = values()
                self.progress.weight = weights[int(np.argmax(of_weights))]
        return float(of_weights.max())

    def _history_half_life(self, state: State, users: HeldOut, weight: float | None) -> float | None:
        """The half-life of the histories, by NDCG@20 with a weight of popularity; none without the retrieval task."""
        choices = self.training.history.half_lives() if self.training.model.history_weight else [None]
        if len(choices) == 1 or weight is None:
            return None
        prior = Prior(weight=weight, half_life=self.half_life, long_term_weight=0.0)
        values = []
        for choice in choices:
            vectors = self.training.user_vectors(state, choice, users.users)
            values.append(ndcg_of_priors([prior], self.train, users, vectors, state.items)[0])
        return choices[simplest(np.stack(values))]

    def _calibrate(self, state: State) -> None:
        """Sets the temperature of the next epoch, unless it is given."""
        if self.given.temperature is None:
            progress = self.progress
            # Without decay, as in the training.
            users = self.training.user_vectors(state, None, self.validation.calibration_users.users)
            progress.calibration = self.validation.calibration(
                users, state.items, self.popularity, progress.calibration
            )
            following = TRAINING_TEMPERATURE_FACTOR * progress.calibration.temperature
            self.progress.temperature = float(np.clip(following, *TEMPERATURE_RANGE))

    def _prior(self, state: State, half_life: float | None, temperature: float) -> Prior:
        given, users = self.given, self.validation.prior_users
        vectors = self.training.user_vectors(state, half_life, users.users)
        lives = close_half_lives(self.train, self.half_life) if given.half_life is None else [given.half_life]
        weights = WEIGHTS if given.popularity_prior is None else [given.popularity_prior * temperature]
        return best_prior(self.train, users, vectors, state.items, lives, weights)

    def ndcg(self) -> NDArray[np.float64]:
        """[users] NDCG@20 of the users that the prior was chosen for, with what run() has found."""
        assert self.best is not None
        state, half_life, prior = self.best
        users = self.validation.prior_users
        vectors = self.training.user_vectors(state, half_life, users.users)
        values: NDArray[np.float64] = ndcg_of_priors([prior], self.train, users, vectors, state.items)[0]
        return values


def _recipe(
    settings: Hyperparameters,
    temperatures: list[float],
    prior: Prior,
    history_half_life: float | None,
    new_item_factor: float,
    feedback: Feedback,
    bias_regularization: float | None,
) -> Recipe:
    given = {name: getattr(settings, name) for name in Hyperparameters.model_fields}
    regularization = bias_regularization if settings.rating_weight else None
    return Recipe(
        **given,
        temperatures=temperatures,
        prior=prior,
        history_half_life=history_half_life,
        new_item_factor=new_item_factor,
        feedback=feedback,
        bias_regularization=regularization,
    )


def simplest(values: NDArray[np.float64]) -> int:
    """The first row whose mean is at most one standard error, or SMALL_SHARE, below the highest mean.

    The rule of Breiman et al. (1984) for the size of a tree, with the standard error of the paired difference. Paired
    differences of nearly equal choices have small errors, too; SMALL_SHARE keeps to the simple choice there.

    Args:
      values: [choices, users], the simplest choice first.
    """
    best = int(np.argmax(values.mean(axis=1)))
    differences = values[best] - values
    errors = differences.std(axis=1, ddof=1) / np.sqrt(values.shape[1]) if values.shape[1] > 1 else 0.0
    return int(np.flatnonzero(differences.mean(axis=1) <= np.maximum(errors, SMALL_SHARE * values[best].mean()))[0])


def _score(epoch: Epoch) -> float:
    """The value that early stopping compares; larger is better."""
    if epoch.validation_ndcg is not None:
        return epoch.validation_ndcg
    return -epoch.validation_rmse if epoch.validation_rmse is not None else 0.0
