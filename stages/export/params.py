"""The section `export` of params.yaml."""

from typing import Literal

from towerline.pipeline.settings import Section, Settings, Share


class IndexParams(Settings):
    """An approximate index of the items, and how good it has to be."""

    build: bool
    min_recall: Share


class ExportParams(Section):
    section = "export"

    csv: bool
    dtype: Literal["float32", "float16"]
    index: IndexParams
