"""Interactions -> training, validation and test set, as vocabulary indices; the same rows in any order split alike.

Reads: data/interactions.parquet, data/vocabulary/users.parquet, data/vocabulary/items.parquet.
Writes: data/split/train.parquet, data/split/validation.parquet, data/split/test.parquet.
Parameters: split, engine.
"""

import ibis.expr.types as ir
from ibis import _

from stages.split.assignment import assigned, indexed
from stages.split.checks import check_rows, check_users
from stages.split.params import SplitParams
from stages.split.validation_share import with_validation
from towerline.artifacts.ingest import INTERACTIONS
from towerline.artifacts.split import TEST, TRAIN, VALIDATION
from towerline.artifacts.vocabulary import ITEM_VOCABULARY, USER_VOCABULARY
from towerline.pipeline import formats
from towerline.pipeline.terminal import run
from towerline.tables import engine, expressions

PATHS = {"train": TRAIN, "validation": VALIDATION, "test": TEST}
COLUMNS = ("user_index", "item_index", "rating", "timestamp", "weight")
# What the stage writes: the rows with their draw, the rows with their set, and the three sets. With ratings and times
# it was 72 bytes a row.
BYTES_PER_ROW = 75


def row_counts(rows: ir.Table) -> dict[str, int]:
    """Number of rows of each set."""
    groups = rows.group_by("set_name").agg(number=_.count()).to_pyarrow().to_pylist()
    return dict.fromkeys(PATHS, 0) | {row["set_name"]: row["number"] for row in groups}


def main() -> str:
    params = SplitParams.load()
    with engine.session("split", formats.num_rows(INTERACTIONS), BYTES_PER_ROW) as session:
        users, items = (session.read(path) for path in (USER_VOCABULARY, ITEM_VOCABULARY))
        sizes = {"num_users": expressions.count_of(users), "num_items": expressions.count_of(items)}
        interactions = session.read(INTERACTIONS)
        drawn = assigned(session, indexed(interactions, users, items, params), params)
        columns = [name for name in COLUMNS if name in drawn.columns]
        rows = session.stored(drawn.select("set_name", *columns))
        counts = row_counts(rows)
        if params.validation_share and counts["train"] and not counts["validation"]:
            rows = session.stored(with_validation(session, drawn, params).select("set_name", *columns))
            counts = row_counts(rows)
        check_rows(rows, counts, params)
        check_users(rows, params)
        for name, path in PATHS.items():
            of_set = rows.filter(_.set_name == name).select(columns).order_by("user_index", "item_index")
            session.write(path, of_set, sizes)
    return ", ".join(f"{number:,} {name}" for name, number in counts.items())


if __name__ == "__main__":
    run("split", main)
