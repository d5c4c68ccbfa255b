"""How many trials make the fastest pack: as a machine was measured, and before that by a table.

A pack's size changes no result, only the time that it takes.
"""

from __future__ import annotations

import contextlib
import os
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .config import PIXEL_SYSTEMS, canonical_json, content_id
from .errors import LabError
from .lab import Lab
from .specs import TrialSpec

BY_WIDTH = {"cpu": ((64, 32), (192, 16), (512, 4)), "cuda": ((512, 64), (1024, 16))}
"""(hidden_dim, K): up to this width, packs of this many trials. Where nothing was measured."""
CPUINFO = Path("/proc/cpuinfo")
TOLERANCE = 1.03
"""A smaller pack that takes so many times as long as the fastest is preferred: less waits for its end."""


@dataclass(frozen=True)
class PackSize:
    """The fastest way of training one shape on one machine."""

    members: int
    "trials in a pack"
    cores: int = 1
    "CPU cores to each pack: more than one where packs on all cores hinder one another more than they help"


def pack_size(lab: Lab, spec: TrialSpec, device: str) -> PackSize:
    """What was measured on this machine, and is remembered in the lab; else by the width."""
    return remembered(lab, spec, device) or PackSize(_by_width(spec, device))


def remembered(lab: Lab, spec: TrialSpec, device: str) -> PackSize | None:
    """What was measured on this machine; None where nothing was, or what is there cannot be read."""
    path = _path(spec, device)
    with contextlib.suppress(LabError, KeyError, OverflowError, TypeError, ValueError):
        if lab.exists(path):
            found = lab.read_json(path)
            return PackSize(members=max(1, int(found["members"])), cores=max(1, int(found["cores"])))
    return None


def remember(lab: Lab, spec: TrialSpec, device: str, size: PackSize, measured: Mapping[str, Any]) -> None:
    """Keeps what was measured, with the figures that it was chosen by."""
    told = {"members": size.members, "cores": size.cores, "shape": spec.shape, "machine": machine(), "device": device}
    lab.publish(_path(spec, device), canonical_json(told | {"measured": measured}).encode())


def fastest(seconds: Mapping[int, float]) -> int:
    """Of seconds a trial-step by K: the smallest K that is as good as the best."""
    best = min(seconds.values())
    return min(k for k, s in seconds.items() if s <= best * TOLERANCE)


def machine() -> dict[str, str | int]:
    """What decides how fast a CPU is."""
    model = platform.processor() or platform.machine()
    with contextlib.suppress(OSError, StopIteration):
        lines = CPUINFO.read_text().splitlines()
        model = next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return {"processor": model, "cores": os.cpu_count() or 1}


def _path(spec: TrialSpec, device: str) -> str:
    return f"pack_sizes/{content_id('pack_size', {'shape': spec.shape, 'device': device, 'machine': machine()})}.json"


def _by_width(spec: TrialSpec, device: str) -> int:
    if spec.settings.system in PIXEL_SYSTEMS:
        return 1
    return next((k for width, k in BY_WIDTH[device] if spec.settings.bridge.hidden_dim <= width), 1)
