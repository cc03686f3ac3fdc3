"""Training of the two towers on some rows by a recipe: seeded and deterministic."""

import itertools
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from towerline.artifacts.split import Interactions
from towerline.artifacts.train import ModelFiles
from towerline.features.reading import NO_FEATURES, FeatureTables
from towerline.feedback.strengths import with_strengths
from towerline.metrics.ratings import RatingModel, rating_biases
from towerline.pipeline.errors import StageError
from towerline.ranking.embedding import directions
from towerline.ranking.popularity import decayed_counts
from towerline.ranking.scorers import Embeddings
from towerline.ranking.similarity import user_terms
from towerline.ranking.user_items import interaction_matrix
from towerline.towers import tf
from towerline.towers.products import unit
from towerline.towers.towers import Towers, only
from towerline.training.batches import Batch
from towerline.training.checkpoints import Checkpoints
from towerline.training.content import Content
from towerline.training.history import History
from towerline.training.new_ids import NewIds, new_items, new_users
from towerline.training.prior import item_terms
from towerline.training.rating_head import RatingHead, Regressions
from towerline.training.ratings import Standard
from towerline.training.recipe import Hyperparameters, Prior, Recipe
from towerline.training.shards import Shard
from towerline.training.spectral import Vectors, spectral_start
from towerline.training.steps import ITEM_WEIGHTS, ITEMS, USER_WEIGHTS, USERS, Job, Steps, batch_spec
from towerline.training.workers import Workers

# The reported loss is that of the same batches at the same temperature in every epoch: the temperature of training may
# change from epoch to epoch, and the loss with it.
REPORTED_TEMPERATURE, REPORTED_BATCHES = 0.25, 4
# Start of the names of a caller's arrays in a checkpoint.
OF_CALLER = "+"


class Epoch(NamedTuple):
    """A row of reports/training.csv; None for a task that is not trained, or without validation set.

    Attributes:
      epoch: from 1.
      retrieval_loss: mean over the same training batches, and at the same temperature, in every epoch.
      rating_loss: mean over the epoch's batches.
      validation_ndcg: NDCG@20 on the validation set, with the half-life of the histories that the first epoch chose.
      validation_rmse: root mean squared error on the validation set, without decay.
      temperature: that the epoch was trained with.
    """

    epoch: int
    retrieval_loss: float | None
    rating_loss: float | None
    validation_ndcg: float | None
    validation_rmse: float | None
    temperature: float


class State(NamedTuple):
    """The towers at a point of the training.

    Attributes:
      own: [num_users + 1, d] float32, the users' own rows without their histories, not normalized.
      items: [num_items + 1, d] float32 unit vectors, or zero vectors.
    """

    own: NDArray[np.float32]
    items: NDArray[np.float32]


class Fitted(NamedTuple):
    """The result of a fit.

    Attributes:
      towers: the towers.
      rating_model: None without the rating task.
      epochs: the epochs.
      new_users, new_items: embeddings of the ids without rows, from features; None without declared features.
    """

    towers: Towers
    rating_model: RatingModel | None
    epochs: list[Epoch]
    new_users: NewIds | None
    new_items: NewIds | None

    def embeddings(self) -> Embeddings:
        """The embeddings of all users and items, unknown ids at index 0."""
        users, items = self.towers.query.all_embeddings(), self.towers.candidate.all_embeddings()
        for embeddings, new_ids in ((users, self.new_users), (items, self.new_items)):
            if new_ids is not None:
                embeddings[new_ids.ids] = new_ids.embeddings
        return Embeddings(users, items)

    def vectors(self) -> Vectors:
        """The vectors of all ids without the terms of the prior, of length 1 for ids with rows."""
        return Vectors(*map(directions, self.embeddings()))

    def write(self, files: ModelFiles, recipe: Recipe, num_rows: int) -> None:
        """Writes embeddings, rating head, encoders, sizes and recipe.

        Args:
          files: where to.
          recipe: the recipe of the fit.
          num_rows: number of rows of the fit.
        """
        files.write(
            *self.embeddings(),
            self.rating_model._asdict() if self.rating_model is not None else {},
            _encoder_arrays(self.new_users),
            _encoder_arrays(self.new_items),
            recipe.model_dump(),
            num_rows,
        )


