"""What the last line of the stage warns of."""

from pathlib import Path
from typing import Any

import pytest

from tests.conftest import set_params
from tests.stages.conftest import Ingest
from tests.stages.ingest.conftest import row, write_items


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
        **{"ingest.maximum_allowed_rating": 5, "ingest.items": None, **params},
    )
    assert ("of the ratings are below" in stage.main()) == warned
