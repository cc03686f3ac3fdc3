"""Sections about the model by group: item types, user activity, popularity of items."""

from collections.abc import Sequence

from stages.report import charts, wording
from stages.report.blocks import Figure, Grid, Legend, Note, Section, Table
from stages.report.inputs import EVERYTHING, WITHIN_TYPE, Inputs, MetricRow
from stages.report.quality_sections import (
    HEADLINE_METRICS,
    METRIC_HEADER,
    chart_value,
    headline_cutoff,
    metric_cells,
    model_labels,
)
from stages.report.wording import MODEL, decimal, metric_label, model_label


def type_section(data: Inputs) -> Section | None:
    """By item type, among everything and among the type's own items; None where all items are of one type."""
    rows = [row for row in data.metrics if row.group.startswith("item_type=")]
    if data.items.num_types() < 2 or not rows:
        return None
    texts = {
        EVERYTHING: "among everything",
        WITHIN_TYPE: "among the items of the type",
    }
    figures = [
        figure
        for candidates, where in texts.items()
        for figure in _group_figures(
            data, [row for row in rows if row.candidates == candidates], f"type-{candidates}", where
        )
    ]
    text = (
        "Held-out items of one type at a time. Among everything, they compete with items of all types for the places "
        "shown; among the items of the type, only with their like."
    )
    return Section("types", "By item type", [Note(text), Legend(model_labels(data)), Grid(figures)])


def activity_section(data: Inputs) -> Section | None:
    """By how many items users have seen, the cold ones first; None where the table has no such groups."""
    rows = [row for row in data.metrics if row.group.startswith("activity=") or row.group == "cold_users"]
    rows = sorted((row for row in rows if row.candidates == EVERYTHING), key=lambda row: row.group != "cold_users")
    if not rows:
        return None
    text = (
        "The more a user has taken, the more the models know. A cold user has no train row, so "
        "that there is nothing to go by but what is popular."
    )
    figures = _group_figures(data, rows, "activity", "by the number of items seen")
    return Section("activity", "By user activity", [Note(text), Legend(model_labels(data)), Grid(figures)])


def popularity_section(data: Inputs) -> Section | None:
    """Recall by the popularity of the held-out items; None where the table has no such groups."""
    rows = [row for row in data.metrics if row.group.startswith("items=") and row.candidates == EVERYTHING]
    if not rows:
        return None
    text = "Most popular finds popular items only. What a model finds of the others is what it knows of taste."
    figures = _group_figures(data, rows, "popularity", "by the popularity of the held-out items")
    return Section("popularity", "Head, middle and tail", [Note(text), Legend(model_labels(data)), Grid(figures)])


def _group_label(group: str) -> str:
    if group == "cold_users":
        return "cold, no train row"
    kind, _, name = group.partition("=")
    return f"{name.replace('-', wording.MISSING)} items" if kind == "activity" else wording.shortened(name, 40)


def _group_figures(data: Inputs, rows: Sequence[MetricRow], name: str, where: str) -> list[Figure]:
    """A figure for each headline metric that the rows have, at the headline cutoff."""
    k = headline_cutoff(data.metrics)
    figures = []
    for metric in HEADLINE_METRICS:
        of_metric = [row for row in rows if (row.metric, row.k) == (metric, k)]
        if of_metric:
            figures.append(
                _group_figure(f"{name.replace('_', '-')}-{metric}", metric, where, of_metric, model_labels(data))
            )
    return figures


def _group_figure(name: str, metric: str, where: str, rows: Sequence[MetricRow], labels: Sequence[str]) -> Figure:
    title = f"{metric_label(metric)}@{rows[0].k}"
    names = list(dict.fromkeys(_group_label(row.group) for row in rows))
    own = [f"{decimal(row.mean)} ({_group_label(row.group)})" for row in rows if row.model == MODEL]
    values = [{**chart_value(row), "group": _group_label(row.group), "users": row.users} for row in rows]
    cells = [[_group_label(row.group), model_label(row.model), *metric_cells(row)] for row in rows]
    return Figure(
        name,
        f"{title} {where}",
        f"{model_label(MODEL)}: {wording.listed(own) if own else 'no rows'}.",
        charts.groups(values, names, labels, title),
        Table(["group", *METRIC_HEADER], cells, text_columns=2),
    )
