"""The terms of the bridge's loss (paper, section 2 and appendix A).

Each is averaged over the batch and takes any leading axes, so that one definition serves a single
bridge and a pack of them. Shapes: B batch, D latent, S shared, P directions, C classes; ... leading axes.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from torch import Tensor

UNLABELLED = -100
"""The label of a sample without one."""


def squared_error(z_BD: Tensor, z_hat_BD: Tensor) -> Tensor:
    """||z - g(z')||^2, summed over dimensions: (...)."""
    return (z_BD - z_hat_BD).square().sum(-1).mean(-1)


def l2_weight(reconstruction: Literal["sum", "half_sum", "mean"], n_dims: int) -> float:
    """What the squared error's sum over dimensions is multiplied with."""
    return {"sum": 1.0, "half_sum": 0.5, "mean": 1.0 / n_dims}[reconstruction]


def kl(mu_BS: Tensor, sigma_BS: Tensor) -> Tensor:
    """KL(q(z'|z, d) || N(0, I)), summed over dimensions: (...)."""
    return (0.5 * (mu_BS.square() + sigma_BS.square() - 1) - sigma_BS.log()).sum(-1).mean(-1)


def sliced_wasserstein(
    a_BS: Tensor, b_BS: Tensor, directions_PS: Tensor, distance: Literal["squared", "root", "absolute"]
) -> Tensor:
    """SWD of two samples: (...).

    Along each unit vector the optimal pairing is monotone, so the 1-D distance is that of the sorted
    projections: W2 squared, its root, or the mean absolute difference.
    """
    a_PB, b_PB = (sort(directions_PS @ z.mT) for z in (a_BS, b_BS))
    if distance == "absolute":
        return (a_PB - b_PB).abs().mean((-2, -1))
    w2_squared_P = (a_PB - b_PB).square().mean(-1)
    if distance == "root":
        return (w2_squared_P + 1e-12).sqrt().mean(-1)  # the root has no gradient at 0
    return w2_squared_P.mean(-1)


def cross_entropy(logits_BC: Tensor, labels_B: Tensor) -> Tensor:
    """H(f(z'), y) averaged over the labelled samples; 0, not nan, where there is none: (...)."""
    labelled_B = labels_B != UNLABELLED
    index_B1 = labels_B.clamp(min=0).unsqueeze(-1)
    nll_B = -torch.log_softmax(logits_BC, -1).gather(-1, index_B1).squeeze(-1)
    return (nll_B * labelled_B).sum(-1) / labelled_B.sum(-1).clamp(min=1)


def sort(x: Tensor) -> Tensor:
    """x sorted along its last axis, with gradients."""
    return x.gather(-1, _stable_order(x.detach()) if x.device.type == "cpu" else x.argsort(stable=True))


def _stable_order(x: Tensor) -> Tensor:
    """The stable argsort of float32 on a CPU, twenty times as fast as torch's.

    A float's bits, with the negative ones flipped, order like the float; with the position below them
    one sort of integers orders values and breaks ties by position.
    """
    bits = x.contiguous().numpy().view(np.int32)
    ordered = (bits ^ ((bits >> 31) & 0x7FFFFFFF)).astype(np.int64)
    keys = (ordered << 20) | np.arange(x.shape[-1])
    keys.sort(axis=-1)
    return torch.from_numpy(keys & 0xFFFFF)
