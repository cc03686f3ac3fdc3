"""Paths of the checked interactions, the items, the refused rows and the counts, which ingest writes."""

from pathlib import Path

INTERACTIONS = Path("data/interactions.parquet")
ITEMS = Path("data/items.parquet")
REJECTED = Path("data/rejected.parquet")
INGEST_REPORT = Path("reports/ingest.json")
