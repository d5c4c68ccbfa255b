"""scikit-learn's 1,797 real hand-written digits, 8x8 pixels: the domain that needs no download.

Source: the test set of "Optical Recognition of Handwritten Digits" (E. Alpaydin, C. Kaynak, UCI),
as scikit-learn ships it.
"""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Mapping
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from ..config import ClassifierConfig, Preset, Side, VAEConfig
from ..errors import DataError
from . import Domain, Samples, Split, stratified
from .images import FULL_BRIDGE

CONTENT_SHA256 = "8b3b6ae90863430bdef06a3f7d1ec2f6a905a53d3375655b18cf63780ad98772"
SPLIT_SIZES: Mapping[Split, int] = {"train": 1259, "validation": 179, "test": 359}
"""A fifth of each class is the test split; an eighth of what is left is validation."""


def load(side: Side) -> Mapping[Split, Samples]:
    """The digits with pixels in [0, 1] as x (N, 64); both sides of a pair are the same data.

    Raises DataError if scikit-learn brings other digits than those that the ids speak of.
    """
    everything = _everything()
    digest = hashlib.sha256(everything.x.tobytes() + everything.labels.tobytes()).hexdigest()
    if digest != CONTENT_SHA256:
        raise DataError("scikit-learn's digits are not the 1,797 known ones; install scikit-learn 1.7 or newer")
    test, rest = stratified(everything.x, everything.labels, range(len(everything)), 1 / 5)
    validation, train = stratified(everything.x, everything.labels, rest, 1 / 8)
    parts: Mapping[Split, list[int]] = {"train": train, "validation": validation, "test": test}
    return {split: Samples(everything.x[part], everything.labels[part]) for split, part in parts.items()}


def _everything() -> Samples:
    """What `sklearn.datasets.load_digits` returns, from its file: to import scikit-learn takes up to a second."""
    package = find_spec("sklearn")
    if package is None or package.origin is None:
        raise DataError("the digits are scikit-learn's, and it is not there; install scikit-learn 1.7 or newer")
    try:
        with gzip.open(Path(package.origin).parent / "datasets" / "data" / "digits.csv.gz", "rt") as file:
            table = np.loadtxt(file, delimiter=",", dtype=np.float32)  # (N, 64 pixels and the label)
    except (OSError, EOFError, ValueError) as error:
        raise DataError(f"scikit-learn's digits cannot be read ({error}); install scikit-learn 1.7 or newer") from None
    return Samples(table[:, :-1] / np.float32(16), table[:, -1].astype(np.int64))


def data_id(side: Side) -> str:
    return f"digits/{CONTENT_SHA256[:20]}/splits-1"


SMOKE = Preset(
    vae=VAEConfig(
        hidden_dim=64, n_layers=1, latent_dim=8, x_sigma=0.05, learning_rate=4e-3, batch_size=64, n_steps=200
    ),
    judge=ClassifierConfig(hidden_dim=64, n_layers=1, learning_rate=4e-3, batch_size=64, n_steps=200),
    bridge={
        "bridge.shared_dim": 8,
        "bridge.n_layers": 1,
        "bridge.hidden_dim": 32,
        "bridge.batch_size": 32,
        "bridge.labelled_batch_size": 32,
        "bridge.n_steps": 160,
        "bridge.learning_rate": 3e-3,
    },
    n_replicates=2,
    pixels={"pixels.n_filters": 4, "pixels.n_blocks": 1, "pixels.batch_size": 8, "pixels.n_steps": 6},
)
DESK = Preset(
    vae=VAEConfig(
        hidden_dim=256,
        n_layers=2,
        latent_dim=16,
        x_sigma=0.05,
        learning_rate=2e-3,
        batch_size=128,
        n_steps=1000,
    ),
    judge=ClassifierConfig(
        hidden_dim=512,
        n_layers=2,
        noise=0.3,
        learning_rate=1e-3,
        weight_decay=1e-4,
        batch_size=64,
        n_steps=2000,
    ),
    bridge={
        "bridge.shared_dim": 8,
        "bridge.n_layers": 2,
        "bridge.hidden_dim": 64,
        "bridge.batch_size": 32,
        "bridge.labelled_batch_size": 32,
        "bridge.n_steps": 1200,
        "bridge.learning_rate": 3e-3,
    },
    n_replicates=8,
    pixels={"pixels.n_filters": 8, "pixels.n_blocks": 2, "pixels.batch_size": 32, "pixels.n_steps": 600},
)
FULL = replace(DESK, bridge=FULL_BRIDGE, pixels={})
"""The paper's bridge between the models of the desk: 1,259 images teach a larger one no more."""
DIGITS = Domain(
    name="digits",
    title="8x8 digits (scikit-learn)",
    sample_shape=(64,),
    image_shape=(8, 8),
    class_names=tuple("0123456789"),
    label_counts=(0, 10, 50, 100, 500, "all"),
    presets={"smoke": SMOKE, "desk": DESK, "full": FULL},
    load=load,
    split_sizes=SPLIT_SIZES,
    data_id=data_id,
)
