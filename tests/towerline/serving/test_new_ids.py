"""New items and users: embeddings from features, and recommenders and exports that know them."""

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import psycopg
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import towerline
from tests.conftest import ROOT, run, write_rows
from tests.postgres import Server
from tests.towerline.serving.conftest import ask
from towerline.exports import layout
from towerline.features.encoder import Encoder
from towerline.features.encodings import Values
from towerline.index.approximate import build
from towerline.ranking.embedding import PRIOR_DIMENSIONS, directions
from towerline.ranking.similarity import user_terms
from towerline.serving import releases
from towerline.serving.extension import write_export, write_extended
from towerline.serving.ids import Item
from towerline.serving.postgres.names import Names
from towerline.serving.postgres.publishing import publish
from towerline.serving.postgres.queries import query
from towerline.serving.rows import Row, read_rows

# Before all items, between a book and the next, between the types, and after all; not in byte order.
NEW_ITEMS: list[Row] = [
    {"item_type": "film", "item_id": "\N{BOOKS}", "title": " ", "year": None, "genres": None},
    {"item_type": "book", "item_id": "0000011 b", "title": "Title 11", "year": 2001, "genres": "Drama"},
    {"item_type": "album", "item_id": "0000011", "title": "Title 11", "year": "2001", "genres": "Drama"},
    {"item_type": "comic", "item_id": "0000011", "title": 11, "year": 2001.0, "genres": "Drama"},
]
NEW_USERS: list[Row] = [{"user_id": "u30 b", "country": "PL"}, {"user_id": "a", "country": "NZ"}]
KEYS = [(str(row["item_type"]), str(row["item_id"])) for row in NEW_ITEMS]


