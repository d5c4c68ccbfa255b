"""A pack of trials from specs to rows: train, keep the bridges, evaluate. Plain torch, no Ray."""

from __future__ import annotations

import importlib.metadata
import json
import platform
import socket
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
import safetensors.torch
import torch

from . import metrics
from .base_models import BaseModel, Judge, checkpoint
from .bridge.pack import TERMS, Member, Pack, Trained
from .config import CHECKPOINT_EVERY_S, Entry, ModelSpec, Side, TrialSpec, canonical_json, content_id
from .domains import Samples, Split, get_domain
from .errors import LabError
from .evaluate import Bridge, Found, World, evaluate
from .lab import Lab
from .latents import Latents
from .results import SCHEMAS, now

Rows = dict[str, pa.Table]
"""Table name -> rows to publish."""


class Source(Protocol):
    """Where a worker finds what packs are made of."""

    def latents(self, latents_id: str) -> Mapping[Split, Latents]: ...

    def samples(self, domain: str, side: Side) -> Mapping[Split, Samples]: ...


class Surroundings:
    """Frozen models, latents and samples around the bridges of one process, each loaded once."""

    def __init__(self, lab: Lab, source: Source) -> None:
        self.lab, self.source = lab, source
        self._bases: dict[str, BaseModel] = {}
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
            latents=self.source.latents(base.latents_id),
            samples=self.source.samples(base.domain, side),
        )

    def worlds(self, spec: TrialSpec) -> Mapping[Side, World]:
        return {"a": self.world(spec.base_a, spec.judge_a, "a"), "b": self.world(spec.base_b, spec.judge_b, "b")}

    def sha256(self, base: ModelSpec) -> str | None:
        if base.model_id not in self._sha256:
            self._sha256[base.model_id] = checkpoint.weights_sha256(self.lab, base)
        return self._sha256[base.model_id]


class Checkpoint:
    """Where a pack stands, in its own folder of the lab, at most `every_s` seconds old."""

    def __init__(self, lab: Lab, folder: str, every_s: float = CHECKPOINT_EVERY_S) -> None:
        self._lab, self._folder, self._every_s = lab, folder, every_s
        self._saved = time.monotonic()

    def load(self, entries: Sequence[Entry]) -> dict[str, torch.Tensor] | None:
        """The latest snapshot of a pack of just these entries; None where there is none."""
        path = self._path(entries)
        if not self._lab.exists(path):
            return None
        try:
            tensors: dict[str, torch.Tensor] = safetensors.torch.load(self._lab.read(path))
        except safetensors.SafetensorError:
            return None  # it begins anew, and comes to the same
        return tensors

    def save_if_due(self, entries: Sequence[Entry], pack: Pack) -> None:
        if time.monotonic() - self._saved >= self._every_s:
            self._lab.publish(self._path(entries), safetensors.torch.save(pack.snapshot()))
            self._saved = time.monotonic()

    def _path(self, entries: Sequence[Entry]) -> str:
        members = content_id("checkpoint", {"trials": [[e.spec.trial_id, e.attempt] for e in entries]})
        return f"{self._folder}/{members}.safetensors"


@dataclass(frozen=True)
class Setting:
    """In what a pack runs: device, checkpoints, who is told, and what its rows say of it."""

    pack_id: str
    device: str = "cpu"
    checkpoint: Checkpoint | None = None
    on_chunk: Callable[[int], None] = lambda step: None

    def described(self, n: int) -> dict[str, Any]:
        return {"device": self.device, "pack_id": self.pack_id, "pack_size": n}


