"""Predictions of trained bridges: what the judges see on both sides of a transfer.

Shapes: K bridges, N items, D latent, S shared.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .base_models import Examiner, Features, Generator, Judge
from .bridge.losses import sliced_wasserstein
from .bridge.pool import in_terms_of_a
from .bridge.stacked import StackedBridges
from .bridge.transfer import Crossing, transfer_means
from .config import DECODES, SIDES, UNLABELLED, Decode, Side, other, stream_seed
from .domains import Samples, Split
from .encoding import chunks
from .frechet import Layer, frechet_distances
from .interpolation import PLACES, Target, Where, draw_paths, measure, points
from .latents import Latents
from .metrics import DIRECTIONS, NO_CLASS, Direction, Found, Predictions, View, agreement, locality
from .specs import TrialSpec
from .systems import Way, ways

VIEWS = tuple(View(s, d, w) for s in ("validation", "test") for d in DECODES for w in DIRECTIONS)
"""Whatever chooses reads validation; test is read once a trial, after its last step."""

Judged = dict[tuple[object, ...], NDArray[np.uint8]]
"""Classes that are the same for several bridges: of samples, and of what the means of their posteriors decode to."""

Known = dict[tuple[object, ...], tuple[Features, Mapping[Layer, float], Mapping[Layer, float]]]
"""Of a target: features of its test samples, and the distances of training samples and of reconstructions."""

N_DIRECTIONS = 128
N_SCORED = 256
"""Of larger validation splits, so many evenly spaced items at most are scored while bridges train."""


@dataclass(frozen=True)
class World:
    """What surrounds a bridge on one side: frozen models, and the splits as latents and as samples."""

    base: Generator
    judge: Judge
    latents_id: str
    "one base model may have several latents: how they are drawn has no part in how it is trained"
    latents: Mapping[Split, Latents]
    samples: Mapping[Split, Samples]
    landed: Callable[[NDArray[np.float32]], NDArray[np.bool_]] | None = None
    "which samples (N, ...) lie where this domain has any; None where that is not known"
    is_encoded: bool = True
    "whether each latent is that of a sample; else they were drawn"


@dataclass(frozen=True)
class TrainedBridge:
    """A trained bridge, or what is in its place, between its two sides."""

    spec: TrialSpec
    weights: Mapping[str, Tensor]
    worlds: Mapping[Side, World]
    fid: bool = False
    "whether FID is wanted"


def evaluate(bridges: Sequence[TrainedBridge], n_classes: int) -> list[Found]:
    """The predictions of bridges of equal shape, in all VIEWS."""
    way = ways([b.spec for b in bridges], [b.weights for b in bridges], n_classes)
    predictions: list[dict[View, Predictions]] = [{} for _ in bridges]
    measures: list[dict[Any, dict[str, float]]] = [{} for _ in bridges]
    shared: dict[View, Tensor] = {}
    judged: Judged = {}
    features: Known = {}
    for view in VIEWS:
        source: Side = "a" if view.direction == "ab" else "b"
        inputs = [_inputs(bridge, view.split, view.decode, source) for bridge in bridges]
        z_KND, noise_KNS = (torch.stack(tensors) for tensors in zip(*inputs, strict=True))
        crossing = way(z_KND, noise_KNS, SIDES.index(source))
        shared[view] = crossing.shared
        for k, bridge in enumerate(bridges):
            after, there = crossing.of(k), bridge.worlds[other(source)]
            predictions[k][view] = _predictions(bridge, view, source, z_KND[k], after, judged)
            own = measures[k].setdefault((view.split, view.decode), {})
            own |= _measures(view.direction, z_KND[k], after.transferred, there)
            if bridge.fid and view.split == "test":
                own |= _frechet(view.direction, after.transferred, there, features)
        if view.split == "test" and view.decode == "mean":
            for k, found in enumerate(_paths(bridges, way, view.direction, z_KND)):
                measures[k][view.split, view.decode] |= found
    for k, bridge in enumerate(bridges):
        for split, decode in measures[k]:
            a_NS, b_NS = (shared[View(split, decode, direction)][k] for direction in DIRECTIONS)
            measures[k][split, decode]["shared_distance"] = _shared_distance(bridge.spec, a_NS, b_NS)
    return [Found(p, m) for p, m in zip(predictions, measures, strict=True)]


def _measures(direction: Direction, z_ND: Tensor, transferred_ND: Tensor, there: World) -> dict[str, float]:
    found = {f"locality_{direction}": locality(z_ND.numpy(), transferred_ND.numpy())}
    if there.landed is not None:
        with torch.inference_mode():
            samples = there.base.decode(transferred_ND).numpy()
        found[f"landing_{direction}"] = float(there.landed(samples).mean())
    return found


def _paths(bridges: Sequence[TrainedBridge], way: Way, direction: Direction, z_KND: Tensor) -> list[dict[str, float]]:
    """What becomes of straight paths between the means of test items, of each bridge."""
    source: Side = "a" if direction == "ab" else "b"
    found: list[dict[str, float]] = [{} for _ in bridges]
    targets: dict[int, Target] = {}  # replicates of several arms share their latents
    for where in PLACES:
        paths = [_drawn_paths(bridge, source, where) for bridge in bridges]
        if not all(len(ends) for ends in paths):
            continue
        before_KPTD = torch.stack([points(z_ND, ends) for z_ND, ends in zip(z_KND, paths, strict=True)])
        flat_KND = before_KPTD.flatten(1, 2)
        noise_KNS = flat_KND.new_zeros(*flat_KND.shape[:2], bridges[0].spec.settings.bridge.shared_dim)
        sent = way(flat_KND, noise_KNS, SIDES.index(source)).transferred
        after_KPTD = sent.view(*before_KPTD.shape[:3], -1)
        for k, bridge in enumerate(bridges):
            there = bridge.worlds[other(source)].latents
            targets[id(there)] = targets.get(id(there)) or Target(there)
            found[k] |= measure(direction, where, before_KPTD[k], after_KPTD[k], targets[id(there)])
    return found


def _drawn_paths(bridge: TrainedBridge, source: Side, where: Where) -> NDArray[np.int64]:
    seed = stream_seed("evaluation", bridge.spec.bridge_seed, "paths", source, where)
    labels_N = bridge.worlds[source].latents["test"].labels_of_items
    return draw_paths(labels_N, where, np.random.default_rng(seed))


def _frechet(direction: Direction, transferred_ND: Tensor, there: World, known: Known) -> dict[str, float]:
    """Distances from the target's test samples: of what was transferred, of its base model's reconstructions of these

    samples, and of as many of its training samples as were transferred. Nothing where the judge is a rule.
    """
    if not isinstance(there.judge, Examiner):
        return {}
    real, n = there.samples["test"].x, len(transferred_ND)
    key = (there.judge, there.latents_id, n)
    if key not in known:
        train = there.samples["train"].x
        spread = np.linspace(0, len(train) - 1, min(n, len(train))).astype(int)
        of_real = _features(there.judge, torch.from_numpy(np.array(real)))
        of_train = _features(there.judge, torch.from_numpy(np.array(train[spread])))
        of_base = _features(there.judge, torch.from_numpy(np.array(there.latents["test"].mu)), there.base)
        known[key] = of_real, frechet_distances(of_real, of_train), frechet_distances(of_real, of_base)
    of_real, floor, base = known[key]
    found = frechet_distances(of_real, _features(there.judge, transferred_ND, there.base))
    named = {"": found, "_floor": floor, "_base": base}
    layers = {"penultimate": "fid", "softmax": "fid_softmax"}
    return {f"{layers[layer]}{what}_{direction}": value for what, of in named.items() for layer, value in of.items()}


@torch.inference_mode()
def _features(judge: Examiner, rows: Tensor, base: Generator | None = None) -> Features:
    """A judge's features of samples (N, X), or of what latents (N, D) decode to."""
    parts = [(judge.features(base.decode(chunk) if base else chunk), n) for chunk, n in chunks(rows)]
    return Features(
        torch.cat([found.penultimate[:n] for found, n in parts]), torch.cat([found.softmax[:n] for found, n in parts])
    )


