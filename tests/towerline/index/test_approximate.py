"""The approximate index against exact inner products: recall, the same bytes everywhere, and refused files."""

import re
import sys
from pathlib import Path
from typing import Any

import faiss
import numpy as np
import pytest
from numpy.typing import NDArray

from tests.conftest import ROOT, run
from towerline.index import approximate
from towerline.index.approximate import Index, build, clusters, default_lists, default_probes, load, recall
from towerline.pipeline.errors import StageError
from towerline.ranking import blocks
from towerline.ranking.user_items import UserItems
from towerline.serving.ranking import Candidates, best_items, best_of_index

Floats = NDArray[np.float32]

BUILD = """
import sys
from pathlib import Path
import numpy as np
from towerline.index.approximate import build
build(np.load("items.npy")).save(Path(sys.argv[1]))
"""


def unit(vectors: Floats) -> Floats:
    scaled: Floats = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return scaled


def catalogue(count: int, seed: int = 3) -> tuple[Floats, Floats]:
    """Items in clusters with strong priors, a tenth of them without a vector, and 200 queries near some clusters."""
    draw = np.random.default_rng(seed)
    centres = draw.standard_normal((max(1, count // 100), 16), np.float32)
    noise = 0.5 * draw.standard_normal((count, 16), np.float32)
    vectors = unit(centres[draw.integers(len(centres), size=count)] + noise)
    vectors[draw.random(count) < 0.1] = 0
    prior = 0.8 * draw.power(0.2, count).astype(np.float32) - 1
    queries = unit(centres[draw.integers(len(centres), size=200)] + 0.5 * draw.standard_normal((200, 16), np.float32))
    return np.column_stack([vectors, prior]), np.column_stack([queries, np.ones(200, np.float32)])


def exact(items: Floats, queries: Floats, k: int) -> NDArray[np.int32]:
    return np.argsort(-(queries @ items.T), axis=1, kind="stable")[:, :k].astype(np.int32)


@pytest.fixture(scope="module")
def large() -> tuple[Floats, Floats, Index]:
    items, queries = catalogue(10_000)
    return items, queries, build(items)


def test_the_items_found_are_those_of_the_largest_inner_products_and_not_of_the_largest_cosines(
    large: tuple[Floats, Floats, Index],
) -> None:
    items, queries, index = large
    wanted = exact(items, queries, 100)
    assert recall(index.search(queries, 100), wanted) >= 0.95
    by_cosine = exact(unit(items[:, :-1] + np.float32(1e-9)), queries[:, :-1], 100)
    assert recall(by_cosine, wanted) < 0.7, "priors must matter for this test to mean anything"


@pytest.mark.parametrize("k", [1, 20, 1000])
def test_many_items_are_found_as_surely_as_few(large: tuple[Floats, Floats, Index], k: int) -> None:
    items, queries, index = large
    assert recall(index.search(queries, k), exact(items, queries, k)) >= 0.95


def test_looking_into_every_list_is_exact_search_best_first_and_one_list_is_not_enough() -> None:
    items, queries = catalogue(3_000)
    index = build(items)
    rows = index.search(queries, 50, probes=3_000)
    scores = np.take_along_axis(queries @ items.T, rows, axis=1)
    np.testing.assert_allclose(scores, -np.sort(-(queries @ items.T), axis=1)[:, :50], rtol=1e-5, atol=1e-6)
    assert recall(index.search(queries, 5, probes=1), rows[:, :5]) < 0.95


def test_a_file_gives_back_the_index_and_any_program_with_faiss_can_search_it(tmp_path: Path) -> None:
    items, queries = catalogue(3_000)
    index = build(items)
    index.save(tmp_path / "items.faiss")
    loaded = load(tmp_path / "items.faiss", *items.shape)
    assert (loaded.search(queries, 50) == index.search(queries, 50)).all()
    plain: Any = faiss.read_index(str(tmp_path / "items.faiss"))
    plain.nprobe = plain.nlist
    assert recall(plain.search(queries, 50)[1], exact(items, queries, 50)) > 0.999


def test_two_processes_with_different_threads_write_the_same_bytes(tmp_path: Path) -> None:
    items, _ = catalogue(5_000)
    np.save(tmp_path / "items.npy", items)
    for threads in ("1", "3"):
        command = (sys.executable, "-c", BUILD, threads)
        run(tmp_path, *command, PYTHONPATH=str(ROOT), OMP_NUM_THREADS=threads, OPENBLAS_NUM_THREADS=threads)
    assert (tmp_path / "1").read_bytes() == (tmp_path / "3").read_bytes()


def test_clusters_do_not_depend_on_the_order_in_which_a_processor_adds(monkeypatch: pytest.MonkeyPatch) -> None:
    items, _ = catalogue(5_000)
    cluster_of = clusters(items, 100)
    monkeypatch.setattr(blocks, "BLOCK_SCORES", 7_000)
    assert (clusters(items, 100) == cluster_of).all()
    # Rounding in float32 would show against float64; whole numbers have none.
    grid = approximate.Grid.of(items)
    on_grid = grid.on(items)
    squares = np.einsum("ij,ij->i", on_grid.astype(np.float64), on_grid.astype(np.float64))
    assert squares.max() <= approximate.LONGEST**2
    products = on_grid[:500] @ on_grid[:500].T
    assert (products == on_grid[:500].astype(np.float64) @ on_grid[:500].T.astype(np.float64)).all()


def test_a_query_finds_the_same_alone_and_among_others() -> None:
    items, queries = catalogue(5_000)
    index = build(items)
    together = index.search(queries, 20)
    assert (np.concatenate([index.search(query[None], 20) for query in queries]) == together).all()


def test_where_there_are_fewer_items_than_asked_for_the_rest_is_none() -> None:
    items, queries = catalogue(7)
    rows = build(items).search(queries, 10)
    assert (rows[:, :7] == exact(items, queries, 7)).all()
    assert (rows[:, 7:] == -1).all()


def test_lists_that_hold_too_few_items_are_no_reason_for_serving_to_find_none() -> None:
    """The answer to a query is complete, and does not depend on the other queries and their exclusions."""
    items, queries = catalogue(2_000)
    index = build(items, lists=200)
    assert (index.search(queries, 300, probes=1) < 0).any()
    draw = np.random.default_rng(4)
    counts = draw.choice([0, 3, 200, 900, 1_500, 1_995, 2_000], size=len(queries))
    rows = [np.sort(draw.choice(2_000, size=count, replace=False)) for count in counts]
    user = np.repeat(np.arange(len(queries), dtype=np.int32), counts)
    excluded = UserItems.of_pairs(user, np.concatenate(rows).astype(np.int32), num_rows=len(queries))
    candidates = Candidates(items, np.arange(2_000, dtype=np.int32))
    together = best_of_index(queries, index, candidates, excluded, 20)
    wanted = best_items(queries, candidates, excluded, 20)
    assert ((together.rows >= 0).sum(axis=1) == np.minimum(20, 2_000 - counts)).all()
    assert recall(together.rows, wanted.rows) >= 0.95
    for row in range(len(queries)):
        own = excluded.of_users(np.array([row], np.int32))
        alone = best_of_index(queries[row : row + 1], index, candidates, own, 20)
        assert (alone.rows[0] == together.rows[row]).all()
        assert (alone.scores[0] == together.scores[row]).all()
        assert not set(alone.rows[0]) & set(rows[row].tolist())
    assert best_of_index(queries[:0], index, candidates, UserItems.none(0), 20).rows.shape == (0, 20)


def test_one_item_is_found_and_so_are_items_that_are_all_alike() -> None:
    queries = np.array([[0.6, 0.8, 1]], np.float32)
    assert build(np.array([[0, 0, -1]], np.float32)).search(queries, 2).tolist() == [[0, -1]]
    assert build(np.zeros((1, 3), np.float32)).search(queries, 1).tolist() == [[0]]
    alike = np.tile(np.array([[0.6, 0.8, 0.3]], np.float32), (500, 1))
    assert build(alike).search(queries, 500).tolist() == [list(range(500))]


def test_an_index_of_other_items_or_no_index_is_refused_in_one_line(tmp_path: Path) -> None:
    items, _ = catalogue(50)
    path = tmp_path / "items.faiss"
    build(items).save(path)
    for shape in ((51, 17), (50, 16)):
        expected = rf"^{re.escape(str(path))}: .*{shape[0]} items of {shape[1]} dim.*50 of 17 in IndexIVFFlat$"
        with pytest.raises(StageError, match=expected):
            load(path, *shape)
    path.write_bytes(b"item_id,score\n1,2\n")
    with pytest.raises(StageError, match=rf"^{re.escape(str(path))}: expected an index.*faiss cannot read$"):
        load(path, 50, 17)
    with pytest.raises(FileNotFoundError):
        load(tmp_path / "missing", 50, 17)


def test_recall_is_the_share_of_exact_rows_in_any_order_and_none_is_not_a_row() -> None:
    wanted = np.array([[1, 2, 3], [0, 5, -1]], np.int32)
    assert recall(np.array([[3, 9, 1], [5, -1, -1]], np.int32), wanted) == 3 / 5
    assert recall(wanted, wanted) == 1
    assert recall(np.full((2, 3), -1, np.int32), wanted) == 0


def test_defaults_grow_with_the_catalogue_and_with_what_is_asked_for() -> None:
    assert [default_lists(count) for count in (1, 10_000, 1_000_000)] == [2, 200, 2_000]
    assert default_probes(2_000, 1_000_000, 100) == 77
    assert default_probes(2_000, 1_000_000, 1_000) == 245
    assert default_probes(2, 1, 100) == 2
