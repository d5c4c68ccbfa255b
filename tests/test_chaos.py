"""A sweep among random kills, with the same command after each that ended it: what comes out is the undisturbed one's.

CHAOS_SEED chooses the kills, CHAOS_KILLS how many there are:

    CHAOS_KILLS=30 CHAOS_SEED=1 pytest tests/test_chaos.py -s
"""

import collections
import contextlib
import os
import random
import signal
import time
from pathlib import Path

import pytest
from sweeps import ALWAYS, Sweep, assert_same, finish, kill, named, progressed, start

from bridgelab.lab import Lab
from bridgelab.results import Results

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(3600)]

SEED, N_KILLS = int(os.environ.get("CHAOS_SEED", "0")), int(os.environ.get("CHAOS_KILLS", "4"))
STUDY = ("label_efficiency", "--pair", "plane-plane", "--preset", "desk", "--seeds", str(2 + N_KILLS // 2))
VICTIMS = {"worker": 6, "driver": 2, "raylet": 1, "gcs_server": 1}
"""What is killed, and how often beside the others: after all but a worker, Ray has to be started again."""
DELAY_S = (0.3, 4.0)


def a_worker(sweep: Sweep, spared: set[str]) -> int | None:
    """A worker whose pack has not lost one under this driver: after a second death its trials fail, by design."""
    for pid in named(sweep, "ray::Implicit"):
        with contextlib.suppress(OSError):  # it ended while we looked
            pack = os.readlink(f"/proc/{pid}/cwd")
            if pack not in spared:
                spared.add(pack)
                return pid
    return None


def disturb(sweep: Sweep, kind: str, spared: set[str]) -> str:
    """Kills a process of a sweep; returns what kind of process that was."""
    if kind == "worker":
        pid = a_worker(sweep, spared)
        if pid is not None:
            os.kill(pid, signal.SIGKILL)
            return kind
        kind = "driver"
    if kind == "driver":
        kill(sweep)
        return kind
    for pid in named(sweep, kind):
        os.kill(pid, signal.SIGKILL)
    sweep.communicate(timeout=120)
    return kind


def test_a_sweep_among_random_kills_is_the_undisturbed_one(tmp_path: Path) -> None:
    chance, killed, began = random.Random(SEED), collections.Counter[str](), time.monotonic()
    (tmp_path / "undisturbed").mkdir()
    n_trials = finish(start(tmp_path / "undisturbed", study=STUDY), timeout_s=1800)["run"]
    undisturbed_s, began = time.monotonic() - began, time.monotonic()
    sweep, spared = start(tmp_path, *ALWAYS, study=STUDY), set[str]()
    while killed.total() < N_KILLS:
        kind, delay_s = chance.choices(list(VICTIMS), list(VICTIMS.values()))[0], chance.uniform(*DELAY_S)
        if not progressed(tmp_path, sweep, delay_s):
            break  # it came to its end before we could disturb it
        killed[kind := disturb(sweep, kind, spared)] += 1
        print(f"{time.monotonic() - began:.0f} s: {kind}", flush=True)
        if sweep.poll() is not None:
            sweep, spared = start(tmp_path, *ALWAYS, study=STUDY), set()
    finish(sweep, timeout_s=1800)
    trials = Results(Lab(tmp_path / "lab")).read("trials").select(["pack_id", "resumed_at"]).to_pylist()
    resumed = {row["pack_id"] for row in trials if row["resumed_at"]}
    print(
        f"\nseed {SEED}: {dict(killed)} killed in {time.monotonic() - began:.0f} s (undisturbed {undisturbed_s:.0f} s)"
    )
    print(f"{n_trials} trials in {len({row['pack_id'] for row in trials})} packs, {len(resumed)} of them resumed")
    assert killed.total() == N_KILLS, "the sweep came to its end before all of them"
    assert resumed
    assert_same(tmp_path, tmp_path / "undisturbed")
