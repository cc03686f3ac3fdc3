"""The baselines with the settings that are best on a validation set, fitted to all known rows."""

import warnings
from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np
from implicit.utils import ParameterWarning
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from towerline.artifacts import names
from towerline.artifacts.baselines import Settings, TrialRow
from towerline.artifacts.split import Interactions
from towerline.baseline_models.candidates import (
    ease_candidates,
    ials_candidates,
    item_knn_candidates,
    recent_popular_candidates,
)
from towerline.baseline_models.params import BaselinesParams
from towerline.baseline_models.selection import Candidate, left_out_rows, memory_note, select, within_memory
from towerline.baseline_models.type_popularity import most_popular_of_type
from towerline.metrics.validation import HeldOut, ranked_candidates
from towerline.ranking.popularity import half_lives
from towerline.ranking.scorers import Chance, Scorer, by_popularity
from towerline.ranking.user_items import UserItems


class Tuned(NamedTuple):
    """Fitted baselines.

    Attributes:
      scorers: name -> baseline.
      trials: all settings that were tried, and those that were left out because of their memory.
      notes: a text for each baseline of which settings were left out.
    """

    scorers: dict[str, Scorer]
    trials: list[TrialRow]
    notes: list[str]


def tuned(
    params: BaselinesParams,
    train: Interactions,
    validation: Interactions,
    item_type: NDArray[np.str_],
    on_selected: Callable[[], object] = lambda: None,
) -> Tuned:
    """Fits the enabled baselines.

    Each baseline that has settings is fitted to the training set with several of them, and the one of the best NDCG@20
    on the validation set is chosen. Then all baselines are fitted to the rows of both sets, as the model is.

    Args:
      params: the section baselines.
      train, validation: the sets; the latter may be empty, which chooses the first setting.
      item_type: [num_items + 1] text.
      on_selected: called after each baseline whose settings are chosen.
    """
    rows = Interactions.joined(train, validation)
    lives, max_bytes = half_lives(train), params.memory_limit * 1e9
    seen, relevant = map(UserItems.of_interactions, (train, validation))
    held_out = HeldOut(seen, relevant, candidates=ranked_candidates(validation, item_type))
    score = held_out.ndcg if len(held_out.users) else None
    # implicit warns about a conversion that it does itself.
    warnings.filterwarnings("ignore", category=ParameterWarning)
    scorers, trials, notes = _fixed(params, rows, item_type), [], []
    with threadpool_limits(limits=1, user_api="blas"):
        to_fit = _candidates(params, train, lives)
        # The fit to all rows takes the most memory.
        for name, final in _candidates(params, rows, lives).items():
            allowed, left_out = _divided(name, final, params)
            tried = [candidate for candidate in to_fit[name] if candidate.settings in allowed]
            selection = select(name, tried, score, max_bytes)
            if selection.settings is not None:
                scorers[name] = next(one for one in final if one.settings == selection.settings).fit()
            num_tried = len(selection.trials)
            trials += [*selection.trials, *left_out_rows(name, left_out, num_tried)]
            notes.append(memory_note(name, left_out, num_tried))
            on_selected()
    return Tuned(scorers, trials, [note for note in notes if note is not None])


def _fixed(params: BaselinesParams, rows: Interactions, item_type: NDArray[np.str_]) -> dict[str, Scorer]:
    """The enabled baselines that have no settings, fitted to the rows."""
    scorers: dict[str, Scorer] = {}
    if params.random:
        scorers[names.RANDOM] = Chance(np.asarray(params.seed), np.asarray(rows.num_items + 1))
    if params.most_popular:
        scorers[names.MOST_POPULAR] = by_popularity(rows)
    types, type_index = np.unique(item_type[1:], return_inverse=True)
    if params.most_popular_of_type and len(types) > 1:
        # The unknown item has the type of item 1.
        type_index = np.concatenate([type_index[:1], type_index])
        scorers[names.MOST_POPULAR_OF_TYPE] = most_popular_of_type(rows, type_index, len(types))
    return scorers


def _candidates(
    params: BaselinesParams, rows: Interactions, lives: list[float | None]
) -> Mapping[str, list[Candidate]]:
    """The candidates of each enabled baseline that has settings.

    Args:
      params: the section baselines.
      rows: the rows to fit.
      lives: half-lives of recent popularity, in days; None alone where the data has no times.
    """
    history = UserItems.of_interactions(rows)
    candidates = {}
    if params.recent_popular and len(lives) > 1:
        candidates[names.RECENT_POPULAR] = recent_popular_candidates(rows, lives)
    if params.item_knn:
        candidates[names.ITEM_KNN] = item_knn_candidates(rows, history)
    if params.ease:
        candidates[names.EASE] = ease_candidates(rows, history)
    if params.ials:
        candidates[names.IALS] = ials_candidates(rows, history, params.seed)
    return candidates


def _divided(name: str, candidates: list[Candidate], params: BaselinesParams) -> tuple[list[Settings], list[Candidate]]:
    """The settings of a baseline that are tried, and the candidates that are left out because of their memory.

    The first params.trials within the memory limit are tried. Those left out are the ones that would be tried without
    the limit. All half-lives of recent popularity are tried, since each of them takes no more than a count of the rows.
    """
    max_bytes = params.memory_limit * 1e9
    within = within_memory(candidates, max_bytes)
    number = len(candidates) if name == names.RECENT_POPULAR else params.trials
    left_out = [candidate for candidate in candidates[:number] if candidate.num_bytes > max_bytes]
    return [candidate.settings for candidate in within[:number]], left_out
