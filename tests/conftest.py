"""Paths, a small planted data set, and a working copy of the whole pipeline, for all tests."""

import csv
import os
import shutil
import subprocess
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import settings
from ruamel.yaml import YAML

ROOT = Path(__file__).parent.parent
# The stages of the default pipeline in the order in which DVC runs them; backtest is a pipeline of its own.
STAGES = [
    *("ingest", "vocabulary", "split", "train", "refit", "baselines", "evaluate", "transfer", "map", "report", "export")
]
# For child processes: without the variables of TensorFlow that an import of towerline.towers sets.
ENVIRONMENT = {name: value for name, value in os.environ.items() if not name.startswith("TF_")}
# Public data sets that are not ours to ship; tests that need one skip where it is missing.
DATASETS = Path(os.environ.get("TOWERLINE_DATASETS", ROOT.parent / "shared" / "data"))

# The fixture server, which tests of several folders use.
pytest_plugins = ["tests.postgres"]

settings.register_profile("towerline", deadline=None, derandomize=True, max_examples=60)
settings.load_profile("towerline")


def dataset(path: str) -> Path:
    """Returns a file or folder of a public data set; skips the test if it is missing."""
    place = DATASETS / path
    if not place.exists():
        pytest.skip(f"{path} is not in {DATASETS}; set TOWERLINE_DATASETS to the folder that holds it")
    return place


def planted_rows(num_users: int = 60, num_items: int = 60, groups: int = 4, seed: int = 5) -> list[list[str]]:
    """A checkerboard: users of a group like the items of that group only, most of them; two item types share all ids.

    Ratings are 9 for items of even number and 3 for the others.
    """
    draw = np.random.default_rng(seed)
    rows: list[list[str]] = []
    for user in range(num_users):
        for item in range(num_items):
            if user % groups == item % groups and draw.random() < 0.8:
                kind = "book" if item < num_items // 2 else "film"
                number = f"{item % (num_items // 2):07d}"
                rating = "9" if item % 2 == 0 else "3"
                rows.append([f"u{user}", number, kind, rating, str(1_400_000_000 + len(rows) * 60)])
    order = draw.permutation(len(rows))
    return [rows[position] for position in order]


# Unusual ids, which replace some of the planted rows' ids.
STRANGE = {
    "u7": 'O\'Neil, "Bob"\nsecond line \N{CLAPPER BOARD}',
    "u8": "u" * 500,
    "u9": "0042",
    "0000026": 'semi;colon,comma "quote"\n\N{BOOKS}',
    "0000027": "i" * 500,
    "0000028": "\\N\ttab",
}

HEADER = ["user_id", "item_id", "item_type", "rating", "timestamp"]


def write_rows(path: Path, rows: Iterable[list[str]], header: list[str] | None = None) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header or HEADER)
        writer.writerows(rows)
    return path


def set_params(folder: Path, changes: dict[str, Any]) -> None:
    """Changes values of params.yaml, named like `train.epochs`, leaving comments and order alone."""
    yaml = YAML()
    yaml.preserve_quotes = True
    path = folder / "params.yaml"
    content = yaml.load(path.read_text(encoding="utf-8"))
    for name, value in changes.items():
        *parents, leaf = name.split(".")
        section = content
        for parent in parents:
            section = section[parent]
        assert leaf in section, f"no parameter {name}"
        section[leaf] = value
    with path.open("w", encoding="utf-8") as file:
        yaml.dump(content, file)


def run(folder: Path, *command: str, check: bool = True, **environment: str) -> subprocess.CompletedProcess[str]:
    """Runs a command in a folder without a terminal and returns what it printed."""
    done = subprocess.run(
        command, cwd=folder, env=ENVIRONMENT | environment, capture_output=True, text=True, check=False
    )
    assert not check or done.returncode == 0, f"{' '.join(command)}: {done.stdout}\n{done.stderr}"
    return done


@contextmanager
def mounted_disk(place: Path, size: str) -> Iterator[Path]:
    """Yields an empty file system in memory, of a size such as 1m; skips the test where none may be mounted."""
    place.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", place], check=False).returncode:
        pytest.skip("only an administrator may mount a small disk")
    try:
        yield place
    finally:
        subprocess.run(["umount", place], check=True)


def stages_run(output: str) -> list[str]:
    """The stages that a `dvc repro` ran, in its order, from what it printed."""
    return [line.split("'")[1] for line in output.splitlines() if line.startswith("Running stage")]


SMALL = {
    "train.embedding_dimension": 8,
    "train.epochs": 3,
    "train.batch_size": 16,
    "train.early_stopping_patience": 2,
    "evaluate.cutoffs": [5, 10],
    # The planted rows are of half a day.
    "backtest.cuts": 2,
    "backtest.days": 0.1,
    "backtest.bootstrap_samples": 100,
}


def copy_project(into: Path) -> Path:
    """The working tree's files, those that git tracks or would track, copied to a new folder."""
    listed = run(ROOT, "git", "ls-files", "--cached", "--others", "--exclude-standard", "-z").stdout
    into.mkdir(parents=True, exist_ok=True)
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).is_file():
            (into / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, into / name)
    return into


def commit_all(folder: Path) -> None:
    if not (folder / ".git").exists():
        run(folder, "git", "init", "-q", "-b", "main")
    identity = ["-c", "user.name=test", "-c", "user.email=test@example.com"]
    run(folder, "git", "add", "-A")
    run(folder, "git", *identity, "commit", "-q", "-m", "state")


def make_small_project(into: Path) -> Path:
    """A copy of the project over the planted data, committed, with no stage run yet."""
    copy_project(into)
    for lock in ("dvc.lock", "backtest/dvc.lock"):
        (into / lock).unlink(missing_ok=True)
    write_rows(into / "data/raw/preferences.csv", [[STRANGE.get(cell, cell) for cell in row] for row in planted_rows()])
    (into / "data/raw/preferences.csv.gz").unlink()
    titles = [[f"{n:07d}", kind, f"Title {n}", "2001", "Drama"] for kind in ("book", "film") for n in range(25)]
    titles.append([STRANGE["0000026"], "book", "Tabs\tand \x1b[31mcolours\x1b[0m", "2001", "Drama"])
    write_rows(into / "data/raw/items.csv", titles, ["item_id", "item_type", "title", "year", "genres"])
    # Users without a row have no features, and one row is of a user who has no interactions.
    users = [[STRANGE.get(f"u{n}", f"u{n}"), str(20 + n % 4), ("", "Oslo", "Quito")[n % 3]] for n in range(5, 61)]
    write_rows(into / "data/raw/users.csv", users, ["user_id", "age", "city"])
    files = {"ingest.source": "data/raw/preferences.csv", "ingest.users": "data/raw/users.csv"}
    set_params(into, files | SMALL)
    commit_all(into)
    return into


@pytest.fixture(scope="session")
def small_project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project over planted data after both pipelines, committed; tests that change it restore it."""
    folder = make_small_project(tmp_path_factory.mktemp("small"))
    run(folder, "dvc", "repro")
    run(folder, "dvc", "repro", "backtest/dvc.yaml")
    commit_all(folder)
    return folder


@pytest.fixture
def project(small_project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the small project after `dvc repro`, with its cache, as the current folder, to be changed at will."""
    monkeypatch.chdir(shutil.copytree(small_project, tmp_path / "project", symlinks=True))
    return tmp_path / "project"
