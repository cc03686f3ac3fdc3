"""Selection of a baseline's settings by NDCG at the main cutoff on the validation set, within a limit of memory."""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np

from towerline.artifacts.baselines import Settings, TrialRow, left_out_text, settings_text, trial_row
from towerline.artifacts.names import MAIN_CUTOFF
from towerline.ranking.scorers import Scorer


class Candidate(NamedTuple):
    """A baseline with one of its settings.

    Attributes:
      settings: name -> value.
      num_bytes: memory that fit() allocates.
      fit: makes the scorer.
    """

    settings: Settings
    num_bytes: int
    fit: Callable[[], Scorer]


class Selection(NamedTuple):
    """The settings of the best candidate and all trials; None if no candidate is within the memory limit."""

    settings: Settings | None
    trials: list[TrialRow]


def select(
    name: str,
    candidates: Sequence[Candidate],
    score: Callable[[Scorer], float] | None,
    max_bytes: float,
) -> Selection:
    """Fits and scores the candidates, and returns the settings of the first of the best.

    Args:
      name: of the baseline.
      candidates: those within max_bytes, as many of them at once as max_bytes and the processor's cores allow.
      score: NDCG@20 on the validation set; None to take the first candidate without a fit.
      max_bytes: that all candidates that are fitted at the same time may allocate.
    """
    if not candidates:
        return Selection(None, [])
    if score is None:
        return Selection(candidates[0].settings, [_row(name, 1, candidates[0], None, True)])
    workers = min(os.cpu_count() or 1, int(max_bytes // max(candidate.num_bytes for candidate in candidates)))
    with ThreadPoolExecutor(workers) as pool:
        scores = list(pool.map(lambda candidate: score(candidate.fit()), candidates))
    chosen = int(np.argmax(scores))
    trials = [
        _row(name, number, candidate, value, number == chosen + 1)
        for number, (candidate, value) in enumerate(zip(candidates, scores, strict=True), 1)
    ]
    return Selection(candidates[chosen].settings, trials)


def _row(name: str, number: int, candidate: Candidate, ndcg: float | None, chosen: bool) -> TrialRow:
    return trial_row(name, number, candidate.settings, "ndcg", MAIN_CUTOFF, ndcg, chosen)


def within_memory(candidates: Sequence[Candidate], max_bytes: float) -> list[Candidate]:
    """The candidates that allocate at most max_bytes."""
    return [candidate for candidate in candidates if candidate.num_bytes <= max_bytes]


def left_out_rows(name: str, left_out: Sequence[Candidate], num_tried: int) -> list[TrialRow]:
    """The rows of candidates that are left out because of their memory, numbered after those that were tried."""
    return [
        trial_row(name, number, candidate.settings, "ndcg", MAIN_CUTOFF, None, False, candidate.num_bytes / 1e9)
        for number, candidate in enumerate(left_out, num_tried + 1)
    ]


def memory_note(name: str, left_out: Sequence[Candidate], num_tried: int) -> str | None:
    """Names the candidates that are left out because of their memory; None if there are none."""
    if not left_out:
        return None
    settings = [settings_text(candidate.settings) for candidate in left_out] if num_tried else []
    return left_out_text(name, settings, max(candidate.num_bytes for candidate in left_out) / 1e9)
