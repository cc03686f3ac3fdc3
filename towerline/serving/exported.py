"""Reads an export: ids, vectors, seen items, rating model, encoders of features, and index.

The files of a release never change and are mapped into memory. A plain export, which DVC deletes and fills again and
into which files may be copied, is read into memory, and the digest of every file is compared with the manifest, so that
a mixture of two exports is an error.
"""

import hashlib
import io
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from towerline.exports import layout, manifest
from towerline.exports.manifest import Manifest
from towerline.exports.precision import Table, as_float32
from towerline.features.encoder import Encoder
from towerline.metrics.ratings import RatingModel
from towerline.pipeline import formats
from towerline.pipeline.errors import StageError
from towerline.ranking.embedding import PRIOR_DIMENSIONS
from towerline.ranking.user_items import UserItems
from towerline.serving.errors import ServingError, stage_errors_as_serving_errors
from towerline.serving.releases import pointer

if TYPE_CHECKING:
    from towerline.index.approximate import Index


class Exported(NamedTuple):
    """One export; row r of every array belongs to the id in row r, and the unknown id has no row.

    Attributes:
      version: digest of the export, 12 hexadecimal digits.
      temperature: temperature of the training loss.
      rows: number of rows that the model was fitted to.
      csv: True if the export has its embeddings as CSV, too.
      user_ids: [users] text in byte order.
      item_types, item_ids: [items] text, in byte order of (type, id).
      titles: [items] text, null for an item without a title.
      user_embeddings: [users, d] float32 or float16: a unit vector, and the terms of the popularity prior, the last
        PRIOR_DIMENSIONS dimensions. The vector of an id without training rows is the one that is expected from its
        features, 0 to about 1 long; zeros without declared features.
      item_embeddings: [items, d] of the same type, likewise.
      seen: the rows of the items that each user interacted with, in any split of the data.
      ratings: the rating model; None if the rating task was not trained.
      user_encoder, item_encoder: the embeddings expected from features; None without declared features.
      item_index: the approximate index; None if the export has none and all search is exact.
    """

    version: str
    temperature: float
    rows: int
    csv: bool
    user_ids: pa.StringArray
    item_types: pa.StringArray
    item_ids: pa.StringArray
    titles: pa.StringArray
    user_embeddings: Table
    item_embeddings: Table
    seen: UserItems
    ratings: RatingModel | None
    user_encoder: Encoder | None
    item_encoder: Encoder | None
    item_index: "Index | None"

    def item(self, row: int) -> tuple[str, str, str | None]:
        """Type, id and title of the item in a row."""
        return tuple(column[row].as_py() for column in (self.item_types, self.item_ids, self.titles))

    def queries(self, users: NDArray[np.int32]) -> NDArray[np.float32]:
        """[users, d] float32 embeddings of the given users."""
        return as_float32(self.user_embeddings[users])

    def seen_by(self, users: NDArray[np.int32]) -> UserItems:
        """The rows of the items that the given users interacted with, row r those of users[r].

        Raises:
          ServingError: the file is damaged.
        """
        seen = self.seen.of_users(users)
        self.check_rows(seen.items)
        return seen

    def check_rows(self, items: NDArray[np.int32]) -> None:
        """Checks rows read from seen.items, which are not checked when a release is opened.

        Raises:
          ServingError: one of them is no row of an item.
        """
        if len(items) and (items.min() < 0 or items.max() >= len(self.item_ids)):
            raise ServingError(
                f"{layout.SEEN_ITEMS} of version {self.version}: expected rows of {len(self.item_ids)} "
                f"items, found {items.min()} to {items.max()}; run python -m towerline verify on the open folder"
            )


# Number of attempts to open a live release that is replaced and removed at the same moment.
LOOK_UPS = 20


def read(folder: Path) -> Exported:
    """Opens the live release of a folder of releases, one release, or an export.

    Raises:
      ServingError: the folder is none of these, or its files are not those of its manifest.
    """
    for _ in range(LOOK_UPS):
        live = pointer.read(folder)
        try:
            return _opened(folder if live is None else folder / live.live)
        except ServingError:
            # Another process may have made a new release and removed this one.
            if live is None or pointer.read(folder) == live:
                raise
    raise ServingError(f"{folder}: expected a live release, found another one {LOOK_UPS} times; open it again")


