"""The section `train` of params.yaml, which the stages train and backtest read."""

from typing import Annotated, ClassVar, Self

from pydantic import model_validator

from towerline.pipeline.settings import Section, between
from towerline.training.recipe import Given, Hyperparameters


def _listed(texts: list[str]) -> str:
    return " and ".join(filter(None, [", ".join(texts[:-1]), texts[-1]]))


class TrainParams(Hyperparameters, Section):
    section: ClassVar[str] = "train"

    temperature: Annotated[float, between(0.001, 1000)] | None
    popularity_prior: Annotated[float, between(0, 1000)] | None
    popularity_half_life: Annotated[float, between(0.00001, 1_000_000)] | None
    early_stopping_patience: Annotated[int, between(0, 100_000)]

    @model_validator(mode="after")
    def _something_to_learn(self) -> Self:
        if self.retrieval_weight == 0 and self.rating_weight == 0:
            raise ValueError("retrieval_weight, rating_weight: expected at least one above 0, found 0 and 0")
        return self

    def given(self) -> Given:
        """The settings that the search does not choose."""
        return Given(self.temperature, self.popularity_prior, self.popularity_half_life, self.early_stopping_patience)

    def without_times(self, why: str) -> str:
        """The error of a half-life where the data has no times, for the given reason."""
        return (
            f"train.popularity_half_life: expected null since {why}, found {self.popularity_half_life:g}; set it to "
            "null, or name the column of the times in ingest.columns.timestamp"
        )

    def check_without_validation(self, why: str, cure: str = "set split.validation_share above 0") -> None:
        """Raises ValueError if a parameter follows the validation set, which has no usable rows.

        Args:
          why: the reason.
          cure: how to get such rows.
        """
        fixed = {"early_stopping_patience": "0"}
        if self.retrieval_weight:
            fixed |= {"temperature": "a number", "popularity_prior": "a number"}
        values = {name: getattr(self, name) for name in fixed}
        following = [name for name, value in values.items() if value is None or (value and fixed[name] == "0")]
        if following:
            given = [f"train.{name} {'null' if values[name] is None else values[name]}" for name in following]
            instead = [f"train.{name} to {fixed[name]}" for name in following]
            raise ValueError(
                f"split.validation_share: expected validation rows for {_listed(given)}, found none, since {why}; "
                f"{cure}, or set {_listed(instead)}"
            )
