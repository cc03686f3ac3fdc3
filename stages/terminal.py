"""What a command shows on the terminal: one line a step, progress bars, and errors of one line."""

import os
import signal
import sys
import unicodedata
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import ClassVar, NoReturn

from tqdm import tqdm

import stages


class CommandError(Exception):
    """What ends a command, told in one line: what was expected, what came, where, and what to do."""

    exit_code: ClassVar[int] = 1


class StageError(CommandError):
    """A run that cannot go on."""


def printable(text: str) -> str:
    """The text in one line that cannot move the cursor: line ends, escapes and the like as Python writes them."""
    return "".join(one if _shows(one) else one.encode("unicode_escape").decode() for one in text)


def _shows(letter: str) -> bool:
    # Spaces of all widths, and what joins emoji into one, stand in titles.
    return letter.isprintable() or unicodedata.category(letter) == "Zs" or letter == "\N{ZERO WIDTH JOINER}"


@contextmanager
def errors_of_one_line(command: str) -> Iterator[None]:
    """Ends the process with one line on standard error where a command cannot go on.

    The exit code is that of the CommandError, 1 where the operating system refused a file or standard output is closed,
    130 where the command was interrupted, and 141, without a line, where nobody reads its output any more. Anything
    else is a bug of ours and keeps its traceback. An interruption behind the block changes nothing any more.
    """
    alone = signal.getsignal(signal.SIGINT) is stages.end_interrupted
    if sys.stderr is None:
        _discard_errors()
    try:
        if alone:
            signal.signal(signal.SIGINT, signal.default_int_handler)
        # Python has None where the descriptor is closed, and the next file that is opened would get its number.
        if sys.stdout is None:
            raise CommandError(
                "expected an open standard output, found a closed one; redirect it to a file, or to /dev/null"
            )
        yield
    except CommandError as error:
        print(f"{command}: {printable(str(error))}", file=sys.stderr)
        raise SystemExit(error.exit_code) from None
    except BrokenPipeError:
        # Python would write what is left when it ends, and complain.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(141) from None
    except OSError as error:
        what = f"{error.filename or 'operating system'}: {error.strerror or error}"
        print(f"{command}: {printable(' '.join(what.split()))}", file=sys.stderr)
        raise SystemExit(1) from None
    except KeyboardInterrupt:
        if alone:
            signal.signal(signal.SIGINT, signal.SIG_IGN)
        print(f"{command}: interrupted", file=sys.stderr)
        raise SystemExit(130) from None
    finally:
        # Python would show a traceback while it ends, or end by the signal.
        if alone:
            signal.signal(signal.SIGINT, signal.SIG_IGN)


def _discard_errors() -> None:
    """Sends standard error, which is closed, to nowhere: print() would write to standard output instead.

    The descriptor is taken too, where it is free, since the next file that is opened would get its number.
    """
    null = os.open(os.devnull, os.O_WRONLY)
    try:
        os.fstat(2)
    except OSError:
        os.dup2(null, 2)
    sys.stderr = os.fdopen(null, "w", encoding="utf-8")


def run(stage: str, main: Callable[[], str]) -> None:
    """Runs a stage's main() and prints the line it returns; errors as in errors_of_one_line()."""
    with errors_of_one_line(stage):
        print(f"{stage}: {main()}", flush=True)


def progress(*, what: str, unit: str, total: int | None = None, scale: bool = False) -> "tqdm[NoReturn]":
    """A progress bar to be moved by its update(), silent where standard error is not a terminal.

    Args:
      what: the label in front of the bar.
      unit: what one step is, in the singular.
      total: the number of steps, where it is known.
      scale: counts are shown as 12.3k rather than 12345.
    """
    return tqdm(desc=what, unit=f" {unit}", total=total, unit_scale=scale, disable=None, leave=False)
