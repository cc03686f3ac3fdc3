"""The proposal in params.yaml, whose other lines stay."""

from pathlib import Path

import pytest

from tests.towerline.proposal.conftest import FILES
from towerline import proposal
from towerline.pipeline.errors import StageError


def test_comments_and_other_values_of_the_settings_stay(folder: Path) -> None:
    before = Path("params.yaml").read_text(encoding="utf-8").splitlines()
    Path("rows.csv").write_bytes(FILES["plain"][0])
    proposal.command([Path("rows.csv")], write=True)
    after = Path("params.yaml").read_text(encoding="utf-8").splitlines()
    # The declared features go, with their lines.
    changed = [line.split(":")[0].strip() for line in after if line not in before]
    assert changed == [
        *("source", "items", "item_type", "minimum_allowed_rating", "maximum_allowed_rating"),
        "item_features",
    ]
    features = {"genres", "title", "year"}
    gone = {line.split(":")[0].strip() for line in before if line not in after}
    assert gone - set(changed) == features
    assert [line for line in after if line.strip().startswith("#")] == [
        line for line in before if line.strip().startswith("#")
    ]


def test_a_name_that_params_yaml_cannot_hold_is_refused(folder: Path) -> None:
    Path("\udcff.csv").write_bytes(FILES["plain"][0])
    with pytest.raises(StageError, match="expected a name in UTF-8, found other bytes; rename it"):
        proposal.command([Path("\udcff.csv")], write=True)
