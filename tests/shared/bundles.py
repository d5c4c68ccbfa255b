"""A writer of TensorFlow's V2 checkpoints that has nothing in common with the reader: from the format's description."""

import struct
from collections.abc import Mapping
from pathlib import Path

import numpy as np

DTYPES = {"float32": 1, "float64": 2, "int32": 3, "int64": 9, "bool": 10}


def crc32c(data: bytes) -> int:
    """Bit by bit, as the polynomial is defined."""
    register = 0xFFFFFFFF
    for byte in data:
        register ^= byte
        for _ in range(8):
            register = register >> 1 ^ (0x82F63B78 if register & 1 else 0)
    return register ^ 0xFFFFFFFF


def masked(crc: int) -> bytes:
    return struct.pack("<I", ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF)


def varint(n: int) -> bytes:
    return bytes([n]) if n < 128 else bytes([n & 127 | 128]) + varint(n >> 7)


def number(field: int, n: int) -> bytes:
    return varint(field << 3) + varint(n)


def message(field: int, content: bytes) -> bytes:
    return varint(field << 3 | 2) + varint(len(content)) + content


def entry(array: np.ndarray, shard: int, offset: int) -> bytes:
    shape = b"".join(message(2, number(1, n)) for n in array.shape)
    data = array.tobytes()
    return (
        number(1, DTYPES[array.dtype.name])
        + message(2, shape)
        + (number(3, shard) if shard else b"")
        + (number(4, offset) if offset else b"")
        + number(5, len(data))
        + varint(6 << 3 | 5)
        + masked(crc32c(data))
    )


def block(pairs: list[tuple[bytes, bytes]], every: int) -> bytes:
    """Keys are whole at every so-manieth entry, and elsewhere only what differs from the one before."""
    out, restarts, last = b"", [], b""
    for i, (key, value) in enumerate(pairs):
        shared = 0
        if i % every == 0:
            restarts.append(len(out))
        else:
            while shared < min(len(key), len(last)) and key[shared] == last[shared]:
                shared += 1
        out += varint(shared) + varint(len(key) - shared) + varint(len(value)) + key[shared:] + value
        last = key
    restarts = restarts or [0]
    return out + b"".join(struct.pack("<I", at) for at in restarts) + struct.pack("<I", len(restarts))


def write(prefix: Path, tensors: Mapping[str, np.ndarray], n_shards: int = 1, per_block: int = 5) -> None:
    """PREFIX.index and PREFIX.data-*: tensors go to the shards in turn, and names into blocks of a few."""
    shards = [b""] * n_shards
    pairs = [(b"", number(1, n_shards) + message(3, number(1, 1)))]
    for i, name in enumerate(sorted(tensors, key=str.encode)):
        shard = i % n_shards
        pairs.append((name.encode(), entry(tensors[name], shard, len(shards[shard]))))
        shards[shard] += tensors[name].tobytes()
    for i, data in enumerate(shards):
        prefix.with_name(f"{prefix.name}.data-{i:05d}-of-{n_shards:05d}").write_bytes(data)
    prefix.with_name(f"{prefix.name}.index").write_bytes(table(pairs, per_block))


def table(pairs: list[tuple[bytes, bytes]], per_block: int = 5) -> bytes:
    out, index = b"", []

    def add(content: bytes) -> bytes:
        nonlocal out
        handle = varint(len(out)) + varint(len(content))
        out += content + b"\0" + masked(crc32c(content + b"\0"))
        return handle

    for start in range(0, len(pairs), per_block):
        part = pairs[start : start + per_block]
        index.append((part[-1][0] + b"~", add(block(part, 3))))
    footer = add(block([], 1)) + add(block(index, 1))
    return out + footer.ljust(40, b"\0") + bytes.fromhex("57fb808b247547db")
