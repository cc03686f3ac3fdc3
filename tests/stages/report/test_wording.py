"""Numbers as the page writes them."""

from stages.report import wording


def test_numbers_read_as_people_write_them() -> None:
    assert wording.exact_percent(0.2) == "20%"
    assert wording.exact_percent(0.000575) == "0.0575%"
    assert wording.signed(-0.5, 2) == "\N{MINUS SIGN}0.50"
    assert wording.decimal(float("nan")) == wording.MISSING
    assert (wording.p_value(0.00001), wording.p_value(0.0421)) == ("p < 0.001", "p = 0.042")
