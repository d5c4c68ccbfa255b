"""Text files from outside: UTF-8, and no larger than a person or a small program would write one."""

from __future__ import annotations

import stat
from pathlib import Path

MOST_BYTES = 16 << 20


def read_text(path: str | Path) -> str:
    """The text of a file. Raises ValueError with what is wrong with it, be it that it cannot be read."""
    try:
        found = Path(path).stat()
        if not stat.S_ISREG(found.st_mode):
            raise ValueError("it is no file")  # a pipe would never end
        if found.st_size > MOST_BYTES:
            raise ValueError(f"it is larger than {MOST_BYTES >> 20} MiB")
        return Path(path).read_text(encoding="utf-8-sig")
    except OSError as error:
        raise ValueError(error.strerror or str(error)) from None
