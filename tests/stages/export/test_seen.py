"""The files of the seen items, written batch by batch, are those of the sorted pairs."""

import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from stages.export.seen import write_seen_items
from tests.conftest import ROOT
from towerline.artifacts.ingest import INTERACTIONS
from towerline.artifacts.vocabulary import ITEM_VOCABULARY, USER_VOCABULARY
from towerline.exports import layout
from towerline.exports.writing import write_seen
from towerline.pipeline.errors import StageError
from towerline.ranking.user_items import UserItems
from towerline.tables import duckdb_session

USERS, ITEMS, PAIRS = 30, 20, 200


def test_batches_make_the_same_bytes_as_all_pairs_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(duckdb_session, "BATCH_ROWS", 7)
    shutil.copy(ROOT / "params.yaml", tmp_path)
    # The first and the last user have seen nothing.
    pairs = ITEMS + np.random.default_rng(0).permutation((USERS - 2) * ITEMS)[:PAIRS]
    user, item = (index.astype(np.int32) for index in np.divmod(pairs, ITEMS))
    USER_VOCABULARY.parent.mkdir(parents=True)
    users, items = (pa.array([f"{number:02d}" for number in range(count)]) for count in (USERS, ITEMS))
    indices = [pa.array(np.arange(1, count + 1, dtype=np.int32)) for count in (USERS, ITEMS)]
    of_items = pa.table({"index": indices[1], "item_type": ["film"] * ITEMS, "item_id": items})
    pq.write_table(pa.table({"index": indices[0], "user_id": users}), USER_VOCABULARY)
    pq.write_table(of_items, ITEM_VOCABULARY)
    rows = {"user_id": users.take(pa.array(user)), "item_type": ["film"] * PAIRS, "item_id": items.take(pa.array(item))}
    pq.write_table(pa.table(rows), INTERACTIONS)

    write_seen_items(tmp_path / "batches", USERS)
    write_seen(tmp_path / "at_once", UserItems.of_pairs(user, item, num_rows=USERS))
    for name in (layout.SEEN_STARTS, layout.SEEN_ITEMS):
        assert (tmp_path / "batches" / name).read_bytes() == (tmp_path / "at_once" / name).read_bytes()

    pq.write_table(of_items.slice(1), ITEM_VOCABULARY)
    with pytest.raises(
        StageError, match=r"expected 200 rows with ids of the vocabularies, found 1.*; repro vocabulary"
    ):
        write_seen_items(tmp_path / "lacking", USERS)
