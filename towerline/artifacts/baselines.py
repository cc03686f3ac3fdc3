"""Paths of the fitted baselines and of the table of the settings that were tried."""

from pathlib import Path

BASELINES = Path("models/baselines")
BASELINES_TABLE = Path("reports/tables/baselines.csv")
