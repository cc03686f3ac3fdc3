"""The section `baselines` of params.yaml, which the stages baselines and backtest read."""

from typing import Annotated, ClassVar

from pydantic import PositiveFloat

from towerline.pipeline.settings import Section, Seed, between


class BaselinesParams(Section):
    section: ClassVar[str] = "baselines"

    random: bool
    most_popular: bool
    recent_popular: bool
    most_popular_of_type: bool
    item_knn: bool
    ease: bool
    ials: bool
    trials: Annotated[int, between(1, 6)]
    memory_limit: Annotated[PositiveFloat, between(0, 100_000)]
    seed: Seed
