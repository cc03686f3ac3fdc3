"""The exposure: popularity of the items shown, and the share of the catalogue that is shown."""

from typing import NamedTuple

import pandas as pd

from stages.report import charts, wording
from stages.report.inputs import Inputs, rows_of
from stages.report.page_blocks import Choice, Figure, Grid, Note, Section, Table
from stages.report.wording import decimal, model_label, percent
from towerline.artifacts.evaluate import CONSUMED
from towerline.artifacts.names import MODEL

GROUPS = ("head", "middle", "tail")


class Measure(NamedTuple):
    """A column of the exposure table, its title, meaning and number format."""

    name: str
    title: str
    meaning: str
    number_format: str


MEASURES = (
    Measure("coverage", "Coverage", "Share of the catalogue that is shown to any user", ".1%"),
    Measure("gini", "Gini index", "Inequality of exposure, 0 where all items are shown equally often", ".3f"),
    Measure("novelty", "Novelty", "Mean self-information of an item shown, in bits", ".1f"),
)


def section(data: Inputs) -> Section | None:
    """The items shown, compared with the items that users interact with; None where this was not measured."""
    k = data.cutoff()
    rows = data.exposure[(data.exposure["k"] == k) | (data.exposure["model"] == CONSUMED)]
    if not len(rows):
        return None
    text = f"The first {k} items that each model shows to the test users, and the items that these users interact with."
    measures = Choice("exposure-measure", "Measure", [(measure.title, _measure(rows, measure)) for measure in MEASURES])
    return Section("exposure", "Exposure", [Note(text), Grid([_shares(rows), measures])])


def _shares(rows: pd.DataFrame) -> Figure:
    values = []
    for row in rows_of(rows):
        low = 0.0
        for group in GROUPS:
            share = float(getattr(row, group))
            values.append(
                {"name": model_label(row.model), "series": group, "share": share, "low": low, "high": low + share}
            )
            low += share
    heads = [f"{model_label(row.model)} {percent(row.head)}" for row in rows_of(rows) if row.model in (MODEL, CONSUMED)]
    header = ["model", "coverage", "Gini", "known rows per item", "novelty (bits)", *GROUPS]
    cells = [
        [
            model_label(row.model),
            percent(row.coverage),
            decimal(row.gini, 3),
            decimal(row.mean_popularity, 1),
            decimal(row.novelty, 2),
            *(percent(getattr(row, group)) for group in GROUPS),
        ]
        for row in rows_of(rows)
    ]
    return Figure(
        "exposure-shares",
        "Head, middle and tail of the items shown",
        f"Share of head items: {wording.listed(heads) if heads else 'not measured'}.",
        charts.shares(values, [model_label(name) for name in rows["model"]], GROUPS),
        Table(header, cells),
    )


def _measure(rows: pd.DataFrame, measure: Measure) -> Figure:
    known = rows[rows[measure.name].notna()]
    values = [(name, float(value)) for name, value in zip(known["model"], known[measure.name], strict=True)]
    read = [(model_label(name), format(value, measure.number_format)) for name, value in values]
    spoken = [
        f"{label} {text}" for (name, _), (label, text) in zip(values, read, strict=True) if name in (MODEL, CONSUMED)
    ]
    return Figure(
        f"exposure-{measure.name}",
        measure.title,
        f"{measure.meaning}: {wording.listed(spoken) if spoken else 'not measured'}.",
        charts.bars(
            [{"name": model_label(name), "value": value} for name, value in values],
            [label for label, _ in read],
            measure.number_format,
            highlight=model_label(MODEL),
        ),
        Table(["model", measure.title], read),
    )
