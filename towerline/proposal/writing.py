"""Proposed settings as YAML: printed, or put into params.yaml, whose comments stay."""

from collections.abc import Sequence
from io import StringIO
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap
from ruamel.yaml.error import YAMLError
from ruamel.yaml.scalarstring import DoubleQuotedScalarString

from towerline.pipeline import formats
from towerline.pipeline.errors import StageError
from towerline.pipeline.settings import PARAMS_FILE
from towerline.pipeline.terminal import printable
from towerline.proposal.proposing import Proposal, Setting

COMMENT_COLUMN = 36


def lines_of(proposal: Proposal) -> list[str]:
    """The proposal as lines of YAML, with its reasons, doubts and advice as comments."""
    content = CommentedMap()
    for setting in proposal.settings:
        *sections, name = setting.name.split(".")
        section = content
        for step in sections:
            section = section.setdefault(step, CommentedMap())
        section[name] = _scalar(setting)
        if setting.reason:
            section.yaml_add_eol_comment(printable(setting.reason), name, column=COMMENT_COLUMN)
    text = StringIO()
    _yaml().dump(content, text)
    lines = [f"# {printable(proposal.summary)}", *text.getvalue().splitlines()]
    for title, sentences in (("Unsure", proposal.doubts), ("Worth a thought", proposal.advice)):
        if sentences:
            lines += [f"# {title}:", *(f"# - {printable(sentence)}" for sentence in sentences)]
    return lines


def write(settings: Sequence[Setting], path: Path = PARAMS_FILE) -> None:
    """Puts the values into params.yaml and leaves everything else there as it is.

    Where split.method needs a column that the data does not have, it becomes random: the next stage would refuse it.

    Raises:
      StageError: there is no such file, or it lacks a section.
    """
    yaml = _yaml()
    try:
        content = yaml.load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise StageError(
            f"{path}: expected the settings of the pipeline, found no file; run the command in the project's folder"
        ) from None
    except (YAMLError, UnicodeDecodeError) as error:
        raise StageError(f"{path}: expected YAML, found {' '.join(str(error).split())}") from None
    for setting in [*settings, *_following(settings, content)]:
        _set(content, setting, path)
    with formats.replacing(path) as unfinished, unfinished.open("w", encoding="utf-8") as file:
        yaml.dump(content, file)


def _following(settings: Sequence[Setting], content: Any) -> list[Setting]:
    """Settings that have to follow for the pipeline to accept the proposal."""
    absent = {setting.name.rpartition(".")[2] for setting in settings if setting.value is None}
    method = content.get("split", {}).get("method") if isinstance(content, dict) else None
    needed = {"temporal": "timestamp", "leave_last_out": "timestamp", "column": "split", "cold_type": "item_type"}
    if needed.get(str(method)) not in absent:
        return []
    random = [Setting("split.method", "random")]
    return [*random, Setting("split.cold_type", None)] if method == "cold_type" else random


def _set(content: Any, setting: Setting, path: Path) -> None:
    *sections, name = setting.name.split(".")
    section = content
    for step in sections:
        section = section.get(step) if isinstance(section, dict) else None
    if not isinstance(section, dict):
        raise StageError(f"{path}: expected a section {'.'.join(sections)}, found none; add it")
    # An equal value keeps its notation.
    if name not in section or section[name] != setting.value or type(section[name]) is not type(setting.value):
        section[name] = _scalar(setting)


def _scalar(setting: Setting) -> Any:
    """The value as YAML shows it best: a delimiter or a quote in quotes, a tab as an escape."""
    if setting.name in ("ingest.delimiter", "ingest.quote") and setting.value != '"':
        return DoubleQuotedScalarString(str(setting.value))
    return setting.value


def _yaml() -> YAML:
    yaml = YAML()
    yaml.preserve_quotes = True
    # A comment or a text is never folded.
    yaml.width = 1_000_000
    yaml.representer.add_representer(type(None), _null)
    return yaml


def _null(representer: Any, _value: None) -> Any:
    # ruamel.yaml writes nothing for None where people write null.
    return representer.represent_scalar("tag:yaml.org,2002:null", "null")
