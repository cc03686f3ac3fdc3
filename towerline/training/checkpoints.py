"""The state of a training after its last complete epoch, from which a stopped stage continues.

A stage that is killed and started again ends where an undisturbed one ends, to the byte: a checkpoint counts only for
the same code, packages, parameters and rows.
"""

import hashlib
import json
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import towerline
from towerline.pipeline import formats
from towerline.pipeline.terminal import say
from towerline.training.content import Content

# Packages whose code the state of a training depends on.
PACKAGES = ("tensorflow", "tensorflow-recommenders", "tf-keras", "numpy", "scipy", "scikit-learn")
# Start of the name of a training -> how a line calls it.
TRAININGS = {"search": "the search", "fit": "the fit"}
# The array of a file that holds the JSON text of the values.
VALUES = "values"


class Checkpoints:
    """The files of the trainings of a stage, by their names within it.

    Attributes:
      folder: where they are.
      stage: its name.
    """

    def __init__(self, folder: Path, stage: str) -> None:
        self.folder, self.stage = folder, stage

    def read(self, training: str) -> Content | None:
        """What was written last, which a line tells of; None if nothing was."""
        path = self._path(training)
        if not path.exists():
            return None
        say(
            self.stage,
            f"continues {TRAININGS[training.partition('-')[0]]} of a stopped run after its last complete epoch",
        )
        arrays = formats.read_arrays(path)
        return Content(json.loads(arrays.pop(VALUES).tobytes()), arrays)

    def write(self, training: str, content: Content) -> None:
        """Replaces the file, whole or not at all."""
        text = json.dumps(content.values, allow_nan=False).encode()
        formats.write_arrays(self._path(training), {VALUES: np.frombuffer(text, np.uint8), **content.arrays})

    def _path(self, training: str) -> Path:
        return self.folder / f"{training}.npz"


@contextmanager
def checkpoints(parent: Path, stage: str, *causes: Any) -> Iterator[Checkpoints]:
    """Yields the checkpoints of a stage; they are removed at the end of the block, unless it ends with an error.

    Args:
      parent: where their folder is; folders of the stage with other causes are removed.
      stage: its name.
      causes: all that the result depends on besides code and packages: arrays, and what JSON can express.
    """
    folder = parent / f".unfinished.{stage}.{fingerprint(*causes)}"
    for left in parent.glob(f".unfinished.{stage}.*"):
        if left != folder:
            shutil.rmtree(left, ignore_errors=True)
    yield Checkpoints(folder, stage)
    shutil.rmtree(folder, ignore_errors=True)


def fingerprint(*causes: Any) -> str:
    """16 hexadecimal digits of the code of Towerline, the versions of PACKAGES, and the causes."""
    digest = hashlib.sha256()
    package = Path(towerline.__file__).parent
    for path in sorted(package.rglob("*.py")):
        digest.update(path.relative_to(package).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    digest.update(json.dumps([version(name) for name in PACKAGES]).encode())
    for cause in _leaves(causes):
        digest.update(cause if isinstance(cause, memoryview) else json.dumps(cause, sort_keys=True).encode())
    return digest.hexdigest()[:16]


def _leaves(causes: Sequence[Any]) -> Iterator[Any]:
    for cause in causes:
        if isinstance(cause, tuple):
            yield from _leaves(cause)
        elif isinstance(cause, np.ndarray):
            array: NDArray[Any] = np.ascontiguousarray(cause)
            yield [array.dtype.str, array.shape]
            yield array.reshape(-1).view(np.uint8).data
        else:
            yield cause
