"""An export with more items or users, as a folder."""

from collections.abc import Iterable
from pathlib import Path

import pyarrow as pa

from towerline.exports import layout, manifest
from towerline.exports.manifest import Sizes
from towerline.exports.precision import Tables
from towerline.exports.writing import Content, write_content, write_seen
from towerline.pipeline import formats
from towerline.serving import extending
from towerline.serving.errors import ServingError, folder_path
from towerline.serving.exported import Exported, read
from towerline.serving.rows import Row, listed_rows


def write_extended(exports: Path | str, out: Path | str, items: Iterable[Row] = (), users: Iterable[Row] = ()) -> str:
    """Writes an export with new items and users, whose embeddings come from their features.

    It is an export as the stage export writes it, with all files but the SavedModel, which would need TensorFlow.

    Args:
      exports: an export, a release, or a folder of releases, whose live release is extended.
      out: a new or an empty folder.
      items, users: rows, as of Recommender.with_items() and Recommender.with_users().

    Returns:
      One line that says what was done.

    Raises:
      ServingError: as of these, or the folder is not empty, belongs to what is read, or has no parent.
    """
    exports, out = folder_path(exports), folder_path(out)
    _check_place(exports, out)
    new_items, new_users = listed_rows(items), listed_rows(users)
    exported = read(exports)
    if new_items:
        exported = extending.with_items(exported, new_items)
    if new_users:
        exported = extending.with_users(exported, new_users)
    with formats.replacing(out) as folder:
        version = write_export(folder, exported)
    return (
        f"{out}: {version} with {len(exported.user_ids):,} users ({len(new_users):,} new) and "
        f"{len(exported.item_ids):,} items ({len(new_items):,} new), without the SavedModel, which only dvc repro makes"
    )


def _check_place(exports: Path, out: Path) -> None:
    if out.resolve().is_relative_to(exports.resolve()):
        raise ServingError(f"{out}: expected a folder outside of {exports}, which is read, found one within")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ServingError(f"{out}: expected a new or an empty folder, found other content; choose another name")
    if not out.parent.is_dir():
        raise ServingError(
            f"{out}: expected an existing folder to make it in, found none; make {str(out.parent)!r}, or choose "
            "another name"
        )


def write_export(folder: Path, exported: Exported) -> str:
    """Writes an export without a SavedModel to an empty folder, and returns its version."""
    encoders = (
        {} if encoder is None else encoder.arrays() for encoder in (exported.user_encoder, exported.item_encoder)
    )
    content = Content(
        pa.table({"user_id": exported.user_ids}),
        pa.table({"item_type": exported.item_types, "item_id": exported.item_ids, "title": exported.titles}),
        Tables(exported.user_embeddings, exported.item_embeddings),
        {} if exported.ratings is None else exported.ratings._asdict(),
        *encoders,
    )
    write_content(folder, content, exported.csv)
    write_seen(folder, exported.seen)
    if exported.item_index is not None:
        exported.item_index.save(folder / layout.INDEX)
    sizes = Sizes(len(exported.user_ids), len(exported.item_ids), exported.item_embeddings.shape[1], exported.rows)
    return manifest.write(folder, sizes, exported.temperature).version
