"""The most memory that a process had at once, as Linux counts it: of itself, and not of the process that began it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

STATUS, RESET = Path("/proc/self/status"), Path("/proc/self/clear_refs")


@contextlib.contextmanager
def at_most(mib: float) -> Iterator[None]:
    """Asserts that what is done inside takes so much more memory at most, be it for a moment only."""
    RESET.write_text("5")
    before = mebibytes("VmRSS")
    yield
    more = mebibytes("VmHWM") - before
    assert more < mib, f"{more:.0f} MiB"


def mebibytes(name: str) -> float:
    """What the process has now (VmRSS), or had at most (VmHWM)."""
    line = next(line for line in STATUS.read_text().splitlines() if line.startswith(f"{name}:"))
    return int(line.split()[1]) / 1024
