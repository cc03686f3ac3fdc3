"""Training of the two towers: seeded, deterministic, calibrated and stopped early on the validation set."""

import itertools
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from stages.train.batches import Batch, PairBatches, UserBatches, log_popularity
from stages.train.calibration import Calibration
from stages.train.optimizers import optimizer
from stages.train.params import TrainParams
from stages.train.ratings import Standard
from stages.train.spectral import spectral_start
from stages.train.two_tower import RatingHead, TwoTower
from stages.train.validation import Validation
from towerline.artifacts.split import Interactions
from towerline.metrics.ratings import RatingModel, bias_trials
from towerline.pipeline.errors import StageError
from towerline.ranking.scorers import Embeddings
from towerline.ranking.user_items import UserItems
from towerline.towers import tf
from towerline.towers.towers import Towers, embeddings

# Start of temperature and popularity prior if params leaves them open.
FIRST_GUESS = Calibration(temperature=0.15, prior=0.6)
# The training temperature is this factor times the calibrated one. The best training temperatures, found by search on
# ml-100k, MovieTweetings, Douban, Amazon and Gowalla, are from 0.1 to 0.25 and close to it.
TRAINING_TEMPERATURE_FACTOR = 1.5
TEMPERATURE_RANGE = (0.05, 0.5)
# The reported loss is that of the same batches at the same temperature in every epoch, if params gives no temperature
# this one: the temperature of training changes from epoch to epoch, and the loss with it.
REPORTED_TEMPERATURE = 0.25
REPORTED_BATCHES = 4


class Epoch(NamedTuple):
    """A row of reports/training.csv; None for a task that is not trained, or without validation set.

    Attributes:
      epoch: from 1.
      retrieval_loss: mean over the same training batches, and at the same temperature, in every epoch.
      rating_loss: mean over the epoch's batches.
      validation_ndcg, validation_rmse: NDCG@20 and root mean squared error on the validation set.
      temperature: that the epoch was trained with.
      popularity_prior: weight of an item's log popularity in units of the temperature.
    """

    epoch: int
    retrieval_loss: float | None
    rating_loss: float | None
    validation_ndcg: float | None
    validation_rmse: float | None
    temperature: float
    popularity_prior: float


class Fitted(NamedTuple):
    """The towers and the rating model of the best epoch, and all epochs up to the last."""

    towers: Towers
    rating_model: RatingModel | None
    epochs: list[Epoch]
    best_epoch: int


def seed_everything(seed: int, threads: int) -> None:
    """Makes TensorFlow's arithmetic a function of its inputs, the seed and the number of threads.

    To be called once in a process, before TensorFlow is used: the number of threads cannot be changed afterwards.
    """
    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    tf.config.experimental.enable_op_determinism()
    tf.keras.utils.set_random_seed(seed)


