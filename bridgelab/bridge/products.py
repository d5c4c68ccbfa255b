"""y = x W + b for K members at once, and its gradients, written to where the optimizer reads them.

Products are batched over the members, but for wide ones on a CPU: those are done by oneDNN, a member at a time.

Shapes: K members, R rows, I input, O output.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from .. import onednn

NARROW = 16
"""Columns of a product, below which it pays to have them as rows."""


@dataclass(frozen=True)
class Gradient:
    """Where a layer's gradients go: (K, I, O) and (K, 1, O), float32."""

    weight: Tensor
    bias: Tensor


def affine(x_KRI: Tensor, weight_KIO: Tensor, bias_K1O: Tensor | None, relu: bool = False) -> Tensor:
    """x W + b, or its positive part, (K, R, O)."""
    if onednn.pays(weight_KIO):
        out_KRO = x_KRI.new_empty(*x_KRI.shape[:2], weight_KIO.shape[2])
        for k, (x, weight) in enumerate(zip(x_KRI, weight_KIO, strict=True)):
            bias = None if bias_K1O is None else bias_K1O[k, 0]
            out_KRO[k] = onednn.linear(x, weight.T, bias, relu)
        return out_KRO
    out_KRO = _product(x_KRI, weight_KIO, bias_K1O)
    return out_KRO.relu_() if relu else out_KRO


class Affine(torch.autograd.Function):
    """`affine` with gradients. Those of weights and biases are written into a Gradient, and only there."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, gradient: Gradient, relu: bool) -> Tensor:
        out = affine(x, weight, bias, relu)
        ctx.save_for_backward(x, weight, out if relu else None)
        ctx.gradient, ctx.has_bias = gradient, bias is not None
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, d_out: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, positive = ctx.saved_tensors
        if positive is not None:
            d_out = torch.ops.aten.threshold_backward(d_out, positive, 0)
        if onednn.pays(weight):
            for k, (x_RI, d_RO) in enumerate(zip(x, d_out, strict=True)):
                ctx.gradient.weight[k] = onednn.linear(x_RI.T, d_RO.T)
        else:
            _bmm(x.mT, d_out, out=ctx.gradient.weight)
        if ctx.has_bias:
            torch.sum(d_out, 1, keepdim=True, dtype=torch.float32, out=ctx.gradient.bias)
        if not ctx.needs_input_grad[0]:
            return (None,) * 5
        if onednn.pays(weight):
            d_x = torch.empty_like(x)
            for k, (d_RO, weight_IO) in enumerate(zip(d_out, weight, strict=True)):
                d_x[k] = onednn.linear(d_RO, weight_IO)
        else:
            d_x = _product(d_out, weight.mT)
        return d_x, None, None, None, None


class Shift(torch.autograd.Function):
    """x + b with gradients; that of b is written into a Gradient, and only there."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, bias: Tensor, gradient: Gradient) -> Tensor:
        ctx.gradient = gradient
        return x + bias

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, d_out: Tensor) -> tuple[Tensor | None, ...]:
        torch.sum(d_out, 1, keepdim=True, out=ctx.gradient.bias)
        return d_out, None, None


def _product(x_KRI: Tensor, weight_KIO: Tensor, bias_K1O: Tensor | None = None) -> Tensor:
    """x W + b. A few columns take MKL half the time the other way round, as (W^T x^T + b^T)^T."""
    if weight_KIO.shape[2] < NARROW:
        turned = _product_by_rows(weight_KIO.mT, x_KRI.mT, None if bias_K1O is None else bias_K1O.mT)
        return turned.mT.contiguous()  # how a sum adds up depends on the order in memory
    return _product_by_rows(x_KRI, weight_KIO, bias_K1O)


def _product_by_rows(left: Tensor, right: Tensor, bias: Tensor | None) -> Tensor:
    return torch.bmm(left, right) if bias is None else torch.baddbmm(bias, left, right)


def _bmm(left_KRI: Tensor, right_KIO: Tensor, out: Tensor) -> None:
    if out.dtype == left_KRI.dtype:
        torch.bmm(left_KRI, right_KIO, out=out)
    else:
        out.copy_(torch.bmm(left_KRI, right_KIO))
