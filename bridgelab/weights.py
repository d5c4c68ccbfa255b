"""Trained tensors as safetensors bytes that carry the sha256 of what they hold."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

import safetensors.torch
from safetensors import SafetensorError
from torch import Tensor

from . import strict_json
from .errors import LabError
from .lab import Lab

HEADER_SIZE_BYTES = 8
"""A safetensors file begins with the length of its header."""
MOST_HEADER_BYTES = 4 << 20
"""Of some ten thousand tensors. A header of so many bytes takes a hundred times as much memory."""


def encode(tensors: Mapping[str, Tensor], **about: str) -> bytes:
    """A safetensors file; `about` stands in its metadata, beside the sha256 of the tensors and their names."""
    plain: bytes = safetensors.torch.save(dict(tensors))
    whole: bytes = safetensors.torch.save(dict(tensors), metadata={**about, "sha256": _split(plain)[1]})
    return whole


def read(lab: Lab, path: str, cure: str) -> dict[str, Tensor]:
    """The tensors of a file in the lab. Raises LabError where it is missing, or damaged be it in one byte."""
    data = lab.read(path)
    try:
        metadata, digest = _split(data)
        if metadata.get("sha256", digest) != digest:
            raise ValueError("its bytes are not those that were written")
        tensors = decode(data)
        if not all(tensor.numel() for tensor in tensors.values()):
            raise ValueError("it has a tensor without numbers")
        return tensors
    except ValueError as error:
        raise LabError(f"{lab.show(path)} is damaged ({error}); {cure}") from None


def decode(data: bytes) -> dict[str, Tensor]:
    """The tensors of a safetensors file. Raises ValueError for what is none, or is of a type that torch has not."""
    _header(data)
    try:
        tensors: dict[str, Tensor] = safetensors.torch.load(data)
    except (SafetensorError, AssertionError, KeyError, OverflowError, RuntimeError, TypeError) as error:
        raise ValueError(str(error)) from None
    return tensors


def about(lab: Lab, path: str) -> dict[str, str]:
    """The metadata of a file in the lab, empty where it has none. Raises LabError where it is damaged."""
    try:
        return _metadata(_header(lab.read(path))[0])
    except ValueError as error:
        raise LabError(f"{lab.show(path)} is damaged ({error}); remove it and run again") from None


def _split(data: bytes) -> tuple[dict[str, str], str]:
    """The metadata of a file, and the sha256 of all else that it holds."""
    header, start = _header(data)
    metadata = _metadata(header)
    digest = hashlib.sha256(json.dumps(header, sort_keys=True).encode())
    digest.update(memoryview(data)[start:])
    return metadata, digest.hexdigest()


def _header(data: bytes) -> tuple[dict[str, Any], int]:
    """The header of a file, and where its tensors begin. Raises ValueError."""
    size = int.from_bytes(data[:HEADER_SIZE_BYTES], "little")
    if size > MOST_HEADER_BYTES:
        raise ValueError(f"its header has {size:,} bytes")
    start = HEADER_SIZE_BYTES + size
    return strict_json.mapping(data[HEADER_SIZE_BYTES:start]), start


def _metadata(header: dict[str, Any]) -> dict[str, str]:
    """Taken out of a header."""
    found = header.pop("__metadata__", {})
    if not isinstance(found, dict) or not all(isinstance(text, str) for text in found.values()):
        raise ValueError("its metadata are no texts")
    return found
