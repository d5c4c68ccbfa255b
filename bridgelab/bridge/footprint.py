"""How much memory a pack takes, before it is there.

Counts what `lockstep` and `streams` hold at once: rows of parameters, what a chunk's steps see, what a step keeps
for its gradients, and the latents, which members share.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..config import CHUNK_STEPS, BridgeConfig
from .layout import Layout
from .pack import Member

FLOAT = 4
N_ROWS = 4
"""A member's parameters, their gradient and both moments of Adam."""
N_ROWS_ASIDE = {"cpu": 9, "cuda": 3}
"""Between steps: on a CPU a snapshot, its bytes, and those under their seal; on a GPU what a warm-up puts back."""


def bytes_of(members: Sequence[Member], device: str = "cpu") -> int:
    """The peak memory of a pack of these members on a device, in bytes, beside what its process has anyway."""
    first = members[0]
    c = first.spec.settings.bridge
    row_size = Layout(first.latent_dim, first.n_classes, c).row_size
    parameters = row_size * (N_ROWS * FLOAT + (2 if c.precision == "bfloat16" else 0))
    aside = row_size * N_ROWS_ASIDE[device] * FLOAT
    step, chunk = _bytes_of_a_step(c, first.latent_dim), _bytes_of_a_chunk(c, first.latent_dim)
    of_a_member = parameters + chunk + max(step, aside)
    latents = {id(side.mu): side for member in members for side in (member.a, member.b)}
    return len(members) * of_a_member + sum(2 * side.mu.nbytes for side in latents.values())


def _n_rows(c: BridgeConfig) -> int:
    return 2 * c.batch_size + (0 if c.labelled_batch == "masked" else 2 * c.labelled_batch_size)


def _bytes_of_a_chunk(c: BridgeConfig, latent_dim: int) -> int:
    row = latent_dim + 2 + c.shared_dim + 1
    return CHUNK_STEPS * FLOAT * (_n_rows(c) * row + c.n_projections * c.shared_dim)


def _bytes_of_a_step(c: BridgeConfig, latent_dim: int) -> int:
    """What is kept for the gradients, each once more while it is computed, and the projections' keys and places."""
    encoder = c.n_layers * c.hidden_dim + 12 * c.shared_dim + 2 * latent_dim
    decoder = c.n_layers * c.hidden_dim + 2 * c.shared_dim + 8 * latent_dim
    projections = 2 * c.batch_size * c.n_projections * 8
    return FLOAT * (_n_rows(c) * encoder + 2 * c.batch_size * decoder + 2 * _n_rows(c) * c.hidden_dim + projections)
