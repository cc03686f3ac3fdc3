"""Training of the two towers: seeded, deterministic, stopped on the validation part."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from stages.artifacts import Part
from stages.model.towers import Towers
from stages.model.two_tower import Batch, RatingHead, TwoTower
from stages.params import TrainParams
from stages.ranking.metrics import rank_metrics
from stages.ranking.ratings import RatingModel, root_mean_squared_error
from stages.ranking.top_k import rank_items
from stages.ranking.user_items import UserItems
from stages.terminal import StageError

VALIDATION_CUTOFF = 20
# Validating on more users would cost more than it tells; with fewer users all of them are ranked.
MAX_VALIDATION_USERS = 10_000
# Stands for the zero count of an item without training rows in the logarithm of its popularity.
UNSEEN_COUNT = 0.5


class Epoch(NamedTuple):
    """What one epoch brought; None for a task that is not trained, or where there is no validation part."""

    epoch: int
    retrieval_loss: float | None
    rating_loss: float | None
    validation_ndcg: float | None
    validation_rmse: float | None


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


def popularity_prior(item_index: NDArray[np.int32], num_items: int) -> NDArray[np.float32]:
    """[num_items + 1] log of each item's share of the training rows, at most 0; an unseen item counts as half a row."""
    counts = np.bincount(item_index, minlength=num_items + 1).astype(np.float64)
    return np.log(np.maximum(counts, UNSEEN_COUNT) / len(item_index)).astype(np.float32)


def build(params: TrainParams, train: Part) -> TwoTower:
    """The model before its first step; ids without training rows have zero embeddings and keep them."""
    towers = Towers(train.num_users, train.num_items, params.embedding_dimension)
    towers.query.forget(np.setdiff1d(np.arange(train.num_users + 1), train.user_index))
    towers.candidate.forget(np.setdiff1d(np.arange(train.num_items + 1), train.item_index))
    prior = popularity_prior(train.item_index, train.num_items)
    towers.candidate.extra.assign(params.popularity_prior * params.temperature * prior)
    weights = {"retrieval": params.retrieval_weight, "rating": params.rating_weight}
    weights = {task: weight for task, weight in weights.items() if weight > 0}
    rating_head = RatingHead(train.num_users, train.num_items) if "rating" in weights else None
    return TwoTower(towers, rating_head, weights, params.temperature)


def optimizer(params: TrainParams) -> Any:
    """The optimizers whose sparse updates touch only the rows of a batch, in Keras' legacy and faster form."""
    kinds = {
        "adagrad": tf.keras.optimizers.legacy.Adagrad,
        "adam": tf.keras.optimizers.legacy.Adam,
        "sgd": tf.keras.optimizers.legacy.SGD,
    }
    return kinds[params.optimizer](params.learning_rate)


class Standard(NamedTuple):
    """Mean and standard deviation of the training ratings."""

    mean: float
    deviation: float

    @classmethod
    def of(cls, rating: NDArray[np.float32]) -> "Standard":
        deviation = float(rating.std(dtype=np.float64))
        return cls(float(rating.mean(dtype=np.float64)), deviation if deviation > 0 else 1.0)


def compiled_step(model: TwoTower, rows: Batch) -> Callable[[NDArray[np.int32]], None]:
    """One optimizer step on the rows at the given positions.

    Called once a batch from Python: in a tf.while_loop over the batches a step may read embeddings while the step
    before it still writes them, which no seed makes reproducible.
    """

    @tf.function(input_signature=[tf.TensorSpec([None], tf.int32)])
    def step(batch: tf.Tensor) -> None:
        model.train_step({name: tf.gather(values, batch) for name, values in rows.items()})

    compiled: Callable[[NDArray[np.int32]], None] = step
    return compiled


def rating_model(model: TwoTower, standard: Standard) -> RatingModel | None:
    """The rating head in the unit of the raw ratings, as arrays."""
    head = model.rating_head
    if head is None:
        return None
    deviation = np.float32(standard.deviation)
    return RatingModel(
        offset=np.asarray(standard.mean, np.float32),
        scale=head.scale.numpy() * deviation,
        user_bias=head.user_bias.numpy() * deviation,
        item_bias=head.item_bias.numpy() * deviation,
    )


