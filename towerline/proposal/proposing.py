"""Proposal of settings for the files of a data set."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from towerline.pipeline.errors import StageError
from towerline.proposal.reading import Column, Dialect, RawTable, read_table
from towerline.proposal.roles import Choice, choose
from towerline.proposal.scratch import scratch_folder
from towerline.raw.files import check_name, files_in
from towerline.raw.names import rank
from towerline.raw.values import USUAL_LOW_RATINGS, unit_of

Value = str | int | float | bool | dict[str, Any] | None
ITEM_COLUMNS = ("item_id", "item_type", "title")
DEFAULT_TYPE = "item"
# Numbers and times of more different values are features by bucket.
MOST_CATEGORIES, BUCKETS = 200, 10
# What stands between the values of a multi-valued feature.
SEPARATORS = "|;"
# 1973 as seconds since 1970; lower numbers are days, or dates such as 20130228.
LEAST_SECONDS = 1e8


class Setting(NamedTuple):
    """A value for params.yaml, named like `ingest.columns.user_id`, and why it is proposed ("" where that is plain)."""

    name: str
    value: Value
    reason: str = ""


class Proposal(NamedTuple):
    """Settings for a data set.

    Attributes:
      settings: in the order of params.yaml.
      summary: what was looked at.
      doubts: what is uncertain and what has to be done by hand, as sentences.
      advice: settings worth a thought, which the data allows.
    """

    settings: list[Setting]
    summary: str
    doubts: list[str]
    advice: list[str]


def propose(paths: Sequence[Path]) -> Proposal:
    """Proposes settings for a file of interactions (or a folder of such files), and an item table where one is given.

    Raises:
      StageError: a file cannot be read, or none, or more than one, holds interactions.
    """
    tables = [(path, _read(_first_file(path))) for path in paths]
    choices = [choose(table.columns) for _, table in tables]
    interactions = [
        number
        for number, (choice, (_, table)) in enumerate(zip(choices, tables, strict=True))
        if _holds_interactions(choice, table)
    ]
    if len(interactions) != 1:
        raise StageError(_not_one(tables, interactions))
    (source,) = interactions
    path, table = tables[source]
    items = [entry for number, entry in enumerate(tables) if number != source]
    doubts = [*_row_doubts(path, table), *table.doubts, *choices[source].doubts, *_time_doubts(choices[source].columns)]
    item_table = _item_table(items, doubts)
    settings = [
        Setting("ingest.source", path.as_posix()),
        Setting("ingest.items", None if item_table is None else item_table[0].as_posix()),
        Setting("ingest.users", None),
        *_dialect_settings(table, item_table, doubts),
        *_role_settings(choices[source], item_table),
        *_value_settings(choices[source].columns),
        Setting("train.user_features", {}),
        _item_features(item_table),
    ]
    unused = _unused(table, choices[source])
    advice = _advice(choices[source].columns)
    if unused and item_table is None and (table.dialect is None or table.dialect.header):
        advice.append(
            f"ingest.items: {path.as_posix()} lets train.item_features declare columns that are not used, where they "
            "describe items; ingest.users and train.user_features are the same for users"
        )
    return Proposal(settings, _summary(table, unused), doubts, advice)


def _first_file(path: Path) -> Path:
    """The path, or the first file of a folder that ingest would read."""
    check_name(path)
    if not path.exists():
        raise StageError(f"{path}: expected a file or a folder, found none; correct the path")
    if not path.is_dir():
        return path
    files = files_in(path)
    if not files:
        raise StageError(f"{path}: expected at least one file in the folder, found none")
    return files[0]


def _read(path: Path) -> RawTable:
    with scratch_folder() as folder:
        return read_table(path, folder)


def _holds_interactions(choice: Choice, table: RawTable) -> bool:
    """True if there are users and items; where one of the two is a guess, both have to occur in several rows."""
    ids = [choice.columns.get(role) for role in ("user_id", "item_id")]
    repeated = all(column is not None and column.distinct < 0.95 * table.rows for column in ids)
    return None not in ids and (repeated or not choice.guessed)


def _not_one(tables: Sequence[tuple[Path, RawTable]], interactions: Sequence[int]) -> str:
    if interactions:
        names = ", ".join(str(tables[number][0]) for number in interactions)
        return f"expected one file of interactions, found several: {names}; put them into a folder, and name the folder"
    path, table = tables[0]
    names = ", ".join(column.name or f"column {column.position}" for column in table.columns)
    return (
        f"{path}: expected a column of users and one of items, found {len(table.columns)} "
        f"column{'s' if len(table.columns) > 1 else ''}: {names[:200]}"
    )


def _row_doubts(path: Path, table: RawTable) -> list[str]:
    doubts = []
    if not path.resolve().is_relative_to(Path.cwd()):
        doubts.append("source: outside of this folder; put it into data/raw, and track it there")
    if path != table.path:
        doubts.append(f"source: looked at {table.path} alone, the first file of the folder")
    total = table.rows + table.blank_rows
    if table.blank_rows > 0.01 * total:
        doubts.append(
            f"source: {table.blank_rows:,} of {total:,} rows are blank, and refused; take them out of the file, or set "
            "ingest.max_rejected_share above their share"
        )
    return doubts


def _time_doubts(columns: dict[str, Column]) -> list[str]:
    time = columns.get("timestamp")
    if time is None or time.nearly_all(time.times) or abs(time.least) >= LEAST_SECONDS:
        return []
    return [f"timestamp_format: numbers from {time.least:.12g} on are no usual times; only their order is certain"]


def _item_table(others: Sequence[tuple[Path, RawTable]], doubts: list[str]) -> tuple[Path, RawTable] | None:
    """The first of the other tables that ingest can read as ingest.items."""
    chosen = None
    for path, table in others:
        names = [column.name for column in table.columns]
        missing = [name for name in ITEM_COLUMNS if name not in names]
        if chosen is None and not missing:
            chosen = (path, table)
        elif any(rank("item_id", name) is not None for name in names) and missing:
            doubts.append(
                f"items: not {path}, which has no column {', '.join(missing)} but {', '.join(names)}; ingest reads an "
                "item table with the columns item_id, item_type, title and any others: rename, or add them"
            )
        else:
            doubts.append(f"items: not {path}, which is no table of items; it is left out")
    return chosen


def _dialect_settings(table: RawTable, item_table: tuple[Path, RawTable] | None, doubts: list[str]) -> list[Setting]:
    of_items = None if item_table is None else item_table[1].dialect
    dialect = table.dialect or (of_items or Dialect())._replace(header=True)
    if item_table is not None and of_items is not None and of_items[:3] != dialect[:3]:
        # Each character of ASCII is the same in both.
        differences = [
            f"{name} {theirs!r} rather than {ours!r}"
            for name, theirs, ours in zip(("delimiter", "quote", "encoding"), of_items, dialect, strict=False)
            if theirs != ours
        ]
        doubts.append(
            f"items: {item_table[0]} has {', '.join(differences)}; both files are read alike: write one of them again"
        )
    return [Setting(f"ingest.{name}", value) for name, value in dialect._asdict().items()]


def _role_settings(choice: Choice, item_table: tuple[Path, RawTable] | None) -> list[Setting]:
    settings = []
    for role in _ORDER:
        column = choice.columns.get(role)
        value = None if column is None else column.label
        settings.append(Setting(f"ingest.columns.{role}", value, choice.reasons.get(role, "")))
    constant = Setting("ingest.constant_item_type", DEFAULT_TYPE)
    if item_table is not None and "item_type" not in choice.columns:
        types = next(column for column in item_table[1].columns if column.name == "item_type").examples
        if len(types) == 1:
            constant = Setting("ingest.constant_item_type", types[0], "the type of all rows of the item table")
    return [*settings, constant]


# No column is taken for weights: whether numbers are plays, prices or ages, only the user knows.
_ORDER = ("user_id", "item_id", "item_type", "rating", "timestamp", "weight", "split")


def _value_settings(columns: dict[str, Column]) -> list[Setting]:
    settings = []
    time, rating = columns.get("timestamp"), columns.get("rating")
    form = "seconds"
    if time is not None:
        form = "iso8601" if time.nearly_all(time.times) else unit_of(time.most) or form
    settings.append(Setting("ingest.timestamp_format", form))
    settings.append(Setting("ingest.weights", None))
    least, most = (None, None) if rating is None else (_plain_number(rating.least), _plain_number(rating.most))
    settings.append(Setting("ingest.minimum_allowed_rating", least, "the lowest of the file" if rating else ""))
    settings.append(Setting("ingest.maximum_allowed_rating", most, "the highest of the file" if rating else ""))
    low = ""
    if rating is not None and rating.low > USUAL_LOW_RATINGS:
        low = f"{rating.low:.0%} of the ratings are in the lower half, and count as likes unless dislikes.below is set"
    settings.append(Setting("ingest.minimum_rating", None, low))
    if rating is None:
        settings.append(Setting("train.rating_weight", 0.0, "no ratings are read"))
    return settings


def _item_features(item_table: tuple[Path, RawTable] | None) -> Setting:
    """The columns of the item table as features, each with the kind that its values allow."""
    columns = [] if item_table is None else [column for column in item_table[1].columns if column.filled]
    features = {column.name: _kind(column) for column in columns if column.name not in ("item_id", "item_type")}
    texts = [name for name, feature in features.items() if feature["kind"] == "categorical"]
    reason = f"multi_valued, with a separator, for several values in one text; text for words: {', '.join(texts)}"
    return Setting("train.item_features", features, reason if texts else "")


def _kind(column: Column) -> dict[str, Any]:
    if column.name == "title":
        return {"kind": "text"}
    separators = [mark for mark in SEPARATORS if any(mark in example for example in column.examples)]
    if separators:
        return {"kind": "multi_valued", "separator": separators[0]}
    few = column.distinct <= MOST_CATEGORIES
    if column.nearly_all(column.numbers) and not few:
        return {"kind": "number", "buckets": BUCKETS}
    if column.nearly_all(column.times) and not few:
        return {"kind": "time", "buckets": BUCKETS}
    return {"kind": "categorical"}


def _plain_number(number: float) -> float | int:
    return int(number) if number == math.floor(number) else number


def _advice(columns: dict[str, Column]) -> list[str]:
    advice = []
    if "split" in columns:
        advice.append("split.method: column takes the split that comes with the data")
    if "timestamp" in columns:
        advice.append("split.method: temporal (or leave_last_out) tests on what came later; random learns from it")
    return advice


def _unused(table: RawTable, choice: Choice) -> list[str]:
    """The columns of no role; a file whose delimiter is written twice has an empty column between two."""
    used = {column.position for column in choice.columns.values()}
    return [str(column.label) for column in table.columns if column.position not in used and column.filled]


def _summary(table: RawTable, unused: Sequence[str]) -> str:
    kind = "Parquet" if table.dialect is None else "delimited text"
    note = f"; not used: {', '.join(unused)}" if unused else ""
    return f"{table.path.as_posix()}: {kind}, {table.rows:,} rows, {len(table.columns)} columns{note}"
