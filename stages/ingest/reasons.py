"""Reasons for which rows are refused."""

import ibis
import ibis.expr.types as ir
from ibis import _

from stages.ingest.kept_rows import KEY, TITLE
from stages.ingest.params import MOST_WEIGHT, IngestParams
from stages.ingest.parsing import blank, parsed_number, parsed_timestamp, parsed_weight, undecodable
from stages.ingest.staging import FEATURES
from towerline.raw.values import ISO_8601, NUMBER

SETS = ("train", "validation", "test")
NOT_A_SET = f"split is none of {', '.join(SETS)}"
NOT_A_WEIGHT = "weight is none of the values in ingest.weights"
# A longer id is a quoted field that a stray quote far below has closed, or too long for the index of a database.
MAX_ID_CHARACTERS = 1000
# Ratings are float32: halfway from the largest finite number to the next power of two, from where on one is infinite.
INFINITE_RATING = 2.0**128 - 2.0**103
NONZERO = r"^[+-]?[0.]*[1-9]"
POSITIVE = r"^\+?[0.]*[1-9]"


def parsed(rows: ir.Table, params: IngestParams) -> ir.Table:
    """The staged rows with typed columns and, where a row is refused, the first reason that applies.

    The texts of a refused row's rating, timestamp and weight are kept as rating_text, timestamp_text and weight_text.
    The rows may have features.
    """
    roles = params.columns.roles()
    if "item_type" not in roles:
        rows = rows.mutate(item_type=ibis.literal(params.constant_item_type))
    reasons = [(_.problem.notnull(), _.problem), *unusable_key(KEY, params.encoding)]
    if "rating" in roles:
        rows = rows.mutate(rating=parsed_number(_.rating), rating_text=_.rating)
        reasons += unusable_rating(params)
    if "timestamp" in roles:
        rows = rows.mutate(timestamp=parsed_timestamp(_.timestamp, params.timestamp_format), timestamp_text=_.timestamp)
        reasons += unusable_timestamp(params)
    if "weight" in roles:
        rows = rows.mutate(weight=parsed_weight(_.weight, params.weights), weight_text=_.weight)
        reasons += unusable_weight(params)
    if "split" in roles:
        reasons.append((_.split.isnull() | _.split.notin(SETS), NOT_A_SET))
    if FEATURES.name in rows.columns:
        reasons.append(undecodable_feature(params.encoding))
    return with_reason(rows, reasons)


def parsed_features(rows: ir.Table, key: list[str], encoding: str) -> ir.Table:
    """The staged rows of a table of features, whose blank titles are none, and the reason where a row is refused."""
    reasons = [(_.problem.notnull(), _.problem), *unusable_key(key, encoding)]
    if TITLE in rows.columns:
        reasons.append((undecodable(_.title), f"title is not valid {encoding}"))
        rows = rows.mutate(title=ibis.ifelse(blank(_.title), ibis.null("string"), _.title))
    reasons.append(undecodable_feature(encoding))
    return with_reason(rows, reasons)


def with_reason(rows: ir.Table, reasons: list[tuple[ir.Value, str]]) -> ir.Table:
    """The rows with the first reason that applies, and with the texts that describe a refused row for these alone.

    The texts are most of the bytes of a row, and nothing reads those of accepted rows.
    """
    rows = rows.mutate(reason=ibis.cases(*reasons)).drop("problem")
    texts = ["source", "raw", *(name for name in rows.columns if name.endswith("_text"))]
    return rows.mutate(*(ibis.ifelse(_.reason.notnull(), _[name], ibis.null("string")).name(name) for name in texts))


def undecodable_feature(encoding: str) -> tuple[ir.Value, str]:
    """The reason for which the features of a row whose other columns are usable are not."""
    return undecodable(_.raw), f"a feature is not valid {encoding}"


def unusable_key(key: list[str], encoding: str) -> list[tuple[ir.Value, str]]:
    """The reasons for which the texts of a key are no ids."""
    reasons: list[tuple[ir.Value, str]] = []
    for name in key:
        reasons.append((blank(_[name]), f"blank {name}"))
        reasons.append((undecodable(_[name]), f"{name} is not valid {encoding}"))
        reasons.append(
            (_[name].length() > MAX_ID_CHARACTERS, f"{name} is longer than {MAX_ID_CHARACTERS:,} characters")
        )
    return reasons


def unreadable(role: str, pattern: str) -> list[tuple[ir.Value, str]]:
    """The reasons for which a text is not written as its role needs it."""
    text = _[f"{role}_text"]
    return [(blank(text), f"blank {role}"), (~text.strip().re_search(pattern), f"unreadable {role}")]


def unusable_rating(params: IngestParams) -> list[tuple[ir.Value, str]]:
    """The reasons for which a rating is none that can be kept."""
    low, high = params.minimum_allowed_rating, params.maximum_allowed_rating
    too_low = _.rating < low if low is not None else ibis.literal(False)
    too_high = _.rating > high if high is not None else ibis.literal(False)
    too_large = _.rating.isnull() | (_.rating.abs() >= INFINITE_RATING)
    vanishes = (_.rating.cast("float32") == 0) & _.rating_text.strip().re_search(NONZERO)
    return [
        *unreadable("rating", NUMBER),
        (too_low | too_high, "rating out of range"),
        (too_large, "rating too large for float32"),
        (vanishes, "rating too close to 0 for float32"),
    ]


def unusable_timestamp(params: IngestParams) -> list[tuple[ir.Value, str]]:
    """The reasons for which a timestamp is no time."""
    form = ISO_8601 if params.timestamp_format == "iso8601" else NUMBER
    return [*unreadable("timestamp", form), (_.timestamp.isnull(), "no such time from the year 1 to 9999")]


def unusable_weight(params: IngestParams) -> list[tuple[ir.Value, str]]:
    """The reasons for which a weight is none that can be added up."""
    if params.weights is not None:
        return [(blank(_.weight_text), "blank weight"), (_.weight.isnull(), NOT_A_WEIGHT)]
    return [
        *unreadable("weight", NUMBER),
        (~_.weight_text.strip().re_search(POSITIVE), "weight is not above 0"),
        (_.weight.isnull() | (_.weight > MOST_WEIGHT), f"weight above {MOST_WEIGHT:,.0f}"),
        (_.weight.cast("float32") == 0, "weight too close to 0 for float32"),
    ]
