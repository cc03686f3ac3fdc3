"""Spark as the engine: the same expressions on the executors of a cluster."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import ibis
import pyarrow as pa
import pyarrow.parquet as pq
from ibis.expr.types import Table
from pyspark.errors import PySparkException
from pyspark.sql import SparkSession as Spark

from towerline.pipeline.errors import StageError
from towerline.tables.memory import MemoryPlan
from towerline.tables.session import BATCH_ROWS, Session


class SparkSession(Session):
    """Expressions computed by Spark; the executors have to see the session's folder and data/ under the same paths."""

    def read(self, path: Path) -> Table:
        return self.connection.read_parquet(path.absolute().as_uri())

    def save(self, rows: Table, path: Path) -> None:
        self.connection.to_parquet_dir(rows, path.absolute().as_uri())

    def batches(self, rows: Table) -> Iterator[pa.RecordBatch]:
        # The parts of a sorted table are in the order of their names.
        path = self.new_path()
        self.save(rows, path)
        for part in sorted(path.glob("part-*.parquet")):
            with pq.ParquetFile(part) as file:
                yield from file.iter_batches(BATCH_ROWS)


@contextmanager
def spark_session(folder: Path, plan: MemoryPlan, master: str) -> Iterator[SparkSession]:
    """Yields a session at a master that ends with the block.

    The memory of the driver is that of the plan; that of the executors is a setting of the cluster.

    Raises:
      StageError: Spark could not do it, as where there is no such master, or the disk or the memory is full.
    """
    # Executors have other working folders.
    local = folder.absolute()
    settings: dict[str, bool | float | int | str | None] = {
        "spark.driver.memory": f"{plan.engine_bytes // 2**20}m",
        "spark.local.dir": str(local / "spill"),
        "spark.sql.warehouse.dir": str(local / "warehouse"),
        "spark.log.level": "ERROR",
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
    }
    try:
        spark = Spark.builder.master(master).appName("towerline").config(map=settings).getOrCreate()
        try:
            yield SparkSession(ibis.pyspark.connect(spark), folder)
        finally:
            spark.stop()
    except PySparkException as error:
        raise StageError(f"{master}: Spark: {' '.join(str(error).split())[:1000]}") from None
