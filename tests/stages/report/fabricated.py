"""Made-up inputs of the report: of everything that there can be, and of the least; and the page over them."""

import json
import shutil
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from stages.map.__main__ import chart_library
from stages.report import __main__ as report
from stages.report.__main__ import REPORT
from tests.conftest import ROOT, write_rows
from towerline.artifacts.baselines import BASELINES, BASELINES_TABLE, TrialRow
from towerline.artifacts.evaluate import (
    DIFFERENCES_TABLE,
    EXPOSURE_TABLE,
    METRICS_TABLE,
    RATINGS_TABLE,
    TEST_SET_TABLE,
    CountRow,
)
from towerline.artifacts.ingest import INGEST_REPORT, REJECTED
from towerline.artifacts.map import CHART_LIBRARY, ITEM_MAP
from towerline.artifacts.split import TEST, TRAIN, VALIDATION
from towerline.artifacts.train import (
    FEATURES_TABLE,
    FEEDBACK_TABLE,
    TRAINING_REPORT,
    TWO_TOWER,
    FeatureRow,
    FeedbackRow,
)
from towerline.artifacts.transfer import TRANSFER_TABLE, TransferRow
from towerline.artifacts.vocabulary import ITEM_VOCABULARY, USER_VOCABULARY
from towerline.pipeline import formats
from towerline.ranking.embedding import PRIOR_DIMENSIONS
from towerline.ranking.scorers import Chance, arrays_of

HOSTILE = [
    "</script><img src=x onerror=\"document.title='broken'\">",
    "<script>document.title = 'broken'</script>",
    "\"quotes\" & 'apostrophes' {{ braces }} ${dollars}",
    "👩‍👩‍👧 \u202etxet\x00",
    "<!--<script>",
    "long " + "x" * 495,
]


def write_parts(folder: Path, num_users: int, num_items: int, ratings: bool, timestamps: bool) -> None:
    """User u has the items of equal parity below u + 4; a fifth of the rows is the test set, another is validation."""
    pairs = [(u, i) for u in range(1, num_users + 1) for i in range(1, num_items + 1) if (u + i) % 2 == 0 and i < u + 4]
    for offset, path in ((2, TRAIN), (1, VALIDATION), (0, TEST)):
        chosen = [pair for row, pair in enumerate(pairs) if min(row % 5, 2) == offset]
        columns = {
            name: pa.array([pair[at] for pair in chosen], pa.int32())
            for at, name in ((0, "user_index"), (1, "item_index"))
        }
        if ratings:
            columns["rating"] = pa.array([float(item % 10) for _, item in chosen], pa.float32())
        if timestamps:
            columns["timestamp"] = pa.array([1_400_000_000 + 86_400 * 3 * user for user, _ in chosen], pa.int64())
        table = pa.table(columns)
        sizes = {"num_users": num_users, "num_items": num_items}
        formats.write_parquet(folder / path, table.schema, table.to_batches(), sizes)


def write_vocabularies(folder: Path, num_users: int, num_items: int, types: list[str], titles: bool) -> None:
    user_ids = [*HOSTILE, *(f"user {n}" for n in range(len(HOSTILE), num_users))][:num_users]
    item_ids = [*HOSTILE, *(f"item {n}" for n in range(len(HOSTILE), num_items))][:num_items]
    users = pa.table({"index": pa.array(range(1, num_users + 1), pa.int32()), "user_id": user_ids})
    columns: dict[str, Any] = {
        "index": pa.array(range(1, num_items + 1), pa.int32()),
        "item_type": [types[n % len(types)] for n in range(num_items)],
        "item_id": item_ids,
    }
    if titles:
        columns["title"] = pa.array([f"Title: {name}" if n % 4 else None for n, name in enumerate(item_ids)])
        genres = [[("genre", f"{'AB'[n % 2]}|C")] if n % 3 else None for n in range(num_items)]
        columns["features"] = pa.array(genres, pa.map_(pa.string(), pa.string()))
    for path, table in ((USER_VOCABULARY, users), (ITEM_VOCABULARY, pa.table(columns))):
        formats.write_parquet(folder / path, table.schema, table.to_batches())


