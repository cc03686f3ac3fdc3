"""The sections of params.yaml, one a stage: types, ranges, and the rules between values."""

import io
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, PositiveFloat, model_validator

from stages.settings import Section, Settings, between, expected, rule_between


def _encodable(text: str) -> str:
    if "\0" in text or any("\ud800" <= letter <= "\udfff" for letter in text):
        raise expected("text without NUL characters and lone surrogates")
    return text


def _one_ascii_character(text: str) -> str:
    if len(text) > 1 or not text.isascii() or text in ("\0", "\n", "\r"):
        raise expected("one ASCII character that ends no line")
    return text


def _rows(size: float) -> float:
    if not 0 <= size <= (10**12 if isinstance(size, int) else 1):
        raise expected("a count of rows (5000) or a share of them from 0 to 1 (0.8)")
    return size


def _distinct(values: list[int] | list[str]) -> list[int] | list[str]:
    if len(set(values)) < len(values):
        raise expected("values that differ from each other")
    return values


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


def _listed(texts: list[str]) -> str:
    return " and ".join(filter(None, [", ".join(texts[:-1]), texts[-1]]))


Share = Annotated[float, between(0, 1)]
NonEmptyText = Annotated[str, Field(min_length=1), AfterValidator(_encodable)]
Column = NonEmptyText | Annotated[int, between(1, 100_000)]
# float32, as which ratings are stored, holds these with 7 digits.
Rating = Annotated[float, between(-(10**12), 10**12)]
Count = Annotated[int, between(1, 10**9)]
PartSize = Annotated[int | float, AfterValidator(_rows)]
# What NumPy, scikit-learn and TensorFlow all take.
Seed = Annotated[int, between(0, 2**32 - 1)]
Weight = Annotated[float, between(0, 1000)]


class Columns(Settings):
    """Where each role stands in the raw file: a header's name, or a position from 1 in a file without header."""

    user_id: Column
    item_id: Column
    item_type: Column | None
    rating: Column | None
    timestamp: Column | None
    split: Column | None

    def roles(self) -> dict[str, Column]:
        """The roles that the file has, with their columns."""
        return {role: column for role, column in self if column is not None}


class IngestParams(Section):
    section = "ingest"

    source: NonEmptyText
    items: NonEmptyText | None
    delimiter: Annotated[str, Field(min_length=1), AfterValidator(_one_ascii_character)]
    quote: Annotated[str, AfterValidator(_one_ascii_character)]
    encoding: Annotated[NonEmptyText, AfterValidator(_reads_text)]
    header: bool
    columns: Columns
    constant_item_type: NonEmptyText
    timestamp_format: Literal["seconds", "milliseconds", "microseconds", "nanoseconds", "iso8601"]
    minimum_allowed_rating: Rating | None
    maximum_allowed_rating: Rating | None
    max_rejected_share: Share
    minimum_rating: Rating | None
    minimum_user_interactions: Count
    minimum_item_interactions: Count

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
                    f"columns.{role}: expected a column of its own, found {column!r}, which is columns."
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
    def _ratings_can_be_kept(self) -> Self:
        least, most, kept = self.minimum_allowed_rating, self.maximum_allowed_rating, self.minimum_rating
        if kept is not None and self.columns.rating is None:
            raise ValueError(f"minimum_rating: expected null where columns.rating is null, found {kept:g}")
        if most is not None:
            for name, value in (("minimum_allowed_rating", least), ("minimum_rating", kept)):
                if value is not None and value > most:
                    raise ValueError(f"{name}: expected at most maximum_allowed_rating, {most:g}, found {value:g}")
        return self


class SplitParams(Section):
    section = "split"

    method: Literal["random", "temporal", "leave_last_out", "column"]
    seed: Seed
    train: PartSize
    validation: PartSize
    test: PartSize
    validation_share: Annotated[float, between(0, 0.99)]

    @model_validator(mode="after")
    def _sizes_are_of_one_kind(self) -> Self:
        sizes = (self.train, self.validation, self.test)
        nonzero = [size for size in sizes if size]
        if len({type(size) for size in nonzero}) > 1:
            raise ValueError(
                f"train, validation, test: expected all sizes as counts (5000) or all as fractions (0.8), found {sizes}"
            )
        if not self.sizes_are_counts and sum(sizes) > 1 + 1e-9:
            raise ValueError(f"train, validation, test: expected fractions that sum to at most 1, found {sum(sizes):g}")
        return self

    @model_validator(mode="after")
    def _something_to_train_and_test_on(self) -> Self:
        for name, size in (("train", self.train), ("test", self.test)):
            if self.has_sizes and not size:
                raise ValueError(f"{name}: expected a size above 0 where method is {self.method}, found {size}")
        return self

    @property
    def needed_column(self) -> Literal["timestamp", "split"] | None:
        """The column that the method needs."""
        if self.method in ("temporal", "leave_last_out"):
            return "timestamp"
        return "split" if self.method == "column" else None

    def without_column(self, found: str) -> str:
        """The message where the column that the method needs is not there."""
        return (
            f"ingest.columns.{self.needed_column}: expected the column that split.method {self.method} needs, found "
            f"{found}; set it to this column, or set split.method to random"
        )

    @property
    def has_sizes(self) -> bool:
        """Whether train, validation and test say how large the parts are."""
        return self.method in ("random", "temporal")

    @property
    def sizes_are_counts(self) -> bool:
        return all(isinstance(size, int) for size in (self.train, self.validation, self.test))


