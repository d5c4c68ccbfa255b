"""From classes that judges gave to accuracies: arrays in, numbers out.

Of one direction of transfer, for every evaluated item of its source domain:
`true` label, and the judge's class of the `original` sample, of the `source` (the sample after its
base model), of the `transferred` sample and of the bridge's own `reconstructed` sample; `shared` is
the class that the bridge's classifier f reads in the shared space.
"""

from __future__ import annotations

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


def accuracies(direction: Direction, p: Predictions) -> dict[str, float]:
    """Every accuracy that one direction gives, by metric name.

    Transfer accuracy follows the paper (section 4.2): the share of items whose source and transferred
    sample get the same class from their own domains' judges. The `_true_` form compares with the
    label instead, and is the stricter reading where base model and judge err alike.
    """
    side = direction[0]
    return {
        f"transfer_accuracy_{direction}": agreement(p.source, p.transferred),
        f"transfer_accuracy_true_{direction}": agreement(p.true, p.transferred),
        f"bridge_reconstruction_accuracy_{side}": agreement(p.original, p.reconstructed),
        f"base_reconstruction_accuracy_{side}": agreement(p.original, p.source),
        f"shared_classifier_accuracy_{side}": agreement(p.true, p.shared),
    }


def agreement(a: NDArray[Any], b: NDArray[Any]) -> float:
    """The share of positions at which two arrays of classes (N,) are equal."""
    return float(np.mean(a == b))


METRICS: tuple[str, ...] = (
    *(f"transfer_accuracy_{d}" for d in DIRECTIONS),
    *(f"transfer_accuracy_true_{d}" for d in DIRECTIONS),
    *(
        f"{kind}_accuracy_{d[0]}"
        for kind in ("bridge_reconstruction", "base_reconstruction", "shared_classifier")
        for d in DIRECTIONS
    ),
)
"""Every metric name, in the order of tables."""


def rows(trial_id: str, attempt: int, judge_id: str, found: Mapping[View, Predictions]) -> list[dict[str, Any]]:
    """The rows of a trial for the metrics table, from its predictions in every view."""
    common = {"trial_id": trial_id, "attempt": attempt, "judge_id": judge_id, "metric_version": METRIC_VERSION}
    return [
        {**common, "split": view.split, "decode": view.decode, "metric": metric, "value": value, "n_eval": len(p.true)}
        for view, p in found.items()
        for metric, value in accuracies(view.direction, p).items()
    ]
