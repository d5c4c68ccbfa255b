"""Reads checkpoints of TensorFlow (its V2 format, as TF 1 and TF 2 write it) without TensorFlow.

PREFIX.index is a sorted table of names, in blocks whose keys share beginnings, with a footer that leads to
them; PREFIX.data-00000-of-00001 has the numbers, row by row. A file is read as what anybody may have
written: each length and place is held against what there is, each checksum against what it is of.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError
from ..memory import free_bytes
from .crc32c import crc32c, unmasked

MAGIC = 0xDB4775248B80FB57.to_bytes(8, "little")
FOOTER = 48
TRAILER = 5
"""After each block: how it is compressed, and its checksum."""
MOST_INDEX_BYTES = 16 << 20
MOST_SHARDS = 100_000
MOST_ENTRIES, MOST_LETTERS, MOST_AXES = 100_000, 512, 8
"""Of a checkpoint, of a name and of a tensor."""
DTYPES: Mapping[int, str] = {1: "<f4", 2: "<f8", 3: "<i4", 9: "<i8", 19: "<f2"}
"""By the number that stands for a type, of those that are read."""
CURE = "give a checkpoint of TensorFlow's V2 format"
VARINT, FIXED_64, BYTES, FIXED_32 = 0, 1, 2, 5
"""How a field of a message is written."""

Fields = dict[int, list[Any]]


class _MalformedError(Exception):
    """What is wrong, before the file is named."""


@dataclass(frozen=True)
class Entry:
    """Where a tensor is."""

    dtype: int
    shape: tuple[int, ...]
    shard: int
    offset: int
    n_bytes: int
    crc: int
    is_sliced: bool

    @property
    def dtype_name(self) -> str:
        return np.dtype(DTYPES[self.dtype]).name if self.dtype in DTYPES else f"of type {self.dtype}"


@dataclass(frozen=True)
class TensorBundle:
    """A checkpoint by the names of its tensors."""

    prefix: Path
    n_shards: int
    entries: Mapping[str, Entry]

    def read(self, name: str) -> NDArray[Any]:
        """A tensor. Raises DataError where it is missing, cut off, damaged or of a type that is not read."""
        if name not in self.entries:
            raise DataError(f"{self.prefix} has no tensor '{name}'; give a checkpoint that has it")
        entry = self.entries[name]
        path = self.prefix.with_name(f"{self.prefix.name}.data-{entry.shard:05d}-of-{self.n_shards:05d}")
        try:
            data = _read(path, entry)
            return np.frombuffer(data, DTYPES[entry.dtype]).reshape(entry.shape)
        except OSError as error:
            raise DataError(f"cannot read {path}: {error.strerror}; put it beside {self.prefix}.index") from None
        except _MalformedError as error:
            raise DataError(f"{path}: tensor '{name}' {error}; give a good copy of the checkpoint") from None


def open_bundle(prefix: str | Path) -> TensorBundle:
    """The checkpoint of PREFIX.index. Raises DataError for a file that is missing, or is none."""
    prefix = Path(prefix)
    path = prefix.with_name(f"{prefix.name}.index")
    try:
        if path.stat().st_size > MOST_INDEX_BYTES:
            raise _MalformedError("is too large for an index")
        entries = dict(_table(path.read_bytes()))
        header = _fields(entries.pop(b"", b""))
        n_shards = _number(header, 1)
        if not 1 <= n_shards < MOST_SHARDS or _number(header, 2) != 0:
            raise _MalformedError("has no header of a little-endian checkpoint")
        named = {key.decode(): _entry(value, n_shards) for key, value in entries.items()}
    except OSError as error:
        cure = "give the beginning that a checkpoint's files share, as in model.ckpt-1000"
        raise DataError(f"cannot read {path}: {error.strerror}; {cure}") from None
    except UnicodeDecodeError:
        raise DataError(f"{path} has a name that is no text; {CURE}") from None
    except _MalformedError as error:
        raise DataError(f"{path} {error}; {CURE}") from None
    return TensorBundle(prefix, n_shards, named)


def _read(path: Path, entry: Entry) -> bytes:
    if entry.is_sliced:
        raise _MalformedError("is stored in slices, which are not read")
    if entry.dtype not in DTYPES:
        raise _MalformedError(f"is of type {entry.dtype}, which is not read")
    if math.prod(entry.shape) * np.dtype(DTYPES[entry.dtype]).itemsize != entry.n_bytes:
        raise _MalformedError(f"has {entry.n_bytes:,} bytes, which are not those of its shape {entry.shape}")
    with path.open("rb") as file:
        if entry.offset + entry.n_bytes > path.stat().st_size:
            raise _MalformedError("lies beyond the end")
        if entry.n_bytes > free_bytes("cpu") / 4:
            raise _MalformedError("is larger than a quarter of the memory that is free")
        file.seek(entry.offset)
        data = file.read(entry.n_bytes)
    if crc32c(data) != unmasked(entry.crc):
        raise _MalformedError("is damaged: its checksum is another")
    return data


def _table(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """The entries of a whole table, in order."""
    if len(data) < FOOTER or not data.endswith(MAGIC):
        raise _MalformedError("is no index of a checkpoint, or is cut off")
    footer = data[-FOOTER:]
    _, _, at = _handle(footer, 0)  # of what describes the table
    start, size, _ = _handle(footer, at)
    last, n_left, n_bytes = None, MOST_ENTRIES, 0
    for _, value in _block(data, start, size):
        block_start, block_size, _ = _handle(value, 0)
        n_bytes += block_size
        if n_bytes > len(data):  # else one block could be read again and again
            raise _MalformedError("has blocks that overlap")
        for key, entry in _block(data, block_start, block_size):
            if last is not None and key <= last:
                raise _MalformedError("has names out of order")
            if not n_left:
                raise _MalformedError("has too many tensors")
            yield key, entry
            last, n_left = key, n_left - 1


def _block(data: bytes, start: int, size: int) -> Iterator[tuple[bytes, bytes]]:
    """The entries of one block. Each key is told by how much of the one before it begins it."""
    end = start + size
    if size < 4 or end + TRAILER > len(data) - FOOTER:
        raise _MalformedError("has a block beyond its end")
    if data[end] != 0:
        raise _MalformedError("is compressed, which is not read")
    if crc32c(data[start : end + 1]) != unmasked(int.from_bytes(data[end + 1 : end + TRAILER], "little")):
        raise _MalformedError("is damaged: the checksum of a block is another")
    block = data[start:end]
    stop = size - 4 - 4 * int.from_bytes(block[-4:], "little")  # the places where keys are whole are not needed
    at, key = 0, b""
    while at < stop:
        n_shared, at = _varint(block, at)
        n_own, at = _varint(block, at)
        n_value, at = _varint(block, at)
        if n_shared > len(key) or at + n_own + n_value > stop or n_shared + n_own > MOST_LETTERS:
            raise _MalformedError("has an entry beyond its block")
        key = key[:n_shared] + block[at : at + n_own]
        yield key, block[at + n_own : at + n_own + n_value]
        at += n_own + n_value
    if at != stop:
        raise _MalformedError("has a block that does not end where it says")


def _handle(data: bytes, at: int) -> tuple[int, int, int]:
    """Start and size of a block, and where the handle ends."""
    start, at = _varint(data, at)
    size, at = _varint(data, at)
    return start, size, at


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """A number of up to 64 bits, seven in a byte, and where it ends."""
    value = 0
    for shift in range(0, 70, 7):
        if at >= len(data):
            break
        byte, at = data[at], at + 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            if value >= 1 << 64:
                break
            return value, at
    raise _MalformedError("has a number that does not end")


def _fields(message: bytes) -> Fields:
    """The fields of a message by their numbers."""
    found: Fields = {}
    at = 0
    while at < len(message):
        tag, at = _varint(message, at)
        kind = tag & 7
        if kind == VARINT:
            value: int | bytes
            value, at = _varint(message, at)
        elif kind in (FIXED_32, FIXED_64, BYTES):
            n, at = _varint(message, at) if kind == BYTES else (4 if kind == FIXED_32 else 8, at)
            if at + n > len(message):
                raise _MalformedError("has a field beyond its message")
            own, at = message[at : at + n], at + n
            value = own if kind == BYTES else int.from_bytes(own, "little")
        else:
            raise _MalformedError("has a field of no known kind")
        found.setdefault(tag >> 3, []).append(value)
    return found


def _number(fields: Fields, number: int) -> int:
    """A field that is a number; 0 where it is left out."""
    value = fields.get(number, [0])[-1]
    if not isinstance(value, int):
        raise _MalformedError("has text where a number is wanted")
    return value


def _messages(fields: Fields, number: int) -> list[Fields]:
    values = fields.get(number, [])
    if not all(isinstance(value, bytes) for value in values):
        raise _MalformedError("has a number where a message is wanted")
    return [_fields(value) for value in values]


def _entry(message: bytes, n_shards: int) -> Entry:
    fields = _fields(message)
    shape = tuple(_number(dim, 1) for one in _messages(fields, 2) for dim in _messages(one, 2))
    entry = Entry(
        dtype=_number(fields, 1),
        shape=shape,
        shard=_number(fields, 3),
        offset=_number(fields, 4),
        n_bytes=_number(fields, 5),
        crc=_number(fields, 6),
        is_sliced=7 in fields,
    )
    if (
        len(shape) > MOST_AXES
        or entry.shard >= n_shards
        or any(n >= 1 << 40 for n in (*shape, entry.offset, entry.n_bytes))
    ):
        raise _MalformedError("has a tensor in a place that cannot be")
    return entry
