"""The section `engine` of params.yaml."""

from typing import Annotated, ClassVar, Literal, Self

from pydantic import model_validator

from towerline.pipeline.settings import NonEmptyText, Section, between


class EngineParams(Section):
    section: ClassVar[str] = "engine"

    kind: Literal["duckdb", "spark"]
    master: NonEmptyText | None
    memory_limit: Annotated[float, between(0.5, 100_000)]
    spill_folder: NonEmptyText

    @model_validator(mode="after")
    def _spark_has_a_master(self) -> Self:
        if self.kind == "spark" and self.master is None:
            raise ValueError("master: expected the URL of a Spark master where kind is spark, found null")
        if self.kind == "duckdb" and self.master is not None:
            raise ValueError(f"master: expected null where kind is duckdb, found {self.master[:100]!r}")
        return self
