"""Answers as people read them, a table, and as programs do, a JSON object a line."""

import json
import sys
from collections.abc import Sequence
from typing import NamedTuple

from rich.console import Console
from rich.table import Table
from rich.text import Text

from towerline.pipeline.terminal import printable

HEADINGS = {"user_id": "user", "item_type": "type", "item_id": "id"}
# Where an answer is not from the model.
NOTES = {"popularity": "unknown user: what most users have"}


def json_line(question: dict[str, object], rows: Sequence[NamedTuple]) -> None:
    """Prints what was asked and the rows of the answer."""
    print(json.dumps({**question, "answer": [row._asdict() for row in rows]}, ensure_ascii=False))


class _Console(Console):
    """Leaves it to errors_of_one_line() to end where nobody reads any more."""

    def on_broken_pipe(self) -> None:
        raise BrokenPipeError


def table(question: dict[str, object], rows: Sequence[NamedTuple]) -> None:
    """Prints a table, as wide as the terminal at most; elsewhere as wide as it needs to be."""
    console = _Console(highlight=False, markup=False, emoji=False)
    if not console.is_terminal:
        console.width = 10_000
    asked = ", ".join(f"{HEADINGS.get(name, name)} {_text(value)}" for name, value in question.items())
    notes = {NOTES[source] for row in rows if (source := getattr(row, "source", "")) in NOTES}
    console.print(Text("; ".join([asked, *notes]), style="bold"))
    if not rows:
        console.print("nothing to show")
        return
    columns = [name for name in rows[0]._fields if name != "source"]
    found = Table(box=None, pad_edge=False, header_style="dim")
    for name in columns:
        number = isinstance(getattr(rows[0], name), int | float)
        found.add_column(HEADINGS.get(name, name), justify="right" if number else "left", overflow="fold")
    for row in rows:
        found.add_row(*(Text(_text(getattr(row, name))) for name in columns))
    console.print(found)


def line(text: str) -> None:
    """Prints what was done."""
    print(text)


def note(text: str) -> None:
    """Prints what a person should know beside an answer, to standard error."""
    print(printable(text), file=sys.stderr)


def _text(value: object) -> str:
    """What is shown of a value."""
    match value:
        case None:
            return ""
        case float():
            return f"{value:.4f}"
        case int():
            return f"{value:,}"
        case list() | tuple():
            return " ".join(_text(one) for one in value)
    return printable(str(value))
