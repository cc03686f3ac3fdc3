"""The commands of `towerline`: the options of a command in, answers or lines to print out."""

import argparse
import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from towerline.exports.writing import embedding_table
from towerline.pipeline import formats
from towerline.pipeline.terminal import progress
from towerline.serving import comparison, output, releases
from towerline.serving import open as open_export
from towerline.serving.bulk import writable, write_recommendations
from towerline.serving.errors import ServingError
from towerline.serving.extension import write_extended
from towerline.serving.recommender import Recommender
from towerline.serving.rows import Row, ids, read_rows


class Answer(NamedTuple):
    """The answer to one question.

    Attributes:
      question: name -> value of what was asked.
      rows: best first, all of one type.
    """

    question: dict[str, object]
    rows: Sequence[NamedTuple]


class UsageError(ServingError):
    """An invalid command line."""

    exit_code = 2


def recommend(arguments: argparse.Namespace) -> Sequence[Answer]:
    answers = open_export(arguments.exports).recommend_batch(
        arguments.user_id,
        arguments.k,
        item_type=arguments.type,
        exclude_seen=not arguments.include_seen,
        unknown=arguments.unknown,
    )
    return [Answer({"user_id": user}, rows) for user, rows in zip(arguments.user_id, answers, strict=True)]


def recommend_all(arguments: argparse.Namespace) -> Sequence[str]:
    out = _written("--out", arguments.out)
    # A file that cannot be written is an error before the export is opened.
    writable(out, arguments.exports)
    # Arrow's own memory pool would keep some 60 MB of freed memory.
    pa.set_memory_pool(pa.system_memory_pool())
    recommender = open_export(arguments.exports)
    num_users = len(recommender.exported.user_ids)
    with progress(what="recommending", unit="user", total=num_users, scale=True) as bar:
        rows = write_recommendations(
            recommender, out, arguments.k, arguments.type, not arguments.include_seen, bar.update
        )
    return [f"{out}: {rows:,} rows for {num_users:,} users"]


def similar_users(arguments: argparse.Namespace) -> Sequence[Answer]:
    recommender = open_export(arguments.exports)
    answers = recommender.similar_users_batch(arguments.user_id, arguments.k, unknown=arguments.unknown)
    return [Answer({"user_id": user}, rows) for user, rows in zip(arguments.user_id, answers, strict=True)]


def similar_items(arguments: argparse.Namespace) -> Sequence[Answer]:
    items = _items(arguments)
    answers = open_export(arguments.exports).similar_items_batch(items, arguments.k, unknown=arguments.unknown)
    return [
        Answer({"item_type": kind, "item_id": item}, rows) for (kind, item), rows in zip(items, answers, strict=True)
    ]


def history(arguments: argparse.Namespace) -> Sequence[Answer]:
    items = _items(arguments)
    recommender = open_export(arguments.exports)
    rows = recommender.recommend_for_history(
        items,
        arguments.k,
        item_type=arguments.type,
        exclude_seen=not arguments.include_seen,
        unknown=arguments.unknown,
    )
    for item in dict.fromkeys(recommender.unknown_items(items)):
        output.note(f"towerline history: ignored, since it is not in the export: {' '.join(map(repr, item))}")
    return [Answer({"history": items}, rows)]


def encode_items(arguments: argparse.Namespace) -> Iterable[str]:
    return _encoded(arguments, ["item_type", "item_id"], Recommender.encode_items)


def encode_users(arguments: argparse.Namespace) -> Iterable[str]:
    return _encoded(arguments, ["user_id"], Recommender.encode_users)


