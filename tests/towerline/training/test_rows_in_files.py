"""A search and a fit whose rows are in files: the bytes of those whose rows are in memory, and nothing left behind."""

import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from tests.conftest import ROOT, run
from tests.towerline.training.conftest import ITEMS, LOSSES, USERS, params, planted_parts
from towerline.artifacts.split import Interactions, read_joined
from towerline.feedback.strengths import choices
from towerline.pipeline import formats, row_arrays
from towerline.towers import tf
from towerline.training import memory
from towerline.training.checkpoints import fingerprint
from towerline.training.fitting import fit
from towerline.training.history import History
from towerline.training.params import TrainParams
from towerline.training.search import search


def write_sets(folder: Path) -> list[Path]:
    """Files of the checkerboard, with ratings, and times and weights that say nothing; the first in no order."""
    draw, paths = np.random.default_rng(1), []
    for number, rows in enumerate(planted_parts()):
        size = len(rows.user_index)
        order = draw.permutation(size) if number == 0 else np.lexsort((rows.item_index, rows.user_index))
        assert rows.rating is not None
        columns = {
            "user_index": rows.user_index[order],
            "item_index": rows.item_index[order],
            "rating": rows.rating[order],
            "timestamp": draw.integers(0, 10 * 86_400, size),
            "weight": draw.choice([1.0, 2.0, 5.0], size).astype(np.float32),
        }
        table = pa.table({name: pa.array(column) for name, column in columns.items()})
        paths.append(folder / f"{number}.parquet")
        formats.write_parquet(paths[-1], table.schema, table.to_batches(), {"num_users": USERS, "num_items": ITEMS})
    return paths


def results(settings: TrainParams, rows: Interactions, cut: int) -> list[Any]:
    """All that a search and a fit with what it has found return, as lists and bytes."""
    train, validation = rows.part(0, cut), rows.part(cut, len(rows.user_index))
    tf.keras.utils.set_random_seed(settings.seed)
    ways = choices(train, 5.0, negatives=settings.loss == "grouped_softmax")
    # Negatives with equal weights, and dislikes left out or counted by their weights.
    found = search(settings.given(), settings, train, validation, ways=[ways[0], ways[-1]])
    fitted = fit(found.recipe, rows)
    arrays = [*fitted.embeddings(), *(fitted.rating_model or ())]
    weights = History(rows).weights(2.0, np.arange(USERS + 1, dtype=np.int32))
    return [*found, fitted.epochs, fingerprint(rows), weights.data.tobytes(), *(array.tobytes() for array in arrays)]


@pytest.mark.parametrize("loss", LOSSES)
def test_the_bytes_are_those_of_rows_in_memory(loss: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths, folder = write_sets(tmp_path), tmp_path / "models"
    settings = params(
        loss=loss, rating_weight=0.1, epochs=2, temperature=None, popularity_prior=None, popularity_half_life=None
    )
    cut = formats.num_rows(paths[0])
    expected = results(settings, read_joined(paths), cut)
    monkeypatch.setattr(row_arrays, "BLOCK_ROWS", 50)
    assert results(settings, read_joined(paths, folder), cut) == expected
    assert not list(folder.iterdir())


def peak(rows: int) -> tuple[int, float]:
    """The number of made-up rows, and the bytes at the peak of a training on them that are not of files."""
    sizes = ("--users", "20_000", "--items", "5_000", "--dimension", "8", "--batch-size", "64")
    output = run(ROOT, sys.executable, "-m", "benchmarks.epochs", "--rows", str(rows), *sizes, "--files").stdout
    (number,) = re.findall(r"([\d,]+) rows", output)
    (gigabytes,) = re.findall(r"not of files: ([\d.]+) GB", output)
    return int(number.replace(",", "")), float(gigabytes) * 1e9


@pytest.mark.slow
def test_the_memory_does_not_grow_with_rows_in_files() -> None:
    (few, of_few), (many, of_many) = peak(1_000_000), peak(12_000_000)
    # A single array of int32 in memory is 4 bytes a row.
    assert (of_many - of_few) / (many - few) < 4


def test_rows_beyond_a_share_of_the_free_memory_are_in_files(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "free_bytes", lambda: 4e9)
    settings = params(embedding_dimension=64, rating_weight=0.0)
    most = int(1e9 / memory.row_bytes(settings, 1))
    assert memory.row_folder(settings, most - 1) is None
    assert memory.row_folder(settings, most + 1) == Path("models")
    assert memory.row_folder(params(rating_weight=0.1), most - 1) == Path("models")
    said = memory.check_memory(settings, 1_000, 1_000, 10 * most, in_files=True)
    assert said is not None
    assert "take about 0.6 GB of memory" in said
    assert "in files in models/ (up to 10.0 GB)" in said
