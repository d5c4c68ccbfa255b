"""How long a sweep will take: from what the lab has timed on its machine, and before that by a guess."""

from __future__ import annotations

import collections
import heapq
import json
import socket
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from . import strict_json
from .config import ClassifierConfig, Settings, canonical
from .errors import LabError
from .lab import Lab
from .results import Results
from .specs import BaseModelJob, Entry, ModelSpec, TrialSpec, shape_of
from .wavegan_config import RejectionConfig, WaveGANConfig

RAY_START_S = 6.0
"""Ray, and torch in its workers, until the first step; and the end of Ray."""
N_TIMED = 16
"""From so many of a shape's latest trials the expected time is taken: what a machine does now, not what it once did."""
GUESSED_EVALUATION_S = 0.2
JUDGED_S = 1e-3
"""A clip's log-mel picture, and the judge's look at it."""


@dataclass(frozen=True)
class Pace:
    """Seconds of a core that a trial of one shape takes."""

    step_s: float
    evaluate_s: float


def expected_seconds(
    lab: Lab,
    judges: Iterable[ModelSpec],
    jobs: Iterable[BaseModelJob],
    packs: Sequence[Sequence[Entry]],
    n_workers: int,
) -> float:
    """From the start of Ray to the last row: first the models side by side, then the packs."""
    if not packs:
        return 0.0
    timed_models, paces = model_paces(lab), trial_paces(lab)
    specs = [*judges, *(job.spec for job in jobs)]
    models = [_model_seconds(spec, timed_models) for spec in specs]
    return RAY_START_S + makespan(models, n_workers) + makespan([_pack_seconds(p, paces) for p in packs], n_workers)


def training_seconds(lab: Lab, specs: Sequence[TrialSpec]) -> float:
    """Of a core, for training trials of one shape."""
    return _pack_seconds([Entry(spec, attempt=0, trained=False) for spec in specs], trial_paces(lab))


def makespan(seconds: Iterable[float], n_workers: int) -> float:
    """When the last of these jobs ends, if each worker that is free takes the next one."""
    busy_until = [0.0] * n_workers
    for each in seconds:
        heapq.heapreplace(busy_until, busy_until[0] + each)
    return max(busy_until)


def trial_paces(lab: Lab) -> dict[str, Pace]:
    """By shape, from the latest finished trials of the lab: of this machine, where it has any."""
    columns = ["state", "config", "steps", "train_s", "evaluate_s", "host", "finished_at"]
    trials = Results(lab).read_columns("trials", columns).to_pylist()
    done = sorted((t for t in trials if t["state"] == "COMPLETE"), key=lambda t: str(t["finished_at"]))
    here = socket.gethostname()
    timed: dict[str, dict[bool, list[tuple[float, float]]]] = {}
    for trial in done[-N_TIMED * 32 :]:
        try:
            shape, pace = (
                shape_of(strict_json.loads(trial["config"])),
                (trial["train_s"] / trial["steps"], trial["evaluate_s"] + 0),
            )
        except (AttributeError, KeyError, TypeError, ValueError, ZeroDivisionError):
            continue  # not timed
        timed.setdefault(shape, {True: [], False: []})[trial["host"] == here].append(pace)
    latest = {shape: (of[True] or of[False])[-N_TIMED:] for shape, of in timed.items()}
    return {shape: Pace(*map(statistics.median, zip(*seconds, strict=True))) for shape, seconds in latest.items()}


def model_paces(lab: Lab) -> dict[str, float]:
    """Seconds of a step, of each configuration of a base model or judge that the lab has made."""
    timed: dict[str, list[float]] = collections.defaultdict(list)
    for model_id in lab.names("models"):
        try:
            spec, timing = (lab.read_json(f"models/{model_id}/{name}.json") for name in ("config", "timing"))
            kind, step_s = _kind_of(spec), float(timing["step_s"])
        except (LabError, AttributeError, KeyError, OverflowError, TypeError, ValueError):
            continue  # not timed; and if it is damaged, whoever needs it will say so
        timed[kind].append(step_s)
    return {kind: _mean(seconds) for kind, seconds in timed.items()}


def _kind_of(spec: Mapping[str, Any]) -> str:
    """What decides the time of a model's step."""
    sizes = {name: value for name, value in spec["config"].items() if name not in ("n_steps", "learning_rate")}
    return json.dumps([spec["kind"], spec["domain"], sizes], sort_keys=True)


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def _pack_seconds(entries: Sequence[Entry], paces: Mapping[str, Pace]) -> float:
    first = entries[0].spec
    guess = Pace(_guessed_step_seconds(first.settings), GUESSED_EVALUATION_S)
    pace = paces.get(first.shape, guess)
    n_steps = sum(entry.spec.n_steps for entry in entries if not entry.trained)
    return n_steps * pace.step_s + len(entries) * pace.evaluate_s


def _guessed_step_seconds(settings: Settings) -> float:
    """Before anything has been measured: a fixed cost and the floating-point work at a plain CPU core's rate."""
    c, p = settings.bridge, settings.pixels
    if settings.system == "pix2pix":
        return 0.02 + p.batch_size * p.n_filters**2 * 5e-6
    if settings.system == "cyclegan":
        return 0.03 + p.batch_size * p.n_filters**2 * (14 + 4 * p.n_blocks) * 1e-6
    if settings.system != "bridge":
        return 0.0
    n_weights = 2 * (c.n_layers - 1) * c.hidden_dim**2 + 10 * c.hidden_dim * (c.shared_dim + 16)
    return 0.3e-3 + 6 * n_weights * 2 * (c.batch_size + c.labelled_batch_size) / 50e9


def _model_seconds(spec: ModelSpec, timed: Mapping[str, float]) -> float:
    c = spec.config
    if c is None:
        return 0.5
    if isinstance(c, WaveGANConfig):
        training = c.n_steps * timed.get(_kind_of(canonical(spec)), _guessed_wavegan_step_seconds(c))
        return training + (_least_drawing_seconds(c, spec.drawn.rejection) if spec.drawn else 0.0)
    n_weights = (1 if isinstance(c, ClassifierConfig) else 2) * (c.n_layers * c.hidden_dim**2 + 100 * c.hidden_dim)
    guess = 1.2e-3 + 6 * n_weights * c.batch_size / 60e9
    return c.n_steps * timed.get(_kind_of(canonical(spec)), guess)


def _guessed_wavegan_step_seconds(c: WaveGANConfig) -> float:
    """The work of a clip that is made or scored once, so often as a step with its penalties does that."""
    return (13 * c.n_critic + 6) * _clip_seconds(c) * c.batch_size


def _least_drawing_seconds(c: WaveGANConfig, rejection: RejectionConfig) -> float:
    """Of the draws that it takes at least, where no class is rarer than the others: each is made, and judged."""
    return 10 * rejection.n_drawn_per_class * (_clip_seconds(c) + JUDGED_S)


def _clip_seconds(c: WaveGANConfig) -> float:
    widths = [c.n_filters * 2**i for i in range(c.n_layers)]
    once: int = sum(2 * 25 * 16 * 4**i * n * max(n // 2, 1) for i, n in enumerate(reversed(widths)))
    return once / 45e9
