"""Usual names of the columns of a table of interactions."""

from collections.abc import Mapping, Sequence

# In plain letters, the most telling first; those of an id may be followed by one of ID_ENDINGS.
_USERS = (
    "user uid username customer member reviewer visitor account client buyer reader listener player kunde kunden "
    "nutzer benutzer mitglied besucher"
)
_ITEMS = (
    "item iid product asin parentasin book isbn movie film track song game video article artikel produkt sku buch "
    "artist business show venue poi"
)
_TYPES = "itemtype type itemkind kind mediatype medium domain typ artikeltyp produkttyp"
_RATINGS = "rating ratings bookrating score stars star overall bewertung note sterne punkte vote"
_TIMES = (
    "timestamp time datetime date ts unixtime unixreviewtime reviewtime eventtime createdat created ratedat datum zeit "
    "zeitpunkt zeitstempel"
)
USUAL_NAMES: Mapping[str, Sequence[str]] = {
    "user_id": _USERS.split(),
    "item_id": _ITEMS.split(),
    "item_type": _TYPES.split(),
    "rating": _RATINGS.split(),
    "timestamp": _TIMES.split(),
    "split": ["split", "part", "set", "partition", "subset", "fold"],
}
ID_ENDINGS = ("", "id", "nr", "no", "number", "nummer", "key", "code", "hash", "index", "idx")


def plain(name: str) -> str:
    """The name in lower case without anything but letters and digits."""
    return "".join(letter for letter in name.casefold() if letter.isalnum())


def spellings(name: str) -> set[str]:
    """The name in plain letters, with and without the type that RecBole adds, as in user_id:token."""
    return {plain(name), plain(name.partition(":")[0])}


def rank(role: str, name: str) -> int | None:
    """The position of a column's name among the usual names of a role, 0 for the most telling; None for another name.

    >>> rank("user_id", "Customer-No"), rank("user_id", "item_id")
    (3, None)
    """
    endings = ID_ENDINGS if role in ("user_id", "item_id") else ("",)
    written = spellings(name)
    usual = enumerate(USUAL_NAMES[role])
    return next((number for number, base in usual if any(base + ending in written for ending in endings)), None)
