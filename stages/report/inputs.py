"""The inputs of the report, in memory, and their readers."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, get_type_hints

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from ruamel.yaml import YAML

from stages.report.wording import shortened
from towerline.artifacts.baselines import BASELINES, BASELINES_TABLE, SETTINGS
from towerline.artifacts.evaluate import (
    ALL,
    DIFFERENCES_TABLE,
    EVERYTHING,
    EXPOSURE_TABLE,
    METRICS_TABLE,
    RATINGS_TABLE,
    TEST_SET_TABLE,
    CountRow,
    DifferenceRow,
    ExposureRow,
    MetricRow,
    RatingRow,
)
from towerline.artifacts.ingest import INGEST_REPORT, REJECTED
from towerline.artifacts.map import ITEM_MAP, MapRow
from towerline.artifacts.names import MODEL, main_cutoff
from towerline.artifacts.split import TEST, TRAIN, VALIDATION, Interactions, read_interactions
from towerline.artifacts.train import FEATURES_TABLE, FEEDBACK_TABLE, TRAINING_REPORT, TWO_TOWER, read_embeddings
from towerline.artifacts.transfer import TRANSFER_TABLE, TransferRow
from towerline.artifacts.vocabulary import ITEM_VOCABULARY, USER_VOCABULARY
from towerline.pipeline import formats
from towerline.pipeline.errors import StageError
from towerline.ranking.user_items import UserItems

REFUSED_ROWS_SHOWN = 10
PARAMETERS = Path("params.yaml")
SECTIONS = ("ingest", "split", "dislikes", "train", "baselines", "evaluate")


class Columns(NamedTuple):
    """The columns of a table that the page shows.

    Attributes:
      texts, numbers: names of the columns of text, and of those of numbers.
    """

    texts: Sequence[str]
    numbers: Sequence[str]

    @classmethod
    def of(cls, row: type) -> "Columns":
        """The fields of a named tuple, which are texts or numbers by their type."""
        types = get_type_hints(row)
        texts = [name for name, kind in types.items() if kind is str]
        return cls(texts, [name for name in types if name not in texts])


TABLES: Mapping[Path, Columns] = {
    METRICS_TABLE: Columns.of(MetricRow),
    DIFFERENCES_TABLE: Columns.of(DifferenceRow),
    EXPOSURE_TABLE: Columns.of(ExposureRow),
    RATINGS_TABLE: Columns.of(RatingRow),
    TEST_SET_TABLE: Columns.of(CountRow),
    BASELINES_TABLE: Columns(
        ("baseline", "metric", "chosen", "dislikes"),
        ("trial", "k", "validation", "left_out_gb", *(name for name in SETTINGS if name != "dislikes")),
    ),
    ITEM_MAP: Columns.of(MapRow),
    TRAINING_REPORT: Columns((), ("epoch",)),
    TRANSFER_TABLE: Columns.of(TransferRow),
    FEATURES_TABLE: Columns(("ids", "column"), ("known", "vectors", "counts")),
    FEEDBACK_TABLE: Columns(("dislikes", "chosen"), ("weight_exponent", "k", "ndcg")),
}
OTHER_FILES = (
    INGEST_REPORT,
    REJECTED,
    TRAIN,
    VALIDATION,
    TEST,
    USER_VOCABULARY,
    ITEM_VOCABULARY,
    TWO_TOWER.user_embeddings,
    TWO_TOWER.item_embeddings,
)


class Items(NamedTuple):
    """The item vocabulary; row r belongs to index r + 1.

    Attributes:
      table: item_type, item_id; title and features (name -> text) where there are any.
    """

    table: pa.Table

    def _texts(self, name: str, index: NDArray[np.integer[Any]]) -> list[Any]:
        values: list[Any] = self.table[name].take(pa.array(index - 1)).to_pylist()
        return values

    def labels(self, index: NDArray[np.integer[Any]]) -> list[str]:
        """The items' titles, or their ids where they have none."""
        ids = self.ids(index)
        if "title" not in self.table.column_names:
            return ids
        return [shortened(title or "") or name for title, name in zip(self._texts("title", index), ids, strict=True)]

    def ids(self, index: NDArray[np.integer[Any]]) -> list[str]:
        return [shortened(name) for name in self._texts("item_id", index)]

    def types(self, index: NDArray[np.integer[Any]]) -> list[str]:
        return [shortened(kind) for kind in self._texts("item_type", index)]

    def details(self, index: NDArray[np.integer[Any]]) -> list[str]:
        """The items' types where there are several, else empty texts."""
        return self.types(index) if self.num_types() > 1 else [""] * len(index)

    def features(self, index: NDArray[np.integer[Any]]) -> dict[str, list[str]]:
        """The features: name -> the first of the values that `|` separates, empty where an item has none."""
        if "features" not in self.table.column_names:
            return {}
        features = [dict(pairs or ()) for pairs in self._texts("features", index)]
        names = sorted({name for values in features for name in values})
        return {name: [shortened((values.get(name) or "").partition("|")[0]) for values in features] for name in names}

    def type_names(self) -> list[str]:
        """The item types in the order of their first items."""
        return [shortened(kind) for kind in self.table["item_type"].unique().to_pylist()]

    def type_numbers(self) -> NDArray[np.int64]:
        """[num_items + 1] the position of each item's type among type_names(); the unknown item has 0."""
        codes = self.table["item_type"].combine_chunks().dictionary_encode().indices.to_numpy()
        return np.concatenate([[0], codes]).astype(np.int64)

    def num_types(self) -> int:
        return len(self.table["item_type"].unique())


