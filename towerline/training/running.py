"""Trainings of a stage: led by its first worker, with checkpoints, and followed by the others."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from towerline.artifacts.train import MODELS
from towerline.pipeline.terminal import say
from towerline.training.checkpoints import checkpoints
from towerline.training.fitting import Run, seed_everything
from towerline.training.place import place
from towerline.training.recipe import Hyperparameters
from towerline.training.shards import read_shard
from towerline.training.steps import follow
from towerline.training.workers import Workers


def led(stage: str, settings: Hyperparameters, causes: Sequence[Any], lead: Callable[[Run], str]) -> str:
    """Runs the trainings of a stage in its first worker, and returns the line of the stage.

    Args:
      stage: its name.
      settings: of the device, the threads and the workers.
      causes: all that the trainings depend on besides code and packages, as in checkpoints().
      lead: trains, writes the results, and returns the line.
    """
    workers = _workers(stage, settings)
    with workers.connected(), checkpoints(MODELS, stage, *causes) as kept:
        line = lead(Run(workers, kept))
        workers.dismiss()
    return line


def followed(stage: str, settings: Hyperparameters, paths: Sequence[Path]) -> str:
    """Takes part in the trainings of a stage that another process leads, and returns the line of the stage.

    Args:
      stage: its name.
      settings: of the device, the threads and the workers.
      paths: the sets of the split whose rows the stage reads, in its order.
    """
    workers = _workers(stage, settings)
    with workers.connected():
        trainings = follow(workers, partial(read_shard, paths, workers=workers))
    what = "training" if trainings == 1 else "trainings"
    return f"worker {workers.index + 1} of {workers.number} took part in {trainings} {what}"


def _workers(stage: str, settings: Hyperparameters) -> Workers:
    seed_everything(settings.seed, settings.threads, settings.device)
    here = place(settings.strategy)
    if others := [address for number, address in enumerate(here.addresses) if number != here.worker]:
        say(stage, f"worker {here.worker + 1} of {here.workers} waits for {', '.join(others)}")
    return Workers.of_strategy(settings.strategy)
