"""The section `baselines` of params.yaml."""

from typing import Annotated

from pydantic import PositiveFloat

from towerline.pipeline.settings import Section, Seed, between


class BaselinesParams(Section):
    section = "baselines"

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
