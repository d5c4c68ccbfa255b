"""From classes that judges gave to accuracies: arrays in, numbers out.

Of one direction of transfer, for every evaluated item of its source domain:
`true` label, and the judge's class of the `original` sample, of the `source` (the sample after its
base model), of the `transferred` sample and of the bridge's own `reconstructed` sample; `shared` is
the class that the bridge's classifier f reads in the shared space. Of a base model that cannot encode, the
items are latents that were drawn: `true` is the class that they were drawn for, `original` is `source`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from .config import STAGE_VERSIONS, Decode

METRIC_VERSION = STAGE_VERSIONS["evaluation"]

Direction = Literal["ab", "ba"]
DIRECTIONS: tuple[Direction, ...] = ("ab", "ba")
Classes = NDArray[np.uint8]
N_LOCAL = 200
NO_CLASS = 255
"""The class of an item that has no label."""


@dataclass(frozen=True)
class View:
    """Which items were sent across, which way, and whether as means or as samples."""

    split: Literal["validation", "test"]
    decode: Decode
    direction: Direction


@dataclass(frozen=True)
class Predictions:
    """Classes of the items of one direction's source domain, each (N,) uint8."""

    true: Classes
    original: Classes
    source: Classes
    transferred: Classes
    reconstructed: Classes
    shared: Classes
    is_encoded: bool = True
    "whether the items are samples that were encoded; else they are latents that were drawn, and have no original"


def accuracies(direction: Direction, p: Predictions) -> dict[str, float]:
    """Every accuracy that one direction gives, by metric name.

    Transfer accuracy follows the paper (section 4.2): the share of items whose source and transferred
    sample get the same class from their own domains' judges. The `_true_` form compares with the
    label instead, of those that have one, and is the stricter reading where base model and judge err
    alike. A base model that cannot encode reconstructs nothing: its own accuracy is nan.
    """
    side, labelled = direction[0], p.true != NO_CLASS
    return {
        f"transfer_accuracy_{direction}": agreement(p.source, p.transferred),
        f"transfer_accuracy_true_{direction}": agreement(p.true[labelled], p.transferred[labelled]),
        f"bridge_reconstruction_accuracy_{side}": agreement(p.original, p.reconstructed),
        f"base_reconstruction_accuracy_{side}": agreement(p.original, p.source) if p.is_encoded else math.nan,
        f"shared_classifier_accuracy_{side}": agreement(p.true[labelled], p.shared[labelled]),
    }


def agreement(a: NDArray[Any], b: NDArray[Any]) -> float:
    """The share of positions at which two arrays of classes (N,) are equal."""
    return float(np.mean(a == b))


def locality(source_ND: NDArray[Any], transferred_ND: NDArray[Any]) -> float:
    """Spearman's correlation of the distances between items before and after a transfer.

    1: whoever was near stays near. Taken over the pairs of at most N_LOCAL evenly spaced items.
    """
    import torch  # scipy has it too, and takes long to import; what evaluates has torch

    step = -(-len(source_ND) // N_LOCAL)
    some = (torch.from_numpy(z_ND[::step].astype(np.float64)) for z_ND in (source_ND, transferred_ND))
    ranks = [_ranks(torch.pdist(z_ND).numpy()) for z_ND in some]
    return float(np.corrcoef(ranks[0], ranks[1])[0, 1])


def _ranks(values: NDArray[np.float64]) -> NDArray[np.float64]:
    ranks = np.empty(len(values))
    ranks[np.argsort(values)] = np.arange(len(values))  # by vectors; a stable sort takes seven times as long
    return ranks


METRICS: tuple[str, ...] = (
    *(f"transfer_accuracy_{d}" for d in DIRECTIONS),
    *(f"transfer_accuracy_true_{d}" for d in DIRECTIONS),
    *(
        f"{kind}_accuracy_{d[0]}"
        for kind in ("bridge_reconstruction", "base_reconstruction", "shared_classifier")
        for d in DIRECTIONS
    ),
    *(f"locality_{d}" for d in DIRECTIONS),
    "shared_distance",
)
"""Every metric that every trial has, in the order of tables."""
LANDING: tuple[str, ...] = tuple(f"landing_{d}" for d in DIRECTIONS)
"""The share of transferred samples that lie where the target domain has any; of domains that know where that is."""
FRECHET: tuple[str, ...] = tuple(
    f"{kind}_{d}"
    for kind in ("fid", "fid_floor", "fid_base", "fid_softmax", "fid_softmax_floor", "fid_softmax_base")
    for d in DIRECTIONS
)
"""Distances of transferred samples from the target domain's; the floor is that of its own training samples, base that
of its base model's reconstructions. Of studies that ask for them."""
PATHS: tuple[str, ...] = tuple(
    f"{kind}_{where}_{d}"
    for kind in ("path_length", "path_jump", "path_distance", "chord_distance")
    for where in ("within", "between")
    for d in DIRECTIONS
)
"""What becomes of straight paths between test items on their way across: of bridgelab.interpolation."""
SHARES = frozenset(name for name in (*METRICS, *LANDING) if "accuracy" in name or "landing" in name)
"""Metrics between 0 and 1."""


@dataclass(frozen=True)
class Found:
    """What an evaluation found of one trial."""

    predictions: Mapping[View, Predictions]
    measures: Mapping[tuple[Literal["validation", "test"], Decode], Mapping[str, float]]
    "of a split and decoding: metrics that do not come from classes, by name"


def rows(trial_id: str, attempt: int, judge_id: str, found: Found) -> list[dict[str, Any]]:
    """The rows of a trial for the metrics table."""
    common = {"trial_id": trial_id, "attempt": attempt, "judge_id": judge_id, "metric_version": METRIC_VERSION}
    values = [
        (view.split, view.decode, metric, value, len(p.true))
        for view, p in found.predictions.items()
        for metric, value in accuracies(view.direction, p).items()
    ]
    for (split, decode), measures in found.measures.items():
        n_of: dict[str, int] = {d: len(found.predictions[View(split, decode, d)].true) for d in DIRECTIONS}
        fewer = min(n_of.values())  # what compares both sides takes as many of each
        values += [(split, decode, metric, v, n_of.get(metric[-2:], fewer)) for metric, v in measures.items()]
    names = ("split", "decode", "metric", "value", "n_eval")
    return [{**common, **dict(zip(names, one, strict=True))} for one in values]
