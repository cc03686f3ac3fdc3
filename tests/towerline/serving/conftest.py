"""The export of the small project, opened, and as plain Python; the command line over it; made exports."""

import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from numpy.typing import NDArray

import towerline
from tests.conftest import ROOT, run
from towerline.exports import layout, manifest
from towerline.exports.manifest import Sizes
from towerline.exports.precision import Tables
from towerline.exports.writing import Content, write_content, write_seen
from towerline.ranking.user_items import UserItems

K = 7
# Sizes of the exports of make_export().
USERS, ITEMS = 40, 300


@pytest.fixture(scope="module")
def exports(small_project: Path) -> Path:
    return small_project / "exports"


@pytest.fixture(scope="module")
def recommender(exports: Path) -> towerline.Recommender:
    return towerline.open(exports)


class Slow(NamedTuple):
    """The export as plain Python, and its questions answered one pair at a time."""

    users: dict[str, np.ndarray]
    items: dict[tuple[str, str], np.ndarray]
    seen: dict[str, set[tuple[str, str]]]

    @classmethod
    def of(cls, project: Path) -> "Slow":
        users = pq.read_table(project / "exports/user_embeddings.parquet").to_pylist()
        items = pq.read_table(project / "exports/item_embeddings.parquet").to_pylist()
        rows = pd.read_csv(project / "data/raw/preferences.csv", dtype=str, keep_default_na=False)
        seen: dict[str, set[tuple[str, str]]] = {}
        for user, kind, item in zip(rows.user_id, rows.item_type, rows.item_id, strict=True):
            seen.setdefault(user, set()).add((kind, item))
        return cls(
            {row["user_id"]: np.array(row["embedding"], np.float64) for row in users},
            {(row["item_type"], row["item_id"]): np.array(row["embedding"], np.float64) for row in items},
            seen,
        )

    def ordered(self, scores: dict[Any, float], k: int) -> list[tuple[Any, float]]:
        """Best first, equal float32 scores in the byte order of the ids."""
        rounded = {row: float(np.float32(score)) for row, score in scores.items()}
        return sorted(rounded.items(), key=lambda pair: (-pair[1], pair[0]))[:k]

    def recommended(self, query: np.ndarray, k: int, shown: Iterable[tuple[str, str]]) -> list[tuple[Any, float]]:
        return self.ordered({item: float(np.sum(query * self.items[item])) for item in shown}, k)


@pytest.fixture(scope="module")
def slow(small_project: Path) -> Slow:
    return Slow.of(small_project)


def pairs(answer: list[Any]) -> list[tuple[Any, float]]:
    return [((item.item_type, item.item_id), item.score) for item in answer]


def ask(exports: Path, *words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    command, *rest = words
    return run(ROOT, sys.executable, "-m", "towerline", command, "--exports", str(exports), *rest, check=check)


def make_export(folder: Path, seed: int, size: int = 0) -> Path:
    """An export all of whose files depend on the seed, whatever their sizes; `size` bytes more in its SavedModel."""
    draw = np.random.default_rng(seed)

    def vectors(rows: int, last: NDArray[np.float64]) -> NDArray[np.float32]:
        drawn = draw.normal(size=(rows, 16))
        drawn /= np.linalg.norm(drawn, axis=1, keepdims=True)
        return np.column_stack([drawn, last]).astype(np.float32)

    embeddings = Tables(vectors(USERS, np.ones(USERS)), vectors(ITEMS, draw.random(ITEMS)))
    pairs = draw.permutation(USERS * ITEMS)[: 10 * USERS]
    seen = UserItems.of_pairs((pairs // ITEMS).astype(np.int32), (pairs % ITEMS).astype(np.int32), num_rows=USERS)
    users = pa.table({"user_id": [f"u{row:03d}" for row in range(USERS)]})
    items = pa.table(
        {
            "item_type": ["film"] * ITEMS,
            "item_id": [f"{row:04d}" for row in range(ITEMS)],
            "title": [f"{seed:06d} {row}" for row in range(ITEMS)],
        }
    )
    folder.mkdir(parents=True)
    write_content(folder, Content(users, items, embeddings, {}, {}, {}), csv=False)
    write_seen(folder, seen)
    model = folder / layout.MODEL / "saved_model.pb"
    model.parent.mkdir(parents=True)
    model.write_bytes(f"{seed:06d}".encode() + bytes(size))
    manifest.write(folder, Sizes(USERS, ITEMS, 17, 10 * USERS), 0.1)
    return folder
