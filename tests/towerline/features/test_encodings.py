"""Tests of the encodings: known answers, and that what is written is what is read."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from towerline.features.declarations import Feature
from towerline.features.encoder import encoded
from towerline.features.encodings import Texts, of_content
from towerline.features.learning import learned, learned_encodings

DECLARED: dict[str, Feature] = {
    "categorical": TypeAdapter(Feature).validate_python({"kind": "categorical"}),
    "multi_valued": TypeAdapter(Feature).validate_python({"kind": "multi_valued", "separator": "|"}),
    "number": TypeAdapter(Feature).validate_python({"kind": "number", "buckets": None}),
    "buckets": TypeAdapter(Feature).validate_python({"kind": "number", "buckets": 2}),
    "time": TypeAdapter(Feature).validate_python({"kind": "time", "buckets": 2}),
    "text": TypeAdapter(Feature).validate_python({"kind": "text"}),
    "vector": TypeAdapter(Feature).validate_python({"kind": "vector"}),
}
HALF = 2**-0.5


@pytest.mark.parametrize(
    ("kind", "texts", "asked", "rows"),
    [
        ("categorical", ["a", "a", "b", "b", "c"], ["b", "c", None], [[0, 1], [0, 0], [0, 0]]),
        ("multi_valued", ["a|b", "b", "a", None, ""], ["a|b|z", "b", " "], [[HALF, HALF, 0], [0, 1, 0], [0, 0, 1]]),
        ("number", ["1", "3", "x", "y"], ["3", "2", "x"], [[1, 0], [0, 0], [0, 1]]),
        ("buckets", ["1", "2", "3", "4"], ["1.9", "2", "x"], [[1, 0], [0, 1], [0, 0]]),
        ("time", ["1970-01-01", "86400"], ["-5", "1970-01-03"], [[0, 1], [0, 1]]),
        ("vector", ["0 0", "2 0", "1", "1 2 3"], ["2 0", "5", "1 1"], [[1, 0, 0], [0, 0, 1], [0, 1, 0]]),
    ],
)
def test_known_answers(kind: str, texts: Texts, asked: Texts, rows: list[list[float]]) -> None:
    matrix = learned("column", DECLARED[kind], texts).matrix(asked)
    if kind == "time":
        # One border, at the first of the two times; earlier times are below it.
        rows = [[1, 0], [0, 1]]
    np.testing.assert_allclose(matrix.toarray(), rows)


def test_words_and_their_characters_are_pooled_apart() -> None:
    encoding = learned("title", DECLARED["text"], ["Iron Man", "Iron Man 2", "Iron", "Iron", "Iron", None])
    row = encoding.matrix(["The Iron Man", "Ironman"]).toarray()
    words = [HALF, HALF]
    # " iro", "iron" and "ron " are in five titles; in "Ironman", two of them.
    np.testing.assert_allclose(row, [words + [3**-0.5] * 3, [0.0, 0.0, HALF, HALF, 0.0]])


@given(
    st.sampled_from(sorted(DECLARED)),
    st.lists(st.none() | st.text("ab| 12.,-e", max_size=8), min_size=1, max_size=12),
    st.lists(st.none() | st.text(max_size=8), max_size=6),
)
def test_any_text_is_encoded_and_the_written_encoding_is_the_same(kind: str, texts: Texts, asked: Texts) -> None:
    encoding = learned("column", DECLARED[kind], texts)
    read = of_content(encoding.content())
    matrix = encoding.matrix([*texts, *asked])
    assert matrix.shape == (len(texts) + len(asked), encoding.width)
    assert np.isfinite(matrix.toarray()).all()
    np.testing.assert_array_equal(matrix.toarray(), read.matrix([*texts, *asked]).toarray())


def test_the_order_of_declarations_and_columns_changes_nothing() -> None:
    columns: dict[str, Texts] = {"b": ["x", "x", "y", "y"], "a": ["1", "2", "3", "4"]}
    features = {"b": DECLARED["categorical"], "a": DECLARED["number"]}
    one = learned_encodings(features, columns)
    other = learned_encodings(dict(reversed(features.items())), dict(reversed(columns.items())))
    assert [encoding.content() for encoding in one] == [encoding.content() for encoding in other]
    np.testing.assert_array_equal(encoded(one, columns, 4).toarray(), encoded(other, columns, 4).toarray())


def test_a_column_that_is_not_there_is_missing() -> None:
    encodings = learned_encodings({"a": DECLARED["categorical"]}, {"a": ["x", "x", None, None]})
    np.testing.assert_array_equal(encoded(encodings, {}, 2).toarray(), [[0, 1], [0, 1]])
