"""The main figures: reports/metrics.json and the table on the terminal."""

from stages.evaluate.summary import Summary
from stages.evaluate.tables import Tables
from towerline.artifacts.evaluate import (
    ALL,
    COLD_USERS,
    EVERYTHING,
    CountRow,
    DifferenceRow,
    ExposureRow,
    MetricRow,
    RatingRow,
    TutorialRow,
)
from towerline.artifacts.names import MODEL, main_cutoff


def test_the_main_cutoff_is_the_largest_up_to_20_or_else_the_smallest() -> None:
    assert [main_cutoff(cutoffs) for cutoffs in ([5, 10, 20, 50], [50, 10, 5], [100, 50])] == [20, 10, 50]


DISLIKES = [CountRow("test_rows", 99), CountRow("disliked_test_rows", 0)]


def tables_of(means: dict[str, float], rmse: dict[str, float]) -> Tables:
    """Tables of the two cutoffs 10 and 100 with these means of all metrics, and the differences from the first."""
    first, *others = means
    cutoffs = (10, 100)
    return Tables(
        [
            MetricRow(name, EVERYTHING, by, "", metric, k, 9, mean + (k > 10) + (by != ALL), 0.0, 1.0)
            for name, mean in means.items()
            for by in (ALL, COLD_USERS)
            for metric in ("recall", "ndcg", "mrr")
            for k in cutoffs
        ],
        [
            DifferenceRow(name, metric, k, 9, means[first] - means[name], -0.5, 0.5, 0.25, 1.0)
            for name in others
            for metric in ("recall", "ndcg", "mrr")
            for k in cutoffs
        ],
        [ExposureRow(name, k, mean / 2, *[0.0] * 6) for name, mean in means.items() for k in cutoffs],
        [RatingRow(name, error, 0.0) for name, error in rmse.items()],
        [
            CountRow(*row)
            for row in (("users_ranked", 9), ("cold_users", 1), ("test_rows", 99), ("disliked_test_rows", 0))
        ],
        TutorialRow(first, "top_100_categorical_accuracy", 99, 0.5),
    )


def test_the_summary_has_the_lead_on_the_best_baseline_and_few_numbers() -> None:
    # Numbers that floats hold exactly.
    means = {MODEL: 0.5, "random": 0.0, "ease": 0.375, "ials": 0.25}
    summary = Summary.of(tables_of(means, {MODEL: 1.5, "global_mean": 2.0, "user_item_bias": 1.75}))
    assert summary.metrics() == {
        "recall@10": 0.5,
        "ndcg@10": 0.5,
        "coverage@10": 0.25,
        "rmse": 1.5,
        "lead": {"ndcg@10": 0.125, "p": 1.0},
        "random": {"recall@10": 0.0, "ndcg@10": 0.0, "coverage@10": 0.0},
        "ease": {"recall@10": 0.375, "ndcg@10": 0.375, "coverage@10": 0.1875},
        "ials": {"recall@10": 0.25, "ndcg@10": 0.25, "coverage@10": 0.125},
        "user_item_bias": {"rmse": 1.75},
        "counts": {"users_ranked": 9, "cold_users": 1},
    }
    text = summary.text(later=False).splitlines()
    assert text[0] == "9 users ranked, 1 cold"
    assert text[1].split() == ["recall@10", "NDCG@10", "coverage@10", "RMSE"]
    assert text[2].split() == [MODEL, "0.5000", "0.5000", "0.2500", "1.5000"]
    assert [line.split()[0] for line in text[3:6]] == ["ease", "ials", "random"]
    assert text[-2].startswith("lead over ease, the best baseline: NDCG@10 +0.1250 (95 % interval -0.5000 to +0.5000")
    assert text[-1].startswith("caution: ")
    assert summary.text(later=True).splitlines() == text[:-1]
    drawn = summary._replace(counts={**summary.counts, "users_not_drawn": 12})
    assert drawn.text(later=True).startswith(
        "9 users ranked, 1 cold; 12 others with test rows were not drawn (evaluate."
    )
    assert "items of type film alone are ranked" in summary.text(later=True, only_type="film").splitlines()[0]


def test_the_summary_of_a_model_without_baselines_and_ratings_has_no_lead() -> None:
    summary = Summary.of(tables_of({MODEL: 0.4}, {}))
    assert set(summary.metrics()) == {"recall@10", "ndcg@10", "coverage@10", "counts"}
    assert "lead" not in summary.text(later=True)
