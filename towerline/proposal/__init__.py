"""Proposal of settings for raw files: `python -m towerline propose FILE...`."""

from collections.abc import Sequence
from pathlib import Path

from towerline.pipeline.errors import CommandError


def command(paths: Sequence[Path], write: bool) -> list[str]:
    """Looks at raw files and returns the lines to print; with `write` the values are put into params.yaml as well.

    Raises:
      CommandError: a file cannot be read, holds no interactions, or the packages of the pipeline are not installed.
    """
    try:
        # An application that only uses an export has neither DuckDB nor ruamel.yaml.
        from towerline.pipeline.settings import PARAMS_FILE
        from towerline.proposal import proposing, writing
    except ModuleNotFoundError as error:
        raise CommandError(
            f"expected the packages of the pipeline, found no {error.name}; pip install 'towerline[pipeline]'"
        ) from None
    proposal = proposing.propose(paths)
    lines = writing.lines_of(proposal)
    if write:
        writing.write(proposal.settings)
        lines.append(f"# Written to {PARAMS_FILE}.")
    return lines
