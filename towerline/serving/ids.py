"""Rows of ids and, for an unknown id, the known ids with the most similar spelling."""

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from typing import NamedTuple, TypeVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from towerline.serving.errors import Id, ServingError, UnknownIdError

CLOSEST = 3
Value = TypeVar("Value")


class Item(NamedTuple):
    """Key of an item: the same id under two types is two items."""

    item_type: str
    item_id: str


class Users:
    """Rows of user ids, by binary search: no table has to be built before the first answer."""

    def __init__(self, user_ids: pa.StringArray) -> None:
        """
        Args:
          user_ids: [users] text in byte order, which is the order of Python's strings too.
        """
        self.user_ids = user_ids

    def find(self, user_ids: Sequence[str]) -> NDArray[np.int32]:
        """[queries] int32 rows of checked ids, -1 for an unknown id."""
        return np.array([self._row(user_id) for user_id in user_ids], np.int32)

    def rows(self, user_ids: Sequence[str]) -> NDArray[np.int32]:
        """[queries] int32 rows.

        Raises:
          UnknownIdError: for the first unknown id.
        """
        rows = self.find(user_ids)
        if (rows < 0).any():
            wanted = user_ids[int(np.flatnonzero(rows < 0)[0])]
            raise UnknownIdError("the id of a user in the export", wanted, _closest(wanted, self.user_ids))
        return rows

    def before(self, user_ids: Sequence[str]) -> NDArray[np.int64]:
        """[queries] int64 number of users that are sorted before each id."""
        return np.array([self._before(user_id) for user_id in user_ids], np.int64)

    def _before(self, user_id: str) -> int:
        return bisect_left(range(len(self.user_ids)), user_id, key=lambda other: self.user_ids[other].as_py())

    def _row(self, user_id: str) -> int:
        row = self._before(user_id)
        return row if row < len(self.user_ids) and self.user_ids[row].as_py() == user_id else -1


class Items:
    """Rows of items, by binary search; the rows of a type are consecutive."""

    def __init__(self, item_types: pa.StringArray, item_ids: pa.StringArray) -> None:
        """
        Args:
          item_types, item_ids: [items] text, in byte order of the pairs.
        """
        self.item_types = item_types
        self.item_ids = item_ids

    def find(self, items: Sequence[Item]) -> NDArray[np.int32]:
        """[queries] int32 rows, -1 for an unknown item."""
        return np.array([self._row(item) for item in items], np.int32)

    def rows(self, items: Sequence[Item]) -> NDArray[np.int32]:
        """[queries] int32 rows.

        Raises:
          UnknownIdError: for the first unknown item.
        """
        rows = self.find(items)
        if (rows < 0).any():
            unknown = items[int(np.flatnonzero(rows < 0)[0])]
            raise UnknownIdError("an item in the export", unknown, self._closest(unknown))
        return rows

    def before(self, items: Sequence[Item]) -> NDArray[np.int64]:
        """[queries] int64 number of items that are sorted before each."""
        return np.array([self._before(item) for item in items], np.int64)

    def of_type(self, item_type: str) -> range:
        """The rows of a type.

        Raises:
          UnknownIdError: no item has this type.
          ServingError: the type is not text.
        """
        _check_text([item_type])
        start, stop = self._before((item_type,)), self._before((f"{item_type}\0",))
        if start == stop:
            raise UnknownIdError("a type of item in the export", item_type, _closest(item_type, pa.array(self.types())))
        return range(start, stop)

    def types(self) -> list[str]:
        """All types, in byte order."""
        types: list[str] = []
        row = 0
        while row < len(self.item_types):
            types.append(self.item_types[row].as_py())
            row = self._before((f"{types[-1]}\0",))
        return types

    def _before(self, key: tuple[str, ...]) -> int:
        """Number of items that are sorted before the (type, id)."""
        return bisect_left(range(len(self.item_ids)), key, key=lambda row: tuple(self._item(row)))

    def _item(self, row: int) -> Item:
        return Item(self.item_types[row].as_py(), self.item_ids[row].as_py())

    def _row(self, item: Item) -> int:
        row = self._before(item)
        return row if row < len(self.item_ids) and self._item(row) == item else -1

    def _closest(self, item: Item) -> list[Id]:
        """The same id under other types, then similar ids of the same type; without any, similar types."""
        types = self.types()
        elsewhere = [Item(other, item.item_id) for other in types]
        closest: list[Id] = [other for other in elsewhere if self._row(other) >= 0]
        if item.item_type in types:
            rows = self.of_type(item.item_type)
            alike = _closest(item.item_id, self.item_ids[rows.start : rows.stop])
            closest += [Item(item.item_type, other) for other in alike]
        return closest[:CLOSEST] or [*_closest(item.item_type, pa.array(types))]


def listed_users(user_ids: Iterable[str]) -> list[str]:
    """The ids in the order of iteration; the iterable is read once.

    Raises:
      ServingError: they are not iterable, or an id is not text.
    """
    ids = listed(user_ids, "user ids")
    _check_text(ids)
    return ids


def listed_items(items: Iterable[tuple[str, str]]) -> list[Item]:
    """As listed_users(), of items.

    Raises:
      ServingError: they are not iterable, or an item is not a type and an id, both text.
    """
    keys = listed(items, "items as (type, id)")
    for key in keys:
        if not isinstance(key, tuple | list | np.ndarray) or len(key) != 2:
            raise ServingError(f"expected items as (type, id), found {key!r}")
        _check_text(key)
    return [Item(*key) for key in keys]


def listed(values: Iterable[Value], what: str) -> list[Value]:
    """The values as a list.

    Raises:
      ServingError: they are not iterable, or one text, which would be read letter by letter.
    """
    if isinstance(values, str) or not isinstance(values, Iterable):
        raise ServingError(f"expected a list of {what}, found {values!r}; put it into a list")
    return list(values)


def _check_text(ids: Iterable[object]) -> None:
    for value in ids:
        if not isinstance(value, str):
            raise ServingError(f"expected ids that are text, found {value!r}, of type {type(value).__name__}")


def _closest(wanted: str, known: pa.StringArray) -> list[str]:
    """The ids with the smallest normalised edit distance (Levenshtein 1966)."""
    # Imported only for unknown ids.
    from rapidfuzz import process
    from rapidfuzz.distance import Levenshtein

    matches = process.extract(wanted, known.to_pylist(), scorer=Levenshtein.normalized_similarity, limit=CLOSEST)
    return [str(match) for match, _, _ in matches]
