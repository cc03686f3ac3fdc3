"""The seen items of each user, from the table of all interactions to the two files, batch by batch."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from ibis.expr.types import Table
from numpy.typing import NDArray

from towerline.artifacts.ingest import INTERACTIONS
from towerline.artifacts.vocabulary import ITEM_VOCABULARY, USER_VOCABULARY
from towerline.exports import layout
from towerline.pipeline import formats
from towerline.pipeline.errors import StageError
from towerline.tables import engine, expressions
from towerline.tables.session import Session


def write_seen_items(folder: Path, num_users: int) -> None:
    """Writes the rows of the items that each user interacted with, in any split and outside of the split.

    The engine puts the pairs in order, and memory beside it is that of a batch of pairs and a number for each user.

    Raises:
      StageError: the vocabularies lack ids of the interactions.
    """
    num_pairs, counts = formats.num_rows(INTERACTIONS), np.zeros(num_users, np.int64)
    path = folder / layout.SEEN_ITEMS
    with formats.replacing(path) as unfinished, unfinished.open("wb") as file:
        header = {"descr": "<i4", "fortran_order": False, "shape": (num_pairs,)}
        np.lib.format.write_array_header_1_0(file, header)
        for users, items in _pairs(num_pairs):
            rows, numbers = np.unique(users, return_counts=True)
            counts[rows] += numbers
            file.write(items.data)
    if counts.sum() != num_pairs:
        raise StageError(
            f"{INTERACTIONS}: expected {num_pairs:,} rows with ids of the vocabularies, found {counts.sum():,}; "
            "repro vocabulary"
        )
    formats.write_array(folder / layout.SEEN_STARTS, np.concatenate([[0], np.cumsum(counts)]))


def _pairs(num_pairs: int) -> Iterator[tuple[NDArray[np.int32], NDArray[np.int32]]]:
    """The rows of user and item of each interaction, in the order of both, in batches."""
    with engine.session("export", num_pairs) as session:
        for batch in session.batches(_ordered(session)):
            yield tuple(batch[name].to_numpy() - np.int32(1) for name in ("user_index", "item_index"))


def _ordered(session: Session) -> Table:
    """The indices of user and item of each interaction, of which there is one for each pair."""
    interactions, users, items = (session.read(path) for path in (INTERACTIONS, USER_VOCABULARY, ITEM_VOCABULARY))
    pairs = expressions.with_indices(interactions, users, items).select("user_index", "item_index")
    return pairs.order_by("user_index", "item_index")
