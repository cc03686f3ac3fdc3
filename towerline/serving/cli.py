"""The command `towerline`: answers from an export, new items and users, releases, and PostgreSQL."""

import argparse
import io
import sys
from pathlib import Path
from typing import Any, get_args

from towerline.pipeline.terminal import errors_of_one_line
from towerline.serving import commands, output
from towerline.serving.answers import Skipped, Unknown
from towerline.serving.version import __version__

EXIT_CODES = """\
Give all ids in one place, after -- if one of them begins with a hyphen.
exit codes: 0 success; 1 failure (no export, no connection, a file that cannot be written, ...);
2 invalid command line; 3 unknown id; 130 interrupted; 141 the reader of the output is gone"""


def parser() -> argparse.ArgumentParser:
    whole = argparse.ArgumentParser(
        prog="towerline",
        description="Recommend from an export, extend it, release it, and publish it to PostgreSQL.",
        epilog=EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    whole.add_argument("--version", action="version", version=f"towerline {__version__}")
    parsers = whole.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _add_questions(parsers)
    _add_new_ids(parsers)
    _add_releases(parsers)
    _add_postgres(parsers)
    _add_propose(parsers)
    return whole


def _exports() -> argparse.ArgumentParser:
    """The option of every command that reads an export."""
    parent = argparse.ArgumentParser(add_help=False)
    parent.add_argument(
        "--exports", type=Path, default=Path("exports"), help="folder of an export or of releases (default exports)"
    )
    return parent


def _add_questions(parsers: Any) -> None:
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

    recommend = parsers.add_parser("recommend", parents=[asked, filtered, popular], help="items for users")
    recommend.add_argument("user_id", nargs="+")
    recommend.set_defaults(run=commands.recommend)

    every = parsers.add_parser(
        "recommend-all", parents=[_exports(), counted, filtered], help="items for all users, into a Parquet file"
    )
    every.add_argument("--out", required=True, metavar="FILE", help="Parquet file, a row per user and item")
    every.set_defaults(run=commands.recommend_all)

    users = parsers.add_parser("similar-users", parents=[asked, skipped], help="users similar to a user")
    users.add_argument("user_id", nargs="+")
    users.set_defaults(run=commands.similar_users)

    items = parsers.add_parser("similar-items", parents=[asked, skipped], help="items similar to an item")
    items.add_argument("item", nargs="+", metavar="TYPE ID", help="an item, or several")
    items.set_defaults(run=commands.similar_items)

    history = parsers.add_parser(
        "history", parents=[asked, filtered, popular], help="items for a new user, from the items they interacted with"
    )
    history.add_argument("item", nargs="+", metavar="TYPE ID", help="an item of the history, or several")
    history.set_defaults(run=commands.history)


def _add_new_ids(parsers: Any) -> None:
    of_rows = "table with a header, .csv (comma, double quotes, UTF-8) or .parquet, with a row for each"
    for kind, key in (("items", "item_type, item_id"), ("users", "user_id")):
        encode = parsers.add_parser(
            f"encode-{kind}", parents=[_exports()], help=f"embeddings of {kind} that training did not know"
        )
        encode.add_argument("file", type=Path, metavar="FILE", help=f"{of_rows}: {key}, and the declared features")
        encode.add_argument("--out", metavar="FILE", help="Parquet file; without it, JSON objects are printed")
        encode.set_defaults(run=getattr(commands, f"encode_{kind}"), json=True)

    extend = parsers.add_parser("extend", parents=[_exports()], help="an export with more items or users")
    for kind in ("items", "users"):
        extend.add_argument(f"--{kind}", type=Path, metavar="FILE", help=f"new {kind}, as for encode-{kind}")
    extend.add_argument("--out", required=True, metavar="FOLDER", help="new or empty folder for the export")
    extend.set_defaults(run=commands.extend)


def _add_releases(parsers: Any) -> None:
    make = parsers.add_parser("release", help="copy an export to a folder of releases and make it live")
    make.add_argument(
        "source", type=Path, nargs="?", default=Path("exports"), metavar="EXPORTS", help="default exports"
    )
    make.add_argument("--to", required=True, metavar="RELEASES", help="folder of releases")
    make.add_argument("--keep", type=_positive, help="number of versions to keep, the live one included (default all)")
    make.set_defaults(run=commands.release)

    back = parsers.add_parser("rollback", help="make the previous release live again")
    back.add_argument("--in", dest="releases", required=True, metavar="RELEASES", help="folder of releases")
    back.add_argument("--version", help="make this version live instead")
    back.set_defaults(run=commands.rollback)

    every = parsers.add_parser("releases", help="list the releases of a folder")
    every.add_argument("releases", type=Path, metavar="RELEASES")
    every.add_argument("--json", action="store_true", help="one JSON object")
    every.set_defaults(run=commands.list_releases)

    verify = parsers.add_parser(
        "verify", help="compare the digests of an export, a release, or all releases of a folder"
    )
    verify.add_argument("folder", type=Path, nargs="?", default=Path("exports"), help="default exports")
    verify.set_defaults(run=commands.verify)

    compare = parsers.add_parser("compare", help="lists, users, items and vectors of two exports")
    compare.add_argument("old", type=Path, metavar="OLD", help="an export, a release, or a folder of releases")
    compare.add_argument("new", type=Path, metavar="NEW", help="likewise")
    compare.add_argument("--k", type=_positive, default=10, help="length of the compared lists (default 10)")
    compare.add_argument("--top", type=_positive, default=10, help="users and items to name (default 10)")
    compare.add_argument("--json", action="store_true", help="print JSON objects, each on one line")
    compare.set_defaults(run=commands.compare)


def _add_postgres(parsers: Any) -> None:
    postgres = parsers.add_parser("postgres", help="publish to PostgreSQL with pgvector, or roll back")
    database = argparse.ArgumentParser(add_help=False)
    database.add_argument(
        "--dsn", help="connection string or URI without a password (default: PGHOST, PGSERVICE and so on)"
    )
    database.add_argument("--schema", default="towerline", help="of views and tables (default towerline)")
    database.add_argument("--users", default="users", help="view of the users (default users)")
    database.add_argument("--items", default="items", help="view of the items (default items)")
    within = postgres.add_subparsers(dest="within", required=True, metavar="COMMAND")
    publish = within.add_parser("publish", parents=[_exports(), database], help="make an export the live version")
    publish.set_defaults(run=commands.publish_to_postgres)
    back = within.add_parser("rollback", parents=[database], help="make the previous version live again")
    back.set_defaults(run=commands.rollback_in_postgres)


def _add_propose(parsers: Any) -> None:
    propose = parsers.add_parser("propose", help="settings of params.yaml for raw data")
    propose.add_argument("file", type=Path, nargs="+", help="interactions (a file or a folder), and an item table")
    propose.add_argument("--write", action="store_true", help="put them into params.yaml, whose comments stay")
    propose.set_defaults(run=commands.propose)


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number of at least 1, found {text!r}")
    return int(text)


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
