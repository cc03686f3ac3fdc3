"""The SavedModel encodes any texts as towerline.features does."""

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from tests.conftest import ROOT, run
from towerline.features import tokens
from towerline.features.declarations import Feature, Features
from towerline.features.encoder import Encoder
from towerline.features.learning import learned_encodings
from towerline.pipeline import formats
from towerline.ranking.embedding import PRIOR_DIMENSIONS

FEATURES: Features = TypeAdapter(dict[str, Feature]).validate_python(
    {
        "category": {"kind": "categorical"},
        "genres": {"kind": "multi_valued", "separator": "|"},
        "people, by name": {"kind": "multi_valued", "separator": "・"},
        "title": {"kind": "text"},
        "price": {"kind": "number", "buckets": None},
        "pages": {"kind": "number", "buckets": 3},
        "released": {"kind": "time", "buckets": 4},
        "picture": {"kind": "vector"},
        # Nothing is known of these.
        "class": {"kind": "categorical"},
        "Class": {"kind": "text"},
        "no vector": {"kind": "vector"},
        "no number": {"kind": "number", "buckets": 2},
    }
)
NOTHING = ("class", "Class", "no vector", "no number")
# Parts of texts: all that one of the encodings reads, and what lower case, white space and words are difficult in.
PARTS = [
    *"|・,;[]()+-.eEtTZ:_/ \t\n\v\f\r\0\x1c\x1f\x7f\x85\xa0\u2003\u2028\u3000\u200b\ufeff\uffff",
    *("Drama", "CRIME", "Straße", "STRASSE", "İstanbul", "ISPARTA", "\u0131l\u0131k", "ẞ"),
    *("ΟΔΟΣ", "ὈΔΥΣΣΕΎΣ", "Йод", "Ǆ", "ǅ", "ﬁn", "e\u0301", "\u0345", "½", "Ⅷ", "\U0001d7d9", "𐐀"),
    *("नमस्ते", "日本語", "の", "한국어", "שלום", "مرحبا", "١٢٣", "ไทย", "\U00010570", "\U0001df25", "\U0010ffff"),
    *("👍🏽", "👨\u200d👩\u200d👧", "\U0001f1f9\U0001f1f7"),
    *("0", "1", "12.5", "-3", "1e5", "1e39", "1e400", "1e-400", ".5", "5.", "2.50", "1234567890." + "1234567890" * 5),
    *(
        "1969-12-31",
        "2000-02-29",
        "1900-02-29",
        "2013-02-28T15:00",
        "2013-02-28 23:59:59.5-1130",
        "+01:00",
        "-0530",
        "Z",
    ),
    *("0001-01-01", "0000-01-01", "9999-12-31T23:59:59,9999999", "2013-13-01", "2013-04-31T24:00", "20130228", "Inf"),
]
TIMES = st.builds(
    lambda moment, separator, offset: moment.isoformat(separator) + offset,
    st.datetimes(),
    st.sampled_from("T "),
    st.sampled_from(["", "Z", "+01:00", "-0530", "+23", "-00:59"]),
)
JOINED = st.lists(st.sampled_from(PARTS) | st.text(max_size=3), max_size=6).map("".join)
TEXTS = JOINED | TIMES | st.from_regex(tokens.NUMBER, fullmatch=True) | st.from_regex(tokens.TIME, fullmatch=True)


@pytest.fixture(scope="module", params=[True, False], ids=["unit", "any length"])
def encoder(request: pytest.FixtureRequest) -> Encoder:
    """An encoder of all kinds of columns, learned from texts of the parts, with random weights."""
    draw = np.random.default_rng(0)
    texts = [*PARTS, *("".join(draw.choice(PARTS, 5)) for _ in range(200)), *("1 2 3", "[0.5,-1e3;7]") * 4, *[None] * 3]
    columns = {name: [None] * 3 if name in NOTHING else texts * 2 for name in FEATURES}
    encodings = learned_encodings(FEATURES, columns)
    shape = 1 + sum(encoding.width for encoding in encodings), 6
    counts = 0.5 * draw.normal(size=(shape[0], PRIOR_DIMENSIONS))
    prior = np.array([40.0, 10.0]), np.array([0.3, 0.2]), np.array([0.1, -0.1])
    return Encoder(encodings, np.array(request.param), draw.normal(size=shape), counts, *prior)


