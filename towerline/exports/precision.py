"""The two tables of embeddings in an export, float32 or float16, and their products, which are float32 for both.

A float16 table stays float16 in memory. Its rows are converted to float32 in blocks, when they are multiplied.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Table = NDArray[np.float32 | np.float16]

# Values of a float16 table that are converted at a time: 2 MB as float32, which stay in the cache of a core.
BLOCK_VALUES = 1 << 19


class Tables(NamedTuple):
    """The embeddings of users and of items.

    Attributes:
      users: [users, d].
      items: [items, d], of the same type.
    """

    users: Table
    items: Table


def as_float32(values: Table) -> NDArray[np.float32]:
    """The same finite numbers as float32; float32 values are not copied.

    The bits of a float16 are moved to where float32 has sign, exponent and fraction. The exponent then lacks the
    difference of the two biases, 112, which a multiplication adds; it also makes the smallest numbers normal. NumPy's
    own conversion takes nine times as long.
    """
    if values.dtype == np.float32:
        return values.astype(np.float32, copy=False)
    bits = values.view(np.int16).astype(np.int32)
    bits <<= 13
    # The three bits between sign and exponent are copies of the sign.
    bits &= np.int32(~0x70000000)
    converted = bits.view(np.float32)
    converted *= np.float32(2.0**112)
    return converted


def blocks(table: Table) -> Iterator[tuple[slice, NDArray[np.float32]]]:
    """The rows of a table as float32, block by block; a float32 table is one block, which is not copied."""
    step = max(1, len(table) if table.dtype == np.float32 else BLOCK_VALUES // table.shape[1])
    for start in range(0, len(table), step):
        rows = slice(start, min(start + step, len(table)))
        yield rows, as_float32(table[rows])


def inner_products(queries: NDArray[np.float32], table: Table) -> NDArray[np.float32]:
    """[queries, rows] float32 of [queries, d] and a table, [rows, d]."""
    products = np.empty((len(queries), len(table)), np.float32)
    for rows, block in blocks(table):
        np.matmul(queries, block.T, out=products[:, rows])
    return products


def weighted_sums(weights: NDArray[np.float32], table: Table) -> NDArray[np.float32]:
    """[queries, d] float32 sums of the rows of a table, [rows, d], times the weights, [queries, rows]."""
    sums = np.zeros((len(weights), table.shape[1]), np.float32)
    for rows, block in blocks(table):
        sums += weights[:, rows] @ block
    return sums
