"""The place of this process among the workers of a training."""

import json
import os
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from towerline.pipeline.errors import StageError

EXAMPLE = '{"cluster": {"worker": ["host-a:2222", "host-b:2222"]}, "task": {"type": "worker", "index": 0}}'


class Place(NamedTuple):
    """The place of a worker.

    Attributes:
      worker: number of the worker, from 0.
      addresses: host and port of all workers; none for a single one.
    """

    worker: int
    addresses: tuple[str, ...] = ()

    @property
    def workers(self) -> int:
        """Number of workers."""
        return max(1, len(self.addresses))


def owned(numbers: NDArray[Any], worker: int, workers: int) -> NDArray[np.bool_]:
    """[any] true for the numbers, of users or of rows, that belong to a worker: each in turn has the next one."""
    mask: NDArray[np.bool_] = numbers % workers == worker
    return mask


def place(strategy: str) -> Place:
    """The place that the variable TF_CONFIG gives this process, where train.strategy is multi_worker.

    Raises:
      StageError: TF_CONFIG names no workers.
    """
    if strategy == "single":
        return Place(0)
    config = os.environ.get("TF_CONFIG")
    try:
        content = json.loads(config or "")
        task, addresses = content["task"], tuple(content["cluster"]["worker"])
        if not all(address.partition(":")[2].isdigit() for address in addresses):
            addresses = ()
        index = int(task["index"]) if task["type"] == "worker" else -1
    except (ValueError, KeyError, TypeError, AttributeError):
        index, addresses = -1, ()
    if 0 <= index < len(addresses):
        return Place(index, addresses)
    raise StageError(
        f"train.strategy: expected TF_CONFIG to name the workers of multi_worker, as in {EXAMPLE}, found "
        f"{'no such variable' if config is None else repr(config)}; set it, or set train.strategy to single"
    )
