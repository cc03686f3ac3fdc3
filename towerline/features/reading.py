"""The declared columns of the vocabularies, checked."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from towerline.artifacts.vocabulary import ITEM_VOCABULARY, USER_VOCABULARY, read_columns
from towerline.features import tokens
from towerline.features.declarations import Feature, Features, Number, Time, Vector
from towerline.features.encoder import Columns
from towerline.features.encodings import Texts
from towerline.pipeline.errors import StageError

# A column with a larger share of values that cannot be read is taken for one of another kind.
MAX_UNREADABLE_SHARE = 0.05
# From this share of ids without a value on, the last line of the stage says so.
WARNED_MISSING_SHARE = 0.4


class FeatureTables(NamedTuple):
    """The declared columns of users and of items, texts of all ids; that of the unknown id at index 0 is None.

    Attributes:
      users, items: column -> texts; empty without declared features.
      warnings: what is noteworthy about them, a short line each.
    """

    users: Columns
    items: Columns
    warnings: Sequence[str] = ()


NO_FEATURES = FeatureTables({}, {})


def read_features(user_features: Features, item_features: Features) -> FeatureTables:
    """Reads the declared columns from the vocabularies.

    Args:
      user_features, item_features: the declarations, of the parameters of these names in the section `train`.

    Raises:
      StageError: there is no such column, or too many of its values cannot be read as declared.
    """
    users = read_columns(USER_VOCABULARY, sorted(user_features), "train.user_features", "ingest.users")
    items = read_columns(ITEM_VOCABULARY, sorted(item_features), "train.item_features", "ingest.items")
    warnings = []
    for parameter, what, features, columns in (
        ("train.user_features", "users", user_features, users),
        ("train.item_features", "items", item_features, items),
    ):
        for name, texts in columns.items():
            warnings += _checked(f"{parameter}.{name}", what, features[name], texts[1:])
    return FeatureTables(users, items, warnings)


def _checked(parameter: str, what: str, feature: Feature, texts: Texts) -> list[str]:
    """Warnings about a column, named by its parameter; `what` are the ids that have it."""
    present = [text for text in texts if text is not None and not tokens.is_missing(text)]
    warnings = []
    missing = 1 - len(present) / max(len(texts), 1)
    if missing >= WARNED_MISSING_SHARE:
        warnings.append(f"{parameter} is missing for {missing:.0%} of the {what}")
    read, form = _reader(feature)
    unreadable = [] if read is None else [text for text in present if read(text) is None]
    if len(unreadable) > MAX_UNREADABLE_SHARE * len(present):
        raise StageError(
            f"{parameter}: expected {form}, found {len(unreadable):,} of {len(present):,} values that are none, such "
            f"as {unreadable[0][:100]!r}; declare another kind, or correct the values"
        )
    if unreadable:
        warnings.append(
            f"{parameter} has {len(unreadable):,} of {len(present):,} values that are not {form}; they count as missing"
        )
    return warnings


def _reader(feature: Feature) -> tuple[Callable[[str], object] | None, str]:
    """The function that reads a value, None if any text will do, and what it expects."""
    match feature:
        case Number():
            return tokens.number, "numbers"
        case Time():
            return tokens.time, "times (such as 2013-02-28T15:00:00, or seconds since 1970)"
        case Vector():
            return tokens.vector, "vectors (numbers separated by spaces or commas)"
    return None, ""
