"""Training of the two towers: seeded, deterministic, calibrated and stopped on the validation part."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from stages.train.batches import Batch, PairBatches, UserBatches, log_popularity
from stages.train.calibration import Calibration, calibrated
from stages.train.optimizers import optimizer
from stages.train.params import TrainParams
from stages.train.spectral import spectral_start
from stages.train.two_tower import RatingHead, TwoTower
from towerline.artifacts.split import Interactions
from towerline.metrics.ratings import RatingModel, bias_trials, root_mean_squared_error
from towerline.metrics.validation import HeldOut
from towerline.pipeline.errors import StageError
from towerline.ranking.scorers import Embeddings
from towerline.ranking.user_items import UserItems
from towerline.towers import tf
from towerline.towers.towers import Towers, embeddings

# Two numbers are fitted to these users' choices, which takes fewer of them.
MAX_CALIBRATION_USERS = 1_000
# Where temperature and prior start when they are to be found.
FIRST_GUESS = Calibration(temperature=0.15, prior=0.6)
# The training temperature is the validation part's times this. The best training temperatures, found by search on
# ml-100k, MovieTweetings, Douban, Amazon and Gowalla, from 0.25 down to 0.1, lie near it.
TRAINING_TEMPERATURE_FACTOR = 1.5
TEMPERATURE_RANGE = (0.05, 0.5)


class Epoch(NamedTuple):
    """What one epoch brought; None for a task that is not trained, or where there is no validation part."""

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


class Standard(NamedTuple):
    """Mean and standard deviation of the training ratings."""

    mean: float
    deviation: float

    @classmethod
    def of(cls, rating: NDArray[np.float32] | None) -> "Standard":
        if rating is None:
            return cls(0.0, 1.0)
        deviation = float(rating.std(dtype=np.float64))
        return cls(float(rating.mean(dtype=np.float64)), deviation if deviation > 0 else 1.0)

    def standardised(self, part: Interactions) -> NDArray[np.float32]:
        """[rows] float32 ratings in deviations from the mean; zeros where the part has none."""
        if part.rating is None:
            return np.zeros(len(part.user_index), np.float32)
        return ((part.rating - self.mean) / self.deviation).astype(np.float32)


class Validation:
    """NDCG@20 over the validation part's users, their training items removed, RMSE over its rows, and calibration."""

    def __init__(self, seen: UserItems, validation: Interactions) -> None:
        """
        Args:
          seen: the items of every user in the train part.
          validation: the part; may be empty.
        """
        self.held_out = HeldOut(seen, validation)
        self.few = HeldOut(seen, validation, MAX_CALIBRATION_USERS)
        self.part = validation

    def rmse(
        self,
        rating_model: RatingModel,
        user_embeddings: NDArray[np.float32],
        item_embeddings: NDArray[np.float32],
    ) -> float:
        part = self.part
        if part.rating is None:
            raise ValueError("expected ratings in the validation part, found none")
        predicted = rating_model.predict(part.user_index, part.item_index, user_embeddings, item_embeddings)
        return root_mean_squared_error(predicted, part.rating)

    def calibration(
        self,
        user_embeddings: NDArray[np.float32],
        item_embeddings: NDArray[np.float32],
        log_popularity: NDArray[np.float32],
        start: Calibration,
    ) -> Calibration:
        return calibrated(
            user_embeddings[self.few.users, :-1],
            item_embeddings[:, :-1],
            log_popularity,
            self.few.relevant,
            self.few.seen,
            start,
        )


