"""The rows of a worker."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from towerline.artifacts.split import Interactions, read_joined
from towerline.pipeline import formats
from towerline.pipeline.errors import StageError
from towerline.training.batches import NO_NUMBERS
from towerline.training.memory import row_folder
from towerline.training.place import owned
from towerline.training.steps import Job
from towerline.training.workers import Workers


class Shard(NamedTuple):
    """Which rows belong to a worker.

    Attributes:
      worker, workers: number of the worker, from 0, and number of workers.
      by_user: true if a worker has all rows of its users; false if the rows are dealt out one by one.
    """

    worker: int
    workers: int
    by_user: bool

    @classmethod
    def of(cls, job: Job, workers: Workers) -> "Shard":
        """The rows of this worker in a training."""
        return cls(workers.index, workers.number, job.settings.loss == "grouped_softmax")

    def mask(self, user_index: NDArray[np.int32], first: int = 0) -> NDArray[np.bool_]:
        """[rows] true for the rows that belong to the worker.

        Args:
          user_index: [rows] int32.
          first: number of the first row among all rows of the training.
        """
        numbers = user_index if self.by_user else np.arange(first, first + len(user_index))
        return owned(numbers, self.worker, self.workers)


def read_shard(paths: Sequence[Path], job: Job, workers: Workers) -> Interactions:
    """The rows of this worker, with their strengths.

    Args:
      paths: sets of the split; the training is on the first of them, or on several from the first on.
      job: the training.
      workers: all workers.

    Raises:
      StageError: these sets do not have the rows of the training.
    """
    sizes = np.cumsum([formats.num_rows(path) for path in paths])
    if job.num_rows not in sizes:
        raise StageError(
            f"{paths[0]}: expected the rows of the first worker, which has {job.num_rows:,}, found {sizes[0]:,}; give "
            "all workers the same folder data/split"
        )
    shard, strengths = Shard.of(job, workers), [NO_NUMBERS]

    def chosen(user_index: NDArray[np.int32], first: int) -> NDArray[np.bool_]:
        mask = shard.mask(user_index, first)
        if job.strength is not None:
            strengths.append(job.strength[first : first + len(mask)][mask])
        return mask

    of_training = paths[: int(np.searchsorted(sizes, job.num_rows)) + 1]
    rows = read_joined(of_training, row_folder(job.settings, job.num_rows // workers.number), chosen)
    return rows if job.strength is None else rows._replace(strength=np.concatenate(strengths))
