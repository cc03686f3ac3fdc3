"""Tables for people."""

from typing import NamedTuple

import pytest

from towerline.serving import output


class Answer(NamedTuple):
    item_id: str
    title: str | None
    score: float


def test_a_column_without_any_value_is_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    output.table({"user_id": "42"}, [Answer("7", None, 0.5), Answer("8", None, 0.25)])
    assert [line.split() for line in capsys.readouterr().out.splitlines()] == [
        ["user", "42"],
        ["id", "score"],
        ["7", "0.5000"],
        ["8", "0.2500"],
    ]
    output.table({"user_id": "42"}, [Answer("7", None, 0.5), Answer("8", "Brazil", 0.25)])
    assert [line.split() for line in capsys.readouterr().out.splitlines()][1:3] == [
        ["id", "title", "score"],
        ["7", "0.5000"],
    ]