class Training:
    """One run: the model, its data, and what its epochs change beside its weights."""

    def __init__(self, params: TrainParams, train: Interactions, validation: Interactions) -> None:
        self.params = params
        self.seen = UserItems.of_pairs(train.user_index, train.item_index, num_rows=train.num_users + 1)
        self.validation = Validation(self.seen, validation)
        self.standard = Standard.of(train.rating if params.rating_weight else None)
        self.biases = bias_trials(train, validation)[1].model if params.rating_weight else None
        rating = self.standard.standardised(train)
        if params.loss == "grouped_softmax":
            self.batches: UserBatches | PairBatches = UserBatches(train, rating, params.batch_size, params.candidates)
        else:
            self.batches = PairBatches(train, rating, params.batch_size)
        self.popularity = log_popularity(train.item_index, train.num_items)
        self.calibration = FIRST_GUESS
        first = FIRST_GUESS.temperature if params.temperature is None else params.temperature
        self.temperature = tf.Variable(first, trainable=False, dtype=tf.float32)
        self.model = self._model(train)
        self.step = self._compiled_step()
        self.random = np.random.default_rng(params.seed)

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

        Called once a batch from Python: in a tf.while_loop over the batches a step may read embeddings while the step
        before it still writes them, which no seed makes reproducible.
        """
        index = tf.TensorSpec([None], tf.int32)
        number = tf.TensorSpec([None], tf.float32)
        shapes = Batch(index, index, index, index, number, number, tf.TensorSpec([None, 2], tf.int32))

        # No value of a tensor steers the step; AutoGraph would write files to the system's temporary folder.
        @tf.function(input_signature=[shapes], autograph=False)
        def step(batch: Batch) -> None:
            self.model.train_step(batch)

        compiled: Callable[[Batch], None] = step
        return compiled

    def user_vectors(self) -> tf.Tensor:
        """[num_users + 1, d] float32 before normalisation, the users' histories in them."""
        return self.model.user_vectors(self.seen.items, self.seen.rows().astype(np.int32))

    def embeddings(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """[num_users + 1, d + 1] and [num_items + 1, d + 1] float32, as they would be exported now."""
        towers = self.model.towers
        return embeddings(self.user_vectors(), towers.query.extra), towers.candidate.all_embeddings()

    def rating_model(self) -> RatingModel | None:
        """The rating head in the unit of the raw ratings, as arrays."""
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
        # A step's matrix products are NumPy's: their last bits depend on the number of BLAS threads.
        with threadpool_limits(limits=1, user_api="blas"):
            for batch in self.batches.epoch(self.random):
                self.step(batch)
        losses = {task: float(mean.result()) for task, mean in self.model.losses_seen.items()}
        _check_finite(number, losses, self.params.learning_rate)
        users, items = self.embeddings()
        if not (np.isfinite(users).all() and np.isfinite(items).all()):
            raise StageError(
                f"epoch {number}: expected finite embeddings, found NaN or infinity; lower train.learning_rate "
                f"({self.params.learning_rate:g})"
            )
        prior = self._calibrate(users, items)
        # Relative to an item without training rows, as the unknown item is one: from 0 up. Graph indices of inner
        # products lead towards long vectors, and those have to be the popular items' (Morozov and Babenko 2018).
        items[:, -1] = prior * temperature * (self.popularity - self.popularity[0])
        self.model.towers.candidate.extra.assign(items[:, -1])
        ndcg = rmse = None
        if len(self.validation.held_out.users):
            ratings = self.rating_model()
            ndcg = self.validation.held_out.ndcg(Embeddings(users, items)) if "retrieval" in losses else None
            rmse = self.validation.rmse(ratings, users, items) if ratings is not None else None
        return Epoch(number, losses.get("retrieval"), losses.get("rating"), ndcg, rmse, temperature, prior)

    def _calibrate(self, users: NDArray[np.float32], items: NDArray[np.float32]) -> float:
        """The popularity prior of this epoch, in units of its temperature; sets the next epoch's temperature.

        What params gives stays as it is; what it leaves open follows the validation part.
        """
        temperature, given = self.params.temperature, self.params.popularity_prior
        if (temperature is not None and given is not None) or not len(self.validation.few.users):
            return FIRST_GUESS.prior if given is None else given
        found = self.calibration = self.validation.calibration(users, items, self.popularity, self.calibration)
        prior = found.prior * found.temperature / float(self.temperature) if given is None else given
        if temperature is None:
            self.temperature.assign(np.clip(TRAINING_TEMPERATURE_FACTOR * found.temperature, *TEMPERATURE_RANGE))
        return prior

    def finish(self) -> None:
        """Makes plain tables of the towers: the users' histories become part of their rows."""
        self.model.towers.query.embedding.assign(self.user_vectors())


def fit(
    params: TrainParams,
    train: Interactions,
    validation: Interactions,
    on_epoch: Callable[[Epoch], object] = lambda epoch: None,
) -> Fitted:
    """Trains the two towers and returns them as they were after the epoch that validated best.

    What validates is NDCG@20 where the retrieval task is trained, RMSE where only the rating task is; without early
    stopping (patience 0) it is the last epoch that counts, and no epoch is left out.

    Args:
      params: the section train.
      train: the rows to learn from; with ratings where the rating task has a weight.
      validation: as train; may be empty where nothing is chosen by it.
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


def _score(epoch: Epoch) -> float:
    """What early stopping compares, larger is better."""
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
