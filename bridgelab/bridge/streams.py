"""The random draws of one trial: named streams, so that what a trial sees depends on nothing else.

A stream belongs to a trial and a purpose, never to a slot of a pack, and is drawn in chunks of a fixed
number of steps. Arms of one replicate share their seeds and so their streams: they are compared in
pairs. Shapes: T steps of a chunk, B batch, L labelled batch, R rows (both sides, B and L), D latent,
S shared, P directions.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..config import CHUNK_STEPS, Side, stream_seed
from ..latents import Latents
from ..specs import TrialSpec
from .losses import UNLABELLED
from .pool import Pool, in_terms_of_a, pool

SIDES: tuple[Side, ...] = ("a", "b")


@dataclass(frozen=True)
class Chunk:
    """What CHUNK_STEPS steps see. Rows: a's batch, b's batch, then both labelled batches.

    Shapes of one trial; a pack of them has K after T.
    """

    z: Tensor
    "(T, R, D) samples of the base models' posteriors"
    noise: Tensor
    "(T, R, S)"
    labels: Tensor
    "(T, 2, L) of the labelled batches, or of the batches themselves where those are masked"
    directions: Tensor
    "(T, P, S) unit vectors"


class TrialStreams:
    """The streams of one trial over the training latents of its two sides."""

    def __init__(self, spec: TrialSpec, a: Latents, b: Latents) -> None:
        self._config = spec.settings.bridge
        self._seed = spec.bridge_seed
        self._generators: dict[str, torch.Generator] = {}
        b = replace(b, labels=in_terms_of_a(b.labels, "b", spec.settings.class_map))
        pools = {"a": pool(spec, "a", a.labels_of_items), "b": pool(spec, "b", b.labels_of_items)}
        self._banks = {"a": _Bank(a, pools["a"]), "b": _Bank(b, pools["b"])}

    def next_chunk(self) -> Chunk:
        c, masked = self._config, self._config.labelled_batch == "masked"
        z, noise, labels = [], [], []
        for side in SIDES:
            bank = self._banks[side]
            index_TB = self._pick(bank, f"batch_{side}", c.batch_size)
            z.append(self._sample(bank, f"posterior_{side}", index_TB))
            noise.append(self._normal(f"shared_{side}", c.batch_size, c.shared_dim))
            if masked:
                labels.append(bank.known_labels[index_TB])
        for side in SIDES if not masked else ():
            bank = self._banks[side]
            index_TL = self._pick_labelled(bank, f"labelled_{side}", c.labelled_batch_size)
            z.append(self._sample(bank, f"posterior_labelled_{side}", index_TL))
            noise.append(self._normal(f"shared_labelled_{side}", c.labelled_batch_size, c.shared_dim))
            labels.append(bank.known_labels[index_TL])
        directions = self._normal("directions", c.n_projections, c.shared_dim)
        return Chunk(
            z=torch.cat(z, dim=1),
            noise=torch.cat(noise, dim=1),
            labels=torch.stack(labels, dim=1),
            directions=directions / directions.norm(dim=-1, keepdim=True),
        )

    def population(self, size: int) -> tuple[Tensor, Tensor]:
        """z (2 * size, D) and noise (2 * size, S), first of side a: always the same ones."""
        generator = torch.Generator().manual_seed(stream_seed("bridge", self._seed, "population"))
        z = []
        for side in SIDES:
            bank = self._banks[side]
            index_B = bank.seen[torch.randint(len(bank.seen), (size,), generator=generator)]
            epsilon_BD = torch.randn(size, bank.mu.shape[1], generator=generator)
            z.append(bank.mu[index_B] + bank.sigma[index_B] * epsilon_BD)
        return torch.cat(z), torch.randn(2 * size, self._config.shared_dim, generator=generator)

    def generator(self, name: str) -> torch.Generator:
        """The stream of that name, at the place where the last draw left it."""
        if name not in self._generators:
            self._generators[name] = torch.Generator().manual_seed(stream_seed("bridge", self._seed, name))
        return self._generators[name]

    def state(self) -> dict[str, Tensor]:
        """Where each stream stands, by name; `restore` goes on from there."""
        return {name: generator.get_state() for name, generator in self._generators.items()}

    def restore(self, state: Mapping[str, Tensor]) -> None:
        for name, place in state.items():
            self.generator(name).set_state(place)

    def _normal(self, name: str, *shape: int) -> Tensor:
        return torch.randn(CHUNK_STEPS, *shape, generator=self.generator(name))

    def _pick(self, bank: _Bank, name: str, size: int) -> Tensor:
        if self._config.unlabelled_batch == "label_balanced":
            u_TB2 = torch.rand(CHUNK_STEPS, size, 2, generator=self.generator(name))
            class_TB = (u_TB2[..., 0] * len(bank.class_start)).long()
            within_TB = (u_TB2[..., 1] * bank.class_size[class_TB]).long()
            return bank.by_class[bank.class_start[class_TB] + within_TB]
        return self._uniform(bank.seen, name, size)

    def _pick_labelled(self, bank: _Bank, name: str, size: int) -> Tensor:
        # Without any label the rows are drawn all the same, unlabelled: every arm has equal shapes.
        return self._uniform(bank.labelled if len(bank.labelled) else bank.seen, name, size)

    def _uniform(self, positions: Tensor, name: str, size: int) -> Tensor:
        drawn = torch.randint(len(positions), (CHUNK_STEPS, size), generator=self.generator(name))
        return positions[drawn]

    def _sample(self, bank: _Bank, name: str, index_TB: Tensor) -> Tensor:
        """Fresh samples of the base model's posterior."""
        epsilon = self._normal(name, index_TB.shape[1], bank.mu.shape[1])
        return bank.mu[index_TB] + bank.sigma[index_TB] * epsilon


class _Bank:
    """A side's training latents as tensors, and the positions that batches are drawn from."""

    def __init__(self, latents: Latents, pool: Pool) -> None:
        self.mu, self.sigma = _tensor(latents.mu), _tensor(latents.sigma)
        seen, labelled = latents.rows_of(pool.seen), latents.rows_of(pool.labelled)
        self.seen, self.labelled = _tensor(seen), _tensor(labelled)
        self.known_labels = torch.full((len(latents),), UNLABELLED)
        self.known_labels[self.labelled] = _tensor(latents.labels)[self.labelled]
        labels_of_seen = latents.labels[seen]
        sizes = np.unique(labels_of_seen, return_counts=True)[1]
        self.by_class = _tensor(seen[np.argsort(labels_of_seen, kind="stable")])
        self.class_size, self.class_start = _tensor(sizes), _tensor(np.cumsum(sizes) - sizes)


def _tensor(array: NDArray[np.generic]) -> Tensor:
    return torch.from_numpy(np.array(array))  # a copy: arrays of an object store are read-only
