"""Paths of the metrics, as numbers that git holds and as tables."""

from pathlib import Path

METRICS = Path("reports/metrics.json")
METRICS_BY_CUTOFF = Path("reports/plots/metrics_by_cutoff.csv")
METRICS_BY_ITEM_TYPE = Path("reports/plots/metrics_by_item_type.csv")
METRICS_TABLE = Path("reports/tables/metrics.csv")
DIFFERENCES_TABLE = Path("reports/tables/differences.csv")
EXPOSURE_TABLE = Path("reports/tables/exposure.csv")
RATINGS_TABLE = Path("reports/tables/ratings.csv")
