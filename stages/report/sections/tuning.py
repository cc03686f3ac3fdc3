"""The settings that were tried for the baselines."""

import pandas as pd

from stages.report import charts, findings, wording
from stages.report.inputs import Inputs, rows_of
from stages.report.page_blocks import Details, Figure, Note, Section, Table
from stages.report.wording import counted, decimal, metric_at, model_label
from towerline.artifacts.baselines import SETTINGS, settings_text
from towerline.artifacts.names import MODEL


def section(data: Inputs) -> Section | None:
    """All trials, those of the ranking baselines as a chart; None where there were none."""
    if not len(data.trials):
        return None
    trials = data.trials.assign(
        label=data.trials["baseline"].map(model_label),
        chosen=data.trials["chosen"] == "True",
        settings=pd.concat([texts(of_baseline) for _, of_baseline in data.trials.groupby("baseline")]),
    )
    metric, cutoff = trials["metric"].iloc[0], trials["k"].iloc[0]
    ranking = trials[trials["metric"] == metric]
    values = [
        {"name": row.label, "settings": row.settings, "value": row.validation, "chosen": row.chosen}
        for row in rows_of(ranking)
    ]
    rows = [
        [
            row.label,
            row.trial,
            row.settings,
            metric_at(row.metric, row.k),
            "chosen" if row.chosen else "",
            decimal(row.validation),
        ]
        for row in rows_of(trials)
    ]
    title = f"{metric_at(metric, cutoff)} on the validation set"
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


def tried_settings(trials: pd.DataFrame) -> list[str]:
    """The names of SETTINGS that have a value in some of the trials of a baseline."""
    return [name for name in SETTINGS if trials[name].notna().any()]


def texts(trials: pd.DataFrame) -> pd.Series:
    """The settings of each trial of one baseline in one line."""
    settings = trials[tried_settings(trials)].astype(object).where(trials.notna(), None)
    return pd.Series([settings_text(row._asdict()) for row in rows_of(settings)], trials.index, dtype=object)


def edge_settings(trials: pd.DataFrame) -> dict[str, list[str]]:
    """The chosen settings that are the smallest or the largest value tried.

    Args:
      trials: label, SETTINGS as numbers or NaN, and chosen.

    Returns:
      label -> settings, for each baseline with a setting of which several values were tried.
    """
    edges: dict[str, list[str]] = {}
    for label, of_baseline in trials.groupby("label", sort=False):
        several = [name for name in tried_settings(of_baseline) if of_baseline[name].nunique() > 1]
        if several:
            chosen = of_baseline[of_baseline["chosen"]]
            edges[str(label)] = [
                settings_text({name: value})
                for name in several
                for value in chosen[name]
                if value in (of_baseline[name].min(), of_baseline[name].max())
            ]
    return edges
