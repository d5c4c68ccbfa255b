"""IDX files, the format of the MNIST family, plain or gzipped."""

from __future__ import annotations

import gzip
import math
import struct
import zlib
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError

GZIP = b"\x1f\x8b"
MOST_BYTES = 1 << 29
"""Ten times MNIST."""
UINT8 = 8
"""The type code of unsigned bytes, the only one that the MNIST family uses."""


def read_idx(path: Path, n_axes: int) -> NDArray[np.uint8]:
    """The array in an IDX file of bytes with `n_axes` axes: 3 for images, 1 for labels.

    Raises DataError for a file that cannot be read, is cut short, or holds something else.
    """
    try:
        with path.open("rb") as plain:
            is_packed = plain.read(len(GZIP)) == GZIP
        with gzip.open(path) if is_packed else path.open("rb") as file:
            return _array(path, file, n_axes)
    except (gzip.BadGzipFile, zlib.error, EOFError) as error:
        raise _damaged(path, str(error)) from None
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror or error}; put a good copy in its place") from None


def _array(path: Path, file: BinaryIO | gzip.GzipFile, n_axes: int) -> NDArray[np.uint8]:
    """No more is read, or unpacked, than the header announces, and a byte that should not be there."""
    header = file.read(4 + 4 * n_axes)
    if len(header) < 4 + 4 * n_axes or header[:2] != b"\0\0":
        raise _damaged(path, "it does not begin like an IDX file")
    if (header[2], header[3]) != (UINT8, n_axes):
        raise _damaged(path, f"it holds type {header[2]} with {header[3]} axes, not bytes with {n_axes}")
    shape = struct.unpack(f">{n_axes}I", header[4:])
    n_bytes = math.prod(shape)
    if n_bytes > MOST_BYTES:
        raise _damaged(path, f"{n_bytes:,} bytes are announced, and {MOST_BYTES:,} are the most that is read")
    data = file.read(n_bytes)
    if len(data) != n_bytes or file.read(1):
        raise _damaged(
            path, f"{n_bytes:,} bytes are announced and {'fewer' if len(data) < n_bytes else 'more'} are there"
        )
    return np.frombuffer(data, np.uint8).reshape(shape)


def _damaged(path: Path, reason: str) -> DataError:
    return DataError(f"{path} is damaged or not what it should be ({reason}); put a good copy in its place")
