"""All that the pipeline made -> one page for a person who did not write it.

The page needs nothing but itself: charts, their script and their data are in it, and it asks no network for anything.

Reads: reports/ingest.json, training.csv, metrics.json, tables/*.csv, data/rejected.parquet, data/split/*.parquet,
  data/vocabulary/*.parquet, models/two_tower/{user,item}_embeddings.npy.
Writes: reports/report.html.
Parameters: none.
"""

import csv
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import pyarrow as pa
import pyarrow.parquet as pq

from stages.report import inputs, page
from stages.report.inputs import Inputs, Items, Timed
from towerline.artifacts.baselines import BASELINES_TABLE
from towerline.artifacts.evaluate import DIFFERENCES_TABLE, EXPOSURE_TABLE, METRICS, METRICS_TABLE, RATINGS_TABLE
from towerline.artifacts.ingest import INGEST_REPORT, REJECTED
from towerline.artifacts.split import TEST, TRAIN, VALIDATION, read_interactions
from towerline.artifacts.train import ITEM_EMBEDDINGS, TRAINING_REPORT, USER_EMBEDDINGS, read_embeddings
from towerline.artifacts.vocabulary import ITEM_VOCABULARY, USER_VOCABULARY
from towerline.pipeline import formats
from towerline.pipeline.errors import StageError
from towerline.pipeline.terminal import run

REFUSED_ROWS_SHOWN = 10

Row = TypeVar("Row", bound=NamedTuple)

REPORT = Path("reports/report.html")


def _number(cell: str) -> float:
    return float(cell) if cell else math.nan


CONVERT: dict[type, Callable[[str], Any]] = {
    str: str,
    int: lambda cell: int(cell or 0),
    float: _number,
    bool: lambda cell: cell == "True",
}


def _cells(path: Path) -> Iterator[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        yield from csv.DictReader(file)


def read_rows(path: Path, of: type[Row]) -> list[Row]:
    """The rows of a table of `evaluate` in its order: an empty number is NaN, an empty count 0.

    Raises:
      StageError: a column is missing, or a cell is not what its column holds.
    """
    rows = []
    for line, cells in enumerate(_cells(path), start=2):
        missing = sorted(set(of._fields) - set(cells))
        if missing:
            raise StageError(f"{path}: expected the columns {', '.join(missing)}, found none; repro evaluate")
        try:
            rows.append(of(*(CONVERT[of.__annotations__[name]](cells[name]) for name in of._fields)))
        except (TypeError, ValueError) as error:
            raise StageError(f"{path}: line {line}: expected numbers in its columns: {error}; repro evaluate") from None
    return rows


def read_training(path: Path) -> dict[str, list[float]]:
    """Column -> values by epoch; NaN where a cell is empty."""
    rows = list(_cells(path))
    return {name: [_number(row[name]) for row in rows] for name in (rows[0] if rows else ())}


def read_timed(path: Path) -> Timed:
    part = read_interactions(path)
    timed = "timestamp" in pq.read_schema(path).names
    return Timed(part, pq.read_table(path, columns=["timestamp"])["timestamp"].to_numpy() if timed else None)


def read_vocabulary(path: Path, num_ids: int) -> pa.Table:
    vocabulary = pq.read_table(path)
    if len(vocabulary) != num_ids:
        raise StageError(f"{path}: expected the split's {num_ids} ids, found {len(vocabulary)}; repro split")
    return vocabulary


def read_inputs() -> Inputs:
    """All that the page shows something of."""
    parts = {path.stem: read_timed(path) for path in (TRAIN, VALIDATION, TEST)}
    num_users, num_items = parts["train"].part.num_users, parts["train"].part.num_items
    items = read_vocabulary(ITEM_VOCABULARY, num_items)
    title = items["title"] if "title" in items.column_names else None
    return Inputs(
        ingest=formats.read_json(INGEST_REPORT),
        refused=pq.read_table(REJECTED).slice(0, REFUSED_ROWS_SHOWN).to_pylist(),
        parts=parts,
        users=read_vocabulary(USER_VOCABULARY, num_users)["user_id"],
        items=Items(items["item_type"], items["item_id"], title),
        user_embeddings=read_embeddings(USER_EMBEDDINGS, num_users),
        item_embeddings=read_embeddings(ITEM_EMBEDDINGS, num_items),
        training=read_training(TRAINING_REPORT),
        counts=formats.read_json(METRICS)["counts"],
        metrics=read_rows(METRICS_TABLE, inputs.MetricRow),
        differences=read_rows(DIFFERENCES_TABLE, inputs.DifferenceRow),
        exposure=read_rows(EXPOSURE_TABLE, inputs.ExposureRow),
        ratings=read_rows(RATINGS_TABLE, inputs.RatingRow),
        trials=read_rows(BASELINES_TABLE, inputs.TrialRow),
    )


def main() -> str:
    html = page.render(read_inputs())
    with formats.replacing(REPORT) as unfinished:
        unfinished.write_text(html, encoding="utf-8", newline="\n")
    return f"{REPORT}: {len(html.encode()):,} bytes"


if __name__ == "__main__":
    run("report", main)
