"""The bridging VAE, one at a time: the reference. Read the method here.

`pack` trains many of these at once with the same equations and one more axis; tests hold the two
together. Shapes: B batch, L labelled batch, D latent, S shared, P directions, C classes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..base_models.vae import mlp
from ..config import BridgeConfig, Side
from .layers import HEADS, SharedClassifier
from .losses import cross_entropy, kl, l2_weight, sliced_wasserstein, squared_error

SIGMA_FLOOR = 1e-6
"""Keeps log sigma finite where softplus underflows."""


Part = Literal["encoder", "decoder"]


@dataclass(frozen=True)
class Batch:
    """What one step sees of one side."""

    z_BD: Tensor
    "samples of the base model's posterior"
    noise_BS: Tensor
    labelled_LD: Tensor | None
    "None: cross entropy is taken on z_BD itself"
    labelled_noise_LS: Tensor | None
    labels_L: Tensor
    "of the labelled batch, or of z_BD; UNLABELLED where there is none"


def is_told(config: BridgeConfig, part: Part) -> bool:
    """Whether the encoder or the decoder sees the domain's label, or zeros in its place."""
    return config.conditional and config.conditioned in ("both", part)


class BridgingVAE(nn.Module):
    """q(z'|z, d), g(z|z', d) and f(z'), shared by both domains."""

    def __init__(self, latent_dim: int, n_classes: int, config: BridgeConfig) -> None:
        super().__init__()
        self.config = config
        head = HEADS[config.heads]
        n_in, n_shared = latent_dim + 2, config.shared_dim + 2  # + 2: the one-hot domain label
        depth, width = config.n_layers, config.hidden_dim
        self.encoder_trunk = mlp(n_in, width, depth - 1, width)
        self.encoder_mu = head(n_in, width, config.shared_dim)
        self.encoder_sigma = head(n_in, width, config.shared_dim)
        self.decoder_trunk = mlp(n_shared, width, depth - 1, width)
        self.decoder_head = head(n_shared, width, latent_dim)
        self.classifier = SharedClassifier(config.shared_dim, n_classes, config.classifier == "gated")
        self.classifier.requires_grad_(config.classifier_trained)

    def encode(self, z_BD: Tensor, side: Side) -> tuple[Tensor, Tensor]:
        """Mean and deviation of q(z'|z, d), each (B, S)."""
        x_BI = self._with_domain(z_BD, side, "encoder")
        h_BH = F.relu(self.encoder_trunk(x_BI))
        return self.encoder_mu(x_BI, h_BH), F.softplus(self.encoder_sigma(x_BI, h_BH)) + SIGMA_FLOOR

    def decode(self, z_BS: Tensor, side: Side) -> Tensor:
        """g(z', d), (B, D)."""
        x_BI = self._with_domain(z_BS, side, "decoder")
        z_hat_BD: Tensor = self.decoder_head(x_BI, F.relu(self.decoder_trunk(x_BI)))
        return z_hat_BD

    def loss(self, a: Batch, b: Batch, directions_PS: Tensor) -> Tensor:
        """L = sum_d [L2_d + beta_KL KL_d] + beta_SWD SWD + beta_Cls sum_d H_d, a scalar."""
        c = self.config
        total = directions_PS.new_zeros([])
        shared: list[Tensor] = []
        sides: tuple[tuple[Side, Batch], ...] = (("a", a), ("b", b))
        for side, batch in sides:
            mu_BS, sigma_BS = self.encode(batch.z_BD, side)
            z_BS = mu_BS + sigma_BS * batch.noise_BS
            shared.append(z_BS)
            l2 = l2_weight(c.reconstruction, batch.z_BD.shape[-1])
            total = total + l2 * squared_error(batch.z_BD, self.decode(z_BS, side))
            total = total + c.beta_kl * kl(mu_BS, sigma_BS)
            labelled_LS = z_BS
            if batch.labelled_LD is not None and batch.labelled_noise_LS is not None:
                mu_LS, sigma_LS = self.encode(batch.labelled_LD, side)
                labelled_LS = mu_LS + sigma_LS * batch.labelled_noise_LS
            total = total + c.beta_cls * cross_entropy(self.classifier(labelled_LS), batch.labels_L)
        return total + c.beta_swd * sliced_wasserstein(shared[0], shared[1], directions_PS, c.swd)

    def _with_domain(self, x: Tensor, side: Side, part: Part) -> Tensor:
        one_hot = x.new_tensor([side == "a", side == "b"]) * is_told(self.config, part)
        return torch.cat([x, one_hot.expand(len(x), 2)], dim=-1)
