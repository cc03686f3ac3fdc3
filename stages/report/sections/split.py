"""The split: sizes of the training, validation and test set, over time where there are times."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stages.report import charts, findings
from stages.report.inputs import Inputs
from stages.report.page_blocks import Facts, Figure, Note, Section, Table
from stages.report.sections.data import counts_figure
from stages.report.sections.summary import older_test_rows
from stages.report.wording import count, percent

# Maximum number of bars over time: the shortest period with no more bars is used.
MOST_PERIODS = 90
SECONDS_A_DAY = 86_400
# Weeks start on Mondays, and the first of January 1970 was a Thursday.
MONDAY_SHIFT = 3 * SECONDS_A_DAY


def section(data: Inputs) -> Section:
    sizes = {name: len(rows.user_index) for name, rows in data.sets.items()}
    total = max(sum(sizes.values()), 1)
    uses = {
        "train": "fit the models",
        "validation": "choose settings, then fit the models too",
        "test": "compute the metrics of this page",
    }
    facts = [(count(rows), f"{name} rows", f"{percent(rows / total)}: {uses[name]}") for name, rows in sizes.items()]
    times = {
        name: rows.timestamp for name, rows in data.sets.items() if rows.timestamp is not None and len(rows.timestamp)
    }
    figure = _over_time(times, older_test_rows(data)) if times else counts_figure("sets", "Rows by set", "rows", sizes)
    settings = data.settings["split"]
    held_out = findings.held_out(settings["method"], settings["cold_type"])
    return Section("split", "Split", [Facts(facts), *([Note(held_out)] if held_out else []), figure])


def _floor(unit: str) -> Callable[[NDArray[np.int64]], NDArray[np.int64]]:
    """A function from seconds to the first second of their hour, day, month or year."""
    return lambda seconds: (
        seconds.astype("datetime64[s]").astype(f"datetime64[{unit}]").astype("datetime64[s]").astype(int)
    )


def _week(seconds: NDArray[np.int64]) -> NDArray[np.int64]:
    return (seconds + MONDAY_SHIFT) // (7 * SECONDS_A_DAY) * (7 * SECONDS_A_DAY) - MONDAY_SHIFT


PERIODS: dict[str, tuple[Callable[[NDArray[np.int64]], NDArray[np.int64]], int]] = {
    "hour": (_floor("h"), 3_600),
    "day": (_floor("D"), SECONDS_A_DAY),
    "week": (_week, 7 * SECONDS_A_DAY),
    "month": (_floor("M"), 30 * SECONDS_A_DAY),
    "year": (_floor("Y"), 365 * SECONDS_A_DAY),
}


def _over_time(times: dict[str, NDArray[np.int64]], older: float) -> Figure:
    first, last = min(map(np.min, times.values())), max(map(np.max, times.values()))
    period = next((name for name, (_, length) in PERIODS.items() if (last - first) // length < MOST_PERIODS), "year")
    floor, length = PERIODS[period]
    starts = np.unique(np.concatenate([floor(seconds) for seconds in times.values()]))
    counts = np.stack(
        [np.bincount(np.searchsorted(starts, floor(seconds)), minlength=len(starts)) for seconds in times.values()]
    )
    tops = np.cumsum(counts, axis=0)
    labels = [str(start)[: 13 if period == "hour" else 10] for start in starts.astype("datetime64[s]")]
    # The gap between two bars is a tenth of the period; a month counts as 30 days.
    values: list[dict[str, Any]] = [
        {
            "series": name,
            "set": name,
            "period": f"{period} of {labels[column]}" if period != "day" else labels[column],
            "start": int(starts[column]) * 1_000,
            "stop": (int(starts[column]) + length * 9 // 10) * 1_000,
            "rows": int(counts[row, column]),
            "low": int(tops[row, column] - counts[row, column]),
            "high": int(tops[row, column]),
        }
        for row, name in enumerate(times)
        for column in range(len(starts))
        if counts[row, column]
    ]
    rows = [[label, *map(count, counts[:, column].tolist())] for column, label in enumerate(labels)]
    return Figure(
        "time",
        f"Rows by {period} and set",
        _finding(int(first), int(last), older),
        charts.blocks_over_time(values, list(times)),
        Table([f"{period} from", *times], rows),
    )


def _finding(first: int, last: int, older: float) -> str:
    span = f"Rows run from {_day(first)} to {_day(last)}."
    if np.isnan(older):
        return span
    if older == 0:
        return f"{span} Every test row is as new as the newest known row or newer."
    return f"{span} {percent(older)} of the test rows are older than the newest known row."


def _day(seconds: int) -> str:
    return str(np.datetime64(seconds, "s").astype("datetime64[D]"))
