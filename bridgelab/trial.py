"""A pack of trials from specs to rows: train, keep the bridges, evaluate. Plain torch, no Ray."""

from __future__ import annotations

import contextlib
import functools
import math
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

import safetensors.torch
import torch

from . import rows, strict_json
from .base_models import Generator, Judge, checkpoint
from .base_models.fit import UNFIT
from .baselines import closed_form
from .baselines.pixels import PixelTraining
from .bridge.footprint import bytes_of
from .bridge.pack import Member, Pack, Trained, joined
from .config import CHECKPOINT_EVERY_S, PIXEL_SYSTEMS, Side, canonical_json, content_id
from .domains import Samples, Split, get_domain
from .errors import LabError
from .evaluate import N_SCORED, TrainedBridge, Validation, World, evaluate
from .lab import Lab
from .latents import Latents
from .memory import free_bytes
from .metrics import Found
from .rows import Failure, Rows, Training
from .specs import Entry, Leg, ModelSpec, TrialSpec, trial_of
from .weights import about, decode, encode, read

Item = TypeVar("Item")
Result = TypeVar("Result")

STEPS_FOR_AN_ITEM = 2
"""At a rung a bridge is scored on one item for so many steps since the last one: to look, through a base model and a
judge that may be larger than the bridge, then takes less than a twentieth of the time."""


class Source(Protocol):
    """Where a worker finds what packs are made of."""

    def latents(self, latents_id: str) -> Mapping[Split, Latents]: ...

    def samples(self, domain: str, side: Side) -> Mapping[Split, Samples]: ...


class Surroundings:
    """Frozen models, latents and samples around the bridges of one process, each loaded once."""

    def __init__(self, lab: Lab, source: Source) -> None:
        self.lab, self.source = lab, source
        self._bases: dict[str, Generator] = {}
        self._judges: dict[tuple[str, Side], Judge] = {}
        self._sha256: dict[str, str | None] = {}

    def world(self, base: ModelSpec, judge: ModelSpec, side: Side) -> World:
        domain = get_domain(base.domain)
        if base.model_id not in self._bases:
            self._bases[base.model_id] = checkpoint.load_base_model(self.lab, base, domain)
        if (judge.model_id, side) not in self._judges:
            self._judges[judge.model_id, side] = checkpoint.load_judge(self.lab, judge, domain, side)
        return World(
            base=self._bases[base.model_id],
            judge=self._judges[judge.model_id, side],
            latents_id=base.latents_id,
            latents=self.source.latents(base.latents_id),
            samples=self.source.samples(base.domain, side),
            landed=None if domain.landed is None else functools.partial(domain.landed, side),
            is_encoded=base.drawn is None,
        )

    def worlds(self, spec: TrialSpec) -> Mapping[Side, World]:
        return {"a": self.world(spec.base_a, spec.judge_a, "a"), "b": self.world(spec.base_b, spec.judge_b, "b")}

    def latents(self, latents_id: str) -> Mapping[Split, Latents]:
        return self.source.latents(latents_id)

    def sha256(self, base: ModelSpec) -> str | None:
        if base.model_id not in self._sha256:
            self._sha256[base.model_id] = checkpoint.weights_sha256(self.lab, base)
        return self._sha256[base.model_id]


class PackCheckpoint:
    """Where a pack stands, in its own folder of the lab, at most `every_s` seconds old."""

    def __init__(self, lab: Lab, folder: str, every_s: float = CHECKPOINT_EVERY_S, device: str = "cpu") -> None:
        self._lab, self._folder, self._every_s, self._device = lab, folder, every_s, device
        self._saved = time.monotonic()

    def load(self, entries: Sequence[Entry]) -> dict[str, torch.Tensor] | None:
        """The latest snapshot of a pack of just these entries; None where there is none."""
        data = self._lab.read_sealed(self._path(entries))
        if data is None:
            return None  # it begins anew, and comes to the same
        with contextlib.suppress(ValueError):
            return decode(data)
        return None

    def save_if_due(self, entries: Sequence[Entry], pack: Pack | PixelTraining) -> None:
        if time.monotonic() - self._saved >= self._every_s:
            self._lab.publish_sealed(self._path(entries), safetensors.torch.save(pack.snapshot()))
            self._saved = time.monotonic()

    def _path(self, entries: Sequence[Entry]) -> str:
        members = content_id("checkpoint", {"trials": [[e.spec.trial_id, e.attempt] for e in entries]})
        return f"{self._folder}/{members}{_drawn_on(self._device)}.checkpoint"


