"""The train stage."""

import re

import numpy as np
import pytest

from stages.train.__main__ import check_data
from tests.conftest import ROOT
from towerline.artifacts.split import Interactions
from towerline.pipeline.errors import StageError
from towerline.training.params import TrainParams


def part(*rows: tuple[int, int], ratings: bool = False) -> Interactions:
    user, item = np.array(rows, np.int32).reshape(-1, 2).T
    return Interactions(user, item, np.ones(len(rows), np.float32) if ratings else None, 9, 9)


@pytest.mark.parametrize(
    ("train", "validation", "message"),
    [
        (part((1, 1)), part((1, 2)), "train.rating_weight: expected 0 since data/split/train.parquet has no ratings"),
        (
            part((1, 1), ratings=True),
            part(),
            "found none, since data/split/validation.parquet has no rows; set split.validation_share above 0, or set",
        ),
        (
            part((1, 1), ratings=True),
            part((2, 1)),
            "no user of data/split/validation.parquet has rows in data/split/train.parquet; set split.method to random",
        ),
    ],
    ids=["no ratings", "no validation rows", "no known validation users"],
)
def test_train_says_what_its_data_cannot_serve(train: Interactions, validation: Interactions, message: str) -> None:
    with pytest.raises(StageError, match=re.escape(message)):
        check_data(TrainParams.load(ROOT / "params.yaml"), train, validation, validation)
