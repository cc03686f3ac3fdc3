"""Selection of a baseline's settings by NDCG at the main cutoff on the validation set, within a limit of memory."""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np

from towerline.artifacts.names import MAIN_CUTOFF
from towerline.ranking.scorers import Scorer

METRIC = f"ndcg@{MAIN_CUTOFF}"


class Candidate(NamedTuple):
    """A baseline with one of its settings.

    Attributes:
      settings: as text, for the table of trials.
      num_bytes: memory that fit() allocates.
      fit: makes the scorer.
    """

    settings: str
    num_bytes: int
    fit: Callable[[], Scorer]


class Trial(NamedTuple):
    """A row of reports/tables/baselines.csv; `validation` is None if the validation set is empty."""

    baseline: str
    trial: int
    settings: str
    metric: str
    validation: float | None
    chosen: bool


class Selection(NamedTuple):
    """The best model of a baseline and all trials; the model is None if no candidate is within the memory limit."""

    model: Any
    trials: list[Trial]


def select(
    name: str,
    candidates: Sequence[Candidate],
    score: Callable[[Scorer], float] | None,
    max_bytes: float,
) -> Selection:
    """Fits and scores the candidates, and keeps the first of the best.

    Args:
      name: of the baseline.
      candidates: those within max_bytes, as many of them at once as max_bytes and the processor's cores allow.
      score: NDCG@20 on the validation set; None to take the first candidate without a score.
      max_bytes: that all candidates that are fitted at the same time may allocate.
    """
    if not candidates:
        return Selection(None, [])
    tried = candidates if score is not None else candidates[:1]
    workers = min(os.cpu_count() or 1, int(max_bytes // max(candidate.num_bytes for candidate in tried)))
    scores: list[float] = []
    best: Scorer | None = None

    def attempt(candidate: Candidate) -> tuple[Scorer, float]:
        model = candidate.fit()
        return model, score(model) if score is not None else 0.0

    with ThreadPoolExecutor(workers) as pool:
        # In groups, so that no more models than workers and the best are in memory.
        for start in range(0, len(tried), workers):
            for model, value in pool.map(attempt, tried[start : start + workers]):
                if not scores or value > max(scores):
                    best = model
                scores.append(value)
    chosen = int(np.argmax(scores))
    trials = [
        Trial(name, number, candidate.settings, METRIC, None if score is None else value, number == chosen + 1)
        for number, (candidate, value) in enumerate(zip(tried, scores, strict=True), 1)
    ]
    return Selection(best, trials)


def within_memory(candidates: Sequence[Candidate], max_bytes: float) -> list[Candidate]:
    """The candidates that allocate at most max_bytes."""
    return [candidate for candidate in candidates if candidate.num_bytes <= max_bytes]


def memory_note(name: str, candidates: Sequence[Candidate], max_bytes: float) -> str | None:
    """Names the candidates that are left out because of their memory; None if there are none."""
    left_out = [candidate for candidate in candidates if candidate.num_bytes > max_bytes]
    if not left_out:
        return None
    settings = "" if len(left_out) == len(candidates) else f" with {' or '.join(item.settings for item in left_out)}"
    return f"{name}{settings} would take {max(item.num_bytes for item in left_out) / 1e9:.2g} GB"
