"""The sections of params.yaml, one a stage: types, ranges, and the rules between values."""

from typing import Annotated, Literal, Self

from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt, model_validator

from stages.settings import Section, Settings

Share = Annotated[float, Field(ge=0, le=1)]
NonNegativeFloat = Annotated[float, Field(ge=0)]
NonEmptyText = Annotated[str, Field(min_length=1)]
Column = NonEmptyText | PositiveInt
PartSize = NonNegativeInt | Share


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
    delimiter: Annotated[str, Field(pattern=r"\A[\x01-\x09\x0b-\x7f]\z")]
    quote: Annotated[str, Field(pattern=r"\A[\x01-\x09\x0b-\x7f]?\z")]
    encoding: str
    header: bool
    columns: Columns
    constant_item_type: NonEmptyText
    timestamp_format: Literal["seconds", "milliseconds", "iso8601"]
    minimum_allowed_rating: float | None
    maximum_allowed_rating: float | None
    max_rejected_share: Share
    minimum_rating: float | None
    minimum_user_interactions: PositiveInt
    minimum_item_interactions: PositiveInt

    @model_validator(mode="after")
    def _columns_fit_header(self) -> Self:
        wanted = str if self.header else int
        for role, column in self.columns.roles().items():
            if not isinstance(column, wanted):
                kind = "a column's name, since header is true" if self.header else "a position, since header is false"
                raise ValueError(f"columns.{role}: expected {kind}, found {column!r}")
        return self

    @model_validator(mode="after")
    def _ratings_have_a_column(self) -> Self:
        if self.minimum_rating is not None and self.columns.rating is None:
            raise ValueError(f"minimum_rating: expected null where columns.rating is null, found {self.minimum_rating}")
        return self


class SplitParams(Section):
    section = "split"

    method: Literal["random", "temporal", "leave_last_out", "column"]
    seed: NonNegativeInt
    train: PartSize
    validation: PartSize
    test: PartSize

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

    @property
    def sizes_are_counts(self) -> bool:
        return all(isinstance(size, int) for size in (self.train, self.validation, self.test))


class TrainParams(Section):
    section = "train"

    embedding_dimension: PositiveInt
    loss: Literal["grouped_softmax", "in_batch_softmax"]
    retrieval_weight: NonNegativeFloat
    rating_weight: NonNegativeFloat
    temperature: PositiveFloat | None
    popularity_prior: NonNegativeFloat | None
    optimizer: Literal["adagrad", "adam", "sgd"]
    learning_rate: PositiveFloat
    batch_size: PositiveInt
    candidates: PositiveInt
    epochs: PositiveInt
    early_stopping_patience: NonNegativeInt
    seed: NonNegativeInt
    threads: PositiveInt

    @model_validator(mode="after")
    def _something_to_learn(self) -> Self:
        if self.retrieval_weight == 0 and self.rating_weight == 0:
            raise ValueError("retrieval_weight, rating_weight: expected at least one above 0, found 0 and 0")
        return self


class BaselinesParams(Section):
    section = "baselines"

    random: bool
    most_popular: bool
    most_popular_of_type: bool
    item_knn: bool
    ease: bool
    ials: bool
    trials: Annotated[int, Field(ge=1, le=6)]
    memory_limit: PositiveFloat
    seed: NonNegativeInt


class EvaluateParams(Section):
    section = "evaluate"

    cutoffs: Annotated[list[PositiveInt], Field(min_length=1)]
    candidates: Annotated[list[Literal["everything", "within_type"]], Field(min_length=1)]
    repeat_consumption: bool
    bootstrap_samples: Annotated[int, Field(ge=100)]
    seed: NonNegativeInt

    @model_validator(mode="after")
    def _everything_is_ranked(self) -> Self:
        if "everything" not in self.candidates:
            raise ValueError(f"candidates: expected everything among them, found {self.candidates}")
        return self


class IndexParams(Settings):
    """An approximate index of the items, and how good it has to be."""

    build: bool
    min_recall: Share


class ExportParams(Section):
    section = "export"

    csv: bool
    index: IndexParams
