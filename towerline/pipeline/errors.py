"""Errors that end a command with one line."""

from typing import ClassVar


class CommandError(Exception):
    """Ends a command with a line that says what was expected, what came, where, and what to do."""

    exit_code: ClassVar[int] = 1


class StageError(CommandError):
    """An error that ends a stage of the pipeline."""
