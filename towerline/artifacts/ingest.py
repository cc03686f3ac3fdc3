"""Paths of the checked interactions, the users, the items, the refused rows and the counts, which ingest writes."""

from pathlib import Path

INTERACTIONS = Path("data/interactions.parquet")
USERS = Path("data/users.parquet")
ITEMS = Path("data/items.parquet")
REJECTED = Path("data/rejected.parquet")
INGEST_REPORT = Path("reports/ingest.json")
