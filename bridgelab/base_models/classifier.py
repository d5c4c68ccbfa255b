"""The judge: the fixed classifier of a domain, which labels decoded samples.

Shapes: B batch, X pixels, C classes.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from ..config import ClassifierConfig
from ..domains.logmel import Waves
from ..onednn import Linear
from . import Features
from .vae import mlp


class _Images(nn.Module):
    """Pixels (B, X) as images (B, 1, rows, columns) whose channels lie last: a CPU convolves and pools these faster."""

    def __init__(self, rows: int, columns: int) -> None:
        super().__init__()
        self.rows, self.columns = rows, columns

    def forward(self, x_BX: Tensor) -> Tensor:
        return x_BX.reshape(-1, self.rows, self.columns, 1).permute(0, 3, 1, 2)


def _convolution(n_in: int, n_out: int, pool: Literal["max", "mean"]) -> tuple[nn.Module, ...]:
    """A convolution, ReLU, and pooling by two; the largest of four is the same before the ReLU, and is there faster."""
    convolution = nn.Conv2d(n_in, n_out, 3, padding=1)
    return (convolution, nn.MaxPool2d(2), nn.ReLU()) if pool == "max" else (convolution, nn.ReLU(), nn.AvgPool2d(2))


class Classifier(nn.Module):
    """An MLP on pixels, or two convolutions and a layer on images (rows, columns)."""

    def __init__(self, image_shape: tuple[int, int], n_classes: int, config: ClassifierConfig) -> None:
        super().__init__()
        self.config = config
        rows, columns = image_shape
        if config.kind == "cnn":
            c, width = config.channels, config.hidden_dim
            self.layers = nn.Sequential(
                _Images(rows, columns),
                *_convolution(1, c, config.pool),
                *_convolution(c, 2 * c, config.pool),
                nn.Flatten(),
                *(Linear(2 * c * (rows // 4) * (columns // 4), width), nn.ReLU()),
                nn.Linear(width, n_classes),
            )
        else:
            self.layers = mlp(rows * columns, config.hidden_dim, config.n_layers, n_classes, Linear)

    def forward(self, x_BX: Tensor) -> Tensor:
        """Logits (B, C)."""
        logits: Tensor = self.layers(x_BX)
        return logits

    @torch.inference_mode()
    def features(self, x_BX: Tensor) -> Features:
        """The last hidden layer, and the probabilities of the classes."""
        penultimate = self.layers[:-1](x_BX)
        return Features(penultimate, torch.softmax(self.layers[-1](penultimate), dim=1))

    @torch.inference_mode()
    def classify(self, x_BX: Tensor) -> Tensor:
        """The class of each sample, (B,) int64."""
        return torch.argmax(self(x_BX), dim=1)


class Listener:
    """The judge of waveforms: a classifier of their log-mel pictures. T samples of sound."""

    def __init__(self, classifier: Classifier, sound: Waves) -> None:
        self.classifier, self.sound = classifier, sound

    def features(self, x_BT: Tensor) -> Features:
        """Those of the classifier."""
        return self.classifier.features(self._pictures(x_BT))

    def classify(self, x_BT: Tensor) -> Tensor:
        """The class of each clip, (B,) int64."""
        return self.classifier.classify(self._pictures(x_BT))

    def _pictures(self, x_BT: Tensor) -> Tensor:
        return torch.from_numpy(self.sound.pictures(x_BT.detach().numpy()))
