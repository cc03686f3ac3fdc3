"""The quality by group: user activity, popularity of the test items, item type; new items and cold users."""

import pandas as pd

from stages.report import charts, findings, wording
from stages.report.findings import FEW_USERS
from stages.report.inputs import Inputs, rows_of
from stages.report.page_blocks import Block, Choice, Details, Figure, Grid, Legend, Note, Section, Table
from stages.report.sections import cold
from stages.report.sections.quality import METRIC_HEADER, chart_values, charted_labels, metric_cells
from stages.report.sections.summary import HEADLINE_METRICS
from stages.report.wording import counted, metric_at, model_label
from towerline.artifacts.evaluate import ACTIVITY, COLD_USERS, EVERYTHING, ITEM_TYPE, ITEMS, WITHIN_TYPE
from towerline.artifacts.names import MODEL

# Maximum number of types in a chart.
MOST_TYPES = 8
KINDS = {
    "activity": "User activity: items of the user in the training and validation set",
    "popularity": "Popularity of the test items: head, middle and tail of the catalogue",
    EVERYTHING: "Type of the test item, among all items",
    WITHIN_TYPE: "Type of the test item, among the items of the type",
}


def section(data: Inputs) -> Section | None:
    """All groups at the main cutoff; None where the metrics have no groups."""
    rows = data.metrics[(data.metrics["k"] == data.cutoff()) & data.metrics["metric"].isin(HEADLINE_METRICS)]
    everything = rows[rows["candidates"] == EVERYTHING]
    types = rows[rows["by"] == ITEM_TYPE] if data.items.num_types() > 1 else rows[:0]
    kinds = {
        # Cold users first: they have the least activity.
        "activity": pd.concat([everything[everything["by"] == by] for by in (COLD_USERS, ACTIVITY)]),
        "popularity": everything[everything["by"] == ITEMS],
        **{name: _by_users(types[types["candidates"] == name]) for name in (EVERYTHING, WITHIN_TYPE)},
    }
    choices, folded = [], []
    for name, of_kind in kinds.items():
        small = _small_types(of_kind) if name in (EVERYTHING, WITHIN_TYPE) else set()
        choices += _choice(data, name, of_kind[~of_kind["value"].isin(small)])
        folded += _choice(data, f"{name}-small", of_kind[of_kind["value"].isin(small)])
    if not choices:
        return None
    blocks: list[Block] = [Legend(charted_labels(data)), Grid(choices)]
    if folded:
        number = len(_small_types(kinds[EVERYTHING]) | _small_types(kinds[WITHIN_TYPE]))
        text = f"Types with fewer than {FEW_USERS} users, and those after the first {MOST_TYPES} by users."
        blocks.append(Details(counted(number, "smaller type"), [Note(text), Grid(folded)]))
    return Section("groups", "Groups", [*blocks, *cold.blocks(data)])


def _by_users(rows: pd.DataFrame) -> pd.DataFrame:
    """The groups with the most users first."""
    users = rows.groupby("value")["users"].max()
    order = {value: (-users[value], value) for value in users.index}
    return rows.sort_values("value", key=lambda values: values.map(order), kind="stable")


def _small_types(rows: pd.DataFrame) -> set[str]:
    """The types with few users and those after the largest ones, but never all."""
    users = rows.drop_duplicates("value").set_index("value")["users"]
    large = [str(name) for name in users.index[users >= FEW_USERS]] or [str(name) for name in users.index]
    return {str(name) for name in users.index} - set(large[:MOST_TYPES])


def _choice(data: Inputs, name: str, rows: pd.DataFrame) -> list[Choice]:
    """A choice of the metrics that the rows have; none where there are no rows."""
    figures = [
        (metric_at(metric, data.cutoff()), _figure(name, metric, rows[rows["metric"] == metric], data))
        for metric in HEADLINE_METRICS
        if (rows["metric"] == metric).any()
    ]
    return [Choice(f"group-{name.replace('_', '-')}", KINDS[name.removesuffix("-small")], figures)] if figures else []


def _figure(name: str, metric: str, rows: pd.DataFrame, data: Inputs) -> Figure:
    title = metric_at(metric, data.cutoff())
    labels = [_label(row.by, row.value) for row in rows_of(rows)]
    shown = rows.assign(label=labels)
    own = [(row.label, row.mean) for row in rows_of(shown[shown["model"] == MODEL])]
    charted = shown[shown["model"].map(model_label).isin(charted_labels(data))]
    values = [
        {**value, "group": row.label, "users": int(row.users)}
        for value, row in zip(chart_values(charted), rows_of(charted), strict=True)
    ]
    cells = [[row.label, model_label(row.model), *metric_cells(row)] for row in rows_of(shown)]
    return Figure(
        f"{name.replace('_', '-')}-{metric}",
        title,
        findings.extremes(f"{title} of {model_label(MODEL)}", own),
        charts.groups(values, list(dict.fromkeys(labels)), charted_labels(data), title),
        Table(["group", *METRIC_HEADER], cells, text_columns=2),
    )


def _label(by: str, value: str) -> str:
    if by == COLD_USERS:
        return "no known row"
    return f"{value.replace('-', wording.MISSING)} items" if by == ACTIVITY else wording.shortened(value, 40)
