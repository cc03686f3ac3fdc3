"""Notations of the numbers and times that ingest reads, units of times, and the share of low ratings to warn of."""

DECIMAL = r"^[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)$"
NUMBER = r"^[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?$"
DECIMAL_COMMA = r"^[+-]?[0-9]+,[0-9]+$"
DECIMAL_COMMA_ADVICE = "decimal commas are not read: write 7.5 for 7,5"
# A date, or a date and a time with or without seconds, their fraction, and an offset of at most 15:59 from UTC.
ISO_8601 = (
    r"^[0-9]{4}-[0-9]{2}-[0-9]{2}([T ][0-9]{2}:[0-9]{2}(:[0-9]{2}([.,][0-9]+)?)?"
    r"(Z|[+-](0[0-9]|1[0-5])(:?[0-5][0-9])?)?)?$"
)
OTHER_TIMES_ADVICE = (
    "a time is a number of seconds, milliseconds, microseconds or nanoseconds since 1970, or iso8601 text such as "
    "2013-02-28 or 2013-02-28T15:00:00, as ingest.timestamp_format says; convert other forms, for instance with "
    "pandas.to_datetime(..., dayfirst=True)"
)
# Low ratings are those below the middle of the range; up to this share of them is usual where all rows count as likes.
USUAL_LOW_RATINGS = 0.1
# Units of a timestamp in a second.
UNITS = {"seconds": 1, "milliseconds": 10**3, "microseconds": 10**6, "nanoseconds": 10**9}


def unit_of(time: float) -> str | None:
    """The coarsest unit in which a number is a time up to the year 2286, None where there is none.

    >>> unit_of(1365029107), unit_of(1365029107999)
    ('seconds', 'milliseconds')
    """
    return next((name for name, per_second in UNITS.items() if abs(time) < 1e10 * per_second), None)
