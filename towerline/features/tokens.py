"""Texts of a column -> values, words, numbers or vectors.

stages/export/texts.py does the same with TensorFlow's operations, so every rule here is one that both can follow: none
depends on the locale, or on the version of Unicode that a library knows. None, and a text of white space alone, is a
missing value; so is a text that is no number where a number is expected.
"""

import re
from datetime import date

# Letters and digits that Python 3.11, whose Unicode is version 14, does not know; later versions of Python do.
_SINCE_UNICODE_15 = (
    "\U0001123f\U00011240\U00011f02-\U00011f59\U0001342f-\U00013446\U0001b132\U0001b155\U0001d2c0-\U0001d2d3"
    "\U0001df25-\U0001df2a\U0001e030-\U0001e06d\U0001e4d0-\U0001e4f9\U0002b739\U0002ebf0-\U0002ee5d"
    "\U00031350-\U000323af"
)
# Letters and digits of all scripts, the same ones in every version of Python.
WORD = re.compile(rf"[^\W_{_SINCE_UNICODE_15}]+")
# RE2 understands the patterns of numbers and times, too.
NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
# What float32 can hold, rounded down.
LARGEST_NUMBER = 3e38
BETWEEN_NUMBERS = re.compile(r"[ \t\n\v\f\r,;\[\]()]+")
# Date; hour, minute, second, digits of its fraction; sign, hours and minutes of the offset from UTC.
TIME = re.compile(
    r"(\d{4}-\d\d-\d\d)"
    r"(?:[T ]([01]\d|2[0-3]):([0-5]\d)(?::([0-5]\d)(?:[.,](\d+))?)?"
    r"(?:Z|([+-])([01]\d|2[0-3])(?::?([0-5]\d))?)?)?",
    re.ASCII,
)
GRAM_LENGTH = 4

_EPOCH = date(1970, 1, 1).toordinal()


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


def lower(text: str) -> str:
    """The text in lower case, one character for each, whatever is around it.

    Without the two replacements, the Turkish dotted I would be two characters, the second of which divides a word, and
    a capital sigma another character at the end of a word than within.
    """
    without_dots = text.replace("\N{LATIN CAPITAL LETTER I WITH DOT ABOVE}", "i")
    return without_dots.lower().replace("\N{GREEK SMALL LETTER FINAL SIGMA}", "\N{GREEK SMALL LETTER SIGMA}")


def words(text: str | None) -> list[str]:
    """The different words of a text in lower case, in ascending order."""
    return sorted(set(WORD.findall(lower(text or ""))))


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
    return value if abs(value) < LARGEST_NUMBER else None


def time(text: str | None) -> float | None:
    """The seconds since 1970 UTC that a number says, or a date with or without a time of day; else None.

    These are the forms of ISO 8601 with - and : between the numbers, such as 2013-02-28, 2013-02-28T15:00,
    2013-02-28 15:00:00.25 and 2013-02-28T15:00:00+01:00. Without an offset they are in UTC. Six digits of the fraction
    of a second are read.
    """
    seconds = number(text)
    found = TIME.fullmatch((text or "").strip())
    if seconds is not None or not found:
        return seconds
    day, hour, minute, second, fraction, sign, offset_hours, offset_minutes = found.groups(default="0")
    try:
        days = date.fromisoformat(day).toordinal() - _EPOCH
    except ValueError:
        return None
    offset = int(offset_hours) * 60 + int(offset_minutes)
    minutes = (days * 24 + int(hour)) * 60 + int(minute) + (offset if sign == "-" else -offset)
    return minutes * 60 + int(second) + int(f"{fraction:0<6}"[:6]) / 1e6


def vector(text: str | None) -> list[float] | None:
    """The numbers that a text holds, at least one; None if it holds anything else."""
    parts = [part for part in BETWEEN_NUMBERS.split(text or "") if part]
    numbers = [number(part) for part in parts]
    found = [value for value in numbers if value is not None]
    return found if found and len(found) == len(parts) else None
