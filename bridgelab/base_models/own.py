"""A base model of the user's own, held to its word. Shapes: B batch, X sample, D latent."""

from __future__ import annotations

import math

from torch import Tensor

from ..domains import Domain
from ..errors import ModelError


class Own:
    """What a domain file's `own_base` makes. Raises ModelError where it does not give what a base model gives."""

    def __init__(self, domain: Domain) -> None:
        assert domain.own_base is not None
        self._domain, self._model = domain, domain.own_base()
        missing = [name for name in ("encode", "decode") if not callable(getattr(self._model, name, None))]
        if missing:
            raise ModelError(f"own_base of {domain.name} has no method {missing[0]}; give it one")

    def encode(self, x_BX: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and deviation of q(z|x), each (B, D)."""
        found, shape = self._model.encode(x_BX), (len(x_BX), self._domain.latent_dim)
        if not isinstance(found, tuple) or len(found) != 2:
            raise ModelError(f"encode of {self._domain.name} returned {type(found).__name__}; return (mean, deviation)")
        return self._checked("encode", found[0], shape), self._checked("encode", found[1], shape)

    def decode(self, z_BD: Tensor) -> Tensor:
        """A sample (B, X) for each latent."""
        return self._checked("decode", self._model.decode(z_BD), (len(z_BD), math.prod(self._domain.sample_shape)))

    def _checked(self, method: str, found: object, shape: tuple[int | None, ...]) -> Tensor:
        given = f"a tensor {tuple(found.shape)}" if isinstance(found, Tensor) else type(found).__name__
        if not isinstance(found, Tensor) or tuple(found.shape) != shape:
            raise ModelError(f"{method} of {self._domain.name} returned {given}; return a tensor {shape}")
        return found.detach().float()
