"""The terms of the page and their meaning."""

from stages.report.page_blocks import Details, Section, Terms

TERMS = [
    ("Test items", "A user's items in the test set, which no model of this page was fitted to."),
    ("Known rows", "The rows of the training and the validation set, which the models of this page were fitted to."),
    (
        "Recall@k",
        "Of a user's test items, the share that is among the first k items shown. 1 means that all of them are.",
    ),
    ("Precision@k", "Of the first k items shown to a user, the share that is a test item of the user."),
    (
        "NDCG@k",
        "Like recall, but a hit near the top has more weight: 1 at rank 1, 0.63 at rank 2, 0.29 at rank 10. The sum of "
        "the weights is divided by that of the best possible list, so that 1 is the best value.",
    ),
    (
        "MRR@k",
        "1 divided by the rank of the first hit: 1 for the first place, 0.5 for the second, 0 without a hit.",
    ),
    ("MAP@k", "The mean, over a user's test items, of the precision at their rank, 0 for items beyond k."),
    ("Hit rate@k", "The share of users for whom at least one of the first k items is a test item."),
    (
        "95% interval",
        "A range of means that is plausible for other test users of the same kind. It is computed from many random "
        "samples of the test users, drawn with replacement (bootstrap).",
    ),
    (
        "Adjusted p",
        "The probability of a difference at least this large if both models were equally good. It is corrected upwards "
        "for the number of comparisons (Holm), since among many differences some are large by chance.",
    ),
    ("Coverage", "The share of the catalogue that is shown to at least one user."),
    (
        "Gini index",
        "Inequality of exposure: 0 if all items are shown equally often, near 1 if only a few items are shown.",
    ),
    ("Novelty", "Mean self-information of the items shown, in bits: an item that is half as popular has one bit more."),
    (
        "Head, middle, tail",
        "The catalogue in three groups by popularity, the head being the few items with the most known rows.",
    ),
    ("Cosine", "Similarity of two vectors: 1 for the same direction, 0 for nothing in common."),
    ("RMSE, MAE", "Errors of predicted ratings, in the unit of the ratings; RMSE weighs large errors more. 0 is best."),
]


def section() -> Section:
    return Section("terms", "Terms", [Details(f"{len(TERMS)} terms", [Terms(TERMS)])])
