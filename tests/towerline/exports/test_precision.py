"""float16 tables: their float32 numbers, and products that hold a block of them at a time."""

import numpy as np
import pytest

from towerline.exports import precision
from towerline.exports.precision import as_float32, blocks, inner_products, weighted_sums


def test_every_finite_float16_becomes_the_same_number() -> None:
    every = np.arange(1 << 16, dtype=np.uint16).view(np.float16)
    finite = every[np.isfinite(every)]
    assert as_float32(finite).tobytes() == finite.astype(np.float32).tobytes()
    columns = finite[:63_000].reshape(-1, 10)[:, 2:7]
    assert (as_float32(columns) == columns.astype(np.float32)).all(), "a view of some columns"


def test_products_are_those_of_the_whole_table_in_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precision, "BLOCK_VALUES", 70)
    draw = np.random.default_rng(0)
    # Small whole numbers, whose sums do not depend on the order.
    table = draw.integers(-9, 10, (25, 10)).astype(np.float16)
    queries, weights = (draw.integers(-9, 10, (4, width)).astype(np.float32) for width in (10, 25))
    assert [len(block) for _, block in blocks(table)] == [7, 7, 7, 4]
    whole = table.astype(np.float32)
    assert np.shares_memory(next(blocks(whole))[1], whole)
    for of_type in (table, whole):
        assert (inner_products(queries, of_type) == queries @ whole.T).all()
        assert (weighted_sums(weights, of_type) == weights @ whole).all()
    assert inner_products(queries, table[:0]).shape == (4, 0)
