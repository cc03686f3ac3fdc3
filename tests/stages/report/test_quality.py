"""The section of the quality: it says what it costs that not all users were ranked."""

from pathlib import Path

import pytest

from stages.report.inputs import Inputs, read_inputs
from stages.report.page_blocks import Note
from stages.report.sections import quality, summary
from tests.stages.report.fabricated import fabricate


def first_note(data: Inputs) -> str:
    note = quality.section(data).blocks[0]
    assert isinstance(note, Note)
    return note.text


def test_a_sample_of_users_is_named_with_the_width_of_its_intervals(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(fabricate(tmp_path))
    data = read_inputs()
    assert "drawn" not in " ".join([first_note(data), *summary.cautions(data)])
    counts = data.test_set
    # 12 users were drawn, 15 others were not; the square root of 27 / 12 is 1.5.
    counts.loc[counts["name"] == "users_not_drawn", "number"] = 15
    caution = (
        "12 of 27 users with test rows were drawn at random (evaluate.users): the intervals are about 1.5 times as "
        "wide as with all users, and coverage is lower."
    )
    assert first_note(data).endswith(caution)
    assert caution in summary.cautions(data)
