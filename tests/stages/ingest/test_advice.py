"""Too many refused rows, or none kept: one line with the setting to change."""

from typing import Any

import pytest

from tests.stages.conftest import Ingest
from tests.stages.ingest.conftest import HEADER_LINE, rejected, row, write_items
from towerline.pipeline.errors import StageError


def test_too_many_refused_rows_stop_the_run_and_are_still_listed(ingest: Ingest) -> None:
    with pytest.raises(StageError, match=r"at most 1\.00%.*found 1 of 2.*line 3: unreadable rating: '1,2,movie,x,1'"):
        ingest([row("1", "1"), row("1", "2", "x")])
    assert len(rejected()) == 1


def test_refused_rows_of_the_item_table_are_told(ingest: Ingest) -> None:
    from stages.ingest import __main__ as stage

    write_items("item_id,item_type,title\n1,movie,a\n2,movie,b,c\n")
    ingest([row("1", "1")], **{"ingest.max_rejected_share": 0.5})
    assert "warning: 1 rows of data/raw/items.csv refused, listed in data/rejected.parquet" in stage.main()
    with pytest.raises(
        StageError,
        match=r"'2,movie,b,c'; look at ingest.delimiter .*, or run .* data/raw/preferences.csv data/raw/items.csv",
    ):
        ingest([row("1", "1")], **{"ingest.max_rejected_share": 0.01})


@pytest.mark.parametrize(
    ("text", "params", "message"),
    [
        (
            "Kunde;Artikel\n1;2\n",
            {},
            "one column 'Kunde;Artikel': set ingest.delimiter to ';', or run python -m towerline propose data/raw/p",
        ),
        ("user_id\titem_id\n1\t2\n", {}, r"set ingest.delimiter to \"\\t\""),
        (
            "1,2,3\n4,5,6\n",
            {},
            "set ingest.header to false and ingest.columns to positions, or run python -m towerline propose",
        ),
        ("user_id:token\titem_id:token\n", {}, r"set ingest.delimiter to \"\\t\""),
        ("user_id:token,item_id:token\n", {}, "set ingest.columns.user_id to 'user_id:token'"),
        ("User_ID,item_id,item_type\n", {}, "set ingest.columns.user_id to 'User_ID'"),
        ("user_id,item_id,item_id\n", {}, "found 3 columns: .*; rename all of that name but one$"),
        (" user_id,item_id,item_type\n", {}, "set ingest.columns.user_id to ' user_id'"),
        (
            "user_id,item_id,kind,rating,timestamp\n",
            {},
            "set ingest.columns.item_type to the one that holds it, or to null",
        ),
        (f'{HEADER_LINE.decode()}1,2,m,"7,5",1\n', {}, "decimal commas are not read: write 7.5 for 7,5"),
        (f"{HEADER_LINE.decode()}1,2,m,7,2013-02-28\n", {}, "set ingest.timestamp_format to iso8601"),
        *(
            (f"{HEADER_LINE.decode()}1,2,m,7,{time}\n", {}, f"set ingest.timestamp_format to {unit}$")
            for time, unit in (
                ("1365029107999", "milliseconds"),
                ("1365029107999999", "microseconds"),
                ("1365029107999999999", "nanoseconds"),
            )
        ),
        (
            f"{HEADER_LINE.decode()}1,2,m,7,28.02.2013\n",
            {"ingest.timestamp_format": "iso8601"},
            r"iso8601 text such as 2013-02-28 or .*; convert other forms, for instance with pandas\.to_datetime",
        ),
        (f"{HEADER_LINE.decode()}1,2,m,,1\n", {}, "blank rating: .*; leave rows without a rating out of the file"),
        (f"{HEADER_LINE.decode()}1,2,m,70,1\n", {}, "look at ingest.minimum_allowed_rating and ingest.maximum_allowed"),
        (
            f"{HEADER_LINE.decode()}1,2,m,7,1\n",
            {"ingest.minimum_rating": 8.0},
            r"left out by ingest.minimum_rating \(8.0\): 1",
        ),
        (
            f"{HEADER_LINE.decode()}1,2,m,7,1\n",
            {"ingest.minimum_user_interactions": 2},
            r"left out by ingest.minimum_user_interactions \(2\)",
        ),
        (
            f"{HEADER_LINE.decode()}1,2,m,x,1\n",
            {"ingest.max_rejected_share": 1.0},
            "found all 1 refused, as .* lists them; the first: .* line 2: unreadable rating: '1,2,m,x,1'",
        ),
        (HEADER_LINE.decode(), {}, "expected at least one row to keep, found none of 0: the file has no rows"),
    ],
)
def test_a_message_proposes_the_setting_to_change(
    ingest: Ingest, text: str, params: dict[str, Any], message: str
) -> None:
    with pytest.raises(StageError, match=message) as raised:
        ingest(text.encode(), **params)
    assert "\n" not in str(raised.value)