class Inputs(NamedTuple):
    """All data that the page shows.

    Attributes:
      settings: the sections of params.yaml that the page shows.
      digests: path -> MD5 of each file that was read, as in dvc.lock.
      ingest: counts of rows, users and items, by name.
      refused: the first refused rows: source, line, reason, raw.
      sets: train, validation, test, in this order.
      users: [num_users] user ids; row r belongs to index r + 1.
      items: the item vocabulary.
      user_embeddings, item_embeddings: [num_ids + 1, d + PRIOR_DIMENSIONS], the terms of the popularity prior last.
      training: a row for each epoch, NaN where a cell is empty.
      features: how much each feature explains; a row is a FeatureRow.
      feedback: the ways of counting the rows that were tried; a row is a FeedbackRow.
      metrics, differences, exposure, ratings: tables of evaluate; a row is a MetricRow, DifferenceRow, ExposureRow or
        RatingRow.
      test_set: numbers of users and test rows; a row is a CountRow.
      transfer: how much the rows of a type help another one; a row is a TransferRow.
      trials: settings of the baselines and their metric on the validation set; a row is a TrialRow.
      item_map: positions of items on a plane; a row is a MapRow.
      baseline: name and arrays of the best baseline by NDCG at the main cutoff; None where there is none.
    """

    settings: dict[str, dict[str, Any]]
    digests: dict[str, str]
    ingest: dict[str, Any]
    refused: Sequence[dict[str, Any]]
    sets: dict[str, Interactions]
    users: pa.ChunkedArray
    items: Items
    user_embeddings: NDArray[np.float32]
    item_embeddings: NDArray[np.float32]
    training: pd.DataFrame
    features: pd.DataFrame
    feedback: pd.DataFrame
    metrics: pd.DataFrame
    differences: pd.DataFrame
    exposure: pd.DataFrame
    ratings: pd.DataFrame
    test_set: pd.DataFrame
    transfer: pd.DataFrame
    trials: pd.DataFrame
    item_map: pd.DataFrame
    baseline: tuple[str, dict[str, NDArray[Any]]] | None

    def user_labels(self, index: NDArray[np.integer[Any]]) -> list[str]:
        return [shortened(name) for name in self.users.take(pa.array(index - 1)).to_pylist()]

    def rows(self, *sets: str) -> Interactions:
        """The rows of the given sets."""
        return Interactions.joined(*(self.sets[name] for name in sets))

    def items_by_user(self, *sets: str) -> UserItems:
        """The items of each user in the given sets; row u is that of user u."""
        return UserItems.of_interactions(self.rows(*sets))

    def drawn_users(self) -> tuple[int, int]:
        """The number of users with test rows that were drawn, and that of all."""
        numbers = dict(zip(self.test_set["name"], self.test_set["number"].astype(int), strict=True))
        drawn = sum(numbers[name] for name in ("users_ranked", "cold_users", "users_with_dislikes_alone"))
        return drawn, drawn + numbers["users_not_drawn"]

    def overall(self) -> pd.DataFrame:
        """Metrics over the whole catalogue and all users."""
        return self.metrics[(self.metrics["candidates"] == EVERYTHING) & (self.metrics["by"] == ALL)]

    def cutoff(self) -> int:
        """MAIN_CUTOFF where it was measured, else the next smaller cutoff, else the smallest.

        Raises:
          StageError: the table has no row of the model over all users.
        """
        overall = self.overall()
        cutoffs = overall.loc[overall["model"] == MODEL, "k"].astype(int).tolist()
        if not cutoffs:
            raise StageError(
                f"{METRICS_TABLE}: expected rows of {MODEL} over everything and all users, found none; repro evaluate"
            )
        return main_cutoff(cutoffs)

    def best_baselines(self) -> list[str]:
        """The baselines by NDCG at the main cutoff, the best first."""
        overall = self.overall()
        rows = overall[
            (overall["metric"] == "ndcg") & (overall["k"] == self.cutoff()) & (overall["model"] != MODEL)
        ].sort_values("mean", ascending=False, kind="stable")
        return [str(name) for name in rows["model"]]

    def digest(self) -> str:
        """The first 12 digits of a SHA-256 over the names and digests of all files."""
        lines = "".join(f"{name} {digest}\n" for name, digest in self.digests.items())
        return hashlib.sha256(lines.encode()).hexdigest()[:12]


