"""What a stage shows on the terminal: one line a step, progress bars, and errors of one line."""

import sys
from collections.abc import Callable
from typing import NoReturn

from tqdm import tqdm


class StageError(Exception):
    """A run that cannot go on, told in one line: what was expected, what came, where, and what to do."""


def run(stage: str, main: Callable[[], str]) -> None:
    """Runs a stage's main() and prints the line it returns.

    Exits with 1 and one line on standard error where the stage raised a StageError or the operating system refused a
    file, with 130 where it was interrupted. Anything else is a bug of ours and keeps its traceback.
    """
    try:
        print(f"{stage}: {main()}", flush=True)
    except StageError as error:
        print(f"{stage}: {error}", file=sys.stderr)
        raise SystemExit(1) from None
    except OSError as error:
        print(f"{stage}: {error.filename or 'operating system'}: {error.strerror or error}", file=sys.stderr)
        raise SystemExit(1) from None
    except KeyboardInterrupt:
        print(f"{stage}: interrupted", file=sys.stderr)
        raise SystemExit(130) from None


def progress(*, what: str, unit: str, total: int | None = None, scale: bool = False) -> "tqdm[NoReturn]":
    """A progress bar to be moved by its update(), silent where standard error is not a terminal.

    Args:
      what: the label in front of the bar.
      unit: what one step is, in the singular.
      total: the number of steps, where it is known.
      scale: counts are shown as 12.3k rather than 12345.
    """
    return tqdm(desc=what, unit=f" {unit}", total=total, unit_scale=scale, disable=None, leave=False)
