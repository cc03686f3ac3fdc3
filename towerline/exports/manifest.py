"""The manifest of an export: its sizes, and the name, size and digest of each of its files.

It is written last. Its version is a digest of the rest of the manifest, and thereby of every byte of the other files.
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from towerline.exports import layout
from towerline.pipeline import formats
from towerline.pipeline.errors import StageError

VERSION_DIGITS = 12


class File(NamedTuple):
    """A file of an export.

    Attributes:
      size: in bytes.
      sha256: of its content, in hexadecimal digits.
    """

    size: int
    sha256: str


class Sizes(NamedTuple):
    """Numbers that describe an export.

    Attributes:
      users, items: number of users and of items.
      dimension: of the vectors, the terms of the popularity prior included.
      rows: number of rows that the model was fitted to.
    """

    users: int
    items: int
    dimension: int
    rows: int


class Manifest(NamedTuple):
    """Content of an export.

    Attributes:
      version: digest of everything below, VERSION_DIGITS hexadecimal digits.
      users, items, dimension, rows: as of Sizes.
      temperature: temperature of the training loss.
      files: name within the folder -> file, without the manifest.
    """

    version: str
    users: int
    items: int
    dimension: int
    rows: int
    temperature: float
    files: Mapping[str, File]

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(file.size for file in self.files.values())


def write(folder: Path, sizes: Sizes, temperature: float) -> Manifest:
    """Writes the manifest of the files that a folder holds; arguments as Manifest's attributes."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    content: dict[str, Any] = {
        **sizes._asdict(),
        # Rounded as write_json() writes it, so that the version is that of the file.
        "temperature": round(temperature, formats.DECIMALS),
        "files": {path.relative_to(folder).as_posix(): _file(path)._asdict() for path in paths},
    }
    formats.write_json(folder / layout.MANIFEST, {"version": _version(content), **content})
    return read(folder)


def read(folder: Path) -> Manifest:
    """Reads the manifest of an export.

    Raises:
      StageError: it is missing or damaged, or names a file outside the folder.
    """
    path = folder / layout.MANIFEST
    if not path.is_file():
        raise StageError(f"{folder}: expected what the stage export writes, found no {path.name}; run dvc repro")
    try:
        content = formats.read_json(path)
        version = content.pop("version")
        files = {name: File(**file) for name, file in content["files"].items()}
        manifest = Manifest(version, **{**content, "files": files})
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        raise StageError(
            f"{path}: expected the manifest that this release of Towerline writes, found something else; run dvc repro"
        ) from None
    if version != _version(content):
        raise StageError(
            f"{path}: expected content with the version {_version(content)}, found {version!r}; run dvc repro"
        )
    for name in files:
        parts = PurePosixPath(name).parts
        if not parts or PurePosixPath(name).is_absolute() or ".." in parts or "\0" in name:
            raise StageError(f"{path}: expected names of files in the folder, found {name!r}; run dvc repro")
    return manifest


def check_sizes(folder: Path, manifest: Manifest) -> None:
    """Compares the files' sizes.

    Raises:
      StageError: a file is missing or of another size.
    """
    for name, file in manifest.files.items():
        _check_size(folder / name, file)


def _check_size(path: Path, file: File) -> None:
    size = path.stat().st_size if path.is_file() else None
    if size != file.size:
        shown = "none" if size is None else f"{size:,}"
        raise StageError(f"{path}: expected a file of {file.size:,} bytes, found {shown}")


def check_digest(path: Path, file: File, sha256: str) -> None:
    """Compares a digest of the content that was read.

    Raises:
      StageError: the content is another.
    """
    if sha256 != file.sha256:
        raise StageError(f"{path}: expected content of the digest {file.sha256[:12]}, found {sha256[:12]}")


def check_file(folder: Path, name: str, manifest: Manifest) -> None:
    """Compares size and digest of one file.

    Raises:
      StageError: it is missing, or its content is another.
    """
    if name not in manifest.files:
        raise StageError(f"{folder / layout.MANIFEST}: expected the file {name}, found none; run dvc repro")
    file = manifest.files[name]
    _check_size(folder / name, file)
    check_digest(folder / name, file, _file(folder / name).sha256)


def check(folder: Path, manifest: Manifest) -> None:
    """Compares sizes and digests of all files.

    Raises:
      StageError: a file is missing, or its content is another.
    """
    check_sizes(folder, manifest)
    for name in manifest.files:
        check_file(folder, name, manifest)


def _file(path: Path) -> File:
    with path.open("rb") as file:
        return File(path.stat().st_size, hashlib.file_digest(file, "sha256").hexdigest())


def _version(content: Mapping[str, Any]) -> str:
    text = json.dumps(content, sort_keys=True, ensure_ascii=False, allow_nan=False)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:VERSION_DIGITS]
