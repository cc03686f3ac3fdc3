"""The best items for every user, in blocks, into a Parquet file: memory does not grow with the number of users."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from serving.exported import Exported
from serving.ranking import Best
from serving.recommender import Recommender
from stages import artifacts
from stages.ranking.user_items import UserItems

# Rows of the file that are held at once, some 50 bytes each.
BLOCK_ROWS = 1_000_000
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
      path: the Parquet file, with the columns user_id, rank (from 1), item_type, item_id and score.
      k, item_type, exclude_seen: as in recommend().
      progressed: called with the number of users done since its last call.

    Returns:
      The number of rows, at most k a user.
    """
    exported = recommender.exported
    candidates = recommender.candidates(item_type)
    block = max(1, BLOCK_ROWS // k)
    rows = 0
    with artifacts.replacing(path) as unfinished, pq.ParquetWriter(unfinished, SCHEMA, compression="zstd") as writer:
        for start in range(0, len(exported.user_ids), block):
            users = np.arange(start, min(start + block, len(exported.user_ids)), dtype=np.int32)
            seen = exported.seen.of_users(users) if exclude_seen else UserItems.none(len(users))
            best = recommender.best(exported.user_embeddings[start : start + block], candidates, seen, k)
            found = _rows(exported, users, best)
            writer.write_batch(found)
            rows += found.num_rows
            progressed(len(users))
    return rows


def _rows(exported: Exported, users: "np.ndarray[tuple[int], np.dtype[np.int32]]", best: Best) -> pa.RecordBatch:
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
