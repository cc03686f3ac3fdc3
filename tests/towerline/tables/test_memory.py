"""The plan of the memory, and the refusal before the start."""

import pytest

from towerline.pipeline.errors import StageError
from towerline.tables.memory import GIGABYTE, PROCESS, MemoryPlan, least_limit


@pytest.mark.parametrize("num_rows", [0, 10_000_000, 100_000_000, 10**9])
def test_the_limit_that_an_error_asks_for_is_enough(num_rows: int) -> None:
    least = least_limit(num_rows)
    plan = MemoryPlan.of(least, num_rows)
    assert plan.threads >= 1
    assert plan.engine_bytes + PROCESS <= least * GIGABYTE
    with pytest.raises(StageError, match=rf"expected at least {least:.1f} GB for about {num_rows:,} rows"):
        MemoryPlan.of(least - 0.1, num_rows)
