"""The features of items and users, and how much each of them explains."""

from stages.report.inputs import Inputs, rows_of
from stages.report.page_blocks import Note, Section, Table
from stages.report.wording import decimal, percent, shortened
from towerline.artifacts.train import ALL_FEATURES

TEXT = (
    "An item or user without rows gets an embedding from these features. The table says how well regressions on them "
    "predict the vector and the number of rows of known ids that they have not seen: the explained share, with all "
    "features and without each one. A share of 0 is as good as the mean. The loss without a feature is what it adds to "
    "the others. The embeddings of ids with rows do not depend on features."
)
HEADER = ["", "features", "share with a value", "of vectors", "of numbers of rows"]


def section(data: Inputs) -> Section | None:
    """The explained shares; None without declared features."""
    if not len(data.features):
        return None
    cells = [
        [
            row.ids,
            "all" if row.column == ALL_FEATURES else f"without {shortened(row.column)}",
            percent(row.known),
            decimal(row.vectors, 3),
            decimal(row.counts, 3) if row.counts == row.counts else "",
        ]
        for row in rows_of(data.features)
    ]
    return Section("features", "Features", [Note(TEXT), Table(HEADER, cells, text_columns=2)])
