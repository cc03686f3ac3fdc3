"""Comparison of two exports, such as those of two nights: lists, users, items and vectors."""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from towerline.exports.precision import Table
from towerline.ranking.blocks import one_blas_thread
from towerline.ranking.embedding import directions
from towerline.serving.errors import check_positive
from towerline.serving.recommender import Recommender

# Users whose lists are compared at once.
BLOCK_USERS = 10_000


class Overview(NamedTuple):
    """Numbers of a comparison.

    Attributes:
      users, items: number of ids in both exports.
      new_users, gone_users, new_items, gone_items: number of ids in the new or the old export alone.
      overlap: mean over the users in both of the share of their first k items that both exports recommend, 0 to 1.
      unchanged: share of these users whose items are the same, in any order. Both are None if no user is in both.
      drift: mean over the items in both of 1 - cosine of the old and the new vector, after the rotation that fits best
        (orthogonal Procrustes, Schönemann 1966), 0 to 2; None if the dimensions differ or no item is in both.
    """

    users: int
    new_users: int
    gone_users: int
    items: int
    new_items: int
    gone_items: int
    overlap: float | None
    unchanged: float | None
    drift: float | None


class ChangedUser(NamedTuple):
    """A user in both exports, and the share of the first k items that both recommend."""

    user_id: str
    overlap: float


class ChangedItem(NamedTuple):
    """An item, and the number of users in both exports whose lists it entered or left, less those of the reverse."""

    item_type: str
    item_id: str
    title: str | None
    users: int


class Comparison(NamedTuple):
    """A comparison of two exports.

    Attributes:
      overview: numbers.
      changed_users: users with the lowest overlap below 1, the lowest first.
      entered, left: items that are in more, or fewer, lists than before, those with the largest change first.
    """

    overview: Overview
    changed_users: list[ChangedUser]
    entered: list[ChangedItem]
    left: list[ChangedItem]


def compare(
    old: Recommender,
    new: Recommender,
    k: int = 10,
    top: int = 10,
    progressed: Callable[[int], object] = lambda users: None,
) -> Comparison:
    """Compares the recommendations and the vectors of two exports.

    Args:
      old, new: the exports.
      k: length of the compared lists, at least 1; seen items are left out, as each export knows them.
      top: number of users and items that are named, at least 1.
      progressed: called with the number of users compared since its last call.

    Examples:
      >>> compare(recommender, recommender).overview.overlap
      1.0
    """
    check_positive("k", k)
    check_positive("top", top)
    users = _matched(old.exported.user_ids, new.exported.user_ids)
    # Rows of items in one numbering: those of the new export, then those of the old export alone.
    items = _matched(_item_keys(old), _item_keys(new))
    num_new = len(new.exported.item_ids)
    number_of = np.arange(num_new, num_new + len(old.exported.item_ids))
    number_of[items.old] = items.new
    changes = np.zeros(num_new + len(number_of), np.int64)
    overlaps = []
    for before, after in _lists(old, new, users, k):
        numbers = np.where(before >= 0, number_of[before], -1)
        overlaps.append(_overlap(numbers, after))
        changes += np.bincount(after[after >= 0], minlength=len(changes))
        changes -= np.bincount(numbers[numbers >= 0], minlength=len(changes))
        progressed(len(numbers))
    overlap = np.concatenate([np.zeros(0), *overlaps])
    order = [place for place in np.argsort(overlap, kind="stable")[:top] if overlap[place] < 1]
    names = [new.exported.user_ids[int(users.new[place])].as_py() for place in order]
    return Comparison(
        _overview(old, new, users, items, overlap),
        [ChangedUser(name, float(overlap[place])) for name, place in zip(names, order, strict=True)],
        _changed(old, new, number_of, changes, top),
        _changed(old, new, number_of, -changes, top),
    )


class _Matched(NamedTuple):
    """Rows of the ids that are in both exports, in the order of the new one."""

    old: NDArray[np.int64]
    new: NDArray[np.int64]


