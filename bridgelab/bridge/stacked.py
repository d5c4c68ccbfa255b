"""The forward equations of the bridging VAE for K bridges at once.

Shapes: K bridges, R rows, D latent, S shared, I input, H hidden, C classes.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from ..config import BridgeConfig
from .batch_norm import normalised, statistics
from .model import SIGMA_FLOOR, Part, is_told


class StackedBridges:
    """The forward equations of K bridges whose parameters are matrices (K, rows, cols)."""

    def __init__(self, w: Mapping[str, Tensor], configs: Sequence[BridgeConfig], training: bool = False) -> None:
        def per_member(values: list[float]) -> Tensor:
            return torch.tensor(values, device=w["classifier.weight"].device)[:, None, None]

        self.w = w
        self.dtype = w["classifier.weight"].dtype
        "of the matrix products; what comes out of a head is float32 again"
        self.depth, self.gated_f = configs[0].n_layers, configs[0].classifier == "gated"
        # A linear head is a gate that stands at 1; an unconditional bridge sees zeros for the domain.
        self.n_shared = configs[0].shared_dim
        self.linear_K11 = per_member([float(c.heads == "linear") for c in configs])
        self.residual_K11 = per_member([float(c.heads == "residual") for c in configs]).bool()
        self.any_residual = any(c.heads == "residual" for c in configs)
        batch_norm = training and any(c.batch_norm for c in configs)
        self.normalised_K11 = per_member([float(c.batch_norm) for c in configs]).bool() if batch_norm else None
        "whose trunks take their statistics from the rows; None: nobody's, as after training"
        self.told_K11 = {
            part: per_member([float(is_told(c, part)) for c in configs]) for part in ("encoder", "decoder")
        }

    def without_batch_norm(self) -> StackedBridges:
        """These bridges, on the same weights, as they are after training."""
        plain = copy.copy(self)
        plain.normalised_K11 = None
        return plain

    def domain(self, side_R: Tensor, part: Part) -> Tensor:
        """One-hot domain labels (K, R, 2), as that part sees them, of rows on side 0 (a) or 1 (b)."""
        return F.one_hot(side_R, 2) * self.told_K11[part]

    def encode(self, z_KRD: Tensor, domain_KR2: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and deviation of q(z'|z, d), each (K, R, S)."""
        x_KRI = torch.cat([z_KRD, domain_KR2], dim=-1)
        mu_KRS, raw_KRS = self._head("encoder", x_KRI).chunk(2, dim=-1)
        return mu_KRS, F.softplus(raw_KRS) + SIGMA_FLOOR

    def decode(self, z_KRS: Tensor, domain_KR2: Tensor) -> Tensor:
        """g(z', d), (K, R, D)."""
        return self._head("decoder", torch.cat([z_KRS, domain_KR2], dim=-1))

    def classify(self, z_KRS: Tensor) -> Tensor:
        """Logits of f, (K, R, C)."""
        out = self._linear("classifier", z_KRS.to(self.dtype)).float()
        if not self.gated_f:
            return out
        logits_KRC, gate_KRC = out.chunk(2, dim=-1)
        return torch.sigmoid(gate_KRC) * logits_KRC

    def _head(self, name: str, x_KRI: Tensor) -> Tensor:
        x_KRI = x_KRI.to(self.dtype)
        h_KRH = x_KRI
        for i in range(self.depth):
            out_KRH = self._linear(f"{name}.{i}", h_KRH)
            if self.normalised_K11 is not None:
                bias_K1H = self.w[f"{name}.{i}.bias"].float()
                there_KRH = normalised(out_KRH.float(), bias_K1H).to(self.dtype)
                out_KRH = torch.where(self.normalised_K11, there_KRH, out_KRH)
            h_KRH = torch.relu(out_KRH)
        delta, gate = self._linear(f"{name}.head", h_KRH).float().chunk(2, dim=-1)
        g = torch.maximum(torch.sigmoid(gate), self.linear_K11)
        skip = self._linear(f"{name}.skip", x_KRI).float()
        mixed = torch.lerp(skip, delta, g)  # (1 - g) * skip + g * delta
        return torch.where(self.residual_K11, skip + delta, mixed) if self.any_residual else mixed

    def _linear(self, block: str, x_KRI: Tensor) -> Tensor:
        return torch.baddbmm(self.w[f"{block}.bias"], x_KRI, self.w[f"{block}.weight"])


@torch.no_grad()
def fold(bridges: StackedBridges, z_KRD: Tensor, noise_KRS: Tensor, side_R: Tensor) -> None:
    """Puts the statistics of these rows into the weights of the members that have batch norm, in place."""
    if bridges.normalised_K11 is None:
        return
    _fold_trunk(bridges, "encoder", torch.cat([z_KRD, bridges.domain(side_R, "encoder")], dim=-1))
    plain = bridges.without_batch_norm()
    mu_KRS, sigma_KRS = plain.encode(z_KRD, plain.domain(side_R, "encoder"))
    shared_KRS = mu_KRS + sigma_KRS * noise_KRS
    _fold_trunk(bridges, "decoder", torch.cat([shared_KRS, bridges.domain(side_R, "decoder")], dim=-1))


def _fold_trunk(bridges: StackedBridges, part: Part, x_KRI: Tensor) -> None:
    on_K11, h_KRH = bridges.normalised_K11, x_KRI
    assert on_K11 is not None
    for i in range(bridges.depth):
        weight, bias = bridges.w[f"{part}.{i}.weight"], bridges.w[f"{part}.{i}.bias"]
        mean_K1H, inverse_K1H = statistics(torch.baddbmm(bias, h_KRH, weight))
        bias.copy_(torch.where(on_K11, (bias - mean_K1H) * inverse_K1H + bias, bias))
        weight.copy_(torch.where(on_K11, weight * inverse_K1H, weight))
        h_KRH = torch.relu(torch.baddbmm(bias, h_KRH, weight))
