"""The best items for every user, in blocks, into a Parquet file: memory does not grow with the number of users."""

import mmap
import os
import stat
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from serving.errors import ServingError, check_positive
from serving.exported import Exported
from serving.ranking import Best
from serving.recommender import Recommender
from stages import artifacts
from stages.ranking.user_items import UserItems

# Rows of the file in a block, of which two are held at once, some 100 bytes a row.
BLOCK_ROWS = 250_000
# Scores are all different: a dictionary of them is work for nothing, their bytes side by side compress.
FORMAT: dict[str, Any] = {
    "compression": "zstd",
    "use_dictionary": ["user_id", "rank", "item_type", "item_id"],
    "column_encoding": {"score": "BYTE_STREAM_SPLIT"},
}
SCHEMA = pa.schema(
    [
        ("user_id", pa.string()),
        ("rank", pa.int32()),
        ("item_type", pa.string()),
        ("item_id", pa.string()),
        ("score", pa.float32()),
    ]
)


def write_recommendations(
    recommender: Recommender,
    path: Path,
    k: int,
    item_type: str | None,
    exclude_seen: bool,
    progressed: Callable[[int], object],
) -> int:
    """Writes recommend() of every user, in the users' order, best first; all of the file or nothing.

    Args:
      recommender: who answers.
      path: the Parquet file, with the columns user_id, rank (from 1), item_type, item_id and score; a symbolic
        link is followed and stays.
      k, item_type, exclude_seen: as in recommend().
      progressed: called with the number of users done since its last call.

    Returns:
      The number of rows, at most k a user.

    Raises:
      ServingError: the path is neither a regular file nor a new name in a folder that exists.
    """
    check_positive("k", k)
    path = writable(path)
    exported = recommender.exported
    candidates = recommender.candidates(item_type)
    # Blocks of at least one user, in rows of no more than there are items.
    k = min(k, len(exported.item_ids))
    block = max(1, BLOCK_ROWS // k)
    rows = 0
    with (
        artifacts.replacing(path) as unfinished,
        pq.ParquetWriter(unfinished, SCHEMA, **FORMAT) as writer,
        ThreadPoolExecutor(1) as pool,
    ):

        def written(users: NDArray[np.int32], best: Best) -> int:
            writer.write_batch(_rows(exported, users, best))
            progressed(len(users))
            return int((best.rows >= 0).sum())

        writing: Future[int] | None = None
        for start in range(0, len(exported.user_ids), block):
            users = np.arange(start, min(start + block, len(exported.user_ids)), dtype=np.int32)
            seen = exported.seen_by(users) if exclude_seen else UserItems.none(len(users))
            best = recommender.best(exported.user_embeddings[start : start + block], candidates, seen, k)
            # A block is written while the next one is ranked.
            rows += writing.result() if writing else 0
            writing = pool.submit(written, users, best)
            for array in (exported.user_embeddings, exported.seen.items):
                _let_go(array)
        rows += writing.result() if writing else 0
    return rows


def writable(path: Path) -> Path:
    """Returns the file that a path leads to through symbolic links, which may not exist yet.

    Raises:
      ServingError: it is neither a regular file nor a new name in a folder that exists.
      OSError: the links lead nowhere, or may not be followed.
    """
    found = Path(os.path.realpath(path))
    try:
        mode = path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        if found.parent.is_dir():
            return found
        raise ServingError(
            f"{path}: expected an existing folder to write to, found none; make {str(found.parent)!r}, or choose "
            "another name"
        ) from None
    if not stat.S_ISREG(mode):
        kind = next((name for is_kind, name in _KINDS if is_kind(mode)), "something else")
        raise ServingError(f"{path}: expected a regular file or a new name, found a {kind}; choose another name")
    return found


_KINDS = (
    (stat.S_ISDIR, "folder"),
    (stat.S_ISFIFO, "pipe"),
    (stat.S_ISSOCK, "socket"),
    (stat.S_ISCHR, "device"),
    (stat.S_ISBLK, "device"),
)


def _let_go(array: NDArray[Any]) -> None:
    """Tells the system that what was read of a mapped array will not be needed again: else it adds up in memory."""
    owner: Any = array
    while isinstance(owner, np.ndarray):
        owner = owner.base
    if isinstance(owner, mmap.mmap):
        owner.madvise(mmap.MADV_DONTNEED)


def _rows(exported: Exported, users: NDArray[np.int32], best: Best) -> pa.RecordBatch:
    user, place = np.nonzero(best.rows >= 0)
    item = pa.array(best.rows[user, place])
    columns = [
        exported.user_ids.take(pa.array(users[user])),
        pa.array((place + 1).astype(np.int32)),
        exported.item_types.take(item),
        exported.item_ids.take(item),
        pa.array(best.scores[user, place]),
    ]
    return pa.RecordBatch.from_arrays(columns, schema=SCHEMA)
