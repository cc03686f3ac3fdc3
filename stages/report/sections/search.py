"""The search: users and items with their lists, as many as the page has room for."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from stages.report import neighbours, orders
from stages.report.embedded import embedded_json
from stages.report.lists import Lists, items_of
from stages.report.page_blocks import Note, Search, Section
from stages.report.wording import count, counted

RECOMMENDED = 10
NEIGHBOURS = 5
# Users or items that are added at a time.
PIECE = 256

Index = dict[str, list[Any]]


class Numbers(dict[int, int]):
    """The numbers of users or items in the order in which lists mention them, from 0."""

    def __missing__(self, index: int) -> int:
        self[index] = len(self)
        return self[index]


def section(lists: Lists, room: int) -> Section | None:
    """The search; None where there is no user and no item to find, or no room.

    Args:
      lists: recommendations and neighbours.
      room: number of bytes that the index of the search may take.
    """
    users = orders.by_count(lists.activity(), lists.activity() > 0)
    items = orders.by_count(lists.popularity, neighbours.trained(lists.item_taste))
    index = index_of(lists, users, items, room)
    if not index["users"] and not index["items"]:
        return None
    text = (
        f"Finds {covered(len(index['users']), len(users), 'user', 'most active')} and "
        f"{covered(len(index['items']), len(items), 'item', 'most popular')} by a part of the id or title. Users and "
        "items without rows in the training and validation set have no lists. Recommended are the model's first "
        f"{RECOMMENDED} items, without the user's items in the training and validation set. A tick marks a test item. "
        "The number after a name is the similarity."
    )
    return Section("search", "Search", [Note(text), Search("finder", "Find a user or an item", index)])


def covered(shown: int, number: int, singular: str, order: str) -> str:
    """`all 14 users`, or `the 9 most active of 14 users`."""
    if shown == number:
        return f"all {counted(number, singular)}"
    return f"the {count(shown)} {order} of {counted(number, singular)}"


def index_of(lists: Lists, users: NDArray[np.int32], items: NDArray[np.int32], room: int) -> Index:
    """The lists of the first users and items, of both in proportion, as page.js reads them.

    Args:
      lists: recommendations and neighbours.
      users, items: int32 indices in the order in which they are added.
      room: number of bytes that the index may take as JSON.

    Returns:
      types: all item types.
      user_names, item_names, item_types: name and position of the type, by number.
      users: [number, recommended items, similar users]; the number n of a test item is written as ~n, which is -n - 1,
        and each similar user is followed by 100 times the similarity.
      items: [number, id, similar items], each of these followed by 100 times the similarity.
    """
    index: Index = {"types": lists.data.items.type_names()}
    size = len(embedded_json(index).encode())
    index |= {name: [] for name in ("user_names", "item_names", "item_types", "users", "items")}
    user_numbers, item_numbers = Numbers(), Numbers()
    pieces = max(1, -(-max(len(users), len(items)) // PIECE))
    for of_users, of_items in zip(np.array_split(users, pieces), np.array_split(items, pieces), strict=True):
        piece = _piece(lists, of_users, of_items, user_numbers, item_numbers)
        size += len(embedded_json(piece).encode())
        if size > room:
            break
        for name, values in piece.items():
            index[name] += values
    return index


def _piece(
    lists: Lists, users: NDArray[np.int32], items: NDArray[np.int32], user_numbers: Numbers, item_numbers: Numbers
) -> Index:
    """The lists of some users and items, and the names that they are the first to mention."""
    data, known_users, known_items = lists.data, len(user_numbers), len(item_numbers)
    user_lists = [
        [user_numbers[user], recommended, similar]
        for user, recommended, similar in zip(
            users.tolist(),
            _recommended(lists, users, item_numbers),
            _similar(lists.similar_users(users, NEIGHBOURS), user_numbers),
            strict=True,
        )
    ]
    item_lists = [
        [item_numbers[item], name, similar]
        for item, name, similar in zip(
            items.tolist(),
            data.items.ids(items),
            _similar(lists.similar_items(items, NEIGHBOURS), item_numbers),
            strict=True,
        )
    ]
    new_users = np.array(list(user_numbers)[known_users:], np.int32)
    new_items = np.array(list(item_numbers)[known_items:], np.int32)
    return {
        "user_names": data.user_labels(new_users),
        "item_names": data.items.labels(new_items),
        "item_types": data.items.type_numbers()[new_items].tolist(),
        "users": user_lists,
        "items": item_lists,
    }


def _recommended(lists: Lists, users: NDArray[np.int32], numbers: Numbers) -> list[list[int]]:
    """The numbers of the recommended items, those of test items as their complement."""
    recommended = lists.recommended(users, RECOMMENDED)
    coded = []
    for user, items in zip(users, recommended, strict=True):
        in_test = np.isin(items, items_of(lists.test, user))
        pairs = zip(items.tolist(), in_test.tolist(), strict=True)
        coded.append([~numbers[item] if held_out else numbers[item] for item, held_out in pairs if item > 0])
    return coded


def _similar(near: neighbours.Neighbours, numbers: Numbers) -> list[list[int]]:
    """Numbers and hundredths of the similarity in turn, nearest first."""
    return [
        [
            value
            for index, hundredth in zip(ids, hundredths, strict=True)
            if index > 0
            for value in (numbers[index], hundredth)
        ]
        for ids, hundredths in zip(near.ids.tolist(), np.rint(100 * near.similarity).astype(int).tolist(), strict=True)
    ]