@pytest.fixture(scope="module")
def embed(encoder: Encoder) -> Callable[[dict[str, list[str]]], np.ndarray]:
    """A function from texts of columns to the embeddings that the SavedModel's function gives."""
    from stages.export.encoding import SavedEncoder, argument_names
    from towerline.towers import tf

    saved = SavedEncoder(encoder)
    columns = [encoding.column for encoding in encoder.encodings]
    names = dict(zip(columns, argument_names(columns), strict=True))
    return lambda texts: saved.embed(
        **{names[column]: tf.constant(of_column, tf.string) for column, of_column in texts.items()}
    )["embedding"].numpy()


def check_embeddings(found: np.ndarray, encoder: Encoder, texts: dict[str, list[str]], count: int) -> None:
    with np.errstate(over="ignore"):
        expected = encoder.embeddings(texts, count)
    assert (found.dtype, found.shape) == (expected.dtype, expected.shape)
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-6)


@given(st.lists(st.fixed_dictionaries(dict.fromkeys(FEATURES, TEXTS)), max_size=5))
def test_any_texts_get_the_embeddings_of_the_encoder(
    encoder: Encoder, embed: Callable[[dict[str, list[str]]], np.ndarray], rows: list[dict[str, str]]
) -> None:
    texts = {column: [row[column] for row in rows] for column in FEATURES}
    check_embeddings(embed(texts), encoder, texts, len(rows))


def test_each_part_and_a_very_long_text_get_the_embeddings_of_the_encoder(
    encoder: Encoder, embed: Callable[[dict[str, list[str]]], np.ndarray]
) -> None:
    """Each in every column, so that each encoding has read what it can read."""
    texts = [*PARTS, "1 2 3", "", "".join(PARTS) * 2000, " " * 100_000]
    check_embeddings(embed(dict.fromkeys(FEATURES, texts)), encoder, dict.fromkeys(FEATURES, texts), len(texts))
    matrices = {encoding.column: encoding.matrix(texts) for encoding in encoder.encodings}
    assert all(matrices[column].sum() != 0 for column in FEATURES if column not in NOTHING)


@pytest.fixture(scope="module")
def alphabet() -> Any:
    from stages.export.texts import Alphabet

    return Alphabet()


@given(st.lists(TEXTS | st.text(), max_size=20))
def test_any_texts_are_read_as_in_python(alphabet: Any, asked: list[str]) -> None:
    from stages.export import texts
    from towerline.towers import tf

    given_texts = tf.constant(asked, tf.string)
    for found, read in (
        (alphabet.words(given_texts), tokens.words),
        (alphabet.grams(given_texts), tokens.grams),
        (texts.values(given_texts, "|"), lambda text: tokens.values(text, "|")),
        (texts.values(given_texts, None), lambda text: tokens.values(text, None)),
    ):
        decoded = [{token.decode() for token in row} - {""} for row in found.to_list()]
        assert decoded == [set(read(text)) for text in asked]
    for found, one in ((texts.numbers(given_texts), tokens.number), (texts.times(given_texts), tokens.time)):
        np.testing.assert_array_equal(found, np.array([one(text) for text in asked], np.float64))
    numbers, size = texts.vectors(given_texts)
    for found, count, text in zip(numbers.to_list(), size.numpy(), asked, strict=True):
        assert (found if count else None) == tokens.vector(text)


