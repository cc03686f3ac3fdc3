"""A script for DuckDB: checked rows without repetitions, vocabularies, and a random split in the order of Towerline's.

python -m benchmarks.table_scripts.duckdb_script rows.parquet folder memory_limit
"""

import sys
from pathlib import Path

import duckdb

KEY = ("user_id", "item_type", "item_id")
REASONS = " ".join(
    f"WHEN {name} IS NULL OR trim({name}) = '' THEN 'blank {name}' "
    f"WHEN contains({name}, chr(65533)) THEN '{name} is not valid' "
    f"WHEN length({name}) > 1000 THEN '{name} is too long'"
    for name in KEY
)
STEPS = f"""
CREATE TEMP TABLE parsed AS
  SELECT {", ".join(KEY)}, file_row_number AS line, CASE {REASONS} END AS reason
  FROM read_parquet('$source', file_row_number = true);
COPY (FROM parsed WHERE reason IS NOT NULL ORDER BY line) TO '$folder/rejected.parquet' (COMPRESSION zstd);
CREATE TEMP TABLE kept AS
  SELECT {", ".join(KEY)} FROM parsed WHERE reason IS NULL
  QUALIFY row_number() OVER (PARTITION BY {", ".join(KEY)} ORDER BY line DESC) = 1;
DROP TABLE parsed;
COPY (FROM kept ORDER BY {", ".join(KEY)}) TO '$folder/interactions.parquet' (COMPRESSION zstd);
DROP TABLE kept;
CREATE TEMP TABLE users AS
  SELECT row_number() OVER (ORDER BY user_id)::int AS user_index, user_id
  FROM (SELECT DISTINCT user_id FROM '$folder/interactions.parquet');
CREATE TEMP TABLE items AS
  SELECT row_number() OVER (ORDER BY item_type, item_id)::int AS item_index, item_type, item_id
  FROM (SELECT DISTINCT item_type, item_id FROM '$folder/interactions.parquet');
COPY (FROM users ORDER BY user_index) TO '$folder/users.parquet' (COMPRESSION zstd);
COPY (FROM items ORDER BY item_index) TO '$folder/items.parquet' (COMPRESSION zstd);
CREATE TEMP TABLE sets AS
  WITH drawn AS (
    SELECT user_index, item_index, md5(concat_ws(chr(31), '42', {", ".join(KEY)})) AS draw
    FROM '$folder/interactions.parquet' JOIN users USING (user_id) JOIN items USING (item_type, item_id)
  ), ranked AS (
    SELECT user_index, item_index, row_number() OVER (ORDER BY draw) - 1 AS rank, count(*) OVER () AS number FROM drawn
  )
  SELECT user_index, item_index, CASE
      WHEN rank < round(0.8 * number) THEN 'train'
      WHEN rank < round(0.8 * number) + number - round(0.9 * number) THEN 'test'
      ELSE 'validation'
    END AS set_name
  FROM ranked;
"""
WRITE_SET = """
COPY (SELECT user_index, item_index FROM sets WHERE set_name = '{name}' ORDER BY user_index, item_index)
TO '{folder}/{name}.parquet' (COMPRESSION zstd)
"""


def main() -> None:
    source, folder, memory_limit = sys.argv[1], Path(sys.argv[2]), sys.argv[3]
    settings: dict[str, str | bool | int | float | list[str]] = {
        "memory_limit": memory_limit,
        "temp_directory": str(folder / "spill"),
        "preserve_insertion_order": False,
    }
    with duckdb.connect(config=settings) as connection:
        connection.execute(STEPS.replace("$source", source).replace("$folder", str(folder)))
        for name in ("train", "validation", "test"):
            connection.execute(WRITE_SET.format(name=name, folder=folder))


if __name__ == "__main__":
    main()
