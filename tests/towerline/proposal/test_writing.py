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
    changed = [line.split(":")[0].strip() for line, other in zip(after, before, strict=True) if line != other]
    assert changed == ["source", "items", "item_type", "minimum_allowed_rating", "maximum_allowed_rating"]


def test_a_name_that_params_yaml_cannot_hold_is_refused(folder: Path) -> None:
    Path("\udcff.csv").write_bytes(FILES["plain"][0])
    with pytest.raises(StageError, match="expected a name in UTF-8, found other bytes; rename it"):
        proposal.command([Path("\udcff.csv")], write=True)
