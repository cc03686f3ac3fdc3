"""The section `engine` of params.yaml."""

from typing import Annotated, ClassVar

from towerline.pipeline.settings import NonEmptyText, Section, between


class EngineParams(Section):
    section: ClassVar[str] = "engine"

    master: NonEmptyText | None
    memory_limit: Annotated[float, between(0.5, 100_000)]
    spill_folder: NonEmptyText
