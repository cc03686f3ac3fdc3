"""Records of delimited text: equal to the csv module's where it is right, and lines that are the file's own."""

import csv
import gzip
import io
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stages import records
from stages.records import Dialect, read_records

FIELD = st.text(alphabet=st.sampled_from(list('ab,"\n; é☃')), max_size=6)


def flat(path: Path, dialect: Dialect | None = None) -> list[tuple[int, list[str], bool]]:
    """Line, fields and misquoted of every record."""
    found = []
    for block in read_records(path, dialect or Dialect()):
        fields, start = block.fields.to_pylist(), 0
        for line, count, misquoted in zip(block.line, block.num_fields, block.misquoted, strict=True):
            found.append((int(line), fields[start : start + count], bool(misquoted)))
            start += count
    return found


def texts(path: Path, text: str) -> list[tuple[int, list[str], bool]]:
    path.write_bytes(text.encode())
    return flat(path)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.lists(FIELD, min_size=3, max_size=3), min_size=1, max_size=8), st.integers(1, 40))
def test_what_the_csv_module_writes_is_read_back_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rows: list[list[str]], block: int
) -> None:
    monkeypatch.setattr(records, "BLOCK_CHARACTERS", block)
    written = io.StringIO()
    csv.writer(written, lineterminator="\n").writerows(rows)
    (tmp_path / "rows.csv").write_bytes(written.getvalue().encode())
    reader = csv.reader(io.StringIO(written.getvalue()))
    expected, line = [], 1
    for row in reader:
        expected.append((line, row, False))
        line = reader.line_num + 1
    assert flat(tmp_path / "rows.csv") == expected


def test_lines_are_those_of_the_file_after_blank_lines_and_fields_that_span_lines(tmp_path: Path) -> None:
    found = texts(tmp_path / "a.csv", '\na,b\n\n1,"x\ny"\n2,z')
    assert found == [(2, ["a", "b"], False), (4, ["1", "x\ny"], False), (6, ["2", "z"], False)]


@pytest.mark.parametrize("stray", ['3,"open', '3,12" disc', '3,12"'])
def test_a_stray_quote_costs_no_other_line(tmp_path: Path, stray: str) -> None:
    found = texts(tmp_path / "a.csv", f'a,b\n1,"x, y"\n{stray}\n4,"p ""q"""\n5,r\n')
    assert [(line, fields) for line, fields, _ in found if line != 3] == [
        (1, ["a", "b"]),
        (2, ["1", "x, y"]),
        (4, ["4", 'p "q"']),
        (5, ["5", "r"]),
    ]
    assert found[2] == (3, stray.split(","), stray == '3,"open')


def test_a_quote_that_is_never_closed_costs_its_line_in_a_file_larger_than_a_block(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(records, "BLOCK_CHARACTERS", 100)
    monkeypatch.setattr(records, "MAX_RECORD_BYTES", 300)
    found = texts(tmp_path / "a.csv", 'a,b\n1,"open\n' + "2,x\n" * 500)
    assert [line for line, _, _ in found] == list(range(1, 503))
    assert [misquoted for _, _, misquoted in found] == [False, True, *[False] * 500]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_all_line_ends_are_line_ends(tmp_path: Path, end: str) -> None:
    assert texts(tmp_path / "a.csv", f"a,b{end}1,2{end}") == [(1, ["a", "b"], False), (2, ["1", "2"], False)]


def test_encoding_gzip_byte_order_mark_and_bad_bytes(tmp_path: Path) -> None:
    path = tmp_path / "a.csv.gz"
    path.write_bytes(gzip.compress("né;x\n".encode("cp1252")))
    assert flat(path, Dialect(";", '"', "cp1252")) == [(1, ["né", "x"], False)]
    assert texts(tmp_path / "b.csv", "\ufeffa,b\n") == [(1, ["a", "b"], False)]
    (tmp_path / "c.csv").write_bytes(b"\xdf,b\n")
    assert flat(tmp_path / "c.csv") == [(1, ["\ufffd", "b"], False)]


def test_without_a_quote_character_quotes_are_text(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(b'"a\t"b"\n')
    assert flat(tmp_path / "a.csv", Dialect("\t", "")) == [(1, ['"a', '"b"'], False)]
