"""What becomes of straight paths between items on their way across (paper, section 4.4, Figs. 5 and 6), in numbers.

Claim C8: within a class a transferred path is smooth, between classes it jumps, and it stays where the data are.
Shapes: P paths, T points of each, N items, D latent.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .bridge.transfer import between
from .config import UNLABELLED
from .domains import Split
from .latents import Latents
from .metrics import Direction

Where = Literal["within", "between"]
PLACES: tuple[Where, ...] = ("within", "between")
N_PATHS, N_POINTS = 64, 17
N_NEIGHBOURS = 4_000
"""Of larger training splits, evenly spaced latents stand for where the data are."""


class Target:
    """Where the data of a target are, among its latents."""

    def __init__(self, latents: Mapping[Split, Latents]) -> None:
        self._train_ND = _spread(latents["train"].mu, N_NEIGHBOURS)
        self._square_N = self._train_ND.square().sum(1)
        self._unit = self._nearest(_spread(latents["test"].mu, N_NEIGHBOURS))

    def distance(self, z: Tensor) -> float:
        """Mean distance of latents (..., D) to the nearest of the training split, in that of the test split's."""
        return self._nearest(z.flatten(0, -2).double()) / self._unit

    def _nearest(self, z_ND: Tensor) -> float:
        beyond_ZN = torch.addmm(self._square_N, z_ND, self._train_ND.T, alpha=-2)  # |z - x|^2 - |z|^2
        return float((beyond_ZN.amin(1) + z_ND.square().sum(1)).clamp(min=0).sqrt().mean())


def draw_paths(labels_N: NDArray[Any], where: Where, rng: np.random.Generator) -> NDArray[np.int64]:
    """The items at both ends of N_PATHS paths, (P, 2), of one class or of two; none where there is no such pair."""
    _, class_N, n_alike = np.unique(labels_N, return_inverse=True, return_counts=True)
    n_alike_N, known_N = n_alike[class_N], labels_N != UNLABELLED
    has_other_N = n_alike_N > 1 if where == "within" else n_alike_N < known_N.sum()
    starts = np.flatnonzero(known_N & has_other_N)
    ends = []
    for i in rng.choice(starts, N_PATHS if len(starts) else 0).tolist():
        alike_N = labels_N == labels_N[i]
        alike_N[i] = where == "between"
        ends.append((i, rng.choice(np.flatnonzero(alike_N if where == "within" else known_N & ~alike_N))))
    return np.array(ends, np.int64).reshape(-1, 2)


def points(z_ND: Tensor, ends_P2: NDArray[np.int64]) -> Tensor:
    """The points of paths between latents, (P, T, D)."""
    start_P1D, end_P1D = (z_ND[torch.from_numpy(end_P)].unsqueeze(1) for end_P in ends_P2.T)
    return between(start_P1D, end_P1D, N_POINTS)


def measure(
    direction: Direction, where: Where, before_PTD: Tensor, after_PTD: Tensor, there: Target
) -> dict[str, float]:
    """What paths have become on the way to the other side, by metric name.

    path_length: over that of the straight line between its ends. path_jump: its largest stretch of one step, over its
    mean stretch; 1 where it is even. path_distance: from its points to the nearest training latent of the target, over
    the same distance of the target's own test items; chord_distance: that of the target's own straight path between
    the same ends. Medians over paths, but for the distances, which are means.
    """
    chord_PTD = between(after_PTD[:, :1], after_PTD[:, -1:], N_POINTS)
    steps_PT, before_PT = _steps(after_PTD), _steps(before_PTD)
    length_P, chord_P = steps_PT.sum(1), (after_PTD[:, -1] - after_PTD[:, 0]).norm(dim=-1)
    stretch_PT = steps_PT / before_PT
    mean_stretch_P = length_P / before_PT.sum(1)
    found = {
        "path_length": (length_P / chord_P).nanmedian(),
        "path_jump": (stretch_PT.amax(1) / mean_stretch_P).nanmedian(),
        "path_distance": there.distance(after_PTD[:, 1:-1]),
        "chord_distance": there.distance(chord_PTD[:, 1:-1]),
    }
    return {f"{kind}_{where}_{direction}": float(value) for kind, value in found.items()}


def _spread(mu_ND: NDArray[np.float32], most: int) -> Tensor:
    """At most so many rows, evenly spaced."""
    return torch.from_numpy(np.array(mu_ND[:: -(-len(mu_ND) // most)], np.float64))


def _steps(path_PTD: Tensor) -> Tensor:
    """Lengths of a path's steps, (P, T - 1)."""
    steps_PT: Tensor = (path_PTD[:, 1:] - path_PTD[:, :-1]).norm(dim=-1)
    return steps_PT
