"""IDX files, the format of the MNIST family, plain or gzipped."""

from __future__ import annotations

import gzip
import math
import struct
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError

UINT8 = 8
"""The type code of unsigned bytes, the only one that the MNIST family uses."""


def read_idx(path: Path, n_axes: int) -> NDArray[np.uint8]:
    """The array in an IDX file of bytes with `n_axes` axes: 3 for images, 1 for labels.

    Raises DataError for a file that cannot be read, is cut short, or holds something else.
    """
    data = _bytes(path)
    header = 4 + 4 * n_axes
    if len(data) < header or data[:2] != b"\0\0":
        raise _damaged(path, "it does not begin like an IDX file")
    if (data[2], data[3]) != (UINT8, n_axes):
        raise _damaged(path, f"it holds type {data[2]} with {data[3]} axes, not bytes with {n_axes}")
    shape = struct.unpack(f">{n_axes}I", data[4:header])
    if len(data) - header != math.prod(shape):
        raise _damaged(path, f"{math.prod(shape):,} bytes are announced and {len(data) - header:,} are there")
    return np.frombuffer(data, np.uint8, offset=header).reshape(shape)


def _bytes(path: Path) -> bytes:
    try:
        data = path.read_bytes()
        return gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data
    except (gzip.BadGzipFile, zlib.error, EOFError) as error:
        raise _damaged(path, str(error)) from None
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror or error}") from None


def _damaged(path: Path, reason: str) -> DataError:
    return DataError(f"{path} is damaged or not what it should be ({reason}); put a good copy in its place")
