"""The pretrained generators of a domain, the judges that label what they generate, their training."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from ..config import Side
from ..domains import Domain


class BaseModel(Protocol):
    """A frozen generator with its encoder. Shapes: B batch, X sample, D latent."""

    def encode(self, x_BX: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and deviation of q(z|x), each (B, D)."""

    def decode(self, z_BD: Tensor) -> Tensor:
        """A sample (B, X) for each latent."""


@dataclass(frozen=True)
class Features:
    """What a judge computes of samples on the way to their classes."""

    penultimate: Tensor
    "(N, F)"
    softmax: Tensor
    "(N, C)"


class Judge(Protocol):
    """A frozen classifier of samples."""

    def classify(self, x_BX: Tensor) -> Tensor:
        """The class of each sample, (B,) int64."""


class Identity:
    """The base model of a domain whose samples are latents already."""

    def encode(self, x_BX: Tensor) -> tuple[Tensor, Tensor]:
        return x_BX, x_BX.new_zeros(x_BX.shape)

    def decode(self, z_BD: Tensor) -> Tensor:
        return z_BD


class Rule:
    """The judge of a domain that labels its samples by rule."""

    def __init__(self, domain: Domain, side: Side) -> None:
        self.domain, self.side = domain, side

    def classify(self, x_BX: Tensor) -> Tensor:
        assert self.domain.rule is not None, f"{self.domain.name} has no rule"
        return x_BX.new_tensor(self.domain.rule(self.side, x_BX.cpu().numpy())).long()
