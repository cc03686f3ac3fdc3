"""What is wrong in params.yaml is said in one line: the parameter, what is allowed, and what came."""

import sys
from pathlib import Path

import pytest

from stages.params import EvaluateParams, ExportParams, IngestParams, SplitParams, TrainParams
from stages.settings import Section
from stages.terminal import StageError
from tests.conftest import ROOT, run

SECTIONS: dict[str, type[Section]] = {
    model.section: model for model in (IngestParams, SplitParams, TrainParams, EvaluateParams, ExportParams)
}


@pytest.mark.parametrize("section", SECTIONS)
def test_the_committed_params_are_valid(section: str) -> None:
    SECTIONS[section].load(ROOT / "params.yaml")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("temperature: null", "temperature: warm", "train.temperature: expected a number, found 'warm'"),
        ("temperature: null", "temperature: -0.1", "train.temperature: expected a number above 0.0, found -0.1"),
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
            "expected a section 'train', found ingest, split, trian, baselines, evaluate, ex",
        ),
        ("    item_type: item_type", "    item_type: 0", "ingest.columns.item_type: expected text or a number above 0"),
        ("    user_id: user_id", "    user_id: 1", "ingest.columns.user_id: expected a column's name"),
        ('delimiter: ","', 'delimiter: "::"', "ingest.delimiter: expected one ASCII character, found '::'"),
        ("  train: 0.8", "  train: 5000", "split.train, validation, test: expected all sizes as counts"),
        ("  train: 0.8", "  train: 0.9", "split.train, validation, test: expected fractions that sum to at most 1"),
        ("cutoffs: [5,", "cutoffs: [0,", "evaluate.cutoffs.0: expected a number above 0, found 0"),
        ("csv: false", "csv: no", "export.csv: expected true or false, found 'no'"),
        ("train:\n", "train: [\n", "params.yaml: line"),
    ],
)
def test_a_wrong_value_is_named_with_what_is_allowed(tmp_path: Path, old: str, new: str, message: str) -> None:
    text = (ROOT / "params.yaml").read_text()
    assert old in text
    if "retrieval_weight" in new:
        text = text.replace("  retrieval_weight: 1.0\n", "")
    path = tmp_path / "params.yaml"
    path.write_text(text.replace(old, new, 1))
    section = message.split(".")[0] if message.split(".")[0] in SECTIONS else "train"
    with pytest.raises(StageError) as raised:
        SECTIONS[section].load(path)
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)


def test_numbers_are_read_as_dvc_reads_them(tmp_path: Path) -> None:
    text = (ROOT / "params.yaml").read_text()
    (tmp_path / "params.yaml").write_text(text.replace("temperature: null", "temperature: 2e-1"))
    assert TrainParams.load(tmp_path / "params.yaml").temperature == 0.2


def test_a_stage_ends_with_one_line_and_exit_code_1(workspace: Path) -> None:
    text = (workspace / "params.yaml").read_text()
    (workspace / "params.yaml").write_text(text.replace("max_rejected_share: 0.01", "max_rejected_share: 2"))
    done = run(workspace, sys.executable, "-m", "stages.ingest", check=False, PYTHONPATH=str(ROOT))
    assert done.returncode == 1
    assert done.stderr == ("ingest: params.yaml: ingest.max_rejected_share: expected a number up to 1.0, found 2\n")
    assert done.stdout == ""
