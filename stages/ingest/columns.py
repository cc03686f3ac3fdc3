"""Places of the roles among the columns of a file, and errors that name the setting to change."""

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from stages.ingest.records import Dialect, Records
from towerline.pipeline.errors import StageError
from towerline.raw.names import plain, rank, spellings

# A header is shown in messages up to this length.
SHOWN_CHARACTERS = 200


class Layout(NamedTuple):
    """The columns and the dialect of a file.

    Attributes:
      columns: role -> the column's name in the header, or its position from 1 where there is no header.
      dialect: how delimited text is written.
      header: whether the first record of delimited text names the columns.
      timestamp_format: what a timestamp is, where one of the roles is `timestamp`.
      setting: the one that names the files.
      features: whether the columns of no role are read, as features.
    """

    columns: Mapping[str, str | int]
    dialect: Dialect = Dialect()
    header: bool = True
    timestamp_format: str | None = None
    setting: str = "ingest.source"
    features: bool = False

    @property
    def of_interactions(self) -> bool:
        """True if the files hold interactions."""
        return self.setting == "ingest.source"


class Names(NamedTuple):
    """The names of the columns of a file, or its first row where it has no header.

    Attributes:
      path: of the file.
      names: one a column.
      line: the line in text, None for Parquet, which has names in any case.
    """

    path: Path
    names: Sequence[str]
    line: int | None

    @property
    def place(self) -> str:
        """The file, and the line where it is text."""
        return _place(self.path, self.line)


class Columns(NamedTuple):
    """The positions of the columns of a file.

    Attributes:
      roles: role -> position from 0.
      features: name -> position from 0, of the columns of no role.
    """

    roles: dict[str, int]
    features: dict[str, int]

    @classmethod
    def found(cls, header: Names, layout: Layout) -> "Columns":
        """Finds the columns of a layout among the names in a header.

        Raises:
          StageError: a column is missing, or there twice, or a feature has no name.
        """
        place, names = header.place, header.names
        roles = {role: _position(role, column, header, layout) for role, column in layout.columns.items()}
        if not layout.features:
            return cls(roles, {})
        rest = [position for position in range(len(names)) if position not in roles.values()]
        for position in rest:
            if not names[position].strip():
                raise StageError(
                    f"{place}: expected a name for each column, found none for column {position + 1}; name it, "
                    "or take it out (pandas writes one for its index unless to_csv has index=False)"
                )
            if names.count(names[position]) > 1:
                raise StageError(f"{place}: expected one column {names[position]!r}, found several; rename them")
        return cls(roles, {names[position]: position for position in rest})


def check_first_row(path: Path, line: int, roles: Mapping[str, str]) -> None:
    """Raises StageError if the first row of a file without a header holds usual names of columns as its ids."""
    if all(rank(role, roles[role]) is not None for role in ("user_id", "item_id")):
        raise StageError(
            f"{_place(path, line)}: expected a row, since ingest.header is false, found the names of columns: "
            f"{', '.join(roles.values())[:SHOWN_CHARACTERS]}; set ingest.header to true, and ingest.columns to names, "
            f"or {run_propose(path)}"
        )


def check_header(path: Path, records: Records, layout: Layout) -> None:
    """Raises StageError if the first record cannot be the names of columns."""
    expected = f"{_place(path, int(records.line[0]))}: expected the names of the columns, found"
    advice = _advice_to_propose(path, layout)
    if records.misquoted[0]:
        raise StageError(f"{expected} a quote that is not closed; correct it, or set ingest.quote{advice}")
    if "\0" in records.raw[0].as_py():
        raise StageError(
            f"{expected} binary data; if it is text in another encoding, set ingest.encoding, perhaps to utf-16{advice}"
        )


def _place(path: Path, line: int | None) -> str:
    return str(path) if line is None else f"{path}: line {line}"


def _position(role: str, column: str | int, header: Names, layout: Layout) -> int:
    names = header.names
    if isinstance(column, int):
        if column <= len(names):
            return column - 1
    elif names.count(column) == 1:
        return names.index(column)
    wanted = f"a column {column}" if isinstance(column, int) else f"one column {column!r}"
    advice = f"{_advice(role, header, layout)}{_advice_to_propose(header.path, layout)}"
    if not isinstance(column, int) and column in names:
        advice = "; rename all of that name but one"
    raise StageError(f"{header.place}: expected {wanted} for {role}, found {_listed(names)}{advice}")


def _listed(names: Sequence[str]) -> str:
    if len(names) == 1:
        return f"one column {names[0][:SHOWN_CHARACTERS]!r}"
    return f"{len(names)} columns: {', '.join(names)[:SHOWN_CHARACTERS]}"


def _advice(role: str, header: Names, layout: Layout) -> str:
    """The setting to change where a role's column is missing."""
    names, text = header.names, header.line is not None
    if text and len(names) == 1:
        # A colon is more often part of a name, as in user_id:token, than a delimiter.
        marks = [mark for mark in "\t;|,:" if mark in names[0] and mark != layout.dialect.delimiter]
        if marks and names[0].replace("\t", "").isprintable():
            found, set_one = ('"\\t"' if mark == "\t" else f"'{mark}'" for mark in (marks[0], layout.dialect.delimiter))
            all_files = "" if layout.of_interactions else f", for all files, or write the table with {set_one}"
            return f": set ingest.delimiter to {found}{all_files}"
    if text and layout.header and any(name.strip().isdecimal() for name in names):
        return "; if line 1 is a row, set ingest.header to false and ingest.columns to positions"
    wanted = layout.columns[role]
    alike = [name for name in names if isinstance(wanted, str) and plain(wanted) in spellings(name)]
    if not layout.of_interactions:
        return f"; rename {alike[0]!r}" if alike else "; add it"
    if alike:
        return f"; set ingest.columns.{role} to {alike[0]!r}"
    optional = "" if role.endswith("_id") else ", or to null where the data has none"
    return f"; set ingest.columns.{role} to the one that holds it{optional}"


def _advice_to_propose(path: Path, layout: Layout) -> str:
    # Settings are proposed for interactions; a table of features alone has none.
    return f", or {run_propose(path)}" if layout.of_interactions else ""


def run_propose(*paths: str | Path) -> str:
    """The advice to have settings proposed for files."""
    return f"run python -m towerline propose {shlex.join(map(str, paths))}"
