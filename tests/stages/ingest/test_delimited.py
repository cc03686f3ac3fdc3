"""Records of delimited text: equal to the csv module's where nothing is misquoted, and no line is lost or made up."""

import csv
import io
import re
from collections.abc import Iterator
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.ingest import delimited, quoting
from stages.ingest.delimited import read_records
from stages.ingest.records import Dialect
from towerline.raw.files import LineTooLongError

LINE = re.compile(r"[^\r\n]*(?:\r\n|\n|\r)|[^\r\n]+\Z")
# Any text, and the places where quotes, delimiters and line ends meet much more often than chance would have it.
PIECES = [
    "a",
    "b",
    ",",
    '"',
    '""',
    "\n",
    "\r\n",
    "\r",
    '","',
    '"\n',
    '\n"',
    "é",
    "☃",
    " ",
    'x"y',
    '",\n"',
    "\x00",
    "\ufeff",
]
TEXTS = st.lists(st.sampled_from(PIECES), max_size=60).map("".join)
BYTES = st.one_of(
    TEXTS.map(str.encode), st.binary(max_size=60), st.lists(st.sampled_from([b"\xff", b'"', b",", b"\n"])).map(b"".join)
)
BLOCKS = st.sampled_from([1, 2, 7, 31, 1 << 20])
LIMITS = st.sampled_from([10, 40, 1 << 18])


class Record(NamedTuple):
    line: int
    num_lines: int
    raw: str
    fields: list[str]
    misquoted: bool


def read(data: bytes, block: int = 1 << 20, limit: int = 1 << 18, dialect: Dialect | None = None) -> list[Record]:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(delimited, "BLOCK_CHARACTERS", block)
        patched.setattr(quoting, "MAX_RECORD_BYTES", limit)
        return list(flat(data, dialect or Dialect()))


def flat(data: bytes, dialect: Dialect) -> Iterator[Record]:
    for found in read_records(io.BytesIO(data), dialect):
        fields, start = found.fields.to_pylist(), 0
        columns = (found.line, found.num_lines, found.raw.to_pylist(), found.num_fields, found.misquoted)
        for line, num_lines, raw, count, misquoted in zip(*columns, strict=True):
            yield Record(int(line), int(num_lines), raw, fields[start : start + count], bool(misquoted))
            start += count
        assert start == len(fields)


def without_end(text: str) -> str:
    return text.removesuffix("\n").removesuffix("\r") if text.endswith("\n") else text.removesuffix("\r")


def read_with_csv(text: str, limit: int) -> list[Record]:
    """The slow twin: Python's reader in strict mode from each line on, one record at a time."""
    lines = LINE.findall(text)
    if lines and lines[-1][-1] not in "\r\n":
        lines[-1] += "\n"
    found, number = [], 0
    while number < len(lines):
        reader = csv.reader(iter(lines[number:]), strict=True)
        try:
            fields = next(reader)
            num_lines = reader.line_num
            misquoted = num_lines > 1 and len("".join(lines[number : number + num_lines]).encode()) > limit
        except csv.Error:
            misquoted = True
        if misquoted:
            fields, num_lines = [], 1
        if raw := without_end("".join(lines[number : number + num_lines])):
            found.append(Record(number + 1, num_lines, raw, fields, misquoted))
        number += num_lines
    return found


def check_equal_to_csv(text: str, block: int, limit: int) -> None:
    got = [record._replace(fields=[]) if record.misquoted else record for record in read(text.encode(), block, limit)]
    assert got == read_with_csv(text.removeprefix("\ufeff"), limit)


def check_every_line_is_in_one_record(data: bytes, block: int, limit: int) -> None:
    text = data.decode(errors="replace").removeprefix("\ufeff")
    lines = [without_end(line) for line in LINE.findall(text)]
    found = read(data, block, limit)
    covered = [number for record in found for number in range(record.line, record.line + record.num_lines)]
    assert covered == sorted(set(covered))
    assert all(lines[number - 1] == "" for number in set(range(1, len(lines) + 1)) - set(covered))
    for record in found:
        inside = LINE.findall(text)[record.line - 1 : record.line - 1 + record.num_lines]
        assert record.raw == without_end("".join(inside))
    assert found == read(data, 1 << 20, limit), "the outcome depends on the size of a block"


