"""The bridging VAE, one at a time: the reference. Read the method here.

`pack` trains many of these at once with the same equations and one more axis; tests hold the two
together. Shapes: B batch, L labelled batch, R rows of both, D latent, S shared, P directions,
C classes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..base_models.vae import mlp
from ..config import BridgeConfig, Side
from .batch_norm import NormalisedLinear
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
    labelled: tuple[Tensor, Tensor] | None
    "samples (L, D) and their noise (L, S); None: cross entropy is taken on z_BD itself"
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
        layer = NormalisedLinear if config.batch_norm else nn.Linear
        self.encoder_trunk = mlp(n_in, width, depth - 1, width, layer)
        self.encoder_mu = head(n_in, width, config.shared_dim)
        self.encoder_sigma = head(n_in, width, config.shared_dim)
        self.decoder_trunk = mlp(n_shared, width, depth - 1, width, layer)
        self.decoder_head = head(n_shared, width, latent_dim)
        self.classifier = SharedClassifier(config.shared_dim, n_classes, config.classifier == "gated")
        self.classifier.requires_grad_(config.classifier_trained)

    def encode(self, z_BD: Tensor, side: Side) -> tuple[Tensor, Tensor]:
        """Mean and deviation of q(z'|z, d), each (B, S)."""
        return self._encode(self._with_domain(z_BD, side, "encoder"))

    def decode(self, z_BS: Tensor, side: Side) -> Tensor:
        """g(z', d), (B, D)."""
        return self._decode(self._with_domain(z_BS, side, "decoder"))

    def loss(self, a: Batch, b: Batch, directions_PS: Tensor) -> Tensor:
        """L = sum_d [L2_d + beta_KL KL_d] + beta_SWD SWD + beta_Cls sum_d H_d, a scalar."""
        c = self.config
        rows: list[tuple[Side, Tensor, Tensor]] = [("a", a.z_BD, a.noise_BS), ("b", b.z_BD, b.noise_BS)]
        if a.labelled and b.labelled:
            rows += [("a", *a.labelled), ("b", *b.labelled)]
        # All rows of a step pass at once, for batch norm takes its statistics over them.
        mu_RS, sigma_RS = self._encode(torch.cat([self._with_domain(z, side, "encoder") for side, z, _ in rows]))
        shared_RS = mu_RS + sigma_RS * torch.cat([noise for _, _, noise in rows])
        mu, sigma, shared = (
            torch.split(tensor, [len(z) for _, z, _ in rows]) for tensor in (mu_RS, sigma_RS, shared_RS)
        )
        told = [self._with_domain(shared[0], "a", "decoder"), self._with_domain(shared[1], "b", "decoder")]
        z_hat = torch.split(self._decode(torch.cat(told)), len(a.z_BD))
        total = c.beta_swd * sliced_wasserstein(shared[0], shared[1], directions_PS, c.swd)
        labelled = shared[-2:]  # the batches themselves, where no others are drawn
        for d, batch in enumerate((a, b)):
            total = total + l2_weight(c.reconstruction, batch.z_BD.shape[-1]) * squared_error(batch.z_BD, z_hat[d])
            total = total + c.beta_kl * kl(mu[d], sigma[d])
            total = total + c.beta_cls * cross_entropy(self.classifier(labelled[d]), batch.labels_L)
        return total

    def _encode(self, x_RI: Tensor) -> tuple[Tensor, Tensor]:
        h_RH = F.relu(self.encoder_trunk(x_RI))
        return self.encoder_mu(x_RI, h_RH), F.softplus(self.encoder_sigma(x_RI, h_RH)) + SIGMA_FLOOR

    def _decode(self, x_RI: Tensor) -> Tensor:
        z_hat_RD: Tensor = self.decoder_head(x_RI, F.relu(self.decoder_trunk(x_RI)))
        return z_hat_RD

    def _with_domain(self, x: Tensor, side: Side, part: Part) -> Tensor:
        one_hot = x.new_tensor([side == "a", side == "b"]) * is_told(self.config, part)
        return torch.cat([x, one_hot.expand(len(x), 2)], dim=-1)
