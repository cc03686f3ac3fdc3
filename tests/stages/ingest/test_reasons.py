"""Which ratings, times and ids are read, and the reasons why others are refused."""

import numpy as np
import pytest

from tests.stages.conftest import Ingest
from tests.stages.ingest.conftest import HEADER_LINE, refused, row, write_items


@pytest.mark.parametrize(
    ("form", "text", "seconds"),
    [
        ("seconds", "1365029107", 1365029107),
        ("seconds", "-1.5", -2),
        ("milliseconds", "1365029107999", 1365029107),
        ("iso8601", "2013-04-03T22:45:07Z", 1365029107),
        ("iso8601", "2013-04-03 22:45:07", 1365029107),
        ("iso8601", "2013-04-04T00:45:07+02:00", 1365029107),
        # Rounded down, not to the nearest second.
        ("iso8601", "2013-02-28T23:59:59.999Z", 1362095999),
        ("iso8601", "1969-12-31T23:59:59.5", -1),
        ("iso8601", "2013-04-04T00:45+02:00", 1365029100),
        ("iso8601", "2013-04-03", 1364947200),
        ("milliseconds", "-1", -1),
        ("milliseconds", "253402300799999", 253402300799),
        ("seconds", "1.365029107e9", 1365029107),
        ("seconds", "1365029107.99999999999", 1365029107),
        ("seconds", "-0.5", -1),
        ("microseconds", "1365029107999999", 1365029107),
        ("microseconds", "-1", -1),
        # As float64 both were the next second.
        ("nanoseconds", "1365029107999999999", 1365029107),
        ("nanoseconds", "-1365029107000000001", -1365029108),
    ],
)
def test_times_become_seconds(ingest: Ingest, form: str, text: str, seconds: int) -> None:
    assert ingest([row("1", "a", time=text)], **{"ingest.timestamp_format": form})[0]["timestamp"] == seconds


@pytest.mark.parametrize(
    ("rating", "reason"),
    [
        *((text, "unreadable rating") for text in ("1_0", "nan", "inf", "0x1", "7,5", "1e", "٣")),
        *((text, "blank rating") for text in ("", " ", "\u00a0")),
        *((text, "rating too large for float32") for text in ("1e39", "-1e39", "1e999", "3.4028236e38")),
        *((text, "rating too close to 0 for float32") for text in ("1e-50", "-0.1e-99", "1e-999")),
    ],
)
def test_ratings_that_cannot_be_represented_are_refused(ingest: Ingest, rating: str, reason: str) -> None:
    limits = {"ingest.minimum_allowed_rating": None, "ingest.maximum_allowed_rating": None}
    assert refused(ingest, [row("1", "a", rating), row("1", "b")], **limits) == [(2, reason)]


def test_ratings_at_the_border_of_float32_are_kept(ingest: Ingest) -> None:
    texts = ["3.4028235e38", "-3.4028235e38", "1e-45", "0e5", "-0.0"]
    limits = {"ingest.minimum_allowed_rating": None, "ingest.maximum_allowed_rating": None}
    kept = ingest([row("1", f"{number}", text) for number, text in enumerate(texts)], **limits)
    assert [entry["rating"] for entry in kept] == [float(np.float32(text)) for text in texts]


@pytest.mark.parametrize("text", ["\u00a0", "\u200b", "\ufeff\u3000", "\t"])
def test_ids_of_letters_that_leave_no_mark_are_blank(ingest: Ingest, text: str) -> None:
    rows = [row(text, "a"), row("1", text), row("1", "a", kind=text), row(f"{text}1", "b")]
    assert refused(ingest, rows) == [(2, "blank user_id"), (3, "blank item_id"), (4, "blank item_type")]


@pytest.mark.parametrize(
    ("form", "text", "reason"),
    [
        *(("seconds", text, "unreadable timestamp") for text in ("1_000", "epoch", "nan", "2013-04-03")),
        *(
            ("seconds", text, "no such time from the year 1 to 9999")
            for text in ("99999999999999999999", "1e30", "-1e30", "1365029107999", "9007199254740993", "1e999")
        ),
        *(
            ("iso8601", text, "unreadable timestamp")
            for text in ("epoch", "infinity", "1365029107", "2013-04-03T22:45:07+99:00", "03.04.2013", "now")
        ),
        ("iso8601", "2013-02-30", "no such time from the year 1 to 9999"),
    ],
)
def test_times_that_cannot_be_represented_are_refused(ingest: Ingest, form: str, text: str, reason: str) -> None:
    time = "2013-04-03" if form == "iso8601" else "1"
    rows = [row("1", "a", time=text), row("1", "b", time=time)]
    assert refused(ingest, rows, **{"ingest.timestamp_format": form}) == [(2, reason)]


def test_titles_and_features_that_are_not_utf_8_are_refused(ingest: Ingest) -> None:
    write_items("item_id,item_type,title,year\n1,movie,Amélie,2001\n2,movie,b,é\n3,movie,c,1\n".encode("latin-1"))
    reasons = refused(ingest, [row("1", "1")])
    assert reasons == [(2, "title is not valid utf-8"), (3, "a feature is not valid utf-8")]


def test_ids_of_lone_surrogates_are_refused_and_not_merged(ingest: Ingest) -> None:
    text = HEADER_LINE + b"+2AA-,a,movie,5,1\n+2AE-,a,movie,5,2\n1,a,movie,5,1\n"
    reasons = refused(ingest, text, **{"ingest.encoding": "utf-7"})
    assert reasons == [(2, "user_id is not valid utf-7"), (3, "user_id is not valid utf-7")]
