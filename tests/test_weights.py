"""Saved tensors are those that were written, or an error says that they are not."""

import pytest
import safetensors.torch
import torch

from bridgelab import weights
from bridgelab.errors import LabError
from bridgelab.lab import Lab

TENSORS = {"layer.weight": torch.arange(6.0).reshape(2, 3), "layer.bias": torch.ones(2)}


def test_what_is_read_is_what_was_written(lab: Lab) -> None:
    lab.publish("w", weights.encode(TENSORS, trial="one"))
    found = weights.read(lab, "w", "run again")
    assert found.keys() == TENSORS.keys()
    assert all(torch.equal(found[name], tensor) for name, tensor in TENSORS.items())


def test_one_changed_byte_of_a_tensor_is_noticed(lab: Lab) -> None:
    data = bytearray(weights.encode(TENSORS))
    data[-1] ^= 1
    lab.publish("w", bytes(data))
    with pytest.raises(LabError, match=r"w is damaged \(its bytes are not those that were written\); run again"):
        weights.read(lab, "w", "run again")


def test_a_changed_name_is_noticed(lab: Lab) -> None:
    lab.publish("w", weights.encode(TENSORS).replace(b"layer.bias", b"layer.bi4s"))
    with pytest.raises(LabError, match="its bytes are not those"):
        weights.read(lab, "w", "run again")


def test_a_file_of_an_earlier_time_without_a_sum_is_read(lab: Lab) -> None:
    lab.publish("w", safetensors.torch.save(TENSORS))
    assert torch.equal(weights.read(lab, "w", "run again")["layer.bias"], TENSORS["layer.bias"])
