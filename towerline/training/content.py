"""Values and arrays that belong together, for a file or for a message to other workers."""

from typing import Any, NamedTuple

from numpy.typing import NDArray


class Content(NamedTuple):
    """Values and arrays.

    Attributes:
      values: what JSON can express.
      arrays: name -> array.
    """

    values: dict[str, Any]
    arrays: dict[str, NDArray[Any]]