def _matched(old: pa.Array, new: pa.Array) -> _Matched:
    rows = pc.index_in(new, value_set=old).fill_null(-1).to_numpy().astype(np.int64)
    found = np.flatnonzero(rows >= 0)
    return _Matched(rows[found], found)


def _item_keys(side: Recommender) -> pa.Array:
    """Type and id of each item as one text, unambiguous because it begins with the length of the type."""
    types, ids = side.exported.item_types, side.exported.item_ids
    return pc.binary_join_element_wise(pc.utf8_length(types).cast(pa.string()), types, ids, ":")


def _lists(
    old: Recommender, new: Recommender, users: _Matched, k: int
) -> Iterator[tuple[NDArray[np.int32], NDArray[np.int32]]]:
    """The [users, at most k] rows of items that each export recommends, block by block of users."""
    for start in range(0, len(users.new), BLOCK_USERS):
        sides = []
        for side, rows in ((old, users.old), (new, users.new)):
            asked = rows[start : start + BLOCK_USERS].astype(np.int32)
            best = side.catalogue.best(side.exported.queries(asked), None, side.exported.seen_by(asked), k)
            sides.append(best.rows)
        yield sides[0], sides[1]


def _overlap(before: NDArray[np.int64], after: NDArray[np.int32]) -> NDArray[np.float64]:
    """[users] items in both lists over the length of the longer list; 1 if both are empty."""
    width = int(max(before.max(initial=0), after.max(initial=0))) + 1
    user = np.arange(len(after))[:, None] * width
    common = (np.isin(user + after, user + before) & (after >= 0)).sum(axis=1)
    length = np.maximum((before >= 0).sum(axis=1), (after >= 0).sum(axis=1))
    return np.where(length > 0, common / np.maximum(length, 1), 1.0)


def _overview(
    old: Recommender, new: Recommender, users: _Matched, items: _Matched, overlap: NDArray[np.float64]
) -> Overview:
    before, after = directions(old.exported.item_embeddings), directions(new.exported.item_embeddings)
    drift = None
    if before.shape[1] == after.shape[1] and len(items.new):
        drift = _drift(before[items.old], after[items.new])
    return Overview(
        users=len(users.new),
        new_users=len(new.exported.user_ids) - len(users.new),
        gone_users=len(old.exported.user_ids) - len(users.new),
        items=len(items.new),
        new_items=len(new.exported.item_ids) - len(items.new),
        gone_items=len(old.exported.item_ids) - len(items.new),
        overlap=float(overlap.mean()) if len(overlap) else None,
        unchanged=float((overlap == 1).mean()) if len(overlap) else None,
        drift=drift,
    )


def _drift(before: Table, after: Table) -> float | None:
    """The mean of 1 - cosine after the best rotation, over the rows that are not zero on either side."""
    trained = (before != 0).any(axis=1) & (after != 0).any(axis=1)
    if not trained.any():
        return None
    unit = [
        side[trained] / np.linalg.norm(side[trained].astype(np.float64), axis=1)[:, None] for side in (before, after)
    ]
    with one_blas_thread():
        left, _, right = np.linalg.svd(unit[0].T @ unit[1])
        cosine = np.einsum("rd,rd->r", unit[0] @ (left @ right), unit[1])
    return float(np.clip(1 - cosine.mean(), 0, 2))


def _changed(
    old: Recommender, new: Recommender, number_of: NDArray[np.int64], changes: NDArray[np.int64], top: int
) -> list[ChangedItem]:
    """The items with the largest positive changes."""
    num_new = len(new.exported.item_ids)
    row_in_old = {int(number): row for row, number in enumerate(number_of)}
    rows = []
    for number in np.argsort(-changes, kind="stable")[:top].tolist():
        if changes[number] <= 0:
            break
        exported, row = (new.exported, number) if number < num_new else (old.exported, row_in_old[number])
        rows.append(ChangedItem(*exported.item(row), int(changes[number])))
    return rows
