"""Whole items, whole users and types of users that are held out: against the same rules in plain Python."""

import tempfile
from collections.abc import Callable, Sequence
from hashlib import md5
from pathlib import Path
from typing import Any

import ibis
import pyarrow as pa
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from stages.split.assignment import assigned, indexed
from stages.split.params import SplitParams
from stages.split.sizes import Shares
from tests.conftest import planted_rows, set_params
from tests.stages.conftest import Ingest
from tests.stages.split.conftest import PARTS, Row, run_split
from towerline.pipeline.errors import StageError
from towerline.tables.duckdb_session import DuckDBSession

# A row of the data: user_id, item_type and item_id.
Key = tuple[str, str, str]
IDS = ("user_id", "item_type", "item_id")
SEED = 7
SHARES = Shares(0.6, 0.2, 0.15)


def split_of(keys: Sequence[Key], method: str, cold_type: str | None = None) -> dict[Key, str]:
    """Row -> its set, by the stage."""
    params = SplitParams.model_validate(
        {"method": method, "cold_type": cold_type, "seed": SEED, **SHARES._asdict(), "validation_share": 0.1}
    )
    users, items = sorted({key[0] for key in keys}), sorted({key[1:] for key in keys})
    tables = {
        "interactions": [dict(zip(IDS, key, strict=True)) for key in keys],
        "users": [{"user_id": name, "index": index} for index, name in enumerate(users, 1)],
        "items": [{"item_type": kind, "item_id": name, "index": index} for index, (kind, name) in enumerate(items, 1)],
    }
    connection = ibis.duckdb.connect()
    try:
        made = [connection.create_table(name, pa.Table.from_pylist(table)) for name, table in tables.items()]
        with tempfile.TemporaryDirectory() as folder:
            session = DuckDBSession(connection, Path(folder))
            rows = assigned(session, indexed(made[0], made[1], made[2], params), params)
            found = rows.select("user_index", "item_index", "set_name").to_pyarrow().to_pylist()
    finally:
        connection.disconnect()
    return {(users[row["user_index"] - 1], *items[row["item_index"] - 1]): row["set_name"] for row in found}


def drawn(keys: Sequence[tuple[str, ...]]) -> dict[tuple[str, ...], str]:
    """Key -> the set that the seeded digest of the key draws it into."""
    order = sorted(set(keys), key=lambda key: md5("\x1f".join([str(SEED), *key]).encode()).hexdigest())
    sizes = SHARES.of(len(order))
    names = ["train"] * sizes.train + ["test"] * sizes.test + ["validation"] * sizes.validation
    return dict(zip(order, names, strict=False))


LETTERS = ("abcdefghi", "xy", "12345678")
KEYS = st.lists(st.tuples(*(st.sampled_from(letters) for letters in LETTERS)), unique=True, min_size=40, max_size=60)
# The ids of the item, or of the user, of a row.
GROUPS: dict[str, Callable[[Key], tuple[str, ...]]] = {
    "cold_items": lambda key: key[1:],
    "cold_users": lambda key: key[:1],
}


@given(KEYS)
@settings(max_examples=5)
def test_whole_items_and_users_are_drawn_and_the_rows_of_the_others(keys: list[Key]) -> None:
    for method, group_of in GROUPS.items():
        group = drawn([group_of(key) for key in keys])
        of_row = drawn([key for key in keys if group.get(group_of(key)) == "train"])
        sets = {
            key: of_row.get(key) if group.get(group_of(key)) == "train" else group.get(group_of(key)) for key in keys
        }
        expected = {key: name for key, name in sets.items() if name}
        assert split_of(keys, method) == expected
        assert split_of(keys[::-1], method) == expected


@given(KEYS)
@settings(max_examples=5)
def test_the_rows_in_a_type_are_held_out_of_users_who_have_others_too(keys: list[Key]) -> None:
    types = {user: {kind for other, kind, _ in keys if other == user} for user, *_ in keys}
    both = [(user,) for user, kinds in types.items() if len(kinds) == 2]
    assume(0 not in SHARES.of(len(both)))
    group = drawn(both)
    sets = {key: group.get(key[:1]) if key[1] == "x" and key[:1] in both else "train" for key in keys}
    expected = {key: name for key, name in sets.items() if name}
    assert split_of(keys, "cold_type", "x") == expected
    assert split_of(keys[::-1], "cold_type", "x") == expected


