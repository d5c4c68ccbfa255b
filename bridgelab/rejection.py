"""Latents of a base model that cannot encode: drawn from its prior, judged, and chosen by the judge's confidence.

Each class has as many latents, and each of them is a point: its deviation is 0. Shapes: N draws, D latent, C classes.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from . import latents
from .base_models import Examiner, Generator
from .config import stream_seed
from .domains import SPLITS, Samples, Split, get_domain
from .encoding import chunks
from .errors import ModelError
from .lab import Lab
from .latents import Latents
from .specs import ModelSpec
from .wavegan_config import RejectionConfig, WaveGANConfig

Rows = NDArray[np.int64]
BATCH = 512
"""Latents a pass: how many are drawn, before it is asked whether they are enough, is part of what is drawn."""


@dataclass(frozen=True)
class Draws:
    """Latents z (N, D) from the prior, and what the judge gives to each class of what they decode to, (N, C)."""

    z: NDArray[np.float32]
    p: NDArray[np.float32]

    @property
    def confidence(self) -> NDArray[np.float32]:
        """(N,): what the judge gives to its first choice."""
        found: NDArray[np.float32] = self.p.max(1)
        return found

    def counts(self, confidence: float = 0.0) -> Rows:
        """(C,): how often each class is the judge's first choice, at such a confidence or more."""
        return np.bincount(self.p.argmax(1)[self.confidence >= confidence], minlength=self.p.shape[1])


@dataclass(frozen=True)
class Chosen:
    """The latents of all splits, and how they came about."""

    splits: Mapping[Split, Latents]
    about: Mapping[str, object]
    "how many draws there were and were kept, by class too, and the least confidence among those that were kept"


Told = Callable[[int, Sequence[int]], None]
"""Hears of draws so far, and how many of each class the rule can use."""
TELL_EVERY_S = 5.0


def make(
    lab: Lab,
    spec: ModelSpec,
    model: Generator,
    judge: Examiner,
    samples: Mapping[Split, Samples],
    device: str = "cpu",
) -> None:
    """Draws latents and publishes lab/latents/<latents_id> with draws.json beside them, unless it is there.

    How far it has come stands in the lab meanwhile.
    """
    if lab.exists(f"latents/{spec.latents_id}"):
        return
    path, told_at = f"training/{spec.latents_id}.draws", float("-inf")

    def tell(n: int, counts: Sequence[int]) -> None:
        nonlocal told_at
        if time.monotonic() - told_at >= TELL_EVERY_S:
            lab.publish(path, json.dumps({"n_draws": n, "of_class": list(counts)}).encode())
            told_at = time.monotonic()

    try:
        chosen = draw(spec, model, judge, samples["validation"], device, tell)
    finally:
        lab.remove(path)
    latents.write(lab, spec.latents_id, chosen.splits, {"draws.json": json.dumps(chosen.about, indent=2).encode()})


def draw(
    spec: ModelSpec,
    model: Generator,
    judge: Examiner,
    real: Samples,
    device: str = "cpu",
    told: Told = lambda n, counts: None,
) -> Chosen:
    """Draws until the rule is content. Raises ModelError that names the classes which stay too rare.

    `real` are samples of the domain, on which a threshold is calibrated; the model is on the device.
    """
    assert spec.drawn is not None
    config = spec.drawn.rejection
    threshold = calibrated(judge, real, config.real_share) if config.rule == "threshold" else 0.0
    n_classes = judge.features(torch.from_numpy(real.x[:1].copy())).softmax.shape[1]
    draws = _draw_until_enough(spec, model, judge, n_classes, threshold, device, told)
    if config.rule == "top_k":
        rows = most_confident(draws, config.n_per_class)
    elif config.rule == "threshold":
        rows = first_above(draws, config.n_per_class, threshold)
    else:
        rows = likeliest(draws, config.n_per_class)
    return Chosen(_split(draws, rows, config), _about(draws, rows, config, threshold))


def calibrated(judge: Examiner, real: Samples, share: float) -> float:
    """The confidence that such a share of real samples reaches or exceeds, each in its own class."""
    p_NC = _judged(judge, torch.from_numpy(real.x.copy()))
    of_own = np.sort(p_NC[np.arange(len(real)), real.labels])[::-1]
    return float(of_own[max(1, round(share * len(real))) - 1])


def most_confident(draws: Draws, n_per_class: int) -> list[Rows]:
    """Of each class the draws that the judge is surest of, the first among equals; in the order of draws."""
    first, found = draws.p.argmax(1), []
    for c in range(draws.p.shape[1]):
        own = np.flatnonzero(first == c)
        found.append(np.sort(own[np.argsort(-draws.confidence[own], kind="stable")[:n_per_class]]))
    return found


def first_above(draws: Draws, n_per_class: int, threshold: float) -> list[Rows]:
    """Of each class the first draws that the judge is so sure of."""
    first, sure = draws.p.argmax(1), draws.confidence >= threshold
    return [np.flatnonzero((first == c) & sure)[:n_per_class] for c in range(draws.p.shape[1])]