class TrainParams(Section):
    section = "train"

    embedding_dimension: Annotated[int, between(1, 4096)]
    loss: Literal["grouped_softmax", "in_batch_softmax"]
    retrieval_weight: Weight
    rating_weight: Weight
    temperature: Annotated[float, between(0.001, 1000)] | None
    popularity_prior: Annotated[float, between(0, 1000)] | None
    optimizer: Literal["adagrad", "adam", "sgd"]
    learning_rate: Annotated[float, between(0.000001, 1000)]
    batch_size: Annotated[int, between(1, 1_000_000)]
    candidates: Annotated[int, between(1, 1_000_000)]
    epochs: Annotated[int, between(1, 100_000)]
    early_stopping_patience: Annotated[int, between(0, 100_000)]
    seed: Seed
    threads: Annotated[int, between(1, 256)]

    @model_validator(mode="after")
    def _something_to_learn(self) -> Self:
        if self.retrieval_weight == 0 and self.rating_weight == 0:
            raise ValueError("retrieval_weight, rating_weight: expected at least one above 0, found 0 and 0")
        return self

    def check_without_validation(self, why: str, cure: str = "set split.validation_share above 0") -> None:
        """Raises ValueError where a setting follows the validation part, which has no rows of use.

        Args:
          why: why it has none.
          cure: what to do to have some.
        """
        fixed = {"early_stopping_patience": "0"}
        if self.retrieval_weight:
            fixed |= {"temperature": "a number", "popularity_prior": "a number"}
        values = {name: getattr(self, name) for name in fixed}
        following = [name for name, value in values.items() if value is None or (value and fixed[name] == "0")]
        if following:
            found = [f"train.{name} {'null' if values[name] is None else values[name]}" for name in following]
            instead = [f"train.{name} to {fixed[name]}" for name in following]
            raise ValueError(
                f"split.validation_share: expected validation rows for {_listed(found)}, found none, since {why}; "
                f"{cure}, or set {_listed(instead)}"
            )


class BaselinesParams(Section):
    section = "baselines"

    random: bool
    most_popular: bool
    most_popular_of_type: bool
    item_knn: bool
    ease: bool
    ials: bool
    trials: Annotated[int, between(1, 6)]
    memory_limit: Annotated[PositiveFloat, between(0, 100_000)]
    seed: Seed


class EvaluateParams(Section):
    section = "evaluate"

    cutoffs: Annotated[
        list[Annotated[int, between(1, 1000)]], Field(min_length=1, max_length=50), AfterValidator(_distinct)
    ]
    candidates: Annotated[list[Literal["everything", "within_type"]], Field(min_length=1), AfterValidator(_distinct)]
    repeat_consumption: bool
    bootstrap_samples: Annotated[int, between(100, 100_000)]
    seed: Seed

    @model_validator(mode="after")
    def _everything_is_ranked(self) -> Self:
        if "everything" not in self.candidates:
            raise ValueError(f"candidates: expected a list that holds everything, found {self.candidates}")
        return self


class IndexParams(Settings):
    """An approximate index of the items, and how good it has to be."""

    build: bool
    min_recall: Share


class ExportParams(Section):
    section = "export"

    csv: bool
    index: IndexParams


@rule_between(IngestParams, SplitParams)
def _split_has_its_column(ingest: IngestParams, split: SplitParams) -> None:
    needed = split.needed_column
    if needed is not None and needed not in ingest.columns.roles():
        raise ValueError(split.without_column("null"))


@rule_between(IngestParams, TrainParams)
def _rating_task_has_ratings(ingest: IngestParams, train: TrainParams) -> None:
    if train.rating_weight and ingest.columns.rating is None:
        raise ValueError(
            f"train.rating_weight: expected 0 where ingest.columns.rating is null, found {train.rating_weight:g}; set "
            "it to 0, or name the ratings' column in ingest.columns.rating"
        )


@rule_between(SplitParams, TrainParams)
def _validation_part_is_there(split: SplitParams, train: TrainParams) -> None:
    if split.has_sizes and not split.validation and not split.validation_share:
        train.check_without_validation("split.validation and split.validation_share are 0")
