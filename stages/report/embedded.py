"""JSON within the page."""

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup


def embedded_json(content: Any) -> Markup:
    """JSON for a script element of the page: nothing in it can end the element, and NaN and infinity become null."""
    text = json.dumps(_finite(content), ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    for character in "<>&":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return Markup(text)  # noqa: S704 - what could be markup is written as \u escapes


def _finite(content: Any) -> Any:
    if isinstance(content, Mapping):
        return {key: _finite(value) for key, value in content.items()}
    if isinstance(content, Sequence) and not isinstance(content, str):
        return [_finite(value) for value in content]
    return None if isinstance(content, float) and not math.isfinite(content) else content
