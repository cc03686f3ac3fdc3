"""Sections about how good the model is: against the baselines, by group, over k, and what the words mean."""

import math
from collections.abc import Sequence
from typing import Any

from stages.report import charts, wording
from stages.report.blocks import Block, Facts, Figure, Grid, Legend, Note, Section, Table
from stages.report.inputs import EVERYTHING, DifferenceRow, Inputs, MetricRow
from stages.report.wording import MODEL, count, counted, decimal, metric_label, model_label, percent
from towerline.pipeline.errors import StageError

HEADLINE_CUTOFF = 20
HEADLINE_METRICS = ("recall", "ndcg")
SIGNIFICANCE = 0.05
METRIC_HEADER = ["model", "users", "mean", "95% from", "to"]


def headline_cutoff(metrics: Sequence[MetricRow]) -> int:
    """20 where it was measured, else the next smaller cutoff, else the smallest.

    Raises:
      StageError: the table has no row of the model over all users.
    """
    cutoffs = {row.k for row in overall(metrics) if row.model == MODEL}
    if not cutoffs:
        raise StageError(
            f"metrics.csv: expected rows of {MODEL} over everything and all users, found none; repro evaluate"
        )
    return max((k for k in cutoffs if k <= HEADLINE_CUTOFF), default=min(cutoffs))


def overall(metrics: Sequence[MetricRow]) -> list[MetricRow]:
    """Rows over the whole catalogue and all users."""
    return [row for row in metrics if (row.candidates, row.group) == (EVERYTHING, "all")]


def model_labels(data: Inputs) -> list[str]:
    """The models' labels in the order of their colours: ours first, then the baselines as the tables have them."""
    return [model_label(name) for name in dict.fromkeys([MODEL, *(row.model for row in data.metrics)])]


def headline_section(data: Inputs) -> Section:
    """What this is, and how good, in words."""
    k = headline_cutoff(data.metrics)
    facts, verdicts = [], []
    for metric in HEADLINE_METRICS:
        rows = [row for row in overall(data.metrics) if (row.metric, row.k) == (metric, k)]
        own = next((row for row in rows if row.model == MODEL), None)
        if own is None:
            continue
        best = max((row for row in rows if row.model != MODEL), key=lambda row: row.mean, default=None)
        name = f"{metric_label(metric)}@{k}"
        facts.append((decimal(own.mean), name, f"95% interval {wording.interval(own.low, own.high)}"))
        if best is not None:
            facts.append((decimal(best.mean), f"{name} of the best baseline", model_label(best.model)))
            verdicts.append(_verdict(name, own, best, data.differences))
    users, items = data.parts["train"].part.num_users, data.parts["train"].part.num_items
    text = (
        f"A model of two towers learnt the tastes of {counted(users, 'user')} and placed them and "
        f"{counted(items, 'item')} in one space, where what lies near a user is what the user is likely to take. "
        "This page shows what it learnt from, how good it is beside simpler methods, and what it would show to whom."
    )
    recall = next(
        (row for row in overall(data.metrics) if (row.model, row.metric, row.k) == (MODEL, "recall", k)), None
    )
    if recall is not None:
        verdicts.insert(
            0,
            f"Of the items that a user took and that were held back for the test, the first {k} suggestions hold "
            f"{percent(recall.mean)} on average over {counted(recall.users, 'user')}.",
        )
    return Section("summary", "The recommender in short", [Note(text), Facts(facts), *map(Note, verdicts)])


def _verdict(name: str, own: MetricRow, best: MetricRow, differences: Sequence[DifferenceRow]) -> str:
    """The model beside the best baseline in one sentence, with what chance can explain where it was tested."""
    difference = own.mean - best.mean
    words = "above" if difference > 0 else "below" if difference < 0 else "equal to"
    gap = f"{abs(difference):.4f} " if difference else ""
    compared = f"{name} is {gap}{words} that of the best baseline, {model_label(best.model)}"
    wanted = (best.model, own.metric, own.k)
    tested = next((row for row in differences if (row.baseline, row.metric, row.k) == wanted), None)
    if tested is None or math.isnan(tested.p_adjusted):
        return f"{compared}."
    interval = wording.interval(tested.low, tested.high)
    found = f"95% interval of the difference {interval}, adjusted {wording.p_value(tested.p_adjusted)}"
    if tested.p_adjusted < SIGNIFICANCE:
        return f"{compared}: more than chance explains ({found})."
    return f"{compared}, which may be chance ({found})."


