"""An open release or export stays whole, and a damaged one is an error of one line."""

import io
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import towerline
from tests.conftest import ROOT, run
from tests.towerline.serving.conftest import ITEMS, USERS
from tests.towerline.serving.releases.conftest import answers, version_of
from towerline.exports import layout, manifest
from towerline.exports.manifest import Sizes
from towerline.serving import releases
from towerline.serving.bulk import write_recommendations
from towerline.serving.releases import pointer


def npy(array: NDArray[Any], *changes: tuple[bytes, bytes]) -> bytes:
    """The bytes of a .npy file, some of them others of the same length."""
    file = io.BytesIO()
    np.save(file, array)
    content = file.getvalue()
    for old, new in changes:
        assert old in content
        assert len(old) == len(new)
        content = content.replace(old, new, 1)
    return content


DAMAGES: dict[str, tuple[str, Callable[[NDArray[Any]], bytes]]] = {
    "an open bracket": ("user_embeddings.npy", lambda array: npy(array, (b"'shape': (", b"'shape': ["))),
    "no header": ("user_embeddings.npy", lambda array: npy(array, (b"{'descr'", b"{((((((("))),
    "whole numbers": ("item_embeddings.npy", lambda array: npy(array, (b"<f4", b"<i4"))),
    "big endian": ("item_embeddings.npy", lambda array: npy(array, (b"<f4", b">f4"))),
    "starts descend": ("seen_starts.npy", lambda array: npy(np.r_[0, array[-1], array[2:]])),
    "starts are negative": ("seen_starts.npy", lambda array: npy(np.r_[-5, array[1:]])),
    "items beyond": ("seen_items.npy", lambda array: npy(array + np.int32(ITEMS))),
    "items below": ("seen_items.npy", lambda array: npy(array - np.int32(ITEMS))),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_bytes_of_the_same_size_are_one_line_that_names_verify(
    exports: list[Path], tmp_path: Path, damage: str
) -> None:
    name, damaged = DAMAGES[damage]
    releases.release(exports[0], tmp_path / "releases")
    file = tmp_path / "releases" / version_of(exports[0]) / name
    size = file.stat().st_size
    file.chmod(0o644)
    file.write_bytes(damaged(np.load(file)))
    assert file.stat().st_size == size
    asks: list[Callable[[towerline.Recommender], object]] = [
        lambda recommender: recommender.recommend("u003"),
        lambda recommender: write_recommendations(recommender, tmp_path / "all", 3, None, True, lambda users: None),
    ]
    for act in asks:
        with pytest.raises(towerline.ServingError, match="python -m towerline verify") as caught:
            act(towerline.open(tmp_path / "releases"))
        assert "\n" not in str(caught.value)


def test_what_is_open_stays_whole_and_reload_moves_on(exports: list[Path], tmp_path: Path) -> None:
    place = tmp_path / "releases"
    releases.release(exports[0], place)
    old = towerline.open(place)
    expected = [answers(towerline.open(path)) for path in exports[:2]]
    assert old.reload() is old
    releases.release(exports[1], place, keep=1)
    new = old.reload()
    assert (answers(old), answers(new)) == (expected[0], expected[1])
    assert new.reload() is new
    # What cannot be opened leaves what is open as it is.
    (place / pointer.NAME).write_text("[]")
    with pytest.raises(towerline.ServingError, match="expected the pointer that release writes"):
        new.reload()
    assert answers(new) == expected[1]
    with pytest.raises(towerline.ServingError, match=r"reload: expected what towerline\.open"):
        towerline.Recommender(new.exported).reload()


@pytest.mark.parametrize("index", [False, True])
def test_an_open_export_stays_whole_while_another_is_copied_over_it(
    exports: list[Path], tmp_path: Path, index: bool
) -> None:
    """In a process of its own, which a mapped file that is cut off would kill."""
    shutil.copytree(exports[0], tmp_path / "exports")
    if index:
        from towerline.index.approximate import build

        embeddings = np.load(tmp_path / "exports/item_embeddings.npy")
        (tmp_path / "exports" / layout.MANIFEST).unlink()
        build(embeddings).save(tmp_path / "exports" / layout.INDEX)
        manifest.write(tmp_path / "exports", Sizes(USERS, ITEMS, 17, 10 * USERS), 0.1)
    code = f"""
import shutil, towerline
from tests.towerline.serving.releases.conftest import Path, answers
folder = Path({str(tmp_path)!r}) / "exports"
recommender = towerline.open(folder)
before = answers(recommender)
for path in sorted(path for path in folder.rglob("*") if path.is_file()):
    with path.open("r+b") as file:
        size = path.stat().st_size
        file.write(b"\\xff" * size)
        file.flush()
        assert answers(towerline.Recommender(recommender.exported)) == before
        file.truncate(0)
assert answers(towerline.Recommender(recommender.exported)) == before
"""
    run(ROOT, sys.executable, "-c", code)