def _shared_distance(spec: TrialSpec, a_NS: Tensor, b_NS: Tensor) -> float:
    """Sliced W2 of what the two sides put into the shared space, along directions that are the same in every arm."""
    n = min(len(a_NS), len(b_NS))
    generator = torch.Generator().manual_seed(stream_seed("evaluation", spec.bridge_seed, "directions"))
    directions_PS = torch.randn(N_DIRECTIONS, a_NS.shape[1], generator=generator)
    directions_PS = directions_PS / directions_PS.norm(dim=-1, keepdim=True)
    return float(sliced_wasserstein(a_NS[:n], b_NS[:n], directions_PS, "root"))


def _inputs(bridge: TrainedBridge, split: Split, decode: Decode, source: Side) -> tuple[Tensor, Tensor]:
    """Latents (N, D) to send across, and the noise (N, S) that chooses z'."""
    latents, n_shared = bridge.worlds[source].latents[split], bridge.spec.settings.bridge.shared_dim
    mu_ND = torch.from_numpy(np.array(latents.mu))
    if decode == "mean":
        return mu_ND, torch.zeros(len(latents), n_shared)
    seed = stream_seed("evaluation", bridge.spec.bridge_seed, split, source)
    generator = torch.Generator().manual_seed(seed)
    epsilon_ND = torch.randn(mu_ND.shape, generator=generator)
    noise_NS = torch.randn(len(latents), n_shared, generator=generator)
    return mu_ND + torch.from_numpy(np.array(latents.sigma)) * epsilon_ND, noise_NS


