"""Examples: users with their recommendations and similar users, items with similar items."""

import numpy as np
from numpy.typing import NDArray

from stages.report import selection
from stages.report.blocks import Block, Card, Choice, Entry, Note, Section
from stages.report.inputs import Inputs
from stages.report.wording import count, counted, decimal, model_label
from towerline.ranking.scorers import Embeddings, scorer_of
from towerline.ranking.similarity import evidence
from towerline.ranking.top_k import rank_items
from towerline.ranking.user_items import UserItems

NUM_USERS = 10
KNOWN_SHOWN = 10
NUM_ITEMS = 20
NEIGHBOURS = 5


class Examples:
    """Arrays that the cards share.

    Attributes:
      data: all inputs.
      popularity: [num_items + 1] training rows of each item.
      user_index, item_index: rows of the training and validation set.
      seen, test: items by user.
      user_taste, item_taste: embeddings without their popularity prior.
    """

    def __init__(self, data: Inputs) -> None:
        train, validation, test = (timed.rows for timed in data.sets.values())
        self.data = data
        self.popularity = np.bincount(train.item_index, minlength=train.num_items + 1)
        self.user_index = np.concatenate([train.user_index, validation.user_index])
        self.item_index = np.concatenate([train.item_index, validation.item_index])
        self.seen = UserItems.of_pairs(self.user_index, self.item_index, num_rows=train.num_users + 1)
        self.test = UserItems.of_pairs(test.user_index, test.item_index, num_rows=train.num_users + 1)
        self.user_taste = selection.taste(data.user_embeddings)
        self.item_taste = selection.taste(data.item_embeddings)

    def details(self, items: NDArray[np.int32]) -> list[str]:
        """The items' types where there are several, else nothing."""
        return self.data.items.types(items) if self.data.items.num_types() > 1 else [""] * len(items)


def section(data: Inputs) -> Section:
    examples = Examples(data)
    users, items = user_cards(examples), item_cards(examples)
    blocks: list[Block] = []
    if users:
        text = (
            f"{counted(len(users), 'user')} in even steps of activity, chosen by a rule among those with test items. "
            "A tick marks a test item. The similarity of users is the cosine of their vectors, shrunk for users with "
            "few items; similar users need not share an item, since their items may be similar."
        )
        blocks += [Note(text), Choice("users", "User", [(f"{card.name} ({card.detail})", card) for card in users])]
    if items:
        text = f"{counted(len(items), 'popular item')}, and those nearest to each by cosine, popularity aside."
        blocks += [Note(text), Choice("items", "Item", [(card.name, card) for card in items])]
    return Section("examples", "Examples", blocks or [Note("No user and no item has a training row.")])


def user_cards(examples: Examples) -> list[Card]:
    """Users from the least to the most active: their items, their recommendations, and similar users."""
    data = examples.data
    activity = np.where(selection.trained(examples.user_taste), examples.seen.counts(), 0)
    users = selection.users_across_activity(activity, examples.test.counts() > 0, NUM_USERS)
    if not len(users):
        return []
    model = Embeddings(data.user_embeddings, data.item_embeddings)
    ranked = rank_items(model, users, examples.seen.of_users(users), data.cutoff())
    other, ranked_by_other = _of_baseline(examples, users)
    weighted = examples.user_taste * evidence(examples.seen.counts())[:, None]
    near = selection.nearest(weighted, users, NEIGHBOURS)
    cards = []
    for row, (user, name) in enumerate(zip(users, data.user_labels(users), strict=True)):
        shown, known = ranked[row][ranked[row] > 0], examples.seen.of_users(users[row : row + 1]).items
        test = examples.test.of_users(users[row : row + 1]).items
        detail = (
            f"{counted(len(known), 'item')} seen, {count(len(test))} in the test set, "
            f"{count(int(np.isin(shown, test).sum()))} of them recommended"
        )
        lists = [
            ("Seen", _seen(examples, user), max(0, len(known) - KNOWN_SHOWN)),
            ("Recommended", _recommended(examples, shown, test), 0),
            *[
                (f"By {other}", _recommended(examples, items[items > 0], test), 0)
                for items in ranked_by_other[row : row + 1]
            ],
            ("Similar users", _similar_users(examples, known, near.ids[row], near.similarity[row]), 0),
        ]
        cards.append(Card(name, detail, lists))
    return cards