@dataclass(frozen=True)
class Runtime:
    """In what a pack runs: device, checkpoints, who is told."""

    pack_id: str
    device: str = "cpu"
    checkpoint: PackCheckpoint | None = None
    on_chunk: Callable[[int], None] = lambda step: None


@dataclass(frozen=True)
class PackResult:
    """What a pack came to."""

    rows: Rows
    unevaluated: Mapping[str, Failure]
    "trial_id -> why its predictions could not be made; its bridge is in the lab"


def run_pack(runtime: Runtime, entries: Sequence[Entry], around: Surroundings, leg: Leg | None = None) -> PackResult:
    """Trains and evaluates a pack's trials and saves their bridges in the lab.

    Goes on from the pack's checkpoint. A trial whose loss was not finite has a FAIL row. A pack that
    raises, or runs out of memory, is split in halves until the trial that it was is alone: that one has
    a FAIL row with its class and text, and the others are what they would have been without it. A trial
    is evaluated after it was trained, and is not trained again where only that fails. The last leg of a
    bracket goes on from where the one before it ended.
    """
    n_classes = len(get_domain(entries[0].spec.base_a.domain).class_names)
    common = {"device": runtime.device, "pack_id": runtime.pack_id, "pack_size": len(entries)}
    new = [entry for entry in entries if not entry.trained]
    outcomes = _in_halves(lambda part: _train(runtime, part, around, n_classes, leg), new)
    training = dict(zip((entry.spec.trial_id for entry in new), outcomes, strict=True))
    weights = {
        i: load_bridge(around.lab, i) if e.trained else _weights(training[i])
        for i, e in ((entry.spec.trial_id, entry) for entry in entries)
    }
    bridges = [
        TrainedBridge(e.spec, w, around.worlds(e.spec), e.fid) for e in entries if (w := weights[e.spec.trial_id])
    ]
    started = time.perf_counter()
    found = _in_halves(lambda part: evaluate(part, n_classes), bridges)
    common["evaluate_s"] = (time.perf_counter() - started) / max(1, len(bridges))
    evaluated = {bridge.spec.trial_id: one for bridge, one in zip(bridges, found, strict=True)}
    about = {e.spec.trial_id: rows.provenance(e.spec, around) for e in new}
    return PackResult(
        rows=rows.of_pack(
            entries, training, {i: f for i, f in evaluated.items() if isinstance(f, Found)}, about, common
        ),
        unevaluated={i: f for i, f in evaluated.items() if isinstance(f, Failure)},
    )


