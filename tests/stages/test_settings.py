"""Law 10: an error in params.yaml is one line, with the parameter, what is allowed, and what came."""

import sys
from pathlib import Path

import pytest

from stages.split.params import SplitParams
from tests.conftest import ROOT, run
from tests.stages.conftest import PARAMS, SECTIONS
from towerline.pipeline.errors import StageError
from towerline.training.params import TrainParams


def test_the_sections_of_the_committed_params_are_those_of_the_models_and_valid() -> None:
    assert list(SECTIONS) == list(PARAMS)
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
        (
            "master: null",
            "master: duckdb",
            "engine.master: expected null for DuckDB, or the URL of a Spark master such as spark://host:7077 or "
            "local[4], found 'duckdb'",
        ),
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
            "'trian': unknown section, did you mean train?; allowed: ingest, split, dislikes, train, refit,",
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
        (
            "method: random",
            "method: cold_type",
            "split.cold_type: expected an item type where method is cold_type, found null; set it to one",
        ),
        (
            "cold_type: null",
            "cold_type: book",
            "split.cold_type: expected null where method is random, found a type; set it to null",
        ),
        ("cold_type: null", "cold_type: 3", "split.cold_type: expected text, found 3"),
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


def test_a_file_with_the_section_of_one_stage_alone_is_enough_for_it(tmp_path: Path) -> None:
    text = (ROOT / "params.yaml").read_text()
    (tmp_path / "params.yaml").write_text("split:" + text.partition("\nsplit:")[2].partition("\ntrain:")[0])
    assert SplitParams.load(tmp_path / "params.yaml") == SplitParams.load(ROOT / "params.yaml")
    with pytest.raises(StageError, match="expected a section 'train', found split"):
        TrainParams.load(tmp_path / "params.yaml")


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
