"""What many GPUs would do with many trials: a simulation of packs, workers and the one driver that hears of them all.

    python benchmarks/simulation.py
    python benchmarks/simulation.py --costs benchmarks/results/2026-11-27-cluster.json --pack-seconds 45

Nothing is run: each GPU takes the next pack when it is free, a pack reports now and then and waits until the driver
has taken its report, and the driver does one thing at a time. What the driver takes for each thing was measured by
`cluster.py`; how long a GPU takes for a pack is assumed, since none was at hand, and is given on the command line.
`before` is the same with the driver as it was before it was made to keep up (BEFORE).
"""

from __future__ import annotations

import argparse
import heapq
import json
import platform
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"
GPUS, TRIALS = (8, 64, 512), (1_000, 10_000, 100_000)
MEMBERS = 64
"""Of a full pack: what plans take for a GPU where nothing was measured."""
FEWEST = 16
"""Smaller packs take as long as one of so many: the GPU waits for its kernels to be launched. Assumed."""


@dataclass(frozen=True)
class Costs:
    """Seconds of the driver, but where it says of whom."""

    start_s: float
    "until it asks for the first pack"
    plan_trial_s: float
    "for each trial, before it connects: its ids and its place in a pack; later plans know them"
    pack_s: float
    "Tune's, for a pack from its suggestion to the reuse of its worker"
    report_s: float
    publish_s: float
    "of a pack, whatever its rows"
    publish_mb_s: float
    "of a megabyte of its rows, as parts"
    worker_start_s: float
    "of a worker, until its first pack reports"
    report_every_s: float
    "at the least, of a pack"
    most_reports_per_s: float
    "of all packs together"
    most_pending: int
    "workers that are started at once"
    report_per_trial_s: float = 0.0
    "of each trial of the sweep, at each report"
    read_part_s: float = 0.0
    "of a worker, for each part that is there when its pack begins"


BEFORE: Mapping[str, Any] = {
    "pack_s": 0.0138,
    "publish_s": 0.0075,
    "publish_mb_s": 0.205,
    "report_per_trial_s": 6.6e-7,
    "read_part_s": 0.9e-3,
    "most_reports_per_s": float("inf"),
    "most_pending": 1,
    "worker_start_s": 1.1,
}
"""The driver as it was, on the machine of `results/2026-11-27-cluster.json`: it started a worker when the one before
was there, heard every pack twice a second, counted all packs at each report, encoded the rows of all packs, of which
Tune had made texts, and each pack read the rows of all others before it began. Its workers, one at a time, were timed
while the machine did nothing else."""


@dataclass(frozen=True)
class Load:
    """What is to be done: packs, in the order in which they are taken."""

    n_gpus: int
    sizes: tuple[int, ...]
    "trials of each pack"
    seconds: tuple[float, ...]
    "that a GPU trains each pack"
    trial_mb: float = 0.0
    "of a trial's rows"


@dataclass(frozen=True)
class Outcome:
    """How a simulated sweep went."""

    makespan_s: float
    utilisation: float
    "the share of the GPUs' time until the end in which they train"
    driver: float
    "the share of that time in which the driver has something to do"


