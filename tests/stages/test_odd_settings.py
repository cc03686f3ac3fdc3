"""Law 10 for anything that can stand in params.yaml: it is taken, or refused in one line."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.stages.conftest import PARAMS, SECTIONS
from towerline.pipeline.errors import StageError
from towerline.training.params import TrainParams

# Values of a key, as YAML, that people, scripts and accidents produce.
NASTY = (
    r"""
null | ~ | true | no | 0 | -1 | -0.0 | 1 | 2 | 0.5 | 1e-3 | .nan | .inf | -.inf | 1e400 | 1e-320 | 1e30 | 1_000 | 0x10
100000000000000000000 | 18446744073709551616 | -9223372036854775809 | 4294967296 | 0o7 | 1:30:00 | 2020-01-01
2020-13-45 | '' | "\0" | "\ud800" | "\n" | "a\nb" | "\r" | "\u2028" | "\x7f" | ' ' | é | []
[[]] | [1, [2, [3]]] | [null] | {} | {a: 1} | {1: 2} | {[1]: 2} | {'a\nb': 1} | ? x | &a [*a] | &b {b: *b} | [5, 5]
[everything, everything] | !!int abc | !!float abc | !!bool maybe | !!binary YQ== | !!binary x! | !!timestamp x
!!set {x} | !!omap [1] | !!python/object:os.system x | !x y | *nowhere | << | {<<: 1} | %x | @x | `x | - 1 | : 1 | {
&c [&d [x,x,x,x,x,x,x,x,x], &e [*d,*d,*d,*d,*d,*d,*d], &f [*e,*e,*e,*e,*e,*e,*e], &g [*f,*f,*f,*f,*f,*f], [*g,*g,*g,*g]]
""".strip()
    .replace("\n", " | ")
    .split(" | ")
)

NASTY += ["", "'x", "\t1", "\0", "\x07", "x" * 5000, "'" + "é" * 300 + "'", "[" * 90 + "]" * 90]

NASTY += [f"0x{'f' * 3000}", f"0x{'f' * 9000}", "9" * 4000, "9" * 5000, f"1e-{'9' * 400}", str(list(range(1, 99)))]


def keys(content: dict[str, Any], *above: str) -> Iterator[tuple[str, ...]]:
    """The path of every section, every parameter and every group of parameters."""
    for name, value in content.items():
        yield (*above, name)
        if isinstance(value, dict):
            yield from keys(value, *above, name)


def with_value(path: tuple[str, ...], value: str) -> str:
    """The key's section in flow style, with the value in place of the key's."""

    def written(content: Any, *above: str) -> str:
        if above == path:
            return value
        if isinstance(content, dict):
            return "{" + ", ".join(f"{name}: {written(entry, *above, name)}" for name, entry in content.items()) + "}"
        return json.dumps(content)

    return f"{path[0]}: {written(PARAMS[path[0]], path[0])}"


@pytest.mark.parametrize("path", list(keys(PARAMS)), ids=".".join)
def test_any_value_is_taken_or_refused_in_one_line(tmp_path: Path, path: tuple[str, ...]) -> None:
    file = tmp_path / "params.yaml"
    for value in NASTY:
        file.write_text(with_value(path, value), encoding="utf-8")
        try:
            SECTIONS[path[0]].load(file)
        except StageError as error:
            line = str(error)
            assert line.startswith(f"{file}: "), (value, line)
            assert line.isprintable(), (value, line)
            assert len(line) < len(str(file)) + 500, (value, line)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"train: {}\nsplit: \xff\n", "line 2: expected UTF-8, found the byte 0xff"),
        (b"train: \0", "line 1: expected printable text, found U+0000"),
        (b"", "expected sections of parameters, found null"),
        (b"- train", "expected sections of parameters, found ['train']"),
        (b"[" * 5000 + b"]" * 5000, "expected sections of parameters, found values nested too deep to read"),
        (b"split:\n train: !!int abc", "line 2: expected a value that can be read as !!int, found 'abc'"),
        (b"split: 1\n\ntrain: 2020-13-45", "line 3: expected a value that can be read as !!timestamp, found '2020-13"),
        (b"train: {}\ntrain: {}", 'line 2: while constructing a mapping, found duplicate key "train"'),
        (
            b"train:\n\tseed: 1",
            "line 2: while scanning for the next token, found character '\\t' that cannot start any token",
        ),
        (b"--- {}\n--- {}", "expected a single document in the stream"),
    ],
    ids=lambda value: str(value)[:20],
)
def test_a_file_that_is_no_yaml_is_said_in_one_line(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "params.yaml").write_bytes(content)
    with pytest.raises(StageError) as raised:
        TrainParams.load(tmp_path / "params.yaml")
    assert message in str(raised.value)
    assert str(raised.value).isprintable()
