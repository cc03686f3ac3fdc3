"""What `export` wrote, opened: ids, vectors, what is seen, the rating model; large arrays are mapped, not read."""

import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from serving.errors import ServingError
from stages import artifacts
from stages.ranking.ratings import RatingModel
from stages.ranking.user_items import UserItems
from stages.terminal import StageError

if TYPE_CHECKING:
    from stages.ranking.approximate import Index


class Exported(NamedTuple):
    """One model; row r of every array belongs to the id in row r, and no row is an unknown id's.

    Attributes:
      version: a digest of ids, titles, vectors, what is seen and the rating model, 12 hexadecimal digits.
      temperature: that the model was trained with.
      user_ids: [users] text in byte order.
      item_types, item_ids: [items] text, in byte order of (type, id).
      titles: [items] text, null where an item has none.
      user_embeddings: [users, d] float32: a unit vector, or zeros for an id without training rows, and a 1.
      item_embeddings: [items, d] float32: a unit vector, or zeros, and the item's popularity prior.
      seen: the rows of the items that each user has, in any part of the data.
      ratings: the rating model; None where the model was trained without the rating task.
      item_index: finds items approximately; None where the export has none, and all search is exact.
    """

    version: str
    temperature: float
    user_ids: pa.StringArray
    item_types: pa.StringArray
    item_ids: pa.StringArray
    titles: pa.StringArray
    user_embeddings: NDArray[np.float32]
    item_embeddings: NDArray[np.float32]
    seen: UserItems
    ratings: RatingModel | None
    item_index: "Index | None"


# What reading a file raises that is cut off, or of another kind.
_BROKEN = (
    OSError,
    EOFError,
    ValueError,
    LookupError,
    TypeError,
    zipfile.BadZipFile,
    pa.ArrowException,
    StageError,
)


def read(folder: Path) -> Exported:
    """Opens an export.

    Raises:
      ServingError: the folder is not what `export` writes, or its files are not of one model.
    """
    manifest = folder / artifacts.EXPORTED_MANIFEST
    if not manifest.is_file():
        raise ServingError(f"{folder}: expected what the stage export writes, found no {manifest.name}; run dvc repro")
    try:
        content = artifacts.read_json(manifest)
        found = _opened(folder, content)
        if artifacts.read_json(manifest) != content:
            raise ServingError(f"{folder}: expected an export that stays as it is, found another now; open it again")
    except _BROKEN as error:
        reason = " ".join(str(error).split()).removesuffix("; repro export") or type(error).__name__
        raise ServingError(f"{folder}: expected what the stage export writes, found {reason}; run dvc repro") from None
    return found


def _opened(folder: Path, manifest: dict[str, Any]) -> Exported:
    users = _table(folder / f"{artifacts.EXPORTED_USERS}.parquet", ["user_id"])
    items = _table(folder / f"{artifacts.EXPORTED_ITEMS}.parquet", ["item_type", "item_id", "title"])
    ratings = artifacts.read_arrays(folder / artifacts.EXPORTED_RATINGS)
    found = Exported(
        manifest["version"],
        manifest["temperature"],
        _column(users, "user_id"),
        _column(items, "item_type"),
        _column(items, "item_id"),
        _column(items, "title"),
        _mapped(folder / f"{artifacts.EXPORTED_USERS}.npy"),
        _mapped(folder / f"{artifacts.EXPORTED_ITEMS}.npy"),
        UserItems(_mapped(folder / artifacts.EXPORTED_SEEN_STARTS), _mapped(folder / artifacts.EXPORTED_SEEN_ITEMS)),
        RatingModel(**ratings) if ratings else None,
        _index(folder / artifacts.EXPORTED_INDEX, manifest),
    )
    _check_sizes(folder, manifest, found)
    return found


def _index(path: Path, manifest: dict[str, Any]) -> "Index | None":
    if not path.exists():
        return None
    # Who has no index does not wait for its library.
    from stages.ranking.approximate import load

    return load(path, manifest["items"], manifest["dimension"])


def _table(path: Path, columns: list[str]) -> pa.Table:
    # pyarrow.parquet.read_table() imports pandas, which takes longer than all the rest of the first answer.
    with pq.ParquetFile(path) as file:
        return file.read(columns=columns)


def _column(table: pa.Table, name: str) -> pa.StringArray:
    return table[name].combine_chunks()


def _mapped(path: Path) -> NDArray[Any]:
    """The array in a .npy file, its pages read when they are needed."""
    return np.asarray(np.load(path, mmap_mode="r", allow_pickle=False))


def _check_sizes(folder: Path, manifest: dict[str, Any], found: Exported) -> None:
    if len(found.seen.items) != found.seen.starts[-1]:
        raise ValueError(f"{len(found.seen.items)} seen items where {found.seen.starts[-1]} are told of")
    sizes = {
        "users": [len(found.user_ids), len(found.user_embeddings), len(found.seen.starts) - 1],
        "items": [len(found.item_ids), len(found.item_embeddings)],
        "dimension": [found.user_embeddings.shape[1], found.item_embeddings.shape[1]],
    }
    if found.ratings is not None:
        sizes["users"].append(len(found.ratings.user_bias))
        sizes["items"].append(len(found.ratings.item_bias))
    for name, counts in sizes.items():
        if set(counts) != {manifest[name]}:
            raise ServingError(
                f"{folder}: expected {manifest[name]} {name} in every file, found {tuple(counts)}; run dvc repro"
            )
