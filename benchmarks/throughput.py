"""How many trial-steps a second packs take, against the plain way: one nn.Module at a time.

    python benchmarks/throughput.py --json

The plain way is an honest float32 loop: latents resident in memory, fused Adam, one domain after the other as the
loss is written in the paper, and the better of one process with all threads and one process a core. `ratio` is its
time a trial-step over a packed one's, in float32 and in bfloat16 alike; `ratio_merged` is against the reference
module, which sends the rows of both domains through at once; `ratio_same_dtype` is against the plain way in
bfloat16 (autocast). Packs are one process a core, each with one thread. All ways use the whole machine: every
process takes blocks of each kind in turn, all processes the same kind at the same time, and a ratio is of
neighbouring blocks. `floor_share` is the time that the matrix products of a packed step take by themselves, by the
fastest of torch's ways that was found, over the time of the step; `floor_share_mkl` takes the batched products that
torch does by default. On a GPU (`--device cuda`) each way is one process.
"""

from __future__ import annotations

import argparse
import functools
import json
import multiprocessing as mp
import os
import platform
import queue
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any
from unittest import mock

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from bridgelab.bridge import losses
from bridgelab.bridge.losses import squared_error
from bridgelab.bridge.model import Batch, BridgingVAE
from bridgelab.bridge.pack import Member, Pack, initial_weights
from bridgelab.bridge.products import Affine, Gradient
from bridgelab.config import CHUNK_STEPS, SIDES, Settings, VAEConfig
from bridgelab.keys import with_keys
from bridgelab.latents import Latents
from bridgelab.memory import keep_freed
from bridgelab.specs import ModelSpec, TrialSpec

SHAPES = {"2x64": (16, 48), "4x128": (64, 16), "4x512": (64, 4), "8x1024": (64, 1)}
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


def packed(pack: Pack) -> Iterator[None]:
    """CHUNK_STEPS steps of a pack each time, with their draws."""
    while True:
        pack.rehearse(CHUNK_STEPS)
        yield


@dataclass(frozen=True)
class Plain:
    """What a plain loop stands on: resident latents, a module, fused Adam."""

    one: Member
    device: str
    precision: str

    def steps(
        self, loss_of: Callable[[BridgingVAE, Callable[[], tuple[Tensor, Tensor]], Draw], Tensor]
    ) -> Iterator[None]:
        """A step of one module each time."""
        module = BridgingVAE(self.one.latent_dim, N_CLASSES, self.one.spec.settings.bridge)
        module.load_state_dict(initial_weights(self.one))
        module.to(self.device)
        optimizer = torch.optim.Adam(module.parameters(), lr=1e-3, fused=True)
        mu, sigma = (torch.from_numpy(array.copy()).to(self.device) for array in (self.one.a.mu, self.one.a.sigma))
        labels = torch.from_numpy(self.one.a.labels.copy()).to(self.device)
        generator = torch.Generator(self.device).manual_seed(0)

        def normal(*shape: int) -> Tensor:
            return torch.randn(*shape, generator=generator, device=self.device)

        def batch() -> tuple[Tensor, Tensor]:
            index = torch.randint(len(mu), (BATCH,), generator=generator, device=self.device)
            z = mu.index_select(0, index) + sigma.index_select(0, index) * normal(BATCH, self.one.latent_dim)
            return z, labels.index_select(0, index)

        while True:
            with torch.autocast(self.device, torch.bfloat16, enabled=self.precision == "bfloat16"):
                loss = loss_of(module, batch, normal)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            yield


Draw = Callable[..., Tensor]


def domain_by_domain(module: BridgingVAE, batch: Callable[[], tuple[Tensor, Tensor]], normal: Draw) -> Tensor:
    """The loss as the paper writes it: a sum over domains, each through encoder and decoder by itself."""
    c, shared = module.config, []
    loss = torch.zeros((), device=module.classifier.linear.weight.device)
    for side in SIDES:
        z, labels = batch()
        mu, sigma = module.encode(z, side)
        shared.append(mu + sigma * normal(BATCH, SHARED))
        kl = (0.5 * (mu.square() + sigma.square() - 1) - sigma.log()).sum(-1).mean()
        loss = loss + squared_error(z, module.decode(shared[-1], side)) / z.shape[-1] + c.beta_kl * kl
        loss = loss + c.beta_cls * F.cross_entropy(module.classifier(shared[-1]), labels)
    directions = F.normalize(normal(DIRECTIONS, SHARED), dim=-1)
    a, b = (torch.sort(directions @ z.T).values for z in shared)
    return loss + c.beta_swd * (a - b).square().mean()


def merged(module: BridgingVAE, batch: Callable[[], tuple[Tensor, Tensor]], normal: Draw) -> Tensor:
    """The reference module's own loss: the rows of both domains at once."""
    sides = [Batch(z, normal(BATCH, SHARED), None, labels) for z, labels in (batch(), batch())]
    with mock.patch.object(losses, "sort", torch.sort):
        return module.loss(*sides, F.normalize(normal(DIRECTIONS, SHARED), dim=-1))


