"""How much memory a device has free, and what a process does with memory that it frees itself."""

from __future__ import annotations

import contextlib
import ctypes
import math
from pathlib import Path

MEMINFO = Path("/proc/meminfo")
CGROUP = Path("/sys/fs/cgroup")
KEPT = {-3: 1 << 25, -1: (1 << 31) - 1, -2: 1 << 26}
"""Options of mallopt: M_MMAP_THRESHOLD, M_TRIM_THRESHOLD, M_TOP_PAD, in bytes."""


def free_bytes(device: str) -> float:
    """Of a GPU, or of this machine, or of the control group that the process is in; inf where nobody says.

    Of a GPU also what torch has kept of tensors that are gone: the next ones take it.
    """
    if device == "cuda":
        import torch

        return float(torch.cuda.mem_get_info()[0] + torch.cuda.memory_reserved() - torch.cuda.memory_allocated())
    return min(_of_the_machine(), _of_the_group())


def keep_freed() -> None:
    """Has glibc keep the large tensors that a step frees for the next one.

    It would give them back to the system and have them cleared anew, which costs a tenth of a step.
    """
    with contextlib.suppress(AttributeError, OSError):  # another C library has no such setting
        for option, value in KEPT.items():
            ctypes.CDLL(None).mallopt(option, value)


def _of_the_machine() -> float:
    with contextlib.suppress(OSError, StopIteration, ValueError):
        lines = MEMINFO.read_text().splitlines()
        return 1024.0 * int(next(line.split()[1] for line in lines if line.startswith("MemAvailable:")))
    return math.inf


def _of_the_group() -> float:
    with contextlib.suppress(OSError, ValueError):  # "max" is no number: no limit
        most, used = (int((CGROUP / name).read_text()) for name in ("memory.max", "memory.current"))
        stat = dict(line.split() for line in (CGROUP / "memory.stat").read_text().splitlines())
        cached = int(stat.get("inactive_file", 0)) + int(stat.get("active_file", 0))  # given back when it is needed
        return float(most - used + cached)
    return math.inf
