"""Trained tensors as safetensors bytes that carry the sha256 of what they hold."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping

import safetensors.torch
from safetensors import SafetensorError
from torch import Tensor

from .errors import LabError
from .lab import Lab

HEADER_SIZE_BYTES = 8
"""A safetensors file begins with the length of its header."""


def encode(tensors: Mapping[str, Tensor], **about: str) -> bytes:
    """A safetensors file; `about` stands in its metadata, beside the sha256 of the tensors and their names."""
    plain: bytes = safetensors.torch.save(dict(tensors))
    whole: bytes = safetensors.torch.save(dict(tensors), metadata={**about, "sha256": _split(plain)[1]})
    return whole


def read(lab: Lab, path: str, cure: str) -> dict[str, Tensor]:
    """The tensors of a file in the lab. Raises LabError where it is missing, or damaged be it in one byte."""
    data = lab.read(path)
    try:
        tensors: dict[str, Tensor] = safetensors.torch.load(data)
        metadata, digest = _split(data)
        if metadata.get("sha256", digest) != digest:
            raise ValueError("its bytes are not those that were written")
    except (SafetensorError, AttributeError, TypeError, ValueError) as error:
        raise LabError(f"{lab.show(path)} is damaged ({error}); {cure}") from None
    return tensors


def about(lab: Lab, path: str) -> dict[str, str]:
    """The metadata of a file in the lab, empty where it has none. Raises LabError where it is damaged."""
    try:
        return _split(lab.read(path))[0]
    except (AttributeError, TypeError, ValueError) as error:
        raise LabError(f"{lab.show(path)} is damaged ({error}); remove it and run again") from None


def _split(data: bytes) -> tuple[dict[str, str], str]:
    """The metadata of a file, and the sha256 of all else that it holds."""
    start = HEADER_SIZE_BYTES + int.from_bytes(data[:HEADER_SIZE_BYTES], "little")
    header = json.loads(data[HEADER_SIZE_BYTES:start])
    metadata = header.pop("__metadata__", {})
    return metadata, hashlib.sha256(json.dumps(header, sort_keys=True).encode() + data[start:]).hexdigest()
