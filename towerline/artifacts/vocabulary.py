"""Paths of the vocabularies of users and items."""

from pathlib import Path

USER_VOCABULARY = Path("data/vocabulary/users.parquet")
ITEM_VOCABULARY = Path("data/vocabulary/items.parquet")
