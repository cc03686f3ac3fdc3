"""Sentences that compare figures. Each is derived from the figures, so that none can contradict them.

Two values count as equal if the page shows the same four digits for both.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal, NamedTuple

from stages.report.wording import by_value, count, counted, decimal, interval, listed, p_value, percent, shortened
from towerline.artifacts.baselines import memory_text

SIGNIFICANCE = 0.05
# With fewer test users, means vary too much to distinguish models.
FEW_USERS = 200

Outcome = Literal["better", "worse", "unclear"]


class Comparison(NamedTuple):
    """The model and the best baseline by a metric.

    Attributes:
      metric: the metric's name with its cutoff, as shown.
      own, best: means of the model and of the best baseline.
      baselines: labels of the baselines with the best mean.
      low, high: 95% interval of the difference; NaN where it was not computed.
      p_adjusted: p value of the difference after Holm's correction; NaN where it was not computed.
      family: number of comparisons that the correction is for.
    """

    metric: str
    own: float
    best: float
    baselines: Sequence[str]
    low: float
    high: float
    p_adjusted: float
    family: int

    @property
    def outcome(self) -> Outcome:
        """Better or worse only where the interval and the test agree."""
        if not self.p_adjusted < SIGNIFICANCE:
            return "unclear"
        return "better" if self.low > 0 else "worse" if self.high < 0 else "unclear"


def verdict(comparisons: Sequence[Comparison]) -> str:
    """The heading of the page: how the model compares with the best baseline."""
    if not comparisons:
        return "No baseline to compare with"
    words: dict[Outcome, str] = {
        "better": "better than the best baseline",
        "worse": "worse than the best baseline",
        "unclear": "no clear difference from the best baseline",
    }
    by_outcome = {
        outcome: [comparison.metric for comparison in comparisons if comparison.outcome == outcome] for outcome in words
    }
    clauses = [f"{words[outcome]} by {listed(metrics)}" for outcome, metrics in by_outcome.items() if metrics]
    if len(clauses) > 1:
        clauses[1:] = [clause.replace("the best baseline", "it") for clause in clauses[1:]]
    text = ", ".join(clauses)
    return text[0].upper() + text[1:]


def comparison_sentence(comparison: Comparison) -> str:
    """The difference from the best baseline with its interval and p value, and the conclusion from them."""
    kind = "best baseline" if len(comparison.baselines) == 1 else "best baselines"
    own, best = decimal(comparison.own), decimal(comparison.best)
    gap = comparison.own - comparison.best
    if own == best:
        relation = f"equal to {listed(comparison.baselines)}, the {kind}"
    else:
        side = "above" if gap > 0 else "below"
        relation = f"{decimal(abs(gap))} {side} {listed(comparison.baselines)} ({best}), the {kind}"
    start = f"{comparison.metric} is {own}, {relation}"
    if math.isnan(comparison.p_adjusted):
        return f"{start}; the difference was not tested."
    test = (
        f"95% interval of the difference {interval(comparison.low, comparison.high)}, "
        f"{p_value(comparison.p_adjusted)} after Holm's correction"
    )
    if comparison.outcome != "unclear":
        return f"{start} ({test})."
    return f"{start} ({test}). {_why_unclear(comparison)}"


def _why_unclear(comparison: Comparison) -> str:
    """Why a tested difference is not established."""
    alone = "The interval, which is for this comparison alone,"
    corrected = f"after correction for {counted(comparison.family, 'comparison')}"
    if comparison.p_adjusted < SIGNIFICANCE:
        return f"{alone} includes 0, although p is below {SIGNIFICANCE} {corrected}: the difference is not established."
    if comparison.low > 0 or comparison.high < 0:
        p = decimal(comparison.p_adjusted, 3)
        return f"{alone} excludes 0; {corrected} p is {p}, so the difference is not established."
    return "Chance may explain the difference."


def grid_edges(edges: Mapping[str, Sequence[str]]) -> str | None:
    """The sentence about best settings at an end of the values tried; None where no parameter has several values.

    Args:
      edges: label of a baseline -> those of its best settings that are the smallest or the largest value tried.
    """
    if not edges:
        return None
    at_edge = [f"{label} ({listed(settings)})" for label, settings in edges.items() if settings]
    if not at_edge:
        return f"No best setting of {listed(list(edges))} is the smallest or largest value tried."
    return (
        f"The best setting is the smallest or largest value tried for {listed(at_edge)}; better ones may lie outside."
    )


def settings_left_out(texts: Sequence[str]) -> str | None:
    """The sentence about settings that were left out because of their memory; None where there were none.

    Args:
      texts: of left_out_text(), one for each baseline.
    """
    return f"Left out for baselines.memory_limit: {listed(texts)}." if texts else None


def baseline_left_out(baseline: str, gigabytes: float, limit: float) -> str:
    """The caution where no setting of a baseline fits baselines.memory_limit.

    Args:
      baseline: its label.
      gigabytes: memory of the setting that takes the least.
      limit: baselines.memory_limit.
    """
    return (
        f"{baseline} was not fitted: it would take {memory_text(gigabytes)}, and baselines.memory_limit is "
        f"{memory_text(limit)}."
    )


def few_users(users: int) -> str | None:
    """The caution where there are fewer than FEW_USERS test users."""
    if users >= FEW_USERS:
        return None
    return (
        f"Only {counted(users, 'test user')}, fewer than {FEW_USERS}: means of so few users vary widely, and small "
        "differences between models cannot be detected."
    )


# split.method -> what is drawn by chance, where this is not the rows alone.
DRAWN = {
    "cold_items": "all rows of items drawn at random, and a random sample of those of the others",
    "cold_users": "all rows of users drawn at random, and a random sample of those of the others",
    "cold_type": "all rows in one item type of users drawn at random",
}


def split_caution(method: str, older: float) -> str | None:
    """The caution where the test set is not later than the training set.

    Args:
      method: `split.method`.
      older: share of test rows that are older than the newest known row; NaN where there are no times.
    """
    advice = "Metrics on future interactions may differ much; set split.method to temporal to measure them"
    if older > 0:
        return f"{percent(older)} of the test rows are older than the newest known row (split: {method}). {advice}."
    if math.isnan(older) and method in ("random", *DRAWN):
        sample = DRAWN.get(method, "a random sample")
        return f"The test rows are {sample}, not the latest rows. {advice}, which needs timestamps."
    return None


def held_out(method: str, cold_type: str | None) -> str | None:
    """The sentence about what is held out where this is more than rows.

    Args:
      method: `split.method`.
      cold_type: `split.cold_type`.
    """
    match method:
        case "cold_type":
            return (
                f"Held out are the rows of the type “{shortened(str(cold_type))}” of some users, drawn at random: all "
                "those of a test user are in the test set, and all those of a validation user in the validation set. "
                "So a test user is known by rows of other types alone. The ranking within the type is under Groups."
            )
        case "cold_items" | "cold_users":
            kind = method.removeprefix("cold_")
            return (
                f"Held out are whole {kind}, drawn at random: all their rows are in the test set alone, or in the "
                f"validation set alone. The rows of the other {kind} are divided at random, so that the test set has "
                f"new and known {kind}."
            )
    return None


def head_caution(shown: float, consumed: float) -> str | None:
    """The caution where the model shows a larger share of head items than users interact with."""
    if not shown > consumed or percent(shown) == percent(consumed):
        return None
    return (
        f"Head items are {percent(shown)} of the items shown, but {percent(consumed)} of the items that users interact "
        "with in the test set: the model favours popular items."
    )


def tail_caution(metric: str, head: float, tail: float) -> str | None:
    """The caution where the metric is lower for tail items than for head items."""
    if not tail < head or decimal(head) == decimal(tail):
        return None
    return f"{metric} of tail items is {decimal(tail)}, that of head items {decimal(head)}."


def coverage_caution(own: float, best: float, baseline: str) -> str | None:
    """The caution where the model shows less of the catalogue than the best baseline."""
    if not own < best or percent(own) == percent(best):
        return None
    return f"The model shows {percent(own)} of the catalogue to some user, {baseline} {percent(best)}."


def sample_caution(drawn: int, total: int) -> str | None:
    """The caution where a sample of the users with test rows was ranked; None where all of them were."""
    if drawn == total:
        return None
    return (
        f"{count(drawn)} of {counted(total, 'user')} with test rows were drawn at random (evaluate.users): the "
        f"intervals are about {(total / drawn) ** 0.5:.1f} times as wide as with all users, and coverage is lower."
    )


def best(values: Iterable[tuple[str, float]], *, lowest: bool = False) -> str:
    """`Best is A with 1.5000`, or all labels that share the best value."""
    groups = by_value(values, lowest_first=lowest)
    if not groups:
        return "No values"
    value, labels = groups[0]
    if len(labels) == 1:
        return f"Best is {labels[0]} with {value}"
    return f"Best are {listed(sorted(labels))}, equal at {value}"


def ranked(values: Iterable[tuple[str, float]]) -> str:
    """Labels with their values from the largest down: `A 0.3000, then B and C 0.2000`."""
    first, *others = [f"{listed(sorted(labels))} {value}" for value, labels in by_value(values)] or ["no values"]
    return f"{first}, then {listed(others)}" if others else first


def extremes(subject: str, values: Sequence[tuple[str, float]]) -> str:
    """The groups with the highest and lowest value: `... is highest for A (0.3000) and lowest for B (0.1000)`."""
    groups = by_value(values)
    if not groups:
        return f"{subject} was not measured."
    (high, highest), (low, lowest) = groups[0], groups[-1]
    if len(groups) == 1:
        return f"{subject} is {high} for {listed(sorted(highest))}."
    return (
        f"{subject} is highest for {listed(sorted(highest))} ({high}) and lowest for {listed(sorted(lowest))} ({low})."
    )


def change(values: Sequence[tuple[int, float]], *, lower_is_better: bool | None) -> str:
    """The first and last value of a training curve, and the best epoch where low or high values are better."""
    (first, start), (last, end) = values[0], values[-1]
    if len({decimal(value) for _, value in values}) == 1:
        return f"{decimal(start)} in every epoch."
    text = f"From {decimal(start)} in epoch {first} to {decimal(end)} in epoch {last}"
    if lower_is_better is None:
        return f"{text}."
    extreme = decimal((min if lower_is_better else max)(value for _, value in values))
    epoch = next(epoch for epoch, value in values if decimal(value) == extreme)
    return f"{text}; best in epoch {epoch} ({extreme})."