@pytest.mark.parametrize(("method", "column"), [("cold_items", 1), ("cold_users", 0)])
def test_a_test_set_has_cold_and_warm_rows_in_the_shares(ingest: Ingest, method: str, column: int) -> None:
    rows = planted_rows(num_users=200, num_items=200)
    ingest(rows)
    parts = run_split(method=method, train=0.7, validation=0.1, test=0.2)
    members = {name: {row[column] for row in parts[name]} for name in PARTS}
    for name in ("validation", "test"):
        others = set().union(*(members[other] for other in PARTS if other != name))
        cold = members[name] - others
        share = {"validation": 0.1, "test": 0.2}[name]
        assert len(cold) == share * 200
        # The cold rows, and the share of the rows of the 70 % training items or users.
        assert sum(row[column] in cold for row in parts[name]) == pytest.approx(share * len(rows), rel=0.15)
        assert len(parts[name]) == pytest.approx(1.7 * share * len(rows), rel=0.15)


def test_the_validation_share_takes_whole_items_and_users_and_leaves_the_test_set(ingest: Ingest) -> None:
    ingest(planted_rows())
    set_params(Path(), {"train.early_stopping_patience": 0, "train.temperature": 0.2, "train.popularity_prior": 0.0})

    def parts_of(share: float, **params: Any) -> dict[str, list[Row]]:
        return run_split(train=0.8, validation=0, test=0.2, validation_share=share, **params)

    for method, column in (("cold_items", 1), ("cold_users", 0), ("cold_type", 0)):
        kind = "book" if method == "cold_type" else None
        without, taken = (parts_of(share, method=method, cold_type=kind) for share in (0.0, 0.25))
        assert taken["test"] == without["test"]
        assert sorted(taken["train"] + taken["validation"]) == without["train"]
        known, validation = ({row[column] for row in taken[name]} for name in ("train", "validation"))
        # A quarter of the 48 items or users of the training set; only the rows of books of these users.
        assert len(validation - known) == (0 if kind else 12)
        assert len(validation & known) == (12 if kind else len(validation) - 12)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        (
            {"method": "cold_items"},
            "^expected at least one item in the test set, found none of 3 at the share 0.1; set split.test higher, ",
        ),
        (
            {"method": "cold_users", "train": 0.1, "test": 0.8},
            "^expected at least one user in the training set, found none of 3 at the share 0.1; set split.train higher",
        ),
        (
            {"method": "cold_users", "train": 0.5, "validation": 0, "test": 0.5},
            "one user in the validation set, found none of 1 at the share 0.1; set split.validation_share higher",
        ),
        (
            {"method": "cold_type", "cold_type": "u"},
            "^expected at least one user with rows of the type 'u' and of others in the validation set, ",
        ),
        (
            {"method": "cold_type", "cold_type": "x"},
            "^split.cold_type: expected an item type of the data, found 'x'; set it to one of 't', 'u'$",
        ),
    ],
)
def test_too_few_items_or_users_and_types_that_are_not_there(
    ingest: Ingest, params: dict[str, Any], message: str
) -> None:
    ingest([[user, item, kind, "1", "1"] for user, item, kind in ("a1t", "a2t", "a1u", "b1t", "c2t")])
    with pytest.raises(StageError, match=message):
        run_split(**params)
    assert not Path("data/split").exists()


def test_data_of_one_type_cannot_hold_out_a_type(ingest: Ingest) -> None:
    ingest([[user, item, "t", "1", "1"] for user, item in ("a1", "a2", "b1")])
    with pytest.raises(
        StageError, match=r"^split.cold_type: .* user with rows of the type 't' and of others, found none;"
    ):
        run_split(method="cold_type", cold_type="t")
