"""The section `dislikes` of params.yaml, which the stages train, baselines, evaluate and backtest read."""

from typing import Annotated, ClassVar, Literal

from towerline.pipeline.settings import Section, between

USER_MEAN: Literal["user_mean"] = "user_mean"

# A rating, the mean of the user's ratings, or None where no row is a dislike.
Below = Annotated[float, between(-(10**12), 10**12)] | Literal["user_mean"] | None


class DislikesParams(Section):
    section: ClassVar[str] = "dislikes"

    below: Below


def without_ratings(below: Below, why: str) -> str:
    """The error of a threshold where the data has no ratings, for the given reason."""
    return (
        f"dislikes.below: expected null since {why}, found {shown(below)}; set it to null, or name the ratings' column "
        "in ingest.columns.rating"
    )


def none_liked(below: Below, found: str) -> str:
    """The error of a threshold below which all rows are, with the rows that were found."""
    cure = "a number" if below == USER_MEAN else "a lower number"
    return (
        f"dislikes.below: expected rows that are no dislikes at {shown(below)}, found {found}; set it to {cure}, or to "
        "null"
    )


def shown(below: Below) -> str:
    """A threshold as params.yaml has it."""
    return f"{below:g}" if isinstance(below, float) else str(below)
