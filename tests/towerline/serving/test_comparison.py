"""Comparison of two exports: known changes, and a slow twin of the overlap."""

import json
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from scipy.stats import ortho_group

import towerline
from tests.conftest import ROOT, run
from tests.towerline.serving.conftest import make_export
from towerline.ranking.embedding import directions, prior_terms, with_prior
from towerline.serving.comparison import compare


@pytest.fixture(scope="module")
def sides(tmp_path_factory: pytest.TempPathFactory) -> tuple[towerline.Recommender, towerline.Recommender]:
    folder = tmp_path_factory.mktemp("compared")
    old, new = (towerline.open(make_export(folder / str(seed), seed, 10)) for seed in (0, 1))
    return old, new


def ids(answer: list[towerline.Recommendation]) -> set[tuple[str, str]]:
    return {(item.item_type, item.item_id) for item in answer}


def without(side: towerline.Recommender, users: int, items: int) -> towerline.Recommender:
    """An export without its first users and items, whose lists are those of the rest."""
    exported = side.exported
    pairs = np.stack([exported.seen.rows(), exported.seen.items])[:, exported.seen.rows() >= users]
    pairs = pairs[:, pairs[1] >= items]
    seen = type(exported.seen).of_pairs(
        (pairs[0] - users).astype(np.int32),
        (pairs[1] - items).astype(np.int32),
        num_rows=len(exported.user_ids) - users,
    )
    return towerline.Recommender(
        exported._replace(
            user_ids=exported.user_ids[users:],
            user_embeddings=exported.user_embeddings[users:],
            item_ids=exported.item_ids[items:],
            item_types=exported.item_types[items:],
            titles=exported.titles[items:],
            item_embeddings=exported.item_embeddings[items:],
            seen=seen,
        )
    )


def test_an_export_equals_itself(sides: tuple[towerline.Recommender, towerline.Recommender]) -> None:
    comparison = compare(sides[0], sides[0])
    assert comparison.overview[:6] == (40, 0, 0, 300, 0, 0)
    assert comparison.overview[6:8] == (1.0, 1.0)
    assert comparison.overview.drift == pytest.approx(0, abs=1e-6)
    assert comparison[1:] == ([], [], [])


def test_overlap_and_changes_are_those_of_the_lists(
    sides: tuple[towerline.Recommender, towerline.Recommender],
) -> None:
    old, new = sides[0], without(sides[1], 3, 20)
    names = new.exported.user_ids.to_pylist()
    before, after = (side.recommend_batch(names, 7) for side in (old, new))
    shares = {user: len(ids(a) & ids(b)) / 7 for user, a, b in zip(names, before, after, strict=True)}
    comparison = compare(old, new, k=7, top=5)
    assert comparison.overview[:6] == (37, 0, 3, 280, 0, 20)
    assert comparison.overview.overlap == pytest.approx(np.mean(list(shares.values())))
    assert [user.overlap for user in comparison.changed_users] == pytest.approx(sorted(shares.values())[:5])
    assert all(shares[user.user_id] == pytest.approx(user.overlap) for user in comparison.changed_users)
    counts: dict[tuple[str, str], int] = {}
    for lists, sign in ((after, 1), (before, -1)):
        for answer in lists:
            for key in ids(answer):
                counts[key] = counts.get(key, 0) + sign
    for rows, sign in ((comparison.entered, 1), (comparison.left, -1)):
        assert [row.users for row in rows] == sorted((sign * count for count in counts.values()), reverse=True)[:5]
        assert all(counts[row.item_type, row.item_id] == sign * row.users for row in rows)
    assert any(row.item_id < "0020" for row in compare(old, new, k=7, top=300).left), "an item that is gone left lists"


def test_exports_without_a_common_user_have_no_overlap(
    sides: tuple[towerline.Recommender, towerline.Recommender],
) -> None:
    exported = sides[1].exported
    others = exported._replace(user_ids=pa.array([f"other {row}" for row in range(len(exported.user_ids))]))
    overview = compare(sides[0], towerline.Recommender(others), k=1000).overview
    assert (overview.users, overview.new_users, overview.overlap, overview.unchanged) == (0, 40, None, None)


def test_a_rotation_is_no_drift_and_lists_stay(sides: tuple[towerline.Recommender, towerline.Recommender]) -> None:
    exported = sides[0].exported
    size = directions(exported.item_embeddings).shape[1]
    turn = ortho_group.rvs(size, random_state=1).astype(np.float32)
    users, items = (
        with_prior(directions(array) @ turn, prior_terms(array))
        for array in (exported.user_embeddings, exported.item_embeddings)
    )
    rotated = exported._replace(user_embeddings=users, item_embeddings=items)
    comparison = compare(sides[0], towerline.Recommender(rotated))
    assert comparison.overview.drift == pytest.approx(0, abs=1e-5)
    assert (comparison.overview.overlap or 0) > 0.99
    other = compare(*sides).overview
    assert other.drift is not None
    assert other.drift > 0.3, "vectors of another training"


def test_the_command_line_compares(tmp_path: Path) -> None:
    old, new = (make_export(tmp_path / name, seed, 10) for name, seed in (("old", 0), ("new", 1)))
    command = (sys.executable, "-m", "towerline", "compare", str(old), str(new), "--top", "3")
    lines = [json.loads(line) for line in run(ROOT, *command, "--json").stdout.splitlines()]
    expected = compare(towerline.open(old), towerline.open(new), top=3)
    assert lines[0]["answer"] == [json.loads(json.dumps(expected.overview._asdict()))]
    assert [len(line["answer"]) for line in lines] == [1, 3, len(expected.entered), len(expected.left)]
    printed = run(ROOT, *command).stdout.splitlines()
    assert printed[0] == f"overview, old {lines[0]['old']}, new {lines[0]['new']}, k 10"
    assert "users whose lists changed most" in printed