@pytest.fixture(scope="module")
def featured(small_project: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small project's export with a feature of users, an index, and CSV files."""
    exported = towerline.open(small_project / "exports").exported
    zeros = np.zeros(PRIOR_DIMENSIONS)
    users = Encoder(
        [Values("country", missing=True, separator=None, values=["NZ", "PL"])],
        np.array(False),
        np.random.default_rng(0).normal(size=(4, 8)) / 4,
        np.zeros((4, PRIOR_DIMENSIONS)),
        zeros,
        zeros,
        user_terms(np.zeros(1))[0].astype(np.float64),
    )
    folder = tmp_path_factory.mktemp("featured") / "exports"
    index = build(exported.item_embeddings)
    write_export(folder, exported._replace(user_encoder=users, item_index=index, csv=True))
    return folder


def test_an_item_is_encoded_as_training_encodes_an_item_without_rows(small_project: Path) -> None:
    from tests.towerline.training.conftest import params
    from towerline.artifacts.split import Interactions
    from towerline.features.reading import FeatureTables
    from towerline.training.new_ids import new_items
    from towerline.training.search import recipe_of
    from towerline.training.spectral import Vectors

    draw = np.random.default_rng(1)
    known, items, texts = 50, 90, ("red Drama", "blue Crime|Drama", "red  Horror", "1", "2.0", " ")
    rows = Interactions(
        draw.integers(1, 20, 500).astype(np.int32), draw.integers(1, known + 1, 500).astype(np.int32), None, 20, items
    )
    columns: dict[str, list[str | None]] = {
        name: [None, *draw.choice([*texts, ""], items).tolist()] for name in ("genres", "number", "title")
    }
    declared = {
        "genres": {"kind": "multi_valued", "separator": "|"},
        "number": {"kind": "number", "buckets": None},
        "title": {"kind": "text"},
    }
    settings = params(item_features=declared)
    vectors = Vectors(*(draw.normal(size=(ids + 1, 8)).astype(np.float32) for ids in (20, items)))
    recipe = recipe_of(settings.given(), settings)
    new = new_items(recipe, FeatureTables({}, columns), vectors, rows)
    assert new is not None
    assert len(new.ids) >= items - known
    exported = towerline.open(small_project / "exports").exported
    recommender = towerline.Recommender(exported._replace(item_encoder=Encoder.of_arrays(new.encoder.arrays())))
    asked: list[Row] = [
        {"item_id": "ignored", **{name: values[row] for name, values in columns.items()}} for row in new.ids
    ]
    assert recommender.encode_items(asked).tobytes() == new.embeddings.tobytes()
    alone = [recommender.encode_items([row]) for row in asked]
    assert np.concatenate(alone).tobytes() == new.embeddings.tobytes()
    assert recommender.encode_items([]).shape == (0, 10)


def test_known_ids_are_answered_as_before_and_new_ones_take_part(featured: Path) -> None:
    before = towerline.open(featured)
    after = before.with_items(NEW_ITEMS).with_users(NEW_USERS)
    exported = after.exported
    keys = list(zip(exported.item_types.to_pylist(), exported.item_ids.to_pylist(), strict=True))
    users = before.exported.user_ids.to_pylist()
    assert keys == sorted(keys)
    assert exported.user_ids.to_pylist() == sorted([*users, "u30 b", "a"])
    # Numbers are read as text, 2001.0 as 2001.
    vectors = before.encode_items(NEW_ITEMS)
    assert vectors[1].tobytes() == vectors[2].tobytes()
    rows = after.items.find([*map(Item._make, KEYS)])
    assert exported.item_embeddings[rows].tobytes() == vectors.tobytes()
    assert [exported.titles[int(row)].as_py() for row in rows] == [None, "Title 11", "Title 11", "11"]
    for filters in ({}, {"item_type": "book"}, {"exclude_seen": False}):
        assert after.recommend_batch(users, 9, deny=KEYS, **filters) == before.recommend_batch(users, 9, **filters)
    assert after.similar_users_batch(users, 5) == before.similar_users_batch(users, 5)
    assert after.similar_users("a", 5) == [], "nothing is known of a new user's taste but what the features say"
    answers = after.recommend_batch([*users, "a"], 64)
    lists = [[(item.item_type, item.item_id) for item in answer] for answer in answers]
    assert all(set(KEYS) < set(ranked) for ranked in lists)
    assert len(lists[-1]) == 64, "a new user has seen nothing"
    scores = after.score_batch(["u3", "a"], KEYS)
    expected = np.stack([exported.user_embeddings[row] for row in after.users.find(["u3", "a"])]) @ vectors.T
    np.testing.assert_allclose(scores, expected, rtol=1e-5)
    others = np.delete(directions(exported.item_embeddings), rows[1], axis=0) @ directions(vectors)[1]
    near = [item.cosine for item in after.similar_items(*KEYS[1], 64)]
    np.testing.assert_allclose(near, np.sort(others[others > 0])[::-1], atol=1e-6)
    history = after.recommend_for_history([KEYS[0], ("film", "0000003")], 60)
    assert KEYS[0] not in {(item.item_type, item.item_id) for item in history}
    np.testing.assert_array_equal(
        after.predict_rating_batch(users, [("film", "0000003")]),
        before.predict_rating_batch(users, [("film", "0000003")]),
    )
    assert np.isfinite(after.predict_rating("a", KEYS)).all()
    assert (before.exported.ratings is None, exported.ratings is None) == (False, False)


def test_the_version_depends_on_what_is_added_and_not_on_its_order(featured: Path) -> None:
    recommender = towerline.open(featured)
    renamed = {**NEW_ITEMS[0], "title": "another"}
    versions = [
        recommender.version,
        recommender.with_items(NEW_ITEMS).version,
        recommender.with_items(NEW_ITEMS[:3]).version,
        recommender.with_items([renamed, *NEW_ITEMS[1:]]).version,
        recommender.with_users(NEW_USERS).version,
    ]
    assert len(set(versions)) == 5
    assert recommender.with_items(NEW_ITEMS[::-1]).version == versions[1]
    with pytest.raises(towerline.ServingError, match="found one without a folder"):
        recommender.with_items(NEW_ITEMS).reload()


ITEM: dict[str, Any] = {"item_type": "film", "item_id": "new", "title": "a", "year": "2001", "genres": "Drama"}


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (
            [{"item_type": "film", "item_id": "new", "titel": "a", "year": 1, "genre": "b"}],
            "no column 'genres', 'title'",
        ),
        ([ITEM | {"year": True}], "year: expected text, a number or None, found True, of type bool"),
        ([ITEM | {"year": [1]}], r"year: expected text, a number or None, found \[1\]"),
        ([ITEM, ITEM | {"item_id": "0000003"}], "not in the export, found 'film' '0000003'; leave them out"),
        ([ITEM, ITEM | {"title": "b"}], "each id once, found 'film' 'new' twice"),
        ([ITEM | {"item_id": 7}], "item_id: expected ids that are text, found 7"),
        ([ITEM | {"item_id": " "}], "item_id: expected an id in every row, found ' '"),
        ([ITEM | {"item_id": "\ud800"}], "found a lone surrogate"),
        (ITEM, "expected rows that map a column's name to its value, found 'item_type'"),
        ("film", "expected a list of rows"),
    ],
)
def test_rows_that_cannot_be_added_are_one_line(featured: Path, rows: Any, message: str) -> None:
    with pytest.raises(towerline.ServingError, match=message) as caught:
        towerline.open(featured).with_items(rows)
    assert "\n" not in str(caught.value)


