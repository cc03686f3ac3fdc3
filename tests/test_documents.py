"""The commands of the README and of docs/, over the default data: they print what the pages show."""

import json
import re
import sys
from functools import partial
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pandas as pd
import psycopg
import pyarrow.parquet as pq
import pytest
from pgvector.psycopg import register_vector

import towerline
from tests.conftest import ROOT, commit_all, copy_project, run
from tests.documents import DOCUMENTS, README, blocks
from tests.postgres import Server
from towerline.artifacts.backtest import RETRAINING_TABLE, SUMMARY_TABLE
from towerline.ranking.embedding import directions
from towerline.serving.postgres.queries import QueryName, query

pytestmark = pytest.mark.pipeline

K = 10


def comparable(text: str, figures: bool) -> str:
    """The text without parts that differ between two runs: names of experiments, and, on request, figures."""
    text = re.sub(r"'\w+-\w+'", "'name'", re.sub(r"\b[0-9a-f]{7} \[\w+-\w+\] *", "name ", text))
    text = re.sub(r" +", " ", re.sub(r"-{3,}", "---", re.sub(r" +$", "", text, flags=re.MULTILINE)))
    return text if figures else re.sub(r"-?\d[\d.,]*", "#", text)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The committed project in a separate repository, after the README's two commands."""
    folder = copy_project(tmp_path_factory.mktemp("readme"))
    commit_all(folder)
    install, repro = blocks("bash", "<!-- pipeline -->")[0].splitlines()
    assert install.endswith("pip install -q --require-hashes -r requirements.txt")
    (folder / "printed.txt").write_text(run(folder, "bash", "-ec", repro).stdout, encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def figures(project: Path) -> bool:
    """True if the pipeline gave the committed bytes, so that figures can be compared digit by digit."""
    return "byte for byte" in run(project, sys.executable, ".ci/verify", check=False).stdout


def check_printed(shown: str, printed: str, figures: bool) -> None:
    printed = comparable(printed, figures)
    for passage in comparable(shown, figures).split("...\n"):
        assert passage in printed


def test_the_two_commands_give_the_committed_result(project: Path, figures: bool) -> None:
    assert figures, run(project, sys.executable, ".ci/verify", check=False).stderr
    check_printed(blocks("text", "<!-- pipeline -->")[0], (project / "printed.txt").read_text(), figures)
    metrics = json.loads((project / "reports/metrics.json").read_text())
    popular = metrics["most_popular"]
    for name in ("recall@20", "ndcg@20"):
        assert metrics[name] > 1.15 * popular[name]
    table = pd.read_csv(project / "reports/tables/metrics.csv")
    chosen = table[(table.candidates == "everything") & (table.by == "all") & (table.k == 20)]
    for name in ("two_tower", "ease", "ials", "item_knn", "recent_popular", "most_popular"):
        rows = [chosen[(chosen.model == name) & (chosen.metric == metric)].iloc[0] for metric in ("recall", "ndcg")]
        cells = [f"{row['mean']:.4f} ({row.low:.4f} to {row.high:.4f})" for row in rows]
        assert comparable(f"| {name} | {cells[0]} | {cells[1]} |", figures) in comparable(README, figures)


def test_no_page_has_a_gap_to_be_filled() -> None:
    assert not re.findall(r"@@|TODO|XXX", DOCUMENTS)


def test_the_page_of_the_backtest_shows_the_committed_tables() -> None:
    page = (ROOT / "docs/backtest.md").read_text(encoding="utf-8")
    printed = blocks("text", "<!-- backtest -->")[0]
    summary = pd.read_csv(ROOT / SUMMARY_TABLE)
    for row in summary[summary.model != "random"].itertuples():
        values = [f"{row.recall:.4f}", f"{row.ndcg:.4f}"]
        if row.users == "known":
            assert re.search(
                rf"^{row.model} +{' +'.join(values)} +{row.ndcg_low:.4f} to {row.ndcg_high:.4f}$", printed, re.M
            )
        shown = " / ".join(values)
        assert re.search(rf"^\| {row.model} \|.* {shown}( |$)", page, re.M), (row.model, row.users)
    ages = pd.read_csv(ROOT / RETRAINING_TABLE).set_index(["model", "age"]).ndcg
    for model in ("two_tower", "recent_popular"):
        assert f"| {model} | {' | '.join(f'{ages[model, age]:.4f}' for age in (0, 1, 2, 4))} |" in page


def test_the_export_is_used_as_shown(project: Path, figures: bool) -> None:
    section = DOCUMENTS[DOCUMENTS.index("## On the command line") : DOCUMENTS.index("## TensorFlow Serving")]
    used = re.findall(r"^```(bash|python)\n(.*?)^```\n\n```text\n(.*?)^```$", section, re.DOTALL | re.MULTILINE)
    assert [language for language, *_ in used] == ["bash", "bash", "bash", "python"]
    for marker in ("<!-- first use -->", "<!-- savedmodel -->", "<!-- encode -->"):
        used.append(("python", blocks("python", marker)[0], blocks("text", marker)[0]))
    for language, code, shown in used:
        command = ["bash", "-ec", code] if language == "bash" else [sys.executable, "-c", code]
        done = run(project, *command)
        # Elsewhere other items may be the best.
        if figures:
            lines = (
                done.stdout + "\n".join(line for line in done.stderr.splitlines() if line.startswith("towerline "))
            ).splitlines()
            assert sorted(shown.splitlines()) == sorted(lines)


def test_new_items_are_encoded_and_added_as_shown(project: Path, figures: bool) -> None:
    for marker, language in (("<!-- extend -->", "bash"), ("<!-- with items -->", "python")):
        code, shown = blocks(language, marker)[0], blocks("text", marker)[0]
        done = run(project, *(["bash", "-ec"] if language == "bash" else [sys.executable, "-c"]), code)
        if figures:
            assert done.stdout == shown
    run(project, "rm", "-r", "new_items.csv", "new_vectors.parquet", "extended")


def test_releases_are_made_taken_back_and_compared_as_shown(project: Path, figures: bool) -> None:
    without_times = partial(re.sub, r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", "time")
    sections = (("<!-- release -->", "bash"), ("<!-- reload -->", "python"), ("<!-- compare -->", "bash"))
    for marker, language in sections:
        code, shown = blocks(language, marker)[0], blocks("text", marker)[0]
        done = run(project, *(["bash", "-ec"] if language == "bash" else [sys.executable, "-c"]), code)
        if figures:
            assert without_times(done.stdout) == without_times(shown)
    run(project, "dvc", "exp", "remove", "--all-commits")
    run(project, "git", "checkout", "-q", ".")
    run(project, "dvc", "checkout", "-q")


# Runs with TensorFlow alone.
EMBEDDINGS = """
import numpy as np, pyarrow.parquet as pq, tensorflow as tf
ask = tf.saved_model.load("exports/retrieval/1").signatures
users = pq.read_table("exports/user_embeddings.parquet").column("user_id").to_pylist()
items = pq.read_table("exports/item_embeddings.parquet").select(["item_type", "item_id"]).to_pydict()
np.save("asked_users.npy", ask["query_embedding"](user_id=tf.constant(users))["embedding"].numpy())
np.save("asked_items.npy", ask["candidate_embedding"](
    item_type=tf.constant(items["item_type"]), item_id=tf.constant(items["item_id"]))["embedding"].numpy())
"""


def test_every_vector_is_the_same_in_every_file_in_the_model_and_in_postgresql(
    project: Path, server: Server, figures: bool
) -> None:
    server.run("CREATE DATABASE app")
    server.run("CREATE EXTENSION vector", dbname="app")
    command = blocks("bash", "<!-- publish -->")[0]
    done = run(project, "bash", "-ec", command, PGHOST=server.host, PGUSER="postgres", PGDATABASE="app")
    if figures:
        assert done.stdout == blocks("text", "<!-- publish -->")[0]
    run(project, sys.executable, "-c", EMBEDDINGS)
    recommender = towerline.open(project / "exports")
    exported = recommender.exported
    with server.connect(dbname="app") as connection:
        register_vector(connection)
        users = connection.execute("SELECT user_id, embedding FROM towerline.users").fetchall()
        items = connection.execute("SELECT item_type, item_id, embedding FROM towerline.items").fetchall()
    published = {tuple(ids): vector.to_numpy() for *ids, vector in [*users, *items]}
    item_keys = list(zip(exported.item_types.to_pylist(), exported.item_ids.to_pylist(), strict=True))
    assert len(published) == len(exported.user_ids) + len(item_keys) == 27_060
    assert {("movie", "0375611"), ("movie", "0002844")} <= published.keys()
    for name, keys in (("user", [(user_id,) for user_id in exported.user_ids.to_pylist()]), ("item", item_keys)):
        array = np.load(project / f"exports/{name}_embeddings.npy")
        column = pq.read_table(project / f"exports/{name}_embeddings.parquet")["embedding"].combine_chunks()
        assert np.asarray(column.values).tobytes() == array.tobytes()
        assert np.load(project / f"asked_{name}s.npy").tobytes() == array.tobytes()
        assert np.stack([published[key] for key in keys]).tobytes() == array.tobytes()


def test_postgresql_answers_as_serving_does(project: Path, server: Server, figures: bool) -> None:
    """Runs after the test that publishes."""
    similar, recommended, unseen = map(query, get_args(QueryName))
    recommender = towerline.open(project / "exports")
    trained = directions(np.asarray(recommender.exported.user_embeddings)).any(axis=1)
    users = [recommender.exported.user_ids[int(row)].as_py() for row in np.flatnonzero(trained)[::50]]
    with server.connect(dbname="app") as connection:
        connection.execute("SET hnsw.ef_search = 200")
        cursor = psycopg.RawCursor(connection)

        def asked(statement: str, *parameters: str | int) -> list[tuple[Any, ...]]:
            return cursor.execute(statement.encode(), parameters).fetchall()

        shown = [asked(similar, "42", 3), asked(recommended, "42", 3), asked(unseen, "42", "movie", 3)]
        answered = {
            "similar": [asked(similar, user, K) for user in users],
            "recommended": [asked(recommended, user, K) for user in users],
            "unseen": [asked(unseen, user, "movie", K) for user in users],
        }
    expected: dict[str, list[list[Any]]] = {
        "similar": [*recommender.similar_users_batch(users, K)],
        "recommended": [*recommender.recommend_batch(users, K, exclude_seen=False)],
        "unseen": [*recommender.recommend_batch(users, K, item_type="movie")],
    }
    for name, answers in answered.items():
        same = [
            np.allclose(
                [row[-1] for row in rows], [answer[-1 if name == "similar" else 3] for answer in best], atol=1e-5
            )
            for rows, best in zip(answers, expected[name], strict=True)
        ]
        # All ranks of nearly all users; the index misses some. Users with the same films are as near as each other.
        assert np.mean(same) > 0.9
    for name, column in (("recommended", 1), ("unseen", 0)):
        lists = [[row[column] for row in rows] for rows in answered[name]]
        ids = [[answer.item_id for answer in best] for best in expected[name]]
        assert np.mean([rows == best for rows, best in zip(lists, ids, strict=True)]) > 0.9
    if figures:
        text = "\n\n".join("\n".join(" ".join([*row[:-1], f"{row[-1]:.4f}"]) for row in rows) for rows in shown)
        assert text + "\n" == blocks("text", "<!-- rows -->")[0]


@pytest.mark.slow
def test_an_index_is_built_and_measured_as_shown(project: Path, figures: bool) -> None:
    done = run(project, "bash", "-ec", blocks("bash", "<!-- index -->")[0])
    check_printed(blocks("text", "<!-- index -->")[0], done.stdout, figures)
    run(project, "dvc", "exp", "remove", "--all-commits")
    run(project, "git", "checkout", "-q", ".")


@pytest.mark.slow
def test_one_change_is_run_and_compared_as_shown(project: Path, figures: bool) -> None:
    section = "<!-- experiment -->"
    for command, shown in zip(blocks("bash", section)[:3], blocks("text", section)[:3], strict=True):
        check_printed(shown, run(project, "bash", "-ec", command).stdout, figures)
    refused = blocks("text", section)[3].splitlines()
    for change, line in zip(("train.temperature=warm", "+train.temprature=0.1"), refused, strict=True):
        run(project, "git", "checkout", "-q", ".")
        done = run(project, "dvc", "exp", "run", "-S", change, check=False)
        assert line in done.stderr.splitlines()
    run(project, "git", "checkout", "-q", ".")
    misspelt = run(project, "dvc", "exp", "run", "-S", "train.temprature=0.1", check=False)
    assert "Key 'temprature' is not in struct" in misspelt.stderr


@pytest.mark.slow
def test_the_notebooks_settings_give_what_the_table_says(project: Path) -> None:
    run(project, "git", "checkout", "-q", ".")
    run(project, "bash", "-ec", blocks("bash", "<!-- notebook -->")[0])
    metrics = json.loads((project / "reports/metrics.json").read_text())
    run(project, "git", "checkout", "-q", ".")
    popular = metrics["most_popular"]
    line = next(line for line in DOCUMENTS.splitlines() if line.startswith("| the notebook's settings"))
    shown = [float(cell) for cell in re.findall(r"\| (\d\.\d+)", line)]
    assert shown == pytest.approx([metrics["recall@20"], popular["recall@20"], metrics["rmse"]], abs=0.005)


def test_the_committed_backtest_was_made_by_the_committed_code() -> None:
    """Its run takes minutes; DVC's digests of code and settings tell whether it has to run again."""
    printed = run(ROOT, "dvc", "status", "--json", "backtest/dvc.yaml").stdout
    for changes in json.loads(printed).values():
        for change in changes:
            # Data that a clean checkout does not have.
            assert all(name.startswith("data/") for name in change["changed deps"]), change