def products(pack: Pack, by_default: bool) -> Callable[[], None]:
    """The matrix products of a packed step and nothing else: forward, and both gradients of each."""
    lockstep, work = pack._together, []
    for name, weight in lockstep._bridges.w.items():
        if name.endswith("weight"):
            first = name in ("encoder.0.weight", "encoder.skip.weight")  # nobody asks for the latents' gradient
            x = torch.randn(len(weight), 2 * BATCH, weight.shape[1], device=weight.device).to(weight.dtype)
            y = torch.randn(len(weight), 2 * BATCH, weight.shape[2], device=weight.device).to(weight.dtype)
            work.append((x.requires_grad_(not first), weight, y, Gradient(torch.empty_like(weight).float(), x)))

    def batched() -> None:
        for x, weight, y, _ in work:
            torch.bmm(x, weight)
            torch.bmm(x.mT, y)
            if x.requires_grad:
                torch.bmm(y, weight.mT)

    def ours() -> None:
        for x, weight, y, gradient in work:
            Affine.apply(x, weight, None, gradient, False).backward(y)
            x.grad = None

    return batched if by_default else ours


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
    """Blocks of each kind in turn; puts the seconds a trial-step of each kind for each block."""
    torch.set_num_threads(1)
    keep_freed()
    members = [member(trial(shape, SHAPES[shape][0], place * size + i, precision)) for i in range(size)]
    pack = Pack(members, device)
    exact = Plain(member(trial(shape, SHAPES[shape][0], place * size, "float32")), device, "float32")
    ways = {
        "packed": (packed(pack), size * CHUNK_STEPS),
        "plain": (exact.steps(domain_by_domain), 1),
        "merged": (exact.steps(merged), 1),
        "same_dtype": (Plain(exact.one, device, precision).steps(domain_by_domain), 1),
    }
    kinds = {name: (functools.partial(next, way), per) for name, (way, per) in ways.items()}
    kinds |= {"floor": (products(pack, by_default=False), size), "floor_mkl": (products(pack, by_default=True), size)}
    counts = {}
    for name, (step, _) in kinds.items():
        seconds_of(step, 2, device)
        counts[name] = max(1, round(seconds / seconds_of(step, 1, device)))
    found: list[dict[str, float]] = []
    for block in range(blocks):
        times = {}
        for name in kinds if block % 2 else reversed(kinds):
            step, per = kinds[name]
            meet.wait()
            times[name] = seconds_of(step, counts[name], device) / per
        found.append(times)
    out.put(found)


def plain_with_all_threads(shape: str, seconds: float, out: Any) -> None:
    torch.set_num_threads(os.cpu_count() or 1)
    one = Plain(member(trial(shape, SHAPES[shape][0], 0, "float32")), "cpu", "float32").steps(domain_by_domain)
    seconds_of(lambda: next(one), 3, "cpu")
    n = max(3, int(seconds / seconds_of(lambda: next(one), 3, "cpu")))
    out.put(seconds_of(lambda: next(one), n, "cpu"))


def told_by(processes: Sequence[Any], out: Any) -> Any:
    """The next thing that one of them puts. A benchmark without an answer ends."""
    while True:
        try:
            return out.get(timeout=1)
        except queue.Empty:
            if any(process.exitcode for process in processes):
                sys.exit("a process of the benchmark failed; it has said why")


def measure(shape: str, precision: str, seconds: float, blocks: int, device: str, size: int | None) -> dict[str, Any]:
    context, n = mp.get_context("spawn"), 1 if device == "cuda" else os.cpu_count() or 1
    size = size or (MEMBERS_ON_A_GPU[shape] if device == "cuda" else SHAPES[shape][1])
    out, meet = context.Queue(), context.Barrier(n)
    arguments = (shape, precision, size, seconds, blocks, device)
    processes = [context.Process(target=worker, args=(*arguments, place, meet, out)) for place in range(n)]
    for process in processes:
        process.start()
    found = [times for _ in processes for times in told_by(processes, out)]
    for process in processes:
        process.join()
    threads_gain = 1.0
    if device == "cpu" and n > 1:  # one process with all threads, where that is the better plain way
        process = context.Process(target=plain_with_all_threads, args=(shape, seconds, out))
        process.start()
        threads_gain = max(1.0, statistics.median(t["plain"] for t in found) / n / told_by([process], out))
        process.join()
    ratios = sorted(t["plain"] / t["packed"] / threads_gain for t in found)

    def median(kind: str, over: str = "packed") -> float:
        return statistics.median(t[kind] / t[over] for t in found)

    return {
        "shape": shape,
        "dtype": precision,
        "members": size,
        "ratio": statistics.median(ratios),
        "ratio_low": ratios[len(ratios) // 4],
        "ratio_high": ratios[-1 - len(ratios) // 4],
        "ratio_merged": median("merged"),
        "ratio_same_dtype": median("same_dtype"),
        "floor_share": median("floor"),
        "floor_share_mkl": median("floor_mkl"),
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
    if chosen.device == "cuda" and not torch.cuda.is_available():
        parser.error("--device cuda: torch sees no CUDA device here; leave it out")
    rows = []
    for precision in chosen.dtype or ("float32", "bfloat16"):
        for shape in chosen.shape or SHAPES:
            row = measure(shape, precision, chosen.seconds, chosen.blocks, chosen.device, chosen.members)
            rows.append(row)
            if not chosen.json:
                told = "{shape:>7} {dtype:<9} K={members:<4} {ratio:6.2f} [{ratio_low:.2f}, {ratio_high:.2f}]"
                told += "  merged {ratio_merged:5.2f}  same dtype {ratio_same_dtype:5.2f}  floor {floor_share:4.0%}"
                told += "  mkl {floor_share_mkl:4.0%}  {packed_ms:8.3f} ms packed  {plain_ms:8.3f} ms plain"
                print(told.format(**row), flush=True)
    if chosen.json:
        notes = {
            "ratio": "time of a plain float32 trial-step over that of a packed one, median of blocks, with quartiles"
        }
        found = {"benchmark": "throughput", "machine": machine(chosen.device), "rows": rows, "notes": notes}
        print(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
