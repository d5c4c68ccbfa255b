"""The terms of the bridge's loss (paper, section 2 and appendix A).

Each is averaged over the batch and takes any leading axes, so that one definition serves a single
bridge and a pack of them. Shapes: B batch, D latent, S shared, P directions, C classes; ... leading axes.
"""

from __future__ import annotations

import functools
from typing import Any, Literal

import torch
from torch import Tensor
from torch.autograd.function import Function, once_differentiable
from torch.nn import functional as F

from ..config import UNLABELLED
from ..openblas import matmul

Distance = Literal["squared", "root", "absolute"]


def squared_error(z_BD: Tensor, z_hat_BD: Tensor) -> Tensor:
    """||z - g(z')||^2, summed over dimensions: (...)."""
    return F.mse_loss(z_BD, z_hat_BD, reduction="none").sum((-2, -1)) / z_BD.shape[-2]


def l2_weight(reconstruction: Literal["sum", "half_sum", "mean"], n_dims: int) -> float:
    """What the squared error's sum over dimensions is multiplied with."""
    return {"sum": 1.0, "half_sum": 0.5, "mean": 1.0 / n_dims}[reconstruction]


def kl(mu_BS: Tensor, sigma_BS: Tensor) -> Tensor:
    """KL(q(z'|z, d) || N(0, I)), summed over dimensions: (...)."""
    kl_: Tensor = _KL.apply(mu_BS, sigma_BS)
    return kl_ / mu_BS.shape[-2]


class _KL(Function):
    @staticmethod
    def forward(ctx: Any, mu: Tensor, sigma: Tensor) -> Tensor:
        ctx.save_for_backward(mu, sigma)
        return (0.5 * (mu.square() + sigma.square() - 1) - sigma.log()).sum((-2, -1))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, d_kl: Tensor) -> tuple[Tensor, Tensor]:
        mu, sigma = ctx.saved_tensors
        d = d_kl[..., None, None]
        return mu * d, (sigma - sigma.reciprocal()) * d


def sliced_wasserstein(a_BS: Tensor, b_BS: Tensor, directions_PS: Tensor, distance: Distance) -> Tensor:
    """SWD of two samples: (...).

    Along each unit vector the optimal pairing is monotone, so the 1-D distance is that of the sorted
    projections: W2 squared, its root, or the mean absolute difference.
    """
    swd: Tensor = _SlicedWasserstein.apply(torch.stack([a_BS, b_BS], dim=-3), directions_PS, distance)
    return swd


class _SlicedWasserstein(Function):
    """Of samples (..., 2, B, S). The gradient comes with the value: all that it needs is in the cache just then."""

    @staticmethod
    def forward(ctx: Any, samples: Tensor, directions: Tensor, distance: Distance) -> Tensor:
        x_PX = matmul(directions, samples.flatten(-3, -2).mT)
        x_2PB = x_PX.view(*x_PX.shape[:-1], 2, -1).transpose(-3, -2)
        values_2PB, order_2PB = sort(x_2PB)
        a_PB, b_PB = values_2PB.unbind(-3)
        swd, gradient_PB = _mean_distance(a_PB - b_PB, distance)
        x_2PB.scatter_(-1, order_2PB, torch.stack([gradient_PB, -gradient_PB], dim=-3))  # to x_PX, which it replaces
        ctx.gradient = matmul(x_PX.mT, directions).view(samples.shape)
        return swd

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, d_swd: Tensor) -> tuple[Tensor, None, None]:
        return ctx.gradient * d_swd[..., None, None, None], None, None


def _mean_distance(difference_PB: Tensor, distance: Distance) -> tuple[Tensor, Tensor]:
    """Over directions, and its gradient."""
    n = difference_PB.shape[-2] * difference_PB.shape[-1]
    if distance == "absolute":
        return difference_PB.abs().mean((-2, -1)), difference_PB.sign() / n
    if distance == "root":
        root_P1 = (difference_PB.square().mean(-1, keepdim=True) + 1e-12).sqrt()  # the root has no gradient at 0
        return root_P1.mean((-2, -1)), difference_PB / (n * root_P1)
    return difference_PB.square().mean((-2, -1)), difference_PB * (2 / n)


def sort(x: Tensor) -> tuple[Tensor, Tensor]:
    """Finite float32 values sorted along the last axis, and where each one was. Positions alone decide ties."""
    if x.device.type != "cpu":
        values, order = x.sort(stable=True)
        return values, order
    # A float32 leaves 29 bits of a float64 empty. With its position in them numpy, which sorts floats by vectors and so
    # twenty times as fast as torch, needs to return nothing else; to round to float32 takes the position away again.
    keys = x.to(torch.float64, memory_format=torch.contiguous_format)
    order = keys.view(torch.int64)
    order |= _positions(x.shape[-1])
    keys.numpy().sort(axis=-1)
    return keys.float(), order.bitwise_and_(0xFFFFFF)


@functools.cache
def _positions(n: int) -> Tensor:
    return torch.arange(n)


def softplus(x: Tensor) -> Tensor:
    """log(1 + e^x), to the 6e-8 that float32 has beside 1; several times as fast on a CPU as torch's."""
    positive: Tensor = _Softplus.apply(x)
    return positive


class _Softplus(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return x.abs().neg_().exp_().add_(1).log_().add_(torch.relu(x))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, d_positive: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        return sigmoid(x).mul_(d_positive)


def sigmoid(x: Tensor) -> Tensor:
    """Its own memory; of a part of a tensor's columns in a quarter of the time that torch takes on a CPU."""
    return x.clone(memory_format=torch.contiguous_format).sigmoid_()


def cross_entropy(logits_BC: Tensor, labels_B: Tensor) -> Tensor:
    """H(f(z'), y) averaged over the labelled samples; 0, not nan, where there is none: (...)."""
    mean: Tensor = _CrossEntropy.apply(logits_BC, labels_B)
    return mean


class _CrossEntropy(Function):
    @staticmethod
    def forward(ctx: Any, logits: Tensor, labels: Tensor) -> Tensor:
        is_labelled = labels != UNLABELLED
        weight_1B = (is_labelled / is_labelled.sum(-1, keepdim=True).clamp(min=1)).unsqueeze(-2)
        label_1B = labels.clamp(min=0).unsqueeze(-2)
        log_p_CB = torch.log_softmax(logits.mT.contiguous(), -2)  # a few classes in a row would be slow
        ctx.save_for_backward(log_p_CB, label_1B, weight_1B)
        return -(log_p_CB.gather(-2, label_1B) * weight_1B).sum((-2, -1))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, d_mean: Tensor) -> tuple[Tensor, None]:
        log_p_CB, label_1B, weight_1B = ctx.saved_tensors
        d_CB = log_p_CB.exp()
        d_CB.scatter_add_(-2, label_1B, d_CB.new_full((), -1.0).expand(label_1B.shape))  # p - y
        return d_CB.mul_(weight_1B * d_mean[..., None, None]).mT, None
