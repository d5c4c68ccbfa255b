"""The random draws of one trial: named streams, so that what a trial sees depends on nothing else.

A stream belongs to a trial and a purpose, never to a slot of a pack, and is drawn in chunks of a fixed
number of steps. Arms of one replicate share their seeds and so their streams: they are compared in
pairs. They are drawn on the device that trains: a GPU has other generators than a CPU.

Shapes: T steps of a chunk, B batch, L labelled batch, R rows (both sides, B and L), D latent, S shared,
P directions.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..config import CHUNK_STEPS, Side, stream_seed
from ..latents import Latents
from ..specs import TrialSpec
from ..spreading import graph
from .pool import Pool, in_terms_of_a, pool

SIDES: tuple[Side, ...] = ("a", "b")
CPU = torch.device("cpu")


class Shared:
    """What members of a pack make of the arrays that they share, once: they share their place in memory."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self._made: dict[tuple[str, int, tuple[int, ...]], tuple[NDArray[np.float32], Any]] = {}
        "with the array, whose place nothing else may take"

    def tensor(self, array: NDArray[np.float32]) -> Tensor:
        """The array on the device."""
        made: Tensor = self._once("tensor", array, lambda array: _tensor(array).to(self.device))
        return made

    def graph(self, z_ND: NDArray[np.float32]) -> Any:
        """`spreading.graph` of latents."""
        return self._once("graph", z_ND, graph)

    def _once(self, what: str, array: NDArray[np.float32], make: Callable[[NDArray[np.float32]], Any]) -> Any:
        key = (what, array.__array_interface__["data"][0], array.shape)
        if key not in self._made:
            self._made[key] = (array, make(array))
        return self._made[key][1]


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

    def __init__(
        self, spec: TrialSpec, a: Latents, b: Latents, device: torch.device = CPU, shared: Shared | None = None
    ) -> None:
        self._config, self._device = spec.settings.bridge, device
        self._seed = spec.bridge_seed
        self._generators: dict[str, torch.Generator] = {}
        shared = Shared(device) if shared is None else shared
        self._banks = {side: _bank(spec, side, own, shared) for side, own in zip(SIDES, (a, b), strict=True)}

    def next_chunk(self) -> Chunk:
        """The next CHUNK_STEPS steps."""
        c, n_latent = self._config, self._banks["a"].mu.shape[1]
        n_labelled = c.batch_size if c.labelled_batch == "masked" else c.labelled_batch_size
        n_rows = 2 * c.batch_size + (0 if c.labelled_batch == "masked" else 2 * n_labelled)
        with self._device:
            chunk = Chunk(
                z=torch.empty(CHUNK_STEPS, n_rows, n_latent),
                noise=torch.empty(CHUNK_STEPS, n_rows, c.shared_dim),
                labels=torch.empty(CHUNK_STEPS, 2, n_labelled, dtype=torch.long),
                directions=torch.empty(CHUNK_STEPS, c.n_projections, c.shared_dim),
            )
        self.draw(chunk)
        return chunk

    def draw(self, into: Chunk) -> None:
        """Draws the next CHUNK_STEPS steps into the tensors of a chunk."""
        c, size = self._config, self._config.batch_size
        for i, side in enumerate(SIDES):
            bank, rows = self._banks[side], slice(i * size, (i + 1) * size)
            index_TB = self._pick(bank, f"batch_{side}", size)
            self._sample(bank, f"posterior_{side}", index_TB, into.z[:, rows])
            into.noise[:, rows] = self._normal(f"shared_{side}", size, c.shared_dim)
            if c.labelled_batch == "masked":
                into.labels[:, i] = _at(bank.known_labels, index_TB)
        for i, side in enumerate(SIDES if c.labelled_batch == "separate" else ()):
            bank, n = self._banks[side], c.labelled_batch_size
            rows = slice(2 * size + i * n, 2 * size + (i + 1) * n)
            index_TL = self._pick_labelled(bank, f"labelled_{side}", n)
            self._sample(bank, f"posterior_labelled_{side}", index_TL, into.z[:, rows])
            into.noise[:, rows] = self._normal(f"shared_labelled_{side}", n, c.shared_dim)
            into.labels[:, i] = _at(bank.known_labels, index_TL)
        directions_TPS = self._normal("directions", c.n_projections, c.shared_dim)
        torch.div(directions_TPS, directions_TPS.norm(dim=-1, keepdim=True), out=into.directions)

    def population(self, size: int) -> tuple[Tensor, Tensor]:
        """z (2 * size, D) and noise (2 * size, S), first of side a: always the same ones, on the CPU."""
        generator = torch.Generator().manual_seed(stream_seed("bridge", self._seed, "population"))
        z = []
        for side in SIDES:
            bank = self._banks[side]
            index_B = torch.randint(len(bank.seen), (size,), generator=generator).to(self._device)
            mu_BD, sigma_BD = (_at(rows, _at(bank.seen, index_B)).cpu() for rows in (bank.mu, bank.sigma))
            z.append(mu_BD + sigma_BD * torch.randn(mu_BD.shape, generator=generator))
        return torch.cat(z), torch.randn(2 * size, self._config.shared_dim, generator=generator)

    def generator(self, name: str) -> torch.Generator:
        """The stream of that name, at the place where the last draw left it."""
        if name not in self._generators:
            seed = stream_seed("bridge", self._seed, name)
            self._generators[name] = torch.Generator(self._device).manual_seed(seed)
        return self._generators[name]

    def state(self) -> dict[str, Tensor]:
        """Where each stream stands, by name; `restore` goes on from there."""
        return {name: generator.get_state() for name, generator in self._generators.items()}

    def restore(self, state: Mapping[str, Tensor]) -> None:
        for name, place in state.items():
            self.generator(name).set_state(place)

    def _normal(self, name: str, *shape: int) -> Tensor:
        return torch.randn(CHUNK_STEPS, *shape, generator=self.generator(name), device=self._device)

    def _pick(self, bank: _Bank, name: str, size: int) -> Tensor:
        if self._config.unlabelled_batch == "label_balanced":
            u_TB2 = torch.rand(CHUNK_STEPS, size, 2, generator=self.generator(name), device=self._device)
            class_TB = (u_TB2[..., 0] * len(bank.class_start)).long()
            within_TB = (u_TB2[..., 1] * bank.class_size[class_TB]).long()
            return bank.by_class[bank.class_start[class_TB] + within_TB]
        return self._uniform(bank.seen, name, size)

    def _pick_labelled(self, bank: _Bank, name: str, size: int) -> Tensor:
        # Without any label the rows are drawn all the same, unlabelled: every arm has equal shapes.
        return self._uniform(bank.labelled if len(bank.labelled) else bank.seen, name, size)

    def _uniform(self, positions: Tensor, name: str, size: int) -> Tensor:
        shape, generator = (CHUNK_STEPS, size), self.generator(name)
        return _at(positions, torch.randint(len(positions), shape, generator=generator, device=self._device))

    def _sample(self, bank: _Bank, name: str, index_TB: Tensor, into_TBD: Tensor) -> None:
        """Fresh samples of the base model's posterior."""
        epsilon_TBD = self._normal(name, index_TB.shape[1], bank.mu.shape[1])
        into_TBD.copy_(epsilon_TBD.mul_(_at(bank.sigma, index_TB)).add_(_at(bank.mu, index_TB)))


