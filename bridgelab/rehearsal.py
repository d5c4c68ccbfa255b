"""Which packs are the fastest on a machine: a few steps of several sizes, on all cores at once, and remembered.

Only where training is long enough to gain by it. It changes how long a sweep takes, and no result.
"""

from __future__ import annotations

import functools
import json
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .causes import as_raised
from .config import CHUNK_STEPS, canonical_json
from .domains import get_domain, use_own
from .duration import training_seconds
from .lab import Lab
from .pack_size import TOLERANCE, PackSize, fastest, remember, remembered
from .planning import available_cpus
from .specs import TrialSpec, trial_of
from .user_file import UserFile

if TYPE_CHECKING:
    from .bridge.pack import Member

PAYS_FROM_S = 120.0
"""Of training on each core."""
SECONDS_OF_ONE = 0.4
MOST_MEMBERS = {"cpu": 64, "cuda": 512}
WORSE = 1.1
"""Larger packs are not tried where one takes so many times as long a trial-step as the best."""

Seconds = Mapping[int, float]
"""A trial-step's, by the members of a pack."""


@dataclass(frozen=True)
class Place:
    """Where packs are to run."""

    lab: Lab
    device: str
    n_slots: int
    "packs that may run at once"
    files: tuple[UserFile, ...] = ()
    "a user's own domains"


def measure_pack_sizes(place: Place, trials: Sequence[TrialSpec], told: Callable[[str], None]) -> int:
    """Has the lab remember the fastest packs of each shape that trains for long; returns the CPU cores to each pack.

    Packs of a run all have the same number of cores: what is best for the shape that trains longest.
    """
    by_shape: dict[str, list[TrialSpec]] = {}
    for trial in trials:
        if trial.settings.system == "bridge":
            by_shape.setdefault(trial.shape, []).append(trial)
    seconds = {shape: training_seconds(place.lab, specs) for shape, specs in by_shape.items()}
    for shape, specs in by_shape.items():
        pays = seconds[shape] > PAYS_FROM_S * place.n_slots
        if pays and remembered(place.lab, specs[0], place.device) is None:
            told("measuring packs")
            _measure(place, specs)
    longest = max(seconds, key=lambda shape: seconds[shape], default=None)
    known = None if longest is None else remembered(place.lab, by_shape[longest][0], place.device)
    return 1 if known is None else min(known.cores, place.n_slots)


def _measure(place: Place, specs: Sequence[TrialSpec]) -> None:
    n = min(place.n_slots, available_cpus())
    all_cores = _side_by_side(place, specs, n)
    k, measured = fastest(all_cores), {"all_cores": dict(all_cores)}
    size = PackSize(k)
    if place.device == "cpu" and n > 1:
        half = _side_by_side(place, specs[:k], n // 2)
        measured["half_of_them"] = dict(half)
        if (n // 2) / min(half.values()) > TOLERANCE * n / all_cores[k]:
            size = PackSize(fastest(half), cores=2)
    remember(place.lab, specs[0], place.device, size, measured)


def _side_by_side(place: Place, specs: Sequence[TrialSpec], n: int) -> Seconds:
    """With n packs at once, the median of them."""
    import ray

    task = ray.remote(num_cpus=1, num_gpus=int(place.device == "cuda"))(_rehearse)
    texts = [canonical_json(spec) for spec in specs[: MOST_MEMBERS[place.device]]]
    running = [task.remote(place.lab.address, texts, place.device, n, place.files) for _ in range(n)]
    with as_raised("a pack that was measured"):
        each: list[Seconds] = ray.get(running)
    return {k: statistics.median(one[k] for one in each) for k in each[0] if all(k in one for one in each)}


def _rehearse(address: str, texts: Sequence[str], device: str, n: int, files: tuple[UserFile, ...]) -> Seconds:
    """On one worker: packs of 1, 2, 4, ... members, while none is much worse than the best, and n of them fit."""
    import torch

    from . import latents
    from .bridge.footprint import bytes_of
    from .bridge.pack import Member
    from .memory import free_bytes, keep_freed

    torch.set_num_threads(1)
    keep_freed()
    for file in files:
        use_own(file)
    lab, specs = Lab.in_use(address), [trial_of(json.loads(text)) for text in texts]
    train = functools.cache(lambda latents_id: latents.read(lab, latents_id)["train"])
    n_classes = len(get_domain(specs[0].base_a.domain).class_names)
    members = [Member(s, train(s.base_a.latents_id), train(s.base_b.latents_id), n_classes) for s in specs]
    found: dict[int, float] = {}
    for k in (2**i for i in range(len(members).bit_length())):
        if found and bytes_of(members[:k], device) > free_bytes(device) / n:
            break
        found[k] = _step_seconds(members[:k], device)
        if found[k] > WORSE * min(found.values()):
            break
    return found


def _step_seconds(members: Sequence[Member], device: str) -> float:
    from .bridge.pack import Pack

    pack = Pack(members, device)
    pack.rehearse(1)  # the first step sets up what all others use
    started = time.perf_counter()
    times: list[float] = []
    while not times or time.perf_counter() - started < SECONDS_OF_ONE:
        n = 1 if not times or times[-1] * CHUNK_STEPS > SECONDS_OF_ONE else CHUNK_STEPS
        before = time.perf_counter()
        pack.rehearse(n)
        times.append((time.perf_counter() - before) / n)
    return statistics.median(times) / len(members)
