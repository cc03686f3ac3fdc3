"""Paths of the fitted baselines and of the table of the settings that were tried."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

BASELINES = Path("models/baselines")
BASELINES_TABLE = Path("reports/tables/baselines.csv")

# A setting of a baseline -> its text; None is the text of a setting that has no value.
SETTINGS: dict[str, tuple[str, str | None]] = {
    "half_life_days": ("half-life {:.4g} d", "no half-life"),
    "neighbours": ("neighbours {:g}", None),
    "dimension": ("dimension {:g}", None),
    "alpha": ("alpha {:g}", None),
    "regularization": ("regularization {:g}", None),
    "dislikes": ("dislikes {}", None),
    "weight_exponent": ("weights to the power of {:g}", None),
}
# Those of SETTINGS that say how the rows count; all values that make sense are tried.
OF_FEEDBACK = ("dislikes", "weight_exponent")

# Names of SETTINGS -> values; those that the baseline has.
Settings = Mapping[str, float | str | None]


class TrialRow(NamedTuple):
    """A baseline with one of its settings; a setting that the baseline does not have, or that has no value, is None.

    Attributes:
      baseline: its name.
      trial: number among those of the baseline, from 1.
      half_life_days: of popularity; None is the popularity of all times.
      neighbours: of item-kNN.
      dimension, alpha: of iALS.
      regularization: of EASE, iALS, or the rating biases.
      dislikes: counted or left_out, where there are dislikes.
      weight_exponent: power of the rows' weights, where rows have different weights.
      metric: on the validation set, ndcg or rmse.
      k: cutoff of the metric; None for rmse.
      validation: value of the metric; None if the validation set is empty.
      chosen: true for the best setting.
      left_out_gb: memory in GB of a setting that was left out because of baselines.memory_limit; None if it was tried.
    """

    baseline: str
    trial: int
    half_life_days: float | None
    neighbours: float | None
    dimension: float | None
    alpha: float | None
    regularization: float | None
    dislikes: str | None
    weight_exponent: float | None
    metric: str
    k: int | None
    validation: float | None
    chosen: bool
    left_out_gb: float | None


def trial_row(
    baseline: str,
    trial: int,
    settings: Settings,
    metric: str,
    k: int | None,
    validation: float | None,
    chosen: bool,
    left_out_gb: float | None = None,
) -> TrialRow:
    """The row of a trial with the given settings; other arguments as the attributes of TrialRow."""
    values: dict[str, Any] = {name: settings.get(name) for name in SETTINGS}
    return TrialRow(
        baseline=baseline,
        trial=trial,
        **values,
        metric=metric,
        k=k,
        validation=validation,
        chosen=chosen,
        left_out_gb=left_out_gb,
    )


def left_out_text(name: str, settings: Sequence[str], gigabytes: float) -> str:
    """A baseline that was left out, or some of its settings: "ease (2 GB)", "item_knn with neighbours 1000 (1.1 GB)".

    Args:
      name: of the baseline.
      settings: texts of those that were left out; empty if the whole baseline was.
      gigabytes: memory of the setting that takes the most.
    """
    which = f" with {' or '.join(settings)}" if settings else ""
    return f"{name}{which} ({memory_text(gigabytes)})"


def memory_text(gigabytes: float) -> str:
    """The memory with three digits, or as a whole number."""
    return f"{gigabytes:.3g} GB" if gigabytes < 999.5 else f"{gigabytes:,.0f} GB"


def settings_text(settings: Settings) -> str:
    """The settings in one line, such as "dimension 64, alpha 5, regularization 40"."""
    texts = []
    for name, value in settings.items():
        text, none = SETTINGS[name]
        if value is not None:
            texts.append(text.format(value).replace("_", " "))
        elif none is not None:
            texts.append(none)
    return ", ".join(texts)
