"""The MLP VAE of an image domain (paper, section 4.1).

Shapes: B batch, X pixels, D latent.
"""

from __future__ import annotations

import itertools

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..config import VAEConfig
from ..onednn import Linear


class VAE(nn.Module):
    """q(z|x) and p(x|z), each an MLP of ReLU layers; pixels are in [0, 1]."""

    def __init__(self, n_pixels: int, config: VAEConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder = mlp(n_pixels, config.hidden_dim, config.n_layers, 2 * config.latent_dim, Linear)
        self.decoder = mlp(config.latent_dim, config.hidden_dim, config.n_layers, n_pixels, Linear)

    def encode(self, x_BX: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and deviation of q(z|x), each (B, D)."""
        mu_BD, raw_BD = self.encoder(x_BX).chunk(2, dim=1)
        return mu_BD, F.softplus(raw_BD) + 1e-4  # the floor keeps log sigma finite

    def decode(self, z_BD: Tensor) -> Tensor:
        """The mean of p(x|z), (B, X), in [0, 1]."""
        return torch.sigmoid(self.decoder(z_BD))

    def forward(self, x_BX: Tensor, noise_BD: Tensor) -> Tensor:
        """The loss -log p(x|z) + beta KL(q(z|x) || N(0, I)), up to a constant, averaged over the batch."""
        mu_BD, sigma_BD = self.encode(x_BX)
        x_hat_BX = self.decode(mu_BD + sigma_BD * noise_BD)
        log_likelihood_B = -(x_BX - x_hat_BX).square().sum(1) / (2 * self.config.x_sigma**2)
        kl_B = (0.5 * (mu_BD.square() + sigma_BD.square() - 1) - sigma_BD.log()).sum(1)
        return (self.config.beta * kl_B - log_likelihood_B).mean()


def mlp(n_in: int, hidden_dim: int, n_layers: int, n_out: int, layer: type[nn.Linear] = nn.Linear) -> nn.Sequential:
    """n_layers ReLU layers of width hidden_dim, and a linear one; all of them of the class `layer`."""
    widths = [n_in, *[hidden_dim] * n_layers]
    layers: list[nn.Module] = []
    for a, b in itertools.pairwise(widths):
        layers += [layer(a, b), nn.ReLU()]
    return nn.Sequential(*layers, layer(widths[-1], n_out))
