"""Law 5: the vector exported for an id is the one that the model computes for it, in every file and the SavedModel."""

import json
import resource
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest

import towerline
from tests.conftest import ROOT, STRANGE, run, set_params
from towerline.artifacts.train import TOWER_WEIGHTS, TWO_TOWER
from towerline.exports.precision import Tables, as_float32
from towerline.index.approximate import load
from towerline.pipeline.errors import StageError
from towerline.ranking.embedding import PRIOR_DIMENSIONS, directions

# Runs in a fresh process with TensorFlow alone: none of our modules, no recommenders package, no Keras.
ASK = """
import json, sys
import numpy as np, pyarrow.parquet as pq, tensorflow as tf
model = tf.saved_model.load("exports/retrieval/1")
users = pq.read_table("exports/user_embeddings.parquet").column("user_id").to_pylist()
items = pq.read_table("exports/item_embeddings.parquet").select(["item_type", "item_id"]).to_pydict()
ask = model.signatures
of_users = ask["query_embedding"](user_id=tf.constant([*users, "nobody"]))
of_items = ask["candidate_embedding"](
    item_type=tf.constant([*items["item_type"], "book"]), item_id=tf.constant([*items["item_id"], "0042"]))
np.save("asked_users.npy", of_users["embedding"].numpy())
np.save("asked_items.npy", of_items["embedding"].numpy())
denied = {"excluded_item_type": tf.constant([["film", "book", ""]]),
          "excluded_item_id": tf.constant([["0000011", "0000002", ""]])}
first_of_each = [[kind] for kind in model.recommend(tf.constant(users), tf.constant([1]))["item_type"].numpy()[:, 0]]
own = {"excluded_item_type": tf.constant(first_of_each),
       "excluded_item_id": model.recommend(tf.constant(users), tf.constant([1]))["item_id"]}
answers = {
    "all": model.recommend(tf.constant([*users, "nobody"]), tf.constant([7])),
    "defaults": model.recommend(tf.constant(users)),
    "film": model.recommend(tf.constant(users), tf.constant([7]), tf.constant(["film"])),
    "denied": model.recommend(tf.constant(users), tf.constant([7]), **denied),
    "own": model.recommend(tf.constant(users), tf.constant([7]), **own),
    "signature": ask["serving_default"](
        user_id=tf.constant(users), k=tf.constant([100]), item_type=tf.constant(["book"]), **denied),
    "no such type": model.recommend(tf.constant(users[:1]), tf.constant([2]), tf.constant(["record"])),
}
decoded = lambda rows: [[cell.decode() for cell in row] for row in rows]
# As TensorFlow Serving makes a request of rows, or of several requests: every input with a row for each user. What the
# row of one user holds is what the user is answered alone.
kinds, ks = ["", "film", "book", "record"], [3, 0, 7, 100]
rows = [{"user_id": user, "k": ks[n % 4], "item_type": kinds[n // 4 % 4], "excluded_item_type": ["film", "book"],
         "excluded_item_id": [f"{n % 30:07d}", ""]} for n, user in enumerate(users)]
asked = lambda rows: {name: value.numpy() for name, value in ask["serving_default"](
    **{name: tf.constant([row[name] for row in rows]) for name in rows[0]}).items()}
together = asked(rows)
for n, row in enumerate(rows):
    for name, value in asked([row]).items():
        width = value.shape[1] if value.ndim == 2 else None
        assert (together[name][n] if width is None else together[name][n, :width]).tolist() == value[0].tolist(), name
        assert name != "item_id" or not any(together[name][n, width:]), "empty ids after the first k of the row"
        assert name != "item_id" or width == min(row["k"], 60)
json.dump({
    "known": [of_users["known"].numpy().tolist(), of_items["known"].numpy().tolist()],
    "known_user": answers["all"]["known_user"].numpy().tolist(),
    "answers": {
        name: [decoded(one["item_type"].numpy()), decoded(one["item_id"].numpy()), one["score"].numpy().tolist()]
        for name, one in answers.items()},
    "loaded": [name for name in sys.modules
               if name.split(".")[0] in ("stages", "serving", "tensorflow_recommenders", "tf_keras")],
}, open("asked.json", "w"), allow_nan=False)
"""
# For places after the last item; JSON has no infinity.
LOWEST = float(np.finfo(np.float32).min)


def vectors(path: Path) -> np.ndarray:
    column = pq.read_table(path).column("embedding").combine_chunks()
    return np.asarray(column.values).reshape(len(column), -1)


