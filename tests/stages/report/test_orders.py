"""Which users and items are the examples of the page."""

import numpy as np

from stages.report import orders


def test_example_users_span_the_levels_of_activity() -> None:
    activity = np.array([0, 1, 1, 2, 900, 4, 0, 30, 31], np.int64)
    preferred = np.array([0, 0, 1, 1, 1, 1, 1, 1, 1], bool)
    assert orders.users_across_activity(activity, preferred, 4).tolist() == [2, 5, 8, 4]
    assert orders.users_across_activity(activity, preferred, 20).tolist() == [1, 2, 3, 5, 7, 8, 4]
    assert orders.users_across_activity(np.zeros(3, np.int64), preferred[:3], 4).tolist() == []


def test_well_known_items_take_turns_by_type() -> None:
    rows = np.array([0, 9, 8, 7, 6, 5], np.int64)
    kind = np.array([0, 0, 0, 0, 1, 1], np.int64)
    candidates = np.array([0, 1, 1, 1, 1, 1], bool)
    assert orders.well_known_items(rows, candidates, kind, 4).tolist() == [1, 4, 2, 5]
