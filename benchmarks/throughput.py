"""How many trial-steps a second packs take, against the plain way: one nn.Module at a time.

    python benchmarks/throughput.py --json

The plain way is an honest loop: latents resident in memory, fused Adam, the better of one process with all
threads and one process a core. Packs are one process a core, each with one thread. Both use the whole
machine. Every process takes blocks of plain and of packed steps in turn, all processes the same kind at the
same time; a ratio is of neighbouring blocks. `floor_share` is the time that the matrix products of a packed
step take by themselves, over the time of the step. On a GPU (`--device cuda`) both are one process.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing as mp
import os
import platform
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any
from unittest import mock

import numpy as np
import torch
from torch import Tensor

from bridgelab.bridge import losses
from bridgelab.bridge.model import Batch, BridgingVAE
from bridgelab.bridge.pack import Member, Pack, initial_weights
from bridgelab.config import Settings, VAEConfig
from bridgelab.keys import with_keys
from bridgelab.latents import Latents
from bridgelab.specs import ModelSpec, TrialSpec

SHAPES = {"2x64": (16, 32), "4x128": (64, 8), "4x512": (64, 4), "8x1024": (64, 1)}
"""depth x width -> (latent dimensions, members of a pack on a CPU)."""
MEMBERS_ON_A_GPU = {"2x64": 256, "4x128": 128, "4x512": 64, "8x1024": 16}
N_LATENTS, N_CLASSES, SHARED, BATCH, DIRECTIONS = 6_000, 10, 8, 128, 100


def trial(shape: str, latent_dim: int, replicate: int, precision: str) -> TrialSpec:
    """A trial of a shape: both domains in batches of 128, cross entropy on the batches' own labels, 100 projections."""
    depth, width = map(int, shape.split("x"))
    model = ModelSpec(kind="vae", domain="drawn", data_id="drawn", config=VAEConfig(latent_dim=latent_dim), seed=0)
    settings = with_keys(
        Settings(),
        {
            "bridge.n_layers": depth,
            "bridge.hidden_dim": width,
            "bridge.shared_dim": SHARED,
            "bridge.batch_size": BATCH,
            "bridge.labelled_batch": "masked",
            "bridge.n_projections": DIRECTIONS,
            "bridge.reconstruction": "mean",
            "bridge.n_steps": 1_000_000,
            "bridge.precision": precision,
        },
    )
    return TrialSpec(
        settings=settings,
        base_a=model,
        base_b=replace(model, seed=1),
        judge_a=model,
        judge_b=model,
        label_seed=replicate,
        bridge_seed=replicate,
    )


def member(spec: TrialSpec) -> Member:
    vae = spec.base_a.config
    assert isinstance(vae, VAEConfig)
    rng = np.random.default_rng(spec.bridge_seed)
    mu = rng.standard_normal((N_LATENTS, vae.latent_dim), dtype=np.float32)
    latents = Latents(mu, np.full_like(mu, 0.1), np.arange(N_LATENTS) % N_CLASSES)
    return Member(spec, latents, latents, N_CLASSES)


def packed(members: list[Member], device: str) -> Iterator[None]:
    """A step of a pack each time, with its draws."""
    pack = Pack(members, device)
    while True:
        chunk = pack._next_chunk()
        for t in range(len(chunk.z)):
            pack._step(t, t, chunk)
            yield


def plain(one: Member, device: str, precision: str) -> Iterator[None]:
    """A step of one module each time, as one would write it: resident latents, fused Adam, torch.sort."""
    module = BridgingVAE(one.latent_dim, N_CLASSES, one.spec.settings.bridge)
    module.load_state_dict(initial_weights(one))
    module.to(device)
    optimizer = torch.optim.Adam(module.parameters(), lr=1e-3, fused=True)
    mu, sigma = (torch.from_numpy(array.copy()).to(device) for array in (one.a.mu, one.a.sigma))
    labels = torch.from_numpy(one.a.labels.copy()).to(device)
    generator = torch.Generator(device).manual_seed(0)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, device=device)

    def batch() -> Batch:
        index = torch.randint(len(mu), (BATCH,), generator=generator, device=device)
        z = mu.index_select(0, index) + sigma.index_select(0, index) * normal(BATCH, one.latent_dim)
        return Batch(z, normal(BATCH, SHARED), None, labels.index_select(0, index))

    while True:
        directions = normal(DIRECTIONS, SHARED)
        directions = directions / directions.norm(dim=-1, keepdim=True)
        with mock.patch.object(losses, "sort", lambda x: torch.sort(x).values):
            with torch.autocast(device, torch.bfloat16, enabled=precision == "bfloat16"):
                loss = module.loss(batch(), batch(), directions)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        yield


def products(pack: Pack) -> Callable[[], None]:
    """The matrix products of a packed step and nothing else: forward, and both gradients of each."""
    work = []
    for name, weight in pack.layout.views(pack._weights).items():
        if name.endswith("weight"):
            x = torch.randn(len(weight), 2 * BATCH, weight.shape[1], device=weight.device, dtype=weight.dtype)
            y = torch.empty(len(weight), 2 * BATCH, weight.shape[2], device=weight.device, dtype=weight.dtype)
            first = name in ("encoder.0.weight", "encoder.skip.weight")  # nobody asks for the latents' gradient
            work.append((x, weight.clone(), y, first))

    def run() -> None:
        for x, weight, y, first in work:
            torch.bmm(x, weight, out=y)
            torch.bmm(x.transpose(1, 2), y)
            if not first:
                torch.bmm(y, weight.transpose(1, 2))

    return run


