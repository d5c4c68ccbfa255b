"""Which training samples a bridge may see, and which of them carry a label."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..config import UNLABELLED, NLabels, Side, stream_seed
from ..specs import TrialSpec

Index = NDArray[np.int64]


@dataclass(frozen=True)
class Pool:
    """Positions in a side's training split: all that the bridge sees, and the labelled ones."""

    seen: Index
    labelled: Index


def pool(spec: TrialSpec, side: Side, labels: NDArray[np.int64]) -> Pool:
    """The pool of one side of a trial, from the labels (N,) of its training split.

    Label sets are nested: of one replicate, the 10 are among the 100. Both sides draw independently
    unless `labelled` is "same"; with `overlap` "disjoint" each side has a half of the samples.
    """
    seen = np.arange(len(labels))
    if spec.settings.overlap == "disjoint":
        order = np.random.default_rng(stream_seed("overlap", spec.label_seed)).permutation(len(labels))
        seen = np.sort(order[0 if side == "a" else 1 :: 2])
    draw = "a" if spec.settings.labelled == "same" else side
    rng = np.random.default_rng(stream_seed("labels", spec.label_seed, draw))
    return Pool(seen, spread_evenly(seen, labels, spec.settings.n_labels, rng))


def in_terms_of_a(classes: NDArray[Any], side: Side, class_map: tuple[int, ...] | None) -> NDArray[Any]:
    """Classes (N,) of a side's domain, each named by the class of side a that it stands for."""
    if side == "a" or class_map is None:
        return classes
    renamed: NDArray[Any] = np.argsort(class_map).astype(classes.dtype)[classes]
    return renamed


def spread_evenly(seen: Index, labels: NDArray[np.int64], n: NLabels, rng: np.random.Generator) -> Index:
    """n of the seen positions that have a label, evenly over the classes: one of each, then a second of each, ..."""
    seen = seen[labels[seen] != UNLABELLED]
    if n == "all":
        return seen
    shuffled = rng.permutation(seen)
    rank = np.empty(len(shuffled), np.int64)
    for label in np.unique(labels):
        of_class = labels[shuffled] == label
        rank[of_class] = np.arange(of_class.sum())
    return np.sort(shuffled[np.argsort(rank, kind="stable")[:n]])
