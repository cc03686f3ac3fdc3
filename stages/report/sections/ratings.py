"""Errors of predicted ratings."""

from stages.report import findings
from stages.report.inputs import Inputs, rows_of
from stages.report.page_blocks import Note, Section, Table
from stages.report.wording import decimal, model_label


def section(data: Inputs) -> Section | None:
    """RMSE and MAE of each model; None where the data has no ratings."""
    if not len(data.ratings):
        return None
    rows = data.ratings.sort_values("rmse", kind="stable")
    best = findings.best(zip(rows["model"].map(model_label), rows["rmse"], strict=True), lowest=True)
    text = f"Errors of predicted ratings of the test set, in the unit of the ratings. {best} (RMSE)."
    cells = [[model_label(row.model), decimal(row.rmse), decimal(row.mae)] for row in rows_of(rows)]
    return Section("ratings", "Ratings", [Note(text), Table(["model", "RMSE", "MAE"], cells)])
