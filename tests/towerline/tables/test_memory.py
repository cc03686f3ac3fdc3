"""The plan of the memory, and the refusal before the start."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from towerline.pipeline.errors import StageError
from towerline.pipeline.free_memory import GIGABYTE
from towerline.tables.duckdb_session import duckdb_session
from towerline.tables.memory import PROCESS, MemoryPlan, Texts, least_limit


@pytest.mark.parametrize("num_rows", [1, 10_000_000, 100_000_000, 10**9])
@pytest.mark.parametrize(("width", "said"), [(0, ""), (200, ""), (3_000, " with long texts")])
def test_the_limit_that_an_error_asks_for_is_enough(num_rows: int, width: int, said: str) -> None:
    texts = Texts.of(num_rows, width, features=True)
    least = least_limit(num_rows, texts)
    plan = MemoryPlan.of(least, num_rows, texts)
    assert plan.threads >= 1
    assert plan.engine_bytes + PROCESS + texts.beside <= least * GIGABYTE
    with pytest.raises(StageError, match=rf"expected at least {least:.1f} GB for about {num_rows:,} rows{said}, found"):
        MemoryPlan.of(least - 0.1, num_rows, texts)


def test_long_texts_of_several_tables_pass_one_after_the_other_and_features_are_held_together() -> None:
    tables = [Texts.of(10, 1_200, features=False), Texts.of(300_000, 300, True), Texts.of(5, 700, True)]
    assert Texts.joined(tables) == Texts(together=200_000 * 100, features=300_000 * 100 + 5 * 500)


def test_a_memory_that_does_not_suffice_is_an_error_of_its_parameter(tmp_path: Path) -> None:
    plan = MemoryPlan(engine_bytes=20_000_000, threads=1)
    pq.write_table(pa.table({"number": range(3_000_000)}), tmp_path / "numbers.parquet")
    message = r"^engine\.memory_limit: expected .* more than its 0\.02 GB of it; set it higher$"

    def collect() -> None:
        with duckdb_session(tmp_path, plan) as session:
            numbers = session.read(tmp_path / "numbers.parquet")
            list(session.batches(numbers.agg(texts=numbers.number.cast("string").collect())))

    with pytest.raises(StageError, match=message):
        collect()
