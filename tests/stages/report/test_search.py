"""The index of the page's search."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stages.report import __main__ as report
from stages.report import page, wording
from stages.report.__main__ import REPORT
from stages.report.inputs import read_inputs
from stages.report.lists import Lists, items_of
from stages.report.sections import search
from tests.stages.report.fabricated import HOSTILE, Elements, made


def index_in(html: str) -> Any:
    """The index of the page's search."""
    return next(content for content in Elements(html).specs if "user_names" in content)


def test_the_search_holds_the_lists_by_number(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    index = index_in(made(tmp_path, monkeypatch))
    lists = Lists(read_inputs())
    assert len(index["users"]) == np.count_nonzero(lists.activity())
    user_ids, items = lists.data.users.to_pylist(), lists.data.items
    number, recommended, similar = index["users"][-1]
    user = np.array([user_ids.index(index["user_names"][number]) + 1], np.int32)
    expected = lists.recommended(user, search.RECOMMENDED)[0]
    expected = expected[expected > 0]
    assert [index["item_names"][item if item >= 0 else ~item] for item in recommended] == items.labels(expected)
    in_test = np.isin(expected, items_of(lists.test, user[0])).tolist()
    assert [item < 0 for item in recommended] == in_test
    assert any(in_test)
    near = lists.similar_users(user, search.NEIGHBOURS)
    assert [index["user_names"][other] for other in similar[::2]] == lists.data.user_labels(near.ids[near.ids > 0])
    assert similar[1::2] == [round(100 * value) for value in near.similarity[near.ids > 0].tolist()]
    for number, name, _ in index["items"]:
        assert [name] == items.ids(np.array([items.ids(np.arange(1, len(items.table) + 1)).index(name) + 1]))
        assert index["types"][index["item_types"][number]] in ("book", wording.shortened(HOSTILE[0]))


def test_the_search_takes_the_room_that_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = made(tmp_path, monkeypatch, num_users=40, num_items=60)
    assert "Finds all 40 users and all 59 items" in " ".join(Elements(whole).texts)
    monkeypatch.setattr(search, "PIECE", 4)
    # Where the index is cut, the names that lists mention take more room than in the whole.
    limit = len(whole.encode()) + page.SEARCH_FORM_BYTES - 3_000
    monkeypatch.setattr(page, "MAXIMUM_BYTES", limit)
    report.main()
    part = REPORT.read_text(encoding="utf-8")
    assert limit - 6_000 < len(part.encode()) < limit
    texts = " ".join(Elements(part).texts)
    assert re.search(r"Finds the \d+ most active of 40 users and the \d+ most popular of 59 items", texts)
    shown, everybody = (
        [index["user_names"][number] for number, _, _ in index["users"]] for index in map(index_in, (part, whole))
    )
    assert 0 < len(shown) < 40
    assert shown == everybody[: len(shown)], "the most active"
    monkeypatch.setattr(page, "MAXIMUM_BYTES", 1_000_000)
    report.main()
    assert "search" not in Elements(REPORT.read_text(encoding="utf-8")).ids, "no room at all"
