"""Recommendations for all users, written to a Parquet file in blocks: memory does not grow with their number."""

import fcntl
import mmap
import os
import re
import secrets
import stat
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from towerline.pipeline import formats
from towerline.ranking.user_items import UserItems
from towerline.serving.errors import ServingError, check_positive
from towerline.serving.exported import Exported
from towerline.serving.ranking import Best
from towerline.serving.recommender import Recommender

# Rows of the file in a block, of which two are held at once, some 100 bytes a row.
BLOCK_ROWS = 250_000
# Most scores differ: a dictionary would not help, while splitting their bytes does.
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
    """Writes recommend() of every user, in the users' order, best first; the file is written whole or not at all.

    Args:
      recommender: an open recommender.
      path: the Parquet file, with the columns user_id, rank (from 1), item_type, item_id and score; a symbolic
        link is followed and stays. If several processes write the file at once, the last one to finish replaces it.
      k, item_type, exclude_seen: as in recommend().
      progressed: called with the number of users done since its last call.

    Returns:
      The number of rows, at most k a user.

    Raises:
      ServingError: the path is neither a regular file nor a new name in a folder that exists, or is in the folder of
        the export.
    """
    check_positive("k", k)
    path = writable(path, recommender.folder)
    exported = recommender.exported
    candidates = recommender.catalogue.candidates(item_type)
    # Blocks of at least one user, in rows of no more than there are items.
    k = min(k, len(exported.item_ids))
    block = max(1, BLOCK_ROWS // k)
    rows = 0
    with (
        _replacing(path) as unfinished,
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
            best = recommender.catalogue.best(exported.queries(users), candidates, seen, k)
            # A block is written while the next one is ranked.
            rows += writing.result() if writing else 0
            writing = pool.submit(written, users, best)
            for array in (exported.user_embeddings, exported.seen.items):
                _release_pages(array)
        rows += writing.result() if writing else 0
    return rows


def writable(path: Path, exports: Path | None) -> Path:
    """Resolves the symbolic links of a path to a file, which need not exist yet.

    Args:
      path: the file.
      exports: the folder that is read, into which nothing may be written; None for none.

    Raises:
      ServingError: it is neither a regular file nor a new name in an existing folder, or it is in the folder that is
        read, or the target of a link there.
      OSError: a link is broken, or may not be followed.
    """
    target = Path(os.path.realpath(path))
    if exports is not None and _is_within(path, target, exports):
        raise ServingError(
            f"{path}: expected a file outside of {exports}, which is read, found one within; choose another name"
        )
    try:
        mode = path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        if target.parent.is_dir():
            return target
        raise ServingError(
            f"{path}: expected an existing folder to write to, found none; make {str(target.parent)!r}, or choose "
            "another name"
        ) from None
    if not stat.S_ISREG(mode):
        kind = next((name for is_kind, name in _KINDS if is_kind(mode)), "something else")
        raise ServingError(f"{path}: expected a regular file or a new name, found a {kind}; choose another name")
    return target


def _is_within(path: Path, target: Path, folder: Path) -> bool:
    place = folder.resolve()
    named = Path(os.path.realpath(path.parent)) / path.name
    links = (Path(os.path.realpath(file)) for file in place.rglob("*") if file.is_symlink())
    return named.is_relative_to(place) or target.is_relative_to(place) or target in links


_KINDS = (
    (stat.S_ISDIR, "folder"),
    (stat.S_ISFIFO, "pipe"),
    (stat.S_ISSOCK, "socket"),
    (stat.S_ISCHR, "device"),
    (stat.S_ISBLK, "device"),
)


@contextmanager
def _replacing(path: Path) -> Iterator[Path]:
    """As formats.replacing(), for several processes that write to one path at the same time.

    Each process writes to a separate temporary file, which it locks. The lock ends with the process, so that an
    unlocked temporary file is a leftover.
    """
    unfinished = path.with_name(f".unfinished.{path.name}.{secrets.token_hex(8)}")
    with ExitStack() as held, formats.naming(path):
        # Under the folder's lock every temporary file in use is locked.
        with _locked(path.parent, os.O_RDONLY):
            _remove_leftovers(path)
            held.enter_context(_locked(unfinished, os.O_RDWR | os.O_CREAT | os.O_EXCL))
        try:
            yield unfinished
            unfinished.replace(path)
        finally:
            unfinished.unlink(missing_ok=True)


def _remove_leftovers(path: Path) -> None:
    """Removes the temporary files of killed processes; those that cannot be removed do no harm."""
    name = re.compile(rf"\.unfinished\.{re.escape(path.name)}\.[0-9a-f]{{16}}")
    for leftover in path.parent.iterdir():
        if name.fullmatch(leftover.name):
            with suppress(OSError), _locked(leftover, os.O_RDONLY | os.O_NOFOLLOW, fcntl.LOCK_NB):
                leftover.unlink()


@contextmanager
def _locked(path: Path, flags: int, how: int = 0) -> Iterator[None]:
    descriptor = os.open(path, flags, 0o666)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | how)
        yield
    finally:
        os.close(descriptor)


def _release_pages(array: NDArray[Any]) -> None:
    """Lets the system drop the pages of a mapped array that were read: otherwise they add up in memory."""
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
