"""Types of questions and answers."""

from typing import Literal, NamedTuple

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
    """An item and the cosine of the two items' vectors, above 0 and up to 1, without the popularity prior."""

    item_type: str
    item_id: str
    title: str | None
    cosine: float
