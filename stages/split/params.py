"""The section `split` of params.yaml."""

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, model_validator

from towerline.pipeline.settings import Section, Seed, between, expected


def _rows(size: float) -> float:
    if not 0 <= size <= (10**12 if isinstance(size, int) else 1):
        raise expected("a count of rows (5000) or a share of them from 0 to 1 (0.8)")
    return size


PartSize = Annotated[int | float, AfterValidator(_rows)]


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
        """True if train, validation and test are the sizes of the sets."""
        return self.method in ("random", "temporal")

    @property
    def sizes_are_counts(self) -> bool:
        return all(isinstance(size, int) for size in (self.train, self.validation, self.test))