def test_every_character_is_read_as_in_python(alphabet: Any) -> None:
    from stages.export import texts
    from towerline.towers import tf

    characters = [chr(code) for code in range(sys.maxunicode + 1) if not 0xD800 <= code < 0xE000]
    in_words = [lower for lower in map(tokens.lower, characters) if tokens.WORD.match(lower)]
    words = alphabet.words(tf.constant([" ".join(characters)])).flat_values.numpy().tolist()
    assert words == [lower.encode() for lower in in_words]
    stripped = texts.stripped(tf.constant(characters)).numpy() == b""
    assert stripped.tolist() == [character.isspace() for character in characters]


@pytest.mark.parametrize(
    ("columns", "names"),
    [
        (["genres", "Title_2"], ["genres", "Title_2"]),
        (["a b", "a-b", "a_b"], ["a_b_2", "a_b_3", "a_b"]),
        (["Title", "title", "title_2"], ["Title", "title_2", "title_2_2"]),
        (
            ["", "2", "_x", "class", "self", "Jahr", "é"],
            ["arg_", "arg_2", "arg__x", "arg_class", "arg_self", "Jahr", "arg__"],
        ),
    ],
)
def test_names_of_inputs(columns: Sequence[str], names: Sequence[str]) -> None:
    from stages.export.encoding import argument_names

    assert argument_names(columns) == names


SAVE = """
import sys
from pathlib import Path
import numpy as np
import pyarrow as pa
from stages.export.servable import Retrieval, Vocabularies
from towerline.exports.precision import Tables
from towerline.features.encoder import Encoder
from towerline.pipeline import formats

ids, vectors = pa.chunked_array([["a", "b"]]), np.zeros((3, 8), np.float32)
encoder = Encoder.of_arrays(formats.read_arrays(Path("encoder.npz")))
Retrieval(Tables(vectors, vectors), Vocabularies(ids, ids, ids), None, encoder).save(Path(sys.argv[1]))
"""
# Runs with TensorFlow alone.
ASK = """
import json, sys
import numpy as np, tensorflow as tf

model = tf.saved_model.load("one")
assert not [name for name in sys.modules if name.split(".")[0] in ("stages", "towerline", "tensorflow_recommenders")]
texts = {name: tf.constant(of_column) for name, of_column in json.load(open("texts.json")).items()}
np.save("embeddings.npy", model.signatures["encode_items"](**texts)["embedding"].numpy())
print(sorted(model.signatures))
try:
    model.signatures["encode_items"](**texts | {"title": tf.constant(["one text"])})
except tf.errors.InvalidArgumentError as error:
    print("refused")
"""


def test_a_saved_encoder_gives_the_same_anywhere(tmp_path: Path, encoder: Encoder) -> None:
    """Law 2, and none of our modules is needed. Nothing depends on the locale, in which I is no capital of i here."""
    from stages.export.encoding import argument_names

    columns = [encoding.column for encoding in encoder.encodings]
    asked = [*PARTS, "1 2 3", "".join(PARTS)]
    texts = dict.fromkeys(columns, asked)
    named = dict(zip(argument_names(columns), texts.values(), strict=True))
    formats.write_arrays(tmp_path / "encoder.npz", encoder.arrays())
    formats.write_json(tmp_path / "texts.json", named)
    for name, seed in (("one", "1"), ("other", "2")):
        run(tmp_path, sys.executable, "-B", "-c", SAVE, name, PYTHONPATH=str(ROOT), PYTHONHASHSEED=seed)
    one, other = (
        {
            path.relative_to(tmp_path / name): path.read_bytes()
            for path in (tmp_path / name).rglob("*")
            if path.is_file()
        }
        for name in ("one", "other")
    )
    assert one == other
    done = run(tmp_path, sys.executable, "-c", ASK, LC_ALL="tr_TR.UTF-8")
    assert done.stdout == "['candidate_embedding', 'encode_items', 'query_embedding', 'serving_default']\nrefused\n"
    check_embeddings(np.load(tmp_path / "embeddings.npy"), encoder, texts, len(asked))
