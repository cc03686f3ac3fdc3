"""Reading and writing of Parquet, NumPy, JSON and CSV files; a file is replaced whole or not at all."""

import csv
import json
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

ROW_GROUP_ROWS = 131_072
# Decimals of floats in text files. PUBLIC_DECIMALS is for the files that git holds and `dvc metrics diff` compares: a
# difference in the last bits shows there only at the border between two roundings.
DECIMALS, PUBLIC_DECIMALS = 6, 4


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yields a temporary path; the file or folder written there replaces `path` when the block ends without error.

    A run that is killed leaves the old `path`, or none, and at most a hidden leftover that the next run overwrites.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".unfinished.{path.name}")
    _remove(unfinished)
    try:
        with naming(path):
            yield unfinished
        if unfinished.is_dir():
            _remove(path)
        unfinished.replace(path)
    finally:
        _remove(unfinished)


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Adds the path to an OSError of the block that names no file, such as that of a full disk."""
    try:
        yield
    except OSError as error:
        if error.filename is None:
            error.filename = path.as_posix()
        raise


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def write_parquet(
    path: Path, schema: pa.Schema, batches: Iterable[pa.RecordBatch], metadata: Mapping[str, int] | None = None
) -> int:
    """Writes batches as Parquet and returns the number of rows; the output does not depend on batch sizes."""
    entries = {name: str(value) for name, value in (metadata or {}).items()}
    schema = schema.with_metadata(entries)
    rows = 0
    with replacing(path) as unfinished, pq.ParquetWriter(unfinished, schema, compression="zstd") as writer:
        for group in _row_groups(schema, batches):
            writer.write_table(group, row_group_size=ROW_GROUP_ROWS)
            rows += group.num_rows
    return rows


def num_rows(path: Path) -> int:
    """The number of rows of a Parquet file."""
    with pq.ParquetFile(path) as file:
        return int(file.metadata.num_rows)


def row_width(path: Path) -> int:
    """Mean number of bytes of a row of a Parquet file, before compression; 0 for no rows."""
    with pq.ParquetFile(path) as file:
        groups = [file.metadata.row_group(number) for number in range(file.metadata.num_row_groups)]
        return int(sum(group.total_byte_size for group in groups) // max(1, file.metadata.num_rows))


def _row_groups(schema: pa.Schema, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.Table]:
    """Yields the same rows as tables of ROW_GROUP_ROWS rows; the last table may be shorter."""
    waiting = schema.empty_table()
    for batch in batches:
        waiting = pa.concat_tables([waiting, pa.Table.from_batches([batch]).cast(schema)])
        while waiting.num_rows >= ROW_GROUP_ROWS:
            yield waiting.slice(0, ROW_GROUP_ROWS).combine_chunks()
            waiting = waiting.slice(ROW_GROUP_ROWS)
    yield waiting.combine_chunks()


def write_array(path: Path, array: NDArray[Any]) -> None:
    with replacing(path) as unfinished, unfinished.open("wb") as file:
        np.save(file, array, allow_pickle=False)


def write_arrays(path: Path, arrays: Mapping[str, NDArray[Any]]) -> None:
    with replacing(path) as unfinished, unfinished.open("wb") as file:
        np.savez(file, allow_pickle=False, **arrays)


def read_arrays(path: Path) -> dict[str, NDArray[Any]]:
    with np.load(path, allow_pickle=False) as file:
        return dict(file)


def write_json(path: Path, content: Mapping[str, Any], decimals: int = DECIMALS, sort_keys: bool = True) -> None:
    """Writes JSON with rounded floats; raises ValueError for NaN and infinity."""
    rounded = _rounded(content, decimals)
    with replacing(path) as unfinished:
        text = json.dumps(rounded, sort_keys=sort_keys, indent=2, ensure_ascii=False, allow_nan=False)
        unfinished.write_text(text + "\n", encoding="utf-8")


def _rounded(content: Any, decimals: int) -> Any:
    if isinstance(content, Mapping):
        return {str(key): _rounded(value, decimals) for key, value in content.items()}
    if isinstance(content, Sequence) and not isinstance(content, str):
        return [_rounded(value, decimals) for value in content]
    return round(content, decimals) if isinstance(content, float) else content


def read_json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def write_csv(
    path: Path, header: Sequence[str], rows: Iterable[Sequence[str | int | float | None]], decimals: int = DECIMALS
) -> None:
    """Writes a small CSV table with a header and rounded floats; None is an empty cell."""
    with replacing(path) as unfinished, unfinished.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows([_rounded(["" if cell is None else cell for cell in row], decimals) for row in rows])