def seed_everything(seed: int, threads: int, device: str) -> None:
    """Makes TensorFlow's arithmetic a function of its inputs, the seed, the number of threads and the device.

    To be called once in a process, before TensorFlow is used: neither threads nor device can be changed afterwards.
    """
    if device == "cpu":
        tf.config.set_visible_devices([], "GPU")
    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    tf.config.experimental.enable_op_determinism()
    tf.keras.utils.set_random_seed(seed)


class Run(NamedTuple):
    """Where trainings run.

    Attributes:
      workers: the processes that take part.
      checkpoints: of the stage; None for none.
    """

    workers: Workers
    checkpoints: Checkpoints | None


class Training:
    """The state of one training, in the first worker: its steps, its rows, and what is fitted between the epochs.

    Attributes:
      users, items: the ids with rows that count, ascending.
      steps: what all workers do.
      saved, saved_arrays: what save() was given before this training was stopped; None for a new training.
    """

    def __init__(
        self,
        settings: Hyperparameters,
        rows: Interactions,
        biases: RatingModel | None,
        start: Vectors | None = None,
        negatives: bool = False,
        run: Run | None = None,
        name: str = "fit",
    ) -> None:
        """
        Args:
          settings: the hyperparameters.
          rows: the rows to train on, with their strengths; with ratings if there is a rating task.
          biases: user and item biases of the rating task; None without that task.
          start: initial vectors of the towers; None for spectral_start().
          negatives: true if the rows of the strength 0 are negatives in the loss.
          run: where it runs; None for this process alone, without checkpoints.
          name: of the training within the run.
        """
        self.settings = settings
        self.history = History(rows)
        self.seen = self.history.seen
        counted = rows.counted()
        self.users, self.items = counted.users(), counted.items()
        self.standard = Standard.of(rows.rating if settings.rating_weight else None)
        self.biases = biases
        self.regressions = Regressions(self.history, biases) if biases is not None else None
        self.rating_head: RatingHead | None = None
        self.name, (workers, self.checkpoints) = name, run or Run(Workers.of_strategy("single"), None)
        saved = None if self.checkpoints is None else self.checkpoints.read(name)
        self.saved: Any = None if saved is None else saved.values["saved"]
        self.saved_arrays = {} if saved is None else _of_caller(saved)
        job = self._job(rows, start, negatives, saved)
        workers.shared(job.content())
        shard = Shard.of(job, workers)
        own = self.history if workers.number == 1 else History(rows.where(shard.mask(rows.user_index)))
        self.steps = Steps(job, own, workers)
        self.batches = self.steps.batches if workers.number == 1 else job.batches(self.history, 0, 1)
        self.model, self.temperature = self.steps.model, self.steps.temperature
        self._fit_rating_head()
        reported = self.batches.epoch(np.random.default_rng(settings.seed))
        self.reported_batches = list(itertools.islice(reported, REPORTED_BATCHES))
        self.reported_loss = self._compiled_reported_loss()

    def _job(self, rows: Interactions, start: Vectors | None, negatives: bool, saved: Content | None) -> Job:
        settings, biases = self.settings, None
        if self.biases is not None:
            deviation = np.float32(self.standard.deviation)
            biases = self.biases.user_bias / deviation, self.biases.item_bias / deviation
        if saved is None:
            random = dict(np.random.default_rng(settings.seed).bit_generator.state)
            start = start or spectral_start(interaction_matrix(rows), settings.embedding_dimension, settings.seed)
            variables = {USERS: only(start.users, self.users), ITEMS: only(start.items, self.items)}
        else:
            random = saved.values["random"]
            variables = {name: array for name, array in saved.arrays.items() if not name.startswith(OF_CALLER)}
        return Job(
            settings=settings,
            num_rows=len(rows.user_index),
            num_users=rows.num_users,
            num_items=rows.num_items,
            standard=self.standard,
            negatives=negatives,
            random=random,
            active=rows.users(),
            counts=decayed_counts(rows, None),
            strength=rows.strength,
            biases=biases,
            variables=variables,
        )

    def save(self, values: Any, arrays: dict[str, NDArray[Any]] | None = None) -> None:
        """Keeps the state after an epoch, where there are checkpoints.

        Args:
          values: what the caller needs to continue, as JSON can express it.
          arrays: further arrays of the caller.
        """
        if self.checkpoints is not None:
            state = self.steps.state()
            named = {OF_CALLER + name: array for name, array in (arrays or {}).items()}
            self.checkpoints.write(self.name, Content(state.values | {"saved": values}, state.arrays | named))

    def _compiled_reported_loss(self) -> Callable[[Batch], tf.Tensor]:
        @tf.function(input_signature=[batch_spec()], autograph=False)
        def loss(batch: Batch) -> tf.Tensor:
            return self.model.retrieval_loss_at(REPORTED_TEMPERATURE, batch)

        compiled: Callable[[Batch], tf.Tensor] = loss
        return compiled

    def retrieval_loss(self) -> float:
        """The mean retrieval loss per pair over reported_batches."""
        # The matrix products are NumPy's, whose last bits depend on the number of BLAS threads.
        with threadpool_limits(limits=1, user_api="blas"):
            losses = [float(self.reported_loss(batch)) for batch in self.reported_batches]
        return float(np.average(losses, weights=[len(batch.pair_user) for batch in self.reported_batches]))

    def state(self) -> State:
        """The towers at this point of the training."""
        towers = self.model.towers
        return State(towers.query.embedding.numpy(), unit(tf.convert_to_tensor(towers.candidate.embedding)).numpy())

    def user_vectors(
        self, state: State, half_life: float | None, users: NDArray[np.int32] | None = None
    ) -> NDArray[np.float32]:
        """[queries, d] float32 unit vectors of users, with their histories.

        Args:
          state: of the towers.
          half_life: of the histories, in items; None for no decay, as in the training.
          users: [queries] int32; None for all.
        """
        vectors = state.own if users is None else state.own[users]
        if self.model.history_weight:
            users = np.arange(len(vectors), dtype=np.int32) if users is None else users
            sums = self.history.sums(half_life, state.items, users)
            sums *= np.float32(self.model.history_weight)
            sums += vectors
            vectors = sums
        unit_vectors: NDArray[np.float32] = unit(tf.constant(vectors)).numpy()
        return unit_vectors

    def _fit_rating_head(self) -> None:
        """Fits the rating head to the vectors as they are, without decay; the next epoch holds its weights fixed."""
        terms = self.model.rating_terms
        if terms is None or self.regressions is None:
            return
        state = self.state()
        self.rating_head = self.regressions.fit(Vectors(self.user_vectors(state, None), state.items))
        deviation, weights = np.float32(self.standard.deviation), self.rating_head.weights
        self.steps.assign_in_all({USER_WEIGHTS: weights.users / deviation, ITEM_WEIGHTS: weights.items / deviation})

    def rating_model(self) -> RatingModel | None:
        """The biases and the rating head, fitted after the last epoch, in the unit of the raw ratings."""
        if self.rating_head is None or self.biases is None:
            return None
        return self.rating_head.rating_model(self.biases)

    def epoch(self, number: int, temperature: float) -> Epoch:
        """Trains on all batches once.

        Args:
          number: of the epoch, from 1.
          temperature: divides the cosines, above 0.

        Returns:
          The losses, without validation metrics.

        Raises:
          StageError: a loss or an embedding is not finite.
        """
        losses = self.steps.epoch(temperature)
        _check_finite(number, losses, self.settings.learning_rate)
        if "retrieval" in losses:
            losses["retrieval"] = self.retrieval_loss()
        if not all(np.isfinite(vectors).all() for vectors in self.state()):
            raise StageError(
                f"epoch {number}: expected finite embeddings, found NaN or infinity; lower train.learning_rate "
                f"({self.settings.learning_rate:g})"
            )
        self._forget_uncounted()
        self._fit_rating_head()
        return Epoch(number, losses.get("retrieval"), losses.get("rating"), None, None, float(self.temperature.numpy()))

    def _forget_uncounted(self) -> None:
        """Sets the vectors of ids none of whose rows count to 0 again: the ratings of dislikes have moved them."""
        if self.history.strengths is not None:
            towers = self.model.towers
            users, items = towers.query.embedding.numpy(), towers.candidate.embedding.numpy()
            self.steps.assign_in_all({USERS: only(users, self.users), ITEMS: only(items, self.items)})

    def finish(self, prior: Prior, half_life: float | None, rows: Interactions) -> Towers:
        """Ends the training: adds the users' histories to the query tower, and the terms of the prior to both towers.

        Args:
          prior: the prior.
          half_life: of the histories, in items; None for no decay.
          rows: the rows of the training, from which the terms are computed.
        """
        self.steps.end()
        towers = self.model.towers
        towers.query.embedding.assign(self.user_vectors(self.state(), half_life))
        towers.query.extra.assign(user_terms(self.seen.counts()))
        towers.candidate.extra.assign(item_terms(prior, rows))
        return towers


