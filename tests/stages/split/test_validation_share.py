"""A validation set out of the training set: a share of each user, or the latest rows."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.conftest import planted_rows, set_params
from tests.stages.conftest import Ingest
from tests.stages.split.conftest import COLUMN, PARTS, Row, run_split


def column_split(rows: list[list[str]]) -> bytes:
    """Planted rows as text with a split column: every fourth row is a test row, none a validation row."""
    lines = [",".join([*row[:3], "test" if number % 4 == 0 else "train"]) for number, row in enumerate(rows)]
    return "\n".join(["user_id,item_id,item_type,part", *lines]).encode()


@pytest.mark.parametrize("given_parts", ["column", "random"])
def test_a_split_without_validation_rows_takes_a_share_of_each_user_out_of_train(
    ingest: Ingest, given_parts: str
) -> None:
    rows = planted_rows(num_users=400)
    set_params(Path(), {"train.early_stopping_patience": 0, "train.temperature": 0.2, "train.popularity_prior": 0.0})
    if given_parts == "column":
        ingest(column_split(rows), **COLUMN)
        method: dict[str, Any] = {"method": "column"}
    else:
        ingest(rows)
        method = {"train": 0.7, "validation": 0, "test": 0.3}
    without, taken = run_split(**method, validation_share=0.0), run_split(**method, validation_share=0.15)
    assert taken["test"] == without["test"]
    assert sorted(taken["train"] + taken["validation"]) == without["train"]
    before, after = (np.bincount([row[0] for row in parts["train"]], minlength=401)[1:] for parts in (without, taken))
    assert (after >= 1).all()
    assert (np.abs(before - after - 0.15 * before) < 1).all()
    # Rounded by chance: the share over all users is the one that was asked for. Which rows it is has no pattern.
    assert len(taken["validation"]) == pytest.approx(0.15 * len(without["train"]), rel=0.03)
    items = {part: np.array([row[1] for row in taken[part]]) for part in PARTS}
    assert items["validation"].mean() == pytest.approx(items["train"].mean(), rel=0.05)
    assert run_split(seed=43, validation_share=0.15)["validation"] != taken["validation"]


def test_the_validation_share_is_the_same_for_rows_in_any_order_and_with_new_users(ingest: Ingest) -> None:
    rows = [[*row[:3], "test" if number % 4 == 0 else "train"] for number, row in enumerate(planted_rows())]

    def split_of(rows: list[list[str]]) -> dict[str, list[Row]]:
        lines = [",".join(row) for row in rows]
        ingest("\n".join(["user_id,item_id,item_type,part", *lines]).encode(), **COLUMN)
        return run_split(method="column", validation_share=0.2)

    first = split_of(rows)
    assert split_of(rows[::-1]) == first
    # After all others in the vocabularies.
    more = split_of([*rows, *([f"z{number}", "0000000", "zine", "train"] for number in range(30))])
    assert first["validation"] == [row for row in more["validation"] if row[0] <= 60]


def test_every_user_keeps_a_training_row(ingest: Ingest) -> None:
    rows = [f"{user},{item},t,{part}" for user in "abcdefgh" for item, part in (("1", "train"), ("2", "train"))]
    ingest(
        "\n".join(["user_id,item_id,item_type,part", *rows, *(f"{user},3,t,test" for user in "ab")]).encode(), **COLUMN
    )
    parts = run_split(method="column", validation_share=0.99)
    assert [row[0] for row in parts["train"]] == [row[0] for row in parts["validation"]] == list(range(1, 9))


def test_a_temporal_split_takes_its_latest_training_rows_as_validation(ingest: Ingest) -> None:
    ingest([[f"u{n % 5}", f"i{n}", "t", "1", str(n // 5)] for n in range(40)])
    parts = run_split(method="temporal", train=0.7, validation=0, test=0.3, validation_share=0.2)
    times = {part: [row[2] or 0 for row in parts[part]] for part in PARTS}
    assert max(times["train"]) < min(times["validation"])
    assert max(times["validation"]) < min(times["test"])
    assert len(times["validation"]) >= 0.2 * (len(times["validation"]) + len(times["train"]))


def test_a_split_with_validation_rows_of_its_own_keeps_them(ingest: Ingest) -> None:
    ingest(planted_rows())
    assert run_split(validation_share=0.5) == run_split(validation_share=0.0)
