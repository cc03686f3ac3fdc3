"""What the last line of the stage warns of."""

from pathlib import Path
from typing import Any

import pytest

from tests.conftest import set_params
from tests.stages.conftest import Ingest
from tests.stages.ingest.conftest import row, write_items, write_users


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (
            "",
            "no item has a title: data/raw/items.csv has no accepted row; write its rows, or set ingest.items to null",
        ),
        ("1,movie, \n", "no item has a title: all titles in data/raw/items.csv are blank; fill its column 'title'"),
    ],
)
def test_an_item_table_without_titles_is_a_warning(ingest: Ingest, rows: str, message: str) -> None:
    from stages.ingest import __main__ as stage

    write_items(f"item_id,item_type,title\n{rows}")
    ingest([row("1", "1")])
    assert f"; warning: {message}" in (said := stage.main())
    assert "\n" not in said


def test_an_item_table_that_fits_no_item_is_a_warning(ingest: Ingest, workspace: Path) -> None:
    from stages.ingest import __main__ as stage

    write_items("item_id,item_type,title\n1,movie,One\n")
    ingest([row("1", "1", kind="item")])
    assert "warning: no item has a title" in (said := stage.main())
    assert "(types there: movie; types in data/raw/preferences.csv: item)" in said
    set_params(workspace, {"ingest.columns.item_type": None})
    assert stage.main().endswith("preferences.csv: item); set ingest.constant_item_type to movie")
    set_params(workspace, {"ingest.columns.item_type": "item_type"})
    ingest([row("1", "1")])
    assert "warning" not in stage.main()


def test_a_type_without_a_row_in_the_item_table_is_a_warning(ingest: Ingest) -> None:
    from stages.ingest import __main__ as stage

    write_items("item_id,item_type,title\n1,movie,One\n")
    ingest([row("1", "1"), row("1", "2"), row("1", "1", kind="book")])
    assert "; warning: data/raw/items.csv has no row of the type book, whose items have no title" in stage.main()


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (
            "",
            "no user has features: data/raw/users.csv has no accepted row; write its rows, or set ingest.users to null",
        ),
        ("1, \n", "no user has features: data/raw/users.csv has no feature in any row; fill its columns"),
        (
            "u7,30\nu8,\n",
            "no user has features: no accepted row of data/raw/users.csv has the id of a user (ids there: u7, u8; "
            "ids in data/raw/preferences.csv: 0, 1, 2, 3, 4)",
        ),
        ("1,30\n1,31\n", "1 rows of data/raw/users.csv repeat a user; the last of each counts"),
        (
            "".join(f"{n},30\n" for n in range(7)),
            "data/raw/users.csv has no row of 12% of the users, which have no feat",
        ),
        ("".join(f"{n},30\n" for n in range(8)), None),
    ],
)
def test_a_table_of_users_that_lacks_them_is_a_warning(ingest: Ingest, rows: str, message: str | None) -> None:
    from stages.ingest import __main__ as stage

    write_users(f"user_id,age\n{rows}")
    ingest(
        [row(f"{n}", "1") for n in range(8)],
        **{"ingest.users": "data/raw/users.csv", "ingest.items": None, "train.item_features": {}},
    )
    said = stage.main()
    assert f"; warning: {message}" in said if message else "warning" not in said


def test_an_item_table_that_lacks_many_items_is_a_warning(ingest: Ingest) -> None:
    from stages.ingest import __main__ as stage

    write_items("item_id,item_type,title\n1,movie,One\n")
    ingest([row("1", "1"), row("1", "2"), row("1", "3")])
    assert "; warning: data/raw/items.csv has no row of 67% of the items, which have no title" in stage.main()


@pytest.mark.parametrize(
    ("ratings", "params", "warned"),
    [
        ("123455555", {}, True),
        ("125555555", {}, True),
        ("155555555", {"ingest.minimum_rating": 1.0}, False),
        ("1555555555", {}, False),
        ("144444444", {"ingest.minimum_allowed_rating": None, "ingest.maximum_allowed_rating": None}, True),
        ("999999999", {"ingest.minimum_allowed_rating": None, "ingest.maximum_allowed_rating": None}, False),
    ],
)
def test_low_ratings_that_count_as_likes_are_a_warning(
    ingest: Ingest, ratings: str, params: dict[str, Any], warned: bool
) -> None:
    from stages.ingest import __main__ as stage

    ingest(
        [row("1", f"{n}", rating) for n, rating in enumerate(ratings)],
        **{"ingest.maximum_allowed_rating": 5, "ingest.items": None, "train.item_features": {}, **params},
    )
    assert ("of the ratings are below" in stage.main()) == warned
