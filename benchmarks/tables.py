"""Seconds of CPU on one core and peak memory of the table stages and of scripts of the same steps in DuckDB and pandas.

The rows are made up (benchmarks/generated.py), or those of a Parquet file with user_id, item_id and item_type. All
sides have to write the same training set.

python -m benchmarks.tables [--rows 10_000_000] [--source rows.parquet] [--memory-limit 1.0] [--sides towerline duckdb]
"""

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq
from ruamel.yaml import YAML

from benchmarks.common import print_machine
from benchmarks.generated import write_rows

ROOT = Path(__file__).parent.parent
STAGES = ("ingest", "vocabulary", "split")


class Cost(NamedTuple):
    """The seconds of CPU and the peak memory in GB of a command."""

    seconds: float
    gigabytes: float


def cost(command: Sequence[str], folder: Path) -> Cost:
    """Runs a command on one core in a folder."""
    core = min(os.sched_getaffinity(0))
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(
        ["taskset", "--cpu-list", str(core), *command], cwd=folder, env=environment, stdout=subprocess.DEVNULL
    )
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{' '.join(command)}: exit code {process.returncode}")
    return Cost(usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024 / 1e9)


def towerline(source: Path, folder: Path, memory_limit: float) -> dict[str, Cost]:
    """The stages with the project's settings, over data of ids alone."""
    yaml = YAML()
    params = yaml.load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    params["ingest"] |= {"source": str(source), "items": None}
    params["ingest"]["columns"] |= {"rating": None, "timestamp": None}
    params["train"] |= {"rating_weight": 0.0, "item_features": {}}
    params["engine"]["memory_limit"] = memory_limit
    with (folder / "params.yaml").open("w", encoding="utf-8") as file:
        yaml.dump(params, file)
    return {stage: cost([sys.executable, "-m", f"stages.{stage}"], folder) for stage in STAGES}


def script(name: str, source: Path, folder: Path, *arguments: str) -> dict[str, Cost]:
    """A script of benchmarks/table_scripts."""
    module = f"benchmarks.table_scripts.{name}_script"
    return {name: cost([sys.executable, "-m", module, str(source), str(folder), *arguments], folder)}


def training_set(folder: Path) -> pa.Table:
    """The pairs of indices that a side has written."""
    path = folder / "data/split/train.parquet"
    table = pq.read_table(path if path.exists() else folder / "train.parquet", columns=["user_index", "item_index"])
    return table.replace_schema_metadata(None)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=10_000_000, help="to make up")
    parser.add_argument("--source", type=Path, help="a Parquet file in place of made-up rows")
    parser.add_argument("--memory-limit", type=float, default=1.0, help="GB, of Towerline and of the DuckDB script")
    parser.add_argument("--sides", nargs="+", default=["towerline", "duckdb", "pandas"])
    arguments = parser.parse_args()
    print_machine(("duckdb", "ibis-framework", "pandas", "pyarrow"), 1)
    with tempfile.TemporaryDirectory() as place:
        source = arguments.source or write_rows(Path(place, "rows.parquet"), arguments.rows)
        rows = pq.read_metadata(source).num_rows
        print(f"| {rows:,} rows | seconds of CPU | a million rows | peak GB |\n| --- | --- | --- | --- |")
        written: list[pa.Table] = []
        for side in arguments.sides:
            folder = Path(place, side)
            folder.mkdir()
            match side:
                case "towerline":
                    costs = towerline(source.absolute(), folder, arguments.memory_limit)
                case "duckdb":
                    costs = script(side, source.absolute(), folder, f"{arguments.memory_limit}GB")
                case _:
                    costs = script(side, source.absolute(), folder)
            total = Cost(sum(part.seconds for part in costs.values()), max(part.gigabytes for part in costs.values()))
            for name, part in {**(costs if len(costs) > 1 else {}), side: total}.items():
                per_million = part.seconds / rows * 1e6
                print(f"| {name} | {part.seconds:.1f} | {per_million:.2f} | {part.gigabytes:.2f} |", flush=True)
            written.append(training_set(folder))
            assert written[-1].equals(written[0]), f"{side}: another training set"


if __name__ == "__main__":
    main()
