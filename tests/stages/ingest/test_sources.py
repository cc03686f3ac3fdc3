"""Files and folders of rows, and one line that names a file that cannot be read."""

from pathlib import Path

import pyarrow as pa
import pytest

from stages.ingest.sources import guessed
from tests.conftest import set_params, write_rows
from tests.stages.conftest import Ingest
from tests.stages.ingest.conftest import HEADER_LINE, parquet, row, zipped
from towerline.pipeline.errors import StageError


def damaged_pages() -> bytes:
    content = parquet(user_id=pa.array(["1" * 99]))
    return content[:4] + b"\xff" * 60 + content[64:]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv.gz", zipped(HEADER_LINE * 9999)[:-99], "expected gzip, found .*copy the file again"),
        ("a.csv.gz", zipped(HEADER_LINE)[:12] + b"\xff" * 40, "expected gzip, found .*copy the file again"),
        ("a.csv.gz", zipped(HEADER_LINE)[:10] + b"\xff" * 40, "expected gzip, found .*copy the file again"),
        ("a.csv", zipped(zipped(HEADER_LINE)), "found a file that is gzipped twice"),
        ("a.parquet", parquet()[:500], "expected whole Parquet, found Parquet magic bytes not found"),
        ("a.PARQUET", b"garbage", r"expected Parquet, as its name says, found a file that starts with b'garbage'"),
        ("a.pq", HEADER_LINE, "expected Parquet, as its name says"),
        ("a.parquet", b"", "found an empty file"),
        ("a.csv", b"\n\n", "expected rows, found nothing but blank lines"),
        (
            "a.csv",
            HEADER_LINE.decode().encode("utf-16"),
            "found binary data; .* set ingest.encoding, perhaps to utf-16",
        ),
        ("a.csv.zip", b"PK\x03\x04xxxx", "found a zip archive or an Excel file; unpack it, or convert it to CSV"),
        ("a.csv.bz2", b"BZh91AY", "found a bzip2 file; unpack it"),
        ("a.csv", b'\xef\xbb\xbf\n{ "user_id": "1"}\n', "found JSON; unpack it, or convert it to CSV or Parquet"),
        ("a.json.gz", zipped(b'[{"user_id": "1"}]'), "found JSON; .*convert it to CSV or Parquet"),
        ("a.csv", b"<!DOCTYPE html><p>moved", "found HTML or XML; .*convert it"),
        ("a.csv", b"%PDF-1.7 ", "found a PDF file; .*convert it"),
        ("a.parquet", damaged_pages(), "expected whole Parquet, found .*; write the file again"),
        (
            "a.parquet",
            parquet().replace(b"rating", b"Rating"),
            "expected one column 'rating' for rating, found 5 columns: .*; set ingest.columns.rating to 'Rating'",
        ),
        (
            "a.parquet",
            parquet(item_xx=pa.array(["a"])).replace(b"item_xx", b"item_id"),
            "expected one column 'item_id' for item_id, found 6 columns: .*; rename all of that name but one$",
        ),
        (
            "a.parquet",
            parquet(user_id=pa.array([1.0])),
            r"expected text or integers for user_id, found double; write it with .astype\('Int64'\) or",
        ),
        (
            "a.parquet",
            parquet(rating=pa.array([[1.0]])),
            "column 'rating': expected numbers or text for rating, found list",
        ),
        (
            "a.parquet",
            parquet(timestamp=pa.array([1], pa.duration("s"))),
            "expected numbers, times or text for timestamp",
        ),
        (
            "a.parquet",
            parquet(timestamp=pa.array([1], pa.timestamp("us", "Mars/Olympus"))),
            "expected numbers, found timestamp.*; set ingest.timestamp_format to iso8601",
        ),
        ("a.parquet", parquet(part=pa.array([["a"]])), "column 'part': expected text for split, found list"),
        (
            "no such.csv",
            None,
            "expected the file or folder that ingest.source names, found none; correct ingest.source",
        ),
        ("folder", None, "expected at least one file in the folder that ingest.source names, found none"),
    ],
)
def test_a_file_that_cannot_be_read_is_named_in_one_line(
    workspace: Path, ingest: Ingest, name: str, content: bytes | None, message: str
) -> None:
    from stages.ingest import __main__ as stage

    path = workspace / "data/raw" / name
    if content is not None:
        path.write_bytes(content)
    elif name == "folder":
        path.mkdir()
    part = "part" if b"part" in (content or b"") else None
    set_params(workspace, {"ingest.source": f"data/raw/{name}", "ingest.columns.split": part})
    with pytest.raises(StageError, match=f"^data/raw/{name}: .*{message}") as raised:
        stage.main()
    assert "\n" not in str(raised.value)
    assert name.endswith(".csv") or " line " not in str(raised.value)


