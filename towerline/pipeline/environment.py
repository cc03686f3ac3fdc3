"""The environment in which a stage computes: the same code of the numeric libraries on every processor.

`stages/__init__.py` calls fix_for_stage() before the first of these libraries is loaded: otherwise each takes the best
code that the processor has, and sums in the order that goes with it. Other programs that import modules of Towerline
keep their own environment.
"""

import itertools
import os
import signal
import sys
from collections.abc import Mapping, MutableMapping, Sequence
from pathlib import Path
from types import FrameType

# Overrides what the shell sets: code for x86-64-v3 (AVX2 and FMA) and one order of summation.
FIXED: Mapping[str, str] = {
    # Affects float32 exp and log, and the order of equal values after an unstable sort.
    "NPY_ENABLE_CPU_FEATURES": "X86_V3",
    # Affects matrix products and factorisations in NumPy, SciPy and faiss. The block sizes of this core are constants;
    # those of other cores depend on the size of the L2 cache.
    "OPENBLAS_CORETYPE": "Haswell",
    # Block sizes also depend on the number of threads.
    "OPENBLAS_NUM_THREADS": "1",
    "FAISS_SIMD_LEVEL": "AVX2",
    # TensorFlow has one version of each kernel, except for those that oneDNN generates.
    "TF_ENABLE_ONEDNN_OPTS": "0",
    "ONEDNN_MAX_CPU_ISA": "AVX2",
    # XLA would compile for the processor at hand.
    "TF_XLA_FLAGS": "",
}
# NumPy refuses it together with NPY_ENABLE_CPU_FEATURES.
REMOVED = ("NPY_DISABLE_CPU_FEATURES",)
# The features of x86-64-v3 as /proc/cpuinfo names them (abm includes lzcnt): Intel since Haswell (2013), AMD since
# Excavator (2015).
NEEDED = ("avx2", "bmi1", "bmi2", "f16c", "fma", "movbe", "abm")
PROCESSOR = Path("/proc/cpuinfo")


def stage_of(command: Sequence[str]) -> str | None:
    """Name of the stage that a Python command line runs as a module; None if it runs something else."""
    names = [name for option, name in itertools.pairwise(command) if option == "-m"]
    return next((name.removeprefix("stages.") for name in names if name.startswith("stages.")), None)


def lacking(processor: str) -> list[str]:
    """Features of x86-64-v3 that a processor lacks.

    Args:
      processor: text of /proc/cpuinfo; without a line of flags no feature counts as lacking.
    """
    flags = next((line.split(":", 1)[1].split() for line in processor.splitlines() if line.startswith("flags")), NEEDED)
    return [feature for feature in NEEDED if feature not in flags]


def fix_arithmetic(environment: MutableMapping[str, str]) -> None:
    """Sets the variables that the libraries read when they are loaded; loaded libraries do not change."""
    environment.update(FIXED)
    for name in REMOVED:
        environment.pop(name, None)


class EndInterrupted:
    """Handler of SIGINT that ends the process with one line and exit code 130, as errors_of_one_line() does.

    It is for the time in which modules are imported, when a KeyboardInterrupt would show a traceback.
    """

    def __init__(self, command: str) -> None:
        self.command = command

    def __call__(self, number: int, frame: FrameType | None) -> None:
        os.write(2, f"{self.command}: interrupted\n".encode())
        os._exit(130)

    def install(self) -> None:
        """Replaces Python's own handler; one that a program has set stays."""
        if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            signal.signal(signal.SIGINT, self)


def fix_for_stage() -> None:
    """Fixes the environment and the answer to Ctrl-C if the process is a stage (`python -m stages.train`)."""
    if (stage := stage_of(sys.orig_argv)) is None:
        return
    EndInterrupted(stage).install()
    if missing := lacking(PROCESSOR.read_text(encoding="utf-8", errors="replace") if PROCESSOR.exists() else ""):
        # NumPy would fail to load with an error of many lines.
        sys.exit(f"{stage}: processor: expected x86-64-v3 (AVX2 and FMA), found one without {', '.join(missing)}")
    fix_arithmetic(os.environ)
