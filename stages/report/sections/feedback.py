"""Dislikes and weights of rows: the rule that holds, how the rows count, and how many dislikes are shown."""

import pandas as pd

from stages.report.inputs import Inputs, rows_of
from stages.report.page_blocks import Block, Note, Section, Table
from stages.report.wording import counted, decimal, metric_at, model_label
from towerline.artifacts.evaluate import DISLIKED
from towerline.feedback.params import USER_MEAN, Below

TREATMENTS = {"counted": "count as likes", "left_out": "are left out", "negatives": "are negatives in the loss"}


def section(data: Inputs) -> Section | None:
    """The rule, the ways of counting that were tried, and the recall of dislikes; None without dislikes and weights."""
    below = data.settings["dislikes"]["below"]
    if below is None and not len(data.feedback):
        return None
    blocks: list[Block] = []
    if below is not None:
        blocks.append(Note(_rule(below)))
    if len(data.feedback):
        blocks += [Note(_choice(data.feedback)), _trials(data.feedback)]
    dislikes = data.metrics[(data.metrics["by"] == DISLIKED) & (data.metrics["k"] == data.cutoff())]
    if len(dislikes):
        blocks += [Note(_of_dislikes(int(dislikes["users"].max()), data.cutoff())), _shown(dislikes)]
    return Section("feedback", "Dislikes and weights", blocks)


def _rule(below: Below) -> str:
    least = "the mean of the user's known ratings" if below == USER_MEAN else f"{below:g}"
    return (
        f"Ratings below {least} are dislikes (dislikes.below). In the validation and the test set dislikes are not "
        "relevant: all metrics of this page count the other rows alone, except for those of ratings. Items that a user "
        "is known to dislike are not shown again."
    )


def _choice(trials: pd.DataFrame) -> str:
    k = int(trials["k"].iloc[0])
    return (
        f"How the training rows count was chosen by NDCG@{k} on the validation set: of the ways whose NDCG is not "
        "measurably lower than the best, the one that is furthest up in this table. The upper ones show fewer dislikes."
    )


def _trials(trials: pd.DataFrame) -> Table:
    cells = [
        [
            TREATMENTS[row.dislikes],
            f"{row.weight_exponent:g}",
            "chosen" if row.chosen == "True" else "",
            decimal(row.ndcg),
        ]
        for row in rows_of(trials)
    ]
    header = ["dislikes", "power of the weights", "", metric_at("ndcg", trials["k"].iloc[0])]
    return Table(header, cells, text_columns=3)


def _of_dislikes(users: int, k: int) -> str:
    return (
        f"Of the test items that a user dislikes, the share that is among the first {k}; lower is better. Means over "
        f"{counted(users, 'user')} with such items. A model that shows nothing of what users choose has a low share "
        "too: read it beside recall."
    )


def _shown(dislikes: pd.DataFrame) -> Table:
    down = dislikes.sort_values("mean", kind="stable")
    cells = [[model_label(row.model), decimal(row.mean), decimal(row.low), decimal(row.high)] for row in rows_of(down)]
    return Table(["model", "share of dislikes shown", "95% interval from", "to"], cells)