def test_what_spark_writes_beside_its_parts_is_not_read(workspace: Path, ingest: Ingest) -> None:
    from stages.ingest import __main__ as stage

    write_rows(workspace / "data/raw/many/part-0.csv", [row("1", "a")])
    for name in ("_SUCCESS", "_committed_1", ".part-0.csv.crc"):
        (workspace / "data/raw/many" / name).write_bytes(b"")
    (workspace / "data/raw/many/_delta_log").mkdir()
    set_params(workspace, {"ingest.source": "data/raw/many"})
    assert "1 rows read" in stage.main()
    (workspace / "data/raw/many/README").write_text("About the rows")
    with pytest.raises(StageError, match=r"^data/raw/many/README: line 1: expected one column 'user_id'"):
        stage.main()


def test_a_folder_within_the_source_folder_is_not_skipped_in_silence(workspace: Path, ingest: Ingest) -> None:
    from stages.ingest import __main__ as stage

    write_rows(workspace / "data/raw/many/1.csv", [row("1", "a")])
    write_rows(workspace / "data/raw/many/old/2.csv", [row("2", "a")])
    set_params(workspace, {"ingest.source": "data/raw/many"})
    with pytest.raises(StageError, match=r"^data/raw/many/old: expected only files in data/raw/many, found a folder"):
        stage.main()


def test_a_file_name_that_is_not_utf_8_is_refused(workspace: Path, ingest: Ingest) -> None:
    from stages.ingest import __main__ as stage

    write_rows(workspace / "data/raw/many/caf\udce9.csv", [row("1", "a")])
    set_params(workspace, {"ingest.source": "data/raw/many"})
    with pytest.raises(StageError, match=r"^data/raw/many/caf\udce9\.csv: expected a name in UTF-8, .*; rename it$"):
        stage.main()


@pytest.mark.parametrize(
    ("encoding", "message"),
    [
        ("utf-16", "UTF-16 stream does not start with BOM; set ingest.encoding to utf-16-le or utf-16-be, or"),
        ("utf-32", "UTF-32 stream does not start with BOM; set ingest.encoding to utf-32-le or utf-32-be, or"),
    ],
)
def test_an_encoding_that_cannot_read_the_file_is_named(ingest: Ingest, encoding: str, message: str) -> None:
    with pytest.raises(StageError, match=f"^data/raw/preferences.csv: .*{message}"):
        ingest([row("1", "a")], **{"ingest.encoding": encoding})


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("width", [1, 700])
def test_the_rows_of_text_are_guessed_from_the_length_of_its_lines(tmp_path: Path, end: str, width: int) -> None:
    lines = [f"{user},{user % 97},{'x' * width}" for user in range(30_000)]
    path = tmp_path / "rows.csv"
    path.write_bytes(end.join([*lines, ""]).encode())
    guess = guessed(path, "ingest.source")
    assert guess.num_rows == pytest.approx(30_000, rel=0.1)
    assert guess.width == pytest.approx(width + 9, abs=3)
    (tmp_path / "rows.csv.gz").write_bytes(zipped(path.read_bytes()))
    path.unlink()
    assert guessed(tmp_path, "ingest.source").num_rows > 0
