"""A commented file to start from: a study or a domain of one's own."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal

from .errors import InvalidValueError

Kind = Literal["study", "domain"]

STUDY = '''"""What this study asks, in a sentence. Run it: bridgelab sweep ./{name}.py"""

from bridgelab import Study


def study() -> Study:
    return Study(
        name="{name}",
        question="Does a wider bridge transfer better?",
        # The pair that it runs on where no --pair is given: two domains, source first.
        pair="digits-digits",
        # What holds in every arm. Keys are those of --set: n_labels, bridge.*, vae.*, judge.* ...
        base={{"n_labels": "all"}},
        # Every combination of these values is an arm. In its place, arms={{"name": {{key: value}}, ...}}.
        grid={{"bridge.hidden_dim": [16, 32, 64, 128]}},
        # The arm that all others are compared with, in pairs: same base models, labels and random streams.
        reference="bridge.hidden_dim=64",
        # The one metric that verdicts are about.
        primary_metric="transfer_accuracy_ab",
    )
'''

DOMAIN = '''"""A domain of one's own. Run it: bridgelab sweep component_ablation --pair ./{name}.py-digits"""

import numpy as np

from bridgelab.config import ClassifierConfig, Preset, VAEConfig
from bridgelab.domains import Domain, Samples, get_domain

CLASSES = tuple("0123456789")
SIZES = {{"train": 800, "validation": 100, "test": 200}}


def load(side):
    """The data, for side "a" or "b" of a pair: {{split: Samples(x, labels)}}, x (N, pixels) float32 in [0, 1].

    Replace the bars below by your own; keep the three splits, and make nothing at random without a seed.
    """
    rng, found = np.random.default_rng(0), {{}}
    for split, n in SIZES.items():
        labels = np.arange(n) % len(CLASSES)
        x = 0.2 * rng.random((n, 16, 16), np.float32)
        for image, label in zip(x, labels):
            image[label + 3, 2:14] += 0.8 * rng.random(12, np.float32)  # a bar, lower for each class
        found[split] = Samples(np.clip(x, 0, 1).reshape(n, -1), labels.astype(np.int64))
    return found


def domain() -> Domain:
    # How large the base model, its judge and a bridge are; smoke is for a try that takes seconds.
    vae = VAEConfig(hidden_dim=256, n_layers=2, latent_dim=16, learning_rate=2e-3, batch_size=64, n_steps=1000)
    judge = ClassifierConfig(hidden_dim=256, n_layers=2, learning_rate=1e-3, batch_size=64, n_steps=1000)
    sizes = {{name: preset.bridge for name, preset in get_domain("digits").presets.items()}}
    presets = {{name: Preset(vae=vae, judge=judge, bridge=sizes[name], n_replicates=4) for name in sizes}}
    return Domain(
        name="{name}",
        title="{name}, a domain of my own",
        sample_shape=(16 * 16,),
        image_shape=(16, 16),  # leave it out where samples are no images
        class_names=CLASSES,
        label_counts=(0, 10, 100, "all"),
        presets=presets,
        load=load,
        split_sizes=SIZES,
        data_id=lambda side: "{name}/1",  # another text whenever the data change
    )
'''


def write_new(kind: Kind, name: str, folder: str | Path = ".") -> Path:
    """Writes NAME.py into a folder. Raises InvalidValueError for a name that is none, or that is taken."""
    if not re.fullmatch(r"[a-z][a-z0-9_]{0,63}", name):
        raise InvalidValueError(f"new {kind} {name}: a name has small letters, digits and _, and begins with a letter")
    path = Path(folder) / f"{name}.py"
    if path.exists():
        raise InvalidValueError(f"{path} is there already; give another name")
    try:
        path.write_text((STUDY if kind == "study" else DOMAIN).format(name=name), encoding="utf-8")
    except OSError as error:
        raise InvalidValueError(f"cannot write {path}: {error.strerror}; change to another folder") from None
    return path
