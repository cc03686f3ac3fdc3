"""Paths of what the report draws with and no metric changes: the item map and the chart library."""

from pathlib import Path

ITEM_MAP = Path("reports/tables/item_map.csv")
# Vega, Vega-Lite and vega-embed in one script.
CHART_LIBRARY = Path("reports/vega.js")
