"""Predictions of trained bridges: what the judges see on both sides of a transfer.

Shapes: K bridges, N items, D latent, S shared.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from .base_models import BaseModel, Judge
from .bridge.transfer import cross, stack
from .config import Side, TrialSpec, stream_seed
from .domains import Samples, Split
from .latents import Latents, chunks
from .metrics import DIRECTIONS, Direction, Predictions

EVALUATED: tuple[Split, ...] = ("validation", "test")
"""Whatever chooses reads validation; test is read once a trial, after its last step."""

Found = dict[Split, dict[Direction, Predictions]]


@dataclass(frozen=True)
class World:
    """What surrounds a bridge on one side: frozen models, and the splits as latents and as samples."""

    base: BaseModel
    judge: Judge
    latents: Mapping[Split, Latents]
    samples: Mapping[Split, Samples]


@dataclass(frozen=True)
class Bridge:
    """A trained bridge between its two sides."""

    spec: TrialSpec
    weights: Mapping[str, Tensor]
    worlds: Mapping[Side, World]


def evaluate(bridges: Sequence[Bridge], n_classes: int) -> list[Found]:
    """The predictions of bridges of equal shape, in both directions, on the splits of EVALUATED."""
    stacked = stack([b.weights for b in bridges], [b.spec.settings.bridge for b in bridges], n_classes)
    found: list[Found] = [{split: {} for split in EVALUATED} for _ in bridges]
    for split in EVALUATED:
        for direction in DIRECTIONS:
            source: Side = "a" if direction == "ab" else "b"
            inputs = [_inputs(bridge, split, source) for bridge in bridges]
            z_KND, noise_KNS = (torch.stack(tensors) for tensors in zip(*inputs, strict=True))
            crossing = cross(stacked, z_KND, noise_KNS, source=0 if source == "a" else 1)
            for k, bridge in enumerate(bridges):
                found[k][split][direction] = _predictions(
                    bridge,
                    split,
                    source,
                    z_KND[k],
                    crossing.transferred_KND[k],
                    crossing.reconstructed_KND[k],
                    crossing.classes_KN[k],
                )
    return found


def _inputs(bridge: Bridge, split: Split, source: Side) -> tuple[Tensor, Tensor]:
    """Latents (N, D) to send across, and the noise (N, S) that chooses z'; both by BridgeConfig.decode."""
    config = bridge.spec.settings.bridge
    latents = bridge.worlds[source].latents[split]
    mu_ND = torch.from_numpy(np.array(latents.mu))
    if config.decode == "mean":
        return mu_ND, torch.zeros(len(latents), config.shared_dim)
    seed = stream_seed("evaluation", bridge.spec.bridge_seed, split, source)
    generator = torch.Generator().manual_seed(seed)
    epsilon_ND = torch.randn(mu_ND.shape, generator=generator)
    noise_NS = torch.randn(len(latents), config.shared_dim, generator=generator)
    return mu_ND + torch.from_numpy(np.array(latents.sigma)) * epsilon_ND, noise_NS


def _predictions(
    bridge: Bridge, split: Split, source: Side, z_ND: Tensor, transferred_ND: Tensor, own_ND: Tensor, classes_N: Tensor
) -> Predictions:
    here, there = bridge.worlds[source], bridge.worlds["b" if source == "a" else "a"]
    samples = here.samples[split]
    return Predictions(
        true=samples.labels.astype(np.uint8),
        original=_classify(here.judge, torch.from_numpy(np.array(samples.x))),
        source=_classify(here.judge, z_ND, here.base),
        transferred=_classify(there.judge, transferred_ND, there.base),
        reconstructed=_classify(here.judge, own_ND, here.base),
        shared=classes_N.numpy().astype(np.uint8),
    )


@torch.inference_mode()
def _classify(judge: Judge, rows: Tensor, base: BaseModel | None = None) -> np.ndarray[tuple[int], np.dtype[np.uint8]]:
    """The judge's class of each sample (N, X), or of the sample that each latent (N, D) decodes to."""
    classes = [judge.classify(base.decode(chunk) if base else chunk)[:n] for chunk, n in chunks(rows)]
    return torch.cat(classes).numpy().astype(np.uint8)
