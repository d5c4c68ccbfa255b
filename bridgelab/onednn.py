"""Products in float32 on a CPU by oneDNN.

By default torch leaves them to MKL, which uses vectors of half the width on processors that are not Intel's; there
oneDNN takes half the time for all but narrow matrices, and elsewhere about the same.

Shapes: R rows, I input, O output.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

AVAILABLE = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
WIDE = 8192
"""Elements of a weight from which on oneDNN is the faster one, a call for each product included."""


def pays(weight: Tensor) -> bool:
    """Whether products with such a matrix are faster by oneDNN: a question of its shape and the processor only."""
    is_wide = weight.numel() >= WIDE
    return is_wide and AVAILABLE and weight.device.type == "cpu" and weight.dtype == torch.float32


def linear(x_RI: Tensor, weight_OI: Tensor, bias_O: Tensor | None = None, relu: bool = False) -> Tensor:
    """x W^T + b, or its positive part, (R, O)."""
    then = "relu" if relu else "none"
    out_RO: Tensor = torch.ops.mkldnn._linear_pointwise(x_RI, weight_OI, bias_O, then, [], "")
    return out_RO


class Linear(nn.Linear):
    """nn.Linear, by oneDNN where that pays."""

    def forward(self, x_RI: Tensor) -> Tensor:
        """(R, O)."""
        if x_RI.ndim != 2 or not pays(self.weight) or torch.is_autocast_enabled("cpu"):
            return F.linear(x_RI, self.weight, self.bias)
        out_RO: Tensor = _Linear.apply(x_RI, self.weight, self.bias)
        return out_RO


class _Linear(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        ctx.save_for_backward(x, weight)
        return linear(x, weight, bias)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, d_out: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        d_x = linear(d_out, weight.T) if ctx.needs_input_grad[0] else None
        return d_x, linear(d_out.T, x.T), d_out.sum(0)
