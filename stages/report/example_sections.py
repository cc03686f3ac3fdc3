"""Sections with examples: the map of items, what users are shown, and who and what is near."""

import numpy as np
from numpy.typing import NDArray

from stages.report import charts, examples
from stages.report.blocks import Block, Card, Cards, Entry, Figure, Note, Section, Table
from stages.report.inputs import Inputs
from stages.report.wording import count, counted, decimal
from towerline.ranking.scorers import Embeddings
from towerline.ranking.top_k import rank_items
from towerline.ranking.user_items import UserItems

ITEMS_ON_MAP = 2_000
LABELS_ON_MAP = 24
TYPES_ON_MAP = 7
OTHER_TYPES = "other types"
EXAMPLE_USERS = 10
LIKED_SHOWN = 10
ITEMS_RECOMMENDED = 10
EXAMPLE_ITEMS = 20
NEIGHBOURS = 5


class Examples:
    """What the sections with examples share.

    Attributes:
      data: all inputs.
      popularity: [num_items + 1] train rows of each item.
      seen: train and validation items by user.
      users: the example users, by activity.
    """

    def __init__(self, data: Inputs) -> None:
        train, validation, test = (timed.part for timed in data.parts.values())
        self.data = data
        self.popularity = np.bincount(train.item_index, minlength=train.num_items + 1)
        self.user_index = np.concatenate([train.user_index, validation.user_index])
        self.item_index = np.concatenate([train.item_index, validation.item_index])
        self.seen = UserItems.of_pairs(self.user_index, self.item_index, num_rows=train.num_users + 1)
        self.held_out = UserItems.of_pairs(test.user_index, test.item_index, num_rows=train.num_users + 1)
        self.user_taste = examples.taste(data.user_embeddings)
        self.item_taste = examples.taste(data.item_embeddings)
        activity = np.where(examples.trained(self.user_taste), self.seen.counts(), 0)
        self.users = examples.users_across_activity(activity, self.held_out.counts() > 0, EXAMPLE_USERS)

    def details(self, items: NDArray[np.int32]) -> list[str]:
        """The items' types where there are several, else nothing."""
        return self.data.items.types(items) if self.data.items.num_types() > 1 else [""] * len(items)


def map_section(shown: Examples) -> Section:
    """The most popular items on a plane."""
    data = shown.data
    items = examples.most_popular_items(shown.popularity, examples.trained(shown.item_taste), ITEMS_ON_MAP)
    places = examples.item_map(shown.item_taste[items])
    if places is None:
        text = f"A map needs at least {examples.FEWEST_ON_MAP} items with different vectors; there are fewer."
        return Section("map", "A map of the items", [Note(text)])
    labels, types, rows = data.items.labels(items), data.items.types(items), shown.popularity[items].tolist()
    domain = _types_on_map(types)
    values = [
        {"x": x, "y": y, "rows": number, "label": label, "series": kind if kind in domain else OTHER_TYPES}
        for (x, y), number, label, kind in zip(places.tolist(), rows, labels, types, strict=True)
    ]
    named = [values[position] for position in examples.apart(places, LABELS_ON_MAP)]
    text = (
        "Items that the same people take lie close together. The directions have no meaning, nor do distances between "
        "far-off items. The larger a point, the more train rows the item has."
    )
    cells = [
        [label, kind, count(number), decimal(x, 2), decimal(y, 2)]
        for (x, y), number, label, kind in zip(places.tolist(), rows, labels, types, strict=True)
    ]
    figure = Figure(
        "map",
        f"The {counted(len(items), 'most popular item')} by t-SNE",
        f"{counted(len(items), 'item')} of {counted(len(set(types)), 'type')}; point at one to read its name. "
        f"The most popular is {labels[0]}.",
        charts.scatter(values, domain, named),
        Table(["item", "type", "train rows", "x", "y"], cells, text_columns=2),
        renderer="canvas",
    )
    return Section("map", "A map of the items", [Note(text), figure])


def _types_on_map(types: list[str]) -> list[str]:
    """The types with a colour of their own, the most frequent first; then one for the others, where there are any."""
    names, counts = np.unique(types, return_counts=True)
    order = names[np.argsort(-counts, kind="stable")].tolist()
    return order if len(order) <= TYPES_ON_MAP + 1 else [*order[:TYPES_ON_MAP], OTHER_TYPES]


def user_section(shown: Examples) -> Section:
    """Users with what they liked and what they would be shown."""
    if not len(shown.users):
        return Section("users", "What users would be shown", [Note("No user has a train row.")])
    users = shown.users
    model = Embeddings(shown.data.user_embeddings, shown.data.item_embeddings)
    ranked = rank_items(model, users, shown.seen.of_users(users), ITEMS_RECOMMENDED)
    cards = [
        _user_card(shown, user, label, items[items > 0])
        for user, label, items in zip(users, shown.data.user_labels(users), ranked, strict=True)
    ]
    text = (
        f"{counted(len(cards), 'user')} from the least to the most active, chosen by a rule among those with held-out "
        "items. First what the model knows of them, then what it would show them, without what they know already. "
        "A tick marks a held-out item: one the user did take."
    )
    return Section("users", "What users would be shown", [Note(text), Cards(cards, wide=True)])


