"""The settings and the digests of the files that the page was made from."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from stages.report.inputs import Inputs
from stages.report.page_blocks import Details, Note, Section, Table
from stages.report.wording import shortened


def section(data: Inputs) -> Section:
    settings = [[name, shortened(json.dumps(value, ensure_ascii=False))] for name, value in _leaves(data.settings)]
    text = (
        f"Two pages with the digest {data.digest()} were made from the same files; dvc.lock has the MD5 of each, or of "
        "its folder."
    )
    return Section(
        "settings",
        "Settings",
        [
            Details("Settings of params.yaml", [Table(["setting", "value"], settings, text_columns=2)]),
            Details(
                f"Input files, digest {data.digest()}",
                [Note(text), Table(["file", "MD5"], list(data.digests.items()), text_columns=2)],
            ),
        ],
    )


def _leaves(content: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Names like `split.seed` with their values, sorted, since DVC ignores the order of params.yaml."""
    for name, value in sorted(content.items()):
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value
