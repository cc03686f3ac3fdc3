"""Errors of serving, each of one line."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from numbers import Integral
from pathlib import Path
from typing import ClassVar

from towerline.pipeline.errors import CommandError, StageError

Id = str | tuple[str, str]


class ServingError(CommandError):
    """A question that cannot be answered."""


class UnknownIdError(ServingError, LookupError):
    """An id that is not in the export.

    Attributes:
      unknown: the id, or the (type, id) of the item.
      closest: the known ids, or (type, id) of items, with the most similar spelling, best first.
    """

    exit_code: ClassVar[int] = 3

    def __init__(self, expected: str, unknown: Id, closest: Sequence[Id]) -> None:
        # With all arguments, so that the error can be pickled.
        super().__init__(expected, unknown, closest)
        self.expected, self.unknown, self.closest = expected, unknown, closest

    def __str__(self) -> str:
        words = [self.unknown] if isinstance(self.unknown, str) else self.unknown
        closest = ", ".join(known if isinstance(known, str) else " ".join(known) for known in self.closest)
        hint = f"; closest known: {closest}" if closest else ""
        return f"expected {self.expected}, found {' '.join(repr(str(word)) for word in words)}{hint}"


@contextmanager
def stage_errors_as_serving_errors() -> Iterator[None]:
    """Turns the StageError of an export's format into a ServingError, in a `with` block."""
    try:
        yield
    except StageError as error:
        raise ServingError(str(error)) from None


def check_positive(name: str, value: object) -> None:
    """Checks that an argument is a count; NumPy's integers pass, booleans do not.

    Raises:
      ServingError: it is no whole number of at least 1.
    """
    if not isinstance(value, Integral) or isinstance(value, bool) or value < 1:
        raise ServingError(f"{name}: expected a whole number of at least 1, found {value!r}")


def folder_path(folder: object) -> Path:
    """Converts an argument to the path of a folder.

    Raises:
      ServingError: it is neither text nor a path, or empty, which would be the current folder.
    """
    if not isinstance(folder, str | os.PathLike):
        raise ServingError(f"expected the path of a folder, found {folder!r}, of type {type(folder).__name__}")
    if not os.fspath(folder):
        raise ServingError("expected the path of a folder, found an empty text; for the current folder give '.'")
    return Path(folder)
