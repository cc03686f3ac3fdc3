"""The section `ingest` of params.yaml."""

import io
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from towerline.pipeline.settings import NonEmptyText, Section, Settings, Share, between, expected


def _one_ascii_character(text: str) -> str:
    if len(text) > 1 or not text.isascii() or text in ("\0", "\n", "\r"):
        raise expected("one ASCII character that ends no line")
    return text


def _reads_text(encoding: str) -> str:
    sample = 'user_id,item_id\n1,"2"\n'
    try:
        file = io.TextIOWrapper(io.BytesIO(sample.encode(encoding)), encoding, errors="replace", newline="")
        if file.read() == sample:
            return encoding
    except (LookupError, ValueError):
        # No such encoding, one of bytes (base64) or of texts (rot13), or one that replaces nothing (idna).
        pass
    raise expected("a name of an encoding in which Python reads text files, such as utf-8, latin-1 or utf-16")


Column = NonEmptyText | Annotated[int, between(1, 100_000)]
# float32, as which ratings are stored, holds these with 7 digits.
Rating = Annotated[float, between(-(10**12), 10**12)]
Count = Annotated[int, between(1, 10**9)]
# The bounds of a weight; float32, as which weights are stored, has none that is lower.
LEAST_WEIGHT, MOST_WEIGHT = 2.0**-149, 1e9


def _weight(number: float) -> float:
    if not LEAST_WEIGHT <= number <= MOST_WEIGHT:
        raise expected(f"numbers above 0 and at most {MOST_WEIGHT:,.0f}")
    return number


def _not_empty(weights: dict[str, float]) -> dict[str, float]:
    if not weights:
        raise expected("null, or the weight of at least one value")
    return weights


Weights = Annotated[dict[NonEmptyText, Annotated[float, AfterValidator(_weight)]], AfterValidator(_not_empty)]


class Columns(Settings):
    """The column of each role: its name in the header, or its position from 1 in a file without header."""

    user_id: Column
    item_id: Column
    item_type: Column | None
    rating: Column | None
    timestamp: Column | None
    weight: Column | None
    split: Column | None

    def roles(self) -> dict[str, Column]:
        """The roles that the file has, with their columns."""
        return {role: column for role, column in self if column is not None}


class IngestParams(Section):
    section = "ingest"

    source: NonEmptyText
    items: NonEmptyText | None
    users: NonEmptyText | None
    delimiter: Annotated[str, Field(min_length=1), AfterValidator(_one_ascii_character)]
    quote: Annotated[str, AfterValidator(_one_ascii_character)]
    encoding: Annotated[NonEmptyText, AfterValidator(_reads_text)]
    header: bool
    columns: Columns
    constant_item_type: NonEmptyText
    timestamp_format: Literal["seconds", "milliseconds", "microseconds", "nanoseconds", "iso8601"]
    weights: Weights | None
    minimum_allowed_rating: Rating | None
    maximum_allowed_rating: Rating | None
    max_rejected_share: Share
    minimum_rating: Rating | None
    minimum_user_interactions: Count
    minimum_item_interactions: Count

    def from_source(self, path: str | None) -> bool:
        """True if a path, that of `items` or `users`, is the path of `source`, whose columns are the features then."""
        return path is not None and Path(path) == Path(self.source)

    @model_validator(mode="after")
    def _features_have_names(self) -> Self:
        for name, path in (("items", self.items), ("users", self.users)):
            if self.from_source(path) and not self.header:
                raise ValueError(
                    f"{name}: expected null or another path than source where header is false, found {path!r}: "
                    "features need names; write a header, and set header to true"
                )
        return self

    @model_validator(mode="after")
    def _columns_fit_header(self) -> Self:
        wanted = str if self.header else int
        for role, column in self.columns.roles().items():
            if not isinstance(column, wanted):
                kind = "a column's name, since header is true" if self.header else "a position, since header is false"
                raise ValueError(f"columns.{role}: expected {kind}, found {column!r}")
        return self

    @model_validator(mode="after")
    def _columns_differ(self) -> Self:
        role_of: dict[Column, str] = {}
        for role, column in self.columns.roles().items():
            if column in role_of:
                raise ValueError(
                    f"columns.{role}: expected a separate column, found {column!r}, which is columns."
                    f"{role_of[column]} too"
                )
            role_of[column] = role
        return self

    @model_validator(mode="after")
    def _quote_is_no_delimiter(self) -> Self:
        if self.quote == self.delimiter:
            raise ValueError(
                f'quote: expected another character than delimiter, found {self.quote!r} for both; set quote to "" '
                "where nothing is quoted"
            )
        return self

    @model_validator(mode="after")
    def _weights_have_a_column(self) -> Self:
        if self.weights is not None and self.columns.weight is None:
            raise ValueError(
                "weights: expected null where columns.weight is null, found weights of "
                f"{', '.join(self.weights)[:100]}; set columns.weight to the column of these values"
            )
        return self

    @model_validator(mode="after")
    def _ratings_can_be_kept(self) -> Self:
        least, most, kept = self.minimum_allowed_rating, self.maximum_allowed_rating, self.minimum_rating
        if kept is not None and self.columns.rating is None:
            raise ValueError(f"minimum_rating: expected null where columns.rating is null, found {kept:g}")
        if most is not None:
            for name, value in (("minimum_allowed_rating", least), ("minimum_rating", kept)):
                if value is not None and value > most:
                    raise ValueError(f"{name}: expected at most maximum_allowed_rating, {most:g}, found {value:g}")
        return self
