"""What a pack came to, as rows of the tables that it is published in."""

from __future__ import annotations

import importlib.metadata
import json
import platform
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from . import metrics
from .bridge.lockstep import TERMS
from .bridge.pack import VALIDATED, Trained
from .bridge.pool import seen_of
from .config import canonical_json
from .domains import Split
from .latents import Latents
from .metrics import Found
from .results import SCHEMAS, now
from .specs import Entry, ModelSpec, TrialSpec

Rows = dict[str, pa.Table]
"""Table name -> rows to publish."""
Point = tuple[int, tuple[str, ...], NDArray[np.float32]]
"""Of a curve: step, terms, their values."""


@dataclass(frozen=True)
class Training:
    """How a trial was trained, and what came of it."""

    result: Trained
    train_s: float
    "this trial's share of its pack's time"
    resumed_at: int | None
    "the step of the checkpoint that its pack went on from"


@dataclass(frozen=True)
class Failure:
    """What a trial died of: a class (nan, oom, error) and a text."""

    kind: str
    text: str


class Origins(Protocol):
    """Where the base models and latents of a trial are known."""

    def sha256(self, base: ModelSpec) -> str | None: ...

    def latents(self, latents_id: str) -> Mapping[Split, Latents]: ...


def provenance(spec: TrialSpec, origins: Origins) -> dict[str, Any]:
    """What a trial was made from, as columns of `trials`."""
    n_items = len(origins.latents(spec.base_a.latents_id)["train"].labels_of_items)
    return {
        "config": canonical_json(spec),
        "domain_a": spec.base_a.domain,
        "domain_b": spec.base_b.domain,
        "base_a": spec.base_a.model_id,
        "base_b": spec.base_b.model_id,
        "base_a_sha256": origins.sha256(spec.base_a),
        "base_b_sha256": origins.sha256(spec.base_b),
        "label_seed": spec.label_seed,
        "bridge_seed": spec.bridge_seed,
        "n_train": len(seen_of(spec, "a", n_items)),
        "versions": _versions(),
        "host": socket.gethostname(),
        "finished_at": now(),
    }


def of_pack(
    entries: Sequence[Entry],
    training: Mapping[str, Training | Failure],
    found: Mapping[str, Found],
    about: Mapping[str, Mapping[str, Any]],
    common: Mapping[str, Any],
) -> Rows:
    """The rows of a pack.

    `training` and `about` (from `provenance`) are by trial_id of what was trained, `found` of what was
    evaluated; `common` are columns of `trials` that all of them share.
    """
    new = [entry for entry in entries if not entry.trained]
    evaluated = [(entry, found[entry.spec.trial_id]) for entry in entries if entry.spec.trial_id in found]
    trials = [{**_training_row(e, training[e.spec.trial_id]), **about[e.spec.trial_id], **common} for e in new]
    return {
        "curves": _table("curves", [row for e in new for row in _curve_rows(e, training[e.spec.trial_id])]),
        "predictions": pa.concat_tables(
            [SCHEMAS["predictions"].empty_table(), *(_prediction_rows(entry, one) for entry, one in evaluated)]
        ),
        "metrics": _table("metrics", [row for entry, one in evaluated for row in _metric_rows(entry, one)]),
        "trials": _table("trials", trials),
    }


def _table(table: str, rows: list[dict[str, Any]]) -> pa.Table:
    return pa.Table.from_pylist(rows, schema=SCHEMAS[table])


def _training_row(entry: Entry, training: Training | Failure) -> dict[str, Any]:
    row = {"trial_id": entry.spec.trial_id, "attempt": entry.attempt, "steps": entry.spec.n_steps}
    if isinstance(training, Training):
        row |= {"train_s": training.train_s, "resumed_at": training.resumed_at}
        failed_at = training.result.failed_at
        if failed_at is None:
            return row | {"state": "COMPLETE"}
        row["steps"] = failed_at
        training = Failure("nan", f"loss or gradient was not finite at step {failed_at}")
    return row | {"state": "FAIL", "failure_class": training.kind, "failure_text": training.text}


def _versions() -> str:
    packages = ("bridgelab", "torch", "ray", "numpy")
    return json.dumps({"python": platform.python_version()} | {p: importlib.metadata.version(p) for p in packages})


def _curve_rows(entry: Entry, training: Training | Failure) -> list[dict[str, Any]]:
    if isinstance(training, Failure):
        return []
    common = {"trial_id": entry.spec.trial_id, "attempt": entry.attempt}
    points: list[Point] = [(step, TERMS, values) for step, values in training.result.curve]
    names = tuple(f"validation/{metric}" for metric in VALIDATED)
    points += [(step, names, values) for step, values in training.result.validation]
    return [
        {**common, "step": step, "term": term, "value": float(value)}
        for step, terms, values in points
        for term, value in zip(terms, values, strict=True)
    ]


def _metric_rows(entry: Entry, found: Found) -> list[dict[str, Any]]:
    return metrics.rows(entry.spec.trial_id, entry.attempt, entry.spec.judge_id, found)


def _prediction_rows(entry: Entry, found: Found) -> pa.Table:
    schema, parts = SCHEMAS["predictions"], []
    for view, p in found.predictions.items():
        n = len(p.true)
        names = {"trial_id": entry.spec.trial_id, "judge_id": entry.spec.judge_id, **vars(view)}
        columns = {name: pa.array([value] * n) for name, value in names.items()}
        columns |= {"attempt": np.full(n, entry.attempt, np.int32), "item": np.arange(n, dtype=np.int32)}
        columns |= {"true_label": p.true, "original": p.original, "source": p.source}
        columns |= {"transferred": p.transferred, "reconstructed": p.reconstructed, "shared": p.shared}
        parts.append(pa.table({name: columns[name] for name in schema.names}).cast(schema))
    return pa.concat_tables(parts)
