"""Names of columns that tell their role."""

import pytest

from tests.towerline.proposal.conftest import ROLES
from towerline.raw.names import rank


@pytest.mark.parametrize(
    ("role", "name"),
    [
        ("user_id", "User_ID"),
        ("user_id", "reviewerID"),
        ("user_id", "user_id:token"),
        ("user_id", "Kunden-Nr."),
        ("item_id", "movieId"),
        ("item_id", "parent_asin"),
        ("item_id", '"ISBN"'),
        ("rating", "Book-Rating"),
        ("timestamp", "unixReviewTime"),
    ],
)
def test_usual_names_in_any_spelling(role: str, name: str) -> None:
    assert [other for other in ROLES if rank(other, name) is not None] == [role]
