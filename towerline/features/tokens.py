"""Texts of a column -> values, words, numbers or vectors. The SavedModel does the same with TensorFlow's operations.

None, and a text of white space alone, is a missing value; so is a text that is no number where a number is expected.
"""

import re
from datetime import UTC, datetime

# Letters and digits of all scripts, as RE2's [\pL\pN]+ finds them.
WORD = re.compile(r"[^\W_]+")
NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
BETWEEN_NUMBERS = re.compile(r"[\s,;\[\]()]+", re.ASCII)
GRAM_LENGTH = 4


def is_missing(text: str | None) -> bool:
    """True for None and for white space alone."""
    return text is None or not text.strip()


def values(text: str | None, separator: str | None) -> list[str]:
    """The different values in a text, in ascending order, without the white space around them; none if it is missing.

    Args:
      text: the text.
      separator: between values; None if the text is one value.
    """
    if text is None:
        return []
    parts = [text] if separator is None else text.split(separator)
    return sorted({part.strip() for part in parts} - {""})


def words(text: str | None) -> list[str]:
    """The different words of a text in lower case, in ascending order."""
    return sorted(set(WORD.findall((text or "").lower())))


def grams(text: str | None) -> list[str]:
    """The different sequences of GRAM_LENGTH characters in the words of a text, in ascending order.

    A word begins and ends with a space, so that beginnings and ends of words differ from what is within.
    """
    padded = (f" {word} " for word in words(text))
    return sorted(
        {word[start : start + GRAM_LENGTH] for word in padded for start in range(len(word) - GRAM_LENGTH + 1)}
    )


def number(text: str | None) -> float | None:
    """The number that a text holds; None if it holds none, or one that float32 cannot hold."""
    text = (text or "").strip()
    if not NUMBER.fullmatch(text):
        return None
    value = float(text)
    return value if abs(value) < 3e38 else None


def time(text: str | None) -> float | None:
    """The seconds since 1970 UTC that a number or ISO 8601 says, the latter in UTC if it has no offset; else None."""
    seconds = number(text)
    if seconds is not None or is_missing(text):
        return seconds
    try:
        moment = datetime.fromisoformat(str(text).strip())
    except ValueError:
        return None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def vector(text: str | None) -> list[float] | None:
    """The numbers that a text holds, at least one; None if it holds anything else."""
    parts = [part for part in BETWEEN_NUMBERS.split(text or "") if part]
    numbers = [number(part) for part in parts]
    found = [value for value in numbers if value is not None]
    return found if found and len(found) == len(parts) else None
