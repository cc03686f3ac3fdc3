"""TensorFlow and TensorFlow Recommenders, set up before they are loaded, and the towers.

Every module that computes with TensorFlow imports it from here.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

# tensorflow-recommenders is written for Keras 2, which TensorFlow hands out only where this is set before its import.
# Set here and not in the shell, since queued experiments do not inherit the shell's variables.
os.environ["TF_USE_LEGACY_KERAS"] = "1"
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"


@contextmanager
def _silenced_standard_error() -> Iterator[None]:
    """TensorFlow tells of missing GPU drivers before it reads its log level; a failing import still raises."""
    kept = os.dup(2)
    with Path(os.devnull).open("wb") as nowhere:
        os.dup2(nowhere.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


with _silenced_standard_error():
    import tensorflow as tf
    import tensorflow_recommenders as tfrs

# A search with several ways of counting rows compiles the same step for each of them, and TensorFlow warns of it.
tf.get_logger().setLevel("ERROR")

__all__ = ["tf", "tfrs"]
