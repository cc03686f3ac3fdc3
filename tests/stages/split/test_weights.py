"""Weights of rows go through the split, and stay with their rows."""

import numpy as np
import pyarrow.parquet as pq

from tests.stages.conftest import Ingest
from tests.stages.split.conftest import run_split
from towerline.artifacts.split import TRAIN, Interactions, read_interactions


def test_weights_reach_the_sets_and_stay_with_their_rows(ingest: Ingest) -> None:
    text = "".join(f"u{user},i{item},{10 * user + item}\n" for user in range(1, 6) for item in range(1, 7))
    roles = {"item_type": None, "rating": None, "timestamp": None, "weight": "plays"}
    ingest(
        f"user_id,item_id,plays\n{text}".encode(), **{f"ingest.columns.{role}": name for role, name in roles.items()}
    )
    run_split()
    assert pq.read_schema(TRAIN).names == ["user_index", "item_index", "weight"]
    train = read_interactions(TRAIN)
    assert train.weight is not None
    assert train.weight.dtype == np.float32
    assert train.weight.tolist() == (10 * train.user_index + train.item_index).tolist()
    first = train.where(train.user_index == 1)
    both = Interactions.joined(first, train)
    assert both.weight is not None
    assert both.weight.tolist() == (10 * both.user_index + both.item_index).tolist()
    assert Interactions.joined(first, train._replace(weight=None)).weight is None
