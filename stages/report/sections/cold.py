"""The quality for new items and for cold users: what the models do without known rows."""

from typing import NamedTuple

import pandas as pd

from stages.report.inputs import Inputs
from stages.report.page_blocks import Block, Note, Table
from stages.report.wording import counted, decimal, metric_at, model_label
from towerline.artifacts.evaluate import ALL, COLD_ITEMS, COLD_USERS, EVERYTHING, ITEMS, NEW_ITEMS


class Group(NamedTuple):
    """Rows of the metrics without known rows of the items or of the users.

    Attributes:
      title: the beginning of the titles of its columns.
      candidates, by, value: as in towerline.artifacts.evaluate.MetricRow.
      metrics: the metrics that the rows have.
    """

    title: str
    candidates: str
    by: str
    value: str
    metrics: tuple[str, ...]

    def rows(self, data: Inputs) -> pd.DataFrame:
        """Its metrics at the main cutoff."""
        table = data.metrics[data.metrics["k"] == data.cutoff()]
        group = (table["candidates"] == self.candidates) & (table["by"] == self.by) & (table["value"] == self.value)
        return table[group]


AMONG_ALL = Group("new items among all", EVERYTHING, ITEMS, COLD_ITEMS, ("recall",))
ALONE = Group("new items alone", NEW_ITEMS, ALL, "", ("recall", "ndcg"))
USERS = Group("cold users", EVERYTHING, COLD_USERS, "", ("recall", "ndcg"))


def blocks(data: Inputs) -> list[Block]:
    """Notes on the groups, and a table with a row for each model; nothing if no group has rows."""
    shown = {group: rows for group in (AMONG_ALL, ALONE, USERS) if len(rows := group.rows(data))}
    texts = []
    if ALONE in shown:
        texts.append(_of_new_items(int(shown[ALONE]["users"].max()), data.cutoff()))
    if USERS in shown:
        users = counted(int(shown[USERS]["users"].max()), "cold user")
        texts.append(f"The columns of cold users are means over {users} without known rows.")
    if not shown:
        return []
    columns = {
        f"{group.title}: {metric_at(metric, data.cutoff())}": rows[rows["metric"] == metric].set_index("model")["mean"]
        for group, rows in shown.items()
        for metric in group.metrics
    }
    cells = [
        [model_label(name), *(decimal(means.get(name, float("nan"))) for means in columns.values())]
        for name in dict.fromkeys(data.metrics["model"])
    ]
    return [*map(Note, texts), Table(["model", *columns], cells)]


def _of_new_items(users: int, k: int) -> str:
    return (
        f"New items have no known row. {counted(users, 'user')} with known rows have new items in the test set. Among "
        f"all: the share of these that is among the first {k} of the whole catalogue. Alone: the same where only items "
        "without known rows are ranked. Each of them is there because somebody has a row of it, while an application "
        "also has new items that nobody wants: there, the figures would be lower. They only compare models."
    )
