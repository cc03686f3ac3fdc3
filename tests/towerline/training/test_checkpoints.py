"""Checkpoints: what was written comes back, and only for the same causes."""

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from towerline.training.checkpoints import Checkpoints, checkpoints, fingerprint
from towerline.training.content import Content


def stopped(folder: Path, rows: NDArray[np.int64], action: Callable[[Checkpoints], None]) -> None:
    """Does something with the checkpoints of a stage that is stopped then."""
    with suppress(KeyboardInterrupt), checkpoints(folder, "train", {"seed": 1}, rows) as kept:
        action(kept)
        raise KeyboardInterrupt


def test_a_checkpoint_outlives_its_run_and_counts_for_the_same_causes_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    content = Content({"random": {"state": 2**120}, "epochs": [[1, 0.1, None]]}, {"a": np.arange(3, dtype=np.float32)})
    rows = np.arange(5)
    found: list[Content | None] = []
    stopped(tmp_path, rows, lambda kept: found.append(kept.read("fit")))
    stopped(tmp_path, rows, lambda kept: kept.write("fit", content))
    stopped(tmp_path, rows, lambda kept: found.append(kept.read("fit")))
    stopped(tmp_path, rows, lambda kept: found.append(kept.read("search-0")))
    assert capsys.readouterr().out == "train: continues the fit of a stopped run after its last complete epoch\n"
    read = found.pop(1)
    assert found == [None, None]
    assert read is not None
    assert read.values == content.values
    assert read.arrays["a"].tobytes() == content.arrays["a"].tobytes()
    # Those of another stage stay, those of other causes are removed, and so are all at the end.
    with checkpoints(tmp_path, "refit", {"seed": 1}, rows):
        assert len(list(tmp_path.iterdir())) == 1
    with checkpoints(tmp_path, "train", {"seed": 1}, rows + 1) as kept:
        assert kept.read("fit") is None
        kept.write("fit", content)
    assert not list(tmp_path.iterdir())


def test_a_fingerprint_follows_values_types_and_shapes() -> None:
    zeros = np.zeros(4, np.int32)
    causes = [(zeros,), (zeros + 1,), (zeros.reshape(2, 2),), (zeros.astype(np.int64),), (zeros, None), ((zeros, 0),)]
    assert len({fingerprint(*cause) for cause in causes}) == len(causes)
    assert fingerprint(zeros, {"a": 1, "b": 2}) == fingerprint(zeros.copy(), {"b": 2, "a": 1})