def run_leg(
    runtime: Runtime, entries: Sequence[Entry], around: Surroundings, leg: Leg
) -> dict[str, tuple[float, str | None]]:
    """Trains a bracket's members to its next rung, and leaves where they stand in the lab.

    Returns by trial_id the transfer accuracy on validation, the mean of both directions, and None; or nan
    and what the trial failed of.
    """
    n_classes = len(get_domain(entries[0].spec.base_a.domain).class_names)

    def train(part: Sequence[Entry]) -> list[tuple[float, str | None]]:
        pack = _pack(runtime, part, around, n_classes, leg)
        pack.run(_listening(runtime, part, pack), until=leg.stop)
        if pack.alive:
            n_scored = min(N_SCORED, max(1, (leg.stop - leg.start) // STEPS_FOR_AN_ITEM))
            validation = _validation(part, around, n_scored)
            scores = validation.accuracies(pack.alive, pack.bridges()).mean(1).tolist()
        found: list[tuple[float, str | None]] = [(math.nan, "nan")] * len(part)
        for slot, member in enumerate(pack.alive):
            found[member] = (scores[slot], None)
            state = safetensors.torch.save(pack.state_of(member))
            around.lab.publish_sealed(_state_path(part[member], leg, leg.stop, runtime.device), state)
        return found

    outcomes = _in_halves(train, entries)
    return {
        entry.spec.trial_id: (math.nan, outcome.kind) if isinstance(outcome, Failure) else outcome
        for entry, outcome in zip(entries, outcomes, strict=True)
    }


def _state_path(entry: Entry, leg: Leg, step: int, device: str) -> str:
    return f"{leg.folder}/{entry.spec.trial_id}-{step}{_drawn_on(device)}.checkpoint"


def _drawn_on(device: str) -> str:
    """In the name of a checkpoint: random streams go on only on the kind of device where they began."""
    return "" if device == "cpu" else f"-{device}"


def _in_halves(work: Callable[[Sequence[Item]], Sequence[Result]], items: Sequence[Item]) -> list[Result | Failure]:
    """What the work makes of each item; where it raises, of fewer at a time, until the culprit is alone."""
    if not items:
        return []
    try:
        return list(work(items))
    except LabError:
        raise
    except Exception as error:  # whatever a trial dies of is its result, and is shown as such
        kind = "oom" if isinstance(error, (MemoryError, torch.OutOfMemoryError)) else "error"
        failure = Failure(kind, traceback.format_exc(limit=-3))
    # Only here, after the except clause, has the memory gone that the failed attempt held.
    if len(items) == 1:
        return [failure]
    if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        torch.cuda.empty_cache()
    half = len(items) // 2
    return _in_halves(work, items[:half]) + _in_halves(work, items[half:])


def _weights(outcome: Training | Failure) -> Mapping[str, torch.Tensor] | None:
    return None if isinstance(outcome, Failure) else outcome.result.weights


def _train(
    runtime: Runtime, entries: Sequence[Entry], around: Surroundings, n_classes: int, leg: Leg | None
) -> list[Training]:
    """Trains the entries as one pack and saves each bridge."""
    started = time.perf_counter()
    system = entries[0].spec.settings.system
    if system in PIXEL_SYSTEMS:
        return [_train_on_pixels(runtime, entry, around) for entry in entries]
    if system != "bridge":
        return [_fit(entry.spec, around, n_classes) for entry in entries]
    pack = _pack(runtime, entries, around, n_classes, leg)
    resumed_at = None if pack.n_done == (leg.start if leg else 0) else pack.n_done
    validation = None if leg else _validation(entries, around)  # a bracket is scored at its rungs only
    results = pack.run(_listening(runtime, entries, pack, validation))
    for entry, result in zip(entries, results, strict=True):
        if result.weights is not None:
            save_bridge(around.lab, entry.spec, result.weights)
    train_s = (time.perf_counter() - started) / len(entries)
    return [Training(result, train_s, resumed_at) for result in results]


def _fit(spec: TrialSpec, around: Surroundings, n_classes: int) -> Training:
    """A map in closed form, saved where a bridge would be."""
    started = time.perf_counter()
    a, b = (around.latents(base.latents_id)["train"] for base in (spec.base_a, spec.base_b))
    weights = closed_form.fit(spec, a, b, n_classes)
    save_bridge(around.lab, spec, weights)
    return Training(Trained(weights), time.perf_counter() - started, resumed_at=None)


def _train_on_pixels(runtime: Runtime, entry: Entry, around: Surroundings) -> Training:
    """Pix2Pix or CycleGAN, saved where a bridge would be. Goes on from its checkpoint."""
    started, spec = time.perf_counter(), entry.spec
    a, b = (around.latents(base.latents_id)["train"] for base in (spec.base_a, spec.base_b))
    shape = get_domain(spec.base_a.domain).image_shape
    assert shape is not None, "a study of pictures was resolved"
    training = PixelTraining(spec, a, b, shape)
    snapshot = runtime.checkpoint.load([entry]) if runtime.checkpoint else None
    if snapshot is not None:
        try:
            training.restore(snapshot)
        except UNFIT:
            training = PixelTraining(spec, a, b, shape)
    resumed_at = training.n_done or None

    def on_step(step: int) -> None:
        runtime.on_chunk(step)
        if runtime.checkpoint:
            runtime.checkpoint.save_if_due([entry], training)

    result = training.run(on_step)
    if result.weights is not None:
        save_bridge(around.lab, spec, result.weights)
    return Training(result, time.perf_counter() - started, resumed_at)


def _pack(runtime: Runtime, entries: Sequence[Entry], around: Surroundings, n_classes: int, leg: Leg | None) -> Pack:
    """The entries as a pack, where its checkpoint or the leg before left it."""
    members = [
        Member(
            entry.spec,
            around.latents(entry.spec.base_a.latents_id)["train"],
            around.latents(entry.spec.base_b.latents_id)["train"],
            n_classes,
        )
        for entry in entries
    ]
    needed, free = bytes_of(members, runtime.device), free_bytes(runtime.device)
    if needed > free:
        raise MemoryError(
            f"a pack of {len(members)} takes about {needed / 2**30:.1f} GiB, and {free / 2**30:.1f} GiB are free; "
            "give the machine less beside it, or the bridge a smaller batch, width or depth"
        )
    pack = Pack(members, runtime.device)
    snapshot = runtime.checkpoint.load(entries) if runtime.checkpoint else None
    snapshot = snapshot or (None if leg is None else _where_they_stand(runtime, around.lab, entries, leg))
    if snapshot is not None:
        try:
            pack.restore(snapshot)
        except UNFIT:
            return Pack(members, runtime.device)
    return pack


def _validation(entries: Sequence[Entry], around: Surroundings, n_scored: int = N_SCORED) -> Validation:
    """What the entries are scored on while they train."""
    specs = [entry.spec for entry in entries]
    return Validation(specs, [around.worlds(spec) for spec in specs], n_scored)


def _where_they_stand(runtime: Runtime, lab: Lab, entries: Sequence[Entry], leg: Leg) -> dict[str, torch.Tensor] | None:
    """The snapshot of a leg's start; None where it is the first one, or some state cannot be read."""
    files = [lab.read_sealed(_state_path(entry, leg, leg.start, runtime.device)) for entry in entries]
    with contextlib.suppress(ValueError):
        states = [decode(data) for data in files if data is not None]
        return joined(states, leg.start) if len(states) == len(entries) else None
    return None


def _listening(
    runtime: Runtime, entries: Sequence[Entry], pack: Pack, validation: Validation | None = None
) -> Callable[[int], None]:
    """What happens after each chunk: it is told, scored where that is wanted and due, and saved now and then."""

    def on_chunk(step: int) -> None:
        runtime.on_chunk(step)
        if validation and pack.validation_due():
            pack.record_validation(validation.accuracies(pack.alive, pack.bridges()))
        if runtime.checkpoint:
            runtime.checkpoint.save_if_due(entries, pack)

    return on_chunk


def save_bridge(lab: Lab, spec: TrialSpec, weights: Mapping[str, torch.Tensor]) -> None:
    """Publishes lab/bridges/<trial_id>.safetensors: the reference module's tensors, the spec beside them."""
    data = encode(weights, trial=canonical_json(spec))
    lab.publish(f"bridges/{spec.trial_id}.safetensors", data)


def load_bridge(lab: Lab, trial_id: str) -> dict[str, torch.Tensor]:
    """The tensors of a trained bridge. Raises LabError where it is missing or damaged."""
    return read(lab, f"bridges/{trial_id}.safetensors", "remove it and run again")


def load_spec(lab: Lab, trial_id: str) -> TrialSpec:
    """The trial of a bridge in the lab. Raises LabError where its file does not say, or says another."""
    path = f"bridges/{trial_id}.safetensors"
    try:
        spec = trial_of(strict_json.mapping(about(lab, path)["trial"]))
        if spec.trial_id == trial_id:
            return spec
    except (AttributeError, KeyError, TypeError, ValueError):
        pass
    raise LabError(f"{lab.show(path)} does not say which trial it is of; remove it and run again")
