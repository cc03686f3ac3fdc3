"""Vega-Lite specifications of the report's charts, as plain data.

A colour is a variable `var(--name)` of page.css; page.js replaces it by its value in the light or dark theme.
"""

from collections.abc import Sequence
from typing import Any

from stages.report.page_blocks import Spec

SERIES_COLOURS = [f"var(--series-{number})" for number in range(8)]
SERIES_DASHES = [[1, 0], [7, 3], [2, 3], [9, 3, 2, 3], [5, 2], [12, 4], [1, 2], [4, 4]]
SHARE_COLOURS = [f"var(--share-{number})" for number in range(3)]
ACCENT = SERIES_COLOURS[0]
# Heights are in pixels: Vega-Lite cannot fit a chart with steps to the width of its container.
ROW_HEIGHT = 29
OFFSET_HEIGHT = 11

VALUE_AXIS = {"tickCount": 4}
# Minimum length of the axis of a curve, as a share of the values.
LEAST_SPAN = 0.1

Values = Sequence[dict[str, Any]]


def _chart(values: Values, **properties: Any) -> Spec:
    """A chart as wide as its container."""
    fit = {"type": "fit-x", "contains": "padding"}
    return {"width": "container", "autosize": fit, "data": {"values": list(values)}, **properties}


def _axis(field: str, title: str | None, **others: Any) -> Spec:
    return {"field": field, "type": "quantitative", "title": title, **others}


def _names(field: str, order: Sequence[str], **others: Any) -> Spec:
    """A vertical axis of names in the given order."""
    axis = {"labelLimit": 150, "ticks": False, "domain": False, "labelPadding": 9}
    return {"field": field, "type": "nominal", "sort": list(order), "title": None, "axis": axis, **others}


def _colour(domain: Sequence[str], palette: Sequence[str] = SERIES_COLOURS, *, legend: bool) -> Spec:
    colours = [palette[position % len(palette)] for position in range(len(domain))]
    shown = {"orient": "top", "title": None, "labelLimit": 200, "columns": 3} if legend else None
    return {
        "field": "series",
        "type": "nominal",
        "scale": {"domain": list(domain), "range": colours},
        "sort": list(domain),
        "legend": shown,
    }


def _dash(domain: Sequence[str]) -> Spec:
    dashes = [SERIES_DASHES[position % len(SERIES_DASHES)] for position in range(len(domain))]
    scale = {"domain": list(domain), "range": dashes}
    return {"field": "series", "type": "nominal", "scale": scale, "legend": None}


def _tooltip(**titles: str) -> list[Spec]:
    """The tooltip of a mark: field -> title; values and their intervals have four digits."""
    return [
        {"field": field, "title": title} | ({"format": ".4f"} if field in ("value", "low", "high") else {})
        for field, title in titles.items()
    ]


def blocks_over_time(values: Values, domain: Sequence[str]) -> Spec:
    """Stacked bars, each from `start` to `stop` (milliseconds) and from `low` to `high`."""
    axis = {"grid": False, "labelOverlap": True}
    time = {"field": "start", "type": "temporal", "title": None, "scale": {"type": "utc"}, "axis": axis}
    return _chart(
        values,
        height=170,
        mark={"type": "rect", "strokeWidth": 0},
        encoding={
            "x": time,
            "x2": {"field": "stop"},
            "y": _axis("low", "rows"),
            "y2": {"field": "high"},
            "color": _colour(domain, SHARE_COLOURS, legend=True),
            "tooltip": [{"field": name, "title": name} for name in ("period", "set", "rows")],
        },
    )


def bars(values: Values, names: Sequence[str], number_format: str, highlight: str | None = None) -> Spec:
    """Horizontal bars of `value`, one for each `name`, with the number at their end.

    If a name is highlighted, the other bars are muted.
    """
    text = {"field": "value", "type": "quantitative", "format": number_format}
    # Room for the number after the longest bar.
    longest = max((value["value"] for value in values), default=0)
    scale = {"domain": [0, 1.25 * longest or 1]}
    chosen = {"test": {"field": "name", "equal": highlight}, "value": ACCENT}
    colour = {"condition": chosen, "value": "var(--muted)"} if highlight else {"value": ACCENT}
    return _chart(
        values,
        height=ROW_HEIGHT * len(names),
        encoding={"y": _names("name", names), "x": _axis("value", None, axis=None, scale=scale)},
        layer=[
            {"mark": {"type": "bar", "cornerRadiusEnd": 3, "height": 16}, "encoding": {"color": colour}},
            {"mark": {"type": "text", "align": "left", "dx": 5, "fontSize": 12}, "encoding": {"text": text}},
        ],
    )


def curve(values: Values, title: str) -> Spec:
    """A line over the epochs, with a point for each epoch."""
    epochs, heights = [value["epoch"] for value in values], [value["value"] for value in values]
    ticks = {"values": epochs, "grid": False, "labelOverlap": True}
    scale: Spec = {"zero": False, "nice": True}
    # An axis of less than a tenth of the values would make noise look like a trend.
    middle = (min(heights) + max(heights)) / 2
    room = abs(middle) * LEAST_SPAN / 2 or 1
    if max(heights) - min(heights) < 2 * room:
        scale["domain"] = [middle - room, middle + room]
    return _chart(
        values,
        height=200,
        mark={"type": "line", "point": {"size": 36, "color": ACCENT}, "color": ACCENT, "strokeWidth": 2},
        encoding={
            "x": _axis("epoch", "epoch", axis=ticks, scale={"zero": False, "nice": False}),
            "y": _axis("value", title, scale=scale, axis={"tickCount": 5}),
            "tooltip": _tooltip(epoch="epoch", value=title),
        },
    )


