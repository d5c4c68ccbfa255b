"""`bridgelab.trial` in a worker that trains nothing: a pack sleeps, and leaves and reports what a trained one would.

Everything around it is the product's own: the lease and its beats, the reports, the rows, the driver. What stands in
for torch has the one function that a worker calls before it trains, so that a worker costs little memory and time.
"""

from __future__ import annotations

import json
import os
import sys
import time
import types
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from scale import metrics_of, trial_of

from bridgelab.config import DECODES
from bridgelab.lab import Lab
from bridgelab.results import SCHEMAS
from bridgelab.specs import Entry, TrialSpec

SLEEP = "BRIDGELAB_SLEEP"
"""The variable of a worker's environment that says how its packs sleep."""


@dataclass(frozen=True)
class Sleep:
    """What a pack stands for."""

    seconds: float = 0.0
    spread: float = 0.0
    "packs take seconds * (1 - spread) to seconds * (1 + spread)"
    chunks: int = 1
    "after each it tells how far it is"
    predictions: int = 2_000
    "rows of a trial: 359 items of the digits' test split and 180 of validation, two ways, two decodings"
    curves: int = 336
    checkpoint_bytes: int = 1_500_000
    "of a pack"
    bridge_bytes: int = 100_000
    "of a trial"

    def seconds_of(self, pack_id: str) -> float:
        """The same for a pack wherever it runs."""
        place = int(pack_id[-6:], 16) / 0xFFFFFF
        return self.seconds * (1 + self.spread * (2 * place - 1))


def install() -> None:
    """Has this process take this module for `bridgelab.trial`, and go without torch."""
    sys.modules |= {
        "bridgelab.trial": sys.modules[__name__],
        "torch": _module("torch", set_num_threads=lambda n: None),
        "ray.air._internal.torch_utils": _module("torch_utils", contains_tensor=lambda report: False),
    }


def _module(name: str, **holds: Any) -> types.ModuleType:
    made = types.ModuleType(name)
    vars(made).update(holds)
    return made


class Surroundings:
    def __init__(self, lab: Lab, source: Any) -> None:
        self.lab = lab


@dataclass
class PackCheckpoint:
    """Saves as often as a real one, as many bytes, to the same place."""

    lab: Lab
    folder: str
    every_s: float
    device: str

    def __post_init__(self) -> None:
        self._saved = time.monotonic()

    def save_if_due(self, data: bytes) -> None:
        if time.monotonic() - self._saved >= self.every_s:
            self.lab.publish_sealed(f"{self.folder}/asleep.checkpoint", data)
            self._saved = time.monotonic()


@dataclass(frozen=True)
class Runtime:
    pack_id: str
    device: str
    checkpoint: PackCheckpoint
    on_chunk: Callable[[int], None]


@dataclass(frozen=True)
class PackResult:
    rows: Mapping[str, pa.Table]
    unevaluated: Mapping[str, Any]


def run_leg(*given: Any) -> None:
    raise NotImplementedError("no search is simulated")


def run_pack(runtime: Runtime, entries: Sequence[Entry], around: Surroundings, leg: None) -> PackResult:
    """Sleeps in chunks, saves when that is due, leaves a file for each bridge and panel; the rows of its trials."""
    sleep, specs = Sleep(**json.loads(os.environ[SLEEP])), [entry.spec for entry in entries]
    until, snapshot = time.monotonic(), os.urandom(sleep.checkpoint_bytes)
    for chunk in range(sleep.chunks):
        until += sleep.seconds_of(runtime.pack_id) / sleep.chunks
        time.sleep(max(0.0, until - time.monotonic()))
        runtime.on_chunk(specs[0].n_steps * (chunk + 1) // sleep.chunks)
        runtime.checkpoint.save_if_due(snapshot)
    for spec in specs:
        around.lab.publish(f"panels/{spec.trial_id}.parquet", b"")
        around.lab.publish(f"bridges/{spec.trial_id}.safetensors", os.urandom(sleep.bridge_bytes))
    return PackResult(rows_of(specs, sleep), {})


def rows_of(specs: Sequence[TrialSpec], sleep: Sleep) -> dict[str, pa.Table]:
    """By table, as many rows as trained trials have, in their schemas."""
    rng = np.random.default_rng(0)
    return {
        "curves": curves_of(specs, sleep.curves, rng),
        "predictions": predictions_of(specs, sleep.predictions, rng),
        "metrics": metrics_of(specs, rng),
        "trials": pa.Table.from_pylist([trial_of(spec) for spec in specs], schema=SCHEMAS["trials"]),
    }


def curves_of(specs: Sequence[TrialSpec], n: int, rng: np.random.Generator) -> pa.Table:
    steps, terms = np.divmod(np.arange(n), 8)
    columns = {
        "trial_id": np.repeat([spec.trial_id for spec in specs], n),
        "attempt": np.zeros(n * len(specs), np.int32),
        "step": np.tile(steps, len(specs)),
        "term": np.tile([f"term {term}" for term in terms], len(specs)),
        "value": rng.random(n * len(specs)),
    }
    return pa.table(columns).cast(SCHEMAS["curves"])


def predictions_of(specs: Sequence[TrialSpec], n: int, rng: np.random.Generator) -> pa.Table:
    views, items = np.divmod(np.arange(n), -(-n // 8))
    columns: dict[str, Any] = {
        "trial_id": np.repeat([spec.trial_id for spec in specs], n),
        "attempt": np.zeros(n * len(specs), np.int32),
        "judge_id": np.repeat([spec.judge_id for spec in specs], n),
        "direction": np.tile(np.array(["ab", "ba"])[views % 2], len(specs)),
        "split": np.tile(np.array(["validation", "test"])[views // 4], len(specs)),
        "decode": np.tile(np.array(DECODES)[views // 2 % 2], len(specs)),
        "item": np.tile(items, len(specs)),
    }
    classes = [name for name in SCHEMAS["predictions"].names if name not in columns]
    columns |= {name: rng.integers(0, 10, n * len(specs), np.uint8) for name in classes}
    return pa.table(columns).cast(SCHEMAS["predictions"])
