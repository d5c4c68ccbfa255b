"""How long the same command takes to make new progress after each fault: real sweeps, really disturbed.

    PYTHONPATH=tests/shared python benchmarks/recovery.py --json

Counted from the start of the command (for a worker: from its death) to the first checkpoint that is newer than
the fault. `none` is the same for a lab without anything to go on from: starting Ray and torch is in every figure.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import signal
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import sweeps

FAULTS = ("none", "driver", "SIGINT", "raylet", "gcs_server", "worker", "disk", "models")
QUIET_S = 2.0
MODELS = ("label_efficiency", "--pair", "digits-digits", "--seeds", "2")
"""A study whose base models train for a while: for the driver's death among them."""


def disturb(fault: str, folder: Path, sweep: sweeps.Sweep) -> None:
    """Brings a fault about, and waits for the end of the sweep."""
    if fault in ("driver", "models"):
        sweeps.kill(sweep)
    elif fault == "SIGINT":
        sweep.send_signal(signal.SIGINT)
    elif fault == "disk":  # a file stands where the packs were: nothing can be written below it
        (folder / "lab/packs").rename(folder / "packs")
        (folder / "lab/packs").touch()
    else:
        os.kill(sweeps.named(sweep, fault)[0], signal.SIGKILL)
    sweep.communicate(timeout=120)
    if fault == "disk":
        (folder / "lab/packs").unlink()
        (folder / "packs").rename(folder / "lab/packs")


def measure(fault: str) -> tuple[float, float]:
    """Seconds from the fault to the end of the sweep, and from the next start to new progress."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        study = MODELS if fault == "models" else sweeps.PLANE
        sweep, ended_s = sweeps.start(folder, *sweeps.ALWAYS, study=study), 0.0
        if fault != "none":
            wait_for_progress(folder, sweep)
            began = time.monotonic()
            if fault == "worker":
                pid = sweeps.named(sweep, "ray::Implicit")[0]
                os.kill(pid, signal.SIGKILL)
                sweeps.wait_until(lambda: adopted(folder), sweep)
                seconds = time.monotonic() - began
                sweeps.kill(sweep)
                return 0.0, seconds
            disturb(fault, folder, sweep)
            ended_s = time.monotonic() - began
            wait_until_quiet(folder)
            sweep = sweeps.start(folder, *sweeps.ALWAYS, study=study)
        began = time.monotonic()
        wait_for_progress(folder, sweep)
        seconds = time.monotonic() - began
        sweeps.kill(sweep)
        return ended_s, seconds


def wait_for_progress(folder: Path, sweep: sweeps.Sweep) -> None:
    """Watches until a pack or a model has a checkpoint that it had not when this began."""

    before = progress(folder)
    sweeps.wait_until(lambda: progress(folder) - before, sweep)


def wait_until_quiet(folder: Path) -> None:
    """Workers outlive their driver by a moment, and write until they notice."""
    before, seen_at = progress(folder), time.monotonic()
    while time.monotonic() - seen_at < QUIET_S:
        time.sleep(0.1)
        if progress(folder) - before:
            before, seen_at = progress(folder), time.monotonic()


def progress(folder: Path) -> set[object]:
    return sweeps.progress(folder) | model_checkpoints(folder)


def model_checkpoints(folder: Path) -> set[object]:
    found: set[object] = set()
    for path in folder.glob("lab/training/[!.]*.checkpoint"):
        try:
            found.add((path.name, path.stat().st_mtime_ns))
        except FileNotFoundError:
            continue  # its model is done
    return found


def adopted(folder: Path) -> bool:
    """Whether a pack has taken steps under a second holder."""
    for lease in folder.glob("lab/packs/[!.]*/lease.json"):
        try:
            beat = json.loads(lease.read_text())
        except FileNotFoundError:
            continue
        if beat["adopted"] and beat["step"]:
            return True
    return False


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print JSON and nothing else")
    parser.add_argument("--repetitions", type=int, default=3)
    parser.add_argument("--fault", choices=FAULTS, action="append", help="repeatable; none given: all")
    chosen = parser.parse_args()
    rows: list[dict[str, Any]] = []
    for fault in chosen.fault or FAULTS:
        found = [measure(fault) for _ in range(chosen.repetitions)]
        ended, seconds = zip(*found, strict=True)
        row = {"fault": fault, "repetitions": len(found), "ended_s": statistics.median(ended)}
        rows.append(row | {"recovered_s": statistics.median(seconds), "all_recovered_s": seconds})
        if not chosen.json:
            print(rows[-1], flush=True)
    if chosen.json:
        machine = {"cores": os.cpu_count(), "processor": platform.processor() or platform.machine()}
        notes = (
            "ended_s: from the fault to the end of the sweep; recovered_s: from the same command's start to progress."
        )
        print(json.dumps({"benchmark": "recovery", "machine": machine, "rows": rows, "notes": notes}, indent=2))


if __name__ == "__main__":
    main()
