"""User and item embeddings from a table of interactions: the library of the pipeline and of applications.

    >>> import towerline
    >>> recommender = towerline.open("exports")
    >>> [item.item_type for item in recommender.recommend("u3", k=2, item_type="film")]
    ['film', 'film']

The names of `towerline.serving`, which applications use, are imported at their first use, so that no stage of the
pipeline loads what only an application needs.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from towerline.serving import (
        Recommendation,
        Recommender,
        ServingError,
        SimilarItem,
        SimilarUser,
        UnknownIdError,
        __version__,
        open,
    )

__all__ = [
    "Recommendation",
    "Recommender",
    "ServingError",
    "SimilarItem",
    "SimilarUser",
    "UnknownIdError",
    "__version__",
    "open",
]


def __getattr__(name: str) -> Any:
    if name in __all__:
        return getattr(importlib.import_module("towerline.serving"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