def likeliest(draws: Draws, n_per_class: int) -> list[Rows]:
    """Of each class the draws in which the judge sees most of it, each draw for one class; in the order of draws."""
    free, found = np.ones(len(draws.z), bool), []
    for c in range(draws.p.shape[1]):
        rows = np.flatnonzero(free)
        best = np.sort(rows[np.argsort(-draws.p[rows, c], kind="stable")[:n_per_class]])
        free[best] = False
        found.append(best)
    return found


def _draw_until_enough(
    spec: ModelSpec, model: Generator, judge: Examiner, n_classes: int, threshold: float, device: str, told: Told
) -> Draws:
    """In batches of BATCH. A batch's draws do not depend on the rule, so a later rule sees the same ones."""
    assert spec.drawn is not None
    assert isinstance(spec.config, WaveGANConfig)
    config, parts = spec.drawn.rejection, list[Draws]()
    stream = torch.Generator().manual_seed(stream_seed("latents", spec.domain, spec.kind, spec.seed))
    counts, n = np.zeros(n_classes, np.int64), 0
    while not _is_enough(config, n, counts):
        if n >= config.most_draws:
            raise ModelError(_starving(spec, config, counts, n))
        z_ND = torch.randn(BATCH, spec.config.latent_dim, generator=stream)
        with torch.inference_mode():
            p_NC = judge.features(model.decode(z_ND.to(device)).cpu()).softmax.numpy()
        parts.append(Draws(z_ND.numpy(), p_NC))
        counts, n = counts + parts[-1].counts(threshold), n + BATCH
        told(n, counts.tolist())
    return Draws(np.concatenate([part.z for part in parts]), np.concatenate([part.p for part in parts]))


def _wanted(config: RejectionConfig) -> int:
    """How many draws of each class."""
    return config.n_per_class if config.rule == "threshold" else config.n_drawn_per_class


def _is_enough(config: RejectionConfig, n: int, counts: Rows) -> bool:
    if config.rule == "likeliest":
        return n >= _wanted(config) * len(counts)
    return bool((counts >= _wanted(config)).all())


def _starving(spec: ModelSpec, config: RejectionConfig, counts: Rows, n: int) -> str:
    wanted = _wanted(config)
    names = get_domain(spec.domain).class_names
    rare = ", ".join(f"{name} ({n_own:,})" for name, n_own in zip(names, counts, strict=True) if n_own < wanted)
    name = "n_per_class" if config.rule == "threshold" else "n_drawn_per_class"
    return (
        f"the {spec.kind} of {spec.domain} with seed {spec.seed} starves some classes: of {n:,} draws, "
        f"{wanted:,} are wanted of each class, and there are too few of {rare}; "
        f"train it for longer (wavegan.n_steps), or set rejection.{name} lower or rejection.most_draws higher"
    )


def _split(draws: Draws, rows: Sequence[Rows], config: RejectionConfig) -> dict[Split, Latents]:
    """Of each class its first draws for the test, the next for validation: draws have no order but that of chance."""
    test, validation = (config.split_sizes[split] for split in ("test", "validation"))
    parts: Mapping[Split, slice] = {
        "test": slice(test),
        "validation": slice(test, test + validation),
        "train": slice(test + validation, None),
    }
    return {split: _latents(draws, [own[parts[split]] for own in rows]) for split in SPLITS}


def _latents(draws: Draws, rows: Sequence[Rows]) -> Latents:
    """In the order of draws, so that classes are mixed."""
    labels = np.repeat(np.arange(len(rows)), [len(own) for own in rows])
    every = np.concatenate(rows)
    order = np.argsort(every)
    mu = draws.z[every[order]]
    return Latents(mu, np.zeros_like(mu), labels[order])


def _about(draws: Draws, rows: Sequence[Rows], config: RejectionConfig, threshold: float) -> dict[str, object]:
    n_kept = sum(map(len, rows))
    seen = [draws.p[own, c] for c, own in enumerate(rows)]
    first = [int((draws.p[own].argmax(1) == c).sum()) for c, own in enumerate(rows)]
    return {
        "rule": config.rule,
        "n_draws": len(draws.z),
        "n_kept": n_kept,
        "acceptance": n_kept / len(draws.z),
        "drawn_of_class": draws.counts().tolist(),
        "kept_of_class": [len(own) for own in rows],
        "kept_where_it_is_first_choice": first,
        "least_confidence": [float(own.min()) for own in seen],
        "threshold": threshold if config.rule == "threshold" else None,
    }


@torch.inference_mode()
def _judged(judge: Examiner, x_NX: torch.Tensor) -> NDArray[np.float32]:
    """What a judge gives to each class, (N, C)."""
    parts = [judge.features(chunk).softmax[:n] for chunk, n in chunks(x_NX)]
    found: NDArray[np.float32] = torch.cat(parts).numpy()
    return found