@pytest.fixture(scope="module")
def asked(small_project: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the answers of the SavedModel, and the export that it belongs to."""
    folder = tmp_path_factory.mktemp("asked")
    (folder / "exports").symlink_to(small_project / "exports")
    run(folder, sys.executable, "-c", ASK)
    return folder


def test_every_exported_vector_is_the_one_the_model_gives_for_its_id(asked: Path) -> None:
    response = json.loads((asked / "asked.json").read_text())
    assert response["loaded"] == []
    for kind, known in zip(("user", "item"), response["known"], strict=True):
        from_model = np.load(asked / f"asked_{kind}s.npy")
        assert known == [True] * 60 + [False]
        assert not directions(from_model)[60].any(), "nothing is known of somebody unknown"
        assert len(np.unique(from_model[:60], axis=0)) == 60, (
            "vectors must tell ids apart for this test to mean anything"
        )
        assert (from_model[:60] == vectors(asked / f"exports/{kind}_embeddings.parquet")).all()
        assert (from_model[:60] == np.load(asked / f"exports/{kind}_embeddings.npy")).all()


def test_the_saved_towers_compute_the_embeddings(small_project: Path) -> None:
    """Nothing else reads the weights, which are for whoever trains on from them."""
    from towerline.towers.towers import Towers

    model = json.loads((small_project / TWO_TOWER.model).read_text())
    sizes = model["num_users"], model["num_items"], model["recipe"]["embedding_dimension"]
    towers = Towers.load(small_project / TOWER_WEIGHTS, *sizes)
    paths = TWO_TOWER.user_embeddings, TWO_TOWER.item_embeddings
    for tower, path in zip((towers.query, towers.candidate), paths, strict=True):
        assert tower.all_embeddings().tobytes() == np.load(small_project / path).tobytes()


def test_the_model_recommends_what_serving_does_to_the_last_bit(asked: Path) -> None:
    response = json.loads((asked / "asked.json").read_text())
    recommender = towerline.open(asked / "exports")
    users = recommender.exported.user_ids.to_pylist()
    assert set(STRANGE.values()) & set(users)
    denied = [("film", "0000011"), ("book", "0000002")]
    seen: dict[str, Any] = {"exclude_seen": False}
    answers = {
        "all": recommender.recommend_batch(users, 7, **seen),
        "defaults": recommender.recommend_batch(users, 10, **seen),
        "film": recommender.recommend_batch(users, 7, item_type="film", **seen),
        "denied": recommender.recommend_batch(users, 7, deny=denied, **seen),
        "own": [answer[1:] for answer in recommender.recommend_batch(users, 8, **seen)],
    }
    for name, expected in answers.items():
        for user, answer in enumerate(expected):
            rows = zip(*(column[user] for column in response["answers"][name]), strict=True)
            assert list(rows) == [(item.item_type, item.item_id, item.score) for item in answer]
    # Fewer than k are left: 29 books, of 60 items.
    books = recommender.recommend_batch(users, 60, item_type="book", deny=denied, **seen)
    for answer, types, ids, scores in zip(books, *response["answers"]["signature"], strict=True):
        assert list(zip(types, ids, scores, strict=True))[:29] == [
            (item.item_type, item.item_id, item.score) for item in answer
        ]
        assert (len(ids), set(ids[29:]), set(scores[29:])) == (60, {""}, {LOWEST})
    assert response["answers"]["no such type"] == [[["", ""]], [["", ""]], [[LOWEST, LOWEST]]]
    # An unknown user is reported as unknown, and gets the items with the largest popularity prior.
    assert response["known_user"] == [True] * 60 + [False]
    prior = recommender.recommend("nobody", 7, unknown="popular")
    assert list(zip(*(column[60] for column in response["answers"]["all"]), strict=True)) == [
        (item.item_type, item.item_id, item.score) for item in prior
    ]


def test_the_model_finds_the_best_of_many_near_ties_exactly() -> None:
    """As test_the_best_of_many_near_ties_are_found_exactly() of serving."""
    from stages.export.servable import Retrieval, Vocabularies
    from towerline.towers import tf

    draw = np.random.default_rng(2)
    base = draw.normal(size=64) / 8
    near = base + 1e-8 * draw.normal(size=(150, 64))
    items = np.concatenate([np.zeros((1, 64)), near, draw.normal(size=(600, 64)) / 20]).astype(np.float32)
    users = np.concatenate([np.zeros((1, 64)), draw.normal(size=(20, 64))]).astype(np.float32)
    users[users @ base < 0] *= -1

    ids = [[f"{row:04d}" for row in range(1, count)] for count in (21, 751)]
    vocabularies = Vocabularies(*(pa.chunked_array([column]) for column in (ids[0], ["film"] * 750, ids[1])))
    model = Retrieval(Tables(users, items), vocabularies)
    exact = (users[1:].astype(np.float64) @ items[1:].astype(np.float64).T).astype(np.float32)
    best = model.recommend(tf.constant(ids[0]))
    for row in range(20):
        expected = np.lexsort((np.arange(750), -exact[row]))[:10]
        assert [item_id.decode() for item_id in best["item_id"].numpy()[row]] == [ids[1][item] for item in expected]
        assert best["score"].numpy()[row].tolist() == exact[row, expected].tolist()


def test_a_disk_without_room_for_the_model_is_one_line(tmp_path: Path) -> None:
    code = """
import resource
from pathlib import Path
import numpy as np
import pyarrow as pa
from stages.export.servable import Retrieval, Vocabularies
from towerline.exports.precision import Tables
from towerline.pipeline.terminal import run
ids = pa.chunked_array([["a", "b"]])
vectors = np.zeros((3, 4), np.float32)
model = Retrieval(Tables(vectors, vectors), Vocabularies(ids, ids, ids))
# No file may get a byte, not even a temporary one.
resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
run("export", lambda: model.save(Path("model")))
"""
    done = run(tmp_path, sys.executable, "-c", code, check=False, PYTHONPATH=str(ROOT), PYTHONDONTWRITEBYTECODE="1")
    assert (done.returncode, done.stderr) == (
        1,
        "export: model: expected to write the SavedModel, found: File too large\n",
    )
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_a_request_may_leave_out_all_but_the_user(small_project: Path) -> None:
    """TensorFlow Serving fills in what the model's own description gives for a missing input."""
    code = """
from tensorflow.core.protobuf import saved_model_pb2
from pathlib import Path
from types import SimpleNamespace
from typing import Any
model = saved_model_pb2.SavedModel.FromString(Path("exports/retrieval/1/saved_model.pb").read_bytes())
signature = model.meta_graphs[0].signature_def["serving_default"]
print(sorted(set(signature.inputs) - set(signature.defaults)), signature.defaults["k"].int_val)
"""
    assert run(small_project, sys.executable, "-c", code).stdout == "['user_id'] [10]\n"


def test_titles_travel_with_the_vectors(small_project: Path) -> None:
    table = pq.read_table(small_project / "exports/item_embeddings.parquet")
    titled = dict(
        zip(
            zip(*(table[name].to_pylist() for name in ("item_type", "item_id")), strict=True),
            table["title"].to_pylist(),
            strict=True,
        )
    )
    assert titled["book", "0000003"] == titled["film", "0000003"] == "Title 3"
    assert titled["film", "0000029"] is None
    assert table.schema.field("embedding").type.list_size == 8 + PRIOR_DIMENSIONS


def test_csv_and_index_on_request(small_project: Path, tmp_path: Path) -> None:
    for name in ("data", "models", "params.yaml"):
        run(tmp_path, "cp", "-rL", str(small_project / name), name)
    set_params(tmp_path, {"export.csv": True, "export.index.build": True})
    done = run(tmp_path, sys.executable, "-m", "stages.export", PYTHONPATH=str(ROOT))
    text = pyarrow.csv.ConvertOptions(column_types={"item_id": "string"})
    quoted = pyarrow.csv.ParseOptions(newlines_in_values=True)
    table = pyarrow.csv.read_csv(tmp_path / "exports/item_embeddings.csv", convert_options=text, parse_options=quoted)
    assert (
        table["item_id"].to_pylist()
        == pq.read_table(tmp_path / "exports/item_embeddings.parquet")["item_id"].to_pylist()
    )
    numbers = np.stack([table[f"dimension_{d}"].to_numpy() for d in range(8 + PRIOR_DIMENSIONS)], axis=1).astype(
        np.float32
    )
    assert (numbers == vectors(tmp_path / "exports/item_embeddings.parquet")).all()
    report = json.loads((tmp_path / "reports/export.json").read_text())
    assert 0.95 <= report["index_recall@100"] <= 1
    assert f"index_recall@100 {report['index_recall@100']:.4f}" in done.stdout
    exact, approximate = towerline.open(small_project / "exports"), towerline.open(tmp_path / "exports")
    assert (exact.exported.item_index is None, approximate.exported.item_index is None) == (True, False)
    assert exact.version != approximate.version, "an index changes answers"
    users = exact.exported.user_ids.to_pylist()
    # So few items are all found: seen and denied items must still be left out.
    cases: list[dict[str, Any]] = [{}, {"deny": [("film", "0000011")]}, {"exclude_seen": False}, {"item_type": "book"}]
    for filters in cases:
        assert approximate.recommend_batch(users, 7, **filters) == exact.recommend_batch(users, 7, **filters)


def test_float16_on_request(small_project: Path, tmp_path: Path) -> None:
    for name in ("data", "models", "params.yaml"):
        run(tmp_path, "cp", "-rL", str(small_project / name), name)
    set_params(tmp_path, {"export.csv": True, "export.dtype": "float16"})
    run(tmp_path, sys.executable, "-m", "stages.export", PYTHONPATH=str(ROOT))
    run(tmp_path, sys.executable, "-c", ASK)
    for kind in ("user", "item"):
        exact = np.load(small_project / f"exports/{kind}_embeddings.npy")
        rounded = np.load(tmp_path / f"exports/{kind}_embeddings.npy")
        assert rounded.tobytes() == exact.astype(np.float16).tobytes()
        assert vectors(tmp_path / f"exports/{kind}_embeddings.parquet").tobytes() == rounded.tobytes()
        assert (np.load(tmp_path / f"asked_{kind}s.npy")[:60] == rounded).all()
        quoted = pyarrow.csv.ParseOptions(newlines_in_values=True)
        table = pyarrow.csv.read_csv(tmp_path / f"exports/{kind}_embeddings.csv", parse_options=quoted)
        columns = [table[f"dimension_{d}"].to_numpy() for d in range(rounded.shape[1])]
        assert (np.stack(columns, axis=1).astype(np.float32) == rounded).all()
    recommender = towerline.open(tmp_path / "exports")
    answers = recommender.recommend_batch(recommender.exported.user_ids.to_pylist(), 7, exclude_seen=False)
    of_model = json.loads((tmp_path / "asked.json").read_text())["answers"]["all"]
    for user, answer in enumerate(answers):
        rows = zip(*(column[user] for column in of_model), strict=True)
        assert list(rows) == [(item.item_type, item.item_id, item.score) for item in answer]


def test_an_export_that_does_not_fit_into_memory_is_refused_before_the_start(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from stages.export import __main__ as export

    before = json.loads((project / "exports/manifest.json").read_text())
    monkeypatch.setattr(export, "free_bytes", lambda: 1e8)
    message = r"^train\.embedding_dimension: expected at least 0\.4 GB of free memory to export \d+ users and items of "
    with pytest.raises(StageError, match=message):
        export.main()
    assert json.loads((project / "exports/manifest.json").read_text()) == before
    assert export.needed_bytes(1_000_000, 130, "float16") - export.needed_bytes(0, 130, "float16") == 1_340_000_000


def test_values_beyond_float16_are_refused(tmp_path: Path) -> None:
    from stages.export.__main__ import rounded_embeddings

    np.save(tmp_path / "embeddings.npy", np.full((3, 2), 70_000, np.float32))
    assert rounded_embeddings(tmp_path / "embeddings.npy", 2, "float32").dtype == np.float32
    with pytest.raises(StageError, match=r"values from -65504 to 65504, found others; set export.dtype to float32"):
        rounded_embeddings(tmp_path / "embeddings.npy", 2, "float16")


def test_an_index_that_misses_too_much_stops_the_export(tmp_path: Path) -> None:
    from stages.export.__main__ import write_index

    draw = np.random.default_rng(3)
    embeddings = Tables(*(draw.normal(size=(5000, 32)).astype(np.float32) for _ in range(2)))
    share = write_index(tmp_path / "index", embeddings, 0.0)
    assert 0.3 < share < 0.999, "random vectors have no near ones: this test needs an index that misses some"
    users = np.linspace(0, 4999, 2000).astype(np.int32)
    scores = embeddings.users[users] @ embeddings.items.T
    exact = np.argsort(-scores, axis=1)[:, :100]
    nearest = load(tmp_path / "index", 5000, 32).search(as_float32(embeddings.users[users]), 100)
    hits = [len(set(row) & set(exact_row)) for row, exact_row in zip(nearest.tolist(), exact.tolist(), strict=True)]
    assert share == pytest.approx(np.mean(hits) / 100, abs=1e-4)
    with pytest.raises(
        StageError, match=r"export.index.min_recall: expected an index that finds at least 0.9999 .*100"
    ):
        write_index(tmp_path / "index", embeddings, 0.9999)


def test_a_full_disk_ends_the_saved_model_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor does AutoGraph leave files in the system's folder, where they would stay after `kill -9`."""
    from stages.export.servable import Retrieval, Vocabularies

    ids = pa.chunked_array([[f"{number}" for number in range(9_999)]])
    vectors = np.zeros((len(ids) + 1, 64), np.float32)
    retrieval = Retrieval(Tables(vectors, vectors), Vocabularies(ids, ids, ids))
    (tmp_path / "system").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "system"))
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    # No file may grow beyond this, which is as good as a disk without room.
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, before[1]))
    try:
        with pytest.raises(StageError) as raised:
            retrieval.save(tmp_path / "retrieval")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert str(raised.value) == f"{tmp_path / 'retrieval'}: expected to write the SavedModel, found: File too large"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["retrieval", "system"]
    assert not list((tmp_path / "system").iterdir())
