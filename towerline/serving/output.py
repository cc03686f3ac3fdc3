"""Output of answers: tables for people, one JSON object per line for programs."""

import json
import sys
from collections.abc import Sequence
from typing import NamedTuple

from rich.console import Console
from rich.table import Table
from rich.text import Text

from towerline.pipeline.terminal import printable

# "compared" says what kind of answer follows, so that its value is a heading of its own.
HEADINGS = {"user_id": "user", "item_type": "type", "item_id": "id", "compared": ""}
# Shown with answers that are not from the model.
NOTES = {"popularity": "unknown user: by popularity alone"}


def json_line(question: dict[str, object], rows: Sequence[NamedTuple]) -> None:
    """Prints the question and the rows of the answer."""
    print(json.dumps({**question, "answer": [row._asdict() for row in rows]}, ensure_ascii=False))


class _Console(Console):
    """A console that leaves closed pipes to errors_of_one_line()."""

    def on_broken_pipe(self) -> None:
        raise BrokenPipeError


def table(question: dict[str, object], rows: Sequence[NamedTuple]) -> None:
    """Prints a table, at most as wide as the terminal; not limited in width if the output is no terminal.

    A column without any value, such as the titles of data without titles, is left out.
    """
    console = _Console(highlight=False, markup=False, emoji=False)
    if not console.is_terminal:
        console.width = 10_000
    asked = ", ".join(f"{HEADINGS.get(name, name)} {_text(value)}".lstrip() for name, value in question.items())
    notes = {NOTES[source] for row in rows if (source := getattr(row, "source", "")) in NOTES}
    console.print(Text("; ".join([asked, *notes]), style="bold"))
    if not rows:
        console.print("nothing to show")
        return
    columns = [
        name for name in rows[0]._fields if name != "source" and any(getattr(row, name) is not None for row in rows)
    ]
    rows_shown = Table(box=None, pad_edge=False, header_style="dim")
    for name in columns:
        number = isinstance(getattr(rows[0], name), int | float)
        rows_shown.add_column(HEADINGS.get(name, name), justify="right" if number else "left", overflow="fold")
    for row in rows:
        rows_shown.add_row(*(Text(_text(getattr(row, name))) for name in columns))
    console.print(rows_shown)


def line(text: str) -> None:
    """Prints one line."""
    print(text)


def note(text: str) -> None:
    """Prints a note on an answer to standard error."""
    print(printable(text), file=sys.stderr)


def _text(value: object) -> str:
    """The text of a value."""
    match value:
        case None:
            return ""
        case float():
            return f"{value:.4f}"
        case int():
            return f"{value:,}"
        case list() | tuple():
            return " ".join(_text(entry) for entry in value)
    return printable(str(value))
