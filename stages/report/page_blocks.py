"""The blocks of a page: plain text and numbers. Only page.html turns them into HTML."""

from collections.abc import Sequence
from typing import Any, NamedTuple

Spec = dict[str, Any]


class Table(NamedTuple):
    """Rows of text under a header.

    Attributes:
      header: names of the columns.
      rows: cells, formatted for the reader.
      text_columns: number of columns, from the left, that hold text; the others hold numbers.
    """

    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    text_columns: int = 1
    kind: str = "table"


class Figure(NamedTuple):
    """A chart with its description.

    Attributes:
      name: the figure's id within the page, ASCII letters and hyphens.
      title: heading of the chart.
      finding: a sentence on what the chart shows, also read to those who cannot see it.
      spec: the chart in Vega-Lite.
      table: the values that are drawn.
      renderer: `svg`, or `canvas` where there are thousands of marks.
    """

    name: str
    title: str
    finding: str
    spec: Spec
    table: Table
    renderer: str = "svg"
    kind: str = "figure"


class Choice(NamedTuple):
    """Blocks of which the reader chooses one to see; a page without scripts shows all of them.

    Attributes:
      name: the element's id within the page, ASCII letters and hyphens.
      label: the label of the list to choose from.
      options: (name of the option, block).
    """

    name: str
    label: str
    options: "Sequence[tuple[str, Figure | Card]]"
    kind: str = "choice"


class Grid(NamedTuple):
    """Blocks side by side where the page is wide enough."""

    blocks: Sequence[Figure | Choice]
    kind: str = "grid"


class Details(NamedTuple):
    """Blocks that are folded under a summary."""

    summary: str
    blocks: "Sequence[Block]"
    kind: str = "details"


class Legend(NamedTuple):
    """The models, in the order of their colours and dashes."""

    labels: Sequence[str]
    kind: str = "legend"


class Facts(NamedTuple):
    """Main figures: (value, label, additional detail or an empty text)."""

    facts: Sequence[tuple[str, str, str]]
    kind: str = "facts"


class Entry(NamedTuple):
    """A line of a list: a name, its detail, and true for an item of the test set, which gets a mark."""

    name: str
    detail: str
    held_out: bool = False


class Card(NamedTuple):
    """A user or an item with its lists: (heading, entries, number of entries left out)."""

    name: str
    detail: str
    lists: Sequence[tuple[str, Sequence[Entry], int]]
    kind: str = "card"


class Search(NamedTuple):
    """A box that finds users and items and shows their lists.

    Attributes:
      name: the element's id within the page, ASCII letters and hyphens.
      label: the label of the box.
      content: names and lists, as stages.report.sections.search.index_of() describes them.
    """

    name: str
    label: str
    content: dict[str, Any]
    kind: str = "search"


class Terms(NamedTuple):
    """Terms with their definitions."""

    terms: Sequence[tuple[str, str]]
    kind: str = "terms"


class Note(NamedTuple):
    """A paragraph."""

    text: str
    kind: str = "note"


class Caution(NamedTuple):
    """Cautions about the figures, each a paragraph; urgent ones are shown as a banner."""

    texts: Sequence[str]
    urgent: bool = False
    kind: str = "caution"


Block = Table | Figure | Choice | Grid | Details | Legend | Facts | Card | Search | Terms | Note | Caution


class Section(NamedTuple):
    """A section of the page and its entry in the list of contents.

    Attributes:
      anchor: the section's id, ASCII letters and hyphens.
      title: name in the list of contents.
      blocks: content, from top to bottom.
      heading: heading of the section; empty for the title.
    """

    anchor: str
    title: str
    blocks: Sequence[Block]
    heading: str = ""
