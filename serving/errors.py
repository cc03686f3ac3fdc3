"""What can go wrong when the export is used, each told in one line."""

from typing import ClassVar

from stages.terminal import CommandError


class ServingError(CommandError):
    """A question that cannot be answered."""


class UnknownIdError(ServingError, LookupError):
    """An id that the export does not hold.

    Attributes:
      closest: the known ids that are written most like it, the closest first.
    """

    exit_code: ClassVar[int] = 3

    def __init__(self, expected: str, found: str, closest: list[str]) -> None:
        hint = f"; closest known: {', '.join(closest)}" if closest else ""
        super().__init__(f"expected {expected}, found {found}{hint}")
        self.closest = closest