def read_table(path: Path) -> pd.DataFrame:
    """A table with its columns of TABLES as text and the others as numbers, NaN where a cell is empty.

    Raises:
      StageError: a column is missing, or a cell of a column of numbers holds none.
    """
    texts, numbers = TABLES[path]
    table = pd.read_csv(path, dtype=str, keep_default_na=False)
    missing = sorted({*texts, *numbers} - set(table.columns))
    if missing:
        raise StageError(
            f"{path}: expected the columns {', '.join(missing)}, found none; repro the stage that writes it"
        )
    for name in table.columns.difference(list(texts)):
        values = pd.to_numeric(table[name], errors="coerce")
        broken = np.flatnonzero(values.isna() & (table[name] != ""))
        if len(broken):
            cell = shortened(str(table[name].iloc[broken[0]]))
            raise StageError(
                f"{path}: line {broken[0] + 2}: expected a number in the column {name}, found {cell!r}; "
                "repro the stage that writes it"
            )
        table[name] = values.astype(float)
    return table


def rows_of(table: pd.DataFrame) -> Iterator[Any]:
    """The rows of a table as named tuples, whose attributes are unknown to type checkers."""
    return iter(table.itertuples(index=False))


def read_vocabulary(path: Path, num_ids: int) -> pa.Table:
    vocabulary = pq.read_table(path)
    if len(vocabulary) != num_ids:
        raise StageError(f"{path}: expected the split's {num_ids} ids, found {len(vocabulary)}; repro split")
    return vocabulary


def read_settings() -> dict[str, dict[str, Any]]:
    content = YAML(typ="safe").load(PARAMETERS)
    return {name: content[name] for name in SECTIONS}


def read_inputs() -> Inputs:
    """Reads all data that the page shows."""
    sets = {path.stem: read_interactions(path) for path in (TRAIN, VALIDATION, TEST)}
    num_users, num_items = sets["train"].num_users, sets["train"].num_items
    files = sorted(path.as_posix() for path in (*OTHER_FILES, *TABLES))
    inputs = Inputs(
        settings=read_settings(),
        digests={name: _md5(Path(name)) for name in files},
        ingest=formats.read_json(INGEST_REPORT),
        refused=pq.read_table(REJECTED).slice(0, REFUSED_ROWS_SHOWN).to_pylist(),
        sets=sets,
        users=read_vocabulary(USER_VOCABULARY, num_users)["user_id"],
        items=Items(read_vocabulary(ITEM_VOCABULARY, num_items)),
        user_embeddings=read_embeddings(TWO_TOWER.user_embeddings, num_users),
        item_embeddings=read_embeddings(TWO_TOWER.item_embeddings, num_items),
        training=read_table(TRAINING_REPORT),
        features=read_table(FEATURES_TABLE),
        feedback=read_table(FEEDBACK_TABLE),
        metrics=read_table(METRICS_TABLE),
        differences=read_table(DIFFERENCES_TABLE),
        exposure=read_table(EXPOSURE_TABLE),
        ratings=read_table(RATINGS_TABLE),
        test_set=read_table(TEST_SET_TABLE),
        transfer=read_table(TRANSFER_TABLE),
        trials=read_table(BASELINES_TABLE),
        item_map=read_table(ITEM_MAP),
        baseline=None,
    )
    return _with_baseline(inputs)


def _with_baseline(inputs: Inputs) -> Inputs:
    """The inputs with the best baseline that has a file, and the digest of the file."""
    files = {path.stem: path for path in BASELINES.iterdir()}
    name = next((name for name in inputs.best_baselines() if name in files), None)
    if name is None:
        return inputs
    digests = inputs.digests | {files[name].as_posix(): _md5(files[name])}
    return inputs._replace(baseline=(name, formats.read_arrays(files[name])), digests=digests)


def _md5(path: Path) -> str:
    return hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()
