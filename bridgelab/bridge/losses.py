"""The terms of the bridge's loss (paper, section 2 and appendix A).

Each is averaged over the batch and takes any leading axes, so that one definition serves a single
bridge and a pack of them. Shapes: B batch, D latent, S shared, P directions, C classes; ... leading axes.
"""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from ..config import UNLABELLED


def squared_error(z_BD: Tensor, z_hat_BD: Tensor) -> Tensor:
    """||z - g(z')||^2, summed over dimensions: (...)."""
    return _squared_difference(z_BD, z_hat_BD) / z_BD.shape[-2]


def _squared_difference(one_NM: Tensor, other_NM: Tensor) -> Tensor:
    """The sum of squared differences, (...). In this form its gradient is one pass over the memory."""
    return F.mse_loss(one_NM, other_NM, reduction="none").sum((-2, -1))


def l2_weight(reconstruction: Literal["sum", "half_sum", "mean"], n_dims: int) -> float:
    """What the squared error's sum over dimensions is multiplied with."""
    return {"sum": 1.0, "half_sum": 0.5, "mean": 1.0 / n_dims}[reconstruction]


def kl(mu_BS: Tensor, sigma_BS: Tensor) -> Tensor:
    """KL(q(z'|z, d) || N(0, I)), summed over dimensions: (...)."""
    return (0.5 * (mu_BS.square() + sigma_BS.square() - 1) - sigma_BS.log()).sum((-2, -1)) / mu_BS.shape[-2]


def sliced_wasserstein(
    a_BS: Tensor, b_BS: Tensor, directions_PS: Tensor, distance: Literal["squared", "root", "absolute"]
) -> Tensor:
    """SWD of two samples: (...).

    Along each unit vector the optimal pairing is monotone, so the 1-D distance is that of the sorted
    projections: W2 squared, its root, or the mean absolute difference.
    """
    projected_PX = directions_PS @ torch.cat([a_BS, b_BS], dim=-2).mT
    a_PB, b_PB = sort(projected_PX.reshape(*projected_PX.shape[:-1], 2, -1)).unbind(-2)
    if distance == "absolute":
        return (a_PB - b_PB).abs().mean((-2, -1))
    if distance == "root":
        w2_squared_P = (a_PB - b_PB).square().mean(-1)
        return (w2_squared_P + 1e-12).sqrt().mean(-1)  # the root has no gradient at 0
    return _squared_difference(a_PB, b_PB) / (a_PB.shape[-2] * a_PB.shape[-1])


def softplus(x: Tensor) -> Tensor:
    """log(1 + e^x), to the 6e-8 that float32 has beside 1; several times as fast on a CPU as torch's."""
    return torch.log(1 + torch.exp(-x.abs())) + torch.relu(x)


def cross_entropy(logits_BC: Tensor, labels_B: Tensor) -> Tensor:
    """H(f(z'), y) averaged over the labelled samples; 0, not nan, where there is none: (...)."""
    labelled_B = labels_B != UNLABELLED
    index_1B = labels_B.clamp(min=0).unsqueeze(-2)
    log_p_CB = torch.log_softmax(logits_BC.mT.contiguous(), -2)  # a few classes in a row would be slow
    nll_B = -log_p_CB.gather(-2, index_1B).squeeze(-2)
    return (nll_B * labelled_B).sum(-1) / labelled_B.sum(-1).clamp(min=1)


def sort(x: Tensor) -> Tensor:
    """x sorted along its last axis, ties in their order, with gradients."""
    sorted_x: Tensor = _Sort.apply(x)
    return sorted_x


class _Sort(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        order = _stable_order(x) if x.device.type == "cpu" else x.argsort(stable=True)
        ctx.save_for_backward(order)
        return x.gather(-1, order)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, d_sorted: Tensor) -> Tensor:
        (order,) = ctx.saved_tensors
        return torch.empty_like(d_sorted).scatter_(-1, order, d_sorted)


def _stable_order(x: Tensor) -> Tensor:
    """The stable argsort of float32 on a CPU, twenty times as fast as torch's.

    A float's bits, with the negative ones flipped, order like the float; with the position below them
    one sort of integers orders values and breaks ties by position.
    """
    bits = x.contiguous().view(torch.int32)
    keys = (bits ^ ((bits >> 31) & 0x7FFFFFFF)).long()
    keys.bitwise_left_shift_(20).bitwise_or_(torch.arange(x.shape[-1]))
    keys.numpy().sort(axis=-1)  # numpy sorts integers by vectors
    return keys.bitwise_and_(0xFFFFF)
