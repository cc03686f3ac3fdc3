"""The sentences of the page: they say what the figures say, and no more."""

import numpy as np
import pandas as pd
import pytest

from stages.report import findings
from stages.report.findings import Comparison
from stages.report.sections import tuning
from towerline.artifacts.baselines import SETTINGS

NAN = float("nan")
BETTER = Comparison("NDCG@20", 0.16, 0.15, ["EASE"], 0.002, 0.008, 0.028, 90)
WORSE = Comparison("Recall@20", 0.15, 0.16, ["EASE"], -0.008, -0.002, 0.028, 90)
UNCLEAR = Comparison("Recall@20", 0.151, 0.15, ["EASE"], -0.001, 0.003, 0.3, 90)


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
    assert disagreeing.endswith(
        "The interval, which is for this comparison alone, excludes 0; after correction for 90 comparisons p is 0.200, "
        "so the difference is not established."
    )
    assert " excludes 0; " in findings.comparison_sentence(WORSE._replace(p_adjusted=0.2))
    assert findings.comparison_sentence(BETTER._replace(low=-0.001)).endswith(
        "includes 0, although p is below 0.05 after correction for 90 comparisons: the difference is not established."
    )
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
    assert str(findings.split_caution("cold_users", NAN)).startswith("The test rows are all rows of users drawn at ")
    assert str(findings.split_caution("cold_type", 0.4)).startswith("40.0% of the test rows are older")
    assert findings.head_caution(0.3, 0.8) is None
    assert findings.head_caution(0.30004, 0.3) is None
    assert "80.0% of the items shown, but 30.0%" in str(findings.head_caution(0.8, 0.3))
    assert findings.tail_caution("Recall@20", 0.1, 0.2) is None
    assert (
        findings.tail_caution("Recall@20", 0.7, 0.01) == "Recall@20 of tail items is 0.0100, that of head items 0.7000."
    )
    assert findings.coverage_caution(0.2, 0.1, "EASE") is None
    assert "17.9% of the catalogue to some user, EASE 19.9%" in str(findings.coverage_caution(0.179, 0.199, "EASE"))


def test_what_is_held_out_is_said_where_it_is_more_than_rows() -> None:
    assert findings.held_out("random", None) is None
    assert "new and known items." in str(findings.held_out("cold_items", None))
    assert str(findings.held_out("cold_type", "music")).startswith("Held out are the rows of the type “music” of some")
