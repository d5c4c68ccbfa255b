"""Which training samples a bridge may see, and which of them carry a label."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..config import UNLABELLED, NLabels, Side, stream_seed
from ..latents import Latents
from ..specs import TrialSpec
from ..spreading import graph, spread

Index = NDArray[np.int64]
GraphOf = Callable[[NDArray[np.float32]], Any]
"""Makes the graph of latents, or remembers it."""


@dataclass(frozen=True)
class Pool:
    """Items of a side's training split: all that the bridge sees, and those that it draws with a label."""

    seen: Index
    labelled: Index
    labels: NDArray[np.int64]
    "(N,) of every item, as the bridge knows it: UNLABELLED where it does not"


def pool(spec: TrialSpec, side: Side, latents: Latents, graph_of: GraphOf = graph) -> Pool:
    """The pool of one side of a trial, from the latents of its training split.

    Label sets are nested: of one replicate, the 10 are among the 100. Both sides draw independently
    unless `labelled` is "same".
    """
    true = latents.labels_of_items
    seen = seen_of(spec, side, len(true))
    draw = "a" if spec.settings.labelled == "same" else side
    rng = np.random.default_rng(stream_seed("labels", spec.label_seed, draw))
    labelled, labels = spread_evenly(seen, true, spec.settings.n_labels, rng), np.full_like(true, UNLABELLED)
    labels[labelled] = true[labelled]
    if spec.settings.spreads_labels and (labels[seen] == UNLABELLED).any():
        of_items = latents.mu_of_items
        near = graph_of(of_items if len(seen) == len(true) else of_items[seen])
        labels[seen], labelled = spread(near, labels[seen]), seen
    return Pool(seen, labelled, labels)


def seen_of(spec: TrialSpec, side: Side, n_items: int) -> Index:
    """The items that a side of a trial sees: all; with `overlap` "disjoint" a half of its own."""
    if spec.settings.overlap == "same":
        return np.arange(n_items)
    order = np.random.default_rng(stream_seed("overlap", spec.label_seed)).permutation(n_items)
    return np.sort(order[0 if side == "a" else 1 :: 2])


def in_terms_of_a(classes: NDArray[Any], side: Side, class_map: tuple[int, ...] | None) -> NDArray[Any]:
    """Classes (N,) of a side's domain, each named by the class of side a that it stands for."""
    if side == "a" or class_map is None:
        return classes
    known = classes != UNLABELLED
    renamed: NDArray[Any] = classes.copy()
    renamed[known] = np.argsort(class_map)[classes[known]]
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
