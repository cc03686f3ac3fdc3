"""Metrics of the models on the stretches, and their means over stretches with intervals and tests over users."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from stages.backtest.ranker import Ranker
from stages.backtest.stretches import Stretch, day
from towerline.artifacts.backtest import COLD, KNOWN, RetrainingRow, StretchRow, SummaryRow
from towerline.artifacts.names import MAIN_CUTOFF, MODEL
from towerline.feedback.params import Below
from towerline.feedback.strengths import liked
from towerline.metrics.ranking import rank_metrics
from towerline.metrics.uncertainty import bootstrap_interval, holm, paired_p_values
from towerline.ranking.user_items import UserItems

# Ages, in stretches, of the models that are measured.
AGES = (0, 1, 2, 4)


class Measured(NamedTuple):
    """The metrics of a model on a stretch.

    Attributes:
      stretch: number of the stretch, from 1.
      since: time of its cut.
      model, age: as of StretchRow.
      users: [users] int32, those with rows in the stretch.
      known: [users] bool, true for those with rows before it.
      recall, ndcg: [users] float64.
    """

    stretch: int
    since: int
    model: str
    age: int
    users: NDArray[np.int32]
    known: NDArray[np.bool_]
    recall: NDArray[np.float64]
    ndcg: NDArray[np.float64]

    def of_group(self, group: str) -> "Measured":
        """The metrics of the users of a group, KNOWN or COLD."""
        chosen = self.known if group == KNOWN else ~self.known
        return self._replace(
            users=self.users[chosen], known=self.known[chosen], recall=self.recall[chosen], ndcg=self.ndcg[chosen]
        )


class StretchUsers(NamedTuple):
    """The users of a stretch.

    Attributes:
      stretch, since, users, known: as of Measured.
      relevant: row r holds the items of users[r] in the stretch.
      seen: row r holds the items of users[r] before it.
    """

    stretch: int
    since: int
    users: NDArray[np.int32]
    known: NDArray[np.bool_]
    relevant: UserItems
    seen: UserItems

    @classmethod
    def of(cls, number: int, stretch: Stretch, below: Below) -> "StretchUsers":
        """All users with rows that are no dislikes in a stretch, whose number is given."""
        known = stretch.known
        likes, known_likes = (liked(rows, known, below) for rows in (stretch.test, known))
        relevant, seen, liked_before = map(UserItems.of_interactions, (likes, known, known_likes))
        users = np.flatnonzero(relevant.counts()).astype(np.int32)
        is_known = liked_before.counts()[users] > 0
        return cls(number, stretch.since, users, is_known, relevant.of_users(users), seen.of_users(users))


def measured(tested: StretchUsers, model: str, age: int, ranker: Ranker) -> Measured:
    """Ranks the whole catalogue for the users of a stretch; items of their earlier rows are left out.

    Args:
      tested: the users.
      model, age: as of StretchRow.
      ranker: the model.
    """
    ranked = ranker.ranked(tested.users, tested.seen, MAIN_CUTOFF)
    values = rank_metrics(ranked, tested.relevant, [MAIN_CUTOFF])
    metrics = values["recall", MAIN_CUTOFF], values["ndcg", MAIN_CUTOFF]
    return Measured(tested.stretch, tested.since, model, age, tested.users, tested.known, *metrics)


def stretch_rows(results: Sequence[Measured]) -> list[StretchRow]:
    """The means over the users of each stretch."""
    return [
        StretchRow(
            result.stretch,
            day(result.since),
            result.model,
            result.age,
            group,
            len(result.users),
            MAIN_CUTOFF,
            float(result.recall.mean()),
            float(result.ndcg.mean()),
        )
        for whole in results
        for group in (KNOWN, COLD)
        if len((result := whole.of_group(group)).users)
    ]


class Shares(NamedTuple):
    """The contributions of users to means over stretches, as a sample whose mean is the mean of the stretches' means.

    A user of several stretches is one draw, since the metrics of one user in two stretches depend on each other.

    Attributes:
      recall, ndcg: [users] float64.
    """

    recall: NDArray[np.float64]
    ndcg: NDArray[np.float64]


def shares(of_model: Sequence[Measured]) -> Shares:
    """The contributions of all users of the stretches, in ascending order of the users.

    Args:
      of_model: the metrics of one model on stretches that have users.
    """
    users = np.unique(np.concatenate([result.users for result in of_model]))
    totals = np.zeros((2, len(users)))
    for result in of_model:
        rows = np.searchsorted(users, result.users)
        weight = len(users) / (len(result.users) * len(of_model))
        totals[0, rows] += weight * result.recall
        totals[1, rows] += weight * result.ndcg
    return Shares(*totals)


def summary_rows(results: Sequence[Measured], samples: int, seed: int) -> list[SummaryRow]:
    """The means over all stretches of the models of age 0, the two towers first, then by NDCG; no rows without users.

    Args:
      results: those of all models on all stretches.
      samples, seed: of the bootstrap.
    """
    return [row for group in (KNOWN, COLD) for row in _summary_of_group(results, group, samples, seed)]


def _summary_of_group(results: Sequence[Measured], group: str, samples: int, seed: int) -> list[SummaryRow]:
    of_models: dict[str, list[Measured]] = {}
    for result in results:
        of_group = result.of_group(group)
        if result.age == 0 and len(of_group.users):
            of_models.setdefault(result.model, []).append(of_group)
    if not of_models:
        return []
    sample = {model: shares(of_model) for model, of_model in of_models.items()}
    others = sorted((name for name in sample if name != MODEL), key=lambda name: -sample[name].ndcg.mean())
    names = [MODEL, *others]
    recall, ndcg = (np.stack([getattr(sample[name], metric) for name in names], axis=1) for metric in Shares._fields)
    leads = ndcg[:, :1] - ndcg[:, 1:]
    columns = np.concatenate([recall, ndcg, leads], axis=1)
    figures = np.stack([columns.mean(axis=0), *bootstrap_interval(columns, samples, seed)], axis=1).tolist()
    p_values = paired_p_values(leads)
    tests = np.stack([p_values, holm(p_values)], axis=1).tolist()
    of_leads = [[None] * 5, *(lead + test for lead, test in zip(figures[2 * len(names) :], tests, strict=True))]
    return [
        SummaryRow(name, group, len(columns), MAIN_CUTOFF, *figures[row], *figures[len(names) + row], *of_leads[row])
        for row, name in enumerate(names)
    ]


def retraining_rows(results: Sequence[Measured], samples: int, seed: int) -> list[RetrainingRow]:
    """The means of models of all ages on the same stretches, those late enough for the oldest; arguments as above."""
    oldest = max(result.age for result in results)
    first = min(result.stretch for result in results if result.age == oldest)
    of_models: dict[str, dict[int, list[Measured]]] = {}
    for result in results:
        of_group = result.of_group(KNOWN)
        if result.stretch >= first and len(of_group.users):
            of_models.setdefault(result.model, {}).setdefault(result.age, []).append(of_group)
    rows = []
    for model, of_ages in of_models.items():
        sample = {age: shares(of_age) for age, of_age in of_ages.items()}
        losses = np.stack([sample[0].ndcg - of_age.ndcg for of_age in sample.values()], axis=1)
        intervals = np.stack(bootstrap_interval(losses, samples, seed), axis=1).tolist()
        for (age, of_age), loss, interval in zip(sample.items(), losses.mean(axis=0).tolist(), intervals, strict=True):
            means = float(of_age.recall.mean()), float(of_age.ndcg.mean())
            rows.append(RetrainingRow(model, age, len(of_ages[age]), MAIN_CUTOFF, *means, loss, *interval))
    return rows
