"""The page: the sections in their order, in page.html with its style, its script and the library of the charts.

The content security policy names the scripts by their hash, so that no other script runs and nothing is fetched even if
a text of others came through unescaped.
"""

import base64
import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from stages.report import charts
from stages.report.blocks import Section, Spec
from stages.report.inputs import Inputs
from stages.report.sections import (
    data,
    examples,
    exposure,
    groups,
    item_map,
    quality,
    ratings,
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


def sections(inputs: Inputs) -> list[Section]:
    """The page's sections, those left out for which there is nothing to show."""
    modules = (summary, data, split, training, quality, groups, exposure, ratings, item_map, examples, tuning, settings)
    made = [module.section(inputs) for module in modules]
    return [section for section in (*made, terms.section()) if section is not None]


def render(inputs: Inputs) -> str:
    """The whole page as HTML."""
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters["spec"] = embedded_spec
    scripts = [_inline(path.read_text(encoding="utf-8")) for path in (CHART_LIBRARY, SCRIPT)]
    html = environment.from_string(TEMPLATE.read_text(encoding="utf-8")).render(
        sections=sections(inputs),
        style=Markup(STYLE.read_text(encoding="utf-8")),  # noqa: S704 - our own file
        scripts=scripts,
        script_hashes=" ".join(map(_hash_source, scripts)),
        dashes=charts.SERIES_DASHES,
    )
    return html.rstrip() + "\n"


def embedded_spec(spec: Spec) -> Markup:
    """A chart's JSON for a script element of the page: nothing in it can end the element."""
    text = json.dumps(_finite(spec), ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    for character in "<>&":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return Markup(text)  # noqa: S704 - what could be markup is written as \u escapes


def _finite(content: Any) -> Any:
    """The same with null for NaN and infinity, which JSON does not know."""
    if isinstance(content, Mapping):
        return {key: _finite(value) for key, value in content.items()}
    if isinstance(content, Sequence) and not isinstance(content, str):
        return [_finite(value) for value in content]
    return None if isinstance(content, float) and not math.isfinite(content) else content


def _inline(script: str) -> Markup:
    """A script that cannot end its element: these letters stand in strings only, where the escape reads the same."""
    return Markup(script.strip().replace("</script", r"<\/script").replace("<!--", r"<\!--"))  # noqa: S704 - no text of others


def _hash_source(script: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'"
