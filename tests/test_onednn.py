"""A linear layer by oneDNN is torch's."""

import pytest
import torch
from torch import nn

from bridgelab import onednn


@pytest.mark.parametrize(("n_in", "n_out"), [(3, 5), (784, 256), (100, 1024)])
def test_a_layer_and_its_gradients_are_torchs(n_in: int, n_out: int) -> None:
    ours, theirs = onednn.Linear(n_in, n_out), nn.Linear(n_in, n_out)
    theirs.load_state_dict(ours.state_dict())
    x = torch.randn(32, n_in, generator=torch.Generator().manual_seed(0))
    inputs = [x.clone().requires_grad_() for _ in range(2)]
    outs = [layer(z) for layer, z in zip((ours, theirs), inputs, strict=True)]
    torch.testing.assert_close(*outs, rtol=1e-4, atol=1e-4)
    for out in outs:
        out.square().sum().backward()
    pairs = [
        (inputs[0].grad, inputs[1].grad),
        (ours.weight.grad, theirs.weight.grad),
        (ours.bias.grad, theirs.bias.grad),
    ]
    for found, expected in pairs:
        torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-3)


def test_under_autocast_it_is_torchs_own() -> None:
    layer, x = onednn.Linear(128, 128), torch.zeros(4, 128)
    with torch.autocast("cpu", torch.bfloat16):
        assert layer(x).dtype == torch.bfloat16
