"""Examples: users with their recommendations and similar users, items with similar items."""

import numpy as np
from numpy.typing import NDArray

from stages.report import orders
from stages.report.inputs import Inputs, Items
from stages.report.lists import Lists, items_of
from stages.report.neighbours import trained
from stages.report.page_blocks import Block, Card, Choice, Entry, Note, Section
from stages.report.wording import count, counted, decimal, model_label
from towerline.ranking.scorers import scorer_of

NUM_USERS = 10
SEEN_SHOWN = 10
NUM_ITEMS = 20
NEIGHBOURS = 5


def section(lists: Lists) -> Section:
    users, items = user_cards(lists), item_cards(lists)
    blocks: list[Block] = []
    if users:
        text = (
            f"{counted(len(users), 'user')} in even steps of activity, chosen by a rule among those with test items. "
            "A tick marks a test item. The similarity of users is the cosine of their vectors, shrunk for users with "
            "few items; similar users need not share an item, since their items may be similar."
        )
        blocks += [Note(text), Choice("users", "User", [(f"{card.name} ({card.detail})", card) for card in users])]
    if items:
        text = f"{counted(len(items), 'popular item')}, each with the items of the largest cosine, popularity left out."
        blocks += [Note(text), Choice("items", "Item", [(card.name, card) for card in items])]
    return Section("examples", "Examples", blocks or [Note("No user and no item has a known row.")])


def user_cards(lists: Lists) -> list[Card]:
    """Users from the least to the most active: their items, their recommendations, and similar users."""
    data = lists.data
    users = orders.users_across_activity(lists.activity(), lists.test.counts() > 0, NUM_USERS)
    if not len(users):
        return []
    recommended = lists.recommended(users, data.cutoff())
    baseline = _of_baseline(lists, users)
    similar = lists.similar_users(users, NEIGHBOURS)
    cards = []
    for row, (user, name) in enumerate(zip(users, data.user_labels(users), strict=True)):
        seen, test = items_of(lists.seen, user), items_of(lists.test, user)
        detail = (
            f"{counted(len(seen), 'item')} seen, {count(len(test))} in the test set, "
            f"{count(int(np.isin(recommended[row], test).sum()))} of them recommended"
        )
        contents = [
            ("Seen", _seen(data, user), max(0, len(seen) - SEEN_SHOWN)),
            ("Recommended", _recommended(data.items, recommended[row], test), 0),
            *[(f"By {label}", _recommended(data.items, ranked[row], test), 0) for label, ranked in baseline],
            ("Similar users", _similar_users(lists, user, similar.ids[row], similar.similarity[row]), 0),
        ]
        cards.append(Card(name, detail, contents))
    return cards


def _of_baseline(lists: Lists, users: NDArray[np.int32]) -> list[tuple[str, NDArray[np.int32]]]:
    """The label of the best baseline and its recommendations; empty where there is no baseline."""
    data = lists.data
    if data.baseline is None:
        return []
    name, arrays = data.baseline
    scorer = scorer_of(arrays, lists.liked)
    return [(model_label(name), lists.recommended(users, data.cutoff(), scorer))]


def _seen(data: Inputs, user: np.int32) -> list[Entry]:
    """The user's first seen items with their ratings: the best rated first, then the latest, then by index."""
    known = data.rows("train", "validation")
    rows = np.flatnonzero(known.user_index == user)
    items = known.item_index[rows]
    keys = [items.astype(np.float64)]
    keys += [-column[rows].astype(np.float64) for column in (known.timestamp, known.rating) if column is not None]
    order = np.lexsort(keys)[:SEEN_SHOWN]
    rated = [""] * len(order)
    if known.rating is not None:
        rated = [f"rated\u00a0{rating:g}" for rating in known.rating[rows][order]]
    return [
        Entry(name, ", ".join(filter(None, [kind, rating])))
        for name, kind, rating in zip(
            data.items.labels(items[order]), data.items.details(items[order]), rated, strict=True
        )
    ]


def _recommended(items: Items, ranked: NDArray[np.int32], test: NDArray[np.int32]) -> list[Entry]:
    ranked = ranked[ranked > 0]
    held_out = np.isin(ranked, test).tolist()
    return [Entry(*line) for line in zip(items.labels(ranked), items.details(ranked), held_out, strict=True)]


def _similar_users(
    lists: Lists, user: np.int32, users: NDArray[np.int32], similarity: NDArray[np.float32]
) -> list[Entry]:
    """Similar users with their similarity and the number of items that they share with the user, in any set."""
    users = users[users > 0]
    own = items_of(lists.interactions, user)
    shared = [int(np.isin(items_of(lists.interactions, other), own).sum()) for other in users]
    return [
        Entry(name, f"shares {counted(number, 'item')}, {decimal(float(value), 2)}")
        for name, number, value in zip(lists.data.user_labels(users), shared, similarity, strict=False)
    ]


def item_cards(lists: Lists) -> list[Card]:
    """Popular items of each type in turn, with the items nearest to them."""
    vocabulary = lists.data.items
    candidates = trained(lists.item_taste)
    items = orders.well_known_items(lists.popularity, candidates, vocabulary.type_numbers(), NUM_ITEMS)
    if not len(items):
        return []
    near = lists.similar_items(items, NEIGHBOURS)
    cards = []
    for row, (name, kind) in enumerate(zip(vocabulary.labels(items), vocabulary.details(items), strict=True)):
        neighbours = near.ids[row][near.ids[row] > 0]
        entries = [
            Entry(label, ", ".join(filter(None, [of, decimal(float(value), 2)])))
            for label, of, value in zip(
                vocabulary.labels(neighbours), vocabulary.details(neighbours), near.similarity[row], strict=False
            )
        ]
        rows = counted(int(lists.popularity[items[row]]), "known row")
        cards.append(Card(name, ", ".join(filter(None, [kind, rows])), [("Similar items", entries, 0)]))
    return cards