def test_without_declared_features_the_error_says_what_to_declare(recommender: towerline.Recommender) -> None:
    with pytest.raises(towerline.ServingError, match=r"none; declare columns in train.user_features and run dvc repro"):
        recommender.with_users(NEW_USERS)


def test_an_extended_export_is_an_export(featured: Path, server: Server, tmp_path: Path) -> None:
    line = write_extended(featured, tmp_path / "same", [], [])
    assert files(tmp_path / "same") == files(featured)
    assert {layout.INDEX, f"{layout.ITEMS}.csv"} < files(featured).keys()
    assert line.endswith("60 users (0 new) and 60 items (0 new), without the SavedModel, which only dvc repro makes")
    line = write_extended(featured, tmp_path / "extended", NEW_ITEMS, NEW_USERS)
    assert "62 users (2 new) and 64 items (4 new)" in line
    extended, added = towerline.open(tmp_path / "extended"), towerline.open(featured).with_items(NEW_ITEMS)
    users = extended.exported.user_ids.to_pylist()
    answers = extended.recommend_batch(users, 9)
    assert answers == added.with_users(NEW_USERS).recommend_batch(users, 9)
    # The layout is the one of the stage export, so that the other commands take it.
    assert "is whole" in releases.verify(tmp_path / "extended")[0]
    releases.release(tmp_path / "extended", tmp_path / "releases")
    released = towerline.open(tmp_path / "releases")
    assert (released.version, released.recommend_batch(users, 9)) == (extended.version, answers)
    again = write_extended(tmp_path / "releases", tmp_path / "again", [ITEM])
    assert "65 items (1 new)" in again
    publish(server.dsn(), released.exported, Names("extended"))
    everything = extended.recommend_batch(users, 64, exclude_seen=False)
    with server.connect() as connection:
        for user, expected in zip(users, everything, strict=True):
            statement = query("recommend", Names("extended")).encode()
            rows = psycopg.RawCursor(connection).execute(statement, [user, 64]).fetchall()
            shown = {(kind, item_id): score for kind, item_id, _, score in rows}
            assert set(KEYS) < shown.keys()
            for item in expected:
                assert shown[item.item_type, item.item_id] == pytest.approx(item.score, abs=1e-5)


