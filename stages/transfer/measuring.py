"""The ranking of a type's items by a model with the rows of another type, and by one without them."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from towerline.artifacts.names import MAIN_CUTOFF
from towerline.artifacts.split import Interactions
from towerline.artifacts.transfer import TransferRow
from towerline.metrics.ranking import rank_metrics
from towerline.metrics.uncertainty import bootstrap_interval
from towerline.ranking.scorers import Scorer
from towerline.ranking.top_k import rank_items
from towerline.ranking.user_items import UserItems

METRICS = (("ndcg", MAIN_CUTOFF), ("recall", MAIN_CUTOFF))
BOOTSTRAP_SAMPLES = 1000


class Target(NamedTuple):
    """The test items of a type, and the users with known rows who have them.

    Attributes:
      kind: the type.
      users: [users] int32.
      relevant: row r holds the test items of users[r] that are of the type.
      seen: row r holds the known items of users[r], which are not shown.
      candidates: [items] int32, the items of the type, ascending.
    """

    kind: str
    users: NDArray[np.int32]
    relevant: UserItems
    seen: UserItems
    candidates: NDArray[np.int32]

    def measured(self, scorer: Scorer) -> NDArray[np.float64]:
        """[users, metrics] of METRICS, the items of the type alone ranked."""
        ranked = rank_items(scorer, self.users, self.seen, MAIN_CUTOFF, self.candidates)
        values = rank_metrics(ranked, self.relevant, [MAIN_CUTOFF])
        return np.stack([values[metric] for metric in METRICS], axis=1)


def targets(known: Interactions, test: Interactions, item_type: NDArray[np.str_]) -> list[Target]:
    """The types that users with known rows have test items of, in the order of their names.

    Args:
      known: the rows of the training and validation set.
      test: the rows of the test set that are no dislikes.
      item_type: [num_items + 1] text.
    """
    seen = UserItems.of_interactions(known)
    of_warm = test.where(seen.counts()[test.user_index] > 0)
    found = []
    for kind in np.unique(item_type[of_warm.item_index]):
        of_kind = item_type == kind
        relevant = UserItems.of_interactions(of_warm.where(of_kind[of_warm.item_index]))
        users = np.flatnonzero(relevant.counts()).astype(np.int32)
        candidates = np.flatnonzero(of_kind).astype(np.int32)
        found.append(Target(str(kind), users, relevant.of_users(users), seen.of_users(users), candidates))
    return found


def sources(likes: Interactions, item_type: NDArray[np.str_], to: Sequence[Target]) -> list[str]:
    """The types that can be left out: there are likes of other types, and test items of one of these.

    Args:
      likes: the known rows that are no dislikes.
      item_type: as for targets().
      to: the targets.
    """
    kinds = [str(kind) for kind in np.unique(item_type[likes.item_index])]
    return [kind for kind in kinds if len(kinds) > 1 and any(target.kind != kind for target in to)]


def transfer_rows(
    with_all: Scorer,
    fitted: Callable[[Interactions], Scorer],
    known: Interactions,
    left_out: Sequence[str],
    item_type: NDArray[np.str_],
    to: Sequence[Target],
    seed: int,
) -> list[TransferRow]:
    """The rows of the table.

    A user whose only rows are of the type that is left out is ranked by the popularity prior of the fit without it.

    Args:
      with_all: the model of all known rows.
      fitted: the same recipe, fitted to other rows.
      known, item_type: as for targets().
      left_out: the types, from sources().
      to: the targets.
      seed: of the bootstrap.
    """
    values = {target.kind: target.measured(with_all) for target in to}
    rows = []
    for kind in left_out:
        scorer = fitted(known.where(item_type[known.item_index] != kind))
        for target in to:
            if target.kind != kind:
                rows += _differences(kind, target.kind, values[target.kind], target.measured(scorer), seed)
    return rows


def _differences(
    from_type: str, to_type: str, with_type: NDArray[np.float64], without: NDArray[np.float64], seed: int
) -> list[TransferRow]:
    """A row for each of METRICS, of two [users, metrics]."""
    differences = with_type - without
    interval = bootstrap_interval(differences, BOOTSTRAP_SAMPLES, seed)
    means = (with_type.mean(axis=0), without.mean(axis=0), differences.mean(axis=0), *interval)
    figures = np.stack(means, axis=1).tolist()
    return [
        TransferRow(from_type, to_type, *metric, len(differences), *of_metric)
        for metric, of_metric in zip(METRICS, figures, strict=True)
    ]
