"""The section `engine` of params.yaml."""

import re
from typing import Annotated, ClassVar

from pydantic import AfterValidator

from towerline.pipeline.settings import NonEmptyText, Section, between, expected

# The masters that Spark knows.
MASTER = re.compile(r"local(\[(\d+|\*)(,\d+)?\])?|local-cluster\[\d+,\d+,\d+\]|(spark|k8s)://.+|yarn")


def _is_master(text: str) -> str:
    if not MASTER.fullmatch(text):
        raise expected("null for DuckDB, or the URL of a Spark master such as spark://host:7077 or local[4]")
    return text


class EngineParams(Section):
    section: ClassVar[str] = "engine"

    master: Annotated[NonEmptyText, AfterValidator(_is_master)] | None
    memory_limit: Annotated[float, between(0.5, 100_000)]
    spill_folder: NonEmptyText
