"""User and item embeddings that can be trusted, from a table of interactions.

    >>> import towerline
    >>> recommender = towerline.open("exports")  # doctest: +SKIP
    >>> recommender.recommend("42", k=10)  # doctest: +SKIP

What an application uses is here; it is imported when it is first asked for, so that a stage of the pipeline does not
pay for it.
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
        open,
    )

__all__ = ["Recommendation", "Recommender", "ServingError", "SimilarItem", "SimilarUser", "UnknownIdError", "open"]


def __getattr__(name: str) -> Any:
    if name in __all__:
        return getattr(importlib.import_module("towerline.serving"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
