"""What is asked with, and what is answered."""

from typing import Literal, NamedTuple

ItemKey = tuple[str, str]
# What is answered to a row of a batch whose id the export does not hold.
Unknown = Literal["error", "skip", "popular"]
Skipped = Literal["error", "skip"]


class Recommendation(NamedTuple):
    """An item that is shown.

    Attributes:
      item_type, item_id: what it is known by.
      title: None where the data has none.
      score: cosine of user and item plus the item's popularity prior; for source "popularity" the number of users who
        have the item.
      source: "model", or "popularity" where the user is unknown and that was asked for.
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
    """An item and the cosine of the two items' vectors, above 0 and up to 1; popularity has no part in it."""

    item_type: str
    item_id: str
    title: str | None
    cosine: float
