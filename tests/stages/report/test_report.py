"""The report: its content, the same bytes twice, escaped texts, and its layout in a browser."""

import json
import re
import shutil
import sys
from collections.abc import Iterator
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from playwright.sync_api import Browser, Locator, Page, sync_playwright

import towerline
from stages.map.__main__ import chart_library
from stages.report import __main__ as report
from stages.report import charts, findings, page, selection, wording
from stages.report.__main__ import REPORT
from stages.report.embedded import embedded_json
from stages.report.findings import Comparison
from stages.report.inputs import read_inputs
from stages.report.lists import Lists, items_of
from stages.report.sections import groups, search, tuning
from tests.conftest import ROOT, run, write_rows
from towerline.artifacts.baselines import BASELINES, BASELINES_TABLE, SETTINGS, TrialRow
from towerline.artifacts.evaluate import DIFFERENCES_TABLE, EXPOSURE_TABLE, METRICS_TABLE, RATINGS_TABLE
from towerline.artifacts.ingest import INGEST_REPORT, REJECTED
from towerline.artifacts.map import CHART_LIBRARY, ITEM_MAP
from towerline.artifacts.split import TEST, TRAIN, VALIDATION
from towerline.artifacts.train import FINAL, TRAINING_REPORT, TWO_TOWER
from towerline.artifacts.vocabulary import ITEM_VOCABULARY, USER_VOCABULARY
from towerline.pipeline import formats
from towerline.pipeline.errors import StageError
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
OWN_WIDTH = "one => one.tagName === 'CANVAS' ? one.width / devicePixelRatio : one.width.baseVal.value"
SPILT = """() => [...document.querySelectorAll("article, figure, .facts > div, .terms > div")]
  .filter(one => one.scrollWidth > one.clientWidth + 1).map(one => one.innerText)"""
SIZES = [(1400, 900), (390, 844)]


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
    groups += [("everything", "items", part) for part in ("head", "middle", "tail")]
    if len(types) > 1:
        groups += [(mode, "item_type", kind) for mode in ("everything", "within_type") for kind in types]
    return [
        [model, *group, metric, str(k), "9", f"{mean}", f"{0.9 * mean}", f"{1.1 * mean}"]
        for place, model in enumerate(models)
        for group in groups
        for metric in ("recall", "precision", "ndcg", "mrr", "map", "hit_rate")
        if metric == "recall" or group[1] != "items"
        for k in cutoffs
        for mean in [round(k / 40 / (place + 1), 6)]
    ]


def write_tables(folder: Path, models: list[str], types: list[str], cutoffs: list[int], ratings: bool) -> None:
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
    trials = [[model, "1", *[""] * 4, "0.5", "ndcg", "20", "0.1", "True"] for model in models[1:]]
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
) -> Path:
    """All that the stage reads, in `folder`."""
    write_parts(folder, num_users, num_items, ratings, timestamps)
    write_vocabularies(folder, num_users, num_items, list(types), titles)
    write_embeddings(folder, num_users, num_items)
    (folder / CHART_LIBRARY).parent.mkdir(parents=True, exist_ok=True)
    (folder / CHART_LIBRARY).write_text(bundled(), encoding="utf-8")
    write_tables(folder, list(models), list(types), list(cutoffs), ratings)
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


def test_texts_of_others_stay_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = Elements(made(tmp_path, monkeypatch))
    assert "img" not in page.counts
    # The JSON of each figure and of the search, and two scripts that run.
    assert page.counts["script"] == page.counts["figure"] + 3
    assert len(page.specs) == page.counts["figure"] + 1
    texts = "\n".join(page.texts)
    for text in (HOSTILE[0], HOSTILE[1], HOSTILE[2]):
        assert text in texts
    assert "\x00" not in texts
    assert "\u202e" not in texts
    assert "x" * 200 not in texts, "long texts are shortened"


def test_a_specification_cannot_end_its_element_and_keeps_its_texts() -> None:
    spec = {"data": {"values": [{"label": text, "value": float("nan")} for text in HOSTILE]}}
    text = str(embedded_json(spec))
    assert "<" not in text
    assert [value["label"] for value in json.loads(text)["data"]["values"]] == HOSTILE
    assert json.loads(text)["data"]["values"][0]["value"] is None


