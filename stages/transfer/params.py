"""The section `transfer` of params.yaml."""

from typing import Annotated, ClassVar

from towerline.pipeline.settings import Section, between


class TransferParams(Section):
    section: ClassVar[str] = "transfer"

    max_types: Annotated[int, between(0, 1000)]
