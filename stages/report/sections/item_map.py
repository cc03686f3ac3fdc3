"""The map: the most popular items on a plane, coloured by type, or by a feature if all have the same type."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from stages.report import charts
from stages.report.inputs import Inputs
from stages.report.page_blocks import Figure, Note, Section, Table
from stages.report.wording import count, counted, decimal

LABELS = 24
# Groups with a separate colour; the others share a colour.
MOST_GROUPS = 7
OTHERS = "other"
# A feature colours the map where its most frequent values cover this share of the items.
COVERED = 0.5


def section(data: Inputs) -> Section:
    items = data.item_map["item_index"].astype(int).to_numpy()
    if not len(items):
        return Section("item-map", "Map", [Note("Too few items have different vectors for a map.")])
    places = data.item_map[["x", "y"]].to_numpy()
    popularity = np.bincount(data.sets["train"].item_index, minlength=data.sets["train"].num_items + 1)
    labels, rows = data.items.labels(items), popularity[items].tolist()
    name, groups = _grouping(data, items)
    domain = _domain(groups)
    values = [
        {"x": x, "y": y, "rows": number, "label": label, "series": group if group in domain else OTHERS}
        for (x, y), number, label, group in zip(places.tolist(), rows, labels, groups, strict=True)
    ]
    named = [values[position] for position in _spread(places, LABELS)]
    text = (
        "t-SNE of the item embeddings: items near each other have similar users. Directions and large distances have "
        "no meaning. The area of a point grows with the item's training rows."
    )
    cells = [
        [label, group, count(number), decimal(x, 2), decimal(y, 2)]
        for (x, y), number, label, group in zip(places.tolist(), rows, labels, groups, strict=True)
    ]
    figure = Figure(
        "positions",
        f"The {counted(len(items), 'most popular item')}",
        f"{counted(len(items), 'item')} coloured by {name}; point at an item to read its name.",
        charts.scatter(values, domain, named, name),
        Table(["item", name, "training rows", "x", "y"], cells, text_columns=2),
        renderer="canvas",
    )
    return Section("item-map", "Map", [Note(text), figure])


def _grouping(data: Inputs, items: NDArray[np.integer[Any]]) -> tuple[str, list[str]]:
    """The name and values of the grouping: the item types, or the feature whose frequent values cover most items."""
    if data.items.num_types() > 1:
        return "type", data.items.types(items)
    features = {name: [value or OTHERS for value in values] for name, values in data.items.features(items).items()}
    covered = {name: _covered(values) for name, values in features.items() if len(set(values)) > 1}
    best = max(covered, key=lambda name: covered[name], default=None)
    if best is None or covered[best] < COVERED:
        return "type", data.items.types(items)
    return best, features[best]


def _covered(values: list[str]) -> float:
    """The share of items whose value has a separate colour."""
    domain = {value for value in _domain(values) if value != OTHERS}
    return sum(value in domain for value in values) / len(values)


def _domain(groups: list[str]) -> list[str]:
    """The groups with a separate colour, the most frequent first, then OTHERS where there are more groups."""
    names, counts = np.unique([group for group in groups if group != OTHERS], return_counts=True)
    order: list[str] = names[np.argsort(-counts, kind="stable")].tolist()
    if len(order) <= MOST_GROUPS and OTHERS not in groups:
        return order
    return [*order[:MOST_GROUPS], OTHERS]


def _spread(places: NDArray[np.float64], most: int) -> list[int]:
    """Indices of the first positions whose labels do not overlap, at most `most`."""
    extent = np.ptp(places, axis=0) + 1e-9
    chosen: list[int] = []
    for position in range(len(places)):
        distance = np.abs(places[chosen] - places[position]) / extent
        if not (distance < (0.17, 0.05)).all(axis=1).any():
            chosen.append(position)
        if len(chosen) == most:
            break
    return chosen