def _of_baseline(examples: Examples, users: NDArray[np.int32]) -> tuple[str, NDArray[np.int32]]:
    """The label of the best baseline and its recommendations; none where there is no baseline."""
    data = examples.data
    if data.baseline is None:
        return "", np.zeros((0, 0), np.int32)
    name, arrays = data.baseline
    train = data.sets["train"].rows
    scorer = scorer_of(arrays, UserItems.of_pairs(train.user_index, train.item_index, num_rows=train.num_users + 1))
    return model_label(name), rank_items(scorer, users, examples.seen.of_users(users), data.cutoff())


def _seen(examples: Examples, user: np.int32) -> list[Entry]:
    """The user's first seen items with their ratings: the best rated first, then the latest, then by index."""
    sets = [examples.data.sets[name] for name in ("train", "validation")]
    rows = np.flatnonzero(examples.user_index == user)
    times = [timed.timestamp for timed in sets if timed.timestamp is not None]
    ratings = [timed.rows.rating for timed in sets if timed.rows.rating is not None]
    keys = [examples.item_index[rows]]
    keys += [-np.concatenate(given)[rows].astype(np.float64) for given in (times, ratings) if len(given) == len(sets)]
    rows = rows[np.lexsort(keys)][:KNOWN_SHOWN]
    items = examples.item_index[rows]
    rated = [f"rated\u00a0{rating:g}" for rating in np.concatenate(ratings)[rows]] if len(ratings) == len(sets) else []
    return [
        Entry(name, ", ".join(filter(None, [kind, rating])))
        for name, kind, rating in zip(
            examples.data.items.labels(items), examples.details(items), rated or [""] * len(items), strict=True
        )
    ]


def _recommended(examples: Examples, items: NDArray[np.int32], test: NDArray[np.int32]) -> list[Entry]:
    held_out = np.isin(items, test).tolist()
    return [
        Entry(*line) for line in zip(examples.data.items.labels(items), examples.details(items), held_out, strict=True)
    ]


def _similar_users(
    examples: Examples, known: NDArray[np.int32], users: NDArray[np.int32], similarity: NDArray[np.float32]
) -> list[Entry]:
    users = users[users > 0]
    shared = [int(np.isin(examples.seen.of_users(users[at : at + 1]).items, known).sum()) for at in range(len(users))]
    return [
        Entry(name, f"shares {counted(number, 'item')}, {decimal(float(value), 2)}")
        for name, number, value in zip(examples.data.user_labels(users), shared, similarity, strict=False)
    ]


def item_cards(examples: Examples) -> list[Card]:
    """Popular items of each type in turn, with the items nearest to them."""
    data = examples.data
    candidates = selection.trained(examples.item_taste)
    items = selection.well_known_items(examples.popularity, candidates, data.items.type_numbers(), NUM_ITEMS)
    if not len(items):
        return []
    near = selection.nearest(examples.item_taste, items, NEIGHBOURS)
    cards = []
    for row, (name, kind) in enumerate(zip(data.items.labels(items), examples.details(items), strict=True)):
        index = near.ids[row][near.ids[row] > 0]
        entries = [
            Entry(label, ", ".join(filter(None, [of, decimal(float(value), 2)])))
            for label, of, value in zip(
                data.items.labels(index), examples.details(index), near.similarity[row], strict=False
            )
        ]
        rows = counted(int(examples.popularity[items[row]]), "training row")
        cards.append(Card(name, ", ".join(filter(None, [kind, rows])), [("Similar items", entries, 0)]))
    return cards