def _user_card(shown: Examples, user: np.int32, label: str, recommended: NDArray[np.int32]) -> Card:
    one = np.array([user], np.int32)
    held_out = shown.held_out.of_users(one).items
    liked, ratings = _liked(shown, user)
    first = liked[:LIKED_SHOWN]
    details = [
        ", ".join(filter(None, [kind, f"rated\u00a0{rating:g}" if rating is not None else ""]))
        for kind, rating in zip(shown.details(first), ratings, strict=False)
    ]
    known = [Entry(name, detail) for name, detail in zip(shown.data.items.labels(first), details, strict=True)]
    found = np.isin(recommended, held_out)
    names, kinds = shown.data.items.labels(recommended), shown.details(recommended)
    offered = [Entry(name, kind, bool(hit)) for name, kind, hit in zip(names, kinds, found, strict=True)]
    detail = (
        f"{counted(len(liked), 'item')} known, {count(len(held_out))} held out, {count(int(found.sum()))} of them shown"
    )
    lists = [("Took", known, len(liked) - len(first)), ("Would be shown", offered, 0)]
    return Card(label, detail, lists)


def _liked(shown: Examples, user: np.int32) -> tuple[NDArray[np.int32], list[float | None]]:
    """The user's known items with their ratings: the best rated first, then the latest, then by index."""
    parts = [shown.data.parts[name] for name in ("train", "validation")]
    rows = np.flatnonzero(shown.user_index == user)
    keys = [shown.item_index[rows]]
    for columns in ([one.timestamp for one in parts], [one.part.rating for one in parts]):
        given = [column for column in columns if column is not None]
        if len(given) == len(parts):
            keys.append(-np.concatenate(given)[rows].astype(np.float64))
    order = np.lexsort(keys)
    ratings = [one.part.rating for one in parts if one.part.rating is not None]
    values = np.concatenate(ratings)[rows[order]].tolist() if len(ratings) == len(parts) else [None] * len(rows)
    return shown.item_index[rows[order]], values


def item_neighbour_section(shown: Examples) -> Section:
    """What lies near well-known items."""
    items = examples.well_known_items(
        shown.popularity, examples.trained(shown.item_taste), shown.data.items.type_numbers(), EXAMPLE_ITEMS
    )
    if not len(items):
        return Section("similar", "What is alike", [Note("No item has a train row.")])
    near = examples.nearest(shown.item_taste, items, NEIGHBOURS)
    cards = []
    labels, kinds = shown.data.items.labels(items), shown.details(items)
    for row, (label, kind) in enumerate(zip(labels, kinds, strict=True)):
        index, cosine = near.ids[row][near.ids[row] > 0], near.cosine[row]
        entries = [
            Entry(name, ", ".join(filter(None, [of, decimal(float(value), 2)])))
            for name, of, value in zip(shown.data.items.labels(index), shown.details(index), cosine, strict=False)
        ]
        rows = counted(int(shown.popularity[items[row]]), "train row")
        cards.append(Card(label, ", ".join(filter(None, [kind, rows])), [("", entries, 0)]))
    text = (
        f"{counted(len(cards), 'well-known item')} and what is nearest to each by cosine, popularity set aside: "
        "what the same people take."
    )
    return Section("similar", "What is alike", [Note(text), Cards(cards)])


def user_neighbour_section(shown: Examples) -> Section:
    """Who has the example users' taste."""
    title = "People with your taste"
    if not len(shown.users):
        return Section("people", title, [Note("No user has a train row.")])
    near = examples.nearest(shown.user_taste, shown.users, NEIGHBOURS)
    cards = []
    for row, label in enumerate(shown.data.user_labels(shown.users)):
        index, cosine = near.ids[row][near.ids[row] > 0], near.cosine[row]
        own = shown.seen.of_users(shown.users[row : row + 1]).items
        shared = [int(np.isin(shown.seen.of_users(index[at : at + 1]).items, own).sum()) for at in range(len(index))]
        entries = [
            Entry(name, f"shares {counted(number, 'item')}, {decimal(float(value), 2)}")
            for name, number, value in zip(shown.data.user_labels(index), shared, cosine, strict=False)
        ]
        cards.append(Card(label, f"{counted(len(own), 'item')} known", [("", entries, 0)]))
    text = (
        "The same users and those nearest to each by cosine, with how many of the items known of both are the same. "
        "Near users need not share an item: theirs may be alike."
    )
    blocks: list[Block] = [Note(text), Cards(cards)]
    return Section("people", title, blocks)