def load_of(n_gpus: int, n_trials: int, pack_s: float, trial_mb: float) -> Load:
    """Packs as plans put them together: as many as fill all GPUs, again and again, of MEMBERS trials at most."""
    n_full = -(-n_trials // MEMBERS)
    n_packs = min(n_trials, -(-n_full // n_gpus) * n_gpus)
    sizes = tuple(len(range(i, n_trials, n_packs)) for i in range(n_packs))
    return Load(n_gpus, sizes, tuple(pack_s * max(size, FEWEST) / MEMBERS for size in sizes), trial_mb)


class Driver:
    """One thing at a time, in the order in which they come."""

    def __init__(self, begins_s: float) -> None:
        self.free_at, self.busy_s = begins_s, begins_s

    def do(self, asked_at: float, seconds: float) -> float:
        """When what is asked for at a time is done."""
        self.free_at = max(asked_at, self.free_at) + seconds
        self.busy_s += seconds
        return self.free_at


def simulate(load: Load, costs: Costs) -> Outcome:
    """Plays a sweep from its start to its last row."""
    n_trials, packs = sum(load.sizes), iter(zip(load.sizes, load.seconds, strict=True))
    every_s = max(costs.report_every_s, load.n_gpus / costs.most_reports_per_s)
    report_s = costs.report_s + costs.report_per_trial_s * n_trials
    driver, n_done = Driver(costs.start_s + costs.plan_trial_s * n_trials), 0
    n_pending, size_on = min(costs.most_pending, load.n_gpus), [0] * load.n_gpus
    # (when, which GPU, seconds that its pack has left; None: it is idle)
    events: list[tuple[float, int, float | None]] = [
        (driver.free_at + costs.worker_start_s * (gpu // n_pending + 1), gpu, None)
        for gpu in range(min(load.n_gpus, len(load.sizes)))
    ]
    heapq.heapify(events)
    while events:
        now, gpu, left = heapq.heappop(events)
        if left is None:
            size_on[gpu], seconds = next(packs, (0, 0.0))
            if size_on[gpu]:
                begins = driver.do(now, costs.pack_s) + costs.read_part_s * n_done
                heapq.heappush(events, (begins + min(every_s, seconds), gpu, max(0.0, seconds - every_s)))
        elif left > 0:
            goes_on = driver.do(now, report_s)
            heapq.heappush(events, (goes_on + min(every_s, left), gpu, max(0.0, left - every_s)))
        else:
            publish_s = costs.publish_s + costs.publish_mb_s * load.trial_mb * size_on[gpu]
            n_done += 1
            heapq.heappush(events, (driver.do(now, report_s + publish_s), gpu, None))
    end = driver.free_at
    return Outcome(end, sum(load.seconds) / (load.n_gpus * end), driver.busy_s / end)


def most_gpus(costs: Costs, pack_s: float, trial_mb: float) -> float:
    """So many GPUs take full packs as fast as the driver can hear of them, in the long run."""
    each_s = costs.pack_s + costs.report_s + costs.publish_s + costs.publish_mb_s * trial_mb * MEMBERS
    return pack_s * (1 - costs.most_reports_per_s * costs.report_s) / each_s


def predictions(costs: Costs, before: Costs, pack_s: float, trial_mb: float) -> Iterator[dict[str, Any]]:
    """A row for each number of GPUs and trials."""
    for n_gpus in GPUS:
        for n_trials in TRIALS:
            load = load_of(n_gpus, n_trials, pack_s, trial_mb)
            now, was = simulate(load, costs), simulate(load, before)
            yield {
                "gpus": n_gpus,
                "trials": n_trials,
                "pack_seconds": pack_s,
                "trial_mb": trial_mb,
                "packs": len(load.sizes),
                "ideal_s": sum(load.seconds) / n_gpus,
                **vars(now),
                "before": vars(was),
                "ratio": was.makespan_s / now.makespan_s,
            }


def show(row: Mapping[str, Any]) -> str:
    now = "{gpus:>4} GPUs {trials:>8,} trials {packs:>5} packs of {pack_seconds:g} s: {makespan_s:>8,.0f} s, "
    now += "GPUs {utilisation:4.0%} busy, driver {driver:4.0%}; before "
    return now.format(**row) + "{makespan_s:>8,.0f} s, {utilisation:4.0%}, {driver:4.0%}".format(**row["before"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print JSON and nothing else")
    parser.add_argument(
        "--costs", type=Path, help="what cluster.py --json printed; the latest of results/ if not given"
    )
    parser.add_argument(
        "--pack-seconds", type=float, action="append", help=f"of a pack of {MEMBERS} trials on a GPU; 45 and 190"
    )
    parser.add_argument("--call-ms", type=float, default=0.0, help="how long the lab's storage takes to answer a call")
    parser.add_argument("--trial-mb", type=float, default=0.3, help="of a trial's rows; 0.3: splits of MNIST's size")
    chosen = parser.parse_args()
    file = chosen.costs or max(RESULTS.glob("*-cluster.json"))
    notes = json.loads(file.read_text())["notes"]
    costs, waited_s = Costs(**notes["costs"]), notes["calls"]["publication"] * chosen.call_ms / 1000
    costs, before = (replace(one, publish_s=one.publish_s + waited_s) for one in (costs, replace(costs, **BEFORE)))
    rows, most = [], {}
    for pack_s in chosen.pack_seconds or (45.0, 190.0):
        most[pack_s] = most_gpus(costs, pack_s, chosen.trial_mb)
        for row in predictions(costs, before, pack_s, chosen.trial_mb):
            rows.append(row)
            if not chosen.json:
                print(show(row), flush=True)
        if not chosen.json:
            print(f"one driver keeps {most[pack_s]:,.0f} GPUs busy with packs of {pack_s:g} s", flush=True)
    if chosen.json:
        machine = {"processor": platform.processor() or platform.machine(), "python": platform.python_version()}
        notes = {"costs": asdict(costs), "call_ms": chosen.call_ms, "most_gpus": most}
        notes["assumed"] = "pack_seconds, of a full pack on a GPU: none was measured"
        print(json.dumps({"benchmark": "simulation", "machine": machine, "rows": rows, "notes": notes}, indent=2))


if __name__ == "__main__":
    main()
