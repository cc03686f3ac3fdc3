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
        f"dislikes.below: expected null since {why}, found {below}; set it to null, or name the ratings' column in "
        "ingest.columns.rating"
    )
