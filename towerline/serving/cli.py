"""The command `towerline`: answers from an export or a release, folders of releases, and publishing to PostgreSQL."""

import argparse
import io
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple, get_args

import pyarrow as pa

from towerline.pipeline.terminal import errors_of_one_line, progress
from towerline.serving import open as open_export
from towerline.serving import output, releases
from towerline.serving.answers import Skipped, Unknown
from towerline.serving.bulk import writable, write_recommendations
from towerline.serving.comparison import compare
from towerline.serving.errors import ServingError
from towerline.serving.version import __version__

EXIT_CODES = """\
Give all ids in one place, after -- if one of them begins with a hyphen.
exit codes: 0 success; 1 failure (no export, no connection, a file that cannot be written, ...);
2 invalid command line; 3 unknown id; 130 interrupted; 141 the reader of the output is gone"""


def parser() -> argparse.ArgumentParser:
    whole = argparse.ArgumentParser(
        prog="towerline",
        description="Recommend from an export, release it, and publish it to PostgreSQL.",
        epilog=EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    whole.add_argument("--version", action="version", version=f"towerline {__version__}")
    commands = whole.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _add_questions(commands)
    _add_releases(commands)
    _add_postgres(commands)
    _add_propose(commands)
    return whole


def _exports() -> argparse.ArgumentParser:
    """The option of every command that reads an export."""
    parent = argparse.ArgumentParser(add_help=False)
    parent.add_argument(
        "--exports", type=Path, default=Path("exports"), help="folder of an export or of releases (default exports)"
    )
    return parent


def _add_questions(commands: Any) -> None:
    counted = argparse.ArgumentParser(add_help=False)
    counted.add_argument("--k", type=_positive, default=10, help="length of each list (default 10)")
    asked = argparse.ArgumentParser(add_help=False, parents=[_exports(), counted])
    asked.add_argument("--json", action="store_true", help="print one JSON object per question, each on one line")
    filtered = argparse.ArgumentParser(add_help=False)
    filtered.add_argument("--type", help="recommend items of this type only")
    filtered.add_argument("--include-seen", action="store_true", help="recommend seen items, too")
    skipped, popular = (argparse.ArgumentParser(add_help=False) for _ in range(2))
    for parent, choices in ((skipped, get_args(Skipped)), (popular, get_args(Unknown))):
        parent.add_argument("--unknown", choices=choices, default="error", help="answer to unknown ids (default error)")

    recommend = commands.add_parser("recommend", parents=[asked, filtered, popular], help="items for users")
    recommend.add_argument("user_id", nargs="+")
    recommend.set_defaults(run=_recommend)

    every = commands.add_parser(
        "recommend-all", parents=[_exports(), counted, filtered], help="items for all users, into a Parquet file"
    )
    every.add_argument("--out", required=True, metavar="FILE", help="Parquet file, a row per user and item")
    every.set_defaults(run=_recommend_all)

    users = commands.add_parser("similar-users", parents=[asked, skipped], help="users similar to a user")
    users.add_argument("user_id", nargs="+")
    users.set_defaults(run=_similar_users)

    items = commands.add_parser("similar-items", parents=[asked, skipped], help="items similar to an item")
    items.add_argument("item", nargs="+", metavar="TYPE ID", help="an item, or several")
    items.set_defaults(run=_similar_items)

    history = commands.add_parser(
        "history", parents=[asked, filtered, popular], help="items for a new user, from the items they interacted with"
    )
    history.add_argument("item", nargs="+", metavar="TYPE ID", help="an item of the history, or several")
    history.set_defaults(run=_history)


def _add_releases(commands: Any) -> None:
    make = commands.add_parser("release", help="copy an export to a folder of releases and make it live")
    make.add_argument(
        "source", type=Path, nargs="?", default=Path("exports"), metavar="EXPORTS", help="default exports"
    )
    make.add_argument("--to", required=True, metavar="RELEASES", help="folder of releases")
    make.add_argument("--keep", type=_positive, help="number of versions to keep, the live one included (default all)")
    make.set_defaults(run=_release)

    back = commands.add_parser("rollback", help="make the previous release live again")
    back.add_argument("--in", dest="releases", required=True, metavar="RELEASES", help="folder of releases")
    back.add_argument("--version", help="make this version live instead")
    back.set_defaults(run=_rollback)

    every = commands.add_parser("releases", help="list the releases of a folder")
    every.add_argument("releases", type=Path, metavar="RELEASES")
    every.add_argument("--json", action="store_true", help="one JSON object")
    every.set_defaults(run=_releases)

    verify = commands.add_parser(
        "verify", help="compare the digests of an export, a release, or all releases of a folder"
    )
    verify.add_argument("folder", type=Path, nargs="?", default=Path("exports"), help="default exports")
    verify.set_defaults(run=_verify)

    compare = commands.add_parser("compare", help="lists, users, items and vectors of two exports")
    compare.add_argument("old", type=Path, metavar="OLD", help="an export, a release, or a folder of releases")
    compare.add_argument("new", type=Path, metavar="NEW", help="likewise")
    compare.add_argument("--k", type=_positive, default=10, help="length of the compared lists (default 10)")
    compare.add_argument("--top", type=_positive, default=10, help="users and items to name (default 10)")
    compare.add_argument("--json", action="store_true", help="print JSON objects, each on one line")
    compare.set_defaults(run=_compare)


def _add_postgres(commands: Any) -> None:
    postgres = commands.add_parser("postgres", help="publish to PostgreSQL with pgvector, or roll back")
    database = argparse.ArgumentParser(add_help=False)
    database.add_argument(
        "--dsn", help="connection string or URI without a password (default: PGHOST, PGSERVICE and so on)"
    )
    database.add_argument("--schema", default="towerline", help="of views and tables (default towerline)")
    database.add_argument("--users", default="users", help="view of the users (default users)")
    database.add_argument("--items", default="items", help="view of the items (default items)")
    within = postgres.add_subparsers(dest="within", required=True, metavar="COMMAND")
    publish = within.add_parser("publish", parents=[_exports(), database], help="make an export the live version")
    publish.set_defaults(run=_publish)
    back = within.add_parser("rollback", parents=[database], help="make the previous version live again")
    back.set_defaults(run=_rollback_postgres)


def _add_propose(commands: Any) -> None:
    propose = commands.add_parser("propose", help="settings of params.yaml for raw data")
    propose.add_argument("file", type=Path, nargs="+", help="interactions (a file or a folder), and an item table")
    propose.add_argument("--write", action="store_true", help="put them into params.yaml, whose comments stay")
    propose.set_defaults(run=_propose)


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number of at least 1, found {text!r}")
    return int(text)


class Answer(NamedTuple):
    """The answer to one question.

    Attributes:
      question: name -> value of what was asked.
      rows: best first, all of one type.
    """

    question: dict[str, object]
    rows: Sequence[NamedTuple]


def _recommend(arguments: argparse.Namespace) -> Sequence[Answer]:
    answers = open_export(arguments.exports).recommend_batch(
        arguments.user_id,
        arguments.k,
        item_type=arguments.type,
        exclude_seen=not arguments.include_seen,
        unknown=arguments.unknown,
    )
    return [Answer({"user_id": user}, rows) for user, rows in zip(arguments.user_id, answers, strict=True)]


def _recommend_all(arguments: argparse.Namespace) -> Sequence[str]:
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


def _similar_users(arguments: argparse.Namespace) -> Sequence[Answer]:
    recommender = open_export(arguments.exports)
    answers = recommender.similar_users_batch(arguments.user_id, arguments.k, unknown=arguments.unknown)
    return [Answer({"user_id": user}, rows) for user, rows in zip(arguments.user_id, answers, strict=True)]


def _similar_items(arguments: argparse.Namespace) -> Sequence[Answer]:
    items = _items(arguments)
    answers = open_export(arguments.exports).similar_items_batch(items, arguments.k, unknown=arguments.unknown)
    return [
        Answer({"item_type": kind, "item_id": item}, rows) for (kind, item), rows in zip(items, answers, strict=True)
    ]


def _history(arguments: argparse.Namespace) -> Sequence[Answer]:
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


def _release(arguments: argparse.Namespace) -> Sequence[str]:
    to = _written("--to", arguments.to)
    with progress(what="releasing", unit="B", scale=True) as bar:
        return [releases.release(arguments.source, to, arguments.keep, bar.update)]


def _rollback(arguments: argparse.Namespace) -> Sequence[str]:
    return [releases.rollback(_written("--in", arguments.releases), arguments.version)]


def _releases(arguments: argparse.Namespace) -> Sequence[Answer]:
    return [Answer({"releases": str(arguments.releases)}, releases.listed(arguments.releases))]


def _verify(arguments: argparse.Namespace) -> Sequence[str]:
    return releases.verify(arguments.folder)


def _compare(arguments: argparse.Namespace) -> Sequence[Answer]:
    old, new = open_export(arguments.old), open_export(arguments.new)
    with progress(what="comparing", unit="user", total=len(new.exported.user_ids), scale=True) as bar:
        comparison = compare(old, new, arguments.k, arguments.top, bar.update)
    compared = {"old": old.version, "new": new.version, "k": arguments.k}
    return [
        Answer({"compared": "overview", **compared}, [comparison.overview]),
        Answer({"compared": "users whose lists changed most"}, comparison.changed_users),
        Answer({"compared": "items that entered lists"}, comparison.entered),
        Answer({"compared": "items that left lists"}, comparison.left),
    ]


def _publish(arguments: argparse.Namespace) -> Sequence[str]:
    # Only publish and rollback need psycopg.
    from towerline.serving.postgres.names import Names
    from towerline.serving.postgres.publishing import publish

    names = Names(arguments.schema, arguments.users, arguments.items)
    exported = open_export(arguments.exports).exported
    rows = len(exported.user_ids) + len(exported.item_ids)
    with progress(what="publishing", unit="row", total=rows, scale=True) as bar:
        return [publish(arguments.dsn, exported, names, bar.update)]


def _rollback_postgres(arguments: argparse.Namespace) -> Sequence[str]:
    from towerline.serving.postgres.names import Names
    from towerline.serving.postgres.publishing import rollback

    return [rollback(arguments.dsn, Names(arguments.schema, arguments.users, arguments.items))]


def _propose(arguments: argparse.Namespace) -> Sequence[str]:
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


class UsageError(ServingError):
    """An invalid command line."""

    exit_code = 2


def main() -> None:
    """Runs the command line."""
    arguments = parser().parse_args()
    show = output.json_line if getattr(arguments, "json", False) else output.table
    if isinstance(sys.stdout, io.TextIOWrapper):
        # JSON is UTF-8; on a terminal, characters that its encoding lacks are escaped.
        encoding = "utf-8" if show is output.json_line else None
        sys.stdout.reconfigure(encoding=encoding, errors="backslashreplace")
    command = " ".join(filter(None, ["towerline", arguments.command, getattr(arguments, "within", None)]))
    with errors_of_one_line(command):
        for answer in arguments.run(arguments):
            if isinstance(answer, str):
                output.line(answer)
            else:
                show(answer.question, answer.rows)
        sys.stdout.flush()
