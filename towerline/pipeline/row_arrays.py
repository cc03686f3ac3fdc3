"""Arrays with one number a row: in memory, or mapped from files, whose pages need no memory.

A function that makes such an array of others takes the kind of place from them, so that only the reader of the rows
chooses between memory and files.
"""

import mmap
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from towerline.pipeline import formats

# Number of rows that are computed at once, so that the numbers on the way take little memory.
BLOCK_ROWS = 1 << 18


class MappedFile(mmap.mmap):
    """A mapped file without a name, whose space is free again when no array uses it, or when the process ends.

    Attributes:
      folder: whose disk it is on.
    """

    folder: Path


def empty(length: int, dtype: DTypeLike, folder: Path | None = None) -> NDArray[Any]:
    """[length] numbers that are not set.

    Args:
      length: number of the numbers.
      dtype: their type.
      folder: where the file is; None for memory.

    Raises:
      OSError: the disk has no space for the file.
    """
    if folder is None or not length:
        return np.empty(length, dtype)
    size = length * np.dtype(dtype).itemsize
    folder.mkdir(parents=True, exist_ok=True)
    with formats.naming(folder), tempfile.TemporaryFile(dir=folder) as file:
        # Without space for a page, the system would kill the process that writes to it.
        os.posix_fallocate(file.fileno(), 0, size)
        mapped = MappedFile(file.fileno(), size)
    mapped.folder = folder
    return np.ndarray(length, dtype, mapped)


def folder_of(array: NDArray[Any]) -> Path | None:
    """The folder whose disk has the numbers of an array, or of the array that it is a part of; None for memory."""
    base: object = array
    while isinstance(base, np.ndarray):
        base = base.base
    return base.folder if isinstance(base, MappedFile) else None


def empty_like(array: NDArray[Any], dtype: DTypeLike, length: int | None = None) -> NDArray[Any]:
    """Numbers that are not set, in memory or in a file, as those of a given array are.

    Args:
      array: the given one.
      dtype: type of the numbers.
      length: number of the numbers; None for that of the array.
    """
    return empty(len(array) if length is None else length, dtype, folder_of(array))


def blocks(length: int) -> Iterator[slice]:
    """Slices of at most BLOCK_ROWS rows, which are all rows together, in their order."""
    for first in range(0, length, BLOCK_ROWS):
        yield slice(first, min(first + BLOCK_ROWS, length))


def user_blocks(starts: NDArray[np.integer[Any]]) -> Iterator[tuple[int, int]]:
    """Ranges of users with at most BLOCK_ROWS rows, or of a single user, which are all users together.

    Args:
      starts: [users + 1], user u has the rows from starts[u] to starts[u + 1].

    Yields:
      The first user and the one after the last.
    """
    first = 0
    while first < len(starts) - 1:
        last = int(np.searchsorted(starts, int(starts[first]) + BLOCK_ROWS, side="right")) - 1
        yield first, (last := max(first + 1, last))
        first = last


def filled(array: NDArray[Any], dtype: DTypeLike, values: Callable[[slice], NDArray[Any]]) -> NDArray[Any]:
    """Numbers that are computed block by block, as many as a given array has, in memory or in a file as its own are.

    Args:
      array: the given one.
      dtype: type of the numbers.
      values: gives those of a block.
    """
    numbers = empty_like(array, dtype)
    for block in blocks(len(numbers)):
        numbers[block] = values(block)
    return numbers


def chosen(array: NDArray[Any], mask: NDArray[np.bool_]) -> NDArray[Any]:
    """array[mask], in memory or in a file as the array is."""
    kept = empty_like(array, array.dtype, int(np.count_nonzero(mask)))
    end = 0
    for block in blocks(len(array)):
        of_block = array[block][mask[block]]
        kept[end : end + len(of_block)] = of_block
        end += len(of_block)
    return kept


def joined(arrays: Sequence[NDArray[Any]]) -> NDArray[Any]:
    """The numbers of several arrays one after the other, in memory or in a file as those of the first array are."""
    everything = empty_like(arrays[0], arrays[0].dtype, sum(map(len, arrays)))
    np.concatenate(arrays, out=everything)
    return everything


def used(index: NDArray[np.integer[Any]], num_ids: int) -> NDArray[np.bool_]:
    """[num_ids + 1] bool, true for the ids of which [rows] indices have one or more."""
    mask = np.zeros(num_ids + 1, np.bool_)
    for block in blocks(len(index)):
        mask[index[block]] = True
    return mask


def sums(
    index: NDArray[np.integer[Any]], size: int, values: Callable[[slice], NDArray[np.floating[Any]]] | None = None
) -> NDArray[np.float64]:
    """[size] float64 sums of the values of the rows of each index, in the order of the rows, as np.bincount() adds.

    Args:
      index: [rows] integers, below size.
      size: number of sums.
      values: gives those of a block of rows; None where each is 1.
    """
    totals = np.zeros(size)
    for block in blocks(len(index)):
        if values is None:
            totals += np.bincount(index[block], minlength=size)
        else:
            np.add.at(totals, index[block], values(block).astype(np.float64, copy=False))
    return totals
