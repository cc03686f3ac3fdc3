"""The blocks of a page: plain text and numbers, which page.html alone turns into HTML."""

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


class Choice(NamedTuple):
    """Blocks of which the reader sees one at a time; a page without scripts shows them all.

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
    """Figures to take in at a glance: (value, what it is, and anything to add)."""

    facts: Sequence[tuple[str, str, str]]
    kind: str = "facts"


class Entry(NamedTuple):
    """A line of a list: a name, its detail, and whether it is marked as an item of the test set."""

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
    """Words and what they mean."""

    terms: Sequence[tuple[str, str]]
    kind: str = "terms"


class Note(NamedTuple):
    """A paragraph."""

    text: str
    kind: str = "note"


class Caution(NamedTuple):
    """Cautions about the figures, each a paragraph; an urgent one is a banner."""

    texts: Sequence[str]
    urgent: bool = False
    kind: str = "caution"


Block = Table | Figure | Choice | Grid | Details | Legend | Facts | Card | Search | Terms | Note | Caution


class Section(NamedTuple):
    """A section of the page and its entry in the list of contents.

    Attributes:
      anchor: the section's id, ASCII letters and hyphens.
      title: its name in the list of contents.
      blocks: its content, from top to bottom.
      heading: its heading, where that is not the title.
    """

    anchor: str
    title: str
    blocks: Sequence[Block]
    heading: str = ""
