"""Tests of the reading of texts: known answers, and texts of any kind."""

import math
import sys
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from towerline.features import tokens


def test_values_words_and_grams() -> None:
    assert tokens.values(" Drama |Crime||Drama", "|") == ["Crime", "Drama"]
    assert tokens.values(" Crime|Drama ", None) == ["Crime|Drama"]
    assert tokens.values(None, "|") == tokens.values("  ", None) == tokens.words(None) == []
    assert tokens.words("Fantômas - À l'ombre_2 (1913) の") == ["1913", "2", "fantômas", "l", "ombre", "à", "の"]
    assert tokens.words("ISPARTA İSPARTA ΟΔΟΣ οδος Ὀδυσσεύς Straße") == ["isparta", "straße", "οδοσ", "ὀδυσσεύσ"]
    assert tokens.grams("To be") == [" be ", " to "]
    assert tokens.grams("Heat") == [" hea", "eat ", "heat"]


@pytest.mark.parametrize(
    ("text", "value"),
    [("12", 12.0), (" -1.5e3 ", -1500.0), (".5", 0.5), ("1,5", None), ("nan", None), ("1e39", None), ("", None)],
)
def test_numbers(text: str, value: float | None) -> None:
    assert tokens.number(text) == value


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1970-01-02", 86_400.0),
        ("1970-01-01T01:00:00+01:00", 0.0),
        ("1970-01-01 00:00:01Z", 1.0),
        ("2013-02-28 15:00:00.1234567-0530", 1_362_083_400.123456),
        ("0001-01-01T00:00+23:59", -62_135_683_140.0),
        ("2013-02-29", None),
        ("2013-02-28T24:00", None),
        ("20130228T150000", None),
        ("60", 60.0),
        ("yesterday", None),
        (None, None),
    ],
)
def test_times(text: str | None, seconds: float | None) -> None:
    assert tokens.time(text) == seconds


def test_vectors() -> None:
    assert tokens.vector("[0.5, -1, 2e1]") == tokens.vector("0.5 -1;20") == [0.5, -1.0, 20.0]
    assert tokens.vector("[0.5, x]") is tokens.vector("") is tokens.vector(None) is None


@given(st.text())
def test_tokens_of_any_text_are_in_order_and_each_is_there_once(text: str) -> None:
    for found in (tokens.values(text, "|"), tokens.words(text), tokens.grams(text)):
        assert found == sorted(set(found))
    assert all(len(gram) == tokens.GRAM_LENGTH for gram in tokens.grams(text))
    value = tokens.number(text)
    assert value is None or math.isfinite(value)


def test_letters_and_lower_case_are_the_same_in_every_version_of_python() -> None:
    """Law 2: versions of Python know different versions of Unicode."""
    characters = "".join(map(chr, range(sys.maxunicode + 1)))
    lower = tokens.lower(characters)
    assert len(lower) == len(characters)
    assert lower == "".join(map(tokens.lower, characters)), "whatever is around a character"
    letters = "".join(tokens.WORD.findall(characters))
    assert len(letters) == 133_547
    assert zlib.crc32(letters.encode()) == 1_557_302_002
    assert zlib.crc32(lower.encode("utf-8", "surrogatepass")) == 379_778_822
