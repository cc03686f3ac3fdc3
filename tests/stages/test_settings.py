"""Law 10: an error in params.yaml is one line, with the parameter, what is allowed, and what came."""

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ruamel.yaml import YAML

from stages import rules
from stages.split.params import SplitParams
from stages.train.__main__ import check_data
from tests.conftest import ROOT, run, set_params
from towerline.artifacts.split import Interactions
from towerline.pipeline.errors import StageError
from towerline.pipeline.settings import Section
from towerline.training.params import TrainParams

SECTIONS: dict[str, type[Section]] = {model.section: model for model in rules.SECTIONS}
PARAMS = (ROOT / "params.yaml").read_text(encoding="utf-8")
CONTENT: dict[str, Any] = YAML(typ="safe").load(PARAMS)


def test_the_sections_of_the_committed_params_are_those_of_the_models_and_valid() -> None:
    assert list(SECTIONS) == list(CONTENT)
    for model in SECTIONS.values():
        assert isinstance(model.load(ROOT / "params.yaml"), model)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("temperature: null", "temperature: warm", "train.temperature: expected a number, found 'warm'"),
        (
            "temperature: null",
            "temperature: -0.1",
            "train.temperature: expected a number from 0.001 to 1000, found -0.1",
        ),
        ("temperature: null", "temperature: .nan", "train.temperature: expected a finite number, found nan"),
        ("epochs: 10", "epochs: 2.5", "train.epochs: expected an integer, found 2.5"),
        ("epochs: 10", "epochs: true", "train.epochs: expected an integer, found True"),
        (
            "optimizer: adagrad",
            "optimizer: adamw",
            "train.optimizer: expected one of 'adagrad', 'adam' or 'sgd', found 'adamw'",
        ),
        (
            "temperature: null",
            "temprature: 0.2",
            "train.temprature: unknown parameter, did you mean temperature?; allowed: embedding_dimension,",
        ),
        ("  epochs: 10\n", "", "train.epochs: expected a value, found none; add it to params.yaml"),
        ("rating_weight: 0.03", "rating_weight: 0\n  retrieval_weight: 0", "expected at least one above 0"),
        (
            "train:\n  #",
            "trian:\n  #",
            "'trian': unknown section, did you mean train?; allowed: ingest, split, train, refit, baselines,",
        ),
        (
            "    item_type: item_type",
            "    item_type: 0",
            "ingest.columns.item_type: expected text or a number from 1 to 100000, found 0",
        ),
        *(
            (
                "encoding: utf-8",
                f"encoding: {name}",
                f"ingest.encoding: expected a name of an encoding in which Python reads text files, such as utf-8, "
                f"latin-1 or utf-16, found '{name}'",
            )
            for name in ("klingon", "rot13", "idna", "base64", "undefined")
        ),
        ("    user_id: user_id", "    user_id: 1", "ingest.columns.user_id: expected a column's name"),
        (
            'delimiter: ","',
            'delimiter: "::"',
            "ingest.delimiter: expected one ASCII character that ends no line, found '::'",
        ),
        ("  train: 0.8", "  train: 5000", "split.train, validation, test: expected all sizes as counts"),
        ("  train: 0.8", "  train: 0.9", "split.train, validation, test: expected fractions that sum to at most 1"),
        ("cutoffs: [5,", "cutoffs: [0,", "evaluate.cutoffs.0: expected a number from 1 to 1000, found 0"),
        ("csv: false", "csv: no", "export.csv: expected true or false, found 'no'"),
        ("train:\n", "train: [\n", "params.yaml: line"),
        # Values that went through and ended later stages in a traceback, or in a segmentation fault.
        (
            "patience: 3\n  seed: 42",
            "patience: 3\n  seed: 4294967296",
            "train.seed: expected a number from 0 to 4294967295",
        ),
        (
            "embeddings of iALS.\n  seed: 42",
            "embeddings of iALS.\n  seed: 18446744073709551616",
            "baselines.seed: expected a number from 0 to",
        ),
        (
            "cutoffs: [5, 10,",
            "cutoffs: [5, 100000000000000000000,",
            "evaluate.cutoffs.1: expected a number from 1 to 1000",
        ),
        ("cutoffs: [5, 10,", "cutoffs: [5, 5,", "evaluate.cutoffs: expected values that differ from each other"),
        ("samples: 1000", "samples: 1.0e+26", "evaluate.bootstrap_samples: expected an integer"),
        (
            "samples: 1000",
            "samples: 100000000000000",
            "evaluate.bootstrap_samples: expected a number from 100 to 100000",
        ),
        ("threads: 2", "threads: 1000000000", "train.threads: expected a number from 1 to 256, found 1000000000"),
        ("dimension: 128", "dimension: 1000000000", "train.embedding_dimension: expected a number from 1 to 4096"),
        # Values that are each valid but not together.
        (
            'delimiter: ","',
            "delimiter: '\"'",
            "ingest.quote: expected another character than delimiter, found '\"' for both",
        ),
        ('delimiter: ","', 'delimiter: "\\r"', "ingest.delimiter: expected one ASCII character that ends no line"),
        (
            "rating: rating",
            "rating: user_id",
            "ingest.columns.rating: expected a separate column, found 'user_id', which",
        ),
        (
            "allowed_rating: 0",
            "allowed_rating: 11",
            "ingest.minimum_allowed_rating: expected at most maximum_allowed_rating, 10",
        ),
        (
            "minimum_rating: null",
            "minimum_rating: 11",
            "ingest.minimum_rating: expected at most maximum_allowed_rating, 10",
        ),
        ("train: 0.8", "train: 0", "split.train: expected a size above 0 where method is random, found 0"),
        ("source: data/raw/preferences.csv.gz", "source: null", "ingest.source: expected text, found null"),
    ],
)
def test_a_wrong_value_is_named_with_what_is_allowed(tmp_path: Path, old: str, new: str, message: str) -> None:
    text = (ROOT / "params.yaml").read_text()
    assert old in text
    if "retrieval_weight" in new:
        text = text.replace("  retrieval_weight: 1.0\n", "")
    path = tmp_path / "params.yaml"
    path.write_text(text.replace(old, new, 1))
    # Every stage that may run first refuses it.
    for model in SECTIONS.values():
        with pytest.raises(StageError) as raised:
            model.load(path)
        assert message in str(raised.value)
        assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"split.method": "column"},
            "ingest.columns.split: expected the column that split.method column needs, found null; set it to this "
            "column, or set split.method to random",
        ),
        (
            {"split.method": "leave_last_out", "ingest.columns.timestamp": None},
            "ingest.columns.timestamp: expected the column that split.method leave_last_out needs, found null; set it",
        ),
        (
            {"ingest.columns.rating": None},
            "train.rating_weight: expected 0 where ingest.columns.rating is null, found 0.03; set it to 0, or name the",
        ),
        (
            {"split.validation": 0, "split.validation_share": 0.0, "train.popularity_prior": 0.5},
            "split.validation_share: expected validation rows for train.early_stopping_patience 3 and "
            "train.temperature null, found none, since split.validation and split.validation_share are 0; set "
            "split.validation_share above 0, or set train.early_stopping_patience to 0 and",
        ),
    ],
)
def test_sections_that_do_not_fit_together_are_refused_by_the_first_stage(
    tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    (tmp_path / "params.yaml").write_text(PARAMS)
    set_params(tmp_path, changes)
    for model in SECTIONS.values():
        with pytest.raises(StageError, match=re.escape(f"params.yaml: {message}")):
            model.load(tmp_path / "params.yaml")


def test_a_file_with_the_section_of_one_stage_alone_is_enough_for_it(tmp_path: Path) -> None:
    (tmp_path / "params.yaml").write_text("split:" + PARAMS.partition("\nsplit:")[2].partition("\ntrain:")[0])
    assert SplitParams.load(tmp_path / "params.yaml") == SplitParams.load(ROOT / "params.yaml")
    with pytest.raises(StageError, match="expected a section 'train', found split"):
        TrainParams.load(tmp_path / "params.yaml")


def part(*rows: tuple[int, int], ratings: bool = False) -> Interactions:
    user, item = np.array(rows, np.int32).reshape(-1, 2).T
    return Interactions(user, item, np.ones(len(rows), np.float32) if ratings else None, 9, 9)


@pytest.mark.parametrize(
    ("train", "validation", "message"),
    [
        (part((1, 1)), part((1, 2)), "train.rating_weight: expected 0 since data/split/train.parquet has no ratings"),
        (
            part((1, 1), ratings=True),
            part(),
            "found none, since data/split/validation.parquet has no rows; set split.validation_share above 0, or set",
        ),
        (
            part((1, 1), ratings=True),
            part((2, 1)),
            "no user of data/split/validation.parquet has rows in data/split/train.parquet; set split.method to random",
        ),
    ],
    ids=["no ratings", "no validation rows", "no known validation users"],
)
def test_train_says_what_its_data_cannot_serve(train: Interactions, validation: Interactions, message: str) -> None:
    with pytest.raises(StageError, match=re.escape(message)):
        check_data(TrainParams.load(ROOT / "params.yaml"), train, validation)


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

    return f"{path[0]}: {written(CONTENT[path[0]], path[0])}"


@pytest.mark.parametrize("path", list(keys(CONTENT)), ids=".".join)
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


def test_numbers_are_read_as_dvc_reads_them(tmp_path: Path) -> None:
    text = (ROOT / "params.yaml").read_text()
    (tmp_path / "params.yaml").write_text(text.replace("temperature: null", "temperature: 2e-1"))
    assert TrainParams.load(tmp_path / "params.yaml").temperature == 0.2


def test_a_stage_ends_with_one_line_and_exit_code_1(workspace: Path) -> None:
    text = (workspace / "params.yaml").read_text()
    (workspace / "params.yaml").write_text(text.replace("max_rejected_share: 0.01", "max_rejected_share: 2"))
    done = run(workspace, sys.executable, "-m", "stages.ingest", check=False, PYTHONPATH=str(ROOT))
    assert done.returncode == 1
    assert done.stderr == ("ingest: params.yaml: ingest.max_rejected_share: expected a number from 0 to 1, found 2\n")
    assert done.stdout == ""