def run_pack(setting: Setting, entries: Sequence[Entry], around: Surroundings) -> Rows:
    """Trains and evaluates a pack's trials, saves their bridges in the lab, returns their rows.

    Goes on from the pack's checkpoint. A trial whose loss was not finite has a FAIL row. A pack that
    raises, or runs out of memory, is split in halves until the trial that it was is alone: that one has
    a FAIL row with its class and text, and the others are what they would have been without it.
    """
    try:
        return _run(setting, entries, around)
    except LabError:
        raise
    except Exception as error:  # whatever a trial dies of is its result, and is shown as such
        if len(entries) > 1:
            half = len(entries) // 2
            halves = [run_pack(setting, part, around) for part in (entries[:half], entries[half:])]
            return {t: pa.concat_tables([h[t] for h in halves if t in h]) for t in {**halves[0], **halves[1]}}
        kind = "oom" if isinstance(error, (MemoryError, torch.OutOfMemoryError)) else "error"
        failure = (kind, traceback.format_exc(limit=-3))
        host = setting.described(len(entries))
        return {"trials": _table("trials", [_trial_row(e, around, host, failure) for e in entries if not e.trained])}


def _run(setting: Setting, entries: Sequence[Entry], around: Surroundings) -> Rows:
    domain = get_domain(entries[0].spec.base_a.domain)
    n_classes = len(domain.class_names)
    new = [entry for entry in entries if not entry.trained]
    started = time.perf_counter()
    trained, resumed_at = _train(setting, new, around, n_classes)
    train_s = (time.perf_counter() - started) / max(1, len(new))
    bridges = []
    for entry in entries:
        weights = (
            load_bridge(around.lab, entry.spec.trial_id) if entry.trained else trained[entry.spec.trial_id].weights
        )
        if weights is not None:
            bridges.append((entry, Bridge(entry.spec, weights, around.worlds(entry.spec))))
    started = time.perf_counter()
    found = evaluate([bridge for _, bridge in bridges], n_classes) if bridges else []
    evaluate_s = (time.perf_counter() - started) / max(1, len(bridges))
    host = setting.described(len(entries)) | {"train_s": train_s, "evaluate_s": evaluate_s}
    host["resumed_at"] = resumed_at
    evaluated = [(entry, one) for (entry, _), one in zip(bridges, found, strict=True)]
    return {
        "curves": _table("curves", [row for e in new for row in _curve_rows(e, trained[e.spec.trial_id])]),
        "predictions": pa.concat_tables(
            [SCHEMAS["predictions"].empty_table(), *(_prediction_rows(entry, one) for entry, one in evaluated)]
        ),
        "metrics": _table("metrics", [row for entry, one in evaluated for row in _metric_rows(entry, one)]),
        "trials": _table("trials", [_outcome(e, trained[e.spec.trial_id], around, host) for e in new]),
    }


def _train(
    setting: Setting, entries: Sequence[Entry], around: Surroundings, n_classes: int
) -> tuple[dict[str, Trained], int | None]:
    """Trains the entries as one pack and saves each bridge.

    Returns trial_id -> what came of it, and the step of the checkpoint that the pack went on from.
    """
    if not entries:
        return {}, None
    members = [
        Member(
            entry.spec,
            around.source.latents(entry.spec.base_a.latents_id)["train"],
            around.source.latents(entry.spec.base_b.latents_id)["train"],
            n_classes,
        )
        for entry in entries
    ]
    pack = Pack(members, setting.device)
    snapshot = setting.checkpoint.load(entries) if setting.checkpoint else None
    if snapshot is not None:
        pack.restore(snapshot)
    resumed_at = None if snapshot is None else pack.n_done

    def on_chunk(step: int) -> None:
        setting.on_chunk(step)
        if setting.checkpoint:
            setting.checkpoint.save_if_due(entries, pack)

    results = pack.run(on_chunk)
    for entry, result in zip(entries, results, strict=True):
        if result.weights is not None:
            save_bridge(around.lab, entry.spec, result.weights)
    return {entry.spec.trial_id: result for entry, result in zip(entries, results, strict=True)}, resumed_at


def save_bridge(lab: Lab, spec: TrialSpec, weights: Mapping[str, torch.Tensor]) -> None:
    """Publishes lab/bridges/<trial_id>.safetensors: the reference module's tensors, the spec beside them."""
    data = safetensors.torch.save(dict(weights), metadata={"trial": canonical_json(spec)})
    lab.publish(f"bridges/{spec.trial_id}.safetensors", data)


