"""The layers of the bridging VAE (paper, appendix B, Fig. 8). Shapes: B batch, I input, H hidden, O output."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class GatedMixing(nn.Module):
    """out = (1 - g) * W_s x + g * W_d h with g = sigmoid(W_g h): a learned mix of a linear skip and a trunk."""

    def __init__(self, n_in: int, n_hidden: int, n_out: int) -> None:
        super().__init__()
        self.skip = nn.Linear(n_in, n_out)
        self.delta = nn.Linear(n_hidden, n_out)
        self.gate = nn.Linear(n_hidden, n_out)

    def forward(self, x_BI: Tensor, h_BH: Tensor) -> Tensor:
        """(B, O)."""
        g_BO = torch.sigmoid(self.gate(h_BH))
        out_BO: Tensor = (1 - g_BO) * self.skip(x_BI) + g_BO * self.delta(h_BH)
        return out_BO


class LinearHead(nn.Module):
    """out = W_d h: what a gated mixing layer is compared with."""

    def __init__(self, n_in: int, n_hidden: int, n_out: int) -> None:
        super().__init__()
        self.delta = nn.Linear(n_hidden, n_out)

    def forward(self, x_BI: Tensor, h_BH: Tensor) -> Tensor:
        """(B, O)."""
        out_BO: Tensor = self.delta(h_BH)
        return out_BO


class ResidualHead(nn.Module):
    """out = W_s x + W_d h: the skip without its gate."""

    def __init__(self, n_in: int, n_hidden: int, n_out: int) -> None:
        super().__init__()
        self.skip = nn.Linear(n_in, n_out)
        self.delta = nn.Linear(n_hidden, n_out)

    def forward(self, x_BI: Tensor, h_BH: Tensor) -> Tensor:
        """(B, O)."""
        out_BO: Tensor = self.skip(x_BI) + self.delta(h_BH)
        return out_BO


HEADS: dict[str, type[nn.Module]] = {"gated": GatedMixing, "linear": LinearHead, "residual": ResidualHead}
"""By the name that BridgeConfig gives them."""


class SharedClassifier(nn.Module):
    """f, one linear layer on the shared space; with a gate: sigmoid(W_g z') * (W z' + b)."""

    def __init__(self, n_shared: int, n_classes: int, gated: bool) -> None:
        super().__init__()
        self.linear = nn.Linear(n_shared, n_classes)
        self.gate = nn.Linear(n_shared, n_classes) if gated else None

    def forward(self, z_BS: Tensor) -> Tensor:
        """Logits (B, C)."""
        logits_BC: Tensor = self.linear(z_BS)
        return logits_BC if self.gate is None else torch.sigmoid(self.gate(z_BS)) * logits_BC
