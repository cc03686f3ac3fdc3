"""Encodings of columns: texts -> sparse rows of numbers, by what was learned from known ids.

Serving uses them too, without the pipeline's packages.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from towerline.features import tokens

# The texts of a column, one for each id; None for an id without a row.
Texts = Sequence[str | None]
# A function from a text to its tokens, and the known tokens in the order of their columns.
TokenGroup = tuple[Callable[[str | None], list[str]], Sequence[str]]


@dataclass(frozen=True)
class Encoding(ABC):
    """What was learned about a column.

    Attributes:
      column: its name.
      missing: true if the last column of the encoding stands for a missing value, as several known ids have none. If
        it is false, a missing value is encoded as zeros.
    """

    kind: ClassVar[str]

    column: str
    missing: bool

    @property
    @abstractmethod
    def values_width(self) -> int:
        """Number of columns of the encoding, without that of a missing value."""

    @abstractmethod
    def is_missing(self, texts: Texts) -> NDArray[np.bool_]:
        """[ids] bool: true where a text is missing or cannot be read."""

    @abstractmethod
    def values_matrix(self, texts: Texts) -> "sparse.csr_array":
        """[ids, values_width] float64; zeros where a text is missing."""

    @property
    def width(self) -> int:
        """Number of columns of the encoding."""
        return self.values_width + self.missing

    def matrix(self, texts: Texts) -> "sparse.csr_array":
        """[ids, width] float64."""
        values = self.values_matrix(texts)
        if not self.missing:
            return values
        column = sparse.csr_array(self.is_missing(texts).astype(np.float64)[:, None])
        return sparse.csr_array(sparse.hstack([values, column], format="csr"))

    def content(self) -> dict[str, Any]:
        """The encoding as JSON, which of_content() reads."""
        return {"kind": self.kind, **asdict(self)}


@dataclass(frozen=True)
class OfTokens(Encoding):
    """Each token has a column; n known tokens of a text have 1 / sqrt(n) each, so that each group has length 1."""

    @abstractmethod
    def groups(self) -> list[TokenGroup]:
        """The groups of tokens, side by side."""

    @property
    def values_width(self) -> int:
        return sum(len(known) for _, known in self.groups())

    def is_missing(self, texts: Texts) -> NDArray[np.bool_]:
        return np.array([tokens.is_missing(text) for text in texts], np.bool_)

    def values_matrix(self, texts: Texts) -> "sparse.csr_array":
        of_groups = [_token_matrix(texts, split, known) for split, known in self.groups()]
        return sparse.csr_array(sparse.hstack(of_groups, format="csr"))


@dataclass(frozen=True)
class Values(OfTokens):
    """The values of a categorical or multi-valued column.

    Attributes:
      separator: between the values; None where a text is one value.
      values: the known values, in ascending order.
    """

    kind: ClassVar[str] = "values"

    separator: str | None
    values: Sequence[str]

    def groups(self) -> list[TokenGroup]:
        return [(lambda text: tokens.values(text, self.separator), self.values)]


@dataclass(frozen=True)
class Terms(OfTokens):
    """The words of a text, and the sequences of characters in them.

    Attributes:
      words, grams: the known ones, in ascending order.
    """

    kind: ClassVar[str] = "terms"

    words: Sequence[str]
    grams: Sequence[str]

    def groups(self) -> list[TokenGroup]:
        return [(tokens.words, self.words), (tokens.grams, self.grams)]


@dataclass(frozen=True)
class Scaled(Encoding):
    """A number in standard deviations from the mean.

    Attributes:
      mean, deviation: of the numbers of known ids; the deviation is above 0.
    """

    kind: ClassVar[str] = "scaled"

    mean: float
    deviation: float

    @property
    def values_width(self) -> int:
        return 1

    def is_missing(self, texts: Texts) -> NDArray[np.bool_]:
        return np.isnan(numbers_of(texts, "number"))

    def values_matrix(self, texts: Texts) -> "sparse.csr_array":
        scaled = (numbers_of(texts, "number") - self.mean) / self.deviation
        return sparse.csr_array(np.nan_to_num(scaled, nan=0.0)[:, None])


@dataclass(frozen=True)
class Buckets(Encoding):
    """A number or time by the bucket that it lies in; a number at a border lies above it.

    Attributes:
      form: number or time.
      borders: between buckets, ascending.
    """

    kind: ClassVar[str] = "buckets"

    form: Literal["number", "time"]
    borders: Sequence[float]

    @property
    def values_width(self) -> int:
        return len(self.borders) + 1

    def is_missing(self, texts: Texts) -> NDArray[np.bool_]:
        return np.isnan(numbers_of(texts, self.form))

    def values_matrix(self, texts: Texts) -> "sparse.csr_array":
        numbers = numbers_of(texts, self.form)
        rows = np.flatnonzero(~np.isnan(numbers))
        buckets = np.searchsorted(np.array(self.borders), numbers[rows], side="right")
        return sparse.csr_array((np.ones(len(rows)), (rows, buckets)), shape=(len(numbers), self.values_width))


@dataclass(frozen=True)
class Components(Encoding):
    """The components of a vector, less their means, in one unit for all: the root mean squared length is 1.

    Attributes:
      means: of the components over known ids.
      length: root mean squared length of the vectors less their means, above 0.
    """

    kind: ClassVar[str] = "components"

    means: Sequence[float]
    length: float

    @property
    def values_width(self) -> int:
        return len(self.means)

    def is_missing(self, texts: Texts) -> NDArray[np.bool_]:
        return np.array([len(tokens.vector(text) or []) != len(self.means) for text in texts], np.bool_)

    def values_matrix(self, texts: Texts) -> "sparse.csr_array":
        vectors = [tokens.vector(text) or [] for text in texts]
        width = len(self.means)
        rows = np.flatnonzero([len(vector) == width for vector in vectors])
        matrix = np.zeros((len(texts), width))
        if len(rows):
            matrix[rows] = (np.array([vectors[row] for row in rows]) - self.means) / self.length
        return sparse.csr_array(matrix)


ENCODINGS: Mapping[str, type[Encoding]] = {
    encoding.kind: encoding for encoding in (Values, Terms, Scaled, Buckets, Components)
}


def of_content(content: Mapping[str, Any]) -> Encoding:
    """The encoding of Encoding.content()."""
    attributes = dict(content)
    return ENCODINGS[attributes.pop("kind")](**attributes)


def numbers_of(texts: Texts, form: Literal["number", "time"]) -> NDArray[np.float64]:
    """[ids] float64 numbers, or times in seconds since 1970 UTC; NaN where there is none."""
    read = tokens.number if form == "number" else tokens.time
    return np.array([read(text) for text in texts], np.float64)


def _token_matrix(texts: Texts, split: Callable[[str | None], list[str]], known: Sequence[str]) -> "sparse.csr_array":
    """[ids, known] float64 with 1 / sqrt(n) where a text has a token, n the number of its known tokens."""
    place = {token: number for number, token in enumerate(known)}
    places = [[place[token] for token in split(text) if token in place] for text in texts]
    counts = np.array([len(of_text) for of_text in places], np.int64)
    starts = np.concatenate([[0], np.cumsum(counts)])
    columns = np.array([number for of_text in places for number in of_text], np.int32)
    values = np.repeat(np.maximum(counts, 1) ** -0.5, counts)
    return sparse.csr_array((values, columns, starts), shape=(len(texts), len(known)))
