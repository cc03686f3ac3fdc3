"""What is exported for an id is what the model computes for that id: every id, through the SavedModel and its file."""

import json
import sys
from pathlib import Path

import numpy as np
import pyarrow.csv
import pyarrow.parquet as pq

from tests.conftest import run, set_params

# Runs in a fresh process with TensorFlow alone: none of our modules, no recommenders package, no Keras.
ASK = """
import json, sys
import numpy as np, pyarrow.parquet as pq, tensorflow as tf
model = tf.saved_model.load("exports/retrieval")
users = pq.read_table("exports/user_embeddings.parquet").column("user_id").to_pylist()
items = pq.read_table("exports/item_embeddings.parquet").select(["item_type", "item_id"]).to_pydict()
ask = model.signatures
np.save("asked_users.npy", ask["query_embedding"](user_id=tf.constant(users))["embedding"].numpy())
np.save("asked_items.npy", ask["candidate_embedding"](
    item_type=tf.constant(items["item_type"]), item_id=tf.constant(items["item_id"]))["embedding"].numpy())
best = ask["serving_default"](user_id=tf.constant([*users, "nobody"]), k=tf.constant(7))
ids = [[f"{kind.decode()}/{one.decode()}" for kind, one in zip(kinds, ones)]
       for kinds, ones in zip(best["item_type"].numpy(), best["item_id"].numpy())]
loaded = [name for name in sys.modules if name.split(".")[0] in ("stages", "tensorflow_recommenders", "tf_keras")]
json.dump({"ids": ids, "scores": best["score"].numpy().tolist(), "loaded": loaded}, open("asked.json", "w"))
"""


def vectors(path: Path) -> np.ndarray:
    column = pq.read_table(path).column("embedding").combine_chunks()
    return np.asarray(column.values).reshape(len(column), -1)


def test_every_exported_vector_is_the_one_the_model_gives_for_its_id(small_project: Path, tmp_path: Path) -> None:
    (tmp_path / "exports").symlink_to(small_project / "exports")
    run(tmp_path, sys.executable, "-c", ASK)
    asked = json.loads((tmp_path / "asked.json").read_text())
    assert asked["loaded"] == []
    exports = small_project / "exports"
    for kind in ("user", "item"):
        from_model = np.load(tmp_path / f"asked_{kind}s.npy")
        assert len(from_model) == 60
        assert len(np.unique(from_model, axis=0)) == 60, "vectors must tell ids apart for this test to mean anything"
        assert (from_model == vectors(exports / f"{kind}_embeddings.parquet")).all()
        assert (from_model == np.load(exports / f"{kind}_embeddings.npy")).all()


def test_recommendations_are_the_largest_inner_products_of_the_exported_vectors(
    small_project: Path, tmp_path: Path
) -> None:
    (tmp_path / "exports").symlink_to(small_project / "exports")
    run(tmp_path, sys.executable, "-c", ASK)
    asked = json.loads((tmp_path / "asked.json").read_text())
    users, items = (vectors(tmp_path / f"exports/{kind}_embeddings.parquet") for kind in ("user", "item"))
    table = pq.read_table(tmp_path / "exports/item_embeddings.parquet")
    names = [
        f"{kind}/{one}" for kind, one in zip(table["item_type"].to_pylist(), table["item_id"].to_pylist(), strict=True)
    ]
    for row, scores in enumerate(users @ items.T):
        by_name = dict(zip(names, scores.tolist(), strict=True))
        assert len(set(asked["ids"][row])) == 7
        np.testing.assert_allclose(asked["scores"][row], np.sort(scores)[::-1][:7], rtol=1e-5)
        np.testing.assert_allclose([by_name[name] for name in asked["ids"][row]], asked["scores"][row], rtol=1e-5)
    # Somebody unknown is shown what is popular: the last dimension orders items by it.
    popular = np.sort(items[:, -1])[::-1][:7]
    np.testing.assert_allclose(asked["scores"][-1], popular, rtol=1e-6)


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
    assert table.schema.field("embedding").type.list_size == 9


def test_csv_on_request_holds_the_same_numbers(small_project: Path, tmp_path: Path) -> None:
    for name in ("data/vocabulary", "models", "params.yaml"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        run(tmp_path, "cp", "-rL", str(small_project / name), name)
    set_params(tmp_path, {"export.csv": True})
    run(tmp_path, sys.executable, "-m", "stages.export", PYTHONPATH=str(Path(__file__).parent.parent))
    text = pyarrow.csv.ConvertOptions(column_types={"item_id": "string"})
    table = pyarrow.csv.read_csv(tmp_path / "exports/item_embeddings.csv", convert_options=text)
    assert (
        table["item_id"].to_pylist()
        == pq.read_table(tmp_path / "exports/item_embeddings.parquet")["item_id"].to_pylist()
    )
    numbers = np.stack([table[f"dimension_{d}"].to_numpy() for d in range(9)], axis=1).astype(np.float32)
    assert (numbers == vectors(tmp_path / "exports/item_embeddings.parquet")).all()