def write_embeddings(folder: Path, num_users: int, num_items: int) -> None:
    """Unit vectors and a popularity prior; the unknown id and the last item, which is untrained, have zeros."""
    draw = np.random.default_rng(4)
    for path, size in ((TWO_TOWER.user_embeddings, num_users), (TWO_TOWER.item_embeddings, num_items)):
        vectors = draw.normal(size=(size + 1, 4)).astype(np.float32)
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        vectors[0] = 0
        if path == TWO_TOWER.item_embeddings:
            vectors[-1] = 0
        formats.write_array(
            folder / path, np.column_stack([vectors, np.ones((size + 1, PRIOR_DIMENSIONS), np.float32)])
        )


def metric_rows(models: list[str], types: list[str], cutoffs: list[int]) -> list[list[str]]:
    groups = [("everything", "all", ""), ("everything", "cold_users", "")]
    groups += [("everything", "activity", value) for value in ("1-5", "6-9")]
    groups += [("everything", "items", part) for part in ("head", "middle", "tail", "cold")]
    groups += [("new_items", "all", ""), ("everything", "disliked", "")]
    if len(types) > 1:
        groups += [(mode, "item_type", kind) for mode in ("everything", "within_type") for kind in types]
    return [
        [model, *group, metric, str(k), "9", f"{mean}", f"{0.9 * mean}", f"{1.1 * mean}"]
        for place, model in enumerate(models)
        for group in groups
        for metric in ("recall", "precision", "ndcg", "mrr", "map", "hit_rate")
        if metric == "recall" or group[1] not in ("items", "disliked")
        for k in cutoffs
        for mean in [round(k / 40 / (place + 1), 6)]
    ]


def transfer_rows(types: tuple[str, ...]) -> list[list[str]]:
    """The rows of the first type help, and those of the others make no clear difference."""
    return [
        [one, other, metric, "20", "9", "0.3", mean, difference, low, "0.02"]
        for one in types
        for other in types
        if one != other
        for metric in ("ndcg", "recall")
        for mean, difference, low in [("0.29", "0.01", "0.001") if one == types[0] else ("0.301", "-0.001", "-0.01")]
    ]


def write_tables(
    folder: Path, models: list[str], types: list[str], cutoffs: list[int], ratings: bool, left_out: list[list[str]]
) -> None:
    def write(path: Path, columns: str, rows: list[list[str]]) -> None:
        write_rows(folder / path, rows, columns.split(","))

    write(
        METRICS_TABLE,
        "model,candidates,by,value,metric,k,users,mean,low,high",
        metric_rows(models, types, cutoffs),
    )
    differences = [
        [model, "ndcg", str(cutoffs[-1]), "9", "0.1", "0.05", "0.15", "0.0001", "0.0003"] for model in models[1:]
    ]
    write(DIFFERENCES_TABLE, "baseline,metric,k,users,difference,low,high,p_value,p_adjusted", differences)
    exposure = [[model, str(k), "0.5", "0.6", "7.5", "3.2", "0.7", "0.2", "0.1"] for model in models for k in cutoffs]
    exposure += [["consumed", "", "0.6", "", "6.5", "3.4", "0.6", "0.3", "0.1"]]
    write(EXPOSURE_TABLE, "model,k,coverage,gini,mean_popularity,novelty,head,middle,tail", exposure)
    write(
        RATINGS_TABLE,
        "model,rmse,mae",
        [["two_tower", "1.2", "0.9"], ["global_mean", "1.5", "1.1"]] * ratings,
    )
    numbers = {"users_ranked": 9, "cold_users": 1, "users_with_dislikes_alone": 2, "users_not_drawn": 0}
    write_rows(
        folder / TEST_SET_TABLE, [[name, str(number)] for name, number in numbers.items()], list(CountRow._fields)
    )
    trials = [[model, "1", *[""] * 4, "0.5", "", "", "ndcg", "20", "0.1", "True", ""] for model in models[1:]]
    trials += left_out
    write(BASELINES_TABLE, ",".join(TrialRow._fields), trials)


bundled = cache(chart_library)


