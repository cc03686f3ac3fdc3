"""Sections about the data and the training: what came in, how it was split, how the model learnt."""

import math
from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stages.report import charts, wording
from stages.report.blocks import Block, Facts, Figure, Grid, Note, Section, Table
from stages.report.inputs import Inputs, Timed
from stages.report.wording import count, counted, percent

RAW_LIMIT = 200
# At most so many bars over time: the finest period with no more is taken.
MOST_PERIODS = 90
SECONDS_A_DAY = 86_400
# Weeks start on Mondays, and the first of January 1970 was a Thursday.
MONDAY_SHIFT = 3 * SECONDS_A_DAY

CURVES = {
    "retrieval_loss": (
        "Retrieval loss",
        "How far the model is from putting what users took before the rest; lower is better at an equal temperature.",
    ),
    "rating_loss": (
        "Rating loss",
        "How far predicted ratings of the train part are from the given ones; lower is better.",
    ),
    "validation_ndcg": (
        "NDCG on the validation part",
        "How well rows that were not trained on are ranked; higher is better.",
    ),
    "validation_rmse": (
        "Rating error on the validation part",
        "How far predicted ratings of rows not trained on are from the given ones; lower is better.",
    ),
    "temperature": (
        "Temperature",
        "What cosines are divided by in the softmax; lower separates harder.",
    ),
    "popularity_prior": (
        "Popularity prior",
        "How much an item's popularity counts beside the user's taste.",
    ),
}


def ingest_section(data: Inputs) -> Section:
    """What was read, kept and refused."""
    found = data.ingest
    facts = [
        (count(found["rows_read"]), "rows read", ""),
        (count(found["rows_kept"]), "rows kept", "one for each user and item"),
        (count(found["rows_rejected"]), "rows refused", ""),
        (count(found["rows_repeated"]), "repeats", "the last row counts"),
        (count(found["users"]), "users", ""),
        (count(found["items"]), "items", ""),
        (wording.exact_percent(found["density"]), "density", "share of all pairs of user and item that have a row"),
    ]
    blocks: list[Block] = [Facts(facts)]
    if len(found["items_by_type"]) > 1:
        blocks.append(_counts_figure("items-by-type", "Items by type", "items", found["items_by_type"]))
    too_few = found["rows_below_minimum_rating"] + found["rows_below_minimum_interactions"]
    if too_few:
        blocks.append(Note(f"{counted(too_few, 'row')} more left out by the minimum of ratings or of interactions."))
    return Section("data", "What came in", [*blocks, *_refused(data)])


def _refused(data: Inputs) -> list[Block]:
    # The rows of the item table are among those that are listed.
    reasons: Counter[str] = Counter()
    for name in ("rows_rejected_by_reason", "item_rows_rejected_by_reason"):
        reasons.update(data.ingest[name])
    if not reasons:
        return [Note("No row was refused.")]
    rows = [
        [
            wording.shortened(str(row["source"])),
            count(row["line"]),
            row["reason"],
            wording.shortened(row["raw"], RAW_LIMIT),
        ]
        for row in data.refused
    ]
    rows = [[source, reason, raw, line] for source, line, reason, raw in rows]
    return [
        _counts_figure("refused", "Refused rows by reason", "rows", reasons),
        Note(f"The first {len(rows)} of the {counted(reasons.total(), 'refused row')}:"),
        Table(["file", "reason", "what stood there", "line"], rows, text_columns=3),
    ]


def _counts_figure(name: str, title: str, unit: str, counts: dict[str, int]) -> Figure:
    pairs = sorted(
        ((wording.shortened(key), value) for key, value in counts.items()), key=lambda pair: (-pair[1], pair)
    )
    names = [key for key, _ in pairs]
    total = sum(counts.values())
    most, number = pairs[0]
    return Figure(
        name,
        title,
        f"{counted(len(pairs), 'kind')}, most often “{most}”: {count(number)} of {count(total)} {unit}.",
        charts.bars([{"name": key, "value": value} for key, value in pairs], names, ","),
        Table(["", unit], [[key, count(value)] for key, value in pairs]),
    )


