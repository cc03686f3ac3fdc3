"""Made exports to release, and what their readers ask."""

import hashlib
from pathlib import Path
from typing import Any

import pytest

import towerline
from tests.towerline.serving.conftest import USERS, make_export
from towerline.exports import manifest

ASKED = [f"u{row:03d}" for row in range(0, USERS, 7)]


def answers(recommender: towerline.Recommender) -> list[Any]:
    """What the readers ask: every mapped array and every column has a part in it."""
    return [
        recommender.recommend_batch(ASKED, 5),
        recommender.similar_users_batch(ASKED, 5),
        recommender.recommend("nobody", 5, unknown="popular"),
    ]


def digest(recommender: towerline.Recommender) -> str:
    return hashlib.sha256(repr(answers(recommender)).encode()).hexdigest()


def version_of(folder: Path) -> str:
    return manifest.read(folder).version


@pytest.fixture(scope="module")
def exports(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("exports")
    return [make_export(folder / str(seed), seed) for seed in range(4)]


def files_of(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