class _Bank:
    """A side's training latents as tensors, and the positions that batches are drawn from."""

    def __init__(self, latents: Latents, pool: Pool, shared: Shared) -> None:
        self.mu, self.sigma = shared.tensor(latents.mu), shared.tensor(latents.sigma)
        seen, labelled = latents.rows_of(pool.seen), latents.rows_of(pool.labelled)
        labels_of_seen = latents.labels[seen]
        sizes = np.unique(labels_of_seen, return_counts=True)[1]
        by_class, starts = seen[np.argsort(labels_of_seen, kind="stable")], np.cumsum(sizes) - sizes
        known = np.tile(pool.labels, latents.n_places)

        def moved(*arrays: NDArray[np.int64]) -> list[Tensor]:
            return [_tensor(array).to(shared.device) for array in arrays]

        self.seen, self.labelled, self.known_labels = moved(seen, labelled, known)
        self.by_class, self.class_size, self.class_start = moved(by_class, sizes, starts)


def _bank(spec: TrialSpec, side: Side, latents: Latents, shared: Shared) -> _Bank:
    """Of a side, with its classes in terms of side a."""
    own = pool(spec, side, latents, shared.graph)

    def of_a(classes: NDArray[np.int64]) -> NDArray[np.int64]:
        return in_terms_of_a(classes, side, spec.settings.class_map)

    return _Bank(replace(latents, labels=of_a(latents.labels)), replace(own, labels=of_a(own.labels)), shared)


def _at(rows_NX: Tensor, index_TB: Tensor) -> Tensor:
    """(T, B, ...) of the rows (N, ...). It is what `rows[index]` is, several times as fast."""
    return rows_NX.index_select(0, index_TB.flatten()).view(*index_TB.shape, *rows_NX.shape[1:])


def _tensor(array: NDArray[np.generic]) -> Tensor:
    return torch.from_numpy(np.array(array))  # a copy: arrays of an object store are read-only