def split_section(data: Inputs) -> Section:
    """The sizes of the parts, over time where there are times."""
    sizes = {name: len(timed.part.user_index) for name, timed in data.parts.items()}
    total = sum(sizes.values())
    text = (
        "The model learns from the train part. What is decided on the way, such as when to stop, is decided on the "
        "validation part. The test part is kept for the comparison below."
    )
    facts = Facts(
        [(count(rows), f"{name} rows", f"{percent(rows / max(total, 1))} of all") for name, rows in sizes.items()]
    )
    timed = {name: one for name, one in data.parts.items() if one.timestamp is not None and len(one.timestamp)}
    figure = _over_time(timed) if timed else _counts_figure("parts", "Rows by part", "rows", sizes)
    return Section("split", "How it was split", [Note(text), facts, figure])


def _floor(unit: str) -> Callable[[NDArray[np.int64]], NDArray[np.int64]]:
    """Seconds to the first second of their day, month or year."""
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


def _over_time(parts: dict[str, Timed]) -> Figure:
    times = {name: timed.timestamp for name, timed in parts.items() if timed.timestamp is not None}
    first, last = min(one.min() for one in times.values()), max(one.max() for one in times.values())
    period = next((name for name, (_, length) in PERIODS.items() if (last - first) // length < MOST_PERIODS), "year")
    floor, length = PERIODS[period]
    starts = np.unique(np.concatenate([floor(one) for one in times.values()]))
    counts = np.stack(
        [np.bincount(np.searchsorted(starts, floor(one)), minlength=len(starts)) for one in times.values()]
    )
    tops = np.cumsum(counts, axis=0)
    labels = [str(one)[: 13 if period == "hour" else 10] for one in starts.astype("datetime64[s]")]
    # A gap of a tenth between two bars; the last day of a long month is not worth more code.
    values: list[dict[str, Any]] = [
        {
            "series": part,
            "part": part,
            "period": f"{period} of {labels[column]}" if period != "day" else labels[column],
            "start": int(starts[column]) * 1_000,
            "stop": (int(starts[column]) + length * 9 // 10) * 1_000,
            "rows": int(counts[row, column]),
            "low": int(tops[row, column] - counts[row, column]),
            "high": int(tops[row, column]),
        }
        for row, part in enumerate(times)
        for column in range(len(starts))
        if counts[row, column]
    ]
    rows = [[label, *map(count, counts[:, column].tolist())] for column, label in enumerate(labels)]
    return Figure(
        "time",
        f"Rows by {period} and part",
        _time_finding(times),
        charts.blocks_over_time(values, list(times)),
        Table([f"{period} from", *times], rows),
    )


def _time_finding(times: dict[str, NDArray[np.int64]]) -> str:
    first, last = min(one.min() for one in times.values()), max(one.max() for one in times.values())
    span = f"Rows run from {_day(first)} to {_day(last)}."
    if "train" not in times or "test" not in times:
        return span
    newest = times["train"].max()
    older = float((times["test"] < newest).mean())
    if not older:
        return f"{span} Every test row is as new as the newest train row or newer: the model was tested on its future."
    return (
        f"{span} {percent(older)} of the test rows are older than the newest train row: the parts overlap in time, "
        "so the test says how well gaps are filled, not how well the future is foretold."
    )


def _day(seconds: np.int64) -> str:
    return str(seconds.astype("datetime64[s]").astype("datetime64[D]"))


def training_section(data: Inputs) -> Section:
    """A curve for each column of the training report that holds anything."""
    epochs = [int(epoch) for epoch in data.training.get("epoch", [])]
    figures = [
        _curve(name, epochs, values)
        for name, values in data.training.items()
        if name != "epoch" and not all(math.isnan(value) for value in values)
    ]
    if not figures:
        return Section("training", "How it learnt", [Note("No training report was written.")])
    text = f"One epoch is one pass over the train part; there were {count(len(epochs))}."
    return Section("training", "How it learnt", [Note(text), Grid(figures)])


def _curve(name: str, epochs: list[int], values: list[float]) -> Figure:
    title, meaning = CURVES.get(name, (wording.shortened(name), ""))
    known = [(epoch, value) for epoch, value in zip(epochs, values, strict=True) if not math.isnan(value)]
    (first, start), (last, end) = known[0], known[-1]
    change = f"from {wording.decimal(start)} in epoch {first} to {wording.decimal(end)} in epoch {last}"
    return Figure(
        f"curve-{name.replace('_', '-')}",
        title,
        f"{meaning} It went {change}.".lstrip(),
        charts.curve([{"epoch": epoch, "value": value} for epoch, value in known], title),
        Table(["epoch", title], [[str(epoch), wording.decimal(value, 6)] for epoch, value in known]),
    )
