"""The data that scorers are measured on: users with test items, the items they are not shown, and groups of items."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from stages.evaluate.exposure import GROUPS, popularity_groups
from towerline.artifacts.evaluate import COLD_ITEMS, CountRow
from towerline.artifacts.split import TEST, TRAIN, VALIDATION, Interactions, read_interactions
from towerline.artifacts.vocabulary import read_item_types
from towerline.feedback.params import Below, none_liked
from towerline.feedback.strengths import disliked, liked
from towerline.metrics.validation import ranked_candidates
from towerline.pipeline.errors import StageError
from towerline.ranking.user_items import UserItems


class Queries(NamedTuple):
    """Users with their test items, and the items that they are not shown.

    Attributes:
      users: [queries] int32 user indices.
      relevant: their test items, by query.
      excluded: their training and validation items, by query; none where repeated consumption is evaluated.
      activity: [queries] int64 number of their training and validation items.
    """

    users: NDArray[np.int32]
    relevant: UserItems
    excluded: UserItems
    activity: NDArray[np.int64]

    @classmethod
    def of_users(cls, users: NDArray[np.int32], relevant: UserItems, seen: UserItems, repeats: bool) -> "Queries":
        """The queries of some users.

        Args:
          users: [queries] int32.
          relevant, seen: row u holds the test items, and the training and validation items, of user u.
          repeats: true if seen items may be shown.
        """
        excluded = UserItems.none(len(users)) if repeats else seen.of_users(users)
        return cls(users, relevant.of_users(users), excluded, seen.counts()[users])

    def of_items(self, of_item: NDArray[np.bool_]) -> tuple[NDArray[np.int32], "Queries"]:
        """The queries with test items for which of_item is true, restricted to these test items.

        Args:
          of_item: [num_items + 1] bool.

        Returns:
          [chosen] int32 rows of the queries that are left, and these queries.
        """
        rows = self.relevant.rows()
        keep = of_item[self.relevant.items]
        relevant = UserItems.of_pairs(rows[keep].astype(np.int32), self.relevant.items[keep], num_rows=len(self.users))
        chosen = np.flatnonzero(relevant.counts() > 0).astype(np.int32)
        return chosen, Queries(
            self.users[chosen], relevant.of_users(chosen), self.excluded.of_users(chosen), self.activity[chosen]
        )


class Sample(NamedTuple):
    """A number of users that are drawn at random, and the seed."""

    users: int
    seed: int

    def drawn(self, users: NDArray[np.int32]) -> NDArray[np.int32]:
        """The sample of [users] int32, without replacement, ascending; all of them where there are no more."""
        if self.users >= len(users):
            return users
        return np.sort(np.random.default_rng(self.seed).choice(users, self.users, replace=False))


class Data(NamedTuple):
    """The data that scorers are measured on.

    Attributes:
      known: the rows of the training and validation set, which the models are fitted to.
      test: the test set.
      warm, cold: the users with test items that are no dislikes, those with and those without known likes.
      disliked: the users with known likes and with dislikes among their test items, which are the relevant ones here.
      num_dislikes: number of test rows that are dislikes.
      tested, drawn: numbers of users with test rows, and of those that are drawn, who make up warm, cold and disliked.
      item_type: [num_items + 1] text; the unknown item's is empty.
      candidates: the items that are ranked, from ranked_candidates(); None for all.
    """

    known: Interactions
    test: Interactions
    warm: Queries
    cold: Queries
    disliked: Queries
    num_dislikes: int
    tested: int
    drawn: int
    item_type: NDArray[np.str_]
    candidates: NDArray[np.int32] | None

    @classmethod
    def of_sets(
        cls,
        known: Interactions,
        test: Interactions,
        item_type: NDArray[np.str_],
        repeats: bool,
        below: Below = None,
        sample: Sample | None = None,
    ) -> "Data":
        """The data of a split.

        Args:
          known, test: as the attributes.
          item_type: [num_items + 1] text.
          repeats: true if known items of a user may be shown again.
          below: rows with lower ratings are dislikes.
          sample: of the users with test rows; None for all of them.
        """
        tested = np.unique(test.user_index)
        drawn = tested if sample is None else sample.drawn(tested)
        is_drawn, is_dislike = np.isin(test.user_index, drawn), disliked(test, known, below)
        sets = test.where(is_drawn & ~is_dislike), test.where(is_drawn & is_dislike), known
        likes, dislikes, seen = map(UserItems.of_interactions, sets)
        is_known = UserItems.of_interactions(liked(known, known, below)).counts() > 0
        warm, cold, of_dislikes = (
            Queries.of_users(np.flatnonzero((relevant.counts() > 0) & chosen).astype(np.int32), relevant, seen, repeats)
            for relevant, chosen in ((likes, is_known), (likes, ~is_known), (dislikes, is_known))
        )
        return cls(
            known=known,
            test=test,
            warm=warm,
            cold=cold,
            disliked=of_dislikes,
            num_dislikes=int(is_dislike.sum()),
            tested=len(tested),
            drawn=len(drawn),
            item_type=item_type,
            candidates=ranked_candidates(test, item_type),
        )

    def item_counts(self) -> NDArray[np.int64]:
        """[num_items + 1] int64 number of known rows of each item."""
        return np.bincount(self.known.item_index, minlength=self.known.num_items + 1)

    def num_known_users(self) -> int:
        """The number of users with known rows."""
        return len(np.unique(self.known.user_index))

    def is_test_set_later(self) -> bool:
        """True if no row of the test set is older than any known row; false where the data has no times."""
        known, test = self.known.timestamp, self.test.timestamp
        return known is not None and test is not None and bool(known.max() <= test.min())

    def only_type(self) -> str | None:
        """The type of the items that are ranked; None if all items are."""
        return None if self.candidates is None else str(self.item_type[self.candidates[0]])

    def types(self) -> list[str]:
        """The item types where there are several of them, else none."""
        types = [str(kind) for kind in np.unique(self.item_type[1:])]
        return types if len(types) > 1 else []

    def item_groups(self) -> dict[str, NDArray[np.bool_]]:
        """Popularity group, or COLD_ITEMS -> [num_items + 1] bool, true for the items of the group."""
        counts = self.item_counts()
        group = np.where(counts > 0, popularity_groups(counts), len(GROUPS))
        return {name: group == number for number, name in enumerate([*GROUPS, COLD_ITEMS])}

    def counts(self) -> list[CountRow]:
        """The numbers of users and test rows, with those that the metrics leave out."""
        cold_items = self.item_counts()[self.test.item_index] == 0
        warm, cold = len(self.warm.users), len(self.cold.users)
        return [
            CountRow("users_ranked", warm),
            CountRow("cold_users", cold),
            CountRow("users_with_dislikes_alone", self.drawn - warm - cold),
            CountRow("users_not_drawn", self.tested - self.drawn),
            CountRow("users_without_test_items", self.known.num_users - self.tested),
            CountRow("test_rows", len(self.test.user_index)),
            CountRow("test_rows_of_items_without_known_rows", int(cold_items.sum())),
            CountRow("disliked_test_rows", self.num_dislikes),
        ]


def read_data(repeats: bool, below: Below, sample: Sample | None) -> Data:
    """Reads the split and the items' types; arguments as of Data.of_sets().

    Raises:
      StageError: no test user, or none that is drawn, has known rows, or all test rows are dislikes.
    """
    train, validation, test = map(read_interactions, (TRAIN, VALIDATION, TEST))
    known = Interactions.joined(train, validation)
    data = Data.of_sets(known, test, read_item_types(), repeats, below, sample)
    if not len(data.warm.users) and data.tested > data.drawn:
        raise StageError(
            f"evaluate.users: expected that some of the {data.drawn:,} users that are drawn have known rows, found "
            "none; set it higher"
        )
    if len(data.disliked.users) and not len(data.warm.users):
        raise StageError(
            none_liked(below, f"none of users with known likes among the {len(test.user_index):,} test rows")
        )
    if not len(data.warm.users):
        raise StageError(f"{TEST}: expected users that {TRAIN} or {VALIDATION} knows too, found none")
    return data