def live_version(folder: Path) -> str:
    """The version that read() would open.

    Raises:
      ServingError: there is none.
    """
    live = pointer.read(folder)
    if live is not None:
        return live.live
    with stage_errors_as_serving_errors():
        return manifest.read(folder).version


def is_release(folder: Path, version: str) -> bool:
    """Returns True if a folder is a release, whose files are never written again."""
    place = folder.resolve()
    return place.name == version and (place.parent / pointer.NAME).is_file()


class _Files(Protocol):
    """Access to the files of an export."""

    def array(self, name: str) -> NDArray[Any]:
        """The array of a .npy file, read-only."""

    def arrays(self, name: str) -> dict[str, NDArray[Any]]:
        """The arrays of a .npz file."""

    def table(self, name: str, columns: list[str]) -> pa.Table:
        """Columns of a Parquet file."""

    def index(self, name: str, num_items: int, dimension: int) -> "Index":
        """The index of the items."""


class _Mapped:
    """Files that never change: arrays and index are mapped."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def array(self, name: str) -> NDArray[Any]:
        return np.asarray(np.load(self._folder / name, mmap_mode="r", allow_pickle=False))

    def arrays(self, name: str) -> dict[str, NDArray[Any]]:
        return formats.read_arrays(self._folder / name)

    def table(self, name: str, columns: list[str]) -> pa.Table:
        return _table(self._folder / name, columns)

    def index(self, name: str, num_items: int, dimension: int) -> "Index":
        # Imported only if there is an index: faiss takes long to import.
        from towerline.index.approximate import load

        return load(self._folder / name, num_items, dimension)


class _Held:
    """Files that may change: each is read once, as a whole, and its digest compared with the manifest."""

    def __init__(self, folder: Path, content: Manifest) -> None:
        self._folder, self._manifest = folder, content

    def _content(self, name: str) -> bytes:
        content = (self._folder / name).read_bytes()
        file = self._manifest.files[name]
        manifest.check_digest(self._folder / name, file, hashlib.sha256(content).hexdigest())
        return content

    def array(self, name: str) -> NDArray[Any]:
        content = self._content(name)
        file = io.BytesIO(content)
        version = np.lib.format.read_magic(file)
        read_header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, by_column, dtype = read_header(file)
        # A view of the bytes, so that a large array is not held twice.
        array = np.frombuffer(content, dtype, math.prod(shape), file.tell())
        return array.reshape(shape, order="F" if by_column else "C")

    def arrays(self, name: str) -> dict[str, NDArray[Any]]:
        with np.load(io.BytesIO(self._content(name)), allow_pickle=False) as file:
            return dict(file)

    def table(self, name: str, columns: list[str]) -> pa.Table:
        return _table(pa.BufferReader(self._content(name)), columns)

    def index(self, name: str, num_items: int, dimension: int) -> "Index":
        from towerline.index.approximate import load

        return load(self._folder / name, num_items, dimension, self._content(name))


def _opened(folder: Path) -> Exported:
    """Opens one release, or an export."""
    with stage_errors_as_serving_errors():
        content = manifest.read(folder)
    released = is_release(folder, content.version)
    try:
        manifest.check_sizes(folder, content)
        files = _Mapped(folder) if released else _Held(folder, content)
        exported = _exported(files, content)
        _check_shapes(content, exported)
    # The libraries raise many types for damaged files, such as tokenize.TokenError for a header of NumPy's.
    except Exception as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        mended = "release the export again" if released else "run dvc repro --force export"
        raise ServingError(
            f"{folder}: expected the files of version {content.version}, all as they were written, found others "
            f"({reason}); if somebody writes to the folder now, open it again, else {mended}; "
            f"python -m towerline verify {folder} compares all files"
        ) from None
    return exported


def _exported(files: _Files, content: Manifest) -> Exported:
    users = files.table(f"{layout.USERS}.parquet", ["user_id"])
    items = files.table(f"{layout.ITEMS}.parquet", ["item_type", "item_id", "title"])
    ratings = files.arrays(layout.RATINGS)
    indexed = layout.INDEX in content.files
    return Exported(
        version=content.version,
        temperature=content.temperature,
        rows=content.rows,
        csv=f"{layout.ITEMS}.csv" in content.files,
        user_ids=_column(users, "user_id"),
        item_types=_column(items, "item_type"),
        item_ids=_column(items, "item_id"),
        titles=_column(items, "title", nulls=True),
        user_embeddings=files.array(f"{layout.USERS}.npy"),
        item_embeddings=files.array(f"{layout.ITEMS}.npy"),
        seen=UserItems(files.array(layout.SEEN_STARTS), files.array(layout.SEEN_ITEMS)),
        ratings=RatingModel(**ratings) if ratings else None,
        user_encoder=Encoder.of_arrays(files.arrays(layout.USER_ENCODER)),
        item_encoder=Encoder.of_arrays(files.arrays(layout.ITEM_ENCODER)),
        item_index=files.index(layout.INDEX, content.items, content.dimension) if indexed else None,
    )


def _table(source: Any, columns: list[str]) -> pa.Table:
    # pyarrow.parquet.read_table() would import pandas, which takes longer than all the rest of the first answer.
    with pq.ParquetFile(source) as file:
        return file.read(columns=columns)


def _column(table: pa.Table, name: str, nulls: bool = False) -> pa.StringArray:
    column = table[name].combine_chunks()
    # Invalid UTF-8 is an error here, instead of when the text is used.
    column.validate(full=True)
    if not pa.types.is_string(column.type) or (column.null_count and not nulls):
        raise StageError(f"{name}: expected text in all rows, found {column.type} with {column.null_count} nulls")
    return column


def _check_shapes(content: Manifest, exported: Exported) -> None:
    """Compares types and the numbers of rows and dimensions.

    Raises:
      StageError: the files do not belong together.
    """
    embeddings = np.float16 if exported.user_embeddings.dtype == np.float16 else np.float32
    for array, dtype, axes in (
        (exported.user_embeddings, embeddings, 2),
        (exported.item_embeddings, embeddings, 2),
        (exported.seen.starts, np.int64, 1),
        (exported.seen.items, np.int32, 1),
    ):
        if array.dtype != dtype or array.ndim != axes:
            raise StageError(f"an array of {array.ndim} axes of {array.dtype}, expected {axes} of {np.dtype(dtype)}")
    if exported.seen.starts[:1].any() or (np.diff(exported.seen.starts) < 0).any():
        raise StageError(f"{layout.SEEN_STARTS} does not ascend from 0")
    if len(exported.seen.items) != exported.seen.starts[-1]:
        raise StageError(
            f"{layout.SEEN_STARTS} declares {exported.seen.starts[-1]} items, {layout.SEEN_ITEMS} "
            f"has {len(exported.seen.items)}"
        )
    sizes = {
        "users": [len(exported.user_ids), len(exported.user_embeddings), len(exported.seen.starts) - 1],
        "items": [len(exported.item_ids), len(exported.item_embeddings)],
        "dimension": [exported.user_embeddings.shape[1], exported.item_embeddings.shape[1]],
    }
    encoders = exported.user_encoder, exported.item_encoder
    sizes["dimension"] += [encoder.vectors.shape[1] + PRIOR_DIMENSIONS for encoder in encoders if encoder is not None]
    if exported.ratings is not None:
        ratings = exported.ratings
        sizes["users"] += [len(ratings.user_bias), len(ratings.user_factors)]
        sizes["items"] += [len(ratings.item_bias), len(ratings.item_factors)]
    for name, counts in sizes.items():
        if set(counts) != {getattr(content, name)}:
            raise StageError(f"{getattr(content, name)} {name} in the manifest, {tuple(counts)} in the files")
