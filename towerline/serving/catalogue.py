"""The items of an export, as a question names them and as it may be answered with."""

from collections.abc import Iterable
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from towerline.ranking.user_items import UserItems
from towerline.serving.answers import ItemKey, Unknown
from towerline.serving.errors import check_positive
from towerline.serving.exported import Exported
from towerline.serving.ids import Items, listed, listed_items
from towerline.serving.ranking import Best, Candidates, best_items, best_of_index, longest


class Catalogue:
    """The items of an export, and the search for the best of them."""

    def __init__(self, exported: Exported, items: Items) -> None:
        """
        Args:
          exported: an open export.
          items: the keys of its items.
        """
        self._items = items
        self._vectors = exported.item_embeddings
        self._index = exported.item_index

    @cached_property
    def longest(self) -> float:
        """Length of the longest vector of an item, or slightly more."""
        return longest(self._vectors)

    @cached_property
    def everything(self) -> Candidates:
        """All items."""
        return Candidates(self._vectors, np.arange(len(self._vectors), dtype=np.int32), self.longest)

    def candidates(self, item_type: str | None, allow: Iterable[ItemKey] | None = None) -> Candidates | None:
        """The items of a type and of a list; None for all."""
        of_type = range(len(self._vectors)) if item_type is None else self._items.of_type(item_type)
        if allow is not None:
            rows = np.unique(self._items.rows(listed_items(allow)))
            rows = rows[(rows >= of_type.start) & (rows < of_type.stop)]
            return Candidates(self._vectors[rows], rows, self.longest)
        if item_type is None:
            return None
        return Candidates(self._vectors[of_type.start : of_type.stop], np.array(of_type, np.int32), self.longest)

    def denied(self, deny: Iterable[ItemKey] | None) -> NDArray[np.int32]:
        """[any] int32 rows of the denied items; unknown ones are ignored."""
        rows = self._items.find([] if deny is None else listed_items(deny))
        return np.unique(rows[rows >= 0])

    def histories(
        self, histories: Iterable[Iterable[ItemKey]], unknown: Unknown
    ) -> tuple[UserItems, NDArray[np.bool_]]:
        """The known items of the histories that have some, or have no items at all.

        Args:
          histories: (type, id) items.
          unknown: "error" for an error where a history has unknown items alone.

        Returns:
          The rows of the items of each of these histories, and [asked] bool, True for these histories.

        Raises:
          UnknownIdError: for the first item of the first history without known items.
        """
        asked = [listed_items(items) for items in listed(histories, "histories")]
        rows = [self._items.find(items) for items in asked]
        answered = np.array([not len(own) or (own >= 0).any() for own in rows], bool)
        if unknown == "error" and not answered.all():
            self._items.rows(asked[int(np.argmin(answered))])
        known = [own[own >= 0] for own, there in zip(rows, answered, strict=True) if there]
        user = np.repeat(np.arange(len(known), dtype=np.int32), [len(own) for own in known])
        items = np.concatenate([np.zeros(0, np.int32), *known])
        return UserItems.of_pairs(user, items, num_rows=len(known)), answered

    def best(self, queries: NDArray[np.float32], candidates: Candidates | None, excluded: UserItems, k: int) -> Best:
        """The k best rows for query vectors.

        Args:
          queries: [queries, d] float32.
          candidates: the items to search, exactly; None for all, by the index if there is one.
          excluded: row r holds the rows that are excluded for query r.
          k: at least 1.

        Returns:
          At most k columns: no more than there are candidates, since others would be empty.
        """
        check_positive("k", k)
        k = min(int(k), len((candidates or self.everything).rows))
        if candidates is None and self._index is not None:
            return best_of_index(queries, self._index, self.everything, excluded, k)
        return best_items(queries, candidates or self.everything, excluded, k)