def _encoded(
    arguments: argparse.Namespace,
    key: Sequence[str],
    encode: Callable[[Recommender, Sequence[Row]], NDArray[np.float32]],
) -> Iterable[str]:
    """Writes the embeddings of the rows of a file to a Parquet file, or gives a JSON object for each."""
    out = None if arguments.out is None else writable(_written("--out", arguments.out), arguments.exports)
    rows = read_rows(arguments.file)
    keys = {name: ids(rows, name) for name in key}
    embeddings = encode(open_export(arguments.exports), rows)
    if out is not None:
        table = embedding_table(pa.table(keys), embeddings)
        formats.write_parquet(out, table.schema, table.to_batches())
        return [f"{arguments.out}: {len(embeddings):,} rows of {embeddings.shape[1]} dimensions"]
    named = zip(*keys.values(), embeddings.tolist(), strict=True)
    return (json.dumps(dict(zip([*key, "embedding"], row, strict=True)), ensure_ascii=False) for row in named)


def extend(arguments: argparse.Namespace) -> Sequence[str]:
    out = _written("--out", arguments.out)
    items, users = (None if file is None else read_rows(file) for file in (arguments.items, arguments.users))
    if items is None and users is None:
        raise UsageError("expected --items FILE, --users FILE or both, found neither")
    return [write_extended(arguments.exports, out, items or [], users or [])]


def release(arguments: argparse.Namespace) -> Sequence[str]:
    to = _written("--to", arguments.to)
    with progress(what="releasing", unit="B", scale=True) as bar:
        return [releases.release(arguments.source, to, arguments.keep, bar.update)]


def rollback(arguments: argparse.Namespace) -> Sequence[str]:
    return [releases.rollback(_written("--in", arguments.releases), arguments.version)]


def list_releases(arguments: argparse.Namespace) -> Sequence[Answer]:
    return [Answer({"releases": str(arguments.releases)}, releases.listed(arguments.releases))]


def verify(arguments: argparse.Namespace) -> Sequence[str]:
    return releases.verify(arguments.folder)


def compare(arguments: argparse.Namespace) -> Sequence[Answer]:
    old, new = open_export(arguments.old), open_export(arguments.new)
    with progress(what="comparing", unit="user", total=len(new.exported.user_ids), scale=True) as bar:
        found = comparison.compare(old, new, arguments.k, arguments.top, bar.update)
    compared = {"old": old.version, "new": new.version, "k": arguments.k}
    return [
        Answer({"compared": "overview", **compared}, [found.overview]),
        Answer({"compared": "users whose lists changed most"}, found.changed_users),
        Answer({"compared": "items that entered lists"}, found.entered),
        Answer({"compared": "items that left lists"}, found.left),
    ]


def publish_to_postgres(arguments: argparse.Namespace) -> Sequence[str]:
    # Only publish and rollback need psycopg.
    from towerline.serving.postgres.names import Names
    from towerline.serving.postgres.publishing import publish

    names = Names(arguments.schema, arguments.users, arguments.items)
    exported = open_export(arguments.exports).exported
    rows = len(exported.user_ids) + len(exported.item_ids)
    with progress(what="publishing", unit="row", total=rows, scale=True) as bar:
        return [publish(arguments.dsn, exported, names, bar.update)]


def rollback_in_postgres(arguments: argparse.Namespace) -> Sequence[str]:
    from towerline.serving.postgres.names import Names
    from towerline.serving.postgres.publishing import rollback

    return [rollback(arguments.dsn, Names(arguments.schema, arguments.users, arguments.items))]


def propose(arguments: argparse.Namespace) -> Sequence[str]:
    # An application that only uses an export has neither DuckDB nor ruamel.yaml.
    from towerline import proposal

    return proposal.command(arguments.file, arguments.write)


def _items(arguments: argparse.Namespace) -> list[tuple[str, str]]:
    words = arguments.item
    if len(words) % 2:
        raise UsageError(f"expected pairs of a type and an id, found {len(words)} words")
    return list(zip(words[::2], words[1::2], strict=True))


def _written(option: str, text: str) -> Path:
    """The path that a command writes to; the text is empty if it is a variable of the shell that is not set."""
    if not text:
        raise UsageError(f"{option}: expected a path, found ''; name one, or . for the current folder")
    return Path(text)
