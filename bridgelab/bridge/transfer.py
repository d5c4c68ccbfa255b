"""What trained bridges do: reconstruct a latent in its own domain, transfer it to the other one.

Shapes: K bridges, N latents, D latent, S shared, C classes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..config import BridgeConfig
from ..encoding import CHUNK
from .layout import Layout
from .stacked import StackedBridges


@dataclass(frozen=True)
class Crossing:
    """Latents after K bridges, (K, N, ...), or after one of them, (N, ...)."""

    transferred: Tensor
    reconstructed: Tensor
    shared: Tensor
    "z'"
    classes: Tensor
    "what f reads in z'"

    def of(self, k: int) -> Crossing:
        """The latents after bridge k."""
        return Crossing(self.transferred[k], self.reconstructed[k], self.shared[k], self.classes[k])


def stack(weights: Sequence[Mapping[str, Tensor]], configs: Sequence[BridgeConfig], n_classes: int) -> StackedBridges:
    """Trained bridges of equal shape, from the reference module's tensors."""
    latent_dim = weights[0]["decoder_head.delta.weight"].shape[0]
    layout = Layout(latent_dim, n_classes, configs[0])
    buffer = torch.zeros(len(weights), layout.row_size)
    for row, state in zip(buffer, weights, strict=True):
        layout.fill(row, state)
    return StackedBridges(layout.views(buffer), configs)


@torch.inference_mode()
def cross(bridges: StackedBridges, z_KND: Tensor, noise_KNS: Tensor, source: int) -> Crossing:
    """Encodes latents of side `source` (0 is a, 1 is b) and decodes them on both sides.

    `noise_KNS` chooses the sample of q(z'|z, d); zeros give its mean. Rows pass in chunks of one size,
    the last one filled up, so that a result does not depend on N.
    """
    parts = [_cross(bridges, z, noise, source) for z, noise in zip(_chunks(z_KND), _chunks(noise_KNS), strict=True)]
    n = z_KND.shape[1]
    return Crossing(*(torch.cat(tensors, dim=1)[:, :n] for tensors in zip(*parts, strict=True)))


@torch.inference_mode()
def transfer_means(bridges: StackedBridges, z_KND: Tensor, source: int) -> Tensor:
    """What `cross` makes of latents on the other side without noise, (K, N, D), and nothing else."""
    parts = [_decode(bridges, _encode(bridges, z, source)[0], 1 - source) for z in _chunks(z_KND)]
    return torch.cat(parts, dim=1)[:, : z_KND.shape[1]]


def between(start_D: Tensor, end_D: Tensor, n_steps: int) -> Tensor:
    """Latents (n_steps, D) on the way from one to another: sqrt(1 - p) start + sqrt(p) end (paper, section 4.4).

    Of many of them, (P, 1, D), it makes as many ways: (P, n_steps, D).

    Of latents from N(0, I) each point on the way has that distribution too; the weights, not the distances, are
    even.
    """
    p_N1 = torch.linspace(0, 1, n_steps)[:, None]
    return (1 - p_N1).sqrt() * start_D + p_N1.sqrt() * end_D


def _cross(bridges: StackedBridges, z_KND: Tensor, noise_KNS: Tensor, source: int) -> tuple[Tensor, ...]:
    mu_KNS, sigma_KNS = _encode(bridges, z_KND, source)
    shared_KNS = mu_KNS + sigma_KNS * noise_KNS
    classes_KN = bridges.classify(shared_KNS).argmax(-1)
    transferred, back = (_decode(bridges, shared_KNS, side) for side in (1 - source, source))
    return transferred, back, shared_KNS, classes_KN


def _encode(bridges: StackedBridges, z_KND: Tensor, side: int) -> tuple[Tensor, Tensor]:
    told_KN2 = bridges.domain(torch.full((z_KND.shape[1],), side), "encoder")
    return bridges.encode(torch.cat([z_KND, told_KN2], dim=-1))


def _decode(bridges: StackedBridges, shared_KNS: Tensor, side: int) -> Tensor:
    told_KN2 = bridges.domain(torch.full((shared_KNS.shape[1],), side), "decoder")
    return bridges.decode(torch.cat([shared_KNS, told_KN2], dim=-1))


def _chunks(rows_KNX: Tensor) -> list[Tensor]:
    n_chunks = -(-rows_KNX.shape[1] // CHUNK)
    filled = rows_KNX.new_zeros(rows_KNX.shape[0], n_chunks * CHUNK, rows_KNX.shape[2])
    filled[:, : rows_KNX.shape[1]] = rows_KNX
    return list(torch.split(filled, CHUNK, dim=1))