def seconds_of(step: Callable[[], object], n: int, device: str) -> float:
    """Seconds of one call, over n of them."""
    started = time.perf_counter()
    for _ in range(n):
        step()
    if device == "cuda":
        torch.cuda.synchronize()
    return (time.perf_counter() - started) / n


def worker(
    shape: str, precision: str, size: int, seconds: float, blocks: int, device: str, place: int, meet: Any, out: Any
) -> None:
    """Blocks of each kind in turn; puts (packed, plain, floor) seconds a trial-step for each block."""
    torch.set_num_threads(1)
    latent_dim = SHAPES[shape][0]
    members = [member(trial(shape, latent_dim, place * size + i, precision)) for i in range(size)]
    many, one = packed(members, device), plain(members[0], device, precision)
    floor = products(Pack(members, device))
    kinds = {"packed": (lambda: next(many), size), "plain": (lambda: next(one), 1), "floor": (floor, size)}
    counts = {}
    for name, (step, _) in kinds.items():
        seconds_of(step, 3, device)
        counts[name] = max(3, int(seconds / seconds_of(step, 3, device)))
    found: list[dict[str, float]] = []
    for block in range(blocks):
        times = {}
        for name in kinds if block % 2 else reversed(kinds):
            step, per = kinds[name]
            meet.wait()
            times[name] = seconds_of(step, counts[name], device) / per
        found.append(times)
    out.put(found)


def plain_with_all_threads(shape: str, precision: str, seconds: float, out: Any) -> None:
    torch.set_num_threads(os.cpu_count() or 1)
    one = plain(member(trial(shape, SHAPES[shape][0], 0, precision)), "cpu", precision)
    seconds_of(lambda: next(one), 3, "cpu")
    n = max(3, int(seconds / seconds_of(lambda: next(one), 3, "cpu")))
    out.put(seconds_of(lambda: next(one), n, "cpu"))


def measure(shape: str, precision: str, seconds: float, blocks: int, device: str, size: int | None) -> dict[str, Any]:
    context, n = mp.get_context("spawn"), 1 if device == "cuda" else os.cpu_count() or 1
    size = size or (MEMBERS_ON_A_GPU[shape] if device == "cuda" else SHAPES[shape][1])
    out, meet = context.Queue(), context.Barrier(n)
    arguments = (shape, precision, size, seconds, blocks, device)
    processes = [context.Process(target=worker, args=(*arguments, place, meet, out)) for place in range(n)]
    for process in processes:
        process.start()
    found = [times for _ in processes for times in out.get()]
    for process in processes:
        process.join()
    threads_gain = 1.0
    if device == "cpu" and n > 1:  # one process with all threads, where that is the better plain way
        process = context.Process(target=plain_with_all_threads, args=(shape, precision, seconds, out))
        process.start()
        threads_gain = max(1.0, statistics.median(t["plain"] for t in found) / n / out.get())
        process.join()
    ratios = sorted(t["plain"] / t["packed"] / threads_gain for t in found)
    return {
        "shape": shape,
        "dtype": precision,
        "members": size,
        "ratio": statistics.median(ratios),
        "ratio_low": ratios[len(ratios) // 4],
        "ratio_high": ratios[-1 - len(ratios) // 4],
        "floor_share": statistics.median(t["floor"] / t["packed"] for t in found),
        "packed_ms": 1e3 * statistics.median(t["packed"] for t in found),
        "plain_ms": 1e3 * statistics.median(t["plain"] for t in found),
        "plain_threads_gain": threads_gain,
    }


def machine(device: str) -> dict[str, Any]:
    name = torch.cuda.get_device_name() if device == "cuda" else platform.processor() or platform.machine()
    return {"cores": os.cpu_count(), "processor": name, "torch": torch.__version__, "python": platform.python_version()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print JSON and nothing else")
    parser.add_argument("--shape", action="append", choices=SHAPES, help="only these")
    parser.add_argument("--dtype", action="append", choices=("float32", "bfloat16"), help="only these")
    parser.add_argument("--seconds", type=float, default=2.0, help="of each block")
    parser.add_argument("--blocks", type=int, default=7, help="of each kind in each process")
    parser.add_argument("--members", type=int, help="of a pack; by the shape where not given")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    chosen = parser.parse_args()
    rows = []
    for precision in chosen.dtype or ("float32", "bfloat16"):
        for shape in chosen.shape or SHAPES:
            row = measure(shape, precision, chosen.seconds, chosen.blocks, chosen.device, chosen.members)
            rows.append(row)
            if not chosen.json:
                told = "{shape:>7} {dtype:<9} K={members:<4} {ratio:6.2f} [{ratio_low:.2f}, {ratio_high:.2f}]"
                told += "  floor {floor_share:4.0%}  {packed_ms:8.3f} ms packed  {plain_ms:8.3f} ms plain"
                print(told.format(**row), flush=True)
    if chosen.json:
        notes = "ratio: time of a plain trial-step over that of a packed one, median of blocks, with quartiles"
        found = {"benchmark": "throughput", "machine": machine(chosen.device), "rows": rows, "notes": notes}
        print(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