def fabricate(
    folder: Path,
    *,
    num_users: int = 14,
    num_items: int = 16,
    types: tuple[str, ...] = ("book", HOSTILE[0]),
    models: tuple[str, ...] = ("two_tower", "most_popular", HOSTILE[0]),
    cutoffs: tuple[int, ...] = (5, 20),
    ratings: bool = True,
    timestamps: bool = True,
    titles: bool = True,
    rejected: int = 12,
    rows_read: int = 100,
    left_out: tuple[list[str], ...] = (),
) -> Path:
    """All that the stage reads, in `folder`."""
    write_parts(folder, num_users, num_items, ratings, timestamps)
    write_vocabularies(folder, num_users, num_items, list(types), titles)
    write_embeddings(folder, num_users, num_items)
    (folder / CHART_LIBRARY).parent.mkdir(parents=True, exist_ok=True)
    (folder / CHART_LIBRARY).write_text(bundled(), encoding="utf-8")
    write_tables(folder, list(models), list(types), list(cutoffs), ratings, list(left_out))
    ingest = {
        "density": 0.2,
        "item_rows_read": num_items,
        "item_rows_rejected": min(1, rejected),
        "item_rows_rejected_by_reason": {"blank item_id": 1} if rejected else {},
        "item_rows_repeated": 0,
        "items": num_items,
        "items_by_type": dict.fromkeys(types, num_items // len(types)),
        "rows_below_minimum_interactions": 0,
        "rows_below_minimum_rating": 0,
        "rows_kept": rows_read - rejected,
        "rows_read": rows_read,
        "rows_rejected": max(0, rejected - 1),
        "rows_rejected_by_reason": {"rating: expected a number": rejected - 1} if rejected else {},
        "rows_repeated": 0,
        "user_rows_rejected_by_reason": {},
        "users": num_users,
    }
    formats.write_json(folder / INGEST_REPORT, ingest)
    refused = pa.table(
        {
            "source": pa.array(["data/raw/a.csv"] * rejected, pa.string()),
            "line": pa.array(range(2, rejected + 2), pa.int64()),
            "reason": pa.array(["rating: expected a number"] * rejected, pa.string()),
            "raw": pa.array([HOSTILE[n % len(HOSTILE)] for n in range(rejected)], pa.string()),
        }
    )
    formats.write_parquet(folder / REJECTED, refused.schema, refused.to_batches())
    rating = ["0.8", "0.7"] if ratings else ["", ""]
    training = [[str(epoch + 1), "1.5", rating[epoch], "0.1", rating[epoch], "0.2", "0.5"] for epoch in range(2)]
    names = "epoch,retrieval_loss,rating_loss,validation_ndcg,validation_rmse,temperature,popularity_prior"
    write_rows(folder / TRAINING_REPORT, training, names.split(","))
    features = [["items", "", "0.9", "0.12", "0.3"], ["items", HOSTILE[0], "0.9", "0.05", "0.31"]]
    features.append(["users", "", "1", "-0.01", ""])
    write_rows(folder / FEATURES_TABLE, features if titles else [], list(FeatureRow._fields))
    feedback = [["negatives", "0.5", "20", "0.1", "False"], ["left_out", "0.5", "20", "0.12", "True"]]
    write_rows(folder / FEEDBACK_TABLE, feedback if ratings else [], list(FeedbackRow._fields))
    write_rows(folder / TRANSFER_TABLE, transfer_rows(types), list(TransferRow._fields))
    arrays = arrays_of(Chance(np.array(1, np.int64), np.array(num_items + 1, np.int64)))
    formats.write_arrays(folder / BASELINES / "most_popular.npz", arrays)
    places = [[str(item), str(item % 5), str(item % 3)] for item in range(1, num_items)]
    write_rows(folder / ITEM_MAP, places, ["item_index", "x", "y"])
    shutil.copy2(ROOT / "params.yaml", folder)
    return folder


BARE: dict[str, Any] = {
    "num_users": 5,
    "num_items": 7,
    "types": ("item",),
    "models": ("two_tower", "most_popular"),
    "cutoffs": (5,),
    "ratings": False,
    "timestamps": False,
    "titles": False,
    "rejected": 0,
}


def made(folder: Path, monkeypatch: pytest.MonkeyPatch, **changes: Any) -> str:
    """The page over fabricated inputs."""
    monkeypatch.chdir(fabricate(folder, **changes))
    report.main()
    return REPORT.read_text(encoding="utf-8")


class Elements(HTMLParser):
    """Counts elements, keeps the ids of sections and figures, and the JSON and the text between tags."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.counts: dict[str, int] = {}
        self.ids: list[str] = []
        self.specs: list[Any] = []
        self.texts: list[str] = []
        self._inside: tuple[str, str | None] = ("", None)
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.counts[tag] = self.counts.get(tag, 0) + 1
        given = dict(attrs)
        self._inside = (tag, given.get("type"))
        if tag in ("section", "figure"):
            self.ids.append(str(given["id"]))

    def handle_data(self, data: str) -> None:
        if self._inside == ("script", "application/json") and data.strip():
            self.specs.append(json.loads(data))
        elif self._inside[0] not in ("script", "style"):
            self.texts.append(data)
