"""Exports with more items or users than training knew."""

import hashlib
import json
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from towerline.exports.manifest import VERSION_DIGITS
from towerline.exports.precision import Table
from towerline.features.tokens import is_missing
from towerline.metrics.ratings import RatingModel
from towerline.ranking.user_items import UserItems
from towerline.serving.encoding import encoded_items, encoded_users
from towerline.serving.errors import Id, ServingError
from towerline.serving.exported import Exported
from towerline.serving.ids import Item, Items, Users
from towerline.serving.rows import Row, ids, texts


def with_items(exported: Exported, rows: Sequence[Row]) -> Exported:
    """The export with new items, which no user has seen.

    Args:
      exported: an open export.
      rows: item_type, item_id, the declared features, and the title where there is one.

    Raises:
      ServingError: an item is in the export already, or twice in the rows, or has no usable id or features.
    """
    keys = list(map(Item, ids(rows, "item_type"), ids(rows, "item_id")))
    order = _order(keys)
    keys, rows = [keys[place] for place in order], [rows[place] for place in order]
    known = Items(exported.item_types, exported.item_ids)
    _check_new(keys, known.find(keys))
    titles = [None if is_missing(title) else title for title in texts(rows, "title")]
    embeddings = encoded_items(exported, rows)
    before = known.before(keys)
    # The new embeddings are rounded where those of the export are.
    items = np.insert(exported.item_embeddings, before, embeddings, axis=0)
    return exported._replace(
        version=_version(exported, [keys, titles], embeddings),
        item_types=_inserted(exported.item_types, before, [key.item_type for key in keys]),
        item_ids=_inserted(exported.item_ids, before, [key.item_id for key in keys]),
        titles=_inserted(exported.titles, before, titles),
        item_embeddings=items,
        seen=_seen_of_moved_items(exported, before),
        ratings=_ratings(exported.ratings, "item", before),
        item_index=None if exported.item_index is None else _index(items),
    )


def with_users(exported: Exported, rows: Sequence[Row]) -> Exported:
    """The export with new users, who have seen no item.

    Args:
      exported: an open export.
      rows: user_id and the declared features.

    Raises:
      ServingError: a user is in the export already, or twice in the rows, or has no usable id or features.
    """
    keys = ids(rows, "user_id")
    order = _order(keys)
    keys, rows = [keys[place] for place in order], [rows[place] for place in order]
    known = Users(exported.user_ids)
    _check_new(keys, known.find(keys))
    embeddings = encoded_users(exported, rows)
    before = known.before(keys)
    return exported._replace(
        version=_version(exported, [keys], embeddings),
        user_ids=_inserted(exported.user_ids, before, keys),
        user_embeddings=np.insert(exported.user_embeddings, before, embeddings, axis=0),
        seen=exported.seen._replace(starts=np.insert(exported.seen.starts, before, exported.seen.starts[before])),
        ratings=_ratings(exported.ratings, "user", before),
    )


def _order(keys: Sequence[Any]) -> list[int]:
    """Places of the keys in byte order, which is the order of Python's texts."""
    return sorted(range(len(keys)), key=keys.__getitem__)


def _check_new(keys: Sequence[Id], rows: NDArray[np.int32]) -> None:
    """Checks that keys in byte order are different ones, and unknown.

    Raises:
      ServingError: for the first that is not.
    """
    for key, following in pairwise(keys):
        if key == following:
            raise ServingError(f"expected each id once, found {_shown(key)} twice; leave one of the two out")
    there = [key for key, row in zip(keys, rows, strict=True) if row >= 0]
    if there:
        more = f" and {len(there) - 1:,} more" if len(there) > 1 else ""
        raise ServingError(
            f"expected ids that are not in the export, found {_shown(there[0])}{more}; leave them out: only dvc repro "
            "gives an id of the export another vector"
        )


def _shown(key: Id) -> str:
    return repr(key) if isinstance(key, str) else " ".join(map(repr, key))


def _inserted(column: pa.StringArray, before: NDArray[np.int64], new: Sequence[str | None]) -> pa.StringArray:
    """The column with each new text before the row of the same place in `before`."""
    rows = np.insert(np.arange(len(column)), before, len(column) + np.arange(len(new)))
    try:
        added = pa.array(new, pa.string())
    except UnicodeEncodeError as error:
        raise ServingError(
            f"expected ids and titles of characters, found a lone surrogate in {error.object!r}"
        ) from None
    return pa.concat_arrays([column, added]).take(pa.array(rows))


def _seen_of_moved_items(exported: Exported, before: NDArray[np.int64]) -> UserItems:
    """The seen items by their rows among all items."""
    starts, items = exported.seen
    exported.check_rows(items)
    moved_by = np.searchsorted(before, np.arange(len(exported.item_ids)), side="right").astype(np.int32)
    return UserItems(starts, items + moved_by[items])


def _ratings(model: RatingModel | None, kind: str, before: NDArray[np.int64]) -> RatingModel | None:
    """The rating model with the zeros of ids without ratings in its arrays of users or of items."""
    if model is None:
        return None
    arrays: dict[str, NDArray[Any]] = {
        name: np.insert(array, before, 0, axis=0)
        for name, array in model._asdict().items()
        if name.startswith(f"{kind}_")
    }
    return model._replace(**arrays)


def _index(items: Table) -> Any:
    from towerline.index.approximate import build

    return build(items)


def _version(exported: Exported, texts_of_ids: Sequence[Sequence[Any]], embeddings: NDArray[np.float32]) -> str:
    """A digest of the version of the export, and of the new ids with their titles and vectors."""
    text = json.dumps([exported.version, *texts_of_ids], ensure_ascii=False)
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass"))
    digest.update(embeddings.tobytes())
    return digest.hexdigest()[:VERSION_DIGITS]