test_records_are_those_of_the_csv_module = given(TEXTS, BLOCKS, LIMITS)(check_equal_to_csv)
test_every_line_is_in_one_record = given(BYTES, BLOCKS, LIMITS)(check_every_line_is_in_one_record)


@pytest.mark.slow
def test_campaign_of_100_000_cases() -> None:
    for check, cases in ((check_equal_to_csv, TEXTS), (check_every_line_is_in_one_record, BYTES)):
        settings(max_examples=50_000, derandomize=False, database=None)(given(cases, BLOCKS, LIMITS)(check))()


def test_a_quote_within_an_unquoted_field_is_text() -> None:
    data = b'1,Disk 5" x,m\n2,plain,m\n3,LP 12",m\n4,"12"" LP",m\n'
    assert [record.fields[1] for record in read(data)] == ['Disk 5" x', "plain", 'LP 12"', '12" LP']
    assert not any(record.misquoted for record in read(data))


def test_a_quoted_record_over_two_lines_is_one_record_whatever_its_fields() -> None:
    found = read(b'a,b,c\n1,"k\nm",c,movie,8,5\n2,3,4\n')
    assert [(record.line, record.num_lines, len(record.fields)) for record in found] == [
        (1, 1, 3),
        (2, 2, 6),
        (4, 1, 3),
    ]


@pytest.mark.parametrize("stray", ['3,"open', '3,"open" x', '3,"op"en"', '"3"x,"y"'])
def test_a_misquoted_field_costs_its_own_line_only(stray: str) -> None:
    found = read(f'a,b\n1,"x, y"\n{stray}\n4,"p ""q"""\n5,r\n'.encode())
    assert [(record.line, record.misquoted) for record in found] == [(n, n == 3) for n in range(1, 6)]
    assert found[3].fields == ["4", 'p "q"']


def test_a_record_beyond_the_limit_is_misquoted_though_its_quote_is_closed() -> None:
    """Behind an odd line, so that lines are looked at one by one."""
    check_equal_to_csv('a,"b\n1,"xxxxxxxxxxx\nyyyyyyyyyyyy\nz"\n', 1 << 20, 20)


def test_line_ends_within_quotes_are_kept() -> None:
    (record,) = read(b'1,"a\r\nb\rc\nd"\r\n')
    assert (record.num_lines, record.fields) == (4, ["1", "a\r\nb\rc\nd"])


# Each of these took time in proportion to the square of its size where every stray quote had the rest read again.
@pytest.mark.parametrize("line", ['x","y\n', '5,"open\n', ',"""\n', '5,"a ""b""\n'])
def test_time_is_linear_in_the_number_of_stray_quotes(line: str) -> None:
    steps = []
    walk = quoting._LineByLine._walk

    def counted(*arguments: object, **keywords: object) -> bool | None:
        steps.append(1)
        return walk(*arguments, **keywords)  # type: ignore[arg-type]

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(quoting._LineByLine, "_walk", counted)
        assert sum(record.num_lines for record in read(line.encode() * 20_000)) == 20_000
    assert len(steps) < 5 * 20_000


@pytest.mark.parametrize(
    ("data", "encoding"),
    [
        ("né;x\n".encode("cp1252"), "cp1252"),
        *(("\ufeffné;x\n".encode(name), name) for name in ("utf-8", "U8", "utf-8-sig", "utf-16-le", "utf-32-be")),
        ("né;x\n".encode("utf-16"), "utf-16"),
    ],
)
def test_encodings_and_byte_order_marks(data: bytes, encoding: str) -> None:
    assert read(data, dialect=Dialect(";", '"', encoding))[0].fields == ["né", "x"]


def test_bytes_that_are_not_valid_become_the_replacement_character() -> None:
    assert read(b"\xdf,b\n")[0].fields == ["\ufffd", "b"]


def test_without_a_quote_character_quotes_are_text() -> None:
    assert read(b'"a\t"b"\n', dialect=Dialect("\t", ""))[0].fields == ['"a', '"b"']


def test_a_line_too_long_to_be_one_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delimited, "MAX_LINE_BYTES", 1000)
    with pytest.raises(LineTooLongError, match="line 2: longer than 1,000 bytes"):
        read(b"a,b\n" + b"x" * 2000, block=100)
