"""The section `refit` of params.yaml."""

from typing import ClassVar, Literal

from towerline.pipeline.settings import NonEmptyText, Section


class RefitParams(Section):
    section: ClassVar[str] = "refit"

    rows: Literal["all", "train_and_validation"]
    warm_start: NonEmptyText | None
