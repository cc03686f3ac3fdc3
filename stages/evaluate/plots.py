"""The data of the plots that DVC draws."""

from stages.evaluate.evaluation import OVERALL, Slice
from towerline.artifacts.evaluate import ITEM_TYPE, METRICS_BY_CUTOFF, NDCG_BY_ITEM_TYPE, MetricRow
from towerline.artifacts.names import EASE, IALS, MODEL, MOST_POPULAR, RECENT_POPULAR, main_cutoff
from towerline.pipeline import formats

# The models that are drawn. Each has rows and not columns of its own: if one column of a plot is missing, DVC draws no
# curve at all, and a baseline may be switched off, or need times that the data does not have.
DRAWN = (MODEL, EASE, IALS, RECENT_POPULAR, MOST_POPULAR)
DRAWN_METRICS = ("recall", "ndcg")


def write_plots(rows: list[MetricRow], types: list[str]) -> None:
    """Writes the files of reports/plots, where DVC draws a curve for each model and a bar for each row.

    Args:
      rows: the rows of reports/tables/metrics.csv.
      types: the item types where there are several of them, else none.
    """
    cutoffs = sorted({row.k for row in rows})
    models = [name for name in DRAWN if any(row.model == name for row in rows)]
    means = {(row.model, *Slice(row.candidates, row.by, row.value), row.metric, row.k): row.mean for row in rows}
    by_cutoff: list[list[str | int | float]] = [
        [name, k, *(means[name, *OVERALL, metric, k] for metric in DRAWN_METRICS)] for name in models for k in cutoffs
    ]
    formats.write_csv(METRICS_BY_CUTOFF, ["model", "k", *DRAWN_METRICS], by_cutoff, formats.PUBLIC_DECIMALS)
    k = main_cutoff(cutoffs)
    slices = {"all types": OVERALL} | {kind: Slice(OVERALL.candidates, ITEM_TYPE, kind) for kind in types}
    bars: list[list[str | float]] = [
        [f"{kind}, {name}", means[key]]
        for kind, of_kind in slices.items()
        for name in models
        if (key := (name, *of_kind, "ndcg", k)) in means
    ]
    formats.write_csv(NDCG_BY_ITEM_TYPE, ["held_out", "ndcg"], bars, formats.PUBLIC_DECIMALS)
