"""The pretrained generators of a domain, the judges that label what they generate, their training."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from torch import Tensor

from ..config import Side
from ..domains import Domain
from ..errors import InvalidValueError


class Generator(Protocol):
    """A frozen model that makes samples. Shapes: B batch, X sample, D latent."""

    def decode(self, z_BD: Tensor) -> Tensor:
        """A sample (B, X) for each latent."""


@runtime_checkable
class BaseModel(Generator, Protocol):
    """A frozen generator with its encoder."""

    def encode(self, x_BX: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and deviation of q(z|x), each (B, D)."""


def with_encoder(base: Generator, domain: Domain) -> BaseModel:
    """The base model of a domain as one that encodes. Raises InvalidValueError for a GAN, which cannot."""
    if not isinstance(base, BaseModel):
        raise InvalidValueError(
            f"the base model of {domain.name} is a GAN: it makes samples and encodes none, so nothing of "
            f"{domain.name} can be sent across; send something of the other side, or take a domain with a VAE"
        )
    return base


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


@runtime_checkable
class Examiner(Judge, Protocol):
    """A judge that says how sure it is."""

    def features(self, x_BX: Tensor) -> Features:
        """What it computes of each sample."""


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
