"""The section `train` of params.yaml."""

from typing import Annotated, Literal, Self

from pydantic import model_validator

from towerline.pipeline.settings import Section, Seed, between


def _listed(texts: list[str]) -> str:
    return " and ".join(filter(None, [", ".join(texts[:-1]), texts[-1]]))


Weight = Annotated[float, between(0, 1000)]


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
            found = [f"train.{name} {'null' if values[name] is None else values[name]}" for name in following]
            instead = [f"train.{name} to {fixed[name]}" for name in following]
            raise ValueError(
                f"split.validation_share: expected validation rows for {_listed(found)}, found none, since {why}; "
                f"{cure}, or set {_listed(instead)}"
            )
