"""What checkpoints cost: the share of a pack's training time that goes into saving where it stands.

    python benchmarks/checkpoint_cost.py --json

Three measurements of one pack of bridges over the digits, in the desk preset's shape, on one thread:

- direct: one save, timed by itself, over the 30 seconds between two of them;
- every chunk: interleaved pairs of trainings, with a save after every chunk of steps and without any. Their
  difference is what a save costs a training, and is large enough to be seen;
- every 30 s: interleaved pairs as a sweep has them. `--seconds` is how long each training takes at least.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from bridgelab.bridge.pack import Member, Pack
from bridgelab.config import CHECKPOINT_EVERY_S, CHUNK_STEPS
from bridgelab.lab import Lab
from bridgelab.latents import Latents
from bridgelab.specs import Entry
from bridgelab.study import Selection, resolve
from bridgelab.trial import PackCheckpoint

N_LATENTS, N_CLASSES = 1000, 10


def entries_of(size: int, n_steps: int) -> list[Entry]:
    """Trials of the digits that may be one pack, as a sweep would plan them."""
    chosen = Selection(pair="digits-digits", preset="desk", n_replicates=size, overrides={"bridge.n_steps": n_steps})
    members = [m for m in resolve("label_efficiency", chosen).members if m.arm.name == "n_labels=all"]
    return [Entry(m.trial, attempt=0, trained=False) for m in members]


def a_pack(entries: list[Entry]) -> Pack:
    """The pack before its first step, over latents that are drawn: what they are makes no difference to the time."""
    vae = entries[0].spec.settings.vae_a
    assert vae is not None
    rng = np.random.default_rng(0)
    mu = rng.standard_normal((N_LATENTS, vae.latent_dim), dtype=np.float32)
    latents = Latents(mu, np.full_like(mu, 0.1), np.arange(N_LATENTS) % N_CLASSES)
    return Pack([Member(entry.spec, latents, latents, N_CLASSES) for entry in entries])


def train(entries: list[Entry], lab: Lab, every_s: float | None) -> tuple[float, float, int]:
    """Trains the pack; returns its seconds, those of the CPU, and how many checkpoints were saved."""
    pack, saved = a_pack(entries), 0
    checkpoint = None if every_s is None else PackCheckpoint(lab, "packs/benchmark", every_s)

    def on_chunk(step: int) -> None:
        nonlocal saved
        if checkpoint is not None:
            before = checkpoint._saved
            checkpoint.save_if_due(entries, pack)
            saved += checkpoint._saved != before

    started, cpu = time.perf_counter(), time.process_time()
    pack.run(on_chunk)
    return time.perf_counter() - started, time.process_time() - cpu, saved


def direct(entries: list[Entry], lab: Lab, n: int) -> dict[str, Any]:
    """One save by itself."""
    pack, checkpoint, seconds = a_pack(entries), PackCheckpoint(lab, "packs/benchmark", 0.0), []
    for _ in range(n):
        started = time.perf_counter()
        checkpoint.save_if_due(entries, pack)
        seconds.append(time.perf_counter() - started)
    [name] = lab.names("packs/benchmark")
    median = statistics.median(seconds)
    return {
        "measured": "direct",
        "repetitions": n,
        "bytes": lab.size(f"packs/benchmark/{name}"),
        "save_s": median,
        "save_s_worst": max(seconds),
        "share_at_30_s": median / CHECKPOINT_EVERY_S,
    }


def pairs(entries: list[Entry], lab: Lab, every_s: float, n: int) -> dict[str, Any]:
    """Trainings with and without checkpoints in turn, each pair in the other order than the one before."""
    shares, cpu_shares, per_save, lengths, n_saved = [], [], [], [], 0
    for i in range(n):
        both = {}
        for kind in (every_s, None) if i % 2 else (None, every_s):
            both[kind] = train(entries, lab, kind)
        (with_s, with_cpu_s, saved), (without_s, without_cpu_s, _) = both[every_s], both[None]
        lengths.append(without_s)
        n_saved += saved
        shares.append(with_s / without_s - 1)
        cpu_shares.append(with_cpu_s / without_cpu_s - 1)
        if saved:
            per_save.append((with_cpu_s - without_cpu_s) / saved)
    cost = statistics.median(per_save) if per_save else None
    return {
        "measured": "every chunk" if every_s == 0 else f"every {every_s:g} s",
        "repetitions": n,
        "training_s": statistics.median(lengths),
        "saves_in_a_training": n_saved / n,
        "share": statistics.median(shares),
        "share_of_each_pair": shares,
        "cpu_share": statistics.median(cpu_shares),
        "cpu_share_of_each_pair": cpu_shares,
        "save_cpu_s": cost,
        "share_at_30_s": None if cost is None else cost / CHECKPOINT_EVERY_S,
    }


def measure(size: int, n_pairs: int, n_long: int, seconds: float) -> list[dict[str, Any]]:
    with tempfile.TemporaryDirectory() as folder:
        lab, short = Lab(Path(folder) / "lab"), entries_of(size, 20 * CHUNK_STEPS)
        step_s = train(short, lab, None)[0] / (20 * CHUNK_STEPS)
        rows = [direct(short, lab, 50), pairs(short, lab, 0.0, n_pairs)]
        if n_long:
            n_chunks = -(-seconds // (step_s * CHUNK_STEPS))
            rows.append(pairs(entries_of(size, int(n_chunks) * CHUNK_STEPS), lab, CHECKPOINT_EVERY_S, n_long))
        bridge = short[0].spec.settings.bridge
        shape = {"pack_size": size, "hidden_dim": bridge.hidden_dim, "n_layers": bridge.n_layers, "step_s": step_s}
        return [{**shape, **row} for row in rows]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print JSON and nothing else")
    parser.add_argument("--pack", type=int, default=8, help="trials in the pack")
    parser.add_argument("--pairs", type=int, default=10, help="pairs with a save after every chunk")
    parser.add_argument("--long-pairs", type=int, default=3, help="pairs with a save every 30 seconds")
    parser.add_argument("--seconds", type=float, default=65.0, help="how long the long trainings take at least")
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    found = {
        "benchmark": "checkpoint_cost",
        "machine": {
            "cores": os.cpu_count(),
            "processor": platform.processor() or platform.machine(),
            "torch": torch.__version__,
            "python": platform.python_version(),
        },
        "rows": measure(chosen.pack, chosen.pairs, chosen.long_pairs, chosen.seconds),
        "notes": "share: of the time without checkpoints, by the clock and of the CPU. Pairs are interleaved; what "
        "else the machine does is in their spread.",
    }
    if chosen.json:
        print(json.dumps(found, indent=2))
        return
    for row in found["rows"]:
        print(
            ", ".join(
                f"{name} {value:.4g}" if isinstance(value, float) else f"{name} {value}" for name, value in row.items()
            )
        )


if __name__ == "__main__":
    main()
