"""Errors of a split that cannot be trained or tested on, and the setting to change."""

import ibis.expr.types as ir
from ibis import _

from stages.split.assignment import LEAST_ROWS_TO_LEAVE_OUT
from stages.split.params import SplitParams
from towerline.pipeline.errors import StageError
from towerline.tables import expressions


def check_rows(rows: ir.Table, counts: dict[str, int], params: SplitParams) -> None:
    """Raises StageError where a set that is needed has no rows, and names the setting to change."""
    for name, title in (("train", "training"), ("test", "test")):
        if not counts[name]:
            raise StageError(
                f"expected at least one row in the {title} set, found none; {advice_without(name, rows, params)}"
            )
    if counts["validation"]:
        return
    if params.validation_share or (params.has_sizes and params.validation):
        raise StageError(
            f"split.validation_share: expected at least one validation row of {counts['train']} training rows, found "
            f"none at {params.validation_share:g}; {validation_advice(rows, params)}; to do without validation, set it "
            "and split.validation to 0, train.early_stopping_patience to 0, and train.temperature and "
            "train.popularity_prior to numbers"
        )


def advice_without(name: str, rows: ir.Table, params: SplitParams) -> str:
    """The setting to change where the training or the test set has no rows."""
    match params.method:
        case "leave_last_out":
            return f"no user has {LEAST_ROWS_TO_LEAVE_OUT} rows; set split.method to random"
        case "column":
            return f"name rows '{name}' in the column of ingest.columns.split"
        case "temporal" if has_one(rows.timestamp):
            return "all rows have the same time, so no time divides them; set split.method to random"
        case "temporal" if name == "train":
            return "rows of the same time stay together, in the later set; set split.test and split.validation lower"
    return f"set split.{name} higher"


def validation_advice(rows: ir.Table, params: SplitParams) -> str:
    """The setting to change where the validation set has no rows."""
    train = rows.filter(_.set_name == "train")
    if params.method == "temporal":
        if has_one(train.timestamp):
            return "all training rows have the same time, so no time divides them; set split.method to random"
        return "set it or split.validation higher"
    other = "set split.validation higher"
    if params.method == "column":
        other = "name rows 'validation' in the column of ingest.columns.split"
    if expressions.count_of(train) == int(train.user_index.nunique().to_pyarrow().as_py()):
        return f"no user has two training rows, and each keeps one, so no share is enough; {other}"
    return f"set it higher, or {other}"


def has_one(values: ir.Column) -> bool:
    """True if all values are the same."""
    return int(values.nunique().to_pyarrow().as_py()) == 1


def check_users(rows: ir.Table, params: SplitParams) -> None:
    """Raises StageError where no user of the test set, or of the validation set, has training rows.

    train and baselines would have nobody to choose settings on, and evaluate would rank for nobody but users of the
    validation set. A validation set may be empty.
    """
    held_out = ("test", "validation")
    users = rows.group_by("user_index").agg(**{name: (_.set_name == name).any() for name in ("train", *held_out)})
    there = {name: _[name].any() for name in held_out}
    trained = {f"trained_{name}": (_[name] & _.train).any() for name in held_out}
    found = users.agg(**there, **trained).to_pyarrow().to_pylist()[0]
    for name in held_out:
        if found[name] and not found[f"trained_{name}"]:
            raise StageError(
                f"split.method: expected users with rows in both the training and the {name} set, found none with "
                f"{params.method}; {users_advice(name, params)}"
            )


def users_advice(name: str, params: SplitParams) -> str:
    """The setting to change where the training set has no user in common with a set."""
    if params.method == "column":
        return f"name 'train' and '{name}' rows of the same users in the column of ingest.columns.split"
    setting = "split.validation_share" if name == "validation" and not params.validation else f"split.{name}"
    if params.method == "temporal":
        return f"set split.method to leave_last_out or random, or {setting} higher"
    return f"set split.train and {setting} higher"
