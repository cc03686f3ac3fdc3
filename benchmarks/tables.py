"""Seconds of CPU on one core and peak memory of the table stages and of scripts of the same steps in DuckDB and pandas.

The rows are made up (benchmarks/generated.py), or those of a Parquet file with user_id, item_id and item_type. All
sides have to write the same training set. They run in turn, so that other work on the machine slows all of them. Each
runs over a few rows as well, which costs no more than the start of Python and its libraries. The side `spark` is
the same stages with engine.master local[1].

python -m benchmarks.tables [--rows 10_000_000] [--source rows.parquet] [--memory-limit 1.0] [--repeats 3]
  [--sides towerline duckdb]
"""

import argparse
import ctypes
import multiprocessing
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow.parquet as pq
from ruamel.yaml import YAML

from benchmarks.common import print_machine
from benchmarks.generated import write_rows

ROOT = Path(__file__).parent.parent
STAGES = ("ingest", "vocabulary", "split")
# Side -> engine.master, of the sides that are Towerline itself.
ENGINES = {"towerline": None, "spark": "local[1]"}
# Of Linux's prctl.h.
PR_SET_CHILD_SUBREAPER = 36
# So few rows that the start is all that they cost.
FEW_ROWS = 1_500


class Cost(NamedTuple):
    """What a command costs, with all processes that it starts.

    Attributes:
      seconds: of CPU.
      wall: seconds from its start to its end.
      gigabytes: the peak memory of its largest process.
    """

    seconds: float
    wall: float
    gigabytes: float

    @classmethod
    def of_all(cls, parts: Sequence["Cost"]) -> "Cost":
        """The cost of commands that run one after the other."""
        seconds, wall, gigabytes = zip(*parts, strict=True)
        return cls(sum(seconds), sum(wall), max(gigabytes))


def cost(command: Sequence[str], folder: Path) -> Cost:
    """Runs a command on one core in a folder; its cost is that of all processes that it starts."""
    core = min(os.sched_getaffinity(0))
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    begun = time.perf_counter()
    process = subprocess.Popen(
        ["taskset", "--cpu-list", str(core), *command],
        cwd=folder,
        env=environment,
        stdout=subprocess.DEVNULL,
        process_group=0,
    )
    usages = []
    # All processes of the group: Spark's Java outlives the command for a moment, and is then a child of this process.
    with suppress(ChildProcessError):
        while True:
            ended, status, usage = os.wait4(-process.pid, 0)
            usages.append(usage)
            if ended == process.pid:
                process.returncode = os.waitstatus_to_exitcode(status)
                wall = time.perf_counter() - begun
    if process.returncode:
        raise SystemExit(f"{' '.join(command)}: exit code {process.returncode}")
    seconds = sum(usage.ru_utime + usage.ru_stime for usage in usages)
    return Cost(seconds, wall, max(usage.ru_maxrss for usage in usages) * 1024 / 1e9)


def adopt_orphans() -> None:
    """Makes processes whose parent ends children of this one, so that what they take can be counted."""
    if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl")


def towerline(source: Path, folder: Path, memory_limit: float, master: str | None) -> dict[str, Cost]:
    """The stages with the project's settings, over data of ids alone."""
    yaml = YAML()
    params = yaml.load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    params["ingest"] |= {"source": str(source), "items": None}
    params["ingest"]["columns"] |= {"rating": None, "timestamp": None}
    params["train"] |= {"rating_weight": 0.0, "item_features": {}}
    params["engine"] |= {"memory_limit": memory_limit, "master": master}
    with (folder / "params.yaml").open("w", encoding="utf-8") as file:
        yaml.dump(params, file)
    return {stage: cost([sys.executable, "-m", f"stages.{stage}"], folder) for stage in STAGES}


def script(name: str, source: Path, folder: Path, *arguments: str) -> dict[str, Cost]:
    """A script of benchmarks/table_scripts."""
    module = f"benchmarks.table_scripts.{name}_script"
    return {name: cost([sys.executable, "-m", module, str(source), str(folder), *arguments], folder)}


