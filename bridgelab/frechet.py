"""FID: the distance between the Gaussians of two sets of features (paper, Table 5), by torchmetrics.

The paper does not name the layer of its classifier. Two are taken: the judge's penultimate layer, and
its softmax, whose scale is that of the published numbers. Shapes: N samples, F features.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import torch
from torch import Tensor, nn

from .base_models import Features

Layer = Literal["penultimate", "softmax"]
LAYERS: tuple[Layer, ...] = ("penultimate", "softmax")


class _AsTheyAre(nn.Module):
    """Features are computed once, by the judge."""

    def __init__(self, num_features: int) -> None:
        super().__init__()
        self.num_features = num_features

    def forward(self, features_NF: Tensor) -> Tensor:
        return features_NF


def frechet_distance(real_NF: Tensor, other_NF: Tensor) -> float:
    """|mean - mean|^2 + tr(S + S' - 2 (S S')^(1/2)) of two sets of features."""
    from torchmetrics.image.fid import FrechetInceptionDistance

    distance = FrechetInceptionDistance(feature=_AsTheyAre(real_NF.shape[1]))
    distance.set_dtype(torch.float64)
    distance.update(real_NF.double(), real=True)
    distance.update(other_NF.double(), real=False)
    return max(0.0, float(distance.compute()))


def frechet_distances(real: Features, other: Features) -> Mapping[Layer, float]:
    """Of each layer."""
    return {layer: frechet_distance(getattr(real, layer), getattr(other, layer)) for layer in LAYERS}
