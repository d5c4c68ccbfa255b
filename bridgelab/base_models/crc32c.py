"""The checksum CRC-32C (Castagnoli), as tables and checkpoints of other tools carry it; fast enough for weights."""

from __future__ import annotations

import functools

import numpy as np
from numpy.typing import NDArray

POLYNOMIAL = 0x82F63B78
N_LANES = 4096
"""Parts of long data whose checksums are taken side by side; a power of two."""
LONG = 1 << 16
"""Bytes from which on that is worth it."""
ONES = 0xFFFFFFFF

Words = NDArray[np.uint32]


def crc32c(data: bytes) -> int:
    """The checksum of some bytes."""
    if len(data) < LONG:
        return _one_by_one(data, ONES) ^ ONES
    n = len(data) // N_LANES
    crc_L = np.full(N_LANES, ONES, np.uint32)
    crc_L[1:] = 0  # the data begin in the first lane: only there the register begins as of a whole
    for column_L in np.frombuffer(data, np.uint8, n * N_LANES).reshape(N_LANES, n).T:
        crc_L = (crc_L >> np.uint32(8)) ^ _table()[(crc_L ^ column_L) & np.uint32(0xFF)]
    after = _zeros(n)
    while len(crc_L) > 1:
        crc_L = _applied(after, crc_L[0::2]) ^ crc_L[1::2]
        after = _applied(after, after)
    return _one_by_one(data[n * N_LANES :], int(crc_L[0])) ^ ONES


def unmasked(crc: int) -> int:
    """A checksum from the form in which it is stored beside what it is of."""
    rotated = (crc - 0xA282EAD8) & ONES
    return ((rotated >> 17) | (rotated << 15)) & ONES


def _one_by_one(data: bytes, register: int) -> int:
    table = _table().tolist()
    for byte in data:
        register = (register >> 8) ^ table[(register ^ byte) & 0xFF]
    return register


@functools.cache
def _table() -> Words:
    """What each byte does to an empty register."""
    found = np.arange(256, dtype=np.uint32)
    for _ in range(8):
        found = (found >> np.uint32(1)) ^ np.where(found & np.uint32(1), np.uint32(POLYNOMIAL), np.uint32(0))
    return found


def _zeros(n: int) -> Words:
    """What n zero bytes do to a register: for each of its 32 bits the register that it becomes."""
    bits = np.uint32(1) << np.arange(32, dtype=np.uint32)
    found, step = bits, (bits >> np.uint32(8)) ^ _table()[bits & np.uint32(0xFF)]
    while n:
        found = _applied(step, found) if n & 1 else found
        step, n = _applied(step, step), n >> 1
    return found


def _applied(operator: Words, registers: Words) -> Words:
    """Registers (L,) after an operator: the sum, without carry, of what their bits become."""
    bits_L32 = (registers[:, None] >> np.arange(32, dtype=np.uint32)) & np.uint32(1)
    summed: Words = np.bitwise_xor.reduce(bits_L32 * operator, axis=1)
    return summed