def _predictions(
    bridge: TrainedBridge, view: View, source: Side, z_ND: Tensor, after: Crossing, judged: Judged
) -> Predictions:
    target = other(source)
    here, there = bridge.worlds[source], bridge.worlds[target]
    class_map, labels = bridge.spec.settings.class_map, here.latents[view.split].labels_of_items
    of_samples, of_means = (here.judge, source, view.split), (here.judge, here.latents_id, view.split)
    if view.decode == "mean" and of_means not in judged:
        judged[of_means] = _classify(here.judge, z_ND, here.base)
    decoded = judged[of_means] if view.decode == "mean" else _classify(here.judge, z_ND, here.base)
    if here.is_encoded and of_samples not in judged:
        judged[of_samples] = _classify(here.judge, torch.from_numpy(np.array(here.samples[view.split].x)))
    return Predictions(
        is_encoded=here.is_encoded,
        true=_true_classes(labels, source, class_map),
        original=in_terms_of_a(judged[of_samples] if here.is_encoded else decoded, source, class_map),
        source=in_terms_of_a(decoded, source, class_map),
        transferred=in_terms_of_a(_classify(there.judge, after.transferred, there.base), target, class_map),
        reconstructed=in_terms_of_a(_classify(here.judge, after.reconstructed, here.base), source, class_map),
        shared=after.classes.numpy().astype(np.uint8),
    )


def _true_classes(labels_N: NDArray[np.int64], source: Side, class_map: tuple[int, ...] | None) -> NDArray[np.uint8]:
    known_N = labels_N != UNLABELLED
    classes_N = in_terms_of_a(np.where(known_N, labels_N, 0).astype(np.uint8), source, class_map)
    return np.where(known_N, classes_N, NO_CLASS).astype(np.uint8)


@torch.inference_mode()
def _classify(judge: Judge, rows: Tensor, base: Generator | None = None) -> np.ndarray[tuple[int], np.dtype[np.uint8]]:
    """The judge's class of each sample (N, X), or of the sample that each latent (N, D) decodes to."""
    classes = [judge.classify(base.decode(chunk) if base else chunk)[:n] for chunk, n in chunks(rows)]
    return torch.cat(classes).numpy().astype(np.uint8)


class Validation:
    """What bridges are scored on while they train: some of the validation split, from means, both ways."""

    def __init__(
        self, specs: Sequence[TrialSpec], worlds: Sequence[Mapping[Side, World]], n_scored: int = N_SCORED
    ) -> None:
        self._worlds, self._maps = worlds, [spec.settings.class_map for spec in specs]
        known: dict[tuple[Judge, str], tuple[Tensor, Tensor]] = {}
        self._sources: list[dict[Side, tuple[Tensor, Tensor]]] = []
        for world in worlds:
            own: dict[Side, tuple[Tensor, Tensor]] = {}
            for side, here in world.items():
                key = (here.judge, here.latents_id)  # replicates of several arms share their latents
                known[key] = own[side] = known.get(key) or _scored(here, n_scored)
            self._sources.append(own)

    @torch.inference_mode()
    def accuracies(self, members: Sequence[int], bridges: StackedBridges) -> Tensor:
        """Transfer accuracy a -> b and b -> a, (K, 2), of the bridges of some members."""
        columns: list[list[float]] = []
        for source, target in SIDES, SIDES[::-1]:
            z_KND = torch.stack([self._sources[m][source][0] for m in members])
            sent_KND = transfer_means(bridges, z_KND, source=SIDES.index(source))
            there = [self._worlds[m][target] for m in members]
            classes = [w.judge.classify(w.base.decode(z_ND)) for w, z_ND in zip(there, sent_KND, strict=True)]
            columns.append([self._agreement(m, source, c) for m, c in zip(members, classes, strict=True)])
        return torch.tensor(columns).T

    def _agreement(self, member: int, source: Side, transferred: Tensor) -> float:
        target = other(source)
        before = in_terms_of_a(self._sources[member][source][1].numpy(), source, self._maps[member])
        return agreement(before, in_terms_of_a(transferred.numpy(), target, self._maps[member]))


@torch.inference_mode()
def _scored(here: World, most: int) -> tuple[Tensor, Tensor]:
    """Means (N, D) of at most so many validation items, and the judge's classes of what they decode to."""
    mu = here.latents["validation"].mu
    z_ND = torch.from_numpy(np.array(mu[:: -(-len(mu) // most)]))
    return z_ND, here.judge.classify(here.base.decode(z_ND))
