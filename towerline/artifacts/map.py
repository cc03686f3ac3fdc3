"""Path of the map: the positions of the most popular items on a plane."""

from pathlib import Path

ITEM_MAP = Path("reports/tables/item_map.csv")
