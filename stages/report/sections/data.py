"""The data: rows read, kept and refused."""

from collections import Counter

from stages.report import charts, wording
from stages.report.inputs import Inputs
from stages.report.page_blocks import Block, Details, Facts, Figure, Note, Section, Table
from stages.report.wording import count, counted

RAW_LIMIT = 200


def section(data: Inputs) -> Section:
    read = data.ingest
    facts = [
        (count(read["rows_read"]), "rows read", ""),
        (count(read["rows_kept"]), "rows kept", "one for each user and item"),
        (count(read["rows_rejected"]), "rows refused", ""),
        (count(read["rows_repeated"]), "repeats", "the last row counts"),
        (count(read["users"]), "users", ""),
        (count(read["items"]), "items", ""),
        (wording.exact_percent(read["density"]), "density", "of all pairs have a row"),
    ]
    blocks: list[Block] = [Facts(facts)]
    if len(read["items_by_type"]) > 1:
        blocks.append(counts_figure("items-by-type", "Items by type", "items", by_count(read["items_by_type"])))
    too_few = read["rows_below_minimum_rating"] + read["rows_below_minimum_interactions"]
    if too_few:
        blocks.append(Note(f"{counted(too_few, 'row')} more left out by the minimum of ratings or of interactions."))
    return Section("data", "Data", [*blocks, *_refused(data)])


def _refused(data: Inputs) -> list[Block]:
    # The refused rows of the tables of features are among those that are listed.
    reasons: Counter[str] = Counter()
    for name in ("rows_rejected_by_reason", "item_rows_rejected_by_reason", "user_rows_rejected_by_reason"):
        reasons.update(data.ingest[name])
    if not reasons:
        return [Note("No row was refused.")]
    rows = [
        [
            wording.shortened(str(row["source"])),
            row["reason"],
            wording.shortened(row["raw"], RAW_LIMIT),
            count(row["line"]),
        ]
        for row in data.refused
    ]
    summary = f"The first {len(rows)} of the {counted(reasons.total(), 'refused row')}"
    return [
        counts_figure("refused", "Refused rows by reason", "rows", by_count(reasons)),
        Details(summary, [Table(["file", "reason", "text", "line"], rows, text_columns=3)]),
    ]


def by_count(counts: dict[str, int]) -> dict[str, int]:
    """The counts from the largest down, equal ones by name."""
    return dict(sorted(counts.items(), key=lambda pair: (-pair[1], pair)))


def counts_figure(name: str, title: str, unit: str, counts: dict[str, int]) -> Figure:
    """Horizontal bars of counts, in the order of the counts."""
    pairs = [(wording.shortened(key), value) for key, value in counts.items()]
    most, number = max(pairs, key=lambda pair: pair[1])
    return Figure(
        name,
        title,
        f"{count(number)} of {count(sum(counts.values()))} {unit} are “{most}”; {counted(len(pairs), 'kind')} in all.",
        charts.bars([{"name": key, "value": value} for key, value in pairs], [key for key, _ in pairs], ","),
        Table(["", unit], [[key, count(value)] for key, value in pairs]),
    )
