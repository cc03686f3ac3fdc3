"""The terms of the page and their meaning."""

from stages.report.blocks import Details, Section, Terms

TERMS = [
    ("Test items", "A user's items in the test set, which no model was fitted on."),
    (
        "Recall@k",
        "Of a user's test items, the share that is among the first k items shown. 1 means that all of them are.",
    ),
    ("Precision@k", "Of the first k items shown to a user, the share that is a test item of the user."),
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
    ("Hit rate@k", "The share of users for whom at least one of the first k items is a test item."),
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
    ("Gini index", "Inequality of exposure: 0 if each is as often as the others, near 1 if a few are always."),
    ("Novelty", "Mean self-information of the items shown, in bits: one more bit means half as popular."),
    (
        "Head, middle, tail",
        "The catalogue in three, by popularity: a few items with many training rows, and many items with few.",
    ),
    ("Cosine", "Similarity of two vectors: 1 for the same direction, 0 for nothing in common."),
    ("RMSE, MAE", "Errors of predicted ratings, in the unit of the ratings; RMSE weighs large errors more. 0 is best."),
]


def section() -> Section:
    return Section("terms", "Terms", [Details(f"{len(TERMS)} terms", [Terms(TERMS)])])
