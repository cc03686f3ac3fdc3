"""The quality of the ranking: all models at the main cutoff and over k, and paired differences."""

from collections.abc import Sequence
from typing import Any

import pandas as pd

from stages.report import charts, findings, wording
from stages.report.findings import SIGNIFICANCE
from stages.report.inputs import Inputs, rows_of
from stages.report.page_blocks import Block, Choice, Details, Figure, Grid, Legend, Note, Section, Table
from stages.report.sections.summary import HEADLINE_METRICS, test_users
from stages.report.wording import count, counted, decimal, metric_at, metric_label, model_label
from towerline.artifacts.evaluate import COLD_USERS
from towerline.artifacts.names import MODEL, RANDOM

METRIC_HEADER = ["model", "users", "mean", "95% from", "to"]


def charted_labels(data: Inputs) -> list[str]:
    """The labels of the models in charts, in the order of their colours: the model first, then the baselines.

    The random order is in the tables only: its values near 0 would stretch all axes.
    """
    names = dict.fromkeys([MODEL, *data.metrics["model"]])
    return [model_label(name) for name in names if name != RANDOM]


def section(data: Inputs) -> Section:
    k, labels = data.cutoff(), charted_labels(data)
    overall = data.overall()
    at_cutoff = overall[overall["k"] == k]
    metrics = list(dict.fromkeys([*HEADLINE_METRICS, *overall["metric"]]))
    by_metric = [(metric_label(metric), overall[overall["metric"] == metric]) for metric in metrics]
    comparison = [
        (f"{title}@{k}", _interval_figure(f"{title}@{k}", rows[rows["k"] == k], labels))
        for title, rows in by_metric
        if len(rows[rows["k"] == k])
    ]
    over_k = [(f"{title}@k", _cutoff_figure(title, rows, labels)) for title, rows in by_metric if len(rows)]
    blocks: list[Block] = [
        Note(_users(data)),
        Legend(labels),
        Grid([Choice("comparison", "Models by", comparison), Choice("cutoffs", "Over k by", over_k)]),
    ]
    if RANDOM in set(at_cutoff["model"]):
        blocks.append(Note(f"{model_label(RANDOM)} is in the tables only."))
    return Section("quality", "Quality", [*blocks, *_differences(data)])


def _users(data: Inputs) -> str:
    """The number of users in the means, and the number of cold users, who are not in them."""
    text = (
        f"Means over {counted(test_users(data), 'user')} with test items; every model ranks the whole catalogue "
        "without the user's seen items."
    )
    if data.settings["evaluate"]["repeat_consumption"]:
        text = f"Means over {counted(test_users(data), 'user')} with test items; every model ranks the whole catalogue."
    cold = data.metrics.loc[data.metrics["by"] == COLD_USERS, "users"]
    if len(cold):
        text += f" {counted(int(cold.max()), 'cold user')} without a known row are left out here; see Groups."
    sample = findings.sample_caution(*data.drawn_users())
    return f"{text} {sample}" if sample is not None else text


def chart_values(rows: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows of metrics as data of a chart."""
    return [
        {"series": model_label(row.model), "value": row.mean, "low": row.low, "high": row.high, "k": int(row.k)}
        for row in rows_of(rows[rows["model"] != RANDOM])
    ]


def metric_cells(row: Any) -> list[str]:
    return [count(int(row.users)), decimal(row.mean), decimal(row.low), decimal(row.high)]


def labelled(rows: pd.DataFrame) -> list[tuple[str, float]]:
    return [(model_label(row.model), row.mean) for row in rows_of(rows)]


def _interval_figure(title: str, rows: pd.DataFrame, labels: Sequence[str]) -> Figure:
    down = rows.sort_values("mean", ascending=False, kind="stable")
    values = chart_values(down)
    return Figure(
        f"comparison-{title.partition('@')[0].lower().replace(' ', '-')}",
        f"{title} with 95% intervals",
        f"{findings.best(labelled(rows))}.",
        charts.intervals(values, [value["series"] for value in values], labels, title),
        Table(METRIC_HEADER, [[model_label(row.model), *metric_cells(row)] for row in rows_of(down)]),
    )


def _cutoff_figure(metric: str, rows: pd.DataFrame, labels: Sequence[str]) -> Figure:
    largest = rows[rows["k"] == rows["k"].max()]
    return Figure(
        f"cutoffs-{metric.lower().replace(' ', '-')}",
        f"{metric}@k with 95% intervals",
        f"{findings.best(labelled(largest))} at k = {int(rows['k'].max())}.",
        charts.over_cutoffs(chart_values(rows), labels, f"{metric}@k"),
        Table(
            ["model", "k", *METRIC_HEADER[1:]],
            [[model_label(row.model), str(int(row.k)), *metric_cells(row)] for row in rows_of(rows)],
        ),
    )


def _differences(data: Inputs) -> list[Block]:
    """The headline metrics at the main cutoff, the others folded; the differences from the best baseline come first."""
    if not len(data.differences):
        return []
    k, places = data.cutoff(), {name: place for place, name in enumerate(data.best_baselines())}
    differences = data.differences.sort_values("baseline", key=lambda names: names.map(places), kind="stable")
    main = (differences["k"] == k) & differences["metric"].isin(HEADLINE_METRICS)
    text = (
        f"{model_label(MODEL)} minus each baseline, over the same users. A difference is established where its "
        f"interval excludes 0 and its adjusted p is below {SIGNIFICANCE}."
    )
    blocks: list[Block] = [Note(text), _differences_table(differences[main])]
    others = differences[~main]
    if len(others):
        summary = f"{counted(len(others), 'difference')} by other metrics and at other cutoffs"
        blocks.append(Details(summary, [_differences_table(others)]))
    return blocks


def _differences_table(differences: pd.DataFrame) -> Table:
    rows = [
        [
            model_label(row.baseline),
            metric_at(row.metric, row.k),
            count(int(row.users)),
            wording.signed(row.difference),
            wording.signed(row.low),
            wording.signed(row.high),
            wording.p_cell(row.p_value),
            wording.p_cell(row.p_adjusted),
        ]
        for row in rows_of(differences)
    ]
    header = ["baseline", "metric", "users", "difference", "95% from", "to", "p", "adjusted p"]
    return Table(header, rows, text_columns=2)