def costs_of(side: str, source: Path, folder: Path, memory_limit: float) -> dict[str, Cost]:
    """The cost of a side, after that of each of its stages where it has several."""
    if side in ENGINES:
        stages = towerline(source, folder, memory_limit, ENGINES[side])
        return {f"{side}: {name}": part for name, part in stages.items()} | {side: Cost.of_all(list(stages.values()))}
    return script(side, source, folder, *([f"{memory_limit}GB"] if side == "duckdb" else []))


def training_set(folder: Path) -> str:
    """A digest of the pairs of indices that a side has written."""
    path = folder / "data/split/train.parquet"
    digest = sha256()
    with pq.ParquetFile(path if path.exists() else folder / "train.parquet") as file:
        for batch in file.iter_batches(columns=["user_index", "item_index"]):
            digest.update(np.stack([column.to_numpy() for column in batch.columns], axis=1).tobytes())
    return digest.hexdigest()


def made_up(path: Path, rows: int) -> Path:
    """Writes made-up rows in a process of their own: the peak of this one would count as that of the commands."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(write_rows, path, rows).result()


def spread(values: Sequence[float], decimals: int) -> str:
    """The median, and the least and the largest value where there are several."""
    median, *ends = (f"{value:.{decimals}f}" for value in (statistics.median(values), min(values), max(values)))
    return f"{median} ({ends[0]} to {ends[1]})" if len(values) > 1 else median


def print_costs(rows: int, runs: dict[str, list[Cost]], starts: dict[str, list[Cost]]) -> None:
    """Prints a line for each stage and side, and the ratio of Towerline's seconds to those of each script."""
    print(f"| {rows:,} rows | seconds of CPU | a million rows | without the start | seconds of wall time | peak GB |")
    print("| --- | --- | --- | --- | --- | --- |")
    for name, costs in runs.items():
        seconds, wall = [part.seconds for part in costs], [part.wall for part in costs]
        start = statistics.median(part.seconds for part in starts[name])
        million = statistics.median(seconds) / rows * 1e6, (statistics.median(seconds) - start) / rows * 1e6
        peak = max(part.gigabytes for part in costs)
        print(
            f"| {name} | {spread(seconds, 1)} | {million[0]:.2f} | {million[1]:.2f} | {spread(wall, 1)} | {peak:.2f} |"
        )
    for name in [name for name in ("duckdb", "pandas") if {"towerline", name} <= runs.keys()]:
        pairs = zip(runs["towerline"], runs[name], strict=True)
        print(f"towerline / {name}: {spread([ours.seconds / theirs.seconds for ours, theirs in pairs], 2)}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=10_000_000, help="to make up")
    parser.add_argument("--source", type=Path, help="a Parquet file in place of made-up rows")
    parser.add_argument("--memory-limit", type=float, default=1.0, help="GB, of Towerline and of the DuckDB script")
    parser.add_argument("--repeats", type=int, default=3, help="rounds, in each of which all sides run")
    parser.add_argument("--sides", nargs="+", default=["towerline", "duckdb", "pandas"])
    arguments = parser.parse_args()
    adopt_orphans()
    print_machine(("duckdb", "ibis-framework", "pandas", "pyarrow"), 1)
    with tempfile.TemporaryDirectory() as place:
        few = made_up(Path(place, "few.parquet"), FEW_ROWS)
        source = (arguments.source or made_up(Path(place, "rows.parquet"), arguments.rows)).absolute()
        found: dict[Path, dict[str, list[Cost]]] = {few: {}, source: {}}
        digests: dict[Path, str] = {}
        for side in arguments.sides * arguments.repeats:
            for path, costs in found.items():
                with tempfile.TemporaryDirectory(dir=place) as folder:
                    for name, part in costs_of(side, path, Path(folder), arguments.memory_limit).items():
                        costs.setdefault(name, []).append(part)
                    digest = training_set(Path(folder))
                assert digests.setdefault(path, digest) == digest, f"{side}: another training set"
        print_costs(pq.read_metadata(source).num_rows, found[source], found[few])


if __name__ == "__main__":
    main()
