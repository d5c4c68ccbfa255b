"""The judge: the fixed classifier of a domain, which labels decoded samples."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..config import ClassifierConfig
from .vae import mlp


class Classifier(nn.Module):
    """An MLP on pixels. Shapes: B batch, X pixels, C classes."""

    def __init__(self, n_pixels: int, n_classes: int, config: ClassifierConfig) -> None:
        super().__init__()
        self.config = config
        self.layers = mlp(n_pixels, config.hidden_dim, config.n_layers, n_classes)

    def forward(self, x_BX: Tensor) -> Tensor:
        """Logits (B, C)."""
        logits: Tensor = self.layers(x_BX)
        return logits

    @torch.inference_mode()
    def classify(self, x_BX: Tensor) -> Tensor:
        """The class of each sample, (B,) int64."""
        return torch.argmax(self(x_BX), dim=1)
