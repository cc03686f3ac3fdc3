"""The section `backtest` of params.yaml."""

from typing import Annotated, ClassVar

from towerline.pipeline.settings import Section, Seed, between


class BacktestParams(Section):
    section: ClassVar[str] = "backtest"

    cuts: Annotated[int, between(1, 1000)]
    days: Annotated[float, between(0.0001, 100_000)]
    bootstrap_samples: Annotated[int, between(100, 100_000)]
    seed: Seed
