"""The worker processes of a training: one, or several that tf.distribute connects.

The first worker leads: it reads all rows, makes the initial vectors, measures the validation set, and writes the model.
The others follow it: each reads its own part of the rows. A training step is taken by all of them at once, and leaves
the same towers in all.
"""

import json
import signal
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from towerline.pipeline.errors import StageError
from towerline.towers import tf
from towerline.training.content import Content
from towerline.training.place import Place, place

# Number of int32 that are sent at once.
CHUNK = 1 << 20
# Seconds in which all workers have to be started.
PATIENCE = 600.0


class Workers:
    """The workers of a training.

    Attributes:
      strategy: that of tf.distribute.
      index: of this worker, from 0.
      number: of workers.
    """

    def __init__(self, strategy: Any, index: int, number: int) -> None:
        self.strategy, self.index, self.number = strategy, index, number

        @tf.function(input_signature=[tf.TensorSpec([CHUNK], tf.int32)], autograph=False)
        def sums(chunk: tf.Tensor) -> tf.Tensor:
            return strategy.run(self.summed, args=(chunk,))

        self._sums: Callable[[NDArray[np.int32]], tf.Tensor] = sums

    @classmethod
    def of_strategy(cls, name: str) -> "Workers":
        """The workers of train.strategy; for several, waits until all of them have been started.

        To be called after seed_everything(), and before TensorFlow computes anything.

        Raises:
          StageError: TF_CONFIG names no workers, the port of this one is taken, or another one is not started.
        """
        here = place(name)
        strategy = tf.distribute.get_strategy() if name == "single" else _connected(here, PATIENCE)
        return cls(strategy, here.worker, here.workers)

    def summed(self, value: tf.Tensor) -> tf.Tensor:
        """The sum of the values that the workers have, in a function that strategy.run() calls."""
        if self.number == 1:
            return value
        # all_reduce() takes no argument of the function as it is.
        return tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.SUM, tf.identity(value))

    def gathered(self, value: tf.Tensor) -> tf.Tensor:
        """[all rows, ...] the rows of all workers, worker by worker, in a function that strategy.run() calls."""
        if self.number == 1:
            return value
        return tf.distribute.get_replica_context().all_gather(tf.identity(value), axis=0)

    def shared(self, message: Content | None = None) -> Content:
        """The message of the first worker; the others wait for it, and give none."""
        if self.number == 1:
            assert message is not None
            return message
        arrays = message.arrays if message is not None else {}
        head = None
        if message is not None:
            shapes = {name: (array.dtype.str, array.shape) for name, array in arrays.items()}
            head = np.frombuffer(json.dumps([message.values, shapes]).encode().ljust(4), np.uint8)
        size = self._sent(None if head is None else np.array([len(head)], np.int64), "<i8", (1,))
        text = self._sent(head, "|u1", (int(size[0]),)).tobytes()
        values, shapes = json.loads(text)
        return Content(
            values, {name: self._sent(arrays.get(name), dtype, shape) for name, (dtype, shape) in shapes.items()}
        )

    def dismiss(self) -> None:
        """Ends the part of the other workers; called by the first one."""
        self.shared(Content({}, {}))

    def _sent(self, array: NDArray[Any] | None, dtype: str, shape: tuple[int, ...]) -> NDArray[Any]:
        """The array that the first worker gives, whose dtype and shape all know, in all workers."""
        received = np.zeros(shape, dtype) if array is None else np.ascontiguousarray(array)
        content = received.reshape(-1).view(np.uint8)
        for start in range(0, len(content), 4 * CHUNK):
            part = content[start : start + 4 * CHUNK]
            chunk = np.zeros(4 * CHUNK, np.uint8)
            chunk[: len(part)] = part
            # The others add zeros, so that the sum of int32 has the bits of the first worker.
            summed = self._sums(chunk.view(np.int32)).numpy()
            if array is None:
                part[:] = summed.view(np.uint8)[: len(part)]
        return received

    @contextmanager
    def connected(self) -> Iterator[None]:
        """Turns the loss of another worker within the block into an error of one line.

        Raises:
          StageError: another worker has ended.
        """
        try:
            yield
        except (tf.errors.UnavailableError, tf.errors.AbortedError, tf.errors.CancelledError, tf.errors.InternalError):
            if self.number == 1:
                raise
            raise StageError(
                f"train.strategy: expected {self.number} workers until the end, found that one has stopped; see its "
                "output, then start all of them again: they continue after the last epoch that the first one has saved"
            ) from None


def _connected(here: Place, patience: float) -> Any:
    """The strategy of several workers, once all of them are there; arguments and errors as of _meet()."""
    # TensorFlow would wait without an end, and without an answer to signals.
    _meet(here, patience)
    strategy = tf.distribute.MultiWorkerMirroredStrategy()
    # TensorFlow takes this signal for the notice of a machine that is about to be taken away.
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    return strategy


def _meet(here: Place, patience: float) -> None:
    """Waits until all workers listen at their addresses.

    Args:
      here: the place of this one, which listens meanwhile.
      patience: seconds to wait.

    Raises:
      StageError: the port of this worker is taken, or another one is not started.
    """
    addresses = [(host, int(port)) for host, port in (address.rsplit(":", 1) for address in here.addresses)]
    port = addresses.pop(here.worker)[1]
    try:
        server = socket.create_server(("", port))
    except OSError as error:
        raise StageError(
            f"train.strategy: expected port {port}, which TF_CONFIG gives this worker, to be free, found that it is "
            f"not ({error.strerror}); name a free port, and see that no earlier worker still runs"
        ) from None
    end = time.monotonic() + patience
    with server:
        while addresses := [address for address in addresses if not _listens(address)]:
            if time.monotonic() > end:
                host, port = addresses[0]
                raise StageError(
                    f"train.strategy: expected all {here.workers} workers of TF_CONFIG within {patience:g} seconds, "
                    f"found none at {host}:{port}; start the same stage in each of them"
                )
            time.sleep(0.2)


def _listens(address: tuple[str, int]) -> bool:
    try:
        with socket.create_connection(address, timeout=1):
            return True
    except OSError:
        return False
