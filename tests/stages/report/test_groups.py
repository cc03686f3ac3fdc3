"""The section of groups: types of items with few users are folded."""

import pandas as pd

from stages.report.sections import groups


def test_small_types_are_folded_and_types_ordered_by_users() -> None:
    rows = pd.DataFrame({"value": ["10", "2", "3"], "users": [500.0, 4.0, 900.0]})
    assert groups._by_users(rows)["value"].tolist() == ["3", "10", "2"]
    assert groups._small_types(rows) == {"2"}
    assert groups._small_types(rows[1:2]) == set(), "not all"
