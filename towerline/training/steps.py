"""The steps of a training: what all of its workers do at the same time, each with its own rows."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from towerline.artifacts.split import Interactions
from towerline.towers import tf
from towerline.towers.towers import Towers
from towerline.training.batches import Batch, PairBatches, Part, UserBatches
from towerline.training.content import Content
from towerline.training.history import History
from towerline.training.optimizers import optimizer
from towerline.training.ratings import Standard
from towerline.training.recipe import Hyperparameters
from towerline.training.two_tower import RatingTerms, TwoTower
from towerline.training.workers import Workers

# Names of the embedding tables, and of the weights of the rating task, among the variables.
USERS, ITEMS, USER_WEIGHTS, ITEM_WEIGHTS = "users", "items", "user_weights", "item_weights"
BIASES = "user_bias", "item_bias"


class Job(NamedTuple):
    """What every worker has to know of a training besides its rows.

    Attributes:
      settings: the hyperparameters.
      num_rows: number of rows of all workers.
      num_users, num_items: sizes of the vocabularies.
      standard: of the ratings.
      negatives: true if rows of the strength 0 are negatives.
      random: state of the random numbers.
      active, counts: as in Part.
      strength: [num_rows] float32 strengths of all rows; None where each counts as one.
      biases: [num_users + 1] and [num_items + 1] float32 in standard deviations; None without the rating task.
      variables: name -> value, of those that do not start as zeros.
    """

    settings: Hyperparameters
    num_rows: int
    num_users: int
    num_items: int
    standard: Standard
    negatives: bool
    random: dict[str, Any]
    active: NDArray[np.int32]
    counts: NDArray[np.float64]
    strength: NDArray[np.float32] | None
    biases: tuple[NDArray[np.float32], NDArray[np.float32]] | None
    variables: dict[str, NDArray[Any]]

    def content(self) -> Content:
        """The job as a message."""
        settings = Hyperparameters(**{name: getattr(self.settings, name) for name in Hyperparameters.model_fields})
        values = {
            "settings": settings.model_dump(mode="json"),
            "random": self.random,
            "numbers": [self.num_rows, self.num_users, self.num_items, self.negatives, *self.standard],
        }
        arrays: dict[str, NDArray[Any]] = {f"={name}": value for name, value in self.variables.items()}
        arrays |= {"active": self.active, "counts": self.counts}
        if self.strength is not None:
            arrays["strength"] = self.strength
        if self.biases is not None:
            arrays |= dict(zip(BIASES, self.biases, strict=True))
        return Content(values, arrays)

    @classmethod
    def of_content(cls, content: Content) -> "Job":
        """The job that content() made the message of."""
        values, arrays = content
        num_rows, num_users, num_items, negatives, mean, deviation = values["numbers"]
        return cls(
            settings=Hyperparameters(**values["settings"]),
            num_rows=num_rows,
            num_users=num_users,
            num_items=num_items,
            standard=Standard(mean, deviation),
            negatives=negatives,
            random=values["random"],
            active=arrays["active"],
            counts=arrays["counts"],
            strength=arrays.get("strength"),
            biases=(arrays[BIASES[0]], arrays[BIASES[1]]) if BIASES[0] in arrays else None,
            variables={name[1:]: array for name, array in arrays.items() if name.startswith("=")},
        )

    def batches(self, history: History, worker: int, workers: int) -> UserBatches | PairBatches:
        """The batches of a worker.

        Args:
          history: its rows.
          worker, workers: number of the worker, from 0, and number of workers.
        """
        settings, rows = self.settings, history.rows
        rating = self.standard.standardized(rows) if settings.rating_weight else None
        part = Part(worker, workers, self.num_rows, self.active, self.counts)
        if settings.loss == "grouped_softmax":
            return UserBatches(history, rating, settings.batch_size, settings.candidates, self.negatives, part)
        return PairBatches(rows, rating, settings.batch_size, part)


class Steps:
    """A model and the batches of a worker.

    Attributes:
      model: the model.
      temperature: variable that divides the cosines.
      batches: of this worker.
      random: the random numbers, the same in all workers.
    """

    def __init__(self, job: Job, history: History, workers: Workers) -> None:
        """
        Args:
          job: the training.
          history: the rows of this worker, with their strengths.
          workers: all workers.
        """
        self.workers = workers
        self.batches = job.batches(history, workers.index, workers.number)
        with workers.strategy.scope():
            self.temperature = tf.Variable(1.0, trainable=False, dtype=tf.float32)
            self.model = self._model(job)
        self.assign(job.variables)
        self.random = np.random.default_rng()
        self.random.bit_generator.state = job.random
        self.step = self._compiled_step()

    def _model(self, job: Job) -> TwoTower:
        settings = job.settings
        towers = Towers(job.num_users, job.num_items, settings.embedding_dimension)
        weights = {"retrieval": settings.retrieval_weight, "rating": settings.rating_weight}
        weights = {task: weight for task, weight in weights.items() if weight > 0}
        terms = None if job.biases is None else RatingTerms(*job.biases, settings.embedding_dimension)
        workers = None if self.workers.number == 1 else self.workers
        strengths = job.strength is not None
        model = TwoTower(towers, terms, weights, settings.loss, self.temperature, strengths, workers)
        steps = settings.epochs * len(self.batches)
        chosen = optimizer(settings.optimizer, settings.learning_rate, steps, self.workers.number)
        # The moments exist before the first step, so that a checkpoint can be read into them.
        chosen._create_all_weights(model.trainable_variables)
        model.compile(optimizer=chosen)
        return model

    def _compiled_step(self) -> Callable[[Batch], None]:
        """One optimizer step on a batch.

        It is called once per batch from Python: in a tf.while_loop over the batches a step may read embeddings while
        the step before it still writes them, which no seed makes reproducible.
        """

        # No control flow depends on a tensor; AutoGraph would write files to the system's temporary folder.
        @tf.function(input_signature=[batch_spec()], autograph=False)
        def step(batch: Batch) -> None:
            self.workers.strategy.run(self.model.train_step, args=(batch,))

        compiled: Callable[[Batch], None] = step
        return compiled

    def variables(self) -> dict[str, Any]:
        """Name -> variable, of all that a step reads or writes, but for temperature and losses."""
        towers, terms = self.model.towers, self.model.rating_terms
        found = {USERS: towers.query.embedding, ITEMS: towers.candidate.embedding}
        if terms is not None:
            found |= {USER_WEIGHTS: terms.user_weights, ITEM_WEIGHTS: terms.item_weights}
        moments = {f"optimizer_{number}": value for number, value in enumerate(self.model.optimizer.variables())}
        return found | moments

    def state(self) -> Content:
        """The random numbers and the variables that steps change, from which a Job continues."""
        kept = {name: value for name, value in self.variables().items() if name not in (USER_WEIGHTS, ITEM_WEIGHTS)}
        return Content(
            {"random": self.random.bit_generator.state}, {name: value.numpy() for name, value in kept.items()}
        )

    def assign(self, values: dict[str, NDArray[Any]]) -> None:
        """Gives variables other values, in this worker."""
        variables = self.variables()
        for name, value in values.items():
            variables[name].assign(value)

    def assign_in_all(self, values: dict[str, NDArray[Any]]) -> None:
        """Gives variables other values; called by the first worker."""
        self.workers.shared(Content({"do": "assign"}, values))
        self.assign(values)

    def epoch(self, temperature: float) -> dict[str, float]:
        """Trains on all batches once; called by the first worker. Arguments and result as of run()."""
        self.workers.shared(Content({"do": "epoch", "temperature": temperature}, {}))
        return self.run(temperature)

    def end(self) -> None:
        """Ends the training in all workers; called by the first one."""
        self.workers.shared(Content({"do": "end"}, {}))

    def run(self, temperature: float) -> dict[str, float]:
        """Trains on all batches once, while the other workers do the same.

        Args:
          temperature: divides the cosines, above 0.

        Returns:
          Task -> mean of its loss over the pairs of all workers.
        """
        self.model.reset_metrics()
        self.temperature.assign(temperature)
        # The matrix products of a step are NumPy's, whose last bits depend on the number of BLAS threads.
        with threadpool_limits(limits=1, user_api="blas"):
            for batch in ahead(self.batches.epoch(self.random)):
                self.step(batch)
            return {task: float(mean.result()) for task, mean in self.model.losses_seen.items()}


def ahead(batches: Iterator[Batch]) -> Iterator[Batch]:
    """The same batches, each of which is made in another thread while the step before it is taken."""
    with ThreadPoolExecutor(1) as thread:
        waiting = thread.submit(next, batches, None)
        while (batch := waiting.result()) is not None:
            waiting = thread.submit(next, batches, None)
            yield batch


def batch_spec() -> Batch:
    """Types and shapes of the arrays of a batch."""
    index = tf.TensorSpec([None], tf.int32)
    number = tf.TensorSpec([None], tf.float32)
    masked = tf.TensorSpec([None, 2], tf.int32)
    return Batch(index, index, index, index, number, number, masked, number, index, number)


def follow(workers: Workers, rows_of: Callable[[Job], Interactions]) -> int:
    """Takes part in the trainings of the first worker until it ends them, and returns their number.

    Args:
      workers: of which this is not the first.
      rows_of: reads the rows of this worker.
    """
    trainings = 0
    while (content := workers.shared()).values:
        job = Job.of_content(content)
        steps = Steps(job, History(rows_of(job)), workers)
        while (order := workers.shared()).values["do"] != "end":
            if order.values["do"] == "epoch":
                steps.run(order.values["temperature"])
            else:
                steps.assign(order.arrays)
        trainings += 1
    return trainings
