"""A straightforward version of the table stages in pandas, which has all rows in memory.

python -m benchmarks.table_scripts.pandas_script rows.parquet folder
"""

import sys
from hashlib import md5
from pathlib import Path

import pandas as pd

KEY = ["user_id", "item_type", "item_id"]


def main() -> None:
    rows, folder = pd.read_parquet(sys.argv[1], columns=KEY), Path(sys.argv[2])
    refused = pd.Series(False, index=rows.index)
    for name in KEY:
        text = rows[name]
        refused |= text.isna() | (text.str.strip() == "") | text.str.contains("\ufffd") | (text.str.len() > 1000)
    rows[refused].to_parquet(folder / "rejected.parquet", compression="zstd")
    kept = rows[~refused].drop_duplicates(KEY, keep="last").sort_values(KEY, ignore_index=True)
    kept.to_parquet(folder / "interactions.parquet", compression="zstd", index=False)
    sets = kept.copy()
    for name, key in (("user", ["user_id"]), ("item", ["item_type", "item_id"])):
        ids = kept[key].drop_duplicates().sort_values(key, ignore_index=True)
        ids[f"{name}_index"] = (ids.index + 1).astype("int32")
        ids.to_parquet(folder / f"{name}s.parquet", compression="zstd", index=False)
        sets = sets.merge(ids, on=key)
    keys = zip(*(sets[name] for name in KEY), strict=True)
    sets["draw"] = [md5("\x1f".join(("42", *key)).encode(), usedforsecurity=False).hexdigest() for key in keys]
    sets = sets.sort_values("draw", ignore_index=True)[["user_index", "item_index"]]
    train, known = round(0.8 * len(sets)), round(0.9 * len(sets))
    borders = {"train": (0, train), "test": (train, train + len(sets) - known)}
    borders["validation"] = (borders["test"][1], len(sets))
    for name, (start, stop) in borders.items():
        of_set = sets.iloc[start:stop].sort_values(["user_index", "item_index"])
        of_set.to_parquet(folder / f"{name}.parquet", compression="zstd", index=False)


if __name__ == "__main__":
    main()
