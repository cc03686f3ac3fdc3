"""What the encodings learn about a column from the texts of the known ids."""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Literal

import numpy as np

from towerline.features import tokens
from towerline.features.declarations import Categorical, Feature, Features, MultiValued, Number, Text, Time, Vector
from towerline.features.encoder import Columns
from towerline.features.encodings import Buckets, Components, Encoding, Scaled, Terms, Texts, Values, numbers_of

# A value or word is learned if at least so many known ids have it, a sequence of characters if so many have it.
LEAST_IDS, LEAST_IDS_OF_GRAM = 2, 5


def learned_encodings(features: Features, columns: Columns) -> Sequence[Encoding]:
    """The encodings in the order of the columns' names, so that the order of the declarations changes nothing.

    Args:
      features: the declarations.
      columns: texts of the known ids.
    """
    return [learned(name, features[name], columns[name]) for name in sorted(features)]


def learned(column: str, feature: Feature, texts: Texts) -> Encoding:
    """The encoding of a column.

    Args:
      column: its name.
      feature: its declaration.
      texts: those of the known ids.
    """
    match feature:
        case Text():
            return _terms(column, texts)
        case Vector():
            return _components(column, texts)
        case Number(buckets=None):
            return _scaled(column, texts)
        case Number() | Time():
            return _buckets(column, feature, texts)
        case Categorical() | MultiValued():
            separator = feature.separator if isinstance(feature, MultiValued) else None
            known = _frequent((tokens.values(text, separator) for text in texts), LEAST_IDS)
            return Values(column, _some_missing(texts), separator, known)


def _terms(column: str, texts: Texts) -> Terms:
    words = _frequent(map(tokens.words, texts), LEAST_IDS)
    grams = _frequent(map(tokens.grams, texts), LEAST_IDS_OF_GRAM)
    return Terms(column, _some_missing(texts), words, grams)


def _scaled(column: str, texts: Texts) -> Scaled:
    numbers = numbers_of(texts, "number")
    present = numbers[~np.isnan(numbers)]
    mean, deviation = (float(present.mean()), float(present.std())) if len(present) else (0.0, 1.0)
    return Scaled(column, len(texts) - len(present) >= LEAST_IDS, mean, deviation or 1.0)


def _buckets(column: str, feature: Number | Time, texts: Texts) -> Buckets:
    """About as many known ids lie in each bucket."""
    form: Literal["number", "time"] = "time" if isinstance(feature, Time) else "number"
    numbers = numbers_of(texts, form)
    present = numbers[~np.isnan(numbers)]
    shares = np.arange(1, feature.buckets or 1) / (feature.buckets or 1)
    borders = np.unique(np.quantile(present, shares, method="inverted_cdf")) if len(present) else np.zeros(0)
    return Buckets(column, len(texts) - len(present) >= LEAST_IDS, form, borders.tolist())


def _components(column: str, texts: Texts) -> Components:
    """The most frequent number of components is that of all vectors; the shortest of equally frequent ones."""
    vectors = [vector for text in texts if (vector := tokens.vector(text)) is not None]
    sizes = Counter(map(len, vectors))
    size = min(sizes, key=lambda size: (-sizes[size], size)) if sizes else 0
    matrix = np.zeros((sizes[size], size))
    matrix[:] = [vector for vector in vectors if len(vector) == size]
    means = matrix.mean(axis=0) if len(matrix) else np.zeros(size)
    length = float(np.sqrt(((matrix - means) ** 2).sum(axis=1).mean())) if len(matrix) else 1.0
    return Components(column, len(texts) - len(matrix) >= LEAST_IDS, means.tolist(), length or 1.0)


def _some_missing(texts: Texts) -> bool:
    return sum(map(tokens.is_missing, texts)) >= LEAST_IDS


def _frequent(tokens_of_texts: Iterable[list[str]], least: int) -> list[str]:
    """The tokens of at least so many texts, in ascending order."""
    counts = Counter(token for of_text in tokens_of_texts for token in of_text)
    return sorted(token for token, count in counts.items() if count >= least)
