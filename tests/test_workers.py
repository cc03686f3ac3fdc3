"""Training on several workers, and trainings that are killed and started again: real processes on the loopback."""

import csv
import json
import signal
import socket
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.conftest import ENVIRONMENT, run, set_params

pytestmark = pytest.mark.pipeline

# A stage that keeps the variables of its last training. Batches are so small that a worker often has no part of one.
KEEPING = """
import sys
import numpy as np
from towerline.pipeline.terminal import run
from towerline.training import fitting, steps

kept = []

class Kept(steps.Steps):
    def __init__(self, *args):
        super().__init__(*args)
        kept[:] = [self]

    def run(self, temperature):
        losses = super().run(temperature)
        self.after = {name: variable.numpy() for name, variable in self.variables().items()}
        return losses

steps.Steps = fitting.Steps = Kept
stage, place = sys.argv[1:]
from stages.train import __main__ as train
from stages.refit import __main__ as refit
run(stage, {"train": train, "refit": refit}[stage].main)
np.savez(place, **kept[0].after)
"""


def config(ports: list[int], index: int) -> str:
    addresses = [f"127.0.0.1:{port}" for port in ports]
    return json.dumps({"cluster": {"worker": addresses}, "task": {"type": "worker", "index": index}})


def free_ports(number: int) -> list[int]:
    with ExitStack() as open_sockets:
        found = [open_sockets.enter_context(socket.socket()) for _ in range(number)]
        for one in found:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in found]


