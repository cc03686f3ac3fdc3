"""The section `evaluate` of params.yaml."""

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from towerline.pipeline.settings import Section, Seed, between, expected


def _distinct(values: list[int] | list[str]) -> list[int] | list[str]:
    if len(set(values)) < len(values):
        raise expected("values that differ from each other")
    return values


class EvaluateParams(Section):
    section = "evaluate"

    cutoffs: Annotated[
        list[Annotated[int, between(1, 1000)]], Field(min_length=1, max_length=50), AfterValidator(_distinct)
    ]
    candidates: Annotated[list[Literal["everything", "within_type"]], Field(min_length=1), AfterValidator(_distinct)]
    repeat_consumption: bool
    users: Annotated[int, between(1, 10**9)] | None
    bootstrap_samples: Annotated[int, between(100, 100_000)]
    seed: Seed

    @model_validator(mode="after")
    def _everything_is_ranked(self) -> Self:
        if "everything" not in self.candidates:
            raise ValueError(f"candidates: expected a list that holds everything, found {self.candidates}")
        return self
