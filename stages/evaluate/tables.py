"""The rows of the tables in reports/tables."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from stages.evaluate.data import Data
from stages.evaluate.evaluation import OVERALL, Evaluation
from stages.evaluate.exposure import exposure
from stages.evaluate.models import Models
from towerline.artifacts.evaluate import (
    CONSUMED,
    DIFFERENCES_TABLE,
    EXPOSURE_TABLE,
    METRICS_TABLE,
    RATINGS_TABLE,
    TEST_SET_TABLE,
    TUTORIAL_TABLE,
    CountRow,
    DifferenceRow,
    ExposureRow,
    MetricRow,
    RatingRow,
    TutorialRow,
)
from towerline.artifacts.names import MODEL
from towerline.metrics.ranking import Values
from towerline.metrics.uncertainty import bootstrap_interval, holm, paired_p_values
from towerline.pipeline import formats


class Tables(NamedTuple):
    """The rows of all tables, those of the model first."""

    metrics: list[MetricRow]
    differences: list[DifferenceRow]
    exposure: list[ExposureRow]
    ratings: list[RatingRow]
    counts: list[CountRow]
    tutorial: TutorialRow

    @classmethod
    def of(
        cls, models: Models, evaluations: dict[str, Evaluation], data: Data, cutoffs: list[int], samples: int, seed: int
    ) -> "Tables":
        """The tables of an evaluation.

        Args:
          models: the model and the baselines.
          evaluations: name -> metrics of the model or of a baseline.
          data: the data that they were measured on.
          cutoffs: the k of the metrics, ascending.
          samples, seed: of the bootstrap.
        """
        return cls(
            metric_rows(evaluations, samples, seed),
            difference_rows(evaluations, samples, seed),
            exposure_rows(evaluations, data, cutoffs),
            models.rating_rows(data.test),
            data.counts(),
            models.tutorial_row(data),
        )

    def write(self) -> None:
        """Writes the files in reports/tables."""
        formats.write_csv(METRICS_TABLE, MetricRow._fields, self.metrics)
        formats.write_csv(DIFFERENCES_TABLE, DifferenceRow._fields, self.differences)
        formats.write_csv(EXPOSURE_TABLE, ExposureRow._fields, self.exposure)
        formats.write_csv(RATINGS_TABLE, RatingRow._fields, self.ratings)
        formats.write_csv(TEST_SET_TABLE, CountRow._fields, self.counts)
        formats.write_csv(TUTORIAL_TABLE, TutorialRow._fields, [self.tutorial])


def metric_rows(evaluations: dict[str, Evaluation], samples: int, seed: int) -> list[MetricRow]:
    """The mean and interval of each metric in each slice, model by model."""
    rows: dict[str, list[MetricRow]] = {name: [] for name in evaluations}
    for group, of_model in evaluations[MODEL].values.items():
        columns = np.concatenate([_matrix(evaluation.values[group]) for evaluation in evaluations.values()], axis=1)
        interval = bootstrap_interval(columns, samples, seed)
        names = [(name, metric) for name in evaluations for metric in of_model]
        figures = np.stack([columns.mean(axis=0), *interval], axis=1).tolist()
        for (name, metric), (mean, low, high) in zip(names, figures, strict=True):
            rows[name].append(MetricRow(name, *group, *metric, len(columns), mean, low, high))
    return [row for of_name in rows.values() for row in of_name]


def difference_rows(evaluations: dict[str, Evaluation], samples: int, seed: int) -> list[DifferenceRow]:
    """The model's means minus those of each baseline, over all warm users; p values corrected over all rows."""
    model = _matrix(evaluations[MODEL].values[OVERALL])
    baselines = {name: _matrix(evaluation.values[OVERALL]) for name, evaluation in evaluations.items() if name != MODEL}
    if not baselines:
        return []
    columns = np.concatenate([model - baseline for baseline in baselines.values()], axis=1)
    p_values = paired_p_values(columns)
    names = [(name, metric) for name in baselines for metric in evaluations[MODEL].values[OVERALL]]
    interval = bootstrap_interval(columns, samples, seed)
    figures = np.stack([columns.mean(axis=0), *interval, p_values, holm(p_values)], axis=1).tolist()
    return [
        DifferenceRow(name, *metric, len(columns), *of_row)
        for (name, metric), of_row in zip(names, figures, strict=True)
    ]


def _matrix(values: Values) -> NDArray[np.float64]:
    """[users, metrics]."""
    return np.stack(list(values.values()), axis=1)


def exposure_rows(evaluations: dict[str, Evaluation], data: Data, cutoffs: list[int]) -> list[ExposureRow]:
    """The exposure of the items that each model shows up to each cutoff, and of the test items of warm users."""
    counts, num_users = data.item_counts(), data.num_known_users()
    rows = [
        ExposureRow(name, k, *exposure(evaluation.shown[:, :k], counts, num_users))
        for name, evaluation in evaluations.items()
        for k in cutoffs
    ]
    return [*rows, ExposureRow(CONSUMED, 0, *exposure(data.warm.relevant.items, counts, num_users))]
