"""y = x W + b for K members at once, and its gradients, written to where the optimizer reads them.

On an x86-64 CPU the products in float32 are OpenBLAS's, all others torch's.

Shapes: K members, R rows, I input, O output.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from .. import openblas

NARROW = 16
"""Columns of a product, below which it pays in torch to have them as rows."""


@dataclass(frozen=True)
class Gradient:
    """Where a layer's gradients go: (K, I, O) and (K, 1, O), float32."""

    weight: Tensor
    bias: Tensor


def affine(x_KRI: Tensor, weight_KIO: Tensor, bias_K1O: Tensor | None, relu: bool = False) -> Tensor:
    """x W + b, or its positive part, (K, R, O)."""
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
        _write_product(x.mT, d_out, ctx.gradient.weight)
        if ctx.has_bias:
            torch.sum(d_out, 1, keepdim=True, dtype=torch.float32, out=ctx.gradient.bias)
        if not ctx.needs_input_grad[0]:
            return (None,) * 5
        return _product(d_out, weight.mT), None, None, None, None


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
    """x W + b."""
    if openblas.serves(x_KRI):
        out_KRO = x_KRI.new_empty(*x_KRI.shape[:2], weight_KIO.shape[2])
        if bias_K1O is not None:
            out_KRO.copy_(bias_K1O.expand_as(out_KRO))
        openblas.multiply(x_KRI, weight_KIO, out_KRO, add=bias_K1O is not None)
        return out_KRO
    if weight_KIO.shape[2] < NARROW:  # takes MKL half the time the other way round, as (W^T x^T + b^T)^T
        turned = _product_by_rows(weight_KIO.mT, x_KRI.mT, None if bias_K1O is None else bias_K1O.mT)
        return turned.mT.contiguous()  # how a sum adds up depends on the order in memory
    return _product_by_rows(x_KRI, weight_KIO, bias_K1O)


def _product_by_rows(left: Tensor, right: Tensor, bias: Tensor | None) -> Tensor:
    return torch.bmm(left, right) if bias is None else torch.baddbmm(bias, left, right)


def _write_product(left_KRI: Tensor, right_KIO: Tensor, out_KRO: Tensor) -> None:
    if openblas.serves(left_KRI):
        openblas.multiply(left_KRI, right_KIO, out_KRO)
    elif out_KRO.dtype == left_KRI.dtype:
        torch.bmm(left_KRI, right_KIO, out=out_KRO)
    else:
        out_KRO.copy_(torch.bmm(left_KRI, right_KIO))
