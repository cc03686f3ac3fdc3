"""What a page is made of: plain text and numbers, which page.html alone turns into HTML."""

from collections.abc import Sequence
from typing import Any, NamedTuple

Spec = dict[str, Any]


class Table(NamedTuple):
    """Rows of text under a header.

    Attributes:
      header: names of the columns.
      rows: cells as they are to be read.
      text_columns: how many columns, from the left, hold text; the others hold numbers.
    """

    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    text_columns: int = 1
    kind: str = "table"


class Figure(NamedTuple):
    """A chart and what it says.

    Attributes:
      name: the figure's id within the page, ASCII letters and hyphens.
      title: what is drawn.
      finding: what there is to see, in a sentence for those who see the chart and for those who do not.
      spec: the chart in Vega-Lite.
      table: the figures behind it.
      renderer: `svg`, or `canvas` where there are thousands of marks.
    """

    name: str
    title: str
    finding: str
    spec: Spec
    table: Table
    renderer: str = "svg"
    kind: str = "figure"


class Grid(NamedTuple):
    """Figures side by side where the page is wide enough."""

    figures: Sequence[Figure]
    kind: str = "grid"


class Legend(NamedTuple):
    """The models, in the order of their colours and dashes."""

    labels: Sequence[str]
    kind: str = "legend"


class Facts(NamedTuple):
    """Figures to take in at a glance: (value, what it is, and anything to add)."""

    facts: Sequence[tuple[str, str, str]]
    kind: str = "facts"


class Entry(NamedTuple):
    """A line of a list: a name, what there is to say about it, and whether it is marked as found in the test part."""

    name: str
    detail: str
    found: bool = False


class Card(NamedTuple):
    """A user or item with one or two lists: (heading, entries, how many more there are)."""

    name: str
    detail: str
    lists: Sequence[tuple[str, Sequence[Entry], int]]


class Cards(NamedTuple):
    """Cards side by side; `wide` ones hold two lists each."""

    cards: Sequence[Card]
    wide: bool = False
    kind: str = "cards"


class Terms(NamedTuple):
    """Words and what they mean."""

    terms: Sequence[tuple[str, str]]
    kind: str = "terms"


class Note(NamedTuple):
    """A paragraph."""

    text: str
    kind: str = "note"


Block = Table | Figure | Grid | Legend | Facts | Cards | Terms | Note


class Section(NamedTuple):
    """A part of the page with its place in the list of contents.

    Attributes:
      anchor: the section's id, ASCII letters and hyphens.
      title: its heading.
      blocks: what stands in it, from top to bottom.
    """

    anchor: str
    title: str
    blocks: Sequence[Block]
