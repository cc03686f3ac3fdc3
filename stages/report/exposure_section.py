"""The section about what the models show: how popular it is, and how much of the catalogue gets its turn."""

import math
from collections.abc import Sequence
from typing import NamedTuple

from stages.report import charts, wording
from stages.report.blocks import Figure, Grid, Note, Section, Table
from stages.report.inputs import ExposureRow, Inputs
from stages.report.quality_sections import headline_cutoff
from stages.report.wording import MODEL, decimal, model_label, percent

CONSUMED = "consumed"
PARTS = ("head", "middle", "tail")


class Measure(NamedTuple):
    """A column of the exposure table, and how it is read."""

    name: str
    title: str
    meaning: str
    number_format: str


def exposure_section(data: Inputs) -> Section | None:
    """What is shown beside what users took; None where it was not measured."""
    k = headline_cutoff(data.metrics)
    rows = [row for row in data.exposure if row.k == k or row.model == CONSUMED]
    if not rows:
        return None
    text = (
        f"The first {k} items that each model shows to the users of the test part, and, for comparison, what these "
        "users took. A model that shows more of the head than users take makes the popular more popular."
    )
    measures = (
        Measure("coverage", "Coverage", "Share of the catalogue that is shown to anyone", ".1%"),
        Measure("gini", "Gini index", "Inequality of exposure, 0 if all items are shown equally often", ".3f"),
        Measure("novelty", "Novelty", "Mean self-information of an item shown, in bits", ".1f"),
    )
    figures = [_share_figure(rows), *(_measure_figure(rows, measure) for measure in measures)]
    return Section("exposure", "What is shown", [Note(text), Grid(figures)])


def _table(rows: Sequence[ExposureRow]) -> Table:
    header = ["model", "coverage", "Gini", "train rows an item", "novelty (bits)", *PARTS]
    cells = [
        [
            model_label(row.model),
            percent(row.coverage),
            decimal(row.gini, 3),
            decimal(row.mean_popularity, 1),
            decimal(row.novelty, 2),
            *(percent(getattr(row, part)) for part in PARTS),
        ]
        for row in rows
    ]
    return Table(header, cells)


def _share_figure(rows: Sequence[ExposureRow]) -> Figure:
    values = []
    for row in rows:
        low = 0.0
        for part in PARTS:
            share = float(getattr(row, part))
            high = low + share
            values.append({"name": model_label(row.model), "series": part, "share": share, "low": low, "high": high})
            low = high
    heads = {
        row.model: f"{model_label(row.model)} {percent(row.head)}" for row in rows if row.model in (MODEL, CONSUMED)
    }
    return Figure(
        "exposure-parts",
        "Head, middle and tail of what is shown",
        f"Share of the head: {wording.listed(list(heads.values())) if heads else 'not measured'}.",
        charts.shares(values, [model_label(row.model) for row in rows], PARTS),
        _table(rows),
    )


def _measure_figure(rows: Sequence[ExposureRow], measure: Measure) -> Figure:
    known = [(row.model, float(getattr(row, measure.name))) for row in rows]
    pairs = [(model_label(name), value) for name, value in known if not math.isnan(value)]
    read = [(label, format(value, measure.number_format)) for label, value in pairs]
    spoken = [f"{label} {value}" for label, value in read if label in (model_label(MODEL), model_label(CONSUMED))]
    return Figure(
        f"exposure-{measure.name}",
        measure.title,
        f"{measure.meaning}: {wording.listed(spoken) if spoken else 'not measured for ours'}.",
        charts.bars(
            [{"name": label, "value": value} for label, value in pairs],
            [label for label, _ in pairs],
            measure.number_format,
            highlight=model_label(MODEL),
        ),
        Table(["model", measure.title], read),
    )
