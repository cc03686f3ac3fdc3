"""The settings that were tried for the baselines."""

import re

import pandas as pd

from stages.report import charts, findings, wording
from stages.report.inputs import Inputs, rows_of
from stages.report.page_blocks import Details, Figure, Note, Section, Table
from stages.report.wording import counted, decimal, metric_label, model_label
from towerline.artifacts.names import MODEL

# A setting within the text of a trial: name and number.
_SETTING = re.compile(r"(\w+) (-?\d+(?:\.\d+)?(?:e[+-]?\d+)?)(?=,|$)")


def section(data: Inputs) -> Section | None:
    """All trials, those of the ranking baselines as a chart; None where there were none."""
    if not len(data.trials):
        return None
    trials = data.trials.assign(label=data.trials["baseline"].map(model_label), chosen=data.trials["chosen"] == "True")
    metric = str(trials["metric"].iloc[0])
    ranking = trials[trials["metric"] == metric]
    values = [
        {"name": row.label, "settings": wording.shortened(row.settings), "value": row.validation, "chosen": row.chosen}
        for row in rows_of(ranking)
    ]
    rows = [
        [
            row.label,
            row.trial,
            wording.shortened(row.settings),
            row.metric,
            "chosen" if row.chosen else "",
            decimal(row.validation),
        ]
        for row in rows_of(trials)
    ]
    name, _, cutoff = metric.partition("@")
    title = f"{metric_label(name)}@{cutoff} on the validation set"
    chosen = [f"{row.label} {decimal(row.validation)}" for row in rows_of(ranking[ranking["chosen"]])]
    table = Table(["baseline", "trial", "settings", "metric", "", "on the validation set"], rows, text_columns=5)
    text = (
        f"Settings of the baselines were chosen on the validation set, and so were the epochs, temperatures and "
        f"popularity prior of {model_label(MODEL)} where params.yaml leaves them open. Its other settings are those of "
        "params.yaml; how many others were tried is not recorded."
    )
    figure = Figure(
        "trials",
        title,
        f"{counted(len(ranking), 'trial')}; the chosen ones are filled: {wording.listed(chosen or ['none'])}.",
        charts.trials(values, list(dict.fromkeys(ranking["label"])), title),
        table,
    )
    edges = findings.grid_edges(edge_settings(trials))
    notes = [Note(text) for text in (text, edges) if text]
    return Section("tuning", "Tuning", [*notes, Details(counted(len(trials), "trial"), [figure])])


def edge_settings(trials: pd.DataFrame) -> dict[str, list[str]]:
    """The chosen settings that are the smallest or the largest value tried.

    Args:
      trials: label, settings like `alpha 5, dimension 64`, and chosen.

    Returns:
      label -> settings, for each baseline with a parameter of which several values were tried.
    """
    edges: dict[str, list[str]] = {}
    for label, of_baseline in trials.groupby("label", sort=False):
        values: dict[str, set[float]] = {}
        for settings in of_baseline["settings"]:
            for name, value in _SETTING.findall(settings):
                values.setdefault(name, set()).add(float(value))
        several = {name: (min(tried), max(tried)) for name, tried in values.items() if len(tried) > 1}
        if several:
            edges[str(label)] = [
                f"{name} {value}"
                for settings in of_baseline.loc[of_baseline["chosen"], "settings"]
                for name, value in _SETTING.findall(settings)
                if float(value) in several.get(name, ())
            ]
    return edges
