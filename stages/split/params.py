"""The section `split` of params.yaml."""

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, model_validator

from towerline.pipeline.settings import NonEmptyText, Section, Seed, between, expected


def _rows(size: float) -> float:
    if not 0 <= size <= (10**12 if isinstance(size, int) else 1):
        raise expected("a count of rows (5000) or a share of them from 0 to 1 (0.8)")
    return size


PartSize = Annotated[int | float, AfterValidator(_rows)]


class SplitParams(Section):
    section = "split"

    method: Literal["random", "temporal", "leave_last_out", "column", "cold_items", "cold_users", "cold_type"]
    cold_type: NonEmptyText | None
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

    @model_validator(mode="after")
    def _cold_methods_have_shares(self) -> Self:
        sizes = (self.train, self.validation, self.test)
        if self.is_cold and self.sizes_are_counts:
            raise ValueError(
                f"train, validation, test: expected shares (0.8) where method is {self.method}, found the counts "
                f"{sizes}; set them to shares of the {'items' if self.method == 'cold_items' else 'users'}"
            )
        return self

    @model_validator(mode="after")
    def _the_type_is_that_of_cold_type(self) -> Self:
        if self.method == "cold_type" and self.cold_type is None:
            raise ValueError("cold_type: expected an item type where method is cold_type, found null; set it to one")
        if self.method != "cold_type" and self.cold_type is not None:
            raise ValueError(
                f"cold_type: expected null where method is {self.method}, found a type; set it to null, or method to "
                "cold_type"
            )
        return self

    @property
    def is_cold(self) -> bool:
        """True if the method holds out whole items, whole users, or a type of users."""
        return self.method in ("cold_items", "cold_users", "cold_type")

    @property
    def needed_column(self) -> Literal["timestamp", "split", "item_type"] | None:
        """The column that the method needs."""
        match self.method:
            case "temporal" | "leave_last_out":
                return "timestamp"
            case "column":
                return "split"
            case "cold_type":
                return "item_type"
        return None

    def without_column(self, found: str) -> str:
        """The message where the column that the method needs is not there."""
        return (
            f"ingest.columns.{self.needed_column}: expected the column that split.method {self.method} needs, found "
            f"{found}; set it to this column, or set split.method to random"
        )

    @property
    def has_sizes(self) -> bool:
        """True if train, validation and test are the sizes of the sets."""
        return self.method not in ("leave_last_out", "column")

    @property
    def sizes_are_counts(self) -> bool:
        return all(isinstance(size, int) for size in (self.train, self.validation, self.test))