def intervals(values: Values, names: Sequence[str], domain: Sequence[str], title: str) -> Spec:
    """A point with its interval for each model, in the model's colour."""
    return _chart(
        values,
        height=ROW_HEIGHT * len(names),
        encoding={
            "y": _names("series", names),
            "color": _colour(domain, legend=False),
            "tooltip": _tooltip(series="model", value=title, low="from", high="to"),
        },
        layer=[
            {"mark": {"type": "rule", "strokeWidth": 3, "opacity": 0.55}, "encoding": _span(title)},
            {
                "mark": {"type": "point", "filled": True, "size": 90, "opacity": 1},
                "encoding": {"x": _axis("value", title, scale={"zero": False})},
            },
        ],
    )


def _span(title: str) -> Spec:
    return {"x": _axis("low", title, axis=VALUE_AXIS, scale={"zero": False}), "x2": {"field": "high"}}


def over_cutoffs(values: Values, domain: Sequence[str], title: str) -> Spec:
    """A line for each model over the cutoffs `k`, with its interval as a band."""
    cutoffs = sorted({value["k"] for value in values})
    axis = {"values": cutoffs, "grid": False, "labelOverlap": True}
    scale = {"type": "log", "nice": False}
    return _chart(
        values,
        height=230,
        encoding={
            "x": _axis("k", "items shown (k)", axis=axis, scale=scale),
            "color": _colour(domain, legend=False),
        },
        layer=[
            {
                "mark": {"type": "area", "opacity": 0.13},
                "encoding": {"y": _axis("low", title, axis=VALUE_AXIS), "y2": {"field": "high"}},
            },
            {
                "mark": {"type": "line", "strokeWidth": 2},
                "encoding": {"y": _axis("value", title), "strokeDash": _dash(domain)},
            },
            {
                "mark": {"type": "point", "filled": True, "size": 34, "opacity": 1},
                "encoding": {
                    "y": _axis("value", title),
                    "tooltip": _tooltip(series="model", k="k", value=title, low="from", high="to"),
                },
            },
        ],
    )


def groups(values: Values, names: Sequence[str], domain: Sequence[str], title: str) -> Spec:
    """Points with intervals: groups from top to bottom, and the models within each group."""
    place = {"field": "series", "type": "nominal", "sort": list(domain)}
    return _chart(
        values,
        height=len(names) * (OFFSET_HEIGHT * len(domain) + OFFSET_HEIGHT),
        encoding={
            "y": _names("group", names, scale={"paddingInner": 0.3, "paddingOuter": 0.15}),
            "yOffset": place,
            "color": _colour(domain, legend=False),
            "tooltip": _tooltip(group="group", series="model", value=title, low="from", high="to", users="users"),
        },
        layer=[
            {"mark": {"type": "rule", "strokeWidth": 2, "opacity": 0.5}, "encoding": _span(title)},
            {
                "mark": {"type": "point", "filled": True, "size": 46, "opacity": 1},
                "encoding": {"x": _axis("value", title, scale={"zero": False})},
            },
        ],
    )


def shares(values: Values, names: Sequence[str], domain: Sequence[str]) -> Spec:
    """Stacked horizontal bars from 0 to 1, each `series` from `low` to `high`."""
    percent = {"format": "%", **VALUE_AXIS}
    return _chart(
        values,
        height=ROW_HEIGHT * len(names),
        mark={"type": "bar", "height": 18},
        encoding={
            "y": _names("name", names),
            "x": _axis("low", "share of the items shown", axis=percent, scale={"domain": [0, 1]}),
            "x2": {"field": "high"},
            "color": _colour(domain, SHARE_COLOURS, legend=True),
            "tooltip": [
                {"field": "name", "title": "model"},
                {"field": "series", "title": "popularity group"},
                {"field": "share", "title": "share", "format": ".1%"},
            ],
        },
    )


def trials(values: Values, names: Sequence[str], title: str) -> Spec:
    """A ring for each setting tried, filled if it was chosen."""
    fill = {"condition": {"test": "datum.chosen", "value": ACCENT}, "value": "transparent"}
    return _chart(
        values,
        height=ROW_HEIGHT * len(names),
        mark={"type": "point", "size": 80, "strokeWidth": 1.5, "opacity": 1, "stroke": ACCENT},
        encoding={
            "y": _names("name", names),
            "x": _axis("value", title, scale={"zero": False}, axis=VALUE_AXIS),
            "fill": fill,
            "tooltip": _tooltip(name="baseline", settings="settings", value=title),
        },
    )


def scatter(values: Values, domain: Sequence[str], labelled: Values, group: str) -> Spec:
    """A map: points by `x` and `y` without axes, sized by `rows`, the labelled ones named where there is room."""
    place = {
        channel: _axis(channel, None, axis=None, scale={"zero": False, "nice": False, "padding": 16})
        for channel in ("x", "y")
    }
    size = _axis("rows", None, legend=None, scale={"type": "sqrt", "range": [8, 260]})
    tips = [{"field": name, "title": title} for name, title in (("label", "item"), ("series", group), ("rows", "rows"))]
    wide_enough = {"expr": "width < 560 ? 0 : 1"}
    mark = {"type": "text", "dy": -10, "fontSize": 11, "limit": 130, "opacity": wide_enough}
    named = {
        "data": {"values": list(labelled)},
        "encoding": {**place, "text": {"field": "label"}, "color": {"value": "var(--ink)"}},
    }
    halo = {**named, "mark": {**mark, "stroke": "var(--card)", "strokeWidth": 4, "strokeJoin": "round"}}
    points = {
        "mark": {"type": "circle", "opacity": 0.5},
        "encoding": {**place, "size": size, "color": _colour(domain, legend=len(domain) > 1), "tooltip": tips},
    }
    return _chart(values, height=480, layer=[points, halo, {**named, "mark": mark}])
