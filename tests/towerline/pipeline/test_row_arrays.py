"""Arrays with one number a row: the same numbers in memory and in files, whose space is reserved and given back."""

import errno
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.conftest import mounted_disk
from towerline.pipeline import row_arrays

LENGTH = 1_000


@pytest.fixture(params=["memory", "files"])
def folder(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path | None]:
    monkeypatch.setattr(row_arrays, "BLOCK_ROWS", 64)
    yield tmp_path / "models" if request.param == "files" else None
    assert not list(tmp_path.rglob("*.*"))


def drawn(folder: Path | None) -> tuple[NDArray[np.int32], NDArray[np.float32], NDArray[np.bool_]]:
    """Indices from 0 to 20, numbers whose sums depend on their order, and a mask."""
    draw = np.random.default_rng(0)
    arrays = draw.integers(0, 21, LENGTH), draw.random(LENGTH) ** 9, draw.random(LENGTH) < 0.3
    index, numbers, mask = (row_arrays.empty(LENGTH, dtype, folder) for dtype in (np.int32, np.float32, np.bool_))
    for array, values in zip((index, numbers, mask), arrays, strict=True):
        array[:] = values
    return index, numbers, mask


def test_arrays_that_are_made_of_others_have_the_same_numbers_in_the_same_place(folder: Path | None) -> None:
    index, numbers, mask = drawn(folder)
    half = numbers[LENGTH // 2 :]
    made: list[tuple[NDArray[Any], NDArray[Any]]] = [
        (row_arrays.chosen(numbers, mask), numbers[mask]),
        (row_arrays.joined([half, numbers]), np.concatenate([half, numbers])),
        (row_arrays.filled(numbers, np.float64, lambda block: 2 * numbers[block]), 2 * numbers.astype(np.float64)),
    ]
    for found, expected in made:
        assert row_arrays.folder_of(found) == folder
        np.testing.assert_array_equal(found, expected)
        assert found.dtype == expected.dtype
    np.testing.assert_array_equal(np.flatnonzero(row_arrays.used(index, 30)), np.unique(index))
    # To the last bit.
    assert (row_arrays.sums(index, 25, numbers.__getitem__) == np.bincount(index, numbers, 25)).all()
    assert (row_arrays.sums(index, 25) == np.bincount(index, minlength=25)).all()


def test_blocks_of_users_have_whole_users(folder: Path | None) -> None:
    starts = np.array([0, 0, 30, 64, 64, 200, 201, 201])
    assert list(row_arrays.user_blocks(starts)) == [(0, 4), (4, 5), (5, 7)]


def test_the_space_of_files_is_reserved_and_given_back(tmp_path: Path) -> None:
    with mounted_disk(tmp_path / "disk", "1m") as disk:
        kept = row_arrays.empty(100_000, np.float32, disk)
        with pytest.raises(OSError, match=os.strerror(errno.ENOSPC)) as caught:
            row_arrays.empty(200_000, np.float64, disk)
        assert caught.value.filename == disk.as_posix()
        assert not list(disk.iterdir())
        del kept
        row_arrays.empty(100_000, np.float64, disk)
