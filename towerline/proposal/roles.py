"""Choice of the column of each role, by names first, then by values."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from towerline.proposal.reading import Column
from towerline.raw.names import rank
from towerline.raw.values import DECIMAL_COMMA_ADVICE, OTHER_TIMES_ADVICE, UNITS, unit_of

ROLES = ("user_id", "item_id", "item_type", "rating", "timestamp", "split")
# Ranges of guesses by value alone: rating scales, and seconds from 1990 to 2100.
LEAST_RATING, MOST_RATING, MOST_RATING_VALUES = -10, 100, 101
FIRST_SECOND, LAST_SECOND = 631_152_000, 4_102_444_800
MOST_TYPES = 100
# A column `type` of a log of events has these values: kinds of actions, not of items.
ACTIONS = {"view", "pageview", "click", "cart", "addtocart", "buy", "purchase", "transaction", "like", "rating"}


class Choice(NamedTuple):
    """The columns of the roles.

    Attributes:
      columns: role -> column; roles that the file does not have are missing.
      reasons: role -> why this column was chosen, or why none was.
      guessed: the roles whose column was chosen by its place alone.
      doubts: what is uncertain, as sentences.
    """

    columns: dict[str, Column]
    reasons: dict[str, str]
    guessed: set[str]
    doubts: list[str]


def choose(columns: Sequence[Column]) -> Choice:
    """Chooses the columns of the roles; `user_id` or `item_id` is missing where no column can be it."""
    choice = Choice({}, {}, set(), [])
    for role in ROLES:
        _choose_by_name(role, columns, choice)
    named = any(column.name for column in columns)
    if "timestamp" not in choice.columns:
        _choose_by_value("timestamp", columns, choice, _is_time_by_value)
    if "rating" not in choice.columns and not named:
        _choose_by_value("rating", columns, choice, _is_rating_by_value)
    # Without any telling name, a pair of columns is users and items, in this order.
    for role in ("user_id", "item_id"):
        if role not in choice.columns:
            _choose_id(role, columns, choice)
    for role in ROLES:
        choice.reasons.setdefault(role, "no column looks like it")
    return choice


def _choose_by_name(role: str, columns: Sequence[Column], choice: Choice) -> None:
    ranked = [(number, column) for column in _free(columns, choice) if (number := rank(role, column.name)) is not None]
    for _, column in sorted(ranked, key=lambda pair: pair[0]):
        problem = _misfit(role, column)
        if problem is None:
            choice.columns[role] = column
            choice.reasons[role] = f"by its name; {_described(role, column)}"
            return
        choice.reasons[role] = f"not {column.label!r}, see below"
        choice.doubts.append(f"columns.{role}: not {column.label!r}: {problem}")


def _free(columns: Sequence[Column], choice: Choice) -> list[Column]:
    taken = {column.position for column in choice.columns.values()}
    return [column for column in columns if column.position not in taken and column.filled]


def _misfit(role: str, column: Column) -> str | None:
    """The reason for which ingest would refuse the column, or its rows, in this role; None where it would not."""
    checks: dict[str, Callable[[Column], str | None]] = {
        "item_type": _misfit_type,
        "rating": _misfit_rating,
        "timestamp": _misfit_time,
        "split": _misfit_split,
    }
    return checks.get(role, _misfit_id)(column)


def _misfit_id(column: Column) -> str | None:
    if column.kind != "VARCHAR" and column.kind != "BLOB" and "INT" not in column.kind:
        return f"ids are text or integers, found {column.kind}; write it with .astype('Int64') or .astype('string')"
    return None


def _misfit_type(column: Column) -> str | None:
    actions = ACTIONS & {example.casefold() for example in column.examples}
    if actions:
        return f"its values are kinds of actions ({', '.join(sorted(actions))}), not of items"
    if column.distinct > MOST_TYPES:
        return f"{column.counted} different values are too many for types"
    return _misfit_id(column) or _misfit_filled(column)


def _misfit_filled(column: Column) -> str | None:
    if column.nearly_all(column.filled):
        return None
    return f"{column.rows - column.filled:,} of {column.rows:,} rows have none; leave these rows out of the file"


def _misfit_rating(column: Column) -> str | None:
    if column.decimal_commas:
        return DECIMAL_COMMA_ADVICE
    if (problem := _misfit_filled(column)) is not None:
        return problem
    if column.kind == "BOOLEAN" or not column.nearly_all(column.numbers):
        return f"{column.filled - column.numbers:,} of {column.rows:,} rows have no number there"
    return None


def _misfit_time(column: Column) -> str | None:
    if (problem := _misfit_filled(column)) is not None:
        return problem
    if column.nearly_all(column.times):
        return None
    if not column.nearly_all(column.numbers):
        return OTHER_TIMES_ADVICE
    if unit_of(column.least) is None or unit_of(column.most) is None:
        return f"numbers up to {column.most:g} are no times"
    return None


def _misfit_split(column: Column) -> str | None:
    if column.nearly_all(column.sets):
        return None
    values = ", ".join(column.examples[:5])
    return f"expected train, validation and test{f', found {values}; rename them' if values else ''}"


def _choose_by_value(role: str, columns: Sequence[Column], choice: Choice, fits: Callable[[Column], bool]) -> None:
    candidates = [column for column in _free(columns, choice) if fits(column)]
    if candidates:
        # Of several, the last: logs are written as who, what, how much, when.
        choice.columns[role] = candidates[-1]
        choice.reasons[role] = f"by its values; {_described(role, candidates[-1])}"
        choice.doubts.append(f"columns.{role}: {candidates[-1].label!r} by its values alone")


def _is_time_by_value(column: Column) -> bool:
    if column.nearly_all(column.times):
        return True
    if not column.nearly_all(column.numbers) or (unit := unit_of(column.most)) is None:
        return False
    return column.least / UNITS[unit] >= FIRST_SECOND and column.most / UNITS[unit] <= LAST_SECOND


def _is_rating_by_value(column: Column) -> bool:
    return (
        column.nearly_all(column.numbers)
        and LEAST_RATING <= column.least <= column.most <= MOST_RATING
        and 2 <= column.distinct <= MOST_RATING_VALUES
        and column.position > 2
    )


def _choose_id(role: str, columns: Sequence[Column], choice: Choice) -> None:
    candidates = [
        column
        for column in _free(columns, choice)
        if _misfit_id(column) is None and column.nearly_all(column.filled) and column.distinct > 1
    ]
    # A number of each row is no id of anything that comes back.
    repeated = [column for column in candidates if column.distinct < 0.8 * column.rows]
    other = "item_id" if role == "user_id" else "user_id"
    needed = 1 if other in choice.columns else 2
    candidates = repeated if len(repeated) >= needed else candidates
    if candidates:
        choice.columns[role] = candidates[0]
        choice.guessed.add(role)
        choice.reasons[role] = f"by its place; {_described(role, candidates[0])}"
        choice.doubts.append(f"columns.{role}: {candidates[0].label!r} by its place among the columns alone")


def _described(role: str, column: Column) -> str:
    if role in ("user_id", "item_id"):
        return f"{column.counted} different values"
    if column.nearly_all(column.numbers):
        return f"{column.counted} different numbers from {_number(column.least)} to {_number(column.most)}"
    text = f"values {', '.join(column.examples)}"
    return text if column.examples and len(text) < 60 else f"{column.counted} different values"


def _number(value: float) -> str:
    """The number as text; whole numbers up to times in nanoseconds without an exponent."""
    return f"{value:.0f}" if value % 1 == 0 and abs(value) < 1e19 else f"{value:.12g}"
