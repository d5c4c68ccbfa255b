"""The plane: the two ellipses of Fig. 2, with two classes each. Its base model is the identity.

Side a is a tall ellipse left of the origin, its classes above and below; side b is a wide one to the
right, its classes left and right. A bridge has to turn the plane; squeezing is not enough.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..config import Preset, Side, canonical_json, stream_seed
from . import SPLITS, Domain, Samples, Split


@dataclass(frozen=True)
class Ellipse:
    centre: tuple[float, float]
    semi_axes: tuple[float, float]
    class_axis: int
    "the coordinate whose sign, seen from the centre, is the class"


ELLIPSES: Mapping[Side, Ellipse] = {
    "a": Ellipse(centre=(-1.5, 0.0), semi_axes=(0.6, 1.2), class_axis=1),
    "b": Ellipse(centre=(1.5, 0.0), semi_axes=(1.2, 0.6), class_axis=0),
}
SPLIT_SIZES: Mapping[Split, int] = {"train": 1000, "validation": 250, "test": 500}


def load(side: Side) -> Mapping[Split, Samples]:
    """Points spread evenly over the side's ellipse, x (N, 2)."""
    ellipse = ELLIPSES[side]
    return {split: _draw(ellipse, SPLIT_SIZES[split], stream_seed("plane", side, split)) for split in SPLITS}


def class_of(side: Side, x: NDArray[np.float32]) -> NDArray[np.int64]:
    """The class of points (N, 2) by where they lie from the side's centre."""
    ellipse = ELLIPSES[side]
    return (x[:, ellipse.class_axis] > ellipse.centre[ellipse.class_axis]).astype(np.int64)


def landed(side: Side, x: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Whether points (N, 2) lie in the side's ellipse, a tenth larger: no bridge draws its edge exactly."""
    ellipse = ELLIPSES[side]
    scaled = (x - np.array(ellipse.centre)) / (1.1 * np.array(ellipse.semi_axes))
    inside: NDArray[np.bool_] = (scaled**2).sum(axis=1) <= 1
    return inside


def data_id(side: Side) -> str:
    return f"plane/{side}/{canonical_json(ELLIPSES[side])}/splits-1"


def _draw(ellipse: Ellipse, n: int, seed: int) -> Samples:
    rng = np.random.default_rng(seed)
    radius, angle = np.sqrt(rng.random(n)), 2 * np.pi * rng.random(n)
    disc = np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1)
    x = (np.array(ellipse.centre) + disc * np.array(ellipse.semi_axes)).astype(np.float32)
    return Samples(x, (disc[:, ellipse.class_axis] > 0).astype(np.int64))


def _preset(n_steps: int, n_replicates: int, learning_rate: float = 3e-3) -> Preset:
    bridge = {
        "bridge.shared_dim": 2,
        "bridge.n_layers": 2,
        "bridge.hidden_dim": 32,
        "bridge.batch_size": 64,
        "bridge.labelled_batch_size": 64,
        "bridge.n_steps": n_steps,
        "bridge.learning_rate": learning_rate,
    }
    return Preset(vae=None, judge=None, bridge=bridge, n_replicates=n_replicates)


PLANE = Domain(
    name="plane",
    title="two ellipses in the plane (Fig. 2)",
    sample_shape=(2,),
    class_names=("A", "B"),
    label_counts=(0, 2, 10, 100, "all"),
    # The plane asks for no larger a bridge: full has the steps and the rate that the paper gives.
    presets={"smoke": _preset(160, 2), "desk": _preset(1200, 8), "full": _preset(50_000, 8, 1e-3)},
    load=load,
    split_sizes=SPLIT_SIZES,
    data_id=data_id,
    rule=class_of,
    landed=landed,
    # beta_KL 0.1 would flatten the ellipses' short axes: 0.02 keeps both.
    recipes={"default": {"bridge.beta_kl": 0.02, "bridge.beta_cls": 1.0}},
)
