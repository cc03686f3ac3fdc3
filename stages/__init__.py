"""The pipeline's stages, one module each, in the order in which data flows through dvc.yaml."""

import os
import signal
import sys
from types import FrameType


def end_interrupted(number: int, frame: FrameType | None) -> None:
    """Ends the process as errors_of_one_line() does when it is interrupted."""
    module = sys.orig_argv[sys.orig_argv.index("-m") + 1]
    os.write(2, f"{module.rpartition('.')[2]}: interrupted\n".encode())
    os._exit(130)


# Under `python -m` alone, while modules are imported: there is nothing to clean up yet, and a KeyboardInterrupt would
# show a traceback. errors_of_one_line() brings Python's own handler back.
if sys.argv[0] == "-m" and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, end_interrupted)
