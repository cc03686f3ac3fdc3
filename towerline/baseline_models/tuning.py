"""The baselines with the settings that are best on a validation set, fitted to all known rows."""

import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from implicit.utils import ParameterWarning
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from towerline.artifacts import names
from towerline.artifacts.baselines import OF_FEEDBACK, Settings, TrialRow
from towerline.artifacts.split import Interactions
from towerline.baseline_models.candidates import (
    Counted,
    ease_candidates,
    ials_candidates,
    item_knn_candidates,
    popular_candidates,
    popular_of_type_candidates,
    shared_matrix,
)
from towerline.baseline_models.params import BaselinesParams
from towerline.baseline_models.selection import Candidate, left_out_rows, memory_note, select, within_memory
from towerline.feedback.params import Below
from towerline.feedback.strengths import Feedback, choices, liked, liked_by_known_users
from towerline.metrics.validation import HeldOut, affordable_users, ranked_candidates
from towerline.ranking.popularity import half_lives
from towerline.ranking.scorers import Chance, Scorer
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
    below: Below = None,
) -> Tuned:
    """Fits the enabled baselines.

    Each baseline that has settings is fitted to the training set with several of them, and the one of the best NDCG@20
    on the validation set is chosen. Then all baselines are fitted to the rows of both sets, as the model is. Where
    there are dislikes or weights, each setting is tried with each way of counting the rows. Dislikes in the validation
    set are not relevant.

    Args:
      params: the section baselines.
      train, validation: the sets; the latter may be empty, which chooses the first setting.
      item_type: [num_items + 1] text.
      on_selected: called after each baseline whose settings are chosen.
      below: rows with lower ratings are dislikes.
    """
    rows = Interactions.joined(train, validation)
    lives, max_bytes = half_lives(train), params.memory_limit * 1e9
    relevant = liked_by_known_users(validation, train, below)
    seen, wanted = map(UserItems.of_interactions, (train, relevant))
    ranked = ranked_candidates(relevant, item_type)
    held_out = HeldOut(seen, wanted, affordable_users(rows.num_items if ranked is None else len(ranked)), ranked)
    score = held_out.ndcg if len(held_out.users) else None
    # implicit warns about a conversion that it does itself.
    warnings.filterwarnings("ignore", category=ParameterWarning)
    scorers: dict[str, Scorer] = {}
    if params.random:
        scorers[names.RANDOM] = Chance(np.asarray(params.seed), np.asarray(rows.num_items + 1))
    trials, notes = [], []
    ways = choices(train, below, negatives=False)
    with threadpool_limits(limits=1, user_api="blas"):
        to_fit = _candidates(params, train, ways, lives, item_type)
        # The fit to all rows takes the most memory.
        for name, final in _candidates(params, rows, ways, lives, item_type).items():
            allowed, left_out = _divided(name, final, params)
            # There is nothing to choose.
            if len(final) == 1 and not left_out:
                scorers[name] = final[0].fit()
                continue
            tried = [candidate for candidate in to_fit[name] if candidate.settings in allowed]
            selection = select(name, tried, score, max_bytes)
            if selection.settings is not None:
                scorers[name] = next(one for one in final if one.settings == selection.settings).fit()
            num_tried = len(selection.trials)
            trials += [*selection.trials, *left_out_rows(name, left_out, num_tried)]
            notes.append(memory_note(name, left_out, num_tried))
            on_selected()
    return Tuned(scorers, trials, [note for note in notes if note is not None])


def _candidates(
    params: BaselinesParams,
    rows: Interactions,
    ways: Sequence[Feedback],
    lives: list[float | None],
    item_type: NDArray[np.str_],
) -> Mapping[str, list[Candidate]]:
    """The candidates of each enabled baseline but the random one, setting by setting, each with all ways of counting.

    Args:
      params: the section baselines.
      rows: the rows to fit.
      ways: the ways of counting the rows, at least one.
      lives: half-lives of recent popularity, in days; None alone where the data has no times.
      item_type: [num_items + 1] text.
    """
    # Items are ranked by what a user likes, however the weights between items came about.
    history = UserItems.of_interactions(liked(rows, rows, ways[0].below))
    matrix = shared_matrix()
    candidates: dict[str, list[list[Candidate]]] = {}
    for way in ways:
        counted = Counted(rows, way)
        of_way = {}
        if params.most_popular:
            popular = popular_candidates(counted, [None])
            of_way[names.MOST_POPULAR] = [candidate._replace(settings={}) for candidate in popular]
        if params.most_popular_of_type:
            of_way[names.MOST_POPULAR_OF_TYPE] = popular_of_type_candidates(counted, item_type)
        if params.recent_popular and len(lives) > 1:
            of_way[names.RECENT_POPULAR] = popular_candidates(counted, lives)
        if params.item_knn:
            of_way[names.ITEM_KNN] = item_knn_candidates(counted, matrix, history)
        # EASE has no place for strengths.
        if params.ease and way.weight_exponent == 0:
            of_way[names.EASE] = ease_candidates(counted, history)
        if params.ials:
            of_way[names.IALS] = ials_candidates(counted, matrix, params.seed)
        settings = _settings(way, ways)
        for name, found in of_way.items():
            if found:
                labelled = [one._replace(settings={**one.settings, **settings}) for one in found]
                candidates.setdefault(name, []).append(labelled)
    return {
        name: [one for of_setting in zip(*found, strict=True) for one in of_setting]
        for name, found in candidates.items()
    }


def _settings(way: Feedback, ways: Sequence[Feedback]) -> Settings:
    """The settings of a way of counting, as far as the ways differ in them."""
    settings: dict[str, float | str | None] = {}
    if len({one.dislikes for one in ways}) > 1:
        settings["dislikes"] = way.dislikes
    if len({one.weight_exponent for one in ways}) > 1:
        settings["weight_exponent"] = way.weight_exponent
    return settings


def _divided(name: str, candidates: list[Candidate], params: BaselinesParams) -> tuple[list[Settings], list[Candidate]]:
    """The settings of a baseline that are tried, and the candidates that are left out because of their memory.

    The first params.trials within the memory limit are tried, each with all ways of counting the rows. Those left out
    are the ones that would be tried without the limit. All half-lives of recent popularity are tried, since each of
    them takes no more than a count of the rows.
    """
    max_bytes = params.memory_limit * 1e9
    within = within_memory(candidates, max_bytes)
    num_ways = len({tuple(candidate.settings.get(setting) for setting in OF_FEEDBACK) for candidate in candidates})
    number = len(candidates) if name == names.RECENT_POPULAR else params.trials * num_ways
    left_out = [candidate for candidate in candidates[:number] if candidate.num_bytes > max_bytes]
    return [candidate.settings for candidate in within[:number]], left_out
