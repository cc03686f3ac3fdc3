"""Types of questions and answers, and the answers that rows of an export are."""

from collections.abc import Sequence
from typing import Literal, NamedTuple

from towerline.serving.errors import ServingError
from towerline.serving.exported import Exported
from towerline.serving.ranking import Best

ItemKey = tuple[str, str]
# The answer to an unknown id.
Unknown = Literal["error", "skip", "popular"]
Skipped = Literal["error", "skip"]


class Recommendation(NamedTuple):
    """A recommended item.

    Attributes:
      item_type, item_id: key of the item.
      title: None if the data has none.
      score: cosine of user and item plus the popularity prior; the prior alone for source "popularity".
      source: "model", or "popularity" for an unknown user with unknown="popular".
    """

    item_type: str
    item_id: str
    title: str | None
    score: float
    source: Literal["model", "popularity"] = "model"


class SimilarUser(NamedTuple):
    """A user with similar interactions.

    Attributes:
      user_id: the user.
      similarity: cosine of the two users' vectors, each shrunk by how little is known of the user: above 0, below 1;
        see towerline.ranking.similarity.
    """

    user_id: str
    similarity: float


class SimilarItem(NamedTuple):
    """An item and the cosine of the two items' vectors, above 0 and up to 1, without the popularity prior.

    The vector of an item without training rows, expected from features, is 0 to about 1 long, and the product with it
    is smaller accordingly.
    """

    item_type: str
    item_id: str
    title: str | None
    cosine: float


def check_unknown(unknown: str, allowed: Sequence[str]) -> None:
    """Checks the argument `unknown` of a question.

    Raises:
      ServingError: it is none of those that the question allows.
    """
    if unknown not in allowed:
        raise ServingError(f"unknown: expected {' or '.join(map(repr, allowed))}, found {unknown!r}")


def recommendations(
    exported: Exported, best: Best, source: Literal["model", "popularity"] = "model"
) -> list[list[Recommendation]]:
    """The best items of each query."""
    return [[Recommendation(*exported.item(row), score, source) for row, score in rows] for rows in _found(best)]


def similar_users(exported: Exported, best: Best) -> list[list[SimilarUser]]:
    """The nearest users of each query."""
    return [[SimilarUser(exported.user_ids[row].as_py(), score) for row, score in rows] for rows in _found(best)]


def similar_items(exported: Exported, best: Best) -> list[list[SimilarItem]]:
    """The nearest items of each query."""
    return [[SimilarItem(*exported.item(row), score) for row, score in rows] for rows in _found(best)]


def _found(best: Best) -> list[list[tuple[int, float]]]:
    """Rows and scores of each query, without those of -1."""
    return [
        [(row, score) for row, score in zip(rows, scores, strict=True) if row >= 0]
        for rows, scores in zip(best.rows.tolist(), best.scores.tolist(), strict=True)
    ]
