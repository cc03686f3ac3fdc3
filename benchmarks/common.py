"""Data, metrics and a description of the machine, for all benchmarks."""

import argparse
import importlib.metadata
import os
import platform
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from towerline.artifacts.split import Interactions
from towerline.baseline_models.params import BaselinesParams
from towerline.metrics.ranking import rank_metrics
from towerline.ranking.scorers import Embeddings, Scorer
from towerline.ranking.top_k import rank_items
from towerline.ranking.user_items import UserItems

CUTOFF = 20
DATA_HELP = (
    "an .npz file with int32 arrays train, validation (rows of train) and test, [rows, 2] of user and item from 0; "
    "for Gowalla those of LightGCN's split (He et al. 2020), which is not ours to ship"
)


class Data(NamedTuple):
    """A published split; the validation set is taken from the published training set."""

    train: Interactions
    train_without_validation: Interactions
    validation: Interactions
    test: Interactions


def arguments(description: str) -> argparse.ArgumentParser:
    """A parser with the arguments of every benchmark."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("data", type=Path, help=DATA_HELP)
    parser.add_argument("--threads", type=int, default=2, help="of each side (default 2)")
    return parser


def read_data(path: Path) -> Data:
    """Reads a split; indices become those of Towerline, from 1."""
    with np.load(path, allow_pickle=False) as file:
        pairs = {name: file[name].astype(np.int32) + 1 for name in ("train", "validation", "test")}
    num_users, num_items = (int(max(rows[:, column].max() for rows in pairs.values())) for column in (0, 1))

    def interactions(rows: NDArray[np.int32]) -> Interactions:
        return Interactions(rows[:, 0].copy(), rows[:, 1].copy(), None, num_users, num_items)

    keys = {name: rows[:, 0].astype(np.int64) * (num_items + 1) + rows[:, 1] for name, rows in pairs.items()}
    held_out = np.isin(keys["train"], keys["validation"])
    return Data(
        interactions(pairs["train"]),
        interactions(pairs["train"][~held_out]),
        interactions(pairs["validation"]),
        interactions(pairs["test"]),
    )


class Group(NamedTuple):
    """Users and the test items that count for them.

    Attributes:
      users: [users] int32.
      relevant: row r holds the items of users[r].
      seen: row r holds the known items of users[r], which are not shown.
      candidates: int32 items to rank; None for all.
    """

    users: NDArray[np.int32]
    relevant: UserItems
    seen: UserItems
    candidates: NDArray[np.int32] | None

    @classmethod
    def of_rows(
        cls, known: Interactions, held_out: Interactions, candidates: NDArray[np.int32] | None = None
    ) -> "Group":
        """The users of held-out rows; `known` are the rows that a model is fitted to, `candidates` as the attribute."""
        relevant = UserItems.of_interactions(held_out)
        users = np.flatnonzero(relevant.counts()).astype(np.int32)
        return cls(users, relevant.of_users(users), UserItems.of_interactions(known).of_users(users), candidates)

    def values(self, scorer: Scorer) -> NDArray[np.float64]:
        """[users, 2] recall@20 and NDCG@20."""
        ranked = rank_items(scorer, self.users, self.seen, CUTOFF, self.candidates)
        values = rank_metrics(ranked, self.relevant, [CUTOFF])
        return np.stack([values["recall", CUTOFF], values["ndcg", CUTOFF]], axis=1)

    def measured(self, scorer: Scorer) -> tuple[float, float]:
        """Mean recall@20 and NDCG@20 over the users."""
        recall, ndcg = self.values(scorer).mean(axis=0)
        return float(recall), float(ndcg)


def only(params: BaselinesParams, names: Sequence[str]) -> BaselinesParams:
    """The settings with the named baselines enabled, and no others."""
    return params.model_copy(update={name: name in names for name, value in params if isinstance(value, bool)})


def measure(embeddings: Embeddings, train: Interactions, held_out: Interactions) -> tuple[float, float]:
    """Recall@20 and NDCG@20 over all users with held-out items, the whole catalogue ranked, training items removed."""
    return Group.of_rows(train, held_out).measured(embeddings)


def print_machine(packages: Sequence[str], threads: int) -> None:
    """The processor, the cores in use, the versions and the commit, a line each."""
    model = next(
        (line.split(":")[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line),
        platform.machine(),
    )
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in packages)
    commit = subprocess.run(["git", "describe", "--always", "--dirty"], capture_output=True, text=True, check=True)
    print(f"machine: {model}, {len(os.sched_getaffinity(0))} cores, {threads} threads a side")
    print(f"versions: Python {platform.python_version()}, {versions}")
    print(f"commit: {commit.stdout.strip()}", flush=True)