def test_two_runs_write_the_same_bytes(tmp_path: Path) -> None:
    pages = []
    for number, threads in ((1, "1"), (2, "4")):
        folder = fabricate(tmp_path / f"folder {number}", num_users=60, num_items=120)
        run(
            folder,
            *(sys.executable, "-m", "stages.report"),
            PYTHONPATH=str(ROOT),
            PYTHONHASHSEED=str(number),
            TZ=f"Etc/GMT+{number}",
            OMP_NUM_THREADS=threads,
            OPENBLAS_NUM_THREADS=threads,
        )
        pages.append((folder / REPORT).read_bytes())
    assert pages[0] == pages[1]


def test_a_page_of_everything_has_all_sections(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = Elements(made(tmp_path, monkeypatch))
    ids = page.ids
    # Those of the item table among them.
    assert re.search(r"The first \d+ of the 12 refused rows", " ".join(page.texts))
    for name in ("quality", "groups", "exposure", "ratings", "item-map", "examples", "tuning", "settings"):
        assert name in ids
    for name in ("refused", "time", "curve-rating-loss", "within-type-recall", "cutoffs-hit-rate"):
        assert name in ids


def test_what_the_data_lacks_is_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = Elements(made(tmp_path, monkeypatch, **BARE))
    assert not {"ratings", "refused", "time", "curve-rating-loss", "items-by-type"} & set(page.ids)
    assert {"sets", "item-map", "examples", "terms"} <= set(page.ids)
    assert "No row was refused." in page.texts


@pytest.mark.parametrize("titles", [True, False])
def test_an_item_without_a_title_goes_by_its_id(titles: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    texts = Elements(made(tmp_path, monkeypatch, titles=titles)).texts
    assert "item 8" in texts
    assert ("Title: item 9" if titles else "item 9") in texts


def test_a_curve_that_does_not_move_has_an_axis() -> None:
    spec = charts.curve([{"epoch": 1, "value": 0.1}, {"epoch": 2, "value": 0.1}], "temperature")
    low, high = spec["encoding"]["y"]["scale"]["domain"]
    assert low < 0.1 < high
    assert spec["encoding"]["x"]["axis"]["values"] == [1, 2]


def test_numbers_read_as_people_write_them() -> None:
    assert wording.exact_percent(0.2) == "20%"
    assert wording.exact_percent(0.000575) == "0.0575%"
    assert wording.signed(-0.5, 2) == "\N{MINUS SIGN}0.50"
    assert wording.decimal(float("nan")) == wording.MISSING
    assert (wording.p_value(0.00001), wording.p_value(0.0421)) == ("p < 0.001", "p = 0.042")


def test_large_counts_are_written_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    texts = Elements(made(tmp_path, monkeypatch, rows_read=12_345_678_901)).texts
    assert "12,345,678,901" in texts


def test_a_table_without_a_column_is_refused_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(fabricate(tmp_path))
    write_rows(RATINGS_TABLE, [["two_tower", "1.0"]], ["model", "rmse"])
    with pytest.raises(StageError, match=r"ratings\.csv: expected the columns mae, found none; repro"):
        report.main()


def test_a_cell_that_is_no_number_is_refused_with_its_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(fabricate(tmp_path))
    write_rows(RATINGS_TABLE, [["two_tower", "1.0", "1.0"], ["other", "good", "1.0"]], ["model", "rmse", "mae"])
    with pytest.raises(StageError, match=r"ratings\.csv: line 3: expected a number in the column rmse, found 'good'"):
        report.main()


def test_metrics_without_the_model_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(fabricate(tmp_path, models=("most_popular",)))
    with pytest.raises(StageError, match="expected rows of two_tower"):
        report.main()


def test_example_users_span_the_levels_of_activity() -> None:
    activity = np.array([0, 1, 1, 2, 900, 4, 0, 30, 31], np.int64)
    preferred = np.array([0, 0, 1, 1, 1, 1, 1, 1, 1], bool)
    assert selection.users_across_activity(activity, preferred, 4).tolist() == [2, 5, 8, 4]
    assert selection.users_across_activity(activity, preferred, 20).tolist() == [1, 2, 3, 5, 7, 8, 4]
    assert selection.users_across_activity(np.zeros(3, np.int64), preferred[:3], 4).tolist() == []


def test_well_known_items_take_turns_by_type() -> None:
    rows = np.array([0, 9, 8, 7, 6, 5], np.int64)
    kind = np.array([0, 0, 0, 0, 1, 1], np.int64)
    candidates = np.array([0, 1, 1, 1, 1, 1], bool)
    assert selection.well_known_items(rows, candidates, kind, 4).tolist() == [1, 4, 2, 5]


def test_neighbours_are_others_that_were_trained_and_are_not_opposed() -> None:
    vectors = np.array([[0, 0], [1, 0], [0.8, 0.6], [0, 0], [-1, 0]], np.float32)
    near = selection.nearest(vectors, np.array([1, 4], np.int32), 3)
    assert near.ids.tolist() == [[2, 0, 0], [0, 0, 0]]
    assert near.similarity.tolist() == [pytest.approx([0.8, 0, 0]), [0, 0, 0]]


def test_similar_users_are_those_of_serving(small_project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(small_project)
    # The page shows the model that was evaluated, serving the one that was fitted to all rows.
    shipped = {f"{kind}_embeddings": np.load(getattr(FINAL, f"{kind}_embeddings")) for kind in ("user", "item")}
    lists = Lists(read_inputs()._replace(**shipped))
    recommender = towerline.open("exports")
    users = np.flatnonzero(lists.activity() > 0).astype(np.int32)
    ids = [str(lists.data.users[user - 1]) for user in users]
    near = lists.similar_users(users, 10)
    served = recommender.similar_users_batch(ids, 10)
    assert sum(map(len, served)) > 100
    for row, answer in enumerate(served):
        shown = near.ids[row][near.ids[row] > 0]
        assert [str(lists.data.users[user - 1]) for user in shown] == [user.user_id for user in answer]
        assert near.similarity[row][: len(shown)].tolist() == pytest.approx([user.similarity for user in answer])


NAN = float("nan")
BETTER = Comparison("NDCG@20", 0.16, 0.15, ["EASE"], 0.002, 0.008, 0.028)
WORSE = Comparison("Recall@20", 0.15, 0.16, ["EASE"], -0.008, -0.002, 0.028)
UNCLEAR = Comparison("Recall@20", 0.151, 0.15, ["EASE"], -0.001, 0.003, 0.3)


@pytest.mark.parametrize(
    ("comparisons", "verdict"),
    [
        ([BETTER], "Better than the best baseline by NDCG@20"),
        ([WORSE], "Worse than the best baseline by Recall@20"),
        ([BETTER, BETTER._replace(metric="Recall@20")], "Better than the best baseline by NDCG@20 and Recall@20"),
        ([BETTER, UNCLEAR], "Better than the best baseline by NDCG@20, no clear difference from it by Recall@20"),
        ([BETTER, WORSE], "Better than the best baseline by NDCG@20, worse than it by Recall@20"),
        # Untested, and an interval that contradicts its p value.
        ([BETTER._replace(low=NAN, high=NAN, p_adjusted=NAN)], "No clear difference from the best baseline by NDCG@20"),
        ([BETTER._replace(low=-0.001)], "No clear difference from the best baseline by NDCG@20"),
        ([], "No baseline to compare with"),
    ],
)
def test_the_verdict_follows_the_figures(comparisons: list[Comparison], verdict: str) -> None:
    assert findings.verdict(comparisons) == verdict


def test_a_comparison_says_which_is_above_and_whether_chance_explains_it() -> None:
    assert findings.comparison_sentence(BETTER) == (
        "NDCG@20 is 0.1600, 0.0100 above EASE (0.1500), the best baseline (95% interval of the difference 0.0020 to "
        "0.0080, p = 0.028 after Holm's correction)."
    )
    assert "0.0100 below EASE (0.1600)" in findings.comparison_sentence(WORSE)
    assert findings.comparison_sentence(UNCLEAR).endswith("Chance may explain the difference.")
    disagreeing = findings.comparison_sentence(BETTER._replace(p_adjusted=0.2))
    assert disagreeing.endswith("The interval and the test disagree, so the difference is not established.")
    equal = BETTER._replace(own=0.15001, best=0.14999, baselines=["EASE", "iALS"], p_adjusted=NAN)
    assert findings.comparison_sentence(equal) == (
        "NDCG@20 is 0.1500, equal to EASE and iALS, the best baselines; the difference was not tested."
    )


def test_sentences_put_no_value_before_one_that_reads_the_same() -> None:
    assert (
        findings.best([("a", 1.51998), ("b", 1.52001), ("c", 1.9)], lowest=True) == "Best are a and b, equal at 1.5200"
    )
    assert findings.best([("a", 1.5), ("b", 1.4), ("c", NAN)]) == "Best is a with 1.5000"
    rising, falling = [("1-4", 0.1), ("5-8", 0.2)], [("1-4", 0.2), ("5-8", 0.1)]
    assert findings.extremes("R", rising) == "R is highest for 5-8 (0.2000) and lowest for 1-4 (0.1000)."
    assert findings.extremes("R", falling) == "R is highest for 1-4 (0.2000) and lowest for 5-8 (0.1000)."
    assert findings.extremes("R", [("x", 0.2), ("y", 0.20001)]) == "R is 0.2000 for x and y."


def test_a_curve_is_described_by_its_ends_and_its_best_epoch() -> None:
    curve = [(1, 0.1), (2, 0.3), (3, 0.2)]
    assert findings.change(curve, lower_is_better=False) == (
        "From 0.1000 in epoch 1 to 0.2000 in epoch 3; best in epoch 2 (0.3000)."
    )
    assert findings.change(curve, lower_is_better=True).endswith("best in epoch 1 (0.1000).")
    assert findings.change([(1, 0.44660), (2, 0.44661)], lower_is_better=True) == "0.4466 in every epoch."


def test_best_settings_at_an_end_of_the_values_tried_are_named() -> None:
    def sentence(*chosen: int) -> str | None:
        trials = pd.DataFrame({"label": [*"AAABBBC"], **dict.fromkeys(SETTINGS, np.nan)})
        trials["dimension"] = [5, 20, 10, np.nan, np.nan, np.nan, 7]
        trials["alpha"] = [0.5, 1, 2, *[np.nan] * 4]
        trials["half_life_days"] = [*[np.nan] * 3, 1e-05, 1, 3, np.nan]
        return findings.grid_edges(tuning.edge_settings(trials.assign(chosen=trials.index.isin(chosen))))

    assert sentence(1, 4, 6) == (
        "The best setting is the smallest or largest value tried for A (dimension 20); better ones may lie outside."
    )
    assert "tried for A (dimension 5 and alpha 0.5) and B (half-life 1e-05 d); " in str(sentence(0, 3, 6))
    assert "tried for A (alpha 2); " in str(sentence(2, 4, 6))
    assert (
        findings.grid_edges({"A": [], "B": []}) == "No best setting of A and B is the smallest or largest value tried."
    )
    assert findings.grid_edges({}) is None


def test_cautions_hold_only_where_the_figures_give_them() -> None:
    assert findings.few_users(200) is None
    assert str(findings.few_users(69)).startswith("Only 69 test users, fewer than 200")
    assert findings.split_caution("temporal", 0.0) is None
    assert findings.split_caution("column", NAN) is None
    assert str(findings.split_caution("random", 0.4)).startswith("40.0% of the test rows are older")
    assert str(findings.split_caution("random", NAN)).startswith("The test rows are a random sample")
    assert findings.head_caution(0.3, 0.8) is None
    assert findings.head_caution(0.30004, 0.3) is None
    assert "80.0% of the items shown, but 30.0%" in str(findings.head_caution(0.8, 0.3))
    assert findings.tail_caution("Recall@20", 0.1, 0.2) is None
    assert (
        findings.tail_caution("Recall@20", 0.7, 0.01) == "Recall@20 of tail items is 0.0100, that of head items 0.7000."
    )
    assert findings.coverage_caution(0.2, 0.1, "EASE") is None
    assert "17.9% of the catalogue to some user, EASE 19.9%" in str(findings.coverage_caution(0.179, 0.199, "EASE"))


def test_the_page_opens_with_verdict_cautions_and_origin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    html = made(tmp_path, monkeypatch)
    texts = " ".join(Elements(html).texts)
    opening = texts[: texts.index("rows read")]
    assert "Better than the best baseline by NDCG@20, no clear difference from it by Recall@20" in opening
    assert "By Most popular" in texts, "the best baseline's list beside ours"
    for text in ("Only 9 test users", "data/raw/preferences.csv.gz", "random; seed 42", "128 dimensions"):
        assert text in opening
    digest = re.findall("digest ([0-9a-f]{12})", opening)
    write_rows(RATINGS_TABLE, [["two_tower", "1.3", "1.0"]], ["model", "rmse", "mae"])
    report.main()
    assert digest != re.findall("digest ([0-9a-f]{12})", REPORT.read_text(encoding="utf-8"))[:1], "other inputs"


def test_small_types_are_folded_and_types_ordered_by_users() -> None:
    rows = pd.DataFrame({"value": ["10", "2", "3"], "users": [500.0, 4.0, 900.0]})
    assert groups._by_users(rows)["value"].tolist() == ["3", "10", "2"]
    assert groups._small_types(rows) == {"2"}
    assert groups._small_types(rows[1:2]) == set(), "not all"


def index_in(html: str) -> Any:
    """The index of the page's search."""
    return next(content for content in Elements(html).specs if "user_names" in content)


def test_the_search_holds_the_lists_by_number(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    index = index_in(made(tmp_path, monkeypatch))
    lists = Lists(read_inputs())
    assert len(index["users"]) == np.count_nonzero(lists.activity())
    user_ids, items = lists.data.users.to_pylist(), lists.data.items
    number, recommended, similar = index["users"][-1]
    user = np.array([user_ids.index(index["user_names"][number]) + 1], np.int32)
    expected = lists.recommended(user, search.RECOMMENDED)[0]
    expected = expected[expected > 0]
    assert [index["item_names"][item if item >= 0 else ~item] for item in recommended] == items.labels(expected)
    in_test = np.isin(expected, items_of(lists.test, user[0])).tolist()
    assert [item < 0 for item in recommended] == in_test
    assert any(in_test)
    near = lists.similar_users(user, search.NEIGHBOURS)
    assert [index["user_names"][other] for other in similar[::2]] == lists.data.user_labels(near.ids[near.ids > 0])
    assert similar[1::2] == [round(100 * value) for value in near.similarity[near.ids > 0].tolist()]
    for number, name, _ in index["items"]:
        assert [name] == items.ids(np.array([items.ids(np.arange(1, len(items.table) + 1)).index(name) + 1]))
        assert index["types"][index["item_types"][number]] in ("book", wording.shortened(HOSTILE[0]))


def test_the_search_takes_the_room_that_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = made(tmp_path, monkeypatch, num_users=40, num_items=60)
    assert "Finds all 40 users and all 59 items" in " ".join(Elements(whole).texts)
    monkeypatch.setattr(search, "PIECE", 4)
    # Where the index is cut, the names that lists mention take more room than in the whole.
    limit = len(whole.encode()) + page.SEARCH_FORM_BYTES - 3_000
    monkeypatch.setattr(page, "MAXIMUM_BYTES", limit)
    report.main()
    part = REPORT.read_text(encoding="utf-8")
    assert limit - 6_000 < len(part.encode()) < limit
    texts = " ".join(Elements(part).texts)
    assert re.search(r"Finds the \d+ most active of 40 users and the \d+ most popular of 59 items", texts)
    shown, everybody = (
        [index["user_names"][number] for number, _, _ in index["users"]] for index in map(index_in, (part, whole))
    )
    assert 0 < len(shown) < 40
    assert shown == everybody[: len(shown)], "the most active"
    monkeypatch.setattr(page, "MAXIMUM_BYTES", 1_000_000)
    report.main()
    assert "search" not in Elements(REPORT.read_text(encoding="utf-8")).ids, "no room at all"


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """The Chromium that is installed."""
    program = shutil.which("chromium") or shutil.which("google-chrome")
    if program is None:
        pytest.skip("no browser to look at the report with: apt-get install chromium")
    with sync_playwright() as playwright:
        arguments = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
        browser = playwright.chromium.launch(executable_path=program, args=arguments)
        yield browser
        browser.close()


@pytest.fixture(scope="session", params=["everything", "bare"])
def page_file(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A page of all that there can be, and one of the least."""
    folder = fabricate(tmp_path_factory.mktemp(request.param), **(BARE if request.param == "bare" else {}))
    run(folder, sys.executable, "-m", "stages.report", PYTHONPATH=str(ROOT))
    return folder / REPORT


class Visit:
    """The page in a browser, with all that it said and asked for."""

    def __init__(self, browser: Browser, file: Path, size: tuple[int, int], scheme: Any) -> None:
        self.said: list[str] = []
        self.requests: list[str] = []
        width, height = size
        self.page: Page = browser.new_page(viewport={"width": width, "height": height}, color_scheme=scheme)
        self.page.on("console", lambda message: self.said.append(f"{message.type}: {message.text}"))
        self.page.on("pageerror", lambda error: self.said.append(f"error: {error}"))
        self.page.on("request", lambda asked: self.requests.append(asked.url))
        self.page.goto(file.as_uri())
        self.drawn()

    def drawn(self) -> None:
        self.page.wait_for_selector("html[data-charts=ready]", timeout=60_000)

    def overflow(self) -> int:
        return int(self.page.evaluate("document.documentElement.scrollWidth - window.innerWidth"))


def check_figure(figure: Locator) -> None:
    """Assert that a visible figure is drawn for its place and says what there is to see."""
    plot = figure.locator(".plot")
    name = plot.get_attribute("aria-label")
    assert name is not None
    assert len(name) > 20, "the label says what there is to see"
    assert plot.get_attribute("role") == "img"
    drawn = plot.locator("svg, canvas").bounding_box()
    assert drawn is not None
    assert drawn["width"] > 200
    assert abs(drawn["width"] - plot.locator("svg, canvas").evaluate(OWN_WIDTH)) < 1, "drawn for its place, not scaled"
    assert drawn["height"] > 20
    assert figure.locator("details tbody tr").count() > 0


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", SIZES)
def test_the_page_in_a_browser(browser: Browser, page_file: Path, size: tuple[int, int], scheme: str) -> None:
    visit = Visit(browser, page_file, size, scheme)
    page = visit.page
    page.evaluate("document.querySelectorAll('details.fold').forEach(one => one.open = true)")
    names = set()
    for turn in range(20):
        for choice in page.locator(".choice select").all():
            choice.select_option(index=turn % choice.locator("option").count())
        visit.drawn()
        for figure in page.locator("figure:visible").all():
            name = figure.get_attribute("id")
            if name not in names:
                names.add(name)
                check_figure(figure)
    assert names == {figure.get_attribute("id") for figure in page.locator("figure").all()}
    assert len(names) >= 10
    page.evaluate("document.querySelectorAll('details').forEach(one => one.open = true)")
    assert visit.overflow() <= 0
    assert page.evaluate(SPILT) == [], "texts stay within their cards"
    assert page.title() == "Towerline: report"
    assert page.locator("html").get_attribute("data-theme") == scheme
    assert visit.requests == [page_file.as_uri()]
    assert visit.said == []
    page.close()


def test_a_chart_follows_the_width_of_the_page(browser: Browser, page_file: Path) -> None:
    visit = Visit(browser, page_file, SIZES[0], "light")
    visit.page.set_viewport_size({"width": 390, "height": 844})
    visit.page.wait_for_function(
        "document.querySelector('#item-map svg, #item-map canvas').getBoundingClientRect().width < 390"
    )
    assert visit.overflow() <= 0
    visit.page.close()


def test_the_theme_can_be_switched_by_keyboard(browser: Browser, page_file: Path) -> None:
    visit = Visit(browser, page_file, SIZES[0], "light")
    page = visit.page
    state = """() => {
      const axis = document.querySelector("#comparison-ndcg .plot svg .role-axis-label text");
      return [getComputedStyle(document.body).backgroundColor, getComputedStyle(axis).fill];
    }"""
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    button = page.locator("#theme")
    assert button.evaluate("one => one === document.activeElement")
    light = page.evaluate(state)
    page.keyboard.press("Enter")
    visit.drawn()
    dark = page.evaluate(state)
    assert all(before != after for before, after in zip(light, dark, strict=True)), "paper and charts change"
    assert button.get_attribute("aria-pressed") == "true"
    page.reload()
    visit.drawn()
    assert page.evaluate(state) == dark, "the choice lasts"
    button.click()
    visit.drawn()
    assert page.evaluate(state) == light
    assert visit.said == []
    page.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", SIZES)
def test_the_search_finds_by_id_and_title(
    browser: Browser, page_file: Path, size: tuple[int, int], scheme: str
) -> None:
    visit = Visit(browser, page_file, size, scheme)
    finder = visit.page.locator("#finder")
    box, status, shown = finder.locator("input"), finder.locator("[role=status]"), finder.locator(".shown")
    box.fill("Nobody <b>")
    assert status.inner_text() == "No user and no item of this page has “Nobody <b>” in its id or title."
    assert shown.locator("article").count() == 0
    box.fill(HOSTILE[0][:15])
    assert shown.locator("h3").inner_text() == HOSTILE[0]
    assert finder.locator("img").count() == 0
    headings = shown.locator("h4").all_inner_texts()
    assert [heading.lower() for heading in headings] == ["recommended", "similar users"]
    assert shown.locator("li").count() > 0
    # The few users of the bare page may have nobody similar.
    for other in shown.locator(".lists > div:last-child a").all()[:1]:
        name = other.inner_text()
        other.click()
        assert shown.locator("h3").inner_text() == name
        assert box.input_value() == name
    visit.page.evaluate("document.querySelectorAll('details').forEach(one => one.open = true)")
    assert visit.overflow() <= 0
    assert visit.page.evaluate(SPILT) == []
    box.fill("")
    assert shown.inner_text() == ""
    assert visit.requests == [page_file.as_uri()]
    assert visit.said == []
    visit.page.close()


def test_the_search_offers_other_matches(browser: Browser, tmp_path: Path) -> None:
    run(fabricate(tmp_path), sys.executable, "-m", "stages.report", PYTHONPATH=str(ROOT))
    visit = Visit(browser, tmp_path / REPORT, SIZES[0], "light")
    finder = visit.page.locator("#finder")
    finder.locator("input").fill("title: ITEM 1")
    names = finder.locator(".matches button bdi").all_inner_texts()
    assert len(names) > 1
    assert all(name.startswith("Title: item 1") for name in names)
    assert finder.locator("[role=status]").inner_text() == f"{len(names)} matches"
    finder.locator(".matches button").last.click()
    assert finder.locator("h3").inner_text() == names[-1]
    assert finder.locator(".matches button[aria-pressed=true] bdi").all_inner_texts() == names[-1:]
    assert "similar items" in finder.locator("h4").inner_text().lower()
    finder.locator("input").fill("t")
    assert finder.locator(".matches button").count() == 10
    assert "; the first 10 are:" in finder.locator("[role=status]").inner_text()
    assert visit.said == []
    visit.page.close()


def test_a_tooltip_shows_texts_of_others_as_text(browser: Browser, tmp_path: Path) -> None:
    run(fabricate(tmp_path), sys.executable, "-m", "stages.report", PYTHONPATH=str(ROOT))
    visit = Visit(browser, tmp_path / REPORT, SIZES[0], "light")
    page = visit.page
    page.locator("#comparison-ndcg .plot .mark-symbol path").last.hover()
    tooltip = page.locator("#vg-tooltip-element")
    tooltip.wait_for(state="visible")
    assert "<img src=x" in tooltip.inner_text()
    assert tooltip.locator("img").count() == 0
    assert visit.said == []
    page.close()
