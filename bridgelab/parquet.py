"""Parquet files of a lab, opened as what anybody may have written: none takes much more memory than its own size.

Arrow believes what a file says of itself: a footer of a few bytes can announce any number of rows, and a page of
16 KiB can unpack to 512 MiB, of which the footer need not speak. So rows and pages are counted before they are read.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from .memory import free_bytes

MOST_FOOTER_BYTES = 4 << 20
MOST_GROUPS, MOST_COLUMNS = 4_096, 64
MOST_TIMES = 512
"""A file takes at most so many times its size. Most of ours take 10 to 30 times, predictions without an error 150."""
LEAST_BYTES, SMALL_BYTES = 4 << 20, 64 << 20
"""So much memory any file may take; and so much without a look at how much is free."""
TAIL_BYTES, HEAD_BYTES = 8, 1 << 16
"""The end of a file has the length of its footer; a page begins with a header of so many bytes at most."""
PLAIN, A_DICTIONARY, BY_RUNS, PACKED_BITS, BY_DICTIONARY = 0, 2, 3, 4, 8
ENCODINGS = (PLAIN, A_DICTIONARY, BY_RUNS, PACKED_BITS, BY_DICTIONARY)
"""With these a text is as long as its bytes; others share the beginnings of texts."""
LONG, OF_A_LONG, OF_A_VALUE, OF_ITS_OWN = ("INT64", "DOUBLE"), 8, 4, 24
"""Bytes of memory for a value in a row, and for one that a page spells out: a text has its place in two tables."""
UNPACKED, PACKED, DATA, DICTIONARY, DATA_2 = 2, 3, 5, 7, 8
"""Fields of a page's header; the last three have fields of their own, how many values it has among them."""
ENCODING, N_VALUES = {DATA: 2, DICTIONARY: 2, DATA_2: 4}, 1
STOP, SWITCHES, NUMBERS, INT32, BYTES, STRUCT = 0, (1, 2), (4, 5, 6), 5, 8, 12
"""How a field of Thrift's compact protocol is written; a page's header has no other kinds."""
MOST_COUNT, MOST_FIELD, MOST_DEPTH = 1 << 31, 1 << 15, 4
"""Beyond these Arrow reads another number than is written."""

Fields = dict[int, Any]


def opened(file: Any, texts: Collection[str] = ()) -> pq.ParquetFile:
    """A Parquet file, its columns `texts` as dictionaries. Raises what pyarrow raises for something else."""
    size = file.size()
    tail = file.read_at(TAIL_BYTES, size - TAIL_BYTES) if size > TAIL_BYTES else b""
    if int.from_bytes(tail[:4], "little") > MOST_FOOTER_BYTES:
        raise pa.ArrowInvalid("its footer is too large")
    try:
        metadata = pq.read_metadata(file)
    except UnicodeDecodeError:
        raise pa.ArrowInvalid("the name of a column is no text") from None
    if metadata.num_row_groups > MOST_GROUPS or metadata.num_columns > MOST_COLUMNS:
        raise pa.ArrowInvalid("it has too many row groups or columns")
    there = [name for name in metadata.schema.names if name in texts]
    return pq.ParquetFile(file, metadata=metadata, read_dictionary=there, page_checksum_verification=True)


def check_size(file: Any, metadata: pq.FileMetaData, columns: Sequence[str]) -> None:
    """Raises ArrowInvalid where some columns of a file would take more memory than MOST_TIMES its size."""
    size, n_bytes = file.size(), 0
    most = max(LEAST_BYTES, MOST_TIMES * size)
    paths = [metadata.schema.column(i).path for i in range(metadata.num_columns)]
    wanted = [i for i, path in enumerate(paths) if path.partition(".")[0] in columns]
    for group in map(metadata.row_group, range(metadata.num_row_groups)):
        for chunk in map(group.column, wanted):
            n_values = max(0, group.num_rows, chunk.num_values)
            width = OF_A_LONG if chunk.physical_type in LONG else OF_A_VALUE
            n_bytes += width * n_values + _unpacked(file, size, chunk)
        if n_bytes > most:
            raise pa.ArrowInvalid(f"it unpacks to more than {MOST_TIMES} times its {size:,} bytes")
    if n_bytes > SMALL_BYTES and n_bytes > free_bytes("cpu") / 2:
        raise pa.ArrowInvalid(f"it unpacks to {n_bytes >> 20:,} MiB, more than half of the memory that is free")


