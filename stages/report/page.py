"""The page: all sections in page.html, with its style, its script and the chart library.

The content security policy lists the hashes of the scripts: no other script runs and nothing is fetched, even if a text
from the data were not escaped.
"""

import base64
import hashlib
from collections.abc import Sequence
from pathlib import Path

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from stages.report import charts
from stages.report.embedded import embedded_json
from stages.report.inputs import Inputs
from stages.report.lists import Lists
from stages.report.page_blocks import Section
from stages.report.sections import (
    data,
    examples,
    exposure,
    features,
    feedback,
    groups,
    item_map,
    item_types,
    quality,
    ratings,
    search,
    settings,
    split,
    summary,
    terms,
    training,
    tuning,
)
from towerline.artifacts.map import CHART_LIBRARY

FOLDER = Path(__file__).parent
TEMPLATE, STYLE, SCRIPT = FOLDER / "page.html", FOLDER / "page.css", FOLDER / "page.js"
MAXIMUM_BYTES = 3_000_000
# Room for the HTML of the search without its index.
SEARCH_FORM_BYTES = 4_000


def render(inputs: Inputs) -> str:
    """The whole page as HTML; the search has the room that the other sections leave."""
    lists = Lists(inputs)
    made = sections(inputs, lists)
    room = MAXIMUM_BYTES - SEARCH_FORM_BYTES - len(_html(made).encode())
    finder = search.section(lists, room)
    if finder is None:
        return _html(made)
    place = [section.anchor for section in made].index("examples")
    return _html([*made[:place], finder, *made[place:]])


def sections(inputs: Inputs, lists: Lists) -> list[Section]:
    """The sections of the page without the search; those with nothing to show are left out."""
    before = (summary, data, split, training, feedback, features, quality, groups, item_types, exposure, ratings)
    made = [module.section(inputs) for module in (*before, item_map)]
    after = [module.section(inputs) for module in (tuning, settings)]
    return [section for section in (*made, examples.section(lists), *after, terms.section()) if section is not None]


def _html(sections: Sequence[Section]) -> str:
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters["json"] = embedded_json
    scripts = [_inline(path.read_text(encoding="utf-8")) for path in (CHART_LIBRARY, SCRIPT)]
    html = environment.from_string(TEMPLATE.read_text(encoding="utf-8")).render(
        sections=sections,
        style=Markup(STYLE.read_text(encoding="utf-8")),  # noqa: S704 - our own file
        scripts=scripts,
        script_hashes=" ".join(map(_hash_source, scripts)),
        dashes=charts.SERIES_DASHES,
    )
    return html.rstrip() + "\n"


def _inline(script: str) -> Markup:
    """A script that cannot end its element: these texts occur in strings only, where an escape changes nothing."""
    return Markup(script.strip().replace("</script", r"<\/script").replace("<!--", r"<\!--"))  # noqa: S704 - no text from the data


def _hash_source(script: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'"
