"""Declarations of features in params.yaml: a kind for each column."""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Discriminator, Tag

from towerline.pipeline.settings import NonEmptyText, Settings, between, expected


def _short(separator: str) -> str:
    if len(separator) > 1:
        raise expected("a single character")
    return separator


class Categorical(Settings):
    """One value, such as a publisher or a country."""

    kind: Literal["categorical"]


class MultiValued(Settings):
    """Several values in one text, such as "Crime|Drama"."""

    kind: Literal["multi_valued"]
    separator: Annotated[NonEmptyText, AfterValidator(_short)]


class Number(Settings):
    """A number: in standard deviations from the mean, or by the bucket that it lies in."""

    kind: Literal["number"]
    buckets: Annotated[int, between(2, 1000)] | None


class Time(Settings):
    """A date or time, ISO 8601 or seconds since 1970 UTC, by the bucket that it lies in."""

    kind: Literal["time"]
    buckets: Annotated[int, between(2, 1000)]


class Text(Settings):
    """Text, such as a title: its words, and the sequences of four characters in them."""

    kind: Literal["text"]


class Vector(Settings):
    """An embedding from elsewhere, of a text or an image: as many numbers for every id, between spaces or commas."""

    kind: Literal["vector"]


def _kind(content: Any) -> str | None:
    """The kind of a declaration; None if it has none, or one that is no text."""
    kind = content.get("kind") if isinstance(content, dict) else getattr(content, "kind", None)
    return kind if isinstance(kind, str) else None


Feature = Annotated[
    Annotated[Categorical, Tag("categorical")]
    | Annotated[MultiValued, Tag("multi_valued")]
    | Annotated[Number, Tag("number")]
    | Annotated[Time, Tag("time")]
    | Annotated[Text, Tag("text")]
    | Annotated[Vector, Tag("vector")],
    Discriminator(_kind),
]
# Column -> how it is read.
Features = dict[NonEmptyText, Feature]