def read(file: Any, source: pq.ParquetFile, schema: pa.Schema) -> pa.Table:
    """All rows of a file that was opened. Raises ArrowInvalid for another schema, and what pyarrow raises."""
    if not source.schema_arrow.equals(schema):
        raise pa.ArrowInvalid("it has other columns")
    check_size(file, source.metadata, schema.names)
    table = source.read()
    table.validate(full=True)
    return table


def _unpacked(file: Any, size: int, chunk: Any) -> int:
    """The bytes of memory that a column's pages unpack to, by their own headers."""
    start, n_packed = chunk.data_page_offset, chunk.total_compressed_size
    if chunk.has_dictionary_page:
        start = min(start, chunk.dictionary_page_offset)
    if not 0 < start <= start + n_packed <= size:
        raise pa.ArrowInvalid("it has a column beyond its end")
    return sum(_pages(file, start, start + n_packed))


def _pages(file: Any, at: int, end: int) -> Iterator[int]:
    data, begins = b"", at
    while at < end:
        if at + HEAD_BYTES > begins + len(data) < end or at > begins + len(data):
            data, begins = file.read_at(min(2 * HEAD_BYTES, end - at), at), at
        header, n_read = _struct(data, at - begins)
        yield _count(header, UNPACKED) + sum(_spelt_out(header[kind], kind) for kind in ENCODING if kind in header)
        at = begins + n_read + _count(header, PACKED)


def _spelt_out(about: Any, kind: int) -> int:
    """The bytes of memory for a page's values, where it has them one by one."""
    encoding = _count(about, ENCODING[kind])
    if encoding not in ENCODINGS:
        raise pa.ArrowInvalid("it has a page that is encoded otherwise")
    is_spelt_out = kind == DICTIONARY or encoding == PLAIN
    return OF_ITS_OWN * _count(about, N_VALUES) if is_spelt_out else 0


def _count(fields: Any, name: int) -> int:
    found = fields.get(name) if isinstance(fields, dict) else None
    if not isinstance(found, int) or not 0 <= found < MOST_COUNT:
        raise pa.ArrowInvalid("it has a page that does not say how large it is")
    return found


def _struct(data: bytes, at: int, depth: int = 0) -> tuple[Fields, int]:
    """The 32-bit numbers and structs in a struct of Thrift's compact protocol, by their ids, and where it ends.

    What Arrow would take for another field, or for none, is not taken here either.
    """
    found: Fields = {}
    number = 0
    try:
        while (byte := data[at]) != STOP:
            at, kind, step = at + 1, byte & 15, byte >> 4
            if not step:
                step, at = _number(data, at)
                number = 0
            number += step
            if kind in NUMBERS:
                value, at = _number(data, at)
                if kind == INT32:
                    found[number] = value
            elif kind == STRUCT and depth < MOST_DEPTH:
                found[number], at = _struct(data, at, depth + 1)
            elif kind == BYTES:
                n, at = _varint(data, at)
                at += n
            elif kind not in SWITCHES:
                raise pa.ArrowInvalid("it has a page without a header")
            if not 0 < number < MOST_FIELD:
                raise pa.ArrowInvalid("it has a page whose header has no such field")
    except IndexError:
        raise pa.ArrowInvalid("it has a page without a header") from None
    return found, at + 1


def _number(data: bytes, at: int) -> tuple[int, int]:
    n, at = _varint(data, at)
    return (n >> 1) ^ -(n & 1), at


def _varint(data: bytes, at: int) -> tuple[int, int]:
    n = data[at]
    if n < 128:
        return n, at + 1
    n &= 127
    for shift in range(7, 70, 7):
        at += 1
        n |= (data[at] & 127) << shift
        if data[at] < 128:
            return n, at + 1
    raise pa.ArrowInvalid("it has a number that does not end")
