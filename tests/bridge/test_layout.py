"""A row of a pack holds the reference module's tensors, aligned."""

import pytest
import torch

from bridgelab.bridge.layout import ALIGN, Layout
from bridgelab.bridge.model import BridgingVAE
from bridgelab.config import BridgeConfig

FORMS = [
    BridgeConfig(n_layers=2, hidden_dim=24, shared_dim=3),
    BridgeConfig(n_layers=1, hidden_dim=16, heads="linear", classifier="gated"),
]


@pytest.mark.parametrize("config", FORMS)
def test_a_bridge_comes_out_of_a_row_as_it_went_in(config: BridgeConfig) -> None:
    state = BridgingVAE(5, 4, config).state_dict()
    layout = Layout(5, 4, config)
    row = torch.zeros(layout.row_size)
    layout.fill(row, state)
    found = layout.extract(row, list(state))
    assert all(torch.equal(found[name], tensor) for name, tensor in state.items())
    assert all(tensor.is_contiguous() for tensor in found.values())


@pytest.mark.parametrize("config", FORMS)
def test_every_block_begins_at_a_multiple_of_the_alignment(config: BridgeConfig) -> None:
    layout = Layout(5, 4, config)
    assert all(block.start % ALIGN == 0 for block in layout.blocks.values())
    assert layout.row_size % ALIGN == 0


def test_no_two_tensors_share_memory() -> None:
    layout = Layout(5, 4, FORMS[0])
    state = BridgingVAE(5, 4, FORMS[0]).state_dict()
    row = torch.zeros(layout.row_size)
    layout.fill(row, {name: torch.ones_like(tensor) for name, tensor in state.items()})
    assert row.sum() == sum(tensor.numel() for tensor in state.values())
