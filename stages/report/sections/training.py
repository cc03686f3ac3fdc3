"""The training: curves over the epochs, of which the reader chooses one."""

import pandas as pd

from stages.report import charts, findings, wording
from stages.report.inputs import Inputs
from stages.report.page_blocks import Choice, Figure, Note, Section, Table
from stages.report.wording import counted

# Column -> title, meaning, and true if lower values are better; None if neither low nor high values are better.
CURVES: dict[str, tuple[str, str, bool | None]] = {
    "validation_ndcg": ("NDCG on the validation set", "Quality of the ranking on the validation set.", False),
    "validation_rmse": ("RMSE on the validation set", "Error of predicted ratings on the validation set.", True),
    "retrieval_loss": (
        "Retrieval loss",
        "Mean loss of the retrieval task on the same batches in each epoch, at a fixed temperature.",
        True,
    ),
    "rating_loss": ("Rating loss", "Mean loss of the rating task on the training set.", True),
    "temperature": ("Temperature", "The divisor of the cosines in the softmax.", None),
}


def section(data: Inputs) -> Section:
    """A curve for each column of the training report that has values, the validation metric first."""
    columns = [name for name in data.training.columns if name != "epoch" and data.training[name].notna().any()]
    columns.sort(key=lambda name: list(CURVES).index(name) if name in CURVES else len(CURVES))
    if not columns:
        return Section("training", "Training", [Note("No training report was written.")])
    curves = [_curve(name, data.training[["epoch", name]].dropna()) for name in columns]
    text = f"{counted(len(data.training), 'epoch')}, each one pass over the training set."
    choice = Choice("curves", "Curve", [(curve.title, curve) for curve in curves])
    return Section("training", "Training", [Note(text), choice])


def _curve(name: str, curve: pd.DataFrame) -> Figure:
    title, meaning, lower_is_better = CURVES.get(name, (wording.shortened(name), "", None))
    known = list(zip(curve["epoch"].astype(int).tolist(), curve[name].astype(float).tolist(), strict=True))
    return Figure(
        f"curve-{name.replace('_', '-')}",
        title,
        f"{meaning} {findings.change(known, lower_is_better=lower_is_better)}".lstrip(),
        charts.curve([{"epoch": epoch, "value": value} for epoch, value in known], title),
        Table(["epoch", title], [[str(epoch), wording.decimal(value, 6)] for epoch, value in known]),
    )
