"""Paths and rows of the outputs of map: the item map and the chart library of the report."""

from pathlib import Path
from typing import NamedTuple

ITEM_MAP = Path("reports/tables/item_map.csv")
# Vega, Vega-Lite and vega-embed in one script.
CHART_LIBRARY = Path("reports/vega.js")


class MapRow(NamedTuple):
    """The position of an item on a plane."""

    item_index: int
    x: float
    y: float
