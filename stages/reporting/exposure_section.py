"""The section about what the models show: how popular it is, and how much of the catalogue gets its turn."""

import math
from collections.abc import Sequence

from stages.reporting import charts, wording
from stages.reporting.blocks import Figure, Grid, Note, Section, Table
from stages.reporting.inputs import ExposureRow, Inputs
from stages.reporting.quality_sections import headline_cutoff
from stages.reporting.wording import MODEL, decimal, model_label, percent

CONSUMED = "consumed"
PARTS = ("head", "middle", "tail")


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
        ("coverage", "Coverage", "share of the catalogue that is shown to anyone", ".1%"),
        ("gini", "Gini index", "0 if all items are shown as often as one another, 1 if all users see the same", ".3f"),
        ("novelty", "Novelty", "mean self-information of what is shown, in bits", ".1f"),
    )
    figures = [_share_figure(rows), *(_measure_figure(rows, *measure) for measure in measures)]
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


def _measure_figure(rows: Sequence[ExposureRow], name: str, title: str, meaning: str, number_format: str) -> Figure:
    pairs = [(model_label(row.model), float(getattr(row, name))) for row in rows]
    known = [(label, value) for label, value in pairs if not math.isnan(value)]
    read = percent if number_format.endswith("%") else decimal
    own = [f"{label} {read(value, 1 if read is percent else 3)}" for label, value in known if label in _spoken()]
    return Figure(
        f"exposure-{name}",
        title,
        f"The {meaning}: {wording.listed(own) if own else 'not measured'}.",
        charts.bars(
            [{"name": label, "value": value} for label, value in known],
            [label for label, _ in known],
            title,
            number_format,
        ),
        Table(["model", title], [[label, read(value, 3)] for label, value in known]),
    )


def _spoken() -> tuple[str, str]:
    return model_label(MODEL), model_label(CONSUMED)
