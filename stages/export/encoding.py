"""Encoders of features in the SavedModel: texts in, embeddings out, with TensorFlow's own operations alone.

The same as towerline/features/encodings.py and encoder.py, with which the tests compare it.
"""

import re
from collections.abc import Callable, Sequence
from functools import partial
from itertools import chain, count
from keyword import iskeyword
from typing import NamedTuple

import numpy as np

from stages.export.texts import Alphabet, numbers, stripped, times, values, vectors
from towerline.features.encoder import LARGEST_LOGARITHM, SHORTEST, Encoder
from towerline.features.encodings import Buckets, Components, Encoding, Scaled, Terms, Values
from towerline.ranking.popularity import PSEUDO_ROWS
from towerline.towers import tf


class Entries(NamedTuple):
    """Entries of the matrix of encoded texts: row and column int64, value float64."""

    row: tf.Tensor
    column: tf.Tensor
    value: tf.Tensor

    @classmethod
    def side_by_side(cls, matrices: Sequence[tuple[int, "Entries"]]) -> "Entries":
        """The entries of a matrix that consists of others, of which each has so many columns."""
        before = np.cumsum([0, *(width for width, _ in matrices)]).tolist()
        moved = [cls(one.row, one.column + start, one.value) for start, (_, one) in zip(before, matrices, strict=False)]
        return cls(*(tf.concat(fields, axis=0) for fields in zip(*moved, strict=True)))


class Tokens(tf.Module):
    """A group of tokens."""

    def __init__(self, split: Callable[[tf.Tensor], tf.RaggedTensor], known: Sequence[str]) -> None:
        """
        Args:
          split: [n] texts -> their [n, any] tokens.
          known: the known tokens in the order of their columns.
        """
        super().__init__()
        self.split = split
        self.width = len(known)
        # No token is empty, but a table must not be.
        columns = tf.lookup.KeyValueTensorInitializer(
            tf.constant(["", *known]), tf.range(-1, len(known), dtype=tf.int64)
        )
        self.columns = tf.lookup.StaticHashTable(columns, default_value=-1, name="columns")

    def entries(self, texts: tf.Tensor) -> Entries:
        found = self.split(texts)
        column = self.columns.lookup(found.flat_values)
        place = found.value_rowids() * self.width + column
        # Each token counts once in a text.
        place = tf.sort(tf.unique(tf.boolean_mask(place, column >= 0)).y)
        row = place // max(self.width, 1)
        counts = tf.math.unsorted_segment_sum(tf.ones_like(row, tf.float64), row, tf.size(texts))
        return Entries(row, place - row * self.width, tf.pow(tf.gather(counts, row), -0.5))


class Column(tf.Module):
    """An encoded column."""

    def __init__(self, encoding: Encoding) -> None:
        super().__init__()
        self.encoding = encoding
        match encoding:
            case Values():
                self.groups = [Tokens(partial(values, separator=encoding.separator), encoding.values)]
            case Terms():
                # TensorFlow saves the tables of attributes.
                self.alphabet = Alphabet()
                self.groups = [
                    Tokens(self.alphabet.words, encoding.words),
                    Tokens(self.alphabet.grams, encoding.grams),
                ]

    def entries(self, texts: tf.Tensor) -> Entries:
        missing, entries = self._read(texts)
        if not self.encoding.missing:
            return entries
        row = _true_rows(missing)
        return Entries.side_by_side([(self.encoding.values_width, entries), (1, Entries(row, 0 * row, _ones(row)))])

    def _read(self, texts: tf.Tensor) -> tuple[tf.Tensor, Entries]:
        """[n] bool, true for what is missing or cannot be read, and the entries of the others."""
        match self.encoding:
            case Scaled(mean=mean, deviation=deviation):
                number = numbers(texts)
                row = _true_rows(~tf.math.is_nan(number))
                return tf.math.is_nan(number), Entries(row, 0 * row, (tf.gather(number, row) - mean) / deviation)
            case Buckets(form=form, borders=borders):
                number = numbers(texts) if form == "number" else times(texts)
                row = _true_rows(~tf.math.is_nan(number))
                bucket = tf.searchsorted(_float64(borders), tf.gather(number, row), side="right", out_type=tf.int64)
                return tf.math.is_nan(number), Entries(row, bucket, _ones(row))
            case Components(means=means, length=length):
                return _components(texts, means, length)
            case _:
                of_groups = [(group.width, group.entries(texts)) for group in self.groups]
                return tf.equal(stripped(texts), ""), Entries.side_by_side(of_groups)


