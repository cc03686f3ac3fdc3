"""The section of groups: types of items with few users are folded; new items and cold users have a table."""

from pathlib import Path

import pandas as pd
import pytest

from stages.report.inputs import read_inputs
from stages.report.page_blocks import Table
from stages.report.sections import cold, groups
from tests.stages.report.fabricated import BARE, fabricate


def test_small_types_are_folded_and_types_ordered_by_users() -> None:
    rows = pd.DataFrame({"value": ["10", "2", "3"], "users": [500.0, 4.0, 900.0]})
    assert groups._by_users(rows)["value"].tolist() == ["3", "10", "2"]
    assert groups._small_types(rows) == {"2"}
    assert groups._small_types(rows[1:2]) == set(), "not all"


def test_new_items_and_cold_users_have_a_row_for_each_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(fabricate(tmp_path, **BARE))
    data = read_inputs()
    *notes, table = cold.blocks(data)
    assert len(notes) == 2
    assert table == Table(
        [
            "model",
            "new items among all: Recall@5",
            *(f"{group}: {metric}@5" for group in ("new items alone", "cold users") for metric in ("Recall", "NDCG")),
        ],
        [["Two towers", *["0.1250"] * 5], ["Most popular", *["0.0625"] * 5]],
    )
    # A split without new items and cold users has no such table.
    metrics = data.metrics
    warm = metrics[
        (metrics["candidates"] != "new_items") & (metrics["by"] != "cold_users") & (metrics["value"] != "cold")
    ]
    assert cold.blocks(data._replace(metrics=warm)) == []
