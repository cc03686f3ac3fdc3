"""The settings that were tried for the baselines."""

import pandas as pd

from stages.report import charts, findings, wording
from stages.report.inputs import Inputs, rows_of
from stages.report.page_blocks import Block, Details, Figure, Note, Section, Table
from stages.report.wording import count, counted, decimal, metric_at, model_label
from towerline.artifacts.baselines import OF_FEEDBACK, SETTINGS, left_out_text, settings_text
from towerline.artifacts.names import MODEL


def section(data: Inputs) -> Section | None:
    """All trials, those of the ranking baselines as a chart, and what was left out; None where there was nothing."""
    if not len(data.trials):
        return None
    read = data.trials.assign(dislikes=data.trials["dislikes"].where(data.trials["dislikes"] != ""))
    trials = read.assign(
        label=read["baseline"].map(model_label),
        chosen=read["chosen"] == "True",
        settings=pd.concat([texts(of_baseline) for _, of_baseline in read.groupby("baseline")]),
    )
    tried = trials[trials["left_out_gb"].isna()]
    text = (
        f"Settings of the baselines were chosen on the validation set, and so were the epochs, temperatures and "
        f"popularity prior of {model_label(MODEL)} where params.yaml leaves them open. Its other settings are those of "
        "params.yaml; how many others were tried is not recorded."
    )
    edges = findings.grid_edges(edge_settings(tried))
    left_out = findings.settings_left_out(left_out_settings(trials))
    blocks: list[Block] = [Note(text)]
    # A setting is the largest of those tried only as long as larger ones are not left out, so both are one paragraph.
    limits = " ".join(filter(None, [edges, left_out]))
    if limits:
        blocks.append(Note(limits))
    if len(tried):
        blocks.append(Details(counted(len(tried), "trial"), [_figure(tried)]))
    return Section("tuning", "Tuning", blocks)


def _figure(tried: pd.DataFrame) -> Figure:
    """The trials of the first metric as a chart, and all of them as its table."""
    metric, cutoff = tried["metric"].iloc[0], tried["k"].iloc[0]
    ranking = tried[tried["metric"] == metric]
    values = [
        {"name": row.label, "settings": row.settings, "value": row.validation, "chosen": row.chosen}
        for row in rows_of(ranking)
    ]
    rows = [
        [
            row.label,
            count(int(row.trial)),
            row.settings,
            metric_at(row.metric, row.k),
            "chosen" if row.chosen else "",
            decimal(row.validation),
        ]
        for row in rows_of(tried)
    ]
    title = f"{metric_at(metric, cutoff)} on the validation set"
    chosen = [f"{row.label} {decimal(row.validation)}" for row in rows_of(ranking[ranking["chosen"]])]
    return Figure(
        "trials",
        title,
        f"{counted(len(ranking), 'trial')}; the chosen ones are filled: {wording.listed(chosen or ['none'])}.",
        charts.trials(values, list(dict.fromkeys(ranking["label"])), title),
        Table(["baseline", "trial", "settings", "metric", "", "on the validation set"], rows, text_columns=5),
    )


def left_out_settings(trials: pd.DataFrame) -> list[str]:
    """The settings that were left out because of their memory, in a text for each baseline.

    Args:
      trials: label, settings as text, and left_out_gb.
    """
    left_out = []
    for label, of_baseline in trials.groupby("label", sort=False):
        rows = of_baseline[of_baseline["left_out_gb"].notna()]
        if len(rows):
            settings = rows["settings"].tolist() if len(rows) < len(of_baseline) else []
            left_out.append(left_out_text(str(label), settings, float(rows["left_out_gb"].max())))
    return left_out


def tried_settings(trials: pd.DataFrame) -> list[str]:
    """The names of SETTINGS that have a value in some of the trials of a baseline."""
    return [name for name in SETTINGS if trials[name].notna().any()]


def texts(trials: pd.DataFrame) -> pd.Series:
    """The settings of each trial of one baseline in one line."""
    settings = trials[tried_settings(trials)].astype(object).where(trials.notna(), None)
    return pd.Series([settings_text(row._asdict()) for row in rows_of(settings)], trials.index, dtype=object)


def edge_settings(trials: pd.DataFrame) -> dict[str, list[str]]:
    """The chosen settings that are the smallest or the largest value tried, those of OF_FEEDBACK aside.

    Args:
      trials: label, SETTINGS as numbers or NaN, and chosen.

    Returns:
      label -> settings, for each baseline with a setting of which several values were tried.
    """
    edges: dict[str, list[str]] = {}
    for label, of_baseline in trials.groupby("label", sort=False):
        several = [
            name for name in tried_settings(of_baseline) if name not in OF_FEEDBACK and of_baseline[name].nunique() > 1
        ]
        if several:
            chosen = of_baseline[of_baseline["chosen"]]
            edges[str(label)] = [
                settings_text({name: value})
                for name in several
                for value in chosen[name]
                if value in (of_baseline[name].min(), of_baseline[name].max())
            ]
    return edges