def load_bridge(lab: Lab, trial_id: str) -> dict[str, torch.Tensor]:
    """The tensors of a trained bridge. Raises LabError where it is missing or damaged."""
    path = f"bridges/{trial_id}.safetensors"
    try:
        tensors: dict[str, torch.Tensor] = safetensors.torch.load(lab.read(path))
    except safetensors.SafetensorError as error:
        raise LabError(f"{lab.show(path)} is damaged ({error}); remove it and run again") from None
    return tensors


def _table(table: str, rows: list[dict[str, Any]]) -> pa.Table:
    return pa.Table.from_pylist(rows, schema=SCHEMAS[table])


def _outcome(entry: Entry, result: Trained, around: Surroundings, host: Mapping[str, Any]) -> dict[str, Any]:
    if result.failed_at is None:
        return _trial_row(entry, around, host)
    text = f"loss or gradient was not finite at step {result.failed_at}"
    return _trial_row(entry, around, host, failure=("nan", text), steps=result.failed_at)


def _trial_row(
    entry: Entry,
    around: Surroundings,
    host: Mapping[str, Any],
    failure: tuple[str, str] | None = None,
    steps: int | None = None,
) -> dict[str, Any]:
    spec = entry.spec
    return {
        "trial_id": spec.trial_id,
        "attempt": entry.attempt,
        "state": "FAIL" if failure else "COMPLETE",
        "failure_class": failure[0] if failure else None,
        "failure_text": failure[1] if failure else None,
        "config": canonical_json(spec),
        "domain_a": spec.base_a.domain,
        "domain_b": spec.base_b.domain,
        "base_a": spec.base_a.model_id,
        "base_b": spec.base_b.model_id,
        "base_a_sha256": around.sha256(spec.base_a),
        "base_b_sha256": around.sha256(spec.base_b),
        "label_seed": spec.label_seed,
        "bridge_seed": spec.bridge_seed,
        "n_train": len(around.source.latents(spec.base_a.latents_id)["train"]),
        "steps": spec.settings.bridge.n_steps if steps is None else steps,
        "versions": _versions(),
        "host": socket.gethostname(),
        "finished_at": now(),
        **host,
    }


def _versions() -> str:
    packages = ("bridgelab", "torch", "ray", "numpy")
    return json.dumps({"python": platform.python_version()} | {p: importlib.metadata.version(p) for p in packages})


def _curve_rows(entry: Entry, result: Trained) -> list[dict[str, Any]]:
    common = {"trial_id": entry.spec.trial_id, "attempt": entry.attempt}
    return [
        {**common, "step": step, "term": term, "value": float(value)}
        for step, values in result.curve
        for term, value in zip(TERMS, values, strict=True)
    ]


def _metric_rows(entry: Entry, found: Found) -> list[dict[str, Any]]:
    spec = entry.spec
    return [
        row
        for split, directions in found.items()
        for row in metrics.rows(spec.trial_id, entry.attempt, spec.judge_id, split, directions)
    ]


def _prediction_rows(entry: Entry, found: Found) -> pa.Table:
    parts = []
    for split, directions in found.items():
        for direction, p in directions.items():
            n = len(p.true)
            names = {
                "trial_id": entry.spec.trial_id,
                "judge_id": entry.spec.judge_id,
                "direction": direction,
                "split": split,
            }
            columns = {name: pa.array([value] * n) for name, value in names.items()}
            columns |= {"attempt": np.full(n, entry.attempt, np.int32), "item": np.arange(n, dtype=np.int32)}
            columns |= {
                "true_label": p.true,
                "original": p.original,
                "source": p.source,
                "transferred": p.transferred,
                "reconstructed": p.reconstructed,
                "shared": p.shared,
            }
            schema = SCHEMAS["predictions"]
            parts.append(pa.table({name: columns[name] for name in schema.names}).cast(schema))
    return pa.concat_tables(parts)
