"""Errors that end a command with one line."""

from typing import ClassVar


class CommandError(Exception):
    """Ends a command with a line that gives the place, the expected and the actual value, and a remedy."""

    exit_code: ClassVar[int] = 1


class StageError(CommandError):
    """An error that ends a stage of the pipeline."""
