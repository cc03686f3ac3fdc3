"""Rewrites MovieTweetings' own files as data/raw/preferences.csv.gz and data/raw/items.csv.

Run once, by hand, with the folder that holds the snapshot's ratings.dat and movies.dat:

    python data/raw/make_default_data.py ~/MovieTweetings/snapshots/100K

The source is https://github.com/sidooms/MovieTweetings, 100K snapshot (Dooms et al., CrowdRec 2013, MIT licence).
Its users.dat, which links members to Twitter accounts, is deliberately not used.
"""

import csv
import gzip
import io
import re
import sys
from collections.abc import Iterable
from pathlib import Path

HERE = Path(__file__).parent
TITLE_AND_YEAR = re.compile(r"(?P<title>.*) \((?P<year>\d{4})\)")


def preference_rows(ratings: Iterable[str]) -> Iterable[list[str]]:
    """CSV rows from lines of the form user::item::rating::time."""
    yield ["user_id", "item_id", "item_type", "rating", "timestamp"]
    for line in ratings:
        user_id, item_id, rating, timestamp = line.rstrip("\n").split("::")
        yield [user_id, item_id, "movie", rating, timestamp]


def item_rows(movies: Iterable[str]) -> Iterable[list[str]]:
    """CSV rows from lines of the form item::title (year)::genre|genre."""
    yield ["item_id", "item_type", "title", "year", "genres"]
    for line in movies:
        item_id, name, genres = line.rstrip("\n").split("::")
        match = TITLE_AND_YEAR.fullmatch(name)
        if match is None:
            raise ValueError(f"expected 'title (year)', found {name!r}")
        yield [item_id, "movie", match["title"], match["year"], genres]


def to_csv(rows: Iterable[list[str]]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue().encode()


def main(snapshot: Path) -> None:
    with (snapshot / "ratings.dat").open(encoding="utf-8") as ratings:
        preferences = to_csv(preference_rows(ratings))
    with (snapshot / "movies.dat").open(encoding="utf-8") as movies:
        items = to_csv(item_rows(movies))
    # No name and no time in the gzip header: the same input gives the same bytes.
    (HERE / "preferences.csv.gz").write_bytes(gzip.compress(preferences, compresslevel=9, mtime=0))
    (HERE / "items.csv").write_bytes(items)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
