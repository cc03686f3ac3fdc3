"""Texts of a column -> values, words, numbers or vectors, with TensorFlow's own operations.

The same as towerline/features/tokens.py, which says what they are, and with which the tests compare it.
"""

import sys

import numpy as np
from numpy.typing import NDArray

from towerline.features import tokens
from towerline.towers import tf

# The characters that str.strip() removes, in the notation of RE2.
WHITE_SPACE = r"[\t-\r\x1c- \x{85}\x{a0}\x{1680}\x{2000}-\x{200a}\x{2028}\x{2029}\x{202f}\x{205f}\x{3000}]"
_AROUND = rf"\A{WHITE_SPACE}+|{WHITE_SPACE}+\z"
_NAN = np.float64(np.nan)
# 1970-01-01, in days since 1 March of the year 0.
_EPOCH_DAY = 719_468
_MONTH_LENGTHS = (31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)


class Alphabet(tf.Module):
    """Words in lower case, by tables of all characters.

    tf.strings.lower depends on the locale, stops at the character 0 and knows another version of Unicode.
    """

    def __init__(self) -> None:
        super().__init__()
        characters = "".join(map(chr, range(sys.maxunicode + 1)))
        step = _codes(tokens.lower(characters)) - _codes(characters)
        steps = tf.lookup.KeyValueTensorInitializer(tf.constant(np.flatnonzero(step)), tf.constant(step[step != 0]))
        self.step_to_lower = tf.lookup.StaticHashTable(steps, default_value=0, name="step_to_lower")
        runs = [border for run in tokens.WORD.finditer(characters) for border in run.span()]
        self.borders = tf.constant(runs, tf.int64)

    def words(self, texts: tf.Tensor) -> tf.RaggedTensor:
        """[n, any] words of n texts, as often as they are there."""
        characters = tf.strings.unicode_decode(texts, "UTF-8")
        code = tf.cast(characters.flat_values, tf.int64)
        code += self.step_to_lower.lookup(code)
        # An odd number of borders lies at or before a character of a word.
        in_word = tf.searchsorted(self.borders, code, side="right") % 2 == 1
        spaced = tf.cast(tf.where(in_word, code, ord(" ")), tf.int32)
        return tf.strings.split(tf.strings.unicode_encode(characters.with_flat_values(spaced), "UTF-8"))

    def grams(self, texts: tf.Tensor) -> tf.RaggedTensor:
        """[n, any] sequences of characters in the words of n texts, as often as they are there."""
        words = self.words(texts)
        padded = tf.strings.unicode_split(tf.strings.join([" ", words.flat_values, " "]), "UTF-8")
        grams = tf.strings.ngrams(padded, tokens.GRAM_LENGTH, separator="")
        return words.with_flat_values(grams).merge_dims(1, 2)


def stripped(texts: tf.Tensor) -> tf.Tensor:
    """As str.strip()."""
    return tf.strings.regex_replace(texts, _AROUND, "")


def values(texts: tf.Tensor, separator: str | None) -> tf.RaggedTensor:
    """[n, any] values of n texts, as often as they are there; among them are empty ones, which tokens.py leaves out."""
    whole = tf.RaggedTensor.from_tensor(texts[:, None])
    parts = whole if separator is None else tf.strings.split(texts, separator)
    return parts.with_flat_values(stripped(parts.flat_values))


def numbers(texts: tf.Tensor) -> tf.Tensor:
    """[n] float64 numbers; NaN where there is none."""
    text = stripped(texts)
    is_number = tf.strings.regex_full_match(text, tokens.NUMBER.pattern)
    number = tf.strings.to_number(tf.where(is_number, text, "0"), tf.float64)
    return tf.where(is_number & (tf.abs(number) < tokens.LARGEST_NUMBER), number, _NAN)


def times(texts: tf.Tensor) -> tf.Tensor:
    """[n] float64 seconds since 1970 UTC; NaN where there are none."""
    text, seconds = stripped(texts), numbers(texts)
    is_time = tf.strings.regex_full_match(text, tokens.TIME.pattern)
    text = tf.where(is_time, text, "1970-01-01")
    date, hour, minute, second, fraction, sign, offset_hours, offset_minutes = (
        tf.strings.regex_replace(text, tokens.TIME.pattern, rf"\{group}") for group in range(1, 9)
    )
    there, days = _days(date)
    offset = _whole(offset_hours) * 60 + _whole(offset_minutes)
    minutes = (days * 24 + _whole(hour)) * 60 + _whole(minute) + tf.where(tf.equal(sign, "-"), offset, -offset)
    microseconds = tf.strings.substr(tf.strings.join([fraction, "000000"]), 0, 6)
    of_time = tf.cast(minutes * 60 + _whole(second), tf.float64) + tf.cast(_whole(microseconds), tf.float64) / 1e6
    return tf.where(is_time & there & tf.math.is_nan(seconds), of_time, seconds)


def vectors(texts: tf.Tensor) -> tuple[tf.RaggedTensor, tf.Tensor]:
    """[n, any] float64 numbers in n texts, and their count, [n] int64; it is 0 where anything is no number."""
    parts = tf.strings.split(tf.strings.regex_replace(texts, tokens.BETWEEN_NUMBERS.pattern, " "))
    number = numbers(parts.flat_values)
    unread = tf.math.unsorted_segment_sum(
        tf.cast(tf.math.is_nan(number), tf.int64), parts.value_rowids(), tf.size(texts)
    )
    return parts.with_flat_values(number), tf.where(unread > 0, np.int64(0), parts.row_lengths())


def _codes(characters: str) -> NDArray[np.int64]:
    return np.frombuffer(characters.encode("utf-32-le", "surrogatepass"), np.uint32).astype(np.int64)


def _days(date: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """[n] bool, true for a day of the calendar from the year 1 on, and [n] int64 days since 1970.

    Args:
      date: [n] texts yyyy-mm-dd.
    """
    year, month, day = (_whole(tf.strings.substr(date, start, length)) for start, length in ((0, 4), (5, 2), (8, 2)))
    leap = (year % 4 == 0) & ((year % 100 != 0) | (year % 400 == 0))
    february = tf.cast(leap & tf.equal(month, 2), tf.int64)
    last_day = tf.gather(np.array(_MONTH_LENGTHS), tf.clip_by_value(month, 1, 12) - 1) + february
    there = (year >= 1) & (month >= 1) & (month <= 12) & (day >= 1) & (day <= last_day)
    # Years begin with March here, so that the day that leap years have more is their last one.
    years = year - tf.cast(month <= 2, tf.int64)
    day_of_year = (153 * ((month + 9) % 12) + 2) // 5 + day - 1
    return there, years * 365 + years // 4 - years // 100 + years // 400 + day_of_year - _EPOCH_DAY


def _whole(digits: tf.Tensor) -> tf.Tensor:
    """[n] int64 numbers; 0 for no digits."""
    return tf.strings.to_number(tf.strings.join(["0", digits]), tf.int64)
