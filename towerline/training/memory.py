"""The memory of a training, which is known before it starts."""

from pathlib import Path
from typing import NamedTuple

from towerline.artifacts.split import Sizes
from towerline.artifacts.train import MODELS
from towerline.pipeline.errors import StageError
from towerline.pipeline.free_memory import GIGABYTE, free_bytes
from towerline.training.place import Place
from towerline.training.recipe import Hyperparameters

# Python and TensorFlow, in bytes.
PROCESS = 0.6 * GIGABYTE
# Copies of the embedding tables at the peak, which is where a checkpoint is written: the variables, their values after
# this epoch and after the best one, and the arrays that are written. Measured from 0.05 to 0.6 GB of tables.
TABLES = 6
# The moments of the optimizer in units of the tables, as variables and as the arrays that are written; Adam has two,
# and gradients of all rows.
MOMENTS = {"sgd": 0, "adagrad": 2, "adam": 6}
# The conjugate gradients of the rating head.
RATING_HEAD = 12
# Users, items, times, their order by user, and the matrices of the initial vectors. Without times it is half of it.
BYTES_PER_ROW = 40
# Ratings, and what the rating head computes of them.
RATING_BYTES_PER_ROW = 20
# Rows that take more than this share of the free memory are kept in files.
ROWS_SHARE = 0.25
# A training that takes less is not worth a line.
NOTEWORTHY = GIGABYTE


def row_bytes(settings: Hyperparameters, num_rows: int) -> float:
    """About how many bytes the arrays with one number a row take, in memory or in files."""
    return (BYTES_PER_ROW + (RATING_BYTES_PER_ROW if settings.rating_weight else 0)) * num_rows


def row_folder(settings: Hyperparameters, num_rows: int) -> Path | None:
    """Where to keep the rows of a training: a folder for their files, or None for memory.

    They are in files where they would take more than ROWS_SHARE of the free memory.
    """
    return MODELS if row_bytes(settings, num_rows) > ROWS_SHARE * free_bytes() else None


class Plan(NamedTuple):
    """Where the rows of a training are, and what to say of its memory before it starts.

    Attributes:
      folder: of the files of the rows; None for memory.
      line: what the training takes; None where it is not worth a line.
    """

    folder: Path | None
    line: str | None


def plan(settings: Hyperparameters, sizes: Sizes, here: Place) -> Plan:
    """The plan for a worker, to be made before any row is read.

    Args:
      settings: the hyperparameters.
      sizes: of all rows of the fit.
      here: the place of the worker; one that follows keeps its part of the rows in memory.

    Raises:
      StageError: the training takes more memory than is free.
    """
    num_rows = sizes.num_rows // here.workers if here.worker else sizes.num_rows
    folder = None if here.worker else row_folder(settings, num_rows)
    return Plan(folder, check_memory(settings, sizes.num_users, sizes.num_items, num_rows, folder is not None))


def training_bytes(
    settings: Hyperparameters, num_users: int, num_items: int, num_rows: int, in_files: bool = False
) -> float:
    """About how many bytes a training takes: a linear function of the numbers of ids and of rows in memory.

    Args:
      settings: the hyperparameters.
      num_users, num_items: sizes of the vocabularies.
      num_rows: number of rows of the fit.
      in_files: true if files have the rows.
    """
    tables = 4 * settings.embedding_dimension * (num_users + num_items)
    copies = TABLES + MOMENTS[settings.optimizer] + (RATING_HEAD if settings.rating_weight else 0)
    return PROCESS + copies * tables + (0 if in_files else row_bytes(settings, num_rows))


def check_memory(
    settings: Hyperparameters, num_users: int, num_items: int, num_rows: int, in_files: bool = False
) -> str | None:
    """What the training takes, as a line; None where it is not worth one. Arguments as of training_bytes().

    Raises:
      StageError: it takes more memory than is free.
    """
    needed, free = training_bytes(settings, num_users, num_items, num_rows, in_files), free_bytes()
    what = (
        f"{num_users:,} users and {num_items:,} items of {settings.embedding_dimension} dimensions with "
        f"{settings.optimizer} and {num_rows:,} rows"
    )
    smaller = ", set train.optimizer to adagrad" if settings.optimizer == "adam" else ""
    if needed > free:
        raise StageError(
            f"train.embedding_dimension: expected at least {needed / GIGABYTE:.1f} GB of free memory for {what}, found "
            f"{free / GIGABYTE:.1f}; lower it{smaller}, or leave out ids with few rows by "
            "ingest.minimum_user_interactions and ingest.minimum_item_interactions"
        )
    line = f"{what} take about {needed / GIGABYTE:.1f} GB of memory"
    if in_files:
        of_rows = row_bytes(settings, num_rows) / GIGABYTE
        return (
            f"{line}; the rows are in files in {MODELS}/ (up to {of_rows:.1f} GB), since they would take more than "
            f"{ROWS_SHARE:.0%} of the free memory"
        )
    return line if needed > NOTEWORTHY else None
