"""Tables that do not fit: one line that says what is missing, and where."""

from pathlib import Path

import pytest

from stages.report import __main__ as report
from tests.conftest import write_rows
from tests.stages.report.fabricated import fabricate
from towerline.artifacts.evaluate import RATINGS_TABLE
from towerline.pipeline.errors import StageError


def test_a_table_without_a_column_is_refused_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(fabricate(tmp_path))
    write_rows(RATINGS_TABLE, [["two_tower", "1.0"]], ["model", "rmse"])
    with pytest.raises(StageError, match=r"ratings\.csv: expected the columns mae, found none; repro"):
        report.main()


def test_a_cell_that_is_no_number_is_refused_with_its_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(fabricate(tmp_path))
    write_rows(RATINGS_TABLE, [["two_tower", "1.0", "1.0"], ["other", "good", "1.0"]], ["model", "rmse", "mae"])
    with pytest.raises(StageError, match=r"ratings\.csv: line 3: expected a number in the column rmse, found 'good'"):
        report.main()


def test_metrics_without_the_model_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(fabricate(tmp_path, models=("most_popular",)))
    with pytest.raises(StageError, match="expected rows of two_tower"):
        report.main()
