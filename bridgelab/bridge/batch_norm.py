"""Batch norm in the trunks: normalised by each step's rows in training, by fixed statistics afterwards.

A layer is h = ReLU((x W - mean) / deviation + b). It has no scale of its own: the layer after a ReLU can
take any positive scale upon itself. After training mean and deviation go into W and b, so that a trained
bridge is like any other. Shapes: B batch, R rows, I input, H hidden.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

EPSILON = 1e-5


class NormalisedLinear(nn.Linear):
    """A linear layer whose output before the bias is normalised over the batch, while it trains."""

    def forward(self, x_BI: Tensor) -> Tensor:
        """(B, H)."""
        out_BH = F.linear(x_BI, self.weight, self.bias)
        return normalised(out_BH) + self.bias if self.training else out_BH


def normalised(out_RH: Tensor) -> Tensor:
    """(..., R, H) with mean 0 and deviation 1 over the rows; whatever bias it had is gone."""
    mean, inverse = statistics(out_RH)
    return (out_RH - mean) * inverse


def statistics(out_RH: Tensor) -> tuple[Tensor, Tensor]:
    """Mean over the rows and one over the deviation, each (..., 1, H)."""
    mean = out_RH.mean(-2, keepdim=True)
    variance = (out_RH - mean).square().mean(-2, keepdim=True)
    return mean, torch.rsqrt(variance + EPSILON)