class Training:
    """The state of one run: the model, its data, its temperature and its calibration."""

    def __init__(self, params: TrainParams, train: Interactions, validation: Interactions) -> None:
        self.params = params
        self.seen = UserItems.of_pairs(train.user_index, train.item_index, num_rows=train.num_users + 1)
        self.standard = Standard.of(train.rating if params.rating_weight else None)
        self.biases = bias_trials(train, validation)[1].model if params.rating_weight else None
        self.batches = self._batches(train)
        self.validation = Validation(self.seen, validation, self.batches.num_logits)
        self.popularity = log_popularity(train.item_index, train.num_items)
        self.calibration = FIRST_GUESS
        first = FIRST_GUESS.temperature if params.temperature is None else params.temperature
        self.temperature = tf.Variable(first, trainable=False, dtype=tf.float32)
        self.model = self._model(train)
        self.step = self._compiled_step()
        self.random = np.random.default_rng(params.seed)
        reported = self.batches.epoch(np.random.default_rng(params.seed))
        self.reported_batches = list(itertools.islice(reported, REPORTED_BATCHES))
        self.reported_loss = self._compiled_reported_loss()

    def _batches(self, train: Interactions) -> UserBatches | PairBatches:
        params, rating = self.params, self.standard.standardized(train)
        if params.loss == "grouped_softmax":
            return UserBatches(train, self.seen, rating, params.batch_size, params.candidates)
        return PairBatches(train, rating, params.batch_size)

    def _model(self, train: Interactions) -> TwoTower:
        params = self.params
        towers = Towers(train.num_users, train.num_items, params.embedding_dimension)
        users, items = spectral_start(self.seen, train.num_items, params.embedding_dimension, params.seed)
        towers.query.start_from(users, np.unique(train.user_index))
        towers.candidate.start_from(items, np.unique(train.item_index))
        weights = {"retrieval": params.retrieval_weight, "rating": params.rating_weight}
        weights = {task: weight for task, weight in weights.items() if weight > 0}
        rating_head = None
        if self.biases is not None:
            deviation = np.float32(self.standard.deviation)
            rating_head = RatingHead(self.biases.user_bias / deviation, self.biases.item_bias / deviation)
        model = TwoTower(towers, rating_head, weights, params.loss, self.temperature)
        model.compile(optimizer=optimizer(params.optimizer, params.learning_rate, params.epochs * len(self.batches)))
        return model

    def _compiled_step(self) -> Callable[[Batch], None]:
        """One optimizer step on a batch.

        It is called once per batch from Python: in a tf.while_loop over the batches a step may read embeddings while
        the step before it still writes them, which no seed makes reproducible.
        """

        # No control flow depends on a tensor; AutoGraph would write files to the system's temporary folder.
        @tf.function(input_signature=[_batch_spec()], autograph=False)
        def step(batch: Batch) -> None:
            self.model.train_step(batch)

        compiled: Callable[[Batch], None] = step
        return compiled

    def _compiled_reported_loss(self) -> Callable[[Batch], tf.Tensor]:
        temperature = REPORTED_TEMPERATURE if self.params.temperature is None else self.params.temperature

        @tf.function(input_signature=[_batch_spec()], autograph=False)
        def loss(batch: Batch) -> tf.Tensor:
            return self.model.retrieval_loss_at(temperature, batch)

        compiled: Callable[[Batch], tf.Tensor] = loss
        return compiled

    def retrieval_loss(self) -> float:
        """The mean retrieval loss per pair over reported_batches."""
        losses = [float(self.reported_loss(batch)) for batch in self.reported_batches]
        return float(np.average(losses, weights=[len(batch.pair_user) for batch in self.reported_batches]))

    def user_vectors(self) -> tf.Tensor:
        """[num_users + 1, d] float32 before normalization, including the users' histories."""
        return self.model.user_vectors(self.seen.items, self.seen.rows().astype(np.int32))

    def embeddings(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """[num_users + 1, d + 1] and [num_items + 1, d + 1] float32, as they would be exported."""
        towers = self.model.towers
        return embeddings(self.user_vectors(), towers.query.extra), towers.candidate.all_embeddings()

    def rating_model(self) -> RatingModel | None:
        """The rating head as arrays in the unit of the raw ratings."""
        head = self.model.rating_head
        if head is None or self.biases is None:
            return None
        return self.biases._replace(scale=head.scale.numpy() * np.float32(self.standard.deviation))

    def epoch(self, number: int) -> Epoch:
        """Trains on all batches once, calibrates and measures.

        Raises:
          StageError: a loss or an embedding is not finite.
        """
        self.model.reset_metrics()
        temperature = float(self.temperature)
        # The matrix products of a step are NumPy's, whose last bits depend on the number of BLAS threads.
        with threadpool_limits(limits=1, user_api="blas"):
            for batch in self.batches.epoch(self.random):
                self.step(batch)
            losses = {task: float(mean.result()) for task, mean in self.model.losses_seen.items()}
            _check_finite(number, losses, self.params.learning_rate)
            if "retrieval" in losses:
                losses["retrieval"] = self.retrieval_loss()
        users, items = self.embeddings()
        if not (np.isfinite(users).all() and np.isfinite(items).all()):
            raise StageError(
                f"epoch {number}: expected finite embeddings, found NaN or infinity; lower train.learning_rate "
                f"({self.params.learning_rate:g})"
            )
        calibration = self._calibration(users, items)
        prior = self._popularity_prior(calibration, temperature)
        # Relative to an item without training rows, such as the unknown item: at least 0. Graph indices of inner
        # products lead to long vectors, which have to be those of popular items (Morozov and Babenko 2018).
        items[:, -1] = prior * temperature * (self.popularity - self.popularity[0])
        self.model.towers.candidate.extra.assign(items[:, -1])
        if calibration is not None:
            self.calibration = calibration
            if self.params.temperature is None:
                following = TRAINING_TEMPERATURE_FACTOR * calibration.temperature
                self.temperature.assign(np.clip(following, *TEMPERATURE_RANGE))
        ndcg = rmse = None
        if len(self.validation.ranked.users):
            rating_model = self.rating_model()
            ndcg = self.validation.ranked.ndcg(Embeddings(users, items)) if "retrieval" in losses else None
            rmse = self.validation.rmse(rating_model, users, items) if rating_model is not None else None
        return Epoch(number, losses.get("retrieval"), losses.get("rating"), ndcg, rmse, temperature, prior)

    def _calibration(self, users: NDArray[np.float32], items: NDArray[np.float32]) -> Calibration | None:
        """The calibration on the validation set; None if it is empty or params leaves nothing to calibrate."""
        is_given = self.params.temperature is not None and self.params.popularity_prior is not None
        if is_given or not len(self.validation.calibration_users.users):
            return None
        return self.validation.calibration(users, items, self.popularity, self.calibration)

    def _popularity_prior(self, calibration: Calibration | None, temperature: float) -> float:
        """The popularity prior in units of the epoch's temperature: that of params, or else the calibrated one."""
        if self.params.popularity_prior is not None:
            return self.params.popularity_prior
        if calibration is None:
            return FIRST_GUESS.prior
        return calibration.prior * calibration.temperature / temperature

    def finish(self) -> None:
        """Adds the users' histories to the rows of the query tower."""
        self.model.towers.query.embedding.assign(self.user_vectors())


def fit(
    params: TrainParams,
    train: Interactions,
    validation: Interactions,
    on_epoch: Callable[[Epoch], object] = lambda epoch: None,
) -> Fitted:
    """Trains the two towers and returns them as they were after the best epoch on the validation set.

    The best epoch is the one of the highest NDCG@20 if the retrieval task is trained, of the lowest RMSE if only the
    rating task is. Without early stopping (patience 0) all epochs are trained and the last one is returned.

    Args:
      params: the section train.
      train: the training set; with ratings if the rating task has a weight.
      validation: the validation set; may be empty if no parameter follows it.
      on_epoch: called after each epoch.

    Raises:
      StageError: a loss is not finite.
    """
    training = Training(params, train, validation)
    epochs: list[Epoch] = []
    best, best_weights = 0, None
    for number in range(1, params.epochs + 1):
        epoch = training.epoch(number)
        epochs.append(epoch)
        on_epoch(epoch)
        if not params.early_stopping_patience:
            best = number
        elif best == 0 or _score(epoch) > _score(epochs[best - 1]):
            best, best_weights = number, training.model.get_weights()
        elif number - best >= params.early_stopping_patience:
            break
    if best_weights is not None:
        training.model.set_weights(best_weights)
    training.finish()
    return Fitted(training.model.towers, training.rating_model(), epochs, best)


def _batch_spec() -> Batch:
    index = tf.TensorSpec([None], tf.int32)
    number = tf.TensorSpec([None], tf.float32)
    return Batch(index, index, index, index, number, number, tf.TensorSpec([None, 2], tf.int32))


def _score(epoch: Epoch) -> float:
    """The value that early stopping compares; larger is better."""
    if epoch.validation_ndcg is not None:
        return epoch.validation_ndcg
    return -epoch.validation_rmse if epoch.validation_rmse is not None else 0.0


def _check_finite(epoch: int, losses: dict[str, float], learning_rate: float) -> None:
    for task, loss in losses.items():
        if not np.isfinite(loss):
            raise StageError(
                f"epoch {epoch}: expected a finite {task}_loss, found {loss}; lower train.learning_rate "
                f"({learning_rate:g})"
            )
