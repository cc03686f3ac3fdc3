"""The pipeline's stages, one module each, in the order in which data flows through dvc.yaml.

Where the process is a stage, as in `python -m stages.train`, importing this package fixes how the numeric libraries
choose their code, before the first of them is loaded: otherwise each takes the best that the processor has, and sums in
the order that goes with it. Other programs that import modules of ours keep their own environment.
"""

import itertools
import os
import signal
import sys
from collections.abc import Mapping, MutableMapping, Sequence
from pathlib import Path
from types import FrameType

# What every stage runs with, whatever is set outside: code for x86-64-v3 (AVX2 and FMA), one order of summation.
FIXED: Mapping[str, str] = {
    # float32 exp and log, and the order that an unstable sort leaves equal values in.
    "NPY_ENABLE_CPU_FEATURES": "X86_V3",
    # The kernels and blocks of matrix products and factorisations, in the copies that NumPy, SciPy and faiss bring. The
    # blocks of this core are constants; other cores' depend on the size of the L2 cache.
    "OPENBLAS_CORETYPE": "Haswell",
    # Blocks depend on the number of threads, too.
    "OPENBLAS_NUM_THREADS": "1",
    "FAISS_SIMD_LEVEL": "AVX2",
    # TensorFlow's kernels come in one version, but for those that oneDNN generates.
    "TF_ENABLE_ONEDNN_OPTS": "0",
    "ONEDNN_MAX_CPU_ISA": "AVX2",
    # Compiles for the processor that it finds where this switches it on.
    "TF_XLA_FLAGS": "",
}
# Excludes NPY_ENABLE_CPU_FEATURES.
REMOVED = ("NPY_DISABLE_CPU_FEATURES",)
# x86-64-v3 as /proc/cpuinfo names its parts (abm holds lzcnt): Intel since Haswell (2013), AMD since Excavator (2015).
NEEDED = ("avx2", "bmi1", "bmi2", "f16c", "fma", "movbe", "abm")
PROCESSOR = Path("/proc/cpuinfo")


def stage_of(command: Sequence[str]) -> str | None:
    """The stage that a command line of Python runs as a module, None where it runs something else."""
    names = [name for option, name in itertools.pairwise(command) if option == "-m"]
    return next((name.removeprefix("stages.") for name in names if name.startswith("stages.")), None)


def lacking(processor: str) -> list[str]:
    """The parts of x86-64-v3 that a processor does not have.

    Args:
      processor: text of /proc/cpuinfo; without a line of flags nothing can be said, and nothing is lacking.
    """
    flags = next((line.split(":", 1)[1].split() for line in processor.splitlines() if line.startswith("flags")), NEEDED)
    return [part for part in NEEDED if part not in flags]


def fix_arithmetic(environment: MutableMapping[str, str]) -> None:
    """Sets what the libraries read when they are loaded; what is loaded already stays as it is."""
    environment.update(FIXED)
    for name in REMOVED:
        environment.pop(name, None)


def end_interrupted(number: int, frame: FrameType | None) -> None:
    """Ends the process as errors_of_one_line() does when it is interrupted."""
    module = sys.orig_argv[sys.orig_argv.index("-m") + 1]
    os.write(2, f"{module.rpartition('.')[2]}: interrupted\n".encode())
    os._exit(130)


# Under `python -m` alone, while modules are imported: there is nothing to clean up yet, and a KeyboardInterrupt would
# show a traceback. errors_of_one_line() brings Python's own handler back.
if sys.argv[0] == "-m" and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, end_interrupted)

if (_stage := stage_of(sys.orig_argv)) is not None:
    if _missing := lacking(PROCESSOR.read_text(encoding="utf-8", errors="replace") if PROCESSOR.exists() else ""):
        # Without this NumPy would not load, and say so in many lines.
        sys.exit(f"{_stage}: processor: expected x86-64-v3 (AVX2 and FMA), found one without {', '.join(_missing)}")
    fix_arithmetic(os.environ)
