"""Seconds of CPU to read delimited text into columns with the line of each row: Towerline, and Python's csv module.

After a misquoted field, csv continues without an error, and its rows differ there.

python -m benchmarks.reading [rows]
"""

import csv
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa

from stages.ingest.delimited import read_records
from stages.ingest.records import Dialect

ROWS = 3_000_000
SHARE_STRAY = 0.01
ROUNDS = 3


def line(user: int, item: int, stray: bool, quoted: bool, mark: str) -> str:
    fields = [f"source:{user}", mark.replace("?", str(item)) if stray else str(item), "movie"]
    if quoted:
        fields = [f'"{field}"' for field in fields]
    return ",".join(fields) + "\n"


def write(path: Path, rows: int, quoted: bool, mark: str) -> None:
    """Writes made-up rows; in one of a hundred the item is written as in `mark`, with the item in place of "?"."""
    draw = np.random.default_rng(1)
    users, items = draw.integers(0, 600_000, rows).tolist(), draw.integers(0, 600_000, rows).tolist()
    strays = (draw.random(rows) < SHARE_STRAY).tolist()
    with path.open("w") as file:
        for user, item, stray in zip(users, items, strays, strict=True):
            file.write(line(user, item, stray, quoted, mark))


def read_ours(path: Path) -> int:
    with path.open("rb") as file:
        blocks = [
            (records.line, *(records.column(position, 3) for position in range(3)))
            for records in read_records(file, Dialect())
        ]
    return sum(len(lines) for lines, *_ in blocks)


def read_csv(path: Path) -> int:
    """Appends row by row, as csv yields them, to the same columns."""
    lines: list[int] = []
    columns: list[list[str]] = [[], [], []]
    with path.open(newline="") as file:
        reader = csv.reader(file)
        for row in reader:
            lines.append(reader.line_num)
            for column, field in zip(columns, row, strict=False):
                column.append(field)
    arrays = [np.array(lines), *(pa.array(column) for column in columns)]
    return len(arrays[0])


def seconds(read: Callable[[Path], int], path: Path) -> float:
    start = time.process_time()
    read(path)
    return time.process_time() - start


def main() -> None:
    rows = int(sys.argv[1]) if len(sys.argv) > 1 else ROWS
    print(f"| {rows:,} rows | Towerline, seconds of CPU (median of {ROUNDS}, least, most) | csv.reader |")
    print("| --- | --- | --- |")
    texts = {
        "nothing quoted": (False, "?"),
        "all quoted": (True, "?"),
        '1 % of rows with an inch mark, as in `Disk 5" x`': (False, 'Disk ?" x'),
        "1 % of rows with a quote that is never closed": (False, '"?'),
        "all quoted, 1 % of rows with a quote within": (True, 'Disk ?" x'),
    }
    with tempfile.TemporaryDirectory() as folder:
        for name, (quoted, mark) in texts.items():
            path = Path(folder, "rows.csv")
            write(path, rows, quoted, mark)
            ours = sorted(seconds(read_ours, path) for _ in range(ROUNDS))
            shown = f"{ours[ROUNDS // 2]:.2f} ({ours[0]:.2f}, {ours[-1]:.2f})"
            print(f"| {name} | {shown} | {seconds(read_csv, path):.2f} |", flush=True)


if __name__ == "__main__":
    main()
