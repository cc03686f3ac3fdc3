"""The settings that were tried for the baselines."""

from stages.report import charts, wording
from stages.report.blocks import Details, Figure, Note, Section, Table
from stages.report.inputs import Inputs, rows_of
from stages.report.wording import counted, decimal, metric_label, model_label
from towerline.artifacts.names import MODEL


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
    table = Table(["baseline", "trial", "settings", "metric", "", "on validation"], rows, text_columns=5)
    text = (
        f"Settings of the baselines were chosen on the validation set. Those of {model_label(MODEL)} are the ones of "
        "params.yaml; how many others were tried is not recorded."
    )
    figure = Figure(
        "trials",
        title,
        f"{counted(len(ranking), 'trial')}; the chosen ones are filled: {wording.listed(chosen or ['none'])}.",
        charts.trials(values, list(dict.fromkeys(ranking["label"])), title),
        table,
    )
    return Section("tuning", "Tuning", [Note(text), Details(counted(len(trials), "trial"), [figure])])
