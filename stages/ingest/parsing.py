"""Texts of raw fields as numbers and times; null where ingest refuses them."""

from collections.abc import Mapping

import ibis
import ibis.expr.types as ir

from towerline.raw.values import DECIMAL, ISO_8601, NUMBER, UNITS

REPLACEMENT_CHARACTER = "\ufffd"
# Letters that leave no mark: spaces of all kinds, controls, and what has no width.
VISIBLE = r"[^\s\pZ\p{Cc}\p{Cf}]"
# Texts from the first on and before the second begin with a visible ASCII character.
FIRST_VISIBLE, AFTER_VISIBLE = "!", "\x7f"
# From the year 1 to the end of the year 9999, in seconds since 1970.
FIRST_SECOND, LAST_SECOND = -62_135_596_800, 253_402_300_799


def blank(text: ir.Value) -> ir.BooleanValue:
    """True where a text is missing, or leaves no mark."""
    # Nearly all texts begin with a visible ASCII character, which a comparison finds much faster than the pattern.
    begins_visibly = ((text >= FIRST_VISIBLE) & (text < AFTER_VISIBLE)).fill_null(False)
    return ~begins_visibly & ~text.re_search(VISIBLE).fill_null(False)


def undecodable(text: ir.Value) -> ir.BooleanValue:
    return text.contains(REPLACEMENT_CHARACTER)


def parsed_number(text: ir.Value) -> ir.Value:
    """The text as a finite float64, null where it is not a decimal number."""
    number = ibis.ifelse(text.strip().re_search(NUMBER), text.strip().try_cast("float64"), ibis.null("float64"))
    return ibis.ifelse(number.isinf(), ibis.null("float64"), number)


def parsed_weight(text: ir.Value, weights: Mapping[str, float] | None) -> ir.Value:
    """The number in the text, or the one that `weights` has for the text, null where there is none."""
    if weights is None:
        return parsed_number(text)
    return ibis.cases(*((text == value, weight) for value, weight in weights.items()))


def parsed_timestamp(text: ir.Value, timestamp_format: str) -> ir.Value:
    """Whole seconds since 1970 UTC as int64, rounded down, null where the text is no time of the years 1 to 9999."""
    text = text.strip()
    if timestamp_format == "iso8601":
        # Without its fraction a time is rounded down. DuckDB wants seconds where there is an offset.
        whole = text.re_replace(r"[.,][0-9]+", "").re_replace(r"^(.{10}[T ][0-9]{2}:[0-9]{2})(Z|[+-].*)$", r"\1:00\2")
        seconds = whole.try_cast("timestamp('UTC')").epoch_seconds().cast("int64")
        seconds = ibis.ifelse(text.re_search(ISO_8601), seconds, ibis.null("int64"))
    else:
        seconds = whole_number(text)
        if (unit := UNITS[timestamp_format]) > 1:
            # A multiple of the unit first: the quotient of other large numbers could be rounded up to a whole one.
            seconds = seconds - (seconds % unit + unit) % unit
            seconds = (seconds / unit).round().cast("int64")
    return within(seconds, FIRST_SECOND, LAST_SECOND)


def whole_number(text: ir.Value) -> ir.Value:
    """The decimal number in the text rounded down to int64, null where it is none or does not fit.

    The digits before the point are read as they are, since float64 does not hold all of int64.
    """
    digits = text.re_extract(r"^([+-]?[0-9]+)", 1).try_cast("int64").fill_null(0)
    below = text.startswith("-") & text.re_search(r"\.[0-9]*[1-9]")
    number = parsed_number(text)
    number = ibis.ifelse(number.abs() < 2.0**63, number, ibis.null("float64"))
    fits = text.re_search(DECIMAL) & number.notnull()
    return ibis.ifelse(fits, digits - below.cast("int64"), number.floor().cast("int64"))


def within(number: ir.Value, low: int, high: int) -> ir.Value:
    return ibis.ifelse(number.between(low, high), number, ibis.null("int64"))
