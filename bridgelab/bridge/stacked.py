"""The forward equations of the bridging VAE for K bridges at once.

Shapes: K bridges, R rows, D latent, S shared, I input, H hidden, C classes.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import Function, once_differentiable
from torch.nn import functional as F

from ..config import BridgeConfig
from .batch_norm import normalised, statistics
from .losses import sigmoid, softplus
from .model import SIGMA_FLOOR, Part, is_told
from .products import Affine, Gradient, Shift, affine


class StackedBridges:
    """The forward equations of K bridges whose parameters are matrices (K, rows, cols)."""

    def __init__(
        self,
        w: Mapping[str, Tensor],
        configs: Sequence[BridgeConfig],
        gradients: Mapping[str, Tensor] | None = None,
        training: bool = False,
    ) -> None:
        def per_member(values: list[float]) -> Tensor:
            return torch.tensor(values, device=w["classifier.weight"].device)[:, None, None]

        self.w, self.gradients = w, gradients
        "parameters, and where their gradients are written: of each block; None: nobody asks for gradients"
        self.dtype = w["classifier.weight"].dtype
        "of the matrix products; what comes out of a head is float32 again"
        self.depth, self.gated_f = configs[0].n_layers, configs[0].classifier == "gated"
        # A linear head is a gate that stands at 1; an unconditional bridge sees zeros for the domain.
        self.n_shared = configs[0].shared_dim
        self.linear_K11 = per_member([float(c.heads == "linear") for c in configs]).bool()
        self.residual_K11 = per_member([float(c.heads == "residual") for c in configs]).bool()
        self.any_linear, self.any_residual = bool(self.linear_K11.any()), bool(self.residual_K11.any())
        self.batch_norm = training and configs[0].batch_norm
        "whether trunks take their statistics from the rows; not so after training"
        self.told_K11 = {
            part: per_member([float(is_told(c, part)) for c in configs]) for part in ("encoder", "decoder")
        }

    def without_batch_norm(self) -> StackedBridges:
        """These bridges, on the same weights, as they are after training."""
        plain = copy.copy(self)
        plain.batch_norm = False
        return plain

    def domain(self, side_R: Tensor, part: Part) -> Tensor:
        """One-hot domain labels (K, R, 2), as that part sees them, of rows on side 0 (a) or 1 (b)."""
        return F.one_hot(side_R, 2) * self.told_K11[part]

    def encode(self, x_KRI: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and deviation of q(z'|z, d), each (K, R, S), for rows [z, d]."""
        mu_KRS, raw_KRS = self._head("encoder", x_KRI).chunk(2, dim=-1)
        return mu_KRS, softplus(raw_KRS) + SIGMA_FLOOR

    def decode(self, x_KRI: Tensor) -> Tensor:
        """g(z', d), (K, R, D), for rows [z', d]."""
        return self._head("decoder", x_KRI)

    def classify(self, z_KRS: Tensor) -> Tensor:
        """Logits of f, (K, R, C)."""
        out = self._affine("classifier", z_KRS.to(self.dtype)).float()
        if not self.gated_f:
            return out
        logits_KRC, gate_KRC = out.chunk(2, dim=-1)
        return torch.sigmoid(gate_KRC) * logits_KRC

    def _head(self, name: str, x_KRI: Tensor) -> Tensor:
        x_KRI = x_KRI.to(self.dtype)
        h_KRH = x_KRI
        for i in range(self.depth):
            block = f"{name}.{i}"
            h_KRH = self._normalised(block, h_KRH) if self.batch_norm else self._affine(block, h_KRH, relu=True)
        delta_and_gate = self._affine(f"{name}.head", h_KRH).float()
        skip = self._affine(f"{name}.skip", x_KRI).float()
        mixed: Tensor = _Mixed.apply(skip, delta_and_gate, self.linear_K11 if self.any_linear else None)
        if not self.any_residual:
            return mixed
        delta, _ = delta_and_gate.chunk(2, dim=-1)
        return torch.where(self.residual_K11, skip + delta, mixed)

    def _normalised(self, block: str, x_KRI: Tensor) -> Tensor:
        """A layer of batch norm: its bias comes after the statistics."""
        weight, bias = self.w[f"{block}.weight"], self.w[f"{block}.bias"]
        into = self._gradient_of(block)
        product_KRH = Affine.apply(x_KRI, weight, None, into, False).float()
        h_KRH: Tensor = torch.relu(Shift.apply(normalised(product_KRH), bias.float(), into))
        return h_KRH.to(self.dtype)

    def _affine(self, block: str, x_KRI: Tensor, relu: bool = False) -> Tensor:
        weight, bias = self.w[f"{block}.weight"], self.w[f"{block}.bias"]
        if self.gradients is None:
            return affine(x_KRI, weight, bias, relu)
        out_KRO: Tensor = Affine.apply(x_KRI, weight, bias, self._gradient_of(block), relu)
        return out_KRO

    def _gradient_of(self, block: str) -> Gradient:
        assert self.gradients is not None
        return Gradient(self.gradients[f"{block}.weight"], self.gradients[f"{block}.bias"])


class _Mixed(Function):
    """(1 - g) * skip + g * delta with g = sigmoid(gate), or 1 where the head is linear."""

    @staticmethod
    def forward(ctx: Any, skip: Tensor, delta_and_gate: Tensor, linear_K11: Tensor | None) -> Tensor:
        delta, gate = delta_and_gate.chunk(2, dim=-1)
        g = sigmoid(gate)
        if linear_K11 is not None:
            g = torch.where(linear_K11, 1.0, g)
        ctx.save_for_backward(skip, delta_and_gate, g)
        return torch.lerp(skip, delta, g)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, d_mixed: Tensor) -> tuple[Tensor, Tensor, None]:
        skip, delta_and_gate, g = ctx.saved_tensors
        delta, _ = delta_and_gate.chunk(2, dim=-1)
        d_delta_and_gate = torch.empty_like(delta_and_gate)
        d_delta, d_gate = d_delta_and_gate.chunk(2, dim=-1)
        torch.mul(d_mixed, g, out=d_delta)
        d_skip = d_mixed - d_delta
        torch.sub(delta, skip, out=d_gate).mul_(g).mul_(d_skip)
        return d_skip, d_delta_and_gate, None


@torch.no_grad()
def fold(bridges: StackedBridges, z_KRD: Tensor, noise_KRS: Tensor, side_R: Tensor) -> None:
    """Puts the statistics of these rows into the weights of members with batch norm, in place."""
    _fold_trunk(bridges, "encoder", torch.cat([z_KRD, bridges.domain(side_R, "encoder")], dim=-1))
    plain = bridges.without_batch_norm()
    mu_KRS, sigma_KRS = plain.encode(torch.cat([z_KRD, plain.domain(side_R, "encoder")], dim=-1))
    shared_KRS = mu_KRS + sigma_KRS * noise_KRS
    _fold_trunk(bridges, "decoder", torch.cat([shared_KRS, bridges.domain(side_R, "decoder")], dim=-1))


def _fold_trunk(bridges: StackedBridges, part: Part, x_KRI: Tensor) -> None:
    h_KRH = x_KRI
    for i in range(bridges.depth):
        weight, bias = bridges.w[f"{part}.{i}.weight"], bridges.w[f"{part}.{i}.bias"]
        mean_K1H, inverse_K1H = statistics(torch.baddbmm(bias, h_KRH, weight))
        bias.copy_((bias - mean_K1H) * inverse_K1H + bias)
        weight.mul_(inverse_K1H)
        h_KRH = torch.relu(torch.baddbmm(bias, h_KRH, weight))