def start_workers(project: Path, stage: str) -> list[subprocess.Popen[str]]:
    ports = free_ports(2)
    return [
        subprocess.Popen(
            [sys.executable, "-c", KEEPING, stage, f"kept{index}.npz"],
            cwd=project,
            env=ENVIRONMENT | {"TF_CONFIG": config(ports, index)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for index in range(2)
    ]


def finish(workers: list[subprocess.Popen[str]]) -> list[str]:
    """Waits for the end of workers that succeed, and returns what they printed."""
    outputs = [worker.communicate(timeout=300) for worker in workers]
    assert [worker.returncode for worker in workers] == [0] * len(workers), outputs
    return [output for output, _ in outputs]


def model(project: Path) -> dict[str, bytes]:
    paths = [*(project / "models/two_tower").iterdir(), project / "reports/training.csv"]
    return {path.name: path.read_bytes() for path in paths}


def losses(project: Path) -> dict[str, list[float]]:
    with (project / "reports/training.csv").open() as file:
        rows = list(csv.DictReader(file))
    return {name: [float(row[name]) for row in rows] for name in rows[0]}


def kill_after_an_epoch(project: Path, training: str, process: subprocess.Popen[Any]) -> None:
    """Kills a process as soon as the checkpoint of a training is written a second time."""
    first, end = None, time.monotonic() + 120
    while time.monotonic() < end:
        for path in project.glob(f"models/.unfinished.*/{training}.npz"):
            first = first or path.stat().st_ino
            if path.stat().st_ino != first:
                process.send_signal(signal.SIGKILL)
                return
    raise AssertionError(f"no second checkpoint of {training}")


@pytest.mark.parametrize(("training", "patience"), [("search-0", 30), pytest.param("fit", 0, marks=pytest.mark.slow)])
def test_a_killed_training_continues_and_ends_as_an_undisturbed_one(
    project: Path, training: str, patience: int
) -> None:
    set_params(project, {"train.epochs": 40, "train.early_stopping_patience": patience})
    command = [sys.executable, "-m", "stages.train"]
    undisturbed = run(project, *command)
    expected = model(project)
    with subprocess.Popen(command, cwd=project, env=ENVIRONMENT, stdout=subprocess.DEVNULL) as process:
        kill_after_an_epoch(project, training, process)
    done = run(project, *command)
    searched, *rest = done.stdout.splitlines(keepends=True)
    assert searched == "train: continues the search of a stopped run after its last complete epoch\n"
    if training == "fit":
        assert rest.pop(0) == "train: continues the fit of a stopped run after its last complete epoch\n"
    assert "".join(rest) == undisturbed.stdout
    assert model(project) == expected
    assert not list(project.glob("models/.unfinished*"))


def test_two_workers_train_the_model_of_one_and_continue_after_one_was_killed(project: Path) -> None:
    changes = {"train.epochs": 6, "train.early_stopping_patience": 0, "train.batch_size": 4}
    set_params(project, changes | {"train.strategy": "single"})
    run(project, sys.executable, "-c", KEEPING, "train", "kept.npz")
    single, vectors = losses(project), np.load(project / "models/two_tower/item_embeddings.npy")
    set_params(project, {"train.strategy": "multi_worker"})
    led, followed = finish(start_workers(project, "train"))
    waiting, took_part = followed.splitlines()
    assert waiting.startswith("train: worker 2 of 2 waits for 127.0.0.1:")
    assert took_part == "train: worker 2 of 2 took part in 2 trainings"
    with np.load(project / "kept0.npz") as first, np.load(project / "kept1.npz") as second:
        assert set(first) == set(second) >= {"users", "items", "optimizer_1"}
        assert all(first[name].tobytes() == second[name].tobytes() for name in first)
        assert first["users"].any()
    # Sums in another order: the reports have four decimals.
    for name, values in losses(project).items():
        np.testing.assert_allclose(values, single[name], atol=1.1e-4)
    np.testing.assert_allclose(np.load(project / "models/two_tower/item_embeddings.npy"), vectors, atol=1e-3)

    expected = model(project)
    workers = start_workers(project, "train")
    kill_after_an_epoch(project, "fit", workers[1])
    killed = time.monotonic()
    _, errors = workers[0].communicate(timeout=60)
    assert time.monotonic() - killed < 60
    workers[1].communicate()
    assert workers[0].returncode == 1
    assert errors.startswith("train: train.strategy: expected 2 workers until the end, found that one has stopped")
    assert len(errors.splitlines()) == 1
    assert model(project) == expected
    continued, _ = finish(start_workers(project, "train"))
    assert "continues the search of a stopped run" in continued
    assert continued.splitlines()[-1] == led.splitlines()[-1]
    assert model(project) == expected


@pytest.mark.slow
@pytest.mark.parametrize("changes", [{"train.loss": "in_batch_softmax"}, {"dislikes.below": 5}])
def test_workers_share_candidates_and_strengths(project: Path, changes: dict[str, Any]) -> None:
    set_params(project, changes | {"train.batch_size": 3, "train.early_stopping_patience": 0})
    run(project, sys.executable, "-c", KEEPING, "train", "kept.npz")
    single = losses(project)
    set_params(project, {"train.strategy": "multi_worker"})
    finish(start_workers(project, "train"))
    for name, values in losses(project).items():
        np.testing.assert_allclose(values, single[name], atol=1.1e-4)
    led, _ = finish(start_workers(project, "refit"))
    assert led.startswith("refit: ")


# A stage whose patience with workers that do not come is short.
IMPATIENT = """
import sys
from stages.train import __main__ as train
from towerline.pipeline.terminal import run
from towerline.training import workers

workers.PATIENCE = float(sys.argv[1])
run("train", train.main)
"""


def alone(project: Path, ports: list[int], patience: float) -> subprocess.Popen[str]:
    """Starts the first of two workers, and waits until it waits for the other one."""
    set_params(project, {"train.strategy": "multi_worker"})
    process = subprocess.Popen(
        [sys.executable, "-c", IMPATIENT, str(patience)],
        cwd=project,
        env=ENVIRONMENT | {"TF_CONFIG": config(ports, 0)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == f"train: worker 1 of 2 waits for 127.0.0.1:{ports[1]}\n"
    return process


@pytest.mark.parametrize(
    ("number", "code", "error"),
    [(signal.SIGINT, 130, "train: interrupted\n"), pytest.param(signal.SIGTERM, -15, "", marks=pytest.mark.slow)],
)
def test_a_worker_that_waits_can_be_stopped(project: Path, number: signal.Signals, code: int, error: str) -> None:
    process = alone(project, free_ports(2), 600)
    time.sleep(2)
    process.send_signal(number)
    assert process.communicate(timeout=20) == ("", error)
    assert process.returncode == code


def test_a_worker_without_another_one_or_a_port_ends_with_one_line(project: Path) -> None:
    ports = free_ports(2)
    _, error = alone(project, ports, 2).communicate(timeout=30)
    assert error.startswith(
        "train: train.strategy: expected all 2 workers of TF_CONFIG within 2 seconds, found none at"
    )
    with socket.create_server(("127.0.0.1", ports[0])):
        _, error = alone(project, ports, 60).communicate(timeout=30)
    assert error.startswith(
        f"train: train.strategy: expected port {ports[0]}, which TF_CONFIG gives this worker, to be free, "
    )
    assert error.count("\n") == 1


def test_workers_without_a_configuration_are_refused(project: Path) -> None:
    set_params(project, {"train.strategy": "multi_worker"})
    done = run(project, sys.executable, "-m", "stages.train", check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("train: train.strategy: expected TF_CONFIG to name the workers of multi_worker")
    assert done.stderr.endswith("found no such variable; set it, or set train.strategy to single\n")
