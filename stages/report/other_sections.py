"""Sections beside the ranking: predicted ratings, how baselines were tuned, what the words mean."""

from stages.report import charts, wording
from stages.report.blocks import Figure, Grid, Note, Section, Table, Terms
from stages.report.inputs import Inputs
from stages.report.wording import MODEL, counted, decimal, model_label

# The one by which ranking baselines were chosen.
TUNING_METRIC = "ndcg@20"

DEFINITIONS = [
    ("Held-out items", "What a user took according to the test part, which the model never saw."),
    (
        "Recall@k",
        "Of a user's held-out items, the share that is among the first k items shown. 1 means that all of them are.",
    ),
    ("Precision@k", "Of the first k items shown to a user, the share that is held out for the user."),
    (
        "NDCG@k",
        "As recall, but a hit near the top counts for more: rank 1 counts 1, rank 2 0.63, rank 10 0.29. The sum is "
        "divided by that of the best possible list. 1 means that no order would have been better.",
    ),
    (
        "MRR@k",
        "1 divided by the rank of the first hit: 1 for the first place, 0.5 for the second, 0 for no hit at all.",
    ),
    ("MAP@k", "Precision taken at the rank of every hit, averaged: rewards lists with all their hits near the top."),
    ("Hit rate@k", "The share of users for whom at least one of the first k items is held out."),
    (
        "95% interval",
        "Had other users of the same kind been drawn for the test, the mean would likely have fallen in here. Found by "
        "drawing users anew, with replacement, many times (bootstrap).",
    ),
    (
        "Adjusted p",
        "How likely a difference at least this large would be if the two were equally good. Made larger for the number "
        "of comparisons (Holm), since among many differences one looks large by chance.",
    ),
    ("Coverage", "The share of the catalogue that is shown to anyone at all."),
    ("Gini index", "How unequally items are shown: 0 if each is as often as the others, near 1 if a few are always."),
    ("Novelty", "How surprising the shown items are, in bits: one more bit means half as popular."),
    (
        "Head, middle, tail",
        "The catalogue in three, by popularity: a few items that many took, and many items that few took.",
    ),
    ("Cosine", "How alike two vectors are: 1 for the same direction, 0 for nothing in common."),
    ("RMSE, MAE", "Errors of predicted ratings, in the unit of the ratings; RMSE weighs large errors more. 0 is best."),
]


def rating_section(data: Inputs) -> Section | None:
    """Errors of predicted ratings; None where there are none."""
    if not data.ratings:
        return None
    figures = [
        _rating_figure("rmse", "RMSE", [(model_label(row.model), row.rmse) for row in data.ratings]),
        _rating_figure("mae", "MAE", [(model_label(row.model), row.mae) for row in data.ratings]),
    ]
    text = "How far predicted ratings of the test part are from the given ones, in the unit of the ratings."
    return Section("ratings", "Predicted ratings", [Note(text), Grid(figures)])


def _rating_figure(name: str, title: str, errors: list[tuple[str, float]]) -> Figure:
    up = sorted(errors, key=lambda pair: pair[1])
    values = [{"name": label, "value": error} for label, error in up]
    return Figure(
        f"ratings-{name}",
        f"{title} of predicted ratings",
        f"Lower is better; best is {up[0][0]} with {decimal(up[0][1])}.",
        charts.bars(values, [label for label, _ in up], ".4f", highlight=model_label(MODEL)),
        Table(["model", title], [[label, decimal(error)] for label, error in up]),
    )


def tuning_section(data: Inputs) -> Section | None:
    """The settings that were tried for the baselines; None where there were none."""
    if not data.trials:
        return None
    ranking = [row for row in data.trials if row.metric == TUNING_METRIC]
    names = list(dict.fromkeys(model_label(row.baseline) for row in ranking))
    values = [
        {
            "name": model_label(row.baseline),
            "settings": wording.shortened(row.settings),
            "value": row.validation,
            "chosen": row.chosen,
        }
        for row in ranking
    ]
    rows = [
        [
            model_label(row.baseline),
            row.trial,
            wording.shortened(row.settings),
            row.metric,
            "chosen" if row.chosen else "",
            decimal(row.validation),
        ]
        for row in data.trials
    ]
    title = "NDCG@20 on the validation part"
    chosen = [f"{model_label(row.baseline)} {decimal(row.validation)}" for row in ranking if row.chosen]
    text = (
        "A baseline is only worth beating at its best, so its settings were chosen on the validation part as ours were."
    )
    figure = Figure(
        "tuning",
        title,
        f"{counted(len(rows), 'trial')}; filled are the chosen ones: {wording.listed(chosen) if chosen else 'none'}.",
        charts.trials(values, names, title),
        Table(["baseline", "trial", "settings", "metric", "", "on validation"], rows, text_columns=5),
    )
    return Section("tuning", "How the baselines were tuned", [Note(text), figure])


def definition_section() -> Section:
    """What the words of the page mean."""
    text = "Means of the ranking metrics are over users, each of whom counts the same."
    return Section("definitions", "What the words mean", [Note(text), Terms(DEFINITIONS)])
