"""The charts' specifications."""

from stages.report import charts


def test_a_curve_that_does_not_move_has_an_axis() -> None:
    spec = charts.curve([{"epoch": 1, "value": 0.1}, {"epoch": 2, "value": 0.1}], "temperature")
    low, high = spec["encoding"]["y"]["scale"]["domain"]
    assert low < 0.1 < high
    assert spec["encoding"]["x"]["axis"]["values"] == [1, 2]
