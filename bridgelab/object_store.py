"""What workers read from Ray's object store, to which each node copies it once: samples, latents, files of models."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .config import SIDES, Side
from .lab import Lab
from .patience import LATER_S
from .study import ResolvedStudy

Samples = Mapping[tuple[str, Side], Any]
"""By domain and side: samples by split, or a reference to them in Ray's object store."""


def loaded(study: ResolvedStudy) -> Samples:
    """The samples of a study's pair."""
    return {(d.name, side): d.load(side) for side, d in zip(SIDES, study.pair, strict=True)}


def put(samples: Samples) -> Samples:
    """Samples in Ray's object store."""
    import ray

    return {whose: ray.put(of_splits) for whose, of_splits in samples.items()}


class ObjectStore:
    """Latents, samples and the files of models from Ray's object store, to which each node copies them once."""

    def __init__(self, latents: Mapping[str, Any], samples: Samples, files: Mapping[str, Any]) -> None:
        self._latents, self._samples, self._files = latents, samples, files

    def lab(self, address: str) -> Lab:
        """A worker's lab, of which some files came along."""
        return _Equipped(address, self._files)

    def latents(self, latents_id: str) -> Any:
        import ray

        return ray.get(self._latents[latents_id])

    def samples(self, domain: str, side: Side) -> Any:
        import ray

        return ray.get(self._samples[domain, side])


class _Equipped(Lab):
    """A lab of which some published files are in Ray's object store."""

    def __init__(self, address: str, files: Mapping[str, Any]) -> None:
        super().__init__(address, LATER_S)
        self._files = files

    def read(self, path: str, most_bytes: int | None = None) -> bytes:
        import ray

        return bytes(ray.get(self._files[path])) if path in self._files else super().read(path, most_bytes)
