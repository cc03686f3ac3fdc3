"""The picture of a backtest: NDCG of each model on each stretch, and by age."""

from collections.abc import Sequence
from typing import Any

import vl_convert

from towerline.artifacts.backtest import KNOWN, RetrainingRow, StretchRow
from towerline.artifacts.names import MODEL

WIDTH, HEIGHT = 560, 240
# Models after these would share colours.
MAXIMUM_MODELS = 10


def drawn(stretches: Sequence[StretchRow], retraining: Sequence[RetrainingRow], models: Sequence[str]) -> str:
    """The picture as SVG.

    Args:
      stretches, retraining: the rows of the tables.
      models: the names of the models to draw, in the order of the legend; the first MAXIMUM_MODELS are drawn.
    """
    models = models[:MAXIMUM_MODELS]
    by_stretch = [
        {"model": row.model, "x": row.since, "ndcg": row.ndcg}
        for row in stretches
        if row.model in models and row.age == 0 and row.users == KNOWN
    ]
    by_age = [{"model": row.model, "x": row.age, "ndcg": row.ndcg} for row in retraining if row.model in models]
    k = stretches[0].k
    specification = {
        "$schema": "https://vega.github.io/schema/vega-lite/v5.json",
        "background": "white",
        "vconcat": [
            _panel(by_stretch, "start of the stretch that is tested (UTC)", f"NDCG@{k}", models),
            _panel(by_age, "stretches since the model was fitted", f"NDCG@{k}", models),
        ],
    }
    svg: str = vl_convert.vegalite_to_svg(specification)
    return svg + "\n"


def _panel(values: list[dict[str, Any]], x: str, y: str, models: Sequence[str]) -> dict[str, Any]:
    colour = {"field": "model", "type": "nominal", "sort": list(models), "scale": {"domain": list(models)}}
    return {
        "width": WIDTH,
        "height": HEIGHT,
        "data": {"values": values},
        "mark": {"type": "line", "point": True},
        "encoding": {
            "x": {"field": "x", "type": "ordinal", "title": x, "axis": {"labelAngle": 0, "labelOverlap": True}},
            "y": {"field": "ndcg", "type": "quantitative", "title": y},
            "color": colour,
            "strokeWidth": {"condition": {"test": f"datum.model == '{MODEL}'", "value": 4}, "value": 1.5},
        },
    }
