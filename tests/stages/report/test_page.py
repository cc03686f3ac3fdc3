"""The page as a whole: its sections, the same bytes twice, and texts of others, which stay text."""

import json
import re
import sys
from pathlib import Path

import pytest

from stages.report import __main__ as report
from stages.report.__main__ import REPORT
from stages.report.embedded import embedded_json
from tests.conftest import ROOT, run, set_params, write_rows
from tests.stages.report.fabricated import BARE, HOSTILE, Elements, fabricate, made
from towerline.artifacts.evaluate import DIFFERENCES_TABLE, RATINGS_TABLE


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
    for name in ("feedback", "features", "quality", "groups", "item-types", "exposure", "ratings", "item-map"):
        assert name in ids
    for name in (
        "examples",
        "tuning",
        "settings",
        "refused",
        "time",
        "curve-rating-loss",
        "within-type-recall",
        "cutoffs-hit-rate",
    ):
        assert name in ids


def test_what_the_data_lacks_is_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = Elements(made(tmp_path, monkeypatch, **BARE))
    absent = {"feedback", "features", "item-types", "ratings", "refused", "time", "curve-rating-loss", "items-by-type"}
    assert not absent & set(page.ids)
    assert {"sets", "item-map", "examples", "terms"} <= set(page.ids)
    assert "No row was refused." in page.texts


@pytest.mark.parametrize("titles", [True, False])
def test_an_item_without_a_title_goes_by_its_id(titles: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    texts = Elements(made(tmp_path, monkeypatch, titles=titles)).texts
    assert "item 8" in texts
    assert ("Title: item 9" if titles else "item 9") in texts


def test_large_counts_are_written_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    texts = Elements(made(tmp_path, monkeypatch, rows_read=12_345_678_901)).texts
    assert "12,345,678,901" in texts


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


def test_what_was_left_out_because_of_its_memory_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    left_out = [
        ["ease", str(trial), *[""] * 4, setting, "", "", "ndcg", "20", "", "False", "2.0"]
        for trial, setting in ((1, "200"), (2, "1000"))
    ]
    left_out.append(["most_popular", "2", *[""] * 4, "9", "", "", "ndcg", "20", "", "False", "1.1"])
    texts = " ".join(Elements(made(tmp_path, monkeypatch, left_out=tuple(left_out))).texts)
    caution = "EASE was not fitted: it would take 2 GB, and baselines.memory_limit is 1 GB."
    assert caution in texts[: texts.index("rows read")]
    assert "Left out for baselines.memory_limit: Most popular with regularization 9 (1.1 GB) and EASE (2 GB)." in texts
    assert "2 trials" in texts
    assert "regularization 200" not in texts


def test_differences_from_the_best_baseline_come_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(fabricate(tmp_path))
    rows = DIFFERENCES_TABLE.read_text(encoding="utf-8").splitlines()
    DIFFERENCES_TABLE.write_text("\n".join([rows[0], *reversed(rows[1:])]) + "\n", encoding="utf-8")
    report.main()
    texts = Elements(REPORT.read_text(encoding="utf-8")).texts
    header = texts.index("adjusted p")
    assert "Most popular" in texts[header : texts.index("NDCG@20", header)]


def test_the_bars_of_the_sets_are_in_the_order_of_their_use(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    html = made(tmp_path, monkeypatch, timestamps=False)
    assert '"sort":["train","validation","test"]' in html.replace(" ", "")


@pytest.mark.parametrize(
    ("below", "rule"),
    [(5.0, "Ratings below 5 are"), ("user_mean", "Ratings below the mean of the user's known ratings")],
)
def test_the_rule_of_dislikes_its_treatment_and_the_dislikes_shown_are_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, below: float | str, rule: str
) -> None:
    fabricate(tmp_path)
    set_params(tmp_path, {"dislikes.below": below})
    monkeypatch.chdir(tmp_path)
    report.main()
    texts = " ".join(" ".join(Elements(REPORT.read_text(encoding="utf-8")).texts).split())
    section = texts[texts.rindex("Dislikes and weights") :]
    for text in (rule, "test rows (", "are negatives in the loss", "share of dislikes shown", "Means over 9 users"):
        assert text in section
    assert "power of the weights" not in section, "all powers are the same"


def test_weights_alone_say_nothing_of_dislikes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    texts = " ".join(" ".join(Elements(made(tmp_path, monkeypatch)).texts).split())
    section = texts[texts.rindex("How the training rows count") :]
    assert "power of the weights" in section
    assert "dislike" not in section[: section.index("0.1200")]
