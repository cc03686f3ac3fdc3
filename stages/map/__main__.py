"""Computes positions of the most popular items on a plane, and bundles the chart library of the report.

Both take longer than the whole report and do not depend on metrics. In a separate stage they do not run again after a
change of `evaluate`.

Reads: data/split/train.parquet, models/two_tower/item_embeddings.npy.
Writes: reports/tables/item_map.csv, reports/vega.js.
Parameters: none.
"""

import numpy as np
import vl_convert
from numpy.typing import NDArray

from stages.map.tsne import tsne
from towerline.artifacts.map import CHART_LIBRARY, ITEM_MAP, MapRow
from towerline.artifacts.split import TRAIN, Interactions, read_interactions
from towerline.artifacts.train import TWO_TOWER, read_embeddings
from towerline.pipeline import formats
from towerline.pipeline.terminal import run
from towerline.ranking.embedding import directions

MAXIMUM_ITEMS = 2_000


def popular_items(train: Interactions, vectors: NDArray[np.float32]) -> NDArray[np.int64]:
    """[at most MAXIMUM_ITEMS] indices of the trained items with the most training rows; ties by index."""
    rows = np.bincount(train.item_index, minlength=train.num_items + 1)
    order = np.argsort(-rows, kind="stable")
    popular: NDArray[np.int64] = order[(vectors[order] != 0).any(axis=1)][:MAXIMUM_ITEMS]
    return popular


def chart_library() -> str:
    """JavaScript of Vega, Vega-Lite and vega-embed, which sets window.vegaEmbed."""
    return vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;").strip() + "\n"


def main() -> str:
    train = read_interactions(TRAIN)
    vectors = directions(read_embeddings(TWO_TOWER.item_embeddings, train.num_items))
    items = popular_items(train, vectors)
    positions = tsne(vectors[items])
    # There are no positions where there are too few items.
    rows = [MapRow(index, x, y) for index, (x, y) in zip(items.tolist(), positions.tolist(), strict=False)]
    formats.write_csv(ITEM_MAP, MapRow._fields, rows)
    with formats.replacing(CHART_LIBRARY) as unfinished:
        unfinished.write_text(chart_library(), encoding="utf-8", newline="\n")
    return f"{ITEM_MAP}: {len(rows):,} items"


if __name__ == "__main__":
    run("map", main)
