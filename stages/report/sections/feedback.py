"""Dislikes and weights of rows: the rule that holds, how the rows count, and how many dislikes are shown."""

from typing import Any

import pandas as pd

from stages.report.inputs import Inputs, rows_of
from stages.report.page_blocks import Block, Note, Section, Table
from stages.report.wording import count, counted, decimal, metric_at, model_label, percent
from towerline.artifacts.evaluate import DISLIKED
from towerline.feedback.params import USER_MEAN, shown
from towerline.feedback.strengths import TREATMENTS, disliked


def section(data: Inputs) -> Section | None:
    """The rule, the ways of counting that were tried, and the recall of dislikes; None without dislikes and weights."""
    with_dislikes = data.settings["dislikes"]["below"] is not None
    if not with_dislikes and not len(data.feedback):
        return None
    blocks: list[Block] = []
    if with_dislikes:
        blocks.append(Note(_rule(data)))
    if len(data.feedback):
        blocks += [Note(_choice(data.feedback, with_dislikes)), _trials(data.feedback, with_dislikes)]
    dislikes = data.metrics[(data.metrics["by"] == DISLIKED) & (data.metrics["k"] == data.cutoff())]
    if with_dislikes and len(dislikes):
        blocks += [Note(_of_dislikes(int(dislikes["users"].max()), data.cutoff())), _shown(dislikes)]
    return Section("feedback", "Dislikes and weights" if with_dislikes else "Weights", blocks)


def _rule(data: Inputs) -> str:
    below, test = data.settings["dislikes"]["below"], data.sets["test"]
    number = int(disliked(test, data.rows("train", "validation"), below).sum())
    least = "the mean of the user's known ratings" if below == USER_MEAN else shown(below)
    share = percent(number / max(1, len(test.user_index)))
    text = (
        f"Ratings below {least} are dislikes (dislikes.below): {count(number)} of the {count(len(test.user_index))} "
        f"test rows ({share}). In the validation and the test set they are not relevant: all metrics of this page but "
        "those of ratings count the other rows alone, and compare with those of no other rule."
    )
    if not data.settings["evaluate"]["repeat_consumption"]:
        text += " Items that a user is known to dislike are not shown again."
    return text


def _choice(trials: pd.DataFrame, with_dislikes: bool) -> str:
    k = int(trials["k"].iloc[0])
    if trials["ndcg"].isna().all():
        return "Without a validation set, nothing was chosen: the training rows count as this table says."
    why = (
        "dislikes that are negatives or left out are shown less often" if with_dislikes else "equal weights are simpler"
    )
    return (
        f"How the training rows count was chosen by NDCG@{k} on the validation set: of the ways whose NDCG is not "
        f"measurably lower than the best, the one that is furthest up in this table, since {why}."
    )


def _trials(trials: pd.DataFrame, with_dislikes: bool) -> Table:
    """A line for each way, with the columns in which the ways can differ."""
    with_weights = trials["weight_exponent"].nunique() > 1 or not with_dislikes
    header = [name for name, there in (("dislikes", with_dislikes), ("power of the weights", with_weights)) if there]

    def cells(row: Any) -> list[str]:
        ways = [TREATMENTS[row.dislikes]] if with_dislikes else []
        powers = [f"{row.weight_exponent:g}"] if with_weights else []
        ndcg = decimal(row.ndcg) if row.ndcg == row.ndcg else ""
        return [*ways, *powers, "chosen" if row.chosen == "True" else "", ndcg]

    columns = [*header, "", metric_at("ndcg", trials["k"].iloc[0])]
    return Table(columns, [cells(row) for row in rows_of(trials)], text_columns=len(columns) - 1)


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
