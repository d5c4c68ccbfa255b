"""Maps between two latent spaces in closed form, from the labelled latents that a bridge would have.

Each is affine, or affine for each class of the source, which a linear discriminant reads:
y = x A_p + s_p. Shapes: K maps, N items, D latent, C classes, P pieces (1 or C).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..bridge.pool import in_terms_of_a, pool
from ..bridge.transfer import Crossing
from ..config import SIDES, Side, System
from ..latents import Latents
from ..specs import TrialSpec

Array = NDArray[np.float64]
Affine = tuple[Array, Array]
"""A (P, D, D) and s (P, D)."""

SHRINKAGE = 0.1
"""How much of a covariance is replaced by a round one of the same trace: with few labels it has no rank."""


@dataclass(frozen=True)
class Labelled:
    """The labelled latents of a side, and what their classes look like, in side a's terms."""

    z_ND: Array
    classes_N: NDArray[np.int64]
    n_classes: int

    @property
    def means_CD(self) -> Array:
        """Of every class; of one without a label, the mean of all."""
        return np.stack([self._of(c).mean(0) if (self.classes_N == c).any() else self.z_ND.mean(0) for c in self._all])

    @property
    def covariances_CDD(self) -> Array:
        """Of every class, shrunk."""
        pooled_DD = self.pooled_DD
        own = [np.cov(z_ND.T, bias=True) if len(z_ND := self._of(c)) > 1 else pooled_DD for c in self._all]
        return np.stack([shrunk(cov_DD) for cov_DD in own])

    @property
    def pooled_DD(self) -> Array:
        """The covariance within the classes, shrunk; a round one where no class has two labels."""
        centred_ND = self.z_ND - self.means_CD[self.classes_N]
        cov_DD: Array = centred_ND.T @ centred_ND / len(centred_ND)
        return shrunk(cov_DD) if np.trace(cov_DD) > 0 else np.eye(self.z_ND.shape[1])

    def discriminant(self) -> tuple[Array, Array]:
        """Weight (C, D) and bias (C,) of the linear discriminant: the score is w_c z + b_c."""
        weight_CD: Array = np.asarray(np.linalg.solve(self.pooled_DD, self.means_CD.T).T, np.float64)
        bias_C: Array = -0.5 * (weight_CD * self.means_CD).sum(1)
        return weight_CD, np.where(np.isin(np.arange(self.n_classes), self.classes_N), bias_C, -np.inf)

    @property
    def _all(self) -> range:
        return range(self.n_classes)

    def _of(self, c: int) -> Array:
        z_ND: Array = self.z_ND[self.classes_N == c]
        return z_ND


def shrunk(cov_DD: Array) -> Array:
    """A covariance of full rank."""
    d = len(cov_DD)
    round_: Array = np.eye(d) * max(np.trace(cov_DD) / d, 1e-6)
    return (1 - SHRINKAGE) * cov_DD + SHRINKAGE * round_


def procrustes(source: Labelled, target: Labelled) -> Affine:
    """The rotation and scale that take the class means of one side nearest to those of the other."""
    from scipy.linalg import orthogonal_procrustes

    m_s, m_t = source.means_CD, target.means_CD
    centred_s, centred_t = m_s - m_s.mean(0), m_t - m_t.mean(0)
    rotation_DD, total = orthogonal_procrustes(centred_s, centred_t)
    matrix_DD = rotation_DD * (total / np.square(centred_s).sum())
    return matrix_DD[None], (m_t.mean(0) - m_s.mean(0) @ matrix_DD)[None]


def least_squares(source: Labelled, target: Labelled) -> Affine:
    """The affine map of least norm that takes the class means of one side to those of the other."""
    m_s, m_t = source.means_CD, target.means_CD
    matrix_DD = np.linalg.lstsq(m_s - m_s.mean(0), m_t - m_t.mean(0), rcond=None)[0]
    return matrix_DD[None], (m_t.mean(0) - m_s.mean(0) @ matrix_DD)[None]


def gaussian_ot(source: Labelled, target: Labelled) -> Affine:
    """For each class, optimal transport between its Gaussian on one side and its Gaussian on the other."""
    from ot.gaussian import bures_wasserstein_mapping

    moments = zip(source.means_CD, target.means_CD, source.covariances_CDD, target.covariances_CDD, strict=True)
    pieces = [bures_wasserstein_mapping(*of_class) for of_class in moments]
    return np.stack([matrix_DD for matrix_DD, _ in pieces]), np.stack([shift.ravel() for _, shift in pieces])


CLOSED_FORMS: Mapping[System, Callable[[Labelled, Labelled], Affine]] = {
    "procrustes": procrustes,
    "least_squares": least_squares,
    "gaussian_ot": gaussian_ot,
}


def fit(spec: TrialSpec, a: Latents, b: Latents, n_classes: int) -> dict[str, Tensor]:
    """The tensors of a trial's map, both ways."""
    sides = {"a": labelled(spec, "a", a, n_classes), "b": labelled(spec, "b", b, n_classes)}
    make, found = CLOSED_FORMS[spec.settings.system], dict[str, Array]()
    for source, target in ("ab", "ba"):
        found[f"{source}{target}.matrix"], found[f"{source}{target}.shift"] = make(sides[source], sides[target])
        found[f"{source}.weight"], found[f"{source}.bias"] = sides[source].discriminant()
    return {name: torch.from_numpy(np.ascontiguousarray(array, np.float32)) for name, array in found.items()}


def labelled(spec: TrialSpec, side: Side, latents: Latents, n_classes: int) -> Labelled:
    """The latents that a trial may read a label of, in all their places."""
    own = pool(spec, side, latents)
    classes = in_terms_of_a(own.labels[own.labelled], side, spec.settings.class_map)
    rows = latents.rows_of(own.labelled)
    return Labelled(latents.mu[rows].astype(np.float64), np.tile(classes, latents.n_places), n_classes)


class StackedMaps:
    """K maps that are crossed at once, as StackedBridges are. The shared space is side b's."""

    def __init__(self, weights: Sequence[Mapping[str, Tensor]]) -> None:
        self._weights = {name: torch.stack([own[name] for own in weights]) for name in weights[0]}

    def cross(self, z_KND: Tensor, noise_KNS: Tensor, source: int) -> Crossing:
        """What `bridge.transfer.cross` is to bridges; a reconstruction is the way there and back."""
        here, there = SIDES[source], SIDES[1 - source]
        classes_KN = self._classes(here, z_KND)
        sent_KND = self._send(here + there, z_KND, classes_KN)
        back_KND = self._send(there + here, sent_KND, self._classes(there, sent_KND))
        return Crossing(sent_KND, back_KND, sent_KND if here == "a" else z_KND, classes_KN)

    def _classes(self, side: Side, z_KND: Tensor) -> Tensor:
        scores_KNC = z_KND @ self._weights[f"{side}.weight"].mT + self._weights[f"{side}.bias"][:, None]
        return scores_KNC.argmax(-1)

    def _send(self, way: str, z_KND: Tensor, classes_KN: Tensor) -> Tensor:
        matrix_KPDD, shift_KPD = self._weights[f"{way}.matrix"], self._weights[f"{way}.shift"]
        sent_KND = torch.empty_like(z_KND)
        for k, classes_N in enumerate(classes_KN):
            piece_N = classes_N if len(matrix_KPDD[k]) > 1 else torch.zeros_like(classes_N)
            for p in piece_N.unique().tolist():
                of_piece = piece_N == p
                sent_KND[k, of_piece] = z_KND[k, of_piece] @ matrix_KPDD[k, p] + shift_KPD[k, p]
        return sent_KND