def fit(
    recipe: Recipe,
    rows: Interactions,
    on_epoch: Callable[[Epoch], object] = lambda epoch: None,
    start: Vectors | None = None,
    tables: FeatureTables = NO_FEATURES,
    run: Run | None = None,
) -> Fitted:
    """Trains the two towers on all rows by a recipe.

    Args:
      recipe: the hyperparameters, the temperature of each epoch, and the prior.
      rows: the rows; with ratings if the rating task has a weight or dislikes have a threshold, with times if the prior
        has a half-life.
      on_epoch: called after each epoch.
      start: initial vectors of the towers, such as from warm_start(); None for spectral_start().
      tables: the columns of the features that the recipe declares.
      run: where it runs; None for this process alone, without checkpoints.

    Raises:
      StageError: a loss is not finite.
    """
    rows = with_strengths(rows, recipe.feedback)
    biases = None if recipe.bias_regularization is None else rating_biases(rows, recipe.bias_regularization)
    training = Training(recipe, rows, biases, start, recipe.feedback.dislikes == "negatives", run)
    epochs = [] if training.saved is None else [Epoch(*values) for values in training.saved]
    for epoch in epochs:
        on_epoch(epoch)
    for number, temperature in enumerate(recipe.temperatures[len(epochs) :], len(epochs) + 1):
        epochs.append(training.epoch(number, temperature))
        training.save(epochs)
        on_epoch(epochs[-1])
    towers = training.finish(recipe.prior, recipe.history_half_life, rows)
    learned = Vectors(*(directions(tower.all_embeddings()) for tower in (towers.query, towers.candidate)))
    new_ids = (new(recipe, tables, learned, rows.counted()) for new in (new_users, new_items))
    return Fitted(towers, training.rating_model(), epochs, *new_ids)


def _encoder_arrays(new_ids: NewIds | None) -> dict[str, NDArray[Any]]:
    return {} if new_ids is None else new_ids.encoder.arrays()


def _of_caller(saved: Content) -> dict[str, NDArray[Any]]:
    """The further arrays that Training.save() was given."""
    names = (name for name in saved.arrays if name.startswith(OF_CALLER))
    return {name.removeprefix(OF_CALLER): saved.arrays[name] for name in names}


def _check_finite(epoch: int, losses: dict[str, float], learning_rate: float) -> None:
    for task, loss in losses.items():
        if not np.isfinite(loss):
            raise StageError(
                f"epoch {epoch}: expected a finite {task}_loss, found {loss}; lower train.learning_rate "
                f"({learning_rate:g})"
            )
