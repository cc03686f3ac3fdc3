"""Names, numbers and texts from the data as the page shows them."""

import math
from collections.abc import Iterable, Sequence

from towerline.artifacts.evaluate import CONSUMED
from towerline.artifacts.names import (
    EASE,
    GLOBAL_MEAN,
    IALS,
    ITEM_KNN,
    MODEL,
    MOST_POPULAR,
    MOST_POPULAR_OF_TYPE,
    RANDOM,
    RECENT_POPULAR,
    USER_ITEM_BIAS,
)

MODEL_LABELS = {
    MODEL: "Two towers",
    MOST_POPULAR: "Most popular",
    RECENT_POPULAR: "Most popular of late",
    MOST_POPULAR_OF_TYPE: "Most popular of its type",
    RANDOM: "Random",
    ITEM_KNN: "Similar items (kNN)",
    EASE: "EASE",
    IALS: "iALS",
    CONSUMED: "Interactions of users",
    GLOBAL_MEAN: "Mean rating",
    USER_ITEM_BIAS: "User and item biases",
}

METRIC_LABELS = {
    "recall": "Recall",
    "ndcg": "NDCG",
    "mrr": "MRR",
    "map": "MAP",
    "precision": "Precision",
    "hit_rate": "Hit rate",
}

TEXT_LIMIT = 80
MISSING = "\N{EN DASH}"
MINUS = "\N{MINUS SIGN}"

# Control characters and bidirectional overrides: they break a line, are invisible, or reverse the text around them.
_CONTROLS = [*range(32), *range(127, 160)]
_OVERRIDES = [*range(0x202A, 0x202F), *range(0x2066, 0x206A)]
_UNPRINTABLE = dict.fromkeys([*_CONTROLS, *_OVERRIDES], "\N{REPLACEMENT CHARACTER}")


def shortened(text: str, limit: int = TEXT_LIMIT) -> str:
    """A text from the data on a single line of at most `limit` characters."""
    line = " ".join(text[: 2 * limit].split()).translate(_UNPRINTABLE)
    return line if len(line) <= limit and len(text) <= 2 * limit else line[: limit - 1].rstrip() + "…"


def model_label(name: str) -> str:
    return MODEL_LABELS.get(name, shortened(name))


def metric_label(name: str) -> str:
    return METRIC_LABELS.get(name, name)


def metric_at(name: str, k: float) -> str:
    """The label of a metric with its cutoff, as in NDCG@20; without one if k is NaN."""
    return metric_label(name) if math.isnan(k) else f"{metric_label(name)}@{k:g}"


def decimal(value: float, digits: int = 4) -> str:
    """A number with a fixed number of decimals."""
    return MISSING if math.isnan(value) else f"{value:.{digits}f}".replace("-", MINUS)


def signed(value: float, digits: int = 4) -> str:
    return MISSING if math.isnan(value) else f"{value:+.{digits}f}".replace("-", MINUS)


def percent(value: float, digits: int = 1) -> str:
    return MISSING if math.isnan(value) else f"{100 * value:.{digits}f}%"


def exact_percent(value: float) -> str:
    """`20%`, `0.0575%`: at most four decimals, without trailing zeros."""
    return f"{100 * value:.4f}".rstrip("0").rstrip(".") + "%"


def count(value: int) -> str:
    return f"{value:,}"


def counted(value: int, singular: str) -> str:
    """`1 row`, `2,000 rows`."""
    return f"{value:,} {singular}{'' if value == 1 else 's'}"


def interval(low: float, high: float) -> str:
    """`0.2790 to 0.3030`."""
    return MISSING if math.isnan(low) or math.isnan(high) else f"{decimal(low)} to {decimal(high)}"


def p_value(value: float) -> str:
    """`p < 0.001` or `p = 0.042`."""
    return "p < 0.001" if value < 0.001 else f"p = {value:.3f}"


def p_cell(value: float) -> str:
    """A p value in a table: `<0.0001` or `0.0420`."""
    return "<0.0001" if value < 0.0001 else decimal(value)


def listed(texts: Sequence[str]) -> str:
    """`a, b and c`."""
    return texts[0] if len(texts) == 1 else f"{', '.join(texts[:-1])} and {texts[-1]}"


def by_value(values: Iterable[tuple[str, float]], *, lowest_first: bool = False) -> list[tuple[str, list[str]]]:
    """Groups labels by their value as shown, with four digits, in descending or ascending order.

    A reader takes values with the same digits as equal, so that sentences must not order them.

    Returns:
      (value as shown, labels that share it); values that are NaN are left out.
    """
    known = sorted((pair for pair in values if not math.isnan(pair[1])), key=lambda pair: pair[1])
    groups: dict[str, list[str]] = {}
    for label, value in known if lowest_first else reversed(known):
        groups.setdefault(decimal(value), []).append(label)
    return list(groups.items())
