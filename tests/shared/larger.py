"""Files that are larger than they seem: they say that they are a terabyte, or unpack to more than they tell."""

import io
import os
from pathlib import Path

import bundles
import damage
import pyarrow as pa
import pyarrow.parquet as pq
from some_rows import rows_of

from bridgelab.results import SCHEMAS

TERABYTE = 1 << 40


def sparse(path: Path, data: bytes = b"", end: bytes = b"") -> Path:
    """A file that says it is a terabyte, and takes no room."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    os.truncate(path, TERABYTE)
    with path.open("r+b") as file:
        file.seek(-len(end), os.SEEK_END)
        file.write(end)
    return path


def zigzag(number: int) -> bytes:
    """A number as Thrift writes it."""
    return bundles.varint(2 * number)


def lying(data: bytes, true: int, told: int) -> bytes:
    """A Parquet file whose footer says another number."""
    start = len(data) - 8 - int.from_bytes(data[-8:-4], "little")
    footer = data[start:-8]
    assert zigzag(true) in footer
    footer = footer.replace(zigzag(true), zigzag(told))
    return data[:start] + footer + len(footer).to_bytes(4, "little") + b"PAR1"


def trials_of(column: str, values: list[object]) -> pa.Table:
    """Rows of `trials` in which one column is given."""
    rows = rows_of("trials", 1) * len(values)
    return pa.Table.from_pylist([row | {column: one} for row, one in zip(rows, values, strict=True)], SCHEMAS["trials"])


def bomb() -> bytes:
    """64 MiB in a few KiB, of which the footer says that they are 200 bytes."""
    data = damage.packed(trials_of("config", ["\0" * (64 << 20)]), use_dictionary=False, write_statistics=False)
    chunk = pq.read_metadata(io.BytesIO(data)).row_group(0).column(SCHEMAS["trials"].names.index("config"))
    assert len(data) < 1 << 14
    return lying(data, chunk.total_uncompressed_size, 200)


def many_rows() -> bytes:
    """A few rows, of which the footer says that they are a thousand million."""
    return lying(damage.packed(trials_of("attempt", [0] * 1_234)), 1_234, 1_000_000_000)


def shared_beginnings() -> bytes:
    """Texts that share their beginnings: each takes a few bytes, and is long."""
    column = {"column_encoding": {"config": "DELTA_BYTE_ARRAY"}, "use_dictionary": False}
    return damage.packed(trials_of("config", ["x" * 100_000 + str(i) for i in range(1_000)]), **column)
