"""Rules between sections: the first stage that runs refuses settings that do not fit together."""

import re
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import ROOT, set_params
from tests.stages.conftest import SECTIONS
from towerline.pipeline.errors import StageError


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"split.method": "column"},
            "ingest.columns.split: expected the column that split.method column needs, found null; set it to this "
            "column, or set split.method to random",
        ),
        (
            {"split.method": "leave_last_out", "ingest.columns.timestamp": None},
            "ingest.columns.timestamp: expected the column that split.method leave_last_out needs, found null; set it",
        ),
        (
            {"split.method": "cold_type", "split.cold_type": "book", "ingest.columns.item_type": None},
            "ingest.columns.item_type: expected the column that split.method cold_type needs, found null; set it to",
        ),
        (
            {"split.method": "cold_users", "split.train": 5000, "split.validation": 0, "split.test": 500},
            "split.train, validation, test: expected shares (0.8) where method is cold_users, found the counts (5000, "
            "0, 500); set them to shares of the users",
        ),
        (
            {"ingest.columns.rating": None},
            "train.rating_weight: expected 0 where ingest.columns.rating is null, found 0.03; set it to 0, or name the",
        ),
        (
            {"ingest.columns.rating": None, "train.rating_weight": 0.0, "dislikes.below": "user_mean"},
            "dislikes.below: expected null since ingest.columns.rating is null, found user_mean; set it to null, or",
        ),
        (
            {"dislikes.below": 11.0},
            "dislikes.below: expected at most ingest.maximum_allowed_rating, 10, found 11; all rows would be dislikes",
        ),
        (
            {"split.validation": 0, "split.validation_share": 0.0, "train.popularity_prior": 0.5},
            "split.validation_share: expected validation rows for train.early_stopping_patience 3 and "
            "train.temperature null, found none, since split.validation and split.validation_share are 0; set "
            "split.validation_share above 0, or set train.early_stopping_patience to 0 and",
        ),
    ],
)
def test_sections_that_do_not_fit_together_are_refused_by_the_first_stage(
    tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    (tmp_path / "params.yaml").write_bytes((ROOT / "params.yaml").read_bytes())
    set_params(tmp_path, changes)
    for model in SECTIONS.values():
        with pytest.raises(StageError, match=re.escape(f"params.yaml: {message}")):
            model.load(tmp_path / "params.yaml")
