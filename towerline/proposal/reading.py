"""Dialect and column statistics of a raw file, by DuckDB's CSV sniffer and its readers."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import duckdb

from towerline.pipeline.errors import StageError
from towerline.proposal.encodings import BLOCK_CHARACTERS, decoded, encoding_of
from towerline.raw.files import RawFile, errors_of, identified
from towerline.raw.names import USUAL_NAMES, rank
from towerline.raw.values import DECIMAL_COMMA, ISO_8601, NUMBER

# DuckDB's sniffer tries comma, semicolon, tab and bar. With a colon the file `1::2::3` has an empty column between two.
OTHER_DELIMITERS = (":", " ")
# Different values are counted up to this number of rows, and estimated (HyperLogLog) beyond.
EXACT_ROWS = 1_000_000
MOST_EXAMPLES = 12
SETS = ("train", "validation", "test")


class Dialect(NamedTuple):
    """Values of `ingest.delimiter`, `ingest.quote`, `ingest.encoding` and `ingest.header`."""

    delimiter: str = ","
    quote: str = '"'
    encoding: str = "utf-8"
    header: bool = True


class Column(NamedTuple):
    """Statistics of a column over the rows that are not blank.

    Attributes:
      position: from 1.
      name: the name in the header; empty in a file without one.
      kind: DuckDB's type of a Parquet column, VARCHAR in delimited text.
      rows: number of rows.
      filled, numbers, times, decimal_commas, sets: numbers of rows with any text, a number, an ISO 8601 time, a number
        with a decimal comma, one of `train`, `validation` and `test`.
      distinct: number of different values, an estimate above EXACT_ROWS rows.
      least, most: range of the numbers, 0 where there is none.
      low: share of the numbers below the middle of that range.
      examples: some of the different values, where there are few.
    """

    position: int
    name: str
    kind: str
    rows: int
    filled: int
    numbers: int
    times: int
    decimal_commas: int
    sets: int
    distinct: int
    least: float
    most: float
    low: float
    examples: tuple[str, ...]

    @property
    def label(self) -> str | int:
        """The value for `ingest.columns`."""
        return self.name or self.position

    @property
    def counted(self) -> str:
        """The number of different values as text; an estimate is rounded to two digits."""
        return f"{self.distinct:,}" if self.rows <= EXACT_ROWS else f"about {float(f'{self.distinct:.1e}'):,.0f}"

    def nearly_all(self, number: int) -> bool:
        """True if ingest would not stop for the other rows (by the default ingest.max_rejected_share)."""
        return self.rows > 0 and number >= 0.99 * self.rows


class RawTable(NamedTuple):
    """A raw file as it was read.

    Attributes:
      path: of the file.
      dialect: of delimited text; None for Parquet.
      columns: in the order of the file.
      rows: number of rows that are not blank.
      blank_rows: number of rows whose fields are all blank.
      doubts: what the reader is unsure of, as sentences.
    """

    path: Path
    dialect: Dialect | None
    columns: tuple[Column, ...]
    rows: int
    blank_rows: int
    doubts: tuple[str, ...]


def read_table(path: Path, folder: Path) -> RawTable:
    """Reads a file of delimited text or Parquet, plain or gzipped.

    Args:
      path: of the file.
      folder: for uncompressed and decoded copies.

    Raises:
      StageError: the file cannot be read, or is no table.
    """
    file = identified(path)
    connection = duckdb.connect(
        config={
            "autoinstall_known_extensions": False,
            "autoload_known_extensions": False,
            "temp_directory": str(folder),
        }
    )
    with connection, errors_of(path):
        try:
            if file.parquet:
                return _parquet_table(connection, file, folder)
            return _text_table(connection, file, folder)
        except duckdb.Error as error:
            raise StageError(f"{path}: expected a table, found {' '.join(str(error).split())[:200]}") from None


def _parquet_table(connection: duckdb.DuckDBPyConnection, file: RawFile, folder: Path) -> RawTable:
    rows = connection.read_parquet(str(file.unpacked(folder)))
    columns, filled = _columns(connection, rows, rows.columns, [str(kind) for kind in rows.types])
    return RawTable(file.path, None, columns, filled, _count(rows) - filled, ())


def _text_table(connection: duckdb.DuckDBPyConnection, file: RawFile, folder: Path) -> RawTable:
    encoding, doubts = encoding_of(file)
    text = decoded(file, encoding, folder)
    sniffed = _sniffed(connection, text)
    delimiter, width = str(sniffed["Delimiter"]), len(sniffed["Columns"])
    quote = _quote(sniffed, text)
    _check_first_line(file.path, text, sniffed)

    def read(header: bool) -> duckdb.DuckDBPyRelation:
        return connection.read_csv(
            str(text),
            sep=delimiter,
            quotechar=quote,
            escapechar=quote,
            skiprows=sniffed["SkipRows"],
            header=header,
            columns={f"c{number}": "VARCHAR" for number in range(width)},
            auto_detect=False,
            ignore_errors=True,
        )

    lines = read(header=False)
    first = [value or "" for value in lines.limit(1).fetchone() or ()]
    header = _is_header(first, bool(sniffed["HasHeader"]), lines)
    rows = read(header)
    columns, filled = _columns(connection, rows, first if header else [""] * width, ["VARCHAR"] * width)
    dialect = Dialect(delimiter, quote, encoding, header)
    return RawTable(file.path, dialect, columns, filled, _count(rows) - filled, doubts)


def _is_header(first: Sequence[str], sniffed: bool, rows: duckdb.DuckDBPyRelation) -> bool:
    """True if the first row names the columns.

    Where all columns are text, DuckDB has no types to tell by and takes any row for names.
    """
    usual = sum(any(rank(role, name) is not None for role in USUAL_NAMES) for name in first)
    if usual >= 2:
        return True
    if not sniffed or any(cell.strip().replace(".", "").isdecimal() for cell in first):
        return False
    # A name of a column is not among its values.
    for number, name in enumerate(first):
        same = rows.filter(duckdb.ColumnExpression(f"c{number}") == duckdb.ConstantExpression(name))
        if _count(same) > 1:
            return False
    return True


def _sniffed(connection: duckdb.DuckDBPyConnection, text: Path) -> dict[str, Any]:
    """The row of sniff_csv(), with another delimiter where it finds one column."""
    path = str(text)
    try:
        sniffed = _row(connection.execute("FROM sniff_csv(?, sample_size=100000)", [path]))
    except duckdb.Error:
        sniffed = _row(connection.execute("FROM sniff_csv(?, sample_size=100000, ignore_errors=true)", [path]))
    if len(sniffed["Columns"]) == 1:
        query = "FROM sniff_csv(?, delim=?, sample_size=100000, ignore_errors=true)"
        for delimiter in OTHER_DELIMITERS:
            other = _row(connection.execute(query, [path, delimiter]))
            if len(other["Columns"]) > 1:
                return other
    return sniffed


def _row(query: duckdb.DuckDBPyConnection) -> dict[str, Any]:
    return dict(zip([entry[0] for entry in query.description], query.fetchone() or (), strict=True))


def _quote(sniffed: dict[str, Any], text: Path) -> str:
    """The sniffed quote; the usual one where no field begins with it, so that later files may use it."""
    delimiter, quote = str(sniffed["Delimiter"]), str(sniffed["Quote"])
    with text.open(encoding="utf-8", newline="") as file:
        block = f"\n{file.read(BLOCK_CHARACTERS)}\n"
    opening = {mark: sum(block.count(f"{edge}{mark}") for edge in ("\n", "\r", delimiter)) for mark in "\"'"}
    # An apostrophe is more often part of a word ('Til There Was You) than a quote.
    if quote == "'" and opening[quote] >= block.count("\n") // 2:
        return quote
    return '"' if quote == '"' or not opening['"'] else ""


def _check_first_line(path: Path, text: Path, sniffed: dict[str, Any]) -> None:
    """Raises StageError where ingest could not read the table that DuckDB finds in the file."""
    with text.open(encoding="utf-8") as file:
        lines = [file.readline(1000).strip() for _ in range(max(1, int(sniffed["SkipRows"]) + 1))]
    before = [line for line in lines[:-1] if line]
    if before:
        raise StageError(
            f"{path}: expected the table from line 1 on, found {before[0][:100]!r} before it; remove the first "
            f"{len(lines) - 1} lines"
        )
    if lines[-1].startswith('"') and '""' in lines[-1] and ';""' in lines[-1]:
        raise StageError(
            f"{path}: expected fields, found lines that are quoted as a whole: {lines[-1][:100]!r}; take off the outer "
            "quotes, and write one for two inside"
        )


def _columns(
    connection: duckdb.DuckDBPyConnection, rows: duckdb.DuckDBPyRelation, names: Sequence[str], kinds: Sequence[str]
) -> tuple[tuple[Column, ...], int]:
    """The statistics of the columns, and the number of rows that are not blank."""
    aliases = [f"c{number}" for number in range(len(names))]
    trimmed = (
        f"trim(CAST({_identifier(name)} AS VARCHAR)) AS {alias}"
        for name, alias in zip(rows.columns, aliases, strict=True)
    )
    texts = rows.project(", ".join(trimmed)).filter(" OR ".join(f"{alias} <> ''" for alias in aliases))
    # Read once, and counted once a column.
    texts.create("texts")
    texts = connection.table("texts")
    number = _count(texts)
    columns = (
        _column(texts, alias, number)._replace(position=position, name=name, kind=kind)
        for position, (alias, name, kind) in enumerate(zip(aliases, names, kinds, strict=True), 1)
    )
    return tuple(columns), number


def _column(texts: duckdb.DuckDBPyRelation, text: str, rows: int) -> Column:
    # Beyond 1e300 a number may be infinite as float64; no rating and no time is.
    number = f"CASE WHEN regexp_matches({text}, '{NUMBER}') THEN TRY_CAST({text} AS DOUBLE) END"
    value = f"CASE WHEN abs({number}) < 1e300 THEN {number} END"
    aggregates = {
        "filled": f"count(*) FILTER ({text} <> '')",
        "sets": f"count(*) FILTER ({text} IN {SETS})",
        "distinct": f"count(DISTINCT {text})" if rows <= EXACT_ROWS else f"approx_count_distinct({text})",
        "least": f"min({value})",
        "most": f"max({value})",
    }
    patterns = {"numbers": NUMBER, "times": ISO_8601, "decimal_commas": DECIMAL_COMMA}
    for name, pattern in patterns.items():
        aggregates[name] = f"count(*) FILTER (regexp_matches({text}, '{pattern}'))"
    results = texts.aggregate(", ".join(aggregates.values())).fetchone() or ()
    numbers = {name: 0 if result is None else result for name, result in zip(aggregates, results, strict=True)}
    middle = (numbers["least"] + numbers["most"]) / 2
    low = _count(texts.filter(f"({value}) < {middle!r}")) / max(numbers["numbers"], 1)
    examples: tuple[str, ...] = ()
    if numbers["distinct"] <= MOST_EXAMPLES:
        values = texts.filter(f"{text} <> ''").project(f"{text} AS value").distinct().order("value").fetchall()
        examples = tuple(str(row[0]) for row in values)
    return Column(position=0, name="", kind="", rows=rows, low=low, examples=examples, **numbers)


def _count(rows: duckdb.DuckDBPyRelation) -> int:
    return int((rows.aggregate("count(*)").fetchone() or (0,))[0])


def _identifier(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