class Validation:
    """NDCG@20 over the validation part's users, their training items removed, and RMSE over its rows."""

    def __init__(self, train: Part, validation: Part) -> None:
        relevant = UserItems.of_pairs(validation.user_index, validation.item_index, validation.num_users)
        seen = UserItems.of_pairs(train.user_index, train.item_index, train.num_users)
        users = np.flatnonzero((relevant.counts() > 0) & (seen.counts() > 0)).astype(np.int32)
        every = -(-len(users) // MAX_VALIDATION_USERS) if len(users) else 1
        self.users = users[::every]
        self.relevant = relevant.of_users(self.users)
        self.seen = seen.of_users(self.users)
        self.part = validation

    def ndcg(self, user_embeddings: NDArray[np.float32], item_embeddings: NDArray[np.float32]) -> float:
        ranked = rank_items(user_embeddings[self.users], item_embeddings, self.seen, VALIDATION_CUTOFF)
        name = f"ndcg@{VALIDATION_CUTOFF}"
        return float(rank_metrics(ranked, self.relevant, [VALIDATION_CUTOFF])[name].mean())

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


def fit(
    params: TrainParams, train: Part, validation: Part, on_epoch: Callable[[Epoch], object] = lambda epoch: None
) -> Fitted:
    """Trains the two towers and returns them as they were after the epoch that validated best.

    What validates is NDCG@20 where the retrieval task is trained, RMSE where only the rating task is; without early
    stopping (patience 0) it is the last epoch that counts, and no epoch is left out.

    Args:
      params: the section train.
      train: the rows to learn from; with ratings where the rating task has a weight.
      validation: as train; may be empty where there is no early stopping.
      on_epoch: called after each epoch.

    Raises:
      StageError: a loss is not finite.
    """
    model = build(params, train)
    model.compile(optimizer=optimizer(params))
    rows: Batch = {"user_index": tf.constant(train.user_index), "item_index": tf.constant(train.item_index)}
    standard = Standard(0.0, 1.0)
    if model.rating_head is not None and train.rating is not None:
        standard = Standard.of(train.rating)
        rows["rating"] = tf.constant((train.rating - standard.mean) / standard.deviation, tf.float32)
    step = compiled_step(model, rows)
    judge = Validation(train, validation)
    shuffle = np.random.default_rng(params.seed)
    epochs: list[Epoch] = []
    best, best_weights = 0, model.get_weights()
    for number in range(1, params.epochs + 1):
        model.reset_metrics()
        order = shuffle.permutation(len(train.user_index)).astype(np.int32)
        for start in range(0, len(order), params.batch_size):
            step(order[start : start + params.batch_size])
        epoch = _measured(number, model, judge, standard)
        _check_finite(epoch, params.learning_rate)
        epochs.append(epoch)
        on_epoch(epoch)
        if not params.early_stopping_patience or best == 0 or _score(epoch) > _score(epochs[best - 1]):
            best, best_weights = number, model.get_weights()
        elif number - best >= params.early_stopping_patience:
            break
    model.set_weights(best_weights)
    return Fitted(model.towers, rating_model(model, standard), epochs, best)


def _measured(number: int, model: TwoTower, judge: Validation, standard: Standard) -> Epoch:
    losses = {task: float(mean.result()) for task, mean in model.losses_seen.items()}
    ndcg = rmse = None
    if len(judge.users):
        users, items = model.towers.query.all_embeddings(), model.towers.candidate.all_embeddings()
        ratings = rating_model(model, standard)
        ndcg = judge.ndcg(users, items) if "retrieval" in losses else None
        rmse = judge.rmse(ratings, users, items) if ratings is not None else None
    return Epoch(number, losses.get("retrieval"), losses.get("rating"), ndcg, rmse)


def _score(epoch: Epoch) -> float:
    """What early stopping compares, larger is better."""
    if epoch.validation_ndcg is not None:
        return epoch.validation_ndcg
    return -epoch.validation_rmse if epoch.validation_rmse is not None else 0.0


def _check_finite(epoch: Epoch, learning_rate: float) -> None:
    for name in ("retrieval_loss", "rating_loss"):
        loss = getattr(epoch, name)
        if loss is not None and not np.isfinite(loss):
            raise StageError(
                f"epoch {epoch.epoch}: expected a finite {name}, found {loss}; lower train.learning_rate "
                f"({learning_rate:g})"
            )
