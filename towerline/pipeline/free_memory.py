"""The memory that is free for a process."""

import re
from pathlib import Path

GIGABYTE = 10**9
# Where Linux tells how much memory is free, on the machine and within a container.
MACHINE = Path("/proc/meminfo")
CONTAINER = Path("/sys/fs/cgroup")


def free_bytes() -> float:
    """Bytes of memory that are free for this process; infinity where the system does not tell."""
    found = [float("inf")]
    if MACHINE.exists():
        found += [
            1024 * float(number) for number in re.findall(r"^MemAvailable:\s+(\d+) kB", MACHINE.read_text(), re.M)
        ]
    limit = CONTAINER / "memory.max"
    if limit.exists() and (most := limit.read_text().strip()) != "max":
        # The system drops cached files where a process needs their memory.
        cached = re.findall(r"^file (\d+)", (CONTAINER / "memory.stat").read_text(), re.M)
        used = float((CONTAINER / "memory.current").read_text()) - sum(map(float, cached))
        found.append(float(most) - used)
    return min(found)