class SavedEncoder(tf.Module):
    """An encoder whose function `embed` is a signature: a text tensor [n] for each column -> embedding.

    The names of its inputs are those of argument_names().
    """

    def __init__(self, encoder: Encoder) -> None:
        super().__init__()
        self.columns = [Column(encoding) for encoding in encoder.encodings]
        self.dimensions, self.unit = encoder.vectors.shape[1], bool(encoder.unit)
        weights = np.concatenate([encoder.vectors, encoder.log_counts], axis=1)
        self.weights = tf.Variable(weights, trainable=False, name="weights")
        self.most, self.prior_weights = tf.constant(encoder.most), tf.constant(encoder.weights)
        self.constants = tf.constant(encoder.constants)
        names = argument_names([encoding.column for encoding in encoder.encodings])

        def embed(**texts: tf.Tensor) -> dict[str, tf.Tensor]:
            return {"embedding": self._embeddings([texts[name] for name in names])}

        specs = {name: tf.TensorSpec([None], tf.string, name) for name in names}
        self.embed = tf.function(embed, autograph=False).get_concrete_function(**specs)

    def _embeddings(self, of_columns: Sequence[tf.Tensor]) -> tf.Tensor:
        # Columns with different numbers of texts are an error here.
        texts = tf.unstack(tf.stack(of_columns), num=len(self.columns))
        entries = Entries.side_by_side(
            [
                (column.encoding.width, column.entries(of_column))
                for column, of_column in zip(self.columns, texts, strict=True)
            ]
        )
        shape = [tf.size(texts[0], tf.int64), self.weights.shape[0] - 1]
        matrix = tf.SparseTensor(tf.stack([entries.row, entries.column], axis=1), entries.value, shape)
        sums = self.weights[0] + tf.sparse.sparse_dense_matmul(matrix, self.weights[1:])
        vectors, logarithms = sums[:, : self.dimensions], sums[:, self.dimensions :]
        if self.unit:
            lengths = tf.norm(vectors, axis=1, keepdims=True)
            vectors /= tf.maximum(lengths, np.float64(SHORTEST))
        counts = tf.minimum(tf.exp(tf.minimum(logarithms, LARGEST_LOGARITHM)), self.most)
        terms = self.constants + self.prior_weights * tf.math.log1p(counts / PSEUDO_ROWS)
        return tf.cast(tf.concat([vectors, terms], axis=1), tf.float32)


def argument_names(columns: Sequence[str]) -> list[str]:
    """Names of inputs for columns: those of the columns where TensorFlow takes them.

    Otherwise, each character but ASCII letters, digits and _ becomes _, and arg_ comes before what does not begin with
    a letter, before a keyword of Python and before self. Where another column has the name, or one that differs in
    capital letters alone, _2, _3 and so on follow it.
    """
    names: dict[str, str] = {}
    for column in sorted(columns, key=lambda column: _argument_name(column) != column):
        name, taken = _argument_name(column), {name.lower() for name in names.values()}
        numbered = (f"{name}_{number}" for number in count(2))
        names[column] = next(free for free in chain([name], numbered) if free.lower() not in taken)
    return [names[column] for column in columns]


def _argument_name(column: str) -> str:
    name = re.sub(r"[^A-Za-z0-9_]", "_", column)
    return name if name[:1].isalpha() and not iskeyword(name) and name != "self" else f"arg_{name}"


def _components(texts: tf.Tensor, means: Sequence[float], length: float) -> tuple[tf.Tensor, Entries]:
    """As Column._read(), for vectors."""
    numbers, size = vectors(texts)
    missing = size != len(means)
    row = numbers.value_rowids()
    column = tf.range(tf.size(row, tf.int64)) - tf.gather(numbers.row_starts(), row)
    read = tf.gather(tf.equal(size, len(means)) & (size > 0), row)
    row, column, number = (tf.boolean_mask(of_numbers, read) for of_numbers in (row, column, numbers.flat_values))
    return missing, Entries(row, column, (number - tf.gather(_float64(means), column)) / length)


def _true_rows(mask: tf.Tensor) -> tf.Tensor:
    """[any] int64 rows where a mask, [n], is true."""
    return tf.where(mask)[:, 0]


def _ones(row: tf.Tensor) -> tf.Tensor:
    return tf.ones_like(row, tf.float64)


def _float64(numbers: Sequence[float]) -> tf.Tensor:
    """A float64 tensor, also of no numbers."""
    return tf.constant(numbers, tf.float64, [len(numbers)])
