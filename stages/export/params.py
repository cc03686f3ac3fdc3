"""The section `export` of params.yaml."""

from towerline.pipeline.settings import Section, Settings, Share


class IndexParams(Settings):
    """An approximate index of the items, and how good it has to be."""

    build: bool
    min_recall: Share


class ExportParams(Section):
    section = "export"

    csv: bool
    index: IndexParams