def comparison_section(data: Inputs) -> Section:
    """All models at the headline cutoff, and the paired differences."""
    k, labels = headline_cutoff(data.metrics), model_labels(data)
    figures = [
        _interval_figure(metric, k, rows, labels)
        for metric in HEADLINE_METRICS
        if (rows := [row for row in overall(data.metrics) if (row.metric, row.k) == (metric, k)])
    ]
    blocks: list[Block] = [Note(_ranked_users(data.counts)), Legend(labels), Grid(figures)]
    if data.differences:
        blocks += [
            Note(
                "Two towers minus each baseline, over the same users. An interval without 0 and an adjusted p below "
                f"{SIGNIFICANCE} speak for a real difference."
            ),
            _differences_table(data.differences),
        ]
    return Section("comparison", "Against the baselines", blocks)


def _ranked_users(counts: dict[str, int]) -> str:
    text = (
        "Every model ranks the whole catalogue for every user with held-out items, without the items that the user is "
        f"known to have taken already: {counted(counts['users_ranked'], 'user')}."
    )
    cold = counts.get("cold_users", 0)
    return f"{text} {counted(cold, 'more user')} without a train row stand apart as cold users." if cold else text


def chart_value(row: MetricRow) -> dict[str, Any]:
    return {"series": model_label(row.model), "value": row.mean, "low": row.low, "high": row.high}


def metric_cells(row: MetricRow) -> list[str]:
    return [count(row.users), decimal(row.mean), decimal(row.low), decimal(row.high)]


def _interval_figure(metric: str, k: int, rows: Sequence[MetricRow], labels: Sequence[str]) -> Figure:
    title = f"{metric_label(metric)}@{k}"
    down = sorted(rows, key=lambda row: -row.mean)
    return Figure(
        f"comparison-{metric.replace('_', '-')}",
        f"{title} with 95% intervals",
        f"{wording.ranked([(model_label(row.model), row.mean) for row in rows])}.",
        charts.intervals([chart_value(row) for row in down], [model_label(row.model) for row in down], labels, title),
        Table(METRIC_HEADER, [[model_label(row.model), *metric_cells(row)] for row in down]),
    )


def _differences_table(differences: Sequence[DifferenceRow]) -> Table:
    rows = [
        [
            model_label(row.baseline),
            f"{metric_label(row.metric)}@{row.k}",
            count(row.users),
            wording.signed(row.difference),
            wording.signed(row.low),
            wording.signed(row.high),
            wording.p_cell(row.p_value),
            wording.p_cell(row.p_adjusted),
        ]
        for row in differences
    ]
    header = ["baseline", "metric", "users", "difference", "95% from", "to", "p", "adjusted p"]
    return Table(header, rows, text_columns=2)


def cutoff_section(data: Inputs) -> Section:
    """Every metric over k."""
    labels = model_labels(data)
    metrics = list(dict.fromkeys(row.metric for row in overall(data.metrics)))
    figures = [
        _cutoff_figure(metric, [row for row in overall(data.metrics) if row.metric == metric], labels)
        for metric in metrics
    ]
    text = "Every metric at every number of items shown. Bands are 95% intervals."
    return Section("cutoffs", "By the number of items shown", [Note(text), Legend(labels), Grid(figures)])


def _cutoff_figure(metric: str, rows: Sequence[MetricRow], labels: Sequence[str]) -> Figure:
    title = metric_label(metric)
    cutoffs = sorted({row.k for row in rows})
    at_most = wording.ranked([(model_label(row.model), row.mean) for row in rows if row.k == cutoffs[-1]])
    return Figure(
        f"cutoffs-{metric.replace('_', '-')}",
        f"{title}@k",
        f"At k = {cutoffs[-1]}: {at_most}.",
        charts.over_cutoffs([{**chart_value(row), "k": row.k} for row in rows], labels, f"{title}@k"),
        Table(
            ["model", "k", *METRIC_HEADER[1:]],
            [[model_label(row.model), str(row.k), *metric_cells(row)] for row in rows],
        ),
    )