def files(folder: Path) -> Mapping[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_the_extended_files_are_those_of_the_stage_but_for_the_saved_model(small_project: Path, tmp_path: Path) -> None:
    exports = small_project / "exports"
    write_extended(exports, tmp_path / "same")
    different = {layout.MANIFEST, *(name for name in files(exports) if name.startswith(layout.MODEL))}
    assert {
        name for name, content in files(exports).items() if files(tmp_path / "same").get(name) != content
    } == different


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_commands_read_tables_of_both_kinds(featured: Path, tmp_path: Path, suffix: str) -> None:
    items, users = tmp_path / f"items{suffix}", tmp_path / f"users{suffix}"
    if suffix == ".csv":
        for path, rows in ((items, NEW_ITEMS), (users, NEW_USERS)):
            cells = [["" if value is None else str(value).removesuffix(".0") for value in row.values()] for row in rows]
            write_rows(path, cells, list(rows[0]))
    else:
        years = pa.array([None, 2001, 2001, 2001])
        texts = {name: [row[name] and str(row[name]) for row in NEW_ITEMS] for name in NEW_ITEMS[0] if name != "year"}
        pq.write_table(pa.table({**texts, "year": years}), items)
        pq.write_table(pa.Table.from_pylist([*map(dict, NEW_USERS)]), users)
    recommender = towerline.open(featured)
    vectors = recommender.encode_items(NEW_ITEMS)
    printed = [json.loads(line) for line in ask(featured, "encode-items", str(items)).stdout.splitlines()]
    assert printed == [
        {"item_type": kind, "item_id": item_id, "embedding": vector}
        for (kind, item_id), vector in zip(KEYS, vectors.tolist(), strict=True)
    ]
    out = tmp_path / "vectors.parquet"
    done = ask(featured, "encode-users", str(users), "--out", str(out))
    assert done.stdout == f"{out}: 2 rows of 10 dimensions\n"
    written = pq.read_table(out)
    assert written["user_id"].to_pylist() == ["u30 b", "a"]
    assert written["embedding"].to_pylist() == recommender.encode_users(NEW_USERS).tolist()
    folder = tmp_path / "extended"
    words = ["--items", str(items), "--users", str(users), "--out", str(folder)]
    line = ask(featured, "extend", *words).stdout
    extended = towerline.open(folder)
    assert line.startswith(
        f"{folder}: {extended.version} with 62 users (2 new) and 64 items (4 new), without the Saved"
    )
    expected = recommender.with_items(NEW_ITEMS).with_users(NEW_USERS)
    assert extended.recommend_batch(["a", "u3"], 9) == expected.recommend_batch(["a", "u3"], 9)


def test_commands_refuse_what_they_cannot_read_or_must_not_write(featured: Path, tmp_path: Path) -> None:
    table = write_rows(tmp_path / "items.csv", [[str(value) for value in ITEM.values()]], list(ITEM))
    (tmp_path / "twice.csv").write_text("item_id,item_id\n1,2\n")
    (tmp_path / "latin.csv").write_bytes(b"item_id,title\n1,\xe9\n")
    (tmp_path / "damaged.parquet").write_bytes(b"PAR1")
    for words, code, message in [
        (["encode-items", str(tmp_path / "none.csv")], 1, "none.csv: No such file or directory"),
        (["encode-items", str(tmp_path)], 1, "expected a file named .csv or .parquet, found ''"),
        (["encode-items", str(tmp_path / "twice.csv")], 1, "expected each column once, found 'item_id' twice"),
        (["encode-items", str(tmp_path / "latin.csv")], 1, "expected columns of text or numbers, found: "),
        (["encode-items", str(tmp_path / "damaged.parquet")], 1, "damaged.parquet: "),
        (["encode-items", str(table), "--out", str(featured / "new")], 1, "expected a file outside of "),
        (["extend", "--out", str(tmp_path / "new")], 2, "expected --items FILE, --users FILE or both, found neither"),
        (["extend", "--items", str(table), "--out", ""], 2, "--out: expected a path, found ''"),
        (["extend", "--items", str(table), "--out", str(tmp_path)], 1, "expected a new or an empty folder"),
        (["extend", "--items", str(table), "--out", str(featured / "new")], 1, "expected a folder outside of "),
        (["extend", "--items", str(table), "--out", str(tmp_path / "no/new")], 1, "expected an existing folder"),
    ]:
        done = ask(featured, *words, check=False)
        assert (done.returncode, len(done.stderr.splitlines())) == (code, 1), done.stderr
        assert message in done.stderr
    assert not (tmp_path / "new").exists()
    assert read_rows(table) == [ITEM]


def test_encoding_needs_the_core_packages_alone(featured: Path) -> None:
    code = f"""
import sys
heavy = "tensorflow tf_keras dvc pandas ibis duckdb sklearn implicit psycopg pydantic ruamel.yaml"
sys.modules |= dict.fromkeys(heavy.split())
import towerline
from towerline.serving import commands
print(towerline.open({str(featured)!r}).encode_users([{{"country": None}}]).shape)
"""
    assert run(ROOT, sys.executable, "-c", code).stdout == "(1, 10)\n"
