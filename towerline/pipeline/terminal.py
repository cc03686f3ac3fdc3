"""Terminal output of commands: result lines, progress bars, and one-line errors."""

import os
import signal
import sys
import unicodedata
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NoReturn

from tqdm import tqdm

from towerline.pipeline.environment import EndInterrupted
from towerline.pipeline.errors import CommandError


def printable(text: str) -> str:
    """Text with control characters escaped, so that it stays on one line."""
    return "".join(letter if _shows(letter) else letter.encode("unicode_escape").decode() for letter in text)


def _shows(letter: str) -> bool:
    # Titles contain spaces of all widths, and emoji with joiners.
    return letter.isprintable() or unicodedata.category(letter) == "Zs" or letter == "\N{ZERO WIDTH JOINER}"


@contextmanager
def errors_of_one_line(command: str) -> Iterator[None]:
    """Turns errors of the block into one line on standard error and an exit code.

    The exit code is that of the CommandError; 1 for an error of the operating system or a closed standard output; 130
    after an interruption; and 141, without a line, if the reader of standard output is gone. Other exceptions are bugs
    and keep their traceback. An interruption after the block has no effect.
    """
    alone = isinstance(signal.getsignal(signal.SIGINT), EndInterrupted)
    if sys.stderr is None:
        _discard_errors()
    try:
        if alone:
            signal.signal(signal.SIGINT, signal.default_int_handler)
        # sys.stdout is None if the descriptor is closed; the next file to be opened would get its number.
        if sys.stdout is None:
            raise CommandError(
                "expected an open standard output, found a closed one; redirect it to a file, or to /dev/null"
            )
        yield
    except CommandError as error:
        print(f"{command}: {printable(str(error))}", file=sys.stderr)
        raise SystemExit(error.exit_code) from None
    except BrokenPipeError:
        # At its end, Python would flush the rest and report an error.
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
        # While it ends, Python would show a traceback or be killed by the signal.
        if alone:
            signal.signal(signal.SIGINT, signal.SIG_IGN)


def _discard_errors() -> None:
    """Redirects a closed standard error to the null device.

    The descriptor is occupied too, since the next file to be opened would get its number.
    """
    null = os.open(os.devnull, os.O_WRONLY)
    try:
        os.fstat(2)
    except OSError:
        os.dup2(null, 2)
    sys.stderr = os.fdopen(null, "w", encoding="utf-8")


def run(stage: str, main: Callable[[], str]) -> None:
    """Runs main() of a stage and prints the line that it returns; errors as in errors_of_one_line()."""
    with errors_of_one_line(stage):
        say(stage, main())


def say(stage: str, line: str) -> None:
    """Prints a line of a stage at once."""
    print(f"{stage}: {line}", flush=True)


def progress(*, what: str, unit: str, total: int | None = None, scale: bool = False) -> "tqdm[NoReturn]":
    """Progress bar, advanced by its method update(); hidden if standard error is not a terminal.

    Args:
      what: the label in front of the bar.
      unit: what one step is, in the singular.
      total: the number of steps, where it is known.
      scale: counts are shown as 12.3k rather than 12345.
    """
    return tqdm(desc=what, unit=f" {unit}", total=total, unit_scale=scale, disable=None, leave=False)
